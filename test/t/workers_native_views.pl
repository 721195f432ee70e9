# After native changes the views tell what works now, and the DETAIL of a denial
# why not: by the live request that covers it, never by an older one.
#
# The attacks are lines of attacks.md.  Seen to fail where all that is live by the
# ledger counts as conveyed, in the views or in the DETAIL, where a role
# that was asked for does, or never does, and where what is given in part counts
# as nothing; without each of the reasons of the DETAIL, and where requests of
# another database count, for a name or an OID.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('native');
create_hr($node);
$node->safe_psql('postgres', 'CREATE ROLE auditor LOGIN; CREATE ROLE hr_reader');
$node->safe_psql('hr_prod', q{ALTER DATABASE hr_prod SET jit_access.auditor_role = 'auditor'});
my $serial = 0;

sub super { return $node->safe_psql('hr_prod', $_[0]); }

# A user, and what they are given: $older has ended, $id is live.
sub given
{
	my ($access, $older_access) = @_;
	my $n = ++$serial;
	super(qq{CREATE ROLE q$n LOGIN; CREATE ROLE r$n; GRANT USAGE ON SCHEMA hr TO q$n;
		SET ROLE hr_owner; CREATE TABLE hr.t$n AS SELECT 1 AS a, 2 AS b; CREATE TABLE hr.u$n AS SELECT 1 AS a; GRANT SELECT ON hr.t$n TO r$n});
	s/#/$n/g foreach $access, ($older_access //= 'SELECT ON hr.t#');
	my $older = super("SELECT jit_grant('$older_access', 'q$n', '1 hour', 'x')");
	super("SELECT jit_revoke($older)");
	return ($n, super("SELECT jit_grant('$access', 'q$n', '1 hour', 'x')"), $older);
}

sub scope { return super("SELECT s.role FROM jit.scopes s JOIN pg_auth_members m ON m.roleid = s.role_oid JOIN jit.grants g ON g.role_oid = m.member WHERE g.request_id = $_[0] AND s.objid = '$_[1]'::regclass"); }

sub shown
{
	my ($n, $view, $id) = @_;
	return (sql($node, "q$n", "SELECT access FROM jit.$view WHERE request = $id", 'hr_prod'))[0];
}

sub denied_because
{
	my ($n, $query, $why, $not) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = sql($node, "q$n", $query, 'hr_prod');
	like($err, qr/ERROR:  42501: permission denied/, 'denied');
	like($err, qr/^DETAIL:  $why/m, '... and why is said');
	unlike($err, qr/request $not\b/i, '... of no other request') if $not;
	like($err, qr/^HINT:  Request access: SELECT jit_request/m, '... and what to do');
	return;
}

