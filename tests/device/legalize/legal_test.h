#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <string>

#include "base/random.h"
#include "device/emulator/emulator.h"
#include "device/legalize/legalize.h"
#include "device/lint.h"
#include "device/reference_device.h"
#include "mil/builder.h"
#include "mil/text.h"
#include "mil/verifier.h"

namespace pome::device::legal_test {

using mil::Builder;
using mil::Type;
using mil::Value;
using Values = std::map<std::string, std::vector<double>>;

inline Type half(Shape shape) {
    return Type::tensor(DType::fp16, std::move(shape));
}

/// A chip's arithmetic without its limits, and without the gain of width slices: what the rewritten
/// program must equal.
inline Profile without_limits(const std::string& name) {
    Profile profile = find_profile(name);
    profile.limits = {};
    profile.surfaces = {};
    profile.capabilities = {};
    profile.numerics.slice.width_gain = false;
    return profile;
}

/// A profile with no limits at all, to switch single ones on.
inline Profile unlimited() {
    return without_limits("m4");
}

/// Numbers for every input, the same for the same seed. fp16 values, so that every device is given
/// the same.
inline Values random_inputs(const mil::Function& function, std::uint64_t seed, double scale) {
    Random random(seed);
    Values values;
    for (const auto& parameter : function.parameters) {
        auto& list = values[parameter.name];
        list.resize(static_cast<std::size_t>(parameter.type.shape.elements()));
        for (double& value : list) {
            value = to_float(
                to_fp16(static_cast<float>(random.normal() * scale), Rounding::nearest_even));
        }
    }
    return values;
}

inline Values evaluate(Executable& executable, const Values& inputs) {
    std::map<std::string, Surface> surfaces;
    Bindings bindings;
    for (const auto& input : executable.inputs()) {
        Surface& surface = surfaces["in " + input.name] = Surface(input.type);
        const auto& values = inputs.at(input.name);
        for (std::int64_t i = 0; i < surface.elements(); ++i) {
            const auto value = static_cast<float>(values[static_cast<std::size_t>(i)]);
            if (input.type.dtype == DType::fp32) {
                surface.floats()[i] = value;
            } else {
                surface.halves()[i] = to_fp16(value, Rounding::nearest_even);
            }
        }
        bindings.inputs[input.name] = &surface;
    }
    for (const auto& output : executable.outputs()) {
        bindings.outputs[output.name] = &(surfaces["out " + output.name] = Surface(output.type));
    }
    executable.evaluate(bindings);
    Values results;
    for (const auto& output : executable.outputs()) {
        Surface& surface = surfaces.at("out " + output.name);
        auto& values = results[output.name];
        for (std::int64_t i = 0; i < surface.elements(); ++i) {
            values.push_back(output.type.dtype == DType::fp32 ? surface.floats()[i]
                                                              : to_float(surface.halves()[i]));
        }
    }
    return results;
}

/// |a - b| <= absolute + relative |b| in every element; 0 and 0 ask for equality.
struct Bound {
    double absolute = 0.0;
    double relative = 0.0;
};

inline void expect_within(const Values& got, const Values& wanted, Bound bound,
                          const std::string& where) {
    ASSERT_EQ(got.size(), wanted.size()) << where;
    for (const auto& [name, values] : wanted) {
        const auto& other = got.at(name);
        ASSERT_EQ(other.size(), values.size()) << where << ", " << name;
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (other[i] == values[i] || (std::isnan(other[i]) && std::isnan(values[i]))) {
                continue;
            }
            ASSERT_LE(std::fabs(other[i] - values[i]),
                      bound.absolute + bound.relative * std::fabs(values[i]))
                << where << ", " << name << "[" << i << "]: " << other[i] << " and " << values[i];
        }
    }
}

/// What legalize() says, rule by rule: "bias slice-width slice-width".
inline std::string rules_of(const Legalized& legal) {
    std::string rules;
    for (const auto& change : legal.changes) {
        rules += (rules.empty() ? "" : " ") + change.rule;
    }
    return rules;
}

inline std::string refusals_of(const Legalized& legal) {
    std::string text;
    for (const auto& refusal : legal.refusals) {
        text += (text.empty() ? "" : "\n") + refusal.text();
    }
    return text;
}

struct Proof {
    Bound emulator{};         ///< between rewritten and original on the emulator
    Bound reference{};        ///< the same on the reference device
    double scale = 1.0;       ///< of the inputs
    bool on_emulator = true;  ///< false: the emulator does not know the original's ops
};

/// Legalizes for `profile`, and proves: the result lints clean, computes the same as the original
/// does without limits (on the emulator with the profile's arithmetic, and on the reference
/// device), is written and read back, and legalize() leaves it alone.
inline Legalized prove(const mil::Package& package, const Profile& profile, const Proof& proof) {
    const Legalized legal = legalize(package, profile);
    const mil::Function& original = package.program.functions.front();
    const mil::Function& rewritten = legal.package.program.functions.front();
    EXPECT_EQ(refusals_of(legal), "");
    for (const auto& finding : lint(rewritten, profile)) {
        ADD_FAILURE() << "lint: " << finding.text();
    }
    EXPECT_EQ(mil::read(mil::write(legal.package.program)), legal.package.program);
    const Legalized again = legalize(legal.package, profile);
    EXPECT_EQ(rules_of(again), "") << "a second legalize() changes the program";
    EXPECT_EQ(again.package.program, legal.package.program);

    const Values inputs = random_inputs(original, 7, proof.scale);
    ThreadPool pool;
    if (proof.on_emulator) {
        Profile free = profile;
        free.tier = 0;  // no chip: rules that hold for all of them are off, too
        free.limits = {};
        free.surfaces = {};
        free.capabilities = {};
        free.numerics.slice.width_gain = false;
        const auto plain = emulator::make_emulator(free, {}, pool);
        const auto limited = emulator::make_emulator(profile, {}, pool);
        const auto wanted = evaluate(*plain->compile(package), inputs);
        const auto executable =
            behind_boundary(limited->compile(legal.package), original, legal.boundary);
        expect_within(evaluate(*executable, inputs), wanted, proof.emulator, "emulator");
        // Twice, so that nothing of the first run is left over in the boundary's surfaces.
        expect_within(evaluate(*executable, inputs), wanted, proof.emulator, "emulator, again");
    }
    const auto reference = make_reference_device();
    const auto executable =
        behind_boundary(reference->compile(legal.package), original, legal.boundary);
    expect_within(evaluate(*executable, inputs), evaluate(*reference->compile(package), inputs),
                  proof.reference, "reference");
    return legal;
}

inline mil::Package package_of(Builder& b, mil::WeightFiles weights = {}) {
    return {mil::make_program(b.take()), std::move(weights)};
}

inline mil::Literal random_constant(Shape shape, std::uint64_t seed, double scale) {
    Random random(seed);
    std::vector<double> values(static_cast<std::size_t>(shape.elements()));
    for (double& value : values) {
        value = random.normal() * scale;
    }
    return mil::Literal::tensor(DType::fp16, std::move(shape), values);
}

}  // namespace pome::device::legal_test
