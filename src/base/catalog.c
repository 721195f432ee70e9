/*-------------------------------------------------------------------------
 *
 * catalog.c
 *		Reading rows of a catalog.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/catalog.h"

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
	ScanKeyData keys[2];
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
