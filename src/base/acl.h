/*-------------------------------------------------------------------------
 *
 * acl.h
 *		PostgreSQL's permission logic against a given closure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_ACL_H
#define JIT_BASE_ACL_H

extern AclMode jit_aclmask(const Acl *acl, Oid owner, List *closure,
						   AclMode mask);
extern AclMode jit_object_aclmask(Oid classid, Oid objid, AttrNumber attnum,
								  List *closure, AclMode mask);

extern bool jit_perminfo_permitted(const JitPermInfo *perminfo,
								   List *closure);
extern Oid	jit_object_owner(Oid classid, Oid objid);
extern bool jit_permitted(const JitPermInfo *info, Oid classid, Oid objid,
						  AclMode mode, List *closure);

#endif							/* JIT_BASE_ACL_H */
