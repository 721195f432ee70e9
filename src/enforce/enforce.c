/*-------------------------------------------------------------------------
 *
 * enforce.c
 *		Deadlines, enforced where PostgreSQL has already said yes.
 *
 * Every hook in here runs after PostgreSQL's own check, or before something
 * that PostgreSQL would do, and can only raise.  None of them makes anything
 * possible.
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
 *	not active			the effective role is the session user's
 *	standing			reachable without grant roles when first seen; left
 *						alone from then on, as PostgreSQL does
 *	temporary			otherwise; every statement needs a live membership
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

#include "access/htup_details.h"
#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_database.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_parameter_acl.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/proclang.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rowsecurity.h"
#include "storage/ipc.h"
#include "tcop/pquery.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

static ExecutorCheckPerms_hook_type next_check_perms_hook = NULL;
static ExecutorStart_hook_type next_executor_start_hook;
static ProcessUtility_hook_type next_process_utility_hook = NULL;
static planner_hook_type next_planner_hook;
static get_relation_info_hook_type next_relation_info_hook;
static needs_fmgr_hook_type next_needs_fmgr_hook;
static object_access_hook_type next_object_access_hook = NULL;

/* The earliest deadline in a user's closure, as of a generation. */
typedef struct UserMemo
{
	Oid			userid;
	uint64		generation;
	TimestampTz deadline;
} UserMemo;

#define N_MEMOS 8
static UserMemo memos[N_MEMOS];

/* Has any user of this backend been found to have temporary access? */
static bool temporary_seen = false;

/* Is a schema in the search path by temporary access? */
static bool path_may_end = false;

/* The next deadline of all that was found; then cached plans must go. */
static TimestampTz plans_end = DT_NOEND;

/* What is known of the SET ROLE in force. */
static Oid	set_role_session = InvalidOid;
static Oid	set_role_outer = InvalidOid;
static bool set_role_standing;
static uint64 set_role_generation;	/* last found live as of this */

/* What a denial is about: one of a relation, an object and a role. */
typedef struct Wanted
{
	const JitPermInfo *info;
	Oid			classid;
	Oid			objid;
	AclMode		mode;			/* 0: owning it */
	Oid			role;
} Wanted;

/*
 * Our marks on a plan, among its invalItems.  The plan cache looks for system
 * cache numbers there and so never at these.
 */
#define MARK_USER (-1)			/* the following roles are this user's */
#define MARK_ROLE (-2)
#define MARK_FUNCTION (-3)

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

	if (jit_role_kind_by_oid(userid) != JIT_ROLE_ORDINARY)
		return DT_NOBEGIN;
	/* needs no access; sweepers are, and change roles all the time */
	if (superuser_arg(userid))
		return DT_NOEND;

	all = jit_role_closure(userid, JIT_CLOSURE_MEMBERS, JIT_FILTER_NONE, 0);
	live = NIL;
	foreach(lc, all)
	{
		Oid			role = lfirst_oid(lc);

		switch (jit_role_kind_by_oid(role))
		{
			case JIT_ROLE_ORDINARY:
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
		temporary_seen = true;
		install_for_temporary();
		jit_quiet_user = InvalidOid;
	}
	return deadline;
}

