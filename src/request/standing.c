/*-------------------------------------------------------------------------
 *
 * standing.c
 *		jit_standing_access(): who has what for good.
 *
 * Owners, and the entries of access control lists, as they stand in the
 * catalogs; with a role, also those of the roles that it is a member of,
 * whether it inherits from them or would have to SET ROLE.  Superusers, who
 * have everything, and what only has it for a while, are left out.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/clock.h"
#include "base/item.h"
#include "base/person.h"
#include "base/query.h"
#include "base/text.h"

#include "catalog/pg_default_acl.h"
#include "funcapi.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(jit_standing_access);

/* Schemas that are not the system's: temporary ones and TOAST's are. */
#define OF_USERS "(n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'jit'))"

/*
 * What there is: kind in the words of GRANT, column or 0, owner or 0, list, a
 * name for what has no OID, and a schema for default privileges.  What has no
 * list has the one that PostgreSQL takes it to have.
 */
#define OBJECTS \
	"SELECT 'TABLE' AS kind, c.oid AS objid, 0 AS attnum, c.relowner AS owner," \
	"  coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner)) AS acl, NULL AS name, 0::oid AS schema" \
	"  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S') AND " OF_USERS \
	" UNION ALL SELECT 'TABLE', c.oid, a.attnum, c.relowner, a.attacl, NULL, 0" \
	"  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace" \
	"  WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND " OF_USERS \
	" UNION ALL SELECT 'SCHEMA', n.oid, 0, n.nspowner, coalesce(n.nspacl, acldefault('n', n.nspowner)), NULL, 0" \
	"  FROM pg_namespace n WHERE " OF_USERS \
	" UNION ALL SELECT 'FUNCTION', p.oid, 0, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner)), NULL, 0" \
	"  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE " OF_USERS \
	/* neither rows of tables nor arrays, which follow others */ \
	" UNION ALL SELECT 'TYPE', t.oid, 0, t.typowner, coalesce(t.typacl, acldefault('T', t.typowner)), NULL, 0" \
	"  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE " OF_USERS \
	"  AND t.typtype <> 'm' AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)" \
	"  AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')" \
	" UNION ALL SELECT 'DATABASE', d.oid, 0, d.datdba, coalesce(d.datacl, acldefault('d', d.datdba)), NULL, 0" \
	"  FROM pg_database d WHERE NOT d.datistemplate" \
	" UNION ALL SELECT 'LANGUAGE', l.oid, 0, l.lanowner, coalesce(l.lanacl, acldefault('l', l.lanowner)), NULL, 0" \
	"  FROM pg_language l WHERE l.oid >= 16384 OR l.lanacl IS NOT NULL" \
	" UNION ALL SELECT 'FOREIGN DATA WRAPPER', f.oid, 0, f.fdwowner, coalesce(f.fdwacl, acldefault('F', f.fdwowner)), NULL, 0" \
	"  FROM pg_foreign_data_wrapper f" \
	" UNION ALL SELECT 'FOREIGN SERVER', s.oid, 0, s.srvowner, coalesce(s.srvacl, acldefault('S', s.srvowner)), NULL, 0" \
	"  FROM pg_foreign_server s" \
	" UNION ALL SELECT 'TABLESPACE', t.oid, 0, t.spcowner, coalesce(t.spcacl, acldefault('t', t.spcowner)), NULL, 0" \
	"  FROM pg_tablespace t" \
	/* there may be millions of them */ \
	" UNION ALL SELECT 'LARGE OBJECT', l.oid, 0, 0, l.lomacl, NULL, 0" \
	"  FROM pg_largeobject_metadata l WHERE l.lomacl IS NOT NULL" \
	" UNION ALL SELECT 'PARAMETER', p.oid, 0, 0, p.paracl, p.parname, 0 FROM pg_parameter_acl p" \
	" UNION ALL SELECT 'DEFAULT PRIVILEGES', d.defaclrole, 0, 0, d.defaclacl, CASE d.defaclobjtype WHEN 'r' THEN 'TABLES'" \
	"  WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS'" \
	"  WHEN 'L' THEN 'LARGE OBJECTS' ELSE d.defaclobjtype::text END, d.defaclnamespace" \
	"  FROM pg_default_acl d"

