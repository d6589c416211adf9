/* The "post_processor" of tokenizer.json: the ids added before and after a text's. */
#ifndef MLS_POSTPROCESSOR_H
#define MLS_POSTPROCESSOR_H

#include "common/base/status.h"
#include "datasets/base/ids.h"
#include "datasets/base/json_members.h"

/** Release both with mls_ids_free(). */
typedef struct mls_postprocessor {
    mls_ids before, after;
} mls_postprocessor;

/**
 * TemplateProcessing (its template for one text, which must hold the text once),
 * ByteLevel (adds nothing), BertProcessing, RobertaProcessing and Sequence.
 *
 * @param part      the "post_processor" value; NULL or JSON null adds nothing
 * @param[out] out  {0} on error
 * @return MLS_OK, MLS_E_INPUT (another type, by name; a setting) or MLS_E_NOMEM
 */
mls_status mls_postprocessor_read(mls_postprocessor *out, const json_t *part,
                                  mls_err *err);
void mls_postprocessor_free(mls_postprocessor *p); /* {0} is accepted */

#endif
