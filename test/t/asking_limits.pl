# One role has no more at once than jit_access.max_active live grants, in all
# databases of the cluster together, however it comes by them: filed, approved,
# granted, many in a transaction, or in two at the same time.  What is
# continued doesn't count twice, and what is told to be given back makes room.
#
# The attacks are lines of attacks.md.  Seen to fail without the look at
# filing, at approval, and under the cluster's lock; with grants of this
# database only; with continued grants counted, and with any number of them
# allowed; with grants past their deadline counted; and with what a savepoint
# took back counted.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('limits', "jit_access.max_active = 3\njit_access.max_pending = 20000\njit_access.admin_role = 'admins'");
create_hr($node);
my $super = getpwuid($<) . '';
$node->safe_psql('hr_prod', q{
	CREATE ROLE oncall; CREATE ROLE carl LOGIN; GRANT oncall TO carl; CREATE ROLE dev2 LOGIN;
	GRANT USAGE ON SCHEMA hr TO PUBLIC;
	SELECT jit_set_flow('low', '[]'), jit_set_policy('free', 'low', '$.ticket == "free"');
	SELECT format('CREATE TABLE hr.t%s (a int, b int); ALTER TABLE hr.t%1$s OWNER TO hr_owner', i) FROM generate_series(1, 9) i \gexec
});
$node->safe_psql('postgres', q{
	CREATE SCHEMA far; GRANT USAGE ON SCHEMA far TO PUBLIC;
	SELECT jit_set_flow('low', '[]'), jit_set_policy('free', 'low', '$.ticket == "free"');
	SELECT format('CREATE TABLE far.t%s (a int)', i) FROM generate_series(1, 9) i \gexec
});

