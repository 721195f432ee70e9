# What the views say of a day: how long something would be given for now, who is
# waited for, what somebody has and until when at the longest, who decided, who
# ended it.
#
# Guards the columns of the views and jit.to_approve(), jit.progress() and
# jit.my_grants().  Seen to fail with the duration that was asked for in place
# of the least that was allowed, with superusers named beside others, with
# approvals among what was refused, and with any deadline in place of the latest.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('day', "jit_access.max_pending = 100\ntimezone = 'UTC'", extra => [ '--encoding', 'UTF8', '--no-locale' ]);
create_hr($node);
my $super = getpwuid($<) . '';
$node->safe_psql('hr_prod', q{
	CREATE ROLE "Ben O'Neil" LOGIN; GRANT hr_owner TO "Ben O'Neil";
	CREATE ROLE security; CREATE ROLE "sue@corp" LOGIN; CREATE ROLE sam LOGIN; GRANT security TO "sue@corp", sam;
	CREATE ROLE oncall; GRANT oncall TO dev;
	CREATE ROLE many_owner; DO $$ BEGIN FOR i IN 1 .. 23 LOOP EXECUTE format('CREATE ROLE m%s LOGIN IN ROLE many_owner', lpad(i::text, 2, '0')); END LOOP; END $$;
	CREATE TABLE hr.many (a int); ALTER TABLE hr.many OWNER TO many_owner;
	CREATE TABLE hr.nobodys (a int);
	SELECT jit_set_flow('high', '[{"approver": "security", "approvals": 2}, {"approver": "@grantor"}]'), jit_set_policy('two', 'high', '$.ticket == "T-1"')});
sub as { my ($who, $sql) = @_; my ($out, $err) = sql($node, $who, "SET client_min_messages = error; $sql", 'hr_prod'); die "$who: $sql: $err" if $err =~ /ERROR/; return $out; }
sub asks { my ($access, $how) = @_; return as('dev', "SELECT jit_request('$access', $how)"); }
sub of { my ($who, $view, $n, $columns) = @_; return as($who, "SELECT $columns FROM jit.$view WHERE request = $n"); }

# ---- what would be given, and who is waited for

my $n = asks('SELECT ON hr.salary', q{'7 days', E'why\nnot', ticket => 'T-1'});
is(of('sam', 'inbox', $n, 'duration, approvals, risk, lapses_at > now(), grantee'), "7 days|0 of 2 by\n security\nstep 1 of 3|high|t|dev" =~ s/of 3/of 2/r, 'the inbox');
is(of('dev', 'pending', $n, 'step, steps, given, needed, waiting_for, waiting_for_more, duration, until IS NULL, ticket, reason, risk, requester, login, grantee, access'),
	'1|2|0|2|{sam,sue@corp}|0|7 days|t|T-1|why\nnot|high|dev|dev|dev|SELECT ON hr.salary', 'what is pending, typed');
