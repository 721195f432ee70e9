/*-------------------------------------------------------------------------
 *
 * grant.c
 *		Making grants: the only file that creates roles and privileges.
 *
 * One transaction, in an owner section:
 *
 *	1. the grant role, with the deadline
 *	2. a scope role per object item: one that exists and still is what it was
 *	   made to be, or a new one, which gets its privileges and is checked by
 *	   OID for having them; the grant role becomes a member of it, and of
 *	   the requested roles; the row of jit.grants
 *	3. the grantee becomes a member of the grant role
 *
 * Of a statement that is to be run, the member is in place of the grantee a role
 * of its own, made in step 1, which bears the numbers of the request and of the
 * grantee in its name: nobody is a member of it, and it may act only inside
 * jit_run() (jit_acting_role_kind()).  So whatever ends a grant ends that, too.
 *
 * All of it right before the commit: giving.c says when.  abort, or a crash
 * before the commit: nothing of it happened.  After the commit, all of it, in
 * every database: roles are shared.
 *
 * Names prove nothing, since a role manager can make or rename roles: so roles
 * are created with plain CREATE ROLE, never adopted.  Everything is made as
 * the bootstrap superuser, so no approver becomes a grantor of record.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/changes.h"
#include "base/clock.h"
#include "base/due.h"
#include "base/guc.h"
#include "base/item.h"
#include "base/query.h"
#include "base/text.h"
#include "request/grant.h"
#include "request/scope.h"

#include "catalog/dependency.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_parameter_acl.h"
#include "catalog/pg_shdepend.h"
#include "commands/comment.h"
#include "commands/user.h"
#include "nodes/makefuncs.h"
#include "utils/catcache.h"

#define MAX_GRANT_TRIES 5
#define MAX_UNUSED 100			/* scope roles on one object */

/* Name of the grant role of a request of this database. */
char *
jit_grant_role_name(int request)
{
	return psprintf(JIT_GRANT_PREFIX "%u_%d", MyDatabaseId, request);
}

/* Name of the role that the statement of a request runs as. */
char *
jit_query_role_name(int request, Oid grantee)
{
	return psprintf(JIT_QUERY_PREFIX "%u_%d_%u", MyDatabaseId, request, grantee);
}

/* ----------------------------------------------------------------------
 * Roles
 * ----------------------------------------------------------------------
 */

/* CREATE ROLE name NOLOGIN INHERIT [VALID UNTIL ...]; COMMENT ON ROLE. */
static Oid
create_role(const char *name, TimestampTz valid_until, const char *comment)
{
	CreateRoleStmt *stmt = makeNode(CreateRoleStmt);
	Oid			oid;

	stmt->stmt_type = ROLESTMT_ROLE;
	stmt->role = pstrdup(name);
	if (!TIMESTAMP_NOT_FINITE(valid_until))
		stmt->options = list_make1(makeDefElem("validUntil",
											   (Node *) makeString(pstrdup(timestamptz_to_str(valid_until))), -1));
	oid = CreateRole(make_parsestate(NULL), stmt);
	CommandCounterIncrement();
	CreateSharedComments(oid, AuthIdRelationId, comment);
	return oid;
}

/* GRANT role TO member; SET ROLE only where asked for (from 16 on). */
static void
add_member(const char *role, const char *member, bool allow_set)
{
	GrantRoleStmt *stmt = makeNode(GrantRoleStmt);
	AccessPriv *priv = makeNode(AccessPriv);

	priv->priv_name = pstrdup(role);
	stmt->granted_roles = list_make1(priv);
	stmt->grantee_roles = list_make1(jit_role_spec(member));
	stmt->is_grant = true;
	stmt->behavior = DROP_RESTRICT;
	JIT_SET_MEMBERSHIP_OPTIONS(stmt, allow_set);
	JIT_GRANT_ROLE(stmt);
	CommandCounterIncrement();
}

/* ----------------------------------------------------------------------
 * Scope roles
 * ----------------------------------------------------------------------
 */

/*
 * Has the role, which is in no other, what the item asks for on one object or
 * column, and beyond what everybody has nothing else?
 */
