# What people did through temporary access is in the server log: two lines for
# each statement of the client's that relied on it, the first before anything
# is read, whatever becomes of its transaction, and none for other statements.
#
# Guards enforce/statements.c.  The attacks are lines of attacks.md.  Seen to fail
# with the first line written after the statement has run; with errors left to the
# end of the client's message; with the innermost frame taken for the client's, in
# place of the outermost; with what functions read in parallel workers left to
# the leader; with our lines escaped once more, as others are; with no look at
# savepoints that are rolled back, at the exit of the process, at what EXPLAIN
# executes, at parameters that fail; with the memory of a statement kept.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use Encode qw(encode_utf8 decode_utf8);
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;
use Protocol;

my $node = new_server('log', "wal_level = replica\nmax_wal_senders = 5\nhot_standby = on\nautovacuum = off\nrestart_after_crash = on",
	allows_streaming => 1, extra => [ '--encoding', 'UTF8', '--no-locale' ]);
create_hr($node);
my $super = getpwuid($<) . '';
sub super { return $node->safe_psql($_[1] // 'hr_prod', $_[0]); }

super(q{
	CREATE ROLE hr_reader; GRANT USAGE ON SCHEMA hr TO hr_reader; CREATE ROLE owner2 LOGIN; GRANT USAGE ON SCHEMA hr TO owner2;
	GRANT CREATE, USAGE ON SCHEMA public TO dev, owner2;
	SET ROLE hr_owner;
	CREATE TABLE hr.employee AS SELECT i AS emp_no, 'name ' || i AS last_name, 'x' AS "a""b" FROM generate_series(1, 100) i;
	CREATE TABLE hr.title AS SELECT i AS emp_no FROM generate_series(1, 10) i; GRANT SELECT ON hr.title TO dev, hr_reader;
	CREATE TABLE hr.reader AS SELECT 1 AS x; GRANT SELECT ON hr.reader TO hr_reader;
	CREATE TABLE hr.big AS SELECT i FROM generate_series(1, 20000) i; GRANT SELECT ON hr.big TO dev;
	CREATE FUNCTION hr.secret(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1; END'; REVOKE EXECUTE ON FUNCTION hr.secret FROM PUBLIC;
});
my $n = super(q{SELECT jit_grant('SELECT, INSERT, UPDATE, TRUNCATE ON hr.salary; SELECT (last_name) ON hr.employee; hr_reader; EXECUTE ON FUNCTION hr.secret(int)', 'dev', '6 hours', 'x')});
my $n2 = super(q{SELECT jit_grant('SELECT ON hr.salary', 'owner2', '6 hours', 'x')});
sql($node, 'dev', q{
	CREATE FUNCTION f() RETURNS bigint LANGUAGE plpgsql STABLE AS $$BEGIN RETURN (SELECT count(*) FROM hr.salary); END$$;
	CREATE FUNCTION imm() RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN (SELECT count(*) FROM hr.salary); END$$;
	CREATE FUNCTION safe(int) RETURNS int LANGUAGE plpgsql PARALLEL SAFE COST 10000 AS $$BEGIN PERFORM amount FROM hr.salary LIMIT 1; RETURN $1; END$$;
	CREATE FUNCTION deep() RETURNS void LANGUAGE plpgsql AS $$DECLARE r record; BEGIN
		FOR r IN SELECT emp_no FROM hr.salary LIMIT 3 LOOP PERFORM last_name FROM hr.employee; END LOOP;
		BEGIN PERFORM 1 / 0 FROM hr.salary; EXCEPTION WHEN division_by_zero THEN NULL; END;
		EXECUTE 'SELECT amount FROM hr.salary'; PERFORM count(*) FROM hr.title; END$$;
	CREATE PROCEDURE p() LANGUAGE plpgsql AS $$BEGIN
		UPDATE hr.salary SET amount = amount WHERE emp_no = 1; COMMIT;
		UPDATE hr.salary SET amount = amount WHERE emp_no = 2; ROLLBACK;
		BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END;
		PERFORM last_name FROM hr.employee; END$$;
	CREATE TABLE mine (x int); CREATE TABLE mine2 (x int);
	CREATE FUNCTION trig() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM count(*) FROM hr.salary; RETURN NEW; END$$;
	CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION trig();
	CREATE CONSTRAINT TRIGGER t AFTER INSERT ON mine2 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trig();
	CREATE TABLE ruled (x int);
	CREATE RULE r AS ON INSERT TO ruled DO ALSO (INSERT INTO mine2 SELECT emp_no FROM hr.salary WHERE false; UPDATE hr.salary SET amount = amount WHERE emp_no = NEW.x);
}, 'hr_prod');
sql($node, 'owner2', q{
	CREATE FUNCTION definer() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN RETURN (SELECT count(amount) FROM hr.salary); END$$;
	CREATE VIEW v AS SELECT amount FROM hr.salary; GRANT SELECT ON v TO eve;
}, 'hr_prod');

# The lines since there, as [ begins or ends, what they say ]; in order.
sub lines
{
	my ($from, $server) = @_;
	my $log = substr(slurp_file(($server // $node)->logfile), $from);
	return map { [ /^(\w+) (\{.*\})$/ ] } $log =~ /LOG:  jit_access: statement (.*)$/mg;
}
sub size { return -s ($_[0] // $node)->logfile; }

# What a statement, or some, have left: for each the last line, with what only
# the first one has.  Each must have both, one after the other.
sub told
{
	my ($sql, $user, $how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $from = size();
	my ($out, $err) = ref $sql ? $sql->() : ($how // \&sql)->($node, $user // 'dev', $sql, 'hr_prod');
	return pairs(lines($from));
}
sub pairs
{
	my @lines = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my (@pairs, %open);
	foreach (@lines)
	{
		my $line = JSON::PP->new->utf8->decode($_->[1]);
		if ($_->[0] eq 'begins')
		{
			push @pairs, $open{ $line->{id} } = $line;
			$line->{first} = [ map { $_->{name} } @{ $line->{used} } ];
		}
		elsif (my $first = delete $open{ $line->{id} })
		{
			%$first = (%$first, %$line);
		}
		else { fail("a last line without a first: $_->[1]"); }
	}
	is(join(', ', sort keys %open), '', 'each has its last line');
	return @pairs;
}
sub texts { return join ' ## ', map { $_->{text} // '' } @_; }
sub used { return join '; ', map { my $u = $_; join(',', @{ $u->{privileges} }) . " $u->{kind} $u->{name}" . ($u->{columns} ? '(' . join(',', sort @{ $u->{columns} }) . ')' : '') } @{ $_[0]->{used} }; }

# One pair, and what it says.
sub one
{
	my ($pairs, %expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(scalar @$pairs, 1, 'one pair') or diag(texts(@$pairs));
	my $pair = $pairs->[0] // {};
	$expected{outcome} //= 'done';
	is($_ eq 'used' ? used($pair) : $pair->{$_}, $expected{$_}, "... $_") foreach sort keys %expected;
	return $pair;
}
my $salary = 'SELECT table hr.salary(amount)';

# ---- what becomes of it

attack 'a statement' => sub {
	my $pair = one([ told('SELECT amount FROM hr.salary LIMIT 3') ], text => 'SELECT amount FROM hr.salary LIMIT 3', rows => 3, used => $salary, login => 'dev', role => 'dev', database => 'hr_prod');
	is_deeply($pair->{requests}, [ { request => $n, database => 'hr_prod' } ], 'which request');
	ok($pair->{ms} >= 0 && $pair->{ms} < 10000, 'how long');
	ok(!exists $pair->{sqlstate}, 'no error');
};
attack 'columns, joins, other tables' => sub {
	one([ told(q{SELECT e.last_name, s.* FROM hr.employee e, hr.salary s JOIN hr.title USING (emp_no) WHERE e.last_name = 'x'}) ],
		used => 'SELECT table hr.employee(last_name); SELECT table hr.salary(amount,emp_no)');
	one([ told('SELECT count(*) FROM hr.salary') ], used => 'SELECT table hr.salary');
	one([ told('SELECT s FROM hr.salary s LIMIT 1') ], used => 'SELECT table hr.salary(*)');
	one([ told('UPDATE hr.salary SET amount = amount + 1 WHERE emp_no = 100') ], used => 'SELECT,UPDATE table hr.salary(amount,emp_no)', rows => 1);
};
attack 'rolled back' => sub {
	one([ told('BEGIN; UPDATE hr.salary SET amount = 1 WHERE emp_no < 6; ROLLBACK') ], rows => 5);
	one([ told('BEGIN; SAVEPOINT s; SELECT amount FROM hr.salary; ROLLBACK TO s; COMMIT') ], rows => 100);
};
attack 'failed' => sub {
	one([ told('SELECT 1 / (amount - 50) FROM hr.salary') ], outcome => 'failed', sqlstate => '22012', text => 'SELECT 1 / (amount - 50) FROM hr.salary', used => $salary);
	one([ told('INSERT INTO hr.salary SELECT * FROM hr.salary WHERE amount / 0 > 1') ], outcome => 'failed', sqlstate => '22012');
};
attack 'failed after a savepoint, and then another' => sub {
	my @pairs = told('BEGIN; SAVEPOINT s; SELECT 1 / (amount - 50) FROM hr.salary; ROLLBACK TO s; SELECT last_name FROM hr.employee; COMMIT', 'dev',
		sub { my ($node, $user, $sql) = @_; return $node->psql('hr_prod', $sql, on_error_stop => 0, extra_params => [ '-U', $user ]) });
	is(join(' ', map { "$_->{outcome} $_->{rows}" } @pairs), 'failed 4 done 100', 'both, and the rows that came');
};
attack 'an error that a function catches' => sub {
	one([ told('SELECT deep()') ], used => 'SELECT table hr.salary(amount,emp_no); SELECT table hr.employee(last_name)', text => 'SELECT deep()');
};
attack 'canceled by its user' => sub {
	my $s = session($node, 'dev', 'hr_prod');
	my $from = size();
	$s->begin('SELECT pg_sleep(600) FROM hr.salary');
	ok(wait_until(sub { lines($from) }, 10), 'the first line is there while it runs');
	like(finish($node, $s), qr/57014/, 'canceled');
	one([ pairs(lines($from)) ], outcome => 'failed', sqlstate => '57014');
	$s->quit;
};
attack 'cut off' => sub {
	my $s = session($node, 'anna', 'hr_prod');
	super('GRANT USAGE ON SCHEMA hr TO eve');
	my $short = super(q{SELECT jit_grant('SELECT ON hr.salary', 'eve', '5 s', 'x')});
	my $e = session($node, 'eve', 'hr_prod');
	my $from = size();
	$e->begin('SELECT pg_sleep(600) FROM hr.salary');
	like(($e->end)[1], $CUT_OFF, 'cut off at its deadline');
	one([ pairs(lines($from)) ], outcome => 'cut off', sqlstate => '57014');
	$short = super(q{SELECT jit_grant('SELECT ON hr.salary', 'eve', '1 hour', 'x')});
	$from = size();
	goes_on($e, 'DO $$ BEGIN PERFORM pg_sleep(600) FROM hr.salary; END $$');
	super("SELECT jit_revoke($short, 'x')");
	like(($e->end)[1], $CUT_OFF, 'revoked');
	one([ pairs(lines($from)) ], outcome => 'cut off', login => 'eve');
	$_->quit for $s, $e;
};
attack 'a session that is terminated' => sub {
	my $s = session($node, 'dev', 'hr_prod');
	my $from = size();
	$s->begin('SELECT pg_sleep(600) FROM hr.salary');
	ok(wait_until(sub { lines($from) }, 10), 'it runs');
	super("SELECT pg_terminate_backend($s->{pid})");
	ok(wait_until(sub { lines($from) == 2 }, 10), 'it has ended');
	one([ pairs(lines($from)) ], outcome => 'session ended', sqlstate => '57P01');
};
attack 'what is denied' => sub {
	is(told(q{SELECT "a""b" FROM hr.employee}), 0, 'no privilege');
	is(told(q{SELECT amount, "a""b" FROM hr.salary, hr.employee}), 0, '... on one of two');
};
attack 'what relies on nothing' => sub {
	is(told('BEGIN; SELECT 1; SELECT * FROM hr.title; SET work_mem = 100; SAVEPOINT s; COMMIT; CREATE TEMP TABLE t (x int); INSERT INTO t VALUES (1); TABLE jit.my_access'), 0, 'nothing of it');
	is(told('SET ROLE hr_reader'), 0, 'nor SET ROLE');
	is(told('SELECT * FROM hr.salary', $super), 0, 'nor what a superuser does');
};

# ---- what it is

attack 'cursors' => sub {
	my @pairs = told('BEGIN; DECLARE c CURSOR FOR SELECT amount FROM hr.salary; FETCH 2 FROM c; FETCH 3 FROM c; MOVE 1 IN c; CLOSE c; COMMIT');
	is(join(' ', map { $_->{rows} // '-' } @pairs), '- 2 3 1', 'DECLARE, each FETCH, MOVE');
	is(scalar(grep { used($_) eq $salary && $_->{text} =~ /DECLARE c CURSOR FOR SELECT amount FROM hr.salary/ } @pairs), 4, '... with what was declared');
	@pairs = told('BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT amount FROM hr.salary; COMMIT; FETCH 3 FROM c');
	is(join(' ', map { $_->{rows} // '-' } @pairs), '- 100', 'WITH HOLD reads all at COMMIT, and nothing later');
};
attack 'EXECUTE' => sub {
	told('PREPARE q(int) AS SELECT amount FROM hr.salary WHERE emp_no = $1');
	my @pairs = told('PREPARE q(int) AS SELECT amount FROM hr.salary WHERE emp_no = $1; EXECUTE q(5)');
	one(\@pairs, text => 'PREPARE q(int) AS SELECT amount FROM hr.salary WHERE emp_no = $1', parameters => q{$1 = '5'}, rows => 1);
	@pairs = told('PREPARE q(int) AS UPDATE hr.salary SET amount = $1 WHERE emp_no = 7; EXECUTE q(70)');
	one(\@pairs, parameters => q{$1 = '70'}, rows => 1);
};
attack 'EXECUTE in EXPLAIN and CREATE TABLE AS' => sub {
	my $prepare = 'PREPARE q(int) AS SELECT amount FROM hr.salary WHERE emp_no = $1';
	foreach ('EXPLAIN EXECUTE q(5)', 'EXPLAIN (ANALYZE) EXECUTE q(5)', 'CREATE TEMP TABLE t AS EXECUTE q(5)', 'EXPLAIN ANALYZE CREATE TEMP TABLE t AS EXECUTE q(5)')
	{
		one([ told("$prepare; $_") ], text => $_, prepared => $prepare, parameters => q{$1 = '5'}, used => 'SELECT table hr.salary(amount,emp_no)');
	}
};
attack 'prepared by protocol' => sub {
	my $c = Protocol->new($node, 'dev');
	$c->do(Protocol::parse('s', 'SELECT amount FROM hr.salary WHERE emp_no = $1', 23), Protocol::sync());
	foreach my $x (3, 4)
	{
		one([ told(sub { is($c->do(Protocol::bind('', 's', $x), Protocol::execute(''), Protocol::sync()), "${x}0\n", 'runs') }) ],
			text => 'SELECT amount FROM hr.salary WHERE emp_no = $1', parameters => "\$1 = '$x'", rows => 1);
	}
	is(told(sub { $c->do(Protocol::bind('', 's', 1), Protocol::sync()) }), 0, 'what is bound and not run has read nothing');
	one([ told(sub { $c->do(Protocol::parse('', 'DELETE FROM mine; '), Protocol::bind('', ''), Protocol::execute(''), Protocol::parse('', 'UPDATE hr.salary SET amount = amount'), Protocol::bind('', ''), Protocol::execute(''), Protocol::sync()) }) ], rows => 100);
};
attack 'a pipeline' => sub {
	my $c = Protocol->new($node, 'dev');
	my @pairs = told(sub { $c->do((map { Protocol::parse('', "SELECT amount FROM hr.salary WHERE emp_no = $_"), Protocol::bind('', ''), Protocol::execute('') } 1 .. 3), Protocol::sync()) });
	is(texts(@pairs), join(' ## ', map { "SELECT amount FROM hr.salary WHERE emp_no = $_" } 1 .. 3), 'three');
	@pairs = told(sub { $c->do((map { Protocol::parse("s$_", "SELECT amount FROM hr.salary LIMIT $_"), Protocol::bind("p$_", "s$_") } 1 .. 2), (map { Protocol::execute("p$_") } 2, 1), Protocol::sync()) });
	is(join(' ', map { $_->{rows} } @pairs), '2 1', 'named portals, run in another order');
	@pairs = told(sub { $c->do((map { Protocol::parse('', $_), Protocol::bind('', ''), Protocol::execute('') } 'SELECT amount FROM hr.salary LIMIT 1', 'SELECT 1 / (amount - 50) FROM hr.salary', 'SELECT 2 FROM hr.salary'), Protocol::sync()) });
	is(join(' ', map { $_->{outcome} } @pairs), 'done failed', 'one that fails');
};
attack 'a portal that is taken up again' => sub {
	my $c = Protocol->new($node, 'dev');
	my @pairs = told(sub { $c->do(Protocol::parse('', 'SELECT amount FROM hr.salary'), Protocol::bind('p', ''), Protocol::execute('p', 60), Protocol::execute('p', 60), Protocol::sync()) });
	is(join(' ', map { "$_->{rows} $_->{text}" } @pairs), '60 SELECT amount FROM hr.salary 40 SELECT amount FROM hr.salary', 'each time');
};
attack 'a transaction that is left open' => sub {
	my $c = Protocol->new($node, 'dev');
	my $from = size();
	$c->do(Protocol::query('BEGIN'));
	$c->do(Protocol::parse('', 'SELECT amount FROM hr.salary'), Protocol::bind('', ''), Protocol::execute(''), Protocol::sync());
	one([ pairs(lines($from)) ], rows => 100);
	$from = size();
	$c->do(Protocol::parse('', 'SELECT amount FROM hr.salary FOR UPDATE'), Protocol::bind('', ''), Protocol::execute(''), Protocol::sync());
	one([ pairs(lines($from)) ], rows => 100);
};
attack 'several statements in one message' => sub {
	my $c = Protocol->new($node, 'dev');
	my @pairs = told(sub { $c->do(Protocol::query("SELECT 1;  SELECT amount FROM hr.salary ; SELECT f(); UPDATE hr.salary SET amount = 1 WHERE false;SELECT 2")) });
	is(texts(@pairs), 'SELECT amount FROM hr.salary ## SELECT f() ## UPDATE hr.salary SET amount = 1 WHERE false', 'each has its own part of it');
};
attack 'functions' => sub {
	one([ told('SELECT f(), f()') ], used => 'SELECT table hr.salary', text => 'SELECT f(), f()', rows => 1);
	one([ told('SELECT f() FROM generate_series(1, 500)') ], used => 'SELECT table hr.salary', rows => 500);
	one([ told('SELECT hr.secret(1)') ], used => 'EXECUTE function hr.secret(integer)');
	my $pair = one([ told('SELECT deep() FROM hr.salary LIMIT 1') ], used => 'SELECT table hr.salary(amount,emp_no); SELECT table hr.employee(last_name)');
	is("@{ $pair->{first} }", 'hr.salary', 'the first line has what is known by then');
};
attack 'a function that the planner runs' => sub {
	one([ told('SELECT imm()') ], text => 'SELECT imm()');
	one([ told('SELECT imm(), amount FROM hr.salary WHERE amount > f() LIMIT 1') ], text => 'SELECT imm(), amount FROM hr.salary WHERE amount > f() LIMIT 1', rows => 1);
	my $c = Protocol->new($node, 'dev');
	$c->do(Protocol::query('SELECT 1'));
	ok(told(sub { $c->do(Protocol::parse('', 'SELECT imm()'), Protocol::bind('', ''), Protocol::execute(''), Protocol::sync()) }) >= 1, 'by protocol, too');
};
attack 'a function called by protocol' => sub {
	my $oid = super(q{SELECT 'f()'::regprocedure::oid});
	my $c = Protocol->new($node, 'dev');
	one([ told(sub { $c->do(Protocol::call($oid)) }) ], used => 'SELECT table hr.salary');
};
attack "others' access: a function's or a view's owner" => sub {
	my $pair = one([ told('SELECT definer()', 'eve') ], used => $salary, login => 'eve', text => 'SELECT definer()');
	is($pair->{requests}[0]{request}, $n2, "the owner's request");
	one([ told('SELECT * FROM v LIMIT 2', 'eve') ], used => $salary, rows => 2);
};
attack 'DO and procedures that end transactions' => sub {
	one([ told('DO $$ BEGIN FOR i IN 1 .. 50 LOOP PERFORM f(); END LOOP; END $$') ], used => 'SELECT table hr.salary');
	one([ told('CALL p()') ], used => 'SELECT,UPDATE table hr.salary(amount,emp_no); SELECT table hr.employee(last_name)', text => 'CALL p()');
	one([ told('DO $$ BEGIN PERFORM f(); ROLLBACK; PERFORM 1 / 0; END $$') ], outcome => 'failed', sqlstate => '22012');
};
attack 'COPY' => sub {
	one([ told('COPY hr.salary TO STDOUT') ], rows => 100, used => 'SELECT table hr.salary(amount,emp_no)');
	one([ told('COPY (SELECT amount FROM hr.salary LIMIT 4) TO STDOUT') ], rows => 4, used => $salary);
	one([ told("COPY hr.salary (emp_no) FROM STDIN;\n300\n301\n\\.\n") ], rows => 2, used => 'INSERT table hr.salary(emp_no)');
	one([ told("COPY hr.salary (emp_no) FROM STDIN;\nx\n\\.\n") ], outcome => 'failed', sqlstate => '22P02');
};
attack 'utility statements' => sub {
	one([ told('BEGIN; LOCK hr.salary IN ROW EXCLUSIVE MODE; COMMIT') ], text => 'LOCK hr.salary IN ROW EXCLUSIVE MODE');
	one([ told('EXPLAIN SELECT amount FROM hr.salary') ], used => $salary);
	one([ told('EXPLAIN ANALYZE SELECT amount FROM hr.salary') ], used => $salary);
	one([ told('CREATE TEMP TABLE t AS SELECT amount FROM hr.salary') ], used => $salary, rows => 102);
	one([ told('BEGIN; TRUNCATE hr.salary; ROLLBACK') ], used => 'TRUNCATE table hr.salary');
};
attack 'triggers and rules' => sub {
	one([ told('INSERT INTO mine VALUES (1)') ], text => 'INSERT INTO mine VALUES (1)', rows => 1, used => 'SELECT table hr.salary');
	one([ told('BEGIN; INSERT INTO mine2 VALUES (1); COMMIT') ], text => 'COMMIT', used => 'SELECT table hr.salary');
	one([ told('INSERT INTO mine2 VALUES (1)') ], text => 'INSERT INTO mine2 VALUES (1)');
	one([ told('INSERT INTO ruled VALUES (3)') ], text => 'INSERT INTO ruled VALUES (3)', used => 'SELECT,UPDATE table hr.salary(amount,emp_no)');
};
attack 'SET ROLE' => sub {
	my @pairs = told('SET ROLE hr_reader; SELECT x FROM hr.reader; COPY hr.reader TO STDOUT; RESET ROLE; SELECT x FROM hr.reader LIMIT 0');
	is(join(' ## ', map { "$_->{login} $_->{role}: " . used($_) } @pairs), 'dev hr_reader: SET ROLE role hr_reader; SELECT table hr.reader(x)' . ' ## dev hr_reader: SET ROLE role hr_reader; SELECT table hr.reader(x)' . ' ## dev dev: SELECT table hr.reader(x)', 'the role, what it reads, and who it is');
};
attack 'parallel workers' => sub {
	my $parallel = 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2; ';
	super('ANALYZE hr.big');
	one([ told("${parallel}SET force_parallel_mode = on; SELECT count(amount) FROM hr.salary", 'dev') ], used => $salary) if $node->pg_version < 16;
	my @pairs = told("${parallel}SET parallel_leader_participation = off; SELECT count(safe(i)) FROM hr.big WHERE i < 100");
	ok(@pairs >= 1 && @pairs <= 2, 'what functions read in workers is told of by these') or diag(scalar @pairs);
	is(used($_), $salary, '... and what it was') foreach @pairs;
	like($_->{text}, qr/SELECT count\(safe\(i\)\)/, '... in which statement') foreach @pairs;
};
attack 'in another database' => sub {
	super('CREATE ROLE elsewhere; GRANT CONNECT ON DATABASE postgres TO dev', 'postgres');
	super('CREATE TABLE far AS SELECT 1 AS x; GRANT SELECT ON far TO hr_reader', 'postgres');
	my $from = size();
	sql($node, 'dev', 'SELECT x FROM far', 'postgres');
	my $pair = one([ pairs(lines($from)) ], database => 'postgres', used => 'SELECT table public.far(x)');
	is_deeply($pair->{requests}, [ { request => $n, database => 'hr_prod' } ], 'a request of hr_prod');
};

# ---- what is written

attack 'characters that hide something' => sub {
	my $sql = "SELECT amount, E'a\n\r\t\x1b[2J' AS \"\x{202e}\x{e0001}\\\" FROM hr.salary LIMIT 1 -- \\n \"x\"\x07";
	my $from = size();
	sql($node, 'dev', encode_utf8($sql), 'hr_prod');
	my @lines = lines($from);
	is(scalar @lines, 2, 'two lines');
	unlike(decode_utf8($lines[0][1]), qr/[\x00-\x1f\x7f\x{202e}\x{e0001}]/, 'nothing in them hides anything');
	is((pairs(@lines))[0]{text}, $sql, '... and they say what was written');
};
attack 'a line that somebody else writes' => sub {
	my $from = size();
	sql($node, 'dev', q{DO $$ BEGIN RAISE LOG 'jit_access: statement ends {"id": "1.1.1", "outcome": "done"}'; END $$}, 'hr_prod');
	like(substr(slurp_file($node->logfile), $from), qr/LOG:  jit_access: statement ends .*\n.*CONTEXT:  PL\/pgSQL/, 'it has a context, as ours have not');
};
attack '1 MB of text' => sub {
	my $long = 'SELECT amount FROM hr.salary LIMIT 1 /* ' . ("\x{e4}" x 500_000) . ' */';
	my $pair = one([ told(encode_utf8($long) . "\n;") ], rows => 1);
	my $shown = length(encode_utf8($pair->{text}));
	ok($shown <= 8192 && $shown > 8180, '8 kB of it') or diag($shown);
	is(substr($long, 0, length $pair->{text}), $pair->{text}, '... from its beginning');
	is($pair->{text_bytes}, length(encode_utf8($long)), 'how long it is');
	is($pair->{text_sha256}, sha256_hex(encode_utf8($long)), 'its hash');
};
sub with
{
	my ($settings, $code) = @_;
	my $reload = sub { super("ALTER SYSTEM SET $_[0]; SELECT pg_reload_conf()", 'postgres'); };
	foreach (keys %$settings)
	{
		super("ALTER SYSTEM SET $_ = '$settings->{$_}'", 'postgres');
	}
	super('SELECT pg_reload_conf()', 'postgres');
	foreach (keys %$settings)
	{
		$node->poll_query_until('hr_prod', "SELECT setting = '$settings->{$_}' FROM pg_settings WHERE name = '$_'") or die;
	}
	$code->();
	super("ALTER SYSTEM RESET $_", 'postgres') foreach keys %$settings;
	super('SELECT pg_reload_conf()', 'postgres');
	$node->poll_query_until('hr_prod', "SELECT setting <> '$settings->{$_}' FROM pg_settings WHERE name = '$_'") foreach keys %$settings;
	return;
}
attack 'parameters' => sub {
	my $run = sub { my $c = Protocol->new($node, 'dev'); return told(sub { $c->do(Protocol::parse('', $_[0] // 'SELECT 1 / (amount - $1) FROM hr.salary WHERE $2 = $2', 23, 25), Protocol::bind('', '', 20, 'abcdefgh' x 2000), Protocol::execute(''), Protocol::sync()) }); };
	my ($pair) = $run->();
	like($pair->{parameters}, qr/^\$1 = '20', \$2 = 'abcdefgh/, 'as they are by default');
	is($pair->{parameters_bytes}, 16018, '... up to 8 kB');
	with({ log_parameter_max_length => 4 }, sub { is(($run->())[0]{parameters}, q{$1 = '20', $2 = 'abcd...'}, 'cut') });
	with({ log_parameter_max_length => 0 }, sub { ok(!exists(($run->())[0]{parameters}), 'none') });
	with({ log_parameter_max_length => 0, log_parameter_max_length_on_error => 3 }, sub {
		my $from = size();
		($pair) = $run->();
		is($pair->{parameters}, q{$1 = '20', $2 = 'abc...'}, 'of one that fails');
		unlike((lines($from))[0][1], qr/"parameters"/, '... on the last line');
	});
};
attack 'a parameter whose text is too large to be had' => sub {
	my @pairs = told(q{SET bytea_output = escape; PREPARE q(bytea) AS SELECT amount FROM hr.salary WHERE $1 IS NOT NULL LIMIT 1; EXECUTE q(textsend(repeat(U&'\00e9', 135000000)))});
	my $pair = one(\@pairs, used => $salary, rows => 1);
	like($pair->{text}, qr/^PREPARE q/, 'what was run');
	like($pair->{parameters_sqlstate} // '', qr/^(54000|XX000)$/, 'why it is not shown');
};
attack 'a long session' => sub {
	super('GRANT EXECUTE ON FUNCTION pg_get_backend_memory_contexts() TO dev');
	my $held = q{SELECT sum(total_bytes) FROM pg_get_backend_memory_contexts() WHERE name ~ '^jit_access' OR name IN ('TopMemoryContext', 'MessageContext')};
	my $s = session($node, 'dev', 'hr_prod');
	my $some = join('', map { "SELECT amount FROM hr.salary WHERE emp_no = $_; SELECT f(); " } 1 .. 200);
	$s->do($some);
	my $before = $s->do($held);
	my $from = size();
	$s->do($some) for 1 .. 4;
	is(scalar(lines($from)), 3200, 'all are told of');
	cmp_ok($s->do($held) - $before, '<', 16384, 'and nothing of it is kept');
	my ($out) = $s->do(qq{DO \$\$ DECLARE before numeric; BEGIN
		FOR i IN 1 .. 200 LOOP PERFORM deep(); PERFORM hr.secret(i); EXECUTE 'SELECT hr.secret(1)'; END LOOP; before := ($held);
		FOR i IN 1 .. 1000 LOOP PERFORM deep(); PERFORM hr.secret(i); EXECUTE 'SELECT hr.secret(1)'; END LOOP;
		PERFORM set_config('test.grown', (($held) - before)::text, false); END \$\$; SELECT current_setting('test.grown')});
	cmp_ok($out, '<', 16384, '... nor while one statement runs');
	$s->quit;
};
attack 'who could switch it off' => sub {
	foreach my $user ('dev', $super)
	{
		like((sql($node, $user, 'SET jit_access.log_statements = off', 'hr_prod'))[1], qr/ERROR:  55P02/, "SET by $user");
		like((sql($node, $super, "ALTER ROLE $user SET jit_access.log_statements = off", 'hr_prod'))[1], qr/ERROR:  55P02/, "ALTER ROLE $user SET");
	}
	like((sql($node, 'dev', "SET $_ = panic", 'hr_prod'))[1], qr/ERROR:  42501/, "... $_") for 'log_min_messages', 'log_min_error_statement';
	one([ told("SET client_min_messages = error; SET log_parameter_max_length_on_error = 0; SELECT amount FROM hr.salary") ]);
	with({ 'jit_access.log_statements' => 'off' }, sub { is(told('SELECT amount FROM hr.salary'), 0, 'postgresql.conf does'); });
	one([ told('SELECT amount FROM hr.salary') ]);
};
attack "settings of the user's" => sub {
	one([ told("SET quote_all_identifiers = on; SET search_path = hr; SET DateStyle = 'German'; SET IntervalStyle = iso_8601; SELECT amount, secret(1) FROM salary LIMIT 1") ], used => 'SELECT table hr.salary(amount); EXECUTE function hr.secret(integer)');
};

# ---- elsewhere

attack 'a standby' => sub {
	$node->backup('backup');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($node, 'backup', has_streaming => 1);
	$standby->start;
	$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
	my $from = size($standby);
	sql($standby, 'dev', 'SELECT amount FROM hr.salary LIMIT 3; SELECT 1 / (amount - 50) FROM hr.salary', 'hr_prod');
	is(join(' ', map { "$_->{outcome}" } pairs(lines($from, $standby))), 'done failed', 'told there');
	$standby->stop;
};
attack 'killed in the midst' => sub {
	my $s = session($node, 'dev', 'hr_prod');
	my $from = size();
	$s->begin('BEGIN; UPDATE hr.salary SET amount = 0; SELECT pg_sleep(600) FROM hr.salary');
	ok(wait_until(sub { lines($from) == 3 }, 10), 'it runs');
	kill 'KILL', $s->{pid};
	ok(wait_until(sub { slurp_file($node->logfile, $from) =~ /terminated by signal 9/ }), 'killed');
	wait_for_server($node);
	is(join(' ', map { $_->[0] } lines($from)), 'begins ends begins', 'the first line is there');
};
attack 'a full log disk' => sub {
	my $log = $node->logfile;
	$node->stop;
	$node->{_logfile} = '/dev/full';
	$node->start;
	my ($out, $err) = sql($node, 'dev', 'SELECT count(*) FROM hr.salary; SELECT f(); COPY (SELECT amount FROM hr.salary LIMIT 1) TO STDOUT', 'hr_prod');
	is($err, '', 'no error');
	is($out, "102\n102\n10", 'the statements go on');
	$node->stop;
	$node->{_logfile} = $log;
	$node->start;
	one([ told('SELECT amount FROM hr.salary LIMIT 1') ]);
};

all_attacks_done();
$node->stop;
done_testing();
