/*-------------------------------------------------------------------------
 *
 * enforce.c
 *		Deadlines, enforced where PostgreSQL has already said yes.
 *
 * Every hook in here runs after PostgreSQL's own check, or before something
 * that PostgreSQL would do, and can only raise.  None of them makes anything
 * possible.
 *
 * A user whose membership closure has no grant or scope role in it, which is
 * nearly everybody nearly always, costs a few instructions: the closure's
 * earliest deadline is remembered per user until a role or membership
 * changes.  While that deadline is ahead, PostgreSQL's answer stands.  Once
 * it is past, every permission is judged again with the closure as it would
 * be without what has ended, so standing privileges go on working until the
 * sweeper has removed the roles and nothing is left to judge.
 *
 * SET ROLE is a state, not a command: set_config('role') and SET clauses of
 * functions pass no hook.  The state is looked at when a statement starts
 * and after it has run, so that it is seen while the membership is there:
 *
 *	not active			the effective role is the session user's
 *	standing			reachable without grant roles when first seen; left
 *						alone from then on, as PostgreSQL does
 *	temporary			otherwise; every statement needs a live membership
 *
 * A role change that was never seen with a membership behind it is temporary
 * and has ended: denied until RESET ROLE.  Parallel workers start without
 * that knowledge and judge for themselves.
 *
 * All state is the backend's own and holds no locks; abort and crash leave
 * nothing to undo.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/dbcommands.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "rewrite/rowsecurity.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

static ExecutorCheckPerms_hook_type next_check_perms_hook = NULL;
static ExecutorStart_hook_type next_executor_start_hook = NULL;
static ExecutorEnd_hook_type next_executor_end_hook = NULL;
static ProcessUtility_hook_type next_process_utility_hook = NULL;
static planner_hook_type next_planner_hook = NULL;
static object_access_hook_type next_object_access_hook = NULL;

/* The earliest deadline in a user's closure, as of a generation. */
typedef struct UserMemo
{
	Oid			userid;
	uint64		generation;
	TimestampTz deadline;
} UserMemo;

#define N_MEMOS 8
static UserMemo memos[N_MEMOS];

/* Has any user of this backend been found to have temporary access? */
static bool temporary_seen = false;

/* What is known of the SET ROLE in force. */
static Oid	set_role_session = InvalidOid;
static Oid	set_role_outer = InvalidOid;
static bool set_role_standing;

/* ----------------------------------------------------------------------
 * Who has what until when
 * ----------------------------------------------------------------------
 */

static TimestampTz
compute_user_deadline(Oid userid)
{
	TimestampTz deadline = DT_NOEND;
	List	   *all;
	List	   *live;
	ListCell   *lc;

	if (jit_role_kind_by_oid(userid) != JIT_ROLE_ORDINARY)
		return DT_NOBEGIN;

	all = jit_role_closure(userid, JIT_CLOSURE_MEMBERS, JIT_FILTER_NONE, 0);
	live = NIL;
	foreach(lc, all)
	{
		Oid			role = lfirst_oid(lc);

		switch (jit_role_kind_by_oid(role))
		{
			case JIT_ROLE_ORDINARY:
				break;
			case JIT_ROLE_GRANT:
				deadline = Min(deadline, jit_role_deadline(role));
				break;
			case JIT_ROLE_SCOPE:
				/* all right as long as it is reached through a grant role */
				if (live == NIL)
					live = jit_role_closure(userid, JIT_CLOSURE_MEMBERS,
											JIT_FILTER_LIVE, DT_NOBEGIN);
				if (!list_member_oid(live, role))
					deadline = DT_NOBEGIN;
				break;
		}
	}
	list_free(all);
	list_free(live);
	if (deadline != DT_NOEND)
		temporary_seen = true;
	return deadline;
}

/*
 * When some of what the user has may end first: DT_NOEND for a user without
 * temporary access, DT_NOBEGIN where something has ended or must not count.
 */
TimestampTz
jit_user_deadline(Oid userid)
{
	UserMemo   *memo = &memos[userid % N_MEMOS];
	uint64		generation;

	if (likely(memo->userid == userid &&
			   memo->generation == jit_roles_generation))
		return memo->deadline;

	/* an invalidation may arrive while we look: then look again */
	do
	{
		generation = jit_roles_generation;
		memo->userid = InvalidOid;
		memo->deadline = compute_user_deadline(userid);
	} while (generation != jit_roles_generation);
	memo->userid = userid;
	memo->generation = generation;
	return memo->deadline;
}

