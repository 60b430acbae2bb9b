#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "mil/weights.h"
#include "reference/tensor.h"

namespace pome::mil {

using Tensors = std::map<std::string, reference::Tensor, std::less<>>;

/// Runs a function of a program by the reference meaning of its ops, in double precision and
/// without any intermediate rounding (casts to fp16 included: dtypes name storage, not arithmetic;
/// casts to integers truncate). Constants are read once; tensors live as long as they are needed.
class Interpreter {
  public:
    /// Throws Error{malformed_program} for programs that do not verify, Error{unsupported} naming
    /// an op that has no meaning here or a value whose sizes are unknown or too large,
    /// Error{invalid_argument} for an unknown function.
    explicit Interpreter(Package package, std::string_view function = "main");
    ~Interpreter();
    Interpreter(Interpreter&&) noexcept;

    /// `inputs` holds a tensor for every parameter; others are ignored. Returns the function's
    /// outputs by name. THREADS: runs of one Interpreter may overlap. Throws Error{binding_missing,
    /// surface_mismatch} for inputs, Error{evaluation_failed} for data that an op cannot take (an
    /// index outside its axis).
    Tensors run(Tensors inputs) const;

  private:
    struct Prepared;
    std::unique_ptr<Prepared> prepared_;
};

/// Interpreter(package, function).run(inputs).
Tensors interpret(const Package& package, const Tensors& inputs,
                  std::string_view function = "main");

}  // namespace pome::mil
