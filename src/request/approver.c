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
 * A step is done when each item of the request has as many approvals as it
 * asks for.  Whoever is a member of one of its roles approves all items; as
 * @grantor, those that they could grant.
 *
 * Approvals stay on record, and are counted anew whenever somebody asks: one
 * counts while its giver could still give it.
 *
 * A step that is "direct" takes no approvals through a gateway, and people are
 * told apart by the identities that they ever had, too: see person.c.
 *
 * This room only answers questions.  It changes nothing but JitReview.counts,
 * which is as of the last recount.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/item.h"
#include "base/query.h"
#include "base/text.h"
#include "request/approver.h"

#include "utils/hsearch.h"

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
		JsonbValue *direct;
		JitStep    *step = palloc0(sizeof(JitStep));

		if (value->type != jbvBinary)
			elog(ERROR, "invalid approval step");
		approver = step_value(value->val.binary.data, "approver");
		any_of = step_value(value->val.binary.data, "any_of");
		oids = step_value(value->val.binary.data, "oids");
		approvals = step_value(value->val.binary.data, "approvals");
		direct = step_value(value->val.binary.data, "direct");

		if (approvals == NULL || approvals->type != jbvNumeric)
			elog(ERROR, "invalid approval step");
		step->approvals =
			DatumGetInt32(DirectFunctionCall1(numeric_int4,
											  NumericGetDatum(approvals->val.numeric)));
		if (step->approvals < 1)
			elog(ERROR, "invalid approval step");
		step->direct = direct == NULL || direct->type != jbvBool || direct->val.boolean;

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

/*
 * A step's roles in words: "hr_owner or security".  "items" is what @grantor
 * could grant, NULL for all of it.
 */
char *
jit_step_names(const JitStep *step, const char *items)
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
			appendStringInfo(&buf, _("anyone who could grant %s"), items ? items : _("it"));
		else
			appendStringInfoString(&buf, jit_name_now(oid, name));
	}
	return buf.data;
}

/* "2 approvals by hr_owner or security", and whether directly where that matters */
char *
jit_step_text(const JitStep *step)
{
	char	   *text = psprintf(ngettext("%d approval by %s", "%d approvals by %s",
										 step->approvals),
								step->approvals, jit_step_names(step, NULL));

	/* where there are gateways */
	if (step->direct && jit_gateway_logins[0] != '\0')
		return psprintf(_("%s, directly"), text);
	return text;
}

/*
 * Approvals are counted by item; a request whose objects are all gone still
 * has one thing to approve.
 */
static int
number_of_parts(const JitRequest *request)
{
	return Max(1, list_length(request->items));
}

/*
 * Which parts of the request the role may approve in a step: their positions,
 * NULL for none.  The step after the last is a superuser's.
 */
static Bitmapset *
approvable(const JitRequest *request, List *steps, int number, Oid role)
{
	Bitmapset  *all = bms_add_range(NULL, 0, number_of_parts(request) - 1);
	JitStep    *step;
	ListCell   *lc;
	bool		grantor = false;

	if (number > list_length(steps))
		return superuser_arg(role) ? all : NULL;
	step = list_nth(steps, number - 1);
	foreach(lc, step->names)
	{
		Oid			oid = list_nth_oid(step->oids, foreach_current_index(lc));

		if (strcmp(lfirst(lc), JIT_GRANTOR) == 0)
			grantor = true;
		else if (OidIsValid(oid) &&
				 jit_is_member(role, oid, JIT_FILTER_STANDING))
			return all;
	}
	return grantor ? jit_items_grantable(request->items, role) : NULL;
}

/* Is it for those who could GRANT it to decide, in some step?  May raise. */
bool
jit_asks_grantor(const JitRequest *request)
{
	List	   *steps = flow_steps(request);
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, steps)
	{
		foreach(lc2, ((JitStep *) lfirst(lc))->names)
		{
			if (strcmp(lfirst(lc2), JIT_GRANTOR) == 0)
				return true;
		}
	}
	return steps == NIL;
}

