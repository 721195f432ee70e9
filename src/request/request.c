/*-------------------------------------------------------------------------
 *
 * request.c
 *		Life of a request: the SQL functions.
 *
 *	pending -> active -> expired | revoked
 *	pending -> scheduled -> active | revoked | lapsed
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
 * What has a start that is to come is scheduled by its last approval, which
 * gives nothing.  When that time has come, a sweeper makes it active, by the
 * same function, and with everything looked at again:
 *
 *	scheduled, committed		the launcher knows when; jit.schedule says that it
 *								was scheduled here
 *	panic button, jit_revoke	it is revoked; of a press that didn't see it the
 *								start does, or whoever sweeps first
 *	its time comes				active, or lapsed for what is in the way
 *	a lock is in the way		it is tried again until its window has ended
 *	no server, no launcher		it starts when they are back, for what is left, or
 *								lapses
 *	copied, restored			the row isn't in jit.schedule, or of another origin:
 *								it lapses
 *
 * The row is locked only for callers who may change it: a lock held open by
 * somebody who may not would keep everybody else from deciding.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/due.h"
#include "base/gateway.h"
#include "base/guc.h"
#include "base/lock.h"
#include "base/query.h"
#include "base/text.h"
#include "base/toplevel.h"
#include "request/access.h"
#include "request/ending.h"
#include "request/event.h"
#include "request/filing.h"
#include "request/giving.h"
#include "request/grant.h"
#include "request/limit.h"
#include "request/policy.h"
#include "request/remains.h"
#include "request/request.h"

#include "catalog/pg_auth_members.h"
#include "executor/spi.h"
#include "utils/catcache.h"

PG_FUNCTION_INFO_V1(jit_request);
PG_FUNCTION_INFO_V1(jit_extend);
PG_FUNCTION_INFO_V1(jit_approve);
PG_FUNCTION_INFO_V1(jit_reject);
PG_FUNCTION_INFO_V1(jit_cancel);
PG_FUNCTION_INFO_V1(jit_revoke);
PG_FUNCTION_INFO_V1(jit_revoke_from);
PG_FUNCTION_INFO_V1(jit_revoke_all);
PG_FUNCTION_INFO_V1(jit_grant);
PG_FUNCTION_INFO_V1(jit_watch_request);

/* How long jit_revoke() waits for whoever is changing the request. */
#define LONGEST_WAIT "2s"

/* How many members of a grantee are named. */
#define MAX_MEMBERS_SHOWN 5

/* ----------------------------------------------------------------------
 * Arguments
 * ----------------------------------------------------------------------
 */

static void
prevent_on_standby(FunctionCallInfo fcinfo, const char *message)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg_internal("%s", _(message)),
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

/*
 * The state of a request as of now: one that is pending or scheduled past lapses_at has lapsed
 * and an active one past its deadline has expired, whatever the sweeper has
 * got round to.
 */
JitStatus
jit_present_status(const JitRequest *request)
{
	JitStatus	is = request->status;

	if ((is == JIT_PENDING || is == JIT_SCHEDULED) && request->lapses_at <= jit_now())
		is = JIT_LAPSED;
	if (is == JIT_ACTIVE)
	{
		Oid			role = get_role_oid(jit_grant_role_name(request->id), true);
		TimestampTz deadline = DT_NOBEGIN;

		if (OidIsValid(role) && request->here)
			deadline = jit_role_deadline(role);
		/* one that was taken away denies, but there is a role to revoke */
		if (deadline == DT_NOBEGIN)
			deadline = request->expires_at;
		if (deadline <= jit_now())
			is = JIT_EXPIRED;
	}
	return is;
}

/* Could the person ask for it again, with jit_extend()? */
static bool
may_extend(const JitRequest *request, const JitPerson *person)
{
	return jit_is_own(request, person) ||
		(OidIsValid(request->grantee) &&
		 jit_is_member(person->role, request->grantee, JIT_FILTER_STANDING));
}

