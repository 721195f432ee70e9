/*-------------------------------------------------------------------------
 *
 * jit_access.h
 *		The vocabulary that the rooms of jit_access share.
 *
 * An access text ("SELECT ON hr.employee; hr_reader") resolves to a list of
 * JitItem.  An approved request becomes one grant role, a member of one scope
 * role per object item and of each requested role; the grantee is the grant
 * role's only member, and VALID UNTIL of the grant role is the deadline.
 *
 * README.md beside this file is the map of the rooms, each of which has a header
 * of its own.  This one is for all of them, and stays small.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ACCESS_H
#define JIT_ACCESS_H

#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/compat.h"

/*
 * How we quote names, in texts that are kept as in messages: PostgreSQL's own
 * functions ask a setting of the caller's.  See base/text.c, which everybody
 * who quotes includes.
 */
#define quote_identifier(name) jit_quote_identifier(name)
#define quote_qualified_identifier(schema, name) jit_quote_qualified(schema, name)

#define JIT_EXTENSION		"jit_access"
#define JIT_SCHEMA			"jit"
#define JIT_CHANNEL			"jit_access"
#define JIT_ROLE_PREFIX		"jit_"
#define JIT_GRANT_PREFIX	"jit_grant_"
#define JIT_SCOPE_PREFIX	"jit_scope_"
#define JIT_QUERY_PREFIX	"jit_query_"

/* No text that a user hands us may be longer than this, in bytes. */
#define JIT_MAX_TEXT		8192

/* As jit.risk_level has them. */
typedef enum JitRisk
{
	JIT_RISK_LOW,
	JIT_RISK_MODERATE,
	JIT_RISK_HIGH,
	JIT_RISK_FORBIDDEN
} JitRisk;

/* As jit.request_status has them. */
typedef enum JitStatus
{
	JIT_PENDING,
	JIT_SCHEDULED,
	JIT_ACTIVE,
	JIT_REJECTED,
	JIT_CANCELED,
	JIT_LAPSED,
	JIT_EXPIRED,
	JIT_REVOKED
} JitStatus;

#endif							/* JIT_ACCESS_H */
