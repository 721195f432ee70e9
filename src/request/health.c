/*-------------------------------------------------------------------------
 *
 * health.c
 *		jit.health: what an operator should know, a row for each check.
 *
 * Each has a number, and is ok or not by a threshold that the manual has;
 * what it says besides is for people.  All are there on each
 * call, as nobody is told of a row that isn't: one that fails, or would have to
 * wait for a lock, isn't ok.
 *
 *	of the server			launcher, sweepers, last_error, clock,
 *							notification_queue: from shared memory (base/due.c),
 *							where the launcher writes what it knows
 *	of this database		the others: from the ledger, by indexes, whatever its
 *							size
 *
 * It is read by those who may read everything, and by members of pg_monitor, so
 * it says nothing of what people wrote.  An error of another database's
 * sweeper is told to pg_monitor alone.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/due.h"
#include "base/guc.h"
#include "base/lock.h"
#include "base/query.h"
#include "base/text.h"
#include "request/approver.h"

#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "funcapi.h"
#include "utils/numeric.h"
#include "utils/tuplestore.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(jit_check_health);
PG_FUNCTION_INFO_V1(jit_count_requests);

#define NO_VALUE PG_INT64_MIN

/* Thresholds; the manual has them. */
#define MAX_REST		(120 * USECS_PER_SEC)	/* of the launcher */
#define MAX_OVERDUE		(60 * USECS_PER_SEC)
#define MAX_MEDIAN_LAG	(10 * MSECS_PER_SEC)
#define MAX_LAG			(300 * MSECS_PER_SEC)
#define MAX_BEHIND		USECS_PER_SEC
#define MAX_QUEUE		100		/* hundredths of a percent */

/* How many pending requests, and about how long, it is asked who could decide. */
#define MOST_ASKED		100
#define LONGEST_ASKING	(50 * USECS_PER_MSEC)

#define MSECS_PER_SEC	INT64CONST(1000)
#define USECS_PER_MSEC	INT64CONST(1000)

/* In the order in which they are shown. */
typedef enum CheckName
{
	LAUNCHER,
	SWEEPERS,
	LAST_ERROR,
	OVERDUE_ENDS,
	OLDEST_PENDING,
	PENDING,
	ACTIVE,
	LAG_MEDIAN,
	LAG_MAX,
	CLOCK,
	NOTIFICATION_QUEUE,
	UNDECIDABLE,
	OVERDUE_REVIEWS,
	MISSING_ROLES,
	TOP_LEVEL_ONLY,
	N_CHECKS
} CheckName;

static const struct
{
	const char *name;
	const char *unit;
	int			decimals;
}			checks[N_CHECKS] =

{
	[LAUNCHER] = {"launcher", "seconds", 3},
	[SWEEPERS] = {"sweepers", "databases", 0},
	[LAST_ERROR] = {"last_error", "seconds", 3},
	[OVERDUE_ENDS] = {"overdue_ends", "requests", 0},
	[OLDEST_PENDING] = {"oldest_pending", "seconds", 3},
	[PENDING] = {"pending", "requests", 0},
	[ACTIVE] = {"active", "requests", 0},
	[LAG_MEDIAN] = {"lag_median", "seconds", 3},
	[LAG_MAX] = {"lag_max", "seconds", 3},
	[CLOCK] = {"clock", "seconds", 3},
	[NOTIFICATION_QUEUE] = {"notification_queue", "percent", 2},
	[UNDECIDABLE] = {"undecidable", "requests", 0},
	[OVERDUE_REVIEWS] = {"overdue_reviews", "emergencies", 0},
	[MISSING_ROLES] = {"missing_roles", "roles", 0},
	[TOP_LEVEL_ONLY] = {"top_level_only", "settings", 0},
};

/* What has come of a check. */
typedef struct CheckResult
{
	bool		ok;
	int64		value;			/* with the check's decimals; or NO_VALUE */
	char	   *detail;
} CheckResult;

