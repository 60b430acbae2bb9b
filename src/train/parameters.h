#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/large_memory.h"
#include "base/random.h"
#include "base/thread_pool.h"
#include "model/architecture.h"

namespace pome::train {

/// One fp32 array per parameter of a model, in the model's order, in one allocation. Used for
/// weights, their gradients and the optimizer's moments. A set may hold a part of the parameters:
/// the others keep their index and have no values.
class ParameterSet {
  public:
    /// All zeros. Without `wanted` it holds every parameter.
    explicit ParameterSet(
        const std::vector<model::Parameter>& parameters,
        const std::function<bool(const std::string& parameter)>& wanted = nullptr);
    explicit ParameterSet(const model::Architecture& architecture,
                          const std::function<bool(const std::string& parameter)>& wanted = nullptr)
        : ParameterSet(architecture.parameters, wanted) {}

    std::size_t size() const { return entries_.size(); }
    bool is_whole() const;  ///< it holds every parameter
    bool holds(std::size_t index) const { return entries_[index].held; }
    const model::Parameter& parameter(std::size_t index) const { return entries_[index].parameter; }
    std::span<float> values(std::size_t index) { return slice(entries_[index]); }
    std::span<const float> values(std::size_t index) const { return slice(entries_[index]); }
    /// Index of a parameter. Throws Error{invalid_argument} for an unknown name.
    std::size_t index(std::string_view name) const;
    std::span<float> values(std::string_view name) { return values(index(name)); }
    std::span<const float> values(std::string_view name) const { return values(index(name)); }
    /// Everything in one piece; parameters start at multiples of 16 elements, the gaps hold zeros.
    std::span<float> all() { return storage_; }
    std::span<const float> all() const { return storage_; }

    /// Sets every parameter as its model::Parameter says; the numbers depend on the seed and the
    /// order alone, so a set that holds a part has others than the whole.
    void initialize(Random& random);
    /// Takes the values of what both sets hold; both are of one architecture.
    void copy_from(const ParameterSet& other);
    void set_zero(ThreadPool& pool);

  private:
    struct Entry {
        model::Parameter parameter;
        std::size_t offset = 0;
        std::size_t count = 0;
        bool held = true;
    };
    std::span<float> slice(const Entry& entry) {
        return std::span(storage_).subspan(entry.offset, entry.count);
    }
    std::span<const float> slice(const Entry& entry) const {
        return std::span(storage_).subspan(entry.offset, entry.count);
    }

    std::vector<Entry> entries_;
    std::map<std::string, std::size_t, std::less<>> by_name_;
    LargeVector<float> storage_;
};

}  // namespace pome::train
