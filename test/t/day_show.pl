# jit_show() tells everything about one request, to whoever it concerns and
# nobody else, in every state and whatever is gone; and nothing that somebody
# wrote looks like a line of it.
#
# The attacks are lines of attacks.md.  Seen to fail with jit_check_concerned()
# left out, without the look at GetUserId(), with texts that aren't split at
# their ends of lines, that aren't wrapped, or go without jit_shown(), with a
# lock on the row, and with sections that aren't subtransactions.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('show', "jit_access.max_pending = 1000\n", allows_streaming => 1, extra => [ '--encoding', 'UTF8', '--no-locale' ]);
create_hr($node);

sub super { return $node->safe_psql('hr_prod', "SET client_min_messages = error; $_[0]"); }
sub as { my ($out, $err) = sql($node, $_[0], $_[1], 'hr_prod'); return ($out, $err); }

super(q{CREATE ROLE oncall; CREATE ROLE carl LOGIN; GRANT oncall TO dev, carl; CREATE ROLE security; CREATE ROLE sue LOGIN; GRANT security TO sue;
	CREATE ROLE auditors; CREATE ROLE olga LOGIN; GRANT auditors TO olga; CREATE ROLE adam LOGIN; CREATE ROLE dora LOGIN; CREATE ROLE rex LOGIN; CREATE ROLE hr_reader;
	GRANT CREATE, USAGE ON SCHEMA hr TO dev, oncall, eve, dora;
	ALTER DATABASE hr_prod SET jit_access.auditor_role = 'auditors'; ALTER DATABASE hr_prod SET jit_access.admin_role = 'adam'; ALTER DATABASE hr_prod OWNER TO dora;
	SELECT jit_set_flow('high', '[{"approver": "@grantor"}, {"approver": "security"}]'), jit_set_policy('two', 'high', '$.ticket == "INC-2"');
	SELECT jit_set_label('COLUMN hr.salary.amount', 'pii');
	SET ROLE hr_owner; CREATE TABLE hr.pay (a int, b int); CREATE TABLE hr.gone (x int)});

