/*-------------------------------------------------------------------------
 *
 * hint.c
 *		What to ask for, said where it was denied, and what has ended.
 *
 * An error context callback around the start of a query sees the error that
 * PostgreSQL is about to report.  If it is a lack of privilege, the callback
 * works out which relations the user lacks what on, and puts a request for
 * exactly that into the HINT; and if access of the user's to one of them has
 * ended, the DETAIL says so.  Nothing is done for any other error, and none
 * of it runs while nothing is denied.
 *
 * The callback runs while an error is being reported: it must not raise.
 * It reads catalogs with missing_ok lookups only, waits for no lock, and
 * leaves alone what it can't find.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* One relation, and which privileges on it are missing. */
typedef struct Missing
{
	Oid			relid;
	AclMode		privs;
} Missing;

/* Set by whoever raises a denial with a DETAIL of its own. */
bool		jit_denial_explained = false;

/* Add what a permission entry lacks; false if no grant to the user cures it. */
static bool
add_missing(List **missing, const JitPermInfo *info, List *closure)
{
	ListCell   *lc;
	AclMode		privs = 0;
	Missing    *m;

	if (!JIT_PERMINFO_IS_RELATION(info) || info->requiredPerms == 0)
		return true;
	if (OidIsValid(info->checkAsUser) && info->checkAsUser != GetUserId())
	{
		/* a view is read with its owner's rights */
		List	   *owner = jit_role_closure(info->checkAsUser, JIT_CLOSURE_PRIVS,
											 JIT_FILTER_LIVE, jit_now());

		return jit_perminfo_permitted(info, owner);
	}

	/* one by one: what some columns suffice for isn't missing */
	for (AclMode bit = 1; bit != 0 && bit <= info->requiredPerms; bit <<= 1)
	{
		JitPermInfo one = *info;

		one.requiredPerms &= bit;
		if (!jit_perminfo_permitted(&one, closure))
			privs |= bit;
	}
	if (privs == 0)
		return true;
	foreach(lc, *missing)
	{
		m = lfirst(lc);
		if (m->relid == info->relid)
		{
			m->privs |= privs;
			return true;
		}
	}
	m = palloc(sizeof(Missing));
	m->relid = info->relid;
	m->privs = privs;
	*missing = lappend(*missing, m);
	return true;
}

/* The same for a COPY, whose permission entry isn't at hand. */
static bool
add_missing_of_copy(List **missing, const CopyStmt *copy, List *closure)
{
	JitPermInfo *info = JIT_MAKE_PERMINFO();
	Oid			schema;

	if (copy->relation == NULL)
		return false;			/* COPY of a query: the executor's */
	if (copy->relation->schemaname)
	{
		schema = get_namespace_oid(copy->relation->schemaname, true);
		info->relid = OidIsValid(schema) ?
			get_relname_relid(copy->relation->relname, schema) : InvalidOid;
	}
	else
		info->relid = RelnameGetRelid(copy->relation->relname);
	if (!OidIsValid(info->relid))
		return false;
	info->requiredPerms = copy->is_from ? ACL_INSERT : ACL_SELECT;
	/* all columns; with a list of them, any will do */
	if (!copy->is_from && copy->attlist == NIL)
		info->selectedCols =
			bms_make_singleton(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber);
	return add_missing(missing, info, closure);
}

/* Can access to the relation be requested at all? */
static bool
requestable(Oid relid)
{
	Oid			nspid = get_rel_namespace(relid);
	char	   *schema = get_namespace_name(nspid);

	return schema != NULL && !IsCatalogNamespace(nspid) &&
		!IsToastNamespace(nspid) && !isAnyTempNamespace(nspid) &&
		strcmp(schema, "information_schema") != 0 &&
		strcmp(schema, JIT_SCHEMA) != 0;
}

/*
 * Add what the permission entries lack; false if not all of what is missing
 * can be requested.
 */
static bool
find_missing(List **missing, List *perminfos, List *closure)
{
	ListCell   *lc;

	foreach(lc, perminfos)
	{
		if (!add_missing(missing, lfirst(lc), closure))
			return false;
	}
	foreach(lc, *missing)
	{
		if (!requestable(((Missing *) lfirst(lc))->relid))
			return false;
	}
	return true;
}

