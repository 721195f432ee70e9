/*-------------------------------------------------------------------------
 *
 * clock.h
 *		The time that deadlines are compared with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_CLOCK_H
#define JIT_BASE_CLOCK_H

extern void jit_clock_shmem_request(void);
extern void jit_clock_shmem_startup(void);
extern TimestampTz jit_now(void);
extern int64 jit_clock_behind(void);
extern void jit_reset_clock_at_commit(void);

#endif							/* JIT_BASE_CLOCK_H */
