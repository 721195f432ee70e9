# The hint of a denial knows the ledger and the policies: what is pending and
# who is waited for, what was rejected and why, what could be filed, and what
# a policy forbids; and it tells of nothing that doesn't concern whom it tells.
# Whatever goes wrong while it is made, the denial is reported as it was.
#
# Seen to fail with these taken out of enforce/hint.c: what catches an error of
# the other wing's (1 below), the look at each privilege and
# column (2), the standing closure (3), lock_timeout (4), the notes of the
# session in what is kept (5), and the context of frames further out (6); and
# of request/suggest.c: the shorter duration (7), and the escaping (8).
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('day_hints');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{shared_preload_libraries = 'jit_access'});
$node->start;

sub sql
{
	my ($user, $sql, $on) = @_;
	return ($on // $node)->psql('hr_prod', $sql, extra_params => [ '-U', $user ]);
}

# what a statement that is denied says, its HINT and what it says besides
sub denied
{
	my ($user, $sql, $on) = @_;
	my ($rc, $out, $err) = sql($user, "\\set VERBOSITY verbose\n$sql", $on);
	return "not denied: $err" unless $err =~ /ERROR:  42501: permission denied/;
	return $err =~ /^HINT:  (.*)$/m ? $1 : 'no hint';
}

sub ok_sql
{
	my ($user, $sql) = @_;
	my ($rc, $out, $err) = sql($user, $sql);
	die "$sql\n$err" if $rc;
	return $out;
}

$node->safe_psql('postgres', q{
	CREATE ROLE hr_owner LOGIN; CREATE ROLE "An""na" LOGIN IN ROLE hr_owner; CREATE ROLE ben LOGIN IN ROLE hr_owner;
	CREATE ROLE oncall; CREATE ROLE dev LOGIN IN ROLE oncall; CREATE ROLE eve LOGIN; CREATE ROLE admin LOGIN;
	CREATE DATABASE hr_prod OWNER hr_owner;
});
$node->safe_psql('hr_prod', q{
	CREATE EXTENSION jit_access;
	ALTER ROLE hr_owner NOLOGIN;
	CREATE SCHEMA hr AUTHORIZATION hr_owner;
	GRANT USAGE ON SCHEMA hr TO PUBLIC;
	SET ROLE hr_owner;
	CREATE TABLE hr.salary (emp_no int, amount int);
	CREATE TABLE hr.employee (emp_no int, name text);
	CREATE TABLE hr.title (emp_no int);
	CREATE TABLE hr.parking (a int, b int);
});
my $plain = qr/^Request access: SELECT jit_request\('(.*)', '1 hour', 'why you need it'\);$/;

# --- pending ---------------------------------------------------------------
like(denied('dev', 'SELECT * FROM hr.salary'), $plain, 'nothing is pending');
my $id = ok_sql('dev', "SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x')");
is(denied('dev', 'SELECT count(*) FROM hr.salary'),
	qq{Request $id for it is pending: it waits for "An""na", ben. SELECT * FROM jit_show($id) tells more.}, 'pending: its number, and who is waited for');
like(denied('eve', 'SELECT count(*) FROM hr.salary'), $plain, '(3) nobody else is told');
like(denied('dev', 'SELECT * FROM hr.salary JOIN hr.employee USING (emp_no)'), qr/^Request access: .*hr\.salary, hr\.employee/, '(2) it is not for all that is missing');
like(denied('dev', 'UPDATE hr.salary SET amount = 1'), $plain, '(2) it is for another privilege');
my $columns = ok_sql('dev', "SELECT jit_request('SELECT (a) ON hr.parking', '1 hour', 'x')");
like(denied('dev', 'SELECT a FROM hr.parking'), qr/^Request $columns for it is pending/, 'a column');
like(denied('dev', 'SELECT a, b FROM hr.parking'), $plain, '(2) another column as well');
$node->safe_psql('hr_prod', "UPDATE jit.requests SET lapses_at = now() - interval '1 s' WHERE id = $columns");
like(denied('dev', 'SELECT a FROM hr.parking'), $plain, 'what has lapsed is not pending');

# for a group: its members, for good, are told
my $group = ok_sql('dev', "SELECT jit_request('SELECT ON hr.title', '1 hour', 'x', grantee => 'oncall')");
like(denied('dev', 'SELECT * FROM hr.title'), qr/^Request $group for it is pending: it waits for/, 'a member of the role that it is for');
like(denied('eve', 'SELECT * FROM hr.title'), $plain, '(3) who is none');
my $member = ok_sql('postgres', "SELECT jit_grant('oncall', 'eve', '1 hour', 'x')");
like(denied('eve', 'SELECT * FROM hr.title'), $plain, '(3) who is one for a time');
ok_sql('postgres', "SELECT jit_revoke($member)");

# by a role that has it
$node->safe_psql('hr_prod', 'CREATE ROLE reader; GRANT SELECT ON hr.employee TO reader');
my $role = ok_sql('dev', "SELECT jit_request('reader', '1 hour', 'x')");
like(denied('dev', 'SELECT * FROM hr.employee'), qr/^Request $role for it is pending: it waits for postgres\./, 'a role that has the privilege');
ok_sql('dev', "SELECT jit_cancel($role)");
like(denied('dev', 'SELECT * FROM hr.employee'), $plain, 'canceled');

# one session: what it does itself is news at once, what others do soon
my ($rc, $out, $err) = $node->psql('hr_prod', q{
	SELECT * FROM hr.employee;
	SELECT jit_request('SELECT ON hr.employee', '1 hour', 'x') AS id \gset
	SELECT * FROM hr.employee;
	SELECT jit_cancel(:id);
	SELECT * FROM hr.employee;
	BEGIN;
	SELECT jit_request('SELECT ON hr.employee', '1 hour', 'x') AS id \gset
	SAVEPOINT s;
	SELECT * FROM hr.employee;
	ROLLBACK;
	SELECT * FROM hr.employee;
}, extra_params => [ '-U', 'dev' ], on_error_stop => 0);
my @hints = map { s/\d+/N/gr } $err =~ /^(?:psql:\S+ )?HINT:  (Request \S+)/mg;
is_deeply(\@hints, [ 'Request access:', 'Request N', 'Request access:', 'Request N', 'Request access:' ],
	'(5) what the session has just done itself counts') or diag($err);

# --- rejected --------------------------------------------------------------
ok_sql('ben', qq{SELECT jit_reject($id, E'not like\\nHINT:  this \x{202e}' || repeat('x', 200))});
my $hint = denied('dev', 'SELECT count(*) FROM hr.salary');
like($hint, qr/^Request $id for it was rejected by ben: "not like\\nHINT:  this (\\u202e|.{1,12})x{20,80} \.\.\."\. Request access: SELECT jit_request\('SELECT ON hr\.salary'/, '(8) rejected: by whom and why, in one line, and what to ask for');
like(denied('eve', 'SELECT count(*) FROM hr.salary'), $plain, '(3) nobody else is told');
my $given = ok_sql('ben', "SELECT jit_grant('SELECT ON hr.salary', 'dev', '1 hour', 'x')");
ok_sql('ben', "SELECT jit_revoke($given)");
like(denied('dev', 'SELECT count(*) FROM hr.salary'), $plain, 'what has been given since is newer news');

# --- what can succeed --------------------------------------------------------
ok_sql('postgres', q{SELECT jit_set_policy('all', 'low', '$.duration > 0', 'everything')});
ok_sql('postgres', q{SELECT jit_set_flow('low', '[{"approver": "@grantor"}]', '20 min', NULL, NULL, '^INC-[0-9]+$')});
is(denied('dev', 'SELECT * FROM hr.employee'),
	q{Request access: SELECT jit_request('SELECT ON hr.employee', '00:20:00', 'why you need it', ticket => 'the ticket'); The ticket must match "^INC-[0-9]+$".},
	'(7) not longer than the risk allows, and with a ticket');
ok_sql('dev', q{SELECT jit_cancel(jit_request('SELECT ON hr.employee', '00:20:00', 'why you need it', ticket => 'INC-1'))});
ok_sql('postgres', q{SELECT jit_set_flow('low', '[{"approver": "@grantor"}]', NULL, NULL, 'because')});
like(denied('dev', 'SELECT * FROM hr.employee'), qr/'1 hour', 'why you need it'\); The reason must match "because"\.$/, 'what the reason must match');
$node->append_conf('postgresql.conf', "jit_access.max_duration = '10 min'");
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('jit_access.max_duration') = '10min'");
like(denied('dev', 'SELECT * FROM hr.employee'), qr/'00:10:00', 'why you need it'/, 'not longer than jit_access.max_duration');
$node->append_conf('postgresql.conf', "jit_access.max_duration = '30 d'");
$node->reload;
# a risk that depends on the duration
ok_sql('postgres', q{SELECT jit_set_policy('long', 'high', '$.duration > 1800')});
ok_sql('postgres', q{SELECT jit_set_flow('high', '[{"approver": "@grantor"}]', '30 min')});
like(denied('dev', 'SELECT * FROM hr.employee'), qr/'00:30:00', 'why you need it'\); The reason must/, '... of the risk that the shorter request has');

