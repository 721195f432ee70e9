# Access that leaves no trace: in the transaction that asks for access (or
# gives it) it doesn't work yet, whatever reads; so who rolls back has had
# nothing, and who has had something has committed, with events and all.
#
# The attacks are lines of attacks.md.  Seen to fail with memberships written
# at the call.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('no_trace', "jit_access.admin_role = 'admins'\nmax_prepared_transactions = 2");
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE oncall; GRANT oncall TO dev;
	CREATE ROLE reporting; CREATE ROLE archive;
	CREATE ROLE manager LOGIN;
	CREATE ROLE admins; CREATE ROLE paul LOGIN; GRANT admins TO paul;
	CREATE SCHEMA dev AUTHORIZATION dev;
	CREATE FUNCTION join_oncall() RETURNS void SECURITY DEFINER LANGUAGE sql AS 'GRANT oncall TO manager';
	GRANT USAGE ON SCHEMA hr TO manager, paul, reporting;
	SELECT jit_set_flow('moderate', '[]');
	SET ROLE hr_owner;
	CREATE SEQUENCE hr.numbers;
	CREATE TABLE hr.report AS SELECT 100 AS x; GRANT SELECT ON hr.report TO reporting;
	CREATE FUNCTION hr.secret() RETURNS int LANGUAGE sql RETURN 100;
	REVOKE EXECUTE ON FUNCTION hr.secret() FROM PUBLIC;
	CREATE SCHEMA closed; CREATE TABLE closed.t AS SELECT 100 AS x; GRANT SELECT ON closed.t TO PUBLIC;
	ANALYZE hr.salary;
});
my $blob = $node->safe_psql('hr_prod', q{SET ROLE hr_owner; SELECT lo_from_bytea(0, 'secret')});
$node->safe_psql('hr_prod', "GRANT SELECT ON LARGE OBJECT $blob TO archive");

my $dev = session($node, 'dev', 'hr_prod');
$dev->do(q{
	CREATE FUNCTION dev.read() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
	DECLARE n bigint;
	BEGIN SELECT count(*) INTO n FROM hr.salary; RAISE NOTICE 'it has % rows', n; RETURN n; END $$;
	CREATE FUNCTION dev.fail() RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN RAISE EXCEPTION 'that was it'; END $$;
	CREATE FUNCTION dev.on_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM dev.read(); PERFORM dev.fail(); RETURN NULL; END $$;
	CREATE TABLE dev.t (x int);
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON dev.t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dev.on_commit();
	CREATE VIEW dev.v AS SELECT * FROM hr.salary;
});
my $read = 'SELECT count(*) FROM hr.salary';
$dev->do("PREPARE read AS $read");

sub ask { return "SELECT jit_request('$_[0]', '1 hour', 'x');"; }
my $ask = ask('SELECT ON hr.salary');

sub requests { return $node->safe_psql('hr_prod', 'SELECT count(*) FROM jit.requests'); }

# BEGIN, ask for that, do that, and roll back; what it is denied.
sub rolled_back
{
	my ($access, $sql, $hint) = @_;
	my ($out, $err) = $dev->do('BEGIN; ' . ask($access));
	unlike($err, qr/ERROR/, 'filed');
	denied($dev->do($sql), $hint);
	$dev->do('ROLLBACK');
	return;
}

# ---- rolled back, in blocks of all kinds

attack 'a block that is rolled back' => sub { rolled_back('SELECT ON hr.salary', $read); };

attack 'a savepoint that is rolled back to' => sub {
	$dev->do("BEGIN; SAVEPOINT s; $ask");
	denied($dev->do($read));
	$dev->do('ROLLBACK TO s; COMMIT');
};

attack 'a savepoint that is released' => sub {
	$dev->do("BEGIN; SAVEPOINT s; $ask RELEASE s");
	denied($dev->do($read));
	$dev->do('ROLLBACK');
};

