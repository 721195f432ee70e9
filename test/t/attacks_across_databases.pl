# What the flow of one database hands out must not reach another: a sandbox
# lets its own people through, and a role or CONNECT would take them into
# production.  Nor does a session that is older than a change of its
# database's settings decide who audits.
#
# Guards is_elsewhere() and jit_item_needs_superuser() in access.c, and
# jit.is_auditor(), which row-level security asks.  Seen to fail without each.
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
	return (sql($node, 'dev', "SELECT jit_request('$access', '" . longer() . "', 'x')", 'sandbox'))[1];
}

# ---- what reaches another database takes a superuser

for my $access ('hr_reader', 'hr_nested', 'hr_row', 'hr_guest', 'CONNECT ON DATABASE hr_prod', 'SELECT ON toy; TEMPORARY ON DATABASE hr_prod')
{
	my $err = request($access);
	like($err, qr/NOTICE:  00000: request \d+ in sandbox is pending: .*; it waits for 1 approval by a superuser/, "$access: a flow of the sandbox does not do");
	my ($id) = $err =~ /request (\d+)/;
	like((sql($node, 'anna', "SELECT jit_approve($id)", 'sandbox'))[1], qr/you cannot approve request $id/, '... nor the owner of the sandbox');
}
like(join("\n", (sql($node, 'dev', q{SELECT * FROM jit_explain('hr_reader; CONNECT ON DATABASE hr_prod', '1 h', 'x')}, 'sandbox'))[0]),
	qr/hr_reader[^\n]*\n\s+reaches other databases: needs a superuser, or a step of \@grantor alone.*CONNECT.*reaches other databases.*step 1: 1 approval by a superuser/s, 'jit_explain says why');
# a psql that is refused may be gone before it is written to
like(($node->psql('hr_prod', '', extra_params => [ '-U', 'dev', '-c', 'SELECT count(*) FROM hr.salary' ]))[2], qr/permission denied for database "hr_prod"/, 'dev has come no nearer');
like(request($_), qr/NOTICE:  00000: dev has .* in sandbox until/, "$_: what is the sandbox's own is had at once")
  for ('sandbox_reader', 'TEMPORARY ON DATABASE sandbox', 'INSERT ON toy');

shown_as($node->safe_psql('sandbox', q{SELECT approvals FROM jit.inbox WHERE access LIKE 'hr_reader%'}), "0 of 1\nby a superuser", 'the inbox says who has to approve');
is((sql($node, 'dev', q{SELECT waiting_for, given, needed FROM jit.pending WHERE request = 1}, 'sandbox'))[0], '{' . getpwuid($<) . '}|0|1', '... to the requester, too');
$node->safe_psql('sandbox', 'CREATE ROLE optional; GRANT CONNECT ON DATABASE hr_prod TO optional WITH GRANT OPTION; GRANT optional TO anna WITH ADMIN OPTION');

# ... or who could grant it anyway, wherever they are asked
$node->safe_psql('sandbox', q{SET client_min_messages = error; GRANT hr_reader TO anna WITH ADMIN OPTION;
	SELECT jit_set_flow('moderate', '[{"any_of": ["@grantor", "hr_owner"]}]')});
