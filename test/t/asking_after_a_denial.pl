# A denial says what to ask for: exactly what is missing, in words that can
# be pasted; says what has ended; and says nothing where no request cures it.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('hints');
$node->init;
$node->append_conf('postgresql.conf', q{shared_preload_libraries = 'jit_access'});
$node->start;

sub sql
{
	my ($user, $sql, $db) = @_;
	return $node->psql($db // 'hr_prod', $sql, extra_params => [ '-U', $user ]);
}

sub hint_of
{
	my ($user, $sql, $db) = @_;
	my ($rc, $out, $err) = sql($user, $sql, $db);
	return $1 if $err =~ /^HINT:  Request access: SELECT jit_request\((.*), '1 hour', 'why you need it'\);$/m;
	return $err =~ /permission denied/ ? 'none' : $err;
}

sub hints
{
	my ($sql, $expected, $name) = @_;
	my $hint = hint_of('dev', $sql);
	is($hint, $expected, $name);
	return if $expected eq 'none';

	# what it says is what cures it, and can be pasted
	my ($rc, $request, $err) = sql('dev', "SELECT jit_request($hint, '1 hour', 'test')");
	is($rc, 0, '... can be asked for') or diag($err);
	sql('hr_owner', "SELECT jit_approve($request)");
	($rc, my $out, $err) = sql('dev', "BEGIN; $sql; ROLLBACK");
	unlike($err, qr/permission denied/, '... and cures it');
	sql('hr_owner', "SELECT jit_revoke($request)");
	return;
}

$node->safe_psql('postgres', q{
	CREATE ROLE hr_owner LOGIN; CREATE ROLE dev LOGIN; CREATE ROLE viewer;
	CREATE DATABASE hr_prod OWNER hr_owner; CREATE DATABASE bare;
});
$node->safe_psql('hr_prod', q{
	CREATE EXTENSION jit_access;
	CREATE SCHEMA hr AUTHORIZATION hr_owner;
	CREATE SCHEMA "odd' schema" AUTHORIZATION hr_owner;
	GRANT USAGE ON SCHEMA hr, "odd' schema" TO PUBLIC;
	GRANT CREATE ON SCHEMA hr TO viewer;
	SET ROLE hr_owner;
	CREATE TABLE hr.employee (emp_no int PRIMARY KEY, name text);
	CREATE TABLE hr.title (emp_no int, title text);
	CREATE TABLE hr.dept_manager (dept_no int);
	CREATE TABLE hr.department (dept_no int);
	CREATE TABLE hr.part (p int) PARTITION BY LIST (p);
	CREATE TABLE hr.part1 PARTITION OF hr.part FOR VALUES IN (1);
	CREATE TABLE "odd' schema"."Odd\table" (a int);
	CREATE SEQUENCE hr.seq;
	CREATE TABLE hr.badge (badge_no serial, printed int GENERATED ALWAYS AS IDENTITY, name text);
	CREATE MATERIALIZED VIEW hr.mat AS SELECT 1;
	CREATE VIEW hr.names AS SELECT name FROM hr.employee;
	CREATE VIEW hr.invoker WITH (security_invoker) AS SELECT name FROM hr.employee;
	CREATE FUNCTION hr.definer() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
		AS 'BEGIN RETURN (SELECT count(*) FROM pg_authid); END';
	CREATE FUNCTION hr.caller() RETURNS bigint LANGUAGE plpgsql
		AS 'BEGIN RETURN (SELECT count(*) FROM hr.department); END';
	GRANT SELECT (emp_no) ON hr.title TO dev;
	GRANT SELECT ON hr.dept_manager TO PUBLIC;
	RESET ROLE;
	CREATE VIEW hr.blind AS SELECT name FROM hr.employee;
	ALTER VIEW hr.blind OWNER TO viewer;
	GRANT SELECT ON hr.blind TO dev;
	REVOKE SELECT ON hr.dept_manager FROM PUBLIC;
});

hints('SELECT * FROM hr.dept_manager JOIN hr.department USING (dept_no)', q{'SELECT ON hr.dept_manager, hr.department'}, 'a join');
hints('UPDATE hr.title SET title = name FROM hr.employee e WHERE e.emp_no = title.emp_no',
	q{'UPDATE ON hr.title; SELECT ON hr.employee'}, 'what is there already is left out');
hints("UPDATE hr.title SET title = 'x' WHERE title = 'y'", q{'SELECT, UPDATE ON hr.title'}, 'several privileges');
hints('DELETE FROM hr.employee WHERE emp_no IN (SELECT emp_no FROM hr.title)', q{'SELECT, DELETE ON hr.employee'}, 'a sublink');
hints('INSERT INTO hr.department SELECT dept_no FROM hr.dept_manager', q{'INSERT ON hr.department; SELECT ON hr.dept_manager'}, 'INSERT');
hints('WITH w AS (SELECT 1 FROM hr.department) SELECT FROM w, hr.employee a, hr.employee b', q{'SELECT ON hr.employee, hr.department'}, 'a CTE, and twice the same');
hints('SELECT * FROM hr.title', q{'SELECT ON hr.title'}, 'one column of it is not enough');
hints('SELECT * FROM hr.part', q{'SELECT ON hr.part'}, 'a partitioned table');
hints('SELECT * FROM hr.mat', q{'SELECT ON hr.mat'}, 'a materialized view');
hints('SELECT * FROM hr.names', q{'SELECT ON hr.names'}, 'a view: what is behind it is not needed');
hints('SELECT * FROM hr.invoker', q{'SELECT ON hr.invoker, hr.employee'}, 'a security invoker view: it is');
hints(q{SELECT * FROM "odd' schema"."Odd\table"}, q{E'SELECT ON "odd'' schema"."Odd\\\\table"'}, 'odd names');
hints('COPY hr.employee TO STDOUT', q{'SELECT ON hr.employee'}, 'COPY TO');
hints('COPY hr.title TO STDOUT', q{'SELECT ON hr.title'}, 'COPY TO, with a column of it already');
hints('COPY hr.employee FROM STDIN', q{'INSERT ON hr.employee'}, 'COPY FROM');
hints("INSERT INTO hr.badge (name) VALUES ('x')", q{'INSERT ON hr.badge; USAGE ON SEQUENCE hr.badge_badge_no_seq'}, 'a default takes a number');
hints("INSERT INTO hr.badge VALUES (1, DEFAULT, 'x')", q{'INSERT ON hr.badge'}, '... but not where one is given');
hints('INSERT INTO hr.badge (name) SELECT name FROM hr.employee', q{'INSERT ON hr.badge; USAGE ON SEQUENCE hr.badge_badge_no_seq; SELECT ON hr.employee'}, '... and reads something');
hints('COPY hr.badge (name) FROM STDIN', q{'INSERT ON hr.badge; USAGE ON SEQUENCE hr.badge_badge_no_seq'}, 'COPY FROM of some columns');
hints('COPY (SELECT * FROM hr.employee) TO STDOUT', q{'SELECT ON hr.employee'}, 'COPY of a query');
hints('EXPLAIN SELECT * FROM hr.employee', q{'SELECT ON hr.employee'}, 'EXPLAIN');
hints('CREATE TEMP TABLE t AS SELECT * FROM hr.employee', q{'SELECT ON hr.employee'}, 'CREATE TABLE AS');
hints("SET search_path = hr; SELECT * FROM employee", q{'SELECT ON hr.employee'}, 'an unqualified name');
hints('SELECT hr.caller()', q{'SELECT ON hr.department'}, 'in a function for the caller');
hints('SELECT last_value FROM hr.seq', q{'SELECT ON hr.seq'}, 'a sequence');

# up to 15, privileges don't reach whom a role is not inherited by
sql('postgres', 'ALTER ROLE dev NOINHERIT');
if ($node->safe_psql('postgres', 'SHOW server_version_num') < 160000)
{
	like((sql('dev', 'SELECT * FROM hr.part'))[2], qr/^HINT:  Request a role that has this access, to be used with SET ROLE, or ALTER ROLE dev INHERIT/m, 'NOINHERIT: a role is what to ask for');
}
else
{
	hints('SELECT * FROM hr.part', q{'SELECT ON hr.part'}, 'NOINHERIT');
}
sql('postgres', 'ALTER ROLE dev INHERIT');

# where no request cures it
like((sql('dev', "COPY hr.employee FROM '/nowhere'"))[2], qr/pg_read_server_files.*\nHINT:  Anyone can COPY/, 'COPY from a file');
hints('SELECT * FROM hr.blind', 'none', "what a view's owner lacks");
hints('SELECT hr.definer()', 'none', "what a function's owner lacks");
hints('SELECT * FROM pg_authid', 'none', 'system catalogs');
hints('SELECT * FROM hr.employee, pg_authid', 'none', '... among others');
hints('UPDATE jit.requests SET reason = NULL', 'none', 'our own tables');
hints('SELECT * FROM jit.requests_of_mine', 'none', '... and views');
$node->safe_psql('bare', 'CREATE TABLE t (a int)');
is(hint_of('dev', 'SELECT * FROM t', 'bare'), 'none', 'a database without the extension');

# what has ended
my ($rc, $out, $err) = sql('dev', 'SELECT * FROM hr.part');
like($err, qr/^DETAIL:  Request \d+ in hr_prod was revoked at 2\d\d\d-/m, 'says that it was revoked');
($rc, $out) = sql('dev', "SELECT jit_request('SELECT ON hr.part', '2 s', 'test')");
my $request = $out;
sql('hr_owner', "SELECT jit_approve($request)");
is((sql('dev', 'SELECT count(*) FROM hr.part'))[1], 0, 'a short access');
# with the grant role still there, and when it is gone, the same words
my ($denials, $wrong) = (0, 0);
foreach my $try (1 .. 100)
{
	($rc, $out, $err) = sql('dev', 'SELECT * FROM hr.part');
	# it may end while the statement is about to run
	next if $err =~ /that this statement relies on has ended|due to the end of temporary access/;
	$denials++ if $rc;
	$wrong++ if $rc && $err !~ /permission denied for table part\nDETAIL:  Request $request in hr_prod expired at .*\nHINT:  Request access: SELECT jit_request\('SELECT ON hr.part'/;
	last if $denials > 30;
	select(undef, undef, undef, 0.1);
}
cmp_ok($denials, '>', 30, 'denied after the deadline');
is($wrong, 0, '... saying which request expired when, and what to ask for, in each') or diag($err);

# dropped and made again
($rc, $request) = sql('dev', "SELECT jit_request('SELECT ON hr.department', '1 hour', 'test')");
sql('hr_owner', "SELECT jit_approve($request)");
$node->safe_psql('hr_prod', 'SET ROLE hr_owner; DROP TABLE hr.department; CREATE TABLE hr.department (dept_no int)');
($rc, $out, $err) = sql('dev', 'SELECT * FROM hr.department');
like($err, qr/^DETAIL:  hr.department was dropped and made anew since request $request in hr_prod was approved\./m, 'a table that was made anew');

# by a role
$node->safe_psql('hr_prod', 'CREATE ROLE reporting; GRANT SELECT ON hr.employee TO reporting');
($rc, $request) = sql('dev', "SELECT jit_request('reporting', '1 hour', 'test')");
sql('postgres', "SELECT jit_approve($request)");
is((sql('dev', 'SELECT count(*) FROM hr.employee'))[1], 0, 'access by a role');
sql('postgres', "SELECT jit_revoke($request)");
($rc, $out, $err) = sql('dev', 'SELECT * FROM hr.employee');
like($err, qr/^DETAIL:  Request $request in hr_prod was revoked/m, '... its end is told too');

# by another privilege, or for another column
sub detail_of
{
	my ($sql) = @_;
	my ($rc, $out, $err) = sql('dev', $sql);
	die "$sql is not denied" unless $err =~ /permission denied/;
	return $err =~ /^DETAIL:  (.*)/m ? $1 : 'none';
}
$node->safe_psql('hr_prod', 'CREATE TABLE hr.parking (a int, b int, c int); ALTER TABLE hr.parking OWNER TO hr_owner');
($rc, $request) = sql('dev', "SELECT jit_request('SELECT (a, b) ON hr.parking', '1 hour', 'test')");
sql('hr_owner', "SELECT jit_approve($request)");
sql('hr_owner', "SELECT jit_revoke($request)");
like(detail_of('SELECT b FROM hr.parking'), qr/^Request $request in hr_prod was revoked/, 'a column');
like(detail_of('SELECT count(*) FROM hr.parking'), qr/^Request $request in hr_prod was revoked/, 'any column');
is(detail_of('SELECT c FROM hr.parking'), 'none', 'another column');
is(detail_of('UPDATE hr.parking SET a = 1'), 'none', 'another privilege');

# what the ledger has of long ago, or can't tell at once, isn't waited for
my $reindex = $node->background_psql('hr_prod');
$reindex->query_safe('BEGIN; REINDEX INDEX jit.grants_grantee_oid_idx');
($rc, $out, $err) = sql('dev', q{SET lock_timeout = '2s'; SELECT b FROM hr.parking});
like($err, qr/permission denied/, 'an index that is locked: denied all the same');
unlike($err, qr/DETAIL/, '... without a detail');
$reindex->query_safe('ROLLBACK');
$reindex->quit;
$node->safe_psql('hr_prod', q{
	INSERT INTO jit.grants SELECT 1000 + i, 'jit_grant_0_' || 1000 + i, 'dev', now() - interval '2 h', now() - interval '1 h',
			now() - interval '1 h', ARRAY['hr.gone'], ARRAY[1::oid], 1, 'dev'::regrole
		FROM generate_series(1, 99) i});
like(detail_of('SELECT b FROM hr.parking'), qr/^Request $request in hr_prod was revoked/, 'the hundredth of the latest grants is told');
$node->safe_psql('hr_prod', q{
	INSERT INTO jit.grants SELECT 1100, 'jit_grant_0_1100', 'dev', now() - interval '2 h', now() - interval '1 h',
			now() - interval '1 h', ARRAY['hr.gone'], ARRAY[1::oid], 1, 'dev'::regrole});
is(detail_of('SELECT b FROM hr.parking'), 'none', '... no more');

$node->stop;
done_testing();
