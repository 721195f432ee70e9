/*-------------------------------------------------------------------------
 *
 * request.c
 *		Life of a request: the SQL functions.
 *
 *	pending -> active -> expired | revoked
 *	pending -> rejected | canceled | lapsed
 *
 * Every function works in the same order: check the caller and the arguments
 * as the caller, lock the row, check the state again under the lock, then
 * change state, roles and privileges, and record the event.  All of it is
 * one transaction (the caller's), so:
 *
 *	abort, crash before commit	nothing happened
 *	commit						state, roles, event and NOTIFY are there at once
 *	crash after commit			the roles carry their deadline; the launcher
 *								finds them when the server is up again
 *	two calls on one request	the second waits for the row, then gets the
 *								state error
 *	PREPARE TRANSACTION			refused by event.c
 *
 * The row is locked only for callers who may change it: a lock held open by
 * somebody who may not would keep everybody else from deciding.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/due.h"
#include "base/guc.h"
#include "base/item.h"
#include "base/person.h"
#include "base/query.h"
#include "base/roles.h"
#include "base/text.h"
#include "request/access.h"
#include "request/approver.h"
#include "request/event.h"
#include "request/flow.h"
#include "request/grant.h"
#include "request/ledger.h"
#include "request/policy.h"
#include "request/request.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/catalog.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_collation.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(jit_request);
PG_FUNCTION_INFO_V1(jit_approve);
PG_FUNCTION_INFO_V1(jit_reject);
PG_FUNCTION_INFO_V1(jit_cancel);
PG_FUNCTION_INFO_V1(jit_revoke);
PG_FUNCTION_INFO_V1(jit_revoke_from);
PG_FUNCTION_INFO_V1(jit_revoke_all);
PG_FUNCTION_INFO_V1(jit_grant);
PG_FUNCTION_INFO_V1(jit_concerns_me);
PG_FUNCTION_INFO_V1(jit_access_to_approve);
PG_FUNCTION_INFO_V1(jit_progress);
PG_FUNCTION_INFO_V1(jit_watch_request);

/* How long jit_revoke() waits for whoever is changing the request. */
#define LONGEST_WAIT "2s"

/* What jit_load_request() and load_reviews() read, in this order. */
#define REQUEST_COLUMNS \
	"id, status::text, requester, requester_oid, login, login_oid," \
	" grantee, grantee_oid, access, reason, ticket, duration, until," \
	" lapses_at, expires_at, flow, risk::text, needs_superuser, origin"

/* ----------------------------------------------------------------------
 * Arguments
 * ----------------------------------------------------------------------
 */

static void
prevent_on_standby(FunctionCallInfo fcinfo, const char *what)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("access cannot be %s on a standby server", what),
				 errhint("Run it on the primary server; what it does reaches this server when it is replayed.")));
	jit_prevent_if_not_here(fcinfo);
	(void) jit_open_ledger();
}

static int
request_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("request must not be null"),
				 errhint("Give the number of a request; see jit.inbox and jit.my_requests.")));
	return PG_GETARG_INT32(0);
}

/* "request 17 in hr_prod" */
static char *
request_text(int id)
{
	return psprintf(_("request %d in %s"), id,
					quote_identifier(jit_database_name()));
}

/*
 * The role that is to get access.  Raises if it can't.
 */
static Oid
check_grantee(const char *grantee)
{
	Oid			oid;

	if (strcmp(grantee, "public") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_GRANT_OPERATION),
				 errmsg("temporary access cannot be given to PUBLIC"),
				 errhint("Name a role.")));
	oid = get_role_oid(grantee, false);
	if (jit_role_kind(grantee) != JIT_ROLE_ORDINARY || IsReservedName(grantee) ||
		strncmp(grantee, JIT_ROLE_PREFIX, strlen(JIT_ROLE_PREFIX)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("temporary access cannot be given to role %s",
						quote_identifier(grantee)),
				 errdetail("Roles whose names start with \"pg_\" or \"jit_\" are reserved.")));
	if (superuser_arg(oid))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_GRANT_OPERATION),
				 errmsg("role %s is a superuser and has all access anyway",
						quote_identifier(grantee))));
	return oid;
}

/* ----------------------------------------------------------------------
 * Rows
 * ----------------------------------------------------------------------
 */

/*
 * OID of a role of a row: as stored if the row is of this cluster and the
 * role is still there, else by name for a row from elsewhere.
 */
static Oid
row_role(bool cluster, Oid oid, const char *name)
{
	if (!cluster)
		return get_role_oid(name, true);
	return SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(oid)) ? oid : InvalidOid;
}

static Oid
result_oid(int row, int column)
{
	bool		isnull;

	return DatumGetObjectId(jit_result(row, column, &isnull));
}

static TimestampTz
result_time(int row, int column)
{
	bool		isnull;
	Datum		value = jit_result(row, column, &isnull);

	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

static Interval *
result_interval(int row, int column)
{
	bool		isnull;
	Datum		value = jit_result(row, column, &isnull);
	Interval   *copy;

	if (isnull)
		return NULL;
	copy = palloc(sizeof(Interval));
	memcpy(copy, DatumGetIntervalP(value), sizeof(Interval));
	return copy;
}

/*
 * Read a request and its approvals, not its items; with "lock", under a row
 * lock until the end of the transaction.  Raises if there is none.  The
 * result is in the caller's memory context.
 */
JitRequest *
jit_load_request(int id, bool lock)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi_context;
	JitOwnerSection section;
	JitRequest *request = palloc0(sizeof(JitRequest));
	bool		isnull;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query(lock ?
				  "SELECT " REQUEST_COLUMNS " FROM jit.requests WHERE id = $1 FOR UPDATE" :
				  "SELECT " REQUEST_COLUMNS " FROM jit.requests WHERE id = $1",
				  1, INT4OID, Int32GetDatum(id), false);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("request %d does not exist in %s", id,
						quote_identifier(jit_database_name())),
				 errhint("See jit.inbox and jit.my_requests; requests are numbered per database.")));

	spi_context = MemoryContextSwitchTo(context);
	request->id = id;
	request->status = jit_result_text(1, 2);
	request->requester_name = jit_result_text(1, 3);
	request->login_name = jit_result_text(1, 5);
	request->grantee_name = jit_result_text(1, 7);
	request->access = jit_result_text(1, 9);
	request->reason = jit_result_text(1, 10);
	request->ticket = jit_result_text(1, 11);
	request->duration = result_interval(1, 12);
	request->until = result_time(1, 13);
	request->lapses_at = result_time(1, 14);
	request->expires_at = result_time(1, 15);
	request->flow = DatumGetJsonbPCopy(jit_result(1, 16, &isnull));
	request->risk = jit_result_text(1, 17);
	request->needs_superuser = DatumGetBool(jit_result(1, 18, &isnull));
	request->origin = jit_result_text(1, 19);
	request->here = strcmp(request->origin, jit_origin()) == 0;
	request->cluster = jit_is_of_cluster(request->origin);
	request->requester = row_role(request->cluster, result_oid(1, 4), request->requester_name);
	request->login = row_role(request->cluster, result_oid(1, 6), request->login_name);
	request->grantee = row_role(request->cluster, result_oid(1, 8), request->grantee_name);
	MemoryContextSwitchTo(spi_context);

	n = jit_query("SELECT step, approver, approver_oid, login, login_oid, by_superuser, duration"
				  " FROM jit.reviews WHERE request_id = $1 AND verdict = 'approve' ORDER BY review",
				  1, INT4OID, Int32GetDatum(id), false);
	MemoryContextSwitchTo(context);
	for (int i = 1; i <= n; i++)
	{
		JitReview  *review = palloc0(sizeof(JitReview));

		review->step = DatumGetInt32(jit_result(i, 1, &isnull));
		review->approver_name = jit_result_text(i, 2);
		review->approver = row_role(request->cluster, result_oid(i, 3), review->approver_name);
		review->login_name = jit_result_text(i, 4);
		review->login = row_role(request->cluster, result_oid(i, 5), review->login_name);
		review->by_superuser = DatumGetBool(jit_result(i, 6, &isnull));
		review->duration = result_interval(i, 7);
		request->reviews = lappend(request->reviews, review);
	}
	MemoryContextSwitchTo(spi_context);
	jit_leave_owner_section(&section);
	return request;
}

