# jit_extend(): the same access again, for the same grantee, as it was resolved
# and by the rules of now; while it lasts, or once it has ended.
#
# The attacks are lines of attacks.md.  Guards jit_request_to_extend() and
# jit_extend().  Seen to fail with may_extend() true of everybody: the approver's;
# with items read by name, by jit_load_request_items(): what was renamed or made
# anew; without the NOTICE of what is gone: what was dropped; without
# jit_complaints(): what is longer than it may be; without check_not_pending():
# what is pending; without jit_require_top_level(): the group's in a function;
# without the look at old->until: an until that is past; without
# request->extends: what says which one it extends; without
# pending_extensions(): what is left of it.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('extend', "jit_access.max_pending = 100\njit_access.admin_role = 'admin'\njit_access.proxy_logins = 'pooler'", extra => [ '--encoding', 'UTF8', '--no-locale' ]);
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE admin; CREATE ROLE carl LOGIN; GRANT admin TO carl; CREATE ROLE ben LOGIN; CREATE ROLE oncall; GRANT oncall TO dev, ben;
	CREATE ROLE hr_reader; CREATE ROLE pooler LOGIN; GRANT dev TO pooler;
	GRANT CREATE ON DATABASE hr_prod TO dev; CREATE SCHEMA dev AUTHORIZATION dev; GRANT USAGE ON SCHEMA dev, hr TO PUBLIC;
	SET ROLE hr_owner;
	DO $$ BEGIN FOR i IN 1 .. 60 LOOP EXECUTE format('CREATE TABLE hr.t%s (a int, b int, c int)', i); END LOOP; END $$;
	RESET ROLE;
	SELECT jit_set_flow('low', '[]', ticket_pattern => 'free'), jit_set_policy('free', 'low', '$.ticket == "free"');
});

sub as { return sql($node, $_[0], $_[1], 'hr_prod'); }
sub super { return $node->safe_psql('hr_prod', $_[0]); }

# a table that nothing has been asked for of yet
my $t = 0;
sub fresh { return 'hr.t' . ++$t; }

