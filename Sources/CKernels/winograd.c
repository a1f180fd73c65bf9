#include "forms.h"

/* 3 x 3 convolution in tiles of 4 x 4 outputs: Winograd's minimal filtering F(4 x 4, 3 x 3) in the
   form of Lavin & Gray (2016), with the points 0, 1, -1, 2, -2 and infinity. 16 outputs need 36
   products, and 144 in the direct form. */

#define POINTS 6
#define LANES 16
typedef float lanes __attribute__((ext_vector_type(LANES), aligned(4)));

/* Adjacent tiles of a panel. */
struct strip {
  size_t image, y, x, lane, count;
};

static size_t find_strips(const struct decant_tiling *tiling, size_t first, size_t tiles,
                          struct strip strips[DECANT_TILE_COLUMNS]) {
  size_t count = 0;
  for (size_t lane = 0; lane < tiles; count++) {
    size_t tile = first + lane, row = tile / tiling->across, x = tile % tiling->across;
    size_t run = tiling->across - x < tiles - lane ? tiling->across - x : tiles - lane;
    strips[count] = (struct strip){row / tiling->down, row % tiling->down * 4, x * 4, lane, run};
    lane += run;
  }
  return count;
}

BODY void input_transform(lanes d[POINTS]) {
  lanes even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1];
  lanes low = d[4] - d[2], high = 2 * (d[3] - d[1]);
  lanes first = 4 * d[0] - 5 * d[2] + d[4], last = 4 * d[1] - 5 * d[3] + d[5];
  d[0] = first;
  d[1] = even + odd;
  d[2] = even - odd;
  d[3] = low + high;
  d[4] = low - high;
  d[5] = last;
}

/* Every fourth number of a row, for six first positions. */
BODY void take_apart(const float *row, size_t count, float *target) {
  if (count == 16) {
#pragma clang loop unroll(full)
    for (int place = 0; place < POINTS; place++)
#pragma clang loop vectorize(enable)
      for (int i = 0; i < 16; i++) target[place * DECANT_TILE_COLUMNS + i] = row[4 * i + place];
    return;
  }
  for (size_t place = 0; place < POINTS; place++)
    for (size_t i = 0; i < count; i++) target[place * DECANT_TILE_COLUMNS + i] = row[4 * i + place];
}

