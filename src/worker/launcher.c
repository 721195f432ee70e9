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
 * Backends tell it when the ledgers are next due through shared memory, where
 * sweepers report as well (base/due.c).  What the launcher itself knows of a
 * database:
 *
 *	idle				nothing to do that hasn't been tried
 *	wanted				something has become due since the last sweeper
 *	at work				a sweeper is there
 *	in trouble			sweepers fail, or the one at work hangs
 *
 *	idle -> wanted		a deadline or a due time is past; the database, the
 *						server or the launcher is new; MAX_BACKOFF after the
 *						last one if past roles are still there
 *	wanted -> at work	a sweeper is started; with none to be had, later
 *	at work -> idle		it has reported that nothing is left
 *	at work -> in trouble -> at work ...
 *						it ended without, or left something undone: another is
 *						sent after about as long as that has lasted, from 1 s to
 *						MAX_BACKOFF
 *
 * How long that has lasted: since sweepers began to fail in that database, or,
 * if this one could do its work, since the newest thing that it left became
 * due, or since it was first left.  So a fault of four seconds costs four
 * more, however many deadlines fall into it and whatever has been stuck there
 * for a day.  The log says when it begins and when it is over.
 *
 * Where no sweeper can be started, because parallel queries have all worker
 * processes, or because all that there may be hang, the spare one (sweeper.c) is
 * called: memberships of past roles, of all databases, don't wait for a place.
 * Ledgers do.  Its states, to us:
 *
 *	idle				no past role has a member, or a sweeper can be started
 *	called				it was called to a database
 *	called -> idle		it has gone, and reported: what it left is tried again as
 *						above, what is past since at once.  It is back after a
 *						second, and wakes us
 *	called, hangs		terminated after TOO_LONG
 *	launcher dies		the next one goes on from there
 *
 * New things due don't wait for the pause of old ones, nor one database for
 * another.  Roles of databases that are gone, and those of databases in
 * trouble, are the business of a sweeper in any other database: that is the
 * entry for InvalidOid, with the same states.
 *
 *	commit of a grant or request	it is woken; see base/due.c
 *	PREPARE TRANSACTION				nobody tells it of its commit: a role altered
 *									in it is found within MAX_BACKOFF
 *	launcher dies					it is started again after 1 s, and visits
 *									every database that takes connections
 *	sweeper dies, or can't start	as if it had failed
 *	sweeper hangs					others help after HANGING; terminated after
 *									TOO_LONG without progress
 *	crash of the server				shared memory is reset; as above
 *	database dropped				its roles go at their deadline, its scope roles
 *									when they have no members
 *	keep_scopes, warn_before changed all databases are visited
 *	too many ledgers due			all databases are visited at the earliest
 *									due time that there was no room for
 *	role of no database altered		all databases are visited
 *	standby							not started before promotion
 *	pg_upgrade						not registered at all
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/due.h"
#include "base/guc.h"
#include "base/roles.h"
#include "worker/launcher.h"
#include "worker/sweeper.h"

#include "access/heapam.h"
#include "catalog/pg_auth_members.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#define MAX_BACKOFF		(300 * USECS_PER_SEC)
#define HANGING			USECS_PER_SEC
#define TOO_LONG		(60 * USECS_PER_SEC)
#define LONGEST_SLEEP	60000	/* milliseconds */

typedef struct Database
{
	Oid			oid;			/* hash key; InvalidOid: see above */
	bool		exists;			/* as of this look around */
	bool		gone;			/* doesn't exist, and did once */
	bool		scopes;			/* and its scope roles are still there */
	bool		wanted;			/* something is due that hasn't been tried */
	bool		first_visit;	/* not urgent */
	TimestampTz tried;			/* what was due by then has been tried */
	int			failures;		/* in a row */
	TimestampTz failing_since;	/* without a change from or to "failed" */
	bool		failed;			/* the last one couldn't do its work */
	TimestampTz retry;			/* DT_NOEND if there is nothing to try again */
	BackgroundWorkerHandle *handle; /* of the sweeper at work, or NULL */
	int			slot;			/* its report */
	bool		hangs;
	bool		terminated;
	Oid			where;			/* where the sweeper was last sent */
	int			unhelpful;		/* sweepers for InvalidOid that failed here */
} Database;

typedef struct PastRole
{
	Oid			oid;			/* hash key */
	TimestampTz deadline;
} PastRole;

