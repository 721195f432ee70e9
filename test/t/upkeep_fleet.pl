# The audit trails of several servers come together on one that hasn't the
# extension, what was there before as well, by what the manual says; and a
# publication for all tables doesn't bring the ledger to where it isn't meant
# to be.
#
# Guards the section "Fleets" of doc/operations.md, whose blocks it runs.  Seen
# to fail with the login for it lacking BYPASSRLS, and without origin in the
# key.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my ($manual) = slurp_file(dirname(abs_path(__FILE__)) . '/../../doc/operations.md') =~ /^## Fleets\n(.*?)^## /ms;
my ($publish, $table, $subscribe) = $manual =~ /^```sql\n(.*?)^```$/msg;

my @servers = map { new_server("server$_", 'log_statement = none', allows_streaming => 'logical') } 1, 2;
my $audit = PostgreSQL::Test::Cluster->new('audit');
$audit->init;
$audit->append_conf('postgresql.conf', 'wal_retrieve_retry_interval = 100ms');
$audit->start;
$audit->safe_psql('postgres', $table);

foreach my $node (@servers)
{
	create_hr($node);
	sql($node, 'dev', q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'before ' || }
		  . $node->port . ')', 'hr_prod');
	$node->safe_psql('hr_prod', $publish);
	my $name = $node->name;
	my $connection = $node->connstr('hr_prod') =~ s/'/''/gr;
	my $one = $subscribe =~ s/server1_hr_prod/$name/r =~ s/host=server1 dbname=hr_prod/$connection/r;
	$audit->safe_psql('postgres', $one);
}
$audit->wait_for_subscription_sync($_, $_->name) for @servers;

sub trail { my ($node, $db, $where) = @_; return $node->safe_psql($db, "SELECT e.* FROM jit.events e $where ORDER BY origin, id"); }
my @origins = map { $_->safe_psql('hr_prod', 'SELECT min(origin) FROM jit.events') } @servers;
isnt($origins[0], $origins[1], 'two servers');
is($audit->safe_psql('postgres', 'SELECT count(DISTINCT origin) FROM jit.events'), '2', 'both are there, with what was before');

foreach my $node (@servers)
{
	my $id = $node->safe_psql('hr_prod', q{SELECT id FROM jit.requests});
	sql($node, 'anna', "SELECT jit_approve($id)", 'hr_prod');
	sql($node, 'anna', "SELECT jit_revoke($id, 'done')", 'hr_prod');
	$node->wait_for_catchup($node->name);
}
is(trail($audit, 'postgres', "WHERE origin = '$origins[$_]'"), trail($servers[$_], 'hr_prod', ''), 'the whole trail of server ' . ($_ + 1)) for 0, 1;
is($audit->safe_psql('postgres', q{SELECT string_agg(event, ' ' ORDER BY id) FROM jit.events WHERE request_id IS NOT NULL GROUP BY origin LIMIT 1}),
	$servers[0]->safe_psql('hr_prod', q{SELECT string_agg(event, ' ' ORDER BY id) FROM jit.events WHERE request_id IS NOT NULL}), 'from the request to its end');

# the login reads nothing else, and sees what is in there
my (undef, $out) = $servers[0]->psql('hr_prod', 'SELECT count(*) > 0 FROM jit.events', extra_params => [ '-U', 'jit_audit' ]);
is($out, 't', 'the login reads events');

# all tables: jit's are among them; those of a schema aren't
$servers[0]->safe_psql('hr_prod', 'CREATE PUBLICATION everything FOR ALL TABLES; CREATE PUBLICATION one_schema FOR TABLES IN SCHEMA hr');
is($servers[0]->safe_psql('hr_prod', q{SELECT pubname, bool_or(schemaname = 'jit') FROM pg_publication_tables GROUP BY 1 ORDER BY 1}), "everything|t\njit_audit|t\none_schema|f", 'what is published');

$audit->safe_psql('postgres', 'ALTER SUBSCRIPTION ' . $_->name . ' DISABLE; ALTER SUBSCRIPTION ' . $_->name . ' SET (slot_name = NONE); DROP SUBSCRIPTION ' . $_->name) for @servers;
$_->stop for @servers, $audit;
done_testing();
