/*-------------------------------------------------------------------------
 *
 * label.c
 *		Labels: words that say what data is, for risk policies.
 *
 * SECURITY LABEL FOR jit_access ON COLUMN hr.salary.amount IS 'pii, payroll'
 *
 * PostgreSQL keeps them, dumps them, and lets only the owner of an object
 * set them.  Since a label can make access to the object harder to get, and
 * owners are whom it is meant to bind as well, an owner can only add to
 * them: taking one away needs a JIT administrator.
 *
 * Labels in a catalog that we can't parse (there are none that this provider
 * let in) are taken as they stand; nothing is left out.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/person.h"
#include "base/query.h"
#include "base/text.h"
#include "request/event.h"
#include "request/label.h"

#include "access/relation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_seclabel.h"
#include "catalog/pg_shdepend.h"
#include "commands/seclabel.h"
#include "parser/parser.h"
#include "parser/scansup.h"

PG_FUNCTION_INFO_V1(jit_set_label);

#define PROVIDER "jit_access"

/* ----------------------------------------------------------------------
 * Words
 * ----------------------------------------------------------------------
 */

static bool
has_word(List *words, const char *word)
{
	ListCell   *lc;

	foreach(lc, words)
	{
		if (strcmp(lfirst(lc), word) == 0)
			return true;
	}
	return false;
}

static List *
add_word(List *words, char *word)
{
	return has_word(words, word) ? words : lappend(words, word);
}

/* Words of a label, each once; "pii, payroll" has two.  NULL has none. */
static List *
add_words(List *words, const char *label)
{
	const char *next = label;

	while (next != NULL)
	{
		const char *end = strchr(next, ',');
		int			len = end ? (int) (end - next) : (int) strlen(next);

		while (len > 0 && scanner_isspace(next[0]))
			next++, len--;
		while (len > 0 && scanner_isspace(next[len - 1]))
			len--;
		if (len > 0)
			words = add_word(words, pnstrdup(next, len));
		next = end ? end + 1 : NULL;
	}
	return words;
}

/* The words of a label as jit_set_label() writes them. */
char *
jit_label_text(const char *label)
{
	return jit_join(add_words(NIL, label), ", ");
}

/* Words of a label that is to be set; raises for what isn't one. */
static List *
check_words(const char *label)
{
	List	   *words;
	ListCell   *lc;

	if (label == NULL)
		return NIL;
	if (strlen(label) > JIT_MAX_TEXT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("label is too long"),
				 errdetail("It has %zu bytes; at most %d are allowed.",
						   strlen(label), JIT_MAX_TEXT)));
	words = add_words(NIL, label);
	if (words == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("label must not be empty"),
				 errhint("To remove a label, set it to NULL.")));
	foreach(lc, words)
	{
		char	   *word = lfirst(lc);

		/* upper case would go past a policy that looks for lower case */
		if (word[strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_-")] != '\0')
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" is not a label", word),
					 errdetail("Labels are words of a to z, 0 to 9, _ and -, separated by commas.")));
	}
	return words;
}

/* ----------------------------------------------------------------------
 * The provider
 * ----------------------------------------------------------------------
 */

static void
check_object(const ObjectAddress *object)
{
	switch (object->classId)
	{
		case NamespaceRelationId:
		case ProcedureRelationId:
		case AuthIdRelationId:
		case DatabaseRelationId:
			return;
		case RelationRelationId:
			switch (get_rel_relkind(object->objectId))
			{
				case RELKIND_RELATION:
				case RELKIND_PARTITIONED_TABLE:
				case RELKIND_FOREIGN_TABLE:
				case RELKIND_VIEW:
				case RELKIND_MATVIEW:
					return;
			}
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("%s cannot have a label of jit_access",
					getObjectDescription(object, false)),
			 errdetail("Schemas, tables, views, columns, functions, roles and databases can.")));
}

/*
 * May the current user take labels away?  As jit_require_administrator(), but
 * a function of an administrator's may do it for others, as PostgreSQL has it
 * for ownership, and a SET ROLE through temporary access makes nobody one.
 */
static bool
user_is_administrator(void)
{
	JitPerson	person;

	jit_current_person(&person);
	return GetUserId() == person.role ? jit_person_administers(&person) :
		jit_is_administrator(GetUserId());
}

/*
 * Is this the label of a dump that is being restored?  Such labels come
 * before the rows of jit.events do, and an event now would take the number
 * of one of these; the event of the label is among them.  Nobody gets round
 * an event by pretending: it takes a superuser, and no event so far.
 */
