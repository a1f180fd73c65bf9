#include "forms.h"

BODY float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

/* The cumulative distribution function of the normal distribution, within 1e-7. log(erfc(t)) is
   smooth; it is computed as t times a polynomial. The polynomial is a minimax fit in float64 over
   [0, 5.5], weighted by 1 / (1 + 0.6 |log(erfc(t))|), so that small values far to the left keep
   their relative accuracy. */
BODY float normal(float x) {
  float t = __builtin_fabsf(x) * 0.707106781f;
  float p = -5.590373497454948e-09f;
  p = p * t + 2.0124865329762542e-07f;
  p = p * t - 3.2320510854333406e-06f;
  p = p * t + 3.047627797059249e-05f;
  p = p * t - 1.8570270913187414e-04f;
  p = p * t + 7.4329914059489970e-04f;
  p = p * t - 1.7384970560669899e-03f;
  p = p * t + 1.2770555622410029e-04f;
  p = p * t + 1.9234508275985718e-02f;
  p = p * t - 1.0282627493143082e-01f;
  p = p * t - 6.3660794496536255e-01f;
  p = p * t - 1.1283800601959229f;
  /* Beyond the range of the polynomial, the value is below 1e-14. */
  float half = t > 5.5f ? 0.0f : 0.5f * exponential(p * t);
  return x < 0 ? half : 1.0f - half;
}

BODY void exponentials(const float *x, float *y, size_t count) {
  EACH_ELEMENT for (size_t i = 0; i < count; i++) y[i] = exponential(x[i]);
}

BODY void exponentials2(const float *x, float *y, size_t count) {
  EACH_ELEMENT for (size_t i = 0; i < count; i++) y[i] = exponential2(x[i]);
}

BODY void silu(const float *x, float *y, size_t count) {
  EACH_ELEMENT for (size_t i = 0; i < count; i++) y[i] = x[i] * sigmoid(x[i]);
}

BODY void gelu(const float *x, float *y, size_t count) {
  EACH_ELEMENT for (size_t i = 0; i < count; i++) y[i] = x[i] * normal(x[i]);
}

BODY void quick_gelu(const float *x, float *y, size_t count) {
  EACH_ELEMENT for (size_t i = 0; i < count; i++) y[i] = x[i] * sigmoid(1.702f * x[i]);
}

BODY void geglu(const float *hidden, const float *gate, float *y, size_t count) {
  EACH_ELEMENT for (size_t i = 0; i < count; i++) y[i] = hidden[i] * (gate[i] * normal(gate[i]));
}

BODY float largest_of(const float *x, size_t count) {
  /* Sixteen at a time, because the compiler may not reorder comparisons (NaN). */
  float lanes[16];
  for (int lane = 0; lane < 16; lane++) lanes[lane] = -__builtin_inff();
  size_t i = 0;
  for (; i + 16 <= count; i += 16)
    for (int lane = 0; lane < 16; lane++)
      lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
  for (; i < count; i++) lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
  for (int lane = 1; lane < 16; lane++) lanes[0] = lanes[lane] > lanes[0] ? lanes[lane] : lanes[0];
  return lanes[0];
}

BODY float softmax(float *x, size_t count) {
#pragma clang fp reassociate(on)
  float top = largest_of(x, count), sum = 0;
  size_t whole = count / 16 * 16;
  for (size_t i = 0; i < whole; i++) {
    x[i] = exponential(x[i] - top);
    sum += x[i];
  }
  /* Rows of 77 are common. The remainder is one more vector, padded with numbers whose exponential
     is 0. */
  if (whole < count) {
    float rest[16];
    for (size_t i = 0; i < 16; i++) rest[i] = whole + i < count ? x[whole + i] - top : -1000.0f;
    for (size_t i = 0; i < 16; i++) rest[i] = exponential(rest[i]);
    for (size_t i = 0; i < 16; i++) sum += rest[i];
    memcpy(x + whole, rest, (count - whole) * sizeof(float));
  }
  return sum;
}

FORMS(void, exponentials, (const float *x, float *y, size_t count), (x, y, count))
FORMS(void, exponentials2, (const float *x, float *y, size_t count), (x, y, count))
FORMS(void, silu, (const float *x, float *y, size_t count), (x, y, count))
FORMS(void, gelu, (const float *x, float *y, size_t count), (x, y, count))
FORMS(void, quick_gelu, (const float *x, float *y, size_t count), (x, y, count))
FORMS(void, geglu, (const float *hidden, const float *gate, float *y, size_t count),
      (hidden, gate, y, count))
FORMS(float, softmax, (float *x, size_t count), (x, count))
