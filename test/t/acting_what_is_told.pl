# Whom a request doesn't concern learns nothing of it by trying to decide on
# it; and who asks or grants says why.
#
# The attacks are lines of attacks.md.  Seen to fail with jit_require_reason()
# left out; with check_concerned() left out, with the call of it after the state
# was looked at, with its try taken out, and without the owners of then.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('told', 'jit_access.max_pending = 100');
create_hr($node);
my $super = getpwuid($<) . '';

sub super { return $node->safe_psql('hr_prod', $_[0]); }
sub as { my ($out, $err) = sql($node, $_[0], $_[1], 'hr_prod'); return ($out, $err); }

super(q{CREATE ROLE oncall; GRANT oncall TO dev; GRANT USAGE ON SCHEMA hr TO oncall, eve; SET ROLE hr_owner; CREATE TABLE hr."it's ""odd""; really" AS SELECT 1 AS x});

# ---- a reason

my $requests = 'SELECT count(*) FROM jit.requests';

# Refused, nothing is filed, and what the HINT says can be pasted, which it is;
# returns the row of that request.
sub asks_why
{
	my ($user, $call, $hint, $error) = @_;
	my $before = super($requests);
	$error //= 'reason is missing\n';
	my ($out, $err) = as($user, "SELECT $call");
	is($out, '', "$call returns nothing");
	like($err, qr/^psql:<stdin>:1: ERROR:  22004: $error/, '... and says what is missing');
	my ($paste) = $err =~ /^HINT:  Such as: (SELECT .*;)$/m;
	is($paste, "SELECT $hint;", '... with a call that says why');
	is(super($requests), $before, '... and nothing is filed');
	($out, $err) = as($user, $paste);
	like($out, qr/^\d+$/, '... which can be pasted') or diag($err);
	return super("SELECT access, duration, until, ticket, grantee, reason FROM jit.requests WHERE id = $out");
}

