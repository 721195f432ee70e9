/*-------------------------------------------------------------------------
 *
 * policy.c
 *		What a request's risk is.
 *
 * Risk policies are jsonpath predicates over the facts of a request; the
 * highest risk of those that match is the request's, and
 * jit_access.default_risk if none does.
 *
 * What can't be told never lowers the risk: a condition that raises, or
 * whose result is null, counts as matched, at high risk at least.
 *
 * Conditions are data: jsonpath has no functions of the user's, no variables
 * (we pass none) and depends on no setting but TimeZone, which is
 * log_timezone while they are evaluated, so that whoever asks can't turn the
 * clock.
 *
 * This room decides and files nothing; jit.risk_policies changes only through
 * the functions of JIT administrators at the end, each change with an event.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/query.h"
#include "base/text.h"
#include "request/approver.h"
#include "request/facts.h"
#include "request/policy.h"

/* ----------------------------------------------------------------------
 * Deciding
 * ----------------------------------------------------------------------
 */

typedef struct EvaluateCall
{
	Jsonb	   *facts;
	JsonPath   *condition;
	bool		matched;		/* result */
	char	   *failure;		/* result, NULL if it can be told */
} EvaluateCall;

static void
try_to_evaluate(void *arg)
{
	LOCAL_FCINFO(fcinfo, 4);
	EvaluateCall *call = arg;
	JsonbInState state = {0};

	InitFunctionCallInfoData(*fcinfo, NULL, 4, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(call->facts);
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = PointerGetDatum(call->condition);
	fcinfo->args[1].isnull = false;
	JIT_PUSH_JSONB(&state, WJB_BEGIN_OBJECT, NULL);
	JIT_PUSH_JSONB(&state, WJB_END_OBJECT, NULL);
	fcinfo->args[2].value = JsonbPGetDatum(JsonbValueToJsonb(state.result));
	fcinfo->args[2].isnull = false;
	fcinfo->args[3].value = BoolGetDatum(false);	/* not silent */
	fcinfo->args[3].isnull = false;

	call->matched = DatumGetBool(jsonb_path_match_tz(fcinfo));
	if (fcinfo->isnull)
		call->failure = _("its result is null");
}

/*
 * Evaluate a condition.  Returns NULL and sets *matched, or says why it can't
 * be told.  In a subtransaction of its own, because it may raise whatever its
 * administrator didn't think of; cancellation isn't the condition's fault.
 */
static char *
evaluate_condition(Jsonb *facts, JsonPath *condition, bool *matched)
{
	EvaluateCall call = {facts, condition, false, NULL};
	ErrorData  *error = jit_try(try_to_evaluate, &call);

	/* whatever else stops the session isn't its fault, either */
	if (error != NULL &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	*matched = call.matched;
	return error != NULL ? error->message : call.failure;
}

/*
 * Judge facts by the enabled policies: decision->risk, policies, and what
 * forbids.
 */
static void
judge_facts(JitDecision *decision, Jsonb *facts)
{
	JitOwnerSection section;
	List	   *conditions = NIL;
	List	   *descriptions = NIL;
	ListCell   *policy_cell;
	ListCell   *condition_cell;
	ListCell   *description_cell;
	bool		any = false;
	bool		isnull;
	int			nestlevel;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT name, risk::text, condition, description"
				  " FROM jit.risk_policies WHERE enabled ORDER BY name", "");
	for (int i = 1; i <= n; i++)
	{
		JitPolicyResult *policy = palloc0(sizeof(JitPolicyResult));

		policy->name = jit_result_text(i, 1);
		policy->risk = jit_risk_by_name(jit_result_text(i, 2));
		decision->policies = lappend(decision->policies, policy);
		conditions = lappend(conditions,
							 DatumGetJsonPathPCopy(jit_result(i, 3, &isnull)));
		descriptions = lappend(descriptions, jit_result_text(i, 4));
	}
	jit_leave_owner_section(&section);

	nestlevel = NewGUCNestLevel();
	jit_set_locally("TimeZone", pg_get_timezone_name(log_timezone));
	forthree(policy_cell, decision->policies,
			 condition_cell, conditions,
			 description_cell, descriptions)
	{
		JitPolicyResult *policy = lfirst(policy_cell);

		CHECK_FOR_INTERRUPTS();
		policy->failure = evaluate_condition(facts, lfirst(condition_cell),
											 &policy->matched);
		if (policy->failure != NULL)
		{
			policy->matched = true;
			policy->risk = Max(policy->risk, JIT_RISK_HIGH);
		}
		if (!policy->matched)
			continue;
		if (!any || policy->risk > decision->risk)
			decision->risk = policy->risk;
		any = true;
		if (policy->risk == JIT_RISK_FORBIDDEN && decision->forbidden_by == NULL)
		{
			decision->forbidden_by = policy->name;
			decision->forbidden_why = lfirst(description_cell);
			if (policy->failure != NULL)
				decision->forbidden_why =
					psprintf(_("Its condition cannot be evaluated: %s."),
							 policy->failure);
		}
	}
	AtEOXact_GUC(false, nestlevel);

	if (!any)
		decision->risk = jit_default_risk;
}

/*
 * Risk by policies, and the flow of that risk.  Says nothing to the client.
 */
JitDecision *
jit_decide_by_facts(Jsonb *facts)
{
	JitDecision *decision = palloc0(sizeof(JitDecision));

	decision->facts = facts;
	judge_facts(decision, facts);
	jit_load_flow(decision, decision->risk);
	return decision;
}

/*
 * Risk and flow of a request that is being filed, with request->items and all
 * that its author gave.  Warns of policies that can't be evaluated.  The
 * caller refuses what forbidden_by names, and holds the request against the
 * limits.  Runs as the caller; needs a snapshot.
 */
JitDecision *
jit_decide(const JitRequest *request, int64 duration)
{
	JitDecision *decision = jit_decide_by_facts(jit_make_facts(request, duration));
	ListCell   *lc;

	foreach(lc, decision->policies)
	{
		JitPolicyResult *policy = lfirst(lc);

		if (policy->failure != NULL)
			ereport(WARNING,
					(errmsg("policy %s cannot be evaluated and counts as matched, at %s risk",
							quote_identifier(policy->name),
							jit_risk_name(policy->risk)),
					 errdetail("Its condition failed: %s.", policy->failure)));
	}
	return decision;
}

/* Would the approvals that the request has be enough by the flow of now? */
static bool
is_content(const JitDecision *decision, const JitRequest *request)
{
	JitRequest	probe = *request;
	JitProgress progress;
	JitProgress counted;

	probe.flow = decision->flow;
	jit_flow_progress(&probe, &progress);
	/* which of them count is said by its own flow */
	jit_flow_progress(request, &counted);
	return progress.complete;
}

/*
 * What policies and flows would ask for more than they did when the request
 * was filed: a sentence for DETAIL, or NULL.  Compares with the facts of its
 * filing, save those that others can change meanwhile.  Of one that is to be
 * given without anybody's looking at it, what its grantee has by now counts as
 * well, and the flow of now must be content with the approvals that it has.
 * Needs request->items.
 */
char *
jit_stricter_now(const JitRequest *request)
{
	JitOwnerSection section;
	JitDecision *decision;
	Jsonb	   *facts;
	JitRisk		risk;
	ListCell   *lc;
	int64		approvals_then;
	int64		approvals_now = 0;
	int64		usecs = 0;
	int64		most;
	bool		isnull;

	jit_enter_owner_section(&section);
	jit_query("SELECT facts, (SELECT coalesce(sum((s ->> 'approvals')::int), 0)"
			  "  FROM jsonb_array_elements(flow) s), risk::text"
			  " FROM jit.requests WHERE id = $1",
			  "i", request->id);
	approvals_then = DatumGetInt64(jit_result(1, 2, &isnull));
	risk = jit_risk_by_name(jit_result_text(1, 3));
	facts = DatumGetJsonbPCopy(jit_result(1, 1, &isnull));
	jit_leave_owner_section(&section);

	decision = jit_decide_by_facts(jit_refresh_facts(facts, request));
	if (decision->risk > risk)
	{
		foreach(lc, decision->policies)
		{
			JitPolicyResult *policy = lfirst(lc);

			if (policy->matched && policy->risk == decision->risk)
				return psprintf(_("Request %d would be of %s risk now, by policy %s; it was of %s risk when it was filed."),
								request->id, jit_risk_name(decision->risk),
								quote_identifier(policy->name),
								jit_risk_name(risk));
		}
		return psprintf(_("Request %d would be of %s risk now; it was of %s risk when it was filed."),
						request->id, jit_risk_name(decision->risk),
						jit_risk_name(risk));
	}

	foreach(lc, decision->steps)
		approvals_now += ((JitStep *) lfirst(lc))->approvals;
	if (decision->risk == risk && approvals_now > approvals_then)
		return psprintf(_("Request %d would need more approvals now: %s."),
						request->id, jit_steps_text(decision->steps));
	if (decision->risk == risk && request->status != JIT_PENDING && !request->emergency &&
		!is_content(decision, request))
		return psprintf(_("Request %d would need other approvals now: %s."),
						request->id, jit_steps_text(decision->steps));

	if (request->duration != NULL)
		usecs = jit_interval_usecs(request->duration, "duration");
	else if (request->until != DT_NOEND)
		usecs = request->until - (request->start != DT_NOEND ? request->start : jit_now());
	most = Min((int64) jit_max_duration * USECS_PER_SEC, decision->max_duration);
	if (request->emergency)
		most = Min(most, decision->emergency_duration);
	if (usecs > most)
		return psprintf(_("Request %d could not be for so long now; at most %s is allowed."),
						request->id, jit_usecs_text(most));
	return NULL;
}
