/*-------------------------------------------------------------------------
 *
 * person.h
 *		Who is at the other end of the session, and what they are here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_PERSON_H
#define JIT_BASE_PERSON_H

typedef struct JitPerson
{
	Oid			role;			/* effective role of the session */
	Oid			session;		/* session_user */
	Oid			login;			/* who authenticated */
	Oid			gateway;		/* login of a gateway, then all of these are
								 * the person's, or, for nobody, the
								 * gateway's; else InvalidOid */
	char	   *via;			/* identity that it acts for; NULL: nobody */
} JitPerson;

extern void jit_current_person(JitPerson *person);
extern void jit_acting_person(JitPerson *person);
extern void jit_acting_person_for(JitPerson *person, int request);
extern bool jit_is_of_others(Oid role);
extern bool jit_may_log_in(Oid login);
extern void jit_act_for_role(Oid role, Oid gateway, const char *identity,
							 int request);
extern char *jit_why_not_acted_for(Oid role);
extern char *jit_why_not_decide(const JitPerson *person);
extern char *jit_client_addr(void);
extern bool jit_is_proxy_login(Oid login);
extern bool jit_is_bare_gateway(const JitPerson *person);
extern void jit_forget_identities(void);
extern bool jit_is_party(const JitPerson *person, Oid role, const char *name,
						 bool members);
extern bool jit_is_one_person(const JitPerson *person, Oid role, const char *name,
							  bool members);
extern bool jit_is_party_login(const JitPerson *person, Oid login,
							   const char *name);
extern bool jit_is_party_via(const JitPerson *person, const char *via);
extern List *jit_person_roles(const JitPerson *person);
extern bool jit_holds_role_for_good(const JitPerson *person);
extern bool jit_person_administers(const JitPerson *person);
extern bool jit_person_audits(const JitPerson *person);
extern bool jit_caller_administers(const JitPerson *person);
extern bool jit_caller_may_end_all(const JitPerson *person);
extern void jit_require_auditor(const char *message);
extern bool jit_person_monitors(const JitPerson *person);
extern void jit_require_administrator(FunctionCallInfo fcinfo, const char *message);

#endif							/* JIT_BASE_PERSON_H */