/* Raise unless the request is in the state, as of now; scheduled is as good as active. */
void
jit_require_status(const JitRequest *request, const JitPerson *person,
				   JitStatus status)
{
	JitStatus	is = jit_present_status(request);

	/* what is wrong with one that should be pending, or active */
	static const char *const not_pending[] = {
		[JIT_SCHEDULED] = gettext_noop("%s is scheduled, not pending"),
		[JIT_ACTIVE] = gettext_noop("%s is active, not pending"),
		[JIT_REJECTED] = gettext_noop("%s is rejected, not pending"),
		[JIT_CANCELED] = gettext_noop("%s is canceled, not pending"),
		[JIT_LAPSED] = gettext_noop("%s is lapsed, not pending"),
		[JIT_EXPIRED] = gettext_noop("%s is expired, not pending"),
		[JIT_REVOKED] = gettext_noop("%s is revoked, not pending")
	};
	static const char *const not_active[] = {
		[JIT_PENDING] = gettext_noop("%s is pending, not active"),
		[JIT_REJECTED] = gettext_noop("%s is rejected, not active"),
		[JIT_CANCELED] = gettext_noop("%s is canceled, not active"),
		[JIT_LAPSED] = gettext_noop("%s is lapsed, not active"),
		[JIT_EXPIRED] = gettext_noop("%s is expired, not active"),
		[JIT_REVOKED] = gettext_noop("%s is revoked, not active")
	};

	if (is != status && !(status == JIT_ACTIVE && is == JIT_SCHEDULED))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg(status == JIT_PENDING ? not_pending[is] : not_active[is],
						jit_request_text(request->id)),
				 is == JIT_PENDING ?
				 errhint("A pending request is ended with jit_cancel() or jit_reject().") :
				 is == JIT_SCHEDULED ?
				 errhint("Scheduled access is ended with jit_revoke().") :
				 is == JIT_ACTIVE ?
				 errhint("Active access is ended with jit_revoke().") :
				 !may_extend(request, person) ? 0 :
				 request->statement != NULL ?
				 errhint("Ask anew with jit_request().") :
				 request->until == DT_NOEND ?
				 errhint("To ask for it again: SELECT jit_extend(%d);", request->id) :
				 errhint("To ask for it again: SELECT jit_extend(%d, '1 hour');", request->id)));
}

/* ----------------------------------------------------------------------
 * Deciding
 * ----------------------------------------------------------------------
 */

/* Names of the first members of the role, and those who are for a time. */
static void
append_members(StringInfo buf, Oid role, int *n)
{
	CatCList   *members = SearchSysCacheList1(AUTHMEMROLEMEM, ObjectIdGetDatum(role));

	for (int i = 0; i < members->n_members; i++)
	{
		Oid			member = ((Form_pg_auth_members) GETSTRUCT(&members->members[i]->tuple))->member;

		if (jit_role_kind_by_oid(member) == JIT_ROLE_GRANT)
			append_members(buf, member, n);
		else if ((*n)++ < MAX_MEMBERS_SHOWN)
			appendStringInfo(buf, "%s%s", *n == 1 ? " (" : ", ",
							 quote_identifier(jit_role_name(member)));
	}
	ReleaseSysCacheList(members);
}

/* "oncall (anna, ben)": a grantee, and who that is if it is a group. */
char *
jit_grantee_text(const JitRequest *request)
{
	StringInfoData buf;
	int			n = 0;

	initStringInfo(&buf);
	appendStringInfoString(&buf, jit_name_now(request->grantee, request->grantee_name));
	append_members(&buf, request->grantee, &n);
	if (n > MAX_MEMBERS_SHOWN)
		appendStringInfo(&buf, _(" and %d more"), n - MAX_MEMBERS_SHOWN);
	if (n > 0)
		appendStringInfoChar(&buf, ')');
	return buf.data;
}

/*
 * Names of the approvers, for the comment on the grant role.  Only those whose
 * approval counted.
 */
static char *
approved_by_text(const JitRequest *request)
{
	List	   *names = NIL;
	ListCell   *lc;

	if (request->emergency)
		return pstrdup(_("nobody (an emergency)"));
	if (request->reviews == NIL)
		return pstrdup(_("nobody (its flow needs no approval)"));
	foreach(lc, request->reviews)
	{
		JitReview  *review = lfirst(lc);

		if (review->counts)
			names = lappend(names, jit_name_now(review->approver, review->approver_name));
	}
	return jit_join(names, ", ");
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
				  " attnums = CASE WHEN columns IS NOT NULL THEN $4 END,"
				  " owner_oid = coalesce((SELECT oid FROM pg_authid WHERE rolname = owner), 0)"
				  " WHERE " JIT_THE_ROWS("request_items", "request_id = $1 AND item = $2"),
				  "iioS", request->id, foreach_current_index(lc) + 1,
				  item->address.objectId, jit_item_attnums(item));
	}
	/* roles of another database of this cluster are the same ones here */
	if (request->cluster)
	{
		jit_query("UPDATE jit.requests SET origin = $2 WHERE " JIT_THE_ROWS("requests", "id = $1"),
				  "it", request->id, jit_origin());
		return;
	}
	jit_query("UPDATE jit.reviews SET"
			  " approver_oid = coalesce((SELECT oid FROM pg_authid WHERE rolname = approver), 0),"
			  " login_oid = coalesce((SELECT oid FROM pg_authid WHERE rolname = login), 0)"
			  " WHERE " JIT_THE_ROWS("reviews", "request_id = $1"),
			  "i", request->id);
	jit_query("UPDATE jit.requests SET requester_oid = $2, login_oid = $3, grantee_oid = $4, origin = $5,"
			  " flow = (SELECT coalesce(jsonb_agg(CASE WHEN s ? 'oids' THEN s || jsonb_build_object('oids',"
			  "    (SELECT jsonb_agg(coalesce(a.oid::bigint, 0) ORDER BY n.position)"
			  "     FROM jsonb_array_elements_text(coalesce(s -> 'any_of', jsonb_build_array(s -> 'approver')))"
			  "      WITH ORDINALITY n (name, position) LEFT JOIN pg_authid a ON a.rolname = n.name))"
			  "   ELSE s END ORDER BY e.position), '[]')"
			  "  FROM jsonb_array_elements(flow) WITH ORDINALITY e (s, position))"
			  " WHERE " JIT_THE_ROWS("requests", "id = $1"),
			  "iooot", request->id, request->requester, request->login,
			  request->grantee, jit_origin());
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
						jit_request_text(request->id)),
				 errhint("It lapses by itself.")));
}

