/*-------------------------------------------------------------------------
 *
 * admin.c
 *		What JIT administrators set: policies, flows, the clock.
 *
 * Each function checks the caller, then the arguments, then changes its
 * tables in an owner section, under a lock that makes "before" in the event
 * what the change replaces.  A change and its event commit together.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/query.h"
#include "base/roles.h"
#include "base/text.h"
#include "request/event.h"
#include "request/facts.h"
#include "request/flow.h"

#include "catalog/pg_collation.h"
#include "regex/regex.h"

PG_FUNCTION_INFO_V1(jit_set_policy);
PG_FUNCTION_INFO_V1(jit_drop_policy);
PG_FUNCTION_INFO_V1(jit_set_flow);
PG_FUNCTION_INFO_V1(jit_reset_clock);

#define MAX_REQUEST_TTL (365 * USECS_PER_DAY)
#define MAX_APPROVALS 1000

/* ----------------------------------------------------------------------
 * Policies
 * ----------------------------------------------------------------------
 */

/* A policy as its event tells it, or NULL.  Inside an owner section. */
static Jsonb *
policy_jsonb(const char *name)
{
	bool		isnull;

	if (jit_query("SELECT to_jsonb(p) FROM jit.risk_policies p WHERE name = $1",
				  "t", name) == 0)
		return NULL;
	return DatumGetJsonbPCopy(jit_result(1, 1, &isnull));
}

/* The same in words.  Inside an owner section; the policy is there. */
static char *
policy_text(const char *name)
{
	(void) jit_query("SELECT risk::text, condition::text, enabled FROM jit.risk_policies WHERE name = $1",
					 "t", name);
	return psprintf(jit_result_bool(1, 3) ? _("policy %s: %s where %s") :
					_("policy %s (disabled): %s where %s"),
					quote_identifier(name), jit_result_text(1, 1), jit_shown(jit_result_text(1, 2)));
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
	char	   *result;
	bool		enabled;
	Jsonb	   *before;

	jit_require_administrator(fcinfo, gettext_noop("permission denied to set a risk policy"));
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
	jit_query("LOCK TABLE jit.risk_policies IN SHARE ROW EXCLUSIVE MODE", "");
	before = policy_jsonb(name);
	jit_query("INSERT INTO jit.risk_policies (name, risk, condition, description, enabled)"
			  " VALUES ($1, $2::jit.risk_level, $3, $4, $5)"
			  " ON CONFLICT (name) DO UPDATE SET risk = excluded.risk, condition = excluded.condition,"
			  "  description = excluded.description, enabled = excluded.enabled",
			  "ttptb", name, jit_risk_name(risk), PointerGetDatum(condition),
			  description, enabled);
	if (!jit_record_change("policy_set", "policy", name, before, policy_jsonb(name),
						   psprintf("policy %s in %s set: %s%s when %s",
									quote_identifier(name),
									quote_identifier(jit_database_name()),
									enabled ? "" : "(disabled) ", jit_risk_name(risk), text)))
		ereport(NOTICE,
				(errmsg("policy %s in %s is unchanged", quote_identifier(name),
						quote_identifier(jit_database_name())),
				 errdetail("It was the same already.")));
	result = policy_text(name);
	jit_leave_owner_section(&section);
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/* jit_drop_policy(name) */
Datum
jit_drop_policy(PG_FUNCTION_ARGS)
{
	JitOwnerSection section;
	char	   *name;
	char	   *was;
	Jsonb	   *before;

	jit_require_administrator(fcinfo, gettext_noop("permission denied to drop a risk policy"));
	name = jit_required_text(fcinfo, 0, "name");

	jit_enter_owner_section(&section);
	jit_query("LOCK TABLE jit.risk_policies IN SHARE ROW EXCLUSIVE MODE", "");
	before = policy_jsonb(name);
	if (before == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("policy %s does not exist in %s", quote_identifier(name),
						quote_identifier(jit_database_name())),
				 errhint("See jit.risk_policies.")));
	was = policy_text(name);
	jit_query("DELETE FROM jit.risk_policies WHERE name = $1",
			  "t", name);
	(void) jit_record_change("policy_dropped", "policy", name, before, NULL,
							 psprintf("policy %s in %s dropped", quote_identifier(name),
									  quote_identifier(jit_database_name())));
	jit_leave_owner_section(&section);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf(_("dropped: %s"), was)));
}

/* ----------------------------------------------------------------------
 * Flows
 * ----------------------------------------------------------------------
 */