# forbidden: no call
ok_sql('postgres', q{SELECT jit_set_policy('No writes', 'forbidden', '$.privileges[*] == "UPDATE"', E'writes go\nthrough releases')});
is(denied('dev', 'UPDATE hr.employee SET name = NULL'), q{Policy "No writes" forbids requests for it: writes go\nthrough releases}, '(8) a policy forbids it');
like(denied('dev', 'SELECT * FROM hr.employee'), qr/^Request access/, '... and nothing else');
ok_sql('postgres', q{SELECT jit_set_policy('No writes', 'forbidden', '$.privileges[*] == "UPDATE"')});
is(denied('dev', 'UPDATE hr.employee SET name = NULL'), q{Policy "No writes" forbids requests for it.}, '... without a description');

# --- whatever goes wrong -------------------------------------------------------
# a condition that raises: caught inside, and the denial is as it was
ok_sql('postgres', q{SELECT jit_set_policy('broken', 'low', 'strict $.items[99].name == "x"')});
like(denied('dev', 'SELECT * FROM hr.employee'), qr/^Request access: .*'00:30:00', 'why you need it'\);$/, '(1) a condition that raises counts as high');
ok_sql('postgres', q{SELECT jit_drop_policy('broken')});

# what stays behind of a restore: an error where the flow is read
$node->safe_psql('hr_prod', q{DELETE FROM jit.approval_steps WHERE risk = 'low'});
$node->safe_psql('hr_prod', q{DELETE FROM jit.risk_policies WHERE name = 'long'});
like(denied('dev', 'SELECT * FROM hr.employee'), $plain, '(1) what fails is told as if nothing was known');
($rc, $out, $err) = sql('dev', q{
	DO $$ BEGIN PERFORM * FROM hr.employee; END $$});
