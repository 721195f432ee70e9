# A client that speaks the protocol, for what psql doesn't say.
package Protocol;
use strict;
use warnings;
use IO::Socket::UNIX;

sub new
{
	my ($class, $node, $user, $db) = @_;
	my $self = bless { socket => IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port) }, $class;
	my $message = pack('N', 196608) . "user\0$user\0database\0" . ($db // 'hr_prod') . "\0\0";
	syswrite $self->{socket}, pack('N', length($message) + 4) . $message;
	$self->answer;
	return $self;
}

# Messages, as [ type, body ], to be sent at once.
sub do
{
	my ($self, @messages) = @_;
	syswrite $self->{socket}, join '', map { $_->[0] . pack('N', length($_->[1]) + 4) . $_->[1] } @messages;
	return $self->answer;
}
sub query { return [ 'Q', "$_[0]\0" ]; }
sub parse { my ($name, $sql, @types) = @_; return [ 'P', "$name\0$sql\0" . pack('nN*', scalar @types, @types) ]; }
sub bind
{
	my ($portal, $name, @values) = @_;
	return [ 'B', "$portal\0$name\0" . pack('nn', 0, scalar @values) . join('', map { pack('N', length) . $_ } @values) . pack('n', 0) ];
}
sub execute { my ($portal, $rows) = @_; return [ 'E', "$portal\0" . pack('N', $rows // 0) ]; }
sub close { return [ 'C', "S$_[0]\0" ]; }
sub call
{
	my ($oid, @values) = @_;
	return [ 'F', pack('Nnn', $oid, 0, scalar @values) . join('', map { defined ? pack('N', length) . $_ : pack('N', 0xFFFFFFFF) } @values) . pack('n', 0) ];
}
sub sync { return [ 'S', '' ]; }

sub bytes
{
	my ($self, $count) = @_;
	my $bytes = '';
	while (length $bytes < $count)
	{
		sysread $self->{socket}, $bytes, $count - length $bytes, length $bytes or die 'connection lost';
	}
	return $bytes;
}

# Rows and errors, up to ReadyForQuery; notices are kept aside.
sub answer
{
	my ($self) = @_;
	my $answer = '';
	$self->{notices} = '';
	while (1)
	{
		my ($type, $length) = unpack 'aN', $self->bytes(5);
		my $body = $self->bytes($length - 4);
		return $answer if $type eq 'Z';
		if ($type eq 'E' || $type eq 'N')
		{
			my %field = map { substr($_, 0, 1) => substr($_, 1) } grep { length } split /\0/, $body;
			($type eq 'E' ? $answer : $self->{notices}) .= "$field{V}:  $field{C}: $field{M}\n";
		}
		$answer .= join('|', unpack('x2 (N/a)*', $body)) . "\n" if $type eq 'D';
		$answer .= "suspended\n" if $type eq 's';
	}
}

1;
