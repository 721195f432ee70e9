/*-------------------------------------------------------------------------
 *
 * show.c
 *		jit_show(): everything about one request, told like EXPLAIN.
 *
 * For whoever the request concerns.  It only reads, takes no lock on the row,
 * and works on a standby.
 *
 * Each section is a subtransaction of its own: where what it tells of is gone,
 * or broken, it says so, and the others follow.
 *
 * What people wrote stands on lines of its own, each of which begins with a
 * bar: nothing that they write looks like a line of ours, however wide the
 * terminal is.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/item.h"
#include "base/query.h"
#include "base/text.h"
#include "request/explain.h"
#include "request/facts.h"
#include "request/label.h"
#include "request/policy.h"
#include "request/request.h"
#include "request/statement.h"

#include "catalog/pg_collation.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"

#define TEXT_WIDTH 72

PG_FUNCTION_INFO_V1(jit_show);

/* An approval or rejection, beside what the ledger's reader knows of it. */
typedef struct ShownReview
{
	JitReview  *review;
	TimestampTz at;
	char	   *comment;
	bool		approves;
	bool		told;
} ShownReview;

typedef struct ShowCall
{
	ReturnSetInfo *rsinfo;
	JitRequest *request;
	JitStatus	status;			/* as of now */
	void		(*section) (struct ShowCall *call);
	List	   *reviews;		/* of ShownReview */
} ShowCall;

/* ----------------------------------------------------------------------
 * Words
 * ----------------------------------------------------------------------
 */

/* How much of a line fits into its width: bytes, to a space if there is one. */
static int
fitting(const char *line)
{
	const char *p = line;
	const char *space = NULL;
	int			width = 0;

	while (*p)
	{
		width += Max(0, pg_dsplen(p));
		if (width > TEXT_WIDTH)
			return (space != NULL ? space + 1 : p) - line;
		if (*p == ' ')
			space = p;
		p += pg_mblen(p);
	}
	return p - line;
}

/* What somebody wrote, as a whole. */
static void
show_text(ShowCall *call, int indent, const char *text)
{
	char	   *rest = pstrdup(text);
	char	   *line;

	while ((line = strsep(&rest, "\n")) != NULL)
	{
		char	   *shown = jit_shown(line);

		do
		{
			int			length = fitting(shown);

			CHECK_FOR_INTERRUPTS();
			jit_explain_line(call->rsinfo, "%*s| %.*s", indent, "", length, shown);
			shown += length;
		} while (*shown);
	}
}

/* A role of the request, and that it is gone if it is. */
static char *
role_text(const JitRequest *request, Oid role, const char *name)
{
	return psprintf("%s%s", jit_name_now(role, name),
					OidIsValid(role) ? "" : request->cluster ? _(" (dropped)") : _(" (not here)"));
}

/* "anna", "hr_owner (login anna)", "anna (via slack:T012/U024BE7LH)" */
static char *
person_text(const JitRequest *request, Oid role, const char *name,
			Oid login, const char *login_name, const char *via)
{
	char	   *text = role_text(request, role, name);

	if (via != NULL)
		return psprintf(_("%s (via %s)"), text, jit_shown(via));
	if (strcmp(name, login_name) == 0 && role == login)
		return text;

	return psprintf(_("%s (login %s)"), text, role_text(request, login, login_name));
}

/* How long it is for, as microseconds from some time on. */
static int64
asked_usecs(const JitRequest *request, TimestampTz from)
{
	return request->duration != NULL ?
		jit_interval_usecs(request->duration, "duration") : request->until - from;
}

static char *
asked_text(const JitRequest *request)
{
	char	   *text = request->duration != NULL ?
	jit_usecs_text(jit_interval_usecs(request->duration, "duration")) :
	psprintf(_("until %s"), jit_timestamp_text(request->until));

	if (request->start == DT_NOEND)
		return text;

	return psprintf(_("%s from %s"), text, jit_timestamp_text(request->start));
}