/*
 * Has something ended that the user still seems to have?  Then PostgreSQL's
 * answers about the user need judging again.
 */
static inline bool
needs_judging(Oid userid)
{
	TimestampTz deadline = jit_user_deadline(userid);

	if (likely(deadline == DT_NOEND))
		return false;
	if (deadline > jit_now())
		return false;
	return jit_role_kind_by_oid(userid) != JIT_ROLE_ORDINARY ||
		!superuser_arg(userid);
}

bool
jit_access_ended(Oid userid)
{
	return needs_judging(userid);
}

/* Privilege closure without what has ended; NIL for a role of ours. */
static List *
live_closure(Oid userid)
{
	if (jit_role_kind_by_oid(userid) != JIT_ROLE_ORDINARY)
		return NIL;
	return jit_role_closure(userid, JIT_CLOSURE_PRIVS, JIT_FILTER_LIVE,
							jit_now());
}

/*
 * DETAIL of a denial: which request ended when.  Prefers one that would have
 * given what "info" asks for, if given, else takes the last that ended.
 */
static char *
what_ended(Oid userid, const JitPermInfo *info)
{
	TimestampTz now = jit_now();
	TimestampTz best = DT_NOBEGIN;
	bool		best_fits = false;
	Oid			best_role = InvalidOid;
	Oid			database;
	int			request;
	char	   *dbname;
	ListCell   *lc;

	if (jit_role_kind_by_oid(userid) != JIT_ROLE_ORDINARY)
		return psprintf(_("Role %s is internal to jit_access and has no access by itself."),
						quote_identifier(jit_role_name(userid)));

	foreach(lc, jit_role_closure(userid, JIT_CLOSURE_MEMBERS, JIT_FILTER_NONE, now))
	{
		Oid			role = lfirst_oid(lc);
		TimestampTz deadline;
		bool		fits;

		if (jit_role_kind_by_oid(role) != JIT_ROLE_GRANT)
			continue;
		deadline = jit_role_deadline(role);
		if (deadline > now)
			continue;
		fits = info != NULL &&
			jit_perminfo_permitted(info, jit_role_closure(role, JIT_CLOSURE_PRIVS,
														  JIT_FILTER_NONE, now));
		if (!OidIsValid(best_role) || (fits && !best_fits) ||
			(fits == best_fits && deadline > best))
		{
			best = deadline;
			best_fits = fits;
			best_role = role;
		}
	}
	if (!OidIsValid(best_role))
		return pstrdup(_("What gave this access is not a live grant of jit_access."));
	if (!jit_parse_grant_name(jit_role_name(best_role), &database, &request) ||
		TIMESTAMP_NOT_FINITE(best))
		return psprintf(_("Role %s is not a live grant of jit_access."),
						quote_identifier(jit_role_name(best_role)));
	dbname = get_database_name(database);
	return psprintf(_("Request %d in %s expired at %s."), request,
					dbname ? quote_identifier(dbname) : psprintf("%u", database),
					jit_timestamp_text(best));
}

pg_noreturn static void
deny(const char *kind, const char *name, Oid userid, const JitPermInfo *info)
{
	char	   *detail = what_ended(userid, info);

	/* the hint callback leaves this detail alone */
	jit_denial_explained = true;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for %s %s", kind, name),
			 errdetail_internal("%s", detail)));
}

/* Deny something because access to it has ended. */
void
jit_deny_ended(Oid userid, const char *kind, const char *name)
{
	deny(kind, name, userid, NULL);
}

/* ----------------------------------------------------------------------
 * SET ROLE
 * ----------------------------------------------------------------------
 */

/* Note a SET ROLE that wasn't in force when last looked at. */
static void
note_set_role(void)
{
	Oid			outer = GetOuterUserId();
	Oid			session = GetSessionUserId();

	if (likely(outer == session))
	{
		set_role_outer = InvalidOid;
		return;
	}
	if (outer == set_role_outer && session == set_role_session)
		return;
	set_role_standing =
		list_member_oid(jit_role_closure(session, JIT_CLOSURE_SET,
										 JIT_FILTER_STANDING, 0), outer);
	set_role_session = session;
	set_role_outer = outer;
}

