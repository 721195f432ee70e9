/*-------------------------------------------------------------------------
 *
 * executor.c
 *		Queries: what they may read and write, and their plans.
 *
 * The permission hook runs after PostgreSQL's own check, the planner's and
 * ExecutorStart's before what they stand for; each can only raise.  A plan
 * carries marks for what was decided when it was made and nobody asks again:
 * row-level security policies that were chosen by temporary roles, functions
 * that the planner has executed.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/text.h"
#include "enforce/cutoff.h"
#include "enforce/executor.h"
#include "enforce/objects.h"
#include "enforce/statements.h"

#include "access/relation.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/pathnode.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rowsecurity.h"

static ExecutorCheckPerms_hook_type next_check_perms_hook = NULL;
static ExecutorStart_hook_type next_executor_start_hook;
static planner_hook_type next_planner_hook;
static JIT_SIMPLE_REL_HOOK_TYPE next_simple_rel_hook;

/*
 * Our marks on a plan, among its invalItems.  The plan cache looks for system
 * cache numbers there and so never at these; base/toplevel.c has another.
 */
#define MARK_USER (-1)			/* the following roles are this user's */
#define MARK_ROLE (-2)
#define MARK_FUNCTION (-3)

/* Is a permission entry permitted by access that has ended, and no other? */
static inline bool
has_ended(Oid userid, TimestampTz deadline, const JitWanted *wanted)
{
	return jit_past_for(userid, deadline) &&
		!jit_gives(jit_live_closure(userid), wanted);
}

/*
 * Judge what a list of permission entries asks for.  Returns false, or
 * raises, at the first that relies on what has ended.  "running": note what
 * relies on what hasn't.  Then it is judged again: what ends in between is
 * denied, what ends later is noted and cut off.  "frame" is that of the query, if
 * temporary access had been seen when it began: when roles have changed since,
 * what PostgreSQL has said may be about what is gone.
 */
static bool
check_perminfos(List *perminfos, bool ereport_on_violation, bool running,
				const JitStatementFrame *frame)
{
	ListCell   *lc;

	foreach(lc, perminfos)
	{
		JitPermInfo *info = lfirst(lc);
		JitWanted	wanted = {.info = info};
		Oid			userid;
		TimestampTz deadline;

		if (!JIT_PERMINFO_IS_RELATION(info) || info->requiredPerms == 0)
			continue;
		userid = OidIsValid(info->checkAsUser) ? info->checkAsUser : GetUserId();
		deadline = jit_user_deadline(userid);
		if (likely(deadline == DT_NOEND) && userid != jit_command_user &&
			(frame == NULL || frame->generation == jit_roles_generation))
			continue;
		/* what has ended isn't begun: it would be cut off */
		if (!has_ended(userid, deadline, &wanted))
		{
			if (!running || superuser_arg(userid))
				continue;
			jit_note_reliance(userid, info, InvalidOid, InvalidOid, 0, false);
			/* all that the user had may have been taken away */
			deadline = jit_user_deadline(userid);
			if (deadline == DT_NOEND)
				deadline = DT_NOBEGIN;
			if (!has_ended(userid, deadline, &wanted))
				continue;
		}
		if (!ereport_on_violation)
			return false;
		jit_deny(jit_relation_kind(info->relid), get_rel_name(info->relid), userid,
				 &wanted);
	}
	return true;
}

static pg_noinline bool
check_relations(List *perminfos, bool ereport_on_violation)
{
	JitStatementFrame *frame = jit_checked_frame();
	bool		writes = false;
	ListCell   *lc;

	/* begin_start() has done it if temporary access had been seen by then */
	if (frame == NULL)
	{
		jit_note_set_role();
		if (jit_set_role_is_temporary())
		{
			foreach(lc, perminfos)
				writes |= (((JitPermInfo *) lfirst(lc))->requiredPerms & ~ACL_SELECT) != 0;
			jit_note_reliance(jit_set_role_session, NULL, AuthIdRelationId,
							  jit_set_role_outer, JIT_SET_ROLE, writes);
			jit_statement_reads(perminfos);
		}
		jit_check_roles();
	}
	return check_perminfos(perminfos, ereport_on_violation, true, frame);
}

