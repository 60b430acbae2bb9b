#pragma once

#include <string>
#include <string_view>

#include "mil/program.h"

namespace pome::mil {

/// Reads MIL text of either dialect. `source` names it in errors. Throws Error{malformed_program,
/// "mil.text", "SOURCE:LINE:COLUMN: expected WHAT, found WHAT"}. Unknown ops are read like known
/// ones.
Program read(std::string_view text, std::string_view source = "program.mil");

/// Writes a program so that read(write(p)) == p. Floats are hexadecimal. The dialect is the
/// program's own.
std::string write(const Program& program);
/// The same in a chosen dialect: version, scalars and build information are spelled as that dialect
/// wants.
std::string write(const Program& program, Dialect dialect);

}  // namespace pome::mil
