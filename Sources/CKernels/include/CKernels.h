/* SIMD loops of Decant. Every loop has a portable form and, where it is faster, forms for x86-64
   instruction sets, which are chosen at run time. No loop allocates or fails. */
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "mapping.h"

/* The instruction set whose forms run: 0 portable, 1 AVX2 with FMA and BMI2, 2 AVX-512, 3 AVX-512
   with VNNI, 4 AVX-512 with VNNI and BF16. The environment variable DECANT_SIMD lowers it by name
   for the whole process; an unknown name is ignored here, and the command line rejects it.
   decant_limit_simd_level lowers it for the calling thread, for tests. Integer results are the same
   at every level. Floating-point results of the functions from here to quantization may differ in
   the last bits, because sums are grouped and fused differently. */
int decant_simd_level(void);
void decant_limit_simd_level(int limit);
/* The name of a level; null for an unknown level. */
const char *decant_simd_name(int level);
/* The highest level that the machine supports, without regard to DECANT_SIMD. */
int decant_machine_simd_level(void);

/* Conversions of float16 and bfloat16 numbers. They round to nearest even. */
void decant_f16_to_f32(const uint16_t *source, float *target, size_t count);
void decant_f32_to_f16(const float *source, uint16_t *target, size_t count);
void decant_bf16_to_f32(const uint16_t *source, float *target, size_t count);
void decant_f32_to_bf16(const float *source, uint16_t *target, size_t count);

/* target[i] = scale * codes[i]. */
void decant_i8_to_f32(const int8_t *codes, float scale, float *target, size_t count);

/* The same for codes of 4 bits in two's complement, two in a byte, the first in the low nibble.
   `first` is the index of the first code. */
void decant_i4_to_f32(const uint8_t *codes, size_t first, float scale, float *target,
                      size_t count);

/* The same for codes of 4 high bits, stored as codes of 4 bits, and `low_bits` low ones: 1, eight in
   a byte, or 2, four in a byte, the first in the lowest bits. */
void decant_split_to_f32(const uint8_t *codes, const uint8_t *low, int low_bits, size_t first,
                         float scale, float *target, size_t count);

/* The same for codes of 16 bits, each stored as the word (code + 128) modulo 2^16. */
void decant_i16_to_f32(const uint8_t *codes, float scale, float *target, size_t count);

/* 1 when any of the values is NaN or infinite. */
int decant_f32_has_nonfinite(const float *values, size_t count);
/* 1 when any of the values has all bits of the mask set. */
int decant_u16_covers(const uint16_t *values, uint16_t mask, size_t count);

/* Element-wise functions (activations.c); y may be x. The exponential is 0 below -87 and exp(88)
   above 88. gelu is x times the cumulative distribution function of the normal distribution, not
   its tanh approximation. */
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
/* The maximum columns of the functions that process all rows of each column. */
#define DECANT_COLUMN_RUN 256
/* Normalizes each column of x [rows][stride], at most DECANT_COLUMN_RUN columns, to mean 0 and
   variance 1, with sums in float64. Then scales and shifts each row. */
void decant_normalize_columns(const float *x, size_t stride, size_t rows, size_t columns,
                              float epsilon, const float *scale, const float *bias, float *y);
double decant_dot(const float *a, const float *b, size_t count);
/* y[i] = (x[i] - center) * scale + shift. */
void decant_scale_and_shift(const float *x, float center, float scale, float shift, float *y,
                            size_t count);

/* Moving numbers (layout.c). */

/* The window of a convolution over images [image, channels, height, width]. */
struct decant_window {
  size_t channels, height, width;
  size_t kernel_height, kernel_width, stride;
  /* Rows of zeros above and columns of zeros before the image. */
  size_t top, left;
  size_t out_height, out_width;
};

/* Memory that will be read soon: `count` bytes of each of `rows` rows, which are `stride` bytes
   apart. */