/* ----------------------------------------------------------------------
 * Sections
 * ----------------------------------------------------------------------
 */

static void
show_request(ShowCall *call)
{
	JitRequest *request = call->request;
	JitOwnerSection section;
	TimestampTz requested_at;
	TimestampTz ended_at;
	char	   *client_addr;
	char	   *hopeless;

	jit_enter_owner_section(&section);
	(void) jit_query("SELECT requested_at, ended_at, host(client_addr) FROM jit.requests WHERE id = $1",
					 "i", request->id);
	requested_at = jit_result_time(1, 1);
	/* a sweeper may not have got round to it */
	ended_at = jit_result_time(1, 2);
	if (ended_at == DT_NOEND)
		ended_at = call->status == JIT_LAPSED ? request->lapses_at : request->expires_at;
	client_addr = jit_result_text(1, 3);
	jit_leave_owner_section(&section);

	if (call->status == JIT_PENDING)
		jit_explain_line(call->rsinfo, _("  pending; it lapses at %s"),
						 jit_timestamp_text(request->lapses_at));
	else if (call->status == JIT_SCHEDULED)
		jit_explain_line(call->rsinfo, _("  scheduled; it starts at %s, and ends at %s"),
						 jit_timestamp_text(request->start), jit_timestamp_text(request->lapses_at));
	else if (call->status == JIT_ACTIVE)
		jit_explain_line(call->rsinfo, _("  active"));
	else
		jit_explain_line(call->rsinfo, _("  %s at %s"), jit_status_name(call->status),
						 jit_timestamp_text(ended_at));
	if (request->emergency)
		jit_explain_line(call->rsinfo, request->verdict == NULL ? _("  an emergency, not reviewed yet") :
						 _("  an emergency, reviewed: %s"), request->verdict);
	hopeless = call->status == JIT_PENDING ? jit_why_hopeless(request) : NULL;
	if (hopeless != NULL)
		jit_explain_line(call->rsinfo, _("  nobody can approve it any more: %s"), jit_shown(hopeless));
	if (!request->here)
		jit_explain_line(call->rsinfo, jit_is_copy(request->origin) ?
						 _("  filed in another database of this cluster, and copied here") :
						 request->cluster ? _("  filed in a database that is gone") :
						 _("  filed in another cluster: roles and objects are those of these names here"));
	jit_explain_line(call->rsinfo, _("  for %s%s"), jit_grantee_text(request),
					 OidIsValid(request->grantee) ? "" :
					 request->cluster ? _(" (dropped)") : _(" (not here)"));
	jit_explain_line(call->rsinfo, client_addr ? _("  asked by %s from %s at %s") :
					 _("  asked by %s%s at %s"),
					 person_text(request, request->requester, request->requester_name,
								 request->login, request->login_name, request->via),
					 client_addr ? client_addr : "", jit_timestamp_text(requested_at));
	jit_explain_line(call->rsinfo, _("  reason"));
	show_text(call, 4, request->reason ? request->reason : "");
	if (request->ticket != NULL)
	{
		jit_explain_line(call->rsinfo, _("  ticket"));
		show_text(call, 4, request->ticket);
	}
}

/* An item as it was filed. */
typedef struct FiledItem
{
	char	   *line;
	bool		added;
	char	   *owner;			/* NULL if it has none */
	Oid			owner_oid;
	int			ncolumns;
} FiledItem;

/* Owner and labels of now, and the owner of then if that was another. */
static void
show_owner_and_labels(ShowCall *call, const FiledItem *filed, const JitItem *item)
{
	const JitRequest *request = call->request;
	StringInfoData buf;
	List	   *labels = jit_item_labels(item);

	initStringInfo(&buf);
	if (filed->owner != NULL)
	{
		Oid			owner = jit_object_owner(item->address.classId, jit_item_acl_objid(item));
		Oid			then = request->cluster ? filed->owner_oid : get_role_oid(filed->owner, true);

		appendStringInfo(&buf, _("owner %s"), quote_identifier(jit_role_name(owner)));
		if (owner != then)
			appendStringInfo(&buf, _(" (then %s)"), jit_name_now(then, filed->owner));
	}
	if (labels != NIL)
		appendStringInfo(&buf, _("%slabels %s"), buf.len > 0 ? ", " : "",
						 jit_join(labels, ", "));
	if (buf.len > 0)
		jit_explain_line(call->rsinfo, "    %s", buf.data);
}

