/*-------------------------------------------------------------------------
 *
 * access.c
 *		Access text <-> resolved items <-> text.
 *
 * An access text is one or more clauses separated by ";", each what stands
 * between GRANT and TO.  PostgreSQL's own scanner splits it and PostgreSQL's
 * own grammar parses each clause; what the tree may hold is checked here.
 * Names are resolved to OIDs at once, and from then on the OIDs are what
 * everybody talks about: text for people is deparsed from them, so a rename
 * or a drop and recreate can't change what somebody agrees to.
 *
 * Resolving runs no code of the user's.  Qualified names are looked up with
 * the bootstrap superuser's rights, because a request needn't have USAGE on
 * the schema yet; unqualified ones through the caller's search_path, with
 * the caller's rights.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_parameter_acl.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_shdepend.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/tablespace.h"
#include "executor/spi.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parser.h"
#include "parser/scanner.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/formatting.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#define PLACEHOLDER "jit_grantee"
#define ALL_GRANT_OPTIONS ACL_GRANT_OPTION_FOR(ACL_ALL_RIGHTS)
#define ACL_ALL_RIGHTS ((AclMode) 0x7FFF)

typedef struct KindOfObject
{
	ObjectType	objtype;
	const char *keyword;		/* in GRANT ... ON keyword, and in lower case
								 * in jit.request_items.object_type */
	AclMode		all_rights;
} KindOfObject;

static const KindOfObject kinds[] = {
	{OBJECT_TABLE, "TABLE", ACL_ALL_RIGHTS_RELATION},
	{OBJECT_SEQUENCE, "SEQUENCE", ACL_ALL_RIGHTS_SEQUENCE},
	{OBJECT_DATABASE, "DATABASE", ACL_ALL_RIGHTS_DATABASE},
	{OBJECT_FUNCTION, "FUNCTION", ACL_ALL_RIGHTS_FUNCTION},
	{OBJECT_PROCEDURE, "PROCEDURE", ACL_ALL_RIGHTS_FUNCTION},
	{OBJECT_LANGUAGE, "LANGUAGE", ACL_ALL_RIGHTS_LANGUAGE},
	{OBJECT_LARGEOBJECT, "LARGE OBJECT", ACL_ALL_RIGHTS_LARGEOBJECT},
	{OBJECT_SCHEMA, "SCHEMA", ACL_ALL_RIGHTS_SCHEMA},
	{OBJECT_TABLESPACE, "TABLESPACE", ACL_ALL_RIGHTS_TABLESPACE},
	{OBJECT_TYPE, "TYPE", ACL_ALL_RIGHTS_TYPE},
	{OBJECT_FDW, "FOREIGN DATA WRAPPER", ACL_ALL_RIGHTS_FDW},
	{OBJECT_FOREIGN_SERVER, "FOREIGN SERVER", ACL_ALL_RIGHTS_FOREIGN_SERVER},
	{OBJECT_PARAMETER_ACL, "PARAMETER", ACL_ALL_RIGHTS_PARAMETER_ACL},
	{OBJECT_ROLE, "ROLE", 0},
};

static const struct
{
	AclMode		bit;
	const char *name;
}			privileges[] = {
	{ACL_SELECT, "SELECT"},
	{ACL_INSERT, "INSERT"},
	{ACL_UPDATE, "UPDATE"},
	{ACL_DELETE, "DELETE"},
	{ACL_TRUNCATE, "TRUNCATE"},
	{ACL_REFERENCES, "REFERENCES"},
	{ACL_TRIGGER, "TRIGGER"},
	{ACL_EXECUTE, "EXECUTE"},
	{ACL_USAGE, "USAGE"},
	{ACL_CREATE, "CREATE"},
	{ACL_CREATE_TEMP, "TEMPORARY"},
	{ACL_CREATE_TEMP, "TEMP"},	/* after TEMPORARY: for reading only */
	{ACL_CONNECT, "CONNECT"},
	{ACL_SET, "SET"},
	{ACL_ALTER_SYSTEM, "ALTER SYSTEM"},
	{JIT_ACL_MAINTAIN, "MAINTAIN"},
};

/* What ALL doesn't mean: these must be named. */
#define NOT_IN_ALL (ACL_TRIGGER | ACL_REFERENCES | JIT_ACL_MAINTAIN)

static const KindOfObject *
kind_of(ObjectType objtype)
{
	for (size_t i = 0; i < lengthof(kinds); i++)
	{
		if (kinds[i].objtype == objtype)
			return &kinds[i];
	}
	elog(ERROR, "unexpected object type %d", (int) objtype);
	return NULL;				/* keep the compiler quiet */
}

/* ----------------------------------------------------------------------
 * Text to items
 * ----------------------------------------------------------------------
 */

static void pg_attribute_noreturn()
invalid_clause(const char *clause, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("invalid access \"%s\"", clause),
			 errdetail_internal("%s", detail),
			 errhint("Write what stands between GRANT and TO, for example: SELECT ON hr.employee, hr.title; hr_reader")));
}

/*
 * Split at ";" as PostgreSQL's scanner sees it.  A clause may be blank only
 * at the end.
 */
static List *
split_access(const char *access)
{
	core_yyscan_t scanner;
	core_yy_extra_type extra;
	core_YYSTYPE value;
	YYLTYPE		location;
	int			token;
	int			start = 0;
	bool		blank = true;
	List	   *clauses = NIL;

	scanner = scanner_init(access, &extra, &ScanKeywords, ScanKeywordTokens);
	while ((token = core_yylex(&value, &location, scanner)) != 0)
	{
		if (token != ';')
		{
			blank = false;
			continue;
		}
		if (blank)
			invalid_clause(access, _("A clause is empty."));
		clauses = lappend(clauses, pnstrdup(access + start, location - start));
		start = location + 1;
		blank = true;
	}
	if (!blank)
		clauses = lappend(clauses, pstrdup(access + start));
	scanner_finish(scanner);
	if (clauses == NIL)
		invalid_clause(access, _("It names nothing."));
	return clauses;
}

