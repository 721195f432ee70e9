# What PostgreSQL 19 has brought: REPACK in all its forms, what COPY and INSERT
# can do by now, WAIT FOR LSN, GRANTED BY, large objects by pg_read_all_data,
# subscriptions by way of a foreign server.  None of it is a way around the
# end, or makes anything lasting; and what is allowed while there is access works.
#
# The attacks are lines of attacks.md.  Seen to fail without
#	T_RepackStmt in may_rely()		REPACK that is running at the end
#	note_all_roles()			REPACK of everything
#	acts_as()				GRANTED BY, of objects and of roles
#	may_use_server() of subscriptions	SERVER of a subscription
#	JIT_ALL_DATA_HAS_LARGE_OBJECTS		large objects by pg_read_all_data
# What else differs is guarded by older tests: the hook of relations that are
# planned by ends_planner_statistics, types of ranges by ends_nothing_lasting.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

plan skip_all => 'these came with PostgreSQL 19'
  if PostgreSQL::Test::Cluster->new('which')->pg_version->major < 19;

my $node = new_server('main', "autovacuum = off\nmax_worker_processes = 20\nwal_level = logical", allows_streaming => 1);
$node->safe_psql('postgres', q{
	CREATE ROLE hr_owner; CREATE ROLE keeper; CREATE ROLE other; CREATE ROLE dev LOGIN; CREATE ROLE eve LOGIN;
	GRANT pg_create_subscription TO dev; GRANT CREATE ON DATABASE postgres TO dev;
	GRANT other TO dev; GRANT pg_read_all_data TO eve;
	CREATE ROLE target; GRANT target TO keeper WITH ADMIN OPTION; GRANT target TO dev WITH ADMIN OPTION;
	CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'localhost', dbname 'nowhere');
	CREATE USER MAPPING FOR dev SERVER far OPTIONS (user 'x', password 'y');
	SELECT lo_from_bytea(4711, 'secret');
	CREATE SCHEMA hr AUTHORIZATION hr_owner; GRANT USAGE ON SCHEMA hr TO PUBLIC;
	SET ROLE hr_owner;
	CREATE TABLE hr.salary (emp_no int PRIMARY KEY, amount int); INSERT INTO hr.salary SELECT i, i FROM generate_series(1, 10) i;
	CLUSTER hr.salary USING salary_pkey;
	CREATE MATERIALIZED VIEW hr.total AS SELECT sum(amount) FROM hr.salary;
	CREATE TABLE hr.parts (x int PRIMARY KEY, y int) PARTITION BY LIST (x);
	CREATE TABLE hr.part1 PARTITION OF hr.parts FOR VALUES IN (1); CREATE TABLE hr.part2 PARTITION OF hr.parts FOR VALUES IN (2);
	INSERT INTO hr.parts VALUES (1, 1), (2, 2);
	CREATE TABLE hr.guarded (x int) PARTITION BY LIST (x); CREATE TABLE hr.guarded1 PARTITION OF hr.guarded FOR VALUES IN (1);
	INSERT INTO hr.guarded VALUES (1); ALTER TABLE hr.guarded ENABLE ROW LEVEL SECURITY;
	CREATE POLICY p ON hr.guarded TO keeper USING (true); GRANT SELECT ON hr.guarded TO dev;
	CREATE FUNCTION hr.slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
		IF current_setting('test.slow', true) = 'on' THEN PERFORM pg_catalog.pg_sleep(600); END IF; RETURN $1; END $$;
	CREATE TABLE hr.slow (x int PRIMARY KEY); INSERT INTO hr.slow VALUES (1); CREATE INDEX ON hr.slow (hr.slow(x));
	CREATE TABLE hr.shared (x int, y int); GRANT SELECT ON hr.shared TO keeper, other WITH GRANT OPTION;
	GRANT CREATE, USAGE ON SCHEMA hr TO keeper, other WITH GRANT OPTION;
	CREATE FUNCTION hr.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; REVOKE EXECUTE ON FUNCTION hr.f() FROM PUBLIC; GRANT EXECUTE ON FUNCTION hr.f() TO keeper, other WITH GRANT OPTION;
	CREATE TABLE hr.kv (k int PRIMARY KEY, v text); INSERT INTO hr.kv VALUES (1, 'secret'); GRANT INSERT, SELECT (k) ON hr.kv TO dev;
	CREATE FUNCTION hr.read_kv() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT v FROM hr.kv';
	CREATE FUNCTION hr.get() RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY INSERT INTO hr.kv VALUES (1, 'x') ON CONFLICT (k) DO SELECT RETURNING v; END $$;
	RESET ROLE;
	ALTER TABLE hr.parts OWNER TO hr_owner;
});
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
stop_launcher($node);