static HTAB *databases = NULL;
static Database spare;			/* of all, "where" the spare sweeper is */
static bool spare_called = false;
static bool slot_used[JIT_MAX_SWEEPERS];
static bool start_failure_logged = false;
static TimestampTz no_start_since = DT_NOBEGIN; /* none can be started */

/* What our workers have in common. */
static void
describe_worker(BackgroundWorker *worker, const char *kind)
{
	memset(worker, 0, sizeof(BackgroundWorker));
	snprintf(worker->bgw_name, BGW_MAXLEN, "jit_access %s", kind);
	snprintf(worker->bgw_type, BGW_MAXLEN, "jit_access %s", kind);
	snprintf(worker->bgw_library_name, sizeof(worker->bgw_library_name), JIT_EXTENSION);
	snprintf(worker->bgw_function_name, sizeof(worker->bgw_function_name), "jit_%s_main", kind);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
}

/* Called from _PG_init() only. */
void
jit_register_launcher(void)
{
	BackgroundWorker worker;

	if (IsBinaryUpgrade)
		return;
	describe_worker(&worker, "launcher");
	worker.bgw_restart_time = 1;
	RegisterBackgroundWorker(&worker);

	describe_worker(&worker, "sweeper");
	snprintf(worker.bgw_name, BGW_MAXLEN, "jit_access spare sweeper");
	worker.bgw_restart_time = 1;
	RegisterBackgroundWorker(&worker);
}

/* ----------------------------------------------------------------------
 * In the launcher
 * ----------------------------------------------------------------------
 */

static void
launcher_exit(int code, Datum arg)
{
	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	jit_due->latch = NULL;
	LWLockRelease(jit_due->lock);
}

/* What we know of a database, made if need be. */
static Database *
get_database(Oid oid)
{
	bool		found;
	Database   *database = hash_search(databases, &oid, HASH_ENTER, &found);

	if (!found)
	{
		memset(database, 0, sizeof(Database));
		database->oid = oid;
		database->exists = true;
		database->tried = DT_NOBEGIN;
		database->retry = DT_NOEND;
	}
	return database;
}

static bool
in_trouble(const Database *database)
{
	return database->hangs || database->failures > 1;
}

/* Take note of how a sweeper has ended. */
static void
note_end(Database *database, const JitSweeperReport *report, TimestampTz now)
{
	TimestampTz since;

	if (database->failed && report->worked)
		ereport(LOG,
				(errmsg("jit_access: sweepers work again in the database with OID %u",
						database->where)));
	if (report->complete)
	{
		database->failures = 0;
		database->failed = false;
		database->retry = DT_NOEND;
		return;
	}
	if (database->failures++ == 0 || (database->failed == report->worked))
		database->failing_since = now;
	database->failed = !report->worked;
	since = database->failing_since;
	if (report->worked)
		since = Max(since, report->newest);
	database->retry = now + Max(Min(now - since, MAX_BACKOFF), USECS_PER_SEC);
}

/* It couldn't even say what has hindered it: in connecting, say. */
static void
note_silent_end(const Database *database)
{
	bool		known;

	LWLockAcquire(jit_due->lock, LW_SHARED);
	known = jit_due->failure.database == database->where &&
		jit_due->failure.at >= database->tried;
	LWLockRelease(jit_due->lock);
	if (!known)
		jit_note_failure(database->where, "a sweeper has ended before its work was done; the server log says why");
}

/* Tell jit.health of a database with trouble. */
static void
tell_trouble(Oid database, TimestampTz since)
{
	if (jit_due->ntroubles < JIT_MAX_TROUBLES)
	{
		JitTrouble *trouble = &jit_due->troubles[jit_due->ntroubles];

		trouble->database = database;
		trouble->since = since;
	}
	jit_due->ntroubles++;
}

/* The same of all that it wants to know. */
static void
tell_how_it_goes(TimestampTz now)
{
	JitFailure *failure = &jit_due->failure;
	HASH_SEQ_STATUS status;
	Database   *database;

	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	jit_due->looked = now;
	jit_due->ntroubles = 0;
	if (no_start_since != DT_NOBEGIN)
		tell_trouble(InvalidOid, no_start_since);
	failure->over = true;
	hash_seq_init(&status, databases);
	while ((database = hash_seq_search(&status)) != NULL)
	{
		bool		fails = database->failures > 0;

		if (!database->exists)
			continue;
		if (database->hangs)
			tell_trouble(database->where, database->tried);
		else if (fails && database->failed)
			tell_trouble(database->where, database->failing_since);
		/* one at work hasn't had its say yet */
		if (database->where == failure->database &&
			(fails || (database->handle != NULL && database->tried <= failure->at)))
			failure->over = false;
	}
	LWLockRelease(jit_due->lock);
}

