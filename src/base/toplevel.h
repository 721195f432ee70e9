/*-------------------------------------------------------------------------
 *
 * toplevel.h
 *		Is what is called a statement of the client's own?
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_TOPLEVEL_H
#define JIT_BASE_TOPLEVEL_H

#include "access/transam.h"
#include "nodes/plannodes.h"
#include "nodes/primnodes.h"

/*
 * Our mark on a plan, among its invalItems.  The plan cache looks for system
 * cache numbers there and so never at it; enforce/executor.c has others.
 */
#define JIT_MARK_TOP_LEVEL (-4)

extern Oid	jit_last_foreign;

extern bool jit_is_own_call(Query *query);
extern void jit_require_top_level(FunctionCallInfo fcinfo);

/* Can the expression be, or hold, a call of ours? */
static inline bool
jit_may_call(Node *expr)
{
	if (IsA(expr, Const) || IsA(expr, Var))
		return false;
	if (!IsA(expr, FuncExpr))
		return true;
	return ((FuncExpr *) expr)->funcid < FirstUnpinnedObjectId ?
		((FuncExpr *) expr)->args != NIL :
		((FuncExpr *) expr)->funcid != jit_last_foreign;
}

static inline bool
jit_may_call_any(List *targetList)
{
	ListCell   *lc;

	foreach(lc, targetList)
	{
		if (unlikely(jit_may_call((Node *) ((TargetEntry *) lfirst(lc))->expr)))
			return true;
	}
	return false;
}

/*
 * Does it take a closer look to see whether the query is a call of ours?  Most
 * queries cost no more than that.
 */
static inline bool
jit_may_be_own_call(Query *query)
{
	RangeTblEntry *rte;

	if (list_length(query->rtable) > 1)
		return false;
	if (jit_may_call_any(query->targetList))
		return true;
	if (query->rtable == NIL)
		return false;
	rte = linitial(query->rtable);
	return rte->rtekind == RTE_FUNCTION &&
		jit_may_call(((RangeTblFunction *) linitial(rte->functions))->funcexpr);
}

#endif							/* JIT_BASE_TOPLEVEL_H */
