// Vectors of the processor's width, and the few functions of them that the kernels need.
//
// The compiler's own vector types are used instead of loops that it may or may not vectorize, and
// an exponential of our own instead of -ffast-math, which would change how the whole process
// rounds denormal numbers as soon as the library is loaded.

#pragma once
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

template <typename T>
struct VectorOf;
template <>
struct VectorOf<double> {
    typedef double type __attribute__((vector_size(VECTOR_BYTES)));
    typedef int64_t integer __attribute__((vector_size(VECTOR_BYTES)));
};
template <>
struct VectorOf<float> {
    typedef float type __attribute__((vector_size(VECTOR_BYTES)));
    typedef int32_t integer __attribute__((vector_size(VECTOR_BYTES)));
};
template <typename T>
using Vector = typename VectorOf<T>::type;
template <typename T>
constexpr int LANES = VECTOR_BYTES / sizeof(T);

template <typename T>
inline double sum(Vector<T> v) {
    double total = 0;
    for (int lane = 0; lane < LANES<T>; ++lane) total += v[lane];
    return total;
}

// Calls f with 0, 1, .. N - 1 as compile-time constants.
template <int N, typename F>
inline __attribute__((always_inline)) void unrolled(F&& f) {
    [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
        (f(std::integral_constant<int, i>{}), ...);
    }(std::make_integer_sequence<int, N>{});
}

template <typename T>
struct ExponentialOf;
template <>
struct ExponentialOf<double> {
    static constexpr double ROUND = 0x1.8p52;
    static constexpr double LN2 = 0x1.62e42fefa0000p-1, REST = 0x1.cf79abc9e3b3ap-40;
    static constexpr int MANTISSA = 52, DEGREE = 13;
};
template <>
struct ExponentialOf<float> {
    static constexpr float ROUND = 0x1.8p23f;
    static constexpr float LN2 = 0x1.62e400p-1f, REST = 0x1.7f7d1cp-20f;
    static constexpr int MANTISSA = 23, DEGREE = 7;
};

constexpr double inverse_factorial(int n) {
    double factorial = 1;
    for (int i = 2; i <= n; ++i) factorial *= i;
    return 1 / factorial;
}

// e^y for |y| <= 40 (float: 20): 2^k e^f with k the nearest integer to y / ln 2. Adding 1.5 times
// 2^52 (float: 2^23) rounds to that integer and leaves it in the lowest bits. The Taylor series is
// cut where |f| <= ln(2) / 2 makes the next term less than the rounding.
template <typename T>
inline __attribute__((always_inline)) Vector<T> exponential(Vector<T> y) {
    typedef ExponentialOf<T> Of;
    typedef typename VectorOf<T>::integer Integer;
    const Vector<T> rounded = y * T(0x1.71547652b82fep+0) + Of::ROUND;
    const Vector<T> k = rounded - Of::ROUND;
    const Vector<T> f = (y - k * Of::LN2) - k * Of::REST;
    Vector<T> p = Vector<T>{} + T(inverse_factorial(Of::DEGREE));
    unrolled<Of::DEGREE>([&](auto i) {
        constexpr T coefficient = inverse_factorial(Of::DEGREE - 1 - i);
        p = p * f + coefficient;
    });
    return (Vector<T>)((Integer)p + ((Integer)rounded << Of::MANTISSA));
}

template <typename T>
struct Embedded {
    Vector<T> value, first, second;  // of x, and its derivatives by x
};

// tanh x = 1 - 2 / (e^2x + 1): small errors relative to 1, which is what polynomials of it need.
template <typename T>
inline Embedded<T> tanh_of(Vector<T> x) {
    const T largest = sizeof(T) == 8 ? 20 : 10;
    const Vector<T> zero = {};
    x = x > largest ? zero + largest : x;
    x = x < -largest ? zero - largest : x;
    const Vector<T> t = 1 - 2 / (exponential<T>(x + x) + 1);
    const Vector<T> slope = 1 - t * t;
    return {t, slope, -2 * t * slope};
}

// x / sqrt(1 + x^2).
template <typename T>
inline Embedded<T> rational_of(Vector<T> x) {
    const Vector<T> square = 1 + x * x;
    Vector<T> root;
    for (int lane = 0; lane < LANES<T>; ++lane) root[lane] = std::sqrt(square[lane]);
    const Vector<T> inverse = 1 / root, cube = inverse / square;
    return {x * inverse, cube, -3 * x * cube / square};
}

// An array that begins where vectors may.
template <typename V>
class Aligned {
   public:
    explicit Aligned(size_t count)
        : data_(static_cast<V*>(::operator new(count * sizeof(V) + 1, std::align_val_t(64)))) {}
    ~Aligned() { ::operator delete(data_, std::align_val_t(64)); }
    Aligned(const Aligned&) = delete;
    Aligned& operator=(const Aligned&) = delete;
    V* get() { return data_; }
    V& operator[](size_t i) { return data_[i]; }

   private:
    V* data_;
};
