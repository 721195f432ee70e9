/*-------------------------------------------------------------------------
 *
 * facts.c
 *		What risk policies know of a request.
 *
 * One jsonb object per request, kept with it.  Names, types and units of the
 * facts are what people write conditions with: they stay.  Every fact is
 * always there, null if it isn't known, so that strict paths work.
 *
 * Nothing here depends on a setting that whoever asks could change: times are
 * in log_timezone, memberships are the standing ones.  Facts are read as they
 * are at that moment; no lock outlives the reading.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/catalog.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/query.h"
#include "base/text.h"
#include "request/facts.h"
#include "request/label.h"

#include "access/relation.h"
#include "optimizer/plancat.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/datetime.h"
#include "utils/json.h"


/* In the order in which jit_explain() shows them; ends with NULL. */
const char *const jit_fact_names[] = {
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
	"writes",					/* boolean: could it change something? */
	"duration",					/* number: seconds */
	"until",					/* string: timestamp; null if a duration was
								 * given */
	"reason",					/* string or null */
	"statement",				/* string: what is to be run; null if the
								 * access is given */
	"ticket",					/* string or null */
	"via",						/* string: identity; null if they asked
								 * themselves */
	"client_addr",				/* string; null for a Unix-domain socket */
	"requested_at",				/* string: timestamp */
	"weekday",					/* number: 1 is Monday, 7 is Sunday */
	"hour",						/* number: 0 to 23 */
	"start",					/* string: timestamp; null if at once */
	"start_weekday",			/* number: of the start, or of the filing */
	"start_hour",				/* number */
	"active_grants",			/* number: the grantee's that are live, in
								 * this database */
	"recent_grants",			/* number: the grantee's that started in the
								 * last JIT_RECENT_DAYS, in this database */
	NULL
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
	NULL
};

/* ----------------------------------------------------------------------
 * Making them
 * ----------------------------------------------------------------------
 */

static void
append_key(StringInfo buf, const char *key)
{
	if (buf->data[buf->len - 1] != '{')
		appendStringInfoChar(buf, ',');
	escape_json(buf, key);
	appendStringInfoChar(buf, ':');
}

/* NULL is null. */
static void
append_string(StringInfo buf, const char *key, const char *value)
{
	append_key(buf, key);
	if (value != NULL)
		escape_json(buf, value);
	else
		appendStringInfoString(buf, "null");
}

/* Negative is null. */
static void
append_number(StringInfo buf, const char *key, int64 value)
{
	append_key(buf, key);
	if (value >= 0)
		appendStringInfo(buf, INT64_FORMAT, value);
	else
		appendStringInfoString(buf, "null");
}

static void
append_bool(StringInfo buf, const char *key, bool value)
{
	append_key(buf, key);
	appendStringInfoString(buf, value ? "true" : "false");
}

static void
append_strings(StringInfo buf, const char *key, List *values)
{
	ListCell   *lc;

	append_key(buf, key);
	appendStringInfoChar(buf, '[');
	foreach(lc, values)
	{
		if (lc != list_head(values))
			appendStringInfoChar(buf, ',');
		escape_json(buf, lfirst(lc));
	}
	appendStringInfoChar(buf, ']');
}

/*
 * A role and the roles that it is a standing member of: temporary access
 * changes no risk.
 */
static void
append_roles(StringInfo buf, const char *key, Oid role)
{
	List	   *names = NIL;
	ListCell   *lc;

	if (OidIsValid(role))
	{
		foreach(lc, jit_role_closure(role, JIT_CLOSURE_MEMBERS,
									 JIT_FILTER_STANDING, jit_now()))
			names = lappend(names, jit_role_name(lfirst_oid(lc)));
	}
	append_strings(buf, key, names);
}

/* A point in time as jsonpath's datetime() reads it, and its parts. */
static char *
timestamp_fact(TimestampTz at, struct pg_tm *tm)
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