static bool
being_restored(void)
{
	JitOwnerSection section;
	bool		called;

	if (IsBinaryUpgrade)
		return true;
	/* the login's, for pg_dump --use-set-session-authorization */
	if (check_function_bodies || !superuser_arg(GetAuthenticatedUserId()))
		return false;
	jit_enter_owner_section(&section);
	jit_query("SELECT EXISTS (SELECT FROM jit.events)", "");
	called = jit_result_bool(1, 1);
	jit_leave_owner_section(&section);
	return !called;
}

/*
 * Check a label that is about to be set, NULL to remove it, and record the
 * change.  Called by PostgreSQL after it has checked ownership, with the
 * object locked, and by jit_set_label().  The change itself follows.
 */
static void
relabel_object(const ObjectAddress *object, const char *label)
{
	List	   *after = check_words(label);
	char	   *old_label = GetSecurityLabel(object, PROVIDER);
	List	   *before = add_words(NIL, old_label);
	JitOwnerSection section;
	char	   *description;
	Jsonb	   *detail;
	ListCell   *lc;

	check_object(object);
	foreach(lc, before)
	{
		char	   *word = lfirst(lc);

		if (!has_word(after, word) && !user_is_administrator())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to take label \"%s\" away from %s",
							word, getObjectDescription(object, false)),
					 errdetail("An owner can add labels; only a JIT administrator can take them away."),
					 errhint("To add to what is there, write '%s, ...'.",
							 jit_join(before, ", "))));
	}

	if (!jit_extension_installed() || RecoveryInProgress() ||
		strcmp(jit_join(before, ", "), jit_join(after, ", ")) == 0 ||
		being_restored())
		return;
	/* it is kept: neither the session's search_path nor its language */
	jit_enter_owner_section(&section);
	jit_set_locally("lc_messages", "C");
	description = getObjectDescription(object, false);
	jit_leave_owner_section(&section);
	detail = jit_detail("object", description,
						"before", before ? jit_join(before, ", ") : NULL,
						"after", after ? jit_join(after, ", ") : NULL, NULL);
	jit_event("label_set", 0, detail,
			  psprintf("label of %s in %s set from \"%s\" to \"%s\"", description,
					   quote_identifier(jit_database_name()),
					   jit_join(before, ", "), jit_join(after, ", ")));
}

/*
 * Before SECURITY LABEL: be a provider where somebody means us.  Not
 * otherwise, because without FOR the only provider there is would be taken:
 * a server that has our library loaded behaves like one that hasn't.
 */
void
jit_offer_labels(const SecLabelStmt *stmt)
{
	static bool registered = false;

	if (registered)
		return;
	if (stmt->provider == NULL ? jit_extension_installed() :
		strcmp(stmt->provider, PROVIDER) == 0)
	{
		register_label_provider(PROVIDER, relabel_object);
		registered = true;
	}
}

/* ----------------------------------------------------------------------
 * Labels of what is asked for
 * ----------------------------------------------------------------------
 */

static List *
add_object_labels(List *labels, Oid classid, Oid objid)
{
	ObjectAddress address;

	ObjectAddressSet(address, classid, objid);
	return add_words(labels, GetSecurityLabel(&address, PROVIDER));
}

/*
 * Labels of a relation, its schema and its columns: of all of them, or of
 * those with the given names.  Reads pg_seclabel like GetSecurityLabel(), all
 * columns at once.
 */
static List *
add_relation_labels(List *labels, Oid relid, List *columns)
{
	JitScan		scan;
	HeapTuple	tuple;

	jit_begin_scan(&scan, SecLabelRelationId, SecLabelObjectIndexId, NULL,
				   2, Anum_pg_seclabel_objoid, relid,
				   Anum_pg_seclabel_classoid, RelationRelationId);
	while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		FormData_pg_seclabel *form = (FormData_pg_seclabel *) GETSTRUCT(tuple);
		Datum		value;
		bool		isnull;

		value = heap_getattr(tuple, Anum_pg_seclabel_provider,
							 RelationGetDescr(scan.rel), &isnull);
		if (strcmp(TextDatumGetCString(value), PROVIDER) != 0)
			continue;
		if (form->objsubid != 0 && columns != NIL)
		{
			char	   *name = get_attname(relid, form->objsubid, true);

			if (name != NULL && !has_word(columns, name))
				continue;
		}
		value = heap_getattr(tuple, Anum_pg_seclabel_label,
							 RelationGetDescr(scan.rel), &isnull);
		labels = add_words(labels, TextDatumGetCString(value));
	}
	jit_end_scan(&scan);

	return add_object_labels(labels, NamespaceRelationId,
							 get_rel_namespace(relid));
}

