#pragma once

#include <span>

#include "device/legalize/emission.h"

namespace pome::device::legalizing {

/// An operation that a rewrite looks at.
struct Site {
    Work& work;
    Emission& emission;
    const mil::Operation& operation;
    const mil::Arguments& in;

    mil::Builder& ops() const { return emission.ops(); }
    /// Notes the change and puts the results in the operation's place. Returns true.
    bool replace(std::string what, const std::vector<mil::Value>& results) const;
    /// Notes why the operation stays. Returns false.
    bool refuse(std::string reason) const;

    std::string_view rule;
    Equality equality;
};

/// A rewrite of single operations. `apply` decides before it makes anything: it returns whether it
/// replaced the operation.
struct Rule {
    RewriteInfo info;
    bool (*wanted)(const Profile&);
    std::span<const std::string_view> ops;  ///< the ops it looks at
    bool (*apply)(const Site&);
};

// One file a rewrite.
Rule attention_rule();       // attention.cc
Rule gelu_rule();            // gelu.cc
Rule norm_rule();            // norms.cc
Rule bias_rule();            // bias.cc
Rule mean_rule();            // mean.cc
Rule root_rule();            // root.cc
Rule inverse_rule();         // root.cc
Rule square_rule();          // square.cc
Rule trigonometry_rule();    // trigonometry.cc
Rule concat_rule();          // concat.cc
Rule explicit_rule();        // explicit.cc
Rule inner_multiple_rule();  // inner_multiple.cc
Rule slice_width_rule();     // slice_width.cc

/// All of the above, in the order in which they are tried on an operation.
std::span<const Rule> rules();

// Rewrites of whole functions. Each returns the function as it is when there is nothing to do.
mil::Function without_fp32(const mil::Function& function, const Work& work);    // fp32.cc
mil::Function split_wide(const mil::Function& function, const Work& work);      // wide.cc
mil::Function fit_surfaces(const mil::Function& function, const Work& work);    // surfaces.cc
mil::Function order_boundary(const mil::Function& function, const Work& work);  // names.cc
void choose_dialect(mil::Program& program, mil::Function& function,
                    const Work& work);  // dialect.cc

extern const RewriteInfo fp32_info, wide_info, surface_info, names_info, dialect_info;

}  // namespace pome::device::legalizing