/* Its columns are read below in this order; grantor 0 stands for the owner. */
#define ENTRIES \
	"WITH o AS (" OBJECTS "), e AS (" \
	" SELECT kind, objid, attnum, owner AS holder, 0::oid AS grantor, (SELECT array_agg(x.privilege_type) FROM aclexplode(acl) x" \
	"   WHERE x.grantee = owner) AS privileges, name, schema FROM o WHERE owner <> 0 AND attnum = 0" \
	" UNION ALL SELECT kind, objid, attnum, x.grantee, x.grantor," \
	"   array_agg(x.privilege_type || CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), name, schema" \
	"   FROM o, aclexplode(acl) x WHERE x.grantee <> owner AND (kind <> 'DEFAULT PRIVILEGES' OR x.grantee <> objid)" \
	"   GROUP BY kind, objid, attnum, x.grantee, x.grantor, name, schema" \
	" UNION ALL SELECT 'ROLE', m.roleid, 0, m.member, m.grantor, CASE WHEN m.admin_option THEN '{ADMIN OPTION}'::text[] END, NULL, 0" \
	"   FROM pg_auth_members m JOIN pg_authid r ON r.oid = m.roleid WHERE m.member >= 16384 AND r.rolname !~ '^jit_(grant|scope)_')" \
	"SELECT kind, objid, attnum, holder, grantor, coalesce(privileges, '{}'), name, schema, coalesce(a.rolcanlogin, false)" \
	" FROM e LEFT JOIN pg_authid a ON a.oid = holder" \
	" WHERE CASE WHEN holder = 0 THEN true ELSE NOT a.rolsuper AND a.rolname !~ '^jit_(grant|scope)_' END" \
	"  AND ($1 OR holder = ANY ($2) OR holder = 0)"

typedef struct Entry
{
	char	   *role;
	bool		can_login;
	char	   *object;
	List	   *privileges;		/* of char * */
	char	   *through;
} Entry;

static int
compare_entries(const ListCell *a, const ListCell *b)
{
	const Entry *x = lfirst(a);
	const Entry *y = lfirst(b);
	int			result = strcmp(x->role, y->role);

	if (result == 0)
		result = strcmp(x->object, y->object);
	if (result == 0)
		result = strcmp(x->through, y->through);
	return result != 0 ? result : strcmp(jit_join(x->privileges, ", "), jit_join(y->privileges, ", "));
}

/* The object in the words of GRANT; NULL if it has just been dropped. */
static char *
object_text(const char *kind, Oid objid, char *name, Oid schema)
{
	JitItem		item = {.parameter = name};

	if (OidIsValid(schema) && get_namespace_name(schema) == NULL)
		return NULL;
	if (strcmp(kind, "DEFAULT PRIVILEGES") == 0)
		return psprintf("DEFAULT PRIVILEGES FOR ROLE %s%s%s ON %s", quote_identifier(jit_role_name(objid)),
						OidIsValid(schema) ? " IN SCHEMA " : "",
						OidIsValid(schema) ? quote_identifier(get_namespace_name(schema)) : "", name);
	item.objtype = jit_kind_by_words(kind)->objtype;
	ObjectAddressSet(item.address, jit_kind_by_words(kind)->classid, objid);
	item.objtype = jit_objtype_of(item.address.classId, objid, item.objtype);
	if (!jit_item_exists(&item))
		return NULL;
	if (item.objtype == OBJECT_TABLE)
		return jit_item_object(&item);
	return psprintf("%s %s", jit_kind_of(item.objtype)->words, jit_item_object(&item));
}

/* Privileges of an entry in the order of GRANT, with the column if it is one's. */
static List *
privileges_of(ArrayType *array, const char *column)
{
	List	   *privileges = NIL;
	Datum	   *elements;
	int			n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	for (int i = 0; i < JIT_N_PRIVILEGES; i++)
	{
		int			length = strlen(jit_privilege_names[i].name);

		for (int k = 0; k < n; k++)
		{
			char	   *word = TextDatumGetCString(elements[k]);

			if (strncmp(word, jit_privilege_names[i].name, length) != 0 ||
				(word[length] != '\0' && strncmp(word + length, " WITH", 5) != 0))
				continue;
			privileges = lappend(privileges, column == NULL ? word :
								 psprintf("%s (%s)%s", jit_privilege_names[i].name,
										  quote_identifier(column), word + length));
		}
	}
	/* of a membership */
	if (privileges == NIL && n > 0)
		privileges = list_make1(TextDatumGetCString(elements[0]));
	return privileges;
}

