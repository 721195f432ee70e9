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
 * What a request would lead to, and whom one waits for, the other wing knows.
 * It runs queries, which may fail, and an error within an error would be
 * reported in its place.  So the denial is taken down first, as a PG_CATCH
 * would; then whatever happens in a subtransaction stays there, save a
 * cancellation, which ends the statement in its place; and then the denial is
 * raised again, with the hint that came of it, or with that which needs nobody.
 * The callbacks of the frames further out add their context to
 * it then.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/clock.h"
#include "base/commit.h"
#include "base/item.h"
#include "base/query.h"
#include "base/text.h"
#include "enforce/hint.h"

#include "access/parallel.h"
#include "access/relation.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_enum.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

/* One relation, and which privileges on it are missing, for which columns. */
typedef struct Missing
{
	Oid			relid;
	char	   *name;			/* as in a request, once all is found */
	AclMode		privs;			/* ACL_USAGE: it is a sequence */
	Bitmapset  *selected;		/* as in JitPermInfo */
	Bitmapset  *inserted;
	Bitmapset  *updated;
} Missing;

/* Of each grantee, only the latest grants and requests are read. */
#define MAX_ROWS_READ 100

/* What the ledger knows of what is missing. */
typedef struct Told
{
	TimestampTz last;			/* when what "detail" is about ended */
	char	   *detail;			/* that, or why what is live isn't enough; or
								 * NULL */
	int			request;		/* what that is about */
	int			pending;		/* request, maybe scheduled, that would cure
								 * it, 0 if none */
	int			rejected;		/* the last that would have, 0 if none */
} Told;

/* The other wing's: see jit_install_hint(). */
static char *(*suggest) (const char *access, int pending, int rejected);

/*
 * What was said of late, and what it was about.  Whoever is denied something
 * over and over again hears the same for a while, and isn't slowed down; what
 * they do themselves, or what becomes of roles, is news at once.
 */
#define N_KEPT		8
#define KEEP_FOR	1000		/* milliseconds */

typedef struct Kept
{
	TimestampTz until;
	Oid			userid;
	uint64		generation;
	uint64		notes;
	char	   *about;			/* NULL if there is nothing here */
	char	   *detail;			/* NULL if none */
	char	   *hint;
} Kept;

static Kept kept[N_KEPT];

/* What of our tables and indexes is read. */
enum
{
	GRANTS,
	GRANTS_BY_GRANTEE,
	REQUESTS,
	REQUESTS_BY_GRANTEE,
	REQUESTS_PKEY,
	ITEMS,
	ITEMS_PKEY,
	N_LEDGER_RELATIONS
};

static const char *const ledger_names[N_LEDGER_RELATIONS] = {
	[GRANTS] = "grants",
	[GRANTS_BY_GRANTEE] = "grants_grantee_oid_idx",
	[REQUESTS] = "requests",
	[REQUESTS_BY_GRANTEE] = "requests_grantee_oid_idx",
	[REQUESTS_PKEY] = "requests_pkey",
	[ITEMS] = "request_items",
	[ITEMS_PKEY] = "request_items_pkey"
};

/* Set by whoever raises a denial with a DETAIL of its own. */
bool		jit_denial_explained = false;

/*
 * Without INSERT on a table, the defaults of its columns are needed too: they
 * call nextval() on sequences, for which the user needs a privilege.  (Those
 * of identity columns need none.)
 */
