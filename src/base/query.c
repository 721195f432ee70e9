/*-------------------------------------------------------------------------
 *
 * query.c
 *		SQL on our own tables, as their owner, work that may fail by itself,
 *		and what every room needs to say where it is.
 *
 * An owner section is the only place where we run with more rights than the
 * caller has.  Whoever opens one has finished checking the caller: nothing
 * that the caller wrote may be evaluated inside (names are resolved and texts
 * parsed before).  An error leaves the section by transaction or
 * subtransaction abort, which restores user, settings and SPI.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/query.h"
#include "base/text.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"

typedef struct PlanEntry
{
	const char *sql;			/* the key: where the constant is, not its
								 * text */
	SPIPlanPtr	plan;
} PlanEntry;

/* What an owner section must be able to rely on. */
const char *const jit_pinned_settings[JIT_N_PINNED_SETTINGS][2] = {
	{"search_path", "pg_catalog, pg_temp"},
	/* deadlines travel as text to CREATE ROLE: they must read back */
	{"DateStyle", "ISO, MDY"},
	{"IntervalStyle", "postgres"},
	/* UTC, without a file that there might not be */
	{"TimeZone", "GMT"},
	{"quote_all_identifiers", "off"},
	{"row_security", "off"},
	/* rows change their status: only plain index scans pass by what is dead */
	{"enable_bitmapscan", "off"},
	/* not with what jit_query() reads by under SERIALIZABLE */
	{"enable_indexonlyscan", "off"},
	{"enable_indexscan", "on"},
	{"enable_seqscan", "on"},
	/* an error that we catch must not end the session, and us with it */
	{"exit_on_error", "off"},
};

/* Are they so for the whole life of the process, a sweeper? */
bool		jit_settings_pinned = false;

/* Set a setting until the current GUC nest level ends, as a section does. */
void
jit_set_locally(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Become the bootstrap superuser for our own SQL and catalog changes, with
 * nothing of the caller's in search_path, and connect to SPI.  Sections nest.
 * The caller's memory context stays the current one.  Mirrors what
 * ri_PerformCheck() and autovacuum do.  Needs a transaction.
 */
void
jit_enter_owner_section(JitOwnerSection *section)
{
	MemoryContext context = CurrentMemoryContext;

	GetUserIdAndSecContext(&section->userid, &section->sec_context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   section->sec_context |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	section->nestlevel = NewGUCNestLevel();

	for (int i = 0; i < JIT_N_PINNED_SETTINGS && !jit_settings_pinned; i++)
	{
		/* reading is much cheaper, and sections nest */
		if (strcmp(GetConfigOption(jit_pinned_settings[i][0], false, false),
				   jit_pinned_settings[i][1]) != 0)
			jit_set_locally(jit_pinned_settings[i][0], jit_pinned_settings[i][1]);
	}

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(context);
}

/* Undo jit_enter_owner_section(). */
void
jit_leave_owner_section(JitOwnerSection *section)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	AtEOXact_GUC(false, section->nestlevel);
	SetUserIdAndSecContext(section->userid, section->sec_context);
}

/*
 * Until jit_end_lookup() look up names: as the caller sees them, or, with
 * "qualified", without needing USAGE on the schemas that are named, which may
 * be what is asked for.  Nothing but a look-up may be done: it runs no code but
 * what a superuser has installed.
 */
void
jit_begin_lookup(JitOwnerSection *section, bool qualified)
{
	GetUserIdAndSecContext(&section->userid, &section->sec_context);
	if (qualified)
		SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
							   section->sec_context |
							   SECURITY_LOCAL_USERID_CHANGE |
							   SECURITY_RESTRICTED_OPERATION);
}

void
jit_end_lookup(JitOwnerSection *section)
{
	SetUserIdAndSecContext(section->userid, section->sec_context);
}

/*
 * The plan of a statement, made once per session and text.  PostgreSQL plans
 * it anew when what it is about has changed.
 */
