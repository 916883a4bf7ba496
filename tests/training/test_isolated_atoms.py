"""Energies of isolated atoms that are held stay what they are, whatever trains the potential."""

from functools import partial

import ase
import lightning.pytorch as pl
import pytest
import torch
from standin import DataModule, make_frames, make_module, make_potential
from torch.func import functional_call

from sus2bench.atoms.frame import build_frame, collate
from sus2bench.models.loading import load_potential, save_potential
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2, potential_from_mtp, potential_to_mtp
from sus2bench.testing import perturb
from sus2bench.training.averaging import WeightAverage
from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.fit import fit
from sus2bench.training.linear_readout import LinearWeights, solve_linear_readout
from sus2bench.training.loss import PotentialLoss, count_labels

HELD = {"Ni": -1.75, "Cu": -2.5}


def sus2(dtype=torch.float64, backend="eager"):
    model = SUS2(["Ni", "Cu"], 3.6, channels=1, radial_basis_size=4, backend=backend)
    return perturb(Potential(model, energy_scale=1.5)).to(dtype).train()


def held(potential):
    potential.hold_isolated_atoms(HELD)
    return potential


def isolated(potential):
    """Energies of isolated atoms as predicted, each in a frame of its own."""
    frames = [build_frame(ase.Atoms(symbol), potential.cutoff) for symbol in HELD]
    return potential(collate(frames), stress=False).energy.tolist()


MAKERS = {
    "sus2": sus2,
    "sus2 in float32": partial(sus2, torch.float32),
    "sus2 in cpp": partial(sus2, backend="cpp"),
    "no linear readout": make_potential,
}
# Sums of a few numbers of order one, in float64 whatever the model computes in.
CLOSE = partial(pytest.approx, abs=1e-12)


@pytest.mark.parametrize("name", MAKERS)
def test_isolated_atoms_keep_their_energy_whatever_the_parameters_are(name):
    potential = held(MAKERS[name]())
    for seed in range(2):
        assert isolated(perturb(potential, seed)) == CLOSE(list(HELD.values()))
    assert potential.isolated_energies().tolist() == CLOSE(list(HELD.values()))


def test_prediction_is_as_before_when_what_is_held_is_what_has_been():
    potential, batch = sus2(), collate(make_frames(4))
    before = potential(batch)
    potential.hold_isolated_atoms(
        dict(zip(potential.species, potential.isolated_energies().tolist(), strict=True))
    )
    after = potential(batch)
    torch.testing.assert_close(after.energy, before.energy, rtol=0, atol=1e-12)
    assert torch.equal(after.forces, before.forces)


def test_gradients_are_those_of_the_potential_that_holds():
    potential, batch = held(sus2()), collate(make_frames(4))
    loss = PotentialLoss(1.0, 0.1, 10.0)
    names = [name for name, p in potential.named_parameters() if p.requires_grad]
    assert "atomic_energies.values" not in names
    parameters = {name: potential.get_parameter(name).detach().clone() for name in names}
    direction = {
        name: torch.cos(torch.arange(p.numel())).view(p.shape).double()
        for name, p in parameters.items()
    }

    def value(step):
        moved = {name: p + step * direction[name] for name, p in parameters.items()}
        return loss(functional_call(potential, moved, (batch,)), batch)[0]

    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(value(step), step)
    width = 1e-5
    central = float(value(width) - value(-width)) / (2 * width)
    # The truncation of central differences, width^2, and rounding, 1e-16 / width.
    assert float(slope) == pytest.approx(central, rel=1e-7)


def run(folder, potential, steps, resume=None):
    return fit(
        make_module(potential=potential),
        DataModule(train=8, valid=2),
        Budget(max_steps=steps),
        folder=folder,
        trainer=partial(pl.Trainer, accelerator="cpu"),
        callbacks=[Checkpoints(every_steps=3), WeightAverage(0.9)],
        resume=resume,
    )


@pytest.mark.parametrize("make", [sus2, make_potential], ids=["sus2", "no linear readout"])
def test_training_with_averaged_weights_leaves_files_with_the_energies_that_were_held(
    tmp_path, make
):
    potential = held(make())
    weights = potential.state_dict()
    weights = {name: value.clone() for name, value in weights.items()}
    result = run(tmp_path, potential, 6)
    assert any(not torch.equal(weights[name], v) for name, v in potential.state_dict().items())
    assert isolated(potential) == CLOSE(list(HELD.values()))
    loaded = load_potential(result.best_checkpoint)
    assert loaded.atomic_energies.isolated is None
    assert isolated(loaded) == CLOSE(list(HELD.values()))
    batch = collate(make_frames(3))
    assert loaded(batch).energy.tolist() == CLOSE(potential.eval()(batch).energy.tolist())


def test_a_resumed_run_holds_the_same_energies_to_the_bit(tmp_path):
    whole = run(tmp_path / "whole", held(sus2()), 9)
    # A constant rate: the budget changes nothing of the steps before its end.
    run(tmp_path / "parts", held(sus2()), 3)
    parts = run(tmp_path / "parts", sus2(), 9, resume="last")
    first, second = (
        torch.load(result.last_checkpoint, weights_only=True) for result in (whole, parts)
    )
    assert first["global_step"] == second["global_step"] == 9
    for name, value in first["potential"]["state_dict"].items():
        assert torch.equal(value, second["potential"]["state_dict"][name]), name


def test_files_have_the_energies_of_the_parameters_they_are_written_with(tmp_path):
    potential = perturb(held(sus2()), 3).eval()
    save_potential(potential, tmp_path / "held.pt")
    loaded = load_potential(tmp_path / "held.pt")
    assert isolated(loaded) == CLOSE(list(HELD.values()))
    potential_to_mtp(loaded, tmp_path / "held.mtp")
    again = potential_from_mtp(tmp_path / "held.mtp", list(HELD)).eval()
    assert isolated(again) == CLOSE(list(HELD.values()))


def test_linear_solve_leaves_what_is_held():
    potential = held(sus2())
    batch = collate(make_frames(6))
    report = solve_linear_readout(
        potential, [batch], LinearWeights(1.0, 1.0, 0.0), counts=count_labels([batch])
    )
    assert report.columns == len(potential.model.linear_coefficients)
    assert isolated(potential) == CLOSE(list(HELD.values()))
