/*-------------------------------------------------------------------------
 *
 * archive.c
 *		jit_archive(): hands out what the ledger has of the past, and removes
 *		it.
 *
 * A request goes whole: its row, items, reviews, grant and events are one line,
 * and one statement removes what it hands out.  An event about no request that
 * is there is a line of its own.
 *
 *	pending, active					stays
 *	ended, but its grant role is	stays: by the row a sweeper knows the role
 *	there, or not settled			for ours
 *	ended, and live access			stays, so that it can be seen since when
 *	continues it					there has been access
 *	the last event is about it, or	stays, as that does: events are numbered on
 *	one that came since we began	from the last one that is there
 *	somebody has its row locked		is left for the next time, as nothing waits
 *									for who archives, either
 *	came by restore or as a copy	as any other: once it has ended, it is for
 *									reading only
 *
 * All of it is part of the caller's transaction, and the event, with a digest
 * of what was handed out, is written by its commit:
 *
 *	abort, crash before the commit	nothing has happened
 *	two at once						neither gets what the other one has locked
 *	again in one transaction		refused, as is anything before that has an
 *									event: that is yet to be written, and would
 *									be left behind
 *
 * What is handed out is kept once, in a tuplestore, which goes to disk.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/commit.h"
#include "base/lock.h"
#include "base/person.h"
#include "base/query.h"
#include "base/text.h"
#include "request/event.h"
#include "request/facts.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "funcapi.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(jit_archive);

#define BATCH_SIZE "500"

typedef struct Archive
{
	ReturnSetInfo *rsinfo;
	TimestampTz before;
	pg_cryptohash_ctx *digest;

	/* the last event, which stays; 0 for none */
	int64		last_event;

	/* where the next batch begins */
	int			request;
	char	   *origin;
	int64		event;

	/* what has been removed */
	int64		requests;
	int64		items;
	int64		reviews;
	int64		grants;
	int64		events;
	bool		recent;			/* one of these grants counts in a fact */
} Archive;

static void
digest_bytes(Archive *archive, const char *bytes, size_t length)
{
	if (pg_cryptohash_update(archive->digest, (const uint8 *) bytes, length) < 0)
		elog(ERROR, "could not update the digest: %s",
			 pg_cryptohash_error(archive->digest));
}

/* The first column of a row of the last jit_query() is a line. */
static void
hand_out(Archive *archive, int row)
{
	bool		isnull;
	Datum		line = jit_result(row, 1, &isnull);
	text	   *json = DatumGetTextPP(line);

	digest_bytes(archive, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json));
	digest_bytes(archive, "\n", 1);
	tuplestore_putvalues(archive->rsinfo->setResult, archive->rsinfo->setDesc, &line, &isnull);
}

/* The event after which the next one is numbered. */
static void
find_last_event(Archive *archive)
{
	if (jit_query("SELECT id FROM jit.events WHERE origin = $1 ORDER BY id DESC LIMIT 1",
				  "t", jit_origin()) > 0)
		archive->last_event = jit_result_int64(1, 1);
}

/*
 * Lock the next requests that can go; *ids and *origins are theirs.  Once
 * ended and settled, a request stays so.
 */
static int
lock_requests(Archive *archive, Datum *ids, Datum *origins)
{
	bool		isnull;
	int			n;

	n = jit_query("WITH live AS MATERIALIZED"
				  "  (SELECT grantee_oid, granted_at, objids FROM jit.grants WHERE ended_at IS NULL)"
				  " SELECT r.id, r.origin FROM jit.requests r LEFT JOIN jit.grants g ON g.request_id = r.id"
				  " WHERE r.id > $1 AND r.status NOT IN ('pending', 'scheduled', 'active') AND r.ended_at < $2"
	/* what keeps somebody from breaking the glass again stays */
				  "  AND NOT (r.emergency AND r.verdict IS DISTINCT FROM 'justified')"
				  "  AND r.id <> ALL (ARRAY(SELECT e.request_id FROM jit.events e"
				  "   WHERE e.origin = $5 AND e.id >= $3 AND e.request_id IS NOT NULL))"
				  "  AND (g.request_id IS NULL OR g.ended_at IS NOT NULL"
				  "   AND NOT EXISTS (SELECT FROM pg_authid a WHERE a.oid = CASE WHEN starts_with(r.origin, $4) THEN g.role_oid END)"
				  "   AND NOT EXISTS (SELECT FROM live l WHERE l.grantee_oid = g.grantee_oid"
				  "    AND l.granted_at <= r.ended_at AND l.objids && g.objids))"
				  " ORDER BY r.id LIMIT " BATCH_SIZE " FOR UPDATE OF r SKIP LOCKED",
				  "izltt", archive->request, archive->before,
				  archive->last_event, jit_cluster_origin(), jit_origin());
	if (n > 0)
	{
		Datum	   *elements = palloc(n * sizeof(Datum));

		for (int i = 0; i < n; i++)
			elements[i] = jit_result(i + 1, 1, &isnull);
		archive->request = DatumGetInt32(elements[n - 1]);
		*ids = jit_int4_array(elements, n);
		for (int i = 0; i < n; i++)
			elements[i] = jit_result(i + 1, 2, &isnull);
		*origins = PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
	}
	return n;
}

