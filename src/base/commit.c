/*-------------------------------------------------------------------------
 *
 * commit.c
 *		What waits for the end of the transaction, and in which order.
 *
 * Rooms note things while the transaction goes on:
 *
 *	subtransaction commits	its notes are the parent's
 *	subtransaction aborts	its notes are forgotten
 *	before the commit		each step gets its notes, in the order of steps; an
 *							error aborts
 *	PREPARE TRANSACTION		each step may refuse it
 *	end						each step hears of it, and all notes are forgotten
 *	crash					nothing is left of them
 *
 * PostgreSQL calls transaction callbacks from the last one registered to the
 * first.  Steps of ours depend on each other, so one callback calls them, in an
 * order of their own: what is dropped may wait for a lock, what others are
 * told is how it was left, and only then is the transaction judged.
 *
 * Most backends never add a step, and pay nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/commit.h"

typedef struct Note
{
	SubTransactionId subid;
	JitCommitStep step;
	void	   *note;
} Note;

/* The steps that have been added, in their order. */
static struct
{
	JitCommitStep step;
	const JitCommitCalls *calls;
}			steps[JIT_COMMIT_CLOCK + 1];

static int	nsteps = 0;

static List *notes = NIL;		/* of Note, in TopTransactionContext */

/* Changes whenever what this session has noted does: for what it remembers. */
uint64		jit_notes_made = 0;

/* The notes of a step so far. */
List *
jit_commit_notes(JitCommitStep step)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, notes)
	{
		Note	   *note = lfirst(lc);

		if (note->step == step)
			result = lappend(result, note->note);
	}
	return result;
}

/* Numbers of the requests by which a role has been promised something. */
List *
jit_promised_to(Oid grantee)
{
	List	   *requests = NIL;
	ListCell   *lc;

	foreach(lc, jit_commit_notes(JIT_COMMIT_GIVE))
	{
		JitPromise *promise = lfirst(lc);

		if (promise->grantee == grantee)
			requests = lappend_int(requests, promise->request);
	}
	return requests;
}

static void
xact_callback(XactEvent event, void *arg)
{
	bool		ended = event != XACT_EVENT_PRE_COMMIT &&
	event != XACT_EVENT_PRE_PREPARE && event != XACT_EVENT_PARALLEL_PRE_COMMIT;

	for (int i = 0; i < nsteps; i++)
	{
		const JitCommitCalls *calls = steps[i].calls;
		void		(*before) (List *notes) = event == XACT_EVENT_PRE_COMMIT ? calls->commit :
		event == XACT_EVENT_PRE_PREPARE ? calls->prepare : NULL;

		if (before)
			before(likely(notes == NIL) ? NIL : jit_commit_notes(steps[i].step));
		/* nothing is allocated in an abort */
		else if (ended && calls->ended)
			calls->ended(event == XACT_EVENT_COMMIT && notes != NIL ? jit_commit_notes(steps[i].step) : NIL,
						 event == XACT_EVENT_COMMIT);
	}
	if (ended && notes != NIL)
		jit_notes_made++;
	if (ended)
		notes = NIL;
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid,
				 SubTransactionId parentSubid, void *arg)
{
	/* those of a subtransaction come last */
	for (int i = list_length(notes) - 1; i >= 0; i--)
	{
		Note	   *note = list_nth(notes, i);

		if (note->subid != mySubid)
			break;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			note->subid = parentSubid;
		else if (event == SUBXACT_EVENT_ABORT_SUB)
		{
			notes = list_delete_nth_cell(notes, i);
			jit_notes_made++;
		}
	}
}

/* Have a step called from now on.  Adding it again does nothing. */
void
jit_add_commit_step(JitCommitStep step, const JitCommitCalls *calls)
{
	int			place = 0;

	while (place < nsteps && steps[place].step < step)
		place++;
	if (place < nsteps && steps[place].step == step)
		return;
	if (nsteps == 0)
	{
		RegisterXactCallback(xact_callback, NULL);
		RegisterSubXactCallback(subxact_callback, NULL);
	}
	memmove(&steps[place + 1], &steps[place], (nsteps - place) * sizeof(steps[0]));
	steps[place].step = step;
	steps[place].calls = calls;
	nsteps++;
}

/*
 * Keep something for a step of this transaction, unless the subtransaction
 * aborts.  The note must live until its end: in TopTransactionContext, say.
 */
void
jit_note_for_commit(JitCommitStep step, const JitCommitCalls *calls, void *note)
{
	MemoryContext context = MemoryContextSwitchTo(TopTransactionContext);
	Note	   *kept = palloc(sizeof(Note));

	jit_add_commit_step(step, calls);
	kept->subid = GetCurrentSubTransactionId();
	kept->step = step;
	kept->note = note;
	notes = lappend(notes, kept);
	jit_notes_made++;
	MemoryContextSwitchTo(context);
}

/* Give a step its notes now: it doesn't get them again. */
List *
jit_take_commit_notes(JitCommitStep step)
{
	List	   *taken = jit_commit_notes(step);

	for (int i = list_length(notes) - 1; i >= 0; i--)
	{
		if (((Note *) list_nth(notes, i))->step == step)
			notes = list_delete_nth_cell(notes, i);
	}
	return taken;
}

/*
 * Have our steps called before any callback that others have registered: a
 * foreign data wrapper's mustn't commit elsewhere what ours refuses.  Only
 * called before COMMIT, where no callbacks are being run.
 */
void
jit_run_commit_steps_first(void)
{
	UnregisterXactCallback(xact_callback, NULL);
	RegisterXactCallback(xact_callback, NULL);
}
