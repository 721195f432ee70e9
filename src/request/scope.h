/*-------------------------------------------------------------------------
 *
 * scope.h
 *		Removing scope roles that nobody uses.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_SCOPE_H
#define JIT_REQUEST_SCOPE_H

/* How far a sweeper has got, over its transactions. */
typedef struct JitScopeSweep
{
	List	   *tried;			/* roles, in TopMemoryContext */
	bool		more;			/* another batch may be due */
	TimestampTz due;			/* when something will be */
} JitScopeSweep;

extern void jit_note_scopes_due(void);
extern bool jit_make_room(Oid classid, Oid objid, int most);
extern List *jit_scopes_here(void);
extern void jit_report_not_dropped(Oid roleid, const ErrorData *error, int elevel);
extern void jit_remove_scopes(List *roleids, int elevel);
extern void jit_sweep_scopes(JitScopeSweep *sweep);
extern void jit_sweep_copied_scopes(JitScopeSweep *sweep);
extern void jit_sweep_lost_scopes(JitScopeSweep *sweep);
extern void jit_note_scopes_of_dropped(Oid classid, Oid objid);

#endif							/* JIT_REQUEST_SCOPE_H */
