/*-------------------------------------------------------------------------
 *
 * needs.c
 *		What somebody must have to run a statement.
 *
 * The statement is parsed, analysed and rewritten as PostgreSQL does it, and
 * what its executor would ask for is read off the trees, less what PUBLIC has.
 * The analysed tree tells what the text names, whose schemas take USAGE;
 * the rewritten one tells what is reached by OID: defaults, the functions in
 * views, the relations of security_invoker views and of policies.  What a view
 * reads as its owner needs nothing.
 *
 * It is neither planned nor executed.  Names are found without USAGE on their
 * schemas (which may be what is lacking), so the analysis runs as the bootstrap
 * superuser, along the caller's search_path as the caller has it.  The one
 * thing in it that can run a user's code is reading literals: the input of a
 * composite type is that of its columns, and a domain's runs its CHECKs.
 * So literals are made parameters that take any type, before the
 * analysis; only those that name catalog objects (regclass and the like) are
 * read, by PostgreSQL's own functions.  No expression may be simplified in
 * here: stored ones are read from the catalogs, not from the relation cache,
 * which plans them.
 *
 * All of it happens in a subtransaction that is always undone, which gives the
 * locks back, the user, and the settings.
 *
 * What functions and triggers do inside isn't seen.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/acl.h"
#include "base/person.h"
#include "base/query.h"
#include "base/text.h"
#include "request/access.h"
#include "request/needs.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_range.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_ts_config.h"
#include "catalog/pg_ts_dict.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/fmgroids.h"

PG_FUNCTION_INFO_V1(jit_access_of);

#define SELECT_INSERT_UPDATE (ACL_SELECT | ACL_INSERT | ACL_UPDATE)

/* What is needed of one relation. */
typedef struct Need
{
	JitWant		want;
	AclMode		any;			/* on some column, whichever */
	bool		nextval;		/* of a sequence: USAGE or UPDATE */
	bool		currval;		/* USAGE or SELECT */
} Need;

typedef struct Needs
{
	const char *text;
	Oid			role;			/* whom policies are judged for */
	bool		gateway;
	JitNeeds   *found;			/* result */

	List	   *literals;		/* char *, taken out of the tree */
	List	   *types;			/* TypeName *, as they are written */
	bool		named;			/* is what is walked what the text names? */
	List	   *relations;		/* Need * */
	List	   *functions;		/* OIDs, and so on; those that the user must
								 * be allowed to execute */
	List	   *schemas;
	List	   *domains;
} Needs;

/* Literals whose input looks up a name. */
static const struct
{
	Oid			type;
	Oid			classid;
}			name_types[] = {
	{REGCLASSOID, RelationRelationId},
	{REGTYPEOID, TypeRelationId},
	{REGPROCOID, ProcedureRelationId},
	{REGPROCEDUREOID, ProcedureRelationId},
	{REGOPEROID, OperatorRelationId},
	{REGOPERATOROID, OperatorRelationId},
	{REGCOLLATIONOID, CollationRelationId},
	{REGCONFIGOID, TSConfigRelationId},
	{REGDICTIONARYOID, TSDictionaryRelationId}
};

static bool find_needs(Node *node, Needs *needs);
static void find_domain_needs(Needs *needs, Oid type);

/* ----------------------------------------------------------------------
 * Parsing and analysis
 * ----------------------------------------------------------------------
 */

/* Point at the place in the statement, not in the one that calls us. */
static void
error_callback(void *arg)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(((Needs *) arg)->text);
	}
}

/*
 * Make literals parameters, in place, numbered downwards from -1.  (Those of
 * the statement's own are positive.)  The modifiers of types and paths of
 * JSON_TABLE must stay literals.
 */
