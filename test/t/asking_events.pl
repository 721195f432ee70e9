# What has been changed is on record when it has been committed: policies,
# flows and labels with what they were and what they are, who did it, and
# nothing of what was refused or has changed nothing.
#
# Seen to fail with events not written, and with one written for a label that is
# set again.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $node = new_server('events', "jit_access.admin_role = 'admins'");
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE admins; CREATE ROLE paul LOGIN IN ROLE admins; CREATE ROLE security; CREATE ROLE guards;
	SET ROLE hr_owner; CREATE VIEW hr.totals AS SELECT count(*) FROM hr.salary;
});

sub events { return $node->safe_psql('hr_prod', "SELECT coalesce(json_agg(e)::text, '') FROM (SELECT $_[0] FROM jit.events WHERE $_[1] ORDER BY id) e"); }
sub last_event { return $node->safe_psql('hr_prod', "SELECT detail FROM jit.events WHERE event = '$_[0]' ORDER BY id DESC LIMIT 1"); }
sub does
{
	my ($user, $sql) = @_;
	my (undef, $err) = sql($node, $user, $sql, 'hr_prod');
	unlike($err, qr/ERROR/, $sql);
	return;
}

# policies
does('paul', q{SELECT jit_set_policy('p', 'forbidden', '$.privileges[*] == "DELETE"', 'Rows are never deleted.')});
does('paul', q{SELECT jit_set_policy('p', 'forbidden', '$.reason > 3')});
is(last_event('policy_set'), '{"after": {"name": "p", "risk": "forbidden", "enabled": true, "condition": "($.\"reason\" > 3)", "description": null}, '
	. '"before": {"name": "p", "risk": "forbidden", "enabled": true, "condition": "($.\"privileges\"[*] == \"DELETE\")", "description": "Rows are never deleted."}, "policy": "p"}',
	'policy_set has before and after');
does('paul', q{SELECT jit_drop_policy('p')});
is($node->safe_psql('hr_prod', q{SELECT detail -> 'after' FROM jit.events WHERE event = 'policy_dropped'}), 'null', 'policy_dropped has nothing after');

# flows
does('paul', q{SELECT jit_set_flow('low', '[{"approver": "security"}]')});
does('paul', q{SELECT jit_set_flow('low', '[{"approver": "guards", "approvals": 3}]')});
is($node->safe_psql('hr_prod', q{SELECT detail #>> '{before,steps,0,approvers,0}' || ' ' || (detail #>> '{after,steps,0,approvers,0}')
	FROM jit.events WHERE event = 'flow_set' ORDER BY id DESC LIMIT 1}), 'security guards', 'flow_set has before and after');
is($node->safe_psql('hr_prod', q{SELECT DISTINCT login || ' ' || role FROM jit.events WHERE event = 'flow_set'}), 'paul paul', 'events say who did it');

