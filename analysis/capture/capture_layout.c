/*
 * Letters of `dims` name the axes and give the extents. S and s are upper triangles of
 * symmetric matrices, half of the bytes, read back symmetric to the last bit. Windows
 * are halves: what is beyond the largest half stays that and is counted, since one
 * infinity would spoil every product after it.
 */
#include "analysis/capture/capture_layout.h"

#include <math.h>
#include <string.h>

#include "common/numbers/half.h"

#define MOMENT MLS_LAYOUT_MOMENT
#define NORMS MLS_LAYOUT_NORMS
#define WINDOW MLS_LAYOUT_WINDOW
#define STATS(name) offsetof(mls_record, stats.name)
#define F64 MLS_STORE_F64
#define F32 MLS_STORE_F32
#define F16 MLS_STORE_F16
#define SHOWN(part) offsetof(mls_record, window[part])

const mls_layout mls_layouts[MLS_LAYOUTS] = {
    {"/moments/x/second", MOMENT, F32, "LS", STATS(x_second),
     "E[x x^T] of the normed input of attention"},
    {"/moments/x/mean", MOMENT, F64, "LE", STATS(x_mean), "E[x]"},
    {"/moments/x/abs", MOMENT, F64, "LE", STATS(x_abs), "E[|x|]"},
    {"/moments/q/second", MOMENT, F32, "LHs", STATS(q_second),
     "E[q q^T] of queries before RoPE, with bias and QK-norm"},
    {"/moments/q/mean", MOMENT, F64, "LHD", STATS(q_mean), "E[q] before RoPE"},
    {"/moments/k/second", MOMENT, F32, "LGs", STATS(k_second),
     "E[k k^T] of keys before RoPE, with bias and QK-norm"},
    {"/moments/k/mean", MOMENT, F64, "LGD", STATS(k_mean), "E[k] before RoPE"},
    {"/moments/v/second", MOMENT, F32, "LGs", STATS(v_second), "E[v v^T] of values"},
    {"/moments/v/mean", MOMENT, F64, "LGD", STATS(v_mean), "E[v]"},
    {"/moments/kv/cross", MOMENT, F32, "LGDd", STATS(kv_cross),
     "E[k v^T], keys (first) before RoPE"},
    {"/moments/q_rot/second", MOMENT, F32, "LHs", STATS(q_rot_second),
     "E[q q^T] of queries after RoPE"},
    {"/moments/q_rot/mean", MOMENT, F64, "LHD", STATS(q_rot_mean), "E[q] after RoPE"},
    {"/moments/k_rot/second", MOMENT, F32, "LGs", STATS(k_rot_second),
     "E[k k^T] of keys after RoPE"},
    {"/moments/k_rot/mean", MOMENT, F64, "LGD", STATS(k_rot_mean), "E[k] after RoPE"},
    {"/norms/q", NORMS, F32, "LNHC", offsetof(mls_record, q_norms),
     "mean 2-norm of each query chunk over a sequence"},
    {"/norms/k", NORMS, F32, "LNGC", offsetof(mls_record, k_norms),
     "mean 2-norm of each key chunk over a sequence"},
    {"/windows/x", WINDOW, F16, "LWTE", SHOWN(MLS_WINDOW_X),
     "normed inputs of attention, whole sequences"},
    {"/windows/q", WINDOW, F16, "LWTHD", SHOWN(MLS_WINDOW_Q), "queries before RoPE"},
    {"/windows/k", WINDOW, F16, "LWTGD", SHOWN(MLS_WINDOW_K), "keys before RoPE"},
    {"/windows/v", WINDOW, F16, "LWTGD", SHOWN(MLS_WINDOW_V), "values"},
    {"/shard/sums", MLS_LAYOUT_SUMS, F64, "LJV", offsetof(mls_record, sums),
     "sums over tokens of runs of sequences, to be joined with those of other parts"},
};

static size_t extent(char letter, const mls_capture_head *head)
{
    const mls_config *c = &head->config;

    switch (letter) {
    case 'L':
        return c->L;
    case 'H':
        return c->H;
    case 'G':
        return c->G;
    case 'D':
    case 'd':
        return c->D;
    case 's':
        return c->D * (c->D + 1) / 2;
    case 'S':
        return c->E * (c->E + 1) / 2;
    case 'C':
        return c->D / 2;
    case 'E':
        return c->E;
    case 'N':
        return head->N;
    case 'W':
        return head->W;
    case 'J':
        return mls_shard_nodes(&head->shard);
    case 'V':
        return mls_shard_values(c);
    default:
        return head->window_T;
    }
}

