/*-------------------------------------------------------------------------
 *
 * policy.c
 *		What a request's risk is, and who must agree to it.
 *
 * A request is told in facts, one jsonb that is kept with it.  Risk policies
 * are jsonpath predicates over the facts; the highest risk of those that
 * match is the request's, and jit_access.default_risk if none does.  The
 * approval flow of that risk says who must agree, and within which limits.
 *
 * What can't be told never lowers the risk: a condition that raises, or
 * whose result is null, counts as matched, at high risk at least.  And what
 * isn't configured is what a fresh install has: no row in approval_flows
 * means one approval by somebody who could run the GRANT.
 *
 * Conditions are data: jsonpath has no functions of the user's, no variables
 * (we pass none) and no session setting but TimeZone, which is log_timezone
 * while they are evaluated, so that whoever asks can't turn the clock.
 *
 * This room decides and files nothing; its own tables change only through
 * the functions of JIT administrators at the end, each change with an event.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "pgtime.h"
#include "regex/regex.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/jsonpath.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(jit_set_policy);
PG_FUNCTION_INFO_V1(jit_drop_policy);
PG_FUNCTION_INFO_V1(jit_set_flow);
PG_FUNCTION_INFO_V1(jit_explain);

#define GRANTOR "@grantor"
#define DEFAULT_REQUEST_TTL USECS_PER_DAY
#define MAX_REQUEST_TTL (365 * USECS_PER_DAY)
#define RECENT_DAYS 7

/* One step of a flow: any of these roles, so many times. */
typedef struct Step
{
	List	   *names;			/* char * */
	List	   *oids;			/* Oid; InvalidOid for @grantor */
	int			approvals;
} Step;

static const char *const risk_names[] = {"low", "moderate", "high", "forbidden"};

/*
 * Facts, in the order in which jit_explain() shows them.  The names are what
 * conditions are written with: they stay.
 */
static const char *const fact_names[] = {
	"database",					/* string */
	"environment",				/* string: jit_access.environment; null if not
								 * set */
	"requester",				/* string: role that asks */
	"requester_roles",			/* strings: that role and every role it is a
								 * standing member of */
	"login",					/* string: role that logged in */
	"login_roles",				/* strings */
	"grantee",					/* string: role that gets the access */
	"grantee_roles",			/* strings */
	"items",					/* objects: see item_fact_names */
	"privileges",				/* strings: those of all items */
	"writes",					/* boolean: could it change data? */
	"duration",					/* number: seconds */
	"until",					/* string: timestamp; null if a duration was
								 * given */
	"reason",					/* string or null */
	"ticket",					/* string or null */
	"client_addr",				/* string; null for a Unix-domain socket */
	"requested_at",				/* string: timestamp */
	"weekday",					/* number: 1 is Monday, 7 is Sunday */
	"hour",						/* number: 0 to 23 */
	"active_grants",			/* number: the grantee's, live now, in this
								 * database */
	"recent_grants",			/* number: the grantee's that started in the
								 * last 7 days, in this database */
};

static const char *const item_fact_names[] = {
	"type",						/* string: "table", "view", "role", ... */
	"schema",					/* string; null if it is in none */
	"name",						/* string, not quoted */
	"columns",					/* strings: those asked for, all of them for a
								 * whole table; empty for other objects */
	"privileges",				/* strings; empty for a role */
	"owner",					/* string; null for a role */
	"labels",					/* strings, see label.c */
	"rows",						/* number: as the planner estimates, with
								 * partitions; null if unknown */
	"size",						/* number: bytes without indexes, with
								 * partitions; null if it has no storage */
	"added",					/* boolean: USAGE that came with another item */
};

/* ----------------------------------------------------------------------
 * Risk levels
 * ----------------------------------------------------------------------
 */

const char *
jit_risk_name(JitRisk risk)
{
	return risk_names[risk];
}

static JitRisk
risk_by_name(const char *name)
{
	for (int i = 0; i < lengthof(risk_names); i++)
	{
		if (strcmp(risk_names[i], name) == 0)
			return (JitRisk) i;
	}
	elog(ERROR, "unexpected risk level \"%s\"", name);
	return JIT_RISK_FORBIDDEN;	/* keep the compiler quiet */
}

/* Microseconds as an interval, for people. */
static char *
usecs_text(int64 usecs)
{
	Interval	interval = {.time = usecs};

	return DatumGetCString(DirectFunctionCall1(interval_out,
											   IntervalPGetDatum(&interval)));
}

/* ----------------------------------------------------------------------
 * Facts
 * ----------------------------------------------------------------------
 */

static void
push_key(JsonbParseState **state, const char *key)
{
	JsonbValue	v;

	v.type = jbvString;
	v.val.string.val = unconstify(char *, key);
	v.val.string.len = strlen(key);
	(void) pushJsonbValue(state, WJB_KEY, &v);
}

/* A string as the value of a key or an element of an array; NULL is null. */
static void
push_string(JsonbParseState **state, bool element, const char *value)
{
	JsonbValue	v;

	if (value == NULL)
		v.type = jbvNull;
	else
	{
		v.type = jbvString;
		v.val.string.val = unconstify(char *, value);
		v.val.string.len = strlen(value);
	}
	(void) pushJsonbValue(state, element ? WJB_ELEM : WJB_VALUE, &v);
}

static void
push_number(JsonbParseState **state, bool element, int64 value)
{
	JsonbValue	v;

	v.type = jbvNumeric;
	v.val.numeric = int64_to_numeric(value);
	(void) pushJsonbValue(state, element ? WJB_ELEM : WJB_VALUE, &v);
}

static void
push_bool(JsonbParseState **state, bool value)
{
	JsonbValue	v;

	v.type = jbvBool;
	v.val.boolean = value;
	(void) pushJsonbValue(state, WJB_VALUE, &v);
}

