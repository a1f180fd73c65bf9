/* The kernels of one tile of a matrix product for one instruction set. products.c includes it with
   these macros: TARGET, LANES, NAME(x), CHUNK_ROWS (the maximum rows whose sums fit in the
   registers), CHUNK_VECTORS (vectors of columns at a time), and MULTIPLY(sum, left, right), which
   adds the products of a word of `a` and a vector of words of `b`. Private to this folder. */

typedef float NAME(floats) __attribute__((ext_vector_type(LANES), aligned(4)));

/* Stores the sums of a partial chunk. Loops of a constant length become masked vectors, where the
   instruction set has masks. */
TARGET static void NAME(finish_part)(float (*sums)[CHUNK_VECTORS * LANES], size_t rows,
                                     size_t columns, const struct decant_product *p, size_t row,
                                     size_t column) {
  if (rows > p->rows - row) rows = p->rows - row;
  if (columns > p->columns - column) columns = p->columns - column;
  for (size_t i = 0; i < rows; i++, row++) {
    float *line = (float *)p->c + row * p->stride + column;
    const float *added = p->residual ? p->residual + row * p->stride + column : 0;
    float bias = p->bias ? p->bias[row] : 0;
    if (p->keep)
      for (size_t l = 0; l < CHUNK_VECTORS * LANES; l++)
        if (l < columns) sums[i][l] += line[l];
    for (size_t l = 0; l < CHUNK_VECTORS * LANES; l++)
      if (l < columns) sums[i][l] += bias;
    if (added)
      for (size_t l = 0; l < CHUNK_VECTORS * LANES; l++)
        if (l < columns) sums[i][l] += added[l];
    for (size_t l = 0; l < CHUNK_VECTORS * LANES; l++)
      if (l < columns) line[l] = sums[i][l];
  }
}

/* Computes `rows` x `vectors` sums. Both are constants after inlining. */
BODY TARGET void NAME(float_chunk)(const float *a, const float *b, size_t k, int rows, int vectors,
                                   const struct decant_product *p, size_t row, size_t column) {
  NAME(floats) sums[CHUNK_ROWS][CHUNK_VECTORS];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) sums[i][j] = (NAME(floats))(0.0f);
  for (size_t step = 0; step < k; step++) {
    NAME(floats) right[CHUNK_VECTORS];
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++)
      right[j] = *(const NAME(floats) *)(b + step * TILE_COLUMNS + j * LANES);
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) {
      NAME(floats) left = (NAME(floats))(a[step * TILE_ROWS + i]);
#pragma clang loop unroll(full)
      for (int j = 0; j < vectors; j++) MULTIPLY(sums[i][j], left, right[j]);
    }
  }
  if (row + (size_t)rows > p->rows || column + (size_t)vectors * LANES > p->columns) {
    float rest[CHUNK_ROWS][CHUNK_VECTORS * LANES];
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
      for (int j = 0; j < vectors; j++) *(NAME(floats) *)&rest[i][j * LANES] = sums[i][j];
    NAME(finish_part)(rest, (size_t)rows, (size_t)vectors * LANES, p, row, column);
    return;
  }
  /* Each pass processes all vectors, so that there is no branch for each vector. */
  size_t stride = p->stride;
  float *c = (float *)p->c + row * stride + column;
  const float *added = p->residual ? p->residual + row * stride + column : 0;
  if (p->keep)
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
      for (int j = 0; j < vectors; j++)
        sums[i][j] += *(NAME(floats) *)(c + (size_t)i * stride + j * LANES);
  if (p->bias) {
    const float *bias = p->bias + row;
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
      for (int j = 0; j < vectors; j++) sums[i][j] += (NAME(floats))(bias[i]);
  }
  if (added)
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
      for (int j = 0; j < vectors; j++)
        sums[i][j] += *(const NAME(floats) *)(added + (size_t)i * stride + j * LANES);
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++)
      *(NAME(floats) *)(c + (size_t)i * stride + j * LANES) = sums[i][j];
}

TARGET static void NAME(float_tile)(const float *a, const float *b, size_t k,
                                    const struct decant_product *p) {
  size_t width = LANES * CHUNK_VECTORS;
  for (size_t column = 0; column < p->columns; column += width) {
    const float *right = b + column;
    int narrow = CHUNK_VECTORS > 1 && p->columns - column <= LANES;
    for (size_t row = 0; row < p->rows;) {
      const float *left = a + row;
      size_t rest = p->rows - row;
#define CHUNK(n)                                                              \
  if (narrow)                                                                 \
    NAME(float_chunk)(left, right, k, n, 1, p, row, column);                  \
  else                                                                        \
    NAME(float_chunk)(left, right, k, n, CHUNK_VECTORS, p, row, column);      \
  row += n
#if CHUNK_ROWS == 14
      if (rest > 12) {
        CHUNK(14);
      } else if (rest > 10) {
        CHUNK(12);
      } else if (rest > 8) {
        CHUNK(10);
      } else if (rest > 6) {
        CHUNK(8);
      } else if (rest > 4) {
        CHUNK(6);
      } else
#elif CHUNK_ROWS == 6
      /* 14 rows as 5, 5 and 4. Chunks of 2 rows would have too few independent sums. */
      if (rest > 12 || rest == 10 || rest == 9 || rest == 5) {
        CHUNK(5);
      } else if (rest > 10 || rest == 6) {
        CHUNK(6);
      } else
#endif
          if (rest > 2) {
        CHUNK(4);
      } else {
        CHUNK(2);
      }
#undef CHUNK
    }
  }
}
