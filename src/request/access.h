/*-------------------------------------------------------------------------
 *
 * access.h
 *		Access text to items.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_ACCESS_H
#define JIT_REQUEST_ACCESS_H

#include "base/item.h"

/* What is wanted of one object. */
typedef struct JitWant
{
	ObjectType	objtype;
	ObjectAddress address;
	char	   *parameter;
	AclMode		privs;			/* on the whole object */
	Bitmapset  *columns[JIT_N_PRIVILEGES];	/* attnums, offset by
											 * FirstLowInvalidHeap... */
} JitWant;

extern List *jit_make_items(List *items, const JitWant *want);
extern List *jit_parse_access(const char *access);
extern List *jit_add_schema_usage(List *items, Oid grantee);
extern void jit_check_item_requestable(const JitItem *item);

#endif							/* JIT_REQUEST_ACCESS_H */
