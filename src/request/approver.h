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
	bool		direct;			/* takes no approval through a gateway */
	bool		as_risk;		/* ... as the risk has it */
} JitStep;

/* Where the approval of a request stands, by the approvals that count. */
typedef struct JitProgress
{
	bool		complete;
	int			step;			/* the first that isn't complete, from 1 */
	int			steps;			/* how many there are */
	int			needed;			/* approvals that each item needs in it */
	bool		direct;			/* takes it none through a gateway? */
	int		   *lacking;		/* how many of them each item lacks */
	char	   *lost;			/* sentences: which don't count any more, and
								 * why; NULL if all do */
} JitProgress;

/* Approvals that are missing, for items that the same people could approve. */
typedef struct JitLack
{
	int			approvals;		/* how many */
	Bitmapset  *parts;			/* positions of the items */
	char	   *items;			/* which, in words; NULL if it is all of them */
	char	   *approvers;		/* who may give them, in words */
	Bitmapset  *who;
	int			people;			/* how many logins could, their names, and
								 * some of these in words, where that was
								 * asked for */
	List	   *logins;
	char	   *names;
} JitLack;

extern char *jit_why_not_impartial(const JitRequest *request,
								   const JitPerson *person);
extern char *jit_why_not_approve(const JitRequest *request,
								 const JitPerson *person, bool ending);
extern bool jit_is_own(const JitRequest *request, const JitPerson *person);
extern bool jit_owned_then(const JitRequest *request, const JitPerson *person);
extern bool jit_concerns(JitRequest *request, const JitPerson *person);
extern bool jit_could_end(JitRequest *request, const JitPerson *person);
extern bool jit_asks_grantor(const JitRequest *request);
extern bool jit_needs_superuser(const JitRequest *request);
extern char *jit_step_text(const JitStep *step);
extern char *jit_step_names(const JitStep *step, const char *items);
extern void jit_flow_progress(const JitRequest *request, JitProgress *progress);
extern char *jit_step_progress(const JitRequest *request, int number,
							   JitProgress *progress);
extern List *jit_lacks(const JitRequest *request, const JitProgress *progress);
extern List *jit_waited_for(const JitRequest *request,
							const JitProgress *progress);
extern bool jit_could_be_complete(const JitRequest *request,
								  const JitProgress *progress, List **logins);
extern List *jit_all_logins(void);
extern List *jit_lacks_for(const JitRequest *request,
						   const JitProgress *progress, Oid role);
extern char *jit_lacks_text(List *lacks);

#endif							/* JIT_REQUEST_APPROVER_H */
