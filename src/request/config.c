/*-------------------------------------------------------------------------
 *
 * config.c
 *		jit_config(): today's configuration, as the calls that make it.
 *
 * A statement a row, and a line, in an order that depends on nothing but what
 * is configured.  Functions are named with their schema: with constants, one of
 * somebody else's could match better.  It only reads, and works on a standby.
 *
 * What can't be said by a name must not come to mean somebody else: where a
 * role of a flow is gone, or bears the name of what isn't a role, the call
 * names one that there isn't, and fails.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/person.h"
#include "base/query.h"
#include "base/text.h"
#include "request/explain.h"
#include "request/flow.h"
#include "request/label.h"

#include "funcapi.h"
#include "utils/json.h"

PG_FUNCTION_INFO_V1(jit_config);

static void
write_policies(ReturnSetInfo *rsinfo)
{
	JitOwnerSection section;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT name, risk, condition, description, enabled FROM jit.risk_policies"
				  " ORDER BY name COLLATE \"C\"", "");
	for (int i = 1; i <= n; i++)
	{
		char	   *description = jit_result_text(i, 4);

		jit_explain_line(rsinfo, "SELECT pg_catalog.jit_set_policy(%s, '%s', %s%s%s%s);",
						 jit_quote_literal(jit_result_text(i, 1)), jit_result_text(i, 2),
						 jit_quote_literal(jit_result_text(i, 3)),
						 description ? ", " : "", description ? jit_quote_literal(description) : "",
						 jit_result_bool(i, 5) ? "" : ", enabled => false");
	}
	jit_leave_owner_section(&section);
}

/* What a step calls one of its roles; what isn't one is no role's name, as too long. */
static char *
approver_name(const JitStep *step, int n)
{
	char	   *name = list_nth(step->names, n);
	Oid			oid = list_nth_oid(step->oids, n);

	if (!OidIsValid(oid))
		return name;
	/* under its name of then if it has become "@grantor" */
	if (get_role_oid(name, true) == oid)
		return name;
	return psprintf("%s: a role of this flow that is gone, or cannot be named; set it anew with jit_set_flow()", name);
}

/* Steps as jit_set_flow() takes them. */
static char *
steps_json(List *steps)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '[');
	foreach(lc, steps)
	{
		JitStep    *step = lfirst(lc);
		int			n = list_length(step->names);

		appendStringInfoString(&buf, foreach_current_index(lc) > 0 ? ", {" : "{");
		appendStringInfoString(&buf, n > 1 ? "\"any_of\": [" : "\"approver\": ");
		for (int i = 0; i < n; i++)
		{
			if (i > 0)
				appendStringInfoString(&buf, ", ");
			escape_json(&buf, approver_name(step, i));
		}
		appendStringInfo(&buf, "%s, \"approvals\": %d%s}", n > 1 ? "]" : "", step->approvals,
						 step->as_risk ? "" : step->direct ? ", \"direct\": true" : ", \"direct\": false");
	}
	appendStringInfoChar(&buf, ']');
	return buf.data;
}

static void
write_flows(ReturnSetInfo *rsinfo)
{
	/* intervals as they are in the row, lest setting them change it */
	static const char *const limits[] = {
		"max_duration", "request_ttl", "reason_pattern", "ticket_pattern",
		"emergency_duration"
	};
	JitOwnerSection section;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT risk, max_duration, request_ttl, reason_pattern, ticket_pattern, emergency_duration"
				  " FROM jit.approval_flows ORDER BY risk", "");
	for (int i = 1; i <= n; i++)
	{
		char	   *risk = jit_result_text(i, 1);
		JitDecision decision;
		StringInfoData buf;

		/* raises for one that lacks steps: it would let through more */
		jit_load_flow(&decision, jit_risk_by_name(risk));
		initStringInfo(&buf);
		appendStringInfo(&buf, "SELECT pg_catalog.jit_set_flow('%s', %s", risk,
						 jit_quote_literal(steps_json(decision.steps)));
		for (int k = 0; k < (int) lengthof(limits); k++)
		{
			char	   *value = jit_result_text(i, k + 2);

			if (value != NULL)
				appendStringInfo(&buf, ", %s => %s", limits[k], jit_quote_literal(value));
		}
		if (decision.emergency_role != NULL)
			appendStringInfo(&buf, ", emergency_role => %s",
							 jit_quote_literal(OidIsValid(decision.emergency_oid) ? decision.emergency_role :
											   psprintf("%.20s: a role of this flow that is gone; set it anew", decision.emergency_role)));
		jit_explain_line(rsinfo, "%s);", buf.data);
	}
	jit_leave_owner_section(&section);
}

/*
 * Labels of this database, of what is in it, and of roles.  A function is one
 * to COMMENT ON, whether or not it is an aggregate.
 */
static void
write_labels(ReturnSetInfo *rsinfo)
{
	JitOwnerSection section;
	List	   *lines = NIL;
	ListCell   *lc;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT CASE WHEN l.objsubid <> 0 THEN 'COLUMN' WHEN i.type = 'aggregate' THEN 'FUNCTION'"
				  "  ELSE upper(i.type) END || ' ' || i.identity, l.label"
				  " FROM (SELECT classoid, objoid, objsubid, provider, label FROM pg_seclabel"
				  "  UNION ALL SELECT classoid, objoid, 0, provider, label FROM pg_shseclabel"
				  "  WHERE classoid <> 'pg_database'::regclass OR objoid ="
				  "   (SELECT oid FROM pg_database WHERE datname = current_database())) l"
				  " CROSS JOIN LATERAL pg_identify_object(l.classoid, l.objoid, l.objsubid) i"
				  " WHERE l.provider = 'jit_access' AND i.identity IS NOT NULL", "");
	for (int i = 1; i <= n; i++)
		lines = lappend(lines, psprintf("SELECT pg_catalog.jit_set_label(%s, %s);",
										jit_quote_literal(jit_result_text(i, 1)),
										jit_quote_literal(jit_label_text(jit_result_text(i, 2)))));
	jit_leave_owner_section(&section);
	list_sort(lines, jit_compare_texts);
	foreach(lc, lines)
		jit_explain_line(rsinfo, "%s", (char *) lfirst(lc));
}

/* jit_config() */
Datum
jit_config(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	jit_require_auditor(gettext_noop("permission denied to read the configuration"));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	write_policies(rsinfo);
	write_flows(rsinfo);
	write_labels(rsinfo);
	return (Datum) 0;
}
