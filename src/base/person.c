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
 * Whoever asks, decides, administers or audits is somebody for good: temporary
 * access, and SET ROLE through it, make nobody anybody else.  Behind a proxy,
 * where whoever can send SQL can be anyone, nobody decides or administers.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/person.h"
#include "base/query.h"
#include "base/roles.h"
#include "base/text.h"
#include "base/toplevel.h"

#include "utils/varlena.h"

typedef enum JitProxy
{
	JIT_PROXY_NO,
	JIT_PROXY_YES,
	JIT_PROXY_UNKNOWN
} JitProxy;

/*
 * Is the role named in jit_access.proxy_logins?  If they can't be read, nobody
 * knows who is a person, but for superusers, who can set it right.
 */
static JitProxy
proxy_state(Oid login)
{
	char	   *name = GetUserNameFromId(login, true);
	List	   *names;
	ListCell   *lc;

	if (name == NULL || jit_proxy_logins == NULL || jit_proxy_logins[0] == '\0')
		return JIT_PROXY_NO;
	if (!SplitIdentifierString(pstrdup(jit_proxy_logins), ',', &names))
		return superuser_arg(login) ? JIT_PROXY_NO : JIT_PROXY_UNKNOWN;
	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return JIT_PROXY_YES;
	}
	return JIT_PROXY_NO;
}

/* Is it a proxy, as far as is known? */
bool
jit_is_proxy_login(Oid login)
{
	return proxy_state(login) != JIT_PROXY_NO;
}

/*
 * The person at the other end of this session.  In tests, where all have one
 * login, the session user stands for it.
 */
void
jit_current_person(JitPerson *person)
{
	person->role = GetOuterUserId();
	person->session = GetSessionUserId();
	person->login = jit_top_level_only ? GetAuthenticatedUserId() : person->session;
}

/*
 * The same for what somebody does.  Raises if a SET ROLE is active that only
 * temporary access allows.
 */
void
jit_acting_person(JitPerson *person)
{
	jit_current_person(person);
	if (jit_holds_role_for_good(person))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("you cannot ask or decide as role %s",
					quote_identifier(jit_role_name(person->role))),
			 errdetail("Role %s can SET ROLE to it through temporary access only.",
					   quote_identifier(jit_role_name(person->session))),
			 errhint("Use RESET ROLE, and do it as yourself.")));
}

/*
 * Why the person may decide on nothing and administer nothing: a sentence for
 * DETAIL, or NULL.
 */
char *
jit_why_not_decide(const JitPerson *person)
{
	if (!jit_holds_role_for_good(person))
		return psprintf(_("You are role %s through temporary access only."),
						quote_identifier(jit_role_name(person->role)));
	if (proxy_state(person->login) == JIT_PROXY_UNKNOWN)
		return psprintf(_("jit_access.proxy_logins is \"%s\", which is no list of roles, so nobody is known not to be a proxy."),
						jit_proxy_logins);
	if (jit_is_proxy_login(person->login))
		return psprintf(_("Login %s is listed in jit_access.proxy_logins; behind a proxy nobody decides or administers."),
						quote_identifier(jit_role_name(person->login)));
	return NULL;
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

/*
 * The same of the login that a row has; that of a proxy says nothing of who
 * the person is.
 */
bool
jit_is_party_login(const JitPerson *person, Oid login, const char *name)
{
	return !(OidIsValid(login) && jit_is_proxy_login(login)) &&
		jit_is_party(person, login, name, false);
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

/* Is the person a JIT administrator, and may they act as one? */
bool
jit_person_administers(const JitPerson *person)
{
	return jit_is_administrator(person->role) && jit_why_not_decide(person) == NULL;
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

/* The same for ending access, which mustn't hang on a list being readable. */
bool
jit_caller_may_end_all(const JitPerson *person)
{
	return GetUserId() == GetOuterUserId() && jit_is_administrator(person->role) &&
		jit_holds_role_for_good(person) && proxy_state(person->login) != JIT_PROXY_YES;
}

/* Raise unless the caller may read everything, and not just their function. */
void
jit_require_auditor(const char *message)
{
	JitPerson	person;

	(void) jit_open_ledger();
	jit_current_person(&person);
	if (GetUserId() == GetOuterUserId() && jit_person_audits(&person))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg_internal("%s", _(message)),
			 errdetail("Only JIT administrators and auditors may: superusers and members of the roles that jit_access.admin_role and jit_access.auditor_role name.")));
}

/*
 * Raise unless the caller is a JIT administrator, for good, and says so in a
 * statement of their own: what is changed here lasts.
 */
void
jit_require_administrator(FunctionCallInfo fcinfo, const char *message)
{
	JitPerson	person;
	char	   *why;

	jit_prevent_if_not_here(fcinfo);
	(void) jit_open_ledger();
	jit_acting_person(&person);
	if (jit_caller_administers(&person))
	{
		jit_require_top_level(fcinfo);
		return;
	}
	why = jit_why_not_decide(&person);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg_internal("%s", _(message)),
			 why != NULL ? errdetail_internal("%s", why) :
			 errdetail("Only JIT administrators may: superusers and members of the role that jit_access.admin_role names.")));
}
