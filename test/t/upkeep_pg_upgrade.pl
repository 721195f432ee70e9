# pg_upgrade with live, expired and pending requests: from a cluster of the
# same version, and from each older one that is installed beside it with the
# extension (test/matrix sees to 15 beside 17).
#
# Seen to fail with the launcher registered under binary upgrade.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess qw(create_hr);

my $node;

sub sql
{
	my ($user, $sql) = @_;
	my ($rc, $out, $err) = $node->psql('hr_prod', $sql, extra_params => [ '-U', $user ]);
	return ($rc, $out, $err);
}

sub new_node
{
	my ($name, %params) = @_;
	my $new = PostgreSQL::Test::Cluster->new($name, %params);
	# checksums are the default of some versions, and must be the same
	$new->init(extra => ['-k']);
	$new->append_conf('postgresql.conf', "shared_preload_libraries = 'jit_access'");
	return $new;
}

sub upgrade
{
	my ($from, %params) = @_;
	note("from $from");
	my $old = new_node("old_$from", %params);
	my $new = new_node("new_$from");

	$old->start;
	$node = $old;
	create_hr($old);
	sql('dev', $_) for (
		q{SELECT jit_request('SELECT ON hr.salary', '1 h', 'live')},
		q{SELECT jit_request('UPDATE ON hr.salary', '1 s', 'expired')},
		q{SELECT jit_request('DELETE ON hr.salary', '1 h', 'pending')},
		q{SELECT jit_request('INSERT ON hr.salary', '1 h', 'live, ends after the upgrade')},
		q{SELECT jit_request('UPDATE (amount) ON hr.salary', '10 s', 'ends under way')});
	is((sql('anna', "SELECT jit_approve($_)"))[1], 'active', "request $_ is active") for (1, 2, 4, 5);
	ok($old->poll_query_until('hr_prod', q{SELECT status = 'expired' FROM jit.requests WHERE id = 2}), 'request 2 has expired');
	$old->safe_psql('hr_prod', q{SELECT jit_set_policy('p', 'moderate', '$.duration > 100')});
	my $history = $old->safe_psql('hr_prod', 'SELECT request, grantee, access, objects, approved_by, activated_at FROM jit.history');
	my $deadline = $old->safe_psql('hr_prod', 'SELECT expires_at FROM jit.requests WHERE id = 1');
	$old->stop;

	chdir PostgreSQL::Test::Utils::tempdir() or die;
	command_ok([ 'pg_upgrade', '--no-sync', '--retain', '-d', $old->data_dir, '-D', $new->data_dir,
		'-b', $old->config_data('--bindir'), '-B', $new->config_data('--bindir'),
		'-s', $new->host, '-p', $old->port, '-P', $new->port ], "pg_upgrade $from");
	my @logs = glob($new->data_dir . '/pg_upgrade_output.d/*/log/pg_upgrade_server*.log');
	my $servers = join('', map { slurp_file($_) } @logs);
	like($servers, qr/database system is ready to accept connections/, 'there is a log of the servers under binary upgrade');
	unlike($servers, qr/jit_access (launcher|sweeper)/, '... and it knows of no worker');

	$new->start;
	$node = $new;
	is($new->safe_psql('hr_prod', 'SELECT request, grantee, access, objects, approved_by, activated_at FROM jit.history'),
		$history, 'history reads the same');
	is($new->safe_psql('postgres', q{SELECT rolvaliduntil FROM pg_authid WHERE rolname ~ '^jit_grant_.*_1$'}), $deadline, 'the deadline is the old one');
	is((sql('dev', 'SELECT count(*) FROM hr.salary'))[1], 100, 'live access works');
	is($new->safe_psql('hr_prod', q{SELECT status FROM jit.requests WHERE id = 2}), 'expired', 'expired is expired');
	is($new->safe_psql('hr_prod', q{SELECT has_table_privilege('dev', 'hr.salary', 'UPDATE')}), 'f', '... and gives nothing');
	is((sql('anna', 'SELECT jit_approve(3)'))[1], 'active', 'what was pending can be approved');
	is($new->safe_psql('hr_prod', q{SELECT has_table_privilege('dev', 'hr.salary', 'DELETE')}), 't', '... and works');
	is((sql('anna', 'SELECT jit_revoke(1)'))[1], 'revoked', 'live access can be revoked');
	is((sql('anna', 'SELECT jit_revoke(3)'))[1], 'revoked', '... that of the new cluster as well');
	my ($rc, $out, $err) = sql('dev', 'SELECT count(*) FROM hr.salary');
	like($err, qr/permission denied for table salary/, '... and has ended');
	is((sql('dev', q{SELECT jit_request('DELETE ON hr.salary', '2 s', 'x')}))[1], 6, 'numbers go on');
	is((sql('anna', 'SELECT jit_approve(6)'))[1], 'active', '... and access is given');
	ok($new->poll_query_until('hr_prod', q{SELECT count(*) = 2 FROM jit.requests WHERE id IN (5, 6) AND status = 'expired'}), 'time goes on');
	is($new->safe_psql('hr_prod', q{SELECT has_table_privilege('dev', 'hr.salary', 'INSERT')}), 't', 'request 4 is still live');
	is((sql('postgres', q{SELECT jit_revoke_all('done')}))[1], 1, '... and is ended by the panic button');
	is($new->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname ~ '^jit_grant_'}), 0, 'no grant role is left');
	is($new->safe_psql('hr_prod', q{SELECT NOT rolsuper FROM pg_roles WHERE rolname = 'dev'}), 't', 'nobody is more than before');

	$new->stop;
	return;
}

my $here = PostgreSQL::Test::Cluster->new('here');
my ($bindir, $major) = ($here->config_data('--bindir'), $here->pg_version->major);
upgrade($major);
for my $path (glob "$bindir/../../*")
{
	my ($version) = $path =~ m{/(\d+)$};
	upgrade($version, install_path => $path)
	  if defined $version && $version < $major && -x "$path/bin/postgres" && -e "$path/lib/jit_access.so";
}
done_testing();
