/* SIMD loops of Decant. One header; every loop has a portable form and, where it pays, forms for
   x86-64 instruction sets that are chosen once at run time. No function allocates or fails. */
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stddef.h>
#include <stdint.h>

/* The instruction set whose forms run: 0 portable, 1 AVX2 with FMA and BMI2, 2 AVX-512, 3 with VNNI too, 4
   with BF16 too; and a limit to it, for tests, on the calling thread alone. The environment variable
   DECANT_SIMD lowers it for the whole process, by name; whoever starts the process checks the name.
   Integer results are the same on all; floating-point ones of the functions from here to
   quantization may differ in the last bits, for sums are grouped and fused differently. */
int decant_simd_level(void);
void decant_limit_simd_level(int limit);
/* The name of a level; null for numbers that are none. */
const char *decant_simd_name(int level);
/* The highest level that the machine has, whatever DECANT_SIMD says. */
int decant_machine_simd_level(void);

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
/* 1 when any of the values has all bits of the mask. */
int decant_u16_covers(const uint16_t *values, uint16_t mask, size_t count);

/* Element by element (activations.c); y may be x. exp is 0 below -87 and exp(88) above 88; gelu is
   x times the distribution function of the normal distribution, the exact one and not tanh's. */
void decant_exponentials(const float *x, float *y, size_t count);
/* y[i] = 2^x[i], for x of at most 127. */
void decant_exponentials2(const float *x, float *y, size_t count);
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
/* y[i] = silu((x[i] - center) * scale + shift). */
void decant_scale_shift_silu(const float *x, float center, float scale, float shift, float *y,
                             size_t count);
/* The most columns that are taken at once, where each is looked at through all rows. */
#define DECANT_COLUMN_RUN 256
/* Of each column of x [rows][stride], at most DECANT_COLUMN_RUN: the numbers brought to mean 0 and
   variance 1, with sums in float64, then scaled and shifted by row. */
void decant_normalize_columns(const float *x, size_t stride, size_t rows, size_t columns,
                              float epsilon, const float *scale, const float *bias, float *y);
double decant_dot(const float *a, const float *b, size_t count);
/* y[i] = (x[i] - center) * scale + shift. */
void decant_scale_and_shift(const float *x, float center, float scale, float shift, float *y,
                            size_t count);
/* y[i] = ((x[i] - center) * factor + rest) * scale[i] + bias[i]. */
void decant_normalize(const float *x, float center, float factor, float rest, const float *scale,
                      const float *bias, float *y, size_t count);

/* Moving numbers (layout.c). */

/* A window of weights that is moved over images [image, channels, height, width]. */
struct decant_window {
  size_t channels, height, width;
  size_t kernel_height, kernel_width, stride;
  /* Rows of zeros above and columns of zeros before the image. */
  size_t top, left;
  size_t out_height, out_width;
};

/* `count` bytes of each of some rows, `stride` bytes apart, which are to be read soon. */
struct decant_ahead {
  const void *bytes;
  size_t stride, rows, count;
};
/* Asks for them, all at once. */
void decant_prefetch(const struct decant_ahead *ahead);

/* target[j][i] = source[i][j] for `rows` x `columns` of source; strides count numbers. */
void decant_transpose(const float *source, size_t source_stride, size_t rows, size_t columns,
                      float *target, size_t target_stride);

/* Matrix products (packing.c, products.c): tiles of 14 rows of weights by 32 columns of pixels,
   whose sums fill the registers of AVX-512. The left operand is packed in blocks of 14 rows,
   [k][14]; the right one in panels of 32 columns, [k][32]. */
#define DECANT_TILE_ROWS 14
#define DECANT_TILE_COLUMNS 32
/* The most weights of a window: 7 x 7. */
#define DECANT_WINDOW_TAPS 49

/* Packs up to 14 rows of k words of 32 bits; rows that there are not are zeros. */
void decant_pack_rows(const uint32_t *source, size_t stride, size_t rows, size_t k,
                      uint32_t *target);

/* The same of half floats, aligned, whose words are the float32 numbers that they are; strides count
   halves. */
void decant_pack_halves(const uint16_t *source, size_t stride, size_t rows, size_t k,
                        uint32_t *target);

/* Packs a panel of the matrix whose product with weights [out, channels * kernel_height *
   kernel_width] is the convolution of one image: a row for each weight of the window, a column
   for each output pixel. Words around the image are `outside`; columns that there are not, 0. */
void decant_pack_window(const uint32_t *image, const struct decant_window *window,
                        size_t first_row, size_t rows, size_t first_column, size_t columns,
                        uint32_t outside, uint32_t *target);