/*
 * Is a SET ROLE in force that only temporary access allows?  As of the last
 * check_set_role().
 */
bool
jit_set_role_is_temporary(void)
{
	return unlikely(OidIsValid(set_role_outer)) && !set_role_standing &&
		!GetSessionUserIsSuperuser();
}

/* Raise if the SET ROLE in force has outlived the access behind it. */
static void
check_set_role(void)
{
	char	   *detail;

	if (likely(GetOuterUserId() == GetSessionUserId()))
	{
		set_role_outer = InvalidOid;
		return;
	}
	if (!IsTransactionState())
		return;
	if (jit_role_kind_by_oid(GetOuterUserId()) != JIT_ROLE_ORDINARY)
		deny("role", quote_identifier(jit_role_name(GetOuterUserId())),
			 GetOuterUserId(), NULL);
	if (GetSessionUserIsSuperuser())
		return;
	note_set_role();
	if (set_role_standing ||
		list_member_oid(jit_role_closure(set_role_session, JIT_CLOSURE_SET,
										 JIT_FILTER_LIVE, jit_now()),
						set_role_outer))
		return;

	detail = what_ended(set_role_session, NULL);
	jit_denial_explained = true;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for role %s",
					quote_identifier(jit_role_name(set_role_outer))),
			 errdetail("The membership that allowed SET ROLE has ended. %s",
					   detail),
			 errhint("Use RESET ROLE to go on as %s.",
					 quote_identifier(jit_role_name(set_role_session)))));
}

/* ----------------------------------------------------------------------
 * Relations
 * ----------------------------------------------------------------------
 */

static bool
permitted_to_live(Oid userid, const JitPermInfo *info)
{
	List	   *closure = live_closure(userid);

	return closure != NIL && jit_perminfo_permitted(info, closure);
}

/*
 * Judge what a list of permission entries asks for.  Returns false, or
 * raises, at the first that relies on what has ended.
 */
static bool
check_perminfos(List *perminfos, bool ereport_on_violation)
{
	ListCell   *lc;

	foreach(lc, perminfos)
	{
		JitPermInfo *info = lfirst(lc);
		Oid			userid;

		if (!JIT_PERMINFO_IS_RELATION(info) || info->requiredPerms == 0)
			continue;
		userid = OidIsValid(info->checkAsUser) ? info->checkAsUser : GetUserId();
		if (likely(jit_user_deadline(userid) == DT_NOEND))
			continue;
		if (!needs_judging(userid) ||
			permitted_to_live(userid, info))
		{
			if (!superuser_arg(userid))
				jit_note_reliance(userid, info, InvalidOid, InvalidOid, 0);
			continue;
		}
		if (!ereport_on_violation)
			return false;
		/* words as in aclcheck_error() */
		deny(get_rel_relkind(info->relid) == RELKIND_VIEW ? "view" :
			 get_rel_relkind(info->relid) == RELKIND_SEQUENCE ? "sequence" : "table",
			 get_rel_name(info->relid), userid, info);
	}
	return true;
}

static bool
jit_check_perms(JIT_CHECK_PERMS_ARGS)
{
	if (next_check_perms_hook &&
		!next_check_perms_hook(JIT_CHECK_PERMS_PASS))
		return false;
	return check_perminfos(JIT_CHECK_PERMS_INFOS, ereport_on_violation);
}

/*
 * Raise if a row-level security policy applies to the plan only through a
 * role that has ended.  PostgreSQL chose the policies by the whole closure.
 */
static void
check_policies(PlannedStmt *plan)
{
	Oid			userid = GetUserId();
	List	   *live;
	List	   *all;
	ListCell   *lc;

	if (!needs_judging(userid))
		return;
	live = live_closure(userid);
	all = jit_role_closure(userid, JIT_CLOSURE_PRIVS, JIT_FILTER_NONE, 0);
	foreach(lc, plan->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);
		Relation	rel;
		bool		affected = false;
		ListCell   *lp;

		if (rte->rtekind != RTE_RELATION)
			continue;
		rel = relation_open(rte->relid, AccessShareLock);
		if (rel->rd_rsdesc != NULL)
		{
			foreach(lp, rel->rd_rsdesc->policies)
			{
				RowSecurityPolicy *policy = lfirst(lp);
				Oid		   *roles = (Oid *) ARR_DATA_PTR(policy->roles);

				for (int i = 0; i < ARR_DIMS(policy->roles)[0]; i++)
					affected |= list_member_oid(all, roles[i]) &&
						!list_member_oid(live, roles[i]);
			}
		}
		relation_close(rel, AccessShareLock);
		if (affected)
			deny("table", get_rel_name(rte->relid), userid, NULL);
	}
}

