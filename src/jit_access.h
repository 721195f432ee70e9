/*-------------------------------------------------------------------------
 *
 * jit_access.h
 *		The vocabulary that the rooms of jit_access share.
 *
 * An access text ("SELECT ON hr.employee; hr_reader") resolves to a list of
 * JitItem.  An approved request becomes one grant role, a member of one scope
 * role per object item and of each requested role; the grantee is the grant
 * role's only member, and VALID UNTIL of the grant role is the deadline.
 *
 * Nothing in here gives access: PostgreSQL's own ACL checks do, and what is
 * declared for enforcement can only say no.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ACCESS_H
#define JIT_ACCESS_H

#include "postgres.h"

#include "catalog/objectaccess.h"
#include "catalog/objectaddress.h"
#include "datatype/timestamp.h"
#include "executor/execdesc.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/jsonpath.h"

#include "base/compat.h"
#include "base/commit.h"
#include "base/changes.h"
#include "base/due.h"
#include "base/person.h"

#define JIT_EXTENSION		"jit_access"
#define JIT_SCHEMA			"jit"
#define JIT_CHANNEL			"jit_access"
#define JIT_ROLE_PREFIX		"jit_"
#define JIT_GRANT_PREFIX	"jit_grant_"
#define JIT_SCOPE_PREFIX	"jit_scope_"

/* None of this is exported: the compiler may reach it without a detour. */
#pragma GCC visibility push(hidden)

/* No text that a user hands us may be longer than this, in bytes. */
#define JIT_MAX_TEXT		8192

typedef enum JitRisk
{
	JIT_RISK_LOW,
	JIT_RISK_MODERATE,
	JIT_RISK_HIGH,
	JIT_RISK_FORBIDDEN
} JitRisk;

/* ---- guc.c: settings ------------------------------------------------- */

extern char *jit_admin_role;
extern char *jit_auditor_role;
extern char *jit_environment;
extern char *jit_proxy_logins;
extern bool jit_proxy_approvals;
extern int	jit_max_duration;	/* seconds */
extern int	jit_max_pending;	/* requests per person */
extern int	jit_default_risk;	/* JitRisk */
extern bool jit_commit_after_expiry;

extern void jit_define_settings(void);

/* ---- roles.c: names, closures, deadlines ----------------------------- */

typedef enum JitRoleKind
{
	JIT_ROLE_ORDINARY,
	JIT_ROLE_GRANT,				/* name starts with jit_grant_ */
	JIT_ROLE_SCOPE				/* name starts with jit_scope_ */
} JitRoleKind;

/* Which edges of the membership graph a closure follows. */
typedef enum JitClosureKind
{
	JIT_CLOSURE_PRIVS,			/* privileges that are inherited */
	JIT_CLOSURE_SET,			/* roles that SET ROLE reaches */
	JIT_CLOSURE_MEMBERS			/* every membership, whatever its options */
} JitClosureKind;

/* Which roles a closure leaves out. */
typedef enum JitClosureFilter
{
	JIT_FILTER_NONE,			/* none: PostgreSQL's own answer */
	JIT_FILTER_LIVE,			/* grant roles past their deadline, scope
								 * roles reached otherwise than through a live
								 * grant role */
	JIT_FILTER_STANDING			/* all grant and scope roles */
} JitClosureFilter;

extern JitRoleKind jit_role_kind(const char *rolname);
extern JitRoleKind jit_role_kind_by_oid(Oid roleid);
extern bool jit_parse_grant_name(const char *rolname, Oid *database,
								 int *request);
extern TimestampTz jit_role_deadline(Oid roleid);
extern bool jit_role_inherits(Oid roleid);
extern List *jit_role_closure(Oid roleid, JitClosureKind kind,
							  JitClosureFilter filter, TimestampTz now);
extern bool jit_grant_has_members(Oid role);
extern bool jit_is_member(Oid member, Oid role, JitClosureFilter filter);
extern bool jit_holds_admin(Oid member, Oid role);
extern bool jit_is_administrator(Oid roleid);
extern bool jit_is_auditor(Oid roleid);
extern void jit_init_roles(void);
extern uint64 jit_roles_generation;
extern Oid	jit_quiet_user;

/* ---- clock.c: the time that deadlines are compared with -------------- */

extern void jit_clock_shmem_request(void);
extern void jit_clock_shmem_startup(void);
extern TimestampTz jit_now(void);
extern int64 jit_clock_behind(void);
extern void jit_reset_clock_at_commit(void);

