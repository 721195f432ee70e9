# What is kept, compared, logged or handed to the server is the same whatever
# anybody sets: the caller, a role's or the database's owner.
#
# Every setting that a user or superuser can change is walked through, by SET, by
# ALTER ROLE and by ALTER DATABASE: other values of one that has few, the least
# and the most of a number, the table below for texts.  One that is in no table
# fails the test, so that it is looked at.  Under each the same is done as
# without any; what requests, events, roles and the server log say of it must be
# the same, but for the digits of numbers and times.  All settings are changed
# at once, each time to another value of theirs.
#
# The attacks are lines of attacks.md.  Seen to fail, each with this taken out:
# TimeZone, IntervalStyle and quote_all_identifiers of the settings that owner
# sections pin, jit_quote_identifier(), jit_interval_text()'s own style, types
# without the search_path, a label's object in an owner section, and what
# jit_try() does about exit_on_error.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

# It would be every session's, whatever a role or a database has set.
delete $ENV{PGTZ};

# Left alone, and why.
my %exceptions = (
	(map { $_ => 'says who somebody is' } qw(role session_authorization)),
	(map { $_ => 'says no, and to whom' } qw(transaction_read_only default_transaction_read_only)),
	(map { $_ => 'is of one transaction; default_ are walked' } qw(transaction_isolation transaction_deferrable)),
	(map { $_ => 'loads code' } qw(session_preload_libraries local_preload_libraries output_plugin_libraries)),
	(map { $_ => 'says what the server log has, and no text of ours' } qw(log_min_messages log_min_error_statement log_error_verbosity)),
	(map { $_ => 'too little of it fails, whatever one does' } qw(max_stack_depth)),
	(map { $_ => 'ends a session, whatever it does' } qw(statement_timeout transaction_timeout idle_session_timeout idle_in_transaction_session_timeout)),
	(map { $_ => 'can only be on where others are off' } qw(log_statement_stats)),
	(map { $_ => 'another encoding of what is typed is another text' } qw(client_encoding)),
	(map { $_ => 'only makes commits wait' } qw(commit_delay)),
	(map { $_ => 'would lose data or hide errors' } qw(zero_damaged_pages ignore_checksum_failure ignore_invalid_pages)),
	(map { $_ => 'triggers that are not ALWAYS, a superuser\'s; written_last and asking_events have it' } qw(session_replication_role)),
	(map { $_ => 'needs what is not there' } qw(default_tablespace temp_tablespaces default_table_access_method)),
	(map { $_ => 'is for the building of PostgreSQL' } qw(debug_discard_caches allow_system_table_mods wal_consistency_checking)),
);

# Other values of texts.
my %texts = (
	application_name => [ "jit_access: x\ry" ],
	backtrace_functions => ['errfinish'],
	createrole_self_grant => [ 'set, inherit', '' ],
	DateStyle => [ 'German, DMY', 'SQL, DMY', 'Postgres, YMD' ],
	default_text_search_config => ['pg_catalog.german'],
	extension_destdir => ['/nowhere'],
	extension_control_path => ['/nowhere:$system'],
	dynamic_library_path => [ '/nowhere:$libdir' ],
	lc_messages => ['C.UTF-8'],
	lc_monetary => ['C.UTF-8'],
	lc_numeric => ['C.UTF-8'],
	lc_time => ['C.UTF-8'],
	'plpgsql.extra_errors' => ['all'],
	'plpgsql.extra_warnings' => ['all'],
	restrict_nonsystem_relation_kind => ['view'],
	search_path => [ 'mine, pg_catalog', 'pg_temp, mine, pg_catalog, public', '', 'hr, public' ],
	TimeZone => [ '-167', '167', 'Asia/Kathmandu', 'America/St_Johns', '<long-name>+1:30' ],
	timezone_abbreviations => ['Australia'],
);

