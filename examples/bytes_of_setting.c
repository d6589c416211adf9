/*
 * What a setting caches per token, from config.json alone.
 *
 *     bytes_of_setting datasets/demo "mha2mla chunks=4 rank=32" 4096
 */
#include <stdio.h>
#include <stdlib.h>

#include <mlascope.h>

int main(int argc, char **argv)
{
    mls_err err = {0};
    mls_config config;
    mls_setting setting;
    mls_size_result own, converted;
    mls_cache_layout *layout = malloc(sizeof *layout); /* too large for some stacks */

    if (argc != 4 || !layout) {
        fputs("usage: bytes_of_setting CONFIG SETTING TOKENS\n", stderr);
        free(layout);
        return 2;
    }
    const mls_size_request request = mls_size_one(strtoul(argv[3], NULL, 10));

    if (mls_config_read(&config, argv[1], &err) ||
        mls_setting_parse(&setting, argv[2], &err) ||
        mls_method_layout(layout, &config, &setting, &err) ||
        mls_size_own(&own, &config, request.tokens, &err)) {
        fprintf(stderr, "bytes_of_setting: %s\n", err.text);
    } else {
        mls_size(&converted, layout, &request);
        printf("%.1f of %.1f bytes per token, %.3f %%\n", converted.bytes_per_token,
               own.bytes_per_token,
               100 * converted.bytes_per_token / own.bytes_per_token);
    }
    free(layout);
    return mls_status_exit(err.status);
}