static bool lost_privilege(Oid classid, Oid objid, AclMode mode);

static void
jit_executor_start(QueryDesc *query, int eflags)
{
	JitHintFrame frame;
	bool		temporary;

	check_set_role();
	temporary = jit_user_deadline(GetUserId()) != DT_NOEND ||
		jit_set_role_is_temporary();

	/* takes in a REVOKE: inside a running DO block nothing else does */
	jit_begin_reliance(query, temporary);
	if (unlikely(temporary))
	{
		if (query->plannedstmt->dependsOnRole)
			check_policies(query->plannedstmt);
		if (jit_set_role_is_temporary())
		{
			check_set_role();
			jit_note_reliance(set_role_session, NULL, AuthIdRelationId,
							  set_role_outer, 0);
		}
	}

	jit_push_hint(&frame, JIT_PLAN_PERMINFOS(query->plannedstmt), NULL);
	if (next_executor_start_hook)
		next_executor_start_hook(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
	jit_pop_hint(&frame);
	jit_keep_reliance(query);
}

static void
jit_executor_end(QueryDesc *query)
{
	if (next_executor_end_hook)
		next_executor_end_hook(query);
	else
		standard_ExecutorEnd(query);
	/* set_config('role', ...) */
	if (unlikely(GetOuterUserId() != GetSessionUserId()))
		note_set_role();
}

/* Collect the permission entries of a query and of all queries in it. */
static bool
collect_perminfos(Node *node, List **perminfos)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;

		*perminfos = list_concat(*perminfos, JIT_QUERY_PERMINFOS(query));
		return query_tree_walker(query, collect_perminfos, perminfos, 0);
	}
	return expression_tree_walker(node, collect_perminfos, perminfos);
}

/*
 * The planner hands column statistics to operators before the executor has
 * checked anything: so whatever the executor would deny isn't planned.
 */
static void
check_query(Query *parse)
{
	List	   *perminfos = NIL;
	JitHintFrame frame;

	(void) collect_perminfos((Node *) parse, &perminfos);
	jit_push_hint(&frame, perminfos, NULL);
	(void) check_perminfos(perminfos, true);
	jit_pop_hint(&frame);
}

static bool
is_lost_function(Oid funcid, void *context)
{
	*(Oid *) context = funcid;
	return lost_privilege(ProcedureRelationId, funcid, ACL_EXECUTE);
}

/*
 * Does a query call a function through EXECUTE that has ended?  The planner
 * puts the body of a simple SQL function in place of the call, and then
 * nobody asks the hook for functions.
 */
static bool
calls_lost_function(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, calls_lost_function, context, 0);
	if (check_functions_in_node(node, is_lost_function, context))
		deny("function", get_func_name(*(Oid *) context), GetUserId(), NULL);
	return expression_tree_walker(node, calls_lost_function, context);
}

static PlannedStmt *
jit_planner(Query *parse, const char *query_string, int cursor_options,
			ParamListInfo params)
{
	check_set_role();
	if (unlikely(jit_user_deadline(GetUserId()) != DT_NOEND))
	{
		check_query(parse);
		if (needs_judging(GetUserId()))
		{
			Oid			funcid;

			(void) calls_lost_function((Node *) parse, &funcid);
		}
	}
	if (next_planner_hook)
		return next_planner_hook(parse, query_string, cursor_options, params);
	return standard_planner(parse, query_string, cursor_options, params);
}

/* ----------------------------------------------------------------------
 * Utility statements
 * ----------------------------------------------------------------------
 */

