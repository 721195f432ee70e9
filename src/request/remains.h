/*-------------------------------------------------------------------------
 *
 * remains.h
 *		What a role still has of some access, and by what.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_REMAINS_H
#define JIT_REQUEST_REMAINS_H

#include "request/ledger.h"

/* What is conveyed by one source. */
typedef struct JitRemains
{
	Oid			role;			/* a grant role, a role that has it for good,
								 * or InvalidOid for PUBLIC */
	TimestampTz ends;			/* DT_NOEND unless it is a grant role */
	List	   *items;			/* of JitItem */
} JitRemains;

extern List *jit_remains(List *items, Oid grantee);
extern void jit_warn_of_remains(const JitRequest *request);

#endif							/* JIT_REQUEST_REMAINS_H */
