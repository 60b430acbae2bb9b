#include "mil/ops/equation.h"

#include <algorithm>
#include <map>

namespace pome::mil::ops {
namespace {

bool in_labels(const std::string& labels, char label) {
    return labels.find(label) != std::string::npos;
}

std::string labels_of(const Arguments& in, const std::string& text) {
    std::string labels;
    for (const char c : text) {
        if (c == ' ') {
            continue;
        }
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) {
            in.fail("equation '{}': labels are letters", in.text("equation"));
        }
        if (in_labels(labels, c)) {
            in.fail("equation '{}': '{}' stands twice in one operand", in.text("equation"), c);
        }
        labels += c;
    }
    return labels;
}

}  // namespace

Equation equation_of(const Arguments& in) {
    const std::string& text = in.text("equation");
    const auto types = in.types("values");
    const auto comma = text.find(','), arrow = text.find("->");
    if (types.size() != 2 || comma == std::string::npos || arrow == std::string::npos ||
        comma > arrow) {
        in.fail("equation '{}' of {} values: two values and 'x,y->z' are expected", text,
                types.size());
    }
    Equation e;
    e.x = labels_of(in, text.substr(0, comma));
    e.y = labels_of(in, text.substr(comma + 1, arrow - comma - 1));
    e.result = labels_of(in, text.substr(arrow + 2));
    std::map<char, std::int64_t> sizes;
    const auto measure = [&](const std::string& labels, const Shape& shape) {
        if (static_cast<int>(labels.size()) != shape.rank()) {
            in.fail("equation '{}': {} labels for {}", text, labels.size(), shape.text());
        }
        for (std::size_t i = 0; i < labels.size(); ++i) {
            const auto size = shape[static_cast<int>(i)];
            if (sizes.try_emplace(labels[i], size).first->second != size) {
                in.fail("equation '{}': '{}' has the sizes {} and {}", text, labels[i],
                        sizes[labels[i]], size);
            }
        }
    };
    measure(e.x, types[0].shape);
    measure(e.y, types[1].shape);
    for (const char label : e.x) {
        const bool y = in_labels(e.y, label), result = in_labels(e.result, label);
        if (!y && !result) {
            in.fail("equation '{}': '{}' is in x alone; sum it first", text, label);
        }
        (y && result ? e.batch : y ? e.inner : e.rows) += label;
    }
    for (const char label : e.y) {
        const bool x = in_labels(e.x, label), result = in_labels(e.result, label);
        if (!x && !result) {
            in.fail("equation '{}': '{}' is in y alone; sum it first", text, label);
        }
        if (!x) {
            e.columns += label;
        }
    }
    for (const char label : e.result) {
        if (!sizes.contains(label)) {
            in.fail("equation '{}': '{}' is in the result alone", text, label);
        }
    }
    return e;
}

}  // namespace pome::mil::ops
