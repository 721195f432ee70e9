/*-------------------------------------------------------------------------
 *
 * run.c
 *		jit_run(): running a statement that was approved.
 *
 * In this order, all of it in the caller's transaction:
 *
 *	the request's row is locked		two runs of one request come one after
 *									the other
 *	is it still to be run?			state, deadline, who runs it, how often
 *	whose code is in it?			see statement.c; once more when it is analysed,
 *									which has locked what it is about
 *	constraints become immediate	as the caller: what is deferred already is
 *									the caller's own
 *	it is run						as the query role of the request, which may act
 *									from here on until it has ended, whichever way;
 *									to its end, whatever is fetched of it
 *	the run is counted				and an event, if it writes.  With the last one
 *									VALID UNTIL of the grant role becomes now, after
 *									the transaction has been judged
 *
 *	error, savepoint that is rolled back	nothing happened, it may be run again
 *	crash before the commit					likewise
 *	deadline, jit_revoke(), panic			it is cut off: the query role has what it
 *											has by a grant role like everybody else's
 *
 * Of each function that is called while it runs, whatever it has been called
 * by, it is asked whose it is.
 *
 * What is run is the tree whose fingerprint has been compared, not its text once
 * more.  Triggers, checks and policies run as the query role, too, which may
 * own nothing; nothing of it is left to the commit.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/commit.h"
#include "base/item.h"
#include "base/query.h"
#include "base/text.h"
#include "base/toplevel.h"
#include "request/ending.h"
#include "request/event.h"
#include "request/grant.h"
#include "request/request.h"
#include "request/statement.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(jit_run);

/* Makes json of each row, and keeps nothing else of it. */
typedef struct JsonReceiver
{
	DestReceiver pub;
	ReturnSetInfo *rsinfo;
	MemoryContext row;
	TupleDesc	desc;			/* with the names of its columns */
} JsonReceiver;

/* While a statement runs: as whom, and whose code may run in it. */
static const JitTrust *running_trust;
static Oid	running_role;
static needs_fmgr_hook_type next_needs_fmgr_hook;

/*
 * PostgreSQL asks this of each function before it calls or inlines it, however it
 * came to it: triggers that have just been made, casts, checks, the
 * bodies of functions, texts that are run.
 */
static bool
check_function(Oid funcid)
{
	if (running_trust != NULL)
		jit_check_running_code(funcid, running_trust, running_role);
	return next_needs_fmgr_hook && next_needs_fmgr_hook(funcid);
}

/* For the first statement that is run in this session. */
static void
install_check(void)
{
	static bool installed = false;

	if (installed)
		return;
	installed = true;
	next_needs_fmgr_hook = needs_fmgr_hook;
	needs_fmgr_hook = check_function;
}

static void
put_json(ReturnSetInfo *rsinfo, Datum value)
{
	bool		isnull = false;

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
}

static void
json_startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
	/* rows come with names of the plan's, or none */
	((JsonReceiver *) self)->desc = BlessTupleDesc(typeinfo);
}

static bool
json_receive(TupleTableSlot *slot, DestReceiver *self)
{
	JsonReceiver *receiver = (JsonReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->row);

	slot_getallattrs(slot);
	put_json(receiver->rsinfo,
			 DirectFunctionCall1(row_to_json,
								 HeapTupleGetDatum(heap_form_tuple(receiver->desc, slot->tts_values,
																   slot->tts_isnull))));
	MemoryContextSwitchTo(old);
	MemoryContextReset(receiver->row);
	return true;
}

static void
json_shutdown(DestReceiver *self)
{
}

/* Run one query that the statement was rewritten to; how many rows it was. */
static uint64
run_query(Query *query, const char *text, DestReceiver *dest)
{
	PlannedStmt *plan;
	QueryDesc  *desc;
	uint64		rows;

	/* by a rule that has come since it was looked at */
	if (query->commandType == CMD_UTILITY)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a rule makes a NOTIFY of this statement")));
	plan = JIT_PLAN_QUERY(query, text);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	UpdateActiveSnapshotCommandId();
	desc = CreateQueryDesc(plan, text, GetActiveSnapshot(), InvalidSnapshot, dest, NULL, NULL, 0);
	ExecutorStart(desc, 0);
	JIT_EXECUTOR_RUN(desc);
	rows = desc->estate->es_processed;
	ExecutorFinish(desc);
	ExecutorEnd(desc);
	FreeQueryDesc(desc);
	PopActiveSnapshot();
	return rows;
}

