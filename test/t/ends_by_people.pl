# Who can end or shorten access, and what they are told.
#
# Seen to fail without step_admits() for flows without steps and without the
# requester in jit_revoke(); without warn_of_groups(); with the duration of
# jit_approve() looked at against the requested one alone; with a role without
# deadline taken for expired.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('people');
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE ben LOGIN; GRANT hr_owner TO ben;
	CREATE ROLE oncall; CREATE ROLE carl LOGIN; GRANT oncall TO dev, carl;
	GRANT USAGE ON SCHEMA hr TO PUBLIC;
});
my $number = 0;

# Output, errors with SQLSTATE.
sub as { return sql($node, $_[0], $_[1], 'hr_prod'); }

sub flow { $node->safe_psql('hr_prod', "SET client_min_messages = error; SELECT jit_set_flow('moderate', '$_[0]')"); }

sub request
{
	my ($user, $rest, $access) = @_;
	$access //= 'SELECT ON hr.salary';
	my ($id) = (as($user, "SELECT jit_request('$access', $rest)"))[0] =~ /(\d+)/;
	is($id, ++$number, "request $number");
	return $id;
}

# ---- where nobody needs to agree

flow('[]');
my $id = request('dev', "'1 h', 'x'");
like((as('eve', "SELECT jit_revoke($id)"))[1], qr/ERROR:  42501: you cannot revoke request $id/, 'a stranger does not revoke');
is((as('anna', "SELECT jit_revoke($id)"))[0], 'revoked', 'the owner of the table does');
like((as('anna', q{SELECT jit_grant('SELECT ON hr.salary', 'dev', '1 h', 'x')}))[1], qr/NOTICE:  00000: dev has SELECT ON hr.salary in hr_prod until/, '... and grants');
$number++;
like((as('eve', q{SELECT jit_grant('SELECT ON hr.salary', 'dev', '2 h', 'x')}))[1], qr/ERROR:  42501: you cannot grant/, '... which a stranger does not');
$number = $node->safe_psql('hr_prod', 'SELECT last_value FROM jit.request_number');

# ---- for a group

$id = request('dev', "'1 h', 'x', grantee => 'oncall'", 'INSERT ON hr.salary');
like((as('carl', "SELECT jit_revoke($id)"))[1], qr/you cannot revoke/, 'a member does not revoke what a group has');
my ($out, $err) = as(scalar getpwuid($<), q{SELECT jit_revoke_from('dev', 'compromised')});
is($out, '1', 'what dev has is ended');
like($err, qr/NOTICE:  00000: ended access by 1 request in hr_prod and 0 in other databases; canceled 0 pending\n/, '... and counted');
like($err, qr/WARNING:  01000: dev still has temporary access by request $id in hr_prod\nDETAIL:  It is for a role that dev is a member of.\nHINT:  End it there with SELECT jit_revoke\($id\);/, '... and what reaches them through a group is told');
is((as('dev', "SELECT jit_revoke($id)"))[0], 'revoked', 'who asked for it revokes');
unlike((as(scalar getpwuid($<), q{SELECT jit_revoke_from('dev', 'compromised')}))[1], qr/WARNING/, '... and nothing is left');

# ---- a role without a deadline

$id = request('dev', "'1 h', 'x'");
my $role = $node->safe_psql('hr_prod', "SELECT role FROM jit.grants WHERE request_id = $id");
$node->safe_psql('hr_prod', "ALTER ROLE $role VALID UNTIL 'infinity'");
like((as('dev', 'TABLE hr.salary'))[1], qr/permission denied/, 'a grant without a deadline denies');
is((as('dev', "SELECT jit_revoke($id)"))[0], 'revoked', '... and can be revoked');
is($node->safe_psql('hr_prod', "SELECT count(*) FROM pg_roles WHERE rolname = '$role'"), '0', '... with its role');

# ---- shortened

flow('[{"approver": "hr_owner", "approvals": 2}]');
$id = request('dev', "'1 h', 'x'");
($out, $err) = as('eve', "SELECT jit_approve($id, 'x', '2 h')");
like($err, qr/^psql:<stdin>:1: ERROR:  42501: you cannot approve request $id/, 'whoever may not approve is told nothing else');
like((as('ben', "SELECT jit_approve($id, 'x', '-1 h')"))[1], qr/ERROR:  22023: duration must be more than zero/, 'no negative time');
like((as('ben', "SELECT jit_approve($id, 'x', '2 h')"))[1], qr/NOTICE:  00000: request $id in hr_prod stays as short as requested\nDETAIL:  An approver can only shorten it; it was requested for 01:00:00\./, 'no more than requested');
is((as('anna', "SELECT jit_approve($id, 'x', '10 min')"))[0], 'active', 'the second makes it less');
is($node->safe_psql('hr_prod', "SELECT expires_at - activated_at FROM jit.requests WHERE id = $id"), '00:10:00', '... and that counts');
like((as('ben', "SELECT jit_approve($id, 'x', '2 h')"))[1], qr/^psql:<stdin>:1: ERROR:  55000: request $id in hr_prod is active, not pending/, 'what is active is told first');
as('anna', "SELECT jit_revoke($id)");

