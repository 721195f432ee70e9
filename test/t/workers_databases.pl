# Databases that are dropped, renamed, closed, copied, or set to hinder: what
# was granted from them ends on time all the same, and the workers are in
# nobody's way.  Seen to fail with exit_on_error not overridden.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'jit_access'
log_statement = none
});
$node->start;

# a role to hand out that has an owner's grant option nowhere near it
$node->safe_psql('postgres', 'CREATE ROLE dev LOGIN; CREATE ROLE reporting; CREATE ROLE eve LOGIN; CREATE ROLE held');

sub create_database
{
	my ($db) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, 'CREATE EXTENSION jit_access; CREATE TABLE t AS SELECT 1 AS x');
}

sub grant
{
	my ($db, $duration) = @_;
	return $node->safe_psql($db, qq{SELECT jit_grant('SELECT ON t; reporting', 'dev', '$duration', 'why')});
}

sub role_of
{
	my ($db, $id) = @_;
	return $node->safe_psql($db, "SELECT role FROM jit.grants WHERE request_id = $id");
}

sub gone
{
	my ($role, $name) = @_;
	ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_roles WHERE rolname = '$role'"), $name);
}

sub settled
{
	my ($db, $id, $name) = @_;
	ok($node->poll_query_until($db, "SELECT status = 'expired' FROM jit.requests WHERE id = $id"), $name);
	is($node->safe_psql($db, qq{SELECT count(*) FROM pg_roles WHERE rolname = (SELECT role FROM jit.grants WHERE request_id = $id)}),
		'0', '... its role is gone');
}

# dropped
create_database('d1');
my $id = grant('d1', '8 s');
my $outliving = role_of('d1', $id);
$node->safe_psql('postgres', 'DROP DATABASE d1');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_roles WHERE rolname = '$outliving'"), '1', 'a role outlives its database');

# dropped after the deadline, with sweepers that fail in it
create_database('d1');
$id = grant('d1', '4 s');
my $role = role_of('d1', $id);
$node->safe_psql('d1', 'ALTER TABLE jit.requests RENAME TO elsewhere');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_auth_members WHERE roleid = (SELECT oid FROM pg_roles WHERE rolname = '$role')"),
	'a sweeper that fails is helped out');
is(scalar(() = slurp_file($node->logfile) =~ /sweeper failed in the database/g), 1, 'its failure is logged once');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_roles WHERE rolname = '$role'"), '1', 'the role stays');
$node->safe_psql('d1', 'ALTER TABLE jit.elsewhere RENAME TO requests');
settled('d1', $id, 'and is settled once it can be');
$node->safe_psql('postgres', 'DROP DATABASE d1');

# renamed
create_database('d2');
$id = grant('d2', '1 s');
$node->safe_psql('postgres', 'ALTER DATABASE d2 RENAME TO d3');
settled('d3', $id, 'a renamed database settles');
gone($outliving, 'the role that has outlived its database goes at its deadline');

# closed: nobody can connect, but a sweeper can
$id = grant('d3', '2 s');
$role = role_of('d3', $id);
$node->safe_psql('postgres', 'ALTER DATABASE d3 ALLOW_CONNECTIONS false');
gone($role, 'a database that allows no connections settles');
$node->safe_psql('postgres', 'ALTER DATABASE d3 ALLOW_CONNECTIONS true CONNECTION LIMIT 0');
settled('d3', $id, '... in its ledger as well');
$node->safe_psql('postgres', 'ALTER DATABASE d3 CONNECTION LIMIT -1');

# hostile settings of its owner
create_database('d4');
$node->safe_psql('d4', q{
	CREATE SCHEMA trap;
	CREATE FUNCTION trap.trapped() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
	CREATE VIEW trap.pg_authid AS SELECT trap.trapped() AS oid;
	CREATE FUNCTION trap.int4eq(int, int) RETURNS bool LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
	CREATE OPERATOR trap.= (FUNCTION = trap.int4eq, LEFTARG = int, RIGHTARG = int);
});
$id = grant('d4', '2 s');
my $lapsing = $node->safe_psql('d4', q{SET ROLE dev; SELECT jit_request('UPDATE ON t', NULL, 'lapses', clock_timestamp() + interval '2 s')});
for my $setting (
	"search_path = trap, pg_catalog",
	"default_transaction_read_only = on",
	"default_transaction_isolation = serializable",
	"default_transaction_deferrable = on",
	"statement_timeout = 1",
	"lock_timeout = 1",
	"idle_in_transaction_session_timeout = 1",
	"idle_session_timeout = 1",
	"session_replication_role = replica",
	"row_security = off",
	"session_preload_libraries = 'no_such_library'",
	"local_preload_libraries = 'no_such_library'",
	"default_tablespace = 'nowhere'",
	"temp_tablespaces = 'nowhere'",
	"role = eve",
	"DateStyle = 'German'",
	"TimeZone = 'Asia/Kathmandu'",
	"client_min_messages = error",
	"exit_on_error = on",
	"quote_all_identifiers = on",
	"work_mem = 64",
	"synchronous_commit = off")
{
	my ($rc, $out, $err) = $node->psql('postgres', "ALTER DATABASE d4 SET $setting");
	is($rc, 0, "ALTER DATABASE SET $setting") or diag($err);
}
$role = $node->safe_psql('postgres', q{SELECT rolname FROM pg_roles WHERE rolname LIKE 'jit_grant_%'});
gone($role, 'hostile settings do not hinder the sweeper');
$node->safe_psql('postgres', 'ALTER DATABASE d4 RESET ALL');
settled('d4', $id, '... nor the ledger');
ok($node->poll_query_until('d4', "SELECT status = 'lapsed' FROM jit.requests WHERE id = $lapsing"), '... nor lapsing');

