# Overtaken, and committed all the same: what gives access is looked at again
# at its COMMIT.  What has been decided by others since the call, and committed,
# counts: panic buttons, policies, flows, the approver's own right, the
# deadline, in every isolation level.
#
# The attacks are lines of attacks.md.  Seen to fail with everything looked at
# at the call only.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('overtaken', "jit_access.admin_role = 'admins'");
create_hr($node);
$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS jit_access');
$node->safe_psql('hr_prod', q{
	CREATE ROLE dev2 LOGIN; CREATE ROLE ben LOGIN; CREATE ROLE oncall; GRANT oncall TO dev2;
	CREATE ROLE security; CREATE ROLE sam LOGIN; GRANT security TO sam;
	CREATE ROLE admins; CREATE ROLE paul LOGIN; GRANT admins TO paul;
	CREATE ROLE leaver LOGIN; GRANT hr_owner TO leaver;
	CREATE ROLE reporting; GRANT reporting TO ben WITH ADMIN OPTION;
	GRANT USAGE ON SCHEMA hr TO PUBLIC;
	SET ROLE hr_owner;
	GRANT SELECT ON hr.salary TO ben WITH GRANT OPTION;
	CREATE TABLE hr.report AS SELECT 1 AS x; GRANT SELECT ON hr.report TO reporting;
	RESET ROLE;
	-- so that its privileges exist, and nothing about the table is written anew
	SELECT jit_grant('SELECT ON hr.salary', 'eve', '6 hours', 'x');
});
my %s = map { $_ => session($node, $_, 'hr_prod') } qw(dev dev2 anna ben sam leaver paul);
my $salary = 'SELECT ON hr.salary';
my $panic = qr/panic|jit_revoke_all|jit_revoke_from|revoked/i;