typedef struct Health
{
	TimestampTz now;
	bool		monitors;		/* the caller is in pg_monitor */
	CheckResult results[N_CHECKS];
} Health;

static void
say(Health *health, CheckName check, bool ok, int64 value, char *detail)
{
	CheckResult *result = &health->results[check];

	result->ok = ok;
	result->value = value;
	result->detail = detail;
}

/* The time from "since" until now, in milliseconds. */
static int64
age(Health *health, TimestampTz since)
{
	return Max(health->now - since, 0) / USECS_PER_MSEC;
}

/* A database in words; the name is anybody's to know. */
static char *
database_text(Oid database)
{
	char	   *name = get_database_name(database);

	return name != NULL ? (char *) quote_identifier(name) :
		psprintf(_("the database with OID %u"), database);
}

/* ----------------------------------------------------------------------
 * Workers
 * ----------------------------------------------------------------------
 */

static void
check_workers(Health *health)
{
	JitTrouble	troubles[JIT_MAX_TROUBLES];
	JitFailure	failure;
	TimestampTz looked;
	bool		running;
	int			ntroubles;
	StringInfoData buf;
	char	   *words = NULL;

	LWLockAcquire(jit_due->lock, LW_SHARED);
	running = jit_due->latch != NULL;
	looked = jit_due->looked;
	ntroubles = jit_due->ntroubles;
	memcpy(troubles, jit_due->troubles, sizeof(troubles));
	failure = jit_due->failure;
	LWLockRelease(jit_due->lock);

	if (RecoveryInProgress())
		words = _("a standby needs none");

	else if (!running)
		words = _("it is not running; is there a place for it in max_worker_processes?");

	else if (looked != 0)
		words = psprintf(_("it last looked around at %s"), timestamptz_to_str(looked));

	say(health, LAUNCHER,
		RecoveryInProgress() || (running && (looked == 0 || health->now - looked <= MAX_REST)),
		running && looked != 0 ? age(health, looked) : NO_VALUE, words);

	initStringInfo(&buf);
	for (int i = 0; i < Min(ntroubles, JIT_MAX_TROUBLES); i++)
		appendStringInfo(&buf, _("%s%s since %s"), i > 0 ? "; " : "",
						 OidIsValid(troubles[i].database) ? database_text(troubles[i].database) :
						 _("none can be started, as all max_worker_processes are in use,"),
						 timestamptz_to_str(troubles[i].since));
	if (ntroubles > JIT_MAX_TROUBLES)
		appendStringInfo(&buf, _(" and %d more"), ntroubles - JIT_MAX_TROUBLES);
	say(health, SWEEPERS, ntroubles == 0, ntroubles,
		ntroubles > 0 ? buf.data : NULL);

	words = NULL;

	if (failure.at != 0)
		words = psprintf(_("in %s at %s%s: %s"), database_text(failure.database),
						 timestamptz_to_str(failure.at), failure.over ? _(", over since") : "",
						 health->monitors || failure.database == MyDatabaseId ?
						 jit_shown(failure.message) : _("the server log has it"));

	say(health, LAST_ERROR, failure.at == 0 || failure.over,
		failure.at != 0 ? age(health, failure.at) : NO_VALUE, words);
}

/* ----------------------------------------------------------------------
 * The ledger
 * ----------------------------------------------------------------------
 */

/* What is past and still stands there as pending, scheduled or active. */
static void
check_overdue(Health *health)
{
	JitOwnerSection section;
	int64		overdue;
	TimestampTz since;
	int			first;

	jit_enter_owner_section(&section);
	jit_query("SELECT count(*), (array_agg(id ORDER BY at))[1], min(at)"
			  " FROM (SELECT id, CASE status WHEN 'active' THEN expires_at ELSE lapses_at END AS at"
			  "   FROM jit.requests WHERE status IN ('pending', 'scheduled', 'active')) r WHERE at < $1",
			  "z", health->now - MAX_OVERDUE);
	overdue = jit_result_int64(1, 1);
	first = jit_result_int(1, 2);
	since = jit_result_time(1, 3);
	jit_leave_owner_section(&section);
	/* in the caller's time zone */
	say(health, OVERDUE_ENDS, overdue == 0, overdue,
		overdue > 0 ? psprintf(_("request %d since %s; it is denied all the same"),
							   first, timestamptz_to_str(since)) : NULL);
}

