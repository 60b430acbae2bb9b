#include "device/apple/foundation.h"

namespace pome::device::apple {

Id make_string(const Runtime& runtime, std::string_view text) {
    return runtime.send_class(api::string_of, std::string(text).c_str());
}

Id make_number(const Runtime& runtime, std::uint64_t value) {
    return runtime.send_class(api::number_of, value);
}

Id make_data(const Runtime& runtime, std::span<const std::byte> bytes) {
    return runtime.send_class(api::data_of, bytes.data(), bytes.size());
}

Id make_array(const Runtime& runtime, const std::vector<Id>& objects) {
    return runtime.send_class(api::array_of, objects.data(), objects.size());
}

Id make_indices(const Runtime& runtime, std::size_t count) {
    std::vector<Id> numbers;
    for (std::size_t i = 0; i < count; ++i) {
        numbers.push_back(make_number(runtime, i));
    }
    return make_array(runtime, numbers);
}

Id make_dictionary(const Runtime& runtime, const std::vector<std::pair<Id, Id>>& entries) {
    std::vector<Id> keys, values;
    for (const auto& [key, value] : entries) {
        keys.push_back(key);
        values.push_back(value);
    }
    return runtime.send_class(api::dictionary_of, values.data(), keys.data(), keys.size());
}

std::string text_of(const Runtime& runtime, Id string) {
    if (string == nullptr) {
        return "";
    }
    const char* bytes = runtime.send(api::string_bytes, string);
    return bytes == nullptr ? "" : bytes;
}

std::string SystemError::line() const {
    return domain.empty() ? "no error was given"
                          : fmt::format("{} Code={}: \"{}\"", domain, code, text);
}

SystemError error_of(const Runtime& runtime, Id error) {
    if (error == nullptr) {
        return {};
    }
    return {text_of(runtime, runtime.send(api::error_domain, error)),
            text_of(runtime, runtime.send(api::error_text, error)),
            runtime.send(api::error_code, error)};
}

std::string temporary_directory(const Runtime& runtime) {
    return text_of(runtime, runtime.call(c_api::NSTemporaryDirectory));
}

}  // namespace pome::device::apple
