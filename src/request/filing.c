/*-------------------------------------------------------------------------
 *
 * filing.c
 *		Filing a request: what may be asked for, by whom, for how long.
 *
 * Everything about a request is checked and resolved as the caller; then its
 * risk is judged and held against its flow; then it is written with its items
 * and its event, in the caller's transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/due.h"
#include "base/gateway.h"
#include "base/guc.h"
#include "base/query.h"
#include "base/text.h"
#include "request/access.h"
#include "request/emergency.h"
#include "request/event.h"
#include "request/filing.h"
#include "request/grant.h"
#include "request/limit.h"
#include "request/policy.h"
#include "request/statement.h"

#include "catalog/catalog.h"
#include "catalog/pg_collation.h"

#define TOO_LONG (((int64) INT_MAX + 1) * USECS_PER_SEC)	/* for any setting */

const JitArguments jit_request_arguments = {
	.access = 0,.duration = 1,.reason = 2,.until = 3,.ticket = 4,.grantee = 5,.start = 6,
	.statement = 7,.runs = 8
};

/*
 * The role that is to get access.  Raises if it can't.
 */
Oid
jit_check_grantee(const char *grantee)
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
	if (jit_is_of_others(oid))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_GRANT_OPERATION),
				 errmsg("temporary access cannot be given to role %s",
						quote_identifier(grantee)),
				 errdetail("It is listed in jit_access.gateway_logins or jit_access.proxy_logins: others are behind it."),
				 errhint("Name the role of a person.")));
	if (superuser_arg(oid))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_GRANT_OPERATION),
				 errmsg("role %s is a superuser and has all access anyway",
						quote_identifier(grantee))));
	return oid;
}

/*
 * A request of whoever is at the other end of the session, for a role or, if
 * that is NULL, for themselves.  "direct" says that it is for jit_grant(),
 * "extends" which one it extends, 0 for none.  Raises if the role can't get
 * access, or it isn't theirs to ask for.
 */
static JitRequest *
new_request(const char *grantee, bool direct, int extends)
{
	JitRequest *request = palloc0(sizeof(JitRequest));
	JitPerson	person;

	if (direct)
		jit_acting_person(&person);
	else
		jit_acting_person_for(&person, extends);
	if (jit_is_of_others(person.role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role %s asks for nothing itself", quote_identifier(jit_role_name(person.role))),
				 errdetail("It is listed in jit_access.proxy_logins: others are behind it."),
				 errhint("Ask as the role of a person, after SET ROLE.")));
	request->via = person.via;
	request->extends = extends;
	request->requester = person.role;
	request->login = person.login;
	request->requester_name = jit_role_name(person.role);
	request->login_name = jit_role_name(person.login);
	request->grantee_name = grantee ? pstrdup(grantee) : request->requester_name;
	request->grantee = jit_check_grantee(request->grantee_name);
	request->expires_at = request->start = request->decided_at = DT_NOEND;
	request->status = JIT_PENDING;
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
	return request;
}

/* A start must be a time to come. */
static void
check_start(TimestampTz start, TimestampTz now)
{
	if (TIMESTAMP_NOT_FINITE(start))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("start must not be infinite")));
	if (start <= now)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("start is in the past"),
				 errdetail("It is %s now.", jit_timestamp_text(now)),
				 errhint("For access that starts at once, leave it out.")));
}

/*
 * For how long the request is, from its start or from now, in microseconds.  What is longer than
 * anything that may be is cut, so that sums don't overflow; what is missing, of
 * which jit_complaints() complains, is judged as if it were the usual.
 */
static int64
requested_usecs(const JitRequest *request, TimestampTz now)
{
	TimestampTz until = request->until;
	int64		usecs;

	if (request->start != DT_NOEND)
		check_start(request->start, now);
	if (request->duration == NULL && until == DT_NOEND)
		return JIT_USUAL_DURATION;
	if (request->duration != NULL && until != DT_NOEND)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("duration and until cannot both be given")));
	if (request->duration != NULL)
		usecs = jit_interval_usecs(request->duration, "duration");
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
		if (request->start != DT_NOEND && until <= request->start)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("until is not after start")));
		usecs = until - jit_begins(request, now);
	}
	return Min(usecs, TOO_LONG);
}

