# Who sees which requests in each table and view of schema jit: only whom they
# concern, administrators and auditors in the views, and only auditors in the
# tables, by row-level security.
#
# Guards jit.requests_of_mine, jit.my_roles(), jit.is_auditor() and the policies
# on the tables.  Seen to fail with requests of all roles that the caller is no
# member of, with temporary members for auditors, and without a policy.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('ledger', "jit_access.admin_role = 'admins'\njit_access.auditor_role = 'auditors'");
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE admins; CREATE ROLE adam LOGIN; GRANT admins TO adam;
	CREATE ROLE auditors; CREATE ROLE olga LOGIN; GRANT auditors TO olga;
	CREATE ROLE nora LOGIN NOINHERIT; GRANT auditors TO nora; CREATE ROLE tom LOGIN;
	CREATE ROLE oncall; CREATE ROLE otto LOGIN; GRANT oncall TO otto;
	CREATE ROLE reader LOGIN; GRANT pg_read_all_data TO reader;
	ALTER ROLE hr_owner LOGIN;
	SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]'), jit_set_policy('never', 'high', '$.ticket == "never"');
	SET ROLE hr_owner;
	CREATE TABLE hr.bonus (x int)});
sub asks { my ($who, $sql) = @_; my ($id, $err) = sql($node, $who, "SET client_min_messages = error; SELECT $sql", 'hr_prod'); return $id || die $err; }

# 1: dev's, active; 2: dev's, pending; 3: eve's, revoked; 4: oncall's, pending;
# 5: tom's, of the auditors, active
asks('dev', q{jit_request('SELECT ON hr.salary', '1 h', 'x')});
asks('anna', 'jit_approve(1)');
asks('dev', q{jit_request('SELECT ON hr.bonus', '1 h', 'x')});
asks('eve', q{jit_request('SELECT ON hr.salary', '1 h', 'x')});
asks('anna', 'jit_approve(3)');
asks('anna', q{jit_revoke(3, 'x')});
asks('otto', q{jit_request('SELECT ON hr.salary', '1 h', 'x', grantee => 'oncall')});
asks(getpwuid($<) . '', q{jit_grant('auditors', 'tom', '1 h', 'x')});

my @tables = qw(requests request_items reviews grants events);
my @others = qw(risk_policies approval_flows approval_steps scopes);
my %number = (my_requests => 'request', inbox => 'request', active_grants => 'request', history => 'request', requests => 'id');
sub seen
{
	my ($who, $set_role, $what) = @_;
	my $column = $number{$what} // 'request_id';
	my ($out, $err) = sql($node, $who, "$set_role; SELECT string_agg(DISTINCT $column" . '::text, \' \' ORDER BY ' . "$column" . "::text) FROM jit.$what WHERE $column IS NOT NULL", 'hr_prod');
	return $err =~ /ERROR:\s+\d*:?\s*(.*)/ ? $1 : $out;
}

# who, after which SET ROLE: my_requests, inbox, active_grants, history, and the tables
my $all = '1 2 3 4 5';
my @expected = (
	[ 'dev', '', '1 2', '', '1', '1', 'none' ],
	[ 'eve', '', '3', '', '', '3', 'none' ],
	[ 'otto', '', '4', '', '', '', 'none' ],
	[ 'otto', 'SET ROLE oncall', '4', '', '', '', 'none' ],
	[ 'anna', '', '', '2 4', '1', '1 3', 'none' ],
	[ 'hr_owner', '', '', '2 4', '1', '1', 'none' ],
	[ 'reader', '', '', '', '', '', 'none' ],
	[ 'tom', '', '5', '', '5', '5', 'none' ],
	[ 'tom', 'SET ROLE auditors', '5', '', '5', '5', 'none' ],
	[ 'adam', '', '', '', '1 5', '1 3 5', 'none' ],
	[ 'olga', '', '', '', '1 5', '1 3 5', 'all' ],
	[ 'olga', 'SET ROLE auditors', '', '', '1 5', '1 3 5', 'all' ],
	[ 'nora', '', '', '', '1 5', '1 3 5', 'none' ],
	[ 'nora', 'SET ROLE auditors', '', '', '1 5', '1 3 5', 'all' ],
	[ getpwuid($<) . '', '', '5', '2 4', '1 5', '1 3 5', 'all' ]);
foreach (@expected)
{
	my ($who, $set_role, @views) = @$_;
	my $tables = pop @views;
	my $name = $who eq $expected[-1][0] ? 'a superuser' : $set_role ? "$who, $set_role" : $who;
	is(join('|', map { seen($who, $set_role, $_) } qw(my_requests inbox active_grants history)), join('|', @views), "$name: the views");
	is(join('|', map { seen($who, $set_role, $_) } @tables), join('|', $tables eq 'all' ? ($all, $all, '1 3 5', '1 3 5', $all) : ('') x 5), "$name: the tables");
	my ($out) = sql($node, $who, "$set_role; SELECT " . join(', ', map { "(SELECT count(*) FROM jit.$_) > 0" } @others), 'hr_prod');
	is($out, $tables eq 'all' ? 't|t|t|t' : 'f|f|f|f', "$name: the configuration");
}

# views that others make of these show what their owner may see, and functions in them ask for who calls
sql($node, 'eve', 'SELECT 1', 'hr_prod');
$node->safe_psql('hr_prod', q{CREATE SCHEMA shared; GRANT ALL ON SCHEMA shared TO PUBLIC});
sql($node, 'olga', 'CREATE VIEW shared.v AS SELECT count(*) FROM jit.requests; GRANT SELECT ON shared.v TO PUBLIC', 'hr_prod');
is((sql($node, 'eve', 'TABLE shared.v', 'hr_prod'))[0], '0', 'a view of an auditor\'s');
sql($node, 'eve', q{CREATE FUNCTION shared.f() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$SELECT string_agg(request::text, ' ') FROM jit.my_requests$$}, 'hr_prod');
is((sql($node, 'dev', 'SELECT shared.f()', 'hr_prod'))[0], '', 'a function of somebody else\'s');

$node->stop;
done_testing();
