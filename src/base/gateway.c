/*-------------------------------------------------------------------------
 *
 * gateway.c
 *		Programs that ask and decide for people.
 *
 * A gateway is a login of jit_access.gateway_logins: a chat bot, a portal.  It
 * has nothing and may do nothing itself; what its session is in a transaction:
 *
 *	nobody			it reads what it has to show, and offers identities
 *	somebody		jit_act_for() has said who: the functions of requests take
 *					that person for requester and decider, and with a token for
 *					that request only
 *
 *	nobody -> somebody		jit_act_for(), once, in a transaction block, in no
 *							subtransaction
 *	somebody -> nobody		the end of the transaction, however it ends: with
 *							AND CHAIN another one begins
 *	identity is unlinked	whatever comes next is an error, be that the commit
 *	meanwhile, its role		of what was done: that waits for who is about to
 *	locked, or the gateway	unlink it, but not for good, and has the row locked
 *	leaves the setting		to its end
 *	error					nothing else runs in this transaction
 *	savepoint rolled back	it was set before the savepoint, and stays
 *	crash, disconnection	it was in this process only
 *
 * No setting holds it, so nothing but jit_act_for() changes it.  What person.c
 * knows of people decides whom a gateway may act for; here is what the session
 * is.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/gateway.h"
#include "base/guc.h"
#include "base/query.h"
#include "base/roles.h"
#include "base/text.h"

#include "access/xact.h"
#include "utils/inval.h"
#include "utils/varlena.h"

static JitActing acting;		/* role: InvalidOid for nobody */
static bool acted = false;		/* something was recorded as theirs */

/*
 * Was what is known as of then looked up in this statement of the client's, and
 * just now?  Views ask for each row, and statements may run for hours.
 */
bool
jit_is_fresh(TimestampTz as_of)
{
	TimestampTz now;

	if (as_of < GetCurrentStatementStartTimestamp())
		return false;
	now = GetCurrentTimestamp();
	return now >= as_of && now - as_of < USECS_PER_SEC;
}

/* Does jit_access.gateway_logins name it? */
bool
jit_is_gateway_login(Oid login)
{
	char	   *name;
	List	   *names;
	ListCell   *lc;

	if (likely(jit_gateway_logins == NULL || jit_gateway_logins[0] == '\0'))
		return false;
	name = GetUserNameFromId(login, true);
	if (name == NULL || !SplitIdentifierString(pstrdup(jit_gateway_logins), ',', &names))
		return false;
	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

/* What a gateway owns outside of schemas of its own, in words, or NULL. */
static char *
something_owned(Oid login)
{
	JitOwnerSection section;
	char	   *result = NULL;

	jit_enter_owner_section(&section);
	if (jit_query("SELECT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_shdepend d,"
				  " LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i"
				  " WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = $1 AND d.deptype = 'o'"
				  " AND (d.dbid = 0 OR d.dbid = $2 AND d.classid <> 'pg_namespace'::regclass"
				  "  AND NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspowner = $1"
				  "   AND i.schema = quote_ident(n.nspname))) LIMIT 1",
				  "oo", login, MyDatabaseId) > 0)
		result = jit_result_text(1, 1);
	jit_leave_owner_section(&section);
	return result;
}

/*
 * Raise unless the gateway is what one must be: nobody's member, with nothing
 * of its own but schemas and what is in them, no attribute but LOGIN, and in
 * the session's own role.
 */
void
jit_check_gateway(Oid login, Oid session, Oid role)
{
	static TimestampTz owns_nothing_as_of = DT_NOBEGIN;
	static Oid	owns_nothing = InvalidOid;
	bool		fresh = login == owns_nothing && jit_is_fresh(owns_nothing_as_of);
	HeapTuple	tuple;
	Form_pg_authid form;
	List	   *roles;
	char	   *why = NULL;
	char	   *owned;

	/* what has become of the role while this transaction went on */
	if (!fresh)
		AcceptInvalidationMessages();
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(login));
	roles = jit_direct_memberships(login);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for role %u", login);
	form = (Form_pg_authid) GETSTRUCT(tuple);
	if (form->rolsuper || form->rolcreaterole || form->rolcreatedb ||
		form->rolreplication || form->rolbypassrls)
		why = pstrdup(_("It has an attribute besides LOGIN, such as SUPERUSER, CREATEROLE, CREATEDB, REPLICATION or BYPASSRLS."));
	ReleaseSysCache(tuple);
	if (why == NULL && roles != NIL)
		why = psprintf(_("It is a member of role %s."),
					   quote_identifier(jit_role_name(linitial_oid(roles))));
	if (why == NULL && !fresh)
	{
		owned = something_owned(login);
		if (owned != NULL)
			why = psprintf(_("It owns %s, which is not in a schema of its own."), owned);
		else
		{
			owns_nothing = login;
			owns_nothing_as_of = GetCurrentTimestamp();
		}
	}
	if (why == NULL && (session != login || role != login))
		why = pstrdup(_("It has become another role."));
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role %s cannot be used as a gateway", quote_identifier(jit_role_name(login))),
				 errdetail_internal("%s", why),
				 errhint("A login that jit_access.gateway_logins names must have nothing and be nobody else: it acts for others.")));
}

/* For whom the session acts, NULL for nobody. */
const JitActing *
jit_acting_for(void)
{
	return OidIsValid(acting.role) ? &acting : NULL;
}

/*
 * Raise unless the identity is still linked to the role, through this gateway.
 * With "lock" it stays so to the end of the transaction.
 */
void
jit_check_linked(bool lock)
{
	JitOwnerSection section;
	int			n;

	jit_enter_owner_section(&section);
	if (lock)
		n = jit_query("SELECT FROM jit.identities WHERE identity = $1 AND origin = $2 AND role_oid = $3"
					  " AND gateway_oid = $4 AND unlinked_at IS NULL FOR SHARE",
					  "ttoo", acting.identity, jit_origin(), acting.role, acting.gateway);
	else
		n = jit_query("SELECT FROM jit.identities WHERE identity = $1 AND origin = $2 AND role_oid = $3"
					  " AND gateway_oid = $4 AND unlinked_at IS NULL",
					  "ttoo", acting.identity, jit_origin(), acting.role, acting.gateway);
	jit_leave_owner_section(&section);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("identity %s is not linked to role %s any more", acting.identity,
						quote_identifier(jit_role_name(acting.role)))));
}

/*
 * Is it to be said that this takes a COMMIT?  A gateway shows people what was
 * said once it has committed.
 */
bool
jit_mentions_commit(void)
{
	return IsTransactionBlock() && !OidIsValid(acting.role);
}

/* Something is recorded as done by whom the session acts for. */
void
jit_note_acted(void)
{
	acted = true;
}

bool
jit_has_acted(void)
{
	return acted;
}

/* From here to the end of the transaction the session acts for that role. */
void
jit_set_acting(Oid role, Oid gateway, const char *identity, int request)
{
	acting.identity = MemoryContextStrdup(TopTransactionContext, identity);
	acting.request = request;
	acting.gateway = gateway;
	acting.role = role;
}

void
jit_act_for_nobody(void)
{
	memset(&acting, 0, sizeof(acting));
	acted = false;
}