/*
 * Schedule a request whose approval is complete and whose start is to come: until
 * then nothing is given, and then it will be judged by what is so then.
 */
static void
schedule_request(JitRequest *request, TimestampTz now, TimestampTz deadline)
{
	JitOwnerSection section;
	char	   *access = jit_access_now(request);
	char	   *approved_by = approved_by_text(request);
	char	   *grantee = jit_role_name(request->grantee);
	char	   *starts_at = pstrdup(timestamptz_to_str(request->start));
	char	   *expires_at = pstrdup(timestamptz_to_str(deadline));
	char	   *stricter = jit_stricter_now(request);

	if (stricter != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s cannot be scheduled: policies or flows have changed since it was filed",
						jit_request_text(request->id)),
				 errdetail_internal("%s", stricter),
				 errhint("Reject it, and have it filed anew.")));
	jit_enter_owner_section(&section);
	if (!request->here)
		adopt_request(request);
	jit_query("UPDATE jit.requests SET status = 'scheduled', decided_at = $2, lapses_at = $3"
			  " WHERE " JIT_THE_ROWS("requests", "id = $1"),
			  "izz", request->id, now, deadline);
	jit_query("INSERT INTO jit.schedule (request_id) VALUES ($1)", "i", request->id);
	jit_event("scheduled", request->id,
			  jit_detail("grantee", grantee,
						 "access", jit_items_text(request->items, false),
						 "approved_by", approved_by,
						 "starts_at", starts_at,
						 "expires_at", expires_at, NULL),
			  psprintf("%s scheduled: %s gets %s at %s, until %s, approved by %s",
					   jit_request_text(request->id),
					   jit_name_now(request->grantee, request->grantee_name), access,
					   starts_at, expires_at, approved_by));
	jit_leave_owner_section(&section);
	jit_note_due(request->start);
	jit_note_pending();
	ereport(NOTICE,
			(errmsg("%s gets %s in %s at %s, until %s; end it with SELECT jit_revoke(%d);",
					jit_grantee_text(request), access, quote_identifier(jit_database_name()),
					jit_timestamp_text(request->start), jit_timestamp_text(deadline),
					request->id)));
}

/*
 * Make a request active whose approval is complete, by whoever has just agreed
 * (NULL if nobody had to) or has broken the glass, or scheduled: state and event; the access is given
 * by giving.c.  Under the row lock, or in the transaction that filed it.  Returns
 * the new status.
 */
JitStatus
jit_activate_request(JitRequest *request, const JitPerson *approver)
{
	JitOwnerSection section;
	TimestampTz now;
	TimestampTz deadline;
	char	   *access = jit_access_now(request);
	char	   *approved_by = approved_by_text(request);
	char	   *grantee;
	char	   *who;
	char	   *comment;
	ListCell   *lc;

	require_grantee(request);
	if (request->statement != NULL && !request->here)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s cannot become active: its statement was filed in another database",
						jit_request_text(request->id)),
				 errhint("Ask anew with jit_request().")));
	grantee = jit_role_name(request->grantee);
	/* a role may have become what can't be handed out since it was filed */
	(void) jit_check_grantee(grantee);
	foreach(lc, request->items)
		jit_check_item_requestable(lfirst(lc));

	now = jit_now();
	deadline = jit_deadline(request, now);
	if (deadline <= now)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s was for access until %s, which is past",
						jit_request_text(request->id), jit_timestamp_text(deadline))));
	if (!request->emergency)
		jit_check_room(request, deadline);
	if (request->start != DT_NOEND && request->start > now)
	{
		schedule_request(request, now, deadline);
		return JIT_SCHEDULED;
	}
	request->expires_at = deadline;

	comment = psprintf("jit_access: request %d in database %s: %s; approved by %s",
					   request->id, quote_identifier(jit_database_name()),
					   jit_items_text(request->items, true), approved_by);

	jit_enter_owner_section(&section);
	if (!request->here)
		adopt_request(request);
	jit_promise(request, now, approver, comment);
	jit_query("UPDATE jit.requests SET status = 'active', decided_at = coalesce(decided_at, $2),"
			  " activated_at = $2, expires_at = $3 WHERE " JIT_THE_ROWS("requests", "id = $1"),
			  "izz", request->id, now, deadline);
	if (request->status == JIT_SCHEDULED)
		jit_forget_schedule(request->id);
	if (request->emergency)
		jit_event("glass_broken", request->id,
				  jit_detail("grantee", grantee,
							 "access", jit_items_text(request->items, false),
							 "reason", request->reason,
							 "ticket", request->ticket,
							 "risk", request->risk,
							 "expires_at", timestamptz_to_str(deadline), NULL),
				  psprintf("GLASS BROKEN: %s: %s has taken %s until %s, approved by nobody",
						   jit_request_text(request->id), quote_identifier(grantee), access,
						   timestamptz_to_str(deadline)));
	jit_event("activated", request->id,
			  jit_detail("grantee", grantee,
						 "formerly", strcmp(grantee, request->grantee_name) != 0 ?
						 request->grantee_name : NULL,
						 "access", jit_items_text(request->items, false),
						 "approved_by", approved_by,
						 "expires_at", timestamptz_to_str(deadline), NULL),
			  psprintf("%s activated: %s has %s until %s, approved by %s",
					   jit_request_text(request->id),
					   jit_name_now(request->grantee, request->grantee_name), access,
					   timestamptz_to_str(deadline), approved_by));
	jit_leave_owner_section(&section);

	who = jit_grantee_text(request);
	if (request->statement != NULL)
		ereport(NOTICE,
				(errmsg("%s can run the statement of %s until %s: SELECT jit_run(%d);",
						who, jit_request_text(request->id), jit_timestamp_text(deadline),
						request->id),
				 jit_mentions_commit() ?
				 errdetail("It works once this transaction is committed.") : 0));
	else
		ereport(NOTICE,
				(errmsg("%s has %s in %s until %s; end it with SELECT jit_revoke(%d);",
						who, access, quote_identifier(jit_database_name()),
						jit_timestamp_text(deadline), request->id),
				 jit_mentions_commit() ?
				 errdetail("It works once this transaction is committed.") : 0));
	return JIT_ACTIVE;
}

