# CREATE DATABASE ... TEMPLATE: the copy has the original's ledger, but the
# grants in it are the original's.  Seen to fail with a copy's rows expiring by
# themselves alone.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess qw(create_hr);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'jit_access'");
$node->start;

sub sql
{
	my ($user, $sql, $db) = @_;
	my ($rc, $out, $err) = $node->psql($db // 'hr_prod', $sql, extra_params => [ '-U', $user ]);
	return ($rc, $out, $err);
}

# what dev may do in hr_prod, by requests 1, 2 and 3
sub held
{
	return (sql('dev', q{SELECT concat_ws(',', has_table_privilege('hr.salary', 'SELECT'),
		has_table_privilege('hr.salary', 'UPDATE'), has_table_privilege('hr.salary', 'DELETE'))}))[1];
}

create_hr($node);
sql('dev', $_) for (
	q{SELECT jit_request('SELECT ON hr.salary', '1 h', 'live')},
	q{SELECT jit_request('UPDATE ON hr.salary', '1 h', 'live, too')},
	q{SELECT jit_request('DELETE ON hr.salary', '25 s', 'short')},
	q{SELECT jit_request('INSERT ON hr.salary', '1 h', 'pending')},
	q{SELECT jit_request('SELECT (emp_no), INSERT (emp_no) ON hr.salary', '1 h', 'pending, too')});
is((sql('anna', "SELECT jit_approve($_)"))[1], 'active', "request $_ is active") for (1, 2, 3);

$node->safe_psql('postgres', "CREATE DATABASE copy$_ TEMPLATE hr_prod") for (1, 2);

# data in the copy is open to what was granted before: PostgreSQL's own doing
is(held(), 't,t,t', 'the original is as before');
my ($rc, $out, $err) = sql('anna', 'SELECT jit_revoke(1)', 'copy1');
like($err, qr/request 1 in copy1 is a copy of a request of another database.*HINT:  Revoke it in database hr_prod\./s,
	'jit_revoke in the copy says where');
is(held(), 't,t,t', '... and touches nothing');

# a pending request is one of the copy's own from its approval on
($rc, $out, $err) = sql('dev', 'SELECT jit_approve(4)', 'copy1');
like($err, qr/you cannot approve request 4 in copy1/, 'the requester cannot approve in the copy');
is((sql('anna', 'SELECT jit_approve(4)', 'copy1'))[1], 'active', 'a pending request is approved in the copy');
my $sees = q{SELECT has_table_privilege('hr.salary', 'INSERT')};
is((sql('dev', $sees, 'copy1'))[1], 't', '... and gives access there');
is((sql('dev', $sees))[1], 'f', '... and only there');
is((sql('dev', 'SELECT status FROM jit.my_requests WHERE request = 4'))[1], 'pending', '... the original is pending');
is((sql('anna', 'SELECT jit_approve(4)'))[1], 'active', '... and is approved for itself');
is((sql('dev', $sees))[1], 't', '... and gives access there');
is((sql('anna', 'SELECT jit_revoke(4)', 'copy1'))[1], 'revoked', 'the copy revokes its own');
is((sql('dev', $sees, 'copy1'))[1], 'f', '... which ends');
is((sql('dev', $sees))[1], 't', "... and the original's doesn't");

# DROP EXTENSION in the copy, also rolled back
is((sql('anna', 'SELECT jit_approve(5)', 'copy2'))[1], 'active', "one of the second copy's own");
$node->safe_psql('copy2', 'BEGIN; DROP EXTENSION jit_access; ROLLBACK;');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname ~ '^jit_grant_'}), 5, 'a rolled back DROP EXTENSION ends nothing');
($rc, $out, $err) = $node->psql('copy2', 'DROP EXTENSION jit_access');
is($rc, 0, 'DROP EXTENSION in the copy') or diag $err;
is($node->safe_psql('postgres', q{SELECT string_agg(substring(rolname from '\d+$'), ',' ORDER BY 1) FROM pg_roles WHERE rolname ~ '^jit_grant_'}),
	'1,2,3,4', "ends the copy's own and nothing else");
is(held(), 't,t,t', '... the original works');

# DROP DATABASE of a copy
$node->safe_psql('postgres', 'DROP DATABASE copy2');
is(held(), 't,t,t', 'DROP DATABASE of the copy touches nothing');

# prolonged natively, it goes on in a copy as well, whose row says nothing else
sql('dev', q{SELECT jit_request('TRUNCATE ON hr.salary', '10 s', 'x')});
is((sql('anna', 'SELECT jit_approve(6)'))[1], 'active', 'short access again');
$node->safe_psql('postgres', 'CREATE DATABASE copy3 TEMPLATE hr_prod');
my $role = $node->safe_psql('hr_prod', 'SELECT role FROM jit.grants WHERE request_id = 6');
$node->safe_psql('postgres', "ALTER ROLE $role VALID UNTIL '2099-01-01 00:00+00'");
ok($node->poll_query_until('copy3', q{SELECT status = 'expired' OR expires_at = '2099-01-01 00:00+00' FROM jit.requests WHERE id = 6}),
	'the row of the copy comes to its deadline');
is($node->safe_psql('copy3', q{SELECT status, has_table_privilege('dev', 'hr.salary', 'TRUNCATE') FROM jit.requests WHERE id = 6}), 'active|t',
	'... and follows that of the role');
is((sql('anna', 'SELECT jit_revoke(6)'))[1], 'revoked', 'the original revokes');

# time comes in both
ok($node->poll_query_until('hr_prod', q{SELECT status = 'expired' FROM jit.requests WHERE id = 3}), 'the original expires');
ok($node->poll_query_until('copy1', q{SELECT status = 'expired' FROM jit.requests WHERE id = 3}), '... and so does the row of the copy');
is($node->safe_psql('copy1', q{SELECT ended_at = expires_at FROM jit.requests WHERE id = 3}), 't', '... at its time');
is(held(), 't,t,f', 'the others live on');
is((sql('anna', 'SELECT jit_revoke(2)'))[1], 'revoked', 'the original revokes');
is($node->safe_psql('copy1', q{SELECT status FROM jit.requests WHERE id = 2}), 'active', 'the row of the copy stays until its time');
is((sql('dev', 'SELECT count(*) FROM jit.active_grants WHERE request = 2', 'copy1'))[1], 0, '... but is not listed as active');

# the panic button ends everything everywhere, so the original's, too; the
# copy's row isn't said to have been revoked there
($rc, $out, $err) = sql('postgres', q{SELECT jit_revoke_all('panic')}, 'copy1');
is(held(), 'f,f,f', 'the panic button in the copy ends what other databases have granted');
like($err, qr/ended access by 0 requests in copy1 and 2 in other databases; canceled 1 pending/, "... and counts only its own pending request as the copy's");
ok($node->poll_query_until('hr_prod', q{SELECT NOT EXISTS (SELECT FROM jit.requests WHERE status = 'active')}), 'the original settles');

$node->stop;
done_testing();
