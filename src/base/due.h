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

typedef struct JitLedgerDue
{
	Oid			database;		/* InvalidOid: free */
	TimestampTz due;
} JitLedgerDue;

typedef struct JitSweeperReport
{
	TimestampTz progress;		/* last sign of life */
	bool		swept;			/* nothing was left undone */
} JitSweeperReport;

/* Protected by lock. */
typedef struct JitDueShared
{
	LWLock	   *lock;
	Latch	   *latch;			/* NULL while it isn't running */
	TimestampTz overflow_due;	/* of ledgers that have no entry in due[] */
	bool		others_due;		/* a role of no database has changed */
	JitLedgerDue due[JIT_MAX_DUE];
	JitSweeperReport reports[JIT_MAX_SWEEPERS];
} JitDueShared;

extern JitDueShared *jit_due;

extern void jit_due_shmem_request(void);
extern void jit_due_shmem_startup(void);
extern void jit_wake_launcher_at_commit(void);
extern void jit_note_due(TimestampTz due);
extern void jit_note_ledger_behind(Oid roleid);
extern void jit_note_role_changed(Oid roleid);
extern void jit_report_progress(int slot);
extern void jit_report_swept(int slot, TimestampTz due, bool complete);

#endif							/* JIT_BASE_DUE_H */