# What comes of it as dev: output, or "SQLSTATE: message".
sub try
{
	my ($sql, $user, $on) = @_;
	my ($out, $err) = sql($on // $node, $user // 'dev', $sql);
	return $err =~ /(?:ERROR|FATAL):  (\w{5}: .*)/ ? $1 : $out;
}

my %live;
sub give
{
	my ($access) = @_;
	return $live{$access} //= grant_access($node, $access, 'dev', longer());
}

# Its roles stay, as the launcher has stopped.
sub end
{
	my $role = grant_role($node, $_[0]);
	$node->safe_psql('postgres', "ALTER ROLE $role VALID UNTIL '2020-01-01'");
	return;
}

sub drop
{
	my ($access) = @_;
	$node->safe_psql('postgres', 'DROP ROLE ' . grant_role($node, delete $live{$access}));
	return;
}

# Commands of one kind of access: each works, and is denied after the end.
sub denied_after
{
	my ($access, @commands) = @_;
	my $id = give($access);
	my %worked;
	for (my $i = 0; $i < @commands; $i += 2)
	{
		my (undef, $err) = sql($node, 'dev', $commands[ $i + 1 ]);
		$worked{ $commands[$i] } = $err =~ /ERROR/ ? $err : '';
	}
	end($id);
	while (my ($name, $command) = splice @commands, 0, 2)
	{
		attack($name, sub {
			is($worked{$name}, '', 'it works while there is access');
			my ($out, $err) = sql($node, 'dev', $command);
			like($err, qr/ERROR:  42501: permission denied for .*\n(.*\n)*DETAIL:  Request $id in postgres expired at 2020/, 'denied after the end');
		});
	}
	drop($access);
	return;
}

denied_after('hr_owner',
	'REPACK of a table' => 'REPACK hr.salary',
	'REPACK by an index' => 'REPACK hr.salary USING INDEX salary_pkey',
	'REPACK by the index of last time' => 'REPACK hr.salary USING INDEX',
	'REPACK (ANALYZE)' => 'REPACK (ANALYZE) hr.salary (amount)',
	'REPACK (CONCURRENTLY)' => 'REPACK (CONCURRENTLY) hr.salary',
	'REPACK of a partitioned table' => 'REPACK hr.parts',
	'REPACK of a materialized view' => 'REPACK hr.total',
	'CLUSTER' => 'CLUSTER hr.salary',
	'VACUUM FULL' => 'VACUUM FULL hr.salary');
denied_after('MAINTAIN ON hr.salary, hr.parts',
	'REPACK by MAINTAIN' => 'REPACK hr.salary',
	'REPACK (CONCURRENTLY) by MAINTAIN' => 'REPACK (CONCURRENTLY) hr.salary');
denied_after('pg_maintain',
	'REPACK by pg_maintain' => 'REPACK hr.salary',
	'REPACK (CONCURRENTLY) by pg_maintain' => 'REPACK (CONCURRENTLY, VERBOSE) hr.salary USING INDEX salary_pkey');
denied_after('SELECT ON hr.parts',
	'COPY of a partitioned table' => 'COPY hr.parts TO STDOUT',
	'COPY of columns of a partitioned table' => 'COPY hr.parts (y) TO STDOUT (FORMAT csv)',
	'COPY in JSON' => 'COPY hr.parts TO STDOUT (FORMAT json)',
	'COPY in JSON, as an array' => 'COPY hr.parts TO STDOUT (FORMAT json, FORCE_ARRAY)',
	'COPY of a query in JSON' => 'COPY (SELECT * FROM hr.parts) TO STDOUT (FORMAT json)');
denied_after('INSERT ON hr.shared',
	'COPY FROM that takes what is invalid for NULL' => "COPY hr.shared FROM STDIN (ON_ERROR set_null);\n1\tx\n\\.\n",
	'COPY FROM that skips some lines' => "COPY hr.shared FROM STDIN (HEADER 2);\na\nb\n1\t1\n\\.\n");
denied_after('SELECT ON hr.kv',
	'ON CONFLICT DO SELECT' => q{INSERT INTO hr.kv VALUES (1, 'x') ON CONFLICT (k) DO SELECT RETURNING v},
	'ON CONFLICT DO SELECT ... WHERE' => q{INSERT INTO hr.kv VALUES (1, 'x') ON CONFLICT (k) DO SELECT WHERE kv.v = 'secret' RETURNING k},
	'ON CONFLICT DO SELECT in WITH' => q{WITH w AS (INSERT INTO hr.kv VALUES (1, 'x') ON CONFLICT (k) DO SELECT RETURNING v) TABLE w},
	'ON CONFLICT DO SELECT in a function' => 'SELECT hr.get()',
	'EXPLAIN of ON CONFLICT DO SELECT' => q{EXPLAIN INSERT INTO hr.kv VALUES (1, 'x') ON CONFLICT (k) DO SELECT RETURNING v},
	'a function that is inlined in FROM' => 'EXPLAIN SELECT * FROM hr.read_kv()');
denied_after('SELECT, UPDATE ON hr.kv',
	'ON CONFLICT DO SELECT FOR UPDATE' => q{INSERT INTO hr.kv VALUES (1, 'x') ON CONFLICT (k) DO SELECT FOR UPDATE RETURNING v});

attack('COPY of a partitioned table with row-level security', sub {
	my $id = give('keeper');
	is(try('COPY hr.guarded TO STDOUT'), '1', 'its policy counts while there is access');
	end($id);
	like(try('COPY hr.guarded TO STDOUT'), qr/^42501: /, '... and not after it');
	drop('keeper');
});

attack('a COPY without access', sub {
	my (undef, $err) = sql($node, 'dev', 'COPY hr.parts TO STDOUT (FORMAT json)');
	like($err, qr/42501.*HINT:  .*jit_request\('SELECT ON hr\.parts'/s, 'the hint names what it takes');
});

attack('ON CONFLICT DO SELECT without access', sub {
	my (undef, $err) = sql($node, 'dev', q{INSERT INTO hr.kv VALUES (1, 'x') ON CONFLICT (k) DO SELECT FOR UPDATE RETURNING v});
	like($err, qr/42501.*HINT:  .*jit_request\('[^']*UPDATE[^']* ON hr\.kv'/s, 'the hint names what it takes');
});

# ---- what is running at the end

my @running;
sub runs
{
	my ($name, $access, $sql) = @_;
	my $s = session($node, 'dev');
	$s->do("SET test.slow = 'on'; SET client_min_messages = error");
	push @running, [ $name, $access, $s ];
	goes_on($s, $sql);
	return;
}

my $blocker = session($node, getpwuid($<) . '');
$blocker->do('BEGIN; LOCK TABLE hr.part2');
my $owner = give('hr_owner');
runs('REPACK that is running', $owner, 'REPACK hr.slow');
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'REPACK%' AND wait_event = 'PgSleep'});
my $reader = give('SELECT ON hr.parts');
my $kv = give('SELECT ON hr.kv');
runs('COPY of a partitioned table that waits', $reader, 'COPY hr.parts TO STDOUT');
runs('ON CONFLICT DO SELECT that is running', $kv, q{INSERT INTO hr.kv VALUES (1, 'x') ON CONFLICT (k) DO SELECT RETURNING v, pg_sleep(600)});
my $lsn = session($node, 'dev');
$lsn->begin(q{WAIT FOR LSN 'FFFFFF/0' WITH (MODE 'primary_flush', TIMEOUT '3s', NO_THROW)});
revoke_access($node, $_) for $reader, $kv, $owner;
sub is_cut_off
{
	my ($name, undef, $s) = @_;
	return attack($name, sub {
		ends_within($s, 10, 'it ends') or $node->safe_psql('postgres', "SELECT pg_terminate_backend($s->{pid})");
		like(($s->end)[1], qr/${CUT_OFF}DETAIL:  Request \d+ in postgres was revoked/, 'cut off');
		$s->quit;
	});
}
is_cut_off(@$_) for splice @running;
attack('WAIT FOR LSN when access ends', sub {
	is_deeply([ $lsn->end ], [ 'timeout', '' ], 'goes on: it relies on none');
	$lsn->quit;
});
$blocker->do('ROLLBACK');
$blocker->quit;
%live = ();
sweep($node);

# one at a time, as they wait for each other
foreach ([ 'REPACK (CONCURRENTLY) that is running', 'REPACK (CONCURRENTLY) hr.slow' ], [ 'REPACK of everything that is running', 'REPACK' ],
	[ 'REPACK of everything by an index', 'REPACK USING INDEX' ])
{
	$node->safe_psql('postgres', 'ALTER TABLE hr.slow CLUSTER ON slow_pkey');
	my $id = give('hr_owner');
	runs($_->[0], $id, $_->[1]);
	revoke_access($node, $id);
	is_cut_off(@{ pop @running });
	%live = ();
	sweep($node);
}
attack('what a REPACK (CONCURRENTLY) leaves that was cut off', sub {
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_replication_slots}), 'no replication slot');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname ~ '^pg_temp_|repacknew'}), 0, '... and no table');
});

