# What the day's views, words and hints tell, and whom; and that the hint of a
# denial, which asks the ledger in the midst of an error, leaves the error and
# all around it as PostgreSQL makes them.
#
# The attacks are lines of attacks.md.  Seen to fail without OFFSET 0 in
# jit.pending: what EXPLAIN ANALYZE counts; with all memberships in place of
# live ones in jit.my_roles() and jit_concerns(): the member whose time is over;
# without the look at GetOuterUserId() in jit_hint_callback(): functions of
# others; without is_error() there: the NOTICE; with a cancellation caught in
# ask_for_suggestion(): what goes on after it.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use JitAccess;
use Attacks;

my $node = new_server('attacks', "jit_access.auditor_role = 'auditor'\nmax_prepared_transactions = 2\njit_access.max_pending = 100");
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE auditor; CREATE ROLE aud LOGIN IN ROLE auditor; CREATE ROLE oncall; CREATE ROLE ben LOGIN IN ROLE oncall;
	CREATE ROLE temp LOGIN;
	GRANT USAGE ON SCHEMA hr TO PUBLIC; CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO PUBLIC;
	SET ROLE hr_owner;
	CREATE TABLE hr.title (a int); CREATE TABLE hr.part (a int);
	DO $$ BEGIN FOR i IN 0 .. 19 LOOP EXECUTE format('CREATE TABLE hr.t%s (a int)', i); END LOOP; END $$;
});
sub as { return sql($node, $_[0], $_[1], 'hr_prod'); }
sub super { return $node->safe_psql('hr_prod', $_[0]); }
sub ok_as { my ($who, $sql) = @_; my ($out, $err, $rc) = as($who, $sql); die "$who: $sql: $err" if $err =~ /ERROR/; return $out; }
sub asks { my ($who, $access, $rest) = @_; return ok_as($who, "SELECT jit_request('$access', '" . longer() . "', 'a secret of $who'" . ($rest // '') . ')'); }

my $admin = getpwuid($<) . '';
my $MINE = qr/HINT:  Request \d+ for it is pending/;
my $PLAIN = qr/HINT:  Request access: SELECT jit_request\('SELECT ON hr\.\w+', '1 hour', 'why you need it'\);/;
my @views = qw(inbox my_requests pending active_grants history refused my_access);

ok_as('temp', q{
	CREATE FUNCTION s.definer() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN (SELECT count(*) FROM hr.salary); END';
	CREATE FUNCTION s.inlined() RETURNS SETOF hr.salary LANGUAGE sql STABLE AS 'SELECT * FROM hr.salary';
	CREATE FUNCTION s.invoker() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM hr.salary); END';
	CREATE VIEW s.of_owner AS SELECT * FROM hr.salary; GRANT SELECT ON s.of_owner TO PUBLIC;
	CREATE VIEW s.of_reader WITH (security_invoker) AS SELECT * FROM hr.salary; GRANT SELECT ON s.of_reader TO PUBLIC;
	CREATE TABLE s.t (a int); INSERT INTO s.t VALUES (1); GRANT ALL ON s.t TO PUBLIC;
	CREATE FUNCTION s.trigger_definer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN PERFORM count(*) FROM hr.salary; RETURN NEW; END';
	CREATE FUNCTION s.trigger_invoker() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM count(*) FROM hr.salary; RETURN NULL; END';
	CREATE TRIGGER a BEFORE UPDATE ON s.t FOR EACH ROW EXECUTE FUNCTION s.trigger_definer();
	CREATE CONSTRAINT TRIGGER b AFTER DELETE ON s.t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION s.trigger_invoker();
	CREATE FUNCTION s.denials(n int) RETURNS int LANGUAGE plpgsql AS $$ DECLARE caught int := 0; BEGIN
		FOR i IN 1 .. n LOOP
			BEGIN EXECUTE format('SELECT * FROM hr.t%s', i % 20); EXCEPTION WHEN insufficient_privilege THEN caught := caught + 1; END;
		END LOOP;
		RETURN caught; END $$;
});
# of temp's and of dev's, each with a secret, pending and rejected
my $of_temp = asks('temp', 'SELECT ON hr.salary');
my $of_dev = asks('dev', 'SELECT ON hr.salary');
my $of_oncall = asks('ben', 'SELECT ON hr.part', ", grantee => 'oncall'");
my $rejected = asks('ben', 'SELECT ON hr.title', ", grantee => 'oncall'");
ok_as('anna', "SELECT jit_reject($rejected, 'a secret of anna')");

# ---- views

# What EXPLAIN ANALYZE of a stranger's says, save what was asked for.
sub explained
{
	my ($condition, $value) = @_;
	my $out = ok_as('eve', "EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) SELECT * FROM jit.pending WHERE $condition '$value'");
	return $out =~ s/'\Q$value\E'//gr;
}
attack 'who has asked, by EXPLAIN ANALYZE' => sub {
	foreach my $column (qw(requester login grantee))
	{
		is(explained("$column =", 'dev'), explained("$column =", 'aud'), $column);
	}
};
attack 'for how long, and when, by EXPLAIN ANALYZE' => sub {
	is(explained('duration <', '01:00:00'), explained('duration <', '10:00:00'), 'duration');
	foreach my $column (qw(asked_at lapses_at))
	{
		is(explained("$column <", '2001-01-01 00:00:00+00'), explained("$column <", '2101-01-01 00:00:00+00'), $column);
	}
};
attack 'a leaky function in WHERE' => sub {
	ok_as('eve', q{
		CREATE FUNCTION s.leak(anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE 'leak: %', $1; RETURN true; END $$;
		CREATE FUNCTION s.leak(integer, integer) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE 'leak: %', $1; RETURN true; END $$;
		CREATE OPERATOR s.=== (LEFTARG = integer, RIGHTARG = integer, FUNCTION = s.leak, RESTRICT = eqsel)});
	foreach my $view (@views)
	{
		my ($out, $err) = as('eve', "SELECT count(*) FROM jit.$view v WHERE s.leak(v::text) AND request OPERATOR(s.===) 1 AND s.leak(request)");
		is("$out$err", '0', $view);
	}
};
attack 'in a SECURITY DEFINER function of an auditor' => sub {
	ok_as('aud', "CREATE FUNCTION s.look_$_() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM jit.$_'") foreach @views;
	is(ok_as('eve', "SELECT s.look_$_()"), 0, $_) foreach @views;
};
attack 'a member for a time, and when it is over' => sub {
	my $grant = ok_as($admin, q{SELECT jit_grant('oncall', 'temp', '1 h', 'x')});
	is(ok_as('temp', "SELECT count(*) FROM jit.my_requests WHERE request IN ($of_oncall, $rejected)"), 2, 'while it lasts, they are of a role of theirs');
	like(ok_as('temp', "SELECT * FROM jit_show($of_oncall)"), qr/a secret of ben/, '... and can be shown');
	like(ok_as('ben', "SELECT * FROM jit_show($of_oncall)"), qr/for oncall \((ben, temp|temp, ben)\)$/m, '... as who is one for a time');
	stop_launcher($node);
	super("ALTER ROLE " . super("SELECT role FROM jit.grants WHERE request_id = $grant") . " VALID UNTIL '2001-01-01'");
	is(ok_as('temp', "SELECT count(*) FROM jit.$_ WHERE request IN ($of_oncall, $rejected)"), 0, "then not in jit.$_") foreach grep { $_ ne 'my_access' } @views;
	foreach my $call ("* FROM jit_show($of_oncall)", "jit_extend($rejected)", "jit_cancel($of_oncall)")
	{
		like((as('temp', "SELECT $call"))[1], qr/ERROR:  42501: .*\nDETAIL:  It does not concern you\./, $call);
	}
	continue_launcher();
};
attack 'a role that was made anew' => sub {
	super('CREATE ROLE twice LOGIN');
	my $n = asks('twice', 'SELECT ON hr.salary');
	like((as('twice', 'SELECT * FROM hr.salary'))[1], qr/HINT:  Request $n for it is pending/, 'it is told of its own');
	super('ALTER ROLE twice RENAME TO renamed');
	like((as('renamed', 'SELECT * FROM hr.salary'))[1], qr/HINT:  Request $n for it is pending/, '... under another name, too');
	super('DROP ROLE renamed; CREATE ROLE twice LOGIN; CREATE ROLE renamed LOGIN');
	foreach my $who (qw(twice renamed))
	{
		like((as($who, 'SELECT * FROM hr.salary'))[1], $PLAIN, "$who is told of nothing");
		is(ok_as($who, "SELECT count(*) FROM jit.$_"), 0, "... nor shown in jit.$_") foreach @views;
	}
	ok(asks('twice', 'SELECT ON hr.salary'), '... and can ask for the same');
};

# ---- messages

attack 'whether others have asked, by asking for the same' => sub {
	my ($out, $err) = as('eve', q{SELECT jit_request('SELECT ON hr.salary', '1 min', 'x')});
	like($out, qr/^\d+$/, 'a stranger files one');
	unlike($err, qr/\brequest ($of_dev|$of_temp)\b/, '... and is told of no other');
	like((as('eve', q{SELECT jit_request('SELECT ON hr.part', '1 min', 'x', grantee => 'oncall')}))[1], qr/ERROR:  42501: you cannot request access for role oncall/, 'for a group, only its members ask');
	unlike((as('eve', q{SELECT * FROM jit_explain('SELECT ON hr.salary', '1 min', 'x')}))[0], qr/\brequest ($of_dev|$of_temp)\b/, 'jit_explain()');
	like((as('ben', q{SELECT jit_request('SELECT ON hr.part', '1 min', 'x', grantee => 'oncall')}))[1], qr/ERROR:  42710: request $of_oncall in hr_prod for the same access is pending/, '... and are told');
};
attack 'what remains after jit_revoke() of other objects' => sub {
	my $one = ok_as($admin, q{SELECT jit_grant('SELECT ON hr.t0', 'dev', '1 h', 'x')});
	my $two = ok_as($admin, q{SELECT jit_grant('SELECT ON hr.t1', 'dev', '1 h', 'x')});
	my $both = ok_as($admin, q{SELECT jit_grant('SELECT ON hr.t0, hr.t1', 'dev', '2 h', 'x')});
	my $err = (as('anna', "SELECT jit_revoke($one)"))[1];
	like($err, qr/WARNING:  .*dev still has SELECT ON hr\.t0 by request $both/, 'what is left of the same');
	unlike($err, qr/hr\.t1|request $two\b/, '... and of nothing else');
	ok_as('anna', "SELECT jit_revoke(n) FROM unnest('{$two,$both}'::int[]) n");
};

# ---- whose ledger a hint tells

attack "in another's SECURITY DEFINER function" => sub {
	my ($out, $err) = as('dev', 'SELECT s.definer()');
	like($err, qr/ERROR:  42501: permission denied for table salary\nCONTEXT: /, 'no hint') or diag $err;
	like((as('temp', 'SELECT s.definer()'))[1], $MINE, 'its owner has one');
};
attack "in another's view" => sub {
	unlike((as('dev', 'SELECT * FROM s.of_owner'))[1], qr/HINT/, 'with its owner\'s rights: no hint');
	like((as('dev', 'SELECT * FROM s.of_reader'))[1], qr/HINT:  Request $of_dev for it/, 'with those of who reads it: theirs');
};
attack "in another's trigger" => sub {
	unlike((as('dev', 'UPDATE s.t SET a = 2'))[1], qr/HINT/, 'with its owner\'s rights: no hint');
	like((as('dev', 'DELETE FROM s.t'))[1], qr/HINT:  Request $of_dev for it/, 'deferred, with those of who commits: theirs');
};
attack "in another's function with the caller's rights" => sub {
	like((as('dev', 'SELECT s.invoker()'))[1], qr/HINT:  Request $of_dev for it/, 'in PL/pgSQL');
	like((as('dev', 'SELECT * FROM s.inlined()'))[1], qr/HINT:  Request $of_dev for it/, 'inlined');
	like((as('eve', 'SELECT s.invoker()'))[1], qr/HINT:  Request (?!$of_dev|$of_temp)\d+ for it/, 'of somebody else, theirs');
};

# ---- what a hint does to what goes on

attack 'a NOTICE with the code of a denial' => sub {
	foreach my $level (qw(NOTICE WARNING LOG INFO DEBUG))
	{
		ok_as('dev', "CREATE FUNCTION s.\L$level\E() RETURNS int IMMUTABLE LANGUAGE plpgsql AS \$\$ BEGIN RAISE $level 'said' USING ERRCODE = '42501'; RETURN 1; END \$\$");
		my ($out, $err) = as('dev', "WITH w AS (SELECT 1) SELECT s.\L$level\E() FROM hr.title, w; SELECT 'alive'");
		unlike($err, qr/XX000|said\nHINT/, "$level, while a query is planned that will be denied");
		is(() = $err =~ /ERROR:  42501: permission denied for table title/g, 1, '... which it is');
	}
};
attack 'a cancellation, in a loop of denials that are caught' => sub {
	my $err = (as('dev', q{SET statement_timeout = '100ms'; SELECT s.denials(40000)}))[1];
	like($err, qr/ERROR:  57014: canceling statement due to statement timeout/, 'statement_timeout');
	my $s = session($node, 'dev', 'hr_prod');
	$s->begin('SELECT s.denials(40000)');
	select(undef, undef, undef, 0.1);
	super("SELECT pg_cancel_backend($s->{pid})");
	like(ends_within($s, 5, 'pg_cancel_backend()') ? ($s->end)[1] : '', qr/57014: canceling statement due to user request/, '... once');
};
attack 'the end of access, in a loop of denials that are caught' => sub {
	my $id = ok_as($admin, q{SELECT jit_grant('SELECT ON hr.title', 'dev', '2 s', 'x')});
	super('INSERT INTO hr.title VALUES (1)');
	my ($out, $err) = as('dev', q{SET statement_timeout = '10s'; SELECT s.denials(1000000 + a) FROM hr.title});
	like($err, $CUT_OFF, 'it is cut off');
};
attack 'the error, its fields, and the log' => sub {
	$node->safe_psql('postgres', q{CREATE DATABASE bare OWNER hr_owner});
	$node->safe_psql('bare', q{SET ROLE hr_owner; CREATE SCHEMA hr; GRANT USAGE ON SCHEMA hr TO PUBLIC; CREATE TABLE hr.salary (emp_no int, amount int)});
	foreach my $query ('SELECT * FROM hr.salary', 'COPY hr.salary TO STDOUT', 'UPDATE hr.salary SET amount = 1', 'DO $$ BEGIN PERFORM * FROM hr.salary; END $$',
		'PREPARE p AS SELECT * FROM hr.salary; EXECUTE p', 'EXPLAIN ANALYZE SELECT * FROM hr.salary', 'DECLARE c CURSOR WITH HOLD FOR SELECT * FROM hr.salary',
		'BEGIN; DECLARE c CURSOR FOR SELECT 1; FETCH c; SAVEPOINT a; SELECT * FROM hr.salary', 'SET exit_on_error = on; SELECT * FROM hr.salary')
	{
		my $from = -s $node->logfile;
		my $here = (as('dev', $query))[1];
		my $log = slurp_file($node->logfile, $from);
		my $bare = (sql($node, 'dev', $query, 'bare'))[1];
		like($here, qr/HINT/, "$query: there is a hint");
		is($here =~ s/HINT: .*\n//r, $bare, '... and else PostgreSQL\'s error');
		is(() = $log =~ /(?:ERROR|FATAL):  permission denied for table salary/g, 1, '... logged once');
		like($log, qr/STATEMENT: .*(salary|EXECUTE p)/, '... with the statement');
	}
};
attack 'where no subtransaction can be' => sub {
	ok_as('temp', q{CREATE FUNCTION s.parallel(int) RETURNS bigint PARALLEL SAFE LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM hr.salary); END'});
	my $mode = $node->safe_psql('postgres', 'SHOW server_version_num') >= 160000 ? 'debug_parallel_query' : 'force_parallel_mode';
	foreach my $sql ("SET $mode = on; SELECT s.parallel(1)", "SET $mode = on; SELECT s.parallel(a) FROM s.t",
		'BEGIN; DELETE FROM s.t; COMMIT', q{BEGIN; DELETE FROM s.t; PREPARE TRANSACTION 'p'}, 'BEGIN; DELETE FROM s.t; SET CONSTRAINTS ALL IMMEDIATE')
	{
		my ($out, $err) = as('dev', $sql);
		like($err, qr/ERROR:  42501: permission denied for table salary/, $sql);
		unlike($err, qr/FATAL|XX000|25000/, '... and nothing else');
	}
	is(super('SELECT (SELECT count(*) FROM s.t), (SELECT count(*) FROM pg_prepared_xacts)'), '1|0', 'all of it is undone');
};
attack 'settings, before and after' => sub {
	foreach my $begin ('', 'BEGIN;', 'BEGIN READ ONLY;', 'BEGIN ISOLATION LEVEL SERIALIZABLE; SAVEPOINT a;')
	{
		is(ok_as('dev', qq{SET lock_timeout = '1s'; SET search_path = s; $begin DO \$\$ BEGIN PERFORM s.denials(5); END \$\$; SELECT current_setting('lock_timeout'), current_setting('search_path'), current_user}), '1s|s|dev', "after denials that were caught: $begin");
	}
};
attack 'many denials' => sub {
	super(q{CREATE FUNCTION s.memory() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT sum(total_bytes)::bigint FROM pg_catalog.pg_backend_memory_contexts'});
	my $n = storm(30_000);
	my ($before, $after) = split /\|/, ok_as('dev', "DO \$\$ BEGIN PERFORM s.denials(500); END \$\$; CREATE TEMP TABLE m AS SELECT s.memory() AS before;
		DO \$\$ BEGIN PERFORM s.denials($n); END \$\$; SELECT before, s.memory() FROM m");
	cmp_ok($after - $before, '<', 200_000, "$n of them leave no memory behind");
	is(super("SELECT count(*) FROM pg_locks WHERE relation = 'jit.requests'::regclass"), 0, '... and no lock');
};

$node->stop;
all_attacks_done();
done_testing();