struct decant_ahead {
  const void *bytes;
  size_t stride, rows, count;
};
/* Prefetches all of it. */
void decant_prefetch(const struct decant_ahead *ahead);

/* target[j][i] = source[i][j] for `rows` x `columns` of source; strides count numbers. */
void decant_transpose(const float *source, size_t source_stride, size_t rows, size_t columns,
                      float *target, size_t target_stride);

/* Matrix products (packing.c, products.c) in tiles of 14 rows of weights by 32 columns of pixels,
   whose sums fill the registers of AVX-512. The left operand is packed in blocks of 14 rows,
   [k][14], the right one in panels of 32 columns, [k][32]. */
#define DECANT_TILE_ROWS 14
#define DECANT_TILE_COLUMNS 32
/* The maximum taps of a window: 7 x 7. */
#define DECANT_WINDOW_TAPS 49

/* Packs up to 14 rows of k words of 32 bits. Missing rows are zeros. */
void decant_pack_rows(const uint32_t *source, size_t stride, size_t rows, size_t k,
                      uint32_t *target);

/* The same for aligned float16 numbers, which are widened to float32. The stride counts float16
   numbers. */
void decant_pack_halves(const uint16_t *source, size_t stride, size_t rows, size_t k,
                        uint32_t *target);

/* Packs a panel of the matrix whose product with weights [out, channels * kernel_height *
   kernel_width] is the convolution of one image. It has a row for each tap of the window and each
   channel, and a column for each output pixel. Words of the padding are `outside`; missing columns
   are 0. */
void decant_pack_window(const uint32_t *image, const struct decant_window *window,
                        size_t first_row, size_t rows, size_t first_column, size_t columns,
                        uint32_t outside, uint32_t *target);

/* The target of a product, c[row * stride + column]. With packed operands it has at most 32
   columns. */
struct decant_product {
  void *c;
  size_t stride, rows, columns;
  /* One number for each row, or null; numbers in the layout of c that are added, or null. */
  const float *bias;
  const float *residual;
  /* Whether to add to the sums in c. */
  int keep;
};

/* c = a b + c (if kept) + bias + residual, for blocks of rows and one panel. */
void decant_product_f32(const float *a, const float *b, size_t k, const struct decant_product *p);

/* The same for words that are pairs of bfloat16 numbers, with sums in float32. Returns 0 and does
   nothing if the machine has no such instructions. `p` may be null to test for them. */
int decant_product_bf16(const float *a, const float *b, size_t k, const struct decant_product *p);

/* The same for int8 weights and uint8 pixels, four in a word. While more parts follow, c has int32
   sums. The last part converts them to float32: (sum - zeros[column] * row_sums[row]) *
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

/* Products for few columns (inner.c). Each result is the inner product of an unpacked row of
   weights and a column of pixels, [column][k], which is padded with zeros to a multiple of 16. For
   few columns, packing the operands as above would be a large share of the work. */

/* c = a b + c (if kept) + bias + residual, for any number of columns. Strides count numbers.
   `ahead` is prefetched at the same time. */
void decant_inner_f32(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t k,
                      const struct decant_product *p, const struct decant_ahead *ahead);
/* The same for aligned float16 weights. They are widened again for each group of columns, which
   costs nothing with an instruction for it. */
void decant_inner_f16(const uint16_t *a, size_t a_stride, const float *b, size_t b_stride, size_t k,
                      const struct decant_product *p, const struct decant_ahead *ahead);

/* Operands of integer products (int8.c). The smallest and the largest number of each column of x
   [rows][stride], including 0. The largest is NaN if a number is NaN or infinite. */
void decant_column_ranges(const float *x, size_t stride, size_t rows, size_t columns,
                          float *smallest, float *largest);
/* Codes of x, four rows in a word: x * inverses[column] + zeros[column], rounded half to even and
   clamped to [0, 255]. Rows of words are `stride` apart; missing rows are 0. */
