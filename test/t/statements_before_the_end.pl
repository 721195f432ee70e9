# Who uses access that ends within jit_access.warn_before is told until when, by
# a NOTICE of the first statement that does, once in a session for each
# deadline, and how to go on.  Nobody is told of access that isn't their own.
#
# Guards the end of enforce/statements.c.  The attacks are lines of attacks.md.
# Seen to fail with ends told of over and over; with what owners of functions
# have told to callers; with the first of several grants for the same thing taken
# for the one that ends it.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;
use Protocol;

my $node = new_server('soon', "jit_access.warn_before = 5min\nwal_level = replica\nmax_wal_senders = 5\nhot_standby = on\nmax_connections = 30\n", allows_streaming => 1);
create_hr($node);
my $super = getpwuid($<) . '';
sub super { return $node->safe_psql($_[1] // 'hr_prod', $_[0]); }
super('CREATE DATABASE bare', 'postgres');
super(q{
	CREATE ROLE oncall; GRANT oncall TO dev; GRANT USAGE ON SCHEMA hr TO oncall, eve; CREATE ROLE hr_reader; GRANT USAGE ON SCHEMA hr TO hr_reader;
	GRANT CREATE ON SCHEMA public TO dev;
	SET ROLE hr_owner; CREATE TABLE hr.t1 AS SELECT 1 AS x; CREATE TABLE hr.t2 AS SELECT 1 AS x; CREATE TABLE hr.t3 AS SELECT 1 AS x; CREATE TABLE hr.free AS SELECT 1 AS x;
	GRANT SELECT ON hr.free TO PUBLIC; CREATE TABLE hr.reader AS SELECT 1 AS x; GRANT SELECT ON hr.reader TO hr_reader;
});
super('CREATE TABLE far AS SELECT 1 AS x; GRANT SELECT ON far TO hr_reader', $_) for 'postgres', 'bare';

# Access of dev's for so long; what there was before is gone.
sub given
{
	my ($duration, $access, $who) = @_;
	return super(sprintf q{SELECT jit_grant('%s', '%s', '%s', 'x')}, $access // 'SELECT ON hr.t1', $who // 'dev', $duration // '4 minutes');
}
sub none { super("SELECT jit_revoke_from('$_', 'x')") for 'dev', 'oncall'; return; }
my $soon = qr/NOTICE:  00000: request (\d+) ends at (\S+ \S+); to go on: SELECT jit_extend\(\1, '1 hour', 'why'\)\n/;
sub times_told { my $err = shift; return scalar(() = $err =~ /NOTICE:  00000: request \d+ (?:in \w+ )?ends at /g); }
sub numbers_told { my $err = shift; return join ' ', sort { $a <=> $b } $err =~ /request (\d+) (?:in \w+ )?ends at /g; }
sub once { my ($s, $sql) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; my ($out, $err) = $s->do($sql); is(times_told($err), 1, "told: $sql") or diag($err); return; }
sub nothing { my ($s, $sql) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; my ($out, $err) = $s->do($sql); is(times_told($err), 0, "nothing: $sql") or diag($err); return; }
# A session, in place of the last one.
my $session;
sub as { $session->quit if $session; return $session = session($node, $_[0] // 'dev', $_[1] // 'hr_prod'); }

attack 'within the time' => sub {
	my $n = given();
	my $s = as();
	my ($out, $err) = $s->do('SELECT x FROM hr.t1');
	is($out, '1', 'the row');
	like($err, qr/\A.*$soon/, 'told');
	like($err, qr/request $n ends/, '... which request');
	my $until = super("SELECT to_char(date_trunc('second', rolvaliduntil), 'YYYY-MM-DD HH24:MI:SS') FROM pg_roles JOIN jit.grants ON role = rolname WHERE request_id = $n");
	like($err, qr/ends at \Q$until\E/, '... until when');
	nothing($s, 'SELECT x FROM hr.t1') for 1, 2;
	once(as(), 'SELECT x FROM hr.t1');
};
attack 'long before' => sub { none(); given('1 hour'); nothing(as(), 'SELECT x FROM hr.t1'); };
attack "what doesn't rely on it" => sub {
	none();
	given();
	my $s = as();
	nothing($s, $_) for 'SELECT x FROM hr.free', 'BEGIN', 'SET work_mem = 100', 'SELECT 1', 'TABLE jit.my_access', 'COMMIT';
	once($s, 'SELECT x FROM hr.t1');
};
attack 'several requests' => sub {
	none();
	my ($n1, $n2) = (given('4 minutes', 'SELECT ON hr.t1'), given('3 minutes', 'SELECT ON hr.t2'));
	given('1 hour', 'SELECT ON hr.t3');
	my $err = (as()->do('SELECT FROM hr.t1, hr.t2, hr.t3'))[1];
	is(numbers_told($err), "$n1 $n2", 'both, and not the third');
};
attack 'what another grant goes on with' => sub {
	none();
	given('4 minutes');
	my $s = as();
	my $n = given('2 hours', 'SELECT ON hr.t1, hr.t2');
	nothing($s, 'SELECT x FROM hr.t1');
	super("SELECT jit_revoke($n)");
	once($s, 'SELECT x FROM hr.t1');
};
attack 'a deadline that is moved' => sub {
	none();
	my $n = given('1 hour');
	my $role = super("SELECT role FROM jit.grants WHERE request_id = $n");
	my $s = as();
	nothing($s, 'SELECT x FROM hr.t1');
	foreach ([ '3 minutes', 1 ], [ '2 hours', 0 ], [ '4 minutes', 1 ])
	{
		super(qq{DO \$\$ BEGIN EXECUTE format('ALTER ROLE $role VALID UNTIL %L', now() + interval '$_->[0]'); END \$\$}, 'postgres');
		$_->[1] ? once($s, 'SELECT x FROM hr.t1') : nothing($s, 'SELECT x FROM hr.t1');
		nothing($s, 'SELECT x FROM hr.t1');
	}
};
attack 'a statement that fails, is denied, or is rolled back' => sub {
	none();
	given();
	my $s = as();
	nothing($s, 'SELECT 1 / (x - 1) FROM hr.t1');
	nothing($s, 'SELECT FROM hr.t1, hr.t2');
	once($s, 'BEGIN; SELECT x FROM hr.t1; ROLLBACK');
	nothing($s, 'SELECT x FROM hr.t1');
};
attack 'cursors, EXECUTE, DO, COPY, CALL, prepared' => sub {
	once(as(), $_) for 'BEGIN; DECLARE c CURSOR FOR SELECT x FROM hr.t1; FETCH c; COMMIT', 'PREPARE p AS SELECT x FROM hr.t1; EXECUTE p',
	  'DO $$ BEGIN PERFORM x FROM hr.t1; END $$', 'COPY hr.t1 TO STDOUT', 'CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN PERFORM x FROM hr.t1; COMMIT; END $$; CALL p()',
	  'EXPLAIN SELECT x FROM hr.t1', 'CREATE TEMP TABLE t AS SELECT x FROM hr.t1';
};
attack 'by protocol' => sub {
	my $c = Protocol->new($node, 'dev');
	my $answer = $c->do((map { (Protocol::parse('', 'SELECT x FROM hr.t1'), Protocol::bind('', ''), Protocol::execute('')) } 1 .. 3), Protocol::sync());
	is($answer, "1\n1\n1\n", 'three');
	is(times_told($c->{notices}), 1, 'told once');
};
attack "a function's owner's access" => sub {
	sql($node, 'dev', 'CREATE FUNCTION definer() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN (SELECT x FROM hr.t1); END $$; CREATE VIEW v AS SELECT x FROM hr.t1; GRANT SELECT ON v TO eve', 'hr_prod');
	my $s = as('eve');
	foreach ('SELECT definer()', 'SELECT x FROM v')
	{
		my ($out, $err) = $s->do($_);
		is($out, '1', "it is used: $_");
		is($err, '', '... and nothing is told');
	}
};
attack 'SET ROLE' => sub {
	none();
	given('4 minutes', 'hr_reader');
	my $s = as();
	once($s, 'SET ROLE hr_reader; SELECT x FROM hr.reader');
	nothing($s, 'SELECT x FROM hr.reader');
};
attack "a group's access" => sub {
	none();
	given('4 minutes', 'SELECT ON hr.t1', 'oncall');
	once(as(), 'SELECT x FROM hr.t1');
};
attack 'not at all' => sub {
	my $s = as();
	nothing($s, 'SET client_min_messages = warning; SELECT x FROM hr.t1');
	super('ALTER SYSTEM SET jit_access.warn_before = 0', 'postgres');
	super('SELECT pg_reload_conf()', 'postgres');
	$s = as();
	ok(wait_until(sub { $s->do('SHOW jit_access.warn_before') eq '0' }), 'set');
	nothing($s, 'SELECT x FROM hr.t1');
	super('ALTER SYSTEM RESET jit_access.warn_before', 'postgres');
	super('SELECT pg_reload_conf()', 'postgres');
	ok(wait_until(sub { $s->do('SHOW jit_access.warn_before') eq '5min' }), 'set back');
	once($s, 'SELECT x FROM hr.t1');
};
attack 'without a log' => sub {
	super('ALTER SYSTEM SET jit_access.log_statements = off', 'postgres');
	super('SELECT pg_reload_conf()', 'postgres');
	my $s = as();
	ok(wait_until(sub { $s->do('SHOW jit_access.log_statements') eq 'off' }), 'off');
	once($s, 'SELECT x FROM hr.t1');
	super('ALTER SYSTEM RESET jit_access.log_statements', 'postgres');
	super('SELECT pg_reload_conf()', 'postgres');
};
attack 'in another database, with and without the extension' => sub {
	none();
	my $n = given('4 minutes', 'hr_reader');
	foreach my $db ('postgres', 'bare')
	{
		my ($out, $err) = as('dev', $db)->do('SELECT x FROM far');
		like($err, qr/NOTICE:  00000: request $n in hr_prod ends at \S+ \S+\n/, "told in $db, and no more");
	}
};
attack 'what it says to do' => sub {
	none();
	my $n = given();
	my $s = as();
	my ($out, $err) = $s->do('SELECT x FROM hr.t1');
	my ($call) = $err =~ /(SELECT jit_extend\(.*\))/ or return fail('no call');
	like((($s->do($call))[1]), qr/request \d+ in hr_prod is pending/, 'it is filed');
};
attack 'parallel workers' => sub {
	my ($out, $err) = as()->do('SET ' . ($node->pg_version < 16 ? 'force_parallel_mode' : 'debug_parallel_query') . ' = on; SELECT x FROM hr.t1');
	is(times_told($err), 1, 'once') or diag($err);
};
attack 'on a standby' => sub {
	none();
	my $n = given();
	$node->backup('backup');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($node, 'backup', has_streaming => 1);
	$standby->start;
	$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
	like((sql($standby, 'dev', 'SELECT x FROM hr.t1', 'hr_prod'))[1], qr/NOTICE:  00000: request $n ends at \S+ \S+; to go on, on the primary server: SELECT jit_extend\($n, /, 'told');
	$standby->stop;
};

$session->quit;
all_attacks_done();
$node->stop;
done_testing();
