/*-------------------------------------------------------------------------
 *
 * lasting.c
 *		Temporary access can't make lasting access.
 *
 * A function that a temporary owner makes belongs to the standing one and
 * goes on working; so does what a temporary owner has granted onward, given
 * away, or hung on somebody else's table.  So whatever gives authority, or
 * runs with somebody's, is refused where the authority to make it comes from
 * temporary access, live or ended alike: it has to be there with all grant
 * and scope roles left out.
 *
 * Two hooks see such commands:
 *
 *	object access		after the catalog row was written, before anything uses
 *						it.  Judges by OID what is really there, with a
 *						snapshot that sees this very command, so no name can be
 *						exchanged in between.  Raising undoes it.
 *	utility				before the command, for those that PostgreSQL runs no
 *						object access hook for: GRANT, roles, and some forms of
 *						ALTER TABLE and DROP.  Names are resolved under a lock
 *						on the object, which the command then finds the same.
 *
 * Shape and contents of tables are work, not authority: tables, indexes,
 * sequences and plain types may be made, altered and dropped through
 * temporary access, as long as nobody else's code or partition comes in with
 * them (an expression in a default, check, index, partition key or statistics
 * runs with the rights of whoever uses the table later, and in maintenance
 * with its owner's), be it in a text that a function of PostgreSQL's runs as a
 * query; and as long as nobody else can drop them from then on, by dropping
 * what they depend on.  What somebody makes of their own, on their own
 * authority, is never a matter of ours: it conveys no more than they have at
 * the time.
 *
 * Who acts is whoever GetUserId() was when the command began.  If that is a
 * role which only temporary access allows SET ROLE to, then nothing it has is
 * standing.  Superusers are exempt,
 * but nobody makes anything as a role of ours, or gives such a role something
 * to own.  Somebody with no temporary access pays a look into a memo.
 *
 * Nothing in here allows anything; it can only raise.  It keeps no state but
 * that of the command being run, which the utility hook puts back after it,
 * also when an error ends it.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/clock.h"
#include "base/item.h"
#include "base/roles.h"
#include "base/text.h"
#include "enforce/hint.h"
#include "enforce/judge.h"
#include "enforce/lasting.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_conversion.h"
#include "catalog/pg_database.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_default_acl.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_language.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_parameter_acl.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_publication_rel.h"
#include "catalog/pg_range.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_subscription.h"
#include "catalog/pg_transform.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "catalog/pg_user_mapping.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "tcop/cmdtag.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* Somebody's authority, and what was found to be missing from it. */
typedef struct Authority
{
	Oid			userid;
	JitClosureFilter filter;
	List	   *closure;		/* NIL if there is none at all */
	Oid			missing_role;	/* InvalidOid if a privilege is missing */
	const char *missing_kind;
	char	   *missing_name;
} Authority;

/*
 * The command that is running, for messages, and who began it.  PostgreSQL
 * acts as somebody else in parts of a command: as the owner of a table while
 * it makes an index, as the owner of a new schema.
 */
static const char *command = NULL;
static Oid	actor = InvalidOid;

/*
 * Relations that a policy, trigger or rule of has been dropped by the command
 * so far; in TopTransactionContext.
 */
static List *unguarded = NIL;

/* ----------------------------------------------------------------------
 * Who acts, by what authority
 * ----------------------------------------------------------------------
 */

/* Is the role that acts one that only temporary access lets the session be? */
static bool
role_is_temporary(void)
{
	return actor == GetOuterUserId() && jit_set_role_is_temporary();
}

/* Is anything of what the acting user may do temporary? */
static inline bool
must_be_judged(void)
{
	if (likely(jit_user_deadline(actor) == DT_NOEND &&
			   !role_is_temporary()))
		return false;
	return role_is_temporary() ||
		jit_role_kind_by_oid(actor) != JIT_ROLE_ORDINARY ||
		!superuser_arg(actor);
}

static void
get_authority(Authority *authority, JitClosureFilter filter)
{
	memset(authority, 0, sizeof(Authority));
	authority->userid = actor;
	authority->filter = filter;
	if (jit_role_kind_by_oid(actor) != JIT_ROLE_ORDINARY)
		return;
	if (filter == JIT_FILTER_STANDING && role_is_temporary())
	{
		authority->missing_role = actor;
		return;
	}
	authority->closure = jit_role_closure(actor, JIT_CLOSURE_PRIVS,
										  filter, jit_now());
}

static bool
lacks_role(Authority *authority, Oid role)
{
	authority->missing_role = role;
	authority->missing_kind = "role";
	authority->missing_name = OidIsValid(role) ? jit_role_name(role) : NULL;
	return false;
}

static bool
has_role(Authority *authority, Oid role)
{
	return list_member_oid(authority->closure, role) ||
		lacks_role(authority, role);
}

/* May it give objects to the role?  A role that is gone is nobody's. */
static bool
may_give_to(Authority *authority, Oid role)
{
	return (authority->closure != NIL &&
			jit_is_member(authority->userid, role, authority->filter)) ||
		lacks_role(authority, role);
}

static bool
has_privilege(Authority *authority, Oid classid, Oid objid, AclMode mode)
{
	if (authority->closure != NIL &&
		jit_object_aclmask(classid, objid, 0, authority->closure, mode) == mode)
		return true;
	authority->missing_role = InvalidOid;
	switch (classid)
	{
		case NamespaceRelationId:
			authority->missing_kind = "schema";
			authority->missing_name = get_namespace_name(objid);
			break;
		case DatabaseRelationId:
			authority->missing_kind = "database";
			authority->missing_name = get_database_name(objid);
			break;
		case ProcedureRelationId:
			authority->missing_kind = "function";
			authority->missing_name = get_func_name(objid);
			break;
		case RelationRelationId:
			authority->missing_kind = "table";
			authority->missing_name = get_rel_name(objid);
			break;
	}
	return false;
}

/*
 * ADMIN OPTION on a role or, up to 15, CREATEROLE; the latter is an attribute
 * of the acting role itself, and isn't inherited.
 */
static bool
may_administer(Authority *authority, Oid role)
{
	if (authority->closure != NIL &&
		(jit_holds_admin(authority->userid, role) ||
		 (JIT_CREATEROLE_IS_ADMIN && has_createrole_privilege(authority->userid))))
		return true;
	return lacks_role(authority, role);
}

/* ----------------------------------------------------------------------
 * Refusing
 * ----------------------------------------------------------------------
 */

/* The grant role that the authority comes from, as far as can be told. */
static Oid
grant_behind(const Authority *authority)
{
	Oid			base = role_is_temporary() ? GetSessionUserId() : actor;
	Oid			found = InvalidOid;
	ListCell   *lc;

	foreach(lc, jit_role_closure(base, JIT_CLOSURE_MEMBERS, JIT_FILTER_NONE, 0))
	{
		Oid			role = lfirst_oid(lc);

		if (jit_role_kind_by_oid(role) != JIT_ROLE_GRANT)
			continue;
		if (!OidIsValid(found))
			found = role;
		if (OidIsValid(authority->missing_role) &&
			list_member_oid(jit_role_closure(role, JIT_CLOSURE_MEMBERS,
											 JIT_FILTER_NONE, 0),
							authority->missing_role))
			return role;
	}
	return found;
}

