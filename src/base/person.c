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
 * A gateway (gateway.c) may act for a person: then that one's role stands for
 * all three.  Roles that one identity was ever linked to are one person, and so
 * are those that are linked through others; an identity that asked or decided
 * is a party whatever it is linked to now.
 *
 * Whoever asks, decides, administers or audits is somebody for good: temporary
 * access, and SET ROLE through it, make nobody anybody else.  Behind a proxy,
 * where whoever can send SQL can be anyone, nobody decides or administers.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/clock.h"
#include "base/commit.h"
#include "base/gateway.h"
#include "base/guc.h"
#include "base/lock.h"
#include "base/person.h"
#include "base/query.h"
#include "base/roles.h"
#include "base/text.h"
#include "base/toplevel.h"

#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
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

/* Is it the login of a program, behind which there are others? */
bool
jit_is_of_others(Oid role)
{
	return jit_is_gateway_login(role) || proxy_state(role) == JIT_PROXY_YES;
}

/* Can the role log in to this database, as it stands now, for good? */
bool
jit_may_log_in(Oid login)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(login));
	TimestampTz deadline = jit_role_deadline(login);
	bool		may;

	if (!HeapTupleIsValid(tuple))
		return false;
	may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	return may && (deadline == DT_NOBEGIN || deadline > jit_now()) &&
		(superuser_arg(login) ||
		 jit_object_aclmask(DatabaseRelationId, MyDatabaseId, 0,
							jit_role_closure(login, JIT_CLOSURE_PRIVS, JIT_FILTER_STANDING, jit_now()),
							ACL_CONNECT) != 0);
}

/* Why no gateway may act for the role: a sentence for DETAIL, or NULL. */
char *
jit_why_not_acted_for(Oid role)
{
	char	   *name = GetUserNameFromId(role, true);

	if (name == NULL)
		return pstrdup(_("The role that it was linked to has been dropped."));
	if (superuser_arg(role))
		return psprintf(_("Role %s is a superuser, for whom no gateway acts."), quote_identifier(name));
	if (jit_is_gateway_login(role) || jit_is_proxy_login(role))
		return psprintf(_("Login %s is listed in jit_access.gateway_logins or jit_access.proxy_logins."), quote_identifier(name));
	if (!jit_may_log_in(role))
		return psprintf(_("Role %s may not log in to %s now."), quote_identifier(name),
						quote_identifier(jit_database_name()));
	return NULL;
}

/* Raise if nobody may act for whom the gateway acts for any more. */
static void
check_acting(const JitActing *acting, bool lock)
{
	char	   *why;

	/* what has become of the role while this transaction went on */
	AcceptInvalidationMessages();
	if (!jit_is_gateway_login(acting->gateway))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("nobody can act for identity %s now", jit_shown(acting->identity)),
				 errdetail("jit_access.gateway_logins does not name the gateway any more.")));
	jit_check_linked(lock);
	why = jit_why_not_acted_for(acting->role);
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("nobody can act for identity %s now", jit_shown(acting->identity)),
				 errdetail_internal("%s", why)));
}

static TimestampTz acting_as_of = DT_NOBEGIN;	/* when that was checked */

/*
 * Before the commit of what was done for somebody, and before what waits under
 * the cluster's lock: could it still be done?  Whoever is about to unlink the
 * identity is waited for, and has to wait from here on.
 */
static void
look_again(List *notes)
{
	MemoryContext context = CurrentMemoryContext;
	const JitActing *acting = jit_acting_for();
	JitOwnerSection section;

	if (acting == NULL || !jit_has_acted())
		return;
	PushActiveSnapshot(GetLatestSnapshot());
	jit_enter_owner_section(&section);
	jit_set_locally("lock_timeout", JIT_LONGEST_WAIT_TEXT);
	PG_TRY();
	{
		check_acting(acting, true);
	}
	PG_CATCH();
	{
		jit_rethrow_locked(context, psprintf(_("what was done for identity %s"), jit_shown(acting->identity)));
	}
	PG_END_TRY();
	jit_leave_owner_section(&section);
	PopActiveSnapshot();
}

static void
act_for_nobody(List *notes, bool committed)
{
	jit_act_for_nobody();
	acting_as_of = DT_NOBEGIN;
}

static const JitCommitCalls act_calls = {.commit = look_again,.ended = act_for_nobody};