attack 'a reason that is left out' => sub {
	is(asks_why('dev', q{jit_request('SELECT ON hr.salary', '1 hour')}, q{jit_request('SELECT ON hr.salary', '01:00:00', 'why you need it')}),
		'SELECT ON hr.salary|01:00:00|||dev|why you need it', 'the same request');
};
attack 'a reason that is null' => sub {
	asks_why('dev', q{jit_request('SELECT ON hr.salary', '90 min', NULL)}, q{jit_request('SELECT ON hr.salary', '01:30:00', 'why you need it')});
	my ($out, $err) = as('dev', q{SELECT jit_request('SELECT ON hr.salary', '90 min', '')});
	like($err, qr/ERROR:  22023: reason must not be empty/, 'an empty one is refused as before');
};
attack 'a reason that is left out, with neither duration nor until' => sub {
	asks_why('dev', q{jit_request('UPDATE ON hr.salary')}, q{jit_request('UPDATE ON hr.salary', '01:00:00', 'why you need it')},
		qr/this is not what a request of \w+ risk needs\nDETAIL:  Give a duration .*\nEvery request needs a reason\.\n/);
};
attack 'a reason that is left out, with a point in time' => sub {
	my $until = super(q{SELECT date_trunc('second', now() + '2 hours')});
	like(asks_why('dev', "jit_request('DELETE ON hr.salary', until => '$until')", "jit_request('DELETE ON hr.salary', until => '$until', reason => 'why you need it')"),
		qr/\|\|\Q$until\E\|/, 'until the same time');
};
attack 'a reason that is left out, with a ticket, for a group' => sub {
	like(asks_why('dev', q{jit_request('SELECT ON hr.salary', '1 hour', ticket => 'INC-1''1', grantee => 'oncall')},
		q{jit_request('SELECT ON hr.salary', '01:00:00', 'why you need it', ticket => 'INC-1''1', grantee => 'oncall')}),
		qr/\|INC-1'1\|oncall\|/, 'for the group, not for dev');
};
attack 'a reason that is left out, of an odd name' => sub {
	my $access = q{'SELECT ON hr."it''s ""odd""; really"'};
	asks_why('dev', "jit_request($access, '1 hour')", "jit_request($access, '01:00:00', 'why you need it')");
};
attack 'a reason that is left out by who grants' => sub {
	is(asks_why('anna', q{jit_grant('INSERT ON hr.salary', 'eve', '1 hour')}, q{jit_grant('INSERT ON hr.salary', 'eve', '01:00:00', 'why they need it')}),
		'INSERT ON hr.salary|01:00:00|||eve|why they need it', 'the same grant');
};
attack 'a reason that is null, of who grants until a time' => sub {
	my $until = super(q{SELECT date_trunc('second', now() + '2 hours')});
	asks_why('anna', "jit_grant('UPDATE ON hr.salary', 'eve', NULL, NULL, '$until', 'INC-2')",
		"jit_grant('UPDATE ON hr.salary', 'eve', until => '$until', reason => 'why they need it', ticket => 'INC-2')");
};
attack 'a reason that is left out where nobody needs to agree' => sub {
	super(q{SET client_min_messages = error; SELECT jit_set_policy('free', 'low', '$.ticket == "free"'), jit_set_flow('low', '[]')});
	asks_why('eve', q{jit_request('SELECT ON hr.salary', '1 hour', ticket => 'free')}, q{jit_request('SELECT ON hr.salary', '01:00:00', 'why you need it', ticket => 'free')});
};
attack 'a reason that is left out of a dry run' => sub {
	my $explain = q{SELECT string_agg(btrim(l), '; ') FILTER (WHERE l ~ '[Rr]eason (is missing|must match the)') FROM jit_explain('SELECT ON hr.salary', '2 hours', ticket => '%s') l};
	is((as('dev', sprintf($explain, 'x')))[0], 'reason is missing', 'it goes on, and says what is missing');
	super(q{SET client_min_messages = error; SELECT jit_set_flow('low', '[]', reason_pattern => '^INC')});
	is((as('dev', sprintf($explain, 'free')))[0], 'reason is missing; The reason must match the pattern "^INC".', '... and which pattern it had to match');
	super(q{SET client_min_messages = error; SELECT jit_set_flow('low', '[]')});
};
attack 'a reason that is taken away afterwards' => sub {
	like((as($super, 'UPDATE jit.requests SET reason = NULL'))[1], qr/ERROR:  23502: /, 'the ledger has none without');
};

# ---- whom it doesn't concern

super(q{CREATE ROLE carl LOGIN; CREATE ROLE auditors; CREATE ROLE olga LOGIN; GRANT auditors TO olga; CREATE ROLE adam LOGIN; CREATE ROLE security; CREATE ROLE sue LOGIN;
	GRANT security TO sue; GRANT oncall TO carl; GRANT USAGE ON SCHEMA hr TO carl});
super(qq{ALTER DATABASE hr_prod SET jit_access.auditor_role = 'auditors'; ALTER DATABASE hr_prod SET jit_access.admin_role = 'adam'});
super(q{SET client_min_messages = error; SELECT jit_set_flow('high', '[{"approver": "@grantor"}, {"approver": "security"}]'), jit_set_policy('two', 'high', '$.ticket == "two"')});

my %call = (approve => 'jit_approve(%d)', reject => q{jit_reject(%d, 'no')}, revoke => 'jit_revoke(%d)', cancel => 'jit_cancel(%d)');

sub asked
{
	my ($more, $access) = @_;
	my ($out, $err) = as('dev', "SELECT jit_request('" . ($access // 'SELECT ON hr.salary') . "', '" . longer() . "', 'x'" . ($more // '') . ')');
	die $err unless $out =~ /^\d+$/;
	return $out;
}

# Every call of eve's says the same of this request, in one transaction or not,
# and the functions of the views nothing.
sub tells_nothing
{
	my ($n, $user, $before) = @_;
	$user //= 'eve';
	foreach my $verb (sort keys %call)
	{
		my ($out, $err) = as($user, ($before // '') . 'SELECT ' . sprintf($call{$verb}, $n));
		$err =~ s/^(psql:<stdin>:\d+: |LOCATION: .*\n?)//mg;
		is($err, "ERROR:  42501: you cannot $verb request $n in hr_prod\nDETAIL:  It does not concern you.\n", "$user learns nothing: $verb");
	}
	is_deeply([ as($user, ($before // '') . "SELECT jit.progress($n) IS NULL, jit.to_approve($n) IS NULL, jit.may_revoke($n)") ], [ 't|t|f', '' ], '... nor through what views call');
	return;
}

# What somebody whom it does concern is told
sub tells
{
	my ($user, $call, $what, $name) = @_;
	like((as($user, "SELECT $call"))[1], $what, "$user: $name");
	return;
}
my $for_you = qr/DETAIL:  The approval that is needed now is by anyone who could grant it\./;

attack 'a stranger, and a request that is pending' => sub {
	my $n = asked();
	tells_nothing($n);
	tells('dev', "jit_approve($n)", qr/DETAIL:  It is for you \(role dev\)\./, 'whose request it is');
	tells('anna', "jit_approve($n)", qr/NOTICE:  00000: dev has SELECT ON hr\.salary/, 'who may');
};
attack 'a stranger, and a request that is active' => sub {
	my $n = asked();
	as('anna', "SELECT jit_approve($n)");
	tells_nothing($n);
	tells('anna', "jit_approve($n)", qr/ERROR:  55000: request $n in hr_prod is active, not pending/, 'who could');
	tells('dev', "jit_cancel($n)", qr/ERROR:  55000: request $n in hr_prod is active, not pending/, 'whose it is');
};
attack 'a stranger, and a request that is rejected' => sub {
	my $n = asked();
	as('anna', "SELECT jit_reject($n, 'no')");
	tells_nothing($n);
	tells('anna', "jit_reject($n, 'no')", qr/ERROR:  55000: request $n in hr_prod is rejected, not pending/, 'who has');
};
attack 'a stranger, and a request that is canceled' => sub {
	my $n = asked();
	as('dev', "SELECT jit_cancel($n)");
	tells_nothing($n);
	tells('dev', "jit_cancel($n)", qr/ERROR:  55000: .* is canceled, not pending/, 'who has');
};
attack 'a stranger, and a request that has lapsed' => sub {
	my $n = asked();
	super("UPDATE jit.requests SET lapses_at = now() WHERE id = $n");
	tells_nothing($n);
	tells('anna', "jit_approve($n)", qr/ERROR:  55000: .* is lapsed, not pending/, 'who could');
};
attack 'a stranger, and a request that is revoked, or has expired' => sub {
	foreach my $end ('SELECT jit_revoke(%d)', "UPDATE jit.requests SET expires_at = now(), status = 'expired', ended_at = now() WHERE id = %d")
	{
		my $n = asked();
		as('anna', "SELECT jit_approve($n)");
		super(sprintf($end, $n));
		tells_nothing($n);
		tells('anna', "jit_revoke($n)", qr/ERROR:  55000: .* is (revoked|expired), not active/, 'who could');
	}
};
attack 'a stranger, and a request for what has been dropped' => sub {
	super('SET ROLE hr_owner; CREATE TABLE hr.gone (); CREATE TABLE hr.half ()');
	my ($n, $half) = (asked(undef, 'SELECT ON hr.gone'), asked(undef, 'SELECT ON hr.gone, hr.half'));
	# or they lapse
	stop_launcher($node);
	super('DROP TABLE hr.gone');
	tells_nothing($_) foreach $n, $half;
	tells('anna', "jit_approve($_)", qr/ERROR:  42704: table hr\.gone, which request $_ in hr_prod is for, has been dropped/, 'whose it was') foreach $n, $half;
	tells('dev', "jit_approve($n)", qr/has been dropped/, 'whose request it is');
	tells($super, "jit_reject($n, 'x')", qr/is rejected/, 'an administrator');
	continue_launcher();
};
attack 'a stranger, and a request whose grantee has been dropped' => sub {
	super('CREATE ROLE passing; GRANT passing TO dev');
	my $n = asked(q{, grantee => 'passing'});
	stop_launcher($node);
	super('DROP ROLE passing');
	tells_nothing($n);
	tells('anna', "jit_approve($n)", qr/ERROR:  42704: role passing, which request $n in hr_prod is for, does not exist any more/, 'who could');
	continue_launcher();
};
attack 'a stranger, and a request from another cluster whose object is not there' => sub {
	my $n = asked();
	super("UPDATE jit.requests SET origin = '4711/5' WHERE id = $n; UPDATE jit.request_items SET address_names = '{hr,nowhere}', objid = 4711 WHERE request_id = $n AND NOT added");
	tells_nothing($n);
	tells('dev', "jit_approve($n)", qr/hr\.nowhere/, 'whose request it is');
	tells('anna', "jit_approve($n)", qr/hr\.nowhere/, 'whose it was');
};
attack 'a stranger, and a request that is broken' => sub {
	my $n = asked();
	super(qq{UPDATE jit.requests SET flow = '[{"approver": 1}]' WHERE id = $n});
	tells_nothing($n);
	tells('anna', "jit_approve($n)", qr/ERROR:  XX000: invalid approval step/, 'whose it was');
};
attack 'a stranger, through temporary access of who could' => sub {
	my $n = asked();
	super(q{SET client_min_messages = error; SELECT jit_grant('hr_owner', 'eve', '1 hour', 'x')});
	unlike((as('eve', "SET ROLE hr_owner; SELECT jit_approve($n)"))[1], qr/pending|needed|by anyone/, 'neither does it concern them');
	like((as('eve', "SET ROLE hr_owner; SELECT jit_approve($n)"))[1], qr/ERROR:  42501: /, '... nor can they');
	super(q{SET client_min_messages = error; SELECT jit_revoke_from('eve', 'x')});
};
attack 'a stranger, in a block, and with the row locked' => sub {
	my $n = asked();
	my $s = session($node, 'dev', 'hr_prod');
	$s->do("BEGIN; SELECT jit_cancel($n)");
	tells_nothing($n);
	tells_nothing($n, 'eve', 'BEGIN ISOLATION LEVEL SERIALIZABLE; ');
	$s->do('ROLLBACK');
	$s->quit;
};
attack 'the owner, where the flow asks others' => sub {
	super(q{SELECT jit_set_flow('high', '[{"approver": "oncall"}]'), jit_set_policy('others', 'high', '$.ticket == "others"')});
	my $n = asked(q{, ticket => 'others'});
	tells_nothing($n, 'anna');
	super(q{SELECT jit_set_flow('high', '[{"approver": "@grantor"}, {"approver": "security"}]')});
};
attack 'a stranger, and a number that is not there' => sub {
	foreach my $verb (sort keys %call)
	{
		like((as('eve', 'SELECT ' . sprintf($call{$verb}, 999)))[1], qr/ERROR:  42704: request 999 does not exist in hr_prod/, $verb);
	}
};
attack 'those whom it concerns, one by one' => sub {
	my $n = asked(q{, grantee => 'oncall', ticket => 'two'});
	tells_nothing($n);
	tells('carl', "jit_approve($n)", qr/DETAIL:  It is for role oncall, of which login carl is a member/, 'a member of the group');
	tells('carl', "jit_cancel($n)", qr/DETAIL:  Only whoever asked for it or gets the access can.*\nHINT:  An approver/, '... who does not cancel');
	tells('olga', "jit_approve($n)", $for_you, 'an auditor');
	tells('adam', "jit_approve($n)", $for_you, 'an administrator');
	tells('sue', "jit_approve($n)", $for_you, 'an approver of a later step');
	is((as('anna', "SELECT jit_approve($n)"))[0], 'pending', 'the first step');
	super('REVOKE hr_owner FROM anna');
	tells('anna', "jit_approve($n)", qr/DETAIL:  You have approved it already/, 'who has approved it, and left');
	is((as('sue', "SELECT jit_reject($n, 'no')"))[0], 'rejected', 'rejected');
	super('REVOKE security FROM sue');
	tells('sue', "jit_approve($n)", qr/DETAIL:  You are not among those who could approve it/, 'who has rejected it, and left');
	tells_nothing($n);
	super('GRANT security TO sue; GRANT hr_owner TO anna');
	tells('sue', "jit_approve($n)", qr/ERROR:  55000: .* is rejected/, '... and who could have');
};

all_attacks_done();
$node->stop;
done_testing();
