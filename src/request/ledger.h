/*-------------------------------------------------------------------------
 *
 * ledger.h
 *		Requests as the ledger has them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_LEDGER_H
#define JIT_REQUEST_LEDGER_H

#include "base/person.h"

#include "utils/jsonb.h"

/* What of a request decides who may agree to it; a row of jit.requests. */
typedef struct JitRequest
{
	int			id;
	JitStatus	status;
	Oid			requester;		/* InvalidOid when the role is gone */
	Oid			login;
	Oid			grantee;
	char	   *requester_name;
	char	   *login_name;
	char	   *grantee_name;
	char	   *access;
	char	   *asked;			/* the same as it was typed; NULL if it wasn't */
	char	   *reason;			/* NULL if none */
	char	   *ticket;			/* NULL if none */
	Interval   *duration;		/* NULL if "until" was given */
	TimestampTz until;			/* DT_NOEND if a duration was given */
	TimestampTz start;			/* DT_NOEND: at once */
	TimestampTz lapses_at;
	TimestampTz decided_at;		/* DT_NOEND while pending */
	TimestampTz activated_at;	/* DT_NOEND if it never was */
	TimestampTz expires_at;		/* DT_NOEND unless it is or was active */
	Jsonb	   *flow;			/* steps, as in jit.requests.flow */
	char	   *risk;
	bool		needs_superuser;
	bool		elsewhere;		/* reaches other databases; known with items */
	char	   *via;			/* identity that asked; NULL if none */
	char	   *origin;			/* where it was filed, as jit_origin() */
	bool		here;			/* filed in this database of this cluster */
	bool		cluster;		/* filed in this cluster: OIDs of roles count */
	bool		emergency;		/* by jit_break_glass(): flow is who reviews */
	char	   *verdict;		/* of its last review; NULL if none */
	char	   *statement;		/* that is to be run; NULL: access is given */
	char	   *fingerprint;	/* of that, see statement.c */
	int			runs;			/* how often; 0: as often as one likes */
	int			ran;
	bool		direct;			/* being filed by jit_grant(): the requester
								 * may give the first approval */
	int			extends;		/* the request that it extends, or 0 */
	List	   *items;			/* of JitItem */
	char	   *held;			/* NULL, or the grantee has all of it: by
								 * what, a sentence or "" */
	List	   *gone;			/* what was left out of them, in words */
	List	   *reviews;		/* of JitReview, approvals only, in order */
	struct JitReview *rejection;	/* NULL if none */
} JitRequest;

/* An approval or rejection; a row of jit.reviews. */
typedef struct JitReview
{
	int			step;			/* from 1 */
	Oid			approver;
	Oid			login;
	char	   *approver_name;
	char	   *login_name;
	char	   *via;			/* identity; NULL if none */
	bool		by_superuser;
	bool		counts;			/* as last seen by jit_flow_progress() */
	Interval   *duration;		/* NULL if it doesn't shorten */
} JitReview;

/*
 * SQL that is true of pending or scheduled requests "r" which jit_why_hopeless() may say
 * something of: $2 is the database, $3 as jit_cluster_origin().
 */
#define JIT_MAYBE_HOPELESS \
	"starts_with(r.origin, $3) AND NOT EXISTS (SELECT FROM pg_authid WHERE oid = r.grantee_oid)" \
	" OR r.origin = $3 || $2::text AND EXISTS (SELECT FROM jit.request_items i, unnest(coalesce(i.attnums, '{0}')) n" \
	"  WHERE i.request_id = r.id AND i.address_type <> 'parameter ACL' AND" \
	"  CASE WHEN n = 0 THEN (pg_identify_object(i.classid, i.objid, 0)).identity IS NULL" \
	"   ELSE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = i.objid AND attnum = n AND NOT attisdropped) END)"

extern char *jit_request_text(int id);
extern char *jit_name_now(Oid role, const char *stored);
extern char *jit_access_now(const JitRequest *request);
extern JitRequest *jit_load_request(int id, bool lock);
extern TimestampTz jit_begins(const JitRequest *request, TimestampTz now);
extern TimestampTz jit_deadline(const JitRequest *request, TimestampTz now);
extern List *jit_owners_then(const JitRequest *request);

extern void jit_load_request_items(JitRequest *request, bool missing_ok);
extern bool jit_says_gone(const ErrorData *error);
extern char *jit_why_hopeless(const JitRequest *request);
extern void jit_forget_schedule(int id);
extern void jit_store_items(int request, List *items);
extern void jit_finish_request(int id, JitStatus status,
							   TimestampTz ended_at, const char *logline,
							   Jsonb *detail);
extern void jit_end_request(int id, JitStatus status, const char *logline,
							Jsonb *detail);
extern void jit_store_review(JitRequest *request, const char *verdict, int step,
							 const JitPerson *person, Interval *duration,
							 const char *comment);

#endif							/* JIT_REQUEST_LEDGER_H */
