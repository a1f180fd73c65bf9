#include "forms.h"

typedef float floats4 __attribute__((ext_vector_type(4), aligned(4)));
typedef float floats8 __attribute__((ext_vector_type(8), aligned(4)));

/* The bytes that are prefetched with each chunk. More at once would stall the products. */
struct fetching {
  const char *line;
  size_t stride, count, rows, at, lines;
};

BODY struct fetching fetching_of(const struct decant_ahead *ahead, size_t chunks) {
  struct fetching fetching = {0};
  if (chunks) {
    fetching = (struct fetching){.line = ahead->bytes, .stride = ahead->stride,
                                 .count = ahead->count, .rows = ahead->rows};
    fetching.lines = (ahead->rows * ((ahead->count + 63) / 64) + chunks - 1) / chunks;
  }
  return fetching;
}

BODY void fetch_some(struct fetching *f) {
  for (size_t i = 0; i < f->lines && f->rows; i++) {
    __builtin_prefetch(f->line + f->at, 0, 2);
    f->at += 64;
    if (f->at < f->count) continue;
    f->at = 0;
    f->line += f->stride;
    f->rows--;
  }
}

#if defined(__x86_64__)
#define TARGET TARGET_AVX512
#define LANES 16
#define CHUNK_ROWS 3
#define CHUNK_COLUMNS 8
#define NAME(x) x##_avx512
#define WIDEN(x) __builtin_convertvector(x, floats_avx512)
#include "inner.h"
#undef TARGET
#undef LANES
#undef CHUNK_ROWS
#undef CHUNK_COLUMNS
#undef NAME
#undef WIDEN

#define TARGET TARGET_AVX2
#define LANES 8
#define CHUNK_ROWS 3
#define CHUNK_COLUMNS 4
#define NAME(x) x##_avx2
#define WIDEN(x) __builtin_convertvector(x, floats_avx2)
#include "inner.h"
#undef TARGET
#undef LANES
#undef CHUNK_ROWS
#undef CHUNK_COLUMNS
#undef NAME
#undef WIDEN
#endif

typedef uint16_t words4 __attribute__((ext_vector_type(4)));

#define TARGET
#define LANES 4
#define CHUNK_ROWS 3
#define CHUNK_COLUMNS 4
#define NAME(x) x##_portable
/* Without an instruction for it. */
#define WIDEN(x) widen_four((words4)(x))
BODY floats4 widen_four(words4 x) {
  return (floats4){widen_half(x[0]), widen_half(x[1]), widen_half(x[2]), widen_half(x[3])};
}
#include "inner.h"

void decant_inner_f32(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t k,
                      const struct decant_product *p, const struct decant_ahead *ahead) {
#if defined(__x86_64__)
  int level = decant_simd_level();
  if (level >= 2) return inner_floats_avx512(a, a_stride, b, b_stride, k, p, ahead);
  if (level == 1) return inner_floats_avx2(a, a_stride, b, b_stride, k, p, ahead);
#endif
  inner_floats_portable(a, a_stride, b, b_stride, k, p, ahead);
}

void decant_inner_f16(const uint16_t *a, size_t a_stride, const float *b, size_t b_stride, size_t k,
                      const struct decant_product *p, const struct decant_ahead *ahead) {
#if defined(__x86_64__)
  int level = decant_simd_level();
  if (level >= 2) return inner_halves_avx512(a, a_stride, b, b_stride, k, p, ahead);
  if (level == 1) return inner_halves_avx2(a, a_stride, b, b_stride, k, p, ahead);
#endif
  inner_halves_portable(a, a_stride, b, b_stride, k, p, ahead);
}
