# Workers that are killed, stopped, can't be started, can't reach a database
# or can't write to the disk have no part in the end of access: the next
# statement is denied and a running one cut off; when they can again they
# catch up.  The log says so once, not per second.
#
# Guards the deadline in enforce.c and cutoff.c against relying on workers.
# Seen to fail with roles believed in past their deadline, and with the
# failure to start a sweeper, or to settle a request, logged each time; with
# requests that failed together not tried one by one; with sweepers that wait
# for standbys; with the roles of many not ended first; and with a role that
# is being altered believed to be alterable.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('stuck', "wal_level = replica\nmax_wal_senders = 1\nmax_worker_processes = 4\nmax_parallel_workers = 4\nrestart_after_crash = on");
$node->safe_psql('postgres', q{
	CREATE ROLE dev LOGIN;
	CREATE TABLE secret AS SELECT i AS x FROM generate_series(1, 10) i;
	CREATE DATABASE away;
});
$node->safe_psql('away', 'CREATE EXTENSION jit_access; CREATE TABLE secret AS SELECT 1 AS x');
my $denied = qr/ERROR:  42501: permission denied for table secret\n/;
my $settled = q{SELECT count(*) = 0 FROM jit.requests WHERE status = 'active' AND expires_at < clock_timestamp()};

# Access under a grant, a new one if none is named, and its end while the
# workers can't.
sub ends_without_workers
{
	my ($how, $id) = @_;
	my $s = session($node, 'dev');
	$id //= grant_access($node, 'SELECT ON secret', 'dev', '6 s');
	is($s->do('SELECT count(*) FROM secret'), '10', "$how: access");
	$s->begin('SELECT pg_sleep(600) FROM secret');
	like(($s->end)[1], qr/${CUT_OFF}DETAIL:  Request $id in postgres expired/, "$how: a running statement is cut off");
	like(($s->do('SELECT count(*) FROM secret'))[1], $denied, "$how: the next is denied");
	is($node->safe_psql('postgres', qq{SELECT status FROM jit.requests WHERE id = $id}), 'active', "$how: the workers had no part in it");
	$s->quit;
	return $id;
}

# Through some seconds of retries.
sub logged_once
{
	my ($how, $message, $from) = @_;
	$node->wait_for_log($message, $from);
	my $until = $node->safe_psql('postgres', q{SELECT clock_timestamp() + interval '4 s'});
	$node->poll_query_until('postgres', "SELECT clock_timestamp() > '$until'");
	my $log = substr(slurp_file($node->logfile), $from);
	is(scalar(() = $log =~ /$message/g), 1, "$how: the log says so once");
	return;
}

sub catches_up
{
	my ($how) = @_;
	ok($node->poll_query_until('postgres', $settled), "$how: the workers catch up");
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}), "$how: the roles are gone");
	return;
}

# the launcher is stopped
stop_launcher($node);
ends_without_workers('SIGSTOP');
continue_launcher();
catches_up('SIGSTOP');

# the launcher is killed, and the server resets
my $offset = -s $node->logfile;
my $id = grant_access($node, 'SELECT ON secret', 'dev', '3 s');
kill 'KILL', launcher_pid($node);
$node->wait_for_log(qr/all server processes terminated; reinitializing/, $offset);
wait_for_server($node);
wait_for_deadline($node, $id);
like((sql($node, 'dev', 'SELECT count(*) FROM secret'))[1], $denied, 'SIGKILL: denied');
catches_up('SIGKILL');

# one request of a batch can't be settled
stop_launcher($node);
my @ids = map { grant_access($node, 'SELECT ON secret', 'dev', '3 s') } 1 .. 3;
$node->safe_psql('postgres', qq{ALTER TABLE jit.requests ADD CONSTRAINT stuck CHECK (id <> $ids[1] OR status = 'active')});
wait_for_deadline($node, $_) for @ids;
$offset = -s $node->logfile;
continue_launcher();
ok($node->poll_query_until('postgres', qq{SELECT count(*) = 2 FROM jit.requests WHERE id IN ($ids[0], $ids[2]) AND status = 'expired'}), 'one of a batch: the others are settled');
logged_once('one of a batch', qr/jit_access: request $ids[1] in postgres could not be settled/, $offset);
is($node->safe_psql('postgres', qq{SELECT string_agg(request_id::text, ' ' ORDER BY id) FROM jit.events WHERE event = 'expired' AND request_id IN ($ids[0], $ids[1], $ids[2])}),
	"$ids[0] $ids[2]", 'one of a batch: an event for each that is');
$node->safe_psql('postgres', 'ALTER TABLE jit.requests DROP CONSTRAINT stuck');
catches_up('one of a batch');

