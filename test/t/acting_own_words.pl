# Deciding takes the client's own words: what others made and an approver
# merely uses decides nothing, whichever way it runs; and what people write
# themselves goes through, by every kind of call that the protocol has.
#
# The attacks are lines of attacks.md.  Guards base/toplevel.c and the check of
# jit_access.top_level_only.  Seen to fail with every plan counted as marked:
# views, functions, casts, domains, operators, aggregates, query_to_xml(); with
# nothing counted as foreign: what is beside or in a call; with any view in
# FROM, by JIT_VIEW_OF; without a look at functions in FROM: those; with levels
# below the top one counted, or without a look at the plan's range table:
# functions in SQL that are inlined; with a mark that isn't ours passed over: what
# is inlined before a call; without the portal's name: named portals; without its
# destination: FETCH from the unnamed portal; without from_sql, or the text of
# the statement beside it: prepared statements that are replaced; without the
# check: set_config(); with any set in the target list: the one beside a call.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;
use Protocol;

my $super = getpwuid($<) . '';
my $node = new_server('words', "jit_access.max_pending = 1000\njit_access.admin_role = 'admin'");
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE admin; CREATE ROLE carl LOGIN; GRANT admin TO carl; CREATE ROLE oncall; GRANT oncall TO anna, dev;
	GRANT CREATE ON SCHEMA public TO dev;
	CREATE SCHEMA dev AUTHORIZATION dev;
	ALTER DEFAULT PRIVILEGES FOR ROLE dev GRANT ALL ON TABLES TO PUBLIC;
	GRANT USAGE ON SCHEMA dev TO PUBLIC;
	SET ROLE hr_owner;
	DO $$ BEGIN FOR i IN 1 .. 200 LOOP EXECUTE format('CREATE TABLE hr.t%s ()', i); END LOOP; END $$;
	GRANT CREATE ON SCHEMA hr TO anna;
});
my %s = map { $_ => session($node, $_, 'hr_prod') } qw(dev anna carl);
$s{super} = session($node, $super, 'hr_prod');
$_->do(q{SET client_min_messages = error; SET statement_timeout = '20 s'}) for values %s;

# ---- what is asked for, and what has come of it

# A pending request, $n: a new one if the last one has been decided.
my ($n, $filed) = (0, 0);
sub pending
{
	$filed++;
	$n = $s{dev}->do("SELECT jit_request('SELECT ON hr.t$filed', '1 h', 'x')");
	die $s{dev}{last_err} unless $n =~ /^\d+$/;
	return $n;
}