static void
show_items(ShowCall *call)
{
	JitRequest *request = call->request;
	JitOwnerSection section;
	FiledItem  *filed;
	ListCell   *next;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT l.line, l.added, i.owner, i.owner_oid, coalesce(cardinality(i.columns), 0)"
				  " FROM jit.request_items i JOIN jit.request_lines l USING (request_id, item)"
				  " WHERE request_id = $1 ORDER BY item",
				  "i", request->id);
	filed = palloc0(Max(n, 1) * sizeof(FiledItem));
	for (int i = 0; i < n; i++)
	{
		filed[i].line = jit_result_text(i + 1, 1);
		filed[i].added = jit_result_bool(i + 1, 2);
		filed[i].owner = jit_result_text(i + 1, 3);
		filed[i].owner_oid = jit_result_oid(i + 1, 4);
		filed[i].ncolumns = jit_result_int(i + 1, 5);
	}
	jit_leave_owner_section(&section);

	/* in their order, without those that are gone */
	jit_load_request_items(request, true);
	next = list_head(request->items);
	for (int i = 0; i < n; i++)
	{
		JitItem    *item = NULL;
		char	   *text;

		CHECK_FOR_INTERRUPTS();
		if (next != NULL && ((JitItem *) lfirst(next))->position == i + 1)
		{
			item = lfirst(next);
			next = lnext(request->items, next);
		}
		if (item == NULL || !jit_item_exists(item))
		{
			jit_explain_line(call->rsinfo, request->here ? _("  %s: dropped since") :
							 _("  %s: not here"), filed[i].line);
			if (filed[i].owner != NULL)
				jit_explain_line(call->rsinfo, _("    owner then %s"),
								 jit_name_now(request->cluster ? filed[i].owner_oid : InvalidOid,
											  filed[i].owner));
			continue;
		}
		text = jit_item_text(item);

		jit_explain_line(call->rsinfo, "  %s%s%s%s", text,
						 item->objtype == OBJECT_ROLE ? _(" (membership)") : "",
						 filed[i].added ? _(" (added)") : "",
						 strcmp(text, filed[i].line) == 0 ? "" :
						 psprintf(_(" (formerly %s)"), filed[i].line));
		if (list_length(item->attnums) < filed[i].ncolumns)
			jit_explain_line(call->rsinfo, _("    the other columns were dropped since"));
		show_owner_and_labels(call, &filed[i], item);
	}
}

static void
show_risk(ShowCall *call)
{
	JitOwnerSection section;
	char	   *policies = NULL;
	bool		known;

	jit_enter_owner_section(&section);
	known = jit_query("SELECT detail ->> 'policies' FROM jit.events"
					  " WHERE request_id = $1 AND event = 'requested' ORDER BY at, id LIMIT 1",
					  "i", call->request->id) > 0;
	if (known)
		policies = jit_result_text(1, 1);
	jit_leave_owner_section(&section);

	/* there may be rows without their events: in a transaction, or restored */
	if (policies != NULL)
		jit_explain_line(call->rsinfo, _("  %s, by %s"), call->request->risk, jit_shown(policies));
	else
		jit_explain_line(call->rsinfo, known ? _("  %s, by no policy (jit_access.default_risk)") : "  %s",
						 call->request->risk);
}