# a role of ours as the current role would be denied everything
$id = grant('d4', '6 s');
$role = role_of('d4', $id);
$node->safe_psql('postgres', "ALTER DATABASE d4 SET role = $role");
gone($role, 'nor does a role that may do nothing');
$node->safe_psql('postgres', 'ALTER DATABASE d4 RESET ALL');
$id = grant('d4', '2 s');
$role = role_of('d4', $id);
$node->psql('postgres', 'ALTER DATABASE d4 SET session_authorization = eve');
gone($role, 'nor another session user');
$node->safe_psql('postgres', 'ALTER DATABASE d4 RESET ALL');

# nor one that ends the session by an error that is caught: of a role that
# can't be dropped
$node->safe_psql('postgres', 'ALTER DATABASE d4 SET exit_on_error = on');
for my $how ('revoked', 'expired')
{
	$id = grant('d4', '6 s');
	$role = role_of('d4', $id);
	$node->safe_psql('d4', "GRANT UPDATE ON t TO $role");
	if ($how eq 'revoked')
	{
		my ($rc, $out, $err) = $node->psql('d4', "SELECT jit_revoke($id)");
		is($out, 'revoked', 'exit_on_error does not hinder a revocation') or diag $err;
	}
	ok($node->poll_query_until('d4', "SELECT status = '$how' AND NOT EXISTS (SELECT FROM pg_auth_members WHERE roleid = '$role'::regrole) FROM jit.requests WHERE id = $id"),
		"... and it is $how");
	$node->safe_psql('d4', "BEGIN; REVOKE UPDATE ON t FROM $role; DROP ROLE $role; COMMIT");
}
$node->safe_psql('postgres', 'ALTER DATABASE d4 RESET ALL');

# used as a template: the copy doesn't take the original's grants for its own
my $copied = grant('d4', '10 s');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE d4');
is($node->safe_psql('copy', "SELECT status FROM jit.requests WHERE id = $copied"), 'active', 'a copied ledger has the row');
$node->safe_psql('copy', 'DROP EXTENSION jit_access');
is($node->safe_psql('d4', 'SET ROLE dev; SELECT x FROM t'), '1', 'dropping the extension there ends nothing here');
$node->safe_psql('postgres', 'CREATE DATABASE copy2 TEMPLATE d4');

# DROP EXTENSION with live grants
create_database('d5');
$id = grant('d5', '1 hour');
$role = role_of('d5', $id);
is($node->safe_psql('d5', 'SELECT count(*) > 0 FROM pg_roles WHERE rolname LIKE \'jit_scope_\' || (SELECT oid FROM pg_database WHERE datname = current_database()) || \'_%\''), 't', 'there are scope roles');
$node->safe_psql('d5', 'DROP EXTENSION jit_access');
is($node->safe_psql('d5', "SELECT count(*) FROM pg_roles WHERE rolname = '$role'"), '0', 'DROP EXTENSION ends what was granted');
is($node->safe_psql('d5', 'SELECT count(*) FROM pg_roles WHERE rolname LIKE \'jit_scope_\' || (SELECT oid FROM pg_database WHERE datname = current_database()) || \'_%\''), '0', '... and leaves no scope role');
like($node->safe_psql('d5', "SELECT coalesce(relacl::text, 'none') FROM pg_class WHERE relname = 't'"), qr/^(?!.*jit_scope)/, '... nor privileges');

# the template and its copy come to the deadline
settled('d4', $copied, 'the original settles');
ok($node->poll_query_until('copy2', "SELECT status = 'expired' FROM jit.requests WHERE id = $copied"), 'and so does the copy');
$node->stop;
done_testing();
