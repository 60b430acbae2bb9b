#include "mil/text_lexer.h"

#include "base/error.h"

namespace pome::mil {
namespace {

// The classes of <cctype> change with the locale; the language's do not.
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/// Messages stay one readable line whatever the text holds.
std::string shortened(const std::string& text) {
    constexpr std::size_t longest = 60;
    std::string result;
    for (const char c : text.substr(0, longest)) {
        if (static_cast<unsigned char>(c) < 0x20) {
            result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        } else {
            result += c;
        }
    }
    return text.size() > longest ? result + "..." : result;
}

}  // namespace

std::string describe(const Token& token) {
    switch (token.kind) {
        case Token::Kind::end:
            return "the end of the text";
        case Token::Kind::string:
            return "the string \"" + shortened(token.text) + "\"";
        default:
            return "'" + shortened(token.text) + "'";
    }
}

void Lexer::fail_at(Position position, std::string_view expected, std::string_view found) const {
    fail(Code::malformed_program, "mil.text", "{}:{}:{}: expected {}, found {}", source_,
         position.line, position.column, expected, found);
}

char Lexer::take() {
    const char c = text_[at_++];
    if (c == '\n') {
        ++line_;
        column_ = 1;
    } else {
        ++column_;
    }
    return c;
}

/// The character after a backslash.
char Lexer::escaped() {
    const Position start{line_, column_ - 1};
    switch (const char c = at_ < text_.size() ? take() : '\0') {
        case '"':
        case '\\':
            return c;
        case 'n':
            return '\n';
        case 't':
            return '\t';
        case 'r':
            return '\r';
        default:
            fail_at(start, "one of the escapes \\\" \\\\ \\n \\t \\r",
                    c == '\0' ? std::string("'\\'") : "'\\" + shortened({c}) + "'");
    }
}

Token Lexer::string(Position start) {
    Token token{Token::Kind::string, "", start};
    take();
    for (;;) {
        if (at_ >= text_.size() || peek() == '\n') {
            fail_at({line_, column_}, "'\"' that ends the string",
                    at_ >= text_.size() ? "the end of the text" : "the end of the line");
        }
        const char c = take();
        if (c == '"') {
            return token;
        }
        token.text += c == '\\' ? escaped() : c;
    }
}

/// "-" belongs to a number when one follows, also "inf" and "nan".
bool Lexer::starts_number() const {
    const std::size_t sign = peek() == '-' ? 1 : 0;
    const char first = peek(sign);
    return is_digit(first) || (first == '.' && is_digit(peek(sign + 1))) ||
           (sign == 1 && is_letter(first));
}

/// All that may belong to a number; whether it is one shows when its type is known.
Token Lexer::number(Position start) {
    Token token{Token::Kind::number, "", start};
    if (peek() == '-') {
        token.text += take();
    }
    const bool hexadecimal = peek() == '0' && (peek(1) == 'x' || peek(1) == 'X');
    const std::string_view marks = hexadecimal ? "pP" : "eE";
    bool exponent = false;
    while (is_digit(peek()) || is_letter(peek()) || peek() == '.' ||
           (exponent && (peek() == '+' || peek() == '-'))) {
        exponent = marks.find(peek()) != std::string_view::npos;
        token.text += take();
    }
    return token;
}

Token Lexer::next() {
    while (at_ < text_.size() && is_space(peek())) {
        take();
    }
    const Position start{line_, column_};
    if (at_ >= text_.size()) {
        return {Token::Kind::end, "", start};
    }
    const char c = peek();
    if (c == '"') {
        return string(start);
    }
    if (c == '-' && peek(1) == '>') {
        take();
        take();
        return {Token::Kind::arrow, "->", start};
    }
    if (starts_number()) {
        return number(start);
    }
    if (is_letter(c)) {
        Token token{Token::Kind::name, "", start};
        while (is_letter(peek()) || is_digit(peek())) {
            token.text += take();
        }
        return token;
    }
    if (std::string_view("()[]{}<>,;=?").find(c) == std::string_view::npos) {
        fail_at(start, "a name, number, string or symbol of the language",
                fmt::format("byte {:#04x}", static_cast<unsigned char>(c)));
    }
    return {Token::Kind::symbol, std::string(1, take()), start};
}

}  // namespace pome::mil
