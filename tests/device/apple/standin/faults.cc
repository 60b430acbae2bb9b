#include "faults.h"

#include <cstdio>
#include <cstdlib>
#include <set>

namespace standin {

void Faults::set(const std::string& list) {
    static const std::set<std::string> known{"missing_class",
                                             "missing_selector",
                                             "changed_selector",
                                             "brand",
                                             "virtual_machine",
                                             "no_engine",
                                             "nil_descriptor",
                                             "compile_refused",
                                             "compile_exception",
                                             "compile_hang",
                                             "compile_crash",
                                             "budget",
                                             "load_slots",
                                             "load_refused",
                                             "evaluate_refused",
                                             "evaluate_exception",
                                             "evaluate_hang",
                                             "evaluate_crash",
                                             "zeros",
                                             "stale_outputs",
                                             "stale_inputs",
                                             "exchanged_inputs",
                                             "exchanged_outputs",
                                             "unload_hang",
                                             "nan"};
    const std::lock_guard lock(mutex_);
    faults_.clear();
    for (std::size_t at = 0; at < list.size();) {
        const std::size_t end = std::min(list.find(',', at), list.size());
        const std::string item = list.substr(at, end - at);
        const std::size_t equals = item.find('=');
        const std::string name = item.substr(0, equals);
        if (!known.contains(name)) {
            std::fprintf(stderr, "stand-in: there is no fault '%s'\n", name.c_str());
            std::abort();
        }
        faults_.emplace(name, equals == std::string::npos ? "" : item.substr(equals + 1));
        at = end + 1;
    }
}

bool Faults::has(const std::string& name, const std::string& value) const {
    const std::lock_guard lock(mutex_);
    const auto [begin, end] = faults_.equal_range(name);
    for (auto fault = begin; fault != end; ++fault) {
        if (fault->second == value) {
            return true;
        }
    }
    return false;
}

bool Faults::on(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    return faults_.contains(name);
}

std::string Faults::text(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto found = faults_.find(name);
    return found == faults_.end() ? "" : found->second;
}

long Faults::number(const std::string& name, long otherwise) const {
    const std::string value = text(name);
    return value.empty() ? otherwise : std::atol(value.c_str());
}

bool Faults::begun(const std::string& name, long call) const {
    return on(name) && call >= number(name, 1);
}

Faults& faults() {
    static Faults* made = [] {
        auto* all = new Faults;
        const char* list = std::getenv("POME_STANDIN_FAULTS");
        all->set(list == nullptr ? "" : list);
        return all;
    }();
    return *made;
}

}  // namespace standin
