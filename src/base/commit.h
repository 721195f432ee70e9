/*-------------------------------------------------------------------------
 *
 * commit.h
 *		What waits for the end of the transaction, and in which order.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_COMMIT_H
#define JIT_BASE_COMMIT_H

typedef enum JitCommitStep
{
	JIT_COMMIT_DROP,			/* roles whose members are gone are dropped */
	JIT_COMMIT_TELL,			/* what others are told of is looked up */
	JIT_COMMIT_JUDGE,			/* may it be committed?  The last word */
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

extern void jit_add_commit_step(JitCommitStep step, const JitCommitCalls *calls);
extern void jit_note_for_commit(JitCommitStep step, const JitCommitCalls *calls,
								void *note);
extern List *jit_take_commit_notes(JitCommitStep step);
extern void jit_run_commit_steps_first(void);

#endif							/* JIT_BASE_COMMIT_H */
