/*-------------------------------------------------------------------------
 *
 * statements.c
 *		What people did: the client's statements that rely on temporary access.
 *
 * Each of them leaves two lines in the server log, where no transaction can
 * take them back: one when it is found to rely on temporary access, before
 * anything is read through it, and one when it ends.  And the first that ends
 * while its access soon does tells so (a NOTICE).
 *
 * There is one such statement at a time, for what runs inside of it, in
 * functions and cursors, belongs to it:
 *
 *	a query of the client's		its lines are written when it begins and ends
 *								to run: an Execute message, of a portal that
 *								is taken up again too.  Until then nothing is
 *								read, and what it relies on is kept with it
 *	a utility statement			the first line when something in it relies on
 *								access, if only by being started (DECLARE,
 *								EXPLAIN)
 *	a function that the planner
 *	runs, one called by protocol,
 *	what runs at COMMIT			nobody knows whose it is until the message of
 *								the client's ends; a query that begins to run
 *								by then is that
 *
 * Which one it is shows in error_context_stack: queries and utility statements
 * have frames there, and the outermost is the client's, if nothing of anybody
 * else's stands outside of it.
 *
 *	it ends						the last line
 *	an error reaches the client	the transaction, or savepoint, is aborted with
 *								nothing on that stack; what is caught in a
 *								function doesn't get so far
 *	anything else				the client's message ends: MessageContext is
 *								reset
 *	the process exits			the last line says so; if it is killed, there is
 *								only the first
 *
 * In a parallel worker the query is its leader's, who has told of it; what
 * functions do there is told by the worker.
 *
 * A statement doesn't fail for what can't be logged.  Nothing of this is
 * called for a statement that relies on nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/catalog.h"
#include "base/guc.h"
#include "base/item.h"
#include "base/query.h"
#include "base/text.h"
#include "enforce/hint.h"
#include "enforce/statements.h"

#include "access/parallel.h"
#include "commands/prepare.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "mb/pg_wchar.h"
#include "parser/scansup.h"
#include "storage/ipc.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

/* One object or role that is used, with all that it is used for. */
typedef struct Used
{
	Oid			classid;
	Oid			objid;
	const char *kind;
	const char *name;
	AclMode		privs;
	bool		owned;			/* ... or by owning it */
	Bitmapset  *columns;		/* as in JitPermInfo */
	List	   *column_names;
} Used;

/* A grant that allows something of it, and where that comes from. */
typedef struct Request
{
	Oid			role;
	int			request;
	Oid			dbid;
	const char *database;		/* its name, once that is looked up */
} Request;

typedef struct Statement
{
	const QueryDesc *query;		/* whose end is its end, or */
	const JitUtilityFrame *utility; /* ... or neither: the message's */
	const char *id;
	TimestampTz began;
	bool		written;		/* the first line, or has it been tried */
	const char *person;
	const char *head;			/* of its lines; NULL: another request or use
								 * has come */
	const char *parameters;		/* for the last line, if it fails */
	List	   *requests;		/* of Request */
	List	   *used;
	List	   *ends;			/* of JitCover: what ends for this user */
	TimestampTz first_end;
	int			sqlstate;		/* of the last error */
	bool		cut_off;
	int64		rows;			/* -1: not known */
} Statement;

bool		jit_statement_open = false;
uint64		jit_statement_number = 0;

static Statement statement;
static MemoryContext memory = NULL; /* all that it points to */

/* Ends that the user of the session was told of: list of JitCover. */
static List *told = NIL;

/* ----------------------------------------------------------------------
 * What can't be logged
 * ----------------------------------------------------------------------
 */

/* What an error changes, and whoever goes on after it sets back. */
typedef struct Before
{
	MemoryContext context;
	uint32		holdoff;
	uint32		cancel_holdoff;
} Before;

static Before
remember(void)
{
	Before		before = {CurrentMemoryContext, InterruptHoldoffCount, QueryCancelHoldoffCount};

	return before;
}

