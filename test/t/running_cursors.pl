# An open cursor that relies on temporary access is denied its next FETCH,
# at the deadline and after a revocation; one that doesn't rely on it isn't.
# WITH HOLD cursors are copies and go on.
#
# Guards check_again() in cutoff.c, which is the only thing between a FETCH
# and rows: the launcher is stopped, and the timers only run while something
# is being fetched.  Seen to fail with the call of check_again() taken out.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('cursors');
$node->safe_psql('postgres', q{
	CREATE ROLE dev LOGIN; CREATE ROLE reader; CREATE ROLE busy LOGIN;
	CREATE TABLE secret AS SELECT i AS x FROM generate_series(1, 1000) i;
	CREATE TABLE open AS TABLE secret; GRANT SELECT ON open TO PUBLIC;
	CREATE TABLE of_reader AS TABLE secret; GRANT SELECT ON of_reader TO reader;
	CREATE FUNCTION in_loop() RETURNS int LANGUAGE plpgsql AS $$
	DECLARE r record; n int := 0;
	BEGIN
		FOR r IN SELECT x FROM secret LOOP
			n := n + 1;
			IF n = 1 THEN PERFORM pg_advisory_xact_lock(1); END IF;
		END LOOP;
		RETURN n;
	EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE 'denied after % rows', n; RETURN -1;
	END $$;
});
stop_launcher($node);

for my $how ('deadline', 'revocation')
{
	sweep($node);
	my $detail = $how eq 'deadline' ? 'expired at' : 'was revoked';
	my $fetch = session($node, 'dev');
	my $role = session($node, 'dev');
	my $hold = session($node, 'dev');
	my $loop = session($node, 'dev');
	my $lock = session($node, 'postgres');
	my $id = grant_access($node, 'SELECT ON secret; reader', 'dev', $how eq 'deadline' ? '5 s' : '1 hour');

	$lock->do('BEGIN; SELECT pg_advisory_xact_lock(1)');
	is($fetch->do('BEGIN; DECLARE c CURSOR FOR SELECT x FROM secret; DECLARE o CURSOR FOR SELECT x FROM open;
		DECLARE s SCROLL CURSOR FOR SELECT x FROM secret; DECLARE m CURSOR FOR SELECT x FROM secret; DECLARE fresh CURSOR FOR SELECT x FROM secret;
		FETCH 2 FROM c; FETCH 1 FROM o; FETCH 2 FROM s; MOVE 1 IN m'), "1\n2\n1\n1\n2", "$how: fetched before");
	$fetch->do('SAVEPOINT s');
	is($role->do('BEGIN; SET ROLE reader; DECLARE c CURSOR FOR SELECT x FROM of_reader; FETCH 2 FROM c'), "1\n2", "$how: fetched under SET ROLE");
	is($hold->do('BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT x FROM secret; COMMIT; FETCH 1 FROM c'), "1", "$how: fetched from a WITH HOLD cursor");
	$loop->begin('SELECT in_loop()');
	ok($node->poll_query_until('postgres', qq{SELECT wait_event = 'advisory' FROM pg_stat_activity WHERE pid = $loop->{pid}}), "$how: a loop over a query is under way");
	if ($how eq 'deadline') { wait_for_deadline($node, $id); }
	else { revoke_access($node, $id); }

	my ($out, $err) = $fetch->do('FETCH 1 FROM c');
	like($err, qr/ERROR:  42501: permission denied: the temporary access that this cursor relies on has ended\nDETAIL:  Request $id in postgres $detail.*\nHINT:  To ask for it again: SELECT jit_extend\($id\);/, "$how: the next FETCH is denied");
	is($out, '', '... and has no row');
	$fetch->do('ROLLBACK TO s');
	like(($fetch->do('FETCH BACKWARD 1 FROM s'))[1], qr/ERROR:  42501/, "$how: so is FETCH BACKWARD");
	$fetch->do('ROLLBACK TO s');
	like(($fetch->do('MOVE 1 IN m'))[1], qr/ERROR:  42501/, "$how: and MOVE");
	$fetch->do('ROLLBACK TO s');
	like(($fetch->do('FETCH 1 FROM fresh'))[1], qr/ERROR:  (42501|57014)/, "$how: a cursor that was only declared is denied");
	$fetch->do('ROLLBACK TO s');
	is_deeply([ $fetch->do('FETCH 1 FROM o') ], [ '2', '' ], "$how: a cursor that does not rely on it goes on");
	like(($role->do('FETCH 1 FROM c'))[1], qr/ERROR:  42501/, "$how: FETCH is denied under SET ROLE");
	$role->do('ROLLBACK; RESET ROLE');
	is_deeply([ $hold->do('FETCH 1 FROM c') ], [ '2', '' ], "$how: a WITH HOLD cursor is a copy");
	$lock->do('ROLLBACK');
	($out, $err) = $loop->end;
	like($err, qr/NOTICE:  00000: denied after \d{1,3} rows/, "$how: a loop over a query gets no further than what it had fetched");
	$_->quit for $fetch, $role, $hold, $loop, $lock;
}

# so much happens between two FETCHes that nothing of it is remembered
my $id = grant_access($node, 'SELECT ON secret', 'dev', '1 hour');
my $fetch = session($node, 'dev');
is($fetch->do('BEGIN; DECLARE c CURSOR FOR SELECT x FROM secret; FETCH 1 FROM c'), '1', 'fetched');
$node->safe_psql('postgres', q{
	CREATE ROLE jit_grant_1_1 VALID UNTIL '2100-01-01';
	DO $$ BEGIN FOR i IN 1 .. 9000 LOOP ALTER ROLE jit_grant_1_1 VALID UNTIL '2100-01-02'; END LOOP; END $$});
is_deeply([ $fetch->do('FETCH 1 FROM c') ], [ '2', '' ], 'what goes on elsewhere denies nothing');
revoke_access($node, $id);
like(($fetch->do('FETCH 1 FROM c'))[1], qr/ERROR:  42501/, '... until it is revoked');
$fetch->quit;
$node->safe_psql('postgres', 'DROP ROLE jit_grant_1_1');

continue_launcher();
$node->stop;
done_testing();
