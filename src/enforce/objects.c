/*-------------------------------------------------------------------------
 *
 * objects.c
 *		Objects that are made, altered, dropped, searched or executed.
 *
 * The object access hook: it runs after PostgreSQL has said yes, or before
 * something that PostgreSQL would do, and can only raise.  What it sees of the
 * executor's and of utility statements' business is judged in their rooms.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/changes.h"
#include "base/due.h"
#include "enforce/cutoff.h"
#include "enforce/lasting.h"
#include "enforce/objects.h"
#include "enforce/written.h"

#include "catalog/catalog.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_constraint.h"
#include "commands/dbcommands.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "tcop/pquery.h"
#include "utils/catcache.h"

static object_access_hook_type next_object_access_hook = NULL;
static void (*object_dropped) (Oid classid, Oid objid);

/*
 * Who runs the utility statement at hand, having temporary access, and the
 * roles that counted when it began.  PostgreSQL checks its privileges, and
 * may wait for a lock before what was checked is done: until then a sweeper
 * or a revocation may have taken away all that could be judged.
 */
Oid			jit_command_user = InvalidOid;
List	   *jit_command_closure = NIL;

/* Could something that the current user does rely on what has ended? */
static inline bool
to_be_judged(void)
{
	return unlikely(GetUserId() == jit_command_user) ||
		unlikely(jit_needs_judging(GetUserId()));
}

/*
 * Has PostgreSQL found the privilege (0: ownership) of the current user only
 * because of access that has ended?  It checks some objects for other users,
 * which aren't judged here: an aggregate's functions for its owner.
 */
static bool
lost_privilege(Oid classid, Oid objid, AclMode mode)
{
	Oid			userid = GetUserId();
	JitWanted	wanted = {.classid = classid,.objid = objid,.mode = mode};

	List	   *live;
	List	   *whole;
	bool		lost;

	if (likely(!to_be_judged()))
		return false;
	live = jit_live_closure(userid);
	whole = jit_whole_closure(userid);
	lost = !jit_gives(live, &wanted) &&
		(jit_gives(whole, &wanted) ||
		 (userid == jit_command_user && jit_gives(jit_command_closure, &wanted)));
	/* see jit_note_path() */
	list_free(live);
	list_free(whole);
	return lost;
}

/* Raise if it has. */
void
jit_check_object(const char *kind, const char *name, Oid classid, Oid objid,
				 AclMode mode)
{
	JitWanted	wanted = {.classid = classid,.objid = objid,.mode = mode};

	if (unlikely(lost_privilege(classid, objid, mode)))
		jit_deny(kind, name, GetUserId(), &wanted);
}

/* Raise if the object is the user's only by an owner role that has ended. */
void
jit_check_ownership(Oid classid, Oid objid)
{
	ObjectAddress address;

	if (classid == RelationRelationId)
	{
		/* the table itself makes the better message */
		if (!IsToastNamespace(get_rel_namespace(objid)))
			jit_check_object(jit_relation_kind(objid), get_rel_name(objid), classid,
							 objid, 0);
	}
	else if (classid != TypeRelationId &&
			 is_objectclass_supported(classid) &&
			 get_object_attnum_owner(classid) != InvalidAttrNumber &&
			 lost_privilege(classid, objid, 0))
	{
		/* only now: a function's types may have been dropped before it */
		ObjectAddressSet(address, classid, objid);
		jit_check_object(get_object_class_descr(classid),
						 getObjectIdentity(&address, true), classid, objid, 0);
	}
}

/*
 * The transaction relies on a privilege on an object, on owning it, or on being
 * a member of a role of pg_authid, if the user has that only by access that is
 * temporary.  Before it is judged, see check_perminfos().
 */