/* Who has most pending requests, as max_pending counts them; rows by login. */
static int64
most_pending(int rows, Oid *who)
{
	int64		most = 0;
	int64		sum = 0;
	Oid			last = InvalidOid;

	*who = InvalidOid;
	for (int i = 1; i <= rows; i++)
	{
		Oid			login = jit_result_oid(i, 1);
		bool		proxy = jit_is_proxy_login(login);

		sum = (proxy || login != last ? 0 : sum) + jit_result_int64(i, 4);
		last = login;
		if (sum > most)
		{
			most = sum;
			*who = proxy ? jit_result_oid(i, 2) : login;
		}
	}
	return most;
}

/* A role that has reached a limit: words, or NULL. */
static char *
limit_text(Oid role, int64 has, const char *setting, int limit)
{
	char	   *name = GetUserNameFromId(role, true);

	if (has == 0 || has < limit)
		return NULL;
	return psprintf(_("%s has " INT64_FORMAT ", and %s is %d"),
					name ? quote_identifier(name) : _("a role that is gone"), has, setting, limit);
}

static void
check_pending(Health *health)
{
	JitOwnerSection section;
	TimestampTz oldest = DT_NOEND;
	bool		waits_long = false;
	int64		pending = 0;
	int64		most;
	char	   *words;
	Oid			who;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT login_oid, requester_oid, count(*), count(*) FILTER (WHERE origin = $2),"
				  " min(requested_at), bool_or($1 - requested_at > (lapses_at - requested_at) / 2)"
				  " FROM jit.requests WHERE status = 'pending' AND lapses_at > $1 GROUP BY 1, 2 ORDER BY 1, 2",
				  "zt", health->now, jit_origin());
	for (int i = 1; i <= n; i++)
	{
		pending += jit_result_int64(i, 3);
		oldest = Min(oldest, jit_result_time(i, 5));
		waits_long |= jit_result_bool(i, 6);
	}
	most = most_pending(n, &who);
	jit_leave_owner_section(&section);
	say(health, OLDEST_PENDING, !waits_long, pending > 0 ? age(health, oldest) : NO_VALUE,
		waits_long ? _("a request has waited for over half of the time after which it lapses") : NULL);
	words = limit_text(who, most, "jit_access.max_pending", jit_max_pending);

	say(health, PENDING, words == NULL, pending, words);
}

static void
check_active(Health *health)
{
	JitOwnerSection section;
	int64		active;
	char	   *words = NULL;

	jit_enter_owner_section(&section);
	jit_query("SELECT count(*) FROM jit.requests WHERE status = 'active' AND expires_at > $1",
			  "z", health->now);
	active = jit_result_int64(1, 1);
	/* as limit.c counts them, and what others continue as well */
	if (jit_query("SELECT m.member, count(DISTINCT m.roleid)"
				  " FROM pg_auth_members m JOIN pg_authid a ON a.oid = m.roleid"
				  " WHERE starts_with(a.rolname, 'jit_grant_') AND NOT a.rolcanlogin"
				  " AND a.rolvaliduntil > $1 AND isfinite(a.rolvaliduntil)"
				  " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1", "z", health->now) > 0)
		words = limit_text(jit_result_oid(1, 1), jit_result_int64(1, 2),
						   "jit_access.max_active", jit_max_active);

	jit_leave_owner_section(&section);
	say(health, ACTIVE, words == NULL, active, words);
}

