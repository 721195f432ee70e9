/*-------------------------------------------------------------------------
 *
 * event.c
 *		Audit events: a row of jit.events, a NOTIFY, and a line of the server
 *		log.
 *
 * The row and the NOTIFY commit or vanish with the change that they tell of.
 * The log line has to wait for the commit, so that the log never tells of
 * something that was rolled back:
 *
 *	jit_events()			all of it is noted for the commit (base/commit.c)
 *	abort					it is forgotten, also of a subtransaction
 *	before the commit		rows are numbered and written, under the cluster's lock,
 *							which is held to the end: numbers are in the order of
 *							commits, without gaps.  For that lock an end of access
 *							waits for a second: then nothing is written but its
 *							line, and a sweeper says the rest
 *	transaction commits		the lines are written, in order
 *	crash after the commit	the line may be lost; the row isn't
 *	PREPARE TRANSACTION		refused, with our NOTIFY or without
 *
 * NOTIFY is public (every user of the database may LISTEN), so it carries the
 * event, the number and the database and nothing else.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/commit.h"
#include "base/due.h"
#include "base/gateway.h"
#include "base/guc.h"
#include "base/lock.h"
#include "base/person.h"
#include "base/query.h"
#include "base/text.h"
#include "request/event.h"

#include "catalog/namespace.h"
#include "commands/async.h"
#include "commands/trigger.h"
#include "postmaster/bgworker.h"
#include "storage/lmgr.h"
#include "utils/json.h"
#include "utils/snapmgr.h"

#define MAX_QUEUE_USAGE 0.9

PG_FUNCTION_INFO_V1(jit_refuse_change);

/*
 * Build {"key": value, ...} from pairs of C strings, ended by a NULL key; a
 * NULL value leaves its key out.
 */
Jsonb *
jit_detail(const char *key,...)
{
	JsonbInState state = {0};
	va_list		args;

	JIT_PUSH_JSONB(&state, WJB_BEGIN_OBJECT, NULL);
	va_start(args, key);
	while (key != NULL)
	{
		char	   *value = va_arg(args, char *);

		if (value != NULL)
		{
			JsonbValue	v;

			v.type = jbvString;
			v.val.string.val = unconstify(char *, key);
			v.val.string.len = strlen(key);
			JIT_PUSH_JSONB(&state, WJB_KEY, &v);
			v.val.string.val = value;
			v.val.string.len = strlen(value);
			JIT_PUSH_JSONB(&state, WJB_VALUE, &v);
		}
		key = va_arg(args, const char *);
	}
	va_end(args);
	JIT_PUSH_JSONB(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

/*
 * NOTIFY, if that can't keep the transaction from being committed: anybody
 * can fill the queue, by a LISTEN in a transaction that is left open, and
 * access must end all the same.
 */
static void
notify(const char *payload)
{
	double		usage = DatumGetFloat8(DirectFunctionCall1(pg_notification_queue_usage, (Datum) 0));

	if (usage < MAX_QUEUE_USAGE)
		Async_Notify(JIT_CHANNEL, payload);
	else
		ereport(LOG,
				(errmsg("jit_access: nobody is notified on channel %s: the notification queue is %.0f %% full",
						JIT_CHANNEL, 100 * usage),
				 errhint("End the session that keeps it full: see pg_notification_queue_usage(), and the oldest transactions in pg_stat_activity."),
				 errhidestmt(true),
				 errhidecontext(true)));
}

static void
write_lines(List *lines, bool committed)
{
	ListCell   *lc;

	foreach(lc, lines)
		ereport(LOG_SERVER_ONLY,
				(errmsg("jit_access: %s", (char *) lfirst(lc)),
				 errhidestmt(true),
				 errhidecontext(true)));
}

/* PostgreSQL refuses it after a NOTIFY, but that may have been left out. */
static void
refuse_prepare(List *lines)
{
	if (lines != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has an event of jit_access"),
				 errhint("Use COMMIT.")));
}

static const JitCommitCalls log_calls = {NULL, refuse_prepare, write_lines};

static void
announce(const char *event, int request)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"event\": ");
	escape_json(&payload, event);
	if (request != 0)
		appendStringInfo(&payload, ", \"request\": %d", request);
	else
		appendStringInfoString(&payload, ", \"request\": null");
	appendStringInfoString(&payload, ", \"database\": ");
	escape_json(&payload, jit_database_name());
	appendStringInfoChar(&payload, '}');
	notify(payload.data);
}

