# Thousands of sets of columns of one table, one after the other, by a user whom
# a flow of [] serves: everybody's requests and the owner's GRANT work
# throughout.  Then as many that are in use at once, on some tables, and
# DROP EXTENSION.  Its notes say how long each takes.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $sets = storm(3000, 200);
my $node = new_server('scopes', "log_statement = none\nlog_min_messages = fatal\njit_access.max_pending = 1000\njit_access.max_active = 100000\nmax_locks_per_transaction = 512");
create_hr($node);
my $columns = join ', ', map { "c$_ int" } 0 .. 12;
$node->safe_psql('hr_prod', qq{SELECT jit_set_flow('low', '[]'), jit_set_policy('free', 'low', '\$.ticket == "free"'); SET ROLE hr_owner;
	CREATE TABLE hr.wide ($columns); CREATE TABLE hr.w1 ($columns); CREATE TABLE hr.w2 ($columns)});
sub set_of { my ($n) = @_; return join ', ', 'c0', map { "c$_" } grep { $n & 1 << $_ - 1 } 1 .. 12; }
my $dev = session($node, 'dev', 'hr_prod');
my $anna = session($node, 'anna', 'hr_prod');
my (%wrong, @seconds);
my $begin = time;
for (my $n = 1; $n <= $sets; $n += 100)
{
	my $start = Time::HiRes::time();
	my ($out, $err) = $dev->do(join "\n", 'SET client_min_messages = error;',
		map { "SELECT jit_request('SELECT (" . set_of($_) . ") ON hr.wide', '1 hour', 'x', ticket => 'free') AS n \\gset\nSELECT jit_revoke(:n);" } $n .. $n + 99);
	push @seconds, Time::HiRes::time() - $start;
	$wrong{dev} //= $1 if $err =~ /(ERROR.*)/;
	($out, $err) = $anna->do("SET ROLE hr_owner; GRANT SELECT (c0) ON hr.wide TO eve; REVOKE SELECT (c0) ON hr.wide FROM eve; RESET ROLE");
	$wrong{owner} //= $1 if $err =~ /(ERROR.*)/;
	($out, $err) = sql($node, 'eve', "SET client_min_messages = error; SELECT jit_request('UPDATE ON hr.wide', '1 hour', 'x', ticket => 'free') AS n \\gset\nSELECT jit_revoke(:n)", 'hr_prod');
	$wrong{eve} //= $1 if $err =~ /(ERROR.*)/;
}
is_deeply(\%wrong, {}, "$sets sets of columns by one user: others' requests and the owner's GRANT work");
note(sprintf('a request and its end took %.1f ms at first, %.1f at last', 10 * $seconds[0], 10 * $seconds[-1]));
note('roles left: ' . $node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit_scope%'}));
$_->quit for $dev, $anna;

$node->safe_psql('hr_prod', 'SET client_min_messages = error; SET jit_access.top_level_only = off;
	DO $$ DECLARE cols text; BEGIN FOR n IN 1 .. ' . $sets . q{ LOOP
		SELECT 'c0' || coalesce(string_agg(', c' || i, ''), '') INTO cols FROM generate_series(1, 12) i WHERE n >> i - 1 & 1 = 1;
		PERFORM jit_grant(format('SELECT (%s) ON hr.w%s', cols, 1 + n % 2), 'dev', '1 hour', 'x');
		END LOOP; END $$});
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit_scope%'}), '>=', $sets, "$sets are in use");
my $seconds = $node->safe_psql('hr_prod', "SELECT clock_timestamp() AS t \\gset\nDROP EXTENSION jit_access; SELECT extract(epoch FROM clock_timestamp() - :'t')");
note("DROP EXTENSION took $seconds s");
cmp_ok($seconds, '<', 10, 'DROP EXTENSION is done in seconds');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit\_%\_%'}), '0', 'no role is left');

$node->stop;
done_testing();
