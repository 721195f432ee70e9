/*-------------------------------------------------------------------------
 *
 * suggest.c
 *		What to do about access that has been denied.
 *
 * For the hint of a denial: what request is waited for, or how one would have
 * to be made to be filed.  Files nothing, and says nothing to the client but
 * what it returns.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/guc.h"
#include "base/query.h"
#include "base/text.h"
#include "request/emergency.h"
#include "request/facts.h"
#include "request/filing.h"
#include "request/policy.h"
#include "request/suggest.h"

#include "access/xlog.h"
#include "mb/pg_wchar.h"

#define MAX_COMMENT		100		/* bytes of what somebody wrote */

/*
 * A request with the arguments of jit_request() but for how long, and what
 * would be decided about it if it were for as long as is allowed: "longest" at
 * most, which shortens it until the risk that it then has allows it.  Raises
 * as jit_request() would.
 */
JitRequest *
jit_longest_request(FunctionCallInfo fcinfo, int64 longest, int64 *usecs,
					JitDecision **decision)
{
	JitRequest *request;
	Interval   *duration = palloc0(sizeof(Interval));

	duration->time = Min(longest, (int64) jit_max_duration * USECS_PER_SEC);
	fcinfo->args[jit_request_arguments.duration].isnull = false;
	fcinfo->args[jit_request_arguments.duration].value = IntervalPGetDatum(duration);
	for (;;)
	{
		request = jit_request_from_arguments(fcinfo, &jit_request_arguments, false, usecs);
		*decision = jit_decide_by_facts(jit_make_facts(request, *usecs));
		/* each is shorter than the last, or one that is allowed */
		if (duration->time <= (*decision)->max_duration)
			return request;
		duration->time = (*decision)->max_duration;
	}
}

/* Somebody's words, in one line and not too many. */
static char *
short_text(const char *text)
{
	char	   *shown = jit_shown(text);
	int			length = strlen(shown);

	if (length <= MAX_COMMENT)
		return shown;
	return psprintf(_("%s ..."), pnstrdup(shown, pg_mbcliplen(shown, length, MAX_COMMENT)));
}

/* "Request 18 for it is pending: it waits for anna, ben." */
static char *
pending_text(JitRequest *request)
{
	int			id = request->id;
	JitProgress progress;
	List	   *names = NIL;
	ListCell   *lc;

	jit_load_request_items(request, true);
	jit_flow_progress(request, &progress);
	foreach(lc, jit_lacks(request, &progress))
	{
		JitLack    *lack = lfirst(lc);
		ListCell   *ln;

		foreach(ln, names)
		{
			if (strcmp(lfirst(ln), lack->names) == 0)
				break;
		}
		if (ln == NULL && lack->names[0] != '\0')
			names = lappend(names, lack->names);
	}
	if (names == NIL)
		return psprintf(_("Request %d for it is pending, and nobody can approve it. SELECT * FROM jit_show(%d) tells more."),
						id, id);
	return psprintf(_("Request %d for it is pending: it waits for %s. SELECT * FROM jit_show(%d) tells more."),
					id, jit_join(names, _("; ")), id);
}

/* "Request 17 for it was rejected by anna: "not today". ", or "". */
static char *
rejected_text(int id)
{
	JitOwnerSection section;
	char	   *result = "";

	jit_enter_owner_section(&section);
	if (jit_query("SELECT approver, approver_oid, comment FROM jit.reviews"
				  " WHERE request_id = $1 AND verdict = 'reject' ORDER BY review DESC LIMIT 1",
				  "i", id) > 0)
		result = psprintf(_("Request %d for it was rejected by %s: \"%s\". "), id,
						  jit_name_now(jit_result_oid(1, 2), jit_result_text(1, 1)),
						  short_text(jit_result_text(1, 3)));
	jit_leave_owner_section(&section);
	return result;
}