/*
 * Events about a request are those of where it was filed and of here: a table
 * that collects those of several servers has others with that number.
 */
static bool
archive_requests(Archive *archive)
{
	Datum		ids = 0;
	Datum		origins = 0;
	int			n = lock_requests(archive, &ids, &origins);

	if (n == 0)
		return false;
	jit_let_events_go();
	if (jit_query("WITH r AS (DELETE FROM jit.requests WHERE id = ANY ($1) RETURNING *),"
				  " i AS (DELETE FROM jit.request_items WHERE request_id = ANY ($1) RETURNING *),"
				  " v AS (DELETE FROM jit.reviews WHERE request_id = ANY ($1) RETURNING *),"
				  " g AS (DELETE FROM jit.grants WHERE request_id = ANY ($1) RETURNING *),"
				  " e AS (DELETE FROM jit.events e USING unnest($1, $2) q (id, origin)"
				  "  WHERE e.request_id = q.id AND e.origin IN (q.origin, $3) RETURNING e.*)"
				  " SELECT json_build_object('request', row_to_json(r), 'items', coalesce(to_json(i.rows), '[]'),"
				  "   'reviews', coalesce(to_json(v.rows), '[]'), 'grant', row_to_json(g),"
				  "   'events', coalesce(to_json(e.rows), '[]')),"
				  "  i.n, v.n, g.request_id, e.n, g.granted_at > $4 - make_interval(days => $5)"
				  " FROM r LEFT JOIN g ON g.request_id = r.id"
				  " LEFT JOIN (SELECT request_id, count(*) AS n, array_agg(i ORDER BY item) AS rows"
				  "  FROM i GROUP BY request_id) i ON i.request_id = r.id"
				  " LEFT JOIN (SELECT request_id, count(*) AS n, array_agg(v ORDER BY review) AS rows"
				  "  FROM v GROUP BY request_id) v ON v.request_id = r.id"
				  " LEFT JOIN (SELECT request_id, count(*) AS n, array_agg(e ORDER BY at, origin, id) AS rows"
				  "  FROM e GROUP BY request_id) e ON e.request_id = r.id"
				  " ORDER BY r.id",
				  "ITtzi", ids, origins, jit_origin(), jit_now(), JIT_RECENT_DAYS) != n)
		elog(ERROR, "requests have vanished while they were archived");
	for (int i = 1; i <= n; i++)
	{
		hand_out(archive, i);
		archive->items += jit_result_int64(i, 2);
		archive->reviews += jit_result_int64(i, 3);
		archive->grants += jit_result_int(i, 4) != 0;
		archive->events += jit_result_int64(i, 5);
		archive->recent |= jit_result_bool(i, 6);
	}
	archive->requests += n;
	return true;
}

static bool
archive_events(Archive *archive)
{
	int			n;

	jit_let_events_go();
	n = jit_query("WITH gone AS (SELECT e.ctid FROM jit.events e"
				  "  WHERE (e.origin, e.id) > ($1, $2) AND e.at < $3 AND NOT (e.origin = $4 AND e.id >= $5)"
				  "   AND NOT EXISTS (SELECT FROM jit.requests r WHERE r.id = e.request_id AND e.origin IN (r.origin, $4))"
				  "  ORDER BY e.origin, e.id LIMIT " BATCH_SIZE " FOR UPDATE OF e SKIP LOCKED),"
				  " e AS (DELETE FROM jit.events WHERE ctid = ANY (ARRAY(SELECT ctid FROM gone)) RETURNING *)"
				  " SELECT json_build_object('event', row_to_json(e)), origin, id FROM e ORDER BY origin, id",
				  "tlztl", archive->origin, archive->event, archive->before,
				  jit_origin(), archive->last_event);
	for (int i = 1; i <= n; i++)
		hand_out(archive, i);
	if (n > 0)
	{
		archive->origin = jit_result_text(n, 2);
		archive->event = jit_result_int64(n, 3);
	}
	archive->events += n;
	return n > 0;
}

