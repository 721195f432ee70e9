/*-------------------------------------------------------------------------
 *
 * explain.h
 *		Telling something line by line, as jit_explain() does.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_EXPLAIN_H
#define JIT_REQUEST_EXPLAIN_H

#include "nodes/execnodes.h"

extern void jit_explain_line(ReturnSetInfo *rsinfo, const char *format,...) pg_attribute_printf(2, 3);

#endif							/* JIT_REQUEST_EXPLAIN_H */
