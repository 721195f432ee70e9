/*-------------------------------------------------------------------------
 *
 * launcher.c
 *		The background worker that knows when something is due.
 *
 * "jit_access launcher" is a static worker without a database: it reads the
 * shared catalogs only, so it is in nobody's way.  It sleeps until the next
 * deadline in pg_authid, or until something is due in a database's ledger,
 * and has a short-lived "jit_access sweeper" (sweeper.c) do the work there.
 *
 * Nothing depends on it but the disappearance of roles: enforce.c denies at
 * the deadline whether the launcher runs or not.
 *
 * Shared memory holds where to wake it, and per database when its ledger is
 * next due (a request that lapses, an access that ends).  That is lost with
 * the server, so after a start every database is visited once; and when more
 * databases have something due than there is room for, all are visited.
 *
 *	commit of a grant or request	on_commit(): the due time is noted, the
 *									launcher is woken
 *	abort							nothing is noted
 *	launcher dies					the postmaster starts it again after 1 s;
 *									it knows nothing and needs to know nothing
 *	sweeper dies, or can't start	its roles are due still: tried again, after
 *									1 s, 2 s, ... MAX_BACKOFF per role, so that
 *									what can't be removed holds up nothing else
 *	sweeper hangs					other databases go on; the roles concerned
 *									lose their members through another database
 *	crash of the server				the postmaster resets shared memory and
 *									starts the launcher anew
 *	database dropped				its roles are dropped by any other sweeper
 *	standby							not started before promotion
 *	pg_upgrade						not registered at all
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procsignal.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define MAX_DUE			256		/* databases with something due */
#define MAX_SWEEPERS	3		/* at the same time */
#define MAX_BACKOFF		300		/* seconds */
#define HANGING			5000	/* milliseconds after which others help */
#define LONGEST_SLEEP	60000	/* milliseconds */

typedef struct DatabaseDue
{
	Oid			database;		/* InvalidOid: free */
	TimestampTz due;
} DatabaseDue;

typedef struct LauncherShared
{
	slock_t		mutex;
	Latch	   *latch;			/* NULL while it isn't running */
	bool		visit_all;
	DatabaseDue due[MAX_DUE];
} LauncherShared;

static LauncherShared *shared = NULL;

/* What the current transaction has for the launcher once it commits. */
static bool wake_at_commit = false;
static TimestampTz due_at_commit = DT_NOEND;

/* A role that was due when a sweeper was last sent for it. */
typedef struct TriedRole
{
	Oid			role;
	int			tries;
	TimestampTz next_try;
	bool		seen;
} TriedRole;

typedef struct RunningSweeper
{
	BackgroundWorkerHandle *handle;
	Oid			database;
	TimestampTz started;
} RunningSweeper;

static List *tried = NIL;		/* of TriedRole */
static List *running = NIL;		/* of RunningSweeper */
static List *to_visit = NIL;	/* database OIDs, visited once after a start */
static bool start_failure_logged = false;

/* ----------------------------------------------------------------------
 * For all backends
 * ----------------------------------------------------------------------
 */

void
jit_launcher_shmem_request(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(LauncherShared)));
}

void
jit_launcher_shmem_startup(void)
{
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("jit_access launcher", sizeof(LauncherShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(LauncherShared));
		SpinLockInit(&shared->mutex);
		shared->visit_all = true;
	}
	LWLockRelease(AddinShmemInitLock);
}

/* Set, or with "earlier" only move ahead, when a database is next due. */
static void
set_due(Oid database, TimestampTz due, bool earlier)
{
	DatabaseDue *slot = NULL;

	SpinLockAcquire(&shared->mutex);
	for (int i = 0; i < MAX_DUE; i++)
	{
		if (shared->due[i].database == database)
		{
			slot = &shared->due[i];
			break;
		}
		if (slot == NULL && !OidIsValid(shared->due[i].database))
			slot = &shared->due[i];
	}
	if (slot == NULL)
		shared->visit_all = true;
	else if (slot->database != database)
	{
		slot->database = due == DT_NOEND ? InvalidOid : database;
		slot->due = due;
	}
	else if (due < slot->due || !earlier)
	{
		slot->due = due;
		if (due == DT_NOEND)
			slot->database = InvalidOid;
	}
	SpinLockRelease(&shared->mutex);
}