/* Put it into the user's memo. */
static pg_noinline TimestampTz
find_user_deadline(Oid userid)
{
	UserMemo   *memo = &memos[userid % N_MEMOS];
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

/* jit_user_deadline(), which is asked for more than anything else. */
static inline TimestampTz
user_deadline(Oid userid)
{
	UserMemo   *memo = &memos[userid % N_MEMOS];

	if (likely(memo->userid == userid &&
			   memo->generation == jit_roles_generation))
		return memo->deadline;
	return find_user_deadline(userid);
}

/*
 * When some of what the user has may end first: DT_NOEND for a user without
 * temporary access, DT_NOBEGIN where something has ended or must not count.
 */
TimestampTz
jit_user_deadline(Oid userid)
{
	return user_deadline(userid);
}

/*
 * Has something ended that the user, whose deadline that is, still seems to
 * have?  Then PostgreSQL's answers about the user need judging again.
 */
static inline bool
past_for(Oid userid, TimestampTz deadline)
{
	if (likely(deadline == DT_NOEND) || deadline > jit_now())
		return false;
	return jit_role_kind_by_oid(userid) != JIT_ROLE_ORDINARY ||
		!superuser_arg(userid);
}

static inline bool
needs_judging(Oid userid)
{
	return past_for(userid, user_deadline(userid));
}

/* Nothing to do?  See jit_quiet_user. */
static inline bool
quiet(void)
{
	return likely(GetUserId() == jit_quiet_user);
}

bool
jit_access_ended(Oid userid)
{
	return needs_judging(userid);
}

/* Privilege closure without what has ended; NIL for a role of ours. */
static List *
live_closure(Oid userid)
{
	if (jit_role_kind_by_oid(userid) != JIT_ROLE_ORDINARY)
		return NIL;
	return jit_role_closure(userid, JIT_CLOSURE_PRIVS, JIT_FILTER_LIVE,
							jit_now());
}

/* Privilege closure as PostgreSQL sees it. */
static List *
whole_closure(Oid userid)
{
	return jit_role_closure(userid, JIT_CLOSURE_PRIVS, JIT_FILTER_NONE, 0);
}

/* Does a closure give what is wanted?  NULL: nobody knows what it was. */
static bool
gives(List *closure, const Wanted *wanted)
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
would_give(Oid userid, Oid role, const Wanted *wanted)
{
	JitClosureKind kind = OidIsValid(wanted->role) ? JIT_CLOSURE_MEMBERS :
	JIT_CLOSURE_PRIVS;

	return gives(list_concat_copy(live_closure(userid),
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
what_ended(Oid userid, const Wanted *wanted)
{
	TimestampTz now = jit_now();
	TimestampTz best = DT_NOBEGIN;
	Oid			best_role = InvalidOid;
	int			ended = 0;
	Oid			database;
	int			request;
	ListCell   *lc;

	if (jit_role_kind_by_oid(userid) != JIT_ROLE_ORDINARY)
		return psprintf(_("Role %s is internal to jit_access and has no access by itself."),
						quote_identifier(jit_role_name(userid)));
	/* the ledger may know of what is gone, or of nothing at all */
	if (wanted != NULL && wanted->info != NULL &&
		!gives(whole_closure(userid), wanted))
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

static void deny(const char *kind, const char *name, Oid userid,
				 const Wanted *wanted) pg_attribute_noreturn();

static void
deny(const char *kind, const char *name, Oid userid, const Wanted *wanted)
{
	char	   *detail = what_ended(userid, wanted);

	/* aclcheck_error()'s words, whose translations the server has */
	char	   *message = psprintf("permission denied for %s %%s", kind);

	/* the hint callback leaves a detail alone */
	jit_denial_explained = detail != NULL;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg(message, name ? name : "?"),
			 detail ? errdetail_internal("%s", detail) : 0));
}

/* The kind of a relation, in the words of aclcheck_error(). */
static const char *
relation_kind(Oid relid)
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

/*
 * Take in what other sessions have committed.  Inside a running DO block
 * nothing else does, as all locks are held already: it would go on with
 * access that was revoked.  Only backends that have met temporary access
 * need it, whoever is the user now: it may be a view's owner that had it, or
 * the session user under SET ROLE.
 */
static inline void
accept_invalidations(void)
{
	if (unlikely(temporary_seen) && IsTransactionState())
	{
		AcceptInvalidationMessages();
		jit_forget_ended_plans();
	}
}

/*
 * Have the search path computed anew when it is next used.  The object access
 * hook is asked for its schemas only then, and a statement's names are looked
 * up before any other hook is called: so it is done ahead, as long as
 * something in it may end.
 */
static void
forget_search_path(XactEvent event, void *arg)
{
	if (likely(!path_may_end))
		return;
	path_may_end = false;
	assign_search_path(NULL, NULL);
}

/* A schema is taken into the search path. */
static void
note_path(Oid nspid)
{
	Oid			userid = GetUserId();
	List	   *standing;

	if (path_may_end || user_deadline(userid) == DT_NOEND || superuser_arg(userid))
		return;
	standing = jit_role_closure(userid, JIT_CLOSURE_PRIVS, JIT_FILTER_STANDING, 0);
	path_may_end = jit_object_aclmask(NamespaceRelationId, nspid, 0, standing,
									  ACL_USAGE) == 0;
	/* from 17 on this is the memory of all search paths */
	list_free(standing);
}

/*
 * PL/pgSQL keeps expressions ready to run for a whole transaction, and asks
 * once for the right to call the functions in them.  When a deadline has
 * passed, or the client's next statement may use what it has kept, have it ask
 * again: it does for a plan that isn't valid any more.
 */
void
jit_forget_ended_plans(void)
{
	bool		kept = jit_functions_kept();

	if (unlikely(plans_end != DT_NOEND) && plans_end <= jit_now())
	{
		/* what comes after it will be found again */
		plans_end = DT_NOEND;
		memset(memos, 0, sizeof(memos));
		assign_search_path(NULL, NULL);
		kept = true;
	}
	if (unlikely(kept))
		ResetPlanCache();
}

/* Deny something because access to it has ended. */
void
jit_deny_ended(Oid userid, const char *kind, const char *name)
{
	deny(kind, name, userid, NULL);
}

/* ----------------------------------------------------------------------
 * SET ROLE
 * ----------------------------------------------------------------------
 */

/*
 * Note a SET ROLE that wasn't in force when last looked at, or that none is:
 * the same one again, after a RESET ROLE, is another.
 */
static void
note_set_role(void)
{
	Oid			outer = GetOuterUserId();
	Oid			session = GetSessionUserId();
	List	   *closure;

	if (likely(outer == session))
	{
		set_role_outer = InvalidOid;
		return;
	}
	if ((outer == set_role_outer && session == set_role_session) ||
		!IsTransactionState())
		return;
	closure = jit_role_closure(session, JIT_CLOSURE_SET, JIT_FILTER_STANDING, 0);
	set_role_standing = list_member_oid(closure, outer);
	list_free(closure);
	set_role_generation = 0;
	set_role_session = session;
	set_role_outer = outer;
	if (!set_role_standing)
		temporary_seen = true;
	jit_quiet_user = InvalidOid;
}

/*
 * Is a SET ROLE in force that only temporary access allows?  As of the last
 * note_set_role().
 */
bool
jit_set_role_is_temporary(void)
{
	return unlikely(OidIsValid(set_role_outer)) && !set_role_standing &&
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
			   user_deadline(set_role_session) > jit_now()))
		return true;
	closure = jit_role_closure(set_role_session, JIT_CLOSURE_SET,
							   JIT_FILTER_LIVE, jit_now());
	live = list_member_oid(closure, set_role_outer);
	list_free(closure);
	set_role_generation = live ? generation : 0;
	return live;
}

/*
 * Raise if the current role is one of ours, or the SET ROLE in force has
 * outlived the access behind it.  "setting": by the statement that has just
 * set it, and which an error undoes.
 */
static void
judge_roles(bool setting)
{
	Oid			userid = GetUserId();
	Oid			outer = GetOuterUserId();
	Wanted		wanted = {.role = outer};
	char	   *detail;

	if (unlikely(!IsTransactionState()))
		return;
	if (unlikely(user_deadline(userid) == DT_NOBEGIN) &&
		jit_role_kind_by_oid(userid) != JIT_ROLE_ORDINARY)
		deny("role", quote_identifier(jit_role_name(userid)), userid, &wanted);
	if (likely(outer == GetSessionUserId()))
	{
		set_role_outer = InvalidOid;
		if (userid == outer && !temporary_seen)
		{
			uint64		generation = jit_roles_generation;
			bool		is_quiet = user_deadline(userid) == DT_NOEND;

			jit_quiet_user = is_quiet && generation == jit_roles_generation ?
				userid : InvalidOid;
		}
		return;
	}
	if (jit_role_kind_by_oid(outer) != JIT_ROLE_ORDINARY)
		deny("role", quote_identifier(jit_role_name(outer)), outer, &wanted);
	if (GetSessionUserIsSuperuser())
		return;
	note_set_role();
	if (set_role_standing || set_role_is_live())
		return;

	detail = what_ended(set_role_session, &wanted);
	jit_denial_explained = true;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for role %s",
					quote_identifier(jit_role_name(outer))),
			 errdetail("The membership that allowed SET ROLE has ended. %s",
					   detail),
			 setting ? 0 :
			 errhint("Use RESET ROLE to go on as %s.",
					 quote_identifier(jit_role_name(set_role_session)))));
}

static void
check_roles(void)
{
	judge_roles(false);
}

/* ----------------------------------------------------------------------
 * Relations
 * ----------------------------------------------------------------------
 */

/*
 * Who runs the utility statement at hand, having temporary access, and the
 * roles that counted when it began.  PostgreSQL checks its privileges, and
 * may wait for a lock before what was checked is done: until then a sweeper
 * or a revocation may have taken away all that could be judged.
 */
static Oid	command_user = InvalidOid;
static List *command_closure = NIL;

/*
 * Judge what a list of permission entries asks for.  Returns false, or
 * raises, at the first that relies on what has ended.  "running": note what
 * relies on what hasn't.  That comes first: what ends in between is denied,
 * what ends later is noted and cut off.  "frame" is that of the query, if
 * temporary access had been seen when it began: when roles have changed since,
 * what PostgreSQL has said may be about what is gone.
 */
static bool
check_perminfos(List *perminfos, bool ereport_on_violation, bool running,
				const JitStatementFrame *frame)
{
	ListCell   *lc;

	foreach(lc, perminfos)
	{
		JitPermInfo *info = lfirst(lc);
		Wanted		wanted = {.info = info};
		Oid			userid;
		TimestampTz deadline;

		if (!JIT_PERMINFO_IS_RELATION(info) || info->requiredPerms == 0)
			continue;
		userid = OidIsValid(info->checkAsUser) ? info->checkAsUser : GetUserId();
		deadline = user_deadline(userid);
		if (likely(deadline == DT_NOEND) && userid != command_user &&
			(frame == NULL || frame->generation == jit_roles_generation))
			continue;
		if (running && !superuser_arg(userid))
		{
			jit_note_reliance(userid, info, InvalidOid, InvalidOid, 0, false);
			/* all that the user had may have been taken away */
			deadline = user_deadline(userid);
			if (deadline == DT_NOEND)
				deadline = DT_NOBEGIN;
		}
		if (!past_for(userid, deadline) || gives(live_closure(userid), &wanted))
			continue;
		if (!ereport_on_violation)
			return false;
		deny(relation_kind(info->relid), get_rel_name(info->relid), userid,
			 &wanted);
	}
	return true;
}

