#include "cli/engine_record.h"

#include "device/apple/apple_device.h"

namespace pome::cli {

device::apple::Survey survey_engine() {
    return device::apple::survey(device::apple::Options::runtime_from_environment());
}

nlohmann::json engine_record() {
    const auto found = survey_engine();
    nlohmann::json record{
        {"name", "apple"}, {"available", found.is_available()}, {"reason", found.reason}};
    if (found.runtime) {
        record["machine"] = found.machine.text();
        record["chip"] = found.identification.chip;
        record["stand_in"] = found.runtime->is_replacement();
        record["missing"] = nlohmann::json::array();
        for (const auto& check : found.runtime->checks()) {
            if (check.state != device::apple::ApiCheck::State::present) {
                record["missing"].push_back(check.text());
            }
        }
    }
    return record;
}

}  // namespace pome::cli
