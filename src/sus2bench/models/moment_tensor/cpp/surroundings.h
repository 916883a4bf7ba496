// What a kernel works on: the problem as Python hands it over, and the surroundings of an atom.
//
// Atoms are done one by one, with vectors of the processor's width along their neighbours; eight of
// them together for the products. So no array is larger than the surroundings of eight atoms.

#pragma once
#include <algorithm>

#include "vectors.h"

#include "form.h"

constexpr int GROUP = 8;  // atoms whose products are computed together

struct Problem {
    int64_t atoms, species, threads, longest;  // longest: largest number of edges of one atom
    const int64_t *first;                      // (atoms + 1): where the edges of an atom begin
    const int64_t *neighbour, *types;          // (edges), (atoms)
    const void *vectors;                       // (edges, 3) in Å, like everything void of type T;
                                               // or null, and from the following:
    const double *positions, *cells;           // (atoms, 3), (frames, 3, 3)
    const int32_t *shifts;                     // (edges, 3)
    const int64_t *frame_of;                   // (atoms)
    double cutoff, scaling, min_dist;
    const void *parameters[4];                 // of the radial functions
    const double *weight, *xi;                 // (species), (scalars)
    int64_t frames;
    double *forces, *virial;                   // (atoms, 3), (frames, 3, 3) out, or null
    double *site;                              // (atoms) out
    void *gradient;                            // (edges, 3) out
    const double *site_cotangent;              // (atoms)
    const void *gradient_cotangent;            // (edges, 3), or null, and from the following:
    const double *force_cotangent;             // (atoms, 3)
    const double *virial_cotangent;            // (frames, 3, 3), or null
    double *parameter_gradients[4];            // out: radial functions
    double *weight_gradient, *xi_gradient;     // out
    void *vector_gradient;                     // (edges, 3) out, or null
    const double *basic;                       // (atoms, BASIC), of the following alone:
    double *scalars, *jacobian;                // (atoms, SCALARS), (atoms, BASIC, SCALARS) out
    double *curvature;                         // (atoms, BASIC, BASIC) out, or null
    int64_t kinds;                             // of one frame, for its Jacobian; `basic` are slopes
    const int64_t *kind;                       // (atoms), number of the type among those there are
    double *moments;                           // (atoms, BASIC) out
    double *moment_sums;                       // (atoms, BASIC, kinds, TERMS) out, or null
    int64_t slots;                             // of each centre, for itself and its neighbours
    const int64_t *own_slot, *slot;            // (atoms), (edges)
    double *pulls;                             // (atoms, slots, 3, BASIC) out
    double *strain;                            // (atoms, 9, BASIC) out, or null
    double *own, *onto;                        // (atoms, 3, kinds, FUNCTIONS, TERMS) out, or null
    double *outer;                             // (kinds, kinds, 9, FUNCTIONS, TERMS) out, or null
};

// What is around one atom, in vectors along the neighbours; empty places are at the cutoff.
template <typename T>
struct Surroundings {
    typedef Vector<T> V;
    int64_t atom, centre, count, length;  // centre: type of the atom; length: number of vectors
    V *unit[3], *r, *inverse, *factor;
    V *series[FUNCTIONS], *slope[FUNCTIONS], *curvature[FUNCTIONS], *stretch[SCALINGS];
    int32_t *pair, *neighbour_type;
    int64_t *edge;
};

// Memory of one thread for GROUP atoms, laid out anew for each of them.
template <typename T>
class Workspace {
   public:
    typedef Vector<T> V;
    Workspace(int64_t longest, bool curvature)
        : length_((longest + LANES<T> - 1) / LANES<T>),
          rows_(6 + (curvature ? 3 : 2) * FUNCTIONS + SCALINGS),
          curvature_(curvature),
          vectors_(GROUP * rows_ * length_),
          integers_(2 * GROUP * length_ * LANES<T>),
          edges_(GROUP * length_ * LANES<T>) {
        for (int atom = 0; atom < GROUP; ++atom) lay_out(atom);
    }
    Surroundings<T> around[GROUP];
    double moments[MOMENTS][GROUP] __attribute__((aligned(64)));
    double tangents[MOMENTS][GROUP] __attribute__((aligned(64)));
    double slopes[MOMENTS][GROUP] __attribute__((aligned(64)));
    double mixed[MOMENTS][GROUP] __attribute__((aligned(64)));

