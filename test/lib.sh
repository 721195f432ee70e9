# What the scripts in this folder share: finding PostgreSQL (as root on
# Debian, installing it), building, and throwaway servers.  For bash.
#
# A script that sources this gets
#	top			the source tree
#	pg_config, bindir, version
#				the PostgreSQL it works with, after find_postgresql
#	user		who runs servers: they refuse root
#	tmp			a temporary directory of that user, after make_tmp; it and the
#				servers in it are gone when the script ends, also by ^C
#
# Clusters that are there are never touched: servers here live in $tmp, listen
# on sockets in $tmp only, and are stopped by their data directory.

set -u
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tmp=
job=
locked=
declare -A beside=()
export LC_ALL=C.UTF-8 PGTZ=UTC
unset PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGSERVICE PGOPTIONS PGDATA

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# one_at_a_time COMMAND...: several of these scripts may run side by side; what
# they share in the tree and on the machine is changed by one of them.
one_at_a_time() {
	if [ -n "$locked" ]; then
		"$@"
		return
	fi
	mkdir -p "$top/build"
	(
		flock 9
		locked=yes
		"$@" 9>&-
	) 9>"$top/build/lock"
}

# ---- PostgreSQL -------------------------------------------------------

is_root() { [ "$(id -u)" = 0 ]; }

# Is that the pg_config of a whole PostgreSQL: server, headers and PGXS?
# Debian has a part of PGXS, without headers, in the client's package.
is_whole() {
	local pgxs dir headers
	pgxs=$("$1" --pgxs 2>/dev/null) && dir=$("$1" --bindir) && headers=$("$1" --includedir-server) &&
		[ -f "$pgxs" ] && [ -x "$dir/postgres" ] && [ -f "$headers/postgres.h" ]
}

# apt_install PACKAGE...: from Debian, as root.  Installing a server package
# makes and starts a cluster "main", and starts others: not for our sake.
apt_install() { one_at_a_time apt_install_alone "$@" || exit; }

apt_install_alone() {
	local conf=/etc/postgresql-common/createcluster.conf policy=/usr/sbin/policy-rc.d
	local apt="apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0"
	local status=0 policy_is_ours=

	export DEBIAN_FRONTEND=noninteractive
	say "installing $* (once, may take minutes)"
	{
		apt-get -qq update
		if [ ! -e $policy ]; then
			policy_is_ours=yes
			printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
		fi
		[ -e $conf ] || $apt install postgresql-common || status=$?
		if [ -e $conf ]; then
			cp -p $conf $conf.jit_access
			echo 'create_main_cluster = false' >>$conf
		fi
		[ $status != 0 ] || $apt install "$@" || status=$?
		if [ -e $conf.jit_access ]; then mv $conf.jit_access $conf; fi
		if [ -n "$policy_is_ours" ]; then rm -f $policy; fi
	} >"${TMPDIR:-/tmp}/jit_access-apt.$$" 2>&1
	[ $status = 0 ] || cat "${TMPDIR:-/tmp}/jit_access-apt.$$" >&2
	rm -f "${TMPDIR:-/tmp}/jit_access-apt.$$"
	[ $status = 0 ] || die "could not install $*"
}

# Installs the packages named if this can be done at all; else says so.
require() {
	[ $# -gt 0 ] || return 0
	command -v apt-get >/dev/null || die "missing: $* (names of Debian packages)"
	is_root || die "missing: $* (run this as root, or install them first)"
	apt_install "$@"
}

# The major version that this Debian has, even without its package lists.
debian_major() {
	local v
	v=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -1)
	if [ -z "$v" ]; then
		one_at_a_time apt-get -qq update >/dev/null 2>&1
		v=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -1)
	fi
	say "$v"
}

