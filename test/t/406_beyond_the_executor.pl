# Issue 4, item 6: what the executor hook doesn't see.
#
# One test per row of the README's table, with the launcher stopped so that
# the roles of ended access stay: first that the access makes it work, then
# that its end denies it, or, where PostgreSQL calls no hook, that it ends
# when the roles are gone.
#
# Fails without the mechanism, which was taken out one part at a time: with
# check_utility(), lost_privilege() or jit_check_lasting_object() made to do
# nothing, 5, 6 and 2 tests failed.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'jit_access'");
$node->start;

$node->safe_psql('postgres', q{
	CREATE ROLE hr_owner; CREATE ROLE dev LOGIN; CREATE ROLE gatekeeper;
	CREATE DATABASE hr_prod;
	CREATE DATABASE closed;
	REVOKE CONNECT ON DATABASE closed FROM PUBLIC;
	REVOKE TEMPORARY ON DATABASE hr_prod FROM PUBLIC;
});
$node->safe_psql('closed', 'CREATE EXTENSION jit_access');
$node->safe_psql('hr_prod', q{
	CREATE EXTENSION jit_access;
	CREATE SCHEMA hr AUTHORIZATION hr_owner;
	CREATE SCHEMA hidden;
	CREATE FUNCTION hidden.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
	GRANT USAGE ON SCHEMA hr TO dev;
	CREATE SCHEMA own AUTHORIZATION dev;
	SET ROLE hr_owner;
	CREATE TABLE hr.salary (emp_no int PRIMARY KEY, amount int);
	CREATE TABLE hr.scratch (x int PRIMARY KEY);
	CREATE MATERIALIZED VIEW hr.total AS SELECT sum(amount) FROM hr.salary;
	CREATE SEQUENCE hr.seq;
	CREATE FUNCTION hr.plain() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
	CREATE FUNCTION hr.simple() RETURNS int LANGUAGE sql AS 'SELECT 1';
	CREATE PROCEDURE hr.proc() LANGUAGE plpgsql AS 'BEGIN END';
	REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA hr FROM PUBLIC;
	RESET ROLE;
	SELECT lo_from_bytea(4711, 'secret');
});
my $launcher = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'jit_access launcher'});
kill 'STOP', $launcher;

