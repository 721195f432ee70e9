# The right to call a function ends with the access also where PostgreSQL
# doesn't ask for it again: PL/pgSQL keeps expressions ready to run for a whole
# transaction, and the function-call protocol plans nothing.
#
# The launcher is stopped: roles stay past their deadline.
#
# Seen to fail: without "loose" in cutoff.c the DO blocks go on; without
# jit_forget_ended_plans() the kept expression does; what comes to be used when
# nothing is left, where check_function() doesn't ask beforehand who counts; the
# owner's, where jit_object_access() asks only whether there is a quiet user.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('kept');
$node->safe_psql('postgres', q{
	CREATE ROLE dev LOGIN; CREATE ROLE other LOGIN; CREATE TABLE seen (x int); GRANT ALL ON seen TO PUBLIC;
	CREATE FUNCTION secret() RETURNS int LANGUAGE internal VOLATILE AS 'pg_backend_pid';
	REVOKE EXECUTE ON FUNCTION secret() FROM PUBLIC;
	REVOKE EXECUTE ON FUNCTION lo_open(oid, int) FROM PUBLIC;
	CREATE FUNCTION wrapper() RETURNS int LANGUAGE plpgsql AS $$ DECLARE x int; BEGIN x := secret(); RETURN x; END $$;
	CREATE FUNCTION of_dev() RETURNS int STABLE SECURITY DEFINER LANGUAGE plpgsql AS $$ DECLARE x int; BEGIN x := secret(); RETURN 1; END $$;
	ALTER FUNCTION of_dev() OWNER TO dev;
	CREATE TABLE part (x int, y text) PARTITION BY LIST (x);
	CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1);
	CREATE TABLE part2 PARTITION OF part FOR VALUES IN (2);
	INSERT INTO part VALUES (1, 'one'), (2, 'two'); GRANT SELECT ON part TO PUBLIC;
	SELECT lo_from_bytea(4711, 'x'); GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC;
});

# Tries until it works, and goes on until it is stopped.  The catalogs that it
# has to open let it see the grant; nothing is planned or started meanwhile.
my $loop = q{DO $$
	DECLARE x int; n int := 0; size bigint;
		catalogs oid[] = (SELECT array_agg(oid ORDER BY oid) FROM pg_class
			WHERE relkind = 'i' AND relnamespace = 'pg_catalog'::regnamespace);
	BEGIN
		LOOP
			BEGIN x := secret(); EXIT;
			EXCEPTION WHEN insufficient_privilege THEN n := n % array_length(catalogs, 1) + 1; END;
			size := pg_relation_size(catalogs[n]);
		END LOOP;
		PERFORM pg_advisory_lock(4711);
		LOOP x := secret(); END LOOP;
	END $$};
my $used = q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND granted};

stop_launcher($node);
for my $how ('deadline', 'revocation')
{
	my $s = session($node, 'dev');
	$s->begin($loop);
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'DO %' AND usename = 'dev' AND state = 'active'}), "$how: a DO block began before the access");
	my $id = grant_access($node, 'EXECUTE ON FUNCTION secret()', 'dev', $how eq 'deadline' ? '3 s' : '1 h');
	ok($node->poll_query_until('postgres', $used), "$how: it has found it");
	revoke_access($node, $id) if $how eq 'revocation';
	ok(wait_until(sub { $s->ended }, 30), "$how: it ends") or $node->safe_psql('postgres', "SELECT pg_terminate_backend($s->{pid})");
	like(($s->end)[1], qr/ERROR:  57014/, "$how: it is cut off");
	is($s->do('SELECT 1'), '1', "$how: the session goes on");
	$s->quit;
}

# an expression that was kept
my $s = session($node, 'dev');
my $id = grant_access($node, 'EXECUTE ON FUNCTION secret()', 'dev', '3 s');
like($s->do('BEGIN; SELECT wrapper() > 0'), qr/t/, 'a function in an expression');
wait_for_deadline($node, $id);
like(($s->do('SELECT wrapper()'))[1], qr/ERROR:  42501: permission denied for function secret/, '... denied after the deadline in the same transaction');
$s->do('ROLLBACK');
$s->quit;

