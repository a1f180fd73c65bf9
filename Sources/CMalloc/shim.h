#include <malloc.h>

/* glibc's fcntl.h declares it for GNU sources alone, which modules of it are not. */
extern int sync_file_range(int descriptor, long offset, long count, unsigned flags);
#define DECANT_SYNC_FILE_RANGE_WRITE 2u
