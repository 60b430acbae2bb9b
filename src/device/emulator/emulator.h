#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/thread_pool.h"
#include "device/device.h"

namespace pome::device::emulator {

enum class Mode : std::uint8_t {
    exact,  ///< the chip's arithmetic, bit for bit as far as it is known
    fast,   ///< fp16 storage, fp32 sums, every other result rounded once to nearest even
};

/// What the emulator counts for each operation (Executable::operation_counts).
enum class Counting : std::uint8_t {
    products,   ///< saturated sums of products, which cost nothing to count
    results,    ///< every infinite result and every coerced NaN: one more pass over the values
    vanishing,  ///< also products too small for the accumulator, by the scalar model of their rule
};

struct Options {
    Mode mode = Mode::exact;
    /// Replaces the numerics of the profile: for measuring what a rule costs.
    std::optional<Numerics> numerics = {};
    Strictness strictness = Strictness::strict;
    Counting counting = Counting::products;
    /// The process that compiles; devices that share one share its budgets. nullptr: one of its
    /// own.
    std::shared_ptr<Process> process = nullptr;
};

/// The device "emulator:PROFILE" of find_profile(): a chip, perhaps with a route and alternatives
/// ("m1", "m4/e5rt", "m1+output-ties-even"). The pool must outlive it and everything it compiles;
/// loops run on it, so two executables of one pool must not evaluate at the same time. Throws
/// Error{invalid_argument} for an unknown one.
std::unique_ptr<Device> make_emulator(std::string_view profile, const Options& options,
                                      ThreadPool& pool);

/// The same for a profile of one's own, for example a chip's arithmetic without its limits.
std::unique_ptr<Device> make_emulator(const Profile& profile, const Options& options,
                                      ThreadPool& pool);

/// The numerics of Mode::fast.
Numerics fast_numerics();

/// Ops that the emulator evaluates, sorted.
std::vector<std::string_view> supported_ops();

}  // namespace pome::device::emulator