sub ask
{
	my ($access, $more, $user, $duration) = @_;
	my ($out, $err) = as($user // 'dev', "SELECT jit_request('$access', '" . ($duration // longer()) . "', 'why' " . ($more // '') . ')');
	die $err unless $out =~ /^\d+$/;
	return $out;
}

sub show
{
	my ($n, $user) = @_;
	my ($out, $err) = as($user // 'olga', "SELECT jit_show($n)");
	is($err, '', "$n is shown");
	unlike($out, qr/cannot be told/, '... all of it');
	return $out;
}

# Its error is that of jit_approve()
sub tells_nothing
{
	my ($n, $user) = @_;
	my ($out, $err) = as($user, "SELECT jit_show($n)");
	is($out, '', "$user sees nothing of $n");
	$err =~ s/^(psql:<stdin>:\d+: |LOCATION: .*\n?)//mg;
	is($err, "ERROR:  42501: you cannot see request $n in hr_prod\nDETAIL:  It does not concern you.\n", '... and is told nothing');
	return;
}

# for how long, by longer()
my $long = qr/02:00:\d\d/;
my $at = qr/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S+/;

# ---- what it tells

attack 'a pending request of two steps, as a whole' => sub {
	my $n = ask('SELECT (amount) ON hr.salary; hr_reader', q{, ticket => 'INC-2', grantee => 'oncall'});
	like(show($n), qr/^Request\ $n\ in\ hr_prod\n
\ \ pending;\ it\ lapses\ at\ $at\n
\ \ for\ oncall\ \((carl,\ dev|dev,\ carl)\)\n
\ \ asked\ by\ dev\ at\ $at\n
\ \ reason\n\ \ \ \ \|\ why\n
\ \ ticket\n\ \ \ \ \|\ INC-2\n
Items\n
\ \ SELECT\ \(amount\)\ ON\ hr.salary\n
\ \ \ \ owner\ hr_owner,\ labels\ pii\n
\ \ hr_reader\ \(membership\)\n
Risk\ when\ it\ was\ filed\n
\ \ high,\ by\ two\ \(high\)\n
Flow\n
\ \ step\ 1:\ 1\ approval\ by\ anyone\ who\ could\ grant\ it\n
\ \ \ \ lacks\ 1\ by\ anyone\ who\ could\ grant\ SELECT\ \(amount\)\ ON\ hr.salary\ \(anna\)\n
\ \ \ \ lacks\ 1\ by\ anyone\ who\ could\ grant\ hr_reader\ \(\w+\)\n
\ \ step\ 2:\ 1\ approval\ by\ security\n
\ \ \ \ lacks\ 1\ by\ security\ \(sue\)\n
Duration\n
\ \ asked\ for:\ $long\n
What\ happened\n
\ \ $at:\ requested\ by\ dev\n
What\ else\ the\ grantee\ has\ of\ it\n
\ \ nothing\n
Stricter\ if\ it\ were\ filed\ now\n
\ \ nothing$/x, 'everything about it');
};
attack 'approvals, their words, and a duration that was shortened' => sub {
	my $n = ask('SELECT ON hr.salary', q{, ticket => 'INC-2'});
	as('anna', "SELECT jit_approve($n, 'not longer', '10 min')");
	like(show($n), qr/  step 1: 1 approval by anyone who could grant it \(done\)\n    approved by anna at $at, for at most 00:10:00\n      \| not longer\n  step 2: .*\n    lacks 1 by security \(sue\)\nDuration\n  asked for: $long\n  would be given now: 00:10:00\n/, 'by step');
	as('sue', "SELECT jit_approve($n)");
	like(show($n), qr/^  active\n/m, 'active');
	like(show($n), qr/  step 2: 1 approval by security \(done\)\n    approved by sue at $at\nDuration\n  asked for: $long\n  given: from $at until $at\n  left: 00:0\d:\d\d\nWhat happened\n/, 'what was given, and what is left');
	as('dev', "SELECT jit_revoke($n, 'done\nFlow')");
	like(show($n), qr/^  revoked at $at\n/m, 'revoked');
	like(show($n), qr/What happened\n  $at: requested by dev\n  $at: approved by anna, step 1\n  $at: approved by sue, step 2\n  $at: activated by sue, until $at\n  $at: revoked by dev\n    \| done\n    \| Flow\nWhat else/, '... and what happened, in order');
};
attack 'a rejection, a withdrawal, a lapse' => sub {
	my ($r, $c, $l) = map { ask('SELECT ON hr.salary') } 1 .. 3;
	as('anna', "SELECT jit_reject($r, 'no: ask olga')");
	as('dev', "SELECT jit_cancel($c, 'found it')");
	super("UPDATE jit.requests SET lapses_at = now() WHERE id = $l");
	like(show($r), qr/  rejected at $at\n.*    rejected by anna at $at\n      \| no: ask olga\n/s, 'rejected');
	like(show($c), qr/  canceled at $at\n.*canceled by dev\n    \| found it\n/s, 'withdrawn');
	like(show($l), qr/  lapsed at $at\n/, 'lapsed, before anybody has said so');
};
attack 'an approval that does not count any more' => sub {
	my $n = ask('SELECT ON hr.salary', q{, ticket => 'INC-2'});
	as('anna', "SELECT jit_approve($n)");
	super('REVOKE hr_owner FROM anna');
	like(show($n), qr/  step 1: .*it\n    approved by anna at $at; does not count any more\n    lacks 1 by .*\n  step 2: .*\n.*\n  The approval by role anna does not count any more: it has to be by anyone who could grant it\.\nDuration/, 'which, and why');
	super('GRANT hr_owner TO anna');
	unlike(show($n), qr/does not count/, '... and counts again');
};
attack 'a superuser is needed, and nobody' => sub {
	super(q{GRANT CREATE ON SCHEMA public TO hr_owner WITH GRANT OPTION});
	like(show(ask('CREATE ON SCHEMA public')), qr/  step 2: 1 approval by a superuser\n    lacks 1 by a superuser \(\w+\)\n/, 'one more step');
	super(q{SELECT jit_set_policy('free', 'low', '$.ticket == "free"'), jit_set_flow('low', '[]')});
	like(show(ask('SELECT ON hr.pay', q{, ticket => 'free'})), qr/Flow\n  no approval: active at once\nDuration/, 'none');
	super(q{SELECT jit_revoke_from('dev', 'test')});
};
attack 'what else the grantee has of it' => sub {
	my $n = ask('SELECT, INSERT ON hr.salary; SELECT ON hr.pay');
	super('GRANT SELECT ON hr.salary TO oncall');
	my $other = super(q{SELECT jit_grant('INSERT, UPDATE ON hr.salary', 'dev', '20 min', 'x')});
	my $group = super(q{SELECT jit_grant('SELECT ON hr.pay', 'oncall', '10 min', 'x')});
	my $none = super(q{SELECT jit_grant('SELECT ON hr.gone', 'dev', '10 min', 'x')});
	like(show($n), qr/What else the grantee has of it\n  SELECT ON hr.salary for good, through oncall\n  INSERT, UPDATE ON hr.salary by request $other, until $at\n  SELECT ON hr.pay by request $group, through oncall, until $at\nStricter/, 'for good, and for how long');
	super("REVOKE SELECT ON hr.salary FROM oncall; SELECT jit_revoke_all('x')");
};
attack 'what would be stricter now' => sub {
	my $n = ask('SELECT ON hr.salary', q{, ticket => 'x'}, undef, '3 hours');
	like(show($n), qr/Risk when it was filed\n  moderate, by no policy \(jit_access\.default_risk\)\n/, 'no policy matched');
	super(q{SELECT jit_set_flow('moderate', '[{"approver": "@grantor", "approvals": 2}, {"approver": "security"}]', '1 hour', reason_pattern => '^because', ticket_pattern => '^INC-\d+$')});
	like(show($n), qr/Stricter if it were filed now\n  it would take 2 approvals by anyone who could grant it, then 1 approval by security\n  at most 01:00:00\n  a reason that matches "\^because"\n  a ticket that matches "\^INC-\\d\+\$"$/, 'the flow of its risk');
	super(q{SELECT jit_set_policy('pii', 'high', '$.items[*].labels[*] == "pii"'), jit_set_policy('broken', 'low', '$.reason > 3 && $.reason.double() > 1')});
	like(show($n), qr/Stricter if it were filed now\n  risk high, by policy broken\n  risk high, by policy pii\n  it would take /, 'the risk');
	super(q{SELECT jit_set_policy('never', 'forbidden', '$.items[*].name == "salary"')});
	like(show($n), qr/  risk forbidden, by policy never\n/, 'forbidden');
	super("SELECT jit_drop_policy('$_')") foreach qw(never pii broken);
	super(q{SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]')});
	like(show($n), qr/Stricter if it were filed now\n  nothing$/, 'nothing');
	as('dev', "SELECT jit_cancel($n)");
};

# ---- what is gone

attack 'objects, columns, owners and names of then' => sub {
	my $n = ask('SELECT ON hr.gone; SELECT (a, b) ON hr.pay');
	stop_launcher($node);
	super(q{SET ROLE hr_owner; DROP TABLE hr.gone; ALTER TABLE hr.pay DROP COLUMN b; ALTER TABLE hr.pay RENAME TO "Pay ""day"""; RESET ROLE; ALTER TABLE hr."Pay ""day""" OWNER TO dora});
	like(show($n), qr/  nobody can approve it any more: table hr\.gone, which request $n in hr_prod is for, has been dropped\n.*Items\n  SELECT ON hr\.gone: dropped since\n    owner then hr_owner\n  SELECT \(a\) ON hr\."Pay ""day""" \(formerly SELECT \(a, b\) ON hr\.pay\)\n    the other columns were dropped since\n    owner dora \(then hr_owner\)\n/s, 'each item');
	super(q{DROP TABLE hr."Pay ""day"""});
	like(show($n), qr/  SELECT \(a, b\) ON hr\.pay: dropped since\n    owner then hr_owner\nRisk/, '... all of it gone');
	continue_launcher();
};
attack 'requester, grantee, approver, role of the flow and policy are gone' => sub {
	super(q{CREATE ROLE passing LOGIN; CREATE ROLE "Squad" ROLE passing; CREATE ROLE boss ROLE passing; GRANT hr_owner TO boss;
		SELECT jit_set_policy('p', 'high', '$.ticket == "p"'), jit_set_flow('high', '[{"any_of": ["boss", "security"]}, {"approver": "security"}]')});
	my $n = ask('SELECT ON hr.salary', q{, ticket => 'p', grantee => 'Squad'}, 'passing');
	super(q{CREATE ROLE boss2 LOGIN; GRANT boss TO boss2});
	as('boss2', "SELECT jit_approve($n, 'fine')");
	stop_launcher($node);
	super(q{SELECT jit_drop_policy('p'); DROP ROLE boss2; DROP ROLE boss; DROP ROLE passing; DROP ROLE "Squad"});
	my $out = show($n);
	like($out, qr/  for "Squad" \(dropped\)\n  asked by passing \(dropped\) at /, 'who');
	like($out, qr/  high, by p \(high\)\n/, 'the policy that matched');
	like($out, qr/  step 1: 1 approval by boss or security\n    approved by boss2 \(dropped\) at $at; does not count any more\n      \| fine\n/, 'who approved');
	like($out, qr/  $at: approved by boss2, step 1\n/, 'what happened');
	continue_launcher();
	super(q{SELECT jit_set_flow('high', '[{"approver": "@grantor"}, {"approver": "security"}]')});
};
attack 'roles made anew under the names of those that are gone' => sub {
	super('CREATE ROLE again LOGIN; GRANT USAGE ON SCHEMA hr TO again');
	my $n = ask('SELECT ON hr.salary', undef, 'again');
	stop_launcher($node);
	super('DROP OWNED BY again; DROP ROLE again; CREATE ROLE again LOGIN');
	tells_nothing($n, 'again');
	like(show($n), qr/  for again \(dropped\)\n/, 'it is for another');
	continue_launcher();
};
attack 'a request that came from another cluster' => sub {
	my $n = ask('SELECT ON hr.salary', q{, ticket => 'INC-2'});
	as('anna', "SELECT jit_approve($n)");
	super("UPDATE jit.requests SET origin = '4711/5', requester = 'nobody' WHERE id = $n; UPDATE jit.request_items SET objid = 4711 WHERE request_id = $n");
	like(show($n), qr/  filed in another cluster: .*\n  for dev\n  asked by nobody \(not here\) \(login dev\) at .*Items\n  SELECT ON hr\.salary\n    owner hr_owner/s, 'by the names that are here');
	super("UPDATE jit.request_items SET address_names = '{hr,nowhere}', object = 'hr.nowhere' WHERE request_id = $n");
	like(show($n), qr/  SELECT ON hr\.nowhere: not here\n    owner then hr_owner\n/, '... and what is not');
	super("DELETE FROM jit.requests WHERE id = $n");
};
attack 'a copied database' => sub {
	my ($p, $a) = (ask('SELECT ON hr.salary'), super(q{SELECT jit_grant('SELECT ON hr.salary', 'eve', '1 hour', 'x')}));
	# no sweeper may be connected while it is copied
	stop_launcher($node);
	$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE hr_prod');
	continue_launcher();
	foreach ($p, $a)
	{
		my $out = $node->safe_psql('copy', "SELECT jit_show($_)");
		like($out, qr/  filed in another database of this cluster, and copied here\n/, 'where it is from');
		unlike($out, qr/cannot be told/, '... and all of it is told');
	}
	super("SELECT jit_revoke($a)");
	$node->safe_psql('postgres', 'DROP DATABASE copy WITH (FORCE)');
};
attack 'what is broken takes the rest along no more' => sub {
	my $n = ask('SELECT ON hr.salary');
	super(qq{UPDATE jit.requests SET flow = '[{"approver": 1}]' WHERE id = $n});
	my ($out, $err) = as('olga', "SELECT jit_show($n)");
	is($err, '', 'no error');
	like($out, qr/Flow\n  cannot be told: invalid approval step\nDuration\n  asked for: $long\n/, 'it says so, and goes on');
};
attack 'a request without its events, and one with events of tomorrow' => sub {
	my $n = ask('SELECT ON hr.salary');
	super(qq{SET session_replication_role = replica; ALTER TABLE jit.events DISABLE TRIGGER append_only; DELETE FROM jit.events WHERE request_id = $n; ALTER TABLE jit.events ENABLE ALWAYS TRIGGER append_only});
	like(show($n), qr/  moderate\nFlow.*What happened\n  nothing is on record\n/s, 'none');
	super(qq{INSERT INTO jit.events (origin, id, at, request_id, event, role, login, detail) VALUES ('4711/5', 1, now(), $n, E'teleported\\nFlow', E'a\\nFlow', 'x', '[1]')});
	like(show($n), qr/  $at: teleported\\nFlow by U&"a\\000aFlow" \(login x\)\n/, 'one that is not known');
};

# ---- what looks like something else

# What was written, put together again
sub written
{
	my ($out, $title, $next) = @_;
	my ($text) = $out =~ /^  $title\n(.*?)^$next/ms;
	is(scalar(grep { !/^    \| / } split /\n/, $text), 0, 'each line has its bar');
	is(scalar(grep { length > 78 } split /\n/, $text), 0, '... and none is long');
	$text =~ s/^    \| //mg;
	return $text;
}
attack 'a reason that looks like lines of ours' => sub {
	my $n = super(q{SET ROLE dev; SELECT jit_request('SELECT ON hr.salary', '} . longer() . q{', E'x\nItems\n  SELECT ON hr.harmless\nRisk when it was filed\n  low, by p (low)\nFlow\n    | x\r\n  step 1: (done)')});
	my $out = show($n);
	is(written($out, 'reason', 'Items'), "x\nItems\n  SELECT ON hr.harmless\nRisk when it was filed\n  low, by p (low)\nFlow\n    | x\\r\n  step 1: (done)\n", 'the whole, behind bars');
	is(scalar(() = $out =~ /^Flow$/mg), 1, 'there is one Flow');
	unlike($out, qr/^  (SELECT ON hr\.harmless|low|step 1: \(done\))/m, 'and nothing of it is ours');
};
attack 'a reason of 8 kB that fills the terminal to the next line' => sub {
	my $n = super(q{SET ROLE dev; SELECT jit_request('SELECT ON hr.salary', '} . longer() . q{', rpad('x', 4000, ' ') || 'Flow' || rpad('y', 4000, 'y'))});
	my $text = written(show($n), 'reason', 'Items');
	$text =~ s/\n//g;
	is($text, 'x' . ' ' x 3999 . 'Flow' . 'y' x 4000, 'whole');
};
attack 'bidirectional, unseen and wide characters, and escapes' => sub {
	my $n = super(q{SET ROLE dev; SELECT jit_request('SELECT ON hr.salary', '} . longer() . q{', E'a\u202eb\x1b[2Jc\u200bd\\\\n' || repeat(E'\u754c', 100), ticket => E'\u2028\u2029x')});
	my $out = show($n);
	unlike($out, qr/\xe2\x80[\xa8-\xae\x8b]|\x1b/, 'none of them');
	like($out, qr/  reason\n    \| a\\u202eb\\x1b\[2Jc\\u200bd\\\\n/, '... and what they are');
	my ($longest) = sort { $b <=> $a } map { scalar(() = /\xe7\x95\x8c/g) } split /\n/, $out;
	cmp_ok($longest, '<=', 36, 'wide ones are as wide as they are');
};
attack 'comments, and reasons of who ends it' => sub {
	my $n = ask('SELECT ON hr.salary');
	as('anna', "SELECT jit_approve($n, E'ok\\nDuration\\n  given: for ever')");
	as('anna', "SELECT jit_revoke($n, E'why\\nWhat else the grantee has of it\\n  everything')");
	my $out = show($n);
	like($out, qr/^      \| ok\n      \| Duration\n      \|   given: for ever$/m, 'of who approves');
	like($out, qr/^    \| why\n    \| What else the grantee has of it\n    \|   everything$/m, 'of who revokes');
};
attack 'names that look like lines of ours' => sub {
	my ($end, $shown) = line_ends($node);
	super(qq{CREATE ROLE "x${end}Flow" LOGIN; GRANT oncall TO "x${end}Flow"; SET ROLE hr_owner; CREATE TABLE hr."t\nRisk: low \x{e2}\x{80}\x{ae}" ("c\nFlow" int)});
	super(q{SELECT jit_set_policy(E'p\nFlow', 'high', '$.ticket == "odd"')});
	my $n = super(qq{SET ROLE dev; SELECT jit_request('SELECT ON hr."t\nRisk: low \x{e2}\x{80}\x{ae}"; SELECT ("c\nFlow") ON hr."t\nRisk: low \x{e2}\x{80}\x{ae}"', '1 hour', 'x', ticket => 'odd', grantee => 'oncall')});
	my $out = show($n);
	is(scalar(() = $out =~ /^Flow/mg), 1, 'there is one Flow') or diag($out);
	like($out, qr/  high, by U&"p\\000aFlow" \(high\)\n/, 'a policy');
	like($out, qr/  for oncall \([^\n]*U&"x\\${shown}Flow"\)\n/, 'a role');
	like($out, qr/  SELECT ON hr\.U&"t\\000aRisk: low \\202e"\n/, 'a table');
};

# ---- whom it concerns

attack 'everybody in turn' => sub {
	my $n = ask('SELECT ON hr.salary', q{, ticket => 'INC-2', grantee => 'oncall'});
	my $super = getpwuid($<) . '';
	is_deeply([ map { (as($_, "SELECT count(*) > 10 FROM jit_show($n)"))[0] } qw(dev carl anna sue olga adam), $super ], [ ('t') x 7 ],
		'requester, member of the grantee, approvers of both steps, auditor, administrator, superuser');
	tells_nothing($n, $_) foreach qw(eve dora rex);
	as('anna', "SELECT jit_approve($n)");
	super('REVOKE hr_owner FROM anna');
	like(show($n, 'anna'), qr/approved by anna/, 'who has approved it, and left');
	super('GRANT hr_owner TO anna, rex');
	show($n, 'rex');
	as('sue', "SELECT jit_approve($n)");
	like(show($n, 'rex'), qr/^  active/m, 'who could revoke it');
	super('REVOKE hr_owner FROM rex');
	tells_nothing($n, $_) foreach qw(eve dora rex);
	as('dev', "SELECT jit_revoke($n)");
	show($n, $_) foreach qw(dev carl anna sue);
	tells_nothing($n, $_) foreach qw(eve dora rex);
};
attack 'a stranger, whatever has become of it' => sub {
	super('SET ROLE hr_owner; CREATE TABLE hr.gone (x int)');
	my $n = ask('SELECT ON hr.gone');
	stop_launcher($node);
	super('DROP TABLE hr.gone');
	tells_nothing($n, 'eve');
	super(qq{UPDATE jit.requests SET flow = '[{"approver": 1}]' WHERE id = $n});
	tells_nothing($n, 'eve');
	super("UPDATE jit.requests SET origin = '4711/5' WHERE id = $n");
	tells_nothing($n, 'eve');
	continue_launcher();
	super("DELETE FROM jit.requests WHERE id = $n");
};
attack 'a stranger who is an auditor or approver for a while' => sub {
	my $n = ask('SELECT ON hr.salary');
	super(q{SELECT jit_grant('hr_owner, auditors', 'eve', '1 hour', 'x')});
	tells_nothing($n, 'eve');
	is((as('eve', "SET ROLE auditors; SELECT jit_show($n)"))[0], '', '... nor by SET ROLE');
	super(q{SELECT jit_revoke_from('eve', 'x')});
};
attack 'a function of somebody else that whoever it concerns calls' => sub {
	my $n = ask('SELECT ON hr.salary');
	as('eve', q{CREATE FUNCTION hr.peek(n int) RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'SELECT jit_show(n)'});
	like((as('anna', "SELECT hr.peek($n)"))[1], qr/ERROR:  42501: you cannot see request $n in hr_prod\nDETAIL:  It cannot be shown from inside a SECURITY DEFINER function\./, 'with the rights of that one');
};
attack 'numbers that are not there, archived ones, and none' => sub {
	like((as('eve', 'SELECT jit_show(999999)'))[1], qr/ERROR:  42704: request 999999 does not exist in hr_prod\nHINT:  .*once they are archived\./, 'never there');
	like((as('eve', 'SELECT jit_show(NULL)'))[1], qr/ERROR:  22004: request must not be null/, 'null');
	like((as('eve', 'SELECT jit_show(-1)'))[1], qr/ERROR:  42704: /, 'negative');
	my $n = ask('SELECT ON hr.salary');
	as('dev', "SELECT jit_cancel($n)");
	# the last one stays
	as('dev', "SELECT jit_cancel(" . ask('SELECT ON hr.salary') . ')');
	super(q{SELECT jit_archive(clock_timestamp())});
	like((as('dev', "SELECT jit_show($n)"))[1], qr/ERROR:  42704: request $n does not exist in hr_prod\nHINT:  .*once they are archived\./, 'archived');
};

# ---- reading only

attack 'a row that somebody else has locked, and isolation levels' => sub {
	my $n = ask('SELECT ON hr.salary');
	my $s = session($node, 'dev', 'hr_prod');
	$s->do("BEGIN; SELECT jit_cancel($n)");
	like((as('dev', "SET statement_timeout = '5s'; BEGIN ISOLATION LEVEL $_; SELECT jit_show($n); COMMIT"))[0], qr/  pending;/, $_) foreach 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE, READ ONLY';
	$s->do('ROLLBACK');
	$s->quit;
};
attack 'settings that change what is printed' => sub {
	my $n = ask('SELECT ON hr.salary');
	like((as('dev', "SET quote_all_identifiers = on; SET DateStyle = German; SET IntervalStyle = sql_standard;" . ($node->pg_version->major < 19 && 'SET standard_conforming_strings = off;') . " SET search_path = hr; SELECT jit_show($n)"))[0],
		qr/  SELECT ON hr\.salary\n    owner hr_owner.*asked for: /s, 'names are as ever');
};
attack 'a standby' => sub {
	my $n = ask('SELECT ON hr.salary', q{, ticket => 'INC-2', grantee => 'oncall'});
	as('anna', "SELECT jit_approve($n, 'ok')");
	my $before = show($n, 'dev');
	$node->backup('b');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($node, 'b', has_streaming => 1);
	$standby->start;
	is((sql($standby, 'dev', "SELECT jit_show($n)", 'hr_prod'))[0], $before, 'the same');
	like((sql($standby, 'eve', "SELECT jit_show($n)", 'hr_prod'))[1], qr/It does not concern you/, '... to the same people');
	$standby->stop;
};

all_attacks_done();
$node->stop;
done_testing();
