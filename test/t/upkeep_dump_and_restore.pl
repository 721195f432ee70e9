# A dump keeps everything, and brings nobody's access back: pg_dumpall into a
# new cluster, pg_dump into a cluster without the roles, and without a table,
# and into its own cluster after DROP DATABASE.  What the manual says keeps
# standing privileges where the roles are not there; pg_restore alone loses them.
#
# Seen to fail with rows of a database that is gone taken for copies, and with
# rows without one in jit.grants settled before their deadline, with nobody told
# of a change to a role of a database that is gone, and with foreign keys.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Cwd qw(abs_path);
use File::Basename;
use JitAccess qw(create_hr);

sub new_node
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'jit_access'");
	$node->start;
	return $node;
}

sub sql
{
	my ($node, $user, $sql) = @_;
	my ($rc, $out, $err) = $node->psql('hr_prod', $sql, extra_params => [ '-U', $user ]);
	return ($rc, $out, $err);
}

# pg_dump or pg_dumpall of one node into another
sub restore
{
	my ($from, $to, $db, $test, @dump) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
	$from->command_ok([ @dump, '-f', $file ], "$test: dumped");
	my ($rc, $out, $err) = $to->psql($db, undef, on_error_stop => 0, extra_params => [ '-f', $file ]);
	return $err;
}

my @tables = qw(requests request_items reviews grants events risk_policies approval_flows approval_steps);
my $contents = join(' UNION ALL ', map {
	"SELECT '$_' AS t, count(*) AS n, md5(string_agg(x::text, '|' ORDER BY x::text)) FROM jit.$_ x" } @tables)
	. q{ UNION ALL SELECT 'request_number', last_value, is_called::text FROM jit.request_number ORDER BY 1};

my $old = new_node('old');
create_hr($old);
$old->safe_psql('hr_prod', q{
	CREATE ROLE reader;
	GRANT reader TO anna WITH ADMIN OPTION;
	SET ROLE hr_owner;
	CREATE TABLE hr.title AS SELECT i AS emp_no FROM generate_series(1, 7) i;
	GRANT SELECT ON hr.title TO reader;
});
$old->safe_psql('hr_prod', q{
	SELECT jit_set_policy('pay', 'high', 'exists ($.items[*] ? (@.labels[*] == "pii"))', 'salaries');
	SELECT jit_set_flow('high', '[{"approver": "hr_owner"}]', '1 day', '2 days');
	SELECT jit_set_label('TABLE hr.salary', 'pii');
});
sub ask { return (sql($old, 'dev', "SELECT jit_request($_[0])"))[1]; }
is(ask(q{'SELECT ON hr.salary; reader', '1 h', 'live'}), 1, 'request 1');
is(ask(q{'SELECT (emp_no) ON hr.salary', '25 s', 'short'}), 2, 'request 2');
is(ask(q{'SELECT (amount), UPDATE (emp_no) ON hr.salary', '1 h', 'pending'}), 3, 'request 3');
is(ask(q{'SELECT ON hr.title', '1 h', 'rejected'}), 4, 'request 4');
is(ask(q{'DELETE ON hr.title', '1 h', 'revoked'}), 5, 'request 5');
is(ask(q{'INSERT ON hr.salary', until => now() + interval '26 s', reason => 'x'}), 6, 'request 6');
is(ask(q{'DELETE ON hr.salary', '1 h', 'to be ended by the panic button'}), 7, 'request 7');
for my $id (1, 2, 5, 7)
{
	is((sql($old, 'anna', "SELECT jit_approve($id, 'fine')"))[1], 'active', "request $id is active");
}
sql($old, 'anna', q{SELECT jit_reject(4, 'no')});
sql($old, 'anna', q{SELECT jit_revoke(5, 'enough')});
is((sql($old, 'dev', 'SELECT count(*) FROM hr.salary'))[1], 100, 'it works in the old cluster');
my $before = $old->safe_psql('hr_prod', $contents);
my $deadline = $old->safe_psql('hr_prod', 'SELECT expires_at FROM jit.requests WHERE id = 1');
my $history = $old->safe_psql('hr_prod', 'SELECT request, grantee, access, objects, approved_by FROM jit.history');

# ---- pg_dumpall into a new cluster

