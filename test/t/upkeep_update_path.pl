# ALTER EXTENSION jit_access UPDATE from every version that there is a way from
# gives the same catalog as CREATE EXTENSION; every file in sql/ is installed;
# and the version stands in the control file alone.
#
# What is compared is all that CREATE EXTENSION leaves behind, as lines of
# "what property = value".  That it misses nothing is shown by changing one
# thing of each kind; and, from 18 on, where extensions can be elsewhere than in
# the installation, by throwaway versions with an upgrade that is right and one
# that isn't.  Seen to fail with a version that there is no way from, and with
# upgrades that forget a comment and an ENABLE ALWAYS.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = dirname(abs_path(__FILE__)) . '/../..';

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'jit_access'");
$node->start;

# ---- the snapshot

my $snapshot = q{
WITH members AS (
	SELECT d.classid, d.objid, i.type || ' ' || i.identity AS what
	FROM pg_depend d, pg_identify_object(d.classid, d.objid, 0) i
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'jit_access')
	UNION ALL
	SELECT 'pg_extension'::regclass, oid, 'extension' FROM pg_extension WHERE extname = 'jit_access'
), relations AS (
	SELECT m.what, c.* FROM members m JOIN pg_class c ON c.oid = m.objid WHERE m.classid = 'pg_class'::regclass
), attributes AS (
	SELECT c.what || ' column ' || a.attname AS what, a.*, c.relkind, d.oid AS default,
		row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum) AS position
	FROM relations c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
), parts AS ( -- what comes and goes with a relation
	SELECT c.what || ' constraint ' || n.conname AS what, 'pg_constraint'::regclass AS classid, n.oid AS objid,
		concat_ws(' ', pg_get_constraintdef(n.oid), n.convalidated, n.conislocal, n.connoinherit) AS definition
	FROM relations c JOIN pg_constraint n ON n.conrelid = c.oid
	UNION ALL
	SELECT c.what || ' index ' || x.relname, 'pg_class', x.oid,
		concat_ws(' ', pg_get_indexdef(x.oid), i.indisvalid, i.indisreplident, i.indisclustered, x.reltablespace, pg_get_userbyid(x.relowner))
	FROM relations c JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid = i.indexrelid
	UNION ALL
	SELECT c.what || ' trigger ' || t.tgname, 'pg_trigger', t.oid, concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
	FROM relations c JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal
	UNION ALL
	SELECT c.what || ' rule ' || r.rulename, 'pg_rewrite', r.oid, concat_ws(' ', pg_get_ruledef(r.oid), r.ev_enabled)
	FROM relations c JOIN pg_rewrite r ON r.ev_class = c.oid
	UNION ALL
	SELECT c.what || ' policy ' || p.polname, 'pg_policy', p.oid, concat_ws(' ', p.polcmd, p.polpermissive, p.polroles::regrole[],
		pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
	FROM relations c JOIN pg_policy p ON p.polrelid = c.oid
	UNION ALL
	SELECT c.what || ' statistics ' || s.stxname, 'pg_statistic_ext', s.oid, pg_get_statisticsobjdef(s.oid)
	FROM relations c JOIN pg_statistic_ext s ON s.stxrelid = c.oid
), acls AS (
	SELECT what, 'pg_class'::regclass AS classid, oid AS objid, 0 AS objsubid, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)) AS acl
	FROM relations
	UNION ALL
	SELECT what, 'pg_class', attrelid, attnum, attacl FROM attributes
	UNION ALL
	SELECT what, classid, objid, 0, coalesce(proacl, acldefault('f', proowner)) FROM members JOIN pg_proc ON oid = objid AND classid = 'pg_proc'::regclass
	UNION ALL
	SELECT what, classid, objid, 0, coalesce(typacl, acldefault('T', typowner)) FROM members JOIN pg_type ON oid = objid AND classid = 'pg_type'::regclass
	UNION ALL
	SELECT what, classid, objid, 0, coalesce(nspacl, acldefault('n', nspowner)) FROM members JOIN pg_namespace ON oid = objid AND classid = 'pg_namespace'::regclass
), lines (what, property, value) AS (
	SELECT what, 'kind', classid::regclass::text FROM members
	UNION ALL SELECT what, 'comment', obj_description(objid, classid::regclass::text) FROM members
	UNION ALL SELECT what, 'comment', obj_description(objid, classid::regclass::text) FROM parts
	UNION ALL SELECT what, 'comment', col_description(attrelid, attnum) FROM attributes
	UNION ALL SELECT what, 'label of ' || l.provider, l.label FROM members m JOIN pg_seclabel l ON (l.classoid, l.objoid, l.objsubid) = (m.classid, m.objid, 0)
	UNION ALL SELECT what, 'label of ' || l.provider, l.label FROM attributes a JOIN pg_seclabel l ON (l.classoid, l.objoid, l.objsubid) = ('pg_class'::regclass, a.attrelid, a.attnum)
	UNION ALL SELECT what, 'owner', pg_get_userbyid(refobjid) FROM members m JOIN pg_shdepend s ON (s.classid, s.objid, s.deptype) = (m.classid, m.objid, 'o')
		AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
	-- privileges, and those that a dump takes for granted
	UNION ALL SELECT what, 'privilege ' || a.privilege_type || ' for ' || CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END
		|| ' by ' || pg_get_userbyid(a.grantor), a.is_grantable::text FROM acls, aclexplode(acl) a
	UNION ALL SELECT what, 'privileges at first', concat_ws(' ', i.privtype, (SELECT string_agg(e::text, ',' ORDER BY e::text) FROM unnest(i.initprivs) e))
		FROM acls JOIN pg_init_privs i ON (i.classoid, i.objoid, i.objsubid) = (classid, objid, acls.objsubid)
	UNION ALL SELECT 'default privileges', concat_ws(' ', pg_get_userbyid(defaclrole), defaclnamespace::regnamespace, defaclobjtype), defaclacl::text FROM pg_default_acl
	-- the extension itself
	UNION ALL SELECT 'extension', 'properties', concat_ws(' ', extversion, extrelocatable, extnamespace::regnamespace, pg_get_userbyid(extowner))
		FROM pg_extension WHERE extname = 'jit_access'
	UNION ALL SELECT 'extension', 'dumps ' || t.c::regclass, t.condition FROM pg_extension, unnest(extconfig, extcondition) t (c, condition) WHERE extname = 'jit_access'
	-- relations
	UNION ALL SELECT what, 'properties', concat_ws(' ', relkind, relpersistence, relrowsecurity, relforcerowsecurity, relreplident,
		relispartition, reltablespace, (SELECT amname FROM pg_am WHERE oid = relam), reloftype, reloptions, (SELECT t.reloptions FROM pg_class t WHERE t.oid = r.reltoastrelid))
		FROM relations r
	UNION ALL SELECT what, 'inherits ' || inhparent::regclass, inhseqno::text FROM relations JOIN pg_inherits ON inhrelid = oid
	UNION ALL SELECT what, 'rows', md5(query_to_xml('TABLE ' || oid::regclass, true, false, '')::text) FROM relations WHERE relkind IN ('r', 'S')
	UNION ALL SELECT what, 'sequence', concat_ws(' ', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle)
		FROM relations JOIN pg_sequence s ON s.seqrelid = oid
	UNION ALL SELECT what, 'owned by', concat_ws('.', d.refobjid::regclass, a.attname, d.deptype) FROM relations r
		JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = r.oid AND r.relkind = 'S' AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
		JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
	UNION ALL SELECT what, 'properties', concat_ws(' ', position, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(d.adbin, d.adrelid),
		attidentity, attgenerated, attcollation::regcollation, attstorage, attcompression,
		-- some minor versions number a column's states there
		(SELECT string_agg(o, ',' ORDER BY o) FROM unnest(attoptions) o WHERE o !~ '^pg_attver='), nullif(attstattarget, -1), attislocal, attinhcount)
		FROM attributes a LEFT JOIN pg_attrdef d ON d.oid = a.default
	UNION ALL SELECT what, 'definition', definition FROM parts
	-- functions and types
	UNION ALL SELECT what, 'definition', pg_get_functiondef(oid) FROM members JOIN pg_proc ON oid = objid AND classid = 'pg_proc'::regclass WHERE prokind IN ('f', 'p')
	UNION ALL SELECT what, 'properties', concat_ws(' ', prokind, prosrc, probin, prosupport, proargnames, prorettype::regtype)
		FROM members JOIN pg_proc ON oid = objid AND classid = 'pg_proc'::regclass
	UNION ALL SELECT what, 'properties', concat_ws(' ', typtype, typcategory, typispreferred, typnotnull, typdefault, format_type(typbasetype, typtypmod), typcollation::regcollation, typstorage,
		(SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))
		FROM members JOIN pg_type t ON t.oid = objid AND classid = 'pg_type'::regclass
	UNION ALL SELECT what, 'definition', concat_ws(' ', evtevent, evtfoid::regprocedure, evtenabled, evttags) FROM members JOIN pg_event_trigger e ON e.oid = objid AND classid = 'pg_event_trigger'::regclass
)
SELECT what || ' ' || property || ' = ' || to_json(value) FROM lines WHERE value IS NOT NULL ORDER BY 1;
};

