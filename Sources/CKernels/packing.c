#include "forms.h"
#include "squares.h"

#define TILE_ROWS DECANT_TILE_ROWS
#define TILE_COLUMNS DECANT_TILE_COLUMNS

typedef float floats8 __attribute__((ext_vector_type(8)));
typedef float floats16 __attribute__((ext_vector_type(16)));
typedef _Float16 halves8 __attribute__((ext_vector_type(8), aligned(2)));
typedef _Float16 halves16 __attribute__((ext_vector_type(16), aligned(2)));

/* Loads words of a row, or as many float16 numbers, widened. */
BODY void take8(const void *row, size_t first, int halves, words8 *r) {
  if (halves)
    *r = (words8)__builtin_convertvector(*(const halves8 *)((const uint16_t *)row + first),
                                         floats8);
  else
    *r = *(const words8 *)((const uint32_t *)row + first);
}

BODY void take16(const void *row, size_t first, int halves, words16 *r) {
  if (halves)
    *r = (words16)__builtin_convertvector(*(const halves16 *)((const uint16_t *)row + first),
                                          floats16);
  else
    *r = *(const words16 *)((const uint32_t *)row + first);
}

BODY uint32_t take(const void *row, size_t at, int halves) {
  return halves ? bits_of(widen_half(((const uint16_t *)row)[at])) : ((const uint32_t *)row)[at];
}

BODY void pack_columns_from(const void *source, size_t stride, size_t rows, size_t step, size_t k,
                            int halves, uint32_t *target) {
  for (; step < k; step++)
    for (size_t i = 0; i < TILE_ROWS; i++)
      target[step * TILE_ROWS + i] = i < rows ? take(source, i * stride + step, halves) : 0;
}

BODY void pack_rows_16(const void *source, size_t stride, size_t rows, size_t k, int halves,
                       uint32_t *target) {
  size_t step = 0;
  for (; step + 16 <= k; step += 16) {
    words16 r[16];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < 16; i++) {
      r[i] = (words16)(0);
      if (i < rows) take16(source, i * stride + step, halves, &r[i]);
    }
    transpose16(r);
    /* Each column writes two words too many, which the next one overwrites. The last column writes
       none. */
#pragma clang loop unroll(full)
    for (size_t i = 0; i < 15; i++) *(words16 *)(target + (step + i) * TILE_ROWS) = r[i];
    if (step + 16 < k)
      *(words16 *)(target + (step + 15) * TILE_ROWS) = r[15];
    else
      memcpy(target + (step + 15) * TILE_ROWS, &r[15], TILE_ROWS * sizeof(uint32_t));
  }
  pack_columns_from(source, stride, rows, step, k, halves, target);
}

/* Squares of eight fit in sixteen registers: the first eight rows, then the last eight of
   fourteen. */
BODY void pack_rows_8(const void *source, size_t stride, size_t rows, size_t k, int halves,
                      uint32_t *target) {
  size_t step = 0;
  for (; step + 8 <= k; step += 8)
#pragma clang loop unroll(full)
    for (size_t first = 0; first <= TILE_ROWS - 8; first += TILE_ROWS - 8) {
      words8 r[8];
#pragma clang loop unroll(full)
      for (size_t i = 0; i < 8; i++) {
        r[i] = (words8)(0);
        if (first + i < rows) take8(source, (first + i) * stride + step, halves, &r[i]);
      }
      transpose8(r);
#pragma clang loop unroll(full)
      for (size_t i = 0; i < 8; i++) *(words8 *)(target + (step + i) * TILE_ROWS + first) = r[i];
    }
  pack_columns_from(source, stride, rows, step, k, halves, target);
}

BODY void pack_words_16(const uint32_t *source, size_t stride, size_t rows, size_t k,
                        uint32_t *target) {
  pack_rows_16(source, stride, rows, k, 0, target);
}

BODY void pack_words_8(const uint32_t *source, size_t stride, size_t rows, size_t k,
                       uint32_t *target) {
  pack_rows_8(source, stride, rows, k, 0, target);
}

FORMS_BY(void, pack_rows, pack_words_16, pack_words_8,
         (const uint32_t *source, size_t stride, size_t rows, size_t k, uint32_t *target),
         (source, stride, rows, k, target))

#if defined(__x86_64__)
TARGET_AVX512 static void pack_halves_avx512(const uint16_t *source, size_t stride, size_t rows,
                                             size_t k, uint32_t *target) {
  pack_rows_16(source, stride, rows, k, 1, target);
}

TARGET_AVX2 static void pack_halves_avx2(const uint16_t *source, size_t stride, size_t rows,
                                         size_t k, uint32_t *target) {
  pack_rows_8(source, stride, rows, k, 1, target);
}
#endif

void decant_pack_halves(const uint16_t *source, size_t stride, size_t rows, size_t k,
                        uint32_t *target) {
#if defined(__x86_64__)
  int level = decant_simd_level();
  if (level >= 2) return pack_halves_avx512(source, stride, rows, k, target);
  if (level == 1) return pack_halves_avx2(source, stride, rows, k, target);
#endif
  /* Without instructions that widen float16, numbers are widened one by one. */
  pack_columns_from(source, stride, rows, 0, k, 1, target);
}

