#include "CKernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define F16C __attribute__((target("avx2,f16c")))
static int has_f16c(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
}
#endif

static uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

static float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

static float widen_half(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = (half >> 10) & 31,
           mantissa = half & 0x3ff;
  if (exponent == 31) return float_of(sign | 0x7f800000 | mantissa << 13 | (mantissa ? 0x400000 : 0));
  if (exponent != 0) return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
  float small = (float)mantissa * 0x1p-24f;
  return sign ? -small : small;
}

static uint16_t narrow_half(float value) {
  uint32_t bits = bits_of(value), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
  if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
  if (magnitude < 0x38800000) {
    /* Adding 0.5 leaves the half's subnormal mantissa, rounded to nearest even, in the low bits. */
    return (uint16_t)(sign | (bits_of(float_of(magnitude) + 0.5f) - 0x3f000000));
  }
  uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return (uint16_t)(sign | ((rounded - 0x38000000) >> 13));
}

#if defined(__x86_64__)
F16C static size_t f16_to_f32_avx2(const uint16_t *source, float *target, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(target + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(source + i))));
  return i;
}

F16C static size_t f32_to_f16_avx2(const float *source, uint16_t *target, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8)
    _mm_storeu_si128((__m128i *)(target + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(source + i), _MM_FROUND_TO_NEAREST_INT));
  return i;
}
#endif

void decant_f16_to_f32(const uint16_t *source, float *target, size_t count) {
  size_t i = 0;
#if defined(__x86_64__)
  if (has_f16c()) i = f16_to_f32_avx2(source, target, count);
#endif
  for (; i < count; i++) target[i] = widen_half(source[i]);
}

void decant_f32_to_f16(const float *source, uint16_t *target, size_t count) {
  size_t i = 0;
#if defined(__x86_64__)
  if (has_f16c()) i = f32_to_f16_avx2(source, target, count);
#endif
  for (; i < count; i++) target[i] = narrow_half(source[i]);
}

void decant_bf16_to_f32(const uint16_t *source, float *target, size_t count) {
  for (size_t i = 0; i < count; i++) target[i] = float_of((uint32_t)source[i] << 16);
}

void decant_f32_to_bf16(const float *source, uint16_t *target, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = bits_of(source[i]);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    uint32_t quiet = (bits >> 16) | 0x40;
    target[i] = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
  }
}

void decant_i8_to_f32(const int8_t *codes, float scale, float *target, size_t count) {
  for (size_t i = 0; i < count; i++) target[i] = scale * (float)codes[i];
}

int decant_f32_has_nonfinite(const float *values, size_t count) {
  uint32_t found = 0;
  for (size_t i = 0; i < count; i++) found |= (bits_of(values[i]) & 0x7f800000) == 0x7f800000;
  return found != 0;
}
