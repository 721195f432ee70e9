/*-------------------------------------------------------------------------
 *
 * access.c
 *		Access text to items.
 *
 * An access text is what stands between GRANT and TO, several clauses
 * separated by semicolons.  PostgreSQL's own grammar reads it, so everybody
 * knows the language; from then on only OIDs count (base/item.c).
 *
 * Names are resolved as the caller, at the moment of asking, and without
 * needing USAGE on the schema (that is one of the things people ask for).
 * Nothing in here gives or takes anything: grant.c does.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/clock.h"
#include "base/query.h"
#include "base/text.h"
#include "request/access.h"

#include "catalog/pg_language.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_parameter_acl.h"
#include "commands/dbcommands.h"
#include "commands/proclang.h"
#include "commands/tablespace.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "parser/scanner.h"
#include "parser/scansup.h"
#include "utils/fmgroids.h"

/* Stands for the grantee while a clause is parsed. */
#define PLACEHOLDER "jit_access_grantee"

/* ALL doesn't mean these: they run code, or let it run, as somebody else. */
#define NOT_IN_ALL	(ACL_TRIGGER | ACL_REFERENCES | JIT_ACL_MAINTAIN)

/* ----------------------------------------------------------------------
 * Reading the text
 * ----------------------------------------------------------------------
 */

/* Is it a statement that jit_access_of() might know the access of? */
static bool
is_statement(const char *text)
{
	volatile bool result = false;
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		List	   *trees = raw_parser(text, RAW_PARSE_DEFAULT);
		Node	   *tree = list_length(trees) == 1 ? linitial_node(RawStmt, trees)->stmt : NULL;

		/* SELECT hr.salary isn't meant as one */
		result = tree != NULL &&
			(IsA(tree, SelectStmt) ? ((SelectStmt *) tree)->fromClause != NIL :
			 IsA(tree, InsertStmt) || IsA(tree, UpdateStmt) ||
			 IsA(tree, DeleteStmt) || IsA(tree, MergeStmt));
	}
	PG_CATCH();
	{
		/* it has only parsed */
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return result;
}

/* Complain about an access text, or one clause of it. */
static void
invalid_access(const char *text, int sqlstate, const char *detail)
{
	bool		statement = is_statement(text);

	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("invalid access \"%s\"", text),
			 errdetail_internal("%s", detail),
			 statement ?
			 errhint("What this statement needs: SELECT jit_access_of(%s);",
					 quote_literal_cstr(text)) :
			 errhint("Write what stands between GRANT and TO, e.g. %s.",
					 "SELECT ON hr.employee; hr_reader")));
}

/* Does a text begin with the word, in any case? */
static bool
word_at(const char *text, const char *word)
{
	int			length = strlen(word);

	return pg_strncasecmp(text, word, length) == 0 &&
		(text[length] == '\0' || scanner_isspace(text[length]));
}

/*
 * What may have been meant by "SELECT ON hr.*": the same with ALL TABLES IN
 * SCHEMA, ready to be pasted.  NULL if the clause isn't like that.
 */
static char *
all_tables_instead(const char *clause)
{
	core_yyscan_t scanner;
	core_yy_extra_type extra;
	core_YYSTYPE value;
	YYLTYPE		location;
	StringInfoData schemas;
	int			objects = -1;	/* where what follows ON begins */
	int			start = -1;		/* where the present one does */
	int			dot = 0;		/* where the last dot is */
	int			token = 0;		/* each, and the one before */
	int			last;

	/* it has been scanned once: this doesn't raise */
	initStringInfo(&schemas);
	scanner = scanner_init(clause, &extra, &ScanKeywords, ScanKeywordTokens);
	for (;;)
	{
		last = token;
		token = core_yylex(&value, &location, scanner);
		if (token == 0)
			break;
		if (token == '.')
			dot = location;
		if (objects < 0)
		{
			if (word_at(clause + location, "on"))
				objects = location + strlen("on");
		}
		else if (start < 0)
		{
			if (!word_at(clause + location, "table"))
				start = location;
		}
		else if (token == '*' && last == '.')
			appendStringInfo(&schemas, "%s%.*s", schemas.len > 0 ? ", " : "",
							 dot - start, clause + start);
		else if (token == ',' && last == '*')
			start = -1;
		else if (token != '.')
			break;
	}
	scanner_finish(scanner);
	if (token != 0 || last != '*' || schemas.len == 0)
		return NULL;
	return psprintf("%.*s ALL TABLES IN SCHEMA %s", objects, clause, schemas.data);
}

