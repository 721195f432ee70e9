/*-------------------------------------------------------------------------
 *
 * cutoff.c
 *		The end of access for what is running when it comes.
 *
 * A statement relies on temporary access if it would be denied without all
 * grant roles.  What it relies on is a list of needs (one per relation or
 * function), each with the grant roles any one of which covers it and their
 * deadlines; it may go on while every need has one that hasn't ended.
 *
 *	ExecutorStart		needs are collected by the permission hooks
 *	ExecutorRun			they are looked at first (a FETCH of an open cursor
 *						is denied), then the statement is on the stack of
 *						what is running, with a timer of this backend that
 *						ticks, and fires at the moment the first need ends
 *	ExecutorRun ends	off the stack; when that is empty, the timer is not
 *						armed again, and does nothing if it fires
 *	error				the same, through PG_FINALLY
 *	query context reset	the needs are forgotten with it (end, abort)
 *
 * PL/pgSQL's simple expressions are run without ExecutorStart, and the right
 * to call the functions in them is asked for once in a transaction, maybe
 * while a statement runs that didn't seem to rely on anything.  So functions
 * are needs of the client's statement as well (see "loose").  Its next one in
 * the transaction has everything asked for again, see functions_kept();
 * a portal of an earlier one that goes on may have kept anything.
 *
 * Other backends tell of what they end, prolong or overlap through the ring of
 * changes.c, read by the tick.  A backend reads its place in the ring before
 * it takes in invalidations and looks at catalogs, so it sees a change in one
 * or the other.  When it has been overrun it asks for the last change of each
 * role that it relies on, and takes for ended what nobody knows any more.  A
 * timer's handler touches nothing but the needs, which no one else changes
 * while it may run (see "busy"), the ring and the last changes.
 *
 * When a need has ended, the handler cancels the statement, and goes on
 * doing so at every tick and after every subtransaction abort: a function
 * that catches query_canceled doesn't get on.
 *
 * A transaction keeps what it has locked, so all that its statements needed is
 * also a need of the transaction ("held"), to its end and whatever savepoints
 * are rolled back.  A transaction that wrote through temporary access is looked
 * at again before it commits, by the catalogs.  PREPARE TRANSACTION is refused
 * after any use: nobody could look again at COMMIT PREPARED, or take the locks
 * away.
 *
 *	all needs are met			the timer goes on, with a longer tick
 *	one has ended				running statements are cut off as said above; the
 *								transaction may still be ended by the client
 *	... it is met again			by a grant that continues it: as before
 *	... for HELD_FOR			the connection is ended (FATAL), whatever it is
 *								doing: only a transaction that runs a statement
 *								can be ended alone
 *	judged, being committed		is left alone, unless it waits for others
 *	error, savepoint			disarms all timers, also where no hook is called;
 *								so see rearm_held()
 *
 * Standbys have no ring to speak of: the deadline holds there, a revocation
 * counts from the next statement after its replay.  Between statements the tick
 * has invalidations taken in, and roles that have changed are looked up then;
 * a transaction that has failed, but holds what it had locked before a
 * savepoint, can't look, and is ended after HELD_FOR.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/changes.h"
#include "base/commit.h"
#include "base/guc.h"
#include "base/text.h"
#include "enforce/cutoff.h"
#include "enforce/reliance.h"
#include "enforce/statements.h"

#include "access/parallel.h"
#include "executor/executor.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/timeout.h"
#include "utils/wait_event.h"

#define TICK			40		/* milliseconds */
#define HELD_TICK		500		/* milliseconds, while locks are held */
#define HELD_FOR		10000	/* ... for so long after the end */

/*
 * What is running, the innermost first: on the C stack, and linked as
 * error_context_stack is.  A single store puts one on it or takes it off, so
 * the handler finds it whole at any time.
 */
typedef struct Running
{
	JitReliance *reliance;
	struct Running *outer;
} Running;

static List *reliances = NIL;	/* all, of open cursors too */
Running    *volatile jit_running = NULL;
static volatile bool busy = false;	/* needs are being changed */
static uint64 seen = 0;			/* place in the ring */

/*
 * Functions that the transaction's statements need, in no query that is known
 * to; and by the times of the client's statements: the last that needs some,
 * the last before which nothing was kept, and the last that goes on with what
 * an earlier one began and so needs them all.
 */
static JitReliance *volatile loose = NULL;
static TimestampTz loose_statement;
static TimestampTz loose_asked;
static TimestampTz loose_resumed;

static volatile sig_atomic_t fired = false;
static TimestampTz fired_statement; /* the client's that it was in */
static JitCover fired_cover;	/* what ended, for the message */

static TimeoutId timer = MAX_TIMEOUTS;