static bool
has_exactly(Oid roleid, Oid classid, Oid objid, AttrNumber attnum,
			AclMode privs)
{
	AclMode		all = ACLITEM_ALL_PRIV_BITS | ACLITEM_ALL_GOPTION_BITS;
	AclMode		everybody = jit_object_aclmask(classid, objid, attnum,
											   list_make1_oid(ACL_ID_PUBLIC), all);
	AclMode		has = jit_object_aclmask(classid, objid, attnum,
										 list_make1_oid(roleid), all);

	return (has & privs) == privs && (has & ~everybody & ~privs) == 0;
}

/*
 * Does the role have what the item asks for, and appear in no other ACL of
 * the cluster, nor as an owner?  This also finds out that a GRANT by name has
 * met another object than the one meant.
 */
static bool
scope_is_item(Oid roleid, const JitItem *item)
{
	Oid			objid = item->objtype == OBJECT_PARAMETER_ACL ?
	ParameterAclLookup(item->parameter, true) : item->address.objectId;
	JitScan		scan;
	HeapTuple	tuple;
	bool		result = true;
	ListCell   *lc;

	if (!OidIsValid(objid))
		return false;
	if (item->attnums == NIL)
		result = has_exactly(roleid, item->address.classId, objid, 0, item->privs);
	foreach(lc, item->attnums)
		result = result && has_exactly(roleid, item->address.classId, objid,
									   lfirst_int(lc), item->privs);
	if (!result)
		return false;

	jit_begin_role_depends(&scan, roleid);
	while (result && HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(tuple);

		result = form->deptype == SHARED_DEPENDENCY_ACL &&
			(form->dbid == MyDatabaseId || form->dbid == InvalidOid) &&
			form->classid == item->address.classId && form->objid == objid &&
			(item->attnums == NIL ? form->objsubid == 0 :
			 list_member_int(item->attnums, form->objsubid));
	}
	jit_end_scan(&scan);
	return result;
}

/* Is the role of a row of jit.scopes still what it was made to be? */
static bool
scope_usable(Oid roleid, const char *name, const JitItem *item)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(roleid));
	Form_pg_authid form;
	CatCList   *memberships;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_authid) GETSTRUCT(tuple);
	result = strcmp(NameStr(form->rolname), name) == 0 &&
		!form->rolcanlogin && !form->rolsuper && form->rolinherit;
	ReleaseSysCache(tuple);

	/* in no other role, or it would convey more than the item */
	memberships = SearchSysCacheList1(AUTHMEMMEMROLE, ObjectIdGetDatum(roleid));
	result = result && memberships->n_members == 0;
	ReleaseSysCacheList(memberships);
	return result && scope_is_item(roleid, item);
}

typedef struct GrantCall
{
	const JitItem *item;
	const char *rolename;
} GrantCall;

static void
try_to_grant(void *arg)
{
	GrantCall  *call = arg;

	ExecuteGrantStmt(jit_item_grant_stmt(call->item, call->rolename));
	CommandCounterIncrement();
}

/*
 * GRANT, tried again if somebody else's GRANT on the object came between:
 * our own are kept apart by locks, others' aren't.  And if the ACL is full,
 * without those of ours in it that nobody uses.
 */
static void
grant_item(const JitItem *item, const char *rolename)
{
	GrantCall	call = {item, rolename};
	ErrorData  *error;
	int			tries = 1;

	while ((error = jit_try(try_to_grant, &call)) != NULL)
	{
		if (error->sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		{
			if (jit_make_room(item->address.classId, item->address.objectId, 0))
				continue;
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("%s could not be granted: %s", jit_item_text(item), error->message),
					 errdetail("Its access control list has no room left for what many hold on it."),
					 errhint("Ask for the whole object, or for the same columns as others do.")));
		}
		/* "tuple concurrently updated" has no SQLSTATE of its own */
		if (error->sqlerrcode != ERRCODE_INTERNAL_ERROR || tries >= MAX_GRANT_TRIES)
			ReThrowError(error);
		tries++;
	}
}

/* It isn't due then; see scope.c.  A sweeper may be writing to the row. */
static void
try_to_note_use(void *arg)
{
	jit_query("UPDATE jit.scopes SET unused_since = NULL WHERE ctid = ANY (ARRAY("
			  "SELECT ctid FROM jit.scopes WHERE role_oid = $1 FOR UPDATE SKIP LOCKED))",
			  "o", *(Oid *) arg);
}

