#include "forms.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define TILE_ROWS DECANT_TILE_ROWS
#define TILE_COLUMNS DECANT_TILE_COLUMNS

#define MULTIPLY(sum, left, right) sum += left * right
#if defined(__x86_64__)
#define TARGET TARGET_AVX512
#define LANES 16
#define CHUNK_ROWS 14
#define CHUNK_VECTORS 2
#define NAME(x) x##_avx512
#include "tile.h"
#undef TARGET
#undef LANES
#undef CHUNK_ROWS
#undef CHUNK_VECTORS
#undef NAME

#define TARGET TARGET_AVX2
#define LANES 8
#define CHUNK_ROWS 6
#define CHUNK_VECTORS 2
#define NAME(x) x##_avx2
#include "tile.h"
#undef TARGET
#undef LANES
#undef CHUNK_ROWS
#undef CHUNK_VECTORS
#undef NAME
#endif

/* Sixteen registers of four numbers, as SSE2 and NEON have. */
#define TARGET
#define LANES 4
#define CHUNK_ROWS 4
#define CHUNK_VECTORS 2
#define NAME(x) x##_portable
#include "tile.h"
#undef TARGET
#undef LANES
#undef CHUNK_ROWS
#undef CHUNK_VECTORS
#undef NAME
#undef MULTIPLY

/* Each word is a pair of bfloat16 numbers; sums are float32. */
#if defined(__x86_64__)
#define TARGET TARGET_BF16
#define LANES 16
#define CHUNK_ROWS 14
#define CHUNK_VECTORS 2
#define NAME(x) x##_bf16
#define MULTIPLY(sum, left, right) \
  sum = (floats_bf16)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(left), (__m512bh)(right))
#include "tile.h"
#endif

typedef void (*float_tile)(const float *, const float *, size_t, const struct decant_product *);

static void product(float_tile tile, const float *a, const float *b, size_t k,
                    const struct decant_product *p) {
  struct decant_product part = *p;
  for (size_t row = 0; row < p->rows; row += TILE_ROWS) {
    part.rows = p->rows - row < TILE_ROWS ? p->rows - row : TILE_ROWS;
    part.c = (float *)p->c + row * p->stride;
    part.residual = p->residual ? p->residual + row * p->stride : 0;
    part.bias = p->bias ? p->bias + row : 0;
    tile(a + row * k, b, k, &part);
  }
}

void decant_product_f32(const float *a, const float *b, size_t k, const struct decant_product *p) {
  float_tile tile = float_tile_portable;
#if defined(__x86_64__)
  int level = decant_simd_level();
  if (level >= 2)
    tile = float_tile_avx512;
  else if (level == 1)
    tile = float_tile_avx2;
#endif
  product(tile, a, b, k, p);
}

int decant_product_bf16(const float *a, const float *b, size_t k, const struct decant_product *p) {
#if defined(__x86_64__)
  if (decant_simd_level() >= 4) {
    if (p) product(float_tile_bf16, a, b, k, p);
    return 1;
  }
#else
  (void)a, (void)b, (void)k, (void)p;
#endif
  return 0;
}

/* Products of integers */

/* Stores rows of sums: as float32 results, or as sums that the next part of the product
   continues. */
BODY void finish_rows(int32_t (*sums)[TILE_COLUMNS], const struct decant_int8_product *p) {
#pragma clang fp contract(off)
  const struct decant_product *q = &p->product;
  for (size_t row = 0; row < q->rows; row++) {
    int32_t *kept = (int32_t *)q->c + row * q->stride;
    if (q->keep)
      for (size_t i = 0; i < q->columns; i++) sums[row][i] += kept[i];
    if (!p->last) {
      memcpy(kept, sums[row], q->columns * 4);
      continue;
    }
    float *line = (float *)q->c + row * q->stride;
    const float *added = q->residual ? q->residual + row * q->stride : 0;
    float bias = q->bias ? q->bias[row] : 0, scale = p->row_scales[row];
    int32_t total = p->row_sums[row];
    for (size_t i = 0; i < q->columns; i++) {
      float value = (float)(sums[row][i] - p->zeros[i] * total) * (scale * p->scales[i]) + bias;
      line[i] = added ? value + added[i] : value;
    }
  }
}

