/* SIMD loops of Decant. One header; every loop has a portable form and, where it pays, forms for
   x86-64 instruction sets that are chosen once at run time. No function allocates or fails. */
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Widening and narrowing of half floats; round to nearest even. */
void decant_f16_to_f32(const uint16_t *source, float *target, size_t count);
void decant_f32_to_f16(const float *source, uint16_t *target, size_t count);
void decant_bf16_to_f32(const uint16_t *source, float *target, size_t count);
void decant_f32_to_bf16(const float *source, uint16_t *target, size_t count);

/* target[i] = scale * codes[i]. */
void decant_i8_to_f32(const int8_t *codes, float scale, float *target, size_t count);

/* 1 when any of the values is NaN or infinite. */
int decant_f32_has_nonfinite(const float *values, size_t count);

/* Choosing scales and codes of quantized weights, and statistics of activations
   (quantization.c). Every instruction set gives the same bits. */

/* errors[j] += sum of energies[i] * (r_j * q - v)^2, where v = weights[i] / unit and q is v / r_j,
   rounded half to even and clamped to [-limit, limit]; energies may be null (all 1). */
void decant_scale_errors(const float *weights, const float *energies, size_t count, float unit,
                         float limit, const float *ratios, size_t candidates, double *errors);

/* codes[i] = weights[i] / scale, rounded half to even and clamped to [-limit, limit]. */
void decant_symmetric_codes(const float *weights, size_t count, float scale, float limit,
                            int8_t *codes);

/* Adds to sums: w^2, (scale * code - w)^2, and both times energies[i], which may be null. */
void decant_code_error(const float *weights, const float *energies, const int8_t *codes,
                       size_t count, float scale, double *sums);

/* The largest magnitude; the sum of squares. */
float decant_largest_magnitude(const float *values, size_t count);
double decant_plane_energy(const float *values, size_t count);

/* For each column of a matrix, raises its largest magnitude and adds to its sum of squares. */
void decant_column_statistics(const float *values, size_t rows, size_t columns, size_t stride,
                              float *maxima, double *energies);

/* Counts magnitudes by eighths of octaves from 2^-24 to 2^16, the first bin for what is below,
   the last for what is above. */
#define DECANT_HISTOGRAM_BINS 322
void decant_magnitude_histogram(const float *values, size_t count, uint64_t *bins);

/* The form that runs: 0 portable, 1 AVX2, 2 AVX-512; and a limit to it, for tests. */
int decant_quantization_form(void);
void decant_limit_quantization_form(int limit);

#endif
