#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "device/profile.h"

namespace pome::device {

enum class OpStatus : std::uint8_t {
    native,
    bridge,  ///< by decomposition, or inside a construct
    no,
};
std::string_view name(OpStatus status);

/// What is known of one MIL op on the engine: data read from profiles/ops.toml, which says what the
/// words mean.
struct OpSupport {
    std::string op;
    std::string path;                 ///< "MAC", "PE", ...; "none"
    std::array<OpStatus, 6> tiers{};  ///< A13 ... A18
    std::string capability;           ///< of the profile, which decides instead of the tier; or ""
    std::string kind;                 ///< "", "internal" or "netplist"
    std::string sweep;                ///< what ANEForge's sweep of an M5 says; or ""
    std::string unmodelled;           ///< why the emulator cannot compute it; or ""
    std::string assumed;              ///< what the emulator does where nobody has measured; or ""
    std::string remedy;               ///< what to write where it does not lower; or ""
    std::string evidence, source;
};

/// The catalogue, ordered by name. Reading it throws Error{malformed_file} for an op without
/// status, evidence or source, and for words that it does not know.
std::span<const OpSupport> op_catalogue();
/// nullptr for an op that the catalogue does not have.
const OpSupport* find_op_support(std::string_view op);

/// Whether an op lowers on the chip and route of a profile, and if not, why: "it needs A15 or
/// later".
struct OpVerdict {
    OpStatus status = OpStatus::native;
    std::string reason;
};
OpVerdict judge(const OpSupport& op, const Profile& profile);

/// Reads a catalogue (profiles/ops.toml and tests).
std::vector<OpSupport> read_op_catalogue(std::string_view toml);

}  // namespace pome::device
