/*-------------------------------------------------------------------------
 *
 * ending.h
 *		Ending grants.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_ENDING_H
#define JIT_REQUEST_ENDING_H

#include "base/due.h"

typedef struct JitGrant
{
	int			request;
	Oid			role_oid;
	char	   *role;			/* jit_grant_<database oid>_<request> */
	Oid			grantee_oid;
	char	   *grantee;
	TimestampTz expires_at;
	bool		cluster;		/* made in this cluster: OIDs of roles count */
} JitGrant;

extern Oid	jit_find_grant_role(const JitGrant *grant);
extern bool jit_end_role(Oid roleid, bool wait);
extern bool jit_end_grant(const JitGrant *grant);
extern void jit_expire_spent(Oid roleid);
extern bool jit_expire_grant(int request);
extern int	jit_end_foreign_grants(Oid grantee, const char *reason);
extern TimestampTz jit_clear_past_roles(JitWhoseRoles whose, bool ledger,
										TimestampTz logged, bool terminate);
extern void jit_before_drop(const DropStmt *stmt);
extern void jit_object_dropped(Oid classid, Oid objid);

#endif							/* JIT_REQUEST_ENDING_H */
