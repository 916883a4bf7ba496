// Site energies of a moment tensor model and their gradient by the edge vectors.
//
//     R_mu(r) = b g S_mu(x),   g = (r - r_c)^2,   b and x = x(r) of the pair
//     M[mu; p,q,s] = sum_j R_mu(r_j) u_x^p u_y^q u_z^s
//     M[o] += m M[a] M[b],   E = w (1 + sum_q xi[q] M[q])      (or without w and 1)
//
// Products are in double precision always.

#pragma once
#include "form.h"

#include RADIAL

// u_x^p u_y^q u_z^s for all exponents of the form.
template <typename T>
inline __attribute__((always_inline)) void monomials(const Vector<T> (&u)[3], Vector<T> *value) {
    const Vector<T> zero = {};
    value[0] = zero + 1;
    unrolled<MONOMIALS - 1>([&](auto i) {
        constexpr int m = i + 1;
        value[m] = value[LOWER[m][AXIS[m]]] * u[AXIS[m]];
    });
}

// Derivatives of the monomials along a change of u.
template <typename T>
inline __attribute__((always_inline)) void monomial_tangents(
    const Vector<T> (&change)[3], const Vector<T> *value, Vector<T> *tangent) {
    unrolled<MONOMIALS>([&](auto m) {
        tangent[m] = Vector<T>{};
        unrolled<3>([&](auto axis) {
            if constexpr (EXPONENT[m][axis] > 0)
                tangent[m] += T(EXPONENT[m][axis]) * value[LOWER[m][axis]] * change[axis];
        });
    });
}

// Sum over monomials of coefficient times gradient by u; tangents for values gives its change.
template <typename T>
inline __attribute__((always_inline)) void monomial_gradient(
    const Vector<T> *coefficient, const Vector<T> *value, Vector<T> (&gradient)[3]) {
    unrolled<3>([&](auto axis) { gradient[axis] = Vector<T>{}; });
    unrolled<MONOMIALS>([&](auto m) {
        unrolled<3>([&](auto axis) {
            if constexpr (EXPONENT[m][axis] > 0)
                gradient[axis] += T(EXPONENT[m][axis]) * coefficient[m] * value[LOWER[m][axis]];
        });
    });
}

template <typename T>
inline __attribute__((always_inline)) Vector<T> dot(const Vector<T> (&a)[3],
                                                    const Vector<T> (&b)[3]) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

// Radial functions and their derivatives at vector v of the neighbours.
template <typename T>
struct RadialAt {
    typedef Vector<T> V;
    V g, slope_of_g, factor;
    const Surroundings<T> &a;
    int64_t v;
    RadialAt(const Surroundings<T> &around, int64_t vector, T cutoff) : a(around), v(vector) {
        const V inside = a.r[v] - cutoff;
        g = inside * inside, slope_of_g = 2 * inside, factor = a.factor[v];
    }
    template <int mu>
    V value() const { return factor * g * a.series[mu][v]; }
    template <int mu>
    V first() const {
        return factor * (slope_of_g * a.series[mu][v] +
                         g * a.stretch[SCALING_OF[mu]][v] * a.slope[mu][v]);
    }
    template <int mu>
    V second() const {
        const V k = a.stretch[SCALING_OF[mu]][v];
        return factor * (2 * a.series[mu][v] + 2 * slope_of_g * k * a.slope[mu][v] +
                         g * k * k * a.curvature[mu][v]);
    }
};

template <typename T>
inline __attribute__((always_inline)) void unit_at(const Surroundings<T> &a, int64_t v,
                                                   Vector<T> (&u)[3]) {
    for (int axis = 0; axis < 3; ++axis) u[axis] = a.unit[axis][v];
}