/* Run the statement as that role, and hand out what comes of it. */
static uint64
run_statement(const JitRequest *request, const JitPerson *person, Oid role,
			  ReturnSetInfo *rsinfo)
{
	JsonReceiver receiver = {
		.pub = {json_receive, json_startup, json_shutdown, json_shutdown, DestNone},
		.rsinfo = rsinfo
	};
	JitTrust   *trust;
	Oid			userid;
	int			sec_context;
	int			nestlevel = NewGUCNestLevel();
	volatile uint64 rows = 0;

	GetUserIdAndSecContext(&userid, &sec_context);
	receiver.row = AllocSetContextCreate(CurrentMemoryContext, "jit_access row",
										 ALLOCSET_DEFAULT_SIZES);
	trust = jit_check_statement(request, person, role);
	install_check();
	jit_pin_for_statement();
	jit_begin_running_as(role);
	running_role = role;
	running_trust = trust;
	PG_TRY();
	{
		List	   *parts;
		bool		hands_out = false;
		ListCell   *lc;

		SetUserIdAndSecContext(role, sec_context | SECURITY_LOCAL_USERID_CHANGE |
							   SECURITY_RESTRICTED_OPERATION);
		parts = QueryRewrite(jit_analyze_statement(request));
		/* once more, now that what it is about is locked */
		running_trust = jit_check_statement(request, person, role);
		foreach(lc, parts)
		{
			Query	   *part = lfirst_node(Query, lc);
			bool		rows_out = part->canSetTag &&
			(part->commandType == CMD_SELECT || part->returningList != NIL);
			uint64		n = run_query(part, request->statement, rows_out ? &receiver.pub : None_Receiver);

			hands_out |= rows_out;
			if (part->canSetTag)
				rows = n;
		}
		if (!hands_out)
			put_json(rsinfo, CStringGetTextDatum(psprintf("{\"rows\" : " UINT64_FORMAT "}", rows)));
	}
	PG_FINALLY();
	{
		jit_end_running_as();
		running_trust = NULL;
	}
	PG_END_TRY();
	SetUserIdAndSecContext(userid, sec_context);
	AtEOXact_GUC(false, nestlevel);
	return rows;
}

/*
 * The role that the statement runs as.  The ledger says which, and the role must
 * still be what it was made to be.
 */
static Oid
find_query_role(const JitRequest *request)
{
	JitOwnerSection section;
	Oid			role = InvalidOid;
	Oid			grant = InvalidOid;
	HeapTuple	tuple;
	bool		ours = false;

	jit_enter_owner_section(&section);
	if (jit_query("SELECT query_oid, role_oid FROM jit.grants WHERE request_id = $1 AND ended_at IS NULL",
				  "i", request->id) > 0)
	{
		role = jit_result_oid(1, 1);
		grant = jit_result_oid(1, 2);
	}
	jit_leave_owner_section(&section);
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_authid form = (Form_pg_authid) GETSTRUCT(tuple);

		ours = strcmp(NameStr(form->rolname), jit_query_role_name(request->id, request->grantee)) == 0 &&
			!form->rolsuper && !form->rolcanlogin && !form->rolbypassrls &&
			!form->rolcreaterole && !form->rolcreatedb && !form->rolreplication;
		ReleaseSysCache(tuple);
	}
	if (!ours || list_difference_oid(jit_direct_memberships(role), list_make1_oid(grant)) != NIL ||
		!jit_grant_has_member(grant, role))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s cannot be run", jit_request_text(request->id)),
				 errdetail("The role that it runs as is gone, or has been altered."),
				 errhint("Ask anew with jit_request().")));
	return role;
}

/* Raise unless that person may run the request now. */
static void
check_run(JitRequest *request, const JitPerson *person)
{
	ListCell   *lc;

	jit_check_concerned(request, person, gettext_noop("you cannot run %s"));
	if (!OidIsValid(request->grantee) ||
		!jit_is_member(person->role, request->grantee, JIT_FILTER_STANDING) ||
		GetUserId() != GetOuterUserId())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("you cannot run %s", jit_request_text(request->id)),
				 errdetail("It is for %s.", jit_name_now(request->grantee, request->grantee_name))));
	if (request->statement == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is not for a statement", jit_request_text(request->id)),
				 errhint("It gives access: use that.")));
	foreach(lc, jit_commit_notes(JIT_COMMIT_GIVE))
	{
		if (((JitPromise *) lfirst(lc))->request == request->id)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("%s can be run once this transaction is committed",
							jit_request_text(request->id)),
					 errhint("COMMIT first.")));
	}
	if (request->runs > 0 && request->ran >= request->runs)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s has been run", jit_request_text(request->id)),
				 errdetail_plural("It was for %d run.", "It was for %d runs.", request->runs, request->runs),
				 errhint("Ask anew with jit_request().")));
	if (jit_present_status(request) == JIT_SCHEDULED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s can be run from %s on", jit_request_text(request->id),
						jit_timestamp_text(request->start))));
	jit_require_status(request, person, JIT_ACTIVE);
	if (!request->here)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s was approved in another database", jit_request_text(request->id))));
}