/*
 * Raise what the scanner or the parser found as an error of ours.  Called in
 * PG_CATCH; anything that isn't about the text goes on as it is.  "end" is
 * where the text ends in what was parsed, in characters, or -1.
 */
static void
rethrow_as_invalid(const char *text, MemoryContext context, int end)
{
	ErrorData  *edata;
	char	   *instead;

	MemoryContextSwitchTo(context);
	edata = CopyErrorData();
	if (ERRCODE_TO_CATEGORY(edata->sqlerrcode) !=
		ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR) &&
		ERRCODE_TO_CATEGORY(edata->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
		ERRCODE_TO_CATEGORY(edata->sqlerrcode) != ERRCODE_FEATURE_NOT_SUPPORTED)
		PG_RE_THROW();
	FlushErrorState();

	instead = end >= 0 ? all_tables_instead(text) : NULL;
	if (instead != NULL)
		ereport(ERROR,
				(errcode(edata->sqlerrcode),
				 errmsg("invalid access \"%s\"", text),
				 errdetail("\"*\" is not the name of a table."),
				 errhint("For all tables and views that there are now: %s", instead)));

	/* don't blame words that we appended */
	if (end >= 0 && edata->cursorpos > end)
		invalid_access(text, edata->sqlerrcode, _("syntax error at end of input"));
	invalid_access(text, edata->sqlerrcode, edata->message);
}

/* core_yylex(), complaining as we do. */
static int
next_token(core_yyscan_t scanner, core_YYSTYPE *value, YYLTYPE *location,
		   const char *access)
{
	MemoryContext context = CurrentMemoryContext;
	volatile int token = 0;

	PG_TRY();
	{
		token = core_yylex(value, location, scanner);
	}
	PG_CATCH();
	{
		rethrow_as_invalid(access, context, -1);
	}
	PG_END_TRY();
	return token;
}

/*
 * Split an access text at its semicolons, as the core scanner sees them.  A
 * trailing one may be followed by nothing.  That each clause consists of
 * whole tokens (no open quote or comment) is what makes it safe to append
 * words to it.
 */
static List *
split_clauses(const char *access)
{
	List	   *clauses = NIL;
	core_yyscan_t scanner;
	core_yy_extra_type extra;
	core_YYSTYPE value;
	YYLTYPE		location;
	int			token;
	int			start = 0;
	int			first = -1;		/* first token of the clause */
	int			depth = 0;
	bool		grantee = false;

	scanner = scanner_init(access, &extra, &ScanKeywords, ScanKeywordTokens);
	do
	{
		token = next_token(scanner, &value, &location, access);
		if (token == ';' || token == 0)
		{
			int			end = token == 0 ? (int) strlen(access) : location;
			char	   *clause;

			if (first < 0)
			{
				if (token == 0 && clauses != NIL)
					break;
				invalid_access(access, ERRCODE_SYNTAX_ERROR,
							   clauses == NIL && token == 0 ?
							   _("It is empty.") :
							   _("It has an empty clause."));
			}
			clause = pnstrdup(access + first, end - first);
			while (end > first && scanner_isspace(access[end - 1]))
				clause[--end - first] = '\0';
			if (grantee)
				invalid_access(clause, ERRCODE_SYNTAX_ERROR,
							   _("It names a grantee; whom the access is for is an argument of its own."));
			clauses = lappend(clauses, clause);
			start = location + 1;
			first = -1;
			depth = 0;
			continue;
		}

		if (first < 0)
			first = Max(location, start);
		if (token == '(')
			depth++;
		else if (token == ')')
			depth--;
		else if (depth == 0 && word_at(access + location, "to"))
			grantee = true;
	} while (token != 0);
	scanner_finish(scanner);
	return clauses;
}

/* Is the list of grantees the one that we appended? */
static bool
is_placeholder(List *grantees)
{
	RoleSpec   *role;

	if (list_length(grantees) != 1)
		return false;
	role = linitial_node(RoleSpec, grantees);
	return role->roletype == ROLESPEC_CSTRING &&
		strcmp(role->rolename, PLACEHOLDER) == 0;
}

