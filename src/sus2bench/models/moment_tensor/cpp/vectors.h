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

// e^y for |y| <= 40 (float: 20): 2^k e^f with k the nearest integer to y / ln 2. Adding 1.5 times
// 2^52 (float: 2^23) rounds to that integer and leaves it in the lowest bits. The Taylor series is
// cut where |f| <= ln(2) / 2 makes the next term less than the rounding.
inline Vector<double> exponential(Vector<double> y) {
    typedef VectorOf<double>::integer Integer;
    const double magic = 0x1.8p52;
    const Vector<double> rounded = y * 0x1.71547652b82fep+0 + magic;
    const Vector<double> k = rounded - magic;
    const Vector<double> f = (y - k * 0x1.62e42fefa0000p-1) - k * 0x1.cf79abc9e3b3ap-40;
    Vector<double> p = f * (1 / 6227020800.) + 1 / 479001600.;
    p = p * f + 1 / 39916800.;
    p = p * f + 1 / 3628800.;
    p = p * f + 1 / 362880.;
    p = p * f + 1 / 40320.;
    p = p * f + 1 / 5040.;
    p = p * f + 1 / 720.;
    p = p * f + 1 / 120.;
    p = p * f + 1 / 24.;
    p = p * f + 1 / 6.;
    p = p * f + 0.5;
    p = p * f + 1;
    p = p * f + 1;
    return (Vector<double>)((Integer)p + ((Integer)rounded << 52));
}

inline Vector<float> exponential(Vector<float> y) {
    typedef VectorOf<float>::integer Integer;
    const float magic = 0x1.8p23f;
    const Vector<float> rounded = y * 0x1.715476p+0f + magic;
    const Vector<float> k = rounded - magic;
    const Vector<float> f = (y - k * 0x1.62e400p-1f) - k * 0x1.7f7d1cp-20f;
    Vector<float> p = f * (1 / 5040.f) + 1 / 720.f;
    p = p * f + 1 / 120.f;
    p = p * f + 1 / 24.f;
    p = p * f + 1 / 6.f;
    p = p * f + 0.5f;
    p = p * f + 1;
    p = p * f + 1;
    return (Vector<float>)((Integer)p + ((Integer)rounded << 23));
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
    const Vector<T> t = 1 - 2 / (exponential(x + x) + 1);
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

// Calls f with 0, 1, .. N - 1 as compile-time constants.
template <int N, typename F>
inline __attribute__((always_inline)) void unrolled(F&& f) {
    [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
        (f(std::integral_constant<int, i>{}), ...);
    }(std::make_integer_sequence<int, N>{});
}
