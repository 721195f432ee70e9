/*-------------------------------------------------------------------------
 *
 * commit.c
 *		What is done before a transaction commits, and in which order.
 *
 * PostgreSQL calls transaction callbacks from the last one registered to the
 * first.  Steps of ours that depend on each other are called by one callback,
 * in an order of their own: what is dropped may wait for a lock, what others
 * are told is how it was left, and only then is the transaction judged.
 *
 * Most backends never add a step, and pay nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/commit.h"

static XactCallback steps[JIT_COMMIT_JUDGE + 1];
static bool registered = false;

static void
run_steps(XactEvent event, void *arg)
{
	for (size_t i = 0; i < lengthof(steps); i++)
	{
		if (steps[i] != NULL)
			steps[i] (event, NULL);
	}
}

/* Have a step called from now on.  Adding it again does nothing. */
void
jit_add_commit_step(JitCommitStep step, XactCallback callback)
{
	steps[step] = callback;
	if (!registered)
		RegisterXactCallback(run_steps, NULL);
	registered = true;
}

/*
 * Have our steps called before any callback that others have registered: a
 * foreign data wrapper's mustn't commit elsewhere what ours refuses.  Only
 * called before COMMIT, where no callbacks are being run.
 */
void
jit_run_commit_steps_first(void)
{
	UnregisterXactCallback(run_steps, NULL);
	RegisterXactCallback(run_steps, NULL);
	registered = true;
}