sub ask { my ($table, $duration) = @_; $duration //= '1 hour'; return "SELECT jit_request('SELECT ON $table', '$duration', 'x', ticket => 'free')"; }
sub grant { my ($table, $to) = @_; return "SELECT jit_grant('SELECT ON $table', '$to', '1 hour', 'x')"; }

# A statement, or several, that must go through; returns what it prints.
sub passes
{
	my ($user, $sql, $db) = @_;
	my ($out, $err) = sql($node, $user, $sql, $db // 'hr_prod');
	unlike($err, qr/ERROR/, $sql);
	return $out;
}

# ... that must not, and what is to be given back: numbers and a database.
sub full
{
	my ($user, $sql, $numbers, $db, $where, $detail) = @_;
	my ($out, $err) = sql($node, $user, $sql, $db // 'hr_prod');
	like($err, qr/ERROR:  54000: /, "refused: $sql");
	like($err, $detail // qr/DETAIL:  \w+ has 3 live grants in all databases, and jit_access\.max_active is 3\.\n/, '... it says how many there are');
	$where //= $db // 'hr_prod';
	like($err, qr/HINT:  .*In $where the first to end are: \Q$numbers\E\. SELECT jit_revoke\((\d+)\);/, '... and what can be given back') if defined $numbers;
	return $err;
}
sub live { return $node->safe_psql('postgres', qq{SELECT count(*) FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
	WHERE g.rolname ~ '^jit_grant_' AND g.rolvaliduntil > clock_timestamp() AND m.member = '$_[0]'::regrole}); }
sub has { my ($user, $n) = @_; return is(live($user), $n, "$user has $n"); }

# None of anybody.
sub clear
{
	$node->safe_psql($_, q{SET client_min_messages = error; SELECT jit_revoke_all('x')}) foreach qw(hr_prod postgres);
	return;
}
# Three of dev's, of which the first ends first; returns their numbers.
sub three { clear(); return map { passes('dev', ask("hr.t$_", "$_ hours")) } 1 .. 3; }
sub attack_full { my ($name, $code) = @_; return attack $name => sub { $code->(three()); clear(); }; }

attack_full 'a fourth' => sub {
	my @n = @_;
	full('dev', ask('hr.t4'), "$n[0], $n[1], $n[2]");
	has('dev', 3);
	passes('dev', "SELECT jit_revoke($n[0])");
	passes('dev', ask('hr.t4'));
	full('dev', ask('hr.t5'), passes('dev', q{SELECT max(request) FROM jit.active_grants}) . ", $n[1], $n[2]");
};
attack_full 'a fourth that needs approval' => sub { full('dev', q{SELECT jit_request('SELECT ON hr.t4', '1 hour', 'x')}, join ', ', @_) };
attack_full 'granted by the owner' => sub { full('anna', grant('hr.t4', 'dev'), join ', ', @_) };
attack_full 'granted by a superuser' => sub { full($super, grant('hr.t4', 'dev'), join ', ', @_) };
attack_full 'in another database' => sub { full('dev', ask('far.t1'), join(', ', @_), 'postgres', 'hr_prod') };
attack 'two here, one there' => sub {
	passes('dev', ask("hr.t$_", "$_ hours")) foreach 1 .. 2;
	my $far = passes('dev', ask('far.t1'), 'postgres');
	full('dev', ask('hr.t3'), undef);
	full('dev', ask('far.t2'), $far, 'postgres');
	passes('dev', "SELECT jit_revoke($far)", 'postgres');
	passes('dev', ask('hr.t3'));
	has('dev', 3);
	clear();
};
attack 'filed while there was room' => sub {
	my @n = map { passes('dev', "SELECT jit_request('SELECT ON hr.t$_', '1 hour', 'x')") } 1 .. 4;
	passes('anna', "SELECT jit_approve($_)") foreach @n[0 .. 2];
	full('anna', "BEGIN; SELECT jit_approve($n[3]); ROLLBACK", join ', ', @n[0 .. 2]);
	is($node->safe_psql('hr_prod', "SELECT status FROM jit.requests WHERE id = $n[3]"), 'pending', 'it stays pending');
	passes('dev', "SELECT jit_revoke($n[1])");
	is(passes('anna', "SELECT jit_approve($n[3])"), 'active', '... and can be approved once there is room');
	clear();
};
attack 'four in one transaction' => sub {
	full('dev', 'BEGIN; ' . join('; ', map { ask("hr.t$_") } 1 .. 4) . '; COMMIT', undef);
	has('dev', 0);
};
attack 'hundreds in one statement' => sub {
	my $err = full('dev', q{SELECT jit_request(format('SELECT ON hr.t%s', 1 + i % 9), make_interval(mins => 10 + i), 'x', ticket => 'free') FROM generate_series(1, 300) i},
		undef, undef, undef, qr/has 6 live grants in all databases, with those that others continue, and jit_access\.max_active, of which twice as many are allowed, is 3/);
	like($err, qr/too many live grants/, '... at the call');
	has('dev', 0);
};
attack 'at the same time' => sub {
	passes('dev', ask("hr.t$_")) foreach 1 .. 2;
	my @s = map { session($node, 'dev', 'hr_prod') } 1 .. 2;
	$s[$_]->do('BEGIN; ' . ask('hr.t' . (3 + $_))) foreach 0 .. 1;
	unlike(($s[0]->do('COMMIT'))[1], qr/ERROR/, 'the first is committed');
	my ($out, $err) = $s[1]->do('COMMIT');
	like($err, qr/ERROR:  54000: request \d+ in hr_prod cannot become active\nDETAIL:  dev has 3 live grants/, 'the second is not');
	like($err, qr/HINT: .*SELECT jit_revoke\(\d+\);/, '... and says what to give back');
	has('dev', 3);
	clear();
};
attack 'at the same time, in two databases' => sub {
	passes('dev', ask("hr.t$_")) foreach 1 .. 2;
	my @s = (session($node, 'dev', 'hr_prod'), session($node, 'dev', 'postgres'));
	$s[0]->do('BEGIN; ' . ask('hr.t3'));
	$s[1]->do('BEGIN ISOLATION LEVEL SERIALIZABLE; ' . ask('far.t3'));
	unlike(($s[1]->do('COMMIT'))[1], qr/ERROR/, 'the first is committed');
	like(($s[0]->do('COMMIT'))[1], qr/ERROR:  54000: /, 'the second is not');
	has('dev', 3);
	clear();
};
attack 'what a savepoint took back' => sub {
	passes('dev', ask('hr.t1'));
	passes('dev', 'BEGIN; ' . join('; ', map { 'SAVEPOINT s; ' . ask("hr.t$_") . '; ROLLBACK TO s' } 2 .. 9) . '; '
		. ask('hr.t2') . '; ' . ask('hr.t3') . '; COMMIT');
	has('dev', 3);
	clear();
};
attack 'what was revoked in the same transaction' => sub {
	passes('dev', 'BEGIN; ' . join('; ', map { ask("hr.t$_") . ' AS n \gset' . "\nSELECT jit_revoke(:n)" } 1 .. 9) . '; ' . ask('hr.t1') . '; COMMIT');
	has('dev', 1);
	clear();
};
attack_full 'given back in the same transaction' => sub {
	passes('dev', "BEGIN; SELECT jit_revoke($_[1]); " . ask('hr.t4') . '; COMMIT');
	has('dev', 3);
};
attack_full 'continued' => sub {
	my @n = @_;
	my @later = map { passes('dev', ask("hr.t$_", '5 hours')) } 1 .. 3;
	has('dev', 6);
	my $two = qr/with those that others continue/;
	full('dev', ask('hr.t3', '6 hours'), "$n[0], $n[1], $n[2]", undef, undef, $two);
	passes('dev', "SELECT jit_revoke($n[0])");
	full('dev', ask('hr.t4', '6 hours'), $later[0]);
	passes('dev', ask('hr.t3', '6 hours'));
};
attack_full 'all of them continued by one' => sub {
	passes('dev', ask('hr.t1, hr.t2, hr.t3, hr.t4', '4 hours'));
	has('dev', 4);
	passes('dev', ask('hr.t5'));
	passes('dev', ask('hr.t6'));
	full('dev', ask('hr.t7'), undef, undef, undef, qr/DETAIL/);
};
attack_full 'one more than is continued' => sub {
	passes('dev', ask('hr.t1, hr.t4', '4 hours'));
	has('dev', 4);
};
attack_full 'less than is continued' => sub {
	full('dev', q{SELECT jit_request('SELECT (a) ON hr.t3', '6 hours', 'x', ticket => 'free')}, undef);
};
attack_full 'more, but sooner' => sub {
	full('dev', ask('hr.t3, hr.t4', '20 min'), undef);
};
attack_full 'made shorter by its approver' => sub {
	my $n = passes('dev', q{SELECT jit_request('SELECT ON hr.t3, hr.t4', '6 hours', 'x')});
	full('anna', "SELECT jit_approve($n, 'x', '10 min')", undef);
	is(passes('anna', "SELECT jit_approve($n, 'x', '5 hours')"), 'active', '... but not too short');
};
attack_full 'another has as much room' => sub {
	passes('dev2', ask("hr.t$_")) foreach 1 .. 3;
	full('dev2', ask('hr.t4'), undef);
	passes('carl', q{SELECT jit_request('SELECT ON hr.t1', '1 hour', 'x', ticket => 'free', grantee => 'oncall')});
	passes('carl', ask("hr.t$_")) foreach 2 .. 4;
	full('carl', ask('hr.t5'), undef);
	has('oncall', 1);
};
attack 'what has ended does not count' => sub {
	clear();
	passes($super, join('; ', map { "SELECT jit_grant('SELECT ON far.t$_', 'dev', '4 s', 'x')" } 1 .. 3), 'postgres');
	stop_launcher($node);
	full('dev', ask('hr.t4'), undef);
	$node->poll_query_until('postgres', q{SELECT max(rolvaliduntil) <= clock_timestamp() FROM pg_roles WHERE rolname ~ '^jit_grant_'});
	passes('dev', ask('hr.t4'));
	continue_launcher();
	clear();
};
attack_full 'dropped and prolonged natively' => sub {
	my @n = @_;
	my ($oid) = $node->safe_psql('hr_prod', 'SELECT oid FROM pg_database WHERE datname = current_database()');
	$node->safe_psql('hr_prod', qq{ALTER ROLE jit_grant_${oid}_$n[0] VALID UNTIL '2040-01-01'});
	full('dev', ask('hr.t4'), "$n[1], $n[2], $n[0]");
	$node->safe_psql('hr_prod', "DROP ROLE jit_grant_${oid}_$n[1]");
	passes('dev', ask('hr.t4'));
	full('dev', ask('hr.t5'), undef);
};
attack_full 'set by somebody, or for a database' => sub {
	like((sql($node, 'dev', 'SET jit_access.max_active = 10', 'hr_prod'))[1], qr/ERROR:  55P02: /, 'not in a session');
	like((sql($node, $super, 'SET jit_access.max_active = 10', 'hr_prod'))[1], qr/ERROR:  55P02: /, '... nor by a superuser');
	like((sql($node, $super, 'ALTER DATABASE hr_prod SET jit_access.max_active = 10', 'hr_prod'))[1], qr/ERROR:  55P02: /, '... nor for a database');
	like((sql($node, $super, 'ALTER ROLE dev SET jit_access.max_active = 10', 'hr_prod'))[1], qr/ERROR:  55P02: /, '... nor for a role');
	full('dev', ask('hr.t4'), undef);
};
attack_full 'jit_explain()' => sub {
	like(passes('dev', q{SELECT jit_explain('SELECT ON hr.t4', '1 hour', 'x')}), qr/^In the way\n  too many live grants\n    dev has 3 live grants in all databases, and jit_access\.max_active is 3\.$/m, 'it says so');
	unlike(passes('dev', q{SELECT jit_explain('SELECT ON hr.t3', '9 hours', 'x')}), qr/In the way/, '... and nothing of what would continue one');
};
# as a session sees it that reads the setting anew
sub reload
{
	my ($value) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET jit_access.max_active = $value");
	$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
	$node->poll_query_until('postgres', "SELECT current_setting('jit_access.max_active') = '$value'");
	return;
}
attack_full 'lowered and raised' => sub {
	reload(1);
	my $fewer = qr/dev has 3 live grants in all databases, and jit_access\.max_active is 1\./;
	full('dev', ask('hr.t4'), undef, undef, undef, $fewer);
	has('dev', 3);
	reload(0);
	full('dev2', ask('hr.t4'), undef, undef, undef, qr/dev2 has 0 live grants/);
	reload(1000000);
	passes('dev', ask("hr.t$_")) foreach 4 .. 9;
	has('dev', 9);
	reload(3);
	full('dev2', 'BEGIN; ' . join('; ', map { ask("hr.t$_") } 1 .. 4) . '; COMMIT', undef);
};
attack_full 'after a crash' => sub {
	my @n = @_;
	$node->stop('immediate');
	$node->start;
	full('dev', ask('hr.t4'), join ', ', @n);
	is($node->safe_psql('hr_prod', 'SHOW jit_access.max_pending'), 20000, 'a max_pending of more than 10,000 is taken from postgresql.conf');
};

all_attacks_done();
$node->stop;
done_testing();
