# Eight sessions rely on grants, while one user grants, approves and revokes as
# fast as it can: no statement of the eight is cut off.
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
my $node = new_server('ring', "jit_access.max_pending = 10000\njit_access.max_active = 10000\nmax_locks_per_transaction = 512");
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE secops; CREATE ROLE others; CREATE ROLE mallory LOGIN; GRANT others TO mallory;
	CREATE SCHEMA eve AUTHORIZATION eve; GRANT USAGE ON SCHEMA eve, hr TO PUBLIC;
	CREATE TABLE eve.t (x int); ALTER TABLE eve.t OWNER TO eve;
});
my @sql = (
	'SELECT pg_sleep(0.3) FROM (SELECT FROM hr.salary LIMIT 1) s',
	'SELECT count(*) FROM hr.salary, generate_series(1, 20000)',
	'DO $$ BEGIN FOR i IN 1 .. 20 LOOP PERFORM count(*), pg_sleep(0.02) FROM (SELECT FROM hr.salary LIMIT 1) s; END LOOP; END $$',
	'COPY (SELECT pg_sleep(0.3) FROM (SELECT FROM hr.salary LIMIT 1) s) TO STDOUT',
);
foreach my $k (1 .. 8)
{
	$node->safe_psql('hr_prod', "CREATE ROLE d$k LOGIN; SELECT jit_grant('SELECT ON hr.salary', 'd$k', '6 hours', 'x')");
}
my @relying = map { worker($node, "d$_", 'hr_prod', join '', ("$sql[ $_ % 4 ];\n") x (20 * $seconds + 100)) } 1 .. 8;

# 135 in one transaction, longer each time; approvals one by one; all revoked
my $storm = '';
foreach my $round (1 .. 2 + 2 * $seconds)
{
	$storm .= "BEGIN;\n" . join('', map { "SELECT jit_grant('SELECT ON eve.t', 'secops', make_interval(secs => " . (3600 + 60 * $_) . "), 'x') AS n$_ \\gset\n" } 1 .. 135) . "COMMIT;\n";
	$storm .= "SELECT format('SELECT jit_approve(%s)', request) FROM jit.inbox LIMIT 20 \\gexec\n";
	$storm .= join '', map { "SELECT jit_revoke(:n$_);\n" } 1 .. 135;
}
my @storm = (worker($node, 'eve', 'hr_prod', $storm),
	worker($node, 'mallory', 'hr_prod', join '', map { "SELECT jit_request('SELECT ON eve.t', make_interval(secs => 36000 + 60 * $_), 'x', grantee => 'others');\nSELECT pg_sleep(0.05);\n" } 1 .. 20 * $seconds));

sleep($seconds < 5 ? 5 : $seconds);
my $went_on = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'worker' AND usename ~ '^d[1-8]$'});
my $done = $node->safe_psql('hr_prod', q{SELECT count(*) FROM jit.events WHERE event = 'activated'});
end_workers($node);
cmp_ok($done, '>', 8 + 135, "a storm: $done times access was given");
is($went_on, '8', 'the eight have gone on all the while');
is_deeply(errors_of(@relying), {}, 'no statement of the eight is cut off');
errors_of(@storm);
$node->stop;
done_testing();