/* Raise if the item would be of no use to the grantee, or make a circle. */
static void
check_item_for_grantee(const JitItem *item, const JitRequest *request)
{
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
}

/* The grantee has all of it anyway: by what, in a sentence. */
static char *
held_text(const JitRequest *request)
{
	JitItem    *item = linitial(request->items);
	char	   *source = jit_item_source(item, request->grantee);
	Oid			database;
	int			id;

	if (source == NULL)
		return "";
	if (jit_parse_grant_name(source, &database, &id))
		return psprintf(_("%s comes through request %d until %s."),
						jit_item_text(item), id,
						jit_timestamp_text(jit_role_deadline(get_role_oid(source, false))));
	if (strcmp(source, "public") == 0)
		return psprintf(_("%s is granted to PUBLIC."), jit_item_text(item));
	return psprintf(_("%s comes through role %s."),
					jit_item_text(item), quote_identifier(source));
}

/*
 * Raise if what the request is for can't be asked for.  Sets request->held if
 * it needn't be.
 */
static void
check_items(JitRequest *request, TimestampTz until)
{
	bool		held = true;
	ListCell   *lc;

	foreach(lc, request->items)
	{
		JitItem    *item = lfirst(lc);

		if (request->statement == NULL)
			check_item_for_grantee(item, request);
		if (jit_item_needs_superuser(item, &request->elsewhere) != NULL)
			request->needs_superuser = true;
		/* access that ends at that very time is as good */
		if (held && !jit_item_held(item, request->grantee, JIT_FILTER_LIVE, until - 1))
			held = false;
	}
	if (held)
		request->held = held_text(request);
	request->access = jit_items_text(request->items, false);
	/* what a statement runs as has nothing */
	request->items = jit_add_schema_usage(request->items, request->statement != NULL ?
										  InvalidOid : request->grantee);
}

/* jit_parse_access(); what a gateway says has names of its own to nobody. */
static List *
parse_access(const JitRequest *request, const char *access)
{
	int			nestlevel = NewGUCNestLevel();
	List	   *items;

	if (request->via != NULL)
		jit_set_locally("search_path", "");
	items = jit_parse_access(access);
	AtEOXact_GUC(true, nestlevel);
	return items;
}

static bool
is_given(FunctionCallInfo fcinfo, int argument)
{
	return argument >= 0 && !PG_ARGISNULL(argument);
}

/* A point in time, DT_NOEND if it isn't given: what is infinite is refused. */
static TimestampTz
time_argument(FunctionCallInfo fcinfo, int argument)
{
	TimestampTz at;

	if (!is_given(fcinfo, argument))
		return DT_NOEND;
	at = PG_GETARG_TIMESTAMPTZ(argument);
	return at == DT_NOEND ? DT_NOBEGIN : at;
}

/*
 * A request as the arguments of a call say, which stand "at" these numbers.
 * Checks everything about it as the caller, and raises for whatever is wrong;
 * files nothing.  *usecs is how long it is for.
 */
