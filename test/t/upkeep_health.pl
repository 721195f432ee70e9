# Each check of jit.health is not ok when something is wrong, says what, and is
# ok again when that is mended; it is read by a member of pg_monitor who has
# nothing else.  A ledger that is locked, or broken, makes its own checks not
# ok, and hides no other.  On a standby all is well.
#
# Guards health.c, and what the launcher and the sweepers tell it.  Seen to fail
# with an error that is never over.
#
# The server's time of day is libfaketime's (Debian: libfaketime); without it
# the test is skipped.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my ($library) = glob '/usr/lib/*/faketime/libfaketime.so.1';
plan skip_all => 'libfaketime is not installed' unless defined $library;

my $file = PostgreSQL::Test::Utils::tempdir() . '/clock';
my $offset = 0;
# in one step: the server reads it all the time
sub set_clock
{
	my ($seconds) = @_;
	$offset = $seconds;
	append_to_file("$file.new", sprintf "%+d\n", $seconds);
	rename "$file.new", $file or die "cannot set the clock: $!";
	return;
}
set_clock(0);
my %fake = (LD_PRELOAD => $library, FAKETIME_TIMESTAMP_FILE => $file, FAKETIME_NO_CACHE => 1,
	DONT_FAKE_MONOTONIC => 1, FAKETIME_DONT_FAKE_MONOTONIC => 1, FAKETIME_DONT_RESET => 1);
my $node = PostgreSQL::Test::Cluster->new('health');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'jit_access'\njit_access.warn_before = 0");
sub start { local %ENV = (%ENV, %fake); $node->start; return; }
start();
create_hr($node);
$node->safe_psql('postgres', 'CREATE EXTENSION jit_access; CREATE ROLE mon LOGIN; GRANT pg_monitor TO mon; CREATE ROLE ops; CREATE ROLE olga LOGIN');
plan skip_all => 'libfaketime has no effect on this server'
  unless abs($node->safe_psql('postgres', 'SELECT extract(epoch FROM clock_timestamp())') - time) < 600;

my @checks = qw(launcher sweepers last_error overdue_ends oldest_pending pending active lag_median lag_max
  clock notification_queue undecidable overdue_reviews missing_roles top_level_only);