/* Can only those who could GRANT it pass the step? */
static bool
takes_grantor(const JitStep *step)
{
	return list_length(step->names) == 1 &&
		strcmp(linitial(step->names), JIT_GRANTOR) == 0;
}

/* Has the flow a step that only who could GRANT it can pass? */
static bool
asks_grantor(List *steps)
{
	ListCell   *lc;

	foreach(lc, steps)
	{
		if (takes_grantor(lfirst(lc)))
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

/* ----------------------------------------------------------------------
 * Separation of duties
 * ----------------------------------------------------------------------
 */

/* Is the login, unless it is a proxy's, one of the person's, whoever they are? */
static bool
is_login(const JitPerson *person, Oid login, const char *name)
{
	return !(OidIsValid(login) && jit_is_proxy_login(login)) &&
		jit_is_one_person(person, login, name, false);
}

/*
 * Why the person, whatever their authority, has to leave the decision to
 * others, or NULL.
 */
char *
jit_why_not_impartial(const JitRequest *request, const JitPerson *person)
{
	ListCell   *lc;

	/* the requester and the beneficiaries never do */
	if (jit_is_one_person(person, request->grantee, request->grantee_name, false))
		return psprintf(_("It is for you (role %s)."),
						jit_name_now(request->grantee, request->grantee_name));
	if (jit_is_one_person(person, request->grantee, NULL, true))
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
		return psprintf(_("It is for role %s, of which a role is a member that is one person with you: they have had the same identity."),
						jit_name_now(request->grantee, request->grantee_name));
	}
	if (!request->direct)
	{
		if (jit_is_party_via(person, request->via))
			return psprintf(_("It was requested by the identity %s."), jit_shown(request->via));
		if (jit_is_one_person(person, request->requester, request->requester_name,
							  false))
			return psprintf(_("It was requested by you (role %s)."),
							jit_name_now(request->requester, request->requester_name));
		if (is_login(person, request->login, request->login_name))
			return psprintf(_("It was requested by your login %s."),
							jit_name_now(request->login, request->login_name));
	}
	return NULL;
}

/* ----------------------------------------------------------------------
 * Approvals that were given
 * ----------------------------------------------------------------------
 */

/* The requester's own approval can only have come with jit_grant(). */
static bool
came_with_grant(const JitRequest *request, const JitReview *review)
{
	return review->approver == request->requester &&
		review->login == request->login &&
		strcmp(review->approver_name, request->requester_name) == 0 &&
		strcmp(review->login_name, request->login_name) == 0;
}

/*
 * Why an approval doesn't count any more, though it is on record: part of a
 * sentence, or NULL if its giver could still give it.
 */
static char *
why_not_counted(const JitRequest *request, List *steps,
				const JitReview *review, const JitPerson *person)
{
	JitRequest	probe = *request;

	if (!OidIsValid(review->approver))
		return pstrdup(_("the role has been dropped"));
	if (!OidIsValid(review->login))
		return pstrdup(_("its login has been dropped"));
	/* in tests, roles that can't may play */
	if (jit_top_level_only && !jit_may_log_in(review->login))
		return pstrdup(_("its login may not log in any more"));
	if (jit_why_not_decide(person) != NULL)
		return pstrdup(_("its login may not use the role any more"));
	probe.direct = came_with_grant(request, review);
	if (jit_why_not_impartial(&probe, person) != NULL)
		return pstrdup(_("the role or its login has become a party to the request"));
	if (review->step > list_length(steps))
		return review->by_superuser && superuser_arg(review->approver) ? NULL :
			pstrdup(_("the role is not a superuser any more"));
	if (approvable(request, steps, review->step, review->approver) == NULL)
		return psprintf(_("it has to be by %s"),
						jit_step_names(list_nth(steps, review->step - 1), NULL));
	/* by the flow of its filing none is there */
	if (review->via != NULL && ((JitStep *) list_nth(steps, review->step - 1))->direct)
		return pstrdup(_("it has to be given directly"));
	return NULL;
}

/* "role hr_owner (login anna)" */
static char *
reviewer_text(const JitReview *review)
{
	if (strcmp(review->approver_name, review->login_name) == 0)
		return psprintf(_("role %s"), jit_name_now(review->approver, review->approver_name));
	return psprintf(_("role %s (login %s)"), jit_name_now(review->approver, review->approver_name),
					jit_name_now(review->login, review->login_name));
}

/*
 * Is one of the approvals the person's?  By name as well, so that a role which
 * was made anew isn't taken for another person.
 */
static bool
is_among(const JitPerson *person, List *reviews, bool by_name)
{
	ListCell   *lc;

	foreach(lc, reviews)
	{
		JitReview  *review = lfirst(lc);

		if (jit_is_party_via(person, review->via) ||
			jit_is_one_person(person, review->approver,
							  by_name ? review->approver_name : NULL, false) ||
			is_login(person, review->login,
					 by_name ? review->login_name : NULL))
			return true;
	}
	return false;
}

/*
 * The approvals that count; what is to be said of the others is added to
 * "lost".
 */
static List *
counted_reviews(const JitRequest *request, List *steps, StringInfo lost)
{
	List	   *counted = NIL;
	ListCell   *lc;

	foreach(lc, request->reviews)
	{
		JitReview  *review = lfirst(lc);
		JitPerson	person = {
			.role = review->approver,
			.session = review->login,
			.login = review->login,
			.via = review->via
		};
		char	   *why = why_not_counted(request, steps, review, &person);

		/* one person counts once, also if they said it twice */
		review->counts = why == NULL && !is_among(&person, counted, false);
		if (review->counts)
			counted = lappend(counted, review);
		if (why != NULL)
			appendStringInfo(lost, _("%sThe approval by %s does not count any more: %s."),
							 lost->len > 0 ? "\n" : "", reviewer_text(review), why);
		else if (review->by_superuser && !superuser_arg(review->approver) &&
				 needs_superuser(request, steps))
			appendStringInfo(lost, _("%sThe approval by %s does not count as a superuser's any more."),
							 lost->len > 0 ? "\n" : "", reviewer_text(review));
	}
	return counted;
}

/* What each part of the request still lacks in a step; false if it's nothing. */
static bool
lacks_approvals(const JitRequest *request, List *steps, int number,
				List *counted, JitProgress *progress)
{
	int			parts = number_of_parts(request);
	bool		lacking = false;
	ListCell   *lc;

	progress->step = number;
	progress->needed = number > list_length(steps) ? 1 :
		((JitStep *) list_nth(steps, number - 1))->approvals;
	/* no gateway acts for superusers */
	progress->direct = number > list_length(steps) ||
		((JitStep *) list_nth(steps, number - 1))->direct;
	for (int i = 0; i < parts; i++)
		progress->lacking[i] = progress->needed;
	foreach(lc, counted)
	{
		JitReview  *review = lfirst(lc);
		Bitmapset  *of;
		int			part = -1;

		if (number <= list_length(steps) ? review->step != number :
			!review->by_superuser)
			continue;
		of = approvable(request, steps, number, review->approver);
		while ((part = bms_next_member(of, part)) >= 0)
			progress->lacking[part] = Max(0, progress->lacking[part] - 1);
	}
	for (int i = 0; i < parts; i++)
		lacking |= progress->lacking[i] > 0;
	return lacking;
}

/* jit_flow_progress(), with the steps at hand. */
static void
flow_progress(const JitRequest *request, List *steps, JitProgress *progress)
{
	StringInfoData lost;
	List	   *counted;

	memset(progress, 0, sizeof(JitProgress));
	progress->steps = list_length(steps);
	progress->lacking = palloc0(number_of_parts(request) * sizeof(int));
	initStringInfo(&lost);
	counted = counted_reviews(request, steps, &lost);
	progress->lost = lost.len > 0 ? lost.data : NULL;

	for (int number = 1; number <= list_length(steps); number++)
	{
		if (lacks_approvals(request, steps, number, counted, progress))
		{
			if (needs_superuser(request, steps))
				progress->steps++;
			return;
		}
	}
	if (needs_superuser(request, steps) &&
		lacks_approvals(request, steps, list_length(steps) + 1, counted, progress))
	{
		progress->steps++;
		return;
	}
	progress->step = Max(1, list_length(steps));
	progress->direct = steps == NIL || ((JitStep *) llast(steps))->direct;
	progress->complete = true;
}

/*
 * Where the approval stands, by those approvals in request->reviews that still
 * count.  Needs request->items, too.
 */
void
jit_flow_progress(const JitRequest *request, JitProgress *progress)
{
	flow_progress(request, flow_steps(request), progress);
}

/*
 * The same of one step, whichever is due now.  Returns what it takes, in words;
 * NULL if there is no such step.
 */
char *
jit_step_progress(const JitRequest *request, int number, JitProgress *progress)
{
	List	   *steps = flow_steps(request);
	StringInfoData lost;

	memset(progress, 0, sizeof(JitProgress));
	progress->steps = list_length(steps) + (needs_superuser(request, steps) ? 1 : 0);
	if (number > progress->steps)
		return NULL;
	progress->lacking = palloc0(number_of_parts(request) * sizeof(int));
	initStringInfo(&lost);
	progress->complete = !lacks_approvals(request, steps, number,
										  counted_reviews(request, steps, &lost),
										  progress);
	progress->lost = lost.len > 0 ? lost.data : NULL;
	if (number > list_length(steps))
		return pstrdup(_("1 approval by a superuser"));
	return jit_step_text(list_nth(steps, number - 1));
}

/* ----------------------------------------------------------------------
 * Who may approve
 * ----------------------------------------------------------------------
 */

/* The items at these positions in words, whether or not they were added. */
static char *
items_text(const JitRequest *request, const Bitmapset *positions)
{
	List	   *items = NIL;
	int			i = -1;

	while ((i = bms_next_member(positions, i)) >= 0)
	{
		JitItem    *item = palloc(sizeof(JitItem));

		*item = *(JitItem *) list_nth(request->items, i);
		item->added = false;
		items = lappend(items, item);
	}
	return jit_few_items_text(items);
}

/* Who may give an approval in a step, in words. */
static char *
approvers_text(List *steps, int number, const char *items)
{
	return number > list_length(steps) ? pstrdup(_("a superuser")) :
		jit_step_names(list_nth(steps, number - 1), items);
}

/* What of that which is missing now the role could approve; NULL for nothing. */
static Bitmapset *
approvable_now(const JitRequest *request, List *steps,
			   const JitProgress *progress, Oid role)
{
	Bitmapset  *parts = approvable(request, steps, progress->step, role);

	for (int i = 0; i < number_of_parts(request); i++)
	{
		if (progress->lacking[i] == 0)
			parts = bms_del_member(parts, i);
	}
	return bms_is_empty(parts) ? NULL : parts;
}

/* Items that lack approvals, or all of what needs none, save those. */
static Bitmapset *
lacking_items(const JitRequest *request, const JitProgress *progress,
			  const Bitmapset *but)
{
	Bitmapset  *positions = NULL;

	for (int i = 0; i < list_length(request->items); i++)
	{
		if (!bms_is_member(i, but) && (progress->complete || progress->lacking[i] > 0))
			positions = bms_add_member(positions, i);
	}
	return positions;
}

/*
 * Why the person can't approve the request now: a sentence for DETAIL, or
 * NULL if they can.  "ending" asks for less, for rejecting and revoking: any
 * item of any step will do, and so will having approved before.
 *
 * That is enough, too, to approve what has all the approvals that it needs,
 * because somebody came back whose approval hadn't counted.  Where nobody
 * needs to agree, it takes who could do it without us.
 *
 * Needs request->items and request->reviews.
 */
char *
jit_why_not_approve(const JitRequest *request, const JitPerson *person, bool ending)
{
	char	   *why = jit_why_not_decide(person);
	List	   *steps;
	Bitmapset  *mine;
	Bitmapset  *lacking;
	char	   *items = NULL;
	JitProgress progress;

	/* ending something takes authority, but nobody else */
	if (why == NULL && !ending)
		why = jit_why_not_impartial(request, person);
	if (why != NULL)
		return why;

	mine = jit_items_grantable(request->items, person->role);
	steps = flow_steps(request);
	flow_progress(request, steps, &progress);
	/* no card is sure to show it whole */
	if (!ending && person->via != NULL && request->statement != NULL)
		return pstrdup(_("A statement takes no approval through a gateway: log in directly, and read it there."));
	if (!ending && person->via != NULL && progress.direct)
		return pstrdup(_("This step takes no approval through a gateway: log in directly, and approve it there."));
	if (!ending && !progress.complete)
	{
		if (is_among(person, request->reviews, true))
			return pstrdup(_("You have approved it already; one person counts once."));
		if (approvable_now(request, steps, &progress, person->role) != NULL)
			return NULL;
	}
	else
	{
		for (int number = 1; number <= list_length(steps); number++)
		{
			if (approvable(request, steps, number, person->role) != NULL)
				return NULL;
		}
		if (needs_superuser(request, steps) && superuser_arg(person->role))
			return NULL;
		if (steps == NIL &&
			(jit_person_administers(person) ||
			 (ending ? !bms_is_empty(mine) :
			  request->items != NIL &&
			  bms_num_members(mine) == list_length(request->items))))
			return NULL;
	}

	/* whom it doesn't concern isn't told what it is for */
	if (!ending && (request->direct || !bms_is_empty(mine)))
	{
		lacking = lacking_items(request, &progress, mine);
		if (!bms_is_empty(lacking))
			items = items_text(request, lacking);
	}
	if (items != NULL &&
		(steps == NIL ? progress.complete : !progress.complete &&
		 progress.step <= list_length(steps) &&
		 takes_grantor(list_nth(steps, progress.step - 1))))
		return psprintf(_("You cannot grant %s."), items);
	if (ending || progress.complete)
		return pstrdup(_("You are not among those who could approve it."));
	return psprintf(_("The approval that is needed now is by %s."),
					approvers_text(steps, progress.step, items));
}

/* ----------------------------------------------------------------------
 * Whom it concerns
 * ----------------------------------------------------------------------
 */

/*
 * Has the person asked for it, or do they get the access?  By OID: whoever
 * bears the name today need not be who bore it then.  (Of a row from elsewhere
 * these are the OIDs of its names.)
 */
bool
jit_is_own(const JitRequest *request, const JitPerson *person)
{
	return jit_is_party(person, request->requester, NULL, false) ||
		jit_is_party(person, request->grantee, NULL, false);
}

/* The same, or has a role of theirs, for as long as they are its member? */
static bool
is_own_or_of_a_role(const JitRequest *request, const JitPerson *person)
{
	ListCell   *lc;

	foreach(lc, jit_person_roles(person))
	{
		List	   *roles = jit_role_closure(lfirst_oid(lc), JIT_CLOSURE_MEMBERS,
											 JIT_FILTER_LIVE, jit_now());

		if (list_member_oid(roles, request->requester) ||
			list_member_oid(roles, request->grantee))
			return true;
	}
	return false;
}

typedef struct DecideCall
{
	JitRequest *request;
	const JitPerson *person;
	bool		could;			/* result */
	bool		owners;			/* result: is it for owners to decide? */
} DecideCall;

static void
try_to_decide(void *arg)
{
	DecideCall *call = arg;

	call->owners = jit_asks_grantor(call->request);
	jit_load_request_items(call->request, true);
	call->could = jit_why_not_approve(call->request, call->person, true) == NULL;
}

/* Is the person, for good, who owned something of it when it was filed? */
bool
jit_owned_then(const JitRequest *request, const JitPerson *person)
{
	ListCell   *lc;

	if (!jit_holds_role_for_good(person))
		return false;
	foreach(lc, jit_owners_then(request))
	{
		if (OidIsValid(lfirst_oid(lc)) &&
			jit_is_member(person->role, lfirst_oid(lc), JIT_FILTER_STANDING))
			return true;
	}
	return false;
}

/*
 * Is the request any business of the person's?  Of whoever reads everything,
 * asked for it, gets the access, has decided on it, could decide on it in some
 * step, or could have before what they own was dropped.
 */
bool
jit_concerns(JitRequest *request, const JitPerson *person)
{
	DecideCall	call = {request, person, false, true};
	List	   *decided = list_copy(request->reviews);
	ListCell   *lc;

	if (jit_person_audits(person) || is_own_or_of_a_role(request, person) ||
		jit_is_party_login(person, request->login, NULL))
		return true;
	if (request->rejection != NULL)
		decided = lappend(decided, request->rejection);
	foreach(lc, decided)
	{
		JitReview  *review = lfirst(lc);

		if (jit_is_party(person, review->approver, NULL, false) ||
			jit_is_party(person, review->login, NULL, false))
			return true;
	}
	if (!jit_holds_role_for_good(person))
		return false;
	/* whatever is wrong with it is told to no others */
	(void) jit_try(try_to_decide, &call);
	return call.could || (call.owners && jit_owned_then(request, person));
}

/* Could the person, who isn't a party to it, end the access with jit_revoke()? */
bool
jit_could_end(JitRequest *request, const JitPerson *person)
{
	DecideCall	call = {request, person, false, true};

	(void) jit_try(try_to_decide, &call);
	return call.could;
}

/* ----------------------------------------------------------------------
 * What is missing, and who could give it
 * ----------------------------------------------------------------------
 */

/*
 * What is missing, in groups of as many approvals of the same people: "who" is
 * those of each part.
 */
static List *
group_lacks(const JitRequest *request, List *steps,
			const JitProgress *progress, Bitmapset **who)
{
	int			parts = number_of_parts(request);
	List	   *lacks = NIL;
	ListCell   *lc;

	for (int i = 0; i < parts; i++)
	{
		JitLack    *lack = NULL;

		if (progress->lacking[i] == 0)
			continue;
		foreach(lc, lacks)
		{
			lack = lfirst(lc);
			if (lack->approvals == progress->lacking[i] && bms_equal(lack->who, who[i]))
				break;
		}
		if (lc == NULL)
		{
			lack = palloc0(sizeof(JitLack));
			lack->approvals = progress->lacking[i];
			lack->who = who[i];
			lacks = lappend(lacks, lack);
		}
		lack->parts = bms_add_member(lack->parts, i);
	}
	foreach(lc, lacks)
	{
		JitLack    *lack = lfirst(lc);

		if (bms_num_members(lack->parts) < parts)
			lack->items = items_text(request, lack->parts);
		lack->approvers = approvers_text(steps, progress->step, lack->items);
		lack->names = "";
	}
	return lacks;
}

/*
 * What is missing, where those parts are told apart that the role could
 * approve; it may be InvalidOid.
 */
List *
jit_lacks_for(const JitRequest *request, const JitProgress *progress, Oid role)
{
	List	   *steps = flow_steps(request);
	Bitmapset **who = palloc0(number_of_parts(request) * sizeof(Bitmapset *));
	Bitmapset  *mine = NULL;
	int			part = -1;

	if (OidIsValid(role))
		mine = approvable_now(request, steps, progress, role);
	while ((part = bms_next_member(mine, part)) >= 0)
		who[part] = bms_make_singleton(0);
	return group_lacks(request, steps, progress, who);
}

/* "1 approval by security (sam), 2 by anyone who could grant it (anna, ben)" */
char *
jit_lacks_text(List *lacks)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, lacks)
	{
		JitLack    *lack = lfirst(lc);

		if (buf.len == 0)
			appendStringInfo(&buf, ngettext("%d approval by %s", "%d approvals by %s",
											lack->approvals),
							 lack->approvals, lack->approvers);
		else
			appendStringInfo(&buf, _(", %d by %s"), lack->approvals, lack->approvers);
		if (lack->names[0] != '\0')
			appendStringInfo(&buf, " (%s)", lack->names);
	}
	return buf.data;
}

