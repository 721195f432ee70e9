/*-------------------------------------------------------------------------
 *
 * authority.c
 *		By what authority somebody acts.
 *
 * Temporary access can't make lasting access: whatever gives authority, or
 * runs with somebody's, takes authority that is there with all grant and scope
 * roles left out.  This room says who acts, what they have by which authority,
 * and refuses where that isn't enough.
 *
 * Who acts is whoever GetUserId() was when the command began: PostgreSQL acts
 * as somebody else in parts of a command.  If that is a role which only
 * temporary access allows SET ROLE to, then nothing it has is standing.
 * Superusers are exempt, but nobody makes anything as a role of ours, or gives
 * such a role something to own.  Somebody with no temporary access pays a look
 * into a memo.
 *
 * It keeps no state but that of the command being run, which the utility hook
 * puts back after it, also when an error ends it.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/text.h"
#include "enforce/authority.h"
#include "enforce/hint.h"
#include "enforce/judge.h"

#include "commands/dbcommands.h"

/*
 * The command that is running, for messages, and who began it.  PostgreSQL
 * acts as somebody else in parts of a command: as the owner of a table while
 * it makes an index, as the owner of a new schema.
 */
const char *jit_command = NULL;
Oid			jit_actor = InvalidOid;

/* ----------------------------------------------------------------------
 * Who acts, by what authority
 * ----------------------------------------------------------------------
 */

/* Is the role that acts one that only temporary access lets the session be? */
bool
jit_actor_is_temporary(void)
{
	return jit_actor == GetOuterUserId() && jit_set_role_is_temporary();
}

/* Is anything of what the acting user may do temporary? */
bool
jit_actor_must_be_judged(void)
{
	if (likely(jit_user_deadline(jit_actor) == DT_NOEND &&
			   !jit_actor_is_temporary()))
		return false;
	return jit_actor_is_temporary() ||
		jit_role_kind_by_oid(jit_actor) != JIT_ROLE_ORDINARY ||
		!superuser_arg(jit_actor);
}

void
jit_get_authority(JitAuthority *authority, JitClosureFilter filter)
{
	memset(authority, 0, sizeof(JitAuthority));
	authority->userid = jit_actor;
	authority->filter = filter;
	if (jit_role_kind_by_oid(jit_actor) != JIT_ROLE_ORDINARY)
		return;
	if (filter == JIT_FILTER_STANDING && jit_actor_is_temporary())
	{
		authority->missing_role = jit_actor;
		return;
	}
	authority->closure = jit_role_closure(jit_actor, JIT_CLOSURE_PRIVS,
										  filter, jit_now());
}

bool
jit_lacks_role(JitAuthority *authority, Oid role)
{
	authority->missing_role = role;
	authority->missing_kind = "role";
	authority->missing_name = OidIsValid(role) ? jit_role_name(role) : NULL;
	return false;
}

bool
jit_has_role(JitAuthority *authority, Oid role)
{
	return list_member_oid(authority->closure, role) ||
		jit_lacks_role(authority, role);
}

/* May it give objects to the role?  A role that is gone is nobody's. */
bool
jit_may_give_to(JitAuthority *authority, Oid role)
{
	return (authority->closure != NIL &&
			jit_is_member(authority->userid, role, authority->filter)) ||
		jit_lacks_role(authority, role);
}

bool
jit_has_privilege(JitAuthority *authority, Oid classid, Oid objid, AclMode mode)
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
bool
jit_may_administer(JitAuthority *authority, Oid role)
{
	if (authority->closure != NIL &&
		(jit_holds_admin(authority->userid, role) ||
		 (JIT_CREATEROLE_IS_ADMIN && has_createrole_privilege(authority->userid))))
		return true;
	return jit_lacks_role(authority, role);
}

/* ----------------------------------------------------------------------
 * Refusing
 * ----------------------------------------------------------------------
 */

/* The grant role that the authority comes from, as far as can be told. */
static Oid
grant_behind(const JitAuthority *authority)
{
	Oid			base = jit_actor_is_temporary() ? GetSessionUserId() : jit_actor;
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

void
jit_refuse_lasting(const JitAuthority *authority)
{
	Oid			grant = grant_behind(authority);
	Oid			database;
	int			request;
	const char *doing = jit_command ? jit_command : "this command";
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
void
jit_check_owner(Oid role)
{
	if (OidIsValid(role) && jit_role_kind_by_oid(role) != JIT_ROLE_ORDINARY)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role %s cannot own anything",
						quote_identifier(jit_role_name(role))),
				 errdetail("It belongs to jit_access and is dropped when the access ends."),
				 errhint("Name a role that lasts as the owner.")));
}
