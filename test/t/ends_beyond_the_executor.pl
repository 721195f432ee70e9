# What the executor hook doesn't see: utility commands, maintenance, access to
# files and the statistics of the planner, among others.
#
# One test per row of the table in doc/ends.md, with the launcher stopped so that
# the roles of ended access stay: first that the access makes it work, then
# that its end denies it, or, where PostgreSQL calls no hook, that it ends
# when the roles are gone.
#
# Fails without the mechanism, which was taken out one part at a time: with
# check_utility(), lost_privilege() or jit_check_lasting_object() made to do
# nothing, 5, 6 and 2 tests failed; without check_commented(), all of COMMENT.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess qw(stop_launcher continue_launcher);

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
	CREATE FUNCTION hidden.g() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN f(); END';
	GRANT USAGE ON SCHEMA hr TO dev;
	CREATE SCHEMA own AUTHORIZATION dev;
	SET ROLE hr_owner;
	CREATE TABLE hr.salary (emp_no int PRIMARY KEY, amount int);
	CREATE TABLE hr.scratch (x int PRIMARY KEY);
	CREATE MATERIALIZED VIEW hr.total AS SELECT sum(amount) FROM hr.salary;
	CREATE SEQUENCE hr.seq;
	CREATE TYPE hr.mood AS ENUM ('ok');
	CREATE FUNCTION hr.plain() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
	CREATE FUNCTION hr.simple() RETURNS int LANGUAGE sql AS 'SELECT 1';
	CREATE PROCEDURE hr.proc() LANGUAGE plpgsql AS 'BEGIN END';
	REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA hr FROM PUBLIC;
	RESET ROLE;
	SELECT lo_from_bytea(4711, 'secret');
});
stop_launcher($node);

sub sql
{
	my ($user, $sql, $db) = @_;
	# where the connection is refused, psql may be gone before it is written to
	return $node->psql($db, '', extra_params => [ '-U', $user, '-c', $sql ]) if ($db // '') eq 'closed';
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
	'SELECT FOR a relation' => 'SELECT * FROM hr.scratch', 'COPY of a table' => 'COPY hr.scratch TO STDOUT');
# what may lock for writing may lock for less
if ($node->pg_version >= 16)
{
	row('UPDATE ON hr.scratch', 'LOCK TABLE ... ACCESS SHARE by UPDATE' => 'LOCK TABLE hr.scratch IN ACCESS SHARE MODE');
	row('INSERT ON hr.scratch', 'LOCK TABLE ... ROW SHARE by INSERT' => 'LOCK TABLE hr.scratch IN ROW SHARE MODE',
		'LOCK TABLE ... ACCESS SHARE by INSERT' => 'LOCK TABLE hr.scratch IN ACCESS SHARE MODE',
		'LOCK TABLE ... ROW EXCLUSIVE by INSERT' => 'LOCK TABLE hr.scratch IN ROW EXCLUSIVE MODE');
}
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
	'ALTER INDEX RENAME' => 'ALTER INDEX hr.salary_pkey RENAME TO x',
	'CREATE INDEX' => 'CREATE INDEX ON hr.salary (amount)',
	'DROP TABLE' => 'DROP TABLE hr.scratch',
	'DROP FUNCTION' => 'DROP FUNCTION hr.plain()',
	'ALTER TABLE ADD UNIQUE' => 'ALTER TABLE hr.salary ADD UNIQUE (amount)',
	'LOCK TABLE by its owner' => 'LOCK TABLE hr.salary',
	'ALTER SEQUENCE' => 'ALTER SEQUENCE hr.seq RESTART',
	'COMMENT ON TABLE' => q{COMMENT ON TABLE hr.salary IS 'x'},
	'COMMENT ON COLUMN' => q{COMMENT ON COLUMN hr.salary.amount IS 'x'},
	'COMMENT ON CONSTRAINT' => q{COMMENT ON CONSTRAINT salary_pkey ON hr.salary IS 'x'},
	'COMMENT ON FUNCTION' => q{COMMENT ON FUNCTION hr.plain() IS 'x'},
	'COMMENT ON SCHEMA' => q{COMMENT ON SCHEMA hr IS 'x'},
	'COMMENT ON TYPE' => q{COMMENT ON TYPE hr.mood IS 'x'});
