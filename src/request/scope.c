/*-------------------------------------------------------------------------
 *
 * scope.c
 *		Removing scope roles that nobody uses.
 *
 * grant.c makes a scope role and its row of jit.scopes; later grants of the
 * same use it again.  It is
 *
 *	used		while it has a member that is a role of ours: a grant
 *	unused		from when a sweeper sees that it has none: unused_since
 *	due			after jit_access.keep_scopes of that; at once if it has no
 *				privilege on its object any more, which is gone, say, or if
 *				there are too many unused ones on it, or no room in its ACL
 *	gone		role, privileges and row, in one transaction
 *
 * and goes from the one to the other by
 *
 *	a grant that uses it		members, and unused_since is null again
 *	the end of a grant			if a sweeper ends it, that one sees it; else
 *								one comes within NOTICED_AFTER
 *	DROP of an object			the hook has a sweeper come
 *	a grant of something new	removes the unused ones on the same object if
 *								they are many: whoever asks for ever new sets
 *								of columns fills no ACL, and its owner's GRANT
 *								finds room
 *	keep_scopes is changed		the launcher has all databases visited
 *	DROP EXTENSION				removes all of the database
 *	DROP DATABASE				removes none; the launcher has a sweeper in
 *								another one do it
 *
 * Who takes it and who removes it hold the lock of jit_lock_items() on its
 * object until they have committed, and only then look whether it is there,
 * and whether it is used.  So no grant gets a role that is being dropped, and
 * unused_since may be wrong without harm.  Removing waits for no lock: what
 * is locked is left for RETRY_AFTER.
 *
 *	abort				nothing has happened; the next sweeper does it again
 *	kill, crash			the same; after a start all databases are visited
 *	standby				none there; it gets what is committed
 *	restore				the rows aren't dumped: roles that come with a dump are
 *						nobody's, and not dropped
 *	pg_upgrade			the rows come along, with another origin; they aren't
 *						used again, and removed
 *	role renamed		only without the library; then it stays
 *	object in several databases: CREATE DATABASE ... TEMPLATE copies ACLs. A
 *						role can only go when it is in none, so a sweeper of
 *						each database takes out what there is of unused roles
 *						of others, and then has these databases visited
 *
 * Names prove nothing, as a role manager can make roles: dropped are those
 * that our rows know by OID and name, and those that bear the OID of a
 * database that has gone.  Taking privileges away needs no proof: roles of that
 * prefix convey them through live grants only.  That it is gone has been seen by
 * the launcher, or it wasn't there at its start: roles of a database that a
 * restore hasn't come to yet look the same.  What can't be dropped is logged
 * once from one start of the server to the next.
 *
 * REVOKE has every plan made anew that uses the table, and all plans if it is
 * on a schema.  So there is one of each object for a batch, none where
 * pg_shdepend knows of no privilege, and a schema's roles wait until those of
 * all in it are gone.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/due.h"
#include "base/guc.h"
#include "base/item.h"
#include "base/lock.h"
#include "base/query.h"
#include "base/text.h"
#include "request/scope.h"

#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_shdepend.h"
#include "commands/user.h"
#include "utils/array.h"

#define BATCH_SIZE "250"		/* roles, so locks as well */
#define MAX_TRIES 5
#define NOTICED_AFTER 60		/* seconds, or keep_scopes if that is less */
#define RETRY_AFTER 300			/* seconds */
#define MAX_REMOVED 1000		/* at once, to make room */

/* Conditions on a role, by OID, and on a row s of jit.scopes. */
#define USED(role) \
	"EXISTS (SELECT FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.member" \
	" WHERE m.roleid = " role " AND starts_with(g.rolname, '" JIT_ROLE_PREFIX "'))"
#define HOLDS_SOMETHING \
	"EXISTS (SELECT FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = s.role_oid" \
	" AND d.deptype = 'a' AND d.classid = s.classid AND d.objid = s.objid" \
	" AND d.dbid IN (0, (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())))"

/* Due: $1 begins the names of our scopes, what is unused since $2 has to go */
#define DUE_SCOPES \
	" FROM jit.scopes s JOIN pg_authid a ON a.oid = s.role_oid AND a.rolname = s.role" \
	" WHERE starts_with(s.role, $1) AND NOT " USED("s.role_oid") \
	" AND (NOT " HOLDS_SOMETHING " OR s.unused_since <= $2" \
	"  AND NOT (s.classid = 'pg_namespace'::regclass AND EXISTS (SELECT FROM jit.scopes o" \
	"   LEFT JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid" \
	"   LEFT JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid" \
	"   LEFT JOIN pg_type t ON o.classid = 'pg_type'::regclass AND t.oid = o.objid" \
	"   WHERE s.objid IN (c.relnamespace, p.pronamespace, t.typnamespace)" \
	"    OR o.classid = s.classid AND o.objid = s.objid AND (o.unused_since > $2 OR o.unused_since IS NULL))))"

