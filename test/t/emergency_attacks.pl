# Breaking the glass: who may, for how long, for what never, how often; that it
# is loud; and who says afterwards whether it was an emergency.
#
# The attacks are lines of attacks.md.  Guards request/emergency.c, glass.c, and
# what giving.c looks at again of an emergency.  Seen to fail without that look,
# with what others have ended not counted, and with reason and ticket among the
# facts.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('glass', "jit_access.admin_role = 'admins'\njit_access.gateway_logins = 'bot'\njit_access.proxy_logins = 'pool'\njit_access.max_active = 1\njit_access.max_pending = 1\n");
create_hr($node);
my @people = map { "e$_" } 1 .. 30;
$node->safe_psql('hr_prod', join ";\n", (map { "CREATE ROLE $_ LOGIN" } @people, qw(ben sam paul pia bot pool other)), q{
	CREATE ROLE admins; GRANT admins TO paul, pia;
	CREATE ROLE oncall; CREATE ROLE team}, (map { "GRANT oncall, team TO $_" } @people), q{GRANT oncall TO pool, anna, paul;
	CREATE ROLE security; GRANT security TO sam;
	CREATE ROLE firefighters; CREATE ROLE sometimes; GRANT oncall TO sometimes;
	CREATE ROLE owning; CREATE TABLE public.owned (a int); ALTER TABLE public.owned OWNER TO owning;
	GRANT USAGE ON SCHEMA hr TO PUBLIC;
	SET ROLE hr_owner; CREATE TABLE hr.secret (a int); CREATE TABLE hr.calm (a int); CREATE TABLE hr.nobodys AS SELECT 1 AS a; RESET ROLE;
	SELECT jit_set_policy('secret', 'forbidden', '$.items[*].name == "secret"', 'Never.');
	SELECT jit_set_policy('calm', 'low', '$.items[*].name == "calm"');
	SELECT jit_set_policy('high', 'high', '$.items[*].name == "nobodys"');
	SELECT jit_set_policy('lower', 'high', '!($.reason == "please") && $.grantee == "e29"');
	SELECT jit_set_flow('low', '[]', emergency_role => 'oncall');
	SELECT jit_set_flow('high', '[{"approver": "security"}]');
});
my $flow = q{'[{"approver": "@grantor"}]', emergency_role => 'oncall'};
sub super { return $node->safe_psql($_[1] // 'hr_prod', $_[0]); }
sub as { my ($who, $sql) = @_; return sql($node, $who, $sql, 'hr_prod'); }
super("SELECT jit_set_flow('moderate', $flow)");
my $salary = 'SELECT ON hr.salary';
my $person = 0;
sub somebody { return $people[ $person++ ]; }
sub breaks
{
	my ($who, %with) = @_;
	my ($out, $err) = as($who, "SELECT jit_break_glass('" . ($with{access} // $salary) . "', '" . ($with{for} // '30 min') . "', '" . ($with{reason} // 'fire') . "')");
	die "$who: $err" unless $out =~ /^\d+$/;
	return $out;
}
sub refused
{
	my ($who, $sql, $code, $message) = @_;
	my ($out, $err) = ref $sql ? @$sql : as($who, $sql);
	unlike($out, qr/^\d+$|justified|revoked|expired/m, 'nothing happens');
	like($err, qr/ERROR:  $code: .*$message/s, 'it says why');
	return;
}
sub no_glass { my ($who, $message, %with) = @_; return refused($who, "SELECT jit_break_glass('" . ($with{access} // $salary) . "', '" . ($with{for} // '30 min') . "', 'fire')", $with{code} // 42501, $message); }
sub reviewed { my ($who, $n, $justified) = @_; my ($out, $err) = as($who, "SELECT jit_review($n, $justified, 'seen')"); die $err if $err =~ /ERROR/; return $out; }
sub ended { my ($who) = @_; as($who, "SELECT jit_revoke($_)") for @_[ 1 .. $#_ ]; return; }

# ---- that it works, and is loud

attack 'who may has access at once, and everybody is told' => sub {
	my $log = -s $node->logfile;
	my $listener = session($node, 'sam', 'hr_prod');
	$listener->do('LISTEN jit_access');
	my $who = somebody();
	my ($n, $err) = as($who, "SELECT jit_break_glass('$salary', '30 min', 'fire', ticket => 'INC-1')");
	like($err, qr/WARNING: .*you have broken the glass: request $n/, 'they are told that it is reviewed');
	is(scalar as($who, 'SELECT count(*) FROM hr.salary'), '100', 'it works at once');
	is(events_of($node, $n), 'requested, glass_broken, activated', 'events');
	is(super("SELECT detail ->> 'reason' FROM jit.events WHERE request_id = $n AND event = 'glass_broken'"), 'fire', '... which say why');
	ok(slurp_file($node->logfile, $log) =~ /LOG:  jit_access: GLASS BROKEN: request $n in hr_prod: $who has taken SELECT ON hr\.salary until/, 'a line of its own in the server log');
	my ($out, $told) = $listener->do('SELECT 1');
	like("$out$told", qr/glass_broken/, 'a notification');
	$listener->quit;
	is(scalar as('anna', "SELECT kind || ' ' || requester FROM jit.pending WHERE request = $n"), "review $who", 'who could approve it is to review it');
	like(scalar as('anna', "SELECT approvals FROM jit.inbox WHERE request = $n"), qr/review/, '... and sees that in jit.inbox');
	is(scalar as('other', "SELECT count(*) FROM jit.pending WHERE request = $n"), '0', 'others do not');
	like(scalar as('anna', "SELECT * FROM jit_show($n)"), qr/^  an emergency, not reviewed yet/m, 'jit_show says so');
	ended($who, $n);
	is(reviewed('anna', $n, 'true'), 'revoked', 'reviewed');
	is(super("SELECT emergency || ' ' || verdict FROM jit.history WHERE request = $n"), 'true justified', 'jit.history has it');
	is(super("SELECT approved_by::text || comments::text FROM jit.history WHERE request = $n"), '{}{}', '... not as an approval');
	is(scalar as($who, "SELECT coalesce(decided_by, 'nobody') FROM jit.my_requests WHERE request = $n"), 'nobody', '... nor as a decision');
	is(super("SELECT count(*) FROM jit.pending WHERE request = $n"), '0', 'nothing is left to do');
	is(events_of($node, $n), 'requested, glass_broken, activated, revoked, reviewed', 'events');
};
attack 'max_active, max_pending and a pending request do not stop it' => sub {
	my $who = somebody();
	as($who, "SELECT jit_request('SELECT ON hr.calm', '1 hour', 'x')");
	as($who, "SELECT jit_request('$salary', '1 hour', 'x')");
	like(breaks($who), qr/^\d+$/, 'with one that is active and one that is pending');
};
attack 'the denial offers it to those who may' => sub {
	my $who = somebody();
	my ($out, $err) = as($who, 'SELECT * FROM hr.salary');
	like($err, qr/HINT:  Request access: .*In an emergency: SELECT jit_break_glass\('SELECT ON hr.salary', '1 hour', 'why you need it'\)/, 'it is offered');
	as($who, "SELECT jit_request('$salary', '1 hour', 'x')");
	($out, $err) = as($who, 'SELECT * FROM hr.salary');
	like($err, qr/is pending: it waits for .*In an emergency/, '... beside what is pending');
	unlike((as('other', 'SELECT * FROM hr.salary'))[1], qr/jit_break_glass/, 'and not to others');
	unlike((as($who, 'SELECT * FROM hr.secret'))[1], qr/jit_break_glass/, 'nor for what is forbidden');
};

# ---- who may

attack 'somebody who is no member of the emergency role' => sub { no_glass('other', 'only members of role oncall'); };
attack 'a member of it for a time' => sub {
	super(q{SELECT jit_set_flow('low', '[]')});

	super(q{SELECT jit_grant('oncall', 'other', '1 hour', 'x')});
	is(scalar as('other', q{SELECT pg_has_role('oncall', 'MEMBER')}), 't', 'a member');
	no_glass('other', 'only members of role oncall may, for good');
	super(q{SELECT jit_revoke_from('other', 'x')});
	super(q{SELECT jit_set_flow('low', '[]', emergency_role => 'oncall')});
};
attack 'in the name of a group' => sub {
	my $who = somebody();
	my $s = session($node, $who, 'hr_prod');
	$s->do('SET ROLE team');
	refused($who, [ $s->do("SELECT jit_break_glass('$salary', '30 min', 'fire')") ], 42501, "for the login itself, $who, and not as role team");
	$s->quit;
};
attack 'as another, after SET SESSION AUTHORIZATION' => sub {
	super('ALTER ROLE e30 SUPERUSER');
	my $s = session($node, 'e30', 'hr_prod');
	$s->do('SET SESSION AUTHORIZATION e28');
	super('ALTER ROLE e30 NOSUPERUSER');
	refused('e30', [ $s->do("SELECT jit_break_glass('$salary', '30 min', 'fire')") ], 42501, 'for the login itself, e30');
	$s->quit;
};
attack 'a superuser' => sub { my ($out, $err) = sql($node, getpwuid($<) . '', "SELECT jit_break_glass('$salary', '30 min', 'fire')", 'hr_prod'); like($err, qr/ERROR:  0LP01: .*superuser and has all access/, 'refused'); };
attack 'behind a proxy' => sub {
	refused('pool', "SELECT jit_break_glass('$salary', '30 min', 'fire')", 42501, 'asks for nothing itself|others are behind it|proxy');
	super('GRANT e27 TO pool');
	my $s = session($node, 'pool', 'hr_prod');
	$s->do('SET ROLE e27');
	refused('pool', [ $s->do("SELECT jit_break_glass('$salary', '30 min', 'fire')") ], 42501, 'behind a proxy nobody decides');
	$s->quit;
};
attack 'through a gateway' => sub {
	my $who = somebody();
	my ($code) = as('bot', "SELECT jit_offer_identity('slack:$who')");
	as($who, "SELECT jit_link_identity('$code')");
	refused('bot', "BEGIN; SELECT jit_act_for('slack:$who'); SELECT jit_break_glass('$salary', '30 min', 'fire'); COMMIT", 42501, 'cannot be done through gateway bot');
	my $n = breaks($who);
	($code) = as('bot', q{SELECT jit_offer_identity('slack:anna')});
	as('anna', "SELECT jit_link_identity('$code')");
	refused('bot', "BEGIN; SELECT jit_act_for('slack:anna'); SELECT jit_review($n, false, 'x'); COMMIT", 42501, 'cannot be done through gateway bot');
	is(scalar as('bot', "SELECT kind FROM jit.pending WHERE request = $n"), 'review', 'it sees that there is one');
};
attack 'from inside a function' => sub {
	my $who = somebody();
	super("CREATE SCHEMA $who AUTHORIZATION $who");
	as($who, "CREATE FUNCTION $who.f() RETURNS int LANGUAGE sql AS \$\$ SELECT jit_break_glass('$salary', '30 min', 'fire') \$\$");
	refused($who, "SELECT $who.f()", 42501, 'statement of its own|by itself');
	refused($who, "DO \$\$ BEGIN PERFORM jit_break_glass('$salary', '30 min', 'fire'); END \$\$", 42501, 'statement of its own|by itself');
	my $n = breaks($who);
	super(qq{CREATE FUNCTION $who.g() RETURNS text LANGUAGE sql AS \$\$ SELECT jit_review($n, false, 'x')::text \$\$; GRANT USAGE ON SCHEMA $who TO PUBLIC});
	refused('anna', "SELECT $who.g()", 42501, 'statement of its own|by itself');
};

# ---- for how long, and what never

attack 'for longer than emergency_duration' => sub {
	no_glass('e1', 'for so long.*At most 01:00:00.*jit_break_glass\(', for => '61 min', code => 22023);
	super(q{SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]', emergency_role => 'oncall', emergency_duration => '10 min')});
	no_glass('e1', 'At most 00:10:00', for => '11 min', code => 22023);
	super(q{SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]', max_duration => '5 min', emergency_role => 'oncall', emergency_duration => '10 min')});
	no_glass('e1', 'At most 00:05:00', for => '6 min', code => 22023);
	super("SELECT jit_set_flow('moderate', $flow)");
};
attack 'without a reason, or one that the pattern wants' => sub {
	super(q{SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]', reason_pattern => '^PROD', ticket_pattern => '^INC-', emergency_role => 'oncall')});
	no_glass('e1', 'reason must match', code => 22023);
	refused('e1', "SELECT jit_break_glass('$salary', '30 min', 'PROD is down')", 22023, 'needs a ticket');
	super("SELECT jit_set_flow('moderate', $flow)");
	refused('e1', "SELECT jit_break_glass('$salary', '30 min', NULL)", 22004, 'reason is missing');
};
attack 'what a policy forbids' => sub { no_glass('e1', 'policy secret forbids', access => 'SELECT ON hr.secret'); };
attack 'what needs a superuser' => sub {
	no_glass('e1', "takes a superuser", access => $_) for 'CREATE ON SCHEMA hr', 'owning', 'pg_read_all_data', 'EXECUTE ON FUNCTION pg_catalog.pg_read_file(text)';
};
attack 'a risk that names no emergency role' => sub { no_glass('e1', 'Nobody may for high risk', access => 'SELECT ON hr.nobodys'); };
attack 'words that make its risk lower' => sub {
	# of e29 all but "please" is of high risk, where nobody may
	refused('e29', "SELECT jit_break_glass('$salary', '30 min', 'please')", 42501, 'Nobody may for high risk');
};
attack 'what they have anyway' => sub {
	my $who = somebody();
	breaks($who);
	no_glass($who, 'already has this access', code => 42710, for => '10 min');
};
attack 'an emergency role that was dropped, and made anew' => sub {
	super(q{GRANT firefighters TO e26; SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]', emergency_role => 'firefighters')});
	like(super('SELECT jit_config()'), qr/emergency_role => 'firefighters'/, 'jit_config has it');
	super('DROP ROLE firefighters; CREATE ROLE firefighters; GRANT firefighters TO e26');
	no_glass('e26', 'only members of role firefighters');
	super("SELECT jit_set_flow('moderate', $flow)");
};
attack 'emergency_duration without a role, a role of ours, a pooler' => sub {
	refused('paul', q{SELECT jit_set_flow('moderate', '[]', emergency_duration => '1 hour')}, 22023, 'needs an emergency_role');
	refused('paul', q{SELECT jit_set_flow('moderate', '[]', emergency_role => 'nobody_there')}, 42704, 'does not exist');
	refused('paul', q{SELECT jit_set_flow('moderate', '[]', emergency_role => 'pool')}, 22023, 'others are behind it');
	refused('e1', q{SELECT jit_set_flow('moderate', '[]', emergency_role => 'oncall')}, 42501, 'JIT administrators');
};

# ---- looked at again at the commit

sub race
{
	my ($who, $what, $by) = @_;
	my $s = session($node, $who, 'hr_prod');
	my ($out, $err) = $s->do("BEGIN; SELECT jit_break_glass('$salary', '30 min', 'fire')");
	unlike($err, qr/ERROR/, 'called');
	is(($s->do('SAVEPOINT s; SELECT count(*) FROM hr.salary'))[0], '', 'nothing works yet');
	$s->do('ROLLBACK TO s');
	$what->();
	overtaken($s->do('COMMIT'), undef, $by);
	$s->quit;
	is(super("SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE r.rolname ~ '^jit_grant_' AND m.member = '$who'::regrole"), '0', 'nothing is given');
	return;
}
attack 'who has left the emergency role before the commit' => sub { my $who = somebody(); race($who, sub { super("REVOKE oncall FROM $who") }, qr/only members of role oncall/); };
attack 'a panic button before the commit' => sub { my $who = somebody(); race($who, sub { super("SELECT jit_revoke_from('$who', 'panic')") }, qr/All access was revoked/); };
attack 'a policy that forbids it before the commit' => sub {
	my $who = somebody();
	race($who, sub { super("SELECT jit_set_policy('no_$who', 'forbidden', '\$.grantee == \"$who\"')") }, qr/policy no_$who/);
	super("SELECT jit_drop_policy('no_$who')");
};
attack 'three at once, in open transactions' => sub {
	my $who = somebody();
	my @s = map { session($node, $who, 'hr_prod') } 1 .. 3;
	$s[$_]->do("BEGIN; SELECT jit_break_glass('SELECT ON hr.salary', '" . (30 + $_) . " min', 'fire')") for 0 .. 2;
	my @err = map { ($_->do('COMMIT'))[1] } @s;
	is(scalar(grep { /2 emergencies of yours have not been reviewed/ } @err), 1, 'one of them is refused') or diag "@err";
	is(super("SELECT count(*) FROM jit.requests WHERE emergency AND grantee = '$who'"), '2', 'two are there');
	$_->quit for @s;
};

# ---- how often

attack 'twice, and three times' => sub {
	my $who = somebody();
	my $one = breaks($who, for => '10 min');
	my $two = breaks($who, for => '20 min');
	no_glass($who, '2 emergencies of yours have not been reviewed', for => '30 min');
	unlike((as($who, 'SELECT * FROM hr.calm'))[1], qr/jit_break_glass/, 'nor is it offered');
	ended($who, $one, $two);
	no_glass($who, '2 emergencies of yours have not been reviewed');
	reviewed('anna', $one, 'true');
	my $three = breaks($who);
	ended($who, $three);
	reviewed('anna', $_, 'true') for $two, $three;
};
attack 'by two logins of one person' => sub {
	my ($a, $b) = (somebody(), somebody());
	foreach my $role ($a, $b)
	{
		my ($code) = as('bot', q{SELECT jit_offer_identity('slack:both')});
		as($role, "SELECT jit_link_identity('$code')");
		as($role, q{SELECT jit_unlink_identity('slack:both')});
	}
	breaks($a, for => '10 min');
	breaks($b, for => '10 min');
	no_glass($a, '2 emergencies of yours', for => '20 min');
	no_glass($b, '2 emergencies of yours', for => '20 min');
};
attack 'after a panic button' => sub {
	my $who = somebody();
	my $n = breaks($who);
	super("SELECT jit_revoke_from('$who', 'stop that')");
	like((as($who, 'SELECT * FROM hr.salary'))[1], qr/ERROR:  42501/, 'it has ended');
	no_glass($who, "request $n was ended by others, and has not been reviewed");
	reviewed('anna', $n, 'true');
	like(breaks($who), qr/^\d+$/, 'until it is reviewed');
};
attack 'after its role was dropped natively' => sub {
	my $who = somebody();
	my $n = breaks($who);
	super("DROP ROLE " . super("SELECT role FROM jit.grants WHERE request_id = $n"));
	ok($node->poll_query_until('hr_prod', "SELECT status = 'revoked' FROM jit.requests WHERE id = $n"), 'revoked');
	no_glass($who, 'was ended by others');
};
attack 'after an unjustified verdict' => sub {
	my $who = somebody();
	my $n = breaks($who);
	my $s = session($node, $who, 'hr_prod');
	is(($s->do('SELECT count(*) FROM hr.salary'))[0], '100', 'it works');
	refused('anna', "SELECT jit_review($n, true, 'fine')", 55000, 'still active.*jit_revoke');
	is(reviewed('anna', $n, 'false'), 'revoked', 'unjustified ends it');
	like(($s->do('SELECT count(*) FROM hr.salary'))[1], qr/ERROR:  42501/, '... at once');
	$s->quit;
	no_glass($who, "request $n was reviewed as unjustified; an administrator");
	refused('anna', "SELECT jit_review($n, true, 'after all')", 42501, 'has been reviewed; an administrator');
	is(reviewed('pia', $n, 'true'), 'revoked', 'an administrator lifts it');
	like(breaks($who), qr/^\d+$/, 'then they may');
	is(super("SELECT string_agg(verdict, ' ' ORDER BY review) FROM jit.reviews WHERE request_id = $n"), 'unjustified justified', 'both are on record');
};
attack 'archived before it was reviewed as justified' => sub {
	my $who = somebody();
	my $n = breaks($who);
	ended($who, $n);
	my $m = breaks($who);
	reviewed('anna', $m, 'false');
	my ($out, $err) = as('paul', q{SELECT jit_archive(now())});
	unlike($err, qr/ERROR/, 'archived');
	is(super("SELECT count(*) FROM jit.requests WHERE id IN ($n, $m)"), '2', 'both stay');
	no_glass($who, 'reviewed as unjustified');
	is(super('SELECT count(*) FROM jit.requests WHERE emergency AND verdict = $x$justified$x$ AND ended_at < now()'), '0', 'those that were justified are gone');
};
attack 'while a review is overdue' => sub {
	my $who = somebody();
	my $n = breaks($who);
	super(q{ALTER DATABASE hr_prod SET jit_access.review_within = '0'});
	no_glass($who, "The review of the emergency of request $n is overdue", for => '50 min');
	is(super("SELECT count(*) > 0 FROM jit.pending WHERE kind = 'review' AND lapses_at <= now()"), 't', 'overdue ones can be counted');
	super(q{ALTER DATABASE hr_prod RESET jit_access.review_within});
	like(breaks($who, for => '50 min'), qr/^\d+$/, 'else not');
};

# ---- who reviews

attack 'a review by who broke the glass' => sub {
	super('GRANT hr_owner TO e25');
	my $n = eval { breaks('e25', access => 'SELECT ON hr.salary') };
	super('REVOKE hr_owner FROM e25');
	$n //= breaks('e25');
	super('GRANT hr_owner TO e25');
	refused('e25', "SELECT jit_review($n, false, 'mine')", 42501, 'It is for you');
	super('REVOKE hr_owner FROM e25');
};
attack 'a review by somebody else' => sub {
	my $n = super(q{SELECT max(id) FROM jit.requests WHERE emergency AND verdict IS NULL});
	refused('other', "SELECT jit_review($n, false, 'x')", 42501, 'does not concern you');
	refused('sam', "SELECT jit_review($n, false, 'x')", 42501, 'does not concern you');
	refused('anna', "SELECT jit_review($n, false, NULL)", 22004, 'comment must not be null');
	refused('anna', "SELECT jit_review($n, NULL, 'x')", 22004, 'justified must not be null');
};
attack 'a review of what is no emergency' => sub {
	my ($n) = as('other', "SELECT jit_request('$salary', '1 hour', 'x')");
	refused('anna', "SELECT jit_review($n, true, 'x')", 55000, 'is no emergency.*jit_approve');
	is(super("SELECT status FROM jit.requests WHERE id = $n"), 'pending', 'it is pending as it was');
};
attack 'reviewers whose own emergency has not been reviewed' => sub {
	super(q{GRANT oncall TO ben; SET ROLE hr_owner; CREATE TABLE hr.more (a int); GRANT SELECT ON hr.salary TO ben WITH GRANT OPTION});
	my $n = breaks('ben', access => 'SELECT ON hr.more');
	my $m = super("SELECT max(id) FROM jit.requests WHERE emergency AND verdict IS NULL AND grantee <> 'ben'");
	refused('ben', "SELECT jit_review($m, false, 'x')", 42501, 'An emergency of your own has not been reviewed');
	ended('ben', $n);
	reviewed('anna', $n, 'true');
	is(reviewed('ben', $m, 'false') =~ /revoked/ ? 1 : 0, 1, 'then they may');
};
attack 'a review where the flow needs nobody' => sub {
	# low risk needs nobody: the next that needs anybody reviews
	my $n = super(q{SELECT 1});
	my ($out, $err) = as('e24', q{SELECT jit_break_glass('SELECT ON hr.calm', '30 min', 'fire')});
	like($out, qr/^\d+$/, 'broken') or diag $err;
	refused('sam', "SELECT jit_review($out, false, 'x')", 42501, 'does not concern you');
	is(reviewed('anna', $out, 'false'), 'revoked', 'by those of moderate risk');
};
attack 'a review where nobody could have approved it' => sub {
	super(q{SELECT jit_set_flow('moderate', '[]', emergency_role => 'oncall'); SELECT jit_set_flow('high', '[]')});
	my $n = breaks('e23', access => 'SELECT ON hr.calm');
	super("SELECT jit_set_flow('moderate', $flow)");
	super(q{SELECT jit_set_flow('high', '[{"approver": "security"}]')});
	refused('anna', "SELECT jit_review($n, false, 'x')", 42501, 'administrators review it');
	is(reviewed('pia', $n, 'false'), 'revoked', 'an administrator does');
};
attack 'a review of what has been dropped since' => sub {
	super('SET ROLE hr_owner; CREATE TABLE hr.temp (a int)');
	my $n = breaks('e22', access => 'SELECT ON hr.temp');
	super('DROP TABLE hr.temp');
	is(reviewed('pia', $n, 'false'), 'revoked', 'an administrator can');
	is(super("SELECT verdict FROM jit.requests WHERE id = $n"), 'unjustified', 'reviewed');
};
attack 'a verdict is no approval' => sub {
	my $n = breaks('e21', for => '1 min');
	ended('e21', $n);
	reviewed('anna', $n, 'true');
	my ($m) = as('e21', "SELECT jit_extend($n, '1 hour')");
	is(super("SELECT status FROM jit.requests WHERE id = $m"), 'pending', 'extending takes the ordinary flow');
	super("INSERT INTO jit.reviews SELECT $m, 1, at, verdict, approver, login, 1, true, duration, comment, approver_oid, login_oid, via FROM jit.reviews WHERE request_id = $n");
	is(scalar as('anna', "SELECT given FROM jit.pending WHERE request = $m"), '0', 'even one that is put there counts for nothing');
	like(scalar as('anna', "SELECT approvals FROM jit.inbox WHERE request = $m"), qr/0 of 1/, '... in the inbox');
	is(scalar as('anna', "SELECT jit_approve($m)"), 'active', 'and keeps nobody from approving');
};
attack 'with the launcher dead' => sub {
	stop_launcher($node);
	my $n = breaks('e20', for => '2 s');
	is(scalar as('e20', 'SELECT count(*) FROM hr.salary'), '100', 'it works');
	super('SELECT pg_sleep(2.1)');
	like((as('e20', 'SELECT count(*) FROM hr.salary'))[1], qr/ERROR:  42501/, '... and ends');
	is(reviewed('anna', $n, 'true'), 'expired', 'it can be reviewed');
	$n = breaks('e20');
	is(reviewed('anna', $n, 'false'), 'revoked', '... and ended');
	like((as('e20', 'SELECT count(*) FROM hr.salary'))[1], qr/ERROR:  42501/, '... it gives nothing');
	continue_launcher();
};

all_attacks_done();
$node->stop;
done_testing();