# Lines of database $db, after $sql, which is undone.
sub lines
{
	my ($db, $sql) = @_;
	my ($rc, $out, $err) = $node->psql($db, 'BEGIN; ' . ($sql // '') . ";\n$snapshot\nROLLBACK", on_error_stop => 1);
	die "no snapshot: $err" if $rc != 0;
	return split /\n/, $out;
}

# Lines that only one of the two has: "- " in front of the first's, "+ " of the
# second's.
sub differences
{
	my ($one, $two) = @_;
	my %in_one = map { $_ => 1 } @$one;
	my %in_two = map { $_ => 1 } @$two;
	return ((map { "- $_" } grep { !$in_two{$_} } @$one), (map { "+ $_" } grep { !$in_one{$_} } @$two));
}

my @fresh;

# How a database that has come up from that version differs from a new one.
sub differences_after_update
{
	my ($version, $settings) = @_;
	$settings //= '';
	my $db = 'updated';
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	my ($rc, $out, $err) = $node->psql($db, "$settings; CREATE EXTENSION jit_access VERSION '$version'; ALTER EXTENSION jit_access UPDATE");
	is($rc, 0, "from $version: there is a way up") or diag $err;
	my @result = differences(\@fresh, [ lines($db) ]);
	$node->safe_psql('postgres', "DROP DATABASE $db");
	return @result;
}

$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION jit_access');
@fresh = lines('fresh');

# ---- every version

my $default = $node->safe_psql('postgres', q{SELECT default_version FROM pg_available_extensions WHERE name = 'jit_access'});
my @older = split /\n/, $node->safe_psql('postgres', qq{SELECT version FROM pg_available_extension_versions WHERE name = 'jit_access' AND version <> '$default' ORDER BY 1});
note("versions before $default: @older");
is($node->safe_psql('postgres', qq{SELECT string_agg(source, ', ') FROM pg_extension_update_paths('jit_access')
	WHERE target = '$default' AND source <> '$default' AND path IS NULL}), '', 'from every version there is a way to the default one');
for my $version (@older)
{
	is(join("\n", differences_after_update($version)), '', "from $version: the catalog is that of a new one");
}
is(join("\n", differences(\@fresh, [ lines('fresh') ])), '', 'a snapshot is the same as the next');

# ---- what is in the tree is what is installed

my $share = $node->config_data('--sharedir') . '/extension';
my @files = map { basename $_ } glob "$top/sql/*";
cmp_ok(scalar @files, '>', 0, 'there are files in sql/');
for my $file (@files)
{
	like($file, qr/^jit_access--[0-9.]+(--[0-9.]+)?\.sql$/, "sql/$file: its name is one that is looked for");
	ok(-e "$share/$file" && slurp_file("$share/$file") eq slurp_file("$top/sql/$file"), "sql/$file is installed");
}
is(join(' ', sort map { basename $_ } glob "$share/jit_access--*"), join(' ', sort @files), '... and nothing else');
is(slurp_file("$share/jit_access.control"), slurp_file("$top/jit_access.control"), 'the control file is');

my ($version) = slurp_file("$top/jit_access.control") =~ /^default_version = '([0-9.]+)'$/m;
is($version, $default, 'it has the version');
my @literal = grep { slurp_file($_) =~ /(?<![0-9.])\Q$version\E(?![0-9.])/ } grep { -f } glob "$top/{src/*.[ch],src/*/*.[ch],Makefile,debian/*}";
# that of the format of debian/copyright is a part of an address
is(join(' ', grep { !m{debian/copyright$} } @literal), '', 'nothing else of what is built does');
my @meta = slurp_file("$top/META.json") =~ /^\t(?:\t\t)?"version": "([^"]*)"/mg;
is(join(' ', @meta), join(' ', ($version . ('.0' x (2 - $version =~ tr/././))) x 2), 'META.json agrees: a semantic version, of the distribution and the extension');
like(slurp_file("$top/META.json"), qr{"file": "sql/jit_access--\Q$version\E\.sql"}, '... and names its file');
is($node->psql('fresh', q{SELECT jit_set_policy('p', 'low', '$.duration > 1')}), 0, 'so does the library');
$node->safe_psql('fresh', q{SELECT jit_drop_policy('p'); DROP EXTENSION jit_access; CREATE EXTENSION jit_access});

