# Approved for nobody: what access is given to, and on, is dropped while the
# transaction that gives it is open.  Either the drop waits for its commit, or
# the commit is refused and says what was dropped, by name.  Nobody becomes a
# member of a role that is gone, no request is active for nobody, and what
# bears the name by now gets nothing.
#
# The attacks are lines of attacks.md.  Seen to fail where the grantee isn't
# locked and nothing is looked at again before the commit.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('dropped', 'jit_access.max_pending = 100');
create_hr($node);
$node->safe_psql('hr_prod', q{SELECT jit_set_flow('low', '[]'), jit_set_policy('free', 'low', '$.ticket == "free"')});
my $anna = session($node, 'anna', 'hr_prod');
my $super = session($node, getpwuid($<) . '', 'hr_prod');

sub super { return $node->safe_psql('hr_prod', $_[0]); }

# what can't be: memberships of roles or by roles that are gone; requests that
# are active for nobody, once a sweeper had its turn
my $dangling = q{SELECT count(*) FROM pg_auth_members m WHERE NOT EXISTS (SELECT FROM pg_authid WHERE oid = m.roleid)
	OR NOT EXISTS (SELECT FROM pg_authid WHERE oid = m.member) OR NOT EXISTS (SELECT FROM pg_authid WHERE oid = m.grantor)};
my $for_nobody = q{SELECT count(*) FROM jit.requests WHERE status = 'active' AND NOT EXISTS (SELECT FROM pg_authid WHERE oid = grantee_oid)};
my ($dangled, $were_for_nobody) = (0, 0);

# Have there come to be any since it was asked last?
sub none_is_new
{
	my ($was, $query, $seconds) = @_;
	my ($before, $now) = $$was;
	my $result = wait_until(sub { $now = super($query); $now <= $before }, $seconds);
	$$was = $now;
	return $result;
}
# so that few are pending; a sweeper may have come first, as what it is about is gone
sub forget
{
	my ($n) = @_;
	my ($status, $out, $err) = $node->psql('hr_prod', "SELECT jit_reject($n, 'test')");
	die $err if $status && $err !~ /ERROR:  request $n in hr_prod is (active|lapsed|expired|revoked), not pending/;
	return;
}
sub nothing_dangles { return ok(none_is_new(\$dangled, $dangling, 0), 'no membership is of a role that is gone'); }
sub none_for_nobody { return ok(none_is_new(\$were_for_nobody, $for_nobody, $_[0]), '... and no request is active for nobody' . ($_[0] ? ' for long' : '')); }

my $refused = qr/ERROR:  (55000|42704|42P01|42703|42883|3F000|55P03): /;
my $unclear = qr/XX000|cache lookup|concurrently|40P01|role \d+\b|(relation|object|with OID|OID:) \d+/;

# $s has $call open while $drop is run, then commits.  Whatever came first,
# all is well; what $name names is said.
sub race
{
	my ($s, $call, $drop, $name, %opt) = @_;
	my ($out, $err) = $s->do("BEGIN; $call");
	unlike($err, qr/ERROR/, 'called');
	$super->begin($drop);
	wait_until(sub { $super->ended || waits($node, $super) }, 20) or die 'neither dropped nor waiting';
	my $came_first = $super->ended;
	($out, $err) = $s->do('COMMIT');
	my ($dropped, $why_not) = $super->end;
	unlike($why_not, qr/ERROR/, 'it could be dropped') unless $opt{may_fail};
	if ($came_first && !$opt{harmless})
	{
		like($err, $refused, 'it is gone, and the commit is refused');
		like($err, qr/ERROR:.*\Q$name\E|DETAIL:.*\Q$name\E/, '... for what was dropped');
		none_for_nobody(0);
	}
	else
	{
		is($err, '', 'committed');
		none_for_nobody(15);
	}
	unlike($err, $unclear, 'no error is of the inside');
	nothing_dangles();
	$s->do('ROLLBACK');
	return $came_first;
}

