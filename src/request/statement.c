/*-------------------------------------------------------------------------
 *
 * statement.c
 *		One statement that is approved as it is.
 *
 * What approvers see, and what jit_run() runs, is the statement as PostgreSQL
 * deparses it, under settings of ours: every name that isn't pg_catalog's is
 * qualified, literals are written in one way.  It is filed if it means something
 * that can be said again: the text, analysed, deparses to itself.
 *
 * Names can come to mean something else until it is run, so a fingerprint
 * of the analysed tree is kept: the OIDs and column numbers that its names
 * stood for, and what the literals were read as.  A statement whose tree
 * has another one is not run.  (What a table has besides doesn't matter: columns
 * that are added aren't in it.)  The fingerprint is of one major version of
 * PostgreSQL, and of objects' OIDs: after an upgrade, or a restore, it is asked
 * anew.
 *
 * Nobody's code is run in it but that of superusers and of those whose
 * relations it is about, the requester's and the grantee's never: functions,
 * operators, aggregates, casts, types, domains, triggers, policies, checks.  That
 * is looked at when it is filed, and again before each run, since they can
 * be changed.
 *
 * Literals of composite types, and of arrays and ranges of what has CHECKs, would
 * run these when they are read, which is before anything could be looked at; they
 * are refused.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/item.h"
#include "base/query.h"
#include "base/text.h"
#include "request/needs.h"
#include "request/statement.h"

#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_trigger.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/ruleutils.h"

/*
 * Under what a statement is read, written and run.  What isn't here changes how
 * fast it is, or is a superuser's.
 */
static const char *const pinned[][2] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"DateStyle", "ISO, MDY"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "GMT"},
	{"array_nulls", "on"},
	{"backslash_quote", "safe_encoding"},
	{"bytea_output", "hex"},
	{"default_text_search_config", "pg_catalog.simple"},
	{"extra_float_digits", "1"},
	{"gin_fuzzy_search_limit", "0"},
	{"lc_monetary", "C"},
	{"lc_numeric", "C"},
	{"lc_time", "C"},
	{"quote_all_identifiers", "off"},
	{"row_security", "on"},
	{"session_replication_role", "origin"},
	{"standard_conforming_strings", "on"},
	{"timezone_abbreviations", "Default"},
	{"transform_null_equals", "off"},
	{"xmlbinary", "base64"},
	{"xmloption", "content"},
	/* the role may act in this process only */
	{"max_parallel_workers_per_gather", "0"},
};

/* Until the GUC nest level ends. */
void
jit_pin_for_statement(void)
{
	for (size_t i = 0; i < lengthof(pinned); i++)
		jit_set_locally(pinned[i][0], pinned[i][1]);
}

static void refuse(const char *why, const char *hint) pg_attribute_noreturn();

static void
refuse(const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("this statement cannot be approved as it is"),
			 errdetail_internal("%s", why),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/* ----------------------------------------------------------------------
 * What may be in it
 * ----------------------------------------------------------------------
 */

/* Is reading a literal of the type harmless?  See the top of the file. */
static bool
reads_plainly(Oid type)
{
	Oid			element = get_element_type(type);

	if (OidIsValid(element))
		return get_typtype(element) != TYPTYPE_DOMAIN && reads_plainly(element);
	switch (get_typtype(type))
	{
		case TYPTYPE_BASE:
		case TYPTYPE_ENUM:
			return true;
		case TYPTYPE_DOMAIN:
			return reads_plainly(getBaseType(type));
		case TYPTYPE_RANGE:
		case TYPTYPE_MULTIRANGE:
			return type < FirstNormalObjectId;
		case TYPTYPE_PSEUDO:
			return type == UNKNOWNOID || type < FirstNormalObjectId;
		default:
			return false;
	}
}

/* Refuse what can't be shown, or done, in one run. */
static bool
check_tree(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		ListCell   *lc;

		if (query->commandType == CMD_UTILITY)
			refuse(_("A rule makes a NOTIFY of it."), NULL);
		if (query->rowMarks != NIL)
			refuse(_("It locks rows, which its transaction would keep."),
				   _("Leave out FOR UPDATE and the like."));
		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

			if (rte->rtekind == RTE_RELATION &&
				isAnyTempNamespace(get_rel_namespace(rte->relid)))
				refuse(_("It is about a temporary table."), NULL);
		}
		return query_tree_walker(query, check_tree, context, 0);
	}
	if (IsA(node, CurrentOfExpr))
		refuse(_("It is about the row of a cursor."), _("Name the row by its key."));
	return expression_tree_walker(node, check_tree, context);
}

