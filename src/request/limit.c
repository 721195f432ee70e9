/*-------------------------------------------------------------------------
 *
 * limit.c
 *		How much one grantee may have at once.
 *
 * jit_access.max_active is a limit of the cluster, so memberships in live
 * grant roles are counted, not rows of a ledger.  They are looked at three
 * times: when a request is filed and when it becomes active, so that people
 * hear of it early, and under the cluster's lock before the grantee becomes a
 * member, where nothing can come between.
 *
 * Scheduled ones count in the database that they are of: what of theirs there is no
 * room for when it is to start lapses.
 *
 * What a later grant continues isn't counted: it conveys no more than that one
 * does, and ends sooner.  So that nobody has thousands that way, there are
 * twice as many at most, those included.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/commit.h"
#include "base/guc.h"
#include "base/item.h"
#include "base/query.h"
#include "base/text.h"
#include "request/grant.h"
#include "request/limit.h"

#define MAX_NAMED 3				/* requests in a hint */

/* A live grant of the grantee, or what is to be one. */
typedef struct Live
{
	Oid			role;			/* InvalidOid if it isn't made yet */
	TimestampTz deadline;
	List	   *conveyed;		/* roles that it is in */
	uint64		bits;			/* one for each of them, many share one */
	bool		covered;		/* does another continue it? */
	bool		covers;
} Live;

/* Live grant roles that the grantee is a member of. */
static List *
live_grants(Oid grantee)
{
	TimestampTz now = jit_now();
	List	   *grants = NIL;
	ListCell   *lc;

	foreach(lc, jit_direct_memberships(grantee))
	{
		if (jit_role_kind_by_oid(lfirst_oid(lc)) == JIT_ROLE_GRANT &&
			jit_role_deadline(lfirst_oid(lc)) > now)
			grants = lappend_oid(grants, lfirst_oid(lc));
	}
	/* from 16 on there may be several memberships in one role */
	list_sort(grants, list_oid_cmp);
	list_deduplicate_oid(grants);
	return grants;
}

/* How many more this transaction will make.  Inside an owner section. */
static int
count_promised(Oid grantee)
{
	List	   *ids = jit_promised_to(grantee);
	Datum	   *numbers = palloc(Max(list_length(ids), 1) * sizeof(Datum));
	ListCell   *lc;

	if (ids == NIL)
		return 0;
	foreach(lc, ids)
		numbers[foreach_current_index(lc)] = Int32GetDatum(lfirst_int(lc));
	jit_query("SELECT count(*)::int FROM jit.requests WHERE id = ANY ($1) AND status = 'active'",
			  "I", PointerGetDatum(construct_array(numbers, list_length(ids), INT4OID,
												   sizeof(int32), true, TYPALIGN_INT)));
	return jit_result_int(1, 1);
}

/* Others that are scheduled for the grantee here.  Inside an owner section. */
static int
count_scheduled(const JitRequest *request)
{
	jit_query("SELECT count(*)::int FROM jit.requests WHERE status = 'scheduled' AND grantee_oid = $1"
			  " AND origin = $2 AND id <> $3 AND lapses_at > $4",
			  "otiz", request->grantee, jit_origin(), request->id, jit_now());
	return jit_result_int(1, 1);
}

/*
 * Roles that a grant of the items would be in: those that are there, which is
 * all that another grant can be in.  Inside an owner section.
 */
static List *
would_convey(List *items)
{
	List	   *roles = NIL;
	ListCell   *lc;

	foreach(lc, items)
	{
		JitItem    *item = lfirst(lc);
		int			n;

		if (item->objtype == OBJECT_ROLE)
		{
			roles = lappend_oid(roles, item->address.objectId);
			continue;
		}
		n = jit_query("SELECT role_oid FROM jit.scopes WHERE classid = $1 AND objid = $2"
					  " AND attnums = $3 AND privileges = $4 AND origin = $5",
					  "ooSlt", item->address.classId, item->address.objectId,
					  jit_item_attnums(item), (int64) item->privs, jit_origin());
		for (int i = 1; i <= n; i++)
			roles = lappend_oid(roles, jit_result_oid(i, 1));
	}
	return roles;
}

/* Does "b" continue "a"? */
static bool
continues(const Live *b, const Live *a)
{
	if (b->deadline < a->deadline ||
		(b->deadline == a->deadline && OidIsValid(b->role) &&
		 (!OidIsValid(a->role) || b->role < a->role)))
		return false;
	return (a->bits & ~b->bits) == 0 &&
		list_difference_oid(a->conveyed, b->conveyed) == NIL;
}

static int
compare_deadlines(const void *a, const void *b)
{
	TimestampTz x = ((const Live *) a)->deadline;
	TimestampTz y = ((const Live *) b)->deadline;

	return x < y ? -1 : x > y;
}

/*
 * What to give back: of this database, or else of that of the first to end.
 * "wanted" is true of those that help.
 */
