#include "CStudioPage.h"

/* #embed keeps the files out of the sources. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wc23-extensions"
#endif

static const uint8_t page[] = {
#embed "page.html"
};

static const uint8_t style[] = {
#embed "style.css"
};

static const uint8_t script[] = {
#embed "parts.js"
    ,
#embed "session.js"
    ,
#embed "generate.js"
    ,
#embed "compare.js"
    ,
#embed "inspect.js"
    ,
#embed "bench.js"
    ,
#embed "start.js"
};

#define BYTES(name)                                                                                \
  int64_t decant_studio_##name##_count(void) { return sizeof name; }                               \
  uint8_t decant_studio_##name##_byte(int64_t index) {                                             \
    return index >= 0 && index < (int64_t)sizeof name ? name[index] : 0;                           \
  }

BYTES(page)
BYTES(style)
BYTES(script)