static bool
take_literals(Node *node, Needs *needs)
{
	StaticAssertStmt(sizeof(ParamRef) <= sizeof(A_Const), "there is no room for a ParamRef");

	if (node == NULL || JIT_IS_PATH_SPEC(node))
		return false;
	if (IsA(node, TypeName))
	{
		needs->types = lappend(needs->types, node);
		return false;
	}
	if (IsA(node, A_Const))
	{
		A_Const    *literal = (A_Const *) node;
		ParamRef	param = {.type = T_ParamRef,.location = literal->location};

		if (!literal->isnull && IsA(&literal->val, String))
		{
			needs->literals = lappend(needs->literals, strVal(&literal->val));
			param.number = -list_length(needs->literals);
			memset(literal, 0, sizeof(A_Const));
			memcpy(literal, &param, sizeof(ParamRef));
		}
		return false;
	}
	return raw_expression_tree_walker(node, take_literals, needs);
}

/* A parameter, of no type yet. */
static Node *
paramref_hook(ParseState *pstate, ParamRef *ref)
{
	Param	   *param = makeNode(Param);

	if (ref->number == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_PARAMETER),
				 errmsg("there is no parameter $%d", ref->number),
				 parser_errposition(pstate, ref->location)));
	if (ref->number > 0)
		((Needs *) pstate->p_ref_hook_state)->found->parameters = true;
	param->paramkind = PARAM_EXTERN;
	param->paramid = ref->number;
	param->paramtype = UNKNOWNOID;
	param->paramtypmod = -1;
	param->location = ref->location;
	return (Node *) param;
}

/* It takes the type that a literal would be read as. */
static Node *
coerce_param_hook(ParseState *pstate, Param *param, Oid type, int32 typmod,
				  int location)
{
	if (param->paramkind != PARAM_EXTERN || param->paramtype != UNKNOWNOID)
		return NULL;
	param->paramtype = type;
	param->paramcollid = get_typcollation(type);
	return (Node *) param;
}

static void
setup_parser(ParseState *pstate, void *arg)
{
	pstate->p_paramref_hook = paramref_hook;
	pstate->p_coerce_param_hook = coerce_param_hook;
	pstate->p_ref_hook_state = arg;
}

/* The one statement that the text is. */
static RawStmt *
parse_statement(const char *text)
{
	List	   *trees = raw_parser(text, RAW_PARSE_DEFAULT);
	RawStmt    *raw;

	if (list_length(trees) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("this is not one statement but %d", list_length(trees)),
				 errhint("Give each by itself.")));
	raw = linitial_node(RawStmt, trees);
	switch (nodeTag(raw->stmt))
	{
		case T_SelectStmt:
			{
				SelectStmt *leftmost = (SelectStmt *) raw->stmt;

				while (leftmost->op != SETOP_NONE)
					leftmost = leftmost->larg;
				if (leftmost->intoClause == NULL)
					return raw;
			}
			break;
		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
		case T_MergeStmt:
			return raw;
		default:
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("only SELECT, VALUES, INSERT, UPDATE, DELETE and MERGE can be looked into"),
			 errhint("Of EXPLAIN, COPY, PREPARE, DECLARE and CREATE TABLE AS give the query in it.")));
	return NULL;				/* keep the compiler quiet */
}

/*
 * The schemas in which the caller finds names, in their order, as a setting
 * that finds the same as somebody with USAGE on all.
 */
char *
jit_search_path_text(void)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, fetch_search_path(true))
	{
		char	   *name = isTempNamespace(lfirst_oid(lc)) ? "pg_temp" :
		get_namespace_name(lfirst_oid(lc));

		if (name != NULL)
			names = lappend(names, (char *) quote_identifier(name));
	}
	return jit_join(names, ", ");
}

/* ----------------------------------------------------------------------
 * What the trees ask for
 * ----------------------------------------------------------------------
 */

