# Statements that were approved: jit_run() runs what approvers saw, as often
# as they agreed to, until the end, for whom it was for, and nothing else of
# anybody's.
#
# The attacks are lines of attacks.md.  Seen to fail without the fingerprint, the
# look at whose code is in it at each run, the role's being nobody's, and the count.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('statement', "jit_access.gateway_logins = 'bot'\njit_access.max_pending = 1000\njit_access.max_active = 1000\n");
my $major = $node->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int / 10000});
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE bot LOGIN; CREATE ROLE team; CREATE ROLE mia LOGIN; GRANT team TO mia; CREATE ROLE maker CREATEROLE LOGIN;
	CREATE SCHEMA dev AUTHORIZATION dev; GRANT USAGE ON SCHEMA dev TO PUBLIC; CREATE SCHEMA team AUTHORIZATION team; GRANT team TO dev;
	GRANT CREATE, USAGE ON SCHEMA hr TO hr_owner;
	SELECT jit_set_flow('low', '[]'), jit_set_policy('free', 'low', '$.ticket == "free"');
	SET ROLE hr_owner;
	ALTER TABLE hr.salary ADD PRIMARY KEY (emp_no);
	CREATE TABLE hr.t (a int, b int); INSERT INTO hr.t SELECT i, 100 + i FROM generate_series(1, 5) i;
	CREATE TABLE hr.log (line text);
	CREATE FUNCTION hr.f(int) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN $1; END';
	CREATE TYPE hr.mood AS ENUM ('calm', 'cross'); CREATE TABLE hr.moods (m hr.mood); INSERT INTO hr.moods VALUES ('calm');
	CREATE OPERATOR hr.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
	CREATE COLLATION hr.c (provider = libc, locale = 'C');
	CREATE TABLE hr.child (id int PRIMARY KEY, emp int REFERENCES hr.salary DEFERRABLE INITIALLY DEFERRED);
	CREATE VIEW hr.v AS SELECT a FROM hr.t WHERE a < 3;
	RESET ROLE;
});
my $me = getpwuid($<) . '';
my $dev = session($node, 'dev', 'hr_prod');
my $other = session($node, 'dev', 'hr_prod');
my $anna = session($node, 'anna', 'hr_prod');

sub super { return $node->safe_psql('hr_prod', $_[0]); }
sub owner { return super("SET ROLE hr_owner; $_[0]"); }

