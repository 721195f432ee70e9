# Tests that are lines of ../attacks.md.  A file of them names each attack as
# the list does, and ends with all_attacks_done(), which fails for a line that
# has no test, and for a test that has no line.
package Attacks;
use strict;
use warnings;
use Exporter 'import';
use File::Basename qw(basename);
use FindBin;
use JitAccess;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

our @EXPORT = qw(attack all_attacks_done attacks_of denied overtaken ends_within goes_on waits events_of finish);

my @done;

# The names in the list, by file.
sub attacks_of
{
	my (%names, $file);
	foreach (split /\n/, slurp_file("$FindBin::Bin/../attacks.md"))
	{
		$file = $1 if /^## .*`(?:t|stress)\/(\w+\.pl)`$/;
		push @{ $names{$file} }, $1 if defined $file && /^\| (.*?) \|/ && $1 ne 'Attack';
	}
	return \%names;
}

# One of them.  Whatever dies in it fails it, and the next one is tried.
sub attack
{
	my ($name, $code) = @_;
	push @done, $name;
	return subtest $name => sub {
		eval { $code->(); 1 } or fail("died: $@");
		done_testing();
	};
}

sub all_attacks_done
{
	my $file = basename($0);
	my $listed = attacks_of()->{$file} // [];
	is_deeply([ sort @done ], [ sort @$listed ], 'attacks.md lists these attacks and no others');
	return;
}

# What a session's do() has returned: nothing was read, and the HINT says why.
# Where PostgreSQL denies without any hook there is no such HINT.
sub denied
{
	my ($out, $err, $hint) = @_;
	is($out, '', 'nothing is read');
	like($err, qr/ERROR:  42501: /, 'denied');
	like($err, qr/HINT: .*\bCOMMIT\b/, '... with a hint that says COMMIT') if $hint // 1;
	return;
}

# A COMMIT that came too late says so, and by what.
sub overtaken
{
	my ($out, $err, $request, $by) = @_;
	like($err, qr/ERROR:  55000: /, 'it cannot be committed');
	like($err, qr/\brequest $request\b/, '... the error names the request') if $request;
	like($err, $by, '... and what has overtaken it');
	return;
}

# What was begun in a session has ended in that time.
sub ends_within
{
	my ($s, $seconds, $what) = @_;
	my $start = Time::HiRes::time();
	my $ended = wait_until(sub { $s->ended }, $seconds);
	ok($ended, sprintf('%s: after %.1f s', $what, Time::HiRes::time() - $start));
	return $ended;
}

# A statement of a session that relies on its access and goes on until it is
# told to end: see finish().
sub goes_on
{
	my ($s, $sql) = @_;
	$s->begin($sql);
	die "does not go on: $s->{err}" if wait_until(sub { $s->ended }, 0.5);
	return;
}

# Ends it as its own user would; returns how it ended.
sub finish
{
	my ($node, $s) = @_;
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($s->{pid})") unless $s->ended;
	my ($out, $err) = $s->end;
	return $err;
}

# Does it wait for a lock?
sub waits
{
	my ($node, $s) = @_;
	return $node->safe_psql('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $s->{pid}") eq 't';
}

sub events_of
{
	my ($node, $request, $db) = @_;
	return $node->safe_psql($db // 'hr_prod', "SELECT string_agg(event, ', ' ORDER BY id) FROM jit.events WHERE request_id = $request");
}

1;