/* Names of this database's scope roles begin with it. */
static char *
our_prefix(void)
{
	return psprintf(JIT_SCOPE_PREFIX "%u_", MyDatabaseId);
}

static TimestampTz
seconds_after(TimestampTz at, int64 seconds)
{
	return at + seconds * USECS_PER_SEC;
}

/* A parameter of type oid[]. */
static Datum
oid_array(List *oids)
{
	Datum	   *values = palloc(list_length(oids) * sizeof(Datum));
	ListCell   *lc;

	foreach(lc, oids)
		values[foreach_current_index(lc)] = ObjectIdGetDatum(lfirst_oid(lc));
	return PointerGetDatum(construct_array(values, list_length(oids), OIDOID,
										   sizeof(Oid), true, TYPALIGN_INT));
}

/* A column of the last jit_query(), of n rows. */
static List *
result_oids(int n, int column)
{
	List	   *oids = NIL;

	for (int i = 1; i <= n; i++)
		oids = lappend_oid(oids, jit_result_oid(i, column));
	return oids;
}

/*
 * A grant ends when this transaction commits, and with it maybe the use of its
 * scopes: have a sweeper see that, but not one for each.
 */
void
jit_note_scopes_due(void)
{
	jit_note_due(seconds_after(jit_now(), Min(jit_keep_scopes, NOTICED_AFTER)));
}

/*
 * An object is about to be dropped: its scopes are due then.  So are those of a
 * database, elsewhere.
 */
void
jit_note_scopes_of_dropped(Oid classid, Oid objid)
{
	JitScan		scan;
	HeapTuple	tuple;
	bool		found = false;

	if (classid == DatabaseRelationId)
		jit_wake_launcher_at_commit();
	jit_begin_scan(&scan, SharedDependRelationId, SharedDependDependerIndexId, NULL, 3,
				   (int) Anum_pg_shdepend_dbid, MyDatabaseId,
				   (int) Anum_pg_shdepend_classid, classid,
				   (int) Anum_pg_shdepend_objid, objid);
	while (!found && HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(tuple);

		found = form->refclassid == AuthIdRelationId &&
			form->deptype == SHARED_DEPENDENCY_ACL &&
			jit_role_kind_by_oid(form->refobjid) == JIT_ROLE_SCOPE;
	}
	jit_end_scan(&scan);
	if (found)
		jit_note_due(jit_now());
}

/* ----------------------------------------------------------------------
 * Removing
 * ----------------------------------------------------------------------
 */

static void
try_to_revoke(void *arg)
{
	ExecuteGrantStmt(arg);
	CommandCounterIncrement();
}

/*
 * Take all privileges of these roles in this database and on shared objects,
 * one object in a subtransaction.  What hinders it is an error of the drop.
 */
static void
revoke_all(List *roleids)
{
	List	   *classes;
	List	   *objects;
	List	   *holders = NIL;
	ListCell   *lc;
	int			n;

	n = jit_query("SELECT classid, objid, array_agg(DISTINCT refobjid) FROM pg_shdepend"
				  " WHERE refclassid = 'pg_authid'::regclass AND refobjid = ANY ($1)"
				  " AND deptype = 'a' AND dbid IN (0, $2)"
				  " GROUP BY 1, 2 ORDER BY 1 = 'pg_namespace'::regclass, 1, 2",
				  "Oo", oid_array(roleids), MyDatabaseId);
	classes = result_oids(n, 1);
	objects = result_oids(n, 2);
	for (int i = 1; i <= n; i++)
	{
		bool		isnull;
		Datum	   *values;
		int			nvalues;
		List	   *oids = NIL;

		deconstruct_array(DatumGetArrayTypePCopy(jit_result(i, 3, &isnull)), OIDOID,
						  sizeof(Oid), true, TYPALIGN_INT, &values, NULL, &nvalues);
		for (int k = 0; k < nvalues; k++)
			oids = lappend_oid(oids, DatumGetObjectId(values[k]));
		holders = lappend(holders, oids);
	}
	foreach(lc, holders)
	{
		int			i = foreach_current_index(lc);
		ErrorData  *error;
		int			tries = 0;

		CHECK_FOR_INTERRUPTS();
		do
		{
			GrantStmt  *stmt = jit_revoke_all_stmt(list_nth_oid(classes, i),
												   list_nth_oid(objects, i), lfirst(lc));

			error = stmt ? jit_try(try_to_revoke, stmt) : NULL;
			/* "tuple concurrently updated" has no SQLSTATE of its own */
		} while (error != NULL && error->sqlerrcode == ERRCODE_INTERNAL_ERROR &&
				 ++tries < MAX_TRIES);
		if (error != NULL)
			ereport(DEBUG1,
					(errmsg_internal("jit_access: privileges of scope roles could not be revoked: %s",
									 error->message)));
	}
}

