# The main job with real logins: a role without privileges is denied with a
# hint, asks with what the hint says, the owner approves, exactly that works
# in a session that was open all along, and it ends by revocation, by its
# deadline, and in every database.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess qw(stop_launcher continue_launcher shown_as);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'jit_access'");
$node->start;

sub sql
{
	my ($user, $sql, $db) = @_;
	my ($rc, $out, $err) = $node->psql($db // 'hr_prod', $sql,
		extra_params => [ '-U', $user ]);
	return ($rc, $out, $err);
}

$node->safe_psql('postgres', q{
	CREATE ROLE hr_owner; CREATE ROLE anna LOGIN; CREATE ROLE dev LOGIN;
	GRANT hr_owner TO anna;
	CREATE ROLE reporting;
	CREATE DATABASE hr_prod OWNER hr_owner;
	CREATE DATABASE elsewhere;
});
$node->safe_psql('hr_prod', q{
	CREATE EXTENSION jit_access;
	CREATE SCHEMA hr AUTHORIZATION hr_owner;
	SET ROLE hr_owner;
	CREATE TABLE hr.employee AS SELECT i AS emp_no, 'name ' || i AS last_name FROM generate_series(1, 100) i;
	CREATE TABLE hr.salary AS SELECT i AS emp_no, i * 10 AS amount FROM generate_series(1, 100) i;
	CREATE TABLE hr.department AS SELECT 'd1' AS dept_no;
	GRANT USAGE ON SCHEMA hr TO dev;
});

# denial with a hint that can be pasted
my ($rc, $out, $err) = sql('dev', 'SELECT count(*) FROM hr.employee JOIN hr.salary USING (emp_no)');
isnt($rc, 0, 'denied without access');
like($err, qr/permission denied for table employee/, 'by PostgreSQL itself');
like($err, qr/HINT:  Request access: (SELECT jit_request\('SELECT ON hr\.employee, hr\.salary', '1 hour', 'why you need it'\);)/,
	'the hint names both tables');
my ($paste) = $err =~ /Request access: (SELECT .*;)/;

($rc, $out, $err) = sql('dev', $paste);
is($rc, 0, 'the hint can be pasted');
is($out, '1', 'it is request 1');
like($err, qr/NOTICE:  request 1 in hr_prod is pending: .*; it waits for 1 approval by anyone who could grant it \(anna\); it lapses at /,
	'the NOTICE says who can approve and until when');

($rc, $out, $err) = sql('dev', 'SELECT jit_approve(1)');
like($err, qr/ERROR:  you cannot approve request 1 in hr_prod.*DETAIL:  It is for you/s, 'not by oneself');

shown_as((sql('anna', 'SELECT request, grantee, approvals FROM jit.inbox'))[1],
	"1|dev|0 of 1\nby anyone who could grant it", 'it is in the inbox of the owner');
is((sql('dev', 'SELECT count(*) FROM jit.inbox'))[1], '0', '... and in no other');
($rc, $out, $err) = sql('anna', "SELECT jit_approve(1, 'go ahead')");
is($out, 'active', 'approved');
like($err, qr/NOTICE:  dev has SELECT ON hr\.employee, hr\.salary in hr_prod until .*; end it with SELECT jit_revoke\(1\);/,
	'the NOTICE says what until when');

