#include "mil/ops/op_test.h"

namespace pome::mil {
namespace {

TEST(CompressedWeights, AreReconstructed) {
    const auto y = [](const std::string& type, const std::string& statements) {
        return y_of("tensor<fp32, [1]>", {0}, statements + type + " y = identity(x = w);");
    };
    EXPECT_THAT(y("tensor<fp32, [2, 3]>",
                  "tensor<fp32, [2, 3]> w = constexpr_lut_to_dense()[indices = tensor<uint2, [2, "
                  "3]>([[0, 1, 2], [3, 1, 0]]), lut = tensor<fp32, [1, 1, 4, 1]>([[[[10], [20], "
                  "[30], [40]]]]), name = string(\"w\")];"),
                ElementsAre(10, 20, 30, 40, 20, 10));
    EXPECT_THAT(
        y("tensor<fp32, [4]>",  // 4-bit indices 1, 0, 0, 1 as bytes, the lowest bits first
          "tensor<fp32, [4]> w = constexpr_lut_to_dense()[indices = tensor<uint8, [2]>([1, "
          "16]), lut = tensor<fp32, [16]>([5, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "
          "shape = tensor<uint32, [1]>([4]), name = string(\"w\")];"),
        ElementsAre(7, 5, 5, 7));
    EXPECT_THAT(
        y("tensor<fp32, [2, 2]>",
          "tensor<fp32, [2, 2]> w = constexpr_sparse_to_dense()[nonzero_data = tensor<fp32, "
          "[2]>([3, 4]), mask = tensor<uint1, [2, 2]>([[0, 1], [1, 0]]), name = "
          "string(\"w\")];"),
        ElementsAre(0, 3, 4, 0));
    EXPECT_THAT(
        y("tensor<fp32, [4]>",
          "tensor<uint1, [4]> m, tensor<fp32, [2]> d = constexpr_lut_to_sparse(indices_mask = "
          "tensor<uint1, [4]>([1, 0, 0, 1]), indices_nonzero_data = tensor<uint1, [2]>([1, 0]), "
          "lut "
          "= tensor<fp32, [1, 2, 1]>([[[8], [9]]]));"
          "tensor<fp32, [4]> w = constexpr_sparse_to_dense(nonzero_data = d, mask = m);"),
        ElementsAre(9, 0, 0, 8));
    EXPECT_THAT(
        y("tensor<fp32, [4]>",
          "tensor<uint1, [4]> m, tensor<fp32, [2]> d = "
          "constexpr_sparse_blockwise_shift_scale(data_mask = tensor<uint1, [4]>([0, 1, 0, 1]), "
          "nonzero_data = tensor<int8, [2]>([2, 3]), scale = tensor<fp32, [2]>([10, 100]));"
          "tensor<fp32, [4]> w = constexpr_sparse_to_dense(nonzero_data = d, mask = m);"),
        ElementsAre(0, 20, 0, 300));
}

}  // namespace
}  // namespace pome::mil
