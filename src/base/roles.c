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
 * What they are made from is kept until a role or membership changes.  The
 * system caches are no help there: until 17 they search all lists that they have
 * for each one that is asked for, and one person may have a thousand roles of
 * ours.
 *
 * Closures read nothing but the catalogs as of now, so they work in parallel
 * workers and without a snapshot.  It is never asked whether to allow what PostgreSQL
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
#include "common/hashfn.h"
#include "utils/catcache.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

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

/* The query role as which a statement is being run, in this process. */
static Oid	running_as = InvalidOid;

/* A membership, as the member sees it. */
typedef struct Membership
{
	Oid			role;
	JitRoleKind kind;
	TimestampTz deadline;		/* of a grant role */
	bool		inherits;
	bool		sets;
} Membership;

/* A role, with its memberships in others. */
typedef struct RoleNode
{
	Oid			role;			/* hash key */
	bool		inherits;		/* see jit_role_inherits() */
	JitRoleKind kind;
	int			n;
	Membership *memberships;
} RoleNode;

/* What was looked up as of that generation. */
static HTAB *nodes = NULL;
static MemoryContext nodes_context = NULL;
static uint64 nodes_generation = 0;

#define FEW_ROLES 16			/* found faster without a hash table */

/* Roles that are in a closure already. */
typedef struct Found
{
	Oid			role;
	char		status;
} Found;