/*
 * Built-in functions that run what a text, or a table, says, which nobody has
 * approved; and the one that changes what names mean to what comes after it.
 */
static const char *const text_runners[] = {
	"query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema",
	"cursor_to_xml", "cursor_to_xmlschema",
	"table_to_xml", "table_to_xmlschema", "table_to_xml_and_xmlschema",
	"schema_to_xml", "schema_to_xmlschema", "schema_to_xml_and_xmlschema",
	"database_to_xml", "database_to_xmlschema", "database_to_xml_and_xmlschema",
	"ts_stat", "ts_rewrite", "set_config"
};

/* Is it a function on large objects, one that runs texts, or one of ours? */
static bool
is_forbidden(Oid funcid)
{
	char	   *name = get_func_name(funcid);
	Oid			extension;

	if (name == NULL)
		return true;
	for (size_t i = 0; funcid < FirstUnpinnedObjectId && i < lengthof(text_runners); i++)
	{
		/* ts_rewrite() of three arguments runs nothing */
		if (strcmp(name, text_runners[i]) == 0 &&
			(strcmp(name, "ts_rewrite") != 0 || get_func_nargs(funcid) != 3))
			return true;
	}
	if (funcid < FirstUnpinnedObjectId)
		return strncmp(name, "lo_", 3) == 0 || strcmp(name, "loread") == 0 ||
			strcmp(name, "lowrite") == 0;
	extension = getExtensionOfObject(ProcedureRelationId, funcid);
	return OidIsValid(extension) && extension == get_extension_oid(JIT_EXTENSION, true);
}

/*
 * Raise unless whoever owns that is trusted: a superuser, or one of the owners,
 * who is none of the parties.  What runs in somebody else's name, as the owners
 * have arranged it, may be anybody's but the parties'.
 */
static void
check_owner(Oid classid, Oid objid, const JitTrust *trust, bool as_other)
{
	Oid			owner;
	char	   *name;

	if (objid < FirstUnpinnedObjectId)
		return;
	owner = jit_object_owner(classid, objid);
	if (superuser_arg(owner) ||
		(!list_member_oid(trust->parties, owner) &&
		 (as_other || list_member_oid(trust->owners, owner))))
		return;
	name = jit_cached_name(classid, objid);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 classid == ProcedureRelationId ?
			 errmsg("function %s must not run in this statement", quote_identifier(name ? name : "?")) :
			 errmsg("type %s must not be used in this statement", quote_identifier(name ? name : "?")),
			 errdetail("It belongs to role %s.", quote_identifier(jit_role_name(owner))),
			 errhint("What runs in it must belong to a superuser or to an owner of its tables, and to nobody who asks or runs it.")));
}

/* A function is about to be run, or inlined, while the statement runs as the role. */
void
jit_check_running_code(Oid funcid, const JitTrust *trust, Oid role)
{
	check_owner(ProcedureRelationId, funcid, trust, GetUserId() != role);
}

static char *
relation_name(Oid relid)
{
	char	   *name = get_rel_name(relid);

	return name == NULL ? psprintf("%u", relid) :
		quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name);
}

/*
 * Raise if it is a view, or has rules or policies, and belongs to one of the
 * parties: they could make it read anything that the statement may.
 */
