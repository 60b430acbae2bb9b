#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "device/apple/objc_runtime.h"

namespace pome::device::apple {

// Foundation objects of plain values. All are autoreleased: they live as long as the pool around
// them, unless a Reference keeps them. None uses a variadic method: Apple's arm64 passes those
// arguments elsewhere.
Id make_string(const Runtime& runtime, std::string_view text);
Id make_number(const Runtime& runtime, std::uint64_t value);
Id make_data(const Runtime& runtime, std::span<const std::byte> bytes);
Id make_array(const Runtime& runtime, const std::vector<Id>& objects);
/// NSNumbers 0 .. count - 1.
Id make_indices(const Runtime& runtime, std::size_t count);
Id make_dictionary(const Runtime& runtime, const std::vector<std::pair<Id, Id>>& entries);

/// The text of an NSString; "" for nil.
std::string text_of(const Runtime& runtime, Id string);

/// What an NSError says, copied.
struct SystemError {
    std::string domain, text;
    std::int64_t code = 0;
    /// `domain Code=8: "text"`; "no error was given" without a domain.
    std::string line() const;
};
SystemError error_of(const Runtime& runtime, Id error);

/// Where the framework looks for a program's files.
std::string temporary_directory(const Runtime& runtime);

}  // namespace pome::device::apple
