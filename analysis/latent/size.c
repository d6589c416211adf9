/*
 * A layer's bytes are sums over its parts of vectors times mls_quant_bits(), which
 * knows the window, sinks and metadata of a format; layers that cost the same are
 * counted once. What a token adds in the long run is not bytes / T, because windows and
 * states do not grow: it is the difference between 65536 tokens and twice as many. The
 * trap: bytes are not monotone in the length, since a full window is quantized at once
 * and shrinks. A context fits when all shorter ones do, so context_fits() looks back
 * over a whole step of that staircase before bisection may trust it.
 */
#include "analysis/latent/size.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "datasets/checkpoint/tensors.h"

static bool same_quant(const mls_quant *a, const mls_quant *b)
{
    return a->format == b->format && a->bits == b->bits && a->group == b->group &&
           a->window == b->window && a->sinks == b->sinks && a->rotate == b->rotate &&
           a->seed == b->seed;
}

mls_status mls_cache_add(mls_cache_layer *layer, mls_part_kind kind, size_t n,
                         size_t count, bool shared, const mls_quant *quant,
                         mls_err *err)
{
    if (n == 0 || count == 0)
        return MLS_OK;
    for (size_t i = 0; i < layer->n_parts; i++) {
        mls_cache_part *p = &layer->part[i];

        if (p->kind == kind && p->n == n && p->shared == shared &&
            same_quant(&p->quant, quant)) {
            p->count += count;
            return MLS_OK;
        }
    }
    if (layer->n_parts == MLS_PARTS_MAX)
        return mls_fail(err, MLS_E_INPUT,
                        "a layer caches more than %d kinds of vectors", MLS_PARTS_MAX);
    layer->part[layer->n_parts++] = (mls_cache_part){
        .kind = kind, .n = n, .count = count, .shared = shared, .quant = *quant};
    return MLS_OK;
}

size_t mls_cache_elements(const mls_cache_layer *layer)
{
    size_t n = 0;

    if (layer->shares_other)
        return 0;
    for (size_t i = 0; i < layer->n_parts; i++)
        n += layer->part[i].n * layer->part[i].count;
    if (layer->index.n)
        n += layer->index.n / layer->index.ratio;
    if (layer->compressed.n)
        n += layer->compressed.n / layer->compressed.ratio;
    return n;
}

static mls_layer_extra several(mls_layer_extra one, size_t copies)
{
    const uint32_t n = (uint32_t)copies;

    return (mls_layer_extra){one.n * n, one.ratio, one.pending * n, one.kept * n};
}

static mls_cache_layer own_cache(const mls_layer_shape *shape)
{
    const size_t copies = shape->copies;
    mls_cache_layer layer = {.window = shape->window ? shape->window : shape->chunk,
                             .shares_other = shape->reads_other,
                             .index = several(shape->index, copies),
                             .compressed = several(shape->compressed, copies),
                             .conv_numbers = shape->conv_numbers * copies,
                             .state_numbers = shape->state_numbers * copies,
                             .token_budget = 1};

    if (shape->kind == MLS_LAYER_MLA) {
        layer.part[0] = (mls_cache_part){.kind = MLS_PART_ROPE_KEY,
                                         .n = shape->rope_dims,
                                         .count = copies,
                                         .shared = true};
        layer.part[1] = (mls_cache_part){.kind = MLS_PART_LATENT,
                                         .n = shape->latent,
                                         .count = copies,
                                         .shared = true};
        layer.n_parts = 2;
    } else if (shape->kind == MLS_LAYER_ATTENTION) {
        layer.part[0] = (mls_cache_part){
            .kind = MLS_PART_KEY, .n = shape->K, .count = shape->G * copies};
        layer.part[1] = (mls_cache_part){
            .kind = MLS_PART_VALUE, .n = shape->V, .count = shape->G * copies};
        layer.n_parts = shape->V ? 2 : 1; /* the value may be the key */
    }
    return layer;
}

mls_cache_layer mls_size_layer(const mls_config *config, size_t l)
{
    return own_cache(&config->layer[l]);
}

void mls_size_baseline(mls_cache_layout *layout, const mls_config *config)
{
    layout->L = config->L;
    for (size_t l = 0; l < config->L; l++)
        layout->layer[l] = mls_size_layer(config, l);
}

/* --- Layers that cost the same are counted once --- */

typedef struct {
    size_t n;
    const mls_cache_layer *layer[MLS_LAYERS_MAX];
    double times[MLS_LAYERS_MAX];
} distinct_layers;

static bool same_extra(const mls_layer_extra *a, const mls_layer_extra *b)
{
    return a->n == b->n && a->ratio == b->ratio && a->pending == b->pending &&
           a->kept == b->kept;
}

