/*-------------------------------------------------------------------------
 *
 * commands.h
 *		Temporary access can't make lasting access: utility commands.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_ENFORCE_COMMANDS_H
#define JIT_ENFORCE_COMMANDS_H

/* The command being run, saved around commands that are run within it. */
typedef struct JitLastingState
{
	Oid			actor;
	const char *command;
	List	   *unguarded;
	List	   *made_ranges;
} JitLastingState;

extern JitLastingState jit_lasting_state(void);
extern void jit_restore_lasting_state(JitLastingState state);
extern void jit_check_lasting(Node *stmt);

#endif							/* JIT_ENFORCE_COMMANDS_H */
