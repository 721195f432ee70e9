/*-------------------------------------------------------------------------
 *
 * sweeper.c
 *		The short-lived background worker that settles what is due in one
 *		database.
 *
 * Batches of requests per transaction, each request in a subtransaction of
 * its own, in the order of their times:
 *
 *	active, role's deadline past		the grant ends, the request expired
 *	active, role's deadline is later	the ledger follows: prolonged
 *	active, role is gone				revoked natively; the ledger follows
 *	active, role has lost its deadline	judged by the ledger's
 *	active, copied from a template		expires with its time; the roles are
 *										the original's and not touched
 *	pending, past lapses_at				lapsed
 *
 *	error in one request		that one is left for a later sweeper, which the
 *								launcher sends with growing pauses
 *	row locked by somebody		left out, the same way
 *	kill, crash, shutdown		what had been committed is done, the rest is
 *								still due
 *	DROP DATABASE				terminates us, as any other session
 *
 * Then past grant roles of databases that are gone are dropped, and if the
 * launcher says so past grant roles of other databases lose their members.
 *
 * It runs under whatever ALTER DATABASE ... SET its owner has made, and
 * overrides all that could hinder it.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define BATCH_SIZE 200

/* A row that is due; strings live as long as the batch. */
typedef struct DueRow
{
	JitGrant	grant;
	bool		pending;
	bool		copied;			/* from a template: roles aren't ours */
	TimestampTz lapses_at;
	char	   *access;
} DueRow;

/* The caller's ways of hindering us, see AutoVacWorkerMain(). */
static void
override_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"session_replication_role", "origin"},
		{"default_transaction_read_only", "off"},
		{"transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"lock_timeout", "1s"},
		{"row_security", "off"},
		{"check_function_bodies", "off"},
		{"force_parallel_mode", "off"},
		{"default_tablespace", ""},
		{"client_min_messages", "error"},
	};

	for (size_t i = 0; i < lengthof(settings); i++)
	{
		/* not every version has every one of them */
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	}
}

/* Settle one request; see the top of the file. */
static void
settle(DueRow *row)
{
	JitGrant   *grant = &row->grant;
	TimestampTz now = jit_now();
	TimestampTz deadline;
	Oid			role;
	char	   *text = psprintf("request %d in %s", grant->request,
								quote_identifier(jit_database_name()));

	if (row->pending)
	{
		jit_finish_request(grant->request, "lapsed", row->lapses_at,
						   psprintf("%s lapsed", text), NULL);
		return;
	}

	role = row->copied ? InvalidOid : jit_find_grant_role(grant);
	if (!OidIsValid(role))
	{
		bool		expired = row->copied || grant->expires_at <= now;

		(void) jit_query("UPDATE jit.grants SET ended_at = $2 WHERE request_id = $1 AND ended_at IS NULL",
						 2, INT4OID, Int32GetDatum(grant->request), false,
						 TIMESTAMPTZOID, TimestampTzGetDatum(now), false);
		jit_finish_request(grant->request, expired ? "expired" : "revoked",
						   expired ? grant->expires_at : now,
						   psprintf("%s %s: its role %s is gone", text,
									expired ? "expired" : "revoked",
									quote_identifier(grant->role)),
						   row->copied ? NULL : jit_detail("drift", "its role is gone", NULL));
		return;
	}

	deadline = jit_role_deadline(role);
	if (TIMESTAMP_NOT_FINITE(deadline))
		deadline = grant->expires_at;	/* natively lost: the ledger's counts */
	if (deadline > now)
	{
		if (deadline == grant->expires_at)
			return;
		(void) jit_query("UPDATE jit.grants SET expires_at = $2 WHERE request_id = $1",
						 2, INT4OID, Int32GetDatum(grant->request), false,
						 TIMESTAMPTZOID, TimestampTzGetDatum(deadline), false);
		(void) jit_query("UPDATE jit.requests SET expires_at = $2 WHERE id = $1",
						 2, INT4OID, Int32GetDatum(grant->request), false,
						 TIMESTAMPTZOID, TimestampTzGetDatum(deadline), false);
		jit_event(deadline > grant->expires_at ? "prolonged" : "shortened",
				  grant->request,
				  jit_detail("expires_at", timestamptz_to_str(deadline), NULL),
				  psprintf("%s follows VALID UNTIL of role %s: until %s", text,
						   quote_identifier(grant->role), timestamptz_to_str(deadline)));
		return;
	}

	(void) jit_end_grant(grant);
	jit_finish_request(grant->request, "expired", deadline,
					   psprintf("%s expired: %s no longer has %s", text,
								quote_identifier(grant->grantee), row->access),
					   NULL);
}

/* settle() in a subtransaction; false if it failed. */
static bool
try_to_settle(DueRow *row)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		JitOwnerSection section;

		jit_enter_owner_section(&section);
		settle(row);
		jit_leave_owner_section(&section);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (edata->sqlerrcode == ERRCODE_QUERY_CANCELED ||
			edata->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
			ReThrowError(edata);
		ereport(LOG,
				(errmsg("jit_access: request %d in %s could not be settled: %s",
						row->grant.request, quote_identifier(jit_database_name()),
						edata->message),
				 errdetail("It is tried again.")));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}

