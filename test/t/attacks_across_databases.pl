# What the flow of one database hands out must not reach another: a sandbox
# lets its own people through, and a role or CONNECT would take them into
# production.  Nor does a session that is older than a change of its
# database's settings decide who audits.
#
# Guards is_elsewhere() and jit_item_needs_superuser() in access.c, and
# auditor_role_is_present() in grant.c.  Seen to fail without each.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('elsewhere');
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE hr_reader; CREATE ROLE hr_nested; CREATE ROLE hr_row; CREATE ROLE hr_guest; CREATE ROLE sandbox_reader;
	GRANT hr_reader TO hr_nested;
	GRANT SELECT ON hr.salary TO hr_reader;
	CREATE POLICY few ON hr.salary TO hr_row USING (emp_no = 1);
	CREATE DATABASE sandbox OWNER hr_owner;
	REVOKE CONNECT ON DATABASE hr_prod FROM PUBLIC;
	GRANT CONNECT ON DATABASE hr_prod TO hr_guest, anna;
});
$node->safe_psql('sandbox', q{
	CREATE EXTENSION jit_access;
	CREATE TABLE toy (x int);
	GRANT SELECT ON toy TO sandbox_reader, hr_row;
	REVOKE CONNECT, TEMPORARY ON DATABASE sandbox FROM PUBLIC;
	GRANT CONNECT ON DATABASE sandbox TO anna, dev, sandbox_reader, hr_owner;
	SELECT jit_set_flow('moderate', '[]');
});

sub request
{
	my ($access) = @_;
	return (sql($node, 'dev', "SELECT jit_request('$access', '1 h', 'x')", 'sandbox'))[1];
}

# ---- what reaches another database takes a superuser

for my $access ('hr_reader', 'hr_nested', 'hr_row', 'hr_guest', 'CONNECT ON DATABASE hr_prod', 'SELECT ON toy; TEMPORARY ON DATABASE hr_prod')
{
	my $err = request($access);
	like($err, qr/NOTICE:  00000: request \d+ in sandbox is pending: 1 approval by a superuser/, "$access: a flow of the sandbox does not do");
	my ($id) = $err =~ /request (\d+)/;
	like((sql($node, 'anna', "SELECT jit_approve($id)", 'sandbox'))[1], qr/you cannot approve request $id/, '... nor the owner of the sandbox');
}
like(join("\n", (sql($node, 'dev', q{SELECT * FROM jit_explain('hr_reader; CONNECT ON DATABASE hr_prod', '1 h', 'x')}, 'sandbox'))[0]),
	qr/hr_reader[^\n]*\n\s+reaches other databases: needs a superuser, or a step of \@grantor alone.*CONNECT.*reaches other databases.*step 1: 1 approval by a superuser/s, 'jit_explain says why');
# a psql that is refused may be gone before it is written to
like(($node->psql('hr_prod', '', extra_params => [ '-U', 'dev', '-c', 'SELECT count(*) FROM hr.salary' ]))[2], qr/permission denied for database "hr_prod"/, 'dev has come no nearer');
like(request($_), qr/NOTICE:  00000: dev has .* in sandbox until/, "$_: what is the sandbox's own is had at once")
  for ('sandbox_reader', 'TEMPORARY ON DATABASE sandbox', 'INSERT ON toy');

is($node->safe_psql('sandbox', q{SELECT approvals FROM jit.inbox WHERE access LIKE 'hr_reader%'}), "0 of 1\nby a superuser", 'the inbox says who has to approve');
is((sql($node, 'dev', q{SELECT jit.progress(1)}, 'sandbox'))[0], "0 of 1\nby a superuser", '... to the requester, too');
$node->safe_psql('sandbox', 'CREATE ROLE optional; GRANT CONNECT ON DATABASE hr_prod TO optional WITH GRANT OPTION; GRANT optional TO anna WITH ADMIN OPTION');

# ... or who could grant it anyway, wherever they are asked
$node->safe_psql('sandbox', q{SET client_min_messages = error; GRANT hr_reader TO anna WITH ADMIN OPTION;
	SELECT jit_set_flow('moderate', '[{"any_of": ["@grantor", "hr_owner"]}]')});
