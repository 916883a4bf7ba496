// Second derivatives of the site energies by the basic moments, and first ones of the scalars: what the
// Jacobian of energies and forces by all parameters is made of. One forward and one adjoint sweep for
// each basic moment, along which it alone changes.

#pragma once
#include "training.h"

// The same numbers for each atom of a group; those beyond the last atom are zero.
inline void load_moments(const Problem &problem, int64_t begin, int atoms, double (*moments)[GROUP]) {
    for (int m = 0; m < BASIC; ++m)
        for (int i = 0; i < GROUP; ++i)
            moments[m][i] = i < atoms ? problem.basic[(begin + i) * BASIC + m] : 0;
}

inline void set_direction(int moment, double (*tangents)[GROUP]) {
    for (int m = 0; m < BASIC; ++m)
        for (int i = 0; i < GROUP; ++i) tangents[m][i] = m == moment;
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
    for (int moment = 0; moment < BASIC; ++moment) {
        set_direction(moment, work.tangents);
        multiply_tangents(work.moments, work.tangents);
        store<SCALARS>(problem.jacobian, moment, begin, atoms, SCALAR, work.tangents);
        if (!problem.curvature) continue;
        read_out(problem, begin, atoms, work.moments, work.slopes, total);
        std::memset(work.mixed, 0, sizeof work.mixed);
        propagate_both_back<double>(work);
        store<BASIC>(problem.curvature, moment, begin, atoms, nullptr, work.mixed);
    }
}