static void refuse(const Authority *authority) pg_attribute_noreturn();

static void
refuse(const Authority *authority)
{
	Oid			grant = grant_behind(authority);
	Oid			database;
	int			request;
	const char *doing = command ? command : "this command";
	char	   *detail;

	if (OidIsValid(grant) &&
		jit_parse_grant_name(jit_role_name(grant), &database, &request) &&
		!TIMESTAMP_NOT_FINITE(jit_role_deadline(grant)))
	{
		char	   *dbname = get_database_name(database);

		detail = psprintf(_("Its effect would outlast the access that would allow it: request %d in %s, until %s."),
						  request,
						  dbname ? quote_identifier(dbname) : psprintf("%u", database),
						  jit_timestamp_text(jit_role_deadline(grant)));
	}
	else
		detail = pstrdup(_("Its effect would outlast the access that would allow it."));

	/* the hint callback leaves this detail alone */
	jit_denial_explained = true;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("temporary access is not enough for %s", doing),
			 errdetail_internal("%s", detail),
			 OidIsValid(authority->missing_role) &&
			 jit_role_kind_by_oid(authority->missing_role) == JIT_ROLE_ORDINARY ?
			 errhint("Have it done by somebody who is %s, or a member of it, permanently.",
					 quote_identifier(jit_role_name(authority->missing_role))) :
			 strncmp(doing, "CREATE TABLE", 12) == 0 ?
			 errhint("Have it done by somebody who has the privileges for it permanently, or use SET ROLE to make it the schema owner's.") :
			 errhint("Have it done by somebody who has the privileges for it permanently.")));
}

/* Nobody may give a role of ours something to own. */
static void
check_owner(Oid role)
{
	if (OidIsValid(role) && jit_role_kind_by_oid(role) != JIT_ROLE_ORDINARY)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role %s cannot own anything",
						quote_identifier(jit_role_name(role))),
				 errdetail("It belongs to jit_access and is dropped when the access ends."),
				 errhint("Name a role that lasts as the owner.")));
}

/* ----------------------------------------------------------------------
 * What the command has written
 * ----------------------------------------------------------------------
 */

/* A copy of an object's row as this command has left it, NULL if none. */
static HeapTuple
row_by_index(Oid classid, Oid indexid, AttrNumber attnum, Oid objid)
{
	Relation	catalog = table_open(classid, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, attnum, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(objid));
	scan = systable_beginscan(catalog, indexid, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return tuple;
}

static HeapTuple
row_now(Oid classid, Oid objid)
{
	return row_by_index(classid, get_object_oid_index(classid),
						get_object_attnum_oid(classid), objid);
}

/* One OID out of an object's row; InvalidOid if there is none. */
static Oid
column_now(Oid classid, Oid objid, AttrNumber attnum)
{
	HeapTuple	tuple;
	Relation	catalog;
	Datum		value;
	bool		isnull;

	if (attnum == InvalidAttrNumber)
		return InvalidOid;
	tuple = row_now(classid, objid);
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	catalog = table_open(classid, AccessShareLock);
	value = heap_getattr(tuple, attnum, RelationGetDescr(catalog), &isnull);
	table_close(catalog, AccessShareLock);
	return isnull ? InvalidOid : DatumGetObjectId(value);
}

static bool
has_owner(Oid classid)
{
	return classid == LargeObjectRelationId ||
		(is_objectclass_supported(classid) &&
		 get_object_attnum_owner(classid) != InvalidAttrNumber);
}

static Oid
owner_now(Oid classid, Oid objid)
{
	return column_now(classid, objid, get_object_attnum_owner(classid));
}

/* Is it a role that couldn't drop what is the owner's otherwise? */
static bool
is_stranger(Oid role, Oid owner)
{
	return OidIsValid(role) && role != owner && !superuser_arg(role) &&
		role != ROLE_PG_DATABASE_OWNER &&
		role != owner_now(DatabaseRelationId, MyDatabaseId);
}

/*
 * Does somebody else than the owner have a hand in the object?  A superuser's
 * goes as well when its extension or schema is dropped, by whoever owns that.
 */
static bool
is_foreign(Oid classid, Oid objid, Oid owner)
{
	Oid			other = owner_now(classid, objid);
	Oid			element;
	Oid			namespace;

	if (other == owner)
		return false;
	if (!superuser_arg(other))
		return true;
	/* an array type isn't its extension's itself */
	element = classid == TypeRelationId ? get_element_type(objid) : InvalidOid;
	if (OidIsValid(element))
		objid = element;
	if (IsPinnedObject(classid, objid))
		return false;
	namespace = column_now(classid, objid, get_object_attnum_namespace(classid));
	return is_stranger(owner_now(ExtensionRelationId,
								 getExtensionOfObject(classid, objid)), owner) ||
		is_stranger(owner_now(NamespaceRelationId, namespace), owner);
}

/*
 * Do the expressions of an object, or what it refers to, belong to somebody
 * else than the owner?  Pinned objects have no dependencies, and extensions'
 * are mostly superusers'.
 */
static bool
depends_on_foreign(Oid classid, Oid objid, Oid owner)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	ScanKeyInit(&keys[0], Anum_pg_depend_classid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(classid));
	ScanKeyInit(&keys[1], Anum_pg_depend_objid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(objid));
	scan = systable_beginscan(depend, DependDependerIndexId, true,
							  SnapshotSelf, 2, keys);
	while (!result && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		/* DEPENDS ON EXTENSION is judged by itself */
		result = form->deptype != DEPENDENCY_AUTO_EXTENSION &&
			has_owner(form->refclassid) &&
			is_foreign(form->refclassid, form->refobjid, owner);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return result;
}

/*
 * Could the function run a query that is given to it as text, or the checks of
 * a domain that it is given the name or OID of, where no dependency shows whose
 * code that leads to, or tell others what it is given?  Of those that aren't
 * immutable we know only some of PostgreSQL's own.
 */
static bool
runs_unknown_code(Oid funcid, void *context)
{
	static const char *const harmless[] = {
		"nextval", "random", "clock_timestamp", "timeofday", "gen_random_uuid"
	};

	/* input functions that are told the type, which may be or hold a domain */
	static const char *const readers[] = {
		"array_in", "array_recv", "record_in", "record_recv", "domain_in",
		"domain_recv", "range_in", "range_recv", "multirange_in",
		"multirange_recv", "pg_input_is_valid", "pg_input_error_info"
	};
	char		volatility = func_volatile(funcid);
	char	   *name;

	if (volatility == PROVOLATILE_IMMUTABLE)
		return false;
	name = get_func_name(funcid);
	if (funcid >= FirstUnpinnedObjectId || name == NULL)
		return true;
	for (size_t i = 0; i < lengthof(readers); i++)
	{
		if (strcmp(name, readers[i]) == 0)
			return true;
	}
	if (volatility == PROVOLATILE_STABLE)
		return strstr(name, "_to_xml") != NULL;
	for (size_t i = 0; i < lengthof(harmless); i++)
	{
		if (strcmp(name, harmless[i]) == 0)
			return false;
	}
	return true;
}

static bool
node_runs_unknown_code(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, runs_unknown_code, context) ||
		expression_tree_walker(node, node_runs_unknown_code, context);
}

