/*-------------------------------------------------------------------------
 *
 * views.c
 *		What the views ask for: who is looking, what concerns them, and what
 *		the tables don't have.
 *
 * Views read the tables as their owner, so what is shown of a row is what these
 * say.  In a SECURITY DEFINER function, where the effective role is whoever
 * wrote that, they say nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/item.h"
#include "base/query.h"
#include "base/text.h"
#include "request/emergency.h"

#include "funcapi.h"

PG_FUNCTION_INFO_V1(jit_is_auditor_now);
PG_FUNCTION_INFO_V1(jit_sees_all);
PG_FUNCTION_INFO_V1(jit_my_roles);
PG_FUNCTION_INFO_V1(jit_me);
PG_FUNCTION_INFO_V1(jit_my_grants);
PG_FUNCTION_INFO_V1(jit_clock);
PG_FUNCTION_INFO_V1(jit_cluster);
PG_FUNCTION_INFO_V1(jit_view_name);
PG_FUNCTION_INFO_V1(jit_object_now);
PG_FUNCTION_INFO_V1(jit_conveyed);
PG_FUNCTION_INFO_V1(jit_may_revoke);
PG_FUNCTION_INFO_V1(jit_to_approve);
PG_FUNCTION_INFO_V1(jit_progress);

/* How many logins jit.pending names. */
#define MAX_LOGINS_SHOWN 20

/* ----------------------------------------------------------------------
 * Who is looking
 * ----------------------------------------------------------------------
 */

/* Is it the session's own role that looks? */
static bool
views_are_theirs(void)
{
	return GetUserId() == GetOuterUserId();
}

/* Those of the roles that are of a kind, as an array. */
static Datum
oid_array(List *roles, JitRoleKind kind)
{
	Datum	   *oids = palloc(sizeof(Datum) * Max(list_length(roles), 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, roles)
	{
		if (jit_role_kind_by_oid(lfirst_oid(lc)) == kind)
			oids[n++] = ObjectIdGetDatum(lfirst_oid(lc));
	}
	return PointerGetDatum(construct_array(oids, n, OIDOID, sizeof(Oid), true,
										   TYPALIGN_INT));
}

/* jit.is_auditor() */
Datum
jit_is_auditor_now(PG_FUNCTION_ARGS)
{
	JitPerson	person;
	Oid			user = GetUserId();

	jit_current_person(&person);
	/* in a SECURITY DEFINER function it is its owner's right that counts */
	PG_RETURN_BOOL(list_member_oid(jit_role_closure(user, JIT_CLOSURE_PRIVS, JIT_FILTER_STANDING, jit_now()),
								   get_role_oid(jit_auditor_role, true)) &&
				   (user != GetOuterUserId() || jit_holds_role_for_good(&person)));
}

/* jit.sees_all() */
Datum
jit_sees_all(PG_FUNCTION_ARGS)
{
	JitPerson	person;

	jit_current_person(&person);
	/* a gateway has to show everything that happens to people */
	PG_RETURN_BOOL(views_are_theirs() &&
				   (jit_person_audits(&person) || jit_is_bare_gateway(&person)));
}

/* jit.my_roles() */
Datum
jit_my_roles(PG_FUNCTION_ARGS)
{
	JitPerson	person;
	List	   *roles = NIL;
	ListCell   *lc;

	jit_current_person(&person);
	if (views_are_theirs())
	{
		foreach(lc, jit_person_roles(&person))
			roles = list_concat_unique_oid(roles,
										   jit_role_closure(lfirst_oid(lc), JIT_CLOSURE_MEMBERS,
															JIT_FILTER_LIVE, jit_now()));
	}
	/* nobody files a request as one of ours: there may be hundreds */
	PG_RETURN_DATUM(oid_array(roles, JIT_ROLE_ORDINARY));
}

/* jit.me() */
Datum
jit_me(PG_FUNCTION_ARGS)
{
	JitPerson	person;
	List	   *roles = NIL;
	ListCell   *lc;

	jit_current_person(&person);
	if (views_are_theirs())
	{
		/* of what came through a proxy, its login says nothing */
		foreach(lc, jit_person_roles(&person))
		{
			if (!jit_is_proxy_login(lfirst_oid(lc)))
				roles = lappend_oid(roles, lfirst_oid(lc));
		}
	}
	PG_RETURN_DATUM(oid_array(roles, JIT_ROLE_ORDINARY));
}

/* jit.my_grants() */
Datum
jit_my_grants(PG_FUNCTION_ARGS)
{
	JitPerson	person;
	List	   *roles = NIL;
	ListCell   *lc;

	jit_current_person(&person);
	if (views_are_theirs())
	{
		foreach(lc, jit_role_closure(person.role, JIT_CLOSURE_SET, JIT_FILTER_LIVE, jit_now()))
		{
			if (jit_role_kind_by_oid(lfirst_oid(lc)) == JIT_ROLE_ORDINARY)
				roles = list_concat_unique_oid(roles,
											   jit_role_closure(lfirst_oid(lc), JIT_CLOSURE_PRIVS,
																JIT_FILTER_LIVE, jit_now()));
		}
	}
	PG_RETURN_DATUM(oid_array(roles, JIT_ROLE_GRANT));
}

/* jit.clock() */
Datum
jit_clock(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(jit_now());
}

/* jit.cluster() */
Datum
jit_cluster(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(jit_cluster_origin()));
}

