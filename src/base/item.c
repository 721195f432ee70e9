/*-------------------------------------------------------------------------
 *
 * item.c
 *		One object or role: its kind, its text, who has it, who may hand it out.
 *
 * An item is one object with one set of privileges and columns, or one role,
 * by OID.  What is shown, stored and approved is deparsed from the OIDs, never
 * the text that somebody wrote.
 *
 * This room knows of each item who could grant it, whether somebody has it
 * anyway, and whether a superuser must be among those who agree.  It gives
 * and takes nothing: grant.c does.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/clock.h"
#include "base/item.h"
#include "base/lock.h"
#include "base/text.h"

#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_default_acl.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_language.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_parameter_acl.h"
#include "catalog/pg_shdepend.h"
#include "catalog/pg_tablespace.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/catcache.h"
#include "utils/formatting.h"

#define MAX_ITEMS_SHOWN 5

#define DATA_PRIVILEGES \
	(ACL_SELECT | ACL_INSERT | ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE)

/* Privileges in the order in which we write them. */
const JitPrivilegeName jit_privilege_names[JIT_N_PRIVILEGES] =
{
	{"SELECT", ACL_SELECT},
	{"INSERT", ACL_INSERT},
	{"UPDATE", ACL_UPDATE},
	{"DELETE", ACL_DELETE},
	{"TRUNCATE", ACL_TRUNCATE},
	{"REFERENCES", ACL_REFERENCES},
	{"TRIGGER", ACL_TRIGGER},
	{"MAINTAIN", JIT_ACL_MAINTAIN},
	{"CREATE", ACL_CREATE},
	{"CONNECT", ACL_CONNECT},
	{"TEMPORARY", ACL_CREATE_TEMP},
	{"TEMP", ACL_CREATE_TEMP},
	{"EXECUTE", ACL_EXECUTE},
	{"USAGE", ACL_USAGE},
	{"SET", ACL_SET},
	{"ALTER SYSTEM", ACL_ALTER_SYSTEM}
};

static const JitObjectKind object_kinds[] =
{
	{OBJECT_TABLE, RelationRelationId, "TABLE",
	ACL_ALL_RIGHTS_RELATION, DATA_PRIVILEGES},
	{OBJECT_SEQUENCE, RelationRelationId, "SEQUENCE",
	ACL_ALL_RIGHTS_SEQUENCE, ACL_ALL_RIGHTS_SEQUENCE},
	{OBJECT_DATABASE, DatabaseRelationId, "DATABASE",
	ACL_ALL_RIGHTS_DATABASE, ACL_CONNECT | ACL_CREATE_TEMP},
	{OBJECT_SCHEMA, NamespaceRelationId, "SCHEMA",
	ACL_ALL_RIGHTS_SCHEMA, ACL_USAGE},
	{OBJECT_FUNCTION, ProcedureRelationId, "FUNCTION",
	ACL_ALL_RIGHTS_FUNCTION, ACL_EXECUTE},
	{OBJECT_PROCEDURE, ProcedureRelationId, "PROCEDURE",
	ACL_ALL_RIGHTS_FUNCTION, ACL_EXECUTE},
	{OBJECT_DOMAIN, TypeRelationId, "DOMAIN", ACL_ALL_RIGHTS_TYPE, 0},
	{OBJECT_TYPE, TypeRelationId, "TYPE", ACL_ALL_RIGHTS_TYPE, 0},
	{OBJECT_LANGUAGE, LanguageRelationId, "LANGUAGE",
	ACL_ALL_RIGHTS_LANGUAGE, 0},
	{OBJECT_FDW, ForeignDataWrapperRelationId, "FOREIGN DATA WRAPPER",
	ACL_ALL_RIGHTS_FDW, 0},
	{OBJECT_FOREIGN_SERVER, ForeignServerRelationId, "FOREIGN SERVER",
	ACL_ALL_RIGHTS_FOREIGN_SERVER, 0},
	{OBJECT_TABLESPACE, TableSpaceRelationId, "TABLESPACE",
	ACL_ALL_RIGHTS_TABLESPACE, 0},
	{OBJECT_LARGEOBJECT, LargeObjectRelationId, "LARGE OBJECT",
	ACL_ALL_RIGHTS_LARGEOBJECT, 0},
	{OBJECT_PARAMETER_ACL, ParameterAclRelationId, "PARAMETER",
	ACL_ALL_RIGHTS_PARAMETER_ACL, 0},
	{OBJECT_ROLE, AuthIdRelationId, "ROLE", 0, 0}
};

#define N_KINDS ((int) lengthof(object_kinds))

/* ----------------------------------------------------------------------
 * Kinds and privileges
 * ----------------------------------------------------------------------
 */