/* The same for an expression in a column of a catalog's row. */
static bool
expression_runs_unknown_code(Relation catalog, HeapTuple tuple,
							 AttrNumber attnum)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attnum, RelationGetDescr(catalog),
									 &isnull);

	return !isnull &&
		node_runs_unknown_code(stringToNode(TextDatumGetCString(value)), NULL);
}

/* Is there somebody else's hand, or code of unknown origin, in a default? */
static bool
default_is_foreign(Oid relid, int attnum, Oid owner)
{
	Relation	catalog = table_open(AttrDefaultRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	ScanKeyInit(&keys[0], Anum_pg_attrdef_adrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	ScanKeyInit(&keys[1], Anum_pg_attrdef_adnum, BTEqualStrategyNumber,
				F_INT2EQ, Int16GetDatum(attnum));
	scan = systable_beginscan(catalog, AttrDefaultIndexId, true, SnapshotSelf,
							  2, keys);
	while (!result && HeapTupleIsValid(tuple = systable_getnext(scan)))
		result = depends_on_foreign(AttrDefaultRelationId,
									((Form_pg_attrdef) GETSTRUCT(tuple))->oid,
									owner) ||
			expression_runs_unknown_code(catalog, tuple, Anum_pg_attrdef_adbin);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return result;
}

/*
 * The same for the types and collations of a relation's columns: the owner of
 * a domain can give it a check later, and whoever may drop one drops the column
 * with it.  And has a column got another's name?  Then code that finds it by
 * that name, which runs with somebody's rights, is led elsewhere.
 */
static bool
columns_are_foreign(Oid relid, Oid owner)
{
	Relation	catalog = table_open(AttributeRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	ScanKeyInit(&key, Anum_pg_attribute_attrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, AttributeRelidNumIndexId, true,
							  SnapshotSelf, 1, &key);
	while (!result && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_attribute form = (Form_pg_attribute) GETSTRUCT(tuple);
		char	   *before = get_attname(relid, form->attnum, true);

		result = form->attnum > 0 && !form->attisdropped &&
			(is_foreign(TypeRelationId, form->atttypid, owner) ||
			 (OidIsValid(form->attcollation) &&
			  is_foreign(CollationRelationId, form->attcollation, owner)) ||
			 (before != NULL && strcmp(before, NameStr(form->attname)) != 0));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return result;
}

/* ----------------------------------------------------------------------
 * Object access
 * ----------------------------------------------------------------------
 */

/* Is the type called what it was called before, in the same schema? */
static bool
keeps_name(Oid typid, Form_pg_type now)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typid));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return true;
	result = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace == now->typnamespace &&
		strcmp(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname),
			   NameStr(now->typname)) == 0;
	ReleaseSysCache(tuple);
	return result;
}

/*
 * May what the role owns be made in the schema, by the acting user?  It stays
 * the role's, under a name that others may trust: so the schema has to be the
 * role's, too, or CREATE on it was approved as such.
 */
static bool
may_own_in(Oid owner, Oid namespace)
{
	List	   *scopes = NIL;
	ListCell   *lc;

	if (owner_now(NamespaceRelationId, namespace) == owner ||
		isAnyTempNamespace(namespace))
		return true;
	foreach(lc, jit_role_closure(actor, JIT_CLOSURE_PRIVS, JIT_FILTER_LIVE, jit_now()))
	{
		if (jit_role_kind_by_oid(lfirst_oid(lc)) == JIT_ROLE_SCOPE)
			scopes = lappend_oid(scopes, lfirst_oid(lc));
	}
	return scopes != NIL &&
		jit_object_aclmask(NamespaceRelationId, namespace, 0, scopes, ACL_CREATE) != 0;
}

/* Shape and contents of a table, with nobody else's hand in it? */
static bool
relation_is_plain(bool created, Oid relid)
{
	HeapTuple	tuple = row_now(RelationRelationId, relid);
	Form_pg_class now;
	bool		of_table;		/* an index or the like, by whose name nobody
								 * finds anything */
	bool		result = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	now = (Form_pg_class) GETSTRUCT(tuple);
	of_table = now->relkind == RELKIND_INDEX ||
		now->relkind == RELKIND_PARTITIONED_INDEX || now->relkind == RELKIND_TOASTVALUE;
	if (created && !of_table && !may_own_in(now->relowner, now->relnamespace))
		return false;
	switch (now->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_COMPOSITE_TYPE:
			result = !columns_are_foreign(relid, now->relowner) &&
				(!OidIsValid(now->reloftype) ||
				 !is_foreign(TypeRelationId, now->reloftype, now->relowner));
			break;
		case RELKIND_INDEX:
		case RELKIND_PARTITIONED_INDEX:
			result = !depends_on_foreign(RelationRelationId, relid, now->relowner);
			break;
		case RELKIND_SEQUENCE:
		case RELKIND_TOASTVALUE:
			result = true;
			break;
	}
	if (result)
	{
		Oid			owner = jit_object_owner(RelationRelationId, relid);

		/* given away, moved or renamed: that is authority */
		if (OidIsValid(owner) &&
			(owner != now->relowner ||
			 get_rel_namespace(relid) != now->relnamespace ||
			 (!of_table &&
			  strcmp(get_rel_name(relid), NameStr(now->relname)) != 0)))
			result = false;
	}
	heap_freetuple(tuple);
	return result;
}

/* May it be done through temporary access, since it conveys no authority? */
static bool
is_plain(bool created, Oid classid, Oid objid, int subid, Oid auxiliary)
{
	switch (classid)
	{
		case RelationRelationId:
			return relation_is_plain(created, objid);
		case IndexRelationId:
			return relation_is_plain(false, objid);
		case AttrDefaultRelationId:
			return !default_is_foreign(objid, subid,
									   owner_now(RelationRelationId, objid));
		case InheritsRelationId:
			return owner_now(RelationRelationId, objid) ==
				owner_now(RelationRelationId, auxiliary);
		case ConstraintRelationId:
			{
				HeapTuple	tuple = row_now(ConstraintRelationId, objid);
				Form_pg_constraint form;
				Relation	catalog;
				Oid			relid;
				bool		unknown;

				if (!HeapTupleIsValid(tuple))
					return false;
				form = (Form_pg_constraint) GETSTRUCT(tuple);
				relid = form->conrelid;

				/*
				 * CASCADE and the like write for whoever may write elsewhere;
				 * a partition has them from its parent.
				 */
				if (form->contype == CONSTRAINT_FOREIGN && !OidIsValid(form->conparentid) &&
					((form->confupdtype != FKCONSTR_ACTION_NOACTION &&
					  form->confupdtype != FKCONSTR_ACTION_RESTRICT) ||
					 (form->confdeltype != FKCONSTR_ACTION_NOACTION &&
					  form->confdeltype != FKCONSTR_ACTION_RESTRICT)))
					return false;
				catalog = table_open(ConstraintRelationId, AccessShareLock);
				unknown = expression_runs_unknown_code(catalog, tuple,
													   Anum_pg_constraint_conbin);
				table_close(catalog, AccessShareLock);
				return OidIsValid(relid) && !unknown &&
					!depends_on_foreign(ConstraintRelationId, objid,
										owner_now(RelationRelationId, relid));
			}
		case TypeRelationId:
			{
				HeapTuple	tuple = row_now(TypeRelationId, objid);
				Form_pg_type form;

				if (!HeapTupleIsValid(tuple))
					return false;
				form = (Form_pg_type) GETSTRUCT(tuple);
				if (jit_object_owner(TypeRelationId, objid) != InvalidOid &&
					jit_object_owner(TypeRelationId, objid) != form->typowner)
					return false;
				/* array types have no names of their own */
				if (!IsTrueArrayType(form) && !keeps_name(objid, form))
					return false;
				if (created && form->typtype == TYPTYPE_ENUM &&
					!may_own_in(form->typowner, form->typnamespace))
					return false;
				return form->typtype == TYPTYPE_COMPOSITE ||
					form->typtype == TYPTYPE_ENUM ||
					IsTrueArrayType(form);
			}
		case NamespaceRelationId:
			/* a new one of a role that lasts */
			return created && role_is_temporary() &&
				owner_now(NamespaceRelationId, objid) == actor;
		case StatisticExtRelationId:
			{
				HeapTuple	tuple = row_now(StatisticExtRelationId, objid);
				Relation	catalog;
				bool		has_no_expressions;

				/* ANALYZE computes expressions with the table owner's rights */
				if (!created || !HeapTupleIsValid(tuple))
					return false;
				catalog = table_open(StatisticExtRelationId, AccessShareLock);
				has_no_expressions = heap_attisnull(tuple, Anum_pg_statistic_ext_stxexprs,
													RelationGetDescr(catalog));
				table_close(catalog, AccessShareLock);
				return has_no_expressions;
			}
		case LargeObjectRelationId:
			return true;
		default:
			return false;
	}
}

