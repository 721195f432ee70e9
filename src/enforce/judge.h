/*-------------------------------------------------------------------------
 *
 * judge.h
 *		What somebody has now, and what of it has ended.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ENFORCE_JUDGE_H
#define JIT_ENFORCE_JUDGE_H

#include "base/clock.h"
#include "base/roles.h"

#pragma GCC visibility push(hidden)

/* The earliest deadline in a user's closure, as of a generation. */
typedef struct JitUserMemo
{
	Oid			userid;
	uint64		generation;
	TimestampTz deadline;
} JitUserMemo;

#define JIT_N_MEMOS 8

/* What a denial is about: one of a relation, an object and a role. */
typedef struct JitWanted
{
	const JitPermInfo *info;
	Oid			classid;
	Oid			objid;
	AclMode		mode;			/* 0: owning it */
	Oid			role;
} JitWanted;

extern JitUserMemo jit_user_memos[JIT_N_MEMOS];
extern bool jit_temporary_seen;
extern Oid	jit_set_role_session;
extern Oid	jit_set_role_outer;

extern TimestampTz jit_find_user_deadline(Oid userid);
extern List *jit_live_closure(Oid userid);
extern List *jit_whole_closure(Oid userid);
extern bool jit_gives(List *closure, const JitWanted *wanted);
extern void jit_deny(const char *kind, const char *name, Oid userid,
					 const JitWanted *wanted) pg_attribute_noreturn();
extern const char *jit_relation_kind(Oid relid);

extern void jit_forget_search_path(void);
extern void jit_note_path(Oid nspid);
extern bool jit_deadline_has_passed(void);

extern void jit_note_set_role(void);
extern bool jit_set_role_is_temporary(void);
extern void jit_judge_roles(bool setting);
extern void jit_check_roles(void);

extern bool jit_is_public_function(Oid objid);
extern bool jit_is_temporary_function(Oid userid, Oid funcid);

extern void jit_init_judge(void);

/*
 * When some of what the user has may end first: DT_NOEND for a user without
 * temporary access, DT_NOBEGIN where something has ended or must not count.
 * Nothing is asked for more often.
 */
static inline TimestampTz
jit_user_deadline(Oid userid)
{
	JitUserMemo *memo = &jit_user_memos[userid % JIT_N_MEMOS];

	if (likely(memo->userid == userid &&
			   memo->generation == jit_roles_generation))
		return memo->deadline;
	return jit_find_user_deadline(userid);
}

/*
 * Has something ended that the user, whose deadline that is, still seems to
 * have?  Then PostgreSQL's answers about the user need judging again.
 */
static inline bool
jit_past_for(Oid userid, TimestampTz deadline)
{
	if (likely(deadline == DT_NOEND) || deadline > jit_now())
		return false;
	return jit_role_kind_by_oid(userid) != JIT_ROLE_ORDINARY ||
		!superuser_arg(userid);
}

static inline bool
jit_needs_judging(Oid userid)
{
	return jit_past_for(userid, jit_user_deadline(userid));
}

/* Nothing to do?  See jit_quiet_user. */
static inline bool
jit_quiet(void)
{
	return likely(GetUserId() == jit_quiet_user);
}

#pragma GCC visibility pop

#endif							/* JIT_ENFORCE_JUDGE_H */