/*
 * Load the items: by OID here, by name after a restore.  What is dropped is
 * an error, or, to end a request that was for it, too, left out.
 */
static void
load_items(JitRequest *request, bool missing_ok)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi_context;
	JitOwnerSection section;
	ListCell   *lc;

	if (request->items != NIL)
		return;
	jit_enter_owner_section(&section);
	spi_context = MemoryContextSwitchTo(context);
	request->items = jit_load_items(request->id, !request->here, missing_ok);
	MemoryContextSwitchTo(spi_context);
	jit_leave_owner_section(&section);

	/* what a role holds may have grown since it was filed */
	foreach(lc, request->items)
		request->needs_superuser |= jit_item_needs_superuser(lfirst(lc), &request->elsewhere) != NULL;
}

/*
 * Raise unless the request is in the state, as of now: a pending request
 * past lapses_at has lapsed and an active one past its deadline has expired,
 * whatever the sweeper has got round to.
 */
static void
require_status(const JitRequest *request, const char *status)
{
	const char *is = request->status;

	if (strcmp(is, "pending") == 0 && request->lapses_at <= jit_now())
		is = "lapsed";
	if (strcmp(is, "active") == 0)
	{
		Oid			role = get_role_oid(jit_grant_role_name(request->id), true);
		TimestampTz deadline = DT_NOBEGIN;

		if (OidIsValid(role) && request->here)
			deadline = jit_role_deadline(role);
		/* one that was taken away denies, but there is a role to revoke */
		if (deadline == DT_NOBEGIN)
			deadline = request->expires_at;
		if (deadline <= jit_now())
			is = "expired";
	}
	if (strcmp(is, status) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is %s, not %s", request_text(request->id), _(is), _(status)),
				 strcmp(is, "pending") == 0 ?
				 errhint("A pending request is ended with jit_cancel() or jit_reject().") :
				 strcmp(is, "active") == 0 ?
				 errhint("Active access is ended with jit_revoke().") :
				 errhint("Ask anew with jit_request().")));
}

/*
 * Set the final state of a request and record it.  Called in any user
 * context, under the row lock; the caller has checked the state.
 */
void
jit_finish_request(int id, const char *status, TimestampTz ended_at,
				   const char *logline, Jsonb *detail)
{
	JitOwnerSection section;

	jit_enter_owner_section(&section);
	jit_query("UPDATE jit.requests SET status = $2::jit.request_status,"
			  " decided_at = coalesce(decided_at, $3), ended_at = $3 WHERE id = $1",
			  3,
			  INT4OID, Int32GetDatum(id), false,
			  TEXTOID, CStringGetTextDatum(status), false,
			  TIMESTAMPTZOID, TimestampTzGetDatum(ended_at), false);
	jit_event(status, id, detail, logline);
	jit_leave_owner_section(&section);
}

/* ----------------------------------------------------------------------
 * Filing
 * ----------------------------------------------------------------------
 */

/*
 * Check everything about a request that is to be filed and resolve what it
 * is for; files nothing.  until is DT_NOEND and duration NULL where not
 * given.  "direct" says that it is for jit_grant().  *usecs is how long it is
 * for from now.  Runs as the caller; raises for whatever is wrong.
 */
JitRequest *
jit_prepare_request(const char *access, Interval *duration,
					const char *reason, TimestampTz until,
					const char *ticket, const char *grantee,
					bool direct, int64 *usecs)
{
	JitRequest *request = palloc0(sizeof(JitRequest));
	TimestampTz now = jit_now();
	JitPerson	person;
	ListCell   *lc;
	bool		held = true;

	(void) jit_open_ledger();
	jit_current_person(&person);
	request->requester = person.role;
	request->login = person.login;
	request->requester_name = jit_role_name(person.role);
	request->login_name = jit_role_name(person.login);
	request->grantee_name = grantee ? pstrdup(grantee) : request->requester_name;
	request->grantee = check_grantee(request->grantee_name);
	request->reason = reason ? pstrdup(reason) : NULL;
	request->ticket = ticket ? pstrdup(ticket) : NULL;
	request->duration = duration;
	request->until = until;
	request->expires_at = DT_NOEND;
	request->status = pstrdup("pending");
	request->origin = pstrdup(jit_origin());
	request->here = request->cluster = true;
	request->direct = direct;

	if (!direct && request->grantee != person.role &&
		!jit_is_member(person.role, request->grantee, JIT_FILTER_STANDING) &&
		!jit_caller_administers(&person))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("you cannot request access for role %s",
						quote_identifier(request->grantee_name)),
				 errdetail("Role %s is not a member of it, and no JIT administrator.",
						   quote_identifier(request->requester_name))));

	if (duration == NULL && until == DT_NOEND)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("how long the access is for is missing"),
				 errhint("Give a duration such as '1 hour', or until => a point in time.")));
	if (duration != NULL && until != DT_NOEND)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("duration and until cannot both be given")));
	if (duration != NULL)
		*usecs = jit_interval_usecs(duration, "duration");
	else
	{
		if (TIMESTAMP_NOT_FINITE(until))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("until must not be infinite")));
		if (until <= now)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("until is in the past"),
					 errdetail("It is %s now.", jit_timestamp_text(now))));
		*usecs = until - now;
	}
	if (*usecs > (int64) jit_max_duration * USECS_PER_SEC)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("access cannot be requested for so long"),
				 errdetail("jit_access.max_duration is %s.",
						   jit_usecs_text((int64) jit_max_duration * USECS_PER_SEC))));

	request->items = jit_parse_access(access);
	foreach(lc, request->items)
	{
		JitItem    *item = lfirst(lc);

		jit_check_item_requestable(item);
		if (item->objtype != OBJECT_ROLE)
		{
			if (!jit_role_inherits(request->grantee))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_GRANT_OPERATION),
						 errmsg("role %s cannot be given access to objects",
								quote_identifier(request->grantee_name)),
						 errdetail("It is NOINHERIT, so privileges of a role that it is a member of do not reach it."),
						 errhint("Request a role, to be used with SET ROLE, or ALTER ROLE %s INHERIT.",
								 quote_identifier(request->grantee_name))));
		}
		else if (item->address.objectId == request->grantee ||
				 jit_is_member(item->address.objectId, request->grantee,
							   JIT_FILTER_NONE))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_GRANT_OPERATION),
					 errmsg("role %s cannot be made a member of role %s",
							quote_identifier(request->grantee_name),
							quote_identifier(jit_role_name(item->address.objectId))),
					 item->address.objectId == request->grantee ?
					 errdetail("It is the same role.") :
					 errdetail("Role %s is a member of role %s.",
							   quote_identifier(jit_role_name(item->address.objectId)),
							   quote_identifier(request->grantee_name))));
		if (jit_item_needs_superuser(item, &request->elsewhere) != NULL)
			request->needs_superuser = true;
		/* access that ends at that very time is as good */
		if (held && !jit_item_held(item, request->grantee, JIT_FILTER_LIVE,
								   now + *usecs - 1))
			held = false;
	}
	if (held)
	{
		JitItem    *item = linitial(request->items);
		char	   *source = jit_item_source(item, request->grantee);
		char	   *detail = NULL;
		Oid			database;
		int			id;

		if (source != NULL && jit_parse_grant_name(source, &database, &id))
			detail = psprintf(_("%s comes through request %d until %s."),
							  jit_item_text(item), id,
							  jit_timestamp_text(jit_role_deadline(get_role_oid(source, false))));
		else if (source != NULL && strcmp(source, "public") == 0)
			detail = psprintf(_("%s is granted to PUBLIC."), jit_item_text(item));
		else if (source != NULL)
			detail = psprintf(_("%s comes through role %s."),
							  jit_item_text(item), quote_identifier(source));
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("%s already has this access",
						quote_identifier(request->grantee_name)),
				 detail ? errdetail_internal("%s", detail) : 0));
	}
	request->access = jit_items_text(request->items, false);
	request->items = jit_add_schema_usage(request->items, request->grantee);
	return request;
}