/* Is it the owner of the relation? */
static bool
owns_relation(Authority *authority, Oid relid)
{
	Oid			owner = jit_object_owner(RelationRelationId, relid);

	if (!OidIsValid(owner))
		owner = owner_now(RelationRelationId, relid);	/* new as well */
	return has_role(authority, owner);
}

/* May it refer to the table by a foreign key? */
static bool
may_refer(Authority *authority, Oid relid, HeapTuple constraint)
{
	Relation	catalog;
	Datum		value;
	bool		isnull;
	ArrayType  *array;
	int16	   *attnums;

	if (has_privilege(authority, RelationRelationId, relid, ACL_REFERENCES))
		return true;
	if (authority->closure == NIL)
		return false;
	catalog = table_open(ConstraintRelationId, AccessShareLock);
	value = heap_getattr(constraint, Anum_pg_constraint_confkey,
						 RelationGetDescr(catalog), &isnull);
	table_close(catalog, AccessShareLock);
	if (isnull)
		return false;
	array = DatumGetArrayTypeP(value);
	attnums = (int16 *) ARR_DATA_PTR(array);
	for (int i = 0; i < ARR_DIMS(array)[0]; i++)
	{
		if (jit_object_aclmask(RelationRelationId, relid, attnums[i],
							   authority->closure, ACL_REFERENCES) == 0)
			return false;
	}
	return true;
}

/* What a dependent object of a relation needs, or a constraint of a type. */
static bool
authorized_constraint(Authority *authority, Oid objid)
{
	HeapTuple	tuple = row_now(ConstraintRelationId, objid);
	Form_pg_constraint form;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	if (!OidIsValid(form->conrelid))
		return has_role(authority, owner_now(TypeRelationId, form->contypid));
	return owns_relation(authority, form->conrelid) &&
		(!OidIsValid(form->confrelid) ||
		 may_refer(authority, form->confrelid, tuple));
}

static bool
authorized_trigger(Authority *authority, Oid objid)
{
	HeapTuple	tuple = row_now(TriggerRelationId, objid);
	Form_pg_trigger form;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_trigger) GETSTRUCT(tuple);
	return (has_privilege(authority, RelationRelationId, form->tgrelid,
						  ACL_TRIGGER) ||
			owns_relation(authority, form->tgrelid)) &&
		has_privilege(authority, ProcedureRelationId, form->tgfoid, ACL_EXECUTE);
}

/* The schema of an object before this command; InvalidOid if it is new. */
static Oid
namespace_before(Oid classid, Oid objid)
{
	int			cache = get_object_catcache_oid(classid);
	HeapTuple	tuple;
	Oid			result = InvalidOid;
	bool		isnull;

	if (cache < 0)
		return InvalidOid;
	tuple = SearchSysCache1(cache, ObjectIdGetDatum(objid));
	if (HeapTupleIsValid(tuple))
	{
		result = DatumGetObjectId(SysCacheGetAttr(cache, tuple,
												  get_object_attnum_namespace(classid),
												  &isnull));
		ReleaseSysCache(tuple);
	}
	return result;
}

/* May it have the function in the language that this command gives it? */
static bool
may_use_language(Authority *authority, Oid objid)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(objid));
	Oid			now = column_now(ProcedureRelationId, objid, Anum_pg_proc_prolang);
	Oid			before = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		before = ((Form_pg_proc) GETSTRUCT(tuple))->prolang;
		ReleaseSysCache(tuple);
	}
	return now == before ||
		has_privilege(authority, LanguageRelationId, now, ACL_USAGE);
}

/* An object with an owner, perhaps in a schema. */
static bool
authorized_by_owner(Authority *authority, bool created, Oid classid, Oid objid)
{
	Oid			old = jit_object_owner(classid, objid);
	Oid			now = owner_now(classid, objid);
	AttrNumber	namespace_attnum = get_object_attnum_namespace(classid);
	Oid			namespace = column_now(classid, objid, namespace_attnum);

	if (!OidIsValid(now))
		return false;
	if (OidIsValid(old) && !has_role(authority, old))
		return false;
	if (now != old && !may_give_to(authority, now))
		return false;
	if (OidIsValid(namespace) &&
		(created || namespace != namespace_before(classid, objid)) &&
		!IsToastNamespace(namespace) &&
		!has_privilege(authority, NamespaceRelationId, namespace, ACL_CREATE))
		return false;
	if (classid == ProcedureRelationId && !may_use_language(authority, objid))
		return false;
	if (created)
	{
		switch (classid)
		{
			case NamespaceRelationId:
			case PublicationRelationId:
			case ExtensionRelationId:
			case LanguageRelationId:
			case SubscriptionRelationId:
				return has_privilege(authority, DatabaseRelationId, MyDatabaseId,
									 ACL_CREATE);
			case ForeignServerRelationId:
				return has_privilege(authority, ForeignDataWrapperRelationId,
									 column_now(classid, objid,
												Anum_pg_foreign_server_srvfdw),
									 ACL_USAGE);
		}
	}
	return true;
}