/* How late what came to its deadline was settled, of the last day. */
static void
check_lag(Health *health)
{
	JitOwnerSection section;
	int64		median;
	int64		longest;
	int			n;
	int			worst;

	jit_enter_owner_section(&section);
	jit_query("SELECT count(*)::int, percentile_cont(0.5) WITHIN GROUP (ORDER BY lag)::bigint, max(lag),"
			  " (array_agg(id ORDER BY lag DESC))[1]"
			  " FROM (SELECT r.id, greatest(0, extract(epoch FROM g.ended_at - r.ended_at) * 1000)::bigint AS lag"
			  "   FROM (SELECT request_id, ended_at FROM jit.grants WHERE ended_at > $1 - interval '1 day'"
			  "     ORDER BY ended_at DESC LIMIT 1000) g"
			  "   JOIN jit.requests r ON r.id = g.request_id"
			  "   WHERE r.status = 'expired' AND r.origin = $2 ORDER BY g.ended_at DESC LIMIT 100) e",
			  "zt", health->now, jit_origin());
	n = jit_result_int(1, 1);
	median = n > 0 ? jit_result_int64(1, 2) : NO_VALUE;
	longest = n > 0 ? jit_result_int64(1, 3) : NO_VALUE;
	worst = jit_result_int(1, 4);
	jit_leave_owner_section(&section);
	say(health, LAG_MEDIAN, median <= MAX_MEDIAN_LAG, median, NULL);
	say(health, LAG_MAX, longest <= MAX_LAG, longest,
		longest > MAX_LAG ? psprintf(_("that of request %d"), worst) : NULL);
}

typedef struct DecideCall
{
	int			id;
	List	   *logins;
	bool		could;			/* result */
} DecideCall;

static void
try_whether_decidable(void *arg)
{
	DecideCall *call = arg;
	JitRequest *request = jit_load_request(call->id, false);
	JitProgress progress;

	/* decided meanwhile */
	if (request->status != JIT_PENDING)
		return;
	call->could = false;
	if (jit_why_hopeless(request) != NULL)
		return;
	jit_load_request_items(request, false);
	jit_flow_progress(request, &progress);
	call->could = jit_could_be_complete(request, &progress, &call->logins);
}

/* Not inside an owner section: what comes of a request is nobody's to hold. */
static void
check_decidable(Health *health)
{
	JitOwnerSection section;
	DecideCall	call = {0, NIL, true};
	TimestampTz began = GetCurrentTimestamp();
	List	   *ids = NIL;
	int			nobody = 0;
	int			first = 0;
	ListCell   *lc;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT id FROM jit.requests WHERE status = 'pending' AND lapses_at > $1"
				  " ORDER BY requested_at, id LIMIT $2", "zi", health->now, MOST_ASKED);
	for (int i = 1; i <= n; i++)
		ids = lappend_int(ids, jit_result_int(i, 1));
	jit_leave_owner_section(&section);
	if (ids != NIL)
		call.logins = jit_all_logins();
	foreach(lc, ids)
	{
		ErrorData  *error;

		if (GetCurrentTimestamp() - began > LONGEST_ASKING)
			break;
		call.id = lfirst_int(lc);
		call.could = true;
		/* one that can't even be read can't be approved, either */
		error = jit_try(try_whether_decidable, &call);
		if (error == NULL && call.could)
			continue;
		if (nobody++ == 0)
			first = call.id;
	}
	say(health, UNDECIDABLE, nobody == 0, nobody,
		nobody > 0 ? psprintf(_("too few people could approve request %d; see jit_show()"), first) : NULL);
}

/* Emergencies that nobody has reviewed in time. */
static void
check_reviews(Health *health)
{
	JitOwnerSection section;
	int64		overdue;
	int			first;

	jit_enter_owner_section(&section);
	jit_query("SELECT count(*), min(id) FROM jit.requests"
			  " WHERE emergency AND verdict IS NULL AND activated_at <= $1",
			  "z", health->now - jit_review_within * USECS_PER_SEC);
	overdue = jit_result_int64(1, 1);
	first = jit_result_int(1, 2);
	jit_leave_owner_section(&section);
	say(health, OVERDUE_REVIEWS, overdue == 0, overdue,
		overdue > 0 ? psprintf(_("request %d; jit_show() tells who can review it"), first) : NULL);
}

