/*-------------------------------------------------------------------------
 *
 * approver.c
 *		Who may agree to a request.
 *
 * Authority is standing authority of the effective role: grant roles are
 * left out wherever we look, so temporary access never approves anything.
 * Superusers may run any GRANT, but they are no exception to the separation
 * of duties, and they are members of a role only if they really are.
 *
 * A flow is a list of steps, done in order.  An approval counts for the step
 * that was open when it was given, and a person counts once in all steps.  A
 * request that needs a superuser among its approvers has one more step after
 * the last if none of them was one.
 *
 * This room only answers questions; it changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/item.h"
#include "base/text.h"
#include "request/approver.h"

#define MAX_NAMES_SHOWN 5

/* String value of a key of a step, or NULL. */
static JsonbValue *
step_value(JsonbContainer *step, const char *key)
{
	return getKeyJsonValueFromContainer(step, key, strlen(key), NULL);
}

static char *
string_value(const JsonbValue *value)
{
	if (value == NULL || value->type != jbvString)
		elog(ERROR, "invalid approval step");
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/*
 * Steps of the request's flow.  jit_set_flow() has validated them; what it
 * can't have written is an error, never a step that anybody passes.
 */
static List *
flow_steps(const JitRequest *request)
{
	JsonbContainer *flow = &request->flow->root;
	List	   *steps = NIL;

	if (!JsonContainerIsArray(flow))
		elog(ERROR, "invalid approval flow");

	for (uint32 i = 0; i < JsonContainerSize(flow); i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(flow, i);
		JsonbValue *approver;
		JsonbValue *approvals;
		JsonbValue *any_of;
		JsonbValue *oids;
		JitStep    *step = palloc0(sizeof(JitStep));

		if (value->type != jbvBinary)
			elog(ERROR, "invalid approval step");
		approver = step_value(value->val.binary.data, "approver");
		any_of = step_value(value->val.binary.data, "any_of");
		oids = step_value(value->val.binary.data, "oids");
		approvals = step_value(value->val.binary.data, "approvals");

		if (approvals == NULL || approvals->type != jbvNumeric)
			elog(ERROR, "invalid approval step");
		step->approvals =
			DatumGetInt32(DirectFunctionCall1(numeric_int4,
											  NumericGetDatum(approvals->val.numeric)));
		if (step->approvals < 1)
			elog(ERROR, "invalid approval step");

		if (approver != NULL)
			step->names = list_make1(string_value(approver));
		else if (any_of != NULL && any_of->type == jbvBinary)
		{
			for (uint32 j = 0; j < JsonContainerSize(any_of->val.binary.data); j++)
				step->names = lappend(step->names,
									  string_value(getIthJsonbValueFromContainer(any_of->val.binary.data, j)));
		}
		for (int j = 0; j < list_length(step->names); j++)
		{
			const char *name = list_nth(step->names, j);
			Oid			oid = InvalidOid;

			if (strcmp(name, JIT_GRANTOR) == 0)
				 /* no role */ ;
			else if (request->cluster && oids != NULL && oids->type == jbvBinary)
			{
				JsonbValue *v = getIthJsonbValueFromContainer(oids->val.binary.data, j);

				/* by OID: a role made anew under the name isn't meant */
				if (v != NULL && v->type == jbvNumeric)
					oid = DatumGetInt64(DirectFunctionCall1(numeric_int8,
															NumericGetDatum(v->val.numeric)));
				if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(oid)))
					oid = InvalidOid;
			}
			else
				oid = get_role_oid(name, true);
			step->oids = lappend_oid(step->oids, oid);
		}
		steps = lappend(steps, step);
	}
	return steps;
}

/* A step's roles in words: "hr_owner or security". */
char *
jit_step_names(const JitStep *step)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, step->names)
	{
		const char *name = lfirst(lc);
		Oid			oid = list_nth_oid(step->oids, foreach_current_index(lc));

		if (buf.len > 0)
			appendStringInfoString(&buf, _(" or "));
		if (strcmp(name, JIT_GRANTOR) == 0)
			appendStringInfoString(&buf, _("anyone who could grant it"));
		else
			appendStringInfoString(&buf, jit_name_now(oid, name));
	}
	return buf.data;
}

/*
 * Could the role grant all of it itself?  Of a request whose objects are all
 * gone, nobody is the grantor.
 */