JitRequest *
jit_request_from_arguments(FunctionCallInfo fcinfo, const JitArguments *at,
						   bool direct, int64 *usecs)
{
	char	   *statement = is_given(fcinfo, at->statement) ?
	jit_text_argument(fcinfo, at->statement, "statement") : NULL;
	char	   *access = statement == NULL ? jit_required_text(fcinfo, at->access, "access") :
	jit_text_argument(fcinfo, at->access, "access");
	char	   *why = jit_text_argument(fcinfo, at->reason, "reason");
	char	   *ticket = jit_text_argument(fcinfo, at->ticket, "ticket");
	TimestampTz now = jit_now();
	JitRequest *request;

	(void) jit_open_ledger();
	request = new_request(is_given(fcinfo, at->grantee) ?
						  NameStr(*PG_GETARG_NAME(at->grantee)) : NULL,
						  direct, 0);
	request->reason = why;
	request->ticket = ticket;
	request->duration = is_given(fcinfo, at->duration) ? PG_GETARG_INTERVAL_P(at->duration) : NULL;
	request->until = time_argument(fcinfo, at->until);
	request->start = time_argument(fcinfo, at->start);
	*usecs = requested_usecs(request, now);
	request->asked = access;
	if (access != NULL)
		request->items = parse_access(request, access);
	if (statement != NULL)
		jit_take_statement(request, statement,
						   is_given(fcinfo, at->runs) ? PG_GETARG_INT32(at->runs) : 0,
						   is_given(fcinfo, at->runs));
	else if (is_given(fcinfo, at->runs))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("runs are those of a statement"),
				 errhint("Give the statement: SELECT jit_request(statement => '...', runs => 2, ...);")));
	check_items(request, jit_begins(request, now) + *usecs);
	return request;
}

/*
 * A request for what another one was for, and the same grantee, that whoever
 * is at the other end of the session would file now.  What isn't given (NULL)
 * is taken from there.  Checked as above.
 */
JitRequest *
jit_request_to_extend(JitRequest *old, Interval *duration, char *reason,
					  char *ticket, int64 *usecs)
{
	TimestampTz now = jit_now();
	TimestampTz until = duration == NULL ? old->until : DT_NOEND;
	JitRequest *request;
	ListCell   *lc;

	if (!OidIsValid(old->grantee))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role %s, which %s was for, does not exist any more",
						quote_identifier(old->grantee_name),
						jit_request_text(old->id))));
	if (until <= now || (old->status == JIT_ACTIVE && until <= old->expires_at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s cannot be extended without a duration", jit_request_text(old->id)),
				 errdetail("It was for access until %s.", jit_timestamp_text(until)),
				 errhint("Such as: SELECT jit_extend(%d, '1 hour');", old->id)));

	if (old->statement != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s cannot be extended: it is for a statement", jit_request_text(old->id)),
				 errhint("Ask anew with jit_request(statement => ...); its text is in jit.my_requests and jit_show().")));
	request = new_request(jit_role_name(old->grantee), false, old->id);
	request->reason = reason != NULL ? reason : old->reason;
	request->ticket = ticket != NULL ? ticket : old->ticket;
	request->duration = duration != NULL ? duration : old->duration;
	request->until = until;
	*usecs = requested_usecs(request, now);

	/* what was added is added again if it is still needed */
	jit_load_request_items(old, true);
	foreach(lc, old->items)
	{
		JitItem    *item = lfirst(lc);

		item->filed_as = NULL;
		if (!item->added)
			request->items = lappend(request->items, item);
	}
	if (request->items == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("nothing of what %s was for is left", jit_request_text(old->id)),
				 errdetail("Dropped since: %s.", jit_join(old->gone, ", ")),
				 errhint("Ask for what there is now with jit_request().")));
	if (old->gone != NIL)
		ereport(NOTICE,
				(errmsg("left out is what has been dropped since %s: %s",
						jit_request_text(old->id), jit_join(old->gone, ", "))));
	foreach(lc, request->items)
		jit_check_item_requestable(lfirst(lc));
	check_items(request, now + *usecs);
	return request;
}

/*
 * The call that would file the request, or explain it, with what is in place
 * of what isn't to be used of it: a reason, a ticket, or how long.
 */