/* All that the transaction has needed; in TopTransactionContext. */
static JitReliance *volatile held = NULL;
static volatile bool judged = false;	/* it is being committed */
static uint64 looked = 0;		/* the generation of roles that it holds for */
static volatile sig_atomic_t asked = false; /* to look, between statements */
static volatile sig_atomic_t held_too_long = false;
static TimestampTz held_since = 0;	/* something of it has ended; 0: nothing */
static TimestampTz held_well;	/* when it was last seen that nothing has */
static bool held_unknown;		/* ... or may have */
static JitCover held_cover;		/* that, for the message */
static bool by_catalogs;		/* it began where the ring tells nothing */
static bool told = false;		/* the client why its connection ends */

static ExecutorRun_hook_type next_executor_run_hook;
static ExecutorFinish_hook_type next_executor_finish_hook;

/* ----------------------------------------------------------------------
 * In the handler: no memory, no locks, no catalogs
 * ----------------------------------------------------------------------
 */

/* Take in what has been written to the ring since the last time. */
static void
read_ring(void)
{
	uint64		head = jit_changes_head();
	uint64		missed = PG_UINT64_MAX;
	ListCell   *lc;

	while (seen < head)
	{
		JitChange	change;

		if (!jit_read_change(seen, &change))
		{
			missed = seen;
			seen = jit_changes_head();
			break;
		}
		foreach(lc, reliances)
			jit_apply_change(lfirst(lc), &change);
		for (Running *run = jit_running; run != NULL; run = run->outer)
		{
			if (run->reliance->query == NULL)
				jit_apply_change(run->reliance, &change);
		}
		if (loose != NULL)
			jit_apply_change(loose, &change);
		if (held != NULL)
			jit_apply_change(held, &change);
		seen++;
	}
	if (missed != PG_UINT64_MAX)
	{
		foreach(lc, reliances)
			jit_catch_up(lfirst(lc), missed);
		for (Running *run = jit_running; run != NULL; run = run->outer)
			jit_catch_up(run->reliance, missed);
		if (loose != NULL)
			jit_catch_up(loose, missed);
		if (held != NULL)
			jit_catch_up(held, missed);
	}
}

/* "loose", if the client's statement needs something of it. */
static JitReliance *
current_loose(void)
{
	return loose != NULL &&
		loose_statement == GetCurrentStatementStartTimestamp() ? loose : NULL;
}

/* When the first need of a reliance ends, and what ends then. */
static TimestampTz
reliance_end(const JitReliance *reliance, JitCover *last)
{
	TimestampTz end = DT_NOEND;

	for (int i = 0; i < reliance->nneeds; i++)
	{
		const JitNeed *need = &reliance->needs[i];
		JitCover	longest = {.deadline = DT_NOBEGIN};

		if (reliance == loose && need->noted != loose_statement &&
			loose_resumed != loose_statement)
			continue;
		/* nothing covered it: it was denied */
		if (reliance == held && need->ncovers == 0)
			continue;
		for (int k = 0; k < need->ncovers; k++)
		{
			if (k == 0 || need->covers[k].deadline > longest.deadline)
				longest = need->covers[k];
		}
		if (longest.deadline < end)
		{
			end = longest.deadline;
			*last = longest;
		}
	}
	return end;
}

/*
 * Cancel what is running if something that it relies on has ended.  Returns
 * when that will be.
 */
static TimestampTz
cut_off(void)
{
	TimestampTz first = DT_NOEND;
	JitCover	cover = {.deadline = DT_NOBEGIN};
	JitReliance *reliance;

	busy = true;
	read_ring();
	reliance = current_loose();
	if (reliance != NULL)
		first = reliance_end(reliance, &cover);
	for (Running *run = jit_running; run != NULL; run = run->outer)
	{
		JitCover	last = cover;
		TimestampTz end = reliance_end(run->reliance, &last);

		/* of those that end together, the outermost is told of */
		if (end <= first)
		{
			first = end;
			cover = last;
		}
	}
	/* a commit that waits for a standby would take it for its own */
	if (first <= jit_now() && !judged)
	{
		fired_cover = cover;
		fired_statement = GetCurrentStatementStartTimestamp();
		fired = true;
		InterruptPending = true;
		QueryCancelPending = true;
		SetLatch(MyLatch);
	}
	busy = false;
	return first;
}

/*
 * Have the handler called at the end of what is running, which is "end", or
 * at the next tick.  Callable in the handler.
 */
static void
arm_for(TimestampTz end)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz at = TimestampTzPlusMilliseconds(now, TICK);

	if (end > now && end < at)
		at = end;
	if (!get_timeout_active(timer) || get_timeout_finish_time(timer) > at)
		enable_timeout_at(timer, at);
}