/*
 * In PG_CATCH: forget the error, and return what it was.  But who wants the
 * statement to end gets that.
 */
static int
forget_error(const volatile Before *before)
{
	int			code = geterrcode();

	MemoryContextSwitchTo(before->context);
	if (ERRCODE_TO_CATEGORY(code) == ERRCODE_OPERATOR_INTERVENTION)
		PG_RE_THROW();
	FlushErrorState();
	/* a transaction may be aborting, with interrupts held off */
	InterruptHoldoffCount = before->holdoff;
	QueryCancelHoldoffCount = before->cancel_holdoff;
	return code;
}

/* The same, and say that something is missing. */
static void
go_on_without(const char *what, const volatile Before *before)
{
	int			code = forget_error(before);

	ereport(LOG_SERVER_ONLY,
			(errmsg("jit_access: %s of a statement that relies on temporary access is missing: error %s",
					what, unpack_sql_state(code)),
			 errhidecontext(true)));
}

/* ----------------------------------------------------------------------
 * Which statement is it?
 * ----------------------------------------------------------------------
 */

/* The outermost frame, but for the one in which a client's message is run. */
static ErrorContextCallback *
outermost_frame(void)
{
	ErrorContextCallback *last = NULL;

	for (ErrorContextCallback *callback = error_context_stack; callback != NULL; callback = callback->previous)
	{
		if (callback->previous != NULL || callback->callback != ParamsErrorCallback)
			last = callback;
	}
	return last;
}

/* Is it run, or started, inside of something else? */
bool
jit_is_nested(void)
{
	return outermost_frame() != NULL;
}

/* Whose end will be the end of the statement that begins here? */
static void
find_owner(QueryDesc *query)
{
	ErrorContextCallback *outermost = outermost_frame();

	statement.query = NULL;
	statement.utility = NULL;
	if (outermost == NULL)
		statement.query = query;
	else if (outermost->callback == jit_utility_callback)
		statement.utility = outermost->arg;
	else if (outermost->callback == jit_query_callback)
		statement.query = ((JitQueryFrame *) outermost->arg)->query;
	else if (outermost->callback == jit_hint_callback)
		statement.query = ((JitStatementFrame *) outermost->arg)->starting;
}

/* Are there others to come that rules have made of the same statement? */
static bool
is_last(const QueryDesc *query)
{
	return ActivePortal == NULL ||
		!list_member_ptr(ActivePortal->stmts, query->plannedstmt) ||
		llast(ActivePortal->stmts) == query->plannedstmt;
}

/* A part of a text, as a Query has it, and nothing around it. */
static const char *
part_of(const char *text, int location, int length, int *result)
{
	if (location > 0)
		text	  +=location;

	if (length <= 0)
		length = strlen(text);
	while (length > 0 && scanner_isspace(*text))
		text	  ++,
					length--;

	while (length > 0 && (scanner_isspace(text[length - 1]) || text[length - 1] == ';'))
		length--;
	*result = length;
	return text;
}

/* The EXECUTE that a utility statement is; or that EXPLAIN or CREATE TABLE AS run. */
static ExecuteStmt *
find_execute(Node *stmt)
{
	while (stmt != NULL && !IsA(stmt, ExecuteStmt))
	{
		if (IsA(stmt, ExplainStmt))
			stmt = ((ExplainStmt *) stmt)->query;
		else if (IsA(stmt, CreateTableAsStmt))
			stmt = ((CreateTableAsStmt *) stmt)->query;
		else if (IsA(stmt, Query))
			stmt = ((Query *) stmt)->utilityStmt;
		else
			stmt = NULL;
	}
	return (ExecuteStmt *) stmt;
}

/* What was prepared for it.  NULL if there is none any more. */
static const char *
prepared_text(const ExecuteStmt *stmt, int *length)
{
	PreparedStatement *prepared = FetchPreparedStatement(stmt->name, false);
	RawStmt    *raw = prepared == NULL ? NULL : prepared->plansource->raw_parse_tree;

	return raw == NULL ? NULL : part_of(prepared->plansource->query_string,
										raw->stmt_location, raw->stmt_len, length);
}

