/*-------------------------------------------------------------------------
 *
 * ending.c
 *		Ending grants: the only file that alters or drops grant roles.
 *
 * The members go, then, right before the commit, the role is dropped.  What
 * hinders the dropping (somebody gives the role privileges of its own) doesn't
 * hinder the end: the members are gone by then, and the role is left, with a
 * WARNING or to a sweeper.
 *
 * abort, or a crash before the commit: nothing of it happened.  After the
 * commit, all of it, in every database: roles are shared.
 *
 * A role is ours to drop if the ledger says so, by OID and name; names alone
 * prove nothing, since a role manager can make or rename roles.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/changes.h"
#include "base/clock.h"
#include "base/commit.h"
#include "base/due.h"
#include "base/item.h"
#include "base/lock.h"
#include "base/query.h"
#include "base/roles.h"
#include "base/text.h"
#include "request/ending.h"
#include "request/event.h"
#include "request/ledger.h"
#include "request/scope.h"

#include "access/heapam.h"
#include "access/subtrans.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_shdepend.h"
#include "commands/extension.h"
#include "commands/user.h"
#include "nodes/makefuncs.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"

#define LONGEST_HOLD "10 s"		/* see terminate_holders() */

/* ----------------------------------------------------------------------
 * Roles
 * ----------------------------------------------------------------------
 */

/* Lock a row of a catalog, to update or to delete it. */
static TM_Result
lock_row(Relation rel, const HeapTuple tuple, LockWaitPolicy policy)
{
	HeapTupleData locked = {.t_self = tuple->t_self};
	Buffer		buffer;
	TM_FailureData failure;
	TM_Result	result;

	result = heap_lock_tuple(rel, &locked, GetCurrentCommandId(true),
							 LockTupleExclusive, policy, false, &buffer, &failure);
	ReleaseBuffer(buffer);
	return result;
}

/*
 * Keep everybody else who alters or drops roles of ours away from this one
 * until the end of the transaction.  ExclusiveLock to alter it: anybody can
 * have AccessShareLock, by granting something to the role.  To drop it,
 * AccessExclusiveLock, as DropRole().  Doesn't wait for a role, as whoever
 * has it may keep it: false if it can't be had, or is gone.
 */
static bool
lock_role(Oid roleid, LOCKMODE mode)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, AuthIdRelationId, roleid, 0);
	if (LockAcquire(&tag, mode, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	AcceptInvalidationMessages();
	return SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(roleid));
}