/* Read and lock up to BATCH_SIZE rows that are due, failed ones aside. */
static List *
due_rows(List *failed)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi_context;
	JitOwnerSection section;
	Datum	   *ids = palloc(list_length(failed) * sizeof(Datum));
	const char *slash = strchr(jit_origin(), '/');
	List	   *rows = NIL;
	ListCell   *lc;
	bool		isnull;
	int			n;

	foreach(lc, failed)
		ids[foreach_current_index(lc)] = Int32GetDatum(lfirst_int(lc));

	jit_enter_owner_section(&section);
	n = jit_query("SELECT r.id, r.status = 'pending', r.lapses_at, r.access, r.origin = $2,"
				  " r.origin <> $2 AND starts_with(r.origin, $3), g.role, g.role_oid, r.grantee, r.grantee_oid, g.expires_at"
				  " FROM jit.requests r LEFT JOIN jit.grants g ON g.request_id = r.id"
				  " LEFT JOIN pg_authid a ON CASE WHEN r.origin = $2 THEN a.oid = g.role_oid ELSE a.rolname = g.role END"
				  " WHERE r.id <> ALL ($4)"
				  " AND (r.status = 'pending' AND r.lapses_at <= $1"
				  "  OR r.status = 'active' AND (g.expires_at <= $1"
				  "   OR NOT (r.origin <> $2 AND starts_with(r.origin, $3)) AND (a.oid IS NULL OR a.rolvaliduntil <= $1)))"
				  " ORDER BY coalesce(r.expires_at, r.lapses_at)"
				  " LIMIT " CppAsString2(BATCH_SIZE) " FOR UPDATE OF r SKIP LOCKED",
				  4,
				  TIMESTAMPTZOID, TimestampTzGetDatum(jit_now()), false,
				  TEXTOID, CStringGetTextDatum(jit_origin()), false,
				  TEXTOID, CStringGetTextDatum(pnstrdup(jit_origin(), slash - jit_origin() + 1)), false,
				  INT4ARRAYOID, PointerGetDatum(construct_array(ids, list_length(failed), INT4OID, sizeof(int32), true, TYPALIGN_INT)), false);
	spi_context = MemoryContextSwitchTo(context);
	for (int i = 1; i <= n; i++)
	{
		DueRow	   *row = palloc0(sizeof(DueRow));

		row->grant.request = DatumGetInt32(jit_result(i, 1, &isnull));
		row->pending = DatumGetBool(jit_result(i, 2, &isnull));
		row->lapses_at = DatumGetTimestampTz(jit_result(i, 3, &isnull));
		row->access = jit_result_text(i, 4);
		row->grant.here = DatumGetBool(jit_result(i, 5, &isnull));
		row->copied = DatumGetBool(jit_result(i, 6, &isnull));
		row->grant.role = jit_result_text(i, 7);
		row->grant.role_oid = DatumGetObjectId(jit_result(i, 8, &isnull));
		row->grant.grantee = jit_result_text(i, 9);
		row->grant.grantee_oid = DatumGetObjectId(jit_result(i, 10, &isnull));
		row->grant.expires_at = DatumGetTimestampTz(jit_result(i, 11, &isnull));
		rows = lappend(rows, row);
	}
	MemoryContextSwitchTo(spi_context);
	jit_leave_owner_section(&section);
	return rows;
}

/* When the ledger has something due next. */
static TimestampTz
next_due(void)
{
	JitOwnerSection section;
	TimestampTz due;
	Datum		value;
	bool		isnull;

	jit_enter_owner_section(&section);
	jit_query("SELECT min(coalesce(expires_at, lapses_at)) FROM jit.requests WHERE status IN ('pending', 'active')", 0);
	value = jit_result(1, 1, &isnull);
	due = isnull ? DT_NOEND : DatumGetTimestampTz(value);
	jit_leave_owner_section(&section);

	/* what is still due was left out: not at once again */
	return due == DT_NOEND ? due : Max(due, jit_now() + USECS_PER_SEC);
}

/* Entry point of a sweeper. */
void
jit_sweeper_main(Datum arg)
{
	bool		others = MyBgworkerEntry->bgw_extra[0];
	List	   *failed = NIL;
	List	   *rows;
	JitOwnerSection section;
	MemoryContext context;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid,
											  BGWORKER_BYPASS_ALLOWCONN);
	override_settings();

	context = AllocSetContextCreate(TopMemoryContext, "jit_access sweeper",
									ALLOCSET_DEFAULT_SIZES);
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "jit_access: revoking what is due");
	if (jit_extension_installed())
	{
		do
		{
			ListCell   *lc;

			MemoryContextSwitchTo(context);
			rows = due_rows(failed);
			foreach(lc, rows)
			{
				DueRow	   *row = lfirst(lc);

				CHECK_FOR_INTERRUPTS();
				if (!try_to_settle(row))
					failed = lappend_int(failed, row->grant.request);
			}
			PopActiveSnapshot();
			CommitTransactionCommand();
			StartTransactionCommand();
			PushActiveSnapshot(GetTransactionSnapshot());
		} while (list_length(rows) == BATCH_SIZE);
		jit_report_due(next_due());
	}

	jit_enter_owner_section(&section);
	jit_clear_past_roles(others);
	jit_leave_owner_section(&section);
	PopActiveSnapshot();
	CommitTransactionCommand();
	proc_exit(0);
}
