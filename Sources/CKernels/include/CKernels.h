/* SIMD loops of Decant. One header; every loop has a portable form and, where it pays, forms for
   x86-64 instruction sets that are chosen once at run time. No function allocates or fails. */
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Widening and narrowing of half floats; round to nearest even. */
void decant_f16_to_f32(const uint16_t *source, float *target, size_t count);
void decant_f32_to_f16(const float *source, uint16_t *target, size_t count);
void decant_bf16_to_f32(const uint16_t *source, float *target, size_t count);
void decant_f32_to_bf16(const float *source, uint16_t *target, size_t count);

/* target[i] = scale * codes[i]. */
void decant_i8_to_f32(const int8_t *codes, float scale, float *target, size_t count);

/* 1 when any of the values is NaN or infinite. */
int decant_f32_has_nonfinite(const float *values, size_t count);

#endif