/* The kind that an object really is, whatever word GRANT was used with. */
ObjectType
jit_objtype_of(Oid classid, Oid objid, ObjectType objtype)
{
	if (classid == RelationRelationId)
		return get_rel_relkind(objid) == RELKIND_SEQUENCE ?
			OBJECT_SEQUENCE : OBJECT_TABLE;
	if (classid == ProcedureRelationId)
		return get_func_prokind(objid) == PROKIND_PROCEDURE ?
			OBJECT_PROCEDURE : OBJECT_FUNCTION;
	if (classid == TypeRelationId)
		return get_typtype(objid) == TYPTYPE_DOMAIN ?
			OBJECT_DOMAIN : OBJECT_TYPE;
	return objtype;
}

const JitObjectKind *
jit_kind_of(ObjectType objtype)
{
	/* ROUTINE is a function or a procedure; they are alike in all we ask */
	if (objtype == OBJECT_ROUTINE)
		objtype = OBJECT_FUNCTION;
	for (int i = 0; i < N_KINDS; i++)
	{
		if (object_kinds[i].objtype == objtype)
			return &object_kinds[i];
	}
	elog(ERROR, "unrecognized object type: %d", (int) objtype);
	return NULL;				/* keep the compiler quiet */
}

/* The kind that jit_kind_text() wrote. */
const JitObjectKind *
jit_kind_by_words(const char *words)
{
	for (int i = 0; i < N_KINDS; i++)
	{
		if (pg_strcasecmp(words, object_kinds[i].words) == 0)
			return &object_kinds[i];
	}
	elog(ERROR, "unrecognized object type in jit.request_items: %s", words);
	return NULL;				/* keep the compiler quiet */
}

/* "foreign server": the words of GRANT in lower case, as we store them. */
char *
jit_kind_text(ObjectType objtype)
{
	const char *words = jit_kind_of(objtype)->words;

	return asc_tolower(words, strlen(words));
}

/* A privilege by its name.  Mirrors string_to_privilege(). */
AclMode
jit_privilege_by_name(const char *name)
{
	for (int i = 0; i < JIT_N_PRIVILEGES; i++)
	{
		if (pg_strcasecmp(name, jit_privilege_names[i].name) == 0 &&
			jit_privilege_names[i].priv != 0)
			return jit_privilege_names[i].priv;
	}
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("unrecognized privilege type \"%s\"", name)));
	return 0;					/* keep the compiler quiet */
}

/*
 * What ALL ... IN SCHEMA stands for at this moment.  Mirrors
 * objectsInSchemaToOids(), but needs no USAGE.  An index brings them in the
 * order of names, so what is shown doesn't depend on the heap.
 */
List *
jit_objects_in_schema(ObjectType objtype, Oid namespace)
{
	bool		relations = objtype == OBJECT_TABLE || objtype == OBJECT_SEQUENCE;
	JitScan		scan;
	HeapTuple	tuple;
	List	   *oids = NIL;

	if (relations)
		jit_begin_scan(&scan, RelationRelationId, ClassNameNspIndexId, NULL,
					   1, Anum_pg_class_relnamespace, namespace);
	else
		jit_begin_scan(&scan, ProcedureRelationId, ProcedureNameArgsNspIndexId,
					   NULL, 1, Anum_pg_proc_pronamespace, namespace);
	while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		if (relations)
		{
			Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

			switch (form->relkind)
			{
				case RELKIND_RELATION:
				case RELKIND_VIEW:
				case RELKIND_MATVIEW:
				case RELKIND_FOREIGN_TABLE:
				case RELKIND_PARTITIONED_TABLE:
					if (objtype == OBJECT_TABLE)
						oids = lappend_oid(oids, form->oid);
					break;
				case RELKIND_SEQUENCE:
					if (objtype == OBJECT_SEQUENCE)
						oids = lappend_oid(oids, form->oid);
					break;
			}
		}
		else
		{
			Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);

			if (objtype == OBJECT_ROUTINE ||
				(objtype == OBJECT_PROCEDURE) == (form->prokind == PROKIND_PROCEDURE))
				oids = lappend_oid(oids, form->oid);
		}
	}
	jit_end_scan(&scan);
	return oids;
}

/* ----------------------------------------------------------------------
 * Items to text
 * ----------------------------------------------------------------------
 */

/* Schema that an item's object is in; InvalidOid if its kind has none. */
Oid
jit_item_namespace(const JitItem *item)
{
	return jit_cached_namespace(item->address.classId, item->address.objectId);
}

/* Privileges as a list of strings, in the words and the order of GRANT. */
List *
jit_privilege_list(AclMode privs)
{
	List	   *list = NIL;

	for (int i = 0; i < JIT_N_PRIVILEGES; i++)
	{
		if (privs & jit_privilege_names[i].priv)
			list = lappend(list, pstrdup(jit_privilege_names[i].name));
		privs &= ~jit_privilege_names[i].priv;
	}
	return list;
}

