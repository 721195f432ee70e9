/*-------------------------------------------------------------------------
 *
 * emergency.h
 *		Who may break the glass, and who reviews it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_EMERGENCY_H
#define JIT_REQUEST_EMERGENCY_H

#include "request/flow.h"

extern JitDecision *jit_decide_emergency(const JitRequest *request, int64 usecs);
extern char *jit_why_not_break_glass(const JitRequest *request,
									 const JitPerson *person,
									 const JitDecision *flow);
extern TimestampTz jit_review_due_at(TimestampTz since);
extern char *jit_why_not_review(JitRequest *request, const JitPerson *person);

#endif							/* JIT_REQUEST_EMERGENCY_H */