static bool
could_grant(const JitRequest *request, Oid role)
{
	ListCell   *lc;

	foreach(lc, request->items)
	{
		if (!jit_item_grantable(lfirst(lc), role))
			return false;
	}
	return request->items != NIL;
}

/* Has the role what it takes for the step? */
static bool
step_admits(const JitRequest *request, const JitStep *step, Oid role)
{
	ListCell   *lc;

	foreach(lc, step->names)
	{
		Oid			oid = list_nth_oid(step->oids, foreach_current_index(lc));

		if (strcmp(lfirst(lc), JIT_GRANTOR) == 0)
		{
			if (could_grant(request, role))
				return true;
		}
		else if (OidIsValid(oid) &&
				 jit_is_member(role, oid, JIT_FILTER_STANDING))
			return true;
	}
	return false;
}

/* Has the flow a step that only who could GRANT it can pass? */
static bool
asks_grantor(List *steps)
{
	ListCell   *lc;

	foreach(lc, steps)
	{
		JitStep    *step = lfirst(lc);

		if (list_length(step->names) == 1 &&
			strcmp(linitial(step->names), JIT_GRANTOR) == 0)
			return true;
	}
	return false;
}

/* jit_needs_superuser(), with the steps at hand. */
static bool
needs_superuser(const JitRequest *request, List *steps)
{
	return request->needs_superuser ||
		(request->elsewhere && !asks_grantor(steps));
}

/* Must a superuser be among those who agree?  Needs request->items. */
bool
jit_needs_superuser(const JitRequest *request)
{
	return needs_superuser(request, flow_steps(request));
}

/*
 * Where the approval stands, by the approvals in request->reviews.  Needs
 * request->items, too.
 */
void
jit_flow_progress(JitRequest *request, JitProgress *progress)
{
	List	   *steps = flow_steps(request);
	ListCell   *lc;
	bool		superuser_seen = false;

	memset(progress, 0, sizeof(JitProgress));
	progress->steps = list_length(steps);

	foreach(lc, request->reviews)
		superuser_seen |= ((JitReview *) lfirst(lc))->by_superuser;

	foreach(lc, steps)
	{
		JitStep    *step = lfirst(lc);
		ListCell   *lr;
		int			given = 0;

		foreach(lr, request->reviews)
		{
			if (((JitReview *) lfirst(lr))->step == foreach_current_index(lc) + 1)
				given++;
		}
		if (given < step->approvals)
		{
			progress->step = foreach_current_index(lc) + 1;
			progress->given = given;
			progress->needed = step->approvals;
			progress->approvers = jit_step_names(step);
			if (needs_superuser(request, steps))
				progress->steps++;
			return;
		}
	}

	progress->step = list_length(steps) + 1;
	if (needs_superuser(request, steps) && !superuser_seen)
	{
		progress->steps++;
		progress->needed = 1;
		progress->approvers = pstrdup(_("a superuser"));
		return;
	}
	progress->complete = true;
}

/*
 * Separation of duties: why the person, whatever their authority, has to
 * leave the decision to others, or NULL.
 */
char *
jit_why_not_impartial(const JitRequest *request, const JitPerson *person)
{
	ListCell   *lc;

	/* the requester and the beneficiaries never do */
	if (jit_is_party(person, request->grantee, request->grantee_name, false))
		return psprintf(_("It is for you (role %s)."),
						jit_name_now(request->grantee, request->grantee_name));
	if (jit_is_party(person, request->grantee, NULL, true))
	{
		List	   *roles = jit_person_roles(person);

		foreach(lc, roles)
		{
			Oid			me = lfirst_oid(lc);

			if (jit_is_member(me, request->grantee, JIT_FILTER_NONE))
				return psprintf(me == person->login ?
								_("It is for role %s, of which login %s is a member.") :
								_("It is for role %s, of which role %s is a member."),
								jit_name_now(request->grantee, request->grantee_name),
								quote_identifier(jit_role_name(me)));
		}
	}
	if (!request->direct)
	{
		if (jit_is_party(person, request->requester, request->requester_name,
						 false))
			return psprintf(_("It was requested by you (role %s)."),
							jit_name_now(request->requester, request->requester_name));
		if (!(OidIsValid(request->login) && jit_is_proxy_login(request->login)) &&
			jit_is_party(person, request->login, request->login_name, false))
			return psprintf(_("It was requested by your login %s."),
							jit_name_now(request->login, request->login_name));
	}
	return NULL;
}