/* The same as "SELECT, UPDATE". */
char *
jit_privileges_text(AclMode privs)
{
	return jit_join(jit_privilege_list(privs), ", ");
}

/* The name of something that the items' owner could drop any moment. */
const char *
jit_need_name(const char *name, const JitItem *item)
{
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 item->filed_as ?
				 errmsg("%s %s has been dropped", _(jit_kind_text(item->objtype)), item->filed_as) :
				 errmsg("an object that is asked for has just been dropped"),
				 errhint("File a new request.")));
	return name;
}

/*
 * A type as an argument of a function.  What is in pg_catalog is written as
 * everybody does, whatever the search_path finds.  Mirrors
 * format_type_extended() in what is an array.
 */
static char *
type_text(const JitItem *item, Oid typid)
{
	Oid			element = get_element_type(typid);
	Oid			namespace = jit_cached_namespace(TypeRelationId, typid);
	const char *name;
	char	   *text;

	if (OidIsValid(element) && get_typstorage(typid) != TYPSTORAGE_PLAIN)
		return psprintf("%s[]", type_text(item, element));
	name = jit_need_name(jit_cached_name(TypeRelationId, typid), item);
	if (namespace != PG_CATALOG_NAMESPACE)
		return quote_qualified_identifier(jit_need_name(get_namespace_name(namespace), item), name);
	/* some have names of the SQL standard's, which have no schema */
	text = format_type_be_qualified(typid);
	return strchr(text, '.') == NULL ? text : pstrdup(quote_identifier(name));
}

/* "hr.raise(integer)"; mirrors format_procedure_qualified(). */
static char *
function_text(const JitItem *item)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID,
										ObjectIdGetDatum(item->address.objectId));
	Form_pg_proc form;
	StringInfoData buf;

	(void) jit_need_name(HeapTupleIsValid(tuple) ? "" : NULL, item);
	form = (Form_pg_proc) GETSTRUCT(tuple);
	initStringInfo(&buf);
	appendStringInfo(&buf, "%s(",
					 quote_qualified_identifier(jit_need_name(get_namespace_name(form->pronamespace), item),
												NameStr(form->proname)));
	for (int i = 0; i < form->pronargs; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 type_text(item, form->proargtypes.values[i]));
	appendStringInfoChar(&buf, ')');
	ReleaseSysCache(tuple);
	return buf.data;
}

/* A parameter's name, each of its parts quoted where needed. */
static char *
parameter_text(const char *parameter)
{
	StringInfoData buf;
	char	   *part = pstrdup(parameter);
	char	   *dot;

	initStringInfo(&buf);
	while ((dot = strchr(part, '.')) != NULL)
	{
		*dot = '\0';
		appendStringInfo(&buf, "%s.", quote_identifier(part));
		part = dot + 1;
	}
	appendStringInfoString(&buf, quote_identifier(part));
	return buf.data;
}

/* Name of the item's object, neither qualified nor quoted; NULL if it is gone. */
char *
jit_item_name(const JitItem *item)
{
	Oid			objid = item->address.objectId;

	if (item->objtype == OBJECT_LARGEOBJECT)
		return LargeObjectExists(objid) ? psprintf("%u", objid) : NULL;
	if (item->objtype == OBJECT_PARAMETER_ACL)
		return item->parameter;
	return jit_cached_name(item->address.classId, objid);
}

/* The object, schema-qualified and quoted: hr.salary, hr.raise(integer). */
char *
jit_item_object(const JitItem *item)
{
	Oid			namespace = jit_item_namespace(item);
	const char *name = jit_need_name(jit_item_name(item), item);

	if (item->address.classId == ProcedureRelationId)
		return function_text(item);
	if (item->objtype == OBJECT_PARAMETER_ACL)
		return parameter_text(item->parameter);
	if (item->objtype == OBJECT_LARGEOBJECT)
		return pstrdup(name);
	if (OidIsValid(namespace))
		return quote_qualified_identifier(jit_need_name(get_namespace_name(namespace), item),
										  name);
	return pstrdup(quote_identifier(name));
}

/* Name of a column; NULL if it is gone, which get_attname() doesn't say. */
char *
jit_column_name(Oid relid, AttrNumber attnum)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
										Int16GetDatum(attnum));
	char	   *name = NULL;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_attribute form = (Form_pg_attribute) GETSTRUCT(tuple);

		if (!form->attisdropped)
			name = pstrdup(NameStr(form->attname));
		ReleaseSysCache(tuple);
	}
	return name;
}

/* "emp_no, amount": the columns of an item, quoted. */
static char *
columns_text(const JitItem *item)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, item->attnums)
		names = lappend(names, (char *)
						quote_identifier(jit_need_name(jit_column_name(item->address.objectId,
																	   lfirst_int(lc)),
													   item)));
	return jit_join(names, ", ");
}

