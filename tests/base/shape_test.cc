#include "base/shape.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace pome {
namespace {

TEST(ShapeValues, ElementsStridesAndText) {
    const Shape shape{2, 3, 4};
    EXPECT_EQ(shape.rank(), 3);
    EXPECT_EQ(shape[-1], 4);
    EXPECT_EQ(shape.elements(), 24);
    EXPECT_EQ(shape.strides(), (std::vector<std::int64_t>{12, 4, 1}));
    EXPECT_EQ(shape.text(), "[2,3,4]");
    EXPECT_EQ(Shape{}.elements(), 1);
    EXPECT_EQ(Shape{}.text(), "[]");
    EXPECT_TRUE(Shape{}.strides().empty());
    EXPECT_EQ((Shape{5, 0, 7}).elements(), 0);
}

TEST(ShapeValues, UnknownSizesAreShownAndNotCounted) {
    const Shape shape{1, Shape::unknown, 4};
    EXPECT_FALSE(shape.is_static());
    EXPECT_EQ(shape.text(), "[1,?,4]");
    test::expect_error(Code::invalid_argument, "[base.shape] shape [1,?,4] has an unknown size",
                       [&] { shape.elements(); });
}

TEST(ShapeValues, ProductsDoNotOverflow) {
    constexpr std::int64_t half = std::int64_t{1} << 31;
    EXPECT_EQ((Shape{half, half}).elements(), half * half);
    test::expect_error(Code::invalid_argument,
                       "[base.shape] shape [2147483648,2147483648,2] has more than 2^62 elements",
                       [] {
                           Shape{half, half, 2}.elements();
                       });
}

TEST(ShapeValues, BroadcastAsNumPyDoes) {
    Shape result;
    EXPECT_TRUE(broadcast({2, 1, 4}, {3, 1}, result));
    EXPECT_EQ(result, (Shape{2, 3, 4}));
    EXPECT_TRUE(broadcast({}, {5}, result));
    EXPECT_EQ(result, (Shape{5}));
    EXPECT_TRUE(broadcast({0}, {1}, result));
    EXPECT_EQ(result, (Shape{0}));
    EXPECT_FALSE(broadcast({2, 3}, {2}, result));
}

}  // namespace
}  // namespace pome
