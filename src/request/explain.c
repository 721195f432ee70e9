/*-------------------------------------------------------------------------
 *
 * explain.c
 *		A dry run of jit_request(), told like EXPLAIN.
 *
 * Takes the same steps as filing does, through the same functions, as the
 * caller, and stops before anything would be written.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/item.h"
#include "base/text.h"
#include "request/explain.h"
#include "request/facts.h"
#include "request/filing.h"
#include "request/limit.h"
#include "request/policy.h"

#include "catalog/pg_collation.h"
#include "funcapi.h"

PG_FUNCTION_INFO_V1(jit_explain);

/* One more line of the result. */
void
jit_explain_line(ReturnSetInfo *rsinfo, const char *format,...)
{
	StringInfoData buf;
	Datum		value;
	bool		isnull = false;

	initStringInfo(&buf);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&buf, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&buf, needed);
	}
	value = CStringGetTextDatum(buf.data);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
}

static JsonbValue *
fact_value(JsonbContainer *facts, const char *name)
{
	return getKeyJsonValueFromContainer(facts, name, strlen(name), NULL);
}

static char *
json_text(JsonbValue *value)
{
	return JsonbToCString(NULL, &JsonbValueToJsonb(value)->root, 0);
}

/* Facts of an item for people: "owner hr_owner, labels pii, 1000 rows". */
static char *
item_facts_text(JsonbContainer *facts)
{
	StringInfoData buf;
	JsonbValue *owner = fact_value(facts, "owner");
	JsonbValue *labels = fact_value(facts, "labels");
	JsonbValue *rows = fact_value(facts, "rows");
	JsonbValue *size = fact_value(facts, "size");
	int			nlabels = JsonContainerSize(labels->val.binary.data);

	initStringInfo(&buf);
	if (owner->type == jbvString)
		appendStringInfo(&buf, _("owner %s"),
						 quote_identifier(pnstrdup(owner->val.string.val,
												   owner->val.string.len)));
	for (int i = 0; i < nlabels; i++)
	{
		JsonbValue *label = getIthJsonbValueFromContainer(labels->val.binary.data, i);

		appendStringInfo(&buf, i > 0 ? ", %.*s" :
						 buf.len > 0 ? _(", labels %.*s") : _("labels %.*s"),
						 label->val.string.len, label->val.string.val);
	}
	if (rows->type == jbvNumeric)
		appendStringInfo(&buf, _(", about %s rows"), json_text(rows));
	if (size->type == jbvNumeric)
		appendStringInfo(&buf, _(", %s bytes"), json_text(size));
	return buf.data;
}

static void
explain_items(ReturnSetInfo *rsinfo, const JitRequest *request, Jsonb *facts)
{
	JsonbContainer *items = fact_value(&facts->root, "items")->val.binary.data;
	ListCell   *lc;

	jit_explain_line(rsinfo, _("Items"));
	foreach(lc, request->items)
	{
		JitItem    *item = lfirst(lc);
		JsonbValue *fact = getIthJsonbValueFromContainer(items,
														 foreach_current_index(lc));
		char	   *text = item_facts_text(fact->val.binary.data);
		bool		elsewhere = false;
		const char *why = jit_item_needs_superuser(item, &elsewhere);

		jit_explain_line(rsinfo, "  %s%s%s", jit_item_text(item),
						 item->objtype == OBJECT_ROLE ? _(" (membership)") : "",
						 item->added ? _(" (added)") : "");
		if (text[0] != '\0')
			jit_explain_line(rsinfo, "    %s", text);
		if (why != NULL)
			jit_explain_line(rsinfo, _("    needs a superuser: %s"), why);
		else if (elsewhere)
			jit_explain_line(rsinfo, _("    reaches other databases: needs a superuser, or a step of @grantor alone"));
	}
}

static void
explain_facts(ReturnSetInfo *rsinfo, Jsonb *facts)
{
	jit_explain_line(rsinfo, _("Facts"));
	for (const char *const *name = jit_fact_names; *name != NULL; name++)
	{
		JsonbValue *value = fact_value(&facts->root, *name);

		/* a line for each, as there may be many */
		if (strcmp(*name, "items") == 0)
		{
			for (int i = 0; i < (int) JsonContainerSize(value->val.binary.data); i++)
				jit_explain_line(rsinfo, "  items[%d]: %s", i,
								 json_text(getIthJsonbValueFromContainer(value->val.binary.data, i)));
		}
		else
			jit_explain_line(rsinfo, "  %s: %s", *name, json_text(value));
	}
}

