# What has ended is handed out by jit_archive() and gone with its COMMIT: all of
# it, once, and nothing else; and what a file has of it reads the same on
# another server.
#
# The attacks are lines of attacks.md.  Guards request/archive.c, and the way
# through the trigger append_only.  Seen to fail with the trigger let through for
# more than one DELETE, or left so: those that follow; without the newest event,
# or the request that it is about, left out: numbers; without a look at grant
# roles, at live grants, at what the transaction has noted: what is to stay; with
# events of any origin taken for a request's: those of other servers; with a set
# handed out in part, in base/toplevel.c: LIMIT to what is beside it.
use strict;
use warnings;
use Digest::SHA;
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $super = getpwuid($<) . '';
my $node = new_server('archive', "jit_access.max_pending = 1000\njit_access.admin_role = 'admin'\nmax_prepared_transactions = 2");
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE admin; CREATE ROLE carl LOGIN; GRANT admin TO carl; CREATE ROLE pool LOGIN; CREATE ROLE auditors; CREATE ROLE aud LOGIN; GRANT auditors TO aud;
	ALTER SYSTEM SET jit_access.auditor_role = 'auditors'; SELECT pg_reload_conf();
	SET ROLE hr_owner;
	DO $$ BEGIN FOR i IN 1 .. 40 LOOP EXECUTE format('CREATE TABLE hr.t%s ()', i); END LOOP; END $$;
});
my %s = map { $_ => session($node, $_, 'hr_prod') } qw(dev anna carl eve aud);
$s{super} = session($node, $super, 'hr_prod');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $files = 0;

sub super { return $node->safe_psql('hr_prod', $_[0]); }

# A statement that must come through.
sub ok_do
{
	my ($who, $sql) = @_;
	my ($out, $err) = $s{$who}->do($sql);
	die "$who: $sql: $err" if $err =~ /ERROR|FATAL/;
	return $out;
}

