/*-------------------------------------------------------------------------
 *
 * due.c
 *		What every backend has for the launcher.
 *
 * Shared memory holds where to wake it, when the ledgers are next due (a
 * request lapses, or what a role says of its end has changed), and how the
 * sweepers get on; launcher.c says what it makes of that, and tells by it what
 * jit.health is to say.
 *
 * 	commit of a grant or request	due_ended(): the due time is noted, the
 * 									launcher is woken
 * 	abort							nothing is noted
 * 	PREPARE TRANSACTION				nothing is noted, PostgreSQL having no hook
 * 									for its commit: the launcher finds a role
 * 									that was altered in it by looking around,
 * 									and COMMIT PREPARED counts as a drop
 * 	crash of the server				shared memory is reset; the launcher visits
 * 									all databases
 *
 * Pending requests lapse when what they are for is dropped.  Whoever drops
 * something doesn't look for them: its commit is counted, and if the ledger (for
 * a role or another shared object, each ledger) has any, it is due a second
 * later, however much is dropped in that second.  A sweeper that finds, when
 * it is done, that there were drops since it began, has its ledger due again, so
 * none is missed; and so is that of whoever has just filed a request, since
 * what it is for may have been dropped before that could be seen.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/commit.h"
#include "base/due.h"
#include "base/roles.h"
#include "base/text.h"

#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "storage/shmem.h"

/* How long after a drop pending requests are looked at. */
#define LOOK_DELAY USECS_PER_SEC

JitDueShared *jit_due = NULL;

/* What the current transaction has for the launcher once it commits. */
static bool wake_at_commit = false;
static TimestampTz due_at_commit = DT_NOEND;
static List *changed_at_commit = NIL;	/* databases, InvalidOid for a role of
										 * none that is there; in
										 * TopTransactionContext */
static bool pending_at_commit = false;	/* this ledger has pending requests */
static bool dropped_at_commit = false;	/* something of this database */
static bool shared_dropped_at_commit = false;

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
note_due(Oid database, TimestampTz due, bool pending)
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
		entry->pending = pending || (entry->database == database && entry->pending);
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

/*
 * Something is gone by now that pending requests may be for.  (With more open
 * ledgers than have entries, those of the others lapse when they are due.)
 */
static void
publish_drop(bool everywhere)
{
	TimestampTz due = jit_now() + LOOK_DELAY;

	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	for (int i = 0; i < JIT_DROP_COUNTS; i++)
	{
		if (everywhere || i == (int) (MyDatabaseId % JIT_DROP_COUNTS))
			jit_due->drops[i]++;
	}
	for (int i = 0; i < JIT_MAX_DUE; i++)
	{
		JitLedgerDue *entry = &jit_due->due[i];

		if (!OidIsValid(entry->database) || !entry->pending || entry->due <= due ||
			!(everywhere || entry->database == MyDatabaseId))
			continue;
		entry->due = due;
		wake_at_commit = true;
	}
	LWLockRelease(jit_due->lock);
}

static void
due_ended(List *presses, bool committed)
{
	ListCell   *lc;

	if (committed)
	{
		foreach(lc, presses)
			publish_press(lfirst(lc));
		if (pending_at_commit)
			due_at_commit = Min(due_at_commit, jit_now() + LOOK_DELAY);
		wake_at_commit |= note_due(MyDatabaseId, due_at_commit, pending_at_commit);
		if (dropped_at_commit || shared_dropped_at_commit)
			publish_drop(shared_dropped_at_commit);
		foreach(lc, changed_at_commit)
			(void) note_due(lfirst_oid(lc), jit_now(), false);
		if (wake_at_commit)
			wake();
	}
	wake_at_commit = false;
	due_at_commit = DT_NOEND;
	changed_at_commit = NIL;
	pending_at_commit = dropped_at_commit = shared_dropped_at_commit = false;
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

/* The same of a request that is pending: see the top of the file. */
void
jit_note_pending(void)
{
	jit_add_commit_step(JIT_COMMIT_WAKE, &due_calls);
	pending_at_commit = true;
}

/*
 * Something is being dropped that requests may be for.  From an object-access
 * hook, for each object; a subtransaction that aborts may leave that noted.
 * No request is for what is temporary, nor for a role of ours.
 */
void
jit_note_dropped(Oid classid, Oid objid)
{
	bool		shared = IsSharedRelation(classid);

	if (shared_dropped_at_commit || (dropped_at_commit && !shared))
		return;
	if (classid == AuthIdRelationId ?
		jit_role_kind_by_oid(objid) != JIT_ROLE_ORDINARY :
		isAnyTempNamespace(jit_cached_namespace(classid, objid)))
		return;
	jit_add_commit_step(JIT_COMMIT_WAKE, &due_calls);
	if (shared)
		shared_dropped_at_commit = true;
	else
		dropped_at_commit = true;
}

/* How often something was dropped, for jit_report_swept(). */
uint64
jit_count_drops(void)
{
	uint64		drops;

	LWLockAcquire(jit_due->lock, LW_SHARED);
	drops = jit_due->drops[MyDatabaseId % JIT_DROP_COUNTS];
	LWLockRelease(jit_due->lock);
	return drops;
}

/*
 * Something is due in a database now, once this transaction has committed;
 * if it is gone, for whoever sees to roles of no database.
 */
void
jit_note_database_due(Oid database)
{
	MemoryContext context;

	jit_add_commit_step(JIT_COMMIT_WAKE, &due_calls);
	if (!SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database)))
		database = InvalidOid;
	context = MemoryContextSwitchTo(TopTransactionContext);
	changed_at_commit = list_append_unique_oid(changed_at_commit, database);
	MemoryContextSwitchTo(context);
	wake_at_commit = true;
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

	(void) jit_parse_grant_name(jit_role_name(roleid), &database, &request);
	jit_note_database_due(database);
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

