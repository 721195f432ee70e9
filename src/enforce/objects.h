/*-------------------------------------------------------------------------
 *
 * objects.h
 *		Objects that are made, altered, dropped, searched or executed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ENFORCE_OBJECTS_H
#define JIT_ENFORCE_OBJECTS_H

extern Oid	jit_command_user;
extern List *jit_command_closure;

extern void jit_check_object(const char *kind, const char *name, Oid classid,
							 Oid objid, AclMode mode);
extern void jit_check_ownership(Oid classid, Oid objid);
extern void jit_note_used(Oid classid, Oid objid, AclMode mode);
extern void jit_note_ownership(Oid classid, Oid objid);
extern void jit_note_role(Oid role);
extern void jit_install_object_access_hook(void (*dropped) (Oid classid, Oid objid));

#endif							/* JIT_ENFORCE_OBJECTS_H */