my $node = new_server('settings', "jit_access.admin_role = 'admins'\nmax_worker_processes = 20\nautovacuum = off\nlog_min_messages = warning");
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE admins; CREATE ROLE paul LOGIN; GRANT admins TO paul;
	CREATE ROLE boss LOGIN SUPERUSER; CREATE ROLE clerk LOGIN SUPERUSER;
	CREATE SCHEMA mine; GRANT USAGE ON SCHEMA mine TO PUBLIC;
	CREATE DOMAIN mine.text AS pg_catalog.text; CREATE TYPE mine.jsonb AS ENUM ('x');
	SELECT jit_set_flow('moderate', '[{"approver": "@grantor"}]');
	SELECT jit_set_flow('high', '[{"approver": "admins"}]', max_duration => '1 day 02:03', request_ttl => '90 minutes');
	GRANT USAGE ON SCHEMA hr TO anna, paul;
	SET ROLE hr_owner;
	CREATE TYPE hr.kind AS ENUM ('a');
	CREATE TABLE hr."Pay Roll" (emp_no int, "Emp No" int, note text);
	CREATE FUNCTION hr.raise(text, pg_catalog.jsonb[], hr.kind, timestamptz) RETURNS int LANGUAGE sql RETURN 1;
	REVOKE EXECUTE ON FUNCTION hr.raise FROM PUBLIC;
});

$exceptions{standard_conforming_strings} = 'is always on' if $node->pg_version->major >= 19;

