# Pending requests whose object or grantee is gone lapse within seconds of the
# drop, wherever it happens, with an event that says why.
#
# The attacks are lines of attacks.md.  Seen to fail where a drop isn't noted,
# where its commit isn't counted, where a sweeper doesn't look for what is gone,
# where COMMIT PREPARED isn't taken for a drop, and where who files isn't looked
# at again.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('gone', q{
jit_access.max_pending = 3
max_prepared_transactions = 2
log_min_messages = debug1
});
create_hr($node);
$node->safe_psql('postgres', 'CREATE ROLE oncall; CREATE ROLE boss LOGIN SUPERUSER');
my $me = getpwuid($<) . '';
my $serial = 0;

sub super { return $node->safe_psql($_[1] // 'hr_prod', $_[0]); }

# Somebody who asks, and what they ask for.
sub fresh
{
	my $n = ++$serial;
	super(qq{CREATE ROLE q$n LOGIN; CREATE ROLE r$n; CREATE ROLE o$n; GRANT USAGE ON SCHEMA hr TO q$n; GRANT r$n TO anna WITH ADMIN OPTION;
		CREATE SCHEMA s$n AUTHORIZATION hr_owner; SET ROLE hr_owner;
		CREATE TABLE hr.t$n (a int, b int); CREATE TABLE s$n.t (a int); CREATE SEQUENCE hr.n$n; CREATE VIEW hr.v$n AS SELECT 1 AS a;
		CREATE FUNCTION hr.f$n() RETURNS int LANGUAGE sql RETURN 1; REVOKE EXECUTE ON FUNCTION hr.f$n() FROM PUBLIC});
	return $n;
}

sub ask
{
	my ($user, $access, $more) = @_;
	my ($out, $err) = sql($node, $user, "SELECT jit_request('$access', '1 hour', 'x'" . ($more // '') . ')', 'hr_prod');
	die $err unless $out =~ /^\d+$/;
	return $out;
}

sub status { return super("SELECT status FROM jit.requests WHERE id = $_[0]", $_[1]); }

sub lapses
{
	my ($id, $why, $db) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until(sub { status($id, $db) eq 'lapsed' }, 10), 'it has lapsed');
	like(super("SELECT string_agg(detail ->> 'reason', '|') FROM jit.events WHERE request_id = $id AND event = 'lapsed' AND login IS NULL", $db), $why, '... and its event says why');
	is(super("SELECT count(*) FROM jit.requests WHERE id = $id AND decided_at = ended_at AND ended_at < lapses_at", $db), 1, '... and when');
	return;
}

# All of these are asked for, and then dropped, before the first is looked at:
# who looks waits for a second.  "#" is the number that what is made has.
my @drops = (
	[ 'a table', 'SELECT ON hr.t#', 'DROP TABLE hr.t#', '^table hr.t#, which request \d+ in hr_prod is for, has been dropped$' ],
	[ 'one of two tables', 'SELECT ON hr.t#; SELECT ON s#.t', 'DROP TABLE s#.t', '^table s#.t, ' ],
	[ 'one of two columns', 'SELECT (a, b) ON hr.t#', 'ALTER TABLE hr.t# DROP COLUMN b', '^column b of table hr.t#, ' ],
	[ 'a column, and another of that name', 'SELECT (b) ON hr.t#', 'ALTER TABLE hr.t# DROP COLUMN b, ADD COLUMN b int', '^column b of table hr.t#, ' ],
	[ 'a table, and another of that name', 'SELECT ON hr.t#', 'BEGIN; DROP TABLE hr.t#; CREATE TABLE hr.t# (a int, b int); COMMIT', '^table hr.t#, ' ],
	[ 'a schema, CASCADE', 'SELECT ON s#.t', 'DROP SCHEMA s# CASCADE', '^table s#.t, ' ],
	[ 'DROP OWNED of who owns it', 'SELECT ON hr.t#', 'ALTER TABLE hr.t# OWNER TO o#; DROP OWNED BY o#', '^table hr.t#, ' ],
	[ 'a sequence', 'USAGE ON SEQUENCE hr.n#', 'DROP SEQUENCE hr.n#', '^sequence hr.n#, ' ],
	[ 'a view', 'SELECT ON hr.v#', 'DROP VIEW hr.v#', '^table hr.v#, ' ],
	[ 'a function', 'EXECUTE ON FUNCTION hr.f#()', 'DROP FUNCTION hr.f#()', '^function hr.f#\(\), ' ],
	[ 'a function, in a DO block', 'EXECUTE ON FUNCTION hr.f#()', 'DO $$BEGIN DROP FUNCTION hr.f#(); END$$', '^function hr.f#\(\), ' ],
	[ 'a role that was asked for', 'r#', 'DROP OWNED BY r#; DROP ROLE r#', '^role r#, which request \d+ in hr_prod is for, has been dropped$' ],
	[ 'the grantee', 'SELECT ON hr.t#', 'DROP OWNED BY q#; DROP ROLE q#', '^role q#, which it is for, has been dropped$' ]);

# ... and these aren't dropped.
my @stay = (
	[ 'a drop that is rolled back', 'SELECT ON hr.t#', 'BEGIN; DROP TABLE hr.t#; ROLLBACK' ],
	[ 'a savepoint that is rolled back', 'SELECT ON hr.t#', 'BEGIN; SAVEPOINT a; DROP TABLE hr.t#; ROLLBACK TO a; COMMIT' ],
	[ 'a rename', 'SELECT (a) ON hr.t#', 'ALTER TABLE hr.t# RENAME TO u#; ALTER TABLE hr.u# RENAME a TO c; ALTER TABLE hr.u# SET SCHEMA s#; ALTER ROLE q# RENAME TO p#' ]);

my $other = fresh();
super("GRANT USAGE ON SCHEMA hr TO oncall; GRANT oncall TO q$other");
my $for_other = ask("q$other", "SELECT ON hr.t$other", ", grantee => 'oncall'");

foreach my $case (@stay, @drops)
{
	my $n = fresh();
	s/#/$n/g foreach @$case[1 .. $#$case];
	push @$case, ask("q$n", $case->[1]);
}
super("DROP OWNED BY q$other; DROP ROLE q$other");
super($_->[2]) foreach @stay, @drops;

foreach my $case (@drops)
{
	attack $case->[0] => sub { lapses($case->[4], qr/$case->[3]/) };
}
foreach my $case (@stay)
{
	attack $case->[0] => sub { is(status($case->[3]), 'pending', 'it is pending') };
}
attack 'who asked, for another' => sub {
	is(status($for_other), 'pending', 'it is pending');
	is(sql($node, 'anna', "SELECT jit_approve($for_other)", 'hr_prod'), 'active', '... and can be approved');
};

# ---- from elsewhere

attack 'a role that was asked for, from another database' => sub {
	my $n = fresh();
	my $id = ask("q$n", "r$n");
	super("DROP ROLE r$n", 'postgres');
	lapses($id, qr/^role r$n, which request $id in hr_prod is for, has been dropped$/);
	is(sql($node, "q$n", "SELECT status FROM jit.my_requests WHERE request = $id", 'hr_prod'), 'lapsed', 'who asked is told');
	like((sql($node, 'anna', "SELECT jit_approve($id)", 'hr_prod'))[1], qr/ERROR: /, "... and it is nobody's to approve");
};
attack 'the grantee, from another database' => sub {
	my $n = fresh();
	my $id = ask("q$n", "SELECT ON hr.t$n");
	super("REVOKE USAGE ON SCHEMA hr FROM q$n");
	super("DROP ROLE q$n; CREATE ROLE q$n LOGIN", 'postgres');
	lapses($id, qr/^role q$n, which it is for, has been dropped$/);
};
attack 'a database that was asked for' => sub {
	my $n = fresh();
	super("CREATE DATABASE d$n");
	super("REVOKE CONNECT ON DATABASE d$n FROM PUBLIC");
	my $id = ask("q$n", "CONNECT ON DATABASE d$n");
	super("DROP DATABASE d$n", 'postgres');
	lapses($id, qr/^database d$n, /);
};
attack 'a prepared transaction' => sub {
	my $n = fresh();
	my $id = ask("q$n", "SELECT ON hr.t$n");
	super("BEGIN; DROP TABLE hr.t$n; PREPARE TRANSACTION 'x'");
	super("COMMIT PREPARED 'x'");
	lapses($id, qr/^table hr.t$n, /);
};
attack 'before the request for it is committed' => sub {
	my $n = fresh();
	my $s = session($node, "q$n", 'hr_prod');
	my ($id) = $s->do("BEGIN; SELECT jit_request('SELECT ON hr.t$n', '1 hour', 'x')") =~ /(\d+)/;
	super("DROP TABLE hr.t$n");
	is(($s->do('COMMIT'))[1], '', 'committed');
	lapses($id, qr/^table hr.t$n, /);
	$s->quit;
};
attack 'while somebody has the request locked' => sub {
	my $n = fresh();
	my $id = ask("q$n", "SELECT ON hr.t$n");
	my $s = session($node, $me, 'hr_prod');
	$s->do("BEGIN; SELECT FROM jit.requests WHERE id = $id FOR UPDATE");
	my $m = fresh();
	my $other = ask("q$m", "SELECT ON hr.t$m");
	super("DROP TABLE hr.t$n, hr.t$m");
	lapses($other, qr/^table hr.t$m, /);
	$s->do('ROLLBACK');
	$s->quit;
	lapses($id, qr/^table hr.t$n, /);
};
attack 'room for more' => sub {
	my $n = fresh();
	my @ids = map { ask("q$n", $_) } "SELECT ON hr.t$n", "UPDATE ON hr.t$n", "DELETE ON hr.t$n";
	like((sql($node, "q$n", qq{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x')}, 'hr_prod'))[1], qr/ERROR: .*pending/, 'they are too many');
	super("DROP TABLE hr.t$n");
	lapses($_, qr/^table hr.t$n, /) foreach @ids;
	like(ask("q$n", 'SELECT ON hr.salary'), qr/^\d+$/, 'there is room again');
};
attack 'a superuser rejects it in between' => sub {
	my $n = fresh();
	my $id = ask("q$n", "SELECT ON hr.t$n");
	my $s = session($node, 'boss', 'hr_prod');
	# what comes first
	my ($out, $err) = $s->do("DROP TABLE hr.t$n\\; SELECT jit_reject($id, 'gone')");
	is($out, 'rejected', 'it can be rejected');
	my $next = ask("q$n", "UPDATE ON s$n.t");
	super("DROP TABLE s$n.t");
	lapses($next, qr/^table s$n.t, /);
	is(status($id), 'rejected', '... and it stays so');
	is(events_of($node, $id), 'requested, rejected', '... with one event');
	$s->quit;
};

sub sweeps
{
	my ($from) = @_;
	my $database = super("SELECT oid FROM pg_database WHERE datname = 'hr_prod'");
	return scalar(() = substr(slurp_file($node->logfile), $from) =~ /starting background worker process "jit_access sweeper for database $database"/g);
}
attack 'a thousand tables, and nothing pending' => sub {
	super("SELECT jit_reject($_, 'x')") foreach split /\n/, super(q{SELECT id FROM jit.requests WHERE status = 'pending'});
	# one that lapses, so that it is known that nothing is pending
	my $n = fresh();
	my $id = ask("q$n", "SELECT ON hr.t$n");
	super("DROP TABLE hr.t$n");
	lapses($id, qr/^table hr.t$n, /);
	launcher_rests();
	my $from = -s $node->logfile;
	super(join '', map { "CREATE TABLE x$_ (); CREATE TEMP TABLE y$_ (); DROP TABLE x$_, y$_;" } 1 .. 500);
	super('CREATE ROLE z; DROP ROLE z', 'postgres');
	launcher_rests();
	is(sweeps($from), 0, 'no worker comes');
};
attack 'a thousand tables, and something pending' => sub {
	my $n = fresh();
	my $id = ask("q$n", "SELECT ON hr.t$n");
	launcher_rests();
	my $from = -s $node->logfile;
	my $start = time;
	super(join '', map { "CREATE TABLE x$_ (); CREATE TEMP TABLE y$_ (); DROP TABLE x$_, y$_;" } 1 .. 500);
	super("DROP TABLE hr.t$n");
	lapses($id, qr/^table hr.t$n, /);
	cmp_ok(sweeps($from), '<=', 2 + time - $start, 'one a second at most');
};

sub launcher_rests
{
	stop_launcher($node);
	continue_launcher();
	return;
}

attack 'the owner rejects it in between' => sub {
	my $n = fresh();
	my $id = ask("q$n", "SELECT ON hr.t$n");
	stop_launcher($node);
	super("DROP TABLE hr.t$n");
	like((sql($node, 'dev', "SELECT jit_reject($id, 'gone')", 'hr_prod'))[1], qr/ERROR:  42501: /, "not anybody's to reject");
	like((sql($node, 'anna', "SELECT jit_approve($id)", 'hr_prod'))[1], qr/ERROR:  42704: table hr.t$n, which request $id in hr_prod is for, has been dropped/, "nor anybody's to approve");
	is(sql($node, 'anna', "SELECT jit_reject($id, 'gone')", 'hr_prod'), 'rejected', 'who owned it can reject it');
	my $live = ask("q$n", 'SELECT ON hr.salary');
	super("ALTER TABLE hr.salary OWNER TO boss");
	like((sql($node, 'anna', "SELECT jit_reject($live, 'x')", 'hr_prod'))[1], qr/ERROR:  42501: /, '... but not what is there and somebody else\'s');
	super("ALTER TABLE hr.salary OWNER TO hr_owner");
	continue_launcher();
};
attack 'a copy of the database' => sub {
	my ($n, $m) = (fresh(), fresh());
	my $id = ask("q$n", "SELECT ON hr.t$n");
	my $id2 = ask("q$m", 'SELECT ON hr.salary');
	super('CREATE DATABASE copy TEMPLATE hr_prod', 'postgres');
	super("DROP TABLE hr.t$n", 'copy');
	super("REVOKE USAGE ON SCHEMA hr FROM q$m", $_) foreach 'copy', 'hr_prod';
	super("DROP ROLE q$m");
	lapses($id2, qr/^role q$m, which it is for, has been dropped$/, $_) foreach 'hr_prod', 'copy';
	is(status($id), 'pending', 'another object of that name is not concerned');
	is(status($id, 'copy'), 'pending', '... nor what is known by name');
	is(super("SELECT jit_reject($id, 'x')", 'copy'), 'rejected', '... which can be rejected');
};
attack 'a restore without it' => sub {
	my $n = fresh();
	my $id = ask("q$n", "SELECT ON hr.t$n");
	my $dump = $node->basedir . '/dump';
	$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-T', "hr.t$n", $node->connstr('hr_prod') ], 'pg_dump');
	super('CREATE DATABASE restored', 'postgres');
	$node->command_ok([ 'pg_restore', '-d', $node->connstr('restored'), $dump ], 'pg_restore');
	super("CREATE TABLE later (a int)", 'restored');
	my ($later, $err) = sql($node, "q$n", "SELECT jit_request('SELECT ON later', '1 hour', 'x')", 'restored');
	super('DROP TABLE later', 'restored');
	lapses($later, qr/^table public.later, /, 'restored');
	is(status($id, 'restored'), 'pending', 'it may be restored yet');
	super("CREATE TABLE hr.t$n (a int); ALTER TABLE hr.t$n OWNER TO hr_owner", 'restored');
	is(sql($node, 'anna', "SELECT jit_approve($id)", 'restored'), 'active', '... and be approved then');
};
attack 'a crash right after the drop' => sub {
	my $n = fresh();
	my $id = ask("q$n", "SELECT ON hr.t$n");
	stop_launcher($node);
	super("DROP TABLE hr.t$n");
	continue_launcher();
	$node->stop('immediate');
	$node->start;
	lapses($id, qr/^table hr.t$n, /);
};
attack 'dropped without the library' => sub {
	my $n = fresh();
	my $id = ask("q$n", "SELECT ON hr.t$n");
	$node->stop;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
	$node->start;
	super("DROP TABLE hr.t$n");
	$node->stop;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'jit_access'");
	$node->start;
	lapses($id, qr/^table hr.t$n, /);
};

all_attacks_done();
$node->stop;
done_testing();
