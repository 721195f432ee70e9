# After the end the planner shows nothing of the data to a function of the
# user's: it hands most common values to operators before the executor has
# denied the statement.
#
# Guards check_perminfos() as called by the planner hook in enforce.c; the launcher
# is stopped, so that PostgreSQL itself thinks that the user may see the
# statistics.  Seen to fail with that call taken out: values
# of the column are in the NOTICEs.  So they are for functions that are inlined
# without jit_relation_info(), and for UPDATE without writes_for_others().
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('statistics');
$node->safe_psql('postgres', q{
	CREATE ROLE dev LOGIN; CREATE ROLE view_owner; CREATE ROLE other LOGIN;
	CREATE TABLE secret AS SELECT 1000 + i % 5 AS x FROM generate_series(1, 1000) i;
	CREATE TABLE open AS TABLE secret; GRANT SELECT ON open TO PUBLIC;
	CREATE VIEW v AS SELECT x FROM secret; ALTER VIEW v OWNER TO view_owner; GRANT SELECT, UPDATE ON v TO PUBLIC;
	ANALYZE;
	CREATE SCHEMA dev AUTHORIZATION dev; GRANT USAGE ON SCHEMA dev TO other;
	SET ROLE dev;
	CREATE FUNCTION dev.leak(int, int) RETURNS bool LANGUAGE plpgsql IMMUTABLE COST 0.0001 AS $$
	BEGIN RAISE NOTICE 'seen: %', $1; RETURN $1 > $2; END $$;
	CREATE FUNCTION dev.inlined() RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT x FROM public.secret';
	CREATE FUNCTION dev.inlined_view() RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT x FROM public.v';
	CREATE OPERATOR dev.>>> (FUNCTION = dev.leak, LEFTARG = int, RIGHTARG = int, RESTRICT = scalargtsel);
});
stop_launcher($node);

my %statement = (
	'EXPLAIN' => 'EXPLAIN SELECT * FROM secret WHERE x OPERATOR(dev.>>>) 0',
	'SELECT' => 'SELECT count(*) FROM secret WHERE x OPERATOR(dev.>>>) 0',
	'sub-select' => 'EXPLAIN SELECT (SELECT max(x) FROM secret WHERE x OPERATOR(dev.>>>) 0)',
	'CTE' => 'EXPLAIN WITH c AS MATERIALIZED (SELECT * FROM secret WHERE x OPERATOR(dev.>>>) 0) SELECT * FROM c',
	'PREPARE' => 'EXPLAIN EXECUTE p',
	'a function that is inlined' => 'EXPLAIN SELECT * FROM dev.inlined() x WHERE x OPERATOR(dev.>>>) 0',
);
for my $how ('deadline', 'revocation')
{
	sweep($node);
	my @ids = map { grant_access($node, 'SELECT, UPDATE ON secret', $_, $how eq 'deadline' ? '7 s' : '1 hour') } 'dev', 'view_owner';
	my $s = session($node, 'dev');
	$s->do('PREPARE p AS SELECT * FROM secret WHERE x OPERATOR(dev.>>>) 0');
	for my $name (sort keys %statement)
	{
		like(($s->do($statement{$name}))[1], qr/seen: 100[0-4]/, "$how: $name shows values while there is access");
	}
	if ($how eq 'deadline') { wait_for_deadline($node, $_) for @ids; }
	else { revoke_access($node, $_) for @ids; }
	for my $name (sort keys %statement)
	{
		my ($out, $err) = $s->do($statement{$name});
		unlike($err, qr/seen: 100/, "$how: $name shows nothing after");
		like($err, qr/permission denied for table secret/, '... and is denied') if $name ne 'EXPLAIN' || $how eq 'deadline';
	}
	# each in a session that hasn't met temporary access
	for my $sql ('EXPLAIN SELECT * FROM v WHERE x OPERATOR(dev.>>>) 0', 'EXPLAIN UPDATE v SET x = 1 WHERE x OPERATOR(dev.>>>) 0',
		'EXPLAIN SELECT * FROM dev.inlined_view() x WHERE x OPERATOR(dev.>>>) 0')
	{
		my $other = session($node, 'other');
		my ($out, $err) = $other->do($sql);
		unlike($err, qr/seen: 100/, "$how: nor does a view whose owner had access, $sql");
		$other->quit;
	}
	like(($s->do('EXPLAIN SELECT * FROM open WHERE x OPERATOR(dev.>>>) 0'))[1], qr/seen: 100/, "$how: what does not rely on it is planned as ever");
	$s->quit;
}
continue_launcher();
$node->stop;
done_testing();
