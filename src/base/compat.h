/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Every difference between PostgreSQL 15 and 19 that we meet.
 *
 * No other file may look at PG_VERSION_NUM.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_COMPAT_H
#define JIT_BASE_COMPAT_H

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 200000
#error "jit_access is written for PostgreSQL 15 to 19"
#endif

/*
 * Commit a61b1f748 (PostgreSQL 16) moved the permission fields of
 * RangeTblEntry into RTEPermissionInfo.  The fields that we read have the
 * same names in both: requiredPerms, checkAsUser, selectedCols,
 * insertedCols, updatedCols.
 */
#if PG_VERSION_NUM >= 160000
typedef RTEPermissionInfo JitPermInfo;
#define JIT_CHECK_PERMS_ARGS \
	List *rangetable, List *perminfos, bool ereport_on_violation
#define JIT_CHECK_PERMS_PASS rangetable, perminfos, ereport_on_violation
#define JIT_CHECK_PERMS_INFOS perminfos
#define JIT_PLAN_PERMINFOS(plan) ((plan)->permInfos)
#define JIT_QUERY_PERMINFOS(query) ((query)->rteperminfos)
#define JIT_RTE_PERMINFO(root, rte) \
	((rte)->perminfoindex == 0 ? NULL : \
	 getRTEPermissionInfo((root)->parse->rteperminfos, rte))
#define JIT_PERMINFO_IS_RELATION(info) (true)
#define JIT_MAKE_PERMINFO() makeNode(RTEPermissionInfo)
#else
typedef RangeTblEntry JitPermInfo;
#define JIT_CHECK_PERMS_ARGS List *rangetable, bool ereport_on_violation
#define JIT_CHECK_PERMS_PASS rangetable, ereport_on_violation
#define JIT_CHECK_PERMS_INFOS rangetable
#define JIT_PLAN_PERMINFOS(plan) ((plan)->rtable)
#define JIT_QUERY_PERMINFOS(query) ((query)->rtable)
#define JIT_RTE_PERMINFO(root, rte) ((void) (root), rte)
#define JIT_PERMINFO_IS_RELATION(info) ((info)->rtekind == RTE_RELATION)
#define JIT_MAKE_PERMINFO() makeNode(RangeTblEntry) /* an RTE_RELATION */
#endif

/*
 * Commit e3ce2de09 (PostgreSQL 16) made inheritance an option of each
 * membership, 3d14e171e added SET.  Before, INHERIT is the member role's
 * attribute, and any membership allows SET ROLE.
 */
#if PG_VERSION_NUM >= 160000
#define JIT_GRANT_ROLE_HAS_OPTIONS(stmt) ((stmt)->opt != NIL)
#define JIT_SET_MEMBERSHIP_OPTIONS(stmt, allow_set) \
	((stmt)->opt = list_make2(makeDefElem("inherit", (Node *) makeString("true"), -1), \
							  makeDefElem("set", (Node *) makeString((allow_set) ? "true" : "false"), -1)))
#define JIT_GRANT_ROLE(stmt) GrantRole(make_parsestate(NULL), stmt)
#define JIT_FORGET_MEMBERSHIP(tuple) \
	deleteSharedDependencyRecordsFor(AuthMemRelationId, \
									 ((Form_pg_auth_members) GETSTRUCT(tuple))->oid, 0)
#define JIT_CREATEROLE_IS_ADMIN false	/* commit cf5eb37c5 */
#define JIT_ROLE_CAN_INHERIT(form) (true)
#define JIT_MEMBERSHIP_INHERITS(form) ((form)->inherit_option)
#define JIT_MEMBERSHIP_SETS(form) ((form)->set_option)
#else
#define JIT_GRANT_ROLE_HAS_OPTIONS(stmt) ((stmt)->admin_opt)
#define JIT_SET_MEMBERSHIP_OPTIONS(stmt, allow_set) ((void) (allow_set))
#define JIT_GRANT_ROLE(stmt) GrantRole(stmt)
#define JIT_FORGET_MEMBERSHIP(tuple) ((void) 0)
#define JIT_CREATEROLE_IS_ADMIN true
#define JIT_ROLE_CAN_INHERIT(form) ((form)->rolinherit)
#define JIT_MEMBERSHIP_INHERITS(form) (true)
#define JIT_MEMBERSHIP_SETS(form) (true)
#endif

/*
 * The view that an RTE_SUBQUERY was made of, or InvalidOid.  Commit 47bb9db75
 * (PostgreSQL 16) took the entry OLD, which bears the view's permissions, out
 * of the view's query, and keeps the OID where the query is used.
 */
#if PG_VERSION_NUM >= 160000
#define JIT_VIEW_OF(rte) ((rte)->relid)
#else
#define JIT_VIEW_OF(rte) \
	((rte)->subquery->rtable != NIL && \
	 linitial_node(RangeTblEntry, (rte)->subquery->rtable)->rtekind == RTE_RELATION && \
	 linitial_node(RangeTblEntry, (rte)->subquery->rtable)->relkind == RELKIND_VIEW ? \
	 linitial_node(RangeTblEntry, (rte)->subquery->rtable)->relid : InvalidOid)