typedef struct RoleParts
{
	Oid			role;			/* key */
	Bitmapset  *parts;			/* what it could approve now */
} RoleParts;

/*
 * What of that which is missing somebody who logs in as this role could
 * approve, as any role of theirs.  "seen" has the roles that were asked for.
 */
static Bitmapset *
login_could_approve(const JitRequest *request, List *steps,
					const JitProgress *progress, Oid login, HTAB *seen)
{
	Bitmapset  *result = NULL;
	ListCell   *lc;

	foreach(lc, jit_role_closure(login, JIT_CLOSURE_SET, JIT_FILTER_STANDING, jit_now()))
	{
		JitPerson	person = {
			.role = lfirst_oid(lc),
			.session = login,
			.login = login
		};
		bool		found;
		RoleParts  *known = hash_search(seen, &person.role, HASH_ENTER, &found);

		if (!found)
			known->parts = approvable_now(request, steps, progress, person.role);
		if (!bms_is_subset(known->parts, result) &&
			jit_why_not_decide(&person) == NULL &&
			jit_why_not_impartial(request, &person) == NULL &&
			!is_among(&person, request->reviews, true))
			result = bms_add_members(result, known->parts);
	}
	return result;
}

/* Roles that can log in.  Needs a snapshot; scans pg_authid. */
List *
jit_all_logins(void)
{
	JitScan		scan;
	HeapTuple	tuple;
	List	   *logins = NIL;

	jit_begin_scan(&scan, AuthIdRelationId, InvalidOid, NULL, 0);
	while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		Form_pg_authid form = (Form_pg_authid) GETSTRUCT(tuple);

		if (form->rolcanlogin)
			logins = lappend_oid(logins, form->oid);
	}
	jit_end_scan(&scan);
	return logins;
}

