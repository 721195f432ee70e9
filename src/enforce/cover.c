/*-------------------------------------------------------------------------
 *
 * cover.c
 *		Which temporary access covers what somebody needs.
 *
 * Asked by the catalogs as they are, and kept for permission entries while
 * nothing changes there.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/text.h"
#include "enforce/cover.h"

#include "storage/ipc.h"
#include "utils/inval.h"

/*
 * The live grant roles that cover what the user's standing access doesn't:
 * any one of them, or all of them together if *all.  NULL if standing access
 * suffices; no covers at all if nothing does.  Good until the next call: the
 * caller's memory may be kept for long.
 */
JitCover *
jit_find_covers(Oid userid, const JitPermInfo *info, Oid classid, Oid objid,
				AclMode mode, int *ncovers, bool *all)
{
	TimestampTz now = jit_now();
	JitClosureKind kind = classid == AuthIdRelationId && mode == JIT_SET_ROLE ?
	JIT_CLOSURE_SET : JIT_CLOSURE_PRIVS;
	static MemoryContext scratch = NULL;
	MemoryContext context;
	List	   *standing;
	List	   *live;
	JitCover   *covers;
	ListCell   *lc;

	if (scratch == NULL)
		scratch = AllocSetContextCreate(TopMemoryContext,
										"jit_access covers",
										ALLOCSET_SMALL_SIZES);
	MemoryContextReset(scratch);
	context = MemoryContextSwitchTo(scratch);
	standing = jit_role_closure(userid, kind, JIT_FILTER_STANDING, now);
	if (jit_permitted(info, classid, objid, mode, standing))
	{
		MemoryContextSwitchTo(context);
		return NULL;
	}
	live = jit_role_closure(userid, kind, JIT_FILTER_LIVE, now);
	covers = palloc((list_length(live) + 1) * sizeof(JitCover));

	*ncovers = 0;
	for (int pass = 0; pass < 2 && *ncovers == 0; pass++)
	{
		*all = pass == 1;
		foreach(lc, live)
		{
			JitCover   *cover = &covers[*ncovers];

			cover->role = lfirst_oid(lc);
			cover->database = InvalidOid;
			cover->request = 0;
			if (jit_role_kind_by_oid(cover->role) != JIT_ROLE_GRANT)
				continue;
			if (!*all)
			{
				List	   *with = jit_role_closure(cover->role, kind,
													JIT_FILTER_LIVE, now);
				bool		suffices;

				with = list_concat(with, standing);
				suffices = jit_permitted(info, classid, objid, mode, with);
				list_free(with);
				if (!suffices)
					continue;
			}
			cover->deadline = jit_role_deadline(cover->role);
			(void) jit_parse_grant_name(jit_role_name(cover->role),
										&cover->database, &cover->request);
			(*ncovers)++;
		}
	}
	MemoryContextSwitchTo(context);
	return covers;
}

/*
 * What jit_find_covers() has found for permission entries: as long as no role,
 * membership or relation has changed, it would find the same again, less what
 * has ended since, which is told by the deadlines.  (But of what suffices only
 * together, less might.)
 */
typedef struct CachedCovers
{
	Oid			userid;			/* InvalidOid: not in use */
	Oid			relid;
	AclMode		privs;
	Bitmapset  *columns[3];
	JitCover   *covers;			/* as jit_find_covers() returns it */
	int			ncovers;
	bool		all;
} CachedCovers;

#define N_CACHED 32
static CachedCovers cached[N_CACHED];
static MemoryContext cache_context = NULL;
static uint64 cache_roles = 0;	/* generations that it holds for */
static uint64 cache_relations = 0;
static uint64 relations_generation = 1;
static int	cache_replaced = 0;

/* An owner, an ACL or a column's ACL may be another. */
static void
relation_changed(Datum arg, Oid relid)
{
	relations_generation++;
}

/* jit_find_covers() for a permission entry; the result isn't to be changed. */
const JitCover *
jit_find_entry_covers(Oid userid, const JitPermInfo *info, int *ncovers, bool *all)
{
	CachedCovers *entry = &cached[(userid ^ info->relid) % N_CACHED];
	MemoryContext context;
	uint64		roles;
	uint64		relations;
	JitCover   *covers;

	/* the caller has asked for the user's deadline: nothing is to come in */
	roles = jit_roles_generation;
	relations = relations_generation;
	if (cache_roles == roles && cache_relations == relations &&
		entry->userid == userid && entry->relid == info->relid &&
		entry->privs == info->requiredPerms &&
		bms_equal(entry->columns[0], info->selectedCols) &&
		bms_equal(entry->columns[1], info->insertedCols) &&
		bms_equal(entry->columns[2], info->updatedCols) &&
		(!entry->all || jit_user_deadline(userid) > jit_now()))
	{
		*ncovers = entry->ncovers;
		*all = entry->all;
		return entry->covers;
	}

	covers = jit_find_covers(userid, info, InvalidOid, InvalidOid, 0, ncovers, all);

	/* an invalidation may have arrived meanwhile */
	if (roles != jit_roles_generation || relations != relations_generation)
		return covers;
	if (cache_context == NULL)
	{
		cache_context = AllocSetContextCreate(TopMemoryContext,
											  "jit_access reliance cache",
											  ALLOCSET_SMALL_SIZES);
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		/* from now on changes are seen */
		return covers;
	}
	if (cache_roles != roles || cache_relations != relations ||
		cache_replaced > 10 * N_CACHED)
	{
		memset(cached, 0, sizeof(cached));
		MemoryContextReset(cache_context);
		cache_roles = roles;
		cache_relations = relations;
		cache_replaced = 0;
	}
	entry->userid = InvalidOid;
	context = MemoryContextSwitchTo(cache_context);
	entry->relid = info->relid;
	entry->privs = info->requiredPerms;
	entry->columns[0] = bms_copy(info->selectedCols);
	entry->columns[1] = bms_copy(info->insertedCols);
	entry->columns[2] = bms_copy(info->updatedCols);
	entry->covers = NULL;
	entry->ncovers = 0;
	entry->all = false;
	if (covers != NULL)
	{
		entry->ncovers = *ncovers;
		entry->all = *all;
		entry->covers = palloc((*ncovers + 1) * sizeof(JitCover));
		memcpy(entry->covers, covers, *ncovers * sizeof(JitCover));
	}
	MemoryContextSwitchTo(context);
	entry->userid = userid;
	cache_replaced++;
	return covers;
}

/* The request of this database that a cover comes from, 0 if it is none. */
int
jit_cover_request(const JitCover *cover)
{
	return cover->database == MyDatabaseId ? cover->request : 0;
}

/* "Request 17 in hr_prod expired at ..." for a cover that has ended. */
char *
jit_cover_text(const JitCover *cover)
{
	const char *dbname;

	if (cover->request == 0)
		return pstrdup(_("What gave this access is not a live grant of jit_access."));
	/* a transaction that has failed can't look up the name */
	dbname = IsTransactionState() && !proc_exit_inprogress ? quote_identifier(jit_name_of_database(cover->database)) :
		psprintf("%u", cover->database);
	if (cover->deadline == DT_NOBEGIN || cover->deadline > jit_now())
		return psprintf(_("Request %d in %s was revoked."), cover->request, dbname);
	return psprintf(_("Request %d in %s expired at %s."), cover->request, dbname,
					jit_timestamp_text(cover->deadline));
}
