#include "train/baked_programs.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

#include "formats/weight_blob.h"
#include "kernels/convert.h"

namespace pome::train {
namespace {

/// y [columns, rows] = x [rows, columns]^T.
template <typename T>
std::vector<T> transposed(const std::vector<T>& x, std::int64_t rows, std::int64_t columns) {
    constexpr std::int64_t tile = 32;  // rows and columns that stay in the cache together
    std::vector<T> y(x.size());
    for (std::int64_t row0 = 0; row0 < rows; row0 += tile) {
        for (std::int64_t column0 = 0; column0 < columns; column0 += tile) {
            for (std::int64_t row = row0; row < std::min(rows, row0 + tile); ++row) {
                for (std::int64_t column = column0; column < std::min(columns, column0 + tile);
                     ++column) {
                    y[static_cast<std::size_t>(column * rows + row)] =
                        x[static_cast<std::size_t>(row * columns + column)];
                }
            }
        }
    }
    return y;
}

template <typename T>
std::vector<std::byte> blob(const mil::passes::BakedWeight& weight, std::vector<T> values) {
    if (weight.transposed) {
        values = transposed(values, weight.rows, weight.columns);
    }
    formats::BlobWriter writer;
    writer.add(weight.dtype, std::as_bytes(std::span(values)));
    return writer.take();
}

/// Two independent multiply-and-fold chains over 8 bytes at a time.
void add_to_digest(std::array<std::uint64_t, 2>& digest, std::span<const std::byte> bytes) {
    constexpr std::array<std::uint64_t, 2> factors{0x9E3779B97F4A7C15U, 0xD6E8FEB86659FD93U};
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data() + at, std::min(sizeof(word), bytes.size() - at));
        for (std::size_t i = 0; i < digest.size(); ++i) {
            digest[i] = (digest[i] ^ word) * factors[i];
            digest[i] ^= digest[i] >> (29 + 3 * i);
        }
    }
}

}  // namespace

std::vector<std::byte> weight_file(const mil::passes::BakedWeight& weight,
                                   std::span<const float> values) {
    if (weight.dtype == DType::fp32) {
        return blob(weight, std::vector<float>(values.begin(), values.end()));
    }
    std::vector<fp16> halves(values.size());
    kernels::to_fp16(values.data(), halves.data(), static_cast<std::int64_t>(values.size()),
                     Rounding::nearest_even);
    return blob(weight, std::move(halves));
}

CompileQueue::Program BakedPrograms::program(const std::string& name,
                                             const mil::passes::Baked& form,
                                             const mil::WeightFiles& tables, const Values& values) {
    auto package = std::make_shared<mil::Package>();
    Digest digest{};
    package->weights = tables;
    for (const auto& weight : form.weights) {
        auto file = weight_file(weight, values(weight.parameter));
        add_to_digest(digest, file);
        package->weights.add(weight.path, std::move(file));
    }
    const auto [found, is_new] = programs_.try_emplace({&form, digest});
    found->second.used = true;
    if (is_new) {
        package->program = device::program_for(form.function, device_.profile());
        found->second.program = queue_.add(name, [package] { return *package; });
    }
    return found->second.program;
}

device::Executable& wait_for(const CompileQueue::Program& program, Pipeline& pipeline,
                             const std::string& title, std::int64_t block) {
    if (!program.valid()) {
        fail(Code::invalid_argument, "train.pipeline", "evaluation before stage_weights()");
    }
    if (program.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
        const Span span = pipeline.span(Part::wait, "compile of " + title, block);
        program.wait();
    }
    return *program.get();
}

void BakedPrograms::drop_unused() {
    std::erase_if(programs_, [](const auto& item) { return !item.second.used; });
    for (auto& [key, entry] : programs_) {
        entry.used = false;
    }
}

}  // namespace pome::train
