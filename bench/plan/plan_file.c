/* plan.json: written whole, read back with every member checked. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/plan/plan.h"
#include "common/base/checked.h"
#include "common/system/files.h"
#include "common/system/hash.h"
#include "datasets/base/json.h"
#include "datasets/base/json_members.h"

enum { VERSION = 1, FILE_MAX = 64 << 20, MEASURED_MAX = 1000, TEXT = 2048 };

static const char kind[] = "mlascope plan";

void mls_plan_free(mls_plan *p)
{
    for (size_t l = 0; p->layer && l < p->L; l++)
        free(p->layer[l].head);
    mls_free_all(p->layer, p->measured, p->refused.row);
    *p = (mls_plan){0};
}

mls_status mls_plan_scheme(mls_scheme *s, const mls_plan *p, const char *name,
                           mls_err *err)
{
    mls_setting *setting = mls_calloc3(p->L, 1, 1, sizeof *setting);
    mls_status st;

    *s = (mls_scheme){0};
    if (!setting)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the settings of %zu layers",
                        p->L);
    for (size_t l = 0; l < p->L; l++)
        setting[l] = p->layer[l].setting;
    st = mls_scheme_per_layer(s, name, setting, p->L, err);
    free(setting);
    return st;
}

/* --- Writing --- */

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *count(size_t n)
{
    return json_integer((json_int_t)n);
}

/* `n` is stolen. */
static int put(json_t *o, const char *key, json_t *n)
{
    return json_object_set_new(o, key, n);
}

static json_t *heads_of(const mls_plan_layer *layer)
{
    json_t *all = json_array();

    for (size_t g = 0; g < layer->G; g++) {
        json_t *one = json_object();

        put(one, "chunks", count(layer->head[g].chunks));
        put(one, "key_rank", count(layer->head[g].key_rank));
        put(one, "value_rank", count(layer->head[g].value_rank));
        json_array_append_new(all, one);
    }
    return all;
}

static int put_layers(json_t *o, const mls_plan *p)
{
    json_t *all = json_array();
    char text[TEXT];
    int bad = 0;

    for (size_t l = 0; l < p->L; l++) {
        const mls_plan_layer *layer = &p->layer[l];
        json_t *one = json_object();

        bad |= put(one, "layer", count(l));
        bad |= put(one, "setting",
                   json_string(mls_setting_text(&layer->setting, text, sizeof text)));
        bad |= put(one, "bytes_per_token", number(layer->bytes));
        bad |= put(one, "growing_bytes_per_token", number(layer->growing));
        bad |= put(one, "fixed_bytes", number(layer->fixed));
        bad |= put(one, "predicted_kl", number(layer->loss));
        if (layer->head)
            bad |= put(one, "heads", heads_of(layer));
        bad |= json_array_append_new(all, one);
    }
    return bad | put(o, "layers", all);
}

static int put_measured(json_t *o, const mls_plan *p)
{
    json_t *all = json_array();
    int bad = 0;

    for (size_t i = 0; i < p->n_measured; i++) {
        const mls_plan_quality *q = &p->measured[i];
        json_t *one = json_object();

        bad |= put(one, "setting", json_string(q->name));
        bad |= put(one, "served_by", json_string(mls_serve_name(q->serve)));
        bad |= put(one, "bytes_per_token", number(q->bytes));
        bad |= put(one, "growing_bytes_per_token", number(q->growing));
        bad |= put(one, "fixed_bytes", number(q->fixed));
        bad |= put(one, "kept", number(q->kept));
        bad |= put(one, "predicted_kl", number(q->predicted));
        bad |= put(one, "kl", number(q->kl.mean));
        bad |= put(one, "kl_half", number(q->kl.half));
        bad |= put(one, "nll", number(q->nll.mean));
        bad |= put(one, "nll_half", number(q->nll.half));
        bad |= put(one, "top1", number(q->top1));
        bad |= put(one, "kl_above_plan", number(q->difference.mean));
        bad |= put(one, "kl_above_plan_half", number(q->difference.half));
        bad |= put(one, "plan_reduces_kl_by", number(q->reduction));
        bad |= json_array_append_new(all, one);
    }
    return bad | put(o, "measured", all);
}

static int put_refused(json_t *o, const mls_plan_refused *list)
{
    json_t *all = json_array();
    int bad = 0;

    for (size_t i = 0; i < list->n; i++) {
        json_t *one = json_object();

        bad |= put(one, "setting", json_string(list->row[i].name));
        bad |= put(one, "reason", json_string(list->row[i].why));
        bad |= json_array_append_new(all, one);
    }
    return bad | put(o, "refused", all);
}