/*
 * Parse one clause into a GrantStmt or GrantRoleStmt to the placeholder.  The
 * newline ends a comment that the clause may end in.
 */
static Node *
parse_clause(const char *clause)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *before = psprintf("GRANT %s", clause);
	List	   *volatile trees = NIL;
	Node	   *tree;

	PG_TRY();
	{
		trees = raw_parser(psprintf("%s\nTO " PLACEHOLDER, before),
						   RAW_PARSE_DEFAULT);
	}
	PG_CATCH();
	{
		rethrow_as_invalid(clause, context, pg_mbstrlen(before));
	}
	PG_END_TRY();

	if (list_length(trees) == 1)
	{
		tree = linitial_node(RawStmt, trees)->stmt;
		if (IsA(tree, GrantStmt))
		{
			GrantStmt  *stmt = (GrantStmt *) tree;

			if (stmt->is_grant && !stmt->grant_option &&
				stmt->grantor == NULL && is_placeholder(stmt->grantees) &&
				(stmt->targtype == ACL_TARGET_OBJECT ||
				 stmt->targtype == ACL_TARGET_ALL_IN_SCHEMA))
				return tree;
		}
		else if (IsA(tree, GrantRoleStmt))
		{
			GrantRoleStmt *stmt = (GrantRoleStmt *) tree;

			if (stmt->is_grant && !JIT_GRANT_ROLE_HAS_OPTIONS(stmt) &&
				stmt->grantor == NULL && is_placeholder(stmt->grantee_roles))
				return tree;
		}
	}
	invalid_access(clause, ERRCODE_SYNTAX_ERROR,
				   _("It has more to it than privileges and objects, or roles."));
	return NULL;				/* keep the compiler quiet */
}

/* ----------------------------------------------------------------------
 * Names to OIDs
 * ----------------------------------------------------------------------
 */

/* Mirrors the check in DeconstructQualifiedName() for relations. */
static void
check_database_name(const RangeVar *relation)
{
	if (relation->catalogname != NULL &&
		strcmp(relation->catalogname, jit_database_name()) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cross-database references are not implemented: \"%s.%s.%s\"",
						relation->catalogname, relation->schemaname,
						relation->relname),
				 errhint("Request it in database %s.",
						 quote_identifier(relation->catalogname))));
}

/* Find a relation.  Mirrors what GRANT does, but takes no lock. */
static Oid
resolve_relation(const RangeVar *relation)
{
	bool		qualified = relation->schemaname != NULL;
	JitOwnerSection section;
	Oid			relid;

	check_database_name(relation);
	jit_begin_lookup(&section, qualified);
	relid = RangeVarGetRelid(relation, NoLock, !qualified);
	jit_end_lookup(&section);
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s\" does not exist", relation->relname),
				 errhint("If it is in a schema that your search_path does not have or that you lack USAGE on, write the schema as well.")));
	return relid;
}

static Oid
resolve_type(const TypeName *type)
{
	JitOwnerSection section;
	Oid			oid;

	/* of COLUMN%TYPE the name has a part more */
	jit_begin_lookup(&section, list_length(type->names) > (type->pct_type ? 2 : 1));
	oid = typenameTypeId(NULL, type);
	jit_end_lookup(&section);
	return oid;
}

/* Find a function, procedure or routine, each argument's type by itself. */
static Oid
resolve_function(ObjectType objtype, const ObjectWithArgs *function)
{
	ObjectWithArgs *resolved = makeNode(ObjectWithArgs);
	JitOwnerSection section;
	Oid			oid;
	ListCell   *lc;

	*resolved = *function;
	resolved->objargs = NIL;
	foreach(lc, function->objargs)
		resolved->objargs = lappend(resolved->objargs,
									makeTypeNameFromOid(resolve_type(lfirst_node(TypeName, lc)),
														-1));
	jit_begin_lookup(&section, list_length(function->objname) > 1);
	oid = LookupFuncWithArgs(objtype, resolved, false);
	jit_end_lookup(&section);
	return oid;
}

