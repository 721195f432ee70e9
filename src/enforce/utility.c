/*-------------------------------------------------------------------------
 *
 * utility.c
 *		Utility statements.
 *
 * The utility hook: what is denied is denied before PostgreSQL runs the
 * statement, by name; what takes long is run so that it can be cut off; what
 * changes grants natively is noted after it.  It can only raise.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/due.h"
#include "base/text.h"
#include "enforce/commands.h"
#include "enforce/cutoff.h"
#include "enforce/lasting.h"
#include "enforce/objects.h"
#include "enforce/statements.h"
#include "enforce/utility.h"

#include "access/relation.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_parameter_acl.h"
#include "commands/dbcommands.h"
#include "commands/proclang.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/utility.h"

static ProcessUtility_hook_type next_process_utility_hook;
static void (*before_drop) (const DropStmt *stmt);
static void (*before_label) (const SecLabelStmt *stmt);

/* LOCK TABLE, before it runs: raise if it relies on what has ended. */
static void
check_lock(LockStmt *lock)
{
	ListCell   *lc;

	if (!jit_needs_judging(GetUserId()))
		return;
	foreach(lc, lock->relations)
	{
		Oid			relid = RangeVarGetRelid(lfirst_node(RangeVar, lc), NoLock,
											 true);

		if (OidIsValid(relid))
			jit_check_object(jit_relation_kind(relid), get_rel_name(relid),
							 RelationRelationId, relid,
							 JIT_LOCK_PRIVILEGES(lock->mode));
	}
}

typedef struct LockNote
{
	Oid			userid;			/* whose privileges count */
	AclMode		mode;
	List	   *views;			/* that we are in */
} LockNote;

static void note_lock(Oid relid, Oid userid, AclMode mode, List *views);

/* Mirrors LockViewRecurse_walker(). */
static bool
note_view(Node *node, LockNote *note)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, note_view, note);
	foreach(lc, ((Query *) node)->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (OidIsValid(rte->relid) && !list_member_oid(note->views, rte->relid))
			note_lock(rte->relid, note->userid, note->mode, note->views);
	}
	return query_tree_walker((Query *) node, note_view, note,
							 QTW_IGNORE_JOINALIASES);
}

/*
 * LOCK TABLE, of a view what is in it too, with its owner's privileges.  Note
 * what it relies on, as it may wait for long and is held then, and raise if
 * that has ended.
 */
static void
note_lock(Oid relid, Oid userid, AclMode mode, List *views)
{
	Relation	rel;

	if (jit_user_deadline(userid) != DT_NOEND && !superuser_arg(userid))
	{
		JitWanted	wanted = {.classid = RelationRelationId,.objid = relid,
		.mode = mode};

		jit_note_reliance(userid, NULL, RelationRelationId, relid, mode, true);
		if (jit_needs_judging(userid) && !jit_gives(jit_live_closure(userid), &wanted) &&
			jit_gives(jit_whole_closure(userid), &wanted))
			jit_deny(jit_relation_kind(relid), get_rel_name(relid), userid, &wanted);
	}
	if (get_rel_relkind(relid) != RELKIND_VIEW)
		return;
	/* not kept: the command takes a stronger one */
	rel = try_relation_open(relid, AccessShareLock);
	if (rel != NULL && rel->rd_rel->relkind == RELKIND_VIEW)
	{
		LockNote	note = {
			.userid = RelationHasSecurityInvoker(rel) ? GetUserId() : rel->rd_rel->relowner,
			.mode = mode,
			.views = list_append_unique_oid(list_copy(views), relid)
		};

		(void) note_view((Node *) get_view_query(rel), &note);
	}
	if (rel != NULL)
		relation_close(rel, AccessShareLock);
}