sub status { return $node->safe_psql('hr_prod', 'SELECT status FROM jit.requests WHERE id = ' . ($_[0] // $n)); }

# All that somebody could have decided.
sub decided
{
	return $s{super}->do(q{SELECT (SELECT string_agg(id || status::text, ' ' ORDER BY id) FROM jit.requests),
		(SELECT count(*) FROM jit.risk_policies), (SELECT count(*) FROM jit.approval_flows), (SELECT count(*) FROM pg_seclabel)});
}

# N stands for the request that is pending.
sub with_number { my ($sql) = @_; return $sql =~ s/\bN\b/$n/gr; }

# What dev makes.
sub made
{
	my ($sql) = @_;
	return unless $sql;
	my (undef, $err) = $s{dev}->do(with_number($sql));
	die "dev: $err" if $err =~ /ERROR/;
	return;
}

my $own_words = qr/ERROR:  42501: jit_\w+\(\) must be called in a statement of its own/;

# Dev makes something, somebody uses it; it is refused and decides nothing.
sub refused
{
	my ($made, $used, $who, $error) = @_;
	pending() if !$n || status() ne 'pending';
	made($made);
	my $before = decided();
	my (undef, $err) = $s{ $who // 'anna' }->do(with_number($used));
	like($err, $error // $own_words, 'refused');
	$s{ $who // 'anna' }->do('ROLLBACK') if $used =~ /BEGIN;/;
	is(decided(), $before, '... and nothing is decided');
	return;
}

# What anna writes herself goes through.
sub passes
{
	my ($used, $expected, $who) = @_;
	pending();
	my ($out, $err) = $s{ $who // 'anna' }->do(with_number($used));
	unlike($err, qr/ERROR/, 'no error');
	is(status(), $expected // 'active', "it is $expected") if ($expected //= 'active');
	return $out;
}

# The same as refused() and passes() for a client's messages: a function
# makes them, as the number of the request isn't known before.
sub refused_client
{
	my ($made, $messages, $error) = @_;
	pending() if !$n || status() ne 'pending';
	made($made);
	my $before = decided();
	my $client = Protocol->new($node, 'anna');
	my $answer = join '', map { $client->do(@$_) } $messages->();
	like($answer, $error // $own_words, 'refused');
	is(decided(), $before, '... and nothing is decided');
	return;
}

sub passes_client
{
	my ($messages) = @_;
	pending();
	my $client = Protocol->new($node, 'anna');
	my $answer = join '', map { $client->do(@$_) } $messages->();
	unlike($answer, qr/ERROR/, 'no error');
	is(status(), 'active', '... and it is active');
	return;
}

# ---- what dev made

# Something of dev's that calls it, in the ways that PostgreSQL runs a function.
my $plpgsql = q{CREATE OR REPLACE FUNCTION dev.f() RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM jit_approve(N); RETURN 1; END'; };
# one that says it is immutable, and takes what columns have
my $immutable = q{CREATE OR REPLACE FUNCTION dev.i(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN IF session_user <> ''dev'' THEN PERFORM jit_approve(N); END IF; RETURN x; END'; };
my $trigger = q{CREATE OR REPLACE FUNCTION dev.trg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM jit_approve(N); RETURN NEW; END'; };

my @made = (
	# views
	[ 'a view', q{CREATE VIEW dev.v1 AS SELECT jit_approve(N)::text}, 'TABLE dev.v1' ],
	[ 'a view of a view', q{CREATE VIEW dev.v2 AS SELECT * FROM dev.v1}, 'SELECT * FROM dev.v2' ],
	[ 'a view, pulled up', q{CREATE VIEW dev.v3 AS SELECT emp_no, jit_approve(N) AS a FROM generate_series(1, 1) emp_no}, 'SELECT a FROM dev.v3' ],
	[ 'a security_barrier view', q{CREATE VIEW dev.v4 WITH (security_barrier) AS SELECT jit_approve(N) AS a}, 'SELECT a FROM dev.v4' ],
	[ 'a view of jit.inbox that approves', q{CREATE VIEW dev.v5 AS SELECT request, jit_approve(request) FROM jit.inbox}, 'SELECT * FROM dev.v5' ],
	[ 'a function in WHERE of a view', q{CREATE VIEW dev.v6 AS SELECT 1 AS x WHERE jit_approve(N) = 'active'}, 'SELECT * FROM dev.v6' ],
	[ 'a view that is written to', "$trigger CREATE VIEW dev.v7 AS SELECT 1 AS x; CREATE TRIGGER t INSTEAD OF INSERT ON dev.v7 FOR EACH ROW EXECUTE FUNCTION dev.trg()", 'INSERT INTO dev.v7 VALUES (1)' ],
	[ 'WITH CHECK OPTION of a view', "$immutable CREATE TABLE dev.t1 (x int); CREATE VIEW dev.v8 AS SELECT x FROM dev.t1 WHERE dev.i(x) > 0 WITH CHECK OPTION", 'INSERT INTO dev.v8 VALUES (1)' ],
	[ 'a view of it alone in FROM, pulled up', q{CREATE VIEW dev.in_from AS SELECT * FROM jit_approve(N) a}, 'TABLE dev.in_from' ],
	[ 'a view of that view', q{CREATE VIEW dev.in_from_of AS TABLE dev.in_from}, 'TABLE dev.in_from_of' ],
	[ 'a function in WHERE of a view over jit.inbox', q{CREATE VIEW dev.in_where AS SELECT request FROM jit.inbox WHERE jit_approve(request) = 'active'}, 'TABLE dev.in_where' ],
	[ 'a view of it in FROM beside a call of anna\'s', q{}, 'SELECT jit_reject(N, $$no$$) FROM dev.in_from' ],
	# functions
	[ 'a function in SQL', q{CREATE FUNCTION dev.f1() RETURNS jit.request_status LANGUAGE sql AS 'SELECT jit_approve(N)'}, 'SELECT dev.f1()' ],
	[ 'a function in SQL that is alone in FROM', q{CREATE FUNCTION dev.f2() RETURNS SETOF jit.request_status STABLE LANGUAGE sql AS 'SELECT jit_approve(N)'}, 'SELECT * FROM dev.f2()' ],
	[ 'a function in SQL that says it is stable', q{CREATE FUNCTION dev.f3() RETURNS jit.request_status STABLE LANGUAGE sql AS 'SELECT jit_approve(N)'}, 'SELECT dev.f3()' ],
	[ 'a function in SQL that says it is immutable', q{CREATE FUNCTION dev.f4() RETURNS jit.request_status IMMUTABLE LANGUAGE sql AS 'SELECT jit_approve(N)'}, 'SELECT dev.f4()' ],
	[ 'a function in SQL that takes the number', q{CREATE FUNCTION dev.f5(request int) RETURNS jit.request_status LANGUAGE sql AS 'SELECT jit_approve(request)'}, 'SELECT dev.f5(N)' ],
	[ 'a function in SQL, inlined before a call of anna\'s', q{}, 'SELECT dev.f1() WHERE jit_reject(N, $$no$$) IS NOT NULL' ],
	[ 'a function in SQL that has it in FROM', q{CREATE FUNCTION dev.f16() RETURNS SETOF jit.request_status STABLE LANGUAGE sql AS 'SELECT * FROM jit_approve(N)'}, 'SELECT * FROM dev.f16()' ],
	[ 'a function in SQL over jit.inbox', q{CREATE FUNCTION dev.f17() RETURNS SETOF jit.request_status STABLE LANGUAGE sql AS 'SELECT jit_approve(request) FROM jit.inbox'}, 'SELECT * FROM dev.f17()' ],
	[ 'a function in SQL in FROM of a call of anna\'s', q{}, 'SELECT jit_reject(N, $$no$$) FROM dev.f16()' ],
	[ 'a function that is parsed when it is made', q{CREATE FUNCTION dev.f6() RETURNS jit.request_status LANGUAGE sql RETURN jit_approve(N)}, 'SELECT dev.f6()' ],
	[ 'a function whose default it is', q{CREATE FUNCTION dev.f7(jit.request_status DEFAULT jit_approve(N)) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'}, 'SELECT dev.f7()' ],
	[ 'a function in PL/pgSQL', $plpgsql, 'SELECT dev.f()' ],
	[ 'EXECUTE of PL/pgSQL', q{CREATE FUNCTION dev.f8() RETURNS jit.request_status LANGUAGE plpgsql AS 'DECLARE s jit.request_status; BEGIN EXECUTE ''SELECT jit_approve(N)'' INTO s; RETURN s; END'}, 'SELECT dev.f8()' ],
	[ 'a cached plan of PL/pgSQL', q{CREATE FUNCTION dev.f9() RETURNS jit.request_status LANGUAGE plpgsql AS 'DECLARE s jit.request_status; BEGIN FOR i IN 1..9 LOOP BEGIN s := (SELECT jit_approve(N)); EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; SELECT jit_approve(N) INTO s; RETURN s; END'}, 'SELECT dev.f9()' ],
	[ 'RETURN QUERY', q{CREATE FUNCTION dev.f10() RETURNS SETOF jit.request_status LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT jit_approve(N); END'}, 'SELECT * FROM dev.f10()' ],
	[ 'a function beside a call of anna\'s', $plpgsql, 'SELECT dev.f(), jit_reject(N, $$no$$)' ],
	[ 'a function in the arguments', $plpgsql, 'SELECT jit_reject(dev.f(), $$no$$)' ],
	[ 'a function in the arguments, in FROM', $plpgsql, 'SELECT * FROM jit_reject(dev.f(), $$no$$)' ],
	[ 'a function in FROM of a call of anna\'s', $plpgsql, 'SELECT jit_reject(N, $$no$$) FROM dev.f()' ],
	[ 'a procedure', q{CREATE PROCEDURE dev.p1() LANGUAGE plpgsql AS 'BEGIN PERFORM jit_approve(N); END'}, 'CALL dev.p1()' ],
	[ 'a procedure that commits before', q{CREATE PROCEDURE dev.p2() LANGUAGE plpgsql AS 'BEGIN COMMIT; PERFORM jit_approve(N); END'}, 'CALL dev.p2()' ],
	[ 'a procedure in SQL', q{CREATE PROCEDURE dev.p3() LANGUAGE sql AS 'SELECT jit_approve(N)'}, 'CALL dev.p3()' ],
	[ 'a function that makes one, and calls it', q{CREATE FUNCTION dev.f11() RETURNS int LANGUAGE plpgsql AS 'BEGIN CREATE FUNCTION pg_temp.t() RETURNS jit.request_status LANGUAGE sql AS $f$SELECT jit_approve(N)$f$; PERFORM pg_temp.t(); RETURN 1; END'}, 'SELECT dev.f11()' ],
	[ 'a function of that name before PostgreSQL\'s', q{CREATE FUNCTION dev.jit_approve(int) RETURNS jit.request_status LANGUAGE plpgsql AS 'BEGIN RETURN pg_catalog.jit_approve(N); END'}, 'BEGIN; SET LOCAL search_path = dev, pg_catalog; SELECT jit_approve(0)' ],
	[ 'a function of that name for another type', q{CREATE FUNCTION public.jit_approve(bigint) RETURNS jit.request_status LANGUAGE plpgsql AS 'BEGIN RETURN jit_approve(N); END'}, 'SELECT jit_approve(17::bigint)' ],
	[ 'a parallel worker', q{DROP FUNCTION public.jit_approve(bigint); CREATE FUNCTION dev.f12() RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS 'BEGIN PERFORM jit_approve(N); RETURN 1; END'; CREATE FUNCTION dev.parallel() RETURNS text LANGUAGE sql AS $$SELECT set_config(name, 'on', true) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')$$}, 'BEGIN; SELECT dev.parallel(); SELECT dev.f12() FROM pg_class' ],
	# rules and triggers
	[ 'a rule, ALSO', q{CREATE TABLE dev.t2 (x int); CREATE RULE r AS ON INSERT TO dev.t2 DO ALSO SELECT jit_approve(N)}, 'INSERT INTO dev.t2 VALUES (1)' ],
	[ 'a rule, INSTEAD', q{CREATE TABLE dev.t3 (x int); CREATE RULE r AS ON INSERT TO dev.t3 DO INSTEAD SELECT jit_approve(N)}, 'INSERT INTO dev.t3 VALUES (1)' ],
	[ 'a rule of UPDATE, INSTEAD', q{CREATE TABLE dev.t4 AS SELECT 1 AS x; CREATE RULE r AS ON UPDATE TO dev.t4 DO INSTEAD SELECT jit_approve(N)}, 'UPDATE dev.t4 SET x = 2' ],
	[ 'a rule, RETURNING', q{CREATE TABLE dev.t5 (x int); CREATE RULE r AS ON INSERT TO dev.t5 DO INSTEAD INSERT INTO dev.t4 VALUES (1) RETURNING (jit_approve(N) = 'active')::int}, 'INSERT INTO dev.t5 VALUES (1) RETURNING x' ],
	[ 'a trigger', "$trigger CREATE TABLE dev.t6 (x int); CREATE TRIGGER t BEFORE INSERT ON dev.t6 FOR EACH ROW EXECUTE FUNCTION dev.trg()", 'INSERT INTO dev.t6 VALUES (1)' ],
	[ 'a trigger of the statement', "$trigger CREATE TABLE dev.t7 (x int); CREATE TRIGGER t AFTER UPDATE ON dev.t7 EXECUTE FUNCTION dev.trg()", 'UPDATE dev.t7 SET x = 1' ],
	[ 'WHEN of a trigger', "$trigger $immutable CREATE TABLE dev.t8 (x int); CREATE TRIGGER t AFTER INSERT ON dev.t8 FOR EACH ROW WHEN (dev.i(NEW.x) > 1) EXECUTE FUNCTION dev.trg()", 'INSERT INTO dev.t8 VALUES (1)' ],
	[ 'a deferred trigger', "$trigger CREATE TABLE dev.t9 (x int); CREATE CONSTRAINT TRIGGER t AFTER INSERT ON dev.t9 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dev.trg()", 'INSERT INTO dev.t9 VALUES (1)' ],
	[ 'a deferred trigger, at COMMIT', $trigger, 'BEGIN; INSERT INTO dev.t9 VALUES (1); COMMIT' ],
	[ 'a deferred trigger, at the COMMIT of a procedure', "$trigger CREATE PROCEDURE dev.p4() LANGUAGE plpgsql AS 'BEGIN INSERT INTO dev.t9 VALUES (1); COMMIT; END'", 'CALL dev.p4()' ],
	[ 'a deferred trigger, by SET CONSTRAINTS', $trigger, 'BEGIN; INSERT INTO dev.t9 VALUES (1); SET CONSTRAINTS ALL IMMEDIATE' ],
	[ 'a deferred trigger, at PREPARE TRANSACTION', $trigger, q{BEGIN; INSERT INTO dev.t9 VALUES (1); PREPARE TRANSACTION 'x'} ],
	[ 'a deferred trigger after a call of anna\'s, in one message', $trigger, q{INSERT INTO dev.t9 VALUES (1)\; SELECT jit_reject(N, 'no');} ],
	# what tables and types have
	[ 'DEFAULT of a column', q{CREATE TABLE dev.t10 (x int, y jit.request_status DEFAULT jit_approve(N))}, 'INSERT INTO dev.t10 VALUES (1)' ],
	[ 'a generated column', "$immutable CREATE TABLE dev.t11 (x int, y int GENERATED ALWAYS AS (dev.i(x)) STORED)", 'INSERT INTO dev.t11 VALUES (1)' ],
	[ 'CHECK of a table', "$immutable CREATE TABLE dev.t12 (x int CHECK (dev.i(x) > 0))", 'INSERT INTO dev.t12 VALUES (1)' ],
	[ 'an index', "$immutable CREATE TABLE dev.t13 (x int); CREATE INDEX ON dev.t13 (dev.i(x))", 'INSERT INTO dev.t13 VALUES (1)' ],
	[ 'the key of a partitioned table', "$immutable CREATE TABLE dev.t14 (x int) PARTITION BY RANGE (dev.i(x)); CREATE TABLE dev.t14a PARTITION OF dev.t14 DEFAULT", 'INSERT INTO dev.t14 VALUES (1)' ],
	[ 'a row-level security policy', "$immutable CREATE TABLE dev.t15 AS SELECT 1 AS x; ALTER TABLE dev.t15 ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON dev.t15 USING (dev.i(x) > 0)", 'SELECT * FROM dev.t15' ],
	[ 'CHECK of a domain', "$immutable CREATE DOMAIN dev.d1 AS int CHECK (dev.i(VALUE) > 0); CREATE TABLE dev.t16 (x dev.d1)", 'INSERT INTO dev.t16 VALUES (1)' ],
	[ 'a domain in anna\'s own statement', $immutable, 'SELECT jit_reject(N::dev.d1, $$no$$)' ],
	[ 'a domain, when a literal is read', "$immutable CREATE TYPE dev.c1 AS (x dev.d1)", q{SELECT jit_reject(N, 'no') WHERE '(1)'::dev.c1 IS NOT NULL} ],
	[ 'json_populate_record()', $immutable, q{SELECT jit_reject(N, json_populate_record(NULL::dev.c1, '{"x": 1}')::text)} ],
	[ 'a cast', q{CREATE TYPE dev.e1 AS ENUM ('1'); CREATE FUNCTION dev.c(dev.e1) RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM jit_approve(N); RETURN N; END'; CREATE CAST (dev.e1 AS int) WITH FUNCTION dev.c(dev.e1) AS IMPLICIT}, q{SELECT jit_reject('1'::dev.e1, 'no')} ],
	[ 'an operator before PostgreSQL\'s', q{CREATE FUNCTION dev.eq(int, int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM jit_approve(N); RETURN true; END'; CREATE OPERATOR dev.= (LEFTARG = int, RIGHTARG = int, FUNCTION = dev.eq)}, q{BEGIN; SET LOCAL search_path = dev, pg_catalog; SELECT jit_reject(request, 'no') FROM jit.inbox WHERE request = 'N'} ],
	[ 'an aggregate', q{CREATE FUNCTION dev.add(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM jit_approve(N); RETURN 1; END'; CREATE AGGREGATE dev.agg(int) (SFUNC = dev.add, STYPE = int)}, 'SELECT dev.agg(1)' ],
	# cursors
	[ 'a cursor of PL/pgSQL', q{CREATE FUNCTION dev.f13() RETURNS int LANGUAGE plpgsql AS 'DECLARE c CURSOR FOR SELECT jit_approve(N); r record; BEGIN OPEN c; FETCH c INTO r; RETURN 1; END'}, 'SELECT dev.f13()' ],
	[ 'a cursor that is handed out', q{CREATE FUNCTION dev.f14() RETURNS refcursor LANGUAGE plpgsql AS $$DECLARE c refcursor := 'c'; BEGIN OPEN c FOR SELECT jit_approve(N); RETURN c; END$$}, 'BEGIN; SELECT dev.f14(); FETCH c' ],
	[ 'a cursor WITH HOLD, filled at COMMIT', q{CREATE FUNCTION dev.f15() RETURNS int LANGUAGE plpgsql AS 'BEGIN EXECUTE ''DECLARE h CURSOR WITH HOLD FOR SELECT jit_approve(N)''; RETURN 1; END'}, 'SELECT dev.f15()' ],
	[ 'a cursor that anna declares', q{}, 'BEGIN; DECLARE c CURSOR FOR TABLE dev.v1; FETCH c' ],
	[ 'cursor_to_xml()', q{CREATE VIEW dev.v9 AS SELECT cursor_to_xml('c', 1, true, false, '')}, 'BEGIN; SELECT dev.f14(); TABLE dev.v9' ],
	# statements that take a query, functions that take a text
	[ 'COPY of a view', q{CREATE OR REPLACE VIEW dev.v1 AS SELECT jit_approve(N)::text}, 'COPY (TABLE dev.v1) TO STDOUT' ],
	[ 'EXPLAIN ANALYZE of a view', q{}, 'EXPLAIN ANALYZE TABLE dev.v1' ],
	[ 'CREATE TABLE AS of a view', q{}, 'CREATE TEMPORARY TABLE x AS TABLE dev.v1' ],
	[ 'SELECT INTO of a view', q{}, 'SELECT * INTO TEMPORARY x FROM dev.v1' ],
	[ 'query_to_xml()', q{CREATE VIEW dev.v10 AS SELECT query_to_xml('SELECT jit_approve(N)', true, false, '')}, 'TABLE dev.v10' ],
	[ 'table_to_xml()', q{CREATE VIEW dev.v11 AS SELECT table_to_xml('dev.v1', true, false, '')}, 'TABLE dev.v11' ],
	[ 'ts_stat()', q{CREATE VIEW dev.v12 AS SELECT * FROM ts_stat('SELECT jit_approve(N)::text::tsvector')}, 'TABLE dev.v12' ],
	[ 'a stable function of texts', q{}, $node->pg_version >= 16 ? q{SELECT jit_reject(N, 'no') WHERE pg_input_is_valid('1', 'dev.d1')} : q{SELECT jit_reject(N, 'no') WHERE pg_get_viewdef('dev.v1') <> ''} ],
	[ 'a DO block', q{}, q{DO 'BEGIN PERFORM jit_approve(N); END'} ],
	[ 'a prepared statement that a function makes', q{CREATE OR REPLACE FUNCTION dev.swap(name text) RETURNS int LANGUAGE plpgsql AS $$BEGIN EXECUTE 'DEALLOCATE ' || name; EXECUTE format('PREPARE %s AS SELECT jit_approve(N)', name); RETURN 1; END$$}, 'PREPARE s AS SELECT 1; SELECT dev.swap($$s$$); EXECUTE s' ],
);
foreach (@made)
{
	my ($name, $made, $used, $error) = @$_;
	attack $name => sub { refused($made, $used, undef, $error) };
}
$s{anna}->do('DEALLOCATE ALL');

# ---- what anna writes that is more than a call

my %more = (
	'a cursor of her own' => 'BEGIN; DECLARE c CURSOR FOR SELECT jit_approve(N); FETCH c',
	'a cursor WITH HOLD of her own' => 'DECLARE h CURSOR WITH HOLD FOR SELECT jit_approve(N)',
	'SQL\'s PREPARE and EXECUTE' => 'PREPARE p AS SELECT jit_approve(N); EXECUTE p',
	'COPY' => 'COPY (SELECT jit_approve(N)) TO STDOUT',
	'EXPLAIN ANALYZE' => 'EXPLAIN ANALYZE SELECT jit_approve(N)',
	'CREATE TABLE AS' => 'CREATE TEMPORARY TABLE x AS SELECT jit_approve(N)',
	'INSERT ... SELECT' => 'CREATE TEMPORARY TABLE y (s text); INSERT INTO y SELECT jit_approve(N)::text',
	'a CTE' => 'WITH c AS (SELECT jit_approve(N)) SELECT * FROM c',
	'a subquery' => 'SELECT (SELECT jit_approve(N))',
	'UNION' => 'SELECT jit_approve(N) UNION ALL SELECT NULL',
	'a table of dev\'s in FROM' => 'SELECT jit_approve(N) FROM dev.t4',
	'a view of dev\'s in FROM' => 'SELECT jit_approve(N) FROM dev.v6',
	'a view of dev\'s beside jit.inbox' => 'SELECT jit_approve(request) FROM jit.inbox, dev.v6',
	'LATERAL over jit.inbox' => 'SELECT a FROM jit.inbox, LATERAL jit_approve(request) a',
	'a subquery over jit.inbox' => 'SELECT jit_approve(request) FROM (SELECT * FROM jit.inbox) i',
	'jit.inbox, grouped' => 'SELECT jit_approve(max(request)) FROM jit.inbox',
	'jit.inbox, with a window' => 'SELECT jit_approve(request), row_number() OVER () FROM jit.inbox',
	'jit.inbox, with a function of dev\'s in WHERE' => 'SELECT jit_approve(request) FROM jit.inbox WHERE dev.i(request) > 0',
	'query_to_xml() of her own' => q{SELECT query_to_xml('SELECT jit_approve(N)', true, false, '')},
);
foreach my $name (sort keys %more)
{
	attack $name => sub { refused($name =~ /window|WHERE/ ? $immutable : undef, $more{$name}) };
}

# ---- superusers and administrators

attack 'query_to_xml() by a superuser' => sub { refused(undef, 'TABLE dev.v10', 'super') };
attack 'schema_to_xml() by a superuser' => sub { refused(undef, q{SELECT schema_to_xml('dev', true, false, '')}, 'super', qr/ERROR:  42501: jit_/) };
attack 'REFRESH MATERIALIZED VIEW by a superuser' => sub {
	made(q{CREATE OR REPLACE FUNCTION dev.m() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE MATERIALIZED VIEW dev.m1 AS SELECT dev.m()});
	refused(q{CREATE OR REPLACE FUNCTION dev.m() RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM jit_approve(N); RETURN 1; END'}, 'REFRESH MATERIALIZED VIEW dev.m1', 'super', qr/ERROR:  42501: cannot execute jit_approve/);
};
attack 'ORDER BY USING an operator of dev\'s, in a superuser\'s operator class' => sub {
	made(q{CREATE FUNCTION dev.lt(int, int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1 < $2; END'; CREATE OPERATOR dev.< (LEFTARG = int, RIGHTARG = int, FUNCTION = dev.lt)});
	$node->safe_psql('hr_prod', 'CREATE OPERATOR CLASS dev.c FOR TYPE int USING btree AS OPERATOR 1 dev.<, OPERATOR 3 =, FUNCTION 1 btint4cmp(int, int)');
	refused(q{CREATE OR REPLACE FUNCTION dev.lt(int, int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM jit_approve(N); RETURN true; END'}, 'SELECT jit_approve(request) FROM jit.inbox ORDER BY request USING OPERATOR(dev.<)');
};
attack 'an event trigger of a superuser with a function of dev\'s' => sub {
	made(q{CREATE FUNCTION dev.ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN IF session_user <> ''dev'' THEN PERFORM jit_approve(N); END IF; END'});
	$node->safe_psql('hr_prod', 'CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION dev.ddl()');
	refused(undef, 'CREATE TABLE hr.x ()');
	$s{super}->do('DROP EVENT TRIGGER e');
};
my %administration = (
	set_policy => q{jit_set_policy('x', 'low', '$.reason == "x"')},
	drop_policy => q{jit_drop_policy('p')},
	set_flow => q{jit_set_flow('moderate', '[]')},
	set_label => q{jit_set_label('TABLE hr.salary', 'x')},
	revoke_all => q{jit_revoke_all('x')},
	revoke_from => q{jit_revoke_from('dev', 'x')},
	revoke => 'jit_revoke(ACTIVE)',
);
my $active;
$s{super}->do(q{SELECT jit_set_policy('p', 'high', '$.reason == "p"')});
$active = pending();
$s{anna}->do("SELECT jit_approve($active)");
foreach my $name (sort keys %administration)
{
	my $call = $administration{$name} =~ s/ACTIVE/$active/r;
	attack "jit_$name() in a view that an administrator uses" => sub { refused("CREATE VIEW dev.a_$name AS SELECT 1 AS x FROM $call", "TABLE dev.a_$name", 'carl') };
}
my %identity = (
	act_for => q{jit_act_for('x')},
	link_identity => q{jit_link_identity('x')},
	offer_identity => q{jit_offer_identity('x')},
	unlink_identity => q{jit_unlink_identity('x')},
);
foreach my $name (sort keys %identity)
{
	attack "jit_$name() in a view" => sub { refused("CREATE VIEW dev.i_$name AS SELECT 1 AS x FROM $identity{$name}", "TABLE dev.i_$name") };
}
attack 'jit_reset_clock() in a view that a superuser uses' => sub { refused('CREATE VIEW dev.a_clock AS SELECT 1 AS x FROM jit_reset_clock()', 'TABLE dev.a_clock', 'super') };
my %archive = (
	'a view' => [ 'CREATE VIEW dev.h1 AS SELECT jit_archive(now()) AS line', 'TABLE dev.h1' ],
	'a view of it in FROM' => [ 'CREATE VIEW dev.h2 AS SELECT * FROM jit_archive(now())', 'TABLE dev.h2' ],
	'a function in SQL' => [ q{CREATE FUNCTION dev.h3() RETURNS SETOF json LANGUAGE sql AS 'SELECT jit_archive(now())'}, 'SELECT dev.h3()' ],
	'a function in SQL, in FROM' => [ q{CREATE FUNCTION dev.h4() RETURNS SETOF json STABLE LANGUAGE sql AS 'SELECT jit_archive(now())'}, 'SELECT * FROM dev.h4()' ],
	'a function in SQL that has it in FROM' => [ q{CREATE FUNCTION dev.h5() RETURNS SETOF json STABLE LANGUAGE sql AS 'SELECT * FROM jit_archive(now())'}, 'SELECT * FROM dev.h5()' ],
	'PL/pgSQL, RETURN QUERY' => [ q{CREATE FUNCTION dev.h6() RETURNS SETOF json LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT jit_archive(now()); END'}, 'SELECT dev.h6()' ],
	'a function of dev\'s in its arguments' => [ q{CREATE FUNCTION dev.h7() RETURNS timestamptz LANGUAGE plpgsql AS 'BEGIN PERFORM jit_archive(now()); RETURN now(); END'}, 'SELECT jit_archive(dev.h7())' ],
	'a set of dev\'s beside it' => [ undef, 'SELECT jit_archive(now()), dev.h6()' ],
	'a set of dev\'s under it' => [ q{CREATE FUNCTION dev.h8() RETURNS SETOF timestamptz LANGUAGE plpgsql AS 'BEGIN PERFORM jit_archive(now()); RETURN NEXT now(); END'}, 'SELECT jit_archive(dev.h8())' ],
	'a subquery' => [ undef, 'SELECT * FROM (SELECT jit_archive(now())) s' ],
	'UNION' => [ undef, 'SELECT jit_archive(now()) UNION ALL SELECT NULL' ],
	'EXECUTE of SQL' => [ undef, 'PREPARE h AS SELECT jit_archive(now()); EXECUTE h' ],
);
foreach my $name (sort keys %archive)
{
	attack "jit_archive() in $name" => sub { refused(@{ $archive{$name} }, 'carl') };
}
attack 'a set in the target list beside a call' => sub {
	refused(undef, "SELECT jit_reject(N, 'no'), $_") for 'generate_series(1, 2)', q{unnest('{1}'::int[])}, 'dev.h6()', 'jit_archive(now())';
	refused(undef, "SELECT generate_series(1, 1), * FROM jit_reject(N, 'no')");
	refused(undef, q{SELECT jit_reject(n, 'no') FROM jit_archive(now()), LATERAL (SELECT N) s (n)}, 'carl', qr/ERROR:  42501: jit_/);
};
attack 'jit_grant() in a view' => sub { refused(q{CREATE VIEW dev.g AS SELECT jit_grant('SELECT ON hr.t200', 'dev', '1 h', 'x')}, 'TABLE dev.g') };
attack 'jit_reject() in a view' => sub { refused(q{CREATE VIEW dev.r AS SELECT jit_reject(N, 'x')}, 'TABLE dev.r') };
attack 'jit_revoke() of somebody else\'s in a view' => sub { refused("CREATE VIEW dev.e AS SELECT jit_revoke($active)", 'TABLE dev.e') };

# ---- asking, and ending what is one's own

attack 'jit_request() for others in a view' => sub { refused(q{CREATE VIEW dev.q1 AS SELECT jit_request('SELECT ON hr.t200', '1 h', 'x', grantee => 'dev')}, 'TABLE dev.q1', 'carl') };
attack 'jit_request() in a view, after SET ROLE' => sub { refused(q{CREATE VIEW dev.q2 AS SELECT jit_request('SELECT ON hr.t200', '1 h', 'x')}, 'BEGIN; SET LOCAL ROLE oncall; TABLE dev.q2') };
attack 'jit_request() for others under SET ROLE of one\'s own' => sub {
	like(scalar $s{anna}->do(q{BEGIN; SET LOCAL ROLE oncall; SELECT jit_request('SELECT ON hr.t200', '1 h', 'x', grantee => 'oncall'); ROLLBACK}), qr/^\d+$/, 'passes');
};
attack 'jit_request() for oneself in a function' => sub {
	like(scalar $s{carl}->do(q{BEGIN; CREATE FUNCTION pg_temp.q() RETURNS int LANGUAGE sql AS $$SELECT jit_request('SELECT ON hr.salary', '1 h', 'x')$$; SELECT pg_temp.q(); ROLLBACK}), qr/^\d+$/, 'passes');
};
attack 'jit_revoke() and jit_cancel() of one\'s own in a DO block' => sub {
	pending();
	is(($s{dev}->do("DO 'BEGIN PERFORM jit_revoke($active), jit_cancel($n); END'"))[1], '', 'no error');
	is(status($active) . status(), 'revokedcanceled', 'both have ended');
};

# ---- jit_access.top_level_only

my $off = qr/ERROR:  42501: (?:permission denied to set parameter "jit_access|jit_access.top_level_only cannot be switched off by)/;
attack 'set_config() in a view' => sub { refused(q{CREATE VIEW dev.s1 AS SELECT set_config('jit_access.top_level_only', 'off', false), jit_approve(N)}, 'TABLE dev.s1', undef, $off) };
attack 'set_config() in a view that a superuser uses' => sub { refused(undef, 'TABLE dev.s1', 'super', $off) };
attack 'SET in a function that a superuser uses' => sub { refused(q{CREATE FUNCTION dev.s2() RETURNS int LANGUAGE plpgsql AS 'BEGIN SET jit_access.top_level_only = off; PERFORM jit_approve(N); RETURN 1; END'}, 'SELECT dev.s2()', 'super', $off) };
attack 'set_config() of a superuser, beside a function' => sub { refused($plpgsql, q{SELECT set_config('jit_access.top_level_only', 'off', false), dev.f()}, 'super', $off) };
attack 'SET of a function' => sub { like(($s{dev}->do(q{CREATE FUNCTION dev.s3() RETURNS int LANGUAGE sql SET jit_access.top_level_only = off AS 'SELECT 1'}))[1], $off, 'refused') };
attack 'SET of a function of a superuser\'s' => sub {
	like(($s{super}->do(q{CREATE FUNCTION dev.s4() RETURNS int LANGUAGE sql SET jit_access.top_level_only = off AS 'SELECT 1'}))[1], $off, 'refused when it is made');
	$s{super}->do(q{SET check_function_bodies = off; CREATE FUNCTION dev.s4() RETURNS int LANGUAGE plpgsql SET jit_access.top_level_only = off AS 'BEGIN RETURN dev.f(); END'; RESET check_function_bodies});
	refused($plpgsql, 'SELECT dev.s4()', 'super', $off);
};
attack 'ALTER ROLE SET and ALTER DATABASE SET, by who is no superuser' => sub {
	like(($s{anna}->do('ALTER ROLE anna SET jit_access.top_level_only = off'))[1], $off, 'refused');
	like(($s{anna}->do('ALTER DATABASE hr_prod SET jit_access.top_level_only = off'))[1], $off, 'refused');
};
attack 'SET of a superuser\'s own' => sub {
	my $t = session($node, $super, 'hr_prod');
	pending();
	made($plpgsql);
	$t->do('SET client_min_messages = error; SET jit_access.top_level_only = off');
	is($t->do('SELECT dev.f()'), '1', 'passes');
	is(status(), 'active', '... and it is active');
	$t->quit;
};

# ---- by protocol


my $approve_oid = $node->safe_psql('hr_prod', q{SELECT oid FROM pg_proc WHERE proname = 'jit_approve' AND pronamespace = 'pg_catalog'::regnamespace});
my $f_oid;
attack 'a function call' => sub { refused_client(undef, sub { [ Protocol::call($approve_oid, $n, undef, undef) ] }) };
attack 'a function call of dev\'s function' => sub {
	refused_client($plpgsql, sub { [ Protocol::call($node->safe_psql('hr_prod', q{SELECT 'dev.f'::regproc::oid})) ] });
};
attack 'DEFAULT of a column, by COPY' => sub {
	refused_client(q{ALTER TABLE dev.t10 ALTER y SET DEFAULT jit_approve(N)}, sub { [ Protocol::query('COPY dev.t10 (x) FROM STDIN'), [ 'd', "1\n" ], [ 'c', '' ] ] });
};
attack 'a domain for the type of a parameter' => sub {
	my $oid = $node->safe_psql('hr_prod', q{SELECT 'dev.d1'::regtype::oid});
	refused_client($immutable, sub { [ Protocol::parse('', 'SELECT jit_reject($1, $$no$$)', $oid), Protocol::bind('', '', $n), Protocol::execute(''), Protocol::sync ] });
};
attack 'a named portal' => sub { refused_client(undef, sub { [ Protocol::parse('', "SELECT jit_approve($n)"), Protocol::bind('c', ''), Protocol::execute('c'), Protocol::sync ] }) };
attack 'a named portal, a row at a time' => sub { refused_client(undef, sub { [ Protocol::parse('', 'SELECT jit_approve(request) FROM jit.inbox'), Protocol::bind('c', ''), Protocol::execute('c', 1), Protocol::execute('c', 1), Protocol::sync ] }) };
attack 'a prepared statement that a function has replaced' => sub {
	refused_client(undef, sub { [ Protocol::parse('s', 'SELECT 1'), Protocol::parse('', q{SELECT dev.swap('s')}), Protocol::bind('', ''), Protocol::execute(''), Protocol::bind('', 's'), Protocol::execute(''), Protocol::sync ] });
};
attack 'a prepared statement that a function has replaced, in a named portal' => sub {
	refused_client(undef, sub { [ Protocol::parse('s', 'SELECT 1'), Protocol::parse('', q{SELECT dev.swap('s')}), Protocol::bind('', ''), Protocol::execute(''), Protocol::bind('c', 's'), Protocol::execute('c'), Protocol::sync ] });
};
attack 'a prepared statement that a function has replaced, prepared again before it is executed' => sub {
	refused_client(undef, sub { [ Protocol::parse('s', 'SELECT 1'), Protocol::parse('', q{SELECT dev.swap('s')}), Protocol::bind('', ''), Protocol::execute(''),
		Protocol::bind('', 's'), Protocol::close('s'), Protocol::parse('s', 'SELECT 1'), Protocol::execute(''), Protocol::sync ] });
};
attack 'EXECUTE of a client\'s prepared statement in a function' => sub {
	refused_client(q{CREATE FUNCTION dev.run(name text) RETURNS int LANGUAGE plpgsql AS $$BEGIN EXECUTE 'EXECUTE ' || name; RETURN 1; END$$},
		sub { [ Protocol::parse('s', "SELECT jit_approve($n)"), Protocol::parse('', q{SELECT dev.run('s')}), Protocol::bind('', ''), Protocol::execute(''), Protocol::sync ] });
};
# a function goes on with what anna has stopped
my $on = q{CREATE OR REPLACE FUNCTION dev.on() RETURNS int LANGUAGE plpgsql AS $$DECLARE c refcursor := ''; r record; BEGIN LOOP FETCH c INTO r; EXIT WHEN NOT FOUND; END LOOP; RETURN 1; END$$;};
sub two { made(q{SELECT jit_cancel(request) FROM jit.my_requests WHERE status = 'pending'}); pending(); return pending(); }
attack 'FETCH from the unnamed portal, by a function in another' => sub {
	two();
	my $client = Protocol->new($node, 'anna');
	made($on);
	my $answer = $client->do(Protocol::parse('', 'SELECT jit_approve(request) FROM jit.inbox ORDER BY request'), Protocol::bind('', ''), Protocol::execute('', 1),
		Protocol::parse('o', 'SELECT dev.on()'), Protocol::bind('o', 'o'), Protocol::execute('o'), Protocol::sync);
	like($answer, qr/active\nsuspended\n$own_words/, 'one row of two is hers, the other one is refused');
	is(status(), 'pending', '... and nothing is decided');
};
attack 'FETCH from the unnamed portal, by a deferred trigger' => sub {
	two();
	my $client = Protocol->new($node, 'anna');
	made("$on CREATE FUNCTION dev.on_trg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM dev.on(); RETURN NULL; END'; CREATE TABLE dev.t17 (x int); CREATE CONSTRAINT TRIGGER t AFTER INSERT ON dev.t17 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dev.on_trg()");
	my $answer = $client->do(Protocol::parse('o', 'INSERT INTO dev.t17 VALUES (1)'), Protocol::bind('o', 'o'), Protocol::execute('o'),
		Protocol::parse('', 'SELECT jit_approve(request) FROM jit.inbox ORDER BY request'), Protocol::bind('', ''), Protocol::execute('', 1), Protocol::sync);
	like($answer, qr/active\nsuspended\n$own_words/, 'one row of two is hers, the other one is refused');
	is(status(), 'pending', '... and nothing is decided');
};
attack 'cursor_to_xml() of the unnamed portal' => sub {
	two();
	my $client = Protocol->new($node, 'anna');
	made(q{CREATE VIEW dev.v13 AS SELECT cursor_to_xml('', 1, true, false, '')});
	my $answer = $client->do(Protocol::parse('', 'SELECT jit_approve(request) FROM jit.inbox ORDER BY request'), Protocol::bind('', ''), Protocol::execute('', 1),
		Protocol::parse('o', 'TABLE dev.v13'), Protocol::bind('o', 'o'), Protocol::execute('o'), Protocol::sync);
	like($answer, qr/active\nsuspended\n$own_words/, 'one row of two is hers, the other one is refused');
	is(status(), 'pending', '... and nothing is decided');
};

# ---- what must pass

my @passes = (
	[ 'SELECT', 'SELECT jit_approve(N)' ],
	[ 'SELECT in FROM', 'SELECT * FROM jit_approve(N)' ],
	[ 'SELECT in FROM, with an alias', 'SELECT status FROM jit_approve(N) AS a(status) LIMIT 1' ],
	[ 'names of arguments', q{SELECT jit_approve(comment => 'x', request => N)} ],
	[ 'casts', q{SELECT jit_approve(N::int2::int, 'x'::varchar::text, '10 min'::text::interval)::text AS "x"} ],
	[ 'expressions', q{SELECT jit_approve(2 * N / 2, upper('a' || 'b') || coalesce(NULL, 'c'), interval '1 min' * 10) WHERE true} ],
	[ 'comments in the text', "/* go */ SELECT -- ahead\njit_approve(N) /* jit_grant() */" ],
	[ 'jit.inbox', 'SELECT request, jit_approve(request) FROM jit.inbox' ],
	[ 'jit.inbox, all columns', 'SELECT *, jit_approve(i.request) AS now FROM jit.inbox AS i' ],
	[ 'jit.inbox with WHERE, ORDER BY, LIMIT', q{SELECT request, jit_approve(request, 'all of ' || grantee) FROM jit.inbox WHERE grantee = 'dev' AND risk <= 'high' AND reason ~* '^X' AND access LIKE '%hr.%' AND request IN (N, 0) AND duration::interval BETWEEN '1 min' AND interval '1 day' AND approvals IS NOT NULL ORDER BY lapses_at DESC, request LIMIT 10} ],
	[ 'a list of numbers', 'SELECT n, jit_approve(n) FROM unnest(ARRAY[N]) AS n' ],
	[ 'numbers in a row', 'SELECT n, jit_approve(n) FROM generate_series(N, N) n' ],
	[ 'several calls in one SELECT', q{SELECT jit_approve(N), jit_grant('SELECT ON hr.t200', 'dev', '1 min', 'x')} ],
	[ 'several statements in one message', 'BEGIN\\; SELECT jit_approve(N)\\; SELECT 1\\; COMMIT;' ],
	[ 'a statement after one of dev\'s in one message', 'SELECT x FROM dev.t1\\; SELECT jit_approve(N);' ],
	[ 'a block that a savepoint is in', 'BEGIN; SAVEPOINT s; SELECT jit_approve(N); RELEASE s; COMMIT' ],
	[ '\gexec', q{SELECT format('SELECT jit_approve(%s)', request) FROM jit.inbox \gexec} ],
	[ '\gset', 'SELECT jit_approve(N) AS a \gset' ],
	[ 'jit_reject()', q{SELECT jit_reject(request, 'no') FROM jit.inbox WHERE request = 'N'}, 'rejected' ],
	[ 'jit_revoke() of somebody else\'s', 'SELECT jit_approve(N); SELECT jit_revoke(N)', 'revoked' ],
	[ 'jit_revoke() over jit.active_grants', q{SELECT request, jit_revoke(request) FROM jit.active_grants WHERE grantee = 'dev' AND expires_at > now() AND time_left < '2 h' AND request = ACTIVE}, 'revoked', 'dev' ],
	[ 'jit_revoke() over jit.my_requests', q{SELECT jit_revoke(request) FROM jit.my_requests WHERE status = 'active' AND request = ACTIVE}, 'revoked', 'dev' ],
	[ 'jit_cancel() over jit.my_requests', q{SELECT jit_cancel(request) FROM jit.my_requests WHERE status IN ('pending')}, 'canceled', 'dev' ],
);
foreach (@passes)
{
	my ($name, $used, $expected, $who) = @$_;
	attack $name => sub {
		if ($used =~ /ACTIVE/)
		{
			pending();
			$s{anna}->do("SELECT jit_approve($n)");
			$used =~ s/ACTIVE/$n/;
			is(($s{$who}->do($used))[1], '', 'no error');
			is(status(), $expected, "it is $expected");
			return;
		}
		passes($used, $expected, $who);
	};
}
attack 'dates and times' => sub {
	foreach (q{until => now() + '2 hours'}, 'until => current_date + 1', 'until => current_timestamp + make_interval(hours => 2)', q{until => date_trunc('day', now()) + '1 day 1 hour'},
		'until => to_timestamp(extract(epoch FROM clock_timestamp()) + 3600)', q{until => localtimestamp + '1 h'}, q{until => 'tomorrow'}, q{until => (now() AT TIME ZONE 'UTC' + '1 h') AT TIME ZONE 'UTC'},
		q{('1' || ' hour')::interval}, q{interval '1 hour' * 2})
	{
		my $arguments = /until/ ? "reason => 'x', $_" : "$_, 'x'";
		like(scalar $s{anna}->do(qq{BEGIN; SELECT jit_grant('SELECT ON ' || 'hr.t199', 'dev', $arguments); ROLLBACK}), qr/^\d+$/, $_);
	}
};
attack 'what administrators set' => sub {
	is(($s{carl}->do(q{BEGIN; SELECT jit_set_policy('y', 'low', '$.reason == "y"'), jit_drop_policy('y'); SELECT jit_set_flow('low', '[]'::jsonb); SELECT jit_set_label('TABLE hr.salary', 'pii'); SELECT jit_revoke_from('dev', 'x'); SELECT jit_revoke_all('x'); ROLLBACK}))[1], '', 'no error');
};
attack 'jit_archive(), in the target list and in FROM' => sub {
	foreach ('SELECT jit_archive(now())', 'SELECT * FROM jit_archive(now())', 'SELECT a FROM jit_archive(now()) a', q{SELECT jit_archive('yesterday') AS line}, q{SELECT jit_archive(before => current_date - interval '1 year')}, q{SELECT jit_archive(now()) \g /dev/null})
	{
		unlike(($s{carl}->do("BEGIN; $_; ROLLBACK"))[1], qr/ERROR/, $_) unless /\\g/;
		unlike(($s{carl}->do("BEGIN; $_\nROLLBACK"))[1], qr/ERROR/, $_) if /\\g/;
	}
	my $client = Protocol->new($node, 'carl');
	unlike($client->do(Protocol::parse('h', 'SELECT jit_archive($1)', 1184), Protocol::bind('', 'h', 'yesterday'), Protocol::execute(''), Protocol::bind('', 'h', '-infinity'), Protocol::execute(''), Protocol::sync), qr/ERROR:  42501/, 'prepared');
};
attack 'psql -c and -f' => sub {
	my @psql = ('psql', '-Xq', '-d', $node->connstr('hr_prod'), '-U', 'anna');
	pending();
	ok(system_log(@psql, '-c', 'SELECT 1', '-c', "SELECT jit_approve($n)") == 0, '-c');
	is(status(), 'active', '... is active');
	pending();
	append_to_file($node->basedir . '/approve.sql', "BEGIN;\nSELECT jit_approve($n);\nCOMMIT;\n");
	ok(system_log(@psql, '-1', '-f', $node->basedir . '/approve.sql') == 0, '-f');
	is(status(), 'active', '... is active');
};
attack 'an extended query' => sub { passes_client(sub { [ Protocol::parse('', 'SELECT jit_approve($1)'), Protocol::bind('', '', $n), Protocol::execute(''), Protocol::sync ] }) };
attack 'a prepared statement, until its plan is kept' => sub {
	passes_client(sub { [ Protocol::parse('s', 'SELECT jit_approve($1)'), Protocol::sync ], (map { my $id = pending(); [ Protocol::bind('', 's', $id), Protocol::execute(''), Protocol::sync ] } (1 .. 7)) });
};
attack 'a pipeline' => sub {
	passes_client(sub {
		my $first = $n;
		pending();
		return [ Protocol::parse('', 'SELECT 1'), Protocol::bind('', ''), Protocol::execute(''), (map { (Protocol::parse('', 'SELECT jit_approve($1, $2)'), Protocol::bind('', '', $_, 'x'), Protocol::execute('')) } $first, $n), Protocol::parse('', 'SELECT 1'), Protocol::bind('', ''), Protocol::execute(''), Protocol::sync ];
	});
};
attack 'a pipeline of prepared statements' => sub {
	passes_client(sub {
		my $first = $n;
		pending();
		return [ Protocol::parse('s', 'SELECT jit_approve($1)'), (map { (Protocol::bind('', 's', $_), Protocol::execute('')) } $first, $n), Protocol::sync ];
	});
};
attack 'several statements of a simple query' => sub { passes_client(sub { [ Protocol::query("SELECT 1; SELECT jit_approve($n); SELECT 2") ] }) };
foreach my $mode ('simple', 'extended', 'prepared')
{
	attack "pgbench -M $mode" => sub {
		pending();
		append_to_file($node->basedir . "/$mode.sql", $mode eq 'simple' ? "SELECT jit_approve($n);\n" : "\\startpipeline\nSELECT 1;\nSELECT jit_approve($n);\n\\endpipeline\n");
		ok(system_log('pgbench', '-n', '-t', '1', '-M', $mode, '-f', $node->basedir . "/$mode.sql", '-U', 'anna', '-h', $node->host, '-p', $node->port, 'hr_prod') == 0, 'no error');
		is(status(), 'active', 'it is active');
	};
}

$_->quit for values %s;
all_attacks_done();
$node->stop;
done_testing();
