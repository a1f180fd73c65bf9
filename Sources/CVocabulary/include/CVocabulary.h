#ifndef CVOCABULARY_H
#define CVOCABULARY_H

#include <stdint.h>

/* The merges of the byte-pair vocabulary of OpenAI's CLIP, as text: the file `merges.txt` that lies
 * in the tokenizer folder of every Stable Diffusion model. MIT licence, (c) 2021 OpenAI; see
 * LICENSE beside vocabulary.c. */
int64_t decant_clip_merges_count(void);

/* Byte `index` of it; 0 outside of 0 ..< decant_clip_merges_count(). */
uint8_t decant_clip_merges_byte(int64_t index);

#endif
