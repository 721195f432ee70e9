# Expiry is exact: the first statement after the deadline, or after the
# membership has gone, is denied, whichever way PostgreSQL is asked, while
# the grant role is still there and nobody sweeps.  Standing privileges of
# the same user go on working.
#
# The grants are made by hand, as a DBA could make them, and the launcher is
# stopped, so that only the hooks can deny.  Those on current roles, inlined
# functions, CHECKPOINT, LOCK TABLE, owners' rights, SET ROLE again after RESET
# ROLE and row-level security failed before enforce.c had a check for each; the
# others have only been seen to pass.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess qw(stop_launcher);

my $node = PostgreSQL::Test::Cluster->new('exact');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'jit_access'
});
$node->start;

$node->safe_psql('postgres', q{
	CREATE ROLE hr_owner; CREATE ROLE hr_reader; CREATE ROLE standing;
	CREATE ROLE dev LOGIN IN ROLE standing;
	CREATE ROLE other LOGIN;
	CREATE DATABASE hr_prod OWNER hr_owner;
	CREATE DATABASE elsewhere;
});

# Nobody sweeps until the end.
stop_launcher($node);

sub admin { return $node->safe_psql('hr_prod', join("\n", @_)); }

sub sql
{
	my ($user, $sql, $db) = @_;
	return $node->psql($db // 'hr_prod', $sql,
		extra_params => [ '-U', $user ]);
}

sub allowed
{
	my ($user, $sql, $expected, $name) = @_;
	my ($rc, $out, $err) = sql($user, $sql);
	is("$out|$err", "$expected|", $name);
}

sub denied
{
	my ($user, $sql, $pattern, $name, $db) = @_;
	my ($rc, $out, $err) = sql($user, $sql, $db);
	like($err, $pattern, $name);
}

# An open session; query() gives output and errors together.
sub session
{
	my ($user) = @_;
	my $psql = $node->background_psql('hr_prod', on_error_stop => 0,
		extra_params => [ '-U', $user ]);
	return $psql;
}

sub in_session
{
	my ($psql, $sql) = @_;
	my $out = $psql->query($sql);
	my $err = $psql->{stderr};
	$psql->{stderr} = '';
	chomp($err);
	return $err ne '' ? $err : $out;
}

# A grant of request $request to $grantee for what the roles have.
my $db;

sub grant_roles
{
	my ($request, $grantee, @roles) = @_;
	my $role = "jit_grant_${db}_$request";
	admin("CREATE ROLE $role VALID UNTIL '2100-01-01';",
		(map { "GRANT $_ TO $role;" } @roles), "GRANT $role TO $grantee;");
	return;
}

sub expire { my ($request) = @_; admin(sprintf("ALTER ROLE jit_grant_${db}_$request VALID UNTIL '2026-01-%02d 03:04:05+00'", $request)); return; }
sub prolong { my ($request) = @_; admin("ALTER ROLE jit_grant_${db}_$request VALID UNTIL '2100-01-01'"); return; }

$db = admin(q{SELECT oid FROM pg_database WHERE datname = current_database()});
my $scope = "jit_scope_${db}_";
my $expired = qr/DETAIL:  (.*)?Request \d+ in hr_prod expired at 2026-01-/;

admin(qq{
	CREATE SCHEMA hr AUTHORIZATION hr_owner;
	GRANT USAGE ON SCHEMA hr TO PUBLIC;
	CREATE TABLE hr.employee (emp_no int PRIMARY KEY, last_name text);
	INSERT INTO hr.employee SELECT i, 'name ' || i FROM generate_series(1, 100) i;
	CREATE TABLE hr.title (emp_no int REFERENCES hr.employee, title text);
	CREATE TABLE hr.news (n int);
	INSERT INTO hr.news VALUES (7);
	CREATE TABLE hr.part (p int) PARTITION BY LIST (p);
	CREATE TABLE hr.part1 PARTITION OF hr.part FOR VALUES IN (1);
	INSERT INTO hr.part VALUES (1);
	ALTER TABLE hr.employee OWNER TO hr_owner;
	ALTER TABLE hr.title OWNER TO hr_owner;
	ANALYZE hr.employee;
	GRANT SELECT ON hr.news TO standing;
	GRANT SELECT, INSERT ON hr.title TO standing;
	CREATE ROLE ${scope}1; GRANT SELECT ON hr.employee TO ${scope}1;
	CREATE ROLE ${scope}2; GRANT SELECT ON hr.part TO ${scope}2;
	CREATE ROLE ${scope}3; GRANT SELECT (last_name), UPDATE (last_name) ON hr.employee TO ${scope}3;
	GRANT SELECT ON hr.employee TO hr_reader;
});

