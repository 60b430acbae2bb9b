// examples/tiny.toml as a program: y = W2 relu(W1 x) learns y = x, with the losses of an M4 Max.
#include <cmath>
#include <cstdio>

#include "device/emulator/emulator.h"
#include "mil/builder.h"

using namespace pome;
using Matrix = std::vector<float>;  // row-major: weights [out][in], activations [channel][position]
constexpr int D = 64, H = 128, S = 16, accumulation = 10;

/// y = W x on the engine, or y = W transposed x, with W [rows][columns] compiled in.
Matrix product(device::Device& engine, const Matrix& w, int rows, int columns, const Matrix& x,
               bool transposed = false) {
    mil::Builder b;
    const auto weight =
        b.constant(mil::Literal::tensor(DType::fp16, {1, 1, rows, columns}, {w.begin(), w.end()}));
    const auto from = b.input("x", mil::Type::tensor(DType::fp32, {1, 1, int(x.size()) / S, S}));
    b.output(b.cast(b.matmul(weight, b.cast(from, DType::fp16), transposed), DType::fp32));
    return engine.compile({mil::make_program(b.take()), {}})->apply(x);
}
/// W -= rate * (left times right transposed, summed over the equal steps of a batch).
void update(Matrix& w, const Matrix& left, const Matrix& right, int columns, float rate) {
    for (int k = 0; k < H * D; ++k) {
        const float *l = &left[k / columns * S], *r = &right[k % columns * S];
        float sum = 0.0F;
        for (int t = 0; t < accumulation * S; ++t) sum = std::fma(l[t % S], r[t % S], sum);
        w[k] = std::fma(-sum, rate, w[k]);
    }
}
int main() {
    ThreadPool pool(1);
    const auto engine = device::emulator::make_emulator("m4max", {}, pool);
    const auto at = [](int k) { return k % D * S + k / D; };
    Matrix x(S * D), w1(H * D), w2(D * H), dy(S * D);
    for (int k = 0; k < S * D; ++k) x[at(k)] = std::sin(float(k) * 0.1F);
    for (int k = 0; k < H * D; ++k) w1[k] = 0.01F * std::sin(std::fma(float(k), 1.3F, 0.7F));
    for (int k = 0; k < D * H; ++k) w2[k] = 0.01F * std::cos(std::fma(float(k), 0.9F, 1.1F));
    Matrix compiled1 = w1, compiled2 = w2;
    for (int step = 0; step <= 400; step += 2 * accumulation) {
        Matrix a = product(*engine, compiled1, H, D, x);
        for (float& value : a) value = std::max(value, 0.0F);
        const Matrix y = product(*engine, compiled2, D, H, a);
        float loss = 0.0F;
        for (int k = 0; k < S * D; ++k) {
            const float d = y[at(k)] - x[at(k)];
            loss = std::fma(d, d, loss);
            dy[at(k)] = 2.0F * d / (S * D);
        }
        Matrix dh = product(*engine, compiled2, D, H, dy, true);
        for (int k = 0; k < S * H; ++k) dh[k] = a[k] > 0.0F ? dh[k] : 0.0F;
        if (step % 100 == 0) std::printf("step %-4d loss %.6f\n", step, loss / (S * D));
        // The same programs serve another batch, at half the rate, while the next are compiled.
        for (const float rate : {1.0F / accumulation, 0.5F / accumulation}) {
            compiled1 = w1, compiled2 = w2;
            update(w1, dh, x, D, rate);
            update(w2, dy, a, H, rate);
        }
    }
}
