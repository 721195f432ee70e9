# A running statement that relies on temporary access is cut off at the
# deadline and at a revocation, in every kind of statement, and one that
# doesn't rely on it runs on.
#
# Guards the timers and the stack of running statements in cutoff.c, and for
# revocations the ring of changes.  All kinds run at the same time, in
# sessions that go through both ends.  The launcher is stopped, so nothing
# but the backend's own timers can be at work.
#
# Seen to fail: with cut_off() in timer_handler() taken out nothing ends at
# the deadline; without that in cutoff_subxact_callback() the stubborn function
# goes on; without note_set_role_reliance() what runs under SET ROLE does;
# without DoStmt, RefreshMatViewStmt, AlterTableStmt and LockStmt in may_rely()
# these do.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('running', 'max_parallel_workers = 8');
$node->safe_psql('postgres', q{
	CREATE ROLE reader; CREATE ROLE mv_owner;
	CREATE ROLE dev LOGIN; CREATE ROLE other LOGIN; CREATE ROLE view_owner;
	CREATE TABLE secret AS SELECT i AS x, repeat(md5(i::text), 200) AS filler FROM generate_series(1, 1000) i;
	ALTER TABLE secret ALTER filler SET STORAGE EXTERNAL;
	CREATE TABLE of_reader AS TABLE secret; GRANT SELECT ON of_reader TO reader;
	CREATE TABLE open AS TABLE secret; GRANT SELECT ON open TO PUBLIC;
	CREATE TABLE part (x int) PARTITION BY LIST (x);
	CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1);
	CREATE TABLE part2 PARTITION OF part FOR VALUES IN (2);
	INSERT INTO part VALUES (1), (2);
	ANALYZE;
	CREATE VIEW v AS SELECT x FROM secret; ALTER VIEW v OWNER TO view_owner;
	GRANT SELECT ON v TO other;
	CREATE FUNCTION secret_fn() RETURNS int LANGUAGE plpgsql AS $$
	BEGIN PERFORM pg_sleep(600); RETURN 1; END $$;
	REVOKE EXECUTE ON FUNCTION secret_fn() FROM PUBLIC;
	CREATE FUNCTION of_user() RETURNS int LANGUAGE plpgsql AS $$
	BEGIN PERFORM pg_sleep(600) FROM secret; RETURN 1; END $$;
	CREATE FUNCTION of_user_sql() RETURNS void LANGUAGE sql VOLATILE AS 'SELECT pg_sleep(600) FROM secret LIMIT 10';
	CREATE FUNCTION stubborn(int) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1 .. 10000 LOOP
			BEGIN PERFORM pg_sleep(0.05);
			EXCEPTION WHEN query_canceled OR others THEN NULL; END;
		END LOOP;
		RETURN $1;
	END $$;
	CREATE FUNCTION one() RETURNS int LANGUAGE plpgsql STABLE AS $$
	DECLARE result int;
	BEGIN
		BEGIN
			SELECT 1 INTO STRICT result FROM open LIMIT 1;
			PERFORM 1 / 0;
		EXCEPTION WHEN division_by_zero THEN NULL; END;
		RETURN result;
	END $$;
	CREATE PROCEDURE committing() LANGUAGE plpgsql AS $$
	BEGIN LOOP PERFORM count(*) FROM secret; COMMIT; END LOOP; END $$;
	CREATE PROCEDURE sleeping() LANGUAGE plpgsql AS $$
	BEGIN COMMIT; PERFORM pg_sleep(600) FROM secret; COMMIT; END $$;
	CREATE MATERIALIZED VIEW mv AS SELECT pg_sleep(600)::text FROM secret WITH NO DATA;
	ALTER MATERIALIZED VIEW mv OWNER TO dev;
	CREATE MATERIALIZED VIEW other_mv AS SELECT pg_sleep(600)::text FROM open WITH NO DATA;
	ALTER MATERIALIZED VIEW other_mv OWNER TO mv_owner;
	CREATE TABLE wide (x int); INSERT INTO wide VALUES (1); ALTER TABLE wide OWNER TO reader;
	CREATE TABLE locked (x int);
	CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN $1; END $$;
	CREATE FUNCTION log_change() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN PERFORM pg_sleep(600); RETURN NULL; END $$;
	CREATE TRIGGER slow AFTER UPDATE ON secret FOR EACH ROW EXECUTE FUNCTION log_change();
});
my $access = 'UPDATE ON locked; SELECT, UPDATE ON secret; SELECT ON part; EXECUTE ON FUNCTION secret_fn(); reader; mv_owner';

