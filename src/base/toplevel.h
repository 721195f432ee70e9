/*-------------------------------------------------------------------------
 *
 * toplevel.h
 *		Is what is called a statement of the client's own?
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_TOPLEVEL_H
#define JIT_BASE_TOPLEVEL_H

extern void jit_require_top_level(FunctionCallInfo fcinfo);

#endif							/* JIT_BASE_TOPLEVEL_H */
