/*-------------------------------------------------------------------------
 *
 * grant.h
 *		Making grants.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_GRANT_H
#define JIT_REQUEST_GRANT_H

extern char *jit_grant_role_name(int request);
extern char *jit_query_role_name(int request, Oid grantee);
extern void jit_make_grant(int request, Oid grantee, List *items,
						   TimestampTz expires_at, const char *comment,
						   bool statement);
extern void jit_give_grant(int request, Oid grantee, List *items, bool statement);

#endif							/* JIT_REQUEST_GRANT_H */
