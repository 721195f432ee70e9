/*-------------------------------------------------------------------------
 *
 * giving.c
 *		Giving access: the last thing that a transaction does.
 *
 * At the call a request becomes active in the ledger, under the lock on its
 * row, and what it promises is noted.  The rest waits for the commit, when no
 * code of a user's can run any more:
 *
 *	jit_promise()		noted; a savepoint that is rolled back takes the note
 *						with it.  Nothing is locked but the request's row, and
 *						nobody has anything
 *	make_promised()		objects, roles and the grantee are locked, for so long at
 *						most; then roles and privileges are made.  The grant
 *						role has no member
 *	give_promised()		under the cluster's lock, with a snapshot of now: is all
 *						that it depends on still so?  Then the grantee becomes
 *						a member
 *	events				are numbered and written by event.c, under the same lock
 *
 * An error in any of them aborts the transaction, and nothing happened.  What
 * was noted for a request that has been ended in the same transaction, or in a
 * database whose extension it has dropped, is passed over.  A crash before the
 * commit leaves nothing; a commit is on disk before it is visible, whatever
 * synchronous_commit the caller has set.
 *
 * A sweeper promises what was scheduled, when it is to start: nobody approves it in
 * that moment, so policies and flows must be no stricter than they were, and a
 * panic button counts that was pressed since it was scheduled.  A sweeper waits
 * for locks no longer than what is under the cluster's, and tries again.
 *
 * A panic button that is pressed meanwhile is seen by the look again if it has
 * been committed by then.  If it is later, either of the two sees to it that a
 * sweeper ends what became active before the press, and was committed after it.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/commit.h"
#include "base/due.h"
#include "base/lock.h"
#include "base/query.h"
#include "base/text.h"
#include "request/access.h"
#include "request/approver.h"
#include "request/emergency.h"
#include "request/giving.h"
#include "request/grant.h"
#include "request/limit.h"
#include "request/policy.h"

#include "utils/guc.h"
#include "utils/snapmgr.h"

typedef struct Promise
{
	JitPromise	head;
	TimestampTz since;			/* panic buttons count from then on */
	TimestampTz expires_at;
	bool		approved;		/* else its flow asks for nobody, or it was
								 * scheduled */
	bool		scheduled;
	bool		emergency;		/* by the person, whom nobody approved */
	bool		direct;
	bool		statement;		/* it is for one */
	JitPerson	person;			/* who gave the last approval, or the grant */
	char	   *person_name;
	char	   *comment;		/* on the grant role */
	bool		made;
	List	   *items;
} Promise;

static void make_promised(List *promises);
static void give_promised(List *promises);
static void given(List *promises, bool committed);

static const JitCommitCalls make_calls = {.commit = make_promised};
static const JitCommitCalls give_calls = {.commit = give_promised,.ended = given};

/*
 * Give what an active request is for when the transaction commits.  "approver"
 * is whoever has just agreed, NULL if nobody had to.
 */
void
jit_promise(JitRequest *request, TimestampTz now, const JitPerson *approver,
			const char *comment)
{
	Promise    *promise = MemoryContextAllocZero(TopTransactionContext, sizeof(Promise));

	promise->head.request = request->id;
	promise->head.grantee = request->grantee;
	promise->scheduled = request->status == JIT_SCHEDULED;
	promise->since = promise->scheduled ? request->decided_at : now;
	promise->expires_at = request->expires_at;
	promise->emergency = request->emergency;
	promise->approved = approver != NULL && !request->emergency;
	promise->direct = request->direct;
	promise->statement = request->statement != NULL;
	if (approver != NULL)
	{
		promise->person = *approver;
		promise->person_name = MemoryContextStrdup(TopTransactionContext,
												   jit_role_name(approver->role));
	}
	promise->comment = MemoryContextStrdup(TopTransactionContext, comment);
	jit_note_for_commit(JIT_COMMIT_MAKE, &make_calls, promise);
	jit_note_for_commit(JIT_COMMIT_GIVE, &give_calls, promise);
}

