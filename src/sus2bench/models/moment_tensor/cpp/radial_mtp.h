// Radial functions of MTP: S_mu = sum_n c[pair, mu, n] T_n(x), x = k (r - (r_min + r_c) / 2),
// k = 2 / (r_c - r_min), b = s. parameters: c (species, species, FUNCTIONS, SIZE).
//
// Every neighbour has coefficients of its own, so that the sums over n go neighbour by neighbour.

#pragma once
#include <vector>

#include "surroundings.h"

// Parameters that one function depends on at an edge: c of the pair and all n.
constexpr int TERMS = SIZE;

template <typename T>
class Radial {
    typedef Vector<T> V;

    // x of a distance.
    struct Argument {
        explicit Argument(const Problem &problem)
            : middle((problem.min_dist + problem.cutoff) / 2),
              stretch(2 / (problem.cutoff - problem.min_dist)) {}
        V at(V r) const { return stretch * (r - middle); }
        T middle, stretch;
    };

   public:
    explicit Radial(const Problem &problem)
        : scaling_(problem.scaling), argument_(problem),
          series_(problem.species * problem.species * SIZE * FUNCTIONS) {
        std::vector<char> present(problem.species, 0);
        for (int64_t i = 0; i < problem.atoms; ++i) present[problem.types[i]] = 1;
        const T *c = static_cast<const T *>(problem.parameters[0]);
        T *to = series_.data();
        for (int64_t first = 0; first < problem.species; ++first)
            for (int64_t second = 0; second < problem.species;
                 ++second, c += FUNCTIONS * SIZE, to += SIZE * FUNCTIONS)
                if (present[first] && present[second])
                    for (int mu = 0; mu < FUNCTIONS; ++mu)
                        for (int n = 0; n < SIZE; ++n) to[n * FUNCTIONS + mu] = c[mu * SIZE + n];
    }

    // Fills series, slope (order >= 1) and curvature (order 2), stretch and factor.
    template <int order>
    void evaluate(Surroundings<T> &a) const {
        const V zero = {};
        for (int64_t v = 0; v < a.length; ++v) {
            a.factor[v] = zero + scaling_;
            a.stretch[0][v] = zero + argument_.stretch;
            Polynomials at;
            at.template fill<order>(argument_.at(a.r[v]));
            for (int i = 0; i < LANES<T>; ++i) {
                const T *c = series_.data() + a.pair[v * LANES<T> + i] * int64_t(SIZE * FUNCTIONS);
                T total[3][FUNCTIONS] = {};
                for (int n = 0; n < SIZE; ++n)
#pragma omp simd
                    for (int mu = 0; mu < FUNCTIONS; ++mu)
                        for (int k = 0; k <= order; ++k)
                            total[k][mu] += at.value[k][n][i] * c[n * FUNCTIONS + mu];
                for (int mu = 0; mu < FUNCTIONS; ++mu) {
                    a.series[mu][v][i] = total[0][mu];
                    a.slope[mu][v][i] = total[1][mu];
                    if constexpr (order > 1) a.curvature[mu][v][i] = total[2][mu];
                }
            }
        }
    }

    // Derivatives of each function by its parameters, and those by r of them.
    template <typename At>
    void by_parameters(const Surroundings<T> &a, int64_t v, const At &at, V (*value)[TERMS],
                       V (*slope)[TERMS]) const {
        Polynomials polynomials;
        polynomials.template fill<1>(argument_.at(a.r[v]));
        for (int n = 0; n < SIZE; ++n) {
            const V p = polynomials.value[0][n], p1 = argument_.stretch * polynomials.value[1][n];
            for (int mu = 0; mu < FUNCTIONS; ++mu) {
                value[mu][n] = scaling_ * at.g * p;
                slope[mu][n] = scaling_ * (at.slope_of_g * p + at.g * p1);
            }
        }
    }

    // Sums of the gradient by the parameters, of one thread.
    class Gradient {
       public:
        explicit Gradient(const Problem &problem)
            : argument_(problem), c_(problem.species * problem.species * SIZE * FUNCTIONS) {}

        // The part of vector v, from the derivatives by S_mu, by dS_mu/dr and by the factor b.
        void add(const Surroundings<T> &a, int64_t v, const V *by_series, const V *by_slope, V) {
            Polynomials at;
            at.template fill<1>(argument_.at(a.r[v]));
            const int places = std::min<int64_t>(LANES<T>, a.count - v * LANES<T>);
            for (int i = 0; i < places; ++i) {
                T value[SIZE], slope[SIZE];
                for (int n = 0; n < SIZE; ++n)
                    value[n] = at.value[0][n][i], slope[n] = argument_.stretch * at.value[1][n][i];
                double *c = c_.data() + a.pair[v * LANES<T> + i] * int64_t(SIZE * FUNCTIONS);
                for (int mu = 0; mu < FUNCTIONS; ++mu, c += SIZE) {
                    const T p = by_series[mu][i], q = by_slope[mu][i];
#pragma omp simd
                    for (int n = 0; n < SIZE; ++n) c[n] += p * value[n] + q * slope[n];
                }
            }
        }

        void flush() {}

        void add_to(const Problem &problem) const {
            for (size_t i = 0; i < c_.size(); ++i) problem.parameter_gradients[0][i] += c_[i];
        }

       private:
        Argument argument_;
        std::vector<double> c_;
    };

   private:
    // T_n(x) and their derivatives by x.
    struct Polynomials {
        V value[3][SIZE];
        template <int order>
        void fill(V x) {
            const V zero = {};
            for (int k = 0; k <= order; ++k) value[k][0] = zero + T(k == 0);
            if constexpr (SIZE > 1) {
                value[0][1] = x;
                for (int k = 1; k <= order; ++k) value[k][1] = zero + T(k == 1);
            }
            for (int n = 2; n < SIZE; ++n)
                for (int k = 0; k <= order; ++k) {
                    value[k][n] = 2 * x * value[k][n - 1] - value[k][n - 2];
                    if (k) value[k][n] += T(2 * k) * value[k - 1][n - 1];
                }
        }
    };

    T scaling_;
    Argument argument_;
    std::vector<T> series_;
};
