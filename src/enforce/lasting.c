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
 * Who acts, and by what authority, is authority.c's to say; commands.c has the
 * utility hook's part, this file what the object access hook sees.
 *
 * Nothing in here allows anything; it can only raise.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/text.h"
#include "enforce/judge.h"
#include "enforce/lasting.h"
#include "enforce/written.h"

#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_conversion.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_default_acl.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_language.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_publication_rel.h"
#include "catalog/pg_range.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_subscription.h"
#include "catalog/pg_transform.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_user_mapping.h"
#include "nodes/nodeFuncs.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

/*
 * Relations that a policy, trigger or rule of has been dropped by the command
 * so far, and range types that it has made; in TopTransactionContext, as no
 * command that does either commits.
 */
List	   *jit_unguarded = NIL;
List	   *jit_made_ranges = NIL;

/* ----------------------------------------------------------------------
 * Somebody else's hand
 * ----------------------------------------------------------------------
 */

/* Is it a role that couldn't drop what is the owner's otherwise? */
static bool
is_stranger(Oid role, Oid owner)
{
	return OidIsValid(role) && role != owner && !superuser_arg(role) &&
		role != ROLE_PG_DATABASE_OWNER &&
		role != jit_owner_now(DatabaseRelationId, MyDatabaseId);
}

/*
 * Does somebody else than the owner have a hand in the object?  A superuser's
 * goes as well when its extension or schema is dropped, by whoever owns that.
 */
bool
jit_is_foreign(Oid classid, Oid objid, Oid owner)
{
	Oid			other = jit_owner_now(classid, objid);
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
	namespace = jit_column_now(classid, objid, get_object_attnum_namespace(classid));
	return is_stranger(jit_owner_now(ExtensionRelationId,
									 getExtensionOfObject(classid, objid)), owner) ||
		is_stranger(jit_owner_now(NamespaceRelationId, namespace), owner);
}

/*
 * Do the expressions of an object, or what it refers to, belong to somebody
 * else than the owner?  Pinned objects have no dependencies, and extensions'
 * are mostly superusers'.
 */
static bool
depends_on_foreign(Oid classid, Oid objid, Oid owner)
{
	JitScan		scan;
	HeapTuple	tuple;
	bool		result = false;

	jit_begin_scan(&scan, DependRelationId, DependDependerIndexId, SnapshotSelf,
				   2, Anum_pg_depend_classid, classid, Anum_pg_depend_objid, objid);
	while (!result && HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		/* DEPENDS ON EXTENSION is judged by itself */
		result = form->deptype != DEPENDENCY_AUTO_EXTENSION &&
			jit_has_owner(form->refclassid) &&
			jit_is_foreign(form->refclassid, form->refobjid, owner);
	}
	jit_end_scan(&scan);
	return result;
}

/*
 * Functions of PostgreSQL's own that aren't immutable, and run no code but
 * PostgreSQL's: they take no query and no name of a type, call no cast that
 * somebody may make, and tell nobody what they are given.
 */
