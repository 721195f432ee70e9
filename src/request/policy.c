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

#include "fmgr.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(jit_set_policy);
PG_FUNCTION_INFO_V1(jit_drop_policy);

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
	JsonbParseState *state = NULL;

	InitFunctionCallInfoData(*fcinfo, NULL, 4, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(call->facts);
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = PointerGetDatum(call->condition);
	fcinfo->args[1].isnull = false;
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	fcinfo->args[2].value =
		JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
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
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi_context;
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
				  " FROM jit.risk_policies WHERE enabled ORDER BY name", 0);
	spi_context = MemoryContextSwitchTo(context);
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
	MemoryContextSwitchTo(spi_context);
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

/*
 * What policies and flows would ask for more than they did when the request
 * was filed, in a sentence for its approver, or NULL.  Compares with the
 * facts of its filing, save those that others can change meanwhile.  Needs
 * request->items.
 */
char *
jit_stricter_now(const JitRequest *request)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi_context;
	JitOwnerSection section;
	JitDecision *decision;
	Jsonb	   *facts;
	JitRisk		risk;
	ListCell   *lc;
	int64		approvals_then;
	int64		approvals_now = 0;
	bool		isnull;

	jit_enter_owner_section(&section);
	jit_query("SELECT facts, (SELECT coalesce(sum((s ->> 'approvals')::int), 0)"
			  "  FROM jsonb_array_elements(flow) s), risk::text"
			  " FROM jit.requests WHERE id = $1",
			  1, INT4OID, Int32GetDatum(request->id), false);
	approvals_then = DatumGetInt64(jit_result(1, 2, &isnull));
	risk = jit_risk_by_name(jit_result_text(1, 3));
	spi_context = MemoryContextSwitchTo(context);
	facts = DatumGetJsonbPCopy(jit_result(1, 1, &isnull));
	MemoryContextSwitchTo(spi_context);
	jit_leave_owner_section(&section);

	decision = jit_decide_by_facts(jit_refresh_facts(facts, request));
	if (decision->risk > risk)
	{
		foreach(lc, decision->policies)
		{
			JitPolicyResult *policy = lfirst(lc);

			if (policy->matched && policy->risk == decision->risk)
				return psprintf(_("request %d would be of %s risk now, by policy %s; it was of %s risk when it was filed, and that applies"),
								request->id, jit_risk_name(decision->risk),
								quote_identifier(policy->name),
								jit_risk_name(risk));
		}
		return psprintf(_("request %d would be of %s risk now; it was of %s risk when it was filed, and that applies"),
						request->id, jit_risk_name(decision->risk),
						jit_risk_name(risk));
	}

	foreach(lc, decision->steps)
		approvals_now += ((JitStep *) lfirst(lc))->approvals;
	if (decision->risk == risk && approvals_now > approvals_then)
		return psprintf(_("request %d would need more approvals now (%s); what was needed when it was filed applies"),
						request->id, jit_steps_text(decision->steps));
	if (request->duration != NULL &&
		jit_interval_usecs(request->duration, "duration") > decision->max_duration)
		return psprintf(_("request %d could not be for so long now (%s at most); what was allowed when it was filed applies"),
						request->id, jit_usecs_text(decision->max_duration));
	return NULL;
}

/* ----------------------------------------------------------------------
 * For JIT administrators
 * ----------------------------------------------------------------------
 */

/* A policy as its event tells it, or NULL.  Inside an owner section. */
static Jsonb *
policy_jsonb(const char *name)
{
	bool		isnull;

	if (jit_query("SELECT to_jsonb(p) FROM jit.risk_policies p WHERE name = $1",
				  1, TEXTOID, CStringGetTextDatum(name), false) == 0)
		return NULL;
	return DatumGetJsonbPCopy(jit_result(1, 1, &isnull));
}

/*
 * Record a change of configuration with what it was and what it is now, NULL
 * for nothing.  Inside an owner section.
 */
