# The extension goes, or can't come: access never outlives it.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

sub sql
{
	my ($user, $sql, $db) = @_;
	my ($rc, $out, $err) = $node->psql($db // 'hr_prod', $sql, extra_params => [ '-U', $user ]);
	return ($rc, $out, $err);
}

sub jit_roles
{
	return $node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname ~ '^jit_'});
}

# ---- CREATE EXTENSION

$node->safe_psql('postgres', 'CREATE DATABASE hr_prod');
my ($rc, $out, $err) = sql(getpwuid($<) . '', 'CREATE EXTENSION jit_access');
like($err, qr/ERROR:  jit_access must be loaded via shared_preload_libraries.*HINT:  Add jit_access to shared_preload_libraries in postgresql\.conf and restart the server/s,
	'without shared_preload_libraries the error says what to set');
is($node->safe_psql('hr_prod', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'jit'}), 0, '... and nothing is left');

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'jit_access'");
$node->restart;
$node->safe_psql('postgres', q{
	CREATE ROLE hr_owner; CREATE ROLE anna LOGIN; CREATE ROLE dev LOGIN;
	CREATE ROLE chief SUPERUSER LOGIN; CREATE ROLE root2 SUPERUSER LOGIN;
	GRANT hr_owner TO anna;
	ALTER DATABASE hr_prod OWNER TO hr_owner;
	CREATE DATABASE other OWNER hr_owner;
});
($rc, $out, $err) = sql('anna', 'SET ROLE hr_owner; CREATE EXTENSION jit_access');
like($err, qr/permission denied to create extension "jit_access".*HINT:  Must be superuser/s, 'not by the owner of the database');

$node->safe_psql($_, q{
	SET ROLE chief;
	CREATE EXTENSION jit_access;
	CREATE SCHEMA hr AUTHORIZATION hr_owner;
	GRANT USAGE ON SCHEMA hr TO dev;
	SET ROLE hr_owner;
	CREATE TABLE hr.salary AS SELECT i AS emp_no, i * 10 AS amount FROM generate_series(1, 100) i;
}) for ('hr_prod', 'other');

sub give
{
	my ($access, $db) = @_;
	my $id = (sql('dev', "SELECT jit_request('$access', '1 h', 'x')", $db))[1];
	return (sql('anna', "SELECT jit_approve($id)", $db))[1];
}

sub held
{
	my ($db) = @_;
	return (sql('dev', q{SELECT has_table_privilege('hr.salary', 'SELECT')}, $db))[1];
}

is(give('SELECT ON hr.salary'), 'active', 'access');
is(give('SELECT ON hr.salary', 'other'), 'active', 'access in another database');

# ---- who may drop it, and how

($rc, $out, $err) = sql('anna', 'SET ROLE hr_owner; DROP EXTENSION jit_access');
like($err, qr/must be owner of extension jit_access/, 'not by the owner of the database');
is(held(), 't', '... and access lives on');

($rc, $out, $err) = sql('root2', 'DROP OWNED BY chief CASCADE');
like($err, qr/ERROR:  extension jit_access cannot be dropped like this while access that it granted is active.*HINT:  Use DROP EXTENSION/s,
	'DROP OWNED is refused while there is live access');
is(held(), 't', '... and changes nothing');
($rc, $out, $err) = sql('root2', 'DROP SCHEMA jit CASCADE');
like($err, qr/because extension jit_access requires it/, 'its schema cannot be dropped alone');

$node->safe_psql('hr_prod', 'BEGIN; DROP EXTENSION jit_access; ROLLBACK');
is(held(), 't', 'a rolled back DROP EXTENSION ends nothing');
is($node->safe_psql('hr_prod', 'SELECT status FROM jit.requests'), 'active', '... and changes nothing');
$node->psql('hr_prod', 'BEGIN; SAVEPOINT a; DROP EXTENSION jit_access; ROLLBACK TO a; COMMIT');
is(held(), 't', '... nor in a subtransaction');
$node->safe_psql('hr_prod', 'CREATE VIEW v AS SELECT * FROM jit.my_requests');
($rc, $out, $err) = sql('root2', 'DROP EXTENSION jit_access');
like($err, qr/other objects depend on it/, 'something depends on it');
is(held(), 't', '... and nothing happened');

# while it waits for something else, nothing of ours holds what it will want,
# not even another of its tables (workers_native_commands.pl shows that it
# locks jit.requests first)
my $dropper = $node->background_psql('hr_prod');
$dropper->query_safe(q{BEGIN; LOCK TABLE jit.requests});
$node->safe_psql('postgres', q{DO $$ BEGIN EXECUTE (SELECT format('ALTER ROLE %I VALID UNTIL %L', rolname, rolvaliduntil - interval '30 s')
	FROM pg_roles WHERE rolname ~ '^jit_grant_' ORDER BY oid LIMIT 1); END $$});
my $asker = $node->background_psql('hr_prod', extra_params => [ '-U', 'dev' ]);
$asker->query_until(qr/asking/, "\\echo asking\nSELECT jit_request('SELECT ON hr.salary', '1 h', 'x');\n");
my $locks;
for (1 .. 1800)
{
	$locks = $node->safe_psql('hr_prod', q{
		WITH l AS MATERIALIZED (SELECT l.*, c.oid, relname, backend_type FROM pg_locks l JOIN pg_stat_activity USING (pid)
			JOIN pg_class c ON c.oid = l.relation WHERE relnamespace = 'jit'::regnamespace)
		SELECT string_agg(DISTINCT backend_type, ', '), (SELECT string_agg(DISTINCT relname, ', ') FROM l h WHERE h.granted AND h.pid IN (SELECT pid FROM l WHERE NOT granted))
			FROM l WHERE NOT granted AND relname = 'requests'});
	last if $locks =~ /,/;
	usleep(100_000);
}
is($locks, 'client backend, jit_access sweeper|', 'request and sweeper wait for DROP EXTENSION, and hold nothing that it will lock');
$dropper->query_safe('ROLLBACK');
$_->quit for ($dropper, $asker);

