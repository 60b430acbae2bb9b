#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/thread_pool.h"
#include "device/device.h"
#include "model/architecture.h"
#include "train/parameters.h"

namespace pome::train {

/// A language model that reads a text from left to right, keys and values of what it has read kept
/// in surfaces: programs for `chunk` positions at once and programs for one. The device runs the
/// blocks, the host embedding, norms, residual sums and the classifier.
///
/// On the emulator, in exact and fast numerics, hidden() has the bits that a program over the whole
/// text at once gives, where both have rows of scores of one length: sums run over the same
/// products in the same order. On `reference` it differs by the rounding of queries, keys and
/// values to fp32 between two programs. The classifier's weights are rounded to fp16 on devices
/// that compute in it; its sums are fp32.
class Decoder {
  public:
    /// Positions of one evaluation while more than a few tokens are waiting.
    static constexpr std::int64_t chunk = 32;

    /// All references must outlive this. `form` gives the way stages are written; its sequence is
    /// not used. Weights are taken over here.
    Decoder(const model::Architecture& architecture, const ParameterSet& weights,
            device::Device& device, ThreadPool& pool, const model::Form& form);
    ~Decoder();

    /// Reads more tokens. Throws Error{invalid_argument} for ids outside the vocabulary and for
    /// more positions than the model has; then nothing was read.
    void read(std::span<const std::int32_t> tokens);
    /// Tokens read.
    std::int64_t positions() const { return positions_; }
    /// The residual stream after the last block and the final norm, of the last token read: [C].
    std::span<const float> hidden() const { return hidden_; }
    /// Logits [V] of the token after the last one read.
    std::vector<float> logits() const;
    /// Forgets what was read.
    void clear() { positions_ = 0; }

  private:
    enum class Part : std::uint8_t { query_key_value, attention, feed_forward, mlp };
    struct Program;
    struct Layer;

    /// What a block is evaluated in, in this order.
    static std::vector<Part> parts(model::StageKind kind);
    model::Stage make_stage(Part part, std::int64_t positions) const;
    /// The program of a part for so many positions, compiled when it is first needed.
    Program& program(Part part, std::int64_t positions);
    /// Makes room in the cache for so many positions in all.
    void grow(std::int64_t positions);
    void evaluate(Program& program, Layer& layer);
    /// Reads `count` tokens with programs for `width` positions.
    void step(std::span<const std::int32_t> tokens, std::int64_t width);
    void run_block(std::size_t block, std::int64_t count, std::int64_t width);
    /// Puts keys and values of `count` new positions into the cache.
    void remember(Layer& layer, std::int64_t count, std::int64_t width);
    void set_positions(std::int64_t count, std::int64_t width);
    /// The surface of a name for programs of so many positions, which all layers share.
    device::Surface& shared(const std::string& name, std::int64_t width, const Shape& shape);

    const model::Architecture& architecture_;
    const ParameterSet& weights_;
    device::Device& device_;
    ThreadPool& pool_;
    model::Form form_;
    std::int64_t positions_ = 0;
    std::int64_t cache_ = 0;  ///< positions that the cache has room for
    std::vector<std::unique_ptr<Layer>> layers_;
    std::map<std::pair<Part, std::int64_t>, std::unique_ptr<Program>> programs_;
    std::map<std::pair<std::string, std::int64_t>, device::Surface> shared_;
    device::Surface
        head_;  ///< the classifier's weights [C][V]; without memory where they stay fp32
    std::vector<float> stream_, normalized_, branch_, roots_;  ///< [C][width]
    std::vector<float> hidden_;
};

}  // namespace pome::train