static void
push_strings(JsonbParseState **state, List *strings)
{
	ListCell   *lc;

	(void) pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach(lc, strings)
		push_string(state, true, lfirst(lc));
	(void) pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/*
 * A role and the roles that it is a standing member of: temporary access
 * changes no risk.
 */
static void
push_roles(JsonbParseState **state, Oid role)
{
	List	   *names = NIL;
	ListCell   *lc;

	if (OidIsValid(role))
	{
		foreach(lc, jit_role_closure(role, JIT_CLOSURE_MEMBERS,
									 JIT_FILTER_STANDING, jit_now()))
			names = lappend(names, jit_role_name(lfirst_oid(lc)));
	}
	push_strings(state, names);
}

/* A point in time as jsonpath's datetime() reads it, in log_timezone. */
static char *
fact_timestamp(TimestampTz at, struct pg_tm *tm)
{
	fsec_t		fsec;
	int			tz;

	if (timestamp2tm(at, &tz, tm, &fsec, NULL, log_timezone) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d%c%02d:%02d",
					tm->tm_year, tm->tm_mon, tm->tm_mday,
					tm->tm_hour, tm->tm_min, tm->tm_sec,
					tz > 0 ? '-' : '+', abs(tz) / SECS_PER_HOUR,
					abs(tz) % SECS_PER_HOUR / SECS_PER_MINUTE);
}

/* "SELECT, UPDATE" as a list, added to what is there. */
static List *
add_privileges(List *list, AclMode privs)
{
	char	   *next = jit_privileges_text(privs);

	while (next[0] != '\0')
	{
		char	   *name = next;
		char	   *comma = strstr(next, ", ");
		ListCell   *lc;
		bool		there = false;

		next = comma ? comma + 2 : next + strlen(next);
		if (comma)
			*comma = '\0';
		foreach(lc, list)
			there |= strcmp(lfirst(lc), name) == 0;
		if (!there)
			list = lappend(list, name);
	}
	return list;
}

/*
 * Could the item be used to change something?  What a role holds can change
 * and what a function does can't be told, so those could.
 */
static bool
item_writes(const JitItem *item)
{
	switch (item->objtype)
	{
		case OBJECT_TABLE:
		case OBJECT_SEQUENCE:
		case OBJECT_LARGEOBJECT:
			return (item->privs & ~ACL_SELECT) != 0;
		case OBJECT_SCHEMA:
		case OBJECT_TYPE:
		case OBJECT_LANGUAGE:
			return (item->privs & ~ACL_USAGE) != 0;
		case OBJECT_DATABASE:
			return (item->privs & ~(ACL_CONNECT | ACL_CREATE_TEMP)) != 0;
		default:
			return true;
	}
}

/*
 * Estimated rows and bytes of a relation with all that inherits from it; -1
 * for what can't be told.  Takes an AccessShareLock, for as long as it looks.
 */
static void
measure_relation(Oid relid, int64 *rows, int64 *size)
{
	List	   *relids = list_make1_oid(relid);
	ListCell   *lc;

	*rows = *size = -1;
	if (has_subclass(relid))
		relids = find_all_inheritors(relid, NoLock, NULL);

	foreach(lc, relids)
	{
		Relation	rel = try_relation_open(lfirst_oid(lc), AccessShareLock);

		CHECK_FOR_INTERRUPTS();
		if (rel == NULL)
			continue;
		if (rel->rd_rel->relkind == RELKIND_RELATION ||
			rel->rd_rel->relkind == RELKIND_MATVIEW)
		{
			BlockNumber pages;
			double		tuples;
			double		allvisfrac;

			estimate_rel_size(rel, NULL, &pages, &tuples, &allvisfrac);
			*rows = Max(*rows, 0) + (int64) Min(tuples, 1e15);
			*size = Max(*size, 0) +
				DatumGetInt64(DirectFunctionCall1(pg_table_size,
												  ObjectIdGetDatum(lfirst_oid(lc))));
		}
		else if (rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE &&
				 rel->rd_rel->reltuples >= 0)
			*rows = Max(*rows, 0) + (int64) Min(rel->rd_rel->reltuples, 1e15);
		relation_close(rel, AccessShareLock);
	}
}

/* Names of the columns that a relation item touches. */
static List *
item_columns(const JitItem *item)
{
	Oid			relid = item->address.objectId;
	List	   *names = NIL;
	ListCell   *lc;

	if (item->objtype != OBJECT_TABLE)
		return NIL;
	foreach(lc, item->attnums)
		names = lappend(names, get_attname(relid, lfirst_int(lc), false));
	if (item->attnums == NIL)
	{
		char	   *name;

		for (AttrNumber i = 1; i <= get_relnatts(relid); i++)
		{
			if ((name = get_attname(relid, i, true)) != NULL)
				names = lappend(names, name);
		}
	}
	return names;
}

/* Unquoted name of an item. */
static char *
item_name(const JitItem *item)
{
	int			cache = get_object_catcache_oid(item->address.classId);
	AttrNumber	attnum = get_object_attnum_name(item->address.classId);
	HeapTuple	tuple;
	char	   *name;
	bool		isnull;

	if (item->objtype == OBJECT_PARAMETER_ACL)
		return item->parameter;
	if (cache < 0 || attnum == InvalidAttrNumber)
		return jit_item_object(item);
	tuple = SearchSysCache1(cache, ObjectIdGetDatum(item->address.objectId));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("%s was dropped by another transaction",
						getObjectDescription(&item->address, false))));
	name = pstrdup(NameStr(*DatumGetName(SysCacheGetAttr(cache, tuple, attnum,
														  &isnull))));
	ReleaseSysCache(tuple);
	return name;
}

static void
push_item(JsonbParseState **state, const JitItem *item)
{
	Oid			nspid = InvalidOid;
	Oid			owner = InvalidOid;
	int64		rows = -1;
	int64		size = -1;

	if (OidIsValid(item->address.objectId))
	{
		nspid = get_object_namespace(&item->address);
		if (item->objtype != OBJECT_ROLE)
			owner = jit_object_owner(item->address.classId,
									 item->address.objectId);
	}
	if (item->objtype == OBJECT_TABLE)
		measure_relation(item->address.objectId, &rows, &size);

	(void) pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_key(state, "type");
	push_string(state, false, item->objtype == OBJECT_PARAMETER_ACL ? "parameter" :
				getObjectTypeDescription(&item->address, false));
	push_key(state, "schema");
	push_string(state, false, OidIsValid(nspid) ? get_namespace_name(nspid) : NULL);
	push_key(state, "name");
	push_string(state, false, item_name(item));
	push_key(state, "columns");
	push_strings(state, item_columns(item));
	push_key(state, "privileges");
	push_strings(state, add_privileges(NIL, item->privs));
	push_key(state, "owner");
	push_string(state, false, OidIsValid(owner) ? jit_role_name(owner) : NULL);
	push_key(state, "labels");
	push_strings(state, jit_item_labels(item));
	push_key(state, "rows");
	if (rows >= 0)
		push_number(state, false, rows);
	else
		push_string(state, false, NULL);
	push_key(state, "size");
	if (size >= 0)
		push_number(state, false, size);
	else
		push_string(state, false, NULL);
	push_key(state, "added");
	push_bool(state, item->added);
	(void) pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* The facts that others than the requester can change while it is pending. */
static void
push_surroundings(JsonbParseState **state, const JitRequest *request)
{
	ListCell   *lc;

	push_key(state, "environment");
	push_string(state, false,
				jit_environment && jit_environment[0] ? jit_environment : NULL);
	push_key(state, "requester_roles");
	push_roles(state, request->requester);
	push_key(state, "login_roles");
	push_roles(state, request->login);
	push_key(state, "grantee_roles");
	push_roles(state, request->grantee);
	push_key(state, "items");
	(void) pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach(lc, request->items)
		push_item(state, lfirst(lc));
	(void) pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* How many grants the grantee has, and had lately, in this database. */
static void
count_grants(const JitRequest *request, TimestampTz now,
			 int64 *active, int64 *recent)
{
	JitOwnerSection section;
	bool		isnull;

	jit_enter_owner_section(&section);
	jit_query("SELECT count(*) FILTER (WHERE g.ended_at IS NULL AND g.expires_at > $3),"
			  " count(*) FILTER (WHERE g.granted_at > $3 - make_interval(days => $4))"
			  " FROM jit.grants g JOIN jit.requests r ON r.id = g.request_id"
			  " WHERE g.grantee_oid = $1 AND r.origin = $2",
			  4,
			  OIDOID, ObjectIdGetDatum(request->grantee), false,
			  TEXTOID, CStringGetTextDatum(jit_origin()), false,
			  TIMESTAMPTZOID, TimestampTzGetDatum(now), false,
			  INT4OID, Int32GetDatum(RECENT_DAYS), false);
	*active = DatumGetInt64(jit_result(1, 1, &isnull));
	*recent = DatumGetInt64(jit_result(1, 2, &isnull));
	jit_leave_owner_section(&section);
}

/* All that policies know of a request that is being filed. */
static Jsonb *
make_facts(const JitRequest *request, int64 duration)
{
	JsonbParseState *state = NULL;
	TimestampTz now = jit_now();
	struct pg_tm tm;
	char	   *requested_at = fact_timestamp(now, &tm);
	int			weekday = j2day(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday));
	int			hour = tm.tm_hour;
	List	   *privileges = NIL;
	bool		writes = false;
	int64		active;
	int64		recent;
	ListCell   *lc;

	foreach(lc, request->items)
	{
		JitItem    *item = lfirst(lc);

		privileges = add_privileges(privileges, item->privs);
		writes |= item_writes(item);
	}
	count_grants(request, now, &active, &recent);

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_surroundings(&state, request);
	push_key(&state, "database");
	push_string(&state, false, jit_database_name());
	push_key(&state, "requester");
	push_string(&state, false, request->requester_name);
	push_key(&state, "login");
	push_string(&state, false, request->login_name);
	push_key(&state, "grantee");
	push_string(&state, false, request->grantee_name);
	push_key(&state, "privileges");
	push_strings(&state, privileges);
	push_key(&state, "writes");
	push_bool(&state, writes);
	push_key(&state, "duration");
	/* rounded up: less than a second isn't nothing */
	push_number(&state, false, (duration + USECS_PER_SEC - 1) / USECS_PER_SEC);
	push_key(&state, "until");
	push_string(&state, false, request->until != DT_NOEND ?
				fact_timestamp(request->until, &tm) : NULL);
	push_key(&state, "reason");
	push_string(&state, false, request->reason);
	push_key(&state, "ticket");
	push_string(&state, false, request->ticket);
	push_key(&state, "client_addr");
	push_string(&state, false, jit_client_addr());
	push_key(&state, "requested_at");
	push_string(&state, false, requested_at);
	push_key(&state, "weekday");
	push_number(&state, false, weekday == 0 ? 7 : weekday);
	push_key(&state, "hour");
	push_number(&state, false, hour);
	push_key(&state, "active_grants");
	push_number(&state, false, active);
	push_key(&state, "recent_grants");
	push_number(&state, false, recent);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* ----------------------------------------------------------------------
 * Conditions
 * ----------------------------------------------------------------------
 */

/* What a part of a path stands for, as far as its keys are known. */
typedef enum PathScope
{
	SCOPE_FACTS,				/* all facts */
	SCOPE_ITEMS,				/* an item, or several */
	SCOPE_VALUE,				/* something without keys */
	SCOPE_ANY					/* any of these */
} PathScope;

static bool
name_in(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

static char *
names_text(const char *const *names, int n)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < n; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", names[i]);
	return buf.data;
}

/*
 * What a key leads to.  A key that isn't there would silently make a
 * condition false in lax mode, so it is an error.
 */
static PathScope
check_key(PathScope scope, const char *key)
{
	bool		is_fact = name_in(key, fact_names, lengthof(fact_names));
	bool		is_item_fact = name_in(key, item_fact_names,
									   lengthof(item_fact_names));

	switch (scope)
	{
		case SCOPE_FACTS:
			if (!is_fact)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("\"%s\" is not a fact", key),
						 errhint("Facts are: %s.",
								 names_text(fact_names, lengthof(fact_names)))));
			return strcmp(key, "items") == 0 ? SCOPE_ITEMS : SCOPE_VALUE;
		case SCOPE_ITEMS:
			if (!is_item_fact)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("\"%s\" is not a fact of an item", key),
						 errhint("Facts of an item are: %s.",
								 names_text(item_fact_names, lengthof(item_fact_names)))));
			return SCOPE_VALUE;
		case SCOPE_VALUE:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("key \"%s\" is applied to a fact that has no keys",
							key)));
			break;
		case SCOPE_ANY:
			/* id, key and value come from keyvalue() */
			if (!is_fact && !is_item_fact && strcmp(key, "id") != 0 &&
				strcmp(key, "key") != 0 && strcmp(key, "value") != 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("\"%s\" is neither a fact nor a fact of an item",
								key)));
			break;
	}
	return SCOPE_ANY;
}

