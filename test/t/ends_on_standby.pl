# A hot standby enforces the deadline by itself, with the primary stopped as
# well; new access works there once it is replayed, a revocation on the
# primary denies at the next statement after its replay, and after promotion
# the new primary's workers take over.
#
# Guards that enforce.c and cutoff.c need nothing but the shared catalogs and
# their own clock.  Seen to fail with deadlines not looked at in recovery.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;

my $primary = new_server('primary', '', allows_streaming => 1);
$primary->safe_psql('postgres', q{
	CREATE ROLE dev LOGIN;
	CREATE TABLE secret AS SELECT i AS x FROM generate_series(1, 1000) i;
	CREATE TABLE open AS TABLE secret; GRANT SELECT ON open TO PUBLIC;
});
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\nmax_standby_streaming_delay = -1");
$standby->start;
sub replayed { $primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush')); return; }
my $denied = qr/ERROR:  42501: permission denied for table secret\n/;

like((sql($standby, 'dev', 'SELECT count(*) FROM secret'))[1], qr/${denied}HINT:  Request access on the primary server: /, 'the hint says where to ask');
like((sql($standby, 'dev', q{SELECT jit_request('SELECT ON secret', '1 hour', 'x')}))[1], qr/ERROR:  25006: access cannot be requested on a standby server\n/, 'not here');
like((sql($standby, 'postgres', "SELECT $_"))[1], qr/ERROR:  25006: cannot execute jit_(set_policy|reset_clock)\(\) during recovery\n/, "... nor $_")
  for (q{jit_set_policy('p', 'high', '$')}, 'jit_reset_clock()');

# what can be read there
sql($primary, 'dev', q{SELECT jit_request('UPDATE ON open', '1 hour', 'x')});
replayed();
shown_as((sql($standby, 'postgres', 'SELECT access, approvals FROM jit.inbox'))[0], "UPDATE ON public.open|0 of 1\nby anyone who could grant it", 'the inbox can be read');

stop_launcher($primary);
my $s = session($standby, 'dev');
my $free = session($standby, 'dev');
$free->begin('SELECT pg_sleep(600) FROM open');

# a revocation
my $id = grant_access($primary, 'SELECT ON secret', 'dev', '1 hour');
replayed();
is($s->do('SELECT count(*) FROM secret'), '1000', 'new access works once it is replayed');
$s->do('PREPARE p AS SELECT count(*) FROM secret');
is($s->do('EXECUTE p; BEGIN; DECLARE c CURSOR FOR SELECT x FROM secret; FETCH 1 FROM c'), "1000\n1", 'as do plans and cursors');
revoke_access($primary, $id);
replayed();
like(($s->do('FETCH 1 FROM c'))[1], qr/ERROR:  42501/, 'revoked: the next FETCH is denied');
like(($s->do('ROLLBACK; EXECUTE p'))[1], $denied, '... the next EXECUTE');
like(($s->do('SELECT count(*) FROM secret'))[1], $denied, '... and the next statement');

# the deadline, nobody sweeping
$id = grant_access($primary, 'SELECT ON secret', 'dev', '5 s');
replayed();
is($s->do('SELECT count(*) FROM secret'), '1000', 'access again');
$s->begin('SELECT pg_sleep(600) FROM secret');
like(($s->end)[1], qr/${CUT_OFF}DETAIL:  Request $id in postgres expired at/, 'a running statement is cut off at the deadline');
like((sql($standby, 'dev', 'SELECT count(*) FROM secret'))[1], qr/${denied}DETAIL:  Request $id in postgres expired at/, 'the next one is denied');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}), '1', 'while the role is there');

# the same with the primary stopped
my $last = grant_access($primary, 'SELECT ON secret', 'dev', '8 s');
my $longer = grant_access($primary, 'UPDATE ON secret', 'dev', '20 s');
replayed();
continue_launcher();
$primary->stop('immediate');
is($s->do('SELECT count(*) FROM secret'), '1000', 'access goes on without the primary');
$s->begin('SELECT pg_sleep(600) FROM secret');
like(($s->end)[1], qr/${CUT_OFF}DETAIL:  Request $last in postgres expired at/, 'cut off at the deadline without the primary');
like(($s->do('SELECT count(*) FROM secret'))[1], qr/${denied}DETAIL:  Request $last in postgres expired at/, 'denied after it');
is($standby->safe_psql('postgres', qq{SELECT status FROM jit.requests WHERE id = $last}), 'active', 'nobody has settled it');

# promotion
$standby->promote;
ok($standby->poll_query_until('postgres', qq{SELECT status = 'expired' FROM jit.requests WHERE id = $last}), 'after promotion it is settled');
ok($standby->poll_query_until('postgres', qq{SELECT status = 'expired' FROM jit.requests WHERE id = $longer}), 'so is what ends later');
ok($standby->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE 'jit_grant_%'}), 'the roles are gone');
ok(!$free->ended, 'what does not rely on any of it has run on');
grant_access($standby, 'SELECT ON secret', 'dev', '1 hour');
is($s->do('SELECT count(*) FROM secret'), '1000', 'access is given by the new primary');

$s->quit;
$standby->safe_psql('postgres', "SELECT pg_terminate_backend($free->{pid})");
$standby->stop;
done_testing();