sub sql
{
	my ($user, $sql, $db) = @_;
	return $node->psql($db // 'hr_prod', $sql, extra_params => [ '-U', $user ]);
}

my %grant;	# grant role of an access
sub give
{
	my ($access, $db) = @_;
	my $n = $node->safe_psql($db // 'hr_prod', "SELECT jit_grant('$access', 'dev', '1 hour', 'test')");
	$grant{$access} = $node->safe_psql($db // 'hr_prod',
		"SELECT 'jit_grant_' || oid || '_$n' FROM pg_database WHERE datname = current_database()");
	return $n;
}

sub end
{
	my ($access) = @_;
	$node->safe_psql('postgres', "ALTER ROLE $grant{$access} VALID UNTIL '2020-01-01'");
}

# denied at once, and by us
sub denied
{
	my ($access, $request, $sql, $what) = @_;
	my ($rc, $out, $err) = sql('dev', $sql);
	like($err, qr/ERROR:  permission denied for [^\n]*\n(LINE.*\n.*\n)?(CONTEXT.*\n)?DETAIL:  Request $request in hr_prod expired at 2020/, "$what: denied");
}

# tries each before its access has ended, undoing it, and after
sub row
{
	my ($access, %commands) = @_;
	my $n = give($access);
	for my $what (sort keys %commands)
	{
		my $sql = $commands{$what};
		my ($rc, $out, $err) = sql('dev', $sql =~ /^(VACUUM|CHECKPOINT|CALL|REINDEX SCHEMA|REINDEX DATABASE|ALTER SYSTEM|CLUSTER;)/ ? $sql : "BEGIN; $sql; ROLLBACK");
		is($rc, 0, "$what: works while there is access") or diag($err);
	}
	end($access);
	denied($access, $n, $commands{$_}, $_) for sort keys %commands;
	$node->safe_psql('postgres', "DROP ROLE $grant{$access}");
}

row('TRUNCATE, SELECT ON hr.scratch', TRUNCATE => 'TRUNCATE hr.scratch');
row('UPDATE ON hr.scratch', 'LOCK TABLE' => 'LOCK TABLE hr.scratch IN EXCLUSIVE MODE');
row('SELECT ON hr.scratch', 'LOCK TABLE ... ACCESS SHARE' => 'LOCK TABLE hr.scratch IN ACCESS SHARE MODE',
	'SELECT FOR a relation' => 'SELECT * FROM hr.scratch');
row('SELECT ON hr.seq', 'a sequence, read' => 'SELECT last_value FROM hr.seq');
row('EXECUTE ON FUNCTION hr.plain(), hr.simple(); EXECUTE ON PROCEDURE hr.proc()',
	'EXECUTE of a function' => 'SELECT hr.plain()',
	'EXECUTE of a function that is inlined' => 'SELECT hr.simple()',
	'EXECUTE of a function in FROM' => 'SELECT * FROM hr.plain()',
	'EXECUTE of a procedure' => 'CALL hr.proc()');
row('USAGE ON SCHEMA hidden', 'USAGE of a schema' => 'SELECT hidden.f()');
row('CREATE ON SCHEMA hr', 'CREATE in a schema' => 'CREATE TABLE hr.t (x int)');
row('TEMPORARY ON DATABASE hr_prod', 'TEMPORARY' => 'CREATE TEMP TABLE t (x int)');
row('ALTER SYSTEM ON PARAMETER work_mem', 'ALTER SYSTEM' => q{ALTER SYSTEM SET work_mem = '4MB'});
row('pg_checkpoint', CHECKPOINT => 'CHECKPOINT');
row('pg_execute_server_program; pg_read_server_files; pg_write_server_files',
	'COPY FROM PROGRAM' => 'CREATE TABLE own.p (x text); COPY own.p FROM PROGRAM $$echo x$$; DROP TABLE own.p',
	'COPY TO a file' => q{COPY (SELECT 1) TO '/dev/null'});
row('hr_owner',
	VACUUM => 'VACUUM hr.salary',
	ANALYZE => 'ANALYZE hr.salary',
	CLUSTER => 'CLUSTER hr.salary USING salary_pkey',
	'REINDEX TABLE' => 'REINDEX TABLE hr.salary',
	'REINDEX INDEX' => 'REINDEX INDEX hr.salary_pkey',
	'REINDEX SCHEMA' => 'REINDEX SCHEMA hr',
	'REFRESH MATERIALIZED VIEW' => 'REFRESH MATERIALIZED VIEW hr.total',
	'ALTER TABLE' => 'ALTER TABLE hr.salary ADD x int',
	'ALTER TABLE RENAME' => 'ALTER TABLE hr.salary RENAME TO x',
	'CREATE INDEX' => 'CREATE INDEX ON hr.salary (amount)',
	'DROP TABLE' => 'DROP TABLE hr.scratch',
	'DROP FUNCTION' => 'DROP FUNCTION hr.plain()',
	'ALTER TABLE ADD UNIQUE' => 'ALTER TABLE hr.salary ADD UNIQUE (amount)',
	'LOCK TABLE by its owner' => 'LOCK TABLE hr.salary',
	'ALTER SEQUENCE' => 'ALTER SEQUENCE hr.seq RESTART');
$node->safe_psql('postgres', 'ALTER DATABASE hr_prod OWNER TO hr_owner');
row('hr_owner', 'REINDEX DATABASE' => 'REINDEX DATABASE hr_prod');
$node->safe_psql('postgres', 'ALTER DATABASE hr_prod OWNER TO CURRENT_USER');

# ---- access of one's own goes on meanwhile
my $n = give('hr_owner');
end('hr_owner');
my ($rc, $out, $err) = sql('dev', q{CREATE TABLE own.t2 (x int PRIMARY KEY); BEGIN; LOCK TABLE own.t2; TRUNCATE own.t2; COMMIT; ANALYZE own.t2; CLUSTER own.t2 USING t2_pkey;
	REINDEX TABLE own.t2; CREATE MATERIALIZED VIEW own.m2 AS SELECT 1; REFRESH MATERIALIZED VIEW own.m2;
	CREATE FUNCTION own.f2() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT own.f2(); DROP FUNCTION own.f2(); ALTER TABLE own.t2 ADD y int; DROP TABLE own.t2});
is($err, '', 'what dev owns is dev\'s');
is((sql('dev', 'VACUUM; SELECT 1'))[1], '1', 'VACUUM of everything takes what it may');

# ---- where PostgreSQL calls no hook: until the roles are gone
my $seq = give('USAGE, UPDATE ON SEQUENCE hr.seq');
my $lo = give('SELECT ON LARGE OBJECT 4711');
my $role = give('pg_read_all_stats; pg_read_server_files');
is((sql('dev', q{SELECT nextval('hr.seq')}))[1], '1', 'nextval() works');
is((sql('dev', q{SELECT lo_get(4711)}))[1], '\x736563726574', 'a large object can be read');
my $connect = give('CONNECT ON DATABASE closed', 'closed');
is((sql('dev', 'SELECT 1', 'closed'))[1], '1', 'CONNECT works');
end($_) for 'USAGE, UPDATE ON SEQUENCE hr.seq', 'SELECT ON LARGE OBJECT 4711', 'pg_read_all_stats; pg_read_server_files', 'CONNECT ON DATABASE closed';
is((sql('dev', q{SELECT nextval('hr.seq')}))[0], 0, 'nextval(): no hook, goes on while the roles are there');
is((sql('dev', q{SELECT lo_get(4711)}))[0], 0, 'large objects: no hook');
is((sql('dev', 'SELECT 1', 'closed'))[0], 0, 'CONNECT: no hook');
kill 'CONT', $launcher;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit\_grant\_%'}), 'the roles go');
like((sql('dev', q{SELECT nextval('hr.seq')}))[2], qr/ERROR:  permission denied for sequence seq/, 'nextval(): ends with the roles');
like((sql('dev', q{SELECT lo_get(4711)}))[2], qr/ERROR:  permission denied for large object 4711/, 'large objects: end with the roles');
like((sql('dev', 'SELECT 1', 'closed'))[2], qr/FATAL:  permission denied for database "closed"/, 'CONNECT: ends with the roles');
like((sql('dev', q{SELECT pg_read_file('postgresql.conf')}))[2], qr/ERROR:  permission denied for function pg_read_file/, 'predefined roles: end with the roles');

$node->stop;
done_testing();
