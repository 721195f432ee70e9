# How privileges arrive: by inheritance, whatever the grantee's role says, and
# with SET ROLE only where a role was asked for.
#
# From PostgreSQL 16 on both are options of each membership.  Before, INHERIT
# is the grantee's attribute, so a NOINHERIT role is refused what could not
# reach it, and every membership allows SET ROLE.  Seen to fail with SET given
# to all memberships.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('options');
my $has_options = $node->safe_psql('postgres',
	q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'pg_auth_members'::regclass AND attname IN ('inherit_option', 'set_option')});
$node->safe_psql('postgres', q{
	CREATE ROLE reader; CREATE ROLE dev LOGIN; CREATE ROLE plain LOGIN NOINHERIT;
	CREATE TABLE secret AS SELECT 1 AS x;
	CREATE TABLE of_reader AS SELECT 2 AS x; GRANT SELECT ON of_reader TO reader;
});

# "inherit,set" of each membership behind a request: the grantee's, those in
# roles of objects, that in reader
sub options
{
	my ($id) = @_;
	my $role = grant_role($node, $id);
	return $node->safe_psql('postgres', qq{
		SELECT string_agg(inherit_option || ',' || set_option, ' '
			ORDER BY roleid = '$role'::regrole DESC, roleid = 'reader'::regrole)
		FROM pg_auth_members WHERE '$role'::regrole IN (roleid, member)});
}

sub scope_of
{
	my $role = grant_role($node, @_);
	return $node->safe_psql('postgres', qq{
		SELECT roleid::regrole FROM pg_auth_members WHERE member = '$role'::regrole AND roleid <> 'reader'::regrole});
}

sub denied
{
	my ($user, $sql, $pattern, $name) = @_;
	like((sql($node, $user, $sql))[1], $pattern, $name);
	return;
}

# ---- objects
my $id = grant_access($node, 'SELECT ON secret', 'dev', '1 h');
my ($grant, $scope) = (grant_role($node, $id), scope_of($id));
is(sql($node, 'dev', 'SELECT x FROM secret'), 1, 'access to an object is inherited');
SKIP:
{
	skip 'memberships have no options', 4 unless $has_options;
	is(options($id), 'true,false true,false', '... without SET');
	denied('dev', "SET ROLE $_", qr/ERROR:  42501: permission denied to set role/, "... so not by SET ROLE to $_")
	  for ($grant, $scope);
	denied('dev', "CREATE TABLE t (); ALTER TABLE t OWNER TO $grant", qr/ERROR:  42501/, '... nor can it be given anything');
}
revoke_access($node, $id);
denied('dev', 'SELECT x FROM secret', qr/ERROR:  42501/, 'it ends');

# ---- a role
$id = grant_access($node, 'reader', 'dev', '1 h');
is(sql($node, 'dev', 'SELECT x FROM of_reader'), 2, 'a requested role is inherited');
is(sql($node, 'dev', 'SET ROLE reader; SELECT current_user'), 'reader', '... and can be SET');
is(options($id), 'true,true true,true', '... by its options') if $has_options;
revoke_access($node, $id);
denied('dev', 'SET ROLE reader', qr/ERROR:  42501/, 'it ends');

# ---- both in one request: SET leads to the role, and not to the object's
$id = grant_access($node, 'SELECT ON secret; reader', 'dev', '1 h');
is(sql($node, 'dev', 'SET ROLE reader; SELECT current_user'), 'reader', 'with objects, a requested role can be SET');
is(options($id), 'true,true true,false true,true', '... but not the role of the object') if $has_options;
revoke_access($node, $id);

# ---- NOINHERIT
my $sql = "SELECT jit_grant('SELECT ON secret', 'plain', '1 h', 'test')";
if ($has_options)
{
	is(sql($node, 'postgres', $sql), $id + 1, 'a NOINHERIT role is given access to an object');
	is(sql($node, 'plain', 'SELECT x FROM secret'), 1, '... and has it');
	revoke_access($node, $id + 1);
	denied('plain', 'SELECT x FROM secret', qr/ERROR:  42501/, '... until it ends');
}
else
{
	denied('postgres', $sql, qr/ERROR:  0LP01: role plain cannot be given access to objects/, 'a NOINHERIT role is refused an object');
}
$id = grant_access($node, 'reader', 'plain', '1 h');
is(sql($node, 'plain', 'SET ROLE reader; SELECT x FROM of_reader'), 2, 'a NOINHERIT role can be given a role, for SET ROLE');
is(sql($node, 'plain', 'SELECT x FROM of_reader'), 2, '... and inherits it') if $has_options;
revoke_access($node, $id);
denied('plain', 'SET ROLE reader', qr/ERROR:  42501/, '... until it ends');

$node->stop;
done_testing();
