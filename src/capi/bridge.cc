#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/fp16.h"
#include "capi/open_handles.h"
#include "formats/weight_blob.h"
#include "mil/text.h"
#include "pome/ane_bridge.h"

using namespace pome;
using namespace pome::capi;

namespace {

constexpr std::string_view here = "ane_bridge";

/// The bridge has one device a process, as the original has one engine.
struct Bridge {
    std::mutex mutex;
    std::shared_ptr<OpenedDevice> opened;
    int compiles = 0;

    static Bridge& one() {
        static Bridge* const bridge = new Bridge;  // to the end: see Handles::all()
        return *bridge;
    }
    std::shared_ptr<OpenedDevice> device() {
        const std::lock_guard lock(mutex);
        if (!opened) {
            fail(Code::invalid_argument, here, "ane_bridge_init() comes first");
        }
        return opened;
    }
};

struct Kernel : Object {
    std::shared_ptr<OpenedDevice> opened;  // outlives the executable
    std::unique_ptr<device::Executable> executable;
    std::vector<device::Surface> inputs, outputs;
    std::mutex mutex;
    std::string failed_transfer;  // what the next evaluation fails with

    /// Copies, or keeps why not.
    template <typename Copy>
    void transfer(std::vector<device::Surface>& surfaces, std::string_view kind, int index,
                  const void* data, size_t bytes, Copy copy) {
        const std::lock_guard lock(mutex);
        try {
            if (index < 0 || static_cast<size_t>(index) >= surfaces.size()) {
                fail(Code::invalid_argument, here, "the kernel has {} {}s, no number {}",
                     surfaces.size(), kind, index);
            }
            auto& surface = surfaces[static_cast<size_t>(index)];
            const size_t room = std::max(surface.bytes().size(), surface.allocation());
            if (bytes > room) {
                fail(Code::surface_mismatch, here, "{} bytes for {} {}, which has {} ({})", bytes,
                     kind, index, room, surface.type().text());
            }
            if (bytes > 0) {
                copy(surface.bytes().data(), given(data, "data"), bytes);
            }
        } catch (const Error& error) {
            failed_transfer = error.message();
            throw;
        }
    }
};

std::shared_ptr<Kernel> kernel_of(ANEKernelHandle* kernel) {
    return Handles::all().find<Kernel>(kernel, "ANEKernelHandle");
}

std::vector<device::Surface> surfaces(const std::vector<mil::NamedType>& values,
                                      std::string_view kind, int count, const size_t* sizes) {
    if (count < 0 || static_cast<size_t>(count) != values.size()) {
        fail(Code::surface_mismatch, here, "{} {}s are given, the program declares {}", count, kind,
             values.size());
    }
    given(sizes, "sizes");
    std::vector<device::Surface> made;
    for (size_t i = 0; i < values.size(); ++i) {
        // As the original's surface of so many bytes; one too small for its tensor is refused.
        const device::Surface own(values[i].type);
        if (sizes[i] < own.bytes().size()) {
            fail(Code::surface_mismatch, here,
                 "{} {} ('{}', {}) has {} bytes, the size given for it is {}", kind, i,
                 values[i].name, values[i].type.text(), own.bytes().size(), sizes[i]);
        }
        made.emplace_back(values[i].type, sizes[i]);
    }
    return made;
}

std::uint8_t* allocated(const std::vector<std::byte>& bytes, size_t* length) {
    auto* copy = static_cast<std::uint8_t*>(std::malloc(bytes.size()));
    if (copy == nullptr) {
        throw std::bad_alloc();
    }
    std::memcpy(copy, bytes.data(), bytes.size());
    *length = bytes.size();
    return copy;
}

size_t elements_of(int rows, int columns) {
    if (rows < 1 || columns < 1) {
        fail(Code::invalid_argument, here, "{} rows and {} columns: both must be 1 or more", rows,
             columns);
    }
    return static_cast<size_t>(rows) * static_cast<size_t>(columns);
}

std::uint8_t* half_blob(const float* src, int rows, int columns, bool transposed, size_t* out_len) {
    return guarded_or<std::uint8_t*>(nullptr, [&] {
        given(src, "src");
        given(out_len, "out_len");
        std::vector<fp16> halves(elements_of(rows, columns));
        const auto height = static_cast<size_t>(rows), width = static_cast<size_t>(columns);
        for (size_t r = 0; r < height; ++r) {
            for (size_t c = 0; c < width; ++c) {
                halves[transposed ? c * height + r : r * width + c] =
                    to_fp16(src[r * width + c], Rounding::nearest_even);
            }
        }
        formats::BlobWriter writer;
        writer.add(DType::fp16, std::as_bytes(std::span(halves)));
        return allocated(writer.take(), out_len);
    });
}

std::uint8_t* byte_blob(std::span<const std::int8_t> values, size_t* out_len) {
    formats::BlobWriter writer;
    writer.add(DType::int8, std::as_bytes(values));
    return allocated(writer.take(), out_len);
}

}  // namespace