/* What comes before the object: "SELECT (emp_no, amount) ON ". */
static char *
head_text(const JitItem *item)
{
	List	   *clauses = jit_privilege_list(item->privs);
	ListCell   *lc;

	if (item->objtype == OBJECT_ROLE)
		return pstrdup("");
	/* each privilege has its own list of columns */
	foreach(lc, item->attnums != NIL ? clauses : NIL)
		lfirst(lc) = psprintf("%s (%s)", (char *) lfirst(lc), columns_text(item));
	return psprintf("%s ON %s%s", jit_join(clauses, ", "),
					item->objtype != OBJECT_TABLE ? jit_kind_of(item->objtype)->words : "",
					item->objtype != OBJECT_TABLE ? " " : "");
}

/* One item as a clause: SELECT (emp_no, amount) ON hr.salary. */
char *
jit_item_text(const JitItem *item)
{
	return psprintf("%s%s", head_text(item), jit_item_object(item));
}

/*
 * Items as an access text that reads back to the same: consecutive ones that
 * differ in nothing but the object share a clause.  With with_added what we
 * added comes last and says so; without, it is left out.
 */
char *
jit_items_text(List *items, bool with_added)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	for (int added = 0; added <= (with_added ? 1 : 0); added++)
	{
		char	   *last = NULL;

		foreach(lc, items)
		{
			JitItem    *item = lfirst(lc);
			char	   *head;

			if (item->added != (added == 1))
				continue;
			head = head_text(item);
			if (last != NULL && strcmp(head, last) == 0)
				appendStringInfo(&buf, ", %s", jit_item_object(item));
			else
			{
				appendStringInfo(&buf, "%s%s%s", buf.len > 0 ? "; " : "", head,
								 jit_item_object(item));
				last = head;
			}
		}
		if (added == 1 && last != NULL)
			appendStringInfoString(&buf, _(" (added)"));
	}
	return buf.data;
}

/*
 * Items as jit_items_text(), what we added aside; of many, the first.
 */
char *
jit_few_items_text(List *items)
{
	List	   *few = NIL;
	int			more = 0;
	ListCell   *lc;

	foreach(lc, items)
	{
		JitItem    *item = lfirst(lc);

		if (item->added)
			continue;
		if (list_length(few) < MAX_ITEMS_SHOWN)
			few = lappend(few, item);
		else
			more++;
	}
	return more == 0 ? jit_items_text(few, false) :
		psprintf(_("%s and %d more"), jit_items_text(few, false), more);
}

/* ----------------------------------------------------------------------
 * Who could grant it, who has it
 * ----------------------------------------------------------------------
 */

/* Where the item's ACL is: a parameter may have got an OID only since. */
Oid
jit_item_acl_objid(const JitItem *item)
{
	if (item->objtype == OBJECT_PARAMETER_ACL)
		return ParameterAclLookup(item->parameter, true);
	return item->address.objectId;
}

/*
 * Does the closure have all that the item is for, or the grant options for
 * it?  A privilege on the whole table covers each of its columns.
 */
static bool
closure_covers(const JitItem *item, List *closure, bool grant_options)
{
	AclMode		missing = grant_options ?
	ACL_GRANT_OPTION_FOR(item->privs) : item->privs;
	Oid			objid = jit_item_acl_objid(item);
	ListCell   *lc;

	missing &= ~jit_object_aclmask(item->address.classId, objid, 0, closure,
								   missing);
	if (missing == 0)
		return true;
	if (item->attnums == NIL)
		return false;
	foreach(lc, item->attnums)
	{
		if (missing & ~jit_object_aclmask(item->address.classId, objid,
										  lfirst_int(lc), closure, missing))
			return false;
	}
	return true;
}

/*
 * Which of the items could the role GRANT itself?  Their positions, NULL for
 * none.  Its standing authority counts alone: what it has for a while it can't
 * hand on.
 */
Bitmapset *
jit_items_grantable(List *items, Oid roleid)
{
	List	   *closure;
	Bitmapset  *result = NULL;
	ListCell   *lc;

	if (items == NIL)
		return NULL;
	if (superuser_arg(roleid))
		return bms_add_range(NULL, 0, list_length(items) - 1);
	closure = jit_role_closure(roleid, JIT_CLOSURE_PRIVS,
							   JIT_FILTER_STANDING, jit_now());
	foreach(lc, items)
	{
		JitItem    *item = lfirst(lc);

		if (item->objtype == OBJECT_ROLE ?
			jit_holds_admin(roleid, item->address.objectId) :
			closure_covers(item, closure, true))
			result = bms_add_member(result, foreach_current_index(lc));
	}
	return result;
}