/*
 * Scan or parse, with the error, whose position would be taken for one in
 * the caller's statement, turned into ours.
 */
static List *
parse_or_complain(const char *text, const char *clause, bool split)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *volatile result = NIL;

	PG_TRY();
	{
		result = split ? split_access(text) :
			raw_parser(text, RAW_PARSE_DEFAULT);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		if (edata->sqlerrcode != ERRCODE_SYNTAX_ERROR || edata->detail != NULL)
			PG_RE_THROW();
		FlushErrorState();
		invalid_clause(clause, edata->message);
	}
	PG_END_TRY();
	return result;
}

/* Look names up with all rights; undone by jit_end_lookup(). */
static void
begin_lookup(bool qualified, Oid *userid, int *sec_context)
{
	GetUserIdAndSecContext(userid, sec_context);
	if (qualified)
		SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
							   *sec_context | SECURITY_LOCAL_USERID_CHANGE);
}

static Oid
resolve_relation(RangeVar *rv)
{
	Oid			relid;

	if (rv->catalogname && strcmp(rv->catalogname, get_database_name(MyDatabaseId)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("access to another database's table cannot be requested here: \"%s.%s.%s\"",
						rv->catalogname, rv->schemaname, rv->relname),
				 errhint("Connect to that database and request it there.")));
	if (rv->schemaname)
	{
		Oid			schema = get_namespace_oid(rv->schemaname, true);

		relid = OidIsValid(schema) ? get_relname_relid(rv->relname, schema) : InvalidOid;
	}
	else
		relid = RelnameGetRelid(rv->relname);
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation %s does not exist",
						quote_qualified_identifier(rv->schemaname, rv->relname)),
				 rv->schemaname ? 0 :
				 errhint("Write schema.table if it is not in your search_path.")));
	return relid;
}

/* Number of name parts decides who looks: see the top of the file. */
static bool
is_qualified(ObjectType objtype, Node *object)
{
	if (IsA(object, ObjectWithArgs))
		return list_length(((ObjectWithArgs *) object)->objname) > 1;
	if (IsA(object, List))
		return list_length((List *) object) > 1;
	return true;
}

static JitItem *
make_item(ObjectType objtype, Oid classid, Oid objid)
{
	JitItem    *item = palloc0(sizeof(JitItem));

	item->objtype = objtype;
	ObjectAddressSet(item->address, classid, objid);
	return item;
}

/* The object that one element of GrantStmt.objects names. */
static JitItem *
resolve_object(ObjectType objtype, Node *object)
{
	Oid			userid;
	int			sec_context;
	ObjectAddress address;
	Relation	rel = NULL;
	Node	   *node = object;

	if (objtype == OBJECT_TABLE || objtype == OBJECT_SEQUENCE)
	{
		Oid			relid = resolve_relation((RangeVar *) object);
		char		relkind = get_rel_relkind(relid);

		if (relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX ||
			relkind == RELKIND_COMPOSITE_TYPE)
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("%s is not a table, view or sequence",
							quote_identifier(get_rel_name(relid)))));
		if (objtype == OBJECT_SEQUENCE && relkind != RELKIND_SEQUENCE)
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("%s is not a sequence",
							quote_identifier(get_rel_name(relid)))));
		return make_item(relkind == RELKIND_SEQUENCE ? OBJECT_SEQUENCE : OBJECT_TABLE,
						 RelationRelationId, relid);
	}

	if (objtype == OBJECT_PARAMETER_ACL)
	{
		JitItem    *item;
		char	   *name = strVal(object);

		if (GetConfigOption(name, true, false) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("unrecognized configuration parameter \"%s\"", name)));
		item = make_item(objtype, ParameterAclRelationId,
						 ParameterAclLookup(name, true));
		item->parameter = convert_GUC_name_for_parameter_acl(name);
		return item;
	}

	if (objtype == OBJECT_TYPE || objtype == OBJECT_DOMAIN)
		node = (Node *) makeTypeNameFromNameList((List *) object);

	begin_lookup(is_qualified(objtype, object), &userid, &sec_context);
	address = get_object_address(objtype, node, &rel, AccessShareLock, false);
	SetUserIdAndSecContext(userid, sec_context);
	Assert(rel == NULL);

	if (objtype == OBJECT_DOMAIN)
		objtype = OBJECT_TYPE;
	if (objtype == OBJECT_FUNCTION || objtype == OBJECT_PROCEDURE ||
		objtype == OBJECT_ROUTINE)
		objtype = get_func_prokind(address.objectId) == PROKIND_PROCEDURE ?
			OBJECT_PROCEDURE : OBJECT_FUNCTION;
	return make_item(objtype, address.classId, address.objectId);
}

/* Items of ALL ... IN SCHEMA.  Mirrors objectsInSchemaToOids(). */
static List *
objects_in_schema(ObjectType objtype, const char *schema)
{
	Oid			nspid = get_namespace_oid(schema, false);
	bool		procs = objtype == OBJECT_FUNCTION ||
	objtype == OBJECT_PROCEDURE || objtype == OBJECT_ROUTINE;
	Oid			classid = procs ? ProcedureRelationId : RelationRelationId;
	Relation	rel = table_open(classid, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *items = NIL;

	ScanKeyInit(&key, procs ? Anum_pg_proc_pronamespace : Anum_pg_class_relnamespace,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(nspid));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		ObjectType	type;
		Oid			oid;

		if (procs)
		{
			Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);

			type = form->prokind == PROKIND_PROCEDURE ? OBJECT_PROCEDURE : OBJECT_FUNCTION;
			oid = form->oid;
			if (objtype != OBJECT_ROUTINE && type != objtype)
				continue;
		}
		else
		{
			Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

			oid = form->oid;
			switch (form->relkind)
			{
				case RELKIND_RELATION:
				case RELKIND_VIEW:
				case RELKIND_MATVIEW:
				case RELKIND_FOREIGN_TABLE:
				case RELKIND_PARTITIONED_TABLE:
					type = OBJECT_TABLE;
					break;
				case RELKIND_SEQUENCE:
					type = OBJECT_SEQUENCE;
					break;
				default:
					continue;
			}
			if (type != objtype)
				continue;
		}
		items = lappend(items, make_item(type, classid, oid));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (items == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is nothing of that kind in schema %s",
						quote_identifier(schema))));
	return items;
}