static void
check_relation(Oid relid, List *parties)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	bool		plain;
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_class) GETSTRUCT(tuple);
	plain = form->relkind != RELKIND_VIEW && !form->relhasrules && !form->relrowsecurity;
	owner = form->relowner;
	ReleaseSysCache(tuple);
	if (relid < FirstUnpinnedObjectId || plain || superuser_arg(owner) ||
		!list_member_oid(parties, owner))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("relation %s must not be used in this statement", relation_name(relid)),
			 errdetail("It is a view, or has rules or row-level security, and belongs to role %s, who asks or runs it, or is theirs.",
					   quote_identifier(jit_role_name(owner))),
			 errhint("Name the tables that it is about.")));
}

static bool
is_item(List *items, Oid relid)
{
	ListCell   *lc;

	foreach(lc, items)
	{
		JitItem    *item = lfirst(lc);

		if (item->address.classId == RelationRelationId && item->address.objectId == relid)
			return true;
	}
	return false;
}

/*
 * Raise if somebody's code is in it that shouldn't, given who asks and who
 * gets it, and everything that they are.
 */
static JitTrust *
check_code(const JitNeeds *needs, List *parties)
{
	JitTrust   *trust = palloc0(sizeof(JitTrust));
	ListCell   *lc;

	trust->parties = parties;
	foreach(lc, needs->relations)
		check_relation(lfirst_oid(lc), parties);
	/* that something is named which is open to all lets nobody's code in */
	foreach(lc, needs->relations)
	{
		Oid			relid = lfirst_oid(lc);

		if (is_item(needs->items, relid) || !list_member_oid(needs->named, relid))
			trust->owners = list_append_unique_oid(trust->owners,
												   jit_object_owner(RelationRelationId, relid));
	}
	foreach(lc, needs->functions)
	{
		if (is_forbidden(lfirst_oid(lc)))
			refuse(psprintf(_("It calls function %s."), quote_identifier(get_func_name(lfirst_oid(lc)))), NULL);
		check_owner(ProcedureRelationId, lfirst_oid(lc), trust, false);
	}
	foreach(lc, needs->types)
		check_owner(TypeRelationId, lfirst_oid(lc), trust, false);
	foreach(lc, needs->rewritten)
		(void) check_tree(lfirst(lc), NULL);
	return trust;
}

static List *
roles_of(List *roles, Oid role)
{
	return OidIsValid(role) ?
		list_concat_unique_oid(roles, jit_role_closure(role, JIT_CLOSURE_MEMBERS, JIT_FILTER_NONE, 0)) :
		roles;
}

static List *
parties_of(const JitRequest *request)
{
	return roles_of(roles_of(roles_of(NIL, request->requester), request->login), request->grantee);
}

static void
check_literals(const JitNeeds *needs)
{
	ListCell   *lc;

	if (needs->parameters)
		refuse(_("It has parameters."), _("Write the values."));
	foreach(lc, needs->literal_types)
	{
		if (!reads_plainly(lfirst_oid(lc)))
			refuse(psprintf(_("It has a literal of type %s, which is read by code of the type's."),
							format_type_be_qualified(lfirst_oid(lc))),
				   _("Write ROW(...)::type, or ARRAY[...]."));
	}
}

/* Could running it change something?  Then it is counted. */
static bool
writes(const JitNeeds *needs)
{
	ListCell   *lc;

	foreach(lc, needs->rewritten)
	{
		Query	   *query = lfirst_node(Query, lc);

		if (query->commandType != CMD_SELECT || query->hasModifyingCTE ||
			contain_volatile_functions((Node *) query))
			return true;
	}
	return false;
}

/* ----------------------------------------------------------------------
 * Text and tree
 * ----------------------------------------------------------------------
 */

/* What a fingerprint isn't about: the columns that tables have besides. */
static bool
forget_columns(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_RELATION || rte->rtekind == RTE_JOIN)
			rte->eref->colnames = NIL;
		if (rte->rtekind == RTE_JOIN)
		{
			/* what USING has merged comes first */
			rte->joinaliasvars = list_truncate(rte->joinaliasvars, rte->joinmergedcols);
			rte->joinleftcols = NIL;
			rte->joinrightcols = NIL;
		}
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, forget_columns, context,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, forget_columns, context);
}

