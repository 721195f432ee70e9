# A server without the library enforces nothing, and can't end anything either:
# DROP EXTENSION is refused there, by whichever way.  Where it happened all the
# same, the library, once it is back, ends what is past, in the databases that
# no longer have the extension, too; and what the manual says removes the rest.
#
# The attacks are lines of attacks.md.  Seen to fail with the event triggers not
# ENABLE ALWAYS, and owned by the extension's owner.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('bare');
my $super = getpwuid($<) . '';
create_hr($node);
$node->safe_psql('postgres', 'CREATE ROLE chief SUPERUSER LOGIN; CREATE ROLE ben LOGIN; CREATE ROLE leaver; GRANT CREATE ON DATABASE hr_prod TO ben');
$node->safe_psql('hr_prod', q{
	SET ROLE hr_owner;
	CREATE SEQUENCE hr.numbers;
	GRANT USAGE ON SCHEMA hr TO eve, ben;
	CREATE TABLE hr.title ();
});
# whose extension is not the bootstrap superuser's
$node->safe_psql('postgres', 'CREATE DATABASE chiefs');
$node->safe_psql('chiefs', 'SET ROLE chief; CREATE EXTENSION jit_access; CREATE TABLE t AS SELECT 1 AS x');
$node->safe_psql('postgres', 'CREATE DATABASE passing');
$node->safe_psql('passing', 'CREATE EXTENSION jit_access; CREATE TABLE t AS SELECT 1 AS x');

