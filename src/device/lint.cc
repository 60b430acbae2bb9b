#include "device/lint.h"

#include <fmt/format.h>

#include <algorithm>

namespace pome::device {
namespace {

class Linter {
  public:
    explicit Linter(const Profile& profile) : profile_(profile) {}

    void value(const mil::NamedType& value, int line) {
        const mil::Type& type = value.type;
        if (!type.is_tensor() || type.dtype == DType::string) {
            return;
        }
        if (!type.shape.is_static()) {
            add(line, value.name, fmt::format("{} has unknown sizes", type.text()),
                "export the program with static shapes");
            return;
        }
        if (profile_.limits.max_rank > 0 && type.shape.rank() > profile_.limits.max_rank) {
            add(line, value.name,
                fmt::format("tensor rank {} exceeds the ANE maximum of {}", type.shape.rank(),
                            profile_.limits.max_rank),
                "merge axes with reshape");
        }
        for (const std::int64_t size : type.shape) {
            if (size == 0) {
                add(line, value.name, fmt::format("{} is empty", type.text()), "remove the value");
            }
            if (profile_.limits.max_width > 0 && size > profile_.limits.max_width) {
                add(line, value.name,
                    fmt::format("axis of size {} exceeds ANE family {}'s max dimension {}", size,
                                profile_.family, profile_.limits.max_width),
                    "split the axis");
            }
        }
    }

    void boundary(const mil::NamedType& value, int line, std::string_view kind) {
        if (profile_.limits.io.empty()) {
            return;
        }
        if (std::find(profile_.limits.io.begin(), profile_.limits.io.end(), value.type.dtype) ==
            profile_.limits.io.end()) {
            add(line, value.name,
                fmt::format("{} of type {} cannot cross the program's boundary", kind,
                            value.type.text()),
                "cast it to fp16 outside the program");
        }
    }

    std::vector<Finding> take() { return std::move(findings_); }

  private:
    void add(int line, const std::string& value, std::string rule, std::string remedy) {
        findings_.push_back({line, value, std::move(rule), std::move(remedy)});
    }

    const Profile& profile_;
    std::vector<Finding> findings_;
};

}  // namespace

std::string Finding::text() const {
    const std::string place = line > 0 ? fmt::format("line {}, %{}", line, value) : "%" + value;
    return fmt::format("{} ({}); {}", rule, place, remedy);
}

std::vector<Finding> lint(const mil::Function& function, const Profile& profile) {
    Linter linter(profile);
    for (const auto& parameter : function.parameters) {
        linter.value(parameter, function.position.line);
        linter.boundary(parameter, function.position.line, "input");
    }
    for (const auto& operation : function.operations) {
        if (operation.op == "const") {
            continue;
        }
        for (const auto& result : operation.results) {
            linter.value(result, operation.position.line);
        }
    }
    for (const auto& output : function.outputs) {
        if (const mil::Type* type = function.find_type(output)) {
            linter.boundary({output, *type}, function.position.line, "output");
        }
    }
    return linter.take();
}

}  // namespace pome::device
