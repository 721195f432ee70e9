/*-------------------------------------------------------------------------
 *
 * acl.c
 *		PostgreSQL's own permission logic against a closure that we give.
 *
 * PostgreSQL asks "what may this role do", and finds the role's memberships
 * itself.  We need the same answer for a role as if some of its memberships
 * weren't there, so the closure is an argument here: a list of role OIDs
 * from jit_role_closure(), the role in question first.  If that is a
 * superuser, everything is permitted, as in PostgreSQL.
 *
 * Every function mirrors one in aclchk.c, acl.c or execMain.c, reads only
 * system caches (large objects aside), takes no locks, and works in parallel
 * workers.  An object that isn't there gives no privileges.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"

#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_language.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_largeobject_metadata.h"
#include "catalog/pg_parameter_acl.h"
#include "catalog/pg_tablespace.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#define DATA_WRITES (ACL_INSERT | ACL_UPDATE | ACL_DELETE)

/*
 * Bits of mask, grant option bits among them, that the ACL gives to the
 * closure.  Mirrors aclmask() with ACLMASK_ALL.
 */
AclMode
jit_aclmask(const Acl *acl, Oid owner, List *closure, AclMode mask)
{
	AclMode		result = 0;
	const AclItem *items = ACL_DAT(acl);

	/* the owner has all grant options */
	if ((mask & ACLITEM_ALL_GOPTION_BITS) && list_member_oid(closure, owner))
		result = mask & ACLITEM_ALL_GOPTION_BITS;

	for (int i = 0; i < ACL_NUM(acl); i++)
	{
		if (items[i].ai_grantee == ACL_ID_PUBLIC ||
			list_member_oid(closure, items[i].ai_grantee))
			result |= items[i].ai_privs & mask;
	}
	return result;
}

/* The object's kind as acldefault() wants it. */
static ObjectType
default_acl_kind(Oid classid, HeapTuple tuple)
{
	switch (classid)
	{
		case RelationRelationId:
			return ((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_SEQUENCE ?
				OBJECT_SEQUENCE : OBJECT_TABLE;
		case NamespaceRelationId:
			return OBJECT_SCHEMA;
		case DatabaseRelationId:
			return OBJECT_DATABASE;
		case ProcedureRelationId:
			return OBJECT_FUNCTION;
		case TypeRelationId:
			return OBJECT_TYPE;
		case LanguageRelationId:
			return OBJECT_LANGUAGE;
		case ForeignDataWrapperRelationId:
			return OBJECT_FDW;
		case ForeignServerRelationId:
			return OBJECT_FOREIGN_SERVER;
		case TableSpaceRelationId:
			return OBJECT_TABLESPACE;
		case LargeObjectMetadataRelationId:
			return OBJECT_LARGEOBJECT;
		case ParameterAclRelationId:
			return OBJECT_PARAMETER_ACL;
	}
	elog(ERROR, "unexpected object class %u", classid);
	return OBJECT_TABLE;		/* keep the compiler quiet */
}

/*
 * Owner of an object and, unless acl is NULL, a copy of its ACL, the default
 * one if it has none.  False if the object isn't there.
 */
static bool
owner_and_acl(Oid classid, Oid objid, Oid *owner, Acl **acl)
{
	int			cache;
	AttrNumber	owner_attnum;
	AttrNumber	acl_attnum;
	Relation	catalog = NULL;
	HeapTuple	tuple;
	Datum		value = (Datum) 0;
	bool		isnull = true;

	/* an address of a large object names the catalog of its pages */
	if (classid == LargeObjectRelationId)
		classid = LargeObjectMetadataRelationId;
	if (classid == ParameterAclRelationId)
	{
		/* objectaddress.c has no properties for these */
		cache = PARAMETERACLOID;
		owner_attnum = InvalidAttrNumber;
		acl_attnum = Anum_pg_parameter_acl_paracl;
	}
	else
	{
		cache = get_object_catcache_oid(classid);
		owner_attnum = get_object_attnum_owner(classid);
		acl_attnum = get_object_attnum_acl(classid);
	}

	if (cache >= 0)
		tuple = SearchSysCache1(cache, ObjectIdGetDatum(objid));
	else
	{
		/* large objects have no system cache */
		catalog = table_open(classid, AccessShareLock);
		tuple = get_catalog_object_by_oid(catalog,
										  get_object_attnum_oid(classid),
										  objid);
	}

	if (HeapTupleIsValid(tuple))
	{
		if (classid == ParameterAclRelationId)
			*owner = BOOTSTRAP_SUPERUSERID;
		else if (cache >= 0)
			*owner = DatumGetObjectId(SysCacheGetAttr(cache, tuple,
													  owner_attnum, &isnull));
		else
			*owner = DatumGetObjectId(heap_getattr(tuple, owner_attnum,
												   RelationGetDescr(catalog),
												   &isnull));
		if (acl != NULL)
		{
			if (cache >= 0)
				value = SysCacheGetAttr(cache, tuple, acl_attnum, &isnull);
			else
				value = heap_getattr(tuple, acl_attnum,
									 RelationGetDescr(catalog), &isnull);
			*acl = isnull ?
				acldefault(default_acl_kind(classid, tuple), *owner) :
				DatumGetAclPCopy(value);
		}
		if (cache >= 0)
			ReleaseSysCache(tuple);
	}
	if (catalog != NULL)
		table_close(catalog, AccessShareLock);
	return HeapTupleIsValid(tuple);
}

/* Owner of an object; InvalidOid if it is gone. */
Oid
jit_object_owner(Oid classid, Oid objid)
{
	Oid			owner;

	return owner_and_acl(classid, objid, &owner, NULL) ? owner : InvalidOid;
}

/*
 * What the ACL of one column gives.  Mirrors pg_attribute_aclmask(): nothing
 * by default, not even to the owner, whose privileges are the table's.
 */
static AclMode
column_aclmask(Oid relid, AttrNumber attnum, List *closure, AclMode mask)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
										Int16GetDatum(attnum));
	AclMode		result = 0;
	Datum		value;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return 0;
	value = SysCacheGetAttr(ATTNUM, tuple, Anum_pg_attribute_attacl, &isnull);
	if (!((Form_pg_attribute) GETSTRUCT(tuple))->attisdropped && !isnull)
	{
		Acl		   *acl = DatumGetAclPCopy(value);

		result = jit_aclmask(acl, jit_object_owner(RelationRelationId, relid),
							 closure, mask);
		pfree(acl);
	}
	ReleaseSysCache(tuple);
	return result;
}

