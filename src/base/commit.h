/*-------------------------------------------------------------------------
 *
 * commit.h
 *		What is done before a transaction commits, and in which order.
 *
 * A step is called with every event of RegisterXactCallback(), in this order.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_COMMIT_H
#define JIT_BASE_COMMIT_H

#include "access/xact.h"

#pragma GCC visibility push(hidden)

typedef enum JitCommitStep
{
	JIT_COMMIT_DROP,			/* roles whose members are gone are dropped */
	JIT_COMMIT_TELL,			/* what others are told of is looked up */
	JIT_COMMIT_JUDGE			/* may it be committed?  The last word */
} JitCommitStep;

extern void jit_add_commit_step(JitCommitStep step, XactCallback callback);
extern void jit_run_commit_steps_first(void);

#pragma GCC visibility pop

#endif							/* JIT_BASE_COMMIT_H */