static void
add_missing_sequences(List **missing, const JitPermInfo *info, List *closure)
{
	ListCell   *lc;

	if (!ConditionalLockRelationOid(DependRelationId, AccessShareLock))
		return;
	foreach(lc, getOwnedSequences(info->relid))
	{
		Oid			sequence = lfirst_oid(lc);
		Oid			table;
		int32		column;
		HeapTuple	tuple;
		bool		has_default;
		Missing    *m;

		if (!sequenceIsOwned(sequence, DEPENDENCY_AUTO, &table, &column) ||
			bms_is_member(column - FirstLowInvalidHeapAttributeNumber,
						  info->insertedCols) ||
			jit_object_aclmask(RelationRelationId, sequence, 0, closure,
							   ACL_USAGE | ACL_UPDATE) != 0)
			continue;
		tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(table),
								Int16GetDatum(column));
		if (!HeapTupleIsValid(tuple))
			continue;
		has_default = ((Form_pg_attribute) GETSTRUCT(tuple))->atthasdef;
		ReleaseSysCache(tuple);
		if (!has_default)
			continue;
		m = palloc0(sizeof(Missing));
		m->relid = sequence;
		m->privs = ACL_USAGE;
		*missing = lappend(*missing, m);
	}
}

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
			break;
	}
	if (lc == NULL)
	{
		m = palloc0(sizeof(Missing));
		m->relid = info->relid;
		*missing = lappend(*missing, m);
	}
	if ((privs & ~m->privs) & ACL_INSERT)
		add_missing_sequences(missing, info, closure);
	m->privs |= privs;
	m->selected = bms_add_members(m->selected, info->selectedCols);
	m->inserted = bms_add_members(m->inserted, info->insertedCols);
	m->updated = bms_add_members(m->updated, info->updatedCols);
	return true;
}

/* The columns of a COPY FROM; without a list of them, all. */
static Bitmapset *
copied_columns(Oid relid, List *names)
{
	Bitmapset  *columns = NULL;
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	AttrNumber	natts = 0;
	AttrNumber	attnum;
	ListCell   *lc;

	if (HeapTupleIsValid(tuple))
	{
		natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
		ReleaseSysCache(tuple);
	}
	foreach(lc, names)
	{
		attnum = get_attnum(relid, strVal(lfirst(lc)));
		if (attnum != InvalidAttrNumber)
			columns = bms_add_member(columns,
									 attnum - FirstLowInvalidHeapAttributeNumber);
	}
	for (attnum = 1; attnum <= natts && names == NIL; attnum++)
	{
		Form_pg_attribute form;

		tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
								Int16GetDatum(attnum));
		if (!HeapTupleIsValid(tuple))
			continue;
		form = (Form_pg_attribute) GETSTRUCT(tuple);
		if (!form->attisdropped && form->attgenerated == '\0')
			columns = bms_add_member(columns,
									 attnum - FirstLowInvalidHeapAttributeNumber);
		ReleaseSysCache(tuple);
	}
	return columns;
}

/* The same for a COPY, whose permission entry isn't at hand. */
static bool
add_missing_of_copy(List **missing, const CopyStmt *copy, List *closure)
{
	JitPermInfo *info = JIT_MAKE_PERMINFO();
	Oid			schema;

	if (copy->relation == NULL)
		return false;			/* COPY of a query: the executor's */
	if (copy->filename != NULL &&
		!list_member_oid(closure, copy->is_program ? ROLE_PG_EXECUTE_SERVER_PROGRAM :
						 copy->is_from ? ROLE_PG_READ_SERVER_FILES :
						 ROLE_PG_WRITE_SERVER_FILES))
		return false;			/* no access to the table cures it */
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
	if (copy->is_from)
		info->insertedCols = copied_columns(info->relid, copy->attlist);
	/* all columns; with a list of them, any will do */
	if (!copy->is_from && copy->attlist == NIL)
		info->selectedCols =
			bms_make_singleton(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber);
	return add_missing(missing, info, closure);
}

/*
 * The name by which access to the relation can be requested, NULL if it can't
 * be, or if the relation, which isn't locked, has been dropped.
 */
static char *
requestable_name(Oid relid)
{
	Oid			nspid = get_rel_namespace(relid);
	char	   *schema = get_namespace_name(nspid);
	char	   *name = get_rel_name(relid);

	if (schema == NULL || name == NULL || IsCatalogNamespace(nspid) ||
		IsToastNamespace(nspid) || isAnyTempNamespace(nspid) ||
		strcmp(schema, "information_schema") == 0 ||
		strcmp(schema, JIT_SCHEMA) == 0)
		return NULL;
	return quote_qualified_identifier(schema, name);
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
		Missing    *m = lfirst(lc);

		m->name = requestable_name(m->relid);
		if (m->name == NULL)
			return false;
	}
	return true;
}