static Need *
need_of_relation(Needs *needs, Oid relid)
{
	Need	   *need;
	ListCell   *lc;

	foreach(lc, needs->relations)
	{
		need = lfirst(lc);
		if (need->want.address.objectId == relid)
			return need;
	}
	need = palloc0(sizeof(Need));
	need->want.objtype = jit_objtype_of(RelationRelationId, relid, OBJECT_TABLE);
	ObjectAddressSet(need->want.address, RelationRelationId, relid);
	needs->relations = lappend(needs->relations, need);
	return need;
}

/* If the text names an object, it takes USAGE on its schema. */
static void
find_named(Needs *needs, Oid classid, Oid objid)
{
	if (needs->named)
		needs->schemas = list_append_unique_oid(needs->schemas,
												jit_cached_namespace(classid, objid));
}

/* Look into an expression of a catalog's: what it is about has no names. */
static void
find_stored_needs(Needs *needs, const char *expression)
{
	bool		named = needs->named;

	needs->named = false;
	(void) find_needs(stringToNode(expression), needs);
	needs->named = named;
}

/* The same where it is a column of a row; or nothing, if that is null. */
static void
find_column_needs(Needs *needs, JitScan *scan, HeapTuple tuple, AttrNumber attnum)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attnum, RelationGetDescr(scan->rel), &isnull);

	if (!isnull)
		find_stored_needs(needs, TextDatumGetCString(value));
}

/* The same of all rows of a catalog that are of a relation or type. */
static void
find_row_needs(Needs *needs, Oid catalog, Oid index, AttrNumber key, Oid oid,
			   AttrNumber attnum)
{
	JitScan		scan;
	HeapTuple	tuple;

	jit_begin_scan(&scan, catalog, index, NULL, 1, (int) key, oid);
	while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
		find_column_needs(needs, &scan, tuple, attnum);
	jit_end_scan(&scan);
}

/* A permission entry.  With a checkAsUser it is for the owner of a view. */
static void
find_permission_needs(Needs *needs, const JitPermInfo *info)
{
	Need	   *need;

	if (!JIT_PERMINFO_IS_RELATION(info) || info->requiredPerms == 0 ||
		OidIsValid(info->checkAsUser))
		return;
	need = need_of_relation(needs, info->relid);
	if (need->want.objtype == OBJECT_SEQUENCE)
	{
		need->want.privs |= info->requiredPerms;
		return;
	}
	need->want.privs |= info->requiredPerms & ~SELECT_INSERT_UPDATE;
	for (int i = 0; i < JIT_N_PRIVILEGES; i++)
	{
		AclMode		priv = jit_privilege_names[i].priv;
		Bitmapset  *columns = priv == ACL_SELECT ? info->selectedCols :
		priv == ACL_INSERT ? info->insertedCols : info->updatedCols;

		if (!(priv & info->requiredPerms & SELECT_INSERT_UPDATE))
			continue;
		if (bms_is_empty(columns))
			need->any |= priv;
		else if (bms_is_member(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber, columns))
			need->want.privs |= priv;
		else
			need->want.columns[i] = bms_add_members(need->want.columns[i], columns);
	}
}

/* What the literal of a type that names objects names; InvalidOid for others. */
static Oid
named_by_literal(Needs *needs, const Param *param)
{
	Oid			input;
	Oid			ioparam;
	Oid			oid;

	if (param->paramkind != PARAM_EXTERN || param->paramid >= 0)
		return InvalidOid;
	for (size_t i = 0; i < lengthof(name_types); i++)
	{
		if (param->paramtype != name_types[i].type)
			continue;
		getTypeInputInfo(param->paramtype, &input, &ioparam);
		oid = DatumGetObjectId(OidInputFunctionCall(input,
													list_nth(needs->literals, -param->paramid - 1),
													ioparam, -1));
		find_named(needs, name_types[i].classid, oid);
		return oid;
	}
	return InvalidOid;
}