static AclMode
privilege_bit(const char *name)
{
	for (size_t i = 0; i < lengthof(privileges); i++)
	{
		if (pg_strcasecmp(privileges[i].name, name) == 0 && privileges[i].bit != 0)
			return privileges[i].bit;
	}
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("unrecognized privilege type \"%s\"", name)));
	return 0;					/* keep the compiler quiet */
}

static List *
resolve_columns(Oid relid, List *columns)
{
	List	   *attnums = NIL;
	ListCell   *lc;

	foreach(lc, columns)
	{
		AttrNumber	attnum = get_attnum(relid, strVal(lfirst(lc)));

		if (attnum <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column %s of relation %s does not exist",
							quote_identifier(strVal(lfirst(lc))),
							quote_identifier(get_rel_name(relid)))));
		attnums = list_append_unique_int(attnums, attnum);
	}
	list_sort(attnums, list_int_cmp);
	return attnums;
}

/* Add an item, merged with one for the same object and columns. */
static List *
add_item(List *items, JitItem *item)
{
	ListCell   *lc;

	foreach(lc, items)
	{
		JitItem    *other = lfirst(lc);

		if (other->objtype == item->objtype &&
			other->address.classId == item->address.classId &&
			other->address.objectId == item->address.objectId &&
			equal(other->attnums, item->attnums) &&
			(item->parameter == NULL || strcmp(item->parameter, other->parameter) == 0))
		{
			other->privs |= item->privs;
			return items;
		}
	}
	return lappend(items, item);
}

/* Items of GRANT privileges ON objects. */
static List *
items_of_grant(List *items, const GrantStmt *stmt)
{
	List	   *objects = NIL;
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		if (stmt->targtype == ACL_TARGET_ALL_IN_SCHEMA)
			objects = list_concat(objects,
								  objects_in_schema(stmt->objtype, strVal(lfirst(lc))));
		else
			objects = lappend(objects, resolve_object(stmt->objtype, lfirst(lc)));
	}

	foreach(lc, objects)
	{
		JitItem    *object = lfirst(lc);
		const KindOfObject *kind = kind_of(object->objtype);
		List	   *privs = stmt->privileges;
		ListCell   *lp;

		if (privs == NIL)
			privs = list_make1(makeNode(AccessPriv));	/* ALL */
		foreach(lp, privs)
		{
			AccessPriv *priv = lfirst(lp);
			JitItem    *item = palloc(sizeof(JitItem));

			*item = *object;
			if (priv->cols != NIL && object->objtype != OBJECT_TABLE)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_GRANT_OPERATION),
						 errmsg("columns can be named for tables and views only")));
			if (priv->priv_name == NULL)
				item->privs = (priv->cols ? ACL_ALL_RIGHTS_COLUMN : kind->all_rights) & ~NOT_IN_ALL;
			else
				item->privs = privilege_bit(priv->priv_name);
			if (item->privs & ~(priv->cols ? ACL_ALL_RIGHTS_COLUMN : kind->all_rights))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_GRANT_OPERATION),
						 errmsg("invalid privilege type %s for %s %s",
								jit_privileges_text(item->privs),
								priv->cols ? "columns of" : asc_tolower(kind->keyword, strlen(kind->keyword)),
								jit_item_object(object))));
			if (priv->cols)
				item->attnums = resolve_columns(object->address.objectId, priv->cols);
			items = add_item(items, item);
		}
	}
	return items;
}

/* Items of GRANT role, ... */
static List *
items_of_role_grant(List *items, const GrantRoleStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->granted_roles)
	{
		AccessPriv *priv = lfirst(lc);

		if (priv->priv_name == NULL || priv->cols != NIL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_GRANT_OPERATION),
					 errmsg("a role has no columns")));
		items = add_item(items, make_item(OBJECT_ROLE, AuthIdRelationId,
										  get_role_oid(priv->priv_name, false)));
	}
	return items;
}

static void
check_grantees(const char *clause, List *grantees)
{
	RoleSpec   *role;

	if (list_length(grantees) == 1)
	{
		role = linitial(grantees);
		if (role->roletype == ROLESPEC_CSTRING &&
			strcmp(role->rolename, PLACEHOLDER) == 0)
			return;
	}
	invalid_clause(clause, _("It must not name a grantee; give grantee => 'role' for that."));
}

/*
 * Resolve an access text.  Runs as the caller; raises for what can't be read
 * or isn't there.  Whether it may be asked for is another question:
 * jit_check_item_requestable().
 */
