/*-------------------------------------------------------------------------
 *
 * commands.c
 *		Utility commands that would make temporary access lasting.
 *
 * Those that PostgreSQL runs no object access hook for: GRANT, roles, and some
 * forms of ALTER TABLE and DROP.  Names are resolved under a lock on the
 * object, which the command then finds the same.  See lasting.c for what may
 * be done, and why.  Nothing in here allows anything; it can only raise.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/item.h"
#include "enforce/commands.h"
#include "enforce/lasting.h"
#include "enforce/written.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_parameter_acl.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "nodes/makefuncs.h"
#include "tcop/utility.h"

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
					jit_check_owner(get_role_oid(defGetString(option), true));
			}
			break;
		default:
			break;
	}
	if (role != NULL)
		jit_check_owner(get_rolespec_oid(role, true));
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
may_alter_table(JitAuthority *authority, const AlterTableStmt *stmt)
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
		jit_owns_relation(authority, relid);
}

/* Is what was found by name somebody else's than the acting user's? */
static bool
found_is_foreign(Oid classid, Oid objid)
{
	return OidIsValid(objid) && jit_is_foreign(classid, objid, jit_actor);
}

/*
 * No object access hook comes once the partition key is there, and its
 * expressions run with the rights of whoever inserts.
 */
static bool
may_create_table(JitAuthority *authority, const CreateStmt *stmt)
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

/*
 * Only when a foreign table is made does PostgreSQL ask for USAGE of it, and for
 * a subscription whenever its worker starts.
 */
static bool
may_use_server(JitAuthority *authority, const char *name)
{
	Oid			server = name ? get_foreign_server_oid(name, true) : InvalidOid;

	return !OidIsValid(server) ||
		jit_has_privilege(authority, ForeignServerRelationId, server, ACL_USAGE);
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

/* Is it the role that is to be noted as the grantor, if one is named? */
static bool
acts_as(JitAuthority *authority, const RoleSpec *grantor)
{
	Oid			role = grantor ? get_rolespec_oid(grantor, true) : InvalidOid;

	return !OidIsValid(role) || jit_has_role(authority, role);
}

/*
 * Do grant options on the object come from standing authority only?
 * PostgreSQL grants in the name of the owner if it can; then of whom has most.
 */
static bool
may_grant_on(JitAuthority *authority, const GrantStmt *stmt, Oid classid,
			 Oid objid)
{
	List	   *all = jit_role_closure(authority->userid, JIT_CLOSURE_PRIVS,
									   JIT_FILTER_NONE, 0);
	Oid			owner = classid == ParameterAclRelationId ?
	BOOTSTRAP_SUPERUSERID : jit_object_owner(classid, objid);
	ListCell   *lc;
	ListCell   *lc2;

	if (list_member_oid(all, owner))
		return jit_has_role(authority, owner);
	if (authority->closure == NIL ||
		jit_object_aclmask(classid, objid, 0, all, ACLITEM_ALL_GOPTION_BITS) !=
		jit_object_aclmask(classid, objid, 0, authority->closure,
						   ACLITEM_ALL_GOPTION_BITS))
		return jit_lacks_role(authority, owner);
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
				return jit_lacks_role(authority, owner);
		}
	}
	return true;
}

static bool
may_grant(JitAuthority *authority, const GrantStmt *stmt)
{
	ListCell   *lc;
	ListCell   *lc2;

	/* what it may itself is the grantor's own, not by membership */
	if (JIT_GRANTED_BY(stmt) != NULL)
		return acts_as(authority, JIT_GRANTED_BY(stmt));
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
for_all_roles(JitAuthority *authority, List *roles,
			  bool (*allowed) (JitAuthority *authority, Oid role))
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
may_grant_roles(JitAuthority *authority, const GrantRoleStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->granted_roles)
	{
		char	   *name = lfirst_node(AccessPriv, lc)->priv_name;
		Oid			role = name ? get_role_oid(name, true) : InvalidOid;

		if (OidIsValid(role) && !jit_may_administer(authority, role))
			return false;
	}
	return authority->closure != NIL && acts_as(authority, stmt->grantor);
}

