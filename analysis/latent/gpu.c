/*
 * A data sheet's GB of memory are counted as 2^30 bytes, those of its bandwidth as
 * 10^9. Who writes a size where a name is expected ("24G") is told which option takes
 * one.
 */
#include "analysis/latent/gpu.h"

#include <stdlib.h>
#include <strings.h>

#include "common/base/words.h"

#define GIB(n) ((n)*1073741824.0)
#define GB_S(n) ((n)*1e9)

/*
 * From the data sheets of the products named in `title`. B200: one eighth of what the
 * DGX B200 data sheet prints (1,440 GB, 64 TB/s).
 */
const mls_gpu mls_gpus[] = {
    {"a10", "NVIDIA A10 24 GB", GIB(24), GB_S(600)},
    {"a30", "NVIDIA A30 24 GB", GIB(24), GB_S(933)},
    {"a40", "NVIDIA A40 48 GB", GIB(48), GB_S(696)},
    {"a6000", "NVIDIA RTX A6000 48 GB", GIB(48), GB_S(768)},
    {"a100-40", "NVIDIA A100 40 GB", GIB(40), GB_S(1555)},
    {"a100-80-pcie", "NVIDIA A100 80 GB PCIe", GIB(80), GB_S(1935)},
    {"a100-80", "NVIDIA A100 80 GB SXM4", GIB(80), GB_S(2039)},
    {"b200", "NVIDIA B200 180 GB", GIB(180), GB_S(8000)},
    {"h100-pcie", "NVIDIA H100 PCIe 80 GB", GIB(80), GB_S(2000)},
    {"h100", "NVIDIA H100 SXM5 80 GB", GIB(80), GB_S(3350)},
    {"h100-nvl", "NVIDIA H100 NVL 94 GB", GIB(94), GB_S(3900)},
    {"h200", "NVIDIA H200 141 GB", GIB(141), GB_S(4800)},
    {"l4", "NVIDIA L4 24 GB", GIB(24), GB_S(300)},
    {"l40s", "NVIDIA L40S 48 GB", GIB(48), GB_S(864)},
    {"mi250x", "AMD Instinct MI250X 128 GB", GIB(128), GB_S(3277)},
    {"mi300x", "AMD Instinct MI300X 192 GB", GIB(192), GB_S(5300)},
    {"mi325x", "AMD Instinct MI325X 256 GB", GIB(256), GB_S(6000)},
    {"rtx3090", "NVIDIA GeForce RTX 3090 24 GB", GIB(24), GB_S(936)},
    {"rtx4090", "NVIDIA GeForce RTX 4090 24 GB", GIB(24), GB_S(1008)},
    {"rtx5090", "NVIDIA GeForce RTX 5090 32 GB", GIB(32), GB_S(1792)},
    {"v100", "NVIDIA V100 SXM2 32 GB", GIB(32), GB_S(900)},
    {NULL, NULL, 0, 0},
};

mls_status mls_gpu_find(const mls_gpu **out, const char *name, mls_err *err)
{
    const char *names[sizeof mls_gpus / sizeof mls_gpus[0]];
    char suggestion[MLS_SUGGESTION];
    size_t n = 0;

    *out = NULL;
    for (; mls_gpus[n].name; n++) {
        names[n] = mls_gpus[n].name;
        if (strcasecmp(names[n], name) == 0) {
            *out = &mls_gpus[n];
            return MLS_OK;
        }
    }
    names[n] = NULL;

    char *unit;
    const double gib = strtod(name, &unit);

    if (gib > 0 && (strcasecmp(unit, "g") == 0 || strcasecmp(unit, "gb") == 0 ||
                    strcasecmp(unit, "gib") == 0))
        return mls_fail(err, MLS_E_ARG,
                        "there is no GPU \"%s\"; did you mean %gG (report) or --memory "
                        "%g (size, plan)?",
                        name, gib, gib);
    return mls_fail(err, MLS_E_ARG, "there is no GPU \"%s\"%s", name,
                    mls_suggest(name, names, suggestion));
}