# name, user, statement, what else it may end in
my $denied = qr/ERROR:  42501: permission denied(?: for table secret|: the temporary access that this statement relies on has ended)/;
my @cases = (
	[ 'SELECT', 'dev', 'SELECT pg_sleep(600) FROM secret' ],
	[ 'SELECT that computes', 'dev', 'SELECT count(*) FROM secret a, secret b, secret c, secret d' ],
	[ 'sort', 'dev', 'SELECT pg_sleep(0.1 + 0 * a.x)::text FROM secret a ORDER BY 1' ],
	[ 'function', 'dev', 'SELECT of_user()' ],
	[ 'SQL function', 'dev', 'SELECT of_user_sql()' ],
	[ 'statement in DO', 'dev', 'DO $$ BEGIN PERFORM pg_sleep(600) FROM secret; END $$' ],
	[ 'many statements in DO', 'dev', 'DO $$ BEGIN LOOP PERFORM count(*) FROM secret; END LOOP; END $$', $denied ],
	[ 'procedure that commits', 'dev', 'CALL committing()', $denied ],
	[ 'procedure that has committed', 'dev', 'CALL sleeping()' ],
	[ 'parallel plan', 'dev', 'SELECT count(pg_sleep(0.5)) FROM secret' ],
	[ 'COPY of a table', 'dev', 'COPY secret TO STDOUT \g |while read -r l; do sleep 0.1; done' ],
	[ 'COPY of a query', 'dev', 'COPY (SELECT pg_sleep(600) FROM secret) TO STDOUT' ],
	[ 'CREATE TABLE AS', 'dev', 'CREATE TEMP TABLE made AS SELECT pg_sleep(600)::text::text FROM secret' ],
	[ 'REFRESH', 'dev', 'REFRESH MATERIALIZED VIEW mv' ],
	[ 'REFRESH by a member of the owner', 'dev', 'REFRESH MATERIALIZED VIEW other_mv' ],
	[ 'EXPLAIN ANALYZE', 'dev', 'EXPLAIN ANALYZE SELECT pg_sleep(600) FROM secret' ],
	[ 'cursor being fetched', 'dev', 'BEGIN; DECLARE c CURSOR FOR SELECT pg_sleep(0.05) FROM secret; FETCH ALL FROM c; ROLLBACK' ],
	[ 'AFTER trigger', 'dev', 'UPDATE secret SET x = 1 WHERE x = 1' ],
	[ 'function that catches the cancellation', 'dev', 'SELECT sum(stubborn(x)) FROM secret' ],
	[ 'pruning that runs a function', 'dev', 'SELECT pg_sleep(600) FROM part WHERE x = one()' ],
	[ 'EXECUTE on a function', 'dev', 'SELECT secret_fn()' ],
	[ 'EXECUTE on a function, in DO', 'dev', 'DO $$ DECLARE x int; BEGIN x := secret_fn(); END $$' ],
	[ 'requested role', 'dev', 'SELECT pg_sleep(600) FROM of_reader' ],
	[ 'SET ROLE', 'dev', 'SET ROLE reader; SELECT pg_sleep(600) FROM of_reader; RESET ROLE' ],
	[ 'COPY under SET ROLE', 'dev', 'SET ROLE reader; COPY of_reader TO STDOUT \g |while read -r l; do sleep 0.1; done' ],
	[ 'ALTER TABLE', 'dev', 'ALTER TABLE wide ALTER x TYPE bigint USING slow(x)' ],
	[ 'LOCK TABLE', 'dev', 'BEGIN; LOCK TABLE locked IN EXCLUSIVE MODE' ],
	[ 'view whose owner has the access', 'other', 'SELECT pg_sleep(600) FROM v' ],
);
my @independent = (
	[ 'SELECT', 'dev', 'SELECT pg_sleep(600) FROM open' ],
	[ 'another user', 'other', 'SELECT pg_sleep(600) FROM open' ],
	[ 'DO block that has relied on it', 'dev', 'DO $$ BEGIN PERFORM count(*) FROM secret; PERFORM pg_sleep(600) FROM open; END $$' ],
);
my $active = q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'case' AND backend_type = 'client backend' AND state = 'active'};

