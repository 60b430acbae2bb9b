#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/error.h"

namespace pome::device::apple {

#ifdef POME_STANDIN
inline constexpr const char* standin_path = POME_STANDIN;
inline constexpr const char* standin_plain_path = POME_STANDIN_PLAIN;
#else
inline constexpr const char* standin_path = "";
inline constexpr const char* standin_plain_path = "";
#endif

/// The control functions of a stand-in library; see standin/framework.cc and faults.h.
class Standin {
  public:
    explicit Standin(const std::string& path = standin_path) : path_(path) {
        if (path.empty()) {
            return;
        }
        library_ = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library_ == nullptr) {
            fail(Code::io, "tests", "{}: {}", path, ::dlerror());
        }
        call<void()>("pome_standin_restart")();
        for (const char* what : {"objects", "surfaces", "loaded", "requests"}) {
            before_[what] = total(what);  // of calls that never return
        }
    }
    bool is_there() const { return library_ != nullptr; }
    const std::string& path() const { return path_; }
    void faults(const std::string& list) const {
        call<void(const char*)>("pome_standin_set_faults")(list.c_str());
    }
    /// A counter since this was made.
    long count(const char* what) const {
        const auto before = before_.find(what);
        return total(what) - (before == before_.end() ? 0 : before->second);
    }

  private:
    long total(const char* what) const {
        return call<long(const char*)>("pome_standin_count")(what);
    }
    template <typename F>
    F* call(const char* name) const {
        return reinterpret_cast<F*>(::dlsym(library_, name));
    }
    std::string path_;
    std::map<std::string, long, std::less<>> before_;
    void* library_ = nullptr;
};

}  // namespace pome::device::apple
