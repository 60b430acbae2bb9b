#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace pome {

/// The sizes of a tensor's axes, outermost first. Rank 0 is a scalar. A size of `unknown` ('?' in
/// MIL text) is allowed only in types that were read; everything that computes wants static shapes.
class Shape {
  public:
    static constexpr std::int64_t unknown = -1;

    Shape() = default;
    Shape(std::initializer_list<std::int64_t> sizes) : sizes_(sizes) {}
    explicit Shape(std::vector<std::int64_t> sizes) : sizes_(std::move(sizes)) {}

    int rank() const { return static_cast<int>(sizes_.size()); }
    /// Size of an axis; negative axes count from the end. The caller guarantees -rank <= axis <
    /// rank.
    std::int64_t operator[](int axis) const { return sizes_[index(axis)]; }
    std::int64_t& operator[](int axis) { return sizes_[index(axis)]; }
    const std::vector<std::int64_t>& sizes() const { return sizes_; }
    auto begin() const { return sizes_.begin(); }
    auto end() const { return sizes_.end(); }

    bool is_static() const;
    /// Product of the sizes, 1 for a scalar. Throws Error{invalid_argument} if a size is unknown or
    /// negative, or if the product exceeds 2^62.
    std::int64_t elements() const;
    /// Row-major strides in elements.
    std::vector<std::int64_t> strides() const;
    /// "[1,64,1,256]", "[]" for a scalar, '?' for unknown sizes.
    std::string text() const;

    friend bool operator==(const Shape&, const Shape&) = default;

  private:
    std::size_t index(int axis) const {
        return static_cast<std::size_t>(axis < 0 ? axis + static_cast<int>(sizes_.size()) : axis);
    }
    std::vector<std::int64_t> sizes_;
};

/// The shape that two operands broadcast to by NumPy's rules (sizes equal or 1, aligned at the
/// end). Returns false when they do not broadcast.
bool broadcast(const Shape& a, const Shape& b, Shape& result);

}  // namespace pome
