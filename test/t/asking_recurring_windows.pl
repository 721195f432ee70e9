# Windows that recur: the examples of doc/policies.md, as they stand there, do
# what it says.  Guards facts of the start (request/facts.c); seen to fail with
# start_hour and start_weekday those of the filing.
use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('windows', "log_timezone = 'UTC'\ntimezone = 'UTC'\n");
create_hr($node);
$node->safe_psql('hr_prod', 'CREATE ROLE oncall; CREATE ROLE support; CREATE ROLE sue LOGIN; GRANT support TO sue; GRANT USAGE ON SCHEMA hr TO PUBLIC');
my ($section) = slurp_file("$FindBin::Bin/../../doc/policies.md") =~ /^## Windows that recur\n(.*?)^## /ms or die 'no examples';
my %example;
foreach my $sql ($section =~ /^```sql\n(.*?)^```/msg)
{
	my ($name) = $sql =~ /jit_set_policy\('(\w+)'/ or die "no policy in $sql";
	$example{$name} = $sql;
}
is_deeply([ sort keys %example ], [qw(closed on_call twice_a_week working_hours)], 'the examples');

# The next day of that number at that time.
sub at { my ($weekday, $time) = @_; return $node->safe_psql('hr_prod', "SELECT d::date + '$time'::time FROM generate_series(current_date + 1, current_date + 7, interval '1 day') d WHERE extract(isodow FROM d) = $weekday"); }
sub risk
{
	my ($who, $for, $start, $access) = @_;
	$access //= 'SELECT ON hr.salary';
	my ($out, $err) = sql($node, $who, "SELECT * FROM jit_explain('$access', '$for', 'x'" . ($start ? ", start => '$start+00'" : '') . ')', 'hr_prod');
	return $out =~ /^Risk: (\w+)/m ? $1 : $err;
}
# three in force at once: each is of what the others say nothing about
sub only { $node->safe_psql('hr_prod', 'SET jit_access.top_level_only = off; SELECT jit_drop_policy(name) FROM jit.risk_policies'); $node->safe_psql('hr_prod', $example{ $_[0] }); return; }

only('working_hours');
is(risk('dev', '2 hours', at(2, '10:30')), 'low', 'Tuesday morning needs nobody');
is(risk('dev', '2 hours', at(7, '10:30')), 'moderate', 'Sunday does');
is(risk('dev', '2 hours', at(2, '07:59')), 'moderate', 'before 8 does');
is(risk('dev', '2 hours', at(2, '17:00')), 'moderate', 'what would go on after 18 does');
is(risk('dev', '7 hours', at(1, '10:00')), 'low', 'what ends at 18 at the latest does not');
is(risk('dev', '1 hour', at(2, '10:30'), 'UPDATE ON hr.salary'), 'moderate', 'writing does');

only('closed');
is(risk('dev', '2 hours', at(3, '12:00')), 'moderate', 'Wednesday is open');
is(risk('dev', '2 hours', at(6, '12:00')), 'forbidden', 'Saturday is closed');
is(risk('dev', '2 hours', at(3, '16:00')), 'forbidden', 'so is what would go on after 18');
like((sql($node, 'dev', "SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x', start => '" . at(6, '12:00') . "')", 'hr_prod'))[1], qr/policy closed forbids.*Not outside working hours/s, 'and says why');

only('on_call');
is(risk('dev', '2 hours'), 'moderate', 'not on call');
$node->safe_psql('hr_prod', 'GRANT oncall TO dev');
is(risk('dev', '2 hours'), 'low', 'on call');
is(risk('dev', '5 hours'), 'moderate', 'not for so long');
my $n = sql($node, 'dev', q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x', start => clock_timestamp() + interval '2 s')}, 'hr_prod');
is($node->safe_psql('hr_prod', "SELECT status FROM jit.requests WHERE id = $n"), 'scheduled', 'scheduled while on call');
$node->safe_psql('hr_prod', 'REVOKE oncall FROM dev');
ok($node->poll_query_until('hr_prod', "SELECT status = 'lapsed' FROM jit.requests WHERE id = $n"), 'and lapsed, as somebody else is at its start');

only('twice_a_week');
foreach my $time (1 .. 2)
{
	is(risk('sue', '1 hour'), 'low', "the $time. time");
	my ($m, $err) = sql($node, 'sue', "SELECT jit_request('SELECT ON hr.salary', '$time min', 'x')", 'hr_prod');
	like($m, qr/^\d+$/, '... active at once');
}
is(risk('sue', '1 hour'), 'moderate', 'the third needs approval');

$node->stop;
done_testing();
