/*-------------------------------------------------------------------------
 *
 * due.c
 *		What every backend has for the launcher.
 *
 * Shared memory holds where to wake it, when the ledgers are next due (a
 * request lapses, or what a role says of its end has changed), and how the
 * sweepers get on; launcher.c says what it makes of that.
 *
 * 	commit of a grant or request	due_ended(): the due time is noted, the
 * 									launcher is woken
 * 	abort							nothing is noted
 * 	PREPARE TRANSACTION				nothing is noted, PostgreSQL having no hook
 * 									for its commit: the launcher finds a role
 * 									that was altered in it by looking around
 * 	crash of the server				shared memory is reset; the launcher visits
 * 									all databases
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/commit.h"
#include "base/due.h"
#include "base/roles.h"
#include "base/text.h"

#include "storage/shmem.h"

JitDueShared *jit_due = NULL;

/* What the current transaction has for the launcher once it commits. */
static bool wake_at_commit = false;
static TimestampTz due_at_commit = DT_NOEND;
static List *changed_at_commit = NIL;	/* databases, InvalidOid for a role of
										 * none that is there; in
										 * TopTransactionContext */

void
jit_due_shmem_request(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(JitDueShared)));
	RequestNamedLWLockTranche("jit_access", 1);
}

void
jit_due_shmem_startup(void)
{
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	jit_due = ShmemInitStruct("jit_access due", sizeof(JitDueShared), &found);
	if (!found)
	{
		memset(jit_due, 0, sizeof(JitDueShared));
		jit_due->lock = &GetNamedLWLockTranche("jit_access")->lock;
		jit_due->overflow_due = DT_NOEND;
		jit_due->all_revoked = DT_NOBEGIN;
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * Note when a ledger is due, unless it is due earlier anyway; for InvalidOid,
 * that roles of others are due now.  False if it was: whoever noted that has
 * woken the launcher, which takes it out before it looks at the roles.
 */
static bool
note_due(Oid database, TimestampTz due)
{
	JitLedgerDue *entry = NULL;
	bool		earlier = true;

	if (due == DT_NOEND)
		return false;
	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	for (int i = 0; i < JIT_MAX_DUE && OidIsValid(database); i++)
	{
		if (jit_due->due[i].database == database)
		{
			entry = &jit_due->due[i];
			break;
		}
		if (entry == NULL && !OidIsValid(jit_due->due[i].database))
			entry = &jit_due->due[i];
	}
	if (!OidIsValid(database))
	{
		jit_due->others_due = true;
		/* any ledger may have it, by restore */
		jit_due->overflow_due = Min(jit_due->overflow_due, due);
	}
	else if (entry == NULL)
		jit_due->overflow_due = Min(jit_due->overflow_due, due);
	else
	{
		earlier = entry->database != database || due < entry->due;
		if (earlier)
			entry->due = due;
		entry->database = database;
	}
	LWLockRelease(jit_due->lock);
	return earlier;
}

static void
wake(void)
{
	LWLockAcquire(jit_due->lock, LW_SHARED);
	if (jit_due->latch != NULL)
		SetLatch(jit_due->latch);
	LWLockRelease(jit_due->lock);
}

/* Every database looks for what has been overtaken. */
static void
publish_press(const JitPress *press)
{
	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	if (!OidIsValid(press->grantee))
		jit_due->all_revoked = Max(jit_due->all_revoked, press->at);
	else
	{
		int			n = Min(jit_due->npresses, JIT_MAX_PRESSES);
		int			place = 0;

		while (place < n && jit_due->presses[place].grantee != press->grantee)
			place++;
		if (place == n)
			place = jit_due->npresses++ % JIT_MAX_PRESSES;
		jit_due->presses[place] = *press;
	}
	jit_due->overflow_due = Min(jit_due->overflow_due, jit_now());
	LWLockRelease(jit_due->lock);
	wake_at_commit = true;
}

static void
due_ended(List *presses, bool committed)
{
	ListCell   *lc;

	if (committed)
	{
		foreach(lc, presses)
			publish_press(lfirst(lc));
		wake_at_commit |= note_due(MyDatabaseId, due_at_commit);
		foreach(lc, changed_at_commit)
			(void) note_due(lfirst_oid(lc), jit_now());
		if (wake_at_commit)
			wake();
	}
	wake_at_commit = false;
	due_at_commit = DT_NOEND;
	changed_at_commit = NIL;
}

static const JitCommitCalls due_calls = {.ended = due_ended};

/* Have the launcher look again once this transaction has committed. */
void
jit_wake_launcher_at_commit(void)
{
	jit_add_commit_step(JIT_COMMIT_WAKE, &due_calls);
	wake_at_commit = true;
}

/*
 * Tell when the ledger of this database has something due, once this
 * transaction has committed.  A subtransaction that aborts may leave a time
 * at which nothing is due: a sweeper will look in vain.
 */
void
jit_note_due(TimestampTz due)
{
	jit_add_commit_step(JIT_COMMIT_WAKE, &due_calls);
	due_at_commit = Min(due_at_commit, due);
}

/*
 * A grant role is changed otherwise than by its ledger: once that has
 * committed, the ledger has to follow.
 */
void
jit_note_ledger_behind(Oid roleid)
{
	Oid			database = InvalidOid;
	int			request;
	MemoryContext context;

	jit_add_commit_step(JIT_COMMIT_WAKE, &due_calls);
	if (jit_parse_grant_name(jit_role_name(roleid), &database, &request) &&
		!SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database)))
		database = InvalidOid;
	context = MemoryContextSwitchTo(TopTransactionContext);
	changed_at_commit = list_append_unique_oid(changed_at_commit, database);
	MemoryContextSwitchTo(context);
}

