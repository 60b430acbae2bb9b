#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace pome::train {

/// Little stories in plain English, made by a grammar of our own: at least `bytes` of text, stories
/// separated by a line
/// "<|endoftext|>". The same seed gives the same text everywhere.
std::string generate_stories(std::uint64_t seed, std::size_t bytes);

}  // namespace pome::train
