/*-------------------------------------------------------------------------
 *
 * ledger.c
 *		Requests as the ledger has them: rows, items, reviews.
 *
 * Reads them into memory and writes what becomes of them.  Whoever calls has
 * checked the caller, and holds the row lock where something is written.
 *
 * OIDs in a row count where it was filed (jit_origin()); elsewhere, after a
 * restore, names do, and are resolved anew.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/clock.h"
#include "base/item.h"
#include "base/lock.h"
#include "base/query.h"
#include "base/text.h"
#include "request/event.h"
#include "request/ledger.h"

#include "executor/executor.h"
#include "utils/fmgroids.h"
#include "utils/varlena.h"

/* What jit_load_request() and what follows it read, in this order. */
#define REQUEST_COLUMNS \
	"id, status::text, requester, requester_oid, login, login_oid," \
	" grantee, grantee_oid, access, reason, ticket, duration, until," \
	" lapses_at, expires_at, flow, risk::text, needs_superuser, origin, extends, via," \
	" start, decided_at, activated_at, emergency, verdict," \
	" statement, fingerprint, runs, ran"

/* "request 17 in hr_prod" */
char *
jit_request_text(int id)
{
	return psprintf(_("request %d in %s"), id,
					quote_identifier(jit_database_name()));
}

/*
 * OID of a role of a row: as stored if the row is of this cluster and the
 * role is still there, else by name for a row from elsewhere.
 */
static Oid
row_role(bool cluster, Oid oid, const char *name)
{
	if (!cluster)
		return get_role_oid(name, true);
	return SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(oid)) ? oid : InvalidOid;
}

/*
 * A role of a row for people: the name it has now, quoted, and the stored one
 * as well where it is another.  Where the role is gone, or is one of another
 * cluster (InvalidOid), there is only the stored one.
 */
char *
jit_name_now(Oid role, const char *stored)
{
	char	   *now = GetUserNameFromId(role, true);

	if (now == NULL || strcmp(now, stored) == 0)
		return pstrdup(quote_identifier(stored));
	return psprintf(_("%s (formerly %s)"), quote_identifier(now),
					quote_identifier(stored));
}

/*
 * What the request is for, by the names of now, followed by what was asked for
 * where something has been renamed since; that alone where nothing is left of
 * it.  Needs request->items.
 */
char *
jit_access_now(const JitRequest *request)
{
	char	   *access = jit_items_text(request->items, false);

	if (access[0] == '\0' || strcmp(access, request->access) == 0)
		return request->access;
	return psprintf(_("%s (formerly %s)"), access, request->access);
}

static Interval *
result_interval(int row, int column)
{
	bool		isnull;
	Datum		value = jit_result(row, column, &isnull);
	Interval   *copy;

	if (isnull)
		return NULL;
	copy = palloc(sizeof(Interval));
	memcpy(copy, DatumGetIntervalP(value), sizeof(Interval));
	return copy;
}

/*
 * Lock the row of a request.  Raises if somebody else keeps it for too long.
 * Inside an owner section.
 */
static void
lock_request(int id)
{
	MemoryContext context = CurrentMemoryContext;
	int			nestlevel = NewGUCNestLevel();

	jit_set_locally("lock_timeout", JIT_LONGEST_WAIT_TEXT);
	PG_TRY();
	{
		(void) jit_query("SELECT FROM jit.requests WHERE id = $1 FOR UPDATE", "i", id);
	}
	PG_CATCH();
	{
		jit_rethrow_locked(context, jit_request_text(id));
	}
	PG_END_TRY();
	AtEOXact_GUC(true, nestlevel);
}

/*
 * Read a request and its approvals, not its items; with "lock", under a row
 * lock until the end of the transaction.  Raises if there is none.  The
 * result is in the caller's memory context.
 */
