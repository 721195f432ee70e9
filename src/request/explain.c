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
#include "base/query.h"
#include "base/text.h"
#include "request/explain.h"
#include "request/facts.h"
#include "request/filing.h"
#include "request/limit.h"
#include "request/policy.h"
#include "request/statement.h"
#include "request/suggest.h"

#include "funcapi.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(jit_explain);

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
explain_statement(ReturnSetInfo *rsinfo, const JitRequest *request)
{
	ListCell   *lc;

	jit_explain_line(rsinfo, _("Statement"));
	jit_explain_line(rsinfo, "  %s", jit_shown(request->statement));
	foreach(lc, jit_statement_notes(request))
		jit_explain_line(rsinfo, "  %s", jit_shown(lfirst(lc)));
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
}

/*
 * What the request would lack at one step, with all others done: of JitLack, one
 * for each group of items that others could approve.
 */
static List *
lacks_at_step(const JitRequest *request, List *steps)
{
	JitRequest	probe = *request;
	JitProgress progress;

	probe.flow = jit_steps_to_jsonb(steps);
	probe.needs_superuser = steps == NIL;
	probe.elsewhere = false;
	jit_flow_progress(&probe, &progress);
	return jit_lacks(&probe, &progress);
}

/* The same for all of them, the superuser that is needed last. */
static List *
lacks_at_steps(const JitRequest *request, List *steps)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, steps)
		result = lappend(result, lacks_at_step(request, list_make1(lfirst(lc))));
	if (jit_needs_superuser(request))
		result = lappend(result, lacks_at_step(request, NIL));
	return result;
}

/* One step, "unless" follows the last. */
static void
explain_step(ReturnSetInfo *rsinfo, int number, List *lacks, const char *unless)
{
	ListCell   *lc;

	foreach(lc, lacks)
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
explain_flow(ReturnSetInfo *rsinfo, List *steps, List *lacks)
{
	ListCell   *lc;

	jit_explain_line(rsinfo, _("Flow"));
	foreach(lc, lacks)
		explain_step(rsinfo, foreach_current_index(lc) + 1, lfirst(lc),
					 foreach_current_index(lc) < list_length(steps) ? "" :
					 _(", unless there was one before"));
	if (lacks == NIL)
		jit_explain_line(rsinfo, "  %s", jit_steps_text(steps));
}

/* Say what stands in the way, below a heading if it is the first. */
static void
in_the_way(ReturnSetInfo *rsinfo, bool *any, const char *what, const char *why,
		   const char *hint)
{
	if (!*any)
		jit_explain_line(rsinfo, _("In the way"));
	*any = true;
	jit_explain_line(rsinfo, "  %s", what);
	if (why != NULL && why[0] != '\0')
		jit_explain_line(rsinfo, "    %s", why);
	if (hint != NULL)
		jit_explain_line(rsinfo, "    %s", hint);
}

/* All that jit_request() would raise or warn of. */
static void
explain_obstacles(ReturnSetInfo *rsinfo, const JitRequest *request,
				  const JitDecision *decision, int64 usecs, List *steps)
{
	JitOwnerSection section;
	JitRequest *other;
	bool		any = false;
	char	   *why;
	char	   *hint = NULL;
	char	   *call;
	List	   *complaints;
	int			pending;
	ListCell   *lc;
	ListCell   *lc2;

	if (request->held != NULL)
		in_the_way(rsinfo, &any, psprintf(_("%s already has this access"),
										  quote_identifier(request->grantee_name)),
				   request->held, NULL);
	if (decision->forbidden_by != NULL)
	{
		in_the_way(rsinfo, &any, psprintf(_("policy %s forbids this request"),
										  quote_identifier(decision->forbidden_by)),
				   decision->forbidden_why ? jit_shown(decision->forbidden_why) : NULL, NULL);
		return;
	}
	complaints = jit_complaints(request, decision, usecs, &call);
	foreach(lc, complaints)
	{
		JitComplaint *complaint = lfirst(lc);

		in_the_way(rsinfo, &any, complaint->message, complaint->detail,
				   lnext(complaints, lc) ? NULL : psprintf(_("Such as: SELECT %s;"), call));
	}
	foreach(lc, steps)
	{
		foreach(lc2, lfirst(lc))
		{
			JitLack    *lack = lfirst(lc2);
			int			number = foreach_current_index(lc) + 1;

			if (lack->people == 0)
				in_the_way(rsinfo, &any, psprintf(_("nobody can approve it at step %d"), number),
						   NULL, NULL);
			else if (lack->people < lack->approvals)
				in_the_way(rsinfo, &any,
						   psprintf(ngettext("only %d person can approve it at step %d, which needs %d",
											 "only %d persons can approve it at step %d, which needs %d",
											 lack->people),
									lack->people, number, lack->approvals), NULL, NULL);
		}
	}
	other = jit_pending_like(request, usecs);
	if (other != NULL)
		in_the_way(rsinfo, &any, psprintf(other->status == JIT_SCHEDULED ?
										  _("%s for the same access is scheduled") :
										  _("%s for the same access is pending"),
										  jit_request_text(other->id)), NULL, NULL);
	jit_enter_owner_section(&section);
	pending = jit_count_pending(request);
	jit_leave_owner_section(&section);
	if (pending >= jit_max_pending)
		in_the_way(rsinfo, &any, _("too many pending requests"),
				   psprintf(_("You have %d, and jit_access.max_pending is %d."),
							pending, jit_max_pending), NULL);
	why = jit_why_no_room(request, jit_begins(request, jit_now()) + usecs, &hint);
	if (why != NULL)
		in_the_way(rsinfo, &any, _("too many live grants"), why, hint);
}

/*
 * Superusers have all access: raise unless one says whom it would be for.
 */
static void
require_grantee(FunctionCallInfo fcinfo)
{
	JitPerson	person;

	(void) jit_open_ledger();
	jit_acting_person_for(&person, 0);
	if (PG_ARGISNULL(jit_request_arguments.grantee) && superuser_arg(person.role) &&
		!PG_ARGISNULL(jit_request_arguments.access))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_GRANT_OPERATION),
				 errmsg("role %s is a superuser and has all access anyway",
						quote_identifier(jit_role_name(person.role))),
				 errhint("Say whom it would be for: SELECT * FROM jit_explain(%s, grantee => 'their role');",
						 quote_literal_cstr(jit_required_text(fcinfo, 0, "access")))));
}

