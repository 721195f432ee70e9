/*-------------------------------------------------------------------------
 *
 * remains.c
 *		What a role still has of some access, and by what.
 *
 * Told to whoever has ended a request, so that nobody takes for ended what
 * goes on otherwise: by another request, a privilege, a membership.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/clock.h"
#include "base/item.h"
#include "base/query.h"
#include "base/text.h"
#include "request/filing.h"
#include "request/remains.h"

#include "catalog/pg_class.h"

#define MAX_SOURCES_SHOWN 5
#define MAX_CLAUSES_SHOWN 3		/* of a REVOKE in a hint */

/* The part of the item with these privileges and columns. */
static List *
add_part(List *parts, const JitItem *item, AclMode privs, List *attnums)
{
	JitItem    *part = palloc(sizeof(JitItem));

	*part = *item;
	part->privs = privs;
	part->attnums = attnums;
	return lappend(parts, part);
}

/* What the closure has of some privileges; with "but", and that hasn't. */
static AclMode
held_by(const JitItem *item, AttrNumber attnum, List *closure, List *but, AclMode privs)
{
	Oid			objid = jit_item_acl_objid(item);
	AclMode		held = jit_object_aclmask(item->address.classId, objid, attnum, closure, privs);

	if (held != 0 && but != NIL)
		held &= ~jit_object_aclmask(item->address.classId, objid, attnum, but, held);
	return held;
}

/*
 * What of the item the closure has: the whole of some privileges, and some
 * columns of others.  PUBLIC is in every closure; with "but" what that has
 * is left out.
 */
static List *
parts_held(List *parts, const JitItem *item, List *closure, List *but)
{
	Oid			objid = item->address.objectId;
	AclMode		whole = held_by(item, 0, closure, but, item->privs);
	AclMode		rest = item->privs & ~whole;
	List	   *attnums[JIT_N_PRIVILEGES] = {NIL};

	if (whole != 0)
		parts = add_part(parts, item, whole, item->attnums);
	rest &= ACL_ALL_RIGHTS_COLUMN;
	if (but != NIL)
		rest &= ~held_by(item, 0, but, NIL, rest);
	if (rest == 0 || item->address.classId != RelationRelationId)
		return parts;
	for (int i = 0;; i++)
	{
		AttrNumber	attnum = i + 1;
		AclMode		held;

		if (item->attnums != NIL)
		{
			if (i == list_length(item->attnums))
				break;
			attnum = list_nth_int(item->attnums, i);
		}
		else if (!SearchSysCacheExists2(ATTNUM, ObjectIdGetDatum(objid), Int16GetDatum(attnum)))
			break;
		if (jit_column_name(objid, attnum) == NULL)
			continue;
		held = held_by(item, attnum, closure, but, rest);
		for (int k = 0; held != 0 && k < JIT_N_PRIVILEGES; k++)
		{
			if (held & jit_privilege_names[k].priv)
				attnums[k] = lappend_int(attnums[k], attnum);
		}
	}
	for (int k = 0; k < JIT_N_PRIVILEGES; k++)
	{
		if (attnums[k] != NIL)
			parts = add_part(parts, item, jit_privilege_names[k].priv, attnums[k]);
	}
	return parts;
}

/* What of the parts a source has, of JitRemains. */
static List *
add_source(List *sources, Oid role, TimestampTz ends, List *parts,
		   List *privs, List *but, List *members)
{
	JitRemains *source = palloc0(sizeof(JitRemains));
	ListCell   *lc;

	foreach(lc, parts)
	{
		JitItem    *part = lfirst(lc);

		if (part->objtype != OBJECT_ROLE)
			source->items = parts_held(source->items, part, privs, but);
		else if (list_member_oid(members, part->address.objectId))
			source->items = lappend(source->items, part);
	}
	if (source->items == NIL)
		return sources;
	source->role = role;
	source->ends = ends;
	return lappend(sources, source);
}

static int
compare_remains(const ListCell *a, const ListCell *b)
{
	TimestampTz x = ((JitRemains *) lfirst(a))->ends;
	TimestampTz y = ((JitRemains *) lfirst(b))->ends;

	return x < y ? 1 : x > y ? -1 : 0;
}

/*
 * What the grantee has of the items now, by each of its sources: what it has
 * for good first, then by the grant that ends last.
 */