/*
 * Take note of what sweepers have done.  Returns when to look at the ones
 * still at work again.
 */
static TimestampTz
watch_sweepers(TimestampTz now)
{
	TimestampTz next = DT_NOEND;
	JitSweeperReport reports[JIT_MAX_SWEEPERS];
	bool		trouble = false;
	HASH_SEQ_STATUS status;
	Database   *database;

	LWLockAcquire(jit_due->lock, LW_SHARED);
	memcpy(reports, jit_due->reports, sizeof(reports));
	LWLockRelease(jit_due->lock);

	hash_seq_init(&status, databases);
	while ((database = hash_seq_search(&status)) != NULL)
	{
		JitSweeperReport *report;
		pid_t		pid;

		if (database->handle == NULL)
			continue;
		report = &reports[database->slot];
		if (GetBackgroundWorkerPid(database->handle, &pid) == BGWH_STOPPED)
		{
			pfree(database->handle);
			database->handle = NULL;
			database->hangs = false;
			slot_used[database->slot] = false;
			note_end(database, report, now);
			if (!report->worked)
				note_silent_end(database);
			trouble |= database->failures == 2;
			if (!OidIsValid(database->oid) && database->failures > 0)
				get_database(database->where)->unhelpful++;
		}
		else if (now >= report->progress + HANGING)
		{
			trouble |= !database->hangs;
			database->hangs = true;
			if (now < report->progress + TOO_LONG)
				next = Min(next, report->progress + TOO_LONG);
			else if (!database->terminated)
			{
				TerminateBackgroundWorker(database->handle);
				database->terminated = true;
			}
		}
		else
		{
			database->hangs = false;
			next = Min(next, report->progress + HANGING);
		}
	}
	if (trouble)
		get_database(InvalidOid)->wanted = true;
	return next;
}

/* The same of the spare sweeper. */
static TimestampTz
watch_spare(TimestampTz now)
{
	JitSweeperReport report;
	pid_t		pid;
	bool		at_work;

	if (!spare_called)
		return DT_NOEND;
	LWLockAcquire(jit_due->lock, LW_SHARED);
	report = jit_due->reports[JIT_SPARE_SWEEPER];
	pid = jit_due->spare.pid;
	at_work = OidIsValid(jit_due->spare.where);
	if (at_work && !spare.terminated && now >= report.progress + TOO_LONG)
	{
		spare.terminated = true;
		(void) kill(pid, SIGTERM);
	}
	LWLockRelease(jit_due->lock);
	if (at_work)
		return spare.terminated ? DT_NOEND : report.progress + TOO_LONG;
	spare_called = false;
	note_end(&spare, &report, now);
	if (!report.worked)
		get_database(spare.where)->unhelpful++;
	return DT_NOEND;
}

/*
 * Memberships of past roles are to be removed, and no sweeper can be started:
 * call the spare one, unless it has been called for them already.
 */
static void
call_spare(TimestampTz past, Oid where, TimestampTz now)
{
	if (past == DT_NOBEGIN || !OidIsValid(where) || spare_called ||
		(past <= spare.tried && spare.retry != DT_NOEND && spare.retry > now))
		return;
	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	if (jit_due->spare.latch != NULL && !OidIsValid(jit_due->spare.where))
	{
		JitSpareSweeper *shared = &jit_due->spare;

		memset(&jit_due->reports[JIT_SPARE_SWEEPER], 0, sizeof(JitSweeperReport));
		jit_due->reports[JIT_SPARE_SWEEPER].progress = now;
		shared->task.slot = JIT_SPARE_SWEEPER;
		shared->task.whose = JIT_ALL_ROLES;
		shared->task.again = spare.failures > 0;
		shared->task.failed = spare.failed;
		shared->task.logged = spare.tried;
		shared->where = where;
		SetLatch(shared->latch);
		spare_called = true;
	}
	LWLockRelease(jit_due->lock);
	if (!spare_called)
		return;
	spare.where = where;
	spare.tried = now;
	spare.terminated = false;
}

/*
 * The latest deadline of these past roles that somebody is a member of,
 * DT_NOBEGIN if nobody is.
 */