/* ----------------------------------------------------------------------
 * Recording
 * ----------------------------------------------------------------------
 */

/* What is recorded before the commit, in TopTransactionContext. */
typedef struct EventNote
{
	const char *event;
	ArrayType  *requests;		/* int4[]; 0: about none */
	char	   *login;			/* NULL: a worker of ours */
	char	   *role;
	char	   *via;
	char	   *client_addr;
	Jsonb	   *detail;
	TimestampTz at;
	bool		ends;			/* access: waits for nobody */
	TimestampTz ended_at;		/* DT_NOEND: states are written already */
} EventNote;

static void record_events(List *events);

static const JitCommitCalls record_calls = {.commit = record_events};

static void
note_event(const char *event, List *requests, Jsonb *detail, List *loglines,
		   bool ends, TimestampTz ended_at)
{
	MemoryContext context = MemoryContextSwitchTo(TopTransactionContext);
	EventNote  *note = palloc0(sizeof(EventNote));
	Datum	   *ids = palloc(list_length(requests) * sizeof(Datum));
	ListCell   *lc;

	/* ours, that is: somebody else's worker may act for a user */
	bool		worker = MyBgworkerEntry != NULL &&
	strcmp(MyBgworkerEntry->bgw_library_name, JIT_EXTENSION) == 0;

	foreach(lc, requests)
		ids[foreach_current_index(lc)] = Int32GetDatum(lfirst_int(lc));
	note->event = pstrdup(event);
	note->requests = construct_array(ids, list_length(requests), INT4OID, sizeof(int32), true, TYPALIGN_INT);
	if (detail != NULL)
		note->detail = (Jsonb *) PG_DETOAST_DATUM_COPY(JsonbPGetDatum(detail));
	note->at = jit_now();
	note->ends = ends;
	note->ended_at = ended_at;
	if (!worker)
	{
		JitPerson	person;

		jit_current_person(&person);
		/* in tests, too: see there */
		note->login = jit_role_name(OidIsValid(person.gateway) ? person.login : GetAuthenticatedUserId());
		note->role = jit_role_name(person.role);
		note->via = person.via;
		if (person.via != NULL)
			jit_note_acted();
		note->client_addr = jit_client_addr();
		ForceSyncCommit();
	}
	jit_note_for_commit(JIT_COMMIT_RECORD, &record_calls, note);
	foreach(lc, loglines)
		jit_note_for_commit(JIT_COMMIT_LOG, &log_calls, pstrdup(lfirst(lc)));
	MemoryContextSwitchTo(context);
}

/* A commit that is to write last has to wait for too long. */
static void
give_up(const EventNote *note)
{
	int			request = ((int32 *) ARR_DATA_PTR(note->requests))[0];

	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 request != 0 ?
			 errmsg("request %d in %s cannot be committed now: another transaction that records an event does not end", request,
					quote_identifier(jit_database_name())) :
			 errmsg("event %s cannot be committed now: another transaction that records an event does not end", note->event),
			 errdetail("It may be waiting for a standby; pg_locks shows it."),
			 errhint("Try again.")));
}

/*
 * Write the events of the transaction, and the states of what has ended, under
 * the cluster's lock, so that their numbers are in the order of commits.  What
 * ends access waits for a second at most, and is recorded by a sweeper then.
 */