/* Where a product goes: c[row * stride + column]; of packed operands, at most 32 columns. */
struct decant_product {
  void *c;
  size_t stride, rows, columns;
  /* One for each row, or null; something of c's layout that is added, or null. */
  const float *bias;
  const float *residual;
  /* Whether c holds sums that this goes on from. */
  int keep;
};

/* c = a b + c (where kept) + bias + residual, of blocks of rows and one panel. */
void decant_product_f32(const float *a, const float *b, size_t k, const struct decant_product *p);

/* The same of words that hold pairs of bfloat16 numbers, with sums in float32. Returns 0, and does
   nothing, where the machine has no such products; `p` may be null, to ask for that. */
int decant_product_bf16(const float *a, const float *b, size_t k, const struct decant_product *p);

/* The same of int8 weights and uint8 pixels, four to a word. While more parts follow, c holds
   int32 sums; the last part makes float32 numbers of them: (sum - zeros[column] * row_sums[row]) *
   row_scales[row] * scales[column] + bias + residual. Every instruction set gives the same bits. */
struct decant_int8_product {
  struct decant_product product;
  int last;
  const float *row_scales;
  const int32_t *row_sums;
  const float *scales;
  const int32_t *zeros;
};
void decant_product_u8s8(const uint32_t *a, const uint32_t *b, size_t k,
                         const struct decant_int8_product *p);

/* Products for few columns (inner.c): each number is the inner product of a row of weights, as it
   lies, and a column of pixels, [column][k], which is filled up with zeros to a multiple of 16.
   Packing the operands above would be a large share of such a product. */

/* c = a b + c (where kept) + bias + residual, for any number of columns; strides count numbers.
   What is `ahead` is asked for meanwhile. */
void decant_inner_f32(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t k,
                      const struct decant_product *p, const struct decant_ahead *ahead);
/* The same of weights that are half floats, aligned, which are widened for each few columns anew:
   with an instruction for it that costs nothing. */
void decant_inner_f16(const uint16_t *a, size_t a_stride, const float *b, size_t b_stride, size_t k,
                      const struct decant_product *p, const struct decant_ahead *ahead);

/* Operands of integer products (int8.c). The smallest and the largest of each column of x
   [rows][stride], and of 0; the largest is NaN where a number is NaN or infinite. */
void decant_column_ranges(const float *x, size_t stride, size_t rows, size_t columns,
                          float *smallest, float *largest);
/* Codes of x, four rows to a word: x * inverses[column] + zeros[column], rounded half to even and
   clamped to [0, 255]. Rows of words are `stride` apart; rows that there are not are 0. */
void decant_quantize_columns(const float *x, size_t stride, size_t rows, size_t columns,
                             const float *inverses, const float *zeros, uint32_t *target);
/* Codes of one row of weights [channels][taps] in the order of the pixels' words:
   [channels / 4][taps][4], filled up with zeros. */
void decant_pack_codes(const int8_t *codes, size_t channels, size_t taps, int8_t *target);

/* Winograd's form of a convolution by 3 x 3 with zeros around (winograd.c): tiles of 4 x 4 outputs,
   numbered row by row and image by image, in panels of 32. For each of 36 points, which lie
   `step` numbers apart: inputs [channel][32], weights [channel][14], and sums of their products. */
struct decant_tiling {
  size_t height, width, channels;
  /* Tiles of an image. */
  size_t down, across;
};
void decant_winograd_input(const float *images, const struct decant_tiling *tiling, size_t first,
                           size_t tiles, size_t first_channel, size_t channels, float *target,
                           size_t step);
/* Of 14 rows of weights, packed as [channel * 9][14]. */
void decant_winograd_weights(const float *packed, size_t channels, float *target, size_t step);
/* Outputs of one channel of up to 32 tiles; `residual` has the images' layout, or is null. */
void decant_winograd_output(const float *sums, size_t step, const struct decant_tiling *tiling,
                            size_t first, size_t tiles, size_t channel, float bias,
                            const float *residual, float *images);

/* Attention (attention.c), a panel of 32 queries of one head at a time, with a running softmax over
   parts of the keys (Milakov & Gimelshein, 2018; Dao et al., 2022). */

/* Packs rows of `columns` numbers in blocks of 14 columns, [block][k][14]. */
void decant_pack_columns(const float *source, size_t stride, size_t columns, size_t k,
                         float *target);
/* The same as pairs of bfloat16 numbers of two rows, [block][(k + 1) / 2][14]. */
void decant_pack_column_pairs(const float *source, size_t stride, size_t columns, size_t k,
                              float *target);