/* The same of whoever uses ALTER ROLE, which locks nothing but the row. */
static bool
lock_role_and_row(Oid roleid, LOCKMODE mode)
{
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		locked;

	if (!lock_role(roleid, mode))
		return false;
	rel = table_open(AuthIdRelationId, RowExclusiveLock);
	ScanKeyInit(&key, Anum_pg_authid_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(roleid));
	scan = systable_beginscan(rel, AuthIdOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	locked = HeapTupleIsValid(tuple) && lock_row(rel, tuple, LockWaitSkip) == TM_Ok;
	systable_endscan(scan);
	table_close(rel, NoLock);
	return locked;
}

/*
 * ALTER ROLE ... VALID UNTIL now, so that it gives nothing from here on.
 * False if somebody else has it locked, or it is gone.
 */
static bool
expire_role(Oid roleid)
{
	AlterRoleStmt *stmt = makeNode(AlterRoleStmt);

	if (!lock_role_and_row(roleid, ExclusiveLock))
		return false;
	stmt->role = jit_role_spec(jit_role_name(roleid));
	stmt->options = list_make1(makeDefElem("validUntil",
										   (Node *) makeString(pstrdup(timestamptz_to_str(jit_now()))), -1));
	stmt->action = +1;
	(void) AlterRole(make_parsestate(NULL), stmt);
	CommandCounterIncrement();
	return true;
}

static void
try_to_expire(void *arg)
{
	(void) expire_role(*(Oid *) arg);
}

/*
 * Take all members out of a role, whoever made them so.  Mirrors the first
 * loop of DropRole().  Returns how many.  Without "wait", those that another
 * transaction is taking out are left to it, and *left is set.
 */
static int
remove_members(Oid roleid, bool wait, bool *left)
{
	Relation	rel = table_open(AuthMemRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			n = 0;

	ScanKeyInit(&key, Anum_pg_auth_members_roleid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(roleid));
	scan = systable_beginscan(rel, AuthMemRoleMemIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TM_Result	result = lock_row(rel, tuple, wait ? LockWaitBlock : LockWaitSkip);

		if (result == TM_Deleted)
			continue;
		if (!wait && result != TM_Ok)
		{
			*left = true;
			continue;
		}
		JIT_FORGET_MEMBERSHIP(tuple);
		CatalogTupleDelete(rel, &tuple->t_self);
		n++;
	}
	systable_endscan(scan);
	table_close(rel, NoLock);
	if (n > 0)
		jit_note_grant_changed(roleid);
	CommandCounterIncrement();
	return n;
}

/* Those that can be locked, or none of them. */
static void
try_to_drop(void *arg)
{
	DropRoleStmt *stmt = makeNode(DropRoleStmt);
	ListCell   *lc;

	foreach(lc, (List *) arg)
	{
		Oid			roleid = lfirst_oid(lc);

		if (!lock_role_and_row(roleid, AccessExclusiveLock))
			continue;
		stmt->roles = lappend(stmt->roles, jit_role_spec(jit_role_name(roleid)));
	}
	DropRole(stmt);
	CommandCounterIncrement();
}

/*
 * DROP ROLE in a subtransaction: what hinders it becomes a message of that
 * level, unless it is that somebody has the role locked.  The members are out
 * already.
 */
static void
drop_role(Oid roleid, int elevel)
{
	ErrorData  *error = jit_try(try_to_drop, list_make1_oid(roleid));

	if (error != NULL)
		jit_report_not_dropped(roleid, error, elevel);
}

/* ----------------------------------------------------------------------
 * Grants
 * ----------------------------------------------------------------------
 */

/*
 * The role of a ledger row, InvalidOid if it isn't there any more.
 *
 * A row of this cluster: by OID, if the role bears the name or, renamed,
 * still the comment that we gave it.  A row from elsewhere: by name, if it
 * can't log in and has exactly the deadline of the ledger.
 */
Oid
jit_find_grant_role(const JitGrant *grant)
{
	Oid			roleid = grant->cluster ? grant->role_oid : get_role_oid(grant->role, true);
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(roleid));
	Form_pg_authid form;
	bool		ours;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	form = (Form_pg_authid) GETSTRUCT(tuple);
	ours = strcmp(NameStr(form->rolname), grant->role) == 0;
	if (!grant->cluster)
		ours = ours && !form->rolcanlogin &&
			jit_role_kind(NameStr(form->rolname)) == JIT_ROLE_GRANT &&
			jit_role_deadline(roleid) == grant->expires_at;
	else if (!ours)
	{
		char	   *prefix = psprintf("jit_access: request %d in database ", grant->request);

		jit_query("SELECT coalesce(starts_with(shobj_description($1, 'pg_authid'), $2), false)",
				  "ot", roleid, prefix);
		ours = jit_result_bool(1, 1);
	}
	ReleaseSysCache(tuple);
	return ours ? roleid : InvalidOid;
}

/*
 * Drop the roles whose members jit_end_role() has removed in this
 * transaction.  What can't be dropped now is dropped by a sweeper, when it is
 * past.
 */
static void
drop_ended_roles(List *notes)
{
	JitOwnerSection section;
	ListCell   *lc;
	List	   *roles = NIL;
	List	   *dropped = NIL;
	bool		together;

	if (notes == NIL)
		return;
	foreach(lc, notes)
		roles = lappend_oid(roles, DatumGetObjectId(PointerGetDatum(lfirst(lc))));
	PushActiveSnapshot(GetTransactionSnapshot());
	jit_enter_owner_section(&section);
	/* for whoever leaves open that a role loses what it was granted */
	jit_set_locally("lock_timeout", "1s");
	list_sort(roles, list_oid_cmp);
	list_deduplicate_oid(roles);
	foreach(lc, roles)
	{
		Oid			roleid = lfirst_oid(lc);

		/* they are back if that was in a subtransaction that has failed */
		if (jit_grant_has_member(roleid, InvalidOid))
			continue;
		dropped = lappend_oid(dropped, roleid);
	}
	/* one subtransaction for all of them, unless something hinders it */
	together = list_length(dropped) > 1 &&
		jit_try(try_to_drop, dropped) == NULL;
	foreach(lc, dropped)
	{
		Oid			roleid = lfirst_oid(lc);

		if (!together)
			drop_role(roleid, WARNING);
		if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(roleid)))
			continue;
		/* one that is past keeps its deadline, which says when it ended */
		if (jit_role_deadline(roleid) == DT_NOBEGIN ||
			jit_role_deadline(roleid) > jit_now())
			(void) jit_try(try_to_expire, &roleid);
		jit_wake_launcher_at_commit();
	}
	/* a sweeper looks at them itself when it is done */
	if (!jit_settings_pinned)
		jit_note_scopes_due();
	jit_leave_owner_section(&section);
	PopActiveSnapshot();
}

