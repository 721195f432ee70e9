# From the denial to the end, on one connection of dev's by psql.
package Story;
use strict;
use warnings;
use Exporter 'import';
use File::Temp;
use Test::More;

our @EXPORT = qw(story);

# story(NAME, LISTENS, OPTION...): with these options of psql's for dev
sub story
{
	my ($name, $listens, @options) = @_;
	my $script = File::Temp->new;
	# anna is directly connected
	print $script q{
		SET client_min_messages = error;
		SELECT count(jit_revoke(request)) FROM jit.active_grants;
		SELECT count(jit_cancel(request)) FROM jit.my_requests WHERE status = 'pending';
		}, ($listens ? 'LISTEN jit_access;' : ''), q{
		SELECT 'pid', pg_backend_pid();
		SELECT count(*) FROM hr.salary;
		SELECT jit_request('SELECT ON hr.salary', '3 s', 'payroll totals wrong') AS request \gset
		\setenv REQUEST :request
		\echo request :request
		\! psql -XAtq -h "$STORY_HOST" -p "$STORY_PORT" -d hr_prod -U anna -c "SELECT jit_approve($REQUEST)"
		SELECT 'rows', count(*) FROM hr.salary;
		SELECT count(pg_sleep(60)) FROM hr.salary;
		SELECT 'pid', pg_backend_pid();
		SELECT count(*) FROM hr.salary;
	};
	close $script;
	local @ENV{qw(STORY_HOST STORY_PORT)} = @ENV{qw(PGHOST PGPORT)};
	my @command = ('psql', qw(-XAtq -v VERBOSITY=verbose -d hr_prod -U dev), @options, '-f', "$script");
	my $out = qx{@{[ join ' ', map { "'$_'" } @command ]} 2>&1};
	my ($pid) = $out =~ /^pid\|(\d+)$/m;
	my ($n) = $out =~ /^request (\d+)$/m;
	my $request = qr/HINT:  Request access: SELECT jit_request\('SELECT ON hr\.salary'/;
	my $denied = qr/ERROR:  42501: permission denied for table salary\n(?:DETAIL:  .*\n)?/;
	ok(defined $pid && defined $n && $out =~ /$denied$request.*^request $n$/ms, "$name: a denial, with its hint");
	like($out, qr/^request $n\n.*^rows\|100$/ms, "$name: access");
	like($out, qr/ERROR:  57014: canceling statement due to the end of temporary access\nDETAIL:  Request $n in hr_prod expired .*\nHINT:  To ask for it again: SELECT jit_extend\($n\);/, "$name: a cut-off, with its hint");
	like($out, qr/ERROR:  57014.*^pid\|$pid\n.*^psql:[^\n]*$denied/ms, "$name: the connection lives on, and is denied");
	like($out, qr/Asynchronous notification "jit_access" with payload "[^\n]*activated[^\n]*\b$n\b/, "$name: the notification came") if $listens;
	diag($out) unless Test::More->builder->is_passing;
	return;
}

1;
