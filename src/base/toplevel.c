/*-------------------------------------------------------------------------
 *
 * toplevel.c
 *		Is what is called a statement of the client's own?
 *
 * Deciding takes the client's own words: whoever may approve uses views,
 * functions, triggers and prepared statements that others have made, and none
 * of them may decide in their name.  So two things are looked at:
 *
 *	the query	when the planner comes to the call: it is the call, over
 *				nothing, alone in FROM, or over a view of ours, and calls
 *				nothing else that could run code of a user's.  That is marked
 *				in its plan, and that it isn't so is, too: a query has several
 *				calls, some of which may be in what is inlined only later.
 *				This says nothing of who sent it: a function may well run such
 *				a query
 *	the portal	when the function is called: it is the unnamed one, which only
 *				the protocol makes, what it runs is so marked, and goes to the
 *				client, and its statement, if that was prepared by name, came
 *				by protocol, too
 *
 * What hands out a set that it has removed (jit_archive) is nothing but the
 * call, in the target list or alone in FROM, so that it is handed out whole.
 *
 * A marked plan runs no code of a user's, hence what is called while such a
 * portal is the active one is what its client wrote.  Triggers that are
 * deferred run when the portal is gone; cursors, EXECUTE, EXPLAIN, COPY and
 * CREATE TABLE AS have another, or one without a plan of its own; a function
 * call by protocol, and a worker, have none.
 *
 * The planner asks the support function of whatever decides, which so costs
 * nobody else anything:
 *
 *	expression is simplified	the query around it is as it was written, save
 *								for parts that were simplified before; these
 *								are harmless as they are now, or the plan
 *								isn't marked as ours
 *	it is in a SQL function		it is asked when that is inlined, which is while
 *	that is inlined				the call of that one is still in the query
 *	it is in a view's query		that has a level of its own, or is pulled up:
 *								the query's range table then has more entries.
 *								While it is pulled up, functions in its FROM
 *								are simplified in a level that looks like the
 *								top one; hence the finished plan's range table
 *								is looked at, too
 *	it isn't asked				no mark, and nothing is decided
 *
 * Whatever is not known here counts as somebody else's.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/guc.h"
#include "base/query.h"
#include "base/roles.h"
#include "base/toplevel.h"

#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "commands/prepare.h"
#include "executor/execdesc.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "tcop/pquery.h"
#include "utils/fmgroids.h"

/*
 * Our mark on a plan, among its invalItems, whose "hash value" says more.  The
 * plan cache looks for system cache numbers there and so never at it;
 * enforce/executor.c has others.
 */
#define MARK_DECIDING (-4)
#define MARK_FOREIGN 0			/* not only that, or not known */
#define MARK_CALL 1				/* the call is all there is */
#define MARK_CALL_OVER_VIEW 2	/* and one view of ours */

PG_FUNCTION_INFO_V1(jit_deciding_support);

/* ----------------------------------------------------------------------
 * The query
 * ----------------------------------------------------------------------
 */

static bool
is_pinned(Oid oid)
{
	return oid < FirstUnpinnedObjectId;
}

/* Is the object of our extension's? */
static bool
is_ours(Oid classid, Oid objid)
{
	Oid			extension = is_pinned(objid) ? InvalidOid : getExtensionOfObject(classid, objid);

	return OidIsValid(extension) && extension == get_extension_oid(JIT_EXTENSION, true);
}

/* Dates and times, which depend on settings, so that functions are stable. */
static bool
is_time_type(Oid type)
{
	switch (type)
	{
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case INTERVALOID:
			return true;
	}
	return false;
}

/* Is a stable function one of dates and times, and of numbers and texts? */
static bool
is_about_times(Form_pg_proc form)
{
	bool		times = is_time_type(form->prorettype);
	bool		plain = true;

	for (int i = -1; i < form->pronargs; i++)
	{
		Oid			type = i < 0 ? form->prorettype : form->proargtypes.values[i];

		times |= is_time_type(type);
		switch (type)
		{
			case BOOLOID:
			case INT2OID:
			case INT4OID:
			case INT8OID:
			case FLOAT8OID:
			case NUMERICOID:
			case TEXTOID:
				break;
			default:
				plain &= is_time_type(type);
		}
	}
	return times && plain;
}

/*
 * Could the function run code that a user has written?  For
 * check_functions_in_node(); context is a bool, set if it is one of ours.
 */
