# Who sees which requests in each table and view of schema jit: in the views
# whom they concern, and administrators and auditors, and in the tables only
# auditors, by row-level security.
#
# Guards jit.requests_of_mine, jit.requests_to_see and the functions that they
# and the other views ask, and the policies on the tables.  Seen to fail with
# requests of all roles that the caller is no member of, with temporary members
# for auditors, and without a policy; with jit.may_revoke() true, without what
# the caller has decided on, with jit.progress() of what doesn't concern them,
# and with grant roles of others in jit.my_grants().
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
	CREATE ROLE olli LOGIN; GRANT oncall TO olli; CREATE ROLE nemo LOGIN; CREATE ROLE dbo LOGIN; ALTER DATABASE hr_prod OWNER TO dbo;
	CREATE ROLE security; CREATE ROLE sam LOGIN; CREATE ROLE sue LOGIN; GRANT security TO sam, sue;
	ALTER ROLE hr_owner LOGIN;
	SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]');
	SELECT jit_set_flow('high', '[{"approver": "security"}, {"approver": "@grantor"}]'), jit_set_policy('two steps', 'high', '$.ticket == "two"');
	SET ROLE hr_owner;
	CREATE TABLE hr.bonus (x int)});
sub asks { my ($who, $sql) = @_; my ($id, $err) = sql($node, $who, "SET client_min_messages = error; SELECT $sql", 'hr_prod'); return $id || die $err; }

# 1: dev's, active; 2: dev's, pending; 3: eve's, revoked; 4: oncall's, pending;
# 5: tom's, of the auditors, active; in two steps, 6: eve's, pending in the
# first; 7: eve's, in the second; 8: oncall's, active; 9: dev's, rejected in the
# first; 10: eve's, canceled
my $super = getpwuid($<) . '';
my $two = q{reason => 'x', ticket => 'two'};
asks('dev', q{jit_request('SELECT ON hr.salary', '1 h', 'x')});
asks('anna', 'jit_approve(1)');
asks('dev', q{jit_request('SELECT ON hr.bonus', '1 h', 'x')});
asks('eve', q{jit_request('SELECT ON hr.salary', '1 h', 'x')});
asks('anna', 'jit_approve(3)');
asks('anna', q{jit_revoke(3, 'x')});
asks('otto', q{jit_request('SELECT ON hr.salary', '1 h', 'x', grantee => 'oncall')});
asks($super, q{jit_grant('auditors', 'tom', '1 h', 'x')});
asks('eve', "jit_request('SELECT ON hr.salary', '1 h', $two)");
asks('eve', "jit_request('SELECT ON hr.bonus', '1 h', $two)");
asks('sam', 'jit_approve(7)');
asks('otto', "jit_request('SELECT ON hr.bonus', '1 h', grantee => 'oncall', $two)");
asks('sam', 'jit_approve(8)');
asks('anna', 'jit_approve(8)');
asks('dev', "jit_request('UPDATE ON hr.bonus', '1 h', $two)");
asks('sam', q{jit_reject(9, 'no')});
asks('eve', q{jit_request('UPDATE ON hr.salary', '1 h', 'x')});
asks('eve', 'jit_cancel(10)');

my @views = qw(my_requests inbox pending active_grants history refused my_access);
my @tables = qw(requests request_items reviews grants events);
my @others = qw(risk_policies approval_flows approval_steps scopes);
my %number = (requests => 'id', map { $_ => 'request' } @views);
sub seen
{
	my ($who, $set_role, $what) = @_;
	my $column = $number{$what} // 'request_id';
	my ($out, $err) = sql($node, $who, "$set_role; SELECT DISTINCT $column FROM jit.$what WHERE $column IS NOT NULL ORDER BY 1", 'hr_prod');
	return $err =~ /ERROR:\s+\d*:?\s*(.*)/ ? $1 : $out =~ s/\n/ /gr;
}

