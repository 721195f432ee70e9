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
#include "base/guc.h"
#include "base/query.h"
#include "base/text.h"
#include "request/access.h"
#include "request/event.h"
#include "request/filing.h"
#include "request/grant.h"
#include "request/limit.h"
#include "request/policy.h"

#include "catalog/catalog.h"
#include "catalog/pg_collation.h"

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
	if (superuser_arg(oid))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_GRANT_OPERATION),
				 errmsg("role %s is a superuser and has all access anyway",
						quote_identifier(grantee))));
	return oid;
}

/*
 * A request of whoever is at the other end of the session, for a role or, if
 * that is NULL, for themselves.  "direct" says that it is for jit_grant().
 * Raises if the role can't get access, or it isn't theirs to ask for.
 */
static JitRequest *
new_request(const char *grantee, bool direct)
{
	JitRequest *request = palloc0(sizeof(JitRequest));
	JitPerson	person;

	jit_acting_person(&person);
	request->requester = person.role;
	request->login = person.login;
	request->requester_name = jit_role_name(person.role);
	request->login_name = jit_role_name(person.login);
	request->grantee_name = grantee ? pstrdup(grantee) : request->requester_name;
	request->grantee = jit_check_grantee(request->grantee_name);
	request->expires_at = DT_NOEND;
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

/* For how long the request is from now, in microseconds. */
static int64
requested_usecs(const JitRequest *request, TimestampTz now)
{
	TimestampTz until = request->until;
	int64		usecs;

	if (request->duration == NULL && until == DT_NOEND)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("how long the access is for is missing"),
				 errhint("Give a duration such as '1 hour', or until => a point in time.")));
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
		usecs = until - now;
	}
	if (usecs > (int64) jit_max_duration * USECS_PER_SEC)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("access cannot be requested for so long"),
				 errdetail("jit_access.max_duration is %s.",
						   jit_usecs_text((int64) jit_max_duration * USECS_PER_SEC))));
	return usecs;
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

static void refuse_held(const JitRequest *request) pg_attribute_noreturn();

/* The grantee has all of it anyway: say by what. */
static void
refuse_held(const JitRequest *request)
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

/* Resolve what the request is for, and raise if it can't be asked for. */
static void
resolve_items(JitRequest *request, const char *access, TimestampTz until)
{
	bool		held = true;
	ListCell   *lc;

	request->items = jit_parse_access(access);
	foreach(lc, request->items)
	{
		JitItem    *item = lfirst(lc);

		check_item_for_grantee(item, request);
		if (jit_item_needs_superuser(item, &request->elsewhere) != NULL)
			request->needs_superuser = true;
		/* access that ends at that very time is as good */
		if (held && !jit_item_held(item, request->grantee, JIT_FILTER_LIVE, until - 1))
			held = false;
	}
	if (held)
		refuse_held(request);
	request->access = jit_items_text(request->items, false);
	request->items = jit_add_schema_usage(request->items, request->grantee);
}

/*
 * A request as the arguments of jit_request() or jit_grant() say, which have
 * the same in another order: these are the numbers of duration, reason (until
 * and ticket follow it) and grantee.  Checks everything about it as the
 * caller, and raises for whatever is wrong; files nothing.  *usecs is how long
 * it is for from now.
 */
JitRequest *
jit_request_from_arguments(FunctionCallInfo fcinfo, int duration, int reason,
						   int grantee, bool direct, int64 *usecs)
{
	char	   *access = jit_required_text(fcinfo, 0, "access");
	char	   *why = jit_text_argument(fcinfo, reason, "reason");
	char	   *ticket = jit_text_argument(fcinfo, reason + 2, "ticket");
	TimestampTz now = jit_now();
	JitRequest *request;

	(void) jit_open_ledger();
	request = new_request(PG_ARGISNULL(grantee) ? NULL : NameStr(*PG_GETARG_NAME(grantee)),
						  direct);
	request->reason = why;
	request->ticket = ticket;
	request->duration = PG_ARGISNULL(duration) ? NULL : PG_GETARG_INTERVAL_P(duration);
	request->until = DT_NOEND;
	if (!PG_ARGISNULL(reason + 1))
	{
		request->until = PG_GETARG_TIMESTAMPTZ(reason + 1);
		if (request->until == DT_NOEND)
			request->until = DT_NOBEGIN;	/* refused as infinite, not as
											 * missing */
	}
	*usecs = requested_usecs(request, now);
	resolve_items(request, access, now + *usecs);
	return request;
}

