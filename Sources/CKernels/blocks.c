#include "forms.h"

/* Blocks of 256 weights in ggml's K-quants. Every form gives the same bits: products are never fused
   with sums, and sums have a fixed order. */
#pragma STDC FP_CONTRACT OFF

/* Only functions that are always inlined have vector parameters, so no call passes a vector. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpsabi"
#endif

#define LANES 16
typedef float lanes __attribute__((ext_vector_type(LANES)));
typedef float lanes8 __attribute__((ext_vector_type(8)));
typedef float lanes4 __attribute__((ext_vector_type(4)));
typedef short lane_codes __attribute__((ext_vector_type(LANES)));

BODY lanes load(const float *source) {
  lanes value;
  memcpy(&value, source, sizeof value);
  return value;
}

BODY float sum(lanes value) {
  lanes8 eight = value.lo + value.hi;
  lanes4 four = eight.lo + eight.hi;
  return (four.x + four.y) + (four.z + four.w);
}

/* Rounds half to even, and clamps. */
BODY lanes rounded(lanes value, float least, float most) {
  lanes low = least, high = most;
  value = value > low ? value : low;
  value = value < high ? value : high;
  return (value + ROUNDING) - ROUNDING;
}

BODY int clamped(float value, int least, int most) {
  value = value > (float)least ? value : (float)least;
  value = value < (float)most ? value : (float)most;
  return (int)((value + ROUNDING) - ROUNDING);
}

/* The float16 nearest to `value`, or the next one where that is so far below, as subnormal numbers
   may be, that the largest codes would be clipped. */
BODY uint16_t half_scale(float value) {
  uint16_t half;
  float widened;
  decant_f32_to_f16(&value, &half, 1);
  decant_f16_to_f32(&half, &widened, 1);
  float magnitude = __builtin_fabsf(value);
  return __builtin_fabsf(widened) < magnitude * (1 - 0x1p-10f) ? (uint16_t)(half + 1) : half;
}

BODY float widened(uint16_t half) {
  float value;
  decant_f16_to_f32(&half, &value, 1);
  return value;
}

BODY void extremes(const float *weights, size_t count, float *least, float *most) {
  for (size_t i = 0; i < count; i++) {
    *least = weights[i] < *least ? weights[i] : *least;
    *most = weights[i] > *most ? weights[i] : *most;
  }
}

/* Groups of 32 weights are two vectors. */
typedef struct {
  lanes first, second;
} pair;

BODY float pair_sum(lanes first, lanes second) { return sum(first + second); }

/* The scale and the minimum, which is not negative, with the least squared error of
   `scale * code - minimum`. For the codes of each of 21 tried scales, both solve the normal
   equations. */
BODY void affine_group(const float *weights, const float *importance, int levels, float *scale,
                       float *minimum) {
  float least = 0, most = weights[0], top = (float)levels;
  extremes(weights, 32, &least, &most);
  *scale = 0;
  *minimum = -least;
  if (!(most > least)) return;
  pair x = {load(weights), load(weights + LANES)};
  pair w = {load(importance), load(importance + LANES)};
  float sum_w = pair_sum(w.first, w.second);
  float sum_x = pair_sum(w.first * x.first, w.second * x.second);
  float best = __builtin_inff();
  for (int step = -1; step <= 20; step++) {
    /* The scale that maps the range to the codes is tried first, as it is. */
    float inverse = (step < 0 ? top : top - 1 + 0.1f * (float)step) / (most - least);
    pair q = {rounded((x.first - least) * inverse, 0, top),
              rounded((x.second - least) * inverse, 0, top)};
    float found = (most - least) / top, low = least;
    if (step >= 0) {
      pair wq = {w.first * q.first, w.second * q.second};
      float sum_q = pair_sum(wq.first, wq.second);
      float sum_qq = pair_sum(wq.first * q.first, wq.second * q.second);
      float sum_qx = pair_sum(wq.first * x.first, wq.second * x.second);
      float determinant = sum_w * sum_qq - sum_q * sum_q;
      if (!(determinant > 0)) continue;
      found = (sum_w * sum_qx - sum_x * sum_q) / determinant;
      low = (sum_qq * sum_x - sum_q * sum_qx) / determinant;
      if (low > 0) {
        low = 0;
        found = sum_qx / sum_qq;
      }
      if (!(found > 0)) continue;
    }
    lanes first = q.first * found + low - x.first, second = q.second * found + low - x.second;
    float error = pair_sum(w.first * first * first, w.second * second * second);
    if (error < best) {
      best = error;
      *scale = found;
      *minimum = -low;
    }
  }
}

BODY void store_codes(lanes value, int16_t *codes) {
  lane_codes narrow = __builtin_convertvector(value, lane_codes);
  memcpy(codes, &narrow, sizeof narrow);
}

/* The codes for one group scale and minimum, and their squared error. */
BODY float affine_codes(const float *weights, const float *importance, float top, float scale,
                        float minimum, pair *q) {
  pair x = {load(weights), load(weights + LANES)};
  float inverse = scale > 0 ? 1 / scale : 0;
  q->first = rounded((x.first + minimum) * inverse, 0, top);
  q->second = rounded((x.second + minimum) * inverse, 0, top);
  lanes first = (q->first * scale - minimum) - x.first;
  lanes second = (q->second * scale - minimum) - x.second;
  return pair_sum(load(importance) * first * first, load(importance + LANES) * second * second);
}

