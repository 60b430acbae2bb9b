#pragma once

#include <nlohmann/json.hpp>

#include "device/apple/machine.h"

namespace pome::cli {

/// What this machine has of the engine's interface: nothing is compiled or evaluated.
device::apple::Survey survey_engine();

/// The same for programs: whether it can be used, the reason, and whatever is missing or changed.
nlohmann::json engine_record();

}  // namespace pome::cli