/*
 * Make a scheduled request active whose time has come, as its last approval
 * would now.  For a sweeper, under the row lock; raises if it can't be, and
 * asks once more at the commit.
 */
void
jit_start_request(JitRequest *request)
{
	JitProgress progress;
	char	   *why;

	jit_load_request_items(request, false);
	jit_flow_progress(request, &progress);
	if (!progress.complete)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("it lacks %s", jit_lacks_text(jit_lacks_for(request, &progress, InvalidOid))),
				 progress.lost ? errdetail_internal("%s", progress.lost) : 0));
	why = jit_stricter_now(request);
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("policies and flows have changed"),
				 errdetail_internal("%s", why)));
	(void) jit_activate_request(request, NULL);
}

/* The same, of a request that nobody can approve any more. */
static bool
may_clear_away(const JitRequest *request, const JitPerson *person)
{
	return GetUserId() == GetOuterUserId() && jit_why_not_decide(person) == NULL &&
		jit_owned_then(request, person) && jit_why_hopeless(request) != NULL;
}

/*
 * Raise, and tell nothing of the request, if it is none of the caller's
 * business.  Before anything else about it is looked at.
 */
void
jit_check_concerned(JitRequest *request, const JitPerson *person,
					const char *message)
{
	if (jit_concerns(request, person))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg(message, jit_request_text(request->id)),
			 errdetail("It does not concern you.")));
}

/*
 * Raise unless the caller may decide on the request.  A decision is the
 * session's own: code that runs with somebody else's rights can't take it.
 */
static void
check_approver(JitRequest *request, const JitPerson *person, bool ending,
			   const char *message)
{
	char	   *why = NULL;

	if (GetUserId() != GetOuterUserId())
		why = pstrdup(_("It cannot be decided from inside a SECURITY DEFINER function."));
	else
		why = jit_why_not_approve(request, person, ending);

	/*
	 * of what has just been dropped nobody is an owner: that is the error
	 * then
	 */
	if (why != NULL)
		(void) jit_items_text(request->items, true);
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		/* jit_grant()'s number is gone with the error */
				 request->direct ?
				 errmsg("you cannot grant %s to %s", request->access,
						quote_identifier(request->grantee_name)) :
				 errmsg(message, jit_request_text(request->id)),
				 errdetail_internal("%s", why),
				 request->status == JIT_PENDING && ending && !request->direct &&
				 jit_is_party(person, request->requester, NULL, false) ?
				 errhint("You can end your own request with jit_cancel().") : 0));
}

/*
 * Count the caller's approval, who has been checked, and make the access if
 * it was the last.  Returns the new status.
 */