/* What may be run under a SET ROLE that has ended: what leads out of it. */
static bool
leads_out(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_VariableSetStmt:
		case T_VariableShowStmt:
		case T_TransactionStmt:
		case T_DiscardStmt:
		case T_DeallocateStmt:
		case T_ClosePortalStmt:
			return true;
		default:
			return false;
	}
}

/* COPY to or from a file or program never asks the executor about its role. */
static void
check_copy(CopyStmt *copy)
{
	Oid			role;

	if (copy->filename == NULL)
		return;
	role = copy->is_program ? ROLE_PG_EXECUTE_SERVER_PROGRAM :
		copy->is_from ? ROLE_PG_READ_SERVER_FILES : ROLE_PG_WRITE_SERVER_FILES;
	if (!list_member_oid(live_closure(GetUserId()), role))
		deny("role", jit_role_name(role), GetUserId(), NULL);
}

/* Raise unless the relation's owner, or one of the privileges, is live. */
static void
check_maintained(const RangeVar *name, AclMode any, bool by_database_owner)
{
	Oid			userid = GetUserId();
	List	   *live;
	Oid			relid;

	if (name == NULL)
		return;
	/* no lock: the command takes its own, and a stronger one */
	relid = RangeVarGetRelid(name, NoLock, true);
	if (!OidIsValid(relid))
		return;
	live = live_closure(userid);
	if (live != NIL &&
		(list_member_oid(live, jit_object_owner(RelationRelationId, relid)) ||
		 jit_object_aclmask(RelationRelationId, relid, 0, live, any) != 0 ||
		 (by_database_owner &&
		  list_member_oid(live, jit_object_owner(DatabaseRelationId, MyDatabaseId)))))
		return;
	deny("table", get_rel_name(relid), userid, NULL);
}

/* DROP is for owners, of the object or of its schema. */
static void
check_drop(const DropStmt *drop)
{
	List	   *live = live_closure(GetUserId());
	ListCell   *lc;

	foreach(lc, drop->objects)
	{
		Relation	rel = NULL;
		ObjectAddress address = get_object_address(drop->removeType, lfirst(lc),
												   &rel, AccessShareLock, true);
		Oid			owner;
		Oid			schema;

		if (!OidIsValid(address.objectId))
			continue;
		schema = get_object_namespace(&address);
		if (rel != NULL)
		{
			/* part of a relation is the relation's owner's */
			address.classId = RelationRelationId;
			address.objectId = RelationGetRelid(rel);
			table_close(rel, NoLock);
		}
		else if (get_object_attnum_owner(address.classId) == InvalidAttrNumber)
			continue;			/* casts and the like */
		owner = jit_object_owner(address.classId, address.objectId);
		if (list_member_oid(live, owner) ||
			(OidIsValid(schema) &&
			 list_member_oid(live, jit_object_owner(NamespaceRelationId, schema))))
			continue;
		deny("role", quote_identifier(jit_role_name(owner)), GetUserId(), NULL);
	}
}

/*
 * Commands that PostgreSQL checks by itself, without a hook: judged by name,
 * before they run.
 */
static void
check_utility(Node *stmt)
{
	ListCell   *lc;

	switch (nodeTag(stmt))
	{
		case T_CopyStmt:
			check_copy((CopyStmt *) stmt);
			break;
		case T_LockStmt:
			foreach(lc, ((LockStmt *) stmt)->relations)
				check_maintained(lfirst(lc),
								 JIT_LOCK_PRIVILEGES(((LockStmt *) stmt)->mode), false);
			break;
		case T_VacuumStmt:
			foreach(lc, ((VacuumStmt *) stmt)->rels)
				check_maintained(lfirst_node(VacuumRelation, lc)->relation,
								 JIT_ACL_MAINTAIN, true);
			break;
		case T_ClusterStmt:
			check_maintained(((ClusterStmt *) stmt)->relation, JIT_ACL_MAINTAIN, false);
			break;
		case T_ReindexStmt:
			check_maintained(((ReindexStmt *) stmt)->relation, JIT_ACL_MAINTAIN, false);
			if (((ReindexStmt *) stmt)->kind == REINDEX_OBJECT_SCHEMA)
			{
				Oid			schema = get_namespace_oid(((ReindexStmt *) stmt)->name, true);
				Oid			owner = OidIsValid(schema) ?
					jit_object_owner(NamespaceRelationId, schema) : InvalidOid;

				if (OidIsValid(owner) &&
					!list_member_oid(live_closure(GetUserId()), owner))
					deny("schema", ((ReindexStmt *) stmt)->name, GetUserId(), NULL);
			}
			break;
		case T_RefreshMatViewStmt:
			check_maintained(((RefreshMatViewStmt *) stmt)->relation, JIT_ACL_MAINTAIN, false);
			break;
		case T_CheckPointStmt:
			if (!list_member_oid(live_closure(GetUserId()), ROLE_PG_CHECKPOINT))
				deny("role", "pg_checkpoint", GetUserId(), NULL);
			break;
		case T_DropStmt:
			check_drop((DropStmt *) stmt);
			break;
		default:
			break;
	}
}