/* Refuse types that GRANT refuses.  Mirrors ExecGrant_Type(). */
static void
check_type(ObjectType objtype, Oid typid)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typid));
	Form_pg_type form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", typid);
	form = (Form_pg_type) GETSTRUCT(tuple);
	if (!form->typisdefined)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type \"%s\" is only a shell", NameStr(form->typname))));
	if (IsTrueArrayType(form))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_GRANT_OPERATION),
				 errmsg("array types have no privileges"),
				 errhint("Request the element type instead.")));
	/* PostgreSQL 17 refuses these too: they follow their range types */
	if (form->typtype == TYPTYPE_MULTIRANGE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_GRANT_OPERATION),
				 errmsg("multirange types have no privileges"),
				 errhint("Request the range type instead.")));
	if (objtype == OBJECT_DOMAIN && form->typtype != TYPTYPE_DOMAIN)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a domain", NameStr(form->typname))));
	ReleaseSysCache(tuple);
}

/* Refuse relations that GRANT refuses.  Mirrors ExecGrant_Relation(). */
static void
check_relation(ObjectType objtype, Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	if (relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is an index", get_rel_name(relid))));
	if (relkind == RELKIND_COMPOSITE_TYPE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a composite type", get_rel_name(relid))));
	if (objtype == OBJECT_SEQUENCE && relkind != RELKIND_SEQUENCE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a sequence", get_rel_name(relid))));
}

/* Refuse languages that GRANT refuses.  Mirrors ExecGrant_Language(). */
static void
check_language(Oid langid)
{
	HeapTuple	tuple = SearchSysCache1(LANGOID, ObjectIdGetDatum(langid));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for language %u", langid);
	if (!((Form_pg_language) GETSTRUCT(tuple))->lanpltrusted)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("language \"%s\" is not trusted",
						NameStr(((Form_pg_language) GETSTRUCT(tuple))->lanname)),
				 errdetail("Only superusers can use untrusted languages.")));
	ReleaseSysCache(tuple);
}

/* The OID of what GRANT calls an object.  Mirrors objectNamesToOids(). */
static Oid
resolve_object(ObjectType objtype, Node *object)
{
	Oid			oid;

	switch (objtype)
	{
		case OBJECT_TABLE:
		case OBJECT_SEQUENCE:
			oid = resolve_relation((RangeVar *) object);
			check_relation(objtype, oid);
			return oid;
		case OBJECT_DOMAIN:
		case OBJECT_TYPE:
			oid = resolve_type(makeTypeNameFromNameList((List *) object));
			check_type(objtype, oid);
			return oid;
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
		case OBJECT_ROUTINE:
			return resolve_function(objtype, (ObjectWithArgs *) object);
		case OBJECT_LARGEOBJECT:
			oid = oidparse(object);
			if (!LargeObjectExists(oid))
				ereport(ERROR,
						(errcode(ERRCODE_UNDEFINED_OBJECT),
						 errmsg("large object %u does not exist", oid)));
			return oid;
		case OBJECT_DATABASE:
			return get_database_oid(strVal(object), false);
		case OBJECT_LANGUAGE:
			oid = get_language_oid(strVal(object), false);
			check_language(oid);
			return oid;
		case OBJECT_SCHEMA:
			return get_namespace_oid(strVal(object), false);
		case OBJECT_TABLESPACE:
			return get_tablespace_oid(strVal(object), false);
		case OBJECT_FDW:
			return get_foreign_data_wrapper_oid(strVal(object), false);
		case OBJECT_FOREIGN_SERVER:
			return get_foreign_server_oid(strVal(object), false);
		case OBJECT_PARAMETER_ACL:
			/* has an OID only once somebody has been granted it */
			JIT_CHECK_PARAMETER_NAME(strVal(object));
			return ParameterAclLookup(strVal(object), true);
		default:
			elog(ERROR, "unrecognized object type: %d", (int) objtype);
	}
	return InvalidOid;			/* keep the compiler quiet */
}

/* ----------------------------------------------------------------------
 * Collecting what is wanted
 * ----------------------------------------------------------------------
 */

/* Find the entry for an object, or add one. */
static JitWant *
want_object(List **wanted, ObjectType objtype, Oid classid, Oid objid,
			const char *parameter)
{
	JitWant    *want;
	ListCell   *lc;

	foreach(lc, *wanted)
	{
		want = lfirst(lc);
		if (want->address.objectId == objid &&
			want->address.classId == classid &&
			(parameter == NULL || strcmp(parameter, want->parameter) == 0))
			return want;
	}
	CHECK_FOR_INTERRUPTS();
	want = palloc0(sizeof(JitWant));
	want->objtype = objtype;
	ObjectAddressSet(want->address, classid, objid);
	want->parameter = parameter ? pstrdup(parameter) : NULL;
	*wanted = lappend(*wanted, want);
	return want;
}

/* Raise an error or, where GRANT does only that, a warning. */
static AclMode
check_privileges(AclMode privs, AclMode valid, const char *kind,
				 bool warn, Oid objid)
{
	if ((privs & ~valid) == 0)
		return privs;
	ereport(warn ? WARNING : ERROR,
			(errcode(ERRCODE_INVALID_GRANT_OPERATION),
			 errmsg("invalid privilege type %s for %s",
					jit_privileges_text(privs & ~valid), _(kind)),
			 warn ? errdetail("It is left out for sequence %s.",
							  quote_identifier(get_rel_name(objid))) : 0));
	return privs & valid;
}

/*
 * Add what a clause wants of one object.  Mirrors ExecuteGrantStmt() and
 * ExecGrant_Relation() in which privileges there are for what, and ExecGrant's
 * leniency for sequences that are named like tables.
 */
static void
want_privileges(List **wanted, const GrantStmt *stmt, Oid objid,
				const char *parameter)
{
	Oid			classid = jit_kind_of(stmt->objtype)->classid;
	ObjectType	objtype = jit_objtype_of(classid, objid, stmt->objtype);
	const JitObjectKind *kind = jit_kind_of(objtype);
	JitWant    *want = want_object(wanted, objtype, classid, objid, parameter);
	bool		lenient = stmt->objtype == OBJECT_TABLE && objtype == OBJECT_SEQUENCE;
	char	   *kind_name = jit_kind_text(objtype);
	ListCell   *lc;
	ListCell   *lc2;

	if (stmt->privileges == NIL)
		want->privs |= kind->all & ~NOT_IN_ALL;
	foreach(lc, stmt->privileges)
	{
		AccessPriv *access = lfirst_node(AccessPriv, lc);
		AclMode		privs;

		if (access->cols == NIL)
		{
			privs = jit_privilege_by_name(access->priv_name);
			want->privs |= check_privileges(privs, kind->all, kind_name,
											lenient && (privs & ACL_ALL_RIGHTS_RELATION),
											objid);
			continue;
		}

		if (stmt->objtype != OBJECT_TABLE)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_GRANT_OPERATION),
					 errmsg("column privileges are only valid for relations")));
		if (access->priv_name == NULL)
			privs = objtype == OBJECT_SEQUENCE ? ACL_SELECT :
				ACL_ALL_RIGHTS_COLUMN & ~NOT_IN_ALL;
		else
			privs = check_privileges(jit_privilege_by_name(access->priv_name),
									 ACL_ALL_RIGHTS_COLUMN, "column", false,
									 objid);
		if (objtype == OBJECT_SEQUENCE)
			privs = check_privileges(privs, ACL_SELECT, "column", true, objid);

		foreach(lc2, access->cols)
		{
			char	   *column = strVal(lfirst(lc2));
			AttrNumber	attnum = get_attnum(objid, column);

			if (attnum == InvalidAttrNumber)
				ereport(ERROR,
						(errcode(ERRCODE_UNDEFINED_COLUMN),
						 errmsg("column \"%s\" of relation \"%s\" does not exist",
								column, get_rel_name(objid))));
			for (int i = 0; i < JIT_N_PRIVILEGES; i++)
			{
				if (privs & jit_privilege_names[i].priv)
					want->columns[i] =
						bms_add_member(want->columns[i],
									   attnum - FirstLowInvalidHeapAttributeNumber);
			}
		}
	}
}