/* ---- acl.c: PostgreSQL's permission logic against a given closure ---- */

extern AclMode jit_aclmask(const Acl *acl, Oid owner, List *closure,
						   AclMode mask);
extern AclMode jit_object_aclmask(Oid classid, Oid objid, AttrNumber attnum,
								  List *closure, AclMode mask);

extern bool jit_perminfo_permitted(const JitPermInfo *perminfo,
								   List *closure);
extern Oid	jit_object_owner(Oid classid, Oid objid);
extern bool jit_permitted(const JitPermInfo *info, Oid classid, Oid objid,
						  AclMode mode, List *closure);

#include "base/item.h"

/* ---- access.c: access text to items ----------------------------------- */

extern List *jit_parse_access(const char *access);
extern List *jit_add_schema_usage(List *items, Oid grantee);
extern void jit_check_item_requestable(const JitItem *item);
extern void jit_store_items(int request, List *items);
extern List *jit_load_items(int request, bool resolve_names,
							bool missing_ok);

/* ---- grant.c: the only place that makes or drops roles, privileges --- */

typedef struct JitGrant
{
	int			request;
	Oid			role_oid;
	char	   *role;			/* jit_grant_<database oid>_<request> */
	Oid			grantee_oid;
	char	   *grantee;
	TimestampTz expires_at;
	bool		cluster;		/* made in this cluster: OIDs of roles count */
} JitGrant;

extern char *jit_grant_role_name(int request);
extern void jit_make_grant(int request, Oid grantee, List *items,
						   TimestampTz expires_at, const char *comment);
extern Oid	jit_find_grant_role(const JitGrant *grant);
extern bool jit_end_role(Oid roleid, bool wait);
extern bool jit_end_grant(const JitGrant *grant);
extern bool jit_expire_grant(int request);
extern int	jit_end_foreign_grants(Oid grantee, const char *reason);
extern bool jit_clear_past_roles(bool others, bool ledger,
								 TimestampTz logged, bool terminate);
extern void jit_before_drop(const DropStmt *stmt);
extern void jit_object_dropped(Oid classid, Oid objid);

/* ---- event.c: audit events and NOTIFY -------------------------------- */

extern void jit_events(const char *event, List *requests, Jsonb *detail,
					   List *loglines);
extern void jit_event(const char *event, int request, Jsonb *detail,
					  const char *logline);
extern void jit_record_change(const char *event, const char *key,
							  const char *name, Jsonb *before, Jsonb *after,
							  const char *logline);
extern Jsonb *jit_detail(const char *key,...);

/* ---- query.c: SQL on our own tables, as their owner ------------------ */

typedef struct JitOwnerSection
{
	Oid			userid;
	int			sec_context;
	int			nestlevel;
} JitOwnerSection;

#define JIT_N_PINNED_SETTINGS 6
extern const char *const jit_pinned_settings[JIT_N_PINNED_SETTINGS][2];
extern bool jit_settings_pinned;

extern void jit_set_locally(const char *name, const char *value);
extern void jit_enter_owner_section(JitOwnerSection *section);
extern void jit_leave_owner_section(JitOwnerSection *section);
extern int	jit_query(const char *sql, int nargs,...);
extern Datum jit_result(int row, int column, bool *isnull);
extern char *jit_result_text(int row, int column);
extern Datum jit_int4_array(Datum *values, int n);
extern ErrorData *jit_try(void (*work) (void *arg), void *arg);
extern bool jit_extension_installed(void);
extern void jit_prevent_if_not_here(FunctionCallInfo fcinfo);
extern bool jit_open_ledger(void);
extern const char *jit_origin(void);
extern char *jit_cluster_origin(void);
extern bool jit_is_of_cluster(const char *origin);
extern bool jit_is_copy(const char *origin);

/* ---- approver.c: who may agree --------------------------------------- */

#define JIT_GRANTOR "@grantor"

/* One step of a flow: any of these roles, so many times. */
typedef struct JitStep
{
	List	   *names;			/* char *; "@grantor" is who could GRANT it */
	List	   *oids;			/* Oid, in the same order; InvalidOid for
								 * @grantor and for roles that are unknown */
	int			approvals;
} JitStep;

