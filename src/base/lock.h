/*-------------------------------------------------------------------------
 *
 * lock.h
 *		Locks that are waited for, but not for good.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_LOCK_H
#define JIT_BASE_LOCK_H

#include "storage/lock.h"

/* How long what is given and recorded waits, in milliseconds. */
#define JIT_LONGEST_WAIT	5000	/* for objects, and the cluster's lock */
#define JIT_SHORTEST_WAIT	200 /* under the cluster's lock */
#define JIT_WAIT_TO_END		1000	/* of what ends access */

/* The same as lock_timeout */
#define JIT_LONGEST_WAIT_TEXT	CppAsString2(JIT_LONGEST_WAIT)
#define JIT_SHORTEST_WAIT_TEXT	CppAsString2(JIT_SHORTEST_WAIT)

extern bool jit_lock_failed(ErrorData *error);
extern bool jit_wait_for_lock(const LOCKTAG *tag, LOCKMODE mode, int timeout);
extern bool jit_lock_cluster(int timeout);
extern void jit_start_waiting(int milliseconds);
extern int	jit_time_left(void);
extern void jit_rethrow_locked(MemoryContext context, const char *what) pg_attribute_noreturn();
extern void jit_lock_object(Oid classid, Oid objid, LOCKMODE mode,
							const char *what);
extern bool jit_lock_object_if_free(Oid classid, Oid objid, LOCKMODE mode);

#endif							/* JIT_BASE_LOCK_H */
