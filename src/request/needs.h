/*-------------------------------------------------------------------------
 *
 * needs.h
 *		What somebody must have to run a statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_NEEDS_H
#define JIT_REQUEST_NEEDS_H

extern List *jit_statement_needs(const char *statement, Oid role, bool gateway);

#endif							/* JIT_REQUEST_NEEDS_H */