/*
 * Why the person can't approve the request now: a sentence for DETAIL, or
 * NULL if they can.  "ending" asks for less, for rejecting and revoking: any
 * step will do, and so will having approved before.
 *
 * Needs request->items and request->reviews.
 */
char *
jit_why_not_approve(JitRequest *request, const JitPerson *person, bool ending)
{
	char	   *why = jit_why_not_decide(person);
	List	   *steps;
	ListCell   *lc;
	JitProgress progress;

	/* ending something takes authority, but nobody else */
	if (why == NULL && !ending)
		why = jit_why_not_impartial(request, person);
	if (why != NULL)
		return why;

	if (!ending)
	{
		foreach(lc, request->reviews)
		{
			JitReview  *review = lfirst(lc);

			if (jit_is_party(person, review->approver, review->approver_name,
							 false) ||
				(!(OidIsValid(review->login) && jit_is_proxy_login(review->login)) &&
				 jit_is_party(person, review->login, review->login_name,
							  false)))
				return pstrdup(_("You have approved it already; one person counts once."));
		}
	}

	steps = flow_steps(request);
	jit_flow_progress(request, &progress);
	foreach(lc, steps)
	{
		if ((ending || progress.step == foreach_current_index(lc) + 1) &&
			step_admits(request, lfirst(lc), person->role))
			return NULL;
	}
	if (needs_superuser(request, steps) &&
		(ending || progress.step == list_length(steps) + 1) &&
		superuser_arg(person->role))
		return NULL;
	/* where nobody needs to agree, those can end it who could without us */
	if (ending && steps == NIL &&
		(jit_person_administers(person) || could_grant(request, person->role)))
		return NULL;

	if (ending || progress.approvers == NULL)
		return pstrdup(_("You are not among those who could approve it."));
	return psprintf(_("The approval that is needed now is by %s."),
					progress.approvers);
}

/* Could somebody who logs in as this role approve, as any role of theirs? */
static bool
login_could_approve(JitRequest *request, Oid login)
{
	List	   *roles = jit_role_closure(login, JIT_CLOSURE_SET,
										 JIT_FILTER_STANDING, jit_now());
	ListCell   *lc;

	foreach(lc, roles)
	{
		JitPerson	person = {
			.role = lfirst_oid(lc),
			.session = login,
			.login = login
		};

		if (jit_why_not_approve(request, &person, false) == NULL)
			return true;
	}
	return false;
}

/*
 * Names of the logins that could give the approval that is needed now, for a
 * message: "anna, ben and 3 more".  Superusers are named only where nobody
 * else could.  *people is how many there are, superusers included.  Needs a
 * snapshot; scans pg_authid.
 */
char *
jit_approvers_text(JitRequest *request, int *people)
{
	JitScan		scan;
	HeapTuple	tuple;
	List	   *logins = NIL;
	List	   *names = NIL;
	List	   *superusers = NIL;
	List	   *shown;
	ListCell   *lc;
	StringInfoData buf;

	jit_begin_scan(&scan, AuthIdRelationId, InvalidOid, NULL, 0);
	while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		Form_pg_authid form = (Form_pg_authid) GETSTRUCT(tuple);

		if (form->rolcanlogin)
			logins = lappend_oid(logins, form->oid);
	}
	jit_end_scan(&scan);

	foreach(lc, logins)
	{
		Oid			login = lfirst_oid(lc);

		CHECK_FOR_INTERRUPTS();
		if (!login_could_approve(request, login))
			continue;
		if (superuser_arg(login))
			superusers = lappend(superusers, jit_role_name(login));
		else
			names = lappend(names, jit_role_name(login));
	}
	*people = list_length(names) + list_length(superusers);

	shown = names != NIL ? names : superusers;
	list_sort(shown, jit_compare_texts);
	initStringInfo(&buf);
	foreach(lc, shown)
	{
		int			i = foreach_current_index(lc);

		if (i == MAX_NAMES_SHOWN)
		{
			appendStringInfo(&buf, _(" and %d more"), list_length(shown) - i);
			break;
		}
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(lfirst(lc)));
	}
	return buf.data;
}
