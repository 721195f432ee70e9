/*-------------------------------------------------------------------------
 *
 * person.c
 *		Who is at the other end of the session, and what they are here.
 *
 * A person is told apart by the role that logged in, the session user and
 * the effective role; what any of them may not do, the person may not do.
 * Behind a login of jit_access.proxy_logins only the effective role says who
 * it is.
 *
 * Whoever administers or audits does so for good: temporary access, and SET
 * ROLE through it, make nobody an administrator or auditor.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/person.h"
#include "base/query.h"
#include "base/roles.h"

#include "utils/varlena.h"

/* The person at the other end of this session. */
void
jit_current_person(JitPerson *person)
{
	person->role = GetOuterUserId();
	person->session = GetSessionUserId();
	person->login = GetAuthenticatedUserId();
}

/*
 * Address of the client, as a text that inet reads, or NULL: for a
 * Unix-domain socket or a background worker.  Mirrors inet_client_addr().
 */
char *
jit_client_addr(void)
{
	Datum		addr;

	LOCAL_FCINFO(fcinfo, 0);

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	addr = inet_client_addr(fcinfo);
	if (fcinfo->isnull)
		return NULL;
	return TextDatumGetCString(DirectFunctionCall1(network_host, addr));
}

/*
 * Is the role named in jit_access.proxy_logins?  Raises if they can't be read:
 * then nobody knows who is a person.
 */
bool
jit_is_proxy_login(Oid login)
{
	char	   *name = GetUserNameFromId(login, true);
	List	   *names;
	ListCell   *lc;

	if (name == NULL || jit_proxy_logins == NULL || jit_proxy_logins[0] == '\0')
		return false;
	if (!SplitIdentifierString(pstrdup(jit_proxy_logins), ',', &names))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid list syntax in parameter \"%s\"", "jit_access.proxy_logins"),
				 errdetail("Its value is \"%s\".", jit_proxy_logins),
				 errhint("Separate the roles with commas, and put names that need it in double quotes.")));
	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

/* Roles that the person is: one behind a proxy, else up to three. */
List *
jit_person_roles(const JitPerson *person)
{
	List	   *roles = list_make1_oid(person->role);

	if (!jit_is_proxy_login(person->login))
	{
		roles = list_append_unique_oid(roles, person->session);
		roles = list_append_unique_oid(roles, person->login);
	}
	return roles;
}

/*
 * Is the person that role or, if members, a member of it?  Compared by OID
 * and by name, so that a role which was dropped and made anew is still taken
 * for the same person.  Memberships count however they came about.
 */
bool
jit_is_party(const JitPerson *person, Oid role, const char *name, bool members)
{
	List	   *roles = jit_person_roles(person);
	ListCell   *lc;

	foreach(lc, roles)
	{
		Oid			me = lfirst_oid(lc);
		char	   *my_name = GetUserNameFromId(me, true);

		if (me == role)
			return true;
		if (name != NULL && my_name != NULL && strcmp(name, my_name) == 0)
			return true;
		if (members && OidIsValid(role) &&
			jit_is_member(me, role, JIT_FILTER_NONE))
			return true;
	}
	return false;
}

/* SET ROLE reaches no authority that the session hasn't got for good. */
bool
jit_holds_role_for_good(const JitPerson *person)
{
	return person->role == person->session || superuser_arg(person->session) ||
		list_member_oid(jit_role_closure(person->session, JIT_CLOSURE_SET,
										 JIT_FILTER_STANDING, jit_now()),
						person->role);
}

/*
 * Is the person a JIT administrator, for good?  Neither temporary access nor
 * SET ROLE through it makes one.
 */
bool
jit_person_administers(const JitPerson *person)
{
	return jit_is_administrator(person->role) && jit_holds_role_for_good(person);
}

/* May the person read everything: as an auditor or JIT administrator? */
bool
jit_person_audits(const JitPerson *person)
{
	return (jit_is_administrator(person->role) || jit_is_auditor(person->role)) &&
		jit_holds_role_for_good(person);
}

/*
 * Is the caller a JIT administrator, and not just whoever happens to run a
 * function of somebody else's?
 */
bool
jit_caller_administers(const JitPerson *person)
{
	return GetUserId() == GetOuterUserId() && jit_person_administers(person);
}

/*
 * Raise unless the caller is a JIT administrator, for good: what is changed
 * here lasts, so neither temporary access nor SET ROLE through it will do,
 * and code that runs with somebody else's rights doesn't count.
 */
void
jit_require_administrator(FunctionCallInfo fcinfo, const char *message)
{
	JitPerson	person;

	jit_prevent_if_not_here(fcinfo);
	(void) jit_open_ledger();
	jit_current_person(&person);
	if (GetUserId() == person.role && jit_person_administers(&person))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg_internal("%s", _(message)),
			 errdetail("Only JIT administrators may: superusers and members of the role that jit_access.admin_role names.")));
}
