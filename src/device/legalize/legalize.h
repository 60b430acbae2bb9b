#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "device/legalize/boundary.h"
#include "device/profile.h"
#include "mil/weights.h"

namespace pome::device {

/// How the rewritten program's results compare with the original's.
enum class Equality : std::uint8_t {
    bits,         ///< the same bits on the engine: moves, names, sums of the same products
    mathematics,  ///< equal in real arithmetic; roundings differ
};

/// One thing that legalize() did.
struct Change {
    std::string rule;   ///< of `pome legalize --help`: "attention", "slice-width", ...
    int line = 0;       ///< of the operation in the text; 0 when the program was built
    std::string value;  ///< the result, input or output that it is about
    std::string what;   ///< what was done and why
    Equality equality = Equality::bits;
    std::string text() const;
};

/// A limit that the program breaks and that no rewrite removes.
struct Refusal {
    std::string rule;
    int line = 0;
    std::string value;
    std::string reason;
    std::string text() const;
};

struct Legalized {
    mil::Package package;           ///< the rewritten program and its weight files
    std::vector<Change> changes;    ///< empty: the program is the original
    std::vector<Refusal> refusals;  ///< what lint() will still find, as far as it was met here
    Boundary boundary;              ///< inputs and outputs that are no longer what they were
};

/// Rewrites one function of a program into an equal one that the profile's chip and route accept,
/// as far as an equal one is known; other functions stay as they are. What applies is decided by
/// the profile's limits, capabilities and numerics, never by a chip's name. legalize() of its own
/// result changes nothing. Inputs and outputs may change (`boundary`): compile_legalized() hides
/// that.
///
/// Rewrites that need the elements of a weight file leave the operation alone, with a refusal, when
/// `package` does not hold the file. Throws Error{malformed_program} for programs that do not
/// verify, Error{invalid_argument} for an unknown function.
Legalized legalize(const mil::Package& package, const Profile& profile,
                   std::string_view function = "main");

/// One rewrite, for lists of them.
struct RewriteInfo {
    std::string_view rule;
    std::string_view when;  ///< which fact of the profile asks for it
    std::string_view what;
    Equality equality;
};

/// All rewrites, in the order in which they are tried.
std::vector<RewriteInfo> known_rewrites();

}  // namespace pome::device