/* "INSERT ON hr.title; SELECT ON hr.employee, hr.salary; USAGE ON SEQUENCE hr.s" */
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
		appendStringInfo(&buf, "%s%s ON %s", buf.len > 0 ? "; " : "",
						 jit_privileges_text(first->privs),
						 first->privs == ACL_USAGE ? "SEQUENCE " : "");
		foreach(lc, missing)
		{
			Missing    *m = lfirst(lc);

			if (m->privs != first->privs)
				continue;
			appendStringInfo(&buf, "%s%s", m == first ? "" : ", ", m->name);
		}
	}
	return buf.data;
}

/* How to ask for what is missing, where nobody is asked. */
static char *
request_text(List *missing)
{
	return psprintf(RecoveryInProgress() ?
					_("Request access on the primary server: SELECT jit_request(%s, '1 hour', 'why you need it');") :
					_("Request access: SELECT jit_request(%s, '1 hour', 'why you need it');"),
					quote_literal_cstr(access_text(missing)));
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
	return errhint("%s", request_text(missing));
}

static bool
names_hold(ArrayType *array, const char *name)
{
	Datum	   *values;
	int			n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		if (strcmp(TextDatumGetCString(values[i]), name) == 0)
			return true;
	}
	return false;
}

/* Has the role, if there is one, some of the privileges on the relation? */
static bool
role_has(Oid role, Oid relid, AclMode privs)
{
	return GetUserNameFromId(role, true) != NULL &&
		jit_object_aclmask(RelationRelationId, relid, 0,
						   jit_role_closure(role, JIT_CLOSURE_PRIVS,
											JIT_FILTER_STANDING, 0),
						   privs) != 0;
}

/* Is it the relation, or a role that has some of the privileges on it? */
static bool
gives_some(Oid objid, Oid relid, AclMode privs)
{
	return objid == relid || (privs != 0 && role_has(objid, relid, privs));
}

/* Is one of those there? */
static bool
objids_hold(ArrayType *array, Oid relid, AclMode privs, bool *as_role)
{
	Datum	   *values;
	int			n;

	deconstruct_array(array, OIDOID, sizeof(Oid), true, TYPALIGN_INT, &values, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		*as_role = DatumGetObjectId(values[i]) != relid;
		if (gives_some(DatumGetObjectId(values[i]), relid, privs))
			return true;
	}
	return false;
}

/* heap_getattr() by name; isnull may be NULL where the column has no nulls. */
static Datum
get_column(Relation rel, HeapTuple tuple, const char *name, bool *isnull)
{
	bool		null;

	return heap_getattr(tuple, get_attnum(RelationGetRelid(rel), name),
						RelationGetDescr(rel), isnull ? isnull : &null);
}

/* Was the request filed here, so that its OIDs mean what they say? */
static bool
filed_here(int request, Relation *ledger)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	ScanKeyInit(&key, get_attnum(RelationGetRelid(ledger[REQUESTS]), "id"),
				BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(request));
	scan = systable_beginscan(ledger[REQUESTS],
							  RelationGetRelid(ledger[REQUESTS_PKEY]), true,
							  NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		origin = get_column(ledger[REQUESTS], tuple, "origin", &isnull);

		result = !isnull && strcmp(TextDatumGetCString(origin), jit_origin()) == 0;
	}
	systable_endscan(scan);
	return result;
}

/* Does an item give one of the privileges, on one of the columns if on such? */
static bool
item_helps(ArrayType *privileges, ArrayType *attnums, const Missing *missing)
{
	for (AclMode bit = 1; bit != 0 && bit <= missing->privs; bit <<= 1)
	{
		Bitmapset  *columns = bit == ACL_SELECT ? missing->selected :
		bit == ACL_INSERT ? missing->inserted : missing->updated;
		Datum	   *values;
		int			n;

		if (!(missing->privs & bit) ||
			!names_hold(privileges, jit_privileges_text(bit)))
			continue;
		/* any column will do, or all are wanted */
		if (attnums == NULL || bms_is_empty(columns) ||
			bms_is_member(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber,
						  columns))
			return true;
		deconstruct_array(attnums, INT2OID, sizeof(int16), true, TYPALIGN_SHORT,
						  &values, NULL, &n);
		for (int i = 0; i < n; i++)
		{
			if (bms_is_member(DatumGetInt16(values[i]) - FirstLowInvalidHeapAttributeNumber,
							  columns))
				return true;
		}
	}
	return false;
}