JitRequest *
jit_load_request(int id, bool lock)
{
	JitOwnerSection section;
	JitRequest *request = palloc0(sizeof(JitRequest));
	bool		isnull;
	int			n;

	jit_enter_owner_section(&section);
	if (lock)
		lock_request(id);
	n = jit_query("SELECT " REQUEST_COLUMNS " FROM jit.requests WHERE id = $1", "i", id);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("request %d does not exist in %s", id,
						quote_identifier(jit_database_name())),
				 errhint("See jit.inbox and jit.my_requests; requests are numbered per database, and gone from it once they are archived.")));

	request->id = id;
	request->status = jit_status_by_name(jit_result_text(1, 2));
	request->requester_name = jit_result_text(1, 3);
	request->login_name = jit_result_text(1, 5);
	request->grantee_name = jit_result_text(1, 7);
	request->access = jit_result_text(1, 9);
	request->reason = jit_result_text(1, 10);
	request->ticket = jit_result_text(1, 11);
	request->duration = result_interval(1, 12);
	request->until = jit_result_time(1, 13);
	request->lapses_at = jit_result_time(1, 14);
	request->expires_at = jit_result_time(1, 15);
	request->flow = DatumGetJsonbPCopy(jit_result(1, 16, &isnull));
	request->risk = jit_result_text(1, 17);
	request->needs_superuser = jit_result_bool(1, 18);
	request->origin = jit_result_text(1, 19);
	request->extends = jit_result_int(1, 20);
	request->via = jit_result_text(1, 21);
	request->start = jit_result_time(1, 22);
	request->decided_at = jit_result_time(1, 23);
	request->activated_at = jit_result_time(1, 24);
	request->emergency = jit_result_bool(1, 25);
	request->verdict = jit_result_text(1, 26);
	request->statement = jit_result_text(1, 27);
	request->fingerprint = jit_result_text(1, 28);
	request->runs = jit_result_int(1, 29);
	request->ran = jit_result_int(1, 30);
	request->here = strcmp(request->origin, jit_origin()) == 0;
	request->cluster = jit_is_of_cluster(request->origin);
	request->requester = row_role(request->cluster, jit_result_oid(1, 4), request->requester_name);
	request->login = row_role(request->cluster, jit_result_oid(1, 6), request->login_name);
	request->grantee = row_role(request->cluster, jit_result_oid(1, 8), request->grantee_name);

	n = jit_query("SELECT step, approver, approver_oid, login, login_oid, by_superuser, duration,"
				  " verdict = 'approve', via FROM jit.reviews WHERE request_id = $1"
				  " AND verdict IN ('approve', 'reject') ORDER BY review",
				  "i", id);
	for (int i = 1; i <= n; i++)
	{
		JitReview  *review = palloc0(sizeof(JitReview));

		review->step = jit_result_int(i, 1);
		review->approver_name = jit_result_text(i, 2);
		review->approver = row_role(request->cluster, jit_result_oid(i, 3), review->approver_name);
		review->login_name = jit_result_text(i, 4);
		review->login = row_role(request->cluster, jit_result_oid(i, 5), review->login_name);
		review->by_superuser = jit_result_bool(i, 6);
		review->duration = result_interval(i, 7);
		review->via = jit_result_text(i, 9);
		if (jit_result_bool(i, 8))
			request->reviews = lappend(request->reviews, review);
		else
			request->rejection = review;
	}
	jit_leave_owner_section(&section);
	return request;
}

/* From when on the access would be, given now. */
TimestampTz
jit_begins(const JitRequest *request, TimestampTz now)
{
	return request->start != DT_NOEND ? Max(request->start, now) : now;
}

/*
 * Until when the access would be, given now: for the least of what was asked
 * for and what approvers have allowed, whether or not they still count.  That is
 * from its start on, if it has one, however much of it is past.
 */
TimestampTz
jit_deadline(const JitRequest *request, TimestampTz now)
{
	TimestampTz start = request->start != DT_NOEND ? request->start : now;
	TimestampTz deadline = request->until;
	ListCell   *lc;

	if (request->duration != NULL)
		deadline = start + jit_interval_usecs(request->duration, "duration");
	foreach(lc, request->reviews)
	{
		JitReview  *review = lfirst(lc);

		if (review->duration != NULL)
			deadline = Min(deadline,
						   start + jit_interval_usecs(review->duration, "duration"));
	}
	return deadline;
}

/* Who owned what a request is for when it was filed: OIDs of roles. */
List *
jit_owners_then(const JitRequest *request)
{
	JitOwnerSection section;
	List	   *owners = NIL;
	int			n;

	jit_enter_owner_section(&section);
	n = jit_query("SELECT DISTINCT owner_oid, owner FROM jit.request_items"
				  " WHERE request_id = $1 AND owner IS NOT NULL",
				  "i", request->id);
	for (int i = 1; i <= n; i++)
		owners = lappend_oid(owners, row_role(request->cluster, jit_result_oid(i, 1),
											  jit_result_text(i, 2)));
	jit_leave_owner_section(&section);
	return owners;
}

/* ----------------------------------------------------------------------
 * Items
 * ----------------------------------------------------------------------
 */

/*
 * Store the items of a request.  The caller has opened an owner section.
 */
