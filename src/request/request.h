/*-------------------------------------------------------------------------
 *
 * request.h
 *		Life of a request: what others ask of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_REQUEST_H
#define JIT_REQUEST_REQUEST_H

#include "request/ledger.h"

extern JitStatus jit_present_status(const JitRequest *request);
extern void jit_require_status(const JitRequest *request, const JitPerson *person,
							   JitStatus status);
extern char *jit_grantee_text(const JitRequest *request);
extern void jit_check_concerned(JitRequest *request, const JitPerson *person,
								const char *message);

extern void jit_start_request(JitRequest *request);
extern JitStatus jit_activate_request(JitRequest *request, const JitPerson *approver);
extern void jit_end_access(const JitRequest *request, const char *reason,
						   bool certain);

#endif							/* JIT_REQUEST_REQUEST_H */
