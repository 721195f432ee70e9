# One day with it in psql, as a transcript: two who approve, one who asks, an
# auditor, an administrator who is no superuser, and the superuser who sets it
# up.  Every view, every function of the day and every kind of message is in it
# where it has something to say, and what the hints show is pasted.
#
# day_transcript.out is both what is typed and what is expected: lines that
# start with a prompt are run, one login each; what stands between them is
# compared with what psql printed.  Digits of times are 0 on both sides.
#
# To change it, change what is typed there, and have the file made anew:
#
#	JIT_TRANSCRIPT=/tmp/new.out make test SUITES=tap FILES=day_transcript
#
# The difference has to be read, line by line, as somebody would who sees it
# for the first time: is it true, does it say what happened, to what, and what
# to do next?  Only then is it copied.
#
# Seen to fail with a word changed in a message, with a name quoted twice in a
# hint, with a column wider, and with another duration than the least in the
# inbox.
use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

$ENV{PGTZ} = 'UTC';
$ENV{PGCLIENTENCODING} = 'UTF8';
# what the bootstrap superuser is called is seen
$ENV{PGUSER} = 'postgres';
my $node = new_server('transcript', "timezone = 'UTC'\nlog_timezone = 'UTC'", extra => [ '-U', 'postgres' ]);
my %prompt_of = ((map { $_ => '>' } 'anna@corp.io', "Ben O'Neil", 'Dev', 'olga', 'adam'), postgres => '#');
$node->safe_psql('postgres', q{
	CREATE ROLE hr_owner; CREATE ROLE "On Call"; CREATE ROLE hr_reader; GRANT hr_reader TO hr_owner WITH ADMIN OPTION;
	CREATE ROLE "anna@corp.io" LOGIN IN ROLE hr_owner; CREATE ROLE "Ben O'Neil" LOGIN IN ROLE hr_owner;
	CREATE ROLE "Dev" LOGIN IN ROLE "On Call"; CREATE ROLE olga LOGIN; CREATE ROLE adam LOGIN;
	CREATE DATABASE hr_prod TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' OWNER hr_owner;
	ALTER DATABASE hr_prod SET jit_access.auditor_role = 'olga'; ALTER DATABASE hr_prod SET jit_access.admin_role = 'adam';
});
$node->safe_psql('hr_prod', q{
	CREATE EXTENSION jit_access;
	CREATE SCHEMA hr AUTHORIZATION hr_owner; CREATE SCHEMA "HR@Lab" AUTHORIZATION hr_owner;
	GRANT USAGE ON SCHEMA hr TO PUBLIC;
	SET ROLE hr_owner;
	CREATE TABLE hr.employee (emp_no integer, last_name name); INSERT INTO hr.employee VALUES (1, 'Ada'), (2, 'Bob');
	CREATE TABLE hr.salary (emp_no integer, amount integer); INSERT INTO hr.salary VALUES (1, 60117), (2, 65828);
	CREATE TABLE hr.title (emp_no integer, title name); INSERT INTO hr.title VALUES (1, 'Clerk'), (2, 'Analyst');
	CREATE TABLE hr.office (emp_no integer, room name);
	CREATE TABLE "HR@Lab"."Pay ""slips""" ("Slip No" integer, paid date);
	GRANT SELECT ON hr.office TO hr_reader; GRANT UPDATE (title) ON hr.title TO "On Call";
	ANALYZE hr.employee, hr.salary, hr.title;
});

# What psql prints, errors in their place
sub psql_prints
{
	my ($login, $statement) = @_;
	my @options = $statement =~ s/\s*\\gx$// ? '-x' : ();
	my $out = '';
	IPC::Run::run([ $node->installed_command('psql'), '-X', '-P', 'pager=off', @options, '-h', $node->host, '-p', $node->port,
			'-U', $login, '-d', 'hr_prod', '-c', $statement ], '>&', \$out);
	# as wide as times are, which lose zeros at their end
	$out =~ s/^(-\[ RECORD \d+ \]).*$/$1/mg, $out =~ s/ *\+$/ +/mg if @options;
	$out =~ s/[ \t]+$//mg;
	$out =~ s/\n*\z/\n/;
	return $out;
}