static TimestampTz
latest_with_members(HTAB *past)
{
	Relation	rel = table_open(AuthMemRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(rel, 0, NULL);
	HeapTuple	tuple;
	TimestampTz result = DT_NOBEGIN;

	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Oid			role = ((Form_pg_auth_members) GETSTRUCT(tuple))->roleid;
		PastRole   *entry = hash_search(past, &role, HASH_FIND, NULL);

		if (entry != NULL)
			result = Max(result, entry->deadline);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/*
 * Start the sweeper of a database, in "where".  False if it can't be started
 * now.
 */
static bool
start_sweeper(Database *database, Oid where, TimestampTz now)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	JitSweeperTask task;
	MemoryContext context;
	bool		started;
	int			slot = 0;

	while (slot < JIT_MAX_SWEEPERS && slot_used[slot])
		slot++;
	if (slot == JIT_MAX_SWEEPERS)
		return false;

	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	memset(&jit_due->reports[slot], 0, sizeof(JitSweeperReport));
	jit_due->reports[slot].progress = now;
	LWLockRelease(jit_due->lock);

	memset(&task, 0, sizeof(task));
	task.slot = slot;
	task.whose = OidIsValid(database->oid) ? JIT_OWN_ROLES : JIT_ROLES_OF_OTHERS;
	task.logged = database->tried;
	task.again = database->failures > 0;
	task.failed = database->failed;

	describe_worker(&worker, "sweeper");
	snprintf(worker.bgw_name, BGW_MAXLEN, "jit_access sweeper for database %u", where);
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(where);
	worker.bgw_notify_pid = MyProcPid;
	StaticAssertStmt(sizeof(task) <= BGW_EXTRALEN, "task does not fit into bgw_extra");
	memcpy(worker.bgw_extra, &task, sizeof(task));

	context = MemoryContextSwitchTo(TopMemoryContext);
	started = RegisterDynamicBackgroundWorker(&worker, &handle);
	MemoryContextSwitchTo(context);
	if (!started)
	{
		if (!start_failure_logged)
			ereport(LOG,
					(errmsg("jit_access: no sweeper could be started: all max_worker_processes are in use"),
					 errdetail("Ended access is denied all the same.  Ledgers wait, and so do memberships if there was no place for the spare sweeper when the server was started."),
					 errhint("Consider increasing max_worker_processes.")));
		if (no_start_since == DT_NOBEGIN)
			no_start_since = now;
		start_failure_logged = true;
		return false;
	}

	start_failure_logged = false;
	no_start_since = DT_NOBEGIN;
	slot_used[slot] = true;
	database->slot = slot;
	database->handle = handle;
	database->where = where;
	database->wanted = false;
	database->first_visit = false;
	database->hangs = false;
	database->terminated = false;
	database->tried = now;
	database->retry = DT_NOEND;
	return true;
}

/*
 * Note which databases there are.  With "visit", all that take connections
 * are to be visited.  Returns one where a sweeper can see to the roles of
 * others: best one that isn't a template, and that has no trouble.
 */
static Oid
look_at_databases(bool visit)
{
	Relation	rel = table_open(DatabaseRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(rel, 0, NULL);
	HeapTuple	tuple;
	HASH_SEQ_STATUS status;
	Database   *database;
	Oid			best = InvalidOid;
	int			best_score = PG_INT32_MAX;

	hash_seq_init(&status, databases);
	while ((database = hash_seq_search(&status)) != NULL)
		database->exists = !OidIsValid(database->oid);

	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		int			score;

		database = get_database(form->oid);
		database->exists = true;
		/* -2: DROP DATABASE was interrupted, nobody can connect any more */
		if (!form->datallowconn || form->datconnlimit == -2)
			continue;
		/* a new one may be a copy, with a ledger that has something due */
		database->first_visit |= visit || TIMESTAMP_IS_NOBEGIN(database->tried);
		score = 4 * database->unhelpful + 2 * in_trouble(database) +
			form->datistemplate;
		if (score < best_score)
		{
			best = form->oid;
			best_score = score;
		}
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);

	hash_seq_init(&status, databases);
	while ((database = hash_seq_search(&status)) != NULL)
	{
		/* its past roles can be dropped now */
		if (!database->exists && !database->gone)
			get_database(InvalidOid)->wanted = true;
		database->gone = !database->exists;
	}
	return best;
}

/* Something is due in a database at this time: is it news? */
static void
note_past(Oid oid, TimestampTz deadline, TimestampTz now, TimestampTz *next)
{
	Database   *database = get_database(oid);

	/* also after the clock was set back */
	if (deadline > database->tried || database->tried > now ||
		now >= database->tried + MAX_BACKOFF)
		database->wanted = true;
	else
		*next = Min(*next, database->tried + MAX_BACKOFF);
}

/*
 * Look for past grant roles, which are collected, and lost scope roles.  Returns
 * when to look again.
 */
static TimestampTz
look_at_roles(TimestampTz now, HTAB *past)
{
	static bool first = true;	/* what is missing then has gone before */
	TimestampTz next = DT_NOEND;
	Relation	rel = table_open(AuthIdRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(rel, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_authid form = (Form_pg_authid) GETSTRUCT(tuple);
		TimestampTz deadline;
		Database   *database;
		JitRoleKind kind;
		Oid			oid;
		Oid			grantee;
		int			request;
		bool		isnull;
		Datum		value;

		/* of a database that is gone, it has no time, and goes when it can */
		oid = jit_scope_database(NameStr(form->rolname));
		if (OidIsValid(oid))
		{
			database = hash_search(databases, &oid, HASH_FIND, NULL);
			if (database == NULL && first)
			{
				database = get_database(oid);
				database->exists = false;
				database->gone = true;
			}
			if (database != NULL && database->gone)
			{
				database->scopes = true;
				note_past(InvalidOid, DT_NOBEGIN, now, &next);
			}
		}
		kind = jit_role_kind(NameStr(form->rolname));
		if (kind != JIT_ROLE_GRANT && kind != JIT_ROLE_QUERY)
			continue;
		value = heap_getattr(tuple, Anum_pg_authid_rolvaliduntil,
							 RelationGetDescr(rel), &isnull);

		/*
		 * without a deadline it gives nothing; the ledger knows when it is
		 * due
		 */
		if (isnull || TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)))
			continue;
		deadline = DatumGetTimestampTz(value);
		if (deadline > now)
		{
			next = Min(next, deadline);
			continue;
		}

		((PastRole *) hash_search(past, &form->oid, HASH_ENTER, NULL))->deadline = deadline;
		if ((!jit_parse_grant_name(NameStr(form->rolname), &oid, &request) &&
			 !jit_parse_query_name(NameStr(form->rolname), &oid, &request, &grantee)) ||
			(database = hash_search(databases, &oid, HASH_FIND, NULL)) == NULL ||
			!database->exists)
		{
			note_past(InvalidOid, deadline, now, &next);
			continue;
		}
		note_past(oid, deadline, now, &next);
		if (in_trouble(database))
			note_past(InvalidOid, deadline, now, &next);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	first = false;
	return next;
}

/*
 * Tell sweepers which databases are gone, and forget those that have left no
 * scope roles: what bears their names from now on is a restore's.  Those that
 * there is no room for have their turn when others are forgotten.
 */
static void
tell_what_is_gone(void)
{
	HASH_SEQ_STATUS status;
	Database   *database;

	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	jit_due->ngone = 0;
	hash_seq_init(&status, databases);
	while ((database = hash_seq_search(&status)) != NULL)
	{
		bool		scopes = database->scopes;

		database->scopes = false;
		if (!database->gone)
			continue;
		if (!scopes && database->handle == NULL)
			(void) hash_search(databases, &database->oid, HASH_REMOVE, NULL);
		else if (scopes && jit_due->ngone < JIT_MAX_GONE)
			jit_due->gone[jit_due->ngone++] = database->oid;
	}
	LWLockRelease(jit_due->lock);
}

/*
 * Take what is due out of shared memory: from here on it is ours to see to.
 * Returns when to look again; *all says that all databases are due.
 */
static TimestampTz
look_at_ledgers(TimestampTz now, bool *all)
{
	TimestampTz next = DT_NOEND;
	Oid			due[JIT_MAX_DUE];
	int			ndue = 0;

	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	for (int i = 0; i < JIT_MAX_DUE; i++)
	{
		if (!OidIsValid(jit_due->due[i].database))
			continue;
		if (jit_due->due[i].due > now)
		{
			next = Min(next, jit_due->due[i].due);
			continue;
		}
		due[ndue++] = jit_due->due[i].database;
		jit_due->due[i].database = InvalidOid;
	}
	if (jit_due->overflow_due <= now)
	{
		*all = true;
		jit_due->overflow_due = DT_NOEND;
	}
	next = Min(next, jit_due->overflow_due);
	if (jit_due->others_due)
		get_database(InvalidOid)->wanted = true;
	jit_due->others_due = false;
	LWLockRelease(jit_due->lock);

	for (int i = 0; i < ndue; i++)
		get_database(due[i])->wanted = true;
	return next;
}

/* Start what sweepers can be started.  Returns when to look again. */
static TimestampTz
send_sweepers(TimestampTz now, Oid for_others, HTAB *past)
{
	TimestampTz next = DT_NOEND;
	HASH_SEQ_STATUS status;
	Database   *database;

	/* where something is due first, then the first visits */
	for (int urgent = 1; urgent >= 0; urgent--)
	{
		hash_seq_init(&status, databases);
		while ((database = hash_seq_search(&status)) != NULL)
		{
			Oid			where = OidIsValid(database->oid) ? database->oid : for_others;

			if (!database->exists || !OidIsValid(where) || database->handle != NULL)
				continue;
			if (database->retry > now)
				next = Min(next, database->retry);
			else
				database->wanted = true;
			if (!(urgent ? database->wanted : database->first_visit))
				continue;
			if (!start_sweeper(database, where, now))
			{
				/* the end of one at work wakes us, too */
				hash_seq_term(&status);
				call_spare(latest_with_members(past), for_others, now);
				return Min(next, now + USECS_PER_SEC);
			}
			next = Min(next, now + HANGING);
		}
	}
	return next;
}

/* Do what is to be done now, and return when to look again. */
static TimestampTz
look_around(void)
{
	TimestampTz now;
	TimestampTz next;
	bool		visit_all = false;
	Oid			for_others;
	HASHCTL		info = {.keysize = sizeof(Oid),.entrysize = sizeof(PastRole)};
	HTAB	   *past;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	info.hcxt = TopTransactionContext;
	past = hash_create("jit_access past roles", 64, &info,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	now = jit_now();
	next = watch_sweepers(now);
	next = Min(next, watch_spare(now));
	next = Min(next, look_at_ledgers(now, &visit_all));
	/* roles of what isn't noted there any more are seen: see note_due() */
	InvalidateCatalogSnapshot();
	for_others = look_at_databases(visit_all);
	next = Min(next, look_at_roles(now, past));
	tell_what_is_gone();
	next = Min(next, send_sweepers(now, for_others, past));
	tell_how_it_goes(now);
	CommitTransactionCommand();
	return next;
}

/* Log once that the system clock was set back; see clock.c. */
static void
check_clock(void)
{
	static bool logged = false;
	int64		behind = jit_clock_behind();

	if (behind > USECS_PER_SEC && !logged)
		ereport(LOG,
				(errmsg("jit_access: the system clock was set back by " INT64_FORMAT " s",
						behind / USECS_PER_SEC),
				 errdetail("Deadlines go by the time before; access that has ended stays ended."),
				 errhint("If the clock had been wrong before and is right now, use SELECT jit_reset_clock();")));
	logged = behind > USECS_PER_SEC;
}

/* Entry point of the launcher. */
void
jit_launcher_main(Datum arg)
{
	HASHCTL		info;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	info.keysize = sizeof(Oid);
	info.entrysize = sizeof(Database);
	databases = hash_create("jit_access databases", 64, &info,
							HASH_ELEM | HASH_BLOBS);
	(void) get_database(InvalidOid);
	spare.tried = DT_NOBEGIN;
	spare.retry = DT_NOEND;

	before_shmem_exit(launcher_exit, (Datum) 0);
	LWLockAcquire(jit_due->lock, LW_EXCLUSIVE);
	jit_due->synchronous_commit = synchronous_commit;
	jit_due->latch = MyLatch;
	spare.where = jit_due->spare.where;
	spare_called = OidIsValid(spare.where);
	LWLockRelease(jit_due->lock);

	for (;;)
	{
		TimestampTz next;
		long		timeout;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			int			kept = jit_keep_scopes;
			int			before = jit_warn_before;

			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			/* what is due then is known to sweepers only */
			if (jit_keep_scopes != kept || jit_warn_before != before)
				jit_visit_all();
			/* whoever gives access goes by it, whatever is set for them */
			jit_due->synchronous_commit = synchronous_commit;
		}

		/* an error ends us, and we start afresh */
		check_clock();
		next = look_around();

		timeout = LONGEST_SLEEP;
		if (next != DT_NOEND)
			timeout = Min(timeout,
						  TimestampDifferenceMilliseconds(jit_now(), next));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 timeout, PG_WAIT_EXTENSION);
	}
}