sub flow { return $node->safe_psql('hr_prod', "SELECT jit_set_flow('moderate', '$_[0]')"); }
sub super { return $node->safe_psql($_[1] // 'hr_prod', $_[0]); }

# Is there nothing left of it?  Nobody has got anything, nothing is on record
# as having started, and it can be tried anew.
sub nothing_given
{
	my ($access, $grantee) = @_;
	is(super("SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE r.rolname ~ '^jit_grant_' AND m.member = to_regrole('$grantee')"), '0', "$grantee has no access");
	is(super("SELECT count(*) FROM jit.requests WHERE status = 'active' AND grantee = '$grantee'"), '0', '... and no request is active');
	is(super("SELECT count(*) FROM jit.events e JOIN jit.requests r ON r.id = e.request_id WHERE event = 'activated' AND r.grantee = '$grantee' AND r.status = 'pending'"), '0', '... and no event says that one was');
	super("SELECT jit_revoke_from('$grantee', 'test')");
	super('SELECT jit_reject(request, $x$test$x$) FROM jit.pending');
	return;
}

# $who has that open, then $what happens, then they COMMIT.
sub race
{
	my ($who, $call, $what, $by, %opt) = @_;
	my $s = $s{$who};
	my $grantee = $opt{grantee} // 'dev';
	my ($out, $err) = $s->do('BEGIN' . ($opt{level} ? " ISOLATION LEVEL $opt{level}" : ''));
	($out, $err) = $s->do($call);
	unlike($err, qr/ERROR/, 'called');
	my ($n) = $err =~ /jit_revoke\((\d+)\)/;
	ref $what ? $what->() : super($what);
	overtaken($s->do('COMMIT'), $n, $by);
	$s->do('ROLLBACK');
	nothing_given($salary, $grantee);
	return $n;
}

sub works_until_revoked
{
	my ($grantee) = @_;
	super("SELECT jit_revoke_from('$grantee', 'test')");
	like(($s{$grantee}->do('SELECT count(*) FROM hr.salary'))[1], qr/ERROR:  42501/, '... until it is revoked');
	return;
}

sub pending
{
	my ($out, $err) = $s{ $_[1] // 'dev' }->do("SELECT jit_request('" . ($_[0] // $salary) . "', '1 hour', 'x')");
	die $err unless $out =~ /^\d+$/;
	return $out;
}
my $grantor = '[{"approver": "@grantor"}]';
my $ask = "SELECT jit_request('$salary', '1 hour', 'x')";

# ---- what needs nobody

flow('[]');
attack 'jit_revoke_all after jit_request' => sub { race('dev', $ask, q{SELECT jit_revoke_all('panic')}, $panic); };
attack 'jit_revoke_from after jit_request' => sub { race('dev', $ask, q{SELECT jit_revoke_from('dev', 'panic')}, $panic); };
attack 'jit_revoke_all from another database' => sub { race('dev', $ask, sub { super(q{SELECT jit_revoke_all('panic')}, 'postgres') }, $panic); };
attack 'jit_revoke_from the group from another database' => sub {
	race('dev2', "SELECT jit_request('$salary', '1 hour', 'x', grantee => 'oncall')", sub { super(q{SELECT jit_revoke_from('oncall', 'panic')}, 'postgres') }, $panic, grantee => 'oncall');
};
attack 'jit_revoke_all after a savepoint that has been released' => sub {
	race('dev', "SAVEPOINT s; $ask; RELEASE s; SAVEPOINT u", q{SELECT jit_revoke_all('panic')}, $panic);
};
attack 'a policy that forbids it by now' => sub {
	race('dev', $ask, q{SELECT jit_set_policy('not_now', 'forbidden', '$.requester == "dev"')}, qr/policy.*not_now/);
	super(q{SELECT jit_drop_policy('not_now')});
};
attack 'a policy that makes it a higher risk by now' => sub {
	race('dev', $ask, q{SELECT jit_set_policy('careful', 'high', '$.requester == "dev"')}, qr/approv|flow|risk|careful/);
	super(q{SELECT jit_drop_policy('careful')});
};
attack 'a flow that asks for approval by now' => sub { race('dev', $ask, sub { flow($grantor) }, qr/approv|flow/); flow('[]'); };
attack 'a flow whose longest time is shorter by now' => sub {
	race('dev', $ask, q{SELECT jit_set_flow('moderate', '[]', max_duration => '10 min')}, qr/long|duration|10 min|00:10:00/);
	flow('[]');
};
attack 'an administrator who sets the flow back in the same transaction' => sub {
	flow($grantor);
	race('paul', "SELECT jit_set_flow('moderate', '[]'); $ask; SELECT jit_set_flow('moderate', '$grantor')", sub { }, qr/approv|flow/, grantee => 'paul');
	flow('[]');
};
attack 'the deadline, by a duration' => sub {
	race('dev', "SELECT jit_request('$salary', '2 s', 'x')", 'SELECT pg_sleep(2.2)', qr/past|expired|until|deadline/);
};
attack 'the deadline, by a point in time' => sub {
	race('dev', "SELECT jit_request('$salary', until => clock_timestamp() + interval '2 s', reason => 'x')", 'SELECT pg_sleep(2.2)', qr/past|expired|until|deadline/);
};
foreach my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	attack "jit_revoke_all under $level" => sub { race('dev', $ask, q{SELECT jit_revoke_all('panic')}, $panic, level => $level); };
	attack "a policy that forbids it by now, under $level" => sub {
		race('dev', "SELECT 1; $ask", q{SELECT jit_set_policy('not_now', 'forbidden', '$.requester == "dev"')}, qr/policy.*not_now/, level => $level);
		super(q{SELECT jit_drop_policy('not_now')});
	};
}

# ---- approvals

flow($grantor);
attack 'jit_revoke_all after jit_approve' => sub { my $n = pending(); race('anna', "SELECT jit_approve($n)", q{SELECT jit_revoke_all('panic')}, $panic); };
attack 'jit_revoke_from after jit_approve' => sub { my $n = pending(); race('anna', "SELECT jit_approve($n)", q{SELECT jit_revoke_from('dev', 'panic')}, $panic); };
attack 'jit_revoke_all after jit_approve under SERIALIZABLE' => sub {
	my $n = pending(); race('anna', "SELECT jit_approve($n)", q{SELECT jit_revoke_all('panic')}, $panic, level => 'SERIALIZABLE');
};
attack 'the approver has left the owner role' => sub {
	my $n = pending(); race('anna', "SELECT jit_approve($n)", 'REVOKE hr_owner FROM anna', qr/anna/); super('GRANT hr_owner TO anna');
};
attack 'the approver has lost the grant option' => sub {
	my $n = pending(); race('ben', "SELECT jit_approve($n)", 'SET ROLE hr_owner; REVOKE GRANT OPTION FOR SELECT ON hr.salary FROM ben', qr/ben/);
	super('SET ROLE hr_owner; GRANT SELECT ON hr.salary TO ben WITH GRANT OPTION');
};
attack 'the approver has lost the ADMIN option' => sub {
	my $n = pending('reporting'); race('ben', "SELECT jit_approve($n)", 'REVOKE ADMIN OPTION FOR reporting FROM ben', qr/ben/);
	super('GRANT reporting TO ben WITH ADMIN OPTION');
};
attack 'the approver has been dropped' => sub {
	my $n = pending(); race('leaver', "SELECT jit_approve($n)", 'DROP ROLE leaver', qr/leaver/);
};
attack 'the approver has left the role that the flow names' => sub {
	flow('[{"approver": "security"}]');
	my $n = pending(); race('sam', "SELECT jit_approve($n)", 'REVOKE security FROM sam', qr/sam/);
	super('GRANT security TO sam');
	flow($grantor);
};
attack 'the approver has become one of those it is for' => sub {
	super("SELECT jit_set_flow('moderate', '[]')");
	flow($grantor);
	my ($n) = $s{dev2}->do("SELECT jit_request('$salary', '1 hour', 'x', grantee => 'oncall')");
	race('anna', "SELECT jit_approve($n)", 'GRANT oncall TO anna', qr/anna/, grantee => 'oncall');
	super('REVOKE oncall FROM anna');
};
attack 'the approver is a superuser no more' => sub {
	super('CREATE ROLE root LOGIN SUPERUSER');
	my $n = pending();
	$s{root} = session($node, 'root', 'hr_prod');
	race('root', "SELECT jit_approve($n)", 'ALTER ROLE root NOSUPERUSER', qr/root/);
};
attack 'jit_revoke_all after jit_grant' => sub { race('anna', "SELECT jit_grant('$salary', 'dev', '1 hour', 'x')", q{SELECT jit_revoke_all('panic')}, $panic); };
attack 'who uses jit_grant has left the owner role' => sub {
	race('anna', "SELECT jit_grant('$salary', 'dev', '1 hour', 'x')", 'REVOKE hr_owner FROM anna', qr/anna/); super('GRANT hr_owner TO anna');
};
attack 'a procedure that goes on after its COMMIT was refused' => sub {
	flow('[]');
	super(q{CREATE SCHEMA dev AUTHORIZATION dev});
	$s{dev}->do(q{CREATE PROCEDURE dev.p() LANGUAGE plpgsql AS $$ BEGIN
		PERFORM jit_request('SELECT ON hr.salary', '1 hour', 'x'); PERFORM pg_advisory_xact_lock(1); COMMIT;
		RAISE NOTICE 'it has % rows', (SELECT count(*) FROM hr.salary); END $$});
	my $lock = session($node, 'eve', 'hr_prod');
	$lock->do('BEGIN; SELECT pg_advisory_xact_lock(1)');
	$s{dev}->begin('CALL dev.p()');
	ok(wait_until(sub { waits($node, $s{dev}) }), 'it waits before its COMMIT');
	super(q{SELECT jit_revoke_all('panic')});
	$lock->do('ROLLBACK');
	my ($out, $err) = $s{dev}->end;
	unlike($err, qr/it has 100 rows/, 'nothing is read');
	overtaken($out, $err, undef, $panic);
	$lock->quit;
	nothing_given($salary, 'dev');
};

# ---- what does not overtake

sub lasts
{
	my ($n, $err) = @_;
	is($err, '', 'committed');
	is($s{dev}->do('SELECT count(*) FROM hr.salary'), '100', '... and works');
	super(q{SELECT jit_revoke_from('dev', 'test')});
	return;
}
attack 'a panic button that is rolled back does not overtake' => sub {
	$s{dev}->do("BEGIN; $ask");
	super(q{BEGIN; SELECT jit_revoke_all('panic'); ROLLBACK});
	lasts(0, ($s{dev}->do('COMMIT'))[1]);
};
attack 'a panic button before the call does not overtake' => sub {
	super(q{SELECT jit_revoke_all('panic')});
	$s{dev}->do("BEGIN; $ask");
	lasts(0, ($s{dev}->do('COMMIT'))[1]);
};
attack 'jit_revoke_from somebody else does not overtake' => sub {
	$s{dev}->do("BEGIN; $ask");
	super(q{SELECT jit_revoke_from('dev2', 'panic')});
	lasts(0, ($s{dev}->do('COMMIT'))[1]);
};

# ---- in one transaction

attack 'jit_approve after jit_revoke_from in the same transaction' => sub {
	flow($grantor);
	super('GRANT hr_owner TO paul');
	my $n = pending();
	my ($out, $err) = $s{paul}->do("BEGIN; SELECT jit_revoke_from('dev', 'panic')");
	unlike($err, qr/ERROR/, 'called');
	like(($s{paul}->do("SELECT jit_approve($n)"))[1], qr/ERROR:  55000: .*request $n\b.*cancel/s, 'what is canceled is not approved');
	$s{paul}->do('ROLLBACK');
	super('REVOKE hr_owner FROM paul');
	nothing_given($salary, 'dev');
};
attack 'jit_revoke twice in the same transaction' => sub {
	my ($out, $err) = sql($node, 'anna', "SELECT jit_grant('$salary', 'dev', '1 hour', 'x')", 'hr_prod');
	like($out, qr/^\d+$/, 'granted') or diag $err;
	$s{anna}->do("BEGIN; SELECT jit_revoke($out, 'once'); SELECT jit_revoke($out, 'twice'); COMMIT");
	$s{anna}->do('ROLLBACK');
	super("SELECT jit_revoke_from('dev', 'test')");
	is(super("SELECT count(*) FROM jit.events WHERE request_id = $out AND event = 'revoked'"), '1', 'it has ended once');
	nothing_given($salary, 'dev');
};
attack 'DROP EXTENSION in a savepoint that is rolled back' => sub {
	my ($out, $err) = sql($node, getpwuid($<) . '', "BEGIN; SELECT jit_grant('$salary', 'dev', '1 hour', 'x'); SAVEPOINT s; DROP EXTENSION jit_access; ROLLBACK TO s; COMMIT", 'hr_prod');
	unlike($err, qr/ERROR/, 'committed');
	is(super("SELECT count(*) FROM jit.events e JOIN jit.requests r ON r.id = e.request_id AND r.status = 'active' AND r.grantee = 'dev' WHERE event = 'activated'"), '1', 'it is on record');
	is($s{dev}->do('SELECT count(*) FROM hr.salary'), '100', '... and works');
	works_until_revoked('dev');
};

delete $s{leaver};
eval { $_->quit } for values %s;
all_attacks_done();
$node->stop;
done_testing();