#if defined(__x86_64__)
#define TARGET_VNNI \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")))

/* Stores a complete chunk. Each pass processes all vectors, so that there is no branch for each
   vector. */
BODY TARGET_VNNI void int8_finish_vnni(__m512i sums[TILE_ROWS][2], int rows, int vectors,
                                       const struct decant_int8_product *p) {
#define EACH_SUM                                                             \
  _Pragma("clang loop unroll(full)") for (int i = 0; i < rows; i++) _Pragma( \
      "clang loop unroll(full)") for (int j = 0; j < vectors; j++)
  const struct decant_product *q = &p->product;
  size_t stride = q->stride;
  int32_t *c = q->c;
  if (q->keep)
    EACH_SUM sums[i][j] =
        _mm512_add_epi32(sums[i][j], _mm512_loadu_si512(c + (size_t)i * stride + 16 * j));
  if (p->last) {
    __m512i zeros[2];
    __m512 scales[2];
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) {
      zeros[j] = _mm512_loadu_si512(p->zeros + 16 * j);
      scales[j] = _mm512_loadu_ps(p->scales + 16 * j);
    }
    EACH_SUM sums[i][j] = _mm512_sub_epi32(
        sums[i][j], _mm512_mullo_epi32(zeros[j], _mm512_set1_epi32(p->row_sums[i])));
    EACH_SUM sums[i][j] = _mm512_castps_si512(
        _mm512_mul_ps(_mm512_cvtepi32_ps(sums[i][j]),
                      _mm512_mul_ps(_mm512_set1_ps(p->row_scales[i]), scales[j])));
    /* A separate addition, not fused with the product, as in the other forms. A bias of 0 turns -0
       into 0 there, and so here. */
    EACH_SUM sums[i][j] = _mm512_castps_si512(_mm512_add_round_ps(
        _mm512_castsi512_ps(sums[i][j]), _mm512_set1_ps(q->bias ? q->bias[i] : 0),
        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    if (q->residual)
      EACH_SUM sums[i][j] = _mm512_castps_si512(
          _mm512_add_ps(_mm512_castsi512_ps(sums[i][j]),
                        _mm512_loadu_ps(q->residual + (size_t)i * stride + 16 * j)));
  }
  EACH_SUM _mm512_storeu_si512(c + (size_t)i * stride + 16 * j, sums[i][j]);
#undef EACH_SUM
}

/* Stores a partial chunk. It is not inlined, because there is at most one in each panel, and it
   would be copied into every size of chunk. */
TARGET_VNNI static void int8_rest_vnni(int32_t (*sums)[TILE_COLUMNS],
                                       const struct decant_int8_product *p) {
  finish_rows(sums, p);
}

BODY TARGET_VNNI void int8_chunk_vnni(const uint32_t *a, const uint32_t *b, size_t k, int rows,
                                      int vectors, const struct decant_int8_product *p) {
  __m512i sums[TILE_ROWS][2];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) sums[i][j] = _mm512_setzero_si512();
  for (size_t step = 0; step < k; step++) {
    __m512i right[2];
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++)
      right[j] = _mm512_loadu_si512(b + step * TILE_COLUMNS + 16 * j);
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) {
      __m512i left = _mm512_set1_epi32((int)a[step * TILE_ROWS + i]);
#pragma clang loop unroll(full)
      for (int j = 0; j < vectors; j++) sums[i][j] = _mm512_dpbusd_epi32(sums[i][j], right[j], left);
    }
  }
  if ((size_t)rows <= p->product.rows && 16 * (size_t)vectors <= p->product.columns) {
    int8_finish_vnni(sums, rows, vectors, p);
    return;
  }
  int32_t rest[TILE_ROWS][TILE_COLUMNS];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) _mm512_storeu_si512(&rest[i][16 * j], sums[i][j]);
  int8_rest_vnni(rest, p);
}

