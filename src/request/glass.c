/*-------------------------------------------------------------------------
 *
 * glass.c
 *		Breaking the glass, and reviewing it: the SQL functions.
 *
 * See emergency.c.  Both are a direct login's own words: nothing of it goes
 * through a gateway or a proxy.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/query.h"
#include "base/text.h"
#include "base/toplevel.h"
#include "request/emergency.h"
#include "request/event.h"
#include "request/filing.h"
#include "request/remains.h"
#include "request/request.h"

PG_FUNCTION_INFO_V1(jit_break_glass);
PG_FUNCTION_INFO_V1(jit_review);
PG_FUNCTION_INFO_V1(jit_review_due);

static void
prevent_on_standby(FunctionCallInfo fcinfo)
{
	jit_prevent_if_not_here(fcinfo);
	(void) jit_open_ledger();
	jit_require_top_level(fcinfo);
}

/* jit_break_glass(access, duration, reason, ticket) */
Datum
jit_break_glass(PG_FUNCTION_ARGS)
{
	static const JitArguments at = {
		.access = 0,.duration = 1,.reason = 2,.ticket = 3,.until = -1,.grantee = -1,.start = -1,
		.statement = -1,.runs = -1
	};
	JitRequest *request;
	JitDecision *decision;
	JitPerson	person;
	char	   *why;
	int64		usecs;

	prevent_on_standby(fcinfo);
	jit_acting_person(&person);
	request = jit_request_from_arguments(fcinfo, &at, false, &usecs);
	request->emergency = true;
	/* what a policy forbids is said when it is filed */
	decision = jit_decide_emergency(request, usecs);
	why = decision->forbidden_by != NULL ? NULL :
		jit_why_not_break_glass(request, &person, decision);
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("you cannot break the glass for %s", request->access),
				 errdetail_internal("%s", why),
				 errhint("Ask for it with jit_request().")));
	jit_file_request(request, usecs);
	(void) jit_activate_request(request, &person);
	ereport(WARNING,
			(errmsg("you have broken the glass: %s will be reviewed",
					jit_request_text(request->id)),
			 errdetail("Others are told of it now.")));
	PG_RETURN_INT32(request->id);
}

/* jit_review(request, justified, comment) */
Datum
jit_review(PG_FUNCTION_ARGS)
{
	const char *verdict;
	char	   *comment;
	JitOwnerSection section;
	JitRequest *request;
	JitPerson	person;
	JitStatus	is;
	char	   *why;
	bool		isnull;
	Datum		result;
	int			id;

	prevent_on_standby(fcinfo);
	if (PG_ARGISNULL(0))
		jit_refuse_null("request");
	if (PG_ARGISNULL(1))
		jit_refuse_null("justified");
	id = PG_GETARG_INT32(0);
	verdict = PG_GETARG_BOOL(1) ? "justified" : "unjustified";
	comment = jit_required_text(fcinfo, 2, "comment");
	jit_acting_person(&person);
	for (int locked = 0; locked <= 1; locked++)
	{
		request = jit_load_request(id, locked);
		jit_check_concerned(request, &person, gettext_noop("you cannot review %s"));
		if (!request->emergency)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("%s is no emergency", jit_request_text(id)),
					 errhint("A pending request is decided on with jit_approve() or jit_reject().")));
		why = GetUserId() != GetOuterUserId() ?
			pstrdup(_("It cannot be reviewed from inside a SECURITY DEFINER function.")) :
			jit_why_not_review(request, &person);
		if (why != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("you cannot review %s", jit_request_text(id)),
					 errdetail_internal("%s", why)));
		is = jit_present_status(request);
		if (is == JIT_ACTIVE && PG_GETARG_BOOL(1))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("%s is still active", jit_request_text(id)),
					 errhint("Whether it was justified is known when it has ended. To end it now: SELECT jit_revoke(%d);", id)));
	}

	jit_store_review(request, verdict, 0, &person, NULL, comment);
	jit_enter_owner_section(&section);
	jit_query("UPDATE jit.requests SET verdict = $2 WHERE " JIT_THE_ROWS("requests", "id = $1"),
			  "it", id, verdict);
	jit_event("reviewed", id, jit_detail("verdict", verdict, "comment", comment, NULL),
			  psprintf("%s reviewed by %s: %s", jit_request_text(id),
					   quote_identifier(jit_role_name(person.role)), verdict));
	jit_leave_owner_section(&section);
	if (is == JIT_ACTIVE)
	{
		jit_end_access(request, psprintf(_("unjustified: %s"), comment), true);
		jit_warn_of_remains(request);
		is = JIT_REVOKED;
	}
	ereport(NOTICE,
			(errmsg("%s is reviewed: %s", jit_request_text(id), verdict)));
	jit_enter_owner_section(&section);
	jit_query("SELECT $1::jit.request_status", "t", jit_status_name(is));
	result = jit_result(1, 1, &isnull);
	jit_leave_owner_section(&section);
	PG_RETURN_DATUM(result);
}

/* jit.review_due(since) */
Datum
jit_review_due(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(jit_review_due_at(PG_GETARG_TIMESTAMPTZ(0)));
}
