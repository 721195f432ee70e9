/*-------------------------------------------------------------------------
 *
 * lasting.h
 *		Temporary access can't make lasting access: objects.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ENFORCE_LASTING_H
#define JIT_ENFORCE_LASTING_H

#include "enforce/authority.h"
#include "catalog/objectaccess.h"

/* Relations that the command has taken a policy, trigger or rule from. */
extern List *jit_unguarded;

/* Types of ranges that it has made. */
extern List *jit_made_ranges;

extern bool jit_is_foreign(Oid classid, Oid objid, Oid owner);
extern bool jit_owns_relation(JitAuthority *authority, Oid relid);
extern bool jit_authorized(JitAuthority *authority, bool created, Oid classid,
						   Oid objid, Oid auxiliary);
extern void jit_check_lasting_object(ObjectAccessType access, Oid classid,
									 Oid objid, int subid, void *arg);
extern void jit_check_lasting_drop(Oid classid, Oid objid, int dropflags);
extern void jit_check_lasting_done(void);

#endif							/* JIT_ENFORCE_LASTING_H */
