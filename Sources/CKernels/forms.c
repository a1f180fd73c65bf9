#include "forms.h"

static _Thread_local int level_limit = 2;

void decant_limit_simd_level(int limit) { level_limit = limit; }

int decant_simd_level(void) {
  int best = 0, limit = level_limit;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c")) {
    best = 1;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
      best = 2;
  }
#endif
  return best < limit ? best : limit;
}
