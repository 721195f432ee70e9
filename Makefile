# jit_access/Makefile
#
# On your own server:     make && make install && make installcheck
# On a fresh Debian:      make demo, make test (these install what is missing)
#
# PG_CONFIG names the PostgreSQL to build for and to test with.

EXTENSION = jit_access
MODULE_big = jit_access
PGFILEDESC = "jit_access - temporary access that ends by itself"
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
DATA = $(sort $(wildcard sql/jit_access--*.sql))
# Expanded now: to PGXS what is defined is there, even if it expands to nothing.
DOCS := $(sort $(wildcard doc/*.md))

# The version stands in the control file, and nowhere else.
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" jit_access.control)

REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation $(if $(filter-out 15,$(MAJORVERSION)),--expecteddir=test/isolation)

# The server's headers are not ours to warn about: as system headers they are
# left out.
PG_CPPFLAGS = -Isrc -isystem $(includedir_server) -DJIT_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -fvisibility=hidden $(COPT)
# Hooks are run by every statement of everybody.  Without frame pointers, which
# Debian's flags ask for, they take 10 of about 130 instructions less.
PG_CFLAGS += -fno-plt -fomit-frame-pointer

EXTRA_CLEAN = build results regression.diffs regression.out

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
# Debian has PGXS without the headers in the client's package.
SERVER_HEADER := $(wildcard $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)/postgres.h)

ifneq ($(and $(wildcard $(PGXS)),$(SERVER_HEADER)),)
include $(PGXS)

# PGXS knows no dependencies on headers.
$(OBJS): $(wildcard src/*.h src/*/*.h) jit_access.control

# The pages have names that others' may have, too, so they get a folder of their
# own.  PGXS makes it, but looks for doc/ in it when it uninstalls.
docmoduledir := extension/jit_access
uninstall: uninstall-pages
uninstall-pages:
	rm -f $(addprefix '$(DESTDIR)$(docdir)/$(docmoduledir)'/, $(notdir $(DOCS)))
	-[ ! -d '$(DESTDIR)$(docdir)/$(docmoduledir)' ] || rmdir '$(DESTDIR)$(docdir)/$(docmoduledir)'
else
all install uninstall installcheck installdirs:
	@echo "No PostgreSQL server headers found (PG_CONFIG=$(PG_CONFIG))." >&2
	@echo "Install them (Debian: postgresql-server-dev-15), or name your server:" >&2
	@echo "    make PG_CONFIG=/path/to/pg_config" >&2
	@exit 1

clean distclean:
	rm -rf $(OBJS) $(OBJS:.o=.bc) jit_access.so $(EXTRA_CLEAN)
endif

# ----------------------------------------------------------------------
# Servers of our own.  Each of these scripts finds or, as root on Debian,
# installs what it needs; see the top of each.
# ----------------------------------------------------------------------

# Empty if nobody named one: then the scripts look for a server themselves.
ifneq ($(origin PG_CONFIG),file)
SCRIPT_ENV = PG_CONFIG='$(PG_CONFIG)'
endif

demo:
	@$(SCRIPT_ENV) test/demo/run

# SUITES="regress isolation pgtap tap postgres clients slack" selects; see test/README.md.
test:
	@$(SCRIPT_ENV) test/run $(SUITES)

# Storms in full length, which tests do a tenth of.
stress:
	@$(SCRIPT_ENV) test/run stress

test-matrix:
	@VERSIONS="$(VERSIONS)" SUITES="$(SUITES)" test/matrix

lint:
	@$(SCRIPT_ENV) test/lint

indent:
	@$(SCRIPT_ENV) test/lint indent

valgrind:
	@$(SCRIPT_ENV) test/valgrind

deb:
	@test/deb

# The archive for PGXN.
dist:
	@$(SCRIPT_ENV) test/dist

# SECTIONS="instructions lag ..." selects; see test/bench/run.
bench:
	@$(SCRIPT_ENV) test/bench/run $(SECTIONS)

.PHONY: all install uninstall uninstall-pages installcheck installdirs clean distclean \
	demo test stress test-matrix lint indent valgrind deb dist bench