/* How long the promises wait for locks: those of a sweeper not for long. */
static int
longest_wait(List *promises)
{
	ListCell   *lc;

	foreach(lc, promises)
	{
		if (!((Promise *) lfirst(lc))->scheduled)
			return JIT_LONGEST_WAIT;
	}
	return JIT_SHORTEST_WAIT;
}

static void overtaken(const Promise *promise, const char *detail) pg_attribute_noreturn();

static void
overtaken(const Promise *promise, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s has been overtaken and cannot become active",
					jit_request_text(promise->head.request)),
			 errdetail_internal("%s", detail),
			 promise->approved ? errhint("Nothing of this transaction has happened; look again.") :
			 errhint("Nothing of this transaction has happened; look again, and ask anew with jit_request() if need be.")));
}

/* Whom it is for must be there, and may still be given something. */
static void
check_grantee(const Promise *promise, const JitRequest *request)
{
	Oid			grantee = promise->head.grantee;

	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(grantee)))
		overtaken(promise, psprintf(_("Role %s, which it is for, has been dropped."),
									quote_identifier(request->grantee_name)));
	if (superuser_arg(grantee))
		overtaken(promise, psprintf(_("Role %s, which it is for, has become a superuser."),
									quote_identifier(jit_role_name(grantee))));
}

static void
make_promised(List *promises)
{
	MemoryContext context = CurrentMemoryContext;
	JitOwnerSection section;
	List	   *volatile items = NIL;
	ListCell   *lc;
	char	   *volatile what = NULL;

	if (promises == NIL || !jit_open_ledger())
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	jit_enter_owner_section(&section);
	jit_start_waiting(longest_wait(promises));
	PG_TRY();
	{
		foreach(lc, promises)
		{
			Promise    *promise = lfirst(lc);
			JitRequest *request = jit_load_request(promise->head.request, false);

			/* ended since, in this transaction */
			if (request->status != JIT_ACTIVE)
				continue;
			what = jit_request_text(promise->head.request);
			jit_lock_object(AuthIdRelationId, promise->head.grantee, AccessShareLock, what);
			check_grantee(promise, request);
			jit_load_request_items(request, false);
			promise->items = request->items;
			promise->made = true;
			items = list_concat_copy(items, request->items);
		}
		/* of all of them together, in one order */
		if (items != NIL)
			jit_lock_items(items, what);
		foreach(lc, promises)
		{
			Promise    *promise = lfirst(lc);

			what = jit_request_text(promise->head.request);
			jit_set_locally("lock_timeout", psprintf("%d", jit_time_left()));
			if (promise->made)
				jit_make_grant(promise->head.request, promise->head.grantee,
							   promise->items, promise->expires_at, promise->comment,
							   promise->statement);
		}
	}
	PG_CATCH();
	{
		jit_rethrow_locked(context, what);
	}
	PG_END_TRY();
	jit_leave_owner_section(&section);
	PopActiveSnapshot();
}

/* A time for an error, in the zone that the caller had before the section. */
static char *
time_text(TimestampTz at, const char *zone)
{
	jit_set_locally("TimeZone", zone);
	return jit_timestamp_text(at);
}

/*
 * When all access of the role, or of everybody, was last ended, if that was not
 * before then; else DT_NOBEGIN.  Inside an owner section.
 */
TimestampTz
jit_revoked_since(Oid grantee, TimestampTz at)
{
	(void) jit_query("SELECT max(at) FROM jit.revocations WHERE at >= $1 AND grantee_oid IN (0, $2)",
					 "zo", at, grantee);
	return jit_result_time(1, 1) != DT_NOEND ? jit_result_time(1, 1) :
		jit_pressed_after(grantee, at);
}

