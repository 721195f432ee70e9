# jit.inbox, jit.my_requests and jit.active_grants fit 130 columns in psql,
# whatever was asked for, and shorten visibly what they can't show whole.
#
# Guards jit.wrapped() and the widths that the views call it with.  Seen to fail
# with a column of inbox wider by one, and columns of my_requests by two, with
# characters counted instead of columns, without a limit of lines, without the
# three dots for other encodings, and with lines that go on not indented.
use strict;
use warnings;
use utf8;
use Encode;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

$ENV{PGCLIENTENCODING} = 'UTF8';
$ENV{PGTZ} = 'Asia/Kolkata';

my $node = new_server('widths', "jit_access.max_pending = 1000\njit_access.max_active = 1000");
# of 12 characters each: plain, quoted, with quotes, wide
my @names = ('abcdefghijkl', 'An@corp.io X', 'a"b"c"d"e"f"', '漢字漢字漢字漢字漢字漢字');
my $long = 'n' x 63;
my $word = 'w' x 8000;
my $wide = '漢' x 2500;

sub quoted { return '"' . ($_[0] =~ s/"/""/gr) . '"'; }
sub literal { return "'" . ($_[0] =~ s/'/''/gr) . "'"; }
sub psql_out
{
	my ($user, $sql, @options) = @_;
	my ($out, $err) = ('', '');
	my $in = encode('UTF-8', $sql);
	IPC::Run::run([ 'psql', '-Xq', '-P', 'pager=off', @options, '-h', $node->host, '-p', $node->port, '-U', encode('UTF-8', $user), '-d', 'hr' ], '<', \$in, '>', \$out, '2>', \$err);
	return (decode('UTF-8', $out), decode('UTF-8', $err));
}
sub super { my ($out, $err) = psql_out(getpwuid($<) . '', $_[0], '-At'); die $err if $err =~ /ERROR|FATAL/; chomp $out; return $out; }

# columns of a terminal, for what is used here
sub width { return length($_[0]) + (() = $_[0] =~ /\p{Han}/g); }
sub widest { my $max = 0; foreach (split /\n/, $_[0]) { $max = width($_) if width($_) > $max } return $max; }

$node->safe_psql('postgres', "CREATE DATABASE hr TEMPLATE template0 ENCODING 'UTF8'");
super(join ";\n", 'SET client_min_messages = error; CREATE EXTENSION jit_access',
	'CREATE ROLE group_owner NOLOGIN', "CREATE SCHEMA $long AUTHORIZATION group_owner", "CREATE SCHEMA s AUTHORIZATION group_owner",
	(map { 'CREATE ROLE ' . quoted($_) . ' LOGIN', 'GRANT group_owner TO ' . quoted($_) } @names),
	'CREATE ROLE "Gr@up ""1"" x"', 'CREATE ROLE "Ask er@co ""x" LOGIN', 'CREATE ROLE asker_plain1 LOGIN', 'GRANT "Gr@up ""1"" x" TO "Ask er@co ""x", asker_plain1',
	'CREATE ROLE group_12char; GRANT group_12char TO asker_plain1, "Ask er@co ""x"',
	'SET ROLE group_owner',
	(map { "CREATE TABLE $long." . sprintf('t%03d', $_) . ('t' x 59) . ' (a int)' } 1 .. 100),
	'CREATE TABLE s."漢字漢字漢字漢字漢字漢字漢字漢字" ("漢字 漢字" int, b int)', "CREATE TABLE s.many (" . join(', ', map { "column_$_ int" } 1 .. 300) . ')',
	'RESET ROLE');
my %asked = (
	'100 objects with long names' => "SELECT ON ALL TABLES IN SCHEMA $long",
	'wide characters' => 'SELECT ("漢字 漢字"), UPDATE (b) ON s."漢字漢字漢字漢字漢字漢字漢字漢字"',
	'300 columns' => 'SELECT (' . join(', ', map { "column_$_" } 1 .. 300) . ') ON s.many');
my %reasons = ('100 objects with long names' => $word, 'wide characters' => $wide, '300 columns' => "a b\x{200b}c " x 900);

# all of it active, and pending: approved by all but the last, with and without
# something given before
super(q{SELECT jit_set_flow('moderate', '[{"approver": "group_owner", "approvals": 4}, {"approver": "@grantor"}]')});
sub act { my ($user, $sql) = @_; my ($out, $err) = psql_out($user, $sql, '-At'); die encode('UTF-8', substr("$user: $sql", 0, 200) . $err) if $err =~ /ERROR|FATAL/; chomp $out; return $out; }
sub asked
{
	my ($what, $how) = @_;
	return act('Ask er@co "x', 'SELECT jit_request(' . literal($asked{$what}) . ", $how, reason => " . literal($reasons{$what}) .
		', ticket => ' . literal($word) . ', grantee => ' . literal('Gr@up "1" x') . ')');
}
super('CREATE ROLE last LOGIN SUPERUSER');
foreach my $what (sort keys %asked)
{
	my $n = asked($what, q{duration => '1 day'});
	act($_, "SELECT jit_approve($n, " . literal($wide) . ')') foreach @names;
	act('last', "SELECT jit_approve($n)");
	foreach my $how (q{until => now() + '6 days 22 hours'}, q{duration => '6 days 23:59:59'})
	{
		$n = asked($what, $how);
		act($_, "SELECT jit_approve($n, " . literal($word) . ')') foreach @names[0 .. 2];
	}
}

# names that just fit
my $n = act('asker_plain1', "SELECT jit_request('SELECT ON ALL TABLES IN SCHEMA $long', '1 day', " . literal($word) . ", grantee => 'group_12char')");
act($names[0], "SELECT jit_approve($n, " . literal($word) . ')');
act('asker_plain1', "SELECT jit_request('INSERT ON ALL TABLES IN SCHEMA $long', '1 day', " . literal($word) . ", grantee => 'group_12char')");

foreach my $look ([ 'Ask er@co "x', 'my_requests' ], [ 'Ask er@co "x', 'active_grants' ], [ 'asker_plain1', 'my_requests' ], [ 'asker_plain1', 'active_grants' ],
	[ $names[3], 'inbox' ], [ $names[0], 'active_grants' ], [ getpwuid($<) . '', 'active_grants' ])
{
	my ($user, $view) = @$look;
	my ($out, $err) = psql_out($user, "TABLE jit.$view;");
	my ($rows) = $out =~ /\((\d+) rows?\)/;
	cmp_ok($rows // 0, '>=', 1, "there are rows in $view") or diag($err);
	my $widest = widest($out);
	cmp_ok($widest, '<=', 130, "$view fits 130 columns ($rows rows, $widest columns)") or diag(encode('UTF-8', $out));
	cmp_ok(scalar(split /\n/, $out), '<=', 70 * ($rows + 1), '... and no row is longer than it need be');
}

# what is left out is said
my ($out) = psql_out($names[3], 'SELECT access, reason, duration FROM jit.inbox', '-At');
like($out, qr/^… and 95 more\b/m, 'a long list says how many more');
like($out, qr/…$/m, 'a long text that there is more');
like($out, qr/^(?:.*\|)?6 days\n21:59:\d\d$/m, 'what is left of a time');

# an encoding without the ellipsis
($out, my $err) = psql_out($names[0], "SET client_encoding = 'LATIN1'; SELECT access FROM jit.my_requests UNION ALL SELECT jit.wrapped(repeat('x ', 99), 8)", '-At');
like($out, qr/\.\.\.$/m, 'has three dots');
is($err, '', '... and no error');

# the function itself
is(super(q{SELECT jit.wrapped('one two three', 8)}), "one two\n three", 'broken at a space, and indented');
is(super(q{SELECT jit.wrapped('hr.employee_salary', 10)}), "hr.\n employee_\n salary", 'broken within a name where it has parts');
is(super(q{SELECT jit.wrapped('onetwothree', 4)}), "onet\n wot\n hre\n e", 'or wherever that is');
is(super(q{SELECT jit.wrapped('漢字漢字', 5)}), "漢字\n 漢字", 'by columns, not characters');
is(super(q{SELECT jit.wrapped('漢', 1)}), '漢', 'what is too wide is shown');
is(super(q{SELECT jit.wrapped(E'a\nb\nc\nd\ne\nf\ng\nh', 20)}), "a\nb\nc\nd\ne\nf\n… and 2 more", 'a list is cut');
is(super(q{SELECT jit.wrapped(E'a\nb', 20, 7)}), "a\nb\n… and 7 more", '... with what was cut before');
is(super(q{SELECT jit.wrapped('', 20) || jit.wrapped('x', 0)}), 'x', 'nothing, and no room');

$node->stop;
done_testing();
