# Numbers: events are numbered in the order of commits, without gaps, whatever
# was rolled back, and by origin; a request's number is never in the way,
# wherever the sequence is.
#
# The attacks are lines of attacks.md.  Seen to fail with events numbered by a
# sequence, and with request numbers that don't cycle and aren't looked up.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('numbers', 'jit_access.max_pending = 1000');
create_hr($node);
$node->safe_psql('hr_prod', q{CREATE ROLE dev2 LOGIN; GRANT USAGE ON SCHEMA hr TO PUBLIC; SELECT jit_set_flow('low', '[]'), jit_set_policy('free', 'low', '$.ticket == "free"')});
my $dev = session($node, 'dev', 'hr_prod');
my $dev2 = session($node, 'dev2', 'hr_prod');
my $anna = session($node, 'anna', 'hr_prod');

sub super { return $node->safe_psql('hr_prod', $_[0]); }
# for longer each time, so that it isn't what is pending
my $ask = q{SELECT jit_request('SELECT ON hr.salary', '1 hour' + (clock_timestamp() - pg_postmaster_start_time()), 'x')};

sub ask
{
	my ($s) = @_;
	my ($out, $err) = $s->do($ask);
	is($err =~ /(ERROR.*)/ ? $1 : '', '', 'filed');
	return $out;
}

# Do the ids of the events since it was asked last follow those before?
my $last = 0;
sub without_gaps
{
	is(super("SELECT count(*) = max(id) - $last FROM jit.events WHERE id > $last"), 't', 'events are numbered without gaps');
	$last = super('SELECT max(id) FROM jit.events');
	return;
}

# ---- events

attack 'requests that are rolled back leave no gap in the events' => sub {
	$dev->do("BEGIN; $ask; ROLLBACK") for 1 .. 10;
	ask($dev);
	without_gaps();
};
attack 'savepoints that are rolled back to leave none' => sub {
	$dev->do("BEGIN; SAVEPOINT s; $ask; ROLLBACK TO s; $ask; SAVEPOINT s; $ask; ROLLBACK TO s; COMMIT");
	without_gaps();
};
attack 'calls that fail leave none' => sub {
	my $n = ask($dev);
	$dev->do("SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x'), 1 / (n - n) FROM (SELECT count(*) AS n FROM pg_class) c");
	$anna->do("BEGIN; SELECT jit_approve($n); SELECT 1 / 0; COMMIT");
	ask($dev);
	without_gaps();
};
attack 'who commits first has the lower number' => sub {
	$dev->do("BEGIN; $ask");
	my $second = ask($dev2);
	$dev->do('COMMIT');
	my $first = super(q{SELECT max(id) FROM jit.requests WHERE requester = 'dev'});
	is(super("SELECT string_agg(request_id::text, ' ' ORDER BY id) FROM (SELECT * FROM jit.events ORDER BY id DESC LIMIT 2) e"), "$second $first", 'in the order of commits');
	without_gaps();
};
attack 'several events of one transaction, and another in between' => sub {
	$dev->do("BEGIN; $ask");
	my $other = ask($dev2);
	$dev->do("$ask; COMMIT");
	is(super('SELECT array_agg(request_id ORDER BY id) = ARRAY[' . join(', ', $other, map { "(SELECT max(id) - $_ FROM jit.requests WHERE requester = 'dev')" } 2, 0)
		. '] FROM (SELECT * FROM jit.events ORDER BY id DESC LIMIT 3) e'), 't', 'they follow one another');
	without_gaps();
};
attack 'under REPEATABLE READ and SERIALIZABLE, with an older snapshot' => sub {
	foreach my $level ('REPEATABLE READ', 'SERIALIZABLE')
	{
		$dev->do("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM pg_class");
		ask($dev2);
		my ($out, $err) = $dev->do("$ask; COMMIT");
		unlike($err, qr/ERROR/, "$level: committed");
	}
	without_gaps();
};
attack 'events of another server' => sub {
	super(q{INSERT INTO jit.events (origin, id, at, event, detail) VALUES ('4711/5', 1000000, now(), 'flow_set', '{}'), ('4711/5', 1, now(), 'flow_set', '{}')});
	my $n = ask($dev);
	is(super("SELECT max(id) FROM jit.events WHERE request_id = $n"), super(q{SELECT count(*) FROM jit.events WHERE origin <> '4711/5'}), 'have numbers of their own');
	is(super('SELECT count(*) FROM jit.events e JOIN jit.requests r ON r.id = e.request_id WHERE e.origin <> r.origin'), '0', '... ours have our origin');
	my ($out, $err) = sql($node, getpwuid($<) . '', q{INSERT INTO jit.events (origin, id, at, event, detail) VALUES ('4711/5', 1, now(), 'flow_set', '{}')}, 'hr_prod');
	like($err, qr/ERROR:  23505: /, '... and origin and number are the key');
};