/*
 * Before the commit, so that no user can keep the locks; what would take too
 * many of them is left to a sweeper, too.
 */
static void
drop_at_commit(List *notes)
{
	drop_ended_roles(list_truncate(notes, max_locks_per_xact * 10));
}

static const JitCommitCalls ending_calls = {.commit = drop_at_commit};

/*
 * The role that runs the statement of a grant of our ledger, if it is there and
 * still bears its name; else InvalidOid.
 */
static Oid
query_role(Oid grant_role)
{
	Oid			oid;
	Oid			database;
	Oid			grantee;
	int			request;
	char	   *name;

	if (jit_query("SELECT g.query_oid, g.request_id FROM jit.grants g JOIN jit.requests r ON r.id = g.request_id"
				  " WHERE g.role_oid = $1 AND g.query_oid IS NOT NULL AND starts_with(r.origin, $2)",
				  "ot", grant_role, jit_cluster_origin()) == 0)
		return InvalidOid;
	oid = jit_result_oid(1, 1);
	name = GetUserNameFromId(oid, true);
	return name != NULL && jit_parse_query_name(name, &database, &request, &grantee) &&
		request == jit_result_int(1, 2) ? oid : InvalidOid;
}

/*
 * End what a grant role gives.  Inside an owner section, under the lock on
 * the request's row.  Without "wait", false if another transaction is taking
 * members out, too.
 *
 * The members go now, the role at the commit: who leaves this transaction
 * open has nothing that jit_expire_grant() needs.
 */
bool
jit_end_role(Oid roleid, bool wait)
{
	bool		left = false;
	Oid			query = query_role(roleid);

	(void) remove_members(roleid, wait, &left);
	if (left)
		return false;
	jit_note_for_commit(JIT_COMMIT_DROP, &ending_calls,
						DatumGetPointer(ObjectIdGetDatum(roleid)));
	if (OidIsValid(query))
		jit_note_for_commit(JIT_COMMIT_DROP, &ending_calls,
							DatumGetPointer(ObjectIdGetDatum(query)));
	return true;
}

/*
 * End a grant of our ledger and note when in jit.grants, the same way.  False
 * if the role wasn't there any more.
 */
bool
jit_end_grant(const JitGrant *grant)
{
	Oid			roleid = jit_find_grant_role(grant);

	if (OidIsValid(roleid))
		(void) jit_end_role(roleid, true);
	jit_query("UPDATE jit.grants SET ended_at = $2 WHERE " JIT_THE_ROWS("grants", "request_id = $1"),
			  "iz", grant->request, jit_now());
	jit_wake_launcher_at_commit();
	return OidIsValid(roleid);
}

/*
 * Let a grant role give nothing from now on, and take its members out as far
 * as nobody else is doing it.  The ledger follows when it can.  Inside an
 * owner section.  False if it still has members and can't be altered, because
 * somebody else is changing it, or if it is gone.
 */
static bool
expire_now(Oid roleid)
{
	bool		left = false;
	int			n;

	if (!lock_role(roleid, ExclusiveLock))
		return false;
	n = remove_members(roleid, false, &left);
	if (expire_role(roleid))
		return true;
	/* nothing else tells its ledger */
	jit_note_ledger_behind(roleid);
	return n > 0 && !left;
}

/*
 * End a grant of our ledger without the lock on its request's row, which
 * another transaction has.  Inside an owner section.  False if that couldn't
 * be done.
 */
