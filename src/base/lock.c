/*-------------------------------------------------------------------------
 *
 * lock.c
 *		Locks that are waited for, but not for good.
 *
 * What gives access, and what is recorded, is written right before the commit,
 * one transaction of the cluster at a time, under a lock of ours that is held
 * to its end: the order of events is that of commits.  It is an object lock on
 * an object of pg_authid that isn't there, so that nobody can take it by SQL.
 *
 * Whoever waits holds up others, so every wait ends: with an error that says
 * what is locked and by whom, or, for what ends access, without.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/lock.h"
#include "base/query.h"

#include "catalog/catalog.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/inval.h"

/* What is being given waits for locks until then. */
static TimestampTz latest = 0;

typedef struct LockCall
{
	const LOCKTAG *tag;
	LOCKMODE	mode;
} LockCall;

static void
try_to_lock(void *arg)
{
	LockCall   *call = arg;

	(void) LockAcquire(call->tag, call->mode, false, false);
}

/*
 * Of jit_try(): was it a lock that wasn't to be had, be it because that would
 * be a deadlock?  Raises any other error.
 */
bool
jit_lock_failed(ErrorData *error)
{
	if (error != NULL && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE &&
		error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
		ReThrowError(error);
	return error != NULL;
}

/*
 * Take a lock to the end of the transaction, waiting so many milliseconds at
 * most, and take in what others have changed until then, as
 * LockSharedObject() does.  False if it wasn't to be had.
 */
bool
jit_wait_for_lock(const LOCKTAG *tag, LOCKMODE mode, int timeout)
{
	LockCall	call = {tag, mode};
	int			before = LockTimeout;
	ErrorData  *volatile error = NULL;

	if (LockAcquire(tag, mode, false, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		PG_TRY();
		{
			LockTimeout = timeout;
			error = jit_try(try_to_lock, &call);
		}
		PG_FINALLY();
		{
			LockTimeout = before;
		}
		PG_END_TRY();
		if (jit_lock_failed(error))
			return false;
	}
	AcceptInvalidationMessages();
	return true;
}

/* The cluster's lock; see the top of the file.  Taking it again is free. */
bool
jit_lock_cluster(int timeout)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, AuthIdRelationId, InvalidOid, 0);
	return jit_wait_for_lock(&tag, ExclusiveLock, timeout);
}

/* From now on jit_lock_object() waits for so long, all in all. */
void
jit_start_waiting(int milliseconds)
{
	latest = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
}

/* How many milliseconds there are left. */
int
jit_time_left(void)
{
	return Max(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), latest),
			   JIT_SHORTEST_WAIT);
}

/*
 * In PG_CATCH(), around what is done with a lock_timeout: raise the error
 * again, but of a wait of PostgreSQL's say what had to wait, and what to do.
 */
void
jit_rethrow_locked(MemoryContext context, const char *what)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	/* ours has a hint */
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE && error->hint == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("%s cannot be changed now: another transaction has it, or what it is for, locked", what),
				 errhint("Try again when that has ended; pg_locks and pg_stat_activity show which one it is.")));
	ReThrowError(error);
}

/* What locks an object here: of tables, in that mode, what LOCK TABLE locks. */
static void
set_tag(LOCKTAG *tag, Oid classid, Oid objid, LOCKMODE mode)
{
	if (classid == RelationRelationId && mode == AccessShareLock)
		SET_LOCKTAG_RELATION(*tag, MyDatabaseId, objid);
	else
		SET_LOCKTAG_OBJECT(*tag, IsSharedRelation(classid) ? InvalidOid : MyDatabaseId,
						   classid, objid, 0);
}

/*
 * Lock an object to the end of the transaction.  Raises if somebody else keeps
 * it for too long; "what" is what waits for it.  Inside an owner section.
 */
void
jit_lock_object(Oid classid, Oid objid, LOCKMODE mode, const char *what)
{
	LOCKTAG		tag;
	Oid			database = IsSharedRelation(classid) ? InvalidOid : MyDatabaseId;
	char	   *pids;

	set_tag(&tag, classid, objid, mode);
	if (jit_wait_for_lock(&tag, mode, jit_time_left()))
		return;
	jit_query("SELECT string_agg(DISTINCT pid::text, ', ') FROM pg_locks WHERE granted"
			  " AND pid <> pg_backend_pid()"
			  " AND (database = $1 AND relation = $2 OR database = $1 AND classid = $3 AND objid = $2)",
			  "ooo", database, objid, classid);
	pids = jit_result_text(1, 1);
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("%s cannot become active: what it is for is locked by another transaction", what),
			 pids ? errdetail("It is process %s; see pg_stat_activity.", pids) : 0,
			 errhint("Try again when that has ended.")));
}

/* The same without waiting: false if somebody has it, or waits for it. */
bool
jit_lock_object_if_free(Oid classid, Oid objid, LOCKMODE mode)
{
	LOCKTAG		tag;

	set_tag(&tag, classid, objid, mode);
	if (LockAcquire(&tag, mode, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	AcceptInvalidationMessages();
	return true;
}
