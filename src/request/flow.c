/*-------------------------------------------------------------------------
 *
 * flow.c
 *		Who must agree to requests of a risk, and within which limits.
 *
 * A flow is a row of jit.approval_flows with the steps that belong to it in
 * jit.approval_steps.  No row means what a fresh install has: one approval by
 * somebody who could run the GRANT.  A row that lacks steps is an error and
 * never a flow with less to do.
 *
 * Who counts as a member of a step's roles is decided in approver.c, when
 * somebody approves; here roles are only named.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/query.h"
#include "base/text.h"
#include "request/flow.h"

#include "utils/json.h"

/*
 * A flow as jit.requests.flow keeps it: [{"approver": ROLE, "approvals": N,
 * "oids": [OID]}, {"any_of": [ROLE, ...], "approvals": N, "oids": [...]}].
 * The OIDs stand in the order of the names, 0 for @grantor; where the request
 * was filed they and not the names say who is meant.
 */
Jsonb *
jit_steps_to_jsonb(List *steps)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '[');
	foreach(lc, steps)
	{
		JitStep    *step = lfirst(lc);
		bool		any_of = list_length(step->names) > 1;
		ListCell   *ln;

		appendStringInfoString(&buf, lc == list_head(steps) ? "{" : ",{");
		appendStringInfoString(&buf, any_of ? "\"any_of\":[" : "\"approver\":");
		foreach(ln, step->names)
		{
			if (ln != list_head(step->names))
				appendStringInfoChar(&buf, ',');
			escape_json(&buf, lfirst(ln));
		}
		appendStringInfo(&buf, "%s,\"approvals\":%d,\"direct\":%s,\"oids\":[",
						 any_of ? "]" : "", step->approvals,
						 step->direct ? "true" : "false");
		foreach(ln, step->oids)
			appendStringInfo(&buf, "%s%u", ln == list_head(step->oids) ? "" : ",",
							 lfirst_oid(ln));
		appendStringInfoString(&buf, "]}");
	}
	appendStringInfoChar(&buf, ']');
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
											  CStringGetDatum(buf.data)));
}

/* "2 approvals by security, then 1 approval by pg_database_owner" */
char *
jit_steps_text(List *steps)
{
	List	   *texts = NIL;
	ListCell   *lc;

	if (steps == NIL)
		return pstrdup(_("no approval: active at once"));
	foreach(lc, steps)
		texts = lappend(texts, jit_step_text(lfirst(lc)));
	return jit_join(texts, _(", then "));
}

static List *
default_steps(void)
{
	JitStep    *step = palloc0(sizeof(JitStep));

	step->names = list_make1(pstrdup(JIT_GRANTOR));
	step->oids = list_make1_oid(InvalidOid);
	step->approvals = 1;
	step->as_risk = true;
	return list_make1(step);
}

/* Where steps don't say whether they are direct, the risk does. */
void
jit_fix_direct(List *steps, JitRisk risk)
{
	ListCell   *lc;

	foreach(lc, steps)
	{
		JitStep    *step = lfirst(lc);

		if (step->as_risk)
			step->direct = risk >= JIT_RISK_HIGH;
	}
}

/*
 * Steps of a risk's flow and its limits, into the decision.  A role is meant
 * by OID, and shown under its present name, unless the row came from another
 * cluster; a role that is gone stays what nobody is a member of, even when
 * the name is given to another.  Returns false if steps are missing.
 */
