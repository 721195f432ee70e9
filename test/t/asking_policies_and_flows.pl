# Risk policies and approval flows with real logins: the same request is high
# risk in prod and active at once in test; what jit_set_flow() says; what an
# approver is told of a policy that has become stricter; and that policies,
# flows and labels survive pg_dump | psql, into a cluster where the roles have
# other OIDs, without label events colliding with those of the dump.
#
# Made sure that it fails without the mechanism: with being_restored() always
# false the restore fails on the primary key of jit.events; with OIDs of steps
# used whatever their origin the restored flow names somebody else; with
# jit_stricter_now() returning NULL the approver is told nothing.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess qw(shown_as);

sub new_node
{
	my $new = PostgreSQL::Test::Cluster->new($_[0]);
	$new->init;
	$new->append_conf('postgresql.conf', "shared_preload_libraries = 'jit_access'");
	$new->start;
	return $new;
}

my $node = new_node('policies');
my ($notices, $id);

# Value of the last statement; what else was said is in $notices.
sub sql
{
	my ($user, $sql, $db) = @_;
	my ($rc, $out, $err) = $node->psql($db // 'hr_prod', $sql, extra_params => [ '-U', $user ]);
	$notices = $err;
	return $out;
}

$node->safe_psql('postgres', q{
	CREATE ROLE hr_owner; CREATE ROLE anna LOGIN IN ROLE hr_owner; CREATE ROLE ben LOGIN IN ROLE hr_owner;
	CREATE ROLE security; CREATE ROLE sam LOGIN IN ROLE security;
	CREATE ROLE dev LOGIN;
});
for my $environment ('prod', 'test')
{
	$node->safe_psql('postgres', "CREATE DATABASE hr_$environment OWNER hr_owner;
		ALTER DATABASE hr_$environment SET jit_access.environment = '$environment'");
	$node->safe_psql("hr_$environment", q{
		CREATE EXTENSION jit_access;
		CREATE SCHEMA hr AUTHORIZATION hr_owner;
		SET ROLE hr_owner;
		CREATE TABLE hr.employee AS SELECT i AS emp_no FROM generate_series(1, 100) i;
		CREATE TABLE hr.salary AS SELECT i AS emp_no, i * 10 AS amount FROM generate_series(1, 100) i;
		SECURITY LABEL FOR jit_access ON COLUMN hr.salary.amount IS 'payroll, pii';
		RESET ROLE;
		SELECT jit_set_policy('prod', 'high', '$.environment == "prod"', 'Production data.');
		SELECT jit_set_policy('test', 'low', '$.environment == "test"');
		SELECT jit_set_flow('high', '[{"approver": "pg_database_owner"}]', '4 hours');
		SELECT jit_set_flow('low', '[]');
	});
}

# the same request, by environment
$id = sql('dev', "SELECT jit_request('SELECT ON hr.salary', '1 hour', 'totals')", 'hr_test');
like($notices, qr/NOTICE:  dev has SELECT ON hr.salary in hr_test until .*; end it with SELECT jit_revoke\($id\);/,
	'in test it is active at once');
is(sql('dev', 'SELECT count(*) FROM hr.salary', 'hr_test'), '100', '... and works');
$id = sql('dev', "SELECT jit_request('SELECT ON hr.salary', '1 hour', 'totals')");
like($notices, qr/NOTICE:  request $id in hr_prod is pending: .*; it waits for 1 approval by pg_database_owner \(anna, ben\); it lapses at /,
	'in prod it needs the owner of the database');
shown_as(sql('ben', 'SELECT risk, approvals FROM jit.inbox'), "high|0 of 1\nby pg_database_owner", 'the inbox says risk and progress');
is(sql('ben', "SELECT jit_approve($id)"), 'active', 'who approves');
is(sql('dev', 'SELECT count(*) FROM hr.salary'), '100', '... and it works');

# what jit_set_flow() says
sql('postgres', q{SELECT jit_set_flow('high', '[{"any_of": ["security", "hr_owner"], "approvals": 2}, {"approver": "pg_database_owner"}]',
	'2 hours', '30 min', '^.{3}', '^INC-')});
like($notices, qr/NOTICE:  approval flow for high risk in hr_prod is changed\nDETAIL:  Before: 1 approval by pg_database_owner; for at most 04:00:00; lapses after 24:00:00\.\nAfter: 2 approvals by security or hr_owner, then 1 approval by pg_database_owner; for at most 02:00:00; lapses after 00:30:00; reason like "\^\.\{3\}"; ticket like "\^INC-"\.\n/,
	'jit_set_flow() says what was before and what is now');
unlike($notices, qr/WARNING/, '... and there are people enough');
sql('postgres', q{SELECT jit_set_flow('moderate', '[{"approver": "security", "approvals": 2}]')});
like($notices, qr/WARNING:  step 1 needs 2 approvals by security, but 1 person can log in as such now/, 'a step with too few people');
sql('postgres', q{SELECT jit_set_flow('moderate', '[{"approver": "hr_owner", "approvals": 2}, {"approver": "anna"}]')});
like($notices, qr/WARNING:  the flow needs 3 approvals by different people, but only 2 can log in as such now/, 'steps with too few people together');
sql('postgres', q{SELECT jit_set_flow('moderate', '[{"any_of": ["security", "@grantor"], "approvals": 7}]')});
unlike($notices, qr/WARNING/, 'who could grant is not guessed');

# a policy that can't be evaluated is told, to whoever asks
sql('postgres', q{SELECT jit_set_policy('odd', 'low', '$.reason > 3')}, 'hr_test');
sql('dev', "SELECT jit_request('SELECT ON hr.employee', '1 hour', 'totals')", 'hr_test');
like($notices, qr/WARNING:  policy odd cannot be evaluated and counts as matched, at high risk\nDETAIL:  Its condition failed: its result is null\.\n/,
	'a policy that cannot be evaluated is told');
like($notices, qr/is pending: .*; it waits for 1 approval by pg_database_owner/, '... and does not lower the risk');

# stricter since it was filed: the approver is told, and the old flow applies
sql('postgres', q{SELECT jit_drop_policy('prod'); SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]')});
$id = sql('dev', "SELECT jit_request('SELECT ON hr.employee', '1 hour', 'first')");
sql('anna', "SELECT jit_approve($id)");
unlike($notices, qr/now/, 'nothing has changed');
my @cases = (
	[ q{SELECT jit_set_policy('prod', 'high', '$.environment == "prod"')}, q{SELECT jit_drop_policy('prod')},
		qr/would be of high risk now, by policy prod; it was of moderate risk when it was filed\./ ],
	[ q{SELECT jit_set_flow('moderate', '[{"approver": "@grantor", "approvals": 2}]')},
		q{SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]')},
		qr/would need more approvals now: 2 approvals by anyone who could grant it\./ ],
	[ q{SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]', '10 min')},
		q{SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]')}, qr/could not be for so long now; at most 00:10:00 is allowed/ ],
	[ q{SELECT jit_set_policy('pii', 'high', '$.items[*].labels[*] == "secret"');
		SELECT jit_set_label('TABLE hr.employee', 'secret')},
		q{SELECT jit_drop_policy('pii')}, qr/would be of high risk now, by policy pii/ ]);
for my $case (@cases)
{
	$id = sql('dev', "SELECT jit_request('SELECT ON hr.employee', '90 min', 'more')");
	sql('postgres', $case->[0]);
	is(sql('anna', "SELECT jit_approve($id)"), 'active', 'the flow of the filing applies');
	like($notices, qr/NOTICE:  what applied when request $id in hr_prod was filed applies\nDETAIL:  Request $id $case->[2]/, '... and the approver is told that it would be stricter');
	sql('anna', "SELECT jit_revoke($id)");
	sql('postgres', $case->[1]);
}

# dump and restore, into a cluster where the roles have other OIDs
sql('postgres', q{SELECT jit_set_policy('prod', 'high', '$.environment == "prod"', 'Production data.')});
$id = sql('dev', "SELECT jit_request('SELECT (amount) ON hr.salary', '90 min', 'restored', ticket => 'INC-1')");
my $dump = $node->basedir . '/dump.sql';
my $roles = $node->basedir . '/roles.sql';
command_ok([ 'pg_dumpall', '-r', '-f', $roles, '-d', $node->connstr('postgres') ], 'roles dumped');
command_ok([ 'pg_dump', '-C', '-f', $dump, '-d', $node->connstr('hr_prod') ], 'database dumped');
# and once more, as the owners of its objects
command_ok([ 'pg_dump', '--use-set-session-authorization', '-f', "$dump.2", '-d', $node->connstr('hr_prod') ], 'dumped to be restored as the owners');
my $state = q{
	SELECT * FROM jit.risk_policies; SELECT * FROM jit.approval_flows; SELECT risk, step, approvals, approvers FROM jit.approval_steps;
	SELECT objname, label FROM pg_seclabels WHERE provider = 'jit_access' ORDER BY 1;
	SELECT origin, id, event, detail FROM jit.events ORDER BY origin, id};
my $before = $node->safe_psql('hr_prod', $state);
$node->stop;

$node = new_node('restored');
$node->safe_psql('postgres', 'CREATE ROLE other1; CREATE ROLE other2; CREATE ROLE other3 LOGIN IN ROLE other1, other2;
	CREATE ROLE other4; CREATE ROLE other5');
my ($rc, $out, $err) = $node->psql('postgres', "\\i $roles\n\\i $dump\n", on_error_stop => 0);
is(join("\n", grep { !/role "\w+" already exists/ } $err =~ /ERROR:.*/g), '', 'restored without an error');
is($node->safe_psql('hr_prod', $state), $before, 'policies, flows, labels and events are the same, and nothing was added');
$node->safe_psql('postgres', 'CREATE DATABASE hr_copy OWNER hr_owner');
($rc, $out, $err) = $node->psql('hr_copy', "\\i $dump.2\n", on_error_stop => 0);
is(join("\n", $err =~ /ERROR:.*/g), '', 'restored as the owners without an error');
is($node->safe_psql('hr_copy', $state), $before, '... to the same');
my $explained = sql('dev', "SELECT string_agg(btrim(l), ';') FROM jit_explain('SELECT ON hr.salary', '1 hour', 'other', ticket => 'INC-2') l WHERE l ~ 'step|Risk'");
is($explained, 'Risk: high;step 1: 2 approvals by security or hr_owner (anna, ben, sam);step 2: 1 approval by pg_database_owner (anna, ben)',
	'a restored flow names its roles by name');
is(sql('sam', "SELECT jit_approve($id)"), 'pending', 'a request that was pending goes on');
is(sql('ben', "SELECT jit_approve($id)"), 'pending', '... by the roles of its flow');
is(sql('anna', "SELECT jit_approve($id)"), 'active', '... to its end');
sql('postgres', "SELECT jit_set_label('TABLE hr.salary', 'late')");
is(sql('postgres', q{SELECT detail ->> 'after' FROM jit.events WHERE event = 'label_set' ORDER BY at DESC LIMIT 1}), 'late',
	'a label set later is an event again');
$node->stop;

done_testing();