/* Is it that the grant role doesn't convey the item any more? */
static bool
item_is_lost(ArrayType *privileges, ArrayType *attnums, const Missing *missing,
			 Oid grant_role)
{
	JitItem		item = {.objtype = OBJECT_TABLE};
	Datum	   *values;
	int			n;

	ObjectAddressSet(item.address, RelationRelationId, missing->relid);
	for (AclMode bit = 1; bit != 0 && bit <= missing->privs; bit <<= 1)
	{
		if ((missing->privs & bit) &&
			names_hold(privileges, jit_privileges_text(bit)))
			item.privs |= bit;
	}
	if (attnums != NULL)
	{
		deconstruct_array(attnums, INT2OID, sizeof(int16), true, TYPALIGN_SHORT,
						  &values, NULL, &n);
		for (int i = 0; i < n; i++)
			item.attnums = lappend_int(item.attnums, DatumGetInt16(values[i]));
	}
	return jit_item_conveyed(&item, grant_role) != JIT_CONVEYED_ALL;
}

/*
 * Was some of what is missing on the relation in the request?  With a grant
 * role, only what that doesn't convey any more counts.
 */
static bool
was_requested(int request, const Missing *missing, Relation *ledger, Oid grant_role)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	ScanKeyInit(&key, get_attnum(RelationGetRelid(ledger[ITEMS]), "request_id"),
				BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(request));
	scan = systable_beginscan(ledger[ITEMS],
							  RelationGetRelid(ledger[ITEMS_PKEY]), true, NULL,
							  1, &key);
	while (!result && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		whole;
		ArrayType  *privileges;
		ArrayType  *attnums = NULL;
		Datum		value;
		Oid			classid = DatumGetObjectId(get_column(ledger[ITEMS], tuple, "classid", NULL));
		Oid			objid = DatumGetObjectId(get_column(ledger[ITEMS], tuple, "objid", NULL));

		if (classid == AuthIdRelationId && !OidIsValid(grant_role))
			result = role_has(objid, missing->relid, missing->privs);
		if (classid != RelationRelationId || objid != missing->relid)
			continue;
		privileges = DatumGetArrayTypeP(get_column(ledger[ITEMS], tuple, "privileges", NULL));
		value = get_column(ledger[ITEMS], tuple, "attnums", &whole);
		if (!whole)
			attnums = DatumGetArrayTypeP(value);
		result = item_helps(privileges, attnums, missing) &&
			(!OidIsValid(grant_role) ||
			 item_is_lost(privileges, attnums, missing, grant_role));
	}
	systable_endscan(scan);
	return result;
}

static void
close_ledger(Relation *ledger)
{
	/* the locks go with the transaction, which is being aborted */
	for (int i = 0; i < N_LEDGER_RELATIONS; i++)
	{
		if (ledger[i] != NULL)
			relation_close(ledger[i], NoLock);
	}
}

/* Open what is read, if that can be done without waiting, and all is there. */
static bool
open_ledger(Relation *ledger)
{
	static const struct
	{
		int			rel;
		const char *column;
	}			columns[] = {
		{GRANTS, "request_id"}, {GRANTS, "expires_at"}, {GRANTS, "ended_at"},
		{GRANTS, "objects"}, {GRANTS, "objids"}, {GRANTS, "grantee_oid"},
		{GRANTS, "role_oid"},
		{REQUESTS, "id"}, {REQUESTS, "origin"}, {REQUESTS, "grantee_oid"},
		{REQUESTS, "status"}, {REQUESTS, "lapses_at"}, {ITEMS, "request_id"},
		{ITEMS, "classid"}, {ITEMS, "objid"}, {ITEMS, "privileges"},
		{ITEMS, "attnums"}
	};
	Oid			jit = get_namespace_oid(JIT_SCHEMA, true);
	bool		complete = ActiveSnapshotSet();

	memset(ledger, 0, N_LEDGER_RELATIONS * sizeof(Relation));
	for (int i = 0; i < N_LEDGER_RELATIONS && complete; i++)
	{
		Oid			relid = get_relname_relid(ledger_names[i], jit);

		/* it may have been dropped before it was locked */
		if (OidIsValid(relid) && ConditionalLockRelationOid(relid, AccessShareLock))
			ledger[i] = try_relation_open(relid, NoLock);
		complete = ledger[i] != NULL && !ReindexIsProcessingIndex(relid);
	}
	for (size_t i = 0; i < lengthof(columns) && complete; i++)
		complete = get_attnum(RelationGetRelid(ledger[columns[i].rel]),
							  columns[i].column) != InvalidAttrNumber;
	if (!complete)
		close_ledger(ledger);
	return complete;
}

