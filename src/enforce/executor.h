/*-------------------------------------------------------------------------
 *
 * executor.h
 *		Queries: what they may read and write, and their plans.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ENFORCE_EXECUTOR_H
#define JIT_ENFORCE_EXECUTOR_H

extern void jit_install_executor_hooks(void);

#endif							/* JIT_ENFORCE_EXECUTOR_H */