/* SHA-256 of the members, sorted and without space, so that layout does not count. */
static mls_status hash_of(const json_t *o, char hex[MLS_SHA256_HEX], mls_err *err)
{
    char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    mls_sha256 *h = NULL;
    mls_status st = text ? mls_sha256_new(&h, err)
                         : mls_fail(err, MLS_E_NOMEM, "no memory to hash a plan");

    if (!st) {
        mls_sha256_add(h, text, strlen(text));
        mls_sha256_hex(h, hex);
    }
    mls_sha256_free(h);
    free(text);
    return st;
}

mls_status mls_plan_write(const mls_plan *p, const char *path, const char *command,
                          mls_err *err)
{
    json_t *o = json_object();
    int bad = put(o, "format", json_string(kind));
    char *text = NULL, hex[MLS_SHA256_HEX];
    mls_status st = MLS_OK;

    bad |= put(o, "version", count(VERSION));
    bad |= put(o, "program", json_string("mlascope " MLS_VERSION));
    bad |= put(o, "command", json_string(command));
    bad |= put(o, "model_sha256", json_string(p->model_sha256));
    bad |= put(o, "text_sha256", json_string(p->text_sha256));
    if (p->capture_sha256[0])
        bad |= put(o, "capture_sha256", json_string(p->capture_sha256));
    if (p->doubt[0])
        bad |= put(o, "bytes_are_at_most", json_string(p->doubt));
    bad |= put(o, "window_tokens", count(p->length));
    bad |= put(o, "search_windows", count(p->search_windows));
    bad |= put(o, "verify_windows", count(p->verify_windows));
    bad |= put(o, "context_tokens", count(p->tokens));
    bad |= put(o, "budget_bytes_per_token", number(p->budget));
    bad |= put(o, "price_nat_per_byte", number(p->price));
    bad |= put(o, "scale", number(p->scale));
    bad |= put(o, "bound_kl", number(p->bound));
    bad |= put_layers(o, p);
    bad |= put_measured(o, p);
    if (p->refused.n)
        bad |= put_refused(o, &p->refused);
    if (!bad)
        bad |= hash_of(o, hex, err) || put(o, "sha256", json_string(hex));
    if (!bad)
        text = json_dumps(o, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    if (!text)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to write %s", path);
    json_decref(o);
    if (!st) {
        const size_t len = strlen(text);

        text[len] = '\n'; /* in place of the NUL, which is not written */
        st = mls_file_write(path, text, len + 1, err);
    }
    free(text);
    return st;
}

/* --- Reading --- */

static mls_status get_size(const json_t *o, const char *where, const char *key,
                           int64_t max, size_t *out, mls_err *err)
{
    int64_t value;
    const mls_status st = mls_json_count(o, where, key, max, &value, err);

    if (!st)
        *out = (size_t)value;
    return st;
}

/* A number that is at least `min`, or null: NaN. */
static mls_status get_real(const json_t *o, const char *where, const char *key,
                           double min, double *out, mls_err *err)
{
    const json_t *value = json_object_get(o, key);
    char show[MLS_JSON_SHOW];

    *out = NAN;
    if (json_is_null(value))
        return MLS_OK;
    if (!json_is_number(value) || !(json_number_value(value) >= min))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: %s is %s, expected a number of at least %g", where, key,
                        value ? mls_json_show(show, value) : "missing", min);
    *out = json_number_value(value);
    return MLS_OK;
}

/* What a token adds and what does not grow; plans of before do not say it. */
static mls_status get_growth(const json_t *o, const char *where, double *growing,
                             double *fixed, mls_err *err)
{
    mls_status st = MLS_OK;

    *growing = *fixed = NAN;
    if (json_object_get(o, "growing_bytes_per_token"))
        st = get_real(o, where, "growing_bytes_per_token", 0, growing, err);
    if (!st && json_object_get(o, "fixed_bytes"))
        st = get_real(o, where, "fixed_bytes", 0, fixed, err);
    return st;
}

static mls_status get_text(const json_t *o, const char *where, const char *key,
                           char *out, size_t size, mls_err *err)
{
    mls_text text;
    const mls_status st = mls_json_text(o, where, key, &text, err);

    if (st)
        return st;
    if (text.len >= size || memchr(text.data, '\0', text.len))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: %s has %zu characters, expected at most %zu", where, key,
                        text.len, size - 1);
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return MLS_OK;
}

static mls_status get_hash(const json_t *o, const char *where, const char *key,
                           char out[65], mls_err *err)
{
    const mls_status st = get_text(o, where, key, out, 65, err);

    if (!st && (strlen(out) != 64 || strspn(out, "0123456789abcdef") != 64))
        return mls_fail(err, MLS_E_INPUT, "%s: %s is \"%s\", expected 64 hex digits",
                        where, key, out);
    return st;
}