static void
wake(void)
{
	Latch	   *latch;

	SpinLockAcquire(&shared->mutex);
	latch = shared->latch;
	SpinLockRelease(&shared->mutex);
	if (latch != NULL)
		SetLatch(latch);
}

static void
on_commit(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	if (event == XACT_EVENT_COMMIT)
	{
		if (due_at_commit != DT_NOEND)
			set_due(MyDatabaseId, due_at_commit, true);
		if (wake_at_commit || due_at_commit != DT_NOEND)
			wake();
	}
	wake_at_commit = false;
	due_at_commit = DT_NOEND;
}

/* Have the launcher look again once this transaction has committed. */
void
jit_wake_launcher_at_commit(void)
{
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
	due_at_commit = Min(due_at_commit, due);
}

/* Tell what is due next here after all that was due has been done. */
void
jit_report_due(TimestampTz due)
{
	set_due(MyDatabaseId, due, true);
}

/* Called from _PG_init() only, not under IsBinaryUpgrade. */
void
jit_register_launcher(void)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	snprintf(worker.bgw_name, BGW_MAXLEN, "jit_access launcher");
	snprintf(worker.bgw_type, BGW_MAXLEN, "jit_access launcher");
	snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), JIT_EXTENSION);
	snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "jit_launcher_main");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	RegisterBackgroundWorker(&worker);

	RegisterXactCallback(on_commit, NULL);
}

/* ----------------------------------------------------------------------
 * In the launcher
 * ----------------------------------------------------------------------
 */

static void
launcher_exit(int code, Datum arg)
{
	SpinLockAcquire(&shared->mutex);
	shared->latch = NULL;
	SpinLockRelease(&shared->mutex);
}

static RunningSweeper *
running_sweeper(Oid database)
{
	ListCell   *lc;

	foreach(lc, running)
	{
		RunningSweeper *sweeper = lfirst(lc);

		if (sweeper->database == database)
			return sweeper;
	}
	return NULL;
}

/* Forget sweepers that have stopped. */
static void
reap_sweepers(void)
{
	ListCell   *lc;

	foreach(lc, running)
	{
		RunningSweeper *sweeper = lfirst(lc);
		pid_t		pid;

		if (GetBackgroundWorkerPid(sweeper->handle, &pid) == BGWH_STOPPED)
		{
			running = foreach_delete_current(running, lc);
			pfree(sweeper->handle);
			pfree(sweeper);
		}
	}
}

/*
 * Start a sweeper in a database; with "others" it also takes the members out
 * of past roles of other databases.  False if it can't be started now.
 */
static bool
start_sweeper(Oid database, bool others)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	RunningSweeper *sweeper;
	MemoryContext context;

	if (list_length(running) >= MAX_SWEEPERS)
		return false;
	memset(&worker, 0, sizeof(worker));
	snprintf(worker.bgw_name, BGW_MAXLEN, "jit_access sweeper for database %u", database);
	snprintf(worker.bgw_type, BGW_MAXLEN, "jit_access sweeper");
	snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), JIT_EXTENSION);
	snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "jit_sweeper_main");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_extra[0] = others;
	worker.bgw_notify_pid = MyProcPid;

	context = MemoryContextSwitchTo(TopMemoryContext);
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		MemoryContextSwitchTo(context);
		if (!start_failure_logged)
			ereport(LOG,
					(errmsg("jit_access: no sweeper could be started: all max_worker_processes are in use"),
					 errdetail("Ended access is denied all the same; its roles stay until a sweeper runs."),
					 errhint("Consider increasing max_worker_processes.")));
		start_failure_logged = true;
		return false;
	}
	start_failure_logged = false;
	sweeper = palloc(sizeof(RunningSweeper));
	sweeper->handle = handle;
	sweeper->database = database;
	sweeper->started = GetCurrentTimestamp();
	running = lappend(running, sweeper);
	MemoryContextSwitchTo(context);
	return true;
}

