# jit_access_of(): what it says of a statement is enough for somebody who has
# nothing, and nothing of it is too much.  What it returns is granted, as GRANT
# has it and by jit_grant(), and the statement runs; with any one privilege less,
# as the catalogs have them, it doesn't.
#
# Seen to fail with views' functions, defaults, policies' tables, checks, or
# the schemas of what is named left out of what is looked at, with a privilege
# on a whole table in place of one on its columns, and, where domains' inputs
# run code, with literals read in the analysis.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('access_of');
my $major = $node->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int / 10000});
$node->safe_psql('postgres', q{
	CREATE ROLE app_owner; CREATE ROLE bare LOGIN; CREATE ROLE granted LOGIN; CREATE ROLE knows LOGIN;
	CREATE SCHEMA app AUTHORIZATION app_owner;
	CREATE SCHEMA "Odd; S" AUTHORIZATION app_owner;
	CREATE SCHEMA ops AUTHORIZATION app_owner;
	GRANT USAGE ON SCHEMA app, ops TO knows;
	SET ROLE app_owner;
	CREATE TABLE app.dept (title text UNIQUE, id int PRIMARY KEY);
	CREATE TABLE app.emp (id int PRIMARY KEY, name text, dept int REFERENCES app.dept, boss int, pay numeric);
	CREATE TABLE app.log (id serial PRIMARY KEY, msg text, at timestamptz DEFAULT now());
	CREATE TABLE app.ident (id int GENERATED ALWAYS AS IDENTITY, v text);
	CREATE TABLE app.gen (a int, b int, c int GENERATED ALWAYS AS (a * 2) STORED);
	CREATE TABLE app.part (k int, v text, w text) PARTITION BY RANGE (k);
	CREATE TABLE app.part_1 PARTITION OF app.part FOR VALUES FROM (0) TO (100);
	CREATE TABLE app.part_2 PARTITION OF app.part FOR VALUES FROM (100) TO (200);
	CREATE TABLE app.parent (a int, b int); CREATE TABLE app.child (c int) INHERITS (app.parent);
	CREATE TABLE app.one (single int); CREATE TABLE app.none ();
	CREATE TABLE "Odd; S"."T; ""x" ("Col A" int, "b;c" text);
	CREATE SEQUENCE app.s;
	CREATE TYPE app.mood AS ENUM ('calm', 'cross');
	CREATE TABLE app.moods (id int, m app.mood);
	CREATE FUNCTION app.open(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
	CREATE FUNCTION app.closed(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 + 1; END';
	CREATE FUNCTION app.closed_check(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 > 0; END';
	CREATE FUNCTION app.closed_rows() RETURNS TABLE (a int, b int) LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT 1, 2; END';
	CREATE FUNCTION app.closed_same(int, int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 = $2; END';
	CREATE FUNCTION app.closed_add(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN coalesce($1, 0) + $2; END';
	CREATE AGGREGATE app.closed_sum(int) (SFUNC = app.closed_add, STYPE = int);
	CREATE OPERATOR ops.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = app.closed_same);
	CREATE COLLATION ops.plain (provider = libc, locale = 'C');
	CREATE DOMAIN app.positive AS int CHECK (app.closed_check(VALUE));
	CREATE TABLE app.dom (x app.positive, y int DEFAULT app.closed(1));
	CREATE TABLE app.checked (x int CHECK (app.closed_check(x)), y int);
	CREATE TABLE app.indexed (x int, y int); CREATE INDEX ON app.indexed ((app.closed(x)));
	CREATE TABLE app.computed (x int, y int, z int GENERATED ALWAYS AS (app.closed(x)) STORED);
	CREATE TABLE app.keyed (x int) PARTITION BY HASH (app.closed(x));
	CREATE TABLE app.keyed_1 PARTITION OF app.keyed FOR VALUES WITH (MODULUS 1, REMAINDER 0);
	CREATE TABLE app.triggered (x int, y int);
	CREATE FUNCTION app.trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
	CREATE TRIGGER t BEFORE INSERT ON app.triggered FOR EACH ROW WHEN (app.closed(new.x) > 0) EXECUTE FUNCTION app.trigger();
	CREATE TABLE app.admins (who name); CREATE TABLE app.rows (id int, who name, v text);
	INSERT INTO app.rows VALUES (1, 'bare', 'a');
	ALTER TABLE app.rows ENABLE ROW LEVEL SECURITY;
	CREATE POLICY p ON app.rows USING (who = current_user OR EXISTS (SELECT FROM app.admins a WHERE a.who = current_user));
	CREATE VIEW app.v AS SELECT id, name FROM app.emp;
	CREATE VIEW app.v_of_v AS SELECT name FROM app.v;
	CREATE VIEW app.v_closed AS SELECT id, app.closed(id) AS c FROM app.emp;
	CREATE VIEW app.v_invoker WITH (security_invoker) AS SELECT id, name FROM app.emp WHERE dept IS NOT NULL;
	CREATE VIEW app.v_ruled AS SELECT 1 AS a;
	CREATE RULE r AS ON INSERT TO app.v_ruled DO INSTEAD INSERT INTO app.log (msg) VALUES (app.closed(new.a)::text);
	CREATE MATERIALIZED VIEW app.mat AS SELECT id, pay FROM app.emp;
	REVOKE EXECUTE ON FUNCTION app.closed(int), app.closed_check(int), app.closed_rows(), app.closed_same(int, int), app.closed_sum(int) FROM PUBLIC;
	INSERT INTO app.dept VALUES ('research', 1); INSERT INTO app.emp VALUES (1, 'ann', 1, NULL, 10), (2, 'ben', 1, 1, 20);
	INSERT INTO app.part VALUES (1, 'x', 'y'); INSERT INTO app.gen VALUES (1, 2); INSERT INTO app.computed VALUES (1); INSERT INTO app.moods VALUES (1, 'calm');
	INSERT INTO "Odd; S"."T; ""x" VALUES (1, 'x');
	GRANT SELECT ON app.one TO PUBLIC; GRANT SELECT (name) ON app.v TO PUBLIC;
	RESET ROLE;
	CREATE FUNCTION outcome(statement text, less text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE less;
		SET LOCAL ROLE bare;
		EXECUTE statement;
		RAISE 'ran' USING ERRCODE = 'JIT00';
	EXCEPTION WHEN OTHERS THEN
		RETURN CASE SQLSTATE WHEN 'JIT00' THEN 'ran' WHEN '42501' THEN 'denied' WHEN '42P01' THEN 'not found'
			WHEN '42883' THEN 'not found' WHEN '42704' THEN 'not found' ELSE SQLERRM END;
	END $$;
	-- as GRANT has it, each privilege by itself
	CREATE VIEW held AS
	SELECT format('REVOKE %s ON %s %s FROM bare', privilege_type, kind, object) AS less FROM (
		SELECT (aclexplode(relacl)).*, CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, oid::regclass::text AS object FROM pg_class
		UNION ALL SELECT (aclexplode(proacl)).*, 'FUNCTION', oid::regprocedure::text FROM pg_proc
		UNION ALL SELECT (aclexplode(nspacl)).*, 'SCHEMA', quote_ident(nspname) FROM pg_namespace
		UNION ALL SELECT (aclexplode(typacl)).*, 'TYPE', oid::regtype::text FROM pg_type) a WHERE grantee = (SELECT oid FROM pg_roles WHERE rolname = 'bare')
	UNION ALL
	SELECT format('REVOKE %s (%I) ON %s FROM bare', privilege_type, attname, object) FROM (
		SELECT (aclexplode(attacl)).*, attname, attrelid::regclass::text AS object FROM pg_attribute) a WHERE grantee = (SELECT oid FROM pg_roles WHERE rolname = 'bare');
	GRANT pg_read_all_stats TO knows;
});

# name, statement, what it takes; a '-' in front of the name: as somebody who
# finds names in the schemas, and isn't asked to run it without USAGE
my @statements = (
	['one column', 'SELECT name FROM app.emp', 'SELECT (name) ON app.emp; USAGE ON SCHEMA app'],
	['all columns', 'SELECT * FROM app.emp', 'SELECT ON app.emp; USAGE ON SCHEMA app'],
	['columns in WHERE and ORDER BY', 'SELECT name FROM app.emp WHERE dept = 1 ORDER BY pay', 'SELECT (name, dept, pay) ON app.emp; USAGE ON SCHEMA app'],
	['no column', 'SELECT count(*) FROM app.emp', 'SELECT (id) ON app.emp; USAGE ON SCHEMA app'],
	['no column, no primary key', 'SELECT 1 FROM app.gen', 'SELECT (a) ON app.gen; USAGE ON SCHEMA app'],
	['no column of a view', 'SELECT count(*) FROM app.v_of_v', 'SELECT ON app.v_of_v; USAGE ON SCHEMA app'],
	['a table without columns', 'SELECT count(*) FROM app.none', 'SELECT ON app."none"; USAGE ON SCHEMA app'],
	['the whole row', 'SELECT e FROM app.emp e', 'SELECT ON app.emp; USAGE ON SCHEMA app'],
	['the whole row, to a function', 'SELECT row_to_json(e) FROM app.emp e', 'SELECT ON app.emp; USAGE ON SCHEMA app'],
	['a system column', 'SELECT ctid FROM app.emp', 'SELECT (ctid) ON app.emp; USAGE ON SCHEMA app'],
	['a join', 'SELECT e.name, d.title FROM app.emp e JOIN app.dept d ON d.id = e.dept', 'SELECT (name, dept) ON app.emp; SELECT ON app.dept; USAGE ON SCHEMA app'],
	['a join with USING', 'SELECT title FROM app.emp JOIN app.dept USING (id)', 'SELECT (id) ON app.emp; SELECT ON app.dept; USAGE ON SCHEMA app'],
	['a NATURAL join', 'SELECT title FROM app.emp NATURAL LEFT JOIN app.dept', 'SELECT (id) ON app.emp; SELECT ON app.dept; USAGE ON SCHEMA app'],
	['a table twice', 'SELECT b.name FROM app.emp e JOIN app.emp b ON b.id = e.boss', 'SELECT (id, name, boss) ON app.emp; USAGE ON SCHEMA app'],
	['a subquery', 'SELECT name FROM app.emp WHERE dept IN (SELECT id FROM app.dept WHERE title = \'research\')', 'SELECT (name, dept) ON app.emp; SELECT ON app.dept; USAGE ON SCHEMA app'],
	['EXISTS', 'SELECT 1 WHERE EXISTS (SELECT FROM app.emp WHERE boss IS NULL)', 'SELECT (boss) ON app.emp; USAGE ON SCHEMA app'],
	['LATERAL', 'SELECT d.title, x.name FROM app.dept d, LATERAL (SELECT name FROM app.emp WHERE dept = d.id LIMIT 1) x', 'SELECT ON app.dept; SELECT (name, dept) ON app.emp; USAGE ON SCHEMA app'],
	['a CTE', 'WITH e AS (SELECT name, dept FROM app.emp) SELECT name FROM e', 'SELECT (name, dept) ON app.emp; USAGE ON SCHEMA app'],
	['a recursive CTE', 'WITH RECURSIVE up AS (SELECT id, boss FROM app.emp WHERE id = 2 UNION ALL SELECT e.id, e.boss FROM app.emp e JOIN up ON e.id = up.boss) SELECT count(*) FROM up', 'SELECT (id, boss) ON app.emp; USAGE ON SCHEMA app'],
	['UNION', 'SELECT name FROM app.emp UNION SELECT title FROM app.dept', 'SELECT (name) ON app.emp; SELECT (title) ON app.dept; USAGE ON SCHEMA app'],
	['GROUP BY and HAVING', 'SELECT dept, sum(pay) FROM app.emp GROUP BY dept HAVING count(boss) > 0', 'SELECT (dept, boss, pay) ON app.emp; USAGE ON SCHEMA app'],
	['a window function', 'SELECT rank() OVER (PARTITION BY dept ORDER BY pay) FROM app.emp', 'SELECT (dept, pay) ON app.emp; USAGE ON SCHEMA app'],
	['a view', 'SELECT id FROM app.v', 'SELECT (id) ON app.v; USAGE ON SCHEMA app'],
	['a view, a column of which is everybody\'s', 'SELECT id, name FROM app.v', 'SELECT (id) ON app.v; USAGE ON SCHEMA app'],
	['a view of a view', 'SELECT * FROM app.v_of_v', 'SELECT ON app.v_of_v; USAGE ON SCHEMA app'],
	['a view with a function in it', 'SELECT c FROM app.v_closed', 'SELECT (c) ON app.v_closed; EXECUTE ON FUNCTION app.closed(integer); USAGE ON SCHEMA app'],
	['a view that reads as its invoker', 'SELECT id FROM app.v_invoker', 'SELECT (id) ON app.v_invoker; SELECT (id, name, dept) ON app.emp; USAGE ON SCHEMA app'],
	['a materialized view', 'SELECT id FROM app.mat', 'SELECT (id) ON app.mat; USAGE ON SCHEMA app'],
	['a partitioned table', 'SELECT v FROM app.part WHERE k = 1', 'SELECT (k, v) ON app.part; USAGE ON SCHEMA app'],
	['a parent and its children', 'SELECT a FROM app.parent', 'SELECT (a) ON app.parent; USAGE ON SCHEMA app'],
	['row-level security', 'SELECT v FROM app.rows', 'SELECT (v) ON app.rows; SELECT ON app.admins; USAGE ON SCHEMA app'],
	['FOR UPDATE', 'SELECT id FROM app.emp FOR UPDATE', 'SELECT (id), UPDATE (id) ON app.emp; USAGE ON SCHEMA app'],
	['FOR SHARE of one of two', 'SELECT e.id FROM app.emp e, app.dept d FOR SHARE OF e', 'SELECT (id), UPDATE (id) ON app.emp; SELECT (id) ON app.dept; USAGE ON SCHEMA app'],
	['FOR UPDATE of a view', 'SELECT id FROM app.v FOR UPDATE', 'SELECT (id), UPDATE (id) ON app.v; USAGE ON SCHEMA app'],
	['FOR UPDATE of a view that reads as its invoker', 'SELECT id FROM app.v_invoker FOR UPDATE', 'SELECT (id), UPDATE (id) ON app.v_invoker; SELECT (id, name, dept) ON app.emp; UPDATE (id) ON app.emp; USAGE ON SCHEMA app'],
	['INSERT', 'INSERT INTO app.gen (a, b) VALUES (1, 2)', 'INSERT (a, b) ON app.gen; USAGE ON SCHEMA app'],
	['INSERT without columns', 'INSERT INTO app.gen VALUES (1)', 'INSERT (a) ON app.gen; USAGE ON SCHEMA app'],
	['INSERT with RETURNING', 'INSERT INTO app.gen (a) VALUES (1) RETURNING c', 'SELECT (c) ON app.gen; INSERT (a) ON app.gen; USAGE ON SCHEMA app'],
	['INSERT of a query', 'INSERT INTO app.gen (a) SELECT id FROM app.emp', 'INSERT (a) ON app.gen; SELECT (id) ON app.emp; USAGE ON SCHEMA app'],
	['INSERT of defaults', 'INSERT INTO app.gen DEFAULT VALUES', 'INSERT (a) ON app.gen; USAGE ON SCHEMA app'],
	['INSERT, a serial column', 'INSERT INTO app.log (msg) VALUES (\'x\')', 'INSERT (msg) ON app.log; USAGE ON SEQUENCE app.log_id_seq; USAGE ON SCHEMA app'],
	['INSERT, a serial column that is given', 'INSERT INTO app.log (id, msg) VALUES (100, \'x\')', 'INSERT (id, msg) ON app.log; USAGE ON SCHEMA app'],
	['INSERT, an identity column', 'INSERT INTO app.ident (v) VALUES (\'x\')', 'INSERT (v) ON app.ident; USAGE ON SCHEMA app'],
	['INSERT, a default with a function, and a domain', 'INSERT INTO app.dom (x) VALUES (1)', 'INSERT (x) ON app.dom; EXECUTE ON FUNCTION app.closed_check(integer), app.closed(integer); USAGE ON SCHEMA app'],
	['INSERT into a view', 'INSERT INTO app.v (id, name) VALUES (3, \'cat\')', 'INSERT ON app.v; USAGE ON SCHEMA app'],
	['INSERT into a view with a rule', 'INSERT INTO app.v_ruled VALUES (1)', 'INSERT ON app.v_ruled; USAGE ON SEQUENCE app.log_id_seq; EXECUTE ON FUNCTION app.closed(integer); USAGE ON SCHEMA app'],
	['INSERT into a partitioned table', 'INSERT INTO app.part (k, v) VALUES (150, \'x\')', 'INSERT (k, v) ON app.part; USAGE ON SCHEMA app'],
	['INSERT ... ON CONFLICT DO NOTHING', 'INSERT INTO app.dept (id, title) VALUES (1, \'x\') ON CONFLICT DO NOTHING', 'INSERT ON app.dept; USAGE ON SCHEMA app'],
	['INSERT ... ON CONFLICT (column) DO NOTHING', 'INSERT INTO app.dept (id, title) VALUES (1, \'x\') ON CONFLICT (id) DO NOTHING', 'INSERT ON app.dept; SELECT (id) ON app.dept; USAGE ON SCHEMA app'],
	['INSERT ... ON CONFLICT ON CONSTRAINT', 'INSERT INTO app.dept (id, title) VALUES (1, \'x\') ON CONFLICT ON CONSTRAINT dept_pkey DO NOTHING', 'INSERT ON app.dept; SELECT (id) ON app.dept; USAGE ON SCHEMA app'],
	['INSERT ... ON CONFLICT DO UPDATE', 'INSERT INTO app.emp (id, name) VALUES (1, \'x\') ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE emp.dept = 1', 'SELECT (id, name, dept) ON app.emp; INSERT (id, name) ON app.emp; UPDATE (name) ON app.emp; USAGE ON SCHEMA app'],
	['UPDATE', 'UPDATE app.emp SET pay = 30', 'UPDATE (pay) ON app.emp; USAGE ON SCHEMA app'],
	['UPDATE ... WHERE', 'UPDATE app.emp SET pay = pay + 1 WHERE id = 1', 'SELECT (id, pay) ON app.emp; UPDATE (pay) ON app.emp; USAGE ON SCHEMA app'],
	['UPDATE ... FROM ... RETURNING', 'UPDATE app.emp e SET pay = 30 FROM app.dept d WHERE d.id = e.dept RETURNING e.name, d.title', 'SELECT (name, dept) ON app.emp; UPDATE (pay) ON app.emp; SELECT ON app.dept; USAGE ON SCHEMA app'],
	['UPDATE of a view', 'UPDATE app.v SET name = \'x\' WHERE id = 1', 'SELECT (id) ON app.v; UPDATE (name) ON app.v; USAGE ON SCHEMA app'],
	['UPDATE of a view that reads as its invoker', 'UPDATE app.v_invoker SET name = \'x\' WHERE id = 1', 'SELECT (id) ON app.v_invoker; UPDATE (name) ON app.v_invoker; SELECT (id, name, dept) ON app.emp; UPDATE (name) ON app.emp; USAGE ON SCHEMA app'],
	['UPDATE that moves rows to another partition', 'UPDATE app.part SET k = 150 WHERE k = 1', 'SELECT (k), UPDATE (k) ON app.part; USAGE ON SCHEMA app'],
	['UPDATE of what a generated column is made of', 'UPDATE app.computed SET x = 2', 'UPDATE (x) ON app.computed; EXECUTE ON FUNCTION app.closed(integer); USAGE ON SCHEMA app'],
	['UPDATE of several columns by a subquery', 'UPDATE app.emp SET (name, pay) = (SELECT title, 1 FROM app.dept WHERE id = 1)', 'UPDATE (name, pay) ON app.emp; SELECT ON app.dept; USAGE ON SCHEMA app'],
	['DELETE', 'DELETE FROM app.gen', 'DELETE ON app.gen; USAGE ON SCHEMA app'],
	['DELETE ... USING ... RETURNING', 'DELETE FROM app.emp e USING app.dept d WHERE d.id = e.dept AND d.title = \'x\' RETURNING e.id', 'DELETE ON app.emp; SELECT (id, dept) ON app.emp; SELECT ON app.dept; USAGE ON SCHEMA app'],
	['a CTE that writes', 'WITH d AS (DELETE FROM app.gen WHERE a = 1 RETURNING b) INSERT INTO app.one SELECT b FROM d', 'INSERT ON app.one; DELETE ON app.gen; SELECT (a, b) ON app.gen; USAGE ON SCHEMA app'],
	['MERGE that updates and inserts', 'MERGE INTO app.emp e USING app.dept d ON e.id = d.id WHEN MATCHED THEN UPDATE SET pay = 1 WHEN NOT MATCHED THEN INSERT (id) VALUES (d.id)', 'SELECT (id), INSERT (id) ON app.emp; UPDATE (pay) ON app.emp; SELECT (id) ON app.dept; USAGE ON SCHEMA app'],
	['MERGE that deletes', 'MERGE INTO app.gen g USING (VALUES (1)) x(a) ON g.a = x.a WHEN MATCHED AND g.b = 3 THEN DELETE', 'DELETE ON app.gen; SELECT (a, b) ON app.gen; USAGE ON SCHEMA app'],
	['MERGE into a serial column', 'MERGE INTO app.log l USING (VALUES (-1)) x(a) ON l.id = x.a WHEN NOT MATCHED THEN INSERT (msg) VALUES (\'x\')', 'SELECT (id) ON app.log; INSERT (msg) ON app.log; USAGE ON SEQUENCE app.log_id_seq; USAGE ON SCHEMA app'],
	['MERGE with RETURNING', 'MERGE INTO app.gen g USING (VALUES (1)) x(a) ON g.a = x.a WHEN MATCHED THEN UPDATE SET b = 3 RETURNING g.c', 'SELECT (a, c) ON app.gen; UPDATE (b) ON app.gen; USAGE ON SCHEMA app', 17],
	['a function for everybody', 'SELECT app.open(1)', 'USAGE ON SCHEMA app'],
	['a function that isn\'t', 'SELECT app.closed(1)', 'EXECUTE ON FUNCTION app.closed(integer); USAGE ON SCHEMA app'],
	['a function of columns', 'SELECT app.closed(id) FROM app.emp', 'SELECT (id) ON app.emp; EXECUTE ON FUNCTION app.closed(integer); USAGE ON SCHEMA app'],
	['a function in FROM', 'SELECT a FROM app.closed_rows()', 'EXECUTE ON FUNCTION app.closed_rows(); USAGE ON SCHEMA app'],
	['an aggregate', 'SELECT app.closed_sum(id) FROM app.emp', 'SELECT (id) ON app.emp; EXECUTE ON FUNCTION app.closed_sum(integer); USAGE ON SCHEMA app'],
	['an aggregate as a window function', 'SELECT app.closed_sum(id) OVER (ORDER BY id) FROM app.emp', 'SELECT (id) ON app.emp; EXECUTE ON FUNCTION app.closed_sum(integer); USAGE ON SCHEMA app'],
	['an operator', 'SELECT id FROM app.emp WHERE id OPERATOR(ops.===) 1', 'SELECT (id) ON app.emp; EXECUTE ON FUNCTION app.closed_same(integer, integer); USAGE ON SCHEMA app, ops'],
	['an operator with ANY', 'SELECT id FROM app.emp WHERE id OPERATOR(ops.===) ANY (ARRAY[1, 2])', 'SELECT (id) ON app.emp; EXECUTE ON FUNCTION app.closed_same(integer, integer); USAGE ON SCHEMA app, ops'],
	['a collation', 'SELECT name FROM app.emp ORDER BY name COLLATE ops.plain', 'SELECT (name) ON app.emp; USAGE ON SCHEMA app, ops'],
	['a type', 'SELECT \'calm\'::app.mood', 'USAGE ON SCHEMA app'],
	['a type whose literals are compared', 'SELECT id FROM app.moods WHERE m = \'calm\'', 'SELECT ON app.moods; USAGE ON SCHEMA app'],
	['a domain', 'SELECT 1::app.positive', 'EXECUTE ON FUNCTION app.closed_check(integer); USAGE ON SCHEMA app'],
	['a domain, from a literal', 'SELECT \'1\'::app.positive', 'EXECUTE ON FUNCTION app.closed_check(integer); USAGE ON SCHEMA app'],
	['nextval', 'SELECT nextval(\'app.s\')', 'USAGE ON SEQUENCE app.s; USAGE ON SCHEMA app'],
	['nextval and setval', 'SELECT nextval(\'app.s\'), setval(\'app.s\', 10)', 'UPDATE ON SEQUENCE app.s; USAGE ON SCHEMA app'],
	['currval, setval', 'SELECT setval(\'app.s\', 10), currval(\'app.s\')', 'UPDATE, USAGE ON SEQUENCE app.s; USAGE ON SCHEMA app'],
	['a sequence as a table, and nextval', 'SELECT last_value, nextval(\'app.s\') FROM app.s', 'SELECT, USAGE ON SEQUENCE app.s; USAGE ON SCHEMA app'],
	['a name in a literal', 'SELECT \'app.emp\'::regclass', 'USAGE ON SCHEMA app'],
	['INSERT where a CHECK has a function', 'INSERT INTO app.checked (y) VALUES (1)', 'INSERT (y) ON app.checked; EXECUTE ON FUNCTION app.closed_check(integer); USAGE ON SCHEMA app'],
	['INSERT where an index has a function', 'INSERT INTO app.indexed (x) VALUES (1)', 'INSERT (x) ON app.indexed; EXECUTE ON FUNCTION app.closed(integer); USAGE ON SCHEMA app'],
	['INSERT where a key of partitions has a function', 'INSERT INTO app.keyed (x) VALUES (1)', 'INSERT ON app.keyed; EXECUTE ON FUNCTION app.closed(integer); USAGE ON SCHEMA app'],
	['INSERT where a trigger has a condition', 'INSERT INTO app.triggered (x) VALUES (1)', 'INSERT (x) ON app.triggered; EXECUTE ON FUNCTION app.closed(integer); USAGE ON SCHEMA app'],
	['quoted names', 'SELECT "Col A" FROM "Odd; S"."T; ""x" WHERE "b;c" = \'x\'', 'SELECT ON "Odd; S"."T; ""x"; USAGE ON SCHEMA "Odd; S"'],
	['quoted names, all columns', 'UPDATE "Odd; S"."T; ""x" SET "Col A" = 2, "b;c" = \'y\'', 'UPDATE ON "Odd; S"."T; ""x"; USAGE ON SCHEMA "Odd; S"'],
	['what everybody has', 'SELECT single FROM app.one', 'USAGE ON SCHEMA app'],
	['a catalog', 'SELECT count(*) FROM pg_class', ''],
	['nothing', 'SELECT 1', ''],
	['VALUES', 'VALUES (app.closed(1), \'x\')', 'EXECUTE ON FUNCTION app.closed(integer); USAGE ON SCHEMA app'],
	['-a table, by the search_path', 'SELECT name FROM emp', 'SELECT (name) ON app.emp; USAGE ON SCHEMA app'],
	['-an operator, by the search_path', 'SELECT id FROM emp WHERE id === 1', 'SELECT (id) ON app.emp; EXECUTE ON FUNCTION app.closed_same(integer, integer); USAGE ON SCHEMA app, ops'],
	['-a function and a sequence, by the search_path', 'SELECT closed(1), nextval(\'s\')', 'USAGE ON SEQUENCE app.s; EXECUTE ON FUNCTION app.closed(integer); USAGE ON SCHEMA app'],
	['-a type, by the search_path', 'SELECT \'calm\'::mood', 'USAGE ON SCHEMA app'],
);

my $bare = session($node, 'bare');
my $knows = session($node, 'knows');
my $granted = session($node, 'granted');
my $super = session($node, scalar getpwuid($<));
$_->do('SET search_path = app, public, ops') for $knows;
$super->do('SET client_min_messages = warning');

my $n = 0;
foreach (@statements)
{
	my ($name, $statement, $expected, $from) = @$_;
	next if ($from // 15) > $major;
	my $by_path = $name =~ s/^-//;
	my ($access, $err) = ($by_path ? $knows : $bare)->do("SELECT jit_access_of(\$s\$$statement\$s\$)");
	$n++;
	subtest "$name: $statement" => sub {
		is($err, '', 'no error');
		is($access, $expected, 'what it takes');
		my $path = 'SET LOCAL search_path = ' . ($by_path ? 'app, public, ops' : 'public');
		my $grants = join '; ', map { "GRANT $_ TO bare" } split /; (?=(?:[^"]*"[^"]*")*[^"]*$)/, $access;
		($_, $err) = $super->do("BEGIN; $grants; SELECT less FROM held");
		is($err, '', 'GRANT takes it');
		my @held = split /\n/;
		is($super->do("$path; SELECT public.outcome(\$s\$$statement\$s\$, 'SELECT')"), 'ran', 'it runs');
		like($super->do("$path; SELECT public.outcome(\$s\$$statement\$s\$, \$s\$$_\$s\$)"), qr/^(denied|not found)$/, "... but not after $_") foreach @held;
		$super->do('ROLLBACK');
		if ($access ne '')
		{
			my ($request, $problem) = $super->do("SELECT jit_grant(\$s\$$access\$s\$, 'granted', '1 hour', 'test')");
			like($request, qr/^\d+$/, 'jit_grant() takes it') or diag $problem;
			($_, $problem) = $granted->do("BEGIN; $path; $statement; ROLLBACK");
			is($problem, '', '... and it runs');
			$super->do("SELECT jit_revoke($request, 'test')");
		}
	};
}
cmp_ok($n, '>=', 60, 'that many statements');

$_->quit for $bare, $knows, $granted, $super;
$node->stop;
done_testing();
