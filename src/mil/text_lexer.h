#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mil/program.h"

namespace pome::mil {

/// A word of MIL text.
struct Token {
    enum class Kind : std::uint8_t { name, number, string, symbol, arrow, end };
    Kind kind = Kind::end;
    std::string text;  ///< as written; of a string, without quotes and escapes
    Position position;
};

/// Cuts MIL text into tokens. The text stays the caller's and must outlive the lexer.
/// Throws Error{malformed_program, "mil.text"} with line and column (in bytes, both from 1).
class Lexer {
  public:
    Lexer(std::string_view text, std::string_view source) : text_(text), source_(source) {}

    Token next();
    /// Throws "SOURCE:LINE:COLUMN: expected EXPECTED, found FOUND".
    [[noreturn]] void fail_at(Position position, std::string_view expected,
                              std::string_view found) const;

  private:
    char peek(std::size_t ahead = 0) const {
        return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
    }
    char take();
    bool starts_number() const;
    Token number(Position start);
    Token string(Position start);
    char escaped();

    std::string_view text_;
    std::string source_;
    std::size_t at_ = 0;
    int line_ = 1;
    int column_ = 1;
};

/// What a token is called in messages; long ones are cut.
std::string describe(const Token& token);

}  // namespace pome::mil