/*
 * Why a grant that is live by the ledger, for a relation that is missing, gives
 * nothing on it: a sentence, or NULL if it isn't for that or does.
 */
static char *
why_not_conveyed(Relation grants, HeapTuple tuple, const Missing *missing,
				 Relation *ledger)
{
	int			request = DatumGetInt32(get_column(grants, tuple, "request_id", NULL));
	Oid			role = DatumGetObjectId(get_column(grants, tuple, "role_oid", NULL));
	ArrayType  *objects = DatumGetArrayTypeP(get_column(grants, tuple, "objects", NULL));
	ArrayType  *objids = DatumGetArrayTypeP(get_column(grants, tuple, "objids", NULL));
	const char *database = quote_identifier(jit_database_name());
	Datum	   *names;
	Datum	   *oids;
	int			n;
	bool		as_role;
	bool		gone = true;

	if (!objids_hold(objids, missing->relid, missing->privs, &as_role))
	{
		/* for something else of that name? */
		if (!names_hold(objects, missing->name) || !filed_here(request, ledger))
			return NULL;
		deconstruct_array(objects, TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &n);
		deconstruct_array(objids, OIDOID, sizeof(Oid), true, TYPALIGN_INT, &oids, NULL, &n);
		for (int i = 0; i < n; i++)
		{
			if (strcmp(TextDatumGetCString(names[i]), missing->name) == 0 &&
				get_rel_name(DatumGetObjectId(oids[i])) != NULL)
				gone = false;
		}
		return psprintf(gone ?
						_("%s was dropped and made anew since request %d in %s was approved.") :
						_("%s bears the name of what request %d in %s is for, which has been renamed since."),
						missing->name, request, database);
	}
	if (!filed_here(request, ledger))
		return NULL;
	/* by our own names: the ledger is about to follow */
	if (GetUserNameFromId(role, true) == NULL || !jit_grant_has_member(role, InvalidOid))
		return psprintf(_("Request %d in %s has been ended by dropping its role, or taking its member away."),
						request, database);
	if (jit_role_deadline(role) == DT_NOBEGIN)
		return psprintf(_("Request %d in %s gives nothing: its role %s has lost its VALID UNTIL."),
						request, database, quote_identifier(GetUserNameFromId(role, true)));
	if (as_role)
	{
		deconstruct_array(objids, OIDOID, sizeof(Oid), true, TYPALIGN_INT, &oids, NULL, &n);
		for (int i = 0; i < n; i++)
		{
			JitItem		item = {.objtype = OBJECT_ROLE};

			ObjectAddressSet(item.address, AuthIdRelationId, DatumGetObjectId(oids[i]));
			if (gives_some(item.address.objectId, missing->relid, missing->privs) &&
				jit_item_conveyed(&item, role) == JIT_CONVEYED_ALL)
				return NULL;
		}
		return psprintf(_("Request %d in %s does not give it any more: its role %s has lost what it was a member of."),
						request, database, quote_identifier(GetUserNameFromId(role, true)));
	}
	if (!was_requested(request, missing, ledger, role))
		return NULL;
	return psprintf(_("Request %d in %s does not give it any more: its scope role has been dropped, or has lost a privilege on %s."),
					request, database, missing->name);
}