/*
 * The text of the client's statement; of EXECUTE and FETCH, that of what was
 * prepared or declared.  NULL if there is none.
 */
static const char *
statement_text(int *length)
{
	if (statement.utility != NULL)
	{
		PlannedStmt *pstmt = statement.utility->pstmt;
		Node	   *stmt = pstmt->utilityStmt;
		const char *text = NULL;

		if (IsA(stmt, ExecuteStmt))
			text = prepared_text((ExecuteStmt *) stmt, length);

		else if (IsA(stmt, FetchStmt))
		{
			Portal		portal = GetPortalByName(((FetchStmt *) stmt)->portalname);

			if (PortalIsValid(portal) && portal->sourceText != NULL)
				text = part_of(portal->sourceText, 0, 0, length);
		}
		return text !=NULL ? text : part_of(statement.utility->text, pstmt->stmt_location,
											pstmt->stmt_len, length);
	}
	if (statement.query != NULL && statement.query->sourceText != NULL)
		return part_of(statement.query->sourceText, statement.query->plannedstmt->stmt_location,
					   statement.query->plannedstmt->stmt_len, length);
	return debug_query_string == NULL ? NULL : part_of(debug_query_string, 0, 0, length);
}

/* ----------------------------------------------------------------------
 * What it uses
 * ----------------------------------------------------------------------
 */

static void
add_request(const JitCover *cover)
{
	Request    *request;
	ListCell   *lc;

	foreach(lc, statement.requests)
	{
		request = lfirst(lc);
		if (request->role == cover->role)
			return;
	}
	statement.head = NULL;
	request = palloc(sizeof(Request));
	request->role = cover->role;
	request->request = cover->request;
	request->dbid = cover->database;
	request->database = NULL;
	statement.requests = lappend(statement.requests, request);
}

static JitCover *
copy_cover(const JitCover *cover)
{
	JitCover   *copy = palloc(sizeof(JitCover));

	*copy = *cover;
	return copy;
}

/* By which requests, and until when?  Looks up nothing: that would be the end of covers. */
static void
add_requests(const JitUse *use)
{
	const JitCover *end = NULL;
	ListCell   *lc;

	for (int i = 0; i < use->ncovers; i++)
	{
		const JitCover *cover = &use->covers[i];

		if (jit_log_statements)
			add_request(cover);
		if (end == NULL || (cover->deadline < end->deadline) == use->all)
			end = cover;
	}
	/* what others have is none of the user's business */
	if (end == NULL ||
		(use->userid != GetOuterUserId() && use->userid != GetSessionUserId()))
		return;
	statement.first_end = Min(statement.first_end, end->deadline);
	foreach(lc, statement.ends)
	{
		if (((JitCover *) lfirst(lc))->role == end->role)
			return;
	}
	statement.ends = lappend(statement.ends, copy_cover(end));
}

static void
name_databases(void)
{
	ListCell   *lc;

	foreach(lc, statement.requests)
	{
		Request    *request = lfirst(lc);

		if (request->database == NULL)
			request->database = jit_name_of_database(request->dbid);
	}
}

static const char *
kind_of(Oid classid, Oid objid)
{
	if (classid == RelationRelationId)
		return jit_relation_kind(objid);
	return classid == AuthIdRelationId ? "role" : get_object_class_descr(classid);
}

static char *
name_of(Oid classid, Oid objid)
{
	const char *name;
	const char *schema;

	if (classid == AuthIdRelationId)
		return pstrdup(quote_identifier(jit_role_name(objid)));
	name = jit_cached_name(classid, objid);
	if (name == NULL)
		return psprintf("%u", objid);
	if (classid == ProcedureRelationId)
	{
		JitItem		item = {.objtype = jit_objtype_of(classid, objid, OBJECT_FUNCTION)};

		ObjectAddressSet(item.address, classid, objid);
		return jit_item_object(&item);
	}
	schema = get_namespace_name(jit_cached_namespace(classid, objid));
	return schema ? quote_qualified_identifier(schema, name) : pstrdup(quote_identifier(name));
}

