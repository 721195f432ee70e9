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
# What is used in a later statement goes on where jit_functions_kept() says no,
# a domain where resume_loose() does nothing.  The function whose end was seen
# before it was called is called where jit_note_reliance() takes in nothing; the
# plan that is pruned for long runs where nothing is "missed"; and the many
# writes are all remembered where same_need() says no.  The role that an
# expression sets is used on where check_object_access() doesn't note it.  Without words in
# jit_executor_run() a query that only calls functions is cut off by "user request".
# Without between_statements() a session is woken all the time between its statements;
# where that asks for the wait event alone, a COPY goes on.  Without fired_statement
# a later statement is told of an end that came in the last moment of an earlier one.
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
	CREATE TABLE triggering (x int); GRANT INSERT ON triggering TO PUBLIC;
	CREATE FUNCTION on_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	DECLARE x int; y text; BEGIN x := secret(); y := pg_try_advisory_xact_lock(1); RETURN NEW; END $$;
	ALTER FUNCTION on_row() OWNER TO dev;
	CREATE TRIGGER on_row BEFORE INSERT ON triggering FOR EACH ROW EXECUTE FUNCTION on_row();
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
	my $id = grant_access($node, 'EXECUTE ON FUNCTION secret()', 'dev', $how eq 'deadline' ? '6 s' : '1 h');
	ok($node->poll_query_until('postgres', $used), "$how: it has found it");
	revoke_access($node, $id) if $how eq 'revocation';
	ok(wait_until(sub { $s->ended }, 30), "$how: it ends") or $node->safe_psql('postgres', "SELECT pg_terminate_backend($s->{pid})");
	like(($s->end)[1], qr/ERROR:  57014/, "$how: it is cut off");
	is($s->do('SELECT 1'), '1', "$how: the session goes on");
	$s->quit;
}

# an expression that was kept
my $s = session($node, 'dev');
my $id = grant_access($node, 'EXECUTE ON FUNCTION secret()', 'dev', '6 s');
like($s->do('BEGIN; SELECT wrapper() > 0'), qr/t/, 'a function in an expression');
wait_for_deadline($node, $id);
like(($s->do('SELECT wrapper()'))[1], qr/ERROR:  42501: permission denied for function secret/, '... denied after the deadline in the same transaction');
$s->do('ROLLBACK');
$s->quit;

# ... and used by a later statement, which asks for nothing
$node->safe_psql('postgres', q{
	CREATE DOMAIN positive AS int CHECK (secret() > 0); CREATE TYPE checked AS (x positive);
	CREATE FUNCTION public_wrapper(int) RETURNS int LANGUAGE plpgsql AS 'DECLARE x int; BEGIN x := secret(); RETURN x; END'
});
for my $how ('deadline', 'revocation')
{
	my $loop = 'LOOP x := wrapper(); END LOOP';
	my %later = (
		'a DO block' => [ 'SELECT wrapper() > 0', "DO \$\$ DECLARE x int; BEGIN $loop; END \$\$" ],
		'a cursor' => [ 'DECLARE c CURSOR FOR SELECT public_wrapper(1) FROM generate_series(1, 100000) x, generate_series(1, 100000) y; FETCH 1 FROM c', 'MOVE ALL IN c' ],
		'a domain that a cursor keeps' => [ q{DECLARE c CURSOR FOR SELECT json_populate_record(NULL::checked, '{"x": 1}') FROM generate_series(1, 100000) x, generate_series(1, 100000) y; FETCH 1 FROM c}, 'MOVE ALL IN c' ],
	);
	# all at the same time, by one grant
	my @names = sort keys %later;
	my %runs = map { $_ => session($node, 'dev') } @names;
	my %rests = map { $_ => session($node, 'dev') } @names;
	my $id = grant_access($node, 'EXECUTE ON FUNCTION secret()', 'dev', $how eq 'deadline' ? '7 s' : '1 h');
	for my $name (@names)
	{
		is(($_->do("BEGIN; $later{$name}[0]"))[1], '', "$how: $name, before") for $runs{$name}, $rests{$name};
	}
	for my $name (@names)
	{
		$runs{$name}->begin($later{$name}[1]);
		$rests{$name}->begin('SELECT pg_sleep(600)');
	}
	for my $name (@names)
	{
		ok($node->poll_query_until('postgres', "SELECT count(*) = 2 FROM pg_stat_activity WHERE pid IN ($runs{$name}{pid}, $rests{$name}{pid}) AND query !~ '^BEGIN' AND state = 'active'"), "$how: $name runs");
	}
	if ($how eq 'deadline') { wait_for_deadline($node, $id); }
	else { revoke_access($node, $id); }
	for my $name (@names)
	{
		my ($runs, $rests) = ($runs{$name}, $rests{$name});
		ok(wait_until(sub { $runs->ended }, 30), "$how: $name uses it no longer") or $node->safe_psql('postgres', "SELECT pg_cancel_backend($runs->{pid})");
		like(($runs->end)[1], qr/ERROR:  (57014|42501)/, '... and is cut off or denied');
		ok(!$rests->ended, "$how: a later statement that does not use it runs on");
		$node->safe_psql('postgres', "SELECT pg_cancel_backend($rests->{pid})");
		$rests->end;
		$_->quit for $runs, $rests;
	}
	sweep($node);
}

