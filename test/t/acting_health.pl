# jit.health and jit.request_counts are read by administrators, auditors and
# members of pg_monitor, for good and as themselves; and neither tells what
# people wrote, nor a database's errors in another one but to pg_monitor.
#
# The attacks are lines of attacks.md.  Seen to fail with memberships judged by
# all roles, without the look at whose function it is, and with errors told to
# all.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('health', "jit_access.admin_role = 'admins'\njit_access.auditor_role = 'auditors'\njit_access.gateway_logins = 'bot'");
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE admins; CREATE ROLE adam LOGIN; GRANT admins TO adam; CREATE ROLE auditors; CREATE ROLE olga LOGIN; GRANT auditors TO olga;
	CREATE ROLE mon LOGIN; GRANT pg_monitor TO mon; CREATE ROLE watch; GRANT pg_monitor TO watch; CREATE ROLE wim LOGIN; GRANT watch TO wim;
	CREATE ROLE nora LOGIN NOINHERIT; GRANT pg_monitor TO nora; CREATE ROLE temp LOGIN; CREATE ROLE bot LOGIN;
	CREATE ROLE stats LOGIN; GRANT pg_read_all_stats, pg_read_all_settings TO stats;
	GRANT pg_monitor TO bot});
$node->safe_psql('hr_prod', q{SELECT jit_grant('pg_monitor', 'temp', '1 hour', 'x')});

my $counted = qr/^15\n8$/;
my $denied = qr/ERROR:  42501: permission denied to read the health of jit_access\nDETAIL:  Only JIT administrators, auditors and members of pg_monitor may, for good and as themselves\./;
my $reads = 'SELECT count(*) FROM jit.health; SELECT count(*) FROM jit.request_counts';
sub reads { my ($who, $before) = @_; return like(scalar sql($node, $who, ($before // '') . $reads, 'hr_prod'), $counted, "$who reads both"); }

sub refused
{
	my ($who, $before) = @_;
	foreach (split /; /, $reads)
	{
		my ($out, $err) = sql($node, $who, ($before // '') . $_, 'hr_prod');
		is($out, '', "$who: nothing");
		like($err, $denied, "... and an error: $_");
	}
	return;
}

attack 'administrators' => sub { reads('adam') };
attack 'auditors' => sub { reads('olga') };
attack 'a member of pg_monitor' => sub { reads('mon') };
attack 'a member of a member' => sub { reads('wim') };
attack 'one who does not inherit' => sub { refused('nora'); reads('nora', 'SET ROLE pg_monitor; ') };
attack 'anybody else' => sub { refused('dev') };
attack 'parts of pg_monitor' => sub { refused('stats') };
attack 'for an hour' => sub { refused('temp') };
attack 'for an hour, by SET ROLE' => sub {
	$node->safe_psql('hr_prod', q{SELECT jit_grant('watch', 'dev', '1 hour', 'x')});
	refused('dev');
	# from 16 on grants give no SET of what isn't asked for; before, it is no right for good
	my ($out, $err) = sql($node, 'dev', "SET ROLE watch; $reads", 'hr_prod');
	like($err, qr/$denied|permission denied to set role/, 'not as watch, either');
};
attack 'the functions beneath' => sub {
	like((sql($node, 'dev', "SELECT * FROM jit.$_()", 'hr_prod'))[1], $denied, $_) foreach qw(check_health count_requests);
};
attack 'a function of a reader' => sub {
	$node->safe_psql('hr_prod', q{CREATE SCHEMA m AUTHORIZATION mon; GRANT USAGE ON SCHEMA m TO PUBLIC; SET ROLE mon;
		CREATE FUNCTION m.h() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS 'SELECT count(*) FROM jit.health'});
	like((sql($node, 'dev', 'SELECT m.h()', 'hr_prod'))[1], $denied, 'lends dev nothing');
};
attack 'a view of a reader' => sub {
	$node->safe_psql('hr_prod', q{SET ROLE mon; CREATE VIEW m.v AS SELECT * FROM jit.health; GRANT SELECT ON m.v TO PUBLIC});
	like((sql($node, 'dev', 'SELECT * FROM m.v', 'hr_prod'))[1], $denied, 'lends dev nothing');
};
attack 'a function of dev, used by a reader' => sub {
	$node->safe_psql('hr_prod', q{GRANT CREATE ON SCHEMA m TO dev; SET ROLE dev;
		CREATE FUNCTION m.d() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS 'SELECT count(*) FROM jit.health'});
	like((sql($node, 'mon', 'SELECT m.d()', 'hr_prod'))[1], $denied, 'reads nothing for dev');
};
attack 'a gateway in pg_monitor' => sub {
	unlike(scalar sql($node, 'bot', $reads, 'hr_prod'), $counted, 'a gateway reads nothing of it');
};
attack 'what people wrote' => sub {
	sql($node, 'eve', q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'my secret reason', ticket => 'my secret ticket')}, 'hr_prod');
	unlike(scalar sql($node, 'mon', 'SELECT * FROM jit.health; SELECT * FROM jit.request_counts', 'hr_prod'), qr/secret|salary/, 'is not in it');
};
attack 'an error of another database' => sub {
	stop_launcher($node);
	my $id = $node->safe_psql('hr_prod', q{SELECT jit_grant('SELECT ON hr.salary', 'dev', '2 s', 'x')});
	$node->safe_psql('hr_prod', "ALTER TABLE jit.requests ADD CONSTRAINT stuck CHECK (id <> $id OR status = 'active')");
	wait_for_deadline_in_hr($id);
	continue_launcher();
	my $sql = q{SELECT detail FROM jit.health WHERE name = 'last_error'};
	ok(wait_until(sub { sql($node, 'mon', $sql) =~ /^in hr_prod at .*: request $id: .*stuck/ }), 'pg_monitor is told') or diag(scalar sql($node, 'mon', $sql));
	like(scalar sql($node, 'adam', $sql), qr/^in hr_prod at [^a-z]*: the server log has it$/, 'an administrator elsewhere that there was one');
	like(scalar sql($node, 'adam', $sql, 'hr_prod'), qr/: request $id: .*stuck/, '... and there what');
	$node->safe_psql('hr_prod', 'ALTER TABLE jit.requests DROP CONSTRAINT stuck');
};
sub wait_for_deadline_in_hr { my ($id) = @_; return $node->poll_query_until('hr_prod', "SELECT clock_timestamp() >= expires_at FROM jit.requests WHERE id = $id"); }
attack 'a locked ledger' => sub {
	my $s = session($node, $node->safe_psql('postgres', 'SELECT current_user'), 'hr_prod');
	$s->do('BEGIN; LOCK TABLE jit.requests, jit.grants');
	like(scalar sql($node, 'mon', 'SELECT count(*), count(*) FILTER (WHERE NOT ok) > 5 FROM jit.health', 'hr_prod'), qr/^15\|t$/, 'all checks are there, within two seconds');
	$s->do('ROLLBACK');
	$s->quit;
};
all_attacks_done();
$node->stop;
done_testing();