static Used *
find_used(Oid classid, Oid objid)
{
	Used	   *used;
	ListCell   *lc;

	foreach(lc, statement.used)
	{
		used = lfirst(lc);
		if (used->objid == objid && used->classid == classid)
			return used;
	}
	statement.head = NULL;
	used = palloc0(sizeof(Used));
	used->classid = classid;
	used->objid = objid;
	used->kind = kind_of(classid, objid);
	used->name = name_of(classid, objid);
	statement.used = lappend(statement.used, used);
	return used;
}

static void
add_columns(Used *used, const Bitmapset *columns)
{
	int			column = -1;

	if (bms_is_subset(columns, used->columns))
		return;
	statement.head = NULL;
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		AttrNumber	attnum = column + FirstLowInvalidHeapAttributeNumber;
		char	   *name;

		if (bms_is_member(column, used->columns))
			continue;
		name = attnum == InvalidAttrNumber ? "*" : get_attname(used->objid, attnum, true);
		if (name != NULL)
			used->column_names = lappend(used->column_names, name);
	}
	used->columns = bms_add_members(used->columns, columns);
}

static void
add_privileges(Used *used, AclMode privs)
{
	if ((privs & ~used->privs) != 0 || privs == 0)
		statement.head = NULL;
	used->privs |= privs;
	used->owned |= privs == 0;
}

static void
add_relation(const JitPermInfo *info)
{
	Used	   *used = find_used(RelationRelationId, info->relid);

	add_privileges(used, info->requiredPerms);
	add_columns(used, info->selectedCols);
	add_columns(used, info->insertedCols);
	add_columns(used, info->updatedCols);
}

/* Under SET ROLE all that is asked for relies on that. */
static void
add_relations(List *perminfos)
{
	ListCell   *lc;

	foreach(lc, perminfos)
	{
		JitPermInfo *info = lfirst(lc);

		if (JIT_PERMINFO_IS_RELATION(info) && info->requiredPerms != 0 &&
			!OidIsValid(info->checkAsUser))
			add_relation(info);
	}
}

static void
add_use(const JitUse *use, QueryDesc *query)
{
	Used	   *used;

	add_requests(use);
	if (!jit_log_statements)
		return;
	name_databases();
	if (use->info != NULL)
	{
		add_relation(use->info);
		return;
	}
	used = find_used(use->classid, use->objid);
	add_privileges(used, use->mode);
	if (use->classid == AuthIdRelationId && use->mode == JIT_SET_ROLE && query != NULL)
		add_relations(JIT_PLAN_PERMINFOS(query->plannedstmt));
}

/* ----------------------------------------------------------------------
 * The lines
 * ----------------------------------------------------------------------
 */

static void
append_key(StringInfo buf, const char *key)
{
	appendStringInfoChar(buf, '"');
	appendStringInfoString(buf, key);
	appendStringInfoString(buf, "\": ");
}

static void
append_string(StringInfo buf, const char *key, const char *value)
{
	append_key(buf, key);
	jit_append_json(buf, value, strlen(value));
	appendStringInfoString(buf, ", ");
}

/* A text, of which no more than the first 8 kB are shown. */
static void
append_text(StringInfo buf, const char *key, const char *text, int length)
{
	int			shown = length <= JIT_MAX_TEXT ? length : pg_mbcliplen(text, length, JIT_MAX_TEXT);
	pg_cryptohash_ctx *digest;
	uint8		bytes[PG_SHA256_DIGEST_LENGTH];

	append_key(buf, key);
	jit_append_json(buf, text, shown);
	appendStringInfoString(buf, ", ");
	if (shown == length)
		return;
	appendStringInfo(buf, "\"%s_bytes\": %d, ", key, length);
	digest = pg_cryptohash_create(PG_SHA256);
	if (digest != NULL && pg_cryptohash_init(digest) >= 0 &&
		pg_cryptohash_update(digest, (const uint8 *) text, length) >= 0 &&
		pg_cryptohash_final(digest, bytes, sizeof(bytes)) >= 0)
	{
		appendStringInfo(buf, "\"%s_sha256\": \"", key);
		for (size_t i = 0; i < sizeof(bytes); i++)
			appendStringInfo(buf, "%02x", bytes[i]);
		appendStringInfoString(buf, "\", ");
	}
	pg_cryptohash_free(digest);
}

