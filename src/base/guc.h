/*-------------------------------------------------------------------------
 *
 * guc.h
 *		Settings.
 *
 * All of them decide who may do what: none can be set by an ordinary user.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_GUC_H
#define JIT_BASE_GUC_H

extern char *jit_admin_role;
extern char *jit_auditor_role;
extern char *jit_environment;
extern char *jit_proxy_logins;
extern char *jit_gateway_logins;
extern bool jit_top_level_only;
extern int	jit_max_duration;	/* seconds */
extern int	jit_max_ahead;		/* seconds */
extern int	jit_review_within;	/* seconds */
extern int	jit_max_pending;	/* requests per person */
extern int	jit_max_active;		/* live grants per grantee */
extern int	jit_keep_scopes;
extern int	jit_warn_before;	/* seconds */
extern bool jit_log_statements;
extern int	jit_default_risk;	/* JitRisk */
extern bool jit_commit_after_expiry;

extern void jit_define_settings(void);

#endif							/* JIT_BASE_GUC_H */
