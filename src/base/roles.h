/*-------------------------------------------------------------------------
 *
 * roles.h
 *		Names of grant and scope roles, membership closures, deadlines.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_ROLES_H
#define JIT_BASE_ROLES_H

#include "base/catalog.h"

#pragma GCC visibility push(hidden)

typedef enum JitRoleKind
{
	JIT_ROLE_ORDINARY,
	JIT_ROLE_GRANT,				/* name starts with jit_grant_ */
	JIT_ROLE_SCOPE,				/* name starts with jit_scope_ */
	JIT_ROLE_QUERY				/* name starts with jit_query_ */
} JitRoleKind;

/* Which edges of the membership graph a closure follows. */
typedef enum JitClosureKind
{
	JIT_CLOSURE_PRIVS,			/* privileges that are inherited */
	JIT_CLOSURE_SET,			/* roles that SET ROLE reaches */
	JIT_CLOSURE_MEMBERS			/* every membership, whatever its options */
} JitClosureKind;

/* Which roles a closure leaves out. */
typedef enum JitClosureFilter
{
	JIT_FILTER_NONE,			/* none: PostgreSQL's own answer */
	JIT_FILTER_LIVE,			/* grant roles past their deadline, scope
								 * roles reached otherwise than through a live
								 * grant role, and query roles, as nobody is a
								 * member of these */
	JIT_FILTER_STANDING			/* all roles of ours */
} JitClosureFilter;

extern JitRoleKind jit_role_kind(const char *rolname);
extern JitRoleKind jit_role_kind_by_oid(Oid roleid);
extern bool jit_parse_grant_name(const char *rolname, Oid *database,
								 int *request);
extern Oid	jit_scope_database(const char *rolname);
extern bool jit_parse_query_name(const char *rolname, Oid *database,
								 int *request, Oid *grantee);
extern JitRoleKind jit_acting_role_kind(Oid roleid);
extern void jit_begin_running_as(Oid role);
extern void jit_end_running_as(void);
extern bool jit_is_running(void);
extern TimestampTz jit_role_deadline(Oid roleid);
extern bool jit_role_inherits(Oid roleid);
extern List *jit_role_closure(Oid roleid, JitClosureKind kind,
							  JitClosureFilter filter, TimestampTz now);
extern List *jit_direct_memberships(Oid roleid);
extern bool jit_grant_has_member(Oid role, Oid member);
extern bool jit_is_member(Oid member, Oid role, JitClosureFilter filter);
extern bool jit_holds_admin(Oid member, Oid role);
extern void jit_begin_role_depends(JitScan *scan, Oid roleid);
extern bool jit_role_owns_something(Oid roleid);
extern bool jit_is_administrator(Oid roleid);
extern bool jit_is_auditor(Oid roleid);

extern uint64 jit_roles_generation;
extern Oid	jit_quiet_user;

extern void jit_init_roles(void);

#pragma GCC visibility pop

#endif							/* JIT_BASE_ROLES_H */
