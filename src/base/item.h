/*-------------------------------------------------------------------------
 *
 * item.h
 *		One object or role: its kind, its text, who has it, who may hand it out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_ITEM_H
#define JIT_BASE_ITEM_H

#include "base/roles.h"

#include "catalog/objectaddress.h"

/*
 * One object with one set of privileges and columns, or one role.
 * Memory: the context current when it was made.
 */
typedef struct JitItem
{
	ObjectType	objtype;		/* OBJECT_TABLE (any relation that isn't a
								 * sequence), OBJECT_SEQUENCE, OBJECT_SCHEMA,
								 * ..., OBJECT_ROLE */
	ObjectAddress address;		/* objectSubId is always 0 */
	AclMode		privs;			/* what is asked for; 0 for a role */
	List	   *attnums;		/* sorted AttrNumbers (int list), NIL for the
								 * whole object */
	bool		added;			/* USAGE on a schema that we added */
	char	   *parameter;		/* name, for OBJECT_PARAMETER_ACL only */
	char	   *filed_as;		/* the object as the ledger has it; NULL if it
								 * isn't from there */
	int			position;		/* in the ledger, from 1; 0 likewise */
} JitItem;

/*
 * Kinds of object: the words of GRANT, the privileges there are, and those
 * that may be handed out without a superuser.
 */
typedef struct JitObjectKind
{
	ObjectType	objtype;
	Oid			classid;
	const char *words;
	AclMode		all;
	AclMode		allowed;
} JitObjectKind;

typedef struct JitPrivilegeName
{
	const char *name;
	AclMode		priv;
} JitPrivilegeName;

/* How much of an item is conveyed. */
typedef enum JitConveyed
{
	JIT_CONVEYED_NOTHING,
	JIT_CONVEYED_SOME,
	JIT_CONVEYED_ALL
} JitConveyed;

#define JIT_N_PRIVILEGES 16

extern const JitPrivilegeName jit_privilege_names[JIT_N_PRIVILEGES];

extern const JitObjectKind *jit_kind_of(ObjectType objtype);
extern const JitObjectKind *jit_kind_by_words(const char *words);
extern char *jit_kind_text(ObjectType objtype);
extern ObjectType jit_objtype_of(Oid classid, Oid objid, ObjectType objtype);
extern AclMode jit_privilege_by_name(const char *name);
extern List *jit_objects_in_schema(ObjectType objtype, Oid namespace);
extern Oid	jit_item_namespace(const JitItem *item);
extern char *jit_item_name(const JitItem *item);
extern char *jit_item_object(const JitItem *item);
extern char *jit_column_name(Oid relid, AttrNumber attnum);
extern char *jit_item_text(const JitItem *item);
extern char *jit_items_text(List *items, bool with_added);
extern char *jit_few_items_text(List *items);
extern List *jit_privilege_list(AclMode privs);
extern char *jit_privileges_text(AclMode privs);
extern const char *jit_need_name(const char *name, const JitItem *item);

extern Oid	jit_item_acl_objid(const JitItem *item);
extern Bitmapset *jit_items_grantable(List *items, Oid roleid);
extern bool jit_item_held(const JitItem *item, Oid grantee,
						  JitClosureFilter filter, TimestampTz until);
extern JitConveyed jit_item_conveyed(const JitItem *item, Oid grant_role);
extern char *jit_item_source(const JitItem *item, Oid grantee);
extern const char *jit_item_needs_superuser(const JitItem *item, bool *elsewhere);

extern bool jit_item_exists(const JitItem *item);
extern void jit_lock_items(List *items, const char *what);
extern GrantStmt *jit_item_grant_stmt(const JitItem *item,
									  const char *rolename);
extern RoleSpec *jit_role_spec(const char *name);
extern GrantStmt *jit_revoke_all_stmt(Oid classid, Oid objid, List *roleids);
extern Datum jit_item_attnums(const JitItem *item);

#endif							/* JIT_BASE_ITEM_H */
