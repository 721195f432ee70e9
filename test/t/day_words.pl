# Words at the right moment: what a request was understood as, all that it
# lacks, the one that is pending already, what remains after a revocation, a
# comment that is a duration, and what to do with what is over.
#
# Guards the NOTICE of filing.c, jit_complaints(), jit_pending_like(),
# remains.c, jit_is_duration() and the hints of request.c.  Seen to fail with
# usecs_from() without the reviews; with only the first complaint said; without
# check_not_pending(), or same_access() in jit_pending_like(); without columns,
# or PUBLIC, or all of it, in remains.c; with no comment refused, or every one
# that is an interval; and with the hint of jit_extend() for everybody.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('words', "jit_access.max_pending = 1000\njit_access.admin_role = 'admin'", extra => [ '--encoding', 'UTF8', '--no-locale' ]);
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE admin; CREATE ROLE carl LOGIN; GRANT admin TO carl; CREATE ROLE oncall; GRANT oncall TO dev; CREATE ROLE ben LOGIN; GRANT oncall, hr_owner TO ben;
	CREATE ROLE hr_reader; CREATE ROLE team; GRANT hr_reader TO team; CREATE ROLE "Jo's @Corp" LOGIN;
	GRANT USAGE ON SCHEMA hr TO PUBLIC; REVOKE hr_owner FROM ben;
	SET ROLE hr_owner;
	DO $$ BEGIN FOR i IN 1 .. 60 LOOP EXECUTE format('CREATE TABLE hr.t%s (a int, b int, c int)', i); END LOOP; END $$;
	CREATE TABLE hr."Odd ""one""; x" (a int);
	RESET ROLE;
	SELECT jit_set_policy('strict', 'high', 'exists($.ticket ? (@ starts with "S")) || $.reason == "strict"'),
		jit_set_flow('high', '[{"approver": "@grantor"}]', max_duration => '2 h', reason_pattern => '^.{10}', ticket_pattern => '^S-[0-9]+$');
});
sub as { return sql($node, $_[0], $_[1], 'hr_prod'); }
sub super { return $node->safe_psql('hr_prod', $_[0]); }
my $t = 0;
sub fresh { return 'hr.t' . ++$t; }
sub filed
{
	my ($who, $access, $rest) = @_;
	my ($n, $err) = as($who, "SELECT jit_request('$access', " . ($rest // q{'1 h', 'month-end'}) . ')');
	die $err unless $n =~ /^\d+$/;
	return wantarray ? ($n, $err) : $n;
}
sub active
{
	my $n = filed(@_);
	my ($out, $err) = as('anna', "SELECT jit_approve($n)");
	die $err unless $out eq 'active';
	return $n;
}
my $at = qr/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S*/;

# ---- what was understood

sub understood
{
	my ($who, $access, $rest, $words) = @_;
	my ($n, $err) = filed($who, $access, $rest);
	like($err, qr/NOTICE:  00000: request $n in hr_prod is pending: $words; it waits for 1 approval by anyone who could grant it \(anna\); it lapses at $at\n/, "$access, $rest");
	return $n;
}
my $n = understood('dev', 'SELECT ON ' . fresh(), q{'1 hour', 'x'}, qr/SELECT ON hr\.t1 for 01:00:00/);
understood('dev', 'SELECT ON ' . fresh(), q{'60', 'x'}, qr/SELECT ON hr\.t2 for 00:01:00/);
understood('dev', 'SELECT ON ' . fresh(), q{reason => 'x', until => now() + interval '1 h'}, qr/SELECT ON hr\.t3 until $at/);
understood('dev', 'SELECT ON ' . fresh(), q{'1 h', 'x', grantee => 'oncall'}, qr/SELECT ON hr\.t4 to oncall for 01:00:00/);
understood(q{"Jo's @Corp"} =~ tr/"//dr, 'SELECT (a), UPDATE (a, b) ON ' . fresh(), q{'2 days', 'x'}, qr/UPDATE \(a, b\) ON hr\.t5; SELECT \(a\) ON hr\.t5 for 48:00:00|SELECT \(a\) ON hr\.t5; UPDATE \(a, b\) ON hr\.t5 for 48:00:00/);
understood('dev', 'SELECT ON hr."Odd ""one""; x"', q{'90 min', 'x'}, qr/SELECT ON hr\."Odd ""one""; x" for 01:30:00/);
understood('dev', 'SELECT ON ALL TABLES IN SCHEMA hr', q{'1 h', 'x'}, qr/SELECT ON .*, hr\.t\d+, hr\.t\d+ and \d+ more for 01:00:00/);
{
	super(q{SELECT jit_set_flow('low', '[{"approver": "@grantor"}, {"approver": "oncall"}]'), jit_set_policy('two', 'low', '$.ticket == "two"')});
	my $two = filed('dev', 'SELECT ON ' . fresh(), q{'2 h', 'x', ticket => 'two'});
	like((as('anna', "SELECT jit_approve($two, 'less', '20 min')"))[1], qr/is pending: SELECT ON hr\.t6 for 00:20:00; it waits for 1 approval by oncall/, 'after an approval it is as short as that made it');
}

# ---- what is lacking

sub lacks
{
	my ($call, $code, $primary, $details, $hint) = @_;
	my $before = super('SELECT count(*) FROM jit.requests');
	my (undef, $err) = as($call =~ /jit_grant/ ? 'anna' : 'dev', "SELECT $call");
	like($err, qr/ERROR:  $code: \Q$primary\E\nDETAIL:  \Q$details\E\nHINT:  Such as: SELECT \Q$hint\E;\n/, $call);
	is(super('SELECT count(*) FROM jit.requests'), $before, '... files nothing');
	return;
}
my $all = "At most 02:00:00 is allowed.\nThe reason must match the pattern \"^.{10}\".\nThe ticket must match the pattern \"^S-[0-9]+\$\".";
my $strict = 'this is not what a request of high risk needs';
lacks(q{jit_request('SELECT ON hr.t20', '3 h', 'short', ticket => 'S')}, 22023, $strict, $all, q{jit_request('SELECT ON hr.t20', '02:00:00', 'why you need it', ticket => 'the ticket')});
lacks(q{jit_request('SELECT ON hr.t20', '3 h', 'strict')}, 22023, $strict, $all, q{jit_request('SELECT ON hr.t20', '02:00:00', 'why you need it', ticket => 'the ticket')});
lacks(q{jit_request('SELECT ON hr.t20', '3 h', NULL, ticket => 'S-x')}, 22004, $strict, $all, q{jit_request('SELECT ON hr.t20', '02:00:00', 'why you need it', ticket => 'the ticket')});
lacks(q{jit_request('SELECT ON hr.t20', '1 h', 'month-end closing', ticket => 'S-x')}, 22023, 'ticket "S-x" is not what a request of high risk needs', 'The ticket must match the pattern "^S-[0-9]+$".',
	q{jit_request('SELECT ON hr.t20', '01:00:00', 'month-end closing', ticket => 'the ticket')});
lacks(q{jit_request('SELECT ON hr.t20', '1 h', 'short', ticket => 'S-1')}, 22023, 'reason "short" is not what a request of high risk needs', 'The reason must match the pattern "^.{10}".',
	q{jit_request('SELECT ON hr.t20', '01:00:00', 'why you need it', ticket => 'S-1')});
lacks(q{jit_request('SELECT ON hr.t20', '3 h', 'month-end closing', ticket => 'S-1', grantee => 'oncall')}, 22023, 'access of high risk cannot be requested for so long', 'At most 02:00:00 is allowed.',
	q{jit_request('SELECT ON hr.t20', '02:00:00', 'month-end closing', ticket => 'S-1', grantee => 'oncall')});
lacks(q{jit_request('SELECT ON hr.t20', '30 days', 'why')}, 22023, 'access cannot be requested for so long', 'jit_access.max_duration is 168:00:00.', q{jit_request('SELECT ON hr.t20', '168:00:00', 'why')});
lacks(q{jit_request('SELECT ON hr.t20')}, 22004, 'this is not what a request of high risk needs', "Give a duration such as '1 hour', or until => a point in time.\nEvery request needs a reason.",
	q{jit_request('SELECT ON hr.t20', '01:00:00', 'why you need it')}) if super('SHOW jit_access.default_risk') eq 'high';
lacks(q{jit_grant('SELECT ON hr.t20', 'dev', '3 h', 'short', ticket => 'S')}, 22023, $strict, $all, q{jit_grant('SELECT ON hr.t20', 'dev', '02:00:00', 'why they need it', ticket => 'the ticket')});
lacks(qq{jit_request('SELECT ON hr.t20', '1 h', E'x\\ry', ticket => 'S')}, 22023, $strict, substr($all, index($all, 'The')), q{jit_request('SELECT ON hr.t20', '01:00:00', 'why you need it', ticket => 'the ticket')});
lacks(qq{jit_request('SELECT ON hr.t20', '1 h', E'long enough\\rx', ticket => 'S')}, 22023, 'ticket "S" is not what a request of high risk needs', 'The ticket must match the pattern "^S-[0-9]+$".',
	q{jit_request('SELECT ON hr.t20', '01:00:00', E'long enough\\\\rx', ticket => 'the ticket')});
# what the hint shows can succeed
like(scalar as('dev', q{SELECT jit_request('SELECT ON hr.t20', '02:00:00', 'why you need it', ticket => 'S-12')}), qr/^\d+$/, 'with a ticket it passes');

# ---- one that is pending

sub same
{
	my ($who, $what, $with, $hint) = @_;
	my $before = super('SELECT count(*) FROM jit.requests');
	my (undef, $err) = as($who, "SELECT jit_request($what)");
	like($err, qr/ERROR:  42710: request $with in hr_prod for the same access is pending\nDETAIL:  It waits for 1 approval by .*; it lapses at $at\.\nHINT:  $hint/, "$what is refused");
	is(super('SELECT count(*) FROM jit.requests'), $before, '... and nothing is filed');
	return;
}
sub other { like(scalar as($_[0], "SELECT jit_request($_[1])"), qr/^\d+$/, "$_[1] is another"); return; }
{
	my ($one, $two) = (fresh(), fresh());
	my $n = filed('dev', "SELECT, INSERT ON $one; SELECT (a, b) ON $two", q{'2 h', 'x'});
	my $replace = qr/To ask anew instead: SELECT jit_cancel\($n\); and then the same again/;
	same('dev', "'SELECT, INSERT ON $one; SELECT (a, b) ON $two', '2 h', 'x'", $n, $replace);
	same('dev', "'SELECT (b) ON $two; INSERT ON $one; SELECT (a) ON $two; SELECT ON $one', '1 h', 'y', ticket => 'T'", $n, $replace);
	same('dev', "'SELECT, INSERT ON $one; SELECT (a, b) ON $two', reason => 'y', until => now() + interval '1 h'", $n, $replace);
	same('carl', "'SELECT, INSERT ON $one; SELECT (a, b) ON $two', '1 h', 'y', grantee => 'dev'", $n, qr/Whoever asked for it, dev, can withdraw it with jit_cancel\($n\)/);
	other('dev', "'SELECT, INSERT ON $one; SELECT (a, b) ON $two', '3 h', 'x'");
	other('dev', "'SELECT ON $one; SELECT (a, b) ON $two', '1 h', 'x'");
	other('dev', "'SELECT, INSERT ON $one; SELECT (a) ON $two', '1 h', 'x'");
	other('dev', "'SELECT, INSERT ON $one', '1 h', 'x'");
	other('dev', "'SELECT, INSERT ON $one; SELECT (a, b) ON $two', '1 h', 'x', grantee => 'oncall'");
	super("ALTER TABLE $one RENAME TO renamed; SET ROLE hr_owner; CREATE TABLE $one (a int)");
	other('dev', "'SELECT, INSERT ON $one; SELECT (a, b) ON $two', '1 h', 'x'");
	my $third = fresh();
	my $m = filed('dev', "SELECT ON $third");
	super("UPDATE jit.requests SET lapses_at = now() WHERE id = $m");
	other('dev', "'SELECT ON $third', '1 h', 'x'");
	my $fourth = fresh();
	$m = filed('dev', "SELECT ON $fourth");
	as('dev', "SELECT jit_cancel($m)");
	other('dev', "'SELECT ON $fourth', '1 h', 'x'");
	like(scalar as('anna', "SELECT jit_grant('SELECT ON $fourth', 'dev', '1 h', 'here it is')"), qr/^\d+$/, 'giving is not asking');
	my $fifth = fresh();
	$m = filed('dev', "SELECT ON $fifth", q{'1 h', 'x', grantee => 'oncall'});
	same('ben', "'SELECT ON $fifth', '1 h', 'y', grantee => 'oncall'", $m, qr/Whoever asked for it, dev, can withdraw it/);
	super('CREATE SCHEMA closed AUTHORIZATION hr_owner; GRANT USAGE ON SCHEMA closed TO dev; SET ROLE hr_owner; CREATE TABLE closed.t (a int)');
	$m = filed('dev', 'SELECT ON closed.t');
	super('REVOKE USAGE ON SCHEMA closed FROM dev');
	same('dev', "'SELECT ON closed.t', '1 h', 'x'", $m, qr/To ask anew/);
	my $sixth = fresh();
	$m = filed('dev', "SELECT ON $sixth", q{'2 h', 'x', ticket => 'two'});
	as('anna', "SELECT jit_approve($m, 'less', '20 min')");
	same('dev', "'SELECT ON $sixth', '20 min', 'x'", $m, qr/To ask anew/);
	other('dev', "'SELECT ON $sixth', '30 min', 'x'");
}

# ---- what remains

sub remains
{
	my ($n, $what, @warnings) = @_;
	my ($out, $err) = as('anna', "SELECT jit_revoke($n, 'over')");
	is($out, 'revoked', $what) or diag $err;
	my @said = $err =~ /WARNING:  01000: (.*\n(?:(?:DETAIL|HINT): .*\n)*)/g;
	is(scalar @said, scalar @warnings, '... so many remain') or diag $err;
	like($said[$_] // '', $warnings[$_], "... and it is said: $warnings[$_]") for 0 .. $#warnings;
	return;
}
{
	my $o = fresh();
	remains(active('dev', "SELECT ON $o"), 'nothing');
	my $n = active('dev', "SELECT ON $o; INSERT ON $o");
	my $m = active('dev', "SELECT ON $o; SELECT ON hr.salary", q{'2 h', 'x'});
	remains($n, 'a privilege by another request', qr/^dev still has SELECT ON \Q$o\E by request $m, until $at\nHINT:  To end that too: SELECT jit_revoke\($m\);/);
	as('anna', "SELECT jit_revoke($m)");

	$n = active('dev', "SELECT ON $o");
	$m = active('dev', "SELECT (b, c), UPDATE (a) ON $o", q{'2 h', 'x'});
	remains($n, 'columns by another', qr/^dev still has SELECT \(b, c\) ON \Q$o\E by request $m, until $at\n/);
	as('anna', "SELECT jit_revoke($m)");

	$n = active('dev', "SELECT ON $o");
	$m = active('ben', "SELECT ON $o", q{'2 h', 'x', grantee => 'oncall'});
	remains($n, 'by a group', qr/^dev still has SELECT ON \Q$o\E by request $m, until $at\nDETAIL:  It is for a role that dev is a member of\.\nHINT:  To end that too: SELECT jit_revoke\($m\);/);
	as('anna', "SELECT jit_revoke($m)");

	$n = active('dev', "SELECT ON $o");
	super("GRANT SELECT ON $o TO hr_reader, dev; GRANT team TO dev");
	remains($n, 'standing privileges', (qr/^dev still has SELECT ON \Q$o\E(, which is granted to it for good\nHINT:  To end that too: REVOKE SELECT ON \Q$o\E FROM dev;| through role hr_reader\nHINT:  To end that too: REVOKE team FROM dev;)/) x 2);
	super("REVOKE SELECT ON $o FROM hr_reader, dev; REVOKE team FROM dev");
	$n = active('dev', "SELECT, INSERT ON $o");
	super("GRANT SELECT ON $o TO PUBLIC");
	remains($n, 'what everybody has', qr/^dev still has SELECT ON \Q$o\E, which is granted to PUBLIC\nHINT:  To end that too: REVOKE SELECT ON \Q$o\E FROM PUBLIC;/);
	super("REVOKE SELECT ON $o FROM PUBLIC");

	$n = super(q{SELECT jit_grant('hr_reader', 'dev', '1 h', 'x')});
	super('GRANT team TO dev');
	my (undef, $said) = as('carl', "SELECT jit_revoke($n)");
	like($said, qr/WARNING:  01000: dev is still a member of role hr_reader\nHINT:  To end that too: REVOKE team FROM dev;/, 'a membership');
	super('REVOKE team FROM dev');

	super("GRANT SELECT ON $o TO hr_reader");
	$n = active('dev', "SELECT ON $o");
	$m = super(q{SELECT jit_grant('hr_reader', 'dev', '2 h', 'x')});
	remains($n, 'a role by another request', qr/^dev still has SELECT ON \Q$o\E by request $m, until $at\n/);
	super("SELECT jit_revoke($m); REVOKE SELECT ON $o FROM hr_reader");

	as('anna', "SELECT jit_revoke($_)") for split /\n/, super("SELECT id FROM jit.requests WHERE status = 'active'");
	$n = active('dev', 'SELECT ON ALL TABLES IN SCHEMA hr', q{'3 h', 'x'});
	$m = active('dev', 'SELECT ON ALL TABLES IN SCHEMA hr', q{'4 h', 'x'});
	remains($n, 'of many objects the first', qr/^dev still has SELECT ON .*, hr\.t\d+, hr\.t\d+ and \d+ more by request $m, until $at\n/);
	remains($m, 'then nothing');

	$n = active('dev', "SELECT ON $o");
	my $role = super("SELECT role FROM jit.grants WHERE request_id = " . active('dev', "SELECT ON $o", q{'2 h', 'x'}));
	super("DROP ROLE $role");
	remains($n, 'not what was ended natively');

	$n = active('dev', "SELECT ON $o");
	super("DROP TABLE $o");
	unlike((as('carl', "SELECT jit_revoke($n)"))[1], qr/WARNING|ERROR/, 'what was dropped is had by nobody');

	$o = fresh();
	$n = active('dev', "SELECT ON $o");
	super("ALTER TABLE $o OWNER TO dev");
	like((as('carl', "SELECT jit_revoke($n)"))[1], qr/WARNING:  01000: dev still has SELECT ON \Q$o\E as the owner\n/, 'the owner');
}

# ---- a comment that is a duration

{
	my $n = filed('dev', 'SELECT ON ' . fresh(), q{'3 h', 'x'});
	for my $comment ('30 min', '1 hour', '2h', '01:00', ' 45 minutes ', '1.5 hours', '1 day 2 hours', '1 week')
	{
		like((as('anna', "SELECT jit_approve($n, '$comment')"))[1], qr/ERROR:  22023: the comment "\Q$comment\E" is a duration\nHINT:  To approve it for so long at most: SELECT jit_approve\($n, duration => '\Q$comment\E'\);/, "'$comment'");
	}
	is(super("SELECT status FROM jit.requests WHERE id = $n"), 'pending', 'nothing is approved');
	is(scalar as('anna', "SELECT jit_approve($n, '30 min', '30 min')"), 'active', 'with a duration it may be any');
	for my $comment ('now', '5', '4711', '10-12', 'ok', '30 min is enough', 'INC-4711', '-', 'day', 'infinity', '24/7', '2nd look')
	{
		my $m = filed('dev', 'SELECT ON ' . fresh(), q{'3 h', 'x'});
		is(scalar as('anna', "SELECT jit_approve($m, '$comment')"), 'active', "'$comment' is a comment");
	}
	$n = filed('dev', 'SELECT ON ' . fresh(), q{'3 h', 'x'});
	is(scalar as('anna', "SELECT jit_reject($n, '30 min')"), 'rejected', 'to reject it is any');
}

# ---- what is over

{
	my $n = filed('dev', 'SELECT ON ' . fresh(), q{'3 h', 'x'});
	as('anna', "SELECT jit_reject($n, 'no')");
	like((as('dev', "SELECT jit_cancel($n)"))[1], qr/is rejected, not pending\nHINT:  To ask for it again: SELECT jit_extend\($n\);/, 'who asked is told how to ask again');
	unlike((as('anna', "SELECT jit_approve($n)"))[1], qr/jit_extend|jit_request/, 'an approver is not');
	unlike((as('carl', "SELECT jit_revoke($n)"))[1], qr/jit_extend|jit_request/, 'nor an administrator');
	$n = active('dev', 'SELECT ON ' . fresh(), q{reason => 'x', until => now() + interval '1 h'});
	as('dev', "SELECT jit_revoke($n)");
	my ($hint) = (as('dev', "SELECT jit_revoke($n)"))[1] =~ /HINT:  To ask for it again: (SELECT .*;)/;
	like(scalar as('dev', $hint), qr/^\d+$/, "$hint can be pasted");
	$n = active('dev', 'SELECT ON ' . fresh(), q{'1 h', 'x', grantee => 'oncall'});
	as('anna', "SELECT jit_revoke($n)");
	like((as('dev', "SELECT jit_cancel($n)"))[1], qr/jit_extend\($n\)/, 'a member of the group can ask');
}

# ---- how it is asked anew where nobody can decide

{
	super(q{SELECT jit_set_flow('low', '[{"approver": "team"}]')});
	my ($m, $err) = filed('dev', 'SELECT ON hr.salary', q{'3 h', 'x', ticket => 'two'});
	like($err, qr/WARNING:  01000: nobody can approve request $m.*\n.*\nHINT:  .*jit_set_flow\(\); then SELECT jit_cancel\($m\); and request it anew/, 'first the one that is pending is withdrawn');
}
done_testing();