$id = request('dev', "'1 h', 'x'");
is((as('ben', "SELECT jit_approve($id, 'x', '10 min')"))[0], 'pending', 'the first makes it less');
like((as('anna', "SELECT jit_approve($id, 'x', '20 min')"))[1], qr/stays as short as it was approved\nDETAIL:  An approver can only shorten it; it was approved for 00:10:00\./, '... no more than that');
is($node->safe_psql('hr_prod', "SELECT expires_at - activated_at FROM jit.requests WHERE id = $id"), '00:10:00', '... and that counts');
as('anna', "SELECT jit_revoke($id)");

$id = request('dev', "until => date_trunc('hour', now()) + '2 h', reason => 'x'");
like((as('ben', "SELECT jit_approve($id, 'x', '3 days')"))[1], qr/stays as short as requested\nDETAIL:  .* it was requested until /, 'no later than requested');
as('anna', "SELECT jit_reject($id, 'x')");

# ---- canceled

$id = request('dev', "'1 h', 'x'");
like((as('eve', "SELECT jit_cancel($id)"))[1], qr/you cannot cancel.*\nDETAIL:  It does not concern you\.\n(?!HINT)/, 'a stranger does not cancel');
like((as('anna', "SELECT jit_cancel($id)"))[1], qr/you cannot cancel.*\nDETAIL:.*\nHINT:  An approver can end it with jit_reject\(\)/, '... nor does an approver');
like((as('dev', "SELECT jit_cancel($id)"))[1], qr/NOTICE:  00000: request $id in hr_prod is canceled: dev does not get SELECT ON hr.salary/, 'who asked for it does');
unlike((as('anna', "SELECT jit_cancel($id)"))[1], qr/HINT/, '... and then nobody can reject it');

# ---- what there is already, and what nobody can approve

like((as('anna', "SELECT jit_request('SELECT ON hr.salary', '1 h', 'x')"))[1], qr/anna already has this access\nDETAIL:  SELECT ON hr.salary comes through role hr_owner\./, 'through a role');
sub has
{
	my ($access, $duration, $detail, $name) = @_;
	like((as('dev', "SELECT jit_request('$access', '$duration', 'x')"))[1],
		$detail eq '' ? qr/already has this access\n(?!DETAIL)/ : qr/already has this access\nDETAIL:  $detail/, $name);
	return;
}
{
	flow('[]');
	my $short = request('dev', q{'10 min', 'x'});
	my $long = request('dev', q{'3 h', 'x'});
	$node->safe_psql('hr_prod', 'CREATE ROLE hr_reader');
	$node->safe_psql('hr_prod', q{SELECT jit_grant('hr_reader', 'dev', '2 h', 'x'), jit_grant('SELECT (amount) ON hr.salary', 'dev', '5 h', 'x')});
	has('SELECT ON hr.salary', '5 min', "SELECT ON hr\\.salary comes through request $long until ", 'the one that ends last is named, though another would do');
	has('SELECT ON hr.salary', '1 h', "SELECT ON hr\\.salary comes through request $long until ", '... or would not');
	my $role = 1 + $long;
	has('SELECT (amount) ON hr.salary', '1 h', 'SELECT \(amount\) ON hr\.salary comes through request ' . ($role + 1) . ' until ', '... of those that give a column, that on it');
	has('hr_reader', '1 h', "hr_reader comes through request $role until ", '... a role');
	$node->safe_psql('hr_prod', 'GRANT hr_reader TO dev');
	has('hr_reader', '1 h', '', '... and no request where the membership is there for good');
	$node->safe_psql('hr_prod', 'REVOKE hr_reader FROM dev; CREATE ROLE lasting; GRANT lasting TO dev; GRANT SELECT ON hr.salary TO lasting');
	has('SELECT ON hr.salary', '1 h', 'SELECT ON hr\.salary comes through role lasting', 'what is there for good is named before what ends');
	$node->safe_psql('hr_prod', "REVOKE lasting FROM dev; DROP OWNED BY lasting; DROP ROLE lasting");
	as('dev', "SELECT jit_revoke($long)");
	has('SELECT ON hr.salary', '5 min', "SELECT ON hr\\.salary comes through request $short until ", 'and the other one, once that has ended');
	$node->safe_psql('hr_prod', q{SELECT jit_revoke_from('dev', 'x')});
	flow('[{"approver": "@grantor"}]');
}
$node->safe_psql('hr_prod', 'GRANT SELECT ON hr.salary TO PUBLIC');
like((as('dev', "SELECT jit_request('SELECT ON hr.salary', '1 h', 'x')"))[1], qr/dev already has this access\nDETAIL:  SELECT ON hr.salary is granted to PUBLIC\./, '... or to everybody');
$node->safe_psql('hr_prod', 'CREATE ROLE nobody');
flow('[{"approver": "nobody"}]');
like((as('dev', "SELECT jit_request('INSERT ON hr.salary', '1 h', 'x')"))[1], qr/WARNING:  01000: nobody can approve request \d+ in hr_prod\nDETAIL:  There is no login that could but you.*\nHINT:  .* and request it anew\./, 'a flow that nobody passes');

$node->safe_psql('hr_prod', 'CREATE ROLE "Risk Team"; GRANT "Risk Team" TO anna');
flow('[{"any_of": ["Risk Team", "hr_owner"]}]');
like((as('dev', "SELECT jit_request('INSERT ON hr.salary', '2 h', 'x')"))[1], qr/is pending: .*; it waits for 1 approval by "Risk Team" or hr_owner \(anna, ben\)/, 'names are quoted where it takes that');

$node->stop;
done_testing();
