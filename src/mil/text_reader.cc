#include <algorithm>
#include <charconv>
#include <optional>

#include "base/error.h"
#include "mil/literal_text.h"
#include "mil/text.h"
#include "mil/text_lexer.h"

namespace pome::mil {
namespace {

using Kind = Token::Kind;

/// Types and literals nest; programs seen in the wild reach eight.
constexpr int deepest = 64;
/// Lines and columns are ints.
constexpr std::size_t longest_text = std::size_t{1} << 30;
/// MIL has five axes at most.
constexpr std::size_t highest_rank = 16;
constexpr std::uint64_t most_elements = std::uint64_t{1} << 62;

/// How much memory a type takes, in words of its text.
std::size_t weight_of(const Type& type) {
    std::size_t weight = 1 + static_cast<std::size_t>(type.shape.rank());
    for (const Type& item : type.items) {
        weight += weight_of(item);
    }
    return weight;
}

class Reader {
  public:
    Reader(std::string_view text, std::string_view source)
        : lexer_(text, source), budget_(8 * text.size()) {
        advance();
    }

    Program program() {
        Program result;
        word("program", "'program'");
        symbol("(");
        result.version = version();
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
        // The first scalar's spelling decides; programs without any go by their version.
        result.dialect =
            dialect_.value_or(result.version == "1.0" ? Dialect::canonical : Dialect::terse);
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
            wrong(fmt::format("'{}'", text));
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
    /// "OPEN item, item CLOSE", or no item at all.
    template <typename Item>
    void sequence(std::string_view open, std::string_view close, const Item& item) {
        symbol(open);
        if (skip(close)) {
            return;
        }
        do {
            item();
        } while (skip(","));
        if (!is(close)) {
            wrong(fmt::format("',' or '{}'", close));
        }
        advance();
    }

    /// Recursion is counted, so that no text can exhaust the stack.
    class Level {
      public:
        explicit Level(Reader& reader) : reader_(reader) {
            if (++reader_.depth_ > deepest) {
                reader_.wrong(fmt::format("at most {} levels of nesting", deepest));
            }
        }
        ~Level() { --reader_.depth_; }
        Level(const Level&) = delete;
        Level& operator=(const Level&) = delete;

      private:
        Reader& reader_;
    };

    void saw(Dialect dialect) {
        if (!dialect_) {
            dialect_ = dialect;
        }
    }

    std::string version() {
        const Token number = expect(Kind::number, "a version such as 1.3");
        if (number.text.find_first_not_of("0123456789.") != std::string::npos) {
            lexer_.fail_at(number.position, "a version such as 1.3", describe(number));
        }
        return number.text;
    }

    // Types.
    std::int64_t size() {
        if (skip("?")) {
            return Shape::unknown;
        }
        const Token number = expect(Kind::number, "a size or '?'");
        std::int64_t value = -1;
        const char* const end = number.text.data() + number.text.size();
        const auto [stop, error] = std::from_chars(number.text.data(), end, value);
        if (error != std::errc() || stop != end || value < 0) {
            lexer_.fail_at(number.position, "a size or '?'", describe(number));
        }
        return value;
    }

    DType dtype(const Token& word) const {
        const auto found = dtype_from_name(word.text);
        if (!found) {
            lexer_.fail_at(word.position, "a type such as fp16, int32 or tensor<...>",
                           describe(word));
        }
        return *found;
    }

    Type type() { return rest_of_type(expect(Kind::name, "a type")); }

    Type rest_of_type(const Token& word) {
        const Level level(*this);
        if (word.text == "tensor") {
            return rest_of_tensor();
        }
        Type result;
        if (word.text == "list") {
            result.kind = Type::Kind::list;
        } else if (word.text == "tuple") {
            result.kind = Type::Kind::tuple;
        } else if (word.text == "dict") {
            result.kind = Type::Kind::dictionary;
        } else if (word.text == "state") {
            result.kind = Type::Kind::state;
        } else {
            result.dtype = dtype(word);
            saw(Dialect::terse);
            return result;
        }
        symbol("<");
        result.items.push_back(type());
        if (result.kind == Type::Kind::list) {
            symbol(",");
            result.length = size();
        } else if (result.kind == Type::Kind::dictionary) {
            symbol(",");
            result.items.push_back(type());
        } else if (result.kind == Type::Kind::tuple) {
            while (skip(",")) {
                result.items.push_back(type());
            }
        }
        symbol(">");
        return result;
    }

    /// "<fp16, [1, 64, 1, ?]>"
    Type rest_of_tensor() {
        Type result;
        symbol("<");
        result.dtype = dtype(expect(Kind::name, "an element type"));
        symbol(",");
        const Position start = token_.position;
        std::vector<std::int64_t> sizes;
        sequence("[", "]", [&] {
            if (sizes.size() == highest_rank) {
                wrong(fmt::format("']' after at most {} sizes", highest_rank));
            }
            sizes.push_back(size());
        });
        symbol(">");
        if (sizes.empty()) {
            saw(Dialect::canonical);
        }
        result.shape = Shape(std::move(sizes));
        check_product(result.shape, start);
        return result;
    }

    /// Later code multiplies sizes freely.
    void check_product(const Shape& shape, Position start) const {
        std::uint64_t product = 1;
        for (const std::int64_t n : shape) {
            const auto factor = static_cast<std::uint64_t>(std::max<std::int64_t>(n, 1));
            if (product > most_elements / factor) {
                lexer_.fail_at(start, "sizes whose product is at most 2^62", shape.text());
            }
            product *= factor;
        }
    }

    // Literals.
    Literal value() { return payload(type()); }

    Literal payload(const Type& type) {
        symbol("(");
        Literal result = contents(type);
        symbol(")");
        return result;
    }

    Literal contents(const Type& type) {
        const Level level(*this);
        spend(type);
        Literal result;
        result.type = type;
        switch (type.kind) {
            case Type::Kind::dictionary:
                result.payload = entries(type);
                break;
            case Type::Kind::list:
                result.payload = list(type);
                break;
            case Type::Kind::tuple:
                result.payload = tuple(type);
                break;
            case Type::Kind::state:
                wrong("a tensor, list, tuple or dict: states have no literals");
            case Type::Kind::tensor:
                if (is_word("BLOBFILE")) {
                    result.payload = blob();
                } else if (type.dtype == DType::string) {
                    result.payload = strings(type.shape);
                } else {
                    result.payload = numbers(type);
                }
        }
        return result;
    }

    /// Each literal in a container copies its type, which its text does not repeat: `[{},{},{}]`
    /// under a long type would take memory that no text paid for. Real programs use a tenth of
    /// this.
    void spend(const Type& type) {
        const std::size_t weight = weight_of(type);
        if (weight > budget_) {
            wrong("literals whose types are shorter than this text");
        }
        budget_ -= weight;
    }

    Literal::Strings strings(const Shape& shape) {
        Literal::Strings result;
        elements(Type::tensor(DType::string, shape), result,
                 [&] { result.push_back(expect(Kind::string, "a string").text); });
        return result;
    }

    Literal::Bytes numbers(const Type& type) {
        Literal::Bytes result;
        elements(type, result, [&] { number(type.dtype, result); });
        return result;
    }

    /// One element for a scalar; lists nested as the shape says, or one flat list, for others.
    template <typename Elements, typename Take>
    void elements(const Type& type, const Elements& taken, const Take& take) {
        if (type.shape.rank() == 0) {
            return take();
        }
        const std::size_t width = std::max<std::size_t>(size_in_memory(type.dtype), 1);
        const Position start = token_.position;
        nested(type, 0, take);
        if (!type.shape.is_static()) {
            return;
        }
        const auto wanted = static_cast<std::size_t>(type.shape.elements());
        if (taken.size() / width != wanted) {
            lexer_.fail_at(start, fmt::format("{} elements for {}", wanted, type.text()),
                           fmt::format("{}", taken.size() / width));
        }
    }

    template <typename Take>
    void nested(const Type& type, int axis, const Take& take) {
        const Position start = token_.position;
        const bool innermost = axis + 1 == type.shape.rank();
        std::int64_t count = 0;
        bool flat = innermost;
        sequence("[", "]", [&] {
            if (count == 0 && axis == 0 && !is("[")) {
                flat = true;
            }
            flat ? take() : nested(type, axis + 1, take);
            ++count;
        });
        const std::int64_t wanted = type.shape[axis];
        // A flat list is counted as a whole by the caller.
        if (flat ? axis == 0 : wanted == Shape::unknown) {
            return;
        }
        if (count != wanted && wanted != Shape::unknown && !(axis == 0 && count == 0)) {
            lexer_.fail_at(start,
                           fmt::format("{} items along axis {} of {}", wanted, axis, type.text()),
                           fmt::format("{}", count));
        }
    }

    void number(DType dtype, Literal::Bytes& bytes) {
        const auto what = [&] { return fmt::format("a number of {}", name(dtype)); };
        if (dtype == DType::boolean) {
            if (!is_word("true") && !is_word("false")) {
                wrong("true or false");
            }
            append_integer(bytes, dtype, is_word("true") ? 1 : 0);
            return advance();
        }
        const bool word =
            token_.kind == Kind::name && (token_.text == "inf" || token_.text.starts_with("nan"));
        if (token_.kind != Kind::number && !word) {
            wrong(what());
        }
        if (const std::string reason = append_number(bytes, dtype, token_.text); !reason.empty()) {
            lexer_.fail_at(token_.position, what(), describe(token_) + ", " + reason);
        }
        advance();
    }

    /// BLOBFILE(path = string("..."), offset = uint64(64)), in either order.
    Blob blob() {
        advance();
        std::optional<std::string> path;
        std::optional<std::uint64_t> offset;
        const Position start = token_.position;
        sequence("(", ")", [&] {
            const Token key = expect(Kind::name, "'path' or 'offset'");
            symbol("=");
            const Position place = token_.position;
            const Type given = type();
            symbol("(");
            if (key.text == "path" && !path && given == Type::scalar(DType::string)) {
                path = expect(Kind::string, "a string").text;
            } else if (key.text == "offset" && !offset && given == Type::scalar(DType::uint64)) {
                offset = blob_offset();
            } else {
                lexer_.fail_at(place, "path = string(\"...\") or offset = uint64(...)",
                               fmt::format("{} with {}", describe(key), given.text()));
            }
            symbol(")");
        });
        if (!path || !offset) {
            lexer_.fail_at(start, "path = string(\"...\") and offset = uint64(...)",
                           path ? "no offset" : "no path");
        }
        return {std::move(*path), *offset};
    }

    std::uint64_t blob_offset() {
        Literal::Bytes bytes;
        number(DType::uint64, bytes);
        std::uint64_t offset = 0;
        for (std::size_t i = bytes.size(); i-- > 0;) {
            offset = offset << 8 | std::to_integer<std::uint64_t>(bytes[i]);
        }
        return offset;
    }

    Literal::Entries entries(const Type& type) {
        Literal::Entries result;
        sequence("{", "}", [&] {
            symbol("{");
            Literal key = item(type.items[0]);
            symbol(",");
            Literal mapped = item(type.items[1]);
            symbol("}");
            result.push_back({std::move(key), std::move(mapped)});
        });
        return result;
    }

    Literal::Items list(const Type& type) {
        const Position start = token_.position;
        Literal::Items result;
        sequence("[", "]", [&] { result.push_back(item(type.items[0])); });
        if (type.length != Shape::unknown &&
            type.length != static_cast<std::int64_t>(result.size())) {
            lexer_.fail_at(start, fmt::format("a list of {} items", type.length),
                           fmt::format("{}", result.size()));
        }
        return result;
    }

    Literal::Items tuple(const Type& type) {
        const Position start = token_.position;
        Literal::Items result;
        sequence("(", ")", [&] {
            if (result.size() == type.items.size()) {
                wrong(fmt::format("')' after the {} items of the tuple", type.items.size()));
            }
            result.push_back(item(type.items[result.size()]));
        });
        if (result.size() != type.items.size()) {
            lexer_.fail_at(start, fmt::format("a tuple of {} items", type.items.size()),
                           fmt::format("{}", result.size()));
        }
        return result;
    }

    /// In containers payloads stand bare; one that begins with a type is read with that type.
    Literal item(const Type& type) {
        const bool typed = token_.kind == Kind::name && token_.text != "BLOBFILE" &&
                           token_.text != "true" && token_.text != "false" &&
                           token_.text != "inf" && !token_.text.starts_with("nan");
        return typed ? value() : contents(type);
    }

    // Statements.
    std::vector<Attribute> attributes() {
        std::vector<Attribute> result;
        sequence("[", "]", [&] {
            Attribute attribute;
            attribute.name = expect(Kind::name, "an attribute's name").text;
            symbol("=");
            attribute.value = value();
            result.push_back(std::move(attribute));
        });
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
        sequence("(", ")", [&] { result.parameters.push_back(named_type()); });
        if (is("[")) {
            result.attributes = attributes();
        }
        symbol("{");
        while (!is("}")) {
            result.operations.push_back(operation());
        }
        symbol("}");
        expect(Kind::arrow, "'->'");
        sequence("(", ")", [&] {
            result.outputs.push_back(expect(Kind::name, "the name of an output").text);
        });
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
        sequence("(", ")", [&] { result.arguments.push_back(argument()); });
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
        result.is_tuple = is("(");
        if (result.is_tuple) {
            sequence("(", ")", [&] { result.operands.push_back(operand()); });
        } else {
            result.operands.push_back(operand());
        }
        return result;
    }

    /// A name, a literal with its type, or a bare literal: int32, fp32, bool or string. "inf" and
    /// "nan" alone are names.
    Operand operand() {
        const std::string_view digits = "-0123456789";
        if (token_.kind == Kind::number) {
            const bool whole = token_.text.find_first_not_of(digits) == std::string::npos;
            return contents(Type::scalar(whole ? DType::int32 : DType::fp32));
        }
        if (token_.kind == Kind::string) {
            return contents(Type::scalar(DType::string));
        }
        if (is_word("true") || is_word("false")) {
            return contents(Type::scalar(DType::boolean));
        }
        Token word = expect(Kind::name, "a value's name or a literal");
        if (is("(") || is("<")) {
            return payload(rest_of_type(word));
        }
        return std::move(word.text);
    }

    Lexer lexer_;
    Token token_;
    int depth_ = 0;
    std::size_t budget_;
    std::optional<Dialect> dialect_;
};

}  // namespace

Program read(std::string_view text, std::string_view source) {
    if (text.size() > longest_text) {
        fail(Code::malformed_program, "mil.text", "{}: {} bytes of text, but at most {} are read",
             source, text.size(), longest_text);
    }
    return Reader(text, source).program();
}

}  // namespace pome::mil
