// Second derivatives of the site energies by the basic moments, and first ones of the scalars: what the
// Jacobian of energies and forces by all parameters is made of. One forward and one adjoint sweep for
// each basic moment, along which it alone changes.

#pragma once
#include <algorithm>

#include "training.h"

// The same numbers for each atom of a group; those beyond the last atom are zero.
inline void load_moments(const Problem &problem, int64_t begin, int atoms, double (*moments)[GROUP]) {
    for (int m = 0; m < BASIC; ++m)
        for (int i = 0; i < GROUP; ++i)
            moments[m][i] = i < atoms ? problem.basic[(begin + i) * BASIC + m] : 0;
}

// Changes of all moments as one basic moment changes; most products do not feel it.
inline void tangents_along(int moment, const double (*moments)[GROUP], double (*tangents)[GROUP],
                           bool *felt) {
    std::memset(tangents, 0, sizeof(double) * MOMENTS * GROUP);
    std::fill(felt, felt + MOMENTS, false);
    felt[moment] = true;
    for (int i = 0; i < GROUP; ++i) tangents[moment][i] = 1;
    for (const Product &p : PRODUCTS) {
        if (!felt[p.a] && !felt[p.b]) continue;
        felt[p.out] = true;
#pragma omp simd
        for (int i = 0; i < GROUP; ++i)
            tangents[p.out][i] += p.factor * (tangents[p.a][i] * moments[p.b][i] +
                                              moments[p.a][i] * tangents[p.b][i]);
    }
}

// Changes of the slopes along those tangents.
inline void slope_tangents(const double (*moments)[GROUP], const double (*tangents)[GROUP],
                           const double (*slopes)[GROUP], const bool *felt,
                           double (*mixed)[GROUP]) {
    bool reached[MOMENTS] = {};
    std::memset(mixed, 0, sizeof(double) * MOMENTS * GROUP);
    for (int number = PRODUCT_COUNT - 1; number >= 0; --number) {
        const Product &p = PRODUCTS[number];
        if (!reached[p.out] && !felt[p.a] && !felt[p.b]) continue;
        reached[p.a] |= reached[p.out] || felt[p.b];
        reached[p.b] |= reached[p.out] || felt[p.a];
#pragma omp simd
        for (int i = 0; i < GROUP; ++i) {
            const double slope = p.factor * slopes[p.out][i], change = p.factor * mixed[p.out][i];
            mixed[p.a][i] += change * moments[p.b][i] + slope * tangents[p.b][i];
            mixed[p.b][i] += change * moments[p.a][i] + slope * tangents[p.a][i];
        }
    }
}

// Writes row `moment` of an atom's matrices; a row has as many numbers as there are `rows`.
template <int COUNT>
inline void store(double *out, int moment, int64_t begin, int atoms, const int *rows,
                  const double (*values)[GROUP]) {
    for (int i = 0; i < atoms; ++i)
        for (int n = 0; n < COUNT; ++n)
            out[((begin + i) * BASIC + moment) * COUNT + n] = values[rows ? rows[n] : n][i];
}

inline void curvatures_of_group(const Problem &problem, Workspace<double> &work, int64_t begin,
                                int atoms) {
    double total[GROUP];
    load_moments(problem, begin, atoms, work.moments);
    multiply(work.moments);
    for (int i = 0; i < atoms; ++i)
        for (int q = 0; q < SCALARS; ++q)
            problem.scalars[(begin + i) * SCALARS + q] = work.moments[SCALAR[q]][i];
    read_out(problem, begin, atoms, work.moments, work.slopes, total);
    propagate_back(work.moments, work.slopes);
    bool felt[MOMENTS];
    for (int moment = 0; moment < BASIC; ++moment) {
        tangents_along(moment, work.moments, work.tangents, felt);
        store<SCALARS>(problem.jacobian, moment, begin, atoms, SCALAR, work.tangents);
        if (!problem.curvature) continue;
        slope_tangents(work.moments, work.tangents, work.slopes, felt, work.mixed);
        store<BASIC>(problem.curvature, moment, begin, atoms, nullptr, work.mixed);
    }
}