static void
append_list(StringInfo buf, const char *key, List *texts)
{
	ListCell   *lc;

	appendStringInfoString(buf, ", ");
	append_key(buf, key);
	appendStringInfoChar(buf, '[');
	foreach(lc, texts)
	{
		const char *text = lfirst(lc);

		if (lc != list_head(texts))
			appendStringInfoString(buf, ", ");
		jit_append_json(buf, text, strlen(text));
	}
	appendStringInfoChar(buf, ']');
}

static List *
privileges_of(const Used *used)
{
	List	   *names = used->owned ? list_make1("OWNER") : NIL;

	if (used->classid != AuthIdRelationId)
		return list_concat(names, jit_privilege_list(used->privs));
	return list_make1(used->privs == JIT_SET_ROLE ? "SET ROLE" : "MEMBER");
}

static void
append_used(StringInfo buf)
{
	ListCell   *lc;

	appendStringInfoString(buf, "\"used\": [");
	foreach(lc, statement.used)
	{
		Used	   *used = lfirst(lc);

		if (lc != list_head(statement.used))
			appendStringInfoString(buf, ", ");
		appendStringInfoChar(buf, '{');
		append_string(buf, "kind", used->kind);
		append_key(buf, "name");
		jit_append_json(buf, used->name, strlen(used->name));
		append_list(buf, "privileges", privileges_of(used));
		if (used->column_names != NIL)
			append_list(buf, "columns", used->column_names);
		appendStringInfoChar(buf, '}');
	}
	appendStringInfoString(buf, "], ");
}

/* What both lines have: which statement, by which requests, whose. */
static const char *
head(void)
{
	StringInfoData line;
	StringInfo	buf = &line;
	ListCell   *lc;

	if (statement.head != NULL)
		return statement.head;
	initStringInfo(buf);
	appendStringInfo(buf, "{\"id\": \"%s\", \"requests\": [", statement.id);
	foreach(lc, statement.requests)
	{
		Request    *request = lfirst(lc);
		const char *database = request->database ? request->database : "";

		appendStringInfo(buf, "%s{\"request\": %d, \"database\": ",
						 lc == list_head(statement.requests) ? "" : ", ", request->request);
		jit_append_json(buf, database, strlen(database));
		appendStringInfoChar(buf, '}');
	}
	appendStringInfo(buf, "], %s", statement.person);
	append_used(buf);
	statement.head = buf->data;
	return statement.head;
}

/* Ends a line, whose last entry has a comma. */
static void
write_line(StringInfo buf)
{
	buf->len -= 2;
	buf->data[buf->len] = '\0';
	appendStringInfoChar(buf, '}');
	jit_log_as_it_is(buf->data);
}

/*
 * Whoever gives a parameter so large that its text can't be had mustn't be
 * spared the line for it.
 */
static void
append_parameters(StringInfo buf, ParamListInfo params, int maxlen)
{
	volatile Before before = remember();
	char	   *volatile text = NULL;

	if (params == NULL || params->numParams == 0 || maxlen == 0)
		return;
	PG_TRY();
	{
		text = BuildParamLogString(params, NULL, maxlen);
	}
	PG_CATCH();
	{
		append_string(buf, "parameters_sqlstate", unpack_sql_state(forget_error(&before)));
	}
	PG_END_TRY();
	if (text !=NULL && text[0] != '\0')
		append_text(buf, "parameters", text, strlen(text));
}

