# Names of yesterday: roles are renamed, exchange their names, are dropped and
# made anew between a request and what becomes of it.  Whoever decides, reads
# and audits is shown today's name, and the former one where it is another; and
# whoever bears today the name of yesterday's requester can't act for them.
#
# The attacks are lines of attacks.md.  Seen to fail with jit_name_now() saying
# the stored name, with access_now() saying today's alone, with names that count
# in is_own() and in jit.concerns_me(), and with rows of the cluster's other
# databases taken by name.
#
# And roles that settings name: a superuser who names one that isn't there is
# warned, once, and nobody else is.  Seen to fail with the check hooks left out,
# and with the conditions on the source, or on the statement, taken out.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('names', "jit_access.max_pending = 100\n");
create_hr($node);
my $super = getpwuid($<) . '';

sub super { return $node->safe_psql('hr_prod', "SET client_min_messages = error; $_[0]"); }
sub as { my ($out, $err) = sql($node, $_[0], $_[1], $_[2] // 'hr_prod'); return ($out, $err); }

super(q{CREATE ROLE dev2 LOGIN; CREATE ROLE oncall; GRANT oncall TO dev; CREATE ROLE ben LOGIN; CREATE ROLE sue LOGIN; CREATE ROLE sid LOGIN; CREATE ROLE security; CREATE ROLE sales;
	GRANT security TO sue; GRANT sales TO sid; GRANT hr_owner TO ben; GRANT USAGE ON SCHEMA hr TO PUBLIC;
	SELECT jit_set_flow('high', '[{"approver": "hr_owner", "approvals": 2}]'), jit_set_policy('two', 'high', '$.ticket == "two"');
	SET ROLE hr_owner; CREATE TABLE hr.title AS SELECT 1 AS a, 2 AS b});

# Exchange the names of two roles, while the code runs.
sub swapped
{
	my ($one, $two, $code) = @_;
	my $swap = "ALTER ROLE $one RENAME TO passing; ALTER ROLE $two RENAME TO $one; ALTER ROLE passing RENAME TO $two";
	super($swap);
	my $done = eval { $code->(); 1 };
	my $why = $@;
	super($swap);
	die $why unless $done;
	return;
}

sub asked
{
	my ($access, $more, $user) = @_;
	my ($out, $err) = as($user // 'dev', "SELECT jit_request('$access', '" . longer() . "', 'x'" . ($more // '') . ')');
	$out =~ /(\d+)$/ or die $err;
	return $1;
}
sub inbox { return (as($_[1] // 'anna', qq{SELECT grantee, access FROM jit.inbox WHERE request = $_[0]}))[0]; }
sub ended { return super("SELECT jit_revoke(request, 'test') FROM jit.active_grants WHERE request = $_[0]"); }

# ---- what is shown

attack 'two roles exchange their names before the approval' => sub {
	my $n = asked('SELECT ON hr.salary');
	my $log = -s $node->logfile;
	swapped('dev', 'dev2', sub {
		shown_as(inbox($n), 'dev2 (formerly dev)|SELECT ON hr.salary', 'the inbox');
		like((as('anna', "SELECT jit_approve($n)"))[1], qr/NOTICE:  00000: dev2 \(formerly dev\) has SELECT ON hr\.salary in hr_prod until /, 'the NOTICE');
		is(super(q{SELECT has_table_privilege('dev2', 'hr.salary', 'SELECT'), has_table_privilege('dev', 'hr.salary', 'SELECT')}), 't|f', 'who gets it');
		is(super("SELECT detail ->> 'grantee', detail ->> 'formerly' FROM jit.events WHERE request_id = $n AND event = 'activated'"), 'dev2|dev', 'the event');
		$node->wait_for_log(qr/request $n in hr_prod activated: dev2 \(formerly dev\) has SELECT ON hr\.salary/, $log);
		is(super("SELECT grantee FROM jit.history WHERE request = $n"), 'dev2 (formerly dev)', 'the history');
		shown_as(super("SELECT grantee FROM jit.active_grants WHERE request = $n"), 'dev2 (formerly dev)', 'what is active');
		shown_as((as('dev2', qq{SELECT grantee FROM jit.my_requests WHERE request = $n}))[0], 'dev2 (formerly dev)', 'their own requests');
		like((as('anna', "SELECT jit_revoke($n)"))[1], qr/revoked: dev2 \(formerly dev\) no longer has/, 'the end');
		$node->wait_for_log(qr/request $n in hr_prod revoked by anna: dev2 \(formerly dev\) no longer has/, $log);
	});
	is(super("SELECT grantee FROM jit.history WHERE request = $n"), 'dev', 'and with its old name it is itself');
};
attack 'a role is renamed before it is rejected, canceled, or expires' => sub {
	my ($reject, $cancel, $expire) = map { asked('SELECT ON hr.salary') } 1 .. 3;
	my $log = -s $node->logfile;
	swapped('dev', 'dev2', sub {
		like((as('anna', "SELECT jit_reject($reject, 'no')"))[1], qr/is rejected: dev2 \(formerly dev\) does not get/, 'rejected');
		like((as('dev2', "SELECT jit_cancel($cancel)"))[1], qr/is canceled: dev2 \(formerly dev\) does not get/, 'canceled');
		as('anna', "SELECT jit_approve($expire, 'x', '1 s')");
		$node->wait_for_log(qr/request $expire in hr_prod expired: dev2 \(formerly dev\) no longer has/, $log);
	});
};
attack 'an approver is renamed before the second approves' => sub {
	my $n = asked('SELECT ON hr.salary', q{, ticket => 'two'});
	as('anna', "SELECT jit_approve($n)");
	super('ALTER ROLE anna RENAME TO hanna');
	like((as('ben', "SELECT jit_approve($n)"))[1], qr/dev has/, 'approved');
	is(super("SELECT detail ->> 'approved_by' FROM jit.events WHERE request_id = $n AND event = 'activated'"), 'hanna (formerly anna), ben', 'the event');
	is(super("SELECT approved_by FROM jit.history WHERE request = $n"), '{"hanna (formerly anna)",ben}', 'the history');
	like(super("SELECT shobj_description(role_oid, 'pg_authid') FROM jit.grants WHERE request_id = $n"), qr/; approved by hanna \(formerly anna\), ben$/, 'the comment on the grant role');
	super('ALTER ROLE hanna RENAME TO anna');
	ended($n);
};
attack 'a role that a flow names exchanges its name with another' => sub {
	super(q{SELECT jit_set_flow('low', '[{"approver": "security"}]'), jit_set_policy('guarded', 'low', '$.ticket == "guarded"')});
	my $n = asked('SELECT ON hr.salary', q{, ticket => 'guarded'});
	swapped('security', 'sales', sub {
		like((as($super, "SELECT jit_approve($n)"))[1], qr/DETAIL:  The approval that is needed now is by sales \(formerly security\)\./, 'who is missing');
		shown_as((as('sue', "SELECT approvals FROM jit.inbox WHERE request = $n"))[0], "0 of 1\nby sales (formerly security)", 'the inbox');
		like((as('sid', "SELECT jit_approve($n)"))[1], qr/DETAIL:  It does not concern you/, 'not who has its name');
		is((as('sue', "SELECT jit_approve($n)"))[0], 'active', 'its members decide');
	});
	ended($n);
};
attack 'a group is renamed before the approval' => sub {
	my $n = asked('SELECT ON hr.salary', q{, grantee => 'oncall'});
	super('ALTER ROLE oncall RENAME TO standby');
	shown_as(inbox($n), 'standby (formerly oncall), asked by dev|SELECT ON hr.salary', 'the inbox');
	like((as('dev', "SELECT jit_approve($n)"))[1], qr/DETAIL:  It is for role standby \(formerly oncall\), of which login dev is a member/, 'the denial');
	like((as('anna', "SELECT jit_approve($n)"))[1], qr/NOTICE:  00000: standby \(formerly oncall\) \(dev\) has SELECT/, 'the NOTICE');
	super('ALTER ROLE standby RENAME TO oncall');
	ended($n);
};
attack 'a role takes a name that looks like two' => sub {
	super('ALTER ROLE dev2 RENAME TO "dev (formerly eve)"');
	my ($out, $err) = as('dev (formerly eve)', q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x')});
	shown_as(inbox($out), '"dev (formerly eve)"|SELECT ON hr.salary', 'it is quoted');
	super('ALTER ROLE "dev (formerly eve)" RENAME TO dev2');
	shown_as(inbox($out), 'dev2 (formerly "dev (formerly eve)")|SELECT ON hr.salary', '... then, too');
	as('dev2', "SELECT jit_cancel($out)");
};
attack 'the grantee is dropped, and another gets its name' => sub {
	super('CREATE ROLE leaver LOGIN');
	my ($n, $pending) = (asked('SELECT ON hr.salary', '', 'leaver'), asked('UPDATE ON hr.salary', '', 'leaver'));
	as('anna', "SELECT jit_approve($n)");
	ended($n);
	super('DROP ROLE leaver; CREATE ROLE leaver LOGIN');
	is(super("SELECT grantee FROM jit.history WHERE request = $n"), 'leaver', 'the history has the name alone');
	is((as('leaver', 'SELECT count(*) FROM jit.history'))[0], '0', '... which the other one does not read');
	like((as('leaver', "SELECT jit_cancel($pending)"))[1], qr/DETAIL:  It does not concern you/, '... nor cancels the request');
	like((as('leaver', "SELECT jit_approve($pending)"))[1], qr/DETAIL:  It does not concern you/, '... nor learns of it');
};
attack 'who asked is not who gets it, nor who logged in' => sub {
	my $own = asked('SELECT ON hr.salary');
	shown_as(inbox($own), 'dev|SELECT ON hr.salary', 'for themselves');
	my $group = asked('SELECT ON hr.salary', q{, grantee => 'oncall'});
	shown_as(inbox($group), 'oncall, asked by dev|SELECT ON hr.salary', 'for a group');
	my ($as_group, $err) = as('dev', q{SET ROLE oncall; SELECT jit_request('SELECT ON hr.salary', '3 hours', 'x')});
	shown_as(inbox($as_group), 'oncall, asked by oncall (login dev)|SELECT ON hr.salary', 'as the group');
	swapped('dev', 'dev2', sub {
		shown_as(inbox($group), 'oncall, asked by dev2 (formerly dev)|SELECT ON hr.salary', '... and renamed since');
		shown_as(inbox($as_group), 'oncall, asked by oncall (login dev2 (formerly dev))|SELECT ON hr.salary', '... too');
	});
	as('dev', "SELECT jit_cancel($_)") foreach $own, $group, $as_group;
};

# ---- what is for objects

attack 'two tables exchange their names before the approval' => sub {
	my $n = asked('SELECT ON hr.salary');
	my $swap = 'ALTER TABLE hr.salary RENAME TO passing; ALTER TABLE hr.title RENAME TO salary; ALTER TABLE hr.passing RENAME TO title';
	super($swap);
	shown_as(inbox($n), "dev|SELECT ON hr.title\n(formerly SELECT ON hr.salary)", 'the inbox');
	like((as('anna', "SELECT jit_approve($n)"))[1], qr/NOTICE:  00000: dev has SELECT ON hr\.title \(formerly SELECT ON hr\.salary\) in hr_prod/, 'the NOTICE');
	is(super("SELECT detail ->> 'access' FROM jit.events WHERE request_id = $n AND event = 'activated'"), 'SELECT ON hr.title', 'the event');
	is(super(q{SELECT has_table_privilege('dev', 'hr.title', 'SELECT'), has_table_privilege('dev', 'hr.salary', 'SELECT')}), 't|f', 'what was meant is given');
	super($swap);
	ended($n);
};
attack 'two columns exchange their names before the approval' => sub {
	my $n = asked('SELECT (b, a), UPDATE (b) ON hr.title');
	shown_as(inbox($n), "dev|SELECT (a, b) ON hr.title;\nUPDATE (b) ON hr.title", 'nothing has changed yet');
	my $swap = 'ALTER TABLE hr.title RENAME a TO c; ALTER TABLE hr.title RENAME b TO a; ALTER TABLE hr.title RENAME c TO b';
	super($swap);
	like(inbox($n) =~ s/\s+/ /gr, qr/ UPDATE \(a\) ON hr\.title \(formerly SELECT \(a, b\) ON hr\.title; UPDATE \(b\) ON hr\.title\)$/, 'the inbox');
	like((as('anna', "SELECT jit_approve($n)"))[1], qr/UPDATE \(a\) ON hr\.title \(formerly .*UPDATE \(b\) ON hr\.title\) in hr_prod/, 'the NOTICE');
	super($swap);
	ended($n);
};

# ---- what a name gives

attack 'who bears the name of the requester decides for them' => sub {
	my ($n, $active) = (asked('SELECT ON hr.salary'), asked('UPDATE ON hr.salary'));
	as('anna', "SELECT jit_approve($active)");
	swapped('dev', 'dev2', sub {
		foreach my $call ("jit_cancel($n)", "jit_revoke($active)", "jit_reject($n, 'x')", "jit_approve($n)")
		{
			like((as('dev', "SELECT $call"))[1], qr/ERROR:  42501: you cannot .*\nDETAIL:  It does not concern you\./, $call);
		}
		is((as('dev', "SELECT jit.progress($n)"))[0], '', 'jit.progress()');
		is((as('dev', "SELECT count(*) FROM jit.$_ WHERE request IN ($n, $active)"))[0], '0', "jit.$_") foreach qw(my_requests pending history active_grants refused);
		is((as('dev2', "SELECT jit_cancel($n)"))[0], 'canceled', 'whoever asked, does');
		is((as('dev2', "SELECT jit_revoke($active)"))[0], 'revoked', '... and ends what is theirs');
	});
};
attack 'who bears the name of the requester approves' => sub {
	super(q{SELECT jit_set_flow('high', '[{"approver": "hr_owner"}]'), jit_set_policy('own', 'high', '$.ticket == "own"'); CREATE ROLE carl LOGIN});
	my $n = asked('SELECT ON hr.salary', q{, ticket => 'own'}, 'carl');
	swapped('carl', 'ben', sub {
		like((as('carl', "SELECT jit_approve($n)"))[1], qr/ERROR:  42501: you cannot approve request $n in hr_prod\nDETAIL:  It is for you \(role ben \(formerly carl\)\)\./, 'four eyes go by name as well');
	});
	super(q{SELECT jit_set_flow('high', '[{"approver": "hr_owner", "approvals": 2}]')});
	is((as('carl', "SELECT jit_cancel($n)"))[0], 'canceled', 'canceled');
};
attack 'who bears the name of an approver' => sub {
	my $n = asked('SELECT ON hr.salary', q{, ticket => 'two'});
	as('anna', "SELECT jit_approve($n)");
	swapped('anna', 'eve', sub {
		like((as('anna', "SELECT jit_approve($n)"))[1], qr/DETAIL:  It does not concern you/, 'it is not theirs');
		like((as('eve', "SELECT jit_approve($n)"))[1], qr/DETAIL:  You have approved it already/, 'it is whose it was');
	});
	as('dev', "SELECT jit_cancel($n)");
};
attack 'who bears the name of the requester, in a copy of the database' => sub {
	my $n = asked('SELECT ON hr.salary');
	my $template = 'CREATE DATABASE hr_copy TEMPLATE hr_prod';
	wait_until(sub { ($node->psql('postgres', $template))[0] == 0 }) or die 'no copy';
	swapped('dev', 'dev2', sub {
		is((as('dev', "SELECT count(*) FROM jit.my_requests WHERE request = $n", 'hr_copy'))[0], '0', 'does not see it');
		like((as('dev', "SELECT jit_cancel($n)", 'hr_copy'))[1], qr/DETAIL:  It does not concern you/, 'nor cancels it');
		shown_as((as('dev2', qq{SELECT grantee FROM jit.my_requests WHERE request = $n}, 'hr_copy'))[0], 'dev2 (formerly dev)', 'whoever asked sees it');
		is((as('dev2', "SELECT jit_cancel($n)", 'hr_copy'))[0], 'canceled', '... and cancels it');
	});
	as('dev', "SELECT jit_cancel($n)");
};
attack 'in another cluster, names are all there is' => sub {
	my $n = asked('SELECT ON hr.salary');
	super("UPDATE jit.requests SET origin = '4711/5', requester_oid = 'dev2'::regrole, login_oid = 'dev2'::regrole, grantee_oid = 'dev2'::regrole WHERE id = $n");
	shown_as(inbox($n), 'dev|SELECT ON hr.salary', 'the inbox has the stored name, whatever the OID');
	like((as('dev2', "SELECT jit_cancel($n)"))[1], qr/DETAIL:  It does not concern you/, 'an OID of then is nobody');
	is((as('dev', "SELECT jit_cancel($n)"))[0], 'canceled', 'a name of then is who has it');
};

# ---- settings that name roles

my $none = qr/role "nobody", which (jit_access\.\w+) names, does not exist\nDETAIL:  Roles are trusted by this name.*\nHINT:  Create the role/;
my @settings = map { "jit_access.$_" } qw(admin_role auditor_role proxy_logins);

# How often, and for which settings, it is said.
sub warned
{
	my ($sql, $user, %env) = @_;
	local %ENV = (%ENV, %env);
	my ($out, $err) = as($user // $super, $sql);
	return join(' ', $err =~ /WARNING:  42704: $none/g);
}
# ... in the server log, since then
sub logged { return scalar(() = substr(slurp_file($node->logfile), $_[0]) =~ /which jit_access\.\w+ names, does not exist/g); }

attack 'SET to a role that is not there' => sub {
	foreach my $setting (@settings)
	{
		is(warned("SET $setting = 'nobody'"), $setting, $setting);
		is(warned("BEGIN; SET LOCAL $setting = 'nobody'; COMMIT"), $setting, '... SET LOCAL');
		is(warned("SELECT set_config('$setting', 'nobody', false)"), $setting, '... set_config()');
		is(warned("SET $setting = 'security'; SET $setting = ''; RESET $setting; SET $setting TO DEFAULT"), '', '... not for one that is there, or none');
	}
};
attack 'ALTER ROLE and ALTER DATABASE SET to a role that is not there' => sub {
	foreach my $setting (@settings)
	{
		is(warned("ALTER ROLE eve SET $setting = 'nobody'"), $setting, "$setting: ALTER ROLE");
		is(warned("ALTER ROLE eve SET $setting = 'security'; ALTER ROLE eve RESET $setting"), '', '... not for one that is there');
		is(warned("ALTER DATABASE hr_prod SET $setting = 'nobody'"), $setting, '... ALTER DATABASE');
		is(warned("ALTER DATABASE hr_prod RESET $setting"), '', '... not for RESET');
	}
};
attack 'ALTER SYSTEM SET to a role that is not there' => sub {
	foreach my $setting (@settings)
	{
		is(warned("ALTER SYSTEM SET $setting = 'nobody'"), $setting, $setting);
		is(warned("ALTER SYSTEM RESET $setting"), '', '... not for RESET');
	}
};
attack 'a list of logins one of which is not there' => sub {
	is(warned(q{SET jit_access.proxy_logins = 'eve', 'nobody', 'NOBODY'}), 'jit_access.proxy_logins jit_access.proxy_logins', 'it alone');
	like((as($super, q{SET jit_access.proxy_logins = 'eve, "no, body"'}))[1], qr/WARNING:  42704: role "no, body", which/, 'quoted');
	super('CREATE ROLE "Odd Admin"');
	is(warned(q{SET jit_access.admin_role = 'Odd Admin'; SET jit_access.proxy_logins = '"Odd Admin"'}), '', 'a role with an odd name is there');
	like((as($super, q{SET jit_access.admin_role = 'SECURITY'}))[1], qr/WARNING:  42704: role "SECURITY", which/, 'a name is taken as it is written');
};
attack 'a session starts with a role that is not there' => sub {
	super("ALTER DATABASE hr_prod SET $_ = 'nobody'") foreach @settings[ 0, 1 ];
	super("ALTER ROLE eve SET $settings[2] = 'nobody'");
	my $log = -s $node->logfile;
	is(warned('SELECT 1', 'eve'), '', 'of its database and role');
	is(warned('SELECT 1', undef, PGOPTIONS => '-c jit_access.proxy_logins=nobody'), '', 'of its options');
	is(warned('SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SELECT count(*) FROM hr.salary', $super),
		'', 'parallel workers');
	is(logged($log), 0, '... nor in the server log');
	super("ALTER DATABASE hr_prod RESET $_") foreach @settings[ 0, 1 ];
	super("ALTER ROLE eve RESET $settings[2]");
};
attack 'a reload brings a role that is not there' => sub {
	my $s = session($node, $super, 'hr_prod');
	my $idle = session($node, 'dev', 'hr_prod');
	$_->do('BEGIN; SELECT 1') foreach $s, $idle;
	$node->append_conf('postgresql.conf', join('', map { "$_ = 'nobody'\n" } @settings));
	my $log = -s $node->logfile;
	$node->reload;
	wait_until(sub { super("SELECT current_setting('jit_access.admin_role')") eq 'nobody' }) or die 'not reloaded';
	foreach my $open ($s, $idle)
	{
		my $err = '';
		wait_until(sub { my ($out, $e) = $open->do('SHOW jit_access.admin_role'); $err .= $e; return $out eq 'nobody' }) or die 'not reloaded';
		is($err, '', 'an open transaction is not told');
	}
	is(logged($log), 0, '... nor the server log');
	$_->quit foreach $s, $idle;
	$node->append_conf('postgresql.conf', join('', map { "$_ = ''\n" } @settings));
	$node->reload;
	wait_until(sub { super("SELECT current_setting('jit_access.admin_role')") eq '' }) or die 'not reloaded';
};
attack 'who is no superuser sets one' => sub {
	foreach my $call ('SET %s = nobody', 'ALTER ROLE dev SET %s = nobody', "SELECT set_config('%s', 'nobody', false)")
	{
		my ($out, $err) = as('dev', sprintf($call, 'jit_access.admin_role'));
		like($err, qr/^psql:<stdin>:1: ERROR:  42501: /, $call);
	}
};
attack 'a role that a setting names is dropped, and made again' => sub {
	super('CREATE ROLE boss; GRANT boss TO ben; CREATE ROLE maker LOGIN CREATEROLE; ALTER DATABASE hr_prod SET jit_access.admin_role = boss');
	my $policy = q{SELECT jit_set_policy('made', 'low', '$.ticket == "made"')};
	unlike((as('ben', $policy))[1], qr/ERROR/, 'its member administers');
	super('DROP ROLE boss');
	like((as('ben', $policy))[1], qr/ERROR:  42501: /, 'nobody does when it is gone');
	as('maker', 'CREATE ROLE boss ROLE maker');
	unlike((as('maker', $policy))[1], qr/ERROR/, 'the new one is trusted, as the manual says');
	super('ALTER DATABASE hr_prod RESET jit_access.admin_role; DROP ROLE boss');
	like((as('maker', $policy))[1], qr/ERROR:  42501: /, '... until the setting is cleared');
};

all_attacks_done();
$node->stop;
done_testing();