static bool
jit_check_perms(JIT_CHECK_PERMS_ARGS)
{
	ListCell   *lc;

	if (unlikely(next_check_perms_hook != NULL) &&
		!next_check_perms_hook(JIT_CHECK_PERMS_PASS))
		return false;
	if (!jit_quiet())
		return check_relations(JIT_CHECK_PERMS_INFOS, ereport_on_violation);
	foreach(lc, JIT_CHECK_PERMS_INFOS)
	{
		if (unlikely(OidIsValid(((JitPermInfo *) lfirst(lc))->checkAsUser)))
			return check_relations(JIT_CHECK_PERMS_INFOS, ereport_on_violation);
	}
	return true;
}

/*
 * Is a row-level security policy of the relation, or its owner's passing all
 * of them, the role's?
 */
static bool
policies_name(Relation rel, Oid role)
{
	ListCell   *lc;

	if (!rel->rd_rel->relrowsecurity)
		return false;
	if (rel->rd_rel->relowner == role)
		return true;
	if (rel->rd_rsdesc == NULL)
		return false;
	foreach(lc, rel->rd_rsdesc->policies)
	{
		RowSecurityPolicy *policy = lfirst(lc);
		Oid		   *roles = (Oid *) ARR_DATA_PTR(policy->roles);

		for (int i = 0; i < ARR_DIMS(policy->roles)[0]; i++)
		{
			if (roles[i] == role)
				return true;
		}
	}
	return false;
}

static void
mark(PlannedStmt *plan, int kind, Oid oid)
{
	PlanInvalItem *item = makeNode(PlanInvalItem);

	item->cacheId = kind;
	item->hashValue = oid;
	plan->invalItems = lappend(plan->invalItems, item);
}

/*
 * Note in a plan which roles that its users have for a time only decided
 * which row-level security policies are in it.  PostgreSQL chooses them when
 * it rewrites the query, by the whole closure, and neither looks again when
 * a cached plan is run nor while a plan is in use.
 */
static void
mark_policies(PlannedStmt *plan)
{
	ListCell   *lc;

	foreach(lc, JIT_PLAN_PERMINFOS(plan))
	{
		JitPermInfo *info = lfirst(lc);
		Oid			userid;
		Relation	rel;
		List	   *standing;
		bool		named = false;
		ListCell   *lr;

		if (!JIT_PERMINFO_IS_RELATION(info) || info->requiredPerms == 0)
			continue;
		userid = OidIsValid(info->checkAsUser) ? info->checkAsUser : GetUserId();
		if (jit_user_deadline(userid) == DT_NOEND)
			continue;
		standing = jit_role_closure(userid, JIT_CLOSURE_PRIVS,
									JIT_FILTER_STANDING, 0);
		rel = relation_open(info->relid, AccessShareLock);
		foreach(lr, jit_whole_closure(userid))
		{
			if (list_member_oid(standing, lfirst_oid(lr)) ||
				!policies_name(rel, lfirst_oid(lr)))
				continue;
			if (!named)
				mark(plan, MARK_USER, userid);
			named = true;
			mark(plan, MARK_ROLE, lfirst_oid(lr));
		}
		relation_close(rel, AccessShareLock);
	}
}

/* Note in a plan which functions, that its user has for a time, are in it. */
static void
mark_functions(PlannedStmt *plan, List *functions, Oid userid)
{
	ListCell   *lc;

	if (functions == NIL)
		return;
	mark(plan, MARK_USER, userid);
	foreach(lc, functions)
		mark(plan, MARK_FUNCTION, lfirst_oid(lc));
}

static bool
writes_data(PlannedStmt *plan)
{
	return plan->commandType != CMD_SELECT || plan->hasModifyingCTE;
}