#endif

/*
 * Commit ecb0fd337 (PostgreSQL 17) added the MAINTAIN privilege and the role
 * pg_maintain.
 */
#if PG_VERSION_NUM >= 170000
#define JIT_ACL_MAINTAIN ACL_MAINTAIN
#define JIT_MAINTAIN_BY_ROLE(closure, mask) \
	(list_member_oid(closure, ROLE_PG_MAINTAIN) ? ((mask) & ACL_MAINTAIN) : 0)
#define JIT_ROLE_MAINTAIN ROLE_PG_MAINTAIN
#else
#define JIT_ACL_MAINTAIN 0
#define JIT_MAINTAIN_BY_ROLE(closure, mask) 0
#define JIT_ROLE_MAINTAIN InvalidOid
#endif

/*
 * Which privileges, any of them, allow a LOCK TABLE: LockTableAclCheck().
 * Commit c44f6334c (PostgreSQL 16) let what allows a mode allow weaker ones,
 * ecb0fd337 (17) added MAINTAIN.
 */
#if PG_VERSION_NUM >= 160000
#define JIT_LOCK_PRIVILEGES(mode) \
	(JIT_ACL_MAINTAIN | ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE | \
	 ((mode) <= AccessShareLock ? ACL_SELECT : 0) | \
	 ((mode) <= RowExclusiveLock ? ACL_INSERT : 0))
#else
#define JIT_LOCK_PRIVILEGES(mode) \
	((mode) == AccessShareLock ? ACL_SELECT : \
	 ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE | \
	 ((mode) == RowExclusiveLock ? ACL_INSERT : 0))
#endif

/*
 * Commits 089480c07 and c8ead2a39 (PostgreSQL 16) made PGDLLEXPORT mean
 * something outside Windows and put it in front of SQL-callable functions.
 * We build with -fvisibility=hidden everywhere.
 */
#if PG_VERSION_NUM < 160000
#include "fmgr.h"

#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(funcname) \
extern PGDLLEXPORT Datum funcname(PG_FUNCTION_ARGS); \
extern PGDLLEXPORT const Pg_finfo_record *CppConcat(pg_finfo_,funcname)(void); \
const Pg_finfo_record * \
CppConcat(pg_finfo_,funcname) (void) \
{ \
	static const Pg_finfo_record my_finfo = {1}; \
	return &my_finfo; \
} \
extern int no_such_variable
#endif

/*
 * Commit 3eea7a0c9 (PostgreSQL 18) took execute_once away.  PASS initializes a
 * struct that has it; FIELDS passes on what there is.
 */
#if PG_VERSION_NUM >= 180000
#define JIT_EXECUTOR_RUN_ARGS \
	QueryDesc *query, ScanDirection direction, uint64 count
#define JIT_EXECUTOR_RUN_PASS query, direction, count, true
#define JIT_EXECUTOR_RUN_FIELDS(call) \
	(call)->query, (call)->direction, (call)->count
#else
#define JIT_EXECUTOR_RUN_ARGS \
	QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once
#define JIT_EXECUTOR_RUN_PASS query, direction, count, execute_once
#define JIT_EXECUTOR_RUN_FIELDS(call) \
	(call)->query, (call)->direction, (call)->count, (call)->execute_once
#endif

/*
 * Commit c83ac02ec (PostgreSQL 19) tells the planner for which EXPLAIN it
 * plans.
 */
#if PG_VERSION_NUM >= 190000
#define JIT_PLANNER_ARGS \
	Query *parse, const char *query_string, int cursor_options, \
	ParamListInfo params, ExplainState *es
#define JIT_PLANNER_PASS parse, query_string, cursor_options, params, es
#define JIT_PLAN_QUERY(query, text) pg_plan_query(query, text, 0, NULL, NULL)
#else
#define JIT_PLANNER_ARGS \
	Query *parse, const char *query_string, int cursor_options, \
	ParamListInfo params
#define JIT_PLANNER_PASS parse, query_string, cursor_options, params
#define JIT_PLAN_QUERY(query, text) pg_plan_query(query, text, 0, NULL)
#endif

/*
 * Commit 91f33a2ae (PostgreSQL 19) replaced get_relation_info_hook.  Its
 * successor is called a moment later, but still before anything is done with
 * what get_relation_info() found; and for what isn't a relation, too.  What we
 * look at is in "rel" and "root".
 */
