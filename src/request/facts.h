/*-------------------------------------------------------------------------
 *
 * facts.h
 *		What policies know of a request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_FACTS_H
#define JIT_REQUEST_FACTS_H

#include "request/ledger.h"
#include "utils/jsonpath.h"

/* What recent_grants counts. */
#define JIT_RECENT_DAYS 7

extern const char *const jit_fact_names[];

extern Jsonb *jit_make_facts(const JitRequest *request, int64 duration);
extern Jsonb *jit_refresh_facts(Jsonb *facts, const JitRequest *request);
extern void jit_check_condition(JsonPath *path);

#endif							/* JIT_REQUEST_FACTS_H */
