# The real prometheus-postgres-exporter, with our queries, as a login that is in
# pg_monitor and has nothing else, serves a metric for each check of jit.health
# and for each state of requests, of each database that it is told of, and what
# is alerted on changes with what happens.  With 100,000 requests on record no
# query takes over 100 ms.
#
# Guards integrations/postgres_exporter/queries.yaml, and what jit.health and
# jit.request_counts read.  Seen to fail with each state counted by itself, and
# with an exporter that has the server's own metrics twice, which it refuses.
#
# Debian: prometheus-postgres-exporter; without it the test is skipped.
#
# Alone: it measures how long queries take.
use strict;
use warnings;
use FindBin;
use IO::Socket::INET;
use IPC::Run ();
use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my ($exporter) = grep { -x } '/usr/bin/prometheus-postgres-exporter';
plan skip_all => 'prometheus-postgres-exporter is not installed' unless defined $exporter;
my $queries = "$FindBin::Bin/../../integrations/postgres_exporter/queries.yaml";

my $node = new_server('exporter', "jit_access.max_pending = 1000");
create_hr($node);
$node->safe_psql('postgres', 'CREATE ROLE mon LOGIN; GRANT pg_monitor TO mon');

# What the page of metrics has: "name{labels}" => value
my $port = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;
sub page
{
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or return {};
	print $socket "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
	local $/;
	my $text = <$socket> // '';
	# the label of the server says where it is
	$text =~ s/server="[^"]*",?//g;
	$text =~ s/,\}/}/g;
	return { $text =~ /^(\w+(?:\{.*\})?) (\S+)$/mg };
}

my $dsn = join ',', map { 'user=mon sslmode=disable host=' . $node->host . ' port=' . $node->port . " dbname=$_" } qw(hr_prod postgres);
my $log = '';
my $run;
{
	local %ENV = (%ENV, DATA_SOURCE_NAME => $dsn);
	$run = IPC::Run::start([ $exporter, "--web.listen-address=127.0.0.1:$port", '--disable-default-metrics',
		'--disable-settings-metrics', '--no-collector.database', '--no-collector.bgwriter', "--extend.query-path=$queries" ], '<', \undef, '>', \$log, '2>&1');
}
END { $run->kill_kill if defined $run; }

sub metric { my ($what) = @_; return page()->{$what}; }
sub serves
{
	my ($what, $value, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until(sub { (metric($what) // '') eq $value }, 30), $name) or diag($what, ' ', metric($what), "\n", $log);
	return;
}

serves('jit_access_health_ok{check="launcher",datname="hr_prod",unit="seconds"}', '1', 'the launcher runs');
my @checks = split /\n/, sql($node, 'mon', 'SELECT name || unit FROM jit.health', 'hr_prod');
my $page = page();
foreach my $db (qw(hr_prod postgres))
{
	is(scalar(grep { my ($check, $unit) = /^(.*?)(seconds|databases|requests|percent|emergencies|roles|settings)$/;
		exists $page->{qq(jit_access_health_ok{check="$check",datname="$db",unit="$unit"})} &&
		exists $page->{qq(jit_access_health_value{check="$check",datname="$db",unit="$unit"})} } @checks),
		scalar @checks, "all checks of $db");
	is($page->{qq(jit_access_requests{datname="$db",status="$_"})}, '0', "$_ in $db")
	  foreach qw(pending scheduled active rejected canceled lapsed expired revoked);
}
is($page->{'jit_access_health_value{check="lag_max",datname="hr_prod",unit="seconds"}'}, 'NaN', 'nothing to measure');

# something happens
sql($node, 'dev', q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x')}, 'hr_prod');
serves('jit_access_requests{datname="hr_prod",status="pending"}', '1', 'a request is pending');
is(metric('jit_access_health_value{check="pending",datname="hr_prod",unit="requests"}'), '1', '... in the check, too');
sql($node, 'anna', 'SELECT jit_approve(1)', 'hr_prod');
serves('jit_access_requests{datname="hr_prod",status="active"}', '1', '... and active');
is(metric('jit_access_requests{datname="postgres",status="active"}'), '0', '... there and nowhere else');
$node->safe_psql('hr_prod', q{ALTER SYSTEM SET jit_access.auditor_role = 'late'});
$node->reload;
serves('jit_access_health_ok{check="missing_roles",datname="hr_prod",unit="roles"}', '0', 'what is wrong is 0');
$node->safe_psql('hr_prod', 'ALTER SYSTEM RESET jit_access.auditor_role');
$node->reload;
serves('jit_access_health_ok{check="missing_roles",datname="hr_prod",unit="roles"}', '1', '... and mended 1');

stop_launcher($node);
# 100,000 requests, 200 of which are pending and 1,000 active; every tenth was revoked
$node->safe_psql('hr_prod', q{
	INSERT INTO jit.requests (id, status, requester, login, grantee, access, reason, duration, risk, flow, needs_superuser, facts,
			requested_at, lapses_at, decided_at, activated_at, expires_at, ended_at, requester_oid, login_oid, grantee_oid, origin)
		SELECT i, s::jit.request_status, requester, login, grantee, access, reason, duration, risk, flow, needs_superuser, facts,
			now() - i * interval '1 min', now() + interval '1 day', CASE WHEN s <> 'pending' THEN now() END,
			CASE WHEN s <> 'pending' THEN now() - i * interval '1 min' END,
			CASE s WHEN 'active' THEN now() + interval '1 day' WHEN 'pending' THEN NULL ELSE now() - i * interval '1 min' END,
			CASE WHEN s IN ('expired', 'revoked') THEN now() - i * interval '1 min' END, requester_oid, login_oid, grantee_oid, origin
		FROM jit.requests r, generate_series(2, 100000) i,
			LATERAL (SELECT CASE WHEN i <= 200 THEN 'pending' WHEN i <= 1200 THEN 'active' WHEN i % 10 = 0 THEN 'revoked' ELSE 'expired' END) s (s)
		WHERE r.id = 1;
	INSERT INTO jit.request_items SELECT i, item, object_type, object, privileges, columns, added, owner, owner_oid, classid, objid, attnums,
		address_type, address_names, address_args FROM jit.request_items t, generate_series(2, 1200) i WHERE t.request_id = 1;
	INSERT INTO jit.grants SELECT r.id, g.role, g.grantee, g.granted_at, r.expires_at, r.ended_at, g.objects, g.objids, g.role_oid, g.grantee_oid
		FROM jit.grants g, jit.requests r WHERE g.request_id = 1 AND r.id > 1 AND r.activated_at IS NOT NULL;
	-- as autovacuum does after so many
	VACUUM ANALYZE jit.requests, jit.request_items, jit.grants});
my $text = slurp_file($queries);
my @sql = $text =~ /query: \|\n((?: {4}.*\n)+)/g;
is(scalar @sql, scalar(() = $text =~ /^\w+:/mg), 'queries');
foreach my $sql (@sql)
{
	# \timing tells it; the page is there, whatever else the machine does
	my $out = sql($node, 'mon', "\\timing on\n" . "$sql;\n" x 8, 'hr_prod');
	my @times = $out =~ /^Time: ([0-9.]+) ms/mg;
	cmp_ok(min(@times), '<', 100, 'at 100,000 requests: ' . ($sql =~ /FROM (\S+)/)[0]);
	note("ms: @times");
}
continue_launcher();
serves('jit_access_requests{datname="hr_prod",status="pending"}', '199', '... on the page, too');

$run->kill_kill;
undef $run;
$node->stop;
done_testing();
