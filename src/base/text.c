/*-------------------------------------------------------------------------
 *
 * text.c
 *		Arguments in, words out.
 *
 * Checks of arguments that several SQL functions share, and the names of
 * things as messages, the ledger and the server log write them.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/text.h"

#include "commands/dbcommands.h"
#include "common/int.h"

static const char *const risk_names[] = {"low", "moderate", "high", "forbidden"};

static const char *const status_names[] = {
	"pending", "active", "rejected", "canceled", "lapsed", "expired", "revoked"
};

/* ----------------------------------------------------------------------
 * Arguments
 * ----------------------------------------------------------------------
 */

/*
 * Text argument as a C string, NULL for null.  Text that is blank or too
 * long is an error.
 */
char *
jit_text_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *value;

	if (PG_ARGISNULL(n))
		return NULL;
	value = text_to_cstring(PG_GETARG_TEXT_PP(n));
	if (strlen(value) > JIT_MAX_TEXT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s is too long", name),
				 errdetail("It has %zu bytes; at most %d are allowed.",
						   strlen(value), JIT_MAX_TEXT)));
	if (value[strspn(value, " \t\r\n\f\v")] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", name)));
	return value;
}

/* The same for an argument that there must be. */
char *
jit_required_text(FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *value = jit_text_argument(fcinfo, n, name);

	if (value == NULL)
		jit_refuse_null(name);
	return value;
}

/* Raise for an argument that must not be null. */
void
jit_refuse_null(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("%s must not be null", name)));
}

static int
index_of(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(names[i], name) == 0)
			return i;
	}
	elog(ERROR, "unexpected value of an enum: \"%s\"", name);
	return -1;					/* keep the compiler quiet */
}

/* A state by its name, as it is stored. */
JitStatus
jit_status_by_name(const char *name)
{
	return index_of(name, status_names, lengthof(status_names));
}

/* A level by its name, as it is stored. */
JitRisk
jit_risk_by_name(const char *name)
{
	return index_of(name, risk_names, lengthof(risk_names));
}

/* Argument of type jit.risk_level. */
JitRisk
jit_risk_argument(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		jit_refuse_null("risk");
	return jit_risk_by_name(DatumGetCString(DirectFunctionCall1(enum_out,
																PG_GETARG_DATUM(n))));
}

/*
 * Interval as microseconds.  A day is 24 hours; months, whose length varies,
 * and anything that isn't positive are errors.  "what" names it in messages.
 */
int64
jit_interval_usecs(const Interval *interval, const char *what)
{
	int64		usecs;

	if (interval->month != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not have months or years", what),
				 errhint("Write days instead.")));
	if (pg_mul_s64_overflow(interval->day, USECS_PER_DAY, &usecs) ||
		pg_add_s64_overflow(usecs, interval->time, &usecs))
		ereport(ERROR,
				(errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW),
				 errmsg("%s is out of range", what)));
	if (usecs <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be more than zero", what)));
	return usecs;
}

/* ----------------------------------------------------------------------
 * Words
 * ----------------------------------------------------------------------
 */

const char *
jit_risk_name(JitRisk risk)
{
	return risk_names[risk];
}

const char *
jit_status_name(JitStatus status)
{
	return status_names[status];
}

char *
jit_interval_text(const Interval *interval)
{
	return DatumGetCString(DirectFunctionCall1(interval_out,
											   IntervalPGetDatum(interval)));
}

/* For list_sort() of texts. */
int
jit_compare_texts(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/* Texts, with something between each two. */
char *
jit_join(List *texts, const char *separator)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, texts)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? separator : "",
						 (char *) lfirst(lc));
	return buf.data;
}

/* Microseconds as an interval, for people. */
char *
jit_usecs_text(int64 usecs)
{
	Interval	interval = {.time = usecs};

	return jit_interval_text(&interval);
}

/* A point in time for a message, to the second, in the session's TimeZone. */
char *
jit_timestamp_text(TimestampTz at)
{
	if (!TIMESTAMP_NOT_FINITE(at))
		at -= at % USECS_PER_SEC;
	return pstrdup(timestamptz_to_str(at));
}

/* Name of a database, for messages; its OID when it is gone. */
char *
jit_name_of_database(Oid database)
{
	char	   *name = get_database_name(database);

	return name ? name : psprintf("%u", database);
}

/* The same of this one. */
char *
jit_database_name(void)
{
	return jit_name_of_database(MyDatabaseId);
}

/* Name of a role, for messages; its OID when the role is gone. */
char *
jit_role_name(Oid roleid)
{
	char	   *name = GetUserNameFromId(roleid, true);

	return name ? name : psprintf("%u", roleid);
}