/* Would PostgreSQL have let just this authority do it? */
static bool
authorized(Authority *authority, bool created, Oid classid, Oid objid,
		   Oid auxiliary)
{
	HeapTuple	tuple;

	if (authority->closure == NIL)
		return false;
	switch (classid)
	{
		case LargeObjectRelationId:
			return true;		/* anybody may make one */
		case IndexRelationId:
		case AttrDefaultRelationId:
		case ForeignTableRelationId:
			return owns_relation(authority, objid);
		case InheritsRelationId:
			return owns_relation(authority, objid) &&
				owns_relation(authority, auxiliary);
		case ConstraintRelationId:
			return authorized_constraint(authority, objid);
		case TriggerRelationId:
			return authorized_trigger(authority, objid);
		case PolicyRelationId:
			return owns_relation(authority,
								 column_now(classid, objid, Anum_pg_policy_polrelid));
		case RewriteRelationId:
			return owns_relation(authority,
								 column_now(classid, objid, Anum_pg_rewrite_ev_class));
		case PublicationRelRelationId:
			tuple = row_by_index(classid, PublicationRelObjectIndexId,
								 Anum_pg_publication_rel_oid, objid);
			return HeapTupleIsValid(tuple) &&
				owns_relation(authority,
							  ((Form_pg_publication_rel) GETSTRUCT(tuple))->prrelid);
		case CastRelationId:
			return has_role(authority,
							owner_now(TypeRelationId,
									  column_now(classid, objid, Anum_pg_cast_castsource))) ||
				has_role(authority,
						 owner_now(TypeRelationId,
								   column_now(classid, objid, Anum_pg_cast_casttarget)));
		case TransformRelationId:
			return has_role(authority,
							owner_now(TypeRelationId,
									  column_now(classid, objid, Anum_pg_transform_trftype)));
		case UserMappingRelationId:
			tuple = row_by_index(classid, UserMappingOidIndexId,
								 Anum_pg_user_mapping_oid, objid);
			if (!HeapTupleIsValid(tuple))
				return false;
			else
			{
				Form_pg_user_mapping form = (Form_pg_user_mapping) GETSTRUCT(tuple);

				return (form->umuser == authority->userid &&
						has_privilege(authority, ForeignServerRelationId,
									  form->umserver, ACL_USAGE)) ||
					has_role(authority,
							 owner_now(ForeignServerRelationId, form->umserver));
			}
		case StatisticExtRelationId:
			return owns_relation(authority,
								 column_now(classid, objid, Anum_pg_statistic_ext_stxrelid)) &&
				authorized_by_owner(authority, created, classid, objid);
		case DbRoleSettingRelationId:
			/* objid is the database, auxiliary the role; either may be 0 */
			if (OidIsValid(auxiliary))
				return auxiliary == authority->userid ||
					may_administer(authority, auxiliary);
			return has_role(authority, owner_now(DatabaseRelationId, objid));
	}
	if (has_owner(classid))
		return authorized_by_owner(authority, created, classid, objid);
	return false;
}

/*
 * A temporary table, or something of one?  Other temporary objects may run
 * with their owner's rights until the end of the session, which may come
 * later than that of the access.
 */
static bool
is_temporary_table(Oid classid, Oid objid)
{
	switch (classid)
	{
		case RelationRelationId:
		case IndexRelationId:
		case AttrDefaultRelationId:
			{
				HeapTuple	tuple = row_now(RelationRelationId, objid);
				Form_pg_class form;

				if (!HeapTupleIsValid(tuple))
					return false;
				form = (Form_pg_class) GETSTRUCT(tuple);
				return form->relpersistence == RELPERSISTENCE_TEMP &&
					form->relkind != RELKIND_VIEW;
			}
		case ConstraintRelationId:
			return isAnyTempNamespace(column_now(classid, objid,
												 Anum_pg_constraint_connamespace));
		default:
			return false;
	}
}

/*
 * Something that PostgreSQL makes by itself, and the bootstrap superuser owns?
 * That is a schema for a session's temporary tables, whose prefix is reserved,
 * or a constructor of a range type, which is judged itself.
 */
static bool
is_by_product(Oid classid, Oid objid)
{
	HeapTuple	tuple;
	char	   *name;

	if (classid == ProcedureRelationId)
		return owner_now(classid, objid) == BOOTSTRAP_SUPERUSERID &&
			column_now(classid, objid, Anum_pg_proc_prolang) == INTERNALlanguageId;
	if (classid != NamespaceRelationId)
		return false;
	tuple = row_now(classid, objid);
	if (!HeapTupleIsValid(tuple))
		return false;
	name = NameStr(((Form_pg_namespace) GETSTRUCT(tuple))->nspname);
	return strncmp(name, "pg_temp_", 8) == 0 ||
		strncmp(name, "pg_toast_temp_", 14) == 0;
}

/*
 * May it have its functions called by whoever uses the object?  PostgreSQL
 * asks for EXECUTE only when it is made: afterwards ANALYZE calls those of a
 * range type, and the planner an operator's for its estimates.
 */
static bool
may_make_of_functions(Authority *authority, Oid classid, Oid objid)
{
	Oid			functions[2] = {InvalidOid, InvalidOid};
	HeapTuple	tuple;

	switch (classid)
	{
		case TypeRelationId:
			/* the row of a range is there once its array type is made */
			tuple = row_by_index(RangeRelationId, RangeTypidIndexId,
								 Anum_pg_range_rngtypid,
								 column_now(classid, objid, Anum_pg_type_typelem));
			if (HeapTupleIsValid(tuple))
			{
				functions[0] = ((Form_pg_range) GETSTRUCT(tuple))->rngcanonical;
				functions[1] = ((Form_pg_range) GETSTRUCT(tuple))->rngsubdiff;
			}
			break;
		case OperatorRelationId:
			functions[0] = column_now(classid, objid, Anum_pg_operator_oprcode);
			break;
		case ConversionRelationId:
			functions[0] = column_now(classid, objid, Anum_pg_conversion_conproc);
			break;
		case TransformRelationId:
			functions[0] = column_now(classid, objid, Anum_pg_transform_trffromsql);
			functions[1] = column_now(classid, objid, Anum_pg_transform_trftosql);
			break;
	}
	for (size_t i = 0; i < lengthof(functions); i++)
	{
		if (OidIsValid(functions[i]) &&
			!has_privilege(authority, ProcedureRelationId, functions[i], ACL_EXECUTE))
			return false;
	}
	return true;
}

static void
judge_object(ObjectAccessType access, Oid classid, Oid objid, int subid,
			 void *arg)
{
	bool		created = access == OAT_POST_CREATE && subid == 0;
	bool		internal;
	Oid			auxiliary = InvalidOid;
	Authority	authority;

	if (likely(!must_be_judged()))
		return;
	if (classid == AuthIdRelationId || classid == AuthMemRelationId ||
		classid == DefaultAclRelationId)
		return;					/* the utility hook's */
	if (created && is_by_product(classid, objid))
		return;
	if (access == OAT_POST_CREATE)
	{
		internal = ((ObjectAccessPostCreate *) arg)->is_internal;
		/* these would be marked as well when they come with a table */
		if (classid == AttrDefaultRelationId || classid == ConstraintRelationId)
			internal = false;
		check_owner(actor);
	}
	else
	{
		internal = ((ObjectAccessPostAlter *) arg)->is_internal;
		auxiliary = ((ObjectAccessPostAlter *) arg)->auxiliary_id;
		/* but these make somebody's partition */
		if (classid == InheritsRelationId)
			internal = false;
	}
	if (internal)
		return;

	get_authority(&authority, JIT_FILTER_STANDING);
	if (created && !may_make_of_functions(&authority, classid, objid))
		refuse(&authority);
	if (authorized(&authority, created, classid, objid, auxiliary))
		return;
	if (!is_temporary_table(classid, objid) &&
		!is_plain(created, classid, objid, subid, auxiliary))
		refuse(&authority);

	/* allowed while the access lasts: does it? */
	if (jit_needs_judging(actor))
	{
		get_authority(&authority, JIT_FILTER_LIVE);
		if (!authorized(&authority, created, classid, objid, auxiliary))
			jit_deny(authority.missing_kind ? authority.missing_kind : "role",
					 authority.missing_name ? authority.missing_name :
					 jit_role_name(actor),
					 actor, NULL);
	}
}

