#include "forms.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static uint16_t narrow_half(float value) {
  uint32_t bits = bits_of(value), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
  if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
  if (magnitude < 0x38800000) {
    /* Adding 0.5 leaves the subnormal float16 mantissa, rounded to nearest even, in the low
       bits. */
    return (uint16_t)(sign | (bits_of(float_of(magnitude) + 0.5f) - 0x3f000000));
  }
  uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return (uint16_t)(sign | ((rounded - 0x38000000) >> 13));
}

#if defined(__x86_64__)
TARGET_AVX2 static size_t f16_to_f32_avx2(const uint16_t *source, float *target, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(target + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(source + i))));
  return i;
}

TARGET_AVX2 static size_t f32_to_f16_avx2(const float *source, uint16_t *target, size_t count) {
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
  if (decant_simd_level() > 0) i = f16_to_f32_avx2(source, target, count);
#endif
  for (; i < count; i++) target[i] = widen_half(source[i]);
}

void decant_f32_to_f16(const float *source, uint16_t *target, size_t count) {
  size_t i = 0;
#if defined(__x86_64__)
  if (decant_simd_level() > 0) i = f32_to_f16_avx2(source, target, count);
#endif
  for (; i < count; i++) target[i] = narrow_half(source[i]);
}

BODY void bf16_to_f32(const uint16_t *source, float *target, size_t count) {
  for (size_t i = 0; i < count; i++) target[i] = float_of((uint32_t)source[i] << 16);
}

BODY void f32_to_bf16(const float *source, uint16_t *target, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = bits_of(source[i]);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    uint32_t quiet = (bits >> 16) | 0x40;
    target[i] = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
  }
}

BODY void i8_to_f32(const int8_t *codes, float scale, float *target, size_t count) {
  for (size_t i = 0; i < count; i++) target[i] = scale * (float)codes[i];
}

BODY float nibble(uint8_t byte, int high) {
  return (float)((int8_t)(high ? byte & 0xf0 : (uint8_t)(byte << 4)) >> 4);
}

BODY void i4_to_f32(const uint8_t *codes, size_t first, float scale, float *target,
                    size_t count) {
  if (count > 0 && first % 2 == 1) {
    *target++ = scale * nibble(codes[first / 2], 1);
    first++;
    count--;
  }
  const uint8_t *pairs = codes + first / 2;
  for (size_t i = 0; i < count / 2; i++) {
    target[2 * i] = scale * nibble(pairs[i], 0);
    target[2 * i + 1] = scale * nibble(pairs[i], 1);
  }
  if (count % 2 == 1) target[count - 1] = scale * nibble(pairs[count / 2], 0);
}

FORMS(void, bf16_to_f32, (const uint16_t *source, float *target, size_t count),
      (source, target, count))
FORMS(void, f32_to_bf16, (const float *source, uint16_t *target, size_t count),
      (source, target, count))
FORMS(void, i8_to_f32, (const int8_t *codes, float scale, float *target, size_t count),
      (codes, scale, target, count))
FORMS(void, i4_to_f32,
      (const uint8_t *codes, size_t first, float scale, float *target, size_t count),
      (codes, first, scale, target, count))

BODY int f32_has_nonfinite(const float *values, size_t count) {
  uint32_t found = 0;
  for (size_t i = 0; i < count; i++) found |= (bits_of(values[i]) & 0x7f800000) == 0x7f800000;
  return found != 0;
}

BODY int u16_covers(const uint16_t *values, uint16_t mask, size_t count) {
  uint16_t found = 0;
  for (size_t i = 0; i < count; i++) found |= (values[i] & mask) == mask;
  return found != 0;
}

FORMS(int, f32_has_nonfinite, (const float *values, size_t count), (values, count))
FORMS(int, u16_covers, (const uint16_t *values, uint16_t mask, size_t count),
      (values, mask, count))
