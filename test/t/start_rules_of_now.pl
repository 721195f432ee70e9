# What is given without anybody's looking at it once more, because it was
# scheduled, needs nobody or is an emergency, is judged by the rules of now: by
# what the grantee was given meanwhile, by how long it may be, by whom the flow
# of now asks.
#
# The attacks are lines of attacks.md.  Guards request/policy.c (stricter now) and
# what facts.c makes anew.  Seen to fail with what was given meanwhile not counted,
# with until, jit_access.max_duration or emergency_duration not compared, and with
# an approval through a gateway counted in a direct step.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('now', "jit_access.admin_role = 'admins'\njit_access.gateway_logins = 'bot'\n");
create_hr($node);
my @people = map { "d$_" } 1 .. 20;
$node->safe_psql('hr_prod', join ";\n", (map { "CREATE ROLE $_ LOGIN" } @people, qw(sam bot)), q{
	CREATE ROLE admins; CREATE ROLE security; GRANT security TO sam; CREATE ROLE dba; CREATE ROLE oncall; GRANT oncall TO d15;
	GRANT USAGE ON SCHEMA hr TO PUBLIC;
	SET ROLE hr_owner; CREATE TABLE hr.t1 (a int); CREATE TABLE hr.t2 (a int); CREATE TABLE hr.t3 (a int); RESET ROLE;
	SELECT jit_set_policy('calm', 'low', '$.reason == "calm"');
	SELECT jit_set_policy('often', 'high', '$.recent_grants >= 2');
	SELECT jit_set_flow('low', '[]');
	SELECT jit_set_flow('high', '[{"approver": "@grantor"}]');
});
my $flow = q{'[{"approver": "security", "direct": false}]', emergency_role => 'oncall'};
my $person = 0;
sub super { return $node->safe_psql('hr_prod', $_[0]); }
sub as { my ($who, $sql) = @_; return sql($node, $who, $sql, 'hr_prod'); }
sub moderate { return super("SELECT jit_set_flow('moderate', $_[0])"); }
moderate($flow);