/* Add what a clause of privileges on objects wants. */
static void
want_objects(List **wanted, const GrantStmt *stmt)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, stmt->objects)
	{
		Node	   *object = lfirst(lc);

		if (stmt->targtype == ACL_TARGET_ALL_IN_SCHEMA)
		{
			Oid			namespace = get_namespace_oid(strVal(object), false);

			foreach(lc2, jit_objects_in_schema(stmt->objtype, namespace))
				want_privileges(wanted, stmt, lfirst_oid(lc2), NULL);
		}
		else
			want_privileges(wanted, stmt, resolve_object(stmt->objtype, object),
							stmt->objtype == OBJECT_PARAMETER_ACL ?
							convert_GUC_name_for_parameter_acl(strVal(object)) :
							NULL);
	}
}

/* Add the roles that a clause wants membership of. */
static void
want_roles(List **wanted, const GrantRoleStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->granted_roles)
	{
		AccessPriv *access = lfirst_node(AccessPriv, lc);
		Oid			roleid;

		if (access->priv_name == NULL || access->cols != NIL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_GRANT_OPERATION),
					 errmsg("column names cannot be included with a role")));
		if (strcmp(access->priv_name, "public") == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_GRANT_OPERATION),
					 errmsg("role %s cannot be requested", "PUBLIC"),
					 errdetail("It stands for everybody.")));
		roleid = get_role_oid(access->priv_name, true);
		if (!OidIsValid(roleid))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("role \"%s\" does not exist", access->priv_name),
					 errhint("For privileges on an object, write e.g. %s.",
							 "SELECT ON hr.employee")));
		(void) want_object(wanted, OBJECT_ROLE, AuthIdRelationId, roleid, NULL);
	}
}