void decant_quantize_columns(const float *x, size_t stride, size_t rows, size_t columns,
                             const float *inverses, const float *zeros, uint32_t *target);
/* Reorders the codes of one row of weights [channels][taps] like the words of pixels: [channels /
   4][taps][4], padded with zeros. */
void decant_pack_codes(const int8_t *codes, size_t channels, size_t taps, int8_t *target);

/* Winograd's algorithm for a 3 x 3 convolution with padding 1 (winograd.c). Tiles of 4 x 4 outputs
   are numbered row by row and image by image, in panels of 32. Each of the 36 points has inputs
   [channel][32], weights [channel][14], and sums of their products. Points are `step` numbers
   apart. */
struct decant_tiling {
  size_t height, width, channels;
  /* The rows and columns of tiles of an image. */
  size_t down, across;
};
void decant_winograd_input(const float *images, const struct decant_tiling *tiling, size_t first,
                           size_t tiles, size_t first_channel, size_t channels, float *target,
                           size_t step);
/* Transforms 14 rows of weights, packed as [channel * 9][14]. */
void decant_winograd_weights(const float *packed, size_t channels, float *target, size_t step);
/* Writes the outputs of one channel of up to 32 tiles. `residual` has the layout of `images`, or is
   null. */
void decant_winograd_output(const float *sums, size_t step, const struct decant_tiling *tiling,
                            size_t first, size_t tiles, size_t channel, float bias,
                            const float *residual, float *images);

/* Attention (attention.c) of a panel of 32 queries of one head at a time, with a running softmax
   over parts of the keys (Milakov & Gimelshein, 2018; Dao et al., 2022). */

/* Packs rows of `columns` numbers in blocks of 14 columns, [block][k][14]. */
void decant_pack_columns(const float *source, size_t stride, size_t columns, size_t k,
                         float *target);
/* The same as pairs of bfloat16 numbers of two rows, [block][(k + 1) / 2][14]. */
void decant_pack_column_pairs(const float *source, size_t stride, size_t columns, size_t k,
                              float *target);
/* Converts rows of 32 to pairs of bfloat16 numbers of two rows, [(rows + 1) / 2][32]; target may be
   x. */
void decant_pair_rows(const float *x, size_t rows, float *target);
/* x[row][i] *= factor[i] for rows of 32. */
void decant_scale_rows(float *x, size_t rows, const float *factor);
/* The floats of scratch memory that a tile needs for scores. */
size_t decant_attention_scratch(void);
/* output [d][32] = softmax(scores over `count` keys) times values. Queries [d][32] are scaled and
   multiplied by log2 e, because the softmax uses powers of 2. Keys are packed in blocks of keys,
   [block][d][14], values in blocks of features, [block][packed][14]. With `halves`, all of these
   are pairs of bfloat16 numbers with half as many words of features, and of keys; d and the counts
   are still numbers. Query i attends to the first visible[i] keys, at least one, or to all keys if
   `visible` is null. */
void decant_attention_tile(const float *queries, const float *keys, const float *values, size_t d,
                           size_t count, size_t packed, const size_t *visible, int halves,
                           float *scores, float *output);

/* The choice of scales and codes of quantized weights, and statistics of activations
   (quantization.c). Every instruction set gives the same bits. */

/* errors[j] += sum of mean_squares[i] * (r_j * q - v)^2, where v = weights[i] / unit and q is v /
   r_j, rounded half to even and clamped to [-limit, limit]; mean_squares may be null (all 1). */
void decant_scale_errors(const float *weights, const float *mean_squares, size_t count, float unit,
                         float limit, const float *ratios, size_t candidates, double *errors);

/* codes[i] = weights[i] / scale, rounded half to even and clamped to [-limit, limit]. */
void decant_symmetric_codes(const float *weights, size_t count, float scale, float limit,
                            int16_t *codes);
