/*-------------------------------------------------------------------------
 *
 * needs.h
 *		What somebody must have to run a statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_NEEDS_H
#define JIT_REQUEST_NEEDS_H

/* What was found of a statement. */
typedef struct JitNeeds
{
	List	   *items;			/* JitItem *: what must be granted */
	List	   *relations;		/* OIDs of all that it is about, behind views
								 * too */
	List	   *named;			/* those of them that the text names */
	List	   *targets;		/* those that it writes to */
	List	   *functions;		/* OIDs of all that may be called, by the
								 * executor, triggers or types */
	List	   *types;			/* OIDs of all types of values */
	List	   *literal_types;	/* of literals, as they would be read */
	List	   *rewritten;		/* Query *; literals are parameters */
	bool		parameters;		/* are there any? */
} JitNeeds;

extern char *jit_search_path_text(void);
extern void jit_find_needs(const char *statement, Oid role, bool gateway,
						   JitNeeds *needs);

#endif							/* JIT_REQUEST_NEEDS_H */
