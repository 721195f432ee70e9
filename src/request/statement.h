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

/* Whose code may run in a statement. */
typedef struct JitTrust
{
	List	   *owners;			/* of what it is about */
	List	   *parties;		/* all that those are who ask and run it,
								 * never */
} JitTrust;

extern void jit_take_statement(JitRequest *request, const char *asked, int runs,
							   bool runs_given);
extern List *jit_statement_notes(const JitRequest *request);
extern void jit_pin_for_statement(void);
extern JitTrust *jit_check_statement(const JitRequest *request, const JitPerson *person,
									 Oid role);
extern void jit_check_running_code(Oid funcid, const JitTrust *trust, Oid role);
extern Query *jit_analyze_statement(const JitRequest *request);

#endif							/* JIT_REQUEST_STATEMENT_H */
