# One user's transaction, left open, holds up nobody: no call and no commit of
# others on the same table, nor its owner's GRANT or ANALYZE.  A commit that
# has to wait for a lock of it ends with a clear error within 5 seconds, and
# everybody else's go on meanwhile.
#
# The attacks are lines of attacks.md.  Seen to fail with roles, privileges and
# locks of objects made at the call.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();
use JitAccess;
use Attacks;

my $node = new_server('open', "jit_access.admin_role = 'admins'\njit_access.max_pending = 100");
create_hr($node);
my $super = getpwuid($<) . '';
$node->safe_psql('hr_prod', q{
	CREATE ROLE ben LOGIN; CREATE ROLE admins; CREATE ROLE paul LOGIN; GRANT admins TO paul;
	CREATE ROLE manager LOGIN CREATEROLE;
	CREATE SCHEMA eve AUTHORIZATION eve; GRANT USAGE ON SCHEMA hr, eve TO PUBLIC;
	SELECT jit_set_flow('low', '[]'), jit_set_policy('free', 'low', '$.ticket == "free"');
	CREATE TABLE hr.other AS SELECT 1 AS x; GRANT SELECT ON hr.other TO ben WITH GRANT OPTION;
});
$node->safe_psql('hr_prod', "CREATE ROLE dev$_ LOGIN") for 2 .. 7;

sub super { return $node->safe_psql('hr_prod', $_[0]); }
# for longer each time, so that it isn't what is pending
sub ask { return "SELECT jit_request('SELECT ON $_[0]', '1 hour' + (clock_timestamp() - pg_postmaster_start_time()), 'x', ticket => " . ($_[1] ? q{'free'} : 'NULL') . ')'; }
sub grant { return "SELECT jit_grant('SELECT ON $_[0]', '$_[1]', '1 hour', 'x')"; }

# A table that nobody was given anything on yet.
my $serial = 0;
sub fresh
{
	my ($owner) = @_;
	my $table = ($owner eq 'eve' ? 'eve' : 'hr') . '.t' . ++$serial;
	super("CREATE TABLE $table AS SELECT 1 AS x; ALTER TABLE $table OWNER TO $owner; GRANT SELECT ON $table TO ben WITH GRANT OPTION");
	return $table;
}

my $long = 5 + 5;	# what is waited for, and what a slow machine takes
my $busy = qr/ERROR:  55P03: .*(request \d+|[Tt]ry again|process \d+)/s;

# A user begins that; see ends_well().
sub begins
{
	my ($what, $user, $sql, $may_fail) = @_;
	my $s = session($node, $user, 'hr_prod');
	$s->begin($sql);
	return { what => $what, s => $s, may_fail => $may_fail, until => Time::HiRes::time() + $long };
}

# It has ended in time, without an error, or with a clear one if that may be.
# What hangs is ended.  Returns the error.
sub ends_well
{
	my ($begun) = @_;
	my $s = $begun->{s};
	my $err = '';
	if (ends_within($s, $begun->{until} - Time::HiRes::time(), $begun->{what}))
	{
		(undef, $err) = $s->end;
		if ($begun->{may_fail} && $err =~ /ERROR/) { like($err, $busy, '... with a clear error'); }
		else { unlike($err, qr/ERROR/, '... without an error'); }
		$s->quit;
	}
	else
	{
		super("SELECT pg_terminate_backend($s->{pid})");
		wait_until(sub { !eval { $s->{run}->pump_nb; $s->{run}->pumpable } });
		eval { $s->quit };
	}
	return $err;
}

sub does { return ends_well(begins(@_)); }

# With $user having that open, everybody else does what they do.
#	table	what it is about
#	waits	commits that need a lock on it may be refused
#	requests	and who decides on the same requests waits for it
#	locked	and its owner is who has it locked
sub while_open
{
	my ($user, $sql, %opt) = @_;
	my $table = $opt{table};
	my $owner = super("SELECT relowner::regrole FROM pg_class WHERE oid = '$table'::regclass");
	my %n = map { $_ => sql($node, $_, ask($table), 'hr_prod') } qw(dev dev5 dev7);
	$n{dev6} = sql($node, 'ben', grant($table, 'dev6'), 'hr_prod') unless $opt{fresh};
	my $s = session($node, $user, 'hr_prod');
	my ($out, $err) = $s->do('BEGIN; ' . (ref $sql ? $sql->(\%n) : $sql));
	unlike($err, qr/ERROR/, 'open');

	my @begun = (
		begins('another asks for it', 'dev2', ask($table)),
		begins('another gets it who needs nobody', 'dev3', ask($table, 1), $opt{waits}),
		begins('another request for it is approved', 'ben', "SELECT jit_approve($n{dev5})", $opt{waits} || $opt{requests}),
		begins('it is granted', 'ben', grant($table, 'dev4'), $opt{waits}),
		begins('another request for it is withdrawn', 'dev7', "SELECT jit_cancel($n{dev7})", $opt{requests}),
		begins('another table is granted', 'ben', grant('hr.other', 'dev4')));
	push @begun, begins('it is revoked', 'ben', "SELECT jit_revoke($n{dev6})") if $n{dev6};
	ends_well($_) for @begun;
	# not beside them: PostgreSQL's own GRANT doesn't bear another one
	unless ($opt{locked})
	{
		does('its owner grants it', $super, "SET ROLE $owner; GRANT INSERT ON $table TO dev2");
		does('its owner has it analyzed', $super, "SET ROLE $owner; ANALYZE $table");
	}
	$s->do('ROLLBACK');
	$s->quit;
	super("SELECT jit_revoke_from(r, 'test') FROM unnest('{dev,dev2,dev3,dev4,dev5,dev6,dev7}'::name[]) r");
	super('SELECT jit_reject(request, $x$test$x$) FROM jit.pending');
	return;
}

