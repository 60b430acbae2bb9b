// Constants: 8-bit weights, and what the compiler checks of a weight file.
#include <cmath>
#include <cstring>

#include "device/probe/bench.h"

namespace pome::device::probe {
namespace {

constexpr std::size_t record = 64;  ///< where a file of one tensor has its record
constexpr std::size_t dtype_at = record + 4, size_at = record + 8, offset_at = record + 16;
constexpr std::uint64_t bytes = row * row * 2;

/// y = x + w with w from a weight file: y - x is what the compiler read.
Program sum() {
    return {{plane(row, row, std::vector<double>(row * row, 0.0))},
            "tensor<fp16, [1, 1, 32, 32]> y = add(x = x, y = w);",
            {{"w", {1, 1, row, row}, DType::fp16, ramp(row * row, 1.0, 1.0)}}};
}

/// The program with a number of its weight file's record replaced.
mil::Package forged(Bench& bench, std::size_t at, std::uint64_t number, std::size_t size) {
    mil::Package package = bench.package(sum());
    const auto& [path, file] = *package.weights.files().begin();
    std::vector<std::byte> changed = *file;
    std::memcpy(changed.data() + at, &number, size);  // the hosts of engines are little-endian
    package.weights.add(path, std::move(changed));
    return package;
}

/// Whether the compiler minds the change.
void find_check(Bench& bench, const std::string& key, const mil::Package& package,
                const std::string& what) {
    const Outcome outcome = bench.evaluate(package, sum());
    if (outcome.status == Outcome::Status::failed || outcome.status == Outcome::Status::stopped) {
        bench.open(key, words(outcome));
        return;
    }
    bench.found(key, !is_done(outcome),
                what + (is_done(outcome) ? " compiles" : " " + words(outcome)));
}

void find_data_offset(Bench& bench) {
    const std::string key = "blobs.data_offset", start = "blobs.zero_is_file_start";
    const mil::Package package = forged(bench, offset_at, 0, 8);
    const Outcome outcome = bench.evaluate(package, sum());
    if (outcome.status == Outcome::Status::refused) {
        bench.found(key, true, "a record whose data lies at 0 " + words(outcome));
        return;
    }
    if (!is_done(outcome)) {
        bench.open(key, words(outcome));
        return;
    }
    bench.found(key, false, "a record whose data lies at 0 compiles");
    const auto& file = *package.weights.files().begin()->second;
    std::vector<double> from_start(row * row);
    for (std::size_t i = 0; i < from_start.size(); ++i) {
        fp16 half{};
        std::memcpy(&half, file.data() + 2 * i, 2);
        from_start[i] = static_cast<double>(to_float(half));
    }
    const bool record_data = outcome.values == ramp(row * row, 1.0, 1.0);
    bool file_data = true;  // beyond the header, whose bytes are no numbers
    for (std::size_t i = record; i < from_start.size(); ++i) {
        file_data = file_data && outcome.values[i] == from_start[i];
    }
    if (record_data != file_data) {
        bench.found(start, file_data,
                    file_data ? "its data begins with the file" : "its data follows the record");
    } else {
        bench.open(start, "its data comes neither from the start nor from behind the record");
    }
}

/// One product 300 x 127 of 8-bit weights: beyond 2^15 where integers are multiplied and scaled
/// afterwards, 381 where the compiler makes fp16 of them first.
Program integer_product(int zero_point) {
    std::string rows;
    for (std::int64_t i = 0; i < row; ++i) {
        rows += i == 0 ? "[127" : ", [127";
        for (std::int64_t k = 1; k < row; ++k) {
            rows += ", 0";
        }
        rows += "]";
    }
    std::vector<double> x(row * row);
    for (std::size_t i = 0; i < row; ++i) {
        x[i * row] = 300.0;
    }
    return {
        {plane(row, row, std::move(x))},
        fmt::format(
            "tensor<fp16, [32, 32]> w = constexpr_affine_dequantize()[quantized_data = "
            "tensor<int8, [32, 32]>([{}]), scale = fp16(0x1.48p-7), zero_point = int8({}), axis "
            "= int32(0), name = string(\"w\")]; tensor<fp16, [1, 1, 32, 32]> y = matmul(x = x, "
            "y = w, transpose_x = bool(false), transpose_y = bool(true));",
            rows, zero_point)};
}

}  // namespace

void probe_integer_weights(Bench& bench) {
    const std::string key = "capabilities.int8_stream";
    const Outcome outcome = bench.evaluate(integer_product(0));
    if (!is_done(outcome)) {
        bench.open(key, words(outcome));
    } else if (!bench.flag("numerics.multiply_accumulate.fixed_point", false)) {
        bench.open(key, "only a sum that ends at 2^15 shows what it is made of");
    } else {
        const double first = outcome.values[0];
        const std::string seen = fmt::format("300 x (127 x 0.01001) gives {}", first);
        if (std::isinf(first) || std::fabs(first - 381.0) < 4.0) {
            bench.found(key, std::isinf(first), seen);
        } else {
            bench.open(key, seen);
        }
    }
    const Outcome shifted = bench.compile(integer_product(3));
    bench.found("capabilities.int8_zero_point", is_done(shifted),
                "weights with the zero point 3 " +
                    (is_done(shifted) ? std::string("compile") : words(shifted)));
}

void probe_weight_files(Bench& bench) {
    find_check(bench, "blobs.size", forged(bench, size_at, bytes / 2, 8),
               "a record of half the tensor's size");
    find_check(bench, "blobs.dtype", forged(bench, dtype_at, 2, 4), "a record of another dtype");
    find_data_offset(bench);
}

}  // namespace pome::device::probe
