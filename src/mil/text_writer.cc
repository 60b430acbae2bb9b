#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "mil/literal_text.h"
#include "mil/text.h"

namespace pome::mil {
namespace {

class Writer {
  public:
    explicit Writer(Dialect dialect) : dialect_(dialect) {}

    std::string program(const Program& program, const std::string& version) {
        out_ += "program(" + version + ")\n";
        if (!program.attributes.empty()) {
            attributes(program.attributes);
            out_ += '\n';
        }
        out_ += "{\n";
        for (const auto& one : program.functions) {
            function(one);
        }
        return out_ + "}\n";
    }

  private:
    void type(const Type& type) {
        switch (type.kind) {
            case Type::Kind::tensor:
                return tensor(type);
            case Type::Kind::list:
                out_ += "list<";
                this->type(type.items.at(0));
                out_ += type.length < 0 ? ", ?>" : fmt::format(", {}>", type.length);
                return;
            case Type::Kind::tuple:
                return container("tuple<", type);
            case Type::Kind::dictionary:
                return container("dict<", type);
            case Type::Kind::state:
                return container("state<", type);
        }
    }

    void tensor(const Type& type) {
        if (type.shape.rank() == 0 && dialect_ == Dialect::terse) {
            out_ += name(type.dtype);
            return;
        }
        out_ += fmt::format("tensor<{}, [", name(type.dtype));
        for (int i = 0; i < type.shape.rank(); ++i) {
            out_ += (i > 0 ? ", " : "") +
                    (type.shape[i] < 0 ? std::string("?") : std::to_string(type.shape[i]));
        }
        out_ += "]>";
    }

    void container(std::string_view open, const Type& type) {
        out_ += open;
        for (std::size_t i = 0; i < type.items.size(); ++i) {
            if (i > 0) {
                out_ += ", ";
            }
            this->type(type.items[i]);
        }
        out_ += '>';
    }

    void literal(const Literal& literal) {
        type(literal.type);
        out_ += '(';
        contents(literal);
        out_ += ')';
    }

    void contents(const Literal& literal) {
        check(literal);
        if (const auto* blob = std::get_if<Blob>(&literal.payload)) {
            out_ += "BLOBFILE(path = ";
            this->literal(Literal::text(blob->path));
            out_ += ", offset = ";
            type(Type::scalar(DType::uint64));
            out_ += fmt::format("({}))", blob->offset);
        } else if (const auto* entries = std::get_if<Literal::Entries>(&literal.payload)) {
            out_ += '{';
            for (std::size_t i = 0; i < entries->size(); ++i) {
                out_ += i > 0 ? ", {" : "{";
                inside((*entries)[i].first, literal.type.items.at(0));
                out_ += ", ";
                inside((*entries)[i].second, literal.type.items.at(1));
                out_ += '}';
            }
            out_ += '}';
        } else if (const auto* items = std::get_if<Literal::Items>(&literal.payload)) {
            const bool tuple = literal.type.kind == Type::Kind::tuple;
            out_ += tuple ? '(' : '[';
            for (std::size_t i = 0; i < items->size(); ++i) {
                if (i > 0) {
                    out_ += ", ";
                }
                inside((*items)[i], literal.type.items.at(tuple ? i : 0));
            }
            out_ += tuple ? ')' : ']';
        } else {
            elements(literal);
        }
    }

    /// In containers the type is known, unless an item says another.
    void inside(const Literal& item, const Type& expected) {
        if (item.type == expected) {
            contents(item);
        } else {
            literal(item);
        }
    }

    /// A literal made by hand may contradict itself; written, it could not be read.
    static void check(const Literal& literal) {
        const Type& type = literal.type;
        const bool container = std::holds_alternative<Literal::Items>(literal.payload) ||
                               std::holds_alternative<Literal::Entries>(literal.payload);
        bool fits = container != type.is_tensor() && type.kind != Type::Kind::state;
        if (const auto* items = std::get_if<Literal::Items>(&literal.payload)) {
            fits = fits && (type.kind == Type::Kind::tuple
                                ? items->size() == type.items.size()
                                : type.kind == Type::Kind::list && type.items.size() == 1);
        } else if (container) {
            fits = fits && type.kind == Type::Kind::dictionary && type.items.size() == 2;
        } else if (!literal.is_blob()) {
            const bool strings = std::holds_alternative<Literal::Strings>(literal.payload);
            fits = fits && strings == (type.dtype == DType::string) &&
                   (!type.shape.is_static() ||
                    type.shape.elements() == static_cast<std::int64_t>(count(literal)));
        }
        if (!fits) {
            fail(Code::malformed_program, "mil.text", "a literal of type {} holds something else",
                 type.text());
        }
    }

