# At every isolation level the same: access doesn't work before its COMMIT and
# works after it, and requests that have nothing to do with one another don't
# fail for each other's sake.
#
# The attacks are lines of attacks.md.  Seen to fail with everything written at
# the call, under the transaction's snapshot.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('isolation', 'jit_access.max_pending = 100');
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE dev2 LOGIN; CREATE ROLE ben LOGIN; GRANT hr_owner TO ben;
	GRANT USAGE ON SCHEMA hr TO PUBLIC;
	SELECT jit_set_flow('low', '[]'), jit_set_policy('free', 'low', '$.ticket == "free"');
});
$node->safe_psql('hr_prod', 'SET ROLE hr_owner; CREATE TABLE hr.report AS SELECT 1 AS x');
my %s = map { $_ => session($node, $_, 'hr_prod') } qw(dev dev2 anna ben);
# nothing has to wait for so long
$_->do(q{SET statement_timeout = '8 s'}) for values %s;

sub super { return $node->safe_psql('hr_prod', $_[0]); }
sub ask { return "SELECT jit_request('SELECT ON " . ($_[1] // 'hr.salary') . "', '1 hour', 'x'" . ($_[0] ? ", ticket => 'free')" : ')'); }
my $read = 'SELECT count(*) FROM hr.salary';

sub ok_do
{
	my ($s, $sql, $what) = @_;
	my ($out, $err) = $s->do($sql);
	is($err =~ /(ERROR.*)/ ? $1 : '', '', $what);
	return $out;
}

my $last = super('SELECT max(id) FROM jit.events');
sub clean
{
	super(q{SELECT jit_revoke_from(r, 'test') FROM unnest('{dev,dev2}'::name[]) r});
	super('SELECT jit_reject(request, $x$test$x$) FROM jit.pending');
	is(super("SELECT count(*) = max(id) - $last FROM jit.events WHERE id > $last"), 't', 'events are numbered without gaps');
	$last = super('SELECT max(id) FROM jit.events');
	return;
}

# Two transactions, each with a snapshot from before the other's call; the
# first to begin commits last.
sub two
{
	my ($level, $first, $second) = @_;
	my ($s1, $sql1, $s2, $sql2) = (@$first, @$second);
	ok_do($_, "BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM pg_class", 'begun') for $s1, $s2;
	ok_do($s1, $sql1, 'one calls');
	ok_do($s2, $sql2, 'the other calls');
	ok_do($s2, 'COMMIT', 'the other commits');
	ok_do($s1, 'COMMIT', 'one commits');
	return;
}

foreach my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	my $begin = "BEGIN ISOLATION LEVEL $level";
	attack "denied before COMMIT, works after it: $level" => sub {
		ok_do($s{dev}, "$begin; SELECT count(*) FROM pg_class; " . ask(1), 'asked');
		denied($s{dev}->do($read));
		$s{dev}->do('ROLLBACK');
		ok_do($s{dev}, "$begin; SELECT count(*) FROM pg_class; " . ask(1) . '; COMMIT', 'committed');
		is($s{dev}->do("$begin; $read; COMMIT"), '100', 'works');
		clean();
	};
	attack "two who need nobody, for one table: $level" => sub {
		two($level, [ $s{dev}, ask(1) ], [ $s{dev2}, ask(1) ]);
		is($s{$_}->do($read), '100', "$_ has it") for 'dev', 'dev2';
		clean();
	};
	attack "two who ask: $level" => sub { two($level, [ $s{dev}, ask(0) ], [ $s{dev2}, ask(0) ]); clean(); };
	attack "two approvals of different requests: $level" => sub {
		my ($n1, $n2) = map { scalar $s{$_}->do(ask(0)) } qw(dev dev2);
		two($level, [ $s{anna}, "SELECT jit_approve($n1)" ], [ $s{ben}, "SELECT jit_approve($n2)" ]);
		is($s{$_}->do($read), '100', "$_ has it") for 'dev', 'dev2';
		clean();
	};
	attack "an approval, and another table is granted: $level" => sub {
		my $n = $s{dev}->do(ask(0));
		two($level, [ $s{anna}, "SELECT jit_approve($n)" ], [ $s{ben}, q{SELECT jit_grant('SELECT ON hr.report', 'dev2', '1 hour', 'x')} ]);
		clean();
	};
	attack "an approval, and another request is rejected: $level" => sub {
		my ($n1, $n2) = map { scalar $s{$_}->do(ask(0)) } qw(dev dev2);
		two($level, [ $s{anna}, "SELECT jit_approve($n1)" ], [ $s{ben}, "SELECT jit_reject($n2, 'x')" ]);
		clean();
	};
	attack "one that is revoked, and another that is approved: $level" => sub {
		my $n1 = $s{ben}->do(q{SELECT jit_grant('SELECT ON hr.report', 'dev2', '1 hour', 'x')});
		my $n2 = $s{dev}->do(ask(0));
		two($level, [ $s{anna}, "SELECT jit_approve($n2)" ], [ $s{ben}, "SELECT jit_revoke($n1)" ]);
		clean();
	};
}
attack 'one request approved twice, under SERIALIZABLE: it counts once' => sub {
	my $n = $s{dev}->do(ask(0));
	ok_do($s{$_}, 'BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM jit.inbox', 'begun') for 'anna', 'ben';
	ok_do($s{anna}, "SELECT jit_approve($n)", 'anna approves');
	$s{ben}->begin("SELECT jit_approve($n)");
	wait_until(sub { $s{ben}->ended || waits($node, $s{ben}) }, 20);
	ok_do($s{anna}, 'COMMIT', '... and commits');
	like(($s{ben}->end)[1], qr/ERROR:  (55000|40001): /, 'ben comes too late');
	$s{ben}->do('ROLLBACK');
	is(super("SELECT count(*) FROM jit.events WHERE request_id = $n AND event = 'activated'"), '1', 'it was activated once');
	clean();
};

$_->quit for values %s;
all_attacks_done();
$node->stop;
done_testing();
