#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mil/type.h"

namespace pome::mil {

/// Where a thing stood in the text it was read from; line 0 when it was built. Two positions always
/// compare equal: where a program was written is no part of what it is.
struct Position {
    int line = 0;
    int column = 0;
    friend bool operator==(const Position&, const Position&) { return true; }
};

/// Data in a weight file: BLOBFILE(path, offset). `offset` is the position of the 64-byte metadata
/// record, never of the data. Paths start with "@model_path/".
struct Blob {
    std::string path;
    std::uint64_t offset = 0;
    friend bool operator==(const Blob&, const Blob&) = default;
};

/// A typed literal.
struct Literal {
    using Bytes = std::vector<std::byte>;  ///< tensor elements: dense, row-major, little-endian
                                           ///< in `type.dtype`, sub-byte types one a byte, bool 0/1
    using Strings = std::vector<std::string>;  ///< elements of a tensor of strings
    using Items = std::vector<Literal>;        ///< list or tuple
    struct Entry;
    using Entries = std::vector<Entry>;  ///< dictionary

    Type type;
    std::variant<Bytes, Strings, Blob, Items, Entries> payload;

    static Literal text(std::string value);  ///< a string scalar
    static Literal boolean(bool value);
    static Literal integer(std::int32_t value);                        ///< an int32 scalar
    static Literal integers(const std::vector<std::int64_t>& values);  ///< int32 [n]
    static Literal number(DType dtype, double value);  ///< a scalar, rounded to nearest even
    /// A tensor from doubles, each rounded to nearest even (fp16, fp32) or required to be in range
    /// (integers).
    static Literal tensor(DType dtype, Shape shape, const std::vector<double>& values);
    static Literal blob(Type type, Blob where);

    bool is_blob() const { return std::holds_alternative<Blob>(payload); }
    /// The elements as doubles. Throws Error{malformed_program} for blobs, strings and containers.
    std::vector<double> numbers() const;

    friend bool operator==(const Literal& a, const Literal& b);
};

/// A key and what it maps to.
struct Literal::Entry {
    Literal first;
    Literal second;
    friend bool operator==(const Entry&, const Entry&) = default;
};

/// What an argument is given: the name of a value or a literal.
using Operand = std::variant<std::string, Literal>;

/// `name = operand` or, for a tuple argument such as concat's, `name = (operand, ...)`.
struct Argument {
    std::string name;
    std::vector<Operand> operands;
    bool is_tuple = false;
    friend bool operator==(const Argument&, const Argument&) = default;
};

struct Attribute {
    std::string name;
    Literal value;
    friend bool operator==(const Attribute&, const Attribute&) = default;
};

/// A named value and its type: a function's parameter or an operation's result.
struct NamedType {
    std::string name;
    Type type;
    friend bool operator==(const NamedType&, const NamedType&) = default;
};

/// `type result, ... = op(argument, ...)[attribute, ...];`
struct Operation {
    std::string op;
    std::vector<Argument> arguments;
    std::vector<Attribute> attributes;
    std::vector<NamedType> results;
    Position position;

    const Argument* find_argument(std::string_view name) const;
    const Literal* find_attribute(std::string_view name) const;
    friend bool operator==(const Operation&, const Operation&) = default;
};

struct Function {
    std::string name = "main";
    std::string opset = "ios18";
    std::vector<NamedType> parameters;
    std::vector<Attribute> attributes;
    std::vector<Operation> operations;  ///< definition before use; each name is defined once
    std::vector<std::string> outputs;   ///< names of values
    Position position;

    /// The type of a parameter or result; nullptr when there is none of that name. Linear in the
    /// operations.
    const Type* find_type(std::string_view value) const;
    friend bool operator==(const Function&, const Function&) = default;
};

/// How scalars and build information are spelled: terse `int32(1)` (program 1.3, M3 and later) or
/// canonical `tensor<int32, []>(1)` (program 1.0, every chip).
enum class Dialect : std::uint8_t { terse, canonical };

struct Program {
    std::string version = "1.3";
    Dialect dialect = Dialect::terse;
    std::vector<Attribute> attributes;  ///< [buildInfo = dict<...>(...)]
    std::vector<Function> functions;

    const Function* find_function(std::string_view name) const;
    friend bool operator==(const Program&, const Program&) = default;
};

}  // namespace pome::mil