/* 1 is Monday, 7 is Sunday. */
static int
weekday_fact(const struct pg_tm *tm)
{
	int			weekday = j2day(date2j(tm->tm_year, tm->tm_mon, tm->tm_mday));

	return weekday == 0 ? 7 : weekday;
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
 * for what can't be told.  What somebody else has locked isn't waited for:
 * the last ANALYZE or VACUUM has the word on it.
 */
static void
measure_relation(Oid relid, int64 *rows, int64 *size)
{
	ListCell   *lc;

	*rows = *size = -1;
	foreach(lc, jit_inheritors(relid))
	{
		Relation	rel;

		CHECK_FOR_INTERRUPTS();
		if (!ConditionalLockRelationOid(lfirst_oid(lc), AccessShareLock))
		{
			HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(lfirst_oid(lc)));

			if (!HeapTupleIsValid(tuple))
				continue;
			if (((Form_pg_class) GETSTRUCT(tuple))->reltuples >= 0)
			{
				*rows = Max(*rows, 0) + (int64) ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
				*size = Max(*size, 0) + (int64) ((Form_pg_class) GETSTRUCT(tuple))->relpages * BLCKSZ;
			}
			ReleaseSysCache(tuple);
			continue;
		}
		rel = try_relation_open(lfirst_oid(lc), NoLock);
		if (rel == NULL)
		{
			UnlockRelationOid(lfirst_oid(lc), AccessShareLock);
			continue;
		}
		if (rel->rd_rel->relkind == RELKIND_RELATION ||
			rel->rd_rel->relkind == RELKIND_MATVIEW)
		{
			BlockNumber pages;
			double		tuples;
			double		allvisfrac;

			estimate_rel_size(rel, NULL, &pages, &tuples, &allvisfrac);
			/* it takes a table that was never vacuumed for one of 10 pages */
			if (pages > 0)
				tuples = tuples / pages * Min(pages, RelationGetNumberOfBlocks(rel));
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

/* Names of the columns that an item, whose name is given, touches. */
static List *
item_columns(const JitItem *item, const char *relname)
{
	Oid			relid = item->address.objectId;
	List	   *names = NIL;
	ListCell   *lc;
	HeapTuple	tuple;
	AttrNumber	natts;

	if (item->objtype != OBJECT_TABLE)
		return NIL;
	foreach(lc, item->attnums)
	{
		char	   *name = jit_column_name(relid, lfirst_int(lc));

		if (name == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("a column of %s was dropped by another transaction",
							quote_identifier(relname))));
		names = lappend(names, name);
	}
	if (names != NIL)
		return names;

	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		return NIL;
	natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	ReleaseSysCache(tuple);
	for (AttrNumber i = 1; i <= natts; i++)
	{
		char	   *name = jit_column_name(relid, i);

		if (name != NULL)
			names = lappend(names, name);
	}
	return names;
}

static void
append_item(StringInfo buf, const JitItem *item)
{
	const ObjectAddress *address = &item->address;
	Oid			nspid;
	Oid			owner = InvalidOid;
	char	   *name;
	int64		rows = -1;
	int64		size = -1;

	/* first: the object may be dropped while this waits for its lock */
	if (item->objtype == OBJECT_TABLE)
		measure_relation(address->objectId, &rows, &size);

	nspid = jit_item_namespace(item);
	name = jit_item_name(item);
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("an object was dropped by another transaction")));
	/* a parameter may have no OID yet */
	if (item->objtype != OBJECT_PARAMETER_ACL && item->objtype != OBJECT_ROLE)
		owner = jit_object_owner(address->classId, address->objectId);

	appendStringInfoChar(buf, '{');
	append_string(buf, "type", item->objtype == OBJECT_PARAMETER_ACL ? "parameter" :
				  getObjectTypeDescription(address, false));
	append_string(buf, "schema", OidIsValid(nspid) ? get_namespace_name(nspid) : NULL);
	append_string(buf, "name", name);
	append_strings(buf, "columns", item_columns(item, name));
	append_strings(buf, "privileges", jit_privilege_list(item->privs));
	append_string(buf, "owner", OidIsValid(owner) ? jit_role_name(owner) : NULL);
	append_strings(buf, "labels", jit_item_labels(item));
	append_number(buf, "rows", rows);
	append_number(buf, "size", size);
	append_bool(buf, "added", item->added);
	appendStringInfoChar(buf, '}');
}

