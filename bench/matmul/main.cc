// Products of a training step: the engine's exact rules, fp32 sums of fp16, the system's sgemm,
// oneDNN where the build has it, and the machine's FMA peak beside each row, in one run.
//   bench_matmul [--json FILE] [--only PART_OF_A_NAME]

#include <fmt/format.h>
#include <hwy/targets.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <thread>
#include <vector>

#include "base/random.h"
#include "kernels/gemm.h"
#include "kernels/matmul.h"
#include "matmul/onednn.h"
#include "reference/chip/multiply_accumulate.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

using namespace pome;

struct Shape {
    const char* name;
    std::int64_t jobs, m, k, n;
    double a_deviation, b_deviation;
    bool a_by_columns, b_by_columns;
    bool of_model = true;  ///< of Stories110M; others show what a product is slow at
};

// Deviations: weights 0.02, activations after a norm 1, gradients scaled to 0.1.
constexpr Shape shapes[] = {
    {"projection 768x768x256", 1, 768, 768, 256, 0.02, 1.0, false, false},
    {"projection 768x768x256, no small products", 1, 768, 768, 256, 0.2, 1.0, false, false, false},
    {"projection^T 768x768x256, small gradients", 1, 768, 768, 256, 0.02, 0.1, true, false},
    {"up 2048x768x256", 1, 2048, 768, 256, 0.02, 1.0, false, false},
    {"down 768x2048x256", 1, 768, 2048, 256, 0.02, 0.5, false, false},
    {"scores 12 x 256x64x256", 12, 256, 64, 256, 1.0, 1.0, true, false},
    {"values 12 x 256x256x64", 12, 256, 256, 64, 0.06, 1.0, false, true},
    {"large activations 768x768x256", 1, 768, 768, 256, 0.5, 40.0, false, false, false},
    {"overflowing 768x768x256", 1, 768, 768, 256, 1.0, 1000.0, false, false, false},
    {"tiny 64x64x32", 1, 64, 64, 32, 0.1, 1.0, false, false, false},
};