my $not_any_more = 'Request # in hr_prod does not give it any more: its scope role has been dropped, or has lost a privilege on hr\\.t';
sub not_any_more { my $why = $not_any_more; $why =~ s/#/$_[0]/; return $why; }

sub nothing_works
{
	my ($n, $id, $line) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	shown_as(shown($n, 'active_grants', $id), '', 'it is not among what works');
	shown_as(shown($n, 'my_requests', $id), "$line\n(not now: $line)", '... and who asked is told');
	shown_as(shown($n, 'history', $id), "$line\n(not now: $line)", '... in the history too');
	return;
}

attack 'REVOKE from the scope role' => sub {
	my ($n, $id, $older) = given('SELECT ON hr.t#');
	super("REVOKE SELECT ON hr.t$n FROM " . scope($id, "hr.t$n"));
	nothing_works($n, $id, "SELECT ON hr.t$n");
	denied_because($n, "SELECT * FROM hr.t$n", not_any_more($id), $older);
	my $next = super("SELECT jit_grant('SELECT ON hr.t$n', 'q$n', '1 hour', 'x')");
	is(sql($node, "q$n", "SELECT a FROM hr.t$n", 'hr_prod'), '1', 'a new request gives it again');
	shown_as(shown($n, 'active_grants', $next), "SELECT ON hr.t$n", '... and is what works');
};
attack 'DROP ROLE of the scope role' => sub {
	my ($n, $id, $older) = given('SELECT ON hr.t#');
	my $scope = scope($id, "hr.t$n");
	super("DROP OWNED BY $scope; DROP ROLE $scope");
	nothing_works($n, $id, "SELECT ON hr.t$n");
	denied_because($n, "SELECT * FROM hr.t$n", not_any_more($id), $older);
};
attack 'REVOKE of the scope role from the grant role' => sub {
	my ($n, $id, $older) = given('SELECT ON hr.t#');
	super('REVOKE ' . scope($id, "hr.t$n") . ' FROM ' . super("SELECT role FROM jit.grants WHERE request_id = $id"));
	nothing_works($n, $id, "SELECT ON hr.t$n");
	denied_because($n, "SELECT * FROM hr.t$n", not_any_more($id), $older);
};
attack 'the table is made anew' => sub {
	my ($n, $id, $older) = given('SELECT ON hr.t#');
	super("SET ROLE hr_owner; DROP TABLE hr.t$n; CREATE TABLE hr.t$n AS SELECT 1 AS a");
	nothing_works($n, $id, "SELECT ON hr.t$n");
	denied_because($n, "SELECT * FROM hr.t$n", "hr.t$n was dropped and made anew since request $id in hr_prod was approved\\.", $older);
};
attack 'the table is renamed, and another made' => sub {
	my ($n, $id, $older) = given('SELECT ON hr.t#');
	super("SET ROLE hr_owner; ALTER TABLE hr.t$n RENAME TO was$n; CREATE TABLE hr.t$n AS SELECT 1 AS a");
	shown_as(shown($n, 'active_grants', $id), "SELECT ON hr.t$n", 'it works still, for what it was given for');
	is(sql($node, "q$n", "SELECT a FROM hr.was$n", 'hr_prod'), '1', '... by its new name');
	denied_because($n, "SELECT * FROM hr.t$n", "hr.t$n bears the name of what request $id in hr_prod is for, which has been renamed since\\.", $older);
};
attack 'one of two tables' => sub {
	my ($n, $id, $older) = given('SELECT ON hr.t#, hr.u#');
	super("REVOKE SELECT ON hr.t$n FROM " . scope($id, "hr.t$n"));
	shown_as(shown($n, 'active_grants', $id), "SELECT ON hr.u$n\n(not now: SELECT ON hr.t$n)", 'what works is shown, and what does not');
	is(sql($node, "q$n", "SELECT a FROM hr.u$n", 'hr_prod'), '1', '... which is so');
	denied_because($n, "SELECT * FROM hr.t$n", not_any_more($id), $older);
};
attack 'one of two privileges' => sub {
	my ($n, $id, $older) = given('SELECT, UPDATE ON hr.t#', 'UPDATE ON hr.t#');
	super("REVOKE UPDATE ON hr.t$n FROM " . scope($id, "hr.t$n"));
	shown_as(shown($n, 'active_grants', $id), "SELECT, UPDATE ON hr.t$n\n(not now: SELECT, UPDATE ON hr.t$n (in part))", 'what works is not hidden');
	is(sql($node, "q$n", "SELECT a FROM hr.t$n", 'hr_prod'), '1', '... as it does');
	denied_because($n, "UPDATE hr.t$n SET a = 2", not_any_more($id), $older);
};
attack 'one of two columns' => sub {
	my ($n, $id, $older) = given('SELECT (a, b) ON hr.t#', 'SELECT (b) ON hr.t#');
	super("REVOKE SELECT (b) ON hr.t$n FROM " . scope($id, "hr.t$n"));
	shown_as(shown($n, 'active_grants', $id), "SELECT (a, b) ON hr.t$n\n(not now: SELECT (a, b) ON hr.t$n (in part))", 'what works is not hidden');
	denied_because($n, "SELECT b FROM hr.t$n", not_any_more($id), $older);
	super("ALTER TABLE hr.t$n DROP COLUMN b");
	like(shown($n, 'active_grants', $id), qr/ \(in\s+part\)/, '... nor where one is dropped');
};
attack 'what it does not cover' => sub {
	my ($n, $id, $older) = given('SELECT (a) ON hr.t#', 'SELECT (b) ON hr.t#');
	denied_because($n, "SELECT a, b FROM hr.t$n", "Request $older in hr_prod was revoked", $id);
	shown_as(shown($n, 'active_grants', $id), "SELECT (a) ON hr.t$n", 'what works is shown as it was asked for');
};
attack 'a role that was asked for' => sub {
	my ($n, $id, $older) = given('r#');
	shown_as(shown($n, 'active_grants', $id), "r$n", 'it works');
	super("REVOKE r$n FROM " . super("SELECT role FROM jit.grants WHERE request_id = $id"));
	nothing_works($n, $id, "r$n");
	denied_because($n, "SELECT * FROM hr.t$n", "Request $id in hr_prod does not give it any more: its role \\S+ has lost what it was a member of", $older);
};
attack 'one of two roles' => sub {
	super('CREATE ROLE beside');
	my ($n, $id, $older) = given('r#, beside');
	super("REVOKE r$n FROM " . super("SELECT role FROM jit.grants WHERE request_id = $id"));
	shown_as(shown($n, 'active_grants', $id), "beside\n(not now: r$n)", 'what works is shown, and what does not');
	denied_because($n, "SELECT * FROM hr.t$n", "Request $id in hr_prod does not give it any more: its role \\S+ has lost what it was a member of", $older);
};
attack 'VALID UNTIL is taken away' => sub {
	my ($n, $id, $older) = given('SELECT ON hr.t#');
	super("ALTER ROLE " . super("SELECT role FROM jit.grants WHERE request_id = $id") . " VALID UNTIL 'infinity'");
	shown_as(shown($n, 'active_grants', $id), '', 'it is not among what works');
	denied_because($n, "SELECT * FROM hr.t$n", 'Role \\S+ has no deadline, so it gives nothing\\.', $older);
	denied_because($n, "UPDATE hr.t$n SET b = a", "Request $id in hr_prod gives nothing: its role \\S+ has lost its VALID UNTIL\\.", $older);
};
attack 'before the ledger follows' => sub {
	my @given = map { [ given('SELECT ON hr.t#') ] } 1 .. 2;
	my @roles = map { super("SELECT role FROM jit.grants WHERE request_id = $_->[1]") } @given;
	stop_launcher($node);
	super("REVOKE $roles[0] FROM q$given[0][0]; DROP ROLE $roles[1]");
	denied_because($_->[0], "SELECT * FROM hr.t$_->[0]", "Request $_->[1] in hr_prod has been ended by dropping its role, or taking its member away\\.", $_->[2]) for @given;
	continue_launcher();
};
attack 'in a copy of the database' => sub {
	my ($n, $id) = given('SELECT ON hr.t#, hr.u#');
	my $scope = scope($id, "hr.t$n");
	$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE hr_prod');
	$node->safe_psql('copy', "REVOKE SELECT ON hr.t$n FROM $scope; SET ROLE hr_owner; DROP TABLE hr.u$n; CREATE TABLE hr.u$n AS SELECT 1 AS a");
	foreach my $table ("hr.t$n", "hr.u$n")
	{
		my ($out, $err) = sql($node, "q$n", "SELECT * FROM $table", 'copy');
		like($err, qr/ERROR:  42501: permission denied/, "$table is denied");
		unlike($err, qr/^DETAIL:  /m, '... with no word of requests of the original');
	}
};
attack 'privileges that are not inherited' => sub {
	my ($n, $id) = given('SELECT ON hr.u#');
	super("CREATE ROLE g$n; CREATE ROLE not$n LOGIN NOINHERIT; GRANT g$n TO not$n; GRANT USAGE ON SCHEMA hr TO not$n, g$n");
	super("SELECT jit_grant('r$n', 'g$n', '1 hour', 'x')");
	my ($out, $err) = sql($node, "not$n", "SELECT * FROM hr.t$n", 'hr_prod');
	like($err, qr/ERROR:  42501: permission denied/, 'denied');
	unlike($err, qr/^DETAIL:  /m, '... and nothing is said to be lost');
	is(sql($node, "not$n", "SET ROLE g$n; SELECT a FROM hr.t$n", 'hr_prod'), '1', '... as it is not');
};
attack 'an auditor looks' => sub {
	my ($n, $id) = given('SELECT ON hr.t#');
	super("REVOKE SELECT ON hr.t$n FROM " . scope($id, "hr.t$n"));
	is(sql($node, 'auditor', "SELECT count(*) FROM jit.active_grants WHERE request = $id", 'hr_prod'), '0', 'not among what works');
	like(sql($node, 'auditor', "SELECT access FROM jit.history WHERE request = $id", 'hr_prod'), qr/\(not now: SELECT ON hr\.t$n\)/, 'the history says so');
	super("SELECT jit_revoke($id)");
	is(sql($node, 'auditor', "SELECT access FROM jit.history WHERE request = $id", 'hr_prod'), "SELECT ON hr.t$n", '... until it has ended');
};

all_attacks_done();
$node->stop;
done_testing();