static char *
call_text(const JitRequest *request, bool explain, const char *reason,
		  const char *ticket, const char *length)
{
	const char *access = request->asked != NULL ? request->asked : request->access;
	bool		extend = request->extends != 0 && !explain;
	StringInfoData call;

	initStringInfo(&call);
	if (request->statement != NULL)
	{
		appendStringInfo(&call, "%s(statement => %s, duration => %s, reason => %s",
						 explain ? "jit_explain" : request->direct ? "jit_grant" : "jit_request",
						 quote_literal_cstr(jit_shown(request->statement)),
						 quote_literal_cstr(length != NULL ? length : request->duration != NULL ?
											jit_interval_text(request->duration) : "1 hour"),
						 quote_literal_cstr(jit_shown(reason)));
		if (ticket != NULL)
			appendStringInfo(&call, ", ticket => %s", quote_literal_cstr(jit_shown(ticket)));
		if (request->direct || request->grantee != request->requester)
			appendStringInfo(&call, ", grantee => %s", quote_literal_cstr(request->grantee_name));
		appendStringInfoChar(&call, ')');
		return call.data;
	}
	if (extend)
		appendStringInfo(&call, "jit_extend(%d", request->extends);
	else
		appendStringInfo(&call, "%s(%s", explain ? "jit_explain" :
						 request->emergency ? "jit_break_glass" :
						 request->direct ? "jit_grant" : "jit_request",
						 quote_literal_cstr(jit_shown(access)));
	if (request->direct)
		appendStringInfo(&call, ", %s", quote_literal_cstr(request->grantee_name));
	if (length == NULL && request->duration == NULL && !extend && request->until != DT_NOEND)
		appendStringInfo(&call, ", until => %s, reason => %s",
						 quote_literal_cstr(timestamptz_to_str(request->until)),
						 quote_literal_cstr(jit_shown(reason)));
	else if (length == NULL && request->duration == NULL)
		appendStringInfo(&call, ", reason => %s", quote_literal_cstr(jit_shown(reason)));
	else
		appendStringInfo(&call, ", %s, %s",
						 quote_literal_cstr(length != NULL ? length : jit_interval_text(request->duration)),
						 quote_literal_cstr(jit_shown(reason)));
	if (ticket != NULL)
		appendStringInfo(&call, ", ticket => %s", quote_literal_cstr(jit_shown(ticket)));
	if (request->start != DT_NOEND)
		appendStringInfo(&call, ", start => %s", quote_literal_cstr(timestamptz_to_str(request->start)));
	if (!request->direct && !extend && request->grantee != request->requester)
		appendStringInfo(&call, ", grantee => %s", quote_literal_cstr(request->grantee_name));
	appendStringInfoChar(&call, ')');
	return call.data;
}

static void
complain(List **complaints, char *message, char *detail)
{
	JitComplaint *complaint = palloc(sizeof(JitComplaint));

	complaint->message = message;
	complaint->detail = detail;
	*complaints = lappend(*complaints, complaint);
}

/* Does the text match the pattern that its risk asks for? */
static bool
matches(const char *value, const char *pattern)
{
	return pattern == NULL ||
		(value != NULL &&
		 DatumGetBool(DirectFunctionCall2Coll(textregexeq, C_COLLATION_OID,
											  CStringGetTextDatum(value),
											  CStringGetTextDatum(pattern))));
}

/*
 * All that keeps the request from being filed at its risk, of JitComplaint,
 * save a policy that forbids it.  *call is one that has what is missing.
 */
