# The ledger follows what is done to grant roles with PostgreSQL's own
# commands, and names alone prove nothing.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'jit_access'
max_prepared_transactions = 2
log_statement = none
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE DATABASE other;
	CREATE EXTENSION jit_access;
	CREATE TABLE t AS SELECT 1 AS x;
	CREATE TABLE u AS SELECT 1 AS x;
	CREATE ROLE dev LOGIN;
	CREATE ROLE held;
});
$node->safe_psql('other', 'CREATE EXTENSION jit_access; CREATE TABLE t AS SELECT 1 AS x');
my $database = $node->safe_psql('postgres', 'SELECT oid FROM pg_database WHERE datname = current_database()');

sub grant
{
	my ($duration, $access) = @_;
	$access //= 'SELECT ON t';
	my $id = $node->safe_psql('postgres', qq{SELECT jit_grant('$access', 'dev', '$duration', 'why')});
	return ($id, "jit_grant_${database}_$id");
}

sub poll
{
	my ($query, $name) = @_;
	ok($node->poll_query_until('postgres', $query), $name);
}

sub value { return $node->safe_psql('postgres', $_[0]); }

# dropped
my ($id, $role) = grant('1 hour');
$node->safe_psql('other', "DROP ROLE $role");
poll("SELECT status = 'revoked' FROM jit.requests WHERE id = $id", 'a grant whose role was dropped is revoked');
is(value("SELECT detail ->> 'drift' FROM jit.events WHERE request_id = $id AND event = 'revoked'"), 'its role is gone', '... and the event says so');
is(value("SELECT ended_at IS NOT NULL FROM jit.grants WHERE request_id = $id"), 't', '... in jit.grants, too');

# nobody has it any more
($id, $role) = grant('1 hour');
$node->safe_psql('other', "REVOKE $role FROM dev");
poll("SELECT status = 'revoked' FROM jit.requests WHERE id = $id", 'a grant whose role has no members is revoked');
poll("SELECT count(*) = 0 FROM pg_roles WHERE rolname = '$role'", '... and the role goes');
is(value("SELECT detail ->> 'drift' FROM jit.events WHERE request_id = $id AND event = 'revoked'"), 'its role has no members', '... and the event says so');

# prolonged, shortened, ended
($id, $role) = grant('1 hour');
$node->safe_psql('other', "ALTER ROLE $role VALID UNTIL '2099-01-01 00:00+00'");
poll("SELECT expires_at = '2099-01-01 00:00+00' FROM jit.requests WHERE id = $id", 'the ledger follows a later VALID UNTIL');
is(value("SELECT r.status, g.expires_at = r.expires_at, (SELECT count(*) FROM jit.events WHERE request_id = $id AND event = 'prolonged') FROM jit.requests r JOIN jit.grants g ON g.request_id = r.id WHERE id = $id"),
	'active|t|1', '... with an event');
$node->safe_psql('postgres', "ALTER ROLE $role VALID UNTIL '2098-01-01 00:00+00'");
poll("SELECT count(*) = 1 FROM jit.events WHERE request_id = $id AND event = 'shortened'", 'and an earlier one');
$node->safe_psql('postgres', "ALTER ROLE $role VALID UNTIL '2020-01-01 00:00+00'");
poll("SELECT status = 'expired' AND ended_at = '2020-01-01 00:00+00' FROM jit.requests WHERE id = $id", 'a past one ends it');
is(value("SELECT count(*) FROM pg_roles WHERE rolname = '$role'"), '0', '... and the role');

# in a prepared transaction, and by a session that goes on
($id, $role) = grant('1 hour');
$node->safe_psql('postgres', qq{
	BEGIN; ALTER ROLE $role VALID UNTIL '2099-01-01 00:00+00'; PREPARE TRANSACTION 'prolong';
	CREATE TABLE unconcerned ();
	COMMIT PREPARED 'prolong';
	ALTER ROLE $role CONNECTION LIMIT 1});
poll("SELECT expires_at = '2099-01-01 00:00+00' FROM jit.requests WHERE id = $id", 'the ledger follows a prepared transaction');
$node->safe_psql('postgres', "SELECT jit_revoke($id)");

# ... and so do statements that are running
my ($other_id, $other) = grant('1 hour', 'SELECT ON u');
my $session = session($node, 'dev');
my $started = q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600) FROM t%' AND wait_event = 'PgSleep'};
($id, $role) = grant('1 hour');
$session->begin('SELECT pg_sleep(600) FROM t');
poll($started, 'a statement runs');
$node->safe_psql('postgres', qq{BEGIN; ALTER ROLE $role VALID UNTIL '2099-01-01 00:00+00'; PREPARE TRANSACTION 'prolong'});
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'prolong'});
ok(!wait_until(sub { $session->ended }, 0.2), 'it is not cut off by what is only prepared');
$node->safe_psql('postgres', qq{
	BEGIN; DROP ROLE $role; PREPARE TRANSACTION 'drop';
	COMMIT PREPARED 'drop';
	ALTER ROLE $other CONNECTION LIMIT 1});
