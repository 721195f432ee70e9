/*-------------------------------------------------------------------------
 *
 * gateway.h
 *		Programs that ask and decide for people.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_GATEWAY_H
#define JIT_BASE_GATEWAY_H

/* For whom a gateway acts, in this transaction. */
typedef struct JitActing
{
	Oid			role;
	Oid			gateway;
	char	   *identity;
	int			request;		/* for that one only; 0: for any */
} JitActing;

extern bool jit_is_gateway_login(Oid login);
extern void jit_check_gateway(Oid login, Oid session, Oid role);
extern const JitActing *jit_acting_for(void);
extern void jit_check_linked(bool lock);
extern bool jit_is_fresh(TimestampTz as_of);
extern bool jit_mentions_commit(void);
extern void jit_note_acted(void);
extern bool jit_has_acted(void);
extern void jit_set_acting(Oid role, Oid gateway, const char *identity,
						   int request);
extern void jit_act_for_nobody(void);

#endif							/* JIT_BASE_GATEWAY_H */