# ---- that nothing is missed

my @known = split /\n/, $node->safe_psql('fresh', q{SELECT DISTINCT classid::regclass FROM pg_depend WHERE deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'jit_access') ORDER BY 1});
is(join(' ', grep { !/^pg_(class|proc|type|namespace|event_trigger)$/ } @known), '', 'no member is of a kind that the snapshot knows nothing of');

my @teeth = (
	# members
	'ALTER EXTENSION jit_access DROP VIEW jit.history',
	'CREATE TABLE jit.more (); ALTER EXTENSION jit_access ADD TABLE jit.more',
	'CREATE FUNCTION jit.more() RETURNS integer LANGUAGE sql RETURN 1; ALTER EXTENSION jit_access ADD FUNCTION jit.more()',
	'ALTER TABLE jit.grants RENAME TO granted',
	# comments
	(map { "COMMENT ON $_ IS 'other'" } 'EXTENSION jit_access', 'SCHEMA jit', 'TABLE jit.requests', 'COLUMN jit.requests.id', 'VIEW jit.inbox', 'COLUMN jit.inbox.risk',
		'SEQUENCE jit.scope_number', 'TYPE jit.risk_level', 'FUNCTION jit_revoke(integer, text)', 'INDEX jit.grants_live_idx',
		'TRIGGER watch ON jit.requests', 'CONSTRAINT grants_pkey ON jit.grants'),
	'COMMENT ON TABLE jit.requests IS NULL',
	# columns
	'ALTER TABLE jit.reviews ADD more integer', 'ALTER TABLE jit.requests ALTER status DROP DEFAULT', 'ALTER TABLE jit.reviews DROP by_superuser', 'ALTER TABLE jit.reviews RENAME comment TO remark',
	q{ALTER TABLE jit.events DROP client_addr, ADD client_addr inet; COMMENT ON COLUMN jit.events.client_addr IS 'client; null for a Unix-domain socket or a background worker'},
	# what no view reads
	'ALTER TABLE jit.events ALTER client_addr TYPE cidr', 'ALTER TABLE jit.approval_flows ALTER reason_pattern TYPE text COLLATE "C"',
	(map { "ALTER TABLE jit.events ALTER $_" } 'event DROP NOT NULL', 'at SET DEFAULT now()', 'event SET STORAGE external',
		'event SET STATISTICS 7', 'event SET (n_distinct = 7)', 'event SET COMPRESSION pglz'),
	# what comes with tables
	'ALTER TABLE jit.reviews ADD CHECK (step > 0)', 'ALTER TABLE jit.reviews ADD CHECK (step > 0) NOT VALID', 'ALTER TABLE jit.reviews DROP CONSTRAINT reviews_verdict_check',
	'ALTER TABLE jit.reviews RENAME CONSTRAINT reviews_verdict_check TO other', 'ALTER TABLE jit.grants ADD FOREIGN KEY (request_id) REFERENCES jit.requests',
	'CREATE INDEX ON jit.events (at)', 'DROP INDEX jit.grants_live_idx', 'ALTER INDEX jit.grants_live_idx RENAME TO other', 'ALTER INDEX jit.grants_live_idx SET (fillfactor = 50)',
	'ALTER TABLE jit.events CLUSTER ON events_pkey', 'ALTER TABLE jit.events REPLICA IDENTITY FULL',
	'ALTER TABLE jit.requests ENABLE TRIGGER watch', 'DROP TRIGGER append_only ON jit.events',
	'CREATE RULE more AS ON INSERT TO jit.events DO ALSO NOTHING', 'CREATE POLICY more ON jit.events', 'ALTER TABLE jit.events DISABLE ROW LEVEL SECURITY', 'ALTER TABLE jit.events FORCE ROW LEVEL SECURITY', 'DROP POLICY auditors ON jit.events', 'ALTER POLICY auditors ON jit.events USING (true)',
	'CREATE STATISTICS jit.more ON event, at FROM jit.events', 'ALTER TABLE jit.events SET (fillfactor = 50)', 'ALTER TABLE jit.events SET (toast.autovacuum_enabled = off)',
	'ALTER TABLE jit.events SET UNLOGGED', 'CREATE TABLE parent (); ALTER TABLE jit.events INHERIT parent', q{INSERT INTO jit.events (origin, id, at, event, detail) VALUES (1, 1, now(), 1, '{}')},
	# views, sequences, types
	'ALTER VIEW jit.history RESET (security_barrier)', 'CREATE OR REPLACE VIEW jit.requests_of_mine AS TABLE jit.requests_now',
	'ALTER SEQUENCE jit.scope_number INCREMENT 2', 'ALTER SEQUENCE jit.request_number AS bigint', 'ALTER SEQUENCE jit.scope_number OWNED BY jit.events.id', q{SELECT FROM setval('jit.scope_number', 7)},
	q{ALTER TYPE jit.risk_level ADD VALUE 'more' BEFORE 'high'}, q{ALTER TYPE jit.risk_level RENAME VALUE 'low' TO 'lower'},
	# privileges
	(map { ("GRANT ALL ON $_ TO PUBLIC", "REVOKE ALL ON $_ FROM PUBLIC, CURRENT_USER") } 'SCHEMA jit', 'jit.inbox', 'SEQUENCE jit.scope_number', 'FUNCTION jit_revoke(integer, text)', 'TYPE jit.risk_level'),
	'GRANT SELECT (id) ON jit.requests TO PUBLIC', 'GRANT EXECUTE ON FUNCTION jit_reset_clock() TO PUBLIC', 'GRANT SELECT ON jit.inbox TO CURRENT_USER WITH GRANT OPTION',
	'ALTER DEFAULT PRIVILEGES IN SCHEMA jit GRANT SELECT ON TABLES TO PUBLIC', q{DELETE FROM pg_init_privs WHERE objoid = 'jit.inbox'::regclass},
	'CREATE ROLE more; ALTER TABLE jit.events OWNER TO more', 'CREATE ROLE more; ALTER FUNCTION jit_revoke(integer, text) OWNER TO more', 'CREATE ROLE more; ALTER SCHEMA jit OWNER TO more',
	# functions
	(map { "ALTER FUNCTION jit_revoke(integer, text) $_" } 'STABLE', 'STRICT', 'SECURITY DEFINER', 'PARALLEL SAFE', 'COST 7', 'LEAKPROOF', 'SET search_path = jit', 'RENAME TO jit_revoked', 'SET SCHEMA jit'),
	q{UPDATE pg_proc SET prosrc = 'jit_cancel' WHERE proname = 'jit_revoke'}, q{UPDATE pg_proc SET probin = 'other' WHERE proname = 'jit_revoke'},
	q{UPDATE pg_proc SET proargnames = '{request,why}' WHERE proname = 'jit_revoke'}, q{UPDATE pg_proc SET pronargdefaults = 0, proargdefaults = NULL WHERE proname = 'jit_revoke'},
	# event triggers
	'ALTER EVENT TRIGGER jit_access_guard ENABLE', q{UPDATE pg_event_trigger SET evttags = '{"DROP OWNED"}' WHERE evtname = 'jit_access_guard'},
	# what is dumped
	q{UPDATE pg_extension SET extconfig = extconfig[2:], extcondition = extcondition[2:] WHERE extname = 'jit_access'},
	q{UPDATE pg_extension SET extcondition[2] = 'WHERE false' WHERE extname = 'jit_access'},
	q{UPDATE pg_extension SET extrelocatable = true WHERE extname = 'jit_access'},
	q{SECURITY LABEL FOR jit_access ON TABLE jit.events IS 'pii'},
);
for my $change (@teeth)
{
	my @found = eval { differences(\@fresh, [ lines('fresh', "SET LOCAL client_min_messages = error; SET LOCAL allow_system_table_mods = on; $change") ]) };
	isnt(scalar @found, 0, "found: $change") or diag $@;
}

