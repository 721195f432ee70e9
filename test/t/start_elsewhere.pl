# Starting later, and where: on the standby that was promoted, and never in a copy
# of the database, from a dump, or from rows that somebody has put back.
#
# The attacks are lines of attacks.md.  Guards worker/sweeper.c (what starts, and
# what lapses), and jit.schedule; seen to fail without a look at that.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('later', "max_wal_senders = 5\n", allows_streaming => 1);
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

# ---- copies and dumps

attack 'a database that is copied before the start' => sub {
	my $n = scheduled('3 s');
	super('CREATE DATABASE copy TEMPLATE hr_prod', 'postgres');
	becomes($n, 'active', 'it starts where it was scheduled');
	ok($node->poll_query_until('copy', "SELECT status = 'lapsed' FROM jit.requests WHERE id = $n"), '... and lapses in the copy');
	is(super("SELECT detail ->> 'reason' FROM jit.events WHERE request_id = $n AND event = 'lapsed'", 'copy'), 'it was not scheduled in this database', '... which says why');
	is(super("SELECT count(*) FROM pg_roles WHERE rolname ~ '^jit_grant_.*_$n\$'"), '1', 'one grant role');
};
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
attack 'a dump that is restored before the start' => sub {
	my $n = scheduled('4 s');
	$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('hr_prod') ], 'dumped');
	super('CREATE DATABASE restored OWNER hr_owner', 'postgres');
	system_or_bail('pg_restore', '-d', $node->connstr('restored'), $dump);
	becomes($n, 'active', 'it starts where it was scheduled');
	ok($node->poll_query_until('restored', "SELECT status = 'lapsed' FROM jit.requests WHERE id = $n"), '... and lapses where it was restored');
};
attack 'rows that are restored into the database that they are of' => sub {
	my $n = scheduled('3 s');
	my $rows = super("SELECT r FROM jit.requests r WHERE id = $n");
	super("SELECT jit_revoke($n)");
	super(q{SET session_replication_role = replica; DELETE FROM jit.requests WHERE id = } . $n . "; INSERT INTO jit.requests SELECT (\$r\$$rows\$r\$::jit.requests).*");
	is(super("SELECT status FROM jit.requests WHERE id = $n"), 'scheduled', 'it is there again as it was');
	becomes($n, 'lapsed', 'it does not start');
	like(why($n), qr/not scheduled in this database/, '... and says why');
};

attack 'a dump that is restored after the start' => sub {
	my $n = scheduled('1 s');
	$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dump.2", '-d', $node->connstr('hr_prod') ], 'dumped');
	super('CREATE DATABASE restored2 OWNER hr_owner', 'postgres');
	becomes($n, 'active', 'it starts where it was scheduled');
	system_or_bail('pg_restore', '-d', $node->connstr('restored2'), "$dump.2");
	ok($node->poll_query_until('restored2', "SELECT status <> 'scheduled' FROM jit.requests WHERE id = $n"), '... and settles where it was restored');
	is(super(q{SELECT count(*) FROM jit.events WHERE event = 'activated' AND starts_with(origin, (SELECT system_identifier::text FROM pg_control_system())) AND NOT origin LIKE '%/' || (SELECT oid FROM pg_database WHERE datname = 'hr_prod')}, 'restored2'), '0', '... nothing started there');
};
attack 'a request with a start that is approved in a copy' => sub {
	my $who = $people[ $person++ ];
	my ($n) = sql($node, $who, "SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x', start => clock_timestamp() + interval '4 s')", $db);
	super('CREATE DATABASE copy2 TEMPLATE hr_prod', 'postgres');
	is(scalar sql($node, 'anna', "SELECT jit_approve($n)", 'copy2'), 'scheduled', 'approved there');
	ok($node->poll_query_until('copy2', "SELECT status = 'active' FROM jit.requests WHERE id = $n"), 'it starts there');
	is(super("SELECT status FROM jit.requests WHERE id = $n"), 'pending', '... and nowhere else');
};

# ---- a new primary; the last, as there are two of them then

attack 'a standby is promoted between approval and start' => sub {
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$node->backup('b');
	$standby->init_from_backup($node, 'b', has_streaming => 1);
	$standby->start;
	my $n = scheduled('3 s');
	my $late = scheduled('4 s', '10 min');
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	like(scalar sql($standby, 'anna', "SELECT * FROM jit_show($n)", $db), qr/^  scheduled; it starts at/m, 'the standby knows it');
	$node->stop('immediate');
	$standby->promote;
	becomes($n, 'active', 'it starts on the new primary', $standby);
	on_time($n, $standby);
	is($standby->safe_psql($db, "SELECT status FROM jit.requests WHERE id = $late") =~ /scheduled|active/ ? 1 : 0, 1, '... as others do later');
	$standby->stop;
};

all_attacks_done();
done_testing();