/* Add the items for one object: the whole of it, then each set of columns. */
List *
jit_make_items(List *items, const JitWant *want)
{
	JitItem    *item;
	bool		done[JIT_N_PRIVILEGES] = {false};

	if (want->privs != 0 || want->objtype == OBJECT_ROLE)
	{
		item = palloc0(sizeof(JitItem));
		item->objtype = want->objtype;
		item->address = want->address;
		item->privs = want->privs;
		item->parameter = want->parameter;
		items = lappend(items, item);
	}
	for (int i = 0; i < JIT_N_PRIVILEGES; i++)
	{
		int			col = -1;

		if (done[i] || bms_is_empty(want->columns[i]) ||
			(want->privs & jit_privilege_names[i].priv))
			continue;
		item = palloc0(sizeof(JitItem));
		/* GRANT has no column privileges ON SEQUENCE, only ON TABLE */
		item->objtype = OBJECT_TABLE;
		item->address = want->address;
		for (int j = i; j < JIT_N_PRIVILEGES; j++)
		{
			if (bms_equal(want->columns[i], want->columns[j]) &&
				!(want->privs & jit_privilege_names[j].priv))
			{
				item->privs |= jit_privilege_names[j].priv;
				done[j] = true;
			}
		}
		while ((col = bms_next_member(want->columns[i], col)) >= 0)
			item->attnums = lappend_int(item->attnums,
										col + FirstLowInvalidHeapAttributeNumber);
		items = lappend(items, item);
	}
	return items;
}

/*
 * Resolve an access text to items.
 * Names are looked up as the current user; needs a transaction with a
 * snapshot or a syscache that can be read, takes no locks.  What clauses have
 * in common is merged, object by object, in the order of first mention.
 * Raises for whatever can't be read, isn't there, or can't be requested.
 */
List *
jit_parse_access(const char *access)
{
	List	   *wanted = NIL;
	List	   *items = NIL;
	ListCell   *lc;

	foreach(lc, split_clauses(access))
	{
		Node	   *tree = parse_clause(lfirst(lc));

		if (IsA(tree, GrantStmt))
			want_objects(&wanted, (GrantStmt *) tree);
		else
			want_roles(&wanted, (GrantRoleStmt *) tree);
	}
	foreach(lc, wanted)
		items = jit_make_items(items, lfirst(lc));
	if (items == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is nothing that access \"%s\" would give",
						access)));
	foreach(lc, items)
		jit_check_item_requestable(lfirst(lc));
	return items;
}

/*
 * Raise if the item is for a role that nobody may ask for: PUBLIC has no OID
 * and is refused where names are read.
 */
