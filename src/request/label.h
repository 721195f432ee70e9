/*-------------------------------------------------------------------------
 *
 * label.h
 *		Labels: words that say what data is, for risk policies.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JIT_REQUEST_LABEL_H
#define JIT_REQUEST_LABEL_H

#include "base/item.h"

extern List *jit_item_labels(const JitItem *item);
extern char *jit_label_text(const char *label);
extern void jit_offer_labels(const SecLabelStmt *stmt);

#endif							/* JIT_REQUEST_LABEL_H */
