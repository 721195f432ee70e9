/*-------------------------------------------------------------------------
 *
 * commit.h
 *		What waits for the end of the transaction, and in which order.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_COMMIT_H
#define JIT_BASE_COMMIT_H

/* What a note of JIT_COMMIT_GIVE begins with. */
typedef struct JitPromise
{
	int			request;
	Oid			grantee;
} JitPromise;

typedef enum JitCommitStep
{
	JIT_COMMIT_ACT,				/* may a gateway still act for whom it did? */
	JIT_COMMIT_MAKE,			/* roles and privileges of what is given */
	JIT_COMMIT_DROP,			/* roles whose members are gone are dropped */
	JIT_COMMIT_GIVE,			/* one look again, then the memberships */
	JIT_COMMIT_RECORD,			/* events, and states of what has ended */
	JIT_COMMIT_TELL,			/* what others are told of is looked up */
	JIT_COMMIT_JUDGE,			/* may it be committed?  The last word */
	JIT_COMMIT_SPEND,			/* what is used up with it ends */
	JIT_COMMIT_LOG,				/* lines for the server log */
	JIT_COMMIT_WAKE,			/* what the launcher has to see to */
	JIT_COMMIT_CLOCK			/* the clock is believed again */
} JitCommitStep;

/*
 * What a step does; NULL for nothing.  The notes are the step's own; at the end
 * there are none unless it has been committed.
 */
typedef struct JitCommitCalls
{
	void		(*commit) (List *notes);	/* before it; may raise, and note
											 * more */
	void		(*prepare) (List *notes);	/* before PREPARE; may raise */
	void		(*ended) (List *notes, bool committed); /* must not raise */
} JitCommitCalls;

extern uint64 jit_notes_made;

extern void jit_add_commit_step(JitCommitStep step, const JitCommitCalls *calls);
extern void jit_note_for_commit(JitCommitStep step, const JitCommitCalls *calls,
								void *note);
extern List *jit_commit_notes(JitCommitStep step);
extern List *jit_promised_to(Oid grantee);
extern List *jit_take_commit_notes(JitCommitStep step);
extern void jit_run_commit_steps_first(void);

#endif							/* JIT_BASE_COMMIT_H */