static void invalid_step(int number, const char *detail) pg_attribute_noreturn();

static void
invalid_step(int number, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("step %d of the flow is not valid", number),
			 errdetail_internal("%s", detail),
			 errhint("A step is {\"approver\": ROLE, \"approvals\": N} or {\"any_of\": [ROLE, ...], \"approvals\": N}; ROLE can be \"@grantor\", N is 1 if not given. \"direct\": true takes no approval through a gateway.")));
}

/* Add a role that a step names. */
static void
add_approver(JitStep *step, int number, const JsonbValue *value)
{
	char	   *name;
	Oid			oid = InvalidOid;
	ListCell   *lc;

	if (value->type != jbvString)
		invalid_step(number, _("The name of a role is not a string."));
	name = pnstrdup(value->val.string.val, value->val.string.len);
	if (strcmp(name, JIT_GRANTOR) != 0)
	{
		oid = get_role_oid(name, true);
		if (!OidIsValid(oid))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("role \"%s\" does not exist", name),
					 errdetail("Step %d of the flow names it.", number),
					 name[0] == '@' ?
					 errhint("The only name of that kind is \"@grantor\".") : 0));
		if (strncmp(name, JIT_ROLE_PREFIX, strlen(JIT_ROLE_PREFIX)) == 0)
			invalid_step(number, psprintf(_("Role \"%s\" is one of jit_access's own."), name));
		if (jit_is_of_others(oid))
			invalid_step(number, psprintf(_("Role \"%s\" is listed in jit_access.gateway_logins or jit_access.proxy_logins, and approves nothing."), name));
	}
	foreach(lc, step->names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			invalid_step(number, psprintf(_("It names \"%s\" twice."), name));
	}
	step->names = lappend(step->names, name);
	step->oids = lappend_oid(step->oids, oid);
}

static JitStep *
parse_step(const JsonbValue *value, int number)
{
	JitStep    *step = palloc0(sizeof(JitStep));
	JsonbIterator *it;
	JsonbValue	v;

	step->approvals = 1;
	step->as_risk = true;
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		invalid_step(number, _("It is not an object."));

	it = JsonbIteratorInit(value->val.binary.data);
	(void) JsonbIteratorNext(&it, &v, true);
	while (JsonbIteratorNext(&it, &v, true) == WJB_KEY)
	{
		char	   *key = pnstrdup(v.val.string.val, v.val.string.len);

		(void) JsonbIteratorNext(&it, &v, true);
		if (strcmp(key, "approver") == 0 || strcmp(key, "any_of") == 0)
		{
			if (step->names != NIL)
				invalid_step(number, _("It has both \"approver\" and \"any_of\"."));
			if (strcmp(key, "approver") == 0)
				add_approver(step, number, &v);
			else
			{
				if (v.type != jbvBinary || !JsonContainerIsArray(v.val.binary.data) ||
					JsonContainerSize(v.val.binary.data) == 0)
					invalid_step(number, _("\"any_of\" is not a list of roles."));
				for (uint32 i = 0; i < JsonContainerSize(v.val.binary.data); i++)
					add_approver(step, number,
								 getIthJsonbValueFromContainer(v.val.binary.data, i));
			}
		}
		else if (strcmp(key, "approvals") == 0)
		{
			Datum		number_datum;

			if (v.type != jbvNumeric)
				invalid_step(number, _("\"approvals\" is not a number."));
			number_datum = NumericGetDatum(v.val.numeric);
			if (!DatumGetBool(DirectFunctionCall2(numeric_eq, number_datum,
												  DirectFunctionCall2(numeric_trunc, number_datum,
																	  Int32GetDatum(0)))) ||
				DatumGetBool(DirectFunctionCall2(numeric_lt, number_datum,
												 NumericGetDatum(int64_to_numeric(1)))) ||
				DatumGetBool(DirectFunctionCall2(numeric_gt, number_datum,
												 NumericGetDatum(int64_to_numeric(MAX_APPROVALS)))))
				invalid_step(number, psprintf(_("\"approvals\" is not a whole number from 1 to %d."), MAX_APPROVALS));
			step->approvals = DatumGetInt32(DirectFunctionCall1(numeric_int4,
																number_datum));
		}
		else if (strcmp(key, "direct") == 0)
		{
			if (v.type != jbvBool)
				invalid_step(number, _("\"direct\" is not true or false."));
			step->direct = v.val.boolean;
			step->as_risk = false;
		}
		else
			invalid_step(number, psprintf(_("It has an unknown key \"%s\"."), key));
	}
	if (step->names == NIL)
		invalid_step(number, _("It names nobody."));
	return step;
}

