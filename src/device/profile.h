#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/numerics.h"
#include "device/failures.h"
#include "device/time_facts.h"
#include "mil/weights.h"

namespace pome::device {

/// One value of a profile with what is known about it, for `pome devices --verbose`.
struct Fact {
    std::string key;  ///< "limits.max_rank"
    std::string value;
    std::string evidence;  ///< measured | derived | assumed
    std::string source;
};

/// Sizes that the compiler and the hardware accept; 0 means no limit.
struct Limits {
    std::int64_t max_rank = 0;
    std::int64_t max_width = 0;     ///< of the last axis, and of the axis before it (height)
    std::int64_t max_channels = 0;  ///< of axis 1 of a rank-4 value
    std::int64_t max_batch = 0;
    std::int64_t max_inner = 0;      ///< contraction of a matmul
    std::int64_t max_transpose = 0;  ///< of an axis that a transpose moves
    std::int64_t conv_kernel_width = 0, conv_kernel_height = 0;
    std::int64_t pool_window = 0;
    std::int64_t argmax_axis = 0;
    std::vector<DType> io;             ///< of inputs and outputs; empty: any
    std::int64_t compile_budget = 0;   ///< programs that one process may compile
    std::int64_t loaded_programs = 0;  ///< programs that one process may hold
    std::int64_t weight_bytes = 0;     ///< of one program
    std::int64_t family_number = 0;    ///< what the compiler calls the family: 2 for M1
    std::int64_t conv_input_channels = 0;
    std::int64_t transpose_elements = 0;        ///< of the value that a transpose takes
    std::int64_t strided_transpose_kernel = 0;  ///< of a conv_transpose along an axis it strides
    std::int64_t matmul_inner_multiple = 0;     ///< products that a matmul sums
    std::int64_t max_pool_window = 0;           ///< where it is not pool_window
    std::int64_t sdpa_sequence = 0;             ///< queries or keys of native attention
    std::int64_t sdpa_both = 0;                 ///< the smaller of the two
    std::int64_t lrn_channels = 0;
    std::int64_t layer_norm_one = 0;  ///< elements from which one of gamma and beta is refused
    std::vector<std::int64_t>
        layer_norm_one_passes;         ///< sizes from there on that were seen to work
    std::int64_t layer_norm_both = 0;  ///< elements from which gamma and beta do not run
    std::int64_t unsafe_width_first = 0, unsafe_width_last = 0;
};

/// Rules of the surfaces that one request binds.
struct SurfaceRules {
    std::int64_t row_bytes = 0;      ///< the innermost axis must fill a multiple of this; 0: any
    std::int64_t minimum_bytes = 0;  ///< the smallest surface
    bool equal_sizes = false;        ///< all inputs one allocation size, all outputs one
    bool alphabetical = false;       ///< bound in the order of names, so that must be declared
};

/// What the compiler of a chip or route takes beyond the ops that every chip has.
struct Capabilities {
    bool terse_dialect = true;  ///< program 1.3 texts; false: canonical 1.0 only
    bool fp32_cast = true;      ///< casts between fp16 and fp32 inside a program
    bool texture = true;        ///< resize in hardware, resample, affine, gather
    bool trigonometry = true;   ///< sin, cos
    bool random = true;
    bool reflect_padding = true;  ///< pad modes reflect and replicate
    bool topk = true;
    bool global_arg = true;   ///< argmin, argmax over the whole tensor
    bool int8_stream = true;  ///< int8 weights are multiplied as they are; false: folded
    bool blockwise_stream = true;
    bool attention_mask = true;  ///< SDPA honours attn_mask
    bool conv_bias = true;       ///< conv's bias argument
    bool gelu = true;
    bool reduce_mean = true;
    bool runtime_weights = true;        ///< programs whose weights are inputs give right answers
    bool norms = true;                  ///< layer_norm, instance_norm, l2_norm as ops
    bool inverse = true;                ///< inverse as an op
    bool softmax_any_size = true;       ///< not powers of two only
    bool rsqrt_after_reduction = true;  ///< and sqrt
    bool square_activation = true;      ///< square fused with an activation, at every width
    bool int8_zero_point = true;        ///< constexpr_affine_dequantize with a zero point
    friend bool operator==(const Capabilities&, const Capabilities&) = default;
};

/// Which ops the route's compiler knows where sources disagree (device/op_support.h).
enum class FrontEnd : std::uint8_t {
    book,   ///< those of the guide's appendix A
    sweep,  ///< those that ANEForge's sweep of an M5 compiled
};

/// What one chip, reached by one route, accepts and how it behaves: data read from profiles/.
struct Profile {
    std::string name;       ///< "m4", "m4/e5rt", "m4/in-memory+ties-even": after "emulator:"
    std::string chip;       ///< "m4"
    std::string soc;        ///< "T8132"
    std::string family;     ///< compiler family, "H16"
    std::int64_t tier = 0;  ///< capability tier A<tier>: 13 for M1 ... 18 for M6
    std::int64_t engines = 1;
    std::int64_t cores = 16;  ///< of one engine
    std::string route;        ///< "in-memory"
    FrontEnd front_end = FrontEnd::book;
    DType compute = DType::fp16;  ///< what programs for this device are written in
    Limits limits;
    SurfaceRules surfaces;
    Capabilities capabilities;
    Failures failures;
    mil::BlobRules blobs;  ///< how the compiler reads weight files; a strict device checks all
    Numerics numerics;
    std::optional<TimeFacts> time;  ///< nullopt: the files say nothing about time
    std::optional<EnergyFacts> energy;
    std::vector<Fact> facts;
};

/// Where profile files are found by name: "m4", "routes/e5rt", "alternatives/ties-even". nullopt
/// when there is none.
using ProfileFiles = std::optional<std::string_view> (*)(std::string_view name);

/// Reads a chip's profile over a route's, with named alternatives on top. Every value is a table
/// {value, evidence, source}; a chip's file may `inherit` another's values, and says
/// `inherited_evidence` when they are weaker for it. What holds for a chip by one route only stands
/// in its file under [routes.ROUTE....]. Unknown keys, missing sources, wrong types and
/// endless inheritance throw Error{malformed_file} naming file and key; an unknown chip, route or
/// alternative Error{invalid_argument} listing the known ones.
Profile read_profile(std::string_view name, ProfileFiles files);

/// A built-in profile with measured values over its own: the text of a file that `pome probe`
/// wrote. Only [numerics], [limits], [surfaces], [capabilities], [failures], [blobs] and front_end
/// may stand in it, each value with evidence and source as in every profile. `source` names the
/// text in errors: Error{malformed_file} for everything else that it may hold, wrong types and
/// ranges included.
Profile read_measured_profile(std::string_view name, std::string_view text,
                              std::string_view source);

/// The profile "CHIP[/ROUTE][+ALTERNATIVE...]" from the files compiled into the library; without a
/// route the chip's default one.
const Profile& find_profile(std::string_view name);

/// Chips, routes and alternatives that are compiled in, sorted.
std::vector<std::string> known_chips();
std::vector<std::string> known_routes();
std::vector<std::string> known_alternatives();

}  // namespace pome::device
