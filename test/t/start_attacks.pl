# Starting later, and what happens until then: access that was approved for a
# time to come is judged anew when that has come, as if the last approval came
# then, and doesn't start if anything stands in the way.
#
# Alone: what starts has to within a second.
#
# The attacks are lines of attacks.md.  Guards request/request.c (schedule,
# start), request/filing.c (start) and worker/sweeper.c (what starts).
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;
use Time::HiRes ();

my $node = new_server('later', "jit_access.admin_role = 'admins'\njit_access.gateway_logins = 'bot'\njit_access.max_active = 3\nlog_line_prefix = '%m '\n");
create_hr($node);
my @people = map { "d$_" } 1 .. 40;
$node->safe_psql('hr_prod', join ";\n", (map { "CREATE ROLE $_ LOGIN" } @people, qw(ben sam leaver paul root bot)), q{
	ALTER ROLE root SUPERUSER;
	CREATE ROLE admins; GRANT admins TO paul;
	CREATE ROLE oncall; GRANT oncall TO d1;
	CREATE ROLE security; GRANT security TO sam, ben, leaver;
	CREATE ROLE reader1; CREATE ROLE reader2; CREATE ROLE reader3;
	GRANT reader1, reader2, reader3 TO anna WITH ADMIN OPTION;
	GRANT hr_owner TO leaver;
	GRANT USAGE ON SCHEMA hr TO PUBLIC;
	SET ROLE hr_owner;
	CREATE TABLE hr.gone (a int, b int); CREATE TABLE hr.part (a int, b int); CREATE TABLE hr.locked (a int); CREATE TABLE hr.own (a int);
	RESET ROLE;
	SELECT jit_set_policy('calm', 'low', '$.reason == "calm"');
	SELECT jit_set_flow('low', '[]');
	SELECT jit_set_policy('secure', 'high', '$.reason == "secure"');
	SELECT jit_set_flow('high', '[{"approver": "security", "direct": false}]');
});
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION jit_access');
sub super { return $node->safe_psql($_[1] // 'hr_prod', $_[0]); }
sub as { my ($who, $sql) = @_; return sql($node, $who, $sql, 'hr_prod'); }

# Files as $who, and returns the number.
sub asked
{
	my ($who, $access, $start, %with) = @_;
	my $reason = $with{reason} // 'x';
	my ($out, $err) = as($who, "SELECT jit_request('$access', '" . ($with{for} // '1 hour') . "', '$reason', start => '$start'"
		. ($with{grantee} ? ", grantee => '$with{grantee}'" : '') . ')');
	die "$who: $err" unless $out =~ /^\d+$/;
	return $out;
}
sub scheduled
{
	my ($who, $access, $start, %with) = @_;
	my $n = asked($who, $access, $start, %with);
	my $by = $with{by} // 'anna';
	return $n if ($with{reason} // '') eq 'calm';
	my ($out, $err) = as($by, "SELECT jit_approve($n)");
	die "$by: $err" unless $out eq 'scheduled';
	return $n;
}
sub status { return super("SELECT status FROM jit.requests WHERE id = $_[0]"); }
sub reason_of { return super("SELECT detail ->> 'reason' FROM jit.events WHERE request_id = $_[0] AND event IN ('lapsed', 'revoked') ORDER BY id DESC LIMIT 1"); }
sub ahead { return super("SELECT clock_timestamp() + interval '$_[0]'"); }
sub settled { return $node->poll_query_until('hr_prod', "SELECT status <> 'scheduled' FROM jit.requests WHERE id = $_[0]"); }

# It has come to that, gives nothing, and never did; the event says why.
sub never
{
	my ($n, $status, $why) = @_;
	ok(settled($n), 'it does not stay scheduled');
	is(status($n), $status, "it is $status");
	like(reason_of($n) , $why, '... and its event says why') if $why;
	is(super("SELECT count(*) FROM pg_roles WHERE rolname ~ '^jit_grant_.*_$n\$'"), '0', '... nothing was given');
	is(super("SELECT count(*) FROM jit.events WHERE request_id = $n AND event = 'activated'"), '0', '... nor is it on record as given');
	is(super("SELECT count(*) FROM jit.schedule WHERE request_id = $n"), '0', '... nothing of it is left');
	return;
}
sub starts
{
	my ($n) = @_;
	ok($node->poll_query_until('hr_prod', "SELECT status = 'active' FROM jit.requests WHERE id = $n"), 'it starts') or diag(status($n) . ' ' . reason_of($n));
	is(super("SELECT activated_at - start BETWEEN interval '0' AND interval '1 s' AND expires_at = start + duration FROM jit.requests WHERE id = $n"), 't', '... within a second, and ends when it was said to');
	return;
}
my $salary = 'SELECT ON hr.salary';

# ---- what may be asked for

sub refused
{
	my ($sql, $code, $message, $who) = @_;
	my ($out, $err) = as($who // 'd1', $sql);
	is($out, '', 'nothing is filed');
	return like($err, qr/ERROR:  $code: .*$message/s, 'it says why');
}
attack 'a start in the past' => sub { refused("SELECT jit_request('$salary', '1 hour', 'x', start => now() - interval '1 s')", 22023, 'start is in the past.*leave it out'); };
attack 'a start of now' => sub { refused("SELECT jit_request('$salary', '1 hour', 'x', start => now())", 22023, 'start is in the past'); };
attack 'a start that is infinite' => sub {
	refused("SELECT jit_request('$salary', '1 hour', 'x', start => '$_')", 22023, 'start must not be infinite') for qw(infinity -infinity);
};
attack 'a start further ahead than max_ahead' => sub {
	refused("SELECT jit_request('$salary', '1 hour', 'x', start => now() + interval '8 days')", 22023, 'so far ahead.*max_ahead is 168:00:00');
	refused("SELECT jit_grant('$salary', 'd1', '1 hour', 'x', start => now() + interval '8 days')", 22023, 'so far ahead', 'anna');
};
attack 'an until that is not after the start' => sub {
	refused("SELECT jit_request('$salary', reason => 'x', start => now() + interval '1 hour', until => now() + interval '1 hour')", 22023, 'until is not after start');
};
attack 'a window that is longer than max_duration' => sub {
	refused("SELECT jit_request('$salary', reason => 'x', start => now() + interval '6 days', until => now() + interval '14 days')", 22023, 'for so long');
};
attack 'a dry run of a start' => sub {
	my ($out) = as('d1', "SELECT * FROM jit_explain('$salary', '1 hour', 'x', start => now() + interval '8 days')");
	like($out, qr/^  from .* until /m, 'from when to when');
	like($out, qr/access cannot be requested so far ahead/, '... and what is in the way');
	like($out, qr/^  start: "20.*\n  start_weekday: \d\n  start_hour: \d/m, '... and facts of the start');
};
my $tomorrow = ahead('1 day');
attack 'decisions on what is scheduled' => sub {
	my $n = scheduled('d1', $salary, $tomorrow);
	refused("SELECT jit_approve($n)", 55000, 'scheduled, not pending.*jit_revoke', 'anna');
	refused("SELECT jit_reject($n, 'no')", 55000, 'scheduled, not pending.*jit_revoke', 'anna');
	refused("SELECT jit_cancel($n)", 55000, 'scheduled, not pending.*jit_revoke');
	refused("SELECT jit_extend($n)", 55000, 'is scheduled, and starts at.*jit_revoke');
	refused("SELECT jit_request('$salary', '1 hour', 'x', start => '$tomorrow')", 42710, 'is scheduled.*It starts at');
	refused("SELECT jit_revoke($n)", 42501, 'does not concern you', 'd2');
	is(status($n), 'scheduled', 'it stays scheduled');
	is(scalar as('d1', "SELECT jit_revoke($n)"), 'revoked', 'its grantee ends it');
};
attack 'a window that has begun is active at once, for what is left' => sub {
	my $n = asked('d1', $salary, ahead('1 s'));
	super('SELECT pg_sleep(1.1)');
	my ($out, $err) = as('anna', "SELECT jit_approve($n)");
	is($out, 'active', 'approved after its start');
	is(super("SELECT expires_at = start + interval '1 hour' AND activated_at > start FROM jit.requests WHERE id = $n"), 't', '... its deadline does not move');
	super("SELECT jit_revoke($n)");
};
attack 'a window that has passed before it was approved lapses' => sub {
	my $n = asked('d1', $salary, ahead('1 s'), for => '1 s');
	super('SELECT pg_sleep(2)');
	refused("SELECT jit_approve($n)", 55000, 'lapsed, not pending', 'anna');
	ok($node->poll_query_until('hr_prod', "SELECT status = 'lapsed' FROM jit.requests WHERE id = $n"), 'lapsed');
};
attack 'an approver shortens it, from its start on' => sub {
	my $n = asked('d1', $salary, $tomorrow);
	as('anna', "SELECT jit_approve($n, duration => '10 min')");
	is(super("SELECT lapses_at = start + interval '10 min' FROM jit.requests WHERE id = $n"), 't', 'the window is as long');
	is(super("SELECT (detail ->> 'expires_at')::timestamptz = start + interval '10 min' FROM jit.events e JOIN jit.requests r ON r.id = request_id WHERE r.id = $n AND event = 'scheduled'"), 't', 'the event has its end');
	super("SELECT jit_revoke($n)");
};
attack 'what is scheduled is shown to whom it concerns' => sub {
	my $n = asked('d2', $salary, $tomorrow);
	like(scalar as('anna', "SELECT duration FROM jit.inbox WHERE request = $n"), qr/01:00:00\nfrom\n\d\d \w+\n\d\d:\d\d:\d\d/, 'approvers see from when');
	is(scalar as('anna', "SELECT start = '$tomorrow' FROM jit.pending WHERE request = $n"), 't', '... programs, too');
	as('anna', "SELECT jit_approve($n)");
	foreach my $who (qw(d2 anna paul))
	{
		is(scalar as($who, "SELECT request FROM jit.scheduled WHERE request = $n"), $n, "$who sees it in jit.scheduled");
		like(scalar as($who, "SELECT * FROM jit_show($n)"), qr/^  scheduled; it starts at .*, and ends at /m, '... and in jit_show()');
	}
	is(scalar as('d3', "SELECT count(*) FROM jit.scheduled"), '0', 'd3 does not');
	is(scalar as('d2', "SELECT status FROM jit.my_requests WHERE request = $n"), 'scheduled', 'jit.my_requests says so');
	is(scalar as('d2', "SELECT count(*) FROM jit.my_access"), '0', '... it gives nothing');
	is(scalar as('anna', "SELECT count(*) FROM jit.history WHERE request = $n"), '0', '... and is no access that there was');
	like((as('d2', 'SELECT * FROM hr.salary'))[1], qr/ERROR:  42501.*HINT:  Request $n for it is scheduled: it starts at .*Request access: SELECT jit_request/s, 'a denial says so');
	is(scalar as('anna', "SELECT jit_revoke($n, 'not needed')"), 'revoked', 'who approved it ends it');
	is(scalar as('d2', "SELECT status || comment FROM jit.refused WHERE request = $n"), 'revokednot needed', '... and jit.refused says so');
	super("SELECT jit_revoke($_)") for split /\n/, super(q{SELECT id FROM jit.requests WHERE status = 'scheduled'});
};
attack 'more of them than max_active allows' => sub {
	scheduled('d3', $salary, ahead("1 day $_ min"), for => '30 s') for 1 .. 3;
	refused("SELECT jit_request('$salary', '1 hour', 'x', start => now() + interval '2 days')", 54000, 'd3 has 0 live and 3 scheduled grants.*jit.scheduled', 'd3');
	refused("SELECT jit_request('$salary', '1 hour', 'x')", 54000, '3 scheduled grants', 'd3');
	super(q{SELECT jit_revoke_from('d3', 'test')});
	is(super(q{SELECT count(*) FROM jit.requests WHERE status = 'scheduled' AND grantee = 'd3'}), '0', 'jit_revoke_from() ends them');
};
attack 'a start through a gateway' => sub {
	my ($code) = as('bot', q{SELECT jit_offer_identity('slack:d4')});
	as('d4', "SELECT jit_link_identity('$code')");
	($code) = as('bot', q{SELECT jit_offer_identity('slack:anna')});
	as('anna', "SELECT jit_link_identity('$code')");
	my ($n, $err) = as('bot', "BEGIN; SELECT jit_act_for('slack:d4'); SELECT jit_request('$salary', '1 hour', 'x', start => '$tomorrow'); COMMIT");
	$n =~ s/.*\n//s;
	like($n, qr/^\d+$/, 'it is filed') or diag $err;
	like((as('bot', "BEGIN; SELECT jit_act_for('slack:anna'); SELECT jit_approve($n); COMMIT"))[0], qr/scheduled/, 'and approved');
	like((as('bot', "BEGIN; SELECT jit_act_for('slack:d4'); SELECT jit_revoke($n); COMMIT"))[0], qr/revoked/, 'and ended');
};
attack 'nothing works before the start, also in the transaction that scheduled it' => sub {
	my ($out, $err) = as('d5', "BEGIN; SELECT jit_request('$salary', '1 hour', 'calm', start => '$tomorrow'); SELECT * FROM hr.salary; COMMIT");
	like($err, qr/ERROR:  42501/, 'denied');
	is(super(q{SELECT count(*) FROM jit.requests WHERE grantee = 'd5'}), '0', 'and gone with the transaction');
};

# ---- judged when it is to start: all at one time

# moved when all of that is done, however busy the machine is
my $start = $tomorrow;
my %n;
$n{control} = scheduled('d1', $salary, $start);
$n{calm} = scheduled('d2', $salary, $start, reason => 'calm');
$n{table} = scheduled('d6', 'SELECT ON hr.gone', $start);
$n{column} = scheduled('d7', 'SELECT (b) ON hr.part', $start);
$n{owner} = scheduled('d8', 'reader1', $start);
$n{createrole} = scheduled('d9', 'reader2', $start);
$n{superrole} = scheduled('d10', 'reader3', $start);
$n{dropped} = scheduled('d11', $salary, $start);
$n{superuser} = scheduled('d12', $salary, $start);
$n{left} = scheduled('d13', $salary, $start, reason => 'secure', by => 'sam');
$n{approver_gone} = scheduled('d14', $salary, $start, by => 'leaver');
$n{party} = scheduled('d1', $salary, $start, grantee => 'oncall', reason => 'secure', by => 'ben');
$n{nologin} = scheduled('d16', $salary, $start, by => 'anna');
$n{demoted} = scheduled('d17', 'EXECUTE ON FUNCTION pg_catalog.pg_read_file(text)', $start, by => 'root');
$n{forbidden} = scheduled('d18', $salary, $start);
$n{riskier} = scheduled('d19', $salary, $start);
$n{calm_forbidden} = scheduled('d20', $salary, $start, reason => 'calm');
$n{"revoked_by_$_->[0]"} = scheduled($_->[1], $salary, $start) foreach [ anna => 'd21' ], [ d22 => 'd22' ], [ paul => 'd23' ];
$n{revoked_from} = scheduled('d24', $salary, $start);
$n{rolled_back} = scheduled('d25', $salary, $start);
$n{locked} = scheduled('d26', 'SELECT ON hr.locked', $start);
$n{row} = scheduled('d27', $salary, $start);
$n{role_taken} = scheduled('d28', $salary, $start);
$n{"many$_"} = scheduled('d29', ($salary, 'SELECT ON hr.own', 'INSERT ON hr.own')[$_], $start) for 0 .. 2;
$n{until} = asked('d30', $salary, $start);

super(q{
	DROP TABLE hr.gone; ALTER TABLE hr.part DROP COLUMN b;
	CREATE TABLE hr.r (a int); ALTER TABLE hr.r OWNER TO reader1; ALTER ROLE reader2 CREATEROLE; ALTER ROLE reader3 SUPERUSER;
	DROP ROLE d11; ALTER ROLE d12 SUPERUSER;
	REVOKE security FROM sam; DROP ROLE leaver; GRANT oncall TO ben;
	ALTER ROLE root NOSUPERUSER;
	SELECT jit_set_policy('no_d18', 'forbidden', '$.grantee == "d18" || $.grantee == "d20"');
	SELECT jit_set_policy('more_d19', 'high', '$.grantee == "d19"');
});
like(scalar as('anna', "SELECT jit_revoke($n{revoked_by_anna}, 'no')"), qr/^revoked$/, 'ended by who approved it');
like(scalar as('d22', "SELECT jit_revoke($n{revoked_by_d22})"), qr/^revoked$/, '... by its grantee');
like(scalar as('paul', "SELECT jit_revoke($n{revoked_by_paul})"), qr/^revoked$/, '... by an administrator');
super(q{SELECT jit_revoke_from('d24', 'panic')});
super("BEGIN; SELECT jit_revoke($n{rolled_back}); ROLLBACK");
super(sprintf 'CREATE ROLE jit_grant_%s_%d', super('SELECT oid FROM pg_database WHERE datname = current_database()'), $n{role_taken});
my $soon = ahead('3 s');
super("UPDATE jit.requests SET start = '$soon', lapses_at = '$soon'::timestamptz + (lapses_at - start) WHERE start = '$start' AND status = 'scheduled'");
my $locker = session($node, 'anna', 'hr_prod');
$locker->do('BEGIN; LOCK TABLE hr.locked IN ACCESS EXCLUSIVE MODE');
my $holder = session($node, 'd27', 'hr_prod');
$holder->do("BEGIN; SELECT jit_revoke($n{row})");
# a sweeper comes, and finds when the next is due
$node->append_conf('postgresql.conf', "jit_access.max_active = 2\njit_access.warn_before = '4min'");
$node->reload;
ok(super("SELECT clock_timestamp() < '$soon'") eq 't', 'all of that was in time');
ok($node->poll_query_until('hr_prod', "SELECT clock_timestamp() > '$soon'"), 'the start has come');

attack 'what nothing stands in the way of starts by itself' => sub { starts($n{control}); is(scalar as('d1', 'SELECT count(*) FROM hr.salary'), '100', 'it works'); };
attack 'what needed nobody starts by itself' => sub { starts($n{calm}); };
attack 'the table has been dropped' => sub { never($n{table}, 'lapsed', qr/table hr.gone.*has been dropped/); };
attack 'the column has been dropped' => sub { never($n{column}, 'lapsed', qr/column b of .*hr.part.*has been dropped/); };
attack 'the role has become an owner' => sub { never($n{owner}, 'lapsed', qr/superuser/); };
attack 'the role has got CREATEROLE' => sub { never($n{createrole}, 'lapsed', qr/superuser/); };
attack 'the role has become a superuser' => sub { never($n{superrole}, 'lapsed', qr/superuser/); };
attack 'the grantee has been dropped' => sub { never($n{dropped}, 'lapsed', qr/role d11, which it is for, has been dropped/); };
attack 'the grantee has become a superuser' => sub { never($n{superuser}, 'lapsed', qr/d12 is a superuser/); };
attack 'the approver has left the role that the flow names' => sub { never($n{left}, 'lapsed', qr/1 approval by security.*sam/s); };
attack 'the approver has been dropped' => sub { never($n{approver_gone}, 'lapsed', qr/leaver.*has been dropped/s); };
attack 'the approver has become a party' => sub { never($n{party}, 'lapsed', qr/ben.*has become a party/s); };
attack 'the approver is a superuser no more' => sub { never($n{demoted}, 'lapsed', qr/approval by role root does not count any more/); };
attack 'a policy forbids it by now' => sub { never($n{forbidden}, 'lapsed', qr/policies and flows have changed.*forbidden risk now, by policy no_d18/s); };
attack 'a policy makes it a higher risk by now' => sub { never($n{riskier}, 'lapsed', qr/high risk now, by policy more_d19/); };
attack 'a policy forbids by now what needed nobody' => sub { never($n{calm_forbidden}, 'lapsed', qr/policy no_d18/); };
attack 'jit_revoke by its approver before the start' => sub { never($n{revoked_by_anna}, 'revoked', qr/^no$/); };
attack 'jit_revoke by its grantee before the start' => sub { never($n{revoked_by_d22}, 'revoked'); };
attack 'jit_revoke by an administrator before the start' => sub { never($n{revoked_by_paul}, 'revoked'); };
attack 'jit_revoke_from before the start' => sub { never($n{revoked_from}, 'revoked', qr/panic/); };
attack 'jit_revoke that is rolled back' => sub { starts($n{rolled_back}); };
attack 'the name of its grant role is taken' => sub {
	ok(settled($n{role_taken}), 'it does not stay scheduled');
	is(status($n{role_taken}), 'lapsed', 'lapsed');
	like(reason_of($n{role_taken}), qr/exists already/, 'its event says why');
	is(super(q{SELECT count(*) FROM pg_auth_members WHERE member = 'd28'::regrole}), '0', 'nothing is given'); };
attack 'max_active has been lowered' => sub {
	ok(settled($n{"many$_"}), 'it does not stay scheduled') for 0 .. 2;
	is(super("SELECT string_agg(status::text, ' ' ORDER BY status) FROM jit.requests WHERE id IN (" . join(',', map { $n{"many$_"} } 0 .. 2) . ')'), 'active active lapsed', 'one of three has no room');
};
attack 'what is locked starts when it is free, and holds up no other' => sub {
	is(status($n{locked}), 'scheduled', 'it waits');
	$locker->do('COMMIT');
	ok($node->poll_query_until('hr_prod', "SELECT status = 'active' FROM jit.requests WHERE id = $n{locked}"), 'it starts');
	is(super("SELECT expires_at = start + duration FROM jit.requests WHERE id = $n{locked}"), 't', '... for what is left');
};
attack 'a row that its grantee keeps locked does not start' => sub {
	is(status($n{row}), 'scheduled', 'it waits');
	super(q{SELECT jit_revoke_from('d27', 'panic')});
	$holder->do('ROLLBACK');
	ok($node->poll_query_until('hr_prod', "SELECT status <> 'scheduled' FROM jit.requests WHERE id = $n{row}"), 'it goes on');
	never($n{row}, 'revoked', qr/all access was revoked/);
};
attack 'the login of the approver may not log in any more' => sub {
	starts($n{nologin});
	my $n = scheduled('d31', $salary, ahead('1 s'));
	super('ALTER ROLE anna NOLOGIN');
	never($n, 'lapsed', qr/anna.*may not log in/s);
	super('ALTER ROLE anna LOGIN');
};
attack 'the flow asks for more by now' => sub {
	my $n = scheduled('d32', $salary, ahead('1 s'));
	super(q{SELECT jit_set_flow('moderate', '[{"approver": "@grantor", "approvals": 2}]')});
	never($n, 'lapsed', qr/more approvals now/);
	super(q{SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]')});
};
attack 'the flow allows less time by now' => sub {
	my $n = scheduled('d33', $salary, ahead('1 s'));
	super(q{SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]', max_duration => '10 min')});
	never($n, 'lapsed', qr/for so long now/);
	super(q{SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]')});
};
attack 'what policies have overtaken is not scheduled' => sub {
	my $n = asked('d34', $salary, $tomorrow);
	super(q{SELECT jit_set_policy('no_d34', 'forbidden', '$.grantee == "d34"')});
	refused("SELECT jit_approve($n)", 55000, 'cannot be scheduled: policies or flows have changed.*no_d34', 'anna');
	is(status($n), 'pending', 'it stays pending');
};

# ---- panic buttons

attack 'jit_revoke_all before the start' => sub {
	my $n = scheduled('d35', $salary, ahead('2 s'));
	super(q{SELECT jit_revoke_all('panic')});
	never($n, 'revoked', qr/panic/);
};
attack 'jit_revoke_all in another database before the start' => sub {
	my $n = scheduled('d35', $salary, $tomorrow);
	super(q{SELECT jit_revoke_all('panic')}, 'other');
	never($n, 'revoked', qr/all access was revoked/);
};
attack 'jit_revoke_from in another database before the start' => sub {
	my $n = scheduled('d35', $salary, $tomorrow);
	my $m = scheduled('d36', $salary, $tomorrow);
	super(q{SELECT jit_revoke_from('d35', 'panic')}, 'other');
	never($n, 'revoked', qr/all access was revoked/);
	is(status($m), 'scheduled', "another's stays");
};
attack 'jit_revoke_all between the approval and its commit' => sub {
	my $n = asked('d37', $salary, $tomorrow);
	my $s = session($node, 'anna', 'hr_prod');
	$s->do("BEGIN; SELECT jit_approve($n)");
	super(q{SELECT jit_revoke_all('panic')}, 'other');
	$s->do('COMMIT');
	$s->quit;
	never($n, 'revoked', qr/all access was revoked/);
};
attack 'a panic button before the approval' => sub {
	my $n = asked('d37', $salary, ahead('2 s'));
	super(q{SELECT jit_revoke_all('panic')}, 'other');
	as('anna', "SELECT jit_approve($n)");
	starts($n);
};

$_->quit for $locker, $holder;
all_attacks_done();
$node->stop;
done_testing();