static SPIPlanPtr
kept_plan(const char *sql, int nargs, Oid *types)
{
	static HTAB *plans = NULL;
	PlanEntry  *entry;
	SPIPlanPtr	plan;

	if (plans == NULL)
	{
		HASHCTL		ctl = {
			.keysize = sizeof(sql),
			.entrysize = sizeof(PlanEntry)
		};

		plans = hash_create("jit_access plans", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	entry = hash_search(plans, &sql, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->plan;

	plan = SPI_prepare(sql, nargs, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	entry = hash_search(plans, &sql, HASH_ENTER, NULL);
	entry->plan = plan;
	return plan;
}

/* What the letters of jit_query() stand for. */
static Oid
parameter_type(char letter)
{
	static const char letters[] = "bijlnoptvzIOSTXZ";
	static const Oid types[] = {
		BOOLOID, INT4OID, JSONBOID, INT8OID, NAMEOID, OIDOID, JSONPATHOID,
		TEXTOID, INTERVALOID, TIMESTAMPTZOID, INT4ARRAYOID, OIDARRAYOID,
		INT2ARRAYOID, TEXTARRAYOID, XIDARRAYOID, TIMESTAMPTZARRAYOID
	};
	const char *found = strchr(letters, letter);

	if (found == NULL)
		elog(ERROR, "unrecognized type of a parameter: %c", letter);
	return types[found - letters];
}

/*
 * Run one statement inside an owner section and return how many rows it
 * processed.  A letter says what each parameter is: b bool, i int, l int64,
 * o Oid, t char *, j Jsonb *, v Interval *, z TimestampTz; or a Datum of a
 * n name, p jsonpath, or an array of I int4, O oid, S int2, T text, X xid or
 * Z timestamptz.  A NULL pointer, a Datum of 0 and DT_NOEND are nulls.
 *
 * With any parameters, sql must be a constant: its plan is kept, by address.
 * The snapshot is a new one at every isolation level: what has been decided
 * meanwhile counts, as it does for foreign keys (ri_PerformCheck()).  Under
 * SERIALIZABLE rows are taken as they are when they are met, and no predicate
 * locks, or requests that have nothing to do with one another would fail for
 * each other's sake.  As an UPDATE would then meet what it has just written,
 * what a user's call updates is found by JIT_THE_ROWS first.
 */
int
jit_query(const char *sql, const char *parameters,...)
{
	int			nargs = strlen(parameters);
	Oid			types[32];
	Datum		values[32];
	char		nulls[32];
	va_list		args;
	MemoryContext context = CurrentMemoryContext;
	SPIPlanPtr	plan;
	int			rc;

	Assert(nargs <= lengthof(types));
	Assert(GetUserId() == BOOTSTRAP_SUPERUSERID);

	va_start(args, parameters);
	for (int i = 0; i < nargs; i++)
	{
		bool		isnull = false;

		types[i] = parameter_type(parameters[i]);
		switch (parameters[i])
		{
			case 'b':
				values[i] = BoolGetDatum(va_arg(args, int));
				break;
			case 'i':
				values[i] = Int32GetDatum(va_arg(args, int));
				break;
			case 'l':
				values[i] = Int64GetDatum(va_arg(args, int64));
				break;
			case 'o':
				values[i] = ObjectIdGetDatum(va_arg(args, Oid));
				break;
			case 'z':
				values[i] = TimestampTzGetDatum(va_arg(args, TimestampTz));
				isnull = DatumGetTimestampTz(values[i]) == DT_NOEND;
				break;
			case 't':
				{
					char	   *text = va_arg(args, char *);

					isnull = text == NULL;

					values[i] = isnull ? (Datum) 0 : CStringGetTextDatum(text);
				}
				break;
			case 'j':
			case 'v':
				values[i] = PointerGetDatum(va_arg(args, void *));
				isnull = DatumGetPointer(values[i]) == NULL;
				break;
			default:
				values[i] = va_arg(args, Datum);
				isnull = values[i] == (Datum) 0;
		}
		nulls[i] = isnull ? 'n' : ' ';
	}
	va_end(args);

	plan = nargs == 0 ? SPI_prepare(sql, 0, NULL) : kept_plan(sql, nargs, types);
	if (IsolationUsesXactSnapshot())
		PushActiveSnapshot(GetLatestSnapshot());
	/* our copy of it */
	if (IsolationIsSerializable())
		GetActiveSnapshot()->snapshot_type = SNAPSHOT_SELF;
	rc = SPI_execute_snapshot(plan, values, nulls,
							  IsolationUsesXactSnapshot() ?
							  GetActiveSnapshot() : InvalidSnapshot,
							  InvalidSnapshot, false, true, 0);
	if (IsolationUsesXactSnapshot())
		PopActiveSnapshot();
	MemoryContextSwitchTo(context);
	if (rc < 0)
		elog(ERROR, "jit_query failed: %s", SPI_result_code_string(rc));
	return (int) SPI_processed;
}

/*
 * A value of the last jit_query(), which lives until the section is left; row
 * and column count from 1.
 */
Datum
jit_result(int row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row - 1], SPI_tuptable->tupdesc,
						 column, isnull);
}

/* The same as an int; 0 for null. */
int
jit_result_int(int row, int column)
{
	bool		isnull;

	return DatumGetInt32(jit_result(row, column, &isnull));
}

/* The same as an int64; 0 for null. */
int64
jit_result_int64(int row, int column)
{
	bool		isnull;
	Datum		value = jit_result(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

/* The same as a bool; false for null. */
bool
jit_result_bool(int row, int column)
{
	bool		isnull;

	return DatumGetBool(jit_result(row, column, &isnull));
}

/* The same as an OID; InvalidOid for null. */
Oid
jit_result_oid(int row, int column)
{
	bool		isnull;

	return DatumGetObjectId(jit_result(row, column, &isnull));
}

/* The same as a point in time; DT_NOEND for null. */
TimestampTz
jit_result_time(int row, int column)
{
	bool		isnull;
	Datum		value = jit_result(row, column, &isnull);

	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

/* The same as text, NULL for null; in the current memory context. */
char *
jit_result_text(int row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row - 1], SPI_tuptable->tupdesc,
						column);
}

/* A parameter of type int4[]. */
Datum
jit_int4_array(Datum *values, int n)
{
	return PointerGetDatum(construct_array(values, n, INT4OID, sizeof(int32),
										   true, TYPALIGN_INT));
}

/*
 * Run something in a subtransaction, which is kept, if it comes through, or
 * undone all the same.  NULL or the error, in the current memory context.
 */
static ErrorData *
in_subtransaction(void (*work) (void *arg), void *arg, bool keep)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);

	/*
	 * what we catch must not end the session; set back with the
	 * subtransaction
	 */
	if (ExitOnAnyError)
		jit_set_locally("exit_on_error", "off");
	PG_TRY();
	{
		work(arg);
		if (keep)
			ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	if (error != NULL || !keep)
		RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/*
 * Run something in a subtransaction.  NULL if it has come through; otherwise
 * all of it is undone, and this is the error, in the current memory context.
 * A cancellation and a shutdown are not the work's fault, and raised again.
 */
ErrorData *
jit_try(void (*work) (void *arg), void *arg)
{
	ErrorData  *error = in_subtransaction(work, arg, true);

	if (error != NULL &&
		(error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		 error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN))
		ReThrowError(error);
	return error;
}

/*
 * Run something that only looks: locks, settings and the user are then as they
 * were before.  The work leaves its results in the memory context that is the
 * current one.
 */
void
jit_look(void (*work) (void *arg), void *arg)
{
	ErrorData  *error = in_subtransaction(work, arg, false);

	if (error != NULL)
		ReThrowError(error);
}

typedef struct OwnerCall
{
	void		(*work) (void *arg);
	void	   *arg;
} OwnerCall;

static void
work_as_owner(void *arg)
{
	OwnerCall  *call = arg;
	JitOwnerSection section;

	jit_enter_owner_section(&section);
	call->work(call->arg);
	jit_leave_owner_section(&section);
}

/* The same in an owner section. */
ErrorData *
jit_try_as_owner(void (*work) (void *arg), void *arg)
{
	OwnerCall	call = {work, arg};

	return jit_try(work_as_owner, &call);
}

/* Is there something to ask for access with in this database? */
bool
jit_extension_installed(void)
{
	return OidIsValid(get_extension_oid(JIT_EXTENSION, true));
}

/*
 * Raise if the function, which writes to our tables, can't do so here.  In a
 * security-restricted operation, such as autovacuum's ANALYZE, somebody else's
 * code runs in the name of whoever is at the other end of the session.
 */
void
jit_prevent_if_not_here(FunctionCallInfo fcinfo)
{
	char	   *name = psprintf("%s()", get_func_name(fcinfo->flinfo->fn_oid));

	PreventCommandDuringRecovery(name);
	PreventCommandIfReadOnly(name);
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot execute %s within security-restricted operation", name)));
}

/*
 * Before anything is done with our tables in a transaction: raise if the
 * extension in this database isn't of the library's version, since they may
 * not be what we take them for, and lock jit.requests, which DROP EXTENSION
 * locks first, too, or neither would get on.  False if there is no extension.
 * Ending access at its deadline, and DROP EXTENSION, don't depend on it.
 */
bool
jit_open_ledger(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = NULL;
	Oid			requests;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum(JIT_EXTENSION));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion,
										 RelationGetDescr(rel), &isnull);

		if (!isnull)
			version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	if (version == NULL)
		return false;
	if (strcmp(version, JIT_VERSION) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension jit_access in %s is of version %s, but its library is of version %s",
						quote_identifier(jit_database_name()), version, JIT_VERSION),
				 errhint("Run ALTER EXTENSION jit_access UPDATE; if the library is the older of the two, install its new version and restart the server first.")));
	requests = get_relname_relid("requests", get_namespace_oid(JIT_SCHEMA, true));
	if (OidIsValid(requests))
		LockRelationOid(requests, AccessShareLock);
	/* it may have been dropped while we waited */
	return jit_extension_installed();
}

