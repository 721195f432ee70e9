/*-------------------------------------------------------------------------
 *
 * text.c
 *		Arguments in, words out.
 *
 * Checks of arguments that several SQL functions share, and the names of
 * things as messages, the ledger and the server log write them.
 *
 * Texts that are kept, compared, logged or handed to the server ask nobody's
 * settings, or two requests for one table would not read alike: names are
 * quoted here, and times are written in an owner section, whose settings are
 * pinned (base/query.c).  Neither a SET clause of our SQL functions nor a scope
 * that each of them opens would do: commits and SECURITY LABEL make such texts
 * outside of any function, names of the access text are to be looked up along
 * the caller's search_path, and messages are in the caller's time zone.
 *
 * What people wrote, and the names they gave, may hold what makes a terminal
 * show something else than there is: jit_shown() is for text, quoted names see
 * to it themselves, by U&"..." where need be, which PostgreSQL reads.  The
 * ledger and events keep texts as they are.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/text.h"

#include "commands/dbcommands.h"
#include "common/int.h"
#include "common/keywords.h"
#include "mb/pg_wchar.h"
#include "utils/datetime.h"

PG_FUNCTION_INFO_V1(jit_shown_text);
PG_FUNCTION_INFO_V1(jit_wrapped);

static const char *const risk_names[] = {"low", "moderate", "high", "forbidden"};

static const char *const status_names[] = {
	"pending", "scheduled", "active", "rejected", "canceled", "lapsed", "expired", "revoked"
};

/* ----------------------------------------------------------------------
 * Arguments
 * ----------------------------------------------------------------------
 */

/*
 * Text argument as a C string, NULL for null.  Text that is blank or too
 * long is an error.
 */
char *
jit_text_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *value;

	if (PG_ARGISNULL(n))
		return NULL;
	value = text_to_cstring(PG_GETARG_TEXT_PP(n));
	if (strlen(value) > JIT_MAX_TEXT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s is too long", name),
				 errdetail("It has %zu bytes; at most %d are allowed.",
						   strlen(value), JIT_MAX_TEXT)));
	if (value[strspn(value, " \t\r\n\f\v")] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", name)));
	return value;
}

/* The same for an argument that there must be. */
char *
jit_required_text(FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *value = jit_text_argument(fcinfo, n, name);

	if (value == NULL)
		jit_refuse_null(name);
	return value;
}

/* Raise for an argument that must not be null. */
void
jit_refuse_null(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("%s must not be null", name)));
}

static int
index_of(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(names[i], name) == 0)
			return i;
	}
	elog(ERROR, "unexpected value of an enum: \"%s\"", name);
	return -1;					/* keep the compiler quiet */
}

/* A state by its name, as it is stored. */
JitStatus
jit_status_by_name(const char *name)
{
	return index_of(name, status_names, lengthof(status_names));
}

/* A level by its name, as it is stored. */
JitRisk
jit_risk_by_name(const char *name)
{
	return index_of(name, risk_names, lengthof(risk_names));
}

/* Argument of type jit.risk_level. */
JitRisk
jit_risk_argument(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		jit_refuse_null("risk");
	return jit_risk_by_name(DatumGetCString(DirectFunctionCall1(enum_out,
																PG_GETARG_DATUM(n))));
}

/*
 * Interval as microseconds.  A day is 24 hours; months, whose length varies,
 * and anything that isn't positive are errors.  "what" names it in messages.
 */
int64
jit_interval_usecs(const Interval *interval, const char *what)
{
	int64		usecs;

	if (interval->month != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not have months or years", what),
				 errhint("Write days instead.")));
	if (pg_mul_s64_overflow(interval->day, USECS_PER_DAY, &usecs) ||
		pg_add_s64_overflow(usecs, interval->time, &usecs))
		ereport(ERROR,
				(errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW),
				 errmsg("%s is out of range", what)));
	if (usecs <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be more than zero", what)));
	return usecs;
}

/*
 * Would somebody who writes this mean how long?  It reads as an interval, and
 * has a unit: "4711" and "now" are words.
 */
bool
jit_is_duration(const char *words)
{
	char		workbuf[256];
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	int			nf;
	int			dtype;
	struct pg_itm_in itm;

	words += strspn(words, " \t\r\n\f\v");
	return isdigit((unsigned char) *words) && words[strspn(words, "0123456789-+./, ")] != '\0' &&
		ParseDateTime(words, workbuf, sizeof(workbuf), field, ftype, MAXDATEFIELDS, &nf) == 0 &&
		DecodeInterval(field, ftype, nf, INTERVAL_FULL_RANGE, &dtype, &itm) == 0 &&
		dtype == DTK_DELTA;
}

