/*-------------------------------------------------------------------------
 *
 * text.h
 *		Arguments in, words out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_BASE_TEXT_H
#define JIT_BASE_TEXT_H

extern char *jit_text_argument(FunctionCallInfo fcinfo, int n,
							   const char *name);
extern char *jit_required_text(FunctionCallInfo fcinfo, int n,
							   const char *name);
extern void jit_refuse_null(const char *name) pg_attribute_noreturn();
extern JitStatus jit_status_by_name(const char *name);
extern JitRisk jit_risk_by_name(const char *name);
extern JitRisk jit_risk_argument(FunctionCallInfo fcinfo, int n);
extern int64 jit_interval_usecs(const Interval *interval, const char *what);
extern bool jit_is_duration(const char *words);

extern const char *jit_risk_name(JitRisk risk);
extern const char *jit_status_name(JitStatus status);
extern char *jit_shown(const char *text);
extern void jit_append_json(StringInfo buf, const char *value, int length);
extern const char *jit_quote_identifier(const char *name);
extern char *jit_quote_qualified(const char *schema, const char *name);
extern char *jit_quote_literal(const char *text);
extern char *jit_interval_text(const Interval *interval);
extern int	jit_compare_texts(const ListCell *a, const ListCell *b);
extern char *jit_join(List *texts, const char *separator);
extern char *jit_usecs_text(int64 usecs);
extern char *jit_timestamp_text(TimestampTz at);
extern char *jit_name_of_database(Oid database);
extern char *jit_database_name(void);
extern char *jit_role_name(Oid roleid);

extern void jit_log_as_it_is(const char *line);
extern void jit_init_text(void);

#endif							/* JIT_BASE_TEXT_H */
