/*-------------------------------------------------------------------------
 *
 * guc.c
 *		Settings.
 *
 * All of them decide who may do what, so none can be set by an ordinary
 * user; a superuser may set them for a database with ALTER DATABASE ... SET.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/guc.h"

#include <limits.h>

#include "access/parallel.h"
#include "access/xact.h"
#include "tcop/pquery.h"
#include "utils/varlena.h"

char	   *jit_admin_role = NULL;
char	   *jit_auditor_role = NULL;
char	   *jit_environment = NULL;
char	   *jit_proxy_logins = NULL;
char	   *jit_gateway_logins = NULL;
bool		jit_top_level_only = true;
int			jit_max_duration = 7 * 24 * 60 * 60;
int			jit_max_ahead = 7 * 24 * 60 * 60;
int			jit_review_within = 3 * 24 * 60 * 60;
int			jit_max_pending = 20;
int			jit_max_active = 100;
int			jit_keep_scopes = 7 * 24 * 60 * 60;
int			jit_warn_before = 5 * 60;
bool		jit_log_statements = true;
int			jit_default_risk = JIT_RISK_MODERATE;
bool		jit_commit_after_expiry = false;

static const struct config_enum_entry risk_options[] = {
	{"low", JIT_RISK_LOW, false},
	{"moderate", JIT_RISK_MODERATE, false},
	{"high", JIT_RISK_HIGH, false},
	{NULL, 0, false}
};

/*
 * Warn a superuser who sets something to a role that isn't there: SET, ALTER
 * ROLE and ALTER DATABASE ... SET, ALTER SYSTEM.  That one can be told from a
 * reload, which may come in an open transaction, by its statement.
 */
static void
warn_if_missing(const char *setting, const char *role, GucSource source)
{
	if (role[0] == '\0' || InitializingParallelWorker ||
		!IsTransactionState() || !OidIsValid(MyDatabaseId) ||
		!(source == PGC_S_SESSION || source == PGC_S_TEST ||
		  (source == PGC_S_FILE && MyBackendType == B_BACKEND && ActivePortal != NULL)))
		return;
	if (!OidIsValid(get_role_oid(role, true)))
		ereport(WARNING,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\", which %s names, does not exist",
						role, setting),
				 errdetail("Roles are trusted by this name: whoever makes one of that name decides who it is."),
				 errhint("Create the role, or name another.")));
}

static bool
check_admin_role(char **newval, void **extra, GucSource source)
{
	warn_if_missing("jit_access.admin_role", *newval, source);
	return true;
}

static bool
check_auditor_role(char **newval, void **extra, GucSource source)
{
	warn_if_missing("jit_access.auditor_role", *newval, source);
	return true;
}

/*
 * Where PostgreSQL would warn and go on with the default, which is that there
 * are no proxies, a list that can't be read stays, and is an error at its use.
 */
static bool
check_proxy_logins(char **newval, void **extra, GucSource source)
{
	char	   *list = pstrdup(*newval);
	List	   *names;
	bool		valid = SplitIdentifierString(list, ',', &names);
	ListCell   *lc;

	foreach(lc, valid ? names : NIL)
		warn_if_missing("jit_access.proxy_logins", lfirst(lc), source);
	list_free(names);
	pfree(list);
	if (valid || process_shared_preload_libraries_in_progress ||
		InitializingParallelWorker ||
		(source > PGC_S_FILE && source < PGC_S_INTERACTIVE))
		return true;
	GUC_check_errdetail("List syntax is invalid.");
	return false;
}

/* One that can't be read is refused: there are no gateways then. */
static bool
check_gateway_logins(char **newval, void **extra, GucSource source)
{
	char	   *list = pstrdup(*newval);
	List	   *names;
	bool		valid = SplitIdentifierString(list, ',', &names);
	ListCell   *lc;

	foreach(lc, valid ? names : NIL)
		warn_if_missing("jit_access.gateway_logins", lfirst(lc), source);
	list_free(names);
	pfree(list);
	if (!valid)
		GUC_check_errdetail("List syntax is invalid.");
	return valid;
}

/*
 * In a session it takes SET as a statement of the client's own: what is kept
 * from functions and views that a superuser merely uses, set_config() in them
 * mustn't let them do.  No code of a user's runs in such a statement.
 */
