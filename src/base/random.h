#pragma once

#include <array>
#include <cstdint>

namespace pome {

/// xoshiro256** seeded by splitmix64: the same numbers on every platform, state savable for exact
/// resume.
class Random {
  public:
    using State = std::array<std::uint64_t, 4>;

    explicit Random(std::uint64_t seed);
    explicit Random(const State& state) : state_(state) {}

    std::uint64_t next();
    double uniform();  ///< in [0, 1), 53 bits
    double uniform(double low, double high) { return low + (high - low) * uniform(); }
    /// Uniform in [0, bound), without bias; bound >= 1.
    std::uint64_t below(std::uint64_t bound);
    double normal();  ///< mean 0, standard deviation 1; uses two draws, keeps nothing

    const State& state() const { return state_; }

  private:
    State state_{};
};

}  // namespace pome
