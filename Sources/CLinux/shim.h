/* Functions of Linux and glibc that Swift's Glibc module does not declare. */

#include <malloc.h>

/* glibc declares these in fcntl.h and stdio.h, for programs that define _GNU_SOURCE only. */
extern int sync_file_range(int descriptor, long offset, long count, unsigned flags);
#define DECANT_SYNC_FILE_RANGE_WRITE 2u

extern int renameat2(
    int old_folder, const char *old_path, int new_folder, const char *new_path, unsigned flags);
#define DECANT_RENAME_NOREPLACE 1u
#define DECANT_RENAME_EXCHANGE 2u