# an open cursor's snapshot has no part in it
($rc, $out, $err) = sql('root2', 'DROP EXTENSION jit_access CASCADE');
is($rc, 0, 'DROP EXTENSION');
is(held(), 'f', '... ends all access');
is(held('other'), 't', '... granted from this database, not from another');
is(jit_roles(), 2, '... and takes its roles along');
($rc, $out, $err) = sql('dev', 'SELECT count(*) FROM hr.salary');
like($err, qr/permission denied for table salary/, 'denied');
unlike($err, qr/HINT/, '... without a hint that could not be followed');

# ---- it can come back

$node->safe_psql('hr_prod', 'CREATE EXTENSION jit_access');
is(give('SELECT ON hr.salary'), 'active', 'it can be created again, and works');
is(held(), 't', '... and gives access');

# ---- somebody else has its roles locked, and whoever granted what has only
# just committed may have, for another moment

my $roles = $node->safe_psql('hr_prod', q{SELECT string_agg(format('COMMENT ON ROLE %I IS NULL', role), '; ')
	FROM (SELECT role FROM jit.grants UNION ALL SELECT role FROM jit.scopes) r});
my $holder = $node->background_psql('hr_prod');
$holder->query_safe("BEGIN; $roles");
$dropper = $node->background_psql('hr_prod');
$dropper->query_until(qr/dropping/, "\\echo dropping\nDROP EXTENSION jit_access;\n");
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND classid = 'pg_authid'::regclass}),
	'DROP EXTENSION waits for whoever has a role locked');
$holder->query_safe('COMMIT');
$dropper->quit;
is(jit_roles(), 2, '... and takes its roles along');

$node->safe_psql('hr_prod', 'CREATE EXTENSION jit_access');
is(give('SELECT ON hr.salary'), 'active', 'access');
my $role = $node->safe_psql('hr_prod', 'SELECT role FROM jit.grants');
$holder->query_safe("BEGIN; COMMENT ON ROLE $role IS NULL");
($rc, $out, $err) = sql('root2', 'DROP EXTENSION jit_access');
like($err, qr/ERROR:  role $role cannot be dropped: another transaction has it locked\nHINT:  pg_locks shows/,
	'... but not for ever, as all else waits for DROP EXTENSION');
is(held(), 't', '... and access is as it was');
$holder->query_safe("ROLLBACK; BEGIN; ALTER ROLE $role INHERIT");
($rc, $out, $err) = sql('root2', 'DROP EXTENSION jit_access');
like($err, qr/ERROR:  role $role cannot be dropped: another transaction is changing it\nHINT:  Try again when that has ended\./,
	'that its role is being altered makes it fail');
$holder->quit;
is(held(), 't', '... and access is as it was');

# ---- DROP DATABASE with live access

$node->safe_psql('postgres', 'DROP DATABASE hr_prod');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname ~ '^jit_grant_' AND rolvaliduntil > now()}),
	2, 'DROP DATABASE goes through; the grant role stays until its time');
is($node->safe_psql('other', q{SELECT jit_revoke_from('dev', 'gone')}), 2, '... and can be ended from another database');
is(held('other'), 'f', '... as can what that one has granted');

# ---- a catalog of another version than the library's

$node->safe_psql('other', q{UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'jit_access'});
for my $call (q{jit_request('SELECT ON hr.salary', '1 h', 'x')}, 'jit_approve(1)', q{jit_reject(1, 'x')}, 'jit_cancel(1)',
	'jit_revoke(1)', q{jit_revoke_all('x')}, q{jit_revoke_from('dev', 'x')}, q{jit_grant('SELECT ON hr.salary', 'dev', '1 h', 'x')},
	q{jit_explain('SELECT ON hr.salary', '1 h')}, q{jit_set_flow('low', '[]')}, q{jit_set_policy('p', 'low', '$.duration > 1')},
	q{jit_drop_policy('p')}, q{jit_set_label('TABLE hr.salary', 'pii')}, 'jit_reset_clock()', 'jit.to_approve(1)', 'jit.progress(1)', 'jit.may_revoke(1)')
{
	($rc, $out, $err) = sql('root2', "SELECT $call", 'other');
	like($err, qr/ERROR:  extension jit_access in other is of version 0\.9, but its library is of version [0-9.]+.*HINT:  .*ALTER EXTENSION jit_access UPDATE/s,
		"$call says that the catalog has to be updated");
}
$node->safe_psql('other', q{UPDATE pg_extension SET extversion = (SELECT default_version FROM pg_available_extensions WHERE name = 'jit_access') WHERE extname = 'jit_access'});
is(give('SELECT ON hr.salary', 'other'), 'active', '... and all is well once it is');
$node->safe_psql('other', q{UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'jit_access'});
$node->safe_psql('other', q{DROP EXTENSION jit_access});
is(held('other'), 'f', 'DROP EXTENSION of an old version ends all access');

$node->stop;
done_testing();
