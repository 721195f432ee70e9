/*-------------------------------------------------------------------------
 *
 * judge.c
 *		What somebody has now, and what of it has ended.
 *
 * A user whose membership closure has no grant or scope role in it, which is
 * nearly everybody nearly always, costs a few instructions (see jit_quiet_user);
 * for the others the closure's earliest deadline is remembered until a role
 * or membership changes.  While that deadline is ahead, PostgreSQL's answer
 * stands.  Once it is past, every permission is judged again with the closure
 * as it would be without what has ended, so standing privileges go on working
 * until the sweeper has removed the roles and nothing is left to judge.
 *
 * SET ROLE is a state, not a command: set_config('role') and SET clauses of
 * functions pass no hook.  The state is looked at when a statement starts,
 * and after a utility statement has run:
 *
 * 	not active			the effective role is the session user's
 * 	standing			reachable without grant roles when first seen; left
 * 						alone from then on, as PostgreSQL does
 * 	temporary			otherwise; every statement needs a live membership
 *
 * A role change that was never seen with a membership behind it is temporary
 * and has ended: denied until RESET ROLE.  Parallel workers start without
 * that knowledge and judge for themselves.
 *
 * All state is the backend's own and holds no locks; abort and crash leave
 * nothing to undo.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/text.h"
#include "enforce/hint.h"
#include "enforce/judge.h"

#include "utils/inval.h"
#include "utils/plancache.h"

static needs_fmgr_hook_type next_needs_fmgr_hook;

JitUserMemo jit_user_memos[JIT_N_MEMOS];

/* Has any user of this backend been found to have temporary access? */
bool		jit_temporary_seen = false;

/* Is a schema in the search path by temporary access? */
static bool path_may_end = false;

/* The next deadline of all that was found; then cached plans must go. */
static TimestampTz plans_end = DT_NOEND;

/* What is known of the SET ROLE in force. */
Oid			jit_set_role_session = InvalidOid;
Oid			jit_set_role_outer = InvalidOid;
static bool set_role_standing;
static uint64 set_role_generation;	/* last found live as of this */

/* ----------------------------------------------------------------------
 * Who has what until when
 * ----------------------------------------------------------------------
 */

static void install_for_temporary(void);

static TimestampTz
compute_user_deadline(Oid userid)
{
	TimestampTz deadline = DT_NOEND;
	TimestampTz end;
	List	   *all;
	List	   *live;
	ListCell   *lc;

	if (jit_acting_role_kind(userid) != JIT_ROLE_ORDINARY)
		return DT_NOBEGIN;
	/* needs no access; sweepers are, and change roles all the time */
	if (superuser_arg(userid))
		return DT_NOEND;

	all = jit_role_closure(userid, JIT_CLOSURE_MEMBERS, JIT_FILTER_NONE, 0);
	live = NIL;
	foreach(lc, all)
	{
		Oid			role = lfirst_oid(lc);

		switch (jit_acting_role_kind(role))
		{
			case JIT_ROLE_ORDINARY:
				break;
			case JIT_ROLE_QUERY:
				deadline = DT_NOBEGIN;
				break;
			case JIT_ROLE_GRANT:
				end = jit_role_deadline(role);
				deadline = Min(deadline, end);
				if (end > jit_now())
					plans_end = Min(plans_end, end);
				break;
			case JIT_ROLE_SCOPE:
				/* all right as long as it is reached through a grant role */
				if (live == NIL)
					live = jit_role_closure(userid, JIT_CLOSURE_MEMBERS,
											JIT_FILTER_LIVE, DT_NOBEGIN);
				if (!list_member_oid(live, role))
					deadline = DT_NOBEGIN;
				break;
		}
	}
	list_free(all);
	list_free(live);
	if (deadline != DT_NOEND)
	{
		jit_temporary_seen = true;
		install_for_temporary();
		jit_quiet_user = InvalidOid;
	}
	return deadline;
}

/* Put it into the user's memo. */
pg_noinline TimestampTz
jit_find_user_deadline(Oid userid)
{
	JitUserMemo *memo = &jit_user_memos[userid % JIT_N_MEMOS];
	uint64		generation;
	TimestampTz deadline;
	int			tries = 0;

	/*
	 * An invalidation may arrive while we look: then look again.  Where every
	 * look brings one (debug_discard_caches), don't remember the answer.
	 */
	memo->userid = InvalidOid;
	do
	{
		generation = jit_roles_generation;
		deadline = compute_user_deadline(userid);
	} while (generation != jit_roles_generation && ++tries < 10);
	memo->userid = userid;
	memo->generation = generation;
	memo->deadline = deadline;
	return deadline;
}

