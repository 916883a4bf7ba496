// Derivatives of  sum_i a_i E_i + sum_e v_e . g_e  by the parameters, g_e = dE/dr_e: what a loss of
// energies, forces and virials needs. The second sum is the derivative D of the energy as every edge vector
// r_e changes along v_e; it is carried forward beside the energy, then both are differentiated
// backwards in one sweep.
//
//     dr = u . v,   du = (v - u dr) / r,   dM = sum_j (R' dr u^pqs + R d(u^pqs))

#pragma once
#include "energies.h"

// The change of an edge: its length and its direction, along v_e.
template <typename T>
struct Change {
    Vector<T> length, direction[3];
};

// v_e as it is given, or from what multiplies forces and virial: F_centre += g_e, F_neighbour -= g_e,
// W += g_e (x) r_e.
template <typename T>
inline __attribute__((always_inline)) void cotangent_at(const Problem &problem,
                                                        const Surroundings<T> &a, int64_t v,
                                                        const Vector<T> (&u)[3],
                                                        Vector<T> (&along)[3]) {
    const T *cotangent = static_cast<const T *>(problem.gradient_cotangent);
    const double *force = problem.force_cotangent,
                 *own = force ? force + 3 * a.atom : nullptr;
    const int places = places_at(a, v);
    for (int i = 0; i < places; ++i) {
        const int64_t edge = a.edge[v * LANES<T> + i];
        for (int axis = 0; axis < 3; ++axis)
            along[axis][i] = cotangent
                                 ? cotangent[3 * edge + axis]
                                 : own[axis] - force[3 * problem.neighbour[edge] + axis];
    }
    if (!problem.virial_cotangent) return;
    const double *virial = problem.virial_cotangent + 9 * problem.frame_of[a.atom];
    for (int row = 0; row < 3; ++row)
        for (int axis = 0; axis < 3; ++axis)
            along[row] += T(virial[3 * row + axis]) * u[axis] * a.r[v];
}

template <typename T>
inline __attribute__((always_inline)) Change<T> change_at(const Problem &problem,
                                                          const Surroundings<T> &a, int64_t v,
                                                          const Vector<T> (&u)[3]) {
    Vector<T> along[3] = {};
    cotangent_at<T>(problem, a, v, u, along);
    Change<T> change;
    change.length = dot<T>(u, along);
    for (int axis = 0; axis < 3; ++axis)
        change.direction[axis] = (along[axis] - u[axis] * change.length) * a.inverse[v];
    return change;
}

template <typename T>
void basic_moments_and_tangents(const Problem &problem, const Surroundings<T> &a,
                                Workspace<T> &work, int place) {
    typedef Vector<T> V;
    V total[BASIC] = {}, tangent[BASIC] = {};
    for (int64_t v = 0; v < a.length; ++v) {
        const RadialAt<T> radial(a, v, problem.cutoff);
        V u[3], value[MONOMIALS], change_of[MONOMIALS], R[FUNCTIONS], dR[FUNCTIONS];
        unit_at<T>(a, v, u);
        const Change<T> change = change_at<T>(problem, a, v, u);
        monomials<T>(u, value);
        monomial_tangents<T>(change.direction, value, change_of);
        unrolled<FUNCTIONS>([&](auto mu) {
            R[mu] = radial.template value<mu>();
            dR[mu] = radial.template first<mu>() * change.length;
        });
        unrolled<BASIC>([&](auto i) {
            total[i] += R[FUNCTION_OF[i]] * value[MONOMIAL_OF[i]];
            tangent[i] += dR[FUNCTION_OF[i]] * value[MONOMIAL_OF[i]] +
                          R[FUNCTION_OF[i]] * change_of[MONOMIAL_OF[i]];
        });
    }
    for (int i = 0; i < BASIC; ++i) {
        work.moments[i][place] = sum<T>(total[i]);
        work.tangents[i][place] = sum<T>(tangent[i]);
    }
}

inline void multiply_tangents(const double (*moments)[GROUP], double (*tangents)[GROUP]) {
    zero_products(tangents);
    for (const Product &p : PRODUCTS)
#pragma omp simd
        for (int i = 0; i < GROUP; ++i)
            tangents[p.out][i] += p.factor * (tangents[p.a][i] * moments[p.b][i] +
                                              moments[p.a][i] * tangents[p.b][i]);
}

