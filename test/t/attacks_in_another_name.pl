# Code that runs in somebody else's name, and transactions that see the past:
# neither asks for nor decides about access.  PostgreSQL runs the functions of
# an index with the rights of the table's owner, in the session of whoever
# runs ANALYZE, be it autovacuum's.
#
# Guards jit_prevent_if_not_here(), caller_administers() and the snapshot in
# jit_query().  Seen to fail without each.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('names', "autovacuum = on\nautovacuum_naptime = 1");
my $super = getpwuid($<) . '';
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE mallory LOGIN;
	CREATE SCHEMA eve AUTHORIZATION eve;
	GRANT USAGE ON SCHEMA hr, eve TO PUBLIC;
});

sub as
{
	my ($user, $sql) = @_;
	my ($out, $err) = sql($node, $user, "SET client_min_messages = error; $sql", 'hr_prod');
	return wantarray ? ($out, $err) : $out;
}

is(as('dev', q{SELECT jit_request('SELECT ON hr.salary', '1 h', 'secret reason')}), '1', 'a request');
is(as('anna', q{SELECT jit_grant('UPDATE ON hr.salary', 'dev', '1 h', 'x')}), '2', 'active access');

# ---- what eve has others run

my %calls = (
	revoke => 'jit_revoke(2)',
	reject => q{jit_reject(1, 'x')},
	cancel => 'jit_cancel(1)',
	all => q{jit_revoke_all('x')},
	request => q{jit_request('SELECT ON hr.salary', '1 h', 'x', grantee => 'mallory')},
	granted => q{jit_grant('SELECT ON hr.salary', 'mallory', '1 h', 'x')},
	approve => 'jit_approve(1)',
	label => q{jit_set_label('TABLE eve.t', 'x')},
	flow => q{jit_set_flow('moderate', '[]')},
	explain => q{(SELECT count(*) FROM jit_explain('SELECT ON hr.salary', '1 h', 'x', grantee => 'mallory'))},
	read => q{(SELECT count(*) / count(*) FROM jit.my_requests)},
	inbox => q{(SELECT count(*) / count(*) FROM jit.inbox)},
	history => q{(SELECT count(*) / count(*) FROM jit.history)},
	active => q{(SELECT count(*) / count(*) FROM jit.active_grants)},
);
my $calls = join ', ', map { my $call = $calls{$_} =~ s/'/''/gr; "('$_', '$call')" } sort keys %calls;
as('eve', qq{
	CREATE TABLE eve.calls (name text, call text);
	INSERT INTO eve.calls VALUES $calls;
	CREATE TABLE eve.done (name text, who text, outcome text);
	CREATE TABLE eve.t (x int) WITH (autovacuum_analyze_threshold = 1, autovacuum_analyze_scale_factor = 0);
	CREATE FUNCTION eve.attempt() RETURNS void LANGUAGE plpgsql AS \$\$
	DECLARE c record;
	BEGIN
		FOR c IN SELECT * FROM eve.calls LOOP
			BEGIN
				EXECUTE 'SELECT ' || c.call;
				INSERT INTO eve.done VALUES (c.name, session_user, 'done');
			EXCEPTION WHEN OTHERS THEN
				INSERT INTO eve.done VALUES (c.name, session_user, sqlerrm);
			END;
		END LOOP;
	END \$\$;
	CREATE FUNCTION eve.hidden() RETURNS int LANGUAGE plpgsql IMMUTABLE AS \$\$
	BEGIN PERFORM eve.attempt(); RETURN 1; END \$\$;
	CREATE FUNCTION eve.trojan(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS \$\$
	BEGIN IF session_user <> 'eve' THEN RETURN eve.hidden(); END IF; RETURN 1; END \$\$;
	CREATE INDEX ON eve.t (eve.trojan(x));
	CREATE FUNCTION eve.definer() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'SELECT eve.attempt()'});

sub check_attempts
{
	my ($how) = @_;
	my %outcome = map { split /=/, $_, 2 } split /\n/, $node->safe_psql('hr_prod', q{SELECT name || '=' || min(outcome) FROM eve.done GROUP BY name ORDER BY bool_or(outcome = 'done')});
	for my $name (sort keys %calls)
	{
		next if $name eq 'request' && $how eq 'definer';
		like($outcome{$name}, qr/security-restricted operation|you cannot|permission denied|division by zero/, "$how: $name");
	}
	is($node->safe_psql('hr_prod', q{SELECT string_agg(id || status::text, ' ' ORDER BY id) FROM jit.requests}), '1pending 2active', "$how: all is as it was");
	$node->safe_psql('hr_prod', 'TRUNCATE eve.done');
	return;
}

# by itself, and by a superuser's
as('eve', 'INSERT INTO eve.t SELECT generate_series(1, 100)');
ok($node->poll_query_until('hr_prod', q{SELECT count(*) > 0 FROM eve.done}), 'autovacuum has run it');
$node->safe_psql('hr_prod', 'ALTER TABLE eve.t SET (autovacuum_enabled = off)');
check_attempts('autovacuum');
as($super, 'ANALYZE eve.t');
check_attempts('ANALYZE');
as($super, 'REINDEX TABLE eve.t');
check_attempts('REINDEX');
# ... or in the name of the database's owner, what they may do
$node->safe_psql('hr_prod', q{CREATE TABLE public.other (); INSERT INTO eve.calls VALUES ('mine', $$jit_request('SELECT ON public.other', '1 h', 'x')$$)});
as('anna', 'ANALYZE eve.t');
is($node->safe_psql('hr_prod', q{SELECT outcome FROM eve.done WHERE name = 'mine'}), 'cannot execute jit_request() within security-restricted operation', 'no request of the owner');
check_attempts('owner');
# the requester is the caller, as in any function that the caller runs
$node->safe_psql('hr_prod', q{DELETE FROM eve.calls WHERE name IN ('request', 'mine')});
as($super, 'SET jit_access.top_level_only = off; SELECT eve.definer()');
check_attempts('definer');

# ---- transactions that began before

my ($dev, $anna) = map { session($node, $_, 'hr_prod') } ('dev', 'anna');
for my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	$node->safe_psql('hr_prod', q{SET client_min_messages = error; SELECT jit_set_flow('moderate', '[]')});
	$dev->do("SET client_min_messages = error; BEGIN ISOLATION LEVEL $level; SELECT 1");
	$node->safe_psql('hr_prod', q{SET client_min_messages = error; SELECT jit_set_policy('closed', 'forbidden', '$.writes == true')});
	like(($dev->do(q{SELECT jit_request('INSERT ON hr.salary', '3 h', 'x'); COMMIT}))[1], qr/policy closed forbids/, "$level: a policy counts from when it was made");
	$dev->do("BEGIN ISOLATION LEVEL $level; SELECT 1");
	$node->safe_psql('hr_prod', q{SET client_min_messages = error; SELECT jit_drop_policy('closed'), jit_set_flow('moderate', '[{"approver": "@grantor"}]', max_duration => '10 min')});
	like(($dev->do(q{SELECT jit_request('INSERT ON hr.salary', '3 h', 'x'); COMMIT}))[1], qr/cannot be requested for so long/, '... and so does a flow');
	$dev->do("BEGIN ISOLATION LEVEL $level; SELECT 1");
	$dev->begin(q{SELECT jit_request('INSERT ON hr.salary', '10 min', 'x'); COMMIT});
	my ($id) = ($dev->end)[0] =~ /(\d+)/;
	$anna->do("SET client_min_messages = error; BEGIN ISOLATION LEVEL $level; SELECT 1");
	as('dev', "SELECT jit_cancel($id)");
	like(($anna->do("SELECT jit_approve($id); COMMIT"))[1], qr/request $id in hr_prod is canceled, not pending|could not serialize access/, '... and what was canceled is not approved');
	$anna->do('ROLLBACK');
	$id = as('dev', q{SELECT jit_request('INSERT ON hr.salary', '10 min', 'x')});
	is(($anna->do("BEGIN ISOLATION LEVEL $level; SELECT jit_approve($id); COMMIT"))[0], 'active', '... but what was not is');
	my $panic = session($node, $super, 'hr_prod');
	$panic->do("SET client_min_messages = error; BEGIN ISOLATION LEVEL $level; SELECT 1");
	$id = as('anna', q{SELECT jit_grant('DELETE ON hr.salary', 'dev', '10 min', 'x')});
	$panic->do(q{SELECT jit_revoke_from('dev', 'x'); COMMIT});
	is($node->safe_psql('hr_prod', "SELECT status FROM jit.requests WHERE id = $id"), 'revoked', '... and the panic button ends what came after it, too');
	$panic->quit;
	as('anna', q{SELECT jit_grant('UPDATE ON hr.salary', 'dev', '10 min', 'x')});
}
$_->quit for ($dev, $anna);

$node->stop;
done_testing();
