#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mil/program.h"

namespace pome::device::emulator {

/// What kind of work an operation is for the engine: each kind has its own rate.
enum class Work : std::uint8_t {
    pointwise,    ///< conv with a 1x1 kernel, linear, matmul with one constant operand
    convolution,  ///< conv with a larger kernel
    matmul,       ///< both operands computed or bound: attention, weights as inputs
    elementwise,  ///< a pass over live tensors: add of two values, softmax, pooling
    reduction,    ///< a pass that reads more than it writes
    movement,     ///< slice, concat, transpose: bytes only
    free,         ///< const, reshape: nothing happens when the program runs
};

std::string_view name(Work work);

/// The price of one operation in units that no chip enters into.
struct OperationCost {
    std::string op;
    std::string result;  ///< name of its (first) result
    int line = 0;
    Work work = Work::free;
    bool fused = false;          ///< rides in the slots after another operation: no pass of its own
    bool int8 = false;           ///< both operands are int8 (W8A8)
    double flops = 0.0;          ///< of products, multiply and add counted apart
    double weight_bytes = 0.0;   ///< constant operand, as stored; 0 where the same data came before
    double read_bytes = 0.0;     ///< live operands
    double written_bytes = 0.0;  ///< results
    std::int64_t positions = 0;  ///< of products: results that share one weight
    std::int64_t inner = 0;      ///< of products: terms of a sum
    std::int64_t outputs = 0;    ///< of products: output channels
    std::int64_t kernel_width = 1;
    std::int64_t kernel_height = 1;
    bool stride_one = true;
};

/// The price of a function, evaluated once.
struct ProgramCost {
    std::vector<OperationCost> operations;
    double input_bytes = 0.0;   ///< through the surfaces of the inputs
    double output_bytes = 0.0;  ///< through those of the outputs
    double flops() const;
    double weight_bytes() const;
};

/// Counts a function's work: products (conv, conv_transpose, matmul, linear, einsum-free forms,
/// scaled_dot_product_attention), passes over live tensors, and bytes. Operations that the engine's
/// compiler folds into the one before (ane-guide ch. 22: activation, gain and offset with a
/// constant operand) are marked `fused`; equal weights (one place in a weight file) count once, as
/// the compiler stores them under a hash of their data. Throws Error{malformed_program} where
/// shapes are not static or an op is unknown.
ProgramCost program_cost(const mil::Function& function);

}  // namespace pome::device::emulator