/* Batches, each in a section of its own, which its result goes with. */
static void
archive_all(Archive *archive, bool (*batch) (Archive *archive))
{
	MemoryContext context = CurrentMemoryContext;
	bool		more = true;

	while (more)
	{
		JitOwnerSection section;

		CHECK_FOR_INTERRUPTS();
		jit_enter_owner_section(&section);
		jit_set_locally("lock_timeout", JIT_LONGEST_WAIT_TEXT);
		/* what has been removed is still in the way of a scan of all of it */
		jit_set_locally("enable_seqscan", "off");
		PG_TRY();
		{
			more = batch(archive);
		}
		PG_CATCH();
		{
			jit_keep_events();
			jit_rethrow_locked(context, psprintf(_("the ledger of %s"), quote_identifier(jit_database_name())));
		}
		PG_END_TRY();
		/* without the trigger nobody has asked */
		jit_keep_events();
		jit_leave_owner_section(&section);
	}
}

/* The digest, in hexadecimal digits. */
static char *
finish_digest(Archive *archive)
{
	uint8		bytes[PG_SHA256_DIGEST_LENGTH];
	char	   *hex = palloc0(2 * sizeof(bytes) + 1);

	if (pg_cryptohash_final(archive->digest, bytes, sizeof(bytes)) < 0)
		elog(ERROR, "could not finish the digest: %s",
			 pg_cryptohash_error(archive->digest));
	pg_cryptohash_free(archive->digest);
	(void) hex_encode((const char *) bytes, sizeof(bytes), hex);
	return hex;
}

/*
 * Record it, and see to it that the sequence gives none of the numbers again,
 * where it is behind them, as after a logical cut-over.
 */
static void
record_archive(Archive *archive, const char *sha256)
{
	JitOwnerSection section;
	bool		isnull;

	jit_enter_owner_section(&section);
	jit_query("SELECT setval('jit.request_number', $1) FROM jit.request_number"
			  " WHERE last_value < $1 OR last_value = $1 AND NOT is_called",
			  "i", archive->request);
	jit_query("SELECT jsonb_build_object('before', $1, 'requests', $2, 'items', $3, 'reviews', $4,"
			  " 'grants', $5, 'events', $6, 'sha256', $7)",
			  "zlllllt", archive->before, archive->requests, archive->items,
			  archive->reviews, archive->grants, archive->events, sha256);
	jit_event("archived", 0, DatumGetJsonbPCopy(jit_result(1, 1, &isnull)),
			  psprintf(INT64_FORMAT " requests and " INT64_FORMAT " events of %s from before %s archived by %s, with SHA-256 %s",
					   archive->requests, archive->events,
					   quote_identifier(jit_database_name()),
					   jit_timestamp_text(archive->before),
					   quote_identifier(jit_role_name(GetUserId())), sha256));
	jit_leave_owner_section(&section);
}

/* jit_archive(before) */
Datum
jit_archive(PG_FUNCTION_ARGS)
{
	Archive		archive = {.origin = ""};
	JitOwnerSection section;
	char	   *sha256;

	jit_require_administrator(fcinfo, gettext_noop("permission denied to archive requests"));
	if (PG_ARGISNULL(0))
		jit_refuse_null("before");
	/* nothing has ended later, or for ever */
	archive.before = Min(PG_GETARG_TIMESTAMPTZ(0), jit_now());
	if (jit_commit_notes(JIT_COMMIT_RECORD) != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("jit_archive() must come before anything else that this transaction records"),
				 errdetail("Events are written by the commit; those of what is archived have to be there."),
				 errhint("COMMIT, and call it in another transaction.")));

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	archive.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	archive.digest = pg_cryptohash_create(PG_SHA256);
	if (archive.digest == NULL || pg_cryptohash_init(archive.digest) < 0)
		elog(ERROR, "could not begin a digest");

	jit_enter_owner_section(&section);
	find_last_event(&archive);
	jit_leave_owner_section(&section);
	archive_all(&archive, archive_requests);
	archive_all(&archive, archive_events);
	sha256 = finish_digest(&archive);

	if (archive.requests == 0 && archive.events == 0)
	{
		ereport(NOTICE,
				(errmsg("there is nothing to archive in %s from before %s",
						quote_identifier(jit_database_name()),
						jit_timestamp_text(archive.before))));
		return (Datum) 0;
	}
	record_archive(&archive, sha256);
	ereport(NOTICE,
			(errmsg(INT64_FORMAT " requests and " INT64_FORMAT " events of %s from before %s are archived",
					archive.requests, archive.events,
					quote_identifier(jit_database_name()),
					jit_timestamp_text(archive.before)),
			 errdetail("The SHA-256 of the lines is %s.", sha256),
			 IsTransactionBlock() ?
			 errhint("COMMIT when sha256sum says the same of the file; a ROLLBACK leaves everything there.") : 0));
	if (archive.recent)
		ereport(WARNING,
				(errmsg("access of the last %d days is archived, too", JIT_RECENT_DAYS),
				 errdetail("Policies that look at recent_grants do not count it any more.")));
	return (Datum) 0;
}
