"""Several random starts: the best is found, and one start is no choice at all."""

import copy

import numpy as np
import pytest
import torch
from ase.build import bulk

from sus2bench.atoms.frame import build_frame
from sus2bench.atoms.reading import LabelledAtoms
from sus2bench.data.dataset import FrameDataset, build_store
from sus2bench.models.potential import Potential
from sus2bench.models.schnet import SchNet
from sus2bench.models.sus2 import SUS2
from sus2bench.training.freezing import freeze
from sus2bench.training.initialise import initialise
from sus2bench.training.linear_readout import LinearWeights
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.multistart import MultiStart, seeds
from sus2bench.training.regularization import Regularization
from sus2bench.training.whole_set.batches import FrameBlocks
from sus2bench.training.whole_set.objective import Objective

CUTOFF = 4.0
LOSS = PotentialLoss(1.0, 0.1, 0.0)
STARTS = 4


def make(seed, dtype=torch.float64):
    model = SUS2(["Al", "Cu"], CUTOFF, channels=1, radial_basis_size=4, seed=seed)
    return Potential(model).to(dtype)


def dataset(potential=None, count=8):
    """Rattled Al-Cu cells with the labels of a potential, or made-up ones."""
    generator = np.random.default_rng(0)
    labelled = []
    for index in range(count):
        atoms = bulk("Cu", cubic=True)
        atoms.symbols[: 1 + index % 3] = "Al"
        atoms.rattle(0.15, seed=index)
        energy, forces = -14 + generator.normal(), generator.normal(size=(4, 3))
        if potential is not None:
            found = potential.eval()(build_frame(atoms, CUTOFF))
            energy, forces = float(found.energy), found.forces.double().numpy()
        labelled.append(LabelledAtoms(atoms, energy=energy, forces=forces, stress=None))
    return FrameDataset(build_store(labelled, CUTOFF, "made up"), "made up", CUTOFF)