/*
 * Called by the object access hook when an object was made or altered, before
 * the command counter is incremented.
 */
void
jit_check_lasting_object(ObjectAccessType access, Oid classid, Oid objid,
						 int subid, void *arg)
{
	if (OidIsValid(actor))
	{
		judge_object(access, classid, objid, subid, arg);
		return;
	}
	/* a function's doing, outside any command */
	actor = GetUserId();
	PG_TRY();
	{
		judge_object(access, classid, objid, subid, arg);
	}
	PG_FINALLY();
	{
		actor = InvalidOid;
	}
	PG_END_TRY();
}

/*
 * Called by the object access hook when an object is about to be dropped, be
 * it by CASCADE.  What guards or watches a relation may go together with it
 * only, which jit_check_lasting_done() sees.
 */
void
jit_check_lasting_drop(Oid classid, Oid objid, int dropflags)
{
	Authority	authority;
	HeapTuple	tuple;
	Oid			relid = InvalidOid;
	MemoryContext context;

	if (!OidIsValid(actor) || likely(!must_be_judged()) ||
	/* a partition that is detached loses its parent's triggers */
		(classid != TriggerRelationId && (dropflags & PERFORM_DELETION_INTERNAL) != 0))
		return;
	switch (classid)
	{
		case PolicyRelationId:
			relid = column_now(classid, objid, Anum_pg_policy_polrelid);
			break;
		case RewriteRelationId:
			relid = column_now(classid, objid, Anum_pg_rewrite_ev_class);
			break;
		case TriggerRelationId:
			tuple = row_now(classid, objid);
			if (HeapTupleIsValid(tuple) &&
				!((Form_pg_trigger) GETSTRUCT(tuple))->tgisinternal)
				relid = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
			break;
	}
	if (!OidIsValid(relid) || isAnyTempNamespace(get_rel_namespace(relid)))
		return;
	get_authority(&authority, JIT_FILTER_STANDING);
	if (owns_relation(&authority, relid))
		return;
	context = MemoryContextSwitchTo(TopTransactionContext);
	unguarded = lappend_oid(unguarded, relid);
	MemoryContextSwitchTo(context);
}

/* ----------------------------------------------------------------------
 * Utility commands
 * ----------------------------------------------------------------------
 */

/* Every form of giving ownership to a role of ours. */
static void
check_new_owner(Node *stmt)
{
	RoleSpec   *role = NULL;
	ListCell   *lc;

	switch (nodeTag(stmt))
	{
		case T_AlterOwnerStmt:
			role = ((AlterOwnerStmt *) stmt)->newowner;
			break;
		case T_ReassignOwnedStmt:
			role = ((ReassignOwnedStmt *) stmt)->newrole;
			break;
		case T_CreateSchemaStmt:
			role = ((CreateSchemaStmt *) stmt)->authrole;
			break;
		case T_AlterTableStmt:
			foreach(lc, ((AlterTableStmt *) stmt)->cmds)
			{
				AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

				if (cmd->subtype == AT_ChangeOwner)
					role = cmd->newowner;
			}
			break;
		case T_CreatedbStmt:
			foreach(lc, ((CreatedbStmt *) stmt)->options)
			{
				DefElem    *option = lfirst_node(DefElem, lc);

				if (strcmp(option->defname, "owner") == 0 && option->arg)
					check_owner(get_role_oid(defGetString(option), true));
			}
			break;
		default:
			break;
	}
	if (role != NULL)
		check_owner(get_rolespec_oid(role, true));
}

/*
 * Forms of ALTER TABLE that change shape and contents only.  To make a table a
 * child gives whoever may read the parent what is in it.
 */
static bool
alters_plainly(const AlterTableCmd *cmd)
{
	switch (cmd->subtype)
	{
		case AT_AddColumn:
		case AT_ColumnDefault:
		case AT_CookedColumnDefault:
		case AT_DropNotNull:
		case AT_SetNotNull:
		case AT_DropExpression:
		case AT_SetStatistics:
		case AT_SetOptions:
		case AT_ResetOptions:
		case AT_SetStorage:
		case AT_SetCompression:
		case AT_DropColumn:
		case AT_AddIndex:
		case AT_AddConstraint:
		case AT_AlterConstraint:
		case AT_ValidateConstraint:
		case AT_AddIndexConstraint:
		case AT_DropConstraint:
		case AT_AlterColumnType:
		case AT_ClusterOn:
		case AT_DropCluster:
		case AT_SetLogged:
		case AT_SetUnLogged:
		case AT_SetAccessMethod:
		case AT_SetTableSpace:
		case AT_SetRelOptions:
		case AT_ResetRelOptions:
		case AT_DropInherit:
		case AT_ReplicaIdentity:
		case AT_DetachPartition:
		case AT_DetachPartitionFinalize:
		case AT_AddIdentity:
		case AT_SetIdentity:
		case AT_DropIdentity:
			return true;		/* the object access hook sees the details */
		default:
			return false;
	}
}

static bool
may_alter_table(Authority *authority, const AlterTableStmt *stmt)
{
	ListCell   *lc;
	bool		plain = true;
	Oid			relid;

	foreach(lc, stmt->cmds)
		plain &= alters_plainly(lfirst_node(AlterTableCmd, lc)) ||
	/* an index conveys nothing */
		(stmt->objtype == OBJECT_INDEX &&
		 lfirst_node(AlterTableCmd, lc)->subtype == AT_AttachPartition);
	if (plain && stmt->objtype != OBJECT_VIEW && stmt->objtype != OBJECT_MATVIEW &&
		stmt->objtype != OBJECT_FOREIGN_TABLE)
		return true;
	relid = RangeVarGetRelid(stmt->relation, AccessShareLock, true);
	return !OidIsValid(relid) || isAnyTempNamespace(get_rel_namespace(relid)) ||
		owns_relation(authority, relid);
}

/* Is what was found by name somebody else's than the acting user's? */
static bool
found_is_foreign(Oid classid, Oid objid)
{
	return OidIsValid(objid) && is_foreign(classid, objid, actor);
}

/*
 * No object access hook comes once the partition key is there, and its
 * expressions run with the rights of whoever inserts.
 */
static bool
may_create_table(Authority *authority, const CreateStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->partspec ? stmt->partspec->partParams : NIL)
	{
		PartitionElem *elem = lfirst_node(PartitionElem, lc);

		if (elem->expr != NULL ||
			(elem->collation != NIL &&
			 found_is_foreign(CollationRelationId,
							  get_collation_oid(elem->collation, true))) ||
			(elem->opclass != NIL &&
			 (found_is_foreign(OperatorClassRelationId,
							   get_opclass_oid(BTREE_AM_OID, elem->opclass, true)) ||
			  found_is_foreign(OperatorClassRelationId,
							   get_opclass_oid(HASH_AM_OID, elem->opclass, true)))))
			return authority->closure != NIL;
	}
	return true;
}