static void
record_events(List *events)
{
	JitOwnerSection section;
	bool		ends = true;
	bool		locked;
	int64		last;
	bool		isnull;
	LOCKTAG		tag;
	ListCell   *lc;

	/* the extension may have been dropped */
	if (events == NIL || !jit_extension_installed())
		return;
	foreach(lc, events)
		ends &= ((EventNote *) lfirst(lc))->ends;
	/* NOTIFY's own, which a commit that waits for a standby may have */
	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, InvalidOid, 0);
	locked = jit_lock_cluster(ends ? JIT_WAIT_TO_END : JIT_LONGEST_WAIT) &&
		jit_wait_for_lock(&tag, AccessExclusiveLock, JIT_SHORTEST_WAIT);
	if (!locked && !ends)
		give_up(linitial(events));
	if (!locked)
	{
		(void) set_config_option("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
		jit_note_due(jit_now());
		return;
	}

	PushActiveSnapshot(GetTransactionSnapshot());
	jit_enter_owner_section(&section);
	jit_set_locally("lock_timeout", JIT_SHORTEST_WAIT_TEXT);
	(void) jit_query("SELECT coalesce(max(id), 0) FROM jit.events WHERE origin = $1",
					 "t", jit_origin());
	last = DatumGetInt64(jit_result(1, 1, &isnull));
	foreach(lc, events)
	{
		EventNote  *note = lfirst(lc);

		/* twice in one transaction, it has ended once */
		if (note->ended_at != DT_NOEND &&
			jit_query("UPDATE jit.requests SET status = $2::jit.request_status,"
					  " decided_at = coalesce(decided_at, $3), ended_at = $3"
					  " WHERE " JIT_THE_ROWS("requests", "id = ANY ($1) AND status = 'active'"),
					  "Itz", PointerGetDatum(note->requests), note->event, note->ended_at) == 0)
			continue;
		last += jit_query("INSERT INTO jit.events (origin, id, at, request_id, event, login, role, client_addr, detail, via)"
						  " SELECT $1, $2 + n, $3, nullif(request, 0), $5, $6, $7, $8::inet, coalesce($9, '{}'), $10"
						  " FROM unnest($4) WITH ORDINALITY r (request, n)",
						  "tlzIttttjt", jit_origin(), last, note->at,
						  PointerGetDatum(note->requests), note->event, note->login,
						  note->role, note->client_addr, note->detail, note->via);
		for (int i = 0; i < ARR_DIMS(note->requests)[0]; i++)
			announce(note->event, ((int32 *) ARR_DATA_PTR(note->requests))[i]);
	}
	jit_leave_owner_section(&section);
	PopActiveSnapshot();
}

/*
 * Record an event of several requests in this transaction; loglines has one
 * for each of them.  detail may be NULL; a line is what follows "jit_access: "
 * in the server log.
 */
void
jit_events(const char *event, List *requests, Jsonb *detail, List *loglines)
{
	note_event(event, requests, detail, loglines, false, DT_NOEND);
}

/*
 * The same of an end, which the state of the request is called after: it is
 * written with the event, or, if that would have to wait for long, by a
 * sweeper.  The access itself has ended otherwise.
 */
void
jit_end_event(const char *event, int request, TimestampTz ended_at,
			  Jsonb *detail, const char *logline)
{
	note_event(event, list_make1_int(request), detail,
			   list_make1(unconstify(char *, logline)), true, ended_at);
}

/* The same of one request; 0 for an event that isn't about one. */
void
jit_event(const char *event, int request, Jsonb *detail, const char *logline)
{
	jit_events(event, list_make1_int(request), detail,
			   list_make1(unconstify(char *, logline)));
}

/*
 * Record a change of configuration with what it was and what it is now, NULL
 * for nothing.  False if that is the same: then there is nothing to record.
 * Inside an owner section.
 */
bool
jit_record_change(const char *event, const char *key, const char *name,
				  Jsonb *before, Jsonb *after, const char *logline)
{
	bool		isnull;

	if (before != NULL && after != NULL &&
		compareJsonbContainers(&before->root, &after->root) == 0)
		return false;
	jit_query("SELECT jsonb_build_object($1, $2, 'before', $3, 'after', $4)",
			  "ttjj", key, name, before, after);
	jit_event(event, 0, DatumGetJsonbPCopy(jit_result(1, 1, &isnull)), logline);
	return true;
}

/* The next DELETE on jit.events is one of request/archive.c. */
static bool may_go = false;

void
jit_let_events_go(void)
{
	may_go = true;
}

/* It hasn't come to that. */
void
jit_keep_events(void)
{
	may_go = false;
}

/*
 * Trigger on jit.events: an audit trail is only written to, and archived, which
 * is one statement each time: nothing that SQL could set lets another one pass.
 */
Datum
jit_refuse_change(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "jit.refuse_change() was not called by the trigger manager");

	if (may_go && TRIGGER_FIRED_BY_DELETE(((TriggerData *) fcinfo->context)->tg_event))
	{
		may_go = false;
		return PointerGetDatum(NULL);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("table jit.events is append-only"),
			 errhint("To keep less of it, use jit_archive().")));
}