/*
 * Is the client's next statement being waited for?  PostgresMain() keeps that
 * to itself, but each statement has its text in debug_query_string until it
 * ends, also a COPY that reads from the client.  A function called by protocol
 * has none, and reads nothing.
 */
static bool
between_statements(void)
{
	return debug_query_string == NULL &&
		*my_wait_event_info == WAIT_EVENT_CLIENT_READ;
}

static inline bool
locks_held(void)
{
	return held != NULL && held->nneeds > 0;
}

/* Have roles changed that only catalogs tell of?  Others are in the ring. */
static inline bool
look_is_due(void)
{
	return locks_held() && by_catalogs && looked != jit_roles_generation;
}

static void held_callback(void *arg);

/*
 * Does what is interrupted wait for another transaction, or for what a
 * callback of an extension's waits for?  After these interrupts are looked at.
 */
static bool
waits_for_others(void)
{
	uint32		class = *my_wait_event_info & 0xFF000000;

	return class == PG_WAIT_LOCK || class == PG_WAIT_EXTENSION;
}

/*
 * End the connection at the next interrupt check.  Not while interrupts are
 * held off by more than handle_sig_alarm(): a commit that waits for a standby
 * would take it for its own.  One that has been judged may be about to hold
 * them off, unless it waits.
 *
 * What gives FATAL its words is put on the error context stack only where that
 * is empty: whoever is running may take off what is topmost, as
 * exec_bind_message() does.
 */
static void
end_connection(void)
{
	static ErrorContextCallback callback = {.callback = held_callback};

	if (InterruptHoldoffCount > 1 || CritSectionCount > 0 ||
		(judged && !waits_for_others()))
		return;
	if (between_statements() && error_context_stack == NULL)
		error_context_stack = &callback;
	held_too_long = true;
	InterruptPending = true;
	ProcDiePending = true;
	SetLatch(MyLatch);
}

/*
 * Does the transaction hold what it has locked through access that ended some
 * time ago?  Then it is ended.
 */
static void
look_at_held(void)
{
	TimestampTz now = jit_now();
	TimestampTz end;
	JitCover	cover = {0};

	busy = true;
	read_ring();
	busy = false;
	end = reliance_end(held, &cover);
	held_unknown = end > now && look_is_due() && !IsTransactionState();
	if (end > now && !held_unknown)
	{
		held_since = 0;
		held_well = now;
	}
	else
	{
		/* a deadline can have been moved into the past */
		if (held_since == 0)
			held_since = held_unknown || end == DT_NOBEGIN ? now : Max(end, held_well);
		held_cover = cover;
		if (now >= TimestampTzPlusMilliseconds(held_since, HELD_FOR))
			end_connection();
	}
	/* between statements nothing else takes in what has been replayed */
	asked = by_catalogs && between_statements();
	if (asked)
		HandleCatchupInterrupt();
}

/*
 * It isn't stopped when nothing runs any more, but not armed again: a
 * statement that comes soon finds it armed, which is cheaper.  At exit what
 * runs is never taken off, and its memory goes.
 */
static void
timer_handler(void)
{
	bool		runs = jit_running != NULL ||
	(current_loose() != NULL && !between_statements());

	if (proc_exit_inprogress)
		return;
	if (busy && (runs || locks_held()))
	{
		arm_for(TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 1));
		return;
	}
	if (locks_held())
		look_at_held();
	if (runs)
		arm_for(cut_off());
	else if (locks_held())
		enable_timeout_after(timer, HELD_TICK);
}

/* ----------------------------------------------------------------------
 * Needs
 * ----------------------------------------------------------------------
 */

/*
 * The query's own memory goes, and with it the callback that is called for
 * this; what is freed is in that one's parent, which goes after its children.
 */
static void
forget_reliance(void *arg)
{
	busy = true;
	reliances = list_delete_ptr(reliances, arg);
	busy = false;
	jit_free_reliance(arg);
}

static void install_cutoff(void);
static void arm(void);
static JitReliance *begin_reliance(QueryDesc *query);

/*
 * Frame of what may be denied next, if it is a query whose roles have been
 * checked.
 */
JitStatementFrame *
jit_checked_frame(void)
{
	JitStatementFrame *frame;

	if (error_context_stack == NULL ||
		error_context_stack->callback != jit_hint_callback)
		return NULL;
	frame = error_context_stack->arg;
	return frame->checked ? frame : NULL;
}