# ... by a role that an expression sets
$node->safe_psql('postgres', q{
	CREATE ROLE caller; CREATE FUNCTION of_caller() RETURNS int LANGUAGE internal VOLATILE AS 'pg_backend_pid';
	REVOKE EXECUTE ON FUNCTION of_caller() FROM PUBLIC; GRANT EXECUTE ON FUNCTION of_caller() TO caller;
	CREATE FUNCTION as_caller(int) RETURNS int LANGUAGE plpgsql AS $$ DECLARE x int; y text; BEGIN
		y := set_config('role', 'caller', true);
		WHILE x IS NULL OR $1 = 0 LOOP x := of_caller(); END LOOP;
		y := set_config('role', 'none', true); RETURN x; END $$;
});
for my $how ('deadline', 'revocation')
{
	my $s = session($node, 'dev');
	my $id = grant_access($node, 'caller', 'dev', $how eq 'deadline' ? '7 s' : '1 h');
	like($s->do('SELECT as_caller(1)'), qr/^\d+$/, "$how: a role set in an expression, before");
	$s->begin('SELECT as_caller(0)');
	ok($node->poll_query_until('postgres', "SELECT state = 'active' FROM pg_stat_activity WHERE pid = $s->{pid}"), '... runs');
	if ($how eq 'deadline') { wait_for_deadline($node, $id); }
	else { revoke_access($node, $id); }
	ok(wait_until(sub { $s->ended }, 30), "$how: it ends") or $node->safe_psql('postgres', "SELECT pg_cancel_backend($s->{pid})");
	like(($s->end)[1], qr/ERROR:  57014/, "$how: it is cut off");
	like(($s->do('SELECT as_caller(1)'))[1], qr/ERROR:  (42501|22023): permission denied/, "$how: and denied");
	$s->quit;
	sweep($node);
}

# Between two statements of a transaction nothing is at work, and what ends
# meanwhile is none of a later statement's, which relies on nothing.
sub wakeups
{
	my ($pid) = @_;
	return slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m ? $1 : undef;
}
my $use = 'DO $$ DECLARE x int; BEGIN x := secret(); END $$';
for my $how ('deadline', 'revocation')
{
	$s = session($node, 'dev');
	my $id = grant_access($node, 'EXECUTE ON FUNCTION secret()', 'dev', $how eq 'deadline' ? '5 s' : '1 h');
	is(($s->do("BEGIN; $use"))[1], '', "$how: a function in an expression, before");
	SKIP:
	{
		skip 'needs /proc', 1 unless -r "/proc/$s->{pid}/status";
		Time::HiRes::sleep(0.2);
		my $before = wakeups($s->{pid});
		Time::HiRes::sleep(1);
		cmp_ok(wakeups($s->{pid}) - $before, '<', 5, "$how: the session sleeps between its statements");
	}
	if ($how eq 'deadline') { wait_for_deadline($node, $id); }
	else { revoke_access($node, $id); }
	Time::HiRes::sleep(0.1);
	my ($out, $err) = $s->do(q{SET LOCAL statement_timeout = '300ms'; SELECT pg_sleep(60)});
	like($err, qr/ERROR:  57014: canceling statement due to statement timeout\n(?!.*temporary access)/s, "$how: it is said that a later statement took too long");
	$s->do('ROLLBACK');
	like(($s->do($use))[1], qr/ERROR:  42501: permission denied for function secret/, "$how: and the access has ended");
	$s->quit;
	sweep($node);
}

