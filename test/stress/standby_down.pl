# A commit that waits for a synchronous standby which is down, with the lock
# under which access is given, holds up the panic button by a second at most,
# other people's statements not at all, and other requests end with a clear
# error.  The same for whoever else commits a NOTIFY.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Stress;
use JitAccess;
use Time::HiRes qw(sleep time);

my $node = new_server('primary', '', allows_streaming => 1);
create_hr($node);
$node->safe_psql('hr_prod', q{
	CREATE ROLE dev2 LOGIN; CREATE ROLE dev3 LOGIN; GRANT USAGE ON SCHEMA hr TO PUBLIC;
	SELECT jit_grant('SELECT ON hr.salary', r, '1 hour', 'x') FROM unnest('{dev2,dev3}'::name[]) r;
	SELECT jit_set_flow('moderate', '[]');
	CREATE TABLE t (x int); GRANT INSERT ON t TO eve;
});
my $super = getpwuid($<) . '';

sub standbys
{
	$node->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = '$_[0]'");
	$node->reload;
	ok($node->poll_query_until('postgres', "SELECT current_setting('synchronous_standby_names') = '$_[0]'"), "standbys: '$_[0]'");
	return;
}
sub waits_for_standby
{
	my ($s) = @_;
	return $node->poll_query_until('postgres', "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $s->{pid}");
}

# Ends within that time?  If not, that has failed, and it is waited for later.
my @stuck;
sub within
{
	my ($what, $seconds, $s, $sql) = @_;
	my $start = time;
	$s->begin($sql);
	my $ended = wait_until(sub { $s->ended }, $seconds + 1);
	my $took = time - $start;
	ok($ended && $took <= $seconds, sprintf('%s: %.1f s', $what, $took));
	return $s->end if $ended;
	push @stuck, $s;
	return ('', '');
}

my $relies = session($node, 'dev2', 'hr_prod');
my $runs = session($node, 'dev2', 'hr_prod');
my $reads = session($node, 'dev3', 'hr_prod');
my $stranger = session($node, 'eve', 'hr_prod');
my $gives = session($node, 'anna', 'hr_prod');
my $asks = session($node, 'dev', 'hr_prod');
my $panics = session($node, $super, 'hr_prod');
my $panics_elsewhere = session($node, $super);
$runs->begin('SELECT pg_sleep(600) FROM hr.salary LIMIT 1');

foreach my $holder ('gives access', 'notifies')
{
	standbys('nobody');
	if ($holder eq 'gives access') { $gives->begin(q{SELECT jit_grant('SELECT ON hr.salary', 'eve', '1 hour', 'x')}); ok(waits_for_standby($gives), 'who gives access waits for the standby'); }
	else { $gives->begin(q{BEGIN; CREATE TEMP TABLE x (); NOTIFY somebody; COMMIT}); ok(waits_for_standby($gives), 'who notifies waits for the standby'); }

	is((within("$holder: who has access reads on", 1, $relies, 'SELECT count(*) FROM hr.salary'))[0], '100', '... and is given it');
	like((within("$holder: who has none is denied", 1, $asks, 'SELECT count(*) FROM hr.salary'))[1], qr/ERROR:  42501/, '... as ever');
	ok(!$runs->ended, "$holder: what runs goes on");
	my ($out, $err) = within("$holder: a request ends", 12, $asks, q{SELECT jit_request('SELECT ON hr.salary', '1 hour', 'x')});
	like($err, qr/ERROR:  55P03: .*(request \d+|[Tt]ry again)/s, '... with a clear error');
	# a press costs less than a second itself
	if ($holder eq 'gives access')
	{
		($out, $err) = within("$holder: the panic button for one", 3, $panics, q{SELECT jit_revoke_from('dev3', 'panic')});
		unlike($err, qr/ERROR/, '... without an error');
		like(($reads->do('SELECT count(*) FROM hr.salary'))[1], qr/ERROR:  42501/, '... which works');
		is((within("$holder: others read on", 1, $relies, 'SELECT count(*) FROM hr.salary'))[0], '100', '... and are given it');
	}
	else
	{
		($out, $err) = within("$holder: the panic button for all, elsewhere", 3, $panics_elsewhere, q{SELECT jit_revoke_all('panic')});
		unlike($err, qr/ERROR/, '... without an error');
		like(($relies->do('SELECT count(*) FROM hr.salary'))[1], qr/ERROR:  42501/, '... which works');
		ok(wait_until(sub { $runs->ended }, 10), '... and cuts off what runs');
	}
	standbys('');
	is(($gives->end)[1] =~ /(ERROR.*|WARNING.*)/ ? $1 : '', '', 'who waited has committed');
	$_->end for splice @stuck;
}
ok($node->poll_query_until('hr_prod', q{SELECT count(*) = 0 FROM jit.requests WHERE status = 'active' AND grantee = 'dev3'}), 'the ledger follows');
$_->end, $_->quit for $runs;
$_->quit for $relies, $reads, $stranger, $gives, $asks, $panics, $panics_elsewhere;
$node->stop;
done_testing();