# ----------------------------------------------------------------------
# The plain case, with what stays
# ----------------------------------------------------------------------

my $session = session('dev');
in_session($session, q{SET plan_cache_mode = force_generic_plan;
	PREPARE p AS SELECT count(*) FROM hr.employee});
like(in_session($session, 'EXECUTE p'), qr/permission denied for table employee/,
	'no access before the grant');
grant_roles(1, 'dev', "${scope}1");
allowed('dev', 'SELECT count(*) FROM hr.employee', 100, 'a grant gives access');
is(in_session($session, 'EXECUTE p'), 100, '... to a prepared statement in an open session');
is(in_session($session, "BEGIN; DECLARE c CURSOR FOR SELECT emp_no FROM hr.employee; FETCH c; COMMIT"), 1,
	'... to a cursor');
expire(1);
denied('dev', 'SELECT count(*) FROM hr.employee', qr/ERROR:  permission denied for table employee\n$expired/,
	'denied after the deadline, saying which request');
denied('dev', 'SELECT * FROM hr.news, hr.employee', qr/permission denied for table employee/, '... in a join');
like(in_session($session, 'EXECUTE p'), qr/permission denied for table employee/, '... a prepared statement');
denied('dev', "BEGIN; DECLARE c CURSOR FOR SELECT emp_no FROM hr.employee", qr/permission denied/, '... a cursor');
denied('dev', 'EXPLAIN SELECT * FROM hr.employee', qr/permission denied/, '... EXPLAIN');
denied('dev', 'CREATE TEMP TABLE t AS SELECT * FROM hr.employee', qr/permission denied/, '... CREATE TABLE AS');
denied('dev', 'COPY hr.employee TO STDOUT', qr/permission denied/, '... COPY');
denied('dev', 'COPY (SELECT * FROM hr.employee) TO STDOUT', qr/permission denied/, '... COPY of a query');
denied('dev', 'COPY (SELECT 1 WHERE EXISTS (SELECT FROM hr.employee)) TO STDOUT', qr/permission denied/, '... in a sublink');
denied('dev', 'WITH w AS MATERIALIZED (SELECT * FROM hr.employee) SELECT * FROM w', qr/permission denied/, '... in a CTE');
denied('dev', 'DO $$BEGIN PERFORM * FROM hr.employee; END$$', qr/permission denied/, '... in a DO block');
allowed('dev', 'SELECT * FROM hr.news', 7, 'standing privileges go on working');
allowed('dev', "INSERT INTO hr.title VALUES (1, 'Engineer') RETURNING emp_no", 1,
	'... also where a foreign key leads to what is denied');
denied('dev', 'SELECT count(*) FROM hr.employee', qr/permission denied/, '... and denial goes on');
prolong(1);
is(in_session($session, 'EXECUTE p'), 100, 'ALTER ROLE ... VALID UNTIL prolongs at once');
grant_roles(2, 'dev', "${scope}1");
expire(1);
is(in_session($session, 'EXECUTE p'), 100, 'an overlapping grant goes on');
expire(2);
like(in_session($session, 'EXECUTE p'), qr/permission denied.*Request 2 in hr_prod/s, '... until it ends too');
admin("DROP ROLE jit_grant_${db}_2");
like(in_session($session, 'EXECUTE p'), qr/permission denied.*Request 1 in hr_prod/s, 'dropping that leaves the other');

