/*
 * One layer's form as a safetensors file. Which arrays there are follows from the
 * form's shape (mls_latent_arrays()); the reader first makes the largest shape that
 * the JSON allows, drops what the file has not, and only then takes memory, so that
 * a hostile size is refused by the file's own length.
 */
#include "analysis/latent/latent_file.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/base/shape.h"
#include "datasets/base/json.h"
#include "datasets/files/safetensors.h"

static const char format_name[] = "mlascope-latent";
static const char *const rotations[] = {"never", "after-read", "before"};
static const char *const sources[] = {"x", "rotated-key"};

/* --- Writing --- */

static json_t *heads_of(const mls_latent_form *f)
{
    json_t *list = json_array();
    int bad = !list;

    for (size_t g = 0; g < f->G; g++) {
        const mls_read_head *h = &f->head[g];

        bad |= json_array_append_new(
            list,
            json_pack("{s:i,s:I,s:s,s:i,s:i,s:I}", "key_latent", h->key_latent, "n_key",
                      (json_int_t)h->n_key, "rotation", rotations[h->rotation],
                      "rope_key", h->rope_key, "value_latent", h->value_latent,
                      "n_value", (json_int_t)h->n_value));
    }
    if (bad) { /* NULL fails the pack that takes it */
        json_decref(list);
        return NULL;
    }
    return list;
}

/* All of a form that is no array; NULL when memory is short. */
static char *form_text(const mls_latent_form *f)
{
    json_t *latents = json_array(), *keys = json_array(), *form;
    char quant[128], *text = NULL;
    int bad = 0; /* without memory a member is not there */

    for (size_t i = 0; i < f->n_latents; i++) {
        const mls_latent_vector *v = &f->latent[i];

        bad |= json_array_append_new(
            latents,
            json_pack("{s:I,s:s,s:I,s:b,s:b,s:s,s:I}", "r", (json_int_t)v->r, "source",
                      sources[v->source], "head", (json_int_t)v->head, "keys",
                      v->holds_keys, "values", v->holds_values, "quant",
                      mls_quant_name(&v->quant, quant, sizeof quant), "rms",
                      (json_int_t)(v->rms.cols ? v->rms.rows : 0)));
    }
    for (size_t i = 0; i < f->n_rope_keys; i++)
        bad |= json_array_append_new(
            keys,
            json_pack("{s:I,s:s}", "n", (json_int_t)f->rope_key[i].n, "quant",
                      mls_quant_name(&f->rope_key[i].quant, quant, sizeof quant)));
    form = json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:b,s:f,s:I,s:i,s:f,s:o,s:o,s:o}", "layer",
        (json_int_t)f->layer, "E", (json_int_t)f->E, "H", (json_int_t)f->H, "G",
        (json_int_t)f->G, "D", (json_int_t)f->D, "q_rank", (json_int_t)f->q_rank,
        "scale", f->scale, "score_cap", f->score_cap, "gate_soft", f->gate_soft,
        "norm_eps", f->norm_eps, "sliding_window", (json_int_t)f->sliding_window,
        "share_layer", f->share_layer, "token_budget", f->token_budget, "latents",
        latents, "rope_keys", keys, "heads", heads_of(f));
    if (form && !bad)
        text = json_dumps(form, JSON_COMPACT);
    json_decref(form);
    return text;
}

static mls_status write_array(mls_safetensors_writer *w, const mls_latent_array *x,
                              mls_err *err)
{
    const size_t n = x->rows * (x->cols ? x->cols : 1);

    return x->f32 ? mls_safetensors_write_f32(w, *x->f32, n, err)
                  : mls_safetensors_write_raw(w, *x->f64, n * sizeof **x->f64, err);
}

mls_status mls_latent_write(const mls_latent_form *f, const mls_latent_origin *origin,
                            const char *path, mls_err *err)
{
    mls_latent_form form = *f; /* arrays are only read through it */
    char *text = form_text(f), layers[24];
    mls_tensor_plan *plan = NULL;
    mls_safetensors_writer *w = NULL;
    mls_latent_array *a = NULL;
    size_t n = 0;
    mls_status st = mls_latent_arrays(&form, &a, &n, err);

    plan = mls_calloc3(n, 1, 1, sizeof *plan);
    if (!st && (!text || !plan))
        st = mls_fail(err, MLS_E_NOMEM, "no memory to write %s", path);
    if (st)
        goto done;
    for (size_t i = 0; i < n; i++)
        plan[i] = (mls_tensor_plan){a[i].name,
                                    a[i].f32 ? "F32" : "F64",
                                    a[i].cols ? 2 : 1,
                                    {a[i].rows, a[i].cols}};
    snprintf(layers, sizeof layers, "%zu", origin->L);
    const char *const metadata[][2] = {
        {"format", format_name},      {"version", "1"},
        {"setting", origin->setting}, {"model_sha256", origin->model_sha256},
        {"layers", layers},           {"form", text}};

    st = mls_safetensors_create(&w, path, plan, n, metadata,
                                sizeof metadata / sizeof metadata[0], err);
    for (size_t i = 0; i < n && !st; i++)
        st = write_array(w, &a[i], err);
    if (!st) {
        st = mls_safetensors_finish(w, err);
        w = NULL;
    }

done:
    mls_safetensors_abandon(w);
    mls_free_all(plan, a, text);
    return st;
}

