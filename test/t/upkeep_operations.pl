# What doc/operations.md says of failover, upgrading, template1 and monitoring
# can be done as it stands there: the blocks are run, and what is said to come of
# it does.
#
# Guards these sections.  (Uninstalling: upkeep_without_library; pg_upgrade:
# upkeep_pg_upgrade; standbys: ends_on_standby; dumps: upkeep_dump_and_restore.)
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $manual = slurp_file(dirname(abs_path(__FILE__)) . '/../../doc/operations.md');

# The blocks of a section, of a language.
sub blocks
{
	my ($section, $language) = @_;
	my ($text) = $manual =~ /^## \Q$section\E\n(.*?)^## /ms or die "there is no section $section";
	return $text =~ /^```$language\n(.*?)^```$/msg;
}

my $node = new_server('old', 'wal_log_hints = on', allows_streaming => 1);
create_hr($node);
my $super = $node->safe_psql('postgres', 'SELECT current_user');
$node->safe_psql('hr_prod', 'CREATE ROLE mon LOGIN; GRANT pg_monitor TO mon');

# ---- monitoring

my ($not_ok) = blocks('Monitoring', 'sql');
is(scalar sql($node, 'mon', $not_ok, 'hr_prod'), '', 'nothing is wrong');
$node->safe_psql('hr_prod', 'ALTER DATABASE hr_prod SET jit_access.top_level_only = off');
like(scalar sql($node, 'mon', $not_ok, 'hr_prod'), qr/^top_level_only\|1\|settings\|it is off in this database$/, 'something is');
$node->safe_psql('hr_prod', 'ALTER DATABASE hr_prod RESET jit_access.top_level_only');

# ---- template1

my ($template) = blocks('template1', 'sql');
$node->safe_psql('template1', $template);
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'template1'});
$node->safe_psql('postgres', 'CREATE DATABASE new');
is($node->safe_psql('new', 'SELECT * FROM jit_config()'),
	q{SELECT pg_catalog.jit_set_policy('long', 'high', '($."duration" > 28800)', 'over a working day');}, 'a new database has the policy');
is($node->safe_psql('new', q{CREATE TABLE t AS SELECT 1 AS x; SELECT jit_grant('SELECT ON t', 'dev', '1 hour', 'x')}), '1', '... and gives access');
is(scalar sql($node, 'dev', 'SELECT x FROM t', 'new'), '1', '... which works');
is(scalar sql($node, 'mon', $not_ok, 'new'), '', '... and all is well');
like(($node->psql('new', 'CREATE EXTENSION jit_access'))[2], qr/extension "jit_access" already exists/, 'a dump of another would be in its way');

# ---- upgrading

