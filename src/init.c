/*-------------------------------------------------------------------------
 *
 * init.c
 *		Loading: the one place that installs hooks and registers workers.
 *
 * The library works only when it is preloaded: what enforces deadlines must
 * be in every backend, or in none, and the launcher is a static background
 * worker.  Loaded any other way (LOAD, CREATE EXTENSION, a function call) it
 * raises, and leaves nothing behind.
 *
 * Under pg_upgrade (IsBinaryUpgrade) it is preloaded in a server that must
 * not change by itself: no launcher.
 *
 *-------------------------------------------------------------------------
 */
#include "jit_access.h"

#include "base/changes.h"
#include "base/due.h"
#include "base/guc.h"
#include "base/text.h"
#include "enforce/executor.h"
#include "enforce/hint.h"
#include "enforce/judge.h"
#include "enforce/objects.h"
#include "enforce/utility.h"
#include "request/ending.h"
#include "request/label.h"
#include "request/suggest.h"
#include "worker/launcher.h"

#include "storage/ipc.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type next_shmem_request_hook = NULL;
static shmem_startup_hook_type next_shmem_startup_hook = NULL;

static void
request_shmem(void)
{
	if (next_shmem_request_hook)
		next_shmem_request_hook();
	jit_clock_shmem_request();
	jit_due_shmem_request();
	jit_changes_shmem_request();
}

static void
startup_shmem(void)
{
	if (next_shmem_startup_hook)
		next_shmem_startup_hook();
	jit_clock_shmem_startup();
	jit_due_shmem_startup();
	jit_changes_shmem_startup();
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("jit_access must be loaded via shared_preload_libraries"),
				 errhint("Add jit_access to shared_preload_libraries in postgresql.conf and restart the server.")));

	jit_define_settings();

	next_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	next_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;

	jit_init_text();
	jit_init_roles();
	jit_init_judge();
	jit_install_executor_hooks();
	jit_install_hint(jit_suggest);
	jit_install_utility_hook(jit_before_drop, jit_offer_labels);
	jit_install_object_access_hook(jit_object_dropped);

	jit_register_launcher();
}