# The number of what somebody new has scheduled.
sub scheduled
{
	my ($how, %with) = @_;
	my $who = $people[ $person++ ];
	my ($n, $err) = as($who, "SELECT jit_request('SELECT ON hr.t1', reason => 'x', start => clock_timestamp() + interval '" . ($with{in} // '1.5 s') . "', $how)");
	die $err unless $n =~ /^\d+$/;
	my ($out, $failed) = $with{via} ? as('bot', "BEGIN; SELECT jit_act_for('slack:sam'); SELECT jit_approve($n); COMMIT") : as('sam', "SELECT jit_approve($n)");
	die $failed unless $out =~ /scheduled/;
	return $n;
}
sub settled { return $node->poll_query_until('hr_prod', "SELECT status <> 'scheduled' FROM jit.requests WHERE id = $_[0]"); }
sub lapses
{
	my ($n, $why) = @_;
	ok(settled($n), 'it does not stay scheduled');
	is(super("SELECT status FROM jit.requests WHERE id = $n"), 'lapsed', 'lapsed');
	my $reason = super("SELECT detail ->> 'reason' FROM jit.events WHERE request_id = $n AND event = 'lapsed'");
	like($reason, $why, '... its event says why');
	unlike($reason, qr/applies/, '... and not that anything else applies');
	is(super("SELECT count(*) FROM jit.grants WHERE request_id = $n"), '0', 'nothing was given');
	return;
}
sub starts { my ($n) = @_; ok(settled($n), 'it does not stay scheduled'); return is(super("SELECT status FROM jit.requests WHERE id = $n"), 'active', 'it starts'); }

# ---- what the grantee was given meanwhile

attack 'more at one time than a policy of recent_grants lets start' => sub {
	my $who = $people[ $person++ ];
	my $start = super(q{SELECT clock_timestamp() + interval '2 s'});
	my @n = map { scalar as($who, "SELECT jit_request('SELECT ON hr.t$_', '1 hour', 'calm', start => '$start')") } 1 .. 3;
	settled($_) for @n;
	is(super('SELECT string_agg(status::text, $$ $$ ORDER BY status) FROM jit.requests WHERE id IN (' . join(',', @n) . ')'), 'active active lapsed', 'two start');
	like(super('SELECT detail ->> $$reason$$ FROM jit.events WHERE event = $$lapsed$$ AND request_id IN (' . join(',', @n) . ')'), qr/high risk now, by policy often/, 'the event says why');
};
sub asks { my ($who, $last) = @_; return as($who, join '; ', 'BEGIN', (map { "SELECT jit_request('SELECT ON hr.t$_', '1 hour', 'calm')" } 1 .. $last), 'COMMIT'); }
attack 'more in one transaction than a policy of recent_grants lets have' => sub {
	my $who = $people[ $person++ ];
	overtaken((asks($who, 3))[ 0, 1 ], undef, qr/high risk now, by policy often/);
	is(super("SELECT count(*) FROM jit.grants WHERE grantee = '$who'"), '0', 'nothing is given');
};
attack 'as many in one transaction as it lets have' => sub {
	my $who = $people[ $person++ ];
	asks($who, 2);
	is(super("SELECT count(*) FROM jit.grants WHERE grantee = '$who'"), '2', 'both are given');
};
attack 'more in two transactions that overlap' => sub {
	my $who = $people[ $person++ ];
	my ($one, $two) = map { session($node, $who, 'hr_prod') } 1, 2;
	$one->do("BEGIN; SELECT jit_request('SELECT ON hr.t1', '1 hour', 'calm')");
	$two->do("BEGIN; SELECT jit_request('SELECT ON hr.t2', '1 hour', 'calm'); SELECT jit_request('SELECT ON hr.t3', '1 hour', 'calm')");
	$one->do('COMMIT');
	overtaken(($two->do('COMMIT'))[ 0, 1 ], undef, qr/high risk now, by policy often/);
	$_->quit for $one, $two;
};

# ---- how long it may be

attack 'a window with until, and the flow allows less by now' => sub {
	my $n = scheduled(q{until => clock_timestamp() + interval '2 hours'});
	moderate("$flow, max_duration => '1 hour'");
	lapses($n, qr/could not be for so long now; at most 01:00:00 is allowed/);
	moderate($flow);
};
attack 'max_duration has been lowered' => sub {
	my $n = scheduled(q{duration => '2 hours'});
	super(q{ALTER SYSTEM SET jit_access.max_duration = '1h'});
	$node->reload;
	lapses($n, qr/could not be for so long now; at most 01:00:00 is allowed/);
	super('ALTER SYSTEM RESET jit_access.max_duration');
	$node->reload;
};
attack 'emergency_duration is lowered before the commit' => sub {
	my $s = session($node, 'd15', 'hr_prod');
	$s->do(q{BEGIN; SELECT jit_break_glass('SELECT ON hr.salary', '30 min', 'fire')});
	moderate("$flow, emergency_duration => '10 min'");
	overtaken(($s->do('COMMIT'))[ 0, 1 ], undef, qr/at most 00:10:00 is allowed/);
	$s->quit;
	moderate($flow);
};

# ---- whom the flow of now asks

attack 'the flow asks others by now, as many' => sub {
	my $n = scheduled(q{duration => '1 hour'});
	moderate(q{'[{"approver": "dba"}]'});
	lapses($n, qr/would need other approvals now: 1 approval by dba/);
	moderate($flow);
};
attack 'the flow takes nothing through gateways by now' => sub {
	my ($code) = as('bot', q{SELECT jit_offer_identity('slack:sam')});
	as('sam', "SELECT jit_link_identity('$code')");
	my $n = scheduled(q{duration => '1 hour'}, via => 1, in => '3 s');
	my $direct = scheduled(q{duration => '1 hour'}, in => '3 s');
	moderate(q{'[{"approver": "security", "direct": true}]'});
	lapses($n, qr/would need other approvals now: 1 approval by security, directly/);
	starts($direct);
	moderate($flow);
};
attack 'the flow asks for nobody by now, or for the same' => sub {
	my $n = scheduled(q{duration => '1 hour'});
	moderate(q{'[{"approver": "security"}]'});
	starts($n);
	$n = scheduled(q{duration => '1 hour'});
	moderate(q{'[]'});
	starts($n);
	moderate($flow);
};

# ---- ending it while its grantee has its row

attack 'jit_revoke while its grantee keeps the row locked' => sub {
	my $n = scheduled(q{duration => '1 hour'});
	my $who = super("SELECT grantee FROM jit.requests WHERE id = $n");
	my $s = session($node, $who, 'hr_prod');
	$s->do("BEGIN; SELECT jit_revoke($n)");
	my ($out, $err) = as('sam', "SELECT jit_revoke($n)");
	like($err, qr/ERROR:  55P03.*HINT:  Try again, or end all of its grantee's with jit_revoke_from\(\)/s, 'an error says what does not wait');
	super("SELECT jit_revoke_from('$who', 'panic')");
	$s->do('ROLLBACK');
	$s->quit;
	settled($n);
	is(super("SELECT status FROM jit.requests WHERE id = $n"), 'revoked', 'and that ends it');
};

all_attacks_done();
$node->stop;
done_testing();