/* To the end of the transaction the gateway acts for that role, as that identity. */
void
jit_act_for_role(Oid role, Oid gateway, const char *identity, int request)
{
	jit_add_commit_step(JIT_COMMIT_ACT, &act_calls);
	jit_set_acting(role, gateway, identity, request);
}

/*
 * The person at the other end of this session.  In tests, where all have one
 * login, the session user stands for it.  Raises for a gateway that is not what
 * one must be, or acts for somebody who can't be acted for.
 */
void
jit_current_person(JitPerson *person)
{
	const JitActing *acting;

	memset(person, 0, sizeof(JitPerson));
	person->role = GetOuterUserId();
	person->session = GetSessionUserId();
	person->login = jit_top_level_only ? GetAuthenticatedUserId() : person->session;
	if (likely(!jit_is_gateway_login(person->login)))
		return;

	jit_check_gateway(person->login, person->session, person->role);
	person->gateway = person->login;
	acting = jit_acting_for();
	if (acting != NULL && acting->gateway == person->login)
	{
		person->role = person->session = person->login = acting->role;
		person->via = acting->identity;
		if (!jit_is_fresh(acting_as_of))
		{
			check_acting(acting, false);
			acting_as_of = GetCurrentTimestamp();
		}
	}
}

/* Is it a gateway that acts for nobody? */
bool
jit_is_bare_gateway(const JitPerson *person)
{
	return OidIsValid(person->gateway) && person->via == NULL;
}

/*
 * Who does what a gateway may do for people: with a request, that to the
 * request, else 0.  As jit_acting_person() for everybody else.
 */
void
jit_acting_person_for(JitPerson *person, int request)
{
	const JitActing *acting = jit_acting_for();

	jit_current_person(person);
	if (!OidIsValid(person->gateway))
		jit_acting_person(person);
	else if (person->via == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("gateway %s neither asks nor decides itself",
						quote_identifier(jit_role_name(person->gateway))),
				 errhint("Say for whom, first in the transaction: BEGIN; SELECT jit_act_for('identity');")));
	else if (acting->request != 0 && acting->request != request)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("this transaction is for request %d only", acting->request),
				 errdetail("So says the token that jit_act_for() was given.")));
	else
		check_acting(acting, false);
}

/*
 * The same for what somebody does.  Raises if a SET ROLE is active that only
 * temporary access allows, and for gateways: what they may do is asked for by
 * jit_acting_person_for().
 */
void
jit_acting_person(JitPerson *person)
{
	jit_current_person(person);
	if (OidIsValid(person->gateway))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("this cannot be done through gateway %s",
						quote_identifier(jit_role_name(person->gateway))),
				 errdetail("For others a gateway may request, extend, cancel, approve, reject and revoke, and look."),
				 errhint("Log in directly.")));
	if (jit_is_gateway_login(person->role) || jit_is_gateway_login(person->session))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("nobody asks or decides as a gateway"),
				 errdetail("jit_access.gateway_logins names role %s.",
						   quote_identifier(jit_role_name(jit_is_gateway_login(person->role) ?
														  person->role : person->session))),
				 errhint("Use RESET ROLE, and do it as yourself.")));
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
	if (jit_is_gateway_login(person->login))
		return psprintf(_("Login %s is listed in jit_access.gateway_logins; a gateway decides for others only."),
						quote_identifier(jit_role_name(person->login)));
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

/* ----------------------------------------------------------------------
 * Roles that are one person
 * ----------------------------------------------------------------------
 */

typedef struct OnePerson
{
	Oid			role;			/* hash key */
	int			person;			/* the same for all roles of one */
	bool		alone;			/* it is the only one of its person */
} OnePerson;

static HTAB *persons = NULL;	/* NULL: nobody has an identity */
static TimestampTz persons_as_of = DT_NOBEGIN;

/* What is known of identities is to be looked up again. */
void
jit_forget_identities(void)
{
	persons_as_of = DT_NOBEGIN;
}

/*
 * Read who has or had which identity, once in a statement of the client's, and
 * before what is given is looked at for the last time.  Few have any.  Those of
 * other databases here count, too: copies have them, and roles are the same.
 */