// Basic moments of one atom of the group.
template <typename T>
void basic_moments(const Surroundings<T> &a, T cutoff, double (*moments)[GROUP], int place) {
    typedef Vector<T> V;
    V total[BASIC] = {};
    for (int64_t v = 0; v < a.length; ++v) {
        const RadialAt<T> radial(a, v, cutoff);
        V u[3], value[MONOMIALS], R[FUNCTIONS];
        unit_at<T>(a, v, u);
        monomials<T>(u, value);
        unrolled<FUNCTIONS>([&](auto mu) { R[mu] = radial.template value<mu>(); });
        unrolled<BASIC>([&](auto i) { total[i] += R[FUNCTION_OF[i]] * value[MONOMIAL_OF[i]]; });
    }
    for (int i = 0; i < BASIC; ++i) moments[i][place] = sum<T>(total[i]);
}

inline void zero_products(double (*moments)[GROUP]) {
    std::memset(moments[BASIC], 0, sizeof(double) * (MOMENTS - BASIC) * GROUP);
}

inline void multiply(double (*moments)[GROUP]) {
    zero_products(moments);
    for (const Product &p : PRODUCTS)
#pragma omp simd
        for (int i = 0; i < GROUP; ++i)
            moments[p.out][i] += p.factor * moments[p.a][i] * moments[p.b][i];
}

// slopes[m] = dE / dM[m], from those of the scalars.
inline void propagate_back(const double (*moments)[GROUP], double (*slopes)[GROUP]) {
    for (int number = PRODUCT_COUNT - 1; number >= 0; --number) {
        const Product &p = PRODUCTS[number];
#pragma omp simd
        for (int i = 0; i < GROUP; ++i) {
            const double slope = p.factor * slopes[p.out][i];
            slopes[p.a][i] += slope * moments[p.b][i];
            slopes[p.b][i] += slope * moments[p.a][i];
        }
    }
}

// Gives dE/dr of each vector of edges, from the slopes of the basic moments, to write(v, gradient).
template <typename T, typename F>
void edge_gradient(const Surroundings<T> &a, T cutoff, const double (*slopes)[GROUP], int place,
                   F &&write) {
    typedef Vector<T> V;
    T slope[BASIC];
    for (int i = 0; i < BASIC; ++i) slope[i] = slopes[i][place];
    for (int64_t v = 0; v < a.length; ++v) {
        const RadialAt<T> radial(a, v, cutoff);
        V u[3], value[MONOMIALS], c0[MONOMIALS] = {}, c1[MONOMIALS] = {};
        unit_at<T>(a, v, u);
        monomials<T>(u, value);
        V R[FUNCTIONS], R1[FUNCTIONS];
        unrolled<FUNCTIONS>([&](auto mu) {
            R[mu] = radial.template value<mu>();
            R1[mu] = radial.template first<mu>();
        });
        unrolled<BASIC>([&](auto i) {
            c0[MONOMIAL_OF[i]] += R[FUNCTION_OF[i]] * slope[i];
            c1[MONOMIAL_OF[i]] += R1[FUNCTION_OF[i]] * slope[i];
        });
        V along = {}, gradient[3];
        unrolled<MONOMIALS>([&](auto m) { along += c1[m] * value[m]; });
        monomial_gradient<T>(c0, value, gradient);
        along -= dot<T>(gradient, u) * a.inverse[v];
        for (int axis = 0; axis < 3; ++axis)
            gradient[axis] = along * u[axis] + gradient[axis] * a.inverse[v];
        write(v, gradient);
    }
}

template <typename T>
int places_at(const Surroundings<T> &a, int64_t v) {
    return std::min<int64_t>(LANES<T>, a.count - v * LANES<T>);
}

// Writes the gradient of one atom's edges to the array of all edges.
template <typename T>
void store_gradient(const Problem &problem, const Surroundings<T> &a,
                    const double (*slopes)[GROUP], int place) {
    T *gradient = static_cast<T *>(problem.gradient);
    edge_gradient<T>(a, problem.cutoff, slopes, place, [&](int64_t v, const Vector<T> *g) {
        for (int lane = 0; lane < places_at(a, v); ++lane) {
            T *out = gradient + 3 * a.edge[v * LANES<T> + lane];
            for (int axis = 0; axis < 3; ++axis) out[axis] = g[axis][lane];
        }
    });
}