/* A sequence, if the function is one of those, and which it is can be seen. */
static void
find_sequence_needs(Needs *needs, const FuncExpr *call)
{
	Node	   *arg;
	Oid			relid = InvalidOid;
	Need	   *need;

	if (call->funcid != F_NEXTVAL && call->funcid != F_CURRVAL &&
		call->funcid != F_SETVAL_REGCLASS_INT8 &&
		call->funcid != F_SETVAL_REGCLASS_INT8_BOOL)
		return;
	arg = strip_implicit_coercions(linitial(call->args));
	if (IsA(arg, Const) && !((Const *) arg)->constisnull)
		relid = DatumGetObjectId(((Const *) arg)->constvalue);
	else if (IsA(arg, Param))
		relid = named_by_literal(needs, (Param *) arg);
	if (get_rel_relkind(relid) != RELKIND_SEQUENCE)
		return;
	need = need_of_relation(needs, relid);
	if (call->funcid == F_NEXTVAL)
		need->nextval = true;
	else if (call->funcid == F_CURRVAL)
		need->currval = true;
	else
		need->want.privs |= ACL_UPDATE;
}

/* A function that is called without anybody being asked whether it may be. */
static void
find_called(Needs *needs, Oid funcid)
{
	if (OidIsValid(funcid))
		needs->found->functions = list_append_unique_oid(needs->found->functions, funcid);
}

static void
find_function(Needs *needs, Oid funcid)
{
	find_called(needs, funcid);
	needs->functions = list_append_unique_oid(needs->functions, funcid);
}

/* What an aggregate is made of: its owner is asked. */
static void
find_aggregate(Needs *needs, Oid funcid)
{
	static const AttrNumber parts[] = {
		Anum_pg_aggregate_aggtransfn, Anum_pg_aggregate_aggfinalfn,
		Anum_pg_aggregate_aggcombinefn, Anum_pg_aggregate_aggserialfn,
		Anum_pg_aggregate_aggdeserialfn, Anum_pg_aggregate_aggmtransfn,
		Anum_pg_aggregate_aggminvtransfn, Anum_pg_aggregate_aggmfinalfn
	};
	HeapTuple	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(funcid));
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return;
	for (size_t i = 0; i < lengthof(parts); i++)
		find_called(needs, DatumGetObjectId(SysCacheGetAttr(AGGFNOID, tuple, parts[i], &isnull)));
	ReleaseSysCache(tuple);
}

static void
find_operator(Needs *needs, Oid opno)
{
	find_function(needs, get_opcode(opno));
	find_called(needs, get_oprrest(opno));
	find_called(needs, get_oprjoin(opno));
	find_named(needs, OperatorRelationId, opno);
}

/*
 * A type of values: what of it is called when they are read, compared, written
 * or made json.
 */
static void
find_type(Needs *needs, Oid type)
{
	HeapTuple	tuple;
	Form_pg_type form;
	Oid			oid;

	if (!OidIsValid(type) || type < FirstNormalObjectId ||
		list_member_oid(needs->found->types, type))
		return;
	needs->found->types = lappend_oid(needs->found->types, type);
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_type) GETSTRUCT(tuple);
	find_called(needs, form->typinput);
	find_called(needs, form->typoutput);
	find_called(needs, form->typmodin);
	find_called(needs, form->typmodout);
	find_type(needs, form->typelem);
	find_type(needs, form->typbasetype);
	if (form->typtype == TYPTYPE_DOMAIN)
		find_domain_needs(needs, type);
	for (AttrNumber n = 1; OidIsValid(form->typrelid) &&
		 SearchSysCacheExists2(ATTNUM, ObjectIdGetDatum(form->typrelid), Int16GetDatum(n)); n++)
		find_type(needs, get_atttype(form->typrelid, n));
	if (form->typtype == TYPTYPE_RANGE || form->typtype == TYPTYPE_MULTIRANGE)
	{
		HeapTuple	range = SearchSysCache1(form->typtype == TYPTYPE_RANGE ? RANGETYPE : RANGEMULTIRANGE,
											ObjectIdGetDatum(type));

		if (HeapTupleIsValid(range))
		{
			find_called(needs, ((Form_pg_range) GETSTRUCT(range))->rngcanonical);
			find_called(needs, ((Form_pg_range) GETSTRUCT(range))->rngsubdiff);
			find_type(needs, ((Form_pg_range) GETSTRUCT(range))->rngsubtype);
			ReleaseSysCache(range);
		}
	}
	ReleaseSysCache(tuple);
	if (find_coercion_pathway(JSONOID, type, COERCION_EXPLICIT, &oid) == COERCION_PATH_FUNC)
		find_called(needs, oid);
}

