#include "forms.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define COLUMNS DECANT_TILE_COLUMNS

/* The keys of a part. Their 64 KB of scores stay in the second-level cache. */
#define PART (36 * DECANT_TILE_ROWS)

/* The score of a masked key, far below the initial value of the largest score. */
#define UNSEEN (-2e30f)

BODY void pack_columns(const float *source, size_t stride, size_t columns, size_t k,
                       float *target) {
  for (size_t first = 0; first < columns; first += DECANT_TILE_ROWS) {
    size_t some = columns - first < DECANT_TILE_ROWS ? columns - first : DECANT_TILE_ROWS;
    for (size_t step = 0; step < k; step++, target += DECANT_TILE_ROWS) {
      const float *line = source + step * stride + first;
      if (some == DECANT_TILE_ROWS) {
        memcpy(target, line, DECANT_TILE_ROWS * sizeof(float));
      } else {
        for (size_t i = 0; i < DECANT_TILE_ROWS; i++) target[i] = i < some ? line[i] : 0;
      }
    }
  }
}

BODY uint32_t pair(float low, float high) {
  uint32_t a = bits_of(low), b = bits_of(high);
  a += 0x7fff + ((a >> 16) & 1);
  b += 0x7fff + ((b >> 16) & 1);
  return (a >> 16) | (b & 0xffff0000);
}

BODY void pack_column_pairs(const float *source, size_t stride, size_t columns, size_t k,
                            float *target) {
  uint32_t *words = (uint32_t *)target;
  for (size_t first = 0; first < columns; first += DECANT_TILE_ROWS) {
    size_t some = columns - first < DECANT_TILE_ROWS ? columns - first : DECANT_TILE_ROWS;
    for (size_t step = 0; step < k; step += 2, words += DECANT_TILE_ROWS) {
      const float *line = source + step * stride + first;
      for (size_t i = 0; i < some; i++)
        words[i] = pair(line[i], step + 1 < k ? line[stride + i] : 0);
      for (size_t i = some; i < DECANT_TILE_ROWS; i++) words[i] = 0;
    }
  }
}

BODY void pair_rows(const float *x, size_t rows, float *target) {
  uint32_t pairs[COLUMNS];
  for (size_t row = 0; row < rows; row += 2, x += 2 * COLUMNS, target += COLUMNS) {
    for (size_t i = 0; i < COLUMNS; i++)
      pairs[i] = pair(x[i], row + 1 < rows ? x[COLUMNS + i] : 0);
    memcpy(target, pairs, sizeof pairs);
  }
}

/* Updates the largest score of each query and returns the factors for earlier sums. */
BODY void raise_largest(const float *scores, size_t keys, float *largest, float *factor) {
  float top[COLUMNS];
  memcpy(top, largest, sizeof top);
  for (size_t key = 0; key < keys; key++)
    for (size_t i = 0; i < COLUMNS; i++) {
      float score = scores[key * COLUMNS + i];
      top[i] = score > top[i] ? score : top[i];
    }
  for (size_t i = 0; i < COLUMNS; i++) {
    factor[i] = exponential2(largest[i] - top[i]);
    largest[i] = top[i];
  }
}

BODY void exponentials_of(float *scores, size_t keys, const float *largest, float *sums) {
  float total[COLUMNS];
  memcpy(total, sums, sizeof total);
  for (size_t key = 0; key < keys; key++)
    for (size_t i = 0; i < COLUMNS; i++) {
      float value = exponential2(scores[key * COLUMNS + i] - largest[i]);
      scores[key * COLUMNS + i] = value;
      total[i] += value;
    }
  memcpy(sums, total, sizeof total);
}

BODY void scale_rows(float *x, size_t rows, const float *factor) {
  for (size_t row = 0; row < rows; row++)
    for (size_t i = 0; i < COLUMNS; i++) x[row * COLUMNS + i] *= factor[i];
}

BODY void attention_part(float *scores, size_t keys, int halves, float *largest, float *sums,
                         float *output, size_t d) {
  float factor[COLUMNS];
  raise_largest(scores, keys, largest, factor);
  for (size_t i = 0; i < COLUMNS; i++) sums[i] *= factor[i];
  scale_rows(output, d, factor);
  if (!halves) exponentials_of(scores, keys, largest, sums);
}

#if defined(__x86_64__)
/* exponential2 with a relative error of 2^-13, for results that are rounded to bfloat16: a minimax
   polynomial. */
