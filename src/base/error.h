#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace pome {

/// What kind of rule was broken. The command line maps these to exit statuses; see `exit_status`.
enum class Code {
    invalid_argument,     ///< a value given by the caller or user is outside its range
    malformed_file,       ///< bytes read from outside break their format
    malformed_program,    ///< MIL text or a program breaks a rule of the language
    unsupported,          ///< valid, but this build, device or chip cannot do it
    io,                   ///< the operating system refused a file operation
    checkpoint_mismatch,  ///< a checkpoint does not fit the model or run it is used with
    surface_mismatch,     ///< a surface has another type or size than the program declares
    binding_missing,      ///< an input or output of a program has no surface
    compile_failed,       ///< a device refused a program
    evaluation_failed,    ///< a device could not finish an evaluation
    diverged,             ///< training cannot go on (for example: the loss is not finite)
    interrupted,          ///< stopped on request, after saving
};

/// The one error type. `text()` is "[where] message"; the message names the thing, the rule, the
/// value and the way out.
class Error : public std::exception {
  public:
    Error(Code error_code, std::string_view where, std::string message);

    Code code() const { return code_; }
    const std::string& where() const { return where_; }
    const std::string& message() const { return message_; }
    const std::string& text() const { return text_; }
    const char* what() const noexcept override { return text_.c_str(); }

  private:
    Code code_;
    std::string where_;
    std::string message_;
    std::string text_;
};

/// Throws Error{code, where, the formatted message}.
template <typename... Args>
[[noreturn]] void fail(Code code, std::string_view where, fmt::format_string<Args...> format,
                       Args&&... args) {
    throw Error(code, where, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace pome