/* The CHECKs of a domain, and of those that it is made of. */
static void
find_domain_needs(Needs *needs, Oid type)
{
	while (get_typtype(type) == TYPTYPE_DOMAIN &&
		   !list_member_oid(needs->domains, type))
	{
		needs->domains = lappend_oid(needs->domains, type);
		find_row_needs(needs, ConstraintRelationId, ConstraintTypidIndexId,
					   Anum_pg_constraint_contypid, type, Anum_pg_constraint_conbin);
		type = jit_cached_oid(TypeRelationId, type, Anum_pg_type_typbasetype);
	}
}

/*
 * What the executor evaluates besides when it writes to a relation, in the
 * name of whoever writes: CHECKs, generated columns, indexes, keys of
 * partitions, conditions of triggers.
 */
static void
find_target_needs(Needs *needs, Oid target, CmdType command)
{
	ListCell   *lc;

	foreach(lc, jit_inheritors(target))
	{
		Oid			relid = lfirst_oid(lc);
		JitScan		scan;
		HeapTuple	tuple;

		jit_begin_scan(&scan, TriggerRelationId, TriggerRelidNameIndexId, NULL, 1,
					   (int) Anum_pg_trigger_tgrelid, relid);
		while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
		{
			find_called(needs, ((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid);
			find_column_needs(needs, &scan, tuple, Anum_pg_trigger_tgqual);
		}
		jit_end_scan(&scan);
		if (command == CMD_DELETE)
			continue;
		find_row_needs(needs, ConstraintRelationId, ConstraintRelidTypidNameIndexId,
					   Anum_pg_constraint_conrelid, relid, Anum_pg_constraint_conbin);
		find_row_needs(needs, PartitionedRelationId, PartitionedRelidIndexId,
					   Anum_pg_partitioned_table_partrelid, relid,
					   Anum_pg_partitioned_table_partexprs);
		jit_begin_scan(&scan, IndexRelationId, IndexIndrelidIndexId, NULL, 1,
					   (int) Anum_pg_index_indrelid, relid);
		while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
		{
			find_column_needs(needs, &scan, tuple, Anum_pg_index_indexprs);
			find_column_needs(needs, &scan, tuple, Anum_pg_index_indpred);
		}
		jit_end_scan(&scan);
		jit_begin_scan(&scan, AttrDefaultRelationId, AttrDefaultIndexId, NULL, 1,
					   (int) Anum_pg_attrdef_adrelid, relid);
		while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
		{
			if (get_attgenerated(relid, ((Form_pg_attrdef) GETSTRUCT(tuple))->adnum) != '\0')
				find_column_needs(needs, &scan, tuple, Anum_pg_attrdef_adbin);
		}
		jit_end_scan(&scan);
	}
}

static void
find_query_needs(Needs *needs, const Query *query)
{
	ListCell   *lc;

	foreach(lc, JIT_QUERY_PERMINFOS(query))
		find_permission_needs(needs, lfirst(lc));
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind != RTE_RELATION)
			continue;
		find_named(needs, RelationRelationId, rte->relid);
		needs->found->relations = list_append_unique_oid(needs->found->relations, rte->relid);
		if (needs->named)
			needs->found->named = list_append_unique_oid(needs->found->named, rte->relid);
	}
	if (!needs->named && query->resultRelation > 0)
	{
		Oid			target = rt_fetch(query->resultRelation, query->rtable)->relid;

		needs->found->targets = list_append_unique_oid(needs->found->targets, target);
		find_target_needs(needs, target, query->commandType);
	}
}