static bool
is_foreign_function(Oid funcid, void *context)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	Form_pg_proc form;
	bool		foreign = true;

	if (!HeapTupleIsValid(tuple))
		return true;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	if (!is_pinned(funcid))
	{
		/* the name first: nothing else costs little */
		if (form->pronamespace == PG_CATALOG_NAMESPACE &&
			strncmp(NameStr(form->proname), JIT_ROLE_PREFIX, strlen(JIT_ROLE_PREFIX)) == 0 &&
			is_ours(ProcedureRelationId, funcid))
		{
			*(bool *) context = true;
			foreign = false;
		}
	}
	else if (form->provolatile == PROVOLATILE_IMMUTABLE || funcid == F_CLOCK_TIMESTAMP)
		foreign = false;
	else if (form->provolatile == PROVOLATILE_STABLE)
		foreign = !is_about_times(form);
	ReleaseSysCache(tuple);
	return foreign;
}

/* A type whose text conversions are PostgreSQL's: no domain, no composite. */
static bool
converts_plainly(Oid type)
{
	return (is_pinned(type) && get_typtype(type) == TYPTYPE_BASE && !type_is_array(type)) ||
		is_ours(TypeRelationId, type);
}

/*
 * Is there anything in an expression but what is known to be harmless, and
 * calls of ours?  context is a bool, set if there is such a call.
 */
static bool
has_foreign_part(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Var:
			if (((Var *) node)->varattno <= 0)
				return true;
			break;
		case T_Param:
			if (((Param *) node)->paramkind != PARAM_EXTERN)
				return true;
			break;
		case T_CoerceViaIO:
			return !converts_plainly(exprType(node)) ||
				!converts_plainly(exprType((Node *) ((CoerceViaIO *) node)->arg)) ||
				has_foreign_part((Node *) ((CoerceViaIO *) node)->arg, context);
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
			if (check_functions_in_node(node, is_foreign_function, context))
				return true;
			break;
		case T_ArrayCoerceExpr:
		case T_ArrayExpr:
		case T_BooleanTest:
		case T_BoolExpr:
		case T_CaseTestExpr:	/* an element, for ArrayCoerceExpr */
		case T_CoalesceExpr:
		case T_Const:
		case T_FromExpr:
		case T_List:
		case T_NamedArgExpr:
		case T_NullTest:
		case T_RangeTblFunction:
		case T_RangeTblRef:
		case T_RelabelType:
		case T_SQLValueFunction:
		case T_TargetEntry:
			break;
		default:
			return true;
	}
	return expression_tree_walker(node, has_foreign_part, context);
}

/* Is it sorted by operators of PostgreSQL's? */
static bool
sorts_plainly(List *clauses)
{
	ListCell   *lc;

	foreach(lc, clauses)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);

		if (!is_pinned(clause->eqop) || !is_pinned(clause->sortop))
			return false;
	}
	return true;
}

/*
 * Is a set of ours handed out whole, in its order?  The rest is for
 * mark_for() to see.
 */
static bool
hands_out_whole(Query *query)
{
	RangeTblEntry *rte = linitial_node(RangeTblEntry, query->rtable);
	Expr	   *value;

	if (list_length(query->targetList) != 1 || query->sortClause != NIL ||
		query->limitOffset != NULL || query->limitCount != NULL ||
		query->jointree->quals != NULL)
		return false;
	value = linitial_node(TargetEntry, query->targetList)->expr;
	if (rte->rtekind == RTE_RESULT)
		return IsA(value, FuncExpr) && ((FuncExpr *) value)->funcretset &&
			!expression_returns_set((Node *) ((FuncExpr *) value)->args);
	return rte->rtekind == RTE_FUNCTION && list_length(rte->functions) == 1 &&
		IsA(value, Var) && ((Var *) value)->varattno == 1;
}

/*
 * Is the query nothing but a call of ours?  Returns our mark for its plan.
 * "set" says that the call returns one.
 */