bool
jit_expire_grant(int request)
{
	JitGrant	grant = {.request = request};
	Oid			roleid;

	if (jit_query("SELECT g.role, g.role_oid, g.expires_at, starts_with(r.origin, $2), r.origin"
				  " FROM jit.grants g JOIN jit.requests r ON r.id = g.request_id WHERE r.id = $1",
				  "it", request, jit_cluster_origin()) == 0 ||
		jit_is_copy(jit_result_text(1, 5)))
		return false;
	grant.role = jit_result_text(1, 1);
	grant.role_oid = jit_result_oid(1, 2);
	grant.expires_at = jit_result_time(1, 3);
	grant.cluster = jit_result_bool(1, 4);
	roleid = jit_find_grant_role(&grant);
	jit_wake_launcher_at_commit();
	return OidIsValid(roleid) && expire_now(roleid);
}

/*
 * A grant that has been used up gives nothing from the commit on: by its
 * deadline, as its member is needed to the end of the transaction.  What hinders
 * that is no harm: the ledger has it that it is used up.
 */
void
jit_expire_spent(Oid roleid)
{
	if (OidIsValid(roleid))
		(void) jit_try(try_to_expire, &roleid);
}

/*
 * Grant roles of the cluster, as OIDs; with "past" only those whose deadline
 * is past, and what statements ran as under them.  One that has none gives nothing, but may get it back.
 */
static List *
grant_roles(bool past)
{
	JitScan		scan;
	TimestampTz now = jit_now();
	HeapTuple	tuple;
	List	   *roles = NIL;

	jit_begin_scan(&scan, AuthIdRelationId, InvalidOid, NULL, 0);
	while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		Form_pg_authid form = (Form_pg_authid) GETSTRUCT(tuple);
		TimestampTz deadline;
		JitRoleKind kind;

		kind = jit_role_kind(NameStr(form->rolname));
		if (kind != JIT_ROLE_GRANT && (kind != JIT_ROLE_QUERY || !past))
			continue;
		deadline = jit_role_deadline(form->oid);
		if (!past || (deadline != DT_NOBEGIN && deadline <= now))
			roles = lappend_oid(roles, form->oid);
	}
	jit_end_scan(&scan);
	return roles;
}

/*
 * End what other databases have granted to one role, or to everyone for
 * InvalidOid: the members go and the deadline becomes now, and the database
 * concerned settles its own ledger.  Who did it, and why, is an event here.
 * Inside an owner section.  Returns how many were live.
 *
 * A role that another transaction is ending or altering is left out with a
 * WARNING if it is live: the panic button must not wait for anybody.
 */
int
jit_end_foreign_grants(Oid grantee, const char *reason)
{
	int			n = 0;
	StringInfoData roles;
	JitPerson	person;
	ListCell   *lc;

	jit_current_person(&person);
	initStringInfo(&roles);

	foreach(lc, grant_roles(false))
	{
		Oid			roleid = lfirst_oid(lc);
		Oid			database;
		int			request;
		bool		live;

		CHECK_FOR_INTERRUPTS();
		if (!jit_grant_has_member(roleid, grantee))
			continue;
		/* our own that are left are being changed by somebody else */
		if (jit_parse_grant_name(jit_role_name(roleid), &database, &request) &&
			database == MyDatabaseId &&
			jit_query("SELECT FROM jit.requests WHERE id = $1 AND status = 'active'",
					  "i", request) > 0)
			continue;

		live = jit_role_deadline(roleid) > jit_now();
		if (!expire_now(roleid))
		{
			if (live && SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(roleid)))
				ereport(WARNING,
						(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						 errmsg("role %s was not ended: another transaction is changing it",
								quote_identifier(jit_role_name(roleid))),
						 errhint("Find it in pg_locks, end it with pg_terminate_backend(), and run this again.")));
			continue;
		}
		if (live)
		{
			appendStringInfo(&roles, "%s%s", n > 0 ? ", " : "", jit_role_name(roleid));
			n++;
		}
	}
	if (n > 0)
		jit_end_event("revoked", 0, DT_NOEND, jit_detail("roles", roles.data, "reason", reason, NULL),
					  psprintf("%d in other databases than %s revoked by %s", n,
							   quote_identifier(jit_database_name()),
							   quote_identifier(jit_role_name(person.role))));
	jit_wake_launcher_at_commit();
	return n;
}

typedef struct ClearCall
{
	Oid			roleid;
	const char *name;
	bool		drop;
	bool		unknown;
	int			elevel;
	bool		left;			/* result: it wants another try */
} ClearCall;