static bool
check_top_level_only(bool *newval, void **extra, GucSource source)
{
	PlannedStmt *statement;

	if (*newval || source != PGC_S_SESSION || InitializingParallelWorker)
		return true;
	if (PortalIsValid(ActivePortal) && list_length(ActivePortal->stmts) == 1)
	{
		statement = linitial_node(PlannedStmt, ActivePortal->stmts);
		if (statement->utilityStmt != NULL && IsA(statement->utilityStmt, VariableSetStmt))
			return true;
	}
	GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
	GUC_check_errmsg("jit_access.top_level_only cannot be switched off by a function or view");
	GUC_check_errhint("Use SET jit_access.top_level_only = off; by itself.");
	return false;
}

/* Called from _PG_init() only. */
void
jit_define_settings(void)
{
	DefineCustomStringVariable("jit_access.admin_role",
							   "Role whose members are JIT administrators.",
							   "Superusers always are. Empty: nobody else.",
							   &jit_admin_role, "",
							   PGC_SUSET, 0, check_admin_role, NULL, NULL);

	DefineCustomStringVariable("jit_access.auditor_role",
							   "Role whose members see all requests, grants and events.",
							   "Empty: only JIT administrators see all requests and grants, and only superusers events.",
							   &jit_auditor_role, "",
							   PGC_SUSET, 0, check_auditor_role, NULL, NULL);

	DefineCustomStringVariable("jit_access.environment",
							   "Environment of a database, such as prod or test, for risk policies.",
							   "Meant for ALTER DATABASE ... SET. Empty: unknown.",
							   &jit_environment, "",
							   PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomStringVariable("jit_access.proxy_logins",
							   "Comma-separated login roles behind which the effective role is the person.",
							   "For connection poolers and bots that SET ROLE.",
							   &jit_proxy_logins, "",
							   PGC_SUSET, GUC_LIST_INPUT, check_proxy_logins, NULL, NULL);

	DefineCustomStringVariable("jit_access.gateway_logins",
							   "Comma-separated login roles of programs that ask and decide for people.",
							   "For chat bots and portals, which use jit_act_for(). It is a setting of the whole server. Empty: there are none.",
							   &jit_gateway_logins, "",
							   PGC_SIGHUP, GUC_LIST_INPUT, check_gateway_logins, NULL, NULL);

	DefineCustomBoolVariable("jit_access.top_level_only",
							 "Lets only statements of the client's own decide, not functions or views that run in its name.",
							 "Off for tests: then SET SESSION AUTHORIZATION says who has logged in, too.",
							 &jit_top_level_only, true,
							 PGC_SUSET, 0, check_top_level_only, NULL, NULL);

	DefineCustomIntVariable("jit_access.max_duration",
							"Longest time that access can be asked for.",
							NULL,
							&jit_max_duration, 7 * 24 * 60 * 60, 1, INT_MAX,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);

	/* panic buttons are on record for as long: see request/giving.c */
	DefineCustomIntVariable("jit_access.max_ahead",
							"How far ahead access can be asked to start.",
							"0: only at once.",
							&jit_max_ahead, 7 * 24 * 60 * 60, 0, 30 * 24 * 60 * 60,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable("jit_access.review_within",
							"How long the review of an emergency can wait.",
							"After that, whoever broke the glass can't do so again until it is reviewed.",
							&jit_review_within, 3 * 24 * 60 * 60, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable("jit_access.max_pending",
							"Most pending requests that one person can have in a database.",
							NULL,
							&jit_max_pending, 20, 0, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("jit_access.max_active",
							"Most live grants that one role can have in all databases.",
							"What a later grant continues is not counted. It is a setting of the whole server.",
							&jit_max_active, 100, 0, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("jit_access.keep_scopes",
							"How long a scope role is kept for the next grant of the same once nobody uses it.",
							"It is a setting of the whole server.",
							&jit_keep_scopes, 7 * 24 * 60 * 60, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable("jit_access.warn_before",
							"How long before the end of access event expiring, and a NOTICE to who uses it, tell of it.",
							"The event only of access that lasts at least twice as long. 0: not at all. It is a setting of the whole server.",
							&jit_warn_before, 5 * 60, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomBoolVariable("jit_access.log_statements",
							 "Logs the statements that rely on temporary access, when they begin and when they end.",
							 "It is a setting of the whole server.",
							 &jit_log_statements, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomEnumVariable("jit_access.default_risk",
							 "Risk of a request that no policy matches.",
							 NULL,
							 &jit_default_risk, JIT_RISK_MODERATE, risk_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomBoolVariable("jit_access.commit_after_expiry",
							 "Lets a transaction commit that wrote through access which has ended since.",
							 NULL,
							 &jit_commit_after_expiry, false,
							 PGC_SUSET, 0, NULL, NULL, NULL);

	MarkGUCPrefixReserved("jit_access");
}