// mixed[m] = d(a E + D) / dM[m], beside slopes[m] = dE / dM[m] = dD / d(dM[m]).
template <typename T>
void propagate_both_back(Workspace<T> &work) {
    for (int number = PRODUCT_COUNT - 1; number >= 0; --number) {
        const Product &p = PRODUCTS[number];
#pragma omp simd
        for (int i = 0; i < GROUP; ++i) {
            const double slope = p.factor * work.slopes[p.out][i];
            const double mixed = p.factor * work.mixed[p.out][i];
            const double a = work.moments[p.a][i], b = work.moments[p.b][i];
            const double da = work.tangents[p.a][i], db = work.tangents[p.b][i];
            work.slopes[p.a][i] += slope * b;
            work.slopes[p.b][i] += slope * a;
            work.mixed[p.a][i] += mixed * b + slope * db;
            work.mixed[p.b][i] += mixed * a + slope * da;
        }
    }
}

// What one thread sums of the gradient by the parameters.
template <typename T>
struct Sums {
    explicit Sums(const Problem &problem)
        : radial(problem), weight(problem.species), xi(SCALARS) {}
    typename Radial<T>::Gradient radial;
    std::vector<double> weight, xi;
    void add_to(const Problem &problem) const {
        radial.add_to(problem);
        for (int q = 0; q < SCALARS; ++q) problem.xi_gradient[q] += xi[q];
        if (WEIGHTED)
            for (int64_t t = 0; t < problem.species; ++t)
                problem.weight_gradient[t] += weight[t];
    }
};

// Scalars to slopes and mixed, and the gradient by the readout's parameters.
template <typename T>
void read_out_both(const Problem &problem, int64_t begin, int atoms, Workspace<T> &work,
                   Sums<T> &sums) {
    double total[GROUP], energy_weight[GROUP] = {}, weight[GROUP] = {}, of_weight[GROUP] = {};
    read_out(problem, begin, atoms, work.moments, work.slopes, total);
    for (int i = 0; i < atoms; ++i) {
        weight[i] = weight_of(problem, begin + i);
        energy_weight[i] = problem.site_cotangent[begin + i];
        of_weight[i] = energy_weight[i] * (1 + total[i]);
    }
    std::memset(work.mixed, 0, sizeof work.mixed);
    for (int q = 0; q < SCALARS; ++q) {
        const double *value = work.moments[SCALAR[q]], *tangent = work.tangents[SCALAR[q]];
        double *mixed = work.mixed[SCALAR[q]], by_xi = 0;
#pragma omp simd reduction(+ : by_xi)
        for (int i = 0; i < GROUP; ++i) {
            by_xi += weight[i] * (energy_weight[i] * value[i] + tangent[i]);
            mixed[i] += problem.xi[q] * weight[i] * energy_weight[i];
            of_weight[i] += problem.xi[q] * tangent[i];
        }
        sums.xi[q] += by_xi;
    }
    for (int i = 0; i < atoms; ++i) sums.weight[problem.types[begin + i]] += of_weight[i];
}

// The gradient of  a E + D  by one vector of edges. With C0, C1, C2 the sums over mu of R, R', R''
// times slopes, Y the monomials and P = 1 - u u^T:
//
//     D = sum C1 Y dr + C0 grad Y . du,
//     d(du) = -(d(u) dr + u d(dr)) / r - du (u . d) / r,   d(u) = P d / r,   d(dr) = du . d
template <typename T>
inline __attribute__((always_inline)) void second_derivative(
    const Problem &problem, const RadialAt<T> &radial, const Vector<T> (&u)[3],
    const Change<T> &change, const Vector<T> *value, const Vector<T> *change_of, const T *slope,
    const T *mixed) {
    typedef Vector<T> V;
    const Surroundings<T> &a = radial.a;
    const V inverse = a.inverse[radial.v], dr = change.length;
    const V(&du)[3] = change.direction;
    V c0[MONOMIALS] = {}, c1[MONOMIALS] = {}, mixed0[MONOMIALS] = {}, y1 = {}, along = {};
    V R[FUNCTIONS], R1[FUNCTIONS], R2[FUNCTIONS];
    unrolled<FUNCTIONS>([&](auto mu) {
        R[mu] = radial.template value<mu>();
        R1[mu] = radial.template first<mu>();
        R2[mu] = radial.template second<mu>();
    });
    unrolled<BASIC>([&](auto i) {
        constexpr int mu = FUNCTION_OF[i], m = MONOMIAL_OF[i];
        c0[m] += R[mu] * slope[i];
        c1[m] += R1[mu] * slope[i];
        mixed0[m] += R[mu] * mixed[i];
        along += (R2[mu] * slope[i] * dr + R1[mu] * mixed[i]) * value[m];
    });
    V g0[3], g1[3], of_mixed[3], curved[3];
    unrolled<MONOMIALS>([&](auto m) { y1 += c1[m] * value[m]; });
    monomial_gradient<T>(c0, value, g0);
    monomial_gradient<T>(c1, value, g1);
    monomial_gradient<T>(mixed0, value, of_mixed);
    monomial_gradient<T>(c0, change_of, curved);
    along += dot<T>(g1, du) - dot<T>(g0, du) * inverse;
    V across[3];
    for (int axis = 0; axis < 3; ++axis)
        across[axis] =
            (g1[axis] * dr + curved[axis] - g0[axis] * dr * inverse + of_mixed[axis]) * inverse;
    along -= dot<T>(across, u);
    y1 -= dot<T>(g0, u) * inverse;
    T *gradient = static_cast<T *>(problem.vector_gradient);
    const int places = places_at(a, radial.v);
    for (int axis = 0; axis < 3; ++axis) {
        const V result = along * u[axis] + across[axis] + y1 * du[axis];
        for (int i = 0; i < places; ++i)
            gradient[3 * a.edge[radial.v * LANES<T> + i] + axis] = result[i];
    }
}

