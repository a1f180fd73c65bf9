/* Mapped files that lose bytes while they are read. */
#ifndef DECANT_MAPPING_H
#define DECANT_MAPPING_H

#include <stddef.h>

/* Reading a page of a mapped file that the file no longer has, or that the disk cannot read, raises
   SIGBUS, which ends the process. In a range that is watched, the rest of the range from that page
   on becomes zeros instead, and the range counts as lost. Other causes of SIGBUS have the action
   that they had before.

   decant_watch_mapping returns null without memory; the range is then not watched. The caller keeps
   the range mapped until decant_forget_mapping. All functions may be called on any thread. */
struct decant_mapping;
struct decant_mapping *decant_watch_mapping(const void *start, size_t length);
void decant_forget_mapping(struct decant_mapping *mapping);
int decant_mapping_is_lost(const struct decant_mapping *mapping);

/* Reads a byte of every page. A system call that is given a page that its file no longer has fails
   with EFAULT and raises no signal; after this call it finds zeros there. */
void decant_touch_pages(const void *start, size_t length);

#endif