# the function-call protocol
$s = session($node, 'dev');
my $file = $node->basedir . '/lo';
my $export = "\\lo_export 4711 '$file'\n;";
like(($s->do($export))[1], qr/permission denied for function lo_open/, 'a function by protocol');
$id = $node->safe_psql('postgres', q{SELECT jit_grant('EXECUTE ON FUNCTION lo_open(oid, integer)', 'dev', '3 s', 'x')});
is(($s->do($export))[1], '', '... with access');
wait_for_deadline($node, $id);
like(($s->do($export))[1], qr/permission denied for function lo_open/, '... denied after the deadline');
$s->quit;

# a function that is called while ExecutorStart prunes partitions
$s = session($node, 'other');
$id = grant_access($node, 'EXECUTE ON FUNCTION secret()', 'dev', '1 h');
for (1 .. 20)
{
	is(($s->do('SELECT y FROM part WHERE x = of_dev()'))[0], 'one', 'a function of another user prunes') or last;
}
$s->quit;

# a kept expression that comes to be used when nothing is left to be judged
revoke_access($node, $id);
continue_launcher();
$node->safe_psql('postgres', q{
	CREATE FUNCTION later(int) RETURNS text LANGUAGE plpgsql AS $$ DECLARE x text; BEGIN
		x := pg_advisory_lock($1)::text; x := secret(); RETURN x; END $$});
for my $how ('deadline', 'revocation')
{
	my $lock = session($node, 'postgres');
	$lock->do('SELECT pg_advisory_lock(7)');
	$s = session($node, 'dev');
	$id = grant_access($node, 'EXECUTE ON FUNCTION secret()', 'dev', $how eq 'deadline' ? '3 s' : '1 h');
	like($s->do('SELECT later(0)'), qr/^\d+$/, "$how: a function before");
	$s->begin('SELECT later(7)');
	ok($node->poll_query_until('postgres', "SELECT wait_event = 'advisory' FROM pg_stat_activity WHERE pid = $s->{pid}"), "$how: it waits");
	revoke_access($node, $id) if $how eq 'revocation';
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit_grant_%' AND oid = (SELECT max(role_oid) FROM jit.grants)}), "$how: the role is gone");
	$lock->quit;
	like(($s->end)[1], qr/ERROR:  42501: permission denied for function secret/, "$how: it is denied");
	$s->quit;
}

# by the owner of a function, who has got the access since a session without
# any had kept the expression; nothing else in there looks at the owner
$node->safe_psql('postgres', q{
	CREATE ROLE owner;
	CREATE FUNCTION of_owner() RETURNS int SECURITY DEFINER SET search_path = '' LANGUAGE plpgsql AS $$
	DECLARE x int; BEGIN x := public.secret(); RETURN x; END $$;
	ALTER FUNCTION of_owner() OWNER TO owner});
# the first access changes the function's privileges, and with them the plan
revoke_access($node, grant_access($node, 'EXECUTE ON FUNCTION secret()', 'owner', '1 h'));
stop_launcher($node);
$s = session($node, 'other');
like(($s->do('SELECT of_owner()'))[1], qr/permission denied for function secret/, 'the owner of a function has no access yet');
$id = grant_access($node, 'EXECUTE ON FUNCTION secret()', 'owner', '3 s');
is($s->do('SELECT 1'), '1', '... gets some, without using it');
wait_for_deadline($node, $id);
like(($s->do('SELECT of_owner()'))[1], qr/permission denied for function secret\nDETAIL:  Request $id in postgres expired/, '... and is denied after the deadline');
$s->quit;
continue_launcher();

unlike(slurp_file($node->logfile), qr/terminated by signal|TRAP|resource leak|reference leak/i, 'no crash and no leak in the log');
$node->stop;
done_testing();