/*
 * Bits of mask that the object's ACL gives to the closure: of the column's
 * ACL alone if attnum isn't 0.  Grant option bits may be asked for.  Mirrors
 * pg_xxx_aclmask(), the predefined roles included.
 */
AclMode
jit_object_aclmask(Oid classid, Oid objid, AttrNumber attnum, List *closure,
				   AclMode mask)
{
	Acl		   *acl;
	Oid			owner;
	AclMode		result;

	if (superuser_arg(linitial_oid(closure)))
		return mask;
	if (classid == RelationRelationId && attnum != InvalidAttrNumber)
		return column_aclmask(objid, attnum, closure, mask);
	if (classid == NamespaceRelationId && isTempNamespace(objid))
		return mask & (jit_object_aclmask(DatabaseRelationId, MyDatabaseId, 0,
										  closure, ACL_CREATE_TEMP) != 0 ?
					   ACL_ALL_RIGHTS_SCHEMA : ACL_USAGE);
	if (classid == TypeRelationId)
	{
		HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(objid));

		/* privileges on an array type are those on its elements' */
		if (HeapTupleIsValid(tuple))
		{
			Form_pg_type form = (Form_pg_type) GETSTRUCT(tuple);

			if (IsTrueArrayType(form))
				objid = form->typelem;
			ReleaseSysCache(tuple);
		}
	}

	/* nobody but a superuser writes to system catalogs */
	if (classid == RelationRelationId &&
		(mask & (DATA_WRITES | ACL_TRUNCATE | ACL_USAGE)) &&
		(IsCatalogRelationOid(objid) ||
		 IsToastNamespace(get_rel_namespace(objid))) &&
		get_rel_relkind(objid) != RELKIND_VIEW)
		mask &= ~(DATA_WRITES | ACL_TRUNCATE | ACL_USAGE);

	if (!owner_and_acl(classid, objid, &owner, &acl))
		return 0;
	result = jit_aclmask(acl, owner, closure, mask);
	pfree(acl);

	if (classid == RelationRelationId)
	{
		if ((mask & ACL_SELECT) && !(result & ACL_SELECT) &&
			list_member_oid(closure, ROLE_PG_READ_ALL_DATA))
			result |= ACL_SELECT;
		if ((mask & DATA_WRITES) && !(result & DATA_WRITES) &&
			list_member_oid(closure, ROLE_PG_WRITE_ALL_DATA))
			result |= mask & DATA_WRITES;
		result |= JIT_MAINTAIN_BY_ROLE(closure, mask);
	}
	else if (classid == NamespaceRelationId)
	{
		if ((mask & ACL_USAGE) && !(result & ACL_USAGE) &&
			(list_member_oid(closure, ROLE_PG_READ_ALL_DATA) ||
			 list_member_oid(closure, ROLE_PG_WRITE_ALL_DATA)))
			result |= ACL_USAGE;
	}
	else if (JIT_ALL_DATA_HAS_LARGE_OBJECTS && classid == LargeObjectRelationId)
	{
		if (list_member_oid(closure, ROLE_PG_READ_ALL_DATA))
			result |= mask & ACL_SELECT;
		if (list_member_oid(closure, ROLE_PG_WRITE_ALL_DATA))
			result |= mask & ACL_UPDATE;
	}
	return result;
}

