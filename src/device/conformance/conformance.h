#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "device/device.h"
#include "device/text_program.h"

namespace pome::device::conformance {

/// One published behaviour of real engines: a small program with inputs and what came out, a
/// refusal, or a figure that a seeded computation gave. The list is data: cases.json beside this
/// file.
struct Case {
    enum class Kind : std::uint8_t {
        exact,     ///< the output's values, bit for bit
        near,      ///< within `tolerance` of each value
        finite,    ///< the output has no infinity or NaN
        accepted,  ///< it compiles
        refused,   ///< compiling fails with `refused` in the message
        figure,    ///< a routine's figure, relative `tolerance` (absolute where 0 is expected)
    };
    std::string id;  ///< "E07": the number in the project's list of published behaviours
    std::string title;
    std::string source;
    std::int64_t first_tier = 0, last_tier = 0;  ///< of the chips it holds for
    Kind kind = Kind::exact;
    std::vector<TextInput> inputs;
    std::string body;  ///< MIL statements that define y
    std::vector<double> expect;
    double tolerance = 0.0;
    std::string refused;
    std::string routine;  ///< of figures, with its arguments
    std::vector<double> arguments;
    std::string statement;  ///< of routines about one function
    std::string disputed;   ///< why sources disagree; empty: they do not
    std::string open;       ///< why it is not reproduced yet; empty: it is
    bool slow = false;      ///< takes seconds
};

/// The cases compiled in. Throws Error{malformed_file} naming a broken one.
std::vector<Case> parse_cases(std::string_view json, std::string_view source);
const std::vector<Case>& cases();

struct Result {
    enum class Status : std::uint8_t { reproduced, not_reproduced, disputed };
    Status status = Status::not_reproduced;
    std::string found;  ///< what the device did instead; empty when reproduced
};

/// Runs one case on a device. `open` makes another device of the same kind (for cases about fresh
/// processes). Whatever the device throws is part of the result.
Result run_case(const Case& what, const std::function<std::unique_ptr<Device>()>& open);

/// The device that a case runs on: a chip alone stands for its route e5rt, by which ane-guide and
/// ANEForge measured.
std::string device_name(std::string_view name);

std::string_view status_name(Result::Status status);

}  // namespace pome::device::conformance