/*
 * Check the keys of a path and return what it leads to; "current" is what @
 * stands for.  Node kinds that aren't named hold no paths of their own, and
 * give values.  Mirrors the shape that flattenJsonPathParseItem() writes.
 */
static PathScope
check_path(JsonPathItem *node, PathScope current)
{
	JsonPathItem v = *node;
	JsonPathItem arg;
	JsonPathItem to;
	PathScope	scope = SCOPE_VALUE;

	check_stack_depth();

	switch (v.type)
	{
		case jpiRoot:
			scope = SCOPE_FACTS;
			break;
		case jpiCurrent:
			scope = current;
			break;
		case jpiVariable:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a condition has no variables"),
					 errhint("Facts are written $.environment, not $environment.")));
			break;
		case jpiAnd:
		case jpiOr:
		case jpiEqual:
		case jpiNotEqual:
		case jpiLess:
		case jpiGreater:
		case jpiLessOrEqual:
		case jpiGreaterOrEqual:
		case jpiAdd:
		case jpiSub:
		case jpiMul:
		case jpiDiv:
		case jpiMod:
		case jpiStartsWith:
			jspGetLeftArg(&v, &arg);
			(void) check_path(&arg, current);
			jspGetRightArg(&v, &arg);
			(void) check_path(&arg, current);
			break;
		case jpiNot:
		case jpiIsUnknown:
		case jpiExists:
		case jpiPlus:
		case jpiMinus:
			jspGetArg(&v, &arg);
			(void) check_path(&arg, current);
			break;
		case jpiLikeRegex:
			jspInitByBuffer(&arg, v.base, v.content.like_regex.expr);
			(void) check_path(&arg, current);
			break;
		default:
			break;
	}

	/* accessors that follow */
	while (jspHasNext(&v))
	{
		JsonPathItem next;
		char	   *key;
		int			len;

		jspGetNext(&v, &next);
		v = next;
		switch (v.type)
		{
			case jpiKey:
				key = jspGetString(&v, &len);
				scope = check_key(scope, pnstrdup(key, len));
				break;
			case jpiAnyArray:
				break;
			case jpiIndexArray:
				for (int i = 0; i < v.content.array.nelems; i++)
				{
					bool		range = jspGetArraySubscript(&v, &arg, &to, i);

					(void) check_path(&arg, current);
					if (range)
						(void) check_path(&to, current);
				}
				break;
			case jpiFilter:
				jspGetArg(&v, &arg);
				(void) check_path(&arg, scope);
				break;
			case jpiAnyKey:
			case jpiAny:
			case jpiKeyValue:
				scope = SCOPE_ANY;
				break;
			default:			/* a method */
				scope = SCOPE_VALUE;
				break;
		}
	}
	return scope;
}

/* Raise unless the path is a predicate over facts. */
static void
check_condition(JsonPath *path)
{
	JsonPathItem root;
	bool		predicate;

	jspInit(&root, path);
	switch (root.type)
	{
		case jpiAnd:
		case jpiOr:
		case jpiNot:
		case jpiIsUnknown:
		case jpiEqual:
		case jpiNotEqual:
		case jpiLess:
		case jpiGreater:
		case jpiLessOrEqual:
		case jpiGreaterOrEqual:
		case jpiExists:
		case jpiStartsWith:
		case jpiLikeRegex:
			predicate = !jspHasNext(&root);
			break;
		default:
			predicate = false;
			break;
	}
	(void) check_path(&root, SCOPE_FACTS);
	if (!predicate)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("condition is not a predicate"),
				 errdetail("It must be true or false, not a value or a list of values."),
				 errhint("Write a comparison, such as $.environment == \"prod\", or exists(...) around a filter.")));
}

/*
 * Evaluate a condition.  Returns NULL and sets *matched, or says why it can't
 * be told.  In a subtransaction of its own, because it may raise whatever its
 * administrator didn't think of; cancellation isn't the condition's fault.
 */
