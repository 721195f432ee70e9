/*-------------------------------------------------------------------------
 *
 * identity.c
 *		Identities: whom a gateway acts for.
 *
 * An identity is what a gateway knows somebody by, such as
 * slack:T012/U024BE7LH; to us it is a text.  Both ends link it to a role: the
 * gateway shows a code to that person alone, and the person runs
 * jit_link_identity() with it, logged in as themselves.
 *
 *	none		jit_offer_identity()	a code is there, for ten minutes; it takes
 *										the place of an older one
 *	code		jit_link_identity()		linked, and the code is gone; two at once:
 *										the second waits, and finds none
 *	code		ten minutes				nothing; removed with the next offer
 *	linked		jit_unlink_identity()	the row stays, as unlinked
 *	linked		role dropped, or made	nobody: roles are meant by OID
 *				anew
 *	linked		restore, copy of the	nobody: rows are of their origin
 *				database
 *
 * Each is part of the caller's transaction, with its event.  Of codes there are
 * digests only, and neither they nor identities are dumped.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/gateway.h"
#include "base/guc.h"
#include "base/person.h"
#include "base/query.h"
#include "base/text.h"
#include "base/toplevel.h"
#include "request/event.h"

#include "access/xact.h"

PG_FUNCTION_INFO_V1(jit_offer_identity);
PG_FUNCTION_INFO_V1(jit_link_identity);
PG_FUNCTION_INFO_V1(jit_unlink_identity);
PG_FUNCTION_INFO_V1(jit_act_for);
PG_FUNCTION_INFO_V1(jit_is_gateway);

#define MAX_IDENTITY	200		/* bytes */
#define CODE_BYTES		16
#define CODE_LENGTH		((size_t) 2 * CODE_BYTES)	/* in hexadecimal digits */
#define CODE_LIFE		"10 min"

/* The identity that an argument names; nothing in it can pass for another. */
static char *
identity_argument(FunctionCallInfo fcinfo)
{
	char	   *identity = jit_required_text(fcinfo, 0, "identity");

	if (strlen(identity) > MAX_IDENTITY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("identity is too long"),
				 errdetail("It has %zu bytes; at most %d are allowed.", strlen(identity), MAX_IDENTITY)));
	for (const char *c = identity; *c; c++)
	{
		if (*c <= ' ' || *c > '~')
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("identity \"%s\" has characters other than printable ASCII", jit_shown(identity)),
					 errhint("Use a text such as slack:T012/U024BE7LH.")));
	}
	return identity;
}

/* jit_offer_identity(identity) */
Datum
jit_offer_identity(PG_FUNCTION_ARGS)
{
	char	   *identity;
	JitOwnerSection section;
	JitPerson	person;
	uint8		bytes[CODE_BYTES];
	char		code[CODE_LENGTH + 1] = {0};

	jit_prevent_if_not_here(fcinfo);
	jit_require_top_level(fcinfo);
	(void) jit_open_ledger();
	jit_current_person(&person);
	if (!jit_is_bare_gateway(&person))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to offer an identity"),
				 OidIsValid(person.gateway) ?
				 errdetail("This transaction acts for somebody.") :
				 errdetail("Only gateways may: logins that jit_access.gateway_logins names.")));
	identity = identity_argument(fcinfo);
	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random code")));
	(void) hex_encode((const char *) bytes, sizeof(bytes), code);

	jit_enter_owner_section(&section);
	(void) jit_query("DELETE FROM jit.identity_codes WHERE expires_at <= $1 OR origin <> $2"
					 " OR identity = $3 AND gateway_oid = $4",
					 "ztto", jit_now(), jit_origin(), identity, person.gateway);
	(void) jit_query("INSERT INTO jit.identity_codes (digest, identity, gateway, gateway_oid, origin, expires_at)"
					 " VALUES (sha256($1::bytea), $2, $3, $4, $5, $6 + interval '" CODE_LIFE "')",
					 "tttotz", code, identity, jit_role_name(person.gateway),
					 person.gateway, jit_origin(), jit_now());
	jit_leave_owner_section(&section);
	PG_RETURN_TEXT_P(cstring_to_text(code));
}

static void
refuse_code(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("this code does not link an identity in %s", quote_identifier(jit_database_name())),
			 errdetail("A code works once, for ten minutes, in the database that it was made in."),
			 errhint("Ask where you got it for another one.")));
}

/* The code, as it was made: people may paste more around it. */
static char *
code_argument(FunctionCallInfo fcinfo)
{
	char	   *code = jit_required_text(fcinfo, 0, "code");

	code += strspn(code, " \t\r\n");
	code = pnstrdup(code, strcspn(code, " \t\r\n"));
	if (strlen(code) != CODE_LENGTH || strspn(code, "0123456789abcdef") != CODE_LENGTH)
		refuse_code();
	return code;
}

