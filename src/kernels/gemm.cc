#include "kernels/gemm.h"

#ifdef __APPLE__
#include <Accelerate/Accelerate.h>
#else
#include <cblas.h>
#endif

namespace pome::kernels {
namespace {

void one_thread(bool ta, bool tb, std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
                const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta,
                float* c, std::int64_t ldc) {
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
                static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), alpha, a,
                static_cast<int>(lda), b, static_cast<int>(ldb), beta, c, static_cast<int>(ldc));
}

}  // namespace

void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
          float alpha, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
          float beta, float* c, std::int64_t ldc, ThreadPool& pool) {
#ifndef __APPLE__
    // Our own split is the only one: OpenBLAS's threads would fight the pool's for the same
    // processors.
    static const bool single = (openblas_set_num_threads(1), true);
    static_cast<void>(single);
#endif
    constexpr std::int64_t grain = 64, worth_sharing = std::int64_t{1} << 18;
    const std::int64_t longest = m >= n ? m : n;
    const std::int64_t part = m * n * k < worth_sharing ? longest : grain;
    pool.for_ranges(longest, part, [&](std::int64_t begin, std::int64_t end, int) {
        if (m >= n) {
            one_thread(transpose_a, transpose_b, end - begin, n, k, alpha,
                       a + (transpose_a ? begin : begin * lda), lda, b, ldb, beta, c + begin * ldc,
                       ldc);
        } else {
            one_thread(transpose_a, transpose_b, m, end - begin, k, alpha, a, lda,
                       b + (transpose_b ? begin * ldb : begin), ldb, beta, c + begin, ldc);
        }
    });
}

std::string blas_name() {
#ifdef __APPLE__
    return "Accelerate";
#else
    return openblas_get_config();
#endif
}

}  // namespace pome::kernels
