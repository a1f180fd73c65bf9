#include "forms.h"

BODY void moments(const float *x, size_t count, double *sum, double *squares) {
#pragma clang fp reassociate(on)
  double total = 0, power = 0;
  for (size_t i = 0; i < count; i++) {
    total += (double)x[i];
    power += (double)x[i] * (double)x[i];
  }
  *sum += total;
  *squares += power;
}

BODY void scale_and_shift(const float *x, float center, float scale, float shift, float *y,
                          size_t count) {
  EACH_ELEMENT for (size_t i = 0; i < count; i++) y[i] = (x[i] - center) * scale + shift;
}

BODY void scale_shift_silu(const float *x, float center, float scale, float shift, float *y,
                           size_t count) {
  EACH_ELEMENT for (size_t i = 0; i < count; i++) {
    float value = (x[i] - center) * scale + shift;
    y[i] = value / (1.0f + exponential(-value));
  }
}

/* Adds `rows` numbers of each column, and their squares. `rows` is a constant after inlining. */
BODY void add_rows(const float *x, size_t stride, size_t rows, size_t columns, double *sums,
                   double *squares) {
  for (size_t i = 0; i < columns; i++) {
    double total = sums[i], power = squares[i];
#pragma clang loop unroll(full)
    for (size_t j = 0; j < rows; j++) {
      double value = x[j * stride + i];
      total += value;
      power += value * value;
    }
    sums[i] = total;
    squares[i] = power;
  }
}

BODY void normalize_columns(const float *x, size_t stride, size_t rows, size_t columns,
                            float epsilon, const float *scale, const float *bias, float *y) {
  double sums[DECANT_COLUMN_RUN] = {0}, squares[DECANT_COLUMN_RUN] = {0};
  size_t row = 0;
  for (; row + GATHERED_ROWS <= rows; row += GATHERED_ROWS)
    add_rows(x + row * stride, stride, GATHERED_ROWS, columns, sums, squares);
  for (; row < rows; row++) add_rows(x + row * stride, stride, 1, columns, sums, squares);
  /* The mean is center + rest. Subtracting the center keeps the precision of numbers far from
     zero. */
  float center[DECANT_COLUMN_RUN], factor[DECANT_COLUMN_RUN], rest[DECANT_COLUMN_RUN];
  for (size_t i = 0; i < columns; i++) {
    double mean = sums[i] / (double)rows, power = squares[i] / (double)rows - mean * mean;
    double slope = 1 / __builtin_sqrt((power > 0 ? power : 0) + (double)epsilon);
    center[i] = (float)mean;
    factor[i] = (float)slope;
    rest[i] = (float)((double)center[i] - mean) * (float)slope;
  }
  for (row = 0; row < rows; row++)
    for (size_t i = 0; i < columns; i++)
      y[row * stride + i] =
          ((x[row * stride + i] - center[i]) * factor[i] + rest[i]) * scale[row] + bias[row];
}

BODY double dot(const float *a, const float *b, size_t count) {
#pragma clang fp reassociate(on)
  double total = 0;
  for (size_t i = 0; i < count; i++) total += (double)a[i] * (double)b[i];
  return total;
}

BODY void add(const float *a, const float *b, float *y, size_t count) {
  EACH_ELEMENT for (size_t i = 0; i < count; i++) y[i] = a[i] + b[i];
}

FORMS(void, moments, (const float *x, size_t count, double *sum, double *squares),
      (x, count, sum, squares))
FORMS(void, scale_and_shift,
      (const float *x, float center, float scale, float shift, float *y, size_t count),
      (x, center, scale, shift, y, count))
FORMS(void, scale_shift_silu,
      (const float *x, float center, float scale, float shift, float *y, size_t count),
      (x, center, scale, shift, y, count))
FORMS(void, normalize_columns,
      (const float *x, size_t stride, size_t rows, size_t columns, float epsilon,
       const float *scale, const float *bias, float *y),
      (x, stride, rows, columns, epsilon, scale, bias, y))
FORMS(double, dot, (const float *a, const float *b, size_t count), (a, b, count))
FORMS(void, add, (const float *a, const float *b, float *y, size_t count), (a, b, y, count))