# ---- WAIT FOR LSN

my $flush = q{WAIT FOR LSN '0/1' WITH (MODE 'primary_flush')};
attack('WAIT FOR LSN with access', sub {
	give('SELECT ON hr.parts');
	is(try($flush), 'success', 'waits');
	is(try("BEGIN; SELECT count(*) FROM hr.parts; $flush; COMMIT"), "2\nsuccess", '... in a transaction that has used it');
});
attack('WAIT FOR LSN after the end', sub {
	end($live{'SELECT ON hr.parts'});
	is(try($flush), 'success', 'waits: it takes no access');
	drop('SELECT ON hr.parts');
});
attack('WAIT FOR LSN under a SET ROLE that has ended', sub {
	my $id = give('keeper');
	my $s = session($node, 'dev');
	$s->do('SET ROLE keeper');
	is($s->do($flush), 'success', 'waits while there is access');
	end($id);
	like(($s->do($flush))[1], qr/ERROR:  42501: /, 'denied after the end');
	$s->do('RESET ROLE');
	is($s->do($flush), 'success', '... until RESET ROLE');
	$s->quit;
	drop('keeper');
});
attack('WAIT FOR LSN in a function', sub {
	like(try(q{DO $$ BEGIN EXECUTE $x$WAIT FOR LSN '0/1'$x$; END $$}), qr/^(0A000|25001|42601|55000|2F\w+): /, "PostgreSQL's own error");
});
attack('WAIT FOR LSN on a standby', sub {
	give('SELECT ON hr.parts');
	my $here = $node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
	my $s = session($standby, 'dev');
	is($s->do("WAIT FOR LSN '$here' WITH (TIMEOUT '60s')"), 'success', 'waits for the grant to be replayed');
	is($s->do('SELECT count(*) FROM hr.parts'), '2', '... which works then');
	end($live{'SELECT ON hr.parts'});
	$here = $node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
	is($s->do("WAIT FOR LSN '$here' WITH (TIMEOUT '60s')"), 'success', '... and for its end');
	like(($s->do('SELECT count(*) FROM hr.parts'))[1], qr/ERROR:  42501: /, '... which counts then');
	$s->quit;
	drop('SELECT ON hr.parts');
});

