# What delays the ledger for a while delays it for about as long again at most,
# however many deadlines come meanwhile and whatever has been stuck there for
# long, and in no other database.  The log says when it begins and when it is
# over, and not at each try.
#
# Guards note_end() in launcher.c.  The attacks are lines of attacks.md.  Seen to
# fail with each failure doubling the pause, with a pause of a second each time,
# without the time of the newest that was left, and where a sweeper that can't
# have the ledger goes on to scope roles.
#
# Alone: measures how late the ledger is after the fault, and counts sweepers.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();
use JitAccess;
use Attacks;

my $node = new_server('backoff', "log_min_messages = debug1\nlog_statement = none\nmax_worker_processes = 20");
my $raise = q{CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'out of order'; END $$};
my $super = getpwuid($<) . '';

# What is out of order, and what mends it; the former may be of a session that
# stays.  Each in a database of its own, for the same four seconds.
my %faults = (
	'a trigger on jit.events raises' => [
		"$raise; CREATE TRIGGER fault BEFORE INSERT ON jit.events FOR EACH ROW EXECUTE FUNCTION fault()",
		'DROP TRIGGER fault ON jit.events' ],
	'a trigger on jit.requests raises' => [
		"$raise; CREATE TRIGGER fault BEFORE UPDATE ON jit.requests FOR EACH ROW EXECUTE FUNCTION fault()",
		'DROP TRIGGER fault ON jit.requests' ],
	'a constraint refuses ends' => [
		q{ALTER TABLE jit.requests ADD CONSTRAINT fault CHECK (status <> 'expired')},
		'ALTER TABLE jit.requests DROP CONSTRAINT fault' ],
	'jit.requests is locked' => [ 'BEGIN; LOCK TABLE jit.requests IN ACCESS EXCLUSIVE MODE', 'COMMIT' ],
	'rows of jit.requests are locked' => [ 'BEGIN; SELECT FROM jit.requests FOR UPDATE', 'COMMIT' ],
	'jit.events is elsewhere' => [ 'ALTER TABLE jit.events RENAME TO elsewhere', 'ALTER TABLE jit.elsewhere RENAME TO events' ],
	'a trigger raises where one request has been stuck for long' => [
		"$raise; CREATE TRIGGER fault BEFORE INSERT ON jit.events FOR EACH ROW EXECUTE FUNCTION fault()",
		'DROP TRIGGER fault ON jit.events' ],
	'rows are locked where one request has been stuck for long' => [
		q{BEGIN; SELECT FROM jit.requests WHERE reason = 'fault' FOR UPDATE}, 'COMMIT' ],
	'nothing, but in the other databases' => [ 'SELECT 1', 'SELECT 1' ],
);
my @faults = sort keys %faults;
my %db = map { $faults[$_] => "d$_" } 0 .. $#faults;
my (%s, %oid, %settled);

$node->safe_psql('postgres', 'CREATE ROLE dev LOGIN');
foreach my $fault (@faults)
{
	$node->safe_psql('postgres', "CREATE DATABASE $db{$fault}");
	$node->safe_psql($db{$fault}, 'CREATE EXTENSION jit_access; CREATE TABLE t AS SELECT 1 AS x');
	$s{$fault} = session($node, $super, $db{$fault});
	$oid{$fault} = $node->safe_psql('postgres', "SELECT oid FROM pg_database WHERE datname = '$db{$fault}'");
}
my $due = q{SELECT count(*) FROM jit.requests WHERE reason = 'fault' AND status = 'active'};

# how often the launcher has tried a database since then
sub tries
{
	my ($fault, $from) = @_;
	my $log = substr(slurp_file($node->logfile), $from);
	return scalar(() = $log =~ /starting background worker process "jit_access sweeper for database $oid{$fault}"/g);
}

# what is stuck: so that sweepers have been failing for longer
foreach my $fault (grep { /stuck/ } @faults)
{
	$s{$fault}->do(q{SELECT jit_grant('SELECT ON t', 'dev', '1 s', 'stuck');
		ALTER TABLE jit.requests ADD CONSTRAINT stuck CHECK (reason <> 'stuck' OR status = 'active')});
}
foreach my $fault (grep { /stuck/ } @faults)
{
	wait_until(sub { tries($fault, 0) >= 5 }) or die 'not stuck';
}

foreach my $fault (@faults)
{
	my ($out, $err) = $s{$fault}->do(q{SELECT jit_grant('SELECT ON t', 'dev', '3 s'::interval + i * interval '0.2 s', 'fault') FROM generate_series(1, 20) i});
	die $err if $err =~ /ERROR/;
}
my $offset = -s $node->logfile;
my $begin = Time::HiRes::time();
foreach my $fault (@faults)
{
	my ($out, $err) = $s{$fault}->do($faults{$fault}[0]);
	die $err if $err =~ /ERROR/;
}
my $last = $s{ $faults[-1] }->do('SELECT max(expires_at) FROM jit.requests');
$node->poll_query_until('postgres', "SELECT clock_timestamp() > '$last'") or die 'the last deadline does not come';
foreach my $fault (grep { !/^nothing/ } @faults)
{
	$s{$fault}->do($faults{$fault}[1]);
}
my $mended = Time::HiRes::time();
my $lasted = $mended - $begin;
note(sprintf 'it lasted %.1f s', $lasted);
wait_until(sub {
	foreach my $fault (@faults)
	{
		next if defined $settled{$fault} || $s{$fault}->do($due) ne '0';
		$settled{$fault} = Time::HiRes::time() - $mended;
	}
	return keys %settled == @faults;
}, 30);

foreach my $fault (@faults)
{
	attack $fault => sub {
		my $late = $settled{$fault};
		ok(defined $late, 'the ledger catches up') or return;
		cmp_ok($late, '<', $lasted + 2, sprintf('... %.1f s after it was mended', $late));
		my ($failed, $over);
		# the launcher hears of it a moment after the ledger is written
		wait_until(sub {
			my $log = substr(slurp_file($node->logfile), $offset);
			$failed = () = $log =~ /LOG:  jit_access: sweeper failed in the database with OID $oid{$fault}/g;
			$over = () = $log =~ /LOG:  jit_access: sweepers work again in the database with OID $oid{$fault}/g;
			return $over == $failed;
		}, 10);
		cmp_ok($failed, '<=', 1, 'the log says so once at most');
		is($over, $failed, '... and, if it did, when it was over');
		is($failed, 1, '... of what fails altogether') if $fault =~ /raises/ && $fault !~ /jit.requests/ || $fault =~ /locked$/ && $fault =~ /^jit/ || $fault =~ /elsewhere/;
	};
}

attack 'it goes on for longer, and nothing new is due' => sub {
	my $fault = 'nothing, but in the other databases';
	my $s = $s{$fault};
	$s->do(q{SELECT jit_grant('SELECT ON t', 'dev', '2 s', 'fault')});
	$offset = -s $node->logfile;
	$s->do(q{ALTER TABLE jit.events RENAME TO elsewhere});
	wait_until(sub { tries($fault, $offset) >= 1 }) or die 'not tried';
	my $start = Time::HiRes::time();
	ok(wait_until(sub { tries($fault, $offset) >= 5 }, 20), 'it is tried again');
	my $took = Time::HiRes::time() - $start;
	cmp_ok($took, '>', 6, sprintf('... with growing pauses: five times in %.1f s', $took));
	$s->do(q{ALTER TABLE jit.elsewhere RENAME TO events});
	ok(wait_until(sub { $s->do($due) eq '0' }, $took + 12), '... and settled when that is over');
};

$_->quit for values %s;
all_attacks_done();
$node->stop;
done_testing();