# ... also where the end comes in the last moment of a statement, which the
# timer sees but the statement doesn't
$s = session($node, 'dev');
$id = grant_access($node, 'EXECUTE ON FUNCTION secret()', 'dev', '1 h');
is(($s->do("BEGIN; $use"))[1], '', 'a function in an expression, before a last moment');
my $long = join(' || ', ('md5(y)') x 20);
$s->do("DECLARE c CURSOR FOR SELECT length($long) FROM (SELECT public_wrapper(1), repeat('x', 50000000) AS y OFFSET 0) s");
$s->begin('FETCH 1 FROM c');
ok($node->poll_query_until('postgres', "SELECT state = 'active' FROM pg_stat_activity WHERE pid = $s->{pid} AND query ~ '^FETCH'"), 'one that does not look for interrupts runs');
revoke_access($node, $id);
is_deeply([ $s->end ], [ '640', '' ], '... past the end, which comes in its last moment');
like(($s->do(q{SET LOCAL statement_timeout = '300ms'; SELECT pg_sleep(60)}))[1], qr/ERROR:  57014: canceling statement due to statement timeout\n(?!.*temporary access)/s, '... and a later statement that takes too long is told so');
$s->quit;

# ... but a COPY that waits for its client is still at work
$s = session($node, 'other');
$id = grant_access($node, 'EXECUTE ON FUNCTION secret()', 'dev', '1 h');
$s->{in} .= "COPY triggering FROM STDIN;\n" . "1\n" x 20000;
my $waits = "SELECT wait_event = 'ClientRead' AND state = 'active' AND EXISTS (SELECT FROM pg_locks WHERE pid = $s->{pid} AND locktype = 'advisory') FROM pg_stat_activity WHERE pid = $s->{pid}";
ok(wait_until(sub { $s->{run}->pump_nb; $node->safe_psql('postgres', $waits) eq 't' }), 'COPY whose trigger calls a function waits for its client');
revoke_access($node, $id);
Time::HiRes::sleep(0.2);
$s->{in} .= ("1\n" x 20000) . "\\.\n";
$s->begin('SELECT 1');
like(($s->end)[1], qr/ERROR:  57014/, '... and is cut off');
$s->quit;

# the function-call protocol
my $by_protocol = session($node, 'dev');
my $file = $node->basedir . '/lo';
my $export = "\\lo_export 4711 '$file'\n;";
like(($by_protocol->do($export))[1], qr/permission denied for function lo_open/, 'a function by protocol');
my $lo_open = $node->safe_psql('postgres', q{SELECT jit_grant('EXECUTE ON FUNCTION lo_open(oid, integer)', 'dev', '6 s', 'x')});
is(($by_protocol->do($export))[1], '', '... with access');

# a query that relies on nothing but what is called in expressions
$node->safe_psql('postgres', q{
	CREATE FUNCTION for_long() RETURNS int LANGUAGE plpgsql AS $$ DECLARE x int; BEGIN LOOP x := secret(); END LOOP; END $$});
$s = session($node, 'dev');
$id = grant_access($node, 'EXECUTE ON FUNCTION secret()', 'dev', '6 s');
like(($s->do('SELECT for_long()'))[1], qr/${CUT_OFF}DETAIL:  Request $id in postgres expired at .*\nHINT:  Ask for access anew/, 'it is said why a query is cut off that only calls functions');
$s->quit;

# ... which the other has come to meanwhile
wait_for_deadline($node, $lo_open);
like(($by_protocol->do($export))[1], qr/permission denied for function lo_open/, '... denied after the deadline');
$by_protocol->quit;

# a function that is called while ExecutorStart prunes partitions
$s = session($node, 'other');
$id = grant_access($node, 'EXECUTE ON FUNCTION secret()', 'dev', '1 h');
for (1 .. 20)
{
	is(($s->do('SELECT y FROM part WHERE x = of_dev()'))[0], 'one', 'a function of another user prunes') or last;
}
$s->quit;

# A function that is called after its end, which the backend knows of by the
# ring but hasn't taken in from the catalogs, since nothing was opened since.
$node->safe_psql('postgres', q{
	CREATE FUNCTION secret2() RETURNS int LANGUAGE internal VOLATILE AS 'pg_backend_pid';
	REVOKE EXECUTE ON FUNCTION secret2() FROM PUBLIC;
	CREATE FUNCTION use_both(int) RETURNS int LANGUAGE plpgsql AS $$ DECLARE x text; BEGIN
		x := secret(); x := pg_advisory_lock($1)::text; x := secret2(); RETURN 1; END $$;
	CREATE TABLE prunes (x int); INSERT INTO prunes VALUES (1);
	CREATE TABLE prunes_too (x int); INSERT INTO prunes_too VALUES (1);
	CREATE FUNCTION pruning() RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN
		PERFORM pg_advisory_lock(9) FROM prunes_too; PERFORM pg_advisory_unlock(9); RETURN 1; END $$;
	CREATE TABLE pruned (x int, y text) PARTITION BY LIST (x);
	CREATE TABLE pruned1 PARTITION OF pruned FOR VALUES IN (1);
	CREATE TABLE pruned2 PARTITION OF pruned FOR VALUES IN (2);
	INSERT INTO pruned VALUES (1, 'one'), (2, 'two');
});
my $lock = session($node, 'postgres');
my $cut = session($node, 'dev');
$s = session($node, 'dev');
my $id2 = grant_access($node, 'EXECUTE ON FUNCTION secret2()', 'dev', '1 h');
is($s->do('SELECT use_both(0)'), '1', 'two functions, before');
$lock->do('SELECT pg_advisory_lock(7)');
$s->begin('SELECT use_both(7)');
$cut->begin('DO $$ DECLARE x int; BEGIN x := secret2(); PERFORM pg_advisory_xact_lock(8); LOOP x := secret2(); END LOOP; END $$');
ok($node->poll_query_until('postgres', "SELECT count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND (pid = $s->{pid} AND NOT granted OR pid = $cut->{pid} AND granted)"), 'it waits, and another runs');
revoke_access($node, $id2);
like(($cut->end)[1], qr/ERROR:  57014/, 'another is cut off');
$lock->do('SELECT pg_advisory_unlock(7)');
like(($s->end)[1], qr/ERROR:  42501: permission denied for function secret2/, 'the second function is denied after its end');

