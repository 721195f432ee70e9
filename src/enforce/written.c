/*-------------------------------------------------------------------------
 *
 * written.c
 *		Catalog rows as this command has left them.
 *
 * Hooks are called before the command counter is incremented: what PostgreSQL
 * has just written is seen by SnapshotSelf only, and the system caches still
 * have what was there before.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/catalog.h"
#include "enforce/written.h"

#include "access/table.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_publication_rel.h"
#include "utils/snapmgr.h"

/* A copy of an object's row as this command has left it, NULL if none. */
HeapTuple
jit_row_by_index(Oid classid, Oid indexid, AttrNumber attnum, Oid objid)
{
	JitScan		scan;
	HeapTuple	tuple;

	jit_begin_scan(&scan, classid, indexid, SnapshotSelf, 1, attnum, objid);
	tuple = jit_next_row(&scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	jit_end_scan(&scan);
	return tuple;
}

/* The same, of a catalog that has OIDs. */
HeapTuple
jit_row_now(Oid classid, Oid objid)
{
	/* which PostgreSQL has no description of */
	if (classid == PublicationRelRelationId)
		return jit_row_by_index(classid, PublicationRelObjectIndexId,
								Anum_pg_publication_rel_oid, objid);
	return jit_row_by_index(classid, get_object_oid_index(classid),
							get_object_attnum_oid(classid), objid);
}

/* One OID out of an object's row; InvalidOid if there is none. */
Oid
jit_column_now(Oid classid, Oid objid, AttrNumber attnum)
{
	HeapTuple	tuple;
	Relation	catalog;
	Datum		value;
	bool		isnull;

	if (attnum == InvalidAttrNumber)
		return InvalidOid;
	tuple = jit_row_now(classid, objid);
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	catalog = table_open(classid, AccessShareLock);
	value = heap_getattr(tuple, attnum, RelationGetDescr(catalog), &isnull);
	table_close(catalog, AccessShareLock);
	return isnull ? InvalidOid : DatumGetObjectId(value);
}

/* Have objects of that catalog an owner? */
bool
jit_has_owner(Oid classid)
{
	return classid == LargeObjectRelationId ||
		(is_objectclass_supported(classid) &&
		 get_object_attnum_owner(classid) != InvalidAttrNumber);
}

/* The owner of an object; InvalidOid if it has none. */
Oid
jit_owner_now(Oid classid, Oid objid)
{
	return jit_column_now(classid, objid, get_object_attnum_owner(classid));
}
