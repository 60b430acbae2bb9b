#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "device/open/open_device.h"
#include "mil/text.h"
#include "pome/ane_bridge.h"
#include "pome/ane_universal.h"
#include "pome/pome.h"
#include "train/trainable_model.h"

namespace pome::capi {
namespace {

using testing::HasSubstr;

constexpr std::size_t elements = 64 * 32;

/// examples/mlp.mil with random weights, as model.ane in a folder of its own.
class Model {
  public:
    Model() {
        const std::string source = POME_SOURCE_DIR "/examples/mlp.mil";
        formats::write_ane_model(
            path(), train::model_from_program(mil::read(read_text(source), source), {},
                                              {train::Loss::mean_squared_error, {}, 1}));
    }
    std::string path() const { return (folder_.path() / "model.ane").string(); }
    std::string in(const std::string& name) const { return (folder_.path() / name).string(); }

  private:
    TemporaryDirectory folder_;
};

std::vector<float> numbers() {
    std::vector<float> values(elements);
    for (std::size_t i = 0; i < elements; ++i) {
        values[i] = static_cast<float>(i * 37 % 101) / 101.0F - 0.5F;
    }
    return values;
}

pome_device* opened(const char* name = "emulator:m4") {
    pome_device* device = nullptr;
    EXPECT_EQ(pome_device_open(name, nullptr, &device), POME_OK) << pome_last_error();
    return device;
}

TEST(Capi, EveryFunctionRefusesNullAndGarbageHandles) {
    std::vector<void*> hostile{nullptr, reinterpret_cast<void*>(8),
                               reinterpret_cast<void*>(~std::uintptr_t{0})};
    pome_device* closed = opened();
    pome_device_close(closed);
    hostile.push_back(closed);
    pome_surface* surface = nullptr;
    const pome_tensor_type type{POME_FLOAT32, 1, {3}};
    ASSERT_EQ(pome_surface_create(&type, &surface), POME_OK);
    hostile.push_back(surface);  // a handle of another kind for all but the surface functions
    for (void* handle : hostile) {
        auto* device = static_cast<pome_device*>(handle);
        auto* program = static_cast<pome_program*>(handle);
        auto* model = static_cast<pome_model*>(handle);
        const char* name = nullptr;
        std::int64_t number = 0;
        std::int32_t flag = 0;
        std::size_t count = 0;
        float value = 0.0F;
        double loss = 0.0;
        pome_update_rule rule{};
        rule.size = sizeof(rule);
        for (const pome_status status :
             {pome_device_name(device, &name),
              pome_device_compiles(device, &number, &number),
              pome_device_runtime_weights(device, &flag),
              pome_program_compile(device, "", 0, nullptr, 0, nullptr, &program),
              pome_program_counts(program, &count, &count),
              pome_program_input(program, 0, &name, nullptr),
              pome_program_output(program, 0, &name, nullptr),
              pome_program_evaluate(program, nullptr, 0),
              pome_model_open(device, "m", nullptr, &model),
              pome_model_types(model, nullptr, nullptr, nullptr),
              pome_model_pipeline(model, &name),
              pome_model_forward(model, &value, 4, &value, 4),
              pome_model_train_step(model, &value, 4, &value, 4, &rule, &loss),
              pome_model_parameter_count(model, &count),
              pome_model_parameter(model, 0, &name, nullptr),
              pome_model_read_parameter(model, 0, &value, 1),
              pome_model_write_parameter(model, 0, &value, 1),
              pome_model_save(model, "m.ane"),
              pome_model_save_checkpoint(model, "c"),
              pome_model_load_checkpoint(model, "c")}) {
            EXPECT_EQ(status, POME_INVALID_HANDLE);
        }
        EXPECT_THAT(pome_last_error(), HasSubstr("pome_model"));
        if (handle != surface) {
            void* data = nullptr;
            pome_tensor_type found{};
            auto* other = static_cast<pome_surface*>(handle);
            EXPECT_EQ(pome_surface_type(other, &found), POME_INVALID_HANDLE);
            EXPECT_EQ(pome_surface_data(other, &data, &count), POME_INVALID_HANDLE);
            EXPECT_EQ(pome_surface_write_floats(other, &value, 1), POME_INVALID_HANDLE);
            EXPECT_EQ(pome_surface_read_floats(other, &value, 1), POME_INVALID_HANDLE);
            pome_surface_destroy(other);
            pome_device_close(device);
            pome_program_destroy(program);
            pome_model_destroy(model);
        }
    }
    pome_surface_destroy(surface);
    pome_surface_destroy(surface);
}

TEST(Capi, NullArgumentsAreNamed) {
    pome_device* device = opened();
    EXPECT_EQ(pome_device_open("emulator:m4", nullptr, nullptr), POME_INVALID_ARGUMENT);
    EXPECT_THAT(pome_last_error(), HasSubstr("device is NULL"));
    EXPECT_EQ(pome_last_status(), POME_INVALID_ARGUMENT);
    EXPECT_EQ(pome_device_name(device, nullptr), POME_INVALID_ARGUMENT);
    pome_program* program = nullptr;
    EXPECT_EQ(pome_program_compile(device, nullptr, 4, nullptr, 0, nullptr, &program),
              POME_INVALID_ARGUMENT);
    EXPECT_EQ(pome_program_compile(device, "x", 1, nullptr, 2, nullptr, &program),
              POME_INVALID_ARGUMENT);
    const pome_weight_file nothing{nullptr, nullptr, 0};
    EXPECT_EQ(
        pome_program_compile(device, "program(1.3)\n{\n}\n", 17, &nothing, 1, nullptr, &program),
        POME_INVALID_ARGUMENT);
    EXPECT_EQ(pome_model_open(device, nullptr, nullptr, nullptr), POME_INVALID_ARGUMENT);
    EXPECT_EQ(pome_surface_create(nullptr, nullptr), POME_INVALID_ARGUMENT);
    EXPECT_EQ(program, nullptr);
    pome_device_close(device);
}

TEST(Capi, OptionsWithoutASizeAreRefused) {
    pome_device* device = nullptr;
    pome_device_options options{};
    EXPECT_EQ(pome_device_open("reference", &options, &device), POME_INVALID_ARGUMENT);
    EXPECT_THAT(pome_last_error(),
                HasSubstr("pome_device_options.size is 0: set it to sizeof(pome_device_options)"));
    options.size = sizeof(options);
    options.threads = -1;
    EXPECT_EQ(pome_device_open("reference", &options, &device), POME_INVALID_ARGUMENT);
    options.threads = 1;
    options.numerics = "sloppy";
    EXPECT_EQ(pome_device_open("emulator:m4", &options, &device), POME_INVALID_ARGUMENT);
    options.size = sizeof(std::size_t);  // an older program: what it does not have is the default
    EXPECT_EQ(pome_device_open("emulator:m4", &options, &device), POME_OK);
    pome_device_close(device);
}

TEST(Capi, SurfacesOfImpossibleTypesAreRefused) {
    pome_surface* surface = nullptr;
    const auto refused = [&](pome_tensor_type type) {
        EXPECT_NE(pome_surface_create(&type, &surface), POME_OK);
    };
    refused({POME_OTHER, 1, {3}});
    refused({-1, 1, {3}});
    refused({POME_FLOAT32, -1, {3}});
    refused({POME_FLOAT32, 9, {3}});
    refused({POME_FLOAT32, 2, {3, 0}});
    refused({POME_FLOAT32, 2, {INT64_MAX, INT64_MAX}});
    refused({POME_FLOAT32, 1, {std::int64_t{1} << 39}});  // more memory than there is
    EXPECT_EQ(surface, nullptr);
}

TEST(Capi, ProgramsSayWhatIsWrongWithThem) {
    pome_device* device = opened();
    pome_program* program = nullptr;
    const std::string text = "program(1.3)\n{\n  nonsense\n}\n";
    EXPECT_EQ(pome_program_compile(device, text.data(), text.size(), nullptr, 0, nullptr, &program),
              POME_MALFORMED_PROGRAM);
    EXPECT_THAT(pome_last_error(), HasSubstr("program.mil:3:"));
    const std::string gelu =
        "program(1.3)\n{\nfunc main<ios18>(tensor<fp16, [1, 64, 1, 32]> x) {\n"
        "tensor<fp16, [1, 64, 1, 32]> y = gelu(x = x);\n} -> (y);\n}\n";
    EXPECT_NE(pome_program_compile(device, gelu.data(), gelu.size(), nullptr, 0, nullptr, &program),
              POME_OK);
    EXPECT_EQ(program, nullptr);
    pome_device_close(device);
}

TEST(Capi, AClosedDevicesProgramsGoOn) {
    pome_device* device = opened();
    const std::string text = read_text(POME_SOURCE_DIR "/examples/double.mil");
    pome_program* program = nullptr;
    ASSERT_EQ(pome_program_compile(device, text.data(), text.size(), nullptr, 0, nullptr, &program),
              POME_OK);
    pome_device_close(device);
    const char* name = nullptr;
    pome_tensor_type type{};
    ASSERT_EQ(pome_program_input(program, 0, &name, &type), POME_OK);
    EXPECT_STREQ(name, "x");
    EXPECT_EQ(type.rank, 4);
    EXPECT_EQ(pome_program_output(program, 1, &name, &type), POME_INVALID_ARGUMENT);
    pome_surface *x = nullptr, *y = nullptr;
    ASSERT_EQ(pome_surface_create(&type, &x), POME_OK);
    ASSERT_EQ(pome_surface_create(&type, &y), POME_OK);
    const pome_binding good[]{{"x", x}, {"y", y}}, same[]{{"x", x}, {"y", x}},
        twice[]{{"x", x}, {"x", x}}, unknown[]{{"x", x}, {"z", y}};
    EXPECT_EQ(pome_program_evaluate(program, good, 2), POME_OK);
    EXPECT_EQ(pome_program_evaluate(program, same, 2), POME_SURFACE_MISMATCH);
    EXPECT_EQ(pome_program_evaluate(program, twice, 2), POME_INVALID_ARGUMENT);
    EXPECT_EQ(pome_program_evaluate(program, unknown, 2), POME_INVALID_ARGUMENT);
    EXPECT_EQ(pome_program_evaluate(program, good, 1), POME_BINDING_MISSING);
    pome_surface_destroy(x);
    pome_surface_destroy(y);
    pome_program_destroy(program);
}

TEST(Capi, ModelsGiveAndTakeTheirWeights) {
    const Model file;
    pome_device* device = opened();
    pome_model* model = nullptr;
    ASSERT_EQ(pome_model_open(device, file.path().c_str(), nullptr, &model), POME_OK)
        << pome_last_error();
    std::size_t count = 0;
    ASSERT_EQ(pome_model_parameter_count(model, &count), POME_OK);
    EXPECT_EQ(count, 3U);
    const char* name = nullptr;
    pome_tensor_type type{};
    ASSERT_EQ(pome_model_parameter(model, 1, &name, &type), POME_OK);
    EXPECT_STREQ(name, "b1");
    EXPECT_EQ(type.sizes[1], 128);
    std::vector<float> bias(128, 0.5F), read(128);
    EXPECT_EQ(pome_model_write_parameter(model, 1, bias.data(), 127), POME_SURFACE_MISMATCH);
    EXPECT_EQ(pome_model_write_parameter(model, 3, bias.data(), 128), POME_INVALID_ARGUMENT);
    EXPECT_EQ(pome_model_write_parameter(model, 1, bias.data(), 128), POME_OK);
    bias[7] = NAN;
    EXPECT_EQ(pome_model_write_parameter(model, 1, bias.data(), 128), POME_INVALID_ARGUMENT);
    ASSERT_EQ(pome_model_read_parameter(model, 1, read.data(), 128), POME_OK);
    EXPECT_EQ(read[7], 0.5F);
    ASSERT_EQ(pome_model_save(model, file.in("saved.ane").c_str()), POME_OK);
    EXPECT_EQ(pome_model_save(model, file.in("saved.bin").c_str()), POME_INVALID_ARGUMENT);
    pome_model* again = nullptr;
    ASSERT_EQ(pome_model_open(device, file.in("saved.ane").c_str(), nullptr, &again), POME_OK);
    ASSERT_EQ(pome_model_read_parameter(again, 1, read.data(), 128), POME_OK);
    EXPECT_EQ(read[7], 0.5F);
    pome_model_options options{};
    options.size = sizeof(options);
    options.loss_scale = 3.0;
    pome_model* none = nullptr;
    EXPECT_EQ(pome_model_open(device, file.path().c_str(), &options, &none), POME_INVALID_ARGUMENT);
    options.loss_scale = 0.0;
    options.pipeline = "fast";
    EXPECT_EQ(pome_model_open(device, file.path().c_str(), &options, &none), POME_INVALID_ARGUMENT);
    EXPECT_EQ(pome_model_open(device, file.in("none").c_str(), nullptr, &none), POME_IO);
    EXPECT_EQ(pome_model_load_checkpoint(model, file.in("none").c_str()), POME_IO);
    pome_model_destroy(model);
    pome_model_destroy(again);
    pome_device_close(device);
}

TEST(Capi, AFailedStepChangesNoWeight) {
    const Model file;
    pome_device* device = opened();
    pome_model* model = nullptr;
    ASSERT_EQ(pome_model_open(device, file.path().c_str(), nullptr, &model), POME_OK);
    auto x = numbers();
    const std::size_t bytes = x.size() * sizeof(float);
    std::vector<float> before(64 * 128), after(64 * 128);
    ASSERT_EQ(pome_model_read_parameter(model, 0, before.data(), before.size()), POME_OK);
    pome_update_rule rule{};
    EXPECT_EQ(pome_model_train_step(model, x.data(), bytes, x.data(), bytes, &rule, nullptr),
              POME_INVALID_ARGUMENT);
    rule.size = sizeof(rule);
    rule.learning_rate = -1.0;
    EXPECT_EQ(pome_model_train_step(model, x.data(), bytes, x.data(), bytes, &rule, nullptr),
              POME_INVALID_ARGUMENT);
    rule.learning_rate = 0.1;
    EXPECT_EQ(pome_model_train_step(model, x.data(), bytes, x.data(), 4, &rule, nullptr),
              POME_SURFACE_MISMATCH);
    auto infinite = x;
    infinite[3] = INFINITY;
    EXPECT_EQ(pome_model_train_step(model, x.data(), bytes, infinite.data(), bytes, &rule, nullptr),
              POME_DIVERGED);
    ASSERT_EQ(pome_model_read_parameter(model, 0, after.data(), after.size()), POME_OK);
    EXPECT_EQ(before, after);
    pome_model_destroy(model);
    pome_device_close(device);
}

TEST(Capi, ThreadsHaveTheirOwnErrorsAndMayShareAModel) {
    const Model file;
    pome_device* device = opened();
    pome_model* model = nullptr;
    ASSERT_EQ(pome_model_open(device, file.path().c_str(), nullptr, &model), POME_OK);
    const auto x = numbers();
    pome_device_open("nothing", nullptr, &device);
    const std::string mine = pome_last_error();
    std::vector<std::thread> threads;
    std::vector<std::vector<float>> results(4, std::vector<float>(elements));
    for (auto& result : results) {
        threads.emplace_back([&] {
            EXPECT_STREQ(pome_last_error(), "");
            for (int i = 0; i < 5; ++i) {
                EXPECT_EQ(
                    pome_model_forward(model, x.data(), elements * 4, result.data(), elements * 4),
                    POME_OK);
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    for (const auto& result : results) {
        EXPECT_EQ(result, results.front());
    }
    EXPECT_EQ(mine, pome_last_error());
    pome_model_destroy(model);
    pome_device_close(device);
}

TEST(Capi, ChipsAndStatusesHaveNames) {
    ASSERT_GT(pome_device_chip_count(), 3U);
    EXPECT_STREQ(pome_device_chip(0), "m1");
    EXPECT_EQ(pome_device_chip(1000), nullptr);
    EXPECT_STREQ(pome_status_name(POME_DIVERGED), "diverged");
    EXPECT_STREQ(pome_status_name(99), "unknown status");
}

// ---- ane_universal.h ----

const ane_shape_t shape{4, {1, 64, 1, 32}, ANE_FLOAT32};

TEST(Universal, FailuresMayBePassedOn) {
    EXPECT_FALSE(ane_supports_inmem(nullptr));
    EXPECT_FALSE(ane_supports_dynamic(nullptr));
    EXPECT_EQ(ane_create_dynamic_pipeline(nullptr), nullptr);
    EXPECT_EQ(ane_create_static_pipeline(nullptr), nullptr);
    EXPECT_EQ(ane_load_weights(nullptr), nullptr);
    EXPECT_EQ(ane_load_weights("/no/such/model.ane"), nullptr);
    EXPECT_THAT(ane_last_error(), HasSubstr("/no/such/model.ane: there is no such file"));
    EXPECT_NE(ane_bind_weights(nullptr, nullptr), 0);
    EXPECT_EQ(ane_create_tensor(nullptr, shape, nullptr), nullptr);
    EXPECT_EQ(ane_forward(nullptr, nullptr), nullptr);
    EXPECT_EQ(ane_backward(nullptr, nullptr, nullptr), nullptr);
    EXPECT_NE(ane_update_weights(nullptr, nullptr, 0.1), 0);
    EXPECT_NE(ane_save_weights(nullptr, "x"), 0);
    EXPECT_EQ(ane_weight_count(nullptr), -1);
    EXPECT_EQ(ane_weight_name(nullptr, 0), nullptr);
    EXPECT_NE(ane_set_optimizer(nullptr, ANE_SGD), 0);
    double loss = 0.0;
    EXPECT_NE(ane_tensor_loss(nullptr, &loss), 0);
    EXPECT_NE(ane_tensor_shape(nullptr, nullptr), 0);
    EXPECT_NE(ane_read_tensor(nullptr, nullptr, 0), 0);
    ane_destroy_tensor(nullptr);
    ane_destroy_pipeline(nullptr);
    ane_destroy_weights(nullptr);
    ane_close(nullptr);
}

TEST(Universal, PlainGradientDescentIsExactlyThat) {
    const Model file;
    ane_device_t device = ane_open();
    ane_pipeline_t pipeline = ane_create_dynamic_pipeline(device);
    ane_weights_t weights = ane_load_weights(file.path().c_str());
    ASSERT_EQ(ane_bind_weights(pipeline, weights), 0) << ane_last_error();
    EXPECT_EQ(ane_weight_count(weights), 3);
    EXPECT_STREQ(ane_weight_name(weights, 0), "w1");
    const auto x = numbers();
    ane_tensor_t input = ane_create_tensor(device, shape, x.data());
    ane_tensor_t output = ane_forward(pipeline, input);
    ane_tensor_t grad = ane_backward(pipeline, output, input);
    ASSERT_NE(grad, nullptr) << ane_last_error();
    ane_shape_t found{};
    ASSERT_EQ(ane_tensor_shape(grad, &found), 0);
    EXPECT_EQ(found.sizes[0], 64 * 128 * 2 + 128);
    std::vector<float> g(64 * 128 * 2 + 128), before(64 * 128), after(64 * 128);
    ASSERT_EQ(ane_read_tensor(grad, g.data(), g.size()), 0);
    ASSERT_EQ(ane_read_weight(weights, 0, before.data(), before.size()), 0);
    ASSERT_EQ(ane_update_weights(pipeline, grad, 0.25), 0);
    ASSERT_EQ(ane_read_weight(weights, 0, after.data(), after.size()), 0);
    for (std::size_t i = 0; i < before.size(); ++i) {
        EXPECT_EQ(after[i], before[i] - 0.25F * g[i]);
    }
    EXPECT_EQ(ane_backward(pipeline, output, input), nullptr);  // of other weights
    ane_tensor_t newer = ane_forward(pipeline, input);
    EXPECT_EQ(ane_backward(pipeline, output, input), nullptr);
    EXPECT_THAT(ane_last_error(), HasSubstr("not the result of the pipeline's last ane_forward()"));
    EXPECT_NE(ane_backward(pipeline, newer, input), nullptr);
    EXPECT_NE(ane_update_weights(pipeline, newer, 0.25), 0);
    EXPECT_NE(ane_update_weights(pipeline, grad, NAN), 0);
    ane_close(device);
    EXPECT_EQ(ane_forward(pipeline, input), nullptr);  // released with the device
    EXPECT_EQ(ane_read_weight(weights, 0, after.data(), after.size()), 0);
    ane_destroy_weights(weights);
}

TEST(Universal, TensorsOfEveryDtypeAndNoOther) {
    ane_device_t device = ane_open();
    const std::uint16_t halves[]{0x3C00, 0xC000};
    ane_tensor_t tensor = ane_create_tensor(device, {1, {2}, ANE_FLOAT16}, halves);
    float values[2]{};
    ASSERT_EQ(ane_read_tensor(tensor, values, 2), 0);
    EXPECT_EQ(values[0], 1.0F);
    EXPECT_EQ(values[1], -2.0F);
    EXPECT_NE(ane_read_tensor(tensor, values, 1), 0);
    EXPECT_EQ(ane_create_tensor(device, {1, {0}, ANE_FLOAT32}, halves), nullptr);
    EXPECT_EQ(ane_create_tensor(device, {9, {1}, ANE_FLOAT32}, halves), nullptr);
    EXPECT_EQ(ane_create_tensor(device, {-1, {1}, ANE_FLOAT32}, halves), nullptr);
    EXPECT_EQ(ane_create_tensor(device, {1, {1}, 7}, halves), nullptr);
    EXPECT_EQ(ane_create_tensor(device, {2, {INT64_MAX, 3}, ANE_FLOAT32}, halves), nullptr);
    ane_close(device);
}

TEST(Universal, TwoPipelinesShareTheirWeights) {
    const Model file;
    ane_device_t device = ane_open();
    ane_weights_t weights = ane_load_weights(file.path().c_str());
    ane_pipeline_t dynamic = ane_create_dynamic_pipeline(device),
                   fixed = ane_create_static_pipeline(device);
    ASSERT_EQ(ane_bind_weights(dynamic, weights), 0);
    ASSERT_EQ(ane_bind_weights(fixed, weights), 0);
    const auto x = numbers();
    ane_tensor_t input = ane_create_tensor(device, shape, x.data());
    ane_tensor_t output = ane_forward(dynamic, input);
    ASSERT_EQ(ane_update_weights(dynamic, ane_backward(dynamic, output, input), 0.5), 0);
    std::vector<float> one(elements), other(elements);
    ASSERT_EQ(ane_read_tensor(ane_forward(dynamic, input), one.data(), elements), 0);
    ASSERT_EQ(ane_read_tensor(ane_forward(fixed, input), other.data(), elements), 0);
    EXPECT_EQ(one, other);
    ane_close(device);
    ane_destroy_weights(weights);
}

// ---- ane_bridge.h ----

TEST(Bridge, BlobsAreWhatTheContainerSays) {
    const float matrix[]{1, 2, 3, 4, 5, -127};
    std::size_t bytes = 0;
    std::uint8_t* blob = ane_bridge_build_weight_blob_transposed(matrix, 2, 3, &bytes);
    ASSERT_NE(blob, nullptr);
    EXPECT_EQ(bytes, 128U + 12U);
    EXPECT_EQ(blob[64], 0xEF);
    EXPECT_EQ(blob[67], 0xDE);
    const auto half = [&](int i) { return blob[128 + 2 * i] | blob[129 + 2 * i] << 8; };
    EXPECT_EQ(half(0), 0x3C00);
    EXPECT_EQ(half(1), 0x4400);  // 4: the transposed second
    ane_bridge_free_blob(blob);
    float scale = 0.0F;
    blob = ane_bridge_build_weight_blob_quantized(matrix, 2, 3, &scale, &bytes);
    ASSERT_NE(blob, nullptr);
    EXPECT_EQ(scale, 1.0F);
    EXPECT_EQ(static_cast<std::int8_t>(blob[128 + 5]), -127);
    ane_bridge_free_blob(blob);
    EXPECT_EQ(ane_bridge_build_weight_blob(matrix, -2, 3, &bytes), nullptr);
    EXPECT_EQ(ane_bridge_build_weight_blob(nullptr, 2, 3, &bytes), nullptr);
    EXPECT_EQ(ane_bridge_build_weight_blob(matrix, 2, 3, nullptr), nullptr);
    EXPECT_EQ(ane_bridge_build_weight_blob_int8(nullptr, 2, 3, &bytes), nullptr);
    EXPECT_THAT(ane_bridge_last_error(), HasSubstr("src is NULL"));
}

TEST(Bridge, NullAndFreedKernelsAreRefused) {
    EXPECT_FALSE(ane_bridge_eval(nullptr));
    ane_bridge_write_input(nullptr, 0, nullptr, 0);
    ane_bridge_read_output(nullptr, 0, nullptr, 0);
    ane_bridge_free(nullptr);
    ASSERT_EQ(ane_bridge_init(), 0);
    EXPECT_EQ(ane_bridge_compile(nullptr, 0, nullptr, 0, 1, nullptr, 1, nullptr), nullptr);
    const std::string text = read_text(POME_SOURCE_DIR "/examples/double.mil");
    const std::size_t size = 2048, count = ane_bridge_get_compile_count();
    EXPECT_EQ(ane_bridge_compile(text.data(), text.size(), nullptr, 0, 2, &size, 1, &size),
              nullptr);
    EXPECT_THAT(ane_bridge_last_error(), HasSubstr("2 inputs are given, the program declares 1"));
    EXPECT_EQ(static_cast<std::size_t>(ane_bridge_get_compile_count()), count);
    ANEKernelHandle* kernel =
        ane_bridge_compile(text.data(), text.size(), nullptr, 0, 1, &size, 1, &size);
    ASSERT_NE(kernel, nullptr) << ane_bridge_last_error();
    ane_bridge_write_input(kernel, 1, &size, 8);
    EXPECT_FALSE(ane_bridge_eval(kernel));
    EXPECT_THAT(ane_bridge_last_error(), HasSubstr("the kernel has 1 inputs, no number 1"));
    ane_bridge_write_input(kernel, 0, nullptr, 8);
    EXPECT_FALSE(ane_bridge_eval(kernel));
    EXPECT_TRUE(ane_bridge_eval(kernel));
    ane_bridge_free(kernel);
    ane_bridge_free(kernel);
    EXPECT_FALSE(ane_bridge_eval(kernel));
}

}  // namespace
}  // namespace pome::capi
