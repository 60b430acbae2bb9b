// scaled_dot_product_attention in its parts: softmax(query key^T / sqrt(E) + mask) value.
#include <algorithm>
#include <cmath>

#include "device/legalize/rules.h"

namespace pome::device::legalizing {
namespace {

constexpr std::string_view ops[] = {"scaled_dot_product_attention"};
/// What a masked score gains. -65504 would overflow with a negative score, and a row without any
/// allowed key would be indeterminate.
constexpr double masked = -30000.0;

/// Why the native op cannot be used; empty when it can.
std::string obstacle(const Site& site) {
    const Profile& profile = site.work.profile;
    const Shape &q = site.in.type("query").shape, &k = site.in.type("key").shape;
    const std::int64_t queries = q[-2], keys = k[-2];
    const Limits& limits = profile.limits;
    if (site.in.has("attn_mask") && !profile.capabilities.attention_mask) {
        return "the route ignores attn_mask";
    }
    if (!profile.capabilities.terse_dialect) {
        return "the op needs opset ios18, which the canonical dialect does not have";
    }
    if (limits.sdpa_sequence > 0 && std::max(queries, keys) > limits.sdpa_sequence) {
        return fmt::format("{} positions are more than the {} that the op computes rightly",
                           std::max(queries, keys), limits.sdpa_sequence);
    }
    if (limits.sdpa_both > 0 && std::min(queries, keys) > limits.sdpa_both) {
        return fmt::format(
            "{} queries and {} keys: the op is right only when one of them is {} or "
            "fewer",
            queries, keys, limits.sdpa_both);
    }
    return {};
}

mil::Value additive(const Site& site, const mil::Value& mask, DType dtype) {
    mil::Builder& b = site.ops();
    if (mask.type.dtype != DType::boolean) {
        return mask.type.dtype == dtype ? mask : b.cast(mask, dtype);
    }
    const mil::Literal* constant = site.in.constant("attn_mask");
    if (constant == nullptr) {
        return b.call(
            "select",
            {{"a", b.number(dtype, 0.0)}, {"b", b.number(dtype, masked)}, {"cond", mask}});
    }
    const mil::Literal plain{constant->type, site.work.weights.resolve(*constant)};
    std::vector<double> values = plain.numbers();
    std::transform(values.begin(), values.end(), values.begin(),
                   [](double keep) { return keep != 0.0 ? 0.0 : masked; });
    return site.emission.constant_like(*constant,
                                       mil::Literal::tensor(dtype, constant->type.shape, values),
                                       site.operation.results.front().name + "_mask");
}

bool apply(const Site& site) {
    const std::string reason = obstacle(site);
    if (reason.empty()) {
        return false;
    }
    const mil::Type& q_type = site.in.type("query");
    if (q_type.shape.rank() > 4) {
        return site.refuse(
            "attention of rank 5: its products would be batched matmuls of rank 5, "
            "which do not run; merge axes with reshape");
    }
    if (const auto* mask = site.in.has("attn_mask") ? site.in.constant("attn_mask") : nullptr;
        mask != nullptr && mask->type.dtype == DType::boolean &&
        !is_readable(*mask, site.work.weights)) {
        return site.refuse("the mask's weight file was not given");
    }
    mil::Builder& b = site.ops();
    const mil::Value query = *site.emission.operand(site.operation, "query");
    const mil::Value key = *site.emission.operand(site.operation, "key");
    const mil::Value value = *site.emission.operand(site.operation, "value");
    // The queries are scaled, not the scores: a score of 32768 would be infinite.
    const double scale = 1.0 / std::sqrt(static_cast<double>(q_type.shape[-1]));
    mil::Value scores = b.matmul(b.scale(query, scale), key, false, true);
    if (const auto mask = site.emission.operand(site.operation, "attn_mask")) {
        scores = b.add(scores, additive(site, *mask, q_type.dtype));
    }
    const mil::Value result = b.matmul(b.softmax(scores, -1), value);
    return site.replace(fmt::format("taken apart into matmul, softmax and matmul: {}", reason),
                        {result});
}

}  // namespace

Rule attention_rule() {
    return {{"attention",
             "capabilities.attention_mask or terse_dialect is false, or the positions exceed "
             "limits.sdpa_sequence or sdpa_both",
             "scaled_dot_product_attention becomes matmul, mask, softmax, matmul",
             Equality::mathematics},
            [](const Profile&) { return true; },
            ops,
            apply};
}

}  // namespace pome::device::legalizing