/* Names of some logins; superusers are named only where nobody else could. */
static List *
names_of(List *logins, const Bitmapset *who, const Bitmapset *superusers)
{
	List	   *names = NIL;
	int			i = -1;

	if (!bms_is_subset(who, superusers))
		who = bms_difference(who, superusers);
	while ((i = bms_next_member(who, i)) >= 0)
		names = lappend(names, jit_role_name(list_nth_oid(logins, i)));
	list_sort(names, jit_compare_texts);
	return names;
}

/* The same for a message: "anna, ben and 3 more". */
static char *
names_text(List *names)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, names)
	{
		int			i = foreach_current_index(lc);

		if (i == MAX_NAMES_SHOWN)
		{
			appendStringInfo(&buf, _(" and %d more"), list_length(names) - i);
			break;
		}
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(lfirst(lc)));
	}
	return buf.data;
}

/*
 * Where enough people could each approve all that is missing, it is theirs,
 * and nothing is told apart.
 */
static void
prefer_those_for_all(const JitProgress *progress, Bitmapset **who, int parts,
					 const Bitmapset *superusers)
{
	Bitmapset  *all = NULL;
	int			lacking = 0;

	for (int i = 0; i < parts; i++)
	{
		if (progress->lacking[i] == 0)
			continue;
		all = lacking == 0 ? bms_copy(who[i]) : bms_int_members(all, who[i]);
		lacking = Max(lacking, progress->lacking[i]);
	}
	if (bms_num_members(bms_difference(all, superusers)) < lacking)
		return;
	for (int i = 0; i < parts; i++)
		who[i] = all;
}

