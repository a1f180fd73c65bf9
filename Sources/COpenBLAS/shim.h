#include <cblas.h>

/// LAPACK's Cholesky factorization in float32, for which Debian's OpenBLAS has no header. Arguments
/// and layout (by columns) are those of LAPACK's `SPOTRF`; the last argument is the length of `uplo`.
void spotrf_(
    const char *uplo, const int *n, float *a, const int *lda, int *info, unsigned long uplo_length);