/* "SELECT, UPDATE ON hr.title; SELECT ON hr.employee, hr.salary" */
static char *
access_text(List *missing)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(missing); i++)
	{
		Missing    *first = list_nth(missing, i);
		bool		done = false;

		for (int k = 0; k < i; k++)
			done |= ((Missing *) list_nth(missing, k))->privs == first->privs;
		if (done)
			continue;
		appendStringInfo(&buf, "%s%s ON ", buf.len > 0 ? "; " : "",
						 jit_privileges_text(first->privs));
		foreach(lc, missing)
		{
			Missing    *m = lfirst(lc);

			if (m->privs != first->privs)
				continue;
			appendStringInfo(&buf, "%s%s", m == first ? "" : ", ",
							 quote_qualified_identifier(get_namespace_name(get_rel_namespace(m->relid)),
														get_rel_name(m->relid)));
		}
	}
	return buf.data;
}

/* errhint() how to ask for what is missing; NIL: who knows what. */
static int
request_hint(List *missing)
{
	if (missing == NIL)
		return errhint("Ask for access anew with jit_request().");
	if (!jit_role_inherits(GetUserId()))
		return errhint("Request a role that has this access, to be used with SET ROLE, or ALTER ROLE %s INHERIT.",
					   quote_identifier(jit_role_name(GetUserId())));
	if (RecoveryInProgress())
		return errhint("Request access on the primary server: SELECT jit_request(%s, '1 hour', 'why you need it');",
					   quote_literal_cstr(access_text(missing)));
	return errhint("Request access: SELECT jit_request(%s, '1 hour', 'why you need it');",
				   quote_literal_cstr(access_text(missing)));
}

/* Does an oid[] or text[] of a ledger row hold the value? */
static bool
array_holds(ArrayType *array, Oid relid, const char *name, AclMode privs)
{
	Datum	   *values;
	int			n;

	if (name != NULL)
		deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, NULL, &n);
	else
		deconstruct_array(array, OIDOID, sizeof(Oid), true, TYPALIGN_INT, &values, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		if (name != NULL)
		{
			if (strcmp(TextDatumGetCString(values[i]), name) == 0)
				return true;
		}
		else if (DatumGetObjectId(values[i]) == relid ||
				 (GetUserNameFromId(DatumGetObjectId(values[i]), true) != NULL &&
				  jit_object_aclmask(RelationRelationId, relid, 0,
									 jit_role_closure(DatumGetObjectId(values[i]),
													  JIT_CLOSURE_PRIVS,
													  JIT_FILTER_STANDING, 0),
									 privs) != 0))
			return true;
	}
	return false;
}

/* Was the request filed here, so that its OIDs mean what they say? */
static bool
filed_here(int request, Relation requests, Oid indexid)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	ScanKeyInit(&key, get_attnum(RelationGetRelid(requests), "id"),
				BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(request));
	scan = systable_beginscan(requests, indexid, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		origin = heap_getattr(tuple, get_attnum(RelationGetRelid(requests), "origin"),
										  RelationGetDescr(requests), &isnull);

		result = !isnull && strcmp(TextDatumGetCString(origin), jit_origin()) == 0;
	}
	systable_endscan(scan);
	return result;
}

/*
 * What the ledger knows of access of these roles to the relation: that it
 * has ended, or is for another object of that name.  NULL if nothing, or if
 * the ledger can't be read at once.  Reads jit.grants itself, because there
 * is no SPI in here.
 */