static void
note_temporary(Oid classid, Oid objid, AclMode mode, bool writes)
{
	Oid			userid = GetUserId();
	JitWanted	wanted = {.classid = classid,.objid = objid,.mode = mode};

	if (classid == AuthIdRelationId)
		wanted.role = objid;
	if (!jit_gives(jit_role_closure(userid, JIT_CLOSURE_PRIVS, JIT_FILTER_STANDING, 0),
				   &wanted) &&
		jit_gives(jit_whole_closure(userid), &wanted))
		jit_note_reliance(userid, NULL, classid, objid, mode, writes);
}

/* ... and can't be committed without. */
static void
note_written(Oid classid, Oid objid, AclMode mode)
{
	note_temporary(classid, objid, mode, true);
}

/* The user is using this, by a command that no hook is told of. */
void
jit_note_used(Oid classid, Oid objid, AclMode mode)
{
	if (jit_user_deadline(GetUserId()) != DT_NOEND && !superuser())
		note_temporary(classid, objid, mode, false);
}

/* The user, as the owner, is altering or dropping this. */
void
jit_note_ownership(Oid classid, Oid objid)
{
	if (likely(jit_user_deadline(GetUserId()) == DT_NOEND) || superuser() ||
		classid == AuthIdRelationId || !is_objectclass_supported(classid) ||
		get_object_attnum_owner(classid) == InvalidAttrNumber)
		return;
	note_written(classid, objid, 0);
}

/*
 * The user has just created this, in a schema or, if it is one, in the
 * database, and perhaps for another role: the transaction can't be committed
 * without the access if that was allowed by access that is temporary.  Raise
 * if it was by access that has ended.
 */
static void
check_creation(Oid classid, Oid objid)
{
	Oid			userid = GetUserId();
	Oid			nspid;
	Oid			owner;

	/* constraints have a schema, but need no privilege there */
	if (likely(jit_user_deadline(userid) == DT_NOEND && userid != jit_command_user) ||
		superuser() || classid == ConstraintRelationId ||
		!is_objectclass_supported(classid))
		return;

	nspid = jit_column_now(classid, objid, get_object_attnum_namespace(classid));
	owner = jit_owner_now(classid, objid);
	if (OidIsValid(owner) && owner != userid)
		note_written(AuthIdRelationId, owner, 0);
	if (OidIsValid(nspid))
	{
		note_written(NamespaceRelationId, nspid, ACL_CREATE);
		jit_check_object("schema", get_namespace_name(nspid), NamespaceRelationId,
						 nspid, ACL_CREATE);
	}
	else if (classid == NamespaceRelationId)
	{
		note_written(DatabaseRelationId, MyDatabaseId, ACL_CREATE);
		jit_check_object("database", get_database_name(MyDatabaseId),
						 DatabaseRelationId, MyDatabaseId, ACL_CREATE);
	}
}

/*
 * If a query is being planned, the planner is executing the function, to put
 * its result into the plan.
 */
static void
note_planned(Oid funcid)
{
	ErrorContextCallback *callback = error_context_stack;
	JitStatementFrame *frame;
	MemoryContext context;

	while (callback != NULL && callback->callback != jit_hint_callback)
		callback = callback->previous;
	if (callback == NULL)
		return;
	frame = callback->arg;
	if (frame->starting != NULL || frame->copy != NULL ||
		!jit_is_temporary_function(GetUserId(), funcid))
		return;
	context = MemoryContextSwitchTo(frame->context);
	frame->functions = list_append_unique_oid(frame->functions, funcid);
	MemoryContextSwitchTo(context);
}

void
jit_note_role(Oid role)
{
	jit_note_role_changed(role);
	if (jit_role_kind_by_oid(role) == JIT_ROLE_GRANT)
		jit_note_grant_changed(role);
}

/*
 * The role is being dropped: what it was granted has lost it.  DropRole() takes
 * that lock next; what is given until then counts.
 */