/* The innermost ExecutorStart under way, from there on outwards. */
static JitStatementFrame *
innermost_start(ErrorContextCallback *callback)
{
	for (; callback != NULL; callback = callback->previous)
	{
		JitStatementFrame *frame = callback->arg;

		if (callback->callback == jit_hint_callback && frame->starting != NULL)
			return frame;
	}
	return NULL;
}

/* Where to note what the client's statement needs in no query. */
static JitReliance *
get_loose(void)
{
	if (loose == NULL)
	{
		MemoryContext context = MemoryContextSwitchTo(TopTransactionContext);

		loose_asked = GetCurrentStatementStartTimestamp();
		loose = begin_reliance(NULL);
		MemoryContextSwitchTo(context);
	}
	loose_statement = GetCurrentStatementStartTimestamp();
	return loose;
}

/* Where to note what the transaction needs; before catalogs are looked at. */
static JitReliance *
get_held(void)
{
	if (held == NULL)
	{
		MemoryContext context = MemoryContextSwitchTo(TopTransactionContext);
		JitReliance *reliance = begin_reliance(NULL);

		MemoryContextSwitchTo(context);
		by_catalogs = RecoveryInProgress();
		looked = jit_roles_generation;
		held_since = 0;
		held_well = jit_now();
		held = reliance;
	}
	return held;
}

static void rearm_held(void *arg);

static MemoryContextCallback rearm[2];	/* func: NULL if not registered */

/*
 * An error disarms the timer, and in a transaction that has failed, but for
 * what comes before a savepoint, statements fail without any hook.  But after
 * each error ErrorContext is reset, and then, as after every message of the
 * client's, MessageContext; a callback can't be registered anew for the same
 * one, but for the other.
 */
static void
expect_errors(int which)
{
	MemoryContext context = which == 0 ? MessageContext : ErrorContext;

	if (rearm[which].func != NULL || context == NULL)
		return;
	rearm[which].func = rearm_held;
	rearm[which].arg = &rearm[which];
	MemoryContextRegisterResetCallback(context, &rearm[which]);
}

static void
arm_held(void)
{
	if (timer == MAX_TIMEOUTS)
		timer = RegisterTimeout(USER_TIMEOUT, timer_handler);
	/* what runs is armed for that, too */
	if (!get_timeout_active(timer))
		arm_for(DT_NOEND);
}

static void
rearm_held(void *arg)
{
	int			which = arg == &rearm[1];

	rearm[which].func = NULL;
	if (!locks_held() || proc_exit_inprogress)
		return;
	expect_errors(1 - which);
	arm_held();
}

/*
 * The transaction needs this as well: it locks something by it, or writes.
 * Catalogs were looked at when the ring was at "place".  In parallel workers
 * locks end with the statement.
 */
static void
hold_need(Oid userid, const JitPermInfo *info, Oid classid, Oid objid,
		  AclMode mode, bool writes, const JitCover *covers, int ncovers, uint64 place)
{
	MemoryContext context;
	JitNeed    *need;

	if (IsParallelWorker() || (ncovers == 0 && !writes))
		return;
	for (int i = 0; i < held->nneeds; i++)
	{
		need = &held->needs[i];
		if (jit_same_need(need, userid, covers, ncovers) &&
			(!by_catalogs || jit_same_thing(need, info, classid, objid, mode)))
		{
			need->writes |= writes;
			return;
		}
	}
	need = jit_append_need(held, userid, covers, ncovers);
	need->writes = writes;
	need->classid = classid;
	need->objid = objid;
	need->mode = mode;
	if (info != NULL && by_catalogs)
	{
		context = MemoryContextSwitchTo(held->context);
		need->info = JIT_MAKE_PERMINFO();
		need->info->relid = info->relid;
		need->info->requiredPerms = info->requiredPerms;
		need->info->selectedCols = bms_copy(info->selectedCols);
		need->info->insertedCols = bms_copy(info->insertedCols);
		need->info->updatedCols = bms_copy(info->updatedCols);
		MemoryContextSwitchTo(context);
	}
	/* the ring has been read since, without it */
	if (seen != place)
		jit_catch_up_need(need, place);
	expect_errors(0);
	expect_errors(1);
	arm_held();
}

/*
 * On a standby: what does the transaction's needs cover now?  Of several that
 * do so together, the first that ends counts.
 */
static void
look_again(void)
{
	bool		was_busy = busy;

	busy = true;
	looked = jit_roles_generation;
	for (int i = 0; i < held->nneeds; i++)
	{
		JitNeed    *need = &held->needs[i];
		int			ncovers;
		bool		all;
		JitCover   *covers = jit_find_covers(need->userid, need->info, need->classid,
											 need->objid, need->mode, &ncovers, &all);

		if (need->ncovers == 0)
			continue;
		/* standing access suffices by now, or nothing does */
		if (covers == NULL || ncovers == 0)
			need->covers[0].deadline = covers == NULL ? DT_NOEND : DT_NOBEGIN;
		for (int k = 0; covers != NULL && k < ncovers; k++)
		{
			if (k == 0 || (covers[k].deadline < need->covers[0].deadline) == all)
				need->covers[0] = covers[k];
		}
		need->ncovers = 1;
	}
	busy = was_busy;
}

