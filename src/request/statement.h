/*-------------------------------------------------------------------------
 *
 * statement.h
 *		One statement that is approved as it is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_STATEMENT_H
#define JIT_REQUEST_STATEMENT_H

#include "request/ledger.h"

extern void jit_take_statement(JitRequest *request, const char *asked, int runs,
							   bool runs_given);
extern List *jit_statement_notes(const JitRequest *request);
extern void jit_pin_for_statement(void);
extern void jit_check_statement(const JitRequest *request, const JitPerson *person);
extern Query *jit_analyze_statement(const JitRequest *request);

#endif							/* JIT_REQUEST_STATEMENT_H */