/*
 * Does the grantee have all of the item anyway?  With JIT_FILTER_LIVE
 * temporary access counts that goes on after "until".
 */
bool
jit_item_held(const JitItem *item, Oid grantee, JitClosureFilter filter,
			  TimestampTz until)
{
	List	   *closure;

	if (superuser_arg(grantee))
		return true;
	closure = jit_role_closure(grantee, JIT_CLOSURE_PRIVS, filter, until);
	if (item->objtype != OBJECT_ROLE)
		return closure_covers(item, closure, false);
	return list_member_oid(closure, item->address.objectId) ||
		list_member_oid(jit_role_closure(grantee, JIT_CLOSURE_SET, filter,
										 until),
						item->address.objectId);
}

/*
 * How much of the item does a grant role convey now?  Not all if its scope role
 * has lost a privilege or is gone, or the object is, or a column.
 */
JitConveyed
jit_item_conveyed(const JitItem *item, Oid grant_role)
{
	bool		is_role = item->objtype == OBJECT_ROLE;
	List	   *closure = jit_role_closure(grant_role,
										   is_role ? JIT_CLOSURE_MEMBERS : JIT_CLOSURE_PRIVS,
										   JIT_FILTER_LIVE, jit_now());
	bool		some = false;
	bool		all = true;

	if (is_role)
		return list_member_oid(closure, item->address.objectId) ?
			JIT_CONVEYED_ALL : JIT_CONVEYED_NOTHING;
	if (jit_item_name(item) == NULL)
		return JIT_CONVEYED_NOTHING;
	for (int i = 0; i < Max(1, list_length(item->attnums)); i++)
	{
		JitItem		part = *item;
		bool		there = true;

		if (item->attnums != NIL)
		{
			part.attnums = list_make1_int(list_nth_int(item->attnums, i));
			there = jit_column_name(item->address.objectId, linitial_int(part.attnums)) != NULL;
		}
		for (int k = 0; k < JIT_N_PRIVILEGES; k++)
		{
			bool		covers;

			part.privs = item->privs & jit_privilege_names[k].priv;
			if (part.privs == 0)
				continue;
			covers = there && closure_covers(&part, closure, false);
			some |= covers;
			all &= covers;
		}
	}
	return all ? JIT_CONVEYED_ALL : some ? JIT_CONVEYED_SOME : JIT_CONVEYED_NOTHING;
}

/*
 * The role through which the grantee has an item that jit_item_held() found:
 * "public", itself or one that it is a member of for good (the owner, if that
 * is why); else the grant role that ends last.  NULL if it takes several, and
 * for a role that it is a member of for good, which is its own source.
 */
char *
jit_item_source(const JitItem *item, Oid grantee)
{
	bool		is_role = item->objtype == OBJECT_ROLE;
	Oid			longest = InvalidOid;
	ListCell   *lc;

	if (superuser_arg(grantee))
		return jit_role_name(grantee);
	if (is_role)
	{
		if (jit_is_member(grantee, item->address.objectId, JIT_FILTER_STANDING))
			return NULL;
	}
	/* nobody is InvalidOid: that leaves what PUBLIC has */
	else if (closure_covers(item, list_make1_oid(InvalidOid), false))
		return pstrdup("public");
	else
	{
		foreach(lc, jit_role_closure(grantee, JIT_CLOSURE_PRIVS,
									 JIT_FILTER_STANDING, jit_now()))
		{
			if (closure_covers(item, list_make1_oid(lfirst_oid(lc)), false))
				return jit_role_name(lfirst_oid(lc));
		}
	}
	foreach(lc, jit_role_closure(grantee,
								 is_role ? JIT_CLOSURE_MEMBERS : JIT_CLOSURE_PRIVS,
								 JIT_FILTER_LIVE, jit_now()))
	{
		Oid			role = lfirst_oid(lc);

		if (jit_role_kind_by_oid(role) == JIT_ROLE_GRANT &&
			(!OidIsValid(longest) ||
			 jit_role_deadline(role) > jit_role_deadline(longest)) &&
			jit_item_conveyed(item, role) == JIT_CONVEYED_ALL)
			longest = role;
	}
	return OidIsValid(longest) ? jit_role_name(longest) : NULL;
}

/* ----------------------------------------------------------------------
 * What takes a superuser's agreement
 * ----------------------------------------------------------------------
 */

/*
 * Why executing a function takes a superuser: those of PostgreSQL itself,
 * and those in languages that can do anything.  An aggregate, nominally in
 * language internal, calls functions that its owner may call.
 */
