/*-------------------------------------------------------------------------
 *
 * giving.h
 *		Giving access: the last thing that a transaction does.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_GIVING_H
#define JIT_REQUEST_GIVING_H

#include "request/ledger.h"

extern TimestampTz jit_revoked_since(Oid grantee, TimestampTz at);
extern void jit_promise(JitRequest *request, TimestampTz now, const JitPerson *approver,
						const char *comment);

#endif							/* JIT_REQUEST_GIVING_H */
