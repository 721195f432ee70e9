/*-------------------------------------------------------------------------
 *
 * catalog.h
 *		Reading rows of a catalog.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_CATALOG_H
#define JIT_BASE_CATALOG_H

#include "access/genam.h"
#include "utils/rel.h"

typedef struct JitScan
{
	Relation	rel;
	SysScanDesc scan;
} JitScan;

extern void jit_begin_scan(JitScan *scan, Oid catalog, Oid index,
						   Snapshot snapshot, int nkeys,...);
extern HeapTuple jit_next_row(JitScan *scan);
extern void jit_end_scan(JitScan *scan);

extern List *jit_inheritors(Oid relid);
extern Oid	jit_cached_oid(Oid classid, Oid objid, AttrNumber attnum);
extern Oid	jit_cached_namespace(Oid classid, Oid objid);
extern char *jit_cached_name(Oid classid, Oid objid);

#endif							/* JIT_BASE_CATALOG_H */
