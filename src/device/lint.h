#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "device/profile.h"
#include "mil/program.h"

namespace pome::device {

/// One rule of a chip and route that a program breaks.
struct Finding {
    int line = 0;         ///< of the operation in the text; 0 when the program was built
    std::string value;    ///< the value that breaks the rule: a result, parameter or function
    std::string rule;     ///< its id, one of lint_rules()
    std::string message;  ///< what is wrong, in the compiler's words where they are known
    std::string remedy;   ///< what to do instead
    std::string profile;  ///< whose rule it is: "m1/e5rt"
    Reaction reaction = Reaction::refused;  ///< what the chip does with it

    /// A finding is an error unless the program works all the same.
    bool is_error() const { return reaction != Reaction::works; }
    /// "MESSAGE (line 3, %x, rule max_rank); REMEDY"
    std::string text() const;
};

/// Every rule of the profile that the function breaks, before anything is compiled, in the order of
/// the text. The same function guards every device. The function should verify; what does not is
/// passed over.
std::vector<Finding> lint(const mil::Function& function, const Profile& profile);
/// The same for all functions of a program, or the one of that name, and for how its text is
/// written.
std::vector<Finding> lint(const mil::Program& program, const Profile& profile,
                          std::string_view function = {});

/// What a rule is about, for documents and `pome lint --rules`.
struct RuleText {
    std::string_view id;
    std::string_view meaning;
    std::string_view source;
};
std::vector<RuleText> lint_rules();

}  // namespace pome::device