// Adds an atom's part of the forces, F_centre += g and F_neighbour -= g, and of its frame's virial,
// the sum of g (x) r, to the sums of a thread.
template <typename T>
void add_forces(const Problem &problem, int64_t atom, const Surroundings<T> &a,
                const double (*slopes)[GROUP], int place, double *forces, double *virial) {
    typedef Vector<T> V;
    V own[3] = {}, outer[3][3] = {};
    edge_gradient<T>(a, problem.cutoff, slopes, place, [&](int64_t v, const V *g) {
        for (int axis = 0; axis < 3; ++axis) {
            own[axis] += g[axis];
            if (virial) {
                const V r = a.unit[axis][v] * a.r[v];
                for (int row = 0; row < 3; ++row) outer[row][axis] += g[row] * r;
            }
        }
        for (int lane = 0; lane < places_at(a, v); ++lane) {
            double *force = forces + 3 * problem.neighbour[a.edge[v * LANES<T> + lane]];
            for (int axis = 0; axis < 3; ++axis) force[axis] -= g[axis][lane];
        }
    });
    for (int axis = 0; axis < 3; ++axis) forces[3 * atom + axis] += sum<T>(own[axis]);
    if (virial)
        for (int i = 0; i < 9; ++i)
            virial[9 * problem.frame_of[atom] + i] += sum<T>(outer[i / 3][i % 3]);
}

inline double weight_of(const Problem &problem, int64_t atom) {
    return WEIGHTED ? problem.weight[problem.types[atom]] : 1;
}

// Scalars to slopes; returns sum_q xi[q] B_q of each atom of the group.
inline void read_out(const Problem &problem, int64_t begin, int atoms, const double (*moments)[GROUP],
                     double (*slopes)[GROUP], double (&total)[GROUP]) {
    std::memset(slopes, 0, sizeof(double) * MOMENTS * GROUP);
    double weight[GROUP] = {};
    for (int i = 0; i < atoms; ++i) weight[i] = weight_of(problem, begin + i);
    for (double &value : total) value = 0;
    for (int q = 0; q < SCALARS; ++q)
#pragma omp simd
        for (int i = 0; i < GROUP; ++i) {
            total[i] += problem.xi[q] * moments[SCALAR[q]][i];
            slopes[SCALAR[q]][i] += problem.xi[q] * weight[i];
        }
}

// Energies of a group of atoms; their slopes by the moments are left in the workspace.
template <typename T, bool from_positions>
void energies_of_group(const Problem &problem, const Radial<T> &radial, Workspace<T> &work,
                       int64_t begin, int atoms) {
    for (int i = 0; i < atoms; ++i) {
        gather<T, from_positions>(problem, begin + i, work.around[i]);
        radial.template evaluate<1>(work.around[i]);
        basic_moments<T>(work.around[i], problem.cutoff, work.moments, i);
    }
    for (int i = atoms; i < GROUP; ++i)
        for (int m = 0; m < BASIC; ++m) work.moments[m][i] = 0;
    multiply(work.moments);
    double total[GROUP];
    read_out(problem, begin, atoms, work.moments, work.slopes, total);
    for (int i = 0; i < atoms; ++i)
        problem.site[begin + i] = weight_of(problem, begin + i) * (total[i] + (WEIGHTED ? 1 : 0));
    if (problem.forces || problem.gradient) propagate_back(work.moments, work.slopes);
}

// Deals the groups of atoms out to the threads of the parallel region.
template <typename F>
void for_groups(const Problem &problem, F &&each) {
#pragma omp for schedule(static, 1)
    for (int64_t group = 0; group < (problem.atoms + GROUP - 1) / GROUP; ++group)
        each(group * GROUP, int(std::min<int64_t>(GROUP, problem.atoms - group * GROUP)));
}