/* Does the text match the pattern that its risk asks for? */
static void
check_pattern(const char *value, const char *pattern, const char *name,
			  JitRisk risk)
{
	if (pattern == NULL)
		return;
	if (value != NULL &&
		DatumGetBool(DirectFunctionCall2Coll(textregexeq, C_COLLATION_OID,
											 CStringGetTextDatum(value),
											 CStringGetTextDatum(pattern))))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 value != NULL ?
			 errmsg("%s \"%s\" is not what a request of %s risk needs", name,
					value, jit_risk_name(risk)) :
			 errmsg("a request of %s risk needs a %s", jit_risk_name(risk),
					name),
			 errdetail("It must match the pattern \"%s\".", pattern)));
}

/* Hold a request against what its policies and its flow say. */
static void
check_decision(const JitRequest *request, const JitDecision *decision,
			   int64 usecs)
{
	if (decision->forbidden_by != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("policy %s forbids this request",
						quote_identifier(decision->forbidden_by)),
				 decision->forbidden_why ?
				 errdetail_internal("%s", decision->forbidden_why) : 0,
				 errhint("See what it matched with SELECT jit_explain(...) and the same arguments.")));
	if (usecs > decision->max_duration)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("access of %s risk cannot be requested for so long",
						jit_risk_name(decision->risk)),
				 errdetail("At most %s is allowed.",
						   jit_usecs_text(decision->max_duration))));
	check_pattern(request->reason, decision->reason_pattern, "reason",
				  decision->risk);
	check_pattern(request->ticket, decision->ticket_pattern, "ticket",
				  decision->risk);
}

/* Number of pending requests of the person, as max_pending counts them. */
static int
count_pending(const JitRequest *request)
{
	bool		proxy = jit_is_proxy_login(request->login);
	bool		isnull;

	jit_query("SELECT count(*)::int FROM jit.requests WHERE status = 'pending'"
			  " AND lapses_at > clock_timestamp() AND origin = $1"
			  " AND CASE WHEN $2 THEN requester_oid ELSE login_oid END = $3",
			  3,
			  TEXTOID, CStringGetTextDatum(jit_origin()), false,
			  BOOLOID, BoolGetDatum(proxy), false,
			  OIDOID, ObjectIdGetDatum(proxy ? request->requester : request->login), false);
	return DatumGetInt32(jit_result(1, 1, &isnull));
}

/*
 * The live access of the same grantee to some of the same objects that ends
 * last, as "; it continues request 17, which ends at ...", or "".
 */
static char *
continuation_text(const JitRequest *request)
{
	MemoryContext context = CurrentMemoryContext;
	JitOwnerSection section;
	Datum	   *oids = palloc(list_length(request->items) * sizeof(Datum));
	char	   *result = "";
	bool		isnull;
	int			noids = 0;
	ListCell   *lc;

	foreach(lc, request->items)
	{
		JitItem    *item = lfirst(lc);

		if (!item->added)
			oids[noids++] = ObjectIdGetDatum(item->address.objectId);
	}

	jit_enter_owner_section(&section);
	if (jit_query("SELECT g.request_id, g.expires_at FROM jit.grants g JOIN jit.requests r ON r.id = g.request_id"
				  " WHERE g.grantee_oid = $1 AND r.origin = $2 AND g.ended_at IS NULL"
				  " AND g.expires_at > clock_timestamp() AND g.objids && $3"
				  " ORDER BY g.expires_at DESC LIMIT 1",
				  3,
				  OIDOID, ObjectIdGetDatum(request->grantee), false,
				  TEXTOID, CStringGetTextDatum(jit_origin()), false,
				  OIDARRAYOID, PointerGetDatum(construct_array(oids, noids, OIDOID, sizeof(Oid), true, TYPALIGN_INT)), false) > 0)
	{
		int			id = DatumGetInt32(jit_result(1, 1, &isnull));
		TimestampTz ends = DatumGetTimestampTz(jit_result(1, 2, &isnull));

		/* in the caller's time zone and date style, hence after the section */
		jit_leave_owner_section(&section);
		MemoryContextSwitchTo(context);
		result = psprintf(_("; it continues request %d, which ends at %s"), id,
						  jit_timestamp_text(ends));
	}
	else
		jit_leave_owner_section(&section);
	return result;
}

/* Say what happens next with a request that has just been filed. */
static void
report_pending(JitRequest *request)
{
	JitProgress progress;
	char	   *names;
	char	   *continues = continuation_text(request);
	int			people;
	int			missing;

	jit_flow_progress(request, &progress);
	names = jit_approvers_text(request, &people);
	missing = progress.needed - progress.given;
	ereport(NOTICE,
			(errmsg_plural("%s is pending: %d approval by %s%s; it lapses at %s%s",
						   "%s is pending: %d approvals by %s%s; it lapses at %s%s",
						   missing,
						   request_text(request->id), missing, progress.approvers,
						   names[0] ? psprintf(" (%s)", names) : "",
						   jit_timestamp_text(request->lapses_at), continues),
			 IsTransactionBlock() ?
			 errdetail("Approvers see it once this transaction is committed.") : 0));
	if (people == 0)
		ereport(WARNING,
				(errmsg("nobody can approve %s", request_text(request->id)),
				 errdetail("There is no login that could but you, the role it is for, or members of that role."),
				 errhint("Ask an administrator to name approvers with jit_set_flow(), and request it anew.")));
	else if (people < missing)
		ereport(WARNING,
				(errmsg_plural("only %d person can approve %s",
							   "only %d persons can approve %s",
							   people, people, request_text(request->id)),
				 errdetail("It needs %d.", missing)));
}

/*
 * File a prepared request: its row, its items and the event.  Sets
 * request->id, lapses_at, flow and risk.
 */