/* Drop roles that nobody else has locked, with their rows. */
static void
try_to_drop(void *arg)
{
	DropRoleStmt *stmt = makeNode(DropRoleStmt);
	List	   *locked = NIL;
	ListCell   *lc;

	foreach(lc, (List *) arg)
	{
		Oid			roleid = lfirst_oid(lc);

		if (!jit_lock_object_if_free(AuthIdRelationId, roleid, AccessExclusiveLock) ||
			!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(roleid)))
			continue;
		stmt->roles = lappend(stmt->roles, jit_role_spec(jit_role_name(roleid)));
		locked = lappend_oid(locked, roleid);
	}
	if (locked == NIL)
		return;
	DropRole(stmt);
	CommandCounterIncrement();
	if (jit_extension_installed())
		jit_query("DELETE FROM jit.scopes WHERE role_oid = ANY ($1)", "O", oid_array(locked));
}

/* The same of one that has more than privileges on objects. */
static void
try_to_drop_odd(void *arg)
{
	List	   *roleids = arg;

	if (jit_role_owns_something(linitial_oid(roleids)))
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("it owns something")));
	shdepDropOwned(roleids, DROP_RESTRICT);
	CommandCounterIncrement();
	try_to_drop(roleids);
}

/* All scope roles of this database that are there.  Inside an owner section. */
List *
jit_scopes_here(void)
{
	return result_oids(jit_query("SELECT s.role_oid FROM jit.scopes s JOIN pg_authid a ON a.oid = s.role_oid AND a.rolname = s.role"
								 " WHERE starts_with(s.role, $1)",
								 "t", our_prefix()),
					   1);
}

/* Say why a role of ours, whose members are out already, stays. */
void
jit_report_not_dropped(Oid roleid, const ErrorData *error, int elevel)
{
	ereport(elevel,
			(errmsg("role %s could not be dropped: %s",
					quote_identifier(jit_role_name(roleid)), error->message),
			 error->detail ? errdetail_internal("%s", error->detail) :
			 errdetail("It has no members any more, so it gives nobody anything."),
			 errhint("Remove what depends on it, then use DROP ROLE.")));
}

/*
 * Remove scope roles, as far as they can be; inside an owner section.  Roles
 * that other databases know stay until these have taken them out, which they
 * are told of.  What else hinders it becomes a message of that level.
 */
void
jit_remove_scopes(List *roleids, int elevel)
{
	List	   *simple;
	List	   *odd = NIL;
	List	   *elsewhere = NIL;
	List	   *databases;
	ErrorData  *error;
	ListCell   *lc;
	int			n;

	if (roleids == NIL)
		return;
	revoke_all(roleids);

	n = jit_query("SELECT refobjid, dbid FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass"
				  " AND refobjid = ANY ($1)", "O", oid_array(roleids));
	databases = result_oids(n, 2);
	foreach(lc, result_oids(n, 1))
	{
		Oid			database = list_nth_oid(databases, foreach_current_index(lc));

		if (database == MyDatabaseId || !OidIsValid(database))
			odd = list_append_unique_oid(odd, lfirst_oid(lc));
		else
		{
			elsewhere = list_append_unique_oid(elsewhere, lfirst_oid(lc));
			if (elevel > DEBUG1)
				jit_note_database_due(database);
		}
	}
	odd = list_difference_oid(odd, elsewhere);
	simple = list_difference_oid(list_difference_oid(roleids, odd), elsewhere);

	/* one at a time only if somebody hinders it: that is slow for thousands */
	error = simple ? jit_try(try_to_drop, simple) : NULL;
	if (error != NULL)
		odd = list_concat(odd, simple);
	foreach(lc, odd)
	{
		Oid			roleid = lfirst_oid(lc);

		CHECK_FOR_INTERRUPTS();
		error = jit_try(try_to_drop_odd, list_make1_oid(roleid));
		if (error != NULL && (elevel != LOG || jit_first_log_of(roleid)))
			jit_report_not_dropped(roleid, error, elevel);
	}
	if (elevel < WARNING)
		return;
	foreach(lc, roleids)
	{
		if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(lfirst_oid(lc))) ||
			list_member_oid(odd, lfirst_oid(lc)))
			continue;
		ereport(elevel,
				(errmsg("role %s is not dropped: %s",
						quote_identifier(jit_role_name(lfirst_oid(lc))),
						list_member_oid(elsewhere, lfirst_oid(lc)) ?
						_("it has privileges in another database") :
						_("another transaction is changing it")),
				 errhint("Use DROP ROLE when that has ended.")));
	}
}

