# Eight sessions file, decide and roll back, with random pauses between the
# call and its COMMIT, while somebody reads jit.events on from the last one
# seen: none is lost, none is seen twice, and the order of the numbers is that
# of becoming visible.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Stress;
use JitAccess;
use Time::HiRes qw(sleep time);

my $seconds = storm_seconds();
my $node = new_server('feed', 'jit_access.max_pending = 10000');
create_hr($node);
foreach my $k (1 .. 8)
{
	$node->safe_psql('hr_prod', "CREATE ROLE d$k LOGIN; GRANT USAGE ON SCHEMA hr TO d$k");
	my $pause = 'SELECT pg_sleep(random() * random() * 0.2);';
	# for longer each time, so that it isn't what is pending
	my $ask = q{SELECT jit_request('SELECT ON hr.salary', '1 hour N s', 'x') AS n};
	my @rounds = ("BEGIN; $ask \\gset\n$pause COMMIT; BEGIN; SELECT jit_cancel(:n); $pause COMMIT;\n",
		"BEGIN; $ask \\gset\n$pause ROLLBACK;\n",
		"BEGIN ISOLATION LEVEL SERIALIZABLE; $ask \\gset\n$pause COMMIT;\n");
	worker($node, "d$k", 'hr_prod', join '', map { my $n = $_; $rounds[ ($n * $k) % 3 ] =~ s/ N s/ $n s/r } 1 .. 30 * $seconds + 50);
}

my ($last, @seen) = (0);
my $reader = session($node, getpwuid($<) . '', 'hr_prod');
sub read_on
{
	push @seen, split /\n/, $reader->do("SELECT id, request_id, event FROM jit.events WHERE id > $last ORDER BY id");
	($last) = split /\|/, $seen[-1] if @seen;
	return;
}
my $end = time + $seconds;
while (time < $end) { read_on(); sleep(0.01); }
my @ended = end_workers($node);
read_on();
my @all = split /\n/, $reader->do('SELECT id, request_id, event FROM jit.events ORDER BY id');
my %times;
$times{$_}++ for @seen;
cmp_ok(scalar @all, '>', 50, @all . ' events');
is_deeply([ grep { !$times{$_} } @all ], [], 'none is lost');
is_deeply([ grep { $times{$_} > 1 } sort keys %times ], [], 'none is seen twice');
is(join(' ', map { (split /\|/)[0] } @all), join(' ', 1 .. @all), 'they are numbered without gaps');
is_deeply(errors_of(@ended), {}, 'nothing fails');
$reader->quit;
$node->stop;
done_testing();