/*
 * Raise if the session has anything in its temporary schema: functions of the
 * owners' that leave out a schema would find that, and what its maker has put
 * into it.  (It can't be left out of a search_path.)
 */
static void
check_no_temporary_objects(void)
{
	Oid			namespace;
	Oid			toast;
	JitScan		scan;
	bool		found = false;

	GetTempNamespaceState(&namespace, &toast);
	if (!OidIsValid(namespace))
		return;
	/* tables have types, too */
	jit_begin_scan(&scan, TypeRelationId, InvalidOid, NULL, 0);
	do
	{
		HeapTuple	tuple = jit_next_row(&scan);

		if (!HeapTupleIsValid(tuple))
			break;
		found = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace == namespace;
	} while (!found);
	jit_end_scan(&scan);
	if (found)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a statement cannot be run in a session with temporary objects"),
				 errdetail("What runs in it might take one of them for something else."),
				 errhint("DISCARD TEMP, or use another session.")));
}

/* What was used up gives nothing any more; a sweeper settles it. */
static void
spend(List *notes)
{
	JitOwnerSection section;
	ListCell   *lc;

	if (notes == NIL)
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	jit_enter_owner_section(&section);
	foreach(lc, notes)
		jit_expire_spent((Oid) DatumGetObjectId(PointerGetDatum(lfirst(lc))));
	jit_leave_owner_section(&section);
	PopActiveSnapshot();
}

static const JitCommitCalls spend_calls = {.commit = spend};

static void
count_run(JitRequest *request, uint64 rows)
{
	JitOwnerSection section;

	jit_enter_owner_section(&section);
	jit_query("UPDATE jit.requests SET ran = ran + 1 WHERE " JIT_THE_ROWS("requests", "id = $1"),
			  "i", request->id);
	jit_event("ran", request->id,
			  jit_detail("run", psprintf("%d of %d", request->ran + 1, request->runs),
						 "rows", psprintf(UINT64_FORMAT, rows), NULL),
			  psprintf("%s run, %d of %d, " UINT64_FORMAT " rows: %s", jit_request_text(request->id),
					   request->ran + 1, request->runs, rows, request->statement));
	if (request->ran + 1 >= request->runs)
	{
		Oid			grant = get_role_oid(jit_grant_role_name(request->id), true);

		jit_wake_launcher_at_commit();
		jit_note_for_commit(JIT_COMMIT_SPEND, &spend_calls, DatumGetPointer(ObjectIdGetDatum(grant)));
	}
	jit_leave_owner_section(&section);
}

/* jit_run(request) */
Datum
jit_run(PG_FUNCTION_ARGS)
{
	JitRequest *request = NULL;
	ConstraintsSetStmt immediate = {.type = T_ConstraintsSetStmt};
	JitPerson	person;
	Oid			role;
	uint64		rows;

	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("a statement cannot be run for a request on a standby server"),
				 errhint("Run it on the primary server.")));
	if (PG_ARGISNULL(0))
		jit_refuse_null("request");
	jit_prevent_if_not_here(fcinfo);
	(void) jit_open_ledger();
	jit_require_top_level(fcinfo);
	jit_acting_person(&person);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);

	/* the row is locked only for who may run it */
	for (int locked = 0; locked <= 1; locked++)
	{
		request = jit_load_request(PG_GETARG_INT32(0), locked);
		check_run(request, &person);
	}
	check_no_temporary_objects();
	role = find_query_role(request);
	if (request->runs > 0)
		AfterTriggerSetState(&immediate);
	rows = run_statement(request, &person, role, (ReturnSetInfo *) fcinfo->resultinfo);
	if (request->runs > 0)
		count_run(request, rows);
	return (Datum) 0;
}