my $table = 0;
sub pending { $table = $table % 40 + 1; return ok_do('dev', "SELECT jit_request('SELECT ON hr.t$table', '1 hour', '" . ($_[0] // 'x') . "')"); }
sub active { my $n = pending(@_); ok_do('anna', "SELECT jit_approve($n, 'fine')"); return $n; }
sub revoked { my $n = active(@_); ok_do('anna', "SELECT jit_revoke($n, 'enough')"); return $n; }
sub rejected { my $n = pending(@_); ok_do('anna', "SELECT jit_reject($n, 'no')"); return $n; }
sub canceled { my $n = pending(@_); ok_do('dev', "SELECT jit_cancel($n)"); return $n; }
sub there { return super("SELECT coalesce(string_agg(id::text, ' ' ORDER BY id), '') FROM jit.requests WHERE id IN (" . join(', ', @_) . ')'); }

# All of the ledger, as a value.
my @tables = qw(requests request_items reviews grants events);
my $contents = join(' UNION ALL ', map { "SELECT '$_', count(*), md5(string_agg(x::text, '|' ORDER BY x::text)) FROM jit.$_ x" } @tables);
sub contents { return super($contents); }

# Archived into a file; returns that, or the error.
sub archive
{
	my ($sql, $who) = @_;
	my $file = "$dir/archive" . ++$files;
	my ($out, $err) = $s{ $who // 'carl' }->do(($sql // 'SELECT jit_archive(now())') . " \\g $file");
	return $err =~ /ERROR/ ? $err : $file;
}
sub lines { my ($file) = @_; return -e $file ? split(/\n/, slurp_file($file)) : (); }
sub numbers { return join(' ', map { /^\{"request" : \{"id":(\d+),/ ? $1 : () } lines($_[0])); }
my $last_archive = q{SELECT detail FROM jit.events WHERE event = 'archived' ORDER BY id DESC LIMIT 1};

# Start with as little as there can be: the second one takes the request that the
# newest event was about.
sub clean { ok_do('carl', q{SELECT jit_revoke_all('clean')}); ok_do('carl', 'SELECT jit_archive(now())') for 1, 2; return; }

# ---- who

attack 'somebody else' => sub {
	revoked();
	my $before = contents();
	like(archive(undef, $_), qr/ERROR:  42501: permission denied to archive requests/, $_) for qw(dev anna eve aud);
	is(contents(), $before, 'everything is there');
};
attack 'an administrator behind a proxy' => sub {
	super('GRANT admin TO pool');
	$node->append_conf('postgresql.conf', "jit_access.proxy_logins = 'pool'");
	$node->reload;
	like((sql($node, 'pool', 'SELECT jit_archive(now())', 'hr_prod'))[1], qr/ERROR:  42501: .*\n.*Login pool is listed/, 'refused');
};
attack 'an administrator for a time only' => sub {
	super('GRANT admin TO hr_owner WITH ADMIN OPTION');
	my $n = ok_do('dev', q{SELECT jit_request('admin', '1 hour', 'x')});
	ok_do('anna', "SELECT jit_approve($n)");
	like(archive(undef, 'dev'), qr/ERROR:  42501: /, 'refused');
	like(archive('BEGIN; SET LOCAL ROLE admin; SELECT jit_archive(now())', 'dev'), qr/ERROR:  42501: /, '... and so it is after SET ROLE');
	$s{dev}->do('ROLLBACK');
	ok_do('anna', "SELECT jit_revoke($n)");
	super('REVOKE admin FROM hr_owner');
};
attack 'in a function, a view and a DO block' => sub {
	my $before = contents();
	super(q{CREATE FUNCTION public.f() RETURNS SETOF json LANGUAGE sql AS 'SELECT jit_archive(now())'; CREATE VIEW public.v AS SELECT jit_archive(now()) AS line; GRANT SELECT ON public.v TO PUBLIC});
	like(archive($_), qr/ERROR:  42501: jit_archive\(\) must be called in a statement of its own/, $_)
	  for 'SELECT public.f()', 'SELECT * FROM public.f()', 'TABLE public.v', q{DO 'BEGIN PERFORM jit_archive(now()); END'};
	is(contents(), $before, 'everything is there');
};
attack 'in a read-only transaction, with NULL' => sub {
	like(archive('BEGIN READ ONLY; SELECT jit_archive(now())'), qr/ERROR:  25006: /, 'read-only');
	$s{carl}->do('ROLLBACK');
	like(archive('SELECT jit_archive(NULL)'), qr/ERROR:  22004: |ERROR:  22023: /, 'NULL');
};

# ---- handed out whole, or not at all

foreach (
	[ 'LIMIT' => 'SELECT jit_archive(now()) LIMIT 1', 'SELECT * FROM jit_archive(now()) LIMIT 1', 'SELECT * FROM jit_archive(now()) OFFSET 1' ],
	[ 'WHERE' => 'SELECT * FROM jit_archive(now()) a WHERE a IS NULL', q{SELECT * FROM jit_archive(now()) a WHERE a::text LIKE '%hr.t1%'} ],
	[ 'nothing of it selected' => 'SELECT FROM jit_archive(now())', 'SELECT 1 FROM jit_archive(now())', 'SELECT count(*) FROM jit_archive(now())', 'SELECT DISTINCT 1 FROM jit_archive(now())' ],
	[ 'another order' => 'SELECT a FROM jit_archive(now()) a ORDER BY a::text', 'SELECT * FROM jit_archive(now()) ORDER BY 1::text' ],
	[ 'something beside it' => 'SELECT jit_archive(now()), 1', 'SELECT jit_archive(now()), jit_archive(now())', 'SELECT jit_archive(now()), generate_series(1, 2)', 'SELECT * FROM jit_archive(now()) WITH ORDINALITY', 'SELECT * FROM ROWS FROM (jit_archive(now()), jit_archive(now()))' ],
	[ 'more than one call of it' => 'SELECT jit_archive(now() - generate_series(1, 2) * interval $$1 h$$)', 'SELECT jit_archive(now()) FROM generate_series(1, 2)', 'SELECT jit_archive(now()) FROM jit.history' ],
	[ 'a cursor, COPY, EXPLAIN, CREATE TABLE AS' => 'BEGIN; DECLARE c CURSOR FOR SELECT jit_archive(now()); FETCH 1 FROM c', 'COPY (SELECT jit_archive(now())) TO STDOUT', 'EXPLAIN ANALYZE SELECT jit_archive(now())', 'CREATE TEMPORARY TABLE x AS SELECT jit_archive(now())' ])
{
	my ($name, @used) = @$_;
	attack $name => sub {
		revoked();
		my $before = contents();
		foreach (@used)
		{
			like(archive($_), qr/ERROR:  42501: jit_archive\(\) must be called in a statement of its own/, $_);
			$s{carl}->do('ROLLBACK');
		}
		is(contents(), $before, 'everything is there');
	};
}

# ---- what goes, and what stays

attack 'requests of each state' => sub {
	clean();
	my @gone = (revoked(), rejected(), canceled());
	my @stay = (pending(), active());
	my $lapsed = pending();
	super("UPDATE jit.requests SET lapses_at = now() WHERE id = $lapsed");
	my $expired = ok_do('dev', q{SELECT jit_request('SELECT ON hr.salary', '1 s', 'x')});
	ok_do('anna', "SELECT jit_approve($expired)");
	$node->poll_query_until('hr_prod', "SELECT status = 'expired' FROM jit.requests WHERE id = $expired") or die 'it does not expire';
	# a sweeper looks
	super(q{SELECT jit_grant('SELECT ON hr.t40', 'eve', '1 s', 'x')});
	$node->poll_query_until('hr_prod', "SELECT status = 'lapsed' FROM jit.requests WHERE id = $lapsed AND (SELECT max(id) FROM jit.requests WHERE status = 'expired') > $lapsed") or die 'it does not lapse';
	my $last = super('SELECT max(id) FROM jit.requests');
	my $newest = super('SELECT request_id FROM jit.events ORDER BY id DESC LIMIT 1');
	my @ended = grep { $_ != $newest } @gone, $lapsed, $expired, $last;
	my $file = archive();
	is(numbers($file), join(' ', sort { $a <=> $b } @ended), 'what has ended is handed out');
	is(there(@ended), '', '... and gone');
	is(there(@stay), "@stay", 'what is pending or active is there');
	is(super("SELECT count(*) FROM jit.events WHERE request_id = $stay[1]"), '3', '... with its events');
};
attack 'of a request everything goes, and is handed out' => sub {
	clean();
	my $n = revoked('why');
	my $rows = super("SELECT (SELECT to_json(r)::text FROM jit.requests r WHERE id = $n), (SELECT to_json(array_agg(i))::text FROM jit.request_items i WHERE request_id = $n), (SELECT to_json(array_agg(v))::text FROM jit.reviews v WHERE request_id = $n), (SELECT to_json(g)::text FROM jit.grants g WHERE request_id = $n), (SELECT to_json(array_agg(e ORDER BY id))::text FROM jit.events e WHERE request_id = $n)");
	rejected();
	my ($line) = lines(archive());
	my $loaded = super("SET jit.l = \$j\$$line\$j\$; SELECT j->>'request', j->>'items', j->>'reviews', j->>'grant', j->>'events' FROM (SELECT current_setting('jit.l')::json) l (j)");
	s/T?(\d\d:\d\d:\d\d(?:\.\d+)?)[+-]\d\d:\d\d/T$1/g for $rows, $loaded;
	is($loaded, $rows, 'each row of each table');
	is(super('SELECT ' . join ' + ', map { my $c = $_ eq 'requests' ? 'id' : 'request_id'; "(SELECT count(*) FROM jit.$_ WHERE $c = $n)" } @tables), '0', 'none is left');
	is(super("$last_archive") =~ s/"(?:before|sha256)": "[^"]*",? ?//gr =~ s/, \}/}/r, '{"items": 1, "events": 6, "grants": 1, "reviews": 1, "requests": 1}', 'the event counts them');
};
attack 'before that time' => sub {
	clean();
	my $old = revoked();
	my $time = super('SELECT clock_timestamp()');
	my @young = (revoked(), revoked());
	is(numbers(archive("SELECT jit_archive('$time')")), $old, 'one is handed out');
	is(there($old, @young), "@young", '... and gone');
	is((lines(archive(q{SELECT jit_archive('-infinity')})))[0], undef, 'nothing is from before -infinity');
	like($s{carl}{last_err}, qr/NOTICE: .*there is nothing to archive/, '... it says so');
	is(super('SELECT event FROM jit.events ORDER BY id DESC LIMIT 1'), 'archived', '... and no event does');
};
attack 'events about none' => sub {
	clean();
	ok_do('carl', q{SELECT jit_set_policy('p', 'high', '$.reason == "p"')});
	ok_do('carl', q{SELECT jit_drop_policy('p')});
	my $n = pending();
	my @lines = lines(archive());
	is(join(' ', map { /^\{"event" : .*"event":"(\w+)"/ ? $1 : $_ } @lines), 'archived archived policy_set policy_dropped', 'each is a line, with those of the last archives');
	is(super(q{SELECT string_agg(event, ' ' ORDER BY id) FROM (SELECT * FROM jit.events ORDER BY id DESC LIMIT 2) e}), 'requested archived', 'they are gone');
	ok_do('dev', "SELECT jit_cancel($n)");
};
attack 'a grant role that is still there' => sub {
	clean();
	my $n = active();
	my $role = super("SELECT role FROM jit.grants WHERE request_id = $n");
	super("CREATE TABLE public.hold (x int); GRANT SELECT ON public.hold TO $role");
	ok_do('anna', "SELECT jit_revoke($n)");
	rejected();
	is(there($n), $n, 'it has ended');
	is(super("SELECT count(*) FROM pg_roles WHERE rolname = '$role'"), '1', 'its role could not be dropped');
	unlike(numbers(archive()), qr/\b$n\b/, 'it is not handed out');
	is(there($n), $n, '... and there');
	super("DROP TABLE public.hold; DROP ROLE $role");
	like(numbers(archive()), qr/\b$n\b/, 'it is when the role has gone');
};
attack 'a grant role that is renamed' => sub {
	clean();
	my $n = active();
	my ($role, $db) = (super("SELECT role FROM jit.grants WHERE request_id = $n"), super("SELECT oid FROM pg_database WHERE datname = 'hr_prod'"));
	super("CREATE TABLE public.hold (x int); GRANT SELECT ON public.hold TO $role");
	ok_do('anna', "SELECT jit_revoke($n)");
	rejected();
	super("SET allow_system_table_mods = on; UPDATE pg_authid SET rolname = 'other' WHERE rolname = '$role'");
	unlike(numbers(archive()), qr/\b$n\b/, 'it is not handed out');
	super('DROP TABLE public.hold; DROP ROLE other');
	like(numbers(archive()), qr/\b$n\b/, 'it is when the role has gone');
};
attack 'the ledger has not settled a grant' => sub {
	clean();
	my $n = revoked();
	rejected();
	super("UPDATE jit.grants SET ended_at = NULL WHERE request_id = $n");
	unlike(numbers(archive()), qr/\b$n\b/, 'it is not handed out');
	super("UPDATE jit.grants SET ended_at = now() WHERE request_id = $n");
	like(numbers(archive()), qr/\b$n\b/, 'it is when that is done');
};
attack 'live access continues it' => sub {
	clean();
	my $first = ok_do('dev', q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x')});
	ok_do('anna', "SELECT jit_approve($first)");
	my $next = ok_do('dev', q{SELECT jit_request('SELECT ON hr.salary, hr.t1', '2 hours', 'x')});
	ok_do('anna', "SELECT jit_approve($next)");
	ok_do('anna', "SELECT jit_revoke($first)");
	my $other = revoked();
	rejected();
	is(numbers(archive()), $other, 'it is not handed out, another is');
	is(there($first, $next), "$first $next", '... it is there');
	ok_do('anna', "SELECT jit_revoke($next)");
	rejected();
	like(numbers(archive()), qr/\b$first $next\b/, 'they are when that has ended, too');
};
attack 'a copy, and what came by restore' => sub {
	clean();
	my @n = (revoked(), active(), pending());
	rejected();
	$s{$_}->quit for keys %s;
	$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE hr_prod');
	$s{$_} = session($node, $_, 'hr_prod') for qw(dev anna carl eve aud);
	$s{super} = session($node, $super, 'hr_prod');
	my $carl = session($node, 'carl', 'copy');
	my ($out, $err) = $carl->do('SELECT jit_archive(now())');
	like($out, qr/^\{"request" : \{"id":$n[0],/m, 'a copy\'s are handed out');
	is($node->safe_psql('copy', "SELECT string_agg(id || ' ' || status, ', ' ORDER BY id) FROM jit.requests WHERE id IN ($n[0], $n[1], $n[2])"), "$n[1] active, $n[2] pending", '... what is open is there');
	is(there(@n), "@n", '... all of the original\'s is');
	$carl->quit;
	$node->safe_psql('postgres', 'DROP DATABASE copy');
	super("UPDATE jit.requests SET origin = '4711/5' WHERE id = $n[0]");
	super("INSERT INTO jit.events (origin, id, at, event, detail, request_id) VALUES ('4711/5', 7, now(), 'requested', '{}', $n[0]), ('4711/6', 7, now() + '1 h', 'requested', '{}', $n[0])");
	my ($line) = grep { /"request" : \{"id":$n[0],/ } lines(archive());
	like($line, qr/"origin":"4711\/5","extends":null,"via":null,.*?\}, "items"/, 'one of another server\'s is handed out');
	like($line, qr/"id":7,.*"origin":"4711\/5","via":null\}[],]/, '... with its events');
	is(super(q{SELECT origin FROM jit.events WHERE id = 7}), '4711/6', '... and without those of a server that has the number, too');
};
attack 'what this transaction has ended' => sub {
	clean();
	my @n = (revoked(), canceled(), pending());
	my $before = contents();
	like(archive("BEGIN; SELECT jit_reject($n[2], 'x'); SELECT jit_archive(now())", 'super'), qr/ERROR:  25001: jit_archive\(\) must come before/, 'refused');
	$s{super}->do('ROLLBACK');
	is(contents(), $before, 'everything is there');
	ok_do('dev', "SELECT jit_cancel($n[2])");
};
attack 'access of the last days' => sub {
	revoked();
	revoked();
	clean();
	like($s{carl}{last_err}, qr/WARNING: .*last 7 days.*\n.*recent_grants/, 'a warning');
};

# ---- removed, and nothing else is

attack 'DELETE, UPDATE and TRUNCATE after it' => sub {
	revoked();
	clean();
	my $append_only = qr/ERROR:  42501: table jit.events is append-only\n.*jit_archive/;
	like(($s{super}->do("BEGIN; SELECT jit_archive(now()); $_; ROLLBACK"))[1], $append_only, $_) for 'DELETE FROM jit.events', 'UPDATE jit.events SET id = id', 'TRUNCATE jit.events';
	like(($s{super}->do("$_"))[1], $append_only, $_) for 'DELETE FROM jit.events', 'SET session_replication_role = replica; DELETE FROM jit.events';
	$s{super}->do('RESET session_replication_role');
};
attack 'any setting' => sub {
	foreach my $name (split /\n/, super(q{SELECT name FROM pg_settings WHERE name LIKE 'jit\_access.%' AND context IN ('user', 'superuser')}))
	{
		foreach my $value ('on', 'off')
		{
			my ($out, $err) = $s{super}->do("BEGIN; SET LOCAL $name = '$value'; DELETE FROM jit.events; ROLLBACK");
			like($err, qr/append-only|invalid value|ERROR:  22023|ERROR:  42501/, "$name = $value");
			$s{super}->do('ROLLBACK');
		}
	}
};
attack 'DELETE after one without the trigger' => sub {
	revoked();
	revoked();
	ok_do('super', 'ALTER TABLE jit.events DISABLE TRIGGER append_only');
	ok_do('super', 'SELECT jit_archive(now())');
	ok_do('super', 'ALTER TABLE jit.events ENABLE ALWAYS TRIGGER append_only');
	like(($s{super}->do('DELETE FROM jit.events'))[1], qr/append-only/, 'refused');
};
attack 'DELETE after one that failed' => sub {
	revoked();
	revoked();
	super(q{CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$; CREATE TRIGGER a BEFORE DELETE ON jit.requests FOR EACH STATEMENT EXECUTE FUNCTION public.fail()});
	like(archive('SELECT jit_archive(now())', 'super'), qr/ERROR:  P0001: no/, 'it fails');
	like(($s{super}->do('DELETE FROM jit.events'))[1], qr/append-only/, 'refused');
	super('DROP TRIGGER a ON jit.requests');
};

attack 'DELETE by a trigger, while it runs' => sub {
	my @n = (revoked(), revoked());
	rejected();
	super(q{CREATE FUNCTION public.more() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM jit.events WHERE event <> 'requested'; RETURN NULL; END$$; CREATE TRIGGER a AFTER DELETE ON jit.requests FOR EACH STATEMENT EXECUTE FUNCTION public.more()});
	my $before = contents();
	like(archive('SELECT jit_archive(now())', 'super'), qr/ERROR:  42501: table jit.events is append-only/, 'refused');
	is(contents(), $before, 'everything is there');
	super('DROP TRIGGER a ON jit.requests');
};

# ---- numbers

attack 'the newest event' => sub {
	clean();
	my $n = revoked();
	my $last = super('SELECT max(id) FROM jit.events');
	is(numbers(archive()), '', 'the request that it is about is not handed out');
	is(super("SELECT count(*) FROM jit.events WHERE request_id = $n"), '4', '... but there, with its events');
	is(super(q{SELECT max(id) FROM jit.events WHERE event = 'archived'}), $last + 1, 'the next has the next number');
	is(numbers(archive()), $n, 'next time it is handed out');
};
attack 'numbers of events' => sub {
	my $last = super('SELECT max(id) FROM jit.events');
	for (1 .. 3)
	{
		my $n = canceled();
		clean();
		is(super(q{SELECT max(id) FROM jit.events}), $last += 4, 'go on');
	}
	is(super('SELECT count(*) FROM jit.events WHERE event <> $$requested$$ AND event <> $$approved$$ AND event <> $$activated$$ AND event <> $$revoked$$ AND event <> $$archived$$ AND event <> $$canceled$$'), '0', 'old ones are gone');
};
attack 'numbers of requests' => sub {
	my $n = revoked();
	rejected();
	clean();
	super('ALTER SEQUENCE jit.request_number RESTART');
	is(there($n), '', 'it is gone');
	my $high = super(q{SELECT setval('jit.request_number', 3000)});
	$n = canceled();
	rejected();
	super('ALTER SEQUENCE jit.request_number RESTART');
	clean();
	cmp_ok(pending(), '>', $n, 'where the sequence is behind what is archived, it goes on after that');
};

# ---- others

attack 'two at once' => sub {
	clean();
	my @n = (revoked(), revoked());
	my $newest = rejected();
	my $file = archive('BEGIN; SELECT jit_archive(now())');
	is(numbers($file), "@n", 'one gets them');
	my $more = revoked();
	rejected();
	is(numbers(archive(undef, 'super')), "$newest $more", 'the other what has come since, at once');
	ok_do('carl', 'ROLLBACK');
	is(there(@n, $newest, $more), "@n", 'what the first has given back is there');
	like(numbers(archive(undef, 'super')), qr/^@n\b/, '... and handed out once');
};
attack 'a row that somebody has locked' => sub {
	clean();
	my @n = (revoked(), revoked());
	rejected();
	ok_do('super', "BEGIN; SELECT FROM jit.requests WHERE id = $n[0] FOR KEY SHARE");
	is(numbers(archive()), $n[1], 'is left');
	ok_do('super', 'COMMIT');
	like(numbers(archive()), qr/^$n[0]\b/, 'until next time');
};
attack 'an item that somebody has locked' => sub {
	clean();
	my @n = (revoked(), revoked());
	rejected();
	my $before = contents();
	ok_do('super', "BEGIN; SELECT FROM jit.request_items WHERE request_id = $n[0] FOR UPDATE");
	like(archive(), qr/ERROR:  55P03: the ledger of hr_prod cannot be changed now/, 'is waited for, but not for good');
	ok_do('super', 'COMMIT');
	is(contents(), $before, 'everything is there');
};
attack 'requests are filed, approved and revoked meanwhile' => sub {
	clean();
	my @n = (revoked(), active(), pending());
	rejected();
	my $file = archive('BEGIN; SELECT jit_archive(now())');
	is(numbers($file), $n[0], 'one is handed out');
	ok_do('anna', "SELECT jit_approve($n[2]); SELECT jit_revoke($n[1])");
	my $new = revoked();
	ok_do('carl', 'COMMIT');
	is(there(@n, $new), "$n[1] $n[2] $new", 'nothing waits, and what has ended since is there');
	is(super("SELECT count(*) FROM jit.events WHERE request_id IN ($n[1], $n[2], $new)"), '11', '... with all events');
};
attack 'a request is revoked, and not committed' => sub {
	my $n = active();
	rejected();
	ok_do('anna', "BEGIN; SELECT jit_revoke($n)");
	unlike(numbers(archive()), qr/\b$n\b/, 'it is not handed out');
	ok_do('anna', 'COMMIT');
	is(super("SELECT string_agg(event, ' ' ORDER BY id) FROM jit.events WHERE request_id = $n"), 'requested approved activated revoked', 'its events are there');
};
attack 'storm: filed, ended and archived at once' => sub {
	clean();
	my $first = super('SELECT max(id) FROM jit.events');
	my $rounds = storm(100, 20);
	$s{dev}->begin(join ' ', "SET client_min_messages = error;", map { "SELECT jit_cancel(jit_request('SELECT ON hr.t$_', '1 hour', 'x'));" } map { $_ % 40 + 1 } 1 .. $rounds);
	my $eve = session($node, 'eve', 'hr_prod');
	$eve->begin(join ' ', "SET client_min_messages = error;", map { "SELECT jit_cancel(jit_request('SELECT ON hr.t$_', '1 hour', 'x'));" } map { $_ % 40 + 1 } 1 .. $rounds);
	my @files;
	push @files, archive(undef, 'carl'), archive(undef, 'super') until $s{dev}->ended && $eve->ended;
	$_->end for $s{dev}, $eve;
	canceled();
	push @files, archive();
	my %seen;
	$seen{$_}++ foreach map { split / /, numbers($_) } @files;
	is(scalar keys %seen, 2 * $rounds, 'each is handed out');
	is(join(' ', grep { $seen{$_} > 1 } keys %seen), '', '... once');
	my %events;
	$events{$_}++ foreach map { my $l = slurp_file($_); $l =~ /"id":(\d+),"at":/g } @files;
	is(join(' ', grep { $events{$_} > 1 } keys %events), '', 'no event twice');
	my $last = super('SELECT min(id) FROM jit.events');
	is(join(' ', grep { !$events{$_} } $first + 1 .. $last - 1), '', '... and none is missing');
	$eve->quit;
};
foreach my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	attack $level => sub {
		clean();
		my @n = (revoked());
		ok_do('carl', "BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM pg_class");
		push @n, revoked();
		rejected();
		is(numbers(archive(q{SELECT jit_archive('infinity')})), "@n", 'what has ended since its snapshot is handed out, too');
		ok_do('carl', 'COMMIT');
		is(there(@n), '', '... and gone');
	};
}

# ---- all or nothing

sub prepared { clean(); my @n = (revoked(), rejected(), canceled()); rejected(); return @n; }

attack 'ROLLBACK' => sub {
	prepared();
	my $before = contents();
	archive('BEGIN; SELECT jit_archive(now())');
	ok_do('carl', 'ROLLBACK');
	is(contents(), $before, 'everything is there');
};
attack 'ROLLBACK TO a savepoint' => sub {
	my @n = prepared();
	my $before = contents();
	archive('BEGIN; SAVEPOINT s; SELECT jit_archive(now())');
	ok_do('carl', 'ROLLBACK TO s; COMMIT');
	is(contents(), $before, 'everything is there, and no event');
};
attack 'a second time in one transaction' => sub {
	my @n = prepared();
	my $before = contents();
	archive('BEGIN; SELECT jit_archive(now())');
	like(archive(), qr/ERROR:  25001: /, 'refused');
	ok_do('carl', 'ROLLBACK');
	is(contents(), $before, 'everything is there');
};
attack 'PREPARE TRANSACTION' => sub {
	prepared();
	my $before = contents();
	archive('BEGIN; SELECT jit_archive(now())', 'super');
	like(($s{super}->do(q{PREPARE TRANSACTION 'x'}))[1], qr/ERROR:  0A000: /, 'refused');
	is(contents(), $before, 'everything is there');
};
attack 'the session is terminated' => sub {
	prepared();
	my $before = contents();
	my $t = session($node, 'carl', 'hr_prod');
	$t->do('BEGIN; SELECT jit_archive(now())');
	super("SELECT pg_terminate_backend($t->{pid}, 10000)");
	is(contents(), $before, 'everything is there');
	eval { $t->quit };
};
attack 'the server crashes before the COMMIT' => sub {
	my @n = prepared();
	my $before = contents();
	my $first = archive('BEGIN; SELECT jit_archive(now())');
	my $lines = slurp_file($first);
	is(numbers($first), "@n", 'they are handed out');
	$node->stop('immediate');
	eval { $_->quit } for values %s;
	$node->start;
	$s{$_} = session($node, $_, 'hr_prod') for qw(dev anna carl eve aud);
	$s{super} = session($node, $super, 'hr_prod');
	is(contents(), $before, 'everything is there');
	my $second = archive('BEGIN; SELECT jit_archive(now())');
	is(slurp_file($second), $lines, 'again the same is handed out');
	ok_do('carl', 'COMMIT');
	$node->stop('immediate');
	eval { $_->quit } for values %s;
	$node->start;
	$s{$_} = session($node, $_, 'hr_prod') for qw(dev anna carl eve aud);
	$s{super} = session($node, $super, 'hr_prod');
	is(there(@n), '', 'after the COMMIT it is gone, over a crash, too');
	is(super("SELECT ($last_archive)->>'sha256'"), Digest::SHA::sha256_hex($lines), '... and the event has the digest of the file');
};
attack 'a COMMIT that fails' => sub {
	prepared();
	my $before = contents();
	archive('BEGIN; CREATE TEMPORARY TABLE t (x int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO t VALUES (1), (1); SELECT jit_archive(now())');
	like(($s{carl}->do('COMMIT'))[1], qr/ERROR:  23505: /, 'fails');
	is(contents(), $before, 'everything is there');
};

# ---- read again

attack 'the digest' => sub {
	canceled("\$1 \\\\ \"quoted\" \xc3\xa4 \t tab");
	prepared();
	my $file = archive();
	is(super("SELECT ($last_archive)->>'sha256'"), Digest::SHA->new(256)->addfile($file)->hexdigest, 'is that of the file');
	like($s{carl}{last_err}, qr/NOTICE: .*\n.*SHA-256 of the lines is [0-9a-f]{64}\./, '... and said');
	is(super("SELECT ($last_archive)->>'events'"), scalar(() = slurp_file($file) =~ /"id":\d+,"at":/g), 'events are counted');
};
attack 'under settings of others' => sub {
	prepared();
	ok_do('carl', q{SET DateStyle = 'German, DMY'; SET IntervalStyle = sql_standard; SET TimeZone = 'Asia/Kathmandu'});
	my $one = slurp_file(archive('BEGIN; SELECT jit_archive(now())'));
	ok_do('carl', 'ROLLBACK; RESET DateStyle; RESET IntervalStyle; RESET TimeZone');
	is(slurp_file(archive('BEGIN; SELECT jit_archive(now())')), $one, 'the same is handed out');
	ok_do('carl', 'ROLLBACK');
};

# What doc/operations.md shows.
my $manual = slurp_file("$FindBin::Bin/../../doc/operations.md");
sub shown { my ($name) = @_; $manual =~ m{^-- \Q$name\E\n(.*?)^```}ms or die "not shown: $name"; return $1; }

attack 'on another server the history reads the same' => sub {
	clean();
	my $n = ok_do('dev', q{SELECT jit_request('SELECT (emp_no, amount), UPDATE (emp_no) ON hr.salary; USAGE ON SCHEMA hr', until => now() + interval '90 min', reason => E'two\nlines \\\\ "q"', ticket => 'INC-1')});
	ok_do('anna', "SELECT jit_approve($n, 'fine', '10 min')");
	ok_do('dev', "SELECT jit_revoke($n)");
	my $when = super("SELECT activated_at FROM jit.requests WHERE id = $n");
	revoked() for 1 .. 3;
	my @n = (revoked("x\ny"), rejected(), canceled());
	rejected();
	# but for the OID of a role of this cluster
	my $rows = 'SELECT (to_jsonb(h) - $$requester_oid$$)::text FROM jit.history h WHERE status <> $$active$$ AND request <> (SELECT max(id) FROM jit.requests)';
	my $history = super($rows);
	my $ledger = super($contents =~ s/jit\.(\w+) x/"(SELECT * FROM jit.$1 x WHERE " . ($1 eq 'requests' ? 'id' : 'request_id') . " IN ($n[0], $n[1], $n[2])) x"/egr);
	my $file = archive();
	my $other = new_server('other');
	$other->safe_psql('postgres', 'CREATE DATABASE history');
	$other->safe_psql('history', 'CREATE EXTENSION jit_access');
	$other->safe_psql('history', shown('load it') =~ s/hr_prod-2026\.json/$file/r);
	$other->safe_psql('history', shown('into the tables of an empty database with the extension'));
	is($other->safe_psql('history', 'SELECT (to_jsonb(h) - $$requester_oid$$)::text FROM jit.history h'), $history, 'jit.history');
	is($other->safe_psql('history', $contents =~ s/jit\.(\w+) x/"(SELECT * FROM jit.$1 x WHERE " . ($1 eq 'requests' ? 'id' : 'request_id') . " IN ($n[0], $n[1], $n[2])) x"/egr), $ledger, 'each row of each table');
	is($other->safe_psql('history', shown('who could read salaries then') =~ s/2026-03-03 14:00\+01/$when/r =~ s/, line->'reviews' AS reviews//r),
		'dev|SELECT (emp_no, amount) ON hr.salary; UPDATE (emp_no) ON hr.salary; USAGE ON SCHEMA hr', 'the query over the file');
	is($other->safe_psql('history', q{SELECT count(*) FROM jit.requests WHERE status IN ('pending', 'active')}), '0', 'nothing of it is open');
	$other->stop;
};

eval { $_->quit } for values %s;
all_attacks_done();
$node->stop;
done_testing();