List *
jit_remains(List *items, Oid grantee)
{
	TimestampTz now = jit_now();
	List	   *privs = jit_role_closure(grantee, JIT_CLOSURE_PRIVS, JIT_FILTER_LIVE, now);
	List	   *members = jit_role_closure(grantee, JIT_CLOSURE_MEMBERS, JIT_FILTER_LIVE, now);
	List	   *for_good = jit_role_closure(grantee, JIT_CLOSURE_MEMBERS, JIT_FILTER_STANDING, now);
	List	   *nobody = list_make1_oid(InvalidOid);
	List	   *parts = NIL;
	List	   *sources = NIL;
	ListCell   *lc;

	/* most often nothing of it is had, by anything */
	foreach(lc, items)
	{
		JitItem    *item = lfirst(lc);

		if (item->added)
			continue;
		if (item->objtype != OBJECT_ROLE)
			parts = parts_held(parts, item, list_concat_unique_oid(list_copy(nobody), privs), NIL);
		else if (list_member_oid(members, item->address.objectId))
			parts = lappend(parts, item);
	}
	if (parts == NIL)
		return NIL;

	/* of what everybody has nothing else is said */
	sources = add_source(sources, InvalidOid, DT_NOEND, parts, nobody, NIL, NIL);
	foreach(lc, for_good)
	{
		Oid			role = lfirst_oid(lc);
		bool		inherited = list_member_oid(privs, role);

		sources = add_source(sources, role, DT_NOEND, parts,
							 inherited ? list_make1_oid(role) : NIL, nobody,
							 role != grantee ? list_make1_oid(role) : NIL);
	}
	foreach(lc, members)
	{
		Oid			role = lfirst_oid(lc);

		if (jit_role_kind_by_oid(role) == JIT_ROLE_GRANT)
			sources = add_source(sources, role, jit_role_deadline(role), parts,
								 jit_role_closure(role, JIT_CLOSURE_PRIVS, JIT_FILTER_LIVE, now), nobody,
								 jit_role_closure(role, JIT_CLOSURE_MEMBERS, JIT_FILTER_LIVE, now));
	}
	list_sort(sources, compare_remains);
	return sources;
}

/* ----------------------------------------------------------------------
 * In words
 * ----------------------------------------------------------------------
 */

/* By which membership of its own the grantee is in the role, for good. */
static Oid
membership_in(Oid grantee, Oid role)
{
	ListCell   *lc;

	foreach(lc, jit_direct_memberships(grantee))
	{
		Oid			direct = lfirst_oid(lc);

		if (jit_role_kind_by_oid(direct) == JIT_ROLE_ORDINARY &&
			(direct == role || jit_is_member(direct, role, JIT_FILTER_STANDING)))
			return direct;
	}
	return InvalidOid;
}

/* The commands that take the items from a role, which has them itself. */
static char *
revoke_text(List *items, const char *role)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, items)
	{
		if (foreach_current_index(lc) == MAX_CLAUSES_SHOWN)
		{
			appendStringInfoString(&buf, " ...");
			break;
		}
		appendStringInfo(&buf, "%sREVOKE %s FROM %s;", buf.len > 0 ? " " : "",
						 jit_item_text(lfirst(lc)), role);
	}
	return buf.data;
}

static bool
owns_first(const JitRemains *source)
{
	JitItem    *item = linitial(source->items);

	return item->objtype != OBJECT_ROLE && item->objtype != OBJECT_PARAMETER_ACL &&
		jit_object_owner(item->address.classId, item->address.objectId) == source->role;
}

static void
warn_of_grant(const JitRemains *source, Oid grantee, const char *who, const char *what)
{
	Oid			database = InvalidOid;
	int			id = 0;
	bool		here;

	if (!jit_parse_grant_name(jit_role_name(source->role), &database, &id))
		return;
	here = database == MyDatabaseId;
	ereport(WARNING,
			(here ?
			 errmsg("%s still has %s by request %d, until %s", who, what, id,
					jit_timestamp_text(source->ends)) :
			 errmsg("%s still has %s by request %d in %s, until %s", who, what, id,
					quote_identifier(jit_name_of_database(database)),
					jit_timestamp_text(source->ends)),
			 jit_grant_has_member(source->role, grantee) ? 0 :
			 errdetail("It is for a role that %s is a member of.", who),
			 here ? errhint("To end that too: SELECT jit_revoke(%d);", id) :
			 errhint("To end that too, in database %s: SELECT jit_revoke(%d);",
					 quote_identifier(jit_name_of_database(database)), id)));
}