is((sql('dev', 'SELECT count(*) FROM hr.employee JOIN hr.salary USING (emp_no)'))[1], '100', 'access works');
($rc, $out, $err) = sql('dev', 'SELECT * FROM hr.department');
like($err, qr/permission denied for table department.*HINT:  Request access: SELECT jit_request\('SELECT ON hr\.department'/s,
	'and exactly that');
($rc, $out, $err) = sql('dev', 'DELETE FROM hr.salary');
like($err, qr/permission denied for table salary.*jit_request\('DELETE ON hr\.salary'/s, 'not more of it');

# stock PostgreSQL explains it
is($node->safe_psql('hr_prod', q{SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}),
	'jit_access: request 1 in database hr_prod: SELECT ON hr.employee, hr.salary; approved by anna',
	'the comment on the grant role says what it is');
is($node->safe_psql('hr_prod', q{SELECT bool_and(NOT rolcanlogin) FROM pg_roles WHERE rolname ~ '^jit_'}), 't', 'no jit role can log in');
is($node->safe_psql('hr_prod', q{SELECT string_agg(m.member::regrole::text, ',') FROM pg_auth_members m WHERE roleid = (SELECT oid FROM pg_roles WHERE rolname LIKE 'jit_grant_%')}),
	'dev', 'the grantee is its only member');

# revocation
($rc, $out, $err) = sql('anna', "SELECT jit_revoke(1, 'enough')");
is($out, 'revoked', 'revoked');
($rc, $out, $err) = sql('dev', 'SELECT count(*) FROM hr.employee');
like($err, qr/permission denied for table employee.*DETAIL:  Request 1 in hr_prod was revoked at /s, 'denied, and told why');

# the deadline, with the launcher stopped: in this and in another database
$node->safe_psql('postgres', 'GRANT reporting TO anna WITH ADMIN OPTION');
$node->safe_psql('elsewhere', 'CREATE TABLE report AS SELECT 1 AS x; GRANT SELECT ON report TO reporting;');
ok(stop_launcher($node), 'there is a launcher');
sql('dev', q{SELECT jit_request('SELECT ON hr.employee, hr.salary; reporting', '6 s', 'short')});
($rc, $out, $err) = sql('anna', 'SELECT jit_approve(2)');
is($out, 'active', 'approved with the launcher stopped');
is((sql('dev', 'SELECT x FROM report', 'elsewhere'))[1], '1', 'a role works in another database');
my $deadline = $node->safe_psql('hr_prod', 'SELECT extract(epoch FROM expires_at) FROM jit.requests WHERE id = 2');
$node->poll_query_until('postgres', "SELECT clock_timestamp() >= to_timestamp($deadline)");
($rc, $out, $err) = sql('dev', 'SELECT count(*) FROM hr.employee');
like($err, qr/permission denied for table employee.*DETAIL:  Request 2 in hr_prod expired at .*HINT:  Request access/s,
	'denied at the deadline without any worker');
($rc, $out, $err) = sql('dev', 'SELECT x FROM report', 'elsewhere');
like($err, qr/permission denied for table report.*DETAIL:  Request 2 in hr_prod expired at /s, '... in another database as well');
unlike($err, qr/HINT/, '... where no hint could be followed');
is($node->safe_psql('hr_prod', q{SELECT status FROM jit.requests WHERE id = 2}), 'active', 'the sweeper had no part in it');
continue_launcher();
ok($node->poll_query_until('hr_prod', q{SELECT status = 'expired' FROM jit.requests WHERE id = 2}), 'the sweeper settles it later');
is($node->safe_psql('hr_prod', q{SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}), '0', 'the roles are gone');

# DROP ROLE isn't blocked
$node->safe_psql('postgres', 'CREATE ROLE leaver LOGIN');
sql('anna', q{SELECT jit_grant('SELECT ON hr.employee', 'leaver', '1 hour', 'x')});
is((sql('leaver', 'SELECT count(*) FROM hr.employee'))[1], '100', 'granted directly');
$node->safe_psql('postgres', 'DROP ROLE leaver');
is($node->safe_psql('hr_prod', q{SELECT grantee FROM jit.history WHERE request = 3}), 'leaver', 'history reads on');
ok($node->poll_query_until('hr_prod', q{SELECT status = 'revoked' FROM jit.requests WHERE id = 3}), 'and the access is settled as revoked');

# the log tells of every event, after the commit only
my $log = slurp_file($node->logfile);
like($log, qr/LOG:  jit_access: request 1 in hr_prod activated: dev has SELECT ON hr\.employee, hr\.salary until .*, approved by anna/,
	'activation is in the log');
like($log, qr/LOG:  jit_access: request 1 in hr_prod revoked by anna/, 'revocation is in the log');
$node->psql('hr_prod', q{BEGIN; SELECT jit_grant('SELECT ON hr.department', 'dev', '1 hour', 'x'); ROLLBACK;});
unlike(slurp_file($node->logfile), qr/SELECT ON hr\.department until/, 'what was rolled back is not');

$node->stop;
done_testing();