static void
file_request(JitRequest *request, int64 usecs)
{
	JitDecision *decision = jit_decide(request, usecs);
	JitOwnerSection section;
	TimestampTz now = jit_now();
	char	   *client_addr = jit_client_addr();
	char	   *logline;
	int			pending;
	bool		isnull;

	check_decision(request, decision, usecs);
	request->flow = decision->flow;
	request->risk = pstrdup(jit_risk_name(decision->risk));
	request->lapses_at = now + decision->request_ttl;
	if (request->until < request->lapses_at)
		request->lapses_at = request->until;

	jit_enter_owner_section(&section);
	pending = count_pending(request);
	if (pending >= jit_max_pending)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many pending requests"),
				 errdetail("You have %d, and jit_access.max_pending is %d.",
						   pending, jit_max_pending),
				 errhint("Withdraw some with jit_cancel(); see jit.my_requests.")));

	/* a number whose grant role exists already is passed over */
	do
	{
		jit_query("SELECT nextval('jit.request_number')::int", 0);
		request->id = DatumGetInt32(jit_result(1, 1, &isnull));
	} while (OidIsValid(get_role_oid(jit_grant_role_name(request->id), true)));

	jit_query("INSERT INTO jit.requests (id, requester, login, grantee, access, reason, ticket,"
			  " duration, until, risk, flow, needs_superuser, facts, requested_at, lapses_at,"
			  " client_addr, requester_oid, login_oid, grantee_oid, origin)"
			  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jit.risk_level, $11, $12, $13, $14, $15,"
			  " $16::inet, $17, $18, $19, $20)",
			  20,
			  INT4OID, Int32GetDatum(request->id), false,
			  TEXTOID, CStringGetTextDatum(request->requester_name), false,
			  TEXTOID, CStringGetTextDatum(request->login_name), false,
			  TEXTOID, CStringGetTextDatum(request->grantee_name), false,
			  TEXTOID, CStringGetTextDatum(request->access), false,
			  TEXTOID, request->reason ? CStringGetTextDatum(request->reason) : (Datum) 0, request->reason == NULL,
			  TEXTOID, request->ticket ? CStringGetTextDatum(request->ticket) : (Datum) 0, request->ticket == NULL,
			  INTERVALOID, IntervalPGetDatum(request->duration), request->duration == NULL,
			  TIMESTAMPTZOID, TimestampTzGetDatum(request->until), request->until == DT_NOEND,
			  TEXTOID, CStringGetTextDatum(request->risk), false,
			  JSONBOID, JsonbPGetDatum(request->flow), false,
			  BOOLOID, BoolGetDatum(request->needs_superuser), false,
			  JSONBOID, JsonbPGetDatum(decision->facts), false,
			  TIMESTAMPTZOID, TimestampTzGetDatum(now), false,
			  TIMESTAMPTZOID, TimestampTzGetDatum(request->lapses_at), false,
			  TEXTOID, client_addr ? CStringGetTextDatum(client_addr) : (Datum) 0, client_addr == NULL,
			  OIDOID, ObjectIdGetDatum(request->requester), false,
			  OIDOID, ObjectIdGetDatum(request->login), false,
			  OIDOID, ObjectIdGetDatum(request->grantee), false,
			  TEXTOID, CStringGetTextDatum(request->origin), false);
	jit_store_items(request->id, request->items);

	logline = psprintf("%s requested by %s for %s: %s", request_text(request->id),
					   quote_identifier(request->requester_name),
					   quote_identifier(request->grantee_name), request->access);
	jit_event("requested", request->id,
			  jit_detail("grantee", request->grantee_name,
						 "access", request->access,
						 "reason", request->reason,
						 "ticket", request->ticket,
						 "risk", request->risk, NULL),
			  logline);
	jit_leave_owner_section(&section);
}

/* ----------------------------------------------------------------------
 * Deciding
 * ----------------------------------------------------------------------
 */

/* "oncall (anna, ben)": a grantee, and who that is if it is a group. */
static char *
grantee_text(const JitRequest *request)
{
	StringInfoData buf;
	CatCList   *members;
	int			i;

	initStringInfo(&buf);
	appendStringInfoString(&buf, quote_identifier(request->grantee_name));
	members = SearchSysCacheList1(AUTHMEMROLEMEM,
								  ObjectIdGetDatum(request->grantee));
	for (i = 0; i < members->n_members && i < 5; i++)
	{
		Form_pg_auth_members form = (Form_pg_auth_members)
		GETSTRUCT(&members->members[i]->tuple);

		appendStringInfo(&buf, "%s%s", i == 0 ? " (" : ", ",
						 quote_identifier(jit_role_name(form->member)));
	}
	if (members->n_members > i)
		appendStringInfo(&buf, _(" and %d more"), members->n_members - i);
	if (members->n_members > 0)
		appendStringInfoChar(&buf, ')');
	ReleaseSysCacheList(members);
	return buf.data;
}

/* Names of the approvers, for the comment on the grant role. */
static char *
approved_by_text(const JitRequest *request)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, request->reviews)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "",
						 quote_identifier(((JitReview *) lfirst(lc))->approver_name));
	return buf.len > 0 ? buf.data : pstrdup(_("nobody (its flow needs no approval)"));
}

/*
 * A request that came from elsewhere becomes one of this database: OIDs as
 * resolved here replace those of its origin.  Inside an owner section.
 */
static void
adopt_request(const JitRequest *request)
{
	ListCell   *lc;

	foreach(lc, request->items)
	{
		JitItem    *item = lfirst(lc);

		jit_query("UPDATE jit.request_items SET objid = $3,"
				  " attnums = CASE WHEN columns IS NOT NULL THEN $4 END"
				  " WHERE request_id = $1 AND item = $2",
				  4,
				  INT4OID, Int32GetDatum(request->id), false,
				  INT4OID, Int32GetDatum(foreach_current_index(lc) + 1), false,
				  OIDOID, ObjectIdGetDatum(item->address.objectId), false,
				  INT2ARRAYOID, jit_item_attnums(item), false);
	}
	/* roles of another database of this cluster are the same ones here */
	if (request->cluster)
	{
		jit_query("UPDATE jit.requests SET origin = $2 WHERE id = $1", 2,
				  INT4OID, Int32GetDatum(request->id), false,
				  TEXTOID, CStringGetTextDatum(jit_origin()), false);
		return;
	}
	jit_query("UPDATE jit.reviews SET"
			  " approver_oid = coalesce((SELECT oid FROM pg_authid WHERE rolname = approver), 0),"
			  " login_oid = coalesce((SELECT oid FROM pg_authid WHERE rolname = login), 0)"
			  " WHERE request_id = $1",
			  1, INT4OID, Int32GetDatum(request->id), false);
	jit_query("UPDATE jit.requests SET requester_oid = $2, login_oid = $3, grantee_oid = $4, origin = $5,"
			  " flow = (SELECT coalesce(jsonb_agg(CASE WHEN s ? 'oids' THEN s || jsonb_build_object('oids',"
			  "    (SELECT jsonb_agg(coalesce(a.oid::bigint, 0) ORDER BY n.position)"
			  "     FROM jsonb_array_elements_text(coalesce(s -> 'any_of', jsonb_build_array(s -> 'approver')))"
			  "      WITH ORDINALITY n (name, position) LEFT JOIN pg_authid a ON a.rolname = n.name))"
			  "   ELSE s END ORDER BY e.position), '[]')"
			  "  FROM jsonb_array_elements(flow) WITH ORDINALITY e (s, position))"
			  " WHERE id = $1",
			  5,
			  INT4OID, Int32GetDatum(request->id), false,
			  OIDOID, ObjectIdGetDatum(request->requester), false,
			  OIDOID, ObjectIdGetDatum(request->login), false,
			  OIDOID, ObjectIdGetDatum(request->grantee), false,
			  TEXTOID, CStringGetTextDatum(jit_origin()), false);
}

/* Raise if whom the request is for has been dropped. */
static void
require_grantee(const JitRequest *request)
{
	if (!OidIsValid(request->grantee))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role %s, which %s is for, does not exist any more",
						quote_identifier(request->grantee_name),
						request_text(request->id)),
				 errhint("Reject it with jit_reject().")));
}

/*
 * Make the access of a request whose approval is complete: roles, state and
 * event.  Under the row lock, or in the transaction that filed it.
 */
