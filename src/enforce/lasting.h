/*-------------------------------------------------------------------------
 *
 * lasting.h
 *		What must not come from temporary access.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ENFORCE_LASTING_H
#define JIT_ENFORCE_LASTING_H

#include "catalog/objectaccess.h"

#pragma GCC visibility push(hidden)

/* The command being run, saved around commands that are run within it. */
typedef struct JitLastingState
{
	Oid			actor;
	const char *command;
	List	   *unguarded;
} JitLastingState;

extern JitLastingState jit_lasting_state(void);
extern void jit_restore_lasting_state(JitLastingState state);
extern void jit_check_lasting_drop(Oid classid, Oid objid, int dropflags);
extern void jit_check_lasting_done(void);
extern void jit_check_lasting(Node *stmt);
extern void jit_check_lasting_object(ObjectAccessType access, Oid classid,
									 Oid objid, int subid, void *arg);

#pragma GCC visibility pop

#endif							/* JIT_ENFORCE_LASTING_H */