/*
 * A role of ours is recognised by its name in every database, so the name
 * must stay.  Dropping it, and changing its VALID UNTIL, are the ways to end
 * and to prolong a grant natively.
 */
static void
check_rename(RenameStmt *rename)
{
	if (rename->renameType == OBJECT_ROLE &&
		jit_role_kind(rename->subname) != JIT_ROLE_ORDINARY)
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("role %s cannot be renamed", quote_identifier(rename->subname)),
				 errdetail("It belongs to jit_access, which knows it by its name."),
				 errhint("To end the access, use jit_revoke() or DROP ROLE; to prolong it, ALTER ROLE ... VALID UNTIL.")));
}

/* The arguments of ProcessUtility, for jit_run_relying_utility(). */
typedef struct UtilityCall
{
	PlannedStmt *pstmt;
	const char *query_string;
	bool		read_only_tree;
	ProcessUtilityContext context;
	ParamListInfo params;
	QueryEnvironment *query_env;
	DestReceiver *dest;
	QueryCompletion *qc;
} UtilityCall;

static void
run_utility(void *arg)
{
	UtilityCall *call = arg;

	if (next_process_utility_hook)
		next_process_utility_hook(call->pstmt, call->query_string,
								  call->read_only_tree, call->context,
								  call->params, call->query_env, call->dest,
								  call->qc);
	else
		standard_ProcessUtility(call->pstmt, call->query_string,
								call->read_only_tree, call->context,
								call->params, call->query_env, call->dest,
								call->qc);
}

/* COPY and CALL run for long without the executor's knowing. */
static bool
may_rely(Node *stmt)
{
	return (IsA(stmt, CopyStmt) || IsA(stmt, CallStmt)) &&
		(jit_user_deadline(GetUserId()) != DT_NOEND || jit_set_role_is_temporary());
}

/* GRANT or REVOKE of a grant role, natively. */
static void
note_role_grant(const GrantRoleStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->granted_roles)
	{
		AccessPriv *priv = lfirst(lc);
		Oid			role = priv->priv_name ? get_role_oid(priv->priv_name, true) : InvalidOid;

		if (OidIsValid(role) && jit_role_kind(priv->priv_name) == JIT_ROLE_GRANT)
			jit_note_grant_changed(role);
	}
}

static void
jit_process_utility(PlannedStmt *pstmt, const char *query_string,
					bool read_only_tree, ProcessUtilityContext context,
					ParamListInfo params, QueryEnvironment *query_env,
					DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *stmt = pstmt->utilityStmt;
	UtilityCall call = {pstmt, query_string, read_only_tree, context, params,
	query_env, dest, qc};
	JitLastingState state = jit_lasting_state();
	JitHintFrame frame;

	if (!leads_out(stmt))
		check_set_role();
	if (IsA(stmt, RenameStmt))
		check_rename((RenameStmt *) stmt);
	else if (IsA(stmt, DropStmt))
		jit_before_drop((DropStmt *) stmt);
	if (!leads_out(stmt) && unlikely(needs_judging(GetUserId())))
		check_utility(stmt);

	if (IsA(stmt, CopyStmt))
		jit_push_hint(&frame, NIL, (CopyStmt *) stmt);
	PG_TRY();
	{
		jit_check_lasting(stmt);
		if (may_rely(stmt))
			jit_run_relying_utility(run_utility, &call);
		else
			run_utility(&call);
	}
	PG_FINALLY();
	{
		jit_restore_lasting_state(state);
	}
	PG_END_TRY();
	if (IsA(stmt, CopyStmt))
		jit_pop_hint(&frame);

	if (IsA(stmt, GrantRoleStmt))
		note_role_grant((GrantRoleStmt *) stmt);
	/* SET ROLE, while the membership is there; COMMIT leaves no transaction */
	if (GetOuterUserId() != GetSessionUserId() && IsTransactionState())
		note_set_role();
}

