#include "train/parameters.h"

#include <algorithm>

#include "base/error.h"

namespace pome::train {

ParameterSet::ParameterSet(const std::vector<model::Parameter>& parameters,
                           const std::function<bool(const std::string&)>& wanted) {
    constexpr std::size_t line = 16;
    std::size_t offset = 0;
    for (const auto& parameter : parameters) {
        const bool held = !wanted || wanted(parameter.name);
        const auto count = held ? static_cast<std::size_t>(parameter.elements()) : 0;
        by_name_.emplace(parameter.name, entries_.size());
        entries_.push_back({parameter, offset, count, held});
        offset += (count + line - 1) / line * line;
    }
    storage_.resize(offset);
}

std::size_t ParameterSet::index(std::string_view name) const {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) {
        fail(Code::invalid_argument, "train.parameters", "the model has no parameter '{}'", name);
    }
    return found->second;
}

void ParameterSet::initialize(Random& random) {
    for (const Entry& entry : entries_) {
        auto values = slice(entry);
        if (entry.parameter.deviation == 0.0) {
            std::fill(values.begin(), values.end(), 1.0F);
        } else {
            for (float& value : values) {
                value = static_cast<float>(random.normal() * entry.parameter.deviation);
            }
        }
    }
}

bool ParameterSet::is_whole() const {
    return std::all_of(entries_.begin(), entries_.end(),
                       [](const Entry& entry) { return entry.held; });
}

void ParameterSet::copy_from(const ParameterSet& other) {
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        if (holds(i) && other.holds(i)) {
            const auto from = other.values(i);
            std::copy(from.begin(), from.end(), values(i).begin());
        }
    }
}

void ParameterSet::set_zero(ThreadPool& pool) {
    constexpr std::int64_t grain = 65536;
    pool.for_ranges(static_cast<std::int64_t>(storage_.size()), grain,
                    [&](std::int64_t begin, std::int64_t end, int) {
                        std::fill(storage_.data() + begin, storage_.data() + end, 0.0F);
                    });
}

}  // namespace pome::train