attack 'an EXCEPTION block' => sub {
	my ($out, $err) = $dev->do(q{DO $$ BEGIN
		BEGIN
			PERFORM jit_request('SELECT ON hr.salary', '1 hour', 'x'); PERFORM dev.read(); PERFORM dev.fail();
		EXCEPTION WHEN others THEN RAISE NOTICE 'caught %', SQLSTATE;
		END; END $$});
	unlike($err, qr/it has 100 rows/, 'nothing is read');
	like($err, qr/caught 42501/, 'denied');
};

attack 'a DO block' => sub {
	my ($out, $err) = $dev->do(q{DO $$ BEGIN PERFORM jit_request('SELECT ON hr.salary', '1 hour', 'x'); PERFORM dev.read(); PERFORM dev.fail(); END $$});
	unlike($err, qr/it has 100 rows/, 'nothing is read');
	denied($out, $err);
};

attack 'one statement that fails at its end' => sub {
	my ($out, $err) = $dev->do(q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x'), dev.read(), dev.fail()});
	unlike($err, qr/it has 100 rows/, 'nothing is read');
	denied($out, $err);
};

attack 'several statements in one message' => sub {
	my ($out, $err) = $dev->do(ask('SELECT ON hr.salary') =~ s/;$//r . "\\; SELECT dev.read()\\; SELECT dev.fail();");
	unlike($err, qr/it has 100 rows/, 'nothing is read');
	like($err, qr/ERROR:  42501: .*HINT: .*\bCOMMIT\b/s, 'denied, with a hint that says COMMIT');
};

attack 'a deferred trigger, at COMMIT' => sub {
	my ($out, $err) = $dev->do("BEGIN; $ask INSERT INTO dev.t VALUES (1)");
	unlike($err, qr/ERROR/, 'filed');
	($out, $err) = $dev->do('COMMIT');
	unlike($err, qr/it has 100 rows/, 'nothing is read');
	denied($out, $err);
};

attack 'a cursor WITH HOLD, filled at COMMIT' => sub {
	my ($out, $err) = $dev->do("BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT dev.read(), dev.fail(); $ask");
	unlike($err, qr/ERROR/, 'declared');
	($out, $err) = $dev->do('COMMIT');
	unlike($err, qr/it has 100 rows/, 'nothing is read');
	denied($out, $err);
};

attack 'PREPARE TRANSACTION' => sub {
	like(($dev->do("BEGIN; $ask PREPARE TRANSACTION 'p'"))[1], qr/ERROR:  0A000: /, 'refused');
	$dev->do('ROLLBACK');
};

# ---- whatever reads

attack 'COPY' => sub { rolled_back('SELECT ON hr.salary', 'COPY (SELECT * FROM hr.salary) TO STDOUT'); };
attack 'a prepared statement' => sub { rolled_back('SELECT ON hr.salary', 'EXECUTE read'); };
attack 'a cursor' => sub { rolled_back('SELECT ON hr.salary', "DECLARE c CURSOR FOR $read; FETCH c") ; };
attack 'UPDATE that returns rows' => sub { rolled_back('SELECT, UPDATE ON hr.salary', 'UPDATE hr.salary SET amount = 0 RETURNING emp_no'); };
attack 'LOCK TABLE' => sub { rolled_back('UPDATE ON hr.salary', 'LOCK TABLE hr.salary', 0); };
attack 'a function' => sub { rolled_back('EXECUTE ON FUNCTION hr.secret()', 'SELECT hr.secret()', 0); };
attack 'a schema' => sub { rolled_back('USAGE ON SCHEMA closed', 'SELECT * FROM closed.t', 0); };
attack 'columns' => sub { rolled_back('SELECT (amount) ON hr.salary', 'SELECT max(amount) FROM hr.salary'); };
attack 'a role' => sub { rolled_back('reporting', 'SELECT x FROM hr.report', 0); };
attack 'SET ROLE' => sub { rolled_back('reporting', 'SET ROLE reporting', 0); $dev->do('RESET ROLE'); };
attack q{set_config('role')} => sub { rolled_back('reporting', q{SELECT set_config('role', 'reporting', false)}, 0); $dev->do('RESET ROLE'); };
attack 'access for a group that one is in' => sub {
	$dev->do(q{BEGIN; SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x', grantee => 'oncall')});
	denied($dev->do($read));
	$dev->do('ROLLBACK');
};

# ---- what passes no hook

attack 'pg_stats' => sub {
	$dev->do("BEGIN; $ask");
	is($dev->do(q{SELECT count(*) FROM pg_stats WHERE tablename = 'salary'}), '0', 'no statistics are shown');
	$dev->do('ROLLBACK');
};
attack 'has_table_privilege()' => sub {
	$dev->do("BEGIN; $ask");
	is($dev->do(q{SELECT has_table_privilege('hr.salary', 'SELECT'), has_column_privilege('hr.salary', 'amount', 'SELECT')}), 'f|f', 'no privilege');
	$dev->do('ROLLBACK; BEGIN; ' . ask('reporting'));
	is($dev->do(q{SELECT pg_has_role('reporting', 'MEMBER')}), 'f', 'no membership');
	$dev->do('ROLLBACK');
};
attack 'nextval()' => sub {
	rolled_back('USAGE ON SEQUENCE hr.numbers', q{SELECT nextval('hr.numbers')}, 0);
	is($node->safe_psql('hr_prod', 'SELECT is_called FROM hr.numbers'), 'f', 'it stays where it was');
};
attack 'setval()' => sub {
	rolled_back('UPDATE ON SEQUENCE hr.numbers', q{SELECT setval('hr.numbers', 4711)}, 0);
	isnt($node->safe_psql('hr_prod', 'SELECT last_value FROM hr.numbers'), '4711', 'it stays where it was');
};
attack 'lo_get()' => sub { rolled_back('archive', "SELECT convert_from(lo_get($blob), 'UTF8')", 0); };

# ---- by those who decide

my $manager = session($node, 'manager', 'hr_prod');
my $super = getpwuid($<) . '';
$node->safe_psql('hr_prod', q{SELECT jit_set_flow('moderate', '[{"approver": "manager"}]')});

attack 'an approver joins the group that they approve for' => sub {
	my $n = $node->safe_psql('hr_prod', q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x', grantee => 'oncall')});
	is($manager->do("BEGIN; SELECT jit_approve($n)"), 'active', 'approved');
	$manager->do('SELECT join_oncall()');
	denied($manager->do($read), 0);
	$manager->do('ROLLBACK');
	$node->safe_psql('hr_prod', "SELECT jit_reject($n, 'x')");
};

my $paul = session($node, 'paul', 'hr_prod');
attack 'an administrator changes the flow in the same transaction' => sub {
	$paul->do(qq{BEGIN; SELECT jit_set_flow('moderate', '[]'); $ask});
	denied($paul->do($read));
	$paul->do('ROLLBACK');
};
attack 'an administrator changes the policies in the same transaction' => sub {
	$paul->do(qq{BEGIN; SELECT jit_set_policy('mine', 'low', '\$.requester == "paul"'), jit_set_flow('low', '[]'); $ask});
	denied($paul->do($read));
	$paul->do('ROLLBACK');
};
attack 'an administrator changes the flow, in a savepoint of its own' => sub {
	$paul->do(qq{BEGIN; SAVEPOINT s; SELECT jit_set_flow('moderate', '[]'); $ask});
	denied($paul->do($read));
	$paul->do('ROLLBACK TO s; COMMIT');
	is($node->safe_psql('hr_prod', q{SELECT count(*) FROM jit.requests WHERE requester = 'paul'}), '0', 'nothing was given');
};
attack 'an administrator changes the flow, and commits: all of it is on record' => sub {
	my $last = $node->safe_psql('hr_prod', 'SELECT coalesce(max(id), 0) FROM jit.events');
	$paul->do(qq{BEGIN; SELECT jit_set_flow('moderate', '[]'); $ask});
	denied($paul->do($read));
	$paul->do('ROLLBACK');
	unlike(($paul->do(qq{BEGIN; SELECT jit_set_flow('moderate', '[]'); $ask COMMIT}))[1], qr/ERROR/, 'committed');
	is($paul->do($read), '100', '... and works');
	is($node->safe_psql('hr_prod', "SELECT string_agg(event || ' ' || role, ', ' ORDER BY id) FROM jit.events WHERE id > $last"),
		'flow_set paul, requested paul, activated paul', '... the flow, the request and the access are on record');
	$node->safe_psql('hr_prod', q{SELECT jit_revoke_from('paul', 'test')});
};

# ---- committed: it works, and is on record

sub on_record
{
	my ($before) = @_;
	is(requests(), $before + 1, 'there is a request');
	is(events_of($node, $node->safe_psql('hr_prod', 'SELECT id FROM jit.requests ORDER BY requested_at DESC LIMIT 1')), 'requested, activated', '... with its events');
	$node->safe_psql('hr_prod', q{SELECT jit_revoke_from('dev', 'test')});
	return;
}

attack 'a client with autocommit off' => sub {
	my $before = requests();
	my ($out, $err) = $dev->do("BEGIN; $ask");
	like($err, qr/NOTICE:  .*dev has SELECT ON hr\.salary/, 'told of its access');
	$dev->do('SAVEPOINT s');
	denied($dev->do($read));
	unlike(($dev->do('ROLLBACK TO s; COMMIT'))[1], qr/ERROR/, 'committed');
	is($dev->do($read), '100', '... and works');
	on_record($before);
};
attack 'a procedure that commits' => sub {
	my $before = requests();
	$dev->do(q{CREATE PROCEDURE dev.p() LANGUAGE plpgsql AS $$ BEGIN
		PERFORM jit_request('SELECT ON hr.salary', '1 hour', 'x');
		BEGIN PERFORM dev.read(); EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE 'not yet'; END;
		COMMIT;
		PERFORM dev.read(); PERFORM dev.fail(); END $$});
	my ($out, $err) = $dev->do('CALL dev.p()');
	like($err, qr/not yet.*it has 100 rows.*that was it/s, 'reads after its COMMIT, and not before');
	on_record($before);
};
attack 'a procedure that rolls back' => sub {
	my $before = requests();
	$dev->do(q{CREATE PROCEDURE dev.q() LANGUAGE plpgsql AS $$ BEGIN
		PERFORM jit_request('SELECT ON hr.salary', '1 hour', 'x');
		BEGIN PERFORM dev.read(); EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE 'not yet'; END;
		ROLLBACK;
		PERFORM dev.read(); END $$});
	my ($out, $err) = $dev->do('CALL dev.q()');
	unlike($err, qr/it has 100 rows/, 'reads neither before its ROLLBACK nor after it');
	like($err, qr/not yet.*ERROR:  42501/s, '... is denied');
	is(requests(), $before, 'there is no request');
};
attack 'a savepoint rolled back to, and another that is not' => sub {
	my $before = requests();
	$dev->do("BEGIN; SAVEPOINT s; " . ask('UPDATE ON hr.salary') . " ROLLBACK TO s; SAVEPOINT u; $ask RELEASE u");
	unlike(($dev->do('COMMIT'))[1], qr/ERROR/, 'committed');
	is($dev->do(q{SELECT has_table_privilege('hr.salary', 'SELECT'), has_table_privilege('hr.salary', 'UPDATE')}), 't|f', 'what was rolled back is not given');
	on_record($before);
};
attack 'COMMIT AND CHAIN' => sub {
	my $before = requests();
	$dev->do("BEGIN; $ask SAVEPOINT s");
	denied($dev->do($read));
	$dev->do('ROLLBACK TO s; COMMIT AND CHAIN');
	is($dev->do($read), '100', 'works in the next transaction');
	$dev->do('ROLLBACK');
	on_record($before);
};

$_->quit for $dev, $manager, $paul;
all_attacks_done();
$node->stop;
done_testing();