/* All databases are due; by the launcher itself. */
void
jit_visit_all(void)
{
	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	jit_due->overflow_due = Min(jit_due->overflow_due, jit_now());
	LWLockRelease(jit_due->lock);
}

/*
 * Has the launcher seen a database go?  That there is none with the OID in a
 * role's name doesn't prove it: it may be another cluster's, from a restore
 * under way.
 */
bool
jit_is_gone(Oid database)
{
	bool		result = false;

	LWLockAcquire(jit_due->lock, LW_SHARED);
	for (int i = 0; i < jit_due->ngone; i++)
		result |= jit_due->gone[i] == database;
	LWLockRelease(jit_due->lock);
	return result && !SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database));
}

/*
 * Is it the first time since the start that something is logged of a role which
 * stays?  Others of the same place may go without.
 */
bool
jit_first_log_of(Oid roleid)
{
	bool	   *logged = &jit_due->logged[roleid % JIT_LOGGED_ROLES];
	bool		result;

	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	result = !*logged;
	*logged = true;
	LWLockRelease(jit_due->lock);
	return result;
}

/* The spare sweeper is there to be called, with the latch of this process. */
void
jit_spare_comes(void)
{
	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	memset(&jit_due->spare, 0, sizeof(JitSpareSweeper));
	jit_due->spare.pid = MyProcPid;
	jit_due->spare.latch = MyLatch;
	LWLockRelease(jit_due->lock);
	/* there may be something for it to do already */
	wake();
}

/* It exits, however it has fared. */
void
jit_spare_goes(void)
{
	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	memset(&jit_due->spare, 0, sizeof(JitSpareSweeper));
	LWLockRelease(jit_due->lock);
	wake();
}

/* A sweeper's sign of life. */
void
jit_report_progress(int slot)
{
	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	jit_due->reports[slot].progress = jit_now();
	LWLockRelease(jit_due->lock);
}

/* A worker has failed at something: for jit.health. */
void
jit_note_failure(Oid database, const char *message)
{
	JitFailure *failure = &jit_due->failure;

	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	failure->at = jit_now();
	failure->database = database;
	failure->over = false;
	snprintf(failure->message, sizeof(failure->message), "%s", message);
	for (char *c = failure->message; *c != '\0'; c++)
	{
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
	}
	LWLockRelease(jit_due->lock);
}

/*
 * A sweeper is done: how it got on, when the ledger is due again because of
 * something that it hasn't tried, whether that has pending requests, and how
 * many drops there had been before it looked at them.
 */
void
jit_report_swept(int slot, TimestampTz due, bool pending, uint64 drops,
				 const JitSweeperReport *report)
{
	(void) note_due(MyDatabaseId, due, pending);
	if (pending && jit_count_drops() != drops)
		(void) note_due(MyDatabaseId, jit_now() + LOOK_DELAY, true);
	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	jit_due->reports[slot] = *report;
	jit_due->reports[slot].progress = jit_now();
	LWLockRelease(jit_due->lock);
}
