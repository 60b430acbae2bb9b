#include <charconv>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "mil/text.h"
#include "mil/text_lexer.h"

namespace pome::mil {
namespace {

using Kind = Token::Kind;

/// Types and literals nest; programs seen in the wild reach five.
constexpr int deepest = 64;

class Reader {
  public:
    Reader(std::string_view text, std::string_view source) : lexer_(text, source) { advance(); }

    Program program() {
        Program result;
        word("program", "'program'");
        symbol("(");
        result.version = expect(Kind::number, "a version such as 1.3").text;
        symbol(")");
        if (is("[")) {
            result.attributes = attributes();
        }
        symbol("{");
        while (!is("}")) {
            result.functions.push_back(function());
        }
        symbol("}");
        if (token_.kind != Kind::end) {
            wrong("the end of the text");
        }
        // One spelling of a scalar decides; programs without any go by their version.
        result.dialect = dialect_known_            ? dialect_
                         : result.version == "1.0" ? Dialect::canonical
                                                   : Dialect::terse;
        return result;
    }

  private:
    // Tokens.
    void advance() { token_ = lexer_.next(); }
    bool is(std::string_view symbol) const {
        return token_.kind == Kind::symbol && token_.text == symbol;
    }
    bool is_word(std::string_view word) const {
        return token_.kind == Kind::name && token_.text == word;
    }
    [[noreturn]] void wrong(std::string_view expected) const {
        lexer_.fail_at(token_.position, expected, describe(token_));
    }
    Token expect(Kind kind, std::string_view what) {
        if (token_.kind != kind) {
            wrong(what);
        }
        Token taken = std::move(token_);
        advance();
        return taken;
    }
    void symbol(std::string_view text) {
        if (!is(text)) {
            wrong("'" + std::string(text) + "'");
        }
        advance();
    }
    bool skip(std::string_view text) {
        if (!is(text)) {
            return false;
        }
        advance();
        return true;
    }
    void word(std::string_view text, std::string_view what) {
        if (!is_word(text)) {
            wrong(what);
        }
        advance();
    }

    class Depth {
      public:
        explicit Depth(Reader& reader) : reader_(reader) {
            if (++reader_.depth_ > deepest) {
                reader_.wrong(fmt::format("at most {} levels of nesting", deepest));
            }
        }
        ~Depth() { --reader_.depth_; }
        Depth(const Depth&) = delete;
        Depth& operator=(const Depth&) = delete;

      private:
        Reader& reader_;
    };

    void saw(Dialect dialect) {
        if (!dialect_known_) {
            dialect_ = dialect;
            dialect_known_ = true;
        }
    }

    // Types.
    std::int64_t dimension() {
        if (skip("?")) {
            return Shape::unknown;
        }
        return integer(expect(Kind::number, "a size or '?'"), 0,
                       std::numeric_limits<std::int64_t>::max());
    }

    std::int64_t integer(const Token& number, std::int64_t low, std::int64_t high) {
        std::int64_t value = 0;
        const std::string& text = number.text;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc() || end != text.data() + text.size() || value < low ||
            value > high) {
            lexer_.fail_at(number.position, fmt::format("an integer from {} to {}", low, high),
                           describe(number));
        }
        return value;
    }

    Type type() {
        const Depth depth(*this);
        const Token start = expect(Kind::name, "a type");
        Type result;
        if (start.text == "tensor") {
            return rest_of_tensor();
        }
        const auto found = start.text == "list"    ? Type::Kind::list
                           : start.text == "tuple" ? Type::Kind::tuple
                           : start.text == "dict"  ? Type::Kind::dictionary
                           : start.text == "state" ? Type::Kind::state
                                                   : Type::Kind::tensor;
        result.kind = found;
        if (found == Type::Kind::tensor) {
            result.dtype = dtype_of(start);
            saw(Dialect::terse);
            return result;
        }
        symbol("<");
        result.items.push_back(type());
        if (found == Type::Kind::list) {
            symbol(",");
            result.length = dimension();
        }
        if (found == Type::Kind::dictionary) {
            symbol(",");
            result.items.push_back(type());
        }
        while (found == Type::Kind::tuple && skip(",")) {
            result.items.push_back(type());
        }
        symbol(">");
        return result;
    }