/* A grant: has it ended, or why doesn't it give what is missing? */
static void
look_at_grant(HeapTuple tuple, List *all_missing, Relation *ledger, Told *told)
{
	Relation	rel = ledger[GRANTS];
	const Missing *missing = linitial(all_missing);
	TimestampTz now = jit_now();
	bool		not_ended;
	bool		as_role;
	bool		not_query;
	int			request = DatumGetInt32(get_column(rel, tuple, "request_id", NULL));
	TimestampTz expires = DatumGetTimestampTz(get_column(rel, tuple, "expires_at", NULL));
	TimestampTz ended = DatumGetTimestampTz(get_column(rel, tuple, "ended_at", &not_ended));
	TimestampTz end = not_ended ? expires : Min(expires, ended);
	ArrayType  *objids;
	char	   *detail = NULL;

	if (end <= told->last)
		return;
	/* a statement's gives the grantee nothing */
	(void) get_column(rel, tuple, "query_oid", &not_query);
	if (!not_query)
		return;
	objids = DatumGetArrayTypeP(get_column(rel, tuple, "objids", NULL));
	if (end > now)
		detail = why_not_conveyed(rel, tuple, missing, ledger);
	else if (objids_hold(objids, missing->relid, missing->privs, &as_role) &&
			 (as_role || was_requested(request, missing, ledger, InvalidOid)) &&
			 filed_here(request, ledger))
		detail = psprintf(!not_ended && ended < expires ?
						  _("Request %d in %s was revoked at %s.") :
						  _("Request %d in %s expired at %s."),
						  request, quote_identifier(jit_database_name()),
						  jit_timestamp_text(end));
	if (detail == NULL)
		return;
	told->last = end;
	told->detail = detail;
	told->request = request;
}

/* Is every privilege that is missing in the request, on every column? */
static bool
cures(int request, List *all_missing, Relation *ledger)
{
	ListCell   *lc;

	foreach(lc, all_missing)
	{
		const Missing *missing = lfirst(lc);

		for (AclMode bit = 1; bit != 0 && bit <= missing->privs; bit <<= 1)
		{
			Missing		one = *missing;
			const Bitmapset *columns = bit == ACL_SELECT ? missing->selected :
			bit == ACL_INSERT ? missing->inserted :
			bit == ACL_UPDATE ? missing->updated : NULL;
			int			column = -1;

			if (!(missing->privs & bit))
				continue;
			one.privs = bit;
			one.selected = one.inserted = one.updated = NULL;
			if (bms_is_empty(columns) && !was_requested(request, &one, ledger, InvalidOid))
				return false;
			while ((column = bms_next_member(columns, column)) >= 0)
			{
				one.selected = one.inserted = one.updated = bms_make_singleton(column);
				if (!was_requested(request, &one, ledger, InvalidOid))
					return false;
			}
		}
	}
	return true;
}

/* A request: is it pending or scheduled, or has it been rejected? */
static void
look_at_request(HeapTuple tuple, List *all_missing, Relation *ledger, Told *told)
{
	Relation	rel = ledger[REQUESTS];
	int			request = DatumGetInt32(get_column(rel, tuple, "id", NULL));
	Oid			status = DatumGetObjectId(get_column(rel, tuple, "status", NULL));
	const char *origin;
	bool		no_statement;
	HeapTuple	label = SearchSysCache1(ENUMOID, ObjectIdGetDatum(status));
	const char *name;
	bool		pending;
	bool		rejected;

	if (!HeapTupleIsValid(label))
		return;
	name = NameStr(((Form_pg_enum) GETSTRUCT(label))->enumlabel);
	pending = strcmp(name, jit_status_name(JIT_PENDING)) == 0 ||
		strcmp(name, jit_status_name(JIT_SCHEDULED)) == 0;
	rejected = strcmp(name, jit_status_name(JIT_REJECTED)) == 0;
	ReleaseSysCache(label);
	if (!(pending && request > told->pending &&
		  DatumGetTimestampTz(get_column(rel, tuple, "lapses_at", NULL)) > jit_now()) &&
		!(rejected && request > told->rejected))
		return;
	(void) get_column(rel, tuple, "statement", &no_statement);
	origin = TextDatumGetCString(get_column(rel, tuple, "origin", NULL));
	if (!no_statement || strcmp(origin, jit_origin()) != 0 || !cures(request, all_missing, ledger))
		return;
	if (pending)
		told->pending = request;
	else
		told->rejected = request;
}

/*
 * What the ledger knows of access of these roles to what is missing.  Nothing
 * if it can't be read at once.  Reads tables itself, because there is no SPI
 * in here.
 */