# the ledger of more than a batch can't be written: the roles don't wait for it
stop_launcher($node);
$offset = -s $node->logfile;
$node->safe_psql('postgres', q{
	SET client_min_messages = error;
	DO $$
	BEGIN
		FOR i IN 1 .. 510 LOOP
			EXECUTE format('CREATE ROLE many%s', i);
			PERFORM jit_grant('SELECT ON secret', 'many' || i, '1 s', 'test');
		END LOOP;
	END $$;
	ALTER TABLE jit.requests ADD CONSTRAINT stuck CHECK (status <> 'expired') NOT VALID;
});
# one of the roles is being altered, and another was granted something
my @hindered = split /\n/, $node->safe_psql('postgres', q{SELECT role FROM jit.grants WHERE grantee IN ('many1', 'many2') ORDER BY 1});
my $alter = session($node, 'postgres');
$alter->do("BEGIN; ALTER ROLE $hindered[0] CONNECTION LIMIT 5");
$node->safe_psql('postgres', "GRANT SELECT ON secret TO $hindered[1]");
$node->poll_query_until('postgres', 'SELECT max(expires_at) < clock_timestamp() FROM jit.requests');
my $start = time;
continue_launcher();
ok($node->poll_query_until('postgres', qq{SELECT string_agg(rolname, ' ' ORDER BY rolname) = '@hindered' FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}),
	'more than a batch: the roles are gone that can be');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE r.rolname LIKE 'jit_grant_%'}), 0,
	'more than a batch: the others have no members');
SKIP:
{
	# a sweeper that gets nowhere for 5 s is helped by another, which does that
	skip 'the machine is too slow', 1 if time - $start >= 5;
	is(scalar(() = substr(slurp_file($node->logfile), $offset) =~ /whose time is over/g), 0, 'more than a batch: and not for a second try');
}
my $many = q{FROM jit.requests WHERE grantee LIKE 'many%'};
is($node->safe_psql('postgres', "SELECT status, count(*) $many GROUP BY 1"), 'active|510', 'more than a batch: before the ledger');
$node->safe_psql('postgres', 'ALTER TABLE jit.requests DROP CONSTRAINT stuck');
ok($node->poll_query_until('postgres', $settled), 'more than a batch: the ledger does not wait for roles that are hindered');
$alter->do('ROLLBACK');
$alter->quit;
$node->safe_psql('postgres', "REVOKE SELECT ON secret FROM $hindered[1]");
# as the message says; a sweeper may be doing the same
$node->psql('postgres', "DROP ROLE IF EXISTS $_") for @hindered;
catches_up('more than a batch');
is($node->safe_psql('postgres', "SELECT status, ended_at = expires_at, count(*) $many GROUP BY 1, 2"), 'expired|t|510', 'more than a batch: the ledger says when');
is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT request_id) FROM jit.events WHERE event = 'expired' AND request_id IN (SELECT id $many)"),
	'510|510', 'more than a batch: one event each');

# commits wait for a standby that never comes; the launcher ends such a sweeper
# after a minute, but it needn't come to that
$offset = -s $node->logfile;
grant_access($node, 'SELECT ON secret', 'dev', '3 s');
$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
$node->reload;
catches_up('no standby');
unlike(substr(slurp_file($node->logfile), $offset), qr/canceling the wait for synchronous replication/, 'no standby: sweepers do not wait for it');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;

# all worker processes are in use: by parallel queries
my $hog = session($node, 'postgres');
$hog->do(q{CREATE TABLE big AS SELECT i AS x FROM generate_series(1, 10000) i; ALTER TABLE big SET (parallel_workers = 4);
	SET max_parallel_workers_per_gather = 4; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET jit = off});
# the launcher and the logical replication launcher have a place each; where a
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
ends_without_workers('max_worker_processes');
logged_once('max_worker_processes', qr/no sweeper could be started/, $offset);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($hog->{pid})");
catches_up('max_worker_processes');

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

# The disk is full, as far as the table of events goes: processes that start
# from here on can't write beyond the first megabyte of a file, and its last
# page has no room.
$node = new_server('full', '', extra => [ '--wal-segsize', '1' ]);
$node->safe_psql('postgres', q{
	CREATE ROLE dev LOGIN;
	CREATE TABLE secret AS SELECT i AS x FROM generate_series(1, 10) i;
});
sub fill_events
{
	my ($node) = @_;
	$node->safe_psql('postgres', q{
		DO $$
		DECLARE
			pages int;
		BEGIN
			INSERT INTO jit.events (event) SELECT 'filler' FROM generate_series(1, 20000);
			pages := pg_relation_size('jit.events') / 8192;
			ASSERT pages > 128;
			WHILE pg_relation_size('jit.events') / 8192 = pages LOOP
				INSERT INTO jit.events (event) VALUES ('filler');
			END LOOP;
			-- all but the first row of the page that this has begun
			INSERT INTO jit.events (event) SELECT 'filler' FROM jit.events
			WHERE ctid >= format('(%s,2)', pages - 1)::tid AND ctid < format('(%s,1)', pages)::tid;
			ASSERT pg_relation_size('jit.events') / 8192 = pages + 1;
		END $$});
	return;
}
sub limit_files
{
	my ($bytes) = @_;
	my $pid = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
	system_or_bail('prlimit', "--pid=$pid", "--fsize=$bytes:");
	return;
}
$id = grant_access($node, 'SELECT ON secret', 'dev', '15 s');
fill_events($node);
$offset = -s $node->logfile;
limit_files(1024 * 1024);
ends_without_workers('disk full', $id);
logged_once('disk full', qr/jit_access: request $id in postgres could not be settled/, $offset);
limit_files('unlimited');
is(scalar(() = slurp_file($node->logfile) =~ /sweeper failed/g), 0, 'disk full: roles are seen to all the same');
catches_up('disk full');

$node->stop;
done_testing();