List *
jit_parse_access(const char *access)
{
	List	   *clauses = parse_or_complain(access, access, true);
	List	   *items = NIL;
	ListCell   *lc;

	foreach(lc, clauses)
	{
		char	   *clause = lfirst(lc);
		List	   *tree;
		Node	   *stmt;

		clause += strspn(clause, " \t\r\n\f");
		tree = parse_or_complain(psprintf("GRANT %s\nTO " PLACEHOLDER, clause),
								 clause, false);
		if (list_length(tree) != 1)
			invalid_clause(clause, _("It is more than one statement."));
		stmt = linitial_node(RawStmt, tree)->stmt;
		if (IsA(stmt, GrantStmt))
		{
			GrantStmt  *grant = (GrantStmt *) stmt;

			check_grantees(clause, grant->grantees);
			if (!grant->is_grant || grant->grant_option || grant->grantor != NULL ||
				grant->targtype == ACL_TARGET_DEFAULTS)
				invalid_clause(clause, _("Temporary access has no grant option and no GRANTED BY."));
			items = items_of_grant(items, grant);
		}
		else if (IsA(stmt, GrantRoleStmt))
		{
			GrantRoleStmt *grant = (GrantRoleStmt *) stmt;

			check_grantees(clause, grant->grantee_roles);
			if (!grant->is_grant || JIT_GRANT_ROLE_HAS_OPTIONS(grant) || grant->grantor != NULL)
				invalid_clause(clause, _("Temporary access has no admin option and no GRANTED BY."));
			items = items_of_role_grant(items, grant);
		}
		else
			invalid_clause(clause, _("It is no GRANT."));
	}
	return items;
}

/* Schema that an object is in; InvalidOid if objects of its kind are in none. */
static Oid
item_namespace(const JitItem *item)
{
	switch (item->objtype)
	{
		case OBJECT_TABLE:
		case OBJECT_SEQUENCE:
			return get_rel_namespace(item->address.objectId);
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
			return get_func_namespace(item->address.objectId);
		case OBJECT_TYPE:
			{
				HeapTuple	tuple = SearchSysCache1(TYPEOID,
													ObjectIdGetDatum(item->address.objectId));
				Oid			result = InvalidOid;

				if (HeapTupleIsValid(tuple))
				{
					result = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace;
					ReleaseSysCache(tuple);
				}
				return result;
			}
		default:
			return InvalidOid;
	}
}

/*
 * USAGE on the schemas that the grantee needs as well and has no standing
 * USAGE on, as items marked added.
 */
List *
jit_add_schema_usage(List *items, Oid grantee)
{
	List	   *closure = jit_role_closure(grantee, JIT_CLOSURE_PRIVS,
										   JIT_FILTER_STANDING, jit_now());
	List	   *result = list_copy(items);
	ListCell   *lc;

	foreach(lc, items)
	{
		Oid			nspid = item_namespace(lfirst(lc));
		JitItem    *usage;
		ListCell   *lo;
		bool		there = false;

		if (!OidIsValid(nspid) ||
			jit_object_aclmask(NamespaceRelationId, nspid, 0, closure, ACL_USAGE))
			continue;
		foreach(lo, result)
		{
			JitItem    *other = lfirst(lo);

			there |= other->objtype == OBJECT_SCHEMA &&
				other->address.objectId == nspid && (other->privs & ACL_USAGE);
		}
		if (there)
			continue;
		usage = make_item(OBJECT_SCHEMA, NamespaceRelationId, nspid);
		usage->privs = ACL_USAGE;
		usage->added = true;
		result = lappend(result, usage);
	}
	return result;
}

/* ----------------------------------------------------------------------
 * What may be asked for, and who could grant it
 * ----------------------------------------------------------------------
 */

/*
 * Raise for what nobody can hand out: system catalogs, information_schema,
 * our own schema, temporary objects, superuser roles and roles that lead to
 * one, and our own roles.
 */
void
jit_check_item_requestable(const JitItem *item)
{
	Oid			nspid = item->objtype == OBJECT_SCHEMA ? item->address.objectId :
	item_namespace(item);

	if (item->objtype == OBJECT_ROLE)
	{
		char	   *name = jit_role_name(item->address.objectId);
		ListCell   *lc;

		if (strncmp(name, JIT_ROLE_PREFIX, strlen(JIT_ROLE_PREFIX)) == 0 ||
			item->address.objectId == ROLE_PG_DATABASE_OWNER)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_GRANT_OPERATION),
					 errmsg("role %s cannot be requested", quote_identifier(name))));
		foreach(lc, jit_role_closure(item->address.objectId, JIT_CLOSURE_MEMBERS,
									 JIT_FILTER_NONE, jit_now()))
		{
			Oid			role = lfirst_oid(lc);

			if (superuser_arg(role))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_GRANT_OPERATION),
						 errmsg("role %s cannot be requested", quote_identifier(name)),
						 role == item->address.objectId ?
						 errdetail("It is a superuser.") :
						 errdetail("It is a member of superuser role %s.",
								   quote_identifier(jit_role_name(role)))));
		}
		return;
	}

	if (!OidIsValid(nspid))
		return;
	if ((IsCatalogNamespace(nspid) && item->objtype != OBJECT_FUNCTION) ||
		IsToastNamespace(nspid) || isAnyTempNamespace(nspid) ||
		strcmp(get_namespace_name(nspid), "information_schema") == 0 ||
		strcmp(get_namespace_name(nspid), JIT_SCHEMA) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_GRANT_OPERATION),
				 errmsg("access to %s cannot be requested", jit_item_object(item)),
				 errdetail("System catalogs, information_schema, schema jit and temporary objects are not handed out.")));
}

