/* The kernel of inner products for one instruction set. Included by inner.c with TARGET, LANES,
   NAME(x), CHUNK_ROWS x CHUNK_COLUMNS (the sums that fit the registers), and WIDEN(halves), which
   makes floats of half floats. Private to this folder. */

typedef float NAME(floats) __attribute__((ext_vector_type(LANES), aligned(4)));
typedef _Float16 NAME(halves) __attribute__((ext_vector_type(LANES), aligned(2)));

BODY TARGET NAME(floats) NAME(take)(const void *row, size_t at, int halves) {
  if (halves) return WIDEN(*(const NAME(halves) *)((const uint16_t *)row + at));
  return *(const NAME(floats) *)((const float *)row + at);
}

/* The last numbers of a row, fewer than LANES, padded with zeros. */
BODY TARGET NAME(floats) NAME(take_some)(const void *row, size_t at, size_t count, int halves) {
  uint32_t words[LANES] = {0};
  if (halves)
    memcpy(words, (const uint16_t *)row + at, count * sizeof(uint16_t));
  else
    memcpy(words, (const float *)row + at, count * sizeof(float));
  return NAME(take)(words, 0, halves);
}

/* The horizontal sums of four vectors: adds pairs of vectors, then all four in each 128-bit lane,
   then the lanes. */
#if LANES == 16
#define PAIRS_LOW 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define PAIRS_HIGH 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define FOURS_LOW 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define FOURS_HIGH 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#elif LANES == 8
#define PAIRS_LOW 0, 8, 1, 9, 4, 12, 5, 13
#define PAIRS_HIGH 2, 10, 3, 11, 6, 14, 7, 15
#define FOURS_LOW 0, 1, 8, 9, 4, 5, 12, 13
#define FOURS_HIGH 2, 3, 10, 11, 6, 7, 14, 15
#else
#define PAIRS_LOW 0, 4, 1, 5
#define PAIRS_HIGH 2, 6, 3, 7
#define FOURS_LOW 0, 1, 4, 5
#define FOURS_HIGH 2, 3, 6, 7
#endif
BODY TARGET floats4 NAME(add_up)(const NAME(floats) x[4]) {
  NAME(floats) low = __builtin_shufflevector(x[0], x[1], PAIRS_LOW) +
                     __builtin_shufflevector(x[0], x[1], PAIRS_HIGH);
  NAME(floats) high = __builtin_shufflevector(x[2], x[3], PAIRS_LOW) +
                      __builtin_shufflevector(x[2], x[3], PAIRS_HIGH);
  NAME(floats) sums = __builtin_shufflevector(low, high, FOURS_LOW) +
                      __builtin_shufflevector(low, high, FOURS_HIGH);
#if LANES == 16
  floats8 half = sums.lo + sums.hi;
  return half.lo + half.hi;
#elif LANES == 8
  return sums.lo + sums.hi;
#else
  return sums;
#endif
}
#undef PAIRS_LOW
#undef PAIRS_HIGH
#undef FOURS_LOW
#undef FOURS_HIGH

/* Adds the products of `count` numbers, at most LANES, of each row and each column. */
BODY TARGET void NAME(inner_step)(NAME(floats) sums[CHUNK_ROWS][CHUNK_COLUMNS], const char *left,
                                  size_t row_bytes, int halves, const float *right,
                                  size_t b_stride, size_t step, size_t count, int rows,
                                  int columns) {
  NAME(floats) weights[CHUNK_ROWS];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
    weights[i] = count == LANES
                     ? NAME(take)(left + (size_t)i * row_bytes, step, halves)
                     : NAME(take_some)(left + (size_t)i * row_bytes, step, count, halves);
#pragma clang loop unroll(full)
  for (int j = 0; j < columns; j++) {
    NAME(floats) pixels = *(const NAME(floats) *)(right + (size_t)j * b_stride + step);
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) sums[i][j] += weights[i] * pixels;
  }
}

