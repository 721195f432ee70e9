/*-------------------------------------------------------------------------
 *
 * reliance.h
 *		What something relies on: needs, and what covers them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ENFORCE_RELIANCE_H
#define JIT_ENFORCE_RELIANCE_H

#include "base/changes.h"
#include "enforce/cover.h"
#include "enforce/statements.h"

#pragma GCC visibility push(hidden)

typedef struct JitNeed
{
	Oid			userid;			/* whose need it is */
	int			ncovers;
	int			maxcovers;
	JitCover   *covers;
	TimestampTz noted;			/* the last statement of the client's that
								 * asked */
	/* of a transaction's: to be looked up again, and is it for writing? */
	JitPermInfo *info;
	Oid			classid;
	Oid			objid;
	AclMode		mode;
	bool		writes;
} JitNeed;

typedef struct JitReliance
{
	QueryDesc  *query;			/* NULL for a utility statement */
	List	   *perminfos;		/* for the hint */
	bool		started;		/* has run before */
	bool		missed;			/* the ring was read before it was kept */
	uint64		place;			/* in the ring, when it was begun */
	int			nneeds;
	JitNeed    *needs;			/* array, grown while collecting */
	JitUses		uses;			/* for the log */
	MemoryContext context;
	MemoryContextCallback callback;
} JitReliance;

extern void jit_apply_change(JitReliance *reliance, const JitChange *change);
extern void jit_catch_up_need(JitNeed *need, uint64 place);
extern void jit_catch_up(JitReliance *reliance, uint64 place);
extern void jit_free_reliance(JitReliance *reliance);
extern bool jit_same_need(const JitNeed *need, Oid userid, const JitCover *covers, int ncovers);
extern bool jit_same_thing(const JitNeed *need, const JitPermInfo *info, Oid classid,
						   Oid objid, AclMode mode);
extern JitNeed *jit_append_need(JitReliance *reliance, Oid userid, const JitCover *covers,
								int ncovers);
extern void jit_add_need(JitReliance *reliance, Oid userid, const JitCover *covers, int ncovers);
extern bool jit_need_met(JitNeed *need, JitCover *ended);

#pragma GCC visibility pop

#endif							/* JIT_ENFORCE_RELIANCE_H */