static const char *const harmless_functions[] = {
	/* what the time is, who one is, and where */
	"clock_timestamp", "current_database", "current_schema",
	"current_schemas", "current_setting", "current_user", "getpgusername",
	"now", "session_user", "statement_timestamp", "timeofday",
	"transaction_timestamp", "version",
	/* numbers that are new each time */
	"gen_random_uuid", "nextval", "random",
	/* dates and times */
	"age", "date", "date_part", "date_trunc", "extract",
	"interval_pl_timestamptz", "make_timestamptz", "overlaps", "time",
	"timestamp", "timestamptz", "timestamptz_mi_interval",
	"timestamptz_pl_interval", "timetz", "timezone", "to_char", "to_date",
	"to_number", "to_timestamp",
	"date_eq_timestamptz", "date_ge_timestamptz", "date_gt_timestamptz",
	"date_le_timestamptz", "date_lt_timestamptz", "date_ne_timestamptz",
	"timestamp_eq_timestamptz", "timestamp_ge_timestamptz",
	"timestamp_gt_timestamptz", "timestamp_le_timestamptz",
	"timestamp_lt_timestamptz", "timestamp_ne_timestamptz",
	"timestamptz_eq_date", "timestamptz_ge_date", "timestamptz_gt_date",
	"timestamptz_le_date", "timestamptz_lt_date", "timestamptz_ne_date",
	"timestamptz_eq_timestamp", "timestamptz_ge_timestamp",
	"timestamptz_gt_timestamp", "timestamptz_le_timestamp",
	"timestamptz_lt_timestamp", "timestamptz_ne_timestamp",
	/* text, and what has no name of a type in it to and from it */
	"anytextcat", "array_to_string", "concat", "concat_ws", "format", "money",
	"numeric", "quote_literal", "quote_nullable", "regclass", "textanycat",
	"array_out", "cash_in", "cash_out", "date_in", "date_out", "enum_in",
	"enum_out", "interval_in", "interval_out", "multirange_out", "range_out",
	"record_out", "regclassin", "regclassout", "time_in", "timestamp_in",
	"timestamp_out", "timestamptz_in", "timestamptz_out", "timetz_in"
};

/*
 * Could the function run a query that is given to it as text, or the checks of
 * a domain that it is given the name or OID of, where no dependency shows whose
 * code that leads to, or tell others what it is given?  Yes, unless it is
 * immutable or known.
 */
