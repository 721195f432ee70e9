# The manual can't go stale: each block of SQL in README.md and doc/ is run, as
# it stands there, on the server that make demo leaves, and what psql prints is
# what stands below it, whole; times, OIDs and the widths of columns aside.
#
# A block is ```sql, and its output the block without a language that comes
# next, with nothing but an empty line between; no such block: psql -q prints
# nothing.  Each page is one session of a superuser in hr_prod, which the
# tutorial's own statements have made anew.  What pages need beside that stands
# in %prepared, and what can't be run there, with the test that runs it, in
# %elsewhere.
#
# What stands in a line, `SELECT jit_approve(1);`, is analyzed.
#
# To change outputs, have the pages made anew, and read the differences:
#
#	mkdir /tmp/new; JIT_MANUAL=/tmp/new make test SUITES=tap FILES=day_manual
#
# Seen to fail with a word changed in a message of the library, and in the
# manual, with a line left out of an
# output, and with a function misspelled in a line.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename;
use IPC::Run ();
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

# \du and the like are of one version
my ($version) = `pg_config --version` =~ /(\d+)/;
plan skip_all => 'the manual shows PostgreSQL 15' if $version != 15;

my $top = dirname(abs_path(__FILE__)) . '/../..';

# What a page needs, run by the superuser before it
my $filed = q{\c - dev
SELECT jit_request('SELECT ON hr.salary', '1 hour', 'payroll totals wrong', ticket => 'INC-4711') \g /dev/null
};
my $no_bot = join '', map { "\\c $_ postgres\nDROP SCHEMA IF EXISTS slack_bot;\n" } qw(demo_prod demo_test hr_prod);
$no_bot .= "DROP ROLE IF EXISTS slack_bot;\n";
my %prepared = (
	'doc/gateways.md' => "$no_bot\\c hr_prod\nSELECT jit_set_flow('moderate', '[{\"approver\": \"\@grantor\"}]') \\g /dev/null\n$filed",
	'doc/policies.md' => 'CREATE ROLE security; CREATE ROLE dba; CREATE ROLE ben LOGIN IN ROLE security; CREATE ROLE carl LOGIN IN ROLE dba; CREATE ROLE oncall; GRANT oncall TO dev;',
	'doc/reference.md' => $filed,
	'doc/slack.md' => $no_bot,
	'doc/tutorial.md' => 'DROP ROLE IF EXISTS oncall;');

# Blocks whose output is different each time: they have to run without an error
my @varies = ('SELECT pid, backend_type', 'SELECT name, value, unit, detail FROM jit.health', 'CREATE PUBLICATION jit_audit', 'SELECT grantee, access, approved_by');

# Pages' blocks that aren't played here: what they begin with, and who runs them
my %elsewhere = (
	'doc/operations.md' => [ [ "CREATE SCHEMA jit;\n", 't/upkeep_fleet.pl' ], [ 'CREATE SUBSCRIPTION', 't/upkeep_fleet.pl' ],
		[ 'CREATE VIEW statements', 't/statements_recipes.pl' ],
		( map { [ $_, 't/upkeep_operations.pl' ] } 'SELECT request, grantee, access, expires_at', "SELECT 'ALTER EXTENSION", "CREATE EXTENSION jit_access;\nSELECT jit_set_policy('long'" ),
		map { [ $_, 't/upkeep_archive.pl' ] } '-- load it', '-- who could', '-- into the' ],
	'doc/testing.md' => [ [ "BEGIN;\nSET LOCAL client_min_messages", 'run' ] ],
	'doc/uninstall.md' => [ [ 'ALTER EVENT TRIGGER', 't/upkeep_without_library.pl' ] ]);

# ----------------------------------------------------------------------
# make demo
# ----------------------------------------------------------------------

my $log = "$PostgreSQL::Test::Utils::tmp_check/demo.log";
my $played = IPC::Run::run([ 'bash', "$top/test/demo/run" ], '<', '/dev/null', '>', $log, '2>&1',
	init => sub { $ENV{PACKAGED} = 'yes'; $ENV{TMPDIR} = PostgreSQL::Test::Utils::tempdir_short(); });
ok($played, 'the demo plays');
my $demo = slurp_file($log);
my ($stop) = $demo =~ /^Its log is .* remove all of it: sh (.*)$/m;
END { system_log('sh', $stop) if $stop }
my ($host) = $demo =~ /psql -h (\S+) -U postgres hr_prod$/m;
BAIL_OUT("the demo left no server: $demo") unless $host;
utf8::decode(my $wide = $demo);
is(join("\n", grep { length > 120 && !/\Q$host\E/ } split /\n/, $wide), '', 'its lines fit 120 columns');
is(join("\n", grep { !/permission denied for|you cannot approve request 1 / } $demo =~ /^ERROR.*$/mg), '', 'no error that it does not tell of');

# ----------------------------------------------------------------------
# Pages
# ----------------------------------------------------------------------