/* Only when a foreign table is made does PostgreSQL ask for USAGE of it. */
static bool
may_use_server(Authority *authority, const char *name)
{
	Oid			server = get_foreign_server_oid(name, true);

	return !OidIsValid(server) ||
		has_privilege(authority, ForeignServerRelationId, server, ACL_USAGE);
}

/* An address that PostgreSQL will find the same; InvalidOid if there is none. */
static ObjectAddress
resolve(ObjectType objtype, Node *object)
{
	Relation	rel = NULL;
	ObjectAddress address = get_object_address(objtype, object, &rel,
											   AccessShareLock, true);

	if (rel != NULL)
		table_close(rel, NoLock);
	return address;
}

/*
 * Do grant options on the object come from standing authority only?
 * PostgreSQL grants in the name of the owner if it can; then of whom has most.
 */
static bool
may_grant_on(Authority *authority, const GrantStmt *stmt, Oid classid,
			 Oid objid)
{
	List	   *all = jit_role_closure(authority->userid, JIT_CLOSURE_PRIVS,
									   JIT_FILTER_NONE, 0);
	Oid			owner = classid == ParameterAclRelationId ?
	BOOTSTRAP_SUPERUSERID : jit_object_owner(classid, objid);
	ListCell   *lc;
	ListCell   *lc2;

	if (list_member_oid(all, owner))
		return has_role(authority, owner);
	if (authority->closure == NIL ||
		jit_object_aclmask(classid, objid, 0, all, ACLITEM_ALL_GOPTION_BITS) !=
		jit_object_aclmask(classid, objid, 0, authority->closure,
						   ACLITEM_ALL_GOPTION_BITS))
		return lacks_role(authority, owner);
	foreach(lc, stmt->privileges)
	{
		foreach(lc2, lfirst_node(AccessPriv, lc)->cols)
		{
			AttrNumber	attnum = get_attnum(objid, strVal(lfirst(lc2)));

			if (attnum != InvalidAttrNumber &&
				jit_object_aclmask(classid, objid, attnum, all,
								   ACLITEM_ALL_GOPTION_BITS) !=
				jit_object_aclmask(classid, objid, attnum, authority->closure,
								   ACLITEM_ALL_GOPTION_BITS))
				return lacks_role(authority, owner);
		}
	}
	return true;
}

static bool
may_grant(Authority *authority, const GrantStmt *stmt)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, stmt->objects)
	{
		Node	   *object = lfirst(lc);
		ObjectAddress address = InvalidObjectAddress;

		if (stmt->targtype == ACL_TARGET_ALL_IN_SCHEMA)
		{
			Oid			namespace = get_namespace_oid(strVal(object), true);
			bool		routines = stmt->objtype != OBJECT_TABLE &&
			stmt->objtype != OBJECT_SEQUENCE;

			foreach(lc2, OidIsValid(namespace) ?
					jit_objects_in_schema(stmt->objtype, namespace) : NIL)
			{
				if (!may_grant_on(authority, stmt, routines ?
								  ProcedureRelationId : RelationRelationId,
								  lfirst_oid(lc2)))
					return false;
			}
			continue;
		}
		switch (stmt->objtype)
		{
			case OBJECT_TABLE:
			case OBJECT_SEQUENCE:
				ObjectAddressSet(address, RelationRelationId,
								 RangeVarGetRelid((RangeVar *) object,
												  AccessShareLock, true));
				break;
			case OBJECT_DOMAIN:
			case OBJECT_TYPE:
				address = resolve(OBJECT_TYPE,
								  (Node *) makeTypeNameFromNameList((List *) object));
				break;
			case OBJECT_PARAMETER_ACL:
				ObjectAddressSet(address, ParameterAclRelationId,
								 ParameterAclLookup(strVal(object), true));
				break;
			default:
				address = resolve(stmt->objtype, object);
				break;
		}
		if (OidIsValid(address.objectId) &&
			!may_grant_on(authority, stmt, address.classId, address.objectId))
			return false;
	}
	return true;
}

/* A list of RoleSpec, all of which it may do something with. */
static bool
for_all_roles(Authority *authority, List *roles,
			  bool (*allowed) (Authority *authority, Oid role))
{
	ListCell   *lc;

	if (authority->closure == NIL)
		return false;
	foreach(lc, roles)
	{
		Oid			role = get_rolespec_oid(lfirst_node(RoleSpec, lc), true);

		if (OidIsValid(role) && !allowed(authority, role))
			return false;
	}
	return true;
}

static bool
may_grant_roles(Authority *authority, const GrantRoleStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->granted_roles)
	{
		char	   *name = lfirst_node(AccessPriv, lc)->priv_name;
		Oid			role = name ? get_role_oid(name, true) : InvalidOid;

		if (OidIsValid(role) && !may_administer(authority, role))
			return false;
	}
	return authority->closure != NIL;
}

/* ALTER DEFAULT PRIVILEGES: FOR ROLE, or of the acting role itself. */
static bool
may_set_defaults(Authority *authority, const AlterDefaultPrivilegesStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "roles") == 0 &&
			!for_all_roles(authority, (List *) option->arg, may_give_to))
			return false;
	}
	return authority->closure != NIL;
}

/* A new role's memberships are granted by whoever makes it. */
static bool
may_create_role(Authority *authority, const CreateRoleStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "addroleto") == 0 &&
			!for_all_roles(authority, (List *) option->arg, may_administer))
			return false;
	}
	return authority->closure != NIL;
}

static bool
may_alter_role(Authority *authority, const RoleSpec *role)
{
	Oid			roleid = role ? get_rolespec_oid(role, true) : InvalidOid;

	return authority->closure != NIL &&
		(!OidIsValid(roleid) || roleid == authority->userid ||
		 may_administer(authority, roleid));
}

/*
 * May it store a setting of that parameter, or reset any?  Whoever may SET it
 * now is believed at each login from then on.
 */
