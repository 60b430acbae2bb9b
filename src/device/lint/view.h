#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mil/program.h"

namespace pome::device::linting {

/// A function as rules look at it: types, producers and constants by name. Nothing here throws:
/// what is missing or of another kind is absent.
class FunctionView {
  public:
    explicit FunctionView(const mil::Function& function);

    const mil::Function& function() const { return function_; }
    const mil::Type* type(std::string_view value) const;
    /// nullptr for parameters and unknown names.
    const mil::Operation* producer(std::string_view value) const;
    const std::vector<const mil::Operation*>& users(std::string_view value) const;

    // Of an argument that has one operand; attribute-only ops keep theirs in attributes.
    const mil::Type* type(const mil::Operation& operation, std::string_view argument) const;
    const mil::Operation* producer(const mil::Operation& operation,
                                   std::string_view argument) const;
    const mil::Literal* constant(const mil::Operation& operation, std::string_view argument) const;
    std::optional<std::vector<double>> numbers(const mil::Operation& operation,
                                               std::string_view argument) const;
    std::optional<double> number(const mil::Operation& operation, std::string_view argument) const;
    std::optional<std::string> text(const mil::Operation& operation,
                                    std::string_view argument) const;
    bool flag(const mil::Operation& operation, std::string_view argument) const;
    /// Whether the value is computed or given while the program runs: no const and no constexpr.
    bool is_runtime(const mil::Operation& operation, std::string_view argument) const;

    /// The operation that made an argument, seen through reshapes, casts and other views.
    const mil::Operation* origin(const mil::Operation& operation, std::string_view argument) const;

  private:
    const mil::Operand* operand(const mil::Operation& operation, std::string_view argument) const;

    const mil::Function& function_;
    std::map<std::string_view, const mil::Type*> types_;
    std::map<std::string_view, const mil::Operation*> producers_;
    std::map<std::string_view, std::vector<const mil::Operation*>> users_;
};

}  // namespace pome::device::linting