/* --- Reading --- */

/* A file being read, and where its first complaint goes. */
typedef struct {
    const char *path;
    mls_err *err;
    mls_status st;
} reader;

static void complain(reader *r, const char *key, const char *what)
{
    if (!r->st)
        r->st = mls_fail(r->err, MLS_E_INPUT, "%s: form: %s is missing or no %s",
                         r->path, key, what);
}

/* Whole number min..max of an object. */
static json_int_t whole(reader *r, const json_t *o, const char *key, json_int_t min,
                        json_int_t max)
{
    const json_t *v = json_object_get(o, key);
    const json_int_t x = json_integer_value(v);

    if (json_is_integer(v) && x >= min && x <= max)
        return x;
    complain(r, key, "whole number in its range");
    return min;
}

static double real(reader *r, const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    if (!json_is_number(v))
        complain(r, key, "number");
    return json_number_value(v);
}

/* Index of a word; 0 and a complaint when it is none of them. */
static size_t word(reader *r, const json_t *o, const char *key,
                   const char *const *words, size_t n)
{
    const char *text = json_string_value(json_object_get(o, key));

    for (size_t i = 0; text && i < n; i++)
        if (strcmp(text, words[i]) == 0)
            return i;
    complain(r, key, "known word");
    return 0;
}

static bool truth(reader *r, const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    if (!json_is_boolean(v))
        complain(r, key, "true or false");
    return json_is_true(v);
}

static void quantizer(reader *r, const json_t *o, mls_quant *q)
{
    const char *text = json_string_value(json_object_get(o, "quant"));

    if (!text)
        complain(r, "quant", "text");
    else if (!r->st && mls_quant_parse(q, text, r->err))
        r->st =
            mls_fail_in(r->err, r->err ? r->err->status : MLS_E_INPUT, "%s", r->path);
}

/* An array of at most max objects, and room for as many values. */
static const json_t *list_of(reader *r, const json_t *o, const char *key, size_t max,
                             size_t *n, void **room, size_t size)
{
    const json_t *list = json_object_get(o, key);

    *n = 0;
    *room = NULL;
    if (!json_is_array(list) || json_array_size(list) > max) {
        complain(r, key, "list of possible length");
        return NULL;
    }
    *room = mls_calloc3(json_array_size(list), 1, 1, size);
    if (!*room && !r->st)
        r->st = mls_fail(r->err, MLS_E_NOMEM, "%s: no memory for its form", r->path);
    if (*room)
        *n = json_array_size(list);
    return list;
}

static void read_heads(reader *r, const json_t *o, mls_latent_form *f)
{
    size_t n = 0;
    void *room;
    const json_t *list =
        list_of(r, o, "heads", MLS_HEADS_MAX, &n, &room, sizeof *f->head);

    f->head = room;
    if (n != f->G) {
        complain(r, "heads", "list of G heads");
        return;
    }
    for (size_t g = 0; g < n; g++) {
        const json_t *h = json_array_get(list, g);

        f->head[g] = (mls_read_head){
            .key_latent = (int)whole(r, h, "key_latent", -1, (int)f->n_latents - 1),
            .n_key = (size_t)whole(r, h, "n_key", 0, MLS_WIDTH_MAX),
            .rotation = (mls_key_rotation)word(r, h, "rotation", rotations, 3),
            .rope_key = (int)whole(r, h, "rope_key", -1, (int)f->n_rope_keys - 1),
            .value_latent = (int)whole(r, h, "value_latent", 0, (int)f->n_latents - 1),
            .n_value = (size_t)whole(r, h, "n_value", 1, MLS_WIDTH_MAX)};
        if (r->st)
            return;
        if (f->head[g].key_latent >= 0)
            f->head[g].key = mls_affine_shape(f->head[g].n_key,
                                              f->latent[f->head[g].key_latent].r, true);
        f->head[g].value = mls_affine_shape(f->head[g].n_value,
                                            f->latent[f->head[g].value_latent].r, true);
    }
}

