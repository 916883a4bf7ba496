// Sums over the edges of one frame that its Jacobian by all parameters is made of (jacobian.py says what
// for): derivatives of the radial functions by the TERMS parameters that each depends on, times monomials.

#pragma once
#include "curvatures.h"

// What an edge adds: all lanes of one vector of neighbours.
struct EdgeTerms {
    typedef Vector<double> V;
    V value[FUNCTIONS][TERMS], slope[FUNCTIONS][TERMS];  // dR/dtheta and its derivative by r
    V monomial[MONOMIALS], along[FUNCTIONS], across[FUNCTIONS][3];
    V pull[3][BASIC];  // d phi / d r

    EdgeTerms(const Problem &problem, const Radial<double> &radial, const Surroundings<double> &a,
              int64_t v, const double *slopes) {
        const RadialAt<double> at(a, v, problem.cutoff);
        radial.by_parameters(a, v, at, value, slope);
        V u[3], gradient[MONOMIALS][3];
        unit_at<double>(a, v, u);
        monomials<double>(u, monomial);
        unrolled<MONOMIALS>([&](auto m) {
            constexpr int rank = EXPONENT[m][0] + EXPONENT[m][1] + EXPONENT[m][2];
            unrolled<3>([&](auto axis) {
                // A monomial of u = r / |r| has no derivative along r.
                V by_axis = -double(rank) * u[axis] * monomial[m];
                if constexpr (EXPONENT[m][axis] > 0)
                    by_axis += double(EXPONENT[m][axis]) * monomial[LOWER[m][axis]];
                gradient[m][axis] = by_axis * a.inverse[v];
            });
        });
        V R[FUNCTIONS], R1[FUNCTIONS], sum[FUNCTIONS] = {};
        unrolled<FUNCTIONS>([&](auto mu) {
            R[mu] = at.template value<mu>(), R1[mu] = at.template first<mu>();
            for (V &axis : across[mu]) axis = V{};
        });
        unrolled<BASIC>([&](auto i) {
            constexpr int mu = FUNCTION_OF[i], m = MONOMIAL_OF[i];
            sum[mu] += slopes[i] * monomial[m];
            unrolled<3>([&](auto axis) {
                across[mu][axis] += slopes[i] * gradient[m][axis];
                pull[axis][i] = R1[mu] * monomial[m] * u[axis] + R[mu] * gradient[m][axis];
            });
        });
        unrolled<FUNCTIONS>([&](auto mu) { along[mu] = sum[mu]; });
    }
};

// Adds one edge to what is summed for its two atoms.
inline void add_edge(const Problem &problem, const Surroundings<double> &a, const EdgeTerms &terms,
                     int64_t v, int lane) {
    constexpr int64_t BLOCK = FUNCTIONS * TERMS;
    const int64_t kinds = problem.kinds, centre = a.atom, edge = a.edge[v * LANES<double> + lane];
    const int64_t neighbour = problem.neighbour[edge];
    double *pulls = problem.pulls + centre * problem.slots * 3 * BASIC;
    const int64_t kind = problem.kind[neighbour], own_kind = problem.kind[centre];
    double value[FUNCTIONS][TERMS], slope[FUNCTIONS][TERMS], unit[3], vector[3];
    for (int mu = 0; mu < FUNCTIONS; ++mu)
        for (int s = 0; s < TERMS; ++s)
            value[mu][s] = terms.value[mu][s][lane], slope[mu][s] = terms.slope[mu][s][lane];
    for (int axis = 0; axis < 3; ++axis) {
        unit[axis] = a.unit[axis][v][lane];
        vector[axis] = unit[axis] * a.r[v][lane];
    }
    if (problem.moment_sums) unrolled<BASIC>([&](auto i) {
        double *sums = problem.moment_sums + ((centre * BASIC + i) * kinds + kind) * TERMS;
        const double monomial = terms.monomial[MONOMIAL_OF[i]][lane];
        for (int s = 0; s < TERMS; ++s) sums[s] += monomial * value[FUNCTION_OF[i]][s];
    });
    for (int axis = 0; axis < 3; ++axis) {
        double *pull = pulls + (3 * problem.own_slot[centre] + axis) * BASIC;
        double *push = pulls + (3 * problem.slot[edge] + axis) * BASIC;
        double *strain = problem.strain ? problem.strain + (centre * 9 + 3 * axis) * BASIC : nullptr;
        for (int i = 0; i < BASIC; ++i) {
            const double by_axis = terms.pull[axis][i][lane];
            pull[i] += by_axis, push[i] -= by_axis;
            if (strain)
                for (int b = 0; b < 3; ++b) strain[b * BASIC + i] += by_axis * vector[b];
        }
        if (!problem.own) continue;
        double *own = problem.own + ((centre * 3 + axis) * kinds + kind) * BLOCK;
        double *onto = problem.onto + ((neighbour * 3 + axis) * kinds + own_kind) * BLOCK;
        for (int mu = 0; mu < FUNCTIONS; ++mu) {
            const double along = terms.along[mu][lane] * unit[axis];
            const double across = terms.across[mu][axis][lane];
            for (int s = 0; s < TERMS; ++s) {
                const double direct = slope[mu][s] * along + value[mu][s] * across;
                own[mu * TERMS + s] += direct;
                onto[mu * TERMS + s] -= direct;
                if (problem.outer)
                    for (int b = 0; b < 3; ++b)
                        problem.outer[((own_kind * kinds + kind) * 9 + 3 * axis + b) * BLOCK +
                                      mu * TERMS + s] += direct * vector[b];
            }
        }
    }
}

// Basic moments of the atoms of a frame.
inline void moments_of_frame(const Problem &problem) {
    const Radial<double> radial(problem);
    const auto work = std::make_unique<Workspace<double>>(problem.longest, true);
    for (int64_t atom = 0; atom < problem.atoms; ++atom) {
        Surroundings<double> &a = work->around[0];
        gather<double, false>(problem, atom, a);
        radial.template evaluate<1>(a);
        basic_moments<double>(a, problem.cutoff, work->moments, 0);
        for (int i = 0; i < BASIC; ++i) problem.moments[atom * BASIC + i] = work->moments[i][0];
    }
}

// Everything else, for given slopes of the site energies by the basic moments.
inline void sums_of_frame(const Problem &problem) {
    const Radial<double> radial(problem);
    const auto work = std::make_unique<Workspace<double>>(problem.longest, true);
    for (int64_t atom = 0; atom < problem.atoms; ++atom) {
        Surroundings<double> &a = work->around[0];
        gather<double, false>(problem, atom, a);
        radial.template evaluate<2>(a);
        for (int64_t v = 0; v < a.length; ++v) {
            const EdgeTerms terms(problem, radial, a, v, problem.basic + atom * BASIC);
            for (int lane = 0; lane < places_at(a, v); ++lane) add_edge(problem, a, terms, v, lane);
        }
    }
}