/* Rows of 32 as pairs of bfloat16 numbers of two rows, [(rows + 1) / 2][32]; target may be x. */
void decant_pair_rows(const float *x, size_t rows, float *target);
/* x[row][i] *= factor[i] for rows of 32. */
void decant_scale_rows(float *x, size_t rows, const float *factor);
/* Floats that a tile needs for scores. */
size_t decant_attention_scratch(void);
/* output [d][32] = softmax of scores, over `count` keys, times values. Queries [d][32] come scaled,
   and times log2 e, because the softmax takes powers of 2; keys are packed in blocks of keys,
   [block][d][14], values in blocks of features, [block][packed][14]. With `halves` all of these are
   pairs of bfloat16 numbers, half as many words of features, and of keys; d and the counts are still
   those of numbers. Query i sees the first visible[i] keys, at least one; all when null. */
void decant_attention_tile(const float *queries, const float *keys, const float *values, size_t d,
                           size_t count, size_t packed, const size_t *visible, int halves,
                           float *scores, float *output);

/* Choosing scales and codes of quantized weights, and statistics of activations
   (quantization.c). Every instruction set gives the same bits. */

/* errors[j] += sum of mean_squares[i] * (r_j * q - v)^2, where v = weights[i] / unit and q is v / r_j,
   rounded half to even and clamped to [-limit, limit]; mean_squares may be null (all 1). */
void decant_scale_errors(const float *weights, const float *mean_squares, size_t count, float unit,
                         float limit, const float *ratios, size_t candidates, double *errors);

/* codes[i] = weights[i] / scale, rounded half to even and clamped to [-limit, limit]. */
void decant_symmetric_codes(const float *weights, size_t count, float scale, float limit,
                            int8_t *codes);

/* Adds to sums: w^2, (scale * code - w)^2, and both times mean_squares[i], which may be null. */
void decant_code_error(const float *weights, const float *mean_squares, const int8_t *codes,
                       size_t count, float scale, double *sums);

/* The largest magnitude; the sum of squares. */
float decant_largest_magnitude(const float *values, size_t count);
double decant_square_sum(const float *values, size_t count);

/* For each column of a matrix, raises its largest magnitude and adds to its sum of squares. */
void decant_column_statistics(const float *values, size_t rows, size_t columns, size_t stride,
                              float *maxima, double *mean_squares);

/* Counts magnitudes by eighths of octaves from 2^-24 to 2^16, the first bin for what is below,
   the last for what is above. */
#define DECANT_HISTOGRAM_BINS 322
void decant_magnitude_histogram(const float *values, size_t count, uint64_t *bins);

/* Lossless coding (coding.c) of numbers of `planes` bytes: 1, 2, 4 or 8. counts[plane][value] += how
   often byte `plane` of a number has that value. */
void decant_count_bytes(const uint8_t *bytes, size_t elements, size_t planes, uint32_t *counts);
/* Byte `plane` of each number; and numbers of bytes from as many planes. */
void decant_take_plane(const uint8_t *bytes, size_t elements, size_t planes, size_t plane,
                       uint8_t *target);
void decant_join_planes(const uint8_t *const *sources, size_t elements, size_t planes,
                        uint8_t *target);

/* Brings all whole blocks of 64 bytes down to 16 and returns how many bytes those are; 0 where the
   machine cannot, or there are few. CRC-32 (zlib, PNG, IEEE 802.3), begun at 0xffffffff, of those 16 is
   then the one that goes on from `crc` over these bytes (checksum.c). */
size_t decant_crc32_fold(uint32_t crc, const uint8_t *bytes, size_t count, uint8_t *rest);

/* Bits of the longest code, at most; streams of a chunk, each of a quarter of its bytes. */
#define DECANT_HUFFMAN_BITS 12
#define DECANT_HUFFMAN_STREAMS 4
/* Writes the codes of bytes one after another from the lowest bit up and returns how many bytes they
   take, or -1 when they and 7 bytes more do not fit `room`. codes[value] is code << 8 | its
   length. */
ptrdiff_t decant_huffman_encode(const uint8_t *bytes, size_t count, const uint32_t *codes,
                                uint8_t *target, size_t room);
/* Decodes streams of those lengths, which lie one after another, to `count` bytes. table[next 12
   bits] is value << 8 | length of the code that those begin with, never 0. Returns 0 when a stream
   does not end in its last byte with zeros; reads nothing beyond the last stream. */
int decant_huffman_decode(const uint8_t *streams, const size_t *lengths, const uint16_t *table,
                          size_t count, uint8_t *target);

#endif
