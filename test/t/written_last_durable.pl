# Used, and lost: what gives access is on disk before it works, and what has
# been told to have ended or been forbidden is too, whatever the caller's
# synchronous_commit.  The server crashes right after each, with nothing that
# would have written it meanwhile.
#
# The attacks are lines of attacks.md.  Seen to fail without ForceSyncCommit().
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

# Nothing else writes: neither the WAL writer, nor a checkpoint.
my $node = new_server('durable', q{
wal_level = minimal
max_wal_senders = 0
wal_writer_delay = '10s'
wal_writer_flush_after = '1GB'
checkpoint_timeout = '1h'
autovacuum = off
});
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE SCHEMA dev AUTHORIZATION dev;
	SET ROLE dev;
	CREATE PROCEDURE dev.p() LANGUAGE plpgsql AS $$ BEGIN
		PERFORM jit_request('SELECT ON hr.salary', '1 hour', 'x'); SET LOCAL synchronous_commit = off; COMMIT; END $$;
	CREATE FUNCTION dev.off() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('synchronous_commit', 'off', true); RETURN NULL; END $$;
	CREATE TABLE dev.t (x int);
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON dev.t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dev.off();
	RESET ROLE;
	SELECT jit_set_flow('moderate', '[]');
});
my $ask = q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x')};
my $privilege = q{SELECT has_table_privilege('dev', 'hr.salary', 'SELECT')};