my ($update) = blocks('Upgrading', 'sql');
$node->safe_psql('postgres', 'CREATE DATABASE without TEMPLATE template0');
my $id = $node->safe_psql('hr_prod', q{SELECT jit_grant('SELECT ON hr.salary', 'dev', '6 s', 'x')});
# as the library of a later version finds it
$node->safe_psql('hr_prod', q{UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'jit_access'});
is(scalar sql($node, 'dev', 'SELECT count(*) FROM hr.salary', 'hr_prod'), '100', 'another version: live access works');
like((sql($node, 'dev', q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x')}, 'hr_prod'))[1],
	qr/ERROR:  55000: extension jit_access in hr_prod is of version 0\.9, but its library is of version .*\nHINT:  Run ALTER EXTENSION jit_access UPDATE/, '... nothing is filed');
like(scalar sql($node, 'mon', $not_ok, 'hr_prod'), qr/^overdue_ends\|\|requests\|could not be checked: extension jit_access in hr_prod is of version 0\.9/m, '... jit.health says so');
ok($node->poll_query_until('hr_prod', "SELECT clock_timestamp() >= expires_at FROM jit.requests WHERE id = $id"), '... and time goes on');
like((sql($node, 'dev', 'SELECT count(*) FROM hr.salary', 'hr_prod'))[1], qr/ERROR:  42501: permission denied for table salary/, '... access ends');
$node->safe_psql('hr_prod', qq{UPDATE pg_extension SET extversion = (SELECT default_version FROM pg_available_extensions WHERE name = 'jit_access') WHERE extname = 'jit_access'});
foreach my $db (qw(hr_prod postgres without))
{
	my ($rc, $out, $err) = $node->psql($db, $update);
	is($rc, 0, "updated in $db") or diag($err);
	like($err, $db eq 'without' ? qr/^$/ : qr/is already installed/, '... if it is there');
}
ok($node->poll_query_until('hr_prod', "SELECT status = 'expired' FROM jit.requests WHERE id = $id"), 'what had become due is settled');
ok(wait_until(sub { sql($node, 'mon', $not_ok, 'hr_prod') eq '' }), '... and all is well');

# ---- failover

$node->backup('failover');
my $standby = PostgreSQL::Test::Cluster->new('new');
$standby->init_from_backup($node, 'failover', has_streaming => 1);
$standby->start;
my $long = $node->safe_psql('hr_prod', q{SELECT jit_grant('SELECT ON hr.salary', 'dev', '1 hour', 'x')});
$id = $node->safe_psql('hr_prod', q{SELECT jit_grant('SELECT ON hr.salary', 'eve', '4 s', 'x')});
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
my $mark = $node->safe_psql('hr_prod', 'SELECT mark FROM jit_events_after() ORDER BY id DESC LIMIT 1');
$node->stop;
my @steps = split /\n/, (blocks('Failover', 'sh'))[0];
my %values = (STANDBY => $standby->data_dir, OLD_PRIMARY => $node->data_dir, NEW_PRIMARY => $standby->connstr('postgres'));
is(scalar @steps, 2, 'steps');
foreach my $step (@steps)
{
	$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') if $step =~ /rewind/;
	$standby->safe_psql('postgres', 'CHECKPOINT') if $step =~ /rewind/;
	local %ENV = (%ENV, %values, PATH => $node->config_data('--bindir') . ":$ENV{PATH}");
	my $out = qx{($step) 2>&1};
	is($?, 0, $step) or diag($out);
}
ok($standby->poll_query_until('hr_prod', "SELECT status = 'expired' FROM jit.requests WHERE id = $id"), 'the new primary settles what becomes due');
is(scalar sql($standby, 'dev', 'SELECT count(*) FROM hr.salary', 'hr_prod'), '100', 'live access goes on');
my ($active) = blocks('Failover', 'sql');
like(scalar sql($standby, $super, $active, 'hr_prod'), qr/^$long\|dev\|SELECT ON hr\.salary\|/, '... and is shown');
is($standby->safe_psql('hr_prod', "SELECT string_agg(event, ' ' ORDER BY id) FROM jit_events_after('$mark')"), 'expired', 'who reads events goes on');
ok(wait_until(sub { sql($standby, 'mon', $not_ok, 'hr_prod') eq '' }), 'all is well');
$node->append_conf('postgresql.conf', 'port = ' . $node->port . "\nprimary_conninfo = '" . $standby->connstr . " application_name=old'");
append_to_file($node->data_dir . '/standby.signal', '');
$node->start;
$standby->wait_for_catchup('old', 'replay', $standby->lsn('flush'));
is(scalar sql($node, 'dev', 'SELECT count(*) FROM hr.salary', 'hr_prod'), '100', 'the old primary follows');
$standby->safe_psql('hr_prod', "SELECT jit_revoke($long, 'x')");
$standby->wait_for_catchup('old', 'replay', $standby->lsn('flush'));
like((sql($node, 'dev', 'SELECT count(*) FROM hr.salary', 'hr_prod'))[1], qr/ERROR:  42501: permission denied for table salary/, '... and denies what has ended');

$node->stop;
$standby->stop;
done_testing();
