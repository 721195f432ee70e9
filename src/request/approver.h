/*-------------------------------------------------------------------------
 *
 * approver.h
 *		Who may agree to a request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_APPROVER_H
#define JIT_REQUEST_APPROVER_H

#include "request/ledger.h"

#define JIT_GRANTOR "@grantor"

/* One step of a flow: any of these roles, so many times. */
typedef struct JitStep
{
	List	   *names;			/* char *; "@grantor" is who could GRANT it */
	List	   *oids;			/* Oid, in the same order; InvalidOid for
								 * @grantor and for roles that are unknown */
	int			approvals;
} JitStep;

/* Where the approval of a request stands. */
typedef struct JitProgress
{
	bool		complete;
	int			step;			/* the first that isn't complete, from 1 */
	int			steps;			/* how many there are */
	int			given;			/* approvals of that step so far */
	int			needed;
	char	   *approvers;		/* who may give them, in words */
} JitProgress;

extern char *jit_why_not_impartial(const JitRequest *request,
								   const JitPerson *person);
extern char *jit_why_not_approve(JitRequest *request, const JitPerson *person,
								 bool ending);
extern bool jit_needs_superuser(const JitRequest *request);
extern char *jit_step_names(const JitStep *step);
extern void jit_flow_progress(JitRequest *request, JitProgress *progress);
extern char *jit_approvers_text(JitRequest *request, int *people);

#endif							/* JIT_REQUEST_APPROVER_H */