bool
jit_load_flow_as_is(JitDecision *decision, JitRisk risk)
{
	JitOwnerSection section;
	List	   *steps = NIL;
	int			nsteps = -1;	/* not configured */
	bool		isnull;
	int			n;

	decision->max_duration = PG_INT64_MAX;
	decision->request_ttl = JIT_DEFAULT_REQUEST_TTL;
	decision->reason_pattern = decision->ticket_pattern = NULL;
	decision->emergency_role = NULL;
	decision->emergency_oid = InvalidOid;
	decision->emergency_duration = JIT_DEFAULT_EMERGENCY;

	/* one statement, so one snapshot: never half of a change */
	jit_enter_owner_section(&section);
	n = jit_query("SELECT f.max_duration, f.request_ttl, f.reason_pattern, f.ticket_pattern, f.steps,"
				  " s.step, s.approvals, a.name,"
				  " CASE WHEN a.name = $3 THEN 0"
				  "  WHEN split_part(s.origin, '/', 1) = split_part($2, '/', 1) THEN a.oid"
				  "  ELSE coalesce((SELECT r.oid FROM pg_authid r WHERE r.rolname = a.name), 0) END,"
				  " s.direct IS NULL, coalesce(s.direct, true), f.emergency_role,"
				  " CASE WHEN split_part(f.emergency_origin, '/', 1) = split_part($2, '/', 1) THEN f.emergency_role_oid"
				  "  ELSE coalesce((SELECT r.oid FROM pg_authid r WHERE r.rolname = f.emergency_role), 0) END,"
				  " f.emergency_duration"
				  " FROM jit.approval_flows f LEFT JOIN (jit.approval_steps s CROSS JOIN LATERAL"
				  "  unnest(s.approvers, s.approver_oids) WITH ORDINALITY a (name, oid, position))"
				  "  ON s.risk = f.risk"
				  " WHERE f.risk = $1::jit.risk_level ORDER BY s.step, a.position",
				  "ttt", jit_risk_name(risk), jit_origin(), JIT_GRANTOR);
	if (n > 0)
	{
		Datum		value = jit_result(1, 1, &isnull);

		if (!isnull)
			decision->max_duration =
				jit_interval_usecs(DatumGetIntervalP(value), "max_duration");
		value = jit_result(1, 2, &isnull);
		if (!isnull)
			decision->request_ttl =
				jit_interval_usecs(DatumGetIntervalP(value), "request_ttl");
		decision->reason_pattern = jit_result_text(1, 3);
		decision->ticket_pattern = jit_result_text(1, 4);
		nsteps = jit_result_int(1, 5);
		decision->emergency_role = jit_result_text(1, 12);
		if (decision->emergency_role != NULL)
		{
			decision->emergency_oid = jit_result_oid(1, 13);
			if (SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(decision->emergency_oid)))
				decision->emergency_role = jit_role_name(decision->emergency_oid);
			else
				decision->emergency_oid = InvalidOid;
		}
		value = jit_result(1, 14, &isnull);
		if (!isnull)
			decision->emergency_duration =
				jit_interval_usecs(DatumGetIntervalP(value), "emergency_duration");
	}
	for (int i = 1, last = 0; i <= n; i++)
	{
		int			number = jit_result_int(i, 6);
		char	   *present;
		JitStep    *step;
		Oid			oid;

		if (number == 0)
			break;				/* it has no steps */
		if (number != last)
		{
			step = palloc0(sizeof(JitStep));
			step->approvals = jit_result_int(i, 7);
			step->as_risk = jit_result_bool(i, 10);
			step->direct = jit_result_bool(i, 11);
			steps = lappend(steps, step);
			last = number;
		}
		step = llast(steps);
		oid = jit_result_oid(i, 9);
		present = OidIsValid(oid) ? GetUserNameFromId(oid, true) : NULL;
		/* nobody becomes that by a rename */
		if (present != NULL && strcmp(present, JIT_GRANTOR) == 0)
			present = NULL;
		step->names = lappend(step->names,
							  present ? present : jit_result_text(i, 8));
		step->oids = lappend_oid(step->oids, oid);
	}
	jit_leave_owner_section(&section);

	decision->steps = nsteps < 0 ? default_steps() : steps;
	jit_fix_direct(decision->steps, risk);
	decision->flow = jit_steps_to_jsonb(decision->steps);
	return nsteps < 0 || nsteps == list_length(steps);
}

/* Set steps, flow and limits of a decision to those of a risk. */
void
jit_load_flow(JitDecision *decision, JitRisk risk)
{
	/* half a flow, as a restore may leave behind, must not let through more */
	if (!jit_load_flow_as_is(decision, risk))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("approval flow for %s risk in %s is incomplete",
						jit_risk_name(risk),
						quote_identifier(jit_database_name())),
				 errdetail_plural("%d of its steps is there.",
								  "%d of its steps are there.",
								  list_length(decision->steps),
								  list_length(decision->steps)),
				 errhint("A JIT administrator can set it anew with jit_set_flow().")));
}