static void
try_to_clear(void *arg)
{
	ClearCall  *call = arg;
	bool		locked = false;
	int			n;

	if (!lock_role(call->roleid, ExclusiveLock))
	{
		call->left = SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(call->roleid));
		return;
	}
	n = remove_members(call->roleid, false, &locked);
	if (n > 0)
		ereport(LOG,
				(errmsg_plural("jit_access: %d membership in role %s, whose time is over, was removed",
							   "jit_access: %d memberships in role %s, whose time is over, were removed",
							   n, n, quote_identifier(call->name))));
	if (call->unknown)
		ereport(call->elevel,
				(errmsg("jit_access: role %s, whose time is over, is not dropped",
						quote_identifier(call->name)),
				 errdetail("No ledger says that jit_access made it."),
				 errhint("If nobody needs it, use DROP ROLE %s.",
						 quote_identifier(call->name))));
	call->left = locked;
	if (call->drop && !call->left && !jit_role_owns_something(call->roleid))
	{
		call->left = !lock_role_and_row(call->roleid, AccessExclusiveLock);
		if (!call->left)
			drop_role(call->roleid, call->elevel);
	}
}

/*
 * Clear one past role: its members go, and with "drop" the role, too.  In a
 * subtransaction, so that it holds up no other.  "unknown" says that our
 * ledger should know the role, and doesn't, or isn't there any more.  False if
 * it wants another try.
 */
static bool
clear_past_role(Oid roleid, bool drop, bool unknown, int elevel)
{
	ClearCall	call = {roleid, jit_role_name(roleid), drop, unknown, elevel, true};
	ErrorData  *error = jit_try(try_to_clear, &call);

	if (error != NULL)
		ereport(elevel,
				(errmsg("jit_access: members of role %s could not be removed: %s",
						quote_identifier(call.name), error->message),
				 errdetail("Its time is over, so it gives them nothing.")));
	return error == NULL && !call.left;
}

/*
 * Past roles keep their members because another transaction has them locked:
 * whoever may revoke can leave that open, and what no hook denies would go on
 * by these memberships.  So whoever is idle in such a transaction is
 * terminated, and who has it busy for too long; but no administrator, who has
 * nothing to gain from it, and may be in the middle of ending much else.
 * Inside an owner section.
 *
 * One query for all of them: the state of sessions is that of its first use
 * in a transaction.  Who doesn't tell theirs counts as idle.
 */
static void
terminate_holders(List *roles)
{
	Datum	   *roleids = palloc(list_length(roles) * sizeof(Datum));
	ArrayType  *array;
	Datum	   *xids;
	List	   *pids = NIL;
	ListCell   *lc;
	int			nxids;
	int			n;
	bool		isnull;

	foreach(lc, roles)
		roleids[foreach_current_index(lc)] = ObjectIdGetDatum(lfirst_oid(lc));
	array = construct_array(roleids, list_length(roles), OIDOID, sizeof(Oid),
							true, TYPALIGN_INT);

	/* whose xmax that is: only of whole transactions has pg_locks an entry */
	nxids = jit_query("SELECT DISTINCT xmax FROM pg_auth_members WHERE roleid = ANY ($1)",
					  "O", PointerGetDatum(array));
	xids = palloc(nxids * sizeof(Datum));
	n = 0;
	for (int i = 1; i <= nxids; i++)
	{
		TransactionId xid = DatumGetTransactionId(jit_result(i, 1, &isnull));

		if (TransactionIdIsInProgress(xid) &&
			!TransactionIdPrecedes(xid, TransactionXmin))
			xids[n++] = TransactionIdGetDatum(SubTransGetTopmostTransaction(xid));
	}
	nxids = n;

	n = jit_query("SELECT a.pid, a.usesysid FROM pg_stat_activity a"
				  " WHERE a.pid <> pg_backend_pid() AND a.usesysid IS NOT NULL"
				  "  AND (a.state LIKE 'idle in transaction%' OR a.xact_start IS NULL"
				  "   OR a.xact_start < clock_timestamp() - interval '" LONGEST_HOLD "')"
				  "  AND a.pid IN (SELECT l.pid FROM pg_locks l WHERE l.granted"
	/* the role, or the row of a member */
				  "   AND (l.locktype = 'object' AND l.classid = 'pg_authid'::regclass"
				  "     AND l.objid = ANY ($1) AND l.mode <> 'AccessShareLock'"
				  "    OR l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock'"
				  "     AND l.transactionid = ANY ($2)"
				  "     AND l.pid IN (SELECT r.pid FROM pg_locks r WHERE r.locktype = 'relation'"
				  "      AND r.relation = 'pg_auth_members'::regclass AND r.mode <> 'AccessShareLock')))",
				  "OX", PointerGetDatum(array),
				  PointerGetDatum(construct_array(xids, nxids, XIDOID, sizeof(TransactionId), true, TYPALIGN_INT)));
	for (int i = 1; i <= n; i++)
	{
		if (!jit_is_administrator(jit_result_oid(i, 2)))
			pids = lappend_int(pids, jit_result_int(i, 1));
	}
	foreach(lc, pids)
	{
		ereport(LOG,
				(errmsg("jit_access: terminating process %d: its open transaction holds up the end of temporary access",
						lfirst_int(lc))));
		jit_query("SELECT pg_terminate_backend($1)",
				  "i", lfirst_int(lc));
	}
}