# What psql prints of each of these texts, in one session
sub printed
{
	my ($database, @texts) = @_;
	my $out = '';
	my $in = join '', map { "$texts[$_]\n\\warn -- printed $_ --\n" } 0 .. $#texts;
	# line by line, so that output and messages keep their order
	IPC::Run::run([ 'stdbuf', '-oL', 'psql', '-Xq', '-h', $host, '-U', 'postgres', '-d', $database ], '<', \$in, '>&', \$out,
		IPC::Run::timeout(180));
	my @printed = split /^-- printed \d+ --\n/m, $out, -1;
	$#printed = $#texts;
	return map { my $p = $_ // 'psql has ended'; $p =~ s/[ \t]+$//mg; $p =~ s/\n*\z//; $p =~ s/^\n+//; $p } @printed;
}

# What is different each time, and how wide that makes columns
sub masked
{
	my ($text) = @_;
	$text =~ s/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?\+00/TIME/g;
	$text =~ s/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d+:]*/TIME/g;
	$text =~ s/^( *(?:start_)?(?:weekday|hour): )\d+/${1}N/mg;
	$text =~ s/(TIME *\| )\d\d:\d\d:\d\d/${1}LEFT/g;
	$text =~ s/\b(jit_(?:grant|scope|query)_)\d+(_\d+)/$1OID$2/g;
	$text =~ s/\b\d{19}\/\d+(?::(\d+):(\d+):\d+)?/MARK/g;
	$text =~ s/-{2,}/-/g;
	$text =~ s/[ \n]+/ /g;
	return $text;
}

# The blocks of a page: language, text, where it begins and ends, what is printed
sub blocks
{
	my ($page) = @_;
	my @blocks;
	while ($page =~ /^( *)```(\w*)[^\n]*\n(.*?)^\1```$/msg)
	{
		my ($indent, $language, $text, $begin, $end) = ($1, $2, $3, $-[3], $+[3]);
		$text =~ s/^$indent//mg;
		if ($language eq '' && @blocks && $blocks[-1]{language} eq 'sql' && !exists $blocks[-1]{output}
			&& substr($page, $blocks[-1]{end}, $begin - $blocks[-1]{end}) =~ /^ *```\s*```\n\z/)
		{
			$blocks[-1]{output} = $text;
			@{ $blocks[-1] }{qw(output_begin output_end)} = ($begin, $end);
			next;
		}
		push @blocks, { indent => $indent, language => $language, text => $text, begin => $begin, end => $end };
	}
	return grep { $_->{language} eq 'sql' } @blocks;
}

my $today = POSIX::strftime('%Y-%m-%d', gmtime);
my $tutorial = slurp_file("$top/doc/tutorial.md");
my ($set_up) = $tutorial =~ /^## Set up\n(.*?)^## /ms or die 'the tutorial sets nothing up';
# its roles are there
my $database = join '', map { $_->{text} =~ s/^CREATE ROLE .*\n//mgr } blocks($set_up);

foreach my $name ('README.md', map { "doc/" . basename($_) } sort glob "$top/doc/*.md")
{
	my $page = slurp_file("$top/$name");
	my @blocks = blocks($page);
	my @skipped = @{ $elsewhere{$name} // [] };
	my @played = grep { my $text = $_->{text}; !grep { index($text, $_->[0]) == 0 } @skipped } @blocks;
	is(scalar(@blocks) - @played, scalar(@skipped), "$name: what is run elsewhere stands there");
	-e "$top/test/$_->[1]" || fail("$name: $_->[1] is there") foreach @skipped;
	# what stands in a line: that there is such a thing
	my %inline = map { $_ => 1 } grep { !/…|\.\.\./ } $page =~ /`((?:SELECT|TABLE) [^`]*;)`/g;
	my @inline = sort keys %inline;
	is(join("\n", map { s/ +\n/\n/gr } grep { $_ ne '' } printed('hr_prod', map { "PREPARE inline AS $_\nDEALLOCATE ALL;" } @inline)), '',
		"$name: " . @inline . ' statements in its lines') if @inline;
	next unless @played;

	# the one that sets up is played by the demo, and here
	@played = grep { index($set_up, $_->{text}) < 0 } @played if $name eq 'doc/tutorial.md';
	printed('hr_prod', "SELECT jit_revoke_all('the page is read');");
	local $ENV{PGOPTIONS} = '-c client_min_messages=error';
	my @before = printed('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('hr_prod', 'hr_test') \\g /dev/null
DROP DATABASE IF EXISTS hr_test; DROP DATABASE hr_prod;\n$database\n\\c hr_prod postgres\n" . ($prepared{$name} // ''));
	is($before[0], '', "$name: prepared");

	delete local $ENV{PGOPTIONS};
	my @printed = printed('hr_prod', map { $_->{text} } @played);
	my $new = $page;
	foreach my $i (reverse 0 .. $#played)
	{
		my $block = $played[$i];
		my $line = 1 + (substr($page, 0, $block->{begin}) =~ tr/\n//);
		my $same = masked($printed[$i] . "\n") eq masked($block->{output} // "\n");
		$same = $printed[$i] !~ /^(?:ERROR|FATAL)/m if grep { index($block->{text}, $_) == 0 } @varies;
		ok($same, "$name, line $line") or diag("printed:\n$printed[$i]\nin the manual:\n" . ($block->{output} // ''));
		next if $same;
		my $text = $printed[$i] =~ s/(\d{4}-\d\d-\d\d)( \d\d:\d\d:\d\d)/($1 eq $today ? '2026-11-24' : '2026-11-25') . $2/ger;
		$text =~ s/\b\d{19}(\/\d+:)/7571038142563710044$1/g;
		if (exists $block->{output})
		{
			$text = "$text\n" =~ s/^(?=.)/$block->{indent}/mgr;
			substr($new, $block->{output_begin}, $block->{output_end} - $block->{output_begin}) = $text;
		}
		else
		{
			$text = "```\n$text\n```\n" =~ s/^(?=.)/$block->{indent}/mgr;
			substr($new, $block->{end} + length("$block->{indent}```\n"), 0) = $text;
		}
	}
	append_to_file("$ENV{JIT_MANUAL}/" . basename($name), $new) if $ENV{JIT_MANUAL};
}

done_testing();