   private:
    void lay_out(int atom) {
        Surroundings<T> &a = around[atom];
        V *next = vectors_.get() + atom * rows_ * length_;
        auto take = [&] { V *p = next; next += length_; return p; };
        for (V *&axis : a.unit) axis = take();
        a.r = take(), a.inverse = take(), a.factor = take();
        for (V *&row : a.series) row = take();
        for (V *&row : a.slope) row = take();
        for (V *&row : a.curvature) row = curvature_ ? take() : nullptr;
        for (V *&row : a.stretch) row = take();
        const int64_t places = length_ * LANES<T>;
        a.pair = integers_.get() + 2 * atom * places;
        a.neighbour_type = a.pair + places;
        a.edge = edges_.get() + atom * places;
    }
    int64_t length_, rows_;
    bool curvature_;
    Aligned<V> vectors_;
    Aligned<int32_t> integers_;
    Aligned<int64_t> edges_;
};

// The vector of an edge in double precision.
struct EdgeVector {
    const Problem &problem;
    const double *centre, *cell;
    EdgeVector(const Problem &p, int64_t atom)
        : problem(p), centre(p.positions + 3 * atom), cell(p.cells + 9 * p.frame_of[atom]) {}
    template <typename T>
    void write(int64_t e, T *v) const {
        const double *end = problem.positions + 3 * problem.neighbour[e];
        const int32_t *s = problem.shifts + 3 * e;
        for (int axis = 0; axis < 3; ++axis)
            v[axis] = end[axis] - centre[axis] +
                      (s[0] * cell[axis] + s[1] * cell[3 + axis] + s[2] * cell[6 + axis]);
    }
};

// Collects the neighbours of an atom that are within the cutoff.
template <typename T, bool from_positions>
void gather(const Problem &problem, int64_t atom, Surroundings<T> &a) {
    const T cutoff = problem.cutoff, square = cutoff * cutoff;
    T *x = (T *)a.unit[0], *y = (T *)a.unit[1], *z = (T *)a.unit[2];
    T *r = (T *)a.r, *inverse = (T *)a.inverse;
    const int64_t centre = problem.types[atom];
    int64_t n = 0;
    for (int64_t e = problem.first[atom]; e < problem.first[atom + 1]; ++e) {
        T v[3];
        if constexpr (from_positions)
            EdgeVector(problem, atom).write(e, v);
        else
            std::memcpy(v, static_cast<const T *>(problem.vectors) + 3 * e, sizeof v);
        x[n] = v[0], y[n] = v[1], z[n] = v[2];
        a.edge[n] = e;
        n += v[0] * v[0] + v[1] * v[1] + v[2] * v[2] < square;
    }
    a.atom = atom;
    a.centre = centre;
    a.count = n;
    a.length = (n + LANES<T> - 1) / LANES<T>;
    for (int64_t j = 0; j < n; ++j) {
        a.neighbour_type[j] = problem.types[problem.neighbour[a.edge[j]]];
        a.pair[j] = centre * problem.species + a.neighbour_type[j];
    }
    for (int64_t j = n; j < a.length * LANES<T>; ++j) {
        x[j] = cutoff, y[j] = z[j] = 0;
        a.pair[j] = centre * problem.species, a.neighbour_type[j] = 0;
    }
#pragma omp simd
    for (int64_t j = 0; j < a.length * LANES<T>; ++j) {
        r[j] = std::sqrt(x[j] * x[j] + y[j] * y[j] + z[j] * z[j]);
        inverse[j] = 1 / r[j];
        x[j] *= inverse[j], y[j] *= inverse[j], z[j] *= inverse[j];
    }
}