int ane_bridge_init(void) {
    return guarded_or(-1, [] {
        Bridge& bridge = Bridge::one();
        const std::lock_guard lock(bridge.mutex);
        if (!bridge.opened) {
            bridge.opened = std::make_shared<OpenedDevice>(
                device::DeviceRequest{.device = default_device()}, 0);
        }
        return 0;
    });
}

const char* ane_bridge_last_error(void) {
    return last_error();
}

ANEKernelHandle* ane_bridge_compile(const char* mil_text, size_t mil_len,
                                    const uint8_t* weight_data, size_t weight_len, int n_inputs,
                                    const size_t* input_sizes, int n_outputs,
                                    const size_t* output_sizes) {
    const char* path = "@model_path/weights/weight.bin";
    return ane_bridge_compile_multi_weights(mil_text, mil_len, &path, &weight_data, &weight_len,
                                            weight_data == nullptr ? 0 : 1, n_inputs, input_sizes,
                                            n_outputs, output_sizes);
}

ANEKernelHandle* ane_bridge_compile_multi_weights(const char* mil_text, size_t mil_len,
                                                  const char** weight_names,
                                                  const uint8_t** weight_datas,
                                                  const size_t* weight_lens, int n_weights,
                                                  int n_inputs, const size_t* input_sizes,
                                                  int n_outputs, const size_t* output_sizes) {
    return guarded_or<ANEKernelHandle*>(nullptr, [&] {
        auto kernel = std::make_shared<Kernel>();
        kernel->opened = Bridge::one().device();
        mil::Package package;
        package.program = mil::read({given(mil_text, "mil_text"), mil_len});
        if (n_weights < 0) {
            fail(Code::invalid_argument, here, "n_weights is {}", n_weights);
        }
        for (int i = 0; i < n_weights; ++i) {
            const auto* bytes = reinterpret_cast<const std::byte*>(
                given(given(weight_datas, "weight_datas")[i], "weight_datas[i]"));
            package.weights.add(given(given(weight_names, "weight_names")[i], "weight_names[i]"),
                                {bytes, bytes + given(weight_lens, "weight_lens")[i]});
        }
        {
            const std::lock_guard lock(kernel->opened->mutex);
            kernel->executable = kernel->opened->device->compile(package);
        }
        kernel->inputs = surfaces(kernel->executable->inputs(), "input", n_inputs, input_sizes);
        kernel->outputs =
            surfaces(kernel->executable->outputs(), "output", n_outputs, output_sizes);
        {
            const std::lock_guard lock(Bridge::one().mutex);
            ++Bridge::one().compiles;
        }
        return static_cast<ANEKernelHandle*>(Handles::all().add(std::move(kernel)));
    });
}

