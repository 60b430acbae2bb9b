#include "matmul/onednn.h"

#include <omp.h>

#include <dnnl.hpp>

namespace pome::bench {
namespace {

using dnnl::memory;

memory::desc lying(std::int64_t jobs, std::int64_t rows, std::int64_t columns, bool by_columns) {
    return {{jobs, rows, columns},
            memory::data_type::f32,
            memory::dims{rows * columns, by_columns ? 1 : columns, by_columns ? rows : 1}};
}

/// A primitive and its operands.
struct Product {
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream{engine};
    memory a, b, y;
    dnnl::matmul primitive;
};

FloatContender contender(const FloatProducts& p, int threads, bool packed) {
    auto product = std::make_shared<Product>();
    const auto operand = [&](const memory::desc& description, const float* values) {
        return memory(description, product->engine, const_cast<float*>(values));
    };
    const auto a = lying(p.jobs, p.m, p.k, p.a_by_columns),
               b = lying(p.jobs, p.k, p.n, p.b_by_columns), y = lying(p.jobs, p.m, p.n, false);
    const memory::desc any({p.jobs, p.k, p.n}, memory::data_type::f32, memory::format_tag::any);
    omp_set_num_threads(threads);  // a primitive is made for the threads of this moment
    const dnnl::matmul::primitive_desc made(dnnl::matmul::desc(a, packed ? any : b, y),
                                            product->engine);
    product->a = operand(a, p.a);
    product->b = operand(b, p.b);
    product->y = operand(y, p.y);
    if (made.weights_desc() != b) {
        memory moved(made.weights_desc(), product->engine);
        dnnl::reorder(product->b, moved).execute(product->stream, product->b, moved);
        product->stream.wait();
        product->b = moved;
    }
    product->primitive = dnnl::matmul(made);
    return {packed ? "onednn, b packed" : "onednn", [product, threads] {
                omp_set_num_threads(threads);
                product->primitive.execute(product->stream, {{DNNL_ARG_SRC, product->a},
                                                             {DNNL_ARG_WEIGHTS, product->b},
                                                             {DNNL_ARG_DST, product->y}});
                product->stream.wait();
            }};
}

}  // namespace

std::vector<FloatContender> onednn(const FloatProducts& products, int threads) {
    return {contender(products, threads, false), contender(products, threads, true)};
}

}  // namespace pome::bench
