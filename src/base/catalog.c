/*-------------------------------------------------------------------------
 *
 * catalog.c
 *		Reading rows of a catalog.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/catalog.h"

#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "utils/fmgroids.h"

/*
 * Begin to read the rows of a catalog in which these columns are these OIDs:
 * pairs of AttrNumber (int) and Oid, columns of the index.  All of
 * them for an index of InvalidOid.  A snapshot of NULL is the catalog's own.
 */
void
jit_begin_scan(JitScan *scan, Oid catalog, Oid index, Snapshot snapshot,
			   int nkeys,...)
{
	ScanKeyData keys[3];
	va_list		args;

	Assert(nkeys <= lengthof(keys));
	va_start(args, nkeys);
	for (int i = 0; i < nkeys; i++)
	{
		AttrNumber	attnum = va_arg(args, int);

		ScanKeyInit(&keys[i], attnum, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(va_arg(args, Oid)));
	}
	va_end(args);
	scan->rel = table_open(catalog, AccessShareLock);
	scan->scan = systable_beginscan(scan->rel, index, OidIsValid(index), snapshot,
									nkeys, keys);
}

/* The next of them, until the one after it is read; NULL after the last. */
HeapTuple
jit_next_row(JitScan *scan)
{
	return systable_getnext(scan->scan);
}

void
jit_end_scan(JitScan *scan)
{
	systable_endscan(scan->scan);
	table_close(scan->rel, AccessShareLock);
}

/*
 * A relation and all that inherits from it, as find_all_inheritors() without
 * locks would have it, but without an error where one has just been dropped.
 */
List *
jit_inheritors(Oid relid)
{
	List	   *relids = list_make1_oid(relid);
	ListCell   *lc;

	/* it grows meanwhile */
	foreach(lc, relids)
	{
		JitScan		scan;
		HeapTuple	tuple;

		jit_begin_scan(&scan, InheritsRelationId, InheritsParentIndexId, NULL, 1,
					   (int) Anum_pg_inherits_inhparent, lfirst_oid(lc));
		while ((tuple = jit_next_row(&scan)) != NULL)
			relids = list_append_unique_oid(relids, ((Form_pg_inherits) GETSTRUCT(tuple))->inhrelid);
		jit_end_scan(&scan);
	}
	return relids;
}

/* A column of an object's row as the system caches have it. */
static bool
cached_column(Oid classid, Oid objid, AttrNumber attnum, NameData *name, Oid *oid)
{
	int			cache = get_object_catcache_oid(classid);
	HeapTuple	tuple;
	Datum		value;
	bool		isnull;

	if (cache < 0 || attnum == InvalidAttrNumber)
		return false;
	tuple = SearchSysCache1(cache, ObjectIdGetDatum(objid));
	if (!HeapTupleIsValid(tuple))
		return false;
	value = SysCacheGetAttr(cache, tuple, attnum, &isnull);
	if (name)
		*name = *DatumGetName(value);
	else
		*oid = DatumGetObjectId(value);
	ReleaseSysCache(tuple);
	return true;
}

/*
 * An OID in an object's row; InvalidOid if it has none, is gone, or there is
 * no system cache of its kind.
 */
Oid
jit_cached_oid(Oid classid, Oid objid, AttrNumber attnum)
{
	Oid			oid;

	return cached_column(classid, objid, attnum, NULL, &oid) ? oid : InvalidOid;
}

/* The schema of an object; InvalidOid likewise. */
Oid
jit_cached_namespace(Oid classid, Oid objid)
{
	if (!is_objectclass_supported(classid))
		return InvalidOid;
	return jit_cached_oid(classid, objid, get_object_attnum_namespace(classid));
}

/* The name of an object, neither qualified nor quoted; NULL likewise. */
char *
jit_cached_name(Oid classid, Oid objid)
{
	NameData	name;

	return cached_column(classid, objid, get_object_attnum_name(classid), &name, NULL) ?
		pstrdup(NameStr(name)) : NULL;
}