/*
 * What is missing now, and the logins that could give it: told apart by item
 * where they aren't the same.  Needs a snapshot.
 */
List *
jit_lacks(const JitRequest *request, const JitProgress *progress)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(RoleParts),.hcxt = CurrentMemoryContext};
	HTAB	   *seen = hash_create("roles that could approve", 64, &ctl,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	List	   *steps = flow_steps(request);
	int			parts = number_of_parts(request);
	Bitmapset **who = palloc0(parts * sizeof(Bitmapset *));
	Bitmapset  *superusers = NULL;
	List	   *logins = jit_all_logins();
	List	   *lacks;
	ListCell   *lc;

	foreach(lc, logins)
	{
		int			login = foreach_current_index(lc);
		Bitmapset  *could;
		int			part = -1;

		CHECK_FOR_INTERRUPTS();
		could = login_could_approve(request, steps, progress, lfirst_oid(lc), seen);
		while ((part = bms_next_member(could, part)) >= 0)
			who[part] = bms_add_member(who[part], login);
		if (superuser_arg(lfirst_oid(lc)))
			superusers = bms_add_member(superusers, login);
	}
	hash_destroy(seen);
	prefer_those_for_all(progress, who, parts, superusers);
	lacks = group_lacks(request, steps, progress, who);
	foreach(lc, lacks)
	{
		JitLack    *lack = lfirst(lc);

		lack->people = bms_num_members(lack->who);
		lack->logins = names_of(logins, lack->who, superusers);
		lack->names = names_text(lack->logins);
	}
	return lacks;
}