static void
activate_request(JitRequest *request)
{
	JitOwnerSection section;
	TimestampTz now;
	TimestampTz deadline;
	char	   *access = jit_items_text(request->items, false);
	char	   *approved_by = approved_by_text(request);
	char	   *who;
	char	   *comment;
	ListCell   *lc;

	require_grantee(request);
	/* a role may have become what can't be handed out since it was filed */
	(void) check_grantee(jit_role_name(request->grantee));
	foreach(lc, request->items)
		jit_check_item_requestable(lfirst(lc));

	jit_lock_items(request->items);

	/* the clock starts here, after any waiting for locks */
	now = jit_now();
	deadline = request->until;
	if (request->duration != NULL)
		deadline = now + jit_interval_usecs(request->duration, "duration");
	foreach(lc, request->reviews)
	{
		JitReview  *review = lfirst(lc);

		if (review->duration != NULL)
			deadline = Min(deadline,
						   now + jit_interval_usecs(review->duration, "duration"));
	}
	if (deadline <= now)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s was for access until %s, which is past",
						request_text(request->id), jit_timestamp_text(deadline))));
	request->expires_at = deadline;

	comment = psprintf("jit_access: request %d in database %s: %s; approved by %s",
					   request->id, quote_identifier(jit_database_name()),
					   jit_items_text(request->items, true), approved_by);

	jit_enter_owner_section(&section);
	if (!request->here)
		adopt_request(request);
	jit_make_grant(request->id, request->grantee, request->items, deadline,
				   comment);
	jit_query("UPDATE jit.requests SET status = 'active', decided_at = $2, activated_at = $2,"
			  " expires_at = $3 WHERE id = $1",
			  3,
			  INT4OID, Int32GetDatum(request->id), false,
			  TIMESTAMPTZOID, TimestampTzGetDatum(now), false,
			  TIMESTAMPTZOID, TimestampTzGetDatum(deadline), false);
	jit_event("activated", request->id,
			  jit_detail("grantee", request->grantee_name,
						 "access", access,
						 "approved_by", approved_by,
						 "expires_at", timestamptz_to_str(deadline), NULL),
			  psprintf("%s activated: %s has %s until %s, approved by %s",
					   request_text(request->id),
					   quote_identifier(request->grantee_name), access,
					   timestamptz_to_str(deadline), approved_by));
	jit_leave_owner_section(&section);

	who = grantee_text(request);
	ereport(NOTICE,
			(errmsg("%s has %s in %s until %s; end it with SELECT jit_revoke(%d);",
					who, access, quote_identifier(jit_database_name()),
					jit_timestamp_text(deadline), request->id),
			 IsTransactionBlock() ?
			 errdetail("It works once this transaction is committed.") : 0));
}

/* Write a row of jit.reviews and add it to request->reviews. */
static void
store_review(JitRequest *request, const char *verdict, int step,
			 const JitPerson *person, Interval *duration, const char *comment)
{
	JitOwnerSection section;
	JitReview  *review = palloc0(sizeof(JitReview));

	review->step = step;
	review->approver = person->role;
	review->login = person->login;
	review->approver_name = jit_role_name(person->role);
	review->login_name = jit_role_name(person->login);
	review->by_superuser = superuser_arg(person->role);
	review->duration = duration;

	jit_enter_owner_section(&section);
	jit_query("INSERT INTO jit.reviews (request_id, review, at, verdict, approver, login, step,"
			  " by_superuser, duration, comment, approver_oid, login_oid)"
			  " SELECT $1, (SELECT count(*) + 1 FROM jit.reviews WHERE request_id = $1), $2, $3, $4, $5, $6,"
			  " $7, $8, $9, $10, $11",
			  11,
			  INT4OID, Int32GetDatum(request->id), false,
			  TIMESTAMPTZOID, TimestampTzGetDatum(jit_now()), false,
			  TEXTOID, CStringGetTextDatum(verdict), false,
			  TEXTOID, CStringGetTextDatum(review->approver_name), false,
			  TEXTOID, CStringGetTextDatum(review->login_name), false,
			  INT4OID, Int32GetDatum(step), false,
			  BOOLOID, BoolGetDatum(review->by_superuser), false,
			  INTERVALOID, IntervalPGetDatum(duration), duration == NULL,
			  TEXTOID, comment ? CStringGetTextDatum(comment) : (Datum) 0, comment == NULL,
			  OIDOID, ObjectIdGetDatum(person->role), false,
			  OIDOID, ObjectIdGetDatum(person->login), false);
	jit_leave_owner_section(&section);

	if (strcmp(verdict, "approve") == 0)
		request->reviews = lappend(request->reviews, review);
}

/*
 * Raise unless the caller may decide on the request.  A decision is the
 * session's own: code that runs with somebody else's rights can't take it.
 */
static void
check_approver(JitRequest *request, const JitPerson *person, bool ending,
			   const char *verb)
{
	char	   *why = NULL;

	if (GetUserId() != GetOuterUserId())
		why = pstrdup(_("It cannot be decided from inside a SECURITY DEFINER function."));
	else
		why = jit_why_not_approve(request, person, ending);
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		/* jit_grant()'s number is gone with the error */
				 request->direct ?
				 errmsg("you cannot grant %s to %s", request->access,
						quote_identifier(request->grantee_name)) :
				 errmsg("you cannot %s %s", verb, request_text(request->id)),
				 errdetail_internal("%s", why),
				 strcmp(verb, "reject") == 0 &&
				 jit_is_party(person, request->requester, request->requester_name, false) ?
				 errhint("You can end your own request with jit_cancel().") : 0));
}

/*
 * Count the caller's approval, who has been checked, and make the access if
 * it was the last.  Returns the new status.
 */
static const char *
approve_request(JitRequest *request, const JitPerson *person,
				Interval *duration, const char *comment)
{
	JitProgress progress;
	char	   *stricter;

	jit_flow_progress(request, &progress);
	store_review(request, "approve", progress.step, person, duration, comment);
	jit_event("approved", request->id,
			  jit_detail("step", psprintf("%d", progress.step),
						 "duration", duration ? jit_interval_text(duration) : NULL,
						 "comment", comment, NULL),
			  psprintf("%s approved by %s, step %d of %d", request_text(request->id),
					   quote_identifier(jit_role_name(person->role)),
					   progress.step, progress.steps));
	stricter = jit_stricter_now(request);
	if (stricter != NULL)
		ereport(NOTICE, (errmsg_internal("%s", stricter)));

	jit_flow_progress(request, &progress);
	if (progress.complete)
	{
		activate_request(request);
		return "active";
	}

	request->direct = false;
	report_pending(request);
	return "pending";
}

static Datum
status_datum(const char *status)
{
	JitOwnerSection section;
	Datum		result;
	bool		isnull;

	jit_enter_owner_section(&section);
	jit_query("SELECT $1::jit.request_status", 1,
			  TEXTOID, CStringGetTextDatum(status), false);
	result = jit_result(1, 1, &isnull);
	jit_leave_owner_section(&section);
	return result;
}

/* ----------------------------------------------------------------------
 * The SQL functions
 * ----------------------------------------------------------------------
 */

/* jit_request() and jit_grant() have the same arguments in another order. */
JitRequest *
jit_request_from_arguments(FunctionCallInfo fcinfo, int duration, int reason,
						   int grantee, bool direct, int64 *usecs)
{
	char	   *access = jit_required_text(fcinfo, 0, "access");
	TimestampTz until = DT_NOEND;

	if (!PG_ARGISNULL(reason + 1))
	{
		until = PG_GETARG_TIMESTAMPTZ(reason + 1);
		if (until == DT_NOEND)
			until = DT_NOBEGIN; /* refused as infinite, not as missing */
	}
	return jit_prepare_request(access,
							   PG_ARGISNULL(duration) ? NULL : PG_GETARG_INTERVAL_P(duration),
							   jit_text_argument(fcinfo, reason, "reason"),
							   until,
							   jit_text_argument(fcinfo, reason + 2, "ticket"),
							   PG_ARGISNULL(grantee) ? NULL : NameStr(*PG_GETARG_NAME(grantee)),
							   direct, usecs);
}

