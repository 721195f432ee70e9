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
 *	start of the server, crash		the base is the time of day, or that of
 *									the last checkpoint if it is later
 *	clock set forward				our time follows
 *	clock set back					our time goes on as if it hadn't been; the
 *									launcher logs it once
 *	jit_reset_clock()				the base is the time of day, whatever it is
 *
 * What this can't do: PostgreSQL's timers go by the time of day, so the
 * cut-off of a statement that is running while the clock is set back may come
 * late.  The next statement is denied.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include <time.h>

#include "common/controldata_utils.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

typedef struct ClockShared
{
	/* time of day minus boot time, in microseconds, at the base */
	pg_atomic_uint64 offset;
} ClockShared;

static ClockShared *shared = NULL;

PG_FUNCTION_INFO_V1(jit_reset_clock);

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
			ereport(LOG,
					(errmsg("jit_access: the clock is behind the last checkpoint, whose time is used instead"),
					 errhint("If the checkpoint's time was wrong, set the clock right and use SELECT jit_reset_clock();")));
		pg_atomic_init_u64(&shared->offset, Max(now, checkpoint) - boot_time());
		pfree(control);
	}
	LWLockRelease(AddinShmemInitLock);
}

/* Callable anywhere, also in a signal handler. */
TimestampTz
jit_now(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz least = (int64) pg_atomic_read_u64(&shared->offset) + boot_time();

	return Max(now, least);
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

/* jit_reset_clock(): believe the time of day from now on. */
Datum
jit_reset_clock(PG_FUNCTION_ARGS)
{
	int64		behind = jit_clock_behind();

	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to reset the clock of jit_access"),
				 errdetail("Only superusers may: access that has ended could come back.")));
	jit_event("clock_reset", 0,
			  jit_detail("behind_seconds", psprintf(INT64_FORMAT, behind / USECS_PER_SEC), NULL),
			  psprintf("clock reset by %s: it was " INT64_FORMAT " s behind",
					   quote_identifier(jit_role_name(GetUserId())), behind / USECS_PER_SEC));
	pg_atomic_write_u64(&shared->offset, GetCurrentTimestamp() - boot_time());
	PG_RETURN_VOID();
}