/*
 * Roles have changed, and the tick has asked for that to be taken in.  As when
 * PostgreSQL rebuilds a relation's descriptor here, what is still to be taken in
 * will be told of, and looked at again.
 */
static void
roles_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	if (likely(!asked) || busy || debug_query_string != NULL ||
		!IsTransactionState() || !look_is_due())
		return;
	look_again();
}

/*
 * May something be kept that an earlier statement of this transaction has
 * asked for?  Says so once in each statement of the client's, and then plans
 * are to be forgotten.
 */
static bool
functions_kept(void)
{
	if (likely(loose == NULL) ||
		loose_asked == GetCurrentStatementStartTimestamp())
		return false;
	loose_asked = GetCurrentStatementStartTimestamp();
	return true;
}

/*
 * PL/pgSQL keeps expressions ready to run for a whole transaction, and asks
 * once for the right to call the functions in them.  When a deadline has
 * passed, or the client's next statement may use what it has kept, have it ask
 * again: it does for a plan that isn't valid any more.
 */
void
jit_forget_ended_plans(void)
{
	bool		kept = functions_kept();

	if (unlikely(look_is_due()))
		look_again();
	if (unlikely(jit_deadline_has_passed()) || unlikely(kept))
		ResetPlanCache();
}

/*
 * Note what the statement at hand relies on: called by the permission hooks
 * for a user with temporary access, after PostgreSQL has said yes, and before
 * enforce.c judges that, so that no end comes between the two.  A permission
 * entry; or an object and a privilege, 0 for owning it; or a role, as an
 * object of pg_authid, with JIT_SET_ROLE or 0 for having its privileges.
 * "writes" if the transaction can't be committed without, which an entry with
 * privileges to write implies.
 */
void
jit_note_reliance(Oid userid, const JitPermInfo *info, Oid classid, Oid objid,
				  AclMode mode, bool writes)
{
	JitStatementFrame *start;
	JitReliance *reliance = NULL;
	JitReliance *statement = NULL;
	const JitCover *covers;
	int			ncovers;
	bool		all;
	bool		starts;
	uint64		place;

	if (info != NULL)
	{
		mode = info->requiredPerms;
		writes |= (mode & (ACL_INSERT | ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE)) != 0;
	}

	start = innermost_start(error_context_stack);
	starts = start != NULL && start->running == jit_running;
	if (starts)
	{
		/* the user may have none, but the owner of a view that is read */
		if (start->reliance == NULL)
		{
			EState	   *estate = start->starting->estate;
			MemoryContext context = CurrentMemoryContext;

			/* this may be one that doesn't live as long as the query */
			if (estate != NULL)
				MemoryContextSwitchTo(MemoryContextGetParent(estate->es_query_cxt));
			start->reliance = begin_reliance(start->starting);
			MemoryContextSwitchTo(context);
		}
		reliance = start->reliance;
	}
	else if (jit_running != NULL)
		reliance = jit_running->reliance;
	/* what the query keeps itself is in its own memory */
	if (info == NULL && classid == ProcedureRelationId &&
		!(starts && (start->starting->estate == NULL ||
					 start->starting->estate->es_query_cxt == CurrentMemoryContext)))
		statement = get_loose();
	if (classid == AuthIdRelationId && mode == JIT_SET_ROLE && reliance == NULL)
		statement = get_loose();
	(void) get_held();

	/*
	 * The ring mustn't be read from before what catalogs say is looked up
	 * until it is noted; for queries, which have been begun, see
	 * jit_keep_reliance().
	 */
	busy = true;
	if (!starts)
		AcceptInvalidationMessages();
	place = starts && reliance != NULL ? reliance->place : seen;
	if (info != NULL)
		covers = jit_find_entry_covers(userid, info, &ncovers, &all);
	else
		covers = jit_find_covers(userid, info, classid, objid, mode, &ncovers, &all);
	if (covers == NULL)
	{
		busy = false;
		return;
	}
	install_cutoff();
	/* it has just ended: should it be prolonged before this is judged */
	if (ncovers == 0 && info != NULL)
	{
		if (reliance != NULL)
			jit_add_need(reliance, userid, covers, 0);
		hold_need(userid, info, classid, objid, mode, writes, covers, 0, place);
	}
	for (int i = 0; i < (all ? ncovers : 1); i++)
	{
		int			n = all ? 1 : ncovers;

		if (reliance != NULL)
			jit_add_need(reliance, userid, &covers[i], n);
		if (statement != NULL)
			jit_add_need(statement, userid, &covers[i], n);
		hold_need(userid, info, classid, objid, mode, writes, &covers[i], n,
				  place);
	}
	busy = false;
	if (ncovers > 0)
	{
		JitUse		use = {userid, info, classid, objid, mode, covers, ncovers, all};

		if (starts)
			jit_keep_use(&reliance->uses, &use, reliance->context);
		else
		{
			List	   *uses = list_make1(&use);

			jit_statement_relies(uses, NULL);
			list_free(uses);
		}
	}
	if (statement != NULL ||
		(reliance != NULL && jit_running != NULL &&
		 reliance == jit_running->reliance))
		arm();
}

