/*
 * The number type of the backward pass. The library's is float; the test of gradients
 * compiles the same source in double, under names of its own, because differences of
 * float losses are too coarse to check anything against.
 */
#ifndef MLS_HEAL_REAL_H
#define MLS_HEAL_REAL_H

#include <cblas.h>

#ifdef MLS_HEAL_DOUBLE
typedef double mls_real;
#define MLS_REAL_GEMM cblas_dgemm
#define MLS_REAL_EXP mls_exp_f64
#define mls_parameters_of mls_parameters_of_f64
#define mls_parameters_free mls_parameters_free_f64
#define mls_parameters_gather mls_parameters_gather_f64
#define mls_parameters_scatter mls_parameters_scatter_f64
#define mls_heal_pass_new mls_heal_pass_new_f64
#define mls_heal_pass_free mls_heal_pass_free_f64
#define mls_heal_pass_forward mls_heal_pass_forward_f64
#define mls_heal_pass_backward mls_heal_pass_backward_f64
#define mls_heal_pass_compute mls_heal_pass_compute_f64
#define mls_pass_linear mls_pass_linear_f64
#define mls_pass_linear_back mls_pass_linear_back_f64
#define mls_heal_pass_keys mls_heal_pass_keys_f64
#define mls_heal_pass_values mls_heal_pass_values_f64
#define mls_heal_pass_heads mls_heal_pass_heads_f64
#define mls_real_linear mls_real_linear_f64
#define mls_real_linear_back mls_real_linear_back_f64
#define mls_real_rotate mls_real_rotate_f64
#define mls_real_norm mls_real_norm_f64
#define mls_real_norm_back mls_real_norm_back_f64
#define mls_head_attend mls_head_attend_f64
#define mls_head_attend_back mls_head_attend_back_f64
#define mls_block_back mls_block_back_f64
#define mls_block_input_back mls_block_input_back_f64
#define mls_block_back_scratch mls_block_back_scratch_f64
#define mls_divergence mls_divergence_f64
#define mls_divergence_scratch mls_divergence_scratch_f64
#define mls_real_layernorm_back mls_real_layernorm_back_f64
#define mls_real_layernorm mls_real_layernorm_f64
#else
typedef float mls_real;
#define MLS_REAL_GEMM cblas_sgemm
#define MLS_REAL_EXP mls_exp_f32
#endif

#endif
