# The list of attacks and the files of tests belong together: each section
# names a file that is there, and each file of attacks has a section.  (That
# the lines are the tests, the files see to themselves: all_attacks_done().)
use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Attacks;

my $list = attacks_of();
my @files = grep { slurp_file($_) =~ /^all_attacks_done\(\);$/m } glob("$FindBin::Bin/*.pl");
is_deeply([ sort keys %$list ], [ sort map { m{([^/]+)$} } @files ], 'each section has its file, each file its section');
foreach my $file (sort keys %$list)
{
	my %n;
	$n{$_}++ foreach @{ $list->{$file} };
	is_deeply([ grep { $n{$_} > 1 } sort keys %n ], [], "$file: no name is there twice");
	cmp_ok(scalar keys %n, '>=', 6, "$file: six attacks at least");
}
done_testing();