/* Names of the logins that could give something of what is missing, sorted. */
List *
jit_waited_for(const JitRequest *request, const JitProgress *progress)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, jit_lacks(request, progress))
		names = list_concat(names, ((JitLack *) lfirst(lc))->logins);
	list_sort(names, jit_compare_texts);
	for (int i = list_length(names) - 1; i > 0; i--)
	{
		if (strcmp(list_nth(names, i), list_nth(names, i - 1)) == 0)
			names = list_delete_nth_cell(names, i);
	}
	return names;
}

/*
 * Are there people enough for what is missing now?  Of the logins who could
 * give some of it, the last is tried first for the next request.
 */
bool
jit_could_be_complete(const JitRequest *request, const JitProgress *progress,
					  List **logins)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(RoleParts),.hcxt = CurrentMemoryContext};
	HTAB	   *seen = hash_create("roles that could approve", 64, &ctl,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	List	   *steps = flow_steps(request);
	int			missing = 0;
	int		   *lacking = palloc(number_of_parts(request) * sizeof(int));
	Oid			last = InvalidOid;
	ListCell   *lc;

	for (int i = 0; i < number_of_parts(request); i++)
		missing += lacking[i] = progress->complete ? 0 : progress->lacking[i];
	foreach(lc, missing > 0 ? *logins : NIL)
	{
		Bitmapset  *could;
		int			part = -1;

		CHECK_FOR_INTERRUPTS();
		could = login_could_approve(request, steps, progress, lfirst_oid(lc), seen);
		while ((part = bms_next_member(could, part)) >= 0)
		{
			last = lfirst_oid(lc);
			if (lacking[part] > 0)
			{
				lacking[part]--;
				missing--;
			}
		}
		if (missing == 0)
			break;
	}
	hash_destroy(seen);
	if (OidIsValid(last))
		*logins = lcons_oid(last, list_delete_oid(*logins, last));
	return missing == 0;
}