my $new = new_node('new');
# OIDs must not be the same by chance
$new->safe_psql('postgres', 'CREATE ROLE other; CREATE TABLE a (); CREATE TABLE b (); CREATE TABLE c (); DROP TABLE a, b, c');
my $err = restore($old, $new, 'postgres', 'pg_dumpall', 'pg_dumpall');
$err =~ s/^.*role "postgres" already exists$//m;
unlike($err, qr/ERROR/, 'pg_dumpall: restored without errors');
is($new->safe_psql('hr_prod', $contents), $before, '... all rows and sequences are there');
is($new->safe_psql('hr_prod', 'SELECT request, grantee, access, objects, approved_by FROM jit.history'), $history,
	'... history reads the same');
is($new->safe_psql('hr_prod', q{SELECT label FROM pg_seclabels WHERE objname = 'hr.salary'}), 'pii', '... labels are there');
is($new->safe_psql('postgres', q{SELECT rolvaliduntil FROM pg_authid WHERE rolname ~ '^jit_grant_.*_1$'}), $deadline,
	'... the deadline is the old one');
is((sql($new, 'dev', 'SELECT count(*) FROM hr.salary'))[1], 100, '... access lives on');
# request 2 may be over by now
like((sql($new, 'dev', 'SELECT request FROM jit.active_grants ORDER BY 1'))[1], qr/^1\n(2\n)?7$/, '... and is listed');

my ($rc, $out);
($rc, $out, $err) = sql($new, 'dev', q{SELECT jit_approve(3)});
like($err, qr/you cannot approve request 3/, 'a restored request is not approved by its requester');
is((sql($new, 'anna', 'SELECT request FROM jit.inbox'))[1], "3\n6", 'restored requests are in the inbox');
($rc, $out, $err) = sql($new, 'anna', q{SELECT jit_approve(3)});
is($out, 'active', 'a restored request is approved');
is($new->safe_psql('hr_prod', q{
	SELECT r.origin = (SELECT origin FROM jit.scopes LIMIT 1), r.requester_oid::regrole, r.login_oid::regrole, r.grantee_oid::regrole,
		(SELECT array_agg(DISTINCT objid::regclass) FROM jit.request_items i WHERE i.request_id = r.id),
		(SELECT array_agg(approver_oid::regrole) FROM jit.reviews v WHERE v.request_id = r.id)
	FROM jit.requests r WHERE id = 3}), 't|dev|dev|dev|{hr.salary}|{anna}', '... resolved anew by name');
is($new->safe_psql('hr_prod', q{SELECT has_column_privilege('dev', 'hr.salary', 'emp_no', 'UPDATE')}), 't', '... and works');
is((sql($new, 'anna', 'SELECT jit_revoke(3)'))[1], 'revoked', '... and is revoked');
is($new->safe_psql('hr_prod', q{SELECT has_column_privilege('dev', 'hr.salary', 'emp_no', 'UPDATE')}), 'f', '... and has ended');
is((sql($new, 'dev', q{SELECT jit_request('INSERT ON hr.title', '1 h', 'new')}))[1], 8, 'numbers go on where they were');

# natively altered, it isn't known as the grant's any more: no false report
my $role = $new->safe_psql('postgres', q{SELECT rolname FROM pg_roles WHERE rolname ~ '^jit_grant_.*_7$'});
$new->safe_psql('postgres', "ALTER ROLE $role VALID UNTIL '2100-01-01'");
($rc, $out, $err) = sql($new, 'anna', 'SELECT jit_revoke(7)');
like($err, qr/request 7 in hr_prod cannot be revoked here.*Role $role has been altered/s, 'what was altered natively is not said to have ended');
is($new->safe_psql('hr_prod', q{SELECT status FROM jit.requests WHERE id = 7}), 'active', '... and has not');
($rc, $out, $err) = sql($new, 'postgres', q{SELECT jit_revoke_from('dev', 'panic')});
is($new->safe_psql('hr_prod', q{SELECT has_table_privilege('dev', 'hr.salary', 'DELETE'), has_table_privilege('dev', 'hr.salary', 'SELECT')}),
	'f|f', 'the panic button ends restored access, altered or not');

# ---- the same once more, and now wait

my $third = new_node('third');
$err = restore($old, $third, 'postgres', 'pg_dumpall', 'pg_dumpall');
is((sql($third, 'anna', 'SELECT jit_revoke(1)'))[1], 'revoked', 'restored live access is revoked');
is($third->safe_psql('hr_prod', q{SELECT has_table_privilege('dev', 'hr.salary', 'SELECT')}), 'f', '... and has ended');
is($third->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname ~ '^jit_grant_.*_1$'}), '0', '... its role is gone');
is($third->safe_psql('hr_prod', q{SELECT has_column_privilege('dev', 'hr.salary', 'emp_no', 'SELECT') OR clock_timestamp() > (SELECT expires_at FROM jit.requests WHERE id = 2)}),
	't', 'request 2 is live until its time');