static char *
evaluate_condition(Jsonb *facts, JsonPath *condition, bool *matched)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	LOCAL_FCINFO(fcinfo, 4);
	char	   *volatile failure = NULL;
	volatile bool result = false;

	InitFunctionCallInfoData(*fcinfo, NULL, 4, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(facts);
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = PointerGetDatum(condition);
	fcinfo->args[1].isnull = false;
	fcinfo->args[2].value = (Datum) 0;
	fcinfo->args[2].isnull = false;
	fcinfo->args[3].value = BoolGetDatum(false);	/* not silent */
	fcinfo->args[3].isnull = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		JsonbParseState *state = NULL;

		(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		fcinfo->args[2].value =
			JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));

		result = DatumGetBool(jsonb_path_match_tz(fcinfo));
		if (fcinfo->isnull)
			failure = _("its result is null");
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (ERRCODE_TO_CATEGORY(edata->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(edata);
		failure = edata->message;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;

	*matched = result;
	return failure;
}

/*
 * Judge facts by the enabled policies: decision->risk, policies, and what
 * forbids.
 */
static void
judge_facts(JitDecision *decision, Jsonb *facts)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi_context;
	JitOwnerSection section;
	List	   *conditions = NIL;
	List	   *descriptions = NIL;
	ListCell   *lc;
	bool		any = false;
	bool		isnull;
	int			nestlevel;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT name, risk::text, condition, description"
				  " FROM jit.risk_policies WHERE enabled ORDER BY name", 0);
	spi_context = MemoryContextSwitchTo(context);
	for (int i = 1; i <= n; i++)
	{
		JitPolicyResult *policy = palloc0(sizeof(JitPolicyResult));

		policy->name = jit_result_text(i, 1);
		policy->risk = risk_by_name(jit_result_text(i, 2));
		decision->policies = lappend(decision->policies, policy);
		conditions = lappend(conditions,
							 DatumGetJsonPathPCopy(jit_result(i, 3, &isnull)));
		descriptions = lappend(descriptions, jit_result_text(i, 4));
	}
	MemoryContextSwitchTo(spi_context);
	jit_leave_owner_section(&section);

	nestlevel = NewGUCNestLevel();
	(void) set_config_option("TimeZone", pg_get_timezone_name(log_timezone),
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	foreach(lc, decision->policies)
	{
		JitPolicyResult *policy = lfirst(lc);
		int			i = foreach_current_index(lc);

		CHECK_FOR_INTERRUPTS();
		policy->failure = evaluate_condition(facts, list_nth(conditions, i),
											 &policy->matched);
		if (policy->failure != NULL)
		{
			policy->matched = true;
			policy->risk = Max(policy->risk, JIT_RISK_HIGH);
		}
		if (!policy->matched)
			continue;
		if (!any || policy->risk > decision->risk)
			decision->risk = policy->risk;
		any = true;
		if (policy->risk == JIT_RISK_FORBIDDEN && decision->forbidden_by == NULL)
		{
			decision->forbidden_by = policy->name;
			decision->forbidden_why = list_nth(descriptions, i);
			if (policy->failure != NULL)
				decision->forbidden_why =
					psprintf(_("Its condition cannot be evaluated: %s."),
							 policy->failure);
		}
	}
	AtEOXact_GUC(false, nestlevel);

	if (!any)
		decision->risk = jit_default_risk;
}

/* ----------------------------------------------------------------------
 * Flows
 * ----------------------------------------------------------------------
 */

/*
 * A flow as jit.requests.flow keeps it: [{"approver": ROLE, "approvals": N,
 * "oids": [OID]}, {"any_of": [ROLE, ...], "approvals": N, "oids": [...]}].
 * The OIDs stand in the order of the names, 0 for @grantor; where the request
 * was filed they and not the names say who is meant.
 */
static Jsonb *
steps_to_jsonb(List *steps)
{
	JsonbParseState *state = NULL;
	ListCell   *lc;

	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	foreach(lc, steps)
	{
		Step	   *step = lfirst(lc);
		ListCell   *lo;

		(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		if (list_length(step->names) == 1)
		{
			push_key(&state, "approver");
			push_string(&state, false, linitial(step->names));
		}
		else
		{
			push_key(&state, "any_of");
			push_strings(&state, step->names);
		}
		push_key(&state, "approvals");
		push_number(&state, false, step->approvals);
		push_key(&state, "oids");
		(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		foreach(lo, step->oids)
			push_number(&state, true, lfirst_oid(lo));
		(void) pushJsonbValue(&state, WJB_END_ARRAY, NULL);
		(void) pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

static char *
step_text(const Step *step)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, ngettext("%d approval by ", "%d approvals by ",
									step->approvals), step->approvals);
	foreach(lc, step->names)
	{
		if (lc != list_head(step->names))
			appendStringInfoString(&buf, _(" or "));
		appendStringInfoString(&buf, strcmp(lfirst(lc), GRANTOR) == 0 ?
							   _("anyone who could grant it") :
							   quote_identifier(lfirst(lc)));
	}
	return buf.data;
}

/* "2 approvals by security, then 1 approval by pg_database_owner" */
static char *
steps_text(List *steps)
{
	StringInfoData buf;
	ListCell   *lc;

	if (steps == NIL)
		return pstrdup(_("no approval: active at once"));
	initStringInfo(&buf);
	foreach(lc, steps)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? _(", then ") : "",
						 step_text(lfirst(lc)));
	return buf.data;
}

static List *
default_steps(void)
{
	Step	   *step = palloc0(sizeof(Step));

	step->names = list_make1(pstrdup(GRANTOR));
	step->oids = list_make1_oid(InvalidOid);
	step->approvals = 1;
	return list_make1(step);
}

/*
 * Steps of a risk's flow and its limits, into the decision.  A role is meant
 * by OID, and shown under its present name, unless the row came from another
 * cluster; a role that is gone stays what nobody is a member of, even when
 * the name is given to another.  Raises if steps are missing, unless the
 * flow is about to be replaced.
 */
static List *
load_flow(JitDecision *decision, JitRisk risk, bool replacing)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi_context;
	JitOwnerSection section;
	List	   *steps = NIL;
	int			nsteps = -1;	/* not configured */
	bool		isnull;
	int			n;

	decision->max_duration = PG_INT64_MAX;
	decision->request_ttl = DEFAULT_REQUEST_TTL;
	decision->reason_pattern = decision->ticket_pattern = NULL;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT max_duration, request_ttl, reason_pattern, ticket_pattern, steps"
				  " FROM jit.approval_flows WHERE risk = $1::jit.risk_level",
				  1, TEXTOID, CStringGetTextDatum(jit_risk_name(risk)), false);
	spi_context = MemoryContextSwitchTo(context);
	if (n > 0)
	{
		Datum		value = jit_result(1, 1, &isnull);

		if (!isnull)
			decision->max_duration =
				jit_interval_usecs(DatumGetIntervalP(value), "max_duration");
		value = jit_result(1, 2, &isnull);
		if (!isnull)
			decision->request_ttl =
				jit_interval_usecs(DatumGetIntervalP(value), "request_ttl");
		decision->reason_pattern = jit_result_text(1, 3);
		decision->ticket_pattern = jit_result_text(1, 4);
		nsteps = DatumGetInt32(jit_result(1, 5, &isnull));
	}
	MemoryContextSwitchTo(spi_context);

	n = jit_query("SELECT s.step, s.approvals, a.name,"
				  " CASE WHEN a.name = $3 THEN 0"
				  "  WHEN split_part(s.origin, '/', 1) = split_part($2, '/', 1) THEN a.oid"
				  "  ELSE coalesce((SELECT r.oid FROM pg_authid r WHERE r.rolname = a.name), 0) END"
				  " FROM jit.approval_steps s, unnest(s.approvers, s.approver_oids)"
				  "  WITH ORDINALITY a (name, oid, position)"
				  " WHERE s.risk = $1::jit.risk_level ORDER BY s.step, a.position",
				  3,
				  TEXTOID, CStringGetTextDatum(jit_risk_name(risk)), false,
				  TEXTOID, CStringGetTextDatum(jit_origin()), false,
				  TEXTOID, CStringGetTextDatum(GRANTOR), false);
	MemoryContextSwitchTo(context);
	for (int i = 1, last = -1; i <= n && nsteps >= 0; i++)
	{
		int			number = DatumGetInt32(jit_result(i, 1, &isnull));
		char	   *name = jit_result_text(i, 3);
		Oid			oid = DatumGetObjectId(jit_result(i, 4, &isnull));
		char	   *present = OidIsValid(oid) ? GetUserNameFromId(oid, true) : NULL;
		Step	   *step;

		if (number != last)
		{
			step = palloc0(sizeof(Step));
			step->approvals = DatumGetInt32(jit_result(i, 2, &isnull));
			steps = lappend(steps, step);
			last = number;
		}
		step = llast(steps);
		step->names = lappend(step->names, present ? present : name);
		step->oids = lappend_oid(step->oids, oid);
	}
	MemoryContextSwitchTo(spi_context);
	jit_leave_owner_section(&section);

	if (nsteps < 0)
		return default_steps();
	/* half a flow, as a restore may leave behind, must not let through more */
	if (list_length(steps) != nsteps && !replacing)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("approval flow for %s risk in %s has %d steps, of which %d are there",
						jit_risk_name(risk),
						quote_identifier(jit_database_name()), nsteps,
						list_length(steps)),
				 errhint("A JIT administrator can set it anew with jit_set_flow().")));
	return steps;
}

