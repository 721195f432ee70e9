# A transaction that wrote through temporary access which has ended by its
# commit is rolled back, unless jit_access.commit_after_expiry is on; PREPARE
# TRANSACTION is refused after any use of it (see running_locks).
#
# Guards cutoff_xact_callback() in cutoff.c; the launcher is stopped.  Seen to
# fail with the checks of its PRE_COMMIT and PRE_PREPARE cases taken out, what
# waits for a lock without command_closure in enforce.c, and DDL under SET ROLE
# without note_set_role_reliance() in check_object_access(), functions noted as
# writing nothing, and without jit_judge_commit_first().
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('transactions', 'max_prepared_transactions = 5');
$node->safe_psql('postgres', q{
	CREATE ROLE dev LOGIN; CREATE ROLE writer;
	CREATE TABLE secret (x int); CREATE TABLE cut (x int); INSERT INTO cut VALUES (1);
	CREATE TABLE open (x int); GRANT SELECT, INSERT ON open TO PUBLIC;
	CREATE TABLE of_writer (x int); GRANT SELECT, INSERT ON of_writer TO writer;
	CREATE TABLE copied (x int);
	CREATE TABLE paid (x int);
	CREATE FUNCTION pay(int) RETURNS void SECURITY DEFINER LANGUAGE sql AS 'INSERT INTO paid VALUES ($1)';
	REVOKE EXECUTE ON FUNCTION pay(int) FROM PUBLIC;
	CREATE TABLE altered (x int); ALTER TABLE altered OWNER TO writer;
	CREATE TABLE altered_too (x int); ALTER TABLE altered_too OWNER TO writer;
	CREATE TABLE dropped_too (x int); ALTER TABLE dropped_too OWNER TO writer;
	CREATE TABLE dropped (x int); ALTER TABLE dropped OWNER TO writer;
	CREATE SCHEMA writers AUTHORIZATION writer;
	CREATE TABLE writers.indexed (x int); ALTER TABLE writers.indexed OWNER TO writer;
	CREATE TABLE dev_has (x int); ALTER TABLE dev_has OWNER TO dev;
	CREATE SCHEMA devs AUTHORIZATION dev;
	CREATE PROCEDURE committing() LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO secret VALUES (101); COMMIT;
		INSERT INTO open VALUES (101); PERFORM pg_advisory_xact_lock(1); COMMIT;
		INSERT INTO open VALUES (102); COMMIT;
		INSERT INTO secret VALUES (102); COMMIT;
	END $$;
});
my $access = 'SELECT, INSERT, UPDATE, DELETE ON secret; INSERT ON copied; TRUNCATE ON cut; EXECUTE ON FUNCTION pay(int); CREATE ON SCHEMA writers; INSERT ON far; writer';
# elsewhere, where PostgreSQL commits by itself
my $has_fdw = -e $node->config_data('--sharedir') . '/extension/postgres_fdw.control';
$node->safe_psql('postgres', !$has_fdw ? 'CREATE TABLE far (x int)' : 'CREATE TABLE remote (x int); CREATE EXTENSION postgres_fdw;'
	. "CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '" . $node->host . "', port '" . $node->port . "', dbname 'postgres');"
	. q{CREATE USER MAPPING FOR dev SERVER loop OPTIONS (user 'postgres', password_required 'false');
		CREATE FOREIGN TABLE far (x int) SERVER loop OPTIONS (table_name 'remote')});
