#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "mil/passes/bake_weights.h"
#include "mil/weights.h"
#include "train/compile_queue.h"
#include "train/pipeline.h"

namespace pome::train {

/// The weight file of a baked weight: fp16 rounds to nearest even.
std::vector<std::byte> weight_file(const mil::passes::BakedWeight& weight,
                                   std::span<const float> values);

/// Programs with weights as constants, compiled in the background: one for each function and set of
/// weights, however many places use it and however many updates leave it as it is.
class BakedPrograms {
  public:
    /// Both must outlive this.
    BakedPrograms(device::Device& device, CompileQueue& queue) : device_(device), queue_(queue) {}

    /// The values of a parameter, fp32, in the function's layout.
    using Values = std::function<std::span<const float>(const std::string& parameter)>;

    /// The program of `form` with the weights of the moment; `name` is for errors. Programs are
    /// compiled in the order of the first calls for them. `form` must outlive this: its address
    /// tells functions apart.
    CompileQueue::Program program(const std::string& name, const mil::passes::Baked& form,
                                  const mil::WeightFiles& tables, const Values& values);

    /// Forgets the programs that nobody asked for since the last call.
    void drop_unused();

  private:
    /// 128 bits over a program's weight files: equal ones are taken for equal files.
    using Digest = std::array<std::uint64_t, 2>;
    struct Entry {
        CompileQueue::Program program;
        bool used = true;
    };
    device::Device& device_;
    CompileQueue& queue_;
    std::map<std::pair<const mil::passes::Baked*, Digest>, Entry> programs_;
};

/// The compiled program, which may have to be waited for: adds that to the pipeline's times.
/// `title` and `block` are for the timeline.
device::Executable& wait_for(const CompileQueue::Program& program, Pipeline& pipeline,
                             const std::string& title, std::int64_t block = -1);

}  // namespace pome::train