# ---- request numbers

attack 'numbers at the end of what an integer holds' => sub {
	super('ALTER SEQUENCE jit.request_number RESTART 2147483646');
	is(ask($dev), '2147483646', 'the last but one');
	is(ask($dev), '2147483647', 'the last');
	like(ask($dev), qr/^\d+$/, 'another one');
	like(ask($dev), qr/^\d+$/, '... and another one');
};
attack 'numbers burnt to the end by calls that are rolled back' => sub {
	super('ALTER SEQUENCE jit.request_number RESTART 2147483640');
	$dev->do("BEGIN; $ask; ROLLBACK") for 1 .. 20;
	like(ask($dev), qr/^\d+$/, 'there is one');
};
attack 'a number that is in use' => sub {
	my $used = super(q{SELECT setval('jit.request_number', (SELECT min(id) FROM jit.requests), false)});
	isnt(ask($dev), $used, 'it is passed over');
};
attack 'a thousand numbers in a row that are in use' => sub {
	super(q{SELECT setval('jit.request_number', 500000, false);
		SET session_replication_role = replica;
		INSERT INTO jit.requests SELECT (jsonb_populate_record(NULL::jit.requests, to_jsonb(r) || jsonb_build_object('id', 500000 + i, 'status', 'canceled', 'decided_at', now()))).* FROM (SELECT * FROM jit.requests WHERE status = 'pending' LIMIT 1) r, generate_series(0, 999) i});
	is(ask($dev), '501000', 'they are passed over');
};
attack 'after a logical cut-over: rows are there, and the sequence is at its start' => sub {
	super(q{SET session_replication_role = replica;
		INSERT INTO jit.requests SELECT (jsonb_populate_record(NULL::jit.requests, to_jsonb(r) || jsonb_build_object('id', i, 'origin', '4711/5', 'status', 'canceled', 'decided_at', now()))).*
		FROM (SELECT * FROM jit.requests WHERE status = 'pending' LIMIT 1) r, generate_series(1, 2000) i WHERE NOT EXISTS (SELECT FROM jit.requests WHERE id = i);
		ALTER SEQUENCE jit.request_number RESTART});
	my $n = ask($dev);
	cmp_ok($n, '>', 2000, 'numbers of another server are passed over');
	super("SELECT setval('jit.request_number', 1, false)");
	like(($dev->do(q{SELECT jit_request('SELECT ON hr.salary', '2 hours', 'x', ticket => 'free')}))[1], qr/NOTICE/, '... also of what is active at once');
	super(q{SELECT jit_revoke_from('dev', 'test')});
};
attack 'a number whose grant role is there' => sub {
	super(q{SELECT setval('jit.request_number', 700000, false)});
	super("CREATE ROLE jit_grant_" . super(q{SELECT oid FROM pg_database WHERE datname = 'hr_prod'}) . '_700000');
	is(ask($dev), '700001', 'it is passed over');
};
attack 'two at once at the end' => sub {
	super('ALTER SEQUENCE jit.request_number RESTART 2147483640');
	my $loop = 'DO $$ BEGIN FOR i IN 1 .. 40 LOOP PERFORM jit_request($x$SELECT ON hr.salary$x$, $x$1 hour$x$ + (clock_timestamp() - pg_postmaster_start_time()), $x$x$x$); COMMIT; END LOOP; END $$';
	$_->begin("SET client_min_messages = error; $loop") for $dev, $dev2;
	is(($_->end)[1], '', 'all are filed') for $dev, $dev2;
};

eval { $_->quit } for $dev, $dev2, $anna;
all_attacks_done();
$node->stop;
done_testing();
