# Parallel queries of a user's take all worker processes, so that no sweeper can
# be started; or sweepers hang.  What ends only with memberships (a large
# object, a sequence, what has_table_privilege() says) ends within two seconds
# all the same, in all databases, by the spare sweeper.
#
# Guards the spare sweeper, its lock_timeout (sweeper.c), and that roles go
# before the ledger.  The attacks are lines of attacks.md.  Seen to fail without
# a spare sweeper, without its lock_timeout, and with others helping only after
# five seconds.
#
# Alone: measures how late the end comes.
use strict;
use warnings;
use File::Basename qw(basename);
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

# the launchers of ours and of logical replication, the spare sweeper, and three
# for whoever comes first
my $node = new_server('slot', "max_worker_processes = 6\nmax_parallel_workers = 6\nautovacuum = off\nlog_statement = none");
my $super = getpwuid($<) . '';
my @dbs = ('d1', 'd2');

$node->safe_psql('postgres', 'CREATE ROLE dev LOGIN; CREATE ROLE boss LOGIN CREATEROLE');
$node->safe_psql('postgres', "CREATE DATABASE $_") for @dbs, 'd3';
$node->safe_psql($_, q{
	CREATE EXTENSION jit_access;
	CREATE TABLE t AS SELECT 1 AS x;
	CREATE SEQUENCE s;
	SELECT lo_from_bytea(4711, 'secret');
}) for @dbs, 'd3';
$node->safe_psql('d3', q{
	CREATE TABLE big AS SELECT i AS x FROM generate_series(1, 10000) i; ALTER TABLE big SET (parallel_workers = 4);
	GRANT SELECT ON big TO dev;
	CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN new; END $$;
});

my %dev = map { $_ => session($node, 'dev', $_) } @dbs;
my $watch = session($node, $super, 'd1');
my %try = (
	'lo_get' => 'SELECT lo_get(4711)',
	'lo_put' => q{SELECT lo_put(4711, 0, 'x')},
	'nextval' => q{SELECT nextval('s')},
	'has_table_privilege' => q{SELECT 1 / has_table_privilege('t', 'SELECT')::int},
);