/* The same of the roles that an option names, if it is given. */
static bool
for_option(JitAuthority *authority, List *options, const char *name,
		   bool (*allowed) (JitAuthority *authority, Oid role))
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, name) == 0 &&
			!for_all_roles(authority, (List *) option->arg, allowed))
			return false;
	}
	return authority->closure != NIL;
}

static bool
may_alter_role(JitAuthority *authority, const RoleSpec *role)
{
	Oid			roleid = role ? get_rolespec_oid(role, true) : InvalidOid;

	return authority->closure != NIL &&
		(!OidIsValid(roleid) || roleid == authority->userid ||
		 jit_may_administer(authority, roleid));
}

/*
 * May it store a setting of that parameter, or reset any?  Whoever may SET it
 * now is believed at each login from then on.
 */
static bool
may_store_setting(JitAuthority *authority, const VariableSetStmt *set)
{
	bool		any = set->kind == VAR_RESET_ALL;
	Oid			parameter = any ? InvalidOid : ParameterAclLookup(set->name, true);
	List	   *all = jit_role_closure(authority->userid, JIT_CLOSURE_PRIVS,
									   JIT_FILTER_NONE, 0);
	JitScan		scan;
	HeapTuple	tuple;
	bool		result = true;

	jit_begin_scan(&scan, ParameterAclRelationId, InvalidOid, NULL, 0);
	while (result && HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		Oid			objid = ((Form_pg_parameter_acl) GETSTRUCT(tuple))->oid;

		if ((any || objid == parameter) &&
			jit_object_aclmask(ParameterAclRelationId, objid, 0, all, ACL_SET) != 0)
			result = jit_has_privilege(authority, ParameterAclRelationId, objid, ACL_SET);
	}
	jit_end_scan(&scan);
	return result;
}

/* DROP of what protects or watches a table. */
static bool
may_drop(JitAuthority *authority, const DropStmt *stmt)
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
			!jit_owns_relation(authority, relid))
			return false;
	}
	return true;
}

/* Has it the role that owns the object?  True if there is none. */
static bool
owns_named(JitAuthority *authority, ObjectType objtype, Node *object)
{
	ObjectAddress address = resolve(objtype, object);

	if (!OidIsValid(address.objectId))
		return true;
	/* casts and transforms go by their types */
	if (!jit_has_owner(address.classId))
		return jit_authorized(authority, false, address.classId, address.objectId,
							  InvalidOid);
	return jit_has_role(authority, jit_object_owner(address.classId, address.objectId));
}

static bool
may_change_owner(JitAuthority *authority, const AlterOwnerStmt *stmt)
{
	Node	   *object = stmt->object;

	if (!for_all_roles(authority, list_make1(stmt->newowner), jit_may_give_to))
		return false;
	/* as AlterTypeOwner() does */
	if (stmt->objectType == OBJECT_TYPE || stmt->objectType == OBJECT_DOMAIN)
		object = (Node *) makeTypeNameFromNameList(castNode(List, object));
	return owns_named(authority, stmt->objectType, object);
}

/* No object access hook comes.  A trigger is whoever's the relation is. */
static bool
may_let_depend(JitAuthority *authority, const AlterObjectDependsStmt *stmt)
{
	Oid			relid;

	if (stmt->relation == NULL)
		return owns_named(authority, stmt->objectType, stmt->object);
	relid = RangeVarGetRelid(stmt->relation, AccessShareLock, true);
	return !OidIsValid(relid) || jit_owns_relation(authority, relid);
}

/* Labels say how well an object is to be guarded. */
static bool
may_label(JitAuthority *authority, const SecLabelStmt *stmt)
{
	if (stmt->objtype == OBJECT_ROLE)
		return authority->closure != NIL;
	return owns_named(authority, stmt->objtype, stmt->object);
}