# columns
grant_roles(3, 'dev', "${scope}3");
allowed('dev', 'SELECT count(last_name) FROM hr.employee', 100, 'column privileges work');
expire(3);
denied('dev', 'SELECT count(last_name) FROM hr.employee', qr/permission denied/, '... and end');
admin('GRANT SELECT (emp_no) ON hr.employee TO standing');
allowed('dev', 'SELECT count(emp_no) FROM hr.employee', 100, '... standing ones stay');
denied('dev', 'SELECT count(*) FROM hr.employee e WHERE e IS NULL', qr/permission denied/, '... whole rows are denied');
denied('dev', "UPDATE hr.employee SET last_name = 'x'", qr/permission denied/, '... updates too');
admin('REVOKE SELECT (emp_no) ON hr.employee FROM standing');

# partitions
grant_roles(4, 'dev', "${scope}2");
allowed('dev', 'SELECT * FROM hr.part', 1, 'a partitioned table works');
expire(4);
denied('dev', 'SELECT * FROM hr.part', qr/permission denied for table part/, '... and ends');

# ----------------------------------------------------------------------
# Deadlines that aren't, and roles that aren't what they seem
# ----------------------------------------------------------------------

foreach my $until ("'infinity'", "'-infinity'", 'NULL', "'2026-01-02 03:04:05+00'")
{
	admin("CREATE ROLE weird; DROP ROLE weird; ALTER ROLE jit_grant_${db}_1 VALID UNTIL "
		  . ($until eq 'NULL' ? "'infinity'; UPDATE pg_authid SET rolvaliduntil = NULL WHERE rolname = 'jit_grant_${db}_1'" : $until));
	denied('dev', 'SELECT count(*) FROM hr.employee', qr/permission denied/, "VALID UNTIL $until conveys nothing");
}
admin("GRANT ${scope}1 TO other");
denied('other', 'SELECT count(*) FROM hr.employee', qr/permission denied/,
	'a scope role conveys nothing but through a grant role');
admin("REVOKE ${scope}1 FROM other; CREATE ROLE jit_grant_99 LOGIN; GRANT hr_reader TO jit_grant_99; GRANT jit_grant_99 TO other");
denied('other', 'SELECT count(*) FROM hr.employee', qr/permission denied.*DETAIL.*jit_grant_99/s,
	'any role with the prefix needs a deadline');
denied('jit_grant_99', 'SELECT 1', qr/permission denied/, '... and can do nothing as a login');
admin("DROP ROLE jit_grant_99");
denied('postgres', "ALTER ROLE ${scope}1 RENAME TO harmless", qr/cannot be renamed/, 'our roles cannot be renamed');
denied('postgres', "ALTER ROLE jit_grant_${db}_1 RENAME TO harmless", qr/cannot be renamed/, '... of either kind');

# as current role, for everybody
foreach my $stmt ('SELECT 1', 'CREATE TABLE hr.mine (a int)', 'SELECT * FROM hr.employee', 'COPY hr.employee TO STDOUT')
{
	denied('postgres', "SET ROLE ${scope}1; $stmt", qr/permission denied/, "a scope role cannot run $stmt");
}
allowed('postgres', "SELECT set_config('role', '${scope}1', false) IS NULL; RESET ROLE; SELECT 1", "f\n1",
	'... but RESET ROLE leads out of it');
admin("CREATE FUNCTION hr.as_scope() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM hr.employee'",
	"; CREATE VIEW hr.by_scope AS SELECT * FROM hr.employee; GRANT SELECT ON hr.by_scope TO other;",
	"ALTER FUNCTION hr.as_scope() OWNER TO hr_reader; ALTER VIEW hr.by_scope OWNER TO hr_reader;");
