# jit_access_of(): it runs nothing of anybody's, holds nothing, tells what the
# catalogs tell everybody, and leaves the session as it was.
#
# The attacks are lines of attacks.md.  Seen to fail with literals left in what
# is analysed, with the subtransaction kept, and with the analysis in the
# caller's own name or path.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('access_attacks', "jit_access.gateway_logins = 'bot'\n");
my $major = $node->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int / 10000});
my $me = getpwuid($<) . '';
$node->safe_psql('postgres', q{
	CREATE ROLE owner LOGIN; CREATE ROLE bare LOGIN; CREATE ROLE bot LOGIN;
	CREATE SCHEMA app AUTHORIZATION owner; CREATE SCHEMA bare AUTHORIZATION bare; CREATE SCHEMA open AUTHORIZATION owner;
	GRANT USAGE ON SCHEMA open TO PUBLIC; GRANT SET ON PARAMETER max_stack_depth TO bare;
	SET SESSION AUTHORIZATION owner;
	CREATE TABLE app.t (id int PRIMARY KEY, name text); CREATE TABLE open.t (id int, name text);
	CREATE FUNCTION app.spy(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE WARNING 'spied as %', current_user; RETURN $1; END $$;
	CREATE DOMAIN app.spied AS int CHECK (app.spy(VALUE) > 0);
	CREATE TYPE app.pair AS (a app.spied);
	CREATE TYPE app.spy_range AS RANGE (SUBTYPE = app.spied, SUBTYPE_OPCLASS = int4_ops);
	CREATE TABLE app.pairs (p app.pair);
	CREATE FUNCTION app.takes(app.pair) RETURNS int LANGUAGE sql AS 'SELECT 1';
	CREATE TABLE app.spies (a int CHECK (app.spy(a) > 0), b int, c int GENERATED ALWAYS AS (app.spy(a)) STORED) PARTITION BY RANGE ((app.spy(a)));
	CREATE TABLE app.spies_1 PARTITION OF app.spies DEFAULT;
	CREATE INDEX ON app.spies_1 ((app.spy(a))) WHERE app.spy(b) > 0;
	CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
	CREATE TRIGGER t BEFORE UPDATE ON app.spies_1 FOR EACH ROW WHEN (app.spy(old.a) > 0) EXECUTE FUNCTION app.f();
	ALTER TABLE app.spies ENABLE ROW LEVEL SECURITY;
	CREATE POLICY p ON app.spies USING (app.spy(1) > 0);
	CREATE TABLE app.with_default (a int DEFAULT app.spy(1), p app.pair DEFAULT row(1)::app.pair);
	RESET SESSION AUTHORIZATION;
	CREATE FUNCTION open.as_owner(text) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = app AS 'SELECT jit_access_of($1)';
	ALTER FUNCTION open.as_owner(text) OWNER TO owner;
	CREATE FUNCTION open.fails(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN jit_access_of($1); EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $$;
});
my $bare = session($node, 'bare');
my $owner = session($node, 'owner');

sub access_of { return $bare->do("SELECT jit_access_of(\$s\$$_[0]\$s\$)"); }

sub tells
{
	my ($statement, $expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = access_of($statement);
	is($out, $expected, $statement);
	is($err, '', '... and nothing is run');
	return;
}

sub refused
{
	my ($statement, $state, $message) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = access_of($statement);
	is($out, '', "$statement: nothing is told");
	like($err, qr/^ERROR:  $state: .*$message/s, "... $state");
	unlike($err, qr/spied/, '... and nothing is run');
	return;
}

my $usage = 'USAGE ON SCHEMA app';
my $t = "SELECT (name) ON app.t; $usage";

# ---- nothing is run

attack q{a domain's CHECK, in the literal of a composite type} => sub { tells(q{SELECT '(1)'::app.pair}, $usage); };
attack '... of an array of them' => sub { tells(q<SELECT '{"(1)"}'::app.pair[]>, $usage); };
attack '... of a range over the domain' => sub { tells(q{SELECT '[1,2]'::app.spy_range}, $usage); };
attack '... as a value that is inserted' => sub {
	tells(q{INSERT INTO app.pairs VALUES ('(1)')}, "INSERT ON app.pairs; $usage");
	tells(q{INSERT INTO app.pairs VALUES ('(1)'), ('(2)')}, "INSERT ON app.pairs; $usage");
	tells(q{INSERT INTO app.pairs SELECT '(1)' WHERE false}, "INSERT ON app.pairs; $usage");
	tells(q{UPDATE app.pairs SET p = '(1)'}, "UPDATE ON app.pairs; $usage");
};
attack '... that is compared, in lists, in CASE, in BETWEEN SYMMETRIC' => sub {
	tells("SELECT 1 FROM app.pairs WHERE $_", "SELECT ON app.pairs; $usage")
	  foreach q{p = '(1)'}, q{p IN ('(1)', '(2)')}, q{CASE p WHEN '(1)' THEN true END}, q{p BETWEEN SYMMETRIC '(1)' AND '(2)'}, q{coalesce(p, '(1)') IS NULL}, q{p = ANY ('{"(1)"}')}, q{(p, 1) = ('(1)', 1)};
};
attack '... as an argument of a function' => sub { tells(q{SELECT app.takes('(1)')}, $usage); };
attack '... of a default that is read on the way' => sub { tells('INSERT INTO app.with_default DEFAULT VALUES', "INSERT (a) ON app.with_default; $usage"); };
attack 'functions that could be simplified' => sub { tells('SELECT app.spy(1) WHERE app.spy(2) > 0', $usage); };
attack 'functions in checks, indexes, generated columns, keys, conditions, policies' => sub {
	tells('INSERT INTO app.spies (a) VALUES (1)', "INSERT (a) ON app.spies; $usage");
	tells('UPDATE app.spies SET a = 2 WHERE b = 1', "SELECT (b) ON app.spies; UPDATE (a) ON app.spies; $usage");
	tells('SELECT a FROM app.spies', "SELECT (a) ON app.spies; $usage");
};

# ---- nothing is left behind

my $locks = q{SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'app'::regnamespace)};
attack 'locks, in a transaction that stays open' => sub {
	my ($out, $err) = $bare->do(qq{BEGIN; SELECT jit_access_of('UPDATE app.t SET id = 1'), jit_access_of('SELECT FROM app.spies FOR UPDATE'); $locks; COMMIT});
	like($out, qr/\n0$/, 'none is left');
};
attack 'locks, after an error' => sub {
	my ($out, $err) = $bare->do(qq{BEGIN; SELECT open.fails('SELECT nothing FROM app.t'); $locks; COMMIT});
	is($out, "42703\n0", 'none is left');
};
attack 'whose name it runs in afterwards' => sub {
	my $state = q{SELECT current_user, session_user, current_setting('search_path'), current_setting('row_security')};
	$bare->do('SET search_path = bare, open');
	my $before = $bare->do($state);
	is($bare->do("SELECT jit_access_of('SELECT 1') IS NULL; $state"), "t\n$before", 'as before');
	is($bare->do("SELECT open.fails('SELECT nothing FROM app.t'); $state"), "42703\n$before", 'as before, after an error');
	is($bare->do("SELECT open.fails('SELECT FROM pg_authid'); $state"), "0LP01\n$before", '... and after another');
	like(($bare->do('SELECT count(*) FROM app.t'))[1], qr/42501/, 'it has no more than before');
	$bare->do('RESET search_path');
};
attack 'a statement_timeout while a table is locked' => sub {
	$owner->do('BEGIN; LOCK TABLE app.t');
	like(($bare->do(q{SET statement_timeout = '200ms'; SELECT jit_access_of('SELECT name FROM app.t')}))[1], qr/57014/, 'it ends');
	$owner->do('ROLLBACK');
	$bare->do('RESET statement_timeout');
	tells('SELECT name FROM app.t', $t);
};

# ---- nothing is told

attack q{another session's temporary table} => sub {
	my $schema = $owner->do(q{CREATE TEMP TABLE tmp (a int); SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()});
	refused("SELECT a FROM $schema.tmp", '0LP01', 'It is temporary');
};
attack q{one's own temporary table} => sub {
	$bare->do('CREATE TEMP TABLE mine (a int)');
	tells('SELECT a FROM mine', '');
	tells('INSERT INTO pg_temp.mine SELECT id FROM app.t', "SELECT (id) ON app.t; $usage");
};
attack 'system catalogs that not everybody reads' => sub {
	refused('SELECT rolpassword FROM pg_authid', '0LP01', 'not handed out');
	tells('SELECT subname FROM pg_subscription', '');
	refused('SELECT subconninfo FROM pg_subscription', '0LP01', 'not handed out');
};
attack 'tables of schema jit' => sub { refused('DELETE FROM jit.requests', '0LP01', 'belongs to jit_access'); };
attack q{a function of pg_catalog's that not everybody has} => sub { tells(q{SELECT pg_read_file('x')}, 'EXECUTE ON FUNCTION pg_catalog.pg_read_file(text)'); };
attack q{names in a schema that one can't use} => sub {
	$bare->do('SET search_path = app, open');
	tells('SELECT name FROM t', 'SELECT (name) ON open.t');
	$bare->do('SET search_path = app');
	refused('SELECT name FROM t', '42P01');
	$bare->do('RESET search_path');
};
attack q{one's own table of that name before the owner's} => sub {
	$bare->do('CREATE TABLE bare.t (name text); SET search_path = bare, open');
	tells('SELECT name FROM t', 'SELECT ON bare.t; USAGE ON SCHEMA bare');
	$bare->do('SET search_path = open, bare');
	tells('SELECT name FROM t', 'SELECT (name) ON open.t');
	$bare->do('RESET search_path; DROP TABLE bare.t');
};
attack q{one's own operator before PostgreSQL's} => sub {
	$bare->do(q{CREATE FUNCTION bare.eq(int, int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE WARNING 'spied'; RETURN true; END $$;
		CREATE OPERATOR bare.= (LEFTARG = int, RIGHTARG = int, FUNCTION = bare.eq); SET search_path = bare, pg_catalog});
	tells('SELECT name FROM app.t WHERE id = 1', "SELECT ON app.t; USAGE ON SCHEMA app, bare");
	$bare->do('RESET search_path');
};

# ---- what it doesn't take

attack 'commands of every other kind' => sub {
	refused($_, '0A000', 'HINT:')
	  foreach 'COPY app.t TO STDOUT', 'EXPLAIN SELECT 1', 'PREPARE p AS SELECT 1', 'EXECUTE p', 'DECLARE c CURSOR FOR SELECT 1', 'CALL p()', 'DO $$BEGIN END$$',
	  'SET ROLE owner', 'CREATE TABLE x AS SELECT 1', 'SELECT 1 INTO x', 'SELECT 1 INTO x UNION SELECT 2', 'GRANT SELECT ON app.t TO bare', 'LOCK app.t', 'TRUNCATE app.t', 'NOTIFY x', 'COMMIT';
};
attack 'two statements, none, a comment' => sub {
	refused($_, '42601', 'one statement') foreach 'SELECT 1; SELECT 2', ';', '-- SELECT 1', 'SELECT 1; DROP TABLE app.t';
	tells('SELECT name FROM app.t;', $t);
};
attack 'a mistake in it' => sub { refused('SELECT nothing FROM app.t', '42703', 'LINE 1: SELECT nothing FROM app.t\n +\^\n'); };
attack 'a statement in place of an access text' => sub {
	like(($bare->do("SELECT jit_explain('SELECT name FROM app.t')"))[1], qr/42601: invalid access.*HINT:  What this statement needs: SELECT jit_access_of\('SELECT name FROM app\.t'\);/s, 'a hint');
	like(($bare->do("SELECT jit_explain('SELECT name app.t')"))[1], qr/42601: invalid access.*HINT:  Write what stands/s, 'none where it is none');
};
attack 'a mistake in its grammar' => sub { refused('SELCT 1', '42601', 'LINE 1: SELCT 1\n +\^\n'); };
attack 'a text that is too long, or blank, or null' => sub {
	like(($bare->do(q{SELECT jit_access_of(repeat('x', 9000))}))[1], qr/54000/, 'too long');
	refused(' ', '22023');
	like(($bare->do('SELECT jit_access_of(NULL)'))[1], qr/22004/, 'null');
};
attack 'an expression that is nested too deeply' => sub {
	$bare->do(q{SET max_stack_depth = '100kB'});
	my ($out, $err) = access_of('SELECT ' . 'NOT ' x 1990 . 'true');
	like($err, qr/54001/, 'refused');
	$bare->do('RESET max_stack_depth');
	tells('SELECT ' . '-(' x 1000 . '1' . ')' x 1000, '');
};

# ---- what it takes

attack 'literals that have no type' => sub {
	tells($_, $t) foreach q{SELECT format('%s', 'x'), name FROM app.t}, q{SELECT 'x' IS NULL, name FROM app.t}, q{SELECT concat('a', 'b', name) FROM app.t}, q{SELECT json_build_object('a', name) FROM app.t},
	  q{SELECT 'x' FROM app.t WHERE name LIKE '%x' ESCAPE '!'}, q{SELECT 'a', name FROM app.t UNION SELECT 'b', 'c'}, q{SELECT count('x') FROM app.t WHERE name SIMILAR TO 'x'}, q{SELECT row('a', 1) FROM app.t WHERE 'a' || 'b' = name};
};
attack 'parameters' => sub {
	tells('SELECT name FROM app.t WHERE id = $1 AND name = $2', "SELECT ON app.t; $usage");
	tells('INSERT INTO app.t (name) VALUES ($1)', "INSERT (name) ON app.t; $usage");
	refused('SELECT $0', '42P02');
};
attack 'literals that are no literals' => sub {
	tells($_, $t) foreach q{SELECT name::varchar(3) FROM app.t}, q{SELECT interval '1' DAY, name FROM app.t}, q{SELECT E'\\\\x', name FROM app.t}, q{SELECT $x$'$x$, name FROM app.t},
	  q{SELECT U&'\0041', name FROM app.t}, q{SELECT B'1', X'F', name FROM app.t}, q{SELECT time '10:00' AT TIME ZONE 'UTC', name FROM app.t}, q{SELECT date '2026-01-01' + interval(3) '1 s', name FROM app.t};
	tells(q{SELECT x.a, name FROM app.t, JSON_TABLE('[1]', '$[*]' COLUMNS (a int PATH '$')) x}, $t) if $major >= 17;
};
attack 'a read-only transaction' => sub {
	is($bare->do(q{BEGIN READ ONLY; SELECT jit_access_of('DELETE FROM app.t'); COMMIT}), "DELETE ON app.t; $usage", 'an answer');
};
attack 'row_security = off' => sub {
	is($bare->do(q{SET row_security = off; SELECT jit_access_of('SELECT a FROM app.spies'); RESET row_security}), "SELECT (a) ON app.spies; $usage", 'an answer');
};

# ---- in other names

attack 'a gateway, for somebody' => sub {
	my ($code) = sql($node, 'bot', q{SELECT jit_offer_identity('chat:bare')});
	sql($node, 'bare', "SELECT jit_link_identity('$code')");
	my $for = sub { return sql($node, 'bot', "BEGIN; SET LOCAL search_path = open; SELECT jit_act_for('chat:bare'); SELECT jit_access_of('$_[0]'); COMMIT"); };
	is(($for->('SELECT name FROM app.t'))[0], "bare\n$t", 'qualified');
	like(($for->('SELECT name FROM t'))[1], qr/42P01/, 'unqualified');
};
attack 'a gateway, for nobody' => sub {
	like((sql($node, 'bot', q{SELECT jit_access_of('SELECT 1')}))[1], qr/42501.*neither asks nor decides/s, 'refused');
};
attack q{from a function that is its owner's} => sub {
	is($bare->do(q{SELECT open.as_owner('SELECT name FROM t')}), $t, 'names are as it finds them');
	is($bare->do(q{SELECT open.as_owner($$SELECT '(1)'::pair$$)}), $usage, '... and nothing is run');
};

eval { $_->quit } for $bare, $owner;
all_attacks_done();
$node->stop;
done_testing();