/* Does the role own something, or hold a grant or admin option? */
static bool
role_has_authority(Oid roleid)
{
	Relation	rel = table_open(SharedDependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	CatCList   *memlist;
	bool		result = false;

	ScanKeyInit(&key[0], Anum_pg_shdepend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(AuthIdRelationId));
	ScanKeyInit(&key[1], Anum_pg_shdepend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(roleid));
	scan = systable_beginscan(rel, SharedDependReferenceIndexId, true, NULL, 2, key);
	while (!result && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(tuple);

		/* privileges in another database can't be read from here */
		if (form->deptype != SHARED_DEPENDENCY_ACL ||
			(OidIsValid(form->dbid) && form->dbid != MyDatabaseId))
			result = true;
		else
			result = jit_object_aclmask(form->classid, form->objid,
										form->objsubid, list_make1_oid(roleid),
										ALL_GRANT_OPTIONS) != 0;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	memlist = SearchSysCacheList1(AUTHMEMMEMROLE, ObjectIdGetDatum(roleid));
	for (int i = 0; i < memlist->n_members; i++)
		result |= ((Form_pg_auth_members) GETSTRUCT(&memlist->members[i]->tuple))->admin_option;
	ReleaseSysCacheList(memlist);
	return result;
}

/*
 * Why one of the approvers has to be a superuser, NULL if that isn't so: an
 * allow-list, for everything that isn't known to be harmless leads further
 * than it says.
 */
const char *
jit_item_needs_superuser(const JitItem *item)
{
	ListCell   *lc;

	switch (item->objtype)
	{
		case OBJECT_TABLE:
		case OBJECT_SEQUENCE:
			if (item->privs & (ACL_TRIGGER | ACL_REFERENCES | JIT_ACL_MAINTAIN))
				return _("It is more than reading and writing rows.");
			return NULL;
		case OBJECT_SCHEMA:
			return (item->privs & ~ACL_USAGE) ? _("It allows creating objects.") : NULL;
		case OBJECT_DATABASE:
			return (item->privs & ~(ACL_CONNECT | ACL_CREATE_TEMP)) ?
				_("It allows creating schemas.") : NULL;
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
			return IsCatalogNamespace(get_func_namespace(item->address.objectId)) ?
				_("It is a function of the system.") : NULL;
		case OBJECT_ROLE:
			foreach(lc, jit_role_closure(item->address.objectId, JIT_CLOSURE_MEMBERS,
										 JIT_FILTER_NONE, jit_now()))
			{
				Oid			role = lfirst_oid(lc);
				HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
				Form_pg_authid form;
				bool		special;

				if (!HeapTupleIsValid(tuple))
					return _("Its memberships are changing.");
				form = (Form_pg_authid) GETSTRUCT(tuple);
				special = form->rolsuper || form->rolcreaterole || form->rolcreatedb ||
					form->rolreplication || form->rolbypassrls ||
					IsReservedName(NameStr(form->rolname));
				ReleaseSysCache(tuple);
				if (special)
					return _("The role, or one that it is a member of, has special attributes or is predefined.");
				if (role_has_authority(role))
					return _("The role, or one that it is a member of, owns something, has privileges in another database, or holds a grant or admin option.");
			}
			return NULL;
		default:
			return _("It is not about data.");
	}
}

/* Bits of the item that the closure has, for all of its columns. */
static bool
item_permitted(const JitItem *item, List *closure, AclMode mask)
{
	ListCell   *lc;

	if (!OidIsValid(item->address.objectId))
		return superuser_arg(linitial_oid(closure));
	mask &= ~jit_object_aclmask(item->address.classId, item->address.objectId,
								0, closure, mask);
	if (mask != 0 && item->attnums == NIL)
		return false;
	foreach(lc, item->attnums)
	{
		if (mask & ~jit_object_aclmask(item->address.classId,
									   item->address.objectId,
									   lfirst_int(lc), closure, mask))
			return false;
	}
	return true;
}

/*
 * Could the role run this GRANT itself, by standing authority?  On 15 that
 * asks for more than PostgreSQL does for roles: CREATEROLE alone isn't enough.
 */
bool
jit_item_grantable(const JitItem *item, Oid roleid)
{
	if (superuser_arg(roleid))
		return true;
	if (item->objtype == OBJECT_ROLE)
		return jit_holds_admin(roleid, item->address.objectId);
	return item_permitted(item,
						  jit_role_closure(roleid, JIT_CLOSURE_PRIVS,
										   JIT_FILTER_STANDING, jit_now()),
						  ACL_GRANT_OPTION_FOR(item->privs));
}

/*
 * Has the grantee all of it already, under the filter?  With JIT_FILTER_LIVE,
 * through access that lasts longer than until.
 */
bool
jit_item_held(const JitItem *item, Oid grantee, JitClosureFilter filter,
			  TimestampTz until)
{
	if (superuser_arg(grantee))
		return true;
	if (item->objtype == OBJECT_ROLE)
		return list_member_oid(jit_role_closure(grantee, JIT_CLOSURE_SET, filter,
												until),
							   item->address.objectId);
	return item_permitted(item,
						  jit_role_closure(grantee, JIT_CLOSURE_PRIVS, filter,
										   until),
						  item->privs);
}

/*
 * Name of the role through which the grantee has the whole item, NULL if that
 * is PUBLIC, several roles, or temporary access.
 */
char *
jit_item_source(const JitItem *item, Oid grantee)
{
	ListCell   *lc;

	foreach(lc, jit_role_closure(grantee, JIT_CLOSURE_PRIVS,
								 JIT_FILTER_STANDING, jit_now()))
	{
		Oid			role = lfirst_oid(lc);

		if (item->objtype == OBJECT_ROLE ? role == item->address.objectId :
			item_permitted(item, list_make1_oid(role), item->privs))
			return jit_role_name(role);
	}
	return NULL;
}

/* ----------------------------------------------------------------------
 * Items to text
 * ----------------------------------------------------------------------
 */

/* "SELECT, UPDATE" */
char *
jit_privileges_text(AclMode privs)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (size_t i = 0; i < lengthof(privileges); i++)
	{
		if (privileges[i].bit & privs)
		{
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "", privileges[i].name);
			privs &= ~privileges[i].bit;
		}
	}
	return buf.data;
}