# A grantee, a table, ...: made anew for each
my $serial = 0;
sub fresh
{
	my $n = ++$serial;
	super(qq{CREATE ROLE q$n LOGIN; CREATE ROLE r$n; GRANT r$n TO anna WITH ADMIN OPTION;
		GRANT USAGE ON SCHEMA hr TO q$n;
		SET ROLE hr_owner;
		CREATE SCHEMA s$n; CREATE TABLE s$n.t AS SELECT 1 AS a, 2 AS b; CREATE TABLE hr.t$n AS SELECT 1 AS a, 2 AS b;
		CREATE SEQUENCE hr.n$n; CREATE VIEW hr.v$n AS SELECT 1 AS a;
		CREATE FUNCTION hr.f$n() RETURNS int LANGUAGE sql RETURN 1; REVOKE EXECUTE ON FUNCTION hr.f$n() FROM PUBLIC});
	return $n;
}

# approved by anna, from here on: the number of a request of q$n's
sub asked
{
	my ($n, $access) = @_;
	my ($out, $err) = sql($node, "q$n", "SELECT jit_request('$access', '1 hour', 'x')", 'hr_prod');
	die $err unless $out =~ /^\d+$/;
	return $out;
}

# DROP OWNED takes away what it was granted, as whoever drops a role must
sub drop_role { return "DROP OWNED BY $_[0]; DROP ROLE $_[0]"; }

