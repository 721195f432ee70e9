/*-------------------------------------------------------------------------
 *
 * emergency.c
 *		Who may break the glass, and who reviews it.
 *
 * An emergency is a request that nobody has to approve, for the login itself.
 * Its life is that of any request (request.c), and beside it there is its
 * review:
 *
 *	not reviewed -> justified | unjustified
 *	justified | unjustified -> justified | unjustified, by an administrator
 *
 *	broken				in one transaction: the request, active, its events, and
 *						at the commit the look again (giving.c), which judges the
 *						person and what else they have broken anew; a crash before
 *						the commit leaves nothing
 *	reviewed			under the request's row lock: verdict, row of jit.reviews,
 *						event; unjustified ends what is still active in the same
 *						transaction
 *	nobody reviews		nothing happens by itself; the person can't break the glass
 *						any more
 *
 * What somebody has broken is known by person, as far as identities tell
 * (person.c), and by name, so that a role which was made anew isn't another
 * person's.
 *
 * This room only answers questions.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/query.h"
#include "base/roles.h"
#include "base/text.h"
#include "request/emergency.h"
#include "request/policy.h"

/* How many emergencies of one person may wait for their review. */
#define MOST_UNREVIEWED 2

/*
 * Risk and limits of an emergency.  What they say of it is left out, lest
 * words make a risk lower.  The flow is whose review it waits for: that of its
 * risk, or of the next that needs anybody.
 */
JitDecision *
jit_decide_emergency(const JitRequest *request, int64 usecs)
{
	JitRequest	probe = *request;
	JitDecision *decision;
	JitDecision reviewers;
	JitRisk		risk;

	probe.reason = probe.ticket = NULL;
	decision = jit_decide(&probe, usecs);
	decision->max_duration = Min(decision->max_duration, decision->emergency_duration);
	risk = decision->risk;
	reviewers = *decision;
	while (reviewers.steps == NIL && risk < JIT_RISK_HIGH)
		jit_load_flow(&reviewers, ++risk);
	decision->flow = reviewers.flow;
	return decision;
}

TimestampTz
jit_review_due_at(TimestampTz since)
{
	return since + jit_review_within * USECS_PER_SEC;
}

/*
 * What the person has broken, but for this request: how many emergencies of
 * theirs wait for their review, and in "why", unless it is NULL, what keeps them
 * from the next.
 */
static int
count_unreviewed(const JitPerson *person, int except, char **why)
{
	JitOwnerSection section;
	int			unreviewed = 0;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT id, CASE WHEN starts_with(origin, $1) THEN requester_oid ELSE 0 END, requester,"
				  " verdict IS NULL, activated_at,"
	/* ended before its time, and not by themselves */
				  " status IN ('expired', 'revoked') AND ended_at < activated_at + duration"
				  "  AND NOT EXISTS (SELECT FROM jit.events e WHERE e.request_id = r.id"
				  "   AND e.event IN ('revoked', 'shortened') AND e.login = r.login)"
				  " FROM jit.requests r WHERE emergency AND verdict IS DISTINCT FROM 'justified' AND id <> $2"
				  " ORDER BY id",
				  "ti", jit_cluster_origin(), except);
	for (int i = 1; i <= n; i++)
	{
		int			id = jit_result_int(i, 1);
		Oid			role = jit_result_oid(i, 2);
		char	   *name = jit_result_text(i, 3);
		bool		waits = jit_result_bool(i, 4);
		TimestampTz since = jit_result_time(i, 5);
		bool		cut_short = jit_result_bool(i, 6);

		if (!jit_is_one_person(person, role, name, false))
			continue;
		if (waits)
			unreviewed++;
		if (why == NULL || *why != NULL)
			continue;
		if (!waits)
			*why = psprintf(_("The emergency of request %d was reviewed as unjustified; an administrator can lift that with jit_review()."), id);
		else if (cut_short)
			*why = psprintf(_("The emergency of request %d was ended by others, and has not been reviewed."), id);
		else if (jit_review_due_at(since) <= jit_now())
			*why = psprintf(_("The review of the emergency of request %d is overdue."), id);
	}
	jit_leave_owner_section(&section);
	if (why != NULL && *why == NULL && unreviewed >= MOST_UNREVIEWED)
		*why = psprintf(_("%d emergencies of yours have not been reviewed."), unreviewed);
	return unreviewed;
}

/*
 * Why the person can't break the glass for this request, of the risk whose flow
 * that is: a sentence for DETAIL, or NULL.  Needs request->items.
 */
char *
jit_why_not_break_glass(const JitRequest *request, const JitPerson *person,
						const JitDecision *flow)
{
	char	   *why = jit_why_not_decide(person);

	if (why != NULL)
		return why;
	if (person->role != person->login || person->session != person->login)
		return psprintf(_("It is for the login itself, %s, and not as role %s."),
						quote_identifier(jit_role_name(person->login)),
						quote_identifier(jit_role_name(person->role)));
	if (request->needs_superuser || request->elsewhere)
		return pstrdup(_("It takes a superuser's approval, or that of other databases' owners."));
	if (flow->emergency_role == NULL)
		return psprintf(_("Nobody may for %s risk: its flow names no emergency_role."),
						jit_risk_name(flow->risk));
	if (!OidIsValid(flow->emergency_oid) ||
		!jit_is_member(person->login, flow->emergency_oid, JIT_FILTER_STANDING))
		return psprintf(_("For %s risk only members of role %s may, for good."),
						jit_risk_name(flow->risk), quote_identifier(flow->emergency_role));
	(void) count_unreviewed(person, request->id, &why);
	return why;
}

/*
 * Why the person can't review the emergency: a sentence for DETAIL, or NULL.
 * Loads request->items.
 */
char *
jit_why_not_review(JitRequest *request, const JitPerson *person)
{
	char	   *why = jit_why_not_decide(person);

	if (why == NULL)
		why = jit_why_not_impartial(request, person);
	if (why != NULL)
		return why;
	if (count_unreviewed(person, 0, NULL) > 0)
		return pstrdup(_("An emergency of your own has not been reviewed."));
	if (jit_person_administers(person))
		return NULL;
	if (request->verdict != NULL)
		return pstrdup(_("It has been reviewed; an administrator can review it anew."));
	if (JsonContainerSize(&request->flow->root) == 0)
		return pstrdup(_("No flow names anybody, so administrators review it."));
	jit_load_request_items(request, true);
	if (jit_why_not_approve(request, person, true) != NULL)
		return pstrdup(_("You are not among those who could have approved it."));
	return NULL;
}