/* The scope role for an item, made if need be. */
static Oid
scope_for_item(const JitItem *item)
{
	Oid			objid = item->address.objectId;
	char	   *name;
	Oid			roleid;
	bool		isnull;
	int			n;

	n = jit_query("SELECT role_oid, role, unused_since FROM jit.scopes WHERE classid = $1 AND objid = $2"
				  " AND attnums = $3 AND privileges = $4 AND origin = $5 ORDER BY role_oid",
				  "ooSlt", item->address.classId, objid,
				  jit_item_attnums(item), (int64) item->privs, jit_origin());
	for (int i = 1; i <= n; i++)
	{
		roleid = jit_result_oid(i, 1);
		name = jit_result_text(i, 2);
		if (!scope_usable(roleid, name, item))
			continue;
		if (jit_result_time(i, 3) != DT_NOEND)
			(void) jit_try(try_to_note_use, &roleid);
		return roleid;
	}

	do
	{
		jit_query("SELECT nextval('jit.scope_number')", "");
		name = psprintf(JIT_SCOPE_PREFIX "%u_" INT64_FORMAT, MyDatabaseId,
						DatumGetInt64(jit_result(1, 1, &isnull)));
	} while (OidIsValid(get_role_oid(name, true)));

	(void) jit_make_room(item->address.classId, objid, MAX_UNUSED);
	roleid = create_role(name, DT_NOEND,
						 psprintf("jit_access: %s in database %s", jit_item_text(item),
								  quote_identifier(jit_database_name())));
	CommandCounterIncrement();
	grant_item(item, name);
	if (!scope_is_item(roleid, item))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s could not be granted", jit_item_text(item)),
				 errhint("The object was probably renamed meanwhile; try again.")));
	if (item->objtype == OBJECT_PARAMETER_ACL)
		objid = ParameterAclLookup(item->parameter, false);
	jit_query("INSERT INTO jit.scopes (role_oid, role, classid, objid, attnums, privileges, origin)"
			  " VALUES ($1, $2, $3, $4, $5, $6, $7)",
			  "otooSlt", roleid, name, item->address.classId, objid,
			  jit_item_attnums(item), (int64) item->privs, jit_origin());
	return roleid;
}

/* ----------------------------------------------------------------------
 * Grants
 * ----------------------------------------------------------------------
 */

/*
 * Raise unless a role is in exactly these roles (AUTHMEMMEMROLE), or has
 * exactly these members (AUTHMEMROLEMEM).  GRANT goes by name, and somebody
 * may have exchanged the names of two roles meanwhile.
 */
static void
check_memberships(int cacheid, Oid roleid, List *expected)
{
	CatCList   *list = SearchSysCacheList1(cacheid, ObjectIdGetDatum(roleid));
	bool		result = list->n_members == list_length(expected);

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_auth_members form = (Form_pg_auth_members)
		GETSTRUCT(&list->members[i]->tuple);

		result = result &&
			list_member_oid(expected, cacheid == AUTHMEMMEMROLE ? form->roleid : form->member);
	}
	ReleaseSysCacheList(list);
	if (!result)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("memberships of role %s are not what was granted",
						quote_identifier(jit_role_name(roleid))),
				 errhint("A role was probably renamed meanwhile; try again.")));
}

/*
 * What runs on another grant of the grantee that the new one covers as well
 * may go on until the new one ends: scope roles are shared, so covering is a
 * matter of memberships.  One that yet another covers, which was given later,
 * needs no mention: what relies on it has heard of that one, or sees it.  So
 * this is linear in what a transaction does.
 */
