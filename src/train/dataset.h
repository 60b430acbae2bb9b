#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/random.h"
#include "formats/token_shard.h"

namespace pome::train {

/// A training sequence: tokens and, one later, what should follow each.
struct Window {
    std::vector<std::int32_t> tokens;
    std::vector<std::int32_t> targets;
};

/// Token data cut into windows of a fixed length.
class TokenDataset {
  public:
    /// Checks every id. Throws Error{malformed_file} for ids outside the vocabulary,
    /// Error{invalid_argument} when there are fewer than sequence + 1 tokens.
    TokenDataset(const std::filesystem::path& path, std::int64_t vocabulary, std::int64_t sequence);

    std::int64_t tokens() const { return shard_.size(); }
    std::int64_t windows() const {
        return (shard_.size() - 1) / sequence_;
    }                                         ///< that do not overlap
    Window window(std::int64_t start) const;  ///< from token `start`
    std::int64_t sequence() const { return sequence_; }

  private:
    formats::TokenShard shard_;
    std::int64_t sequence_;
};

/// Visits all windows of a dataset in a new order each epoch, shifted by a random offset. Its state
/// resumes it exactly.
class WindowSampler {
  public:
    struct State {
        Random::State random{};  ///< at the start of the epoch
        std::int64_t epoch = 0;
        std::int64_t position = 0;  ///< windows of the epoch already taken
    };
    WindowSampler(const TokenDataset& dataset, std::uint64_t seed);

    Window next();
    const State& state() const { return state_; }
    /// Throws Error{checkpoint_mismatch} when the position lies outside the epoch.
    void restore(const State& state);

  private:
    void shuffle();

    const TokenDataset& dataset_;
    State state_;
    Random random_;
    std::vector<std::int64_t> starts_;
};

}  // namespace pome::train