sub super { return $node->safe_psql($_[1] // 'hr_prod', $_[0]); }

sub crash
{
	$node->stop('immediate');
	$node->start;
	return;
}

# Does that as a user, then, if it is dev who has got access, reads; and the
# server crashes.
sub crash_after
{
	my ($user, $sql, %options) = @_;
	local $ENV{PGOPTIONS} = $options{options} if $options{options};
	my $s = session($node, $user, $options{db} // 'hr_prod');
	my ($out, $err) = $s->do($sql);
	unlike($err, qr/ERROR/, 'done');
	is($user eq 'dev' ? $s->do('SELECT count(*) FROM hr.salary') : $options{reads} ? sql($node, 'dev', 'SELECT count(*) FROM hr.salary', 'hr_prod') : '100', '100', 'it has been read');
	crash();
	eval { $s->quit };
	return;
}

# Is the last request, which was $n, there with all that belongs to it?
sub is_on_record
{
	my ($n, $events) = @_;
	is(super("SELECT status FROM jit.requests WHERE id = $n"), 'active', 'the request is on record');
	is(events_of($node, $n) , $events // 'requested, activated', '... with its events');
	is(super($privilege), 't', '... and its privileges');
	super(q{SELECT jit_revoke_from('dev', 'test')});
	return;
}

# The next number: those of what was lost are used again.
my $next = q{SELECT CASE WHEN is_called THEN last_value + 1 ELSE last_value END FROM jit.request_number};

sub asked
{
	my ($sql, %options) = @_;
	my $n = super($next);
	crash_after('dev', $sql, %options);
	is_on_record($n);
	return;
}

# so that the sequence is written at once
super(q{SELECT jit_grant('SELECT ON hr.salary', 'eve', '6 hours', 'x')});

attack 'SET synchronous_commit = off' => sub { asked("SET synchronous_commit = off; $ask"); };
attack 'SET LOCAL before the call' => sub { asked("BEGIN; SET LOCAL synchronous_commit = off; $ask; COMMIT"); };
attack 'SET LOCAL after the call' => sub { asked("BEGIN; $ask; SET LOCAL synchronous_commit = off; COMMIT"); };
attack 'as an option of the connection' => sub { asked($ask, options => '-c synchronous_commit=off'); };
attack 'ALTER ROLE' => sub {
	super('ALTER ROLE dev SET synchronous_commit = off');
	asked($ask);
	super('ALTER ROLE dev RESET synchronous_commit');
};
attack 'ALTER DATABASE' => sub {
	super('SET ROLE hr_owner; ALTER DATABASE hr_prod SET synchronous_commit = off');
	asked($ask);
	super('ALTER DATABASE hr_prod RESET synchronous_commit');
};
attack 'in a procedure, before its COMMIT' => sub { asked('CALL dev.p()'); };
attack 'in a deferred trigger, at COMMIT' => sub { asked("BEGIN; $ask; INSERT INTO dev.t VALUES (1); COMMIT"); };
attack 'in a savepoint' => sub { asked("SET synchronous_commit = off; BEGIN; SAVEPOINT s; $ask; RELEASE s; COMMIT"); };
attack 'jit_grant' => sub {
	my $n = super($next);
	crash_after('anna', q{SET synchronous_commit = off; SELECT jit_grant('SELECT ON hr.salary', 'dev', '1 hour', 'x')}, reads => 1);
	is_on_record($n);
};
attack 'jit_approve' => sub {
	super(q{SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]')});
	my $n = sql($node, 'dev', $ask, 'hr_prod');
	crash_after('anna', "SET synchronous_commit = off; SELECT jit_approve($n)", reads => 1);
	is_on_record($n, 'requested, approved, activated');
};
attack 'jit_request that somebody has still to approve' => sub {
	my $n = super($next);
	my $s = session($node, 'dev', 'hr_prod');
	$s->do("SET synchronous_commit = off; $ask");
	crash();
	eval { $s->quit };
	is(events_of($node, $n), 'requested', 'what was notified of is on record');
	super("SELECT jit_reject($n, 'test')") if super("SELECT count(*) FROM jit.requests WHERE id = $n AND status = 'pending'");
};

# ---- what ends access, and what forbids it

attack 'jit_revoke' => sub {
	my $n = super(q{SELECT jit_grant('SELECT ON hr.salary', 'dev', '1 hour', 'x')});
	crash_after('anna', "SET synchronous_commit = off; SELECT jit_revoke($n)");
	is(super($privilege), 'f', 'it has ended for good');
	is(super("SELECT status FROM jit.requests WHERE id = $n"), 'revoked', '... and that is on record');
	super(q{SELECT jit_revoke_from('dev', 'test')});
};
attack 'jit_revoke_all' => sub {
	super(q{SELECT jit_grant('SELECT ON hr.salary', 'dev', '1 hour', 'x')});
	my $super = getpwuid($<) . '';
	crash_after($super, q{SET synchronous_commit = off; SELECT jit_revoke_all('panic')}, db => 'postgres');
	is(super($privilege), 'f', 'it has ended for good');
	super(q{SELECT jit_revoke_from('dev', 'test')});
};
attack 'jit_set_policy' => sub {
	my $super = getpwuid($<) . '';
	crash_after($super, q{SET synchronous_commit = off; SELECT jit_set_policy('none', 'forbidden', '$.requester == "dev"')});
	is(super(q{SELECT count(*) FROM jit.events WHERE event = 'policy_set' AND detail ->> 'policy' = 'none'}), '1', 'it is on record');
	like((sql($node, 'dev', $ask, 'hr_prod'))[1], qr/ERROR:  42501: policy "?none"? forbids this request/, '... and forbids');
	super(q{SELECT jit_drop_policy('none')}) if super(q{SELECT count(*) FROM jit.risk_policies});
};

# ---- a standby that is to have it first

attack 'synchronous_commit = local where postgresql.conf waits for a standby' => sub {
	super(q{SELECT jit_set_flow('moderate', '[]')});
	$node->append_conf('postgresql.conf', "wal_level = replica\nmax_wal_senders = 2\nsynchronous_standby_names = 'nobody'");
	my $dev;
	$node->stop; $node->start;
	$dev = session($node, 'dev', 'hr_prod');
	$dev->begin("SET synchronous_commit = local; $ask");
	ok($node->poll_query_until('postgres', "SELECT wait_event = 'SyncRep' OR state = 'idle' FROM pg_stat_activity WHERE pid = $dev->{pid} AND query ~ 'jit_request'"), 'committed, or waiting');
	is(super("SELECT wait_event FROM pg_stat_activity WHERE pid = $dev->{pid}"), 'SyncRep', 'it waits for the standby');
	is(super($privilege), 'f', '... and does not work before');
	$node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
	$node->reload;
	like($dev->end, qr/^\d+$/, 'committed when there is none to wait for');
	is($dev->do('SELECT count(*) FROM hr.salary'), '100', '... and works');
	$dev->quit;
};

all_attacks_done();
$node->stop;
done_testing();