/* Has the node a value that may be of a type of somebody's? */
static bool
has_type(Node *node)
{
	switch (nodeTag(node))
	{
		case T_Var:
		case T_Const:
		case T_Param:
		case T_FuncExpr:
		case T_OpExpr:
		case T_Aggref:
		case T_WindowFunc:
		case T_FieldSelect:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_ArrayCoerceExpr:
		case T_ArrayExpr:
		case T_RowExpr:
		case T_CoerceToDomain:
		case T_ConvertRowtypeExpr:
			return true;
		default:
			return JIT_IS_JSON_EXPR(node);
	}
}

/*
 * Collect what the executor would look at.  Mirrors the calls of
 * object_aclcheck(), pg_proc_aclcheck() in 15, in execExpr.c, execSRF.c,
 * nodeAgg.c and nodeWindowAgg.c.
 */
static bool
find_needs(Node *node, Needs *needs)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	check_stack_depth();
	if (has_type(node))
		find_type(needs, exprType(node));
	switch (nodeTag(node))
	{
		case T_Query:
			find_query_needs(needs, (Query *) node);
			return query_tree_walker((Query *) node, find_needs, needs, 0);
		case T_FuncExpr:
			{
				FuncExpr   *call = (FuncExpr *) node;

				find_function(needs, call->funcid);
				if (call->funcformat == COERCE_EXPLICIT_CALL)
					find_named(needs, ProcedureRelationId, call->funcid);
				find_sequence_needs(needs, call);
			}
			break;
		case T_Aggref:
			find_function(needs, ((Aggref *) node)->aggfnoid);
			find_aggregate(needs, ((Aggref *) node)->aggfnoid);
			find_named(needs, ProcedureRelationId, ((Aggref *) node)->aggfnoid);
			break;
		case T_WindowFunc:
			find_function(needs, ((WindowFunc *) node)->winfnoid);
			find_aggregate(needs, ((WindowFunc *) node)->winfnoid);
			find_named(needs, ProcedureRelationId, ((WindowFunc *) node)->winfnoid);
			break;
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			find_operator(needs, ((OpExpr *) node)->opno);
			break;
		case T_ScalarArrayOpExpr:
			find_operator(needs, ((ScalarArrayOpExpr *) node)->opno);
			break;
		case T_RowCompareExpr:
			/* no permission is asked for here */
			find_named(needs, OperatorRelationId,
					   linitial_oid(((RowCompareExpr *) node)->opnos));
			break;
		case T_CollateExpr:
			find_named(needs, CollationRelationId, ((CollateExpr *) node)->collOid);
			break;
		case T_CoerceToDomain:
			find_domain_needs(needs, ((CoerceToDomain *) node)->resulttype);
			break;
		case T_RangeTblFunction:

			/*
			 * columns are read as what the text says, whether they are used
			 * or not
			 */
			foreach(lc, ((RangeTblFunction *) node)->funccoltypes)
				find_type(needs, lfirst_oid(lc));
			break;
		case T_TableFunc:
			foreach(lc, ((TableFunc *) node)->coltypes)
				find_type(needs, lfirst_oid(lc));
			break;
		case T_Param:
			find_domain_needs(needs, ((Param *) node)->paramtype);
			(void) named_by_literal(needs, (Param *) node);
			if (((Param *) node)->paramid < 0)
				needs->found->literal_types = list_append_unique_oid(needs->found->literal_types,
																	 ((Param *) node)->paramtype);
			break;
		default:
			break;
	}
	return expression_tree_walker(node, find_needs, needs);
}

