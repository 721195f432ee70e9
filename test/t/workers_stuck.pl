# Workers that are killed, stopped, can't be started or can't reach a database
# have no part in the end of access: the next statement is denied and a running
# one cut off; when they can again they catch up.  The log says so once, not per
# second.
#
# Guards the deadline in enforce.c and cutoff.c against relying on workers.
# Seen to fail with roles believed in past their deadline, and with the
# failure to start a sweeper logged each time.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('stuck', "max_worker_processes = 5\nmax_parallel_workers = 5\nrestart_after_crash = on");
$node->safe_psql('postgres', q{
	CREATE ROLE dev LOGIN;
	CREATE TABLE secret AS SELECT i AS x FROM generate_series(1, 10) i;
	CREATE DATABASE away;
});
$node->safe_psql('away', 'CREATE EXTENSION jit_access; CREATE TABLE secret AS SELECT 1 AS x');
my $denied = qr/ERROR:  42501: permission denied for table secret\n/;
my $settled = q{SELECT count(*) = 0 FROM jit.requests WHERE status = 'active' AND expires_at < clock_timestamp()};

# the launcher is stopped
stop_launcher($node);
ends_without_workers($node, 'SIGSTOP');
continue_launcher();
catches_up($node, 'SIGSTOP');

# the launcher is killed, and the server resets
my $offset = -s $node->logfile;
my $id = grant_access($node, 'SELECT ON secret', 'dev', '3 s');
kill 'KILL', launcher_pid($node);
$node->wait_for_log(qr/all server processes terminated; reinitializing/, $offset);
wait_for_server($node);
wait_for_deadline($node, $id);
like((sql($node, 'dev', 'SELECT count(*) FROM secret'))[1], $denied, 'SIGKILL: denied');
catches_up($node, 'SIGKILL');

# all worker processes are in use: by parallel queries
my $hog = session($node, 'postgres');
$hog->do(q{CREATE TABLE big AS SELECT i AS x FROM generate_series(1, 10000) i; ALTER TABLE big SET (parallel_workers = 4);
	SET max_parallel_workers_per_gather = 4; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET jit = off});
# the launcher, the spare sweeper and the logical replication launcher have a place each; where a
# sweeper has another, once more
ok(wait_until(sub {
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'jit_access sweeper'});
	$offset = -s $node->logfile;
	$hog->begin('SELECT count(pg_sleep(0.5)) FROM big');
	return 1 if wait_until(sub { $node->safe_psql('postgres', q{SELECT count(*) >= 2 FROM pg_stat_activity WHERE backend_type = 'parallel worker'}) eq 't' }, 5);
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($hog->{pid})");
	$hog->end;
	return 0;
}), 'no worker process is left');
ends_without_workers($node, 'max_worker_processes');
logged_once($node, 'max_worker_processes', qr/no sweeper could be started/, $offset);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($hog->{pid})");
catches_up($node, 'max_worker_processes');

# a database that can't be reached: its files are elsewhere
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'away'});
$id = $node->safe_psql('away', q{SELECT jit_grant('SELECT ON secret', 'dev', '3 s', 'x')});
my $oid = $node->safe_psql('postgres', q{SELECT oid FROM pg_database WHERE datname = 'away'});
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'away'});
my $dir = $node->data_dir . "/base/$oid";
rename $dir, "$dir.away" or die "cannot rename: $!";
$offset = -s $node->logfile;
my $there = ends_without_workers_in_another();
my $log = substr(slurp_file($node->logfile), $offset);
cmp_ok(scalar(() = $log =~ /jit_access: sweeper failed/g), '<=', 1, 'unreachable: the log says so once at most');
cmp_ok(scalar(() = $log =~ /does not exist|not a valid data directory/g), '<', 5, 'unreachable: nor is there a message per second');
rename "$dir.away", $dir or die "cannot rename back: $!";
ok($node->poll_query_until('away', $settled), 'reachable again: the workers catch up');
ok($node->poll_query_until('away', q{SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}), 'the roles are gone');

# Its grants lose their members through another database, whose own are
# settled as ever.
sub ends_without_workers_in_another
{
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE r.rolname LIKE 'jit_grant_%'}), 'unreachable: its grants lose their members');
	my $own = grant_access($node, 'SELECT ON secret', 'dev', '1 s');
	ok($node->poll_query_until('postgres', "SELECT status = 'expired' FROM jit.requests WHERE id = $own"), 'unreachable: others are settled');
	return $own;
}

$node->stop;
done_testing();
