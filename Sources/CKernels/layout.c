#include "forms.h"
#include "squares.h"

void decant_prefetch(const struct decant_ahead *ahead) {
  for (size_t row = 0; row < ahead->rows; row++) {
    const char *line = (const char *)ahead->bytes + row * ahead->stride;
    /* Prefetches into the second-level cache. */
    for (size_t at = 0; at < ahead->count; at += 64) __builtin_prefetch(line + at, 0, 2);
  }
}

BODY void transpose_square_16(const float *source, size_t source_stride, float *target,
                              size_t target_stride) {
  words16 r[16];
#pragma clang loop unroll(full)
  for (size_t i = 0; i < 16; i++) r[i] = *(const words16 *)(source + i * source_stride);
  transpose16(r);
#pragma clang loop unroll(full)
  for (size_t i = 0; i < 16; i++) *(words16 *)(target + i * target_stride) = r[i];
}

BODY void transpose_square_8(const float *source, size_t source_stride, float *target,
                             size_t target_stride) {
  words8 r[8];
#pragma clang loop unroll(full)
  for (size_t i = 0; i < 8; i++) r[i] = *(const words8 *)(source + i * source_stride);
  transpose8(r);
#pragma clang loop unroll(full)
  for (size_t i = 0; i < 8; i++) *(words8 *)(target + i * target_stride) = r[i];
}

/* Transposes squares of `side`. A partial square at the end is replaced by one that overlaps the
   previous square. */
BODY void transpose_by(size_t side, const float *source, size_t source_stride, size_t rows,
                       size_t columns, float *target, size_t target_stride) {
  if (rows < side || columns < side) {
    for (size_t i = 0; i < rows; i++)
      for (size_t j = 0; j < columns; j++)
        target[j * target_stride + i] = source[i * source_stride + j];
    return;
  }
  /* The order extends each row of the target by a cache line with each square. */
  for (size_t column = 0; column < columns; column += side) {
    size_t j = column + side <= columns ? column : columns - side;
    for (size_t row = 0; row < rows; row += side) {
      size_t i = row + side <= rows ? row : rows - side;
      const float *from = source + i * source_stride + j;
      float *to = target + j * target_stride + i;
      if (side == 16)
        transpose_square_16(from, source_stride, to, target_stride);
      else
        transpose_square_8(from, source_stride, to, target_stride);
    }
  }
}

BODY void transpose_16(const float *source, size_t source_stride, size_t rows, size_t columns,
                       float *target, size_t target_stride) {
  transpose_by(16, source, source_stride, rows, columns, target, target_stride);
}

BODY void transpose_8(const float *source, size_t source_stride, size_t rows, size_t columns,
                      float *target, size_t target_stride) {
  transpose_by(8, source, source_stride, rows, columns, target, target_stride);
}

FORMS_BY(void, transpose, transpose_16, transpose_8,
         (const float *source, size_t source_stride, size_t rows, size_t columns, float *target,
          size_t target_stride),
         (source, source_stride, rows, columns, target, target_stride))
