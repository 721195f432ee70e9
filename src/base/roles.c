/*-------------------------------------------------------------------------
 *
 * roles.c
 *		Names of grant and scope roles, membership closures, deadlines.
 *
 * A closure is the list of roles that a role has the privileges of (or can
 * SET ROLE to, or is a member of), itself first.  PostgreSQL computes it in
 * roles_is_member_of(); ours differs in what it can leave out.  What is left
 * out conveys nothing: neither its own privileges nor those of roles that
 * are reached only through it.
 *
 * Closures read nothing but the system caches, so they work in parallel workers
 * and without a snapshot.  It is never asked whether to allow what PostgreSQL
 * has denied, except where jit_access itself decides: administrators,
 * auditors, approvers.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/roles.h"

#include "catalog/dependency.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_shdepend.h"
#include "utils/catcache.h"
#include "utils/inval.h"

/*
 * Counts invalidations of roles, memberships and databases.  Whoever caches
 * what a closure said notes this first, and trusts the cache only while it
 * stays the same.
 */
uint64		jit_roles_generation = 1;

/*
 * The session user, if it has no temporary access and no SET ROLE is in
 * force; forgotten when a role or membership changes.  While it is
 * the current user too, there is nothing for us to do, and to find that out
 * is all that most statements cost.  (Were a SET ROLE in force and the current
 * user still this one, as a function's owner, it would have its own rights.)
 */
Oid			jit_quiet_user = InvalidOid;

/* What kind of role bears this name?  Case matters, as in rolname. */
JitRoleKind
jit_role_kind(const char *rolname)
{
	if (strncmp(rolname, JIT_GRANT_PREFIX, strlen(JIT_GRANT_PREFIX)) == 0)
		return JIT_ROLE_GRANT;
	if (strncmp(rolname, JIT_SCOPE_PREFIX, strlen(JIT_SCOPE_PREFIX)) == 0)
		return JIT_ROLE_SCOPE;
	return JIT_ROLE_ORDINARY;
}

/* The same by OID; a role that isn't there is ordinary. */
JitRoleKind
jit_role_kind_by_oid(Oid roleid)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(roleid));
	JitRoleKind kind;

	if (!HeapTupleIsValid(tuple))
		return JIT_ROLE_ORDINARY;
	kind = jit_role_kind(NameStr(((Form_pg_authid) GETSTRUCT(tuple))->rolname));
	ReleaseSysCache(tuple);
	return kind;
}

/*
 * Take jit_grant_<database>_<request> apart; false if it isn't exactly that.
 */
bool
jit_parse_grant_name(const char *rolname, Oid *database, int *request)
{
	unsigned int db;
	int			number;
	char		again[NAMEDATALEN];

	if (sscanf(rolname, JIT_GRANT_PREFIX "%u_%d", &db, &number) != 2)
		return false;
	snprintf(again, sizeof(again), JIT_GRANT_PREFIX "%u_%d", db, number);
	if (strcmp(again, rolname) != 0 || number <= 0)
		return false;
	*database = (Oid) db;
	*request = number;
	return true;
}

/* The database of jit_scope_<database>_<n>; InvalidOid if it isn't exactly that. */
Oid
jit_scope_database(const char *rolname)
{
	unsigned int db;
	unsigned long number;
	char		again[NAMEDATALEN];

	if (sscanf(rolname, JIT_SCOPE_PREFIX "%u_%lu", &db, &number) != 2)
		return InvalidOid;
	snprintf(again, sizeof(again), JIT_SCOPE_PREFIX "%u_%lu", db, number);
	return strcmp(again, rolname) == 0 ? (Oid) db : InvalidOid;
}

/*
 * VALID UNTIL of a role.  None, an infinite one, and none because the role
 * isn't there are all DT_NOBEGIN: past.
 */
TimestampTz
jit_role_deadline(Oid roleid)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(roleid));
	TimestampTz deadline = DT_NOBEGIN;

	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = SysCacheGetAttr(AUTHOID, tuple,
											Anum_pg_authid_rolvaliduntil,
											&isnull);

		if (!isnull && !TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)))
			deadline = DatumGetTimestampTz(value);
		ReleaseSysCache(tuple);
	}
	return deadline;
}