static bool
may_run(JitAuthority *authority, Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_GrantStmt:
			return may_grant(authority, (GrantStmt *) stmt);
		case T_GrantRoleStmt:
			return may_grant_roles(authority, (GrantRoleStmt *) stmt);
		case T_AlterDefaultPrivilegesStmt:
			/* FOR ROLE, or of the acting role itself */
			return for_option(authority, ((AlterDefaultPrivilegesStmt *) stmt)->options,
							  "roles", jit_may_give_to);
		case T_ReassignOwnedStmt:
			return for_all_roles(authority, ((ReassignOwnedStmt *) stmt)->roles, jit_has_role) &&
				for_all_roles(authority, list_make1(((ReassignOwnedStmt *) stmt)->newrole),
							  jit_has_role);
		case T_DropOwnedStmt:
			return for_all_roles(authority, ((DropOwnedStmt *) stmt)->roles, jit_has_role);
		case T_CreateRoleStmt:
			/* a new role's memberships are granted by whoever makes it */
			return for_option(authority, ((CreateRoleStmt *) stmt)->options,
							  "addroleto", jit_may_administer);
		case T_AlterRoleStmt:
			return may_alter_role(authority, ((AlterRoleStmt *) stmt)->role);
		case T_AlterRoleSetStmt:
			return may_alter_role(authority, ((AlterRoleSetStmt *) stmt)->role) &&
				may_store_setting(authority, ((AlterRoleSetStmt *) stmt)->setstmt);
		case T_AlterDatabaseSetStmt:
			return may_store_setting(authority, ((AlterDatabaseSetStmt *) stmt)->setstmt);
		case T_DropRoleStmt:
			return for_all_roles(authority, ((DropRoleStmt *) stmt)->roles, jit_may_administer);
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType != OBJECT_ROLE)
				return true;
			else
			{
				Oid			role = get_role_oid(((RenameStmt *) stmt)->subname, true);

				return !OidIsValid(role) || jit_may_administer(authority, role);
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
				(jit_actor_is_temporary() &&
				 get_rolespec_oid(((CreateSchemaStmt *) stmt)->authrole, true) == jit_actor) ||
				for_all_roles(authority, list_make1(((CreateSchemaStmt *) stmt)->authrole),
							  jit_may_give_to);
		case T_CreatedbStmt:
			return authority->closure != NIL;
		case T_CreateSubscriptionStmt:
			{
				/* from 16 on, members of this role may */
				Oid			role = get_role_oid("pg_create_subscription", true);

				return authority->closure != NIL &&
					(!OidIsValid(role) || jit_has_role(authority, role)) &&
					may_use_server(authority,
								   JIT_SUBSCRIPTION_SERVER((CreateSubscriptionStmt *) stmt));
			}
		case T_AlterSubscriptionStmt:
			return may_use_server(authority,
								  JIT_SUBSCRIPTION_SERVER((AlterSubscriptionStmt *) stmt));
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
	JitAuthority authority;

	jit_actor = GetUserId();
	jit_unguarded = NIL;
	jit_made_ranges = NIL;
	if (IsA(stmt, TransactionStmt))
		return;					/* perhaps no catalogs to look at */
	check_new_owner(stmt);
	if (likely(!jit_actor_must_be_judged()))
		return;
	jit_command = GetCommandTagName(CreateCommandTag(stmt));
	jit_get_authority(&authority, JIT_FILTER_STANDING);
	if (!may_run(&authority, stmt))
		jit_refuse_lasting(&authority);
}

JitLastingState
jit_lasting_state(void)
{
	JitLastingState state = {jit_actor, jit_command, jit_unguarded, jit_made_ranges};

	return state;
}

void
jit_restore_lasting_state(JitLastingState state)
{
	jit_actor = state.actor;
	jit_command = state.command;
	jit_unguarded = state.unguarded;
	jit_made_ranges = state.made_ranges;
}