static bool
may_store_setting(Authority *authority, const VariableSetStmt *set)
{
	bool		any = set->kind == VAR_RESET_ALL;
	Oid			parameter = any ? InvalidOid : ParameterAclLookup(set->name, true);
	List	   *all = jit_role_closure(authority->userid, JIT_CLOSURE_PRIVS,
									   JIT_FILTER_NONE, 0);
	Relation	catalog = table_open(ParameterAclRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	bool		result = true;

	while (result && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			objid = ((Form_pg_parameter_acl) GETSTRUCT(tuple))->oid;

		if ((any || objid == parameter) &&
			jit_object_aclmask(ParameterAclRelationId, objid, 0, all, ACL_SET) != 0)
			result = has_privilege(authority, ParameterAclRelationId, objid, ACL_SET);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return result;
}

/* DROP of what protects or watches a table. */
static bool
may_drop(Authority *authority, const DropStmt *stmt)
{
	ListCell   *lc;

	if (stmt->removeType != OBJECT_POLICY && stmt->removeType != OBJECT_RULE &&
		stmt->removeType != OBJECT_TRIGGER)
		return true;
	foreach(lc, stmt->objects)
	{
		/* the relation's name comes first */
		List	   *names = lfirst_node(List, lc);
		Oid			relid;

		if (list_length(names) < 2)
			continue;
		relid = RangeVarGetRelid(makeRangeVarFromNameList(list_truncate(list_copy(names),
																		list_length(names) - 1)),
								 AccessShareLock, true);
		if (OidIsValid(relid) && !isAnyTempNamespace(get_rel_namespace(relid)) &&
			!owns_relation(authority, relid))
			return false;
	}
	return true;
}

/* Has it the role that owns the object?  True if there is none. */
static bool
owns_named(Authority *authority, ObjectType objtype, Node *object)
{
	ObjectAddress address = resolve(objtype, object);

	if (!OidIsValid(address.objectId))
		return true;
	/* casts and transforms go by their types */
	if (!has_owner(address.classId))
		return authorized(authority, false, address.classId, address.objectId,
						  InvalidOid);
	return has_role(authority, jit_object_owner(address.classId, address.objectId));
}

static bool
may_change_owner(Authority *authority, const AlterOwnerStmt *stmt)
{
	Node	   *object = stmt->object;

	if (!for_all_roles(authority, list_make1(stmt->newowner), may_give_to))
		return false;
	/* as AlterTypeOwner() does */
	if (stmt->objectType == OBJECT_TYPE || stmt->objectType == OBJECT_DOMAIN)
		object = (Node *) makeTypeNameFromNameList(castNode(List, object));
	return owns_named(authority, stmt->objectType, object);
}

/* No object access hook comes.  A trigger is whoever's the relation is. */
static bool
may_let_depend(Authority *authority, const AlterObjectDependsStmt *stmt)
{
	Oid			relid;

	if (stmt->relation == NULL)
		return owns_named(authority, stmt->objectType, stmt->object);
	relid = RangeVarGetRelid(stmt->relation, AccessShareLock, true);
	return !OidIsValid(relid) || owns_relation(authority, relid);
}

/* Labels say how well an object is to be guarded. */
static bool
may_label(Authority *authority, const SecLabelStmt *stmt)
{
	if (stmt->objtype == OBJECT_ROLE)
		return authority->closure != NIL;
	return owns_named(authority, stmt->objtype, stmt->object);
}

static bool
may_run(Authority *authority, Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_GrantStmt:
			return may_grant(authority, (GrantStmt *) stmt);
		case T_GrantRoleStmt:
			return may_grant_roles(authority, (GrantRoleStmt *) stmt);
		case T_AlterDefaultPrivilegesStmt:
			return may_set_defaults(authority, (AlterDefaultPrivilegesStmt *) stmt);
		case T_ReassignOwnedStmt:
			return for_all_roles(authority, ((ReassignOwnedStmt *) stmt)->roles, has_role) &&
				for_all_roles(authority, list_make1(((ReassignOwnedStmt *) stmt)->newrole),
							  has_role);
		case T_DropOwnedStmt:
			return for_all_roles(authority, ((DropOwnedStmt *) stmt)->roles, has_role);
		case T_CreateRoleStmt:
			return may_create_role(authority, (CreateRoleStmt *) stmt);
		case T_AlterRoleStmt:
			return may_alter_role(authority, ((AlterRoleStmt *) stmt)->role);
		case T_AlterRoleSetStmt:
			return may_alter_role(authority, ((AlterRoleSetStmt *) stmt)->role) &&
				may_store_setting(authority, ((AlterRoleSetStmt *) stmt)->setstmt);
		case T_AlterDatabaseSetStmt:
			return may_store_setting(authority, ((AlterDatabaseSetStmt *) stmt)->setstmt);
		case T_DropRoleStmt:
			return for_all_roles(authority, ((DropRoleStmt *) stmt)->roles, may_administer);
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType != OBJECT_ROLE)
				return true;
			else
			{
				Oid			role = get_role_oid(((RenameStmt *) stmt)->subname, true);

				return !OidIsValid(role) || may_administer(authority, role);
			}
		case T_AlterEnumStmt:
			/* what is stored would mean something else */
			return ((AlterEnumStmt *) stmt)->oldVal == NULL ||
				owns_named(authority, OBJECT_TYPE,
						   (Node *) makeTypeNameFromNameList(((AlterEnumStmt *) stmt)->typeName));
		case T_AlterTableStmt:
			return may_alter_table(authority, (AlterTableStmt *) stmt);
		case T_CreateStmt:
			return may_create_table(authority, (CreateStmt *) stmt);
		case T_CreateForeignTableStmt:
			return may_use_server(authority, ((CreateForeignTableStmt *) stmt)->servername);
		case T_ImportForeignSchemaStmt:
			return may_use_server(authority, ((ImportForeignSchemaStmt *) stmt)->server_name);
		case T_DropStmt:
			return may_drop(authority, (DropStmt *) stmt);
		case T_SecLabelStmt:
			return may_label(authority, (SecLabelStmt *) stmt);
		case T_AlterExtensionContentsStmt:
			/* the extension's owner drops it; whose that is, the hook sees */
			return owns_named(authority,
							  ((AlterExtensionContentsStmt *) stmt)->objtype,
							  ((AlterExtensionContentsStmt *) stmt)->object);
		case T_AlterObjectDependsStmt:
			/* the same, without being part of it */
			return may_let_depend(authority, (AlterObjectDependsStmt *) stmt);
		case T_AlterOwnerStmt:
			return may_change_owner(authority, (AlterOwnerStmt *) stmt);
		case T_CreateSchemaStmt:
			/* PostgreSQL makes it as that role, not as the actor */
			return ((CreateSchemaStmt *) stmt)->authrole == NULL ||
				(role_is_temporary() &&
				 get_rolespec_oid(((CreateSchemaStmt *) stmt)->authrole, true) == actor) ||
				for_all_roles(authority, list_make1(((CreateSchemaStmt *) stmt)->authrole),
							  may_give_to);
		case T_CreatedbStmt:
			return authority->closure != NIL;
		case T_CreateSubscriptionStmt:
			{
				/* from 16 on, members of this role may */
				Oid			role = get_role_oid("pg_create_subscription", true);

				return authority->closure != NIL &&
					(!OidIsValid(role) || has_role(authority, role));
			}
		default:
			return true;
	}
}

/*
 * Called by the utility hook before a command is run.  Its caller has saved
 * what jit_lasting_state() gave, and puts it back when the command is done.
 */
void
jit_check_lasting(Node *stmt)
{
	Authority	authority;

	actor = GetUserId();
	unguarded = NIL;
	if (IsA(stmt, TransactionStmt))
		return;					/* perhaps no catalogs to look at */
	check_new_owner(stmt);
	if (likely(!must_be_judged()))
		return;
	command = GetCommandTagName(CreateCommandTag(stmt));
	get_authority(&authority, JIT_FILTER_STANDING);
	if (!may_run(&authority, stmt))
		refuse(&authority);
}

/* The same after it was run. */
void
jit_check_lasting_done(void)
{
	ListCell   *lc;
	Authority	authority;

	foreach(lc, unguarded)
	{
		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(lc))))
			continue;
		get_authority(&authority, JIT_FILTER_STANDING);
		(void) owns_relation(&authority, lfirst_oid(lc));
		refuse(&authority);
	}
}

JitLastingState
jit_lasting_state(void)
{
	JitLastingState state = {actor, command, unguarded};

	return state;
}

void
jit_restore_lasting_state(JitLastingState state)
{
	actor = state.actor;
	command = state.command;
	unguarded = state.unguarded;
}