/* jit_request(access, duration, reason, until, ticket, grantee) */
Datum
jit_request(PG_FUNCTION_ARGS)
{
	JitRequest *request;
	JitProgress progress;
	int64		usecs;

	prevent_on_standby(fcinfo, "requested");
	request = jit_request_from_arguments(fcinfo, 1, 2, 5, false, &usecs);
	file_request(request, usecs);

	jit_flow_progress(request, &progress);
	if (progress.complete)
		activate_request(request);
	else
		report_pending(request);
	PG_RETURN_INT32(request->id);
}

/* jit_grant(access, grantee, duration, reason, until, ticket) */
Datum
jit_grant(PG_FUNCTION_ARGS)
{
	JitRequest *request;
	JitProgress progress;
	JitPerson	person;
	char	   *why;
	int64		usecs;

	prevent_on_standby(fcinfo, "granted");
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("grantee must not be null"),
				 errhint("To ask for access yourself, use jit_request().")));
	jit_current_person(&person);
	request = jit_request_from_arguments(fcinfo, 2, 3, 1, true, &usecs);
	why = jit_why_not_impartial(request, &person);
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("you cannot grant %s to %s", request->access,
						quote_identifier(request->grantee_name)),
				 errdetail_internal("%s", why)));
	file_request(request, usecs);

	/* filing is undone with the error if the caller may not approve */
	jit_flow_progress(request, &progress);
	if (!progress.complete)
	{
		check_approver(request, &person, false, "grant");
		(void) approve_request(request, &person, NULL, NULL);
	}
	else
	{
		check_approver(request, &person, true, "grant");
		activate_request(request);
	}
	PG_RETURN_INT32(request->id);
}

/*
 * Is that less than what the request is for by now?  If not, says so; and as
 * nothing longer is kept, sums don't overflow.
 */
static bool
shortens(const JitRequest *request, int64 usecs)
{
	int64		longest = request->duration != NULL ?
	jit_interval_usecs(request->duration, "duration") : request->until - jit_now();
	bool		shortened = false;
	ListCell   *lc;

	foreach(lc, request->reviews)
	{
		Interval   *duration = ((JitReview *) lfirst(lc))->duration;

		if (duration != NULL && jit_interval_usecs(duration, "duration") < longest)
		{
			longest = jit_interval_usecs(duration, "duration");
			shortened = true;
		}
	}
	if (usecs <= longest)
		return true;
	ereport(NOTICE,
			(shortened ?
			 errmsg("%s stays as short as it was approved", request_text(request->id)) :
			 errmsg("%s stays as short as requested", request_text(request->id)),
			 shortened ?
			 errdetail("An approver can only shorten it; it was approved for %s.",
					   jit_usecs_text(longest)) :
			 request->duration == NULL ?
			 errdetail("An approver can only shorten it; it was requested until %s.",
					   jit_timestamp_text(request->until)) :
			 errdetail("An approver can only shorten it; it was requested for %s.",
					   jit_usecs_text(longest))));
	return false;
}

/* jit_approve(request, comment, duration) */
Datum
jit_approve(PG_FUNCTION_ARGS)
{
	int			id = request_argument(fcinfo);
	char	   *comment = jit_text_argument(fcinfo, 1, "comment");
	Interval   *duration = PG_ARGISNULL(2) ? NULL : PG_GETARG_INTERVAL_P(2);
	int64		usecs = 0;
	JitRequest *request;
	JitPerson	person;
	const char *status;

	prevent_on_standby(fcinfo, "approved");
	jit_current_person(&person);
	if (duration != NULL)
		usecs = jit_interval_usecs(duration, "duration");

	/* once to see whether the caller may, then again under the lock */
	for (int locked = 0; locked <= 1; locked++)
	{
		request = jit_load_request(id, locked);
		require_status(request, "pending");
		load_items(request, false);
		check_approver(request, &person, false, "approve");
	}
	if (duration != NULL && !shortens(request, usecs))
		duration = NULL;

	status = approve_request(request, &person, duration, comment);
	PG_RETURN_DATUM(status_datum(status));
}

/* jit_reject(request, comment) */
Datum
jit_reject(PG_FUNCTION_ARGS)
{
	int			id = request_argument(fcinfo);
	char	   *comment = jit_required_text(fcinfo, 1, "comment");
	JitRequest *request;
	JitPerson	person;
	JitProgress progress;

	prevent_on_standby(fcinfo, "rejected");
	jit_current_person(&person);
	for (int locked = 0; locked <= 1; locked++)
	{
		request = jit_load_request(id, locked);
		if (!jit_caller_administers(&person))
		{
			load_items(request, true);
			check_approver(request, &person, true, "reject");
		}
		require_status(request, "pending");
	}

	jit_flow_progress(request, &progress);
	store_review(request, "reject", progress.step, &person, NULL, comment);
	jit_finish_request(id, "rejected", jit_now(),
					   psprintf("%s rejected by %s", request_text(id),
								quote_identifier(jit_role_name(person.role))),
					   jit_detail("comment", comment, NULL));
	ereport(NOTICE,
			(errmsg("%s is rejected: %s does not get %s", request_text(id),
					quote_identifier(request->grantee_name), request->access)));
	PG_RETURN_DATUM(status_datum("rejected"));
}

/* jit_cancel(request, reason) */
Datum
jit_cancel(PG_FUNCTION_ARGS)
{
	int			id = request_argument(fcinfo);
	char	   *reason = jit_text_argument(fcinfo, 1, "reason");
	JitRequest *request;
	JitPerson	person;

	prevent_on_standby(fcinfo, "canceled");
	jit_current_person(&person);
	for (int locked = 0; locked <= 1; locked++)
	{
		request = jit_load_request(id, locked);
		if (!jit_is_party(&person, request->requester, request->requester_name, false) &&
			!jit_is_party(&person, request->login, request->login_name, false) &&
			!jit_is_party(&person, request->grantee, request->grantee_name, false))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("you cannot cancel %s", request_text(id)),
					 errdetail("Only whoever asked for it or gets the access can."),
					 strcmp(request->status, "pending") == 0 ?
					 errhint("An approver can end it with jit_reject().") : 0));
		require_status(request, "pending");
	}

	jit_finish_request(id, "canceled", jit_now(),
					   psprintf("%s canceled by %s", request_text(id),
								quote_identifier(jit_role_name(person.role))),
					   jit_detail("reason", reason, NULL));
	ereport(NOTICE,
			(errmsg("%s is canceled: %s does not get %s", request_text(id),
					quote_identifier(request->grantee_name), request->access)));
	PG_RETURN_DATUM(status_datum("canceled"));
}

/*
 * End the active access of a request.  Under the row lock.  Raises where the
 * grant is another database's; with "certain", also if a role that may be
 * the grant's is there but was altered so that it isn't known to be.
 */
