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

BODY void normalize(const float *x, float center, float factor, float rest, const float *scale,
                    const float *bias, float *y, size_t count) {
  EACH_ELEMENT for (size_t i = 0; i < count; i++)
    y[i] = ((x[i] - center) * factor + rest) * scale[i] + bias[i];
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
FORMS(void, normalize,
      (const float *x, float center, float factor, float rest, const float *scale,
       const float *bias, float *y, size_t count),
      (x, center, factor, rest, scale, bias, y, count))
FORMS(double, dot, (const float *a, const float *b, size_t count), (a, b, count))
FORMS(void, add, (const float *a, const float *b, float *y, size_t count), (a, b, y, count))