/* ----------------------------------------------------------------------
 * Settings
 * ----------------------------------------------------------------------
 */

static void
note_missing_role(StringInfo buf, int *missing, const char *setting, const char *role)
{
	if (role[0] == '\0' || OidIsValid(get_role_oid(role, true)))
		return;
	appendStringInfo(buf, _("%s%s in %s"), (*missing)++ > 0 ? ", " : "",
					 jit_shown(quote_identifier(role)), setting);
}

static void
note_missing_roles(StringInfo buf, int *missing, const char *setting, const char *list)
{
	List	   *names;
	ListCell   *lc;

	if (list == NULL)
		return;
	if (!SplitIdentifierString(pstrdup(list), ',', &names))
	{
		appendStringInfo(buf, _("%s%s is no list of roles"), (*missing)++ > 0 ? ", " : "", setting);
		return;
	}
	foreach(lc, names)
		note_missing_role(buf, missing, setting, lfirst(lc));
}

static void
check_roles(Health *health)
{
	StringInfoData buf;
	int			missing = 0;

	initStringInfo(&buf);
	note_missing_role(&buf, &missing, "jit_access.admin_role", jit_admin_role);
	note_missing_role(&buf, &missing, "jit_access.auditor_role", jit_auditor_role);
	note_missing_roles(&buf, &missing, "jit_access.proxy_logins", jit_proxy_logins);
	note_missing_roles(&buf, &missing, "jit_access.gateway_logins", jit_gateway_logins);
	say(health, MISSING_ROLES, missing == 0, missing, missing > 0 ? buf.data : NULL);
}

/* Where it is off for sessions that begin here; what one sets for itself is its own. */
static void
check_top_level_only(Health *health)
{
	JitOwnerSection section;
	int64		places;
	char	   *where;

	jit_enter_owner_section(&section);
	jit_query("SELECT count(*), string_agg(concat_ws(' ', 'for role ' || quote_ident(a.rolname),"
			  "  CASE WHEN s.setdatabase <> 0 THEN 'in this database' ELSE 'in all databases' END), ', ' ORDER BY s.setrole, s.setdatabase)"
			  " FROM pg_db_role_setting s LEFT JOIN pg_authid a ON a.oid = s.setrole"
			  " WHERE s.setdatabase IN (0, $1) AND EXISTS (SELECT FROM unnest(s.setconfig) c"
			  "  WHERE CASE WHEN c ~* '^jit_access\\.top_level_only=' THEN NOT split_part(c, '=', 2)::boolean END)",
			  "o", MyDatabaseId);
	places = jit_result_int64(1, 1);
	where = jit_result_text(1, 2);
	jit_leave_owner_section(&section);
	if (places == 0 && strcmp(GetConfigOptionResetString("jit_access.top_level_only"), "off") == 0)
	{
		places = 1;
		where = _("in postgresql.conf or by ALTER SYSTEM");
	}
	say(health, TOP_LEVEL_ONLY, places == 0, places,
		places > 0 ? psprintf(_("it is off %s"), where) : NULL);
}

static void
check_server(Health *health)
{
	int64		behind = Max(jit_clock_behind(), 0);
	int64		queue = (int64) (DatumGetFloat8(DirectFunctionCall1(pg_notification_queue_usage, (Datum) 0)) * 10000);

	check_workers(health);
	say(health, CLOCK, behind <= MAX_BEHIND, behind / USECS_PER_MSEC,
		behind > MAX_BEHIND ? _("the system clock was set back; see jit_reset_clock()") : NULL);
	say(health, NOTIFICATION_QUEUE, queue <= MAX_QUEUE, queue,
		queue > MAX_QUEUE ? _("a session that listens has been in a transaction for long") : NULL);
	check_roles(health);
}

typedef struct LedgerCheck
{
	void		(*run) (Health *health);
	CheckName	from;			/* which they are */
	CheckName	to;
} LedgerCheck;