static List *
parse_steps(Jsonb *flow)
{
	List	   *steps = NIL;

	if (!JB_ROOT_IS_ARRAY(flow) || JB_ROOT_IS_SCALAR(flow))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("steps must be a JSON array"),
				 errhint("For example [{\"approver\": \"@grantor\", \"approvals\": 1}]; [] needs no approval.")));
	for (uint32 i = 0; i < JB_ROOT_COUNT(flow); i++)
		steps = lappend(steps,
						parse_step(getIthJsonbValueFromContainer(&flow->root, i),
								   i + 1));
	return steps;
}

/* Raise unless the pattern, which textregexeq() is to use, compiles. */
static void
check_pattern(const char *pattern, const char *name)
{
	MemoryContext context = CurrentMemoryContext;

	if (pattern == NULL)
		return;
	PG_TRY();
	{
		(void) RE_compile_and_cache(cstring_to_text(pattern), REG_ADVANCED,
									C_COLLATION_OID);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		if (edata->sqlerrcode != ERRCODE_INVALID_REGULAR_EXPRESSION)
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_REGULAR_EXPRESSION),
				 errmsg("%s \"%s\" is not a regular expression", name, pattern),
				 errdetail_internal("%s", edata->message)));
	}
	PG_END_TRY();
}

/* Logins that are standing members of one of the step's roles. */
static List *
step_people(const JitStep *step, List *people)
{
	JitOwnerSection section;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT oid FROM pg_authid WHERE rolcanlogin", "");
	for (int i = 1; i <= n; i++)
	{
		Oid			login = jit_result_oid(i, 1);
		List	   *closure = jit_role_closure(login, JIT_CLOSURE_MEMBERS,
											   JIT_FILTER_STANDING, jit_now());
		ListCell   *lc;

		CHECK_FOR_INTERRUPTS();
		foreach(lc, step->oids)
		{
			if (list_member_oid(closure, lfirst_oid(lc)))
				people = list_append_unique_oid(people, login);
		}
		list_free(closure);
	}
	jit_leave_owner_section(&section);
	return people;
}

/*
 * Warn of steps that too few people could complete: of one, and of all
 * together, since one person counts once.  Who could grant depends on what
 * is asked for, so a step with @grantor isn't judged.
 */
static void
warn_of_too_few(List *steps)
{
	List	   *all = NIL;
	int			needed = 0;
	ListCell   *lc;

	foreach(lc, steps)
	{
		JitStep    *step = lfirst(lc);
		List	   *people;

		if (list_member_oid(step->oids, InvalidOid))
			continue;
		people = step_people(step, NIL);
		if (list_length(people) < step->approvals)
		{
			ereport(WARNING,
					(errmsg_plural("step %d needs %s, but %d person can log in as such now",
								   "step %d needs %s, but %d people can log in as such now",
								   list_length(people),
								   foreach_current_index(lc) + 1, jit_step_text(step),
								   list_length(people))));
			return;
		}
		needed += step->approvals;
		all = list_concat_unique_oid(all, people);
	}
	if (list_length(all) < needed)
		ereport(WARNING,
				(errmsg("the flow needs %d approvals by different people, but only %d can log in as such now",
						needed, list_length(all))));
}

/* What a risk needs, in words. */
static char *
flow_text(const JitDecision *flow)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, jit_steps_text(flow->steps));
	if (flow->max_duration != PG_INT64_MAX)
		appendStringInfo(&buf, _("; for at most %s"),
						 jit_usecs_text(flow->max_duration));
	appendStringInfo(&buf, _("; lapses after %s"),
					 jit_usecs_text(flow->request_ttl));
	if (flow->reason_pattern)
		appendStringInfo(&buf, _("; reason like \"%s\""), flow->reason_pattern);
	if (flow->ticket_pattern)
		appendStringInfo(&buf, _("; ticket like \"%s\""), flow->ticket_pattern);
	if (flow->emergency_role)
		appendStringInfo(&buf, _("; in an emergency %s, for at most %s"),
						 quote_identifier(flow->emergency_role),
						 jit_usecs_text(flow->emergency_duration));
	return buf.data;
}

