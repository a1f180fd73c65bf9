#include "forms.h"

/* One run of pixels of an output row: where a weight of the window meets them in a source row. */
static void gather(const float *row, ptrdiff_t first, size_t stride, size_t width, size_t count,
                   float *target) {
  size_t i = 0;
  ptrdiff_t x = first;
  for (; i < count && x < 0; i++, x += (ptrdiff_t)stride) target[i] = 0;
  if (i < count && x < (ptrdiff_t)width) {
    size_t inside = (width - (size_t)x - 1) / stride + 1;
    if (inside > count - i) inside = count - i;
    const float *source = row + x;
    if (stride == 1) {
      memcpy(target + i, source, inside * sizeof(float));
    } else {
      for (size_t j = 0; j < inside; j++) target[i + j] = source[j * stride];
    }
    i += inside;
  }
  if (i < count) memset(target + i, 0, (count - i) * sizeof(float));
}

void decant_window_columns(const float *pictures, const struct decant_window *window,
                           size_t first_row, size_t rows, size_t first_column, size_t columns,
                           float *target) {
  size_t area = window->out_height * window->out_width;
  size_t kernel = window->kernel_height * window->kernel_width;
  size_t plane = window->height * window->width;
  for (size_t row = 0; row < rows; row++) {
    size_t channel = (first_row + row) / kernel, tap = (first_row + row) % kernel;
    size_t tap_y = tap / window->kernel_width, tap_x = tap % window->kernel_width;
    size_t picture = first_column / area, pixel = first_column % area;
    size_t out_y = pixel / window->out_width, out_x = pixel % window->out_width;
    float *line = target + row * columns;
    for (size_t done = 0; done < columns;) {
      size_t run = window->out_width - out_x;
      if (run > columns - done) run = columns - done;
      ptrdiff_t y = (ptrdiff_t)(out_y * window->stride + tap_y) - (ptrdiff_t)window->top;
      ptrdiff_t x = (ptrdiff_t)(out_x * window->stride + tap_x) - (ptrdiff_t)window->left;
      if (y < 0 || y >= (ptrdiff_t)window->height) {
        memset(line + done, 0, run * sizeof(float));
      } else {
        const float *source = pictures + (picture * window->channels + channel) * plane;
        gather(source + (size_t)y * window->width, x, window->stride, window->width, run,
               line + done);
      }
      done += run;
      out_x = 0;
      if (++out_y == window->out_height) {
        out_y = 0;
        picture++;
      }
    }
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