    /// "<dtype, [sizes]>"
    Type rest_of_tensor() {
        Type result;
        symbol("<");
        result.dtype = dtype_of(expect(Kind::name, "an element type"));
        symbol(",");
        symbol("[");
        std::vector<std::int64_t> sizes;
        while (!is("]")) {
            sizes.push_back(dimension());
            if (!skip(",")) {
                break;
            }
        }
        symbol("]");
        symbol(">");
        if (sizes.empty()) {
            saw(Dialect::canonical);
        }
        result.shape = Shape(std::move(sizes));
        return result;
    }

    DType dtype_of(const Token& name) {
        const auto dtype = dtype_from_name(name.text);
        if (!dtype) {
            lexer_.fail_at(name.position, "a type such as fp16, int32 or tensor<...>",
                           describe(name));
        }
        return *dtype;
    }

    // Literals.
    Literal value() { return payload(type()); }

    Literal payload(const Type& type) {
        const Depth depth(*this);
        symbol("(");
        Literal result = contents(type);
        symbol(")");
        return result;
    }

    Literal contents(const Type& type) {
        Literal result;
        result.type = type;
        switch (type.kind) {
            case Type::Kind::dictionary:
                result.payload = entries(type);
                return result;
            case Type::Kind::list:
                result.payload = items(type, "[", "]");
                return result;
            case Type::Kind::tuple:
                result.payload = items(type, is("(") ? "(" : "[", is("(") ? ")" : "]");
                return result;
            case Type::Kind::state:
                wrong("a literal; states have none");
            case Type::Kind::tensor:
                break;
        }
        if (is_word("BLOBFILE")) {
            result.payload = blob();
            return result;
        }
        const Token start = token_;
        if (type.dtype == DType::string) {
            Literal::Strings strings;
            elements([&] { strings.push_back(expect(Kind::string, "a string").text); });
            check_count(start, type, strings.size());
            result.payload = std::move(strings);
            return result;
        }
        Literal::Bytes bytes;
        std::size_t count = 0;
        elements([&] {
            const auto one = Literal::number(type.dtype, number(type.dtype));
            const auto& more = std::get<Literal::Bytes>(one.payload);
            bytes.insert(bytes.end(), more.begin(), more.end());
            ++count;
        });
        check_count(start, type, count);
        result.payload = std::move(bytes);
        return result;
    }

    /// One element, or (nested) lists of them: flat lists stand for any shape.
    template <typename Take>
    void elements(const Take& take) {
        if (!is("[")) {
            return take();
        }
        const Depth depth(*this);
        symbol("[");
        while (!is("]")) {
            elements(take);
            if (!skip(",")) {
                break;
            }
        }
        symbol("]");
    }

    void check_count(const Token& start, const Type& type, std::size_t count) {
        if (!type.shape.is_static()) {
            return;
        }
        std::int64_t wanted = -1;
        try {
            wanted = type.shape.elements();
        } catch (const Error&) {
        }
        if (wanted != static_cast<std::int64_t>(count)) {
            lexer_.fail_at(start.position, fmt::format("{} elements for {}", wanted, type.text()),
                           fmt::format("{}", count));
        }
    }