/* Privilege closure without what has ended; NIL for a role of ours. */
List *
jit_live_closure(Oid userid)
{
	if (jit_acting_role_kind(userid) != JIT_ROLE_ORDINARY)
		return NIL;
	return jit_role_closure(userid, JIT_CLOSURE_PRIVS, JIT_FILTER_LIVE,
							jit_now());
}

/* Privilege closure as PostgreSQL sees it. */
List *
jit_whole_closure(Oid userid)
{
	return jit_role_closure(userid, JIT_CLOSURE_PRIVS, JIT_FILTER_NONE, 0);
}

/* Does a closure give what is wanted?  NULL: nobody knows what it was. */
bool
jit_gives(List *closure, const JitWanted *wanted)
{
	if (closure == NIL || wanted == NULL)
		return false;
	if (OidIsValid(wanted->role))
		return jit_permitted(NULL, AuthIdRelationId, wanted->role, 0, closure);
	return jit_permitted(wanted->info, wanted->classid, wanted->objid,
						 wanted->mode, closure);
}

/*
 * Would a grant role that has ended give the user what is wanted, together
 * with what the user has?  (What a statement changes by temporary access, it
 * may read by standing privileges.)
 */
static bool
would_give(Oid userid, Oid role, const JitWanted *wanted)
{
	JitClosureKind kind = OidIsValid(wanted->role) ? JIT_CLOSURE_MEMBERS :
	JIT_CLOSURE_PRIVS;

	return jit_gives(list_concat_copy(jit_live_closure(userid),
									  jit_role_closure(role, kind,
													   JIT_FILTER_NONE, 0)),
					 wanted);
}

/*
 * DETAIL of a denial: which request, that would have given what is wanted,
 * ended when; the last that ended, if several would have.  NULL: the user
 * doesn't even seem to have it.
 */
static char *
what_ended(Oid userid, const JitWanted *wanted)
{
	TimestampTz now = jit_now();
	TimestampTz best = DT_NOBEGIN;
	Oid			best_role = InvalidOid;
	int			ended = 0;
	Oid			database;
	int			request;
	ListCell   *lc;

	if (jit_acting_role_kind(userid) != JIT_ROLE_ORDINARY)
		return psprintf(_("Role %s is internal to jit_access and has no access by itself."),
						quote_identifier(jit_role_name(userid)));
	/* the ledger may know of what is gone, or of nothing at all */
	if (wanted != NULL && wanted->info != NULL &&
		!jit_gives(jit_whole_closure(userid), wanted))
		return NULL;

	foreach(lc, jit_role_closure(userid, JIT_CLOSURE_MEMBERS, JIT_FILTER_NONE, now))
	{
		Oid			role = lfirst_oid(lc);
		TimestampTz deadline;

		if (jit_role_kind_by_oid(role) != JIT_ROLE_GRANT)
			continue;
		deadline = jit_role_deadline(role);
		if (deadline > now)
			continue;
		ended++;
		if (wanted != NULL && !would_give(userid, role, wanted))
			continue;
		if (!OidIsValid(best_role) || deadline > best)
		{
			best = deadline;
			best_role = role;
		}
	}
	/* none by itself, or no one knows which */
	if (!OidIsValid(best_role) || (wanted == NULL && ended > 1))
		return pstrdup(_("The temporary access that it relied on has ended."));
	if (!jit_parse_grant_name(jit_role_name(best_role), &database, &request))
		return psprintf(_("Role %s is not a live grant of jit_access."),
						quote_identifier(jit_role_name(best_role)));
	if (TIMESTAMP_NOT_FINITE(best))
		return psprintf(_("Role %s has no deadline, so it gives nothing."),
						quote_identifier(jit_role_name(best_role)));
	return psprintf(_("Request %d in %s expired at %s."), request,
					quote_identifier(jit_name_of_database(database)),
					jit_timestamp_text(best));
}

/* aclcheck_error()'s sentence for a kind of object, which the server translates. */
static const char *
denial_message(const char *kind)
{
	static const char *const messages[] = {
		gettext_noop("permission denied for table %s"),
		gettext_noop("permission denied for view %s"),
		gettext_noop("permission denied for materialized view %s"),
		gettext_noop("permission denied for foreign table %s"),
		gettext_noop("permission denied for sequence %s"),
		gettext_noop("permission denied for index %s"),
		gettext_noop("permission denied for schema %s"),
		gettext_noop("permission denied for database %s"),
		gettext_noop("permission denied for function %s"),
		gettext_noop("permission denied for type %s"),
		gettext_noop("permission denied for language %s"),
		gettext_noop("permission denied for parameter %s"),
		gettext_noop("permission denied for role %s")
	};
	const char *wanted = psprintf("permission denied for %s %%s", kind);

	for (size_t i = 0; i < lengthof(messages); i++)
	{
		if (strcmp(messages[i], wanted) == 0)
			return messages[i];
	}
	return NULL;
}

