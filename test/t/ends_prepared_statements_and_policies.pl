# Prepared statements and cached plans are denied at the next EXECUTE after
# the end, and row-level security policies that applied only through a
# temporary role no longer do, in cached and in fresh plans.
#
# Guards the check of permissions at each ExecutorStart and check_marks() in
# enforce.c; the launcher is stopped, so that all roles are still there.  Seen
# to fail, for policies and for functions that the planner executes, with the
# call of check_marks() taken out, and for inlined functions without
# install_needs_fmgr().
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('prepared');
$node->safe_psql('postgres', q{
	CREATE ROLE dev LOGIN; CREATE ROLE reader; CREATE ROLE view_owner; CREATE ROLE other LOGIN;
	CREATE TABLE secret AS SELECT i AS x FROM generate_series(1, 10) i;
	CREATE TABLE open AS TABLE secret; GRANT SELECT ON open TO PUBLIC;
	-- rows: 1 to 3 by a standing policy, 4 to 10 by reader's
	CREATE TABLE rows AS TABLE secret; GRANT SELECT, UPDATE ON rows TO dev, view_owner;
	ALTER TABLE rows ENABLE ROW LEVEL SECURITY;
	CREATE POLICY p1 ON rows TO dev USING (x <= 3);
	CREATE POLICY p2 ON rows TO reader USING (true);
	CREATE VIEW rows_v AS SELECT x, pg_sleep(0) IS NULL AS y FROM rows; ALTER VIEW rows_v OWNER TO view_owner;
	GRANT SELECT ON rows_v TO other;
	CREATE FUNCTION cached() RETURNS bigint LANGUAGE plpgsql AS $$
	DECLARE n bigint; BEGIN SELECT count(*) INTO n FROM secret; RETURN n; END $$;
	CREATE FUNCTION cached_rows() RETURNS bigint LANGUAGE plpgsql AS $$
	DECLARE n bigint; BEGIN SELECT count(*) INTO n FROM rows; RETURN n; END $$;
	-- inlined: then not even the plan has it
	CREATE FUNCTION one() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'; REVOKE EXECUTE ON FUNCTION one() FROM PUBLIC;
	CREATE FUNCTION two() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2'; REVOKE EXECUTE ON FUNCTION two() FROM PUBLIC;
	CREATE FUNCTION thrice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 3 * $1'; REVOKE EXECUTE ON FUNCTION thrice(int) FROM PUBLIC;
	CREATE OPERATOR ### (FUNCTION = thrice, RIGHTARG = int);
	CREATE FUNCTION calls_thrice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT thrice($1)';
	CREATE FUNCTION says_thrice(int) RETURNS int LANGUAGE plpgsql AS 'DECLARE x int; BEGIN x := thrice($1); RETURN x; END';
	CREATE TABLE checked (x int CHECK (thrice(x) > 0)); GRANT ALL ON checked TO PUBLIC;
	CREATE ROLE caller LOGIN; CREATE ROLE member LOGIN; CREATE ROLE runner;
});
stop_launcher($node);
my $policy = qr/ERROR:  42501: permission denied for (row-level security policies of role reader|table rows)/;

