/*-------------------------------------------------------------------------
 *
 * toplevel.h
 *		Is what is called a statement of the client's own?
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_TOPLEVEL_H
#define JIT_BASE_TOPLEVEL_H

#include "nodes/plannodes.h"

/*
 * Our mark on a plan, among its invalItems.  The plan cache looks for system
 * cache numbers there and so never at it; enforce/executor.c has others.
 */
#define JIT_MARK_TOP_LEVEL (-4)

extern bool jit_may_be_own_call(Query *query);
extern bool jit_is_own_call(Query *query);
extern bool jit_at_top_level(void);
extern void jit_require_top_level(FunctionCallInfo fcinfo);

#endif							/* JIT_BASE_TOPLEVEL_H */