static void
read_ledger(List *missing, List *roles, Told *told)
{
	static const struct
	{
		int			table;
		int			index;		/* by the grantee, then by number */
		void		(*look_at) (HeapTuple tuple, List *missing,
								Relation *ledger, Told *told);
	}			reads[] = {
		{GRANTS, GRANTS_BY_GRANTEE, look_at_grant},
		{REQUESTS, REQUESTS_BY_GRANTEE, look_at_request}
	};
	Relation	ledger[N_LEDGER_RELATIONS];
	ListCell   *lc;

	told->last = DT_NOBEGIN;
	if (!open_ledger(ledger))
		return;
	for (size_t i = 0; i < lengthof(reads); i++)
	{
		Relation	rel = ledger[reads[i].table];
		AttrNumber	grantee = get_attnum(RelationGetRelid(rel), "grantee_oid");

		foreach(lc, roles)
		{
			ScanKeyData key;
			SysScanDesc scan;
			HeapTuple	tuple;
			int			n = 0;

			ScanKeyInit(&key, grantee, BTEqualStrategyNumber, F_OIDEQ,
						ObjectIdGetDatum(lfirst_oid(lc)));
			scan = systable_beginscan_ordered(rel, ledger[reads[i].index], NULL, 1, &key);
			while (n++ < MAX_ROWS_READ &&
				   HeapTupleIsValid(tuple = systable_getnext_ordered(scan, BackwardScanDirection)))
				reads[i].look_at(tuple, missing, ledger, told);
			systable_endscan_ordered(scan);
		}
	}
	close_ledger(ledger);
	/* what has been given since is newer news */
	if (told->rejected < told->request)
		told->rejected = 0;
}

typedef struct SuggestCall
{
	char	   *access;
	const Told *told;
	char	   *hint;			/* result */
} SuggestCall;

static void
try_to_suggest(void *arg)
{
	SuggestCall *call = arg;

	/* nothing is worth waiting for; set back with the subtransaction */
	jit_set_locally("lock_timeout", "1");
	call->hint = suggest(call->access, call->told->pending, call->told->rejected);
}

/* What a hint would be about: what is missing, to the column. */
static char *
about_text(List *missing)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfoString(&buf, access_text(missing));
	foreach(lc, missing)
	{
		Missing    *m = lfirst(lc);

		appendStringInfo(&buf, "%s%s%s", bmsToString(m->selected),
						 bmsToString(m->inserted), bmsToString(m->updated));
	}
	return buf.data;
}

static const Kept *
find_kept(const char *about)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < N_KEPT; i++)
	{
		if (kept[i].about != NULL && kept[i].userid == GetUserId() &&
			kept[i].generation == jit_roles_generation &&
			kept[i].notes == jit_notes_made && now < kept[i].until &&
			TimestampTzPlusMilliseconds(now, KEEP_FOR) >= kept[i].until &&
			strcmp(kept[i].about, about) == 0)
			return &kept[i];
	}
	return NULL;
}

/* Keep what is to be said, instead of the oldest. */
static void
keep(const char *about, const char *detail, const char *hint)
{
	Kept	   *k = &kept[0];
	MemoryContext context = MemoryContextSwitchTo(TopMemoryContext);

	for (int i = 1; i < N_KEPT; i++)
	{
		if (kept[i].until < k->until)
			k = &kept[i];
	}
	if (k->about != NULL)
	{
		pfree(k->about);
		k->about = NULL;
		pfree(k->hint);
		if (k->detail != NULL)
			pfree(k->detail);
	}
	k->hint = pstrdup(hint);
	k->detail = detail ? pstrdup(detail) : NULL;
	k->about = pstrdup(about);
	k->userid = GetUserId();
	k->generation = jit_roles_generation;
	k->notes = jit_notes_made;
	k->until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), KEEP_FOR);
	MemoryContextSwitchTo(context);
}

/*
 * What the other wing suggests, NULL if it can't tell.  Raises what the
 * denial mustn't stand in the way of: whoever catches that would go on after
 * a cancellation.
 */
static char *
ask_for_suggestion(SuggestCall *call)
{
	return jit_try(try_to_suggest, call) != NULL ? NULL : call->hint;
}

