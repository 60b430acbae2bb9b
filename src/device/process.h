#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace pome::device {

/// What one process has used up of the system's engine service, by route. Every device is a process
/// of its own unless its maker is given one to share. THREADS: safe.
class Process {
  public:
    std::int64_t compiles(const std::string& route) const;
    std::int64_t loaded(const std::string& route) const;

    /// Counts a program as compiled and loaded until the token is gone; `reclaimed`: its compile is
    /// given back then.
    static std::shared_ptr<void> load(const std::shared_ptr<Process>& process,
                                      const std::string& route, bool reclaimed);

    /// After some failures no evaluation of the process succeeds again.
    bool poisoned() const;
    void poison();

  private:
    struct Usage {
        std::int64_t compiles = 0, loaded = 0;
    };
    mutable std::mutex mutex_;
    std::map<std::string, Usage> routes_;
    bool poisoned_ = false;
};

}  // namespace pome::device