/* The entries of a role and those of its roles, or of all for InvalidOid. */
static List *
load_entries(Oid role)
{
	JitOwnerSection section;
	List	   *entries = NIL;
	List	   *closure = OidIsValid(role) ?
	jit_role_closure(role, JIT_CLOSURE_MEMBERS, JIT_FILTER_STANDING, jit_now()) : NIL;
	Datum	   *oids = palloc(Max(list_length(closure), 1) * sizeof(Datum));
	ListCell   *lc;
	int			n;

	foreach(lc, closure)
		oids[foreach_current_index(lc)] = ObjectIdGetDatum(lfirst_oid(lc));
	jit_enter_owner_section(&section);
	n = jit_query(ENTRIES, "bO", !OidIsValid(role),
				  PointerGetDatum(construct_array(oids, list_length(closure), OIDOID, sizeof(Oid), true, TYPALIGN_INT)));
	for (int i = 1; i <= n; i++)
	{
		Entry	   *entry = palloc(sizeof(Entry));
		Oid			objid = jit_result_oid(i, 2);
		AttrNumber	attnum = jit_result_int(i, 3);
		Oid			holder = jit_result_oid(i, 4);
		Oid			grantor = jit_result_oid(i, 5);
		bool		own = !OidIsValid(role) || holder == role;
		char	   *column = NULL;
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		entry->object = object_text(jit_result_text(i, 1), objid, jit_result_text(i, 7),
									jit_result_oid(i, 8));
		if (attnum != 0)
			column = jit_column_name(objid, attnum);
		if (entry->object == NULL || (attnum != 0 && column == NULL))
			continue;
		entry->can_login = jit_result_bool(i, 9);
		entry->privileges = privileges_of(DatumGetArrayTypeP(jit_result(i, 6, &isnull)), column);
		entry->role = OidIsValid(holder) ? jit_role_name(holder) : pstrdup("public");
		entry->through = OidIsValid(grantor) ?
			psprintf(_("granted by %s"), quote_identifier(jit_role_name(grantor))) : pstrdup(_("owner"));
		if (!own)
		{
			entry->through = psprintf("%s: %s", OidIsValid(holder) ? quote_identifier(entry->role) : "public",
									  entry->through);
			entry->role = jit_role_name(role);
		}
		entries = lappend(entries, entry);
	}
	jit_leave_owner_section(&section);
	list_sort(entries, compare_entries);
	return entries;
}

/* Can the role log in? */
static bool
can_log_in(Oid role)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool		may;

	if (!HeapTupleIsValid(tuple))
		return false;
	may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	return may;
}

/* jit_standing_access(role) */
Datum
jit_standing_access(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			role = InvalidOid;
	ListCell   *lc;

	jit_require_auditor(gettext_noop("permission denied to read standing access"));
	InitMaterializedSRF(fcinfo, 0);
	if (!PG_ARGISNULL(0))
		role = get_role_oid(NameStr(*PG_GETARG_NAME(0)), false);
	if (OidIsValid(role) && superuser_arg(role))
	{
		ereport(NOTICE,
				(errmsg("role %s is a superuser, and has everything",
						quote_identifier(jit_role_name(role)))));
		return (Datum) 0;
	}
	foreach(lc, load_entries(role))
	{
		Entry	   *entry = lfirst(lc);
		Datum		values[5];
		bool		nulls[5] = {false};
		NameData	name;

		namestrcpy(&name, entry->role);
		values[0] = NameGetDatum(&name);
		values[1] = BoolGetDatum(OidIsValid(role) ? can_log_in(role) : entry->can_login);
		values[2] = CStringGetTextDatum(entry->object);
		values[3] = PointerGetDatum(strlist_to_textarray(entry->privileges));
		values[4] = CStringGetTextDatum(entry->through);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