/* Whose statement, and in which database: looked up while catalogs can be. */
static void
note_person(void)
{
	StringInfoData buf;

	initStringInfo(&buf);
	append_string(&buf, "login", jit_role_name(GetAuthenticatedUserId()));
	append_string(&buf, "role", jit_role_name(GetOuterUserId()));
	append_string(&buf, "database", jit_database_name());
	statement.person = buf.data;
}

static void
write_first_line(QueryDesc *query)
{
	StringInfoData buf;
	ParamListInfo params = NULL;
	ExecuteStmt *execute = NULL;
	const char *text;
	int			length;

	if (statement.utility != NULL)
	{
		params = statement.utility->params;
		execute = find_execute(statement.utility->pstmt->utilityStmt);
	}
	else if (statement.query != NULL)
		params = statement.query->params;
	/* EXECUTE's are those of what it executes */
	if (params == NULL && execute != NULL && query != NULL)
		params = query->params;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "jit_access: statement begins ");
	appendStringInfoString(&buf, head());
	text = statement_text(&length);

	if (text !=NULL)
		append_text(&buf, "text", text, length);
	if (execute != NULL && execute != (ExecuteStmt *) statement.utility->pstmt->utilityStmt &&
		(text = prepared_text(execute, &length)) !=NULL)
		append_text(&buf, "prepared", text, length);
	append_parameters(&buf, params, log_parameter_max_length);
	write_line(&buf);

	if (log_parameter_max_length == 0 && log_parameter_max_length_on_error != 0)
	{
		initStringInfo(&buf);
		append_parameters(&buf, params, log_parameter_max_length_on_error);
		statement.parameters = buf.data;
	}
}

static void
write_last_line(const char *outcome)
{
	StringInfoData buf;
	bool		failed = strcmp(outcome, "done") != 0;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "jit_access: statement ends ");
	appendStringInfoString(&buf, head());
	if (failed && statement.parameters != NULL)
		appendStringInfoString(&buf, statement.parameters);
	append_string(&buf, "outcome", statement.cut_off && failed ? "cut off" : outcome);
	if (failed && statement.sqlstate != 0)
		append_string(&buf, "sqlstate", unpack_sql_state(statement.sqlstate));
	if (statement.rows >= 0)
		appendStringInfo(&buf, "\"rows\": " INT64_FORMAT ", ", statement.rows);
	appendStringInfo(&buf, "\"ms\": %.3f, ", (GetCurrentTimestamp() - statement.began) / 1000.0);
	write_line(&buf);
}

/* ----------------------------------------------------------------------
 * The end
 * ----------------------------------------------------------------------
 */