BODY float affine_block(const float *weights, const float *importance, int levels,
                        uint16_t *halves, uint8_t *bytes, int16_t *codes) {
  float scales[8], minimums[8], largest_scale = 0, largest_minimum = 0;
  for (int group = 0; group < 8; group++) {
    affine_group(weights + 32 * group, importance + 32 * group, levels, scales + group,
                 minimums + group);
    largest_scale = scales[group] > largest_scale ? scales[group] : largest_scale;
    largest_minimum = minimums[group] > largest_minimum ? minimums[group] : largest_minimum;
  }
  float scale = largest_scale / 63, minimum = largest_minimum / 63;
  halves[0] = half_scale(scale);
  halves[1] = half_scale(minimum);
  float stored_scale = widened(halves[0]), stored_minimum = widened(halves[1]);
  for (int group = 0; group < 8; group++) {
    const float *x = weights + 32 * group, *w = importance + 32 * group;
    int own = stored_scale > 0 ? clamped(scales[group] / stored_scale, 0, 63) : 0;
    int low = stored_minimum > 0 ? clamped(minimums[group] / stored_minimum, 0, 63) : 0;
    float best = __builtin_inff();
    pair chosen = {0, 0};
    /* Rounding moved both, so that neighbours may be nearer. */
    for (int near = 0; near < 9; near++) {
      static const int8_t steps[9][2] = {{0, 0},  {0, -1}, {0, 1},  {-1, 0}, {1, 0},
                                         {-1, -1}, {-1, 1}, {1, -1}, {1, 1}};
      int tried = own + steps[near][0], tried_low = low + steps[near][1];
      if (tried < 0 || tried > 63 || tried_low < 0 || tried_low > 63) continue;
      pair q;
      float error = affine_codes(x, w, (float)levels, stored_scale * (float)tried,
                                 stored_minimum * (float)tried_low, &q);
      if (error < best) {
        best = error;
        chosen = q;
        bytes[group] = (uint8_t)tried;
        bytes[8 + group] = (uint8_t)tried_low;
      }
    }
    store_codes(chosen.first, codes + 32 * group);
    store_codes(chosen.second, codes + 32 * group + LANES);
  }
  return scale > minimum ? scale : minimum;
}

/* The scale with the least squared error of `scale * code`, with codes from -32 to 31. The weight with
   the largest magnitude gets about -32. */
BODY float symmetric_group(const float *weights, const float *importance) {
  float least = 0, most = 0;
  extremes(weights, LANES, &least, &most);
  float largest = -least > most ? least : most;
  if (largest == 0) return 0;
  lanes x = load(weights), w = load(importance);
  float best = 0, scale = 0;
  for (int step = -9; step <= 9; step++) {
    float inverse = -(32 + 0.1f * (float)step) / largest;
    lanes q = rounded(x * inverse, -32, 31);
    float sum_qx = sum(w * q * x), sum_qq = sum(w * q * q);
    if (sum_qq > 0 && sum_qx * sum_qx > best * sum_qq) {
      scale = sum_qx / sum_qq;
      best = scale * sum_qx;
    }
  }
  return scale;
}

BODY float symmetric_block(const float *weights, const float *importance, uint16_t *scale,
                           int8_t *group_scales, int16_t *codes) {
  float scales[16], largest = 0;
  for (int group = 0; group < 16; group++) {
    scales[group] = symmetric_group(weights + LANES * group, importance + LANES * group);
    if (__builtin_fabsf(scales[group]) > __builtin_fabsf(largest)) largest = scales[group];
  }
  float unit = largest / -128;
  *scale = half_scale(unit);
  float stored = widened(*scale);
  for (int group = 0; group < 16; group++) {
    lanes x = load(weights + LANES * group), w = load(importance + LANES * group), chosen = 0;
    int own = stored != 0 ? clamped(scales[group] / stored, -128, 127) : 0;
    float best = __builtin_inff();
    for (int near = 0; near < 3; near++) {
      int tried = own + (near == 2 ? -1 : near);
      if (tried < -128 || tried > 127) continue;
      float product = stored * (float)tried, inverse = product != 0 ? 1 / product : 0;
      lanes q = rounded(x * inverse, -32, 31);
      lanes difference = q * product - x;
      float error = sum(w * difference * difference);
      if (error < best) {
        best = error;
        chosen = q;
        group_scales[group] = (int8_t)tried;
      }
    }
    store_codes(chosen, codes + LANES * group);
  }
  return __builtin_fabsf(unit);
}

FORMS(float, affine_block,
      (const float *weights, const float *importance, int levels, uint16_t *halves,
       uint8_t *bytes, int16_t *codes),
      (weights, importance, levels, halves, bytes, codes))
FORMS(float, symmetric_block,
      (const float *weights, const float *importance, uint16_t *scale, int8_t *group_scales,
       int16_t *codes),
      (weights, importance, scale, group_scales, codes))