/*
 * Note that a plan relies on what it has been marked with, and raise if that
 * isn't live any more: in this order, see check_perminfos().
 */
static void
check_marks(PlannedStmt *plan)
{
	Oid			userid = InvalidOid;
	List	   *live = NIL;
	ListCell   *lc;

	foreach(lc, plan->invalItems)
	{
		PlanInvalItem *item = lfirst_node(PlanInvalItem, lc);

		if (item->cacheId == MARK_USER)
			userid = item->hashValue;
		else if (item->cacheId == MARK_ROLE)
			jit_note_reliance(userid, NULL, AuthIdRelationId, item->hashValue,
							  0, writes_data(plan));
		else if (item->cacheId == MARK_FUNCTION)
			jit_note_reliance(userid, NULL, ProcedureRelationId,
							  item->hashValue, ACL_EXECUTE, false);
	}
	foreach(lc, plan->invalItems)
	{
		PlanInvalItem *item = lfirst_node(PlanInvalItem, lc);
		JitWanted	wanted = {0};

		if (item->cacheId == MARK_USER)
		{
			userid = item->hashValue;
			list_free(live);
			live = jit_live_closure(userid);
		}
		else if (item->cacheId == MARK_ROLE &&
				 !list_member_oid(live, item->hashValue))
		{
			wanted.role = item->hashValue;
			jit_deny("row-level security policies of role",
					 quote_identifier(jit_role_name(wanted.role)), userid, &wanted);
		}
		else if (item->cacheId == MARK_FUNCTION)
		{
			wanted.classid = ProcedureRelationId;
			wanted.objid = item->hashValue;
			wanted.mode = ACL_EXECUTE;
			if (!jit_gives(live, &wanted))
				jit_deny("function", get_func_name(wanted.objid), userid, &wanted);
		}
	}
	list_free(live);
}

/*
 * The user may have temporary access: what the query relies on besides its
 * permission entries.
 */
static pg_noinline void
begin_start(JitStatementFrame *frame)
{
	PlannedStmt *plan = frame->starting->plannedstmt;

	/* takes in a REVOKE: inside a running DO block nothing else does */
	if (jit_user_deadline(GetUserId()) != DT_NOEND)
		jit_begin_reliance(frame);
	else
		jit_accept_invalidations();
	jit_note_set_role();
	if (frame->reliance == NULL &&
		(jit_set_role_is_temporary() || jit_user_deadline(GetUserId()) != DT_NOEND))
		jit_begin_reliance(frame);
	jit_note_set_role_reliance(writes_data(plan));
	jit_check_roles();
	check_marks(plan);
	/* the next statement may come after the end */
	jit_forget_search_path();
	frame->checked = true;
	frame->generation = jit_roles_generation;
}

static void
jit_executor_start(QueryDesc *query, int eflags)
{
	JitStatementFrame frame;

	frame.starting = query;
	jit_push_frame(&frame);
	if (unlikely(jit_temporary_seen))
		begin_start(&frame);
	next_executor_start_hook(query, eflags);
	jit_pop_frame(&frame);
	if (unlikely(frame.reliance != NULL))
		jit_keep_reliance(&frame);
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

		/* the first list is the query's own */
		if (*perminfos == NIL)
			*perminfos = list_copy(JIT_QUERY_PERMINFOS(query));
		else
			*perminfos = list_concat(*perminfos, JIT_QUERY_PERMINFOS(query));
		return query_tree_walker(query, collect_perminfos, perminfos, 0);
	}
	return expression_tree_walker(node, collect_perminfos, perminfos);
}

/* Does it write to what a view, whose owner's rights count, is made of? */
static bool
writes_for_others(Query *query)
{
	ListCell   *lc;

	foreach(lc, JIT_QUERY_PERMINFOS(query))
	{
		if (OidIsValid(((JitPermInfo *) lfirst(lc))->checkAsUser))
			return true;
	}
	return false;
}

