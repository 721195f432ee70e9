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

sub start
{
	my $s = session($node, 'dev');
	$s->begin('SELECT pg_sleep(600) FROM secret');
	ok($node->poll_query_until('postgres', "SELECT ($running $s->{pid}) = 1"), 'a statement runs');
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

# the ledger's expires_at stays as it was: nobody sweeps
my $id = grant_access($node, 'SELECT ON secret', 'dev', '3 s');
my $s = start();
set_deadline($id, 3600);
survives($s, $id, 'lengthened by ALTER ROLE: it runs on');
set_deadline($id, 1);
is_cut_off($s, $id, 'expired at', 'shortened by ALTER ROLE: it is cut off then');

$id = grant_access($node, 'SELECT ON secret', 'dev', '1 hour');
$s = start();
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

# an overlapping one, and then its end
$id = grant_access($node, 'SELECT ON secret', 'dev', '3 s');
$s = start();
my $second = grant_access($node, 'SELECT ON secret, secret2', 'dev', '1 hour');
survives($s, $id, 'overlapped by another grant: it runs on');
revoke_access($node, $second);
is_cut_off($s, '\d+', '(was revoked|expired at)', '... until that is revoked');

# one of two that were there from the start
$id = grant_access($node, 'SELECT ON secret', 'dev', '3 s');
$second = grant_access($node, 'SELECT ON secret', 'dev', '1 hour');
$s = start();
survives($s, $id, 'the later of two deadlines counts');
set_deadline($second, 1);
is_cut_off($s, $second, 'expired at', '... and is shortened');

# a grant of something else doesn't help
$id = grant_access($node, 'SELECT ON secret', 'dev', '3 s');
$s = start();
grant_access($node, 'SELECT ON secret2', 'dev', '1 hour');
is_cut_off($s, $id, 'expired at', 'a grant of something else changes nothing');

# lengthened in a transaction that is rolled back
$id = grant_access($node, 'SELECT ON secret', 'dev', '3 s');
$s = start();
$node->safe_psql('postgres', 'BEGIN; ALTER ROLE ' . grant_role($node, $id) . q{ VALID UNTIL '2100-01-01'; ROLLBACK});
is_cut_off($s, $id, 'expired at', 'what is rolled back changes nothing');

continue_launcher();
$node->stop;
done_testing();
