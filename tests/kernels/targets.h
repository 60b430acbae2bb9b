#pragma once

#include <gtest/gtest.h>

#include "hwy/targets.h"

/// Runs a test body once for every vector target that the machine and the build have.
template <typename Body>
void for_every_target(Body body) {
    int tried = 0;
    for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
        SCOPED_TRACE(hwy::TargetName(target));
        hwy::SetSupportedTargetsForTest(target);
        body();
        ++tried;
    }
    hwy::SetSupportedTargetsForTest(0);
    EXPECT_GE(tried, 1);
}
