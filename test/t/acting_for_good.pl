# Who asks or decides is somebody for good: nobody acts as a role that only
# temporary access lets them be, and behind a proxy nobody decides or
# administers.
#
# The attacks are lines of attacks.md.  Seen to fail with jit_acting_person()
# not looking at jit_holds_role_for_good(), with jit_why_not_decide() not
# looking at proxies, and with jit_request() not asking for the client's own
# words where it is for somebody else.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('for_good');
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE oncall; CREATE ROLE carl LOGIN; CREATE ROLE admins; CREATE ROLE adam LOGIN; CREATE ROLE standby LOGIN;
	GRANT admins TO adam; GRANT oncall TO standby;
	CREATE ROLE pool LOGIN; GRANT dev, anna, carl, adam, oncall TO pool;
	CREATE ROLE mine; GRANT mine TO hr_owner WITH ADMIN OPTION;
	GRANT USAGE ON SCHEMA hr TO PUBLIC;
	CREATE SCHEMA dev AUTHORIZATION dev; GRANT USAGE ON SCHEMA dev TO PUBLIC;
	SELECT jit_set_flow('low', '[]'), jit_set_policy('oncall', 'low', '$.requester == "oncall" || $.grantee == "oncall"');
});
$node->safe_psql('postgres', "ALTER SYSTEM SET jit_access.admin_role = 'admins'; SELECT pg_reload_conf()");
$node->poll_query_until('postgres', q{SELECT current_setting('jit_access.admin_role') = 'admins'});

sub super { return $node->safe_psql('hr_prod', $_[0]); }
sub by { my ($user, $sql) = @_; my ($out, $err) = sql($node, $user, "SET client_min_messages = error; $sql", 'hr_prod'); return ($out, $err); }

# Denied, and nothing was filed, decided or changed by it.
my $state = q{SELECT md5(concat((SELECT string_agg(r::text, ';' ORDER BY id) FROM jit.requests r),
	(SELECT string_agg(f::text, ';' ORDER BY risk) FROM jit.approval_flows f), (SELECT string_agg(p::text, ';' ORDER BY name) FROM jit.risk_policies p),
	(SELECT string_agg(v::text, ';' ORDER BY request_id, review) FROM jit.reviews v), (SELECT count(*) FROM pg_seclabels)))};
sub refused
{
	my ($user, $sql, $why) = @_;
	my $before = super($state);
	my ($out, $err) = by($user, $sql);
	like($err, qr/ERROR:  42501: /, 'refused');
	like($err, $why, '... and why');
	is(super($state), $before, 'nothing has come of it');
	return;
}
my $for_good = qr/ERROR:  42501: you cannot ask or decide as role \w+\nDETAIL:  Role \w+ can SET ROLE to it through temporary access only\.\nHINT:  Use RESET ROLE/;
my $proxy = qr/DETAIL:  Login pool is listed in jit_access\.proxy_logins; behind a proxy nobody decides or administers\./;
my $own = qr/\(\) must be called in a statement of its own/;

# dev is oncall and carl, an approver and an administrator for an hour
super(q{SELECT jit_grant('oncall', 'dev', '1 hour', 'x'), jit_grant('carl', 'dev', '1 hour', 'x'),
	jit_grant('hr_owner', 'dev', '1 hour', 'x'), jit_grant('admins', 'dev', '1 hour', 'x')});
