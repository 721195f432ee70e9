/*-------------------------------------------------------------------------
 *
 * changes.h
 *		Telling other backends what has become of grants.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_CHANGES_H
#define JIT_BASE_CHANGES_H

/* One change: role now ends at deadline; or other covers what role covers. */
typedef struct JitChange
{
	Oid			role;
	Oid			other;			/* InvalidOid: it is about role itself */
	Oid			database;		/* what the name of other or role says */
	int			request;
	TimestampTz deadline;		/* DT_NOBEGIN: ended */
} JitChange;

extern void jit_changes_shmem_request(void);
extern void jit_changes_shmem_startup(void);
extern void jit_note_grant_changed(Oid role);
extern void jit_note_grant_overlaps(Oid role, Oid covered_too_by);
extern uint64 jit_changes_head(void);
extern bool jit_read_change(uint64 place, JitChange *change);
extern TimestampTz jit_deadline_since(Oid role, uint64 place, TimestampTz deadline);

#endif							/* JIT_BASE_CHANGES_H */