static pg_noinline bool
check_relations(List *perminfos, bool ereport_on_violation)
{
	JitStatementFrame *frame = jit_checked_frame();
	bool		writes = false;
	ListCell   *lc;

	/* begin_start() has done it if temporary access had been seen by then */
	if (frame == NULL)
	{
		note_set_role();
		if (jit_set_role_is_temporary())
		{
			foreach(lc, perminfos)
				writes |= (((JitPermInfo *) lfirst(lc))->requiredPerms & ~ACL_SELECT) != 0;
			jit_note_reliance(set_role_session, NULL, AuthIdRelationId,
							  set_role_outer, JIT_SET_ROLE, writes);
		}
		check_roles();
	}
	return check_perminfos(perminfos, ereport_on_violation, true, frame);
}

static bool
jit_check_perms(JIT_CHECK_PERMS_ARGS)
{
	ListCell   *lc;

	if (unlikely(next_check_perms_hook != NULL) &&
		!next_check_perms_hook(JIT_CHECK_PERMS_PASS))
		return false;
	if (!quiet())
		return check_relations(JIT_CHECK_PERMS_INFOS, ereport_on_violation);
	foreach(lc, JIT_CHECK_PERMS_INFOS)
	{
		if (unlikely(OidIsValid(((JitPermInfo *) lfirst(lc))->checkAsUser)))
			return check_relations(JIT_CHECK_PERMS_INFOS, ereport_on_violation);
	}
	return true;
}

/*
 * Is a row-level security policy of the relation, or its owner's passing all
 * of them, the role's?
 */
static bool
policies_name(Relation rel, Oid role)
{
	ListCell   *lc;

	if (!rel->rd_rel->relrowsecurity)
		return false;
	if (rel->rd_rel->relowner == role)
		return true;
	if (rel->rd_rsdesc == NULL)
		return false;
	foreach(lc, rel->rd_rsdesc->policies)
	{
		RowSecurityPolicy *policy = lfirst(lc);
		Oid		   *roles = (Oid *) ARR_DATA_PTR(policy->roles);

		for (int i = 0; i < ARR_DIMS(policy->roles)[0]; i++)
		{
			if (roles[i] == role)
				return true;
		}
	}
	return false;
}

/*
 * Note in a plan which roles that its users have for a time only decided
 * which row-level security policies are in it.  PostgreSQL chooses them when
 * it rewrites the query, by the whole closure, and neither looks again when
 * a cached plan is run nor while a plan is in use.
 */
static void
mark_policies(PlannedStmt *plan)
{
	ListCell   *lc;

	foreach(lc, JIT_PLAN_PERMINFOS(plan))
	{
		JitPermInfo *info = lfirst(lc);
		Oid			userid;
		Relation	rel;
		List	   *standing;
		PlanInvalItem *item;
		bool		named = false;
		ListCell   *lr;

		if (!JIT_PERMINFO_IS_RELATION(info) || info->requiredPerms == 0)
			continue;
		userid = OidIsValid(info->checkAsUser) ? info->checkAsUser : GetUserId();
		if (user_deadline(userid) == DT_NOEND)
			continue;
		standing = jit_role_closure(userid, JIT_CLOSURE_PRIVS,
									JIT_FILTER_STANDING, 0);
		rel = relation_open(info->relid, AccessShareLock);
		foreach(lr, whole_closure(userid))
		{
			if (list_member_oid(standing, lfirst_oid(lr)) ||
				!policies_name(rel, lfirst_oid(lr)))
				continue;
			if (!named)
			{
				item = makeNode(PlanInvalItem);
				item->cacheId = MARK_USER;
				item->hashValue = userid;
				plan->invalItems = lappend(plan->invalItems, item);
				named = true;
			}
			item = makeNode(PlanInvalItem);
			item->cacheId = MARK_ROLE;
			item->hashValue = lfirst_oid(lr);
			plan->invalItems = lappend(plan->invalItems, item);
		}
		relation_close(rel, AccessShareLock);
	}
}

static bool is_public_function(Oid objid);

/* May the user execute the function for a time only, or not at all? */
static bool
is_temporary_function(Oid userid, Oid funcid)
{
	List	   *standing;

	if (user_deadline(userid) == DT_NOEND || is_public_function(funcid))
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
	return !quiet() && is_temporary_function(GetUserId(), funcid);
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
	RegisterXactCallback(forget_search_path, NULL);
}

/*
 * If a query is being planned, the planner is executing the function, to put
 * its result into the plan.
 */
static void
note_planned(Oid funcid)
{
	ErrorContextCallback *callback = error_context_stack;
	JitStatementFrame *frame;
	MemoryContext context;

	while (callback != NULL && callback->callback != jit_hint_callback)
		callback = callback->previous;
	if (callback == NULL)
		return;
	frame = callback->arg;
	if (frame->starting != NULL || frame->copy != NULL ||
		!is_temporary_function(GetUserId(), funcid))
		return;
	context = MemoryContextSwitchTo(frame->context);
	frame->functions = list_append_unique_oid(frame->functions, funcid);
	MemoryContextSwitchTo(context);
}

/* Note in a plan which functions, that its user has for a time, are in it. */
static void
mark_functions(PlannedStmt *plan, List *functions, Oid userid)
{
	PlanInvalItem *item;
	ListCell   *lc;

	if (functions == NIL)
		return;
	item = makeNode(PlanInvalItem);
	item->cacheId = MARK_USER;
	item->hashValue = userid;
	plan->invalItems = lappend(plan->invalItems, item);
	foreach(lc, functions)
	{
		item = makeNode(PlanInvalItem);
		item->cacheId = MARK_FUNCTION;
		item->hashValue = lfirst_oid(lc);
		plan->invalItems = lappend(plan->invalItems, item);
	}
}

static bool
writes_data(PlannedStmt *plan)
{
	return plan->commandType != CMD_SELECT || plan->hasModifyingCTE;
}

/*
 * Note that a plan relies on what it has been marked with, and raise if that
 * isn't live any more: in this order, see check_perminfos().
 */
