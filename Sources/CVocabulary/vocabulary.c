#include "CVocabulary.h"

/* #embed keeps the table out of the sources; compiling it takes milliseconds. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wc23-extensions"
#endif

static const uint8_t merges[] = {
#embed "clip-merges.txt"
};

int64_t decant_clip_merges_count(void) { return sizeof merges; }

uint8_t decant_clip_merges_byte(int64_t index) {
  return index >= 0 && index < (int64_t)sizeof merges ? merges[index] : 0;
}
