"""What the training data determine before the first step."""

import ase
import numpy as np
import pytest
import torch
from standin import CUTOFF, PairSum

from sus2bench.atoms.frame import collate, edge_vectors
from sus2bench.atoms.reading import LabelledAtoms
from sus2bench.data.dataset import FrameDataset, build_store
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2, potential_from_mtp, potential_to_mtp
from sus2bench.models.zbl import ZBL
from sus2bench.testing import perturb
from sus2bench.testing.potentials import predict
from sus2bench.testing.structures import random_atoms
from sus2bench.training.freezing import freeze
from sus2bench.training.initialise import initialise, label_counts, take_units
from sus2bench.training.loss import PotentialLoss, count_labels
from sus2bench.training.regularization import Regularization
from sus2bench.training.whole_set.batches import FrameBlocks
from sus2bench.training.whole_set.levenberg_marquardt import solve_readout
from sus2bench.training.whole_set.linear_solve import ReadoutSolver
from sus2bench.training.whole_set.objective import Objective


def make_data(count=20):
    rng = np.random.default_rng(0)
    frames = [ase.Atoms("Ni", cell=3 * [9.0], pbc=True)]
    frames += [random_atoms(("Ni", "Cu"), (2, 2, 2), seed=seed) for seed in range(count - 1)]
    labelled = [
        LabelledAtoms(
            atoms,
            energy=float(rng.normal() - 3 * len(atoms)),
            forces=rng.normal(scale=0.5, size=(len(atoms), 3)),
            stress=None,
        )
        for atoms in frames
    ]
    return FrameDataset(build_store(labelled, CUTOFF, "made up"), "made up", CUTOFF)


