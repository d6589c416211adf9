/* What projects are known to get wrong: known/TARGET.md, embedded at build time. */
#ifndef MLS_EXPORT_EMBEDDED_H
#define MLS_EXPORT_EMBEDDED_H

extern const char mls_deepseek_fitted_md[], mls_deepseek_linear_md[],
    mls_deepseek_none_md[], mls_deepseek_md[], mls_elitekv_md[], mls_gguf_md[],
    mls_latent_md[], mls_mha2mla_md[], mls_transmla_md[], mls_x_ecomla_md[];

#endif
