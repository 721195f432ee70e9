/*-------------------------------------------------------------------------
 *
 * limit.h
 *		How much one grantee may have at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_LIMIT_H
#define JIT_REQUEST_LIMIT_H

#include "request/ledger.h"

extern char *jit_why_no_room(const JitRequest *request, TimestampTz ends,
							 char **hint);
extern void jit_check_room(const JitRequest *request, TimestampTz ends);

#endif							/* JIT_REQUEST_LIMIT_H */
