# The workers survive a crash of themselves, of a backend and of the server,
# and what became due meanwhile is settled afterwards.  Signals need real
# processes, hence not a regression test.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess qw(wait_for_server wait_until);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'jit_access'
restart_after_crash = on
log_statement = none
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE DATABASE other;
	CREATE EXTENSION jit_access;
	CREATE TABLE t AS SELECT 1 AS x;
	CREATE ROLE dev LOGIN;
});
$node->safe_psql('other', q{
	CREATE EXTENSION jit_access;
	CREATE TABLE t AS SELECT 1 AS x;
});

sub pid_of
{
	my ($type) = @_;
	my $pid;
	ok(wait_until(sub {
		$pid = $node->safe_psql('postgres', qq{SELECT pid FROM pg_stat_activity WHERE backend_type = '$type' LIMIT 1});
		return $pid =~ /^\d+$/;
	}), "there is a $type");
	return $pid;
}

# Sends a signal to a sweeper that waits for $hold_up, and returns its pid.  It
# doesn't wait for long, so the next one may have to do.
sub signal_sweeper
{
	my ($signal) = @_;
	my $pid;
	ok(wait_until(sub {
		$pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'jit_access sweeper' AND wait_event_type = 'Lock' LIMIT 1});
		return $pid =~ /^\d+$/ && kill($signal, $pid) == 1;
	}), "there is a sweeper to send SIG$signal to");
	return $pid;
}

sub grant
{
	my ($duration, $db) = @_;
	return $node->safe_psql($db // 'postgres', qq{SELECT jit_grant('SELECT ON t', 'dev', '$duration', 'why')});
}

sub settled
{
	my ($id, $name, $db) = @_;
	ok($node->poll_query_until($db // 'postgres', qq{SELECT status = 'expired' FROM jit.requests WHERE id = $id}), $name);
	is($node->safe_psql($db // 'postgres', qq{SELECT count(*) FROM pg_roles WHERE rolname = (SELECT role FROM jit.grants WHERE request_id = $id)}),
		'0', '... its role is gone');
}

# has sweepers wait, each for a second
my $holder = $node->background_psql('postgres');
my $hold_up = 'BEGIN; LOCK TABLE jit.requests IN ACCESS EXCLUSIVE MODE';

# the launcher is told to go
my $launcher = pid_of('jit_access launcher');
my $id = grant('2 s');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
ok($node->poll_query_until('postgres', qq{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'jit_access launcher' AND pid <> $launcher}),
	'a terminated launcher is started again');
settled($id, 'a grant made before is settled after');

# a sweeper that is told to go
$id = grant('3 s');
$holder->query_safe($hold_up);
signal_sweeper('TERM');
$holder->query_safe('COMMIT');
settled($id, 'what a terminated sweeper left is settled by the next');

# a sweeper that hangs: its database's roles lose their members through
# another one, whose own are settled as ever
$id = grant('3 s');
$holder->query_safe($hold_up);
my $sweeper = signal_sweeper('STOP');
my $other = grant('1 s', 'other');
settled($other, 'another database is not held up by a sweeper that hangs', 'other');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE r.rolname LIKE 'jit_grant_%'}),
	'members are removed through another database');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}), '1', 'the role is for its own database to drop');
kill 'CONT', $sweeper;
$holder->query_safe('COMMIT');
settled($id, 'when it goes on, it settles');

# kill -9: the server resets
for my $victim ('sweeper', 'launcher', 'backend')
{
	$id = grant('2 s');
	my $pid;
	my $session;
	my $offset = -s $node->logfile;
	if ($victim eq 'sweeper')
	{
		$holder->query_safe($hold_up);
		signal_sweeper('KILL');
	}
	elsif ($victim eq 'launcher')
	{
		$pid = pid_of('jit_access launcher');
	}
	else
	{
		$session = $node->background_psql('postgres', on_error_stop => 0);
		$pid = $session->query('SELECT pg_backend_pid()');
		$session->query("BEGIN; SELECT jit_grant('SELECT ON t', 'dev', '1 hour', 'not committed')");
	}
	kill 'KILL', $pid if defined $pid;
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $offset);
	wait_for_server($node);
	$launcher = pid_of('jit_access launcher');
	settled($id, "after kill -9 of a $victim");
	eval { $_->quit } for grep { defined } ($session, $victim eq 'sweeper' ? $holder : undef);
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM jit.requests WHERE reason = 'not committed'}), '0', 'what was not committed is not there');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}), '0', '... and has left no role');

# the server is down at the deadline
$id = grant('1 s');
$node->safe_psql('postgres', q{SET ROLE dev; SELECT jit_request('UPDATE ON t', NULL, 'lapses', clock_timestamp() + interval '1 s')});
$node->stop('immediate');
$node->start;
settled($id, 'after a crash of the server');
ok($node->poll_query_until('postgres', q{SELECT status = 'lapsed' FROM jit.requests WHERE reason = 'lapses'}), 'a request that lapsed meanwhile is settled');

# no room for sweepers: the launcher and logical replication's have it all
$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$node->restart;
$launcher = pid_of('jit_access launcher');
my $offset = -s $node->logfile;
$id = grant('1 s');
$node->wait_for_log(qr/no sweeper could be started/);
ok($node->poll_query_until('postgres', "SELECT clock_timestamp() > expires_at + interval '2.5 s' FROM jit.requests WHERE id = $id"), 'the deadline passes');
is(scalar(() = substr(slurp_file($node->logfile), $offset) =~ /no sweeper could be started/g) <= 1, 1, 'that there is no room is logged once');
my ($rc, $out, $err) = $node->psql('postgres', 'SET ROLE dev; SELECT * FROM t');
like($err, qr/permission denied for table t/, 'access has ended all the same');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
settled($id, 'and with room again');

is($node->safe_psql('postgres', q{SELECT count(*) FROM jit.requests WHERE status IN ('active', 'pending')}), '0', 'nothing is left');
is($node->safe_psql('postgres', q{SELECT count(*) FROM jit.requests r WHERE status = 'expired' AND (SELECT count(*) FROM jit.events e WHERE e.request_id = r.id AND event = 'expired') <> 1}),
	'0', 'every end was recorded once');

$node->stop;
done_testing();
