#include "forms.h"

#include <stdlib.h>

static _Thread_local int level_limit = 4;

void decant_limit_simd_level(int limit) { level_limit = limit; }

const char *decant_simd_name(int level) {
  static const char *const names[] = {"portable", "avx2", "avx512", "avx512-vnni", "avx512-bf16"};
  return level >= 0 && level < (int)(sizeof names / sizeof *names) ? names[level] : 0;
}

int decant_machine_simd_level(void) {
  int best = 0;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi") &&
      __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("lzcnt")) {
    best = 1;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
      best = 2;
    if (best == 2 && __builtin_cpu_supports("avx512vnni")) best = 3;
    if (best == 3 && __builtin_cpu_supports("avx512bf16")) best = 4;
  }
#endif
  return best;
}

/* The highest level that the machine and DECANT_SIMD allow. */
static int best_level(void) {
  int best = decant_machine_simd_level();
  const char *asked = getenv("DECANT_SIMD");
  for (int level = 0; asked && level < best; level++)
    if (strcmp(asked, decant_simd_name(level)) == 0) return level;
  return best;
}

int decant_simd_level(void) {
  /* Computed once. Threads that compute it at the same time get the same value. */
  static int found = -1;
  int level = __atomic_load_n(&found, __ATOMIC_RELAXED);
  if (level < 0) {
    level = best_level();
    __atomic_store_n(&found, level, __ATOMIC_RELAXED);
  }
  return level < level_limit ? level : level_limit;
}