/*
 * Can privileges of roles that this one is a member of reach it without SET
 * ROLE?  Mirrors has_rolinherit().
 */
bool
jit_role_inherits(Oid roleid)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(roleid));
	bool		result = false;

	if (HeapTupleIsValid(tuple))
	{
		result = JIT_ROLE_CAN_INHERIT((Form_pg_authid) GETSTRUCT(tuple));
		ReleaseSysCache(tuple);
	}
	return result;
}

/* Owner of this database, InvalidOid without a database. */
static Oid
database_owner(void)
{
	HeapTuple	tuple;
	Oid			owner;

	if (!OidIsValid(MyDatabaseId))
		return InvalidOid;
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_database) GETSTRUCT(tuple))->datdba;
	ReleaseSysCache(tuple);
	return owner;
}

/* Does the filter leave out otherid, seen as a role that memberid is in? */
static bool
filtered_out(Oid memberid, Oid otherid, JitClosureFilter filter,
			 TimestampTz now)
{
	if (filter == JIT_FILTER_NONE)
		return false;
	switch (jit_role_kind_by_oid(otherid))
	{
		case JIT_ROLE_ORDINARY:
			return false;
		case JIT_ROLE_GRANT:
			return filter == JIT_FILTER_STANDING ||
				jit_role_deadline(otherid) <= now;
		case JIT_ROLE_SCOPE:
			/* memberid is in the closure, so as a grant role it is live */
			return filter == JIT_FILTER_STANDING ||
				jit_role_kind_by_oid(memberid) != JIT_ROLE_GRANT;
	}
	return true;
}

/*
 * Membership closure of a role, the role itself first, in breadth-first
 * order.  Mirrors roles_is_member_of(), superusers being nothing special.
 * "now" matters for JIT_FILTER_LIVE only: grant roles whose deadline isn't
 * later are left out.  The list is in the current memory context.
 */
List *
jit_role_closure(Oid roleid, JitClosureKind kind, JitClosureFilter filter,
				 TimestampTz now)
{
	Oid			dba = database_owner();
	List	   *roles = list_make1_oid(roleid);
	ListCell   *lc;

	foreach(lc, roles)
	{
		Oid			memberid = lfirst_oid(lc);
		CatCList   *memlist;

		if (kind == JIT_CLOSURE_PRIVS && !jit_role_inherits(memberid))
			continue;

		memlist = SearchSysCacheList1(AUTHMEMMEMROLE,
									  ObjectIdGetDatum(memberid));
		for (int i = 0; i < memlist->n_members; i++)
		{
			Form_pg_auth_members form = (Form_pg_auth_members)
			GETSTRUCT(&memlist->members[i]->tuple);

			if (kind == JIT_CLOSURE_PRIVS && !JIT_MEMBERSHIP_INHERITS(form))
				continue;
			if (kind == JIT_CLOSURE_SET && !JIT_MEMBERSHIP_SETS(form))
				continue;
			if (list_member_oid(roles, form->roleid) ||
				filtered_out(memberid, form->roleid, filter, now))
				continue;
			roles = lappend_oid(roles, form->roleid);
		}
		ReleaseSysCacheList(memlist);

		if (memberid == dba && OidIsValid(dba))
			roles = list_append_unique_oid(roles, ROLE_PG_DATABASE_OWNER);
	}
	return roles;
}

/* Roles that a role is directly a member of. */
List *
jit_direct_memberships(Oid roleid)
{
	CatCList   *list = SearchSysCacheList1(AUTHMEMMEMROLE, ObjectIdGetDatum(roleid));
	List	   *roles = NIL;

	for (int i = 0; i < list->n_members; i++)
		roles = lappend_oid(roles,
							((Form_pg_auth_members) GETSTRUCT(&list->members[i]->tuple))->roleid);
	ReleaseSysCacheList(list);
	return roles;
}