BODY float short_exponential2(float x) {
  static const float coefficients[] = {5.517132208e-2f, 2.426105440e-1f, 6.932609677e-1f,
                                       9.999281168e-1f};
  return exponential2_by(coefficients, 4, x);
}

/* As exponentials_of, but stores pairs of bfloat16 numbers of two keys. A part has space for an
   even number of keys; an odd number is padded with a score whose exponential is 0. */
TARGET_BF16 static void exponential_pairs_of(float *scores, size_t keys, const float *largest,
                                             float *sums) {
  /* Interleaves sixteen numbers of one key and sixteen of another. */
  const __m512i woven = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  float total[COLUMNS];
  memcpy(total, sums, sizeof total);
  if (keys % 2)
    for (size_t i = 0; i < COLUMNS; i++) scores[keys * COLUMNS + i] = UNSEEN;
  for (size_t key = 0; key < keys; key += 2) {
    const float *line = scores + key * COLUMNS;
    float low[COLUMNS], high[COLUMNS];
    for (size_t i = 0; i < COLUMNS; i++) {
      low[i] = short_exponential2(line[i] - largest[i]);
      high[i] = short_exponential2(line[COLUMNS + i] - largest[i]);
      total[i] = total[i] + low[i] + high[i];
    }
    for (size_t i = 0; i < COLUMNS; i += 16) {
      __m512i halves =
          (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(high + i), _mm512_loadu_ps(low + i));
      _mm512_storeu_si512(scores + key / 2 * COLUMNS + i, _mm512_permutexvar_epi16(woven, halves));
    }
  }
  memcpy(sums, total, sizeof total);
}
#endif

FORMS(void, pack_columns,
      (const float *source, size_t stride, size_t columns, size_t k, float *target),
      (source, stride, columns, k, target))
FORMS(void, pack_column_pairs,
      (const float *source, size_t stride, size_t columns, size_t k, float *target),
      (source, stride, columns, k, target))
FORMS(void, pair_rows, (const float *x, size_t rows, float *target), (x, rows, target))
FORMS(void, attention_part,
      (float *scores, size_t keys, int halves, float *largest, float *sums, float *output,
       size_t d),
      (scores, keys, halves, largest, sums, output, d))
FORMS(void, scale_rows, (float *x, size_t rows, const float *factor), (x, rows, factor))

size_t decant_attention_scratch(void) { return (size_t)PART * COLUMNS; }

void decant_attention_tile(const float *queries, const float *keys, const float *values, size_t d,
                           size_t count, size_t packed, const size_t *visible, int halves,
                           float *scores, float *output) {
  size_t words = halves ? 2 : 1, features = (d + words - 1) / words;
  packed = (packed + words - 1) / words;
  float largest[COLUMNS], sums[COLUMNS];
  for (size_t i = 0; i < COLUMNS; i++) {
    /* Below every score, but not so far that differences overflow. */
    largest[i] = -1e30f;
    sums[i] = 0;
  }
  memset(output, 0, d * COLUMNS * sizeof(float));
  for (size_t first = 0; first < count; first += PART) {
    size_t some = count - first < PART ? count - first : PART;
    struct decant_product p = {.c = scores, .stride = COLUMNS, .rows = some, .columns = COLUMNS};
    if (halves)
      decant_product_bf16(keys + first * features, queries, features, &p);
    else
      decant_product_f32(keys + first * d, queries, d, &p);
    if (visible)
      for (size_t key = 0; key < some; key++)
        for (size_t i = 0; i < COLUMNS; i++)
          if (first + key >= visible[i]) scores[key * COLUMNS + i] = UNSEEN;
    decant_attention_part(scores, some, halves, largest, sums, output, d);
#if defined(__x86_64__)
    if (halves) exponential_pairs_of(scores, some, largest, sums);
#endif
    for (size_t row = 0; row < d; row += DECANT_TILE_ROWS) {
      p = (struct decant_product){.c = output + row * COLUMNS,
                                  .stride = COLUMNS,
                                  .rows = d - row < DECANT_TILE_ROWS ? d - row : DECANT_TILE_ROWS,
                                  .columns = COLUMNS,
                                  .keep = 1};
      const float *block = values + row * packed + first / words * DECANT_TILE_ROWS;
      if (halves)
        decant_product_bf16(block, scores, (some + 1) / 2, &p);
      else
        decant_product_f32(block, scores, some, &p);
    }
  }
  for (size_t i = 0; i < COLUMNS; i++) sums[i] = 1 / sums[i];
  decant_scale_rows(output, d, sums);
}
