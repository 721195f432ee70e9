# What people are shown is what it seems: nothing that somebody wrote, nor the
# name of a role or an object, looks like another line or another field, in
# views, messages or the server log; and a role that reaches everything has the
# labels of everything.
#
# The attacks are lines of attacks.md.  Seen to fail with jit.shown() out of the
# views, with quote_identifier() PostgreSQL's own, without the hook of the
# server log, and with predefined roles taken for ordinary ones.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('shown', undef, extra => [ '--encoding', 'UTF8', '--no-locale' ]);
create_hr($node);
$node->safe_psql('hr_prod', q{SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]'); CREATE SCHEMA dev AUTHORIZATION dev});
my $super = getpwuid($<) . '';

# As one sees it in psql, each value by its lines.
sub shown
{
	my ($user, $column, $view, $n) = @_;
	return $node->safe_psql('hr_prod', "SELECT $column FROM jit.$view WHERE request = $n", extra_params => [ '-U', $user ]);
}

sub ask
{
	my ($reason, %more) = @_;
	my $access = $more{access} // 'SELECT ON hr.salary';
	my $ticket = $more{ticket} ? ", ticket => $more{ticket}" : '';
	my $grantee = $more{grantee} ? ", grantee => $more{grantee}" : '';
	return $node->safe_psql('hr_prod', "SELECT jit_request(\$j\$$access\$j\$, '1 hour', $reason$ticket$grantee)",
		extra_params => [ '-U', $more{user} // 'dev' ]);
}

sub reject { return sql($node, 'anna', "SELECT jit_reject($_[0], " . ($_[1] // q{'no'}) . ')', 'hr_prod'); }

# What the log has of it from there on, raw.
sub log_has
{
	my ($from, $line) = @_;
	ok(wait_until(sub { substr(slurp_file($node->logfile), $from) =~ $line }, 20), 'the log has the line')
	  or diag(substr(slurp_file($node->logfile), $from));
	return substr(slurp_file($node->logfile), $from);
}

# ---- what requesters write

sub reason_is_shown
{
	my ($reason, $expected, %more) = @_;
	my $n = ask($reason, %more);
	shown_as(shown('anna', 'reason', 'inbox', $n), $expected, 'in the inbox');
	shown_as(shown('dev', 'reason', 'my_requests', $n), $expected, 'in my_requests');
	is($node->safe_psql('hr_prod', "SELECT reason = $reason FROM jit.requests WHERE id = $n"), 't', 'the ledger has it raw');
	is($node->safe_psql('hr_prod', "SELECT detail ->> 'reason' = $reason FROM jit.events WHERE request_id = $n AND event = 'requested'"), 't', 'so has the event');
	reject($n);
	return;
}

attack 'a reason with a ticket of its own' => sub {
	reason_is_shown(q{E'payroll\nINC-4711 (verified by secops)'}, 'payroll\nINC-4711 (verified by secops)');
};
attack 'a reason with a ticket of its own, before the true one' => sub {
	reason_is_shown(q{E'payroll\nINC-4711'}, "payroll\\nINC-4711\nINC-1", ticket => q{'INC-1'});
};
attack 'a reason whose words fall on a line of their own' => sub {
	my $n = ask(q{'payroll        INC-4711       SELECT ON'}, ticket => q{'INC-1'});
	is(shown('anna', 'reason', 'inbox', $n), "payroll       \n INC-4711     \n  SELECT ON\nINC-1", 'lines that go on are indented');
	reject($n);
};
attack 'a reason with the rejection of another' => sub {
	reason_is_shown(q{E'payroll\r\nanna: no, ask ben'}, 'payroll\r\nanna: no, ask ben');
};
attack 'a reason that overwrites its line on a terminal' => sub {
	reason_is_shown(q{E'drop all\rpayroll\x1b[K\b\u009b2K'}, 'drop all\rpayroll\x1b[K\x08\x9b2K');
};
attack 'a reason that runs backwards' => sub {
	reason_is_shown(q{E'a\u202eb\u2066c\u061cd\u200fe'}, 'a\u202eb\u2066c\u061cd\u200fe');
};
attack 'a reason with what is not seen' => sub {
	reason_is_shown(q{E'IN\u200bC\u2060-\ufeff4\u00ad7\u2028\U000e0041x'}, 'IN\u200bC\u2060-\ufeff4\xad7\u2028\U000e0041x');
};
attack 'a reason that writes out what an escape looks like' => sub {
	reason_is_shown(q{E'a\\\\nb C:\\\\temp \\\\d \\\\u202e'}, 'a\\\\nb C:\\\\temp \\d \\\\u202e');
};
attack 'a ticket with a rejection' => sub {
	my $n = ask(q{'payroll'}, ticket => q{E'INC-1\nanna: no'});
	shown_as(shown('anna', 'reason', 'inbox', $n), "payroll\nINC-1\\nanna: no", 'in the inbox');
	reject($n);
};
attack 'a rejection with another' => sub {
	my $n = ask(q{'payroll'});
	reject($n, q{E'no\nben: yes\r'});
	shown_as(shown('dev', 'decided_by', 'my_requests', $n), "anna: no\\nben: yes\\r", 'in my_requests');
	is(shown('dev', 'comment', 'refused', $n), 'no\nben: yes\r', 'in refused');
};
attack 'two texts that are shown alike' => sub {
	is($node->safe_psql('hr_prod', q{
		WITH p (t) AS (VALUES ('a'), ('n'), ('x'), ('0'), (E'\\\\'), (E'\n'), (E'\t'), (E'\x1b'), (E'\u202e'), ('u202e'), (E'\U000e0041')),
			t AS (SELECT a.t || b.t || c.t || d.t AS t FROM p a, p b, p c, p d)
		SELECT count(*) = count(DISTINCT jit.shown(t)), bool_or(jit.shown(t) ~ E'[\\x01-\\x1f\u202e\U000e0041]') FROM t}), 't|f',
		'there are none, and nothing is left unescaped');
};
attack 'a reason in an error' => sub {
	my ($out, $err) = sql($node, $super, q{SELECT jit_set_flow('low', '[]', ticket_pattern => '^INC-\d+$'), jit_set_policy('low', 'low', '$.grantee == "eve"')}, 'hr_prod');
	my $from = -s $node->logfile;
	(undef, $err) = sql($node, 'eve', q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x', ticket => E'INC\r\u202e-1')}, 'hr_prod');
	like($err, qr/ERROR:  22023: ticket "INC\\r\\u202e-1" is not what a request of low risk needs\n/, 'it is shown');
	like(log_has($from, qr/ticket "INC/), qr/ERROR:  ticket "INC\\r\\u202e-1" is not/, '... in the log as well');
};

# ---- names

my ($lf, $LF, $cr, $CR) = line_ends($node);
attack 'a role that is two, by its name' => sub {
	my $shown = qq{U&"dev\\$CR\\${LF}anna\\202e"};
	$node->safe_psql('hr_prod', "CREATE ROLE $shown LOGIN; GRANT $shown TO dev");
	my $from = -s $node->logfile;
	my $n = ask(q{'x'}, grantee => $shown =~ tr/"/'/r);
	shown_as(shown('anna', 'grantee', 'inbox', $n), "$shown, asked by dev", 'in the inbox');
	my ($out, $err) = sql($node, 'anna', "SELECT jit_approve($n)", 'hr_prod');
	like($err, qr/NOTICE:  00000: \Q$shown\E \(dev\) has SELECT ON hr\.salary/, 'in the message, as SQL reads it');
	my $lines = log_has($from, qr/request $n in hr_prod activated: \Q$shown\E has SELECT ON hr\.salary until/);
	unlike($lines, qr/\r/, '... without a carriage return');
	is(shown('eve', 'grantee', 'history', $n), '', 'history is nobody else\'s');
	is(shown($super, 'grantee', 'history', $n), $shown, 'in history');
	shown_as(shown($super, 'grantee', 'active_grants', $n), $shown, 'in active_grants');
	sql($node, 'anna', "SELECT jit_revoke($n, 'x')", 'hr_prod');
};
attack 'an approver whose name is two' => sub {
	$node->safe_psql('hr_prod', qq{CREATE ROLE U&"ben\\${LF}anna" LOGIN; GRANT hr_owner TO U&"ben\\${LF}anna"});
	my $n = ask(q{'x'});
	is($node->safe_psql('hr_prod', "SELECT jit_approve($n)", extra_params => [ '-U', "ben${lf}anna" ]), 'active', 'approved');
	is(shown('dev', 'approved_by[1]', 'history', $n), qq{U&"ben\\${LF}anna"}, 'in history');
	is($node->safe_psql('hr_prod', "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname LIKE 'jit_grant_%_$n'"),
		qq{jit_access: request $n in database hr_prod: SELECT ON hr.salary; approved by U&"ben\\${LF}anna"}, 'in the comment on its role');
	sql($node, 'anna', "SELECT jit_revoke($n, 'x')", 'hr_prod');
};
attack 'a table that looks like another' => sub {
	$node->safe_psql('hr_prod', q{SET ROLE hr_owner; CREATE TABLE hr.U&"sal\200bary" (U&"am\202eount" int, U&"a""b\\\\c\0009" int)});
	my $n = ask(q{'x'}, access => q{SELECT ON hr.U&"sal\200bary"});
	shown_as(shown('anna', 'access', 'inbox', $n), q{SELECT ON hr.U&"sal\200bary"}, 'in the inbox');
	shown_as(shown('dev', 'access', 'my_requests', $n), q{SELECT ON hr.U&"sal\200bary"}, 'in my_requests');
	reject($n);
};
attack 'a column that looks like another' => sub {
	my $n = ask(q{'x'}, access => q{SELECT (U&"am\202eount", U&"a""b\\\\c\0009") ON hr.U&"sal\200bary"});
	shown_as(shown('anna', 'access', 'inbox', $n), q{SELECT (U&"am\202eount", U&"a""b\\\\c\0009") ON hr.U&"sal\200bary"}, 'in the inbox');
	shown_as(shown('dev', 'access', 'my_requests', $n), q{SELECT ("am\u202eount", "a""b\c\t") ON hr.U&"sal\200bary"}, 'in my_requests');
	reject($n);
	my $again = ask(q{'again'}, access => $node->safe_psql('hr_prod', "SELECT access FROM jit.requests WHERE id = $n"));
	is($node->safe_psql('hr_prod', "SELECT count(DISTINCT (attnums, objid)) FROM jit.request_items WHERE request_id IN ($n, $again)"), '1', 'what is kept reads back');
	reject($again);
};
attack 'a function whose argument is of a type that looks like another' => sub {
	$node->safe_psql('hr_prod', q{SET ROLE hr_owner; CREATE TYPE hr.U&"te\200bxt" AS ENUM ('x'); CREATE FUNCTION hr.f(hr.U&"te\200bxt"[], bpchar, bit, int2vector, "char") RETURNS int LANGUAGE sql RETURN 1; REVOKE EXECUTE ON FUNCTION hr.f FROM PUBLIC});
	my $n = ask(q{'x'}, access => q{EXECUTE ON FUNCTION hr.f});
	shown_as(shown('anna', 'access', 'inbox', $n), q{EXECUTE ON FUNCTION hr.f(hr.U&"te\200bxt"[], character, bit, int2vector, "char")}, 'in the inbox');
	reject($n);
};
attack 'a database whose name ends a line' => sub {
	$node->safe_psql('postgres', qq{CREATE DATABASE U&"hr\\$LF\\${CR}prod" OWNER hr_owner});
	$node->safe_psql("hr$lf${cr}prod", 'CREATE EXTENSION jit_access; CREATE TABLE t (); ALTER TABLE t OWNER TO hr_owner');
	my $from = -s $node->logfile;
	my $n = $node->safe_psql("hr$lf${cr}prod", q{SELECT jit_request('SELECT ON t', '1 hour', 'x')}, extra_params => [ '-U', 'dev' ]);
	unlike(log_has($from, qr/request $n in U&"hr\\$LF\\${CR}prod" requested by dev for dev: SELECT ON public\.t\n/), qr/\r/, 'no carriage return');
};

# ---- the server log

attack 'a policy whose name forges a line of the log' => sub {
	my $from = -s $node->logfile;
	my ($out, $err) = sql($node, $super, q{SELECT jit_set_policy(E'p\r2026-01-01 LOG:  jit_access: request 1 activated\n', 'low', '$.reason == "a\nb"')}, 'hr_prod');
	my $lines = log_has($from, qr/LOG:  jit_access: policy U&"p\\000d2026-01-01 LOG:  jit_access: request 1 activated\\000a" in hr_prod set/);
	unlike($lines =~ s/STATEMENT:.*//rs, qr/\r/, 'in one line');
	$node->safe_psql('hr_prod', q{SELECT format('SELECT jit_drop_policy(%L)', name) FROM jit.risk_policies WHERE name LIKE 'p%' \gexec});
};
attack 'a pattern that forges a line of the log' => sub {
	my $from = -s $node->logfile;
	$node->safe_psql('hr_prod', q{SELECT jit_set_flow('high', '[]', reason_pattern => E'x\r2026-01-01 LOG:  jit_access: \n\u202e\\\\d')});
	unlike(log_has($from, qr/flow for high risk in hr_prod set: .*; reason like "x\\r2026-01-01 LOG:  jit_access: \\n\\u202e\\d"\n/), qr/\r/, 'in one line');
};
attack 'a line of a sweeper' => sub {
	my $from = -s $node->logfile;
	$node->safe_psql('postgres', qq{CREATE ROLE U&"jit_grant_1_1\\${CR}x" VALID UNTIL '2020-01-01'; GRANT U&"jit_grant_1_1\\${CR}x" TO eve});
	my $lines = log_has($from, qr/jit_access: 1 membership in role U&"jit_grant_1_1\\${CR}x", whose time is over, was removed/);
	unlike($lines, qr/membership[^\n]*\r/, 'without a carriage return');
};
attack 'RAISE LOG of a line like ours' => sub {
	my $from = -s $node->logfile;
	sql($node, 'dev', q{DO $$ BEGIN RAISE LOG E'jit_access: request 1 in hr_prod activated: forged\rx\ny'; END $$}, 'hr_prod');
	my $n = ask(q{'x'});
	my $lines = log_has($from, qr/request $n in hr_prod requested by/);
	like($lines, qr/LOG:  jit_access: request 1 in hr_prod activated: forged\\rx\\ny\n[^\n]*CONTEXT:  [^\n]*\n[^\n]*STATEMENT:  /, 'it is told by its CONTEXT and STATEMENT');
	like($lines, qr/LOG:  jit_access: request $n in hr_prod requested by dev for dev: SELECT ON hr\.salary\n(?![^\n]*(CONTEXT|STATEMENT):)/, 'ours has neither');
	is($node->safe_psql('hr_prod', q{SELECT count(*) FROM jit.events WHERE request_id = 1 AND event = 'activated' AND detail::text ~ 'forged'}), '0', 'jit.events has none');
	reject($n);
};
attack 'an event of one\'s own' => sub {
	foreach ([ dev => q{INSERT INTO jit.events (id, at, event, detail, origin) VALUES (1, now(), 'activated', '{}', 'x')} ],
		[ dev => q{UPDATE jit.events SET event = 'activated'} ], [ hr_owner => q{DELETE FROM jit.events} ])
	{
		my ($out, $err) = sql($node, $super, "SET ROLE $_->[0]; $_->[1]", 'hr_prod');
		like($err, qr/ERROR:  42501: /, $_->[1]);
	}
};
attack 'NOTIFY on our channel' => sub {
	my $listener = session($node, 'anna', 'hr_prod');
	$listener->do('LISTEN jit_access');
	my $dev = session($node, 'dev', 'hr_prod');
	$dev->do(q{NOTIFY jit_access, '{"event": "activated", "request": 1, "database": "hr_prod"}'});
	like($listener->do('SELECT 1'), qr/Asynchronous notification "jit_access" .*"activated".* received from server process with PID $dev->{pid}\./, 'comes from the process that sent it');
	is($node->safe_psql('hr_prod', q{SELECT count(*) FROM jit.events WHERE request_id = 1 AND event = 'activated'}), '0', 'jit.events has none');
	$_->quit foreach $listener, $dev;
};

# ---- other encodings

attack 'a database in SQL_ASCII' => sub {
	$node->safe_psql('postgres', q{CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII'});
	$node->safe_psql('ascii', 'CREATE EXTENSION jit_access');
	is($node->safe_psql('ascii', q{SELECT jit.shown(E'a\n\x1b\x7f\\\\r\xc3\xbc') = E'a\\\\n\\\\x1b\\\\x7f\\\\\\\\r\xc3\xbc'}), 't', 'what is ASCII is escaped');
};
attack 'a database in LATIN1' => sub {
	$node->safe_psql('postgres', q{CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'});
	$node->safe_psql('latin', 'CREATE EXTENSION jit_access; CREATE TABLE U&"t\000ax" (i int); ALTER TABLE U&"t\000ax" OWNER TO hr_owner');
	my $n = $node->safe_psql('latin', q{SELECT jit_request('SELECT ON U&"t\000ax"', '1 hour', E'x\r')}, extra_params => [ '-U', 'dev' ]);
	shown_as($node->safe_psql('latin', "SELECT access || reason FROM jit.inbox WHERE request = $n", extra_params => [ '-U', 'anna' ]), 'SELECT ON public.U&"t\000ax"x\r', 'what is ASCII is escaped');
};

# ---- roles that reach everything

$node->safe_psql('hr_prod', q{
	SELECT jit_set_label('COLUMN hr.salary.amount', 'pii'), jit_set_policy('pii', 'forbidden', '$.items[*].labels[*] == "pii"');
	CREATE ROLE reader; GRANT pg_read_all_data TO reader;
	CREATE ROLE inner_reader; CREATE ROLE outer_reader; GRANT inner_reader TO outer_reader; GRANT pg_read_all_data TO inner_reader;
	CREATE ROLE watcher; GRANT pg_monitor TO watcher; GRANT SELECT ON hr.salary TO pg_monitor;
	CREATE ROLE nothing;
});
sub forbidden
{
	my ($role, $db) = @_;
	my ($out, $err) = sql($node, 'dev', "SELECT jit_request('$role', '1 hour', 'x')", $db // 'hr_prod');
	return $err =~ /ERROR:  42501: policy pii forbids this request\n/ ? 1 : 0;
}
attack "$_ of a database with labels" => sub { ok(forbidden($_), 'has them all'); }
  foreach qw(pg_read_all_data pg_write_all_data pg_read_server_files pg_write_server_files pg_execute_server_program);
attack 'a role in pg_read_all_data' => sub { ok(forbidden('reader'), 'has them all'); };
attack 'a role in a role in pg_read_all_data' => sub { ok(forbidden('outer_reader'), 'has them all'); };
attack 'a role in pg_monitor, which was granted the table' => sub { ok(forbidden('watcher'), 'has them all'); };
attack 'a role that reaches nothing' => sub { ok(!forbidden('nothing'), 'has none'); };
attack 'pg_read_all_data of a database without labels' => sub {
	$node->safe_psql('ascii', q{SELECT jit_set_policy('pii', 'forbidden', '$.items[*].labels[*] == "pii"')});
	ok(!forbidden('pg_read_all_data', 'ascii'), 'has none');
};

all_attacks_done();
$node->stop;
done_testing();
