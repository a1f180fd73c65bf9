/* How a loop becomes three: BODY is a plain loop that is inlined into a function for each
   instruction set, which the compiler then vectorizes for that set, and one of them is chosen at
   run time. Private to this folder. */
#ifndef FORMS_H
#define FORMS_H

#include "CKernels.h"

#include <string.h>

#define BODY static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define TARGET_AVX2 __attribute__((target("avx2,fma,f16c")))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")))

/* Defines decant_`name`, which runs the widest form of the BODY `name` that the machine has. */
#define FORMS(result, name, parameters, arguments)                                        \
  TARGET_AVX512 static result name##_avx512 parameters { return name arguments; }         \
  TARGET_AVX2 static result name##_avx2 parameters { return name arguments; }             \
  static result name##_portable parameters { return name arguments; }                     \
  result decant_##name parameters {                                                       \
    switch (decant_simd_level()) {                                                        \
      case 2: return name##_avx512 arguments;                                             \
      case 1: return name##_avx2 arguments;                                               \
      default: return name##_portable arguments;                                          \
    }                                                                                     \
  }
#else
#define FORMS(result, name, parameters, arguments) \
  result decant_##name parameters { return name arguments; }
#endif

/* Before a loop over elements whose result may replace its argument: the compiler must not leave
   out the vectors when it finds both at one address. */
#define EACH_ELEMENT _Pragma("clang loop vectorize(assume_safety)")

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

#endif
