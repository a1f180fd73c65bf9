#ifndef CSTUDIOPAGE_H
#define CSTUDIOPAGE_H

#include <stdint.h>

/* The files of the page that `decant serve` shows, so that an installed program holds them. Each has a
 * number of bytes, and its byte at an index, which is 0 outside of the file. */

/* page.html: the document, with an empty <style> and an empty <script>. */
int64_t decant_studio_page_count(void);
uint8_t decant_studio_page_byte(int64_t index);

/* style.css */
int64_t decant_studio_style_count(void);
uint8_t decant_studio_style_byte(int64_t index);

/* The scripts, one after another: parts.js, session.js, generate.js, compare.js, inspect.js,
 * bench.js and start.js. */
int64_t decant_studio_script_count(void);
uint8_t decant_studio_script_byte(int64_t index);

#endif
