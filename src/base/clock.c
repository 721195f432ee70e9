/*-------------------------------------------------------------------------
 *
 * clock.c
 *		The time that deadlines are compared with.
 *
 * It is the time of day at the moment of asking, not the start of the
 * statement or the transaction: a DO block may run for hours.  But a clock
 * that is set back must not bring access back, so while the server is up our
 * time never runs slower than CLOCK_BOOTTIME does from a base in shared
 * memory.
 *
 *	start of the server				the base is the time of day, or that of
 *									the last checkpoint if it is later, which
 *									is known to the second only
 *	crash of a process				the same, but no earlier than before
 *	clock set forward				our time follows, and so does the base
 *	clock set back					our time goes on as if it hadn't been; the
 *									launcher logs it once
 *	jit_reset_clock()				the base is the time of day, whatever it
 *									is, once that has committed
 *
 * What this can't do: PostgreSQL's timers go by the time of day, so the
 * cut-off of a statement that is running while the clock is set back may come
 * late.  The next statement is denied.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/commit.h"

#include <time.h>

#include "common/controldata_utils.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

typedef struct ClockShared
{
	/* time of day minus boot time, in microseconds, at the base */
	pg_atomic_uint64 offset;
} ClockShared;

static ClockShared *shared = NULL;

/* Of the shared memory before; in the postmaster only. */
static int64 last_offset = PG_INT64_MIN;

/* Microseconds since boot, suspended time included. */
static int64
boot_time(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64) ts.tv_sec * USECS_PER_SEC + ts.tv_nsec / 1000;
}

void
jit_clock_shmem_request(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(ClockShared)));
}

/* A crash of another process takes the shared memory with it. */
static void
keep_offset(int code, Datum arg)
{
	last_offset = (int64) pg_atomic_read_u64(&shared->offset);
}

void
jit_clock_shmem_startup(void)
{
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("jit_access clock", sizeof(ClockShared), &found);
	if (!found)
	{
		TimestampTz now = GetCurrentTimestamp();
		bool		crc_ok;
		ControlFileData *control = get_controlfile(DataDir, &crc_ok);
		TimestampTz checkpoint = crc_ok ?
		time_t_to_timestamptz(control->checkPointCopy.time) : now;

		if (checkpoint > now)
		{
			/* some time within that second */
			checkpoint += USECS_PER_SEC;
			ereport(LOG,
					(errmsg("jit_access: the clock is behind the last checkpoint, whose time is used instead"),
					 errhint("If the checkpoint's time was wrong, set the clock right and use SELECT jit_reset_clock();")));
		}
		pg_atomic_init_u64(&shared->offset,
						   Max(Max(now, checkpoint) - boot_time(), last_offset));
		on_shmem_exit(keep_offset, (Datum) 0);
		pfree(control);
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * Callable anywhere, also in a signal handler.  What this has returned is the
 * least that it returns from then on: somebody may have been denied for it.
 */
TimestampTz
jit_now(void)
{
	uint64		offset = pg_atomic_read_u64(&shared->offset);
	TimestampTz now = GetCurrentTimestamp();
	int64		boot = boot_time();

	/* if it fails, that is another's base, or jit_reset_clock()'s */
	if (now - boot > (int64) offset)
		(void) pg_atomic_compare_exchange_u64(&shared->offset, &offset,
											  (uint64) (now - boot));
	return Max(now, (int64) offset + boot);
}

/*
 * By how many microseconds the time of day is behind ours.  Boot time and
 * the time of day drift apart where the clock is slewed; that is little.
 */
int64
jit_clock_behind(void)
{
	return jit_now() - GetCurrentTimestamp();
}

static void
clock_ended(List *resets, bool committed)
{
	if (resets != NIL)
		pg_atomic_write_u64(&shared->offset, GetCurrentTimestamp() - boot_time());
}

static const JitCommitCalls clock_calls = {.ended = clock_ended};

/* Believe the time of day once this transaction has committed. */
void
jit_reset_clock_at_commit(void)
{
	jit_note_for_commit(JIT_COMMIT_CLOCK, &clock_calls, NULL);
}