static void
show_review(ShowCall *call, ShownReview *shown)
{
	JitReview  *review = shown->review;
	bool		counts = !shown->approves || review->counts ||
	(call->status != JIT_PENDING && call->status != JIT_SCHEDULED);

	shown->told = true;
	jit_explain_line(call->rsinfo, shown->approves ? _("    approved by %s at %s%s%s%s") :
					 _("    rejected by %s at %s%s%s%s"),
					 person_text(call->request, review->approver, review->approver_name,
								 review->login, review->login_name, review->via),
					 jit_timestamp_text(shown->at),
					 review->duration ? _(", for at most ") : "",
					 review->duration ? jit_usecs_text(jit_interval_usecs(review->duration, "duration")) : "",
					 counts ? "" : _("; does not count any more"));
	if (shown->comment != NULL)
		show_text(call, 6, shown->comment);
}

static void
load_reviews(ShowCall *call)
{
	JitOwnerSection section;
	int			approvals = 0;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT verdict = 'approve', at, comment FROM jit.reviews WHERE request_id = $1"
				  " AND verdict IN ('approve', 'reject') ORDER BY review",
				  "i", call->request->id);
	for (int i = 1; i <= n; i++)
	{
		ShownReview *shown = palloc0(sizeof(ShownReview));

		shown->approves = jit_result_bool(i, 1);
		shown->at = jit_result_time(i, 2);
		shown->comment = jit_result_text(i, 3);
		/* nobody decides between, or again, but whoever is looking may wait */
		if (shown->approves)
			shown->review = approvals < list_length(call->request->reviews) ?
				list_nth(call->request->reviews, approvals++) : NULL;
		else
			shown->review = call->request->rejection;
		if (shown->review != NULL)
			call->reviews = lappend(call->reviews, shown);
	}
	jit_leave_owner_section(&section);
}

/* What a step lacks, and who could still give it. */
static void
show_lacks(ShowCall *call, const JitProgress *progress)
{
	ListCell   *lc;

	foreach(lc, jit_lacks(call->request, progress))
	{
		JitLack    *lack = lfirst(lc);

		jit_explain_line(call->rsinfo,
						 lack->people == 0 ? _("    lacks %d by %s; nobody could") :
						 lack->people < lack->approvals ? _("    lacks %d by %s; only %s could") :
						 _("    lacks %d by %s (%s)"),
						 lack->approvals, lack->approvers, lack->names);
	}
}

static void
show_steps(ShowCall *call)
{
	JitRequest *request = call->request;
	JitProgress whole;
	JitProgress progress;
	char	   *text;
	ListCell   *lc;

	jit_load_request_items(request, true);
	/* counts the approvals */
	jit_flow_progress(request, &whole);
	for (int number = 1; (text = jit_step_progress(request, number, &progress)) !=NULL; number++)
	{
		jit_explain_line(call->rsinfo, _("  step %d: %s%s"), number, text,
						 progress.complete ? _(" (done)") : "");
		foreach(lc, call->reviews)
		{
			ShownReview *shown = lfirst(lc);

			if (shown->review->step == number)
				show_review(call, shown);
		}
		if (call->status == JIT_PENDING && !progress.complete)
			show_lacks(call, &progress);
	}
	if (jit_step_progress(request, 1, &progress) == NULL)
		jit_explain_line(call->rsinfo, "  %s", jit_steps_text(NIL));
	if (call->status != JIT_PENDING && call->status != JIT_SCHEDULED)
		return;
	if (whole.complete && call->status == JIT_PENDING)
		jit_explain_line(call->rsinfo, _("  complete: whoever approves it next makes it active"));
	/* sentences of ours, with quoted names */
	while (whole.lost != NULL && (text = strsep(&whole.lost, "\n")) !=NULL)
		jit_explain_line(call->rsinfo, "  %s", text);
}

/* Decisions that none of its steps has told of, as it can't be read. */
static void
show_other_reviews(ShowCall *call)
{
	ListCell   *lc;

	foreach(lc, call->reviews)
	{
		ShownReview *shown = lfirst(lc);

		if (!shown->told)
			show_review(call, shown);
	}
}

