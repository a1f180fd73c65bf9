#include "forms.h"

void decant_prefetch_rows(const void *bytes, size_t stride, size_t rows, size_t count) {
  for (size_t row = 0; row < rows; row++) {
    uintptr_t start = (uintptr_t)bytes + row * stride, end = start + count;
    /* As far as the second-level cache; a row may begin within a line. */
    for (uintptr_t line = start / 64 * 64; line < end; line += 64)
      __builtin_prefetch((const void *)line, 0, 2);
  }
}

void decant_transpose(const float *source, size_t source_stride, size_t rows, size_t columns,
                      float *target, size_t target_stride) {
  /* Squares that stay in the first cache, both ways. */
  enum { SIDE = 16 };
  for (size_t row = 0; row < rows; row += SIDE) {
    size_t height = rows - row < SIDE ? rows - row : SIDE;
    for (size_t column = 0; column < columns; column += SIDE) {
      size_t width = columns - column < SIDE ? columns - column : SIDE;
      for (size_t j = 0; j < width; j++)
        for (size_t i = 0; i < height; i++)
          target[(column + j) * target_stride + row + i] =
              source[(row + i) * source_stride + column + j];
    }
  }
}