static const char *
function_needs_superuser(Oid funcid)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	HeapTuple	language;
	const char *reason = NULL;

	if (!HeapTupleIsValid(tuple))
		return _("the function is gone");
	if (((Form_pg_proc) GETSTRUCT(tuple))->pronamespace == PG_CATALOG_NAMESPACE ||
		funcid < FirstNormalObjectId)
		reason = _("functions of pg_catalog take a superuser");
	else if (((Form_pg_proc) GETSTRUCT(tuple))->prokind != PROKIND_AGGREGATE)
	{
		language = SearchSysCache1(LANGOID,
								   ObjectIdGetDatum(((Form_pg_proc) GETSTRUCT(tuple))->prolang));
		if (!HeapTupleIsValid(language) ||
			!((Form_pg_language) GETSTRUCT(language))->lanpltrusted)
			reason = _("functions in untrusted languages take a superuser");
		if (HeapTupleIsValid(language))
			ReleaseSysCache(language);
	}
	ReleaseSysCache(tuple);
	return reason;
}

/*
 * What an entry in some ACL says against handing out the role: a grant
 * option, or a privilege that gives more than data.  Privileges on tables,
 * schemas, databases and types pass whatever they are: lasting.c guards
 * what can be created through them.
 */
static const char *
acl_needs_superuser(Form_pg_shdepend depend, Oid roleid)
{
	List	   *role = list_make1_oid(roleid);
	AclMode		privs;

	if (depend->classid == DefaultAclRelationId)
	{
		Relation	catalog = table_open(DefaultAclRelationId, AccessShareLock);
		HeapTuple	tuple = get_catalog_object_by_oid(catalog,
													  Anum_pg_default_acl_oid,
													  depend->objid);

		privs = 0;
		if (HeapTupleIsValid(tuple))
		{
			bool		isnull;
			Datum		acl = heap_getattr(tuple, Anum_pg_default_acl_defaclacl,
										   RelationGetDescr(catalog), &isnull);

			if (!isnull)
				privs = jit_aclmask(DatumGetAclP(acl), InvalidOid, role,
									ACLITEM_ALL_GOPTION_BITS);
		}
		table_close(catalog, AccessShareLock);
		return privs != 0 ? _("the role holds grant options") : NULL;
	}

	switch (depend->classid)
	{
		case RelationRelationId:
		case NamespaceRelationId:
		case DatabaseRelationId:
		case TypeRelationId:
		case TableSpaceRelationId:
		case LargeObjectRelationId:
			break;
		case ProcedureRelationId:
			{
				const char *reason = function_needs_superuser(depend->objid);

				if (reason != NULL)
					return reason;
			}
			break;
		default:
			return _("the role may use parameters, languages or foreign servers");
	}
	privs = jit_object_aclmask(depend->classid, depend->objid,
							   depend->objsubid, role,
							   ACLITEM_ALL_GOPTION_BITS);
	return privs != 0 ? _("the role holds grant options") : NULL;
}

/*
 * Why handing out membership of a role, without those that it is a member
 * of, takes a superuser; NULL if it doesn't.  *elsewhere is set if it has
 * something in other databases.  Grant options are looked for in this one and
 * on shared objects: those in others can't be read from here, but can't be
 * used there to make lasting access either.
 */
static const char *
role_needs_superuser(Oid roleid, bool *elsewhere)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(roleid));
	Form_pg_authid form;
	const char *reason = NULL;
	CatCList   *members;
	JitScan		scan;

	if (!HeapTupleIsValid(tuple))
		return _("the role is gone");
	form = (Form_pg_authid) GETSTRUCT(tuple);
	if (form->rolsuper)
		reason = _("the role is a superuser");
	else if (form->rolcreaterole || form->rolcreatedb ||
			 form->rolreplication || form->rolbypassrls)
		reason = _("the role has CREATEROLE, CREATEDB, REPLICATION or BYPASSRLS");
	else if (roleid < FirstNormalObjectId || IsReservedName(NameStr(form->rolname)))
		reason = _("predefined roles take a superuser");
	ReleaseSysCache(tuple);
	if (reason != NULL)
		return reason;

	members = SearchSysCacheList1(AUTHMEMMEMROLE, ObjectIdGetDatum(roleid));
	for (int i = 0; i < members->n_members; i++)
	{
		if (((Form_pg_auth_members) GETSTRUCT(&members->members[i]->tuple))->admin_option)
			reason = _("the role holds ADMIN options");
	}
	ReleaseSysCacheList(members);
	if (reason != NULL)
		return reason;

	/* what it owns in any database, and the ACLs that name it */
	jit_begin_role_depends(&scan, roleid);
	while (reason == NULL && HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		Form_pg_shdepend depend = (Form_pg_shdepend) GETSTRUCT(tuple);

		if (depend->deptype == SHARED_DEPENDENCY_OWNER)
			reason = _("the role owns objects");
		else if (depend->deptype == SHARED_DEPENDENCY_ACL &&
				 (depend->dbid == MyDatabaseId || depend->dbid == InvalidOid))
			reason = acl_needs_superuser(depend, roleid);
		/* another database, or what is in one */
		*elsewhere |= (OidIsValid(depend->dbid) && depend->dbid != MyDatabaseId) ||
			(depend->classid == DatabaseRelationId && depend->objid != MyDatabaseId);
	}
	jit_end_scan(&scan);
	return reason;
}