/*
 * Where we are: "<system identifier>/<database OID>".  OIDs in a row of ours
 * with another origin mean nothing here.
 */
const char *
jit_origin(void)
{
	static char origin[48];

	if (origin[0] == '\0')
		snprintf(origin, sizeof(origin), UINT64_FORMAT "/%u",
				 GetSystemIdentifier(), MyDatabaseId);
	return origin;
}

/* The part of jit_origin() that is the same in all databases here. */
char *
jit_cluster_origin(void)
{
	const char *origin = jit_origin();

	return pnstrdup(origin, strchr(origin, '/') - origin + 1);
}

/* Was a row with that origin filed in this cluster, be it in another database? */
bool
jit_is_of_cluster(const char *origin)
{
	char	   *cluster = jit_cluster_origin();

	return strncmp(origin, cluster, strlen(cluster)) == 0;
}

/*
 * Is a row with that origin a copy, be it by CREATE DATABASE ... TEMPLATE or
 * by restore, while the original is in another database here?  Then its grant
 * is that database's to end.  If that one is gone, it is ours.
 */
bool
jit_is_copy(const char *origin)
{
	return strcmp(origin, jit_origin()) != 0 && jit_is_of_cluster(origin) &&
		SearchSysCacheExists1(DATABASEOID,
							  ObjectIdGetDatum(atooid(strchr(origin, '/') + 1)));
}