# dev's parallel query has all places but those that hanging sweepers have
my $hog;
sub take_all
{
	my ($n) = @_;
	$hog = session($node, 'dev', 'd3');
	$hog->do('SET max_parallel_workers_per_gather = 4; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET jit = off');
	wait_until(sub {
		$hog->begin('SELECT count(pg_sleep(0.5)) FROM big');
		return 1 if wait_until(sub { $watch->do(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'}) == $n }, 1);
		$watch->do("SELECT pg_cancel_backend($hog->{pid})");
		$hog->end;
		return 0;
	}, 30) or die 'there are places left';
	return;
}
sub leave_all
{
	$watch->do("SELECT pg_terminate_backend($hog->{pid})");
	eval { $hog->quit };
	return;
}

# Ten grants in each of two databases, which end at the same moment, or one
# after the other; returns when the last one does.
sub granted
{
	my ($seconds, $apart) = @_;
	my $last = '';
	foreach my $db (@dbs)
	{
		$node->safe_psql($db, sprintf q{SELECT jit_grant('SELECT ON t; USAGE ON SEQUENCE s; SELECT, UPDATE ON LARGE OBJECT 4711', 'dev', '%s s'::interval + i * interval '%s s', 'test') FROM generate_series(1, 10) i}, $seconds, $apart // 0);
		my $end = $node->safe_psql($db, q{SELECT max(expires_at) FROM jit.requests WHERE status = 'active'});
		$last = $end if $end gt $last;
	}
	foreach my $db (@dbs)
	{
		foreach my $how (sort keys %try)
		{
			my ($out, $err) = $dev{$db}->do($try{$how});
			is($err, '', "$db: $how works");
		}
	}
	return $last;
}

# Everything is denied so many seconds after that moment.
sub denied_within
{
	my ($end, $seconds) = @_;
	wait_until(sub { $watch->do("SELECT clock_timestamp() >= '$end'") eq 't' }) or die 'the end does not come';
	foreach my $how (sort keys %try)
	{
		foreach my $db (@dbs)
		{
			my $err = '';
			wait_until(sub { $err = ($dev{$db}->do($try{$how}))[1]; return $err =~ /ERROR/ }, 10);
			like($err, qr/permission denied|division by zero/, "$db: $how is denied");
			my $late = $watch->do("SELECT extract(epoch FROM clock_timestamp() - '$end')");
			cmp_ok($late, '<', $seconds, sprintf('... after %.2f s', $late));
		}
	}
	return;
}
my $no_members = q{SELECT count(*) = 0 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE r.rolname LIKE 'jit\_grant\_%' AND r.rolvaliduntil < clock_timestamp()};
sub spare_pid
{
	my ($postmaster) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');
	foreach my $dir (glob '/proc/[0-9]*')
	{
		# they come and go
		my ($title, $status) = map { eval { slurp_file("$dir/$_") } // '' } qw(cmdline status);
		return basename($dir) if $title =~ /spare sweeper/ && $status =~ /^PPid:\s+$postmaster$/m;
	}
	return;
}

take_all(3);
my $offset = -s $node->logfile;
attack 'all worker processes are taken' => sub {
	denied_within(granted(3), 2);
};
attack 'twenty deadlines, one after the other' => sub {
	denied_within(granted(3, 0.3), 2);
};
attack 'the spare sweeper has just been there' => sub {
	my $first = granted(3);
	my $second = granted(3.2);
	denied_within($second, 2);
};
attack 'the spare sweeper is terminated' => sub {
	my $end = granted(5);
	my $pid;
	ok(wait_until(sub { $pid = spare_pid() }, 10), 'there is one');
	kill 'TERM', $pid;
	ok(wait_until(sub { my $new = spare_pid(); return $new && $new != $pid }, 10), 'another one comes');
	denied_within($end, 2);
};
attack 'the launcher is terminated' => sub {
	my $end = granted(5);
	my $pid = launcher_pid($node);
	$watch->do("SELECT pg_terminate_backend($pid)");
	denied_within($end, 2);
};
attack 'the database that it would go to is locked' => sub {
	my $end = granted(4);
	my $s = session($node, $super, 'd1');
	my (undef, $err) = $s->do('BEGIN; ALTER DATABASE postgres RENAME TO elsewhere');
	is($err, '', 'locked');
	denied_within($end, 2);
	$s->do('ROLLBACK');
	$s->quit;
};
attack 'the memberships are locked, in a transaction left open' => sub {
	my $end = granted(4);
	my $s = session($node, 'dev', 'd1');
	$s->do(q{BEGIN; SELECT jit_revoke(request) FROM jit.my_requests WHERE status = 'active'});
	denied_within($end, 5);
	ok($node->poll_query_until('d1', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $s->{pid}"), 'whoever had them locked was terminated');
	eval { $s->quit };
};
attack 'ledgers and the log' => sub {
	my $log = substr(slurp_file($node->logfile), $offset);
	cmp_ok(scalar(() = $log =~ /no sweeper could be started/g), '<=', 2, 'that no sweeper could be started was said once, and by a new launcher');
	cmp_ok(scalar(() = $log =~ /spare sweeper" \(PID \d+\) exited with exit code 1/g), '<', 40, 'the spare one came and went with the deadlines');
	cmp_ok($node->safe_psql('d1', q{SELECT count(*) FROM jit.requests WHERE status = 'active'}), '>', 0, 'ledgers wait');
	leave_all();
	ok($node->poll_query_until($_, q{SELECT count(*) = 0 FROM jit.requests WHERE status = 'active'}), "$_: ... and follow") for @dbs;
	ok($node->poll_query_until('d1', q{SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit\_grant\_%'}), '... and so do roles');
};

# a sweeper that hangs in a third database: while it does, no other writes
# events
sub hang
{
	$node->safe_psql('d3', q{CREATE TRIGGER hang BEFORE INSERT ON jit.events FOR EACH ROW WHEN (new.event = 'expired') EXECUTE FUNCTION hang(); SELECT jit_grant('SELECT ON t', 'dev', '1 s', 'test')});
	$node->poll_query_until('d1', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'jit_access sweeper' AND datname = 'd3' AND wait_event = 'PgSleep'}) or die 'it does not hang';
	return;
}
# granted before, since no event can be written after
attack 'a sweeper of a third database hangs' => sub {
	my $end = granted(5);
	hang();
	is($watch->do($no_members), 't', 'what it is for has ended');
	denied_within($end, 2);
};
attack 'twenty deadlines, one after the other, and a sweeper of a third database hangs' => sub {
	end_hang();
	my $end = granted(7, 0.3);
	hang();
	denied_within($end, 2);
};
attack 'a sweeper of a third database hangs, and the other places are taken' => sub {
	end_hang();
	my $end = granted(7);
	hang();
	take_all(2);
	denied_within($end, 2);
	leave_all();
	end_hang();
	ok($node->poll_query_until($_, q{SELECT count(*) = 0 FROM jit.requests WHERE status = 'active'}), "$_: ledgers follow") for @dbs;
};
sub end_hang
{
	$node->safe_psql('d3', q{SET lock_timeout = '10 s'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_type = 'jit_access sweeper'; DROP TRIGGER hang ON jit.events});
	$node->poll_query_until('d3', q{SELECT count(*) = 0 FROM jit.requests WHERE status = 'active'}) or die 'it goes on hanging';
	return;
}

eval { $_->quit } for values %dev, $watch;
all_attacks_done();
$node->stop;
done_testing();
