/* What transformers' config classes take where a config.json says nothing. */
#ifndef MLS_CLASS_H
#define MLS_CLASS_H

#include <stddef.h>

/** One model_type. A class that holds a text model has `text` and nothing else. */
typedef struct mls_class {
    const char *model_type;
    const char *text;     /* "llama": what text_config is when it does not say; NULL */
    const char *defaults; /* JSON with ' for ": keys that shape a cache, their values */
    const char *names;    /* "n_layer=num_hidden_layers ...": other names; NULL */
    const char *knows;    /* other keys it has that look as if they touched the cache */
} mls_class;

/** Sorted as the generator writes them. */
extern const mls_class mls_classes[];
extern const size_t mls_classes_n;

/** NULL when there is no such class. */
const mls_class *mls_class_find(const char *model_type);

#endif
