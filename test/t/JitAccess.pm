# What the tests share: a server with the library, sessions whose statements
# run while the test goes on, and how long a storm is.
package JitAccess;
use strict;
use warnings;
use feature 'state';
use Exporter 'import';
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

our @EXPORT = qw(new_server create_hr session sql longer grant_access revoke_access grant_role
  stop_launcher continue_launcher sweep launcher_pid wait_for_deadline seconds_left
  wait_until shown_as wait_for_server ends_without_workers logged_once catches_up
  storm line_ends $CUT_OFF);

# How a statement ends that is cut off, psql's VERBOSITY being verbose.
our $CUT_OFF = qr/ERROR:  57014: canceling statement due to the end of temporary access\n/;

my $stopped;

# How many of $full a storm is to do: a tenth, but no fewer than what finds what
# it guards against; all of them in make stress, or JIT_STRESS times as many.
sub storm
{
	my ($full, $least) = @_;
	my $n = int($full * ($ENV{JIT_STRESS} // 0.1) + 0.5);
	$least //= 1;
	return $n > $least ? $n : $least;
}

# Two characters that names of roles and databases can end a line with, and as
# U&"" has them: from PostgreSQL 19 on they are none of those that end one
# everywhere.
sub line_ends
{
	my ($node) = @_;
	return $node->pg_version->major < 19 ? ("\n", '000a', "\r", '000d') : ("\x0b", '000b', "\x0c", '000c');
}

# A server with jit_access in database postgres.
sub new_server
{
	my ($name, $conf, %init) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(%init);
	# nobody is told that access of seconds ends soon
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'jit_access'\njit_access.warn_before = 0\n" . ($conf // ''));
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION jit_access');
	return $node;
}

# Database hr_prod of hr_owner, whose member anna approves what dev asks for.
sub create_hr
{
	my ($node) = @_;
	$node->safe_psql('postgres', q{
		CREATE ROLE hr_owner; CREATE ROLE anna LOGIN; CREATE ROLE dev LOGIN; CREATE ROLE eve LOGIN;
		GRANT hr_owner TO anna;
		CREATE DATABASE hr_prod OWNER hr_owner;
	});
	$node->safe_psql('hr_prod', q{
		CREATE EXTENSION jit_access;
		CREATE SCHEMA hr AUTHORIZATION hr_owner;
		GRANT USAGE ON SCHEMA hr TO dev;
		SET ROLE hr_owner;
		CREATE TABLE hr.salary AS SELECT i AS emp_no, i * 10 AS amount FROM generate_series(1, 100) i;
	});
	return;
}

sub sql
{
	my ($node, $user, $sql, $db) = @_;
	my ($rc, $out, $err) = $node->psql($db // 'postgres', $sql,
		extra_params => [ '-U', $user, '-v', 'VERBOSITY=verbose' ]);
	return wantarray ? ($out, $err, $rc) : $out;
}

# A duration, longer each time: what is asked for is then no request like one
# that is pending.
sub longer
{
	state $n = 0;
	return sprintf '2 hours %d s', ++$n;
}

# Returns the number of the request.
sub grant_access
{
	my ($node, $access, $grantee, $duration) = @_;
	return $node->safe_psql('postgres', "SELECT jit_grant('$access', '$grantee', '$duration', 'test')");
}

sub revoke_access
{
	my ($node, $id) = @_;
	return $node->safe_psql('postgres', "SELECT jit_revoke($id, 'test')");
}

sub grant_role
{
	my ($node, $id) = @_;
	return $node->safe_psql('postgres', "SELECT role FROM jit.grants WHERE request_id = $id");
}

sub launcher_pid
{
	my ($node) = @_;
	my $pid;
	wait_until(sub {
		$pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'jit_access launcher'});
		return $pid =~ /^\d+$/;
	}) or die 'no launcher';
	return $pid;
}

# Does it sleep, and is no sweeper there?  Asked twice, as one that was sent
# just now isn't seen at once.  If it was stopped with a lock held, there may be
# no answer.
sub at_rest
{
	my ($node, $pid) = @_;
	my $sql = qq{SELECT count(*) = 1 AND bool_and(pid = $pid AND wait_event_type = 'Extension') FROM pg_stat_activity WHERE backend_type ~ '^jit_access ';\n};
	my ($in, $out, $err) = ("${sql}SELECT pg_sleep(0.1);\n$sql", '', '');
	eval {
		IPC::Run::run([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'), '-f', '-' ],
			'<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout(10));
	};
	return $out eq "t\n\nt\n";
}

# From here on nobody removes roles.  It must not be stopped in the midst of
# something: then it goes on, and is stopped again.
sub stop_launcher
{
	my ($node) = @_;
	my $pid = launcher_pid($node);
	wait_until(sub {
		continue_launcher();
		$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'jit_access sweeper'})
		  or die 'a sweeper stays';
		kill 'STOP', $pid or die "cannot stop the launcher: $!";
		$stopped = $pid;
		return at_rest($node, $pid);
	}) or die 'the launcher does not come to rest';
	return $pid;
}

sub continue_launcher
{
	kill 'CONT', $stopped if defined $stopped;
	$stopped = undef;
	return;
}

# Let what has ended go, and stop the launcher again.
sub sweep
{
	my ($node) = @_;
	continue_launcher();
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit_grant_%' AND rolvaliduntil <= clock_timestamp()})
	  or die 'roles stay';
	stop_launcher($node);
	return;
}

