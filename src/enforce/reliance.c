/*-------------------------------------------------------------------------
 *
 * reliance.c
 *		What something relies on: needs, and what covers them.
 *
 * What a query, a client's statement or a transaction relies on is a list of
 * needs, one for each set of grants; each is met while one of its covers
 * hasn't ended.  Whoever changes a list keeps cutoff.c's timer, which reads it,
 * away meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/changes.h"
#include "enforce/reliance.h"

#define SPARE			4		/* overlapping grants that may come later */

/* ----------------------------------------------------------------------
 * In the handler of a timer: no memory, no locks, no catalogs
 * ----------------------------------------------------------------------
 */

/* What has expired isn't revoked by its removal. */
static void
set_deadline(JitCover *cover, TimestampTz deadline)
{
	if (deadline != DT_NOBEGIN || cover->deadline > jit_now())
		cover->deadline = deadline;
}

void
jit_apply_change(JitReliance *reliance, const JitChange *change)
{
	for (int i = 0; i < reliance->nneeds; i++)
	{
		JitNeed    *need = &reliance->needs[i];

		for (int k = 0; k < need->ncovers; k++)
		{
			if (need->covers[k].role != change->role)
				continue;
			if (!OidIsValid(change->other))
				set_deadline(&need->covers[k], change->deadline);
			else if (need->ncovers < need->maxcovers)
			{
				JitCover   *cover = &need->covers[need->ncovers];

				cover->role = change->other;
				cover->database = change->database;
				cover->request = change->request;
				cover->deadline = change->deadline;
				need->ncovers++;
			}
			break;
		}
	}
}

/* Changes from that place on have been missed. */
void
jit_catch_up_need(JitNeed *need, uint64 place)
{
	for (int k = 0; k < need->ncovers; k++)
	{
		JitCover   *cover = &need->covers[k];

		set_deadline(cover, jit_deadline_since(cover->role, place, cover->deadline));
	}
}

void
jit_catch_up(JitReliance *reliance, uint64 place)
{
	for (int i = 0; i < reliance->nneeds; i++)
		jit_catch_up_need(&reliance->needs[i], place);
}

/* ----------------------------------------------------------------------
 * Collecting
 * ----------------------------------------------------------------------
 */

/* The memory it is in may live much longer: that of a SQL function does. */
void
jit_free_reliance(JitReliance *reliance)
{
	for (int i = 0; i < reliance->nneeds; i++)
		pfree(reliance->needs[i].covers);
	if (reliance->needs != NULL)
		pfree(reliance->needs);
	jit_forget_uses(&reliance->uses);
	pfree(reliance);
}

static void
fill_need(JitNeed *need, Oid userid, const JitCover *covers, int ncovers, int spare)
{
	need->userid = userid;
	need->ncovers = ncovers;
	need->maxcovers = ncovers + spare;
	need->covers = palloc(need->maxcovers * sizeof(JitCover));
	memcpy(need->covers, covers, ncovers * sizeof(JitCover));
	need->noted = GetCurrentStatementStartTimestamp();
	need->info = NULL;
	need->writes = false;
}

/* Is it that need?  Loops run the same statement over and over. */
bool
jit_same_need(const JitNeed *need, Oid userid, const JitCover *covers, int ncovers)
{
	if (need->userid != userid || need->ncovers != ncovers)
		return false;
	for (int i = 0; i < ncovers; i++)
	{
		if (need->covers[i].role != covers[i].role ||
			need->covers[i].deadline != covers[i].deadline)
			return false;
	}
	return true;
}

static JitNeed *
find_need(JitReliance *reliance, Oid userid, const JitCover *covers, int ncovers)
{
	for (int i = 0; i < reliance->nneeds; i++)
	{
		if (jit_same_need(&reliance->needs[i], userid, covers, ncovers))
			return &reliance->needs[i];
	}
	return NULL;
}

JitNeed *
jit_append_need(JitReliance *reliance, Oid userid, const JitCover *covers, int ncovers)
{
	MemoryContext context = MemoryContextSwitchTo(reliance->context);
	JitNeed    *need;

	if (reliance->nneeds == 0)
		reliance->needs = palloc(sizeof(JitNeed));
	else
		reliance->needs = repalloc(reliance->needs,
								   (reliance->nneeds + 1) * sizeof(JitNeed));
	need = &reliance->needs[reliance->nneeds];
	fill_need(need, userid, covers, ncovers, SPARE);
	reliance->nneeds++;
	MemoryContextSwitchTo(context);
	return need;
}

void
jit_add_need(JitReliance *reliance, Oid userid, const JitCover *covers, int ncovers)
{
	JitNeed    *need = find_need(reliance, userid, covers, ncovers);

	if (need != NULL)
		need->noted = GetCurrentStatementStartTimestamp();
	else
		(void) jit_append_need(reliance, userid, covers, ncovers);
}

/*
 * Is it a need of the same thing?  One grant may cover several.
 */
bool
jit_same_thing(const JitNeed *need, const JitPermInfo *info, Oid classid, Oid objid,
			   AclMode mode)
{
	if (info == NULL || need->info == NULL)
		return info == need->info && need->classid == classid &&
			need->objid == objid && need->mode == mode;
	return need->info->relid == info->relid && need->mode == mode &&
		bms_equal(need->info->selectedCols, info->selectedCols) &&
		bms_equal(need->info->insertedCols, info->insertedCols) &&
		bms_equal(need->info->updatedCols, info->updatedCols);
}

/* ----------------------------------------------------------------------
 * By the catalogs
 * ----------------------------------------------------------------------
 */

/*
 * Does some cover of the need still stand, by the catalogs?  Takes the
 * deadlines from there.
 */
bool
jit_need_met(JitNeed *need, JitCover *ended)
{
	TimestampTz now = jit_now();
	List	   *live = jit_role_closure(need->userid, JIT_CLOSURE_MEMBERS,
										JIT_FILTER_LIVE, now);
	bool		met = false;

	memset(ended, 0, sizeof(JitCover));
	for (int i = 0; i < need->ncovers; i++)
	{
		JitCover   *cover = &need->covers[i];

		*ended = *cover;
		if (list_member_oid(live, cover->role))
		{
			cover->deadline = jit_role_deadline(cover->role);
			met = true;
		}
	}
	list_free(live);
	return met;
}