static void
check_role_requestable(Oid roleid)
{
	char	   *name = jit_role_name(roleid);
	const char *detail = NULL;
	ListCell   *lc;

	if (strncmp(name, JIT_ROLE_PREFIX, strlen(JIT_ROLE_PREFIX)) == 0)
		detail = _("Roles whose names start with \"jit_\" belong to jit_access.");
	else if (roleid == ROLE_PG_DATABASE_OWNER)
		detail = _("Its only member is the owner of the database.");
	else if (superuser_arg(roleid))
		detail = _("It is a superuser.");
	else
	{
		foreach(lc, jit_role_closure(roleid, JIT_CLOSURE_MEMBERS,
									 JIT_FILTER_NONE, jit_now()))
		{
			if (superuser_arg(lfirst_oid(lc)))
				detail = psprintf(_("It is a member of role %s, which is a superuser."),
								  quote_identifier(jit_role_name(lfirst_oid(lc))));
		}
	}
	if (detail != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_GRANT_OPERATION),
				 errmsg("role %s cannot be requested", quote_identifier(name)),
				 errdetail_internal("%s", detail)));
}

/*
 * Raise if nobody may ask for the item, whoever agreed: system catalogs,
 * information_schema, our own schema, temporary objects, and roles that are
 * or lead to a superuser.  jit_parse_access() has called it; it is called
 * again before access starts, since roles change.
 */
void
jit_check_item_requestable(const JitItem *item)
{
	Oid			namespace = jit_item_namespace(item);
	const char *detail = NULL;

	if (item->objtype == OBJECT_ROLE)
	{
		check_role_requestable(item->address.objectId);
		return;
	}
	if (item->objtype == OBJECT_SCHEMA)
		namespace = item->address.objectId;
	if (item->objtype == OBJECT_PARAMETER_ACL &&
		strncmp(item->parameter, JIT_EXTENSION ".", strlen(JIT_EXTENSION ".")) == 0)
		detail = _("It is a setting of jit_access.");

	if (OidIsValid(namespace))
	{
		char	   *name = get_namespace_name(namespace);

		/* functions of pg_catalog take a superuser's agreement */
		if (namespace == PG_CATALOG_NAMESPACE &&
			item->address.classId != ProcedureRelationId)
			detail = _("System catalogs and schema pg_catalog are not handed out.");
		else if (namespace == PG_TOAST_NAMESPACE)
			detail = _("It holds what belongs to other tables.");
		else if (isAnyTempNamespace(namespace))
			detail = _("It is temporary.");
		else if (name != NULL && strcmp(name, "information_schema") == 0)
			detail = _("Schema information_schema is not handed out.");
		else if (name != NULL && strcmp(name, JIT_SCHEMA) == 0)
			detail = _("Schema jit belongs to jit_access.");
	}
	if (detail != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_GRANT_OPERATION),
				 errmsg("access to %s %s cannot be requested",
						_(jit_kind_text(item->objtype)),
						jit_item_object(item)),
				 errdetail_internal("%s", detail)));
}

/*
 * Add USAGE on the schemas of the items where the grantee lacks it: what is
 * approved must work.  Standing privileges count, not temporary ones, which
 * may end before.  Items of ours are marked as added.
 */
List *
jit_add_schema_usage(List *items, Oid grantee)
{
	List	   *closure = jit_role_closure(grantee, JIT_CLOSURE_PRIVS,
										   JIT_FILTER_STANDING, jit_now());
	List	   *schemas = NIL;
	ListCell   *lc;

	foreach(lc, items)
	{
		JitItem    *item = lfirst(lc);

		if (item->objtype == OBJECT_SCHEMA && (item->privs & ACL_USAGE))
			schemas = lappend_oid(schemas, item->address.objectId);
	}
	for (int i = 0, n = list_length(items); i < n; i++)
	{
		Oid			namespace = jit_item_namespace(list_nth(items, i));
		JitItem    *added;

		if (!OidIsValid(namespace) || namespace == PG_CATALOG_NAMESPACE ||
			list_member_oid(schemas, namespace))
			continue;
		schemas = lappend_oid(schemas, namespace);
		if (jit_object_aclmask(NamespaceRelationId, namespace, 0, closure,
							   ACL_USAGE) == ACL_USAGE)
			continue;
		added = palloc0(sizeof(JitItem));
		added->objtype = OBJECT_SCHEMA;
		ObjectAddressSet(added->address, NamespaceRelationId, namespace);
		added->privs = ACL_USAGE;
		added->added = true;
		items = lappend(items, added);
	}
	return items;
}
