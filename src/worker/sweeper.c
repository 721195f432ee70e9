/*-------------------------------------------------------------------------
 *
 * sweeper.c
 *		The short-lived background worker that settles what is due in one
 *		database.
 *
 * It looks once for what is due, in the order of their times.  Then batches of
 * requests per transaction.  Those of a batch that are past are settled
 * together, in a subtransaction; after that, those that are left, or all of
 * them if that has failed, each in a subtransaction of its own:
 *
 *	active, deadline past				the role goes, the request expired; if the
 *										role's came sooner, also: shortened
 *	active, role's deadline is another	the ledger follows: prolonged, shortened
 *	active, role is gone, or its		revoked natively; the ledger follows
 *	members are
 *	active, role has lost its deadline	judged by the ledger's
 *	active, warn_before of its end		event expiring, once for this deadline;
 *										left if a batch of them fails, and not
 *										written any more once it is past
 *	active, a copy of another			expires with its time, or later if its
 *	database's							role does; that one is the original's
 *										and not touched
 *	pending or scheduled, past			lapsed
 *	lapses_at
 *	pending or scheduled, what it is	lapsed
 *	for is gone, or whom it is for
 *	scheduled elsewhere, or restored,	lapsed
 *	and to start
 *
 * Between the two comes what is to start: a batch in a transaction, each in a
 * subtransaction, and, as what gives access is looked at again at the commit,
 * each alone if that has failed:
 *
 *	scheduled, its start past			active, or lapsed for what is in the way
 *	scheduled before a panic button		revoked
 *	something locked, or an error that	left for a later sweeper; lapsed when the
 *	isn't the request's fault			window has ended
 *
 * Before that the roles go, in transactions of their own: the ledger can wait
 * for them, but what ends only with the roles mustn't wait for the ledger, whose
 * events are written one transaction of the cluster at a time.  Between the
 * two, a request is active, past, and without a role, which is settled as any
 * that is past.
 *
 *	error in one request		that one is left for a later sweeper, which the
 *								launcher sends with growing pauses
 *	row or members locked		left out, the same way
 *	error in a whole batch		the same for all of them; roles are seen to
 *								all the same
 *	kill, crash, shutdown		what had been committed is done, the rest is
 *								still due, and the launcher sends another
 *	DROP DATABASE				waits for us: a batch at most, or, with FORCE,
 *								terminates us
 *
 * Then past grant roles that this database's ledger doesn't know, or can't
 * settle for now, lose their members.  Whoever keeps these locked by an open
 * transaction is terminated: what has ended must not wait for them.  A sweeper
 * sent for "others" leaves the ledger alone and does that for the roles of
 * other databases; those of databases that are gone are dropped.
 *
 * At last scope roles that nobody uses, in batches: scope.c.
 *
 * The spare sweeper is there all the time, as a static worker: it has a place
 * when nobody else has.  It waits without a database, which it is in nobody's
 * way by, until it is called, does that for the roles of all databases, and
 * exits; where it connected to, it can't stay.
 *
 *	start						it is there to be called, and the launcher knows
 *	called						it connects, works, exits with code 1: PostgreSQL
 *								logs that, and starts another after a second
 *	error, lock while it		the same; the launcher calls the next one to
 *	connects, terminated		another database
 *	exit with code 0			would be the end of it: never
 *	kill, crash					shared memory is reset, and it is started again
 *	no place for it at start	PostgreSQL's log says so; there is none
 *
 * It runs under whatever ALTER DATABASE ... SET its owner has made, and
 * overrides all that could hinder it.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/changes.h"
#include "base/clock.h"
#include "base/due.h"
#include "base/guc.h"
#include "base/query.h"
#include "base/roles.h"
#include "base/text.h"
#include "request/ending.h"
#include "request/event.h"
#include "request/giving.h"
#include "request/ledger.h"
#include "request/request.h"
#include "request/scope.h"
#include "worker/sweeper.h"

#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#define BATCH_SIZE 500
#define START_BATCH_SIZE 100	/* the cluster's lock is held so long */
#define ROLE_TRIES 3
#define ROLE_PAUSE 50L			/* milliseconds */

static JitSweeperTask task;

/* What the launcher is told in the end. */
static JitSweeperReport report = {.complete = true,.newest = DT_NOBEGIN};

/* A row that is due; strings live as long as the batch. */
typedef struct DueRow
{
	JitGrant	grant;
	bool		pending;		/* or scheduled */
	bool		stranded;		/* scheduled, and not by us */
	bool		copied;			/* as jit_is_copy(): roles aren't ours */
	TimestampTz lapses_at;
	char	   *access;
	bool		expired;		/* result: by expire() */
	bool		warned;			/* result: by warn() */
} DueRow;

/* Something stays for a later sweeper; when it became due, if that is known. */
static void
leave(TimestampTz due)
{
	report.complete = false;
	report.newest = Max(report.newest, due);
}

/*
 * When event expiring is to be written of a request r that is active, with its
 * grant g; null if never.  What follows is jit_access.warn_before.
 */
