/* Compiles one loop for several instruction sets. BODY is a plain loop that is inlined into a
   function for each instruction set; the compiler vectorizes it, and one function is chosen at run
   time. Private to this folder. */
#ifndef FORMS_H
#define FORMS_H

#include "CKernels.h"

#include <string.h>

#define BODY static inline __attribute__((always_inline))

/* Defines decant_`name`, which runs the widest form of the BODY `name` that the machine
   supports. */
#define FORMS(result, name, parameters, arguments) \
  FORMS_BY(result, name, name, name, parameters, arguments)

#if defined(__x86_64__)
#define TARGET_AVX2 __attribute__((target("avx2,fma,f16c,bmi,bmi2,lzcnt")))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,bmi,bmi2,lzcnt")))
#define TARGET_BF16 \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c")))

/* As FORMS, with one BODY for AVX-512 registers and another for narrower ones. */
#define FORMS_BY(result, name, wide, narrow, parameters, arguments)                       \
  TARGET_AVX512 static result name##_avx512 parameters { return wide arguments; }         \
  TARGET_AVX2 static result name##_avx2 parameters { return narrow arguments; }           \
  static result name##_portable parameters { return narrow arguments; }                   \
  result decant_##name parameters {                                                       \
    switch (decant_simd_level()) {                                                        \
      case 0: return name##_portable arguments;                                           \
      case 1: return name##_avx2 arguments;                                               \
      default: return name##_avx512 arguments;                                            \
    }                                                                                     \
  }
#else
#define FORMS_BY(result, name, wide, narrow, parameters, arguments) \
  result decant_##name parameters { return narrow arguments; }
#endif

/* Marks a loop over elements whose result may overwrite its argument, so that the compiler
   vectorizes it even if both have the same address. */
#define EACH_ELEMENT _Pragma("clang loop vectorize(assume_safety)")

/* The rows that are added to each column's accumulators before these are stored. */
#define GATHERED_ROWS 8

BODY uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

BODY float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

/* Widens a float16 number. */
BODY float widen_half(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = (half >> 10) & 31,
           mantissa = half & 0x3ff;
  if (exponent == 31) return float_of(sign | 0x7f800000 | mantissa << 13 | (mantissa ? 0x400000 : 0));
  if (exponent != 0) return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
  float small = (float)mantissa * 0x1p-24f;
  return sign ? -small : small;
}

/* 1.5 * 2^23. Adding it to a float32 number within 2^22 rounds the number half to even and leaves
   the integer in the low bits. */
#define ROUNDING 12582912.0f

/* 2^n from n + ROUNDING, for n in [-126, 127]. It sets the exponent only; the shift removes the
   bits of ROUNDING. */
BODY float power_of_two(float shifted) { return float_of((bits_of(shifted) + 127) << 23); }

/* exp(x) within 2 units in the last place for x in [-87, 88], 0 below, exp(88) above; NaN stays.
   The method and the coefficients are those of Cephes' expf (Moshier): x = n ln 2 + r, and a
   polynomial for exp(r). */
BODY float exponential(float x) {
  float clamped = x > 88.0f ? 88.0f : x;
  clamped = clamped < -87.0f ? -87.0f : clamped;
  float shifted = clamped * 1.44269504f + ROUNDING;
  float n = shifted - ROUNDING;
  float r = clamped - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  /* The power of NaN does not matter, because p is NaN. */
  return x < -87.0f ? 0.0f : p * power_of_two(shifted);
}

/* 2^x for x in [-126, 127], and 0 below; larger x are not supported. NaN stays NaN. x = n + r, and
   2^r is a polynomial for r in [-1/2, 1/2]. Its coefficients, highest power first, are constants
   after inlining. */
BODY float exponential2_by(const float *coefficients, size_t count, float x) {
  float clamped = x < -126.0f ? -126.0f : x;
  float shifted = clamped + ROUNDING;
  float r = clamped - (shifted - ROUNDING);
  float p = coefficients[0];
#pragma clang loop unroll(full)
  for (size_t i = 1; i < count; i++) p = p * r + coefficients[i];
  return x < -126.0f ? 0.0f : p * power_of_two(shifted);
}

/* Within 2 units in the last place: as Cephes' exp2f (Moshier). */
BODY float exponential2(float x) {
  static const float coefficients[] = {1.535336188319500e-4f, 1.339887440266574e-3f,
                                       9.618437357674640e-3f, 5.550332471162809e-2f,
                                       2.402264791363012e-1f, 6.931472028550421e-1f, 1.0f};
  return exponential2_by(coefficients, 7, x);
}

#endif
