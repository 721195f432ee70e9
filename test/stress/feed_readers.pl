# Eight sessions write 2,000 events, with random pauses before their commits;
# a reader asks for what came after its last mark, keeps it in a file, and is
# killed again and again, between any two of its steps; the server crashes
# once; in the end the database is restored elsewhere.  Nothing is lost, nothing
# comes twice but what was read by who died before it kept its mark, which is
# the same, and the order is that of the numbers.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Stress;
use JitAccess;
use Time::HiRes qw(sleep time);

my $events = storm(2000);
my $kills = storm(20, 4);
my $node = new_server('feed', 'jit_access.max_pending = 100000');
create_hr($node);
my $me = getpwuid($<) . '';
my $writers = 8;
foreach my $k (1 .. $writers)
{
	$node->safe_psql('hr_prod', "CREATE ROLE d$k LOGIN; GRANT USAGE ON SCHEMA hr TO d$k");
}
sub start_writers
{
	my ($n) = @_;
	foreach my $k (1 .. $writers)
	{
		my $pause = 'SELECT pg_sleep(random() * random() * 0.1);';
		my $pair = "BEGIN; SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x') AS n \\gset\n$pause COMMIT; BEGIN; SELECT jit_cancel(:n); $pause COMMIT;\n";
		my $lost = "BEGIN; SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x');\n$pause ROLLBACK;\n";
		# what the crash has left pending is in the way of the same again
		worker($node, "d$k", 'hr_prod', join '', "SELECT jit_cancel(request) FROM jit.my_requests WHERE status = 'pending';\n", map { ($pair, $_ % 3 ? () : $lost) } 1 .. int($n / (2 * $writers)) + 1);
	}
	return;
}

# The reader: a program of its own, which keeps "mark" and what it has read by
# appending and renaming; waits for NOTIFY, a second at most.
my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/reader.pl", <<'READER');
use strict;
use warnings;
my ($dir, @psql) = @ARGV;
sub slurp { open my $f, '<', $_[0] or return ''; local $/; return <$f> // ''; }
while (1)
{
	my $mark = slurp("$dir/mark");
	my $after = $mark eq '' ? 'NULL' : "'$mark'";
	open my $p, '-|', @psql, '-c', "SELECT mark, id, event, request FROM jit_events_after($after, 100)" or next;
	my @rows = <$p>;
	close $p or do { select undef, undef, undef, 0.2; next };
	if (!@rows) { select undef, undef, undef, 0.02; next }
	chomp @rows;
	open my $out, '>>', "$dir/seen" or die;
	print $out map { (split /\|/, $_, 2)[1] . "\n" } @rows;
	close $out or die;
	open my $m, '>', "$dir/mark.new" or die;
	print $m((split /\|/, $rows[-1])[0]);
	close $m or die;
	rename "$dir/mark.new", "$dir/mark" or die;
}
READER
my ($reader, $log) = (undef, '');
sub start_reader
{
	$reader = IPC::Run::start([ $^X, "$dir/reader.pl", $dir, $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('hr_prod'), '-U', $me ],
		'>', \$log, '2>', '/dev/null');
	return;
}
sub kill_reader { $reader->signal('KILL'); eval { $reader->finish }; return; }
sub seen { return -e "$dir/seen" ? split /\n/, slurp_file("$dir/seen") : (); }
sub all_of { return split /\n/, $node->safe_psql('hr_prod', 'SELECT id, event, request_id FROM jit.events ORDER BY id'); }

start_reader();
start_writers($events / 2);
for (1 .. $kills / 2) { sleep(rand(0.3) + 0.05); kill_reader(); start_reader(); }
sleep(rand(0.5));
# the crash
$node->stop('immediate');
$node->start;
# more than are missing, should some fail
start_writers(1.5 * ($events - $node->safe_psql('hr_prod', 'SELECT count(*) FROM jit.events')) + 10 * $writers);
for (1 .. $kills / 2) { sleep(rand(0.3) + 0.05); kill_reader(); start_reader(); }
ok(wait_until(sub { $node->safe_psql('hr_prod', 'SELECT count(*) FROM jit.events') >= $events }, 180), 'all are written');
end_workers($node);
ok(wait_until(sub { (seen())[-1] eq (all_of())[-1] }, 60), 'all are read');
kill_reader();

my @all = all_of();
my @seen = seen();
cmp_ok(scalar @all, '>=', $events, @all . ' events, read in ' . @seen . ' rows, by a reader that was killed ' . $kills . ' times');
# whoever died between the two reads the same rows again: a repetition of the
# last rows, as they were
my @once;
my %at;
my @wrong;
foreach my $row (@seen)
{
	my ($id) = split /\|/, $row;
	if (exists $at{$id}) { push @wrong, "$row is now $once[$at{$id}]" if $once[ $at{$id} ] ne $row; next; }
	push @wrong, "$row after $once[-1]" if @once && $id != (split /\|/, $once[-1])[0] + 1;
	$at{$id} = @once;
	push @once, $row;
}
is_deeply([ @wrong[ 0 .. ($#wrong < 4 ? $#wrong : 4) ] ], [], 'the order is that of the numbers, and what is read again is the same');
is_deeply(\@once, \@all, 'none is lost, and none is there twice');

# restored elsewhere
my ($mark) = slurp_file("$dir/mark");
my $dump = "$dir/dump.sql";
$node->command_ok([ 'pg_dumpall', '-f', $dump, '-d', $node->connstr('postgres') ], 'dumped');
my $new = PostgreSQL::Test::Cluster->new('restored');
$new->init;
$new->append_conf('postgresql.conf', "shared_preload_libraries = 'jit_access'\njit_access.max_pending = 100000\n");
$new->start;
$new->command_ok([ 'psql', '-Xq', '-d', $new->connstr('postgres'), '-f', $dump, '-o', '/dev/null' ], 'restored');
my ($out, $err) = sql($new, $me, "SELECT count(*) FROM jit_events_after('$mark')", 'hr_prod');
like($err, qr/ERROR:  55000: .*HINT:  Begin anew/s, 'the mark is refused there');
$new->safe_psql('hr_prod', q{SELECT jit_grant('SELECT ON hr.salary', 'd1', '1 hour', 'x')}) for 1 .. 3;
is($new->safe_psql('hr_prod', 'SELECT count(*) FROM jit_events_after() a JOIN jit.events e ON e.id = a.id AND e.at = a.at AND e.origin = (SELECT origin FROM jit.events ORDER BY at DESC LIMIT 1)'),
	$new->safe_psql('hr_prod', 'SELECT count(*) FROM jit_events_after()'), '... and begun anew, what comes is of there, once');
cmp_ok($new->safe_psql('hr_prod', 'SELECT count(*) FROM jit_events_after()'), '>=', 9, '... and all of it');
$new->stop;
$node->stop;
done_testing();