static void
read_identities(void)
{
	JitOwnerSection section;
	char	   *last = NULL;
	int		   *roles;			/* of each person, how many */
	int			person = 0;
	int			n;

	if (jit_is_fresh(persons_as_of))
		return;
	if (persons != NULL)
		hash_destroy(persons);
	persons = NULL;
	jit_enter_owner_section(&section);
	n = jit_query("SELECT role_oid, identity FROM jit.identities WHERE starts_with(origin, $1) ORDER BY identity",
				  "t", jit_cluster_origin());
	if (n > 0)
	{
		HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(OnePerson),.hcxt = TopMemoryContext};

		persons = hash_create("jit_access persons", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	for (int i = 1; i <= n; i++)
	{
		Oid			role = jit_result_oid(i, 1);
		char	   *identity = jit_result_text(i, 2);
		bool		found;
		OnePerson  *entry = hash_search(persons, &role, HASH_ENTER, &found);
		int			was = found ? entry->person : i;

		/* of another identity than the last row's */
		if (last == NULL || strcmp(identity, last) != 0)
			person = was;
		else if (found && was != person)
		{
			HASH_SEQ_STATUS status;
			OnePerson  *other;

			hash_seq_init(&status, persons);
			while ((other = hash_seq_search(&status)) != NULL)
			{
				if (other->person == was)
					other->person = person;
			}
		}
		entry->person = person;
		last = identity;
	}
	jit_leave_owner_section(&section);
	if (n > 0)
	{
		HASH_SEQ_STATUS status;
		OnePerson  *entry;

		roles = palloc0((n + 1) * sizeof(int));
		hash_seq_init(&status, persons);
		while ((entry = hash_seq_search(&status)) != NULL)
			roles[entry->person]++;
		hash_seq_init(&status, persons);
		while ((entry = hash_seq_search(&status)) != NULL)
			entry->alone = roles[entry->person] == 1;
		pfree(roles);
	}
	persons_as_of = GetCurrentTimestamp();
}

/* The role, and all that are one person with it. */
static List *
roles_of_person(Oid role)
{
	List	   *roles = list_make1_oid(role);
	OnePerson  *entry;
	OnePerson  *other;
	HASH_SEQ_STATUS status;

	read_identities();
	if (likely(persons == NULL) ||
		(entry = hash_search(persons, &role, HASH_FIND, NULL)) == NULL || entry->alone)
		return roles;
	hash_seq_init(&status, persons);
	while ((other = hash_seq_search(&status)) != NULL)
	{
		if (other->person == entry->person)
			roles = list_append_unique_oid(roles, other->role);
	}
	return roles;
}

/* Is it by the identity that the person acts with now? */
bool
jit_is_party_via(const JitPerson *person, const char *via)
{
	return via != NULL && person->via != NULL && strcmp(via, person->via) == 0;
}

/* Is one of the roles that role, or of that name, or a member of it? */
static bool
is_any(List *roles, Oid role, const char *name, bool members)
{
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
 * Is the person that role or, if members, a member of it?  Compared by OID
 * and by name, so that a role which was dropped and made anew is still taken
 * for the same person.  Memberships count however they came about.
 */
bool
jit_is_party(const JitPerson *person, Oid role, const char *name, bool members)
{
	return is_any(jit_person_roles(person), role, name, members);
}

/*
 * The same of all roles that are one person with them: for what somebody may
 * not do, as it gives no rights.
 */
bool
jit_is_one_person(const JitPerson *person, Oid role, const char *name, bool members)
{
	List	   *roles = NIL;
	ListCell   *lc;

	foreach(lc, jit_person_roles(person))
		roles = list_concat_unique_oid(roles, roles_of_person(lfirst_oid(lc)));
	return is_any(roles, role, name, members);
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
	return !OidIsValid(person->gateway) && jit_is_administrator(person->role) &&
		jit_why_not_decide(person) == NULL;
}

/* May the person read everything: as an auditor or JIT administrator? */
bool
jit_person_audits(const JitPerson *person)
{
	return !OidIsValid(person->gateway) &&
		(jit_is_administrator(person->role) || jit_is_auditor(person->role)) &&
		jit_holds_role_for_good(person);
}

/* Is the person in pg_monitor, for good? */
bool
jit_person_monitors(const JitPerson *person)
{
	return !OidIsValid(person->gateway) &&
		list_member_oid(jit_role_closure(person->role, JIT_CLOSURE_PRIVS, JIT_FILTER_STANDING, jit_now()),
						ROLE_PG_MONITOR) &&
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
	return GetUserId() == GetOuterUserId() && !OidIsValid(person->gateway) &&
		jit_is_administrator(person->role) &&
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
