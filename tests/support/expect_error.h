#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/error.h"

namespace pome::test {

/// Expects that `action` throws Error{code} with exactly this text ("[where] message").
template <typename Action>
void expect_error(Code code, std::string_view text, const Action& action) {
    try {
        action();
    } catch (const Error& error) {
        EXPECT_EQ(error.text(), text);
        EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code));
        return;
    }
    ADD_FAILURE() << "no error; wanted: " << text;
}

}  // namespace pome::test