double seconds(const std::function<void()>& body) {
    const auto start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Median time of 21 runs, each of as many calls as take a millisecond.
double median(const std::function<void()>& body) {
    body();
    const int calls = std::max(1, static_cast<int>(1e-3 / std::max(1e-7, seconds(body))));
    std::vector<double> times;
    for (int i = 0; i < 21; ++i) {
        times.push_back(seconds([&] {
                            for (int j = 0; j < calls; ++j) {
                                body();
                            }
                        }) /
                        calls);
    }
    std::nth_element(times.begin(), times.begin() + 10, times.end());
    return times[10];
}

#if defined(__x86_64__)
// Written out: an array would live in memory.
#define POME_TWELVE(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)

__attribute__((target("avx512f"))) float fma_loop_512(std::int64_t count) {
    const __m512 a = _mm512_set1_ps(0.999F), b = _mm512_set1_ps(0.001F);
#define POME_START(i) __m512 s##i = _mm512_set1_ps(static_cast<float>(i));
#define POME_STEP(i) s##i = _mm512_fmadd_ps(s##i, a, b);
#define POME_TOTAL(i) total = _mm512_add_ps(total, s##i);
    POME_TWELVE(POME_START)
    for (std::int64_t i = 0; i < count; ++i) {
        POME_TWELVE(POME_STEP)
    }
    __m512 total = a;
    POME_TWELVE(POME_TOTAL)
    return _mm512_cvtss_f32(total);
#undef POME_START
#undef POME_STEP
#undef POME_TOTAL
}

__attribute__((target("avx2,fma"))) float fma_loop_256(std::int64_t count) {
    const __m256 a = _mm256_set1_ps(0.999F), b = _mm256_set1_ps(0.001F);
#define POME_START(i) __m256 s##i = _mm256_set1_ps(static_cast<float>(i));
#define POME_STEP(i) s##i = _mm256_fmadd_ps(s##i, a, b);
#define POME_TOTAL(i) total = _mm256_add_ps(total, s##i);
    POME_TWELVE(POME_START)
    for (std::int64_t i = 0; i < count; ++i) {
        POME_TWELVE(POME_STEP)
    }
    __m256 total = a;
    POME_TWELVE(POME_TOTAL)
    return _mm256_cvtss_f32(total);
#undef POME_START
#undef POME_STEP
#undef POME_TOTAL
}
#endif

/// Multiply-adds a second of independent chains in registers, all threads at once, the best of some
/// runs; 0 where it is not known.
double peak([[maybe_unused]] ThreadPool& pool) {
#if defined(__x86_64__)
    const bool wide = __builtin_cpu_supports("avx512f") != 0;
    if (!wide && __builtin_cpu_supports("fma") == 0) {
        return 0.0;
    }
    constexpr std::int64_t count = 500'000;
    double best = 0.0;
    for (int i = 0; i < 5; ++i) {
        const double time = seconds([&] {
            pool.for_ranges(pool.threads(), 1, [&](std::int64_t, std::int64_t, int) {
                volatile float sink = wide ? fma_loop_512(count) : fma_loop_256(count);
                static_cast<void>(sink);
            });
        });
        best = std::max(best,
                        static_cast<double>(count * pool.threads()) * 12 * (wide ? 16 : 8) / time);
    }
    return best;
#else
    return 0.0;
#endif
}

struct Data {
    std::vector<fp16> a, b, y;
    std::vector<float> a32, b32, y32;
    std::vector<kernels::MatmulJob> jobs;
};

Data make(const Shape& s) {
    Data data;
    Random random(1);
    const auto draw = [&](std::int64_t count, double deviation, std::vector<fp16>& to,
                          std::vector<float>& wide) {
        for (std::int64_t i = 0; i < count; ++i) {
            to.push_back(to_fp16(deviation * random.normal(), Rounding::nearest_even));
            wide.push_back(to_float(to.back()));
        }
    };
    draw(s.jobs * s.m * s.k, s.a_deviation, data.a, data.a32);
    draw(s.jobs * s.k * s.n, s.b_deviation, data.b, data.b32);
    data.y.resize(static_cast<std::size_t>(s.jobs * s.m * s.n));
    data.y32.resize(data.y.size());
    for (std::int64_t j = 0; j < s.jobs; ++j) {
        const fp16 *a = data.a.data() + j * s.m * s.k, *b = data.b.data() + j * s.k * s.n;
        data.jobs.push_back({s.a_by_columns ? kernels::Matrix{a, s.m, s.k, 1, s.m}
                                            : kernels::Matrix{a, s.m, s.k, s.k, 1},
                             s.b_by_columns ? kernels::Matrix{b, s.k, s.n, 1, s.k}
                                            : kernels::Matrix{b, s.k, s.n, s.n, 1},
                             data.y.data() + j * s.m * s.n, s.n, nullptr});
    }
    return data;
}

/// Compares a thousand results of the exact product with the scalar model.
bool matches_model(const Shape& s, const Data& data) {
    Random random(2);
    std::vector<fp16> x(static_cast<std::size_t>(s.k)), w(x.size());
    for (int i = 0; i < 1000; ++i) {
        const auto& job = data.jobs[random.below(data.jobs.size())];
        const auto r = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(s.m)));
        const auto c = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(s.n)));
        for (std::int64_t k = 0; k < s.k; ++k) {
            x[static_cast<std::size_t>(k)] =
                job.a.data[r * job.a.row_stride + k * job.a.column_stride];
            w[static_cast<std::size_t>(k)] =
                job.b.data[k * job.b.row_stride + c * job.b.column_stride];
        }
        const fp16 want = reference::chip::multiply_accumulate(x, w, 0.0F, {});
        if (job.y[r * job.y_row_stride + c] != want) {
            return false;
        }
    }
    return true;
}

/// Whether two products of the same operands differ by their rounding only.
bool are_near(const std::vector<float>& got, const std::vector<float>& want) {
    float largest = 0.0F;
    for (const float value : want) {
        largest = std::max(largest, std::fabs(value));
    }
    for (std::size_t i = 0; i < want.size(); ++i) {
        if (!(std::fabs(got[i] - want[i]) <= 1e-4F * largest)) {  // nor is NaN near
            return false;
        }
    }
    return true;
}