static const LedgerCheck ledger_checks[] = {
	{check_overdue, OVERDUE_ENDS, OVERDUE_ENDS},
	{check_pending, OLDEST_PENDING, PENDING},
	{check_active, ACTIVE, ACTIVE},
	{check_lag, LAG_MEDIAN, LAG_MAX},
	{check_decidable, UNDECIDABLE, UNDECIDABLE},
	{check_reviews, OVERDUE_REVIEWS, OVERDUE_REVIEWS},
	{check_top_level_only, TOP_LEVEL_ONLY, TOP_LEVEL_ONLY},
};

typedef struct CheckCall
{
	Health	   *health;
	const LedgerCheck *check;
} CheckCall;

static void
try_to_check(void *arg)
{
	CheckCall  *call = arg;

	(void) jit_open_ledger();
	call->check->run(call->health);
}

/* Run those that may fail, or have to wait for a lock. */
static void
check_ledger(Health *health)
{
	int			nestlevel = NewGUCNestLevel();

	jit_set_locally("lock_timeout", JIT_SHORTEST_WAIT_TEXT);
	for (size_t i = 0; i < lengthof(ledger_checks); i++)
	{
		CheckCall	call = {health, &ledger_checks[i]};
		ErrorData  *error = jit_try(try_to_check, &call);

		for (CheckName name = call.check->from; name <= call.check->to && error != NULL; name++)
			say(health, name, false, NO_VALUE,
				psprintf(_("could not be checked: %s"), jit_shown(error->message)));
	}
	AtEOXact_GUC(false, nestlevel);
}

/* Raise unless the caller may read this; true: they are in pg_monitor. */
static bool
require_reader(void)
{
	JitPerson	person;
	bool		monitors;

	jit_current_person(&person);
	monitors = jit_person_monitors(&person);
	if (GetUserId() != GetOuterUserId() || !(monitors || jit_person_audits(&person)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to read the health of jit_access"),
				 errdetail("Only JIT administrators, auditors and members of pg_monitor may, for good and as themselves.")));
	return monitors;
}

/* jit.check_health() */
Datum
jit_check_health(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Health		health = {0};

	health.monitors = require_reader();
	InitMaterializedSRF(fcinfo, 0);

	health.now = jit_now();
	check_server(&health);
	check_ledger(&health);
	for (int i = 0; i < N_CHECKS; i++)
	{
		CheckResult *result = &health.results[i];
		Datum		values[5];
		bool		nulls[5] = {false};

		values[0] = CStringGetTextDatum(checks[i].name);
		values[1] = BoolGetDatum(result->ok);
		nulls[2] = result->value == NO_VALUE;
		values[2] = nulls[2] ? (Datum) 0 :
			NumericGetDatum(int64_div_fast_to_numeric(result->value, checks[i].decimals));
		values[3] = CStringGetTextDatum(checks[i].unit);
		nulls[4] = result->detail == NULL;
		values[4] = nulls[4] ? (Datum) 0 : CStringGetTextDatum(result->detail);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* jit.count_requests() */
Datum
jit_count_requests(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	JitOwnerSection section;
	int			n;

	(void) require_reader();
	InitMaterializedSRF(fcinfo, 0);
	(void) jit_open_ledger();
	jit_enter_owner_section(&section);
	/* of what is on record, little is written any more */
	jit_set_locally("enable_indexonlyscan", "on");
	n = jit_query("SELECT s, coalesce(c.n, 0) FROM unnest(enum_range(NULL::jit.request_status)) s"
				  " LEFT JOIN (SELECT status, count(*) AS n FROM jit.requests GROUP BY 1) c ON c.status = s"
				  " ORDER BY s", "");
	for (int i = 1; i <= n; i++)
	{
		Datum		values[2];
		bool		nulls[2] = {false};

		values[0] = jit_result(i, 1, &nulls[0]);
		values[1] = jit_result(i, 2, &nulls[1]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	jit_leave_owner_section(&section);
	return (Datum) 0;
}