/* Note that what comes relies on a temporary SET ROLE, if it does. */
void
jit_note_set_role_reliance(bool writes)
{
	if (unlikely(jit_set_role_is_temporary()))
		jit_note_reliance(jit_set_role_session, NULL, AuthIdRelationId,
						  jit_set_role_outer, JIT_SET_ROLE, writes);
}

/* ----------------------------------------------------------------------
 * Running
 * ----------------------------------------------------------------------
 */

static void
arm(void)
{
	if (timer == MAX_TIMEOUTS)
		timer = RegisterTimeout(USER_TIMEOUT, timer_handler);
	arm_for(cut_off());
}

/*
 * The words of a cancellation that we have caused.  NULL for a statement that
 * relies on nothing by itself: its words count where nothing else runs that
 * does, only functions that it calls.  What has come in the last moment of a
 * statement of the client's, which then ended, has canceled nothing.
 */
static void
cancel_callback(void *arg)
{
	JitReliance *reliance = arg;

	held_callback(NULL);
	if (!fired || fired_statement != GetCurrentStatementStartTimestamp() ||
		geterrcode() != ERRCODE_QUERY_CANCELED ||
		!IsTransactionState() || (reliance == NULL && jit_running != NULL))
		return;
	jit_statement_cut_off();
	errmsg("canceling statement due to the end of temporary access");
	errdetail_internal("%s", jit_cover_text(&fired_cover));
	jit_errhint_ended(reliance ? reliance->perminfos : NIL, jit_cover_request(&fired_cover));
}

/* Why the connection has been ended. */
static int
held_words(void)
{
	errmsg("terminating connection: its transaction holds locks by temporary access that has ended");
	if (held_unknown)
		errdetail("A transaction that has failed cannot tell whether what it had locked by request %d is still allowed.",
				  held_cover.request);
	else
		errdetail_internal("%s", jit_cover_text(&held_cover));
	errhint("End transactions within %d seconds of their access. To go on, connect again and ask for access anew.",
			HELD_FOR / 1000);
	return 0;
}

/* The words of FATAL, where it is us who have ended the connection. */
static void
held_callback(void *arg)
{
	if (!held_too_long || told || geterrcode() != ERRCODE_ADMIN_SHUTDOWN)
		return;
	held_words();
	told = true;
}

/* It has come where nothing gave it its words: at least the log has them. */
static void
log_held(int code, Datum arg)
{
	if (held_too_long && !told)
		ereport(LOG, (held_words()));
}

static JitReliance *
find_reliance(QueryDesc *query)
{
	ListCell   *lc;

	foreach(lc, reliances)
	{
		JitReliance *reliance = lfirst(lc);

		if (reliance->query == query)
			return reliance;
	}
	return NULL;
}

/*
 * A statement that ran before goes on, or has missed what was in the ring:
 * deny it by what the catalogs say.
 */
static void
check_again(JitReliance *reliance)
{
	/* the ring first, then the catalogs, which know better */
	busy = true;
	read_ring();
	busy = false;
	AcceptInvalidationMessages();
	for (int i = 0; i < reliance->nneeds; i++)
	{
		JitCover	ended;

		if (!jit_need_met(&reliance->needs[i], &ended))
		{
			jit_denial_explained = true;
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 reliance->started ?
					 errmsg("permission denied: the temporary access that this cursor relies on has ended") :
					 errmsg("permission denied: the temporary access that this statement relies on has ended"),
					 errdetail_internal("%s", jit_cover_text(&ended)),
					 jit_errhint_ended(reliance->perminfos, jit_cover_request(&ended))));
		}
	}
}

/*
 * Run something that relies on temporary access so that it can be cut off,
 * and give the cancellation its own words.
 */
