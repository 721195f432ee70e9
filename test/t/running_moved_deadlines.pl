# A grant that is lengthened or shortened while a statement runs under it, or
# overlapped by another one, moves the cut-off of the statement.
#
# Guards the ring of changes in cutoff.c; the launcher is stopped.  Seen to
# fail with publish_changes() taken out: then statements are cut off at the
# first deadline, and run on past the shortened one.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('lengthened');
$node->safe_psql('postgres', q{
	CREATE ROLE dev LOGIN;
	CREATE TABLE secret AS SELECT i AS x FROM generate_series(1, 1000) i;
	CREATE TABLE secret2 AS TABLE secret;
});
stop_launcher($node);
my $running = q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid = };

sub run
{
	my ($s) = @_;
	$s->begin('SELECT pg_sleep(600) FROM secret');
	return;
}

sub runs
{
	my ($s) = @_;
	ok($node->poll_query_until('postgres', "SELECT ($running $s->{pid}) = 1"), 'a statement runs');
	return;
}

sub start
{
	my $s = session($node, 'dev');
	run($s);
	runs($s);
	return $s;
}

sub set_deadline
{
	my ($id, $seconds) = @_;
	my $role = grant_role($node, $id);
	$node->safe_psql('postgres', qq{DO \$\$ BEGIN EXECUTE format('ALTER ROLE %I VALID UNTIL %L', '$role', clock_timestamp() + interval '$seconds s'); END \$\$});
	return;
}

# still there a second after
sub survives
{
	my ($s, $id, $name) = @_;
	my $passed = $node->poll_query_until('postgres', "SELECT clock_timestamp() > expires_at + interval '1 s' FROM jit.requests WHERE id = $id");
	ok($passed && !$s->ended, $name);
	return;
}

sub is_cut_off
{
	my ($s, $id, $detail, $name) = @_;
	my ($out, $err) = $s->end;
	like($err, qr/${CUT_OFF}DETAIL:  Request $id in postgres $detail/, $name);
	$s->quit;
	return;
}

# What comes to a deadline, each of a user of its own, so that all can wait for
# it together.  The ledger's expires_at stays as it was: nobody sweeps.
my @users = qw(lengthened overlapped later_one unhelped undone);
$node->safe_psql('postgres', join ';', map { "CREATE ROLE $_ LOGIN" } @users);
my %session = map { $_ => session($node, $_) } @users;
my %id = map { $_ => grant_access($node, 'SELECT ON secret', $_, '8 s') } @users;
my $second_of_two = grant_access($node, 'SELECT ON secret', 'later_one', '1 hour');
run($session{$_}) for @users;
runs($session{$_}) for @users;
set_deadline($id{lengthened}, 3600);
my $second = grant_access($node, 'SELECT ON secret, secret2', 'overlapped', '1 hour');
grant_access($node, 'SELECT ON secret2', 'unhelped', '1 hour');
$node->safe_psql('postgres', 'BEGIN; ALTER ROLE ' . grant_role($node, $id{undone}) . q{ VALID UNTIL '2100-01-01'; ROLLBACK});

is_cut_off($session{unhelped}, $id{unhelped}, 'expired at', 'a grant of something else changes nothing');
is_cut_off($session{undone}, $id{undone}, 'expired at', 'what is rolled back changes nothing');

survives($session{lengthened}, $id{lengthened}, 'lengthened by ALTER ROLE: it runs on');
set_deadline($id{lengthened}, 1);
is_cut_off($session{lengthened}, $id{lengthened}, 'expired at', 'shortened by ALTER ROLE: it is cut off then');

# an overlapping one, and then its end
survives($session{overlapped}, $id{overlapped}, 'overlapped by another grant: it runs on');
revoke_access($node, $second);
is_cut_off($session{overlapped}, '\d+', '(was revoked|expired at)', '... until that is revoked');

# one of two that were there from the start
survives($session{later_one}, $id{later_one}, 'the later of two deadlines counts');
set_deadline($second_of_two, 1);
is_cut_off($session{later_one}, $second_of_two, 'expired at', '... and is shortened');

my $id = grant_access($node, 'SELECT ON secret', 'dev', '1 hour');
my $s = start();
set_deadline($id, -1);
is_cut_off($s, $id, '(expired at|was revoked)', 'a deadline in the past');

$id = grant_access($node, 'SELECT ON secret', 'dev', '1 hour');
$s = start();
$node->safe_psql('postgres', 'ALTER ROLE ' . grant_role($node, $id) . q{ VALID UNTIL 'infinity'});
is_cut_off($s, $id, '', 'VALID UNTIL infinity ends it');

$id = grant_access($node, 'SELECT ON secret', 'dev', '1 hour');
$s = start();
$node->safe_psql('postgres', 'REVOKE ' . grant_role($node, $id) . ' FROM dev');
is_cut_off($s, $id, 'was revoked', 'REVOKE of the grant role');

$id = grant_access($node, 'SELECT ON secret', 'dev', '1 hour');
$s = start();
$node->safe_psql('postgres', 'DROP ROLE ' . grant_role($node, $id));
is_cut_off($s, $id, 'was revoked', 'DROP ROLE');

continue_launcher();
$node->stop;
done_testing();