ok(wait_until(sub { $session->ended }), '... but when the ledger has followed');
like(($session->end)[1], qr/${CUT_OFF}DETAIL:  Request $id in postgres was revoked/, '... in words that say so');
$session->quit;
$node->safe_psql('postgres', "SELECT jit_revoke($other_id)");

# prolonged while the old deadline passes: no gap
my ($prolonged_id, $prolonged) = grant('6 s', 'SELECT ON u');
$node->safe_psql('postgres', "ALTER ROLE $prolonged VALID UNTIL '2099-01-01 00:00+00'");

# a role without a deadline gives nothing, and is judged by the ledger
($id, $role) = grant('6 s');
$node->safe_psql('postgres', "ALTER ROLE $role VALID UNTIL 'infinity'");
my ($rc, $out, $err) = $node->psql('postgres', 'SET ROLE dev; SELECT x FROM t');
like($err, qr/permission denied/, 'no deadline, no access');
poll("SELECT clock_timestamp() > activated_at + interval '6.5 s' FROM jit.requests WHERE id = $prolonged_id", 'the old deadline of the one prolonged passes');
is(value('SET ROLE dev; SELECT x FROM u'), '1', '... and access goes on');
$node->safe_psql('postgres', "SELECT jit_revoke($prolonged_id)");
poll("SELECT status = 'expired' FROM jit.requests WHERE id = $id", 'the deadline of the ledger counts');
is(value("SELECT count(*) FROM pg_roles WHERE rolname = '$role'"), '0', '... and the role goes');

# ended from another database
($id, $role) = grant('1 hour');
is($node->safe_psql('other', "SELECT jit_revoke_from('dev', 'panic')"), '1', 'ended from another database');
poll("SELECT status = 'expired' AND ended_at < activated_at + interval '1 min' FROM jit.requests WHERE id = $id", 'its own ledger follows');
is(value("SELECT string_agg(event, ' ' ORDER BY id) FROM jit.events WHERE request_id = $id AND at > (SELECT activated_at FROM jit.requests WHERE id = $id)"),
	'activated shortened expired', '... which says that it ended before its time');
is($node->safe_psql('other', "SELECT request_id IS NULL, role = current_user, detail->>'roles', detail->>'reason' FROM jit.events WHERE event = 'revoked'"),
	"t|t|$role|panic", '... and the other one by whom and why');

# ... while somebody holds up one of them
($id, $role) = grant('1 hour');
my ($id2, $role2) = grant('1 hour', 'SELECT ON u');
my $holder = $node->background_psql('postgres');
$holder->query_safe("SET client_min_messages = error; BEGIN; SELECT jit_revoke($id)");
($rc, $out, $err) = $node->psql('other', "SELECT jit_revoke_all('panic')");
is($out, '2', 'the panic button does not wait, and ends that one too');
unlike($err, qr/WARNING/, '... as nothing is left out');
$holder->query_safe('ROLLBACK');
$holder->quit;
is($node->safe_psql('other', "SELECT jit_revoke_all('panic')"), '0', '... also if that is rolled back');
poll("SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit_grant_%'", 'nothing is left');

# somebody has its row of the ledger locked when the workers come
($id, $role) = grant('1 hour');
$holder = $node->background_psql('postgres');
$holder->query_safe("BEGIN; SELECT FROM jit.requests WHERE id = $id FOR UPDATE");
$node->safe_psql('other', "ALTER ROLE $role VALID UNTIL '2020-01-01 00:00+00'");
poll("SELECT count(*) = 0 FROM pg_auth_members WHERE roleid = '$role'::regrole", 'a past role loses its members, its row being locked');
$holder->query_safe('ROLLBACK');
$holder->quit;
poll("SELECT status = 'expired' FROM jit.requests WHERE id = $id", '... and the row is settled when it can be');

# what depends on a role keeps it, without members, until it is gone
($id, $role) = grant('1 hour');
$node->safe_psql('postgres', "GRANT SELECT ON u TO $role");
($rc, $out, $err) = $node->psql('postgres', "SELECT jit_revoke($id)");
like($err, qr/WARNING:  role $role could not be dropped/, 'a role with privileges of its own is not dropped');
is(value("SELECT count(*), (SELECT count(*) FROM pg_auth_members WHERE roleid = '$role'::regrole) FROM pg_roles WHERE rolname = '$role'"), '1|0', '... but has no members');
$node->safe_psql('postgres', "REVOKE SELECT ON u FROM $role");
grant('1 s');
poll("SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit_grant_%'", '... and goes with the next sweep');

# names prove nothing: roles with the prefix that no ledger knows
$node->safe_psql('postgres', qq{
	CREATE ROLE jit_grant_${database}_99999 ROLE dev; GRANT held TO jit_grant_${database}_99999;
	CREATE ROLE jit_grant_mine ROLE dev; GRANT held TO jit_grant_mine;
	CREATE ROLE jit_grant_4294967295_1 LOGIN ROLE dev VALID UNTIL '2020-01-01';
	ALTER ROLE jit_grant_mine VALID UNTIL '2020-01-01';
	ALTER ROLE jit_grant_${database}_99999 VALID UNTIL '2020-01-01'});