/*
 * Why a superuser must be among those who agree to the item, for a message;
 * NULL if it is on the allow-list.
 * Whatever isn't known to be harmless isn't on it.
 *
 * *elsewhere is set if it reaches other databases.  That is not for the flows
 * of this one to hand out, so it takes a superuser as well, unless somebody
 * agrees who could grant it.
 */
const char *
jit_item_needs_superuser(const JitItem *item, bool *elsewhere)
{
	const char *reason = NULL;
	ListCell   *lc;

	if (item->objtype == OBJECT_ROLE)
	{
		foreach(lc, jit_role_closure(item->address.objectId,
									 JIT_CLOSURE_MEMBERS, JIT_FILTER_NONE,
									 jit_now()))
		{
			reason = role_needs_superuser(lfirst_oid(lc), elsewhere);
			if (reason != NULL)
				break;
		}
		return reason;
	}
	if (item->privs & ~jit_kind_of(item->objtype)->allowed)
		return _("it can be used for more than the data asked for");
	if (item->address.classId == DatabaseRelationId &&
		item->address.objectId != MyDatabaseId)
		*elsewhere = true;
	if (item->address.classId == ProcedureRelationId)
		return function_needs_superuser(item->address.objectId);
	return NULL;
}

/* ----------------------------------------------------------------------
 * Granting
 * ----------------------------------------------------------------------
 */

/*
 * The order of DROP SCHEMA ... CASCADE, which would otherwise be told of a
 * deadlock: the schema, then what is in it, the newest first.  Mirrors
 * object_address_comparator().
 */
static int
compare_items(const ListCell *a, const ListCell *b)
{
	const ObjectAddress *x = &((JitItem *) lfirst(a))->address;
	const ObjectAddress *y = &((JitItem *) lfirst(b))->address;
	bool		x_first = x->classId == NamespaceRelationId;

	if (x_first != (y->classId == NamespaceRelationId))
		return x_first ? -1 : 1;
	if (x->objectId != y->objectId)
		return x->objectId > y->objectId ? -1 : 1;
	if (x->classId != y->classId)
		return x->classId < y->classId ? -1 : 1;
	return 0;
}

/* Is the item's object there, and each of its columns? */
bool
jit_item_exists(const JitItem *item)
{
	ListCell   *lc;

	if (jit_item_name(item) == NULL)
		return false;
	foreach(lc, item->attnums)
	{
		if (jit_column_name(item->address.objectId, lfirst_int(lc)) == NULL)
			return false;
	}
	return true;
}

/*
 * Lock the objects of the items until commit, in an order that everybody
 * keeps, so that two commits never change the same ACL at once ("tuple
 * concurrently updated") and nothing is dropped under us.  Raises if somebody
 * keeps one locked, or an object is gone.  "what" is what they are for.  A
 * parameter that nobody was ever granted gets the catalog entry that gives it
 * an OID.  Inside an owner section.
 */
void
jit_lock_items(List *items, const char *what)
{
	List	   *sorted = list_copy(items);
	ListCell   *lc;

	foreach(lc, items)
	{
		JitItem    *item = lfirst(lc);

		if (item->objtype == OBJECT_PARAMETER_ACL)
		{
			/* serialize with others who would create it */
			jit_lock_object(ParameterAclRelationId, InvalidOid, ShareUpdateExclusiveLock, what);
			item->address.objectId = ParameterAclLookup(item->parameter, true);
			if (!OidIsValid(item->address.objectId))
			{
				item->address.objectId = ParameterAclCreate(item->parameter);
				CommandCounterIncrement();
			}
		}
	}

	list_sort(sorted, compare_items);
	foreach(lc, sorted)
	{
		JitItem    *item = lfirst(lc);
		char	   *name = jit_item_exists(item) ? jit_item_text(item) : NULL;

		if (item->address.classId == RelationRelationId)
			jit_lock_object(RelationRelationId, item->address.objectId, AccessShareLock, what);
		jit_lock_object(item->address.classId, item->address.objectId,
						ShareUpdateExclusiveLock, what);
		if (name == NULL || !jit_item_exists(item))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("%s cannot become active: %s, or a column of it that is asked for, has been dropped",
							what, name ? name : "what it is for"),
					 errhint("File a new request.")));
	}
}

/* A role as a statement names it. */
RoleSpec *
jit_role_spec(const char *name)
{
	RoleSpec   *spec = makeNode(RoleSpec);

	spec->roletype = ROLESPEC_CSTRING;
	spec->rolename = pstrdup(name);
	spec->location = -1;
	return spec;
}

