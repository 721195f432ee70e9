/*-------------------------------------------------------------------------
 *
 * sweeper.h
 *		The background worker that ends what is due.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_WORKER_SWEEPER_H
#define JIT_WORKER_SWEEPER_H

extern PGDLLEXPORT void jit_sweeper_main(Datum arg);

#endif							/* JIT_WORKER_SWEEPER_H */