/* pg_attribute_aclcheck_all(), with any or with all of the columns. */
static bool
columns_permitted(Oid relid, List *closure, AclMode mode, bool all)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	AttrNumber	natts;
	bool		result = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	ReleaseSysCache(tuple);

	for (AttrNumber attnum = 1; attnum <= natts; attnum++)
	{
		tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
								Int16GetDatum(attnum));
		if (!HeapTupleIsValid(tuple))
			continue;
		if (((Form_pg_attribute) GETSTRUCT(tuple))->attisdropped)
		{
			ReleaseSysCache(tuple);
			continue;
		}
		ReleaseSysCache(tuple);
		result = column_aclmask(relid, attnum, closure, mode) != 0;
		if (result != all)
			break;
	}
	return result;
}

/* ExecCheckPermissionsModified() */
static bool
modified_permitted(Oid relid, List *closure, Bitmapset *columns, AclMode mode)
{
	int			col = -1;

	if (bms_is_empty(columns))
		return columns_permitted(relid, closure, mode, false);
	while ((col = bms_next_member(columns, col)) >= 0)
	{
		AttrNumber	attnum = col + FirstLowInvalidHeapAttributeNumber;

		if (attnum == InvalidAttrNumber ||
			column_aclmask(relid, attnum, closure, mode) == 0)
			return false;
	}
	return true;
}

/*
 * Would the executor let the closure's role do what the range table entry
 * asks for?  Mirrors ExecCheckOneRelPerms(), ExecCheckRTEPerms() in 15.  The
 * caller has chosen the closure by checkAsUser.
 */
bool
jit_perminfo_permitted(const JitPermInfo *perminfo, List *closure)
{
	AclMode		remaining = perminfo->requiredPerms;
	Oid			relid = perminfo->relid;
	int			col = -1;

	if (remaining == 0 || superuser_arg(linitial_oid(closure)))
		return true;
	remaining &= ~jit_object_aclmask(RelationRelationId, relid, 0, closure,
									 remaining);
	if (remaining == 0)
		return true;
	if (remaining & ~(ACL_SELECT | ACL_INSERT | ACL_UPDATE))
		return false;

	if (remaining & ACL_SELECT)
	{
		if (bms_is_empty(perminfo->selectedCols) &&
			!columns_permitted(relid, closure, ACL_SELECT, false))
			return false;
		while ((col = bms_next_member(perminfo->selectedCols, col)) >= 0)
		{
			AttrNumber	attnum = col + FirstLowInvalidHeapAttributeNumber;

			if (attnum == InvalidAttrNumber)
			{
				if (!columns_permitted(relid, closure, ACL_SELECT, true))
					return false;
			}
			else if (column_aclmask(relid, attnum, closure, ACL_SELECT) == 0)
				return false;
		}
	}
	if ((remaining & ACL_INSERT) &&
		!modified_permitted(relid, closure, perminfo->insertedCols, ACL_INSERT))
		return false;
	if ((remaining & ACL_UPDATE) &&
		!modified_permitted(relid, closure, perminfo->updatedCols, ACL_UPDATE))
		return false;
	return true;
}

/*
 * Is it permitted to the closure?  It is a permission entry, a membership
 * (of classid pg_authid), a privilege on an object, or for 0 owning it.  What
 * is denied and what is noted as relied on are judged alike, by this.
 */
bool
jit_permitted(const JitPermInfo *info, Oid classid, Oid objid, AclMode mode,
			  List *closure)
{
	if (info != NULL)
		return jit_perminfo_permitted(info, closure);
	if (classid == AuthIdRelationId)
		return list_member_oid(closure, objid);
	if (mode == 0)
		return list_member_oid(closure, jit_object_owner(classid, objid));
	return jit_object_aclmask(classid, objid, 0, closure, mode) != 0;
}