static void
show_duration(ShowCall *call)
{
	JitRequest *request = call->request;
	JitOwnerSection section;
	TimestampTz activated_at;
	TimestampTz deadline;
	ListCell   *lc;
	int64		least = PG_INT64_MAX;

	jit_enter_owner_section(&section);
	/* whatever the ledger says, VALID UNTIL is what counts */
	(void) jit_query("SELECT r.activated_at, coalesce(a.rolvaliduntil, r.expires_at) FROM jit.requests r"
					 " LEFT JOIN jit.grants g ON g.request_id = r.id AND g.ended_at IS NULL AND starts_with(r.origin, $2)"
					 " LEFT JOIN pg_authid a ON a.rolname = g.role AND isfinite(a.rolvaliduntil)"
					 " WHERE r.id = $1",
					 "it", request->id, jit_cluster_origin());
	activated_at = jit_result_time(1, 1);
	deadline = jit_result_time(1, 2);
	jit_leave_owner_section(&section);

	jit_explain_line(call->rsinfo, _("  asked for: %s"), asked_text(request));
	foreach(lc, request->reviews)
	{
		JitReview  *review = lfirst(lc);

		if (review->duration != NULL)
			least = Min(least, jit_interval_usecs(review->duration, "duration"));
	}
	if (activated_at != DT_NOEND)
		jit_explain_line(call->rsinfo, _("  given: from %s until %s"),
						 jit_timestamp_text(activated_at), jit_timestamp_text(deadline));
	else if (call->status == JIT_PENDING && least < asked_usecs(request, jit_begins(request, jit_now())))
		jit_explain_line(call->rsinfo, _("  would be given now: %s"), jit_usecs_text(least));
	if (call->status == JIT_ACTIVE)
		jit_explain_line(call->rsinfo, _("  left: %s"),
						 jit_usecs_text((deadline - jit_now()) / USECS_PER_SEC * USECS_PER_SEC));
}

/* An event of the request. */
typedef struct ShownEvent
{
	TimestampTz at;
	char	   *event;
	char	   *role;
	char	   *login;
	char	   *via;
	char	   *reason;
	char	   *drift;
	char	   *step;
	TimestampTz starts_at;
	TimestampTz expires_at;
} ShownEvent;

static void
show_events(ShowCall *call)
{
	JitOwnerSection section;
	ShownEvent *events;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT at, event, role, login,"
				  " CASE WHEN event NOT IN ('requested', 'approved') THEN detail ->> 'reason' END,"
				  " detail ->> 'drift', detail ->> 'step', (detail ->> 'expires_at')::timestamptz, via,"
				  " CASE event WHEN 'scheduled' THEN (detail ->> 'starts_at')::timestamptz END"
				  " FROM jit.events WHERE request_id = $1 ORDER BY at, id",
				  "i", call->request->id);
	events = palloc0(Max(n, 1) * sizeof(ShownEvent));
	for (int i = 0; i < n; i++)
	{
		events[i].at = jit_result_time(i + 1, 1);
		events[i].event = jit_result_text(i + 1, 2);
		events[i].role = jit_result_text(i + 1, 3);
		events[i].login = jit_result_text(i + 1, 4);
		events[i].reason = jit_result_text(i + 1, 5);
		events[i].drift = jit_result_text(i + 1, 6);
		events[i].step = jit_result_text(i + 1, 7);
		events[i].expires_at = jit_result_time(i + 1, 8);
		events[i].via = jit_result_text(i + 1, 9);
		events[i].starts_at = jit_result_time(i + 1, 10);
	}
	jit_leave_owner_section(&section);

	for (int i = 0; i < n; i++)
	{
		ShownEvent *event = &events[i];
		StringInfoData buf;

		initStringInfo(&buf);
		appendStringInfo(&buf, "%s: %s", jit_timestamp_text(event->at), jit_shown(event->event));
		if (event->role != NULL)
			appendStringInfo(&buf, _(" by %s"), quote_identifier(event->role));
		if (event->login != NULL && event->role != NULL && strcmp(event->login, event->role) != 0)
			appendStringInfo(&buf, _(" (login %s)"), quote_identifier(event->login));
		if (event->via != NULL)
			appendStringInfo(&buf, _(" (via %s)"), jit_shown(event->via));
		if (event->step != NULL)
			appendStringInfo(&buf, _(", step %s"), jit_shown(event->step));
		if (event->starts_at != DT_NOEND)
			appendStringInfo(&buf, _(", from %s"), jit_timestamp_text(event->starts_at));
		if (event->expires_at != DT_NOEND)
			appendStringInfo(&buf, _(", until %s"), jit_timestamp_text(event->expires_at));
		if (event->drift != NULL)
			appendStringInfo(&buf, ": %s", jit_shown(event->drift));
		jit_explain_line(call->rsinfo, "  %s", buf.data);
		if (event->reason != NULL)
			show_text(call, 4, event->reason);
	}
	if (n == 0)
		jit_explain_line(call->rsinfo, _("  nothing is on record"));
}