/* USED, of one role: a plan that is kept would be that of a catalog still small. */
static bool
is_used(Oid roleid)
{
	JitScan		scan;
	HeapTuple	tuple;
	bool		result = false;

	jit_begin_scan(&scan, AuthMemRelationId, AuthMemRoleMemIndexId, NULL, 1,
				   (int) Anum_pg_auth_members_roleid, roleid);
	while (!result && HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		char	   *member = GetUserNameFromId(((Form_pg_auth_members) GETSTRUCT(tuple))->member, true);

		result = member != NULL && strncmp(member, JIT_ROLE_PREFIX, strlen(JIT_ROLE_PREFIX)) == 0;
	}
	jit_end_scan(&scan);
	return result;
}

/*
 * Before another scope is made: remove the unused ones on its object if there
 * are more than so many.  The caller has jit_lock_items(), and what it makes
 * meanwhile has members.  True if there were; inside an owner section.
 */
bool
jit_make_room(Oid classid, Oid objid, int most)
{
	List	   *unused = NIL;
	int			n;

	n = jit_query("SELECT role_oid, role FROM jit.scopes"
				  " WHERE classid = $1 AND objid = $2 AND starts_with(role, $3)"
				  " ORDER BY unused_since",
				  "oot", classid, objid, our_prefix());
	for (int i = 1; n > most && i <= n && list_length(unused) < MAX_REMOVED; i++)
	{
		Oid			roleid = jit_result_oid(i, 1);
		char	   *name = GetUserNameFromId(roleid, true);

		if (name != NULL && strcmp(name, jit_result_text(i, 2)) == 0 && !is_used(roleid))
			unused = lappend_oid(unused, roleid);
	}
	if (list_length(unused) <= most)
		return false;
	jit_remove_scopes(unused, DEBUG1);
	return true;
}

/* ----------------------------------------------------------------------
 * Sweeping
 * ----------------------------------------------------------------------
 */

/* Those of a list that haven't been tried in this sweep, from now on have. */
static List *
not_tried(JitScopeSweep *sweep, List *roleids)
{
	List	   *result = list_difference_oid(roleids, sweep->tried);
	MemoryContext context = MemoryContextSwitchTo(TopMemoryContext);

	sweep->tried = list_concat(sweep->tried, result);
	MemoryContextSwitchTo(context);
	sweep->more = result != NIL;
	return result;
}

/* Bring the rows up to date: which are unused, and which roles are gone. */
static void
note_unused(void)
{
	/* what a copy knows of the original's */
	jit_query("DELETE FROM jit.scopes s WHERE NOT starts_with(s.role, $1)"
			  " OR NOT EXISTS (SELECT FROM pg_authid a WHERE a.oid = s.role_oid)",
			  "t", our_prefix());
	jit_query("UPDATE jit.scopes SET unused_since = $1 WHERE role_oid IN ("
			  "SELECT s.role_oid FROM jit.scopes s WHERE s.unused_since IS NULL AND NOT " USED("s.role_oid")
			  " FOR UPDATE SKIP LOCKED)",
			  "z", jit_now());
}

/*
 * Remove a batch of what is due of this database's scopes.  For a sweeper,
 * inside an owner section, after jit_open_ledger().
 */