/* Relations that this one inherits from or is a partition of, all the way. */
static List *
relation_ancestors(Oid relid)
{
	List	   *ancestors = list_make1_oid(relid);
	ListCell   *lc;

	foreach(lc, ancestors)
	{
		JitScan		scan;
		HeapTuple	tuple;

		jit_begin_scan(&scan, InheritsRelationId, InheritsRelidSeqnoIndexId, NULL,
					   1, Anum_pg_inherits_inhrelid, lfirst_oid(lc));
		while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
			ancestors = list_append_unique_oid(ancestors,
											   ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
		jit_end_scan(&scan);
	}
	return list_delete_first(ancestors);
}

/*
 * Labels of a relation, for the columns with these names or for all, and of
 * those that inherit from it or that it inherits from: they hold the same
 * rows.
 */
static List *
add_family_labels(List *labels, Oid relid, List *columns)
{
	List	   *relids = jit_inheritors(relid);
	ListCell   *lc;

	foreach(lc, list_concat(relids, relation_ancestors(relid)))
		labels = add_relation_labels(labels, lfirst_oid(lc), columns);
	return labels;
}

/* Labels of an object other than a relation, and of its schema. */
static List *
add_labels_with_schema(List *labels, Oid classid, Oid objid)
{
	ObjectAddress address;
	Oid			nspid;

	ObjectAddressSet(address, classid, objid);
	labels = add_object_labels(labels, classid, objid);
	nspid = get_object_namespace(&address);
	if (OidIsValid(nspid))
		labels = add_object_labels(labels, NamespaceRelationId, nspid);
	return labels;
}

/* All labels that there are on objects of this database. */
static List *
add_all_labels(List *labels)
{
	JitScan		scan;
	HeapTuple	tuple;

	jit_begin_scan(&scan, SecLabelRelationId, InvalidOid, NULL, 0);
	while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		bool		isnull;
		Datum		provider = heap_getattr(tuple, Anum_pg_seclabel_provider,
											RelationGetDescr(scan.rel), &isnull);
		Datum		label = heap_getattr(tuple, Anum_pg_seclabel_label,
										 RelationGetDescr(scan.rel), &isnull);

		CHECK_FOR_INTERRUPTS();
		if (strcmp(TextDatumGetCString(provider), PROVIDER) == 0)
			labels = add_words(labels, TextDatumGetCString(label));
	}
	jit_end_scan(&scan);
	return labels;
}

/*
 * Labels of a role and of what it owns or has privileges on in this
 * database: to ask for the role is another way to ask for that.  A predefined
 * one, such as pg_read_all_data, may be able to do anything: what it is for is
 * in PostgreSQL's code, and what it was granted besides isn't in pg_shdepend.
 */
static List *
add_role_labels(List *labels, Oid roleid)
{
	JitScan		scan;
	HeapTuple	tuple;

	labels = add_object_labels(labels, AuthIdRelationId, roleid);
	if (roleid < FirstNormalObjectId)
		return add_all_labels(labels);

	jit_begin_role_depends(&scan, roleid);
	while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(tuple);
		char	   *column;

		CHECK_FOR_INTERRUPTS();
		if (form->dbid != MyDatabaseId)
			continue;
		switch (form->classid)
		{
			case RelationRelationId:
				column = form->objsubid == 0 ? NULL :
					get_attname(form->objid, form->objsubid, true);
				labels = add_family_labels(labels, form->objid,
										   column ? list_make1(column) : NIL);
				break;
			case NamespaceRelationId:
			case ProcedureRelationId:
				labels = add_labels_with_schema(labels, form->classid,
												form->objid);
				break;
		}
	}
	jit_end_scan(&scan);
	return labels;
}

/*
 * Labels that apply to an item, sorted: its own, its schema's, and the
 * database's; for a relation those of the columns that the item touches; for
 * a role those of all that it leads to.  Not those of what a view or a
 * function reads: its owner says what it gives away.
 */