/* What of the item the grantee has for good, and through which role. */
static bool
show_standing(ShowCall *call, const JitItem *item)
{
	Oid			grantee = call->request->grantee;
	JitItem		part = *item;
	char	   *source;

	part.privs = 0;
	for (int i = 0; i < JIT_N_PRIVILEGES; i++)
	{
		JitItem		one = *item;

		one.privs = item->privs & jit_privilege_names[i].priv;
		if (one.privs != 0 && jit_item_held(&one, grantee, JIT_FILTER_STANDING, jit_now()))
			part.privs |= one.privs;
	}
	if (item->objtype == OBJECT_ROLE ?
		!jit_item_held(item, grantee, JIT_FILTER_STANDING, jit_now()) : part.privs == 0)
		return false;
	source = jit_item_source(&part, grantee);
	if (superuser_arg(grantee))
		jit_explain_line(call->rsinfo, _("  %s for good, as a superuser"), jit_item_text(&part));
	else if (source == NULL || strcmp(source, jit_role_name(grantee)) == 0)
		jit_explain_line(call->rsinfo, _("  %s for good"), jit_item_text(&part));
	else
		jit_explain_line(call->rsinfo, _("  %s for good, through %s"), jit_item_text(&part),
						 quote_identifier(source));
	return true;
}

/* Live access of the grantee's, or of a group of theirs, to the same objects. */
static bool
show_other_requests(ShowCall *call)
{
	JitRequest *request = call->request;
	JitOwnerSection section;
	List	   *roles = jit_role_closure(request->grantee, JIT_CLOSURE_MEMBERS,
										 JIT_FILTER_STANDING, jit_now());
	Datum	   *grantees = palloc(Max(list_length(roles), 1) * sizeof(Datum));
	Datum	   *objects = palloc(Max(list_length(request->items), 1) * sizeof(Datum));
	List	   *lines = NIL;
	int			nobjects = 0;
	int			n;
	TimestampTz *deadlines;
	ListCell   *lc;

	foreach(lc, roles)
		grantees[foreach_current_index(lc)] = ObjectIdGetDatum(lfirst_oid(lc));
	foreach(lc, request->items)
	{
		JitItem    *item = lfirst(lc);

		if (!item->added)
			objects[nobjects++] = ObjectIdGetDatum(item->address.objectId);
	}

	jit_enter_owner_section(&section);
	n = jit_query("SELECT g.request_id, a.rolvaliduntil, g.grantee_oid,"
				  "  (SELECT string_agg(l.line, '; ' ORDER BY l.item) FROM jit.request_lines l"
				  "   WHERE l.request_id = g.request_id AND l.objid = ANY ($4))"
				  " FROM jit.grants g JOIN jit.requests r ON r.id = g.request_id"
				  "  JOIN pg_authid a ON a.oid = g.role_oid AND a.rolname = g.role"
				  " WHERE g.grantee_oid = ANY ($2) AND r.origin = $3 AND g.ended_at IS NULL AND g.request_id <> $1"
				  "  AND isfinite(a.rolvaliduntil) AND a.rolvaliduntil > clock_timestamp() AND g.objids && $4"
				  " ORDER BY a.rolvaliduntil DESC, g.request_id",
				  "iOtO", request->id,
				  PointerGetDatum(construct_array(grantees, list_length(roles), OIDOID, sizeof(Oid), true, TYPALIGN_INT)),
				  jit_origin(),
				  PointerGetDatum(construct_array(objects, nobjects, OIDOID, sizeof(Oid), true, TYPALIGN_INT)));
	deadlines = palloc(Max(n, 1) * sizeof(TimestampTz));
	for (int i = 1; i <= n; i++)
	{
		Oid			grantee = jit_result_oid(i, 3);
		char	   *line = jit_result_text(i, 4);

		deadlines[i - 1] = jit_result_time(i, 2);
		lines = lappend(lines, psprintf(_("%s by request %d%s"), line ? line : "?",
										jit_result_int(i, 1), grantee == request->grantee ? "" :
										psprintf(_(", through %s"), quote_identifier(jit_role_name(grantee)))));
	}
	jit_leave_owner_section(&section);

	foreach(lc, lines)
		jit_explain_line(call->rsinfo, _("  %s, until %s"), (char *) lfirst(lc),
						 jit_timestamp_text(deadlines[foreach_current_index(lc)]));
	return lines != NIL;
}