static const char *axis(char letter)
{
    static const struct {
        char letter;
        const char *name;
    } names[] = {{'L', "layer"},    {'H', "head"},        {'G', "kv_head"},
                 {'D', "dim"},      {'d', "dim_2"},       {'C', "chunk"},
                 {'E', "hidden"},   {'S', "hidden_pair"}, {'s', "dim_pair"},
                 {'N', "sequence"}, {'W', "window"},      {'T', "position"}};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].letter == letter)
            return names[i].name;
    return NULL;
}

bool mls_layout_is_there(const mls_layout *layout, const mls_capture_head *head)
{
    return layout->kind != MLS_LAYOUT_SUMS || head->shard.count > 0;
}

mls_store_spec mls_layout_spec(const mls_layout *layout, const mls_capture_head *head)
{
    mls_store_spec spec = {.path = layout->path,
                           .type = layout->type,
                           .rank = strlen(layout->dims),
                           .units = "1",
                           .long_name = layout->long_name};

    for (size_t i = 0; i < spec.rank; i++) {
        spec.shape[i] = extent(layout->dims[i], head);
        spec.axes[i] = axis(layout->dims[i]);
    }
    return spec;
}

size_t mls_layout_values(const mls_layout *layout, const mls_capture_head *head)
{
    size_t n = 1;

    for (const char *d = layout->dims + 1; *d; d++)
        n *= extent(*d, head);
    return n;
}

void *mls_layout_data(const mls_layout *layout, const mls_record *r)
{
    void *data;

    memcpy(&data, (const char *)r + layout->field, sizeof data);
    return data;
}

size_t mls_window_width(const mls_config *config, mls_window_part part)
{
    switch (part) {
    case MLS_WINDOW_X:
        return config->E;
    case MLS_WINDOW_Q:
        return config->H * config->D;
    case MLS_WINDOW_K:
    case MLS_WINDOW_V:
        break;
    }
    return config->G * config->D;
}

size_t mls_layout_bytes(const mls_layout *layout, const mls_capture_head *head)
{
    return mls_layout_values(layout, head) * mls_store_type_size(layout->type);
}

/* Side of the matrices whose upper triangles are stored; 0: all values are. */
static size_t triangle_side(const mls_layout *layout, const mls_capture_head *head)
{
    const char last = layout->dims[strlen(layout->dims) - 1];

    return last == 'S' ? head->config.E : last == 's' ? head->config.D : 0;
}

size_t mls_layout_unpacked(const mls_layout *layout, const mls_capture_head *head)
{
    const size_t n = mls_layout_values(layout, head);
    const size_t side = triangle_side(layout, head);

    return side ? n / (side * (side + 1) / 2) * side * side : n;
}

static void pack_floats(float *out, const double *x, size_t n, size_t side)
{
    if (side == 0) {
        for (size_t i = 0; i < n; i++)
            out[i] = (float)x[i];
        return;
    }
    for (const float *end = out + n; out < end; x += side * side)
        for (size_t i = 0; i < side; i++)
            for (size_t j = i; j < side; j++)
                *out++ = (float)x[i * side + j];
}

static void unpack_floats(double *x, const float *in, size_t n, size_t side)
{
    if (side == 0) {
        for (size_t i = 0; i < n; i++)
            x[i] = (double)in[i];
        return;
    }
    for (const float *end = in + n; in < end; x += side * side)
        for (size_t i = 0; i < side; i++)
            for (size_t j = i; j < side; j++)
                x[i * side + j] = x[j * side + i] = (double)*in++;
}

/* Beyond the largest half a value stays the largest half. */
static size_t pack_halves(uint16_t *out, const float *x, size_t n)
{
    const float largest = 65504.0f;
    size_t n_cut = 0;

    for (size_t i = 0; i < n; i++) {
        const bool cut = fabsf(x[i]) > largest;

        n_cut += cut;
        out[i] = mls_float_to_f16(cut ? copysignf(largest, x[i]) : x[i]);
    }
    return n_cut;
}

size_t mls_layout_pack(void *out, const mls_layout *layout,
                       const mls_capture_head *head, const mls_record *r)
{
    const size_t n = mls_layout_values(layout, head);
    const void *data = mls_layout_data(layout, r);

    if (layout->type == MLS_STORE_F16)
        return pack_halves(out, data, n);
    if (layout->type == MLS_STORE_F32)
        pack_floats(out, data, n, triangle_side(layout, head));
    else
        memcpy(out, data, n * sizeof(double));
    return 0;
}

void mls_layout_unpack(const mls_layout *layout, const mls_capture_head *head,
                       const void *in, void *data)
{
    const size_t n = mls_layout_values(layout, head);

    if (layout->type == MLS_STORE_F16) {
        const uint16_t *halves = in;
        float *x = data;

        for (size_t i = 0; i < n; i++)
            x[i] = mls_f16_to_float(halves[i]);
    } else if (layout->type == MLS_STORE_F32) {
        unpack_floats(data, in, n, triangle_side(layout, head));
    } else {
        memcpy(data, in, n * sizeof(double));
    }
}