static char *
ledger_detail(const Missing *missing, List *roles)
{
	Oid			jit = get_namespace_oid(JIT_SCHEMA, true);
	Oid			relid = get_relname_relid("grants", jit);
	Oid			indexid = get_relname_relid("grants_grantee_oid_idx", jit);
	AttrNumber	request_att = get_attnum(relid, "request_id");
	AttrNumber	expires_att = get_attnum(relid, "expires_at");
	AttrNumber	ended_att = get_attnum(relid, "ended_at");
	AttrNumber	objects_att = get_attnum(relid, "objects");
	AttrNumber	objids_att = get_attnum(relid, "objids");
	char	   *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(missing->relid)),
												  get_rel_name(missing->relid));
	Oid			requests_relid = get_relname_relid("requests", jit);
	Oid			requests_indexid = get_relname_relid("requests_pkey", jit);
	TimestampTz now = jit_now();
	TimestampTz last = DT_NOBEGIN;
	char	   *detail = NULL;
	Relation	rel;
	Relation	requests;
	ListCell   *lc;

	if (!OidIsValid(relid) || !OidIsValid(indexid) ||
		!request_att || !expires_att || !ended_att || !objects_att || !objids_att ||
		!get_attnum(relid, "grantee_oid") ||
		!OidIsValid(requests_relid) || !OidIsValid(requests_indexid) ||
		!get_attnum(requests_relid, "id") ||
		!get_attnum(requests_relid, "origin") || !ActiveSnapshotSet() ||
		!ConditionalLockRelationOid(relid, AccessShareLock) ||
		!ConditionalLockRelationOid(requests_relid, AccessShareLock))
		return NULL;
	rel = table_open(relid, NoLock);
	requests = table_open(requests_relid, NoLock);
	foreach(lc, roles)
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key, get_attnum(relid, "grantee_oid"), BTEqualStrategyNumber,
					F_OIDEQ, ObjectIdGetDatum(lfirst_oid(lc)));
		scan = systable_beginscan(rel, indexid, true, NULL, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			TupleDesc	desc = RelationGetDescr(rel);
			bool		isnull;
			bool		not_ended;
			int			request = DatumGetInt32(heap_getattr(tuple, request_att, desc, &isnull));
			TimestampTz expires = DatumGetTimestampTz(heap_getattr(tuple, expires_att, desc, &isnull));
			ArrayType  *objects = DatumGetArrayTypeP(heap_getattr(tuple, objects_att, desc, &isnull));
			ArrayType  *objids = DatumGetArrayTypeP(heap_getattr(tuple, objids_att, desc, &isnull));
			TimestampTz ended = DatumGetTimestampTz(heap_getattr(tuple, ended_att, desc, &not_ended));
			TimestampTz end = not_ended ? expires : Min(expires, ended);

			if (!filed_here(request, requests, requests_indexid))
				continue;
			if (end > now)
			{
				/* live: it must be for something else of that name */
				if (array_holds(objects, InvalidOid, name, 0) &&
					!array_holds(objids, missing->relid, NULL, 0))
				{
					last = end;
					detail = psprintf(_("Request %d in %s is for another %s, which has been dropped or renamed since."),
									  request, quote_identifier(jit_database_name()), name);
				}
			}
			else if (end > last &&
					 array_holds(objids, missing->relid, NULL, missing->privs))
			{
				last = end;
				detail = psprintf(!not_ended && ended < expires ?
								  _("Request %d in %s was revoked at %s.") :
								  _("Request %d in %s expired at %s."),
								  request, quote_identifier(jit_database_name()),
								  jit_timestamp_text(end));
			}
		}
		systable_endscan(scan);
	}
	table_close(requests, NoLock);
	table_close(rel, NoLock);
	return detail;
}

void
jit_hint_callback(void *arg)
{
	JitStatementFrame *frame = arg;
	List	   *perminfos = NIL;
	List	   *missing = NIL;
	List	   *closure;
	bool		explained = jit_denial_explained;

	if (geterrcode() != ERRCODE_INSUFFICIENT_PRIVILEGE)
		return;
	jit_denial_explained = false;
	/* what is denied to the rights of a function's owner, no request cures */
	if (!IsTransactionState() || IsParallelWorker() ||
		GetUserId() != GetOuterUserId() || !jit_extension_installed())
		return;

	closure = jit_role_closure(GetUserId(), JIT_CLOSURE_PRIVS, JIT_FILTER_LIVE,
							   jit_now());
	if (frame->starting != NULL)
		perminfos = JIT_PLAN_PERMINFOS(frame->starting->plannedstmt);
	else if (frame->copy == NULL)
		perminfos = frame->perminfos;
	else if (!add_missing_of_copy(&missing, frame->copy, closure))
		return;
	if (!find_missing(&missing, perminfos, closure) || missing == NIL)
		return;

	if (!explained)
	{
		List	   *roles = jit_role_closure(GetUserId(), JIT_CLOSURE_MEMBERS,
											 JIT_FILTER_STANDING, 0);
		char	   *detail = ledger_detail(linitial(missing), roles);

		if (detail != NULL)
			errdetail_internal("%s", detail);
	}
	request_hint(missing);
}

/*
 * errhint() for temporary access that has ended: how to ask for what these
 * permission entries ask for beyond the user's standing privileges.
 */
int
jit_errhint_ended(List *perminfos)
{
	List	   *closure;
	List	   *missing = NIL;

	if (!IsTransactionState() || IsParallelWorker() ||
		GetUserId() != GetOuterUserId() || !jit_extension_installed())
		return request_hint(NIL);
	closure = jit_role_closure(GetUserId(), JIT_CLOSURE_PRIVS,
							   JIT_FILTER_STANDING, 0);
	return request_hint(find_missing(&missing, perminfos, closure) ? missing : NIL);
}