BODY void winograd_input(const float *images, const struct decant_tiling *tiling, size_t first,
                         size_t tiles, size_t first_channel, size_t channels, float *target,
                         size_t step) {
  struct strip strips[DECANT_TILE_COLUMNS];
  size_t count = find_strips(tiling, first, tiles, strips);
  ptrdiff_t height = (ptrdiff_t)tiling->height, width = (ptrdiff_t)tiling->width;
  size_t halves = tiles > LANES ? 2 : 1;
  _Alignas(64) float patches[POINTS][POINTS][DECANT_TILE_COLUMNS];
  float padded[4 * DECANT_TILE_COLUMNS + 4];
  memset(patches, 0, sizeof patches);
  for (size_t channel = 0; channel < channels; channel++, target += DECANT_TILE_COLUMNS) {
    for (size_t index = 0; index < count; index++) {
      const struct strip *strip = &strips[index];
      const float *plane =
          images + (strip->image * tiling->channels + first_channel + channel) * tiling->height *
                         tiling->width;
      ptrdiff_t x = (ptrdiff_t)strip->x - 1, length = 4 * (ptrdiff_t)strip->count + 2;
      for (ptrdiff_t i = 0; i < POINTS; i++) {
        ptrdiff_t y = (ptrdiff_t)strip->y - 1 + i;
        float *places = &patches[i][0][strip->lane];
        if (y < 0 || y >= height) {
          for (int place = 0; place < POINTS; place++)
            memset(places + place * DECANT_TILE_COLUMNS, 0, strip->count * sizeof(float));
          continue;
        }
        const float *row = plane + y * width;
        /* The number in column x: in a padded copy where the strip leaves the image. */
        const float *left = padded;
        if (x < 0 || x + length > width) {
          ptrdiff_t from = x < 0 ? -x : 0, to = width - x < length ? width - x : length;
          for (ptrdiff_t j = 0; j < from; j++) padded[j] = 0;
          for (ptrdiff_t j = from; j < to; j++) padded[j] = row[x + j];
          for (ptrdiff_t j = to; j < length; j++) padded[j] = 0;
        } else {
          left = row + x;
        }
        for (size_t done = 0; done < strip->count; done += 16) {
          size_t some = strip->count - done < 16 ? strip->count - done : 16;
          take_apart(left + 4 * done, some, places + done);
        }
      }
    }
    for (size_t half = 0; half < halves; half++) {
      lanes d[POINTS][POINTS];
#pragma clang loop unroll(full)
      for (int i = 0; i < POINTS; i++) {
#pragma clang loop unroll(full)
        for (int j = 0; j < POINTS; j++) d[i][j] = *(lanes *)&patches[i][j][half * LANES];
        input_transform(d[i]);
      }
#pragma clang loop unroll(full)
      for (int j = 0; j < POINTS; j++) {
        lanes column[POINTS];
#pragma clang loop unroll(full)
        for (int i = 0; i < POINTS; i++) column[i] = d[i][j];
        input_transform(column);
#pragma clang loop unroll(full)
        for (int i = 0; i < POINTS; i++)
          *(lanes *)(target + (size_t)(i * POINTS + j) * step + half * LANES) = column[i];
      }
    }
  }
}

BODY void weight_transform(const lanes g[3], lanes u[POINTS]) {
  lanes sum = (g[0] + g[2]) * (-1.0f / 6), middle = g[1] * (1.0f / 6);
  lanes far = g[0] * (1.0f / 24) + g[2] * (1.0f / 6), half = g[1] * (1.0f / 12);
  u[0] = g[0] * 0.25f;
  u[1] = sum - middle;
  u[2] = sum + middle;
  u[3] = far + half;
  u[4] = far - half;
  u[5] = g[2];
}

/* Processes sixteen lanes for fourteen rows. The next step overwrites the two extra lanes; the last
   step uses a copy. */
BODY void winograd_weights(const float *packed, size_t channels, float *target, size_t step) {
  for (size_t channel = 0; channel < channels; channel++) {
    const float *source = packed + channel * 9 * DECANT_TILE_ROWS;
    float *to = target + channel * DECANT_TILE_ROWS;
    float last[10 * DECANT_TILE_ROWS];
    int is_last = channel + 1 == channels;
    if (is_last) {
      memcpy(last, source, 9 * DECANT_TILE_ROWS * sizeof(float));
      memset(last + 9 * DECANT_TILE_ROWS, 0, DECANT_TILE_ROWS * sizeof(float));
      source = last;
    }
    lanes half[3][POINTS];
#pragma clang loop unroll(full)
    for (int i = 0; i < 3; i++) {
      lanes g[3];
#pragma clang loop unroll(full)
      for (int j = 0; j < 3; j++) g[j] = *(const lanes *)(source + (i * 3 + j) * DECANT_TILE_ROWS);
      weight_transform(g, half[i]);
    }
#pragma clang loop unroll(full)
    for (int j = 0; j < POINTS; j++) {
      lanes g[3] = {half[0][j], half[1][j], half[2][j]}, u[POINTS];
      weight_transform(g, u);
#pragma clang loop unroll(full)
      for (int i = 0; i < POINTS; i++) {
        float *point = to + (size_t)(i * POINTS + j) * step;
        if (is_last) {
          lanes copy = u[i];
          memcpy(point, &copy, DECANT_TILE_ROWS * sizeof(float));
        } else {
          *(lanes *)point = u[i];
        }
      }
    }
  }
}