/* jit.name_now(role, name, origin): jit_name_now() for the views */
Datum
jit_view_name(PG_FUNCTION_ARGS)
{
	char	   *origin = text_to_cstring(PG_GETARG_TEXT_PP(2));

	PG_RETURN_TEXT_P(cstring_to_text(jit_name_now(jit_is_of_cluster(origin) ?
												  PG_GETARG_OID(0) : InvalidOid,
												  NameStr(*PG_GETARG_NAME(1)))));
}

/* ----------------------------------------------------------------------
 * Names and what works
 * ----------------------------------------------------------------------
 */

/* An item of a row, without columns and privileges. */
static void
row_item(JitItem *item, Datum object_type, Datum object, Oid objid)
{
	const JitObjectKind *kind = jit_kind_by_words(TextDatumGetCString(object_type));

	memset(item, 0, sizeof(JitItem));
	item->objtype = kind->objtype;
	item->parameter = TextDatumGetCString(object);
	ObjectAddressSet(item->address, kind->classid, objid);
}

/* jit.object_now(object_type, object, objid) */
Datum
jit_object_now(PG_FUNCTION_ARGS)
{
	JitItem		item;

	row_item(&item, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_OID(2));
	if (jit_item_name(&item) == NULL)
		PG_RETURN_DATUM(PG_GETARG_DATUM(1));
	PG_RETURN_TEXT_P(cstring_to_text(jit_item_object(&item)));
}

/* jit.conveyed(role, origin, object_type, object, objid, attnums, privileges) */
Datum
jit_conveyed(PG_FUNCTION_ARGS)
{
	Oid			role = PG_ARGISNULL(0) ? InvalidOid : get_role_oid(NameStr(*PG_GETARG_NAME(0)), true);
	JitItem		item;
	static const char *const words[] = {
		[JIT_CONVEYED_NOTHING] = "nothing",
		[JIT_CONVEYED_SOME] = "some",
		[JIT_CONVEYED_ALL] = "all"
	};
	Datum	   *elements;
	int			n;

	for (int i = 1; i < 7; i++)
	{
		if (PG_ARGISNULL(i) && i != 5)
			PG_RETURN_NULL();
	}
	/* OIDs of another cluster say nothing */
	if (!jit_is_of_cluster(text_to_cstring(PG_GETARG_TEXT_PP(1))))
		PG_RETURN_TEXT_P(cstring_to_text(words[JIT_CONVEYED_ALL]));
	if (!OidIsValid(role))
		PG_RETURN_TEXT_P(cstring_to_text(words[JIT_CONVEYED_NOTHING]));
	row_item(&item, PG_GETARG_DATUM(2), PG_GETARG_DATUM(3), PG_GETARG_OID(4));
	if (!PG_ARGISNULL(5))
	{
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(5), INT2OID, sizeof(int16), true,
						  TYPALIGN_SHORT, &elements, NULL, &n);
		for (int i = 0; i < n; i++)
			item.attnums = lappend_int(item.attnums, DatumGetInt16(elements[i]));
	}
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(6), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		item.privs |= jit_privilege_by_name(TextDatumGetCString(elements[i]));
	PG_RETURN_TEXT_P(cstring_to_text(words[jit_item_conveyed(&item, role)]));
}