class Scaled(PairSum):
    """Takes its average number of neighbours from the data, and keeps what it was shown."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.register_buffer("neighbours", torch.ones((), dtype=torch.float64))
        self.shown = []

    def scale_to_data(self, batches):
        self.shown = list(batches)
        atoms = sum(len(batch.atomic_numbers) for batch in self.shown)
        edges = sum(batch.edge_index.shape[1] for batch in self.shown)
        self.neighbours.fill_(edges / atoms)
        return {"neighbours": edges / atoms}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_that_scales_to_data_sees_every_training_frame_once_in_order(dtype):
    data = make_data()
    potential = Potential(Scaled(["Ni", "Cu"])).to(dtype)
    initialise(potential, data)
    shown = potential.model.shown
    assert len(shown) > 1, "in several batches, so that memory is bounded"
    numbers = torch.cat([batch.frame_index for batch in shown])
    assert numbers.tolist() == list(range(len(data)))
    for batch in shown:
        assert batch.edge_vectors.dtype == dtype
        torch.testing.assert_close(batch.edge_vectors, edge_vectors(batch).to(dtype))


def test_the_constants_are_set_and_recorded():
    data = make_data()
    potential = Potential(Scaled(["Ni", "Cu"]))
    report = initialise(potential, data)
    expected = data.num_edges.sum() / data.num_atoms.sum()
    assert report["scales"] == {"neighbours": pytest.approx(expected)}
    assert float(potential.model.neighbours) == pytest.approx(expected)
    # The scale of the output is set all the same: a model without linear readout needs it.
    assert report["energy_scale"] == pytest.approx(0.5, rel=0.1)


def test_the_constants_are_there_before_the_exact_linear_solve(monkeypatch):
    seen = []

    class Linear(Scaled):
        linear_coefficients = torch.zeros(1, dtype=torch.float64)

        def linear_response(self, frame):
            raise AssertionError("the solve is replaced in this test")

        def set_linear_coefficients(self, values, units=None):
            raise AssertionError("the solve is replaced in this test")

    def solve(potential, *arguments, **settings):
        seen.append(float(potential.model.neighbours))
        raise StopIteration

    monkeypatch.setattr("sus2bench.training.initialise.solve_linear_readout", solve)
    data = make_data()
    with pytest.raises(StopIteration):
        initialise(Potential(Linear(["Ni", "Cu"])), data)
    assert seen == [pytest.approx(data.num_edges.sum() / data.num_atoms.sum())]


def test_pairs_of_elements_that_never_meet_are_in_the_report():
    # Only nickel with nickel, but for single frames of gold and of copper without neighbours.
    frames = [ase.Atoms("NiNi", positions=[(0, 0, 0), (0, 0, 2.4)])]
    frames += [ase.Atoms(symbol) for symbol in ("Au", "Cu")]
    labelled = [
        LabelledAtoms(atoms, energy=-1.0, forces=np.ones((len(atoms), 3)), stress=None)
        for atoms in frames
    ]
    data = FrameDataset(build_store(labelled, CUTOFF, "made up"), "made up", CUTOFF)
    for choice in ("observed", "default"):
        model = SUS2(["Ni", "Cu", "Au"], CUTOFF, channels=1, initial_scaling=choice)
        report = initialise(Potential(model), data)
        if choice == "default":
            assert "scales" not in report
        else:
            unseen = ["Ni-Cu", "Ni-Au", "Cu-Cu", "Cu-Au", "Au-Au"]
            assert report["scales"] == {"pairs": 6, "unseen_pairs": unseen}


def test_a_model_without_the_hook_has_no_scales_in_its_report():
    assert "scales" not in initialise(Potential(PairSum(["Ni", "Cu"])), make_data())


def test_labels_are_counted_as_the_loss_counts_them():
    atoms = random_atoms(("Ni", "Cu"), (2, 2, 2), seed=0)
    forces = np.ones((len(atoms), 3))
    labelled = [
        LabelledAtoms(atoms, energy=-1.0, forces=None, stress=np.eye(3)),
        LabelledAtoms(atoms, energy=-1.0, forces=forces, stress=None),
        LabelledAtoms(atoms, energy=None, forces=forces, stress=None),
    ]
    data = FrameDataset(build_store(labelled, CUTOFF, "made up"), "made up", CUTOFF)
    expected = torch.tensor([2, 6 * len(atoms), 9], dtype=torch.float64)
    assert torch.equal(label_counts(data), expected)
    assert torch.equal(count_labels([collate(list(data))]), expected)


@pytest.fixture
def started(tmp_path):
    """A potential of an `.mtp` file; effects of coefficients differ by orders of magnitude."""
    written = perturb(Potential(SUS2(["Ni", "Cu"], CUTOFF, radial_basis_size=4)).double())
    potential_to_mtp(written, tmp_path / "trained.mtp")
    return potential_from_mtp(tmp_path / "trained.mtp", ["Ni", "Cu"])


def test_units_of_a_trained_file_are_those_of_the_solve_and_change_no_prediction(started):
    data, xi = make_data(), started.model.linear_coefficients
    batch = collate(list(data))
    before = started.eval()(batch)
    take_units(started, data)
    after = started.eval()(batch)
    # Coefficients are divided by units and multiplied again.
    torch.testing.assert_close(started.model.linear_coefficients, xi, rtol=1e-15, atol=0)
    torch.testing.assert_close(after.energy, before.energy, rtol=1e-13, atol=0)
    torch.testing.assert_close(after.forces, before.forces, rtol=0, atol=1e-12)
    solved = Potential.from_payload(started.to_payload())
    initialise(solved, data)
    torch.testing.assert_close(
        started.model.linear_units, solved.model.linear_units, rtol=1e-10, atol=0
    )
    # The ridge acts on what is trained.
    scaled = (xi / solved.model.linear_units).square().mean()
    assert float(Regularization(readout=1.0)(started)) == pytest.approx(float(scaled), rel=1e-9)


def test_steps_from_a_trained_file_solve_for_its_readout_exactly(started):
    data = make_data()
    take_units(started, data)
    objective = Objective(started, PotentialLoss(1.0, 1.0, 0.0), FrameBlocks(data))
    start = objective.get()
    solve_readout(objective)
    found = objective.value()
    objective.set(start)
    ReadoutSolver(objective).solve()
    # Damped by 1e-10 of the diagonal; without units 3e-4 of the loss would be left.
    assert found == pytest.approx(objective.value(), rel=1e-6)


def test_a_frozen_readout_keeps_its_units(started):
    freeze(started, ["scalar_coefficients"])
    take_units(started, make_data())
    assert bool((started.model.linear_units == 1).all())


def close_contacts():
    """Copper-nickel pairs from 1.2 Å on; beside the repulsion -7 eV and forces of 0.5 eV/Å."""
    repulsion = Potential(PairSum(["Ni", "Cu"]), zbl=ZBL(["Ni", "Cu"])).eval()
    bare = Potential(repulsion.model).eval()
    labelled = []
    for distance in (1.2, 1.5, 2.0, 2.3):
        atoms = ase.Atoms("NiCu", positions=[(0, 0, 0), (0, 0, distance)])
        full, rest = (predict(potential.double(), atoms) for potential in (repulsion, bare))
        forces = (full.forces - rest.forces).numpy() + [[0, 0, 0.5], [0, 0, -0.5]]
        energy = float(full.energy - rest.energy) - 7.0
        labelled.append(LabelledAtoms(atoms, energy=energy, forces=forces, stress=None))
    return FrameDataset(build_store(labelled, CUTOFF, "made up"), "made up", CUTOFF)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_energies_and_scale_are_those_of_what_a_repulsion_leaves_of_the_labels(dtype):
    potential = Potential(PairSum(["Ni", "Cu"]), zbl=ZBL(["Ni", "Cu"])).to(dtype)
    report = initialise(potential, close_contacts())
    # The repulsion of hundreds of eV, in the precision of the model.
    close = {"abs": 1e-10 if dtype is torch.float64 else 1e-3}
    assert sum(report["atomic_energies"].values()) == pytest.approx(-7.0, **close)
    assert report["energy_scale"] == pytest.approx(0.5 / 3**0.5, **close)
    assert report["least_squares"]["rmse_meV_per_atom"] == pytest.approx(0, abs=1e3 * close["abs"])
