# What is due is settled on time: one grant, a pending request, two thousand
# grants at once, and what somebody else holds up; and the launcher has
# nothing to do in between.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'jit_access'
log_min_messages = debug1
log_statement = none
jit_access.max_pending = 10000
});
$node->start;

# the log tells of every sweeper, at debug1
sub sweepers
{
	my $log = slurp_file($node->logfile);
	return scalar(() = $log =~ /starting background worker process "jit_access sweeper/g);
}

my $no_sweeper = q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'jit_access sweeper'};

# Two seconds pass until a deadline comes.  Returns how many sweepers have been
# sent by then; one of them for that.
sub sweepers_until_a_deadline
{
	ok($node->poll_query_until('postgres', $no_sweeper), 'sweepers leave');
	my $before = sweepers();
	my $id = $node->safe_psql('postgres', q{SELECT jit_grant('SELECT ON t', 'dev', '2 s', 'passing')});
	ok($node->poll_query_until('postgres', "SELECT status = 'expired' FROM jit.requests WHERE id = $id"), '... and a deadline comes');
	return sweepers() - $before;
}

$node->safe_psql('postgres', q{
	CREATE EXTENSION jit_access;
	CREATE TABLE t AS SELECT 1 AS x;
	CREATE ROLE dev LOGIN;
});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'jit_access launcher'}),
	'there is a launcher');

# one grant; the machine may stall, but hardly each time
my $late;
for my $try (1 .. 3)
{
	my $id = $node->safe_psql('postgres', q{SELECT jit_grant('SELECT ON t', 'dev', '3 s', 'why')});
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}), '1', 'granted');
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}), 'the role goes');
	is($node->safe_psql('postgres', "SELECT status, ended_at = expires_at FROM jit.requests WHERE id = $id"), 'expired|t', 'the request expired at its deadline');
	is($node->safe_psql('postgres', "SELECT ended_at IS NOT NULL FROM jit.grants WHERE request_id = $id"), 't', 'so did the grant');
	$late = $node->safe_psql('postgres',
		"SELECT extract(epoch FROM e.at - r.expires_at) FROM jit.events e JOIN jit.requests r ON r.id = e.request_id WHERE event = 'expired' AND r.id = $id");
	cmp_ok($late, '>=', 0, 'not before');
	last if $late < 1;
}
cmp_ok($late, '<', 1, "and the roles were gone within a second ($late s)");

# a request that lapses
my $lapsing = $node->safe_psql('postgres', q{
	GRANT SELECT ON t TO CURRENT_USER;
	SET ROLE dev; SELECT jit_request('SELECT ON t', NULL, 'why', clock_timestamp() + interval '1 s')});
ok($node->poll_query_until('postgres', "SELECT status = 'lapsed' AND ended_at = lapses_at FROM jit.requests WHERE id = $lapsing"), 'a pending request lapses');

is(sweepers_until_a_deadline(), 1, '... and only for that a sweeper, none while nothing is due');

# somebody holds up one of two
my $holder = $node->background_psql('postgres');
$node->safe_psql('postgres', q{
	SELECT jit_grant('SELECT ON t', 'dev', '4 s', 'held up');
	SELECT jit_grant('SELECT ON t', 'dev', '4 s', 'not held up')});
$holder->query_safe(q{BEGIN; SELECT FROM jit.requests WHERE reason = 'held up' FOR UPDATE});
ok($node->poll_query_until('postgres', q{SELECT status = 'expired' FROM jit.requests WHERE reason = 'not held up'}), 'the other one expires on time');
is($node->safe_psql('postgres', q{SELECT status FROM jit.requests WHERE reason = 'held up'}), 'active', 'while this one is held up');
cmp_ok(sweepers_until_a_deadline(), '<=', 8, 'it is tried again, with pauses');
$holder->query_safe('COMMIT');
ok($node->poll_query_until('postgres', q{SELECT status = 'expired' FROM jit.requests WHERE reason = 'held up'}), 'and settled when nobody holds it up');
$holder->quit;

# a role that can't be dropped, because somebody gave it privileges
my $tied = $node->safe_psql('postgres', q{SELECT jit_grant('SELECT ON t', 'dev', '4 s', 'tied')});
my $role = $node->safe_psql('postgres', "SELECT role FROM jit.grants WHERE request_id = $tied");
$node->safe_psql('postgres', qq{GRANT UPDATE ON t TO $role});
ok($node->poll_query_until('postgres', "SELECT status = 'expired' FROM jit.requests WHERE id = $tied"), 'a role that cannot be dropped expires, too');
is($node->safe_psql('postgres', qq{SELECT count(*) FROM pg_auth_members WHERE roleid = '$role'::regrole}), '0', 'it has no members');
cmp_ok(sweepers_until_a_deadline(), '<=', 2, '... and sweepers are not sent again and again');
$node->safe_psql('postgres', qq{BEGIN; REVOKE UPDATE ON t FROM $role; DROP ROLE $role; COMMIT});

# two thousand at one deadline, of two hundred roles
$node->safe_psql('postgres', q{
	DO $$
	DECLARE until timestamptz; r text;
	BEGIN
		FOR i IN 1 .. 200 LOOP
			EXECUTE format('CREATE ROLE %I', 'dev' || i);
			FOR j IN 1 .. 10 LOOP
				PERFORM jit_grant('SELECT ON t', 'dev' || i, '1 hour', 'many');
			END LOOP;
		END LOOP;
		-- one deadline for all, whatever it took to make them
		until := clock_timestamp() + interval '2 s';
		FOR r IN SELECT role FROM jit.grants WHERE ended_at IS NULL LOOP
			EXECUTE format('ALTER ROLE %I VALID UNTIL %L', r, until);
		END LOOP;
	END $$});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}), 'two thousand roles go');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2000 FROM jit.requests WHERE reason = 'many' AND status = 'expired' AND ended_at = expires_at}),
	'all requests say so, soon after');
note('it took ' . $node->safe_psql('postgres',
	q{SELECT extract(epoch FROM max(e.at) - max(r.expires_at)) FROM jit.events e JOIN jit.requests r ON r.id = e.request_id WHERE e.event = 'expired' AND r.reason = 'many'}) . ' s');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit_scope_%'}), '1', 'they shared one scope role');

$node->stop;
done_testing();
