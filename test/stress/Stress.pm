# What storms share: how long they go on, and psql processes that work through
# a file of statements on their own.
package Stress;
use strict;
use warnings;
use Exporter 'import';
use FindBin;
use lib "$FindBin::Bin/../t";
use IPC::Run ();
use JitAccess;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(storm_seconds worker end_workers errors_of now_there);

my @workers;

# A minute at full length, JIT_STRESS=1; a tenth of it by default.
sub storm_seconds { return 60 * ($ENV{JIT_STRESS} // 0.1); }

# Runs these statements, whatever fails, until there are no more of them or
# end_workers() ends it.
sub worker
{
	my ($node, $user, $db, $sql) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	append_to_file("$dir/sql", "SET client_min_messages = error;\n$sql");
	chmod 0644, "$dir/sql";
	local %ENV = (%ENV, PGAPPNAME => 'worker');
	my $self = { errors => "$dir/errors" };
	$self->{run} = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr($db), '-U', $user, '-f', "$dir/sql" ],
		'>', '/dev/null', '2>', $self->{errors});
	push @workers, $self;
	return $self;
}

# They are terminated between two statements or in one.
sub end_workers
{
	my ($node) = @_;
	wait_until(sub { $node->safe_psql('postgres', q{SELECT count(pg_terminate_backend(pid)) = 0 FROM pg_stat_activity WHERE application_name = 'worker'}) eq 't' }, 60);
	eval { $_->{run}->finish } for @workers;
	return splice @workers;
}

# By SQLSTATE, how many; without those of being terminated.
sub errors_of
{
	my (%n, %one);
	foreach my $worker (@_)
	{
		foreach (split /\n/, slurp_file($worker->{errors}))
		{
			next unless /(?:ERROR|FATAL):  (\w{5}): (.*)/ && $1 ne '57P01';
			$n{$1}++;
			$one{$1} //= $2;
		}
	}
	diag("$_: $n{$_} times, e.g. $one{$_}") for sort keys %n;
	return \%n;
}

# The server's clock
sub now_there
{
	my ($node) = @_;
	return $node->safe_psql('postgres', 'SELECT extract(epoch FROM clock_timestamp())');
}

END { eval { $_->{run}->kill_kill } for @workers; }

1;
