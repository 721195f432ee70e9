# Whose approval counts, and for what: of those who could still give it when
# the last one comes, and at its COMMIT; and of each item, by people who could
# grant that item.
#
# The attacks are lines of attacks.md.  Seen to fail with approvals counted as
# they were given; without a look at the login, at SET ROLE, or at the
# parties; with one person counted twice; without the count at the COMMIT; with
# all items approved by who could grant one of them, or told to anybody.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('approvals');
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE security; CREATE ROLE oncall; CREATE ROLE reporting;
	CREATE ROLE sam LOGIN IN ROLE security; CREATE ROLE sue LOGIN IN ROLE security; CREATE ROLE sid LOGIN IN ROLE security;
	CREATE ROLE ben LOGIN; CREATE ROLE bea LOGIN IN ROLE hr_owner;
	CREATE ROLE carl LOGIN; CREATE ROLE cora LOGIN; CREATE ROLE dora LOGIN; CREATE ROLE dave LOGIN; CREATE ROLE ada LOGIN;
	CREATE ROLE root LOGIN SUPERUSER IN ROLE security;
	CREATE ROLE tara LOGIN IN ROLE carl, dora;
	GRANT reporting TO ada WITH ADMIN OPTION;
	GRANT oncall TO dev;
	GRANT USAGE ON SCHEMA hr TO PUBLIC;
	GRANT SELECT ON hr.salary TO ben WITH GRANT OPTION;
	CREATE SCHEMA fin; GRANT USAGE, CREATE ON SCHEMA fin TO PUBLIC;
	SET ROLE carl; CREATE TABLE fin.bonus AS SELECT 1 AS x; GRANT SELECT ON fin.bonus TO cora WITH GRANT OPTION; RESET ROLE;
	SET ROLE dora; CREATE TABLE fin.invoice AS SELECT 1 AS x; GRANT SELECT ON fin.invoice TO dave WITH GRANT OPTION; RESET ROLE;
	CREATE SCHEMA shut AUTHORIZATION dora; GRANT USAGE, CREATE ON SCHEMA shut TO carl;
	SET ROLE carl; CREATE TABLE shut.plan AS SELECT 1 AS x; RESET ROLE;
	REVOKE carl, dora FROM tara; CREATE ROLE olga LOGIN;
});
my $salary = 'SELECT ON hr.salary';
my $two = 'SELECT ON fin.bonus, fin.invoice';