ok($third->poll_query_until('hr_prod', q{SELECT clock_timestamp() > (SELECT expires_at FROM jit.requests WHERE id = 2)}), 'its time comes');
($rc, $out, $err) = sql($third, 'dev', 'SELECT count(emp_no) FROM hr.salary');
like($err, qr/permission denied for table salary/, '... and it ends at its old deadline');
ok($third->poll_query_until('hr_prod', q{SELECT status = 'expired' FROM jit.requests WHERE id = 2}), '... and is settled without a restart');
ok($third->poll_query_until('hr_prod', q{SELECT status = 'lapsed' FROM jit.requests WHERE id = 6}), 'a restored pending request lapses');
is($third->safe_psql('hr_prod', q{SELECT ended_at = expires_at FROM jit.requests WHERE id = 2}), 't', 'history says when');

# a dump made while access was live, restored after its end
my $file = PostgreSQL::Test::Utils::tempdir() . '/all.sql';
my $late = new_node('late');
sql($old, 'postgres', q{SELECT jit_grant('SELECT ON hr.title', 'eve', '3 s', 'x')});
$old->command_ok([ 'pg_dumpall', '-f', $file ], 'dumped with live access');
$old->poll_query_until('hr_prod', q{SELECT clock_timestamp() > (SELECT max(expires_at) FROM jit.requests WHERE grantee = 'eve')});
$late->psql('postgres', undef, on_error_stop => 0, extra_params => [ '-f', $file ]);
($rc, $out, $err) = sql($late, 'eve', 'SELECT count(*) FROM hr.title');
like($err, qr/permission denied/, 'access that has ended since is not revived');
ok($late->poll_query_until('hr_prod', q{SELECT status = 'expired' FROM jit.requests WHERE grantee = 'eve'}), '... it is settled');
ok($late->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE m.member = 'eve'::regrole)}), '... its membership is gone');

# ---- one database, into a cluster without the roles, and without a table

my $bare = new_node('bare');
$bare->safe_psql('postgres', 'CREATE DATABASE hr_prod');
$before = $old->safe_psql('hr_prod', $contents);
$err = restore($old, $bare, 'hr_prod', 'pg_dump -T', 'pg_dump', '-T', 'hr.salary', 'hr_prod');
is($bare->safe_psql('hr_prod', 'SELECT count(*) FROM jit.history'),
	$old->safe_psql('hr_prod', 'SELECT count(*) FROM jit.history'), 'every row of history is there without roles and table');
is($bare->safe_psql('hr_prod', q{SELECT array_to_string(objects, ',') || ' ' || array_to_string(approved_by, ',') FROM jit.history WHERE request = 1}),
	'hr.salary,reader anna', '... and reads on');
ok($bare->poll_query_until('hr_prod', q{SELECT NOT EXISTS (SELECT FROM jit.requests WHERE status = 'active')}), 'nothing is active there');
($rc, $out, $err) = sql($bare, 'postgres', 'SELECT jit_approve(3)');
like($err, qr/ERROR:.*hr\.salary/s, 'a pending request for what is not there is refused');
is((sql($bare, 'postgres', q{SELECT jit_reject(3, 'gone')}))[1], 'rejected', '... and can be rejected');

# ---- dropped and restored in its own cluster: the grants are still there, and
# are the restored database's to end