static void
check_marks(PlannedStmt *plan)
{
	Oid			userid = InvalidOid;
	List	   *live = NIL;
	ListCell   *lc;

	foreach(lc, plan->invalItems)
	{
		PlanInvalItem *item = lfirst_node(PlanInvalItem, lc);

		if (item->cacheId == MARK_USER)
			userid = item->hashValue;
		else if (item->cacheId == MARK_ROLE)
			jit_note_reliance(userid, NULL, AuthIdRelationId, item->hashValue,
							  0, writes_data(plan));
		else if (item->cacheId == MARK_FUNCTION)
			jit_note_reliance(userid, NULL, ProcedureRelationId,
							  item->hashValue, ACL_EXECUTE, false);
	}
	foreach(lc, plan->invalItems)
	{
		PlanInvalItem *item = lfirst_node(PlanInvalItem, lc);
		Wanted		wanted = {0};

		if (item->cacheId == MARK_USER)
		{
			userid = item->hashValue;
			list_free(live);
			live = live_closure(userid);
		}
		else if (item->cacheId == MARK_ROLE &&
				 !list_member_oid(live, item->hashValue))
		{
			wanted.role = item->hashValue;
			deny("row-level security policies of role",
				 quote_identifier(jit_role_name(wanted.role)), userid, &wanted);
		}
		else if (item->cacheId == MARK_FUNCTION)
		{
			wanted.classid = ProcedureRelationId;
			wanted.objid = item->hashValue;
			wanted.mode = ACL_EXECUTE;
			if (!gives(live, &wanted))
				deny("function", get_func_name(wanted.objid), userid, &wanted);
		}
	}
	list_free(live);
}

/* Note that what comes relies on a temporary SET ROLE, if it does. */
static void
note_set_role_reliance(bool writes)
{
	if (unlikely(jit_set_role_is_temporary()))
		jit_note_reliance(set_role_session, NULL, AuthIdRelationId,
						  set_role_outer, JIT_SET_ROLE, writes);
}

/*
 * The user may have temporary access: what the query relies on besides its
 * permission entries.
 */
static pg_noinline void
begin_start(JitStatementFrame *frame)
{
	PlannedStmt *plan = frame->starting->plannedstmt;

	/* takes in a REVOKE: inside a running DO block nothing else does */
	if (user_deadline(GetUserId()) != DT_NOEND)
		jit_begin_reliance(frame);
	else
		accept_invalidations();
	note_set_role();
	if (frame->reliance == NULL &&
		(jit_set_role_is_temporary() || user_deadline(GetUserId()) != DT_NOEND))
		jit_begin_reliance(frame);
	note_set_role_reliance(writes_data(plan));
	check_roles();
	check_marks(plan);
	/* the next statement may come after the end */
	forget_search_path(XACT_EVENT_COMMIT, NULL);
	frame->checked = true;
	frame->generation = jit_roles_generation;
}

static void
jit_executor_start(QueryDesc *query, int eflags)
{
	JitStatementFrame frame;

	frame.starting = query;
	jit_push_frame(&frame);
	if (unlikely(temporary_seen))
		begin_start(&frame);
	next_executor_start_hook(query, eflags);
	jit_pop_frame(&frame);
	if (unlikely(frame.reliance != NULL))
		jit_keep_reliance(&frame);
}

/* Collect the permission entries of a query and of all queries in it. */
static bool
collect_perminfos(Node *node, List **perminfos)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;

		*perminfos = list_concat_copy(*perminfos, JIT_QUERY_PERMINFOS(query));
		return query_tree_walker(query, collect_perminfos, perminfos, 0);
	}
	return expression_tree_walker(node, collect_perminfos, perminfos);
}

/* Does it write to what a view, whose owner's rights count, is made of? */
static bool
writes_for_others(Query *query)
{
	ListCell   *lc;

	foreach(lc, JIT_QUERY_PERMINFOS(query))
	{
		if (OidIsValid(((JitPermInfo *) lfirst(lc))->checkAsUser))
			return true;
	}
	return false;
}

/*
 * Can a view, whose owner's rights count, be in the query, or in a function
 * that the planner inlines?
 */
static inline bool
may_read_for_others(Query *query)
{
	ListCell   *lc;

	if (query->hasSubLinks || query->cteList != NIL)
		return true;
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_SUBQUERY || rte->rtekind == RTE_FUNCTION)
			return true;
	}
	return query->commandType != CMD_SELECT && writes_for_others(query);
}

/*
 * What the planner has taken into the query from a function that it has
 * inlined is in none of the permission entries that we have looked at.  It
 * comes by here before its statistics are used.
 */
static void
jit_relation_info(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	JitPermInfo *info = JIT_RTE_PERMINFO(root, planner_rt_fetch(rel->relid, root));

	if (next_relation_info_hook)
		next_relation_info_hook(root, relid, inhparent, rel);
	if (info != NULL && (!quiet() || OidIsValid(info->checkAsUser)))
		(void) check_perminfos(list_make1(info), true, false, NULL);
}

/* For the first query in this backend that functions may be inlined in. */
static void
install_relation_info(void)
{
	static bool installed = false;

	if (installed)
		return;
	installed = true;
	next_relation_info_hook = get_relation_info_hook;
	get_relation_info_hook = jit_relation_info;
}

/*
 * The planner hands column statistics to operators before the executor has
 * checked anything: so whatever the executor would deny isn't planned.  It
 * also checks privileges on views itself, which deserves a hint like others.
 * "for_others": what may_read_for_others() says of the query.
 */
static pg_noinline PlannedStmt *
plan_checked(Query *parse, const char *query_string, int cursor_options,
			 ParamListInfo params, bool for_others)
{
	PlannedStmt *plan;
	List	   *perminfos = NIL;
	bool		row_security = parse->hasRowSecurity;
	bool		look;
	JitStatementFrame frame;

	/*
	 * Row-level security policies have been chosen already: what chose them
	 * mustn't vanish before mark_policies() has seen it.
	 */
	if (!row_security)
		accept_invalidations();
	check_roles();
	look = for_others || user_deadline(GetUserId()) != DT_NOEND;
	if (look)
	{
		if (for_others)
		{
			install_relation_info();
			(void) collect_perminfos((Node *) parse, &perminfos);
		}
		else
			perminfos = JIT_QUERY_PERMINFOS(parse);
		frame.starting = NULL;
		frame.copy = NULL;
		frame.perminfos = perminfos;
		frame.functions = NIL;
		frame.context = CurrentMemoryContext;
		jit_push_frame(&frame);
		(void) check_perminfos(perminfos, true, false, NULL);
	}
	plan = next_planner_hook(parse, query_string, cursor_options, params);
	if (look)
		jit_pop_frame(&frame);

	/* the planner sets dependsOnRole for policies in functions it inlined */
	if (unlikely(temporary_seen) && (row_security || plan->dependsOnRole))
		mark_policies(plan);
	if (look)
		mark_functions(plan, frame.functions, GetUserId());
	return plan;
}

static PlannedStmt *
jit_planner(Query *parse, const char *query_string, int cursor_options,
			ParamListInfo params)
{
	bool		for_others = may_read_for_others(parse);

	if (for_others || !quiet())
		return plan_checked(parse, query_string, cursor_options, params,
							for_others);
	return next_planner_hook(parse, query_string, cursor_options, params);
}

/* ----------------------------------------------------------------------
 * What the executor hook doesn't see
 * ----------------------------------------------------------------------
 */

/* Could something that the current user does rely on what has ended? */
static inline bool
to_be_judged(void)
{
	return unlikely(GetUserId() == command_user) ||
		unlikely(needs_judging(GetUserId()));
}