# find_postgresql [tests]: sets pg_config, bindir and version.  With "tests",
# what the test suites need is there as well when it returns.
find_postgresql() {
	local missing=() candidate major

	one_at_a_time true	# not what is half installed
	pg_config=${PG_CONFIG:-}
	if [ -n "$pg_config" ]; then
		pg_config=$(command -v "$pg_config") || die "there is no $PG_CONFIG"
		is_whole "$pg_config" || die "$pg_config is not of a PostgreSQL with server and headers"
	else
		for candidate in pg_config $(ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -rV); do
			if is_whole "$candidate"; then
				pg_config=$(command -v "$candidate")
				break
			fi
		done
	fi
	if [ -z "$pg_config" ]; then
		command -v apt-get >/dev/null || die "found no PostgreSQL with server and headers; name one: make PG_CONFIG=..."
		major=$(is_root && debian_major)
		major=${major:-15}
		missing+=("postgresql-$major" "postgresql-server-dev-$major")
	else
		major=$("$pg_config" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
	fi

	command -v make >/dev/null || missing+=(make)
	command -v gcc >/dev/null || missing+=(gcc)
	[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
	if [ "${1:-}" = tests ]; then
		command -v prove >/dev/null || missing+=(perl)
		command -v bzip2 >/dev/null || missing+=(bzip2)	# of source packages
		perl -MIPC::Run -e1 2>/dev/null || missing+=(libipc-run-perl)
		# for one test, which is skipped without
		! is_root || compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || missing+=(libfaketime)
		# for another, on the oldest version only
		! is_root || [ "$major" != 15 ] || [ -x /usr/bin/prometheus-postgres-exporter ] || missing+=(prometheus-postgres-exporter)
		command -v pg_prove >/dev/null || missing+=(libtap-parser-sourcehandler-pgtap-perl)
		[ -n "$pg_config" ] && [ -e "$("$pg_config" --sharedir)/extension/pgtap.control" ] ||
			missing+=("postgresql-$major-pgtap")
	fi
	require "${missing[@]}"
	pg_config=${pg_config:-/usr/lib/postgresql/$major/bin/pg_config}
	[ "${1:-}" != tests ] || [ -e "$("$pg_config" --sharedir)/extension/pgtap.control" ] ||
		die "pgTAP is not in $("$pg_config" --sharedir)/extension: install it for this PostgreSQL"

	version=$("$pg_config" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
	bindir=$("$pg_config" --bindir)
	PATH=$bindir:$PATH
}

# is_installed LIBRARY DIRECTORY: is what was built what is installed there?
is_installed() (
	cmp -s "$top/jit_access.so" "$1" && cmp -s "$top/jit_access.control" "$2/jit_access.control" || exit
	cd "$top/sql" && for f in *.sql; do cmp -s "$f" "$2/$f" || exit; done
	[ "$(ls)" = "$(cd "$2" && ls jit_access--*.sql)" ]
)

# Builds, and installs into that PostgreSQL; without the right to do so, what
# is installed there must be what was built.
install_extension() { one_at_a_time install_extension_alone || exit; }

install_extension_alone() {
	local so ext
	so=$("$pg_config" --pkglibdir)/jit_access.so
	ext=$("$pg_config" --sharedir)/extension

	make -s -C "$top" PG_CONFIG="$pg_config" >"$tmp/build.log" 2>&1 ||
		{ cat "$tmp/build.log" >&2; die "could not build"; }
	# not again while servers of others are using it
	if is_installed "$so" "$ext"; then
		return
	elif [ -w "$(dirname "$so")" ] && [ -w "$ext" ]; then
		make -s -C "$top" PG_CONFIG="$pg_config" install >"$tmp/build.log" 2>&1 ||
			{ cat "$tmp/build.log" >&2; die "could not install"; }
	else
		die "what is installed in $(dirname "$so") is not what was built: run make install as its owner first"
	fi
}

# earlier_source DIRECTORY URI: a mirror lists this .dsc, but doesn't have it.
# Gets the newest earlier minor version's source that it has, to DIRECTORY.
# apt knows no checksum of that; its .dsc, signed by a Debian developer, does.
earlier_source() {
	local minor dsc sum file
	[ -e /usr/share/keyrings/debian-keyring.gpg ] && command -v gpgv >/dev/null || require gpgv debian-keyring || return
	minor=$(sed -n "s/.*_$version\.\([0-9]*\)-[^_]*$/\1/p" <<<"$2")
	dsc=$2
	while ((minor-- > 0)); do
		dsc=$(sed "s/\(.*_$version\.\)[0-9]*/\1$minor/" <<<"$dsc")
		/usr/lib/apt/apt-helper download-file "$dsc" "$1/dsc" &&
			gpgv --keyring /usr/share/keyrings/debian-keyring.gpg --output "$1/signed" "$1/dsc" || continue
		read -r sum _ file < <(sed -n '/^Checksums-Sha256:/,/^[^ ]*$/ { /\.orig\.tar\.[a-z0-9]*$/p }' "$1/signed")
		/usr/lib/apt/apt-helper download-file "${dsc%/*}/$file" "$1/$file" "SHA256:$sum" && return
	done
	return 1
}

# Prints the top of PostgreSQL's source tree of this version, getting it if
# need be.  Nothing of the system's apt configuration is changed: source
# lists of our own, made from the binary ones, and state of our own.
postgres_source() { one_at_a_time postgres_source_alone; }

postgres_source_alone() {
	local build=$top/build/postgresql-$version state=$tmp/apt v uri apt
	if [ -n "${PG_SOURCE:-}" ]; then say "$PG_SOURCE"; return; fi
	if [ ! -e "$build/configure" ] && command -v apt-get >/dev/null; then
		mkdir -p "$state/lists/partial" "$state/get" "$build"
		apt-get indextargets --format 'deb-src [signed-by=$(SIGNED_BY)] $(REPO_URI) $(RELEASE) $(COMPONENT)' \
			'Created-By: Packages' 'Origin: Debian' | sed 's,\[signed-by=\$(SIGNED_BY)\] ,,' | sort -u >"$state/sources.list"
		apt="apt-get -qq -o Dir::Etc::sourcelist=$state/sources.list -o Dir::Etc::sourceparts=-
			-o Dir::State::lists=$state/lists -o APT::Get::List-Cleanup=0 -o APT::Sandbox::User=root"
		$apt update >&2
		# newest first; a mirror may list one that it no longer has
		for v in $(apt-cache -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=- \
			-o Dir::State::lists="$state/lists" showsrc "postgresql-$version" 2>/dev/null |
			sed -n 's/^Version: //p' | sort -urV); do
			(cd "$state/get" && rm -f ./* && $apt --download-only --tar-only source "postgresql-$version=$v") >"$state/log" 2>&1 || continue
			tar -C "$build" --strip-components=1 -xf "$state"/get/*.orig.tar.* && break
		done
		[ -e "$build/configure" ] ||
			for uri in $($apt --print-uris --download-only --dsc-only source "postgresql-$version" 2>/dev/null | sed -n "s/^'\([^']*\.dsc\)' .*/\1/p"); do
				earlier_source "$state/get" "$uri" >>"$state/log" 2>&1 || continue
				tar -C "$build" --strip-components=1 -xf "$state"/get/*.orig.tar.* && break
			done
	fi
	if [ ! -e "$build/configure" ]; then
		[ ! -e "$state/log" ] || cat "$state/log" >&2
		return 1
	fi
	say "$build"
}

# ---- Servers ----------------------------------------------------------

make_tmp() {
	if is_root; then
		user=nobody
		! id postgres >/dev/null 2>&1 || user=postgres
	else
		user=$(id -un)
	fi
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/jit_access.XXXXXX")
	own "$tmp"
	cd "$tmp" || exit	# $user may not be let into the tree
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

own() { ! is_root || chown -R "$user" "$@"; }

# as_user COMMAND...: in the foreground, but so that a signal to this script
# is not held back until it is done.
as_user() {
	if is_root; then
		in_session setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups -- env HOME="$tmp" "$@"
	else
		in_session "$@"
	fi
}

# in_session COMMAND...: the same as whoever runs the script.
in_session() {
	local status
	# a session of its own, to be signaled as a whole; job control would do
	# the same, but stops where there is a terminal in somebody else's hands
	setsid "$@" </dev/null &
	job=$!
	wait "$job"
	status=$?
	job=
	return $status
}

stop_job() { [ -z "$job" ] || { kill -TERM -- "-$job"; wait "$job"; } 2>/dev/null; }

# beside NAME COMMAND...: in the background, what it prints in $tmp/NAME.out
beside() {
	local name=$1
	shift
	(
		beside=()
		trap 'stop_job; exit 143' TERM
		"$@"
	) >"$tmp/$name.out" 2>&1 &
	beside[$name]=$!
}

# Waits for one that was begun so and has ended, prints what it has printed, and
# returns its status.
next_beside() {
	local name status ended
	wait -n -p ended "${beside[@]}"
	status=$?
	for name in "${!beside[@]}"; do
		[ "${beside[$name]}" = "${ended:-}" ] || continue
		unset "beside[$name]"
		cat "$tmp/$name.out"
	done
	return $status
}

clean_up() {
	local data
	trap '' INT TERM HUP
	stop_job
	[ ${#beside[@]} = 0 ] || { kill -TERM "${beside[@]}"; wait "${beside[@]}"; } 2>/dev/null
	[ -n "$tmp" ] || return
	for data in "$tmp"/*/data; do
		stop_server "$(basename "$(dirname "$data")")" immediate
	done
	# those of TAP files that were stopped
	for data in "$tmp"/tmp_check/*/pgdata; do
		[ ! -e "$data/postmaster.pid" ] || as_user "$bindir/pg_ctl" -D "$data" -m immediate -w -s stop
	done
	if [ -n "${KEEP:-}" ]; then
		say "kept: $tmp"
	else
		rm -rf "$tmp"
	fi
}

# start_server NAME [SETTING...]: a new cluster, socket and all in $tmp/NAME.
# PGHOST and so on lead to it.  POSTGRES can name another program to start.
start_server() {
	local dir=$tmp/$1
	shift
	mkdir -p "$dir"
	own "$dir"
	as_user "$bindir/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C -N >"$dir/initdb.log" 2>&1 ||
		{ cat "$dir/initdb.log" >&2; die "initdb failed"; }
	{
		say "listen_addresses = ''"
		say "unix_socket_directories = '$dir'"
		say "fsync = off"
		say "timezone = 'UTC'"
		say "log_timezone = 'UTC'"
		printf '%s\n' "$@"
	} >>"$dir/data/postgresql.conf"
	export PGHOST=$dir PGPORT=5432 PGUSER=postgres
	as_user "$bindir/pg_ctl" -D "$dir/data" -l "$dir/log" -p "${POSTGRES:-$bindir/postgres}" -t 300 -w -s start ||
		{ cat "$dir/log" >&2; die "the server did not start"; }
}

# stop_server NAME [MODE]
stop_server() {
	[ ! -e "$tmp/$1/data/postmaster.pid" ] ||
		as_user "$bindir/pg_ctl" -D "$tmp/$1/data" -m "${2:-fast}" -w -s stop
}
