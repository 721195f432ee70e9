/*-------------------------------------------------------------------------
 *
 * filing.h
 *		Filing a request: what may be asked for, by whom, for how long.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_FILING_H
#define JIT_REQUEST_FILING_H

#include "request/ledger.h"

extern Oid	jit_check_grantee(const char *grantee);
extern JitRequest *jit_request_from_arguments(FunctionCallInfo fcinfo,
											  int duration, int reason,
											  int grantee, bool direct,
											  int64 *usecs);
extern void jit_require_reason(FunctionCallInfo fcinfo, int duration,
							   int reason, int grantee, bool direct);
extern void jit_file_request(JitRequest *request, int64 usecs);
extern void jit_report_pending(const JitRequest *request);

#endif							/* JIT_REQUEST_FILING_H */