/*
 * Raise unless a reason is given, with the call as it should have been.  The
 * arguments are numbered as above.
 */
void
jit_require_reason(FunctionCallInfo fcinfo, int duration, int reason,
				   int grantee, bool direct)
{
	char	   *why = direct ? _("why they need it") : _("why you need it");
	StringInfoData call;

	if (!PG_ARGISNULL(reason))
		return;
	initStringInfo(&call);
	appendStringInfo(&call, "%s(%s", get_func_name(fcinfo->flinfo->fn_oid),
					 quote_literal_cstr(jit_required_text(fcinfo, 0, "access")));
	if (direct)
		appendStringInfo(&call, ", %s",
						 quote_literal_cstr(NameStr(*PG_GETARG_NAME(grantee))));
	if (PG_ARGISNULL(reason + 1))
		appendStringInfo(&call, ", %s, %s",
						 quote_literal_cstr(PG_ARGISNULL(duration) ? "1 hour" :
											jit_interval_text(PG_GETARG_INTERVAL_P(duration))),
						 quote_literal_cstr(why));
	else
		appendStringInfo(&call, ", until => %s, reason => %s",
						 quote_literal_cstr(timestamptz_to_str(PG_GETARG_TIMESTAMPTZ(reason + 1))),
						 quote_literal_cstr(why));
	if (!PG_ARGISNULL(reason + 2))
		appendStringInfo(&call, ", ticket => %s",
						 quote_literal_cstr(jit_text_argument(fcinfo, reason + 2, "ticket")));
	if (!direct && !PG_ARGISNULL(grantee))
		appendStringInfo(&call, ", grantee => %s",
						 quote_literal_cstr(NameStr(*PG_GETARG_NAME(grantee))));
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("reason is missing"),
			 errhint("Say why: SELECT %s);", call.data)));
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
					jit_shown(value), jit_risk_name(risk)) :
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

/* Number of pending requests of the person, as max_pending counts them. */
static int
count_pending(const JitRequest *request)
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
				 errhint("Ask an administrator to name approvers with jit_set_flow(), and request it anew.")));
	else if (lack->people < lack->approvals)
		ereport(WARNING,
				(errmsg_plural("only %d person can approve %s",
							   "only %d persons can approve %s",
							   lack->people, lack->people, jit_request_text(request->id)),
				 lack->items == NULL ?
				 errdetail("It needs %d.", lack->approvals) :
				 errdetail("For %s it needs %d.", lack->items, lack->approvals)));
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
	if (IsTransactionBlock())
		details = lappend(details, pstrdup(_("Approvers see it once this transaction is committed.")));
	ereport(NOTICE,
			(errmsg("%s is pending: %s; it lapses at %s%s",
					jit_request_text(request->id), jit_lacks_text(lacks),
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
	JitDecision *decision = jit_decide(request, usecs);
	JitOwnerSection section;
	TimestampTz now = jit_now();
	char	   *client_addr = jit_client_addr();
	char	   *logline;
	int			pending;

	check_decision(request, decision, usecs);
	jit_check_room(request, now + usecs);
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
			  " client_addr, requester_oid, login_oid, grantee_oid, origin)"
			  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jit.risk_level, $11, $12, $13, $14, $15,"
			  " $16::inet, $17, $18, $19, $20)",
			  "ittttttvztjbjzztooot", request->id, request->requester_name,
			  request->login_name, request->grantee_name, request->access,
			  request->reason, request->ticket, request->duration,
			  request->until, request->risk, request->flow,
			  request->needs_superuser, decision->facts, now,
			  request->lapses_at, client_addr, request->requester,
			  request->login, request->grantee, request->origin);
	jit_store_items(request->id, request->items);

	logline = psprintf("%s requested by %s for %s: %s", jit_request_text(request->id),
					   quote_identifier(request->requester_name),
					   quote_identifier(request->grantee_name), request->access);
	jit_event("requested", request->id,
			  jit_detail("grantee", request->grantee_name,
						 "access", request->access,
						 "reason", request->reason,
						 "ticket", request->ticket,
						 "risk", request->risk,
						 "policies", matched_policies(decision), NULL),
			  logline);
	jit_leave_owner_section(&section);
}
