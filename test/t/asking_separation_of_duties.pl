# Nobody approves their own request, or counts twice, however they go about
# it: with real logins, because one psql session can't play two of them.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess qw(longer shown_as);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'jit_access'");
$node->start;

sub sql
{
	my ($user, $sql) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $sql,
		extra_params => [ '-U', $user ]);
	return wantarray ? ($out, $err) : $out;
}

sub denied
{
	my ($user, $sql, $detail, $name) = @_;
	my ($out, $err) = sql($user, $sql);
	like($err, qr/ERROR:  you cannot (approve|grant) request \d+ in postgres.*$detail/s, $name);
	return;
}

sub ask
{
	my ($user, $sql) = @_;
	my $out = sql($user, $sql // "SELECT jit_request('SELECT ON t', '" . longer() . "', 'x')");
	my ($id) = $out =~ /(\d+)\s*$/;
	return $id;
}

$node->safe_psql('postgres', q{
	CREATE EXTENSION jit_access;
	CREATE ROLE owner; CREATE ROLE security; CREATE ROLE oncall; CREATE ROLE bot LOGIN;
	CREATE ROLE dev LOGIN; CREATE ROLE mate LOGIN;
	CREATE ROLE olga LOGIN; CREATE ROLE otto LOGIN;
	CREATE ROLE sam LOGIN; CREATE ROLE sue LOGIN; CREATE ROLE sid LOGIN;
	CREATE ROLE root LOGIN SUPERUSER;
	GRANT owner TO olga, otto, bot;
	GRANT security TO sam, sue, sid, bot;
	GRANT oncall TO dev, mate;
	GRANT dev, sam, sue, olga TO bot;
	CREATE TABLE t AS SELECT 1 AS x; ALTER TABLE t OWNER TO owner;
});

# one's own request
my $id = ask('olga', q{SELECT jit_request('INSERT ON t', '1 hour', 'x', grantee => 'olga')})
  || ask('dev');
denied('dev', "SELECT jit_approve(" . ask('dev') . ")", 'It is for you', 'the grantee');
$node->safe_psql('postgres', 'GRANT owner TO dev');
$id = ask('dev', q{SET ROLE oncall; SELECT jit_request('SELECT ON t', '1 hour', 'x')});
denied('dev', "SELECT jit_approve($id)", 'It is for role oncall, of which login dev is a member', 'a member of the grantee');
denied('dev', "SET ROLE owner; SELECT jit_approve($id)", 'It is for role oncall, of which', 'the same after SET ROLE to the owner');
$node->safe_psql('postgres', 'GRANT owner TO mate');
denied('mate', "SET ROLE owner; SELECT jit_approve($id)", 'It is for role oncall, of which login mate is a member', 'another member of the grantee');
is(sql('otto', "SELECT jit_approve($id)"), 'active', '... but the owner may');
$node->safe_psql('postgres', 'REVOKE owner FROM dev, mate');

$node->safe_psql('postgres', 'CREATE ROLE service; GRANT service TO olga');
$id = ask('olga', q{SELECT jit_request('SELECT ON t', '1 hour', 'x', grantee => 'service')});
denied('olga', "SELECT jit_approve($id)", 'It is for role service', 'on behalf of another');
denied('olga', "SET ROLE owner; SELECT jit_approve($id)", 'It is for role service', '... after SET ROLE');
$node->safe_psql('postgres', 'REVOKE service FROM olga');
denied('olga', "SET ROLE owner; SELECT jit_approve($id)", 'It was requested by you', '... after leaving the grantee');

$id = ask('root', q{SELECT jit_request('SELECT ON t', '3 hours', 'x', grantee => 'dev')});
denied('root', "SELECT jit_approve($id)", 'It was requested by you', 'as a superuser');
denied('root', "SET ROLE owner; SELECT jit_approve($id)", 'It was requested by you', 'as a superuser with SET ROLE');
denied('root', "SET SESSION AUTHORIZATION olga; SELECT jit_approve($id)", 'It was requested by you', 'with SET SESSION AUTHORIZATION');
denied('root', "SET SESSION AUTHORIZATION dev; SELECT jit_approve($id)", 'It is for you', '... as the grantee');
denied('root', "BEGIN; SET LOCAL ROLE owner; SELECT jit_approve($id)", 'It was requested', '... in a transaction');
is(sql('otto', "SELECT jit_approve($id)"), 'active', '... but the owner may');

# from inside a SECURITY DEFINER function
$node->safe_psql('postgres', q{
	CREATE FUNCTION approve_as_owner(int) RETURNS text LANGUAGE sql SECURITY DEFINER
		AS 'SELECT jit_approve($1)::text';
	ALTER FUNCTION approve_as_owner(int) OWNER TO owner;
});
$id = ask('mate');
like((sql($_, "SELECT approve_as_owner($id)"))[1], qr/jit_approve\(\) must be called in a statement of its own/, "$_: not through a SECURITY DEFINER function of the owner") for 'dev', 'otto';
# where a superuser has said that functions may call it
$node->safe_psql('postgres', q{ALTER ROLE otto SET jit_access.top_level_only = off});
denied('otto', "SELECT approve_as_owner($id)", 'SECURITY DEFINER', '... and if others would do, not one of that kind');
$node->safe_psql('postgres', q{ALTER ROLE otto RESET jit_access.top_level_only});

# authority that is itself temporary
$node->safe_psql('postgres', q{ALTER ROLE owner CREATEROLE});
is(sql('root', q{SELECT jit_grant('owner', 'sid', '1 hour', 'x') IS NOT NULL}), 't', 'sid is the owner for an hour');
denied('sid', "SELECT jit_approve($id)", 'DETAIL', 'temporary membership in the owner');
like((sql('sid', "SET ROLE owner; SELECT jit_approve($id)"))[1], qr/you cannot ask or decide as role owner.*DETAIL:  Role sid can SET ROLE to it through temporary access only.*RESET ROLE/s, '... after SET ROLE');
is(sql('sid', 'SELECT count(*) FROM jit.inbox'), '0', '... which has an empty inbox');
$node->safe_psql('postgres', q{ALTER ROLE owner NOCREATEROLE; SELECT jit_revoke_from('sid', 'enough')});

# a pooler: the effective role is the person
$node->safe_psql('postgres', q{ALTER SYSTEM SET jit_access.proxy_logins = 'bot'; SELECT pg_reload_conf()});
$node->poll_query_until('postgres', q{SELECT current_setting('jit_access.proxy_logins') = 'bot'});
$id = ask('bot', q{SET ROLE dev; SELECT jit_request('SELECT ON t', '2 hours', 'pooled')});
$id = ask('bot', q{SET ROLE dev; SELECT jit_request('UPDATE ON t', '2 hours', 'pooled')});
denied('bot', "SET ROLE olga; SELECT jit_approve($id)", 'behind a proxy nobody decides', 'no approvals through a pooler');
is(sql('olga', "SELECT jit_approve($id)"), 'active', '... but by a login of their own');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET ALL; SELECT pg_reload_conf()});
$node->poll_query_until('postgres', q{SELECT current_setting('jit_access.proxy_logins') = ''});

