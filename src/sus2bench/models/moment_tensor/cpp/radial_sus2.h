// Radial functions of SUS2 (spec section 2): S_mu = sum_n c[mu, n] T_n(t), t = tanh x,
// x = k (r - r0), k = alpha / 2 and r0 of the pair, b = s beta[centre] beta[neighbour].
// parameters: alpha, r0 (SCALINGS, species, species), c (FUNCTIONS, SIZE), beta (species).

#pragma once
#include <vector>

#include "surroundings.h"

// Parameters that one function depends on at an edge: c of all n, alpha, r0, beta of both atoms.
constexpr int TERMS = SIZE + 4;

template <typename T>
class Radial {
   public:
    typedef Vector<T> V;

    explicit Radial(const Problem &problem)
        : species_(problem.species), scaling_(problem.scaling),
          alpha_(static_cast<const T *>(problem.parameters[0])),
          r0_(static_cast<const T *>(problem.parameters[1])),
          beta_(static_cast<const T *>(problem.parameters[3])) {
        const T *c = static_cast<const T *>(problem.parameters[2]);
        for (int mu = 0; mu < FUNCTIONS; ++mu) {
            std::copy(c + mu * SIZE, c + (mu + 1) * SIZE, series_[0][mu]);
            for (int order = 1; order < 3; ++order)
                differentiate(series_[order - 1][mu], series_[order][mu]);
        }
    }

    // Fills series, slope (order >= 1) and curvature (order 2), stretch and factor.
    template <int order>
    void evaluate(Surroundings<T> &a) const {
        const T centre = scaling_ * beta_[a.centre];
        for (int64_t v = 0; v < a.length; ++v) {
            V factor;
            for (int i = 0; i < LANES<T>; ++i)
                factor[i] = centre * beta_[a.neighbour_type[v * LANES<T> + i]];
            a.factor[v] = factor;
            unrolled<SCALINGS>([&](auto h) {
                V k, r0;
                scaling_at<h>(a, v, k, r0);
                const Embedded<T> t = EMBED<T>(k * (a.r[v] - r0));
                a.stretch[h][v] = k;
                V polynomial[SIZE];
                chebyshev(t.value, polynomial);
                unrolled<FUNCTIONS>([&](auto mu) {
                    if constexpr (SCALING_OF[mu] == h) {
                        const V slope = sum_of<1>(mu, polynomial);
                        a.series[mu][v] = sum_of<0>(mu, polynomial);
                        a.slope[mu][v] = slope * t.first;
                        if constexpr (order > 1)
                            a.curvature[mu][v] = sum_of<2>(mu, polynomial) * t.first * t.first +
                                                 slope * t.second;
                    }
                });
            });
        }
    }

    // Derivatives of each function by its parameters, and those by r of them; order 2 is evaluated.
    template <typename At>
    void by_parameters(const Surroundings<T> &a, int64_t v, const At &at, V (*value)[TERMS],
                       V (*slope)[TERMS]) const {
        const V g = at.g, g1 = at.slope_of_g, b = at.factor;
        V of_centre, of_neighbour;
        for (int i = 0; i < LANES<T>; ++i) {
            of_centre[i] = scaling_ * beta_[a.neighbour_type[v * LANES<T> + i]];
            of_neighbour[i] = scaling_ * beta_[a.centre];
        }
        unrolled<SCALINGS>([&](auto h) {
            V k, r0, polynomial[SIZE], derivative[SIZE];
            scaling_at<h>(a, v, k, r0);
            const V shift = a.r[v] - r0;
            const Embedded<T> t = EMBED<T>(k * shift);
            chebyshev(t.value, polynomial);
            slopes(t.value, polynomial, derivative);
            unrolled<FUNCTIONS>([&](auto mu) {
                if constexpr (SCALING_OF[mu] == h) {
                    const V f = a.series[mu][v], f1 = a.slope[mu][v], f2 = a.curvature[mu][v];
                    unrolled<SIZE>([&](auto n) {
                        value[mu][n] = b * g * polynomial[n];
                        slope[mu][n] = b * (g1 * polynomial[n] + g * k * t.first * derivative[n]);
                    });
                    V *at_value = value[mu] + SIZE, *at_slope = slope[mu] + SIZE;
                    at_value[0] = T(0.5) * b * g * f1 * shift;
                    at_slope[0] = T(0.5) * b * (g1 * f1 * shift + g * (f2 * k * shift + f1));
                    at_value[1] = -b * g * f1 * k;
                    at_slope[1] = -b * k * (g1 * f1 + g * f2 * k);
                    const V series = g * f, by_r = g1 * f + g * f1 * k;
                    at_value[2] = of_centre * series, at_slope[2] = of_centre * by_r;
                    at_value[3] = of_neighbour * series, at_slope[3] = of_neighbour * by_r;
                }
            });
        });
    }

    // Sums of the gradient by the parameters, of one thread.
    class Gradient {
       public:
        explicit Gradient(const Problem &problem)
            : radial_(problem), pairs_(problem.species * problem.species),
              alpha(SCALINGS * pairs_), r0(SCALINGS * pairs_), beta(problem.species) {}