sub super { return $node->safe_psql($_[1] // 'hr_prod', $_[0]); }

sub with_library
{
	my ($with) = @_;
	$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', $with ? "'jit_access'" : "''");
	$node->restart;
	return;
}

# A superuser who does that is told why not, and nothing has changed.
my $shape = q{SELECT string_agg(what, ', ' ORDER BY what) FROM (SELECT pg_describe_object(classid, objid, 0) AS what FROM pg_depend
	WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'jit_access')) d};
my $guard = qr/ERROR:  55000: extension jit_access cannot be dropped while its library is not loaded\n/;
my $postgres = qr/ERROR:  2BP01: /;

sub refused
{
	my ($sql, $error, $user, $db) = @_;
	$db //= 'hr_prod';
	my $before = super($shape, $db);
	my ($out, $err, $rc) = sql($node, $user // $super, $sql, $db);
	like($err, $error // $guard, 'refused');
	like($err, qr/HINT:  Add jit_access to shared_preload_libraries in postgresql\.conf, restart .* ALTER EVENT TRIGGER jit_access_guard DISABLE/, '... with what to do')
	  if ($error // $guard) == $guard;
	is(super($shape, $db), $before, '... and it is all there');
	return;
}

sub passes
{
	my ($sql, $user) = @_;
	my $before = super($shape);
	my ($out, $err) = sql($node, $user // $super, $sql, 'hr_prod');
	unlike($err, qr/ERROR/, 'passes');
	is(super($shape), $before, '... and it is all there');
	return;
}

# who gets what, and until when
my %id;
$id{dev} = super(q{SELECT jit_grant('SELECT ON hr.salary', 'dev', '1 hour', 'x')});
$id{eve} = super(q{SELECT jit_grant('SELECT ON hr.salary; USAGE ON SEQUENCE hr.numbers', 'eve', '1 s', 'x')});
$id{ben} = super(q{SELECT jit_grant('INSERT ON hr.title', 'ben', '1 hour', 'x')});
super(q{SELECT jit_grant('SELECT ON t', 'leaver', '1 s', 'x')}, 'passing');
sub role { return super("SELECT rolname FROM pg_roles WHERE rolname ~ '_$id{$_[0]}\$' AND rolname ~ ('^jit_grant_' || (SELECT oid FROM pg_database WHERE datname = 'hr_prod'))"); }
my %role = map { $_ => role($_) } keys %id;
with_library(0);

# ---- it stays

attack 'DROP EXTENSION' => sub { refused('DROP EXTENSION jit_access'); };
attack 'DROP EXTENSION CASCADE' => sub { refused('DROP EXTENSION jit_access CASCADE'); };
attack 'beside others' => sub { refused('BEGIN; CREATE EXTENSION citext; DROP EXTENSION IF EXISTS nope, citext, "jit_access"; COMMIT'); };
attack 'in a DO block' => sub { refused(q{DO $$ BEGIN EXECUTE 'DROP EXTENSION jit_' || 'access'; END $$}); };
attack 'after another in the same transaction' => sub {
	refused('BEGIN; CREATE EXTENSION citext; DROP EXTENSION citext; SAVEPOINT s; DROP EXTENSION jit_access; ROLLBACK TO s; DROP EXTENSION IF EXISTS jit_access; COMMIT'); };
attack 'DROP OWNED of its owner' => sub { refused('DROP OWNED BY chief CASCADE', undef, undef, 'chiefs'); };
attack 'by its owner, a superuser no more' => sub {
	super('ALTER ROLE chief NOSUPERUSER');
	refused('DROP EXTENSION jit_access', undef, 'chief', 'chiefs');
	refused('DROP OWNED BY chief CASCADE', undef, 'chief', 'chiefs');
	super('ALTER ROLE chief SUPERUSER');
};
attack 'session_replication_role' => sub { refused('SET session_replication_role = replica; DROP EXTENSION jit_access'); };
attack 'a setting of the session that looks like ours' => sub { refused(q{SET jit_access.admin_role = ''; DROP EXTENSION jit_access}); };
attack 'ours are still in postgresql.conf' => sub {
	$node->append_conf('postgresql.conf', "jit_access.admin_role = ''");
	$node->reload;
	refused('DROP EXTENSION jit_access');
};
attack 'what the guard looks at, in a schema of one\'s own' => sub {
	refused(q{CREATE SCHEMA trap; CREATE FUNCTION trap.pg_settings_get_flags(text) RETURNS text[] LANGUAGE sql RETURN '{}'::text[];
		CREATE TEMP TABLE pg_extension AS SELECT 'jit_access' AS extname;
		SET search_path = trap, pg_temp, pg_catalog; DROP EXTENSION jit_access}); };
attack 'its language goes' => sub { refused('DROP EXTENSION plpgsql CASCADE'); };
attack 'its language goes, in other words' => sub { refused(q{DO $$ BEGIN EXECUTE format('DROP EXTENSION %s CASCADE', 'plpg' || 'sql'); END $$}); };
attack 'its language goes, without CASCADE' => sub { refused('DROP EXTENSION plpgsql', $postgres); };
attack 'its parts' => sub {
	refused("DROP $_ CASCADE", $postgres) for ('SCHEMA jit', 'TABLE jit.requests', 'TYPE jit.risk_level', 'FUNCTION jit_revoke(integer, text)',
		'FUNCTION jit_access_guard()', 'EVENT TRIGGER jit_access_guard', 'EVENT TRIGGER jit_access_guard_end', 'LANGUAGE plpgsql');
};
attack 'what is beneath it' => sub {
	is(super(q{SELECT DISTINCT pg_describe_object(refclassid, refobjid, 0) FROM pg_depend d
		WHERE refclassid <> 'pg_extension'::regclass AND (classid, objid) IN (SELECT classid, objid FROM pg_depend WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'jit_access'))
		AND (refclassid, refobjid) NOT IN (SELECT classid, objid FROM pg_depend WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'jit_access'))
		AND (refclassid, refobjid, 'i') NOT IN (SELECT classid, objid, deptype FROM pg_depend)}),
		'language plpgsql', 'nothing else can be dropped from under it');
};
attack 'in a copy of the database' => sub {
	super('CREATE DATABASE copy TEMPLATE hr_prod', 'postgres');
	refused('DROP EXTENSION jit_access', undef, undef, 'copy');
};
attack 'in a dump' => sub {
	my ($dump) = run_command([ 'pg_dump', '-d', $node->connstr('hr_prod') ]);
	like($dump, qr/^CREATE EXTENSION IF NOT EXISTS jit_access /m, 'the extension is in it');
	unlike($dump, qr/jit_access_guard/, '... and makes its guard itself');
};
attack 'two at once' => sub {
	my @s = map { session($node, $super, 'hr_prod') } 1, 2;
	$s[0]->do('BEGIN; DROP EXTENSION IF EXISTS nope');
	$s[1]->begin('DROP EXTENSION jit_access');
	ok(wait_until(sub { $s[1]->ended || waits($node, $s[1]) }), 'the second waits');
	$s[0]->do('COMMIT');
	like(($s[1]->end)[1], $guard, '... and is refused');
	$_->quit foreach @s;
};

# ---- and is in nobody's way

attack 'other commands that drop' => sub {
	passes('CREATE EXTENSION citext; DROP EXTENSION citext');
	passes('CREATE EXTENSION citext; CREATE TABLE of_citext (x citext); DROP EXTENSION citext CASCADE');
	passes('DROP EXTENSION IF EXISTS nope');
	passes('CREATE EXTENSION citext; DROP EXTENSION citext', 'ben');
	passes('DROP OWNED BY leaver');
	refused('DROP EXTENSION jit_access');
};
attack 'who may not drop it anyway' => sub { refused('DROP EXTENSION jit_access', qr/ERROR:  42501: must be owner of extension jit_access\n/, 'anna'); };

# ---- it happened all the same

my $member = q{SELECT count(*) FROM pg_auth_members WHERE roleid = '%s'::regrole};
sub members { return super(sprintf($member, $role{ $_[0] })); }
sub held { return super("SELECT has_table_privilege('$_[0]', 'hr.salary', 'SELECT')"); }

# the 1 s of eve's are over
is(super(qq{SELECT rolvaliduntil <= clock_timestamp() FROM pg_roles WHERE rolname = '$role{eve}'}), 't', 'a deadline is past');
is(sql($node, 'eve', 'SELECT count(*) FROM hr.salary', 'hr_prod'), '100', '... and without the library nobody minds');

attack 'the guard is disabled' => sub {
	super("BEGIN; ALTER EVENT TRIGGER $_ DISABLE; DROP EXTENSION jit_access; ROLLBACK") for ('jit_access_guard', 'jit_access_guard_end');
	super('ALTER EVENT TRIGGER jit_access_guard DISABLE; DROP EXTENSION jit_access');
	is(super(q{SELECT (SELECT count(*) FROM pg_event_trigger), (SELECT count(*) FROM pg_proc WHERE proname ~ '^jit_')}), '0|0', 'nothing of it is left');
};
super('ALTER EVENT TRIGGER jit_access_guard DISABLE; DROP EXTENSION jit_access', 'passing');
my $gone = super(q{SELECT oid FROM pg_database WHERE datname = 'passing'});
super('DROP DATABASE passing', 'postgres');
my $from = -s $node->logfile;
with_library(1);

attack 'what is past, when the library is back' => sub {
	like((sql($node, 'eve', 'SELECT count(*) FROM hr.salary', 'hr_prod'))[1], qr/ERROR:  42501: permission denied for table salary\n/, 'denied at once');
	ok(wait_until(sub { members('eve') eq '0' }, 5), 'its membership is gone soon');
	is(held('eve'), 'f', '... and with it what no hook denies');
	is(super(q{SELECT has_sequence_privilege('eve', 'hr.numbers', 'USAGE')}), 'f', '... sequences, say');
	$node->wait_for_log(qr/LOG:  jit_access: role $role{eve}, whose time is over, is not dropped\n.*DETAIL:  No ledger says that jit_access made it\.\n.*HINT:  If nobody needs it, use DROP ROLE $role{eve}\.\n/, $from);
	pass('the log says what to do with the role');
	is(super("SELECT count(*) FROM pg_roles WHERE rolname = '$role{eve}'"), '1', 'which is left: names are no proof');
};
attack 'of a database that is gone as well' => sub {
	ok(wait_until(sub { super("SELECT count(*) FROM pg_roles WHERE rolname ~ '^jit_grant_${gone}_'") eq '0' }, 5), 'its role is gone');
};
attack 'what is not past, at its deadline' => sub {
	is(members('ben'), '1', 'it goes on');
	super("ALTER ROLE $role{ben} VALID UNTIL '" . super(q{SELECT clock_timestamp() + interval '1 s'}) . "'");
	ok(wait_until(sub { members('ben') eq '0' }, 8), '... until then');
};
attack 'what is not past, by a panic button' => sub {
	is(held('dev'), 't', 'it goes on');
	super(q{SELECT jit_revoke_from('dev', 'x')}, 'postgres');
	is(held('dev'), 'f', '... until it is pressed in another database');
};
attack 'the extension is made again' => sub {
	super('CREATE EXTENSION jit_access');
	my $n = super(q{SELECT jit_grant('SELECT ON hr.salary', 'dev', '1 hour', 'x')});
	is(held('dev'), 't', 'and works beside what is left');
	isnt(super("SELECT role FROM jit.grants WHERE request_id = $n"), $_, '... in roles of its own') foreach values %role;
	super('DROP EXTENSION jit_access');
	is(held('dev'), 'f', 'with the library it can go');
	is(super('SELECT count(*) FROM pg_roles WHERE rolname = ANY ($$' . '{' . join(',', values %role) . '}$$)'), '3', '... and leaves alone what is not its own');
};

# ---- the manual's way out

# the SQL of its page, by the number of the block
my @blocks = slurp_file(dirname(abs_path(__FILE__)) . '/../../doc/uninstall.md') =~ /^```sql\n(.*?)^```$/msg;
attack 'the usual way of the manual' => sub {
	super('CREATE EXTENSION jit_access; SECURITY LABEL FOR jit_access ON COLUMN hr.salary.amount IS $$pii$$');
	super(q{SELECT jit_grant('SELECT ON hr.salary', 'eve', '1 hour', 'x')});
	my $err = ($node->psql('hr_prod', $blocks[0], on_error_stop => 1))[2];
	is($err, '', 'no error');
	is(held('eve'), 'f', 'what was granted has ended');
	is(super('SELECT count(*) FROM pg_seclabels'), '0', '... and no label is left');
};
attack 'what the manual says removes' => sub {
	# without the library, as if it were lost
	super('CREATE EXTENSION jit_access');
	super(q{SELECT jit_grant('SELECT ON hr.salary', 'eve', '1 hour', 'x')});
	super(q{SELECT jit_grant('SELECT ON t', 'eve', '1 hour', 'x')}, 'chiefs');
	super('CREATE ROLE jit_scope_keeper LOGIN; CREATE ROLE jit_grant_1_1 LOGIN; GRANT SELECT ON hr.salary TO leaver, jit_scope_keeper');
	with_library(0);
	is(held('eve'), 't', 'it is lost');
	my @left = grep { /pg_roles/ } @blocks;
	my ($rc, $out, $err) = $node->psql('postgres', $left[0], on_error_stop => 1);
	is($err, '', 'no error');
	is(held('eve'), 'f', 'what was granted has ended');
	foreach my $db ('hr_prod', 'chiefs', 'copy')
	{
		($rc, $out, $err) = $node->psql($db, "$_", on_error_stop => 1), is($err, '', "no error in $db")
		  for ('ALTER EVENT TRIGGER jit_access_guard DISABLE; DROP EXTENSION jit_access', $left[1]);
	}
	($rc, $out, $err) = $node->psql('postgres', $left[2], on_error_stop => 1);
	is($err, '', 'no error');
	is(super(q{SELECT string_agg(rolname, ', ' ORDER BY rolname) FROM pg_roles WHERE rolname ~ '^jit_'}), 'jit_grant_1_1, jit_scope_keeper', 'no role of ours is left');
	is(super(q{SELECT relacl::text ~ 'jit_scope_[0-9]', has_table_privilege('leaver', 'hr.salary', 'SELECT'), has_table_privilege('jit_scope_keeper', 'hr.salary', 'SELECT') FROM pg_class WHERE oid = 'hr.salary'::regclass}),
		'f|t|t', '... nor a privilege, and others are there');
};

$node->stop;
all_attacks_done();
done_testing();
