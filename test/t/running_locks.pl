# A transaction that holds locks by temporary access is ended ten seconds after
# its access, whatever it is doing, on a standby as well: the owner gets at the
# table within twelve.  PREPARE TRANSACTION, which would keep them for good, is
# refused.  Who was ended finds why in the log.  Transactions that can be ended
# by COMMIT in time, that others' grants continue, or that rely on nothing go
# on.
#
# The attacks are lines of attacks.md.  Guards "held" in cutoff.c, and what
# utility.c notes of commands that tell no hook.  Seen to fail without
#   note_view()			LOCK TABLE of views
#   note_locked()		LIKE, ANALYZE, COMMENT, ALTER TABLE, REINDEX
#   ... after it has run		the name that becomes a view's
#   refuse_prepare()		every PREPARE
#   rearm_held()		what fails behind a savepoint, again and again
#   look_again() by the tick	on the standby: jit_revoke, what goes on there
#   "judged", InterruptHoldoffCount	COMMIT that waits for a standby
#   ... in cut_off()		a statement whose commit does
#   waits_for_others()		COMMIT that waits for another server
#   log_held()			waiting where nothing of ours is called
#   held_callback() when idle	the reason that the client is told
#
# Alone: it measures how long it takes.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();
use JitAccess;
use Attacks;

my $node = new_server('locks', q{
max_prepared_transactions = 5
max_connections = 170
synchronous_commit = local
synchronous_standby_names = nobody
jit_access.admin_role = admins
}, allows_streaming => 1);
$node->safe_psql('postgres', 'CREATE ROLE owner LOGIN; CREATE ROLE admins; CREATE ROLE paul LOGIN; GRANT admins TO paul; GRANT CREATE ON SCHEMA public TO PUBLIC;
	CREATE TABLE blocked (x int); GRANT SELECT ON blocked TO PUBLIC; ALTER TABLE blocked OWNER TO paul;
	CREATE TABLE far (x int); GRANT INSERT ON far TO PUBLIC;
	CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON far DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait();
	CREATE EXTENSION postgres_fdw;
	CREATE DATABASE elsewhere;');
$node->safe_psql('postgres', 'CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host ' . q{'} . $node->host . q{', port '} . $node->port . q{', dbname 'postgres');
	CREATE USER MAPPING FOR PUBLIC SERVER here OPTIONS (user 'paul', password_required 'false');
	CREATE FOREIGN TABLE near (x int) SERVER here OPTIONS (table_name 'far'); GRANT INSERT ON near TO PUBLIC});
$node->safe_psql('elsewhere', 'CREATE EXTENSION jit_access');
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = -1\nmax_standby_archive_delay = -1");
$standby->start;
sub replayed { $node->wait_for_catchup($standby, 'replay', $node->lsn('flush')); return; }

my $fatal = qr/(?:FATAL:  (?:57P01: )?|LOG:  )terminating connection: its transaction holds locks by temporary access that has ended/;
my %cases;
my @cases;
my $locks = 'LOCK TABLE %t IN ACCESS EXCLUSIVE MODE';