/* The object as GRANT writes it, without its kind: "hr.salary". */
char *
jit_item_object(const JitItem *item)
{
	Oid			oid = item->address.objectId;

	switch (item->objtype)
	{
		case OBJECT_TABLE:
		case OBJECT_SEQUENCE:
			return quote_qualified_identifier(get_namespace_name(get_rel_namespace(oid)),
											  get_rel_name(oid));
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
			return format_procedure_qualified(oid);
		case OBJECT_TYPE:
			return format_type_extended(oid, -1, FORMAT_TYPE_FORCE_QUALIFY);
		case OBJECT_LARGEOBJECT:
			return psprintf("%u", oid);
		case OBJECT_PARAMETER_ACL:
			return pstrdup(item->parameter);
		case OBJECT_ROLE:
			return pstrdup(quote_identifier(jit_role_name(oid)));
		case OBJECT_SCHEMA:
			return pstrdup(quote_identifier(get_namespace_name(oid)));
		case OBJECT_DATABASE:
			return pstrdup(quote_identifier(get_database_name(oid)));
		case OBJECT_LANGUAGE:
			return pstrdup(quote_identifier(get_language_name(oid, false)));
		case OBJECT_TABLESPACE:
			return pstrdup(quote_identifier(get_tablespace_name(oid)));
		case OBJECT_FDW:
			return pstrdup(quote_identifier(GetForeignDataWrapper(oid)->fdwname));
		case OBJECT_FOREIGN_SERVER:
			return pstrdup(quote_identifier(GetForeignServer(oid)->servername));
		default:
			elog(ERROR, "unexpected object type %d", (int) item->objtype);
			return NULL;		/* keep the compiler quiet */
	}
}

/* "SELECT (a, b) ON " or "" for a role: what stands before the object. */
static char *
item_prefix(const JitItem *item)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	if (item->objtype == OBJECT_ROLE)
		return buf.data;
	for (size_t i = 0; i < lengthof(privileges); i++)
	{
		/* every privilege of a column item has its column list */
		if (!(privileges[i].bit & item->privs) ||
			strcmp(privileges[i].name, "TEMP") == 0)
			continue;
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "", privileges[i].name);
		foreach(lc, item->attnums)
			appendStringInfo(&buf, "%s%s%s", lc == list_head(item->attnums) ? " (" : ", ",
							 quote_identifier(get_attname(item->address.objectId, lfirst_int(lc), false)),
							 lnext(item->attnums, lc) ? "" : ")");
	}
	appendStringInfoString(&buf, " ON ");
	if (item->objtype != OBJECT_TABLE)
		appendStringInfo(&buf, "%s ", kind_of(item->objtype)->keyword);
	return buf.data;
}

/* "SELECT (emp_no, amount) ON hr.salary", "hr_reader" */
char *
jit_item_text(const JitItem *item)
{
	return psprintf("%s%s", item_prefix(item), jit_item_object(item));
}

/*
 * All items in as few clauses as their order allows: "SELECT ON hr.employee,
 * hr.title; hr_reader".  Without added items it reads back as the same items.
 */
char *
jit_items_text(List *items, bool with_added)
{
	StringInfoData buf;
	char	   *last = NULL;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, items)
	{
		JitItem    *item = lfirst(lc);
		char	   *prefix = item_prefix(item);

		if (item->added && !with_added)
			continue;
		if (last != NULL && strcmp(last, prefix) == 0)
			appendStringInfo(&buf, ", %s", jit_item_object(item));
		else
			appendStringInfo(&buf, "%s%s%s", buf.len > 0 ? "; " : "", prefix,
							 jit_item_object(item));
		last = prefix;
		if (item->added)
		{
			appendStringInfoString(&buf, " (added)");
			last = NULL;
		}
	}
	return buf.data;
}

/* ----------------------------------------------------------------------
 * Locks, GRANT statements
 * ----------------------------------------------------------------------
 */

static bool
item_exists(const JitItem *item)
{
	ListCell   *lc;

	if (item->objtype == OBJECT_PARAMETER_ACL)
		return true;			/* GRANT makes the row */
	if (item->objtype == OBJECT_ROLE)
		return SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(item->address.objectId));
	if (!OidIsValid(jit_object_owner(item->address.classId, item->address.objectId)))
		return false;
	foreach(lc, item->attnums)
	{
		if (get_attname(item->address.objectId, lfirst_int(lc), true) == NULL)
			return false;
	}
	return true;
}

static int
compare_items(const ListCell *a, const ListCell *b)
{
	const JitItem *x = lfirst(a);
	const JitItem *y = lfirst(b);

	if (x->address.classId != y->address.classId)
		return x->address.classId < y->address.classId ? -1 : 1;
	if (x->address.objectId != y->address.objectId)
		return x->address.objectId < y->address.objectId ? -1 : 1;
	return 0;
}

/*
 * Lock the objects, in the order of their OIDs, until the end of the
 * transaction: against being dropped or renamed, and against a second
 * approval writing the same ACL.  Raises if one is gone.
 */
void
jit_lock_items(List *items)
{
	List	   *sorted = list_copy(items);
	ListCell   *lc;

	list_sort(sorted, compare_items);
	foreach(lc, sorted)
	{
		JitItem    *item = lfirst(lc);
		Oid			classid = item->address.classId;
		Oid			objid = item->address.objectId;

		if (item->objtype == OBJECT_ROLE)
			LockSharedObject(classid, objid, 0, AccessShareLock);
		else if (IsSharedRelation(classid))
			LockSharedObject(classid, objid, 0, ShareUpdateExclusiveLock);
		else
		{
			if (classid == RelationRelationId)
				LockRelationOid(objid, AccessShareLock);
			LockDatabaseObject(classid, objid, 0, ShareUpdateExclusiveLock);
		}
		if (!item_exists(item))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("an object of the request was dropped meanwhile"),
					 errhint("Reject it with jit_reject(); it can be requested anew.")));
	}
}