/* What of a request decides who may agree to it; a row of jit.requests. */
typedef struct JitRequest
{
	int			id;
	char	   *status;
	Oid			requester;		/* InvalidOid when the role is gone */
	Oid			login;
	Oid			grantee;
	char	   *requester_name;
	char	   *login_name;
	char	   *grantee_name;
	char	   *access;
	char	   *reason;			/* NULL if none */
	char	   *ticket;			/* NULL if none */
	Interval   *duration;		/* NULL if "until" was given */
	TimestampTz until;			/* DT_NOEND if a duration was given */
	TimestampTz lapses_at;
	TimestampTz expires_at;		/* DT_NOEND unless it is or was active */
	Jsonb	   *flow;			/* steps, as in jit.requests.flow */
	char	   *risk;
	bool		needs_superuser;
	bool		elsewhere;		/* reaches other databases; known with items */
	char	   *origin;			/* where it was filed, as jit_origin() */
	bool		here;			/* filed in this database of this cluster */
	bool		cluster;		/* filed in this cluster: OIDs of roles count */
	bool		direct;			/* being filed by jit_grant(): the requester
								 * may give the first approval */
	List	   *items;			/* of JitItem */
	List	   *reviews;		/* of JitReview, approvals only, in order */
} JitRequest;

/* An approval that was given; a row of jit.reviews. */
typedef struct JitReview
{
	int			step;			/* from 1 */
	Oid			approver;
	Oid			login;
	char	   *approver_name;
	char	   *login_name;
	bool		by_superuser;
	Interval   *duration;		/* NULL if it doesn't shorten */
} JitReview;

/* Where the approval of a request stands. */
typedef struct JitProgress
{
	bool		complete;
	int			step;			/* the first that isn't complete, from 1 */
	int			steps;			/* how many there are */
	int			given;			/* approvals of that step so far */
	int			needed;
	char	   *approvers;		/* who may give them, in words */
} JitProgress;

extern char *jit_why_not_impartial(const JitRequest *request,
								   const JitPerson *person);
extern char *jit_why_not_approve(JitRequest *request, const JitPerson *person,
								 bool ending);
extern bool jit_needs_superuser(const JitRequest *request);
extern char *jit_step_names(const JitStep *step);
extern void jit_flow_progress(JitRequest *request, JitProgress *progress);
extern char *jit_approvers_text(JitRequest *request, int *people);

/* ---- request.c: life of a request ------------------------------------ */

extern JitRequest *jit_request_from_arguments(FunctionCallInfo fcinfo,
											  int duration, int reason,
											  int grantee, bool direct,
											  int64 *usecs);
extern JitRequest *jit_prepare_request(const char *access, Interval *duration,
									   const char *reason, TimestampTz until,
									   const char *ticket, const char *grantee,
									   bool direct, int64 *usecs);
extern JitRequest *jit_load_request(int id, bool lock);
extern void jit_finish_request(int id, const char *status,
							   TimestampTz ended_at, const char *logline,
							   Jsonb *detail);

/* ---- facts.c: what policies know of a request ------------------------ */

extern const char *const jit_fact_names[];

extern Jsonb *jit_make_facts(const JitRequest *request, int64 duration);
extern Jsonb *jit_refresh_facts(Jsonb *facts, const JitRequest *request);
extern void jit_check_condition(JsonPath *path);

/* ---- policy.c: risk -------------------------------------------------- */

/* What policies and flows say of a request that is being filed. */
typedef struct JitDecision
{
	JitRisk		risk;
	char	   *forbidden_by;	/* policy that forbids it, or NULL */
	char	   *forbidden_why;	/* its description, or NULL */
	Jsonb	   *facts;
	List	   *steps;			/* of JitStep */
	Jsonb	   *flow;			/* the same, as jit.requests.flow */
	int64		max_duration;	/* microseconds, PG_INT64_MAX if unlimited */
	int64		request_ttl;	/* microseconds */
	char	   *reason_pattern; /* NULL if any will do */
	char	   *ticket_pattern;
	List	   *policies;		/* of JitPolicyResult, for jit_explain */
} JitDecision;

typedef struct JitPolicyResult
{
	char	   *name;
	JitRisk		risk;			/* its own; if it failed, high at least */
	bool		matched;
	char	   *failure;		/* why the condition failed, or NULL */
} JitPolicyResult;

extern JitDecision *jit_decide(const JitRequest *request,
							   int64 duration /* microseconds */ );
extern JitDecision *jit_decide_by_facts(Jsonb *facts);
extern char *jit_stricter_now(const JitRequest *request);

/* ---- flow.c: who must agree, within which limits --------------------- */

#define JIT_DEFAULT_REQUEST_TTL USECS_PER_DAY