/* Computes at most 14 rows with the smallest chunk that has as many. */
TARGET_VNNI static void int8_tile_vnni(const uint32_t *a, const uint32_t *b, size_t k,
                                       const struct decant_int8_product *p) {
  size_t rows = p->product.rows;
  int narrow = p->product.columns <= 16;
#define CHUNK(n)                        \
  if (narrow)                           \
    int8_chunk_vnni(a, b, k, n, 1, p);  \
  else                                  \
    int8_chunk_vnni(a, b, k, n, 2, p)
  if (rows > 12) {
    CHUNK(14);
  } else if (rows > 10) {
    CHUNK(12);
  } else if (rows > 8) {
    CHUNK(10);
  } else if (rows > 6) {
    CHUNK(8);
  } else {
    CHUNK(6);
  }
#undef CHUNK
}

/* The steps whose weights are widened at a time. 14 rows of them stay in the first-level cache. */
#define WIDE_STEPS 64

/* Bytes 0 and 2 of each word, and 1 and 3, as pairs of 16 bits. */
BODY TARGET_AVX2 void widen_weights(const uint32_t *a, size_t words, int32_t *even, int32_t *odd) {
  size_t i = 0;
  for (; i + 8 <= words; i += 8) {
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(a + i));
    _mm256_storeu_si256((__m256i *)(even + i),
                        _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8));
    _mm256_storeu_si256((__m256i *)(odd + i), _mm256_srai_epi16(bytes, 8));
  }
  for (; i < words; i++) {
    const int8_t *bytes = (const int8_t *)(a + i);
    even[i] = (int32_t)((uint16_t)bytes[0] | (uint32_t)(uint16_t)bytes[2] << 16);
    odd[i] = (int32_t)((uint16_t)bytes[1] | (uint32_t)(uint16_t)bytes[3] << 16);
  }
}

/* The rows whose sums of 16 columns fit in the registers. */
#define WIDE_ROWS 5

BODY TARGET_AVX2 void add_pairs(__m256i total[WIDE_ROWS][2], const __m256i pixels[2],
                                const int32_t *weights, int rows) {
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++) {
    __m256i weight = _mm256_set1_epi32(weights[i]);
#pragma clang loop unroll(full)
    for (int j = 0; j < 2; j++)
      total[i][j] = _mm256_add_epi32(total[i][j], _mm256_madd_epi16(pixels[j], weight));
  }
}

/* The sum of four products of bytes is the sum of two exact products of pairs of 16 bits. */
BODY TARGET_AVX2 void int8_chunk_avx2(const int32_t *even, const int32_t *odd, const uint32_t *b,
                                      size_t k, int rows, size_t row, size_t column,
                                      int32_t sums[TILE_ROWS][TILE_COLUMNS]) {
  __m256i total[WIDE_ROWS][2];
  const __m256i low = _mm256_set1_epi16(0xff);
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < 2; j++)
      total[i][j] = _mm256_loadu_si256((const __m256i *)&sums[row + i][column + 8 * j]);
  for (size_t step = 0; step < k; step++) {
    const __m256i *source = (const __m256i *)(b + step * TILE_COLUMNS + column);
    __m256i pixels[2];
#pragma clang loop unroll(full)
    for (int j = 0; j < 2; j++)
      pixels[j] = _mm256_and_si256(_mm256_loadu_si256(source + j), low);
    add_pairs(total, pixels, even + step * TILE_ROWS + row, rows);
#pragma clang loop unroll(full)
    for (int j = 0; j < 2; j++) pixels[j] = _mm256_srli_epi16(_mm256_loadu_si256(source + j), 8);
    add_pairs(total, pixels, odd + step * TILE_ROWS + row, rows);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < 2; j++)
      _mm256_storeu_si256((__m256i *)&sums[row + i][column + 8 * j], total[i][j]);
}