# Files, and has it approved; returns the number.
sub filed
{
	my ($who, $access, $rest) = @_;
	my ($n, $err) = as($who, "SELECT jit_request('$access', " . ($rest // q{'1 h', 'month-end'}) . ')');
	die $err unless $n =~ /^\d+$/;
	return $n;
}
sub active
{
	my $n = filed(@_);
	my ($out, $err) = as('anna', "SELECT jit_approve($n)");
	die $err unless $out eq 'active';
	return $n;
}
sub revoked { my $n = active(@_); as('anna', "SELECT jit_revoke($n, 'over')"); return $n; }
sub row { return super("SELECT $_[1] FROM jit.requests WHERE id = $_[0]"); }
sub items { return super("SELECT string_agg(concat_ws(' ', privileges, columns, object), '; ' ORDER BY item) FROM jit.request_items WHERE request_id = $_[0] AND NOT added"); }

# It is filed, and pending or active; returns number and messages.
sub extended
{
	my ($who, $args, $status) = @_;
	my ($new, $err) = as($who, "SELECT jit_extend($args)");
	like($new, qr/^\d+$/, "$who extends it") or do { diag $err; return (0, $err) };
	is(row($new, 'status'), $status // 'pending', '... and it is ' . ($status // 'pending'));
	is(row($new, 'extends'), $args =~ s/,.*//sr, '... and says what it extends');
	return ($new, $err);
}
sub refused
{
	my ($who, $call, $error, $more) = @_;
	my $before = super('SELECT count(*) FROM jit.requests');
	my ($out, $err) = as($who, $call);
	like($err, $error, "$who is refused");
	like($err, $more, '... and is told') if $more;
	is(super('SELECT count(*) FROM jit.requests'), $before, '... and nothing is filed');
	return;
}

# ---- the main job

attack 'active access is extended' => sub {
	my $table = fresh();
	my $old = active('dev', "SELECT (a, b), INSERT ON $table", q{'1 h', 'month-end', ticket => 'INC-1'});
	my ($new, $err) = extended('dev', $old);
	is(row($new, 'duration, reason, ticket, requester, grantee'), '01:00:00|month-end|INC-1|dev|dev', 'what is not given is taken from there');
	is(items($new), items($old), 'the same items');
	like($err, qr/it continues request $old, which ends at /, 'it says what it continues');
	is(super("SELECT detail ->> 'extends' FROM jit.events WHERE request_id = $new AND event = 'requested'"), $old, 'the event says it, too');
	as('anna', "SELECT jit_approve($new)");
	is(super("SELECT n.expires_at = n.activated_at + interval '1 h' AND n.expires_at > o.expires_at AND o.status = 'active'
		FROM jit.requests n, jit.requests o WHERE n.id = $new AND o.id = $old"), 't', 'it counts from the approval, and both last');
	($t, $err) = (substr($table, 4), (as('anna', "SELECT jit_revoke($old)"))[1]);
	like($err, qr/WARNING: .*dev still has .*$table by request $new, until .*\nHINT:  To end that too: SELECT jit_revoke\($new\);/, 'jit_revoke() of the older one names the newer');
};
attack 'what is given counts' => sub {
	my $old = active('dev', 'SELECT ON ' . fresh());
	my ($new) = extended('dev', "$old, '2 h', 'still at it', ticket => 'INC-2'");
	is(row($new, 'duration, reason, ticket'), '02:00:00|still at it|INC-2', 'duration, reason and ticket');
};
attack 'access that has ended' => sub {
	extended('dev', revoked('dev', 'SELECT ON ' . fresh()));
	my $n = filed('dev', 'SELECT ON ' . fresh());
	as('anna', "SELECT jit_reject($n, 'no')");
	extended('dev', $n);
	as('dev', 'SELECT jit_cancel(' . ($n = filed('dev', 'SELECT ON ' . fresh())) . ')');
	extended('dev', $n);
	super("UPDATE jit.requests SET lapses_at = now() WHERE id = " . ($n = filed('dev', 'SELECT ON ' . fresh())));
	extended('dev', $n);
	super("ALTER ROLE " . super('SELECT role FROM jit.grants WHERE request_id = ' . ($n = active('dev', 'SELECT ON ' . fresh()))) . " VALID UNTIL '2001-01-01'");
	extended('dev', $n);
};
attack 'under a flow of [] it is active at once' => sub {
	my $old = revoked('dev', 'SELECT ON ' . fresh());
	my ($new, $err) = extended('dev', "$old, ticket => 'free'", 'active');
	like($err, qr/NOTICE: .*dev \(pooler\) has SELECT ON hr\.t\d+ in hr_prod until /, 'it says so');
};
attack 'a group\'s, by a member' => sub {
	my $old = active('dev', 'SELECT ON ' . fresh(), q{'1 h', 'x', grantee => 'oncall'});
	my ($new) = extended('ben', $old);
	is(row($new, 'requester, grantee'), 'ben|oncall', 'for the group, by who asks');
};
attack 'a membership' => sub {
	my $n = super(q{SELECT jit_grant('hr_reader', 'dev', '1 h', 'x')});
	my ($new) = extended('dev', $n);
	is(items($new), '{} hr_reader', 'of the same role');
};

# ---- who may

attack 'a stranger' => sub { refused('eve', 'SELECT jit_extend(' . active('dev', 'SELECT ON ' . fresh()) . ')', qr/ERROR:  42501: you cannot extend/, qr/DETAIL:  It does not concern you/); };
attack 'the approver' => sub { refused('anna', 'SELECT jit_extend(' . active('dev', 'SELECT ON ' . fresh()) . ')', qr/ERROR:  42501: you cannot extend/, qr/Only whoever asked for it or gets the access can/); };
attack 'a request that is not there' => sub { refused('dev', 'SELECT jit_extend(99999)', qr/ERROR:  42704: /); refused('dev', 'SELECT jit_extend(NULL)', qr/ERROR:  22004: /); };
attack 'a new role of the requester\'s name' => sub {
	super('CREATE ROLE fritz LOGIN');
	my $old = revoked('fritz', 'SELECT ON ' . fresh());
	super('DROP ROLE fritz; CREATE ROLE fritz LOGIN');
	refused('fritz', "SELECT jit_extend($old)", qr/ERROR:  42501: you cannot extend/);
};
attack 'a role that is the grantee no more' => sub {
	super('CREATE ROLE left_it LOGIN IN ROLE oncall');
	my $old = revoked('left_it', 'SELECT ON ' . fresh(), q{'1 h', 'x', grantee => 'oncall'});
	super('REVOKE oncall FROM left_it');
	refused('left_it', "SELECT jit_extend($old)", qr/ERROR:  42501: you cannot request access for role oncall/);
};
attack 'a member for a time' => sub {
	super('CREATE ROLE guest LOGIN');
	super(q{SELECT jit_grant('oncall', 'guest', '1 h', 'x')});
	my $old = revoked('dev', 'SELECT ON ' . fresh(), q{'1 h', 'x', grantee => 'oncall'});
	refused('guest', "SELECT jit_extend($old)", qr/ERROR:  42501: /);
	refused('guest', "SET ROLE oncall; SELECT jit_extend($old)", qr/ERROR:  42501: /);
};
attack 'a group\'s in a function' => sub {
	my $old = revoked('dev', 'SELECT ON ' . fresh(), q{'1 h', 'x', grantee => 'oncall'});
	as('dev', "CREATE FUNCTION dev.f$old() RETURNS int LANGUAGE sql AS 'SELECT jit_extend($old)'; GRANT USAGE ON SCHEMA dev TO PUBLIC");
	refused('ben', "SELECT dev.f$old()", qr/ERROR:  42501: jit_extend\(\) must be called in a statement of its own/);
	refused('ben', "DO \$\$BEGIN PERFORM jit_extend($old); END\$\$", qr/ERROR:  42501: jit_extend\(\) must be called in a statement of its own/);
	as('dev', "CREATE VIEW dev.v$old AS SELECT jit_extend($old); GRANT SELECT ON dev.v$old TO PUBLIC");
	refused('ben', $_, qr/ERROR:  42501: jit_extend\(\) must be called in a statement of its own/)
	  for "TABLE dev.v$old", "WITH x AS (SELECT jit_extend($old)) TABLE x", "SELECT query_to_xml('SELECT jit_extend($old)', true, true, '')";
};
attack 'one\'s own in a function' => sub {
	my $old = revoked('dev', 'SELECT ON ' . fresh());
	like(scalar as('dev', "CREATE FUNCTION dev.own() RETURNS int LANGUAGE sql AS 'SELECT jit_extend($old)'; SELECT dev.own()"), qr/^\d+$/, 'passes');
};
attack 'behind a proxy' => sub {
	my $old = revoked('dev', 'SELECT ON ' . fresh());
	my ($new) = as('pooler', "SET ROLE dev; SELECT jit_extend($old)");
	is(row($new, 'requester, login, grantee'), 'dev|pooler|dev', 'as jit_request() there');
	refused('pooler', "SELECT jit_extend($old)", qr/ERROR:  (42501|22023|23505|42710): /);
};

# ---- what

attack 'what was renamed' => sub {
	my $table = fresh();
	my $old = revoked('dev', "SELECT (a) ON $table");
	super("ALTER TABLE $table RENAME a TO aa; ALTER TABLE $table RENAME TO renamed; SET ROLE hr_owner; CREATE TABLE $table (a int)");
	my ($new, $err) = extended('dev', $old);
	is(items($new), '{SELECT} {aa} hr.renamed', 'is the same by its new name');
	is(row($new, 'access'), 'SELECT (aa) ON hr.renamed', '... and approvers see that');
};
attack 'what was dropped and made anew' => sub {
	my ($table, $other) = (fresh(), fresh());
	my $old = revoked('dev', "SELECT ON $table, $other");
	super("DROP TABLE $table; SET ROLE hr_owner; CREATE TABLE $table (a int)");
	my ($new, $err) = extended('dev', $old);
	is(items($new), "{SELECT} $other", 'is not the same');
	like($err, qr/NOTICE: .*left out is what has been dropped since request $old in hr_prod: table \Q$table\E$/m, '... which is said');
};
attack 'all of it was dropped' => sub {
	my $table = fresh();
	my $old = revoked('dev', "SELECT ON $table");
	super("DROP TABLE $table");
	refused('dev', "SELECT jit_extend($old)", qr/ERROR:  42704: nothing of what request $old in hr_prod was for is left/, qr/DETAIL:  Dropped since: table \Q$table\E\./);
};
attack 'columns were dropped' => sub {
	my $table = fresh();
	my $old = revoked('dev', "SELECT (a, b) ON $table");
	super("ALTER TABLE $table DROP a");
	my ($new, $err) = extended('dev', $old);
	is(items($new), "{SELECT} {b} $table", 'the rest is asked for');
	like($err, qr/dropped since request $old in hr_prod: column a of table \Q$table\E$/m, '... and what is gone is named');
	super("ALTER TABLE $table DROP b");
	refused('dev', "SELECT jit_extend($old)", qr/ERROR:  42704: nothing of what/, qr/column a of table \Q$table\E, column b of table/);
};
attack 'the grantee was dropped' => sub {
	super('CREATE ROLE gone; GRANT gone TO dev');
	my $old = revoked('dev', 'SELECT ON ' . fresh(), q{'1 h', 'x', grantee => 'gone'});
	super('DROP ROLE gone; CREATE ROLE gone; GRANT gone TO dev');
	refused('dev', "SELECT jit_extend($old)", qr/ERROR:  42704: role gone, which request $old in hr_prod was for, does not exist any more/);
};
attack 'a role that became a superuser' => sub {
	super('CREATE ROLE mighty');
	my $n = super(q{SELECT jit_grant('mighty', 'dev', '1 h', 'x')});
	super("SELECT jit_revoke($n)");
	super('ALTER ROLE mighty SUPERUSER');
	refused('dev', "SELECT jit_extend($n)", qr/ERROR:  0LP01: role mighty cannot be requested/);
};

# ---- how long, and by which rules

attack 'an until that is past' => sub {
	my $old = active('dev', 'SELECT ON ' . fresh(), q{reason => 'x', until => now() + interval '1 h'});
	refused('dev', "SELECT jit_extend($old)", qr/ERROR:  22023: request $old in hr_prod cannot be extended without a duration/, qr/HINT:  Such as: SELECT jit_extend\($old, '1 hour'\);/);
	as('anna', "SELECT jit_revoke($old)");
	my ($new) = extended('dev', $old);
	is(row($new, "duration IS NULL, until = (SELECT until FROM jit.requests WHERE id = $old)"), 't|t', 'one that is to come stays, once the access has ended');
	as('dev', "SELECT jit_cancel($new)");
	super("UPDATE jit.requests SET until = now() - interval '1 h' WHERE id = $old");
	refused('dev', "SELECT jit_extend($old)", qr/ERROR:  22023: request $old in hr_prod cannot be extended without/);
	($new) = extended('dev', "$old, '2 h'");
	is(row($new, 'duration, until IS NULL'), '02:00:00|t', 'a duration takes its place');
};
attack 'no longer than what is there' => sub {
	my $old = active('dev', 'SELECT ON ' . fresh(), q{'3 h', 'x'});
	refused('dev', "SELECT jit_extend($old, '1 h')", qr/ERROR:  42710: dev already has this access/, qr/comes through request $old until/);
};
attack 'longer than it may be now' => sub {
	my $old = revoked('dev', 'SELECT ON ' . fresh(), q{'3 h', 'x'});
	refused('dev', "SELECT jit_extend($old, '1000 days')", qr/ERROR:  22023: access cannot be requested for so long/);
	refused('dev', "SELECT jit_extend($old, '-1 h')", qr/ERROR:  22023: /);
	refused('dev', "SELECT jit_extend($old, '1 month')", qr/ERROR:  22023: /);
	super(q{SELECT jit_set_flow('high', '[{"approver": "@grantor"}]', max_duration => '2 h', reason_pattern => '^JIRA'), jit_set_policy('all', 'high', '$.requester == "dev"')});
	refused('dev', "SELECT jit_extend($old)", qr/ERROR:  22023: this is not what a request of high risk needs/,
		qr/DETAIL:  At most 02:00:00 is allowed\.\nThe reason must match the pattern "\^JIRA"\.\nHINT:  Such as: SELECT jit_extend\($old, '02:00:00', 'why you need it'\);/);
	my ($new) = extended('dev', "$old, '2 h', 'JIRA-1'");
	is(row($new, 'risk'), 'high', 'by the risk of now');
	super(q{SELECT jit_drop_policy('all')});
};
attack 'what a policy forbids by now' => sub {
	my $old = revoked('dev', 'SELECT ON ' . fresh());
	super(q{SELECT jit_set_policy('none', 'forbidden', '$.requester == "dev"')});
	refused('dev', "SELECT jit_extend($old)", qr/ERROR:  42501: policy "?none"? forbids this request/);
	super(q{SELECT jit_drop_policy('none')});
};
attack 'the flow of then' => sub {
	my $old = filed('dev', 'SELECT ON ' . fresh(), q{'1 h', 'x', ticket => 'free'});
	super("SELECT jit_revoke($old)");
	super(q{SELECT jit_set_flow('low', '[{"approver": "@grantor"}]')});
	extended('dev', $old);
	super(q{SELECT jit_set_flow('low', '[]')});
};
attack 'max_pending' => sub {
	my $old = revoked('dev', 'SELECT ON ' . fresh());
	super('ALTER SYSTEM SET jit_access.max_pending = 0'); $node->reload;
	$node->poll_query_until('hr_prod', q{SELECT current_setting('jit_access.max_pending') = '0'}) or die;
	refused('dev', "SELECT jit_extend($old)", qr/ERROR:  54000: too many pending requests/);
	super('ALTER SYSTEM RESET jit_access.max_pending'); $node->reload;
	$node->poll_query_until('hr_prod', q{SELECT current_setting('jit_access.max_pending') = '100'}) or die;
};
attack 'one that is pending' => sub {
	my $old = filed('dev', 'SELECT ON ' . fresh());
	refused('dev', "SELECT jit_extend($old)", qr/ERROR:  55000: request $old in hr_prod is still pending/, qr/HINT: .*SELECT jit_cancel\($old\);/);
};
attack 'twice' => sub {
	my $old = active('dev', 'SELECT ON ' . fresh());
	my ($new) = extended('dev', $old);
	refused('dev', "SELECT jit_extend($old)", qr/ERROR:  42710: request $new in hr_prod for the same access is pending/);
};
attack 'an extension of an extension' => sub {
	my $old = active('dev', 'SELECT ON ' . fresh());
	my ($new) = extended('dev', "$old, '2 h'");
	as('anna', "SELECT jit_approve($new)");
	my ($third) = extended('dev', "$new, '3 h'");
	is(row($third, 'extends'), $new, 'it extends the one that was named');
};
attack 'what is left of an extension when the access is revoked' => sub {
	my %end = (dev => 'jit_cancel(%s)', anna => q{jit_reject(%s, 'why')}, postgres => q{jit_reject(%s, 'why')});
	foreach my $who (sort keys %end)
	{
		my $old = active('dev', 'SELECT ON ' . fresh());
		my ($new) = extended('dev', "$old, '2 h'");
		my $call = sprintf($end{$who}, $new);
		my ($out, $err) = as($who, "SELECT jit_revoke($old)");
		like($err, qr/WARNING:  .*request $new in hr_prod, which extends it, is pending\n.*HINT:  To end that too: SELECT \Q$call\E;/s, "$who is told of it");
		($out, $err) = as($who, "SELECT $call");
		like($out, qr/^(canceled|rejected)$/, '... and can paste the hint') or diag $err;
	}
	my $old = active('dev', 'SELECT ON ' . fresh());
	as('dev', 'SELECT jit_cancel(' . (extended('dev', "$old, '2 h'"))[0] . ')');
	unlike((as('anna', "SELECT jit_revoke($old)"))[1], qr/which extends it/, 'one that was withdrawn is not named');
};
attack 'rolled back' => sub {
	my $old = active('dev', 'SELECT ON ' . fresh());
	my $before = super('SELECT count(*) FROM jit.requests');
	as('dev', "BEGIN; SELECT jit_extend($old, '2 h', ticket => 'free'); ROLLBACK");
	is(super('SELECT count(*) FROM jit.requests'), $before, 'nothing is filed');
};

# ---- elsewhere

attack 'in a copy of the database' => sub {
	my $table = fresh();
	my $old = revoked('dev', "SELECT ON $table");
	super("DROP TABLE $table; SET ROLE hr_owner; CREATE TABLE $table (a int)");
	$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE hr_prod OWNER hr_owner');
	my ($new, $err) = sql($node, 'dev', "SELECT jit_extend($old)", 'copied');
	like($new, qr/^\d+$/, 'what is there by that name is asked for anew') or diag $err;
	is($node->safe_psql('copied', "SELECT origin = (SELECT system_identifier FROM pg_control_system()) || '/' || (SELECT oid FROM pg_database WHERE datname = 'copied'), extends FROM jit.requests WHERE id = $new"), "t|$old", '... there');
};

all_attacks_done();
done_testing();