static void
note_overlaps(Oid roleid, Oid grantee)
{
	List	   *conveyed = jit_direct_memberships(roleid);
	ListCell   *lc;

	List	   *noted = NIL;	/* what the noted ones convey */
	List	   *others = jit_direct_memberships(grantee);

	/* the newest first */
	list_sort(others, list_oid_cmp);
	for (int i = list_length(others) - 1; i >= 0; i--)
	{
		Oid			other = list_nth_oid(others, i);
		List	   *has;
		bool		covered = false;

		if (other == roleid || jit_role_kind_by_oid(other) != JIT_ROLE_GRANT)
			continue;
		has = jit_direct_memberships(other);
		if (list_difference_oid(has, conveyed) != NIL)
			continue;
		foreach(lc, noted)
			covered |= list_difference_oid(has, lfirst(lc)) == NIL;
		if (covered)
			continue;
		noted = lappend(noted, has);
		jit_note_grant_overlaps(other, roleid);
	}
}

/*
 * Make the grant of a request, but for its member: nobody has it yet.  Inside
 * an owner section; the caller holds jit_lock_items() and has checked
 * everything about it.  Raises if the name of the grant role is taken.
 */
void
jit_make_grant(int request, Oid grantee, List *items, TimestampTz expires_at,
			   const char *comment, bool statement)
{
	char	   *name = jit_grant_role_name(request);
	char	   *grantee_name = jit_role_name(grantee);
	Datum	   *objects = palloc(list_length(items) * sizeof(Datum));
	Datum	   *objids = palloc(list_length(items) * sizeof(Datum));
	List	   *conveyed = NIL;
	Oid			roleid;
	Oid			query = InvalidOid;
	int			n = 0;
	ListCell   *lc;

	Assert(GetUserId() == BOOTSTRAP_SUPERUSERID);
	if (OidIsValid(get_role_oid(name, true)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("role %s exists already", quote_identifier(name)),
				 errdetail("It was not made by jit_access for this request, so it is not used."),
				 errhint("A superuser can remove it with DROP ROLE %s.",
						 quote_identifier(name))));

	roleid = create_role(name, expires_at, comment);
	/* a deadline of its own, to be cleared away by */
	if (statement)
		query = create_role(jit_query_role_name(request, grantee), expires_at,
							psprintf("jit_access: runs the statement of request %d in database %s",
									 request, quote_identifier(jit_database_name())));
	CommandCounterIncrement();
	foreach(lc, items)
	{
		JitItem    *item = lfirst(lc);
		bool		is_role = item->objtype == OBJECT_ROLE;
		Oid			from = is_role ? item->address.objectId : scope_for_item(item);

		/* at once: the next one may have unused ones removed */
		add_member(jit_role_name(from), name, is_role);
		conveyed = lappend_oid(conveyed, from);
		if (!item->added)
		{
			objects[n] = CStringGetTextDatum(jit_item_object(item));
			objids[n++] = ObjectIdGetDatum(item->address.objectId);
		}
	}
	check_memberships(AUTHMEMMEMROLE, roleid, conveyed);

	jit_query("INSERT INTO jit.grants (request_id, role, grantee, granted_at, expires_at, objects, objids,"
			  " role_oid, grantee_oid, query_oid) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, nullif($10, 0))",
			  "ittzzTOooo", request, name, grantee_name, jit_now(), expires_at,
			  PointerGetDatum(construct_array(objects, n, TEXTOID, -1, false, TYPALIGN_INT)),
			  PointerGetDatum(construct_array(objids, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT)),
			  roleid, grantee, query);
}

/*
 * Give a grant that has been made to its grantee, who is locked.  The last
 * thing to do, under the cluster's lock, inside an owner section.
 */
void
jit_give_grant(int request, Oid grantee, List *items, bool statement)
{
	Oid			member = statement ?
	get_role_oid(jit_query_role_name(request, grantee), false) : grantee;

	Oid			roleid = get_role_oid(jit_grant_role_name(request), false);
	int64		before = jit_warn_before * USECS_PER_SEC;
	TimestampTz deadline;
	bool		has_role = false;
	ListCell   *lc;

	foreach(lc, items)
		has_role |= ((JitItem *) lfirst(lc))->objtype == OBJECT_ROLE;
	add_member(jit_grant_role_name(request), jit_role_name(member), has_role);
	check_memberships(AUTHMEMROLEMEM, roleid, list_make1_oid(member));
	note_overlaps(roleid, member);
	deadline = jit_role_deadline(roleid);
	jit_note_due(deadline - jit_now() >= 2 * before ? deadline - before : deadline);
}