/* ----------------------------------------------------------------------
 * Requests
 * ----------------------------------------------------------------------
 */

/* A row of what a function returns. */
static Datum
row_datum(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	tupdesc;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls));
}

/* jit.may_revoke(request): of somebody who isn't a party to it */
Datum
jit_may_revoke(PG_FUNCTION_ARGS)
{
	JitPerson	person;

	(void) jit_open_ledger();
	if (!views_are_theirs())
		PG_RETURN_BOOL(false);
	jit_current_person(&person);
	PG_RETURN_BOOL(jit_could_end(jit_load_request(PG_GETARG_INT32(0), false), &person));
}

/* "1 day 02:00:00", "02:00:00", in the session's IntervalStyle */
static char *
length_text(int64 usecs)
{
	Interval	interval = {
		.day = usecs / USECS_PER_DAY,
		.time = usecs % USECS_PER_DAY
	};

	return DatumGetCString(DirectFunctionCall1(interval_out,
											   IntervalPGetDatum(&interval)));
}

/* What is missing, e.g. "0 of 1 by hr_owner", what they could give told apart. */
static char *
approvals_text(const JitRequest *request, const JitPerson *person)
{
	StringInfoData buf;
	JitProgress progress;
	ListCell   *lc;

	initStringInfo(&buf);
	jit_flow_progress(request, &progress);
	if (progress.complete)
		appendStringInfoString(&buf, _("complete: whoever approves it next makes it active"));
	foreach(lc, jit_lacks_for(request, &progress, person->role))
	{
		JitLack    *lack = lfirst(lc);

		appendStringInfo(&buf, _("%s%d of %d by %s"), buf.len > 0 ? "\n" : "",
						 progress.needed - lack->approvals, progress.needed,
						 lack->approvers);
	}
	if (progress.steps > 1)
		appendStringInfo(&buf, _("\nstep %d of %d"), progress.step,
						 progress.steps);
	return buf.data;
}

/* Is it an emergency that nobody has reviewed? */
static bool
is_to_review(const JitRequest *request)
{
	return request->emergency && request->verdict == NULL;
}

typedef struct ToApproveCall
{
	JitRequest *request;
	JitPerson	person;
	char	   *access;			/* results; NULL if the person can't */
	char	   *formerly;
	char	   *duration;
	char	   *approvals;
} ToApproveCall;

static void
try_to_approve(void *arg)
{
	ToApproveCall *call = arg;
	JitRequest *request = call->request;
	TimestampTz now = jit_now();
	StringInfoData access;
	int64		usecs;
	ListCell   *lc;

	if (is_to_review(request))
	{
		jit_load_request_items(request, true);
		if (jit_why_not_review(request, &call->person) != NULL)
			return;
	}
	else
	{
		if (request->status != JIT_PENDING || request->lapses_at <= now ||
			!OidIsValid(request->grantee))
			return;
		jit_load_request_items(request, false);
		if (jit_why_not_approve(request, &call->person, false) != NULL)
			return;
	}
	initStringInfo(&access);
	foreach(lc, request->items)
	{
		JitItem    *item = lfirst(lc);

		appendStringInfo(&access, "%s%s%s", access.len > 0 ? ";\n" : "",
						 jit_item_text(item), item->added ? _(" (added)") : "");
	}
	if (strcmp(jit_items_text(request->items, false), request->access) != 0)
		call->formerly = psprintf(_("(formerly %s)"), request->access);
	usecs = is_to_review(request) ? request->expires_at - request->activated_at :
		jit_deadline(request, now) - jit_begins(request, now);
	/* of a time, what is left; a duration is as it was said */
	if (request->duration == NULL || request->start <= now)
		usecs = Max(usecs - usecs % USECS_PER_SEC, 0);
	call->duration = length_text(usecs);
	call->approvals = is_to_review(request) ? pstrdup(_("review of an emergency")) :
		approvals_text(request, &call->person);
	call->access = access.data;
}

