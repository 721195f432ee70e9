/*-------------------------------------------------------------------------
 *
 * event.h
 *		Audit events: a row, a NOTIFY, a line of the server log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_EVENT_H
#define JIT_REQUEST_EVENT_H

#include "utils/jsonb.h"

extern void jit_events(const char *event, List *requests, Jsonb *detail,
					   List *loglines);
extern void jit_end_event(const char *event, int request, TimestampTz ended_at,
						  Jsonb *detail, const char *logline);
extern void jit_event(const char *event, int request, Jsonb *detail,
					  const char *logline);
extern bool jit_record_change(const char *event, const char *key,
							  const char *name, Jsonb *before, Jsonb *after,
							  const char *logline);
extern void jit_let_events_go(void);
extern void jit_keep_events(void);
extern Jsonb *jit_detail(const char *key,...);

#endif							/* JIT_REQUEST_EVENT_H */
