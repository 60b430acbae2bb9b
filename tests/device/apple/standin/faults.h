// Faults on demand: the environment variable POME_STANDIN_FAULTS, or pome_standin_set_faults().
#pragma once

#include <map>
#include <mutex>
#include <string>

namespace standin {

/// A list "name", "name=value", ... separated by commas. Values of the counted ones are the number
/// of the call, from 1, at which they begin; without a value the first.
///
///   missing_class=NAME, missing_selector=SELECTOR, changed_selector=SELECTOR: may be repeated
///   brand=TEXT, virtual_machine, no_engine, nil_descriptor, unload_hang
///   compile_refused, compile_exception, compile_hang, compile_crash: counted
///   budget=N: compiles fail after N
///   load_refused: counted; load_slots: that one load only
///   evaluate_refused, evaluate_exception, evaluate_hang, evaluate_crash: counted
///   zeros, stale_outputs, stale_inputs, exchanged_inputs, exchanged_outputs, nan: counted
class Faults {
  public:
    void set(const std::string& list);
    bool hides_class(const std::string& name) const { return has("missing_class", name); }
    bool hides_selector(const std::string& name) const { return has("missing_selector", name); }
    bool changes_selector(const std::string& name) const { return has("changed_selector", name); }
    bool on(const std::string& name) const;
    std::string text(const std::string& name) const;
    /// Whether a counted fault has begun at this call.
    bool begun(const std::string& name, long call) const;
    long number(const std::string& name, long otherwise) const;

  private:
    bool has(const std::string& name, const std::string& value) const;
    mutable std::mutex mutex_;
    std::multimap<std::string, std::string> faults_;
};

Faults& faults();

}  // namespace standin