static void
end_access(const JitRequest *request, const char *reason, bool certain)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi_context;
	JitOwnerSection section;
	JitGrant	grant;
	JitPerson	person;
	Oid			role;

	if (jit_is_copy(request->origin))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is a copy of a request of another database",
						request_text(request->id)),
				 errhint("Revoke it in database %s.",
						 quote_identifier(jit_name_of_database(atooid(strchr(request->origin, '/') + 1))))));

	jit_current_person(&person);
	jit_enter_owner_section(&section);
	memset(&grant, 0, sizeof(grant));
	grant.request = request->id;
	grant.grantee_oid = request->grantee;
	grant.grantee = request->grantee_name;
	grant.cluster = request->cluster;
	if (jit_query("SELECT role, role_oid, expires_at FROM jit.grants WHERE request_id = $1",
				  1, INT4OID, Int32GetDatum(request->id), false) > 0)
	{
		spi_context = MemoryContextSwitchTo(context);
		grant.role = jit_result_text(1, 1);
		grant.role_oid = result_oid(1, 2);
		grant.expires_at = result_time(1, 3);
		MemoryContextSwitchTo(spi_context);
		role = request->cluster ? grant.role_oid : get_role_oid(grant.role, true);
		if (!jit_end_grant(&grant) && certain &&
			SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("%s cannot be revoked here", request_text(request->id)),
					 errdetail("Role %s has been altered natively.",
							   quote_identifier(jit_role_name(role))),
					 errhint("A superuser can end it with DROP ROLE %s.",
							 quote_identifier(jit_role_name(role)))));
	}
	jit_finish_request(request->id, "revoked", jit_now(),
					   psprintf("%s revoked by %s: %s no longer has %s through it",
								request_text(request->id),
								quote_identifier(jit_role_name(person.role)),
								quote_identifier(request->grantee_name),
								request->access),
					   jit_detail("reason", reason, NULL));
	jit_leave_owner_section(&section);
}

/*
 * The same while another transaction has the row: by its role alone, and the
 * ledger follows.  False if that can't be done.
 */
static bool
end_locked_access(int id, const char *reason, const JitPerson *person)
{
	JitOwnerSection section;
	bool		ended;

	jit_enter_owner_section(&section);
	ended = jit_expire_grant(id);
	if (ended)
		jit_event("shortened", id, jit_detail("reason", reason, NULL),
				  psprintf("%s ended by %s while another transaction is changing it",
						   request_text(id),
						   quote_identifier(jit_role_name(person->role))));
	jit_leave_owner_section(&section);
	return ended;
}

static void
try_to_lock(void *arg)
{
	int			id = *(int *) arg;
	JitOwnerSection section;

	jit_enter_owner_section(&section);
	jit_set_locally("lock_timeout", LONGEST_WAIT);
	(void) jit_query("SELECT FROM jit.requests WHERE id = $1 FOR UPDATE", 1,
					 INT4OID, Int32GetDatum(id), false);
	jit_leave_owner_section(&section);
}

/*
 * Wait for the lock on the row of a request, but not for good: the grantee may
 * have it, and leave their transaction open to keep the access.  False if it
 * isn't to be had.
 */
static bool
wait_for_request(int id)
{
	ErrorData  *error = jit_try(try_to_lock, &id);

	if (error != NULL &&
		error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE &&
		error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
		ReThrowError(error);
	return error == NULL;
}

/* jit_revoke(request, reason) */
Datum
jit_revoke(PG_FUNCTION_ARGS)
{
	int			id = request_argument(fcinfo);
	char	   *reason = jit_text_argument(fcinfo, 1, "reason");
	JitRequest *request;
	JitPerson	person;

	prevent_on_standby(fcinfo, "revoked");
	jit_current_person(&person);
	for (int locked = 0; locked <= 1; locked++)
	{
		request = jit_load_request(id, locked);
		if (!jit_caller_administers(&person) &&
			!jit_is_party(&person, request->grantee, request->grantee_name, false) &&
			!jit_is_party(&person, request->requester, request->requester_name, false))
		{
			load_items(request, true);
			check_approver(request, &person, true, "revoke");
		}
		require_status(request, "active");
		if (locked || wait_for_request(id))
			continue;
		if (!end_locked_access(id, reason, &person))
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("%s cannot be revoked while another transaction is changing it",
							request_text(id)),
					 errhint("Try again. A superuser can end it with DROP ROLE, too.")));
		ereport(NOTICE,
				(errmsg("%s has ended: %s no longer has %s through it",
						request_text(id), quote_identifier(request->grantee_name),
						request->access),
				 errdetail("It is not said to be revoked, as another transaction is changing it.")));
		PG_RETURN_DATUM(status_datum("expired"));
	}

	end_access(request, reason, true);
	ereport(NOTICE,
			(errmsg("%s is revoked: %s no longer has %s through it",
					request_text(id), quote_identifier(request->grantee_name),
					request->access),
			 IsTransactionBlock() ?
			 errdetail("It ends once this transaction is committed.") : 0));
	PG_RETURN_DATUM(status_datum("revoked"));
}

/* All access of the role's own has been ended: say what reaches it still. */
static void
warn_of_groups(Oid grantee)
{
	ListCell   *lc;

	foreach(lc, jit_role_closure(grantee, JIT_CLOSURE_MEMBERS, JIT_FILTER_LIVE,
								 jit_now()))
	{
		Oid			database;
		int			request;

		if (jit_parse_grant_name(jit_role_name(lfirst_oid(lc)), &database, &request))
			ereport(WARNING,
					(errmsg("%s still has temporary access by request %d in %s",
							quote_identifier(jit_role_name(grantee)), request,
							quote_identifier(jit_name_of_database(database))),
					 errdetail("It is for a role that %s is a member of.",
							   quote_identifier(jit_role_name(grantee))),
					 errhint("End it there with SELECT jit_revoke(%d); or take the membership away.",
							 request)));
	}
}

/*
 * End every access and cancel every pending request of a grantee, or of
 * everyone for InvalidOid.  The panic button must not wait for rows that
 * somebody else is changing: access whose row that is ends by its role alone,
 * and the ledger follows; the rest is left out with a WARNING.
 */
static int
revoke_many(Oid grantee, const char *reason)
{
	JitOwnerSection section;
	JitPerson	person;
	List	   *ids = NIL;
	List	   *locked = NIL;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi_context;
	ListCell   *lc;
	int			n;
	int			revoked = 0;
	int			canceled = 0;
	bool		isnull;

	jit_current_person(&person);
	if (!jit_caller_administers(&person))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to revoke access of others"),
				 errdetail("Only JIT administrators may.")));

	/* by name too: rows that came by restore have no OIDs that count */
	jit_enter_owner_section(&section);
	n = jit_query("WITH mine AS (SELECT id FROM jit.requests WHERE status IN ('pending', 'active')"
				  "  AND ($1 = 0 OR CASE WHEN origin = $2 THEN grantee_oid = $1 ELSE grantee = $3 END)"
				  "  FOR UPDATE SKIP LOCKED)"
				  " SELECT r.id, m.id IS NULL FROM jit.requests r LEFT JOIN mine m ON m.id = r.id"
				  " WHERE status IN ('pending', 'active')"
				  "  AND ($1 = 0 OR CASE WHEN origin = $2 THEN grantee_oid = $1 ELSE grantee = $3 END)"
				  " ORDER BY 1",
				  3,
				  OIDOID, ObjectIdGetDatum(grantee), false,
				  TEXTOID, CStringGetTextDatum(jit_origin()), false,
				  TEXTOID, CStringGetTextDatum(OidIsValid(grantee) ? jit_role_name(grantee) : ""), false);
	spi_context = MemoryContextSwitchTo(context);
	for (int i = 1; i <= n; i++)
	{
		int			id = DatumGetInt32(jit_result(i, 1, &isnull));

		if (DatumGetBool(jit_result(i, 2, &isnull)))
			locked = lappend_int(locked, id);
		else
			ids = lappend_int(ids, id);
	}
	MemoryContextSwitchTo(spi_context);
	jit_leave_owner_section(&section);

	foreach(lc, ids)
	{
		JitRequest *request = jit_load_request(lfirst_int(lc), false);

		CHECK_FOR_INTERRUPTS();
		if (strcmp(request->status, "active") == 0)
		{
			/* the original of a copied row is ended through its roles below */
			if (jit_is_copy(request->origin))
				continue;
			end_access(request, reason, false);
			revoked++;
		}
		else
		{
			jit_finish_request(request->id, "canceled", jit_now(),
							   psprintf("%s canceled by %s", request_text(request->id),
										quote_identifier(jit_role_name(person.role))),
							   jit_detail("reason", reason, NULL));
			canceled++;
		}
	}

	jit_enter_owner_section(&section);
	n = jit_end_foreign_grants(grantee, reason);
	jit_leave_owner_section(&section);

	foreach(lc, locked)
	{
		JitRequest *request;

		if (end_locked_access(lfirst_int(lc), reason, &person))
		{
			revoked++;
			continue;
		}
		/* by a sweeper, maybe, because its time is over */
		request = jit_load_request(lfirst_int(lc), false);
		if (strcmp(request->status, "active") == 0 && request->expires_at <= jit_now())
			continue;
		ereport(WARNING,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("%s was not ended: another transaction is changing it",
						request_text(lfirst_int(lc))),
				 errhint("Find it in pg_stat_activity, end it with pg_terminate_backend(), and run this again.")));
	}
	ereport(NOTICE,
			(errmsg("ended access by %d requests in %s and %d in other databases; canceled %d that were pending",
					revoked, quote_identifier(jit_database_name()), n, canceled)));
	if (OidIsValid(grantee))
		warn_of_groups(grantee);
	return revoked + canceled + n;
}