static JitStatus
approve_request(JitRequest *request, const JitPerson *person,
				Interval *duration, const char *comment)
{
	JitProgress progress;
	char	   *stricter;

	jit_flow_progress(request, &progress);
	jit_store_review(request, "approve", progress.step, person, duration, comment);
	/* nobody need wait for the end of more than that */
	if (request->start != DT_NOEND && duration != NULL)
	{
		JitOwnerSection section;

		jit_enter_owner_section(&section);
		jit_query("UPDATE jit.requests SET lapses_at = least(lapses_at, $2)"
				  " WHERE " JIT_THE_ROWS("requests", "id = $1"),
				  "iz", request->id, jit_deadline(request, jit_now()));
		jit_leave_owner_section(&section);
	}
	jit_event("approved", request->id,
			  jit_detail("step", psprintf("%d", progress.step),
						 "duration", duration ? jit_interval_text(duration) : NULL,
						 "comment", comment, NULL),
			  psprintf("%s approved by %s, step %d of %d", jit_request_text(request->id),
					   quote_identifier(jit_role_name(person->role)),
					   progress.step, progress.steps));
	stricter = jit_stricter_now(request);
	if (stricter != NULL)
		ereport(NOTICE,
				(errmsg("what applied when %s was filed applies", jit_request_text(request->id)),
				 errdetail_internal("%s", stricter)));

	jit_flow_progress(request, &progress);
	if (progress.complete)
		return jit_activate_request(request, person);

	/* what was dropped since the items were loaded is an error, too */
	(void) jit_items_text(request->items, true);
	request->direct = false;
	jit_report_pending(request);
	return JIT_PENDING;
}

static Datum
status_datum(JitStatus status)
{
	JitOwnerSection section;
	Datum		result;
	bool		isnull;

	jit_enter_owner_section(&section);
	jit_query("SELECT $1::jit.request_status",
			  "t", jit_status_name(status));
	result = jit_result(1, 1, &isnull);
	jit_leave_owner_section(&section);
	return result;
}

/* ----------------------------------------------------------------------
 * The SQL functions
 * ----------------------------------------------------------------------
 */

/* File what has been asked for; returns its number. */
static int
ask(FunctionCallInfo fcinfo, JitRequest *request, int64 usecs)
{
	JitProgress progress;

	/* for others, or as another than who has logged in */
	if (request->grantee != request->login || request->requester != request->login ||
		request->via != NULL)
		jit_require_top_level(fcinfo);
	jit_file_request(request, usecs);

	jit_flow_progress(request, &progress);
	if (progress.complete)
		(void) jit_activate_request(request, NULL);
	else
		jit_report_pending(request);
	return request->id;
}

/* jit_request(access, duration, reason, until, ticket, grantee, start) */
Datum
jit_request(PG_FUNCTION_ARGS)
{
	JitRequest *request;
	int64		usecs;

	prevent_on_standby(fcinfo, gettext_noop("access cannot be requested on a standby server"));
	request = jit_request_from_arguments(fcinfo, &jit_request_arguments, false, &usecs);
	PG_RETURN_INT32(ask(fcinfo, request, usecs));
}

/* jit_extend(request, duration, reason, ticket) */
Datum
jit_extend(PG_FUNCTION_ARGS)
{
	int			id = request_argument(fcinfo);
	Interval   *duration = PG_ARGISNULL(1) ? NULL : PG_GETARG_INTERVAL_P(1);
	char	   *reason = jit_text_argument(fcinfo, 2, "reason");
	char	   *ticket = jit_text_argument(fcinfo, 3, "ticket");
	JitRequest *old;
	JitRequest *request;
	JitPerson	person;
	int64		usecs;

	prevent_on_standby(fcinfo, gettext_noop("access cannot be extended on a standby server"));
	jit_acting_person_for(&person, id);
	old = jit_load_request(id, false);
	jit_check_concerned(old, &person, gettext_noop("you cannot extend %s"));
	if (!may_extend(old, &person))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("you cannot extend %s", jit_request_text(id)),
				 errdetail("Only whoever asked for it or gets the access can.")));
	if (jit_present_status(old) == JIT_SCHEDULED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is scheduled, and starts at %s", jit_request_text(id),
						jit_timestamp_text(old->start)),
				 errhint("To ask for something else, end it first: SELECT jit_revoke(%d);", id)));
	if (jit_present_status(old) == JIT_PENDING)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is still pending", jit_request_text(id)),
				 errhint("To ask for something else, withdraw it first: SELECT jit_cancel(%d);", id)));
	request = jit_request_to_extend(old, duration, reason, ticket, &usecs);
	PG_RETURN_INT32(ask(fcinfo, request, usecs));
}