TARGET_AVX2 static void int8_sums_avx2(const uint32_t *a, const uint32_t *b, size_t k, size_t rows,
                                       size_t columns, int32_t sums[TILE_ROWS][TILE_COLUMNS]) {
  int32_t even[WIDE_STEPS * TILE_ROWS], odd[WIDE_STEPS * TILE_ROWS];
  memset(sums, 0, TILE_ROWS * sizeof sums[0]);
  for (size_t step = 0; step < k; step += WIDE_STEPS) {
    size_t steps = k - step < WIDE_STEPS ? k - step : WIDE_STEPS;
    widen_weights(a + step * TILE_ROWS, steps * TILE_ROWS, even, odd);
    const uint32_t *pixels = b + step * TILE_COLUMNS;
    for (size_t column = 0; column < columns; column += 16)
      for (size_t row = 0; row < rows;) {
        if (rows - row >= WIDE_ROWS) {
          int8_chunk_avx2(even, odd, pixels, steps, WIDE_ROWS, row, column, sums);
          row += WIDE_ROWS;
        } else if (rows - row > 2 && row + 4 <= TILE_ROWS) {
          int8_chunk_avx2(even, odd, pixels, steps, 4, row, column, sums);
          row += 4;
        } else {
          int8_chunk_avx2(even, odd, pixels, steps, 2, row, column, sums);
          row += 2;
        }
      }
  }
}
#endif

static void int8_sums_portable(const uint32_t *a, const uint32_t *b, size_t k, size_t rows,
                               size_t columns, int32_t sums[TILE_ROWS][TILE_COLUMNS]) {
  for (size_t row = 0; row < rows; row++) {
    memset(sums[row], 0, sizeof sums[row]);
    for (size_t step = 0; step < k; step++) {
      const int8_t *left = (const int8_t *)(a + step * TILE_ROWS + row);
      const uint8_t *right = (const uint8_t *)(b + step * TILE_COLUMNS);
      int l0 = left[0], l1 = left[1], l2 = left[2], l3 = left[3];
      for (size_t i = 0; i < columns; i++)
        sums[row][i] += right[4 * i] * l0 + right[4 * i + 1] * l1 + right[4 * i + 2] * l2 +
                        right[4 * i + 3] * l3;
    }
  }
}

static void int8_tile(const uint32_t *a, const uint32_t *b, size_t k,
                      const struct decant_int8_product *p) {
  const struct decant_product *q = &p->product;
  int32_t sums[TILE_ROWS][TILE_COLUMNS];
#if defined(__x86_64__)
  if (decant_simd_level() > 0)
    int8_sums_avx2(a, b, k, q->rows, q->columns, sums);
  else
#endif
    int8_sums_portable(a, b, k, q->rows, q->columns, sums);
  finish_rows(sums, p);
}

void decant_product_u8s8(const uint32_t *a, const uint32_t *b, size_t k,
                         const struct decant_int8_product *p) {
  struct decant_int8_product part = *p;
  struct decant_product *q = &part.product;
  const struct decant_product *whole = &p->product;
  void (*tile)(const uint32_t *, const uint32_t *, size_t, const struct decant_int8_product *) =
      int8_tile;
#if defined(__x86_64__)
  if (decant_simd_level() >= 3) tile = int8_tile_vnni;
#endif
  for (size_t row = 0; row < whole->rows; row += TILE_ROWS) {
    q->rows = whole->rows - row < TILE_ROWS ? whole->rows - row : TILE_ROWS;
    q->c = (float *)whole->c + row * whole->stride;
    q->residual = whole->residual ? whole->residual + row * whole->stride : 0;
    q->bias = whole->bias ? whole->bias + row : 0;
    part.row_scales = p->row_scales + row;
    part.row_sums = p->row_sums + row;
    tile(a + row * k, b, k, &part);
  }
}
