# jit_config() writes the configuration as statements: run here again they
# change nothing, and run elsewhere they make the same, whatever things are
# called and whatever the settings are.  A flow whose role is gone isn't made
# into one of somebody else's.
#
# The attacks are lines of attacks.md.  Seen to fail with jit_require_auditor()
# left out, with constants by quote_literal(), with unseen characters as they
# are, without the look at roles that are gone, with labels compared as texts,
# with unqualified functions, and without ORDER BY.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('config', '', allows_streaming => 1, extra => [ '--encoding', 'UTF8', '--no-locale' ]);
create_hr($node);
my $super = getpwuid($<) . '';

sub super { my ($sql, $db) = @_; return $node->safe_psql($db // 'hr_prod', "SET client_min_messages = error; $sql"); }
sub as { my ($out, $err) = sql($node, $_[0], $_[1], 'hr_prod'); return ($out, $err); }

my $objects = q{CREATE SCHEMA "Odd ""s'\\c$$"; CREATE TABLE "Odd ""s'\\c$$"."T'\\" ("C'\\ $1" int, b int); CREATE VIEW "Odd ""s'\\c$$".v AS SELECT 1 AS "X";
	CREATE MATERIALIZED VIEW hr.mv AS SELECT 1 AS x; CREATE TYPE hr."Ty'\\pe" AS (a int);
	CREATE FUNCTION hr."F'\\"(int, text[], hr."Ty'\\pe") RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE FUNCTION hr."F'\\"() RETURNS int LANGUAGE sql AS 'SELECT 1';
	CREATE PROCEDURE hr.p(int, OUT x int) LANGUAGE sql AS 'SELECT 1'; CREATE AGGREGATE hr.agg(*) (sfunc = int8inc, stype = int8, initcond = '0');
	CREATE FUNCTION hr.part(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE hr.parted (a int) PARTITION BY LIST (a);};
my ($end) = line_ends($node);
my $nonstandard = $node->pg_version->major < 19 ? '-c standard_conforming_strings=off' : '';
my @roles = ('Sec"ur\'i\\ty', '$1', 'Anyone', '@other', 'select', "ends${end}of line");
sub ident { my ($n) = @_; $n =~ s/"/""/g; return qq{"$n"}; }
my $roles = join ' ', map { 'CREATE ROLE ' . ident($_) . ';' } @roles;

super($roles . q{CREATE ROLE auditors; CREATE ROLE olga LOGIN; GRANT auditors TO olga; CREATE ROLE adam LOGIN; ALTER DATABASE hr_prod SET jit_access.auditor_role = 'auditors'; ALTER DATABASE hr_prod SET jit_access.admin_role = 'adam'});
super($objects);
super(q{SELECT jit_set_policy(E'it''s "\\\\" $$ :x :''y''', 'high', '$.ticket == "a\\"b''c\\\\d" || $.reason like_regex "^\\\\d+\$" flag "i"', E'two\\nlines\\t\\\\n \\u202e\\u0085\\x01 end'),
	jit_set_policy('B', 'low', '$.hour > 3'), jit_set_policy('a', 'forbidden', 'exists($.items[*] ? (@.name == "x"))', NULL, false), jit_set_policy('Z', 'moderate', '$.duration > 3600.5', 'why', false)});
super(q{SELECT jit_set_flow('low', '[]', request_ttl => '90 min'), jit_set_flow('moderate', '[{"approver": "@grantor", "approvals": 2}]', '1 day 02:03:04.5'),
	jit_set_flow('high', '[{"any_of": ["Sec\"ur''i\\\\ty", "@grantor", "$1", "ends!of line"], "approvals": 3}, {"approver": "Anyone"}, {"any_of": ["@other", "select"]}]', '4 hours', '2 days', E'^[A-Z]''\\\\d+', '^INC-\d+$')} =~ s/!/$end eq "\n" ? '\n' : '\u000b'/er);
my @labels = map { "SELECT jit_set_label(\$l\$$_\$l\$, 'pii, x-$_[0]')" =~ s/x-.*?'/l_1'/r } ('SCHEMA "Odd ""s\'\\c$$"', 'TABLE "Odd ""s\'\\c$$"."T\'\\"', 'COLUMN "Odd ""s\'\\c$$"."T\'\\"."C\'\\ $1"', 'COLUMN "Odd ""s\'\\c$$".v."X"',
	'VIEW "Odd ""s\'\\c$$".v', 'MATERIALIZED VIEW hr.mv', 'FUNCTION hr."F\'\\"(int, text[], hr."Ty\'\\pe")', 'FUNCTION hr."F\'\\"()', 'PROCEDURE hr.p(int)', 'AGGREGATE hr.agg(*)', 'TABLE hr.parted', 'ROLE "$1"', 'ROLE "Sec""ur\'i\\ty"', 'ROLE "ends' . $end . 'of line"');
super($_) foreach @labels;

my $dir = PostgreSQL::Test::Utils::tempdir();
sub config { my ($where, $db) = @_; return ($where // $node)->safe_psql($db // 'hr_prod', 'SELECT jit_config()'); }

# As it is kept, and run: with a file, psql, and that setting.
sub run_file
{
	my ($where, $db, $text, $setting) = @_;
	PostgreSQL::Test::Utils::append_to_file("$dir/config.sql", '');
	open my $file, '>:raw', "$dir/config.sql" or die $!;
	print $file "$text\n";
	close $file;
	local $ENV{PGOPTIONS} = $setting // '';
	my ($out, $err) = ('', '');
	IPC::Run::run([ $where->installed_command('psql'), '-XAtq', '-d', $where->connstr($db), '-f', "$dir/config.sql" ], '>', \$out, '2>', \$err);
	return $err;
}
my $config = config();
my $events = 'SELECT count(*) FROM jit.events';

attack 'a statement a row, a row a line, in an order' => sub {
	my @lines = split /\n/, $config;
	is(scalar(@lines), super('SELECT count(*) FROM jit_config()'), 'as many lines as rows');
	is(scalar(grep { !/^SELECT pg_catalog\.jit_set_(policy|flow|label)\(.*\);$/ } @lines), 0, 'each is a statement') or diag($config);
	is(scalar(@lines), 4 + 3 + @labels, 'policies, flows and labels');
	is_deeply([ map { /jit_set_policy\(E?'([^']+)/ ? $1 : () } @lines ], [ 'B', 'Z', 'a', 'it' ], 'policies by name');
	is_deeply([ map { /jit_set_flow\('(\w+)/ ? $1 : () } @lines ], [qw(low moderate high)], 'flows by risk');
	my @set = grep { /jit_set_label/ } @lines;
	is_deeply(\@set, [ sort @set ], 'labels by what they are of');
	like($config, qr/^SELECT pg_catalog\.jit_set_policy\('Z', 'moderate', '[^']*', 'why', enabled => false\);$/m, 'one that is disabled');
	like($config, qr/, enabled => false\);/, 'without a description, too');
	like($config, qr/^SELECT pg_catalog\.jit_set_flow\('low', '\[\]', request_ttl => '01:30:00'\);$/m, 'a flow of nobody');
};
attack 'running it again, here' => sub {
	my $before = super($events);
	foreach my $setting ('', $nonstandard, ($nonstandard && "$nonstandard -c escape_string_warning=off") . ' -c quote_all_identifiers=on', '-c IntervalStyle=sql_standard -c DateStyle=German,DMY', '-c search_path=hr,public -c client_encoding=UTF8')
	{
		my $err = run_file($node, 'hr_prod', $config, $setting);
		unlike($err, qr/ERROR|nonstandard/, "$setting: no error") or diag($err);
		is(super($events), $before, '... no event');
		is(config(), $config, '... and the same configuration');
	}
};
attack 'settings of who reads it' => sub {
	foreach ($nonstandard ? 'standard_conforming_strings=off' : (), 'quote_all_identifiers=on', 'IntervalStyle=sql_standard', 'search_path=hr', 'DateStyle=German', 'bytea_output=escape', 'lc_messages=C')
	{
		local $ENV{PGOPTIONS} = "-c $_";
		is(config(), $config, $_);
	}
};
attack 'in another database' => sub {
	$node->safe_psql('postgres', 'CREATE DATABASE hr_test');
	super('CREATE EXTENSION jit_access; CREATE SCHEMA hr; CREATE TABLE hr.salary ()', 'hr_test');
	super($objects, 'hr_test');
	my $err = run_file($node, 'hr_test', $config, $nonstandard);
	unlike($err, qr/ERROR|nonstandard/, 'no error') or diag($err);
	is(config($node, 'hr_test'), $config, 'the same there');
	my $before = super($events, 'hr_test');
	unlike(run_file($node, 'hr_test', $config), qr/ERROR/, 'a second time');
	is(super($events, 'hr_test'), $before, '... no event');
	is(super('SELECT jsonb_agg(to_jsonb(p) ORDER BY name)::text FROM jit.risk_policies p', 'hr_test'), super('SELECT jsonb_agg(to_jsonb(p) ORDER BY name)::text FROM jit.risk_policies p'), 'row by row, policies');
	is(super("SELECT jsonb_agg(to_jsonb(s) - 'origin' ORDER BY risk, step)::text FROM jit.approval_steps s", 'hr_test'), super("SELECT jsonb_agg(to_jsonb(s) - 'origin' ORDER BY risk, step)::text FROM jit.approval_steps s"), '... and steps');
};
attack 'in another cluster, and on a standby' => sub {
	$node->backup('b');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($node, 'b', has_streaming => 1);
	$standby->start;
	is(config($standby), $config, 'a standby says the same');
	$standby->stop;
	my $other = new_server('other', undef, extra => [ '--encoding', 'UTF8', '--no-locale' ]);
	$other->safe_psql('postgres', $roles . 'CREATE SCHEMA hr;' . $objects);
	my $err = run_file($other, 'postgres', $config, $nonstandard);
	unlike($err, qr/ERROR/, 'no error in another cluster') or diag($err);
	is(config($other, 'postgres'), $config, '... and the same there');
	$other->stop;
};
attack 'nothing hides in it' => sub {
	unlike($config, qr/[^\x20-\x7e\n]/, 'every character is seen');
	like($config, qr/E'two\\nlines\\t\\\\n \\u202e\\u0085\\x01 end'/, '... those that are not are written out');
};
attack 'a role of a flow that was renamed' => sub {
	super('ALTER ROLE "Anyone" RENAME TO "Any ""one"');
	like(config(), qr/\{"approver": "Any \\\\"one", "approvals": 1\}/, 'is there under its name of now');
	super('ALTER ROLE "Any ""one" RENAME TO "Anyone"');
	is(config(), $config, '... and of then again');
};
attack 'a role of a flow that was renamed to @grantor' => sub {
	super('ALTER ROLE "@other" RENAME TO "@grantor"');
	my $text = config();
	like($text, qr/"\@other: a role of this flow that is gone, or cannot be named; set it anew with jit_set_flow\(\)"/, 'is not taken for who could grant it');
	like(run_file($node, 'hr_prod', $text), qr/ERROR: .*role "\@other: a role of this flow/, '... and running it fails');
	super('ALTER ROLE "@grantor" RENAME TO "@other"');
	is(config(), $config, 'nothing has changed');
};
attack 'a role of a flow that is gone, and one of its name' => sub {
	super(q{CREATE ROLE temp; SELECT jit_set_flow('high', '[{"approver": "temp"}]'); DROP ROLE temp; CREATE ROLE temp LOGIN});
	my $text = config();
	like($text, qr/\{"approver": "temp: a role of this flow that is gone/, 'is not the new one');
	my $err = run_file($node, 'hr_prod', $text);
	like($err, qr/ERROR: /, 'running it fails');
	is(scalar(() = $err =~ /ERROR: /g), 1, '... there alone');
	super('CREATE ROLE "' . substr('temp: a role of this flow that is gone, or cannot be named; set it anew with jit_set_flow()', 0, 63) . '"');
	like(run_file($node, 'hr_prod', $text), qr/ERROR: /, '... also with a role of as much of that name as one can have');
	run_file($node, 'hr_prod', $config);
	is(config(), $config, 'set anew');
};
attack 'a flow that lacks steps' => sub {
	super(q{DELETE FROM jit.approval_steps WHERE risk = 'high' AND step = 2});
	like((as('olga', 'SELECT jit_config()'))[1], qr/ERROR:  XX001: approval flow for high risk in hr_prod is incomplete/, 'is not written as one that lets through more');
	run_file($node, 'hr_prod', $config);
	is(config(), $config, 'set anew');
};
attack 'functions of somebody else by these names' => sub {
	super(q{GRANT CREATE ON SCHEMA public TO dev});
	as('dev', "CREATE FUNCTION public.jit_set_$_ RETURNS text LANGUAGE sql AS \$\$SELECT 'captured'::text\$\$") foreach 'policy(text, text, text)', 'label(text, text)', 'flow(text, text)', 'policy(text, text, text, text)';
	local $ENV{PGOPTIONS} = '-c search_path=public,pg_catalog';
	my ($rc, $out) = $node->psql('hr_prod', "SELECT jit_set_policy('a', 'b', 'c')");
	is($out, 'captured', 'which would be called without the schema');
	($rc, $out) = $node->psql('hr_prod', $config);
	unlike($out, qr/captured/, '... are not');
	super("DROP FUNCTION public.jit_set_$_") foreach 'policy(text, text, text)', 'label', 'flow', 'policy(text, text, text, text)';
};
attack 'labels that were written otherwise' => sub {
	super(q{SECURITY LABEL FOR jit_access ON TABLE hr.salary IS ' pii,b ,  c,pii'});
	my $text = config();
	like($text, qr/^SELECT pg_catalog\.jit_set_label\('TABLE hr\.salary', 'pii, b, c'\);$/m, 'as jit_set_label() writes them');
	my $before = super($events);
	run_file($node, 'hr_prod', $text);
	is(super($events), $before, 'running it is no event');
	is(config(), $text, '... and it is the same');
	super(q{SELECT jit_set_label('TABLE hr.salary', NULL)});
	is(super("$events WHERE event = 'label_set' AND id > (SELECT max(id) - 1 FROM jit.events)"), 1, 'taking them away is one');
};
attack 'labels of the database, and of others' => sub {
	super(q{SELECT jit_set_label('DATABASE hr_prod', 'prod')});
	super(q{SELECT jit_set_label('DATABASE hr_test', 'test')}, 'hr_test');
	like(config(), qr/^SELECT pg_catalog\.jit_set_label\('DATABASE hr_prod', 'prod'\);$/m, 'its own');
	unlike(config(), qr/hr_test/, '... and none of others');
	super(q{SELECT jit_set_label('DATABASE hr_prod', NULL)});
};
attack 'objects that are dropped, and other providers' => sub {
	super(q{CREATE TABLE hr.gone (x int); SELECT jit_set_label('COLUMN hr.gone.x', 'x')});
	super(q{ALTER TABLE hr.gone DROP COLUMN x});
	is(config(), $config, 'a column');
	super(q{DROP TABLE hr.gone; INSERT INTO pg_seclabel VALUES ('hr.salary'::regclass, 'pg_class'::regclass, 0, 'selinux', 'x')});
	is(config(), $config, 'a table, and a label of selinux');
	super(q{DELETE FROM pg_seclabel WHERE provider = 'selinux'});
};
attack 'what is there, and not in the file' => sub {
	super(q{SELECT jit_set_policy('more', 'high', '$.hour > 1')});
	run_file($node, 'hr_prod', $config);
	is(super(q{SELECT count(*) FROM jit.risk_policies WHERE name = 'more'}), 1, 'stays');
	super(q{SELECT jit_drop_policy('more')});
};
attack 'who may read it' => sub {
	is((as($_, 'SELECT jit_config()'))[0], $config, $_) foreach 'olga', 'adam', $super;
	foreach (qw(dev anna eve))
	{
		my ($out, $err) = as($_, 'SELECT jit_config()');
		is($out, '', "$_ reads nothing");
		like($err, qr/ERROR:  42501: permission denied to read the configuration\nDETAIL:  Only JIT administrators and auditors may/, '... and is told why');
	}
	super(q{SELECT jit_grant('auditors', 'eve', '1 hour', 'x')});
	like((as('eve', 'SET ROLE auditors; SELECT jit_config()'))[1], qr/ERROR:  42501: /, 'nor who is an auditor for a while');
	super(q{SELECT jit_revoke_from('eve', 'x'); GRANT CREATE ON SCHEMA public TO auditors});
	as('olga', q{CREATE FUNCTION public.peek() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'SELECT jit_config()'});
	like((as('eve', 'SELECT public.peek()'))[1], qr/ERROR:  42501: /, 'nor through a function of an auditor');
};

all_attacks_done();
$node->stop;
done_testing();