sub super { return $node->safe_psql('hr_prod', $_[0]); }
sub by { return sql($node, $_[0], $_[1], $_[2] // 'hr_prod'); }
sub flow { return super("SELECT jit_set_flow('moderate', '$_[0]')"); }
sub status { return super("SELECT status FROM jit.requests WHERE id = $_[0]"); }

my $asked;

# What the NOTICE says is missing is in $asked.
sub ask
{
	my ($access, %opt) = @_;
	super(q{SELECT jit_revoke_all('the next test')});
	my ($out, $err) = by($opt{by} // 'dev', "SELECT jit_request('$access', '1 hour', 'x'" . ($opt{grantee} ? ", grantee => '$opt{grantee}'" : '') . ')');
	die $err unless $out =~ /^\d+$/;
	$asked = $err;
	return $out;
}

# Approved by somebody; it is pending or active then, and the NOTICE matches.
sub approved
{
	my ($who, $n, $status, $says) = @_;
	my ($out, $err) = by($who, "SELECT jit_approve($n)");
	is($out, $status, "approved by $who: $status");
	like($err, $says, '... which says why') if $says;
	is(status($n), $status, '... in the ledger, too');
	return;
}

sub refused
{
	my ($who, $n, $why) = @_;
	my ($out, $err) = by($who, "SELECT jit_approve($n)");
	like($err, qr/ERROR:  42501: you cannot approve request $n\b.*DETAIL:  [^\n]*$why/s, "refused to $who");
	return;
}

# The column approvals of somebody's inbox.
sub inbox { return scalar by($_[0], "SELECT approvals FROM jit.inbox WHERE request = $_[1]"); }

# Two are needed; $first approves, something happens, $second approves: that
# isn't enough, and it says whose doesn't count and why.  $undo makes it as
# it was before.
sub lost
{
	my ($n, $first, $second, $happens, $says, $undo) = @_;
	approved($first, $n, 'pending');
	super($happens);
	approved($second, $n, 'pending', qr/DETAIL:  The approval by role $says/);
	super($undo) if $undo;
	return;
}

# ---- those who left

my $two_of_security = '[{"approver": "security", "approvals": 2}]';
flow($two_of_security);

attack 'an approver leaves the role' => sub {
	my $n = ask($salary);
	lost($n, 'sam', 'sue', 'REVOKE security FROM sam', qr/sam does not count any more: it has to be by security\./);
	shown_as(inbox('sid', $n), "1 of 2\nby security", 'the inbox counts those that count');
	refused('sam', $n, 'You have approved it already');
	approved('sid', $n, 'active');
	like(super("SELECT shobj_description(oid, 'pg_authid') FROM pg_authid WHERE rolname ~ '^jit_grant_.*_$n\$'"), qr/approved by sue, sid$/, 'the grant names those whose approval counted');
	super('GRANT security TO sam');
};
attack 'an approver is dropped' => sub {
	super('CREATE ROLE leaver LOGIN IN ROLE security');
	my $n = ask($salary);
	lost($n, 'leaver', 'sue', 'DROP ROLE leaver', qr/leaver does not count any more: the role has been dropped\./);
	approved('sid', $n, 'active');
};
attack 'an approver is dropped and made anew under the name' => sub {
	super('CREATE ROLE leaver LOGIN IN ROLE security');
	my $n = ask($salary);
	lost($n, 'leaver', 'sue', 'DROP ROLE leaver; CREATE ROLE leaver LOGIN IN ROLE security', qr/leaver does not count any more: the role has been dropped\./);
	refused('leaver', $n, 'You have approved it already');
	super('DROP ROLE leaver');
};
attack 'an approver becomes a member of the grantee' => sub {
	my $n = ask($salary, grantee => 'oncall');
	lost($n, 'sam', 'sue', 'GRANT oncall TO sam', qr/sam does not count any more: .*party/, 'REVOKE oncall FROM sam');
};
attack 'an approver takes the name of the grantee' => sub {
	my $n = ask($salary);
	lost($n, 'sam', 'sue', 'ALTER ROLE dev RENAME TO dev_was; ALTER ROLE sam RENAME TO dev', qr/dev \(formerly sam\) does not count any more: .*party/,
		'ALTER ROLE dev RENAME TO sam; ALTER ROLE dev_was RENAME TO dev');
};
attack 'an approver becomes NOLOGIN' => sub {
	my $n = ask($salary);
	lost($n, 'sam', 'sue', 'ALTER ROLE sam NOLOGIN', qr/sam does not count any more: its login may not log in any more\./, 'ALTER ROLE sam LOGIN');
};
attack 'the password of an approver has expired' => sub {
	my $n = ask($salary);
	lost($n, 'sam', 'sue', q{ALTER ROLE sam VALID UNTIL '2020-01-01'}, qr/sam does not count any more: its login may not log in any more\./, q{ALTER ROLE sam VALID UNTIL 'infinity'});
};
attack 'an approver may not connect to the database any more' => sub {
	my $n = ask($salary);
	lost($n, 'sam', 'sue', 'REVOKE CONNECT ON DATABASE hr_prod FROM PUBLIC; GRANT CONNECT ON DATABASE hr_prod TO sue, dev',
		qr/sam does not count any more: its login may not log in any more\./, 'GRANT CONNECT ON DATABASE hr_prod TO PUBLIC');
};
attack 'an approver is a member through temporary access by now' => sub {
	my $n = ask($salary);
	lost($n, 'sam', 'sue', qq{REVOKE security FROM sam; SELECT jit_set_flow('moderate', '[]'); SELECT jit_grant('security', 'sam', '1 hour', 'x'); SELECT jit_set_flow('moderate', '$two_of_security')}, qr/sam does not count any more: it has to be by security\./,
		q{SELECT jit_revoke_from('sam', 'x'); GRANT security TO sam});
};
attack 'a superuser who approved is one no more' => sub {
	my $n = ask('TRIGGER ON hr.salary');
	approved('root', $n, 'pending');
	super('ALTER ROLE root NOSUPERUSER');
	approved('sam', $n, 'pending', qr/1 approval by a superuser .*DETAIL:  The approval by role root does not count as a superuser's any more\./s);
	super('ALTER ROLE root SUPERUSER');
};
attack 'a superuser who approved as the grantor is one no more' => sub {
	flow('[{"approver": "@grantor", "approvals": 2}]');
	my $n = ask($salary);
	lost($n, 'root', 'anna', 'ALTER ROLE root NOSUPERUSER', qr/root does not count any more: it has to be by anyone who could grant it\./, 'ALTER ROLE root SUPERUSER');
};
attack 'an approver loses the grant option' => sub {
	my $n = ask($salary);
	lost($n, 'ben', 'anna', 'REVOKE GRANT OPTION FOR SELECT ON hr.salary FROM ben', qr/ben does not count any more: it has to be by anyone who could grant it\./,
		'GRANT SELECT ON hr.salary TO ben WITH GRANT OPTION');
};
attack 'an approver loses SET ROLE to the role that approved' => sub {
	my $n = ask($salary);
	super('GRANT hr_owner TO olga');
	is(by('olga', "SET ROLE hr_owner; SELECT jit_approve($n)"), 'pending', 'approved as hr_owner');
	super('REVOKE hr_owner FROM olga');
	approved('anna', $n, 'pending', qr/DETAIL:  The approval by role hr_owner \(login olga\) does not count any more: its login may not use the role any more\./);
};
attack 'who used jit_grant leaves' => sub {
	my ($n) = by('anna', "SELECT jit_grant('$salary', 'dev', '1 hour', 'x')");
	shown_as(inbox('ben', $n), "1 of 2\nby anyone who could grant it", 'it counts, though anna asked for it');
	super('REVOKE hr_owner FROM anna');
	shown_as(inbox('ben', $n), "0 of 2\nby anyone who could grant it", 'it counts no more');
	approved('ben', $n, 'pending', qr/DETAIL:  The approval by role anna does not count any more/);
	super('GRANT hr_owner TO anna');
	approved('bea', $n, 'active');
};
attack 'an earlier step is open again' => sub {
	flow('[{"approver": "security"}, {"approver": "hr_owner", "approvals": 2}]');
	my $n = ask($salary);
	approved('sam', $n, 'pending');
	approved('anna', $n, 'pending');
	super('REVOKE security FROM sam');
	refused('bea', $n, 'The approval that is needed now is by security');
	approved('sue', $n, 'pending', qr/1 approval by hr_owner /);
	approved('bea', $n, 'active');
	super('GRANT security TO sam');
	flow($two_of_security);
};
attack 'an approver comes back' => sub {
	my $n = ask($salary);
	lost($n, 'sam', 'sue', 'REVOKE security FROM sam', qr/sam/, 'GRANT security TO sam');
	shown_as(inbox('sam', $n), "complete: whoever\napproves it next\nmakes it active", 'it counts again');
	refused('olga', $n, 'It does not concern you');
	approved('sam', $n, 'active');
};
attack 'an approver comes back, and counts once' => sub {
	my $n = ask($salary);
	approved('sam', $n, 'pending');
	super('REVOKE security FROM sam');
	super('GRANT security TO sam');
	refused('sam', $n, 'You have approved it already');
	refused('dev', $n, 'It is for you');
};

# ---- between the last call and its COMMIT

# $last has its approval open, then something happens, then they COMMIT.
sub race
{
	my ($n, $last, $call, $happens, $by, $level) = @_;
	my $s = session($node, $last, 'hr_prod');
	my ($out, $err) = $s->do('BEGIN' . ($level ? " ISOLATION LEVEL $level" : ''));
	($out, $err) = $s->do($call);
	unlike($err, qr/ERROR/, 'called');
	super($happens);
	overtaken($s->do('COMMIT'), $n, $by);
	$s->do('ROLLBACK');
	$s->quit;
	is(status($n), 'pending', 'it is pending');
	return;
}
foreach my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	attack "the first approver leaves before the last one's COMMIT: $level" => sub {
		my $n = ask($salary);
		approved('sam', $n, 'pending');
		race($n, 'sue', "SELECT jit_approve($n)", 'REVOKE security FROM sam', qr/The approval by role sam does not count any more/, $level);
		super('GRANT security TO sam');
	};
}
attack "the first approver is dropped before the last one's COMMIT" => sub {
	super('CREATE ROLE leaver LOGIN IN ROLE security');
	my $n = ask($salary);
	approved('leaver', $n, 'pending');
	race($n, 'sue', "SELECT jit_approve($n)", 'DROP ROLE leaver', qr/leaver/);
};
attack "the superuser is one no more before the last one's COMMIT" => sub {
	my $n = ask('TRIGGER ON hr.salary');
	approved('root', $n, 'pending');
	race($n, 'sue', "SELECT jit_approve($n)", 'ALTER ROLE root NOSUPERUSER', qr/root does not count as a superuser's any more/);
	super('ALTER ROLE root SUPERUSER');
};
attack 'who says it twice, once as the role, counts once' => sub {
	my $n = ask($salary);
	lost($n, 'sam', 'sue', 'REVOKE security FROM sam', qr/sam/, 'GRANT security TO sam');
	race($n, 'sam', "SET LOCAL ROLE security; SELECT jit_approve($n)", 'REVOKE security FROM sue', qr/The approval by role sue does not count any more/);
	super('GRANT security TO sue');
};

# ---- two owners

flow('[{"approver": "@grantor"}]');

attack 'two owners of two tables' => sub {
	my $n = ask($two);
	like($asked, qr/is pending: .*; it waits for 1 approval by anyone who could grant SELECT ON fin\.bonus \(carl, cora\), 1 by anyone who could grant SELECT ON fin\.invoice \(dave, dora\); it lapses/, 'it says who is missing for what');
	shown_as(inbox('carl', $n), "0 of 1\nby anyone who could grant SELECT ON fin.bonus\n0 of 1\nby anyone who could grant SELECT ON fin.invoice", 'so does the inbox');
	shown_as(inbox('root', $n), "0 of 1\nby anyone who could grant it", '... but to those who could approve all of it');
	my ($explained) = by('dev', "SELECT * FROM jit_explain('$two', '1 hour', 'x')");
	like($explained, qr/step 1: 1 approval by anyone who could grant SELECT ON fin\.bonus \(carl, cora\)\n    and 1 approval by anyone who could grant SELECT ON fin\.invoice \(dave, dora\)\n/, '... and jit_explain');
	approved('carl', $n, 'pending', qr/is pending: .*; it waits for 1 approval by anyone who could grant SELECT ON fin\.invoice \(dave, dora\); it lapses/);
	refused('carl', $n, 'You have approved it already');
	refused('cora', $n, qr/You cannot grant SELECT ON fin\.invoice\./);
	refused('olga', $n, 'It does not concern you');
	shown_as(inbox('cora', $n), '', 'whom it does not wait for has nothing in the inbox');
	approved('dora', $n, 'active');
	is(by('dev', 'SELECT count(*) FROM fin.bonus, fin.invoice'), '1', 'and it works');
};
attack 'many tables of two owners' => sub {
	super('SET ROLE carl; DO $$ BEGIN FOR i IN 1..7 LOOP EXECUTE format($x$CREATE TABLE fin.m%s (x int)$x$, i); END LOOP; END $$');
	my $n = ask('SELECT ON fin.invoice, ' . join(', ', map { "fin.m$_" } 1 .. 7));
	like($asked, qr/1 by anyone who could grant SELECT ON fin\.m1, fin\.m2, fin\.m3, fin\.m4, fin\.m5 and 2 more \(carl\);/, 'not all of them are named');
	approved('carl', $n, 'pending');
	approved('dora', $n, 'active');
};
attack 'the owner of a table and the owner of its schema' => sub {
	my $n = ask('SELECT ON shut.plan');
	like($asked, qr/1 approval by anyone who could grant SELECT ON shut\.plan \(carl\), 1 by anyone who could grant USAGE ON SCHEMA shut \(dora\);/, 'the schema is told apart');
	approved('carl', $n, 'pending', qr/1 approval by anyone who could grant USAGE ON SCHEMA shut \(dora\);/);
	refused('cora', $n, 'It does not concern you');
	approved('dora', $n, 'active');
};
attack 'who administers a role and who owns a table' => sub {
	my $n = ask('reporting; SELECT ON fin.bonus');
	like($asked, qr/1 approval by anyone who could grant reporting \(ada\), 1 by anyone who could grant SELECT ON fin\.bonus \(carl, cora\);/, 'the role is told apart');
	approved('cora', $n, 'pending');
	approved('ada', $n, 'active');
};
attack 'a role that reaches other databases, and a table' => sub {
	super('CREATE ROLE reach; GRANT reach TO ada WITH ADMIN OPTION; GRANT CONNECT ON DATABASE postgres TO reach');
	my $n = ask('reach; SELECT ON fin.bonus');
	approved('carl', $n, 'pending');
	approved('ada', $n, 'active');
	flow('[{"any_of": ["@grantor", "security"]}]');
	$n = ask('reach; SELECT ON fin.invoice');
	approved('dora', $n, 'pending');
	approved('ada', $n, 'pending', qr/1 approval by a superuser/);
	approved('root', $n, 'active');
};
attack '@grantor or a role: its member is enough for all items' => sub {
	my $n = ask($two);
	like($asked, qr/1 approval by anyone who could grant it or security \(sam, sid, sue\);/, 'it is theirs');
	approved('sam', $n, 'active');
	$n = ask($two);
	approved('carl', $n, 'pending', qr/1 approval by anyone who could grant SELECT ON fin\.invoice or security \(/);
	refused('cora', $n, qr/is by anyone who could grant SELECT ON fin\.invoice or security\./);
	approved('sue', $n, 'active');
	super('REVOKE security FROM sam, sue, sid');
	$n = ask($two);
	approved('carl', $n, 'pending');
	approved('dave', $n, 'active');
	super('GRANT security TO sam, sue, sid');
};
attack 'two approvals of each item' => sub {
	flow('[{"approver": "@grantor", "approvals": 2}]');
	my $n = ask($two);
	like($asked, qr/2 approvals by anyone who could grant SELECT ON fin\.bonus \(carl, cora\), 2 by anyone who could grant SELECT ON fin\.invoice \(dave, dora\);/, 'two of each');
	approved('carl', $n, 'pending', qr/1 approval by anyone who could grant SELECT ON fin\.bonus \(cora\), 2 by anyone who could grant SELECT ON fin\.invoice \(dave, dora\);/);
	approved('dora', $n, 'pending');
	shown_as(inbox('cora', $n), "1 of 2\nby anyone who could grant SELECT ON fin.bonus\n1 of 2\nby anyone who could grant SELECT ON fin.invoice", 'the inbox counts by item');
	approved('cora', $n, 'pending');
	approved('dave', $n, 'active');
	flow('[{"approver": "@grantor", "approvals": 5}]');
	ask($two);
	like($asked, qr/WARNING: .*only 4 persons can approve request.*For SELECT ON fin\.bonus it needs 5\./s, 'too few people are told of by item');
	flow('[{"approver": "@grantor"}]');
};
attack 'one who could grant both' => sub {
	super('GRANT carl, dora TO tara');
	my $n = ask($two);
	like($asked, qr/is pending: .*; it waits for 1 approval by anyone who could grant it \(tara\);/, 'in few words');
	shown_as(inbox('tara', $n), "0 of 1\nby anyone who could grant it", '... in the inbox, too');
	approved('tara', $n, 'active');
	super('REVOKE carl, dora FROM tara');
};
attack 'one who could grant both, and now only one' => sub {
	super('GRANT carl, dora TO tara');
	my $n = ask($two);
	race($n, 'tara', "SELECT jit_approve($n)", 'REVOKE dora FROM tara', qr/It needs more by now: 1 approval by anyone who could grant SELECT ON fin\.invoice\./);
	super('REVOKE carl FROM tara');
};
attack 'a superuser is enough for all items' => sub {
	approved('root', ask($two), 'active');
};
attack 'jit_grant by one of two owners' => sub {
	my ($n, $err) = by('carl', "SELECT jit_grant('$two', 'dev', '1 hour', 'x')");
	like($err, qr/is pending: .*; it waits for 1 approval by anyone who could grant SELECT ON fin\.invoice \(dave, dora\);/, 'it waits for the other');
	refused('carl', $n, 'It was requested by you');
	refused('cora', $n, qr/You cannot grant SELECT ON fin\.invoice\./);
	approved('dora', $n, 'active');
	like((by('olga', "SELECT jit_grant('$two', 'dev', '1 hour', 'x')"))[1], qr/ERROR:  42501: you cannot grant .*DETAIL:  You cannot grant SELECT ON fin\.bonus, fin\.invoice\./s, 'who owns neither is refused');
};
attack 'jit_grant by one of two owners under []' => sub {
	flow('[]');
	like((by('carl', "SELECT jit_grant('$two', 'dev', '1 hour', 'x')"))[1], qr/ERROR:  42501: you cannot grant .*DETAIL:  You cannot grant SELECT ON fin\.invoice\./s, 'refused');
	super('GRANT carl, dora TO tara');
	my $s = session($node, 'tara', 'hr_prod');
	my ($out, $err) = $s->do("BEGIN; SELECT jit_grant('$two', 'dev', '1 hour', 'x')");
	unlike($err, qr/ERROR/, 'granted by who owns both');
	super('REVOKE dora FROM tara');
	overtaken($s->do('COMMIT'), undef, qr/You cannot grant SELECT ON fin\.invoice\./);
	$s->quit;
	super('REVOKE carl FROM tara');
	flow('[{"approver": "@grantor"}]');
};
attack 'the requester owns one of the items' => sub {
	my $n = ask($two, by => 'carl');
	like($asked, qr/1 approval by anyone who could grant SELECT ON fin\.bonus \(cora\), 1 by anyone who could grant SELECT ON fin\.invoice \(dave, dora\);/, 'somebody else is asked for it');
	refused('carl', $n, 'It is for you');
	approved('dora', $n, 'pending');
	approved('cora', $n, 'active');
};
attack 'an owner changes between the approvals' => sub {
	my $n = ask($two);
	approved('carl', $n, 'pending');
	super('ALTER TABLE fin.bonus OWNER TO olga');
	approved('dora', $n, 'pending', qr/1 approval by anyone who could grant SELECT ON fin\.bonus \(cora, olga\); .*DETAIL:  The approval by role carl does not count any more/s);
	approved('olga', $n, 'active');
	super('ALTER TABLE fin.bonus OWNER TO carl');
};
attack "an owner changes before the last one's COMMIT" => sub {
	my $n = ask($two);
	approved('carl', $n, 'pending');
	race($n, 'dora', "SELECT jit_approve($n)", 'ALTER TABLE fin.bonus OWNER TO olga', qr/The approval by role carl does not count any more/);
	super('ALTER TABLE fin.bonus OWNER TO carl');
};
attack 'one of two owners rejects, and revokes' => sub {
	my $n = ask($two);
	is(by('dora', "SELECT jit_reject($n, 'no')"), 'rejected', 'rejected');
	$n = ask($two);
	approved('root', $n, 'active');
	is(by('carl', "SELECT jit_revoke($n, 'no')"), 'revoked', 'revoked');
	like((by('olga', "SELECT jit_revoke($n, 'no')"))[1], qr/ERROR:  42501/, '... but not by anybody');
};
attack 'one of the items is dropped' => sub {
	super('SET ROLE carl; CREATE TABLE fin.gone AS SELECT 1 AS x');
	my $n = ask('SELECT ON fin.gone, fin.invoice');
	approved('carl', $n, 'pending');
	# a sweeper would let it lapse
	stop_launcher($node);
	super('DROP TABLE fin.gone');
	like((by('dora', "SELECT jit_approve($n)"))[1], qr/ERROR:  42704: .*fin\.gone.* has been dropped/, 'it cannot be approved');
	is(by('dora', "SELECT jit_reject($n, 'gone')"), 'rejected', '... but rejected');
	continue_launcher($node);
};
attack 'half approved, in a copy of the database' => sub {
	my $n = ask($two);
	approved('carl', $n, 'pending');
	$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE hr_prod');
	is(by('cora', "SELECT count(*) FROM jit.inbox WHERE request = $n", 'copy'), '0', 'what is approved is approved there, too');
	is(by('dora', "SELECT jit_approve($n)", 'copy'), 'active', 'and the other half can be');
	is(status($n), 'pending', '... there alone');
};

all_attacks_done();
$node->stop;
done_testing();