/*
 * Has PostgreSQL found the privilege (0: ownership) of the current user only
 * because of access that has ended?  It checks some objects for other users,
 * which aren't judged here: an aggregate's functions for its owner.
 */
static bool
lost_privilege(Oid classid, Oid objid, AclMode mode)
{
	Oid			userid = GetUserId();
	Wanted		wanted = {.classid = classid,.objid = objid,.mode = mode};

	List	   *live;
	List	   *whole;
	bool		lost;

	if (likely(!to_be_judged()))
		return false;
	live = live_closure(userid);
	whole = whole_closure(userid);
	lost = !gives(live, &wanted) &&
		(gives(whole, &wanted) ||
		 (userid == command_user && gives(command_closure, &wanted)));
	/* see note_path() */
	list_free(live);
	list_free(whole);
	return lost;
}

/* Raise if it has. */
static void
check_object(const char *kind, const char *name, Oid classid, Oid objid,
			 AclMode mode)
{
	Wanted		wanted = {.classid = classid,.objid = objid,.mode = mode};

	if (unlikely(lost_privilege(classid, objid, mode)))
		deny(kind, name, GetUserId(), &wanted);
}

/* Raise if the object is the user's only by an owner role that has ended. */
static void
check_ownership(Oid classid, Oid objid)
{
	ObjectAddress address;

	if (classid == RelationRelationId)
	{
		/* the table itself makes the better message */
		if (!IsToastNamespace(get_rel_namespace(objid)))
			check_object(relation_kind(objid), get_rel_name(objid), classid,
						 objid, 0);
	}
	else if (classid != TypeRelationId &&
			 is_objectclass_supported(classid) &&
			 get_object_attnum_owner(classid) != InvalidAttrNumber &&
			 lost_privilege(classid, objid, 0))
	{
		/* only now: a function's types may have been dropped before it */
		ObjectAddressSet(address, classid, objid);
		check_object(get_object_class_descr(classid),
					 getObjectIdentity(&address, true), classid, objid, 0);
	}
}

/*
 * The transaction can't be committed without a privilege on an object, owning
 * it, or being a member of a role of pg_authid, if the user has that only by
 * access that is temporary.  Before it is judged, see check_perminfos().
 */
static void
note_written(Oid classid, Oid objid, AclMode mode)
{
	Oid			userid = GetUserId();
	Wanted		wanted = {.classid = classid,.objid = objid,.mode = mode};

	if (classid == AuthIdRelationId)
		wanted.role = objid;
	if (!gives(jit_role_closure(userid, JIT_CLOSURE_PRIVS, JIT_FILTER_STANDING, 0),
			   &wanted) &&
		gives(whole_closure(userid), &wanted))
		jit_note_reliance(userid, NULL, classid, objid, mode, true);
}

/* The user, as the owner, is altering or dropping this. */
static void
note_ownership(Oid classid, Oid objid)
{
	if (likely(user_deadline(GetUserId()) == DT_NOEND) || superuser() ||
		classid == AuthIdRelationId || !is_objectclass_supported(classid) ||
		get_object_attnum_owner(classid) == InvalidAttrNumber)
		return;
	note_written(classid, objid, 0);
}

/*
 * The user has just created this, in a schema or, if it is one, in the
 * database, and perhaps for another role: the transaction can't be committed
 * without the access if that was allowed by access that is temporary.  Raise
 * if it was by access that has ended.  No snapshot but SnapshotSelf sees the
 * new row.
 */
static void
check_creation(Oid classid, Oid objid)
{
	Oid			userid = GetUserId();
	Oid			nspid = InvalidOid;
	Oid			owner = InvalidOid;
	Relation	catalog;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	/* constraints have a schema, but need no privilege there */
	if (likely(user_deadline(userid) == DT_NOEND && userid != command_user) ||
		superuser() || classid == ConstraintRelationId ||
		!is_objectclass_supported(classid))
		return;

	catalog = table_open(classid, AccessShareLock);
	ScanKeyInit(&key, get_object_attnum_oid(classid), BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(objid));
	scan = systable_beginscan(catalog, get_object_oid_index(classid), true,
							  SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		AttrNumber	attnum;
		bool		isnull;

		attnum = get_object_attnum_namespace(classid);
		if (attnum != InvalidAttrNumber)
			nspid = DatumGetObjectId(heap_getattr(tuple, attnum,
												  RelationGetDescr(catalog),
												  &isnull));
		attnum = get_object_attnum_owner(classid);
		if (attnum != InvalidAttrNumber)
			owner = DatumGetObjectId(heap_getattr(tuple, attnum,
												  RelationGetDescr(catalog),
												  &isnull));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);

	if (OidIsValid(owner) && owner != userid)
		note_written(AuthIdRelationId, owner, 0);
	if (OidIsValid(nspid))
	{
		note_written(NamespaceRelationId, nspid, ACL_CREATE);
		check_object("schema", get_namespace_name(nspid), NamespaceRelationId,
					 nspid, ACL_CREATE);
	}
	else if (classid == NamespaceRelationId)
	{
		note_written(DatabaseRelationId, MyDatabaseId, ACL_CREATE);
		check_object("database", get_database_name(MyDatabaseId),
					 DatabaseRelationId, MyDatabaseId, ACL_CREATE);
	}
}

/*
 * LOCK TABLE.  Raise if it relies on what has ended, or note what it relies
 * on: it may wait for long.
 */
static void
check_lock(LockStmt *lock, bool running)
{
	AclMode		mode = JIT_LOCK_PRIVILEGES(lock->mode);
	ListCell   *lc;

	if (!running && !needs_judging(GetUserId()))
		return;
	foreach(lc, lock->relations)
	{
		Oid			relid = RangeVarGetRelid(lfirst_node(RangeVar, lc), NoLock,
											 true);

		if (OidIsValid(relid) && running)
			/* which a prepared transaction would keep */
			jit_note_reliance(GetUserId(), NULL, RelationRelationId, relid,
							  mode, true);
		else if (OidIsValid(relid))
			check_object(relation_kind(relid), get_rel_name(relid),
						 RelationRelationId, relid, mode);
	}
}

/* ----------------------------------------------------------------------
 * Utility statements
 * ----------------------------------------------------------------------
 */

/* What may be run under a SET ROLE that has ended: what leads out of it. */
static bool
leads_out(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_VariableSetStmt:
		case T_VariableShowStmt:
		case T_TransactionStmt:
		case T_DiscardStmt:
		case T_DeallocateStmt:
		case T_ClosePortalStmt:
			return true;
		default:
			return false;
	}
}

/* Is it SET ROLE or SET SESSION AUTHORIZATION, other than to the default? */
static bool
sets_role(Node *stmt)
{
	VariableSetStmt *set = (VariableSetStmt *) stmt;

	return IsA(stmt, VariableSetStmt) && set->kind == VAR_SET_VALUE &&
		(pg_strcasecmp(set->name, "role") == 0 ||
		 pg_strcasecmp(set->name, "session_authorization") == 0);
}

/* Raise if the user has a predefined role through ended access alone. */
static void
check_predefined_role(Oid role)
{
	Oid			userid = GetUserId();
	Wanted		wanted = {.role = role};

	if (needs_judging(userid) && !gives(live_closure(userid), &wanted) &&
		gives(whole_closure(userid), &wanted))
		deny("role", jit_role_name(role), userid, &wanted);
}