/*
 * The GRANT of an item to a role, for ExecuteGrantStmt().  By name, because
 * that is what it takes: the caller holds the locks of jit_lock_items(), and
 * checks by OID what came of it.
 */
GrantStmt *
jit_item_grant_stmt(const JitItem *item, const char *rolename)
{
	GrantStmt  *stmt = makeNode(GrantStmt);
	RoleSpec   *role = makeNode(RoleSpec);
	Oid			oid = item->address.objectId;
	Node	   *object;
	List	   *columns = NIL;
	ListCell   *lc;

	switch (item->objtype)
	{
		case OBJECT_TABLE:
		case OBJECT_SEQUENCE:
			object = (Node *) makeRangeVar(get_namespace_name(get_rel_namespace(oid)),
										   get_rel_name(oid), -1);
			break;
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
			{
				ObjectWithArgs *func = makeNode(ObjectWithArgs);
				Oid		   *argtypes;
				int			nargs;

				func->objname = list_make2(makeString(get_namespace_name(get_func_namespace(oid))),
										   makeString(get_func_name(oid)));
				(void) get_func_signature(oid, &argtypes, &nargs);
				for (int i = 0; i < nargs; i++)
					func->objargs = lappend(func->objargs,
											makeTypeNameFromOid(argtypes[i], -1));
				object = (Node *) func;
				break;
			}
		case OBJECT_TYPE:
			{
				HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(oid));
				Form_pg_type form;

				if (!HeapTupleIsValid(tuple))
					elog(ERROR, "cache lookup failed for type %u", oid);
				form = (Form_pg_type) GETSTRUCT(tuple);
				object = (Node *) list_make2(makeString(get_namespace_name(form->typnamespace)),
											 makeString(pstrdup(NameStr(form->typname))));
				ReleaseSysCache(tuple);
				break;
			}
		case OBJECT_LARGEOBJECT:
			object = (Node *) makeFloat(psprintf("%u", oid));
			break;
		case OBJECT_PARAMETER_ACL:
			object = (Node *) makeString(item->parameter);
			break;
		case OBJECT_SCHEMA:
			object = (Node *) makeString(get_namespace_name(oid));
			break;
		case OBJECT_DATABASE:
			object = (Node *) makeString(get_database_name(oid));
			break;
		case OBJECT_LANGUAGE:
			object = (Node *) makeString(get_language_name(oid, false));
			break;
		case OBJECT_TABLESPACE:
			object = (Node *) makeString(get_tablespace_name(oid));
			break;
		case OBJECT_FDW:
			object = (Node *) makeString(GetForeignDataWrapper(oid)->fdwname);
			break;
		case OBJECT_FOREIGN_SERVER:
			object = (Node *) makeString(GetForeignServer(oid)->servername);
			break;
		default:
			elog(ERROR, "unexpected object type %d", (int) item->objtype);
	}

	foreach(lc, item->attnums)
		columns = lappend(columns, makeString(get_attname(oid, lfirst_int(lc), false)));

	stmt->is_grant = true;
	stmt->targtype = ACL_TARGET_OBJECT;
	stmt->objtype = item->objtype;
	stmt->objects = list_make1(object);
	for (size_t i = 0; i < lengthof(privileges); i++)
	{
		if ((privileges[i].bit & item->privs) && strcmp(privileges[i].name, "TEMP") != 0)
		{
			AccessPriv *priv = makeNode(AccessPriv);

			/* ExecuteGrantStmt() knows them in lower case, as the grammar does */
			priv->priv_name = asc_tolower(privileges[i].name, strlen(privileges[i].name));
			priv->cols = columns;
			stmt->privileges = lappend(stmt->privileges, priv);
		}
	}
	role->roletype = ROLESPEC_CSTRING;
	role->rolename = pstrdup(rolename);
	role->location = -1;
	stmt->grantees = list_make1(role);
	stmt->behavior = DROP_RESTRICT;
	return stmt;
}

/* ----------------------------------------------------------------------
 * Rows of jit.request_items
 * ----------------------------------------------------------------------
 */

static Datum
text_array(List *strings)
{
	Datum	   *values = palloc(list_length(strings) * sizeof(Datum));
	ListCell   *lc;

	foreach(lc, strings)
		values[foreach_current_index(lc)] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(values, list_length(strings),
										   TEXTOID, -1, false, TYPALIGN_INT));
}