static bool
locks_view(LockStmt *lock)
{
	ListCell   *lc;

	foreach(lc, lock->relations)
	{
		if (get_rel_relkind(RangeVarGetRelid(lfirst_node(RangeVar, lc), NoLock, true)) == RELKIND_VIEW)
			return true;
	}
	return false;
}

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
	JitWanted	wanted = {.role = role};

	if (jit_needs_judging(userid) && !jit_gives(jit_live_closure(userid), &wanted) &&
		jit_gives(jit_whole_closure(userid), &wanted))
		jit_deny("role", jit_role_name(role), userid, &wanted);
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
check_either(const char *kind, const char *name, const JitWanted *one,
			 const JitWanted *other)
{
	Oid			userid = GetUserId();
	List	   *live = jit_live_closure(userid);
	List	   *whole = jit_whole_closure(userid);

	if (jit_gives(live, one) || jit_gives(live, other))
		return;
	if (jit_gives(whole, one))
		jit_deny(kind, name, userid, one);
	if (jit_gives(whole, other))
		jit_deny(kind, name, userid, other);
}

/*
 * Raise if the relation is to be maintained by authority that has ended: up
 * to PostgreSQL 16 it is being the owner.
 */
static void
check_maintained(const RangeVar *name, bool by_database_owner)
{
	JitWanted	maintaining = {.classid = RelationRelationId,
	.mode = JIT_ACL_MAINTAIN};
	JitWanted	database = {.classid = DatabaseRelationId,
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
		check_either(jit_relation_kind(relid), get_rel_name(relid), &maintaining,
					 by_database_owner ? &database : NULL);
}

/*
 * Raise if all that is in a schema, or the database, is to be reindexed by
 * authority that has ended.  Mirrors ReindexMultipleTables().
 */
static void
check_reindexed(const char *kind, const char *name, Oid classid, Oid objid)
{
	JitWanted	owner = {.classid = classid,.objid = objid};
	JitWanted	maintainer = {.role = JIT_ROLE_MAINTAIN};

	check_either(kind, name, &owner,
				 OidIsValid(maintainer.role) ? &maintainer : NULL);
}

/* What is to be commented on, locked as the command does it. */
static ObjectAddress
find_commented(CommentStmt *comment)
{
	Relation	rel = NULL;
	ObjectAddress address;

	address = get_object_address(comment->objtype, comment->object, &rel,
								 ShareUpdateExclusiveLock, true);
	/* columns, constraints and the like are their table's */
	if (rel != NULL)
	{
		ObjectAddressSet(address, RelationRelationId, RelationGetRelid(rel));
		relation_close(rel, NoLock);
	}
	return address;
}

/* Raise if what is to be commented on is owned by authority that has ended. */
static void
check_commented(CommentStmt *comment)
{
	ObjectAddress address = find_commented(comment);

	if (!OidIsValid(address.objectId))
		return;
	if (address.classId == TypeRelationId)
		jit_check_object("type", format_type_be(address.objectId), address.classId,
						 address.objectId, 0);
	else
		jit_check_ownership(address.classId, address.objectId);
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
		case T_RepackStmt:
			check_maintained(JIT_REPACKED((RepackStmt *) stmt), false);
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
					jit_check_object("language", name, LanguageRelationId, language,
									 ACL_USAGE);
			}
			break;
		case T_AlterSystemStmt:
			{
				char	   *name = ((AlterSystemStmt *) stmt)->setstmt->name;
				Oid			parameter = name ? ParameterAclLookup(name, true) : InvalidOid;

				if (OidIsValid(parameter))
					jit_check_object("parameter", name, ParameterAclRelationId,
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
				 errdetail("Roles of jit_access have names that start with \"jit_grant_\", \"jit_scope_\" or \"jit_query_\".")));
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
		jit_note_ownership(RelationRelationId, relid);
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

	next_process_utility_hook(call->pstmt, call->query_string,
							  call->read_only_tree, call->context, call->params,
							  call->query_env, call->dest, call->qc);
}