/* The row and its steps as the event tells them.  Inside an owner section. */
static Jsonb *
flow_jsonb(const char *risk)
{
	bool		isnull;

	if (jit_query("SELECT to_jsonb(f) || jsonb_build_object('steps', (SELECT coalesce(jsonb_agg(to_jsonb(s)"
				  "  - array['risk', 'step'] ORDER BY s.step), '[]') FROM jit.approval_steps s WHERE s.risk = f.risk))"
				  " FROM jit.approval_flows f WHERE f.risk = $1::jit.risk_level",
				  "t", risk) == 0)
		return NULL;
	return DatumGetJsonbPCopy(jit_result(1, 1, &isnull));
}

static Interval *
interval_argument(FunctionCallInfo fcinfo, int n, const char *name, int64 *usecs)
{
	if (PG_ARGISNULL(n))
		return NULL;
	*usecs = jit_interval_usecs(PG_GETARG_INTERVAL_P(n), name);
	return PG_GETARG_INTERVAL_P(n);
}

/* Who may break the glass, and for how long; see request/emergency.c. */
static Interval *
emergency_arguments(FunctionCallInfo fcinfo, JitDecision *flow)
{
	flow->emergency_role = NULL;
	flow->emergency_oid = InvalidOid;
	flow->emergency_duration = JIT_DEFAULT_EMERGENCY;
	if (PG_ARGISNULL(6))
	{
		if (!PG_ARGISNULL(7))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("emergency_duration needs an emergency_role")));
		return NULL;
	}
	flow->emergency_role = pstrdup(NameStr(*PG_GETARG_NAME(6)));
	flow->emergency_oid = get_role_oid(flow->emergency_role, false);
	if (strncmp(flow->emergency_role, JIT_ROLE_PREFIX, strlen(JIT_ROLE_PREFIX)) == 0 ||
		jit_is_of_others(flow->emergency_oid))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("role %s cannot be an emergency_role", quote_identifier(flow->emergency_role)),
				 errdetail("It is one of jit_access's own, or others are behind it.")));
	return interval_argument(fcinfo, 7, "emergency_duration", &flow->emergency_duration);
}

/*
 * jit_set_flow(risk, steps, max_duration, request_ttl, reason_pattern,
 *				ticket_pattern, emergency_role, emergency_duration)
 */