/*
 * Can a view, whose owner's rights count, be in the query, or in a function
 * that the planner inlines?
 */
static inline bool
may_read_for_others(Query *query)
{
	ListCell   *lc;

	if (query->hasSubLinks || query->cteList != NIL)
		return true;
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_SUBQUERY || rte->rtekind == RTE_FUNCTION)
			return true;
	}
	return query->commandType != CMD_SELECT && writes_for_others(query);
}

/*
 * What the planner has taken into the query from a function that it has
 * inlined is in none of the permission entries that we have looked at.  It
 * comes by here before its statistics are used.
 */
static void
jit_simple_rel(JIT_SIMPLE_REL_ARGS)
{
	JitPermInfo *info = JIT_RTE_PERMINFO(root, planner_rt_fetch(rel->relid, root));

	if (next_simple_rel_hook)
		next_simple_rel_hook(JIT_SIMPLE_REL_PASS);
	if (info != NULL && (!jit_quiet() || OidIsValid(info->checkAsUser)))
		(void) check_perminfos(list_make1(info), true, false, NULL);
}

/* For the first query in this backend that functions may be inlined in. */
static void
install_simple_rel(void)
{
	static bool installed = false;

	if (installed)
		return;
	installed = true;
	next_simple_rel_hook = JIT_SIMPLE_REL_HOOK;
	JIT_SIMPLE_REL_HOOK = jit_simple_rel;
}

/*
 * The planner hands column statistics to operators before the executor has
 * checked anything: so whatever the executor would deny isn't planned.  It
 * also checks privileges on views itself, which deserves a hint like others.
 * "for_others": what may_read_for_others() says of the query.
 */
static pg_noinline PlannedStmt *
plan_checked(JIT_PLANNER_ARGS, bool for_others)
{
	PlannedStmt *plan;
	List	   *perminfos = NIL;
	bool		row_security = parse->hasRowSecurity;
	bool		look;
	JitStatementFrame frame;

	/*
	 * Row-level security policies have been chosen already: what chose them
	 * mustn't vanish before mark_policies() has seen it.
	 */
	if (!row_security)
		jit_accept_invalidations();
	jit_check_roles();
	look = for_others || jit_user_deadline(GetUserId()) != DT_NOEND;
	if (look)
	{
		if (for_others)
		{
			install_simple_rel();
			(void) collect_perminfos((Node *) parse, &perminfos);
		}
		else
			perminfos = JIT_QUERY_PERMINFOS(parse);
		frame.starting = NULL;
		frame.copy = NULL;
		frame.perminfos = perminfos;
		frame.functions = NIL;
		frame.context = CurrentMemoryContext;
		jit_push_frame(&frame);
		(void) check_perminfos(perminfos, true, false, NULL);
	}
	plan = next_planner_hook(JIT_PLANNER_PASS);
	if (look)
		jit_pop_frame(&frame);

	/* the planner sets dependsOnRole for policies in functions it inlined */
	if (unlikely(jit_temporary_seen) && (row_security || plan->dependsOnRole))
		mark_policies(plan);
	if (look)
		mark_functions(plan, frame.functions, GetUserId());
	return plan;
}

static PlannedStmt *
jit_planner(JIT_PLANNER_ARGS)
{
	bool		for_others = may_read_for_others(parse);

	if (for_others || !jit_quiet())
		return plan_checked(JIT_PLANNER_PASS, for_others);
	return next_planner_hook(JIT_PLANNER_PASS);
}

/* Called from _PG_init() only. */
void
jit_install_executor_hooks(void)
{
	next_check_perms_hook = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = jit_check_perms;
	next_executor_start_hook = ExecutorStart_hook ? ExecutorStart_hook : standard_ExecutorStart;
	ExecutorStart_hook = jit_executor_start;
	next_planner_hook = planner_hook ? planner_hook : standard_planner;
	planner_hook = jit_planner;
}
