// Whole programs: the model's stages on every chip, and real programs of others.
#include "base/file.h"
#include "device/legalize/legal_test.h"
#include "mil/autodiff/autodiff.h"
#include "mil/corpus.h"
#include "model/stage.h"

namespace pome::device::legal_test {
namespace {

void prove_stage(const model::Stage& stage, const std::string& chip) {
    SCOPED_TRACE(stage.name + " on " + chip);
    // As the dynamic pipeline cuts it: weight gradients are the host's.
    mil::autodiff::Options options{{"x"}, {stage.weights.begin(), stage.weights.end()}};
    options.with_respect_to.insert(options.with_respect_to.end(), stage.weights.begin(),
                                   stage.weights.end());
    const auto cut = mil::autodiff::differentiate(stage.function, options);
    for (const mil::Function* function : {&stage.function, &cut.forward, &cut.backward}) {
        const Legalized legal =
            prove({mil::make_program(*function), stage.files}, find_profile(chip), {.scale = 0.5});
        for (const auto& change : legal.changes) {
            EXPECT_EQ(change.equality, Equality::bits) << change.text();
        }
    }
}

TEST(LegalizeStages, AreLegalAndEqualOnEveryChip) {
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6"}) {
        model::Form form;
        form.sequence = 64;
        prove_stage(model::attention_stage(model::preset("stories260K"), form), chip);
        prove_stage(model::feed_forward_stage(model::preset("stories260K"), form), chip);
        if (::testing::Test::HasFatalFailure()) {
            return;
        }
    }
}

TEST(LegalizeCorpus, TakesEveryRealProgramOnEveryChip) {
    const auto files = mil::corpus();
    if (files.empty()) {
        GTEST_SKIP() << mil::corpus_missing;
    }
    int programs = 0, changes = 0;
    for (const auto& file : files) {
        mil::Package package;
        try {
            package.program = mil::read(read_text(file), file.string());
            mil::verify(package.program);
        } catch (const Error&) {
            continue;  // fragments that are no programs; other tests say which
        }
        ++programs;
        for (const char* chip : {"m1", "m2/e5rt", "m3", "m4", "m5/client", "m6/e5rt"}) {
            for (const auto& function : package.program.functions) {
                SCOPED_TRACE(file.filename().string() + " " + function.name + " on " + chip);
                const Legalized legal = legalize(package, find_profile(chip), function.name);
                changes += static_cast<int>(legal.changes.size());
                EXPECT_EQ(mil::read(mil::write(legal.package.program)), legal.package.program);
                const Legalized again = legalize(legal.package, find_profile(chip), function.name);
                EXPECT_EQ(rules_of(again), "");
                EXPECT_EQ(again.package.program, legal.package.program);
                EXPECT_EQ(refusals_of(again), refusals_of(legal));
            }
        }
    }
    EXPECT_GE(programs, 15);
    EXPECT_GE(changes, 100);
}

}  // namespace
}  // namespace pome::device::legal_test