#if PG_VERSION_NUM >= 190000
#define JIT_SIMPLE_REL_HOOK_TYPE build_simple_rel_hook_type
#define JIT_SIMPLE_REL_HOOK build_simple_rel_hook
#define JIT_SIMPLE_REL_ARGS PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte
#define JIT_SIMPLE_REL_PASS root, rel, rte
#else
#define JIT_SIMPLE_REL_HOOK_TYPE get_relation_info_hook_type
#define JIT_SIMPLE_REL_HOOK get_relation_info_hook
#define JIT_SIMPLE_REL_ARGS PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel
#define JIT_SIMPLE_REL_PASS root, relid, inhparent, rel
#endif

/*
 * Commit ac58465e0 (PostgreSQL 19) made REPACK of CLUSTER, and lets it analyze,
 * so that what it names is as in VACUUM.
 */
#if PG_VERSION_NUM >= 190000
#define JIT_REPACKED(stmt) ((stmt)->relation ? (stmt)->relation->relation : NULL)
#else
#define T_RepackStmt T_ClusterStmt
#define RepackStmt ClusterStmt
#define JIT_REPACKED(stmt) ((stmt)->relation)
#endif

/*
 * Commit dd1398f13 (PostgreSQL 19): GRANTED BY of GRANT and REVOKE on objects
 * says by whose grant options it is done.  Before, it could name nobody but the
 * current user, and changed nothing.
 */
#if PG_VERSION_NUM >= 190000
#define JIT_GRANTED_BY(stmt) ((stmt)->grantor)
#else
#define JIT_GRANTED_BY(stmt) ((RoleSpec *) NULL)
#endif

/* Commit 8185bb534 (PostgreSQL 19): the server that a subscription names. */
#if PG_VERSION_NUM >= 190000
#define JIT_SUBSCRIPTION_SERVER(stmt) ((stmt)->servername)
#else
#define JIT_SUBSCRIPTION_SERVER(stmt) NULL
#endif

/*
 * Commit d98197602 (PostgreSQL 19) let pg_read_all_data and pg_write_all_data
 * have large objects as well.
 */
#if PG_VERSION_NUM >= 190000
#define JIT_ALL_DATA_HAS_LARGE_OBJECTS true
#else
#define JIT_ALL_DATA_HAS_LARGE_OBJECTS false
#endif

/*
 * Commit 0986e9516 (PostgreSQL 19) made one struct of what pushJsonbValue() is
 * given and what it returns.
 */
#if PG_VERSION_NUM >= 190000
#define JIT_PUSH_JSONB(state, token, value) pushJsonbValue(state, token, value)
#else
typedef struct JsonbInState
{
	struct JsonbParseState *parseState;
	struct JsonbValue *result;
} JsonbInState;
#define JIT_PUSH_JSONB(state, token, value) \
	((void) ((state)->result = pushJsonbValue(&(state)->parseState, token, value)))
#endif

/* All rows, once. */
#if PG_VERSION_NUM >= 180000
#define JIT_EXECUTOR_RUN(query) ExecutorRun(query, ForwardScanDirection, 0)
#else
#define JIT_EXECUTOR_RUN(query) ExecutorRun(query, ForwardScanDirection, 0, true)
#endif

/* Commit 5352ca22e (PostgreSQL 16) renamed the setting. */
#if PG_VERSION_NUM >= 160000
#define JIT_FORCE_PARALLEL_MODE "debug_parallel_query"
#else
#define JIT_FORCE_PARALLEL_MODE "force_parallel_mode"
#endif

/* PostgreSQL 16 declares assign_search_path() elsewhere. */
#if PG_VERSION_NUM >= 160000
#include "utils/guc_hooks.h"
#else
#include "utils/guc.h"
#endif

/* From PostgreSQL 17 on this raises by itself. */
#if PG_VERSION_NUM >= 170000
#define JIT_CHECK_PARAMETER_NAME(name) check_GUC_name_for_parameter_acl(name)
#else
#define JIT_CHECK_PARAMETER_NAME(name) \
	do { \
		if (!check_GUC_name_for_parameter_acl(name)) \
			ereport(ERROR, \
					(errcode(ERRCODE_UNDEFINED_OBJECT), \
					 errmsg("unrecognized configuration parameter \"%s\"", \
							name))); \
	} while (0)
#endif

/* PostgreSQL 19 has this, and flags for which no comment says the same. */
#if PG_VERSION_NUM < 190000
#define pg_fallthrough __attribute__((fallthrough))
#endif

/* Commit de3600452 (PostgreSQL 17) added JSON_TABLE, whose path is a literal. */
#if PG_VERSION_NUM >= 170000
#define JIT_IS_PATH_SPEC(node) IsA(node, JsonTablePathSpec)
#define JIT_IS_JSON_EXPR(node) IsA(node, JsonExpr)
#else
#define JIT_IS_PATH_SPEC(node) (false)
#define JIT_IS_JSON_EXPR(node) (false)
#endif

/* PostgreSQL 18 has pg_noreturn instead, at the front of declarations. */
#if PG_VERSION_NUM >= 180000
#define pg_attribute_noreturn() __attribute__((noreturn))
#endif

#endif							/* JIT_BASE_COMPAT_H */