List *
jit_complaints(const JitRequest *request, const JitDecision *decision,
			   int64 usecs, char **call)
{
	List	   *complaints = NIL;
	const char *risk = jit_risk_name(decision->risk);
	int64		most = (int64) jit_max_duration * USECS_PER_SEC;
	const char *reason = request->reason;
	const char *ticket = request->ticket;
	char	   *length = NULL;

	if (request->duration == NULL && request->until == DT_NOEND)
	{
		length = jit_usecs_text(Min(usecs, Min(most, decision->max_duration)));
		complain(&complaints, pstrdup(_("how long the access is for is missing")),
				 pstrdup(_("Give a duration such as '1 hour', or until => a point in time.")));
	}
	else if (usecs > Min(most, decision->max_duration))
	{
		length = jit_usecs_text(Min(most, decision->max_duration));
		if (decision->max_duration <= most)
			complain(&complaints,
					 psprintf(_("access of %s risk cannot be requested for so long"), risk),
					 psprintf(_("At most %s is allowed."), length));
		else
			complain(&complaints,
					 pstrdup(_("access cannot be requested for so long")),
					 psprintf(_("jit_access.max_duration is %s."), length));
	}
	if (request->start != DT_NOEND &&
		request->start > jit_now() + (int64) jit_max_ahead * USECS_PER_SEC)
		complain(&complaints, pstrdup(_("access cannot be requested so far ahead")),
				 psprintf(_("jit_access.max_ahead is %s."),
						  jit_usecs_text((int64) jit_max_ahead * USECS_PER_SEC)));
	if (reason == NULL || !matches(reason, decision->reason_pattern))
	{
		complain(&complaints,
				 reason == NULL ? pstrdup(_("reason is missing")) :
				 psprintf(_("reason \"%s\" is not what a request of %s risk needs"),
						  jit_shown(reason), risk),
				 decision->reason_pattern == NULL ? pstrdup(_("Every request needs a reason.")) :
				 psprintf(_("The reason must match the pattern \"%s\"."), decision->reason_pattern));
		reason = request->direct ? _("why they need it") : _("why you need it");
	}
	if (!matches(ticket, decision->ticket_pattern))
	{
		complain(&complaints,
				 ticket == NULL ? psprintf(_("a request of %s risk needs a ticket"), risk) :
				 psprintf(_("ticket \"%s\" is not what a request of %s risk needs"),
						  jit_shown(ticket), risk),
				 psprintf(_("The ticket must match the pattern \"%s\"."), decision->ticket_pattern));
		ticket = _("the ticket");
	}
	*call = call_text(request, false, reason, ticket, length);
	return complaints;
}

/* Hold a request against what its policies and its flow say. */
static void
check_decision(const JitRequest *request, const JitDecision *decision,
			   int64 usecs)
{
	List	   *complaints;
	List	   *details = NIL;
	char	   *call;
	ListCell   *lc;

	if (decision->forbidden_by != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("policy %s forbids this request",
						quote_identifier(decision->forbidden_by)),
				 decision->forbidden_why ?
				 errdetail_internal("%s", decision->forbidden_why) : 0,
		/* who gives access can't always ask for it */
				 request->direct ? 0 :
				 errhint("To see what it matched: SELECT %s;",
						 call_text(request, true, request->reason ? request->reason : _("why you need it"),
								   request->ticket, NULL))));
	complaints = jit_complaints(request, decision, usecs, &call);
	if (complaints == NIL)
		return;
	foreach(lc, complaints)
		details = lappend(details, ((JitComplaint *) lfirst(lc))->detail);
	ereport(ERROR,
			(errcode(request->reason == NULL ? ERRCODE_NULL_VALUE_NOT_ALLOWED :
					 ERRCODE_INVALID_PARAMETER_VALUE),
			 list_length(complaints) == 1 ?
			 errmsg_internal("%s", ((JitComplaint *) linitial(complaints))->message) :
			 errmsg("this is not what a request of %s risk needs",
					jit_risk_name(decision->risk)),
			 errdetail_internal("%s", jit_join(details, "\n")),
			 errhint("Such as: SELECT %s;", call)));
}

static bool
same_item(const JitItem *a, const JitItem *b)
{
	return a->address.classId == b->address.classId &&
		a->address.objectId == b->address.objectId &&
		a->privs == b->privs && equal(a->attnums, b->attnums) &&
		(a->parameter == NULL || strcmp(a->parameter, b->parameter) == 0);
}

/* Is the access of the one request that of the other? */
static bool
same_access(const JitRequest *a, const JitRequest *b)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, a->items)
	{
		bool		found = ((JitItem *) lfirst(lc))->added;

		foreach(lc2, b->items)
			found |= same_item(lfirst(lc), lfirst(lc2));
		if (!found)
			return false;
	}
	return true;
}

/*
 * The pending or scheduled request that is for the same access of the same
 * grantee, from then on at the latest and for as long at least; NULL if there
 * is none.
 */
