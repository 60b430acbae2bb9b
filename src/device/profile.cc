#include "device/profile.h"

#include <fmt/ranges.h>

#include <map>
#include <memory>
#include <mutex>

#include "base/error.h"
#include "device/builtin_profiles.h"
#include "device/profile_facts.h"

namespace pome::device {
namespace {

constexpr std::string_view here = "device.profile";
constexpr int deepest_inheritance = 4;
constexpr std::int64_t many = std::int64_t{1} << 40;

/// The top-level texts of a chip's file, its own before inherited ones.
using Plain = std::map<std::string, std::string>;

Plain add_file(Facts& facts, std::string_view name, ProfileFiles files, int depth) {
    const auto text = files(name);
    if (!text) {
        fail(Code::malformed_file, here, "profile '{}' is inherited but not there", name);
    }
    const std::string file = fmt::format("profiles/{}.toml", name);
    if (depth > deepest_inheritance) {
        fail(Code::malformed_file, here, "{}: more than {} profiles inherit each other", file,
             deepest_inheritance);
    }
    Facts own;  // only to learn what it inherits, which comes first
    Plain plain = own.add(*text, file);
    if (const auto base = plain.find("inherit"); base != plain.end()) {
        const Plain inherited = add_file(facts, base->second, files, depth + 1);
        if (const auto weaker = plain.find("inherited_evidence"); weaker != plain.end()) {
            if (weaker->second != "assumed" && weaker->second != "derived") {
                fail(Code::malformed_file, here,
                     "{}: inherited_evidence is '{}', not assumed or derived", file,
                     weaker->second);
            }
            facts.weaken(weaker->second);
        }
        for (const auto& [key, value] : inherited) {
            if (key != "inherit" && key != "inherited_evidence") {
                plain.try_emplace(key, value);
            }
        }
    }
    for (const auto& [key, value] : plain) {
        if (key != "inherit" && key != "inherited_evidence" && key != "route") {
            fail(Code::malformed_file, here, "{}: '{}' must be a table {{value, evidence, source}}",
                 file, key);
        }
    }
    facts.add(*text, file);
    return plain;
}

Numerics read_numerics(Facts& facts) {
    const auto small = [&](const std::string& key, std::int64_t least, std::int64_t most) {
        return static_cast<int>(facts.integer(key, least, most));
    };
    Numerics n;
    auto& mac = n.multiply_accumulate;
    const std::string m = "numerics.multiply_accumulate.";
    mac.fixed_point = facts.flag(m + "fixed_point");
    mac.fraction_bits = small(m + "fraction_bits", 8, 24);
    mac.product = facts.rounding(m + "product");
    mac.drop = facts.flag(m + "drop");
    mac.drop_exponent = small(m + "drop_exponent", -48, 0);
    mac.limit_exponent = small(m + "limit_exponent", 0, 30);
    mac.sticky = facts.flag(m + "sticky");
    mac.output = facts.rounding(m + "output");
    n.convolution.winograd_width = facts.flag("numerics.convolution.winograd_width");
    n.convolution.single_channel_bypass = facts.flag("numerics.convolution.single_channel_bypass");
    n.slice.width_gain = facts.flag("numerics.slice.width_gain");
    n.elementwise.output = facts.rounding("numerics.elementwise.output");
    n.elementwise.coerce_nan = facts.flag("numerics.elementwise.coerce_nan");
    n.tables.enabled = facts.flag("numerics.tables.enabled");
    n.reduction.narrow = facts.flag("numerics.reduction.narrow");
    n.reduction.tile = small("numerics.reduction.tile", 1, 64);
    n.reduction.tile_fraction_bits = small("numerics.reduction.tile_fraction_bits", 1, 40);
    n.reduction.output = facts.rounding("numerics.reduction.output");
    n.softmax.narrow = facts.flag("numerics.softmax.narrow");
    return n;
}

Limits read_limits(Facts& facts) {
    const auto size = [&](const char* key) {
        return facts.integer(std::string("limits.") + key, 0, many);
    };
    Limits l;
    l.max_rank = size("max_rank");
    l.max_width = size("max_width");
    l.max_channels = size("max_channels");
    l.max_batch = size("max_batch");
    l.max_inner = size("max_inner");
    l.max_transpose = size("max_transpose");
    l.conv_kernel_width = size("conv_kernel_width");
    l.conv_kernel_height = size("conv_kernel_height");
    l.pool_window = size("pool_window");
    l.argmax_axis = size("argmax_axis");
    l.io = facts.dtypes("limits.io");
    l.compile_budget = size("compile_budget");
    l.loaded_programs = size("loaded_programs");
    l.weight_bytes = size("weight_bytes");
    l.family_number = size("family_number");
    l.conv_input_channels = size("conv_input_channels");
    l.transpose_elements = size("transpose_elements");
    l.strided_transpose_kernel = size("strided_transpose_kernel");
    l.matmul_inner_multiple = size("matmul_inner_multiple");
    l.max_pool_window = size("max_pool_window");
    l.sdpa_sequence = size("sdpa_sequence");
    l.sdpa_both = size("sdpa_both");
    l.lrn_channels = size("lrn_channels");
    l.layer_norm_one = size("layer_norm_one");
    l.layer_norm_one_passes = facts.integers("limits.layer_norm_one_passes");
    l.layer_norm_both = size("layer_norm_both");
    l.unsafe_width_first = size("unsafe_width_first");
    l.unsafe_width_last = size("unsafe_width_last");
    return l;
}

SurfaceRules read_surfaces(Facts& facts) {
    SurfaceRules s;
    s.row_bytes = facts.integer("surfaces.row_bytes", 0, 65536);
    s.minimum_bytes = facts.integer("surfaces.minimum_bytes", 0, many);
    s.equal_sizes = facts.flag("surfaces.equal_sizes");
    s.alphabetical = facts.flag("surfaces.alphabetical");
    return s;
}

Capabilities read_capabilities(Facts& facts) {
    const auto can = [&](const char* key) {
        return facts.flag(std::string("capabilities.") + key);
    };
    Capabilities c;
    c.terse_dialect = can("terse_dialect");
    c.fp32_cast = can("fp32_cast");
    c.texture = can("texture");
    c.trigonometry = can("trigonometry");
    c.random = can("random");
    c.reflect_padding = can("reflect_padding");
    c.topk = can("topk");
    c.global_arg = can("global_arg");
    c.int8_stream = can("int8_stream");
    c.blockwise_stream = can("blockwise_stream");
    c.attention_mask = can("attention_mask");
    c.conv_bias = can("conv_bias");
    c.gelu = can("gelu");
    c.reduce_mean = can("reduce_mean");
    c.runtime_weights = can("runtime_weights");
    c.norms = can("norms");
    c.inverse = can("inverse");
    c.softmax_any_size = can("softmax_any_size");
    c.rsqrt_after_reduction = can("rsqrt_after_reduction");
    c.square_activation = can("square_activation");
    c.int8_zero_point = can("int8_zero_point");
    return c;
}

Failures read_failures(Facts& facts) {
    const auto reaction = [&](const char* key) {
        return facts.reaction(std::string("failures.") + key);
    };
    Failures f;
    f.short_row = reaction("short_row");
    f.unaligned_row = reaction("unaligned_row");
    f.unequal_sizes = reaction("unequal_sizes");
    f.order = reaction("order");
    f.tile = reaction("tile");
    f.runtime_conv_weight = reaction("runtime_conv_weight");
    f.grouped_runtime_conv = reaction("grouped_runtime_conv");
    f.attention_mask = reaction("attention_mask");
    f.inner_multiple = reaction("inner_multiple");
    f.channel_broadcast = reaction("channel_broadcast");
    f.batch_broadcast = reaction("batch_broadcast");
    f.rounding_scale = reaction("rounding_scale");
    f.width_slices = reaction("width_slices");
    f.last_axis_gather = reaction("last_axis_gather");
    f.budget_reclaimed = facts.flag("failures.budget_reclaimed");
    return f;
}

mil::BlobRules read_blobs(Facts& facts) {
    mil::BlobRules b;
    b.size = facts.flag("blobs.size");
    b.dtype = facts.flag("blobs.dtype");
    b.record = facts.flag("blobs.record");
    b.data_offset = facts.flag("blobs.data_offset");
    b.zero_is_file_start = facts.flag("blobs.zero_is_file_start");
    return b;
}

FrontEnd read_front_end(Facts& facts) {
    const std::string name = facts.text("front_end");
    if (name != "book" && name != "sweep") {
        fail(Code::malformed_file, here, "front_end is '{}', not book or sweep", name);
    }
    return name == "book" ? FrontEnd::book : FrontEnd::sweep;
}

std::optional<std::string_view> builtin_file(std::string_view name) {
    for (const ProfileText& text : builtin_profile_texts()) {
        // profiles/ops.toml is the catalogue of ops (device/op_support.h), no chip.
        if (text.name == name && name != "ops") {
            return text.toml;
        }
    }
    return std::nullopt;
}

/// Names of the built-in files in a folder ("" for the chips), without it.
std::vector<std::string> names_in(std::string_view folder) {
    std::vector<std::string> names;
    for (const ProfileText& text : builtin_profile_texts()) {
        const auto slash = text.name.find('/');
        const auto where = slash == std::string_view::npos ? "" : text.name.substr(0, slash);
        // A chip's file says which chip it is; what others only inherit from does not.
        if (where == folder && (!folder.empty() || text.toml.find("\nchip ") != text.toml.npos)) {
            names.emplace_back(slash == std::string_view::npos ? text.name
                                                               : text.name.substr(slash + 1));
        }
    }
    return names;
}

void expect_known(std::string_view what, std::string_view name,
                  const std::vector<std::string>& known, bool found) {
    if (!found) {
        fail(Code::invalid_argument, here, "no {} '{}'; known: {}", what, name,
             fmt::join(known, ", "));
    }
}

}  // namespace

namespace {

/// Measured values and the name of their text.
struct Measured {
    std::string_view text, source;
};

/// What trials can show; what a chip is called is not theirs to say.
bool is_measurable(std::string_view key) {
    for (const std::string_view group :
         {"numerics.", "limits.", "surfaces.", "capabilities.", "failures.", "blobs."}) {
        if (key.starts_with(group)) {
            return true;
        }
    }
    return key == "front_end";
}

void add_measured(Facts& whole, const Measured& measured) {
    Facts own;
    const Plain plain = own.add(measured.text, measured.source);
    const auto version = plain.find("probe_version");
    if (version == plain.end() || version->second != "1") {
        fail(Code::malformed_file, here,
             "{}: probe_version is {}, this pome reads \"1\"; probe again", measured.source,
             version == plain.end() ? "missing" : fmt::format("\"{}\"", version->second));
    }
    for (const Fact& fact : own.list()) {
        if (!is_measurable(fact.key)) {
            fail(Code::malformed_file, here, "{}: '{}' is nothing that probes measure",
                 measured.source, fact.key);
        }
    }
    whole.overlay(own);
}

Profile read_profile(std::string_view name, ProfileFiles files, const Measured* measured) {
    Profile profile;
    profile.name = name;
    std::vector<std::string> alternatives;
    std::string_view rest = name;
    for (auto plus = rest.rfind('+'); plus != std::string_view::npos; plus = rest.rfind('+')) {
        alternatives.insert(alternatives.begin(), std::string(rest.substr(plus + 1)));
        rest = rest.substr(0, plus);
    }
    const auto slash = rest.find('/');
    const std::string chip(rest.substr(0, slash));
    expect_known("chip", chip, known_chips(), !chip.empty() && files(chip).has_value());

    Facts facts;
    const Plain plain = add_file(facts, chip, files, 0);
    expect_known("chip", chip, known_chips(), facts.has("chip"));
    std::string route;
    if (slash != std::string_view::npos) {
        route = rest.substr(slash + 1);
    } else if (const auto given = plain.find("route"); given != plain.end()) {
        route = given->second;
    }
    const auto route_text = files("routes/" + route);
    expect_known("route", route, known_routes(), route_text.has_value());
    // What holds for the route on all chips; a chip's own values win.
    Facts whole;
    whole.add(*route_text, fmt::format("profiles/routes/{}.toml", route));
    whole.overlay(facts);
    for (const auto& named : whole.choose_route(route)) {
        if (!files("routes/" + named)) {
            fail(Code::malformed_file, here, "profiles/{}.toml: 'routes.{}' is no route", chip,
                 named);
        }
    }
    for (const auto& alternative : alternatives) {
        const auto text = files("alternatives/" + alternative);
        expect_known("alternative", alternative, known_alternatives(), text.has_value());
        whole.add(*text, fmt::format("profiles/alternatives/{}.toml", alternative));
    }
    if (measured != nullptr) {
        add_measured(whole, *measured);
        profile.name += "+measured";
    }
    profile.chip = whole.text("chip");
    profile.soc = whole.text("soc");
    profile.family = whole.text("family");
    profile.tier = whole.integer("tier", 11, 30);
    profile.engines = whole.integer("engines", 1, 8);
    profile.cores = whole.integer("cores", 1, 256);
    profile.route = route;
    profile.front_end = read_front_end(whole);
    profile.limits = read_limits(whole);
    profile.surfaces = read_surfaces(whole);
    profile.capabilities = read_capabilities(whole);
    profile.failures = read_failures(whole);
    profile.blobs = read_blobs(whole);
    profile.numerics = read_numerics(whole);
    if (has_time_facts(whole)) {
        profile.time = read_time_facts(whole);
        profile.energy = read_energy_facts(whole);
    }
    whole.expect_all_used();
    profile.facts = whole.list();
    return profile;
}

}  // namespace

Profile read_profile(std::string_view name, ProfileFiles files) {
    return read_profile(name, files, nullptr);
}

Profile read_measured_profile(std::string_view name, std::string_view text,
                              std::string_view source) {
    const Measured measured{text, source};
    return read_profile(name, builtin_file, &measured);
}

const Profile& find_profile(std::string_view name) {
    static std::mutex mutex;
    static std::map<std::string, std::unique_ptr<const Profile>, std::less<>> read;
    const std::lock_guard lock(mutex);
    const auto found = read.find(name);
    if (found != read.end()) {
        return *found->second;
    }
    auto profile = std::make_unique<const Profile>(read_profile(name, builtin_file));
    return *read.emplace(std::string(name), std::move(profile)).first->second;
}

std::vector<std::string> known_chips() {
    return names_in("");
}
std::vector<std::string> known_routes() {
    return names_in("routes");
}
std::vector<std::string> known_alternatives() {
    return names_in("alternatives");
}

}  // namespace pome::device