void
jit_record_change(const char *event, const char *key, const char *name,
				  Jsonb *before, Jsonb *after, const char *logline)
{
	bool		isnull;

	jit_query("SELECT jsonb_build_object($1, $2, 'before', $3, 'after', $4)",
			  4,
			  TEXTOID, CStringGetTextDatum(key), false,
			  TEXTOID, CStringGetTextDatum(name), false,
			  JSONBOID, JsonbPGetDatum(before), before == NULL,
			  JSONBOID, JsonbPGetDatum(after), after == NULL);
	jit_event(event, 0, DatumGetJsonbPCopy(jit_result(1, 1, &isnull)), logline);
}

/* jit_set_policy(name, risk, condition, description, enabled) */
Datum
jit_set_policy(PG_FUNCTION_ARGS)
{
	JitOwnerSection section;
	JitRisk		risk;
	JsonPath   *condition;
	char	   *name;
	char	   *description;
	char	   *text;
	bool		enabled;
	Jsonb	   *before;

	jit_require_administrator(fcinfo, "set a risk policy");
	name = jit_required_text(fcinfo, 0, "name");
	risk = jit_risk_argument(fcinfo, 1);
	if (PG_ARGISNULL(2))
		jit_refuse_null("condition");
	condition = PG_GETARG_JSONPATH_P(2);
	description = jit_text_argument(fcinfo, 3, "description");
	if (PG_ARGISNULL(4))
		jit_refuse_null("enabled");
	enabled = PG_GETARG_BOOL(4);

	if (strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("name of a policy is too long"),
				 errdetail("It has %zu bytes; at most %d are allowed.",
						   strlen(name), NAMEDATALEN - 1)));
	text = DatumGetCString(DirectFunctionCall1(jsonpath_out,
											   PointerGetDatum(condition)));

	if (strlen(text) > JIT_MAX_TEXT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("condition is too long"),
				 errdetail("It has %zu bytes; at most %d are allowed.",
						   strlen(text), JIT_MAX_TEXT)));
	jit_check_condition(condition);

	jit_enter_owner_section(&section);
	/* so that "before" is what this change replaces */
	jit_query("LOCK TABLE jit.risk_policies IN SHARE ROW EXCLUSIVE MODE", 0);
	before = policy_jsonb(name);
	jit_query("INSERT INTO jit.risk_policies (name, risk, condition, description, enabled)"
			  " VALUES ($1, $2::jit.risk_level, $3, $4, $5)"
			  " ON CONFLICT (name) DO UPDATE SET risk = excluded.risk, condition = excluded.condition,"
			  "  description = excluded.description, enabled = excluded.enabled",
			  5,
			  TEXTOID, CStringGetTextDatum(name), false,
			  TEXTOID, CStringGetTextDatum(jit_risk_name(risk)), false,
			  JSONPATHOID, PointerGetDatum(condition), false,
			  TEXTOID, description ? CStringGetTextDatum(description) : (Datum) 0, description == NULL,
			  BOOLOID, BoolGetDatum(enabled), false);
	jit_record_change("policy_set", "policy", name, before, policy_jsonb(name),
					  psprintf("policy %s in %s set: %s%s when %s",
							   quote_identifier(name),
							   quote_identifier(jit_database_name()),
							   enabled ? "" : "(disabled) ", jit_risk_name(risk), text));
	jit_leave_owner_section(&section);
	PG_RETURN_VOID();
}

/* jit_drop_policy(name) */
Datum
jit_drop_policy(PG_FUNCTION_ARGS)
{
	JitOwnerSection section;
	char	   *name;
	Jsonb	   *before;

	jit_require_administrator(fcinfo, "drop a risk policy");
	name = jit_required_text(fcinfo, 0, "name");

	jit_enter_owner_section(&section);
	jit_query("LOCK TABLE jit.risk_policies IN SHARE ROW EXCLUSIVE MODE", 0);
	before = policy_jsonb(name);
	if (before == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("policy %s does not exist in %s", quote_identifier(name),
						quote_identifier(jit_database_name())),
				 errhint("See jit.risk_policies.")));
	jit_query("DELETE FROM jit.risk_policies WHERE name = $1",
			  1, TEXTOID, CStringGetTextDatum(name), false);
	jit_record_change("policy_dropped", "policy", name, before, NULL,
					  psprintf("policy %s in %s dropped", quote_identifier(name),
							   quote_identifier(jit_database_name())));
	jit_leave_owner_section(&section);
	PG_RETURN_VOID();
}