# A statement whose start takes long, and runs another that looks at the ring.
$id2 = grant_access($node, 'SELECT ON pruned', 'dev', '1 h');
my $id3 = grant_access($node, 'SELECT ON prunes_too', 'dev', '1 h');
$s->do('SET plan_cache_mode = force_generic_plan; PREPARE pruned AS SELECT y FROM pruned WHERE x = pruning()');
is($s->do('EXECUTE pruned'), 'one', 'a function prunes, before');
$lock->do('SELECT pg_advisory_lock(9)');
$s->begin('EXECUTE pruned');
$cut->begin('SELECT pg_sleep(600) FROM pruned');
ok($node->poll_query_until('postgres', "SELECT count(*) = 2 FROM pg_stat_activity WHERE pid IN ($s->{pid}, $cut->{pid}) AND wait_event IN ('advisory', 'PgSleep')"), 'it waits');
revoke_access($node, $id2);
like(($cut->end)[1], $CUT_OFF, 'another is cut off');
$lock->do('SELECT pg_advisory_unlock(9)');
is_deeply([ ($s->end)[0], ($s->{last_err} =~ /ERROR:  (42501|57014)/ ? 1 : 0) ], [ '', 1 ], 'it is denied after its end');
revoke_access($node, $id3);
$_->quit for $s, $cut, $lock;

# what is done over and over is remembered once
$id2 = grant_access($node, 'INSERT ON prunes; EXECUTE ON FUNCTION secret2()', 'dev', '1 h');
is($node->safe_psql('postgres', q{
	BEGIN; SET SESSION AUTHORIZATION dev;
	DO $$ BEGIN FOR i IN 1 .. 5000 LOOP EXECUTE 'INSERT INTO prunes VALUES (secret2())'; END LOOP; END $$;
	RESET SESSION AUTHORIZATION;
	SELECT used_bytes < 100000 FROM pg_backend_memory_contexts WHERE name = 'TopTransactionContext'; ROLLBACK}), 't', 'many writes need little memory');
revoke_access($node, $id2);

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
	$id = grant_access($node, 'EXECUTE ON FUNCTION secret()', 'dev', $how eq 'deadline' ? '6 s' : '1 h');
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

# the functions of an aggregate are its owner's to have, whoever calls it
$node->safe_psql('postgres', q{
	CREATE FUNCTION add(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + $2';
	REVOKE EXECUTE ON FUNCTION add(int, int) FROM PUBLIC;
	CREATE SCHEMA AUTHORIZATION dev; GRANT USAGE ON SCHEMA dev TO PUBLIC});
stop_launcher($node);
$id = grant_access($node, 'EXECUTE ON FUNCTION add(int, int)', 'dev', '6 s');
sql($node, 'dev', q{CREATE AGGREGATE dev.total(int) (sfunc = add, stype = int, initcond = '0')});
$s = session($node, 'other');
is($s->do('SELECT dev.total(x) FROM generate_series(1, 3) x'), '6', 'an aggregate over a function that its owner has for now');
wait_for_deadline($node, $id);
like(($s->do("SELECT dev.total(x) $_ FROM generate_series(1, 3) x"))[1], qr/permission denied for function add\nDETAIL:  Request $id in postgres expired/, '... is denied after the deadline' . ($_ ? ' in a window, too' : ''))
  for ('', 'OVER ()');
$s->quit;
continue_launcher();

unlike(slurp_file($node->logfile), qr/terminated by signal|TRAP|resource leak|reference leak/i, 'no crash and no leak in the log');
$node->stop;
done_testing();