/* The whole decision; says nothing to the caller's client. */
static JitDecision *
decide(Jsonb *facts, List **steps)
{
	JitDecision *decision = palloc0(sizeof(JitDecision));

	decision->facts = facts;
	judge_facts(decision, facts);
	if (decision->risk == JIT_RISK_FORBIDDEN)
		*steps = default_steps();	/* never used: it can't be filed */
	else
		*steps = load_flow(decision, decision->risk, false);
	decision->flow = steps_to_jsonb(*steps);
	return decision;
}

/*
 * Risk and flow of a request that is being filed, with request->items and
 * everything that its author gave.  Warns of policies that can't be
 * evaluated.  The caller refuses what forbidden_by names, and holds the
 * request against the limits.  Runs as the caller; needs a snapshot.
 */
JitDecision *
jit_decide(const JitRequest *request, int64 duration)
{
	List	   *steps;
	JitDecision *decision = decide(make_facts(request, duration), &steps);
	ListCell   *lc;

	foreach(lc, decision->policies)
	{
		JitPolicyResult *policy = lfirst(lc);

		if (policy->failure != NULL)
			ereport(WARNING,
					(errmsg("policy %s cannot be evaluated and counts as matched, at %s risk",
							quote_identifier(policy->name),
							jit_risk_name(policy->risk)),
					 errdetail("Its condition failed: %s.", policy->failure)));
	}
	return decision;
}

/*
 * What policies and flows would ask for more than they did when the request
 * was filed, in a sentence for its approver, or NULL.  Compares with the
 * facts of its filing, save those that others can change meanwhile.
 */
char *
jit_stricter_now(const JitRequest *request)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi_context;
	JitOwnerSection section;
	JitDecision *decision;
	JsonbParseState *state = NULL;
	Jsonb	   *facts = NULL;
	Jsonb	   *now;
	List	   *steps;
	ListCell   *lc;
	int64		approvals_then = 0;
	int64		approvals_now = 0;
	bool		isnull;

	jit_enter_owner_section(&section);
	if (jit_query("SELECT facts, (SELECT coalesce(sum((s ->> 'approvals')::int), 0)"
				  "  FROM jsonb_array_elements(flow) s)"
				  " FROM jit.requests WHERE id = $1",
				  1, INT4OID, Int32GetDatum(request->id), false) > 0)
	{
		spi_context = MemoryContextSwitchTo(context);
		facts = DatumGetJsonbPCopy(jit_result(1, 1, &isnull));
		approvals_then = DatumGetInt64(jit_result(1, 2, &isnull));
		MemoryContextSwitchTo(spi_context);
	}
	jit_leave_owner_section(&section);
	if (facts == NULL)
		return NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_surroundings(&state, request);
	now = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	facts = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat,
											   JsonbPGetDatum(facts),
											   JsonbPGetDatum(now)));
	decision = decide(facts, &steps);

	if (decision->risk > risk_by_name(request->risk))
	{
		foreach(lc, decision->policies)
		{
			JitPolicyResult *policy = lfirst(lc);

			if (policy->matched && policy->risk == decision->risk)
				return psprintf(_("request %d would be of %s risk if it were filed now, by policy %s; it was of %s risk when it was filed, and that applies"),
								request->id, jit_risk_name(decision->risk),
								quote_identifier(policy->name), request->risk);
		}
		return psprintf(_("request %d would be of %s risk if it were filed now; it was of %s risk when it was filed, and that applies"),
						request->id, jit_risk_name(decision->risk),
						request->risk);
	}

	foreach(lc, steps)
		approvals_now += ((Step *) lfirst(lc))->approvals;
	if (decision->risk == risk_by_name(request->risk) &&
		approvals_now > approvals_then)
		return psprintf(_("request %d would need more approvals if it were filed now: %s"),
						request->id, steps_text(steps));
	if (request->duration != NULL &&
		jit_interval_usecs(request->duration, "duration") > decision->max_duration)
		return psprintf(_("request %d could not be for so long if it were filed now"),
						request->id);
	return NULL;
}

/* ----------------------------------------------------------------------
 * For JIT administrators
 * ----------------------------------------------------------------------
 */

/*
 * Raise unless the caller is a JIT administrator, for good: what is changed
 * here lasts, so neither temporary access nor SET ROLE through it will do,
 * and code that runs with somebody else's rights doesn't count.
 */
void
jit_require_administrator(const char *action)
{
	JitPerson	person;

	jit_current_person(&person);
	if (GetUserId() == person.role && jit_is_administrator(person.role) &&
		(person.role == person.session || superuser_arg(person.session) ||
		 list_member_oid(jit_role_closure(person.session, JIT_CLOSURE_SET,
										  JIT_FILTER_STANDING, jit_now()),
						 person.role)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to %s", action),
			 errdetail("Only JIT administrators may: superusers and members of the role that jit_access.admin_role names.")));
}

static void pg_attribute_noreturn()
refuse_null(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("%s must not be null", name)));
}

/* Argument of type jit.risk_level. */
static JitRisk
risk_argument(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		refuse_null("risk");
	return risk_by_name(DatumGetCString(DirectFunctionCall1(enum_out,
															PG_GETARG_DATUM(n))));
}

/* A policy as its event tells it, or NULL.  Inside an owner section. */
static Jsonb *
policy_jsonb(const char *name)
{
	bool		isnull;

	if (jit_query("SELECT to_jsonb(p) FROM jit.risk_policies p WHERE name = $1",
				  1, TEXTOID, CStringGetTextDatum(name), false) == 0)
		return NULL;
	return DatumGetJsonbPCopy(jit_result(1, 1, &isnull));
}

/*
 * Record a change of configuration with what it was and what it is now, NULL
 * for nothing.
 */
static void
change_event(const char *event, const char *key, const char *name,
			 Jsonb *before, Jsonb *after, const char *logline)
{
	bool		isnull;

	jit_query("SELECT jsonb_build_object($1, $2, 'before', $3, 'after', $4)",
			  4,
			  TEXTOID, CStringGetTextDatum(key), false,
			  TEXTOID, CStringGetTextDatum(name), false,
			  JSONBOID, JsonbPGetDatum(before), before == NULL,
			  JSONBOID, JsonbPGetDatum(after), after == NULL);
	jit_event(event, 0, DatumGetJsonbPCopy(jit_result(1, 1, &isnull)), logline);
}