attack 'the grantee, approved' => sub {
	my $n = fresh();
	race($anna, 'SELECT jit_approve(' . asked($n, 'SELECT ON hr.salary') . ')', drop_role("q$n"), "q$n");
};
attack 'the grantee, granted to' => sub {
	my $n = fresh();
	race($anna, "SELECT jit_grant('SELECT ON hr.salary', 'q$n', '1 hour', 'x')", drop_role("q$n"), "q$n");
};
attack 'the grantee, by who needs nobody' => sub {
	my $n = fresh();
	my $s = session($node, "q$n", 'hr_prod');
	race($s, "SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x', ticket => 'free')", drop_role("q$n"), "q$n");
	$s->quit;
};
attack 'the grantee, after others were given the same' => sub {
	my $n = fresh();
	super("SELECT jit_grant('SELECT ON hr.t$n', 'eve', '1 hour', 'x')");
	race($anna, 'SELECT jit_approve(' . asked($n, "SELECT ON hr.t$n") . ')', drop_role("q$n"), "q$n");
};
attack 'the grantee, and another of that name' => sub {
	my $n = fresh();
	race($anna, 'SELECT jit_approve(' . asked($n, 'SELECT ON hr.salary') . ')', drop_role("q$n") . "; CREATE ROLE q$n LOGIN", "q$n");
	is(super("SELECT has_table_privilege('q$n', 'hr.salary', 'SELECT')"), 'f', 'the other one gets nothing');
};
attack 'the grantee is renamed, and another gets its name' => sub {
	my $n = fresh();
	race($anna, 'SELECT jit_approve(' . asked($n, 'SELECT ON hr.salary') . ')', "ALTER ROLE q$n RENAME TO was_q$n; CREATE ROLE q$n LOGIN", "q$n", harmless => 1);
	is(super("SELECT has_table_privilege('was_q$n', 'hr.salary', 'SELECT')"), 't', 'whom it was approved for has it');
	is(super("SELECT has_table_privilege('q$n', 'hr.salary', 'SELECT')"), 'f', 'the other one gets nothing');
};
attack 'the grantee becomes a superuser' => sub {
	my $n = fresh();
	$anna->do('BEGIN; SELECT jit_approve(' . asked($n, 'SELECT ON hr.salary') . ')');
	super("ALTER ROLE q$n SUPERUSER");
	like(($anna->do('COMMIT'))[1], qr/ERROR:  (55000|0LP01): .*q$n/s, 'refused');
	$anna->do('ROLLBACK');
};
attack 'a role that was asked for' => sub {
	my $n = fresh();
	race($anna, 'SELECT jit_approve(' . asked($n, "r$n") . ')', drop_role("r$n"), "r$n");
};
attack 'a role that was asked for, and another of that name' => sub {
	my $n = fresh();
	race($anna, 'SELECT jit_approve(' . asked($n, "r$n") . ')', drop_role("r$n") . "; CREATE ROLE r$n", "r$n");
	is(super("SELECT pg_has_role('q$n', 'r$n', 'MEMBER')"), 'f', 'nobody is a member of the other one');
};
attack 'one of two roles that were asked for' => sub {
	my $n = fresh();
	race($anna, 'SELECT jit_approve(' . asked($n, "SELECT ON hr.salary; r$n") . ')', drop_role("r$n"), "r$n");
};
attack 'a table' => sub {
	my $n = fresh();
	race($anna, 'SELECT jit_approve(' . asked($n, "SELECT ON hr.t$n") . ')', "DROP TABLE hr.t$n", "t$n");
};
attack 'a table, and another of that name' => sub {
	my $n = fresh();
	race($anna, 'SELECT jit_approve(' . asked($n, "SELECT ON hr.t$n") . ')', "BEGIN; DROP TABLE hr.t$n; CREATE TABLE hr.t$n AS SELECT 1 AS a; COMMIT", "t$n");
	is(super("SELECT has_table_privilege('q$n', 'hr.t$n', 'SELECT')"), 'f', 'nobody gets the other one');
};
attack 'a table that others were given' => sub {
	my $n = fresh();
	super("SELECT jit_grant('SELECT ON hr.t$n', 'eve', '1 hour', 'x')");
	race($anna, 'SELECT jit_approve(' . asked($n, "SELECT ON hr.t$n") . ')', "DROP TABLE hr.t$n", "t$n");
};
attack 'one of two tables' => sub {
	my $n = fresh();
	race($anna, "SELECT jit_grant('SELECT ON hr.salary, hr.t$n', 'q$n', '1 hour', 'x')", "DROP TABLE hr.t$n", "t$n");
};
attack 'a column' => sub {
	my $n = fresh();
	race($anna, 'SELECT jit_approve(' . asked($n, "SELECT (a, b) ON hr.t$n") . ')', "ALTER TABLE hr.t$n DROP COLUMN b", 'b');
};
attack 'a column, and another of that name' => sub {
	my $n = fresh();
	race($anna, 'SELECT jit_approve(' . asked($n, "SELECT (b) ON hr.t$n") . ')', "ALTER TABLE hr.t$n DROP COLUMN b, ADD COLUMN b int", 'b');
	is(super("SELECT has_column_privilege('q$n', 'hr.t$n', 'b', 'SELECT')"), 'f', 'nobody gets the other one');
};
attack 'a schema, CASCADE' => sub {
	my $n = fresh();
	race($anna, 'SELECT jit_approve(' . asked($n, "SELECT ON s$n.t") . ')', "DROP SCHEMA s$n CASCADE", "s$n");
};
attack 'a sequence' => sub {
	my $n = fresh();
	race($anna, 'SELECT jit_approve(' . asked($n, "USAGE ON SEQUENCE hr.n$n") . ')', "DROP SEQUENCE hr.n$n", "n$n");
};
attack 'a view' => sub {
	my $n = fresh();
	race($anna, 'SELECT jit_approve(' . asked($n, "SELECT ON hr.v$n") . ')', "DROP VIEW hr.v$n", "v$n");
};
attack 'a function' => sub {
	my $n = fresh();
	race($anna, 'SELECT jit_approve(' . asked($n, "EXECUTE ON FUNCTION hr.f$n()") . ')', "DROP FUNCTION hr.f$n()", "f$n");
};
attack 'the scope role' => sub {
	my $n = fresh();
	super("SELECT jit_grant('SELECT ON hr.t$n', 'eve', '1 hour', 'x')");
	my $scope = super("SELECT role FROM jit.scopes WHERE objid = 'hr.t$n'::regclass");
	race($anna, 'SELECT jit_approve(' . asked($n, "SELECT ON hr.t$n") . ')', drop_role($scope), $scope, harmless => 1);
	# if it was dropped before the commit, another one was made; if after it, no more is there
	my $left = super("SELECT count(*) FROM jit.active_grants a WHERE a.grantee = 'q$n'");
	is(super("SELECT has_table_privilege('q$n', 'hr.t$n', 'SELECT')"), $left ? 't' : 'f', 'what is said to be given is given');
};