/* Write the items of a request.  Inside an owner section. */
void
jit_store_items(int request, List *items)
{
	ListCell   *lc;

	foreach(lc, items)
	{
		JitItem    *item = lfirst(lc);
		const char *keyword = kind_of(item->objtype)->keyword;
		char	   *type;
		List	   *names = NIL;
		List	   *args = NIL;
		List	   *privs = NIL;
		List	   *columns = NIL;
		Datum	   *attnums = palloc(list_length(item->attnums) * sizeof(Datum));
		Oid			owner = InvalidOid;
		ListCell   *la;

		if (item->objtype == OBJECT_PARAMETER_ACL)
		{
			type = pstrdup("parameter ACL");
			names = list_make1(item->parameter);
		}
		else
		{
			type = getObjectTypeDescription(&item->address, false);
			(void) getObjectIdentityParts(&item->address, &names, &args, false);
			if (item->objtype != OBJECT_ROLE)
				owner = jit_object_owner(item->address.classId, item->address.objectId);
		}
		for (size_t i = 0; i < lengthof(privileges); i++)
		{
			if ((privileges[i].bit & item->privs) && strcmp(privileges[i].name, "TEMP") != 0)
				privs = lappend(privs, unconstify(char *, privileges[i].name));
		}
		foreach(la, item->attnums)
		{
			columns = lappend(columns, get_attname(item->address.objectId, lfirst_int(la), false));
			attnums[foreach_current_index(la)] = Int16GetDatum(lfirst_int(la));
		}

		jit_query("INSERT INTO jit.request_items (request_id, item, object_type, object, privileges, columns,"
				  " added, owner, classid, objid, attnums, address_type, address_names, address_args)"
				  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
				  14,
				  INT4OID, Int32GetDatum(request), false,
				  INT4OID, Int32GetDatum(foreach_current_index(lc) + 1), false,
				  TEXTOID, CStringGetTextDatum(asc_tolower(keyword, strlen(keyword))), false,
				  TEXTOID, CStringGetTextDatum(jit_item_object(item)), false,
				  TEXTARRAYOID, text_array(privs), false,
				  TEXTARRAYOID, text_array(columns), columns == NIL,
				  BOOLOID, BoolGetDatum(item->added), false,
				  TEXTOID, OidIsValid(owner) ? CStringGetTextDatum(jit_role_name(owner)) : (Datum) 0, !OidIsValid(owner),
				  OIDOID, ObjectIdGetDatum(item->address.classId), false,
				  OIDOID, ObjectIdGetDatum(item->address.objectId), false,
				  INT2ARRAYOID, PointerGetDatum(construct_array(attnums, list_length(item->attnums), INT2OID, 2, true, TYPALIGN_SHORT)), item->attnums == NIL,
				  TEXTOID, CStringGetTextDatum(type), false,
				  TEXTARRAYOID, text_array(names), false,
				  TEXTARRAYOID, text_array(args), false);
	}
}

static List *
array_strings(Datum array)
{
	Datum	   *values;
	int			n;
	List	   *result = NIL;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  &values, NULL, &n);
	for (int i = 0; i < n; i++)
		result = lappend(result, TextDatumGetCString(values[i]));
	return result;
}

/*
 * Read the items of a request, in the current memory context; inside an
 * owner section.  resolve_names is for rows that came by restore: their OIDs
 * are another cluster's.  Raises if an object is gone.
 */
List *
jit_load_items(int request, bool resolve_names)
{
	SPITupleTable *rows;
	int			n;
	List	   *items = NIL;

	n = jit_query("SELECT object_type, object, privileges, columns, added, classid, objid,"
				  " address_type, address_names, address_args, attnums"
				  " FROM jit.request_items WHERE request_id = $1 ORDER BY item",
				  1, INT4OID, Int32GetDatum(request), false);
	rows = SPI_tuptable;
	for (int i = 0; i < n; i++)
	{
		HeapTuple	row = rows->vals[i];
		JitItem    *item = palloc0(sizeof(JitItem));
		char	   *keyword = SPI_getvalue(row, rows->tupdesc, 1);
		bool		isnull;
		bool		there = true;
		ListCell   *lc;
		Datum		columns;

		item->objtype = OBJECT_ROLE;
		for (size_t k = 0; k < lengthof(kinds); k++)
		{
			if (pg_strcasecmp(kinds[k].keyword, keyword) == 0)
				item->objtype = kinds[k].objtype;
		}
		foreach(lc, array_strings(SPI_getbinval(row, rows->tupdesc, 3, &isnull)))
			item->privs |= privilege_bit(lfirst(lc));
		item->added = DatumGetBool(SPI_getbinval(row, rows->tupdesc, 5, &isnull));
		ObjectAddressSet(item->address,
						 DatumGetObjectId(SPI_getbinval(row, rows->tupdesc, 6, &isnull)),
						 DatumGetObjectId(SPI_getbinval(row, rows->tupdesc, 7, &isnull)));

		if (item->objtype == OBJECT_PARAMETER_ACL)
		{
			item->parameter = SPI_getvalue(row, rows->tupdesc, 2);
			item->address.objectId = ParameterAclLookup(item->parameter, true);
		}
		else if (resolve_names)
		{
			Datum		address_type = SPI_getbinval(row, rows->tupdesc, 8, &isnull);
			Datum		address_names = SPI_getbinval(row, rows->tupdesc, 9, &isnull);
			Datum		address_args = SPI_getbinval(row, rows->tupdesc, 10, &isnull);

			/* raises if it isn't there */
			jit_query("SELECT classid, objid FROM pg_get_object_address($1, $2, $3)", 3,
					  TEXTOID, address_type, false,
					  TEXTARRAYOID, address_names, false,
					  TEXTARRAYOID, address_args, false);
			ObjectAddressSet(item->address,
							 DatumGetObjectId(jit_result(1, 1, &isnull)),
							 DatumGetObjectId(jit_result(1, 2, &isnull)));
		}

		columns = SPI_getbinval(row, rows->tupdesc, resolve_names ? 4 : 11, &isnull);
		if (!isnull && resolve_names)
		{
			foreach(lc, array_strings(columns))
			{
				AttrNumber	attnum = get_attnum(item->address.objectId, lfirst(lc));

				there &= attnum > 0;
				item->attnums = lappend_int(item->attnums, attnum);
			}
			list_sort(item->attnums, list_int_cmp);
		}
		else if (!isnull)
		{
			Datum	   *values;
			int			nvalues;

			deconstruct_array(DatumGetArrayTypeP(columns), INT2OID, 2, true,
							  TYPALIGN_SHORT, &values, NULL, &nvalues);
			for (int k = 0; k < nvalues; k++)
				item->attnums = lappend_int(item->attnums, DatumGetInt16(values[k]));
		}

		if (!there || !item_exists(item))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("%s %s, which request %d in %s is for, does not exist any more",
							keyword, SPI_getvalue(row, rows->tupdesc, 2), request,
							quote_identifier(jit_database_name())),
					 errhint("It has to be requested anew; a new object of that name is not what was asked for.")));
		items = lappend(items, item);
	}
	return items;
}