/* Is what is being reported an error, and not a NOTICE with the code of one? */
static bool
is_error(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "jit_access error",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	bool		result = CopyErrorData()->elevel >= ERROR;

	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return result;
}

/*
 * Raise the denial that is being reported again, with what the other wing
 * suggests.  Returns if that can't be asked here.  See the top of the file.
 */
static void
raise_with_suggestion(List *missing, const Told *told, const char *about,
					  const JitStatementFrame *frame)
{
	SuggestCall call = {.told = told};
	MemoryContext context;
	ErrorData  *denial;
	char	   *otherwise;
	char	   *detail;

	/* who holds interrupts may hold a lightweight lock */
	if (suggest == NULL || !ActiveSnapshotSet() || IsInParallelMode() ||
		InterruptHoldoffCount > 0 || QueryCancelHoldoffCount > 0)
		return;

	context = AllocSetContextCreate(CurTransactionContext, "jit_access denial",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	call.access = access_text(missing);
	about = pstrdup(about);
	detail = told->detail ? pstrdup(told->detail) : NULL;
	otherwise = request_text(missing);
	denial = CopyErrorData();
	FlushErrorState();
	error_context_stack = frame->callback.previous;
	denial->hint = ask_for_suggestion(&call);
	if (denial->hint == NULL)
		denial->hint = otherwise;
	keep(about, detail, denial->hint);
	ThrowErrorData(denial);
}

void
jit_hint_callback(void *arg)
{
	JitStatementFrame *frame = arg;
	List	   *perminfos = NIL;
	List	   *missing = NIL;
	List	   *closure;
	ListCell   *lc;
	Told		told = {0};
	const Kept *said;
	char	   *about;
	bool		explained = jit_denial_explained;

	if (geterrcode() != ERRCODE_INSUFFICIENT_PRIVILEGE || CritSectionCount > 0 ||
		!is_error())
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

	foreach(lc, jit_commit_notes(JIT_COMMIT_GIVE))
	{
		JitPromise *promise = lfirst(lc);

		if (jit_is_member(GetUserId(), promise->grantee, JIT_FILTER_NONE))
		{
			errhint("Request %d gives access once this transaction is committed: use COMMIT, and then run the statement again.",
					promise->request);
			return;
		}
	}

	about = about_text(missing);
	said = find_kept(about);
	if (said != NULL)
		told.detail = said->detail;
	else
		read_ledger(missing, jit_role_closure(GetUserId(), JIT_CLOSURE_MEMBERS,
											  JIT_FILTER_STANDING, 0), &told);
	if (!explained && told.detail != NULL)
		errdetail_internal("%s", told.detail);
	if (said != NULL)
		errhint("%s", said->hint);
	else
	{
		if (jit_role_inherits(GetUserId()))
			raise_with_suggestion(missing, &told, about, frame);
		request_hint(missing);
	}
}

/*
 * Called from _PG_init() only.  "suggestion" is asked in a subtransaction, as
 * the user, for the hint of a denial: what to do about lacking the access,
 * given the request that is pending for it and the one that was rejected, 0
 * for none.
 */
void
jit_install_hint(char *(*suggestion) (const char *access, int pending, int rejected))
{
	suggest = suggestion;
}

/*
 * errhint() for temporary access that has ended: how to ask again for the
 * request that gave it, if that is one of this database and not 0, or else for
 * what these permission entries ask for beyond the user's standing privileges.
 */
int
jit_errhint_ended(List *perminfos, int request)
{
	List	   *closure;
	List	   *missing = NIL;

	if (!IsTransactionState() || IsParallelWorker() ||
		GetUserId() != GetOuterUserId() || !jit_extension_installed())
		return request_hint(NIL);
	closure = jit_role_closure(GetUserId(), JIT_CLOSURE_PRIVS,
							   JIT_FILTER_STANDING, 0);
	if (!find_missing(&missing, perminfos, closure))
		missing = NIL;
	if (missing == NIL || request == 0)
		return request_hint(missing);
	return RecoveryInProgress() ?
		errhint("To ask for it again, on the primary server: SELECT jit_extend(%d);", request) :
		errhint("To ask for it again: SELECT jit_extend(%d);", request);
}