void
jit_store_items(int request, List *items)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, items)
	{
		JitItem    *item = lfirst(lc);
		ObjectAddress address = item->address;

		/* parameters have none, and roles neither */
		Oid			owner = item->objtype == OBJECT_ROLE ||
		item->objtype == OBJECT_PARAMETER_ACL ? InvalidOid :
		jit_object_owner(address.classId, jit_item_acl_objid(item));
		List	   *columns = NIL;
		char	   *address_type;
		List	   *address_names = NIL;
		List	   *address_args = NIL;
		NameData	owner_name;

		if (item->objtype == OBJECT_PARAMETER_ACL)
		{
			/* it may have no OID, and so no address, yet */
			address_type = pstrdup("parameter ACL");
			address_names = list_make1(item->parameter);
		}
		else
		{
			address_type = getObjectTypeDescription(&address, false);
			(void) getObjectIdentityParts(&address, &address_names,
										  &address_args, false);
		}
		/* PostgreSQL's way, as textToQualifiedNameList() reads them */
		foreach(lc2, item->attnums)
			columns = lappend(columns,
							  pstrdup((quote_identifier) (jit_need_name(jit_column_name(address.objectId,
																						lfirst_int(lc2)),
																		item))));
		namestrcpy(&owner_name, OidIsValid(owner) ? jit_role_name(owner) : "");

		jit_query("INSERT INTO jit.request_items (request_id, item, object_type,"
				  " object, privileges, columns, added, owner, owner_oid, classid, objid,"
				  " attnums, address_type, address_names, address_args)"
				  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
				  "iittTTbnoooStTT", request, foreach_current_index(lc) + 1,
				  jit_kind_text(item->objtype), jit_item_object(item),
				  PointerGetDatum(strlist_to_textarray(jit_privilege_list(item->privs))),
				  columns == NIL ? (Datum) 0 : PointerGetDatum(strlist_to_textarray(columns)),
				  item->added,
				  !OidIsValid(owner) ? (Datum) 0 : NameGetDatum(&owner_name),
				  owner, address.classId, address.objectId,
				  item->attnums == NIL ? (Datum) 0 : jit_item_attnums(item),
				  address_type,
				  PointerGetDatum(strlist_to_textarray(address_names)),
				  PointerGetDatum(strlist_to_textarray(address_args)));
	}
}

/* Strings of a text array without nulls. */
static List *
array_strings(Datum array)
{
	Datum	   *elements;
	int			n;
	List	   *list = NIL;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		list = lappend(list, TextDatumGetCString(elements[i]));
	return list;
}

static void report_dropped(int request, const char *object_type, const char *object,
						   const char *column) pg_attribute_noreturn();

/* Complain that what a request is for isn't there any more. */
static void
report_dropped(int request, const char *object_type, const char *object,
			   const char *column)
{
	if (column != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column %s of %s %s, which request %d in %s is for, has been dropped",
						jit_shown(column), _(object_type), object, request,
						quote_identifier(jit_database_name())),
				 errhint("File a new request.")));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("%s %s, which request %d in %s is for, has been dropped",
					_(object_type), object, request,
					quote_identifier(jit_database_name())),
			 errhint("File a new request.")));
}

/* The address of an item in a row, by OID or by name. */
static void
read_address(JitItem *item, const JitObjectKind *kind, int row, bool by_name)
{
	bool		isnull;

	ObjectAddressSet(item->address, kind->classid,
					 jit_result_oid(row, 7));
	if (item->objtype == OBJECT_PARAMETER_ACL)
	{
		item->parameter = linitial(array_strings(jit_result(row, 10, &isnull)));
		item->address.objectId = jit_item_acl_objid(item);
	}
	else if (by_name)
	{
		HeapTupleHeader result;

		result = DatumGetHeapTupleHeader(OidFunctionCall3(F_PG_GET_OBJECT_ADDRESS,
														  jit_result(row, 9, &isnull),
														  jit_result(row, 10, &isnull),
														  jit_result(row, 11, &isnull)));
		item->address.objectId =
			DatumGetObjectId(GetAttributeByNum(result, 2, &isnull));
	}
}

typedef struct AddressCall
{
	JitItem    *item;
	const JitObjectKind *kind;
	int			row;
} AddressCall;

static void
try_to_read_address(void *arg)
{
	AddressCall *call = arg;

	read_address(call->item, call->kind, call->row, true);
}

/*
 * The numbers of an item's columns, which have these names, in a row; the name
 * of those that are gone are returned in *dropped, and the numbers left out.
 */