/* jit_explain(access, duration, reason, until, ticket, grantee, start) */
Datum
jit_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const JitArguments *at = &jit_request_arguments;
	bool		longest = PG_ARGISNULL(at->duration) && PG_ARGISNULL(at->until);
	JitRequest *request;
	JitDecision *decision;
	List	   *lacks;
	int64		usecs;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	require_grantee(fcinfo);
	if (longest)
	{
		request = jit_longest_request(fcinfo, PG_INT64_MAX, &usecs, &decision);
		/* it may be for its length only */
		if (decision->forbidden_by != NULL)
		{
			request = jit_longest_request(fcinfo, USECS_PER_HOUR, &usecs, &decision);
			longest = false;
		}
	}
	else
	{
		request = jit_request_from_arguments(fcinfo, at, false, &usecs);
		decision = jit_decide_by_facts(jit_make_facts(request, usecs));
	}
	request->flow = decision->flow;
	lacks = decision->forbidden_by != NULL ? NIL : lacks_at_steps(request, decision->steps);

	jit_explain_line(rsinfo, longest ? _("Request in %s for %s, for at most %s") :
					 _("Request in %s for %s, for %s"),
					 quote_identifier(jit_database_name()),
					 quote_identifier(request->grantee_name), jit_usecs_text(usecs));
	if (request->start != DT_NOEND)
		jit_explain_line(rsinfo, _("  from %s until %s"), jit_timestamp_text(request->start),
						 jit_timestamp_text(request->start + usecs));
	explain_obstacles(rsinfo, request, decision, usecs, lacks);
	if (request->statement != NULL)
		explain_statement(rsinfo, request);
	explain_items(rsinfo, request, decision->facts);
	explain_policies(rsinfo, decision);
	if (decision->forbidden_by == NULL)
	{
		explain_flow(rsinfo, decision->steps, lacks);
		jit_explain_line(rsinfo, _("Limits"));
		jit_explain_line(rsinfo, _("  at most %s"),
						 jit_usecs_text(Min(decision->max_duration,
											(int64) jit_max_duration * USECS_PER_SEC)));
		jit_explain_line(rsinfo, _("  lapses after %s"),
						 jit_usecs_text(decision->request_ttl));
		if (decision->reason_pattern != NULL)
			jit_explain_line(rsinfo, _("  reason must match \"%s\""), decision->reason_pattern);
		if (decision->ticket_pattern != NULL)
			jit_explain_line(rsinfo, _("  ticket must match \"%s\""), decision->ticket_pattern);
	}
	explain_facts(rsinfo, decision->facts);
	return (Datum) 0;
}