static bool
runs_unknown_code(Oid funcid, void *context)
{
	char	   *name;

	if (func_volatile(funcid) == PROVOLATILE_IMMUTABLE)
		return false;
	name = get_func_name(funcid);
	if (funcid >= FirstUnpinnedObjectId || name == NULL)
		return true;
	for (size_t i = 0; i < lengthof(harmless_functions); i++)
	{
		if (strcmp(name, harmless_functions[i]) == 0)
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
	JitScan		scan;
	HeapTuple	tuple;
	bool		result = false;

	jit_begin_scan(&scan, AttrDefaultRelationId, AttrDefaultIndexId,
				   SnapshotSelf, 1, Anum_pg_attrdef_adrelid, relid);
	while (!result && HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		Form_pg_attrdef form = (Form_pg_attrdef) GETSTRUCT(tuple);

		result = form->adnum == attnum &&
			(depends_on_foreign(AttrDefaultRelationId, form->oid, owner) ||
			 expression_runs_unknown_code(scan.rel, tuple, Anum_pg_attrdef_adbin));
	}
	jit_end_scan(&scan);
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
	JitScan		scan;
	HeapTuple	tuple;
	bool		result = false;

	jit_begin_scan(&scan, AttributeRelationId, AttributeRelidNumIndexId,
				   SnapshotSelf, 1, Anum_pg_attribute_attrelid, relid);
	while (!result && HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		Form_pg_attribute form = (Form_pg_attribute) GETSTRUCT(tuple);
		char	   *before = get_attname(relid, form->attnum, true);

		result = form->attnum > 0 && !form->attisdropped &&
			(jit_is_foreign(TypeRelationId, form->atttypid, owner) ||
			 (OidIsValid(form->attcollation) &&
			  jit_is_foreign(CollationRelationId, form->attcollation, owner)) ||
			 (before != NULL && strcmp(before, NameStr(form->attname)) != 0));
	}
	jit_end_scan(&scan);
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
	char	   *before = jit_cached_name(TypeRelationId, typid);

	return before == NULL ||
		(jit_cached_namespace(TypeRelationId, typid) == now->typnamespace &&
		 strcmp(before, NameStr(now->typname)) == 0);
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

	if (jit_owner_now(NamespaceRelationId, namespace) == owner ||
		isAnyTempNamespace(namespace))
		return true;
	foreach(lc, jit_role_closure(jit_actor, JIT_CLOSURE_PRIVS, JIT_FILTER_LIVE, jit_now()))
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
	HeapTuple	tuple = jit_row_now(RelationRelationId, relid);
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
				 !jit_is_foreign(TypeRelationId, now->reloftype, now->relowner));
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

/* A constraint with nobody else's code, and that writes for nobody? */
static bool
constraint_is_plain(Oid objid)
{
	HeapTuple	tuple = jit_row_now(ConstraintRelationId, objid);
	Form_pg_constraint form;
	Relation	catalog;
	Oid			relid;
	bool		unknown;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	relid = form->conrelid;

	/*
	 * CASCADE and the like write for whoever may write elsewhere; a partition
	 * has them from its parent.
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
							jit_owner_now(RelationRelationId, relid));
}

/* A type without code, which keeps its owner and its name? */
static bool
type_is_plain(bool created, Oid objid)
{
	HeapTuple	tuple = jit_row_now(TypeRelationId, objid);
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

/*
 * New statistics without expressions, which ANALYZE computes with the table
 * owner's rights?
 */
static bool
statistics_are_plain(bool created, Oid objid)
{
	HeapTuple	tuple = jit_row_now(StatisticExtRelationId, objid);
	Relation	catalog;
	bool		has_no_expressions;

	if (!created || !HeapTupleIsValid(tuple))
		return false;
	catalog = table_open(StatisticExtRelationId, AccessShareLock);
	has_no_expressions = heap_attisnull(tuple, Anum_pg_statistic_ext_stxexprs,
										RelationGetDescr(catalog));
	table_close(catalog, AccessShareLock);
	return has_no_expressions;
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
									   jit_owner_now(RelationRelationId, objid));
		case InheritsRelationId:
			return jit_owner_now(RelationRelationId, objid) ==
				jit_owner_now(RelationRelationId, auxiliary);
		case ConstraintRelationId:
			return constraint_is_plain(objid);
		case TypeRelationId:
			return type_is_plain(created, objid);
		case NamespaceRelationId:
			/* a new one of a role that lasts */
			return created && jit_actor_is_temporary() &&
				jit_owner_now(NamespaceRelationId, objid) == jit_actor;
		case StatisticExtRelationId:
			return statistics_are_plain(created, objid);
		case LargeObjectRelationId:
			return true;
		default:
			return false;
	}
}

/*
 * What belongs to a relation, and the column that says to which; none where
 * its OID is the relation's.
 */
static const struct
{
	Oid			classid;
	AttrNumber	relation;
}			parts_of_relations[] =

{
	{IndexRelationId, InvalidAttrNumber},
	{AttrDefaultRelationId, InvalidAttrNumber},
	{ForeignTableRelationId, InvalidAttrNumber},
	{PolicyRelationId, Anum_pg_policy_polrelid},
	{RewriteRelationId, Anum_pg_rewrite_ev_class},
	{TriggerRelationId, Anum_pg_trigger_tgrelid},
	{PublicationRelRelationId, Anum_pg_publication_rel_prrelid},
	{StatisticExtRelationId, Anum_pg_statistic_ext_stxrelid}
};

/* The relation that something belongs to; InvalidOid if there is none. */
static Oid
relation_of(Oid classid, Oid objid)
{
	for (size_t i = 0; i < lengthof(parts_of_relations); i++)
	{
		if (parts_of_relations[i].classid == classid)
			return parts_of_relations[i].relation == InvalidAttrNumber ? objid :
				jit_column_now(classid, objid, parts_of_relations[i].relation);
	}
	return InvalidOid;
}

/* Is it the owner of the relation? */
bool
jit_owns_relation(JitAuthority *authority, Oid relid)
{
	Oid			owner = jit_object_owner(RelationRelationId, relid);

	if (!OidIsValid(owner))
		owner = jit_owner_now(RelationRelationId, relid);	/* new as well */
	return jit_has_role(authority, owner);
}

/* May it refer to the table by a foreign key? */
static bool
may_refer(JitAuthority *authority, Oid relid, HeapTuple constraint)
{
	Relation	catalog;
	Datum		value;
	bool		isnull;
	ArrayType  *array;
	int16	   *attnums;

	if (jit_has_privilege(authority, RelationRelationId, relid, ACL_REFERENCES))
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
authorized_constraint(JitAuthority *authority, Oid objid)
{
	HeapTuple	tuple = jit_row_now(ConstraintRelationId, objid);
	Form_pg_constraint form;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	if (!OidIsValid(form->conrelid))
		return jit_has_role(authority, jit_owner_now(TypeRelationId, form->contypid));
	return jit_owns_relation(authority, form->conrelid) &&
		(!OidIsValid(form->confrelid) ||
		 may_refer(authority, form->confrelid, tuple));
}

static bool
authorized_trigger(JitAuthority *authority, Oid objid)
{
	HeapTuple	tuple = jit_row_now(TriggerRelationId, objid);
	Form_pg_trigger form;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_trigger) GETSTRUCT(tuple);
	return (jit_has_privilege(authority, RelationRelationId, form->tgrelid,
							  ACL_TRIGGER) ||
			jit_owns_relation(authority, form->tgrelid)) &&
		jit_has_privilege(authority, ProcedureRelationId, form->tgfoid, ACL_EXECUTE);
}

/* May it have the function in the language that this command gives it? */
static bool
may_use_language(JitAuthority *authority, Oid objid)
{
	Oid			now = jit_column_now(ProcedureRelationId, objid, Anum_pg_proc_prolang);

	return now == jit_cached_oid(ProcedureRelationId, objid, Anum_pg_proc_prolang) ||
		jit_has_privilege(authority, LanguageRelationId, now, ACL_USAGE);
}

/* An object with an owner, perhaps in a schema. */
static bool
authorized_by_owner(JitAuthority *authority, bool created, Oid classid, Oid objid)
{
	Oid			old = jit_object_owner(classid, objid);
	Oid			now = jit_owner_now(classid, objid);
	AttrNumber	namespace_attnum = get_object_attnum_namespace(classid);
	Oid			namespace = jit_column_now(classid, objid, namespace_attnum);

	if (!OidIsValid(now))
		return false;
	if (OidIsValid(old) && !jit_has_role(authority, old))
		return false;
	if (now != old && !jit_may_give_to(authority, now))
		return false;
	if (OidIsValid(namespace) &&
		(created || namespace != jit_cached_namespace(classid, objid)) &&
		!IsToastNamespace(namespace) &&
		!jit_has_privilege(authority, NamespaceRelationId, namespace, ACL_CREATE))
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
				return jit_has_privilege(authority, DatabaseRelationId, MyDatabaseId,
										 ACL_CREATE);
			case ForeignServerRelationId:
				return jit_has_privilege(authority, ForeignDataWrapperRelationId,
										 jit_column_now(classid, objid,
														Anum_pg_foreign_server_srvfdw),
										 ACL_USAGE);
		}
	}
	return true;
}