/* The largest shape that the JSON allows: maps may turn out to be absent. */
static void read_form(reader *r, const json_t *o, mls_latent_form *f)
{
    const json_t *list;
    void *room;

    f->layer = (size_t)whole(r, o, "layer", 0, MLS_LAYERS_MAX - 1);
    f->E = (size_t)whole(r, o, "E", 1, MLS_WIDTH_MAX);
    f->H = (size_t)whole(r, o, "H", 1, MLS_HEADS_MAX);
    f->G = (size_t)whole(r, o, "G", 1, MLS_HEADS_MAX);
    f->D = (size_t)whole(r, o, "D", 1, MLS_DIM_MAX);
    f->q_rank = (size_t)whole(r, o, "q_rank", 0, MLS_WIDTH_MAX);
    f->scale = real(r, o, "scale");
    f->norm_eps = real(r, o, "norm_eps");
    if (json_object_get(o, "score_cap")) /* older files have none */
        f->score_cap = real(r, o, "score_cap");
    f->sliding_window = (size_t)whole(r, o, "sliding_window", 0, INT32_MAX);
    f->share_layer = (int)whole(r, o, "share_layer", -1, MLS_LAYERS_MAX - 1);
    f->token_budget = real(r, o, "token_budget");
    if (!r->st && f->H % f->G)
        complain(r, "G", "divisor of H");

    list = list_of(r, o, "latents", MLS_WIDTH_MAX, &f->n_latents, &room,
                   sizeof *f->latent);
    f->latent = room;
    for (size_t i = 0; i < f->n_latents; i++) {
        const json_t *v = json_array_get(list, i);

        f->latent[i] = (mls_latent_vector){
            .r = (size_t)whole(r, v, "r", 1, MLS_WIDTH_MAX),
            .source = (mls_latent_source)word(r, v, "source", sources, 2),
            .head = (size_t)whole(r, v, "head", 0, MLS_HEADS_MAX - 1),
            .holds_keys = truth(r, v, "keys"),
            .holds_values = truth(r, v, "values")};
        quantizer(r, v, &f->latent[i].quant);
        f->latent[i].down = mls_affine_shape(
            f->latent[i].r, f->latent[i].source == MLS_LATENT_OF_X ? f->E : f->D, true);
        f->latent[i].norm.n = f->latent[i].r;
        if (json_object_get(v, "rms")) /* older files have none */
            f->latent[i].rms.rows = (size_t)whole(r, v, "rms", 0, MLS_WIDTH_MAX);
        if (f->latent[i].rms.rows)
            f->latent[i].rms = mls_affine_shape(f->latent[i].rms.rows, f->E, false);
        if (f->latent[i].source != MLS_LATENT_OF_X)
            f->key = mls_affine_shape(f->G * f->D, f->E, true);
    }
    list = list_of(r, o, "rope_keys", MLS_HEADS_MAX, &f->n_rope_keys, &room,
                   sizeof *f->rope_key);
    f->rope_key = room;
    for (size_t i = 0; i < f->n_rope_keys; i++) {
        const json_t *k = json_array_get(list, i);

        f->rope_key[i].n = (size_t)whole(r, k, "n", 2, MLS_DIM_MAX);
        if (f->rope_key[i].n % 2)
            complain(r, "n", "even number");
        quantizer(r, k, &f->rope_key[i].quant);
        f->rope_key[i].map = mls_affine_shape(f->rope_key[i].n, f->E, true);
    }
    read_heads(r, o, f);
    if (f->q_rank)
        f->q_down = mls_affine_shape(f->q_rank, f->E, true);
    f->q_down_norm.n = f->q_rank;
    f->q_norm.n = f->k_norm.n = f->D;
    f->sinks.n = f->H;
    f->gate = mls_affine_shape(f->H * f->D, f->E, true);
    if (json_object_get(o, "gate_soft")) /* older files have none */
        f->gate_soft = truth(r, o, "gate_soft");
    f->q_own = mls_affine_shape(f->H * f->D, f->E, true);
    f->k_own = mls_affine_shape(f->G * f->D, f->E, true);
    f->query.biased = f->output.biased = f->turns = true;
}

static bool same_shape(const mls_tensor_info *t, const mls_latent_array *x)
{
    return t->n_dims == (x->cols ? 2U : 1U) && t->shape[0] == x->rows &&
           (!x->cols || t->shape[1] == x->cols) &&
           strcmp(t->dtype, x->f32 ? "F32" : "F64") == 0;
}

