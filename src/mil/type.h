#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/shape.h"

namespace pome::mil {

/// A MIL type. Most values are tensors; a scalar ("fp16" in the terse dialect, "tensor<fp16, []>"
/// in the canonical one) is a tensor of rank 0 in both.
struct Type {
    enum class Kind : std::uint8_t { tensor, list, tuple, dictionary, state };

    Kind kind = Kind::tensor;
    DType dtype = DType::fp16;  ///< of a tensor
    Shape shape;                ///< of a tensor
    std::vector<Type>
        items;  ///< list: {element}; tuple: its items; dictionary: {key, value}; state: {tensor}
    std::int64_t length = 0;  ///< of a list; Shape::unknown for '?'

    static Type tensor(DType dtype, Shape shape) {
        return {Kind::tensor, dtype, std::move(shape), {}, 0};
    }
    static Type scalar(DType dtype) { return tensor(dtype, {}); }

    bool is_tensor() const { return kind == Kind::tensor; }
    bool is_scalar() const { return is_tensor() && shape.rank() == 0; }
    /// Of a tensor of static shape in memory; 0 for everything else.
    std::int64_t bytes() const {
        return is_tensor() && shape.is_static()
                   ? shape.elements() * static_cast<std::int64_t>(size_in_memory(dtype))
                   : 0;
    }
    /// For messages: "fp16 [1,64,1,256]", "int32", "dictionary".
    std::string text() const;

    friend bool operator==(const Type&, const Type&) = default;
};

}  // namespace pome::mil
