# The feed: events become visible in the order of their numbers, so who reads
# those after the last one it has seen misses none and sees none twice.
#
# The attacks are lines of attacks.md.  Seen to fail with events numbered by a
# sequence at the call.  The same with eight sessions at random is
# ../stress/written_last_feed.pl.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use JitAccess;
use Attacks;

my $node = new_server('feed', 'jit_access.max_pending = 100');
create_hr($node);
$node->safe_psql('hr_prod', q{CREATE ROLE dev2 LOGIN; GRANT USAGE ON SCHEMA hr TO PUBLIC});
my %s = map { $_ => session($node, $_, 'hr_prod') } qw(dev dev2 eve anna);
$_->do(q{SET statement_timeout = '8 s'}) for values %s;
# for longer each time, so that it isn't what is pending
my $ask = q{SELECT jit_request('SELECT ON hr.salary', '1 hour' + (clock_timestamp() - pg_postmaster_start_time()), 'x')};

# Reads on: what it has been given, in all, as "number of the request: event".
my $last = 0;
my @seen;
sub read_on
{
	foreach (split /\n/, $node->safe_psql('hr_prod', "SELECT id, coalesce(request_id, 0), event FROM jit.events WHERE id > $last ORDER BY id"))
	{
		my ($id, $request, $event) = split /\|/;
		push @seen, "$request: $event";
		$last = $id;
	}
	return;
}

# Has it been given all that there is, once, in that order?
sub complete
{
	read_on();
	is_deeply(\@seen, [ split /\n/, $node->safe_psql('hr_prod', q{SELECT coalesce(request_id, 0) || ': ' || event FROM jit.events ORDER BY id}) ], 'none is lost, none is seen twice, and all are in order');
	return;
}

attack 'who calls first commits last' => sub {
	$s{dev}->do("BEGIN; $ask");
	$s{dev2}->do($ask);
	read_on();
	$s{dev}->do('COMMIT');
	complete();
};
attack 'three, in the reverse order of their calls' => sub {
	$s{$_}->do("BEGIN; $ask") for 'dev', 'dev2', 'eve';
	for ('eve', 'dev2', 'dev') { $s{$_}->do('COMMIT'); read_on(); }
	complete();
};
attack 'one that is rolled back, and one that is not' => sub {
	$s{$_}->do("BEGIN; $ask") for 'dev', 'dev2';
	$s{dev2}->do('COMMIT');
	read_on();
	$s{dev}->do('ROLLBACK');
	complete();
};
attack 'a request, and a decision on another' => sub {
	my $n = $s{dev2}->do($ask);
	$s{dev}->do("BEGIN; $ask");
	$s{anna}->do("SELECT jit_reject($n, 'x')");
	read_on();
	$s{dev}->do('COMMIT');
	complete();
};
attack 'an approval, and a request' => sub {
	my $n = $s{dev2}->do($ask);
	$s{anna}->do("BEGIN; SELECT jit_approve($n)");
	$s{dev}->do($ask);
	read_on();
	$s{anna}->do('COMMIT');
	complete();
};
attack 'a revocation, and a request' => sub {
	my $n = $node->safe_psql('hr_prod', q{SELECT jit_grant('SELECT ON hr.salary', 'dev2', '1 hour', 'x') WHERE NOT has_table_privilege('dev2', 'hr.salary', 'SELECT')
		UNION ALL SELECT max(id) FROM jit.requests WHERE status = 'active' LIMIT 1});
	$s{anna}->do("BEGIN; SELECT jit_revoke($n)");
	$s{eve}->do($ask);
	read_on();
	$s{anna}->do('COMMIT');
	complete();
};
attack 'a policy, and a request' => sub {
	my $super = session($node, getpwuid($<) . '', 'hr_prod');
	$super->do(q{BEGIN; SELECT jit_set_policy('p', 'low', '$.ticket == "p"')});
	$s{eve}->do($ask);
	read_on();
	$super->do('COMMIT');
	complete();
	$super->quit;
};

$_->quit for values %s;
all_attacks_done();
$node->stop;
done_testing();
