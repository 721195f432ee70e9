# A grantee who has the row of their own membership locked, in a transaction
# that they leave open, holds up the removal of the role; what no hook denies,
# such as a sequence, would go on.  They are terminated, however the lock was
# taken.
#
# Guards terminate_holders() in grant.c.  Seen to fail with the lock of a
# savepoint, or of a block with EXCEPTION, looked for under its own number.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('held');
create_hr($node);
$node->safe_psql('hr_prod', 'SET ROLE hr_owner; CREATE SEQUENCE hr.numbers');
my $next = q{SELECT nextval('hr.numbers')};

my %held = (
	'a transaction' => 'SELECT jit_revoke(%d)',
	'a savepoint' => 'SAVEPOINT a; SELECT jit_revoke(%d); RELEASE a',
	'savepoints in each other' => 'SAVEPOINT a; SAVEPOINT b; SELECT jit_revoke(%d); RELEASE b; SAVEPOINT c; RELEASE a',
	'a savepoint that is open' => 'SAVEPOINT a; SELECT jit_revoke(%d)',
	'a block' => 'DO $$ BEGIN PERFORM jit_revoke(%d); EXCEPTION WHEN OTHERS THEN RAISE; END $$',
);
# each of a user of its own, so that they come to their deadlines together
my @hows = sort keys %held;
my %user = map { $hows[$_] => "dev$_" } 0 .. $#hows;
my (%dev, %id);
for my $how (@hows)
{
	$node->safe_psql('hr_prod', "CREATE ROLE $user{$how} LOGIN; GRANT USAGE ON SCHEMA hr TO $user{$how}");
	$dev{$how} = session($node, $user{$how}, 'hr_prod');
}
for my $how (@hows)
{
	$id{$how} = sql($node, 'anna', qq{SET client_min_messages = error; SELECT jit_grant('USAGE ON SEQUENCE hr.numbers', '$user{$how}', '6 s', 'x')}, 'hr_prod');
	like($dev{$how}->do($next), qr/^\d+$/, "$how: access");
	$dev{$how}->do(sprintf "SET client_min_messages = error; BEGIN; $held{$how}", $id{$how});
}
for my $how (@hows)
{
	ok($node->poll_query_until('hr_prod', qq{SELECT clock_timestamp() > expires_at FROM jit.requests WHERE id = $id{$how}}), "$how: is left open past the deadline");
	ok($node->poll_query_until('hr_prod', qq{SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $dev{$how}{pid}}), '... and terminated');
	ok($node->poll_query_until('hr_prod', qq{SELECT count(*) = 0 FROM pg_auth_members WHERE member = '$user{$how}'::regrole}), '... so that the membership ends');
	like((sql($node, $user{$how}, $next, 'hr_prod'))[1], qr/permission denied for sequence numbers/, '... and access with it');
}

$node->stop;
done_testing();