/* Computes `rows` x `columns` sums. Both are constants after inlining. */
BODY TARGET void NAME(inner_chunk)(const void *a, size_t a_stride, int halves, const float *b,
                                   size_t b_stride, size_t k, int rows, int columns,
                                   const struct decant_product *p, size_t row, size_t column) {
  size_t row_bytes = a_stride * (halves ? sizeof(uint16_t) : sizeof(float)), step = 0;
  const char *left = (const char *)a + row * row_bytes;
  const float *right = b + column * b_stride;
  NAME(floats) sums[CHUNK_ROWS][CHUNK_COLUMNS];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) sums[i][j] = (NAME(floats))(0.0f);
  for (; step + LANES <= k; step += LANES)
    NAME(inner_step)(sums, left, row_bytes, halves, right, b_stride, step, LANES, rows, columns);
  if (step < k)
    NAME(inner_step)(sums, left, row_bytes, halves, right, b_stride, step, k - step, rows, columns);
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++) {
    size_t place = (row + (size_t)i) * p->stride + column;
    float *line = (float *)p->c + place;
    const float *added = p->residual ? p->residual + place : 0;
    float bias = p->bias ? p->bias[row + (size_t)i] : 0;
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j += 4) {
      NAME(floats) four[4];
#pragma clang loop unroll(full)
      for (int l = 0; l < 4; l++)
        four[l] = j + l < columns ? sums[i][j + l] : (NAME(floats))(0.0f);
      floats4 found = NAME(add_up)(four);
      if (j + 4 <= columns) {
        if (p->keep) found += *(const floats4 *)(line + j);
        found += bias;
        if (added) found += *(const floats4 *)(added + j);
        *(floats4 *)(line + j) = found;
        continue;
      }
#pragma clang loop unroll(full)
      for (int l = 0; l < columns - j; l++) {
        float value = (p->keep ? found[l] + line[j + l] : found[l]) + bias;
        line[j + l] = added ? value + added[j + l] : value;
      }
    }
  }
}

/* Computes all rows of a few columns, whose pixels stay in a cache. */
BODY TARGET void NAME(inner_columns)(const void *a, size_t a_stride, int halves, const float *b,
                                     size_t b_stride, size_t k, int columns,
                                     const struct decant_product *p, size_t column,
                                     struct fetching *fetching) {
  size_t row = 0;
  for (; row + CHUNK_ROWS <= p->rows; row += CHUNK_ROWS) {
    fetch_some(fetching);
    NAME(inner_chunk)(a, a_stride, halves, b, b_stride, k, CHUNK_ROWS, columns, p, row, column);
  }
  for (; row < p->rows; row++)
    NAME(inner_chunk)(a, a_stride, halves, b, b_stride, k, 1, columns, p, row, column);
}

BODY TARGET void NAME(inner)(const void *a, size_t a_stride, int halves, const float *b,
                             size_t b_stride, size_t k, const struct decant_product *p,
                             const struct decant_ahead *ahead) {
  size_t chunks = p->rows / CHUNK_ROWS * ((p->columns + CHUNK_COLUMNS - 1) / CHUNK_COLUMNS);
  struct fetching fetching = fetching_of(ahead, chunks);
  size_t column = 0;
#define COLUMNS(n) \
  NAME(inner_columns)(a, a_stride, halves, b, b_stride, k, n, p, column, &fetching)
  for (; column + CHUNK_COLUMNS <= p->columns; column += CHUNK_COLUMNS) COLUMNS(CHUNK_COLUMNS);
  switch (p->columns - column) {
    case 0: break;
    case 1: COLUMNS(1); break;
    case 2: COLUMNS(2); break;
    case 3: COLUMNS(3); break;
#if CHUNK_COLUMNS > 4
    case 4: COLUMNS(4); break;
    case 5: COLUMNS(5); break;
    case 6: COLUMNS(6); break;
    default: COLUMNS(7); break;
#endif
  }
#undef COLUMNS
}

TARGET static void NAME(inner_floats)(const float *a, size_t a_stride, const float *b,
                                      size_t b_stride, size_t k, const struct decant_product *p,
                                      const struct decant_ahead *ahead) {
  NAME(inner)(a, a_stride, 0, b, b_stride, k, p, ahead);
}

TARGET static void NAME(inner_halves)(const uint16_t *a, size_t a_stride, const float *b,
                                      size_t b_stride, size_t k, const struct decant_product *p,
                                      const struct decant_ahead *ahead) {
  NAME(inner)(a, a_stride, 1, b, b_stride, k, p, ahead);
}