static void
note_memberships(Oid member)
{
	CatCList   *memlist;

	LockSharedObject(AuthIdRelationId, member, 0, AccessExclusiveLock);
	memlist = SearchSysCacheList1(AUTHMEMMEMROLE, ObjectIdGetDatum(member));
	for (int i = 0; i < memlist->n_members; i++)
		jit_note_role(((Form_pg_auth_members) GETSTRUCT(&memlist->members[i]->tuple))->roleid);
	ReleaseSysCacheList(memlist);
}

/*
 * A user who has temporary access is to execute a function.  Noting that may
 * take in the end of all that the user had: so who counts is asked before.
 * (PostgreSQL checks some functions for other users.)
 */
static void
check_function(Oid userid, Oid objid)
{
	JitWanted	wanted = {.classid = ProcedureRelationId,.objid = objid,
	.mode = ACL_EXECUTE};
	List	   *before;

	if (superuser_arg(userid) && jit_role_kind_by_oid(userid) == JIT_ROLE_ORDINARY)
		return;
	before = jit_whole_closure(userid);
	/* what it writes is anybody's guess */
	jit_note_reliance(userid, NULL, ProcedureRelationId, objid, ACL_EXECUTE,
					  func_volatile(objid) == PROVOLATILE_VOLATILE);
	if (jit_gives(before, &wanted) && !jit_gives(jit_live_closure(userid), &wanted))
		jit_deny("function", get_func_name(objid), userid, &wanted);
	note_planned(objid);
}

/* None of PostgreSQL's own has an owner with temporary access. */
static inline bool
is_users_aggregate(Oid objid)
{
	return objid >= FirstNormalObjectId &&
		get_func_prokind(objid) == PROKIND_AGGREGATE;
}

/*
 * PostgreSQL checks the functions of an aggregate for its owner, who may have
 * them through temporary access.  It asks for the aggregate first.
 */
static void
check_aggregate(Oid objid)
{
	static const AttrNumber functions[] = {
		Anum_pg_aggregate_aggtransfn, Anum_pg_aggregate_aggfinalfn,
		Anum_pg_aggregate_aggcombinefn, Anum_pg_aggregate_aggserialfn,
		Anum_pg_aggregate_aggdeserialfn, Anum_pg_aggregate_aggmtransfn,
		Anum_pg_aggregate_aggminvtransfn, Anum_pg_aggregate_aggmfinalfn
	};
	Oid			owner = jit_object_owner(ProcedureRelationId, objid);
	HeapTuple	tuple;

	if (!OidIsValid(owner) || owner == GetUserId() ||
		jit_user_deadline(owner) == DT_NOEND)
		return;
	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(objid));
	for (size_t i = 0; HeapTupleIsValid(tuple) && i < lengthof(functions); i++)
	{
		bool		isnull;
		Oid			function = DatumGetObjectId(SysCacheGetAttr(AGGFNOID, tuple, functions[i],
																&isnull));

		if (OidIsValid(function))
			check_function(owner, function);
	}
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
}

/* A function that not just anybody may run is about to be. */
static void
check_execute(Oid objid)
{
	/* by protocol: nothing was planned or started */
	if (unlikely(ActivePortal == NULL))
		jit_accept_invalidations();
	if (is_users_aggregate(objid))
		check_aggregate(objid);
	if (jit_is_public_function(objid))
		return;
	/* an expression may have set the role, and no query begun since */
	jit_note_set_role();
	if (jit_set_role_is_temporary() && GetUserId() == jit_set_role_outer)
	{
		jit_note_set_role_reliance(false);
		jit_check_roles();
	}
	if (jit_user_deadline(GetUserId()) != DT_NOEND)
		check_function(GetUserId(), objid);
}

/* A schema is looked into, or taken into the search path. */
static void
check_search(Oid nspid, ObjectAccessNamespaceSearch *search)
{
	if (likely(!lost_privilege(NamespaceRelationId, nspid, ACL_USAGE)))
	{
		if (!search->ereport_on_violation)
			jit_note_path(nspid);
		return;
	}
	if (search->ereport_on_violation)
		jit_check_object("schema", get_namespace_name(nspid), NamespaceRelationId,
						 nspid, ACL_USAGE);
	search->result = false;
}

