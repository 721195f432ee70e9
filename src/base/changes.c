/*-------------------------------------------------------------------------
 *
 * changes.c
 *		Telling other backends what has become of grants.
 *
 * A ring of changes in shared memory: what a transaction ends, prolongs or
 * overlaps is written to it after its commit and after its catalog
 * invalidations have been sent.  Whoever relies on grants (cutoff.c) keeps a
 * place in it, reads it before it takes in invalidations and looks at
 * catalogs, and so sees a change in one or the other.
 *
 * 	call				the change is remembered
 * 	before the commit	its deadline is looked up, while catalogs can be read
 * 	commit				the changes are published
 * 	abort				they are forgotten
 * 	PREPARE				nobody is told when it is committed; see sweeper.c
 *
 * One transaction may write more than the ring holds, of one role or of many.
 * So the last change of each role is kept beside it, in a slot that roles with
 * OIDs far apart share.
 *
 * Reading takes no lock and no memory, so a signal handler can do it.
 * Standbys have no changes.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/changes.h"
#include "base/commit.h"
#include "base/roles.h"
#include "base/text.h"

#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/resowner.h"

#define RING_SIZE		8192	/* a power of two */
#define N_LAST			32768	/* the same */
#define BEING_WRITTEN	PG_UINT64_MAX

/* The last end, or new deadline, of a role: of those with an OID modulo N_LAST. */
typedef struct LastChange
{
	pg_atomic_uint64 place;		/* in the ring, from 1; 0 if there was none */
	Oid			role;
	TimestampTz deadline;
} LastChange;

typedef struct ChangesShared
{
	pg_atomic_uint64 head;		/* changes ever written */
	LWLock	   *lock;			/* held by whoever writes */
	JitChange	ring[RING_SIZE];
	LastChange	last[N_LAST];
} ChangesShared;

static ChangesShared *shared = NULL;

/* What is to be published, of JitChange; between the commit and its release. */
static List *to_publish = NIL;

void
jit_changes_shmem_request(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(ChangesShared)));
	RequestNamedLWLockTranche("jit_access changes", 1);
}

void
jit_changes_shmem_startup(void)
{
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("jit_access changes", sizeof(ChangesShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(ChangesShared));
		pg_atomic_init_u64(&shared->head, 0);
		for (int i = 0; i < N_LAST; i++)
			pg_atomic_init_u64(&shared->last[i].place, 0);
		shared->lock = &GetNamedLWLockTranche("jit_access changes")->lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

/* ----------------------------------------------------------------------
 * Writing
 * ----------------------------------------------------------------------
 */

/* Before the commit, while catalogs can be read: what the deadlines are. */
static void
complete_changes(List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		JitChange  *change = lfirst(lc);
		Oid			role = OidIsValid(change->other) ? change->other : change->role;

		change->deadline = jit_role_deadline(role);
		if (change->deadline != DT_NOBEGIN && !jit_grant_has_member(role, InvalidOid))
			change->deadline = DT_NOBEGIN;
	}
}

static void
changes_ended(List *changes, bool committed)
{
	to_publish = changes;
}

static const JitCommitCalls changes_calls = {complete_changes, NULL, changes_ended};

static void
write_last(const JitChange *change, uint64 place)
{
	LastChange *last = &shared->last[change->role % N_LAST];

	pg_atomic_write_u64(&last->place, BEING_WRITTEN);
	pg_write_barrier();
	last->role = change->role;
	last->deadline = change->deadline;
	pg_write_barrier();
	pg_atomic_write_u64(&last->place, place);
}

/* After the invalidations have been sent: see the top of the file. */
static void
publish_changes(ResourceReleasePhase phase, bool is_commit, bool is_top_level,
				void *arg)
{
	ListCell   *lc;
	uint64		head;

	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level || to_publish == NIL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	head = pg_atomic_read_u64(&shared->head);
	foreach(lc, to_publish)
	{
		JitChange  *change = lfirst(lc);

		shared->ring[head % RING_SIZE] = *change;
		if (!OidIsValid(change->other))
			write_last(change, head + 1);
		pg_write_barrier();
		pg_atomic_write_u64(&shared->head, ++head);
	}
	LWLockRelease(shared->lock);
	to_publish = NIL;
}

static void
remember_change(Oid role, Oid other)
{
	static bool registered = false;
	JitChange  *change = MemoryContextAllocZero(TopTransactionContext,
												sizeof(JitChange));

	if (!registered)
		RegisterResourceReleaseCallback(publish_changes, NULL);
	registered = true;
	change->role = role;
	change->other = other;
	(void) jit_parse_grant_name(jit_role_name(OidIsValid(other) ? other : role),
								&change->database, &change->request);
	change->deadline = DT_NOBEGIN;
	jit_note_for_commit(JIT_COMMIT_TELL, &changes_calls, change);
}

/*
 * A grant role is dropped, loses members or gets another deadline in this
 * transaction: what relies on it hears of it after the commit.
 */
void
jit_note_grant_changed(Oid role)
{
	remember_change(role, InvalidOid);
}

/* A new grant role covers all that another one of the same grantee covers. */
void
jit_note_grant_overlaps(Oid role, Oid covered_too_by)
{
	remember_change(role, covered_too_by);
}

/* ----------------------------------------------------------------------
 * Reading
 * ----------------------------------------------------------------------
 */

/* How many changes there ever were: the place after the last one. */
uint64
jit_changes_head(void)
{
	uint64		head = pg_atomic_read_u64(&shared->head);

	pg_read_barrier();
	return head;
}

/*
 * Read the change at a place before jit_changes_head(); false if it has been
 * overwritten.
 */
bool
jit_read_change(uint64 place, JitChange *change)
{
	*change = shared->ring[place % RING_SIZE];
	pg_read_barrier();
	/* the slot after the head's may be being written */
	return pg_atomic_read_u64(&shared->head) - place < RING_SIZE - 1;
}

/*
 * For who comes too late to read the ring from a place on: the deadline that a
 * role has by now, if it was "deadline" there.  Where that can't be told any
 * more, it has ended.
 */
TimestampTz
jit_deadline_since(Oid role, uint64 place, TimestampTz deadline)
{
	LastChange *last = &shared->last[role % N_LAST];
	uint64		before = pg_atomic_read_u64(&last->place);
	LastChange	copy;

	if (before <= place)
		return deadline;
	pg_read_barrier();
	copy.role = last->role;
	copy.deadline = last->deadline;
	pg_read_barrier();
	if (before == BEING_WRITTEN || copy.role != role ||
		pg_atomic_read_u64(&last->place) != before)
		return DT_NOBEGIN;
	return copy.deadline;
}