#define SH_PREFIX found
#define SH_ELEMENT_TYPE Found
#define SH_KEY_TYPE Oid
#define SH_KEY role
#define SH_HASH_KEY(tb, key) murmurhash32(key)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* What kind of role bears this name?  Case matters, as in rolname. */
JitRoleKind
jit_role_kind(const char *rolname)
{
	if (strncmp(rolname, JIT_GRANT_PREFIX, strlen(JIT_GRANT_PREFIX)) == 0)
		return JIT_ROLE_GRANT;
	if (strncmp(rolname, JIT_SCOPE_PREFIX, strlen(JIT_SCOPE_PREFIX)) == 0)
		return JIT_ROLE_SCOPE;
	if (strncmp(rolname, JIT_QUERY_PREFIX, strlen(JIT_QUERY_PREFIX)) == 0)
		return JIT_ROLE_QUERY;
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

/* Take jit_query_<database>_<request>_<grantee> apart, likewise. */
bool
jit_parse_query_name(const char *rolname, Oid *database, int *request, Oid *grantee)
{
	unsigned int db;
	unsigned int whose;
	int			number;
	char		again[NAMEDATALEN];

	if (sscanf(rolname, JIT_QUERY_PREFIX "%u_%d_%u", &db, &number, &whose) != 3)
		return false;
	snprintf(again, sizeof(again), JIT_QUERY_PREFIX "%u_%d_%u", db, number, whose);
	if (strcmp(again, rolname) != 0 || number <= 0)
		return false;
	*database = (Oid) db;
	*request = number;
	*grantee = (Oid) whose;
	return true;
}

/*
 * As what kind of role may somebody act?  A query role is nobody's and is denied
 * everything, except while a statement that was approved runs as it.
 */
JitRoleKind
jit_acting_role_kind(Oid roleid)
{
	if (unlikely(OidIsValid(running_as)) && roleid == running_as)
		return JIT_ROLE_ORDINARY;
	return jit_role_kind_by_oid(roleid);
}

/* Is a statement that was approved being run? */
bool
jit_is_running(void)
{
	return OidIsValid(running_as);
}

/*
 * From here to jit_end_running_as() the role may act.  Whoever calls this sees to
 * it that the latter is called in any case.  What was found of the role before
 * is forgotten.
 */
void
jit_begin_running_as(Oid role)
{
	Assert(!OidIsValid(running_as));
	running_as = role;
	jit_roles_generation++;
	jit_quiet_user = InvalidOid;
}

void
jit_end_running_as(void)
{
	running_as = InvalidOid;
	jit_roles_generation++;
	jit_quiet_user = InvalidOid;
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

/* Memberships of a role as they are now, in the current memory context. */
static void
read_memberships(RoleNode *node)
{
	JitScan		scan;
	HeapTuple	tuple;
	int			room = 4;

	node->n = 0;
	node->memberships = palloc(room * sizeof(Membership));
	jit_begin_scan(&scan, AuthMemRelationId, AuthMemMemRoleIndexId, NULL, 1,
				   (int) Anum_pg_auth_members_member, node->role);
	while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		Form_pg_auth_members form = (Form_pg_auth_members) GETSTRUCT(tuple);
		Membership *m;

		if (node->n == room)
			node->memberships = repalloc(node->memberships, (room *= 2) * sizeof(Membership));
		m = &node->memberships[node->n++];
		m->role = form->roleid;
		m->inherits = JIT_MEMBERSHIP_INHERITS(form);
		m->sets = JIT_MEMBERSHIP_SETS(form);
	}
	jit_end_scan(&scan);
	for (Membership *m = node->memberships; m < node->memberships + node->n; m++)
	{
		m->kind = jit_role_kind_by_oid(m->role);
		m->deadline = m->kind == JIT_ROLE_GRANT ? jit_role_deadline(m->role) : 0;
	}
}

/*
 * A role with its memberships.  Good until the next call.
 */
static const RoleNode *
find_node(Oid role)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(RoleNode)};
	uint64		generation = jit_roles_generation;
	RoleNode   *node;
	RoleNode	read = {.role = role};
	Membership *kept;

	if (nodes == NULL || nodes_generation != generation)
	{
		if (nodes_context == NULL)
			nodes_context = AllocSetContextCreate(CacheMemoryContext, "jit_access roles",
												  ALLOCSET_DEFAULT_SIZES);
		nodes = NULL;
		MemoryContextReset(nodes_context);
		ctl.hcxt = nodes_context;
		nodes = hash_create("jit_access roles", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		nodes_generation = generation;
	}
	node = hash_search(nodes, &role, HASH_FIND, NULL);
	if (node != NULL)
		return node;

	read.kind = jit_role_kind_by_oid(role);
	read.inherits = jit_role_inherits(role);
	read_memberships(&read);
	/* if something has changed meanwhile, the next call looks again */
	kept = MemoryContextAlloc(nodes_context, Max(read.n, 1) * sizeof(Membership));
	memcpy(kept, read.memberships, read.n * sizeof(Membership));
	pfree(read.memberships);
	read.memberships = kept;
	node = hash_search(nodes, &role, HASH_ENTER, NULL);
	*node = read;
	return node;
}

/* Does the filter leave out a membership, seen from the member? */
static bool
filtered_out(const RoleNode *member, const Membership *m, JitClosureFilter filter,
			 TimestampTz now)
{
	if (filter == JIT_FILTER_NONE)
		return false;
	switch (m->kind)
	{
		case JIT_ROLE_ORDINARY:
			return false;
		case JIT_ROLE_GRANT:
			return filter == JIT_FILTER_STANDING || m->deadline <= now;
		case JIT_ROLE_SCOPE:
			/* the member is in the closure, so as a grant role it is live */
			return filter == JIT_FILTER_STANDING || member->kind != JIT_ROLE_GRANT;
		case JIT_ROLE_QUERY:
			return true;
	}
	return true;
}