# who, after which SET ROLE: the views, and the tables
my $all = '1 2 3 4 5 6 7 8 9 10';
my @wide = ('2 4 6 7', '1 5 8', '1 3 5 8', '9 10');
my @expected = (
	# who asked; who gets it; members of a group
	[ 'dev', '', '1 2 9', '', '2', '1', '1', '9', '1', 'none' ],
	[ 'eve', '', '3 6 7 10', '', '6 7', '', '3', '10', '', 'none' ],
	[ 'otto', '', '4 8', '', '4', '8', '8', '', '8', 'none' ],
	[ 'otto', 'SET ROLE oncall', '4 8', '', '4', '8', '8', '', '8', 'none' ],
	[ 'olli', '', '4 8', '', '4', '8', '8', '', '8', 'none' ],
	# of the first step: who has decided, and who could, and could revoke
	[ 'sam', '', '', '6', '6 7', '8', '8', '9', '', 'none' ],
	[ 'sue', '', '', '6', '6 7', '8', '8', '', '', 'none' ],
	# the same of the second, or the only one
	[ 'anna', '', '', '2 4 7', '2 4 6 7', '1 8', '1 3 8', '', '', 'none' ],
	[ 'hr_owner', '', '', '2 4 7', '2 4 6 7', '1 8', '1 8', '', '', 'none' ],
	# strangers, one of them the database's owner
	[ 'nemo', '', ('') x 7, 'none' ],
	[ 'reader', '', ('') x 7, 'none' ],
	[ 'dbo', '', ('') x 7, 'none' ],
	# an auditor for a time only
	[ 'tom', '', '5', '', '', '5', '5', '', '5', 'none' ],
	[ 'tom', 'SET ROLE auditors', '5', '', '', '5', '5', '', '', 'none' ],
	[ 'adam', '', '', '', @wide, '', 'none' ],
	[ 'olga', '', '', '', @wide, '', 'all' ],
	[ 'olga', 'SET ROLE auditors', '', '', @wide, '', 'all' ],
	[ 'nora', '', '', '', @wide, '', 'none' ],
	[ 'nora', 'SET ROLE auditors', '', '', @wide, '', 'all' ],
	[ $super, '', '5', '2 4 7', @wide, '', 'all' ]);
foreach (@expected)
{
	my ($who, $set_role, @of_views) = @$_;
	my $tables = pop @of_views;
	my $name = $who eq $expected[-1][0] ? 'a superuser' : $set_role ? "$who, $set_role" : $who;
	is(join('|', map { seen($who, $set_role, $_) } @views), join('|', @of_views), "$name: the views");
	is(join('|', map { seen($who, $set_role, $_) } @tables), join('|', $tables eq 'all' ? ($all, $all, '1 3 5 7 8 9', '1 3 5 8', $all) : ('') x 5), "$name: the tables");
	my ($out) = sql($node, $who, "$set_role; SELECT " . join(', ', map { "(SELECT count(*) FROM jit.$_) > 0" } @others), 'hr_prod');
	is($out, $tables eq 'all' ? 't|t|t|t' : 'f|f|f|f', "$name: the configuration");
}

# views that others make of these show what their owner may see, and functions in them ask for who calls
sql($node, 'eve', 'SELECT 1', 'hr_prod');
$node->safe_psql('hr_prod', q{CREATE SCHEMA shared; GRANT ALL ON SCHEMA shared TO PUBLIC});
sql($node, 'olga', 'CREATE VIEW shared.v AS SELECT count(*) FROM jit.requests; GRANT SELECT ON shared.v TO PUBLIC', 'hr_prod');
is((sql($node, 'eve', 'TABLE shared.v', 'hr_prod'))[0], '0', 'a view of an auditor\'s');
foreach my $view (@views)
{
	sql($node, 'anna', qq{CREATE FUNCTION shared.$view() RETURNS text LANGUAGE sql SECURITY DEFINER AS \$\$SELECT string_agg(request::text, ' ') FROM jit.$view\$\$}, 'hr_prod');
	is((sql($node, 'eve', "SELECT shared.$view()", 'hr_prod'))[0], '', "a function of somebody else's: $view");
}
is(seen('anna', '', 'inbox'), '2 4 7', '... whose own session sees it');

$node->stop;
done_testing();