JitRequest *
jit_pending_like(const JitRequest *request, int64 usecs)
{
	TimestampTz now = jit_now();
	TimestampTz from = jit_begins(request, now);
	Datum	   *objids = palloc(list_length(request->items) * sizeof(Datum));
	int			nobjids = 0;
	List	   *ids = NIL;
	JitOwnerSection section;
	int			n;
	ListCell   *lc;

	foreach(lc, request->items)
	{
		JitItem    *item = lfirst(lc);

		if (!item->added)
			objids[nobjids++] = ObjectIdGetDatum(item->address.objectId);
	}
	jit_enter_owner_section(&section);
	n = jit_query("SELECT r.id FROM jit.requests r WHERE r.status IN ('pending', 'scheduled') AND r.lapses_at > $1"
				  " AND r.statement IS NOT DISTINCT FROM $8"
				  " AND r.grantee_oid = $2 AND r.origin = $3 AND NOT EXISTS (SELECT FROM jit.request_items i"
				  "  WHERE i.request_id = r.id AND NOT i.added AND i.objid <> ALL ($4))"
				  " AND coalesce(r.until, coalesce(r.start, $1) + r.duration) >= $6"
				  " AND coalesce(r.start <= $7, true)"
				  " AND (SELECT count(*) FROM jit.request_items i WHERE i.request_id = r.id AND NOT i.added) = $5"
				  " ORDER BY r.id",
				  "zotOizzt", now, request->grantee, jit_origin(),
				  PointerGetDatum(construct_array(objids, nobjids, OIDOID, sizeof(Oid), true, TYPALIGN_INT)),
				  nobjids, from + usecs, from, request->statement);
	for (int i = 1; i <= n; i++)
		ids = lappend_int(ids, jit_result_int(i, 1));
	jit_leave_owner_section(&section);

	foreach(lc, ids)
	{
		JitRequest *other = jit_load_request(lfirst_int(lc), false);

		jit_load_request_items(other, true);
		if (from + usecs <= jit_deadline(other, now) && same_access(request, other))
			return other;
	}
	return NULL;
}

/* Raise if a request like it is pending, or scheduled. */
static void
check_not_pending(const JitRequest *request, int64 usecs)
{
	JitRequest *other = jit_pending_like(request, usecs);
	JitProgress progress;
	JitPerson	person;
	char	   *lacks;

	if (other == NULL)
		return;
	jit_current_person(&person);
	if (other->status == JIT_SCHEDULED)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("%s for the same access is scheduled", jit_request_text(other->id)),
				 errdetail("It starts at %s.", jit_timestamp_text(other->start)),
				 errhint("To ask anew instead: SELECT jit_revoke(%d); and then the same again.", other->id)));
	jit_flow_progress(other, &progress);
	lacks = jit_lacks_text(jit_lacks(other, &progress));
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("%s for the same access is pending", jit_request_text(other->id)),
			 errdetail("It waits for %s; it lapses at %s.", lacks,
					   jit_timestamp_text(other->lapses_at)),
			 jit_is_party(&person, other->requester, NULL, false) ||
			 jit_is_party(&person, other->grantee, NULL, false) ?
			 errhint("To ask anew instead: SELECT jit_cancel(%d); and then the same again.", other->id) :
			 errhint("Whoever asked for it, %s, can withdraw it with jit_cancel(%d).",
					 jit_name_now(other->requester, other->requester_name), other->id)));
}

/* "pii (high), prod (moderate)": the policies that matched, NULL for none. */
static char *
matched_policies(const JitDecision *decision)
{
	List	   *texts = NIL;
	ListCell   *lc;

	foreach(lc, decision->policies)
	{
		JitPolicyResult *policy = lfirst(lc);

		if (policy->matched)
			texts = lappend(texts, psprintf("%s (%s)", quote_identifier(policy->name),
											jit_risk_name(policy->risk)));
	}
	return texts == NIL ? NULL : jit_join(texts, ", ");
}

/*
 * Number of pending requests of the person, as max_pending counts them.  Inside
 * an owner section.
 */
