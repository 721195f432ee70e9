/*-------------------------------------------------------------------------
 *
 * toplevel.c
 *		Is what is called a statement of the client's own?
 *
 * Deciding takes the client's own words: whoever may approve uses views,
 * functions, triggers and prepared statements that others have made, and none
 * of them may decide in their name.  So two things are looked at:
 *
 *	the query	before it is planned, when nothing is inlined yet: it is the
 *				call, over nothing, alone in FROM, or over a view of ours, and
 *				calls nothing else that could run code of a user's.  Then its
 *				plan is marked.  This says nothing of who sent it: a function
 *				may well run such a query
 *	the portal	when the function is called: it is the unnamed one, which only
 *				the protocol makes, what it runs is so marked, and goes to the
 *				client, and its statement, if that was prepared by name, came
 *				by protocol, too
 *
 * A marked plan runs no code of a user's, hence what is called while such a
 * portal is the active one is what its client wrote.  Triggers that are
 * deferred run when the portal is gone; cursors, EXECUTE, EXPLAIN, COPY and
 * CREATE TABLE AS have another, or one without a plan of its own; a function
 * call by protocol, and a worker, have none.
 *
 * Whatever is not known here counts as somebody else's.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/guc.h"
#include "base/query.h"
#include "base/toplevel.h"

#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "commands/prepare.h"
#include "executor/execdesc.h"
#include "nodes/nodeFuncs.h"
#include "tcop/pquery.h"
#include "utils/fmgroids.h"

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
 * A function that was found to be another's, so that it isn't looked up every
 * time.  Should its OID ever become one of ours, that is refused.
 */
Oid			jit_last_foreign = InvalidOid;

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
	if (foreign)
		jit_last_foreign = funcid;
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

/* Is that all of FROM: nothing, one call, or one view of ours? */
static bool
has_plain_from(Query *query, bool *called)
{
	RangeTblEntry *rte;

	if (query->rtable == NIL)
		return query->jointree->fromlist == NIL;
	if (list_length(query->jointree->fromlist) != 1)
		return false;
	rte = linitial_node(RangeTblEntry, query->rtable);
	if (rte->rtekind == RTE_FUNCTION)
		return !has_foreign_part((Node *) rte->functions, called);
	return *called && rte->rtekind == RTE_SUBQUERY && OidIsValid(JIT_VIEW_OF(rte)) &&
		is_ours(RelationRelationId, JIT_VIEW_OF(rte));
}

/* Is there a call in it that could be one of ours? */
static bool
has_call(Node *node, void *context)
{
	if (node == NULL || IsA(node, Const) || IsA(node, Var))
		return false;
	/* what is in a call of another's needn't be looked at */
	if (IsA(node, FuncExpr) && !is_pinned(((FuncExpr *) node)->funcid))
		return ((FuncExpr *) node)->funcid != jit_last_foreign;
	return expression_tree_walker(node, has_call, context);
}

/* Is the query, which is not planned yet, nothing but a call of ours? */
bool
jit_is_own_call(Query *query)
{
	bool		called = false;

	return query->commandType == CMD_SELECT && list_length(query->rtable) <= 1 &&
		(query->rtable != NIL || has_call((Node *) query->targetList, NULL)) &&
		!query->hasAggs && !query->hasWindowFuncs && !query->hasTargetSRFs &&
		!query->hasSubLinks && !query->hasModifyingCTE && !query->hasForUpdate &&
		query->cteList == NIL && query->groupClause == NIL &&
		query->groupingSets == NIL && query->havingQual == NULL &&
		query->windowClause == NIL && query->distinctClause == NIL &&
		query->setOperations == NULL && query->rowMarks == NIL &&
		sorts_plainly(query->sortClause) &&
		!has_foreign_part((Node *) query->targetList, &called) &&
		!has_foreign_part((Node *) query->jointree, &called) &&
		!has_foreign_part(query->limitOffset, &called) &&
		!has_foreign_part(query->limitCount, &called) &&
		has_plain_from(query, &called) && called;
}

/* ----------------------------------------------------------------------
 * The portal
 * ----------------------------------------------------------------------
 */

static bool
is_marked(const PlannedStmt *plan)
{
	ListCell   *lc;

	foreach(lc, plan->invalItems)
	{
		if (lfirst_node(PlanInvalItem, lc)->cacheId == JIT_MARK_TOP_LEVEL)
			return true;
	}
	return false;
}

/*
 * Is what calls us a statement of the client's own?  True also where a
 * superuser has said that it needn't be.
 */
static bool
at_top_level(void)
{
	Portal		portal = ActivePortal;

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