/* COPY to or from a file or program never asks the executor about its role. */
static void
check_copy(CopyStmt *copy)
{
	if (copy->filename != NULL)
		check_predefined_role(copy->is_program ? ROLE_PG_EXECUTE_SERVER_PROGRAM :
							  copy->is_from ? ROLE_PG_READ_SERVER_FILES :
							  ROLE_PG_WRITE_SERVER_FILES);
}

/*
 * Raise if, of two things either of which suffices, the user has had one only
 * by access that has ended, and the other isn't there (NULL: there is none).
 */
static void
check_either(const char *kind, const char *name, const Wanted *one,
			 const Wanted *other)
{
	Oid			userid = GetUserId();
	List	   *live = live_closure(userid);
	List	   *whole = whole_closure(userid);

	if (gives(live, one) || gives(live, other))
		return;
	if (gives(whole, one))
		deny(kind, name, userid, one);
	if (gives(whole, other))
		deny(kind, name, userid, other);
}

/*
 * Raise if the relation is to be maintained by authority that has ended: up
 * to PostgreSQL 16 it is being the owner.
 */
static void
check_maintained(const RangeVar *name, bool by_database_owner)
{
	Wanted		maintaining = {.classid = RelationRelationId,
	.mode = JIT_ACL_MAINTAIN};
	Wanted		database = {.classid = DatabaseRelationId,
	.objid = MyDatabaseId};
	Oid			relid;
	char		relkind;

	if (name == NULL)
		return;
	/* no lock: the command takes its own, and a stronger one */
	relid = RangeVarGetRelid(name, NoLock, true);
	relkind = get_rel_relkind(relid);
	/* an index has no privileges of its own */
	maintaining.objid = relkind == RELKIND_INDEX ||
		relkind == RELKIND_PARTITIONED_INDEX ? IndexGetRelation(relid, true) : relid;
	if (OidIsValid(maintaining.objid))
		check_either(relation_kind(relid), get_rel_name(relid), &maintaining,
					 by_database_owner ? &database : NULL);
}

/*
 * Raise if all that is in a schema, or the database, is to be reindexed by
 * authority that has ended.  Mirrors ReindexMultipleTables().
 */
static void
check_reindexed(const char *kind, const char *name, Oid classid, Oid objid)
{
	Wanted		owner = {.classid = classid,.objid = objid};
	Wanted		maintainer = {.role = JIT_ROLE_MAINTAIN};

	check_either(kind, name, &owner,
				 OidIsValid(maintainer.role) ? &maintainer : NULL);
}

/* Raise if what is to be commented on is owned by authority that has ended. */
static void
check_commented(CommentStmt *comment)
{
	Relation	rel = NULL;
	ObjectAddress address;

	/* the lock is the command's */
	address = get_object_address(comment->objtype, comment->object, &rel,
								 ShareUpdateExclusiveLock, true);
	/* columns, constraints and the like are their table's */
	if (rel != NULL)
	{
		ObjectAddressSet(address, RelationRelationId, RelationGetRelid(rel));
		relation_close(rel, NoLock);
	}
	if (!OidIsValid(address.objectId))
		return;
	if (address.classId == TypeRelationId)
		check_object("type", format_type_be(address.objectId), address.classId,
					 address.objectId, 0);
	else
		check_ownership(address.classId, address.objectId);
}

/*
 * Commands that PostgreSQL checks by itself, without a hook: judged by name,
 * before they run.
 */
static void
check_utility(Node *stmt)
{
	ListCell   *lc;

	switch (nodeTag(stmt))
	{
		case T_CommentStmt:
			check_commented((CommentStmt *) stmt);
			break;
		case T_VacuumStmt:
			foreach(lc, ((VacuumStmt *) stmt)->rels)
				check_maintained(lfirst_node(VacuumRelation, lc)->relation, true);
			break;
		case T_ClusterStmt:
			check_maintained(((ClusterStmt *) stmt)->relation, false);
			break;
		case T_ReindexStmt:
			check_maintained(((ReindexStmt *) stmt)->relation, false);
			if (((ReindexStmt *) stmt)->kind == REINDEX_OBJECT_SCHEMA)
			{
				Oid			schema = get_namespace_oid(((ReindexStmt *) stmt)->name, true);

				if (OidIsValid(schema))
					check_reindexed("schema", ((ReindexStmt *) stmt)->name,
									NamespaceRelationId, schema);
			}
			else if (((ReindexStmt *) stmt)->kind == REINDEX_OBJECT_DATABASE ||
					 ((ReindexStmt *) stmt)->kind == REINDEX_OBJECT_SYSTEM)
				check_reindexed("database", get_database_name(MyDatabaseId),
								DatabaseRelationId, MyDatabaseId);
			break;
		case T_RefreshMatViewStmt:
			check_maintained(((RefreshMatViewStmt *) stmt)->relation, false);
			break;
		case T_DoStmt:
			{
				const char *name = "plpgsql";
				Oid			language;

				foreach(lc, ((DoStmt *) stmt)->args)
				{
					DefElem    *arg = lfirst_node(DefElem, lc);

					if (strcmp(arg->defname, "language") == 0)
						name = strVal(arg->arg);
				}
				language = get_language_oid(name, true);
				if (OidIsValid(language))
					check_object("language", name, LanguageRelationId, language,
								 ACL_USAGE);
			}
			break;
		case T_AlterSystemStmt:
			{
				char	   *name = ((AlterSystemStmt *) stmt)->setstmt->name;
				Oid			parameter = name ? ParameterAclLookup(name, true) : InvalidOid;

				if (OidIsValid(parameter))
					check_object("parameter", name, ParameterAclRelationId,
								 parameter, ACL_ALTER_SYSTEM);
			}
			break;
		default:
			break;
	}
}

/*
 * A role of ours is recognised by its name in every database, so the name
 * must stay, and no other may get such a one by mistake: it couldn't be
 * renamed back.  CREATE ROLE may, as a restore does.  Dropping it, and changing
 * its VALID UNTIL, are the ways to end and to prolong a grant natively.
 */
static void
check_rename(RenameStmt *rename)
{
	if (rename->renameType != OBJECT_ROLE)
		return;
	if (jit_role_kind(rename->newname) != JIT_ROLE_ORDINARY)
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("role name \"%s\" is reserved", rename->newname),
				 errdetail("Roles of jit_access have names that start with \"jit_grant_\" or \"jit_scope_\".")));
	if (jit_role_kind(rename->subname) != JIT_ROLE_ORDINARY)
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("role %s cannot be renamed", quote_identifier(rename->subname)),
				 errdetail("It belongs to jit_access, which knows it by its name."),
				 errhint("To end the access, use jit_revoke() or DROP ROLE; to prolong it, ALTER ROLE ... VALID UNTIL.")));
}

/*
 * An index is made as the table's owner, so that no hook sees who makes it:
 * that is noted here.
 */
static void
note_indexed(IndexStmt *stmt)
{
	Oid			relid = RangeVarGetRelid(stmt->relation, NoLock, true);

	if (OidIsValid(relid))
		note_ownership(RelationRelationId, relid);
}

