# Four sessions ask for and give access, with scope roles being removed beneath
# them as soon as nobody uses them, while a backend, a sweeper or the launcher is
# killed again and again, with the server restarting after it: no privilege or
# membership is of a role that is gone, what is active works, and in the end
# nothing is left.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Stress;
use JitAccess;
use Time::HiRes qw(sleep time);

my $seconds = storm_seconds();
my $node = new_server('crashes', "log_statement = none\nrestart_after_crash = on\njit_access.keep_scopes = 0\njit_access.max_pending = 10000\njit_access.max_active = 10000");
create_hr($node);
$node->safe_psql('hr_prod', q{SELECT jit_set_flow('low', '[]'), jit_set_policy('free', 'low', '$.ticket == "free"'); SET ROLE hr_owner;
	CREATE TABLE hr.wide (} . join(', ', map { "c$_ int" } 0 .. 12) . ')');

sub some_columns { return join ', ', 'c0', grep { rand() < 0.5 } map { "c$_" } 1 .. 12; }
sub asks
{
	my ($user, $table) = @_;
	my $sql = '';
	foreach (1 .. 300)
	{
		my $access = $table eq 'hr.wide' ? 'SELECT (' . some_columns() . ')' : ('SELECT', 'UPDATE', 'INSERT')[ rand 3 ];
		$sql .= "SELECT jit_request('$access ON $table; USAGE ON SCHEMA hr', '1 hour', 'x', ticket => 'free') AS n \\gset\n";
		$sql .= "SELECT jit_revoke(:n);\n" if rand() < 0.8;
	}
	return worker($node, $user, 'hr_prod', $sql);
}
sub gives
{
	my ($grantee) = @_;
	return worker($node, 'anna', 'hr_prod', join '', map { 'SELECT jit_grant(\'SELECT (' . some_columns() . ") ON hr.wide', '$grantee', '1 s', 'x');\n" } 1 .. 1000);
}

my $broken = q{
	SELECT 'membership', count(*) FROM pg_auth_members m WHERE NOT EXISTS (SELECT FROM pg_authid WHERE oid = m.roleid)
		OR NOT EXISTS (SELECT FROM pg_authid WHERE oid = m.member) HAVING count(*) > 0
	UNION ALL SELECT 'privilege', count(*) FROM (SELECT relacl FROM pg_class UNION ALL SELECT attacl FROM pg_attribute UNION ALL SELECT nspacl FROM pg_namespace) a (acl), aclexplode(acl) e
		WHERE e.grantee <> 0 AND NOT EXISTS (SELECT FROM pg_authid WHERE oid = e.grantee) HAVING count(*) > 0
	UNION ALL SELECT 'active access', count(*) FROM jit.requests r LEFT JOIN jit.active_grants a ON a.request = r.id
		WHERE r.status = 'active' AND r.expires_at > clock_timestamp() + interval '10 min' AND (a.request IS NULL OR a.access LIKE '%not now%') HAVING count(*) > 0};
my $rounds = 0;
my (%broken, %killed, %wrong);
my $end = time + $seconds;
while (time < $end)
{
	my @workers = (asks('dev', 'hr.wide'), asks('eve', 'hr.salary'), asks('eve', 'hr.wide'), gives('dev'));
	sleep(0.5 + rand 2);
	# another one after each crash
	my $launcher = launcher_pid($node);
	my $whom = ('jit_access sweeper', 'jit_access launcher', 'client backend')[ rand 3 ];
	# a process that was about to exit takes nobody along
	wait_until(sub {
		my $pid = eval {
			return 'crashed' if launcher_pid($node) ne $launcher;
			$node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = '$whom' AND datname IS DISTINCT FROM 'postgres' AND (datid IS NOT NULL OR backend_type ~ 'launcher') LIMIT 1")
		} // '';
		kill('KILL', $pid) if $pid =~ /^\d+$/;
		return $pid eq 'crashed';
	}, 10) and $killed{$whom}++;
	wait_for_server($node);
	end_workers($node);
	$wrong{$_}++ foreach grep { $_ ne '42710' } keys %{ errors_of(@workers) };
	$broken{$_}++ foreach split /\n/, $node->safe_psql('hr_prod', $broken);
	$node->safe_psql('hr_prod', q{SELECT jit_revoke_all('x')});
	$rounds++;
}
note("$rounds rounds, crashes: " . join(', ', map { "$killed{$_} of a $_" } sort keys %killed));
note($node->safe_psql('hr_prod', q{SELECT count(*) || ' requests, ' || (SELECT last_value FROM jit.scope_number) || ' scope roles were made' FROM jit.requests}));
is_deeply(\%broken, {}, 'nothing is of a role that is gone, and what is active works');
note("errors: $_, $wrong{$_} rounds") for sort keys %wrong;
is($wrong{XX000}, undef, 'none of them internal');
ok($node->poll_query_until('hr_prod', q{SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname ~ '^jit_') AND NOT EXISTS (SELECT FROM jit.scopes)}), 'in the end no role is left');
is($node->safe_psql('hr_prod', $broken), '', '... nor what was of one');

$node->stop;
done_testing();