static mls_status read_layers(mls_plan *p, const json_t *o, const char *path,
                              mls_err *err)
{
    const json_t *all;
    char where[64], text[TEXT];
    mls_status st = mls_json_array(o, path, "layers", &all, err);

    if (st)
        return st;
    p->L = json_array_size(all);
    if (p->L < 1 || p->L > MLS_LAYERS_MAX)
        return mls_fail(err, MLS_E_INPUT, "%s: %zu layers, expected 1 to %d", path,
                        p->L, (int)MLS_LAYERS_MAX);
    p->layer = mls_calloc3(p->L, 1, 1, sizeof *p->layer);
    if (!p->layer)
        return mls_fail(err, MLS_E_NOMEM, "%s: no memory for %zu layers", path, p->L);
    for (size_t l = 0; !st && l < p->L; l++) {
        const json_t *one = json_array_get(all, l);
        mls_plan_layer *layer = &p->layer[l];
        size_t index = 0;

        snprintf(where, sizeof where, "layers[%zu]", l);
        if (!json_is_object(one))
            st = mls_fail(err, MLS_E_INPUT, "%s is %s, expected an object", where,
                          mls_json_kind(one));
        if (!st)
            st = get_size(one, where, "layer", MLS_LAYERS_MAX, &index, err);
        if (!st && index != l)
            st = mls_fail(err, MLS_E_INPUT, "%s: layer is %zu, expected %zu", where,
                          index, l);
        if (!st)
            st = get_text(one, where, "setting", text, sizeof text, err);
        if (!st && (st = mls_setting_parse(&layer->setting, text, err)))
            st = mls_fail_in(err, MLS_E_INPUT, "%s", where);
        if (!st)
            st = get_real(one, where, "bytes_per_token", 0, &layer->bytes, err);
        if (!st)
            st = get_growth(one, where, &layer->growing, &layer->fixed, err);
        if (!st)
            st = get_real(one, where, "predicted_kl", -1, &layer->loss, err);
        if (st)
            mls_fail_in(err, st, "%s", path);
    }
    return st;
}

static mls_status read_measured(mls_plan *p, const json_t *o, const char *path,
                                mls_err *err)
{
    const json_t *all;
    char where[64];
    mls_status st = mls_json_array(o, path, "measured", &all, err);

    if (st)
        return st;
    p->n_measured = json_array_size(all);
    if (p->n_measured > MEASURED_MAX)
        return mls_fail(err, MLS_E_INPUT, "%s: %zu measured settings, at most %d", path,
                        p->n_measured, MEASURED_MAX);
    p->measured = mls_calloc3(p->n_measured, 1, 1, sizeof *p->measured);
    if (!p->measured)
        return mls_fail(err, MLS_E_NOMEM, "%s: no memory for what was measured", path);
    for (size_t i = 0; i < p->n_measured; i++) {
        const json_t *one = json_array_get(all, i);
        mls_plan_quality *q = &p->measured[i];
        const char *serve = json_string_value(json_object_get(one, "served_by"));

        /* Plans of before do not say it: what nobody vouches for nobody serves. */
        if (!serve || mls_serve_parse(&q->serve, serve, NULL))
            q->serve = MLS_SERVE_OWN_KERNEL;
        snprintf(where, sizeof where, "measured[%zu]", i);
        if ((st = get_text(one, where, "setting", q->name, sizeof q->name, err)) ||
            (st = get_real(one, where, "bytes_per_token", 0, &q->bytes, err)) ||
            (st = get_growth(one, where, &q->growing, &q->fixed, err)) ||
            (st = get_real(one, where, "kept", 0, &q->kept, err)) ||
            (st = get_real(one, where, "predicted_kl", -1, &q->predicted, err)) ||
            (st = get_real(one, where, "kl", -1, &q->kl.mean, err)) ||
            (st = get_real(one, where, "kl_half", 0, &q->kl.half, err)) ||
            (st = get_real(one, where, "nll", 0, &q->nll.mean, err)) ||
            (st = get_real(one, where, "nll_half", 0, &q->nll.half, err)) ||
            (st = get_real(one, where, "top1", 0, &q->top1, err)) ||
            (st = get_real(one, where, "kl_above_plan", -INFINITY, &q->difference.mean,
                           err)) ||
            (st = get_real(one, where, "kl_above_plan_half", 0, &q->difference.half,
                           err)) ||
            (st = get_real(one, where, "plan_reduces_kl_by", -INFINITY, &q->reduction,
                           err)))
            return mls_fail_in(err, st, "%s", path);
    }
    return MLS_OK;
}