/* Is all that it depends on still so?  Raises if not. */
static void
look_again(const Promise *promise, const char *zone)
{
	JitRequest *request = jit_load_request(promise->head.request, false);
	bool		without_flow = request->reviews == NIL;
	TimestampTz pressed = jit_revoked_since(promise->head.grantee, promise->since);
	char	   *why = NULL;
	ListCell   *lc;
	JitProgress progress;

	jit_forget_identities();
	check_grantee(promise, request);
	if (pressed != DT_NOBEGIN)
		overtaken(promise, psprintf(_("All access was revoked, by jit_revoke_all() or jit_revoke_from(), at %s."),
									time_text(pressed, zone)));
	if (promise->expires_at <= jit_now())
		overtaken(promise, psprintf(_("Its deadline, %s, is past."),
									time_text(promise->expires_at, zone)));
	jit_load_request_items(request, false);
	foreach(lc, request->items)
		jit_check_item_requestable(lfirst(lc));
	if (promise->emergency)
	{
		JitDecision flow = {.risk = jit_risk_by_name(request->risk)};

		jit_load_flow(&flow, flow.risk);
		why = jit_why_not_break_glass(request, &promise->person, &flow);
		if (why == NULL)
			why = jit_stricter_now(request);
		if (why != NULL)
			overtaken(promise, why);
		return;
	}
	jit_flow_progress(request, &progress);
	if (!progress.complete)
		overtaken(promise, progress.lost ? progress.lost :
				  psprintf(_("It needs more by now: %s."),
						   jit_lacks_text(jit_lacks_for(request, &progress, InvalidOid))));
	if (promise->approved)
	{
		request->direct = promise->direct;
		why = jit_why_not_approve(request, &promise->person, false);
		if (why != NULL)
			overtaken(promise, psprintf(_("Role %s can no longer approve it: %s"),
										jit_name_now(promise->person.role, promise->person_name), why));
	}
	if (without_flow || promise->scheduled)
		why = jit_stricter_now(request);
	if (why != NULL)
		overtaken(promise, why);
	jit_check_room(request, promise->expires_at);
}

static void
give_promised(List *promises)
{
	static const char *const levels[] = {
		[SYNCHRONOUS_COMMIT_OFF] = "off",
		[SYNCHRONOUS_COMMIT_LOCAL_FLUSH] = "local",
		[SYNCHRONOUS_COMMIT_REMOTE_WRITE] = "remote_write",
		[SYNCHRONOUS_COMMIT_REMOTE_FLUSH] = "on",
		[SYNCHRONOUS_COMMIT_REMOTE_APPLY] = "remote_apply"
	};
	MemoryContext context = CurrentMemoryContext;
	JitOwnerSection section;
	Promise    *volatile promise = NULL;
	const char *zone = pg_get_timezone_name(session_timezone);
	ListCell   *lc;

	foreach(lc, promises)
	{
		promise = lfirst(lc);
		if (promise->made)
			break;
	}
	if (lc == NULL)
		return;
	if (!jit_lock_cluster(longest_wait(promises)))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("%s cannot become active now: another transaction that gives or records something does not end",
						jit_request_text(promise->head.request)),
				 errdetail("It may be waiting for a standby; pg_locks shows it."),
				 errhint("Try again.")));
	PushActiveSnapshot(GetLatestSnapshot());
	jit_enter_owner_section(&section);
	jit_set_locally("lock_timeout", JIT_SHORTEST_WAIT_TEXT);
	PG_TRY();
	{
		foreach(lc, promises)
		{
			promise = lfirst(lc);
			if (!promise->made)
				continue;
			look_again(promise, zone);
			jit_give_grant(promise->head.request, promise->head.grantee, promise->items,
						   promise->statement);
		}
	}
	PG_CATCH();
	{
		jit_rethrow_locked(context, jit_request_text(promise->head.request));
	}
	PG_END_TRY();
	jit_leave_owner_section(&section);
	PopActiveSnapshot();

	/*
	 * no less durable than the server is set up for; sweepers wait for no
	 * standby
	 */
	if (!jit_settings_pinned && synchronous_commit < jit_due->synchronous_commit)
		(void) set_config_option("synchronous_commit", levels[jit_due->synchronous_commit],
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/* One that was pressed in between didn't see it: it is a sweeper's to end. */
static void
given(List *promises, bool committed)
{
	ListCell   *lc;

	foreach(lc, promises)
	{
		Promise    *promise = lfirst(lc);

		if (promise->made &&
			jit_pressed_after(promise->head.grantee, promise->since) != DT_NOBEGIN)
			jit_note_due(jit_now());
	}
}