static void
show_others(ShowCall *call)
{
	JitRequest *request = call->request;
	bool		any = false;
	ListCell   *lc;

	jit_load_request_items(request, true);
	if (OidIsValid(request->grantee))
	{
		foreach(lc, request->items)
			any |= show_standing(call, lfirst(lc));
		any |= show_other_requests(call);
	}
	if (!any)
		jit_explain_line(call->rsinfo, _("  nothing"));
}

/* Does the text lack what the pattern of a risk asks for? */
static bool
mismatches(const char *value, const char *pattern)
{
	return pattern != NULL &&
		(value == NULL ||
		 !DatumGetBool(DirectFunctionCall2Coll(textregexeq, C_COLLATION_OID,
											   CStringGetTextDatum(value),
											   CStringGetTextDatum(pattern))));
}

/* What policies and flows would ask for more than they did when it was filed. */
static void
show_stricter(ShowCall *call)
{
	JitRequest *request = call->request;
	JitRisk		risk = jit_risk_by_name(request->risk);
	JitOwnerSection section;
	JitDecision *decision;
	JitProgress progress;
	TimestampTz requested_at;
	Jsonb	   *facts;
	List	   *then = NIL;
	char	   *now;
	bool		isnull;
	bool		any = false;
	int64		longest;
	ListCell   *lc;

	jit_enter_owner_section(&section);
	(void) jit_query("SELECT facts, requested_at FROM jit.requests WHERE id = $1", "i", request->id);
	facts = DatumGetJsonbPCopy(jit_result(1, 1, &isnull));
	requested_at = jit_result_time(1, 2);
	jit_leave_owner_section(&section);

	jit_load_request_items(request, true);
	decision = jit_decide_by_facts(jit_refresh_facts(facts, request));
	foreach(lc, decision->policies)
	{
		JitPolicyResult *policy = lfirst(lc);

		if (!policy->matched || policy->risk <= risk)
			continue;
		any = true;
		jit_explain_line(call->rsinfo, _("  risk %s, by policy %s"), jit_risk_name(policy->risk),
						 quote_identifier(policy->name));
	}
	if (!any && decision->risk > risk)
	{
		any = true;
		jit_explain_line(call->rsinfo, _("  risk %s (jit_access.default_risk)"),
						 jit_risk_name(decision->risk));
	}
	if (decision->forbidden_by != NULL)
		return;

	for (int number = 1; number <= (int) JB_ROOT_COUNT(request->flow); number++)
		then = lappend(then, jit_step_progress(request, number, &progress));
	now = jit_steps_text(decision->steps);
	if (decision->steps != NIL && strcmp(now, jit_join(then, _(", then "))) != 0)
	{
		any = true;
		jit_explain_line(call->rsinfo, _("  it would take %s"), now);
	}
	longest = Min(decision->max_duration, (int64) jit_max_duration * USECS_PER_SEC);
	if (asked_usecs(request, jit_begins(request, requested_at)) > longest)
	{
		any = true;
		jit_explain_line(call->rsinfo, _("  at most %s"), jit_usecs_text(longest));
	}
	if (mismatches(request->reason, decision->reason_pattern))
	{
		any = true;
		jit_explain_line(call->rsinfo, _("  a reason that matches \"%s\""),
						 jit_shown(decision->reason_pattern));
	}
	if (mismatches(request->ticket, decision->ticket_pattern))
	{
		any = true;
		jit_explain_line(call->rsinfo, _("  a ticket that matches \"%s\""),
						 jit_shown(decision->ticket_pattern));
	}
	if (!any)
		jit_explain_line(call->rsinfo, _("  nothing"));
}