# ---- GRANTED BY

my $lasting = qr/^42501: temporary access is not enough for (GRANT|REVOKE)/;
attack('GRANT by a grantor that is had for good', sub {
	is(try('GRANT SELECT ON hr.shared TO eve GRANTED BY other'), '', 'works');
	is(try('REVOKE SELECT ON hr.shared FROM eve GRANTED BY other'), '', '... and to take it back, too');
});
give('keeper');
give('hr_owner');
foreach (
	[ 'GRANT by an owner that is had for a time', 'GRANT SELECT ON hr.salary TO eve GRANTED BY hr_owner' ],
	[ 'GRANT by a grantor that is had for a time, beside one for good', 'GRANT SELECT ON hr.shared TO eve GRANTED BY keeper' ],
	[ 'GRANT of a column by such a one', 'GRANT SELECT (x) ON hr.shared TO eve GRANTED BY keeper' ],
	[ 'GRANT on a schema by such a one', 'GRANT CREATE ON SCHEMA hr TO eve GRANTED BY keeper' ],
	[ 'GRANT on a function by such a one', 'GRANT EXECUTE ON FUNCTION hr.f() TO eve GRANTED BY keeper' ],
	[ 'GRANT on all tables of a schema by such a one', 'GRANT SELECT ON ALL TABLES IN SCHEMA hr TO eve GRANTED BY keeper' ],
	[ 'GRANT WITH GRANT OPTION by such a one', 'GRANT SELECT ON hr.shared TO eve WITH GRANT OPTION GRANTED BY keeper' ],
	[ 'REVOKE by an owner that is had for a time', 'REVOKE SELECT ON hr.shared FROM other GRANTED BY hr_owner CASCADE' ],
	[ 'GRANT of a role by such a one', 'GRANT target TO eve GRANTED BY keeper' ],
	[ 'GRANT by a role of ours', q{DO $$ BEGIN EXECUTE format('GRANT SELECT ON hr.shared TO eve GRANTED BY %I', (SELECT rolname FROM pg_roles WHERE rolname ~ '^jit_grant_' LIMIT 1)); END $$} ])
{
	my ($name, $sql) = @$_;
	attack($name, sub { like(try($sql), $lasting, 'refused'); });
}
end($live{keeper});
attack('GRANT by a grantor that has ended', sub {
	like(try('GRANT SELECT ON hr.shared TO eve GRANTED BY keeper'), $lasting, 'refused');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class, aclexplode(relacl) WHERE grantee = 'eve'::regrole}), 0, 'eve has nothing');
});
attack('GRANTED BY in what is asked for', sub {
	like(try(q{SELECT jit_request('SELECT ON hr.salary TO eve GRANTED BY hr_owner', '1 hour', 'x')}), qr/^42601: /, 'refused');
});
drop('keeper');
drop('hr_owner');

