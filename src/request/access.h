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

extern List *jit_parse_access(const char *access);
extern List *jit_add_schema_usage(List *items, Oid grantee);
extern void jit_check_item_requestable(const JitItem *item);

#endif							/* JIT_REQUEST_ACCESS_H */
