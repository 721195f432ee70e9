/*-------------------------------------------------------------------------
 *
 * policy.h
 *		What risk a request has.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_POLICY_H
#define JIT_REQUEST_POLICY_H

#include "request/flow.h"

extern JitDecision *jit_decide(const JitRequest *request,
							   int64 duration /* microseconds */ );
extern JitDecision *jit_decide_by_facts(Jsonb *facts);
extern char *jit_stricter_now(const JitRequest *request);

#endif							/* JIT_REQUEST_POLICY_H */
