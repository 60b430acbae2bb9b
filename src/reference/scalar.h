#pragma once

namespace pome::reference {

// Ops that work element by element, as functions of numbers: one op a file beside this.
// reference/elementwise.h carries them over tensors. Bools are 0 and 1.

double sigmoid(double x);   ///< 1 / (1 + e^-x)
double tanh(double x);      ///< tanh(x)
double silu(double x);      ///< x sigmoid(x)
double relu(double x);      ///< max(x, 0)
double relu6(double x);     ///< min(max(x, 0), 6)
double softplus(double x);  ///< log(1 + e^x)
double softsign(double x);  ///< x / (1 + |x|)
double exp(double x);       ///< e^x
double exp2(double x);      ///< 2^x
double erf(double x);       ///< erf(x)
double sqrt(double x);      ///< square root of x
double square(double x);    ///< x^2
double abs(double x);       ///< |x|
double sign(double x);      ///< -1, 0 or 1
double floor(double x);     ///< largest integer not above x
double ceil(double x);      ///< smallest integer not below x
/// nearest integer, halves away from zero as the engine does (Core ML's own definition: to even)
double round(double x);
double sin(double x);                       ///< sin(x)
double cos(double x);                       ///< cos(x)
double tan(double x);                       ///< tan(x)
double asin(double x);                      ///< arc sine of x
double acos(double x);                      ///< arc cosine of x
double atan(double x);                      ///< arc tangent of x
double sinh(double x);                      ///< sinh(x)
double cosh(double x);                      ///< cosh(x)
double atanh(double x);                     ///< inverse of tanh
double logical_not(double x);               ///< 1 where x is 0
double gelu(double x);                      ///< x Phi(x), Phi the normal distribution function
double gelu_tanh(double x);                 ///< gelu approximated by tanh
double gelu_sigmoid(double x);              ///< gelu approximated by sigmoid
double log(double x, double epsilon);       ///< log(x + epsilon)
double rsqrt(double x, double epsilon);     ///< 1 / sqrt(x + epsilon)
double inverse(double x, double epsilon);   ///< 1 / (x + epsilon)
double leaky_relu(double x, double alpha);  ///< x, alpha x below 0
double elu(double x, double alpha);         ///< x, alpha (e^x - 1) below 0
double thresholded_relu(double x, double alpha);                ///< x, 0 below alpha
double clip(double x, double alpha, double beta);               ///< min(max(x, alpha), beta)
double clamped_relu(double x, double alpha, double beta);       ///< leaky_relu, at most beta
double linear_activation(double x, double alpha, double beta);  ///< alpha x + beta
double scaled_tanh(double x, double alpha, double beta);        ///< alpha tanh(beta x)
double sigmoid_hard(double x, double alpha, double beta);       ///< min(max(alpha x + beta, 0), 1)
double add(double x, double y);                                 ///< x + y
double sub(double x, double y);                                 ///< x - y
double mul(double x, double y);                                 ///< x y
double real_div(double x, double y);                            ///< x / y
double floor_div(double x, double y);                           ///< floor(x / y)
double mod(double x, double y);            ///< x - y floor(x / y): has the sign of y
double maximum(double x, double y);        ///< the larger
double minimum(double x, double y);        ///< the smaller
double pow(double x, double y);            ///< x to the power y
double equal(double x, double y);          ///< 1 where x = y
double not_equal(double x, double y);      ///< 1 where x and y differ
double greater(double x, double y);        ///< 1 where x > y
double greater_equal(double x, double y);  ///< 1 where x >= y
double less(double x, double y);           ///< 1 where x < y
double less_equal(double x, double y);     ///< 1 where x <= y
double logical_and(double x, double y);    ///< 1 where both are not 0
double logical_or(double x, double y);     ///< 1 where one is not 0
double logical_xor(double x, double y);    ///< 1 where exactly one is not 0

}  // namespace pome::reference