/* The call that would be filed, in words. */
static char *
request_call(const char *access, int64 usecs, const JitDecision *decision)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, RecoveryInProgress() ?
					 _("Request access on the primary server: SELECT jit_request(%s, %s, %s") :
					 _("Request access: SELECT jit_request(%s, %s, %s"),
					 quote_literal_cstr(access),
					 usecs == JIT_USUAL_DURATION ? "'1 hour'" : quote_literal_cstr(jit_usecs_text(usecs)),
					 quote_literal_cstr(_("why you need it")));
	if (decision->ticket_pattern != NULL)
		appendStringInfo(&buf, ", ticket => %s", quote_literal_cstr(_("the ticket")));
	appendStringInfoString(&buf, ");");
	if (decision->reason_pattern != NULL)
		appendStringInfo(&buf, _(" The reason must match \"%s\"."),
						 jit_shown(decision->reason_pattern));
	if (decision->ticket_pattern != NULL)
		appendStringInfo(&buf, _(" The ticket must match \"%s\"."),
						 jit_shown(decision->ticket_pattern));
	return buf.data;
}

/* What they could do at once: " In an emergency: SELECT jit_break_glass(...);" */
static char *
emergency_text(FunctionCallInfo fcinfo, const char *access)
{
	JitDecision *decision;
	JitRequest *request;
	JitPerson	person;
	int64		usecs;

	jit_current_person(&person);
	if (RecoveryInProgress() || OidIsValid(person.gateway) || GetUserId() != person.role)
		return "";
	request = jit_longest_request(fcinfo, JIT_USUAL_DURATION, &usecs, &decision);
	if (decision->emergency_role == NULL || decision->forbidden_by != NULL)
		return "";
	decision = jit_decide_emergency(request, Min(usecs, decision->emergency_duration));
	if (decision->forbidden_by != NULL || jit_why_not_break_glass(request, &person, decision) != NULL)
		return "";
	usecs = Min(usecs, decision->max_duration);
	return psprintf(_(" In an emergency: SELECT jit_break_glass(%s, %s, %s%s); which is reviewed."),
					quote_literal_cstr(access),
					usecs == JIT_USUAL_DURATION ? "'1 hour'" : quote_literal_cstr(jit_usecs_text(usecs)),
					quote_literal_cstr(_("why you need it")),
					decision->ticket_pattern != NULL ?
					psprintf(", ticket => %s", quote_literal_cstr(_("the ticket"))) : "");
}

/*
 * The hint for somebody who lacks the access, given the request that is
 * pending or scheduled for it and the one that was rejected last, 0 for none.  Runs as the
 * one who lacks it, and may raise: then it isn't known.
 */
char *
jit_suggest(const char *access, int pending, int rejected)
{
	LOCAL_FCINFO(fcinfo, JIT_REQUEST_ARGUMENTS);
	JitDecision *decision;
	int64		usecs;
	const char *before = "";
	JitRequest *other = pending > 0 ? jit_load_request(pending, false) : NULL;

	InitFunctionCallInfoData(*fcinfo, NULL, JIT_REQUEST_ARGUMENTS, InvalidOid, NULL, NULL);
	for (int i = 1; i < JIT_REQUEST_ARGUMENTS; i++)
		fcinfo->args[i].isnull = true;
	fcinfo->args[0].isnull = false;
	fcinfo->args[0].value = CStringGetTextDatum(access);
	if (other != NULL && other->status != JIT_SCHEDULED)
		return psprintf("%s%s", pending_text(other), emergency_text(fcinfo, access));
	if (jit_longest_request(fcinfo, JIT_USUAL_DURATION, &usecs, &decision)->held != NULL)
		return NULL;			/* it isn't what is lacking */
	if (other != NULL)
		before = psprintf(_("Request %d for it is scheduled: it starts at %s. "), pending,
						  jit_timestamp_text(other->start));
	else if (rejected > 0)
		before = rejected_text(rejected);
	if (decision->forbidden_by == NULL)
		return psprintf("%s%s%s", before, request_call(access, usecs, decision),
						emergency_text(fcinfo, access));
	if (decision->forbidden_why == NULL)
		return psprintf(_("%sPolicy %s forbids requests for it."), before,
						quote_identifier(decision->forbidden_by));
	return psprintf(_("%sPolicy %s forbids requests for it: %s"), before,
					quote_identifier(decision->forbidden_by),
					short_text(decision->forbidden_why));
}
