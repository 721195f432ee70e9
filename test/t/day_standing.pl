# jit_standing_access() says who has what for good: each owner, each entry of an
# access control list and each membership, of all kinds of objects, and of one
# role what it has by membership too; nothing that is temporary, nothing of
# superusers and system catalogs.
#
# The attacks are lines of attacks.md.  Seen to fail with jit_require_auditor()
# left out, with grant and scope roles and superusers among the holders, with
# access control lists that are null left out, without the entries of columns,
# and with the closure of grant roles.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('standing', '', allows_streaming => 1, extra => [ '--encoding', 'UTF8', '--no-locale' ]);
create_hr($node);
my $super = getpwuid($<) . '';

sub super { return $node->safe_psql('hr_prod', "SET client_min_messages = error; $_[0]"); }
sub as { my ($out, $err) = sql($node, $_[0], $_[1], 'hr_prod'); return ($out, $err); }

# Rows of one role, or of all, that match
sub standing
{
	my ($role, $where) = @_;
	return super("SELECT * FROM jit_standing_access(" . (defined $role ? "'$role'" : '') . ') WHERE ' . ($where // 'true'));
}

super(q{CREATE ROLE hr_reader; CREATE ROLE hr_lead; GRANT hr_reader TO hr_lead; GRANT hr_lead TO dev; CREATE ROLE carl LOGIN; CREATE ROLE auditors; CREATE ROLE olga LOGIN; GRANT auditors TO olga;
	CREATE ROLE adam LOGIN; ALTER DATABASE hr_prod SET jit_access.auditor_role = 'auditors'; ALTER DATABASE hr_prod SET jit_access.admin_role = 'adam';
	GRANT SELECT, UPDATE ON hr.salary TO hr_reader; GRANT INSERT ON hr.salary TO carl WITH GRANT OPTION});

attack 'tables: owners, entries, by whom, with grant options' => sub {
	is(standing(undef, q{object = 'hr.salary'}), join("\n",
		'carl|t|hr.salary|{"INSERT WITH GRANT OPTION"}|granted by hr_owner',
		'hr_owner|f|hr.salary|{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER' . ($node->pg_version >= 17 ? ',MAINTAIN' : '') . '}|owner',
		'hr_reader|f|hr.salary|{SELECT,UPDATE}|granted by hr_owner'), 'in order');
	as('carl', 'GRANT INSERT ON hr.salary TO eve');
	super('GRANT USAGE ON SCHEMA hr TO carl');
	as('carl', 'GRANT INSERT ON hr.salary TO eve');
	is(standing(undef, q{role = 'eve' AND object = 'hr.salary'}), 'eve|t|hr.salary|{INSERT}|granted by carl', 'by another');
	super('SET ROLE hr_owner; REVOKE TRUNCATE, DELETE ON hr.salary FROM hr_owner');
	like(standing(undef, q{role = 'hr_owner' AND object = 'hr.salary'}), qr/\{SELECT,INSERT,UPDATE,REFERENCES,TRIGGER\S*\}\|owner$/, 'what the owner has left');
	super('SET ROLE hr_owner; REVOKE ALL ON hr.salary FROM hr_owner');
	is(standing(undef, q{role = 'hr_owner' AND object = 'hr.salary'}), 'hr_owner|f|hr.salary|{}|owner', '... none, but still the owner');
	super('SET ROLE hr_owner; GRANT ALL ON hr.salary TO hr_owner');
};
attack 'columns' => sub {
	super('SET ROLE hr_owner; GRANT SELECT (amount), UPDATE (amount, emp_no) ON hr.salary TO carl');
	is(standing(undef, q{role = 'carl' AND privileges::text ~ '\('}), qq{carl|t|hr.salary|{"SELECT (amount)","UPDATE (amount)"}|granted by hr_owner\ncarl|t|hr.salary|{"UPDATE (emp_no)"}|granted by hr_owner}, 'as in GRANT');
	super('SET ROLE hr_owner; CREATE TABLE hr.narrow (x int, y int); GRANT SELECT (x) ON hr.narrow TO carl; ALTER TABLE hr.narrow DROP COLUMN x');
	is(standing(undef, q{role = 'carl' AND object = 'hr.narrow'}), '', 'none of one that is dropped');
	super('REVOKE SELECT (amount), UPDATE (amount, emp_no) ON hr.salary FROM carl; DROP TABLE hr.narrow');
};
attack 'every kind of object that GRANT knows' => sub {
	super(q{CREATE TRUSTED LANGUAGE l HANDLER plpgsql_call_handler; CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE hr.ft (x int) SERVER s;
		SELECT lo_create(4711); CREATE SEQUENCE hr.seq; CREATE VIEW hr.v AS SELECT 1 AS x; CREATE MATERIALIZED VIEW hr.mv AS SELECT 1 AS x; CREATE TABLE hr.parted (x int) PARTITION BY LIST (x);
		CREATE TYPE hr.comp AS (x int); CREATE TYPE hr.en AS ENUM ('a'); CREATE DOMAIN hr.dom AS int; CREATE TYPE hr.ran AS RANGE (subtype = int);
		CREATE FUNCTION hr.f(int, text[]) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE PROCEDURE hr.p() LANGUAGE sql AS 'SELECT 1';
		GRANT SELECT ON hr.ft, hr.v, hr.mv, hr.parted TO carl; GRANT USAGE ON SEQUENCE hr.seq TO carl; GRANT CREATE ON SCHEMA hr TO carl; GRANT EXECUTE ON FUNCTION hr.f(int, text[]) TO carl; GRANT EXECUTE ON PROCEDURE hr.p() TO carl;
		GRANT USAGE ON TYPE hr.comp, hr.en, hr.ran TO carl; GRANT USAGE ON DOMAIN hr.dom TO carl; GRANT TEMPORARY, CREATE ON DATABASE hr_prod TO carl; GRANT CONNECT ON DATABASE postgres TO carl;
		GRANT USAGE ON LANGUAGE plpgsql, l TO carl; GRANT USAGE ON FOREIGN DATA WRAPPER w TO carl; GRANT USAGE ON FOREIGN SERVER s TO carl; GRANT CREATE ON TABLESPACE pg_default TO carl;
		GRANT SELECT ON LARGE OBJECT 4711 TO carl; GRANT SET, ALTER SYSTEM ON PARAMETER work_mem, made.up TO carl;
		ALTER DEFAULT PRIVILEGES FOR ROLE hr_owner IN SCHEMA hr GRANT SELECT ON TABLES TO carl; ALTER DEFAULT PRIVILEGES FOR ROLE hr_owner GRANT EXECUTE ON FUNCTIONS TO carl; GRANT pg_monitor TO carl WITH ADMIN OPTION});
	is(super(q{SELECT string_agg(object || ' ' || array_to_string(privileges, ', '), E'\n' ORDER BY object COLLATE "C") FROM jit_standing_access() WHERE role = 'carl'}), join("\n", sort
		'DATABASE hr_prod CREATE, TEMPORARY', 'DATABASE postgres CONNECT', 'DEFAULT PRIVILEGES FOR ROLE hr_owner IN SCHEMA hr ON TABLES SELECT', 'DEFAULT PRIVILEGES FOR ROLE hr_owner ON FUNCTIONS EXECUTE',
		'DOMAIN hr.dom USAGE', 'FOREIGN DATA WRAPPER w USAGE', 'FOREIGN SERVER s USAGE', 'FUNCTION hr.f(integer, text[]) EXECUTE', 'LANGUAGE l USAGE', 'LANGUAGE plpgsql USAGE', 'LARGE OBJECT 4711 SELECT',
		'PARAMETER made.up SET, ALTER SYSTEM', 'PARAMETER work_mem SET, ALTER SYSTEM', 'PROCEDURE hr.p() EXECUTE', 'ROLE pg_monitor ADMIN OPTION', 'SCHEMA hr CREATE, USAGE', 'SEQUENCE hr.seq USAGE', 'TABLESPACE pg_default CREATE',
		'TYPE hr.comp USAGE', 'TYPE hr.en USAGE', 'TYPE hr.ran USAGE', 'hr.ft SELECT', 'hr.mv SELECT', 'hr.parted SELECT', 'hr.salary INSERT WITH GRANT OPTION', 'hr.v SELECT'), 'each');
	is(standing(undef, q{object ~ 'ran|parted|comp|en$' AND role <> 'carl' AND role <> 'public' AND role <> 'hr_owner'}), '', 'and nothing that follows others');
};
attack 'what it says can be pasted into a request' => sub {
	my $text = super(q{SELECT string_agg(array_to_string(ARRAY(SELECT split_part(p, ' WITH', 1) FROM unnest(privileges) p), ', ') || ' ON ' || object, '; ') FROM jit_standing_access() WHERE role = 'carl' AND object !~ '^(ROLE|DEFAULT|PARAMETER made)'});
	$text =~ s/'/''/g;
	my ($out, $err) = as($super, "SELECT jit_explain('$text', '1 hour', 'x', grantee => 'dev')");
	like($out, qr/^Request in hr_prod for dev/, 'all kinds') or diag($err);
};
attack 'PUBLIC, also where nothing was ever granted' => sub {
	super(q{CREATE FUNCTION hr.g() RETURNS int LANGUAGE sql AS 'SELECT 1'});
	is(standing(undef, q{object = 'FUNCTION hr.g()'}), "public|f|FUNCTION hr.g()|{EXECUTE}|granted by $super", 'nothing was granted');
	is(standing(undef, q{role = 'public' AND object IN ('FUNCTION hr.f(integer, text[])', 'DATABASE hr_prod', 'TYPE hr.en')}),
		"public|f|DATABASE hr_prod|{CONNECT,TEMPORARY}|granted by hr_owner\npublic|f|FUNCTION hr.f(integer, text[])|{EXECUTE}|granted by $super\npublic|f|TYPE hr.en|{USAGE}|granted by $super", 'by default');
	super('REVOKE EXECUTE ON FUNCTION hr.f(int, text[]) FROM PUBLIC; GRANT SELECT ON hr.v TO PUBLIC');
	is(standing(undef, q{role = 'public' AND object IN ('FUNCTION hr.f(integer, text[])', 'hr.v')}), "public|f|hr.v|{SELECT}|granted by $super", 'as it is now');
	is(standing('eve', q{object = 'hr.v'}), "eve|t|hr.v|{SELECT}|public: granted by $super", 'anybody has it');
	super('CREATE ROLE "public "');
	super('GRANT DELETE ON hr.v TO "public "');
	is(standing(undef, q{object = 'hr.v' AND 'DELETE' = ANY (privileges)} . " AND role <> '$super'"), "public |f|hr.v|{DELETE}|granted by $super", 'and a role that looks like it is another');
};
attack 'one role, by membership' => sub {
	is(standing('dev', q{object ~ '^(hr\.salary|ROLE|SCHEMA hr)'}), join("\n",
		"dev|t|ROLE hr_lead|{}|granted by $super", "dev|t|ROLE hr_reader|{}|hr_lead: granted by $super", 'dev|t|SCHEMA hr|{USAGE}|granted by hr_owner', 'dev|t|hr.salary|{SELECT,UPDATE}|hr_reader: granted by hr_owner'), 'through which');
	like(standing('anna', q{object = 'hr.salary'}), qr/^anna\|t\|hr\.salary\|\{SELECT,.*\}\|hr_owner: owner$/, 'of an owner');
	like(standing('hr_owner', q{object = 'DATABASE hr_prod'}), qr/^hr_owner\|f\|DATABASE hr_prod\|\{CREATE,CONNECT,TEMPORARY\}\|owner/, 'a group');
	super('ALTER ROLE dev NOINHERIT');
	like(standing('dev'), qr/hr_reader: granted by hr_owner/, 'also what takes SET ROLE');
	super('ALTER ROLE dev INHERIT');
};
attack 'the same as PostgreSQL says' => sub {
	super(q{DO $$ BEGIN FOR i IN 1 .. 8 LOOP EXECUTE format('CREATE ROLE r%s; CREATE TABLE hr.t%s (x int); ALTER TABLE hr.t%s OWNER TO %I', i, i, i, CASE WHEN i % 2 = 0 THEN 'r' || i / 2 ELSE 'hr_owner' END); END LOOP;
		PERFORM setseed(0.42);
		FOR i IN 1 .. 60 LOOP EXECUTE format('GRANT %s ON hr.t%s TO r%s', (ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'])[1 + floor(random() * 5)], 1 + floor(random() * 8), 1 + floor(random() * 8)); END LOOP;
		FOR i IN 1 .. 12 LOOP EXECUTE format('GRANT r%s TO r%s', 1 + i % 4, 5 + floor(random() * 4)); END LOOP; END $$});
	is(super(q{WITH ours AS (SELECT DISTINCT r, s.object, p FROM generate_series(1, 8) r, jit_standing_access(('r' || r)::name) s, unnest(privileges) p WHERE s.object ~ '^hr\.t\d'),
		theirs AS (SELECT r, 'hr.t' || t AS object, p FROM generate_series(1, 8) r, generate_series(1, 8) t, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p WHERE has_table_privilege('r' || r, 'hr.t' || t, p))
		SELECT (SELECT count(*) > 50 FROM ours), (SELECT count(*) FROM (SELECT * FROM ours WHERE p <> 'MAINTAIN' EXCEPT SELECT * FROM theirs) x), (SELECT count(*) FROM (SELECT * FROM theirs EXCEPT SELECT * FROM ours) x)}), 't|0|0', 'for random privileges and memberships');
};
attack 'temporary access' => sub {
	my $all = standing(undef, "role <> 'x'");
	my $dev = standing('dev');
	my $n = super(q{SELECT jit_grant('SELECT, DELETE ON hr.salary; SELECT (amount) ON hr.salary; EXECUTE ON FUNCTION hr.f(int, text[]); hr_owner', 'dev', '1 hour', 'x')});
	is(standing(undef, "role <> 'x'"), $all, 'is not there');
	is(standing('dev'), $dev, '... nor what the role has through it');
	is(standing(undef, q{role ~ '^jit_' OR object ~ '^ROLE jit_'}), '', '... nor by jit_ roles');
	super(q{CREATE ROLE jit_admins; GRANT SELECT ON hr.salary TO jit_admins});
	is(standing(undef, q{role ~ '^jit_'}), 'jit_admins|f|hr.salary|{SELECT}|granted by hr_owner', 'but a role of theirs that is called so');
	super("SELECT jit_revoke($n)");
};
attack 'superusers and system catalogs' => sub {
	super(q{CREATE ROLE boss SUPERUSER LOGIN; GRANT SELECT ON hr.salary TO boss; GRANT hr_reader TO boss; GRANT SELECT ON pg_authid TO carl; GRANT USAGE ON SCHEMA jit TO carl; GRANT SELECT ON jit.events TO carl});
	is(standing(undef, qq{role IN ('boss', '$super')}), '', 'have everything');
	my ($out, $err) = as($super, q{SELECT * FROM jit_standing_access('boss')});
	is($out, '', 'no rows of one');
	like($err, qr/NOTICE:  00000: role boss is a superuser, and has everything/, '... but it is said');
	is(standing(undef, q{object ~ 'pg_authid|pg_catalog|information_schema|jit\.|SCHEMA jit|pg_toast'} . q{ AND object !~ '^PARAMETER'}), '', 'nor catalogs');
};
attack 'temporary tables, TOAST, arrays and rows of tables' => sub {
	my $s = session($node, 'eve', 'hr_prod');
	$s->do('CREATE TEMP TABLE mine (x text)');
	is(standing(undef, q{object ~ 'mine|pg_temp|toast|\[\]$|_salary|TYPE hr\.salary'}), '', 'are not there');
	$s->quit;
};
attack 'names with quotes, ends of lines and what is not seen' => sub {
	my ($end) = line_ends($node);
	super(qq{CREATE ROLE "Odd ""r'\\$end" LOGIN; CREATE SCHEMA "S ""x"; CREATE TABLE "S ""x"."T\n\x{e2}\x{80}\x{ae}" ("C ""\n" int); GRANT SELECT ("C ""\n") ON "S ""x"."T\n\x{e2}\x{80}\x{ae}" TO "Odd ""r'\\$end"});
	is(super(qq{SELECT object, privileges FROM jit_standing_access('Odd "r''\\$end') WHERE object ~ '^"S'}), q(   "S ""x".U&"T\000a\202e"|{"SELECT (U&\\"C \\"\\"\\\\000a\\")"}) =~ s/^ +//r, 'are shown as SQL has them');
	like(standing('carl', q{true}), qr/^carl/, 'and do no harm');
};
attack 'owners and grantors that are gone, and null lists' => sub {
	super(q{UPDATE pg_class SET relacl = array_append(relacl, makeaclitem(999999, relowner, 'SELECT', false)) WHERE oid = 'hr.salary'::regclass});
	is(standing(undef, q{role = '999999'}), '', 'an entry of nobody');
	super(q{UPDATE pg_class SET relacl = NULL WHERE oid = 'hr.mv'::regclass});
	is(standing(undef, q{object = 'hr.mv' AND role = 'carl'}), '', 'null is the default');
};
attack 'a role that is not there' => sub {
	like((as('olga', qq{SELECT * FROM jit_standing_access('$_')}))[1], qr/ERROR:  42704: role "\Q$_\E" does not exist/, $_) foreach 'nobody', 'public', 'none', 'DEV', 'pg_nothing', "x; DROP ROLE dev";
};
attack 'who may read it' => sub {
	is((as($_, q{SELECT count(*) > 20 FROM jit_standing_access()}))[0], 't', $_) foreach 'olga', 'adam', $super;
	foreach my $user (qw(dev anna eve))
	{
		foreach ('', "'$user'", "'nobody'")
		{
			my ($out, $err) = as($user, "SELECT * FROM jit_standing_access($_)");
			is($out, '', "$user reads nothing: $_");
			like($err, qr/ERROR:  42501: permission denied to read standing access\nDETAIL:  Only JIT administrators and auditors may/, '... and is told why');
		}
	}
	super(q{SELECT jit_grant('auditors', 'eve', '1 hour', 'x'); GRANT CREATE ON SCHEMA public TO auditors});
	like((as('eve', 'SET ROLE auditors; SELECT * FROM jit_standing_access()'))[1], qr/ERROR:  42501: /, 'nor who is an auditor for a while');
	as('olga', q{CREATE FUNCTION public.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM jit_standing_access()'});
	like((as('eve', 'SELECT public.peek()'))[1], qr/ERROR:  42501: /, 'nor through a function of an auditor');
};
attack 'functions and operators of somebody else' => sub {
	super('CREATE SCHEMA evil; GRANT ALL ON SCHEMA evil TO eve');
	as('eve', q{CREATE FUNCTION evil.acldefault("char", oid) RETURNS aclitem[] LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$captured$$; END'; CREATE FUNCTION evil.aclexplode(aclitem[]) RETURNS SETOF int LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$captured$$; END'; CREATE TABLE evil.pg_class (x int)});
	like((as('olga', "SET search_path = evil, pg_catalog; SELECT * FROM jit_standing_access('dev')"))[0], qr/hr_reader: granted by hr_owner/, 'are not called');
};
attack 'isolation levels, a standby' => sub {
	my $all = standing();
	is(super("BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY; SELECT * FROM jit_standing_access()"), $all, 'read only');
	$node->backup('b');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($node, 'b', has_streaming => 1);
	$standby->start;
	is($standby->safe_psql('hr_prod', 'SELECT * FROM jit_standing_access() WHERE true'), $all, 'the same on a standby');
	$standby->stop;
};

all_attacks_done();
$node->stop;
done_testing();