/* The arguments of ProcessUtility, for jit_run_relying_utility(). */
typedef struct UtilityCall
{
	PlannedStmt *pstmt;
	const char *query_string;
	bool		read_only_tree;
	ProcessUtilityContext context;
	ParamListInfo params;
	QueryEnvironment *query_env;
	DestReceiver *dest;
	QueryCompletion *qc;
} UtilityCall;

static void
run_utility(void *arg)
{
	UtilityCall *call = arg;

	if (next_process_utility_hook)
		next_process_utility_hook(call->pstmt, call->query_string,
								  call->read_only_tree, call->context,
								  call->params, call->query_env, call->dest,
								  call->qc);
	else
		standard_ProcessUtility(call->pstmt, call->query_string,
								call->read_only_tree, call->context,
								call->params, call->query_env, call->dest,
								call->qc);
}

/* These run, or wait, for long without the executor's knowing. */
static bool
may_rely(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_CopyStmt:
		case T_CallStmt:
		case T_DoStmt:
		case T_RefreshMatViewStmt:
		case T_IndexStmt:
		case T_ReindexStmt:
		case T_ClusterStmt:
		case T_VacuumStmt:
		case T_AlterTableStmt:
		case T_TruncateStmt:
		case T_LockStmt:
			return jit_set_role_is_temporary() ||
				user_deadline(GetUserId()) != DT_NOEND;
		default:
			return false;
	}
}

/*
 * Run one of them.  Others find what they rely on as they go; for REFRESH,
 * which reads with the owner's rights, it is having these.  A procedure
 * or DO block under a temporary SET ROLE may leave it: its statements rely on
 * it, itself doesn't.
 */
static void
run_relying_utility(void *arg)
{
	Node	   *stmt = ((UtilityCall *) arg)->pstmt->utilityStmt;

	if (IsA(stmt, RefreshMatViewStmt) && !superuser())
	{
		Oid			relid = RangeVarGetRelid(((RefreshMatViewStmt *) stmt)->relation,
											 NoLock, true);

		if (OidIsValid(relid))
			jit_note_reliance(GetUserId(), NULL, RelationRelationId, relid,
							  JIT_ACL_MAINTAIN, false);
	}
	if (IsA(stmt, LockStmt) && !superuser())
		check_lock((LockStmt *) stmt, true);
	if (!IsA(stmt, CallStmt) && !IsA(stmt, DoStmt))
	{
		note_set_role_reliance(IsA(stmt, CopyStmt) && ((CopyStmt *) stmt)->is_from);
		check_roles();
	}
	run_utility(arg);
}

static void
note_role(Oid role)
{
	jit_note_role_changed(role);
	if (jit_role_kind_by_oid(role) == JIT_ROLE_GRANT)
		jit_note_grant_changed(role);
}

/* The role is being dropped: what it was granted has lost it. */
static void
note_memberships(Oid member)
{
	CatCList   *memlist = SearchSysCacheList1(AUTHMEMMEMROLE,
											  ObjectIdGetDatum(member));

	for (int i = 0; i < memlist->n_members; i++)
		note_role(((Form_pg_auth_members) GETSTRUCT(&memlist->members[i]->tuple))->roleid);
	ReleaseSysCacheList(memlist);
}

/* GRANT or REVOKE of a grant role, natively: its ledger follows. */
static void
note_role_grant(const GrantRoleStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->granted_roles)
	{
		AccessPriv *priv = lfirst(lc);
		Oid			role = priv->priv_name ? get_role_oid(priv->priv_name, true) : InvalidOid;

		if (OidIsValid(role) && jit_role_kind(priv->priv_name) == JIT_ROLE_GRANT)
			note_role(role);
	}
}

static void
jit_process_utility(PlannedStmt *pstmt, const char *query_string,
					bool read_only_tree, ProcessUtilityContext context,
					ParamListInfo params, QueryEnvironment *query_env,
					DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *stmt = pstmt->utilityStmt;
	UtilityCall call = {pstmt, query_string, read_only_tree, context, params,
	query_env, dest, qc};
	volatile JitLastingState state = jit_lasting_state();
	Oid			outer_user = command_user;
	List	   *outer_closure = command_closure;
	const bool	is_copy = IsA(stmt, CopyStmt);
	JitStatementFrame frame;

	if (!leads_out(stmt))
	{
		accept_invalidations();
		check_roles();
	}
	if (IsA(stmt, RenameStmt))
		check_rename((RenameStmt *) stmt);
	else if (IsA(stmt, CopyStmt))
		check_copy((CopyStmt *) stmt);
	else if (IsA(stmt, LockStmt))
		check_lock((LockStmt *) stmt, false);
	else if (IsA(stmt, CheckPointStmt))
		check_predefined_role(ROLE_PG_CHECKPOINT);
	else if (IsA(stmt, DropStmt))
		jit_before_drop((DropStmt *) stmt);
	else if (IsA(stmt, SecLabelStmt))
		jit_offer_labels((SecLabelStmt *) stmt);
	else if (IsA(stmt, IndexStmt))
		note_indexed((IndexStmt *) stmt);
	if (!leads_out(stmt) && unlikely(needs_judging(GetUserId())))
		check_utility(stmt);
	if (IsA(stmt, TransactionStmt) && ((TransactionStmt *) stmt)->kind == TRANS_STMT_COMMIT)
		jit_judge_commit_first();

	if (is_copy)
	{
		frame.starting = NULL;
		frame.copy = (CopyStmt *) stmt;
		jit_push_frame(&frame);
	}
	PG_TRY();
	{
		/* what a procedure does has commands of its own */
		command_user = InvalidOid;
		if (!leads_out(stmt) && !IsA(stmt, CallStmt) && !IsA(stmt, DoStmt) &&
			user_deadline(GetUserId()) != DT_NOEND && !superuser())
		{
			command_closure = whole_closure(GetUserId());
			command_user = GetUserId();
		}
		jit_check_lasting(stmt);
		if (may_rely(stmt))
			jit_run_relying_utility(run_relying_utility, &call);
		else
			run_utility(&call);
		jit_check_lasting_done();
	}
	PG_FINALLY();
	{
		jit_restore_lasting_state(state);
		command_user = outer_user;
		command_closure = outer_closure;
	}
	PG_END_TRY();
	if (is_copy)
		jit_pop_frame(&frame);

	if (IsA(stmt, GrantRoleStmt))
		note_role_grant((GrantRoleStmt *) stmt);
	/* SET ROLE, while the membership is there, and RESET ROLE */
	if (IsA(stmt, VariableSetStmt))
		jit_quiet_user = InvalidOid;
	note_set_role();
	if (sets_role(stmt))
		judge_roles(true);
}

/* Functions that anybody may run, as far as looked at and still so. */
static Oid	public_functions[16];

static void
forget_functions(Datum arg, int cacheid, uint32 hashvalue)
{
	memset(public_functions, 0, sizeof(public_functions));
}

/* Has the function the default privileges, so that anybody may run it? */
static bool
is_public_function(Oid objid)
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

/*
 * A user who has temporary access is to execute a function.  Noting that may
 * take in the end of all that the user had: so who counts is asked before.
 * (PostgreSQL checks some functions for other users.)
 */