int
jit_count_pending(const JitRequest *request)
{
	bool		proxy = jit_is_proxy_login(request->login);

	jit_query("SELECT count(*)::int FROM jit.requests WHERE status = 'pending'"
			  " AND lapses_at > clock_timestamp() AND origin = $1"
			  " AND CASE WHEN $2 THEN requester_oid ELSE login_oid END = $3",
			  "tbo", jit_origin(), proxy,
			  proxy ? request->requester : request->login);
	return jit_result_int(1, 1);
}

/*
 * The live access of the same grantee to some of the same objects that ends
 * last, as "; it continues request 17, which ends at ...", or "".
 */
static char *
continuation_text(const JitRequest *request)
{
	JitOwnerSection section;
	Datum	   *oids = palloc(list_length(request->items) * sizeof(Datum));
	char	   *result = "";
	int			noids = 0;
	ListCell   *lc;

	if (request->statement != NULL)
		return result;

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
				  "otO", request->grantee, jit_origin(),
				  PointerGetDatum(construct_array(oids, noids, OIDOID, sizeof(Oid), true, TYPALIGN_INT))) > 0)
	{
		int			id = jit_result_int(1, 1);
		TimestampTz ends = jit_result_time(1, 2);

		/* in the caller's time zone and date style, hence after the section */
		jit_leave_owner_section(&section);
		result = psprintf(_("; it continues request %d, which ends at %s"), id,
						  jit_timestamp_text(ends));
	}
	else
		jit_leave_owner_section(&section);
	return result;
}

/* Warn if there aren't people enough for the approvals that are missing. */
static void
warn_of_missing_people(const JitRequest *request, const JitLack *lack)
{
	if (lack->people == 0)
		ereport(WARNING,
				(errmsg("nobody can approve %s", jit_request_text(request->id)),
				 lack->items == NULL ?
				 errdetail("There is no login that could but you, the role it is for, or members of that role.") :
				 errdetail("For %s there is no login that could but you, the role it is for, or members of that role.",
						   lack->items),
				 errhint("Ask an administrator to name approvers with jit_set_flow(); then SELECT jit_cancel(%d); and request it anew.",
						 request->id)));
	else if (lack->people < lack->approvals)
		ereport(WARNING,
				(errmsg_plural("only %d person can approve %s",
							   "only %d persons can approve %s",
							   lack->people, lack->people, jit_request_text(request->id)),
				 lack->items == NULL ?
				 errdetail("It needs %d.", lack->approvals) :
				 errdetail("For %s it needs %d.", lack->items, lack->approvals)));
}

/* What has been understood: "SELECT ON hr.salary to oncall for 01:00:00". */
static char *
understood_text(const JitRequest *request)
{
	char	   *access = jit_few_items_text(request->items);
	TimestampTz now = jit_now();
	TimestampTz deadline = jit_deadline(request, now);

	if (request->grantee != request->requester)
		access = psprintf(_("%s to %s"), access,
						  jit_name_now(request->grantee, request->grantee_name));
	if (request->start != DT_NOEND)
		return psprintf(_("%s from %s until %s"), access, jit_timestamp_text(request->start),
						jit_timestamp_text(deadline));
	if (deadline == request->until)
		return psprintf(_("%s until %s"), access, jit_timestamp_text(request->until));
	return psprintf(_("%s for %s"), access, jit_usecs_text(deadline - now));
}

/*
 * Say what happens next with a request that has just been filed, or that
 * somebody has agreed to.
 */
void
jit_report_pending(const JitRequest *request)
{
	JitProgress progress;
	List	   *lacks;
	List	   *details = NIL;
	ListCell   *lc;

	jit_flow_progress(request, &progress);
	lacks = jit_lacks(request, &progress);
	if (progress.lost != NULL)
		details = lappend(details, progress.lost);
	if (jit_mentions_commit())
		details = lappend(details, pstrdup(_("Approvers see it once this transaction is committed.")));
	ereport(NOTICE,
			(errmsg("%s is pending: %s; it waits for %s; it lapses at %s%s",
					jit_request_text(request->id), understood_text(request), jit_lacks_text(lacks),
					jit_timestamp_text(request->lapses_at), continuation_text(request)),
			 details != NIL ? errdetail_internal("%s", jit_join(details, "\n")) : 0));
	foreach(lc, lacks)
		warn_of_missing_people(request, lfirst(lc));
	jit_note_pending();
}