    static std::size_t count(const Literal& literal) {
        if (const auto* strings = std::get_if<Literal::Strings>(&literal.payload)) {
            return strings->size();
        }
        return std::get<Literal::Bytes>(literal.payload).size() /
               std::max<std::size_t>(size_in_memory(literal.type.dtype), 1);
    }

    void element(const Literal& literal, std::size_t index) {
        if (const auto* strings = std::get_if<Literal::Strings>(&literal.payload)) {
            return print_string(out_, (*strings)[index]);
        }
        const auto& bytes = std::get<Literal::Bytes>(literal.payload);
        const DType dtype = literal.type.dtype;
        print_number(out_, dtype, bytes.data() + index * size_in_memory(dtype));
    }

    void elements(const Literal& literal) {
        const std::size_t total = count(literal);
        std::size_t next = 0;
        if (literal.type.is_scalar()) {
            element(literal, 0);
        } else if (total == 0 || !literal.type.shape.is_static()) {  // no sizes to nest by
            out_ += '[';
            for (; next < total; ++next) {
                if (next > 0) {
                    out_ += ", ";
                }
                element(literal, next);
            }
            out_ += ']';
        } else {
            nested(literal, 0, next);
        }
    }

    void nested(const Literal& literal, int axis, std::size_t& next) {
        const Shape& shape = literal.type.shape;
        if (axis == shape.rank()) {
            return element(literal, next++);
        }
        out_ += '[';
        for (std::int64_t i = 0; i < shape[axis]; ++i) {
            if (i > 0) {
                out_ += ", ";
            }
            nested(literal, axis + 1, next);
        }
        out_ += ']';
    }

    void attributes(const std::vector<Attribute>& list) {
        out_ += '[';
        for (std::size_t i = 0; i < list.size(); ++i) {
            out_ += (i > 0 ? ", " : "") + list[i].name + " = ";
            literal(list[i].value);
        }
        out_ += ']';
    }

    void named(const NamedType& value) {
        type(value.type);
        out_ += ' ' + value.name;
    }

    void function(const Function& function) {
        out_ += fmt::format("    func {}<{}>(", function.name, function.opset);
        for (std::size_t i = 0; i < function.parameters.size(); ++i) {
            if (i > 0) {
                out_ += ", ";
            }
            named(function.parameters[i]);
        }
        out_ += ") ";
        if (!function.attributes.empty()) {
            attributes(function.attributes);
            out_ += ' ';
        }
        out_ += "{\n";
        for (const auto& operation : function.operations) {
            this->operation(operation);
        }
        out_ += fmt::format("    }} -> ({});\n", fmt::join(function.outputs, ", "));
    }

    void operation(const Operation& operation) {
        out_ += "        ";
        for (std::size_t i = 0; i < operation.results.size(); ++i) {
            if (i > 0) {
                out_ += ", ";
            }
            named(operation.results[i]);
        }
        out_ += " = " + operation.op + '(';
        for (std::size_t i = 0; i < operation.arguments.size(); ++i) {
            const Argument& argument = operation.arguments[i];
            out_ += (i > 0 ? ", " : "") + argument.name + " = ";
            if (argument.is_tuple) {
                out_ += '(';
            }
            for (std::size_t k = 0; k < argument.operands.size(); ++k) {
                if (k > 0) {
                    out_ += ", ";
                }
                if (const auto* value = std::get_if<std::string>(&argument.operands[k])) {
                    out_ += *value;
                } else {
                    literal(std::get<Literal>(argument.operands[k]));
                }
            }
            if (argument.is_tuple) {
                out_ += ')';
            }
        }
        out_ += ')';
        if (!operation.attributes.empty()) {
            attributes(operation.attributes);
        }
        out_ += ";\n";
    }

    Dialect dialect_;
    std::string out_;
};

}  // namespace

std::string write(const Program& program) {
    return Writer(program.dialect).program(program, program.version);
}

std::string write(const Program& program, Dialect dialect) {
    if (dialect == program.dialect) {
        return write(program);
    }
    return Writer(dialect).program(program, dialect == Dialect::terse ? "1.3" : "1.0");
}

}  // namespace pome::mil