is(of('dev', 'my_requests', $n, 'status, waiting_for, decided_by IS NULL'), qq{pending|sam\n"sue\@corp"|t}, 'the requester reads who can decide');
as('sam', "SELECT jit_approve($n, 'half will do', '26 hours')");
is(of('sue@corp', 'inbox', $n, 'duration, approvals'), "1 day\n02:00:00|1 of 2 by\n security\nstep 1 of 2", 'the least of what was allowed, and one is there');
is(of('dev', 'pending', $n, 'step, given, needed, waiting_for'), '1|1|2|{sue@corp}', 'one is waited for');
is(of('dev', 'pending', $n, 'approved_by, comments, approved_via'), '{sam}|{"half will do"}|{NULL}', '... and what was said so far');
is(of('dev', 'my_requests', $n, 'waiting_for, decided_by'), qq{"sue\@corp"|sam: half\n will do}, '... and the words of the other');
as('sue@corp', "SELECT jit_approve($n, NULL, '2 days')");
is(of('anna', 'pending', $n, 'step, given, needed, waiting_for'), q({2|0|1|{"Ben O'Neil",anna}}) =~ s/^\{|\}$//gr, 'the second step');
is(of('anna', 'inbox', $n, 'duration'), "1 day\n02:00:00", 'a longer one changes nothing');
is(of('dev', 'my_requests', $n, 'waiting_for, decided_by'), qq{"Ben O'Neil"\nanna|"sue\@corp"}, 'the last who decided');
as('anna', "SELECT jit_approve($n, 'go')");
is(of('dev', 'my_requests', $n, q{status, waiting_for IS NULL, decided_by, ends_at - now() < '26 h'}), "active|t|anna: go|t", 'nothing is waited for any more');
is(of('dev', 'active_grants', $n, 'approved_by, expires_at - now() < $$26 h$$, time_left > $$25 h$$'), qq{sam\n"sue\@corp"\nanna|t|t}, 'what is active');
is(of('dev', 'history', $n, 'status, requester, grantee, objects, ticket, approved_by, comments, ended_at IS NULL, ended_by IS NULL, expires_at > now()'),
	'active|dev|dev|{hr.salary}|T-1|{sam,"\"sue@corp\"",anna}|{"half will do",NULL,go}|t|t|t', 'the history');
my $told = q{requester_oid = 'dev'::regrole, risk, token = (SELECT jit.token(origin, id, requested_at) FROM jit.requests WHERE id = request)};
is(of($super, 'history', $n, $told), 't|high|t', '... and what of the request stays');

my $until = asks('UPDATE ON hr.salary', q{until => now() + '1 day 1 hour 1 second', reason => 'x'});
like(of('anna', 'inbox', $until, 'duration'), qr/^1 day\n(01:00:00|00:59:\d\d)$/, 'of a time, what is left');
like(of('dev', 'my_requests', $until, 'duration'), qr/^until\n\d\d \w\w\w\n\d{4}\n\d\d:\d\d:\d\d$/, '... as it was asked for');
is(of('dev', 'pending', $until, 'duration IS NULL, until > now()'), 't|t', '... and typed');
is(of('dev', 'pending', asks('SELECT ON hr.many', q{'1 h', 'x'}), 'array_length(waiting_for, 1), waiting_for[1], waiting_for[20], waiting_for_more'), '20|m01|m20|3', 'no more than twenty are named');
my $many = as('dev', 'SELECT max(request) FROM jit.my_requests');
is(of('dev', 'my_requests', $many, 'waiting_for'), join("\n", map { "m0$_" } 1 .. 6) . "\n\xe2\x80\xa6 and 17\n more", '... and a few in psql');
is(of('dev', 'pending', asks('SELECT ON hr.nobodys', q{'1 h', 'x'}), 'waiting_for'), "{$super}", 'superusers only where nobody else could');

# ---- what was refused, and ended

my $no = asks('DELETE ON hr.salary', q{'1 h', 'x'});
as('anna', "SELECT jit_reject($no, 'not today')");
is(of('dev', 'refused', $no, 'status, requester, grantee, access, reason, ticket IS NULL, decided_by, comment, decided_at >= asked_at'), 'rejected|dev|dev|DELETE ON hr.salary|x|t|anna|not today|t', 'rejected');
is(of($super, 'refused', $no, "duration, until IS NULL, $told"), '01:00:00|t|t|moderate|t', '... and what it was');
is(of('dev', 'my_requests', $no, 'status, decided_by, waiting_for IS NULL'), "rejected|anna: not\n today|t", '... in my requests');
my $half = asks('UPDATE ON hr.nobodys', q{'2 h', 'x', ticket => 'T-1'});
as('sam', "SELECT jit_approve($half, 'fine by me')");
as('sue@corp', "SELECT jit_reject($half, 'not by me')");
is(of('dev', 'refused', $half, 'decided_by, comment'), qq{"sue\@corp"|not by me}, '... after an approval, by who rejected it');
my $oops = asks('DELETE ON hr.salary', q{'1 h', 'x'});
as('dev', "SELECT jit_cancel($oops, 'the other one')");
is(of('dev', 'refused', $oops, 'status, decided_by, comment'), 'canceled|dev|the other one', 'canceled');
my $late = asks('DELETE ON hr.salary', q{'1 h', 'x'});
$node->safe_psql('hr_prod', "UPDATE jit.requests SET lapses_at = clock_timestamp() WHERE id = $late");
is(of('dev', 'refused', $late, 'status, decided_by IS NULL, decided_at <= clock_timestamp()'), 'lapsed|t|t', 'lapsed');
is(of('dev', 'pending', $late, 'count(*)'), '0', '... and not pending any more');
my $short = asks('INSERT ON hr.salary', q{'1 h', 'x'});
as('anna', "SELECT jit_approve($short, 'ok')");
as('anna', "SELECT jit_revoke($short, 'enough')");
is(of('dev', 'history', $short, 'status, comments, ended_by, ended_at IS NOT NULL'), 'revoked|{ok}|anna|t', 'who ended it');

# ---- what I have

as($super, "SELECT jit_revoke($n, 'x')");
sub mine { return as($_[0], "$_[1]SELECT object, privileges, columns, request FROM jit.my_access WHERE object <> 'hr'"); }
sub given { my ($access, $grantee, $for) = @_; return as('anna', "SELECT jit_grant('$access', '$grantee', '$for', 'x')"); }
is(mine('dev', ''), '', 'nothing');
my $one = given('SELECT, UPDATE ON hr.salary', 'dev', '2 h');
my $two = given('SELECT ON hr.salary', 'oncall', '3 h');
my $three = given('SELECT (amount), UPDATE (amount, emp_no) ON hr.salary', 'dev', '3 h');
is(mine('dev', ''), "hr.salary|{UPDATE}||$one\nhr.salary|{SELECT}||$two\nhr.salary|{SELECT}|{amount}|$three\nhr.salary|{UPDATE}|{emp_no,amount}|$three", 'by the request that gives it for longest');
is(mine('eve', ''), '', 'of others, nothing');
is(as('eve', 'SELECT count(*) FROM jit.my_access'), '0', '... whatever it is');
is(as('dev', q{SELECT privileges, columns IS NULL, request FROM jit.my_access WHERE object = 'hr'}), "{USAGE}|t|$two", 'what was added, too');
is(mine('dev', 'SET ROLE oncall; '), "hr.salary|{SELECT}||$two", 'as a group, what it has');
is(as('dev', "SELECT count(*) FROM jit.my_access a JOIN jit.active_grants g USING (request) WHERE object <> 'hr' AND a.expires_at = g.expires_at"), '4', 'deadlines are those of the grants');
as('anna', 'ALTER TABLE hr.salary RENAME TO pay');
like(mine('dev', ''), qr/^hr\.pay\|\{UPDATE\}/, 'by the name of now');
as('anna', "SELECT jit_revoke($_, 'x')") foreach $one, $three;
is(mine('dev', ''), "hr.pay|{SELECT}||$two", 'what is left');
$node->safe_psql('hr_prod', "CREATE ROLE reader; SELECT jit_grant('reader', 'dev', '1 h', 'x')");
like(mine('dev', ''), qr/^reader\|\{MEMBER\}\|\|/m, 'a role');

$node->stop;
done_testing();