static bool same_layer(const mls_cache_layer *a, const mls_cache_layer *b)
{
    if (a->n_parts != b->n_parts || a->window != b->window ||
        a->shares_other != b->shares_other || a->token_budget != b->token_budget ||
        a->conv_numbers != b->conv_numbers || a->state_numbers != b->state_numbers ||
        !same_extra(&a->index, &b->index) ||
        !same_extra(&a->compressed, &b->compressed))
        return false;
    for (size_t i = 0; i < a->n_parts; i++) {
        const mls_cache_part *p = &a->part[i], *q = &b->part[i];

        if (p->kind != q->kind || p->n != q->n || p->count != q->count ||
            p->shared != q->shared || !same_quant(&p->quant, &q->quant))
            return false;
    }
    return true;
}

static void find_distinct(distinct_layers *d, const mls_cache_layout *layout)
{
    d->n = 0;
    for (size_t l = 0; l < layout->L; l++) {
        size_t i = 0;

        while (i < d->n && !same_layer(d->layer[i], &layout->layer[l]))
            i++;
        if (i == d->n) {
            d->layer[d->n] = &layout->layer[l];
            d->times[d->n++] = 0;
        }
        d->times[i] += 1;
    }
}

/* --- Bits --- */

static bool is_key(mls_part_kind kind)
{
    return kind == MLS_PART_KEY || kind == MLS_PART_KEY_LATENT ||
           kind == MLS_PART_ROPE_KEY;
}

/* Bits of one vector over T tokens; what is not quantized has dtype_bits. */
static mls_quant_cost part_bits(const mls_cache_part *p, size_t T, size_t dtype_bits)
{
    const double scale = (double)dtype_bits / 16;
    mls_quant_cost cost;

    if (T == 0)
        return (mls_quant_cost){0};
    cost = mls_quant_bits(&p->quant, is_key(p->kind), p->n, T);
    cost.window *= scale;
    if (!p->quant.format)
        cost.payload *= scale;
    return cost;
}

/* Tokens that a budget keeps of T: the first few and the newest in any case. */
static size_t kept(double budget, size_t T)
{
    const size_t n = (size_t)ceil((double)T * budget), least = MLS_BUDGET_SINKS + 1;

    return n >= least ? n : T < least ? T : least;
}

/* Tokens of a context of T that the layer holds. */
static size_t held(const mls_cache_layer *layer, size_t T)
{
    if (layer->shares_other)
        return 0;
    if (layer->window && layer->window < T)
        T = layer->window;
    if (layer->token_budget < 1)
        T = kept(layer->token_budget, T);
    return T;
}

/* Whole pages; SIZE_MAX tokens are never asked for, so this cannot overflow. */
static size_t whole_pages(size_t T, size_t block)
{
    return (T + block - 1) / block * block;
}

static double total(const mls_quant_cost *cost)
{
    return cost->payload + cost->metadata + cost->window;
}

/* Bytes beside the parts after T tokens: what an indexer and blocks of tokens keep. */
static double other_bytes(const mls_cache_layer *layer, size_t T,
                          const mls_size_request *r)
{
    if (layer->shares_other)
        return 0;
    return (double)r->dtype_bits / 8 *
           (mls_layer_extra_numbers(&layer->index, T) +
            mls_layer_extra_numbers(&layer->compressed, T));
}

/* Bytes of states; a layer that reads another's keys may have one of its own. */
static double state_bytes(const mls_cache_layer *layer, const mls_size_request *r)
{
    return (double)r->dtype_bits / 8 *
           ((double)layer->conv_numbers + (double)layer->state_numbers);
}

/* One GPU's share: bytes of one sequence of T tokens, and of what is there once. */
typedef struct {
    double sequence, constant;
} share;

static share gpu_share(const distinct_layers *d, const mls_size_request *r, size_t T)
{
    share s = {0};

    for (size_t l = 0; l < d->n; l++) {
        const mls_cache_layer *layer = d->layer[l];
        const size_t pages = whole_pages(held(layer, T), r->block);

        /* Every GPU has all keys of an indexer, and the states of its own heads. */
        s.sequence +=
            d->times[l] * (other_bytes(layer, T, r) +
                           state_bytes(layer, r) / (double)r->tensor_parallel);
        for (size_t i = 0; i < layer->n_parts && !layer->shares_other; i++) {
            const mls_cache_part *p = &layer->part[i];
            const mls_quant_cost cost = part_bits(p, pages, r->dtype_bits);
            const size_t count =
                (p->count + r->tensor_parallel - 1) / r->tensor_parallel;
            const double vectors = d->times[l] * (double)count;

            s.sequence += vectors * total(&cost) / 8;
            s.constant += vectors * cost.constant / 8;
        }
    }
    return s;
}

/* What a paper counts: codes of every token, no window, no metadata. */
static double payload_bits(const mls_cache_part *p, size_t dtype_bits)
{
    mls_cache_part plain = *p;

    plain.quant.window = plain.quant.sinks = 0;
    return part_bits(&plain, 1 << 16, dtype_bits).payload / (1 << 16);
}