/*
 * The statement that gives an object item to a role, for ExecuteGrantStmt().
 * Names are qualified, and only valid as long as nobody renames: the caller
 * holds jit_lock_items(), and checks afterwards that the role has what it
 * should on the object with that OID, since a schema can be renamed anyway.
 */
GrantStmt *
jit_item_grant_stmt(const JitItem *item, const char *rolename)
{
	GrantStmt  *stmt = makeNode(GrantStmt);
	Oid			namespace = jit_item_namespace(item);
	char	   *schema = OidIsValid(namespace) ? get_namespace_name(namespace) : NULL;
	char	   *name = pstrdup(jit_need_name(jit_item_name(item), item));
	List	   *columns = NIL;
	Node	   *object;
	ListCell   *lc;

	stmt->is_grant = true;
	stmt->targtype = ACL_TARGET_OBJECT;
	stmt->objtype = item->objtype;
	stmt->grantees = list_make1(jit_role_spec(rolename));
	stmt->behavior = DROP_RESTRICT;

	switch (item->objtype)
	{
		case OBJECT_TABLE:
		case OBJECT_SEQUENCE:
			object = (Node *) makeRangeVar(schema, name, -1);
			break;
		case OBJECT_DOMAIN:
		case OBJECT_TYPE:
			object = (Node *) list_make2(makeString(schema), makeString(name));
			break;
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
			{
				ObjectWithArgs *function = makeNode(ObjectWithArgs);
				Oid		   *args;
				int			nargs;

				(void) get_func_signature(item->address.objectId, &args, &nargs);
				function->objname = list_make2(makeString(schema), makeString(name));
				for (int i = 0; i < nargs; i++)
					function->objargs = lappend(function->objargs,
												makeTypeNameFromOid(args[i], -1));
				object = (Node *) function;
			}
			break;
		case OBJECT_LARGEOBJECT:
			object = (Node *) makeFloat(name);
			break;
		default:
			object = (Node *) makeString(name);
	}
	stmt->objects = list_make1(object);

	foreach(lc, item->attnums)
		columns = lappend(columns,
						  makeString(pstrdup(jit_need_name(jit_column_name(item->address.objectId,
																		   lfirst_int(lc)),
														   item))));
	foreach(lc, jit_privilege_list(item->privs))
	{
		AccessPriv *access = makeNode(AccessPriv);

		access->priv_name = asc_tolower(lfirst(lc), strlen(lfirst(lc)));
		access->cols = columns;
		stmt->privileges = lappend(stmt->privileges, access);
	}
	return stmt;
}

/*
 * The statement that takes all privileges on an object and its columns from
 * roles (OIDs); NULL if no item can be of its kind, or it is gone.  The rest
 * as above, but that nobody gets anything by a name that has changed.
 */
GrantStmt *
jit_revoke_all_stmt(Oid classid, Oid objid, List *roleids)
{
	JitItem		item = {.address = {.classId = classid,.objectId = objid}};
	GrantStmt  *stmt;
	int			kind = 0;
	ListCell   *lc;

	while (kind < N_KINDS && object_kinds[kind].classid != classid)
		kind++;
	if (kind == N_KINDS || classid == AuthIdRelationId)
		return NULL;
	item.objtype = jit_objtype_of(classid, objid, object_kinds[kind].objtype);
	if (classid == ParameterAclRelationId)
	{
		HeapTuple	tuple = SearchSysCache1(PARAMETERACLOID, ObjectIdGetDatum(objid));
		bool		isnull;

		if (!HeapTupleIsValid(tuple))
			return NULL;
		item.parameter = TextDatumGetCString(SysCacheGetAttr(PARAMETERACLOID, tuple,
															 Anum_pg_parameter_acl_parname,
															 &isnull));
		ReleaseSysCache(tuple);
	}
	if (!jit_item_exists(&item))
		return NULL;
	stmt = jit_item_grant_stmt(&item, "");
	stmt->is_grant = false;
	stmt->grantees = NIL;
	foreach(lc, roleids)
		stmt->grantees = lappend(stmt->grantees, jit_role_spec(jit_role_name(lfirst_oid(lc))));
	return stmt;
}

/* Numbers of the item's columns, as an int2[]. */
Datum
jit_item_attnums(const JitItem *item)
{
	Datum	   *values = palloc(list_length(item->attnums) * sizeof(Datum));
	ListCell   *lc;

	foreach(lc, item->attnums)
		values[foreach_current_index(lc)] = Int16GetDatum(lfirst_int(lc));
	return PointerGetDatum(construct_array(values, list_length(item->attnums),
										   INT2OID, sizeof(int16), true, TYPALIGN_SHORT));
}