/* jit_grant(access, grantee, duration, reason, until, ticket, start) */
Datum
jit_grant(PG_FUNCTION_ARGS)
{
	static const JitArguments at = {
		.access = 0,.grantee = 1,.duration = 2,.reason = 3,.until = 4,.ticket = 5,.start = 6,
		.statement = 7,.runs = 8
	};
	JitRequest *request;
	JitProgress progress;
	JitPerson	person;
	char	   *why;
	int64		usecs;

	prevent_on_standby(fcinfo, gettext_noop("access cannot be granted on a standby server"));
	jit_require_top_level(fcinfo);
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("grantee must not be null"),
				 errhint("To ask for access yourself, use jit_request().")));
	jit_acting_person(&person);
	request = jit_request_from_arguments(fcinfo, &at, true, &usecs);
	why = jit_why_not_decide(&person);
	if (why == NULL)
		why = jit_why_not_impartial(request, &person);
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("you cannot grant %s to %s", request->access,
						quote_identifier(request->grantee_name)),
				 errdetail_internal("%s", why)));
	jit_file_request(request, usecs);

	/* filing is undone with the error if the caller may not approve */
	jit_flow_progress(request, &progress);
	check_approver(request, &person, false, gettext_noop("you cannot grant %s"));
	if (progress.complete)
		(void) jit_activate_request(request, &person);
	else
		(void) approve_request(request, &person, NULL, NULL);
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
	jit_interval_usecs(request->duration, "duration") :
	request->until - jit_begins(request, jit_now());
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
			 errmsg("%s stays as short as it was approved", jit_request_text(request->id)) :
			 errmsg("%s stays as short as requested", jit_request_text(request->id)),
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
	JitStatus	status;

	prevent_on_standby(fcinfo, gettext_noop("access cannot be approved on a standby server"));
	jit_require_top_level(fcinfo);
	jit_acting_person_for(&person, id);
	if (duration == NULL && comment != NULL && jit_is_duration(comment))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the comment \"%s\" is a duration", jit_shown(comment)),
				 errhint("To approve it for so long at most: SELECT jit_approve(%d, duration => %s);",
						 id, quote_literal_cstr(comment))));
	if (duration != NULL)
		usecs = jit_interval_usecs(duration, "duration");

	/* once to see whether the caller may, then again under the lock */
	for (int locked = 0; locked <= 1; locked++)
	{
		request = jit_load_request(id, locked);
		jit_check_concerned(request, &person, gettext_noop("you cannot approve %s"));
		/* of what is gone nobody is an approver any more */
		if (jit_present_status(request) != JIT_PENDING && !jit_owned_then(request, &person))
		{
			jit_load_request_items(request, true);
			check_approver(request, &person, true, gettext_noop("you cannot approve %s"));
		}
		jit_require_status(request, &person, JIT_PENDING);
		request->items = NIL;
		jit_load_request_items(request, false);
		check_approver(request, &person, false, gettext_noop("you cannot approve %s"));
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

	prevent_on_standby(fcinfo, gettext_noop("access cannot be rejected on a standby server"));
	jit_require_top_level(fcinfo);
	jit_acting_person_for(&person, id);
	for (int locked = 0; locked <= 1; locked++)
	{
		request = jit_load_request(id, locked);
		jit_check_concerned(request, &person, gettext_noop("you cannot reject %s"));
		if (jit_caller_may_end_all(&person))
		{
			/* in its step, if it can still be told */
			if (request->here)
				jit_load_request_items(request, true);
		}
		else
		{
			jit_load_request_items(request, true);
			if (!may_clear_away(request, &person))
				check_approver(request, &person, true, gettext_noop("you cannot reject %s"));
		}
		jit_require_status(request, &person, JIT_PENDING);
	}

	jit_flow_progress(request, &progress);
	jit_store_review(request, "reject", progress.step, &person, NULL, comment);
	jit_finish_request(id, JIT_REJECTED, jit_now(),
					   psprintf("%s rejected by %s", jit_request_text(id),
								quote_identifier(jit_role_name(person.role))),
					   jit_detail("comment", comment, NULL));
	ereport(NOTICE,
			(errmsg("%s is rejected: %s does not get %s", jit_request_text(id),
					jit_name_now(request->grantee, request->grantee_name), request->access)));
	PG_RETURN_DATUM(status_datum(JIT_REJECTED));
}

/* jit_cancel(request, reason) */
Datum
jit_cancel(PG_FUNCTION_ARGS)
{
	int			id = request_argument(fcinfo);
	char	   *reason = jit_text_argument(fcinfo, 1, "reason");
	JitRequest *request;
	JitPerson	person;

	prevent_on_standby(fcinfo, gettext_noop("access cannot be canceled on a standby server"));
	jit_acting_person_for(&person, id);
	for (int locked = 0; locked <= 1; locked++)
	{
		request = jit_load_request(id, locked);
		jit_check_concerned(request, &person, gettext_noop("you cannot cancel %s"));
		if (!jit_is_own(request, &person) &&
			!jit_is_party_login(&person, request->login, NULL))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("you cannot cancel %s", jit_request_text(id)),
					 errdetail("Only whoever asked for it or gets the access can."),
					 request->status == JIT_PENDING ?
					 errhint("An approver can end it with jit_reject().") : 0));
		jit_require_status(request, &person, JIT_PENDING);
	}

	jit_finish_request(id, JIT_CANCELED, jit_now(),
					   psprintf("%s canceled by %s", jit_request_text(id),
								quote_identifier(jit_role_name(person.role))),
					   jit_detail("reason", reason, NULL));
	ereport(NOTICE,
			(errmsg("%s is canceled: %s does not get %s", jit_request_text(id),
					jit_name_now(request->grantee, request->grantee_name), request->access)));
	PG_RETURN_DATUM(status_datum(JIT_CANCELED));
}

/*
 * End the active or scheduled access of a request.  Under the row lock.  Raises where the
 * grant is another database's; with "certain", also if a role that may be
 * the grant's is there but was altered so that it isn't known to be.
 */
