/*-------------------------------------------------------------------------
 *
 * policy.c
 *		What a request's risk is, and who must agree to it.
 *
 * Every request is of jit_access.default_risk, and needs one approval by
 * somebody who could run the GRANT.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

const char *
jit_risk_name(JitRisk risk)
{
	static const char *const names[] = {"low", "moderate", "high", "forbidden"};

	return names[risk];
}

JitDecision *
jit_decide(const JitRequest *request, int64 duration)
{
	JitDecision *decision = palloc0(sizeof(JitDecision));

	decision->risk = jit_default_risk;
	decision->facts = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	decision->flow = DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
														CStringGetDatum("[{\"approver\": \"@grantor\", \"approvals\": 1}]")));
	decision->max_duration = PG_INT64_MAX;
	decision->request_ttl = USECS_PER_DAY;
	return decision;
}

char *
jit_stricter_now(const JitRequest *request)
{
	return NULL;
}

void
jit_init_labels(void)
{
}
