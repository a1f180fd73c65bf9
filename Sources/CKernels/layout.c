#include "forms.h"

/* `count` pixels of a plane from `first` on, moved by (dy, dx), with zeros where they come from
   outside; output rows are as long as the plane's. A copy, and then the edges: pictures of few
   pixels have many short rows. */
static void shift(const float *plane, ptrdiff_t height, ptrdiff_t width, ptrdiff_t dy,
                  ptrdiff_t dx, ptrdiff_t first, ptrdiff_t count, float *target) {
  ptrdiff_t top = dy < 0 ? -dy : 0, bottom = height - dy > top ? height - dy : top;
  ptrdiff_t low = top * width > first ? top * width : first;
  ptrdiff_t high = bottom * width < first + count ? bottom * width : first + count;
  if (low >= high) {
    memset(target, 0, (size_t)count * sizeof(float));
    return;
  }
  memset(target, 0, (size_t)(low - first) * sizeof(float));
  memset(target + (high - first), 0, (size_t)(first + count - high) * sizeof(float));
  /* What a copy would read before or after the plane lies in the columns that are cleared. */
  ptrdiff_t offset = dy * width + dx;
  ptrdiff_t begin = low + offset < 0 ? -offset : low;
  ptrdiff_t end = high + offset > height * width ? height * width - offset : high;
  if (begin < end)
    memcpy(target + (begin - first), plane + begin + offset, (size_t)(end - begin) * sizeof(float));
  ptrdiff_t from = dx < 0 ? 0 : width - dx, to = dx < 0 ? -dx : width;
  if (from < 0) from = 0;
  if (to > width) to = width;
  for (ptrdiff_t row = low / width * width; row < high; row += width)
    for (ptrdiff_t pixel = row + from; pixel < row + to; pixel++)
      if (pixel >= low && pixel < high) target[pixel - first] = 0;
}

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
    ptrdiff_t dy = (ptrdiff_t)tap_y - (ptrdiff_t)window->top;
    ptrdiff_t dx = (ptrdiff_t)tap_x - (ptrdiff_t)window->left;
    float *line = target + row * columns;
    for (size_t done = 0, run; done < columns; done += run) {
      const float *source = pictures + (picture * window->channels + channel) * plane;
      if (window->stride == 1 && window->out_width == window->width) {
        run = area - pixel < columns - done ? area - pixel : columns - done;
        shift(source, (ptrdiff_t)window->height, (ptrdiff_t)window->width, dy, dx,
              (ptrdiff_t)pixel, (ptrdiff_t)run, line + done);
        pixel = 0;
        picture++;
        continue;
      }
      run = window->out_width - out_x;
      if (run > columns - done) run = columns - done;
      ptrdiff_t y = (ptrdiff_t)(out_y * window->stride) + dy;
      ptrdiff_t x = (ptrdiff_t)(out_x * window->stride) + dx;
      if (y < 0 || y >= (ptrdiff_t)window->height) {
        memset(line + done, 0, run * sizeof(float));
      } else {
        gather(source + (size_t)y * window->width, x, window->stride, window->width, run,
               line + done);
      }
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
