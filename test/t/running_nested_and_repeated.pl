# Statements with temporary access, nested deeply or run over and over: what
# is kept of each goes with it, and their number has no limit.
#
# Guards the memory of cutoff.c and its list of what is running.  A SQL function
# keeps its own memory as long as the query that calls it: what its statements
# leave behind is seen there.
#
# Seen to fail: memory, with what a statement relies on not freed by
# jit_keep_reliance() or forget_reliance(), under SET ROLE and with policies
# without memory of its own in find_covers() and without list_free() in
# check_marks(), row by row without that in need_met(); what is nested 100 times,
# with an array of 64 for what is running; each kind of temporary table, with
# their drop noted and judged when a process exits.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('repeated');
$node->safe_psql('postgres', q{
	CREATE ROLE reader; CREATE ROLE dev LOGIN;
	CREATE TABLE secret AS SELECT i AS x FROM generate_series(1, 1000) i;
	CREATE TABLE of_reader (x int); GRANT SELECT ON of_reader TO reader;
	CREATE TABLE open (x int); GRANT SELECT ON open TO PUBLIC;
	CREATE TABLE by_policy (x int); GRANT SELECT ON by_policy TO PUBLIC;
	ALTER TABLE by_policy ENABLE ROW LEVEL SECURITY;
	CREATE POLICY for_reader ON by_policy TO reader USING (true);
	CREATE FUNCTION f_secret(int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT x FROM secret LIMIT 1';
	CREATE FUNCTION f_of_reader(int) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT count(*) FROM of_reader';
	CREATE FUNCTION f_by_policy(int) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT count(*) FROM by_policy';
	CREATE FUNCTION f_open(int) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT count(*) FROM open';
	CREATE FUNCTION f_rows(int) RETURNS SETOF int LANGUAGE sql VOLATILE AS 'SELECT x FROM secret LIMIT $1';
	GRANT SELECT ON pg_backend_memory_contexts TO PUBLIC;
	GRANT EXECUTE ON FUNCTION pg_get_backend_memory_contexts() TO PUBLIC;
	CREATE PROCEDURE nested(int) LANGUAGE plpgsql AS $$ BEGIN
		IF $1 > 1 THEN CALL nested($1 - 1); ELSE PERFORM count(*) FROM open; END IF; END $$;
	CREATE PROCEDURE nested_reading(int) LANGUAGE plpgsql AS $$ BEGIN
		IF $1 > 1 THEN CALL nested_reading($1 - 1); ELSE PERFORM pg_sleep(600) FROM secret; END IF; END $$;
	CREATE FUNCTION deep(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
		RETURN (SELECT CASE WHEN $1 > 1 THEN deep($1 - 1) ELSE x END FROM secret LIMIT 1); END $$;
});

# Memory in use at the end of a query that calls a function so often.
sub memory
{
	my ($s, $function, $n) = @_;
	my ($out, $err) = $s->do(qq{
		SELECT (SELECT sum(used_bytes) FROM pg_backend_memory_contexts WHERE n > 0)
		FROM (SELECT count(y) AS n FROM (SELECT $function(i) AS y FROM (SELECT generate_series(1, $n) AS i OFFSET 0) s) s) s});
	is($err, '', "$function() $n times");
	return $out;
}

my $id = grant_access($node, 'SELECT ON secret; reader', 'dev', '1 h');
for my $case ([ 'f_secret' ], [ 'f_open' ], [ 'f_by_policy' ], [ 'f_of_reader', 'SET ROLE reader' ])
{
	my ($function, $first) = @$case;
	my $s = session($node, 'dev');
	$s->do($first) if $first;
	memory($s, $function, 100);
	my @used = map { memory($s, $function, $_) } 5000, 10000;
	cmp_ok($used[1] - $used[0], '<', 50_000, "$function() leaves no memory behind");
	$s->quit;
}
# row by row
my $s = session($node, 'dev');
memory($s, 'f_rows', 10);
my @used = map { memory($s, 'f_rows', $_) } 50, 150;
cmp_ok($used[1] - $used[0], '<', 50_000, 'a function that returns rows leaves no memory behind');

# nested
is(($s->do('CALL nested(100)'))[1], '', 'a procedure that relies on nothing, 100 times');
is_deeply([ $s->do('SELECT deep(100)') ], [ '1', '' ], 'reading statements 100 times');
$s->begin('CALL nested_reading(100)');
my $sleeps = "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $s->{pid}";
ok(wait_until(sub { $s->ended || $node->safe_psql('postgres', $sleeps) eq 't' }) && !$s->ended, 'the innermost of 100 reads');
revoke_access($node, $id);
ok(wait_until(sub { $s->ended }, 30), '... and ends with the access') or $node->safe_psql('postgres', "SELECT pg_terminate_backend($s->{pid})");
like(($s->end)[1], qr/${CUT_OFF}DETAIL:  Request $id in postgres was revoked/, '... cut off');
is_deeply([ $s->do('SELECT count(pg_sleep(0.1)) FROM generate_series(1, 3)') ], [ '3', '' ], 'the session goes on');
$s->quit;

# A process that is terminated in the midst of a statement leaves no function by
# its end, and then drops temporary tables, here those of roles that it could
# set, which it may have nothing to do with any more.
$node->safe_psql('postgres', 'CREATE ROLE other; CREATE ROLE aloof LOGIN NOINHERIT; GRANT other TO aloof');
grant_access($node, 'SELECT ON secret; reader', 'dev', '1 h');
grant_access($node, 'reader', 'aloof', '1 h');
for my $case ([ 'dev', 'reader', 'SELECT count(*), pg_sleep(600) FROM secret' ], [ 'aloof', 'other', 'COPY (SELECT pg_sleep(600)) TO STDOUT' ])
{
	my ($user, $owner, $statement) = @$case;
	$s = session($node, $user);
	is(($s->do("SET ROLE $owner; " . join('', map { "CREATE TEMP TABLE t$_ (x serial PRIMARY KEY, y text DEFAULT 'a'); " } 1 .. 10) . 'RESET ROLE'))[1], '', 'temporary tables');
	$s->begin($statement);
	ok($node->poll_query_until('postgres', "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $s->{pid}"), 'a statement runs');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($s->{pid}, 60000)");
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_class WHERE relpersistence = 't'}), 'it is terminated, and they are dropped');
	$s->{run}->finish;
}

unlike(slurp_file($node->logfile), qr/terminated by signal|TRAP|resource leak|reference leak/i, 'no crash and no leak in the log');
$node->stop;
done_testing();
