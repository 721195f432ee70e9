/*-------------------------------------------------------------------------
 *
 * due.h
 *		What every backend has for the launcher.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_DUE_H
#define JIT_BASE_DUE_H

#include "storage/latch.h"
#include "storage/lwlock.h"

#define JIT_MAX_DUE			256 /* ledgers with something due */
#define JIT_MAX_SWEEPERS	4	/* at the same time */
#define JIT_DROP_COUNTS		64	/* by the database's OID */
#define JIT_SPARE_SWEEPER	JIT_MAX_SWEEPERS	/* where the spare one reports */

typedef struct JitLedgerDue
{
	Oid			database;		/* InvalidOid: free */
	TimestampTz due;
	bool		pending;		/* may have requests that drops concern */
} JitLedgerDue;

typedef struct JitSweeperReport
{
	TimestampTz progress;		/* last sign of life */
	bool		worked;			/* it could do its work */
	bool		complete;		/* and has left nothing undone */
	TimestampTz newest;			/* when the newest of what is left became due */
} JitSweeperReport;

/* Which past roles a sweeper sees to. */
typedef enum JitWhoseRoles
{
	JIT_OWN_ROLES,				/* those of its database, after the ledger */
	JIT_ROLES_OF_OTHERS,		/* those of all other ones, without a ledger */
	JIT_ALL_ROLES				/* the same of all: the spare one */
} JitWhoseRoles;

/* What the launcher tells a sweeper. */
typedef struct JitSweeperTask
{
	int			slot;			/* where to report to */
	JitWhoseRoles whose;
	bool		again;			/* the last one left something undone */
	bool		failed;			/* it couldn't even do its work */
	TimestampTz logged;			/* what was due by then has been logged */
} JitSweeperTask;

/*
 * The spare sweeper: not there, waiting, called, and not there again, until it
 * is started anew.
 */
typedef struct JitSpareSweeper
{
	Latch	   *latch;			/* NULL while it isn't there */
	pid_t		pid;
	Oid			where;			/* InvalidOid: it isn't called */
	JitSweeperTask task;
} JitSpareSweeper;

/* A panic button that was pressed. */
typedef struct JitPress
{
	Oid			grantee;		/* InvalidOid: of everybody */
	TimestampTz at;
} JitPress;

/* The last error of a worker. */
typedef struct JitFailure
{
	TimestampTz at;				/* 0: there was none since the start */
	Oid			database;
	bool		over;			/* sweepers have done all there since */
	char		message[256];	/* ASCII, as readers have other encodings */
} JitFailure;

/* Where sweepers fail, hang, or, for InvalidOid, cannot be started. */
typedef struct JitTrouble
{
	Oid			database;
	TimestampTz since;
} JitTrouble;

#define JIT_MAX_TROUBLES	16
#define JIT_MAX_PRESSES		256
#define JIT_MAX_GONE		256 /* databases */
#define JIT_LOGGED_ROLES	8192	/* by the role's OID */

/* Protected by lock. */
typedef struct JitDueShared
{
	LWLock	   *lock;
	Latch	   *latch;			/* NULL while it isn't running */
	TimestampTz overflow_due;	/* of ledgers that have no entry in due[] */
	bool		others_due;		/* a role of no database has changed */
	JitLedgerDue due[JIT_MAX_DUE];
	JitSweeperReport reports[JIT_MAX_SWEEPERS + 1];
	JitSpareSweeper spare;
	int			synchronous_commit; /* as postgresql.conf has it */
	TimestampTz all_revoked;	/* when everybody's access was last ended */
	int			npresses;		/* ever */
	JitPress	presses[JIT_MAX_PRESSES];	/* the last ones, of single roles */
	uint64		drops[JIT_DROP_COUNTS]; /* transactions that dropped something */
	int			ngone;
	Oid			gone[JIT_MAX_GONE]; /* databases that are known to be gone,
									 * and whose roles aren't */
	bool		logged[JIT_LOGGED_ROLES];	/* that one can't be dropped */
	TimestampTz looked;			/* when the launcher last looked around */
	JitFailure	failure;
	int			ntroubles;		/* of which so many are in troubles[] */
	JitTrouble	troubles[JIT_MAX_TROUBLES];
} JitDueShared;

extern JitDueShared *jit_due;

extern void jit_due_shmem_request(void);
extern void jit_due_shmem_startup(void);
extern void jit_wake_launcher_at_commit(void);
extern void jit_note_due(TimestampTz due);
extern void jit_note_pending(void);
extern void jit_note_dropped(Oid classid, Oid objid);
extern uint64 jit_count_drops(void);
extern void jit_note_database_due(Oid database);
extern void jit_note_ledger_behind(Oid roleid);
extern void jit_note_press(Oid grantee, TimestampTz at);
extern TimestampTz jit_pressed_after(Oid grantee, TimestampTz at);
extern void jit_note_role_changed(Oid roleid);
extern void jit_visit_all(void);
extern bool jit_is_gone(Oid database);
extern bool jit_first_log_of(Oid roleid);
extern void jit_spare_comes(void);
extern void jit_spare_goes(void);
extern void jit_report_progress(int slot);
extern void jit_note_failure(Oid database, const char *message);
extern void jit_report_swept(int slot, TimestampTz due, bool pending,
							 uint64 drops, const JitSweeperReport *report);

#endif							/* JIT_BASE_DUE_H */