void
jit_end_access(const JitRequest *request, const char *reason, bool certain)
{
	JitOwnerSection section;
	JitGrant	grant;
	JitPerson	person;
	Oid			role;
	char	   *logline;
	bool		given;

	if (jit_is_copy(request->origin))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is a copy of a request of another database",
						jit_request_text(request->id)),
				 errhint("Revoke it in database %s.",
						 quote_identifier(jit_name_of_database(atooid(strchr(request->origin, '/') + 1))))));

	jit_current_person(&person);
	jit_enter_owner_section(&section);
	memset(&grant, 0, sizeof(grant));
	grant.request = request->id;
	grant.grantee_oid = request->grantee;
	grant.grantee = request->grantee_name;
	grant.cluster = request->cluster;
	given = jit_query("SELECT role, role_oid, expires_at FROM jit.grants WHERE request_id = $1",
					  "i", request->id) > 0;
	if (given)
	{
		grant.role = jit_result_text(1, 1);
		grant.role_oid = jit_result_oid(1, 2);
		grant.expires_at = jit_result_time(1, 3);
		role = request->cluster ? grant.role_oid : get_role_oid(grant.role, true);
		if (!jit_end_grant(&grant) && certain &&
			SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("%s cannot be revoked here", jit_request_text(request->id)),
					 errdetail("Role %s has been altered natively.",
							   quote_identifier(jit_role_name(role))),
					 errhint("A superuser can end it with DROP ROLE %s.",
							 quote_identifier(jit_role_name(role)))));
	}
	logline = psprintf(request->status == JIT_SCHEDULED ? "%s revoked by %s: %s does not get %s" :
					   "%s revoked by %s: %s no longer has %s through it",
					   jit_request_text(request->id),
					   quote_identifier(jit_role_name(person.role)),
					   jit_name_now(request->grantee, request->grantee_name), request->access);
	/* what is only promised, or scheduled, isn't given */
	if (!given)
		jit_end_request(request->id, JIT_REVOKED, logline,
						jit_detail("reason", reason, NULL));
	else
		jit_end_event("revoked", request->id, jit_now(),
					  jit_detail("reason", reason, NULL), logline);
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
		jit_end_event("shortened", id, DT_NOEND, jit_detail("reason", reason, NULL),
					  psprintf("%s ended by %s while another transaction is changing it",
							   jit_request_text(id),
							   quote_identifier(jit_role_name(person->role))));
	jit_leave_owner_section(&section);
	return ended;
}

static void
try_to_lock(void *arg)
{
	int			id = *(int *) arg;

	jit_set_locally("lock_timeout", LONGEST_WAIT);
	(void) jit_query("SELECT FROM jit.requests WHERE id = $1 FOR UPDATE",
					 "i", id);
}

/*
 * Wait for the lock on the row of a request, but not for good: the grantee may
 * have it, and leave their transaction open to keep the access.  False if it
 * isn't to be had.
 */
static bool
wait_for_request(int id)
{
	return !jit_lock_failed(jit_try_as_owner(try_to_lock, &id));
}