my @writes = (
	[ 'foreign table', 'INSERT INTO far VALUES (8)' ],
	[ 'INSERT', 'INSERT INTO secret VALUES (1)' ],
	[ 'UPDATE', 'UPDATE secret SET x = 2 WHERE x = 0' ],
	[ 'DELETE', 'DELETE FROM secret WHERE x = 1000' ],
	[ 'modifying CTE', 'WITH w AS (INSERT INTO secret VALUES (3) RETURNING x) SELECT x FROM w' ],
	[ 'function', 'SELECT pay(1)' ],
	[ 'LOCK TABLE', 'LOCK TABLE secret IN ROW EXCLUSIVE MODE' ],
	[ 'DO', 'DO $$ BEGIN INSERT INTO secret VALUES (4); END $$' ],
	[ 'COPY', "\\copy copied FROM PROGRAM 'echo 5'\n" ],
	[ 'TRUNCATE', 'TRUNCATE cut' ],
	[ 'ALTER TABLE', 'ALTER TABLE altered ADD COLUMN y int' ],
	[ 'DROP TABLE', 'DROP TABLE dropped' ],
	[ 'CREATE TABLE', 'CREATE TABLE writers.made (x int)' ],
	[ 'CREATE INDEX', 'CREATE INDEX made_too ON writers.indexed (x)' ],
	[ 'SET ROLE', 'SET LOCAL ROLE writer; INSERT INTO of_writer VALUES (6); RESET ROLE' ],
	[ 'ALTER TABLE under SET ROLE', 'SET LOCAL ROLE writer; ALTER TABLE altered_too ALTER x TYPE bigint; RESET ROLE' ],
	[ 'DROP TABLE under SET ROLE', 'SET LOCAL ROLE writer; DROP TABLE dropped_too; RESET ROLE' ],
	[ 'CREATE TABLE under SET ROLE', 'SET LOCAL ROLE writer; CREATE TABLE writers.made_by_writer (x int); RESET ROLE' ],
	[ 'COPY under SET ROLE', "SET LOCAL ROLE writer;\n\\copy of_writer FROM PROGRAM 'echo 7'\nRESET ROLE" ],
);
$node->safe_psql('postgres', 'INSERT INTO secret VALUES (0), (1000)');
my $state = q{SELECT (SELECT array_agg(x) FROM secret), (SELECT array_agg(x) FROM cut), (SELECT array_agg(x) FROM of_writer), (SELECT array_agg(x) FROM copied), (SELECT array_agg(x) FROM paid), (SELECT array_agg(x) FROM } . ($has_fdw ? 'remote' : 'far') . q{), (SELECT array_agg(attname) FROM pg_attribute WHERE attrelid = 'altered'::regclass AND attnum > 0), to_regclass('dropped'), to_regclass('writers.made'), to_regclass('writers.made_too')};
my $before = $node->safe_psql('postgres', $state);
my $rolled_back = qr/ERROR:  42501: transaction is rolled back: the temporary access that it wrote through has ended/;

stop_launcher($node);
for my $how ('deadline', 'revocation')
{
	sweep($node);
	my $detail = $how eq 'deadline' ? 'expired at' : 'was revoked';
	my $other = session($node, 'dev');
	my $late = session($node, 'dev');
	my $reader = session($node, 'dev');
	my $lock = session($node, 'postgres');
	my $procedure = session($node, 'dev');
	push @$_, session($node, 'dev') for @writes;
	my $id = grant_access($node, $access, 'dev', $how eq 'deadline' ? '6 s' : '1 hour');

	for my $write (@writes)
	{
		my ($name, $sql) = @$write;
		$write->[-1]->do('BEGIN');
		my ($out, $err) = $write->[-1]->do($sql);
		is($err, '', "$how: $name before");
	}
	$other->do('BEGIN; SELECT count(*) FROM secret; INSERT INTO open VALUES (1); ALTER TABLE dev_has ADD COLUMN y int; DROP TABLE dev_has; CREATE TEMP TABLE dev_has (x int); CREATE TABLE devs.made (x int); CREATE INDEX ON devs.made (x); DROP TABLE devs.made');
	$reader->do('BEGIN; SELECT count(*) FROM secret');
	$late->do('BEGIN; INSERT INTO secret VALUES (9); SAVEPOINT s');
	$lock->do('BEGIN; SELECT pg_advisory_xact_lock(1)');
	$procedure->begin('CALL committing()');
	ok($node->poll_query_until('postgres', qq{SELECT wait_event = 'advisory' FROM pg_stat_activity WHERE pid = $procedure->{pid}}), "$how: a procedure has committed");

	if ($how eq 'deadline') { wait_for_deadline($node, $id); }
	else { revoke_access($node, $id); }

	for my $write (@writes)
	{
		my ($out, $err) = $write->[-1]->do('COMMIT');
		like($err, qr/$rolled_back\nDETAIL:  Request $id in postgres $detail.*\nHINT:  Ask for access anew and repeat the transaction\./, "$how: COMMIT after $write->[0] fails");
		(pop @$write)->quit;
	}
	$late->do('ROLLBACK TO s');
	like(($late->do('COMMIT'))[1], $rolled_back, "$how: also after ROLLBACK TO SAVEPOINT");
	is(($reader->do('COMMIT'))[1], '', "$how: what has only read commits");
	is(($other->do('COMMIT'))[1], '', "$how: what was written otherwise commits");
	$lock->do('ROLLBACK');
	my ($out, $err) = $procedure->end;
	like($err, qr/ERROR:  (42501: permission denied for table secret|57014)/, "$how: a procedure gets no further than its next use");
	$node->safe_psql('postgres', 'CREATE TABLE dev_has (x int); ALTER TABLE dev_has OWNER TO dev');
	$_->quit for $other, $late, $lock, $procedure, $reader;
	is($node->safe_psql('postgres', "DELETE FROM secret WHERE x = 101; $state"), $before, "$how: nothing of it is there");
	is($node->safe_psql('postgres', 'SELECT array_agg(x) FROM open; TRUNCATE open'), $err =~ /57014/ ? '{1}' : '{1,101,102}', "$how: but what did not rely on it");
}

