# Hundreds of requests that start at once: all do, each within a second or so.
# Its note says when the last one was committed, the median of five
# runs.
#
# Alone: it measures how long something takes.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../t";
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $starts = storm(300, 100);
my $runs = 5;
my $node = new_server('starts', "log_statement = none\ntrack_commit_timestamp = on\njit_access.max_active = 1000\njit_access.max_pending = 1000\n");
create_hr($node);
$node->safe_psql('hr_prod', 'GRANT USAGE ON SCHEMA hr TO PUBLIC; ' . join '; ', map { "CREATE ROLE d$_" } 1 .. $starts);

my @took;
foreach my $run (1 .. $runs)
{
	# approved by people, not by nobody
	my $room = 2 + $starts / 50;
	my $start = $node->safe_psql('hr_prod', "SELECT clock_timestamp() + interval '$room s'");
	$node->safe_psql('hr_prod', "SET jit_access.top_level_only = off; SELECT jit_grant('SELECT ON hr.salary', ('d' || i)::name, '1 hour', 'run $run', start => '$start') FROM generate_series(1, $starts) i");
	is($node->safe_psql('hr_prod', "SELECT count(*) FROM jit.requests WHERE reason = 'run $run' AND status = 'scheduled'"), $starts, "run $run: scheduled in time");
	ok($node->poll_query_until('hr_prod', "SELECT count(*) = $starts FROM jit.requests WHERE reason = 'run $run' AND status = 'active'"), '... all start');
	push @took, $node->safe_psql('hr_prod', "SELECT extract(epoch FROM max(pg_xact_commit_timestamp(xmin)) - max(start)) FROM jit.requests WHERE reason = 'run $run'");
	$node->safe_psql('hr_prod', q{SELECT jit_revoke_all('next run')});
}
my @sorted = sort { $a <=> $b } @took;
note("$starts starts at once took $sorted[2] s, the median of: @took");
$node->stop;
done_testing();