/* jit_revoke_from(grantee, reason) */
Datum
jit_revoke_from(PG_FUNCTION_ARGS)
{
	char	   *reason;

	prevent_on_standby(fcinfo, "revoked");
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("grantee must not be null"),
				 errhint("To end everyone's access, use jit_revoke_all().")));
	reason = jit_required_text(fcinfo, 1, "reason");
	PG_RETURN_INT32(revoke_many(get_role_oid(NameStr(*PG_GETARG_NAME(0)), false),
								reason));
}

/* jit_revoke_all(reason) */
Datum
jit_revoke_all(PG_FUNCTION_ARGS)
{
	prevent_on_standby(fcinfo, "revoked");
	PG_RETURN_INT32(revoke_many(InvalidOid, jit_required_text(fcinfo, 0, "reason")));
}

/* ----------------------------------------------------------------------
 * For the views
 * ----------------------------------------------------------------------
 */

/* jit.concerns_me(role, name, origin) */
Datum
jit_concerns_me(PG_FUNCTION_ARGS)
{
	Oid			role = PG_GETARG_OID(0);
	char	   *name = NameStr(*PG_GETARG_NAME(1));
	char	   *origin = text_to_cstring(PG_GETARG_TEXT_PP(2));
	JitPerson	person;

	if (GetUserId() != GetOuterUserId())
		PG_RETURN_BOOL(false);
	jit_current_person(&person);
	if (jit_person_audits(&person))
		PG_RETURN_BOOL(true);
	if (strcmp(origin, jit_origin()) != 0)
		role = get_role_oid(name, true);
	/* not by name: a new role of the same name isn't the old one */
	PG_RETURN_BOOL(OidIsValid(role) && jit_is_party(&person, role, NULL, true));
}

typedef struct AccessToApproveCall
{
	int			id;
	JitPerson	person;
	StringInfoData access;		/* result: empty if the person can't */
} AccessToApproveCall;

static void
try_access_to_approve(void *arg)
{
	AccessToApproveCall *call = arg;
	JitRequest *request = jit_load_request(call->id, false);
	ListCell   *lc;

	if (strcmp(request->status, "pending") != 0 ||
		request->lapses_at <= jit_now())
		return;
	require_grantee(request);
	load_items(request, false);
	if (jit_why_not_approve(request, &call->person, false) != NULL)
		return;
	foreach(lc, request->items)
	{
		JitItem    *item = lfirst(lc);

		appendStringInfo(&call->access, "%s%s%s", call->access.len > 0 ? ";\n" : "",
						 jit_item_text(item), item->added ? _(" (added)") : "");
	}
}

/*
 * jit.access_to_approve(request)
 *
 * In the names that the objects have now: they are what is granted.
 * A request for something that was dropped can't be approved; it must not
 * take the whole inbox with it, hence the subtransaction.
 */
Datum
jit_access_to_approve(PG_FUNCTION_ARGS)
{
	AccessToApproveCall call = {.id = PG_GETARG_INT32(0)};
	ErrorData  *error;

	(void) jit_open_ledger();
	if (GetUserId() != GetOuterUserId())
		PG_RETURN_NULL();
	jit_current_person(&call.person);
	initStringInfo(&call.access);

	error = jit_try(try_access_to_approve, &call);
	if (error != NULL &&
		error->sqlerrcode != ERRCODE_UNDEFINED_OBJECT &&
		error->sqlerrcode != ERRCODE_UNDEFINED_TABLE &&
		error->sqlerrcode != ERRCODE_UNDEFINED_FUNCTION &&
		error->sqlerrcode != ERRCODE_UNDEFINED_COLUMN &&
		error->sqlerrcode != ERRCODE_UNDEFINED_SCHEMA &&
		error->sqlerrcode != ERRCODE_WRONG_OBJECT_TYPE &&
		error->sqlerrcode != ERRCODE_AMBIGUOUS_FUNCTION)
		ReThrowError(error);
	if (error != NULL || call.access.len == 0)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(call.access.data));
}

/* jit.progress(request) */
Datum
jit_progress(PG_FUNCTION_ARGS)
{
	JitRequest *request;
	JitProgress progress;
	StringInfoData buf;
	JitPerson	person;

	(void) jit_open_ledger();
	request = jit_load_request(PG_GETARG_INT32(0), false);
	if (strcmp(request->status, "pending") != 0 || GetUserId() != GetOuterUserId())
		PG_RETURN_NULL();
	load_items(request, true);
	jit_current_person(&person);
	if (!jit_person_audits(&person) &&
		!jit_is_party(&person, request->requester, request->requester_name, true) &&
		!jit_is_party(&person, request->grantee, request->grantee_name, true) &&
		jit_why_not_approve(request, &person, true) != NULL)
		PG_RETURN_NULL();

	jit_flow_progress(request, &progress);
	initStringInfo(&buf);
	appendStringInfo(&buf, _("%d of %d\nby %s"), progress.given, progress.needed,
					 progress.approvers);
	if (progress.steps > 1)
		appendStringInfo(&buf, _("\n(step %d of %d)"), progress.step,
						 progress.steps);
	PG_RETURN_TEXT_P(cstring_to_text(buf.data));
}

/*
 * Trigger on jit.requests: the launcher learns of a row when it is due,
 * however it came here.  A restore calls none of our functions.
 */
Datum
jit_watch_request(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	tupdesc;
	Datum		value;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "jit.watch_request() was not called by the trigger manager");

	/* one that comes active is restored, perhaps without its role */
	tupdesc = RelationGetDescr(trigger->tg_relation);
	(void) heap_getattr(trigger->tg_trigtuple,
						SPI_fnumber(tupdesc, "expires_at"), tupdesc, &isnull);
	if (!isnull)
		value = TimestampTzGetDatum(jit_now());
	else
		value = heap_getattr(trigger->tg_trigtuple,
							 SPI_fnumber(tupdesc, "lapses_at"), tupdesc, &isnull);
	jit_note_due(DatumGetTimestampTz(value));
	return PointerGetDatum(NULL);
}