like(request('hr_reader'), qr/request \d+ in sandbox is pending: .*; it waits for 1 approval by anyone who could grant it or hr_owner/, 'a step that others pass, too');
my ($id) = $node->safe_psql('sandbox', 'SELECT max(id) FROM jit.requests');
is((sql($node, 'anna', "SELECT jit_approve($id)", 'sandbox'))[0], 'pending', '... does not do');
like(request('hr_reader'), qr/is pending/, '... again');
$node->safe_psql('sandbox', q{SET client_min_messages = error; SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]')});
like(request('hr_reader'), qr/request \d+ in sandbox is pending: .*; it waits for 1 approval by anyone who could grant it \(anna\)/, 'a step of those who could grant it');
$id = $node->safe_psql('sandbox', 'SELECT max(id) FROM jit.requests');
is((sql($node, 'anna', "SELECT jit_approve($id)", 'sandbox'))[0], 'active', '... does');
like(request('optional'), qr/is pending: .*; it waits for 1 approval by anyone who could grant it/, 'a grant option on another database');
$id = $node->safe_psql('sandbox', 'SELECT max(id) FROM jit.requests');
is((sql($node, 'anna', "SELECT jit_approve($id)", 'sandbox'))[0], 'pending', '... takes a superuser all the same');
$node->safe_psql('sandbox', q{SET client_min_messages = error; SELECT jit_revoke_all('x'), jit_set_flow('moderate', '[]')});

# ---- who audits

$node->safe_psql('sandbox', 'CREATE ROLE auditors; CREATE ROLE others; CREATE ROLE olga LOGIN; GRANT auditors TO olga; GRANT CONNECT ON DATABASE sandbox TO olga');
# what a session of hers reads of the tables
my $reads = 'SELECT count(*) > 0 FROM jit.requests';
sub reads { my ($who) = @_; return (sql($node, $who, $reads, 'sandbox'))[0]; }

my $before = session($node, 'olga', 'sandbox');
is(reads('olga'), 'f', 'nobody audits');
$node->safe_psql('sandbox', q{ALTER DATABASE sandbox SET jit_access.auditor_role = 'auditors'});
is(reads('olga'), 't', 'auditors do at once, with no event between');
is(reads('dev'), 'f', '... others not');
is(scalar $before->do($reads), 'f', '... nor a session from before the setting');
my $during = session($node, 'olga', 'sandbox');
is(scalar $during->do($reads), 't', 'a session from during it');
$node->safe_psql('sandbox', q{ALTER DATABASE sandbox SET jit_access.auditor_role = 'others'});
is(reads('olga'), 'f', 'dismissed');
$node->safe_psql('sandbox', q{ALTER DATABASE sandbox RESET jit_access.auditor_role; ALTER SYSTEM SET jit_access.auditor_role = 'auditors'; SELECT pg_reload_conf()});
ok($node->poll_query_until('sandbox', q{SELECT current_setting('jit_access.auditor_role') = 'auditors'}), 'the configuration file');
is(scalar $before->do($reads), 't', '... makes some in every session');
$node->safe_psql('sandbox', 'REVOKE auditors FROM olga');
is(scalar $_->do($reads), 'f', 'the membership is taken away, and nobody looks again') for $before, $during;
$node->safe_psql('sandbox', 'ALTER ROLE olga NOINHERIT; GRANT auditors TO olga');
is(reads('olga'), 'f', 'who does not inherit it');
is((sql($node, 'olga', "SET ROLE auditors; $reads", 'sandbox'))[0], 't', '... takes the role first');
$node->safe_psql('sandbox', q{ALTER ROLE olga INHERIT; REVOKE auditors FROM olga; SET client_min_messages = error; SELECT jit_grant('auditors', 'olga', '1 h', 'x')});
is(reads('olga'), 'f', 'who has it for a time');
is((sql($node, 'olga', "SET ROLE auditors; $reads", 'sandbox'))[0], 'f', '... also as that role');
$node->safe_psql('sandbox', q{SELECT jit_revoke_from('olga', 'x'); GRANT auditors TO olga});

# ---- more than rows is not to be had

$node->safe_psql('sandbox', 'GRANT TEMPORARY ON DATABASE sandbox TO dev, olga');
my $leak = 'CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$BEGIN RAISE NOTICE $n$leaked %$n$, $1; RETURN true; END$$;';
foreach my $table (qw(requests request_items reviews grants events risk_policies approval_flows approval_steps scopes revocations))
{
	my (undef, $err) = sql($node, 'dev', "$leak SET client_min_messages = notice; SELECT * FROM jit.$table t WHERE pg_temp.leak(t::text)", 'sandbox');
	unlike($err, qr/leaked|ERROR/, "a function in WHERE is shown no row of jit.$table");
	is((sql($node, 'dev', "SELECT count(*) FROM pg_stats WHERE schemaname = 'jit' AND tablename = '$table'", 'sandbox'))[0], '0', '... nor are its statistics');
	like((sql($node, 'dev', "SET row_security = off; TABLE jit.$table", 'sandbox'))[1], qr/would be affected by row-level security/, '... nor without row-level security');
}
like((sql($node, 'dev', "CREATE FUNCTION pg_temp.f() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM jit.requests'; GRANT EXECUTE ON FUNCTION pg_temp.f() TO PUBLIC; SELECT pg_temp.f()", 'sandbox'))[0], qr/^0$/m, 'a function of a stranger\'s shows none to them');
$before->do('SET client_min_messages = error; CREATE FUNCTION pg_temp.f() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$SELECT count(*) FROM jit.requests$$');
cmp_ok((scalar $before->do('SELECT pg_temp.f()')), '>', 0, 'one of an auditor\'s shows what they see');
is((sql($node, 'dev', 'SELECT bool_or(c.relrowsecurity) AND bool_and(c.relrowsecurity) FROM pg_class c WHERE relnamespace = $$jit$$::regnamespace AND relkind = $$r$$', 'sandbox'))[0], 't', 'all tables have it');
is($node->safe_psql('sandbox', q{SELECT count(*) FROM pg_class c, unnest(c.reloptions) o WHERE relnamespace = 'jit'::regnamespace AND o LIKE 'security_invoker%'}), '0', 'no view is security_invoker');
$node->safe_psql('sandbox', 'ANALYZE; ALTER SYSTEM RESET jit_access.auditor_role; SELECT pg_reload_conf()');
$_->quit for ($before, $during);

$node->stop;
done_testing();
