# Starting later, whatever happens to the server meanwhile: without workers, over
# a crash and a restart, on the standby that was promoted, with the clock set
# back.
#
# The attacks are lines of attacks.md.  Guards worker/sweeper.c (what starts).
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('later', "restart_after_crash = on\n");
create_hr($node);
my @people = map { "d$_" } 1 .. 20;
$node->safe_psql('hr_prod', join(";\n", map { "CREATE ROLE $_ LOGIN" } @people) . '; GRANT USAGE ON SCHEMA hr TO PUBLIC');
my ($person, $db) = (0, 'hr_prod');
sub super { return $node->safe_psql($_[1] // $db, $_[0]); }

# One of its own for somebody, approved; its number.
sub scheduled
{
	my ($start, $for) = @_;
	my $who = $people[ $person++ ];
	my ($n, $err) = sql($node, $who, "SELECT jit_request('SELECT ON hr.salary', '" . ($for // '1 hour') . "', 'x', start => clock_timestamp() + interval '$start')", $db);
	die $err unless $n =~ /^\d+$/;
	my ($out, $failed) = sql($node, 'anna', "SELECT jit_approve($n)", $db);
	die $failed unless $out eq 'scheduled';
	return $n;
}
sub becomes
{
	my ($n, $status, $name, $where) = @_;
	my $server = $where // $node;
	ok(wait_until(sub { (eval { $server->safe_psql($db, "SELECT status FROM jit.requests WHERE id = $n") } // '') eq $status }), $name)
	  or diag($server->safe_psql($db, "SELECT status, (SELECT max(detail ->> 'reason') FROM jit.events WHERE request_id = $n) FROM jit.requests WHERE id = $n"));
	return;
}
sub on_time { return is($_[1]->safe_psql($db, "SELECT expires_at = start + duration AND activated_at >= start FROM jit.requests WHERE id = $_[0]"), 't', '... for what is left'); }
sub why { return super("SELECT detail ->> 'reason' FROM jit.events WHERE request_id = $_[0] AND event = 'lapsed'"); }

attack 'the launcher is terminated before the start' => sub {
	my $n = scheduled('2 s');
	super(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'jit_access launcher'});
	becomes($n, 'active', 'it starts');
	on_time($n, $node);
};
attack 'the launcher is terminated again and again around the start' => sub {
	my $n = scheduled('1 s');
	super(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type ~ 'jit_access'; SELECT pg_sleep(0.5)}) for 1 .. 3;
	becomes($n, 'active', 'it starts when it is let be');
	on_time($n, $node);
};
attack 'the launcher does not run at the start' => sub {
	stop_launcher($node);
	my $n = scheduled('1 s');
	super('SELECT pg_sleep(1.2)');
	is(super("SELECT status FROM jit.requests WHERE id = $n"), 'scheduled', 'nothing starts');
	continue_launcher();
	becomes($n, 'active', 'it starts when that goes on');
	on_time($n, $node);
};
attack 'the launcher does not run over the whole window' => sub {
	stop_launcher($node);
	my $n = scheduled('1 s', '1 s');
	super('SELECT pg_sleep(2.1)');
	is(sql($node, 'anna', "SELECT status FROM jit_show($n) s (line), jit.requests_now WHERE id = $n LIMIT 0", $db) // '', '', 'nobody reads the tables');
	like(scalar sql($node, 'anna', "SELECT * FROM jit_show($n)", $db), qr/^  lapsed at/m, 'it is said to have lapsed');
	continue_launcher();
	becomes($n, 'lapsed', 'it lapses');
	like(why($n), qr/its window has ended/, '... and says why');
};
my ($over, $missed);
attack 'a crash of the server over the start' => sub {
	my $n = scheduled('1 s');
	$over = scheduled('5 s');
	$missed = scheduled('5 s', '1 s');
	$node->stop('immediate');
	sleep 1;
	$node->start;
	becomes($n, 'active', 'it starts after the recovery');
	on_time($n, $node);
};
attack 'the server is down over the start' => sub {
	$node->stop;
	# until the window of the other has ended
	sleep 5;
	$node->start;
	becomes($over, 'active', 'it starts when it is back');
	on_time($over, $node);
};
attack 'the server is down over the whole window' => sub {
	becomes($missed, 'lapsed', 'it lapses');
	is(super("SELECT count(*) FROM jit.events WHERE request_id = $missed AND event = 'activated'"), '0', '... and never started');
};

# ---- the clock

attack 'the clock is set back before the start' => sub {
	my ($library) = glob '/usr/lib/*/faketime/libfaketime.so.1';
	plan skip_all => 'libfaketime is not installed' unless defined $library;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/clock';
	my $set = sub { append_to_file("$file.new", "$_[0]\n"); rename "$file.new", $file or die; };
	$set->('+0');
	$node->stop;
	{
		local %ENV = (%ENV, LD_PRELOAD => $library, FAKETIME_TIMESTAMP_FILE => $file, FAKETIME_NO_CACHE => 1,
			DONT_FAKE_MONOTONIC => 1, FAKETIME_DONT_FAKE_MONOTONIC => 1, FAKETIME_DONT_RESET => 1);
		$node->start;
	}
	my $n = scheduled('3 s');
	$set->('-7200');
	super('SELECT jit.clock()');
	my $now = super('SELECT jit.clock()');
	becomes($n, 'active', 'it starts when so much time has gone by');
	is(super("SELECT jit.clock() - '$now' < interval '20 s' AND clock_timestamp() < start FROM jit.requests WHERE id = $n"), 't', '... not when the clock says so');
	$set->('+0');
	$node->stop;
	$node->start;
};

all_attacks_done();
done_testing();
