# One user cancels everybody: what tells running statements of changes has
# room for 8,192 of them, and one transaction can make more.  Statements that
# rely on other grants go on all the same, in all databases; those whose access
# has really ended are cut off all the same.
#
# The attacks are lines of attacks.md.  Seen to fail with a new grant naming
# all that it covers, and with a backend that was overrun taking all for ended.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('ring', "jit_access.max_pending = 1000\nmax_locks_per_transaction = 512");
create_hr($node);
$node->safe_psql('postgres', q{CREATE TABLE far AS SELECT 1 AS x; CREATE ROLE reporting; GRANT SELECT ON far TO reporting; GRANT reporting TO anna WITH ADMIN OPTION});
$node->safe_psql('hr_prod', q{
	CREATE ROLE dev2 LOGIN;
	CREATE ROLE secops; CREATE ROLE mallory LOGIN; GRANT secops TO mallory;
	CREATE ROLE eves; GRANT eves TO eve WITH ADMIN OPTION;
	CREATE SCHEMA eve AUTHORIZATION eve; GRANT USAGE ON SCHEMA eve, hr TO PUBLIC;
	CREATE TABLE eve.t (x int); ALTER TABLE eve.t OWNER TO eve;
	GRANT SELECT ON hr.salary TO reporting;
	SELECT jit_set_flow('low', '[]'), jit_set_policy('free', 'low', '$.ticket == "free"');
	CREATE SCHEMA dev AUTHORIZATION dev;
	SET ROLE dev;
	CREATE FUNCTION dev.f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600) FROM hr.salary LIMIT 1; END $$;
});
$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS jit_access; CREATE SCHEMA eve AUTHORIZATION eve; SET ROLE eve; CREATE TABLE eve.t (x int)');
my $super = getpwuid($<) . '';