# What mon sees of a check: "t|0|seconds|detail"
sub shows
{
	my ($check, $db) = @_;
	return scalar sql($node, 'mon', "SELECT ok, value, unit, detail FROM jit.health WHERE name = '$check'", $db // 'hr_prod');
}

# The names of those that aren't ok.
sub not_ok
{
	my ($db) = @_;
	return scalar sql($node, 'mon', 'SELECT name FROM jit.health WHERE NOT ok', $db // 'hr_prod') =~ s/\n/ /gr;
}

sub becomes
{
	my ($expected, $name, $db) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	# the launcher sleeps by another clock, and may see a new time late
	ok(wait_until(sub { not_ok($db) eq $expected || ($node->reload, 0)[1] }, 30), $name) or diag(not_ok($db));
	return;
}

sub super { my ($sql) = @_; return $node->safe_psql('hr_prod', $sql); }
sub sets { my ($setting) = @_; super("ALTER SYSTEM SET $setting"); $node->reload; return; }
sub grants { my ($who, $duration) = @_; return super("SELECT jit_grant('SELECT ON hr.salary', '$who', '$duration', 'x')"); }

is(scalar sql($node, 'mon', 'SELECT name FROM jit.health', 'hr_prod'), join("\n", @checks), 'all checks');
becomes('', 'nothing is wrong');
like(shows('launcher'), qr/^t\|\d+\.\d{3}\|seconds\|it last looked around at \d{4}-/, 'launcher: since when');
is(sql($node, 'mon', 'SELECT count(*) FROM jit.requests', 'hr_prod'), '0', 'who reads this has nothing else');


# ---- workers

# somebody has the ledger; before the clock is moved, which lock_timeout doesn't
# survive under libfaketime
my $id = grants('dev', '2 s');
my $locks = session($node, super('SELECT current_user'), 'hr_prod');
$locks->do('BEGIN; LOCK TABLE jit.requests');
becomes('sweepers last_error', 'a sweeper fails', 'postgres');

like(shows('sweepers', 'postgres'), qr/^f\|1\|databases\|hr_prod since \d{4}-/, '... and where, and since when');
like(shows('last_error', 'postgres'), qr/^f\|\d+\.\d+\|seconds\|in hr_prod at \d{4}-[^,]*: canceling statement due to lock timeout$/, '... and why');
is(not_ok(), 'sweepers last_error overdue_ends oldest_pending pending active lag_median lag_max undecidable overdue_reviews top_level_only',
	'what cannot be read there is not ok, and the rest is there');
like(shows('active'), qr/^f\|\|requests\|could not be checked: canceling statement due to lock timeout$/, '... and says why');
$locks->do('ROLLBACK');
becomes('', 'the ledger is free again');
like(shows('last_error'), qr/^t\|.*, over since: canceling/, '... and the error is over');

stop_launcher($node);
set_clock(150);
becomes('launcher', 'the launcher is stopped');
like(shows('launcher'), qr/^f\|1[5-9]\d\.\d+\|seconds\|/, '... and says for how long');
continue_launcher();
$node->reload;
becomes('', 'it goes on');

sets('max_worker_processes = 0');
$node->stop;
start();
# without a place for it
like(shows('launcher'), qr/^f\|\|seconds\|it is not running; is there a place/, 'there is no launcher');
sets('max_worker_processes = 8');
$node->stop;
start();
becomes('', 'there is one again');

# ---- what ends late

stop_launcher($node);
grants('dev', '2 s');
set_clock($offset + 200);
becomes('launcher overdue_ends', 'for three minutes nothing ends');
continue_launcher();
$node->reload;
becomes('lag_median', 'an end comes late');
like(shows('lag_median'), qr/^f\|1\d\d\.\d+\|seconds\|$/, '... by how much');
grants('dev', "$_ s") foreach 1, 2;
becomes('', 'two more come in time');
like(shows('lag_median'), qr/^t\|[0-9.]+\|seconds\|$/, '... which is the median');
$node->poll_query_until('hr_prod', q{SELECT count(*) = 0 FROM jit.requests WHERE status = 'active'}) or die 'they do not end';
stop_launcher($node);
$id = grants('dev', '10 s');
set_clock($offset + 80);
becomes('overdue_ends', 'one is overdue');
like(shows('overdue_ends'), qr/^f\|1\|requests\|request $id since \d{4}-.*; it is denied all the same$/, '... which');
set_clock($offset + 400);
becomes('launcher overdue_ends', 'and on');
continue_launcher();
$node->reload;
becomes('lag_max', 'it ends at last');
like(shows('lag_max'), qr/^f\|4\d\d\.\d+\|seconds\|that of request $id$/, '... over five minutes late');
set_clock($offset + 86400);
becomes('', 'a day later that is past');
is(shows('lag_max'), 't||seconds|', '... and there is nothing to tell');

# ---- requests

my $dev = session($node, 'dev', 'hr_prod');
my $asks = sub { return $dev->do("SET client_min_messages = error; SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x')") };
($id) = $asks->() =~ /(\d+)/;
like(shows('pending'), qr/^t\|1\|requests\|$/, 'one is pending');
like(shows('oldest_pending'), qr/^t\|\d\.\d+\|seconds\|$/, '... since just now');
set_clock($offset + 13 * 3600);
becomes('oldest_pending', 'it has waited for 13 of 24 hours');
like(shows('oldest_pending'), qr/^f\|468\d\d\.\d+\|seconds\|a request has waited for over half/, '... and that is told');
sets('jit_access.max_pending = 1');
becomes('oldest_pending pending', 'dev can ask for no more');
is(shows('pending'), 'f|1|requests|dev has 1, and jit_access.max_pending is 1', '... and that is told');
sets('jit_access.max_pending = 2');
super('SELECT jit_set_flow(\'moderate\', \'[{"approver": "ops"}]\')');
$dev->do("SELECT jit_cancel($id)");
becomes('', 'dev takes it back');
($id) = $asks->() =~ /(\d+)/;
is(not_ok(), 'undecidable', 'nobody is in the role that could approve');
is(shows('undecidable'), "f|1|requests|too few people could approve request $id; see jit_show()", '... which');
super('GRANT ops TO olga');
is(not_ok(), '', 'somebody is');
super('SELECT jit_set_flow(\'moderate\', \'[{"approver": "ops", "approvals": 2}]\')');
$dev->do("SELECT jit_cancel($id)");
($id) = $asks->() =~ /(\d+)/;
is(not_ok(), 'undecidable', 'two would have to be');
super('GRANT ops TO eve');
is(not_ok(), '', '... and are');
$dev->do("SELECT jit_cancel($id)");

super('SELECT jit_set_flow(\'moderate\', \'[{"approver": "@grantor"}]\')');
$id = grants('dev', '1 hour');
is(shows('active'), 't|1|requests|', 'one is active');
sets('jit_access.max_active = 1');
becomes('active', 'dev can have no more');
is(shows('active'), 'f|1|requests|dev has 1, and jit_access.max_active is 1', '... and that is told');
$node->safe_psql('hr_prod', "SELECT jit_revoke($id)");
is(not_ok(), '', 'dev has none');
is(shows('lag_max'), 't||seconds|', 'what was revoked has no lag');

sets('jit_access.max_active = 2');
becomes('', 'dev could have another');
super('SELECT jit_set_flow(\'moderate\', \'[{"approver": "@grantor"}]\', emergency_role => \'dev\')');
$id = $dev->do(q{SELECT jit_break_glass('SELECT ON hr.salary', '10 minutes', 'nobody is there')}) =~ /^ *(\d+)$/m ? $1 : 0;
is(not_ok(), '', 'dev has broken the glass, and there is time to review it');
sets('jit_access.review_within = 0');
becomes('overdue_reviews', 'nobody has reviewed it in time');
is(shows('overdue_reviews'), "f|1|emergencies|request $id; jit_show() tells who can review it", '... and that is told');
super("SELECT jit_review($id, false, 'ask next time')");
is(not_ok(), '', 'it is reviewed');

# ---- the server, and settings

set_clock($offset - 3600);
becomes('clock', 'the clock is set back');
like(shows('clock'), qr/^f\|(3599|3600)\.\d+\|seconds\|the system clock was set back; see jit_reset_clock/, '... by how much');
set_clock($offset + 3600);
becomes('', '... and right again');

my $listens = session($node, 'dev', 'hr_prod');
$listens->do('LISTEN x; BEGIN');
super(q{SELECT count(pg_notify('x', repeat('x', 7900) || i)) FROM generate_series(1, 12000) i});
is(not_ok(), 'notification_queue', 'a session does not read its notifications');
like(shows('notification_queue'), qr/^f\|[1-9]\d*\.\d\d\|percent\|a session that listens/, '... how full the queue is');
$listens->do('UNLISTEN x; COMMIT');
becomes('', '... and reads them');
$listens->quit;

sets(q{jit_access.auditor_role = 'late'});
sets(q{jit_access.gateway_logins = 'bot, eve'});
becomes('missing_roles', 'roles that settings name are not there');
is(shows('missing_roles'), 'f|2|roles|late in jit_access.auditor_role, bot in jit_access.gateway_logins', '... which');
super('CREATE ROLE late; CREATE ROLE bot LOGIN');
sets(q{jit_access.gateway_logins = 'bot'});
becomes('', '... and made');

super('ALTER DATABASE hr_prod SET jit_access.top_level_only = off; ALTER ROLE eve SET jit_access.top_level_only = no');
is(not_ok(), 'top_level_only', 'what decides may be in a function');
is(shows('top_level_only'), 'f|2|settings|it is off in this database, for role eve in all databases', '... for whom');
super('ALTER DATABASE hr_prod RESET ALL; ALTER ROLE eve RESET ALL');
sets('jit_access.top_level_only = off');
becomes('top_level_only', '... for everybody');
is(shows('top_level_only'), 'f|1|settings|it is off in postgresql.conf or by ALTER SYSTEM', '... by what');
sets('jit_access.top_level_only = on');
becomes('', '... for nobody');

# a ledger that is broken
super('ALTER TABLE jit.grants RENAME COLUMN ended_at TO was_at');
is(not_ok(), 'lag_median lag_max', 'a broken ledger is not ok where it is broken');
super('ALTER TABLE jit.grants RENAME COLUMN was_at TO ended_at');
is(not_ok(), '', '... and mended');

# ---- a standby

$node->backup('health');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'health', has_streaming => 1);
{ local %ENV = (%ENV, %fake); $standby->start; }
$node->wait_for_catchup($standby);
is(scalar sql($standby, 'mon', 'SELECT name, ok, value, detail FROM jit.health WHERE NOT ok OR name = \'launcher\'', 'hr_prod'),
	'launcher|t||a standby needs none', 'on a standby all is well');

$_->quit foreach $locks, $dev;
$standby->stop;
$node->stop;
done_testing();
