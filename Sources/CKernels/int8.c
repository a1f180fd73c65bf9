#include "forms.h"

/* Extends the range of each column by `rows` numbers. `rows` is a constant after inlining. A number
   that is not finite makes the largest NaN, which then stays, because no comparison with NaN is
   true. */
BODY void widen_ranges(const float *x, size_t stride, size_t rows, size_t columns, float *smallest,
                       float *largest) {
  for (size_t i = 0; i < columns; i++) {
    float low = smallest[i], high = largest[i], poison = 0;
#pragma clang loop unroll(full)
    for (size_t j = 0; j < rows; j++) {
      float value = x[j * stride + i];
      low = value < low ? value : low;
      high = value > high ? value : high;
      poison += value * 0.0f;
    }
    smallest[i] = low;
    largest[i] = high + poison;
  }
}

/* The smallest and the largest number of each column, including 0. */
BODY void column_ranges(const float *x, size_t stride, size_t rows, size_t columns, float *smallest,
                        float *largest) {
  for (size_t i = 0; i < columns; i++) smallest[i] = largest[i] = 0;
  size_t row = 0;
  for (; row + GATHERED_ROWS <= rows; row += GATHERED_ROWS)
    widen_ranges(x + row * stride, stride, GATHERED_ROWS, columns, smallest, largest);
  for (; row < rows; row++) widen_ranges(x + row * stride, stride, 1, columns, smallest, largest);
}

BODY uint32_t pixel(float value, float inverse, float zero) {
#pragma clang fp contract(off)
  float code = value * inverse + zero;
  /* NaN becomes 0. */
  code = code > 0.0f ? code : 0.0f;
  code = code < 255.0f ? code : 255.0f;
  return bits_of(code + ROUNDING) & 0xff;
}

BODY void quantize_columns(const float *x, size_t stride, size_t rows, size_t columns,
                           const float *inverses, const float *zeros, uint32_t *target) {
  for (size_t row = 0; row < rows; row += 4, target += stride) {
    const float *line = x + row * stride;
    if (rows - row >= 4) {
      for (size_t i = 0; i < columns; i++)
        target[i] = pixel(line[i], inverses[i], zeros[i]) |
                    pixel(line[stride + i], inverses[i], zeros[i]) << 8 |
                    pixel(line[2 * stride + i], inverses[i], zeros[i]) << 16 |
                    pixel(line[3 * stride + i], inverses[i], zeros[i]) << 24;
    } else {
      for (size_t i = 0; i < columns; i++) {
        uint32_t word = 0;
        for (size_t j = 0; row + j < rows; j++)
          word |= pixel(line[j * stride + i], inverses[i], zeros[i]) << (8 * j);
        target[i] = word;
      }
    }
  }
}

FORMS(void, column_ranges,
      (const float *x, size_t stride, size_t rows, size_t columns, float *smallest,
       float *largest),
      (x, stride, rows, columns, smallest, largest))
FORMS(void, quantize_columns,
      (const float *x, size_t stride, size_t rows, size_t columns, const float *inverses,
       const float *zeros, uint32_t *target),
      (x, stride, rows, columns, inverses, zeros, target))

void decant_pack_codes(const int8_t *codes, size_t channels, size_t taps, int8_t *target) {
  for (size_t first = 0; first < channels; first += 4)
    for (size_t tap = 0; tap < taps; tap++)
      for (size_t i = 0; i < 4; i++)
        *target++ = first + i < channels ? codes[(first + i) * taps + tap] : 0;
}