/* jit_set_policy(name, risk, condition, description, enabled) */
Datum
jit_set_policy(PG_FUNCTION_ARGS)
{
	JitOwnerSection section;
	JitRisk		risk;
	JsonPath   *condition;
	char	   *name;
	char	   *description;
	char	   *text;
	bool		enabled;
	Jsonb	   *before;

	jit_require_administrator("set a risk policy");
	name = jit_required_text(fcinfo, 0, "name");
	risk = risk_argument(fcinfo, 1);
	if (PG_ARGISNULL(2))
		refuse_null("condition");
	condition = PG_GETARG_JSONPATH_P(2);
	description = jit_text_argument(fcinfo, 3, "description");
	if (PG_ARGISNULL(4))
		refuse_null("enabled");
	enabled = PG_GETARG_BOOL(4);

	if (strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("name of a policy is too long"),
				 errdetail("It has %zu bytes; at most %d are allowed.",
						   strlen(name), NAMEDATALEN - 1)));
	text = DatumGetCString(DirectFunctionCall1(jsonpath_out,
											   PointerGetDatum(condition)));
	if (strlen(text) > JIT_MAX_TEXT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("condition is too long"),
				 errdetail("It has %zu bytes; at most %d are allowed.",
						   strlen(text), JIT_MAX_TEXT)));
	check_condition(condition);

	jit_enter_owner_section(&section);
	/* so that "before" is what this change replaces */
	jit_query("LOCK TABLE jit.risk_policies IN SHARE ROW EXCLUSIVE MODE", 0);
	before = policy_jsonb(name);
	jit_query("INSERT INTO jit.risk_policies (name, risk, condition, description, enabled)"
			  " VALUES ($1, $2::jit.risk_level, $3, $4, $5)"
			  " ON CONFLICT (name) DO UPDATE SET risk = excluded.risk, condition = excluded.condition,"
			  "  description = excluded.description, enabled = excluded.enabled",
			  5,
			  TEXTOID, CStringGetTextDatum(name), false,
			  TEXTOID, CStringGetTextDatum(jit_risk_name(risk)), false,
			  JSONPATHOID, PointerGetDatum(condition), false,
			  TEXTOID, description ? CStringGetTextDatum(description) : (Datum) 0, description == NULL,
			  BOOLOID, BoolGetDatum(enabled), false);
	change_event("policy_set", "policy", name, before, policy_jsonb(name),
				 psprintf("policy %s in %s set: %s%s when %s",
						  quote_identifier(name),
						  quote_identifier(jit_database_name()),
						  enabled ? "" : "(disabled) ", jit_risk_name(risk), text));
	jit_leave_owner_section(&section);
	PG_RETURN_VOID();
}

/* jit_drop_policy(name) */
Datum
jit_drop_policy(PG_FUNCTION_ARGS)
{
	JitOwnerSection section;
	char	   *name;
	Jsonb	   *before;

	jit_require_administrator("drop a risk policy");
	name = jit_required_text(fcinfo, 0, "name");

	jit_enter_owner_section(&section);
	jit_query("LOCK TABLE jit.risk_policies IN SHARE ROW EXCLUSIVE MODE", 0);
	before = policy_jsonb(name);
	if (before == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("policy %s does not exist in %s", quote_identifier(name),
						quote_identifier(jit_database_name())),
				 errhint("See jit.risk_policies.")));
	jit_query("DELETE FROM jit.risk_policies WHERE name = $1",
			  1, TEXTOID, CStringGetTextDatum(name), false);
	change_event("policy_dropped", "policy", name, before, NULL,
				 psprintf("policy %s in %s dropped", quote_identifier(name),
						  quote_identifier(jit_database_name())));
	jit_leave_owner_section(&section);
	PG_RETURN_VOID();
}

static void pg_attribute_noreturn()
invalid_step(int number, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("step %d of the flow is not valid", number),
			 errdetail_internal("%s", detail),
			 errhint("A step is {\"approver\": ROLE, \"approvals\": N} or {\"any_of\": [ROLE, ...], \"approvals\": N}; ROLE can be \"@grantor\", N is 1 if not given.")));
}

/* Add a role that a step names. */
static void
add_approver(Step *step, int number, const JsonbValue *value)
{
	char	   *name;
	Oid			oid = InvalidOid;
	ListCell   *lc;

	if (value->type != jbvString)
		invalid_step(number, _("The name of a role is not a string."));
	name = pnstrdup(value->val.string.val, value->val.string.len);
	if (strcmp(name, GRANTOR) != 0)
	{
		oid = get_role_oid(name, true);
		if (!OidIsValid(oid))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("role \"%s\" does not exist", name),
					 errdetail("Step %d of the flow names it.", number),
					 name[0] == '@' ?
					 errhint("The only name of that kind is \"@grantor\".") : 0));
		if (strncmp(name, JIT_ROLE_PREFIX, strlen(JIT_ROLE_PREFIX)) == 0)
			invalid_step(number, psprintf(_("Role \"%s\" is one of jit_access's own."), name));
	}
	foreach(lc, step->names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			invalid_step(number, psprintf(_("It names \"%s\" twice."), name));
	}
	step->names = lappend(step->names, name);
	step->oids = lappend_oid(step->oids, oid);
}

static Step *
parse_step(const JsonbValue *value, int number)
{
	Step	   *step = palloc0(sizeof(Step));
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;

	step->approvals = 1;
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		invalid_step(number, _("It is not an object."));

	it = JsonbIteratorInit(value->val.binary.data);
	(void) JsonbIteratorNext(&it, &v, true);
	while ((token = JsonbIteratorNext(&it, &v, true)) == WJB_KEY)
	{
		char	   *key = pnstrdup(v.val.string.val, v.val.string.len);

		(void) JsonbIteratorNext(&it, &v, true);
		if (strcmp(key, "approver") == 0 || strcmp(key, "any_of") == 0)
		{
			if (step->names != NIL)
				invalid_step(number, _("It has both \"approver\" and \"any_of\"."));
			if (strcmp(key, "approver") == 0)
				add_approver(step, number, &v);
			else
			{
				if (v.type != jbvBinary || !JsonContainerIsArray(v.val.binary.data) ||
					JsonContainerSize(v.val.binary.data) == 0)
					invalid_step(number, _("\"any_of\" is not a list of roles."));
				for (uint32 i = 0; i < JsonContainerSize(v.val.binary.data); i++)
					add_approver(step, number,
								 getIthJsonbValueFromContainer(v.val.binary.data, i));
			}
		}
		else if (strcmp(key, "approvals") == 0)
		{
			Datum		number_datum;

			if (v.type != jbvNumeric)
				invalid_step(number, _("\"approvals\" is not a number."));
			number_datum = NumericGetDatum(v.val.numeric);
			if (!DatumGetBool(DirectFunctionCall2(numeric_eq, number_datum,
												  DirectFunctionCall2(numeric_trunc, number_datum,
																	  Int32GetDatum(0)))) ||
				DatumGetBool(DirectFunctionCall2(numeric_lt, number_datum,
												 NumericGetDatum(int64_to_numeric(1)))) ||
				DatumGetBool(DirectFunctionCall2(numeric_gt, number_datum,
												 NumericGetDatum(int64_to_numeric(1000)))))
				invalid_step(number, _("\"approvals\" is not a whole number from 1 to 1000."));
			step->approvals = DatumGetInt32(DirectFunctionCall1(numeric_int4,
																number_datum));
		}
		else
			invalid_step(number, psprintf(_("It has an unknown key \"%s\"."), key));
	}
	if (step->names == NIL)
		invalid_step(number, _("It names nobody."));
	return step;
}

static List *
parse_steps(Jsonb *flow)
{
	List	   *steps = NIL;

	if (!JB_ROOT_IS_ARRAY(flow) || JB_ROOT_IS_SCALAR(flow))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("steps must be a JSON array"),
				 errhint("For example [{\"approver\": \"@grantor\", \"approvals\": 1}]; [] needs no approval.")));
	for (uint32 i = 0; i < JB_ROOT_COUNT(flow); i++)
		steps = lappend(steps,
						parse_step(getIthJsonbValueFromContainer(&flow->root, i),
								   i + 1));
	return steps;
}

/* Raise unless the pattern, which textregexeq() is to use, compiles. */
static void
check_pattern(const char *pattern, const char *name)
{
	MemoryContext context = CurrentMemoryContext;

	if (pattern == NULL)
		return;
	PG_TRY();
	{
		(void) RE_compile_and_cache(cstring_to_text(pattern), REG_ADVANCED,
									C_COLLATION_OID);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		if (edata->sqlerrcode != ERRCODE_INVALID_REGULAR_EXPRESSION)
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_REGULAR_EXPRESSION),
				 errmsg("%s \"%s\" is not a regular expression", name, pattern),
				 errdetail_internal("%s", edata->message)));
	}
	PG_END_TRY();
}