static void
check_function(Oid userid, Oid objid)
{
	Wanted		wanted = {.classid = ProcedureRelationId,.objid = objid,
	.mode = ACL_EXECUTE};
	List	   *before;

	if (superuser_arg(userid) && jit_role_kind_by_oid(userid) == JIT_ROLE_ORDINARY)
		return;
	before = whole_closure(userid);
	/* what it writes is anybody's guess */
	jit_note_reliance(userid, NULL, ProcedureRelationId, objid, ACL_EXECUTE,
					  func_volatile(objid) == PROVOLATILE_VOLATILE);
	if (gives(before, &wanted) && !gives(live_closure(userid), &wanted))
		deny("function", get_func_name(objid), userid, &wanted);
	note_planned(objid);
}

/* None of PostgreSQL's own has an owner with temporary access. */
static inline bool
is_users_aggregate(Oid objid)
{
	return objid >= FirstNormalObjectId &&
		get_func_prokind(objid) == PROKIND_AGGREGATE;
}

/*
 * PostgreSQL checks the functions of an aggregate for its owner, who may have
 * them through temporary access.  It asks for the aggregate first.
 */
static void
check_aggregate(Oid objid)
{
	static const AttrNumber functions[] = {
		Anum_pg_aggregate_aggtransfn, Anum_pg_aggregate_aggfinalfn,
		Anum_pg_aggregate_aggcombinefn, Anum_pg_aggregate_aggserialfn,
		Anum_pg_aggregate_aggdeserialfn, Anum_pg_aggregate_aggmtransfn,
		Anum_pg_aggregate_aggminvtransfn, Anum_pg_aggregate_aggmfinalfn
	};
	Oid			owner = jit_object_owner(ProcedureRelationId, objid);
	HeapTuple	tuple;

	if (!OidIsValid(owner) || owner == GetUserId() ||
		user_deadline(owner) == DT_NOEND)
		return;
	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(objid));
	for (size_t i = 0; HeapTupleIsValid(tuple) && i < lengthof(functions); i++)
	{
		bool		isnull;
		Oid			function = DatumGetObjectId(SysCacheGetAttr(AGGFNOID, tuple, functions[i],
																&isnull));

		if (OidIsValid(function))
			check_function(owner, function);
	}
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
}

static pg_noinline void
check_object_access(ObjectAccessType access, Oid classid, Oid objid, int subid,
					void *arg)
{
	if (next_object_access_hook)
		next_object_access_hook(access, classid, objid, subid, arg);

	switch (access)
	{
		case OAT_FUNCTION_EXECUTE:
			/* by protocol: nothing was planned or started */
			if (unlikely(ActivePortal == NULL))
				accept_invalidations();
			if (is_users_aggregate(objid))
				check_aggregate(objid);
			if (is_public_function(objid))
				break;
			/* an expression may have set the role, and no query begun since */
			note_set_role();
			if (jit_set_role_is_temporary() && GetUserId() == set_role_outer)
			{
				note_set_role_reliance(false);
				check_roles();
			}
			if (user_deadline(GetUserId()) != DT_NOEND)
				check_function(GetUserId(), objid);
			break;
		case OAT_NAMESPACE_SEARCH:
			{
				ObjectAccessNamespaceSearch *search = arg;

				if (likely(!lost_privilege(classid, objid, ACL_USAGE)))
				{
					if (!search->ereport_on_violation)
						note_path(objid);
					break;
				}
				if (search->ereport_on_violation)
					check_object("schema", get_namespace_name(objid), classid,
								 objid, ACL_USAGE);
				search->result = false;
				break;
			}
		case OAT_TRUNCATE:
			if (unlikely(user_deadline(GetUserId()) != DT_NOEND) && !superuser())
				jit_note_reliance(GetUserId(), NULL, classid, objid,
								  ACL_TRUNCATE, true);
			note_set_role_reliance(true);
			check_object(relation_kind(objid), get_rel_name(objid), classid,
						 objid, ACL_TRUNCATE);
			break;
		case OAT_POST_CREATE:
			note_set_role_reliance(true);
			if (subid != 0)
				note_ownership(classid, objid);
			/* what a command makes for itself (a new heap) is not asked for */
			if (!(arg && ((ObjectAccessPostCreate *) arg)->is_internal))
			{
				/* a new column, default or the like belongs to something */
				if (subid == 0)
					check_creation(classid, objid);
				else if (to_be_judged())
					check_ownership(classid, objid);
			}
			jit_check_lasting_object(access, classid, objid, subid, arg);
			if (classid == DatabaseRelationId)
				jit_wake_launcher_at_commit();
			break;
		case OAT_POST_ALTER:
			note_set_role_reliance(true);
			note_ownership(classid, objid);
			if (to_be_judged())
				check_ownership(classid, objid);
			jit_check_lasting_object(access, classid, objid, subid, arg);
			/* a deadline may have been changed natively */
			if (classid == AuthIdRelationId)
				note_role(objid);
			else if (classid == DatabaseRelationId)
				jit_wake_launcher_at_commit();
			break;
		case OAT_DROP:

			/*
			 * A process that exits drops its temporary tables in nobody's
			 * name; what it was doing is left without functions' ends.
			 */
			if (proc_exit_inprogress)
				break;
			note_set_role_reliance(true);
			note_ownership(classid, objid);
			if (to_be_judged())
				check_ownership(classid, objid);
			if (classid == AuthIdRelationId)
			{
				note_role(objid);
				note_memberships(objid);
			}
			jit_check_lasting_drop(classid, objid, ((ObjectAccessDrop *) arg)->dropflags);
			jit_object_dropped(classid, objid);
			break;
		default:
			break;
	}
}

static void
jit_object_access(ObjectAccessType access, Oid classid, Oid objid, int subid,
				  void *arg)
{
	/* called for each function in each statement, and just like this */
	if (access != OAT_FUNCTION_EXECUTE)
		check_object_access(access, classid, objid, subid, arg);
	else if (!quiet() || is_users_aggregate(objid))
		check_object_access(OAT_FUNCTION_EXECUTE, ProcedureRelationId, objid, 0,
							NULL);
}

/*
 * Plans that depend on who has which role aren't invalidated when a
 * membership goes; those made while there was temporary access must be.
 */
static void
forget_plans(Datum arg, int cacheid, uint32 hashvalue)
{
	if (temporary_seen)
		ResetPlanCache();
}

/* Called from _PG_init() only. */
void
jit_install_enforcement(void)
{
	next_check_perms_hook = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = jit_check_perms;
	next_executor_start_hook = ExecutorStart_hook ? ExecutorStart_hook : standard_ExecutorStart;
	ExecutorStart_hook = jit_executor_start;
	next_process_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = jit_process_utility;
	next_planner_hook = planner_hook ? planner_hook : standard_planner;
	planner_hook = jit_planner;
	next_object_access_hook = object_access_hook;
	object_access_hook = next_object_access_hook ? check_object_access :
		jit_object_access;
	CacheRegisterSyscacheCallback(AUTHMEMMEMROLE, forget_plans, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, forget_functions, (Datum) 0);
}