/* The facts that others than the requester can change while it is pending. */
static void
append_surroundings(StringInfo buf, const JitRequest *request)
{
	ListCell   *lc;

	append_string(buf, "environment",
				  jit_environment && jit_environment[0] ? jit_environment : NULL);
	append_roles(buf, "requester_roles", request->requester);
	append_roles(buf, "login_roles", request->login);
	append_roles(buf, "grantee_roles", request->grantee);
	append_key(buf, "items");
	appendStringInfoChar(buf, '[');
	foreach(lc, request->items)
	{
		if (lc != list_head(request->items))
			appendStringInfoChar(buf, ',');
		append_item(buf, lfirst(lc));
	}
	appendStringInfoChar(buf, ']');
}

/* How many other grants the grantee has, and had lately, in this database. */
static void
append_grants(StringInfo buf, const JitRequest *request, TimestampTz now)
{
	JitOwnerSection section;
	int64		active;
	int64		recent;
	bool		isnull;

	jit_enter_owner_section(&section);
	jit_query("SELECT count(*) FILTER (WHERE g.ended_at IS NULL AND g.expires_at > $3),"
			  " count(*) FILTER (WHERE g.granted_at > $3 - make_interval(days => $4))"
	/* by the primary key, whatever the planner believes to know */
			  " FROM jit.grants g WHERE g.grantee_oid = $1 AND g.request_id <> $5"
			  " AND (SELECT r.origin = $2 FROM jit.requests r WHERE r.id = g.request_id)",
			  "otzii", request->grantee, jit_origin(), now, JIT_RECENT_DAYS, request->id);
	active = DatumGetInt64(jit_result(1, 1, &isnull));
	recent = DatumGetInt64(jit_result(1, 2, &isnull));
	jit_leave_owner_section(&section);

	append_number(buf, "active_grants", active);
	append_number(buf, "recent_grants", recent);
}

static Jsonb *
finish_object(StringInfo buf)
{
	appendStringInfoChar(buf, '}');
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
											  CStringGetDatum(buf->data)));
}

/*
 * Facts of a request that is being filed, with request->items and all that
 * its author gave.  duration is in microseconds.  Runs as the caller.
 */
Jsonb *
jit_make_facts(const JitRequest *request, int64 duration)
{
	StringInfoData buf;
	TimestampTz now = jit_now();
	struct pg_tm tm;
	struct pg_tm until;
	struct pg_tm start;
	bool		later = request->start != DT_NOEND;
	char	   *requested_at = timestamp_fact(now, &tm);
	char	   *starts_at = timestamp_fact(later ? request->start : now, &start);
	AclMode		privs = 0;
	bool		writes = false;
	ListCell   *lc;

	foreach(lc, request->items)
	{
		JitItem    *item = lfirst(lc);

		privs |= item->privs;
		writes |= item_writes(item);
	}

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	append_string(&buf, "database", jit_database_name());
	append_string(&buf, "requester", request->requester_name);
	append_string(&buf, "login", request->login_name);
	append_string(&buf, "grantee", request->grantee_name);
	append_surroundings(&buf, request);
	append_strings(&buf, "privileges", jit_privilege_list(privs));
	append_bool(&buf, "writes", writes);
	/* rounded up: less than a second isn't nothing */
	append_number(&buf, "duration", (duration + USECS_PER_SEC - 1) / USECS_PER_SEC);
	append_string(&buf, "until", request->until == DT_NOEND ? NULL :
				  timestamp_fact(request->until, &until));
	append_string(&buf, "reason", request->reason);
	append_string(&buf, "statement", request->statement);
	append_string(&buf, "ticket", request->ticket);
	append_string(&buf, "via", request->via);
	append_string(&buf, "client_addr", jit_client_addr());
	append_string(&buf, "requested_at", requested_at);
	append_number(&buf, "weekday", weekday_fact(&tm));
	append_number(&buf, "hour", tm.tm_hour);
	append_string(&buf, "start", later ? starts_at : NULL);
	append_number(&buf, "start_weekday", weekday_fact(&start));
	append_number(&buf, "start_hour", start.tm_hour);
	append_grants(&buf, request, now);
	return finish_object(&buf);
}

