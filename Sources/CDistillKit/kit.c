#include "CDistillKit.h"

/* As in CVocabulary, #embed keeps the files out of the sources. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wc23-extensions"
#endif

static const uint8_t training[] = {
#embed "distill.py"
};

static const uint8_t samples[] = {
#embed "samples.py"
};

static const uint8_t requirements[] = {
#embed "requirements.txt"
};

static const uint8_t readme[] = {
#embed "README.md"
};

static const struct {
  const uint8_t *bytes;
  int64_t count;
} files[] = {
    {training, sizeof training},
    {samples, sizeof samples},
    {requirements, sizeof requirements},
    {readme, sizeof readme},
};

static int exists(int32_t file) {
  return file >= 0 && file < (int32_t)(sizeof files / sizeof files[0]);
}

int64_t decant_kit_file_count(int32_t file) { return exists(file) ? files[file].count : 0; }

uint8_t decant_kit_file_byte(int32_t file, int64_t index) {
  return index >= 0 && index < decant_kit_file_count(file) ? files[file].bytes[index] : 0;
}
