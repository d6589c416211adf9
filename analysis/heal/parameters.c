/*
 * An optimizer sees one vector, a form many arrays: place() gives each its offset in a
 * fixed order, cache first, then queries and output, and its role tells others what it
 * is (whitening turns those of the input). A form that reads another layer's cache has
 * none of its own to train.
 */
#include "analysis/heal/parameters.h"

#include "common/base/checked.h"

void mls_parameters_free(mls_parameters *p)
{
    mls_free_all(p->array, p->latent, p->rope_key, p->head);
    *p = (mls_parameters){0};
}

/* Most arrays that a form can have. */
static size_t arrays_max(const mls_latent_form *f)
{
    return 3 * f->n_latents + 2 * f->n_rope_keys + 4 * f->G + 11;
}

/* The place of an array that the form has; one that it has not gets none. */
static size_t place(mls_parameters *p, float *at, size_t rows, size_t cols,
                    mls_parameter_role role)
{
    if (!at)
        return MLS_NO_ARRAY;
    p->array[p->n_arrays++] = (mls_parameter_array){at, p->n, rows, cols, role};
    p->n += rows * cols;
    return p->array[p->n_arrays - 1].first;
}

static mls_affine_place place_map(mls_parameters *p, mls_affine map, size_t rows,
                                  size_t cols, mls_parameter_role role)
{
    mls_affine_place at;

    at.w = place(p, map.w, rows, cols, role);
    at.b = place(p, map.w ? map.b : NULL, rows, 1,
                 role == MLS_PARAMETER_OUTPUT ? MLS_PARAMETER_OUTPUT_BIAS
                                              : MLS_PARAMETER_BIAS);
    return at;
}

static void place_cache(mls_parameters *p, const mls_latent_form *f)
{
    const size_t E = f->E, D = f->D;

    for (size_t i = 0; i < f->n_latents; i++) {
        const mls_latent_vector *v = &f->latent[i];
        const bool of_x = v->source == MLS_LATENT_OF_X;

        p->latent[i].down =
            place_map(p, v->down, v->r, of_x ? E : D,
                      of_x ? MLS_PARAMETER_OF_INPUT : MLS_PARAMETER_INSIDE);
        p->latent[i].norm = place(p, v->norm.w, v->r, 1, MLS_PARAMETER_NORM);
    }
    for (size_t b = 0; b < f->n_rope_keys; b++)
        p->rope_key[b] = place_map(p, f->rope_key[b].map, f->rope_key[b].n, E,
                                   MLS_PARAMETER_OF_INPUT);
    for (size_t g = 0; g < f->G; g++) {
        const mls_read_head *h = &f->head[g];
        const size_t r_k = h->key_latent >= 0 ? f->latent[h->key_latent].r : 0;

        p->head[g].key = place_map(p, h->key, h->n_key, r_k, MLS_PARAMETER_INSIDE);
        p->head[g].value =
            place_map(p, h->value, h->n_value, f->latent[h->value_latent].r,
                      MLS_PARAMETER_INSIDE);
    }
    p->key = place_map(p, f->key, f->G * D, E, MLS_PARAMETER_OF_INPUT);
    p->k_norm = place(p, f->k_norm.w, D, 1, MLS_PARAMETER_NORM);
}

static void place_queries_and_output(mls_parameters *p, const mls_latent_form *f)
{
    size_t rows = 0, columns = 0;

    for (size_t h = 0; h < f->H; h++) {
        rows += mls_latent_query_dims(f, h);
        columns += f->head[h / (f->H / f->G)].n_value;
    }
    if (f->q_rank) {
        p->q_down = place_map(p, f->q_down, f->q_rank, f->E, MLS_PARAMETER_OF_INPUT);
        p->q_down_norm = place(p, f->q_down_norm.w, f->q_rank, 1, MLS_PARAMETER_NORM);
    }
    p->query = place_map(p, f->query, rows, f->q_rank ? f->q_rank : f->E,
                         f->q_rank ? MLS_PARAMETER_INSIDE : MLS_PARAMETER_OF_INPUT);
    p->q_norm = place(p, f->q_norm.w, f->D, 1, MLS_PARAMETER_NORM);
    p->output = place_map(p, f->output, f->E, columns, MLS_PARAMETER_OUTPUT);
}

mls_status mls_parameters_of(mls_parameters *p, const mls_latent_form *f, mls_err *err)
{
    *p = (mls_parameters){0};
    p->array = mls_calloc3(arrays_max(f), 1, 1, sizeof *p->array);
    p->latent = mls_calloc3(f->n_latents, 1, 1, sizeof *p->latent);
    p->rope_key = mls_calloc3(f->n_rope_keys, 1, 1, sizeof *p->rope_key);
    p->head = mls_calloc3(f->G, 1, 1, sizeof *p->head);
    if (!p->array || !p->latent || !p->rope_key || !p->head) {
        mls_parameters_free(p);
        return mls_fail(err, MLS_E_NOMEM, "no memory for the parameters of layer %zu",
                        f->layer);
    }
    if (f->share_layer < 0)
        place_cache(p, f);
    place_queries_and_output(p, f);
    return MLS_OK;
}

void mls_parameters_gather(const mls_parameters *p, mls_real *theta)
{
    for (size_t i = 0; i < p->n_arrays; i++) {
        const mls_parameter_array *a = &p->array[i];

        for (size_t j = 0; j < a->rows * a->cols; j++)
            theta[a->first + j] = (mls_real)a->at[j];
    }
}

void mls_parameters_scatter(const mls_parameters *p, const mls_real *theta)
{
    for (size_t i = 0; i < p->n_arrays; i++) {
        const mls_parameter_array *a = &p->array[i];

        for (size_t j = 0; j < a->rows * a->cols; j++)
            a->at[j] = (float)theta[a->first + j];
    }
}
