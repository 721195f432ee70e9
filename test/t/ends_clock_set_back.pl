# A clock that is set back doesn't bring access back, be it from the right time
# or from a wrong one that had been believed, while the server is up, over a
# crash or over a restart; and jit_reset_clock() mends a clock that had been
# wrong the other way, once it is committed.
#
# Guards jit_now() in clock.c, the floor at start, and what is kept of it over
# a crash.  The server's time of day is libfaketime's (Debian: libfaketime),
# which leaves CLOCK_BOOTTIME alone; without it the test is skipped.  Seen to
# fail with jit_now() returning the time of day, or not raising its base; with
# nothing kept over a crash; with no floor at start, or the beginning of its second; and with
# jit_reset_clock() resetting at once.
#
# Alone: one access has to end in the last fifth of a second, and the server to
# stop in the same.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use POSIX ();

my ($library) = glob '/usr/lib/*/faketime/libfaketime.so.1';
plan skip_all => 'libfaketime is not installed' unless defined $library;

my $file = PostgreSQL::Test::Utils::tempdir() . '/clock';
sub set_clock
{
	my ($offset) = @_;
	# in one step: the server reads it all the time
	append_to_file("$file.new", "$offset\n");
	rename "$file.new", $file or die "cannot set the clock: $!";
	return;
}
set_clock('+0');
my %fake = (LD_PRELOAD => $library, FAKETIME_TIMESTAMP_FILE => $file, FAKETIME_NO_CACHE => 1,
	DONT_FAKE_MONOTONIC => 1, FAKETIME_DONT_FAKE_MONOTONIC => 1, FAKETIME_DONT_RESET => 1);

my $node = PostgreSQL::Test::Cluster->new('clock');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'jit_access'\nrestart_after_crash = on");
sub start { local %ENV = (%ENV, %fake); $node->start; return; }
start();
$node->safe_psql('postgres', 'CREATE EXTENSION jit_access; CREATE ROLE dev LOGIN; CREATE TABLE secret AS SELECT 1 AS x');
my $denied = qr/ERROR:  42501: permission denied for table secret\n/;
my $now = 'SELECT extract(epoch FROM clock_timestamp())';
sub is_set { my ($offset) = @_; return abs($node->safe_psql('postgres', $now) - time - $offset) < 600; }

set_clock('+7200');
plan skip_all => 'libfaketime has no effect on this server' unless wait_until(sub { is_set(7200) }, 5);
# believed by whoever has looked
set_clock('+0');
$node->safe_psql('postgres', 'SELECT jit_reset_clock()');

# set back while the server is up: our time goes on
stop_launcher($node);
my $id = grant_access($node, 'SELECT ON secret', 'dev', '2 s');
is(scalar sql($node, 'dev', 'SELECT x FROM secret'), '1', 'access');
wait_for_deadline($node, $id);
like((sql($node, 'dev', 'SELECT x FROM secret'))[1], $denied, 'denied after the deadline');
set_clock('-3600');
ok(is_set(-3600), 'the clock is set back by an hour');
like((sql($node, 'dev', 'SELECT x FROM secret'))[1], $denied, 'and access does not come back');
continue_launcher();
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}), 'the workers go by our time as well');
set_clock('+0');

# wrongly ahead, and mended: what was said to have ended has ended
stop_launcher($node);
$id = grant_access($node, 'SELECT ON secret', 'dev', '30 min');
set_clock('+3600');
like((sql($node, 'dev', 'SELECT x FROM secret'))[1], qr/${denied}DETAIL:  Request $id in postgres expired at/, 'denied, the clock being an hour ahead');
set_clock('+0');
ok(is_set(0), 'the clock is mended');
like((sql($node, 'dev', 'SELECT x FROM secret'))[1], $denied, 'and access does not come back');

# unless a superuser says so
my $reset = 'SELECT jit_reset_clock()';
$node->safe_psql('postgres', "BEGIN; $reset; ROLLBACK");
$node->safe_psql('postgres', "BEGIN; SAVEPOINT a; $reset; ROLLBACK TO a; COMMIT");
like((sql($node, 'dev', 'SELECT x FROM secret'))[1], $denied, '... nor by a jit_reset_clock() that is rolled back');
like((sql($node, 'postgres', "BEGIN; SAVEPOINT a; $reset; RELEASE a; SET LOCAL ROLE dev; SELECT x FROM secret"))[1], $denied, '... nor by one that is not yet committed');
$node->safe_psql('postgres', "BEGIN; SAVEPOINT a; $reset; RELEASE a; COMMIT");
is(scalar sql($node, 'dev', 'SELECT x FROM secret'), '1', '... but by one that is');
revoke_access($node, $id);
continue_launcher();

# over a crash, without a checkpoint
stop_launcher($node);
$id = grant_access($node, 'SELECT ON secret', 'dev', '30 min');
set_clock('+3600');
like((sql($node, 'dev', 'SELECT x FROM secret'))[1], $denied, 'denied, the clock being an hour ahead');
set_clock('-3600');
my $offset = -s $node->logfile;
my $backend = session($node, 'postgres');
kill 'KILL', $backend->{pid};
# a stopped process takes no signal but this
continue_launcher();
$node->wait_for_log(qr/all server processes terminated; reinitializing/, $offset);
wait_for_server($node);
like((sql($node, 'dev', 'SELECT x FROM secret'))[1], $denied, 'access does not come back by a crash');
ok($node->poll_query_until('postgres', "SELECT status = 'expired' FROM jit.requests WHERE id = $id"), '... and the ledger says so');
set_clock('+0');
$node->safe_psql('postgres', $reset);

# over a restart: the last checkpoint is the floor, all of the second that is
# said of it, near the end of which this access ends.  Its role is still there:
# the launcher goes on only when it is to stop, and there is none afterwards.
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
stop_launcher($node);
$id = grant_access($node, 'SELECT ON secret', 'dev', $node->safe_psql('postgres', q{SELECT 2.8 - (extract(epoch FROM clock_timestamp()) % 1) || ' s'}));
wait_for_deadline($node, $id);
$offset = -s $node->logfile;
my $continuer = fork // die "cannot fork: $!";
unless ($continuer)
{
	$node->wait_for_log(qr/received fast shutdown request/, $offset);
	continue_launcher();
	POSIX::_exit(0);
}
$node->stop;
waitpid $continuer, 0;
set_clock('-86400');
$offset = -s $node->logfile;
start();
$node->wait_for_log(qr/the clock is behind the last checkpoint, whose time is used instead/, $offset);
ok(is_set(-86400), 'started with the clock a day behind');
like((sql($node, 'dev', 'SELECT x FROM secret'))[1], qr/ERROR:  42501/, 'access does not come back by a restart');

# jit_reset_clock()
like((sql($node, 'dev', 'SELECT jit_reset_clock()'))[1], qr/ERROR:  42501/, 'not for everybody');
$node->safe_psql('postgres', 'SELECT jit_reset_clock()');
is($node->safe_psql('postgres', q{SELECT count(*) FROM jit.events WHERE event = 'clock_reset' AND (detail->>'behind_seconds')::bigint BETWEEN 80000 AND 90000}), '1', 'it is an event');
revoke_access($node, $id);
$id = grant_access($node, 'SELECT ON secret', 'dev', '1 hour');
is($node->safe_psql('postgres', "SELECT expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '2 hours' FROM jit.requests WHERE id = $id"), 't', 'durations go by the clock again');

$node->stop;
done_testing();
