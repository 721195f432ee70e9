# Gateways: whoever has a chat bot's password, or a person's account in the
# chat, can do what that person could have done through it, and nothing else.
#
# The attacks are lines of attacks.md.  Guards base/gateway.c, person.c,
# request/identity.c and what others ask of them.  Seen to fail without, one by
# one: of a gateway, its attributes, memberships, what it owns, and that it acts
# for nobody any more at the end; of jit_act_for(), who may, the block, savepoints,
# a second one, the other gateway, the setting that it has left, superusers, who
# may not log in, who is a gateway; the look again before the commit, its lock on
# the row, and that it is noted what was recorded; that a look is a second old at
# most, and of this statement; tokens, that they are of this request and of one;
# that nobody is acted for without saying so; administration, the wide view and
# its events; of linking, the other role, superusers, expiry, the gateway that
# left, the other person, the other gateway, what an identity may hold; who may
# offer and unlink; four eyes by via of requests and approvals, by roles of one
# identity, through a third, and in a copy; direct steps, and that they are fixed;
# grantees, requesters, approvers; search_path, and statements of one's own.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $super = getpwuid($<) . '';
my $gateways = 'bot, bot2';
my $node = new_server('gw', "jit_access.admin_role = 'admin'\njit_access.auditor_role = 'auditors'\njit_access.gateway_logins = '$gateways'\n"
	. "jit_access.proxy_logins = 'pool'\njit_access.default_risk = 'low'\njit_access.max_pending = 1000", extra => [ '--encoding', 'UTF8', '--no-locale' ]);
create_hr($node);
my @others = map { "p$_" } 1 .. 9;
$node->safe_psql('hr_prod', join ';', (map { "CREATE ROLE $_ LOGIN" } qw(carl aud ben sam gus nora bot bot2 pool dev2 dev3), @others),
	'CREATE ROLE admin', 'GRANT admin TO carl', 'CREATE ROLE auditors', 'GRANT auditors TO aud', 'GRANT eve TO pool', 'GRANT hr_owner TO ben',
	'CREATE ROLE security', 'GRANT security TO anna, ben, sam, ' . join(', ', @others),
	'CREATE SCHEMA bot AUTHORIZATION bot', 'CREATE SCHEMA eve AUTHORIZATION eve', 'GRANT USAGE ON SCHEMA hr TO PUBLIC',
	q{DO $$ BEGIN FOR i IN 1 .. 200 LOOP EXECUTE format('CREATE TABLE hr.t%s ()', i); EXECUTE format('ALTER TABLE hr.t%s OWNER TO hr_owner', i); END LOOP; END $$},
	q{SELECT jit_set_flow('low', '[{"approver": "security"}]')},
	q{SELECT jit_set_flow('moderate', '[{"approver": "security", "approvals": 3}]')},
	q{SELECT jit_set_policy('high', 'high', '$.ticket == "high"'), jit_set_policy('three', 'moderate', '$.ticket == "three"')});

# ---- sessions, one each

my %session;

# Statements, each sent by itself; what they return, and their errors.
sub as
{
	my ($who, $sql) = @_;
	$session{$who} //= do { my $s = session($node, $who, 'hr_prod'); $s->do('SET client_min_messages = warning'); $s };
	my @result = $session{$who}->do($sql);
	return wantarray ? @result : $result[0];
}
sub super { my ($out, $err) = as($super, $_[0]); die $err if $err =~ /ERROR/; return $out; }