static char *
fingerprint(Query *query)
{
	Query	   *copy = copyObject(query);
	bytea	   *digest;
	StringInfoData buf;

	(void) forget_columns((Node *) copy, NULL);
	digest = DatumGetByteaPP(DirectFunctionCall1(sha256_bytea,
												 CStringGetTextDatum(nodeToString(copy))));
	initStringInfo(&buf);
	for (int i = 0; i < (int) VARSIZE_ANY_EXHDR(digest); i++)
		appendStringInfo(&buf, "%02x", (unsigned char) VARDATA_ANY(digest)[i]);
	return buf.data;
}

static Query *
analyze(const char *text)
{
	return parse_analyze_fixedparams(linitial_node(RawStmt, raw_parser(text, RAW_PARSE_DEFAULT)),
									 text, NULL, 0, NULL);
}

typedef struct DeparseCall
{
	const char *text;
	char	   *path;			/* NULL: it is as we write it */
	char	   *deparsed;		/* results */
	char	   *fingerprint;
} DeparseCall;

/*
 * As the bootstrap superuser, so that no USAGE is needed; it runs no code of
 * anybody's, see check_literals().
 */
static void
try_to_deparse(void *arg)
{
	DeparseCall *call = arg;
	Query	   *query;
	Oid			userid;
	int			sec_context;

	GetUserIdAndSecContext(&userid, &sec_context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	if (call->path != NULL)
		jit_set_locally("search_path", call->path);
	else
		jit_pin_for_statement();
	query = analyze(call->text);
	jit_pin_for_statement();
	call->fingerprint = fingerprint(query);
	call->deparsed = pg_get_querydef(query, false);
	call->deparsed += strspn(call->deparsed, " ");
}

/*
 * The request becomes one for a statement.  What it needs is added to its
 * items.  Raises for whatever can't be approved as it is.
 */
void
jit_take_statement(JitRequest *request, const char *asked, int runs, bool runs_given)
{
	DeparseCall first = {.text = asked};
	DeparseCall again = {0};
	JitNeeds	needs;
	List	   *parties = parties_of(request);
	ListCell   *lc;

	foreach(lc, request->items)
	{
		if (((JitItem *) lfirst(lc))->objtype == OBJECT_ROLE)
			refuse(_("Its access would be a role."), _("Name the privileges that it needs besides."));
	}
	/* what is read in the next step is read for the first time */
	jit_find_needs(asked, request->requester, request->via != NULL, &needs);
	check_literals(&needs);
	(void) check_code(&needs, parties);

	first.path = request->via != NULL ? "" : jit_search_path_text();
	jit_look(try_to_deparse, &first);
	again.text = first.deparsed;
	if (strlen(again.text) > JIT_MAX_TEXT)
		refuse(psprintf(_("Written out it has %zu bytes; at most %d are allowed."),
						strlen(again.text), JIT_MAX_TEXT), NULL);
	/* for whom policies to PUBLIC are all there are */
	jit_find_needs(again.text, ROLE_PG_CHECKPOINT, true, &needs);
	check_literals(&needs);
	(void) check_code(&needs, parties);
	jit_look(try_to_deparse, &again);
	if (strcmp(again.deparsed, again.text) != 0)
		refuse(_("Written out it does not read the same again."), NULL);
	if (needs.items == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("this statement needs no access"),
				 errhint("Run it yourself.")));

	request->statement = first.deparsed;
	request->fingerprint = again.fingerprint;
	request->runs = writes(&needs) ? Max(runs, 1) : 0;
	if (runs_given && (runs < 1 || request->runs == 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 runs < 1 ? errmsg("runs must be at least 1") :
				 errmsg("runs are those of a statement that writes"),
				 runs < 1 ? 0 : errdetail("One that only reads may be run as often as one likes.")));
	request->items = list_concat(needs.items, request->items);
}

/* What happens to rows that refer to what is written to. */
static List *
note_references(List *notes, Oid relid)
{
	JitScan		scan;
	HeapTuple	tuple;

	jit_begin_scan(&scan, ConstraintRelationId, InvalidOid, NULL, 0);
	while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		if (form->contype != CONSTRAINT_FOREIGN || form->confrelid != relid)
			continue;
		if (strchr("cnd", form->confdeltype) != NULL || strchr("cnd", form->confupdtype) != NULL)
			notes = lappend(notes, psprintf(_("rows of %s may go or change with those of %s"),
											relation_name(form->conrelid),
											relation_name(relid)));
	}
	jit_end_scan(&scan);
	return notes;
}