/* Bits that a token adds to a vector's cache in the long run, metadata included. */
static double growth_bits(const mls_cache_part *p, size_t dtype_bits)
{
    const size_t far = 1 << 16;
    const mls_quant_cost at = part_bits(p, far, dtype_bits);
    const mls_quant_cost later = part_bits(p, 2 * far, dtype_bits);

    return (total(&later) - total(&at)) / (double)far;
}

/* What is not in parts. */
static void add_beside(mls_size_result *out, const mls_cache_layer *layer, double times,
                       const mls_size_request *r)
{
    const mls_layer_extra *const extra[] = {&layer->index, &layer->compressed};
    const double bytes = times * other_bytes(layer, r->tokens, r);
    const double state = times * state_bytes(layer, r);

    for (size_t i = 0; i < 2 && !layer->shares_other; i++) {
        const double n =
            extra[i]->n ? times * (double)extra[i]->n / (double)extra[i]->ratio : 0;

        out->elements_per_token += n;
        out->payload_bytes_per_token += n * (double)r->dtype_bits / 8;
        out->growing_bytes_per_token += n * (double)r->dtype_bits / 8;
    }
    out->other += bytes / (double)r->tokens;
    out->state += state / (double)r->tokens;
    out->payload += (bytes + state) / (double)r->tokens;
    out->state_bytes += state;
    out->recurrent_bytes +=
        times * (double)r->dtype_bits / 8 * (double)layer->state_numbers;
    out->sequence_bytes += bytes + state;
}

static void add_layer(mls_size_result *out, const mls_cache_layer *layer, double times,
                      const mls_size_request *r)
{
    const size_t T = held(layer, r->tokens);
    const size_t pages = whole_pages(T, r->block);
    const bool full = layer->window && layer->window <= r->tokens;

    add_beside(out, layer, times, r);
    for (size_t i = 0; i < layer->n_parts && !layer->shares_other; i++) {
        const mls_cache_part *p = &layer->part[i];
        const double vectors = times * (double)p->count;
        const mls_quant_cost cost = part_bits(p, T, r->dtype_bits);
        const mls_quant_cost paged = part_bits(p, pages, r->dtype_bits);
        const double per_token = vectors / 8 / (double)r->tokens;
        double *const all[] = {
            [MLS_PART_KEY] = &out->key,           [MLS_PART_VALUE] = &out->value,
            [MLS_PART_LATENT] = &out->latent,     [MLS_PART_KEY_LATENT] = &out->latent,
            [MLS_PART_ROPE_KEY] = &out->rope_key, [MLS_PART_KEY_SCALE] = &out->key,
        };
        double *const codes[] = {
            [MLS_PART_KEY] = &out->key_codes,
            [MLS_PART_VALUE] = &out->value_codes,
            [MLS_PART_LATENT] = &out->latent_codes,
            [MLS_PART_KEY_LATENT] = &out->latent_codes,
            [MLS_PART_ROPE_KEY] = &out->rope_key_codes,
            [MLS_PART_KEY_SCALE] = &out->key_codes,
        };

        out->elements_per_token += vectors * (double)p->n;
        out->payload_bytes_per_token +=
            layer->token_budget * vectors * payload_bits(p, r->dtype_bits) / 8;
        if (!full)
            out->growing_bytes_per_token +=
                layer->token_budget * vectors * growth_bits(p, r->dtype_bits) / 8;
        out->sequence_bytes += vectors * total(&paged) / 8;
        out->constant_bytes += vectors * paged.constant / 8;
        out->payload += per_token * cost.payload;
        out->metadata += per_token * cost.metadata;
        out->window += per_token * cost.window;
        *all[p->kind] += per_token * total(&cost);
        *codes[p->kind] += per_token * cost.payload;
    }
}

void mls_size(mls_size_result *result, const mls_cache_layout *layout,
              const mls_size_request *request)
{
    const double gpus = (double)request->tensor_parallel;
    const double batch = (double)request->batch;
    distinct_layers d;

    find_distinct(&d, layout);
    *result = (mls_size_result){0};
    for (size_t l = 0; l < d.n; l++)
        add_layer(result, d.layer[l], d.times[l], request);
    result->bytes_per_token = result->payload + result->metadata + result->window;
    result->fixed_bytes =
        fmax(0.0, (result->bytes_per_token - result->growing_bytes_per_token) *
                      (double)request->tokens);

    const share s = gpu_share(&d, request, request->tokens);
    result->gpu_bytes = batch * s.sequence + s.constant;
    result->batch_bytes = gpus * batch * s.sequence;
}