/*
 * File a prepared request: its row, its items and the event.  Sets
 * request->id, lapses_at, flow and risk.
 */
void
jit_file_request(JitRequest *request, int64 usecs)
{
	JitDecision *decision;
	JitOwnerSection section;
	TimestampTz now = jit_now();
	char	   *client_addr = jit_client_addr();
	char	   *logline;
	int			pending;

	if (request->held != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("%s already has this access",
						quote_identifier(request->grantee_name)),
				 request->held[0] ? errdetail_internal("%s", request->held) : 0));
	decision = request->emergency ? jit_decide_emergency(request, usecs) :
		jit_decide(request, usecs);
	check_decision(request, decision, usecs);
	if (!request->emergency)
		jit_check_room(request, jit_begins(request, now) + usecs);
	/* giving isn't asking */
	if (!request->direct && !request->emergency)
		check_not_pending(request, usecs);
	request->flow = decision->flow;
	request->risk = pstrdup(jit_risk_name(decision->risk));
	request->lapses_at = now + decision->request_ttl;
	if (request->until < request->lapses_at)
		request->lapses_at = request->until;
	if (request->start != DT_NOEND)
		request->lapses_at = Min(request->lapses_at, jit_deadline(request, now));

	jit_enter_owner_section(&section);
	pending = jit_count_pending(request);
	if (pending >= jit_max_pending && !request->emergency)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many pending requests"),
				 errdetail("You have %d, and jit_access.max_pending is %d.",
						   pending, jit_max_pending),
				 pending > 0 ?
				 errhint("Withdraw some with jit_cancel(); see jit.my_requests.") : 0));

	/* numbers that are taken are passed over, by a row or by a grant role */
	do
	{
		jit_query("SELECT nextval('jit.request_number')::int", "");
		request->id = jit_result_int(1, 1);
	} while (OidIsValid(get_role_oid(jit_grant_role_name(request->id), true)) ||
			 jit_query("SELECT FROM jit.requests WHERE id = $1", "i", request->id) > 0);

	jit_query("INSERT INTO jit.requests (id, requester, login, grantee, access, reason, ticket,"
			  " duration, until, risk, flow, needs_superuser, facts, requested_at, lapses_at,"
			  " client_addr, requester_oid, login_oid, grantee_oid, origin, extends, via, start, emergency,"
			  " statement, fingerprint, runs)"
			  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jit.risk_level, $11, $12, $13, $14, $15,"
			  " $16::inet, $17, $18, $19, $20, nullif($21, 0), $22, $23, $24, $25, $26, nullif($27, 0))",
			  "ittttttvztjbjzztoootitzbtti", request->id, request->requester_name,
			  request->login_name, request->grantee_name, request->access,
			  request->reason, request->ticket, request->duration,
			  request->until, request->risk, request->flow,
			  request->needs_superuser, decision->facts, now,
			  request->lapses_at, client_addr, request->requester,
			  request->login, request->grantee, request->origin,
			  request->extends, request->via, request->start,
			  request->emergency, request->statement, request->fingerprint,
			  request->runs);
	jit_store_items(request->id, request->items);

	logline = psprintf("%s requested by %s for %s: %s", jit_request_text(request->id),
					   quote_identifier(request->requester_name),
					   quote_identifier(request->grantee_name), request->access);
	jit_event("requested", request->id,
			  jit_detail("grantee", request->grantee_name,
						 "access", request->access,
						 "statement", request->statement,
						 "reason", request->reason,
						 "ticket", request->ticket,
						 "risk", request->risk,
						 "policies", matched_policies(decision),
						 "starts_at", request->start != DT_NOEND ? timestamptz_to_str(request->start) : NULL,
						 "extends", request->extends != 0 ? psprintf("%d", request->extends) : NULL,
						 NULL),
			  logline);
	jit_leave_owner_section(&section);
}