void
jit_deny(const char *kind, const char *name, Oid userid, const JitWanted *wanted)
{
	char	   *detail = what_ended(userid, wanted);

	/* the hint callback leaves a detail alone */
	jit_denial_explained = detail != NULL;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 denial_message(kind) ?
			 errmsg(denial_message(kind), name ? name : "?") :
			 errmsg("permission denied for %s %s", kind, name ? name : "?"),
			 detail ? errdetail_internal("%s", detail) : 0));
}

/* The kind of a relation, in the words of aclcheck_error(). */
const char *
jit_relation_kind(Oid relid)
{
	switch (get_rel_relkind(relid))
	{
		case RELKIND_VIEW:
			return "view";
		case RELKIND_MATVIEW:
			return "materialized view";
		case RELKIND_SEQUENCE:
			return "sequence";
		case RELKIND_FOREIGN_TABLE:
			return "foreign table";
		case RELKIND_INDEX:
		case RELKIND_PARTITIONED_INDEX:
			return "index";
		default:
			return "table";
	}
}

/* ----------------------------------------------------------------------
 * The search path, and what was kept
 * ----------------------------------------------------------------------
 */

/*
 * Have the search path computed anew when it is next used.  The object access
 * hook is asked for its schemas only then, and a statement's names are looked
 * up before any other hook is called: so it is done ahead, as long as
 * something in it may end.
 */
void
jit_forget_search_path(void)
{
	if (likely(!path_may_end))
		return;
	path_may_end = false;
	assign_search_path(NULL, NULL);
}

static void
forget_at_end(XactEvent event, void *arg)
{
	jit_forget_search_path();
}

/* A schema is taken into the search path. */
void
jit_note_path(Oid nspid)
{
	Oid			userid = GetUserId();
	List	   *standing;

	if (path_may_end || jit_user_deadline(userid) == DT_NOEND || superuser_arg(userid))
		return;
	standing = jit_role_closure(userid, JIT_CLOSURE_PRIVS, JIT_FILTER_STANDING, 0);
	path_may_end = jit_object_aclmask(NamespaceRelationId, nspid, 0, standing,
									  ACL_USAGE) == 0;
	/* from 17 on this is the memory of all search paths */
	list_free(standing);
}

/*
 * Has the deadline of something that was found passed?  Says so once, and what
 * comes after it will be found again.
 */
bool
jit_deadline_has_passed(void)
{
	if (likely(plans_end == DT_NOEND) || plans_end > jit_now())
		return false;
	plans_end = DT_NOEND;
	memset(jit_user_memos, 0, sizeof(jit_user_memos));
	assign_search_path(NULL, NULL);
	return true;
}

/*
 * Plans that depend on who has which role aren't invalidated when a
 * membership goes; those made while there was temporary access must be.
 */
static void
forget_plans(Datum arg, int cacheid, uint32 hashvalue)
{
	if (jit_temporary_seen)
		ResetPlanCache();
}

/* ----------------------------------------------------------------------
 * SET ROLE
 * ----------------------------------------------------------------------
 */

/*
 * Note a SET ROLE that wasn't in force when last looked at, or that none is:
 * the same one again, after a RESET ROLE, is another.
 */
void
jit_note_set_role(void)
{
	Oid			outer = GetOuterUserId();
	Oid			session = GetSessionUserId();
	List	   *closure;

	if (likely(outer == session))
	{
		jit_set_role_outer = InvalidOid;
		return;
	}
	if ((outer == jit_set_role_outer && session == jit_set_role_session) ||
		!IsTransactionState())
		return;
	closure = jit_role_closure(session, JIT_CLOSURE_SET, JIT_FILTER_STANDING, 0);
	set_role_standing = list_member_oid(closure, outer);
	list_free(closure);
	set_role_generation = 0;
	jit_set_role_session = session;
	jit_set_role_outer = outer;
	if (!set_role_standing)
		jit_temporary_seen = true;
	jit_quiet_user = InvalidOid;
}

/*
 * Is a SET ROLE in force that only temporary access allows?  As of the last
 * jit_note_set_role().
 */
bool
jit_set_role_is_temporary(void)
{
	return unlikely(OidIsValid(jit_set_role_outer)) && !set_role_standing &&
		!GetSessionUserIsSuperuser();
}

