# Thousands of grants that end at once, ten each of hundreds of roles: all go,
# and the ledger follows.  Its note says how long that takes.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

# some batches of sweepers, even in a breeze
my $roles = storm(1000, 200);
my $grants = $roles * 10;
my $room = 2 + $grants / 1000;
my $node = new_server('many', "log_statement = none\nmax_locks_per_transaction = 1024");
$node->safe_psql('postgres', 'CREATE TABLE t AS SELECT 1 AS x');

$node->safe_psql('postgres', qq{
	SET jit_access.top_level_only = off;
	DO \$\$
	BEGIN
		FOR i IN 1 .. $roles LOOP
			EXECUTE format('CREATE ROLE %I', 'dev' || i);
			FOR j IN 1 .. 10 LOOP
				PERFORM jit_grant('SELECT ON t', 'dev' || i, '1 hour', 'many');
			END LOOP;
		END LOOP;
	END \$\$});
# one deadline for all, whatever it took to make them, that is to come when this
# has been committed
$node->safe_psql('postgres', qq{
	DO \$\$
	DECLARE until timestamptz; r text;
	BEGIN
		until := clock_timestamp() + interval '$room s';
		FOR r IN SELECT role FROM jit.grants WHERE ended_at IS NULL LOOP
			EXECUTE format('ALTER ROLE %I VALID UNTIL %L', r, until);
		END LOOP;
	END \$\$});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}), "$grants roles go");
ok($node->poll_query_until('postgres', qq{SELECT count(*) = $grants FROM jit.requests WHERE reason = 'many' AND status = 'expired' AND ended_at = expires_at}),
	'all requests say so, soon after');
note("the end of $grants grants took " . $node->safe_psql('postgres',
	q{SELECT extract(epoch FROM max(e.at) - max(r.expires_at)) FROM jit.events e JOIN jit.requests r ON r.id = e.request_id WHERE e.event = 'expired' AND r.reason = 'many'}) . ' s');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit_scope_%'}), '1', 'they shared one scope role');

$node->stop;
done_testing();