/* ----------------------------------------------------------------------
 * What of it PUBLIC hasn't got
 * ----------------------------------------------------------------------
 */

/* All columns of a relation that there are, offset as in JitWant. */
static Bitmapset *
all_columns(Oid relid)
{
	Bitmapset  *columns = NULL;
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	AttrNumber	natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;

	ReleaseSysCache(tuple);
	for (AttrNumber attnum = 1; attnum <= natts; attnum++)
	{
		if (jit_column_name(relid, attnum) != NULL)
			columns = bms_add_member(columns, attnum - FirstLowInvalidHeapAttributeNumber);
	}
	return columns;
}

/* The column to ask for where any will do: of the primary key, or the first. */
static Bitmapset *
some_column(Oid relid, Bitmapset *all)
{
	JitScan		scan;
	HeapTuple	tuple;
	int			column = bms_next_member(all, -1);

	jit_begin_scan(&scan, IndexRelationId, IndexIndrelidIndexId, NULL, 1,
				   (int) Anum_pg_index_indrelid, relid);
	while (HeapTupleIsValid(tuple = jit_next_row(&scan)))
	{
		Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);

		if (index->indisprimary)
			column = index->indkey.values[0] - FirstLowInvalidHeapAttributeNumber;
	}
	jit_end_scan(&scan);
	return column >= 0 ? bms_make_singleton(column) : NULL;
}

/* Of a table or the like: columns where some suffice, the whole for all. */
static void
settle_columns(JitWant *want, AclMode any, List *public)
{
	Oid			relid = want->address.objectId;
	AclMode		had = jit_object_aclmask(RelationRelationId, relid, 0, public,
										 ACL_ALL_RIGHTS_RELATION);
	Bitmapset  *all = all_columns(relid);

	for (int i = 0; i < JIT_N_PRIVILEGES; i++)
	{
		AclMode		priv = jit_privilege_names[i].priv;
		Bitmapset  *open = NULL;	/* to PUBLIC */
		int			column = -1;

		if (!(priv & SELECT_INSERT_UPDATE))
			continue;
		while ((column = bms_next_member(all, column)) >= 0)
		{
			if (jit_object_aclmask(RelationRelationId, relid,
								   column + FirstLowInvalidHeapAttributeNumber,
								   public, priv) != 0)
				open = bms_add_member(open, column);
		}
		if (bms_is_empty(want->columns[i]) && (any & priv) && bms_is_empty(open))
			want->columns[i] = some_column(relid, all);
		if ((want->privs | had) & priv)
			want->columns[i] = NULL;
		else if ((any & priv) && bms_is_empty(all))
			want->privs |= priv;
		else if (!bms_is_empty(want->columns[i]) && bms_is_subset(all, want->columns[i]) &&
				 bms_is_empty(open))
		{
			want->privs |= priv;
			want->columns[i] = NULL;
		}
		else
			want->columns[i] = bms_difference(want->columns[i], open);
	}
	want->privs &= ~had;
}

/* Of a sequence: the privilege that does for several, if one does. */
static void
settle_sequence(Need *need, List *public)
{
	AclMode		had = jit_object_aclmask(RelationRelationId, need->want.address.objectId,
										 0, public, ACL_ALL_RIGHTS_SEQUENCE);

	if (need->currval && !((need->want.privs | had) & (ACL_SELECT | ACL_USAGE)))
		need->want.privs |= ACL_USAGE;
	if (need->nextval && !((need->want.privs | had) & (ACL_UPDATE | ACL_USAGE)))
		need->want.privs |= ACL_USAGE;
	need->want.privs &= ~had;
}

/* Add what is needed of a kind of which there is one privilege. */
static void
add_items(List **items, List *oids, Oid classid, ObjectType objtype, AclMode priv,
		  List *public)
{
	ListCell   *lc;

	foreach(lc, oids)
	{
		JitWant		want = {.privs = priv};

		if (jit_object_aclmask(classid, lfirst_oid(lc), 0, public, priv) != 0)
			continue;
		want.objtype = jit_objtype_of(classid, lfirst_oid(lc), objtype);
		ObjectAddressSet(want.address, classid, lfirst_oid(lc));
		*items = jit_make_items(*items, &want);
	}
}

