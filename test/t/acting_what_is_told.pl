# Whom a request doesn't concern learns nothing of it by trying to decide on
# it; and who asks or grants says why.
#
# The attacks are lines of attacks.md.  Seen to fail with jit_require_reason()
# left out.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('told', 'jit_access.max_pending = 100');
create_hr($node);
my $super = getpwuid($<) . '';

sub super { return $node->safe_psql('hr_prod', $_[0]); }
sub as { my ($out, $err) = sql($node, $_[0], $_[1], 'hr_prod'); return ($out, $err); }

super(q{CREATE ROLE oncall; GRANT oncall TO dev; GRANT USAGE ON SCHEMA hr TO oncall, eve; SET ROLE hr_owner; CREATE TABLE hr."it's ""odd""; really" AS SELECT 1 AS x});

# ---- a reason

my $requests = 'SELECT count(*) FROM jit.requests';

# Refused, nothing is filed, and what the HINT says can be pasted, which it is;
# returns the row of that request.
sub asks_why
{
	my ($user, $call, $hint) = @_;
	my $before = super($requests);
	my ($out, $err) = as($user, "SELECT $call");
	is($out, '', "$call returns nothing");
	like($err, qr/^psql:<stdin>:1: ERROR:  22004: reason is missing\n/, '... and says what is missing');
	my ($paste) = $err =~ /^HINT:  Say why: (SELECT .*;)$/m;
	is($paste, "SELECT $hint;", '... with a call that says why');
	is(super($requests), $before, '... and nothing is filed');
	($out, $err) = as($user, $paste);
	like($out, qr/^\d+$/, '... which can be pasted') or diag($err);
	return super("SELECT access, duration, until, ticket, grantee, reason FROM jit.requests WHERE id = $out");
}

attack 'a reason that is left out' => sub {
	is(asks_why('dev', q{jit_request('SELECT ON hr.salary', '1 hour')}, q{jit_request('SELECT ON hr.salary', '01:00:00', 'why you need it')}),
		'SELECT ON hr.salary|01:00:00|||dev|why you need it', 'the same request');
};
attack 'a reason that is null' => sub {
	asks_why('dev', q{jit_request('SELECT ON hr.salary', '90 min', NULL)}, q{jit_request('SELECT ON hr.salary', '01:30:00', 'why you need it')});
	my ($out, $err) = as('dev', q{SELECT jit_request('SELECT ON hr.salary', '90 min', '')});
	like($err, qr/ERROR:  22023: reason must not be empty/, 'an empty one is refused as before');
};
attack 'a reason that is left out, with neither duration nor until' => sub {
	asks_why('dev', q{jit_request('UPDATE ON hr.salary')}, q{jit_request('UPDATE ON hr.salary', '1 hour', 'why you need it')});
};
attack 'a reason that is left out, with a point in time' => sub {
	my $until = super(q{SELECT date_trunc('second', now() + '2 hours')});
	like(asks_why('dev', "jit_request('DELETE ON hr.salary', until => '$until')", "jit_request('DELETE ON hr.salary', until => '$until', reason => 'why you need it')"),
		qr/\|\|\Q$until\E\|/, 'until the same time');
};
attack 'a reason that is left out, with a ticket, for a group' => sub {
	like(asks_why('dev', q{jit_request('SELECT ON hr.salary', '1 hour', ticket => 'INC-1''1', grantee => 'oncall')},
		q{jit_request('SELECT ON hr.salary', '01:00:00', 'why you need it', ticket => 'INC-1''1', grantee => 'oncall')}),
		qr/\|INC-1'1\|oncall\|/, 'for the group, not for dev');
};
attack 'a reason that is left out, of an odd name' => sub {
	my $access = q{'SELECT ON hr."it''s ""odd""; really"'};
	asks_why('dev', "jit_request($access, '1 hour')", "jit_request($access, '01:00:00', 'why you need it')");
};
attack 'a reason that is left out by who grants' => sub {
	is(asks_why('anna', q{jit_grant('INSERT ON hr.salary', 'eve', '1 hour')}, q{jit_grant('INSERT ON hr.salary', 'eve', '01:00:00', 'why they need it')}),
		'INSERT ON hr.salary|01:00:00|||eve|why they need it', 'the same grant');
};
attack 'a reason that is null, of who grants until a time' => sub {
	my $until = super(q{SELECT date_trunc('second', now() + '2 hours')});
	asks_why('anna', "jit_grant('UPDATE ON hr.salary', 'eve', NULL, NULL, '$until', 'INC-2')",
		"jit_grant('UPDATE ON hr.salary', 'eve', until => '$until', reason => 'why they need it', ticket => 'INC-2')");
};
attack 'a reason that is left out where nobody needs to agree' => sub {
	super(q{SET client_min_messages = error; SELECT jit_set_policy('free', 'low', '$.ticket == "free"'), jit_set_flow('low', '[]')});
	asks_why('eve', q{jit_request('SELECT ON hr.salary', '1 hour', ticket => 'free')}, q{jit_request('SELECT ON hr.salary', '01:00:00', 'why you need it', ticket => 'free')});
};
attack 'a reason that is left out of a dry run' => sub {
	my $explain = q{SELECT string_agg(btrim(l), '; ') FILTER (WHERE l ~ 'reason is missing|refused') FROM jit_explain('SELECT ON hr.salary', '2 hours', ticket => '%s') l};
	is((as('dev', sprintf($explain, 'x')))[0], 'reason is missing: refused', 'it goes on, and says that it would be refused');
	super(q{SET client_min_messages = error; SELECT jit_set_flow('low', '[]', reason_pattern => '^INC')});
	is((as('dev', sprintf($explain, 'free')))[0], 'reason is missing, must match "^INC": refused', '... and which pattern it had to match');
	super(q{SET client_min_messages = error; SELECT jit_set_flow('low', '[]')});
};
attack 'a reason that is taken away afterwards' => sub {
	like((as($super, 'UPDATE jit.requests SET reason = NULL'))[1], qr/ERROR:  23502: /, 'the ledger has none without');
};

all_attacks_done();
$node->stop;
done_testing();
