# jit_events_after() hands each event out once, in the order of commits, and
# takes no mark of another history; "expiring" comes once for each deadline, in
# time.
#
# The attacks are lines of attacks.md.  Seen to fail without the digest in the
# mark, without the look for an archive, without the check of the origin, with
# warned_of not written, and with the due time noted without warn_before.
#
# Alone: measures when "expiring" comes.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('feed', "jit_access.warn_before = '2 s'\njit_access.max_pending = 1000\njit_access.auditor_role = 'aud'\njit_access.admin_role = 'adm'\n", allows_streaming => 1);
create_hr($node);
$node->safe_psql('hr_prod', q{CREATE ROLE aud; CREATE ROLE adm; CREATE ROLE paul LOGIN; CREATE ROLE carl LOGIN; GRANT aud TO paul; GRANT adm TO carl});
my $me = getpwuid($<) . '';
sub super { return $node->safe_psql($_[1] // 'hr_prod', $_[0]); }
sub files { return super(q{SELECT jit_grant('SELECT ON hr.salary', 'dev', '1 hour', 'x') FROM generate_series(1, 3)}); }

# Reads on from a mark; returns the last one, and "id event" of each.
sub read_on
{
	my ($mark, %opt) = @_;
	my $after = defined $mark ? "'$mark'" : 'NULL';
	my $n = $opt{n} // 1000;
	my ($out, $err) = sql($opt{node} // $node, $opt{user} // $me, "SELECT mark, id, event FROM jit_events_after($after, $n)", $opt{db} // 'hr_prod');
	die $err if $err =~ /ERROR/ && !$opt{fails};
	my @rows = map { [ split /\|/ ] } split /\n/, $out;
	return $err if $opt{fails};
	return (@rows ? $rows[-1][0] : $mark, map { "$_->[1] $_->[2]" } @rows);
}
sub all_ids { return map { "$_" } split /\n/, super('SELECT id || $$ $$ || event FROM jit.events ORDER BY id'); }
my $refused = qr/ERROR:  55000: .*cannot be continued.*HINT: .*SELECT \* FROM jit_events_after\(\)/s;

files();
my ($end) = read_on();

attack 'one at a time' => sub {
	my ($mark, @seen);
	for (1 .. 100)
	{
		my ($next, @got) = read_on($mark, n => 1);
		last unless @got;
		push @seen, @got;
		$mark = $next;
	}
	is_deeply(\@seen, [ all_ids() ], 'each once, in order');
	is((read_on($mark))[0], $mark, 'the mark of the last one stays good while nothing comes');
	files();
	my ($next, @got) = read_on($mark);
	is_deeply([ @seen, @got ], [ all_ids() ], '... and goes on from there');
};
attack 'the same mark twice' => sub {
	my ($a, @first) = read_on($end);
	my ($b, @second) = read_on($end);
	is_deeply(\@second, \@first, 'the same events');
	cmp_ok(scalar @first, '>', 0, '... and there are some');
};
attack 'a snapshot of before' => sub {
	my $s = session($node, $me, 'hr_prod');
	$s->do('BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM hr.salary');
	files();
	my @rows = split /\n/, $s->do('SELECT id FROM jit_events_after(NULL, 10000)');
	is(join(' ', @rows), join(' ', 1 .. @rows), 'what is handed out has no gaps');
	$s->quit;
};
attack 'who is nobody' => sub {
	like(read_on(undef, user => $_, fails => 1), qr/ERROR:  42501: permission denied to read events\nDETAIL: .*auditors/, "$_ is refused") for qw(dev eve anna);
};
attack 'an auditor and an administrator' => sub {
	is_deeply([ (read_on(undef, user => $_))[ 1 .. 3 ] ], [ (all_ids())[ 0 .. 2 ] ], "$_ reads it") for qw(paul carl);
};
attack 'a function of an auditor, called by others' => sub {
	super('CREATE SCHEMA p AUTHORIZATION aud; GRANT USAGE ON SCHEMA p TO PUBLIC');
	$node->safe_psql('hr_prod', 'SET ROLE aud; CREATE FUNCTION p.f() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$SELECT count(*) FROM jit_events_after()$$');
	like((sql($node, 'eve', 'SELECT p.f()', 'hr_prod'))[1], qr/ERROR:  42501: permission denied to read events/, 'nothing');
};
attack 'what is no mark' => sub {
	my @parts = split /:/, $end;
	foreach my $mark ('x', '1', q{' OR true --}, '0/0', "$end ", ":1:1:1", '-1', join(':', @parts[ 0 .. 2 ]), 'x' x 100_000, "$parts[0]:99999999999999999999:1:1")
	{
		(my $quoted = $mark) =~ s/'/''/g;
		like((sql($node, $me, "SELECT count(*) FROM jit_events_after('$quoted')", 'hr_prod'))[1], qr/ERROR:  (?:22023|55000|54000): /, 'refused: ' . substr($mark, 0, 20));
	}
};
attack 'how many: none, too many, NULL' => sub {
	like((sql($node, $me, "SELECT count(*) FROM jit_events_after(NULL, $_)", 'hr_prod'))[1], qr/ERROR:  220\d\d: n must/, "n => $_") for 0, -1, 10001, 'NULL';
};
attack 'a mark of another event' => sub {
	my @parts = split /:/, $end;
	$parts[1]--;
	like(read_on(join(':', @parts), fails => 1), $refused, 'refused: the digest is another one\'s');
};
attack 'a mark of another database' => sub {
	super('CREATE DATABASE other', 'postgres');
	super('CREATE EXTENSION jit_access; SELECT jit_set_flow($$low$$, $$[]$$)', 'other');
	like(read_on($end, db => 'other', fails => 1), $refused, 'refused');
	cmp_ok(scalar(my @all = read_on(undef, db => 'other')), '>', 1, '... which has its own');
};
attack 'a mark in a copy of the database' => sub {
	ok(wait_until(sub { ($node->psql('postgres', 'CREATE DATABASE copied TEMPLATE hr_prod'))[0] == 0 }), 'copied');
	like(read_on($end, db => 'copied', fails => 1), qr/ERROR:  55000: .*DETAIL: .*(?:copied|restored)/s, 'refused');
	ok(wait_until(sub { ($node->psql('postgres', 'DROP DATABASE copied WITH (FORCE)'))[0] == 0 }), 'gone');
};

# what lost some: a backup, and what came after it
files();
$node->backup('b');
my ($early) = read_on();
my ($kept) = split /\n/, super('SELECT max(id) FROM jit.events');
files();
my ($late) = read_on();
my $back = PostgreSQL::Test::Cluster->new('back');
$back->init_from_backup($node, 'b');
$back->start;
attack 'a mark that is still good after a restore in place' => sub {
	my ($mark, @got) = read_on($early, node => $back);
	is_deeply([ grep { (split / /)[0] <= $kept } @got ], [], 'goes on');
};
attack 'a mark of what was lost' => sub {
	like(read_on($late, node => $back, fails => 1), $refused, 'refused');
};
attack 'a mark of what was lost, when others have come up to its number' => sub {
	$back->safe_psql('hr_prod', q{SELECT jit_grant('SELECT ON hr.salary', 'dev', '1 hour', 'x') FROM generate_series(1, 5)});
	my $err = read_on($late, node => $back, fails => 1);
	like($err, $refused, 'refused');
	like($err, qr/another one has its number/, '... and it says why');
};
$back->stop;

attack 'on a standby' => sub {
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($node, 'b', has_streaming => 1);
	$standby->start;
	files();
	$node->wait_for_catchup($standby);
	my ($mark, @got) = read_on($early, node => $standby);
	my ($there, @expected) = read_on($early);
	is_deeply(\@got, \@expected, 'the same');
	$standby->stop;
};
attack 'what nobody has read yet, archived' => sub {
	my ($before) = read_on();
	# what is ended goes, what is active stays
	super(q{SELECT jit_revoke_from('dev', 'test')});
	my $s = session($node, $me, 'hr_prod');
	is((read_on($before))[0] eq $before, '', 'there is something to read');
	$s->do('SELECT * FROM jit_archive(clock_timestamp())');
	$s->do('SELECT * FROM jit_archive(clock_timestamp())') for 1 .. 2;
	like(read_on($before, fails => 1), $refused, 'refused');
	my ($mark, @got) = read_on();
	is_deeply(\@got, [ all_ids() ], 'begun anew, it has all that there is');
	files();
	my ($next, @more) = read_on($mark);
	is_deeply([ @got, @more ], [ all_ids() ], '... and goes on over what had been archived before');
	$s->quit;
};
attack 'what was read, archived' => sub {
	my $n = super(q{SELECT jit_grant('SELECT ON hr.salary', 'eve', '1 hour', 'x')});
	super("SELECT jit_revoke($n)");
	my ($mark) = read_on();
	files();
	($mark) = read_on($mark);
	super('SELECT * FROM jit_archive(clock_timestamp())');
	my ($next, @got) = read_on($mark);
	like("@got", qr/archived$/, 'it goes on');
};

# ---- expiring

sub expiring { return super("SELECT count(*) FROM jit.events WHERE event = 'expiring' AND request_id = $_[0]"); }
sub granted { return super("SELECT jit_grant('SELECT ON hr.salary', '$_[0]', '$_[1]', 'x')"); }
sub warned
{
	my ($n, $times) = @_;
	ok(wait_until(sub { expiring($n) == $times }, 20), "told, $times in all");
	is(super(qq{SELECT at >= (detail->>'expires_at')::timestamptz - interval '2.1 s' AND at < (detail->>'expires_at')::timestamptz - interval '0.5 s'
		FROM jit.events WHERE event = 'expiring' AND request_id = $n ORDER BY id DESC LIMIT 1}), 't', '... in time');
	return;
}
$node->safe_psql('hr_prod', 'CREATE ROLE ' . $_ . ' LOGIN') for map { "e$_" } 1 .. 6;

attack 'a deadline' => sub {
	my $n = granted('e1', '6 s');
	warned($n, 1);
	ok(wait_until(sub { super("SELECT status FROM jit.requests WHERE id = $n") eq 'expired' }, 20), 'it expires');
	is(expiring($n), '1', '... and nothing more is told');
	is(events_of($node, $n) =~ s/.*(expiring, expired)$/$1/r, 'expiring, expired', '... in that order');
};
attack 'access that is shorter than twice the time' => sub {
	my $n = granted('e2', '3 s');
	ok(wait_until(sub { super("SELECT status FROM jit.requests WHERE id = $n") eq 'expired' }, 20), 'it expires');
	is(expiring($n), '0', 'nothing is told');
};
attack 'a deadline that is moved, once it was told of' => sub {
	my $n = granted('e3', '5 s');
	warned($n, 1);
	super(qq{DO \$\$ BEGIN EXECUTE format('ALTER ROLE %I VALID UNTIL %L', (SELECT role FROM jit.grants WHERE request_id = $n), clock_timestamp() + interval '6 s'); END \$\$});
	warned($n, 2);
};
attack 'a deadline that comes nearer' => sub {
	my $n = granted('e4', '1 hour');
	super(qq{DO \$\$ BEGIN EXECUTE format('ALTER ROLE %I VALID UNTIL %L', (SELECT role FROM jit.grants WHERE request_id = $n), clock_timestamp() + interval '5 s'); END \$\$});
	warned($n, 1);
};
attack 'it is revoked before' => sub {
	my $n = granted('e5', '5 s');
	super("SELECT jit_revoke($n)");
	my $m = granted('e6', '5 s');
	warned($m, 1);
	is(expiring($n), '0', 'nothing is told');
};
attack 'a setting that makes it due, and a crash' => sub {
	my $n = granted('e1', '10 min');
	super("ALTER SYSTEM SET jit_access.warn_before = '5 min'", 'postgres');
	super('SELECT pg_reload_conf()', 'postgres');
	is(expiring($n), '0', 'not yet');
	super("ALTER SYSTEM SET jit_access.warn_before = '299 s'", 'postgres');
	my $m = granted('e2', '599 s');
	super(qq{DO \$\$ BEGIN EXECUTE format('ALTER ROLE %I VALID UNTIL %L', (SELECT role FROM jit.grants WHERE request_id = $m), (SELECT activated_at + interval '598 s' FROM jit.requests WHERE id = $m)); END \$\$});
	$node->stop('immediate');
	$node->start;
	super("ALTER SYSTEM SET jit_access.warn_before = '2 s'", 'postgres');
	super('SELECT pg_reload_conf()', 'postgres');
	my $o = granted('e3', '5 s');
	warned($o, 1);
	is(expiring($_), '0', 'nothing that is not due is told') for $n, $m;
};
attack 'a sweeper that comes twice' => sub {
	my $n = granted('e4', '30 s');
	super("ALTER SYSTEM SET jit_access.warn_before = '14 s'", 'postgres');
	super('SELECT pg_reload_conf()', 'postgres');
	ok(wait_until(sub { expiring($n) == 1 }, 40), 'told');
	$node->stop('immediate');
	$node->start;
	ok(wait_until(sub { super("SELECT status FROM jit.requests WHERE id = $n") eq 'expired' }, 40), 'it expires');
	is(expiring($n), '1', '... once');
};

$node->stop;
all_attacks_done();
done_testing();