/* All that was found, as items.  One's own temporary tables need nothing. */
static List *
items_of_needs(const Needs *needs)
{
	List	   *items = NIL;
	List	   *public = list_make1_oid(InvalidOid);	/* a member of nothing */
	ListCell   *lc;

	foreach(lc, needs->relations)
	{
		Need	   *need = lfirst(lc);

		if (isTempNamespace(get_rel_namespace(need->want.address.objectId)))
			continue;
		if (need->want.objtype == OBJECT_SEQUENCE)
			settle_sequence(need, public);
		else
			settle_columns(&need->want, need->any, public);
		items = jit_make_items(items, &need->want);
	}
	add_items(&items, needs->functions, ProcedureRelationId, OBJECT_FUNCTION,
			  ACL_EXECUTE, public);
	add_items(&items, list_delete_oid(list_copy(needs->schemas), InvalidOid),
			  NamespaceRelationId, OBJECT_SCHEMA, ACL_USAGE, public);
	foreach(lc, items)
		jit_check_item_requestable(lfirst(lc));
	return items;
}

/* The whole of it, to be undone: see the top of the file. */
static void
look_at_statement(void *arg)
{
	Needs	   *needs = arg;
	ErrorContextCallback callback = {error_context_stack, error_callback, needs};
	RawStmt    *raw;
	Query	   *query;
	List	   *rewritten;
	Oid			userid;
	int			sec_context;
	ListCell   *lc;

	error_context_stack = &callback;
	raw = parse_statement(needs->text);
	(void) take_literals(raw->stmt, needs);

	GetUserIdAndSecContext(&userid, &sec_context);
	jit_set_locally("search_path", needs->gateway ? "" : jit_search_path_text());
	/* or it would be an error that there are policies */
	jit_set_locally("row_security", "on");
	sec_context |= SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION;
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, sec_context);
	query = parse_analyze_withcb(raw, needs->text, setup_parser, needs, NULL);
	needs->named = true;
	(void) find_needs((Node *) query, needs);
	foreach(lc, needs->types)
		find_named(needs, TypeRelationId, typenameTypeId(NULL, lfirst(lc)));

	/* policies are those of whoever would run it */
	SetUserIdAndSecContext(needs->role, sec_context);
	rewritten = QueryRewrite(query);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, sec_context);
	needs->named = false;
	foreach(lc, rewritten)
		(void) find_needs(lfirst(lc), needs);
	error_context_stack = callback.previous;
	needs->found->items = items_of_needs(needs);
	needs->found->rewritten = rewritten;
}

/*
 * What somebody must be granted, who has what PUBLIC has, to run a statement
 * as it is written now, and what else it is about; in the memory context that is
 * the current one.
 * Raises for anything that isn't one statement of its kind, and for what nobody
 * may ask for.  Row-level security is what it is for the role; a gateway's
 * texts have names of their own to nobody.
 */
void
jit_find_needs(const char *statement, Oid role, bool gateway, JitNeeds *found)
{
	Needs		needs = {.text = statement,.role = role,.gateway = gateway,.found = found};

	memset(found, 0, sizeof(JitNeeds));
	jit_look(look_at_statement, &needs);
}

/* jit_access_of(statement) */
Datum
jit_access_of(PG_FUNCTION_ARGS)
{
	char	   *statement = jit_required_text(fcinfo, 0, "statement");
	JitPerson	person;
	JitNeeds	needs;

	jit_acting_person_for(&person, 0);
	jit_find_needs(statement, person.role, person.via != NULL, &needs);
	if (needs.items == NIL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(jit_items_text(needs.items, false)));
}