/* These run, or wait, for long without the executor's knowing. */
static bool
may_rely(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_LockStmt:
			/* the owner of a view may rely on some */
			if (locks_view((LockStmt *) stmt))
				return true;
			pg_fallthrough;
		case T_CopyStmt:
		case T_CallStmt:
		case T_DoStmt:
		case T_RefreshMatViewStmt:
		case T_IndexStmt:
		case T_ReindexStmt:
		case T_RepackStmt:
		case T_VacuumStmt:
		case T_AlterTableStmt:
		case T_TruncateStmt:
			return jit_set_role_is_temporary() ||
				jit_user_deadline(GetUserId()) != DT_NOEND;
		default:
			return false;
	}
}

/* The table of that name, or that an index of that name is on. */
static Oid
find_table(const RangeVar *name)
{
	Oid			relid = name ? RangeVarGetRelid(name, NoLock, true) : InvalidOid;
	char		relkind = get_rel_relkind(relid);

	return relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX ?
		IndexGetRelation(relid, true) : relid;
}

/* ANALYZE or REPACK of all that there is: by any role that is to end. */
static void
note_all_roles(void)
{
	ListCell   *lc;

	foreach(lc, superuser() ? NIL : jit_live_closure(GetUserId()))
	{
		if (jit_role_kind_by_oid(lfirst_oid(lc)) == JIT_ROLE_GRANT)
			jit_note_reliance(GetUserId(), NULL, AuthIdRelationId,
							  lfirst_oid(lc), 0, false);
	}
}

/*
 * What PostgreSQL locks for who owns, maintains, reads or locks it, and tells
 * no hook of: it is held to the end of the transaction.  Noted before the
 * command, which may wait for long, and after it: until it had the lock, the
 * name may have become another's.
 */
static void
note_locked(Node *stmt)
{
	List	   *tables = NIL;
	AclMode		mode = JIT_ACL_MAINTAIN;
	ListCell   *lc;

	if (IsA(stmt, LockStmt))
	{
		foreach(lc, ((LockStmt *) stmt)->relations)
		{
			Oid			relid = RangeVarGetRelid(lfirst_node(RangeVar, lc),
												 NoLock, true);

			if (OidIsValid(relid))
				note_lock(relid, GetUserId(),
						  JIT_LOCK_PRIVILEGES(((LockStmt *) stmt)->mode), NIL);
		}
	}
	else if (IsA(stmt, VacuumStmt))
	{
		foreach(lc, ((VacuumStmt *) stmt)->rels)
			tables = lappend_oid(tables, find_table(lfirst_node(VacuumRelation, lc)->relation));
		if (tables == NIL)
			note_all_roles();
	}
	else if (IsA(stmt, RepackStmt))
	{
		if (JIT_REPACKED((RepackStmt *) stmt) == NULL)
			note_all_roles();
		tables = list_make1_oid(find_table(JIT_REPACKED((RepackStmt *) stmt)));
	}
	else if (IsA(stmt, ReindexStmt))
		tables = list_make1_oid(find_table(((ReindexStmt *) stmt)->relation));
	else if (IsA(stmt, AlterTableStmt))
	{
		/* if there is nothing to be altered, for one */
		tables = list_make1_oid(find_table(((AlterTableStmt *) stmt)->relation));
		mode = 0;
	}
	else if (IsA(stmt, CreateStmt))
	{
		foreach(lc, ((CreateStmt *) stmt)->tableElts)
		{
			if (IsA(lfirst(lc), TableLikeClause))
				tables = lappend_oid(tables, find_table(((TableLikeClause *) lfirst(lc))->relation));
		}
		mode = ACL_SELECT;
	}
	else if (IsA(stmt, CommentStmt))
	{
		ObjectAddress address = find_commented((CommentStmt *) stmt);

		if (address.classId == RelationRelationId)
			tables = list_make1_oid(address.objectId);
		mode = 0;
	}
	foreach(lc, tables)
	{
		if (OidIsValid(lfirst_oid(lc)))
			jit_note_used(RelationRelationId, lfirst_oid(lc), mode);
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
	note_locked(stmt);
	if (!IsA(stmt, CallStmt) && !IsA(stmt, DoStmt))
	{
		jit_note_set_role_reliance(IsA(stmt, CopyStmt) && ((CopyStmt *) stmt)->is_from);
		jit_check_roles();
	}
	run_utility(arg);
	note_locked(stmt);
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
			jit_note_role(role);
	}
}