sub super { return $node->safe_psql($_[1] // 'hr_prod', $_[0]); }

# those who rely on grants of their own
super(q{SELECT jit_grant('SELECT ON hr.salary', 'dev', '6 hours', 'x')});
my $n2 = super(q{SELECT jit_grant('SELECT ON hr.salary; reporting', 'dev2', '6 hours', 'x')});
my %bystanders = (
	'a query' => [ 'dev', 'hr_prod', 'SELECT pg_sleep(600) FROM hr.salary LIMIT 1' ],
	'a DO block' => [ 'dev', 'hr_prod', 'DO $$ BEGIN LOOP PERFORM count(*), pg_sleep(0.02) FROM (SELECT FROM hr.salary LIMIT 1) s; END LOOP; END $$' ],
	'a function' => [ 'dev', 'hr_prod', 'SELECT dev.f()' ],
	'COPY' => [ 'dev', 'hr_prod', 'COPY (SELECT pg_sleep(600) FROM hr.salary LIMIT 1) TO STDOUT' ],
	'FETCH' => [ 'dev', 'hr_prod', 'BEGIN; DECLARE c CURSOR FOR SELECT pg_sleep(600) FROM hr.salary LIMIT 1; FETCH c' ],
	'SET ROLE' => [ 'dev2', 'hr_prod', 'SET ROLE reporting; SELECT pg_sleep(600) FROM hr.salary LIMIT 1' ],
	'another database' => [ 'dev2', 'postgres', 'SELECT pg_sleep(600) FROM far' ],
);
my %s;
sub bystand
{
	foreach my $kind (sort keys %bystanders)
	{
		my ($user, $db, $sql) = @{ $bystanders{$kind} };
		$s{$kind} = session($node, $user, $db);
		goes_on($s{$kind}, $sql);
	}
	return;
}

# Do they all go on?  Those that were cut off begin anew.
sub go_on
{
	# time to notice: a tick is 40 ms; a look that can't be had gives up after a second
	wait_until(sub { my $ended = grep { $_->ended } values %s; return $ended == keys %s }, 3);
	foreach my $kind (sort keys %s)
	{
		my $err = finish($node, $s{$kind});
		like($err, qr/ERROR:  57014: canceling statement due to user request/, "$kind goes on");
		$s{$kind}->do('ROLLBACK');
		goes_on($s{$kind}, $bystanders{$kind}->[2]);
	}
	return;
}

# What a user does in one go, 135 times; then they must all go on.
sub goes_wild
{
	my ($user, $sql, $db) = @_;
	my ($out, $err) = sql($node, $user, "SET client_min_messages = error; $sql", $db // 'hr_prod');
	is($err, '', 'done');
	go_on();
	super(q{SELECT jit_revoke_from('secops', 'test'), jit_revoke_from('eves', 'test')}, $db);
	return;
}
my $growing = q{make_interval(secs => 3600 + i * 60)};
my $grant = "SELECT jit_grant('SELECT ON eve.t', 'secops', $growing, 'x')";
my $times = 'FROM generate_series(1, 135) i;';
# one statement each, with something before and after it
sub each_135 { my ($before, $after) = @_; return join '', map { "$before $grant FROM generate_series($_, $_) i; $after" } 1 .. 135; }

bystand();
attack 'jit_grant of a table, longer each time' => sub { goes_wild('eve', "$grant $times"); };
attack 'jit_grant, each in a savepoint of its own' => sub { goes_wild('eve', 'BEGIN; ' . each_135('SAVEPOINT s;', 'RELEASE s;') . 'COMMIT'); };
attack 'jit_grant, a transaction each' => sub { goes_wild('eve', each_135('', '')); };
attack 'jit_grant of a role, longer each time' => sub {
	super('CREATE ROLE of_eve; GRANT of_eve TO eve WITH ADMIN OPTION');
	goes_wild('eve', "SELECT jit_grant('of_eve', 'secops', $growing, 'x') $times");
};
attack 'jit_request of a group, longer each time' => sub {
	goes_wild('mallory', "SELECT jit_request('SELECT ON eve.t', $growing, 'x', ticket => 'free', grantee => 'secops') $times");
};
attack 'jit_approve of 135 requests' => sub {
	my ($out, $err) = sql($node, 'mallory', "SET client_min_messages = error; SELECT jit_request('SELECT ON eve.t', $growing, 'x', grantee => 'secops') $times", 'hr_prod');
	is($err, '', 'filed');
	goes_wild('eve', 'SELECT jit_approve(request) FROM jit.inbox ORDER BY request');
};
attack 'from another database' => sub { goes_wild('eve', "$grant $times", 'postgres'); };

# ---- natively

my $role = '(SELECT g.role FROM jit.grants g WHERE g.ended_at IS NULL AND g.grantee = ' . q{'secops' LIMIT 1)};
attack 'ALTER ROLE of a grant role, 9,000 times' => sub {
	sql($node, 'eve', q{SELECT jit_grant('SELECT ON eve.t', 'secops', '1 hour', 'x')}, 'hr_prod');
	goes_wild($super, "DO \$\$ DECLARE r name := $role; BEGIN FOR i IN 1 .. 9000 LOOP EXECUTE format('ALTER ROLE %I VALID UNTIL %L', r, now() + make_interval(mins => 60 + i)); END LOOP; END \$\$");
};
attack 'a member put in and taken out, 9,000 times' => sub {
	sql($node, 'eve', q{SELECT jit_grant('SELECT ON eve.t', 'secops', '1 hour', 'x')}, 'hr_prod');
	goes_wild($super, "DO \$\$ DECLARE r name := $role; BEGIN FOR i IN 1 .. 9000 LOOP EXECUTE format('GRANT %I TO eves', r); EXECUTE format('REVOKE %I FROM eves', r); END LOOP; END \$\$");
};

# ---- what has ended, has

sub flood { return "SELECT jit_grant('SELECT ON eve.t', 'secops', '1 hour', 'x'); " . ($_[0] // '') . " DO \$\$ DECLARE r name := $role; BEGIN FOR i IN 1 .. 9000 LOOP EXECUTE format('ALTER ROLE %I VALID UNTIL %L', r, now() + make_interval(mins => 60 + i)); END LOOP; END \$\$"; }

attack 'an open cursor, fetched from afterwards' => sub {
	my $s = session($node, 'dev', 'hr_prod');
	is($s->do('BEGIN; DECLARE c CURSOR FOR SELECT emp_no FROM hr.salary ORDER BY 1; FETCH c'), '1', 'fetched before');
	goes_wild($super, flood());
	is($s->do('FETCH c'), '2', 'fetched after');
	$s->quit;
};
attack 'jit_revoke that is hidden in as many changes' => sub {
	my ($out, $err) = sql($node, $super, 'SET client_min_messages = error; ' . flood('BEGIN;') . "; SELECT jit_revoke($n2); COMMIT", 'hr_prod');
	is($err, '', 'done');
	my @ended = ('SET ROLE', 'another database');
	ok(wait_until(sub { !grep { !$s{$_}->ended } @ended }, 10), 'what relied on what was revoked has ended');
	foreach my $kind (@ended)
	{
		like(finish($node, $s{$kind}), $CUT_OFF, "... $kind, cut off");
		delete($s{$kind})->quit;
		delete $bystanders{$kind};
	}
	go_on();
};

foreach my $s (values %s)
{
	finish($node, $s);
	$s->quit;
}
all_attacks_done();
$node->stop;
done_testing();