static char *
give_back_hint(const Live *live, int n, bool (*wanted) (const Live *))
{
	StringInfoData numbers;
	Oid			where = InvalidOid;
	int			first = 0;
	int			named = 0;

	initStringInfo(&numbers);
	for (int here = 1; here >= 0 && named == 0; here--)
	{
		for (int i = 0; i < n && named < MAX_NAMED; i++)
		{
			Oid			database;
			int			id;

			if (!OidIsValid(live[i].role) || !wanted(&live[i]) ||
				!jit_parse_grant_name(jit_role_name(live[i].role), &database, &id) ||
				(here ? database != MyDatabaseId : OidIsValid(where) && database != where))
				continue;
			where = database;
			if (named++ == 0)
				first = id;
			appendStringInfo(&numbers, "%s%d", named > 1 ? ", " : "", id);
		}
	}
	return named == 0 ? NULL :
		psprintf(_("Give back what is not needed any more. In %s the first to end are: %s. SELECT jit_revoke(%d); there ends the first of them."),
				 quote_identifier(jit_name_of_database(where)), numbers.data, first);
}

static bool
is_continued(const Live *live)
{
	return live->covered;
}

static bool
stands_alone(const Live *live)
{
	return !live->covered && !live->covers;
}

static bool
is_counted(const Live *live)
{
	return !live->covered;
}

/*
 * Why the grantee can't have the access of the request, until then, as well:
 * NULL, or a sentence.  Needs request->items, unless the grant role is there.
 */
char *
jit_why_no_room(const JitRequest *request, TimestampTz ends, char **hint)
{
	JitOwnerSection section;
	Oid			made = request->id > 0 ?
	get_role_oid(jit_grant_role_name(request->id), true) : InvalidOid;
	List	   *grants = live_grants(request->grantee);
	int			n = list_length(grants);
	int			counted = 0;
	int			promised = 0;
	int			scheduled;
	Live	   *live;
	ListCell   *lc;
	char	   *who;

	jit_enter_owner_section(&section);
	scheduled = count_scheduled(request);
	jit_leave_owner_section(&section);
	if (n + scheduled + (OidIsValid(made) ? 0 : list_length(jit_promised_to(request->grantee))) < jit_max_active)
		return NULL;

	live = palloc0((n + 1) * sizeof(Live));
	foreach(lc, grants)
	{
		live[foreach_current_index(lc)].role = lfirst_oid(lc);
		live[foreach_current_index(lc)].deadline = jit_role_deadline(lfirst_oid(lc));
		live[foreach_current_index(lc)].conveyed = jit_direct_memberships(lfirst_oid(lc));
	}
	live[n].role = made;
	live[n].deadline = ends;
	jit_enter_owner_section(&section);
	if (OidIsValid(made))
		live[n].conveyed = jit_direct_memberships(made);
	else
	{
		live[n].conveyed = would_convey(request->items);
		promised = count_promised(request->grantee);
	}
	jit_leave_owner_section(&section);
	for (int i = 0; i <= n; i++)
	{
		foreach(lc, live[i].conveyed)
			live[i].bits |= UINT64CONST(1) << (lfirst_oid(lc) % 64);
	}
	for (int i = 0; i <= n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j <= n && !live[i].covered; j++)
		{
			if (j != i && continues(&live[j], &live[i]))
				live[i].covered = live[j].covers = true;
		}
		if (!live[i].covered)
			counted++;
	}

	who = jit_name_now(request->grantee, request->grantee_name);
	if (counted <= jit_max_active && counted + scheduled > jit_max_active)
	{
		*hint = pstrdup(_("End some with jit_revoke(); see jit.scheduled."));
		return psprintf(_("%s has %d live and %d scheduled grants, and jit_access.max_active is %d."),
						who, counted - 1, scheduled, jit_max_active);
	}
	if (counted <= jit_max_active && n + promised < 2 * (int64) jit_max_active)
		return NULL;
	/* what it would continue is not there to be given back */
	qsort(live, n, sizeof(Live), compare_deadlines);
	if (counted > jit_max_active)
	{
		*hint = give_back_hint(live, n, stands_alone);
		if (*hint == NULL)
			*hint = give_back_hint(live, n, is_counted);
		return psprintf(ngettext("%s has %d live grant in all databases, and jit_access.max_active is %d.",
								 "%s has %d live grants in all databases, and jit_access.max_active is %d.",
								 counted - 1),
						who, counted - 1, jit_max_active);
	}
	*hint = give_back_hint(live, n, is_continued);
	return psprintf(ngettext("%s has %d live grant in all databases, with those that others continue, and jit_access.max_active, of which twice as many are allowed, is %d.",
							 "%s has %d live grants in all databases, with those that others continue, and jit_access.max_active, of which twice as many are allowed, is %d.",
							 n + promised),
					who, n + promised, jit_max_active);
}

/* Raise if it can't. */
void
jit_check_room(const JitRequest *request, TimestampTz ends)
{
	char	   *hint = NULL;
	char	   *why = jit_why_no_room(request, ends, &hint);

	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 request->id > 0 ?
				 errmsg("%s cannot become active", jit_request_text(request->id)) :
				 errmsg("too many live grants"),
				 errdetail_internal("%s", why),
				 hint ? errhint("%s", hint) : 0));
}