/* Could the role be one that we made, as far as its attributes go? */
static bool
has_no_attributes(Oid roleid)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(roleid));
	Form_pg_authid form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_authid) GETSTRUCT(tuple);
	result = !form->rolcanlogin && !form->rolsuper && !form->rolcreaterole &&
		!form->rolcreatedb && !form->rolreplication && !form->rolbypassrls;
	ReleaseSysCache(tuple);
	return result;
}

/*
 * Past grant roles that no ledger is going to settle.  For the sweeper,
 * inside an owner section, after this database's ledger.
 *
 * Those that bear this database's OID lose their members.  With "ledger", one
 * that the ledger knows as ended is dropped as well (that failed before); one
 * that it doesn't know isn't, nor is any if the extension is gone without our
 * knowing: names aren't proof.  Of the others, those of
 * databases that are gone are dropped, and those of any other database lose
 * their members.
 *
 * What hinders it for roles whose deadline isn't later than "logged" has been
 * logged before.  Returns the latest deadline of those that want another try,
 * because somebody has them locked (with "terminate" not for much longer), or
 * DT_NOBEGIN.
 */
TimestampTz
jit_clear_past_roles(JitWhoseRoles whose, bool ledger, TimestampTz logged,
					 bool terminate)
{
	List	   *left = NIL;
	TimestampTz newest = DT_NOBEGIN;
	ListCell   *lc;

	foreach(lc, grant_roles(true))
	{
		Oid			roleid = lfirst_oid(lc);
		char	   *name = jit_role_name(roleid);
		TimestampTz deadline = jit_role_deadline(roleid);
		int			elevel = deadline > logged ? LOG : DEBUG1;
		Oid			database = InvalidOid;
		Oid			grantee;
		int			request;
		bool		drop = false;
		bool		unknown = false;

		CHECK_FOR_INTERRUPTS();
		if ((jit_parse_grant_name(name, &database, &request) ||
			 jit_parse_query_name(name, &database, &request, &grantee)) &&
			database == MyDatabaseId)
		{

			if (whose == JIT_ROLES_OF_OTHERS)
				continue;
			if (ledger &&
				jit_query("SELECT g.ended_at IS NOT NULL FROM jit.grants g JOIN jit.requests r ON r.id = g.request_id"
						  " WHERE g.request_id = $1 AND (g.role = $2 AND g.role_oid = $3 OR g.query_oid = $3) AND r.origin = $4",
						  "itot", request, name, roleid, jit_origin()) > 0)
				drop = jit_result_bool(1, 1);
			else
				unknown = ledger || !jit_extension_installed();
		}
		else if (whose == JIT_OWN_ROLES)
			continue;
		else if (OidIsValid(database))
			drop = !SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database)) &&
				has_no_attributes(roleid);
		if (clear_past_role(roleid, drop, unknown, elevel))
			continue;
		left = lappend_oid(left, roleid);
		/* it may have been dropped */
		newest = Max(newest, Max(deadline, DT_NOBEGIN + 1));
	}
	if (terminate && left != NIL)
		terminate_holders(left);
	return newest;
}

/* ----------------------------------------------------------------------
 * DROP EXTENSION
 * ----------------------------------------------------------------------
 */

/*
 * Wait for whoever has a role locked, as DROP ROLE does, but not for ever:
 * everybody who wants something of us waits for us.  Those that we have waited
 * for already may only have kept it for another moment.
 */
