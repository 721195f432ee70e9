# Scope roles go when nobody uses them, with their privileges, and until then
# are in nobody's way: no ACL is filled with them, whatever is asked for, and
# neither DROP EXTENSION nor a template copy nor somebody's open transaction
# keeps them.  Grants never notice.
#
# The attacks are lines of attacks.md.  Seen to fail without: making room, at a
# hundred unused ones or when the ACL is full; the notes that an object is
# dropped, that a grant has ended, that keep_scopes has changed; locks on the
# object; the looks at members, at privileges that are left, at a schema's
# other scopes, at what is owned; rows of roles that are gone being deleted;
# DROP OWNED of what else a role has; what is copied being taken out, and other
# databases being told; that a database is known to be gone, at the start, too,
# and forgotten; the memory of what has been logged.  Not seen to fail, as the
# moment is too short: without the second look, under the lock.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('scopes', "jit_access.max_pending = 1000\njit_access.max_active = 10000\ndefault_toast_compression = pglz\nmax_prepared_transactions = 2");
create_hr($node);
$node->safe_psql('hr_prod', q{SELECT jit_set_flow('low', '[]'), jit_set_policy('free', 'low', '$.ticket == "free"')});

sub super { return $node->safe_psql($_[1] // 'hr_prod', $_[0]); }

sub keep
{
	super("ALTER SYSTEM SET jit_access.keep_scopes = '$_[0]'");
	super('SELECT pg_reload_conf()');
	return;
}

# Scope roles on an object, by its text as in a regclass; all of a database's
my $mine = q{starts_with(rolname, 'jit_scope_' || (SELECT oid FROM pg_database WHERE datname = current_database()) || '_')};
sub on { return super("SELECT count(*) FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid WHERE d.classid = 'pg_class'::regclass AND d.objid = '$_[0]'::regclass AND rolname LIKE 'jit_scope%'", $_[1]); }
sub comes { my ($sql, $what, $db) = @_; return ok($node->poll_query_until($db // 'hr_prod', $sql), $what); }
sub gone { my ($roles, $what) = @_; return comes("SELECT count(*) = 0 FROM pg_roles WHERE rolname IN ($roles)", $what); }
sub scopes_of { return super("SELECT string_agg(quote_literal(role), ', ') FROM jit.scopes WHERE objid = '$_[0]'::regclass"); }

# has somebody's ended, and a sweeper come since?
sub visited
{
	my ($db) = @_;
	my $id = super(q{SELECT jit_grant('SELECT ON other', 'eve', '1 s', 'visit')}, $db);
	comes("SELECT status = 'expired' FROM jit.requests WHERE id = $id", 'swept', $db);
	comes("SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'jit_access sweeper'", '... to the end', $db);
	return;
}

my $serial = 0;
sub table
{
	my $t = 'hr.t' . ++$serial;
	super("SET ROLE hr_owner; CREATE TABLE $t AS SELECT 1 AS a, 2 AS b, 3 AS c");
	return $t;
}

super('CREATE TABLE other (x int)');
my $anna = session($node, 'anna', 'hr_prod');
my $dev = session($node, 'dev', 'hr_prod');

# one that is used and ended
sub used
{
	my ($t, $access, $grantee) = @_;
	my $id = super(sprintf(q{SELECT jit_grant('%s', '%s', '1 hour', 'x')}, $access // "SELECT ON $t", $grantee // 'dev'));
	super("SELECT jit_revoke($id, 'x')");
	return;
}

# ---- they stay for a week

attack 'the same is asked for again and again' => sub {
	my $t = table();
	used($t, "SELECT ON $t", 'eve');
	my $rows = "SELECT (SELECT xmin FROM pg_class WHERE oid = '$t'::regclass), (SELECT xmin FROM pg_namespace WHERE nspname = 'hr'), (SELECT array_agg(role) FROM jit.scopes WHERE objid IN ('$t'::regclass, 'hr'::regnamespace))";
	my $before = super($rows);
	used($t, "SELECT ON $t", 'eve') for 1 .. 10;
	visited();
	is(super($rows), $before, 'no ACL is touched for it');
};
attack 'ever new sets of columns, by who needs nobody' => sub {
	super('SET ROLE hr_owner; CREATE TABLE hr.wide (' . join(', ', map { "c$_ int" } 1 .. 12) . '); INSERT INTO hr.wide DEFAULT VALUES');
	my $sets = join "\n", map {
		my $n = $_;
		my $columns = join ', ', 'c12', map { "c$_" } grep { $n & 1 << $_ - 1 } 1 .. 11;
		"SELECT jit_request('SELECT ($columns) ON hr.wide', '1 hour', 'x', ticket => 'free') AS n \\gset\nSELECT jit_revoke(:n);"
	} 1 .. 130;
	my ($out, $err) = $dev->do($sets);
	unlike($err, qr/ERROR/, 'all are given');
	my $left = super(q{SELECT count(*) FROM jit.scopes WHERE objid = 'hr.wide'::regclass});
	cmp_ok($left, '<=', 101, 'but they don\'t stay on it');
	is(super(q{SELECT cardinality(attacl) FROM pg_attribute WHERE attrelid = 'hr.wide'::regclass AND attname = 'c12'}), $left, '... nor in its ACL');
	is((sql($node, 'dev', q{SET client_min_messages = error; SELECT jit_request('SELECT (c1) ON hr.wide', '1 hour', 'x', ticket => 'free')}, 'hr_prod'))[1], '', 'another request is given');
	is((sql($node, 'anna', 'SET ROLE hr_owner; GRANT SELECT (c12) ON hr.wide TO eve', 'hr_prod'))[1], '', 'the owner\'s GRANT works');
};
attack 'an access text with many sets of columns of one table' => sub {
	# the first ones are unused before, and needed by the later ones' grant
	my $t = 'hr.wide';
	my $all = join '; ', map { my $n = $_; 'SELECT (' . join(', ', map { "c$_" } grep { $n & 1 << $_ - 1 } 1 .. 12) . ") ON $t" } 2049 .. 2055;
	my ($out, $err) = sql($node, 'dev', "SET client_min_messages = error; SELECT jit_request('$all', '1 hour', 'x', ticket => 'free')", 'hr_prod');
	is($err, '', 'given');
	is(super("SELECT has_column_privilege('dev', 'hr.wide', c, 'SELECT') FROM unnest('{c1,c2,c12}'::text[]) c"), "t\nt\nt", '... all of it');
	super(q{SELECT jit_revoke_from('dev', 'x')});
};
attack 'an ACL that is full of what is in use' => sub {
	my $t = table();
	# as if of thousands of live grants
	super('DO $$ BEGIN FOR i IN 1 .. 2600 LOOP EXECUTE \'CREATE ROLE full\' || i; END LOOP; END $$');
	super("DO \$\$ BEGIN EXECUTE (SELECT 'GRANT SELECT ON $t TO ' || string_agg('full' || i, ', ') FROM generate_series(1, 2300) i); END \$\$");
	super("DO \$\$ BEGIN FOR i IN 2301 .. 2600 LOOP BEGIN EXECUTE 'GRANT SELECT ON $t TO full' || i; EXCEPTION WHEN program_limit_exceeded THEN RETURN; END; END LOOP; END \$\$");
	my ($out, $err) = sql($node, 'anna', "SELECT jit_grant('UPDATE ON $t', 'dev', '1 hour', 'x')", 'hr_prod');
	like($err, qr/ERROR:  54000: UPDATE ON \Q$t\E could not be granted: row is too big.*DETAIL:.*HINT:/s, 'refused, and it says why');
};
attack 'an ACL that is full, in part of what is unused' => sub {
	my $t = "hr.t$serial";
	# take some others' away, and use their room
	super("DO \$\$ DECLARE r text; BEGIN FOR r IN SELECT rolname FROM pg_roles WHERE rolname ~ '^full\\d+\$' AND has_table_privilege(rolname, '$t', 'SELECT') LIMIT 10 LOOP EXECUTE format('REVOKE ALL ON $t FROM %I', r); END LOOP; END \$\$");
	my @privileges = qw(SELECT INSERT UPDATE DELETE TRUNCATE);
	my ($out, $err) = $anna->do(join "\n", map {
		my $n = $_;
		my $access = join(', ', map { $privileges[$_] } grep { $n & 1 << $_ } 0 .. 4) . " ON $t";
		"SELECT jit_grant('$access', 'dev', '1 hour', 'x') AS n \\gset\nSELECT jit_revoke(:n, 'x');"
	} 1 .. 31);
	unlike($err, qr/ERROR/, 'all are given');
};

# ---- the object goes

attack 'a table is dropped that nobody uses' => sub {
	my $t = table();
	used($t);
	my $roles = scopes_of($t);
	super("DROP TABLE $t");
	gone($roles, 'its role is gone');
};
attack 'a table is dropped while it is used' => sub {
	my $t = table();
	my $id = super("SELECT jit_grant('SELECT ON $t', 'dev', '4 s', 'x')");
	my $roles = scopes_of($t);
	super("DROP TABLE $t");
	is(super("SELECT count(*) FROM pg_roles WHERE rolname IN ($roles)"), '1', 'its role is there until then');
	gone($roles, '... and gone at the end');
};
attack 'a table is dropped while it is being approved' => sub {
	my $t = table();
	my $id = sql($node, 'dev', "SELECT jit_request('SELECT ON $t', '2 s', 'x')", 'hr_prod');
	my $s = session($node, getpwuid($<) . '', 'hr_prod');
	$anna->begin("BEGIN; SELECT jit_approve($id); COMMIT");
	$s->begin("DROP TABLE $t");
	$_->end for $anna, $s;
	comes("SELECT count(*) = 0 FROM pg_roles WHERE $mine AND shobj_description(oid, 'pg_authid') LIKE '%$t %'", 'no role is left');
	$s->quit;
};
attack 'a schema is dropped, CASCADE' => sub {
	super('CREATE SCHEMA gone CREATE TABLE t (x int)');
	used('gone.t', 'SELECT ON gone.t');
	my $roles = super(q{SELECT string_agg(quote_literal(role), ', ') FROM jit.scopes WHERE objid IN ('gone'::regnamespace, 'gone.t'::regclass)});
	super('DROP SCHEMA gone CASCADE');
	gone($roles, 'those of the schema and the table are gone');
};
attack 'the role is dropped natively' => sub {
	my $t = table();
	used($t);
	my $role = scopes_of($t) =~ s/'//gr;
	super("REVOKE ALL ON $t FROM $role; DROP ROLE $role");
	visited();
	is(super("SELECT count(*) FROM jit.scopes WHERE role = '$role'"), '0', 'so is its row');
	my $id = super("SELECT jit_grant('SELECT ON $t', 'dev', '1 hour', 'x')");
	is(super("SELECT has_table_privilege('dev', '$t', 'SELECT')"), 't', '... and another is made');
	isnt(scopes_of($t), "'$role'", '... with another number');
	super("SELECT jit_revoke($id, 'x')");
};

# ---- the time is over

attack 'a trace in \dp and \du' => sub {
	my $t = table();
	used($t, "SELECT (a), UPDATE (b) ON $t; USAGE ON SCHEMA hr; CONNECT ON DATABASE hr_prod", 'eve');
	used($t, "SELECT ON ALL TABLES IN SCHEMA hr", 'eve');
	super('CREATE SEQUENCE n; CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1; REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC');
	used($t, 'USAGE ON SEQUENCE n; EXECUTE ON FUNCTION f(); SET ON PARAMETER work_mem', 'eve');
	my $live = super("SELECT jit_grant('DELETE ON other', 'dev', '1 hour', 'x')");
	# as if it hadn't been noted that it is in use again
	super(q{UPDATE jit.scopes SET unused_since = '2000-01-01' WHERE objid = 'other'::regclass});
	keep('1 s');
	comes(q{SELECT count(*) = 1 FROM pg_roles WHERE rolname ~ '^jit_scope'}, 'all roles but the one in use are gone');
	is(super('SELECT count(*) FROM jit.scopes'), '1', '... and rows');
	is(super("SELECT has_table_privilege('dev', 'other', 'DELETE')"), 't', '... that one works');
	super("SELECT jit_revoke($live, 'x')");
	comes(q{SELECT count(*) = 0 FROM pg_roles WHERE rolname ~ '^jit_'}, 'then it goes, too');
	my $dumped = join '', map { (run_command([ 'psql', '-X', '-d', $node->connstr('hr_prod'), '-c', $_ ]))[0] } '\dp hr.*', '\dp', '\du', '\dn+', '\l', '\df+ f';
	unlike($dumped, qr/jit_(scope|grant)/, 'psql shows nothing of them');
	is(super(q{SELECT count(*) FROM pg_parameter_acl}), '0', '... nor is there a parameter\'s ACL');
	is(super(q{SELECT has_schema_privilege('dev', 'hr', 'USAGE')}), 't', 'standing privileges are untouched');
	keep('7 d');
};
attack 'a schema of which one table is used' => sub {
	my ($t, $u) = (table(), table());
	used($t, "SELECT ON $t; USAGE ON SCHEMA hr", 'eve');
	my $schema = super(q{SELECT role FROM jit.scopes WHERE objid = 'hr'::regnamespace});
	my $before = super(q{SELECT xmin FROM pg_namespace WHERE nspname = 'hr'});
	my $live = super("SELECT jit_grant('SELECT ON $u', 'dev', '1 hour', 'x')");
	keep('0');
	comes("SELECT count(*) = 0 FROM jit.scopes WHERE objid = '$t'::regclass", 'the other\'s goes');
	visited();
	is(super(q{SELECT xmin FROM pg_namespace WHERE nspname = 'hr'}), $before, 'the schema\'s ACL is left alone');
	super("SELECT jit_revoke($live, 'x')");
	gone("'$schema'", '... until the last one goes');
	keep('7 d');
};
attack 'a role of ours that others are made members of' => sub {
	my $t = table();
	super('CREATE ROLE manager LOGIN CREATEROLE; CREATE ROLE mule');
	used($t);
	my $role = scopes_of($t);
	super("GRANT " . $role =~ s/'//gr . " TO mule, manager");
	keep('0');
	gone($role, 'it goes all the same');
	keep('7 d');
};
attack 'a role of a name like ours' => sub {
	my $db = super(q{SELECT oid FROM pg_database WHERE datname = 'hr_prod'});
	super("CREATE ROLE jit_scope_${db}_999999; CREATE ROLE jit_scope_${db}_x; CREATE ROLE jit_scope_99_1_1; CREATE ROLE jit_scope_999999999_1 LOGIN");
	keep('0');
	visited();
	keep('7 d');
	visited();
	is(super(q{SELECT count(*) FROM pg_roles WHERE rolname ~ '^jit_scope_.*(_999999|_x|_1)$'}), '4', 'none is dropped');
	super("DROP ROLE jit_scope_${db}_999999; DROP ROLE jit_scope_${db}_x; DROP ROLE jit_scope_99_1_1; DROP ROLE jit_scope_999999999_1");
};
attack 'a role that was given more' => sub {
	my ($t, $u) = (table(), table());
	used($t);
	my $role = scopes_of($t);
	my $bare = $role =~ s/'//gr;
	super("GRANT SELECT ON $u TO $bare; CREATE POLICY p ON $u TO $bare; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO $bare");
	keep('0');
	gone($role, 'it goes with that');
	keep('7 d');
	is(on($u), '0', '... and with its privileges');
};
attack 'a role that owns something' => sub {
	my ($t, $u) = (table(), table());
	used($t);
	my $role = scopes_of($t);
	my $bare = $role =~ s/'//gr;
	super("INSERT INTO pg_shdepend SELECT (SELECT oid FROM pg_database WHERE datname = 'hr_prod'), 1259, '$u'::regclass, 0, 1260, '$bare'::regrole, 'o'");
	my $from = -s $node->logfile;
	keep('0');
	$node->wait_for_log(qr/role $bare could not be dropped: it owns something/, $from);
	visited();
	my $other = table();
	used($other);
	my $others = scopes_of($other) || "''";
	visited();
	gone($others, 'one that is new goes');
	is(scalar(() = slurp_file($node->logfile, $from) =~ /role $bare could not be dropped/g), 1, 'it stays, and the log says so once');
	is(on($t), '0', '... without its privileges');
	super("DELETE FROM pg_shdepend WHERE refobjid = '$bare'::regrole AND deptype = 'o'");
	visited();
	gone($role, 'then it goes');
	keep('7 d');
};

# ---- in others' way, and they in ours

attack 'a table that its owner keeps locked' => sub {
	my ($t, $u) = (table(), table());
	used($_) for $t, $u;
	my $roles = scopes_of($u);
	$anna->do("SET ROLE hr_owner; BEGIN; LOCK TABLE $t IN ACCESS EXCLUSIVE MODE");
	keep('0');
	gone($roles, 'that of another one goes');
	is(on($t), '1', '... its own stays for now');
	$anna->do('COMMIT; RESET ROLE');
	keep('7 d');
	keep('0');
	gone(scopes_of($t) || "''", '... and goes after that');
	keep('7 d');
};
attack 'an owner who leaves a GRANT open' => sub {
	my ($t, $u) = (table(), table());
	used($_) for $t, $u;
	my $roles = scopes_of($u);
	$anna->do("SET ROLE hr_owner; BEGIN; GRANT SELECT ON $t TO eve");
	keep('0');
	gone($roles, 'that of another one goes');
	is(($anna->do('COMMIT; RESET ROLE'))[1], '', '... and the GRANT is committed');
	visited();
	gone(scopes_of($t) || "''", '... and its own goes after that');
	keep('7 d');
};
attack 'a grant whose transaction is open' => sub {
	my $t = table();
	used($t);
	my $role = scopes_of($t);
	my $id = sql($node, 'dev', "SELECT jit_request('SELECT ON $t', '1 hour', 'x')", 'hr_prod');
	# it has locked the table, and now waits
	my $s = session($node, getpwuid($<) . '', 'hr_prod');
	$s->do(q{BEGIN; LISTEN x; NOTIFY x; SELECT pg_notify('x', 'y')});
	$anna->do("BEGIN; SELECT jit_approve($id)");
	keep('0');
	gone($role, 'the role goes before its commit');
	is(($anna->do('COMMIT'))[1], '', '... which gives access');
	is(super("SELECT has_table_privilege('dev', '$t', 'SELECT')"), 't', '... that works');
	$s->do('ROLLBACK');
	$s->quit;
	keep('7 d');
};
attack 'the same given by two, and removed, at the same moment, 60 times' => sub {
	my $t = table();
	keep('0');
	my @wrong;
	my $s = session($node, 'anna', 'hr_prod');
	foreach my $round (1 .. 60)
	{
		$_->[0]->begin("SELECT jit_grant('SELECT ON $t', '$_->[1]', '1 hour', 'x') AS n \\gset\nSELECT has_table_privilege('$_->[1]', '$t', 'SELECT'); SELECT jit_revoke(:n, 'x');") for [ $anna, 'dev' ], [ $s, 'eve' ];
		foreach ($anna, $s)
		{
			my ($out, $err) = $_->end;
			push @wrong, "$out $err" if $err =~ /ERROR/ || $out !~ /^t\n/;
		}
	}
	is_deeply(\@wrong, [], 'each grant works');
	is(super(q{SELECT count(*) FROM pg_auth_members m WHERE NOT EXISTS (SELECT FROM pg_authid WHERE oid = m.roleid)
		OR NOT EXISTS (SELECT FROM pg_authid WHERE oid = m.member)}), '0', 'no membership is of a role that is gone');
	comes("SELECT NOT EXISTS (SELECT FROM jit.scopes WHERE objid = '$t'::regclass)", 'in the end they are gone');
	$s->quit;
	keep('7 d');
};
attack 'a crash before anybody has seen the end' => sub {
	my $t = table();
	stop_launcher($node);
	used($t);
	my $roles = scopes_of($t);
	eval { $_->quit } for $anna, $dev;
	continue_launcher();
	super("ALTER SYSTEM SET jit_access.keep_scopes = '1 s'");
	$node->stop('immediate');
	$node->start;
	gone($roles, 'it goes after the start');
	keep('7 d');
};

# ---- databases

attack 'DROP EXTENSION with a thousand' => sub {
	super('CREATE DATABASE many', 'postgres');
	super('CREATE EXTENSION jit_access; CREATE TABLE t (' . join(', ', map { "c$_ int" } 1 .. 12) . ')', 'many');
	super(q{SET client_min_messages = error; SET jit_access.top_level_only = off;
		DO $$ DECLARE cols text; BEGIN
			FOR n IN 1 .. 800 LOOP
				SELECT string_agg('c' || i, ', ') INTO cols FROM generate_series(1, 12) i WHERE n >> i - 1 & 1 = 1;
				PERFORM jit_grant('SELECT (' || cols || ') ON t', 'dev', '1 hour', 'x');
			END LOOP;
		END $$}, 'many');
	my $db = super(q{SELECT oid FROM pg_database WHERE datname = 'many'});
	is(super("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit\\_scope\\_${db}\\_%'"), '800', 'there are hundreds');
	my $seconds = super(q{SELECT clock_timestamp() AS t \gset
		DROP EXTENSION jit_access;
		SELECT extract(epoch FROM clock_timestamp() - :'t')}, 'many');
	note("DROP EXTENSION took $seconds s");
	cmp_ok($seconds, '<', 5, 'it is done in seconds');
	is(super("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit\\_%\\_${db}\\_%'"), '0', 'none is left');
	is(super(q{SELECT count(*) FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid = 't'::regclass AND cardinality(attacl) > 0}, 'many'), '0', '... nor a privilege');
};
attack 'DROP DATABASE' => sub {
	super('CREATE DATABASE passing', 'postgres');
	super('CREATE EXTENSION jit_access; CREATE TABLE t (x int); CREATE TABLE u (x int)', 'passing');
	my $db = super(q{SELECT oid FROM pg_database WHERE datname = 'passing'});
	super(q{SELECT jit_grant('SELECT ON t', 'dev', '1 hour', 'x')}, 'passing');
	super(q{SELECT jit_revoke(1, 'x')}, 'passing');
	super(q{SELECT jit_grant('SELECT ON u', 'dev', '8 s', 'x')}, 'passing');
	comes(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'passing')}, 'nobody is there');
	super('DROP DATABASE passing', 'postgres');
	comes("SELECT count(*) <= 1 FROM pg_roles WHERE rolname LIKE 'jit\\_scope\\_${db}\\_%'", 'what is unused goes at once');
	comes("SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit\\_%\\_${db}\\_%'", '... the rest when its grant has ended');
	# as from a dump of it
	super("CREATE ROLE jit_scope_${db}_3");
	super('CREATE DATABASE passing', 'postgres');
	super(q{CREATE EXTENSION jit_access; CREATE TABLE t (x int); SELECT jit_grant('SELECT ON t', 'dev', '1 hour', 'x')}, 'passing');
	my $next = super(q{SELECT jit_revoke(1, 'x'); SELECT oid FROM pg_database WHERE datname = 'passing'}, 'passing') =~ s/.*\n//r;
	comes(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'passing')}, 'nobody is there');
	super('DROP DATABASE passing', 'postgres');
	comes("SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit\\_%\\_${next}\\_%'", 'those of another one go');
	is(super("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit\\_%\\_${db}\\_%'"), '1', '... what a restore makes of the first meanwhile stays');
	super("DROP ROLE jit_scope_${db}_3");
};
attack 'more databases that are gone than are remembered' => sub {
	super(q{DO $$ BEGIN FOR i IN 1 .. 300 LOOP EXECUTE 'CREATE ROLE jit_scope_' || 1000000 + i || '_1'; END LOOP; END $$;
		CREATE ROLE jit_scope_1000000_1 LOGIN});
	eval { $_->quit } for $anna, $dev;
	$node->restart;
	my $left = q{SELECT count(*) %s FROM pg_roles WHERE rolname ~ '^jit_scope_1000' AND NOT rolcanlogin};
	comes(sprintf($left, '<= 45'), 'so many go');
	super('CREATE DATABASE passing', 'postgres');
	super('DROP DATABASE passing', 'postgres');
	comes(sprintf($left, '= 0'), '... the others when somebody comes again');
	is(super(q{DROP ROLE jit_scope_1000000_1}), '', '... but not one that can log in');
};
attack 'a copy that keeps privileges' => sub {
	my $t = table();
	used($t);
	my $live = super("SELECT jit_grant('UPDATE ON $t', 'dev', '1 hour', 'x')");
	my $roles = scopes_of($t);
	comes(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'hr_prod' AND pid <> pg_backend_pid())}, 'nobody is there', 'postgres');
	super('CREATE DATABASE copy TEMPLATE hr_prod', 'postgres');
	comes("SELECT count(*) = 1 FROM unnest((SELECT relacl FROM pg_class WHERE oid = '$t'::regclass)) a WHERE a::text LIKE 'jit%'", 'the copy keeps the one that is used', 'copy');
	super("SELECT jit_revoke($live, 'x')");
	keep('1 s');
	gone($roles, 'they go');
	is(super("SELECT coalesce(relacl::text, '') ~ 'jit_|[0-9]{5}=' FROM pg_class WHERE oid = '$t'::regclass", 'copy'), 'f', '... in the copy as well');
	is(super(q{SELECT count(*) FROM jit.scopes}, 'copy'), '0', '... which doesn\'t know them any more');
	keep('7 d');
};
attack 'a copy without the extension' => sub {
	my $t = table();
	my $live = super("SELECT jit_grant('UPDATE ON $t', 'dev', '1 hour', 'x')");
	my $roles = scopes_of($t);
	comes(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'hr_prod' AND pid <> pg_backend_pid())}, 'nobody is there', 'postgres');
	super('CREATE DATABASE bare TEMPLATE hr_prod', 'postgres');
	super('DROP EXTENSION jit_access', 'bare');
	super('ALTER DATABASE bare ALLOW_CONNECTIONS false', 'postgres');
	super("SELECT jit_revoke($live, 'x')");
	keep('1 s');
	gone($roles, 'they go');
	keep('7 d');
};

all_attacks_done();
$node->stop;
done_testing();