/* ----------------------------------------------------------------------
 * What the executor hook doesn't see
 * ----------------------------------------------------------------------
 */

static bool
lost_privilege(Oid classid, Oid objid, AclMode mode)
{
	Oid			userid = GetUserId();
	List	   *closure;

	if (likely(!needs_judging(userid)))
		return false;
	closure = live_closure(userid);
	return closure == NIL ||
		!(jit_object_aclmask(classid, objid, 0, closure, mode) ||
		  list_member_oid(closure, jit_object_owner(classid, objid)));
}

/* Has the function the default privileges, so that anybody may run it? */
static bool
is_public_function(Oid objid)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(objid));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = heap_attisnull(tuple, Anum_pg_proc_proacl, NULL);
	ReleaseSysCache(tuple);
	return result;
}

static void
note_role(Oid role)
{
	jit_note_role_changed(role);
	if (jit_role_kind_by_oid(role) == JIT_ROLE_GRANT)
		jit_note_grant_changed(role);
}

static void
jit_object_access(ObjectAccessType access, Oid classid, Oid objid, int subid,
				  void *arg)
{
	if (next_object_access_hook)
		next_object_access_hook(access, classid, objid, subid, arg);

	switch (access)
	{
		case OAT_FUNCTION_EXECUTE:
			if (likely(jit_user_deadline(GetUserId()) == DT_NOEND))
				break;
			if (lost_privilege(ProcedureRelationId, objid, ACL_EXECUTE))
				deny("function", get_func_name(objid), GetUserId(), NULL);
			if (!is_public_function(objid) && !superuser())
				jit_note_reliance(GetUserId(), NULL, ProcedureRelationId,
								  objid, ACL_EXECUTE);
			break;
		case OAT_NAMESPACE_SEARCH:
			{
				ObjectAccessNamespaceSearch *search = arg;

				if (!lost_privilege(NamespaceRelationId, objid, ACL_USAGE))
					break;
				if (search->ereport_on_violation)
					deny("schema", get_namespace_name(objid), GetUserId(), NULL);
				search->result = false;
				break;
			}
		case OAT_TRUNCATE:
			if (lost_privilege(RelationRelationId, objid, ACL_TRUNCATE))
				deny("table", get_rel_name(objid), GetUserId(), NULL);
			break;
		case OAT_POST_CREATE:
			jit_check_lasting_object(access, classid, objid, subid, arg);
			if (classid == DatabaseRelationId)
				jit_wake_launcher_at_commit();
			break;
		case OAT_POST_ALTER:
			jit_check_lasting_object(access, classid, objid, subid, arg);
			/* a deadline may have been changed natively */
			if (classid == AuthIdRelationId)
				note_role(objid);
			else if (classid == DatabaseRelationId)
				jit_wake_launcher_at_commit();
			break;
		case OAT_DROP:
			if (classid == AuthIdRelationId)
				note_role(objid);
			jit_object_dropped(classid, objid);
			break;
		default:
			break;
	}
}

/*
 * Plans that depend on who has which role aren't invalidated when a
 * membership goes; those made while there was temporary access must be.
 */
static void
forget_plans(Datum arg, int cacheid, uint32 hashvalue)
{
	if (temporary_seen)
		ResetPlanCache();
}

/* Called from _PG_init() only. */
void
jit_install_enforcement(void)
{
	next_check_perms_hook = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = jit_check_perms;
	next_executor_start_hook = ExecutorStart_hook;
	ExecutorStart_hook = jit_executor_start;
	next_executor_end_hook = ExecutorEnd_hook;
	ExecutorEnd_hook = jit_executor_end;
	next_process_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = jit_process_utility;
	next_planner_hook = planner_hook;
	planner_hook = jit_planner;
	next_object_access_hook = object_access_hook;
	object_access_hook = jit_object_access;
	CacheRegisterSyscacheCallback(AUTHMEMMEMROLE, forget_plans, (Datum) 0);
}