/* ----------------------------------------------------------------------
 * The SQL function
 * ----------------------------------------------------------------------
 */

/* What would be, or was, run, whole; and what its text doesn't say. */
static void
show_statement(ShowCall *call)
{
	JitRequest *request = call->request;
	ListCell   *lc;

	show_text(call, 4, request->statement);
	if (request->runs == 0)
		jit_explain_line(call->rsinfo, _("  it only reads: as often as one likes"));
	else
		jit_explain_line(call->rsinfo, _("  run %d of %d times"), request->ran, request->runs);
	foreach(lc, request->here ? jit_statement_notes(request) : NIL)
		jit_explain_line(call->rsinfo, "  %s", jit_shown(lfirst(lc)));
}

static void
try_to_show(void *arg)
{
	ShowCall   *call = arg;

	call->section(call);
}

/* One section, whatever is wrong with what it is about. */
static void
show_section(ShowCall *call, const char *title, void (*section) (ShowCall *call))
{
	ErrorData  *error;

	if (title != NULL)
		jit_explain_line(call->rsinfo, "%s", _(title));
	call->section = section;
	error = jit_try(try_to_show, call);
	if (error == NULL)
		return;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	jit_explain_line(call->rsinfo, _("  cannot be told: %s"), jit_shown(error->message));
}

/* jit_show(request) */
Datum
jit_show(PG_FUNCTION_ARGS)
{
	ShowCall	call = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo};
	JitPerson	person;

	(void) jit_open_ledger();
	if (PG_ARGISNULL(0))
		jit_refuse_null("request");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	call.request = jit_load_request(PG_GETARG_INT32(0), false);
	if (GetUserId() != GetOuterUserId())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("you cannot see %s", jit_request_text(call.request->id)),
				 errdetail("It cannot be shown from inside a SECURITY DEFINER function.")));
	jit_current_person(&person);
	jit_check_concerned(call.request, &person, gettext_noop("you cannot see %s"));

	call.status = jit_present_status(call.request);
	load_reviews(&call);
	jit_explain_line(call.rsinfo, _("Request %d in %s"), call.request->id,
					 quote_identifier(jit_database_name()));
	show_section(&call, NULL, show_request);
	if (call.request->statement != NULL)
		show_section(&call, gettext_noop("Statement"), show_statement);
	show_section(&call, gettext_noop("Items"), show_items);
	show_section(&call, gettext_noop("Risk when it was filed"), show_risk);
	show_section(&call, gettext_noop("Flow"), show_steps);
	show_section(&call, NULL, show_other_reviews);
	show_section(&call, gettext_noop("Duration"), show_duration);
	show_section(&call, gettext_noop("What happened"), show_events);
	show_section(&call, gettext_noop("What else the grantee has of it"), show_others);
	show_section(&call, gettext_noop("Stricter if it were filed now"), show_stricter);
	return (Datum) 0;
}