like(request('hr_reader'), qr/request \d+ in sandbox is pending: 1 approval by anyone who could grant it or hr_owner/, 'a step that others pass, too');
my ($id) = $node->safe_psql('sandbox', 'SELECT max(id) FROM jit.requests');
is((sql($node, 'anna', "SELECT jit_approve($id)", 'sandbox'))[0], 'pending', '... does not do');
like(request('hr_reader'), qr/is pending/, '... again');
$node->safe_psql('sandbox', q{SET client_min_messages = error; SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]')});
like(request('hr_reader'), qr/request \d+ in sandbox is pending: 1 approval by anyone who could grant it \(anna\)/, 'a step of those who could grant it');
$id = $node->safe_psql('sandbox', 'SELECT max(id) FROM jit.requests');
is((sql($node, 'anna', "SELECT jit_approve($id)", 'sandbox'))[0], 'active', '... does');
like(request('optional'), qr/is pending: 1 approval by anyone who could grant it/, 'a grant option on another database');
$id = $node->safe_psql('sandbox', 'SELECT max(id) FROM jit.requests');
is((sql($node, 'anna', "SELECT jit_approve($id)", 'sandbox'))[0], 'pending', '... takes a superuser all the same');
$node->safe_psql('sandbox', q{SET client_min_messages = error; SELECT jit_revoke_all('x'), jit_set_flow('moderate', '[]')});

# ---- who audits

$node->safe_psql('sandbox', 'CREATE ROLE auditors; CREATE ROLE others; CREATE ROLE olga LOGIN; GRANT auditors TO olga; GRANT CONNECT ON DATABASE sandbox TO olga');
my $reads = q{SELECT has_table_privilege('auditors', 'jit.requests', 'SELECT'), has_table_privilege('others', 'jit.requests', 'SELECT')};
my $event = q{SET client_min_messages = error; SELECT jit_cancel(jit_request('hr_reader', '1 h', 'x'))};

my $before = session($node, 'dev', 'sandbox');
$node->safe_psql('sandbox', q{ALTER DATABASE sandbox SET jit_access.auditor_role = 'auditors'});
$before->do($event);
is($node->safe_psql('sandbox', $reads), 'f|f', 'a session from before the setting changes nothing');
my $during = session($node, 'olga', 'sandbox');
$during->do($event);
is($node->safe_psql('sandbox', $reads), 't|f', 'one that has it makes the auditors');
$before->do($event);
is($node->safe_psql('sandbox', $reads), 't|f', '... whom the other leaves alone');
$node->safe_psql('sandbox', 'ALTER DATABASE sandbox RESET jit_access.auditor_role');
sql($node, 'dev', $event, 'sandbox');
is($node->safe_psql('sandbox', $reads), 'f|f', 'dismissed');
$during->do($event);
is($node->safe_psql('sandbox', $reads), 'f|f', '... and not taken back by the session of one of them');
$node->safe_psql('sandbox', q{ALTER DATABASE sandbox SET jit_access.auditor_role = 'others'});
sql($node, 'dev', $event, 'sandbox');
$during->do($event);
is($node->safe_psql('sandbox', $reads), 'f|t', '... nor in the place of others');
$node->safe_psql('sandbox', q{ALTER DATABASE sandbox RESET jit_access.auditor_role; ALTER ROLE olga SET jit_access.auditor_role = 'auditors'});
sql($node, 'olga', $event, 'sandbox');
is($node->safe_psql('sandbox', $reads), 'f|t', 'a setting for one role makes no auditors');
$node->safe_psql('sandbox', q{ALTER SYSTEM SET jit_access.auditor_role = 'auditors'; SELECT pg_reload_conf()});
ok($before->do('SELECT 1') && $node->poll_query_until('sandbox', q{SELECT current_setting('jit_access.auditor_role') = 'auditors'}), 'the configuration file');
sql($node, 'dev', $event, 'sandbox');
is($node->safe_psql('sandbox', $reads), 't|f', '... makes some');
$_->quit for ($before, $during);

$node->stop;
done_testing();