static void
lock_role_to_drop(Oid roleid)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, AuthIdRelationId, roleid, 0);
	if (!jit_wait_for_lock(&tag, AccessExclusiveLock, JIT_LONGEST_WAIT))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("role %s cannot be dropped: another transaction has it locked",
						quote_identifier(jit_role_name(roleid))),
				 errhint("pg_locks shows which one; try again when it has ended.")));
}

/*
 * Before DROP EXTENSION jit_access: end what this database has granted, and
 * drop its scope roles.  It is all undone if the statement fails.
 */
void
jit_before_drop(const DropStmt *stmt)
{
	JitOwnerSection section;
	ListCell   *lc;
	bool		ours = false;
	int			n;
	List	   *requests = NIL;
	List	   *scopes;

	if (stmt->removeType != OBJECT_EXTENSION || !superuser() ||
		!jit_extension_installed())
		return;
	foreach(lc, stmt->objects)
		ours |= strcmp(strVal(lfirst(lc)), JIT_EXTENSION) == 0;
	if (!ours)
		return;

	jit_enter_owner_section(&section);
	/* an approval under way is waited for, and ended as well */
	jit_query("LOCK TABLE jit.requests IN ACCESS EXCLUSIVE MODE", "");
	jit_set_locally("lock_timeout", JIT_LONGEST_WAIT_TEXT);
	n = jit_query("SELECT g.request_id, g.role, g.role_oid, g.grantee, g.expires_at,"
				  " starts_with(r.origin, $1), r.origin"
				  " FROM jit.grants g JOIN jit.requests r ON r.id = g.request_id"
				  " WHERE r.status = 'active'",
				  "t", jit_cluster_origin());
	for (int i = 1; i <= n; i++)
	{
		JitGrant   *grant = palloc0(sizeof(JitGrant));

		if (jit_is_copy(jit_result_text(i, 7)))
			continue;
		grant->request = jit_result_int(i, 1);
		grant->role = jit_result_text(i, 2);
		grant->role_oid = jit_result_oid(i, 3);
		grant->grantee = jit_result_text(i, 4);
		grant->expires_at = jit_result_time(i, 5);
		grant->cluster = jit_result_bool(i, 6);
		requests = lappend(requests, grant);
	}
	foreach(lc, requests)
	{
		JitGrant   *grant = lfirst(lc);
		Oid			roleid = jit_find_grant_role(grant);

		if (OidIsValid(roleid))
			lock_role_to_drop(roleid);
		(void) jit_end_grant(grant);
		jit_finish_request(grant->request, JIT_REVOKED, jit_now(),
						   psprintf("request %d in %s revoked by DROP EXTENSION",
									grant->request, quote_identifier(jit_database_name())),
						   NULL);
	}

	drop_ended_roles(jit_take_commit_notes(JIT_COMMIT_DROP));

	scopes = jit_scopes_here();
	foreach(lc, scopes)
		lock_role_to_drop(lfirst_oid(lc));
	jit_remove_scopes(scopes, WARNING);
	jit_leave_owner_section(&section);
}

/*
 * An object is dropped: its scopes go, too.  If it is the extension, some other
 * way than by DROP EXTENSION (DROP OWNED, say), what it granted must have ended
 * before.
 */
void
jit_object_dropped(Oid classid, Oid objid)
{
	char	   *name;
	ListCell   *lc;

	jit_note_scopes_of_dropped(classid, objid);
	if (classid != ExtensionRelationId)
		return;
	name = get_extension_name(objid);
	if (name == NULL || strcmp(name, JIT_EXTENSION) != 0)
		return;
	foreach(lc, grant_roles(false))
	{
		Oid			database;
		int			request;

		if (jit_parse_grant_name(jit_role_name(lfirst_oid(lc)), &database, &request) &&
			database == MyDatabaseId && jit_role_deadline(lfirst_oid(lc)) > jit_now())
			ereport(ERROR,
					!jit_grant_has_member(lfirst_oid(lc), InvalidOid) ?
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("role %s cannot be dropped: another transaction is changing it",
							quote_identifier(jit_role_name(lfirst_oid(lc)))),
					 errhint("Try again when that has ended.")) :
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("extension jit_access cannot be dropped like this while access that it granted is active"),
					 errhint("Use DROP EXTENSION jit_access, which ends it first.")));
	}
}
