/*-------------------------------------------------------------------------
 *
 * launcher.h
 *		The background worker that knows when something is due.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_WORKER_LAUNCHER_H
#define JIT_WORKER_LAUNCHER_H

extern void jit_register_launcher(void);

extern PGDLLEXPORT void jit_launcher_main(Datum arg);

#endif							/* JIT_WORKER_LAUNCHER_H */
