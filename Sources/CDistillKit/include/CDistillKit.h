#ifndef CDISTILLKIT_H
#define CDISTILLKIT_H

#include <stdint.h>

/* The files of a distillation kit that are the same for all models. */
enum {
  DECANT_KIT_TRAINING = 0,     /* distill.py */
  DECANT_KIT_SAMPLES = 1,      /* samples.py */
  DECANT_KIT_REQUIREMENTS = 2, /* requirements.txt */
  DECANT_KIT_README = 3,       /* README.md */
};

/* The bytes of a file; 0 for another number. */
int64_t decant_kit_file_count(int32_t file);

/* Byte `index` of a file; 0 outside of 0 ..< decant_kit_file_count(file). */
uint8_t decant_kit_file_byte(int32_t file, int64_t index);

#endif