/* Logins that are standing members of one of the step's roles. */
static List *
step_people(const Step *step, List *people)
{
	JitOwnerSection section;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi_context;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT oid FROM pg_authid WHERE rolcanlogin", 0);
	spi_context = MemoryContextSwitchTo(context);
	for (int i = 1; i <= n; i++)
	{
		bool		isnull;
		Oid			login = DatumGetObjectId(jit_result(i, 1, &isnull));
		List	   *closure = jit_role_closure(login, JIT_CLOSURE_MEMBERS,
											   JIT_FILTER_STANDING, jit_now());
		ListCell   *lc;

		CHECK_FOR_INTERRUPTS();
		foreach(lc, step->oids)
		{
			if (list_member_oid(closure, lfirst_oid(lc)))
				people = list_append_unique_oid(people, login);
		}
		list_free(closure);
	}
	MemoryContextSwitchTo(spi_context);
	jit_leave_owner_section(&section);
	return people;
}

/*
 * Warn of steps that too few people could complete: of one, and of all
 * together, since one person counts once.  Who could grant depends on what
 * is asked for, so a step with @grantor isn't judged.
 */
static void
warn_of_too_few(List *steps)
{
	List	   *all = NIL;
	int			needed = 0;
	ListCell   *lc;

	foreach(lc, steps)
	{
		Step	   *step = lfirst(lc);
		List	   *people;

		if (list_member_oid(step->oids, InvalidOid))
			continue;
		people = step_people(step, NIL);
		if (list_length(people) < step->approvals)
		{
			ereport(WARNING,
					(errmsg_plural("step %d needs %s, but %d person can log in as such now",
								   "step %d needs %s, but %d people can log in as such now",
								   list_length(people),
								   foreach_current_index(lc) + 1, step_text(step),
								   list_length(people))));
			return;
		}
		needed += step->approvals;
		all = list_concat_unique_oid(all, people);
	}
	if (list_length(all) < needed)
		ereport(WARNING,
				(errmsg("the flow needs %d approvals by different people, but only %d can log in as such now",
						needed, list_length(all))));
}

/* What a risk needs, in words, for people. */
static char *
flow_text(List *steps, const JitDecision *limits)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, steps_text(steps));
	if (limits->max_duration != PG_INT64_MAX)
		appendStringInfo(&buf, _("; for at most %s"),
						 usecs_text(limits->max_duration));
	appendStringInfo(&buf, _("; lapses after %s"),
					 usecs_text(limits->request_ttl));
	if (limits->reason_pattern)
		appendStringInfo(&buf, _("; reason like \"%s\""), limits->reason_pattern);
	if (limits->ticket_pattern)
		appendStringInfo(&buf, _("; ticket like \"%s\""), limits->ticket_pattern);
	return buf.data;
}

/* The same for an event. */
static Jsonb *
flow_jsonb(List *steps, const JitDecision *limits)
{
	JsonbParseState *state = NULL;
	JsonbValue	v;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_key(&state, "steps");
	v.type = jbvBinary;
	v.val.binary.data = &steps_to_jsonb(steps)->root;
	v.val.binary.len = 0;		/* not looked at */
	(void) pushJsonbValue(&state, WJB_VALUE, &v);
	push_key(&state, "max_duration");
	push_string(&state, false, limits->max_duration == PG_INT64_MAX ? NULL :
				usecs_text(limits->max_duration));
	push_key(&state, "request_ttl");
	push_string(&state, false, usecs_text(limits->request_ttl));
	push_key(&state, "reason_pattern");
	push_string(&state, false, limits->reason_pattern);
	push_key(&state, "ticket_pattern");
	push_string(&state, false, limits->ticket_pattern);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static Interval *
interval_argument(FunctionCallInfo fcinfo, int n, const char *name, int64 *usecs)
{
	if (PG_ARGISNULL(n))
		return NULL;
	*usecs = jit_interval_usecs(PG_GETARG_INTERVAL_P(n), name);
	return PG_GETARG_INTERVAL_P(n);
}

/*
 * jit_set_flow(risk, steps, max_duration, request_ttl, reason_pattern,
 *				ticket_pattern)
 */
Datum
jit_set_flow(PG_FUNCTION_ARGS)
{
	JitOwnerSection section;
	JitDecision before;
	JitDecision after;
	List	   *steps_before;
	List	   *steps;
	JitRisk		risk;
	Datum		risk_datum;
	Interval   *max_duration;
	Interval   *request_ttl;
	ListCell   *lc;

	jit_require_administrator("set an approval flow");
	risk = risk_argument(fcinfo, 0);
	if (PG_ARGISNULL(1))
		refuse_null("steps");
	if (risk == JIT_RISK_FORBIDDEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no approval flow for forbidden requests"),
				 errdetail("They are refused when they are filed."),
				 errhint("To let people approve them, give the policy another risk with jit_set_policy().")));
	steps = parse_steps(PG_GETARG_JSONB_P(1));
	after.max_duration = PG_INT64_MAX;
	after.request_ttl = DEFAULT_REQUEST_TTL;
	max_duration = interval_argument(fcinfo, 2, "max_duration", &after.max_duration);
	request_ttl = interval_argument(fcinfo, 3, "request_ttl", &after.request_ttl);
	if (after.request_ttl > MAX_REQUEST_TTL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("request_ttl must not be more than 365 days")));
	after.reason_pattern = jit_text_argument(fcinfo, 4, "reason_pattern");
	after.ticket_pattern = jit_text_argument(fcinfo, 5, "ticket_pattern");
	check_pattern(after.reason_pattern, "reason_pattern");
	check_pattern(after.ticket_pattern, "ticket_pattern");

	risk_datum = CStringGetTextDatum(jit_risk_name(risk));
	jit_enter_owner_section(&section);
	jit_query("LOCK TABLE jit.approval_flows IN SHARE ROW EXCLUSIVE MODE", 0);
	steps_before = load_flow(&before, risk, true);
	jit_query("DELETE FROM jit.approval_steps WHERE risk = $1::jit.risk_level",
			  1, TEXTOID, risk_datum, false);
	jit_query("INSERT INTO jit.approval_flows (risk, steps, max_duration, request_ttl, reason_pattern, ticket_pattern)"
			  " VALUES ($1::jit.risk_level, $6, $2, $3, $4, $5)"
			  " ON CONFLICT (risk) DO UPDATE SET steps = excluded.steps, max_duration = excluded.max_duration,"
			  "  request_ttl = excluded.request_ttl, reason_pattern = excluded.reason_pattern,"
			  "  ticket_pattern = excluded.ticket_pattern",
			  6,
			  TEXTOID, risk_datum, false,
			  INTERVALOID, IntervalPGetDatum(max_duration), max_duration == NULL,
			  INTERVALOID, IntervalPGetDatum(request_ttl), request_ttl == NULL,
			  TEXTOID, after.reason_pattern ? CStringGetTextDatum(after.reason_pattern) : (Datum) 0,
			  after.reason_pattern == NULL,
			  TEXTOID, after.ticket_pattern ? CStringGetTextDatum(after.ticket_pattern) : (Datum) 0,
			  after.ticket_pattern == NULL,
			  INT4OID, Int32GetDatum(list_length(steps)), false);
	foreach(lc, steps)
	{
		Step	   *step = lfirst(lc);
		int			n = list_length(step->names);
		Datum	   *names = palloc(n * sizeof(Datum));
		Datum	   *oids = palloc(n * sizeof(Datum));

		for (int i = 0; i < n; i++)
		{
			names[i] = CStringGetTextDatum(list_nth(step->names, i));
			oids[i] = ObjectIdGetDatum(list_nth_oid(step->oids, i));
		}
		jit_query("INSERT INTO jit.approval_steps (risk, step, approvals, approvers, approver_oids, origin)"
				  " VALUES ($1::jit.risk_level, $2, $3, $4, $5, $6)",
				  6,
				  TEXTOID, risk_datum, false,
				  INT4OID, Int32GetDatum(foreach_current_index(lc) + 1), false,
				  INT4OID, Int32GetDatum(step->approvals), false,
				  TEXTARRAYOID, PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT)), false,
				  OIDARRAYOID, PointerGetDatum(construct_array(oids, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT)), false,
				  TEXTOID, CStringGetTextDatum(jit_origin()), false);
	}
	change_event("flow_set", "risk", jit_risk_name(risk),
				 flow_jsonb(steps_before, &before), flow_jsonb(steps, &after),
				 psprintf("approval flow for %s risk in %s set: %s",
						  jit_risk_name(risk),
						  quote_identifier(jit_database_name()),
						  flow_text(steps, &after)));
	ereport(NOTICE,
			(errmsg("approval flow for %s risk in %s is changed",
					jit_risk_name(risk),
					quote_identifier(jit_database_name())),
			 errdetail("Before: %s.\nAfter: %s.",
					   flow_text(steps_before, &before),
					   flow_text(steps, &after)),
			 errhint("Requests that are pending keep the flow they were filed with.")));
	jit_leave_owner_section(&section);

	warn_of_too_few(steps);
	PG_RETURN_VOID();
}