# ---- large objects

attack('a large object by pg_read_all_data', sub {
	is(try('SELECT lo_get(4711)', 'eve'), '\\x736563726574', 'PostgreSQL lets it be read');
	like(try(q{SELECT jit_request('SELECT ON LARGE OBJECT 4711', '1 hour', 'x')}, 'eve'), qr/eve already has this access/, '... and we know that');
	like(try(q{SELECT jit_request('UPDATE ON LARGE OBJECT 4711', '1 hour', 'x')}, 'eve'), qr/^\d+$/, '... which says nothing of writing');
});
attack('a large object by pg_read_all_data for a time', sub {
	my $id = give('pg_read_all_data');
	is(try('SELECT lo_get(4711)'), '\\x736563726574', 'reads');
	like(try(q{SELECT lo_put(4711, 0, 'x')}), qr/^42501: /, '... and does not write');
	revoke_access($node, $id);
	like(try('SELECT lo_get(4711)'), qr/^42501: /, 'denied when the roles are gone');
	%live = ();
});
attack('a large object by pg_write_all_data for a time', sub {
	my $id = give('pg_write_all_data');
	like(try('SELECT lo_get(4711)'), qr/^42501: /, 'does not read');
	my $both = give('pg_read_all_data');
	is(try(q{BEGIN; SELECT lo_put(4711, 0, 'x'); ROLLBACK}), '', '... and writes, for which PostgreSQL asks for both');
	revoke_access($node, $id);
	like(try(q{SELECT lo_put(4711, 0, 'x')}), qr/^42501: /, 'denied when the roles are gone');
	revoke_access($node, $both);
	%live = ();
});

# ---- subscriptions

my $subscribe = "CREATE SUBSCRIPTION s SERVER far PUBLICATION p WITH (connect = false)";
attack('a subscription of a server', sub {
	like(try($subscribe), qr/^42501: permission denied for foreign server far/, 'denied without access');
});
give('USAGE ON FOREIGN SERVER far');
attack('a subscription of a server that may be used for a time', sub {
	like(try($subscribe), qr/^42501: temporary access is not enough for CREATE SUBSCRIPTION/, 'refused');
});
attack('a subscription that is led to such a server', sub {
	is(try("CREATE SUBSCRIPTION s CONNECTION 'host=localhost password=x' PUBLICATION p WITH (connect = false)"), '', "it is dev's own");
	like(try('ALTER SUBSCRIPTION s SERVER far'), qr/^42501: temporary access is not enough for ALTER SUBSCRIPTION/, 'refused');
	try("ALTER SUBSCRIPTION s SET (slot_name = NONE)");
	is(try('DROP SUBSCRIPTION s'), '', '... and goes');
});
drop('USAGE ON FOREIGN SERVER far');
attack('a subscription of a server that may be used for good', sub {
	$node->safe_psql('postgres', 'GRANT USAGE ON FOREIGN SERVER far TO dev');
	is(try($subscribe), '', 'works');
});

# ---- what there is

# Whoever makes these pass for a new version has looked at what is new.
attack('a predefined role that nobody has looked at', sub {
	is($node->safe_psql('postgres', q{SELECT string_agg(substr(rolname, 4), ' ' ORDER BY rolname COLLATE "C") FROM pg_roles WHERE rolname ~ '^pg_'}),
		'checkpoint create_subscription database_owner execute_server_program maintain monitor read_all_data read_all_settings read_all_stats read_server_files signal_autovacuum_worker signal_backend stat_scan_tables use_reserved_connections write_all_data write_server_files',
		'there is none');
});
attack('a kind of object with privileges that nobody has looked at', sub {
	is($node->safe_psql('postgres', q{SELECT string_agg(substr(relname, 4), ' ' ORDER BY relname COLLATE "C") FROM pg_class c JOIN pg_attribute ON attrelid = c.oid WHERE atttypid = 'aclitem[]'::regtype AND relkind = 'r' AND relnamespace = 'pg_catalog'::regnamespace}),
		'attribute class database default_acl foreign_data_wrapper foreign_server init_privs language largeobject_metadata namespace parameter_acl proc tablespace type',
		'there is none');
});

all_attacks_done();
done_testing();
