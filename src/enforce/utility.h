/*-------------------------------------------------------------------------
 *
 * utility.h
 *		Utility statements.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ENFORCE_UTILITY_H
#define JIT_ENFORCE_UTILITY_H

extern void jit_install_utility_hook(void (*drop) (const DropStmt *stmt),
									 void (*label) (const SecLabelStmt *stmt));

#endif							/* JIT_ENFORCE_UTILITY_H */