/* jit_link_identity(code) */
Datum
jit_link_identity(PG_FUNCTION_ARGS)
{
	char	   *code;
	char	   *identity = NULL;
	char	   *gateway = NULL;
	Oid			gateway_oid = InvalidOid;
	Oid			linked = InvalidOid;
	Oid			through = InvalidOid;
	JitOwnerSection section;
	JitPerson	person;
	char	   *why;

	jit_prevent_if_not_here(fcinfo);
	jit_require_top_level(fcinfo);
	(void) jit_open_ledger();
	jit_acting_person(&person);
	code = code_argument(fcinfo);
	if (person.role != person.login || person.session != person.login)
		why = psprintf(_("You have logged in as %s, and are role %s now."),
					   quote_identifier(jit_role_name(person.login)),
					   quote_identifier(jit_role_name(person.role)));
	else
		why = jit_why_not_acted_for(person.login);
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("you cannot link an identity to role %s", quote_identifier(jit_role_name(person.role))),
				 errdetail_internal("%s", why),
				 errhint("Log in directly, as yourself.")));

	jit_enter_owner_section(&section);
	if (jit_query("DELETE FROM jit.identity_codes WHERE digest = sha256($1::bytea) AND origin = $2 AND expires_at > $3"
				  " RETURNING identity, gateway, gateway_oid",
				  "ttz", code, jit_origin(), jit_now()) > 0)
	{
		identity = jit_result_text(1, 1);
		gateway = jit_result_text(1, 2);
		gateway_oid = jit_result_oid(1, 3);
	}
	if (identity == NULL || !jit_is_gateway_login(gateway_oid))
		refuse_code();
	/* another one that is being linked is waited for, by the index */
	if (jit_query("SELECT role_oid, gateway_oid FROM jit.identities WHERE identity = $1 AND origin = $2"
				  " AND unlinked_at IS NULL FOR UPDATE",
				  "tt", identity, jit_origin()) > 0)
	{
		linked = jit_result_oid(1, 1);
		through = jit_result_oid(1, 2);
	}
	if (OidIsValid(linked) && linked != person.login)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("identity %s is linked to another role", identity),
				 errhint("Whoever that is, or a JIT administrator, has to end it with jit_unlink_identity().")));
	if (OidIsValid(linked) && through != gateway_oid)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("identity %s is linked to you through another gateway", identity),
				 errhint("To end that: SELECT jit_unlink_identity(%s);", quote_literal_cstr(identity))));
	if (!OidIsValid(linked))
	{
		jit_query("INSERT INTO jit.identities (identity, role, role_oid, origin, gateway, linked_at, gateway_oid)"
				  " VALUES ($1, $2, $3, $4, $5, $6, $7)",
				  "ttottzo", identity, jit_role_name(person.login), person.login,
				  jit_origin(), gateway, jit_now(), gateway_oid);
		jit_event("identity_linked", 0,
				  jit_detail("identity", identity, "role", jit_role_name(person.login),
							 "gateway", gateway, NULL),
				  psprintf("identity %s linked to role %s in %s, through gateway %s", identity,
						   quote_identifier(jit_role_name(person.login)),
						   quote_identifier(jit_database_name()), quote_identifier(gateway)));
	}
	jit_leave_owner_section(&section);
	jit_forget_identities();
	ereport(NOTICE,
			(errmsg("gateway %s acts for you (role %s) when it is told to by %s",
					quote_identifier(gateway), quote_identifier(jit_role_name(person.login)), identity),
			 errdetail("If that is not you, whoever it is can ask and decide in your name."),
			 errhint("To end it: SELECT jit_unlink_identity(%s);", quote_literal_cstr(identity))));
	PG_RETURN_TEXT_P(cstring_to_text(identity));
}