if ($node->pg_version >= 17)
{
	row('MAINTAIN ON hr.scratch',
		'LOCK TABLE by MAINTAIN' => 'LOCK TABLE hr.scratch',
		'LOCK TABLE ... ACCESS SHARE by MAINTAIN' => 'LOCK TABLE hr.scratch IN ACCESS SHARE MODE',
		'VACUUM by MAINTAIN' => 'VACUUM hr.scratch',
		'ANALYZE by MAINTAIN' => 'ANALYZE hr.scratch',
		'CLUSTER by MAINTAIN' => 'CLUSTER hr.scratch USING scratch_pkey',
		'REINDEX TABLE by MAINTAIN' => 'REINDEX TABLE hr.scratch',
		'REINDEX INDEX by MAINTAIN' => 'REINDEX INDEX hr.scratch_pkey');
	row('MAINTAIN ON hr.total', 'REFRESH MATERIALIZED VIEW by MAINTAIN' => 'REFRESH MATERIALIZED VIEW hr.total');
	row('pg_maintain',
		'VACUUM by pg_maintain' => 'VACUUM hr.scratch',
		'REINDEX INDEX by pg_maintain' => 'REINDEX INDEX hr.scratch_pkey',
		'REINDEX SCHEMA by pg_maintain' => 'REINDEX SCHEMA hr',
		'REINDEX DATABASE by pg_maintain' => 'REINDEX DATABASE hr_prod');

	# a lock that is held, and one that is waited for
	my $n = give('MAINTAIN ON hr.scratch');
	my $holder = $node->background_psql('hr_prod', on_error_stop => 0, extra_params => [ '-U', 'dev' ]);
	$holder->query('BEGIN; LOCK TABLE hr.scratch');
	my $waiter = $node->background_psql('hr_prod', on_error_stop => 0, extra_params => [ '-U', 'dev' ]);
	$waiter->query('BEGIN');
	$waiter->query_until(qr/begun/, "\\echo begun\nLOCK TABLE hr.scratch;\n");
	$node->poll_query_until('hr_prod', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'LOCK%' AND wait_event_type = 'Lock'});
	end('MAINTAIN ON hr.scratch');
	ok($node->poll_query_until('hr_prod', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'}), 'LOCK TABLE by MAINTAIN: cut off while it waits');
	$holder->query('COMMIT');
	like($holder->{stderr}, qr/ERROR:  .*access/, '... and what holds it cannot be committed');
	$_->quit for $holder, $waiter;
	$node->safe_psql('postgres', "DROP ROLE $grant{'MAINTAIN ON hr.scratch'}");
}
$node->safe_psql('postgres', 'ALTER DATABASE hr_prod OWNER TO hr_owner');
row('hr_owner', 'REINDEX DATABASE' => 'REINDEX DATABASE hr_prod');
$node->safe_psql('postgres', 'ALTER DATABASE hr_prod OWNER TO CURRENT_USER');

# ---- access of one's own goes on meanwhile
my $n = give('hr_owner');
end('hr_owner');
my ($rc, $out, $err) = sql('dev', q{CREATE TABLE own.t2 (x int PRIMARY KEY); BEGIN; LOCK TABLE own.t2; TRUNCATE own.t2; COMMIT; ANALYZE own.t2; CLUSTER own.t2 USING t2_pkey;
	REINDEX TABLE own.t2; COMMENT ON TABLE own.t2 IS 'mine'; CREATE MATERIALIZED VIEW own.m2 AS SELECT 1; REFRESH MATERIALIZED VIEW own.m2;
	CREATE FUNCTION own.f2() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT own.f2(); DROP FUNCTION own.f2(); ALTER TABLE own.t2 ADD y int; DROP TABLE own.t2});
is($err, '', 'what dev owns is dev\'s');
is((sql('dev', 'VACUUM; SELECT 1'))[1], '1', 'VACUUM of everything takes what it may');

# ---- a denial names what would have given what is denied, and nothing else
sub detail_of
{
	my ($rc, $out, $err) = sql('dev', shift);
	return $err =~ /^DETAIL:  (.*)/m ? $1 : 'none';
}
my $dropped = "Request $n in hr_prod has been ended by dropping its role, or taking its member away.";
$node->safe_psql('postgres', "DROP ROLE $grant{hr_owner}");
$n = give('SELECT ON hr.scratch');
end('SELECT ON hr.scratch');
like(detail_of('SELECT * FROM hr.scratch'), qr/^Request $n in hr_prod expired/, 'names the request');
is(detail_of('SELECT * FROM hr.total'), $dropped, '... not for what it never gave');
is(detail_of('DELETE FROM hr.scratch'), $dropped, '... nor for another privilege');
$node->safe_psql('postgres', "ALTER ROLE $grant{'SELECT ON hr.scratch'} VALID UNTIL 'infinity'");
is(detail_of('SELECT * FROM hr.scratch'), "Role $grant{'SELECT ON hr.scratch'} has no deadline, so it gives nothing.", 'names a role without deadline');
is(detail_of('SELECT * FROM hr.total'), $dropped, '... not for what it never gave');
$n = give('UPDATE ON hr.salary');
$node->safe_psql('hr_prod', 'GRANT SELECT ON hr.salary TO dev');
end('UPDATE ON hr.salary');
like(detail_of('UPDATE hr.salary SET amount = amount'), qr/^Request $n in hr_prod expired/, 'what is read by a standing privilege is no matter');
$node->safe_psql('hr_prod', 'REVOKE SELECT ON hr.salary FROM dev');
give('SELECT (emp_no) ON hr.salary');
give('SELECT (amount) ON hr.salary');
end('SELECT (emp_no) ON hr.salary');
end('SELECT (amount) ON hr.salary');
is(detail_of('SELECT * FROM hr.salary'), 'The temporary access that it relied on has ended.', 'what only two gave together');
$node->safe_psql('postgres', "DROP ROLE $grant{$_}") for 'SELECT ON hr.scratch', 'UPDATE ON hr.salary', 'SELECT (emp_no) ON hr.salary', 'SELECT (amount) ON hr.salary';

# ---- RESET ROLE helps where a SET ROLE is in force
$n = give('gatekeeper');
my $set = $node->background_psql('hr_prod', on_error_stop => 0, extra_params => [ '-U', 'dev' ]);
$set->query('SET ROLE gatekeeper');
end('gatekeeper');
$set->query('SELECT 1');
like($set->{stderr}, qr/Request $n in hr_prod expired.*\n.*HINT:  Use RESET ROLE to go on as dev\./, 'under a SET ROLE that has ended');
$set->quit;
unlike((sql('dev', 'SET ROLE gatekeeper'))[2], qr/HINT/, '... not for a SET ROLE that is refused');
$node->safe_psql('postgres', "DROP ROLE $grant{gatekeeper}");

# ---- a search path is computed once, and not again because of a deadline
$n = $node->safe_psql('hr_prod', "SELECT jit_grant('USAGE ON SCHEMA hidden', 'dev', '10 s', 'test')");
my %unqualified = (
	'a statement of its own' => 'SELECT f()',
	'after one that looked up names' => 'SELECT g()',
	'in a transaction' => 'BEGIN; SELECT f()',
	'in a DO block' => 'SELECT f()');
for my $how (sort keys %unqualified)
{
	my $s = $node->background_psql('hr_prod', on_error_stop => 0, extra_params => [ '-U', 'dev' ]);
	$s->query('SET search_path = hidden');
	is($s->query($unqualified{$how}), '1', "USAGE of a schema in the search path, $how: works while there is access");
	$unqualified{$how} = $s;
}
my $loop = $unqualified{'in a DO block'};
$loop->query_until(qr/begun/, q{\echo begun
	DO $$ BEGIN FOR i IN 1 .. 200 LOOP PERFORM f(); PERFORM pg_sleep(0.1); END LOOP; END $$;
});
$node->poll_query_until('hr_prod', "SELECT clock_timestamp() > expires_at + interval '1 s' FROM jit.requests WHERE id = $n");
for my $how (sort keys %unqualified)
{
	my $s = $unqualified{$how};
	$s->query('SELECT f()') if $s != $loop;
	$s->query('SELECT 1');
	like($s->{stderr}, qr/ERROR:  function f\(\) does not exist/, "USAGE of a schema in the search path, $how: denied");
	$s->quit;
}
$node->safe_psql('hr_prod', q{DO $$ DECLARE r name; BEGIN FOR r IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'jit\_grant\_%' AND rolvaliduntil BETWEEN '2021-01-01' AND clock_timestamp() LOOP EXECUTE 'DROP ROLE ' || r; END LOOP; END $$});

# ---- where PostgreSQL calls no hook: until the roles are gone
$node->safe_psql('hr_prod', 'ANALYZE hr.salary; INSERT INTO hr.salary VALUES (1, 1); ANALYZE hr.salary');
# access, database, statement, what it prints meanwhile, and then
my @unhooked = (
	[ 'USAGE, UPDATE ON SEQUENCE hr.seq', 'hr_prod', q{SELECT nextval('hr.seq') > 0}, 't', qr/ERROR:  permission denied for sequence seq/ ],
	[ 'USAGE, UPDATE ON SEQUENCE hr.seq', 'hr_prod', q{SELECT setval('hr.seq', 1)}, '1', qr/ERROR:  permission denied for sequence seq/ ],
	[ 'SELECT ON LARGE OBJECT 4711', 'hr_prod', 'SELECT lo_get(4711)', '\\x736563726574', qr/ERROR:  permission denied for large object 4711/ ],
	[ 'SET ON PARAMETER log_duration', 'hr_prod', 'SET log_duration = off; SELECT 1', '1', qr/ERROR:  permission denied to set parameter "log_duration"/ ],
	[ 'SELECT ON hr.salary', 'hr_prod', q{SELECT count(*) FROM pg_stats WHERE tablename = 'salary'}, '2', qr/^0$/ ],
	[ 'pg_read_all_stats', 'hr_prod', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '<insufficient%'}, 'f', qr/^t$/ ],
	[ 'hr_owner', 'hr_prod', 'ANALYZE; SELECT 1', '1', qr/WARNING:  .*"salary"/ ],
	[ 'CONNECT ON DATABASE closed', 'closed', 'SELECT 1', '1', qr/FATAL:  permission denied for database "closed"/ ]);