/* jit_revoke(request, reason) */
Datum
jit_revoke(PG_FUNCTION_ARGS)
{
	int			id = request_argument(fcinfo);
	char	   *reason = jit_text_argument(fcinfo, 1, "reason");
	JitRequest *request;
	JitPerson	person;

	prevent_on_standby(fcinfo, gettext_noop("access cannot be revoked on a standby server"));
	jit_acting_person_for(&person, id);
	for (int locked = 0; locked <= 1; locked++)
	{
		request = jit_load_request(id, locked);
		jit_check_concerned(request, &person, gettext_noop("you cannot revoke %s"));
		if (!jit_is_party(&person, request->grantee, NULL, false))
		{
			jit_require_top_level(fcinfo);
			if (!jit_caller_may_end_all(&person) && !jit_is_own(request, &person))
			{
				jit_load_request_items(request, true);
				check_approver(request, &person, true, gettext_noop("you cannot revoke %s"));
			}
		}
		jit_require_status(request, &person, JIT_ACTIVE);
		if (locked || wait_for_request(id))
			continue;
		if (!end_locked_access(id, reason, &person))
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("%s cannot be revoked while another transaction is changing it",
							jit_request_text(id)),
					 request->status == JIT_SCHEDULED ?
					 errhint("Try again, or end all of its grantee's with jit_revoke_from(), which does not wait.") :
					 errhint("Try again. A superuser can end it with DROP ROLE, too.")));
		ereport(NOTICE,
				(errmsg("%s has ended: %s no longer has %s through it",
						jit_request_text(id), jit_name_now(request->grantee, request->grantee_name),
						request->access),
				 errdetail("It is not said to be revoked, as another transaction is changing it.")));
		jit_warn_of_remains(request);
		PG_RETURN_DATUM(status_datum(JIT_EXPIRED));
	}

	jit_end_access(request, reason, true);
	ereport(NOTICE,
			(errmsg(request->status == JIT_SCHEDULED ? "%s is revoked: %s does not get %s" :
					"%s is revoked: %s no longer has %s through it",
					jit_request_text(id), jit_name_now(request->grantee, request->grantee_name),
					request->access),
			 jit_mentions_commit() ?
			 errdetail("It ends once this transaction is committed.") : 0));
	jit_warn_of_remains(request);
	PG_RETURN_DATUM(status_datum(JIT_REVOKED));
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
 * End every access, also what is scheduled, and cancel every pending request of
 * a grantee, or of everyone for InvalidOid.  The panic button must not wait for rows that
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
	ListCell   *lc;
	int			n;
	int			revoked = 0;
	int			canceled = 0;
	TimestampTz pressed = jit_now();

	jit_acting_person(&person);
	if (!jit_caller_may_end_all(&person))
	{
		char	   *why = jit_why_not_decide(&person);

		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to revoke access of others"),
				 why != NULL ? errdetail_internal("%s", why) :
				 errdetail("Only JIT administrators may.")));
	}

	jit_enter_owner_section(&section);
	/* what is under way, and can't be seen yet, learns of it by this */
	(void) jit_query("DELETE FROM jit.revocations"
					 " WHERE " JIT_THE_ROWS("revocations", "at < $1 FOR UPDATE SKIP LOCKED"),
					 "z", pressed - 30 * USECS_PER_DAY);
	(void) jit_query("INSERT INTO jit.revocations (at, grantee_oid) VALUES ($1, $2)",
					 "zo", pressed, grantee);
	jit_note_press(grantee, pressed);
	/* by name too: rows that came by restore have no OIDs that count */
	n = jit_query("WITH mine AS (SELECT id FROM jit.requests WHERE status IN ('pending', 'scheduled', 'active')"
				  "  AND ($1 = 0 OR CASE WHEN origin = $2 THEN grantee_oid = $1 ELSE grantee = $3 END)"
				  "  FOR UPDATE SKIP LOCKED)"
				  " SELECT r.id, m.id IS NULL FROM jit.requests r LEFT JOIN mine m ON m.id = r.id"
				  " WHERE status IN ('pending', 'scheduled', 'active')"
				  "  AND ($1 = 0 OR CASE WHEN origin = $2 THEN grantee_oid = $1 ELSE grantee = $3 END)"
				  " ORDER BY 1",
				  "ott", grantee, jit_origin(),
				  OidIsValid(grantee) ? jit_role_name(grantee) : "");
	for (int i = 1; i <= n; i++)
	{
		int			id = jit_result_int(i, 1);

		if (jit_result_bool(i, 2))
			locked = lappend_int(locked, id);
		else
			ids = lappend_int(ids, id);
	}
	jit_leave_owner_section(&section);

	foreach(lc, ids)
	{
		JitRequest *request = jit_load_request(lfirst_int(lc), false);

		CHECK_FOR_INTERRUPTS();
		if (request->status == JIT_ACTIVE || request->status == JIT_SCHEDULED)
		{
			/* the original of a copied row is ended through its roles below */
			if (jit_is_copy(request->origin))
				continue;
			jit_end_access(request, reason, false);
			revoked++;
		}
		else
		{
			jit_end_request(request->id, JIT_CANCELED,
							psprintf("%s canceled by %s", jit_request_text(request->id),
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
		if (request->status == JIT_ACTIVE && request->expires_at <= jit_now())
			continue;
		/* it doesn't start any more: see jit_revoked_since() */
		if (request->status == JIT_SCHEDULED)
		{
			revoked++;
			continue;
		}
		ereport(WARNING,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("%s was not ended: another transaction is changing it",
						jit_request_text(lfirst_int(lc))),
				 errhint("Find it in pg_stat_activity, end it with pg_terminate_backend(), and run this again.")));
	}
	ereport(NOTICE,
			(errmsg_plural("ended access by %d request in %s and %d in other databases; canceled %d pending",
						   "ended access by %d requests in %s and %d in other databases; canceled %d pending",
						   revoked, revoked, quote_identifier(jit_database_name()), n, canceled)));
	if (OidIsValid(grantee))
		warn_of_groups(grantee);
	return revoked + canceled + n;
}

/* jit_revoke_from(grantee, reason) */
Datum
jit_revoke_from(PG_FUNCTION_ARGS)
{
	char	   *reason;

	prevent_on_standby(fcinfo, gettext_noop("access cannot be revoked on a standby server"));
	jit_require_top_level(fcinfo);
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
	prevent_on_standby(fcinfo, gettext_noop("access cannot be revoked on a standby server"));
	jit_require_top_level(fcinfo);
	PG_RETURN_INT32(revoke_many(InvalidOid, jit_required_text(fcinfo, 0, "reason")));
}

/* ----------------------------------------------------------------------
 * Restored rows
 * ----------------------------------------------------------------------
 */

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

	/*
	 * one that comes active is restored, perhaps without its role; so is one
	 * that comes scheduled, which doesn't start
	 */
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
