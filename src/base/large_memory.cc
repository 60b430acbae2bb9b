#include "base/large_memory.h"

#include <new>

#include "base/environment.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace pome {
namespace {

constexpr std::size_t line = 128;

std::size_t alignment_of(std::size_t bytes) {
    return bytes >= 2 * huge_page ? huge_page : line;
}

bool huge_pages() {
    static const bool wanted = environment_switch("POME_HUGE_PAGES", "base.large_memory");
    return wanted;
}

}  // namespace

std::byte* allocate_large(std::size_t bytes) {
    const std::size_t alignment = alignment_of(bytes);
    [[maybe_unused]] const bool huge =
        alignment == huge_page && huge_pages();  // may throw: before there is memory
    // (Sanitizers end the program where new would throw.)
    void* memory = ::operator new[](bytes, std::align_val_t{alignment}, std::nothrow);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
#if defined(__linux__)
    if (huge) {
        // Whole pages of the block alone; a system without huge pages refuses, and nothing is lost.
        static_cast<void>(::madvise(memory, bytes / huge_page * huge_page, MADV_HUGEPAGE));
    }
#endif
    return static_cast<std::byte*>(memory);
}

void free_large(void* memory, std::size_t bytes) {
    ::operator delete[](memory, std::align_val_t{alignment_of(bytes)});
}

}  // namespace pome
