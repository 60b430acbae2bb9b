#include "mil/text_lexer.h"

#include <cctype>

#include "base/error.h"

namespace pome::mil {
namespace {

bool starts_name(char c) {
    return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '@';
}
bool continues_name(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '@' ||
           c == '/' || c == ':';
}

}  // namespace

std::string describe(const Token& token) {
    switch (token.kind) {
        case Token::Kind::end:
            return "the end of the text";
        case Token::Kind::string:
            return "the string \"" + token.text + "\"";
        default:
            return "'" + token.text + "'";
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

Token Lexer::string(Position start) {
    Token token{Token::Kind::string, "", start};
    take();
    for (;;) {
        if (at_ >= text_.size() || peek() == '\n') {
            fail_at({line_, column_}, "'\"' that ends the string",
                    at_ >= text_.size() ? "the end of the text" : "the end of the line");
        }
        char c = take();
        if (c == '"') {
            return token;
        }
        if (c == '\\') {
            if (at_ >= text_.size()) {
                fail_at({line_, column_}, "an escaped character", "the end of the text");
            }
            c = take();
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
        }
        token.text += c;
    }
}

Token Lexer::next() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(peek())) != 0) {
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
    Token token{Token::Kind::symbol, "", start};
    const auto digit = [&](std::size_t ahead) {
        return std::isdigit(static_cast<unsigned char>(peek(ahead))) != 0;
    };
    if (digit(0) ||
        ((c == '-' || c == '+') &&
         (digit(1) || peek(1) == '.' || peek(1) == 'i' || peek(1) == 'n')) ||
        (c == '.' && digit(1))) {
        token.kind = Token::Kind::number;
        token.text += take();
        while (std::isalnum(static_cast<unsigned char>(peek())) != 0 || peek() == '.' ||
               ((peek() == '+' || peek() == '-') &&
                (token.text.back() == 'e' || token.text.back() == 'E' || token.text.back() == 'p' ||
                 token.text.back() == 'P'))) {
            token.text += take();
        }
        return token;
    }
    if (starts_name(c)) {
        token.kind = Token::Kind::name;
        while (continues_name(peek())) {
            token.text += take();
        }
        return token;
    }
    if (std::string_view("()[]{}<>,;=?").find(c) == std::string_view::npos) {
        fail_at(start, "a name, number, string or symbol of the language",
                fmt::format("byte {:#04x}", static_cast<unsigned char>(c)));
    }
    token.text = take();
    return token;
}

}  // namespace pome::mil
