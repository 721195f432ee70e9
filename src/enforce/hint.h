/*-------------------------------------------------------------------------
 *
 * hint.h
 *		What to ask for, in the hint of a denial.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ENFORCE_HINT_H
#define JIT_ENFORCE_HINT_H

#include "executor/execdesc.h"

#pragma GCC visibility push(hidden)

/*
 * A query that is being planned or started, or a COPY: for the hint of a
 * denial, and for what it relies on.  Frames are on the C stack, and linked
 * in error_context_stack, which an error sets back.
 */
typedef struct JitStatementFrame
{
	ErrorContextCallback callback;
	QueryDesc  *starting;		/* NULL unless in its ExecutorStart; then */
	CopyStmt   *copy;			/* NULL unless it is one; then */
	List	   *perminfos;		/* of JitPermInfo */
	bool		checked;		/* have roles and marks been checked for it? */
	uint64		generation;		/* of the roles, when they were */
	struct JitReliance *reliance;	/* what that has been found to rely on */
	struct Running *running;	/* innermost relying statement around it */
	List	   *functions;		/* while planning: that the planner executed */
	MemoryContext context;		/* ... where to keep that */
} JitStatementFrame;

extern bool jit_denial_explained;
extern void jit_hint_callback(void *arg);

extern int	jit_errhint_ended(List *perminfos, int request);
extern void jit_install_hint(char *(*suggestion) (const char *access, int pending,
												  int rejected));

#pragma GCC visibility pop

#endif							/* JIT_ENFORCE_HINT_H */