/* Has this end been told of in this session?  Says so once. */
static bool
was_told(const JitCover *cover, TimestampTz deadline)
{
	MemoryContext old;
	JitCover   *copy;
	ListCell   *lc;

	foreach(lc, told)
	{
		copy = lfirst(lc);
		if (copy->role == cover->role && copy->deadline == deadline)
			return true;
		if (copy->deadline < jit_now())
		{
			told = foreach_delete_current(told, lc);
			pfree(copy);
		}
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	copy = copy_cover(cover);
	copy->deadline = deadline;
	told = lappend(told, copy);
	MemoryContextSwitchTo(old);
	return false;
}

/* A NOTICE for each access of the user's that was used and ends soon. */
static void
tell_of_ends(void)
{
	ListCell   *lc;

	/* as in jit_log_as_it_is() */
	HOLD_INTERRUPTS();
	foreach(lc, statement.ends)
	{
		JitCover   *cover = lfirst(lc);
		TimestampTz deadline = jit_role_deadline(cover->role);
		TimestampTz now = jit_now();

		if (cover->request == 0 || deadline <= now || TIMESTAMP_NOT_FINITE(deadline) ||
			deadline - now > jit_warn_before * USECS_PER_SEC || was_told(cover, deadline))
			continue;
		if (cover->database != MyDatabaseId || !jit_extension_installed())
			ereport(NOTICE,
					(errmsg("request %d in %s ends at %s", cover->request,
							quote_identifier(jit_name_of_database(cover->database)),
							jit_timestamp_text(deadline))));
		else if (RecoveryInProgress())
			ereport(NOTICE,
					(errmsg("request %d ends at %s; to go on, on the primary server: SELECT jit_extend(%d, '1 hour', 'why')",
							cover->request, jit_timestamp_text(deadline), cover->request)));
		else
			ereport(NOTICE,
					(errmsg("request %d ends at %s; to go on: SELECT jit_extend(%d, '1 hour', 'why')",
							cover->request, jit_timestamp_text(deadline), cover->request)));
	}
	RESUME_INTERRUPTS();
}

static void
end_statement(const char *outcome)
{
	volatile Before before = remember();
	bool		done = strcmp(outcome, "done") == 0;

	MemoryContextSwitchTo(memory);
	jit_statement_open = false;
	PG_TRY();
	{
		if (statement.written)
			write_last_line(outcome);
		if (done && IsTransactionState() && !IsParallelWorker() &&
			statement.first_end - jit_now() <= jit_warn_before * USECS_PER_SEC)
			tell_of_ends();
	}
	PG_CATCH();
	{
		go_on_without("the last line", &before);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(before.context);
	MemoryContextReset(memory);
}

/* An error is on its way to the client: nobody has caught it. */
static void
end_if_failed(void)
{
	if (likely(!jit_statement_open))
		return;
	if (error_context_stack == NULL)
		end_statement("failed");
}

static void
statement_xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		end_if_failed();
	/* a background worker has no client whose message could end */
	if (jit_statement_open && MessageContext == NULL)
	{
		if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
			end_statement("failed");
		else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PARALLEL_COMMIT)
			end_statement("done");
	}
}

static void
statement_subxact_callback(SubXactEvent event, SubTransactionId mySubid,
						   SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		end_if_failed();
}

static void
statement_exit(int code, Datum arg)
{
	if (jit_statement_open)
		end_statement("session ended");
}

static MemoryContextCallback message_callback;	/* func: NULL if not
												 * registered */

static void
message_ends(void *arg)
{
	message_callback.func = NULL;
	if (jit_statement_open && !proc_exit_inprogress)
		end_statement("done");
}

/* ----------------------------------------------------------------------
 * The beginning, and what is under way
 * ----------------------------------------------------------------------
 */

static void
begin_statement(QueryDesc *query)
{
	if (memory == NULL)
	{
		memory = AllocSetContextCreate(TopMemoryContext, "jit_access statement",
									   ALLOCSET_DEFAULT_SIZES);
		RegisterXactCallback(statement_xact_callback, NULL);
		RegisterSubXactCallback(statement_subxact_callback, NULL);
		before_shmem_exit(statement_exit, (Datum) 0);
	}
	if (message_callback.func == NULL && MessageContext != NULL)
	{
		message_callback.func = message_ends;
		MemoryContextRegisterResetCallback(MessageContext, &message_callback);
	}
	memset(&statement, 0, sizeof(statement));
	find_owner(query);
	statement.person = "";
	statement.began = GetCurrentTimestamp();
	statement.first_end = DT_NOEND;
	statement.rows = -1;
	jit_statement_number++;
	jit_statement_open = true;
}