Datum
jit_set_flow(PG_FUNCTION_ARGS)
{
	JitOwnerSection section;
	JitDecision before;
	JitDecision after;
	JitRisk		risk;
	const char *name_of_risk;
	Jsonb	   *row_before;
	Interval   *max_duration;
	Interval   *request_ttl;
	Interval   *emergency_duration;
	ListCell   *lc;

	jit_require_administrator(fcinfo, gettext_noop("permission denied to set an approval flow"));
	risk = jit_risk_argument(fcinfo, 0);
	if (PG_ARGISNULL(1))
		jit_refuse_null("steps");
	if (risk == JIT_RISK_FORBIDDEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no approval flow for forbidden requests"),
				 errdetail("They are refused when they are filed."),
				 errhint("To let people approve them, give the policy another risk with jit_set_policy().")));
	after.steps = parse_steps(PG_GETARG_JSONB_P(1));
	jit_fix_direct(after.steps, risk);
	after.max_duration = PG_INT64_MAX;
	after.request_ttl = JIT_DEFAULT_REQUEST_TTL;
	max_duration = interval_argument(fcinfo, 2, "max_duration", &after.max_duration);
	request_ttl = interval_argument(fcinfo, 3, "request_ttl", &after.request_ttl);
	if (after.request_ttl > MAX_REQUEST_TTL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("request_ttl must not be more than 365 days")));
	after.reason_pattern = jit_text_argument(fcinfo, 4, "reason_pattern");
	after.ticket_pattern = jit_text_argument(fcinfo, 5, "ticket_pattern");
	emergency_duration = emergency_arguments(fcinfo, &after);
	check_pattern(after.reason_pattern, "reason_pattern");
	check_pattern(after.ticket_pattern, "ticket_pattern");

	name_of_risk = jit_risk_name(risk);
	jit_enter_owner_section(&section);
	jit_query("LOCK TABLE jit.approval_flows IN SHARE ROW EXCLUSIVE MODE", "");
	(void) jit_load_flow_as_is(&before, risk);
	row_before = flow_jsonb(name_of_risk);
	jit_query("DELETE FROM jit.approval_steps WHERE risk = $1::jit.risk_level",
			  "t", name_of_risk);
	jit_query("INSERT INTO jit.approval_flows (risk, steps, max_duration, request_ttl, reason_pattern, ticket_pattern,"
			  "  emergency_role, emergency_role_oid, emergency_duration, emergency_origin)"
			  " VALUES ($1::jit.risk_level, $6, $2, $3, $4, $5, $7, CASE WHEN $7 IS NOT NULL THEN $8 END, $9, CASE WHEN $7 IS NOT NULL THEN $10 END)"
			  " ON CONFLICT (risk) DO UPDATE SET steps = excluded.steps, max_duration = excluded.max_duration,"
			  "  request_ttl = excluded.request_ttl, reason_pattern = excluded.reason_pattern,"
			  "  ticket_pattern = excluded.ticket_pattern, emergency_role = excluded.emergency_role,"
			  "  emergency_role_oid = excluded.emergency_role_oid,"
			  "  emergency_duration = excluded.emergency_duration, emergency_origin = excluded.emergency_origin",
			  "tvvttitovt", name_of_risk, max_duration, request_ttl,
			  after.reason_pattern, after.ticket_pattern,
			  list_length(after.steps), after.emergency_role, after.emergency_oid,
			  emergency_duration, jit_origin());
	foreach(lc, after.steps)
	{
		JitStep    *step = lfirst(lc);
		int			n = list_length(step->names);
		Datum	   *names = palloc(n * sizeof(Datum));
		Datum	   *oids = palloc(n * sizeof(Datum));

		for (int i = 0; i < n; i++)
		{
			names[i] = CStringGetTextDatum(list_nth(step->names, i));
			oids[i] = ObjectIdGetDatum(list_nth_oid(step->oids, i));
		}
		jit_query("INSERT INTO jit.approval_steps (risk, step, approvals, approvers, approver_oids, origin, direct)"
				  " VALUES ($1::jit.risk_level, $2, $3, $4, $5, $6, CASE WHEN NOT $7 THEN $8 END)",
				  "tiiTOtbb", name_of_risk, foreach_current_index(lc) + 1,
				  step->approvals,
				  PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT)),
				  PointerGetDatum(construct_array(oids, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT)),
				  jit_origin(), step->as_risk, step->direct);
	}
	if (jit_record_change("flow_set", "risk", jit_risk_name(risk),
						  row_before, flow_jsonb(name_of_risk),
						  psprintf("approval flow for %s risk in %s set: %s",
								   jit_risk_name(risk),
								   quote_identifier(jit_database_name()),
								   flow_text(&after))))
		ereport(NOTICE,
				(errmsg("approval flow for %s risk in %s is changed",
						jit_risk_name(risk),
						quote_identifier(jit_database_name())),
				 errdetail("Before: %s.\nAfter: %s.",
						   flow_text(&before),
						   flow_text(&after)),
				 errhint("Requests that are pending keep the flow they were filed with.")));
	else
		ereport(NOTICE,
				(errmsg("approval flow for %s risk in %s is unchanged",
						jit_risk_name(risk),
						quote_identifier(jit_database_name())),
				 errdetail("It was the same already: %s.", flow_text(&after))));
	jit_leave_owner_section(&section);

	if (max_duration != NULL &&
		after.max_duration > (int64) jit_max_duration * USECS_PER_SEC)
		ereport(WARNING,
				(errmsg("access of %s risk cannot be requested for as long as its flow allows",
						jit_risk_name(risk)),
				 errdetail("max_duration of the flow is %s; jit_access.max_duration is %s, and applies.",
						   jit_usecs_text(after.max_duration),
						   jit_usecs_text((int64) jit_max_duration * USECS_PER_SEC)),
				 errhint("Set the flow with less, or raise jit_access.max_duration.")));
	warn_of_too_few(after.steps);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s: %s", name_of_risk, flow_text(&after))));
}

/* ----------------------------------------------------------------------
 * The clock
 * ----------------------------------------------------------------------
 */

/* jit_reset_clock(): believe the time of day from the commit on. */
Datum
jit_reset_clock(PG_FUNCTION_ARGS)
{
	int64		behind = jit_clock_behind();

	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to reset the clock of jit_access"),
				 errdetail("Only superusers may: access that has ended could come back.")));
	jit_require_administrator(fcinfo, gettext_noop("permission denied to reset the clock of jit_access"));
	jit_event("clock_reset", 0,
			  jit_detail("behind_seconds", psprintf(INT64_FORMAT, behind / USECS_PER_SEC), NULL),
			  psprintf("clock reset by %s: it was " INT64_FORMAT " s behind",
					   quote_identifier(jit_role_name(GetUserId())), behind / USECS_PER_SEC));
	jit_reset_clock_at_commit();
	PG_RETURN_VOID();
}
