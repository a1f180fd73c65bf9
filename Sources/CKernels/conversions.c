#include "forms.h"

/* Only functions that are always inlined have vector parameters, so no call passes a vector. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpsabi"
#endif

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

typedef uint32_t eight __attribute__((ext_vector_type(8)));
typedef int32_t signed_eight __attribute__((ext_vector_type(8)));
typedef float eight_floats __attribute__((ext_vector_type(8)));

BODY float split_code(const uint8_t *codes, const uint8_t *low, int low_bits, size_t index) {
  size_t place = index * (size_t)low_bits;
  int bits = low[place / 8] >> place % 8 & ((1 << low_bits) - 1);
  return nibble(codes[index / 2], index % 2) * (float)(1 << low_bits) + (float)bits;
}

BODY void split_to_f32(const uint8_t *codes, const uint8_t *low, int low_bits, size_t first,
                       float scale, float *target, size_t count) {
  size_t i = 0;
  for (; i < count && (first + i) % 8 != 0; i++)
    target[i] = scale * split_code(codes, low, low_bits, first + i);
  const eight places = {0, 1, 2, 3, 4, 5, 6, 7};
  /* Eight codes fill four bytes of high bits, and one or two of low ones. */
  for (; i + 8 <= count; i += 8) {
    size_t index = first + i;
    uint32_t high, bits = low[index * (size_t)low_bits / 8];
    memcpy(&high, codes + index / 2, 4);
    if (low_bits == 2) bits |= (uint32_t)low[index / 4 + 1] << 8;
    eight all_high = high, all_low = bits;
    signed_eight code = __builtin_convertvector(all_high << (28 - 4 * places), signed_eight) >> 28;
    eight rest = all_low >> (places * (uint32_t)low_bits) & (uint32_t)((1 << low_bits) - 1);
    code = code * (1 << low_bits) + __builtin_convertvector(rest, signed_eight);
    eight_floats widened = __builtin_convertvector(code, eight_floats) * scale;
    memcpy(target + i, &widened, sizeof widened);
  }
  for (; i < count; i++) target[i] = scale * split_code(codes, low, low_bits, first + i);
}

BODY void i16_to_f32(const uint8_t *codes, float scale, float *target, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint16_t word;
    memcpy(&word, codes + 2 * i, 2);
    target[i] = scale * (float)(int16_t)(word - 128);
  }
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
FORMS(void, split_to_f32,
      (const uint8_t *codes, const uint8_t *low, int low_bits, size_t first, float scale,
       float *target, size_t count),
      (codes, low, low_bits, first, scale, target, count))
FORMS(void, i16_to_f32, (const uint8_t *codes, float scale, float *target, size_t count),
      (codes, scale, target, count))

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