END { continue_launcher(); }

sub seconds_left
{
	my ($node, $id) = @_;
	return $node->safe_psql('postgres', "SELECT extract(epoch FROM expires_at - clock_timestamp()) FROM jit.requests WHERE id = $id");
}

sub wait_for_deadline
{
	my ($node, $id) = @_;
	$node->poll_query_until('postgres', "SELECT clock_timestamp() >= expires_at FROM jit.requests WHERE id = $id")
	  or die "the deadline of request $id does not come";
	return;
}

# is() of what views show, wherever they have broken its lines.
sub shown_as
{
	my ($got, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($got =~ s/\s+//gr, $expected =~ s/\s+//gr, $name);
}

# Polls until the code returns true; false if it doesn't in time.
sub wait_until
{
	my ($code, $seconds) = @_;
	my $end = time + ($seconds // $PostgreSQL::Test::Utils::timeout_default);
	until ($code->())
	{
		return 0 if time > $end;
		Time::HiRes::sleep(0.05);
	}
	return 1;
}

# Until it accepts connections again, after a crash of a process.  A psql that
# is refused may be gone before it is written to, which IPC::Run dies of.
sub wait_for_server
{
	my ($node) = @_;
	return wait_until(sub { system_log('pg_isready', '-q', '-d', $node->connstr('postgres')) == 0 });
}

# ---- what the tests of workers share

my $settled = q{SELECT count(*) = 0 FROM jit.requests WHERE status = 'active' AND expires_at < clock_timestamp()};

# Access under a grant, a new one if none is named, and its end while the
# workers can't.
sub ends_without_workers
{
	my ($node, $how, $id) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $s = session($node, 'dev');
	$id //= grant_access($node, 'SELECT ON secret', 'dev', '6 s');
	is($s->do('SELECT count(*) FROM secret'), '10', "$how: access");
	$s->begin('SELECT pg_sleep(600) FROM secret');
	like(($s->end)[1], qr/${CUT_OFF}DETAIL:  Request $id in postgres expired/, "$how: a running statement is cut off");
	like(($s->do('SELECT count(*) FROM secret'))[1], qr/ERROR:  42501: permission denied for table secret\n/, "$how: the next is denied");
	is($node->safe_psql('postgres', qq{SELECT status FROM jit.requests WHERE id = $id}), 'active', "$how: the workers had no part in it");
	$s->quit;
	return $id;
}

# Through some seconds of retries.
sub logged_once
{
	my ($node, $how, $message, $from) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->wait_for_log($message, $from);
	my $until = $node->safe_psql('postgres', q{SELECT clock_timestamp() + interval '4 s'});
	$node->poll_query_until('postgres', "SELECT clock_timestamp() > '$until'");
	my $log = substr(slurp_file($node->logfile), $from);
	is(scalar(() = $log =~ /$message/g), 1, "$how: the log says so once");
	return;
}

sub catches_up
{
	my ($node, $how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($node->poll_query_until('postgres', $settled), "$how: the workers catch up");
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}), "$how: the roles are gone");
	return;
}

# A session of its own; see below.
sub session
{
	my ($node, $user, $db) = @_;
	local %ENV = (%ENV, PGAPPNAME => 'case');
	my $self = bless { in => '', out => '', err => '', n => 0 }, 'JitAccess::Session';
	my @psql = ($node->installed_command('psql'), '-XAtq', '-v', 'VERBOSITY=verbose',
		'-d', $node->connstr($db // 'postgres'), '-U', $user, '-f', '-');
	$self->{timer} = IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default);
	$self->{run} = IPC::Run::start(\@psql, '<', \$self->{in}, '>', \$self->{out},
		'2>', \$self->{err}, $self->{timer});
	($self->{pid}) = $self->do('SELECT pg_backend_pid()') =~ /(\d+)/
	  or die "no session: $self->{last_err}";
	return $self;
}

package JitAccess::Session;

# Send statements, and don't wait for them.
sub begin
{
	my ($self, $sql) = @_;
	$self->{n}++;
	$sql .= ';' unless $sql =~ /[;\\]/ && $sql =~ /(;|\\g.*)\s*$/;
	$self->{in} .= "$sql\n\\echo end of $self->{n}\n\\warn end of $self->{n}\n";
	$self->{timer}->start;
	$self->{run}->pump_nb;
	return;
}

# Have they ended?
sub ended
{
	my ($self) = @_;
	$self->{run}->pump_nb if $self->{run}->pumpable;
	return $self->{out} =~ /end of $self->{n}\n/ && $self->{err} =~ /end of $self->{n}\n/;
}

# Wait for what was begun; returns output and errors.
sub end
{
	my ($self) = @_;
	until ($self->ended)
	{
		die "a statement does not end: $self->{err}" if $self->{timer}->is_expired;
		die "a session has ended: $self->{err}" unless $self->{run}->pumpable;
		$self->{run}->pump;
	}
	my ($out, $err) = ($self->{out}, $self->{err});
	s/\n?end of $self->{n}\n//, s/psql:<stdin>:\d+: //g for ($out, $err);
	($self->{out}, $self->{err}) = ('', '');
	$self->{last_err} = $err;
	return wantarray ? ($out, $err) : $out;
}

sub do
{
	my ($self, $sql) = @_;
	$self->begin($sql);
	return $self->end;
}

sub quit
{
	my ($self) = @_;
	$self->{in} .= "\\q\n";
	return $self->{run}->finish;
}

1;