static void
explain_policies(ReturnSetInfo *rsinfo, const JitDecision *decision)
{
	bool		any = false;
	ListCell   *lc;

	jit_explain_line(rsinfo, _("Policies"));
	foreach(lc, decision->policies)
	{
		JitPolicyResult *policy = lfirst(lc);

		any |= policy->matched;
		if (policy->failure != NULL)
			jit_explain_line(rsinfo, _("  %s: failed, counts as %s (%s)"),
							 quote_identifier(policy->name),
							 jit_risk_name(policy->risk), policy->failure);
		else
			jit_explain_line(rsinfo, policy->matched ? _("  %s: matched, %s") :
							 _("  %s: not matched (%s)"),
							 quote_identifier(policy->name),
							 jit_risk_name(policy->risk));
	}
	if (decision->policies == NIL)
		jit_explain_line(rsinfo, _("  none"));
	jit_explain_line(rsinfo, any ? _("Risk: %s") :
					 _("Risk: %s (jit_access.default_risk)"),
					 jit_risk_name(decision->risk));
	if (decision->forbidden_by != NULL)
		jit_explain_line(rsinfo, _("  forbidden by policy %s%s%s"),
						 quote_identifier(decision->forbidden_by),
						 decision->forbidden_why ? ": " : "",
						 decision->forbidden_why ? decision->forbidden_why : "");
}

/*
 * One step, as the request would meet it with all others done; a line for each
 * group of items that others could approve.  "unless" follows the last.
 */
static void
explain_step(ReturnSetInfo *rsinfo, const JitRequest *request, int number,
			 List *steps, const char *unless)
{
	JitRequest	probe = *request;
	JitProgress progress;
	ListCell   *lc;

	probe.flow = jit_steps_to_jsonb(steps);
	probe.needs_superuser = steps == NIL;
	probe.elsewhere = false;
	jit_flow_progress(&probe, &progress);
	foreach(lc, jit_lacks(&probe, &progress))
	{
		JitLack    *lack = lfirst(lc);
		char	   *text = psprintf(ngettext("%d approval by %s%s", "%d approvals by %s%s",
											 lack->approvals),
									lack->approvals, lack->approvers, unless);

		if (lack->people == 0)
			text = psprintf(_("%s; nobody could"), text);

		else if (lack->people < lack->approvals)
			text = psprintf(_("%s; only %s could"), text, lack->names);

		else
			text = psprintf("%s (%s)", text, lack->names);

		if (foreach_current_index(lc) == 0)
			jit_explain_line(rsinfo, _("  step %d: %s"), number, text);
		else
			jit_explain_line(rsinfo, _("    and %s"), text);
	}
}

static void
explain_flow(ReturnSetInfo *rsinfo, const JitRequest *request, List *steps)
{
	ListCell   *lc;

	jit_explain_line(rsinfo, _("Flow"));
	foreach(lc, steps)
		explain_step(rsinfo, request, foreach_current_index(lc) + 1,
					 list_make1(lfirst(lc)), "");
	if (jit_needs_superuser(request))
		explain_step(rsinfo, request, list_length(steps) + 1, NIL,
					 _(", unless there was one before"));
	else if (steps == NIL)
		jit_explain_line(rsinfo, "  %s", jit_steps_text(steps));
}

static void
explain_pattern(ReturnSetInfo *rsinfo, const char *name, const char *value,
				const char *pattern)
{
	bool		matches;

	if (pattern == NULL)
		return;
	matches = value != NULL &&
		DatumGetBool(DirectFunctionCall2Coll(textregexeq, C_COLLATION_OID,
											 CStringGetTextDatum(value),
											 CStringGetTextDatum(pattern)));
	jit_explain_line(rsinfo, matches ? _("  %s matches \"%s\"") :
					 value ? _("  %s does not match \"%s\": refused") :
					 _("  %s is missing, must match \"%s\": refused"), name, pattern);
}

/* jit_explain(access, duration, reason, until, ticket, grantee) */
Datum
jit_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	JitRequest *request;
	JitDecision *decision;
	int64		usecs;
	int64		longest;
	char	   *why;
	char	   *hint;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	request = jit_request_from_arguments(fcinfo, 1, 2, 5, false, &usecs);
	decision = jit_decide_by_facts(jit_make_facts(request, usecs));
	request->flow = decision->flow;

	jit_explain_line(rsinfo, _("Request in %s for %s, for %s"),
					 quote_identifier(jit_database_name()),
					 quote_identifier(request->grantee_name), jit_usecs_text(usecs));
	explain_items(rsinfo, request, decision->facts);
	explain_policies(rsinfo, decision);
	if (decision->forbidden_by == NULL)
	{
		explain_flow(rsinfo, request, decision->steps);
		jit_explain_line(rsinfo, _("Limits"));
		longest = Min(decision->max_duration,
					  (int64) jit_max_duration * USECS_PER_SEC);
		jit_explain_line(rsinfo, usecs > longest ? _("  at most %s: refused") :
						 _("  at most %s"), jit_usecs_text(longest));
		jit_explain_line(rsinfo, _("  lapses after %s"),
						 jit_usecs_text(decision->request_ttl));
		why = jit_why_no_room(request, jit_now() + usecs, &hint);
		if (why != NULL)
			jit_explain_line(rsinfo, _("  refused: %s"), why);
		if (request->reason == NULL && decision->reason_pattern == NULL)
			jit_explain_line(rsinfo, _("  reason is missing: refused"));
		else
			explain_pattern(rsinfo, "reason", request->reason,
							decision->reason_pattern);
		explain_pattern(rsinfo, "ticket", request->ticket,
						decision->ticket_pattern);
	}
	explain_facts(rsinfo, decision->facts);
	return (Datum) 0;
}
