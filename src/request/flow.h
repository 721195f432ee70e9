/*-------------------------------------------------------------------------
 *
 * flow.h
 *		Who must agree to requests of a risk, and within which limits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_FLOW_H
#define JIT_REQUEST_FLOW_H

#include "request/approver.h"

/* What policies and flows say of a request that is being filed. */
typedef struct JitDecision
{
	JitRisk		risk;
	char	   *forbidden_by;	/* policy that forbids it, or NULL */
	char	   *forbidden_why;	/* its description, or NULL */
	Jsonb	   *facts;
	List	   *steps;			/* of JitStep */
	Jsonb	   *flow;			/* the same, as jit.requests.flow */
	int64		max_duration;	/* microseconds, PG_INT64_MAX if unlimited */
	int64		request_ttl;	/* microseconds */
	char	   *reason_pattern; /* NULL if any will do */
	char	   *ticket_pattern;
	char	   *emergency_role; /* NULL: nobody may break the glass */
	Oid			emergency_oid;
	int64		emergency_duration; /* microseconds */
	List	   *policies;		/* of JitPolicyResult, for jit_explain */
} JitDecision;

typedef struct JitPolicyResult
{
	char	   *name;
	JitRisk		risk;			/* its own; if it failed, high at least */
	bool		matched;
	char	   *failure;		/* why the condition failed, or NULL */
} JitPolicyResult;

#define JIT_DEFAULT_REQUEST_TTL USECS_PER_DAY
#define JIT_DEFAULT_EMERGENCY USECS_PER_HOUR

extern void jit_load_flow(JitDecision *decision, JitRisk risk);
extern bool jit_load_flow_as_is(JitDecision *decision, JitRisk risk);
extern void jit_fix_direct(List *steps, JitRisk risk);
extern char *jit_steps_text(List *steps);
extern Jsonb *jit_steps_to_jsonb(List *steps);

#endif							/* JIT_REQUEST_FLOW_H */