/* This transaction presses a panic button. */
void
jit_note_press(Oid grantee, TimestampTz at)
{
	JitPress   *press = MemoryContextAlloc(TopTransactionContext, sizeof(JitPress));

	press->grantee = grantee;
	press->at = at;
	jit_note_for_commit(JIT_COMMIT_WAKE, &due_calls, press);
}

/*
 * When the role's access, or everybody's, was ended after a point in time, as
 * far as is known without a ledger; DT_NOBEGIN if it wasn't.
 */
TimestampTz
jit_pressed_after(Oid grantee, TimestampTz at)
{
	TimestampTz result;

	LWLockAcquire(jit_due->lock, LW_SHARED);
	result = jit_due->all_revoked;
	for (int i = 0; i < Min(jit_due->npresses, JIT_MAX_PRESSES); i++)
	{
		if (jit_due->presses[i].grantee == grantee)
			result = Max(result, jit_due->presses[i].at);
	}
	LWLockRelease(jit_due->lock);
	return result >= at ? result : DT_NOBEGIN;
}

/* Somebody alters or drops a role.  From an object-access hook. */
void
jit_note_role_changed(Oid roleid)
{
	if (jit_role_kind_by_oid(roleid) != JIT_ROLE_GRANT)
		return;
	jit_wake_launcher_at_commit();
	/* our own changes are in the ledger already */
	if (!InSecurityRestrictedOperation())
		jit_note_ledger_behind(roleid);
}

/* A sweeper's sign of life. */
void
jit_report_progress(int slot)
{
	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	jit_due->reports[slot].progress = jit_now();
	LWLockRelease(jit_due->lock);
}

/*
 * A sweeper is done: how it got on, and when the ledger is due again because
 * of something that it hasn't tried.
 */
void
jit_report_swept(int slot, TimestampTz due, const JitSweeperReport *report)
{
	(void) note_due(MyDatabaseId, due);
	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	jit_due->reports[slot] = *report;
	jit_due->reports[slot].progress = jit_now();
	LWLockRelease(jit_due->lock);
}
