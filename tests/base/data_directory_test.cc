#include "base/data_directory.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

namespace pome {
namespace {

/// A variable of the environment, put back afterwards.
class Variable {
  public:
    Variable(const char* name, const char* value) : name_(name) {
        if (const char* before = std::getenv(name)) {
            before_ = before;
        }
        set(value);
    }
    ~Variable() { set(before_ ? before_->c_str() : nullptr); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

  private:
    void set(const char* value) { value == nullptr ? unsetenv(name_) : setenv(name_, value, 1); }
    const char* name_;
    std::optional<std::string> before_;
};

TEST(DataDirectory, IsBelowTheHomeOfTheUser) {
    const Variable home("HOME", "/home/somebody"), unset("XDG_DATA_HOME", nullptr);
    EXPECT_EQ(home_directory(), "/home/somebody");
#ifdef __APPLE__
    EXPECT_EQ(user_data_directory(), "/home/somebody/Library/Application Support/pome");
#else
    EXPECT_EQ(user_data_directory(), "/home/somebody/.local/share/pome");
#endif
}

#ifndef __APPLE__
TEST(DataDirectory, IsWhereXdgSaysIfThatIsAbsolute) {
    const Variable home("HOME", "/home/somebody");
    {
        const Variable chosen("XDG_DATA_HOME", "/data");
        EXPECT_EQ(user_data_directory(), "/data/pome");
    }
    const Variable relative("XDG_DATA_HOME", "data");
    EXPECT_EQ(user_data_directory(), "/home/somebody/.local/share/pome");
}
#endif

}  // namespace
}  // namespace pome
