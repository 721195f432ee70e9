# Sweepers hold up neither CREATE DATABASE ... TEMPLATE nor DROP DATABASE, which
# both wait for others in a database for 5 s only: copies are made and dropped
# over and over while grants end in the original.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();
use JitAccess;

my $rounds = storm(100);
my $node = new_server('copied', 'log_statement = none');
$node->safe_psql('postgres', 'CREATE DATABASE original');
$node->safe_psql('original', 'CREATE EXTENSION jit_access; CREATE TABLE t AS SELECT 1 AS x');

my ($grants, $failures, $longest) = (0, 0, 0);
for my $round (1 .. $rounds)
{
	# some of them are left when the next ones come
	$node->safe_psql('original', "CREATE ROLE dev$round; SELECT jit_grant('SELECT ON t', 'dev$round', (i * 200 + 500) * interval '1 ms', 'busy') FROM generate_series(1, 3) i");
	$grants += 3;
	my $began = Time::HiRes::time();
	for my $sql ('CREATE DATABASE busy TEMPLATE original', 'DROP DATABASE busy')
	{
		my ($rc, $out, $err) = $node->psql('postgres', $sql);
		$failures++, diag("round $round: $err") if $rc != 0;
	}
	my $took = Time::HiRes::time() - $began;
	$longest = $took if $took > $longest;
}
is($failures, 0, 'databases are copied and dropped while sweepers are busy');
ok($node->poll_query_until('original', qq{SELECT count(*) = $grants FROM jit.requests WHERE reason = 'busy' AND status = 'expired'}), 'and what is due is settled');
note(sprintf '%d copies made and dropped, %.1f s at most', $rounds, $longest);

$node->stop;
done_testing();
