/*-------------------------------------------------------------------------
 *
 * authority.h
 *		By what authority somebody acts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ENFORCE_AUTHORITY_H
#define JIT_ENFORCE_AUTHORITY_H

#include "base/roles.h"

/* Somebody's authority, and what was found to be missing from it. */
typedef struct JitAuthority
{
	Oid			userid;
	JitClosureFilter filter;
	List	   *closure;		/* NIL if there is none at all */
	Oid			missing_role;	/* InvalidOid if a privilege is missing */
	const char *missing_kind;
	char	   *missing_name;
} JitAuthority;

extern const char *jit_command;
extern Oid	jit_actor;

extern bool jit_actor_is_temporary(void);
extern bool jit_actor_must_be_judged(void);
extern void jit_get_authority(JitAuthority *authority, JitClosureFilter filter);
extern bool jit_lacks_role(JitAuthority *authority, Oid role);
extern bool jit_has_role(JitAuthority *authority, Oid role);
extern bool jit_may_give_to(JitAuthority *authority, Oid role);
extern bool jit_has_privilege(JitAuthority *authority, Oid classid, Oid objid,
							  AclMode mode);
extern bool jit_may_administer(JitAuthority *authority, Oid role);
extern void jit_refuse_lasting(const JitAuthority *authority) pg_attribute_noreturn();
extern void jit_check_owner(Oid role);

#endif							/* JIT_ENFORCE_AUTHORITY_H */
