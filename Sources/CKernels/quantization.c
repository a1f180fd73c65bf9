#include "forms.h"

/* Every form below must give the same bits. Products are never fused with sums, and sums have a
   fixed number of lanes for any register width. */
#pragma STDC FP_CONTRACT OFF

/* Only functions that are always inlined have vector parameters, so no call passes a vector. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpsabi"
#endif

#define LANES 16
#define CHUNK 512
typedef float lanes __attribute__((ext_vector_type(LANES)));
typedef double wide __attribute__((ext_vector_type(LANES)));
typedef signed char codes8 __attribute__((ext_vector_type(LANES)));
typedef short codes16 __attribute__((ext_vector_type(LANES)));

BODY lanes load(const float *source) {
  lanes value;
  memcpy(&value, source, sizeof value);
  return value;
}

BODY wide load_wide(const float *source) { return __builtin_convertvector(load(source), wide); }

BODY lanes clamp(lanes value, float limit) {
  lanes high = limit, low = -limit;
  value = value < high ? value : high;
  return value > low ? value : low;
}

BODY double sum(wide value) {
  double total = 0;
  for (int lane = 0; lane < LANES; lane++) total += value[lane];
  return total;
}

BODY void scale_errors(const float *weights, const float *mean_squares, size_t count, float unit,
                       float limit, const float *ratios, size_t candidates, double *errors) {
  float values[CHUNK], importance[CHUNK];
  for (size_t start = 0; start < count; start += CHUNK) {
    size_t filled = count - start < CHUNK ? count - start : CHUNK;
    size_t padded = (filled + LANES - 1) / LANES * LANES;
    for (size_t i = 0; i < filled; i++) values[i] = weights[start + i] / unit;
    for (size_t i = 0; i < filled; i++)
      importance[i] = mean_squares ? mean_squares[start + i] : 1.0f;
    /* The padding is zero, which is rounded without error. */
    for (size_t i = filled; i < padded; i++) values[i] = importance[i] = 0;
    for (size_t candidate = 0; candidate < candidates; candidate++) {
      float ratio = ratios[candidate], inverse = 1.0f / ratio;
      lanes total = 0;
      for (size_t i = 0; i < padded; i += LANES) {
        lanes value = load(values + i);
        lanes rounded = (clamp(value * inverse, limit) + ROUNDING) - ROUNDING;
        lanes difference = rounded * ratio - value;
        lanes square = difference * difference;
        total = total + square * load(importance + i);
      }
      errors[candidate] += sum(__builtin_convertvector(total, wide));
    }
  }
}

/* `narrow` is a vector of 16 numbers of the type `code`. */
#define SYMMETRIC_CODES(name, code, narrow)                                               \
  BODY void name(const float *weights, size_t count, float scale, float limit,            \
                 code *codes) {                                                           \
    size_t i = 0;                                                                         \
    for (; i + LANES <= count; i += LANES) {                                              \
      lanes rounded = (clamp(load(weights + i) / scale, limit) + ROUNDING) - ROUNDING;    \
      narrow found = __builtin_convertvector(rounded, narrow);                            \
      memcpy(codes + i, &found, sizeof found);                                            \
    }                                                                                     \
    for (; i < count; i++) {                                                              \
      float value = weights[i] / scale;                                                   \
      value = value < limit ? value : limit;                                              \
      value = value > -limit ? value : -limit;                                            \
      codes[i] = (code)((value + ROUNDING) - ROUNDING);                                   \
    }                                                                                     \
  }

SYMMETRIC_CODES(symmetric_codes, int16_t, codes16)
SYMMETRIC_CODES(symmetric_int8_codes, int8_t, codes8)

BODY void code_error(const float *weights, const float *mean_squares, const int16_t *codes,
                     size_t count, float scale, double *sums) {
  wide signal = 0, error = 0, weighted_signal = 0, weighted_error = 0;
  size_t i = 0;
  for (; i + LANES <= count; i += LANES) {
    codes16 code;
    memcpy(&code, codes + i, sizeof code);
    lanes widened = __builtin_convertvector(code, lanes) * scale;
    wide weight = load_wide(weights + i);
    wide difference = __builtin_convertvector(widened, wide) - weight;
    wide power = weight * weight, noise = difference * difference;
    signal += power;
    error += noise;
    if (mean_squares) {
      wide mean_square = load_wide(mean_squares + i);
      weighted_signal += mean_square * power;
      weighted_error += mean_square * noise;
    }
  }
  double tail[4] = {0, 0, 0, 0};
  for (; i < count; i++) {
    float widened = (float)codes[i] * scale;
    double weight = weights[i], difference = (double)widened - weight;
    double power = weight * weight, noise = difference * difference;
    tail[0] += power;
    tail[1] += noise;
    if (mean_squares) {
      tail[2] += (double)mean_squares[i] * power;
      tail[3] += (double)mean_squares[i] * noise;
    }
  }
  sums[0] += sum(signal) + tail[0];
  sums[1] += sum(error) + tail[1];
  sums[2] += sum(weighted_signal) + tail[2];
  sums[3] += sum(weighted_error) + tail[3];
}