// The gradient by the radial functions' parameters, and by the edge vectors through g_e if asked.
template <typename T>
void back_to_edges(const Problem &problem, const Surroundings<T> &a, const Workspace<T> &work,
                   int place, Sums<T> &sums) {
    typedef Vector<T> V;
    T slope[BASIC], mixed[BASIC];
    for (int i = 0; i < BASIC; ++i)
        slope[i] = work.slopes[i][place], mixed[i] = work.mixed[i][place];
    for (int64_t v = 0; v < a.length; ++v) {
        const RadialAt<T> radial(a, v, problem.cutoff);
        V u[3], value[MONOMIALS], change_of[MONOMIALS], by_value[FUNCTIONS] = {},
            by_first[FUNCTIONS] = {};
        unit_at<T>(a, v, u);
        const Change<T> change = change_at<T>(problem, a, v, u);
        monomials<T>(u, value);
        monomial_tangents<T>(change.direction, value, change_of);
        unrolled<BASIC>([&](auto i) {
            by_value[FUNCTION_OF[i]] +=
                mixed[i] * value[MONOMIAL_OF[i]] + slope[i] * change_of[MONOMIAL_OF[i]];
            by_first[FUNCTION_OF[i]] += slope[i] * value[MONOMIAL_OF[i]];
        });
        // R = b g S, R' = b (g' S + g S'), S' = dS/dr.
        V by_factor = {}, by_series[FUNCTIONS], by_slope[FUNCTIONS];
        unrolled<FUNCTIONS>([&](auto mu) {
            const V first = by_first[mu] * change.length;
            const V series = by_value[mu] * radial.g + first * radial.slope_of_g;
            const V slope = first * radial.g;
            by_factor += series * a.series[mu][v] +
                         slope * a.stretch[SCALING_OF[mu]][v] * a.slope[mu][v];
            by_series[mu] = radial.factor * series;
            by_slope[mu] = radial.factor * slope;
        });
        sums.radial.add(a, v, by_series, by_slope, by_factor);
        if (problem.vector_gradient)
            second_derivative<T>(problem, radial, u, change, value, change_of, slope, mixed);
    }
}

template <typename T>
void gradient_of_group(const Problem &problem, const Radial<T> &radial, Workspace<T> &work,
                       Sums<T> &sums, int64_t begin, int atoms) {
    for (int i = 0; i < atoms; ++i) {
        if (problem.vectors)
            gather<T, false>(problem, begin + i, work.around[i]);
        else
            gather<T, true>(problem, begin + i, work.around[i]);
        radial.template evaluate<2>(work.around[i]);
        basic_moments_and_tangents<T>(problem, work.around[i], work, i);
    }
    for (int i = atoms; i < GROUP; ++i)
        for (int m = 0; m < BASIC; ++m) work.moments[m][i] = work.tangents[m][i] = 0;
    multiply(work.moments);
    multiply_tangents(work.moments, work.tangents);
    read_out_both<T>(problem, begin, atoms, work, sums);
    propagate_both_back<T>(work);
    for (int i = 0; i < atoms; ++i) back_to_edges<T>(problem, work.around[i], work, i, sums);
    sums.radial.flush();
}
