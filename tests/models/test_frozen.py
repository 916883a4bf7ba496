"""The linear baseline: what is inside stays as it was made, and only what is solved for counts."""

import pytest
import torch

from sus2bench.benchmark.parameters import count
from sus2bench.models.composition import Composition
from sus2bench.models.frozen import FrozenRadial
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2
from sus2bench.training.initialise import trains_by_steps

SUS2_TARGET = "sus2bench.models.sus2.SUS2"


def frozen(**arguments):
    return FrozenRadial(["Al", "Cu"], 4.0, model={"_target_": SUS2_TARGET, **arguments})


def test_model_inside_is_the_one_named_with_species_and_cutoff_of_the_outer():
    inside, other = frozen(channels=1, seed=3).model, SUS2(["Al", "Cu"], 4.0, channels=1, seed=3)
    assert inside.hyperparameters() == other.hyperparameters()
    for name, value in other.state_dict().items():
        assert torch.equal(inside.state_dict()[name], value), name


def test_only_potentials_without_parameters_to_train_take_no_steps():
    assert not trains_by_steps(Potential(frozen()))
    assert not trains_by_steps(Potential(Composition(["Al", "Cu"])))
    assert trains_by_steps(Potential(SUS2(["Al", "Cu"])))


def test_trainable_parameters_are_coefficients_and_atomic_energies():
    potential = Potential(frozen(channels=1))
    counts, whole = count(potential, set()), count(Potential(SUS2(["Al", "Cu"], channels=1)), set())
    assert counts["stored"] == whole["stored"]
    assert counts["trainable"] == 14 + 2
    assert counts["blocks"]["linear_coefficients"]["effective"] == 14


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"_target_": "sus2bench.models.schnet.SchNet"}, "no linear readout"),
        ({"_target_": SUS2_TARGET, "cutoff": 5.0}, "model.cutoff"),
        ({"_target_": "torch.nn.Linear"}, "not a SiteEnergyModel"),
        ({}, "cannot be imported"),
    ],
)
def test_models_that_cannot_be_frozen_are_refused(model, message):
    with pytest.raises(ValueError, match=message):
        FrozenRadial(["Al", "Cu"], 4.0, model=model)