static void
check_truncate(Oid relid)
{
	if (unlikely(jit_user_deadline(GetUserId()) != DT_NOEND) && !superuser())
		jit_note_reliance(GetUserId(), NULL, RelationRelationId, relid,
						  ACL_TRUNCATE, true);
	jit_note_set_role_reliance(true);
	jit_check_object(jit_relation_kind(relid), get_rel_name(relid), RelationRelationId,
					 relid, ACL_TRUNCATE);
}

static pg_noinline void
check_object_access(ObjectAccessType access, Oid classid, Oid objid, int subid,
					void *arg)
{
	if (next_object_access_hook)
		next_object_access_hook(access, classid, objid, subid, arg);

	switch (access)
	{
		case OAT_FUNCTION_EXECUTE:
			check_execute(objid);
			break;
		case OAT_NAMESPACE_SEARCH:
			check_search(objid, arg);
			break;
		case OAT_TRUNCATE:
			check_truncate(objid);
			break;
		case OAT_POST_CREATE:
			jit_note_set_role_reliance(true);
			if (subid != 0)
				jit_note_ownership(classid, objid);
			/* what a command makes for itself (a new heap) is not asked for */
			if (!(arg && ((ObjectAccessPostCreate *) arg)->is_internal))
			{
				/* a new column, default or the like belongs to something */
				if (subid == 0)
					check_creation(classid, objid);
				else if (to_be_judged())
					jit_check_ownership(classid, objid);
			}
			jit_check_lasting_object(access, classid, objid, subid, arg);
			if (classid == DatabaseRelationId)
				jit_wake_launcher_at_commit();
			break;
		case OAT_POST_ALTER:
			jit_note_set_role_reliance(true);
			jit_note_ownership(classid, objid);
			if (to_be_judged())
				jit_check_ownership(classid, objid);
			jit_check_lasting_object(access, classid, objid, subid, arg);
			/* a deadline may have been changed natively */
			if (classid == AuthIdRelationId)
				jit_note_role(objid);
			else if (classid == DatabaseRelationId)
				jit_wake_launcher_at_commit();
			break;
		case OAT_DROP:

			/*
			 * A process that exits drops its temporary tables in nobody's
			 * name; what it was doing is left without functions' ends.
			 */
			if (proc_exit_inprogress)
				break;
			jit_note_set_role_reliance(true);
			jit_note_ownership(classid, objid);
			if (to_be_judged())
				jit_check_ownership(classid, objid);
			if (classid == AuthIdRelationId)
			{
				jit_note_role(objid);
				note_memberships(objid);
			}
			jit_note_dropped(classid, objid);
			jit_check_lasting_drop(classid, objid, ((ObjectAccessDrop *) arg)->dropflags);
			object_dropped(classid, objid);
			break;
		default:
			break;
	}
}

static void
jit_object_access(ObjectAccessType access, Oid classid, Oid objid, int subid,
				  void *arg)
{
	/* called for each function in each statement, and just like this */
	if (access != OAT_FUNCTION_EXECUTE)
		check_object_access(access, classid, objid, subid, arg);
	else if (!jit_quiet() || is_users_aggregate(objid))
		check_object_access(OAT_FUNCTION_EXECUTE, ProcedureRelationId, objid, 0,
							NULL);
}

/*
 * Called from _PG_init() only.  "dropped" is called for each object that is
 * about to be dropped.
 */
void
jit_install_object_access_hook(void (*dropped) (Oid classid, Oid objid))
{
	object_dropped = dropped;
	next_object_access_hook = object_access_hook;
	object_access_hook = next_object_access_hook ? check_object_access :
		jit_object_access;
}