        // The part of vector v, from the derivatives by S_mu, by dS_mu/dr and by the factor b.
        inline __attribute__((always_inline)) void add(const Surroundings<T> &a, int64_t v,
                                                       const V *by_series, const V *by_slope,
                                                       V by_factor) {
            const int places = std::min<int64_t>(LANES<T>, a.count - v * LANES<T>);
            const int32_t *pair = a.pair + v * LANES<T>, *type = a.neighbour_type + v * LANES<T>;
            const T *factors = radial_.beta_;
            for (int i = 0; i < places; ++i) {
                const double value = double(radial_.scaling_) * by_factor[i];
                beta[a.centre] += value * factors[type[i]];
                beta[type[i]] += value * factors[a.centre];
            }
            unrolled<SCALINGS>([&](auto h) {
                V k, centre, polynomial[SIZE], derivative[SIZE];
                radial_.template scaling_at<h>(a, v, k, centre);
                const V distance = a.r[v] - centre;
                const Embedded<T> t = EMBED<T>(k * distance);
                chebyshev(t.value, polynomial);
                slopes(t.value, polynomial, derivative);
                V by_x = {}, by_k = {};
                const V stretched = k * t.first;
                unrolled<FUNCTIONS>([&](auto mu) {
                    if constexpr (SCALING_OF[mu] == h) {
                        const V p = by_series[mu], q = by_slope[mu];
                        by_x += p * a.slope[mu][v] + q * k * a.curvature[mu][v];
                        by_k += q * a.slope[mu][v];
                        const V qs = q * stretched;
                        unrolled<SIZE>([&](auto n) {
                            c_[mu][n] += p * polynomial[n] + qs * derivative[n];
                        });
                    }
                });
                by_k = T(0.5) * (by_x * distance + by_k);
                by_x = -k * by_x;
                for (int i = 0; i < places; ++i) {
                    alpha[h * pairs_ + pair[i]] += by_k[i];
                    r0[h * pairs_ + pair[i]] += by_x[i];
                }
            });
        }

        // Takes over what has been summed in the precision of T.
        void flush() {
            for (int mu = 0; mu < FUNCTIONS; ++mu)
                for (int n = 0; n < SIZE; ++n) {
                    c[mu * SIZE + n] += sum<T>(c_[mu][n]);
                    c_[mu][n] = V{};
                }
        }

        void add_to(const Problem &problem) const {
            add_all(alpha, problem.parameter_gradients[0]);
            add_all(r0, problem.parameter_gradients[1]);
            for (int i = 0; i < FUNCTIONS * SIZE; ++i) problem.parameter_gradients[2][i] += c[i];
            add_all(beta, problem.parameter_gradients[3]);
        }

       private:
        static void add_all(const std::vector<double> &from, double *to) {
            for (size_t i = 0; i < from.size(); ++i) to[i] += from[i];
        }
        Radial radial_;
        int64_t pairs_;
        V c_[FUNCTIONS][SIZE] = {};
        double c[FUNCTIONS * SIZE] = {};
        std::vector<double> alpha, r0, beta;
    };

   private:
    template <int h>
    inline __attribute__((always_inline)) void scaling_at(const Surroundings<T> &a, int64_t v, V &k,
                                                          V &r0) const {
        const int32_t *pair = a.pair + v * LANES<T>;
        const T *alpha = alpha_ + h * species_ * species_, *centre = r0_ + h * species_ * species_;
        for (int i = 0; i < LANES<T>; ++i) k[i] = alpha[pair[i]], r0[i] = centre[pair[i]];
        k *= T(0.5);
    }

    static inline __attribute__((always_inline)) void chebyshev(V t, V *polynomial) {
        const V zero = {};
        polynomial[0] = zero + 1;
        if constexpr (SIZE > 1) polynomial[1] = t;
        const V twice = t + t;
        unrolled<(SIZE > 2 ? SIZE - 2 : 0)>([&](auto i) {
            polynomial[i + 2] = twice * polynomial[i + 1] - polynomial[i];
        });
    }

    // T_n'(t), by differentiating the recurrence.
    static inline __attribute__((always_inline)) void slopes(V t, const V *polynomial, V *slope) {
        const V zero = {};
        slope[0] = zero;
        if constexpr (SIZE > 1) slope[1] = zero + 1;
        const V twice = t + t;
        unrolled<(SIZE > 2 ? SIZE - 2 : 0)>([&](auto i) {
            slope[i + 2] = 2 * polynomial[i + 1] + twice * slope[i + 1] - slope[i];
        });
    }

    // The Chebyshev series of the derivative: d_m = (m ? 2 : 1) sum of n c_n, n - m odd, n > m.
    static void differentiate(const T *series, T *derivative) {
        for (int m = 0; m < SIZE; ++m) {
            double total = 0;
            for (int n = m + 1; n < SIZE; n += 2) total += n * double(series[n]);
            derivative[m] = (m ? 2 : 1) * total;
        }
    }

    template <int order>
    inline __attribute__((always_inline)) V sum_of(int mu, const V *polynomial) const {
        V total = {};
        unrolled<(SIZE > order ? SIZE - order : 0)>(
            [&](auto n) { total += series_[order][mu][n] * polynomial[n]; });
        return total;
    }

    int64_t species_;
    T scaling_;
    const T *alpha_, *r0_, *beta_;
    T series_[3][FUNCTIONS][SIZE];
};