/*
 * Facts of a request as they would be if it were filed now: those of its
 * filing, save what others may have changed meanwhile, and, once it isn't
 * pending any more, what else its grantee was given.
 */
Jsonb *
jit_refresh_facts(Jsonb *facts, const JitRequest *request)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	append_surroundings(&buf, request);
	if (request->status != JIT_PENDING)
		append_grants(&buf, request, jit_now());
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat,
											  JsonbPGetDatum(facts),
											  JsonbPGetDatum(finish_object(&buf))));
}

/* ----------------------------------------------------------------------
 * Conditions about them
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
name_in(const char *name, const char *const *names)
{
	for (; *names != NULL; names++)
	{
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

static char *
names_text(const char *const *names)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (; *names != NULL; names++)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "", *names);
	return buf.data;
}

/*
 * What a key leads to.  A key that isn't there would silently make a
 * condition false in lax mode, so it is an error.
 */
static PathScope
check_key(PathScope scope, const char *key)
{
	bool		is_fact = name_in(key, jit_fact_names);
	bool		is_item_fact = name_in(key, item_fact_names);

	switch (scope)
	{
		case SCOPE_FACTS:
			if (!is_fact)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("\"%s\" is not a fact", key),
						 errhint("Facts are: %s.",
								 names_text(jit_fact_names))));
			return strcmp(key, "items") == 0 ? SCOPE_ITEMS : SCOPE_VALUE;
		case SCOPE_ITEMS:
			if (!is_item_fact)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("\"%s\" is not a fact of an item", key),
						 errhint("Facts of an item are: %s.",
								 names_text(item_fact_names))));
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
 * stands for.  Sets *facts if it looks at any.  Node kinds that aren't named hold
 * no paths of their own, and give values.  Mirrors the shape that flattenJsonPathParseItem() writes.
 */
static PathScope
check_path(JsonPathItem *node, PathScope current, bool *facts)
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
			*facts = true;
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
			(void) check_path(&arg, current, facts);
			jspGetRightArg(&v, &arg);
			(void) check_path(&arg, current, facts);
			break;
		case jpiNot:
		case jpiIsUnknown:
		case jpiExists:
		case jpiPlus:
		case jpiMinus:
			jspGetArg(&v, &arg);
			(void) check_path(&arg, current, facts);
			break;
		case jpiLikeRegex:
			jspInitByBuffer(&arg, v.base, v.content.like_regex.expr);
			(void) check_path(&arg, current, facts);
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

					if (arg.type == jpiString)
						ereport(ERROR,
								(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
								 errmsg("a subscript must be a number, not \"%s\"",
										jspGetString(&arg, NULL)),
								 errhint("Keys are written with a dot: $.environment.")));
					(void) check_path(&arg, current, facts);
					if (range)
						(void) check_path(&to, current, facts);
				}
				break;
			case jpiFilter:
				jspGetArg(&v, &arg);
				(void) check_path(&arg, scope, facts);
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
void
jit_check_condition(JsonPath *path)
{
	JsonPathItem root;
	bool		predicate;
	bool		facts = false;

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
	(void) check_path(&root, SCOPE_FACTS, &facts);
	if (!predicate)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("condition is not a predicate"),
				 errdetail("It must be true or false, not a value or a list of values."),
				 errhint("Write a comparison, such as $.environment == \"prod\", or exists(...) around a filter.")));
	/* as in "environment" == "prod", which is never true */
	if (!facts)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("condition looks at no fact"),
				 errdetail("It is the same for every request."),
				 errhint("Facts are written $.environment, as in $.environment == \"prod\".")));
}
