/*-------------------------------------------------------------------------
 *
 * suggest.h
 *		What to do about access that has been denied.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_SUGGEST_H
#define JIT_REQUEST_SUGGEST_H

#include "request/flow.h"

extern JitRequest *jit_longest_request(FunctionCallInfo fcinfo, int64 longest,
									   int64 *usecs, JitDecision **decision);
extern char *jit_suggest(const char *access, int pending, int rejected);

#endif							/* JIT_REQUEST_SUGGEST_H */