/* Is the SET ROLE in force, which is temporary, still backed? */
static bool
set_role_is_live(void)
{
	uint64		generation = jit_roles_generation;
	List	   *closure;
	bool		live;

	/* nothing has changed, and no deadline of the session user's is past */
	if (likely(set_role_generation == generation &&
			   jit_user_deadline(jit_set_role_session) > jit_now()))
		return true;
	closure = jit_role_closure(jit_set_role_session, JIT_CLOSURE_SET,
							   JIT_FILTER_LIVE, jit_now());
	live = list_member_oid(closure, jit_set_role_outer);
	list_free(closure);
	set_role_generation = live ? generation : 0;
	return live;
}

/*
 * Raise if the current role is one of ours, or the SET ROLE in force has
 * outlived the access behind it.  "setting": by the statement that has just
 * set it, and which an error undoes.
 */
void
jit_judge_roles(bool setting)
{
	Oid			userid = GetUserId();
	Oid			outer = GetOuterUserId();
	JitWanted	wanted = {.role = outer};
	char	   *detail;

	if (unlikely(!IsTransactionState()))
		return;
	if (unlikely(jit_user_deadline(userid) == DT_NOBEGIN) &&
		jit_acting_role_kind(userid) != JIT_ROLE_ORDINARY)
		jit_deny("role", quote_identifier(jit_role_name(userid)), userid, &wanted);
	if (likely(outer == GetSessionUserId()))
	{
		jit_set_role_outer = InvalidOid;
		if (userid == outer && !jit_temporary_seen)
		{
			uint64		generation = jit_roles_generation;
			bool		is_quiet = jit_user_deadline(userid) == DT_NOEND;

			jit_quiet_user = is_quiet && generation == jit_roles_generation ?
				userid : InvalidOid;
		}
		return;
	}
	if (jit_role_kind_by_oid(outer) != JIT_ROLE_ORDINARY)
		jit_deny("role", quote_identifier(jit_role_name(outer)), outer, &wanted);
	if (GetSessionUserIsSuperuser())
		return;
	jit_note_set_role();
	if (set_role_standing || set_role_is_live())
		return;

	detail = what_ended(jit_set_role_session, &wanted);
	jit_denial_explained = true;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for role %s",
					quote_identifier(jit_role_name(outer))),
			 errdetail("The membership that allowed SET ROLE has ended. %s",
					   detail),
			 setting ? 0 :
			 errhint("Use RESET ROLE to go on as %s.",
					 quote_identifier(jit_role_name(jit_set_role_session)))));
}

void
jit_check_roles(void)
{
	jit_judge_roles(false);
}

/* ----------------------------------------------------------------------
 * Functions
 * ----------------------------------------------------------------------
 */

/* Functions that anybody may run, as far as looked at and still so. */
static Oid	public_functions[16];

static void
forget_functions(Datum arg, int cacheid, uint32 hashvalue)
{
	memset(public_functions, 0, sizeof(public_functions));
}

/* Has the function the default privileges, so that anybody may run it? */
bool
jit_is_public_function(Oid objid)
{
	Oid		   *known = &public_functions[objid % lengthof(public_functions)];
	HeapTuple	tuple;
	bool		result;

	if (*known == objid)
		return true;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(objid));
	if (!HeapTupleIsValid(tuple))
		return false;
	result = heap_attisnull(tuple, Anum_pg_proc_proacl, NULL);
	ReleaseSysCache(tuple);
	if (result)
		*known = objid;
	return result;
}

/* May the user execute the function for a time only, or not at all? */
bool
jit_is_temporary_function(Oid userid, Oid funcid)
{
	List	   *standing;

	if (jit_user_deadline(userid) == DT_NOEND || jit_is_public_function(funcid))
		return false;
	standing = jit_role_closure(userid, JIT_CLOSURE_PRIVS,
								JIT_FILTER_STANDING, 0);
	return jit_object_aclmask(ProcedureRelationId, funcid, 0, standing,
							  ACL_EXECUTE) == 0;
}

/*
 * The planner inlines no function that this says yes to.  Were it inlined,
 * nobody would ask for it when the plan, or an expression that isn't even run
 * as a query, is used again.
 */
static bool
jit_needs_fmgr(Oid funcid)
{
	if (next_needs_fmgr_hook && next_needs_fmgr_hook(funcid))
		return true;
	return !jit_quiet() && jit_is_temporary_function(GetUserId(), funcid);
}

/* For the first user of this backend that has temporary access. */
static void
install_for_temporary(void)
{
	static bool installed = false;

	if (installed)
		return;
	installed = true;
	next_needs_fmgr_hook = needs_fmgr_hook;
	needs_fmgr_hook = jit_needs_fmgr;
	RegisterXactCallback(forget_at_end, NULL);
}

/* Called from _PG_init() only. */
void
jit_init_judge(void)
{
	CacheRegisterSyscacheCallback(AUTHMEMMEMROLE, forget_plans, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, forget_functions, (Datum) 0);
}