/* Is that role a direct member of a grant role, or, for InvalidOid, is anybody? */
bool
jit_grant_has_member(Oid role, Oid member)
{
	CatCList   *members = SearchSysCacheList1(AUTHMEMROLEMEM,
											  ObjectIdGetDatum(role));
	bool		result = false;

	for (int i = 0; i < members->n_members; i++)
		result |= !OidIsValid(member) || member ==
			((Form_pg_auth_members) GETSTRUCT(&members->members[i]->tuple))->member;
	ReleaseSysCacheList(members);
	return result;
}

/*
 * Is member really a member of role, directly or not?  A role is a member of
 * itself.  Mirrors is_member_of_role_nosuper(), with a filter.
 */
bool
jit_is_member(Oid member, Oid role, JitClosureFilter filter)
{
	List	   *closure;
	bool		result;

	if (member == role)
		return true;
	closure = jit_role_closure(member, JIT_CLOSURE_MEMBERS, filter, jit_now());
	result = list_member_oid(closure, role);
	list_free(closure);
	return result;
}

/*
 * Has member ADMIN OPTION on role, by standing memberships?  Mirrors
 * is_admin_of_role(): superusers have it, no role has it on itself.
 */
bool
jit_holds_admin(Oid member, Oid role)
{
	List	   *closure;
	CatCList   *memlist;
	bool		result = false;

	if (superuser_arg(member))
		return true;
	if (member == role)
		return false;

	closure = jit_role_closure(member, JIT_CLOSURE_MEMBERS,
							   JIT_FILTER_STANDING, jit_now());
	memlist = SearchSysCacheList1(AUTHMEMROLEMEM, ObjectIdGetDatum(role));
	for (int i = 0; i < memlist->n_members && !result; i++)
	{
		Form_pg_auth_members form = (Form_pg_auth_members)
		GETSTRUCT(&memlist->members[i]->tuple);

		result = form->admin_option && list_member_oid(closure, form->member);
	}
	ReleaseSysCacheList(memlist);
	list_free(closure);
	return result;
}

/* Begin to read from pg_shdepend what depends on a role, in the whole cluster. */
void
jit_begin_role_depends(JitScan *scan, Oid roleid)
{
	jit_begin_scan(scan, SharedDependRelationId, SharedDependReferenceIndexId,
				   NULL, 2, Anum_pg_shdepend_refclassid, AuthIdRelationId,
				   Anum_pg_shdepend_refobjid, roleid);
}

/* Does anything belong to the role?  Then it isn't dropped. */
bool
jit_role_owns_something(Oid roleid)
{
	JitScan		scan;
	HeapTuple	tuple;
	bool		result = false;

	jit_begin_role_depends(&scan, roleid);
	while (!result && HeapTupleIsValid(tuple = jit_next_row(&scan)))
		result = ((Form_pg_shdepend) GETSTRUCT(tuple))->deptype == SHARED_DEPENDENCY_OWNER;
	jit_end_scan(&scan);
	return result;
}

/* Is the role a standing member of the role that a setting names? */
static bool
is_member_of_setting(Oid roleid, const char *setting)
{
	Oid			role;

	if (setting == NULL || setting[0] == '\0')
		return false;
	role = get_role_oid(setting, true);
	return OidIsValid(role) && jit_is_member(roleid, role, JIT_FILTER_STANDING);
}

/* Superuser, or a member of jit_access.admin_role? */
bool
jit_is_administrator(Oid roleid)
{
	return superuser_arg(roleid) ||
		is_member_of_setting(roleid, jit_admin_role);
}

/* A member of jit_access.auditor_role? */
bool
jit_is_auditor(Oid roleid)
{
	return is_member_of_setting(roleid, jit_auditor_role);
}

static void
roles_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	jit_roles_generation++;
	jit_quiet_user = InvalidOid;
}

/* Called from _PG_init() only. */
void
jit_init_roles(void)
{
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, roles_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMMEMROLE, roles_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, roles_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(DATABASEOID, roles_changed, (Datum) 0);
}