my %given;
for my $case (@unhooked)
{
	my ($access, $db, $sql, $meanwhile) = @$case;
	give($access, $db) unless $given{$access}++;
	($rc, $out, $err) = sql('dev', $sql, $db);
	is($out, $meanwhile, "$access: access");
}
my $currval = $node->background_psql('hr_prod', on_error_stop => 0, extra_params => [ '-U', 'dev' ]);
$currval->query(q{SELECT nextval('hr.seq')});
end($_) for keys %given;
for my $case (@unhooked)
{
	my ($access, $db, $sql, $meanwhile, $then) = @$case;
	($rc, $out, $err) = sql('dev', $sql, $db);
	is($out, $meanwhile, "$sql: no hook, goes on while the roles are there");
	unlike($err, $then, '... all of it');
}
is($currval->query(q{SELECT currval('hr.seq') > 0}), 't', 'currval(): no hook');
continue_launcher();
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit\_grant\_%'}), 'the roles go');
for my $case (@unhooked)
{
	my ($access, $db, $sql, $meanwhile, $then) = @$case;
	($rc, $out, $err) = sql('dev', $sql, $db);
	like($err . $out, $then, "$sql: ends with the roles");
}
isnt($currval->query(q{SELECT currval('hr.seq') > 0}), 't', 'currval(): ends with the roles');
$currval->quit;

$node->stop;
done_testing();
