// What the library offers; see `Problem`. Outputs have to be zero at the beginning.

#include <memory>

#include "jacobian.h"

#ifdef _OPENMP
#include <omp.h>
static int thread_number() { return omp_get_thread_num(); }
#else
static int thread_number() { return 0; }
#endif

template <typename T>
static void energies(const Problem &problem) {
    const Radial<T> radial(problem);
#pragma omp parallel num_threads(problem.threads) if (problem.threads > 1)
    {
        const auto work = std::make_unique<Workspace<T>>(problem.longest, false);
        for_groups(problem, [&](int64_t begin, int atoms) {
            energies_of_group<T, false>(problem, radial, *work, begin, atoms);
            for (int i = 0; i < atoms; ++i)
                store_gradient<T>(problem, work->around[i], work->slopes, i);
        });
    }
}

// Forces are summed by each thread for itself, then those of all threads in their order.
template <typename T>
static void forces(const Problem &problem) {
    const Radial<T> radial(problem);
    const size_t force_count = 3 * problem.atoms, virial_count = 9 * problem.frames;
    std::vector<std::vector<double>> sums(problem.threads);
#pragma omp parallel num_threads(problem.threads) if (problem.threads > 1)
    {
        const auto work = std::make_unique<Workspace<T>>(problem.longest, false);
        double *own_forces = problem.forces, *own_virial = problem.virial;
        if (thread_number() > 0 && own_forces) {
            auto &own = sums[thread_number()];
            own.assign(force_count + (own_virial ? virial_count : 0), 0);
            own_forces = own.data();
            if (own_virial) own_virial = own.data() + force_count;
        }
        for_groups(problem, [&](int64_t begin, int atoms) {
            energies_of_group<T, true>(problem, radial, *work, begin, atoms);
            for (int i = 0; own_forces && i < atoms; ++i)
                add_forces<T>(problem, begin + i, work->around[i], work->slopes, i, own_forces,
                              own_virial);
        });
    }
    for (const auto &part : sums)
        for (size_t i = 0; i < part.size(); ++i)
            (i < force_count ? problem.forces[i] : problem.virial[i - force_count]) += part[i];
}

template <typename T>
static void gradients(const Problem &problem) {
    const Radial<T> radial(problem);
    // Groups go to threads, and the sums of threads are added, in the same order each time.
    std::vector<std::unique_ptr<Sums<T>>> sums(problem.threads);
#pragma omp parallel num_threads(problem.threads) if (problem.threads > 1)
    {
        const auto work = std::make_unique<Workspace<T>>(problem.longest, true);
        auto &own = sums[thread_number()];
        own = std::make_unique<Sums<T>>(problem);
        for_groups(problem, [&](int64_t begin, int atoms) {
            gradient_of_group<T>(problem, radial, *work, *own, begin, atoms);
        });
    }
    for (const auto &part : sums)
        if (part) part->add_to(problem);
}

static void curvatures(const Problem &problem) {
#pragma omp parallel num_threads(problem.threads) if (problem.threads > 1)
    {
        const auto work = std::make_unique<Workspace<double>>(0, true);
        for_groups(problem, [&](int64_t begin, int atoms) {
            curvatures_of_group(problem, *work, begin, atoms);
        });
    }
}

extern "C" {
void sus2bench_energies_float32(const Problem *problem) { energies<float>(*problem); }
void sus2bench_energies_float64(const Problem *problem) { energies<double>(*problem); }
void sus2bench_forces_float32(const Problem *problem) { forces<float>(*problem); }
void sus2bench_forces_float64(const Problem *problem) { forces<double>(*problem); }
void sus2bench_gradients_float32(const Problem *problem) { gradients<float>(*problem); }
void sus2bench_gradients_float64(const Problem *problem) { gradients<double>(*problem); }
void sus2bench_curvatures_float64(const Problem *problem) { curvatures(*problem); }
void sus2bench_moments_float64(const Problem *problem) { moments_of_frame(*problem); }
void sus2bench_sums_float64(const Problem *problem) { sums_of_frame(*problem); }
}