# dev asks; under '[]'.
sub ask
{
	my ($statement, $more, $s) = @_;
	return ($s // $dev)->do("SELECT jit_request(statement => \$s\$$statement\$s\$, duration => '" . longer() . q{', reason => 'x', ticket => 'free'} . ($more // '') . ')');
}

sub filed
{
	my ($n, $err) = ask(@_);
	die "not filed: $err" if $n !~ /^\d+$/;
	return $n;
}

sub not_filed
{
	my ($statement, $state, $message, $more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = ask($statement, $more);
	is($out, '', "$statement: not filed");
	like($err, qr/^ERROR:  $state: /m, "... $state");
	like($err, $message, '... and says why') if $message;
	return;
}

sub run { return ($_[1] // $dev)->do("SELECT jit_run($_[0])"); }

sub runs
{
	my ($n, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = run($n);
	is($out, $expected, $name // 'it runs') or diag $err;
	return;
}

sub not_run
{
	my ($n, $state, $message, $s) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = run($n, $s);
	is($out, '', 'nothing is handed out');
	like($err, qr/^ERROR:  $state: /m, "... $state");
	like($err, $message, '... and says why') if $message;
	return;
}

# ---- what can't be asked for

attack 'commands of other kinds' => sub { not_filed($_, '0A000') foreach 'TRUNCATE hr.t', 'COPY hr.t TO STDOUT', 'SELECT a INTO x FROM hr.t', 'EXPLAIN SELECT a FROM hr.t', 'DO $$BEGIN END$$', 'CALL p()', 'LOCK hr.t' };
attack 'two statements, and none' => sub { not_filed($_, '42601') foreach 'SELECT a FROM hr.t; DELETE FROM hr.t', ';' };
attack 'parameters' => sub { not_filed('SELECT a FROM hr.t WHERE a = $1', '0A000', qr/has parameters/); };
attack 'row locks' => sub { not_filed("SELECT a FROM hr.t $_", '0A000', qr/locks rows/) foreach 'FOR UPDATE', 'FOR SHARE SKIP LOCKED'; not_filed('DELETE FROM hr.t WHERE a IN (SELECT a FROM hr.t FOR UPDATE)', '0A000', qr/locks rows/); };
attack 'WHERE CURRENT OF' => sub { not_filed('DELETE FROM hr.t WHERE CURRENT OF c', '0A000', qr/cursor/); };
attack 'temporary tables' => sub { $dev->do('CREATE TEMP TABLE tmp (a int)'); not_filed($_, '0A000', qr/temporary/) foreach 'INSERT INTO tmp SELECT a FROM hr.t', 'UPDATE hr.t SET b = tmp.a FROM tmp'; $dev->do('DROP TABLE tmp'); };
attack 'large objects' => sub { not_filed($_, '0A000', qr/calls function/) foreach 'SELECT lo_create(0), a FROM hr.t', 'SELECT lo_get(a::oid) FROM hr.t', q{SELECT loread(a, 10) FROM hr.t}; };
attack 'functions of ours' => sub { not_filed($_, '0A000', qr/calls function/) foreach 'SELECT jit_approve(1), a FROM hr.t', q{SELECT * FROM jit_run(1), hr.t}, q{UPDATE hr.t SET b = jit_revoke_all('x')}; };
attack 'no access at all' => sub { not_filed('SELECT 1', '22023', qr/needs no access/); };
attack 'what one has anyway' => sub { $dev->do('CREATE TABLE IF NOT EXISTS dev.own (a int)'); not_filed('SELECT a FROM dev.own', '42710', qr/already has/); };
attack 'catalogs, and our own tables' => sub { not_filed($_, '0LP01') foreach 'SELECT rolpassword FROM pg_authid', 'UPDATE jit.requests SET runs = 9'; };
attack q{the requester's function} => sub {
	$dev->do(q{CREATE FUNCTION dev.f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE WARNING 'spied as %', current_user; RETURN $1; END $$});
	not_filed($_, 42501, qr/function f must not run/) foreach 'SELECT dev.f(a) FROM hr.t', 'SELECT a FROM hr.t ORDER BY dev.f(a)', 'UPDATE hr.t SET b = dev.f(b)', 'SELECT * FROM hr.t, dev.f(a)', 'INSERT INTO hr.t VALUES (dev.f(1)) RETURNING a';
};
attack q{one of a role that the requester is a member of} => sub {
	super(q{SET ROLE team; CREATE FUNCTION team.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'});
	not_filed('SELECT team.f(a) FROM hr.t', 42501, qr/belongs to role team/);
};
attack q{somebody else's function} => sub {
	super(q{CREATE SCHEMA eve AUTHORIZATION eve; GRANT USAGE ON SCHEMA eve TO PUBLIC; SET ROLE eve; CREATE FUNCTION eve.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'});
	not_filed('SELECT eve.f(a) FROM hr.t', 42501, qr/belongs to role eve/);
	super('SET ROLE eve; CREATE TABLE eve.open (a int); GRANT SELECT ON eve.open TO PUBLIC');
	not_filed('SELECT eve.f(a) FROM hr.t JOIN eve.open USING (a)', 42501, qr/belongs to role eve/);
};
attack q{the requester's operator} => sub {
	$dev->do(q{CREATE FUNCTION dev.eq(int, int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END'; CREATE OPERATOR dev.= (LEFTARG = int, RIGHTARG = int, FUNCTION = dev.eq)});
	not_filed($_, 42501, qr/function eq must not run/) foreach 'SELECT a FROM hr.t WHERE a OPERATOR(dev.=) 1', 'SELECT a FROM hr.t WHERE a OPERATOR(dev.=) ANY (ARRAY[1])';
	$dev->do('SET search_path = dev, pg_catalog');
	not_filed('SELECT a FROM hr.t WHERE a = 1', 42501, qr/function eq must not run/);
	$dev->do('RESET search_path');
};
attack q{the requester's aggregate, over somebody else's function} => sub {
	$dev->do(q{CREATE AGGREGATE dev.agg(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0'); CREATE AGGREGATE dev.spying(int) (SFUNC = int4larger, STYPE = int, FINALFUNC = dev.f)});
	not_filed("SELECT $_ FROM hr.t", 42501, qr/must not run/) foreach 'dev.agg(a)', 'dev.spying(a)', 'dev.agg(a) OVER (ORDER BY a)';
};
attack q{an implicit cast of the requester's} => sub {
	$dev->do(q{CREATE TYPE dev.pair AS (x int); CREATE FUNCTION dev.to_int(dev.pair) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE CAST (dev.pair AS int) WITH FUNCTION dev.to_int(dev.pair) AS IMPLICIT});
	not_filed('SELECT a FROM hr.t WHERE a = ROW(1)::dev.pair', 42501, qr/must not/);
	not_filed('UPDATE hr.t SET b = ROW(1)::dev.pair', 42501, qr/must not/);
};
attack q{a domain of the requester's as a column that isn't used: of a record, of XMLTABLE, of JSON_TABLE} => sub {
	$dev->do('CREATE DOMAIN dev.spying AS int CHECK (dev.f(VALUE) > 0)');
	not_filed("SELECT count(*) FROM hr.t, $_", 42501, qr/must not/) foreach q{json_to_record('{"x":1}') AS r(x dev.spying)}, q{json_to_recordset('[{"x":1}]') AS r(y int, x dev.spying)}, q{ROWS FROM (jsonb_to_record('{"x":1}') AS (x dev.spying[])) r},
	  q{LATERAL XMLTABLE('/r' PASSING xmlparse(document '<r>1</r>') COLUMNS x dev.spying PATH '.') x}, $major >= 17 ? q{JSON_TABLE('{"x":1}', '$' COLUMNS (x dev.spying PATH '$.x')) x} : ();
};
attack 'functions that run texts, or change settings' => sub {
	not_filed("SELECT $_, a FROM hr.t", '0A000', qr/calls function/) foreach q{query_to_xml('SELECT 1', true, false, '')}, q{set_config('search_path', 'dev', true)}, q{table_to_xml('hr.t', true, false, '')}, q{schema_to_xml('hr', true, false, '')}, q{database_to_xml(true, false, '')}, q{cursor_to_xml('c', 1, true, false, '')}, q{ts_rewrite('a'::tsquery, 'SELECT 1')}, q{(SELECT count(*) FROM ts_stat('SELECT 1'))};
	not_filed(q{UPDATE hr.t SET b = 1 WHERE query_to_xml((SELECT max(line) FROM hr.log), true, false, '') IS NULL}, '0A000', qr/calls function/);
};
attack q{a type, an enum, a domain of the requester's} => sub {
	$dev->do(q{CREATE TYPE dev.kind AS ENUM ('x'); CREATE DOMAIN dev.checked AS int CHECK (dev.f(VALUE) > 0)});
	not_filed("SELECT a FROM hr.t WHERE $_", 42501, qr/must not/) foreach q{'x'::dev.kind IS NOT NULL}, 'a::dev.checked > 0', q{'1'::dev.checked > 0}, 'ARRAY[a]::dev.checked[] IS NOT NULL';
};
attack q{a literal whose input runs checks} => sub {
	$dev->do(q{CREATE TYPE dev.spied AS (a dev.checked)});
	foreach (q{'(1)'::dev.spied IS NOT NULL}, q<'{"(1)"}'::dev.spied[] IS NOT NULL>, q<'{1}'::dev.checked[] IS NOT NULL>)
	{
		my ($out, $err) = ask("SELECT a FROM hr.t WHERE $_");
		like($err, qr/^ERROR:  0A000: .*has a literal of type/s, "$_: refused");
		unlike($err, qr/spied as/, '... and nothing is run');
	}
};
attack q{the requester's function, used by the owner: default, check, index, view, policy, trigger} => sub {
	foreach (['TABLE hr.u (a int, b int DEFAULT dev.f(1))', 'INSERT INTO hr.u (a) VALUES (1)'], ['TABLE hr.u (a int CHECK (dev.f(a) > 0))', 'UPDATE hr.u SET a = 1'], ['TABLE hr.u (a int, b int GENERATED ALWAYS AS (dev.f(a)) STORED)', 'INSERT INTO hr.u VALUES (1)'],
		['TABLE hr.u (a int); CREATE INDEX ON hr.u (dev.f(a))', 'INSERT INTO hr.u VALUES (1)'], ['VIEW hr.u AS SELECT dev.f(a) AS a FROM hr.t', 'SELECT a FROM hr.u'], ['VIEW hr.u AS SELECT a FROM hr.t WHERE dev.f(a) > 0', 'DELETE FROM hr.u'],
		['TABLE hr.u (a int); ALTER TABLE hr.u ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON hr.u USING (dev.f(a) > 0)', 'SELECT a FROM hr.u'])
	{
		owner("CREATE $_->[0]");
		not_filed($_->[1], 42501, qr/function f must not run/);
		owner('DROP ' . ($_->[0] =~ /^(\w+)/)[0] . ' hr.u');
	}
};
attack 'runs that are none' => sub {
	not_filed('DELETE FROM hr.t', '22023', undef, ", runs => $_") foreach 0, -1;
	not_filed('SELECT a FROM hr.t', '22023', qr/only reads/, ', runs => 2');
	like(($dev->do(q{SELECT jit_request('SELECT ON hr.t', '1 hour', 'x', runs => 2)}))[1], qr/22023/, 'runs of no statement');
};
attack 'a role for it' => sub { not_filed('SELECT a FROM hr.t', '0A000', qr/a role/, q{, access => 'hr_owner'}); };
attack 'a text that gets too long written out' => sub { not_filed('SELECT ' . join(', ', ('a+a+a+a+a+a') x 400) . ' FROM hr.t', '0A000', qr/Written out/); };
attack 'asking for more time' => sub { my $n = filed('SELECT a FROM hr.t'); like(($dev->do("SELECT jit_extend($n, '1 hour')"))[1], qr/0A000.*is for a statement/s, 'refused'); };
attack 'approving it through a gateway' => sub {
	my ($n) = $dev->do(q{SELECT jit_request(statement => 'SELECT a FROM hr.t', duration => '61 min', reason => 'x')});
	my ($code) = sql($node, 'bot', q{SELECT jit_offer_identity('chat:anna')}, 'hr_prod');
	sql($node, 'anna', "SELECT jit_link_identity('$code')", 'hr_prod');
	like((sql($node, 'bot', "BEGIN; SELECT jit_act_for('chat:anna'); SELECT jit_approve($n); COMMIT", 'hr_prod'))[1], qr/42501.*statement takes no approval through a gateway/s, 'refused');
	not_run($n, 55000, qr/pending/);
	like(($anna->do("SELECT jit_approve($n)"))[0], qr/active/, 'not directly');
	runs($n, join "\n", map { qq({"a":$_}) } 1 .. 5);
};

# ---- changed after the approval

attack 'a table that another one is put in place of' => sub {
	my $n = filed('SELECT a FROM hr.t');
	owner('ALTER TABLE hr.t RENAME TO t_old; CREATE TABLE hr.t AS SELECT 99 AS a; GRANT SELECT ON hr.t TO PUBLIC');
	not_run($n, 55000, qr/does not mean any more/);
	owner('DROP TABLE hr.t; ALTER TABLE hr.t_old RENAME TO t');
	runs($n, join "\n", map { qq({"a":$_}) } 1 .. 5);
};
attack 'columns that change their names' => sub {
	my $n = filed('UPDATE hr.t SET a = 0 WHERE b = 101 AND a = 1');
	owner('ALTER TABLE hr.t RENAME a TO c; ALTER TABLE hr.t RENAME b TO a; ALTER TABLE hr.t RENAME c TO b');
	not_run($n, 55000, qr/does not mean any more/);
	owner('ALTER TABLE hr.t RENAME a TO c; ALTER TABLE hr.t RENAME b TO a; ALTER TABLE hr.t RENAME c TO b; ALTER TABLE hr.t RENAME b TO d');
	not_run($n, 42703);
	owner('ALTER TABLE hr.t RENAME d TO b');
};
attack 'a column that is added' => sub {
	my $n = filed('SELECT * FROM hr.moods');
	owner('ALTER TABLE hr.moods ADD secret int DEFAULT 1');
	runs($n, '{"m":"calm"}', 'what was approved, and no more');
};
attack 'a table that is dropped and made anew' => sub {
	owner('CREATE TABLE hr.gone (a int)');
	my $n = filed('SELECT a FROM hr.gone');
	owner('DROP TABLE hr.gone; CREATE TABLE hr.gone (a int); GRANT SELECT ON hr.gone TO PUBLIC');
	not_run($n, 55000);
};
attack 'a function, an operator, a type, a collation in its place' => sub {
	my @n = map { filed($_) } 'SELECT hr.f(a) FROM hr.t', 'SELECT a FROM hr.t WHERE a OPERATOR(hr.===) 1', q{SELECT m FROM hr.moods WHERE m = 'calm'::hr.mood}, 'SELECT a::text COLLATE hr.c AS x FROM hr.t WHERE a = 1';
	owner(q{ALTER FUNCTION hr.f RENAME TO f_old; CREATE FUNCTION hr.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
		ALTER OPERATOR hr.=== (int, int) SET SCHEMA jit_elsewhere;} =~ s/ALTER OPERATOR.*?;/DROP OPERATOR hr.=== (int, int); CREATE OPERATOR hr.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4ne);/r);
	owner('ALTER COLLATION hr.c RENAME TO c_old; CREATE COLLATION hr.c (provider = libc, locale = \'C\')');
	owner(q{ALTER TYPE hr.mood RENAME TO mood_old; CREATE TYPE hr.mood AS ENUM ('calm')});
	not_run($n[$_], $_ == 2 ? qr/55000|42883/ : 55000) foreach 0 .. 3;
	owner(q{DROP FUNCTION hr.f; ALTER FUNCTION hr.f_old RENAME TO f; DROP TYPE hr.mood; ALTER TYPE hr.mood_old RENAME TO mood; DROP COLLATION hr.c; ALTER COLLATION hr.c_old RENAME TO c});
	runs($n[$_], [join("\n", map { qq({"f":$_}) } 1 .. 5), undef, '{"m":"calm"}', '{"x":"1"}']->[$_], 'back as it was') foreach 0, 2, 3;
};
attack q{a function that is the requester's by now} => sub {
	my $n = filed('SELECT hr.f(a) FROM hr.t');
	super('GRANT CREATE ON SCHEMA hr TO dev; ALTER FUNCTION hr.f(int) OWNER TO dev');
	not_run($n, 42501, qr/function f must not run/);
	super('ALTER FUNCTION hr.f(int) OWNER TO hr_owner; REVOKE CREATE ON SCHEMA hr FROM dev');
};
attack q{a trigger with the requester's function} => sub {
	my $n = filed('UPDATE hr.t SET b = b');
	super(q{SET ROLE dev; CREATE FUNCTION dev.spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'spied as %', current_user; RETURN new; END $$; RESET ROLE; CREATE TRIGGER spy BEFORE UPDATE ON hr.t FOR EACH ROW EXECUTE FUNCTION dev.spy()});
	my ($out, $err) = run($n);
	like($err, qr/42501: function spy must not run/, 'refused');
	unlike($err, qr/spied as/, '... and nothing is run');
	not_filed('UPDATE hr.t SET b = b + 0', 42501, qr/function spy must not run/);
	owner('DROP TRIGGER spy ON hr.t');
};
attack q{a check, a default, a domain of the requester's function} => sub {
	my $n = filed('INSERT INTO hr.log (line) VALUES (1)');
	foreach ('ALTER TABLE hr.log ADD CONSTRAINT c CHECK (dev.f(length(line)) > 0)', 'ALTER TABLE hr.log DROP CONSTRAINT c; ALTER TABLE hr.log ADD d int DEFAULT dev.f(1)')
	{
		owner($_);
		not_run($n, 42501, qr/function f must not run/);
	}
	owner('ALTER TABLE hr.log DROP d');
	runs($n, '{"rows" : 1}');
};
attack 'row-level security that comes' => sub {
	my $n = filed('SELECT a FROM hr.t WHERE a < 3');
	owner('ALTER TABLE hr.t ENABLE ROW LEVEL SECURITY');
	runs($n, '', 'nothing without a policy');
	owner('CREATE POLICY p ON hr.t USING (a = 2 AND current_user <> $$dev$$)');
	runs($n, '{"a":2}', 'what it lets a role of its own see');
	$dev->do('SET row_security = off');
	runs($n, '{"a":2}', '... whatever the setting');
	$dev->do('RESET row_security');
	owner('DROP POLICY p ON hr.t; ALTER TABLE hr.t DISABLE ROW LEVEL SECURITY');
};
attack 'a rule that comes' => sub {
	my $n = filed('DELETE FROM hr.t WHERE a = 77');
	owner('CREATE RULE r AS ON DELETE TO hr.t DO ALSO NOTIFY x');
	not_run($n, '0A000', qr/NOTIFY/);
	owner(q{DROP RULE r ON hr.t; CREATE RULE r AS ON DELETE TO hr.t DO ALSO INSERT INTO hr.log VALUES (dev.f(1)::text)});
	not_run($n, 42501, qr/function f must not run/);
	owner('DROP RULE r ON hr.t');
};
attack 'a view that is replaced' => sub {
	my $n = filed('SELECT a FROM hr.v');
	owner('CREATE OR REPLACE VIEW hr.v AS SELECT amount AS a FROM hr.salary WHERE emp_no = 1');
	runs($n, '{"a":10}', q{the owner's matter: it is told that there is a view});
	owner('CREATE OR REPLACE VIEW hr.v AS SELECT dev.f(amount) AS a FROM hr.salary');
	not_run($n, 42501, qr/function f must not run/);
	owner('CREATE OR REPLACE VIEW hr.v AS SELECT a FROM hr.t WHERE a < 3');
};
attack 'what approvers are told' => sub {
	owner(q{CREATE FUNCTION hr.trg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'; CREATE TRIGGER trg BEFORE UPDATE ON hr.t FOR EACH ROW EXECUTE FUNCTION hr.trg(); ALTER TABLE hr.t ENABLE ROW LEVEL SECURITY});
	super('CREATE TABLE dev.mine (a int); ALTER TABLE dev.mine OWNER TO dev');
	my ($n) = $dev->do(q{SELECT jit_request(statement => 'UPDATE hr.v SET a = mine.a FROM dev.mine', duration => '62 min', reason => 'x')});
	my ($shown) = $anna->do("SELECT * FROM jit_show($n)");
	like($shown, qr/$_/, $_) foreach 'UPDATE hr\.v', 'view hr\.v is of hr_owner', 'hr\.t is read or written on the way', 'trigger trg of hr\.t may run function trg of hr_owner', 'hr\.t has row-level security', 'dev\.mine can be changed by who asks', 'run 0 of 1 times';
	like(($anna->do("SELECT access FROM jit.inbox WHERE request = $n"))[0], qr/to run:/, 'the inbox shows it');
	like(($anna->do("SELECT statement FROM jit.pending WHERE request = $n"))[0], qr/UPDATE hr\.v/, 'and jit.pending');
	$anna->do("SELECT jit_reject($n, 'no')");
	not_run($n, 55000, qr/rejected/);
	owner('DROP TRIGGER trg ON hr.t; ALTER TABLE hr.t DISABLE ROW LEVEL SECURITY');
};

# ---- its role is nobody's

my $held = filed('SELECT * FROM hr.salary');
my $role = super("SELECT rolname FROM pg_roles WHERE rolname ~ '^jit_query_\\d+_${held}_'");
attack 'SET ROLE to its role' => sub {
	like(($dev->do("SET ROLE $role"))[1], qr/42501/, 'by the grantee');
	my ($out, $err) = sql($node, $me, "SET ROLE $role; SELECT count(*) FROM hr.salary", 'hr_prod');
	like($err, qr/42501/, 'by a superuser');
	is($out, '', '... nothing is read');
	like((sql($node, $me, "SET SESSION AUTHORIZATION $role; SELECT count(*) FROM hr.salary", 'hr_prod'))[1], qr/42501/, 'as the session user');
};
attack 'membership of it, by a superuser' => sub {
	super("GRANT $role TO dev");
	like(($dev->do('SELECT count(*) FROM hr.salary'))[1], qr/42501/, 'denied');
	like(($dev->do("SET ROLE $role; SELECT count(*) FROM hr.salary"))[1], qr/42501/, 'denied after SET ROLE');
	$dev->do('RESET ROLE');
	super("REVOKE $role FROM dev");
};
attack 'membership of it, by CREATEROLE' => sub {
	my $s = session($node, 'maker', 'hr_prod');
	$s->do("GRANT $role TO maker");
	like(($s->do('SELECT count(*) FROM hr.salary'))[1], qr/42501/, 'denied');
	$s->quit;
	super("REVOKE $role FROM maker");
};
attack 'renaming it' => sub { like((sql($node, $me, "ALTER ROLE $role RENAME TO harmless", 'hr_prod'))[1], qr/42939: role .* cannot be renamed/, 'refused'); };
attack q{what the grantee sees of the table} => sub {
	super('ANALYZE hr.salary');
	is(super(q{SELECT has_table_privilege('dev', 'hr.salary', 'SELECT'), has_any_column_privilege('dev', 'hr.salary', 'SELECT')}), 'f|f', 'no privilege');
	is($dev->do(q{SELECT count(*) FROM pg_stats WHERE schemaname = 'hr'}), '0', 'no statistics');
	like(($dev->do('EXPLAIN SELECT * FROM hr.salary WHERE amount > 5'))[1] . ($dev->do('SELECT count(*) FROM hr.salary'))[1], qr/42501.*42501|42501/s, 'no rows');
	is($dev->do(q{SELECT count(*) FROM jit.my_access WHERE object ~ 'salary'}), '0', 'and none is shown');
};

# ---- whose it is, and how it is called

attack 'by somebody else' => sub {
	my $eve = session($node, 'eve', 'hr_prod');
	not_run($held, 42501, qr/does not concern you/, $eve);
	not_run($held, 42501, undef, $anna);
	$eve->quit;
	like((sql($node, $me, "SELECT jit_run($held)", 'hr_prod'))[1], qr/42501/, 'by a superuser');
};
attack 'for a group, by its members' => sub {
	my $n = filed('SELECT a FROM hr.t WHERE a = 1', q{, grantee => 'team'});
	my $mia = session($node, 'mia', 'hr_prod');
	is((run($n, $mia))[0], '{"a":1}', 'a member');
	super(q{SELECT jit_grant('team', 'eve', '1 hour', 'x')});
	my $eve = session($node, 'eve', 'hr_prod');
	not_run($n, 42501, undef, $eve);
	$_->quit for $mia, $eve;
};
attack 'from a function, a cursor, a CTE, with LIMIT, in COPY, EXPLAIN and EXECUTE' => sub {
	$dev->do("CREATE OR REPLACE FUNCTION dev.run() RETURNS SETOF json LANGUAGE sql AS 'SELECT jit_run($held)'; PREPARE p AS SELECT jit_run($held)");
	foreach ('SELECT dev.run()', "DO \$\$BEGIN PERFORM jit_run($held); END\$\$", "BEGIN; DECLARE c CURSOR FOR SELECT jit_run($held); FETCH c; COMMIT", "WITH x AS (SELECT jit_run($held)) SELECT * FROM x", "SELECT jit_run($held) LIMIT 1",
		"SELECT jit_run($held) FROM generate_series(1, 2)", "SELECT jit_run($held)::text", "SELECT * FROM jit_run($held) r WHERE r::text ~ '1'", "COPY (SELECT jit_run($held)) TO STDOUT", "EXPLAIN ANALYZE SELECT jit_run($held)", 'EXECUTE p', "SELECT jit_run($held), jit_run($held)", "CREATE TEMP TABLE x AS SELECT jit_run($held)")
	{
		my ($out, $err) = $dev->do($_);
		like($err, qr/42501: jit_run\(\) must be called/, $_);
		$dev->do('ROLLBACK');
	}
};
attack 'in FROM' => sub { my $n = filed('SELECT a FROM hr.t WHERE a = 2'); is(($dev->do("SELECT * FROM jit_run($n)"))[0], '{"a":2}', 'passes'); };
attack 'requests of other states, and of access' => sub {
	my ($n) = $dev->do(q{SELECT jit_request(statement => 'SELECT b FROM hr.t', duration => '63 min', reason => 'x')});
	not_run($n, 55000, qr/pending/);
	$dev->do("SELECT jit_cancel($n)");
	not_run($n, 55000, qr/canceled/);
	$n = filed('SELECT b FROM hr.t');
	$dev->do("SELECT jit_revoke($n, 'x')");
	not_run($n, 55000, qr/revoked/);
	($n) = $dev->do(q{SELECT jit_request('SELECT ON hr.t', '1 hour', 'x', ticket => 'free')});
	not_run($n, 55000, qr/not for a statement/);
	$dev->do("SELECT jit_revoke($n, 'x')");
	not_run(999999, 42704);
};
attack 'before the transaction that filed it is committed' => sub {
	$dev->do('BEGIN');
	my $n = filed('DELETE FROM hr.t WHERE a = 78');
	not_run($n, 55000, qr/COMMIT first/);
	$dev->do('ROLLBACK; BEGIN; SAVEPOINT s');
	$n = filed('DELETE FROM hr.t WHERE a = 78');
	$dev->do('RELEASE s');
	not_run($n, 55000, qr/COMMIT first/);
	$dev->do('ROLLBACK');
};
attack 'in another database' => sub {
	super('SELECT 1');
	$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE template0');
	like((sql($node, 'dev', "SELECT jit_run($held)", 'postgres'))[1], qr/42704/, 'there is no such request');
};

# ---- how often, and until when

attack 'once' => sub {
	my $n = filed('UPDATE hr.t SET b = 0 WHERE a = 5');
	runs($n, '{"rows" : 1}');
	not_run($n, 55000, qr/has been run.*for 1 run/s);
	is(super("SELECT detail ->> 'run' FROM jit.events WHERE event = 'ran' AND request_id = $n"), '1 of 1', 'on record');
	ok($node->poll_query_until('hr_prod', "SELECT status = 'expired' FROM jit.requests WHERE id = $n"), 'it ends with it');
	ok($node->poll_query_until('hr_prod', "SELECT count(*) = 0 FROM pg_roles WHERE rolname ~ '^jit_(query|grant)_\\d+_${n}(_|\$)'"), 'its roles go');
};
attack 'as often as was agreed' => sub {
	my $n = filed('UPDATE hr.t SET b = b + 1 WHERE a = 5 RETURNING b', ', runs => 2');
	runs($n, '{"b":1}');
	runs($n, '{"b":2}');
	not_run($n, 55000, qr/for 2 runs/);
};
attack 'a statement that only reads, many times' => sub {
	my $n = filed('SELECT a FROM hr.t WHERE a = 3');
	runs($n, '{"a":3}') for 1 .. 3;
};
attack 'one that reads, with a volatile function' => sub {
	my $n = filed('SELECT a FROM hr.t WHERE a = 3 AND random() >= 0');
	runs($n, '{"a":3}');
	not_run($n, 55000, qr/has been run/);
};
attack 'rolled back, and run again' => sub {
	my $n = filed('UPDATE hr.t SET b = 7 WHERE a = 4');
	$dev->do('BEGIN');
	runs($n, '{"rows" : 1}');
	not_run($n, 55000, qr/has been run/);
	$dev->do('ROLLBACK; BEGIN; SAVEPOINT s');
	runs($n, '{"rows" : 1}', 'again');
	$dev->do('ROLLBACK TO s');
	runs($n, '{"rows" : 1}', 'and again');
	$dev->do('COMMIT');
	not_run($n, 55000, qr/has been run/);
};
attack 'an error in the middle' => sub {
	my $n = filed('UPDATE hr.t SET b = 1 / (a - 3)');
	not_run($n, 22012);
	is(super('SELECT count(*) FROM hr.t WHERE b = 7'), '1', 'nothing is changed');
	is(($dev->do('SELECT current_user, session_user'))[0], 'dev|dev', 'the session is its own again');
	like(($dev->do('SELECT count(*) FROM hr.t'))[1], qr/42501/, '... and has nothing');
	owner('DELETE FROM hr.t WHERE a = 3');
	runs($n, '{"rows" : 4}', 'then it runs');
	owner('INSERT INTO hr.t VALUES (3, 103)');
};
attack 'twice at once' => sub {
	my $n = filed('UPDATE hr.t SET b = 8 WHERE a = 4');
	$dev->do('BEGIN');
	runs($n, '{"rows" : 1}');
	$other->begin("SELECT jit_run($n)");
	ok(wait_until(sub { waits($node, $other) }, 5), 'the second waits');
	$dev->do('COMMIT');
	my ($out, $err) = $other->end;
	is($out, '', 'nothing is handed out twice');
	like($err, qr/55000/, 'refused');
};
attack 'the deadline, while it runs' => sub {
	my ($n) = $dev->do(q{SELECT jit_request(statement => 'SELECT pg_sleep(60), a FROM hr.t', duration => '3 s', reason => 'x', ticket => 'free')});
	my ($out, $err) = run($n);
	like($err, qr/57014.*Request $n in hr_prod expired/s, 'cut off');
	not_run($n, 55000);
};
attack 'jit_revoke(), while it runs' => sub {
	my $n = filed('SELECT pg_sleep(60), a FROM hr.t');
	$other->begin("SELECT jit_run($n)");
	ok(!wait_until(sub { $other->ended }, 0.5), 'it runs');
	$anna->do("SELECT jit_revoke($n, 'x')");
	my ($out, $err) = $other->end;
	like($err, qr/57014.*Request $n in hr_prod (was revoked|expired)/s, 'cut off');
};
attack 'the panic button, from another database' => sub {
	my $n = filed('SELECT pg_sleep(60), a FROM hr.t');
	$other->begin("SELECT jit_run($n)");
	ok(!wait_until(sub { $other->ended }, 0.5), 'it runs');
	$node->safe_psql('postgres', q{SELECT jit_revoke_from('dev', 'x')});
	my ($out, $err) = $other->end;
	like($err, qr/57014/, 'cut off');
	$held = filed('SELECT * FROM hr.salary');
};
attack 'a superuser drops its roles' => sub {
	my $n = filed('SELECT a FROM hr.t WHERE a = 4 AND b > 0');
	super("DROP ROLE " . super("SELECT string_agg(quote_ident(rolname), ', ') FROM pg_roles WHERE rolname ~ '^jit_(query|grant)_\\d+_${n}(_|\$)'"));
	not_run($n, 55000);
};
attack 'PREPARE TRANSACTION' => sub {
	my $n = filed('UPDATE hr.t SET b = 9 WHERE a = 4');
	$dev->do('BEGIN');
	runs($n, '{"rows" : 1}');
	like(($dev->do(q{PREPARE TRANSACTION 'x'}))[1], qr/ERROR/, 'refused');
	$dev->do('ROLLBACK');
};

# ---- what runs in it

attack 'settings of the session' => sub {
	my @n = map { filed($_) } q{SELECT '2026-01-02 03:04:05+00'::timestamptz::text AS at FROM hr.t WHERE a = 1}, q{SELECT a FROM hr.t WHERE a = NULL}, q{SELECT '1 day 2 hours'::interval::text AS i, 0.1::float8 / 3 AS f, '\\x01'::bytea AS b FROM hr.t WHERE a = 1};
	my @expected = ('{"at":"2026-01-02 03:04:05+00"}', '', '{"i":"1 day 02:00:00","f":0.03333333333333333,"b":"\\\\x01"}');
	$dev->do(q{SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SET IntervalStyle = 'iso_8601'; SET transform_null_equals = on; SET extra_float_digits = -10; SET bytea_output = 'escape'; SET standard_conforming_strings = off; SET quote_all_identifiers = on; SET search_path = dev, pg_catalog; SET row_security = off; SET default_transaction_isolation = 'serializable'; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off});
	runs($n[$_], $expected[$_], 'the same') foreach 0 .. 2;
	like(($dev->do(q{SELECT current_setting('TimeZone'), current_setting('search_path')}))[0], qr/^Asia\/Tokyo\|"?dev/, 'the session keeps its own');
	$dev->do('RESET ALL');
};
attack 'triggers that are turned off by who may set that' => sub {
	super('GRANT SET ON PARAMETER session_replication_role TO dev');
	owner(q{CREATE FUNCTION hr.count() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'counted'; END $$; CREATE TRIGGER count AFTER UPDATE ON hr.t FOR EACH ROW EXECUTE FUNCTION hr.count()});
	my $n = filed('UPDATE hr.t SET b = 3 WHERE a = 2');
	$dev->do('SET session_replication_role = replica');
	not_run($n, 'P0001', qr/counted/);
	$dev->do('RESET session_replication_role');
	owner('DROP TRIGGER count ON hr.t');
};
attack q{a policy TO the role, on a table of the requester's} => sub {
	$dev->do('CREATE TABLE dev.swap (a int); GRANT ALL ON dev.swap TO PUBLIC; INSERT INTO dev.swap VALUES (1)');
	foreach ('query', 'grant')
	{
		my $n = filed("SELECT count(*) AS $_ FROM hr.t, dev.swap");
		my $role = super("SELECT rolname FROM pg_roles WHERE rolname ~ '^jit_${_}_\\d+_${n}(_|\$)'");
		$dev->do("ALTER TABLE dev.swap ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON dev.swap TO $role USING (dev.f(a) > 0)");
		my ($out, $err) = run($n);
		like($err, qr/42501: relation dev.swap must not be used/, "TO jit_$_: refused");
		unlike($err, qr/spied/, '... and not run');
		$dev->do('DROP POLICY p ON dev.swap; ALTER TABLE dev.swap DISABLE ROW LEVEL SECURITY');
	}
};
attack q{a view of the requester's, or rules} => sub {
	$dev->do('CREATE VIEW dev.seen AS SELECT 1 AS x; GRANT SELECT ON dev.seen TO PUBLIC');
	not_filed('SELECT x, count(*) FROM hr.t, dev.seen GROUP BY x', 42501, qr/relation dev.seen must not be used/);
	my $n = filed('INSERT INTO dev.swap SELECT a FROM hr.t WHERE a = 99');
	$dev->do('CREATE RULE r AS ON INSERT TO dev.swap DO ALSO SELECT 1');
	not_run($n, 42501, qr/relation dev.swap must not be used/);
	$dev->do('DROP RULE r ON dev.swap');
	# pg_class says that it has rules until then
	$dev->do('VACUUM dev.swap');
};
attack q{a role that is kept by privileges on the requester's own table} => sub {
	my $n = filed('UPDATE hr.t SET b = 4 WHERE a = 2');
	my $role = super("SELECT rolname FROM pg_roles WHERE rolname ~ '^jit_query_\\d+_${n}_'");
	$dev->do("GRANT ALL ON dev.swap TO $role");
	runs($n, '{"rows" : 1}');
	$dev->do("REVOKE ALL ON dev.swap FROM $role");
	# whatever wakes the launcher next
	my $next = filed('UPDATE hr.t SET b = 4 WHERE a = 2');
	$dev->do("SELECT jit_revoke($next, 'x')");
	ok($node->poll_query_until('hr_prod', "SELECT count(*) = 0 FROM pg_roles WHERE rolname = '$role'"), 'it goes once it can');
};
attack q{a trigger of the requester's that comes while it waits for the lock} => sub {
	my $locker = session($node, 'dev', 'hr_prod');
	my $maker = session($node, 'dev', 'hr_prod');
	$dev->do(q{CREATE FUNCTION dev.spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'spied as %', current_user; RETURN new; END $$});
	my $n = filed('INSERT INTO dev.swap SELECT a FROM hr.t WHERE a = 1');
	$locker->do('BEGIN; LOCK TABLE dev.swap IN ACCESS EXCLUSIVE MODE');
	$dev->begin("SELECT jit_run($n)");
	ok(wait_until(sub { waits($node, $dev) }, 5), 'it waits');
	$maker->begin('CREATE TRIGGER spy BEFORE INSERT ON dev.swap FOR EACH ROW EXECUTE FUNCTION dev.spy()');
	ok(wait_until(sub { waits($node, $maker) }, 5), 'so does the trigger');
	$locker->do('COMMIT');
	my ($out, $err) = $dev->end;
	$maker->end;
	like($err, qr/42501: function spy must not run/, 'refused');
	unlike($err, qr/spied/, '... and not run');
	$dev->do('DROP TRIGGER spy ON dev.swap');
	$_->quit for $locker, $maker;
};
attack q{a cascade to a table of the requester's, with a trigger of theirs} => sub {
	owner('CREATE TABLE hr.parent (a int PRIMARY KEY); INSERT INTO hr.parent VALUES (1), (2); GRANT REFERENCES ON hr.parent TO dev; GRANT USAGE ON SCHEMA hr TO dev');
	$dev->do('CREATE TABLE dev.kid (a int REFERENCES hr.parent ON DELETE CASCADE); INSERT INTO dev.kid VALUES (1); CREATE TRIGGER spy AFTER DELETE ON dev.kid FOR EACH ROW EXECUTE FUNCTION dev.spy()');
	my ($out, $err) = run(filed('DELETE FROM hr.parent WHERE a = 1'));
	like($err, qr/42501: function spy must not run/, 'refused');
	unlike($err, qr/spied/, '... and not run');
	is(super('SELECT count(*) FROM hr.parent'), '2', 'nothing has happened');
	$dev->do('DROP TABLE dev.kid');
	owner('REVOKE USAGE ON SCHEMA hr FROM dev');
};
attack q{the requester's function, called by a body or a text of the owner's} => sub {
	owner(q{CREATE FUNCTION hr.calls(q text) RETURNS int LANGUAGE plpgsql STABLE AS $$ DECLARE r int; BEGIN EXECUTE q INTO r; RETURN r; END $$; CREATE FUNCTION hr.sql() RETURNS int LANGUAGE sql STABLE AS 'SELECT dev.f(1)'; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA hr TO PUBLIC});
	foreach (q{hr.calls('SELECT dev.f(1)')}, 'hr.sql()', q{hr.calls('SELECT eve.f(1)')})
	{
		my ($out, $err) = run(filed("SELECT $_ FROM hr.t WHERE a = 1"));
		like($err, qr/42501: function f must not run/, "$_: refused");
		unlike($err, qr/spied/, '... and not run');
	}
	is(($dev->do('SELECT dev.f(5)'))[0], '5', 'in the session it runs as ever');
};
attack 'names of columns' => sub {
	runs(filed($_->[0]), $_->[1], $_->[0]) foreach ['SELECT a AS "odd name" FROM hr.t WHERE a = 1', '{"odd name":1}'], ['SELECT emp_no AS a FROM hr.salary WHERE emp_no = 1', '{"a":1}'], ['SELECT * FROM (SELECT a AS x FROM hr.t) y WHERE x = 2', '{"x":2}'];
};
attack q{a trigger of the owner's, and what it needs} => sub {
	owner(q{CREATE FUNCTION hr.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO hr.log VALUES (current_user); RETURN new; END $$; CREATE TRIGGER note AFTER UPDATE ON hr.t FOR EACH ROW EXECUTE FUNCTION hr.note()});
	my $n = filed('UPDATE hr.t SET b = 10 WHERE a = 4');
	not_run($n, 42501, qr/permission denied for table log/);
	$n = filed('UPDATE hr.t SET b = 11 WHERE a = 4', q{, access => 'INSERT ON hr.log'});
	runs($n, '{"rows" : 1}', 'with what was asked for besides');
	like(super('SELECT max(line) FROM hr.log'), qr/^jit_query_/, 'it runs as the role');
};
attack q{a temporary table where a trigger of the owner's leaves out the schema} => sub {
	owner(q{CREATE OR REPLACE FUNCTION hr.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES ('x'); RETURN new; END $$});
	my $n = filed('UPDATE hr.t SET b = 16 WHERE a = 4');
	$dev->do('CREATE TEMP TABLE log (line text, spy int DEFAULT dev.f(1)); GRANT ALL ON log TO PUBLIC');
	my ($out, $err) = run($n);
	like($err, qr/55000.*temporary objects.*DISCARD TEMP/s, 'refused');
	unlike($err, qr/spied as/, '... and nothing is run');
	$dev->do('DROP TABLE log; CREATE DOMAIN pg_temp.amount AS int');
	not_run($n, 55000, qr/temporary objects/);
	$dev->do('DISCARD TEMP');
	not_run($n, '42P01');
};
attack q{a trigger that makes something} => sub {
	owner(q{CREATE OR REPLACE FUNCTION hr.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'CREATE TABLE public.made (a int)'; RETURN new; END $$; GRANT SELECT ON hr.log TO PUBLIC});
	super('GRANT CREATE ON SCHEMA public TO PUBLIC');
	not_run(filed('UPDATE hr.t SET b = 12 WHERE a = 4'), 42501);
	owner(q{CREATE OR REPLACE FUNCTION hr.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM lo_create(0); RETURN new; END $$});
	not_run(filed('UPDATE hr.t SET b = 13 WHERE a = 4'), 42501);
	super('REVOKE CREATE ON SCHEMA public FROM PUBLIC');
	is(super('SELECT count(*) FROM pg_largeobject_metadata'), '0', 'nothing is left');
};
attack 'deferred triggers and constraints' => sub {
	owner(q{DROP TRIGGER note ON hr.t; CREATE OR REPLACE FUNCTION hr.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO hr.log VALUES ('deferred ' || current_user); RETURN new; END $$; CREATE CONSTRAINT TRIGGER note AFTER UPDATE ON hr.t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hr.note()});
	my $n = filed('UPDATE hr.t SET b = 14 WHERE a = 4', q{, access => 'INSERT ON hr.log'});
	$dev->do('BEGIN; SET CONSTRAINTS ALL DEFERRED');
	runs($n, '{"rows" : 1}');
	$dev->do('COMMIT');
	like(super(q{SELECT max(line) FROM hr.log WHERE line ~ 'deferred'}), qr/^deferred jit_query_/, 'it has run in it, as the role');
	owner('DROP TRIGGER note ON hr.t');
	$n = filed('INSERT INTO hr.child VALUES (1, 1000)');
	not_run($n, 23503);
	$n = filed('INSERT INTO hr.child VALUES (1, 1)');
	runs($n, '{"rows" : 1}');
};
attack 'a read-only transaction' => sub {
	my $n = filed('UPDATE hr.t SET b = 15 WHERE a = 4');
	$dev->do('BEGIN READ ONLY');
	not_run($n, 25006);
	$dev->do('ROLLBACK');
	runs($n, '{"rows" : 1}');
};
attack 'statements of every kind' => sub {
	owner(q{CREATE TABLE hr.w (i int GENERATED ALWAYS AS IDENTITY, "Odd Name" text, g int GENERATED ALWAYS AS (length("Odd Name")) STORED) ; CREATE TABLE hr.p (k int, v text) PARTITION BY RANGE (k); CREATE TABLE hr.p1 PARTITION OF hr.p FOR VALUES FROM (0) TO (10); CREATE TABLE hr.p2 PARTITION OF hr.p FOR VALUES FROM (10) TO (20)});
	runs(filed($_->[0]), $_->[1], $_->[0]) foreach
	  ['SELECT s.amount, t.b AS amount FROM hr.salary s JOIN hr.t t ON t.a = s.emp_no WHERE a = 2', '{"amount":20,"amount":' . super('SELECT b FROM hr.t WHERE a = 2') . '}'],
	  ['WITH x AS (SELECT a FROM hr.t) SELECT count(*), max(a) FROM x', '{"count":5,"max":5}'],
	  ['SELECT a, rank() OVER (ORDER BY a DESC) AS r FROM hr.t WHERE a > 3 ORDER BY a', qq({"a":4,"r":2}\n{"a":5,"r":1})],
	  [q{INSERT INTO hr.w ("Odd Name") VALUES ('abc') RETURNING *}, '{"i":1,"Odd Name":"abc","g":3}'],
	  [q{INSERT INTO hr.p VALUES (1, 'x'), (11, 'y')}, '{"rows" : 2}'],
	  [q{UPDATE hr.p SET k = 12 WHERE k = 1 RETURNING k, v}, '{"k":12,"v":"x"}'],
	  ['DELETE FROM hr.p USING hr.t WHERE k = 99 AND a = 1', '{"rows" : 0}'],
	  [q{INSERT INTO hr.salary VALUES (1, 11) ON CONFLICT (emp_no) DO UPDATE SET amount = excluded.amount RETURNING amount}, '{"amount":11}'],
	  ['MERGE INTO hr.t USING (VALUES (1), (50)) x(k) ON a = k WHEN MATCHED THEN UPDATE SET b = 1 WHEN NOT MATCHED THEN INSERT VALUES (k, 50)', '{"rows" : 2}'],
	  ['WITH d AS (DELETE FROM hr.t WHERE a = 50 RETURNING b) INSERT INTO hr.log SELECT b::text FROM d', '{"rows" : 1}'],
	  ['VALUES ((SELECT max(emp_no) FROM hr.salary), 1)', '{"column1":100,"column2":1}'],
	  ['UPDATE hr.v SET a = a WHERE a = 1', '{"rows" : 1}'];
};
attack '100,000 rows' => sub {
	owner('CREATE TABLE hr.many AS SELECT i, repeat(md5(i::text), 3) AS t FROM generate_series(1, 100000) i');
	my $n = filed('SELECT * FROM hr.many');
	my ($out) = sql($node, 'dev', "SELECT jit_run($n)", 'hr_prod');
	is(scalar(() = $out =~ /\n/g), 99999, 'are handed out');
};

eval { $_->quit } for $dev, $other, $anna;
all_attacks_done();
$node->stop;
done_testing();