# a list of poolers that can't be read isn't an empty one
my $invalid = qr/ERROR:  invalid value for parameter "jit_access\.proxy_logins".*DETAIL:  List syntax is invalid/s;
like((sql('root', q{ALTER SYSTEM SET jit_access.proxy_logins = 'bot, batch bot'}))[1], $invalid, 'a list that cannot be read is refused');
like((sql('root', q{SET jit_access.proxy_logins = 'bot,,'}))[1], $invalid, '... in a session, too');
$id = ask('mate', q{SELECT jit_request('SELECT ON t', '3 hours', 'not pooled')});
$node->append_conf('postgresql.conf', "jit_access.proxy_logins = 'bot, batch bot'");
$node->restart;
like((sql('bot', "SET ROLE olga; SELECT jit_approve($id)"))[1], qr/DETAIL:  jit_access\.proxy_logins is "bot, batch bot", which is no list of roles/, '... and if it is there when the server starts, nobody approves');
is(sql('root', q{SELECT jit_revoke_from('mate', 'x') > 0}), 't', '... but access can be ended');
$node->append_conf('postgresql.conf', "jit_access.proxy_logins = ''");
$node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('jit_access.proxy_logins') = ''});

# two steps, 2 of 3 in the first
$node->safe_psql('postgres', q{SELECT jit_set_flow('moderate',
	'[{"approver": "security", "approvals": 2}, {"approver": "owner", "approvals": 1}]')});
$id = ask('mate', q{SELECT jit_request('DELETE ON t', '1 hour', 'x')});
denied('olga', "SELECT jit_approve($id)", 'The approval that is needed now is by security', 'the second step waits for the first');
is(sql('sam', "SELECT jit_approve($id)"), 'pending', 'first of two');
denied('sam', "SELECT jit_approve($id)", 'one person counts once', 'not twice');
denied('sam', "SET ROLE security; SELECT jit_approve($id)", 'one person counts once', '... nor as the role');
shown_as(scalar sql('sue', 'SELECT approvals FROM jit.inbox'), "1 of 2 by security\nstep 1 of 2", 'the inbox tells the progress');
is(sql('sue', "SELECT jit_approve($id)"), 'pending', 'second of two');
$node->safe_psql('postgres', 'GRANT owner TO sam');
denied('sam', "SET ROLE owner; SELECT jit_approve($id)", 'one person counts once', '... in no step');
is(sql('olga', "SELECT jit_approve($id)"), 'active', 'and the owner');
is($node->safe_psql('postgres', "SELECT approved_by FROM jit.history WHERE request = $id"), '{sam,sue,olga}', 'history tells who');

# an earlier approver may still reject
$id = ask('mate', q{SELECT jit_request('TRUNCATE ON t', '1 hour', 'x')});
is(sql('sue', "SELECT jit_approve($id)"), 'pending', 'approved');
is(sql('sue', "SELECT jit_reject($id, 'on second thoughts')"), 'rejected', 'and rejected by the same person');
is(sql('mate', "SELECT decided_by || ': ' || comment FROM jit.refused WHERE request = $id"), 'sue: on second thoughts', '... which the requester reads');
$id = ask('mate', q{SELECT jit_request('TRUNCATE ON t', '1 hour', 'x')});
like((sql('mate', "SELECT jit_reject($id, 'a mistake')"))[1], qr/ERROR:  you cannot reject.*HINT:  You can end your own request with jit_cancel/s, 'of your own you need not be an approver');

$node->stop;
done_testing();