    double number(DType dtype) {
        if (is_word("true") || is_word("false")) {
            const bool yes = is_word("true");
            if (dtype != DType::boolean) {
                wrong(fmt::format("a number of {}", name(dtype)));
            }
            advance();
            return yes ? 1.0 : 0.0;
        }
        Token token = token_;
        if (token.kind == Kind::name && (token.text == "inf" || token.text == "nan")) {
            token.kind = Kind::number;
        }
        if (token.kind != Kind::number) {
            wrong(fmt::format("a number of {}", name(dtype)));
        }
        advance();
        const double value =
            is_floating(dtype)
                ? real(token)
                : static_cast<double>(integer(token, std::numeric_limits<std::int64_t>::min(),
                                              std::numeric_limits<std::int64_t>::max()));
        try {
            Literal::number(dtype, value);
        } catch (const Error& error) {
            lexer_.fail_at(token.position, fmt::format("a number of {}", name(dtype)),
                           fmt::format("'{}': {}", token.text, error.message()));
        }
        return value;
    }

    /// Decimal or hexadecimal, rounded to double first: a second rounding to fp16 or fp32 follows.
    double real(const Token& token) {
        std::string_view text = token.text;
        const bool negative = text.starts_with('-');
        if (negative || text.starts_with('+')) {
            text.remove_prefix(1);
        }
        double value = 0.0;
        std::from_chars_result end{};
        if (text.starts_with("0x") || text.starts_with("0X")) {
            text.remove_prefix(2);
            end = std::from_chars(text.data(), text.data() + text.size(), value,
                                  std::chars_format::hex);
        } else {
            end = std::from_chars(text.data(), text.data() + text.size(), value);
        }
        if (end.ptr != text.data() + text.size() ||
            (end.ec != std::errc() && end.ec != std::errc::result_out_of_range)) {
            lexer_.fail_at(token.position, "a number", describe(token));
        }
        if (end.ec == std::errc::result_out_of_range) {
            value = text.find("e-") != std::string_view::npos ||
                            text.find("p-") != std::string_view::npos
                        ? 0.0
                        : HUGE_VAL;
        }
        return negative ? -value : value;
    }

    Blob blob() {
        advance();
        Blob result;
        symbol("(");
        for (int i = 0; i < 2; ++i) {
            if (i > 0) {
                symbol(",");
            }
            const Token key = expect(Kind::name, "'path' or 'offset'");
            symbol("=");
            const Token start = token_;
            const Literal literal = value();
            if (key.text == "path" && std::holds_alternative<Literal::Strings>(literal.payload) &&
                literal.type.is_scalar()) {
                result.path = std::get<Literal::Strings>(literal.payload).front();
            } else if (key.text == "offset" && literal.type == Type::scalar(DType::uint64) &&
                       std::holds_alternative<Literal::Bytes>(literal.payload)) {
                result.offset = static_cast<std::uint64_t>(literal.numbers().front());
            } else {
                lexer_.fail_at(start.position, "path = string(\"...\") or offset = uint64(...)",
                               "'" + key.text + "' with " + literal.type.text());
            }
        }
        symbol(")");
        return result;
    }

    Literal::Entries entries(const Type& type) {
        Literal::Entries result;
        symbol("{");
        while (!is("}")) {
            symbol("{");
            Literal key = contents_or_value(type.items.at(0));
            symbol(",");
            Literal mapped = contents_or_value(type.items.at(1));
            symbol("}");
            result.emplace_back(std::move(key), std::move(mapped));
            if (!skip(",")) {
                break;
            }
        }
        symbol("}");
        return result;
    }

    Literal::Items items(const Type& type, std::string_view open, std::string_view close) {
        Literal::Items result;
        symbol(open);
        while (!is(close)) {
            const std::size_t index = type.kind == Type::Kind::tuple ? result.size() : 0;
            if (index >= type.items.size()) {
                wrong(fmt::format("'{}' after {} items", close, type.items.size()));
            }
            result.push_back(contents_or_value(type.items[index]));
            if (!skip(",")) {
                break;
            }
        }
        symbol(close);
        return result;
    }

