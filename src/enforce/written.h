/*-------------------------------------------------------------------------
 *
 * written.h
 *		Catalog rows as this command has left them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ENFORCE_WRITTEN_H
#define JIT_ENFORCE_WRITTEN_H

extern HeapTuple jit_row_by_index(Oid classid, Oid indexid, AttrNumber attnum,
								  Oid objid);
extern HeapTuple jit_row_now(Oid classid, Oid objid);
extern Oid	jit_column_now(Oid classid, Oid objid, AttrNumber attnum);
extern bool jit_has_owner(Oid classid);
extern Oid	jit_owner_now(Oid classid, Oid objid);

#endif							/* JIT_ENFORCE_WRITTEN_H */