# A code, and its use.
sub offered
{
	my ($identity, $gateway) = @_;
	my ($code, $err) = as($gateway // 'bot', "SELECT jit_offer_identity('$identity')");
	die $err unless $code =~ /^[0-9a-f]{32}$/;
	return $code;
}
sub link_to
{
	my ($role, $identity, $gateway) = @_;
	my $code = offered($identity, $gateway);
	my ($out, $err) = as($role, "SELECT jit_link_identity('$code')");
	die $err unless $out eq $identity;
	return;
}

# A transaction of a gateway's for somebody; ends with COMMIT, or "$end".
sub act
{
	my ($identity, $sql, %with) = @_;
	my $token = $with{token} ? ", '$with{token}'" : '';
	my ($out, $err) = as($with{by} // 'bot', "BEGIN;\nSELECT jit_act_for('$identity'$token);\n$sql;\n" . ($with{end} // 'COMMIT') . ";");
	# the role that it is
	$out =~ s/^.*\n?//;
	return wantarray ? ($out, $err) : $out;
}

# What is asked for, a table each time.
my $tables = 0;
sub text { return sprintf q{'SELECT ON hr.t%d', '1 h', 'x'}, ++$tables; }
sub asks
{
	my ($who, $more) = @_;
	my ($n, $err) = as($who, 'SELECT jit_request(' . text() . ($more // '') . ')');
	die $err unless $n =~ /^\d+$/;
	return $n;
}
sub asks_via
{
	my ($identity, $more) = @_;
	my ($n, $err) = act($identity, 'SELECT jit_request(' . text() . ($more // '') . ')');
	die $err unless $n =~ /^\d+$/;
	return $n;
}
sub status { return super("SELECT status FROM jit.requests WHERE id = $_[0]"); }

sub refused
{
	my ($result, $state, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = @$result;
	return like($err, qr/ERROR:  $state: /, $name // 'refused');
}
sub passes
{
	my ($result, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = @$result;
	return is($err =~ /ERROR/ ? $err : $out, $expected, $name // 'passes');
}

# The setting, known to all sessions.
sub set_gateways
{
	my ($value) = @_;
	super("ALTER SYSTEM SET jit_access.gateway_logins = $value");
	super('SELECT pg_reload_conf()');
	foreach my $who (keys %session)
	{
		wait_until(sub { as($who, 'SHOW jit_access.gateway_logins') eq $value =~ s/'//gr }) or die "$who does not know";
	}
	return;
}

link_to('eve', 'slack:eve');
link_to('sam', 'slack:sam');
link_to('anna', 'slack:anna');
link_to('carl', 'slack:carl');
link_to('aud', 'slack:aud');

# ---- identities

attack 'a superuser links an identity' => sub {
	my $code = offered('slack:root');
	refused([ as($super, "SELECT jit_link_identity('$code')") ], 42501);
	is(super(q{SELECT count(*) FROM jit.identities WHERE identity = 'slack:root'}), '0', 'it is not linked');
};
attack 'who becomes a superuser once linked' => sub {
	link_to('gus', 'slack:gus');
	as('bot', "BEGIN; SELECT jit_act_for('slack:gus')");
	super('ALTER ROLE gus SUPERUSER');
	refused([ as('bot', 'SELECT jit_request(' . text() . ')') ], 42501, 'in a transaction that acts already');
	as('bot', 'ROLLBACK');
	refused([ act('slack:gus', 'SELECT 1') ], 42501);
	super('ALTER ROLE gus NOSUPERUSER');
	passes([ act('slack:gus', 'SELECT 1') ], '1', 'not any more: it goes on');
};
attack 'a code used twice' => sub {
	my $code = offered('slack:nora');
	passes([ as('nora', "SELECT jit_link_identity('$code')") ], 'slack:nora', 'once');
	refused([ as($_, "SELECT jit_link_identity('$code')") ], 22023, "then by $_") for qw(nora dev);
};
attack 'a code used late' => sub {
	my $code = offered('slack:late');
	super(q{UPDATE jit.identity_codes SET expires_at = clock_timestamp() - interval '1 s' WHERE identity = 'slack:late'});
	refused([ as('nora', "SELECT jit_link_identity('$code')") ], 22023);
	offered('slack:another');
	is(super(q{SELECT count(*) FROM jit.identity_codes WHERE identity = 'slack:late'}), '0', 'it goes with the next offer');
};
attack 'a code that a later one has replaced' => sub {
	my ($first, $second) = (offered('slack:nora2'), offered('slack:nora2'));
	refused([ as('nora', "SELECT jit_link_identity('$first')") ], 22023);
	passes([ as('nora', "SELECT jit_link_identity('$second')") ], 'slack:nora2', 'the later one');
};
attack 'a code used by somebody else' => sub {
	my $code = offered('slack:dev');
	as('gus', 'SET client_min_messages = notice');
	my ($out, $err) = as('gus', "SELECT jit_link_identity('$code')");
	like($err, qr/NOTICE: .*gateway bot acts for you \(role gus\) when it is told to by slack:dev/, 'it acts for who used it, and says so');
	refused([ as('dev', "SELECT jit_link_identity('$code')") ], 22023, 'the own use then fails');
	is(super(q{SELECT role || ' ' || (detail->>'identity') || ' ' || (detail->>'role') FROM jit.events WHERE event = 'identity_linked' ORDER BY id DESC LIMIT 1}), 'gus slack:dev gus', '... and it is on record');
	passes([ as('gus', q{SELECT jit_unlink_identity('slack:dev')}) ], '', 'they can end it');
};
attack 'a code used in another database' => sub {
	my $code = offered('slack:dev');
	super('CREATE DATABASE other');
	$node->safe_psql('other', 'CREATE EXTENSION jit_access');
	refused([ sql($node, 'dev', "SELECT jit_link_identity('$code')", 'other') ], 22023);
	passes([ as('dev', "SELECT jit_link_identity('$code')") ], 'slack:dev', 'here it works');
};
attack 'a code whose gateway has left the setting' => sub {
	my $code = offered('slack:left', 'bot2');
	set_gateways("'bot'");
	refused([ as('nora', "SELECT jit_link_identity('$code')") ], 22023);
	set_gateways("'$gateways'");
};
attack 'wrong codes' => sub {
	my $code = offered('slack:guessed');
	refused([ as('p1', "SELECT jit_link_identity($_)") ], '(?:22023|22004|54000)', substr $_, 0, 30)
	  for "''", "' '", "'x'", "'" . '0' x 32 . "'", "'" . uc($code) . "'", "'${code}0'", "'" . substr($code, 1) . "'", 'NULL', "repeat('0', 1000000)",
	  "'\\x$code'", "'$code'' OR true --'";
	refused([ as('p1', q{SELECT jit_link_identity((SELECT string_agg(digest::text, '') FROM jit.identity_codes))}) ], 42501, 'a subquery');
	passes([ as('p1', "SELECT jit_link_identity(' $code\n')") ], 'slack:guessed', 'none was used up');
	as('p1', q{SELECT jit_unlink_identity('slack:guessed')});
};
attack 'linking in what others made' => sub {
	my $code = offered('slack:made');
	as('eve', "CREATE FUNCTION eve.f() RETURNS text LANGUAGE plpgsql AS \$\$BEGIN RETURN jit_link_identity('$code'); END\$\$;
		CREATE FUNCTION eve.g() RETURNS text LANGUAGE sql SECURITY DEFINER AS \$\$SELECT jit_link_identity('$code')\$\$;
		CREATE VIEW eve.v AS SELECT jit_link_identity('$code'); GRANT SELECT ON eve.v TO PUBLIC; GRANT USAGE ON SCHEMA eve TO PUBLIC");
	refused([ as('p1', $_) ], 42501, $_) for 'SELECT eve.f()', 'SELECT eve.g()', 'TABLE eve.v', "DO \$\$ BEGIN PERFORM jit_link_identity('$code'); END \$\$",
	  "PREPARE l AS SELECT jit_link_identity('$code'); EXECUTE l";
	is(super(q{SELECT count(*) FROM jit.identities WHERE identity = 'slack:made'}), '0', 'nothing is linked');
};
attack 'linking under SET ROLE' => sub {
	my $code = offered('slack:set');
	refused([ as('anna', "SET ROLE hr_owner; SELECT jit_link_identity('$code'); RESET ROLE") ], 42501, 'as a group');
	super(q{CREATE ROLE oncall; GRANT USAGE ON SCHEMA hr TO oncall});
	as('anna', 'SELECT jit_approve(' . as('dev3', q{SELECT jit_request('oncall', '1 h', 'x')}) . ')');
	is(as('dev3', 'SET ROLE oncall; SELECT current_user; RESET ROLE'), 'oncall', 'dev3 may SET ROLE for an hour');
	refused([ as('dev3', "SET ROLE oncall; SELECT jit_link_identity('$code'); RESET ROLE") ], 42501, 'through temporary access');
	refused([ as($super, "SET SESSION AUTHORIZATION nora; SELECT jit_link_identity('$code'); RESET SESSION AUTHORIZATION") ], 42501, 'by a superuser, for somebody');
	is(super(q{SELECT count(*) FROM jit.identities WHERE identity = 'slack:set'}), '0', 'nothing is linked');
};
attack 'linking behind a proxy' => sub {
	my $code = offered('slack:pool');
	refused([ as('pool', "SELECT jit_link_identity('$code')") ], 42501, 'as the proxy');
	refused([ as('pool', "SET ROLE eve; SELECT jit_link_identity('$code'); RESET ROLE") ], 42501, 'as somebody');
};
attack 'a gateway links an identity' => sub {
	my $code = offered('slack:bot');
	refused([ as($_, "SELECT jit_link_identity('$code')") ], 42501, "$_ itself") for qw(bot bot2);
	refused([ act('slack:eve', "SELECT jit_link_identity('$code')") ], 42501, 'for whom it acts');
};
attack 'an identity that is linked already' => sub {
	my $code = offered('slack:eve');
	refused([ as('dev', "SELECT jit_link_identity('$code')") ], 23505, 'by another');
	passes([ as('eve', "SELECT jit_link_identity('$code')") ], 'slack:eve', 'by the same');
	is(super(q{SELECT count(*) FROM jit.identities WHERE identity = 'slack:eve'}), '1', '... which changes nothing');
	$code = offered('slack:eve', 'bot2');
	refused([ as('eve', "SELECT jit_link_identity('$code')") ], 23505, 'by the same, through another gateway');
};
attack 'an identity offered by who is no gateway' => sub {
	refused([ as($_, q{SELECT jit_offer_identity('slack:x')}) ], 42501, $_) for 'dev', 'carl', 'pool', $super;
	refused([ act('slack:eve', q{SELECT jit_offer_identity('slack:x')}) ], 42501, 'while it acts for somebody');
	refused([ as('bot', q{DO $$ BEGIN PERFORM jit_offer_identity('slack:x'); END $$}) ], 42501, 'in a DO block');
};
attack 'an identity that looks like another one' => sub {
	refused([ as('bot', "SELECT jit_offer_identity($_)") ], '(?:22023|22004|54000)', $_) for q{E'slack:eve\u200b'}, q{E'slack:\u202eeve'}, q{E'slack:eve\n'}, q{E'slack:eve\r'},
	  q{'slack:eve '}, q{' slack:eve'}, q{E'slack:\teve'}, q{E'slack:eve\u00a0'}, q{E'\ufeffslack:eve'}, q{E'slack:\u2028eve'}, q{E'slack:eve\u3000'}, q{E'sl\u0430ck:eve'}, q{''}, q{'  '}, 'NULL', q{repeat('x', 201)}, q{repeat('x', 1000000)};
};
attack 'two links of one code at once' => sub {
	my $code = offered('slack:p1');
	as('p1', "BEGIN; SELECT jit_link_identity('$code')");
	as('p2', 'SELECT 1');
	$session{p2}->begin("SELECT jit_link_identity('$code')");
	ok(wait_until(sub { waits($node, $session{p2}) }), 'the second waits');
	as('p1', 'COMMIT');
	refused([ $session{p2}->end ], 22023);
};
attack 'one identity, offered by two gateways, linked at once' => sub {
	my ($code, $code2) = (offered('slack:two'), offered('slack:two', 'bot2'));
	as('p1', "BEGIN; SELECT jit_link_identity('$code')");
	$session{p2}->begin("SELECT jit_link_identity('$code2')");
	ok(wait_until(sub { waits($node, $session{p2}) }), 'the second waits');
	as('p1', 'COMMIT');
	refused([ $session{p2}->end ], 23505);
};
attack 'unlinking' => sub {
	refused([ as($_, q{SELECT jit_unlink_identity('slack:p1')}) ], 42501, "by $_") for qw(dev bot aud p2);
	refused([ act('slack:p1', q{SELECT jit_unlink_identity('slack:p1')}) ], 42501, 'through the gateway');
	refused([ as('dev', q{SELECT jit_unlink_identity('slack:nobody')}) ], 42501, 'what is not there, by who may not');
	refused([ as('carl', q{SELECT jit_unlink_identity('slack:nobody')}) ], 42704, '... and who may');
	passes([ as('p1', q{SELECT jit_unlink_identity('slack:p1')}) ], '', 'by the person');
	passes([ as('carl', q{SELECT jit_unlink_identity('slack:two')}) ], '', 'by an administrator');
	refused([ as('carl', q{SELECT jit_unlink_identity('slack:two')}) ], 42704, 'twice');
	is(super(q{SELECT string_agg(role || ': ' || (detail->>'identity') || ' of ' || (detail->>'role'), ', ' ORDER BY id) FROM
		(SELECT * FROM jit.events WHERE event = 'identity_unlinked' ORDER BY id DESC LIMIT 2) e}), 'p1: slack:p1 of p1, carl: slack:two of p1', 'both are on record');
	is(super(q{SELECT count(*) FROM jit.identities WHERE identity IN ('slack:p1', 'slack:two') AND unlinked_at IS NOT NULL}), '2', '... and the rows stay');
};
attack 'who reads jit.identities' => sub {
	my $identities = q{SELECT coalesce(string_agg(identity, ' ' ORDER BY identity, linked_at), '') FROM jit.identities};
	my $open = super("$identities WHERE unlinked_at IS NULL");
	my $all = super($identities);
	isnt($all, $open, 'some are unlinked');
	is(as('eve', $identities), 'slack:eve', 'eve: her own');
	is(as('p2', $identities), '', 'p2: none');
	is(as('p1', $identities), 'slack:guessed slack:p1 slack:two', 'p1: those that ended, too');
	is(as($_, $identities), $all, "$_: all") for qw(carl aud);
	is(as($_, $identities), $open, "$_: the open ones") for qw(bot bot2);
	passes([ act($_, $identities) ], $_, "the gateway, for $_: that one's") for qw(slack:eve slack:carl slack:aud);
	as('eve', q{CREATE FUNCTION eve.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$BEGIN RAISE WARNING 'leaked %', $1; RETURN true; END$$});
	my (undef, $err) = as('eve', 'SELECT FROM jit.identities WHERE eve.leak(identity)');
	is(join(' ', $err =~ /leaked (\S+)/g), 'slack:eve', 'a leaky function sees what is shown');
};
attack 'who reads codes' => sub {
	offered('slack:read');
	is(as($_, 'SELECT count(*) FROM jit.identity_codes'), '0', "$_: none") for qw(dev eve carl bot bot2 anna);
	is(super(q{SELECT bool_and(length(digest) = 32) FROM jit.identity_codes}), 't', 'there are digests only');
	refused([ as($_, "INSERT INTO jit.identity_codes SELECT sha256('x'), 'slack:x', 'bot', 'bot'::regrole, origin, 'infinity' FROM jit.identities LIMIT 1") ], 42501, "$_ makes none") for qw(bot carl aud);
	refused([ as($_, q{UPDATE jit.identities SET unlinked_at = NULL}) ], 42501, "$_ links nothing that way") for qw(bot carl aud);
};

# ---- jit_act_for

attack 'acting in autocommit' => sub {
	refused([ as('bot', q{SELECT jit_act_for('slack:eve')}) ], '25P01');
	refused([ as('bot', 'SELECT jit_request(' . text() . ')') ], 42501, '... and then it is for nobody');
};
attack 'acting in a savepoint' => sub {
	refused([ as('bot', "BEGIN; SAVEPOINT s; SELECT jit_act_for('slack:eve'); ROLLBACK") ], '25P01');
};
attack 'acting in what is no statement of its own' => sub {
	as('bot', q{CREATE FUNCTION bot.f() RETURNS name LANGUAGE plpgsql AS $$BEGIN RETURN jit_act_for('slack:eve'); END$$;
		CREATE FUNCTION bot.g() RETURNS name LANGUAGE sql STABLE AS $$SELECT jit_act_for('slack:eve')$$;
		CREATE VIEW bot.v AS SELECT jit_act_for('slack:eve');
		PREPARE p AS SELECT jit_act_for('slack:eve')});
	refused([ as('bot', "BEGIN; $_; ROLLBACK") ], 42501, $_) for 'SELECT bot.f()', 'SELECT bot.g()', 'TABLE bot.v', 'EXECUTE p',
	  q{DO $$ BEGIN PERFORM jit_act_for('slack:eve'); END $$}, q{WITH w AS (SELECT jit_act_for('slack:eve')) TABLE w}, q{DECLARE c CURSOR FOR SELECT jit_act_for('slack:eve'); FETCH c};
};
attack 'acting for two' => sub {
	refused([ act('slack:eve', q{SELECT jit_act_for('slack:sam')}) ], 25001, 'another');
	refused([ act('slack:eve', q{SELECT jit_act_for('slack:eve')}) ], 25001, 'the same again');
	refused([ act('slack:eve', q{SAVEPOINT s; SELECT jit_act_for('slack:sam')}) ], 25001, 'in a savepoint');
};
attack 'AND CHAIN' => sub {
	foreach my $end ('COMMIT AND CHAIN', 'ROLLBACK AND CHAIN')
	{
		my ($out, $err) = act('slack:eve', "SELECT jit_cancel(jit_request(" . text() . "))", end => "$end; SELECT jit_request(" . text() . '); ROLLBACK');
		($out, $err) = act('slack:eve', 'SELECT 1', end => "$end;\nSELECT jit_request(" . text() . ');' . "\nROLLBACK");
		refused([ $out, $err ], 42501, "$end: then for nobody");
		like($err, qr/gateway bot neither asks nor decides itself/, '... and it says so');
	}
};
attack 'the next transaction of a pooled connection' => sub {
	foreach my $end ('COMMIT', 'ROLLBACK', 'SELECT 1/0; COMMIT')
	{
		act('slack:eve', 'SELECT 1', end => $end);
		refused([ as('bot', 'BEGIN; SELECT jit_request(' . text() . '); ROLLBACK') ], 42501, "after $end");
		is(as('bot', 'SELECT count(*) > 1 FROM jit.identities'), 't', '... it sees what a gateway sees');
	}
};
attack 'a savepoint that is rolled back' => sub {
	my ($n) = act('slack:eve', 'SAVEPOINT s; SELECT 1; ROLLBACK TO s; SELECT jit_request(' . text() . ')');
	like($n, qr/^1\n\d+$/, 'it acts on');
	$n =~ s/.*\n//;
	is(super("SELECT requester || ' ' || via FROM jit.requests WHERE id = $n"), 'eve slack:eve', '... for the same');
};
attack 'an identity of another gateway' => sub {
	refused([ act('slack:eve', 'SELECT 1', by => 'bot2') ], 42704);
};
attack 'an identity that is linked to nobody' => sub {
	refused([ act($_, 'SELECT 1') ], '(?:42704|22023)', $_) for 'slack:p1', 'slack:nobody', 'eve', 'SLACK:EVE', '';
};
attack 'unlinked before the call' => sub {
	link_to('p1', 'slack:p1');
	as('bot', q{BEGIN; SELECT jit_act_for('slack:p1')});
	is(as('bot', 'SELECT count(*) FROM jit.identities'), '4', 'it acts');
	as('p1', q{SELECT jit_unlink_identity('slack:p1')});
	as('bot', 'SAVEPOINT s');
	foreach ('SELECT jit_request(' . text() . ')', 'SELECT count(*) FROM jit.my_requests', 'SELECT count(*) FROM jit.identities', 'SELECT jit_cancel(1)')
	{
		refused([ as('bot', $_) ], 42501, $_);
		as('bot', 'ROLLBACK TO s');
	}
	as('bot', 'ROLLBACK');
};
attack 'unlinked within one statement' => sub {
	link_to('p1', 'slack:p1');
	as('bot', q{BEGIN; SELECT jit_act_for('slack:p1')});
	$session{bot}->begin(q{DO $$ BEGIN LOOP PERFORM FROM jit.my_requests; PERFORM pg_sleep(0.1); END LOOP; END $$});
	ok(wait_until(sub { super("SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $session{bot}{pid}") eq 't' }), 'it has looked');
	as('p1', q{SELECT jit_unlink_identity('slack:p1')});
	refused([ $session{bot}->end ], 42501, 'it ends');
	as('bot', 'ROLLBACK');
};
attack 'unlinked between the call and COMMIT' => sub {
	link_to('p1', 'slack:p1');
	my ($n) = act('slack:p1', 'SELECT jit_request(' . text() . ')', end => '');
	like($n, qr/^\d+$/, 'asked');
	as('p1', q{SELECT jit_unlink_identity('slack:p1')});
	refused([ as('bot', 'COMMIT') ], 42501, 'COMMIT is refused');
	is(super("SELECT count(*) FROM jit.requests WHERE id = $n"), '0', '... and nothing happened');
};
attack 'an unlinking that is open at COMMIT' => sub {
	foreach my $end ('ROLLBACK', 'COMMIT')
	{
		link_to('p1', 'slack:p1') if $end eq 'ROLLBACK';
		my ($n) = act('slack:p1', 'SELECT jit_request(' . text() . ')', end => '');
		as('p1', q{BEGIN; SELECT jit_unlink_identity('slack:p1')});
		$session{bot}->begin('COMMIT');
		ok(wait_until(sub { waits($node, $session{bot}) }), 'COMMIT waits for it');
		as('p1', $end);
		my @result = $session{bot}->end;
		if ($end eq 'COMMIT') { refused(\@result, 42501, 'unlinked: refused'); }
		else { passes(\@result, '', 'not unlinked: it commits'); }
		is(super("SELECT count(*) FROM jit.requests WHERE id = $n"), $end eq 'COMMIT' ? '0' : '1', '... and so it is');
	}
};
attack 'a role that is locked' => sub {
	link_to('p1', 'slack:p1');
	super(q{REVOKE CONNECT ON DATABASE hr_prod FROM PUBLIC; GRANT CONNECT ON DATABASE hr_prod TO PUBLIC});
	foreach ([ 'ALTER ROLE p1 NOLOGIN', 'ALTER ROLE p1 LOGIN' ],
		[ q{ALTER ROLE p1 VALID UNTIL '2020-01-01'}, q{ALTER ROLE p1 VALID UNTIL 'infinity'} ],
		[ 'REVOKE CONNECT ON DATABASE hr_prod FROM PUBLIC', 'GRANT CONNECT ON DATABASE hr_prod TO PUBLIC' ])
	{
		my ($lock, $unlock) = @$_;
		as('bot', q{BEGIN; SELECT jit_act_for('slack:p1')});
		super($lock);
		refused([ as('bot', 'SELECT jit_request(' . text() . ')') ], 42501, "$lock: in a transaction that acts already");
		as('bot', 'ROLLBACK');
		refused([ act('slack:p1', 'SELECT 1') ], 42501, '... and anew');
		super($unlock);
		my ($n) = act('slack:p1', 'SELECT jit_request(' . text() . ')', end => '');
		super($lock);
		refused([ as('bot', 'COMMIT') ], 42501, '... between the call and COMMIT');
		super($unlock);
	}
	passes([ act('slack:p1', 'SELECT 1') ], '1', 'unlocked: it goes on');
};
attack 'a role that is dropped, and made anew' => sub {
	super('CREATE ROLE tmp LOGIN');
	link_to('tmp', 'slack:tmp');
	$session{tmp}->quit;
	delete $session{tmp};
	super('DROP ROLE tmp');
	refused([ act('slack:tmp', 'SELECT 1') ], 42501, 'dropped');
	super('CREATE ROLE tmp LOGIN');
	refused([ act('slack:tmp', 'SELECT 1') ], 42501, 'made anew');
	my $code = offered('slack:tmp');
	refused([ as('tmp', "SELECT jit_link_identity('$code')") ], 23505, 'it is still the other one\'s');
	as('carl', q{SELECT jit_unlink_identity('slack:tmp')});
	passes([ as('tmp', "SELECT jit_link_identity('$code')") ], 'slack:tmp', '... until an administrator ends that');
};
attack 'a role that is renamed' => sub {
	super('ALTER ROLE gus RENAME TO gustav');
	is((as('bot', q{BEGIN; SELECT jit_act_for('slack:gus'); COMMIT}))[0], 'gustav', 'it goes on, under the name of now');
	super('ALTER ROLE gustav RENAME TO gus');
};
attack 'acting by who is no gateway' => sub {
	refused([ as($_, q{BEGIN; SELECT jit_act_for('slack:eve'); ROLLBACK}) ], 42501, $_) for 'dev', 'eve', 'carl', 'pool', $super;
};
attack 'several statements of one simple query' => sub {
	my ($out, $err) = as('bot', q{SELECT jit_act_for('slack:eve')\; SELECT count(*) FROM jit.identities;} . "\nSELECT count(*) > 1 FROM jit.identities");
	is($out, "eve\n1\nt", 'it acts to the end of that transaction, and no longer');
	refused([ as('bot', q{BEGIN\; SELECT jit_act_for('slack:eve')\; COMMIT\; SELECT jit_request(} . text() . ');') ], 42501, 'nor after its own');
	passes([ as('bot', q{BEGIN\; SELECT jit_act_for('slack:eve')\; COMMIT\; BEGIN\; SELECT jit_act_for('slack:carl')\; SELECT string_agg(identity, ' ') FROM jit.identities\; COMMIT;}) ], "eve\ncarl\nslack:carl", 'another one, for another');
};
attack 'a gateway that leaves the setting meanwhile' => sub {
	my ($n) = act('slack:eve', 'SELECT jit_request(' . text() . ')', end => '');
	super(q{ALTER SYSTEM SET jit_access.gateway_logins = 'bot2'});
	super('SELECT pg_reload_conf()');
	ok(wait_until(sub { as('bot', 'SHOW jit_access.gateway_logins') eq 'bot2' }), 'it has left');
	refused([ as('bot', 'COMMIT') ], 42501, 'COMMIT is refused');
	refused([ as('bot', q{BEGIN; SELECT jit_act_for('slack:eve'); ROLLBACK}) ], 42501, 'nothing more');
	is(as('bot', 'SELECT count(*) FROM jit.identities'), '0', '... and nothing is seen');
	set_gateways("'$gateways'");
};
attack 'a person whose role becomes a gateway or a proxy' => sub {
	set_gateways("'bot, bot2, gus'");
	refused([ act('slack:gus', 'SELECT 1') ], 42501);
	set_gateways("'$gateways'");
	my $n = asks('dev', ", ticket => 'three'");
	as('p9', "SELECT jit_approve($n)");
	set_gateways("'bot, bot2, p9'");
	is(super("SELECT given FROM jit.pending WHERE request = $n"), '0', 'an approval of theirs does not count');
	set_gateways("'$gateways'");
};

# ---- what it may do for people

attack 'administration by an administrator\'s identity' => sub {
	my $n = asks('dev');
	refused([ act('slack:carl', $_) ], 42501, $_) for q{SELECT jit_set_policy('x', 'low', 'true')}, q{SELECT jit_set_flow('low', '[]')}, q{SELECT jit_drop_policy('high')},
	  q{SELECT jit_set_label('TABLE hr.salary', 'x')}, q{SECURITY LABEL FOR jit_access ON TABLE hr.salary IS 'x'}, q{SELECT jit_archive(now())}, q{SELECT jit_revoke_from('dev', 'x')},
	  q{SELECT jit_revoke_all('x')}, 'SELECT jit_reset_clock()', 'SELECT jit_config()', 'SELECT jit_standing_access()', q{SELECT jit_grant('SELECT ON hr.salary', 'dev', '1 h', 'x')},
	  "SELECT jit_reject($n, 'x')", "SELECT jit_cancel($n)", "SELECT jit_show($n)", 'SELECT jit_events_after()', q{SELECT jit_request('SELECT ON hr.salary', '1 h', 'x', grantee => 'dev')};
	super('CREATE ROLE crew; GRANT crew TO carl, dev');
	my $m = asks('dev', ", grantee => 'crew'");
	refused([ act('slack:carl', "SELECT jit_reject($m, 'x')") ], 42501, 'what concerns them');
	is(status($n) . status($m), 'pendingpending', 'nothing happened');
	super('REVOKE crew FROM carl');
	refused([ act('slack:anna', q{SELECT jit_grant('SELECT ON hr.salary', 'dev', '1 h', 'x')}) ], 42501, 'jit_grant() by an approver');
};
attack 'what an administrator\'s and an auditor\'s identity sees' => sub {
	as('anna', 'SELECT jit_approve(' . asks('dev') . q{, 'ok')});
	as('anna', 'SELECT jit_reject(' . asks('dev') . q{, 'no')});
	asks('dev');
	foreach my $who (qw(carl aud))
	{
		is(as($who, "SELECT count(*) > 0 FROM jit.$_"), 't', "$who sees $_ directly") for qw(pending active_grants history refused);
		passes([ act("slack:$who", "SELECT count(*) FROM jit.$_") ], '0', "$who through the gateway not: $_")
		  for qw(inbox my_requests pending active_grants history refused my_access requests request_items reviews grants events risk_policies approval_flows identity_codes);
		refused([ act("slack:$who", "SELECT $_") ], 42501, "... nor $_") for 'jit_events_after()', 'jit_config()', 'jit_standing_access()';
	}
};
attack 'what a person sees' => sub {
	my $n = asks_via('slack:eve');
	my $m = asks('dev');
	passes([ act('slack:eve', 'SELECT string_agg(request::text, $$ $$) FROM jit.my_requests WHERE request >= ' . $n) ], $n, 'eve: her own');
	passes([ act('slack:eve', "SELECT count(*) FROM jit.pending WHERE request = $m") ], '0', '... not dev\'s');
	refused([ act('slack:eve', "SELECT jit_show($m)") ], 42501, '... nor by jit_show()');
	like(act('slack:eve', "SELECT jit_show($n)"), qr/asked by eve \(via slack:eve\)/, 'jit_show() of her own');
	passes([ act('slack:sam', "SELECT string_agg(request::text, ' ' ORDER BY request) FROM jit.inbox WHERE request >= $n") ], "$n $m", 'sam: what he could approve');
	like(act('slack:sam', "SELECT grantee FROM jit.inbox WHERE request = $n"), qr/\(via\s+slack:eve\)/, '... and by whom it is');
	passes([ act('slack:sam', "SELECT jit_approve($n)") ], 'active', 'he approves it');
	passes([ act('slack:eve', "SELECT string_agg(request::text, ' ') FROM jit.$_ WHERE request = $n") ], $n, "eve sees it in $_") for qw(active_grants history);
	like(act('slack:eve', 'SELECT count(*) FROM jit.my_access'), qr/^[1-9]/, 'and in my_access');
	passes([ act('slack:eve', 'SELECT jit_extend(' . $n . q{, '2 h', 'more')}) =~ /^(\d+)$/ ? ('extended', '') : ('not', '') ], 'extended', 'she extends it');
	passes([ act('slack:eve', "SELECT jit_revoke($n)") ], 'revoked', 'and ends it');
};
attack 'direct steps' => sub {
	my $asks = sub { my ($flow, $ticket) = @_; super("SELECT jit_set_flow('$_', '$flow')") for 'low', 'high'; return asks('dev', ", ticket => '$ticket'"); };
	my $direct = qr/ERROR:  42501: .*DETAIL:  This step takes no approval through a gateway/s;
	my $said = $asks->('[{"approver": "security", "direct": true}]', 'low');
	like((act('slack:sam', "SELECT jit_approve($said)"))[1], $direct, 'said, at low risk');
	my $unsaid = $asks->('[{"approver": "security"}]', 'high');
	like((act('slack:sam', "SELECT jit_approve($unsaid)"))[1], $direct, 'unsaid, at high risk');
	passes([ act('slack:sam', "SELECT count(*) FROM jit.inbox WHERE request IN ($said, $unsaid)") ], '0', 'they are not in the inbox there');
	is(as('bot', "SELECT string_agg(direct::text, ' ') FROM jit.pending WHERE request IN ($said, $unsaid)"), 'true true', 'jit.pending says it');
	like(as('dev', "SELECT jit_show($said)"), qr/step 1: 1 approval by security, directly/, 'jit_show() as well');
	passes([ act('slack:sam', "SELECT jit_reject($unsaid, 'no')") ], 'rejected', 'rejecting passes');
	passes([ as('sam', "SELECT jit_approve($said)") ], 'active', 'approving directly as well');
	my $let = $asks->('[{"approver": "security", "direct": false}]', 'high');
	passes([ act('slack:sam', "SELECT jit_approve($let)") ], 'active', 'false, at high risk: it passes');
	my $filed = $asks->('[{"approver": "security", "direct": true}]', 'high');
	my $filed_let = $asks->('[{"approver": "security", "direct": false}]', 'high');
	super(q{SELECT jit_set_flow('high', '[{"approver": "security", "direct": true}]')});
	passes([ act('slack:sam', "SELECT jit_approve($filed_let)") ], 'active', 'changed to true after it was filed: as it was');
	super(q{SELECT jit_set_flow('high', '[{"approver": "security", "direct": false}]')});
	like((act('slack:sam', "SELECT jit_approve($filed)"))[1], $direct, 'changed to false after it was filed: as it was');
	super(q{DELETE FROM jit.approval_steps WHERE risk = 'high'; DELETE FROM jit.approval_flows WHERE risk = 'high'});
	my $default = asks('dev', ", ticket => 'high'");
	like((act('slack:anna', "SELECT jit_approve($default)"))[1], $direct, 'the flow that there is without any, at high risk');
	my $two = $asks->('[{"approver": "security", "direct": false}, {"approver": "hr_owner"}]', 'high');
	passes([ act('slack:sam', "SELECT jit_approve($two)") ], 'pending', 'the first of two steps');
	like((act('slack:anna', "SELECT jit_approve($two)"))[1], $direct, '... not the second');
	passes([ as('anna', "SELECT jit_approve($two)") ], 'active', '... which is approved directly');
	refused([ as($super, q{SELECT jit_set_flow('low', '[{"approver": "security", "direct": "yes"}]')}) ], 22023, 'what is not true or false');
	super(q{SELECT jit_set_flow('low', '[{"approver": "security"}]')});
};
attack 'what needs a superuser' => sub {
	my $n = asks('dev', ", ticket => 'x'");
	my $m = as('dev', q{SELECT jit_request('pg_monitor', '1 h', 'x')});
	passes([ act('slack:sam', "SELECT jit_approve($m)") ], 'pending', 'the step before');
	refused([ act('slack:anna', "SELECT jit_approve($m)") ], 42501, 'never through a gateway');
};

# ---- four eyes

attack 'who asked approves, by the same identity' => sub {
	my $n = asks_via('slack:sam');
	refused([ act('slack:sam', "SELECT jit_approve($n)") ], 42501);
	passes([ act('slack:anna', "SELECT jit_approve($n)") ], 'active', 'by another it passes');
};
attack 'asked there and approved directly, and the other way round' => sub {
	my ($n, $m) = (asks_via('slack:sam'), asks('sam'));
	refused([ as('sam', "SELECT jit_approve($n)") ], 42501, 'directly');
	refused([ act('slack:sam', "SELECT jit_approve($m)") ], 42501, 'through the gateway');
};
attack 'two identities of one role' => sub {
	link_to('sam', 'portal:sam', 'bot2');
	link_to('sam', 'slack:sam2');
	my $n = asks_via('slack:sam');
	refused([ act('slack:sam2', "SELECT jit_approve($n)") ], 42501);
	refused([ act('portal:sam', "SELECT jit_approve($n)", by => 'bot2') ], 42501, 'through another gateway');
	my $m = asks('dev', ", ticket => 'three'");
	passes([ act('slack:sam', "SELECT jit_approve($m)") ], 'pending', 'one approval');
	refused([ act('portal:sam', "SELECT jit_approve($m)", by => 'bot2') ], 42501, '... counts once');
	refused([ as('sam', "SELECT jit_approve($m)") ], 42501, '... directly as well');
};
attack 'an identity that moves from who asked to who decides' => sub {
	link_to('p2', 'slack:move');
	my $n = asks_via('slack:move');
	my $direct = asks('p2');
	as('p2', q{SELECT jit_unlink_identity('slack:move')});
	passes([ as('p3', "SELECT count(*) FROM jit.inbox WHERE request = $n") ], '1', 'before, p3 could');
	link_to('p3', 'slack:move');
	refused([ act('slack:move', "SELECT jit_approve($n)") ], 42501, 'through the gateway');
	refused([ as('p3', "SELECT jit_approve($_)") ], 42501, 'directly') for $n, $direct;
	refused([ as('p2', 'SELECT jit_approve(' . asks('p3') . ')') ], 42501, 'the other way round');
	as('p3', q{SELECT jit_unlink_identity('slack:move')});
	refused([ as('p3', "SELECT jit_approve($n)") ], 42501, 'also when it has been unlinked again');
	is(as('bot', "SELECT 'p3' = ANY (waiting_for) FROM jit.pending WHERE request = $n"), 'f', '... and nobody waits for p3');
};
attack 'the identity alone' => sub {
	# what nothing but via tells
	link_to('p9', 'slack:alone');
	my $n = asks_via('slack:alone');
	super(qq{UPDATE jit.requests SET requester = 'nora', requester_oid = 'nora'::regrole, login = 'nora', login_oid = 'nora'::regrole, grantee = 'nora', grantee_oid = 'nora'::regrole WHERE id = $n});
	refused([ act('slack:alone', "SELECT jit_approve($n)") ], 42501);
	my $m = asks('dev', ", ticket => 'three'");
	act('slack:alone', "SELECT jit_approve($m)");
	super(qq{UPDATE jit.reviews SET approver = 'p8', approver_oid = 'p8'::regrole, login = 'p8', login_oid = 'p8'::regrole WHERE request_id = $m});
	refused([ act('slack:alone', "SELECT jit_approve($m)") ], 42501, 'nor counts twice');
};
attack 'roles that are one person through a third' => sub {
	link_to('p4', 'slack:a');
	as('p4', q{SELECT jit_unlink_identity('slack:a')});
	link_to('p5', 'slack:a');
	link_to('p5', 'slack:b');
	as('p5', q{SELECT jit_unlink_identity('slack:b')});
	my $n = asks('p4');
	passes([ as('p6', "SELECT count(*) FROM jit.inbox WHERE request = $n") ], '1', 'before, p6 could');
	link_to('p6', 'slack:b');
	refused([ as('p6', "SELECT jit_approve($n)") ], 42501);
	refused([ act('slack:b', "SELECT jit_approve($n)") ], 42501, 'through the gateway');
	passes([ as('p7', "SELECT jit_approve($n)") ], 'active', 'who is not one of them can');
};
attack 'two approvals by roles that are one person' => sub {
	my $n = asks('dev', ", ticket => 'three'");
	as('p4', "SELECT jit_approve($n)");
	refused([ as('p5', "SELECT jit_approve($n)") ], 42501, 'the second is refused');
	as('p7', "SELECT jit_approve($n)");
	is(super("SELECT given FROM jit.pending WHERE request = $n"), '2', 'two of three');
	my $m = asks('dev', ", ticket => 'three'");
	as($_, "SELECT jit_approve($m)") for qw(p7 p8);
	is(super("SELECT given FROM jit.pending WHERE request = $m"), '2', 'of two people');
	link_to('p7', 'slack:c');
	as('p7', q{SELECT jit_unlink_identity('slack:c')});
	link_to('p8', 'slack:c');
	is(super("SELECT given FROM jit.pending WHERE request = $m"), '1', '... who then turn out to be one');
};
attack 'who turn out to be one person before the COMMIT' => sub {
	super('GRANT security TO dev2, dev3');
	link_to('dev2', 'slack:d');
	as('dev2', q{SELECT jit_unlink_identity('slack:d')});
	my $code = offered('slack:d');
	my $n = asks('dev2');
	as('dev3', "BEGIN; SELECT jit_approve($n)");
	# dev3 cannot link in a session that is busy: another one of theirs
	my $other = session($node, 'dev3', 'hr_prod');
	$other->do("SELECT jit_link_identity('$code')");
	$other->quit;
	like((as('dev3', 'COMMIT'))[1], qr/ERROR:  55000: /, 'COMMIT is refused');
	is(status($n), 'pending', '... and it is pending');
	super('REVOKE security FROM dev2, dev3');
};
attack 'who is one person with a member of the grantee' => sub {
	super('CREATE ROLE team; GRANT team TO p4');
	my $n = as('carl', q{SELECT jit_request('SELECT ON hr.t1', '1 h', 'x', grantee => 'team')});
	refused([ as('p5', "SELECT jit_approve($n)") ], 42501);
	like($session{p5}{last_err}, qr/DETAIL: .*one person with you/, '... and it says why');
	passes([ as('p7', "SELECT jit_approve($n)") ], 'active', 'others can');
};
attack 'rights of who is one person with one' => sub {
	my $n = asks('dev2');
	my $m = asks('dev2');
	as('anna', "SELECT jit_approve($m)");
	foreach my $id ($n, $m)
	{
		refused([ as('dev3', "SELECT $_") ], 42501, $_) for "jit_cancel($id)", "jit_revoke($id)", "jit_extend($id, '2 h', 'x')", "jit_show($id)", "jit_reject($id, 'x')";
		refused([ act('slack:d', "SELECT $_") ], 42501, "$_ through the gateway") for "jit_cancel($id)", "jit_revoke($id)", "jit_show($id)";
		is(as('dev3', "SELECT count(*) FROM jit.$_ WHERE request = $id"), '0', "... not in $_") for qw(my_requests pending active_grants history my_access);
	}
	refused([ as('dev2', q{SELECT jit_unlink_identity('slack:d')}) ], 42501, 'nor of what is linked to the other now');
};

# ---- a gateway itself

attack 'a gateway that acts for nobody' => sub {
	my ($n, $m) = (asks('dev'), asks('dev'));
	as('anna', "SELECT jit_approve($m)");
	refused([ as('bot', $_) ], 42501, $_) for 'SELECT jit_request(' . text() . ')', "SELECT jit_approve($n)", "SELECT jit_reject($n, 'x')", "SELECT jit_cancel($n)", "SELECT jit_revoke($m)",
	  "SELECT jit_extend($m, '2 h', 'x')", "SELECT jit_show($n)", 'SELECT jit_standing_access()', 'SELECT jit_config()', q{SELECT * FROM jit_explain('SELECT ON hr.salary')}, 'SELECT jit_archive(now())',
	  q{SELECT jit_revoke_all('x')}, q{SELECT jit_grant('SELECT ON hr.salary', 'dev', '1 h', 'x')};
	is(status($n) . status($m), 'pendingactive', 'nothing happened');
	is(as('bot', "SELECT string_agg(request::text, ' ' ORDER BY request) FROM jit.$_"), super("SELECT string_agg(request::text, ' ' ORDER BY request) FROM jit.$_"), "it reads $_ in full") for qw(pending history refused);
	is(as('bot', "SELECT count(*) FROM jit.$_"), '0', "... not $_") for qw(inbox my_requests active_grants my_access requests request_items reviews grants events risk_policies approval_flows approval_steps scopes identity_codes);
};
attack 'what events a gateway reads' => sub {
	is(as('bot', 'SELECT count(*) = max(id) - min(id) + 1 AND count(mark) = count(*) AND count(event) = count(*) AND count(at) = count(*) AND count(request) > 0 FROM jit_events_after()'), 't', 'each, with mark, number, time, event and request');
	is(as('bot', 'SELECT count(login) + count(role) + count(via) + count(client_addr) + count(detail) FROM jit_events_after()'), '0', '... and nothing else');
	my $mark = as('bot', 'SELECT mark FROM jit_events_after() ORDER BY id DESC LIMIT 1');
	asks('dev');
	is(as('bot', "SELECT event FROM jit_events_after('$mark')"), 'requested', 'it reads on');
};
attack 'a gateway that is more than one' => sub {
	foreach ([ 'a member', 'GRANT security TO bot', 'REVOKE security FROM bot' ],
		[ 'a member of what has nothing', 'CREATE ROLE nothing; GRANT nothing TO bot', 'DROP ROLE nothing' ],
		[ 'owner of a table', 'CREATE TABLE hr.its (); ALTER TABLE hr.its OWNER TO bot', 'DROP TABLE hr.its' ],
		[ 'owner of a function', 'CREATE FUNCTION hr.its() RETURNS int LANGUAGE sql AS $$SELECT 1$$; ALTER FUNCTION hr.its() OWNER TO bot', 'DROP FUNCTION hr.its()' ],
		[ 'owner of a database', 'ALTER DATABASE other OWNER TO bot', "ALTER DATABASE other OWNER TO \"$super\"" ],
		[ 'owner of a large object', 'SELECT lo_create(4711); ALTER LARGE OBJECT 4711 OWNER TO bot', 'SELECT lo_unlink(4711)' ],
		map { [ $_, "ALTER ROLE bot $_", "ALTER ROLE bot NO$_" ] } qw(CREATEROLE CREATEDB BYPASSRLS REPLICATION SUPERUSER))
	{
		my ($what, $made, $undone) = @$_;
		super($made);
		refused([ as('bot', $_) ], 42501, "$what: $_") for 'SELECT count(*) FROM jit.pending', q{SELECT jit_offer_identity('slack:x')}, 'SELECT jit_events_after()', q{BEGIN; SELECT jit_act_for('slack:eve'); ROLLBACK};
		super($undone);
	}
	refused([ as('bot', q{BEGIN; SELECT jit_act_for('slack:eve'); CREATE TEMP TABLE its (); SELECT jit_request('SELECT ON its', '1 h', 'x'); ROLLBACK}) ], 42501, 'owner of a temporary table');
	super('CREATE TABLE bot.given (); ALTER TABLE bot.given OWNER TO bot');
	passes([ as('bot', 'CREATE TABLE bot.its (x int, y text PRIMARY KEY); CREATE SEQUENCE bot.s; CREATE TYPE bot.t AS (x int); SELECT count(*) > 0 FROM jit.pending') ], 't', 'what is in its own schema passes');
};
attack 'a gateway or proxy as grantee, requester or approver' => sub {
	foreach my $who (qw(bot pool))
	{
		refused([ as('carl', 'SELECT jit_request(' . text() . ", grantee => '$who')") ], '0LP01', "$who: for it");
		refused([ as($super, "SELECT jit_grant('SELECT ON hr.salary', '$who', '1 h', 'x')") ], '0LP01', '... by jit_grant()');
		refused([ as($super, qq{SELECT jit_set_flow('low', '[{"any_of": ["security", "$who"]}]')}) ], 22023, '... as approver');
	}
	super('GRANT team TO pool');
	refused([ as('pool', 'SELECT jit_request(' . text() . q{, grantee => 'team')}) ], 42501, 'a proxy as requester');
	like(as('pool', 'SET ROLE eve; SELECT jit_request(' . text() . '); RESET ROLE'), qr/^\d+$/, '... who is somebody may ask');
	my $n = asks('nora');
	set_gateways("'bot, bot2, nora'");
	refused([ as('anna', "SELECT jit_approve($n)") ], '0LP01', 'who becomes one before it is approved');
	set_gateways("'$gateways'");
};
attack 'a member of the gateway\'s role' => sub {
	super('GRANT bot TO eve');
	as('eve', 'SET ROLE bot');
	refused([ as('eve', $_) ], 42501, $_) for q{BEGIN; SELECT jit_act_for('slack:eve'); ROLLBACK}, q{SELECT jit_offer_identity('slack:x')}, 'SELECT jit_events_after()', 'SELECT jit_request(' . text() . ')';
	is(as('eve', 'SELECT count(*) FROM jit.pending WHERE requester <> $$eve$$'), '0', 'sees no more');
	my $n = asks('dev');
	super('GRANT security TO bot');
	refused([ as('eve', "SELECT jit_approve($n)") ], 42501, 'decides nothing, whatever it has been given');
	super('REVOKE security FROM bot');
	refused([ as('eve', q{RESET ROLE; BEGIN; SELECT jit_act_for('slack:anna'); ROLLBACK}) ], 42501, 'nor as themselves');
	super('REVOKE bot FROM eve');
};
attack 'tokens' => sub {
	my ($n, $m) = (asks('dev'), asks('dev'));
	my $token = sub { return scalar as('bot', "SELECT token FROM jit.pending WHERE request = $_[0]"); };
	my ($of_n, $of_m) = ($token->($n), $token->($m));
	refused([ act('slack:sam', "SELECT $_", token => $of_m) ], 42501, "of another request: $_") for "jit_approve($n)", "jit_reject($n, 'x')", 'jit_request(' . text() . ')';
	(my $changed = $of_n) =~ s/\d(?=\D*$)/($& + 1) % 10/e;
	refused([ act('slack:sam', "SELECT jit_approve($n)", token => $_) ], '(?:55000|22023|22004|54000|22003)', 'none: ' . substr $_, 0, 30)
	  for 'x', ':', ":$n", "::$n", $changed, "$of_n ", "0/0:$n:1", '99999999999999999999:99999999999999999999:1', 'x' x 100_000, "$of_n'' OR true --";
	is(status($n), 'pending', 'nothing happened');
	# a failover, after which the number is another request's
	super("UPDATE jit.requests SET requested_at = requested_at + interval '1 us' WHERE id = $n");
	refused([ act('slack:sam', "SELECT jit_approve($n)", token => $of_n) ], 55000, 'of a request that was lost');
	passes([ act('slack:sam', "SELECT jit_approve($n)", token => $token->($n)) ], 'active', 'its own passes');
	passes([ act('slack:sam', "SELECT jit_reject($m, 'no')", token => $of_m) ], 'rejected', 'to reject it, too');
	refused([ act('slack:sam', "SELECT jit_approve($m)", token => $of_m) ], 55000, 'a button that is pressed again');
};
attack 'a leaky function on the views' => sub {
	my $n = asks_via('slack:eve');
	as('bot', q{CREATE FUNCTION bot.leak(int) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$BEGIN RAISE WARNING 'leaked %.', $1; RETURN true; END$$});
	my $mine = super(q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM jit.requests WHERE requester = 'eve'});
	foreach my $view (qw(my_requests pending active_grants history refused inbox))
	{
		my ($out, $err) = act('slack:eve', "SELECT request FROM jit.$view WHERE bot.leak(request)");
		my %mine = map { $_ => 1 } split / /, $mine;
		is(join(' ', grep { !$mine{$_} } $err =~ /leaked (\d+)\./g), '', "$view: nothing of others");
		unlike($err, qr/ERROR/, '... and no error');
	}
	foreach my $table (qw(requests events reviews))
	{
		unlike((act('slack:eve', "SELECT FROM jit.$table WHERE bot.leak(1)"))[1], qr/leaked/, "$table: nothing");
	}
};
attack 'other statements while it acts' => sub {
	super('GRANT SELECT ON hr.salary TO eve');
	is(as('eve', 'SELECT count(*) FROM hr.salary'), '100', 'eve may read it');
	refused([ act('slack:eve', 'SELECT count(*) FROM hr.salary') ], 42501, 'the gateway for eve not');
	refused([ act('slack:eve', $_) ], 42501, $_) for 'SET ROLE eve', 'SET SESSION AUTHORIZATION eve', 'CREATE TABLE eve.x ()', 'COPY hr.salary TO STDOUT', 'GRANT hr_owner TO bot', 'SET jit_access.top_level_only = off';
	as('bot', q{CREATE FUNCTION bot.asks() RETURNS int LANGUAGE sql AS $$SELECT jit_request('SELECT ON hr.t200', '1 h', 'x')$$});
	refused([ act('slack:eve', 'SELECT bot.asks()') ], 42501, 'asking in a function');
	my ($n) = act('slack:eve', q{INSERT INTO bot.its VALUES (1, 'x'); SELECT jit_request(} . text() . ')');
	like($n, qr/^\d+$/, 'with what it keeps in a schema of its own it passes');
	is(super('SELECT count(*) FROM bot.its'), '1', '... and is kept');
	super('REVOKE SELECT ON hr.salary FROM eve');
};
attack 'names of the gateway\'s' => sub {
	as('bot', 'CREATE TABLE bot.salary (); SET search_path = bot, hr');
	refused([ act('slack:eve', q{SELECT jit_request('SELECT ON salary', '1 h', 'x')}) ], '42P01', 'unqualified');
	my ($n) = act('slack:eve', q{SELECT jit_request('SELECT ON hr.salary', '1 h', 'x')});
	is(super("SELECT access FROM jit.requests WHERE id = $n"), 'SELECT ON hr.salary', 'qualified: what bears that name');
	is(as('bot', 'SHOW search_path'), 'bot, hr', 'and the setting stays');
	as('bot', 'RESET search_path');
};
attack 'a policy on via' => sub {
	super(q{SELECT jit_set_policy('via', 'moderate', '$.via != null')});
	is(super('SELECT risk FROM jit.requests WHERE id = ' . asks_via('slack:eve')), 'moderate', 'through a gateway');
	is(super('SELECT risk FROM jit.requests WHERE id = ' . asks('eve')), 'low', 'directly');
	super(q{SELECT jit_drop_policy('via')});
};
attack 'who is on record' => sub {
	my $n = asks_via('slack:eve');
	act('slack:sam', "SELECT jit_approve($n, 'go')");
	act('slack:eve', "SELECT jit_revoke($n)");
	is(super("SELECT requester || login || via FROM jit.requests WHERE id = $n"), 'eveeveslack:eve', 'in the request');
	is(super("SELECT approver || login || via FROM jit.reviews WHERE request_id = $n"), 'samsamslack:sam', 'in the review');
	is(super("SELECT string_agg(concat_ws('/', event, login, role, via), ' ' ORDER BY id) FROM jit.events WHERE request_id = $n"),
		'requested/eve/eve/slack:eve approved/sam/sam/slack:sam activated/sam/sam/slack:sam revoked/eve/eve/slack:eve', 'in events');
	is(as('aud', "SELECT string_agg(coalesce(via, '-'), ' ' ORDER BY id) FROM jit_events_after() WHERE request = $n"), 'slack:eve slack:sam slack:sam slack:eve', '... as programs read them');
	is(super("SELECT via || approved_via::text FROM jit.history WHERE request = $n"), 'slack:eve{slack:sam}', 'in jit.history');
	my $m = asks_via('slack:eve');
	is(super("SELECT via FROM jit.pending WHERE request = $m"), 'slack:eve', 'in jit.pending');
	act('slack:sam', "SELECT jit_reject($m, 'no')");
	is(super("SELECT via || ' ' || decided_via FROM jit.refused WHERE request = $m"), 'slack:eve slack:sam', 'in jit.refused');
	is(super('SELECT count(*) FROM jit.history WHERE requester_oid IS DISTINCT FROM (SELECT requester_oid FROM jit.requests WHERE id = request)'), '0', 'OIDs are those of then');
	like(as('eve', "SELECT decided_by FROM jit.my_requests WHERE request = $m") =~ s/\s+/ /gr, qr/sam \(via slack:sam\):? no/, 'in jit.my_requests');
	my $shown = as('eve', "SELECT jit_show($n)");
	like($shown, qr/asked by eve \(via slack:eve\)/, 'in jit_show(): who asked');
	like($shown, qr/approved by sam \(via slack:sam\) at/, '... who approved');
	like($shown, qr/: revoked by eve \(via slack:eve\)/, '... what happened');
	my $self = asks('eve');
	as('sam', "SELECT jit_approve($self)");
	is(super("SELECT concat_ws('/', via, approved_via::text) FROM jit.history WHERE request = $self"), '{NULL}', 'and of whom it is not so, nothing');
};
attack 'what is said to a person' => sub {
	as($_, 'SET client_min_messages = notice') for qw(bot eve);
	my (undef, $err) = act('slack:eve', 'SELECT jit_request(' . text() . ')');
	like($err, qr/is pending: /, 'what is pending');
	unlike($err, qr/transaction/, '... without a word on the transaction');
	my $n = asks_via('slack:eve');
	(undef, $err) = act('slack:sam', "SELECT jit_approve($n)");
	like($err, qr/has SELECT/, 'approved');
	unlike($err, qr/transaction/, '... the same');
	(undef, $err) = act('slack:eve', "SELECT jit_revoke($n)");
	like($err, qr/is revoked/, 'revoked');
	unlike($err, qr/transaction/, '... the same');
	like((as('eve', 'BEGIN; SELECT jit_request(' . text() . '); ROLLBACK'))[1], qr/Approvers see it once this transaction is committed/, 'directly it is said');
	as($_, 'SET client_min_messages = warning') for qw(bot eve);
};
attack 'many requests at once' => sub {
	my @n = map { asks('dev') } 1 .. 3;
	my ($out, $err) = act('slack:sam', 'SELECT jit_approve(request) FROM jit.inbox WHERE request IN (' . join(', ', @n) . ')');
	is($out, "active\nactive\nactive", 'approved from jit.inbox, for whom it acts');
	is(super("SELECT string_agg(DISTINCT via, ' ') FROM jit.reviews WHERE request_id IN (" . join(', ', @n) . ')'), 'slack:sam', '... and so it is on record');
};
attack 'jit_explain for somebody' => sub {
	like(join("\n", act('slack:eve', q{SELECT * FROM jit_explain('SELECT ON hr.salary', '1 h', 'x')})), qr/security/, 'it says what it would take');
	refused([ act('slack:eve', q{SELECT * FROM jit_explain('SELECT ON hr.salary', '1 h', 'x', grantee => 'dev')}) ], 42501, 'not for others');
};
attack 'other isolation levels' => sub {
	foreach my $level ('REPEATABLE READ', 'SERIALIZABLE')
	{
		link_to('p1', 'slack:level') if $level eq 'REPEATABLE READ';
		as('bot', "BEGIN ISOLATION LEVEL $level; SELECT jit_act_for('slack:level')");
		as('p1', q{BEGIN; SELECT jit_unlink_identity('slack:level'); ROLLBACK});
		like(as('bot', 'SELECT jit_request(' . text() . ')'), qr/^\d+$/, "$level: it asks");
		passes([ as('bot', 'COMMIT') ], '', '... and commits');
	}
	foreach my $level ('REPEATABLE READ', 'SERIALIZABLE')
	{
		link_to('p1', 'slack:level');
		as('bot', "BEGIN ISOLATION LEVEL $level; SELECT jit_act_for('slack:level'); SELECT jit_request(" . text() . ')');
		as('p1', q{SELECT jit_unlink_identity('slack:level')});
		refused([ as('bot', 'COMMIT') ], '(?:42501|40001)', "$level: unlinked, and refused");
	}
};

# ---- what becomes of databases

attack 'what jit_config writes' => sub {
	super(q{SELECT jit_set_flow('high', '[{"approver": "security", "direct": false}, {"approver": "hr_owner", "direct": true}, {"approver": "admin"}]')});
	my $config = super('SELECT jit_config()');
	like($config, qr/"security", "approvals": 1, "direct": false\}, \{"approver": "hr_owner", "approvals": 1, "direct": true\}, \{"approver": "admin", "approvals": 1\}/, 'steps say what they said');
	my $events = super('SELECT count(*) FROM jit.events');
	super($config);
	is(super('SELECT count(*) FROM jit.events'), $events, 'run again, it changes nothing');
	is(super('SELECT jit_config()'), $config, '... and writes the same');
};
attack 'a dump' => sub {
	my $n = asks_via('slack:eve');
	my $dump = $node->basedir . '/dump.sql';
	$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('hr_prod') ], 'dumped');
	unlike(slurp_file($dump), qr/COPY jit\.identit/, 'without identities and codes');
	super('CREATE DATABASE restored');
	$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], 'restored');
	is($node->safe_psql('restored', "SELECT via FROM jit.requests WHERE id = $n"), 'slack:eve', 'who asked is still there');
	is($node->safe_psql('restored', 'SELECT count(*) FROM jit.identities'), '0', 'nobody is linked');
	refused([ sql($node, 'bot', q{BEGIN; SELECT jit_act_for('slack:eve'); ROLLBACK}, 'restored') ], 42704, 'nobody is acted for');
	my $token = as('bot', "SELECT token FROM jit.pending WHERE request = $n");
	my $code = sql($node, 'bot', q{SELECT jit_offer_identity('slack:sam')}, 'restored');
	sql($node, 'sam', "SELECT jit_link_identity('$code')", 'restored');
	is((sql($node, 'bot', "BEGIN; SELECT jit_act_for('slack:sam', '$token'); SELECT request FROM jit.pending WHERE token = '$token'; ROLLBACK", 'restored'))[0], "sam\n$n", 'a token names the same request there');
	$code = sql($node, 'bot', q{SELECT jit_offer_identity('slack:eve')}, 'restored');
	sql($node, 'anna', "SELECT jit_link_identity('$code')", 'restored');
	refused([ sql($node, 'bot', "BEGIN; SELECT jit_act_for('slack:eve'); SELECT jit_approve($n); COMMIT", 'restored') ], 42501, 'the identity that asked decides nothing there');
};
attack 'a copy of the database' => sub {
	my $n = asks('p4');
	$session{$_}->quit for keys %session;
	%session = ();
	ok(wait_until(sub { ($node->psql('postgres', 'CREATE DATABASE copied TEMPLATE hr_prod'))[0] == 0 }), 'copied');
	refused([ sql($node, 'bot', q{BEGIN; SELECT jit_act_for('slack:eve'); ROLLBACK}, 'copied') ], 42704, 'nobody is acted for');
	is((sql($node, 'bot', 'SELECT count(*) FROM jit.identities', 'copied'))[0], '0', 'nobody is linked there');
	cmp_ok((sql($node, 'carl', 'SELECT count(*) FROM jit.identities', 'copied'))[0], '>', 0, '... as an administrator sees, these were elsewhere');
	refused([ sql($node, 'p6', "SELECT jit_approve($n)", 'copied') ], 42501, 'who is one person is so there, too');
	my $code = sql($node, 'bot', q{SELECT jit_offer_identity('slack:new')}, 'copied');
	is((sql($node, 'eve', "SELECT jit_link_identity('$code')", 'copied'))[0], 'slack:new', 'linking there works');
	is((sql($node, 'bot', q{SELECT string_agg(identity, ' ') FROM jit.identities}, 'copied'))[0], 'slack:new', '... and shows');
};

$node->stop;
all_attacks_done();
done_testing();