# Reads what is there, under settings that nobody has changed.
sub look { return $node->safe_psql($_[1] // 'hr_prod', $_[0], extra_params => [ '-U', 'clerk' ]); }

my $database = look(q{SELECT oid FROM pg_database WHERE datname = 'hr_prod'});
my $roles_there = q{rolname ~ '^jit_grant_'};

# ---- what there is to set

my (%values, @unknown);
foreach (split /\n/, look(q{
	LOAD 'plpgsql';
	SELECT concat_ws('|', name, vartype, setting, min_val, max_val, array_to_string(enumvals, ',')) FROM pg_settings
	WHERE context IN ('user', 'superuser') AND name !~ '^jit_access\.' ORDER BY name}))
{
	my ($name, $type, $now, @more) = split /\|/;
	next if exists $exceptions{$name};
	$values{$name} =
	    $type eq 'bool' ? [ $now eq 'on' ? 'off' : 'on' ]
	  : $type eq 'enum' ? [ grep { $_ ne $now } split /,/, $more[0] ]
	  : $type ne 'string' ? [ grep { $_ ne $now } @more ]
	  : $texts{$name};
	push @unknown, $name unless defined $values{$name};
}
my $rounds = (sort { $b <=> $a } map { scalar @{ $_ // [] } } values %values)[0];

sub name_of { return join '.', map { qq{"$_"} } split /\./, $_[0]; }
look(join '; ', map { 'GRANT SET ON PARAMETER ' . name_of($_) . ' TO PUBLIC' } keys %values);

# The i-th other value of each: SET what is returned.
sub assignments
{
	my ($i) = @_;
	my @result;
	foreach my $name (sort grep { @{ $values{$_} // [] } } keys %values)
	{
		my $value = $values{$name}[ $i % @{ $values{$name} } ];
		my @parts = $name =~ /^(search_path|plpgsql\.extra_.*)$/ && $value ne '' ? split(/, */, $value) : $value;
		push @result, name_of($name) . ' TO ' . join(', ', map { "'$_'" } @parts);
	}
	return @result;
}

# ---- what is done

# Statements of a login of its own, all under the same settings; returns the
# numbers that come of them.
sub as
{
	my ($user, $set, @sql) = @_;
	my ($rc, $out, $err) = $node->psql('hr_prod', join("\n", map { "$_;" } @$set, @sql),
		extra_params => [ '-U', $user, '-v', 'ON_ERROR_STOP=1' ]);
	die "$user: $err" if $rc != 0;
	return $out =~ /^(\d+)$/mg;
}

# All of it, and what is kept and said of it.  With "expire", one ends by itself.
sub play
{
	my ($set, $expire, $reset) = @_;
	my $from = -s $node->logfile;
	my $what = q{SELECT ("Emp No", emp_no) ON hr."Pay Roll"; EXECUTE ON FUNCTION hr.raise};
	my @n = as('dev', $set, map({ "SELECT jit_request('$what', $_, reason => 'why', ticket => 'INC-1')" }
		q{'1 s'}, q{until => clock_timestamp() + interval '1 hour'}, q{'61 minutes'}, q{'62 minutes'}, q{'90 minutes'}));
	@n[ 0, 4 ] = @n[ 4, 0 ];
	push @n, as('anna', $set,
		$expire ? "SELECT jit_approve($n[4])" : (),
		"SELECT jit_approve($n[0], 'ok', '45 minutes')",
		"SELECT jit_approve($n[1], duration => '30 minutes')",
		"SELECT jit_reject($n[2], 'no')",
		q{SELECT jit_grant('SELECT ON hr.salary', 'eve', '1 day', 'given')});
	# without the one that is about to end
	my $roles = look(qq{SELECT string_agg(concat_ws(' ', rolname, round(extract(epoch FROM rolvaliduntil - clock_timestamp()) / 60),
			shobj_description(oid, 'pg_authid')), E'\n' ORDER BY oid)
		FROM pg_roles WHERE rolname ~ '^jit_scope_' OR rolname ~ '^jit_grant_' AND rolname !~ '_$n[4]\$'}, 'postgres');
	as('anna', $set, "SELECT jit_revoke($n[0], 'because')");
	wait_until(sub { look("SELECT count(*) = 0 FROM pg_roles WHERE rolname = 'jit_grant_${database}_$n[4]'", 'postgres') eq 't' })
	  or die 'it does not expire';
	as('paul', $set,
		q{SELECT jit_set_flow('high', '[{"approver": "admins"}]', max_duration => '1 day 02:03', request_ttl => '90 minutes')},
		q{SELECT jit_set_policy('strict', 'high', '$.grantee == "nobody"')},
		q{SELECT jit_drop_policy('strict')},
		q{SELECT jit_set_label('COLUMN hr."Pay Roll"."Emp No"', 'a')},
		"SELECT jit_revoke_from('dev', 'panic')",
		"SELECT jit_revoke_all('panic')");
	as('boss', $set, q{SECURITY LABEL FOR jit_access ON TABLE hr."Pay Roll" IS 'a'});
	look($reset, 'postgres') if $reset;
	die 'access stays' unless wait_until(sub { look("SELECT count(*) = 0 FROM pg_roles WHERE $roles_there", 'postgres') eq 't' });
	my $n = join ', ', @n;
	my $rows = look(qq{
		SELECT to_jsonb(r) - '{id,requested_at,lapses_at,decided_at,activated_at,expires_at,ended_at,until,facts,origin}'::text[],
			facts - '{hour,weekday,active_grants,recent_grants,duration}'::text[],
			round(extract(epoch FROM lapses_at - requested_at) / 60),
			round(extract(epoch FROM expires_at - activated_at) / 60)
		FROM jit.requests r WHERE id IN ($n) ORDER BY id;
		SELECT to_jsonb(i) - '{request_id}'::text[] FROM jit.request_items i WHERE request_id IN ($n) ORDER BY request_id, item;
		SELECT to_jsonb(v) - '{request_id,at}'::text[] FROM jit.reviews v WHERE request_id IN ($n) ORDER BY request_id, review;
		SELECT to_jsonb(g) - '{request_id,role_oid,granted_at,expires_at,ended_at}'::text[] FROM jit.grants g WHERE request_id IN ($n) ORDER BY request_id;
		SELECT 'request ' || request, status, grantee, access, objects, approved_by FROM jit.history WHERE request IN ($n) ORDER BY request;
		SELECT event, login, role, 'request ' || request_id, detail FROM jit.events
		WHERE id > (SELECT max(e.id) FROM jit.events e WHERE e.event = 'begun') ORDER BY event = 'expired', id});
	# but for what depends on whether the ledger could be had at once
	my @log = grep { !/whose time is over/ } map { /LOG:  (jit_access: .*)/ ? $1 : () } split /\n/, substr(slurp_file($node->logfile), $from);
	look(q{SELECT jit_set_label('COLUMN hr."Pay Roll"."Emp No"', NULL), jit_set_label('TABLE hr."Pay Roll"', NULL); DELETE FROM jit.scopes;
		INSERT INTO jit.events (id, at, event, detail, origin) SELECT max(id) + 1, clock_timestamp(), 'begun', '{}', max(origin) FROM jit.events;});
	look("SELECT format('DROP OWNED BY %I; DROP ROLE %1\$I', rolname) FROM pg_roles WHERE rolname ~ '^jit_scope_' \\gexec");

	# times by their form, numbers of requests by which they are
	foreach ($roles, $rows, @log)
	{
		s/\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\d(\.\d+)?(?=[+-]\d\d)/0000-00-00${1}00:00:00/g;
		s/jit_scope_\d+_\d+/jit_scope/g;
		foreach my $i (0 .. $#n) { s/\b(request |jit_grant_${database}_)$n[$i]\b/$1#$i/g; }
	}
	return join("\n", 'roles:', $roles, 'rows:', $rows, 'log:', sort @log) . "\n";
}

look(q{INSERT INTO jit.events (id, at, event, detail, origin) SELECT max(id) + 1, clock_timestamp(), 'begun', '{}', max(origin) FROM jit.events});
my %expected = map { $_ => play([], $_) } 0, 1;

sub same
{
	my ($how, $i, $set, $expire, $reset) = @_;
	my $told = eval { play($set, $expire, $reset) } // "died: $@";
	look($reset, 'postgres') if $reset;
	ok($told eq $expected{$expire}, "the same is kept and said: $how, value $i");
	return if $told eq $expected{$expire};
	return diag($told) if $told =~ /^died: /;
	my @is = split /\n/, $told;
	my @should = split /\n/, $expected{$expire};
	diag("it is: $is[$_]\nnot:   $should[$_]") foreach grep { ($is[$_] // '') ne ($should[$_] // '') } 0 .. $#should;
	return;
}

attack 'a setting that is new' => sub {
	is_deeply(\@unknown, [], 'every text is in a table of this file');
	cmp_ok(scalar keys %values, '>', 150, 'there are many others');
	ok($expected{1} =~ qr/"access": "SELECT \(emp_no, \\"Emp No\\"\) ON hr.\\"Pay Roll\\"; EXECUTE ON FUNCTION hr.raise\(text, jsonb\[\], hr.kind, timestamp with time zone\)"/, 'names are quoted where need be');
	ok($expected{1} =~ qr/log:.*request #0 in hr_prod activated: .* until 0000-00-00 00:00:00\+00, approved by anna/s, 'times are UTC');
	ok($expected{1} =~ qr/request #4 in hr_prod expired/, 'one has expired');
};
attack 'SET' => sub {
	same('SET', $_, [ map { "SET $_" } assignments($_) ], 0) foreach 0 .. $rounds - 1;
};
attack 'ALTER ROLE ... SET' => sub {
	my @people = qw(dev anna paul boss);
	foreach my $i (0 .. $rounds - 1)
	{
		look(join('; ', map { my $a = $_; map { "ALTER ROLE $_ SET $a" } @people } assignments($i)), 'postgres');
		same('ALTER ROLE', $i, [], 0, join('; ', map { "ALTER ROLE $_ RESET ALL" } @people));
	}
};
attack 'ALTER DATABASE ... SET' => sub {
	foreach my $i (0 .. $rounds - 1)
	{
		look(join('; ', map { "ALTER DATABASE hr_prod SET $_" } assignments($i)), 'postgres');
		same('ALTER DATABASE', $i, [], 1, 'ALTER DATABASE hr_prod RESET ALL');
	}
};

# ---- one by one, as they were found

my $n;
sub owner_sets { return $node->safe_psql('postgres', "ALTER DATABASE hr_prod $_[0]", extra_params => [ '-U', 'anna' ]); }
sub asks
{
	my ($set, $access) = @_;
	($n) = as('dev', $set, "SELECT jit_request('$access', '1 hour', 'x')");
	return $n;
}

attack "TimeZone '-167' for the panic button" => sub {
	owner_sets(q{SET TimeZone = '-167'});
	is($node->safe_psql('hr_prod', 'SHOW TimeZone'), '<-167>+167', 'it is set');
	asks([], 'SELECT ON hr.salary');
	as('anna', [], "SELECT jit_approve($n)");
	my ($out, $err) = sql($node, 'paul', q{SELECT jit_revoke_all('panic')}, 'hr_prod');
	is($out, '1', 'it works') or diag($err);
	owner_sets('RESET TimeZone');
};
attack 'quote_all_identifiers hides a request from an auditor' => sub {
	asks([ 'SET quote_all_identifiers = on' ], 'SELECT ON hr.salary');
	as('anna', [ 'SET quote_all_identifiers = on' ], "SELECT jit_approve($n)");
	is(look("SELECT count(*) FROM jit.history WHERE request = $n AND 'hr.salary' = ANY (objects)"), '1', 'it is found');
	as('anna', [], "SELECT jit_revoke($n)");
};
attack 'search_path hides a request from an auditor' => sub {
	asks([ 'SET search_path = mine, pg_catalog' ], 'EXECUTE ON FUNCTION hr.raise');
	is(look("SELECT access FROM jit.requests WHERE id = $n"), 'EXECUTE ON FUNCTION hr.raise(text, jsonb[], hr.kind, timestamp with time zone)', 'it reads as any');
	as('anna', [], "SELECT jit_reject($n, 'x')");
};
attack 'IntervalStyle in what an approver shortened it to' => sub {
	asks([], 'SELECT ON hr.salary');
	as('anna', [ q{SET IntervalStyle = 'sql_standard'} ], "SELECT jit_approve($n, 'x', '1 minute')");
	is(look("SELECT detail ->> 'duration' FROM jit.events WHERE request_id = $n AND event = 'approved'"), '00:01:00', 'it reads as any');
	as('anna', [], "SELECT jit_revoke($n)");
};
attack 'exit_on_error, and an inbox with what was dropped' => sub {
	look('CREATE TABLE hr.gone (); ALTER TABLE hr.gone OWNER TO hr_owner');
	asks([], 'SELECT ON hr.gone');
	look('DROP TABLE hr.gone');
	my ($out, $err) = sql($node, 'anna', 'SET exit_on_error = on; SELECT count(*) FROM jit.inbox', 'hr_prod');
	is($out, '0', 'the session goes on') or diag($err);
	# unless a sweeper has let it lapse meanwhile
	sql($node, 'dev', "SELECT jit_cancel($n)", 'hr_prod');
};
attack 'messages are in the caller\'s time zone' => sub {
	asks([], 'SELECT ON hr.salary');
	my ($out, $err) = sql($node, 'anna', "SET TimeZone = 'Asia/Kathmandu'; SELECT jit_approve($n)", 'hr_prod');
	like($err, qr/NOTICE:  00000: dev has SELECT ON hr\.salary in hr_prod until [\d-]+ [\d:]+\+05:45; /, 'at the call');
	my $s = session($node, 'anna', 'hr_prod');
	my ($m) = as('dev', [], q{SELECT jit_request('UPDATE ON hr.salary', '1 hour', 'x')});
	$s->do("SET TimeZone = 'Asia/Kathmandu'; BEGIN; SELECT jit_approve($m)");
	as('paul', [], q{SELECT jit_revoke_all('panic')});
	like(($s->do('COMMIT'))[1], qr/ERROR:  55000: .*DETAIL:  All access was revoked, .*, at [\d-]+ [\d:]+\+05:45\./s, 'at the commit');
	$s->quit;
	as('anna', [], "SELECT jit_reject($m, 'x')");
};
attack 'messages under a time zone of 167 hours' => sub {
	foreach my $zone (qw(-167 167))
	{
		asks([ "SET TimeZone = '$zone'" ], 'SELECT ON hr.salary');
		my ($out, $err) = sql($node, 'anna', "SET TimeZone = '$zone'; SELECT jit_approve($n); SELECT expires_at IS NOT NULL FROM jit.active_grants WHERE request = $n; SELECT count(*) FROM jit.history", 'hr_prod');
		unlike($err, qr/ERROR/, "$zone: no error");
		like($err, qr/until [\d-]+ [\d:]+[+-]167;/, "$zone: it is told");
		as('anna', [], "SELECT jit_revoke($n)");
	}
};

all_attacks_done();
$node->stop;
done_testing();