/* Would PostgreSQL have let just this authority do it? */
bool
jit_authorized(JitAuthority *authority, bool created, Oid classid, Oid objid,
			   Oid auxiliary)
{
	HeapTuple	tuple;
	Oid			relid;

	if (authority->closure == NIL)
		return false;
	switch (classid)
	{
		case LargeObjectRelationId:
			return true;		/* anybody may make one */
		case InheritsRelationId:
			return jit_owns_relation(authority, objid) &&
				jit_owns_relation(authority, auxiliary);
		case ConstraintRelationId:
			return authorized_constraint(authority, objid);
		case TriggerRelationId:
			return authorized_trigger(authority, objid);
		case CastRelationId:
			return jit_has_role(authority,
								jit_owner_now(TypeRelationId,
											  jit_column_now(classid, objid, Anum_pg_cast_castsource))) ||
				jit_has_role(authority,
							 jit_owner_now(TypeRelationId,
										   jit_column_now(classid, objid, Anum_pg_cast_casttarget)));
		case TransformRelationId:
			return jit_has_role(authority,
								jit_owner_now(TypeRelationId,
											  jit_column_now(classid, objid, Anum_pg_transform_trftype)));
		case UserMappingRelationId:
			tuple = jit_row_now(classid, objid);
			if (!HeapTupleIsValid(tuple))
				return false;
			else
			{
				Form_pg_user_mapping form = (Form_pg_user_mapping) GETSTRUCT(tuple);

				return (form->umuser == authority->userid &&
						jit_has_privilege(authority, ForeignServerRelationId,
										  form->umserver, ACL_USAGE)) ||
					jit_has_role(authority,
								 jit_owner_now(ForeignServerRelationId, form->umserver));
			}
		case StatisticExtRelationId:
			return jit_owns_relation(authority, relation_of(classid, objid)) &&
				authorized_by_owner(authority, created, classid, objid);
		case DbRoleSettingRelationId:
			/* objid is the database, auxiliary the role; either may be 0 */
			if (OidIsValid(auxiliary))
				return auxiliary == authority->userid ||
					jit_may_administer(authority, auxiliary);
			return jit_has_role(authority, jit_owner_now(DatabaseRelationId, objid));
	}
	if (jit_has_owner(classid))
		return authorized_by_owner(authority, created, classid, objid);
	relid = relation_of(classid, objid);
	return OidIsValid(relid) && jit_owns_relation(authority, relid);
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
				HeapTuple	tuple = jit_row_now(RelationRelationId, objid);
				Form_pg_class form;

				if (!HeapTupleIsValid(tuple))
					return false;
				form = (Form_pg_class) GETSTRUCT(tuple);
				return form->relpersistence == RELPERSISTENCE_TEMP &&
					form->relkind != RELKIND_VIEW;
			}
		case ConstraintRelationId:
			return isAnyTempNamespace(jit_column_now(classid, objid,
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
		return jit_owner_now(classid, objid) == BOOTSTRAP_SUPERUSERID &&
			jit_column_now(classid, objid, Anum_pg_proc_prolang) == INTERNALlanguageId;
	if (classid != NamespaceRelationId)
		return false;
	tuple = jit_row_now(classid, objid);
	if (!HeapTupleIsValid(tuple))
		return false;
	name = NameStr(((Form_pg_namespace) GETSTRUCT(tuple))->nspname);
	return strncmp(name, "pg_temp_", 8) == 0 ||
		strncmp(name, "pg_toast_temp_", 14) == 0;
}

static void
note_for_command(List **list, Oid oid)
{
	MemoryContext context = MemoryContextSwitchTo(TopTransactionContext);

	*list = lappend_oid(*list, oid);
	MemoryContextSwitchTo(context);
}

static bool
is_range(Oid typid)
{
	HeapTuple	tuple = jit_row_now(TypeRelationId, typid);

	return HeapTupleIsValid(tuple) &&
		((Form_pg_type) GETSTRUCT(tuple))->typtype == TYPTYPE_RANGE;
}

/*
 * May it have its functions called by whoever uses the object?  PostgreSQL
 * asks for EXECUTE only when it is made: afterwards ANALYZE calls those of a
 * range type, and the planner an operator's for its estimates.
 */
static bool
may_make_of_functions(JitAuthority *authority, Oid classid, Oid objid)
{
	Oid			functions[2] = {InvalidOid, InvalidOid};
	HeapTuple	tuple;

	switch (classid)
	{
		case RangeRelationId:
			tuple = jit_row_by_index(RangeRelationId, RangeTypidIndexId,
									 Anum_pg_range_rngtypid, objid);
			if (HeapTupleIsValid(tuple))
			{
				functions[0] = ((Form_pg_range) GETSTRUCT(tuple))->rngcanonical;
				functions[1] = ((Form_pg_range) GETSTRUCT(tuple))->rngsubdiff;
			}
			break;
		case OperatorRelationId:
			functions[0] = jit_column_now(classid, objid, Anum_pg_operator_oprcode);
			break;
		case ConversionRelationId:
			functions[0] = jit_column_now(classid, objid, Anum_pg_conversion_conproc);
			break;
		case TransformRelationId:
			functions[0] = jit_column_now(classid, objid, Anum_pg_transform_trffromsql);
			functions[1] = jit_column_now(classid, objid, Anum_pg_transform_trftosql);
			break;
	}
	for (size_t i = 0; i < lengthof(functions); i++)
	{
		if (OidIsValid(functions[i]) &&
			!jit_has_privilege(authority, ProcedureRelationId, functions[i], ACL_EXECUTE))
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
	JitAuthority authority;

	if (likely(!jit_actor_must_be_judged()))
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
		jit_check_owner(jit_actor);
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

	jit_get_authority(&authority, JIT_FILTER_STANDING);
	/* from 19 on the row of a range is what is written last, after all hooks */
	if (created && classid == TypeRelationId && is_range(objid))
		note_for_command(&jit_made_ranges, objid);
	if (created && !may_make_of_functions(&authority, classid, objid))
		jit_refuse_lasting(&authority);
	if (jit_authorized(&authority, created, classid, objid, auxiliary))
		return;
	if (!is_temporary_table(classid, objid) &&
		!is_plain(created, classid, objid, subid, auxiliary))
		jit_refuse_lasting(&authority);

	/* allowed while the access lasts: does it? */
	if (jit_needs_judging(jit_actor))
	{
		jit_get_authority(&authority, JIT_FILTER_LIVE);
		if (!jit_authorized(&authority, created, classid, objid, auxiliary))
			jit_deny(authority.missing_kind ? authority.missing_kind : "role",
					 authority.missing_name ? authority.missing_name :
					 jit_role_name(jit_actor),
					 jit_actor, NULL);
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
	if (OidIsValid(jit_actor))
	{
		judge_object(access, classid, objid, subid, arg);
		return;
	}
	/* a function's doing, outside any command */
	jit_actor = GetUserId();
	PG_TRY();
	{
		judge_object(access, classid, objid, subid, arg);
	}
	PG_FINALLY();
	{
		jit_actor = InvalidOid;
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
	JitAuthority authority;
	HeapTuple	tuple;
	Oid			relid;

	if (!OidIsValid(jit_actor) || likely(!jit_actor_must_be_judged()) ||
	/* a partition that is detached loses its parent's triggers */
		(classid != TriggerRelationId && (dropflags & PERFORM_DELETION_INTERNAL) != 0))
		return;
	if (classid == TriggerRelationId)
	{
		tuple = jit_row_now(classid, objid);
		if (!HeapTupleIsValid(tuple) ||
			((Form_pg_trigger) GETSTRUCT(tuple))->tgisinternal)
			return;
	}
	else if (classid != PolicyRelationId && classid != RewriteRelationId)
		return;
	relid = relation_of(classid, objid);
	if (!OidIsValid(relid) || isAnyTempNamespace(get_rel_namespace(relid)))
		return;
	jit_get_authority(&authority, JIT_FILTER_STANDING);
	if (!jit_owns_relation(&authority, relid))
		note_for_command(&jit_unguarded, relid);
}

/* Called when the command is done: what it has left. */
void
jit_check_lasting_done(void)
{
	ListCell   *lc;
	JitAuthority authority;

	foreach(lc, jit_unguarded)
	{
		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(lc))))
			continue;
		jit_get_authority(&authority, JIT_FILTER_STANDING);
		(void) jit_owns_relation(&authority, lfirst_oid(lc));
		jit_refuse_lasting(&authority);
	}
	foreach(lc, jit_made_ranges)
	{
		jit_get_authority(&authority, JIT_FILTER_STANDING);
		if (!may_make_of_functions(&authority, RangeRelationId, lfirst_oid(lc)))
			jit_refuse_lasting(&authority);
	}
}