/* ----------------------------------------------------------------------
 * Words
 * ----------------------------------------------------------------------
 */

const char *
jit_risk_name(JitRisk risk)
{
	return risk_names[risk];
}

const char *
jit_status_name(JitStatus status)
{
	return status_names[status];
}

/*
 * The character at p, and its length in bytes.  Where the database's encoding
 * isn't UTF8, only what is ASCII is looked at.
 */
static pg_wchar
character_at(const char *p, int *length)
{
	*length = 1;
	if (!IS_HIGHBIT_SET(*p))
		return *p;
	if (GetDatabaseEncoding() != PG_UTF8)
		return PG_INT32_MAX;
	*length = pg_utf_mblen((const unsigned char *) p);
	if (strnlen(p, *length) == (size_t) *length &&
		pg_utf8_islegal((const unsigned char *) p, *length))
		return utf8_to_unicode((const unsigned char *) p);
	*length = 1;
	return PG_INT32_MAX;
}

/*
 * Is it a character that isn't seen, or changes how others are: control
 * characters, line separators, and what Unicode calls Bidi_Control and
 * Default_Ignorable_Code_Point.
 */
static bool
is_unseen(pg_wchar c)
{
	static const pg_wchar ranges[][2] = {
		{0x00, 0x1F}, {0x7F, 0x9F}, {0xAD, 0xAD}, {0x34F, 0x34F},
		{0x61C, 0x61C}, {0x115F, 0x1160}, {0x17B4, 0x17B5},
		{0x180B, 0x180F}, {0x200B, 0x200F}, {0x2028, 0x202E},
		{0x2060, 0x206F}, {0x3164, 0x3164}, {0xFE00, 0xFE0F},
		{0xFEFF, 0xFEFF}, {0xFFA0, 0xFFA0}, {0xFFF0, 0xFFFB},
		{0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF}
	};

	for (int i = 0; i < (int) lengthof(ranges) && c >= ranges[i][0]; i++)
	{
		if (c <= ranges[i][1])
			return true;
	}
	return false;
}