static void
run_relying(JitReliance *reliance, void (*run) (void *arg), void *arg)
{
	JitQueryFrame frame = {.query = reliance->query,.words = cancel_callback,.arg = reliance};
	Running		self = {.reliance = reliance,.outer = jit_running};

	jit_push_query(&frame);
	pg_compiler_barrier();		/* the handler may look at once */
	jit_running = &self;
	PG_TRY();
	{
		if (reliance->nneeds > 0)
			arm();
		/* what has ended already isn't begun */
		CHECK_FOR_INTERRUPTS();
		run(arg);
		/* what was canceled in its last moment is canceled, not the next one */
		CHECK_FOR_INTERRUPTS();
	}
	PG_FINALLY();
	{
		jit_running = self.outer;
		if (jit_running == NULL)
			fired = false;
	}
	PG_END_TRY();
	error_context_stack = frame.callback.previous;
}

typedef struct RunCall
{
	QueryDesc  *query;
	ScanDirection direction;
	uint64		count;
	bool		execute_once;
} RunCall;

static void
run_executor(void *arg)
{
	RunCall    *call = arg;

	next_executor_run_hook(JIT_EXECUTOR_RUN_FIELDS(call));
}

/*
 * Is a portal of an earlier statement going on?  No one can tell what it has
 * kept: it needs all that the transaction has needed so far.
 */
static void
resume_loose(QueryDesc *query)
{
	TimestampTz statement = GetCurrentStatementStartTimestamp();

	if (!query->already_executed || ActivePortal == NULL ||
		ActivePortal->creation_time == statement)
		return;
	busy = true;
	loose_statement = statement;
	loose_resumed = statement;
	busy = false;
	arm();
}

static void
jit_executor_run(JIT_EXECUTOR_RUN_ARGS)
{
	RunCall		call = {JIT_EXECUTOR_RUN_PASS};
	JitReliance *reliance = likely(reliances == NIL) ? NULL : find_reliance(query);

	jit_forget_ended_plans();
	if (unlikely(loose != NULL))
		resume_loose(query);
	if (likely(reliance == NULL))
	{
		JitQueryFrame frame = {.query = query,.words = cancel_callback};

		if (unlikely(jit_statement_open))
			jit_statement_runs(query);
		jit_push_query(&frame);
		run_executor(&call);
		error_context_stack = frame.callback.previous;
	}
	else
	{
		if (reliance->started || reliance->missed)
			check_again(reliance);
		reliance->started = true;
		if (jit_statement_open)
			jit_statement_runs(query);
		jit_statement_uses(&reliance->uses, query);
		run_relying(reliance, run_executor, &call);
	}
	if (unlikely(jit_statement_open))
		jit_statement_has_run(query);
}

static void
run_finish(void *arg)
{
	next_executor_finish_hook(arg);
}

/* AFTER triggers run in here. */
static void
jit_executor_finish(QueryDesc *query)
{
	JitReliance *reliance = likely(reliances == NIL) ? NULL : find_reliance(query);

	/* what only reads has no triggers, and nothing left to run */
	if (likely(reliance == NULL) ||
		((query->estate->es_top_eflags & EXEC_FLAG_SKIP_TRIGGERS) &&
		 query->estate->es_auxmodifytables == NIL))
	{
		JitQueryFrame frame = {.query = query};

		jit_push_query(&frame);
		run_finish(query);
		error_context_stack = frame.callback.previous;
	}
	else
		run_relying(reliance, run_finish, query);
	if (unlikely(jit_statement_open))
		jit_statement_finished(query);
}

/*
 * Callbacks run from the last one registered to the first: a foreign data
 * wrapper's mustn't commit elsewhere what ours refuses.  Only called before
 * COMMIT, where no callbacks are being run.
 */
void
jit_judge_commit_first(void)
{
	if (held == NULL)
		return;
	jit_run_commit_steps_first();
}

/*
 * Begin to collect what a query relies on: before ExecutorStart, for a user
 * with temporary access.  Takes the place in the ring and then takes in
 * invalidations, in this order.  NULL for a utility statement.
 */
static JitReliance *
begin_reliance(QueryDesc *query)
{
	JitReliance *reliance = palloc0(sizeof(JitReliance));
	bool		place_taken = reliances != NIL || jit_running != NULL;

	place_taken |= loose != NULL || locks_held();
	install_cutoff();
	reliance->query = query;
	reliance->context = CurrentMemoryContext;
	if (query != NULL)
		reliance->perminfos = JIT_PLAN_PERMINFOS(query->plannedstmt);
	for (JitStatementFrame *start = innermost_start(error_context_stack);
		 start != NULL; start = innermost_start(start->callback.previous))
		place_taken |= start->reliance != NULL;
	if (!place_taken)
		seen = jit_changes_head();
	reliance->place = seen;
	AcceptInvalidationMessages();
	return reliance;
}