# Each of a user and on a table of its own; they come to their ends together.
# "do" is done one by one; "begin" goes on; %t is the table, %u the user, %o a
# role that owns the table.
sub prepare_case
{
	my ($name, %case) = @_;
	my $n = @cases;
	%case = (name => $name, user => "dev$n", table => "t$n", role => "owner$n",
		access => 'SELECT, UPDATE, DELETE ON %t', on => $node, %case);
	$case{$_} = [ map { s/%t/t$n/gr =~ s/%u/dev$n/gr =~ s/%o/owner$n/gr } ref $case{$_} ? @{ $case{$_} } : $case{$_} // () ]
	  for qw(do begin access before setup);
	push @cases, $cases{$name} = \%case;
	return;
}

prepare_case('LOCK TABLE, and idle', do => "BEGIN; $locks");
prepare_case('LOCK TABLE, and asleep', do => "BEGIN; $locks", begin => 'SELECT pg_sleep(600)');
prepare_case('LOCK TABLE, and waiting for another lock', do => "BEGIN; $locks", begin => 'SELECT pg_advisory_xact_lock(1)');
prepare_case('LOCK TABLE, and waiting where nothing of ours is called', do => "BEGIN; $locks", begin => 'CREATE TEMP TABLE b (LIKE blocked)');
prepare_case('LOCK TABLE, and a COPY that gets nothing', do => "BEGIN; $locks; CREATE TEMP TABLE c (x text)", begin => 'COPY c FROM STDIN');
prepare_case('LOCK TABLE, and a client that reads nothing', do => "BEGIN; $locks", begin => q{SELECT repeat('x', 1000) FROM generate_series(1, 10000000)}, stop => 1);
prepare_case('LOCK TABLE, and a COMMIT that waits for another server', do => "BEGIN; $locks; INSERT INTO near VALUES (1)", begin => 'COMMIT');
prepare_case('LOCK TABLE, of which another is of that name by then', do => [ 'CREATE TABLE n_%t (x int)', 'BEGIN' ], begin => 'LOCK TABLE n_%t', swap => 1);
prepare_case('LOCK TABLE in a DO block', do => "BEGIN; DO \$\$ BEGIN $locks; END \$\$");
prepare_case('LOCK TABLE, after which a statement fails behind a savepoint', do => [ "BEGIN; $locks; SAVEPOINT s", 'SELECT 1/0' ], failed => 1);
prepare_case('LOCK TABLE, after which everything fails', do => [ "BEGIN; $locks; SAVEPOINT s", 'SELECT 1/0', 'SELECT 1', 'SELECT 1', 'SELECT 1' ], failed => 1);
prepare_case('LOCK TABLE, and back to a savepoint after an error', do => [ "BEGIN; $locks; SAVEPOINT s", 'SELECT 1/0', 'ROLLBACK TO s' ], failed => 1);
prepare_case('LOCK TABLE in a savepoint', do => "BEGIN; SAVEPOINT s; $locks; RELEASE s");
prepare_case('LOCK TABLE of a view that asks for the rights of who uses it', do => [ 'CREATE VIEW v_%t WITH (security_invoker) AS SELECT * FROM %t', 'BEGIN; LOCK TABLE v_%t' ], view => 1);
prepare_case('LOCK TABLE of a view of somebody who has access', do => 'BEGIN; LOCK TABLE v_%t', view => 1, as => 'other',
	before => 'SET ROLE %u; CREATE VIEW v_%t AS SELECT * FROM %t; GRANT SELECT, UPDATE, DELETE ON v_%t TO other; RESET ROLE');
prepare_case('LOCK TABLE under SET ROLE', do => "BEGIN; SET LOCAL ROLE %o; $locks; RESET ROLE", access => '%o');
prepare_case('SELECT, and idle', do => 'BEGIN; SELECT count(*) FROM %t');
prepare_case('SELECT at REPEATABLE READ', do => 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM %t');
prepare_case('SELECT FOR UPDATE', do => 'BEGIN; SELECT 1 FROM %t LIMIT 1 FOR UPDATE');
prepare_case('SELECT of a function that ends with an error', do => 'BEGIN; DO $$ BEGIN PERFORM 1 FROM %t; BEGIN PERFORM 1/0; EXCEPTION WHEN OTHERS THEN NULL; END; END $$');
prepare_case('a cursor', do => 'BEGIN; DECLARE c CURSOR FOR SELECT x FROM %t; FETCH c');
prepare_case('a prepared statement', do => 'PREPARE p AS SELECT count(*) FROM %t; BEGIN; EXECUTE p');
prepare_case('EXPLAIN', do => 'BEGIN; EXPLAIN SELECT * FROM %t');
prepare_case('CREATE TABLE LIKE', do => 'BEGIN; CREATE TEMP TABLE l (LIKE %t)');
prepare_case('ANALYZE of a table', do => 'BEGIN; ANALYZE %t', access => '%o');
prepare_case('ANALYZE of all there is', do => 'BEGIN; SET LOCAL client_min_messages = error; ANALYZE', access => '%o');
prepare_case('COMMENT', do => q{BEGIN; COMMENT ON TABLE %t IS 'x'}, access => '%o');
prepare_case('ALTER TABLE that alters nothing', do => 'BEGIN; SET LOCAL client_min_messages = error; ALTER TABLE %t ADD COLUMN IF NOT EXISTS x int', access => '%o');
prepare_case('REINDEX', do => 'BEGIN; REINDEX TABLE %t', access => '%o');
prepare_case('a block that catches the cut-off', begin => 'DO $$ BEGIN LOOP BEGIN PERFORM count(*) FROM %t; PERFORM pg_sleep(0.01); EXCEPTION WHEN query_canceled OR insufficient_privilege THEN PERFORM pg_sleep(0.01); END; END LOOP; END $$', cut_off => 1);
prepare_case('jit_revoke, and idle', do => "BEGIN; $locks", revoke => 1);
prepare_case('jit_revoke, and asleep', do => "BEGIN; $locks", begin => 'SELECT pg_sleep(600)', revoke => 1);
prepare_case('jit_revoke, after which everything fails', do => [ "BEGIN; $locks; SAVEPOINT s", 'SELECT 1/0', 'SELECT 1', 'SELECT 1' ], failed => 1, revoke => 1);
prepare_case('jit_revoke_from', do => 'BEGIN; SELECT count(*) FROM %t', revoke => 'SELECT jit_revoke_from(%s, %s)');
prepare_case('DROP ROLE of the grant role', do => 'BEGIN; SELECT count(*) FROM %t', revoke => 'DROP ROLE %s');
prepare_case('the deadline is moved into the past', do => "BEGIN; $locks", revoke => q{ALTER ROLE %s VALID UNTIL '2020-01-01'});
prepare_case('jit_revoke_from in another database', do => "BEGIN; $locks", revoke => 'SELECT jit_revoke_from(%s, %s)', db => 'elsewhere');
# what goes on
prepare_case('a transaction that relies on nothing', do => 'BEGIN; CREATE TEMP TABLE x (x int); LOCK TABLE x; SELECT count(*) FROM pg_class', goes_on => 1);
prepare_case('a transaction whose access another grant continues', do => 'BEGIN; SELECT count(*) FROM %t', more => '1 hour', goes_on => 1);
prepare_case('a transaction whose deadline was moved', do => 'BEGIN; SELECT count(*) FROM %t', prolong => 1, goes_on => 1);
prepare_case('a transaction that relied on it before this one', do => 'BEGIN; SELECT count(*) FROM %t; COMMIT; BEGIN; SELECT 1', goes_on => 1);
prepare_case('COMMIT that waits for a standby', do => 'SET synchronous_commit = on; BEGIN; SELECT count(*) FROM %t; CREATE TABLE made_%t (x int)', begin => 'COMMIT', goes_on => 1, waits => 1);
prepare_case('a statement whose commit waits for a standby', setup => 'CREATE FUNCTION f_%t() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO %t VALUES (1); END $$; REVOKE EXECUTE ON FUNCTION f_%t FROM PUBLIC',
	access => 'EXECUTE ON FUNCTION f_%t()', do => 'SET synchronous_commit = on', begin => 'DO $$ DECLARE x text; BEGIN x := f_%t(); END $$', goes_on => 1, waits => 1, autocommit => 1);
# on the standby
my $share = 'LOCK TABLE %t IN ACCESS SHARE MODE';
prepare_case('standby: LOCK TABLE, and idle', on => $standby, do => "BEGIN; $share");
prepare_case('standby: LOCK TABLE, and asleep', on => $standby, do => "BEGIN; $share", begin => 'SELECT pg_sleep(600)');
prepare_case('standby: SELECT, and idle', on => $standby, do => 'BEGIN; SELECT count(*) FROM %t');
prepare_case('standby: LOCK TABLE, after which everything fails', on => $standby, do => [ "BEGIN; $share; SAVEPOINT s", 'SELECT 1/0', 'SELECT 1', 'SELECT 1' ], failed => 1);
prepare_case('standby: jit_revoke, and idle', on => $standby, do => "BEGIN; $share", revoke => 1);
prepare_case('standby: jit_revoke, after which everything fails', on => $standby, do => [ "BEGIN; $share; SAVEPOINT s", 'SELECT 1/0', 'SELECT 1', 'SELECT 1' ], failed => 1, revoke => 1);
prepare_case('standby: a transaction whose access another grant continues', on => $standby, do => 'BEGIN; SELECT count(*) FROM %t', more => '1 hour', goes_on => 1);
prepare_case('standby: a transaction whose deadline was moved', on => $standby, do => 'BEGIN; SELECT count(*) FROM %t', prolong => 1, goes_on => 1);

# ---- set up

$node->safe_psql('postgres', join ';', 'CREATE ROLE other LOGIN', map {; "CREATE ROLE $_->{user} LOGIN; CREATE ROLE $_->{role}; GRANT $_->{role} TO owner; CREATE TABLE $_->{table} AS SELECT 1 AS x; ALTER TABLE $_->{table} OWNER TO $_->{role}", @{ $_->{setup} } } @cases);
my $blocker = session($node, 'paul');
$blocker->do('SELECT pg_advisory_lock(1); BEGIN; LOCK TABLE blocked');
replayed();
$_->{s} = session($_->{on}, $_->{as} // $_->{user}) for @cases;
my $ids = $node->safe_psql('postgres', join '; ', 'SET client_min_messages = error', map { "SELECT jit_grant('$_->{access}[0]', '$_->{user}', '" . ($_->{revoke} ? '1 hour' : '12 s') . "', 'x')" } @cases);
($_->{id}, $ids) = $ids =~ /(\d+)\n?(.*)/s for @cases;
my %end = map { split /\|/ } split /\n/, $node->safe_psql('postgres', 'SELECT id, extract(epoch FROM expires_at) FROM jit.requests');
$_->{end} = $end{ $_->{id} } for @cases;
replayed();
foreach my $case (@cases)
{
	$node->safe_psql('postgres', $_) for @{ $case->{before} };
	foreach my $sql (@{ $case->{do} })
	{
		my ($out, $err) = $case->{s}->do($sql);
		die "$case->{name}: $err" if $err =~ /ERROR/ && !$case->{failed};
	}
	my $other;
	if ($case->{swap})
	{
		$other = session($node, $case->{user});
		$other->do("BEGIN; LOCK TABLE n_$case->{table}");
	}
	$case->{s}->begin($_) for @{ $case->{begin} };
	if ($other)
	{
		wait_until(sub { waits($node, $case->{s}) }) or die 'does not wait';
		$other->do("ALTER TABLE n_$case->{table} RENAME TO o_$case->{table}; CREATE VIEW n_$case->{table} AS SELECT * FROM $case->{table}; COMMIT");
		$other->quit;
		$case->{s}->end;
	}
	if ($case->{stop})
	{
		wait_until(sub { $node->safe_psql('postgres', "SELECT state FROM pg_stat_activity WHERE pid = $case->{s}{pid}") eq 'active' }) or die 'does not run';
		kill 'STOP', $case->{s}{run}{KIDS}[0]{PID} or die "cannot stop psql: $!";
	}
	die 'too slow' if Time::HiRes::time() > $case->{end};
}
foreach my $case (@cases)
{
	if ($case->{more}) { $node->safe_psql('postgres', "SET client_min_messages = error; SELECT jit_grant('$case->{access}[0]', '$case->{user}', '$case->{more}', 'x')"); }
	if ($case->{prolong}) { my $role = grant_role($node, $case->{id}); $node->safe_psql('postgres', "ALTER ROLE $role VALID UNTIL '2100-01-01'"); }
	if ($case->{revoke})
	{
		my $sql = $case->{revoke} =~ /jit_revoke_from/ ? sprintf($case->{revoke}, "'$case->{user}'", q{'x'}) :
		  $case->{revoke} =~ /DROP|ALTER/ ? sprintf($case->{revoke}, grant_role($node, $case->{id})) : "SELECT jit_revoke($case->{id}, 'x')";
		$node->safe_psql($case->{db} // 'postgres', "SET client_min_messages = error; $sql");
		$case->{end} = Time::HiRes::time();
	}
}
replayed();
# the owner wants them all; on the standby they are had one after the other
foreach my $case (sort { $a->{end} <=> $b->{end} } grep { !$_->{goes_on} } @cases)
{
	my $sql = "ALTER TABLE $case->{table} ADD COLUMN y int";
	if ($case->{on} == $node) { ($case->{owner} = session($node, 'owner'))->begin($sql); }
	else { sql($node, 'owner', $sql); $case->{lsn} = $node->lsn('insert'); }
}

sub is_there
{
	my ($case) = @_;
	return $case->{on}->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $case->{s}{pid}");
}

# ---- PREPARE TRANSACTION, meanwhile

my $refused = qr/ERROR:  0A000: cannot PREPARE a transaction that has relied on temporary access\nHINT:  Use COMMIT/;
$node->safe_psql('postgres', q{CREATE ROLE preparer LOGIN; CREATE TABLE p AS SELECT 1 AS x; CREATE TABLE free AS TABLE p; GRANT SELECT, INSERT ON free TO PUBLIC});
sql($node, getpwuid($<) . '', q{SELECT jit_grant('SELECT, INSERT, UPDATE, DELETE ON p', 'preparer', '1 hour', 'x')});
my $p = session($node, 'preparer');
my %prepares = (
	'PREPARE after SELECT' => 'SELECT count(*) FROM p',
	'PREPARE after LOCK TABLE' => 'LOCK TABLE p',
	'PREPARE after INSERT' => 'INSERT INTO p VALUES (1)',
	'PREPARE after a cursor' => 'DECLARE c CURSOR FOR SELECT x FROM p; FETCH c; CLOSE c',
	'PREPARE after EXPLAIN' => 'EXPLAIN SELECT * FROM p',
	'PREPARE after what was rolled back' => 'SAVEPOINT s; SELECT count(*) FROM p; ROLLBACK TO s',
);
foreach my $name (sort keys %prepares)
{
	attack $name => sub {
		like(($p->do("BEGIN; $prepares{$name}; PREPARE TRANSACTION 'x'"))[1], $refused, 'refused');
		$p->do('ROLLBACK');
		my $prepared = $node->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts');
		is($prepared, '', 'nothing is prepared');
		$node->safe_psql('postgres', "ROLLBACK PREPARED '$prepared'") if $prepared;
	};
}
attack 'PREPARE of what relies on nothing' => sub {
	is(($p->do("BEGIN; SELECT count(*) FROM free; INSERT INTO free VALUES (1); PREPARE TRANSACTION 'y'"))[1], '', 'goes through');
	$node->safe_psql('postgres', q{COMMIT PREPARED 'y'});
};
$p->quit;

# ---- the ends

my @owned = grep { !$_->{goes_on} } @cases;
wait_until(sub {
	my $replayed = $standby->lsn('replay');
	foreach my $case (grep { !$_->{got} } @owned)
	{
		$case->{got} = Time::HiRes::time()
		  if $case->{owner} ? $case->{owner}->ended : $standby->safe_psql('postgres', "SELECT '$replayed' >= '$case->{lsn}'::pg_lsn") eq 't';
	}
	return !grep { !$_->{got} && Time::HiRes::time() < $_->{end} + 13 } @owned;
});
foreach my $case (@owned)
{
	attack $case->{name} => sub {
		ok(defined $case->{got}, $case->{owner} ? 'the owner gets at it' : 'ALTER TABLE is replayed') or return;
		cmp_ok($case->{got} - $case->{end}, '<', 12, '... within 12 s of the end');
		cmp_ok($case->{got} - $case->{end}, '>', 9, '... and not at once');
		is(($case->{owner}->end)[1], '', '... without an error') if $case->{owner};
		is(is_there($case), '0', 'the connection is gone');
		$case->{on}->wait_for_log(qr/\[$case->{s}{pid}\].* $fatal.*?\[$case->{s}{pid}\].* DETAIL:  (Request $case->{id} in (postgres|\d+) (expired at|was revoked)|A transaction that has failed cannot tell)/s);
		pass('the log says why');
	};
}
my ($until) = sort { $b <=> $a } map { $_->{end} + 12 } grep { $_->{goes_on} } @cases;
wait_until(sub { Time::HiRes::time() > $until });
$_->{event} = $node->safe_psql('postgres', "SELECT wait_event FROM pg_stat_activity WHERE pid = $_->{s}{pid}") for grep { $_->{waits} } @cases;
$node->safe_psql('postgres', $_) for q{ALTER SYSTEM SET synchronous_standby_names = ''}, 'SELECT pg_reload_conf()';
foreach my $case (grep { $_->{goes_on} } @cases)
{
	attack $case->{name} => sub {
		is(is_there($case), '1', 'it goes on');
		if ($case->{waits})
		{
			is($case->{event}, 'SyncRep', '... waiting');
			is(($case->{s}->end)[1], '', 'committed, without a warning');
			is($case->{s}->do('SELECT 1'), '1', 'the session too');
		}
		else { is(($case->{s}->do('COMMIT'))[1], '', '... and is committed'); }
	};
}

attack 'the client is told the reason' => sub {
	foreach my $case (@cases{ 'LOCK TABLE, and asleep', 'LOCK TABLE, and idle', 'LOCK TABLE, after which everything fails' })
	{
		my $s = $case->{s};
		$s->begin('SELECT 1') unless @{ $case->{begin} };
		wait_until(sub { $s->{run}->pump_nb if $s->{run}->pumpable; !$s->{run}->pumpable }, 10);
		like($s->{err}, qr/FATAL:  57P01: terminating connection: its transaction holds locks by temporary access that has ended\nDETAIL:  Request \d+ in \w+ expired at .*\nHINT:  End transactions within 10 seconds/, 'by FATAL with its words');
	}
};

sub figures
{
	my ($of, @after) = @_;
	@after = sort { $a <=> $b } @after;
	diag(sprintf('ALTER TABLE went on after %.1f to %.1f s on %s (%d of them)', $after[0], $after[-1], $of, scalar @after)) if @after;
	return;
}
foreach my $on ($node, $standby)
{
	figures($on->name, map { $_->{got} - $_->{end} } grep { $_->{got} && $_->{on} == $on } @owned);
}
all_attacks_done();
kill 'CONT', $_->{s}{run}{KIDS}[0]{PID} for grep { $_->{stop} } @cases;
$_->{s}{run}->kill_kill for @cases;
$_->{owner}{run}->kill_kill for grep { $_->{owner} } @cases;
$blocker->quit;
$standby->stop;
$node->stop;
done_testing();