my ($pending) = by('carl', q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x')});
my $active = super(q{SELECT jit_grant('UPDATE ON hr.salary', 'carl', '1 hour', 'x')});

# ---- in another's name, for a time

my %calls = (
	jit_request => q{jit_request('SELECT ON hr.salary', '7 days', 'x')},
	jit_explain => q{* FROM jit_explain('SELECT ON hr.salary', '7 days', 'x')},
	jit_grant => q{jit_grant('SELECT ON hr.salary', 'eve', '7 days', 'x')},
	jit_approve => "jit_approve($pending)",
	jit_reject => "jit_reject($pending, 'x')",
	jit_cancel => "jit_cancel($pending)",
	jit_revoke => "jit_revoke($active)",
	jit_revoke_from => q{jit_revoke_from('carl', 'x')},
	jit_revoke_all => q{jit_revoke_all('x')},
	jit_set_flow => q{jit_set_flow('moderate', '[]')},
	jit_set_policy => q{jit_set_policy('p', 'low', '$.hour >= 0')},
	jit_drop_policy => q{jit_drop_policy('oncall')},
	jit_set_label => q{jit_set_label('TABLE hr.salary', 'pii')});
my %as = (
	'oncall, which asks for less' => [ 'oncall', qw(jit_request jit_explain) ],
	'another login' => [ 'carl', qw(jit_request jit_cancel jit_revoke) ],
	'an approver' => [ 'hr_owner', qw(jit_grant jit_approve jit_reject jit_revoke) ],
	'an administrator' => [ 'admins', qw(jit_reject jit_revoke_from jit_revoke_all jit_set_flow jit_set_policy jit_drop_policy jit_set_label) ]);
foreach my $as (sort keys %as)
{
	my ($role, @functions) = @{ $as{$as} };
	attack "$_ as $as, for an hour" => sub { refused('dev', "SET ROLE $role; SELECT $calls{$_}", $for_good); } foreach @functions;
}
attack 'the same by set_config()' => sub { refused('dev', "SELECT set_config('role', 'oncall', false); SELECT $calls{jit_request}", $for_good); };
attack 'the same from a function' => sub {
	super(qq{SET ROLE dev; CREATE FUNCTION dev.ask() RETURNS int LANGUAGE plpgsql AS \$\$ BEGIN SET LOCAL ROLE oncall; RETURN (SELECT $calls{jit_request}); END \$\$});
	refused('dev', 'SELECT dev.ask()', $for_good);
};
attack 'the same from a function with SET role' => sub {
	super(qq{SET ROLE dev; CREATE FUNCTION dev.ask2() RETURNS int LANGUAGE sql SET role = 'oncall' AS \$\$ SELECT $calls{jit_request} \$\$});
	refused('dev', 'SELECT dev.ask2()', $for_good);
};
attack 'SET ROLE through a role that one is only for an hour' => sub {
	super('CREATE ROLE leads; GRANT leads TO oncall');
	refused('dev', "SET ROLE leads; SELECT $calls{jit_request}", $for_good);
};
attack 'SET ROLE, and the access has ended since' => sub {
	my $s = session($node, 'dev', 'hr_prod');
	my ($n) = super(q{CREATE ROLE short; SELECT jit_grant('short', 'dev', '1 hour', 'x')}) =~ /(\d+)/;
	$s->do('SET client_min_messages = error; SET ROLE short');
	super("SELECT jit_revoke($n)");
	like(($s->do("SELECT $calls{jit_request}"))[1], qr/ERROR:  42501: /, 'refused');
	$s->quit;
};
attack 'grantee => a role that one is only for an hour' => sub {
	refused('dev', q{SELECT jit_request('SELECT ON hr.salary', '7 days', 'x', grantee => 'oncall')}, qr/you cannot request access for role oncall/);
};
attack 'an approver for an hour, without SET ROLE' => sub { refused('dev', "SELECT jit_approve($pending)", qr/DETAIL:  /); };
attack 'the inbox of an approver for an hour' => sub {
	is((by('dev', 'SET ROLE hr_owner; SELECT count(*) FROM jit.inbox'))[0], '0', 'is empty');
};
attack 'as oneself, all the same' => sub {
	my ($n) = by('dev', q{SET ROLE oncall; RESET ROLE; SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x')});
	is(super("SELECT requester, grantee, status FROM jit.requests WHERE id = $n"), 'dev|dev|pending', 'works');
	by('dev', "SELECT jit_cancel($n)");
};
attack 'SET ROLE to a group that one is in for good' => sub {
	my ($n, $err) = by('standby', q{SET ROLE oncall; SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x')});
	is(super("SELECT requester, login, status FROM jit.requests WHERE id = $n"), 'oncall|standby|active', 'works, and the login is on record');
};
attack 'SET ROLE to a group, in a view that somebody in it uses' => sub {
	super(q{SET ROLE dev; CREATE VIEW dev.report AS SELECT jit_request('SELECT ON hr.salary', '7 days', 'x'); GRANT SELECT ON dev.report TO PUBLIC});
	refused('standby', 'SET ROLE oncall; TABLE dev.report', $own);
};
attack 'grantee => a group, in a view that somebody in it uses' => sub {
	super(q{SET ROLE dev; CREATE VIEW dev.report2 AS SELECT jit_request('SELECT ON hr.salary', '7 days', 'x', grantee => 'oncall'); GRANT SELECT ON dev.report2 TO PUBLIC});
	refused('standby', 'TABLE dev.report2', $own);
};
attack 'grantee => anybody, in a view that an administrator uses' => sub {
	super(q{SET ROLE dev; CREATE VIEW dev.report3 AS SELECT jit_request('SELECT ON hr.salary', '7 days', 'x', grantee => 'oncall'); GRANT SELECT ON dev.report3 TO PUBLIC});
	refused('adam', 'TABLE dev.report3', $own);
};

# ---- behind a proxy

$node->safe_psql('postgres', "ALTER SYSTEM SET jit_access.proxy_logins = 'pool'; SELECT pg_reload_conf()");
$node->poll_query_until('postgres', q{SELECT current_setting('jit_access.proxy_logins') = 'pool'});
my %behind = (anna => [qw(jit_grant jit_approve jit_reject jit_revoke)],
	adam => [qw(jit_reject jit_revoke jit_revoke_from jit_revoke_all jit_set_flow jit_set_policy jit_drop_policy jit_set_label)]);
foreach my $role (sort keys %behind)
{
	attack "$_ behind a proxy, as $role" => sub { refused('pool', "SET ROLE $role; SELECT $calls{$_}", $proxy); } foreach @{ $behind{$role} };
}
attack 'the flow is opened behind a proxy, and then one asks' => sub {
	refused('pool', q{SET ROLE adam; SELECT jit_set_flow('moderate', '[]'); SET ROLE dev; SELECT jit_request('DELETE ON hr.salary', '1 hour', 'x') WHERE false}, $proxy);
};
attack 'an administrator asks for anybody, behind a proxy' => sub {
	refused('pool', q{SET ROLE adam; SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x', grantee => 'eve')}, qr/you cannot request access for role eve/);
};
attack 'a superuser is a proxy' => sub {
	super('CREATE ROLE rootpool LOGIN SUPERUSER');
	$node->safe_psql('postgres', "ALTER SYSTEM SET jit_access.proxy_logins = 'pool, rootpool'; SELECT pg_reload_conf()");
	$node->poll_query_until('postgres', q{SELECT current_setting('jit_access.proxy_logins') LIKE '%rootpool'});
	refused('rootpool', "SET ROLE adam; SELECT $calls{jit_set_flow}", qr/Login rootpool is listed/);
	refused('rootpool', "SET SESSION AUTHORIZATION anna; SELECT $calls{jit_approve}", qr/Login rootpool is listed/);
	refused('rootpool', 'SELECT jit_reset_clock()', qr/Login rootpool is listed/);
};
attack 'tests are made to run in production, by who may not' => sub {
	refused('dev', "SET jit_access.top_level_only = off; SELECT $calls{jit_request}", qr/permission denied to set parameter/);
	refused('adam', 'ALTER ROLE adam SET jit_access.top_level_only = off', qr/permission denied to set parameter/);
	refused('anna', 'ALTER DATABASE hr_prod SET jit_access.top_level_only = off', qr/permission denied to set parameter/);
};
attack 'asking behind a proxy' => sub {
	my ($n, $err) = by('pool', q{SET ROLE dev; SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x')});
	is(super("SELECT requester, login FROM jit.requests WHERE id = $n"), 'dev|pool', 'works, and the login is on record');
	like((by('pool', "SET ROLE carl; SELECT jit_cancel($n)"))[1], qr/you cannot cancel/, '... and is not for somebody else there to withdraw');
	is((by('pool', "SET ROLE dev; SELECT jit_cancel($n)"))[0], 'canceled', '... but for who asked');
};
attack 'ending one\'s own behind a proxy' => sub { is((by('pool', "SET ROLE carl; SELECT jit_revoke($active)"))[0], 'revoked', 'works'); };
attack 'asking behind a proxy, in a view that another uses there' => sub {
	super(q{SET ROLE dev; CREATE VIEW dev.report4 AS SELECT jit_request('SELECT ON hr.salary', '7 days', 'x'); GRANT SELECT ON dev.report4 TO PUBLIC});
	refused('pool', 'SET ROLE carl; TABLE dev.report4', $own);
};

attack 'a proxy is nobody who could approve' => sub {
	super(q{CREATE ROLE behind; GRANT behind TO pool; SELECT jit_set_flow('high', '[{"approver": "behind"}]'), jit_set_policy('behind', 'high', '$.ticket == "behind"')});
	my ($n, $err) = sql($node, 'dev', q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x', ticket => 'behind')}, 'hr_prod');
	like($err, qr/WARNING:  \w+: nobody can approve request $n in hr_prod/, 'it is said');
	unlike($err, qr/\(pool\)/, '... and the proxy is not named');
	unlike((by('dev', q{SELECT * FROM jit_explain('SELECT ON hr.salary', '1 hour', 'x', ticket => 'behind')}))[0], qr/pool/, '... nor in a dry run');
	by('dev', "SELECT jit_cancel($n)");
};

# ---- an old postgresql.conf, and one with a mistake

attack 'proxy_logins cannot be read' => sub {
	my ($mine) = by('dev', q{SELECT jit_request('INSERT ON hr.salary', '1 hour', 'x')});
	$active = super(q{SELECT jit_grant('DELETE ON hr.salary', 'carl', '1 hour', 'x')});
	my $other = super(q{SELECT jit_grant('TRUNCATE ON hr.salary', 'carl', '1 hour', 'x')});
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET jit_access.proxy_logins');
	$node->append_conf('postgresql.conf', "jit_access.proxy_logins = 'pool,,'");
	$node->restart;
	my $unknown = qr/DETAIL:  jit_access\.proxy_logins is "pool,,", which is no list of roles, so nobody is known not to be a proxy\./;
	refused('anna', "SELECT jit_approve($mine)", $unknown);
	refused('anna', "SELECT jit_reject($mine, 'x')", $unknown);
	refused('adam', "SELECT $calls{jit_set_flow}", $unknown);
	is((by('carl', "SELECT jit_revoke($active)"))[0], 'revoked', 'who has access ends it');
	is((by('adam', "SELECT jit_revoke($other, 'x')"))[0], 'revoked', 'an administrator does');
	like((by('adam', q{SELECT jit_revoke_from('dev', 'x')}))[0], qr/^\d+$/, '... ends all of somebody');
	like((by('adam', q{SELECT jit_revoke_all('x')}))[0], qr/^\d+$/, '... and of everybody');
	is((by('dev', q{SELECT count(*) FROM jit_request('INSERT ON hr.salary', '1 hour', 'x')}))[0], '1', 'it can be asked for');
	like(super('SELECT count(*) FROM jit.inbox'), qr/^[1-9]/, 'a superuser has the inbox');
	is(super('SELECT jit_reject(request, $$x$$) FROM jit.inbox LIMIT 1'), 'rejected', '... and decides');
	($pending) = by('carl', q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x')});
	$node->append_conf('postgresql.conf', "jit_access.proxy_logins = 'pool'");
};

attack 'a postgresql.conf that sets jit_access.proxy_approvals' => sub {
	$node->append_conf('postgresql.conf', 'jit_access.proxy_approvals = on');
	my $offset = -s $node->logfile;
	$node->restart;
	like(substr(slurp_file($node->logfile), $offset), qr/WARNING:  invalid configuration parameter name "jit_access\.proxy_approvals", removing it/, 'the server starts, and its log says so');
	refused('pool', "SET ROLE anna; SELECT jit_approve($pending)", $proxy);
};

all_attacks_done();
$node->stop;
done_testing();
