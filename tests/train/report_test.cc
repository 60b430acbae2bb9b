#include "train/report.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace pome::train {
namespace {

TEST(Report, WritesNullForWhatIsNoNumber) {
    Report report;
    report.step = 7;
    report.train_loss = 2.5;
    report.validation_loss = report.gradient_norm = std::numeric_limits<double>::quiet_NaN();
    report.compiles = 8;
    report.extras = {{"softmax", 1, 2.0, 3.0, 4.0}};
    const auto json = report.json();
    EXPECT_EQ(json.at("step"), 7);
    EXPECT_EQ(json.at("train_loss"), 2.5);
    EXPECT_TRUE(json.at("validation_loss").is_null());
    EXPECT_TRUE(json.at("grad_norm").is_null());
    EXPECT_EQ(json.at("compiles"), 8);
    EXPECT_EQ(json.at("extras").at("softmax").dump(),
              R"({"device_ms":3.0,"host_ms":2.0,"io_ms":4.0,"runs":1})");
}

}  // namespace
}  // namespace pome::train