static List *
read_attnums(const JitItem *item, List *columns, int row, bool by_name,
			 List **dropped)
{
	List	   *attnums = NIL;
	Datum	   *elements = NULL;
	bool		isnull;
	int			n;
	ListCell   *lc;

	if (!by_name)
		deconstruct_array(DatumGetArrayTypeP(jit_result(row, 8, &isnull)),
						  INT2OID, 2, true, TYPALIGN_SHORT, &elements, NULL, &n);
	foreach(lc, columns)
	{
		AttrNumber	attnum;

		if (by_name)
		{
			List	   *names = textToQualifiedNameList(cstring_to_text(lfirst(lc)));

			attnum = get_attnum(item->address.objectId, strVal(linitial(names)));
		}
		else
		{
			attnum = DatumGetInt16(elements[foreach_current_index(lc)]);
			if (jit_column_name(item->address.objectId, attnum) == NULL)
				attnum = InvalidAttrNumber;
		}
		if (attnum != InvalidAttrNumber)
			attnums = lappend_int(attnums, attnum);
		else
			*dropped = lappend(*dropped, lfirst(lc));
	}
	list_sort(attnums, list_int_cmp);
	return attnums;
}

/*
 * The items of a request, from jit.request_items.  Where the request was
 * filed, OIDs and attribute numbers say what it is for, whatever its name is
 * now; elsewhere, names do (resolve_names).  The caller has opened an owner
 * section.  Raises if something is gone, or if *gone is to say what is leaves it
 * out.
 */
static List *
load_stored_items(int request, bool resolve_names, List **gone)
{
	List	   *items = NIL;
	int			n;

	n = jit_query("SELECT object_type, object, privileges, columns, added,"
				  " classid, objid, attnums, address_type, address_names,"
				  " address_args, item FROM jit.request_items"
				  " WHERE request_id = $1 ORDER BY item",
				  "i", request);
	for (int row = 1; row <= n; row++)
	{
		JitItem    *item = palloc0(sizeof(JitItem));
		char	   *object_type = jit_result_text(row, 1);
		char	   *object = jit_result_text(row, 2);
		const JitObjectKind *kind = jit_kind_by_words(object_type);
		List	   *columns = NIL;
		List	   *dropped = NIL;
		char	   *words;
		bool		isnull;
		Datum		value;
		ListCell   *lc;

		item->objtype = kind->objtype;
		item->filed_as = object;
		item->position = jit_result_int(row, 12);
		item->added = jit_result_bool(row, 5);
		foreach(lc, array_strings(jit_result(row, 3, &isnull)))
			item->privs |= jit_privilege_by_name(lfirst(lc));
		value = jit_result(row, 4, &isnull);
		if (!isnull)
			columns = array_strings(value);
		words = psprintf("%s %s", _(object_type), object);
		if (resolve_names && gone != NULL)
		{
			AddressCall call = {item, kind, row};

			if (jit_try(try_to_read_address, &call) != NULL)
			{
				*gone = lappend(*gone, words);
				continue;
			}
		}
		else
			read_address(item, kind, row, resolve_names);

		if (jit_item_name(item) == NULL ||
			(columns == NIL &&
			 jit_objtype_of(kind->classid, item->address.objectId,
							item->objtype) != item->objtype))
		{
			if (gone == NULL)
				report_dropped(request, object_type, object, NULL);
			*gone = lappend(*gone, words);
			continue;
		}
		if (columns != NIL)
		{
			item->attnums = read_attnums(item, columns, row, resolve_names, &dropped);
			if (dropped != NIL && gone == NULL)
				report_dropped(request, object_type, object, linitial(dropped));
			foreach(lc, dropped)
			{
				char	   *column = jit_shown(lfirst(lc));

				*gone = lappend(*gone, psprintf(_("column %s of %s"), column, words));
			}
			/* none left: it isn't the whole table's item now */
			if (item->attnums == NIL)
				continue;
		}
		items = lappend(items, item);
	}
	return items;
}

/*
 * Load the items: by OID here, by name after a restore.  What is dropped is
 * an error, or, to end a request that was for it, too, left out.
 */
void
jit_load_request_items(JitRequest *request, bool missing_ok)
{
	JitOwnerSection section;
	ListCell   *lc;

	if (request->items != NIL)
		return;
	request->gone = NIL;
	jit_enter_owner_section(&section);
	request->items = load_stored_items(request->id, !request->here,
									   missing_ok ? &request->gone : NULL);
	jit_leave_owner_section(&section);

	/* what a role holds may have grown since it was filed */
	foreach(lc, request->items)
		request->needs_superuser |= jit_item_needs_superuser(lfirst(lc), &request->elsewhere) != NULL;
}