stop_launcher($node);
push @$_, session($node, $_->[1]) for @cases, @independent;
my $lock = session($node, 'postgres');
$lock->do('BEGIN; LOCK TABLE locked IN ROW EXCLUSIVE MODE');
for my $case (@cases)
{
	$case->[-1]->do('SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET jit = off')
	  if $case->[0] eq 'parallel plan';
}

# Start all of them under new grants; false if they weren't under way before
# these were over.
sub start_all
{
	my ($duration) = @_;
	my @ids = (grant_access($node, $access, 'dev', $duration),
		grant_access($node, 'SELECT ON secret', 'view_owner', $duration));
	$_->[-1]->begin($_->[2]) for @cases, @independent;
	my $all = @cases + @independent;
	wait_until(sub {
		$_->[-1]->ended for @cases, @independent;
		return $node->safe_psql('postgres', $active) == $all || seconds_left($node, $ids[0]) < 0;
	});
	# what computes should be in the midst of it
	$node->poll_query_until('postgres', q{SELECT clock_timestamp() > max(query_start) + interval '0.2 s' FROM pg_stat_activity WHERE application_name = 'case'});
	# with time for a look at them
	return seconds_left($node, $ids[0]) > 2, @ids;
}

sub check_all
{
	my ($how, $detail, @ids) = @_;
	for my $case (@cases)
	{
		my ($name, $user, $sql, $or) = @$case;
		my $id = $ids[ $user eq 'dev' ? 0 : 1 ];
		if (!wait_until(sub { $case->[-1]->ended }, 60))
		{
			fail("$how: $name goes on");
			$node->safe_psql('postgres', "SELECT pg_terminate_backend($case->[-1]{pid})");
			$case->[-1] = session($node, $user);
			next;
		}
		my ($out, $err) = $case->[-1]->end;
		my $expected = qr/${CUT_OFF}DETAIL:  Request $id in postgres $detail.*\n(HINT|CONTEXT)/;
		$expected = qr/$expected|$or.*\nDETAIL:  Request \d+ in postgres (expired at|was revoked)/ if ref $or eq 'Regexp';
		like($err, $expected, "$how: $name");
		like($err, qr/HINT:  (To ask for it again: SELECT jit_extend\($id\);|Request access: SELECT jit_request\('(SELECT|SELECT, UPDATE) ON public\.\w+', '1 hour', 'why you need it'\);|Ask for access anew)/, "$how: $name: there is a hint")
		  if $err =~ /^(?:$CUT_OFF|$denied)/m;
		$case->[-1]->do('ROLLBACK; RESET ROLE');
	}
	for my $case (@independent)
	{
		ok(!$case->[-1]->ended, "$how: $case->[0] runs on that does not rely on it");
		$node->safe_psql('postgres', "SELECT pg_cancel_backend($case->[-1]{pid})");
		like(($case->[-1]->end)[1], qr/ERROR:  57014: canceling statement due to user request/, '... until somebody cancels it');
	}
	return;
}

for my $duration (6, 20, 60)
{
	my ($in_time, @ids) = start_all("$duration s");
	if (!$in_time)
	{
		$_->[-1]->{run}->pump_nb, $node->safe_psql('postgres', "SELECT pg_cancel_backend($_->[-1]{pid})") for @cases, @independent;
		$_->[-1]->end, $_->[-1]->do('ROLLBACK; RESET ROLE') for @cases, @independent;
		next;
	}
	ok($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'}) eq 't', 'there are parallel workers');
	check_all('deadline', 'expired at', @ids);
	ok(seconds_left($node, $ids[0]) < 0, 'not before the deadline');
	last;
}

sweep($node);
my ($in_time, @ids) = start_all('1 hour');
ok($in_time, 'all run again');
revoke_access($node, $_) for @ids;
check_all('revocation', 'was revoked', @ids);
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'}), '0', 'parallel workers are gone');

# nothing stays behind that cancels what comes later
for my $case (@cases)
{
	is_deeply([ $case->[-1]->do('SELECT count(pg_sleep(0.1)) FROM open WHERE x < 3') ], [ '2', '' ], "the session of $case->[0] goes on");
	$case->[-1]->quit;
}
$_->[-1]->quit for @independent;
$lock->quit;

continue_launcher();
$node->stop;
done_testing();