bool ane_bridge_eval(ANEKernelHandle* handle) {
    return guarded_or<bool>(false, [&] {
        const auto kernel = kernel_of(handle);
        const std::lock_guard device(kernel->opened->mutex);
        const std::lock_guard lock(kernel->mutex);
        if (!kernel->failed_transfer.empty()) {
            const std::string reason = std::exchange(kernel->failed_transfer, {});
            fail(Code::evaluation_failed, here, "an earlier transfer was refused: {}", reason);
        }
        device::Bindings bindings;
        for (size_t i = 0; i < kernel->inputs.size(); ++i) {
            bindings.inputs[kernel->executable->inputs()[i].name] = &kernel->inputs[i];
        }
        for (size_t i = 0; i < kernel->outputs.size(); ++i) {
            bindings.outputs[kernel->executable->outputs()[i].name] = &kernel->outputs[i];
        }
        kernel->executable->evaluate(bindings);
        return true;
    });
}

void ane_bridge_write_input(ANEKernelHandle* handle, int idx, const void* data, size_t bytes) {
    guarded([&] {
        const auto kernel = kernel_of(handle);
        kernel->transfer(kernel->inputs, "input", idx, data, bytes,
                         [](void* surface, const void* from, size_t count) {
                             std::memcpy(surface, from, count);
                         });
    });
}

void ane_bridge_read_output(ANEKernelHandle* handle, int idx, void* data, size_t bytes) {
    guarded([&] {
        const auto kernel = kernel_of(handle);
        kernel->transfer(kernel->outputs, "output", idx, data, bytes,
                         [data](const void* surface, const void*, size_t count) {
                             std::memcpy(data, surface, count);
                         });
    });
}

void ane_bridge_free(ANEKernelHandle* kernel) {
    guarded([&] { Handles::all().remove(kernel); });
}

int ane_bridge_get_compile_count(void) {
    return guarded_or(0, [] {
        const std::lock_guard lock(Bridge::one().mutex);
        return Bridge::one().compiles;
    });
}

void ane_bridge_reset_compile_count(void) {
    guarded([] {
        const std::lock_guard lock(Bridge::one().mutex);
        Bridge::one().compiles = 0;
    });
}

uint8_t* ane_bridge_build_weight_blob(const float* src, int rows, int cols, size_t* out_len) {
    return half_blob(src, rows, cols, false, out_len);
}

uint8_t* ane_bridge_build_weight_blob_transposed(const float* src, int rows, int cols,
                                                 size_t* out_len) {
    return half_blob(src, rows, cols, true, out_len);
}

uint8_t* ane_bridge_build_weight_blob_int8(const int8_t* src, int rows, int cols, size_t* out_len) {
    return guarded_or<uint8_t*>(nullptr, [&] {
        given(src, "src");
        given(out_len, "out_len");
        return byte_blob({src, elements_of(rows, cols)}, out_len);
    });
}

uint8_t* ane_bridge_build_weight_blob_quantized(const float* src, int rows, int cols,
                                                float* out_scale, size_t* out_len) {
    return guarded_or<uint8_t*>(nullptr, [&] {
        given(src, "src");
        given(out_scale, "out_scale");
        given(out_len, "out_len");
        const std::span values(src, elements_of(rows, cols));
        float largest = 0.0F;
        for (const float value : values) {
            if (!std::isfinite(value)) {
                fail(Code::invalid_argument, here, "a weight is not finite");
            }
            largest = std::max(largest, std::fabs(value));
        }
        const float quotient = largest / 127.0F;  // 0 for the smallest subnormals too
        const float scale = quotient > 0.0F ? quotient : 1.0F;
        std::vector<std::int8_t> quantized(values.size());
        std::transform(values.begin(), values.end(), quantized.begin(), [scale](float value) {
            return static_cast<std::int8_t>(std::clamp(std::round(value / scale), -128.0F, 127.0F));
        });
        auto* blob = byte_blob(quantized, out_len);
        *out_scale = scale;
        return blob;
    });
}

void ane_bridge_free_blob(void* blob) {
    std::free(blob);
}
