/*-------------------------------------------------------------------------
 *
 * sweeper.h
 *		The background worker that ends what is due.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_WORKER_SWEEPER_H
#define JIT_WORKER_SWEEPER_H

/* What the launcher tells a sweeper, in bgw_extra. */
typedef struct JitSweeperTask
{
	int			slot;			/* where to report to */
	bool		others;			/* roles of other databases, not the ledger */
	bool		again;			/* the last one left something undone */
	bool		failed;			/* it couldn't even do its work */
	TimestampTz logged;			/* what was due by then has been logged */
} JitSweeperTask;

extern PGDLLEXPORT void jit_sweeper_main(Datum arg);

#endif							/* JIT_WORKER_SWEEPER_H */
