/*-------------------------------------------------------------------------
 *
 * query.h
 *		SQL on our own tables, as their owner, and work that may fail by itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_QUERY_H
#define JIT_BASE_QUERY_H

typedef struct JitOwnerSection
{
	Oid			userid;
	int			sec_context;
	int			nestlevel;
} JitOwnerSection;

/*
 * Rows to update, found before the first one is: see jit_query().  Their
 * request is locked, so that nobody else moves them.
 */
#define JIT_THE_ROWS(table, condition) \
	"ctid = ANY (ARRAY(SELECT ctid FROM jit." table " WHERE " condition "))"

#define JIT_N_PINNED_SETTINGS 11
extern const char *const jit_pinned_settings[JIT_N_PINNED_SETTINGS][2];
extern bool jit_settings_pinned;

extern void jit_set_locally(const char *name, const char *value);
extern void jit_enter_owner_section(JitOwnerSection *section);
extern void jit_leave_owner_section(JitOwnerSection *section);
extern void jit_begin_lookup(JitOwnerSection *section, bool qualified);
extern void jit_end_lookup(JitOwnerSection *section);
extern int	jit_query(const char *sql, const char *parameters,...);
extern Datum jit_result(int row, int column, bool *isnull);
extern int	jit_result_int(int row, int column);
extern int64 jit_result_int64(int row, int column);
extern bool jit_result_bool(int row, int column);
extern Oid	jit_result_oid(int row, int column);
extern TimestampTz jit_result_time(int row, int column);
extern char *jit_result_text(int row, int column);
extern Datum jit_int4_array(Datum *values, int n);
extern ErrorData *jit_try(void (*work) (void *arg), void *arg);
extern void jit_look(void (*work) (void *arg), void *arg);
extern ErrorData *jit_try_as_owner(void (*work) (void *arg), void *arg);
extern bool jit_extension_installed(void);
extern void jit_prevent_if_not_here(FunctionCallInfo fcinfo);
extern bool jit_open_ledger(void);
extern const char *jit_origin(void);
extern char *jit_cluster_origin(void);
extern bool jit_is_of_cluster(const char *origin);
extern bool jit_is_copy(const char *origin);

#endif							/* JIT_BASE_QUERY_H */