void
jit_sweep_scopes(JitScopeSweep *sweep)
{
	TimestampTz now = jit_now();
	TimestampTz until = seconds_after(now, -(int64) jit_keep_scopes);
	List	   *roleids;
	List	   *classes;
	List	   *objects;
	List	   *locked = NIL;
	ListCell   *lc;
	int			n;

	if (sweep->tried == NIL)
		note_unused();

	n = jit_query("SELECT s.role_oid, s.classid, s.objid" DUE_SCOPES
				  " AND NOT s.role_oid = ANY ($3)"
				  " ORDER BY s.classid, s.objid, s.role_oid LIMIT " BATCH_SIZE,
				  "tzO", our_prefix(), until, oid_array(sweep->tried));
	roleids = result_oids(n, 1);
	classes = result_oids(n, 2);
	objects = result_oids(n, 3);
	(void) not_tried(sweep, roleids);
	foreach(lc, roleids)
	{
		Oid			classid = list_nth_oid(classes, foreach_current_index(lc));
		Oid			objid = list_nth_oid(objects, foreach_current_index(lc));

		/* the same lock again is cheap */
		if ((classid != RelationRelationId ||
			 jit_lock_object_if_free(classid, objid, AccessShareLock)) &&
			jit_lock_object_if_free(classid, objid, ShareUpdateExclusiveLock))
			locked = lappend_oid(locked, lfirst_oid(lc));
	}
	if (locked != NIL)
	{
		/* a grant may have come between */
		n = jit_query("SELECT s.role_oid" DUE_SCOPES " AND s.role_oid = ANY ($3)",
					  "tzO", our_prefix(), until, oid_array(locked));
		jit_remove_scopes(result_oids(n, 1), LOG);
	}

	jit_query("SELECT min(unused_since) FILTER (WHERE unused_since > $1),"
			  " coalesce(bool_or(role_oid = ANY ($2)), false) FROM jit.scopes",
			  "zO", until, oid_array(sweep->tried));
	sweep->due = jit_result_time(1, 1);
	if (sweep->due != DT_NOEND)
		sweep->due = seconds_after(sweep->due, jit_keep_scopes);
	if (jit_result_bool(1, 2))
		sweep->due = Min(sweep->due, seconds_after(now, RETRY_AFTER));
}

/*
 * Take from a batch of unused scope roles of other databases what they have in
 * this one, and tell those databases.  For a sweeper, inside an owner section.
 */
void
jit_sweep_copied_scopes(JitScopeSweep *sweep)
{
	List	   *roleids;
	ListCell   *lc;
	int			n;

	n = jit_query("SELECT a.oid FROM pg_authid a WHERE a.rolname >= '" JIT_SCOPE_PREFIX "' AND a.rolname < 'jit_scope`'"
				  " AND NOT starts_with(a.rolname, $1) AND NOT a.oid = ANY ($3) AND NOT " USED("a.oid")
				  " AND EXISTS (SELECT FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass"
				  "  AND d.refobjid = a.oid AND d.deptype = 'a' AND d.dbid = $2) LIMIT " BATCH_SIZE,
				  "toO", our_prefix(), MyDatabaseId, oid_array(sweep->tried));
	roleids = not_tried(sweep, result_oids(n, 1));
	if (roleids == NIL)
		return;
	revoke_all(roleids);
	n = jit_query("SELECT a.oid FROM pg_authid a WHERE a.oid = ANY ($1) AND NOT EXISTS"
				  " (SELECT FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass"
				  "  AND d.refobjid = a.oid AND d.dbid = $2)",
				  "Oo", oid_array(roleids), MyDatabaseId);
	foreach(lc, result_oids(n, 1))
	{
		Oid			database = jit_scope_database(jit_role_name(lfirst_oid(lc)));

		if (OidIsValid(database))
			jit_note_database_due(database);
	}
}

/*
 * Remove a batch of the scope roles of databases that are gone.  For a
 * sweeper, inside an owner section.
 */
void
jit_sweep_lost_scopes(JitScopeSweep *sweep)
{
	List	   *lost = NIL;
	ListCell   *lc;
	int			n;

	n = jit_query("SELECT a.oid FROM pg_authid a WHERE a.rolname >= '" JIT_SCOPE_PREFIX "' AND a.rolname < 'jit_scope`'"
				  " AND NOT (a.rolcanlogin OR a.rolsuper OR a.rolcreaterole OR a.rolcreatedb OR a.rolreplication OR a.rolbypassrls)"
				  " AND NOT EXISTS (SELECT FROM pg_database d WHERE starts_with(a.rolname, '" JIT_SCOPE_PREFIX "' || d.oid || '_'))"
				  " AND NOT a.oid = ANY ($1) AND NOT " USED("a.oid") " LIMIT " BATCH_SIZE,
				  "O", oid_array(sweep->tried));
	foreach(lc, not_tried(sweep, result_oids(n, 1)))
	{
		if (jit_is_gone(jit_scope_database(jit_role_name(lfirst_oid(lc)))))
			lost = lappend_oid(lost, lfirst_oid(lc));
	}
	jit_remove_scopes(lost, LOG);
}
