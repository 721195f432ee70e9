/*-------------------------------------------------------------------------
 *
 * feed.c
 *		jit_events_after(): events for a program that wants each of them once.
 *
 * Events are numbered in the order of commits, without gaps, under a lock that
 * is held to the end of the commit (event.c): whoever sees one can see all
 * before it.  So the last number that there is is looked for first, and
 * nothing that comes later is handed out.
 *
 * A mark says of which origin it is, which event it stands for, which was the
 * last one then, and has a digest of the event.  A reader keeps nothing else:
 *
 *	reader dies						it asks again from the last mark it kept
 *	crash of the server				what could be read is durable (event.c)
 *	restore, copy of the database	another origin: the mark is refused
 *	failover or restore in place	the event isn't there, or another one bears
 *	that lost some					its number: the mark is refused
 *	jit_archive() of events that	the mark is refused: by its own event, or by a
 *	weren't read					gap after it and an archive since then
 *	nothing has come since			no rows; the reader keeps its mark
 *
 * Wakening is NOTIFY's business.  It comes after the commit, so what it tells
 * of can be read then.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/person.h"
#include "base/query.h"
#include "base/text.h"

#include "common/hashfn.h"
#include "funcapi.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(jit_events_after);

#define MOST_EVENTS 10000

typedef struct Mark
{
	char		origin[48];
	int64		id;
	int64		last;			/* event when it was handed out */
	uint64		digest;
} Mark;

#define EVENT_COLUMNS "id, at, event, request_id, login, role, via, client_addr, detail, detail::text"

/* Digest of an event; a row of the last jit_query(), with EVENT_COLUMNS. */
static uint64
event_digest(int row)
{
	const char *login = jit_result_text(row, 5);
	const char *role = jit_result_text(row, 6);
	char	   *text = psprintf(INT64_FORMAT "|%s|%d|%s|%s|%s", jit_result_time(row, 2),
								jit_result_text(row, 3), jit_result_int(row, 4),
								login ? login : "", role ? role : "",
								jit_result_text(row, 10));

	return DatumGetUInt64(hash_any_extended((const unsigned char *) text, strlen(text), 0));
}

static void
parse_mark(const char *text, Mark *mark)
{
	int			end = 0;

	if (sscanf(text, "%47[0-9/]:" INT64_FORMAT ":" INT64_FORMAT ":" UINT64_FORMAT "%n",
			   mark->origin, &mark->id, &mark->last, &mark->digest, &end) != 4 ||
		text[end] != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("this is not a mark of jit_events_after(): %s", jit_shown(text)),
				 errhint("Give the mark of the last event that was read, or nothing to begin with the oldest.")));
}

static void
refuse_mark(const Mark *mark, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("events of %s cannot be continued after this mark", quote_identifier(jit_database_name())),
			 errdetail("It stands for event " INT64_FORMAT ": %s", mark->id, why),
			 errhint("Begin anew with SELECT * FROM jit_events_after(), which has all that there are.")));
}

/*
 * Raise unless what comes after the mark is all that has come since.  "last" is
 * the last event now.  Inside an owner section.
 */
static void
check_mark(const Mark *mark, int64 last)
{
	if (strcmp(mark->origin, jit_origin()) != 0)
		refuse_mark(mark, _("of another database, or of this one before it was restored or copied."));
	if (mark->id > last)
		refuse_mark(mark, _("which has been lost, by failover or restore."));
	if (jit_query("SELECT " EVENT_COLUMNS " FROM jit.events WHERE origin = $1 AND id = $2",
				  "tl", mark->origin, mark->id) == 0)
		refuse_mark(mark, _("which has been archived."));
	if (event_digest(1) != mark->digest)
		refuse_mark(mark, _("which has been lost, by failover or restore; another one has its number."));
	if (jit_query("SELECT FROM jit.events WHERE origin = $1 AND id > $2 AND id <= $3 AND event = 'archived' LIMIT 1",
				  "tll", mark->origin, mark->last, last) > 0)
	{
		jit_query("SELECT count(*) FROM jit.events WHERE origin = $1 AND id > $2 AND id <= $3",
				  "tll", mark->origin, mark->id, last);
		if (jit_result_int64(1, 1) < last - mark->id)
			refuse_mark(mark, _("some that came after it have been archived since."));
	}
}

/* jit_events_after(after, n) */
Datum
jit_events_after(PG_FUNCTION_ARGS)
{
	char	   *after = jit_text_argument(fcinfo, 0, "after");
	ReturnSetInfo *rsinfo;
	JitOwnerSection section;
	JitPerson	person;
	Mark		mark = {.id = 0};
	int64		last = 0;
	bool		bare;
	int			limit;
	int			n;

	jit_current_person(&person);
	bare = jit_is_bare_gateway(&person);
	if (GetUserId() != GetOuterUserId() || !(bare || jit_person_audits(&person)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to read events"),
				 OidIsValid(person.gateway) ?
				 errdetail("This transaction acts for somebody.") :
				 errdetail("Only JIT administrators, auditors and gateways may.")));
	if (PG_ARGISNULL(1))
		jit_refuse_null("n");
	limit = PG_GETARG_INT32(1);
	if (limit < 1 || limit > MOST_EVENTS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("n must be between 1 and %d", MOST_EVENTS)));
	if (after != NULL)
		parse_mark(after, &mark);

	InitMaterializedSRF(fcinfo, 0);
	rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	(void) jit_open_ledger();
	jit_enter_owner_section(&section);
	if (jit_query("SELECT id FROM jit.events WHERE origin = $1 ORDER BY id DESC LIMIT 1",
				  "t", jit_origin()) > 0)
		last = jit_result_int64(1, 1);
	if (after != NULL)
		check_mark(&mark, last);
	n = jit_query("SELECT " EVENT_COLUMNS " FROM jit.events"
				  " WHERE origin = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4",
				  "tlli", jit_origin(), mark.id, last, limit);
	for (int i = 1; i <= n; i++)
	{
		Datum		values[10];
		bool		nulls[10] = {0};
		int			column = 1;

		values[0] = CStringGetTextDatum(psprintf("%s:" INT64_FORMAT ":" INT64_FORMAT ":" UINT64_FORMAT,
												 jit_origin(), jit_result_int64(i, 1),
												 last, event_digest(i)));
		/* which is all that concerns a gateway, which tells of it */
		for (; column <= (bare ? 4 : 9); column++)
			values[column] = jit_result(i, column, &nulls[column]);
		for (; column <= 9; column++)
			nulls[column] = true;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	jit_leave_owner_section(&section);
	return (Datum) 0;
}