static void
append_escape(StringInfo buf, pg_wchar c)
{
	switch (c)
	{
		case '\n':
			appendStringInfoString(buf, "\\n");
			break;
		case '\r':
			appendStringInfoString(buf, "\\r");
			break;
		case '\t':
			appendStringInfoString(buf, "\\t");
			break;
		default:
			appendStringInfo(buf, c < 0x100 ? "\\x%02x" :
							 c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
	}
}

/*
 * A text in one line, with \n, \x1b, \u202e and the like for characters that
 * aren't seen.  A backslash is doubled where it would read as one of these.
 */
char *
jit_shown(const char *text)
{
	StringInfoData buf;
	int			length;

	initStringInfo(&buf);
	for (const char *p = text; *p; p += length)
	{
		pg_wchar	c = character_at(p, &length);
		int			ignored;

		if (is_unseen(c))
			append_escape(&buf, c);
		else
			appendBinaryStringInfo(&buf, p, length);
		if (c == '\\' && p[1] != '\0' &&
			(strchr("\\nrtxuU", p[1]) || is_unseen(character_at(p + 1, &ignored))))
			appendStringInfoChar(&buf, '\\');
	}
	return buf.data;
}

/*
 * A text, or so much of it, as a JSON string in one line that hides nothing.
 */
void
jit_append_json(StringInfo buf, const char *value, int length)
{
	const char *end = value + length;
	int			bytes;

	appendStringInfoChar(buf, '"');
	for (const char *p = value; p < end; p += bytes)
	{
		pg_wchar	c;

		/* most are plain: as many at once as there are */
		for (bytes = 0; p + bytes < end && p[bytes] >= ' ' && p[bytes] < 0x7F &&
			 p[bytes] != '"' && p[bytes] != '\\'; bytes++)
			;
		if (bytes > 0)
		{
			appendBinaryStringInfo(buf, p, bytes);
			continue;
		}
		c = character_at(p, &bytes);
		if (c == '"' || c == '\\')
			appendStringInfoChar(buf, '\\');
		if (!is_unseen(c))
			appendBinaryStringInfo(buf, p, bytes);
		else if (c == '\n' || c == '\r' || c == '\t')
			append_escape(buf, c);
		else if (c < 0x10000)
			appendStringInfo(buf, "\\u%04x", c);
		else
			appendStringInfo(buf, "\\u%04x\\u%04x", 0xD800 + ((c - 0x10000) >> 10),
							 0xDC00 + ((c - 0x10000) & 0x3FF));
	}
	appendStringInfoChar(buf, '"');
}

/* jit.shown(text) */
Datum
jit_shown_text(PG_FUNCTION_ARGS)
{
	char	   *value = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_TEXT_P(cstring_to_text(jit_shown(value)));
}

/* How much is shown of a list, and of each entry. */
#define MAX_ENTRIES_SHOWN 6
#define MAX_LINES_SHOWN 8

/*
 * How many bytes of a text, up to the end, fit so many columns of a terminal.
 * As psql counts them: by the same table.
 */
static int
fitting(const char *text, const char *end, int width)
{
	const char *p = text;

	while (p < end)
	{
		int			columns = Max(pg_dsplen(p), 0);

		/* one that is wider than all of it takes a line of its own */
		if (columns > width && p > text)
			break;
		width -= columns;
		p += pg_mblen(p);
	}
	return p - text;
}

/*
 * One line of a text in lines that are no wider than that, broken at spaces
 * where there are any; after some lines the rest is left out.  All but the
 * first are indented: what somebody wrote can't look like an entry of its own.
 */
static void
append_wrapped(StringInfo buf, const char *text, const char *end, int width,
			   const char *ellipsis)
{
	for (int line = 1; text <end; line++)
	{
		int			length = fitting(text, end, width - (line > 1));
		const char *next = text +length;

		if (next < end)
		{
			const char *space = next;

			while (space > text &&*space != ' ')
				space--;
			if (space > text)
			{
				length = space - text;

				next = space + 1;
			}
			else
			{
				/* within a name that is qualified, or a word of several */
				while (space < next)
				{
					if (strchr("._-/@", *space++) && space > text +1)
						length = space - text;
				}
				next = text +length;
			}
		}
		if (line > 1)
			appendStringInfoString(buf, "\n ");
		if (line == MAX_LINES_SHOWN && next < end)
		{
			length = Min(length, fitting(text, end, width - (IS_HIGHBIT_SET(*ellipsis) ? 2 : 4)));
			appendBinaryStringInfo(buf, text, length);
			appendStringInfoString(buf, ellipsis);
			return;
		}
		appendBinaryStringInfo(buf, text, length);
		text = next;
	}
}

/*
 * jit.wrapped(text, width, more)
 *
 * A list, one entry a line, for a column of so many columns of a terminal.
 * The ellipsis isn't a character of every encoding.
 */
Datum
jit_wrapped(PG_FUNCTION_ARGS)
{
	char	   *list = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			width = PG_GETARG_INT32(1);
	int			more = PG_GETARG_INT32(2);
	const char *ellipsis = GetDatabaseEncoding() == PG_UTF8 &&
	pg_get_client_encoding() == PG_UTF8 ? "\xe2\x80\xa6" : "...";
	StringInfoData buf;
	int			n = 0;

	initStringInfo(&buf);
	for (char *next, *p = list; p != NULL; p = next)
	{
		char	   *end = strchr(p, '\n');

		next = end ? end + 1 : NULL;
		if (++n > MAX_ENTRIES_SHOWN)
		{
			more++;
			continue;
		}
		if (n > 1)
			appendStringInfoChar(&buf, '\n');
		append_wrapped(&buf, p, end ? end : p + strlen(p), width, ellipsis);
	}
	if (more > 0)
	{
		char	   *line = psprintf(_("%s and %d more"), ellipsis, more);

		if (buf.len > 0)
			appendStringInfoChar(&buf, '\n');
		append_wrapped(&buf, line, line + strlen(line), width, ellipsis);
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(buf.data, buf.len));
}

/*
 * A name as SQL has it, quoted if need be, whatever quote_all_identifiers says.
 * Mirrors quote_identifier(), but writes what isn't seen as U&"..." does.
 */
const char *
jit_quote_identifier(const char *name)
{
	bool		safe = (name[0] >= 'a' && name[0] <= 'z') || name[0] == '_';
	bool		unseen = false;
	StringInfoData buf;
	int			length;

	for (const char *p = name; *p; p += length)
	{
		pg_wchar	c = character_at(p, &length);

		safe &= (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
		unseen |= is_unseen(c);
	}
	if (safe)
	{
		int			keyword = ScanKeywordLookup(name, &ScanKeywords);

		if (keyword < 0 || ScanKeywordCategories[keyword] == UNRESERVED_KEYWORD)
			return name;
	}

	initStringInfo(&buf);
	appendStringInfoString(&buf, unseen ? "U&\"" : "\"");
	for (const char *p = name; *p; p += length)
	{
		pg_wchar	c = character_at(p, &length);

		if (is_unseen(c))
			appendStringInfo(&buf, c < 0x10000 ? "\\%04x" : "\\+%06x", c);
		else
			appendBinaryStringInfo(&buf, p, length);
		if (c == '"' || (c == '\\' && unseen))
			appendStringInfoChar(&buf, c);
	}
	appendStringInfoChar(&buf, '"');
	return buf.data;
}

/* The same with its schema. */
char *
jit_quote_qualified(const char *schema, const char *name)
{
	return psprintf("%s.%s", jit_quote_identifier(schema), jit_quote_identifier(name));
}

/*
 * A text as a constant that reads back to the same whatever
 * standard_conforming_strings says, in one line that hides nothing.
 */
char *
jit_quote_literal(const char *text)
{
	StringInfoData buf;
	bool		escapes = false;
	int			length;

	initStringInfo(&buf);
	for (const char *p = text; *p; p += length)
	{
		pg_wchar	c = character_at(p, &length);

		escapes |= c == '\\' || is_unseen(c);
		/* \x is a byte */
		if (c >= 0x80 && c < 0x100 && is_unseen(c))
			appendStringInfo(&buf, "\\u%04x", c);
		else if (is_unseen(c))
			append_escape(&buf, c);
		else
			appendBinaryStringInfo(&buf, p, length);
		if (c == '\'' || c == '\\')
			appendStringInfoChar(&buf, c);
	}
	return psprintf("%s'%s'", escapes ? "E" : "", buf.data);
}

/* An interval as it is kept, whatever IntervalStyle says. */
char *
jit_interval_text(const Interval *interval)
{
	char		buf[MAXDATELEN + 1];
	struct pg_itm itm;

	interval2itm(*interval, &itm);
	EncodeInterval(&itm, INTSTYLE_POSTGRES, buf);
	return pstrdup(buf);
}

/* For list_sort() of texts. */
int
jit_compare_texts(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/* Texts, with something between each two. */
char *
jit_join(List *texts, const char *separator)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, texts)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? separator : "",
						 (char *) lfirst(lc));
	return buf.data;
}

