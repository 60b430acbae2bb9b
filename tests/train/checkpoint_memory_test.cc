// A checkpoint is written from where its tensors lie and read to where they shall lie: at no moment
// is it in memory twice.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "formats/checkpoint.h"
#include "support/process_memory.h"
#include "support/test_data.h"
#include "train/model_file.h"

namespace pome::train {
namespace {

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

constexpr double mega = 1 << 20;

double megabytes(const std::string& field) {
    return static_cast<double>(test::process_kilobytes("status", field)) / 1024.0;
}

/// How far resident memory rises above what it is now while body() runs; -1 where the system does
/// not count that.
template <typename Body>
double rise(Body body) {
    std::ofstream reset("/proc/self/clear_refs");
    reset << "5" << std::flush;  // the peak begins anew
    const double before = megabytes("VmRSS");
    if (!reset || megabytes("VmHWM") > before + 1.0) {
        return -1.0;
    }
    body();
    return megabytes("VmHWM") - before;
}

TEST(CheckpointMemory, NoTensorIsInMemoryTwice) {
    const TemporaryDirectory work;
    model::ModelConfig config;
    config.width = 512, config.hidden = 1024, config.layers = 4, config.heads = 8,
    config.kv_heads = 8, config.vocabulary = 4096, config.sequence = 64;
    const auto architecture = model::architecture(config);
    ParameterSet weights(architecture), m(architecture);
    Random random(1);
    weights.initialize(random);
    m.copy_from(weights);
    const double size = 4.0 * static_cast<double>(weights.all().size()) / mega;
    ASSERT_GT(size, 40.0);
    constexpr double allowed = 20.0;  // the largest tensor, pieces of a file

    const auto path = work.path() / "checkpoint";
    const double written = rise([&] {
        formats::write_checkpoint(path, tensor_views(weights, ""), tensor_views(m, "m."), {}, {});
    });
    if (written < 0.0) {
        GTEST_SKIP() << "the system does not say how much memory was in use";
    }
    EXPECT_LT(written, allowed);

    ParameterSet read_weights(architecture), read_m(architecture);
    std::fill(read_weights.all().begin(), read_weights.all().end(), 1.0F);  // its memory is there
    std::fill(read_m.all().begin(), read_m.all().end(), 1.0F);
    const double read = rise([&] {
        const formats::Checkpoint checkpoint(path);
        fill(read_weights, checkpoint.model(), "", "checkpoint");
        fill(read_m, checkpoint.optimizer(), "m.", "checkpoint");
    });
    EXPECT_LT(read, allowed);
    for (std::size_t i = 0; i < weights.size(); ++i) {
        EXPECT_TRUE(std::ranges::equal(read_weights.values(i), weights.values(i)));
        EXPECT_TRUE(std::ranges::equal(read_m.values(i), weights.values(i)));
    }
}

#endif

}  // namespace
}  // namespace pome::train
