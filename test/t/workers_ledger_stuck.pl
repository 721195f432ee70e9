# A ledger that can't be written, since a request of a batch is refused or the
# disk is full, and commits that wait for a standby, have no part in the end of
# access: the next statement is denied and a running one cut off; when they can
# again, the workers catch up.  The log says so once, not per second.
#
# Guards the deadline in enforce.c and cutoff.c against relying on workers.
# Seen to fail with the failure to settle a request logged each time; with
# requests that failed together not tried one by one; and with sweepers that
# wait for standbys.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('ledger', "wal_level = replica\nmax_wal_senders = 1");
$node->safe_psql('postgres', q{
	CREATE ROLE dev LOGIN;
	CREATE TABLE secret AS SELECT i AS x FROM generate_series(1, 10) i;
});

# one request of a batch can't be settled
stop_launcher($node);
my @ids = map { grant_access($node, 'SELECT ON secret', 'dev', '3 s') } 1 .. 3;
$node->safe_psql('postgres', qq{ALTER TABLE jit.requests ADD CONSTRAINT stuck CHECK (id <> $ids[1] OR status = 'active')});
wait_for_deadline($node, $_) for @ids;
my $offset = -s $node->logfile;
continue_launcher();
ok($node->poll_query_until('postgres', qq{SELECT count(*) = 2 FROM jit.requests WHERE id IN ($ids[0], $ids[2]) AND status = 'expired'}), 'one of a batch: the others are settled');
logged_once($node, 'one of a batch', qr/jit_access: request $ids[1] in postgres could not be settled/, $offset);
is($node->safe_psql('postgres', qq{SELECT string_agg(request_id::text, ' ' ORDER BY id) FROM jit.events WHERE event = 'expired' AND request_id IN ($ids[0], $ids[1], $ids[2])}),
	"$ids[0] $ids[2]", 'one of a batch: an event for each that is');
$node->safe_psql('postgres', 'ALTER TABLE jit.requests DROP CONSTRAINT stuck');
catches_up($node, 'one of a batch');

# commits wait for a standby that never comes; the launcher ends such a sweeper
# after a minute, but it needn't come to that
$offset = -s $node->logfile;
grant_access($node, 'SELECT ON secret', 'dev', '3 s');
$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
$node->reload;
catches_up($node, 'no standby');
unlike(substr(slurp_file($node->logfile), $offset), qr/canceling the wait for synchronous replication/, 'no standby: sweepers do not wait for it');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;

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
		CREATE TEMP SEQUENCE number;
		DO $$
		DECLARE
			pages int;
		BEGIN
			INSERT INTO jit.events (origin, id, at, event, detail) SELECT 'f', nextval('number'), now(), 'filler', '{}' FROM generate_series(1, 20000);
			pages := pg_relation_size('jit.events') / 8192;
			ASSERT pages > 128;
			WHILE pg_relation_size('jit.events') / 8192 = pages LOOP
				INSERT INTO jit.events (origin, id, at, event, detail) SELECT 'f', nextval('number'), now(), 'filler', '{}';
			END LOOP;
			-- all but the first row of the page that this has begun
			INSERT INTO jit.events (origin, id, at, event, detail) SELECT 'f', nextval('number'), now(), 'filler', '{}' FROM jit.events
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
my $id = grant_access($node, 'SELECT ON secret', 'dev', '15 s');
fill_events($node);
$offset = -s $node->logfile;
limit_files(1024 * 1024);
ends_without_workers($node, 'disk full', $id);
logged_once($node, 'disk full', qr/jit_access: sweeper failed in the database with OID \d+: could not (extend|write)/, $offset);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE rolname LIKE 'jit\_grant\_%'}),
	'disk full: roles are seen to all the same');
limit_files('unlimited');
catches_up($node, 'disk full');

$node->stop;
done_testing();
