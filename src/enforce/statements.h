/*-------------------------------------------------------------------------
 *
 * statements.h
 *		What people did: the client's statements that rely on temporary access.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ENFORCE_STATEMENTS_H
#define JIT_ENFORCE_STATEMENTS_H

#include "enforce/cover.h"

#include "executor/execdesc.h"

#pragma GCC visibility push(hidden)

/* Something that a statement relies on: see jit_note_reliance(). */
typedef struct JitUse
{
	Oid			userid;
	const JitPermInfo *info;	/* or else */
	Oid			classid;
	Oid			objid;
	AclMode		mode;
	const JitCover *covers;		/* any of them */
	int			ncovers;
	bool		all;			/* ... or only all together */
} JitUse;

/* What a query was found to rely on when it was started. */
typedef struct JitUses
{
	List	   *list;			/* of JitUse */
	uint64		told;			/* the statement that is known to */
} JitUses;

/*
 * A query that is running, or a utility statement.  On the C stack, and linked
 * in error_context_stack; "words" is called for errors with "arg".
 */
typedef struct JitQueryFrame
{
	ErrorContextCallback callback;
	QueryDesc  *query;
	void		(*words) (void *arg);	/* may be NULL */
	void	   *arg;
} JitQueryFrame;

typedef struct JitUtilityFrame
{
	ErrorContextCallback callback;
	PlannedStmt *pstmt;
	const char *text;
	ParamListInfo params;
	QueryCompletion *qc;
} JitUtilityFrame;

extern bool jit_statement_open;
extern uint64 jit_statement_number;

extern void jit_query_callback(void *arg);
extern void jit_utility_callback(void *arg);

static inline void
jit_push_query(JitQueryFrame *frame)
{
	frame->callback.callback = jit_query_callback;
	frame->callback.arg = frame;
	frame->callback.previous = error_context_stack;
	error_context_stack = &frame->callback;
}

static inline void
jit_push_utility(JitUtilityFrame *frame)
{
	frame->callback.callback = jit_utility_callback;
	frame->callback.arg = frame;
	frame->callback.previous = error_context_stack;
	error_context_stack = &frame->callback;
}

extern bool jit_is_nested(void);
extern void jit_keep_use(JitUses *uses, const JitUse *use, MemoryContext context);
extern void jit_forget_uses(JitUses *uses);
extern void jit_statement_uses(JitUses *uses, QueryDesc *query);
extern void jit_statement_relies(List *uses, QueryDesc *query);
extern void jit_statement_reads(List *perminfos);
extern void jit_statement_cut_off(void);
extern void jit_statement_runs(QueryDesc *query);
extern void jit_statement_has_run(QueryDesc *query);
extern void jit_statement_finished(QueryDesc *query);
extern void jit_statement_done(const JitUtilityFrame *frame);

#pragma GCC visibility pop

#endif							/* JIT_ENFORCE_STATEMENTS_H */