allowed('other', 'SELECT hr.as_scope(), count(*) FROM hr.by_scope', '100|100', 'a function and a view with standing rights work');
admin("UPDATE pg_proc SET proowner = '${scope}1'::regrole WHERE proname = 'as_scope';
	UPDATE pg_class SET relowner = '${scope}1'::regrole WHERE relname = 'by_scope'");
denied('other', 'SELECT hr.as_scope()', qr/permission denied/, '... a function owned by a scope role gives nothing');
denied('other', 'SELECT count(*) FROM hr.by_scope', qr/permission denied/, '... nor does a view');
admin("UPDATE pg_proc SET proowner = 'hr_owner'::regrole WHERE proname = 'as_scope'; DROP VIEW hr.by_scope; DROP FUNCTION hr.as_scope");

# ----------------------------------------------------------------------
# Through somebody else
# ----------------------------------------------------------------------

prolong(1);
admin(q{CREATE SCHEMA tools; GRANT ALL ON SCHEMA tools TO dev; GRANT USAGE ON SCHEMA tools TO PUBLIC});
(sql('dev', q{
	CREATE VIEW tools.staff AS SELECT * FROM hr.employee;
	CREATE FUNCTION tools.count_staff() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
		AS 'BEGIN RETURN (SELECT count(*) FROM hr.employee); END';
	CREATE FUNCTION tools.count_for_caller() RETURNS bigint LANGUAGE plpgsql
		AS 'BEGIN RETURN (SELECT count(*) FROM hr.employee); END';
	CREATE FUNCTION tools.count_in_sql() RETURNS bigint LANGUAGE sql VOLATILE
		AS 'SELECT count(*) FROM hr.employee';
	CREATE FUNCTION tools.count_in_worker(int) RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE
		AS 'BEGIN RETURN (SELECT count(*) FROM hr.employee); END';
	GRANT SELECT ON tools.staff TO other;
}));
my $views = session('other');
is(in_session($views, 'SELECT count(*) FROM tools.staff'), 100, "somebody else's view of it works");
is(in_session($views, 'SELECT tools.count_staff()'), 100, '... and a SECURITY DEFINER function');
is(in_session($session, 'SELECT tools.count_for_caller(), tools.count_in_sql()'), '100|100', '... and functions for the caller');
expire(1);
like(in_session($views, 'SELECT count(*) FROM tools.staff'), qr/permission denied for table employee/, 'they end: the view');
like(in_session($views, 'SELECT tools.count_staff()'), qr/permission denied/, '... the SECURITY DEFINER function');
like(in_session($session, 'SELECT tools.count_for_caller()'), qr/permission denied/, '... the plain function');
like(in_session($session, 'SELECT tools.count_in_sql()'), qr/permission denied/, '... the SQL function');
denied('other', 'SELECT count(*) FROM tools.staff', qr/permission denied/, '... in a new session too');

# parallel workers read what the leader never checks
my $force = admin(q{SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')});
my $parallel = "SET $force = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;";
prolong(1);
allowed('dev', "$parallel SELECT tools.count_in_worker(1)", 100, 'a parallel worker may read');
expire(1);
denied('dev', "$parallel SELECT tools.count_in_worker(1)", qr/permission denied.*parallel worker/s, '... until the deadline');
allowed('dev', "$parallel SELECT n FROM hr.news", 7, '... standing privileges in a worker stay');

# ----------------------------------------------------------------------
# What the executor doesn't see
# ----------------------------------------------------------------------

grant_roles(5, 'dev', 'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files', 'pg_checkpoint');
my $file = $node->basedir . '/copied';
allowed('dev', "CREATE TEMP TABLE t (a text); COPY t FROM PROGRAM 'echo 5'; SELECT a FROM t", 5, 'COPY FROM PROGRAM works');
allowed('dev', "COPY (SELECT 6) TO '$file'; CREATE TEMP TABLE t (a text); COPY t FROM '$file'; SELECT a FROM t; CHECKPOINT", 6,
	'... and with files, and CHECKPOINT');
expire(5);
denied('dev', "CREATE TEMP TABLE t (a text); COPY t FROM PROGRAM 'echo 5'", qr/permission denied.*\n$expired/, 'COPY FROM PROGRAM ends');
denied('dev', "CREATE TEMP TABLE t (a text); COPY t TO PROGRAM 'cat'", qr/permission denied/, '... TO PROGRAM');
denied('dev', "CREATE TEMP TABLE t (a text); COPY t FROM '$file'", qr/permission denied/, '... FROM a file');
denied('dev', "COPY (SELECT 6) TO '$file'", qr/permission denied/, '... TO a file');
denied('dev', 'CHECKPOINT', qr/permission denied/, '... CHECKPOINT');
denied('other', "COPY (SELECT 6) TO '$file'", qr/privileges of .*pg_write_server_files/, "others get PostgreSQL's words");

admin(qq{
	CREATE SCHEMA secret; CREATE TABLE secret.t AS SELECT 3 AS a; GRANT SELECT ON secret.t TO standing;
	CREATE FUNCTION hr.guarded() RETURNS int LANGUAGE sql AS 'SELECT 4';
	REVOKE EXECUTE ON FUNCTION hr.guarded FROM PUBLIC;
	CREATE ROLE ${scope}6; GRANT USAGE ON SCHEMA secret TO ${scope}6; GRANT EXECUTE ON FUNCTION hr.guarded TO ${scope}6;
	GRANT TRUNCATE, UPDATE ON hr.news TO ${scope}6;
});
grant_roles(6, 'dev', "${scope}6");
is(in_session($session, 'PREPARE g AS SELECT hr.guarded(); EXECUTE g'), 4, 'a function works');
allowed('dev', 'SELECT hr.guarded(), a FROM secret.t', '4|3', 'functions and schemas work');
allowed('dev', 'BEGIN; LOCK TABLE hr.news IN EXCLUSIVE MODE; TRUNCATE hr.news; ROLLBACK', '', '... LOCK and TRUNCATE');
expire(6);
like(in_session($session, 'EXECUTE g'), qr/permission denied for function guarded/, '... inlined in a cached plan');
denied('dev', 'SELECT hr.guarded()', qr/permission denied for function guarded\n$expired/, 'they end: EXECUTE');
denied('dev', 'SELECT a FROM secret.t', qr/permission denied for schema secret\n.*$expired/s, '... USAGE');
denied('dev', 'SET search_path = secret; SELECT a FROM t', qr/relation "t" does not exist/, '... by search_path');
denied('dev', 'TRUNCATE hr.news', qr/permission denied for table news\n$expired/, '... TRUNCATE');
denied('dev', 'BEGIN; LOCK TABLE hr.news IN EXCLUSIVE MODE', qr/permission denied for table news\n$expired/, '... LOCK TABLE');
allowed('dev', 'BEGIN; LOCK TABLE hr.news IN ACCESS SHARE MODE; COMMIT', '', '... standing LOCK stays');

# an owner role
grant_roles(7, 'dev', 'hr_owner');
allowed('dev', "BEGIN; COMMENT ON TABLE hr.employee IS 'x'; ALTER TABLE hr.employee ADD z int; DROP TABLE hr.title; ROLLBACK", '', "an owner's rights work");
expire(7);
denied('dev', 'ALTER TABLE hr.employee ADD z int', qr/permission denied for table employee\n$expired/, '... and end: ALTER');
denied('dev', 'DROP TABLE hr.title', qr/permission denied for table title\n$expired/, '... DROP');
denied('dev', 'DROP FUNCTION hr.as_scope()', qr/./, '... of functions');
denied('dev', 'CREATE TABLE hr.mine (a int)', qr/permission denied for schema hr/, '... CREATE in its schema');

# ----------------------------------------------------------------------
# SET ROLE
# ----------------------------------------------------------------------

grant_roles(8, 'dev', 'hr_reader');
my $before = session('dev');
my $config = session('dev');
is(in_session($before, 'SET ROLE hr_reader; SELECT count(*) FROM hr.employee'), 100, 'SET ROLE works');
is(in_session($config, "SELECT set_config('role', 'hr_reader', false)"), 'hr_reader', '... and set_config');
admin("CREATE FUNCTION tools.as_reader() RETURNS bigint LANGUAGE sql VOLATILE SET role = hr_reader AS 'SELECT count(*) FROM hr.employee'");
allowed('dev', 'SELECT tools.as_reader()', 100, '... and SET on a function');
expire(8);
my $role_ended = qr/permission denied for role hr_reader\nDETAIL:  .*Request 8 in hr_prod expired/;
like(in_session($before, 'SELECT count(*) FROM hr.employee'), $role_ended, 'SET ROLE before ends');
like(in_session($before, 'SELECT 1'), $role_ended, '... for every statement');
like(in_session($before, 'CREATE TEMP TABLE t (a int)'), $role_ended, '... utility statements too');
like(in_session($before, 'SET ROLE hr_reader'), $role_ended, '... SET ROLE again');
is(in_session($before, 'RESET ROLE; SELECT n FROM hr.news'), 7, 'RESET ROLE leads out of it');
like(in_session($config, 'SELECT count(*) FROM hr.employee'), $role_ended, '... set_config before');
is(in_session($config, 'SET ROLE NONE; SELECT n FROM hr.news'), 7, '... SET ROLE NONE leads out of it');
like(in_session($before, 'SET ROLE hr_reader'), $role_ended, 'SET ROLE after is denied');
like(in_session($before, "SELECT set_config('role', 'hr_reader', false); SELECT count(*) FROM hr.employee"), $role_ended, '... set_config after');
in_session($before, 'RESET ROLE');
like(in_session($before, 'SELECT tools.as_reader()'), $role_ended, '... SET on a function');
is(in_session($before, 'SELECT n FROM hr.news'), 7, '... leaves the session as it was');
like(in_session($before, 'BEGIN; SET LOCAL ROLE hr_reader'), $role_ended, '... SET LOCAL ROLE');
is(in_session($before, 'ROLLBACK; SELECT n FROM hr.news'), 7, '... ROLLBACK leads out of it');

# the role is gone altogether
prolong(8);
in_session($before, 'SET ROLE hr_reader');
in_session($config, "SELECT set_config('role', 'hr_reader', false)");
admin("DROP ROLE jit_grant_${db}_8");
like(in_session($before, 'SELECT count(*) FROM hr.employee'), qr/permission denied for role hr_reader/, 'SET ROLE ends with the grant role');
like(in_session($config, 'SELECT count(*) FROM hr.employee'), qr/permission denied for role hr_reader/, '... set_config too');
in_session($_, 'RESET ROLE') foreach ($before, $config);

# standing membership: left alone, as PostgreSQL does
admin('GRANT hr_reader TO dev');
in_session($before, 'SET ROLE hr_reader');
admin('REVOKE hr_reader FROM dev');
is(in_session($before, 'SELECT count(*) FROM hr.employee'), 100, 'SET ROLE by a standing membership is left alone');
in_session($before, 'RESET ROLE');
grant_roles(8, 'dev', 'hr_reader');
in_session($before, 'SET ROLE hr_reader');
expire(8);
like(in_session($before, 'SELECT count(*) FROM hr.employee'), $role_ended, '... but not the next one, by temporary access');
in_session($before, 'RESET ROLE');
admin("DROP ROLE jit_grant_${db}_8");

# ----------------------------------------------------------------------
# In the middle of a statement
# ----------------------------------------------------------------------

# A DO block that goes on reading, until it is denied or 20 s are over.
my $loop = sub {
	my ($stmt) = @_;
	return qq{DO \$\$ DECLARE t0 timestamptz := clock_timestamp(); BEGIN
		WHILE clock_timestamp() < t0 + '20 s' LOOP $stmt; PERFORM pg_sleep(0.005); END LOOP;
		RAISE 'went on'; END \$\$;};
};

sub while_running
{
	my ($user, $stmt, $end) = @_;
	my ($out, $err) = ('', '');
	my $h = IPC::Run::start([ 'psql', '-XAtq', '-U', $user, '-d', $node->connstr('hr_prod'), '-c', $stmt ],
		'<', \undef, '>', \$out, '2>', \$err);
	$node->poll_query_until('hr_prod',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE usename = '$user' AND query LIKE 'DO %' AND state = 'active'
			AND clock_timestamp() > query_start + '0.3 s'")
	  or die 'the loop does not run';
	$end->();
	my $t0 = time;
	IPC::Run::finish($h);
	cmp_ok(time - $t0, '<', 15, 'ends soon');
	return $err;
}

# a statement of what runs may be cut off before the next is denied
my $cut_off = qr/canceling statement due to the end of temporary access/;
my $cut = qr/permission denied for role hr_reader|$cut_off/;
my $cut_table = qr/permission denied for table employee|$cut_off/;
prolong(1);
like(while_running('dev', $loop->('PERFORM count(*) FROM hr.employee'), sub { expire(1) }),
	$cut_table, 'a DO block is denied at its next statement after the deadline');
prolong(1);
like(while_running('dev', $loop->('PERFORM count(*) FROM hr.employee'),
	sub { admin("REVOKE jit_grant_${db}_1 FROM dev") }),
	$cut_table, '... after the membership went');
admin("GRANT jit_grant_${db}_1 TO dev");
like(while_running('other', $loop->('PERFORM count(*) FROM tools.staff'),
	sub { admin("REVOKE jit_grant_${db}_1 FROM dev") }),
	$cut_table, "... that of a view's owner");
admin("GRANT jit_grant_${db}_1 TO dev");
like(while_running('dev', $loop->("EXECUTE 'COPY hr.employee TO ''/dev/null'''"),
	sub { admin("REVOKE jit_grant_${db}_9 FROM dev") }),
	qr/permission denied|must be superuser|$cut_off/, '... in a COPY')
  if (grant_roles(9, 'dev', 'pg_write_server_files'), 1);
grant_roles(10, 'dev', 'hr_reader');
like(while_running('dev', $loop->("PERFORM set_config('role', 'hr_reader', false), count(*) FROM hr.employee"),
	sub { expire(10) }),
	$cut, '... by set_config in it');
prolong(10);
admin('ALTER ROLE dev SET role = hr_reader');
like(while_running('dev', $loop->('PERFORM count(*) FROM hr.employee'),
	sub { admin("REVOKE jit_grant_${db}_10 FROM dev") }),
	$cut, '... under a role set at login');
admin('ALTER ROLE dev RESET role');

# a real deadline
admin("DO \$\$BEGIN EXECUTE format('ALTER ROLE jit_grant_${db}_1 VALID UNTIL %L', clock_timestamp() + '6 s'); END\$\$");
my $err = while_running('dev', $loop->('PERFORM count(*) FROM hr.employee'), sub { });
like($err, $cut_table, 'a deadline that comes while running');

# ----------------------------------------------------------------------
# Row-level security
# ----------------------------------------------------------------------

admin(qq{
	DROP ROLE jit_grant_${db}_7, jit_grant_${db}_10;
	CREATE TABLE hr.review (who text, verdict text);
	INSERT INTO hr.review VALUES ('dev', 'good'), ('anna', 'better');
	ALTER TABLE hr.review ENABLE ROW LEVEL SECURITY;
	ALTER TABLE hr.review OWNER TO hr_owner;
	GRANT SELECT ON hr.review TO standing;
	CREATE POLICY own ON hr.review TO standing USING (who = current_user);
	CREATE POLICY everyone ON hr.review TO hr_reader USING (true);
	CREATE TABLE hr.plain (n int); ALTER TABLE hr.plain ENABLE ROW LEVEL SECURITY;
	INSERT INTO hr.plain VALUES (1); GRANT SELECT ON hr.plain TO standing;
	CREATE POLICY all_rows ON hr.plain TO standing USING (true);
	CREATE FUNCTION tools.sleepy(i int) RETURNS bigint LANGUAGE sql VOLATILE
		AS 'SELECT pg_sleep(0.02); SELECT count(*) FROM hr.review';
});
my $rls = session('dev');
in_session($rls, 'SET plan_cache_mode = force_generic_plan; PREPARE r AS SELECT count(*) FROM hr.review');
is(in_session($rls, 'EXECUTE r'), 1, 'row-level security: own row');
grant_roles(11, 'dev', 'hr_reader');
is(in_session($rls, 'SELECT count(*) FROM hr.review'), 2, '... all rows with a temporary role');
in_session($rls, 'DEALLOCATE r; PREPARE r AS SELECT count(*) FROM hr.review; EXECUTE r');
expire(11);
my $policies = qr/permission denied|no longer appl/;
unlike(in_session($rls, 'EXECUTE r'), qr/^2$/, '... not in a cached plan after the deadline');
unlike(in_session($rls, 'SELECT count(*) FROM hr.review'), qr/^2$/, '... nor in a fresh one');
is(in_session($rls, 'SELECT n FROM hr.plain'), 1, '... other tables with row-level security work');
admin("DROP ROLE jit_grant_${db}_11");
is(in_session($rls, 'EXECUTE r'), 1, 'own row again in a cached plan when the role is gone');
is(in_session($rls, 'SELECT count(*) FROM hr.review'), 1, '... in a fresh one');
grant_roles(12, 'dev', 'hr_owner');
is(in_session($rls, 'SELECT count(*) FROM hr.review'), 2, 'an owner role passes row-level security');
in_session($rls, 'EXECUTE r');
expire(12);
unlike(in_session($rls, 'EXECUTE r'), qr/^2$/, '... not after its end, in a cached plan');
unlike(in_session($rls, 'SELECT count(*) FROM hr.review'), qr/^2$/, '... in a fresh one');
admin("DROP ROLE jit_grant_${db}_12");

# a plan that was made before the role went, and is still in use after
grant_roles(13, 'dev', 'hr_reader');
$err = while_running('dev',
	"DO \$\$ BEGIN PERFORM tools.sleepy(i) AS n FROM generate_series(1, 1000) i; END \$\$;",
	sub { admin("DROP ROLE jit_grant_${db}_13") });
like($err, $policies, 'a plan in use does not outlive the policy');
is(in_session($rls, 'SELECT count(*) FROM hr.review'), 1, '... which is gone');

# ----------------------------------------------------------------------
# Statistics
# ----------------------------------------------------------------------

admin("ALTER ROLE jit_grant_${db}_1 VALID UNTIL '2100-01-01'");
(sql('dev', q{
	CREATE FUNCTION tools.leak(text, text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001
		AS $$BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END$$;
	CREATE OPERATOR tools.<<< (FUNCTION = tools.leak, LEFTARG = text, RIGHTARG = text, RESTRICT = scalarltsel);
}));
my $leak = q{EXPLAIN SELECT 1 FROM hr.employee WHERE last_name OPERATOR(tools.<<<) 'z'};
like((sql('dev', $leak))[2], qr/saw name/, 'the planner shows statistics to an operator');
expire(1);
unlike((sql('dev', $leak))[2], qr/saw name/, '... not after the deadline');
denied('dev', $leak, qr/permission denied for table employee\n$expired/, '... with the same denial');
# a view's owner, as seen by a fresh backend
$leak = q{EXPLAIN SELECT 1 FROM tools.staff WHERE last_name OPERATOR(tools.<<<) 'z'};
unlike((sql('other', $leak))[2], qr/saw name/, '... nor through a view whose owner lost access');

# ----------------------------------------------------------------------
# Elsewhere
# ----------------------------------------------------------------------

$node->safe_psql('elsewhere', "CREATE TABLE t AS SELECT 9 AS a; GRANT SELECT ON t TO hr_reader");
grant_roles(14, 'dev', 'hr_reader');
is((sql('dev', 'SELECT a FROM t', 'elsewhere'))[1], 9, 'a role works in another database');

$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
sub on_standby { return $standby->psql('hr_prod', $_[0], extra_params => [ '-U', 'dev' ]); }
is((on_standby('SELECT count(*) FROM hr.employee'))[1], 100, '... and on a standby');
my $other_db = $node->background_psql('elsewhere', on_error_stop => 0, extra_params => [ '-U', 'dev' ]);
is(in_session($other_db, 'SELECT a FROM t'), 9, '... in an open session');
expire(14);
like(in_session($other_db, 'SELECT a FROM t'), qr/permission denied for table t\n$expired/, 'it ends in the other database');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
like((on_standby('SELECT count(*) FROM hr.employee'))[2], qr/permission denied for table employee\n$expired/, '... on the standby');
is((on_standby('SELECT n FROM hr.news'))[1], 7, '... where standing privileges stay');
admin("DO \$\$BEGIN EXECUTE format('ALTER ROLE jit_grant_${db}_14 VALID UNTIL %L', clock_timestamp() + '6 s'); END\$\$");
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is((on_standby('SELECT count(*) FROM hr.employee'))[1], 100, 'prolonged on the standby');
$node->stop('immediate');
my $ended = 0;
foreach my $try (1 .. 100)
{
	last if $ended = (on_standby('SELECT count(*) FROM hr.employee'))[2] =~ /permission denied/;
	select(undef, undef, undef, 0.1);
}
ok($ended, '... it ends there by itself, with the primary stopped');
$standby->stop;

done_testing();