static void
warn_of_standing(const JitRemains *source, Oid grantee, const char *who, const char *what)
{
	Oid			direct;

	if (!OidIsValid(source->role))
		ereport(WARNING,
				(errmsg("%s still has %s, which is granted to PUBLIC", who, what),
				 errhint("To end that too: %s", revoke_text(source->items, "PUBLIC"))));
	else if (source->role == grantee)
		ereport(WARNING,
				(owns_first(source) ?
				 errmsg("%s still has %s as the owner", who, what) :
				 errmsg("%s still has %s, which is granted to it for good", who, what),
				 owns_first(source) ? 0 :
				 errhint("To end that too: %s", revoke_text(source->items, quote_identifier(jit_role_name(grantee))))));
	else
	{
		direct = membership_in(grantee, source->role);
		ereport(WARNING,
				(((JitItem *) linitial(source->items))->objtype == OBJECT_ROLE ?
				 errmsg("%s is still a member of role %s", who,
						quote_identifier(jit_role_name(source->role))) :
				 errmsg("%s still has %s through role %s", who, what,
						quote_identifier(jit_role_name(source->role))),
				 OidIsValid(direct) ?
				 errhint("To end that too: REVOKE %s FROM %s;",
						 quote_identifier(jit_role_name(direct)),
						 quote_identifier(jit_role_name(grantee))) : 0));
	}
}

/* The pending requests that extend it. */
static List *
pending_extensions(const JitRequest *request)
{
	JitOwnerSection section;
	List	   *extensions = NIL;
	List	   *ids = NIL;
	ListCell   *lc;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT id FROM jit.requests WHERE extends = $1 AND status = 'pending' AND lapses_at > $2"
				  " AND grantee_oid = $3 AND origin = $4 ORDER BY id",
				  "izot", request->id, jit_now(), request->grantee, jit_origin());
	for (int i = 1; i <= n; i++)
		ids = lappend_int(ids, jit_result_int(i, 1));
	jit_leave_owner_section(&section);
	foreach(lc, ids)
		extensions = lappend(extensions, jit_load_request(lfirst_int(lc), false));
	return extensions;
}

static void
warn_of_extension(JitRequest *extension)
{
	JitPerson	person;

	jit_current_person(&person);
	ereport(WARNING,
			(errmsg("%s, which extends it, is pending", jit_request_text(extension->id)),
			 jit_is_own(extension, &person) ?
			 errhint("To end that too: SELECT jit_cancel(%d);", extension->id) :
			 jit_caller_may_end_all(&person) || jit_could_end(extension, &person) ?
			 errhint("To end that too: SELECT jit_reject(%d, 'why');", extension->id) : 0));
}

typedef struct RemainsCall
{
	JitRequest	request;
	List	   *sources;		/* result, of JitRemains */
	List	   *extensions;		/* result, of JitRequest */
} RemainsCall;

static void
try_to_find_remains(void *arg)
{
	RemainsCall *call = arg;

	jit_load_request_items(&call->request, true);
	call->sources = jit_remains(call->request.items, call->request.grantee);
	call->extensions = pending_extensions(&call->request);
}

/*
 * What the request gave has been ended: say what its grantee has of that
 * still, or may get again, and how to end it.  That it can't be told is no reason not to end.
 */
void
jit_warn_of_remains(const JitRequest *request)
{
	RemainsCall call = {*request, NIL, NIL};
	char	   *who;
	int			more;
	ListCell   *lc;

	if (!OidIsValid(request->grantee) || jit_try(try_to_find_remains, &call) != NULL)
		return;
	who = jit_name_now(request->grantee, request->grantee_name);
	foreach(lc, call.sources)
	{
		JitRemains *source = lfirst(lc);
		char	   *what = jit_few_items_text(source->items);

		if (foreach_current_index(lc) == MAX_SOURCES_SHOWN)
			break;
		if (source->ends != DT_NOEND)
			warn_of_grant(source, request->grantee, who, what);
		else
			warn_of_standing(source, request->grantee, who, what);
	}
	more = list_length(call.sources) - MAX_SOURCES_SHOWN;
	if (more > 0)
		ereport(WARNING,
				(errmsg_plural("%s has it by %d more request, privilege or membership",
							   "%s has it by %d more requests, privileges or memberships",
							   more, who, more)));
	foreach(lc, call.extensions)
		warn_of_extension(lfirst(lc));
}
