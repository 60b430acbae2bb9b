#include "device/apple/objc_types.h"

namespace pome::device::apple {
namespace {

/// The types alone: "B36@0:8I16@20^@28" as "B@:I@^@".
std::string types_of(std::string_view encoding) {
    std::string types;
    for (std::size_t i = 0; i < encoding.size(); ++i) {
        const char c = encoding[i];
        if (c == '{') {  // {name=fields}
            const std::size_t name_end = encoding.find_first_of("=}", i);
            int depth = 0;
            std::size_t end = i;
            for (; end < encoding.size(); ++end) {
                depth += encoding[end] == '{' ? 1 : encoding[end] == '}' ? -1 : 0;
                if (depth == 0) {
                    break;
                }
            }
            types += std::string(encoding.substr(i, name_end - i)) + "}";
            i = end;
        } else if (c == '"') {  // @"NSString"
            const std::size_t end = encoding.find('"', i + 1);
            i = end == std::string_view::npos ? encoding.size() : end;
        } else if (std::string_view("0123456789+-rnNoORV").find(c) == std::string_view::npos) {
            types += c == 'c' || c == 'C' ? 'B' : c;
        }
    }
    return types;
}

}  // namespace

bool same_encoding(std::string_view a, std::string_view b) {
    return types_of(a) == types_of(b);
}

}  // namespace pome::device::apple