/* Triggers of what is written to, whose functions run in it. */
static List *
note_triggers(List *notes, Oid relid)
{
	JitScan		scan;
	HeapTuple	tuple;

	jit_begin_scan(&scan, TriggerRelationId, TriggerRelidNameIndexId, NULL, 1,
				   (int) Anum_pg_trigger_tgrelid, relid);
	while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		if (!form->tgisinternal && form->tgenabled != TRIGGER_DISABLED)
			notes = lappend(notes, psprintf(_("trigger %s of %s may run function %s of %s"),
											quote_identifier(NameStr(form->tgname)),
											relation_name(relid),
											quote_identifier(get_func_name(form->tgfoid)),
											quote_identifier(jit_role_name(jit_object_owner(ProcedureRelationId, form->tgfoid)))));
	}
	jit_end_scan(&scan);
	return notes;
}

/*
 * What approvers have to know besides its text, as things are now: views, rules,
 * triggers, cascades, policies, and what those who ask can change.
 */
List *
jit_statement_notes(const JitRequest *request)
{
	JitNeeds	needs;
	List	   *notes = NIL;
	List	   *parties = parties_of(request);
	ListCell   *lc;
	ListCell   *lc2;

	jit_find_needs(request->statement, ROLE_PG_CHECKPOINT, true, &needs);
	foreach(lc, needs.relations)
	{
		Oid			relid = lfirst_oid(lc);
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
		Form_pg_class form;

		if (!HeapTupleIsValid(tuple))
			continue;
		form = (Form_pg_class) GETSTRUCT(tuple);
		if (form->relkind == RELKIND_VIEW)
			notes = lappend(notes, psprintf(_("view %s is of %s"), relation_name(relid),
											quote_identifier(jit_role_name(form->relowner))));
		else if (form->relhasrules)
			notes = lappend(notes, psprintf(_("%s has rules"), relation_name(relid)));
		if (form->relrowsecurity)
			notes = lappend(notes, psprintf(_("%s has row-level security: policies to PUBLIC apply, current_user is a role of its own"),
											relation_name(relid)));
		if (list_member_oid(parties, form->relowner))
			notes = lappend(notes, psprintf(_("%s can be changed by who asks or runs it"),
											relation_name(relid)));
		else if (!is_item(needs.items, relid))
			notes = lappend(notes, psprintf(_("%s is read or written on the way"), relation_name(relid)));
		ReleaseSysCache(tuple);
	}
	foreach(lc, needs.targets)
	{
		foreach(lc2, jit_inheritors(lfirst_oid(lc)))
		{
			notes = note_triggers(notes, lfirst_oid(lc2));
			notes = note_references(notes, lfirst_oid(lc2));
		}
	}
	return notes;
}

/*
 * Raise if somebody's code has come into the statement that mustn't be in it,
 * before that person runs it as that role, to which policies may be.
 * Whose may run, otherwise.
 */
JitTrust *
jit_check_statement(const JitRequest *request, const JitPerson *person, Oid role)
{
	JitNeeds	needs;

	jit_find_needs(request->statement, role, true, &needs);
	check_literals(&needs);
	return check_code(&needs, roles_of(roles_of(parties_of(request), person->role), person->login));
}

/*
 * The tree to run, as the current user, under the settings that are pinned.
 * Raises if it means something else than what was approved.
 */
Query *
jit_analyze_statement(const JitRequest *request)
{
	Query	   *query = analyze(request->statement);

	if (request->fingerprint == NULL || strcmp(fingerprint(query), request->fingerprint) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the statement of %s does not mean any more what was approved",
						jit_request_text(request->id)),
				 errdetail("A name in it stands for something else by now."),
				 errhint("Ask anew with jit_request().")));
	return query;
}