like($err, qr/permission denied for table employee\nHINT:  Request access.*\nCONTEXT:  SQL statement "SELECT \* FROM hr\.employee"\nPL\/pgSQL function inline_code_block line 1 at PERFORM/, '(6) with the context of frames further out');
is(() = $err =~ /CONTEXT/g, 1, '... once');
($rc, $out, $err) = sql('dev', q{
	DO $$ DECLARE h text; s text; BEGIN
		FOR i IN 1..3 LOOP
			BEGIN PERFORM * FROM hr.employee; EXCEPTION WHEN insufficient_privilege THEN
				GET STACKED DIAGNOSTICS h = PG_EXCEPTION_HINT, s = MESSAGE_TEXT;
			END;
		END LOOP;
		RAISE NOTICE '% | %', s, h;
	END $$;
	SELECT 'alive'});
like($err, qr/NOTICE:  permission denied for table employee \| Request access: SELECT/, 'caught in a subtransaction');
is($out, 'alive', '... and what follows runs');
ok_sql('postgres', q{SELECT jit_set_flow('low', '[{"approver": "@grantor"}]', '15 min')});

foreach my $begin ('BEGIN READ ONLY', 'BEGIN ISOLATION LEVEL SERIALIZABLE', 'BEGIN ISOLATION LEVEL REPEATABLE READ; SAVEPOINT s')
{
	like(denied('dev', "$begin; SELECT * FROM hr.employee"), qr/^Request access: .*'00:15:00'/, $begin);
}
like(denied('dev', 'PREPARE p AS SELECT * FROM hr.employee; EXECUTE p'), qr/^Request access: .*'00:15:00'/, 'a prepared statement');
like(denied('dev', 'COPY hr.employee TO STDOUT'), qr/^Request access: .*'00:15:00'/, 'COPY');

# what is locked isn't waited for
foreach my $table (qw(requests request_items grants risk_policies approval_flows approval_steps))
{
	my $lock = $node->background_psql('hr_prod');
	$lock->query_safe("BEGIN; LOCK TABLE jit.$table");
	my $start = time;
	like(denied('dev', "SET statement_timeout = '20s'; SELECT * FROM hr.employee"), qr/^Request access: .*'(1 hour|00:15:00)'/, "jit.$table is locked");
	cmp_ok(time - $start, '<', 10, '(4) ... and not waited for');
	$lock->query_safe('ROLLBACK');
	$lock->quit;
}

# a standby
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('day_hints_standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
like(denied('dev', 'SELECT * FROM hr.employee', $standby), qr/^Request access on the primary server: SELECT jit_request\('SELECT ON hr\.employee', '00:15:00'/, 'on a standby');
like(denied('dev', 'SELECT * FROM hr.title', $standby), qr/^Request $group for it is pending/, '... what is pending');
$standby->stop('immediate');

$node->stop;
done_testing();