/* The array must be there in its shape, or the form does without. */
static mls_status expect_array(const mls_safetensors *file, mls_latent_array *x,
                               const char *path, size_t *found, mls_err *err)
{
    const mls_tensor_info *t = mls_safetensors_find(file, x->name);

    if (!t && x->needed)
        return mls_fail(err, MLS_E_INPUT, "%s: tensor %s is missing", path, x->name);
    if (!t) {
        if (x->absent)
            *x->absent = 0;
        else
            *x->unbiased = false;
        return MLS_OK;
    }
    if (!same_shape(t, x))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: tensor %s is %s of %llu x %llu, expected %s of %zu x %zu",
                        path, x->name, t->dtype, (unsigned long long)t->shape[0],
                        (unsigned long long)(t->n_dims > 1 ? t->shape[1] : 1),
                        x->f32 ? "F32" : "F64", x->rows, x->cols ? x->cols : 1);
    ++*found;
    return MLS_OK;
}

static mls_status read_array(const mls_safetensors *file, const mls_latent_array *x,
                             const char *path, mls_err *err)
{
    const mls_tensor_info *t = mls_safetensors_find(file, x->name);
    const size_t n = x->rows * (x->cols ? x->cols : 1);
    mls_status st = x->f32 ? mls_safetensors_read_f32(file, t, 0, n, *x->f32, err)
                           : mls_safetensors_read_raw(file, t, 0, n * sizeof **x->f64,
                                                      *x->f64, err);

    for (size_t i = 0; i < n && !st; i++)
        if (!isfinite(x->f32 ? (double)(*x->f32)[i] : (*x->f64)[i]))
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: tensor %s holds a number that is not finite", path,
                          x->name);
    return st;
}

static mls_status read_origin(mls_latent_origin *o, const mls_safetensors *file,
                              const char *path, mls_err *err)
{
    const char *format = mls_safetensors_metadata(file, "format");
    const char *version = mls_safetensors_metadata(file, "version");
    const char *setting = mls_safetensors_metadata(file, "setting");
    const char *sha256 = mls_safetensors_metadata(file, "model_sha256");
    const char *layers = mls_safetensors_metadata(file, "layers");

    if (!format || strcmp(format, format_name) != 0)
        return mls_fail(err, MLS_E_INPUT, "%s: not a file of a latent form", path);
    if (!version || strcmp(version, "1") != 0)
        return mls_fail(err, MLS_E_INPUT, "%s: version %.20s, known is 1", path,
                        version ? version : "none");
    if (!setting || !sha256 || strlen(sha256) != 64 || !layers || !*layers ||
        strspn(layers, "0123456789") != strlen(layers) || strlen(layers) > 6)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: __metadata__ does not say setting, model_sha256 and "
                        "layers",
                        path);
    snprintf(o->setting, sizeof o->setting, "%s", setting);
    snprintf(o->model_sha256, sizeof o->model_sha256, "%s", sha256);
    o->L = (size_t)strtoul(layers, NULL, 10);
    return MLS_OK;
}

static mls_status read_all(mls_latent_form *f, const mls_safetensors *file,
                           const char *path, mls_err *err)
{
    const char *text = mls_safetensors_metadata(file, "form");
    reader r = {.path = path, .err = err};
    json_t *o = NULL;
    mls_latent_array *a = NULL;
    size_t found = 0, n = 0;

    if (!text)
        return mls_fail(err, MLS_E_INPUT, "%s: __metadata__ has no form", path);
    r.st = mls_json_object(&o, text, strlen(text), path, NULL, err);
    if (!r.st)
        read_form(&r, o, f);
    json_decref(o);
    if (r.st || (r.st = mls_latent_arrays(f, &a, &n, err)))
        return r.st;
    for (size_t i = 0; i < n && !r.st; i++)
        r.st = expect_array(file, &a[i], path, &found, err);
    free(a);
    a = NULL;
    if (!r.st && found != mls_safetensors_count(file))
        r.st = mls_fail(err, MLS_E_INPUT, "%s: %zu tensors, %zu of them known", path,
                        mls_safetensors_count(file), found);
    if (!r.st && !(r.st = mls_latent_allocate(f, err)))
        r.st = mls_latent_arrays(f, &a, &n, err);
    for (size_t i = 0; i < n && !r.st; i++)
        r.st = read_array(file, &a[i], path, err);
    free(a);
    if (!r.st && (r.st = mls_latent_check(f, err)))
        mls_fail_in(err, r.st, "%s", path);
    return r.st;
}

mls_status mls_latent_read(mls_latent_form *f, mls_latent_origin *origin,
                           const char *path, mls_err *err)
{
    mls_safetensors *file = NULL;
    mls_status st = mls_safetensors_open(&file, path, err);

    *f = (mls_latent_form){0};
    *origin = (mls_latent_origin){0};
    if (!st)
        st = read_origin(origin, file, path, err);
    if (!st)
        st = read_all(f, file, path, err);
    if (st)
        mls_latent_free(f);
    mls_safetensors_close(file);
    return st;
}