void decant_symmetric_int8_codes(const float *weights, size_t count, float scale, float limit,
                                 int8_t *codes);

/* Adds w^2, (scale * code - w)^2, and both times mean_squares[i], to `sums`. mean_squares may be
   null. */
void decant_code_error(const float *weights, const float *mean_squares, const int16_t *codes,
                       size_t count, float scale, double *sums);

/* The numbers of a block of 256 weights in ggml's K-quants (blocks.c), with the least squared error
   that the search finds, each square times importance[i], which is positive.

   K-quants of `levels` + 1 = 16 or 32 codes: weight = scale * group_scale * code - minimum *
   group_minimum, for 8 groups of 32 weights. halves: scale and minimum as float16. bytes: 8 group
   scales, then 8 group minimums, up to 63. Codes are from 0 to `levels`. Returns the largest number
   before it is rounded to float16. */
float decant_affine_block(const float *weights, const float *importance, int levels,
                          uint16_t *halves, uint8_t *bytes, int16_t *codes);
/* Q6_K: weight = scale * group_scale * code, for 16 groups of 16 weights. Codes are from -32 to
   31. */
float decant_symmetric_block(const float *weights, const float *importance, uint16_t *scale,
                             int8_t *group_scales, int16_t *codes);

/* The largest magnitude; the sum of squares. */
float decant_largest_magnitude(const float *values, size_t count);
double decant_square_sum(const float *values, size_t count);

/* Updates the largest magnitude and the sum of squares of each column of a matrix. */
void decant_column_statistics(const float *values, size_t rows, size_t columns, size_t stride,
                              float *maxima, double *mean_squares);

/* Counts magnitudes by eighths of octaves from 2^-24 to 2^16. The first bin counts smaller numbers,
   the last one larger numbers. */
#define DECANT_HISTOGRAM_BINS 322
void decant_magnitude_histogram(const float *values, size_t count, uint64_t *bins);

/* Lossless coding (coding.c) of numbers of `planes` bytes: 1, 2, 4 or 8. Adds to
   counts[plane][value] the number of times that byte `plane` of a number has that value. */
void decant_count_bytes(const uint8_t *bytes, size_t elements, size_t planes, uint32_t *counts);
/* Copies byte `plane` of each number; and joins planes to numbers. */
void decant_take_plane(const uint8_t *bytes, size_t elements, size_t planes, size_t plane,
                       uint8_t *target);
void decant_join_planes(const uint8_t *const *sources, size_t elements, size_t planes,
                        uint8_t *target);

/* Folds all whole blocks of 64 bytes to 16 bytes and returns the number of folded bytes; 0 if the
   machine has no instruction for it or there are too few bytes. The CRC-32 (zlib, PNG, IEEE 802.3)
   of the 16 bytes, starting at 0xffffffff, is that of the folded bytes, starting at `crc`
   (checksum.c). */
size_t decant_crc32_fold(uint32_t crc, const uint8_t *bytes, size_t count, uint8_t *rest);

/* The maximum bits of a code; the streams of a chunk, each of a quarter of its bytes. */
#define DECANT_HUFFMAN_BITS 12
#define DECANT_HUFFMAN_STREAMS 4
/* Writes the codes of bytes one after another, from the lowest bit up. Returns the number of bytes
   written, or -1 if these and 7 more bytes do not fit in `capacity`. codes[value] is code << 8 |
   length. */
ptrdiff_t decant_huffman_encode(const uint8_t *bytes, size_t count, const uint32_t *codes,
                                uint8_t *target, size_t capacity);
/* Decodes adjacent streams of the given lengths to `count` bytes. table[next 12 bits] is value << 8
   | length of the code, never 0. Returns 0 if a stream does not end in its last byte, padded with
   zeros. Reads nothing beyond the last stream. */
int decant_huffman_decode(const uint8_t *streams, const size_t *lengths, const uint16_t *table,
                          size_t count, uint8_t *target);

#endif