static mls_status read_plan(mls_plan *p, const json_t *o, const char *path,
                            mls_err *err)
{
    char format[32];
    size_t version = 0;
    mls_status st;

    if ((st = get_text(o, path, "format", format, sizeof format, err)))
        return st;
    if (strcmp(format, kind) != 0)
        return mls_fail(err, MLS_E_INPUT, "%s: format is \"%s\", expected \"%s\"", path,
                        format, kind);
    if ((st = get_size(o, path, "version", INT64_MAX, &version, err)))
        return st;
    if (version != VERSION)
        return mls_fail(err, MLS_E_INPUT, "%s: version %zu, this program reads %d",
                        path, version, VERSION);
    if ((st = get_hash(o, path, "model_sha256", p->model_sha256, err)) ||
        (st = get_hash(o, path, "text_sha256", p->text_sha256, err)) ||
        (json_object_get(o, "capture_sha256") &&
         (st = get_hash(o, path, "capture_sha256", p->capture_sha256, err))) ||
        (st = get_size(o, path, "window_tokens", 1 << 30, &p->length, err)) ||
        (st = get_size(o, path, "search_windows", 1 << 30, &p->search_windows, err)) ||
        (st = get_size(o, path, "verify_windows", 1 << 30, &p->verify_windows, err)) ||
        (st = get_size(o, path, "context_tokens", 1 << 30, &p->tokens, err)) ||
        (st = get_real(o, path, "budget_bytes_per_token", 0, &p->budget, err)) ||
        (st = get_real(o, path, "price_nat_per_byte", 0, &p->price, err)) ||
        (st = get_real(o, path, "scale", 0, &p->scale, err)) ||
        (st = get_real(o, path, "bound_kl", -1, &p->bound, err)) ||
        (st = read_layers(p, o, path, err)))
        return st;
    return read_measured(p, o, path, err);
}

mls_status mls_plan_read(mls_plan *out, const char *path, mls_err *err)
{
    json_t *o = NULL;
    mls_status st;

    *out = (mls_plan){0};
    st = mls_json_read(&o, path, FILE_MAX, NULL, err);
    if (!st)
        st = read_plan(out, o, path, err);
    json_decref(o);
    if (st)
        mls_plan_free(out);
    return st;
}

mls_status mls_plan_check(const mls_plan *p, const char *path, const mls_config *config,
                          const char *model_sha256, mls_err *err)
{
    mls_cache_layout *layout;
    mls_status st = MLS_OK;

    if (strcmp(p->model_sha256, model_sha256) != 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: the plan was made for the model with SHA-256 %s, this one "
                        "has %s",
                        path, p->model_sha256, model_sha256);
    if (p->L != config->L)
        return mls_fail(err, MLS_E_INPUT, "%s: %zu layers, the model has %zu", path,
                        p->L, config->L);
    layout = calloc(1, sizeof *layout);
    if (!layout)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a cache layout");
    for (size_t l = 0; !st && l < p->L; l++)
        if ((st = mls_method_layout(layout, config, &p->layer[l].setting, err)))
            st = mls_fail_in(err, MLS_E_INPUT, "%s: layer %zu", path, l);
    free(layout);
    return st;
}

mls_status mls_plan_verify(const char *path, mls_err *err)
{
    json_t *o = NULL;
    mls_plan plan;
    char want[65], hex[MLS_SHA256_HEX];
    mls_status st = mls_plan_read(&plan, path, err);

    mls_plan_free(&plan);
    if (!st)
        st = mls_json_read(&o, path, FILE_MAX, NULL, err);
    if (!st && !json_object_get(o, "sha256"))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: has no sha256, as mlascope 0.1.0 wrote plans: it is read, "
                      "and cannot be verified; make it again",
                      path);
    if (!st)
        st = get_hash(o, path, "sha256", want, err);
    if (!st) {
        json_object_del(o, "sha256");
        st = hash_of(o, hex, err);
    }
    if (!st && strcmp(want, hex) != 0)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: was changed since it was written: SHA-256 of its members is "
                      "%.12s, expected %.12s",
                      path, hex, want);
    json_decref(o);
    return st;
}

mls_status mls_plan_check_capture(const mls_plan *p, const char *path,
                                  const char *capture, mls_err *err)
{
    char hex[MLS_SHA256_HEX];

    if (!capture || !p->capture_sha256[0])
        return MLS_OK;
    const mls_status st = mls_sha256_file(capture, hex, err);
    if (st || strcmp(hex, p->capture_sha256) == 0)
        return st;
    return mls_fail(err, MLS_E_INPUT,
                    "%s: the plan was made with the capture with SHA-256 %.12s, %s has "
                    "%.12s",
                    path, p->capture_sha256, capture, hex);
}