/* jit_unlink_identity(identity) */
Datum
jit_unlink_identity(PG_FUNCTION_ARGS)
{
	char	   *identity;
	char	   *role = NULL;
	Oid			linked = InvalidOid;
	JitOwnerSection section;
	JitPerson	person;
	char	   *gateway;

	jit_prevent_if_not_here(fcinfo);
	jit_require_top_level(fcinfo);
	(void) jit_open_ledger();
	identity = jit_required_text(fcinfo, 0, "identity");
	jit_acting_person(&person);

	jit_enter_owner_section(&section);
	if (jit_query("SELECT role_oid, role, gateway FROM jit.identities WHERE identity = $1 AND origin = $2 AND unlinked_at IS NULL",
				  "tt", identity, jit_origin()) > 0)
	{
		linked = jit_result_oid(1, 1);
		role = jit_result_text(1, 2);
		gateway = jit_result_text(1, 3);
	}
	jit_leave_owner_section(&section);
	if (!jit_caller_administers(&person) &&
		(!OidIsValid(linked) || GetUserId() != GetOuterUserId() ||
		 !jit_is_party(&person, linked, NULL, false)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("identity %s is not linked to you", jit_shown(identity)),
				 errhint("See jit.identities; JIT administrators can end those of others.")));
	if (OidIsValid(linked))
	{
		jit_enter_owner_section(&section);
		/* somebody else may have been faster */
		if (jit_query("UPDATE jit.identities SET unlinked_at = $3 WHERE "
					  JIT_THE_ROWS("identities", "identity = $1 AND origin = $2 AND unlinked_at IS NULL FOR UPDATE"),
					  "ttz", identity, jit_origin(), jit_now()) == 0)
			linked = InvalidOid;
		else
			jit_event("identity_unlinked", 0,
					  jit_detail("identity", identity, "role", role, "gateway", gateway, NULL),
					  psprintf("identity %s unlinked from role %s in %s", identity, quote_identifier(role),
							   quote_identifier(jit_database_name())));
		jit_leave_owner_section(&section);
	}
	if (!OidIsValid(linked))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("identity %s is linked to nobody in %s", jit_shown(identity),
						quote_identifier(jit_database_name())),
				 errhint("See jit.identities.")));
	PG_RETURN_VOID();
}

/* The request that a token is of, which has to be the same as then. */
static int
request_of_token(const char *token)
{
	JitOwnerSection section;
	const char *number = strchr(token, ':');
	int			request = number != NULL ? atoi(number + 1) : 0;
	bool		valid;

	jit_enter_owner_section(&section);
	valid = jit_query("SELECT FROM jit.requests WHERE id = $1 AND jit.token(origin, id, requested_at) = $2",
					  "it", request, token) > 0;
	jit_leave_owner_section(&section);
	if (!valid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this token is of no request in %s", quote_identifier(jit_database_name())),
				 errdetail("The request has been archived, or the database restored, or a failover has lost it."),
				 errhint("Show what there is now: see jit.pending.")));
	return request;
}

/* jit_act_for(identity, token) */
Datum
jit_act_for(PG_FUNCTION_ARGS)
{
	char	   *identity;
	char	   *token = jit_text_argument(fcinfo, 1, "token");
	Oid			role = InvalidOid;
	int			request = 0;
	JitOwnerSection section;
	JitPerson	person;
	NameData   *result = palloc0(sizeof(NameData));
	char	   *why;

	jit_require_top_level(fcinfo);
	(void) jit_open_ledger();
	jit_current_person(&person);
	if (!OidIsValid(person.gateway) || GetUserId() != GetOuterUserId())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to act for somebody"),
				 errdetail("Only gateways may: logins that jit_access.gateway_logins names.")));
	if (person.via != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("this transaction acts for identity %s already", person.via),
				 errhint("Act for one in a transaction: COMMIT, and begin another.")));
	if (!IsTransactionBlock() || IsSubTransaction())
		ereport(ERROR,
				(errcode(ERRCODE_NO_ACTIVE_SQL_TRANSACTION),
				 errmsg("jit_act_for() must be called in a transaction block, outside of savepoints"),
				 errhint("BEGIN; SELECT jit_act_for('identity'); what is to be done for them; COMMIT;")));
	identity = jit_required_text(fcinfo, 0, "identity");

	jit_enter_owner_section(&section);
	if (jit_query("SELECT role_oid FROM jit.identities WHERE identity = $1 AND origin = $2 AND gateway_oid = $3"
				  " AND unlinked_at IS NULL",
				  "tto", identity, jit_origin(), person.gateway) > 0)
		role = jit_result_oid(1, 1);
	jit_leave_owner_section(&section);
	if (!OidIsValid(role))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("identity %s is not linked in %s", jit_shown(identity),
						quote_identifier(jit_database_name())),
				 errhint("Show them the code that SELECT jit_offer_identity('identity') returns; they link it with jit_link_identity().")));
	why = jit_why_not_acted_for(role);
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("nobody can act for identity %s now", jit_shown(identity)),
				 errdetail_internal("%s", why)));
	if (token != NULL)
		request = request_of_token(token);
	jit_act_for_role(role, person.gateway, identity, request);
	namestrcpy(result, jit_role_name(role));
	PG_RETURN_NAME(result);
}

/* jit.is_gateway(): one that acts for nobody */
Datum
jit_is_gateway(PG_FUNCTION_ARGS)
{
	JitPerson	person;

	jit_current_person(&person);
	PG_RETURN_BOOL(GetUserId() == GetOuterUserId() && jit_is_bare_gateway(&person));
}