poll("SELECT count(*) = 0 FROM pg_auth_members WHERE roleid IN ('jit_grant_${database}_99999'::regrole, 'jit_grant_mine'::regrole, 'jit_grant_4294967295_1'::regrole)",
	'past roles with the prefix lose their members');
is(value("SELECT count(*) FROM pg_roles WHERE rolname IN ('jit_grant_${database}_99999', 'jit_grant_mine', 'jit_grant_4294967295_1')"), '3', '... but are not dropped');
is(scalar(() = slurp_file($node->logfile) =~ /membership in role jit_grant_${database}_99999/g), 1, '... and the log says so once');
$node->safe_psql('postgres', "DROP ROLE jit_grant_${database}_99999, jit_grant_mine, jit_grant_4294967295_1");

# nor is a role with a name that a grant would need adopted
my $next = value("SELECT last_value + 1 FROM jit.request_number");
$node->safe_psql('postgres', "CREATE ROLE jit_grant_${database}_$next ROLE dev");
($id, $role) = grant('1 hour');
isnt($id, $next, 'a number whose role name is taken is passed over');
is(value("SELECT count(*) FROM pg_auth_members WHERE roleid = '$role'::regrole"), '1', 'the grant works');
$node->safe_psql('postgres', "DROP ROLE jit_grant_${database}_$next; SELECT jit_revoke($id)");

# a scope role is used again only if it still is what it was made to be
my $scope = value("SELECT s.role FROM jit.scopes s WHERE objid = 't'::regclass");
for my $change (
	[ "GRANT SELECT ON u TO $scope", "REVOKE SELECT ON u FROM $scope", 'has more' ],
	[ "GRANT UPDATE ON t TO $scope", "REVOKE UPDATE ON t FROM $scope", 'has more on the same object' ],
	[ "GRANT UPDATE (x) ON t TO $scope", "REVOKE UPDATE (x) ON t FROM $scope", 'has more on a column' ],
	[ "GRANT held TO $scope", "REVOKE held FROM $scope", 'is in another role' ],
	[ "ALTER ROLE $scope LOGIN", "ALTER ROLE $scope NOLOGIN", 'can log in' ],
	[ "GRANT SELECT ON t TO $scope WITH GRANT OPTION", "REVOKE GRANT OPTION FOR SELECT ON t FROM $scope", 'has the grant option' ],
	[ "REVOKE SELECT ON t FROM $scope", "GRANT SELECT ON t TO $scope", 'has less' ])
{
	$node->safe_psql('postgres', $change->[0]);
	($id, $role) = grant('1 hour');
	is(value("SELECT count(*) FROM pg_auth_members WHERE roleid = '$scope'::regrole AND member = '$role'::regrole"), '0',
		"a scope role that $change->[2] is not used");
	is(value('SET ROLE dev; SELECT x FROM t'), '1', '... but access works');
	$node->safe_psql('postgres', "$change->[1]; SELECT jit_revoke($id)");
	# so that the next finds the first one, not the one made just now
	$node->safe_psql('postgres', "DELETE FROM jit.scopes WHERE objid = 't'::regclass AND role <> '$scope'");
}
($id, $role) = grant('1 hour');
is(value("SELECT count(*) FROM pg_auth_members WHERE roleid = '$scope'::regrole AND member = '$role'::regrole"), '1',
	'once restored, it is used again');

# the extension goes only together with what it granted
($rc, $out, $err) = $node->psql('postgres', 'CREATE ROLE boss SUPERUSER; SET allow_system_table_mods = on;'
	  . " UPDATE pg_extension SET extowner = 'boss'::regrole WHERE extname = 'jit_access';"
	  . " UPDATE pg_shdepend SET refobjid = 'boss'::regrole WHERE objid = (SELECT oid FROM pg_extension WHERE extname = 'jit_access');"
	  . " INSERT INTO pg_shdepend SELECT $database, 'pg_extension'::regclass, oid, 0, 'pg_authid'::regclass, 'boss'::regrole, 'o' FROM pg_extension WHERE extname = 'jit_access';"
	  . ' DROP OWNED BY boss');
like($err, qr/cannot be dropped like this while access that it granted is active/, 'DROP OWNED BY its owner is refused');

# an approval under way is waited for, and ended as well
$node->safe_psql('postgres', "SELECT jit_revoke($id)");
$holder = $node->background_psql('postgres');
$holder->query_safe(q{SET client_min_messages = error; BEGIN; SELECT jit_grant('SELECT ON t', 'dev', '1 hour', 'under way')});
my $dropper = $node->background_psql('postgres');
$dropper->query_until(qr/dropping/, "\\echo dropping\nDROP EXTENSION jit_access;\n");
poll("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DROP EXTENSION%'", 'DROP EXTENSION waits for a grant under way');
$holder->query_safe('COMMIT');
$holder->quit;
$dropper->quit;
is(value("SELECT count(*) FROM pg_extension WHERE extname = 'jit_access'"), '0', 'it is dropped');
is(value("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit_grant_%'"), '0', '... and so is the grant');
is(scalar(() = slurp_file($node->logfile) =~ /sweeper failed/g), 0, 'no sweeper has failed');

$node->stop;
done_testing();