nlohmann::json measure(const Shape& s) {
    Data data = make(s);
    const double products = static_cast<double>(s.jobs * s.m * s.k * s.n);
    nlohmann::json result{{"shape", s.name}};
    fmt::print("{}\n", s.name);
    for (const int threads : {1, 2}) {
        ThreadPool pool(threads);
        kernels::MatmulScratch scratch;
        const auto exact = [&] { kernels::matmul_exact(data.jobs, {}, pool, scratch, nullptr); };
        const auto fast = [&] { kernels::matmul_fast(data.jobs, pool, scratch); };
        const auto sgemm = [&] {
            for (std::int64_t j = 0; j < s.jobs; ++j) {
                kernels::gemm(s.a_by_columns, s.b_by_columns, s.m, s.n, s.k, 1.0F,
                              data.a32.data() + j * s.m * s.k, s.a_by_columns ? s.m : s.k,
                              data.b32.data() + j * s.k * s.n, s.b_by_columns ? s.k : s.n, 0.0F,
                              data.y32.data() + j * s.m * s.n, s.n, pool);
            }
        };
        exact();
        if (!matches_model(s, data)) {
            fmt::print("  exact differs from the scalar model\n");
            return nullptr;
        }
        std::vector<std::pair<std::string, std::function<void()>>> contenders{
            {"exact", exact}, {"fast", fast}, {"sgemm", sgemm}};
        sgemm();
        const std::vector<float> floats = data.y32;
        for (auto& [name, multiply] :
             bench::onednn({s.jobs, s.m, s.k, s.n, data.a32.data(), s.a_by_columns, data.b32.data(),
                            s.b_by_columns, data.y32.data()},
                           threads)) {
            std::fill(data.y32.begin(), data.y32.end(), NAN);
            multiply();
            if (!are_near(data.y32, floats)) {
                fmt::print("  {} differs from sgemm\n", name);
                return nullptr;
            }
            contenders.emplace_back(name, multiply);
        }
        for (const auto& [name, body] : contenders) {
            // Threads of OpenMP spin for a while before they sleep.
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
            // The peak of the same moments: other tenants of the machine change it.
            const double before = peak(pool), time = median(body), after = peak(pool);
            const double rate = products / time, most = (before + after) / 2.0;
            const double share = most > 0 ? rate / most : 0.0;
            fmt::print("  {} threads {:16} {:9.1f} us {:7.1f} GFLOP/s {:5.1f} % of peak\n", threads,
                       name, time * 1e6, 2e-9 * rate, 100.0 * share);
            result["measured"].push_back({{"threads", threads},
                                          {"contender", name},
                                          {"microseconds", time * 1e6},
                                          {"gflops", 2e-9 * rate},
                                          {"peak_gflops", 2e-9 * most},
                                          {"share_of_peak", share}});
        }
    }
    return result;
}

}  // namespace

int main(int argc, char** argv) {
    std::string_view json_file, only;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view flag = argv[i];
        if (i + 1 == argc || (flag != "--json" && flag != "--only")) {
            fmt::print(stderr, "bench_matmul [--json FILE] [--only PART_OF_A_NAME]\n");
            return 2;
        }
        (flag == "--json" ? json_file : only) = argv[i + 1];
    }
    ThreadPool single(1);
    const double single_peak = peak(single);
    const char* target = hwy::TargetName(hwy::SupportedAndGeneratedTargets().front());
    fmt::print(
        "target {}, FMA peak of a thread {:.1f} GFLOP/s, {} hardware threads; shares are of the "
        "peak measured beside each row\n",
        target, 2e-9 * single_peak, std::thread::hardware_concurrency());
    nlohmann::json all{{"target", target}, {"peak_gflops", 2e-9 * single_peak}};
    std::map<std::pair<int, std::string>, std::vector<double>> shares;
    for (const Shape& shape : shapes) {
        if (std::string_view(shape.name).find(only) == std::string_view::npos) {
            continue;
        }
        const nlohmann::json result = measure(shape);
        if (result.is_null()) {
            return 1;
        }
        for (const auto& row : result["measured"]) {
            if (shape.of_model) {
                shares[{row["threads"].get<int>(), row["contender"].get<std::string>()}].push_back(
                    row["share_of_peak"].get<double>());
            }
        }
        all["shapes"].push_back(result);
    }
    if (single_peak > 0 && !shares.empty()) {
        fmt::print("geometric mean over the shapes of Stories110M above\n");
    }
    for (const auto& [contender, list] : shares) {
        double sum = 0.0;
        for (const double share : list) {
            sum += std::log(share);
        }
        const double mean = std::exp(sum / static_cast<double>(list.size()));
        if (single_peak > 0) {
            fmt::print("  {} threads {:16} {:5.1f} % of peak\n", contender.first, contender.second,
                       100.0 * mean);
        }
        all["geometric_means"].push_back({{"threads", contender.first},
                                          {"contender", contender.second},
                                          {"share_of_peak", mean}});
    }
    if (!json_file.empty()) {
        std::ofstream(std::string(json_file)) << all.dump(2) << "\n";
    }
    return 0;
}
