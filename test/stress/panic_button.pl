# Eight sessions approve as fast as they can, in two databases, and somebody
# presses the panic button every second.  What was activated before a press
# that has returned is denied within 2 seconds of becoming visible, and nothing
# of it is left.  (After every fifth press nobody presses for a while, or each
# press would clean up after the one before.)  Seen to fail where what has been
# called and not committed passes the press.
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
my $node = new_server('panic', "jit_access.max_pending = 10000\njit_access.max_active = 10000");
create_hr($node);
my @dbs = ('hr_prod', 'hr_test');
$node->safe_psql('postgres', 'CREATE DATABASE hr_test OWNER hr_owner');
$node->safe_psql('hr_test', q{CREATE EXTENSION jit_access; CREATE SCHEMA hr AUTHORIZATION hr_owner; GRANT USAGE ON SCHEMA hr TO dev;
	SET ROLE hr_owner; CREATE TABLE hr.salary AS SELECT i AS emp_no FROM generate_series(1, 100) i});
my $panic = session($node, getpwuid($<) . '', 'hr_prod');
my $watcher = session($node, getpwuid($<) . '');
# somebody files all the while, as a press cancels what is pending
foreach my $db (@dbs)
{
	worker($node, 'dev', $db, join '', map { "SELECT jit_request('SELECT ON hr.salary', '1 hour $_ s', 'x');\n" } 1 .. 1000 * $seconds + 1000);
	foreach my $k (0 .. 3)
	{
		# every other one takes its time between the call and its commit
		my $pause = $k % 2 ? " || format('; SELECT pg_sleep(%s)', random() * 0.3)" : '';
		worker($node, 'anna', $db, "SELECT format('SELECT jit_approve(%s)', request)$pause FROM jit.inbox WHERE request % 4 = $k LIMIT 50 \\gexec\n" x (200 * $seconds + 200));
	}
}

my $end = time + $seconds;
my (%first, %last, @presses, $pressing);
my $pause = 1;
my $next = time + $pause;
my $live = q{SELECT r.rolname || ' ' || extract(epoch FROM clock_timestamp()) FROM pg_auth_members m JOIN pg_authid r ON r.oid = m.roleid
	WHERE r.rolname ~ '^jit_grant_' AND r.rolvaliduntil > clock_timestamp()};

# Those who have access now
sub watch
{
	foreach (split /\n/, $watcher->do($live))
	{
		my ($role, $at) = split / /;
		$first{$role} //= $at;
		$last{$role} = $at;
	}
	return;
}
sub press
{
	my ($begun, undef, $ended) = split /\n/, $panic->do(q{SET client_min_messages = error; SELECT extract(epoch FROM clock_timestamp()); SELECT jit_revoke_all('panic'); SELECT extract(epoch FROM clock_timestamp())});
	push @presses, [ $begun, $ended // die $panic->{last_err} ];
	$pause = @presses % 5 ? 1 : 4;
	$next = time + $pause;
	return;
}
while (time < $end)
{
	press() if time >= $next;
	watch();
	sleep(0.1);
}
press();
sleep(0.5);
my @ended = end_workers($node);
my $over = time + 4;
while (time < $over) { watch(); sleep(0.1); }
press();

my %activated;
foreach my $db (@dbs)
{
	my $oid = $node->safe_psql('postgres', "SELECT oid FROM pg_database WHERE datname = '$db'");
	foreach (split /\n/, $node->safe_psql($db, 'SELECT id, extract(epoch FROM activated_at) FROM jit.requests WHERE activated_at IS NOT NULL'))
	{
		my ($id, $at) = split /\|/;
		$activated{"jit_grant_${oid}_$id"} = $at;
	}
}
cmp_ok(scalar keys %activated, '>', 8, (scalar keys %activated) . ' approved, ' . @presses . ' presses');
my @late;
foreach my $role (sort keys %last)
{
	next unless defined $activated{$role};
	foreach my $press (@presses)
	{
		my ($begun, $ended) = @$press;
		next if $activated{$role} >= $begun;
		my $since = $first{$role} > $ended ? $first{$role} : $ended;
		# what the watcher itself takes, and its pauses
		push @late, sprintf('%s: activated %.2f s before a press, and there %.2f s after', $role, $begun - $activated{$role}, $last{$role} - $since) if $last{$role} > $since + 2.5;
		last;
	}
}
is_deeply(\@late, [], 'what was activated before a press is denied within 2 seconds');
my ($slowest) = sort { $b <=> $a } map { $_->[1] - $_->[0] } @presses;
cmp_ok($slowest, '<', 5, sprintf('the slowest press took %.1f s', $slowest));
ok(wait_until(sub { $watcher->do($live) eq '' }, 3), 'nothing of it is left');
foreach my $db (@dbs)
{
	like((sql($node, 'dev', 'SELECT count(*) FROM hr.salary', $db))[1], qr/ERROR:  42501: /, "$db: denied");
	is($node->safe_psql($db, q{SELECT count(*) FROM jit.requests r WHERE status = 'active' AND NOT EXISTS (SELECT FROM jit.events e WHERE e.request_id = r.id AND event = 'activated')}), '0', "$db: nothing is active without an event");
}
my $errors = errors_of(@ended);
is_deeply([ grep { !/^(55000|55P03)$/ } keys %$errors ], [], 'all errors are of those who came too late, or had to wait');
$_->quit for $panic, $watcher;
$node->stop;
done_testing();