/* ----------------------------------------------------------------------
 * A dry run
 * ----------------------------------------------------------------------
 */

static void pg_attribute_printf(2, 3)
explain_line(ReturnSetInfo *rsinfo, const char *format,...)
{
	StringInfoData buf;
	Datum		value;
	bool		isnull = false;

	initStringInfo(&buf);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&buf, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&buf, needed);
	}
	value = CStringGetTextDatum(buf.data);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
}

/* Value of a key, NULL if there is none, as JSON text. */
static char *
fact_text(JsonbContainer *facts, const char *key)
{
	JsonbValue *value = getKeyJsonValueFromContainer(facts, key, strlen(key),
													 NULL);

	return value == NULL ? NULL :
		JsonbToCString(NULL, &JsonbValueToJsonb(value)->root, 0);
}

static void
explain_items(ReturnSetInfo *rsinfo, const JitRequest *request,
			  Jsonb *facts)
{
	JsonbValue *items = getKeyJsonValueFromContainer(&facts->root, "items", 5,
													 NULL);
	ListCell   *lc;

	explain_line(rsinfo, _("Items"));
	foreach(lc, request->items)
	{
		JitItem    *item = lfirst(lc);
		JsonbValue *fact = getIthJsonbValueFromContainer(items->val.binary.data,
														 foreach_current_index(lc));
		const char *why = jit_item_needs_superuser(item);

		explain_line(rsinfo, "  %s%s%s%s", jit_item_text(item),
					 item->objtype == OBJECT_ROLE ? _(" (membership)") : "",
					 item->added ? _(" (added)") : "",
					 why ? psprintf(_("  needs a superuser: %s"), why) : "");
		explain_line(rsinfo, _("    owner %s, labels %s, rows %s, size %s"),
					 fact_text(fact->val.binary.data, "owner"),
					 fact_text(fact->val.binary.data, "labels"),
					 fact_text(fact->val.binary.data, "rows"),
					 fact_text(fact->val.binary.data, "size"));
	}
}

static void
explain_policies(ReturnSetInfo *rsinfo, const JitDecision *decision)
{
	bool		any = false;
	ListCell   *lc;

	explain_line(rsinfo, _("Policies"));
	foreach(lc, decision->policies)
	{
		JitPolicyResult *policy = lfirst(lc);

		any |= policy->matched;
		if (policy->failure != NULL)
			explain_line(rsinfo, _("  %s: failed, counts as %s (%s)"),
						 quote_identifier(policy->name),
						 jit_risk_name(policy->risk), policy->failure);
		else
			explain_line(rsinfo, policy->matched ? _("  %s: matched, %s") :
						 _("  %s: not matched (%s)"),
						 quote_identifier(policy->name),
						 jit_risk_name(policy->risk));
	}
	if (decision->policies == NIL)
		explain_line(rsinfo, _("  none"));
	explain_line(rsinfo, any ? _("Risk: %s") :
				 _("Risk: %s (jit_access.default_risk)"),
				 jit_risk_name(decision->risk));
	if (decision->forbidden_by != NULL)
		explain_line(rsinfo, _("  forbidden by policy %s%s%s"),
					 quote_identifier(decision->forbidden_by),
					 decision->forbidden_why ? ": " : "",
					 decision->forbidden_why ? decision->forbidden_why : "");
}

/* One step, as the request would meet it with all others done. */
static void
explain_step(ReturnSetInfo *rsinfo, const JitRequest *request, int number,
			 List *steps, const char *text, int needed)
{
	JitRequest	probe = *request;
	int			people;
	char	   *names;

	probe.flow = steps_to_jsonb(steps);
	probe.needs_superuser = steps == NIL;
	names = jit_approvers_text(&probe, &people);
	if (people == 0)
		explain_line(rsinfo, _("  step %d: %s; nobody could"), number, text);
	else if (people < needed)
		explain_line(rsinfo, _("  step %d: %s; only %s could"), number, text, names);
	else
		explain_line(rsinfo, "  step %d: %s (%s)", number, text, names);
}

static void
explain_flow(ReturnSetInfo *rsinfo, const JitRequest *request, List *steps)
{
	ListCell   *lc;

	explain_line(rsinfo, _("Flow"));
	foreach(lc, steps)
	{
		Step	   *step = lfirst(lc);

		explain_step(rsinfo, request, foreach_current_index(lc) + 1,
					 list_make1(step), step_text(step), step->approvals);
	}
	if (request->needs_superuser)
		explain_step(rsinfo, request, list_length(steps) + 1, NIL,
					 _("1 approval by a superuser, unless there was one before"), 1);
	else if (steps == NIL)
		explain_line(rsinfo, "  %s", steps_text(steps));
}

static void
explain_pattern(ReturnSetInfo *rsinfo, const char *name, const char *value,
				const char *pattern)
{
	bool		matches;

	if (pattern == NULL)
		return;
	matches = value != NULL &&
		DatumGetBool(DirectFunctionCall2Coll(textregexeq, C_COLLATION_OID,
											 CStringGetTextDatum(value),
											 CStringGetTextDatum(pattern)));
	explain_line(rsinfo, matches ? _("  %s matches \"%s\"") :
				 value ? _("  %s does not match \"%s\": refused") :
				 _("  %s is missing, must match \"%s\": refused"), name, pattern);
}

/* jit_explain(access, duration, reason, until, ticket, grantee) */
Datum
jit_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	JitRequest *request;
	JitDecision *decision;
	List	   *steps;
	int64		usecs;
	int64		longest;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	request = jit_request_from_arguments(fcinfo, 1, 2, 5, false, &usecs);
	decision = decide(make_facts(request, usecs), &steps);
	request->flow = decision->flow;

	explain_line(rsinfo, _("Request in %s for %s, for %s"),
				 quote_identifier(jit_database_name()),
				 quote_identifier(request->grantee_name), usecs_text(usecs));
	explain_items(rsinfo, request, decision->facts);
	explain_policies(rsinfo, decision);
	if (decision->forbidden_by == NULL)
	{
		explain_flow(rsinfo, request, steps);
		explain_line(rsinfo, _("Limits"));
		longest = Min(decision->max_duration,
					  (int64) jit_max_duration * USECS_PER_SEC);
		explain_line(rsinfo, usecs > longest ? _("  at most %s: refused") :
					 _("  at most %s"), usecs_text(longest));
		explain_line(rsinfo, _("  lapses after %s"),
					 usecs_text(decision->request_ttl));
		explain_pattern(rsinfo, "reason", request->reason,
						decision->reason_pattern);
		explain_pattern(rsinfo, "ticket", request->ticket,
						decision->ticket_pattern);
	}
	explain_line(rsinfo, _("Facts"));
	for (int i = 0; i < lengthof(fact_names); i++)
		explain_line(rsinfo, "  %s: %s", fact_names[i],
					 fact_text(&decision->facts->root, fact_names[i]));
	return (Datum) 0;
}
