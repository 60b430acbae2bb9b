#include "train/dataset.h"

#include <utility>

#include "base/error.h"

namespace pome::train {

TokenDataset::TokenDataset(const std::filesystem::path& path, std::int64_t vocabulary,
                           std::int64_t sequence)
    : shard_(path), sequence_(sequence) {
    if (shard_.size() < sequence + 1) {
        fail(Code::invalid_argument, "train.data",
             "{}: {} tokens, a sequence of {} needs {}; prepare more text or set train.sequence "
             "lower",
             path.string(), shard_.size(), sequence, sequence + 1);
    }
    shard_.check_vocabulary(vocabulary);
}

Window TokenDataset::window(std::int64_t start) const {
    Window window;
    for (std::int64_t i = 0; i < sequence_; ++i) {
        window.tokens.push_back(shard_[start + i]);
        window.targets.push_back(shard_[start + i + 1]);
    }
    return window;
}

WindowSampler::WindowSampler(const TokenDataset& dataset, std::uint64_t seed)
    : dataset_(dataset), random_(seed) {
    state_.random = random_.state();
    shuffle();
}

void WindowSampler::shuffle() {
    const std::int64_t spare = dataset_.tokens() - 1 - dataset_.windows() * dataset_.sequence();
    // A shift gives other cuts each epoch; without spare tokens one window is given up for it.
    const bool shifts = dataset_.windows() > 1;
    const std::int64_t count = shifts && spare == 0 ? dataset_.windows() - 1 : dataset_.windows();
    const std::int64_t room = dataset_.tokens() - 1 - count * dataset_.sequence();
    const auto offset =
        static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(room) + 1));
    starts_.resize(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < starts_.size(); ++i) {
        starts_[i] = offset + static_cast<std::int64_t>(i) * dataset_.sequence();
    }
    for (std::size_t i = starts_.size(); i-- > 1;) {
        std::swap(starts_[i], starts_[random_.below(i + 1)]);
    }
}

Window WindowSampler::next() {
    if (state_.position == static_cast<std::int64_t>(starts_.size())) {
        ++state_.epoch;
        state_.position = 0;
        state_.random = random_.state();
        shuffle();
    }
    return dataset_.window(starts_[static_cast<std::size_t>(state_.position++)]);
}

void WindowSampler::restore(const State& state) {
    random_ = Random(state.random);
    state_ = state;
    shuffle();
    if (state.position < 0 || state.position > static_cast<std::int64_t>(starts_.size())) {
        fail(Code::checkpoint_mismatch, "train.data",
             "the checkpoint stands at window {}, the data has {}; is it the same data?",
             state.position, starts_.size());
    }
}

}  // namespace pome::train
