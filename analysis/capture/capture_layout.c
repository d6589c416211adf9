#include "analysis/capture/capture_layout.h"

#include <string.h>

#define MOMENT MLS_LAYOUT_MOMENT
#define NORMS MLS_LAYOUT_NORMS
#define WINDOW MLS_LAYOUT_WINDOW
#define STATS(name) offsetof(mls_record, stats.name)
#define SHOWN(part) offsetof(mls_record, window[part])

const mls_layout mls_layouts[MLS_LAYOUTS] = {
    {"/moments/x/second", MOMENT, "LEe", STATS(x_second),
     "E[x x^T] of the normed input of attention"},
    {"/moments/x/mean", MOMENT, "LE", STATS(x_mean), "E[x]"},
    {"/moments/x/abs", MOMENT, "LE", STATS(x_abs), "E[|x|]"},
    {"/moments/q/second", MOMENT, "LHDd", STATS(q_second),
     "E[q q^T] of queries before RoPE, with bias and QK-norm"},
    {"/moments/q/mean", MOMENT, "LHD", STATS(q_mean), "E[q] before RoPE"},
    {"/moments/k/second", MOMENT, "LGDd", STATS(k_second),
     "E[k k^T] of keys before RoPE, with bias and QK-norm"},
    {"/moments/k/mean", MOMENT, "LGD", STATS(k_mean), "E[k] before RoPE"},
    {"/moments/v/second", MOMENT, "LGDd", STATS(v_second), "E[v v^T] of values"},
    {"/moments/v/mean", MOMENT, "LGD", STATS(v_mean), "E[v]"},
    {"/moments/kv/cross", MOMENT, "LGDd", STATS(kv_cross),
     "E[k v^T], keys (first) before RoPE"},
    {"/moments/q_rot/second", MOMENT, "LHDd", STATS(q_rot_second),
     "E[q q^T] of queries after RoPE"},
    {"/moments/q_rot/mean", MOMENT, "LHD", STATS(q_rot_mean), "E[q] after RoPE"},
    {"/moments/k_rot/second", MOMENT, "LGDd", STATS(k_rot_second),
     "E[k k^T] of keys after RoPE"},
    {"/moments/k_rot/mean", MOMENT, "LGD", STATS(k_rot_mean), "E[k] after RoPE"},
    {"/norms/q", NORMS, "LNHC", offsetof(mls_record, q_norms),
     "mean 2-norm of each query chunk over a sequence"},
    {"/norms/k", NORMS, "LNGC", offsetof(mls_record, k_norms),
     "mean 2-norm of each key chunk over a sequence"},
    {"/windows/x", WINDOW, "LWTE", SHOWN(MLS_WINDOW_X),
     "normed inputs of attention, whole sequences"},
    {"/windows/q", WINDOW, "LWTHD", SHOWN(MLS_WINDOW_Q), "queries before RoPE"},
    {"/windows/k", WINDOW, "LWTGD", SHOWN(MLS_WINDOW_K), "keys before RoPE"},
    {"/windows/v", WINDOW, "LWTGD", SHOWN(MLS_WINDOW_V), "values"},
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
    case 'C':
        return c->D / 2;
    case 'E':
    case 'e':
        return c->E;
    case 'N':
        return head->N;
    case 'W':
        return head->W;
    default:
        return head->T;
    }
}

static const char *axis(char letter)
{
    static const struct {
        char letter;
        const char *name;
    } names[] = {{'L', "layer"},  {'H', "head"},     {'G', "kv_head"},
                 {'D', "dim"},    {'d', "dim_2"},    {'C', "chunk"},
                 {'E', "hidden"}, {'e', "hidden_2"}, {'N', "sequence"},
                 {'W', "window"}, {'T', "position"}};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].letter == letter)
            return names[i].name;
    return NULL;
}

mls_store_spec mls_layout_spec(const mls_layout *layout, const mls_capture_head *head)
{
    const bool window = layout->kind == MLS_LAYOUT_WINDOW;
    mls_store_spec spec = {.path = layout->path,
                           .type = window ? MLS_STORE_F32 : MLS_STORE_F64,
                           .rank = strlen(layout->dims),
                           .units = "1",
                           .long_name = layout->long_name,
                           .compress = !window};

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