for my $how ('deadline', 'revocation')
{
	sweep($node);
	my $detail = $how eq 'deadline' ? 'expired at' : '(was revoked|expired) at';
	my $s = session($node, 'dev');
	my $rls = session($node, 'dev');
	my $run = session($node, 'dev');
	my $other = session($node, 'other');
	my $caller = session($node, 'caller');
	my $member = session($node, 'member');
	my @ids = map { grant_access($node, $_->[0], $_->[1], $how eq 'deadline' ? '15 s' : '1 hour') }
	  ([ 'SELECT ON secret', 'dev' ], [ 'reader', 'dev' ], [ 'reader', 'view_owner' ],
		[ 'SELECT ON secret; EXECUTE ON FUNCTION one(), thrice(int)', 'caller' ], [ 'runner', 'member' ]);

	$s->do("SET plan_cache_mode = $_; PREPARE ${_}(int) AS SELECT count(*) FROM secret WHERE x > \$1; PREPARE open_$_(int) AS SELECT count(*) FROM open WHERE x > \$1; PREPARE unused_$_ AS SELECT count(*) FROM secret")
	  for 'force_generic_plan', 'force_custom_plan';
	for my $mode ('force_generic_plan', 'force_custom_plan')
	{
		is($s->do("SET plan_cache_mode = $mode; EXECUTE $mode(0); EXECUTE $mode(0); EXECUTE open_$mode(0)"), "10\n10\n10", "$how: $mode is executed before");
		$rls->do("SET plan_cache_mode = $mode; PREPARE $mode AS SELECT count(*) FROM rows; PREPARE u_$mode AS UPDATE rows SET x = x WHERE x > 5");
		is($rls->do("EXECUTE $mode"), '10', "$how: $mode uses the policy before");
	}
	is($s->do('SELECT cached()'), '10', "$how: a function keeps a plan");
	is($rls->do('SELECT cached_rows()'), '10', "$how: a function keeps a plan with a policy");
	is($other->do('SELECT count(*) FROM rows_v'), '10', "$how: a policy applies to a view's owner");
	$other->do('PREPARE v AS SELECT count(*) FROM rows_v');
	is($other->do('EXECUTE v'), '10', "$how: in a cached plan as well");
	$caller->do('PREPARE one AS SELECT one() FROM open LIMIT 1');
	is($caller->do('EXECUTE one'), '1', "$how: a function that is inlined is executed before");
	$caller->do('PREPARE operator AS SELECT ### x FROM open WHERE x = 1; PREPARE nested AS SELECT calls_thrice(x) FROM open WHERE x = 1;
		PREPARE constant AS SELECT calls_thrice(1) FROM open WHERE x = 1');
	my @thrice = ('EXECUTE operator', 'EXECUTE nested', 'EXECUTE constant', 'SELECT says_thrice(1)', 'INSERT INTO checked VALUES (1) RETURNING 3 * x');
	is($caller->do($_), '3', "$how: $_, before") for @thrice;
	# what the role may execute changes while its temporary member runs something
	is($member->do('SELECT count(*) FROM open'), '10', "$how: a role without functions");
	$node->safe_psql('postgres', 'GRANT EXECUTE ON FUNCTION two() TO runner');
	$member->do('PREPARE two AS SELECT two() FROM open LIMIT 1');
	is($member->do('EXECUTE two'), '2', "$how: ... has one now");
	$run->begin('SELECT pg_sleep(600) FROM rows');
	ok($node->poll_query_until('postgres', qq{SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $run->{pid}}), "$how: a statement runs on a policy");

	if ($how eq 'deadline') { wait_for_deadline($node, $_) for @ids; }
	else { revoke_access($node, $_) for @ids; }

	for my $mode ('force_generic_plan', 'force_custom_plan')
	{
		$s->do("SET plan_cache_mode = $mode");
		for my $name ("$mode(0)", "unused_$mode")
		{
			my ($out, $err) = $s->do("EXECUTE $name");
			like($err, qr/ERROR:  42501: permission denied for table secret\nDETAIL:  Request $ids[0] in postgres $detail/, "$how: EXECUTE $name is denied");
			is($out, '', '... and has no row');
		}
		is_deeply([ $s->do("EXECUTE open_$mode(0)") ], [ '10', '' ], "$how: $mode that does not rely on it is executed");
		# PostgreSQL chooses the policies anew once the membership is gone
		my ($out, $err) = $rls->do("SET plan_cache_mode = $mode; EXECUTE $mode");
		if ($how eq 'deadline') { like($err, $policy, "$how: the policy does not apply any more, $mode"); }
		else { is($out, '3', "$how: only the standing policy applies, $mode"); }
		($out, $err) = $rls->do("BEGIN; EXPLAIN ANALYZE EXECUTE u_$mode; ROLLBACK");
		if ($how eq 'deadline') { like($err, $policy, "$how: nor does it for UPDATE, $mode"); }
		else { like($out, qr/Update on rows.*actual[^\n]*rows=0/s, "$how: nor does it for UPDATE, $mode"); }
	}
	for my $case ([ $caller, 'one' ], [ $member, 'two' ])
	{
		my ($session, $name) = @$case;
		my ($out, $err) = $session->do("EXECUTE $name");
		like($err, qr/ERROR:  42501: permission denied for function $name\n/, "$how: a cached plan in which $name() was inlined is denied");
		is($out, '', '... and has no row');
	}
	for my $sql (@thrice)
	{
		is_deeply([ ($caller->do($sql))[0], $caller->{last_err} =~ /(ERROR:  42501: permission denied for function thrice)/ ], [ '', 'ERROR:  42501: permission denied for function thrice' ], "$how: $sql is denied");
	}
	$node->safe_psql('postgres', 'REVOKE EXECUTE ON FUNCTION two() FROM runner');
	like(($s->do('SELECT cached()'))[1], qr/ERROR:  42501: permission denied for table secret/, "$how: a plan kept by a function is denied");
	for my $case ([ $rls, 'SELECT cached_rows()' ], [ $rls, 'SELECT count(*) FROM rows' ], [ $other, 'EXECUTE v' ], [ $other, 'SELECT count(*) FROM rows_v' ])
	{
		my ($out, $err) = $case->[0]->do($case->[1]);
		if ($how eq 'deadline') { like($err, $policy, "$how: the policy does not apply in $case->[1]"); }
		else { is($out, $case->[0] == $rls ? '3' : '0', "$how: the policy does not apply in $case->[1]"); }
	}
	like(($run->end)[1], $CUT_OFF, "$how: a running statement on a policy is cut off");
	$_->quit for $s, $rls, $run, $other, $caller, $member;
}

continue_launcher();
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}), 'the roles go');
is(scalar sql($node, 'dev', 'SELECT count(*) FROM rows'), '3', 'the standing policy still applies');
$node->stop;
done_testing();
