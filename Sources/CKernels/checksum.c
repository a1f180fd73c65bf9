#include "forms.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* The remainders of x^(512+32), x^(512-32), x^(128+32) and x^(128-32) modulo the polynomial of
   CRC-32, in reflected order: Gopal et al., Fast CRC Computation for Generic Polynomials Using
   PCLMULQDQ Instruction (Intel, 2009); zlib's SIMD code uses the same constants. */
__attribute__((target("pclmul,sse4.1"))) static size_t fold_pclmul(uint32_t crc,
                                                                  const uint8_t *bytes,
                                                                  size_t count, uint8_t *rest) {
  const __m128i far = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
  const __m128i near = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
  const __m128i *from = (const __m128i *)bytes;
  __m128i x[4];
  for (int i = 0; i < 4; i++) x[i] = _mm_loadu_si128(from + i);
  x[0] = _mm_xor_si128(x[0], _mm_cvtsi32_si128((int)~crc));
  size_t blocks = count / 64;
  for (size_t block = 1; block < blocks; block++)
    for (int i = 0; i < 4; i++)
      x[i] = _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(x[i], far, 0x00),
                                         _mm_clmulepi64_si128(x[i], far, 0x11)),
                           _mm_loadu_si128(from + 4 * block + i));
  for (int i = 1; i < 4; i++)
    x[0] = _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(x[0], near, 0x00),
                                       _mm_clmulepi64_si128(x[0], near, 0x11)),
                         x[i]);
  _mm_storeu_si128((__m128i *)rest, x[0]);
  return blocks * 64;
}
#endif

size_t decant_crc32_fold(uint32_t crc, const uint8_t *bytes, size_t count, uint8_t *rest) {
#if defined(__x86_64__)
  if (count >= 128 && decant_simd_level() > 0 && __builtin_cpu_supports("pclmul"))
    return fold_pclmul(crc, bytes, count, rest);
#endif
  return 0;
}