/* Adds to what is used, and writes the first line if it hasn't been. */
static void
add_uses(List *uses, List *perminfos, QueryDesc *query)
{
	volatile Before before = remember();
	ListCell   *lc;

	MemoryContextSwitchTo(memory);
	PG_TRY();
	{
		foreach(lc, uses)
			add_use(lfirst(lc), query);
		add_relations(perminfos);
		if (!statement.written && jit_log_statements)
		{
			statement.id = psprintf("%lx.%x." UINT64_FORMAT, (long) MyStartTime, MyProcPid,
									jit_statement_number);
			note_person();
			statement.written = true;
			write_first_line(query);
		}
	}
	PG_CATCH();
	{
		go_on_without("a line", &before);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(before.context);
}

/*
 * The statement at hand relies on these; "query" is the one that does, if it
 * is one.
 */
void
jit_statement_relies(List *uses, QueryDesc *query)
{
	/* the leader tells of what it runs */
	if (uses == NIL || (IsParallelWorker() && !jit_is_nested()))
		return;
	if (!jit_statement_open)
		begin_statement(query);
	add_uses(uses, NIL, query);
}

/* What no query asks for, under a SET ROLE that it has been found to rely on. */
void
jit_statement_reads(List *perminfos)
{
	if (jit_statement_open && jit_log_statements)
		add_uses(NIL, perminfos, NULL);
}

/*
 * A query that is being started relies on this.  What is started inside of
 * something else tells of it once it is, and what the client sends when it runs.
 */
void
jit_keep_use(JitUses *uses, const JitUse *use, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	JitCover   *covers = palloc(use->ncovers * sizeof(JitCover));
	JitUse	   *copy = palloc(sizeof(JitUse));

	memcpy(covers, use->covers, use->ncovers * sizeof(JitCover));
	*copy = *use;
	copy->covers = covers;
	uses->list = lappend(uses->list, copy);
	MemoryContextSwitchTo(old);
}

void
jit_forget_uses(JitUses *uses)
{
	ListCell   *lc;

	foreach(lc, uses->list)
		pfree(unconstify(JitCover *, ((JitUse *) lfirst(lc))->covers));
	list_free_deep(uses->list);
}

/* The statement at hand runs, or has started, that query. */
void
jit_statement_uses(JitUses *uses, QueryDesc *query)
{
	if (jit_statement_open && uses->told == jit_statement_number)
		return;
	jit_statement_relies(uses->list, query);
	uses->told = jit_statement_number;
}

/* A query is about to run: if nothing is known outside of it, it is what the client sent. */
void
jit_statement_runs(QueryDesc *query)
{
	if (statement.utility == NULL && !jit_is_nested())
		statement.query = query;
}

/* It has run: what only reads has no triggers, and is at its end. */
void
jit_statement_has_run(QueryDesc *query)
{
	if (query != statement.query)
		return;
	statement.rows = query->estate->es_processed;
	if (query->operation == CMD_SELECT && !query->plannedstmt->hasModifyingCTE && is_last(query))
		end_statement("done");
}

/* All that has come of a query is done. */
void
jit_statement_finished(QueryDesc *query)
{
	if ((query == statement.query ||
		 (statement.query == NULL && statement.utility == NULL && error_context_stack == NULL)) &&
		is_last(query))
	{
		statement.rows = query->estate->es_processed;
		end_statement("done");
	}
}

/* A utility statement is done. */
void
jit_statement_done(const JitUtilityFrame *frame)
{
	if (frame != statement.utility)
		return;
	if (frame->qc != NULL && frame->qc->commandTag != CMDTAG_UNKNOWN)
		statement.rows = frame->qc->nprocessed;
	end_statement("done");
}

/* The end of access has canceled what is running. */
void
jit_statement_cut_off(void)
{
	statement.cut_off = true;
}

/* ----------------------------------------------------------------------
 * Errors
 * ----------------------------------------------------------------------
 */

static void
note_error(void)
{
	int			code = geterrcode();

	if (code == ERRCODE_SUCCESSFUL_COMPLETION ||
		ERRCODE_TO_CATEGORY(code) == ERRCODE_WARNING)
		return;
	statement.sqlstate = code;
	statement.cut_off &= code == ERRCODE_QUERY_CANCELED;
}

void
jit_query_callback(void *arg)
{
	JitQueryFrame *frame = arg;

	if (unlikely(jit_statement_open))
	{
		note_error();
		if (frame->query != NULL && frame->query == statement.query && frame->query->estate != NULL)
			statement.rows = frame->query->estate->es_processed;
	}
	if (frame->words)
		frame->words(frame->arg);
}

void
jit_utility_callback(void *arg)
{
	if (unlikely(jit_statement_open))
		note_error();
}