# what is there already
sub same
{
	my ($name, $same, $sql) = @_;
	my $before = $node->safe_psql('hr_prod', 'SELECT count(*) FROM jit.events');
	my (undef, $err) = sql($node, 'paul', "SELECT $sql", 'hr_prod');
	my $says = $err =~ /NOTICE:  00000: \S.* is unchanged\nDETAIL:  It was the same already/ ? 1 : 0;
	my $events = $node->safe_psql('hr_prod', 'SELECT count(*) FROM jit.events') - $before;
	is("$says $events", $same ? '1 0' : '0 1', "$name: " . ($same ? 'is said and leaves no event' : 'is an event'));
	return;
}
sub same_policy { return same(shift, shift, q{jit_set_policy('s', 'high', } . shift() . ')'); }
sub same_flow { return same(shift, shift, q{jit_set_flow('high', } . shift() . ')'); }
same_policy('a new policy', 0, q{'$.hour > 20', 'at night'});
same_policy('the same policy', 1, q{'$.hour > 20', 'at night'});
same_policy('written otherwise', 1, q{'($."hour"   >20)', E'at night'});
same_policy('a default given', 1, q{'$.hour > 20', 'at night', enabled => true});
same_policy('disabled', 0, q{'$.hour > 20', 'at night', false});
same_policy('disabled again', 1, q{'$.hour > 20', 'at night', false});
same_policy('without its description', 0, q{'$.hour > 20', enabled => false});
same_policy('another condition', 0, q{'$.hour >= 20', enabled => false});
same_flow('a new flow', 0, q{'[{"approver": "security"}, {"any_of": ["@grantor", "guards"], "approvals": 2}]', '2 hours', ticket_pattern => '^INC'});
same_flow('the same flow', 1, q{'[{"approver": "security"}, {"any_of": ["@grantor", "guards"], "approvals": 2}]', '2 hours', ticket_pattern => '^INC'});
same_flow('written otherwise', 1, q{'[{"approvals": 1.0, "any_of": ["security"]}, {"approvals": 2, "any_of": ["@grantor", "guards"]}]', '120 min', ticket_pattern => '^INC'});
same_flow('steps the other way round', 0, q{'[{"any_of": ["@grantor", "guards"], "approvals": 2}, {"approver": "security"}]', '2 hours', ticket_pattern => '^INC'});
same_flow('a step less', 0, q{'[{"approver": "security"}]', '2 hours', ticket_pattern => '^INC'});
same_flow('without a pattern', 0, q{'[{"approver": "security"}]', '2 hours'});
same_flow('a time to lapse', 0, q{'[{"approver": "security"}]', '2 hours', '1 hour'});
same_flow('the same without an approval', 0, q{'[]', '2 hours', '1 hour'});
same_flow('again without an approval', 1, q{'[]', '2 hours', '1 hour'});
$node->safe_psql('hr_prod', 'CREATE ROLE brief');
does('paul', q{SELECT jit_set_flow('high', '[{"approver": "brief"}]')});
$node->safe_psql('hr_prod', 'DROP ROLE brief; CREATE ROLE brief');
same_flow('another role of the name', 0, q{'[{"approver": "brief"}]'});
does('paul', q{BEGIN; SELECT jit_set_flow('high', '[]'); SELECT jit_set_flow('high', '[{"approver": "brief"}]'); COMMIT});
same_flow('there and back', 1, q{'[{"approver": "brief"}]'});

# labels
sub label { return "SECURITY LABEL FOR jit_access ON TABLE hr.salary IS $_[0]"; }
does('anna', label(q{' b ,a,, b,c '}));
is(last_event('label_set'), '{"after": "b, a, c", "object": "table hr.salary"}', 'a label is an event');
does('anna', label(q{'a, b, c, d'}));
is(last_event('label_set'), '{"after": "a, b, c, d", "before": "b, a, c", "object": "table hr.salary"}', '... with before and after');
my $n = $node->safe_psql('hr_prod', 'SELECT count(*) FROM jit.events');
does('anna', label(q{'a, b, c, d'}));
like((sql($node, 'anna', label("'a'"), 'hr_prod'))[1], qr/ERROR:  42501/, 'its owner takes one away: refused');
does('anna', 'BEGIN; ' . label(q{'a, b, c, d, e'}) . '; ROLLBACK');
is($node->safe_psql('hr_prod', 'SELECT count(*) FROM jit.events'), $n, 'setting the same, what is refused and what is rolled back are none');
does('paul', q{SELECT jit_set_label('VIEW hr.totals -- the view', 'x')});
is(last_event('label_set'), '{"after": "x", "object": "view hr.totals"}', 'jit_set_label() is an event');
does('paul', q{SELECT jit_set_label('TABLE hr.salary', NULL)});
is(last_event('label_set'), '{"before": "a, b, c, d", "object": "table hr.salary"}', '... and so is taking all away');

# all in one transaction, in its order, and with its number of the origin
my $last = $node->safe_psql('hr_prod', 'SELECT max(id) FROM jit.events');
does('paul', q{BEGIN; SELECT jit_set_label('TABLE hr.salary', 'y'), jit_set_policy('q', 'high', '$.hour > 20'), jit_drop_policy('q'); COMMIT});
is(events("id - $last AS n, event", "id > $last"), '[{"n":1,"event":"label_set"}, ' . "\n" . ' {"n":2,"event":"policy_set"}, ' . "\n" . ' {"n":3,"event":"policy_dropped"}]',
	'they are numbered in the order in which they were called');

$node->stop;
done_testing();