BODY float largest_magnitude(const float *values, size_t count) {
  float lane[LANES] = {0};
  size_t i = 0;
  for (; i + LANES <= count; i += LANES)
    for (int l = 0; l < LANES; l++) {
      float magnitude = __builtin_fabsf(values[i + l]);
      lane[l] = magnitude > lane[l] ? magnitude : lane[l];
    }
  for (; i < count; i++) {
    float magnitude = __builtin_fabsf(values[i]);
    lane[0] = magnitude > lane[0] ? magnitude : lane[0];
  }
  for (int l = 1; l < LANES; l++) lane[0] = lane[l] > lane[0] ? lane[l] : lane[0];
  return lane[0];
}

BODY double square_sum(const float *values, size_t count) {
  wide total = 0;
  size_t i = 0;
  for (; i + LANES <= count; i += LANES) {
    wide value = load_wide(values + i);
    total += value * value;
  }
  double tail = 0;
  for (; i < count; i++) tail += (double)values[i] * (double)values[i];
  return sum(total) + tail;
}

BODY void column_statistics(const float *values, size_t rows, size_t columns, size_t stride,
                            float *maxima, double *mean_squares) {
  for (size_t row = 0; row < rows; row++) {
    const float *line = values + row * stride;
    for (size_t column = 0; column < columns; column++) {
      float magnitude = __builtin_fabsf(line[column]);
      maxima[column] = magnitude > maxima[column] ? magnitude : maxima[column];
      mean_squares[column] += (double)line[column] * (double)line[column];
    }
  }
}

#define SCALE_ERRORS_PARAMETERS                                                               \
  (const float *weights, const float *mean_squares, size_t count, float unit, float limit,       \
   const float *ratios, size_t candidates, double *errors)
#define SCALE_ERRORS_ARGUMENTS \
  (weights, mean_squares, count, unit, limit, ratios, candidates, errors)
#define CODES_PARAMETERS \
  (const float *weights, size_t count, float scale, float limit, int16_t *codes)
#define INT8_CODES_PARAMETERS \
  (const float *weights, size_t count, float scale, float limit, int8_t *codes)
#define CODES_ARGUMENTS (weights, count, scale, limit, codes)
#define CODE_ERROR_PARAMETERS                                                              \
  (const float *weights, const float *mean_squares, const int16_t *codes, size_t count,       \
   float scale, double *sums)
#define CODE_ERROR_ARGUMENTS (weights, mean_squares, codes, count, scale, sums)
#define LARGEST_PARAMETERS (const float *values, size_t count)
#define LARGEST_ARGUMENTS (values, count)
#define COLUMNS_PARAMETERS                                                                \
  (const float *values, size_t rows, size_t columns, size_t stride, float *maxima,       \
   double *mean_squares)
#define COLUMNS_ARGUMENTS (values, rows, columns, stride, maxima, mean_squares)

FORMS(void, scale_errors, SCALE_ERRORS_PARAMETERS, SCALE_ERRORS_ARGUMENTS)
FORMS(void, symmetric_codes, CODES_PARAMETERS, CODES_ARGUMENTS)
FORMS(void, symmetric_int8_codes, INT8_CODES_PARAMETERS, CODES_ARGUMENTS)
FORMS(void, code_error, CODE_ERROR_PARAMETERS, CODE_ERROR_ARGUMENTS)
FORMS(float, largest_magnitude, LARGEST_PARAMETERS, LARGEST_ARGUMENTS)
FORMS(double, square_sum, LARGEST_PARAMETERS, LARGEST_ARGUMENTS)
FORMS(void, column_statistics, COLUMNS_PARAMETERS, COLUMNS_ARGUMENTS)

void decant_magnitude_histogram(const float *values, size_t count, uint64_t *bins) {
  /* The exponent and the first three fraction bits of a float, as one integer, count eighths of
     octaves. The integer of 2^-24 is subtracted. */
  const int32_t base = (127 - 24) * 8;
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, values + i, 4);
    int32_t bin = (int32_t)((bits & 0x7fffffff) >> 20) - base + 1;
    bin = bin < 0 ? 0 : bin;
    bin = bin > DECANT_HISTOGRAM_BINS - 1 ? DECANT_HISTOGRAM_BINS - 1 : bin;
    bins[bin]++;
  }
}