BODY void output_transform(const lanes m[POINTS], lanes y[4]) {
  lanes sum = m[1] + m[2], difference = m[1] - m[2];
  lanes far_sum = m[3] + m[4], far_difference = m[3] - m[4];
  y[0] = m[0] + sum + far_sum;
  y[1] = difference + 2 * far_difference;
  y[2] = sum + 4 * far_sum;
  y[3] = difference + 8 * far_difference + m[5];
}

BODY void winograd_output(const float *sums, size_t step, const struct decant_tiling *tiling,
                          size_t first, size_t tiles, size_t channel, float bias,
                          const float *residual, float *images) {
  struct strip strips[DECANT_TILE_COLUMNS];
  size_t count = find_strips(tiling, first, tiles, strips);
  /* The outputs of all tiles of the panel as rows: [4][4 x tile + column]. */
  _Alignas(64) float rows[4][4 * DECANT_TILE_COLUMNS];
  for (size_t half = 0; half < (tiles > LANES ? 2 : 1); half++) {
    lanes columns[4][POINTS];
#pragma clang loop unroll(full)
    for (int j = 0; j < POINTS; j++) {
      lanes m[POINTS], y[4];
#pragma clang loop unroll(full)
      for (int i = 0; i < POINTS; i++)
        m[i] = *(const lanes *)(sums + (size_t)(i * POINTS + j) * step + half * LANES);
      output_transform(m, y);
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; i++) columns[i][j] = y[i];
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
      lanes y[4];
      output_transform(columns[i], y);
      /* Interleaves the four outputs of each tile. */
      lanes a = __builtin_shufflevector(y[0], y[2], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22,
                                        7, 23);
      lanes b = __builtin_shufflevector(y[1], y[3], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22,
                                        7, 23);
      lanes c = __builtin_shufflevector(y[0], y[2], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29,
                                        14, 30, 15, 31);
      lanes d = __builtin_shufflevector(y[1], y[3], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29,
                                        14, 30, 15, 31);
      float *row = &rows[i][half * 4 * LANES];
      *(lanes *)row = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22,
                                              7, 23);
      *(lanes *)(row + 16) = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
                                                     29, 14, 30, 15, 31);
      *(lanes *)(row + 32) = __builtin_shufflevector(c, d, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21,
                                                     6, 22, 7, 23);
      *(lanes *)(row + 48) = __builtin_shufflevector(c, d, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
                                                     29, 14, 30, 15, 31);
    }
  }
  for (size_t index = 0; index < count; index++) {
    const struct strip *strip = &strips[index];
    size_t plane = (strip->image * tiling->channels + channel) * tiling->height * tiling->width;
    size_t width = tiling->width - strip->x, height = tiling->height - strip->y;
    if (width > 4 * strip->count) width = 4 * strip->count;
    if (height > 4) height = 4;
    for (size_t i = 0; i < height; i++) {
      size_t at = plane + (strip->y + i) * tiling->width + strip->x;
      const float *row = &rows[i][4 * strip->lane];
      if (residual)
        for (size_t x = 0; x < width; x++) images[at + x] = row[x] + bias + residual[at + x];
      else
        for (size_t x = 0; x < width; x++) images[at + x] = row[x] + bias;
    }
  }
}

FORMS(void, winograd_input,
      (const float *images, const struct decant_tiling *tiling, size_t first, size_t tiles,
       size_t first_channel, size_t channels, float *target, size_t step),
      (images, tiling, first, tiles, first_channel, channels, target, step))
FORMS(void, winograd_weights, (const float *packed, size_t channels, float *target, size_t step),
      (packed, channels, target, step))
FORMS(void, winograd_output,
      (const float *sums, size_t step, const struct decant_tiling *tiling, size_t first,
       size_t tiles, size_t channel, float bias, const float *residual, float *images),
      (sums, step, tiling, first, tiles, channel, bias, residual, images))
