#pragma once

namespace pome::cli::bench {

/// The commit that this program was built from, "+" when files differ from it; "unknown" without
/// git. Written by cmake/commit.cmake at every build.
const char* commit();

}  // namespace pome::cli::bench