/* Microseconds as an interval, for people: in the session's IntervalStyle. */
char *
jit_usecs_text(int64 usecs)
{
	Interval	interval = {.time = usecs};

	return DatumGetCString(DirectFunctionCall1(interval_out,
											   IntervalPGetDatum(&interval)));
}

/* A point in time for a message, to the second, in the session's TimeZone. */
char *
jit_timestamp_text(TimestampTz at)
{
	if (!TIMESTAMP_NOT_FINITE(at))
		at -= at % USECS_PER_SEC;
	return pstrdup(timestamptz_to_str(at));
}

/* Name of a database, for messages; its OID when it is gone. */
char *
jit_name_of_database(Oid database)
{
	char	   *name = get_database_name(database);

	return name ? name : psprintf("%u", database);
}

/* The same of this one. */
char *
jit_database_name(void)
{
	return jit_name_of_database(MyDatabaseId);
}

/* Name of a role, for messages; its OID when the role is gone. */
char *
jit_role_name(Oid roleid)
{
	char	   *name = GetUserNameFromId(roleid, true);

	return name ? name : psprintf("%u", roleid);
}

/* ----------------------------------------------------------------------
 * The server log
 * ----------------------------------------------------------------------
 */

static emit_log_hook_type next_emit_log_hook = NULL;

/* A line of ours that is in this form already. */
static const char *as_it_is = NULL;

/* Lines of ours, or that look like it, are one line each, and what they seem. */
static void
show_line(ErrorData *edata)
{
	static const char prefix[] = JIT_EXTENSION ": ";

	if (edata->message != NULL &&
		strncmp(edata->message, prefix, strlen(prefix)) == 0 &&
		(as_it_is == NULL || strcmp(edata->message, as_it_is) != 0))
	{
		edata->message = jit_shown(edata->message);
		if (edata->detail != NULL)
			edata->detail = jit_shown(edata->detail);
		if (edata->hint != NULL)
			edata->hint = jit_shown(edata->hint);
	}
	if (next_emit_log_hook)
		next_emit_log_hook(edata);
}

/*
 * Write a line that is shown as it is: nothing in it hides anything.  errfinish()
 * looks for interrupts, which are not for this to meet: who is to be canceled
 * may have ended just before.
 */
void
jit_log_as_it_is(const char *line)
{
	HOLD_INTERRUPTS();
	as_it_is = line;
	PG_TRY();
	{
		ereport(LOG_SERVER_ONLY,
				(errmsg_internal("%s", line),
				 errhidestmt(true),
				 errhidecontext(true)));
	}
	PG_FINALLY();
	{
		as_it_is = NULL;
	}
	PG_END_TRY();
	RESUME_INTERRUPTS();
}

/* Called from _PG_init() only. */
void
jit_init_text(void)
{
	next_emit_log_hook = emit_log_hook;
	emit_log_hook = show_line;
}