extern void jit_load_flow(JitDecision *decision, JitRisk risk);
extern bool jit_load_flow_as_is(JitDecision *decision, JitRisk risk);
extern char *jit_step_text(const JitStep *step);
extern char *jit_steps_text(List *steps);
extern Jsonb *jit_steps_to_jsonb(List *steps);

/* ---- label.c: labels of objects, for risk policies ------------------- */

extern List *jit_item_labels(const JitItem *item);
extern void jit_offer_labels(const SecLabelStmt *stmt);

/* ---- enforce.c, hint.c: what a statement may do ---------------------- */

extern void jit_install_enforcement(void);
extern TimestampTz jit_user_deadline(Oid userid);
extern bool jit_access_ended(Oid userid);
extern void jit_forget_ended_plans(void);
extern bool jit_set_role_is_temporary(void);
extern void jit_deny_ended(Oid userid, const char *kind,
						   const char *name) pg_attribute_noreturn();

/*
 * A query that is being planned or started, or a COPY: for the hint of a
 * denial, and for what it relies on.  Frames are on the C stack, and linked
 * in error_context_stack, which an error sets back.
 */
typedef struct JitStatementFrame
{
	ErrorContextCallback callback;
	QueryDesc  *starting;		/* NULL unless in its ExecutorStart; then */
	CopyStmt   *copy;			/* NULL unless it is one; then */
	List	   *perminfos;		/* of JitPermInfo */
	bool		checked;		/* have roles and marks been checked for it? */
	uint64		generation;		/* of the roles, when they were */
	struct Reliance *reliance;	/* what that has been found to rely on */
	struct Running *running;	/* innermost relying statement around it */
	List	   *functions;		/* while planning: that the planner executed */
	MemoryContext context;		/* ... where to keep that */
} JitStatementFrame;

extern bool jit_denial_explained;
extern struct Running *volatile jit_running;
extern void jit_hint_callback(void *arg);

/* Begin a frame, whose kind the caller fills in, until jit_pop_frame(). */
static inline void
jit_push_frame(JitStatementFrame *frame)
{
	jit_denial_explained = false;
	frame->checked = false;
	frame->reliance = NULL;
	frame->running = jit_running;
	frame->callback.callback = jit_hint_callback;
	frame->callback.arg = frame;
	frame->callback.previous = error_context_stack;
	error_context_stack = &frame->callback;
}

static inline void
jit_pop_frame(JitStatementFrame *frame)
{
	error_context_stack = frame->callback.previous;
}
extern int	jit_errhint_ended(List *perminfos);

/* ---- lasting.c: what must not come from temporary access -------------- */

/* The command being run, saved around commands that are run within it. */
typedef struct JitLastingState
{
	Oid			actor;
	const char *command;
	List	   *unguarded;
} JitLastingState;

extern JitLastingState jit_lasting_state(void);
extern void jit_restore_lasting_state(JitLastingState state);
extern void jit_check_lasting_drop(Oid classid, Oid objid, int dropflags);
extern void jit_check_lasting_done(void);
extern void jit_check_lasting(Node *stmt);
extern void jit_check_lasting_object(ObjectAccessType access, Oid classid,
									 Oid objid, int subid, void *arg);

/* ---- cutoff.c: the end for what is running --------------------------- */

extern void jit_install_cutoff(void);
extern void jit_judge_commit_first(void);

/* As a privilege on an object of pg_authid: SET ROLE to it */
#define JIT_SET_ROLE ACL_USAGE

extern JitStatementFrame *jit_checked_frame(void);
extern void jit_begin_reliance(JitStatementFrame *frame);
extern void jit_keep_reliance(JitStatementFrame *frame);
extern bool jit_functions_kept(void);
extern void jit_note_reliance(Oid userid, const JitPermInfo *info, Oid classid,
							  Oid objid, AclMode mode, bool writes);
extern void jit_run_relying_utility(void (*run) (void *arg), void *arg);

/* ---- launcher.c, sweeper.c: background ------------------------------- */

/* What the launcher tells a sweeper, in bgw_extra. */
typedef struct JitSweeperTask
{
	int			slot;			/* where to report to */
	bool		others;			/* roles of other databases, not the ledger */
	bool		again;			/* the last one didn't finish */
	TimestampTz logged;			/* what was due by then has been logged */
} JitSweeperTask;

extern void jit_register_launcher(void);
extern PGDLLEXPORT void jit_launcher_main(Datum arg);
extern PGDLLEXPORT void jit_sweeper_main(Datum arg);

#pragma GCC visibility pop

#include "base/text.h"

#endif							/* JIT_ACCESS_H */
