/*-------------------------------------------------------------------------
 *
 * filing.h
 *		Filing a request: what may be asked for, by whom, for how long.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_FILING_H
#define JIT_REQUEST_FILING_H

#include "request/flow.h"

/* Why a request can't be filed as it is: for a message, and a DETAIL. */
typedef struct JitComplaint
{
	char	   *message;
	char	   *detail;			/* a sentence that stands for itself */
} JitComplaint;

/*
 * Where the arguments of a call that files a request stand, by their names; -1
 * for one that it hasn't got.
 */
typedef struct JitArguments
{
	int			access;
	int			duration;
	int			reason;
	int			until;
	int			ticket;
	int			grantee;
	int			start;
	int			statement;
	int			runs;
} JitArguments;

/* Of jit_request() and jit_explain(), and how many they have. */
#define JIT_REQUEST_ARGUMENTS 9
extern const JitArguments jit_request_arguments;

/* What a request is taken for that says nothing of it, in microseconds. */
#define JIT_USUAL_DURATION USECS_PER_HOUR

extern Oid	jit_check_grantee(const char *grantee);
extern JitRequest *jit_request_from_arguments(FunctionCallInfo fcinfo,
											  const JitArguments *at,
											  bool direct, int64 *usecs);
extern JitRequest *jit_request_to_extend(JitRequest *old, Interval *duration,
										 char *reason, char *ticket, int64 *usecs);
extern List *jit_complaints(const JitRequest *request, const JitDecision *decision,
							int64 usecs, char **call);
extern JitRequest *jit_pending_like(const JitRequest *request, int64 usecs);
extern int	jit_count_pending(const JitRequest *request);
extern void jit_file_request(JitRequest *request, int64 usecs);
extern void jit_report_pending(const JitRequest *request);

#endif							/* JIT_REQUEST_FILING_H */