# what waited for a lock after PostgreSQL had checked it, until nothing was
# left to be judged
$node->safe_psql('postgres', q{
	CREATE TABLE devs.parent (x int); ALTER TABLE devs.parent OWNER TO dev;
	CREATE SCHEMA mixed AUTHORIZATION writer;
	CREATE TABLE mixed.of_writer (x int); ALTER TABLE mixed.of_writer OWNER TO writer;
	CREATE TABLE mixed.of_dev (x int); ALTER TABLE mixed.of_dev OWNER TO dev;
});
for my $wait ([ 'devs.parent', 'CREATE TABLE writers.late () INHERITS (devs.parent)' ], [ 'mixed.of_dev', 'DROP SCHEMA mixed CASCADE' ])
{
	my $lock = session($node, 'dev');
	my $late = session($node, 'dev');
	my $id = grant_access($node, $access, 'dev', '1 hour');
	$lock->do("BEGIN; LOCK TABLE $wait->[0]");
	$late->begin($wait->[1]);
	ok($node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $late->{pid}"), "$wait->[1] waits");
	revoke_access($node, $id);
	$lock->do('COMMIT');
	like(($late->end)[1], qr/ERROR:  42501: (permission denied|must be owner)/, '... and is denied');
	$_->quit for $lock, $late;
}
is($node->safe_psql('postgres', q{SELECT to_regclass('writers.late'), to_regclass('mixed.of_writer')}), '|mixed.of_writer', 'nothing of it was done');

# PREPARE TRANSACTION
my $id = grant_access($node, $access, 'dev', '1 hour');
my $s = session($node, 'dev');
like(($s->do("BEGIN; INSERT INTO secret VALUES (1); PREPARE TRANSACTION 'one'"))[1], qr/ERROR:  0A000: cannot PREPARE a transaction that has relied on temporary access/, 'PREPARE TRANSACTION is refused');
$s->do('ROLLBACK');
for my $sql ('SELECT pay(2)', 'LOCK TABLE secret IN ACCESS EXCLUSIVE MODE')
{
	like(($s->do("BEGIN; $sql; PREPARE TRANSACTION 'one'"))[1], qr/ERROR:  0A000: cannot PREPARE a transaction that has relied on temporary access/, "... after $sql");
	$s->do('ROLLBACK');
}
is(($s->do("BEGIN; SELECT count(*) FROM open; INSERT INTO open VALUES (1); PREPARE TRANSACTION 'two'"))[1], '', '... not after other writes');
$node->safe_psql('postgres', "ROLLBACK PREPARED 'two'");
is(($s->do('BEGIN; INSERT INTO secret VALUES (8); COMMIT; BEGIN; INSERT INTO open VALUES (2)'))[1], '', 'committed in time');
revoke_access($node, $id);
is(($s->do('COMMIT'))[1], '', 'what was written in an earlier transaction does not matter');

# the setting
$id = grant_access($node, $access, 'dev', '1 hour');
like(($s->do('SET jit_access.commit_after_expiry = on'))[1], qr/ERROR/, 'the setting is not the user\'s');
$node->safe_psql('postgres', 'ALTER SYSTEM SET jit_access.commit_after_expiry = on; SELECT pg_reload_conf()');
$s->quit;
$s = session($node, 'dev');
ok($node->poll_query_until('postgres', q{SELECT current_setting('jit_access.commit_after_expiry') = 'on'}), 'set');
$s->do('BEGIN; INSERT INTO secret VALUES (10)');
revoke_access($node, $id);
is(($s->do('COMMIT'))[1], '', 'with jit_access.commit_after_expiry it is committed');
is($node->safe_psql('postgres', 'SELECT count(*) FROM secret WHERE x = 10'), '1', '... and there');
$s->quit;

continue_launcher();
$node->stop;
done_testing();
