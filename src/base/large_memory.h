#pragma once

#include <cstddef>
#include <vector>

namespace pome {

/// Bytes of a huge page, which large blocks are aligned to.
inline constexpr std::size_t huge_page = std::size_t{2} << 20;

/// Memory for arrays that are read from one end to the other: weights, moments, surfaces, values of
/// programs. A block of two huge pages and more is aligned to one and, on Linux, lies in huge pages
/// where the system grants them (transparent huge pages "always" or "madvise"); smaller ones are
/// aligned to 128 bytes. POME_HUGE_PAGES=off asks for none. Contents are undefined. Throws
/// std::bad_alloc, and Error{invalid_argument} where POME_HUGE_PAGES is neither on nor off.
std::byte* allocate_large(std::size_t bytes);
/// Gives back what allocate_large(bytes) returned.
void free_large(void* memory, std::size_t bytes);

/// Memory of allocate_large() for the standard containers.
template <typename T>
struct LargeAllocator {
    using value_type = T;

    LargeAllocator() = default;
    template <typename Other>
    LargeAllocator(const LargeAllocator<Other>& /*other*/) {}

    T* allocate(std::size_t count) {
        return reinterpret_cast<T*>(allocate_large(count * sizeof(T)));
    }
    void deallocate(T* memory, std::size_t count) { free_large(memory, count * sizeof(T)); }
    template <typename Other>
    bool operator==(const LargeAllocator<Other>& /*other*/) const {
        return true;
    }
};

template <typename T>
using LargeVector = std::vector<T, LargeAllocator<T>>;

}  // namespace pome