# ---- at the same moment

attack 'DROP SCHEMA CASCADE at the same moment, 60 times' => sub {
	my @wrong;
	foreach my $round (1 .. 60)
	{
		super("SET ROLE hr_owner; CREATE SCHEMA busy; CREATE TABLE busy.t AS SELECT i AS x FROM generate_series(1, 10) i; CREATE TABLE busy.u (x int); CREATE VIEW busy.v AS SELECT * FROM busy.t");
		my $n = sql($node, 'dev', q{SELECT jit_request('SELECT ON busy.t, busy.u, busy.v', '1 hour', 'x')}, 'hr_prod');
		$anna->begin("SELECT pg_sleep(random() / 500)\\g /dev/null\nSELECT jit_approve($n)");
		$super->begin("SELECT pg_sleep(random() / 100)\\g /dev/null\nDROP SCHEMA busy CASCADE");
		my ($out, $err) = $anna->end;
		my ($dropped, $why_not) = $super->end;
		push @wrong, "approve: $err" unless $out eq 'active' || $err =~ $refused && $err !~ $unclear;
		push @wrong, "drop: $why_not" if $why_not =~ /ERROR/;
		push @wrong, "active, but: $err" if $err =~ /ERROR/ && super("SELECT status = 'active' FROM jit.requests WHERE id = $n") eq 't';
		super(q{DROP SCHEMA IF EXISTS busy CASCADE});
		forget($n);
		super(q{SELECT jit_revoke_from('dev', 'test')});
	}
	is_deeply(\@wrong, [], 'each ends well, or says what was dropped');
	nothing_dangles();
};
attack 'DROP ROLE of the grantee at the same moment, 40 times' => sub {
	my @wrong;
	foreach my $round (1 .. 40)
	{
		super('CREATE ROLE busy LOGIN; GRANT USAGE ON SCHEMA hr TO busy');
		my $n = sql($node, 'busy', q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x')}, 'hr_prod');
		$anna->begin("SELECT pg_sleep(random() / 200)\\g /dev/null\nSELECT jit_approve($n)");
		$super->begin("SELECT pg_sleep(random() / 200)\\g /dev/null\n" . drop_role('busy'));
		my ($out, $err) = $anna->end;
		my ($dropped, $why_not) = $super->end;
		push @wrong, "approve: $err" unless $out eq 'active' || $err =~ $refused && $err !~ $unclear;
		push @wrong, "drop: $why_not" if $why_not =~ /ERROR/;
		push @wrong, "active, but: $err" if $err =~ /ERROR/ && super("SELECT status = 'active' FROM jit.requests WHERE id = $n") eq 't';
		forget($n);
	}
	is_deeply(\@wrong, [], 'each ends well, or says what was dropped');
	nothing_dangles();
	none_for_nobody(15);
};

# ---- the extension itself

attack 'DROP EXTENSION in the same transaction' => sub {
	super('CREATE DATABASE passing');
	$node->safe_psql('passing', 'CREATE EXTENSION jit_access; CREATE TABLE t AS SELECT 1 AS x');
	my ($out, $err) = sql($node, getpwuid($<) . '', q{BEGIN; SELECT jit_grant('SELECT ON t', 'dev', '1 hour', 'x'), jit_set_flow('low', '[]'); DROP EXTENSION jit_access; COMMIT}, 'passing');
	unlike($err, qr/ERROR/, 'committed');
	is(super(q{SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_database d ON starts_with(r.rolname, 'jit_grant_' || d.oid || '_') WHERE datname = 'passing'}), '0', 'nobody has got anything');
	is($node->safe_psql('passing', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'jit'}), '0', '... and the extension is gone');
};

eval { $_->quit } for $anna, $super;
all_attacks_done();
$node->stop;
done_testing();
