/* What a layer keeps of T tokens, counted from its shape alone. */
#include "datasets/family/layer.h"

size_t mls_layer_held(const mls_layer_shape *layer, size_t T)
{
    const size_t most = layer->window ? layer->window : layer->chunk;

    return most && most < T ? most : T;
}

double mls_layer_extra_numbers(const mls_layer_extra *extra, size_t T)
{
    if (!extra->n)
        return 0;
    return (double)extra->n * (double)(T / extra->ratio) +
           (double)extra->pending * (double)(T % extra->ratio) +
           (T >= extra->ratio ? extra->kept : 0);
}

double mls_layer_numbers(const mls_layer_shape *layer)
{
    double n = 0;

    if (layer->reads_other)
        return 0;
    if (layer->kind == MLS_LAYER_ATTENTION)
        n = (double)layer->G * (layer->K + layer->V);
    else if (layer->kind == MLS_LAYER_MLA)
        n = (double)layer->latent + layer->rope_dims;
    if (layer->index.n)
        n += (double)layer->index.n / layer->index.ratio;
    if (layer->compressed.n)
        n += (double)layer->compressed.n / layer->compressed.ratio;
    return layer->copies * n;
}

size_t mls_layers_count(const mls_layer_shape *layers, size_t L,
                        bool (*is)(const mls_layer_shape *layer))
{
    size_t n = 0;

    for (size_t l = 0; l < L; l++)
        n += is(&layers[l]);
    return n;
}

bool mls_layer_slides(const mls_layer_shape *layer)
{
    return layer->window || layer->chunk;
}

bool mls_layer_is_still(const mls_layer_shape *layer)
{
    return layer->no_rope;
}

bool mls_layer_attends(const mls_layer_shape *layer)
{
    return layer->kind != MLS_LAYER_RECURRENT && layer->kind != MLS_LAYER_NONE;
}

bool mls_layer_is_attention(const mls_layer_shape *layer)
{
    return layer->kind == MLS_LAYER_ATTENTION && !layer->reads_other;
}