    /// Inside containers payloads stand bare or with their type.
    Literal contents_or_value(const Type& type) {
        const Depth depth(*this);
        const bool typed = token_.kind == Kind::name && token_.text != "true" &&
                           token_.text != "false" && token_.text != "BLOBFILE" &&
                           token_.text != "inf" && token_.text != "nan";
        return typed ? value() : contents(type);
    }

    // Statements.
    std::vector<Attribute> attributes() {
        std::vector<Attribute> result;
        symbol("[");
        while (!is("]")) {
            Attribute attribute;
            attribute.name = expect(Kind::name, "an attribute's name").text;
            symbol("=");
            attribute.value = value();
            result.push_back(std::move(attribute));
            if (!skip(",")) {
                break;
            }
        }
        symbol("]");
        return result;
    }

    NamedType named_type() {
        NamedType result;
        result.type = type();
        result.name = expect(Kind::name, "a name").text;
        return result;
    }

    Function function() {
        Function result;
        result.position = token_.position;
        word("func", "'func' or '}'");
        result.name = expect(Kind::name, "the function's name").text;
        symbol("<");
        result.opset = expect(Kind::name, "an opset such as ios18").text;
        symbol(">");
        symbol("(");
        while (!is(")")) {
            result.parameters.push_back(named_type());
            if (!skip(",")) {
                break;
            }
        }
        symbol(")");
        if (is("[")) {
            result.attributes = attributes();
        }
        symbol("{");
        while (!is("}")) {
            result.operations.push_back(operation());
        }
        symbol("}");
        expect(Kind::arrow, "'->'");
        symbol("(");
        while (!is(")")) {
            result.outputs.push_back(expect(Kind::name, "the name of an output").text);
            if (!skip(",")) {
                break;
            }
        }
        symbol(")");
        symbol(";");
        return result;
    }

    Operation operation() {
        Operation result;
        result.position = token_.position;
        do {
            result.results.push_back(named_type());
        } while (skip(","));
        symbol("=");
        result.op = expect(Kind::name, "an op").text;
        symbol("(");
        while (!is(")")) {
            result.arguments.push_back(argument());
            if (!skip(",")) {
                break;
            }
        }
        symbol(")");
        if (is("[")) {
            result.attributes = attributes();
        }
        symbol(";");
        return result;
    }

    Argument argument() {
        Argument result;
        result.name = expect(Kind::name, "an argument's name").text;
        symbol("=");
        if (!is("(")) {
            result.operands.push_back(operand());
            return result;
        }
        result.is_tuple = true;
        symbol("(");
        while (!is(")")) {
            result.operands.push_back(operand());
            if (!skip(",")) {
                break;
            }
        }
        symbol(")");
        return result;
    }

    Operand operand() {
        if (token_.kind == Kind::number) {
            const bool whole = token_.text.find_first_of(".xXeEpP") == std::string::npos;
            return Literal::number(whole ? DType::int32 : DType::fp32,
                                   number(whole ? DType::int32 : DType::fp32));
        }
        if (token_.kind == Kind::string) {
            return Literal::text(expect(Kind::string, "a string").text);
        }
        if (is_word("true") || is_word("false")) {
            return Literal::boolean(number(DType::boolean) != 0.0);
        }
        const Token start = expect(Kind::name, "a value's name or a literal");
        if (!is("(") && !is("<")) {
            return start.text;
        }
        // A type begins with a name too: read it again from its first word.
        if (is("(")) {
            saw(Dialect::terse);
            return payload(Type::scalar(dtype_of(start)));
        }
        if (start.text != "tensor") {
            lexer_.fail_at(start.position, "a literal of a tensor or scalar", describe(start));
        }
        return payload(rest_of_tensor());
    }

    Lexer lexer_;
    Token token_;
    int depth_ = 0;
    Dialect dialect_ = Dialect::terse;
    bool dialect_known_ = false;
};

}  // namespace

Program read(std::string_view text, std::string_view source) {
    return Reader(text, source).program();
}

}  // namespace pome::mil
