#pragma once

#include <string>
#include <vector>

#include "device/probe/probe.h"
#include "device/profile.h"

namespace pome::device::probe {

/// A value that trials showed and that a profile has otherwise.
struct Difference {
    std::string key;
    std::string found;
    std::string expected;  ///< what the profile says; empty: nothing
};

/// Every setting of the report that the profile contradicts. A trial cannot tell an operand that is
/// ignored because the emulator takes zeros for it from zeros: these count as equal.
std::vector<Difference> differences(const Report& report, const Profile& profile);

/// A built-in profile, perhaps with alternatives, and where it is not what was found.
struct Match {
    std::string profile;  ///< "m4/in-memory", "m1/e5rt+output-ties-even"
    std::vector<Difference> differences;
};

/// The built-in profiles that are nearest to what was found. Several: no trial that was run tells
/// them apart.
struct Identity {
    std::vector<Match> matches;
    /// "m1, m1max, m1pro or m1ultra (H13, H13G) by in-memory"
    std::string text() const;
    std::vector<std::string> families() const;
};

/// Compares with every chip by every route; where none fits, with the named alternatives of
/// disputed facts on top of the nearest ones.
Identity identify(const Report& report);

}  // namespace pome::device::probe