static int
mark_for(Query *query, bool set)
{
	bool		called = false;
	RangeTblEntry *rte;

	if (query->commandType != CMD_SELECT || list_length(query->rtable) != 1 ||
		list_length(query->jointree->fromlist) != 1 ||
		query->hasAggs || query->hasWindowFuncs ||
		query->hasSubLinks || query->hasModifyingCTE || query->hasForUpdate ||
		query->cteList != NIL || query->groupClause != NIL ||
		query->groupingSets != NIL || query->havingQual != NULL ||
		query->windowClause != NIL || query->distinctClause != NIL ||
		query->setOperations != NULL || query->rowMarks != NIL ||
		(set ? !hands_out_whole(query) : query->hasTargetSRFs) ||
		!sorts_plainly(query->sortClause) ||
		has_foreign_part((Node *) query->targetList, &called) ||
		has_foreign_part((Node *) query->jointree, &called) ||
		has_foreign_part(query->limitOffset, &called) ||
		has_foreign_part(query->limitCount, &called))
		return MARK_FOREIGN;
	rte = linitial_node(RangeTblEntry, query->rtable);
	switch (rte->rtekind)
	{
		case RTE_RESULT:
			return called ? MARK_CALL : MARK_FOREIGN;
		case RTE_FUNCTION:
			if (has_foreign_part((Node *) rte->functions, &called) || !called)
				return MARK_FOREIGN;
			return MARK_CALL;
		case RTE_SUBQUERY:
			if (!called || !OidIsValid(JIT_VIEW_OF(rte)) ||
				!is_ours(RelationRelationId, JIT_VIEW_OF(rte)))
				return MARK_FOREIGN;
			return MARK_CALL_OVER_VIEW;
		default:
			return MARK_FOREIGN;
	}
}

/* The planner support function of what decides. */
Datum
jit_deciding_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	PlannerInfo *root;
	PlanInvalItem *mark;

	if (!IsA(request, SupportRequestSimplify))
		PG_RETURN_POINTER(NULL);
	root = ((SupportRequestSimplify *) request)->root;
	/* expressions alone, of which there is no query, have no plan to mark */
	if (root == NULL || root->parse == NULL)
		PG_RETURN_POINTER(NULL);
	mark = makeNode(PlanInvalItem);
	mark->cacheId = MARK_DECIDING;
	mark->hashValue = root->parent_root == NULL ? mark_for(root->parse, ((SupportRequestSimplify *) request)->fcall->funcretset) :
		MARK_FOREIGN;
	root->glob->invalItems = lappend(root->glob->invalItems, mark);
	PG_RETURN_POINTER(NULL);
}

/* ----------------------------------------------------------------------
 * The portal
 * ----------------------------------------------------------------------
 */

/* Is it the plan of a call of ours? */
static bool
is_marked(const PlannedStmt *plan)
{
	bool		marked = false;
	ListCell   *lc;

	foreach(lc, plan->invalItems)
	{
		PlanInvalItem *item = lfirst_node(PlanInvalItem, lc);

		if (item->cacheId != MARK_DECIDING)
			continue;
		if (item->hashValue == MARK_FOREIGN ||
			(item->hashValue == MARK_CALL && list_length(plan->rtable) != 1))
			return false;
		marked = true;
	}
	return marked;
}

/*
 * Is what calls us a statement of the client's own?  True also where a
 * superuser has said that it needn't be.
 */
static bool
at_top_level(void)
{
	Portal		portal = ActivePortal;

	/* what has been approved decides nothing in the name of who runs it */
	if (jit_is_running())
		return false;
	if (!jit_top_level_only)
		return true;
	if (MyProcPort == NULL || !PortalIsValid(portal) || portal->name[0] != '\0' ||
		portal->strategy != PORTAL_ONE_SELECT || portal->queryDesc == NULL ||
		!is_marked(portal->queryDesc->plannedstmt))
		return false;

	/* a function can FETCH from the unnamed portal while another one runs */
	if (portal->queryDesc->dest->mydest != DestRemote &&
		portal->queryDesc->dest->mydest != DestRemoteExecute)
		return false;

	/* a name may be another statement's since the portal was made of it */
	if (portal->prepStmtName != NULL)
	{
		PreparedStatement *statement = FetchPreparedStatement(portal->prepStmtName, false);

		return statement != NULL && !statement->from_sql &&
			strcmp(statement->plansource->query_string, portal->sourceText) == 0;
	}
	return true;
}

/*
 * Raise unless the function is called by a statement of the client's own.
 */
void
jit_require_top_level(FunctionCallInfo fcinfo)
{
	const char *name;

	if (at_top_level())
		return;
	name = get_func_name(fcinfo->flinfo->fn_oid);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("%s() must be called in a statement of its own", name),
			 errdetail("What it does in your name, nobody else's view, function, trigger, cursor or prepared statement may do for you."),
			 errhint("Send SELECT %s(...); by itself, without a cursor (FETCH_COUNT, a fetch size). For many at once, make such statements with format() and run them with \\gexec.",
					 name)));
}