my ($manual) = slurp_file(dirname(abs_path(__FILE__)) . '/../../doc/operations.md') =~ /^## Dumps\n(.*?)^## /ms;
my ($without, $make) = $manual =~ /^```sh\n(.*?)^```$/msg;
my ($remove) = $manual =~ /^```sql\n(.*?)^```$/ms;
my $dir = PostgreSQL::Test::Utils::tempdir();
sub shell
{
	my ($node, $command) = @_;
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PATH => $node->config_data('--bindir') . ":$ENV{PATH}");
	my ($stdout, $stderr) = run_command([ 'sh', '-c', "cd '$dir' && $command" ]);
	return $stderr;
}
# GRANT by GRANT: scope roles that nobody used are gone with the database
sub pg_restore { return shell($old, 'pg_restore -f - ' . join(' ', @_) . ' dump | psql -q -d hr_prod'); }
$old->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/dump", 'hr_prod' ], 'dumped, to be restored in its cluster');
my ($list) = run_command([ 'pg_restore', '-l', "$dir/dump" ]);
my @list = map { "$_\n" } grep { !/^;/ } split /\n/, $list;
append_to_file("$dir/grants", join '', grep { /TABLE DATA jit grants / } @list);
# several at a time come to our tables in any order, the last one first, say
append_to_file("$dir/others", join '', (grep { !/TABLE DATA jit / } @list), (reverse grep { /TABLE DATA jit (?!grants )/ } @list));
# what no sweeper changes
my $unchanging = "SELECT * FROM ($contents) c WHERE t NOT IN ('requests', 'grants', 'events')";
my $all = $old->safe_psql('hr_prod', $unchanging);
$old->safe_psql('postgres', 'DROP DATABASE hr_prod');
$old->safe_psql('postgres', 'CREATE DATABASE hr_prod OWNER hr_owner');
unlike(pg_restore('-L', 'others') =~ s/^ERROR:  role "jit_scope_\d+_\d+" does not exist$//mgr, qr/ERROR/, 'restored, but for scope roles that are gone');

# a sweeper comes between
sql($old, 'dev', q{SELECT jit_request('UPDATE ON hr.title', until => clock_timestamp() + interval '1 s', reason => 'x')});
ok($old->poll_query_until('hr_prod', q{SELECT status = 'lapsed' FROM jit.requests WHERE access = 'UPDATE ON hr.title'}), 'a sweeper comes before jit.grants');
is($old->safe_psql('hr_prod', 'SELECT status FROM jit.requests WHERE id = 1'), 'active', '... and says of nothing that it has ended');
is(pg_restore('-L', 'grants'), '', 'restored to the end');
$role = $old->safe_psql('hr_prod', 'SELECT role FROM jit.grants WHERE request_id = 1');
is((sql($old, 'dev', 'SELECT count(*) FROM hr.salary'))[1], 100, '... with what is live');
$old->safe_psql('postgres', "ALTER ROLE $role VALID UNTIL '2099-01-01 00:00+00'");
ok($old->poll_query_until('hr_prod', q{SELECT expires_at = '2099-01-01 00:00+00' FROM jit.requests WHERE id = 1}), 'its ledger follows a native ALTER ROLE');
$old->safe_psql('postgres', 'DROP ROLE ' . $old->safe_psql('hr_prod', 'SELECT role FROM jit.grants WHERE request_id = 7'));
ok($old->poll_query_until('hr_prod', q{SELECT status = 'revoked' FROM jit.requests WHERE id = 7}), '... and DROP ROLE');
is((sql($old, 'anna', 'SELECT jit_revoke(1)'))[1], 'revoked', 'it is revoked');
($rc, $out, $err) = sql($old, 'dev', 'SELECT count(*) FROM hr.salary');
like($err, qr/permission denied for table salary/, '... and has ended');
is($old->safe_psql('postgres', "SELECT count(*) FROM pg_roles WHERE rolname = '$role'"), '0', '... its role is gone');
$old->safe_psql('hr_prod', 'DROP EXTENSION jit_access');
is($old->safe_psql('postgres', q{SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE rolname ~ '^jit_grant_' AND rolvaliduntil > clock_timestamp()}),
	'0', 'DROP EXTENSION ends the others');

$old->safe_psql('postgres', 'CREATE DATABASE parallel');
is(shell($old, 'pg_restore -x -j 4 -d parallel dump'), '', 'restored by several at a time, without privileges');
is($old->safe_psql('parallel', $unchanging), $all, '... all rows and sequences are there');

# ---- standing privileges, in a cluster without the roles

$old->safe_psql('parallel', q{
	GRANT SELECT ON hr.salary TO reader;
	GRANT SELECT (emp_no) ON hr.title TO eve;
	SELECT jit_set_flow('high', '[]');
	SELECT jit_grant('SELECT ON hr.salary; DELETE ON hr.title; SELECT (emp_no) ON hr.title', 'dev', '1 hour', 'x');
});
$old->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/hr_prod.dump", 'parallel' ], 'dumped with standing and temporary privileges');
my $standing = q{SELECT has_table_privilege('reader', 'hr.salary', 'SELECT'), has_table_privilege('hr_owner', 'hr.salary', 'SELECT'), has_column_privilege('eve', 'hr.title', 'emp_no', 'SELECT')};
is($old->safe_psql('parallel', $standing), 't|t|t', 'who has what for good');
my $empty = new_node('empty');
$empty->safe_psql('postgres', 'CREATE ROLE hr_owner; CREATE ROLE reader; CREATE ROLE eve LOGIN; CREATE ROLE dev LOGIN; CREATE ROLE anna LOGIN');

# Does a restore keep them, and leave nothing behind?  What the manual says is
# for a database hr_prod.
sub kept
{
	my ($test, $how) = @_;
	$empty->safe_psql('postgres', 'CREATE DATABASE hr_prod OWNER hr_owner');
	$how->();
	is($empty->safe_psql('hr_prod', 'SELECT count(*) FROM hr.salary'), 100, "$test: restored");
	my $result = $empty->safe_psql('hr_prod', $standing);
	is($empty->safe_psql('hr_prod', q{SELECT has_table_privilege('dev', 'hr.salary', 'SELECT')}), 'f', '... temporary access is not');
	is($empty->safe_psql('hr_prod', q{SELECT (SELECT count(*) FROM pg_roles WHERE rolname ~ '^jit_'), (SELECT count(*) FROM pg_class WHERE relacl::text ~ 'jit_'), (SELECT count(*) FROM pg_attribute WHERE attacl::text ~ 'jit_')}),
		'0|0|0', '... and nothing of it is there');
	$empty->safe_psql('postgres', 'DROP DATABASE hr_prod');
	return $result;
}

sub to_empty { return shell($empty, $_[0]); }
is(kept('pg_restore alone', sub { to_empty('pg_restore -d hr_prod hr_prod.dump') }), 'f|t|f', 'loses standing privileges');
is(kept('without those GRANTs', sub { is(to_empty($without), '', 'no error') }), 't|t|t', 'keeps them');
is(kept('the roles made first', sub {
	is(to_empty($make), '', 'no error');
	is(to_empty('pg_restore -j 2 -d hr_prod hr_prod.dump'), '', 'no error');
	is($empty->safe_psql('hr_prod', q{SELECT count(*) > 0, bool_and(NOT rolcanlogin), (SELECT count(*) FROM pg_auth_members m WHERE m.roleid IN (SELECT oid FROM pg_roles WHERE rolname ~ '^jit_'))
		FROM pg_roles WHERE rolname ~ '^jit_'}), 't|t|0', 'what was made has no members');
	# beside the extension's own
	my $id = $empty->safe_psql('hr_prod', q{SELECT jit_grant('INSERT ON hr.salary', 'dev', '1 hour', 'x')});
	($rc, $out, $err) = $empty->psql('hr_prod', $remove, on_error_stop => 1);
	is($err, '', 'no error');
	is($empty->safe_psql('hr_prod', q{SELECT has_table_privilege('dev', 'hr.salary', 'INSERT')}), 't', 'its own are left alone');
	$empty->safe_psql('hr_prod', 'DROP EXTENSION jit_access');
}), 't|t|t', 'keeps them');

# ---- who dumps

my @dump = ('pg_dump', '-U', 'anna', '--role', 'hr_owner', '-f', "$dir/owners.sql");
$old->command_fails_like([ @dump, 'parallel' ], qr/permission denied for (table|sequence)|user may lack SELECT privilege on the sequence/, 'an owner cannot dump requests');
$old->command_ok([ @dump, '-N', 'jit', 'parallel' ], '... and can dump all else');
my $owners = slurp_file("$dir/owners.sql");
like($owners, qr/^COPY hr\.salary /m, '... the data');
unlike($owners, qr/^COPY jit\./m, '... without requests');
$old->safe_psql('parallel', 'CREATE ROLE backup LOGIN; GRANT pg_read_all_data TO backup');
$old->command_fails_like([ 'pg_dump', '-U', 'backup', '-f', "$dir/all.sql", 'parallel' ], qr/query would be affected by row-level security policy/,
	'who reads everything, but passes no row-level security, cannot dump requests');
$old->command_ok([ 'pg_dump', '-U', 'backup', '-N', 'jit', '-f', "$dir/all.sql", 'parallel' ], '... but all else');
unlike(slurp_file("$dir/all.sql"), qr/to be ended by the panic button/, '... without reasons');
is($old->safe_psql('parallel', 'SELECT count(*) FROM jit.requests', extra_params => [ '-U', 'backup' ]), '0', '... and reads none');
$old->safe_psql('parallel', 'ALTER ROLE backup BYPASSRLS');
$old->command_ok([ 'pg_dump', '-U', 'backup', '-f', "$dir/all.sql", 'parallel' ], 'with BYPASSRLS it dumps everything');
like(slurp_file("$dir/all.sql"), qr/to be ended by the panic button/, '... reasons as well');

$_->stop for ($old, $new, $third, $late, $bare, $empty);
done_testing();
