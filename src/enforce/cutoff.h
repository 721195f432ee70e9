/*-------------------------------------------------------------------------
 *
 * cutoff.h
 *		The end of access for what is running when it comes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ENFORCE_CUTOFF_H
#define JIT_ENFORCE_CUTOFF_H

#include "enforce/cover.h"
#include "enforce/hint.h"
#include "utils/inval.h"

#pragma GCC visibility push(hidden)

extern struct Running *volatile jit_running;

/* Begin a frame, whose kind the caller fills in, until jit_pop_frame(). */
static inline void
jit_push_frame(JitStatementFrame *frame)
{
	jit_denial_explained = false;
	frame->checked = false;
	frame->reliance = NULL;
	frame->running = jit_running;
	frame->callback.callback = jit_hint_callback;
	frame->callback.arg = frame;
	frame->callback.previous = error_context_stack;
	error_context_stack = &frame->callback;
}

static inline void
jit_pop_frame(JitStatementFrame *frame)
{
	error_context_stack = frame->callback.previous;
}

extern void jit_judge_commit_first(void);
extern void jit_forget_ended_plans(void);
extern void jit_note_set_role_reliance(bool writes);

/*
 * Take in what other sessions have committed.  Inside a running DO block
 * nothing else does, as all locks are held already: it would go on with
 * access that was revoked.  Only backends that have met temporary access
 * need it, whoever is the user now: it may be a view's owner that had it, or
 * the session user under SET ROLE.
 */
static inline void
jit_accept_invalidations(void)
{
	if (unlikely(jit_temporary_seen) && IsTransactionState())
	{
		AcceptInvalidationMessages();
		jit_forget_ended_plans();
	}
}

extern JitStatementFrame *jit_checked_frame(void);
extern void jit_begin_reliance(JitStatementFrame *frame);
extern void jit_keep_reliance(JitStatementFrame *frame);
extern void jit_note_reliance(Oid userid, const JitPermInfo *info, Oid classid,
							  Oid objid, AclMode mode, bool writes);
extern void jit_run_relying_utility(void (*run) (void *arg), void *arg);

#pragma GCC visibility pop

#endif							/* JIT_ENFORCE_CUTOFF_H */