#define WARNING_DUE(before) \
	"CASE WHEN r.status = 'active' AND " before " > 0 AND g.warned_of IS DISTINCT FROM g.expires_at" \
	" AND g.expires_at - r.activated_at >= 2 * " before " * interval '1 s'" \
	" THEN g.expires_at - " before " * interval '1 s' END"

/*
 * Of a scheduled request r: is it to start elsewhere, or not at all?  What
 * follows is as jit_cluster_origin(), and the database.
 */
#define STRANDED(cluster, database) \
	"(r.origin <> " cluster " || " database "::text OR NOT EXISTS (SELECT FROM jit.schedule s WHERE s.request_id = r.id))"

/*
 * Override what the database's owner may have set to hinder us, as
 * AutoVacWorkerMain() does.
 */
static void
override_settings(void)
{
	static const char *const settings[][2] = {
		{"session_replication_role", "origin"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"statement_timeout", "0"},
		{"transaction_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"lock_timeout", "1s"},
		{"check_function_bodies", "off"},
		{JIT_FORCE_PARALLEL_MODE, "off"},
		{"default_tablespace", ""},
		/* what is said to have ended is on our disk; that of others can wait */
		{"synchronous_commit", "local"},
		{"client_min_messages", "error"},
	};

	for (size_t i = 0; i < lengthof(settings); i++)
	{
		/* not every version has every one of them */
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	}
	for (size_t i = 0; i < lengthof(jit_pinned_settings); i++)
		SetConfigOption(jit_pinned_settings[i][0], jit_pinned_settings[i][1],
						PGC_SUSET, PGC_S_OVERRIDE);
	jit_settings_pinned = true;

	/* "role" and "session_authorization" can be set for a database, too */
	SetSessionAuthorization(BOOTSTRAP_SUPERUSERID, true);
	SetCurrentRoleId(InvalidOid, true);
}

/*
 * The role of an active request, and when it ends: the ledger's time if the
 * role has lost its own natively.  InvalidOid if it is gone, or not ours; a
 * copy is over then.  "now" has to be what the deadline is compared with, or
 * the original's could be taken for ours.
 */
static Oid
find_role(const DueRow *row, TimestampTz now, TimestampTz *deadline)
{
	Oid			role = InvalidOid;

	*deadline = row->grant.expires_at;
	if (row->grant.role == NULL)
		return InvalidOid;
	role = jit_find_grant_role(&row->grant);
	if (row->copied &&
		(jit_role_deadline(role) <= now || !jit_grant_has_member(role, InvalidOid)))
	{
		*deadline = Min(*deadline, now);
		return InvalidOid;
	}
	if (!TIMESTAMP_NOT_FINITE(jit_role_deadline(role)))
		*deadline = jit_role_deadline(role);
	return role;
}

/* The request, for a message. */
static char *
request_text(const DueRow *row)
{
	return psprintf("request %d in %s", row->grant.request,
					quote_identifier(jit_database_name()));
}

/* VALID UNTIL of the role has been changed: the event that says so. */
static void
record_followed(const DueRow *row, TimestampTz deadline)
{
	jit_event(deadline > row->grant.expires_at ? "prolonged" : "shortened",
			  row->grant.request,
			  jit_detail("expires_at", timestamptz_to_str(deadline), NULL),
			  psprintf("%s follows VALID UNTIL of role %s: until %s", request_text(row),
					   quote_identifier(row->grant.role), timestamptz_to_str(deadline)));
}

/* Is the access of a row over?  Sets what find_role() says of it. */
static bool
is_past(const DueRow *row, Oid *role, TimestampTz *deadline)
{
	TimestampTz now = jit_now();

	CHECK_FOR_INTERRUPTS();
	if (row->pending)
		return false;
	*role = find_role(row, now, deadline);
	return *deadline <= now;
}

/*
 * Of these rows, settle those that are past: with one statement each for all
 * of them, which is what makes the difference for thousands.  Inside an owner
 * section.  Without "wait", one whose members somebody else is taking out is
 * left.
 */
static void
expire(List *rows, bool wait)
{
	Datum	   *requests = palloc(list_length(rows) * sizeof(Datum));
	Datum	   *deadlines = palloc(list_length(rows) * sizeof(Datum));
	List	   *ids = NIL;
	List	   *loglines = NIL;
	int			n = 0;
	ListCell   *lc;

	foreach(lc, rows)
	{
		DueRow	   *row = lfirst(lc);
		TimestampTz deadline;
		Oid			role;

		if (!is_past(row, &role, &deadline) ||
			(OidIsValid(role) && !jit_end_role(role, wait)))
			continue;
		row->expired = true;
		/* it ended before its time: from another database, say */
		if (OidIsValid(role) && deadline < row->grant.expires_at)
			record_followed(row, deadline);
		requests[n] = Int32GetDatum(row->grant.request);
		deadlines[n++] = TimestampTzGetDatum(deadline);
		ids = lappend_int(ids, row->grant.request);
		loglines = lappend(loglines,
						   psprintf("%s expired: %s no longer has %s through it", request_text(row),
									jit_name_now(row->grant.cluster ? row->grant.grantee_oid : InvalidOid,
												 row->grant.grantee), row->access));
	}
	if (n == 0)
		return;
	(void) jit_query("UPDATE jit.grants SET ended_at = $2 WHERE request_id = ANY ($1)",
					 "Iz", jit_int4_array(requests, n), jit_now());
	(void) jit_query("UPDATE jit.requests r SET status = 'expired', ended_at = e.at"
					 " FROM unnest($1, $2) e (id, at) WHERE r.id = e.id",
					 "IZ", jit_int4_array(requests, n),
					 PointerGetDatum(construct_array(deadlines, n, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
	jit_events("expired", ids, NULL, loglines);
}

/*
 * Of these rows, tell of those that end soon.  Inside an owner section.  One
 * whose role says something else than the ledger has its turn later.
 */
static void
warn(List *rows)
{
	TimestampTz now = jit_now();
	Datum	   *requests = palloc(list_length(rows) * sizeof(Datum));
	int			candidates = 0;
	int			n;
	ListCell   *lc;

	foreach(lc, rows)
	{
		DueRow	   *row = lfirst(lc);
		TimestampTz deadline;
		Oid			role;

		if (row->pending || row->expired || row->copied)
			continue;
		role = find_role(row, now, &deadline);
		if (OidIsValid(role) && deadline == row->grant.expires_at && deadline > now &&
			jit_grant_has_member(role, InvalidOid))
			requests[candidates++] = Int32GetDatum(row->grant.request);
	}
	if (candidates == 0)
		return;
	n = jit_query("UPDATE jit.grants g SET warned_of = g.expires_at FROM jit.requests r"
				  " WHERE g.request_id = ANY ($1) AND r.id = g.request_id AND " WARNING_DUE("$3") " <= $2"
				  " RETURNING g.request_id", "Izi",
				  jit_int4_array(requests, candidates), now, jit_warn_before);
	for (int i = 1; i <= n; i++)
	{
		int			request = jit_result_int(i, 1);

		foreach(lc, rows)
		{
			DueRow	   *row = lfirst(lc);

			row->warned |= row->grant.request == request;
		}
	}
	foreach(lc, rows)
	{
		DueRow	   *row = lfirst(lc);

		if (row->warned)
			jit_event("expiring", row->grant.request,
					  jit_detail("expires_at", timestamptz_to_str(row->grant.expires_at), NULL),
					  psprintf("%s ends at %s", request_text(row),
							   timestamptz_to_str(row->grant.expires_at)));
	}
}

/* Settle one request; see the top of the file.  Inside an owner section. */
static void
settle(void *arg)
{
	DueRow	   *row = arg;
	JitGrant   *grant = &row->grant;
	TimestampTz now = jit_now();
	TimestampTz deadline;
	Oid			role;
	char	   *text = request_text(row);

	if (row->pending)
	{
		JitRequest *request = jit_load_request(grant->request, false);
		char	   *why = row->lapses_at > now ? jit_why_hopeless(request) : NULL;

		if (why == NULL && row->stranded && request->start <= now)
			why = pstrdup(_("it was not scheduled in this database"));
		if (why == NULL && request->status == JIT_SCHEDULED && row->lapses_at <= now)
			why = pstrdup(_("its window has ended"));

		if (why != NULL)
			jit_finish_request(grant->request, JIT_LAPSED, now,
							   psprintf("%s lapsed: %s", text, why),
							   jit_detail("reason", why, NULL));
		else if (row->lapses_at <= now)
			jit_finish_request(grant->request, JIT_LAPSED, row->lapses_at,
							   psprintf("%s lapsed", text), NULL);
		return;
	}

	role = find_role(row, now, &deadline);
	if (deadline <= now)
		expire(list_make1(row), true);
	else if (grant->role == NULL)
		return;					/* a restore hasn't come to jit.grants yet */
	else if (!OidIsValid(role) || !jit_grant_has_member(role, InvalidOid))
	{
		const char *drift = OidIsValid(role) ? "has no members" : "is gone";

		(void) jit_end_grant(grant);
		/* by COMMIT PREPARED, maybe, which tells nobody who is running */
		jit_note_grant_changed(grant->role_oid);
		jit_finish_request(grant->request, JIT_REVOKED, now,
						   psprintf("%s revoked: its role %s %s", text,
									quote_identifier(grant->role), drift),
						   jit_detail("drift", psprintf("its role %s", drift), NULL));
	}
	else if (deadline != grant->expires_at)
	{
		(void) jit_query("UPDATE jit.grants SET expires_at = $2 WHERE request_id = $1",
						 "iz", grant->request, deadline);
		(void) jit_query("UPDATE jit.requests SET expires_at = $2 WHERE id = $1",
						 "iz", grant->request, deadline);
		jit_note_grant_changed(role);
		record_followed(row, deadline);
	}
}

/* When something of the row became due; DT_NOBEGIN: by a drop, long ago maybe. */
static TimestampTz
due_since(const DueRow *row)
{
	if (row->pending)
		return row->lapses_at <= jit_now() ? row->lapses_at : DT_NOBEGIN;
	return row->grant.expires_at;
}

static void
try_to_expire(void *arg)
{
	expire(arg, false);
}

static void
try_to_warn(void *arg)
{
	warn(arg);
}

/*
 * The roles alone, of rows that expire() will find past without them and
 * record in the same way.
 */
static void
try_to_end_roles(void *arg)
{
	ListCell   *lc;

	foreach(lc, (List *) arg)
	{
		DueRow	   *row = lfirst(lc);
		TimestampTz deadline;
		Oid			role;

		if (is_past(row, &role, &deadline) && OidIsValid(role) &&
			deadline == row->grant.expires_at)
			(void) jit_end_role(role, false);
	}
}

/*
 * settle() in a subtransaction; false if it failed.  Failures of what was
 * due when the last sweeper came are known.
 */
static bool
try_to_settle(DueRow *row)
{
	ErrorData  *error = jit_try_as_owner(settle, row);

	if (error != NULL)
	{
		jit_note_failure(MyDatabaseId,
						 psprintf("request %d: %s", row->grant.request, error->message));
		ereport(!task.again || due_since(row) > task.logged ? LOG : DEBUG1,
				(errmsg("jit_access: request %d in %s could not be settled: %s",
						row->grant.request, quote_identifier(jit_database_name()),
						error->message),
				 errdetail("It is tried again with growing pauses, and not logged again.")));
	}
	return error == NULL;
}

/*
 * The requests that are due, in the order of their times; in
 * TopMemoryContext.  This looks at all that are open and at all roles, so it
 * is done once.
 */
static List *
due_requests(void)
{
	JitOwnerSection section;
	MemoryContext context;
	List	   *requests = NIL;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT r.id FROM jit.requests r LEFT JOIN jit.grants g ON g.request_id = r.id"
	/* of copies, see jit_is_copy(), the original's database */
				  " LEFT JOIN pg_database d ON r.origin = $3 || d.oid AND d.oid <> $2"
	/* roles by OID or by name, where they matter; looking up NULL is free */
				  " LEFT JOIN pg_authid h ON h.oid ="
				  "  CASE WHEN g.expires_at > $1 AND starts_with(r.origin, $3) THEN g.role_oid END"
				  " LEFT JOIN pg_authid n ON n.rolname ="
				  "  CASE WHEN g.expires_at > $1 AND NOT starts_with(r.origin, $3) THEN g.role END"
				  " WHERE r.status IN ('pending', 'scheduled') AND (r.lapses_at <= $1 OR " JIT_MAYBE_HOPELESS
				  "  OR r.status = 'scheduled' AND r.start <= $1 AND " STRANDED("$3", "$2") ")"
				  " OR r.status = 'active' AND (coalesce(g.expires_at, r.expires_at) <= $1"
				  "  OR d.oid IS NULL AND (h.rolvaliduntil <= $1 OR n.rolvaliduntil <= $1"
				  "   OR g.role IS NOT NULL AND coalesce(h.oid, n.oid) IS NULL"
				  "   OR NOT coalesce(h.oid, n.oid) IN (SELECT m.roleid FROM pg_auth_members m)"
				  "   OR h.rolvaliduntil <> g.expires_at AND isfinite(h.rolvaliduntil)"
				  "   OR " WARNING_DUE("$4") " <= $1))"
				  " ORDER BY coalesce(r.expires_at, r.lapses_at)",
				  "zoti", jit_now(), MyDatabaseId, jit_cluster_origin(), jit_warn_before);
	context = MemoryContextSwitchTo(TopMemoryContext);
	for (int i = 1; i <= n; i++)
		requests = lappend_int(requests, jit_result_int(i, 1));
	MemoryContextSwitchTo(context);
	jit_leave_owner_section(&section);
	return requests;
}

/*
 * Read and lock those of a batch of the requests that are still open and that
 * nobody else has locked; *size is how many are in it.
 */
static List *
lock_batch(const List *requests, int first, int *size)
{
	int			nids = Min(list_length(requests) - first, BATCH_SIZE);
	Datum	   *ids = palloc(nids * sizeof(Datum));
	JitOwnerSection section;
	List	   *rows = NIL;
	bool		isnull;
	int			n;

	*size = nids;
	for (int i = 0; i < nids; i++)
		ids[i] = Int32GetDatum(list_nth_int(requests, first + i));
	jit_enter_owner_section(&section);
	n = jit_query("SELECT id FROM jit.requests WHERE id = ANY ($1)"
				  " AND status IN ('pending', 'scheduled', 'active') FOR UPDATE SKIP LOCKED",
				  "I", jit_int4_array(ids, nids));
	for (int i = 0; i < n; i++)
		ids[i] = jit_result(i + 1, 1, &isnull);
	/* a statement of its own, which sees what was approved just before */
	n = jit_query("SELECT r.id, r.status IN ('pending', 'scheduled'), r.lapses_at, r.access, starts_with(r.origin, $2),"
				  " r.origin, g.role, g.role_oid, r.grantee, r.grantee_oid,"
				  " coalesce(g.expires_at, r.expires_at, r.lapses_at),"
				  " r.status = 'scheduled' AND " STRANDED("$2", "$3")
				  " FROM jit.requests r LEFT JOIN jit.grants g ON g.request_id = r.id"
				  " WHERE r.id = ANY ($1) ORDER BY coalesce(r.expires_at, r.lapses_at)",
				  "Ito", jit_int4_array(ids, n), jit_cluster_origin(), MyDatabaseId);
	for (int i = 1; i <= n; i++)
	{
		DueRow	   *row = palloc0(sizeof(DueRow));

		row->grant.request = jit_result_int(i, 1);
		row->pending = jit_result_bool(i, 2);
		row->lapses_at = jit_result_time(i, 3);
		row->access = jit_result_text(i, 4);
		row->grant.cluster = jit_result_bool(i, 5);
		row->copied = jit_is_copy(jit_result_text(i, 6));
		row->grant.role = jit_result_text(i, 7);
		row->grant.role_oid = jit_result_oid(i, 8);
		row->grant.grantee = jit_result_text(i, 9);
		row->grant.grantee_oid = jit_result_oid(i, 10);
		row->grant.expires_at = jit_result_time(i, 11);
		row->stranded = jit_result_bool(i, 12);
		rows = lappend(rows, row);
	}
	jit_leave_owner_section(&section);
	return rows;
}

/*
 * When the ledger has something due next; *pending tells whether there are
 * pending or scheduled requests.  What still is due, be it that somebody has it locked, is
 * left.
 */
static TimestampTz
next_due(bool *pending)
{
	JitOwnerSection section;
	TimestampTz due;
	TimestampTz left;

	jit_enter_owner_section(&section);
	jit_query("SELECT min(at) FILTER (WHERE at > $1), max(at) FILTER (WHERE at <= $1),"
			  " coalesce(bool_or(status IN ('pending', 'scheduled')), false)"
			  " FROM (SELECT status, CASE status WHEN 'pending' THEN lapses_at WHEN 'scheduled' THEN start ELSE expires_at END AS at"
			  "   FROM jit.requests WHERE status IN ('pending', 'scheduled', 'active')"
			  "  UNION ALL SELECT r.status, " WARNING_DUE("$2")
			  "   FROM jit.requests r JOIN jit.grants g ON g.request_id = r.id"
			  "   LEFT JOIN pg_database d ON r.origin = $4 || d.oid AND d.oid <> $3"
			  "   WHERE r.status = 'active' AND g.ended_at IS NULL AND d.oid IS NULL) r",
			  "ziot", jit_now(), jit_warn_before, MyDatabaseId, jit_cluster_origin());
	due = jit_result_time(1, 1);
	left = jit_result_time(1, 2);
	*pending = jit_result_bool(1, 3);
	if (left != DT_NOEND)
		leave(left);
	jit_leave_owner_section(&section);
	return due;
}

/* ----------------------------------------------------------------------
 * The worker
 * ----------------------------------------------------------------------
 */

typedef struct LedgerState
{
	List	   *requests;		/* due and not seen to yet, in
								 * TopMemoryContext */
	int			ended;			/* so many have had their roles ended */
	bool		found;			/* have they been looked for? */
	TimestampTz due;			/* when something else will be */
	bool		started;		/* has what is to start been tried? */
	bool		pending;		/* are there pending or scheduled requests? */
} LedgerState;

/* End the roles of the next of the requests, and leave the rest for later. */
static void
end_roles(LedgerState *state)
{
	int			n;
	List	   *rows = lock_batch(state->requests, state->ended, &n);

	(void) jit_try_as_owner(try_to_end_roles, rows);
	state->ended += n;
}

/* Settle the first of the requests, and take them off the list. */
static void
settle_batch(LedgerState *state)
{
	int			n;
	List	   *rows = lock_batch(state->requests, 0, &n);
	ListCell   *lc;
	bool		done;

	/* somebody has the others locked, or has closed them meanwhile */
	if (list_length(rows) < n)
		leave(DT_NOBEGIN);
	/* what fails here fails again below, alone, and is reported there */
	done = jit_try_as_owner(try_to_expire, rows) == NULL;
	if (jit_try_as_owner(try_to_warn, rows) != NULL)
		leave(DT_NOBEGIN);
	foreach(lc, rows)
	{
		DueRow	   *row = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		if ((!done || !row->expired) && !row->warned && !try_to_settle(row))
			leave(due_since(row));
	}
	state->requests = list_delete_first_n(state->requests, n);
}

/* One transaction.  Returns the error in it, in TopMemoryContext, or NULL. */
static ErrorData *
try_transaction(void (*work) (void *arg), void *arg)
{
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		work(arg);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(TopMemoryContext);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	return error;
}

/*
 * The same.  An error is logged unless the last sweeper failed as well, and
 * makes it return false: what comes after it is done all the same.
 */
static bool
in_transaction(void (*work) (void *arg), void *arg)
{
	ErrorData  *error = try_transaction(work, arg);

	if (error != NULL)
	{
		jit_note_failure(MyDatabaseId, error->message);
		ereport(task.failed ? DEBUG1 : LOG,
				(errmsg("jit_access: sweeper failed in the database with OID %u: %s",
						MyDatabaseId, error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0,
				 error->hint ? errhint("%s", error->hint) : 0));
	}
	return error == NULL;
}

/* Panic buttons in other databases, as arrays. */
static void
panic_buttons(Datum *grantees, Datum *pressed)
{
	Datum		roles[JIT_MAX_PRESSES + 1];
	Datum		times[JIT_MAX_PRESSES + 1];
	int			n = 0;

	LWLockAcquire(jit_due->lock, LW_SHARED);
	roles[n] = ObjectIdGetDatum(InvalidOid);
	times[n++] = TimestampTzGetDatum(jit_due->all_revoked);
	for (int i = 0; i < Min(jit_due->npresses, JIT_MAX_PRESSES); i++)
	{
		roles[n] = ObjectIdGetDatum(jit_due->presses[i].grantee);
		times[n++] = TimestampTzGetDatum(jit_due->presses[i].at);
	}
	LWLockRelease(jit_due->lock);
	*grantees = PointerGetDatum(construct_array(roles, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	*pressed = PointerGetDatum(construct_array(times, n, TIMESTAMPTZOID, sizeof(TimestampTz),
											   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* ----------------------------------------------------------------------
 * What starts
 * ----------------------------------------------------------------------
 */

/* A scheduled request whose time has come, or that a panic button was for. */
typedef struct Start
{
	int			request;
	TimestampTz at;
	TimestampTz revoked;		/* DT_NOBEGIN if it wasn't */
	char	   *why;			/* what keeps it from starting, once and for
								 * all */
} Start;

/*
 * Is it the request's fault, or may it come through later?  Also of a deadlock,
 * a full disk, a server that goes down, and of what has a bug.
 */
static bool
is_for_good(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INTERNAL_ERROR:
			return false;
		default:
			return error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE;
	}
}

static char *
why_text(const ErrorData *error)
{
	return error->detail == NULL ? pstrdup(error->message) :
		psprintf("%s: %s", error->message, error->detail);
}

/* It stays scheduled for now.  Outside of a transaction as well. */
static void
leave_start(const Start *start, const ErrorData *error)
{
	ereport(!task.again || start->at > task.logged ? LOG : DEBUG1,
			(errmsg("jit_access: request %d in the database with OID %u could not be started: %s",
					start->request, MyDatabaseId, error->message),
			 errdetail("It is tried again with growing pauses, and not logged again.")));
	leave(start->at);
}

static void
try_to_start(void *arg)
{
	jit_start_request(arg);
}

/* It doesn't start, under the row lock. */
static void
give_up(const Start *start)
{
	char	   *text = psprintf("request %d in %s", start->request,
								quote_identifier(jit_database_name()));

	if (start->revoked != DT_NOBEGIN)
		jit_finish_request(start->request, JIT_REVOKED, start->revoked,
						   psprintf("%s revoked: all access was revoked at %s", text,
									timestamptz_to_str(start->revoked)),
						   jit_detail("reason", "all access was revoked, by jit_revoke_all() or jit_revoke_from()", NULL));
	else
		jit_finish_request(start->request, JIT_LAPSED, jit_now(),
						   psprintf("%s lapsed: %s", text, start->why),
						   jit_detail("reason", start->why, NULL));
}

/* A batch of them, in a transaction. */
static void
start_batch(void *arg)
{
	ListCell   *lc;

	if (!jit_open_ledger())
		return;
	foreach(lc, (List *) arg)
	{
		Start	   *start = lfirst(lc);
		JitOwnerSection section;
		JitRequest *request;
		ErrorData  *error;
		bool		locked;

		CHECK_FOR_INTERRUPTS();
		jit_enter_owner_section(&section);
		locked = jit_query("SELECT FROM jit.requests WHERE id = $1 AND status = 'scheduled'"
						   " FOR UPDATE SKIP LOCKED", "i", start->request) > 0;
		request = locked ? jit_load_request(start->request, false) : NULL;
		if (locked)
			start->revoked = jit_revoked_since(request->grantee, request->decided_at);
		/* a press that is gone, or a clock that was set back */
		if (locked && start->revoked == DT_NOBEGIN && request->start > jit_now())
			start->why = NULL;
		else if (locked && start->revoked == DT_NOBEGIN && start->why == NULL)
		{
			error = jit_try(try_to_start, request);
			if (error != NULL && is_for_good(error))
				start->why = why_text(error);
			else if (error != NULL)
				leave_start(start, error);
		}
		if (!locked)
			leave(DT_NOBEGIN);
		else if (start->revoked != DT_NOBEGIN || start->why != NULL)
			give_up(start);
		jit_leave_owner_section(&section);
	}
}

/* Look for them; *arg is the list, in TopMemoryContext. */
static void
find_starts(void *arg)
{
	JitOwnerSection section;
	MemoryContext context;
	Datum		grantees;
	Datum		pressed;
	int			n;

	if (!jit_open_ledger())
		return;
	panic_buttons(&grantees, &pressed);
	jit_enter_owner_section(&section);
	n = jit_query("SELECT r.id, r.start FROM jit.requests r JOIN jit.schedule s ON s.request_id = r.id"
				  " WHERE r.status = 'scheduled' AND r.origin = $1 AND r.lapses_at > $4"
				  " AND (r.start <= $4"
				  "  OR EXISTS (SELECT FROM jit.revocations v"
				  "   WHERE v.at >= r.decided_at AND v.grantee_oid IN (0, r.grantee_oid))"
				  "  OR EXISTS (SELECT FROM unnest($2, $3) p (grantee, at)"
				  "   WHERE p.at >= r.decided_at AND p.grantee IN (0, r.grantee_oid)))"
				  " ORDER BY r.start, r.id",
				  "tOZz", jit_origin(), grantees, pressed, jit_now());
	context = MemoryContextSwitchTo(TopMemoryContext);
	for (int i = 1; i <= n; i++)
	{
		Start	   *start = palloc0(sizeof(Start));

		start->request = jit_result_int(i, 1);
		start->at = jit_result_time(i, 2);
		*(List **) arg = lappend(*(List **) arg, start);
	}
	MemoryContextSwitchTo(context);
	jit_leave_owner_section(&section);
}

/*
 * Start one alone.  What the look again at its commit has found is then on
 * record, in a transaction of its own.
 */
static void
start_alone(Start *start)
{
	List	   *alone;
	ErrorData  *error;

	MemoryContextSwitchTo(TopMemoryContext);
	alone = list_make1(start);
	start->why = NULL;
	error = try_transaction(start_batch, alone);
	if (error != NULL && is_for_good(error))
	{
		start->why = why_text(error);
		error = try_transaction(start_batch, alone);
	}
	if (error != NULL)
		leave_start(start, error);
}

/* Start what is to start.  False if that can't be looked for. */
static bool
start_due(void)
{
	List	   *starts = NIL;

	if (!in_transaction(find_starts, &starts))
		return false;
	while (starts != NIL)
	{
		List	   *batch;
		ErrorData  *error;
		ListCell   *lc;

		MemoryContextSwitchTo(TopMemoryContext);
		batch = list_truncate(list_copy(starts), START_BATCH_SIZE);
		error = try_transaction(start_batch, batch);

		foreach(lc, error != NULL ? batch : NIL)
		{
			start_alone(lfirst(lc));
			jit_report_progress(task.slot);
		}
		starts = list_delete_first_n(starts, list_length(batch));
		jit_report_progress(task.slot);
	}
	return true;
}

/*
 * Are there requests, but none was ever numbered?  Then a restore hasn't
 * come to the sequences, and may not have come to jit.grants.
 */
static bool
restore_under_way(void)
{
	JitOwnerSection section;
	bool		result;

	jit_enter_owner_section(&section);
	jit_query("SELECT NOT is_called AND EXISTS (SELECT FROM jit.requests) FROM jit.request_number", "");
	result = jit_result_bool(1, 1);
	jit_leave_owner_section(&section);
	return result;
}

static void
sweep_ledger(void *arg)
{
	LedgerState *state = arg;
	bool		installed = jit_open_ledger();
	bool		too_early = installed && restore_under_way();

	if (too_early)
		leave(DT_NOBEGIN);
	if (!installed || too_early)
	{
		state->requests = NIL;
		state->started = true;
		return;
	}
	if (!state->found)
		state->requests = due_requests();
	state->found = true;
	if (state->ended < list_length(state->requests))
	{
		end_roles(state);
		return;
	}
	/* between transactions of ours: see start_due() */
	if (!state->started)
		return;
	settle_batch(state);
	if (state->requests == NIL)
		state->due = next_due(&state->pending);
}

typedef struct RolesState
{
	bool		readable;		/* is the ledger ours to read, and can it be? */
	TimestampTz left;			/* deadline of the newest that somebody has
								 * locked, or DT_NOBEGIN */
	bool		terminate;		/* and for so long that they have to go? */
} RolesState;

static void
sweep_roles(void *arg)
{
	RolesState *state = arg;
	bool		ledger = state->readable && jit_open_ledger();
	JitOwnerSection section;

	jit_enter_owner_section(&section);
	state->left = jit_clear_past_roles(task.whose, ledger, task.logged,
									   state->terminate);
	jit_leave_owner_section(&section);
}

/*
 * Scope roles of this database that are due, then what others have here; or,
 * sent for "others", those of databases that are gone.
 */
static void
sweep_scopes(void *arg)
{
	JitScopeSweep *sweep = arg;
	bool		ledger = task.whose == JIT_OWN_ROLES && jit_open_ledger();
	JitOwnerSection section;

	jit_enter_owner_section(&section);
	/* what isn't to be had can wait, others can't */
	jit_set_locally("lock_timeout", "10ms");
	sweep->more = false;
	if (task.whose == JIT_ROLES_OF_OTHERS)
		jit_sweep_lost_scopes(sweep);
	else
	{
		if (ledger)
			jit_sweep_scopes(sweep);
		if (!sweep->more)
			jit_sweep_copied_scopes(sweep);
	}
	jit_leave_owner_section(&section);
}

typedef struct Overtaken
{
	int			request;
	TimestampTz activated_at;
	bool		ended;			/* result */
} Overtaken;

static void
try_to_expire_grant(void *arg)
{
	Overtaken  *overtaken = arg;

	overtaken->ended = jit_expire_grant(overtaken->request);
}

/*
 * What became active before a panic button was pressed, and was committed after
 * it, that didn't see.  It ends first, by its roles alone, and the ledger
 * follows: that waits neither for the row of a request, which its grantee may
 * have locked, nor for events.
 */
static void
end_overtaken(void *arg)
{
	JitOwnerSection section;
	Datum		grantees;
	Datum		pressed;
	List	   *requests = NIL;
	ListCell   *lc;
	int			n;

	if (!jit_open_ledger())
		return;
	panic_buttons(&grantees, &pressed);
	jit_enter_owner_section(&section);
	n = jit_query("SELECT r.id, r.activated_at FROM jit.requests r JOIN jit.grants g ON g.request_id = r.id"
				  " WHERE r.status = 'active' AND r.origin = $1"
				  " AND (EXISTS (SELECT FROM jit.revocations v"
				  "   WHERE v.at >= r.activated_at AND v.grantee_oid IN (0, g.grantee_oid))"
				  "  OR EXISTS (SELECT FROM unnest($2, $3) p (grantee, at)"
				  "   WHERE p.at >= r.activated_at AND p.grantee IN (0, g.grantee_oid)))"
				  " AND EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = g.role_oid)",
				  "tOZ", jit_origin(), grantees, pressed);
	for (int i = 1; i <= n; i++)
	{
		Overtaken  *overtaken = palloc0(sizeof(Overtaken));

		overtaken->request = jit_result_int(i, 1);
		overtaken->activated_at = jit_result_time(i, 2);
		requests = lappend(requests, overtaken);
	}
	foreach(lc, requests)
	{
		Overtaken  *overtaken = lfirst(lc);

		if (jit_try_as_owner(try_to_expire_grant, overtaken) != NULL || !overtaken->ended)
			leave(overtaken->activated_at);
	}
	jit_leave_owner_section(&section);
}

static void
spare_exit(int code, Datum arg)
{
	jit_spare_goes();
}

/* Be there to be called; returns to which database. */
static Oid
wait_to_be_called(void)
{
	Oid			where;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	before_shmem_exit(spare_exit, (Datum) 0);
	jit_spare_comes();
	for (;;)
	{
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		LWLockAcquire(jit_due->lock, LW_SHARED);
		where = jit_due->spare.where;
		task = jit_due->spare.task;
		LWLockRelease(jit_due->lock);
		if (OidIsValid(where))
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, 0,
						 PG_WAIT_EXTENSION);
	}
	/* of a database that is being copied, renamed or dropped */
	SetConfigOption("lock_timeout", "200ms", PGC_SUSET, PGC_S_OVERRIDE);
	return where;
}

/* Entry point of a sweeper; the spare one isn't told a database. */
void
jit_sweeper_main(Datum arg)
{
	Oid			where = DatumGetObjectId(arg);
	bool		spare = !OidIsValid(where);
	LedgerState state = {.due = DT_NOEND};
	RolesState	roles = {true, DT_NOBEGIN, false};
	JitScopeSweep scopes = {NIL, false, DT_NOEND};
	bool		done = true;
	uint64		drops;

	memcpy(&task, MyBgworkerEntry->bgw_extra, sizeof(task));
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (spare)
		where = wait_to_be_called();
	BackgroundWorkerInitializeConnectionByOid(where, InvalidOid,
											  BGWORKER_BYPASS_ALLOWCONN);
	override_settings();
	pgstat_report_activity(STATE_RUNNING, "jit_access: ending what is due");

	/* before anything is looked at */
	drops = jit_count_drops();
	if (task.whose == JIT_OWN_ROLES)
	{
		done = in_transaction(end_overtaken, NULL);
		do
		{
			if (done && state.found && !state.started &&
				state.ended == list_length(state.requests))
			{
				done = start_due();
				state.started = true;
			}
			done = done && in_transaction(sweep_ledger, &state);
			jit_report_progress(task.slot);
		} while (done && (state.requests != NIL || !state.started));
	}
	roles.readable = done && task.whose == JIT_OWN_ROLES;
	for (int tries = 0;; tries++)
	{
		roles.terminate = tries == ROLE_TRIES - 1;
		done &= in_transaction(sweep_roles, &roles);
		if (!done || roles.left == DT_NOBEGIN || tries == ROLE_TRIES)
			break;
		/* whoever has woken us has them locked until its commit is through */
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 ROLE_PAUSE, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}

	/*
	 * not urgent: later, if the ledger can't be had, and no trouble of its
	 * own
	 */
	while (done && !spare && in_transaction(sweep_scopes, &scopes))
	{
		jit_report_progress(task.slot);
		if (!scopes.more)
			break;
	}
	if (roles.left != DT_NOBEGIN)
		leave(roles.left);
	report.worked = done;
	report.complete &= done;
	jit_report_swept(task.slot, Min(state.due, scopes.due), state.pending, drops, &report);
	proc_exit(spare ? 1 : 0);
}