/* The input pixels under one tap of the window for a run of output pixels of one row. */
struct run {
  /* The first column of the panel, then the numbers of columns before the image, in it, and after
     it. */
  uint32_t column, before, inside, after;
  /* The offset of the first pixel in the image from the start of the channel's plane. */
  size_t offset;
};

static size_t find_runs(const struct decant_window *window, size_t first, size_t columns,
                        struct run runs[DECANT_WINDOW_TAPS][TILE_COLUMNS]) {
  size_t taps = window->kernel_height * window->kernel_width, count = 0;
  for (size_t tap = 0; tap < taps; tap++) {
    ptrdiff_t dy = (ptrdiff_t)(tap / window->kernel_width) - (ptrdiff_t)window->top;
    ptrdiff_t dx = (ptrdiff_t)(tap % window->kernel_width) - (ptrdiff_t)window->left;
    ptrdiff_t stride = (ptrdiff_t)window->stride, width = (ptrdiff_t)window->width;
    size_t index = 0;
    for (size_t done = 0; done < columns; index++) {
      size_t y = (first + done) / window->out_width, x = (first + done) % window->out_width;
      size_t length = window->out_width - x;
      if (length > columns - done) length = columns - done;
      ptrdiff_t row = (ptrdiff_t)y * stride + dy, left = (ptrdiff_t)x * stride + dx;
      struct run *run = &runs[tap][index];
      *run = (struct run){(uint32_t)done, (uint32_t)length, 0, 0, 0};
      if (row >= 0 && row < (ptrdiff_t)window->height) {
        ptrdiff_t before = left < 0 ? (-left + stride - 1) / stride : 0;
        if (before > (ptrdiff_t)length) before = (ptrdiff_t)length;
        ptrdiff_t start = left + before * stride;
        ptrdiff_t inside = start < width ? (width - start - 1) / stride + 1 : 0;
        if (inside > (ptrdiff_t)length - before) inside = (ptrdiff_t)length - before;
        run->before = (uint32_t)before;
        run->inside = (uint32_t)inside;
        run->after = (uint32_t)((ptrdiff_t)length - before - inside);
        if (inside > 0) run->offset = (size_t)(row * width + start);
      }
      done += length;
    }
    count = index;
  }
  return count;
}

BODY void copy_words(const uint32_t *source, size_t count, uint32_t *target) {
  for (size_t i = 0; i < count; i++) target[i] = source[i];
}

BODY void pack_window(const uint32_t *image, const struct decant_window *window, size_t first_row,
                      size_t rows, size_t first_column, size_t columns, uint32_t outside,
                      uint32_t *target) {
  size_t plane = window->height * window->width;
  size_t taps = window->kernel_height * window->kernel_width;
  if (taps == 1 && window->stride == 1 && window->top == 0 && window->left == 0 &&
      window->out_height == window->height && window->out_width == window->width) {
    const uint32_t *source = image + first_row * plane + first_column;
    if (columns == TILE_COLUMNS) {
      for (size_t row = 0; row < rows; row++, source += plane, target += TILE_COLUMNS) {
        *(words16 *)target = *(const words16 *)source;
        *(words16 *)(target + 16) = *(const words16 *)(source + 16);
      }
      return;
    }
    for (size_t row = 0; row < rows; row++, source += plane, target += TILE_COLUMNS) {
      copy_words(source, columns, target);
      for (size_t i = columns; i < TILE_COLUMNS; i++) target[i] = 0;
    }
    return;
  }
  struct run runs[DECANT_WINDOW_TAPS][TILE_COLUMNS];
  size_t count = find_runs(window, first_column, columns, runs);
  size_t tap = first_row % taps;
  const uint32_t *source = image + first_row / taps * plane;
  for (size_t row = 0; row < rows; row++, target += TILE_COLUMNS) {
    for (size_t index = 0; index < count; index++) {
      const struct run *run = &runs[tap][index];
      uint32_t *line = target + run->column;
      const uint32_t *from = source + run->offset;
      if (window->stride == 1 && run->inside == TILE_COLUMNS) {
        *(words16 *)line = *(const words16 *)from;
        *(words16 *)(line + 16) = *(const words16 *)(from + 16);
        continue;
      }
      for (uint32_t i = 0; i < run->before; i++) *line++ = outside;
      if (window->stride == 1)
        copy_words(from, run->inside, line);
      else
        for (uint32_t i = 0; i < run->inside; i++) line[i] = from[i * window->stride];
      line += run->inside;
      for (uint32_t i = 0; i < run->after; i++) *line++ = outside;
    }
    for (size_t i = columns; i < TILE_COLUMNS; i++) target[i] = 0;
    if (++tap == taps) {
      tap = 0;
      source += plane;
    }
  }
}

FORMS(void, pack_window,
      (const uint32_t *image, const struct decant_window *window, size_t first_row, size_t rows,
       size_t first_column, size_t columns, uint32_t outside, uint32_t *target),
      (image, window, first_row, rows, first_column, columns, outside, target))