/*
 * jit.to_approve(request)
 *
 * In the names that the objects have now: they are what is granted.
 * A request for something that was dropped can't be approved; it must not
 * take the whole inbox with it, hence the subtransaction.
 */
Datum
jit_to_approve(PG_FUNCTION_ARGS)
{
	ToApproveCall call = {0};
	Datum		values[4];
	bool		nulls[4] = {0};
	ErrorData  *error;

	(void) jit_open_ledger();
	if (!views_are_theirs())
		PG_RETURN_NULL();
	jit_current_person(&call.person);
	call.request = jit_load_request(PG_GETARG_INT32(0), false);
	error = jit_try(try_to_approve, &call);
	if (error != NULL && !jit_says_gone(error) &&
		jit_concerns(jit_load_request(PG_GETARG_INT32(0), false), &call.person))
		ReThrowError(error);
	if (error != NULL || call.access == NULL)
		PG_RETURN_NULL();
	values[0] = CStringGetTextDatum(call.access);
	values[1] = CStringGetTextDatum(call.formerly ? call.formerly : "");
	nulls[1] = call.formerly == NULL;
	values[2] = CStringGetTextDatum(call.duration);
	values[3] = CStringGetTextDatum(call.approvals);
	PG_RETURN_DATUM(row_datum(fcinfo, values, nulls));
}

/* jit.progress(request) */
Datum
jit_progress(PG_FUNCTION_ARGS)
{
	JitRequest *request;
	JitProgress progress;
	JitPerson	person;
	List	   *logins;
	int			lacking = 0;
	Datum		values[8];
	bool		nulls[8] = {0};
	Datum		names[MAX_LOGINS_SHOWN];
	int			n;

	(void) jit_open_ledger();
	if (!views_are_theirs())
		PG_RETURN_NULL();
	request = jit_load_request(PG_GETARG_INT32(0), false);
	if ((request->status != JIT_PENDING || request->lapses_at <= jit_now()) && !is_to_review(request))
		PG_RETURN_NULL();
	jit_current_person(&person);
	if (!jit_is_bare_gateway(&person) && !jit_concerns(request, &person))
		PG_RETURN_NULL();
	jit_load_request_items(request, true);
	jit_flow_progress(request, &progress);
	for (int i = 0; i < Max(1, list_length(request->items)); i++)
		lacking = Max(lacking, progress.lacking[i]);
	logins = jit_waited_for(request, &progress);
	n = Min(list_length(logins), MAX_LOGINS_SHOWN);
	for (int i = 0; i < n; i++)
		names[i] = DirectFunctionCall1(namein, CStringGetDatum(list_nth(logins, i)));
	values[0] = CStringGetTextDatum(jit_access_now(request));
	values[1] = Int32GetDatum(progress.step);
	values[2] = Int32GetDatum(progress.steps);
	values[3] = Int32GetDatum(progress.needed - lacking);
	values[4] = Int32GetDatum(progress.needed);
	values[5] = PointerGetDatum(construct_array(names, n, NAMEOID, NAMEDATALEN, false,
												TYPALIGN_CHAR));
	values[6] = Int32GetDatum(list_length(logins) - n);
	values[7] = BoolGetDatum(progress.direct);
	PG_RETURN_DATUM(row_datum(fcinfo, values, nulls));
}