/*
 * Before ExecutorStart of a query whose user has temporary access, and whose
 * frame is the innermost.  Others may start before jit_keep_reliance() ends
 * this: pruning of partitions runs functions.
 */
void
jit_begin_reliance(JitStatementFrame *frame)
{
	frame->reliance = begin_reliance(frame->starting);
}

/* ExecutorStart has come through: keep what was collected with the query. */
void
jit_keep_reliance(JitStatementFrame *frame)
{
	JitReliance *reliance = frame->reliance;
	MemoryContext context;

	if (reliance->nneeds == 0)
	{
		jit_free_reliance(reliance);
		return;
	}
	context = MemoryContextSwitchTo(TopMemoryContext);
	busy = true;
	/* functions may have run meanwhile, and a timer with them */
	reliance->missed = seen != reliance->place;
	reliances = lappend(reliances, reliance);
	busy = false;
	MemoryContextSwitchTo(context);
	reliance->callback.func = forget_reliance;
	reliance->callback.arg = reliance;
	MemoryContextRegisterResetCallback(reliance->query->estate->es_query_cxt,
									   &reliance->callback);
	if (jit_is_nested())
		jit_statement_uses(&reliance->uses, reliance->query);
}

/*
 * Run a utility statement whose permissions the executor doesn't check
 * (COPY, CALL) so that it can be cut off.  A procedure may end the
 * transaction, so nothing here is the transaction's.
 */
void
jit_run_relying_utility(void (*run) (void *arg), void *arg)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "jit_access utility statement",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	JitReliance *reliance;

	reliance = begin_reliance(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		run_relying(reliance, run, arg);
	}
	PG_FINALLY();
	{
		MemoryContextDelete(context);
	}
	PG_END_TRY();
}

/* ----------------------------------------------------------------------
 * Transactions
 * ----------------------------------------------------------------------
 */

static void
judge_commit(List *notes)
{
	if (held == NULL)
		return;
	if (!jit_commit_after_expiry)
		AcceptInvalidationMessages();
	for (int i = 0; i < held->nneeds && !jit_commit_after_expiry; i++)
	{
		JitCover	ended;

		if (held->needs[i].writes && !jit_need_met(&held->needs[i], &ended))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("transaction is rolled back: the temporary access that it wrote through has ended"),
					 errdetail_internal("%s", jit_cover_text(&ended)),
					 errhint("Ask for access anew and repeat the transaction.")));
	}
	judged = true;
	/* before it is too late for that */
	CHECK_FOR_INTERRUPTS();
}

static void
refuse_prepare(List *notes)
{
	if (locks_held())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has relied on temporary access"),
				 errhint("Use COMMIT: a prepared transaction would keep its locks, and could be committed, after the access has ended.")));
}

static void
cutoff_ended(List *notes, bool committed)
{
	busy = false;
	loose = NULL;
	if (jit_running == NULL)
		fired = false;
	held = NULL;
	judged = false;
	asked = false;
}

static const JitCommitCalls cutoff_calls = {judge_commit, refuse_prepare, cutoff_ended};

static void
cutoff_subxact_callback(SubXactEvent event, SubTransactionId mySubid,
						SubTransactionId parentSubid, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	/* an error may have come while it was set */
	busy = false;
	if (locks_held() && !proc_exit_inprogress)
		arm_held();
	/* whoever has caught the cancellation gets it again */
	if (fired && !proc_exit_inprogress &&
		(jit_running != NULL || current_loose() != NULL))
		(void) cut_off();
}

/*
 * Most backends never meet temporary access, and none of this costs them
 * anything: it is installed when the first statement relies on some.  Hooks
 * installed by others in between come after ours.
 */
static void
install_cutoff(void)
{
	static bool installed = false;

	if (installed)
		return;
	installed = true;
	next_executor_run_hook = ExecutorRun_hook ? ExecutorRun_hook : standard_ExecutorRun;
	ExecutorRun_hook = jit_executor_run;
	next_executor_finish_hook = ExecutorFinish_hook ? ExecutorFinish_hook : standard_ExecutorFinish;
	ExecutorFinish_hook = jit_executor_finish;
	jit_add_commit_step(JIT_COMMIT_JUDGE, &cutoff_calls);
	RegisterSubXactCallback(cutoff_subxact_callback, NULL);
	before_shmem_exit(log_held, (Datum) 0);
	/* after those of roles.c */
	CacheRegisterSyscacheCallback(AUTHOID, roles_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, roles_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMMEMROLE, roles_changed, (Datum) 0);
}
