# A clock that is set back doesn't bring access back, neither while the
# server is up nor over a restart, and jit_reset_clock() mends a clock that
# had been wrong the other way.
#
# Guards jit_now() in clock.c and the floor at start.  The server's time of
# day is libfaketime's (Debian: libfaketime), which leaves CLOCK_BOOTTIME
# alone; without it the test is skipped.  Seen to fail with jit_now() returning
# the time of day.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

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
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'jit_access'");
sub start { local %ENV = (%ENV, %fake); $node->start; return; }
start();
$node->safe_psql('postgres', 'CREATE EXTENSION jit_access; CREATE ROLE dev LOGIN; CREATE TABLE secret AS SELECT 1 AS x');
my $denied = qr/ERROR:  42501: permission denied for table secret\n/;
my $now = 'SELECT extract(epoch FROM clock_timestamp())';
sub is_set { my ($offset) = @_; return abs($node->safe_psql('postgres', $now) - time - $offset) < 600; }

set_clock('+7200');
plan skip_all => 'libfaketime has no effect on this server' unless wait_until(sub { is_set(7200) }, 5);
set_clock('+0');

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

# over a restart: the last checkpoint is the floor
stop_launcher($node);
$id = grant_access($node, 'SELECT ON secret', 'dev', '2 s');
wait_for_deadline($node, $id);
continue_launcher();
$node->safe_psql('postgres', 'CHECKPOINT');
$node->stop;
set_clock('-86400');
my $offset = -s $node->logfile;
start();
$node->wait_for_log(qr/the clock is behind the last checkpoint, whose time is used instead/, $offset);
ok(is_set(-86400), 'started with the clock a day behind');
like((sql($node, 'dev', 'SELECT x FROM secret'))[1], qr/ERROR:  42501/, 'access does not come back by a restart');

# jit_reset_clock()
like((sql($node, 'dev', 'SELECT jit_reset_clock()'))[1], qr/ERROR:  42501/, 'not for everybody');
$node->safe_psql('postgres', 'SELECT jit_reset_clock()');
is($node->safe_psql('postgres', q{SELECT count(*) FROM jit.events WHERE event = 'clock_reset' AND (detail->>'behind_seconds')::bigint BETWEEN 80000 AND 90000}), '1', 'it is an event');
$id = grant_access($node, 'SELECT ON secret', 'dev', '1 hour');
is($node->safe_psql('postgres', "SELECT expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '2 hours' FROM jit.requests WHERE id = $id"), 't', 'durations go by the clock again');

$node->stop;
done_testing();