static TriedRole *
tried_role(Oid role)
{
	ListCell   *lc;
	TriedRole  *t;
	MemoryContext context;

	foreach(lc, tried)
	{
		t = lfirst(lc);
		if (t->role == role)
			return t;
	}
	context = MemoryContextSwitchTo(TopMemoryContext);
	t = palloc0(sizeof(TriedRole));
	t->role = role;
	tried = lappend(tried, t);
	MemoryContextSwitchTo(context);
	return t;
}

/* Databases of the cluster that take connections, or all of them. */
static List *
list_databases(bool connectable)
{
	Relation	rel = table_open(DatabaseRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(rel, 0, NULL);
	HeapTuple	tuple;
	List	   *databases = NIL;

	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (!connectable || (form->datallowconn && form->datconnlimit != -2))
			databases = lappend_oid(databases, form->oid);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	return databases;
}

/*
 * Look at all grant roles and at what is due in databases, send sweepers,
 * and return when to look again.
 */
static TimestampTz
look_around(void)
{
	TimestampTz now;
	TimestampTz next = DT_NOEND;
	List	   *all;
	List	   *open;
	List	   *due = NIL;		/* databases that need a sweeper */
	List	   *due_roles = NIL;	/* of TriedRole, parallel to role_databases */
	List	   *role_databases = NIL;
	List	   *sent = NIL;
	bool		need_help = false;
	bool		visit_all;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	ListCell   *lc;
	ListCell   *lc2;

	reap_sweepers();

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	now = jit_now();
	all = list_databases(false);
	open = list_databases(true);

	SpinLockAcquire(&shared->mutex);
	visit_all = shared->visit_all;
	shared->visit_all = false;
	SpinLockRelease(&shared->mutex);
	if (visit_all)
	{
		MemoryContext context = MemoryContextSwitchTo(TopMemoryContext);

		list_free(to_visit);
		to_visit = list_copy(open);
		MemoryContextSwitchTo(context);
	}

	/* grant roles */
	foreach(lc, tried)
		((TriedRole *) lfirst(lc))->seen = false;
	rel = table_open(AuthIdRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_authid form = (Form_pg_authid) GETSTRUCT(tuple);
		TimestampTz deadline;
		Oid			database;
		int			request;
		bool		isnull;
		Datum		value;
		TriedRole  *t;

		if (jit_role_kind(NameStr(form->rolname)) != JIT_ROLE_GRANT)
			continue;
		value = heap_getattr(tuple, Anum_pg_authid_rolvaliduntil,
							 RelationGetDescr(rel), &isnull);
		/* without a deadline it gives nothing; the ledger knows when it is due */
		if (isnull || TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)))
			continue;
		deadline = DatumGetTimestampTz(value);
		if (deadline > now)
		{
			next = Min(next, deadline);
			continue;
		}

		t = tried_role(form->oid);
		t->seen = true;
		if (t->next_try > now)
		{
			next = Min(next, t->next_try);
			continue;
		}
		if (!jit_parse_grant_name(NameStr(form->rolname), &database, &request) ||
			!list_member_oid(all, database))
		{
			/* of a database that is gone: any will do */
			need_help = true;
			database = InvalidOid;
		}
		else
		{
			due = list_append_unique_oid(due, database);
			need_help |= t->tries > 0;
		}
		due_roles = lappend(due_roles, t);
		role_databases = lappend_oid(role_databases, database);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	foreach(lc, tried)
	{
		if (!((TriedRole *) lfirst(lc))->seen)
		{
			pfree(lfirst(lc));
			tried = foreach_delete_current(tried, lc);
		}
	}

	/* ledgers */
	SpinLockAcquire(&shared->mutex);
	for (int i = 0; i < MAX_DUE; i++)
	{
		if (!OidIsValid(shared->due[i].database))
			continue;
		if (!list_member_oid(all, shared->due[i].database))
			shared->due[i].database = InvalidOid;
		else if (shared->due[i].due > now)
			next = Min(next, shared->due[i].due);
		else
			due = list_append_unique_oid(due, shared->due[i].database);
	}
	SpinLockRelease(&shared->mutex);

	/* send sweepers: where something is due first, then the first visits */
	foreach(lc, due)
	{
		Oid			database = lfirst_oid(lc);
		RunningSweeper *sweeper = running_sweeper(database);

		if (sweeper != NULL)
		{
			if (TimestampDifferenceExceeds(sweeper->started, GetCurrentTimestamp(), HANGING))
				need_help = true;
			else
				next = Min(next, now + HANGING * INT64CONST(1000));
		}
		else if (start_sweeper(database, false))
		{
			/* a sweeper that fails must not be sent again at once */
			set_due(database, now + USECS_PER_SEC, false);
			sent = lappend_oid(sent, database);
		}
		else
			next = Min(next, now + USECS_PER_SEC / 10);
	}
	if (need_help)
	{
		foreach(lc, open)
		{
			Oid			database = lfirst_oid(lc);

			if (running_sweeper(database) == NULL)
			{
				if (start_sweeper(database, true))
					sent = lappend_oid(sent, InvalidOid);
				break;
			}
		}
	}
	while (to_visit != NIL && list_length(running) < MAX_SWEEPERS)
	{
		Oid			database = linitial_oid(to_visit);

		if (list_member_oid(all, database) && running_sweeper(database) == NULL &&
			!start_sweeper(database, false))
			break;
		to_visit = list_delete_first(to_visit);
	}
	if (to_visit != NIL)
		next = Min(next, now + USECS_PER_SEC);

	forboth(lc, due_roles, lc2, role_databases)
	{
		TriedRole  *t = lfirst(lc);

		if (!list_member_oid(sent, lfirst_oid(lc2)))
		{
			if (running_sweeper(lfirst_oid(lc2)) == NULL)
				next = Min(next, now + USECS_PER_SEC / 10);
			continue;
		}
		t->next_try = now + Min((int64) 1 << Min(t->tries, 20), MAX_BACKOFF) * USECS_PER_SEC;
		t->tries++;
		if (t->tries == 4)
			ereport(LOG,
					(errmsg("jit_access: role with OID %u, whose access has ended, could not be removed yet",
							t->role),
					 errdetail("It gives nobody anything. This is tried again with growing pauses and not logged again.")));
		next = Min(next, t->next_try);
	}

	CommitTransactionCommand();
	return next;
}

/* Entry point of the launcher. */
void
jit_launcher_main(Datum arg)
{
	MemoryContext context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	before_shmem_exit(launcher_exit, (Datum) 0);
	SpinLockAcquire(&shared->mutex);
	shared->latch = MyLatch;
	shared->visit_all = true;
	SpinLockRelease(&shared->mutex);

	context = AllocSetContextCreate(TopMemoryContext, "jit_access launcher",
									ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		TimestampTz next;
		long		timeout;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		MemoryContextSwitchTo(context);
		next = look_around();
		MemoryContextSwitchTo(context);
		MemoryContextReset(context);

		timeout = LONGEST_SLEEP;
		if (next != DT_NOEND)
			timeout = Min(timeout,
						  TimestampDifferenceMilliseconds(jit_now(), next));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 timeout, PG_WAIT_EXTENSION);
	}
}