/* What is checked, or has to happen, before the statement is run. */
static void
check_before(Node *stmt)
{
	if (IsA(stmt, RenameStmt))
		check_rename((RenameStmt *) stmt);
	else if (IsA(stmt, CopyStmt))
		check_copy((CopyStmt *) stmt);
	else if (IsA(stmt, LockStmt))
		check_lock((LockStmt *) stmt);
	else if (IsA(stmt, CheckPointStmt))
		check_predefined_role(ROLE_PG_CHECKPOINT);
	else if (IsA(stmt, DropStmt))
		before_drop((DropStmt *) stmt);
	else if (IsA(stmt, SecLabelStmt))
		before_label((SecLabelStmt *) stmt);
	else if (IsA(stmt, IndexStmt))
		note_indexed((IndexStmt *) stmt);
	/* whatever it drops: nobody else is told of its commit */
	else if (IsA(stmt, TransactionStmt) &&
			 ((TransactionStmt *) stmt)->kind == TRANS_STMT_COMMIT_PREPARED)
		jit_note_dropped(AuthIdRelationId, InvalidOid);
	if (!leads_out(stmt) && unlikely(jit_needs_judging(GetUserId())))
		check_utility(stmt);
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
	Oid			outer_user = jit_command_user;
	List	   *outer_closure = jit_command_closure;
	const bool	is_copy = IsA(stmt, CopyStmt);
	JitStatementFrame frame;
	JitUtilityFrame self = {.pstmt = pstmt,.text = query_string,.params = params,.qc = qc};

	jit_push_utility(&self);
	if (!leads_out(stmt))
	{
		jit_accept_invalidations();
		jit_check_roles();
	}
	check_before(stmt);
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
		jit_command_user = InvalidOid;
		if (!leads_out(stmt) && !IsA(stmt, CallStmt) && !IsA(stmt, DoStmt) &&
			jit_user_deadline(GetUserId()) != DT_NOEND && !superuser())
		{
			jit_command_closure = jit_whole_closure(GetUserId());
			jit_command_user = GetUserId();
		}
		jit_check_lasting(stmt);
		if (may_rely(stmt))
			jit_run_relying_utility(run_relying_utility, &call);
		else
		{
			/* what is locked may come to be somebody's view */
			const bool	notes = IsA(stmt, LockStmt) || OidIsValid(jit_command_user);

			if (unlikely(notes))
				note_locked(stmt);
			run_utility(&call);
			if (unlikely(notes))
				note_locked(stmt);
		}
		jit_check_lasting_done();
	}
	PG_FINALLY();
	{
		jit_restore_lasting_state(state);
		jit_command_user = outer_user;
		jit_command_closure = outer_closure;
	}
	PG_END_TRY();
	if (is_copy)
		jit_pop_frame(&frame);

	if (IsA(stmt, GrantRoleStmt))
		note_role_grant((GrantRoleStmt *) stmt);
	/* SET ROLE, while the membership is there, and RESET ROLE */
	if (IsA(stmt, VariableSetStmt))
		jit_quiet_user = InvalidOid;
	jit_note_set_role();
	if (sets_role(stmt))
		jit_judge_roles(true);
	error_context_stack = self.callback.previous;
	if (unlikely(jit_statement_open))
		jit_statement_done(&self);
}

/*
 * Called from _PG_init() only.  "drop" and "label" are called before such
 * statements.
 */
void
jit_install_utility_hook(void (*drop) (const DropStmt *stmt),
						 void (*label) (const SecLabelStmt *stmt))
{
	before_drop = drop;
	before_label = label;
	next_process_utility_hook = ProcessUtility_hook ? ProcessUtility_hook : standard_ProcessUtility;
	ProcessUtility_hook = jit_process_utility;
}
