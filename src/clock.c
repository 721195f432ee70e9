/*-------------------------------------------------------------------------
 *
 * clock.c
 *		The time that deadlines are compared with.
 *
 * It is the time of day at the moment of asking, not the start of the
 * statement or the transaction: a DO block may run for hours.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "utils/timestamp.h"

/* Callable anywhere, also in a signal handler. */
TimestampTz
jit_now(void)
{
	return GetCurrentTimestamp();
}
