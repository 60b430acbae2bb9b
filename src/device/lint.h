#pragma once

#include <string>
#include <vector>

#include "device/profile.h"
#include "mil/program.h"

namespace pome::device {

/// One limit of a chip that a program breaks.
struct Finding {
    int line = 0;        ///< of the operation in the text; 0 when the program was built
    std::string value;   ///< the value that breaks the rule
    std::string rule;    ///< what the chip asks for
    std::string remedy;  ///< what to do instead
    std::string text() const;
};

/// Every limit of the profile that the function breaks, before anything is compiled. The same
/// function guards every device.
std::vector<Finding> lint(const mil::Function& function, const Profile& profile);

}  // namespace pome::device