List *
jit_item_labels(const JitItem *item)
{
	Oid			objid = item->address.objectId;
	List	   *labels;
	List	   *columns = NIL;
	ListCell   *lc;

	labels = add_object_labels(NIL, DatabaseRelationId, MyDatabaseId);
	switch (item->objtype)
	{
		case OBJECT_TABLE:
			foreach(lc, item->attnums)
				columns = lappend(columns,
								  get_attname(objid, lfirst_int(lc), false));
			labels = add_family_labels(labels, objid, columns);
			break;
		case OBJECT_ROLE:
			foreach(lc, jit_role_closure(objid, JIT_CLOSURE_MEMBERS,
										 JIT_FILTER_NONE, jit_now()))
				labels = add_role_labels(labels, lfirst_oid(lc));
			break;
		case OBJECT_PARAMETER_ACL:
		case OBJECT_LARGEOBJECT:
			break;				/* can have none */
		default:
			labels = add_labels_with_schema(labels, item->address.classId,
											objid);
			break;
	}
	list_sort(labels, jit_compare_texts);
	return labels;
}

/* ----------------------------------------------------------------------
 * For JIT administrators
 * ----------------------------------------------------------------------
 */

static void invalid_object(const char *object, const char *detail) pg_attribute_noreturn();

static void
invalid_object(const char *object, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("invalid object \"%s\"", object),
			 errdetail_internal("%s", detail),
			 errhint("Write it as in COMMENT ON, for example: COLUMN hr.salary.amount")));
}

/* The object that COMMENT ON would comment on. */
static CommentStmt *
parse_object(const char *object)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *volatile trees = NIL;
	Node	   *tree;

	PG_TRY();
	{
		/* on a line of its own: the object may end in a comment */
		trees = raw_parser(psprintf("COMMENT ON %s\nIS NULL", object),
						   RAW_PARSE_DEFAULT);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		if (edata->sqlerrcode != ERRCODE_SYNTAX_ERROR)
			PG_RE_THROW();
		FlushErrorState();
		/* its position would be taken for one in the caller's statement */
		invalid_object(object, edata->message);
	}
	PG_END_TRY();

	if (list_length(trees) != 1)
		invalid_object(object, _("It is more than one object."));
	tree = linitial_node(RawStmt, trees)->stmt;
	if (!IsA(tree, CommentStmt) || ((CommentStmt *) tree)->comment != NULL)
		invalid_object(object, _("There is more than the object."));
	return (CommentStmt *) tree;
}

/* Does the name say which schema it is in, or need none? */
static bool
is_qualified(const CommentStmt *stmt)
{
	switch (stmt->objtype)
	{
		case OBJECT_SCHEMA:
		case OBJECT_ROLE:
		case OBJECT_DATABASE:
			return true;
		case OBJECT_COLUMN:
			return list_length(castNode(List, stmt->object)) > 2;
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
		case OBJECT_ROUTINE:
		case OBJECT_AGGREGATE:
			return list_length(castNode(ObjectWithArgs, stmt->object)->objname) > 1;
		default:
			return IsA(stmt->object, List) &&
				list_length((List *) stmt->object) > 1;
	}
}

/*
 * jit_set_label(object, label)
 *
 * What SECURITY LABEL does, for JIT administrators who don't own the object
 * or have no USAGE on its schema.
 */
Datum
jit_set_label(PG_FUNCTION_ARGS)
{
	JitOwnerSection section;
	CommentStmt *stmt;
	ObjectAddress address;
	Relation	rel = NULL;
	char	   *label;
	char	   *description;

	jit_require_administrator(fcinfo, gettext_noop("permission denied to set a label"));
	stmt = parse_object(jit_required_text(fcinfo, 0, "object"));
	label = jit_text_argument(fcinfo, 1, "label");

	jit_begin_lookup(&section, is_qualified(stmt));
	address = get_object_address(stmt->objtype, stmt->object, &rel,
								 ShareUpdateExclusiveLock, false);
	jit_end_lookup(&section);
	if (label != NULL)
		label = jit_join(check_words(label), ", ");

	jit_enter_owner_section(&section);
	relabel_object(&address, label);
	SetSecurityLabel(&address, PROVIDER, label);
	description = jit_shown(getObjectDescription(&address, false));
	jit_leave_owner_section(&section);
	if (rel != NULL)
		relation_close(rel, NoLock);
	PG_RETURN_TEXT_P(cstring_to_text(label == NULL ? psprintf(_("%s: no label"), description) :
									 psprintf(_("%s: label %s"), description, label)));
}
