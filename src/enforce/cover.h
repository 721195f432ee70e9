/*-------------------------------------------------------------------------
 *
 * cover.h
 *		Which temporary access covers what somebody needs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ENFORCE_COVER_H
#define JIT_ENFORCE_COVER_H

#include "enforce/judge.h"

#pragma GCC visibility push(hidden)

/* A live grant role that covers a need, alone or with others. */
typedef struct JitCover
{
	Oid			role;
	Oid			database;		/* from its name, for messages */
	int			request;
	TimestampTz deadline;
} JitCover;

/* As a privilege on an object of pg_authid: SET ROLE to it */
#define JIT_SET_ROLE ACL_USAGE

extern JitCover *jit_find_covers(Oid userid, const JitPermInfo *info, Oid classid,
								 Oid objid, AclMode mode, int *ncovers, bool *all);
extern const JitCover *jit_find_entry_covers(Oid userid, const JitPermInfo *info,
											 int *ncovers, bool *all);
extern int	jit_cover_request(const JitCover *cover);
extern char *jit_cover_text(const JitCover *cover);

#pragma GCC visibility pop

#endif							/* JIT_ENFORCE_COVER_H */