/* Is that the error of somebody who asks for an object that isn't there? */
bool
jit_says_gone(const ErrorData *error)
{
	switch (error->sqlerrcode)
	{
		case ERRCODE_UNDEFINED_OBJECT:
		case ERRCODE_UNDEFINED_TABLE:
		case ERRCODE_UNDEFINED_FUNCTION:
		case ERRCODE_UNDEFINED_COLUMN:
		case ERRCODE_UNDEFINED_SCHEMA:
		case ERRCODE_UNDEFINED_DATABASE:
		case ERRCODE_WRONG_OBJECT_TYPE:
		case ERRCODE_AMBIGUOUS_FUNCTION:
			return true;
		default:
			return false;
	}
}

static void
try_to_load_items(void *arg)
{
	jit_load_request_items(arg, false);
}

/*
 * Why a pending request can never be approved, or a scheduled one never start,
 * NULL if it can: whom it is for
 * is gone, or some of what it is for.  The requester may go.  What is known by
 * name, in a restored database or a copy, may come yet.
 */
char *
jit_why_hopeless(const JitRequest *request)
{
	JitRequest	again = *request;
	ErrorData  *error;

	if (request->cluster && !OidIsValid(request->grantee))
		return psprintf(_("role %s, which it is for, has been dropped"),
						quote_identifier(request->grantee_name));
	if (!request->here)
		return NULL;
	again.items = NIL;
	error = jit_try(try_to_load_items, &again);
	if (error != NULL && !jit_says_gone(error))
		ReThrowError(error);
	return error ? error->message : NULL;
}

/* ----------------------------------------------------------------------
 * Writing
 * ----------------------------------------------------------------------
 */

/* It is scheduled no more.  Inside an owner section. */
void
jit_forget_schedule(int id)
{
	jit_query("DELETE FROM jit.schedule WHERE " JIT_THE_ROWS("schedule", "request_id = $1"),
			  "i", id);
}

static void
set_final_state(int id, JitStatus status, TimestampTz ended_at)
{
	jit_query("UPDATE jit.requests SET status = $2::jit.request_status,"
			  " decided_at = coalesce(decided_at, $3), ended_at = $3"
			  " WHERE " JIT_THE_ROWS("requests", "id = $1"),
			  "itz", id, jit_status_name(status), ended_at);
	jit_forget_schedule(id);
}

/*
 * Set the final state of a request and record it.  Called in any user
 * context, under the row lock; the caller has checked the state.
 */
void
jit_finish_request(int id, JitStatus status, TimestampTz ended_at,
				   const char *logline, Jsonb *detail)
{
	JitOwnerSection section;

	jit_enter_owner_section(&section);
	set_final_state(id, status, ended_at);
	jit_event(jit_status_name(status), id, detail, logline);
	jit_leave_owner_section(&section);
}

/*
 * The same for a panic button, which waits for nobody: if the event would have
 * to, only the server log tells of it.
 */
void
jit_end_request(int id, JitStatus status, const char *logline, Jsonb *detail)
{
	JitOwnerSection section;

	jit_enter_owner_section(&section);
	set_final_state(id, status, jit_now());
	jit_end_event(jit_status_name(status), id, DT_NOEND, detail, logline);
	jit_leave_owner_section(&section);
}

/* Write a row of jit.reviews and add it to request->reviews. */
void
jit_store_review(JitRequest *request, const char *verdict, int step,
				 const JitPerson *person, Interval *duration, const char *comment)
{
	JitOwnerSection section;
	JitReview  *review = palloc0(sizeof(JitReview));

	review->step = step;
	review->approver = person->role;
	review->login = person->login;
	review->approver_name = jit_role_name(person->role);
	review->login_name = jit_role_name(person->login);
	review->by_superuser = superuser_arg(person->role);
	review->duration = duration;
	review->via = person->via;

	jit_enter_owner_section(&section);
	jit_query("INSERT INTO jit.reviews (request_id, review, at, verdict, approver, login, step,"
			  " by_superuser, duration, comment, approver_oid, login_oid, via)"
			  " SELECT $1, (SELECT count(*) + 1 FROM jit.reviews WHERE request_id = $1), $2, $3, $4, $5, $6,"
			  " $7, $8, $9, $10, $11, $12",
			  "iztttibvtoot", request->id, jit_now(), verdict,
			  review->approver_name, review->login_name, step,
			  review->by_superuser, duration, comment, person->role,
			  person->login, person->via);
	jit_leave_owner_section(&section);

	if (strcmp(verdict, "approve") == 0)
		request->reviews = lappend(request->reviews, review);
}