def values(potential):
    return {name: tensor.clone() for name, tensor in potential.state_dict().items()}


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.fixture
def truth():
    """A potential with the radial functions of the third start."""
    potential = make(seeds(0, STARTS)[2])
    xi = torch.randn(14, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    potential.model.set_linear_coefficients(0.1 * xi)
    return potential


def test_seeds_begin_with_that_of_the_run_and_differ_between_runs():
    assert seeds(5, 1) == [5]
    assert seeds(5, 4) == [5, *seeds(5, 8)[1:4]]
    several = [number for first in (0, 1, 2) for number in seeds(first, 16)]
    assert len(set(several)) == len(several)


def test_the_start_that_made_the_labels_is_chosen(truth):
    potential, train = make(0), dataset(truth)
    report = MultiStart(STARTS, atoms=16, steps=2).initialise(potential, make, 0, train, LOSS)
    choice = report["multistart"]
    assert choice["chosen_seed"] == seeds(0, STARTS)[2]
    assert choice["frames"] == 4
    assert [len(rung["losses"]) for rung in choice["rungs"]] == [4, 2]
    assert [rung["steps"] for rung in choice["rungs"]] == [0, 2]
    # The exact solve finds its xi; the squares of the labels are of order one.
    assert Objective(potential, LOSS, FrameBlocks(train)).value() < 1e-12


def test_each_comparison_is_by_the_loss_and_keeps_the_better_half():
    potential, train = make(0), dataset()
    report = MultiStart(5, atoms=16, steps=1).initialise(potential, make, 0, train, LOSS)
    rungs = [rung["losses"] for rung in report["multistart"]["rungs"]]
    assert set(rungs[0]) == {str(number) for number in seeds(0, 5)}
    assert [len(rung) for rung in rungs] == [5, 3, 2]
    assert [rung["steps"] for rung in report["multistart"]["rungs"]] == [0, 1, 3]
    for before, after in zip(rungs, rungs[1:], strict=False):
        best = sorted(before, key=before.get)[: (len(before) + 1) // 2]
        assert set(after) == set(best)
        # Steps of an optimizer with a line search never make anything worse.
        assert all(after[number] <= before[number] for number in after)
    assert str(report["multistart"]["chosen_seed"]) == min(rungs[-1], key=rungs[-1].get)


def test_starts_are_compared_by_the_regularized_loss_after_a_solve_with_its_ridge():
    regularization, train = Regularization(readout=0.1, smoothness=0.05), dataset()
    potential = make(0)
    report = MultiStart(2, atoms=1024).initialise(
        potential, make, 0, train, LOSS, regularization=regularization
    )
    rung = report["multistart"]["rungs"][0]["losses"]
    chosen = report["multistart"]["chosen_seed"]
    # All frames are compared on, so that the solve for them leads to the same coefficients.
    objective = Objective(potential, LOSS, FrameBlocks(train), regularization=regularization)
    assert rung[str(chosen)] == pytest.approx(objective.value(), rel=1e-8)
    free = make(chosen)
    initialise(free, train, weights=LinearWeights(**LOSS.weights))
    smaller, larger = (one.model.readout.coefficients.norm() for one in (potential, free))
    assert smaller < larger


def test_the_chosen_start_goes_on_with_what_it_has_learned(truth):
    train = dataset()
    trained = MultiStart(2, atoms=16, steps=3)
    once, potential = make(0), make(0)
    report = trained.initialise(once, make, 0, train, LOSS)
    solved = make(report["multistart"]["chosen_seed"])
    initialise(solved, train, weights=LinearWeights(**LOSS.weights))
    # Two starts are compared once, after the solve: nothing is trained yet.
    torch.testing.assert_close(once.model.radial.coefficients, solved.model.radial.coefficients)
    assert len(report["multistart"]["rungs"]) == 1
    report = MultiStart(4, atoms=16, steps=3).initialise(potential, make, 0, train, LOSS)
    start = make(report["multistart"]["chosen_seed"])
    assert not torch.equal(potential.model.radial.alpha, start.model.radial.alpha)
    initialise(start, train, weights=LinearWeights(**LOSS.weights))
    objectives = [Objective(one, LOSS, FrameBlocks(train)) for one in (potential, start)]
    assert objectives[0].value() < objectives[1].value()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_start_equals_none(dtype):
    train = dataset()
    one, none = make(7, dtype), make(7, dtype)
    settings = {"atomic_energies": {"Al": -1.0, "Cu": -2.0}}
    report = MultiStart(1).initialise(one, make, 7, train, LOSS, **settings)
    weights = LinearWeights(**LOSS.weights)
    assert report == initialise(none, train, weights=weights, **settings)
    assert_equal(values(one), values(none))


def test_the_same_seed_gives_the_same_to_the_bit_and_the_global_generator_is_not_touched():
    found = []
    for _ in range(2):
        potential, before = make(0, torch.float32), torch.random.get_rng_state()
        report = MultiStart(4, atoms=16, steps=2).initialise(
            potential, lambda seed: make(seed, torch.float32), 0, dataset(), copy.deepcopy(LOSS)
        )
        assert torch.equal(torch.random.get_rng_state(), before)
        assert potential.dtype == torch.float32
        found.append((report, values(potential)))
    assert found[0][0] == found[1][0]
    assert_equal(found[0][1], found[1][1])


def test_frozen_blocks_keep_the_values_of_the_chosen_start():
    def frozen(seed):
        potential = make(seed)
        freeze(potential, ["radial_coefficients", "pair_scaling"])
        return potential

    potential = frozen(0)
    report = MultiStart(4, atoms=16, steps=3).initialise(potential, frozen, 0, dataset(), LOSS)
    start = make(report["multistart"]["chosen_seed"])
    assert torch.equal(potential.model.radial.coefficients, start.model.radial.coefficients)
    assert torch.equal(potential.model.radial.r0, start.model.radial.r0)
    assert not torch.equal(potential.model.species_weight, start.model.species_weight)
    assert potential.held


def test_what_cannot_be_chosen_among_is_named():
    schnet = Potential(SchNet(["Al", "Cu"], CUTOFF, features=4, interactions=1))
    with pytest.raises(ValueError, match="linear readout such as SUS2 and MTP, not for SchNet"):
        MultiStart(2).initialise(schnet, make, 0, dataset(), LOSS)
    for name in ("starts", "atoms", "steps"):
        with pytest.raises(ValueError, match=f"multistart.{name} must be at least 1, not 0"):
            MultiStart(**{name: 0})