attack 'jit_request that needs nobody' => sub { my $t = fresh('hr_owner'); while_open('dev', ask($t, 1), table => $t); };
attack 'jit_request that needs nobody, of a table nobody was given' => sub { my $t = fresh('hr_owner'); while_open('dev', ask($t, 1), table => $t, fresh => 1); };
attack 'jit_request' => sub { my $t = fresh('hr_owner'); while_open('dev', ask($t), table => $t, fresh => 1); };
attack 'jit_approve' => sub { my $t = fresh('hr_owner'); while_open('anna', sub { "SELECT jit_approve($_[0]{dev})" }, table => $t, fresh => 1); };
attack 'jit_grant' => sub { my $t = fresh('hr_owner'); while_open('anna', grant($t, 'dev'), table => $t, fresh => 1); };
attack 'jit_cancel, which locks a row of jit.requests' => sub { my $t = fresh('hr_owner'); while_open('dev', sub { "SELECT jit_cancel($_[0]{dev})" }, table => $t); };
attack 'jit_revoke' => sub {
	my $t = fresh('hr_owner');
	while_open('anna', sub { my $n = sql($node, 'ben', grant($t, 'dev'), 'hr_prod'); "SELECT jit_revoke($n)" }, table => $t);
};
attack 'jit_revoke_all' => sub { my $t = fresh('hr_owner'); while_open('paul', q{SELECT jit_revoke_all('panic')}, table => $t, fresh => 1, requests => 1); };
attack 'jit_set_policy and jit_set_flow' => sub {
	my $t = fresh('hr_owner');
	while_open('paul', q{SELECT jit_set_policy('free', 'low', '$.ticket == "free"'), jit_set_flow('moderate', '[{"approver": "@grantor"}]'), jit_set_flow('low', '[]')}, table => $t, fresh => 1);
};
attack 'LOCK TABLE of its owner' => sub { my $t = fresh('eve'); while_open('eve', "LOCK TABLE $t", table => $t, waits => 1, locked => 1); };
attack 'LOCK TABLE of its owner, of a table nobody was given' => sub { my $t = fresh('eve'); while_open('eve', "LOCK TABLE $t", table => $t, waits => 1, locked => 1, fresh => 1); };
attack 'GRANT of its owner' => sub { my $t = fresh('eve'); while_open('eve', "GRANT UPDATE ON $t TO dev", table => $t, waits => 1, locked => 1, fresh => 1); };
attack 'ALTER TABLE of its owner' => sub { my $t = fresh('eve'); while_open('eve', "ALTER TABLE $t ADD COLUMN y int", table => $t, waits => 1, locked => 1); };
attack 'DROP TABLE of its owner' => sub { my $t = fresh('eve'); while_open('eve', "DROP TABLE $t", table => $t, waits => 1, locked => 1); };

# ---- roles

attack 'DROP ROLE of the grantee' => sub {
	super('CREATE ROLE leaver');
	super('GRANT leaver TO manager WITH ADMIN OPTION') if $node->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int >= 160000}) eq 't';
	my $s = session($node, 'manager', 'hr_prod');
	unlike(($s->do('BEGIN; DROP ROLE leaver'))[1], qr/ERROR/, 'open');
	like(does('it is granted to', 'ben', grant('hr.other', 'leaver'), 1), qr/ERROR:  55P03/, 'refused');
	does('another is granted to', 'ben', grant('hr.other', 'dev3'));
	does('another asks', 'dev4', ask('hr.other'));
	$s->do('ROLLBACK');
	$s->quit;
	does('it is granted to, when that is rolled back', 'ben', grant('hr.other', 'leaver'));
};

# ---- those who wait hold up nobody either

attack 'commits that wait for a lock, eight of them' => sub {
	my $t = fresh('eve');
	my @s = map { session($node, 'ben', 'hr_prod') } 1 .. 8;
	super("CREATE ROLE many$_") for 1 .. 8;
	my $eve = session($node, 'eve', 'hr_prod');
	$eve->do("BEGIN; LOCK TABLE $t");
	$s[$_]->begin(grant($t, 'many' . ($_ + 1))) for 0 .. 7;
	my $start = Time::HiRes::time();
	my $until = $start + $long;
	does('another table is granted', 'ben', grant('hr.other', 'dev5'));
	does('another gets it who needs nobody', 'dev6', ask('hr.other', 1));
	does('another table is asked for', 'dev7', ask('hr.other'));
	cmp_ok(Time::HiRes::time() - $start, '<', 5, 'they go on at once');
	my @late;
	foreach my $s (@s)
	{
		unless (ends_within($s, $until - Time::HiRes::time(), 'one that waits')) { push @late, $s; next; }
		my ($out, $err) = $s->end;
		like($err, $busy, '... ends with a clear error') if $err =~ /ERROR/;
	}
	$eve->do('ROLLBACK');
	$_->end for @late;
	$_->quit for $eve, @s;
};

all_attacks_done();
$node->stop;
done_testing();
