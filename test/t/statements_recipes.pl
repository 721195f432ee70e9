# What doc/operations.md shows to read the statement log with, by request, from
# jsonlog and csvlog, gives what was done by that request and nothing else: the
# blocks are run as they stand there.
#
# Guards the section "What people did".  Seen to fail with the blocks' looks at
# the context, and at the database of a request, taken out.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $manual = slurp_file(dirname(abs_path(__FILE__)) . '/../../doc/operations.md');
my ($section) = $manual =~ /^## What people did\n(.*?)^## /ms or die 'there is no such section';
my ($jq) = $section =~ /^```sh\n(jq .*?)^```$/ms or die 'no jq';
my ($sql) = $section =~ /^```sql\n(CREATE VIEW .*?)^```$/ms or die 'no view';

my $node = new_server('recipes', "restart_after_crash = on\nlogging_collector = on\nlog_destination = 'stderr,jsonlog,csvlog'\nlog_parameter_max_length = -1");
create_hr($node);
# 17 is the manual's, of two databases
$node->safe_psql('postgres', 'CREATE TABLE far AS SELECT 1 AS x');
my %tables = (hr_prod => 'hr.salary', postgres => 'far');
foreach my $db (sort keys %tables)
{
	$node->psql($db, qq{SELECT jit_grant('SELECT ON $tables{$db}', 'eve', '1 hour', 'x') FROM generate_series(1, 16)});
	is(($node->psql($db, qq{SELECT jit_grant('SELECT, UPDATE ON $tables{$db}', 'dev', '1 hour', 'x')}))[1], '17', "request 17 in $db");
}

$node->safe_psql('hr_prod', 'GRANT USAGE ON SCHEMA hr TO eve');
sql($node, 'eve', 'SELECT amount FROM hr.salary', 'hr_prod');
sql($node, 'dev', 'SELECT x FROM far', 'postgres');
my @sql = ('SELECT amount FROM hr.salary LIMIT 3', "UPDATE hr.salary SET amount = 0 /* all of\n\t\"them\", {no} */", 'SELECT 1 / (amount - 50) FROM hr.salary');
sql($node, 'dev', 'BEGIN; ' . join(";\n", @sql[ 0, 1 ]) . '; ROLLBACK', 'hr_prod');
sql($node, 'dev', $sql[2], 'hr_prod');
# what is made up, of a line that there is
my ($line) = map { slurp_file($_) =~ /LOG:  (jit_access: statement begins .*"request": 17, "database": "hr_prod".*)$/m } glob($node->data_dir . '/log/*.log');
ok($line, 'the lines are there');
sql($node, 'dev', "DO \$do\$ BEGIN RAISE LOG '%', \$line\$$_\$line\$; END \$do\$", 'hr_prod') foreach $line =~ s/amount FROM/made_up FROM/r, q{jit_access: statement ends {"requests": [{"request": 17, "database": "hr_prod"}], "made_up": 1}};
my $s = session($node, 'dev', 'hr_prod');
$s->begin('SELECT pg_sleep(600) FROM hr.salary');
my $begun = q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%' AND wait_event = 'PgSleep'};
ok($node->poll_query_until('postgres', $begun, '1'), 'one runs');
kill 'KILL', $s->{pid};
ok(wait_until(sub { join('', map { slurp_file($_) } glob($node->data_dir . '/log/*.log')) =~ /terminated by signal 9/ }), 'and is killed');
wait_for_server($node);
$node->stop;	# the collector has written all

# ---- jsonlog

SKIP:
{
	skip 'jq is not installed', 2 if !grep { -x "$_/jq" } split /:/, $ENV{PATH};
	skip 'no jsonlog before 15', 2 if $node->pg_version < 15;
	my ($out, $err) = run_command([ 'sh', '-c', 'cd "$0" && eval "$1"', $node->data_dir . '/log', $jq ]);
	is($err, '', 'jq: no error');
	is(join("\n", map { s/^\S+\t//r } split /\n/, $out), join("\n", "begins\tdev\t$sql[0]\t\thr.salary", "ends\tdev\tdone\t3\thr.salary",
		"begins\tdev\t" . ($sql[1] =~ s/\n/\\n/r =~ s/\t/\\t/r) . "\t\thr.salary", "ends\tdev\tdone\t100\thr.salary",
		"begins\tdev\t$sql[2]\t\thr.salary", "ends\tdev\tfailed\t4\thr.salary",
		"begins\tdev\tSELECT pg_sleep(600) FROM hr.salary\t\thr.salary"), '... all of request 17');
}

# ---- csvlog

$node->start;
my $table = q{CREATE TABLE postgres_log (
	log_time timestamp(3) with time zone, user_name text, database_name text, process_id integer, connection_from text,
	session_id text, session_line_num bigint, command_tag text, session_start_time timestamp with time zone,
	virtual_transaction_id text, transaction_id bigint, error_severity text, sql_state_code text, message text, detail text,
	hint text, internal_query text, internal_query_pos integer, context text, query text, query_pos integer, location text,
	application_name text, backend_type text, leader_pid integer, query_id bigint, PRIMARY KEY (session_id, session_line_num));};
my $copy = join '', map { "COPY postgres_log FROM '$_' WITH csv;\n" } grep { -s } glob($node->data_dir . '/log/*.csv');
my $out = $node->safe_psql('postgres', "SET jit_access.top_level_only = off; CREATE SCHEMA logs; SET search_path = logs; $table $copy $sql");
is($out =~ s/^\d{4}-[^|]*\|//mgr, join("\n", "dev|$sql[0]|done|3", "dev|$sql[1]|done|100", "dev|$sql[2]|failed|4", 'dev|SELECT pg_sleep(600) FROM hr.salary||'),
	'csvlog: all of request 17');

$node->stop;
done_testing();