# What is different each time, in as many columns
sub masked
{
	my ($text) = @_;
	$text =~ s/\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/0000-00-00 00:00:00/g;
	$text =~ s/(00:00:00)\.\d{1,6}\+00/$1.000000+00/g;
	# time_left, what jit_show() says is left, and facts of jit_explain()
	$text =~ s/(00:00:00\+00 \| )\d\d:\d\d:\d\d/${1}00:00:00/g;
	$text =~ s/^(  *left: )\d\d:\d\d:\d\d/${1}00:00:00/mg;
	$text =~ s/^(  *requested_at: ).*/$1"..."/mg;
	$text =~ s/^(  *(?:start_)?(?:weekday|hour): )\d+/${1}0/mg;
	$text =~ s/^(requester_oid +\|) \d+/$1 00000/mg;
	# a token: system, database, number and time
	$text =~ s/\d{19}\/\d+:(\d+):\d{16}/0000000000000000000\/00000:$1:0000000000000000/g;
	# what is left until a time, in jit.inbox
	$text =~ s/ \d\d:5\d:\d\d \|/ 00:00:00 |/g;
	# that time in jit.my_requests, which is below the word
	my ($below, @lines) = (0, split /^/, $text);
	foreach (@lines)
	{
		s/\| (?:\d\d [A-Z][a-z]{2} |\d{4}    |\d\d:\d\d:\d\d)(?= ?\+?\|| \|)/$& =~ tr,0-9A-Za-z,0,r/e if $below-- > 0;
		$below = 3 if /\| until /;
	}
	$text = join '', @lines;
	return $text;
}

my $expected = slurp_file("$FindBin::Bin/day_transcript.out");
my ($got, $login, $statement) = ('');
my %widest;
my $run = sub {
	return unless defined $statement;
	my $printed = psql_prints($login, $statement);
	if ($statement =~ /^TABLE jit\.(inbox|my_requests|active_grants);$/)
	{
		foreach (split /\n/, $printed)
		{
			utf8::decode(my $line = $_);
			$widest{$1} = length $line if length $line > ($widest{$1} // 0);
		}
	}
	$got .= masked($printed) . "\n";
	undef $statement;
};
foreach my $line (split /\n/, $expected)
{
	if ($line =~ /^(.*?)=([>#]) (.*)$/ && ($prompt_of{$1} // '') eq $2)
	{
		my ($who, $what) = ($1, $3);
		$run->();
		($login, $statement) = ($who, $what);
		$got .= "$line\n";
	}
	elsif (defined $statement && $line =~ /^\Q$login\E-[>#] (.*)$/)
	{
		$statement .= "\n$1";
		$got .= "$line\n";
	}
	elsif ($line =~ /^-- /)
	{
		$run->();
		$got .= "\n" if $got =~ /[^\n]\n\z/ && $got !~ /^-- .*\n\z/m;
		$got .= "$line\n";
	}
}
$run->();

append_to_file($ENV{JIT_TRANSCRIPT}, $got) if $ENV{JIT_TRANSCRIPT};
if (!ok($got eq $expected, 'the day goes as it went'))
{
	my $new = "${PostgreSQL::Test::Utils::tmp_check}/day_transcript.new";
	append_to_file($new, $got);
	IPC::Run::run([ 'diff', '-u', '--label', 'expected', '--label', 'got', "$FindBin::Bin/day_transcript.out", $new ], '>', \my $diff);
	diag($diff);
}
cmp_ok($widest{$_} // 999, '<=', 130, "jit.$_ fits 130 columns") foreach qw(inbox my_requests active_grants);

$node->stop;
done_testing();
