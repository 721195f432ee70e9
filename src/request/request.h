/*-------------------------------------------------------------------------
 *
 * request.h
 *		Life of a request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_REQUEST_H
#define JIT_REQUEST_REQUEST_H

#include "request/ledger.h"

#pragma GCC visibility push(hidden)

extern JitRequest *jit_request_from_arguments(FunctionCallInfo fcinfo,
											  int duration, int reason,
											  int grantee, bool direct,
											  int64 *usecs);
extern JitRequest *jit_prepare_request(const char *access, Interval *duration,
									   const char *reason, TimestampTz until,
									   const char *ticket, const char *grantee,
									   bool direct, int64 *usecs);

#pragma GCC visibility pop

#endif							/* JIT_REQUEST_REQUEST_H */