# ---- throwaway versions

SKIP:
{
	skip 'extensions are in the installation only', 5 if $node->safe_psql('postgres', 'SHOW server_version_num') < 180000;
	my $path = PostgreSQL::Test::Utils::tempdir();
	mkdir "$path/extension" or die "cannot make a directory: $!";
	my $script = slurp_file("$top/sql/jit_access--$version.sql");
	my ($comment) = $script =~ /^(COMMENT ON TABLE jit\.requests IS .*;\n)/m or die 'no such comment';
	my $old = $script =~ s/\Q$comment\E//r;
	append_to_file("$path/extension/jit_access.control", slurp_file("$top/jit_access.control"));
	append_to_file("$path/extension/jit_access--$_->[0].sql", $_->[1])
	  for ([ $version, $script ], [ '0.1', $old ], [ "0.1--$version", $comment ], [ '0.2', $old ], [ "0.2--$version", "SELECT 1;\n" ]);
	my $settings = "SET extension_control_path = '$path'";
	is($node->safe_psql('postgres', "$settings; SELECT count(*) FROM pg_extension_update_paths('jit_access') WHERE target = '$version' AND path IS NOT NULL AND source LIKE '0.%'"),
		'2', 'throwaway versions are found');
	is(join("\n", differences_after_update('0.1', $settings)), '', 'an upgrade that is right');
	like(join("\n", differences_after_update('0.2', $settings)), qr/^- table jit\.requests comment = [^\n]*$/, '... and one that forgets a comment');
}

$node->stop;
done_testing();