bool mls_size_has_fixed(const mls_config *config)
{
    for (size_t l = 0; l < config->L; l++) {
        const mls_layer_shape *s = &config->layer[l];

        if (mls_layer_slides(s) || s->conv_numbers || s->state_numbers ||
            s->compressed.n)
            return true;
    }
    return false;
}

mls_size_request mls_size_one(size_t tokens)
{
    return (mls_size_request){.tokens = tokens,
                              .batch = 1,
                              .block = 1,
                              .tensor_parallel = 1,
                              .dtype_bits = 16};
}

mls_status mls_size_own(mls_size_result *result, const mls_config *config,
                        size_t tokens, mls_err *err)
{
    const mls_size_request request = mls_size_one(tokens);
    mls_cache_layout *own = calloc(1, sizeof *own);

    if (!own)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a cache layout");
    mls_size_baseline(own, config);
    mls_size(result, own, &request);
    free(own);
    return MLS_OK;
}

static bool divides_heads(const mls_config *c, size_t n)
{
    return c->H % n == 0 &&
           (c->mla_kv_lora_rank || c->G == 0 || c->G % n == 0 || n % c->G == 0);
}

mls_status mls_size_parallel(const mls_config *config, size_t n, mls_err *err)
{
    char possible[160] = "";
    size_t used = 0;

    if (n > 0 && divides_heads(config, n))
        return MLS_OK;
    for (size_t k = 1; k <= config->H && used < sizeof possible - 16; k++)
        if (divides_heads(config, k))
            used += (size_t)snprintf(possible + used, sizeof possible - used, "%s%zu",
                                     used ? ", " : "", k);
    return mls_fail(err, MLS_E_INPUT,
                    "%zu GPUs cannot share %zu query heads and %zu KV heads evenly; "
                    "possible are %s",
                    n, config->H, config->G, possible);
}

/* --- What fits --- */

/* Over how many tokens the bytes may fall again: when a window is quantized at once. */
static size_t staircase(const distinct_layers *d)
{
    size_t most = 1;

    for (size_t l = 0; l < d->n; l++)
        for (size_t i = 0; i < d->layer[l]->n_parts; i++) {
            const mls_quant *q = &d->layer[l]->part[i].quant;

            if (q->format && q->window + q->group > most)
                most = q->window + q->group;
        }
    return most;
}

/* T tokens fit, and so does every shorter context (the peaks only grow with T). */
static bool context_fits(const distinct_layers *d, const mls_size_request *r, size_t T,
                         size_t steps, double free_bytes)
{
    for (size_t back = 0; back < steps && back < T; back++) {
        const share s = gpu_share(d, r, T - back);

        if ((double)r->batch * s.sequence + s.constant > free_bytes)
            return false;
    }
    return true;
}

size_t mls_size_max_tokens(const mls_cache_layout *layout,
                           const mls_size_request *request, double weight_bytes,
                           double memory_bytes)
{
    const double free_bytes = memory_bytes - weight_bytes;
    size_t fits = 0, fails = MLS_SIZE_UNLIMITED;
    distinct_layers d;

    find_distinct(&d, layout);
    const size_t steps = staircase(&d);
    if (free_bytes < 0)
        return 0;
    if (context_fits(&d, request, MLS_SIZE_UNLIMITED, steps, free_bytes))
        return MLS_SIZE_UNLIMITED;
    while (fails - fits > 1) {
        const size_t T = fits + (fails - fits) / 2;

        if (context_fits(&d, request, T, steps, free_bytes))
            fits = T;
        else
            fails = T;
    }
    return fits;
}

size_t mls_size_max_batch(const mls_cache_layout *layout,
                          const mls_size_request *request, double weight_bytes,
                          double memory_bytes)
{
    const double free_bytes = memory_bytes - weight_bytes;
    size_t fits = 0, fails = MLS_SIZE_UNLIMITED;
    distinct_layers d;

    find_distinct(&d, layout);
    const share s = gpu_share(&d, request, request->tokens);
    if (s.sequence == 0 && s.constant <= free_bytes)
        return MLS_SIZE_UNLIMITED;
    while (fails - fits > 1) {
        const size_t batch = fits + (fails - fits) / 2;

        if ((double)batch * s.sequence + s.constant <= free_bytes)
            fits = batch;
        else
            fails = batch;
    }
    return fits;
}

bool mls_size_parameters(const mls_config *config, double *parameters, double *read)
{
    const double embedding = (double)config->V * (double)config->E;
    double n = 0;

    /* Of experts only those are read that a token chooses. */
    if (config->unsupported[0] || config->net.experts.n)
        return false;
    for (size_t i = 0; i < mls_tensor_needs(config); i++) {
        const mls_tensor_need t = mls_tensor_need_at(config, i);

        n += (double)t.rows * (double)(t.cols ? t.cols : 1);
    }
    *parameters = n;
    *read = n - (config->tied_embeddings ? 0 : embedding);
    return true;
}
