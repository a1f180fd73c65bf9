/* SIMD loops of Decant. One header; every loop has a portable form and, where it pays, forms for
   x86-64 instruction sets that are chosen once at run time. No function allocates or fails. */
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stddef.h>
#include <stdint.h>

/* The instruction set whose forms run: 0 portable, 1 AVX2 with FMA, 2 AVX-512; and a limit to it,
   for tests, on the calling thread alone. Integer results are the same on all; floating-point ones
   of the functions from here to quantization may differ in the last bits, for sums are grouped and
   fused differently. */
int decant_simd_level(void);
void decant_limit_simd_level(int limit);

/* Widening and narrowing of half floats; round to nearest even. */
void decant_f16_to_f32(const uint16_t *source, float *target, size_t count);
void decant_f32_to_f16(const float *source, uint16_t *target, size_t count);
void decant_bf16_to_f32(const uint16_t *source, float *target, size_t count);
void decant_f32_to_bf16(const float *source, uint16_t *target, size_t count);

/* target[i] = scale * codes[i]. */
void decant_i8_to_f32(const int8_t *codes, float scale, float *target, size_t count);

/* The same for two's complement nibbles, two a byte and the low one first, from nibble `first`. */
void decant_i4_to_f32(const uint8_t *codes, size_t first, float scale, float *target,
                      size_t count);

/* 1 when any of the values is NaN or infinite. */
int decant_f32_has_nonfinite(const float *values, size_t count);

/* Element by element (activations.c); y may be x. exp is 0 below -87 and exp(88) above 88; gelu is
   x times the distribution function of the normal distribution, the exact one and not tanh's. */
void decant_exponentials(const float *x, float *y, size_t count);
void decant_silu(const float *x, float *y, size_t count);
void decant_gelu(const float *x, float *y, size_t count);
void decant_quick_gelu(const float *x, float *y, size_t count);
/* y[i] = hidden[i] * gelu(gate[i]). */
void decant_geglu(const float *hidden, const float *gate, float *y, size_t count);
/* Replaces x by exp(x - largest x) and returns their sum. */
float decant_softmax(float *x, size_t count);

/* Sums and simple loops (arithmetic.c). */
void decant_add(const float *a, const float *b, float *y, size_t count);
/* Adds the sum and the sum of squares, in float64. */
void decant_moments(const float *x, size_t count, double *sum, double *squares);
double decant_dot(const float *a, const float *b, size_t count);
/* y[i] = (x[i] - center) * scale + shift. */
void decant_scale_and_shift(const float *x, float center, float scale, float shift, float *y,
                            size_t count);
/* y[i] = ((x[i] - center) * factor + rest) * scale[i] + bias[i]. */
void decant_normalize(const float *x, float center, float factor, float rest, const float *scale,
                      const float *bias, float *y, size_t count);

/* Moving numbers (layout.c). */

/* A window of weights that is moved over pictures [picture, channels, height, width]. */
struct decant_window {
  size_t channels, height, width;
  size_t kernel_height, kernel_width, stride;
  /* Rows of zeros above and columns of zeros before the picture. */
  size_t top, left;
  size_t out_height, out_width;
};

/* Part of the matrix whose product with weights [out, channels * kernel_height * kernel_width] is
   the convolution: a row for each weight of the window, a column for each output pixel of each
   picture. Writes `rows` rows of `columns` numbers. */
void decant_window_columns(const float *pictures, const struct decant_window *window,
                           size_t first_row, size_t rows, size_t first_column, size_t columns,
                           float *target);

/* target[j][i] = source[i][j] for `rows` x `columns` of source; strides count numbers. */
void decant_transpose(const float *source, size_t source_stride, size_t rows, size_t columns,
                      float *target, size_t target_stride);

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

#endif
