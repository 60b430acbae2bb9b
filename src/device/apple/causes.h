#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "device/apple/foundation.h"

namespace pome::device::apple {

/// Where the system refused.
enum class Stage : std::uint8_t { describe, compile, load, evaluate };
std::string_view name(Stage stage);

/// What is known about the moment of a failure.
struct Circumstances {
    std::int64_t compiles = 0;        ///< of the process, by this route
    std::int64_t compile_budget = 0;  ///< of the profile; 0: none known
    std::int64_t loaded = 0;
    std::int64_t evaluations = 0;  ///< of the program, that succeeded
    std::string machine;
};

/// What published reports say such an error comes from, and the way out: one or two sentences.
std::string cause_of(Stage stage, const SystemError& error, const Circumstances& circumstances);

}  // namespace pome::device::apple