/* Is the role none of these, which are few, or else in "found" as well? */
static bool
is_new(const List *roles, struct found_hash **found, Oid role)
{
	bool		known;
	ListCell   *lc;

	if (list_length(roles) <= FEW_ROLES)
		return !list_member_oid(roles, role);
	if (*found == NULL)
	{
		*found = found_create(CurrentMemoryContext, 4 * FEW_ROLES, NULL);
		foreach(lc, roles)
			(void) found_insert(*found, lfirst_oid(lc), &known);
	}
	(void) found_insert(*found, role, &known);
	return !known;
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
	found_hash *found = NULL;
	ListCell   *lc;

	foreach(lc, roles)
	{
		const RoleNode *member = find_node(lfirst_oid(lc));

		if (kind == JIT_CLOSURE_PRIVS && !member->inherits)
			continue;
		for (int i = 0; i < member->n; i++)
		{
			const Membership *m = &member->memberships[i];

			if (kind == JIT_CLOSURE_PRIVS && !m->inherits)
				continue;
			if (kind == JIT_CLOSURE_SET && !m->sets)
				continue;
			if (filtered_out(member, m, filter, now))
				continue;
			if (is_new(roles, &found, m->role))
				roles = lappend_oid(roles, m->role);
		}
		if (lfirst_oid(lc) == dba && OidIsValid(dba) &&
			is_new(roles, &found, ROLE_PG_DATABASE_OWNER))
			roles = lappend_oid(roles, ROLE_PG_DATABASE_OWNER);
	}
	if (found != NULL)
		found_destroy(found);
	return roles;
}

/* Roles that a role is directly a member of. */
List *
jit_direct_memberships(Oid roleid)
{
	const RoleNode *node = find_node(roleid);
	List	   *roles = NIL;

	for (int i = 0; i < node->n; i++)
		roles = lappend_oid(roles, node->memberships[i].role);
	return roles;
}

/* Is it for that role that a query role runs a statement? */
static bool
runs_for(Oid role, Oid grantee)
{
	char	   *name = jit_role_kind_by_oid(role) == JIT_ROLE_QUERY ? GetUserNameFromId(role, true) : NULL;
	Oid			database;
	int			request;
	Oid			whose;

	return name != NULL && jit_parse_query_name(name, &database, &request, &whose) &&
		whose == grantee;
}

/*
 * Is that role a direct member of a grant role, or does the member run a
 * statement for it?  Or, for InvalidOid, is anybody a member?
 */
bool
jit_grant_has_member(Oid role, Oid member)
{
	CatCList   *members = SearchSysCacheList1(AUTHMEMROLEMEM,
											  ObjectIdGetDatum(role));
	bool		result = false;

	for (int i = 0; i < members->n_members; i++)
	{
		Oid			is = ((Form_pg_auth_members) GETSTRUCT(&members->members[i]->tuple))->member;

		result = result || !OidIsValid(member) || member == is || runs_for(is, member);
	}
	ReleaseSysCacheList(members);
	return result;
}

/*
 * Is member really a member of role, directly or not?  A role is a member of
 * itself.  Mirrors is_member_of_role_nosuper(), with a filter.  A view asks
 * for the same few members in each row, so closures that don't depend on the
 * time are kept until roles change.
 */
bool
jit_is_member(Oid member, Oid role, JitClosureFilter filter)
{
	static struct
	{
		Oid			member;
		JitClosureFilter filter;
		uint64		generation;
		List	   *closure;
	}			kept[4];
	static int	next = 0;
	List	   *closure;
	MemoryContext context;
	uint64		generation = jit_roles_generation;
	bool		result;

	if (member == role)
		return true;
	for (int i = 0; i < (int) lengthof(kept); i++)
	{
		if (kept[i].member == member && kept[i].filter == filter &&
			kept[i].generation == generation)
			return list_member_oid(kept[i].closure, role);
	}
	closure = jit_role_closure(member, JIT_CLOSURE_MEMBERS, filter, jit_now());
	result = list_member_oid(closure, role);
	if (filter != JIT_FILTER_LIVE)
	{
		kept[next].generation = 0;
		list_free(kept[next].closure);
		kept[next].closure = NIL;
		context = MemoryContextSwitchTo(TopMemoryContext);
		kept[next].closure = list_copy(closure);
		MemoryContextSwitchTo(context);
		kept[next].member = member;
		kept[next].filter = filter;
		kept[next].generation = generation;
		next = (next + 1) % lengthof(kept);
	}
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
