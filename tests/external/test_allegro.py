"""Allegro is the package's model: contract, its own calculator and files, training."""

import importlib.util

import pytest
from nequip_here import (
    ENERGIES,
    SPECIES,
    calculated,
    check_file,
    check_precision_leaves_no_trace,
    check_training,
    native_model,
    train_natively,
    trainable,
)

from sus2bench.models.external.allegro import Allegro
from sus2bench.models.external.isolation import MissingExtraError
from sus2bench.models.potential import Potential
from sus2bench.testing import perturb
from sus2bench.testing.adapter import AdapterTests

INSTALLED = importlib.util.find_spec("allegro") is not None
needs_allegro = pytest.mark.skipif(
    not INSTALLED, reason="nequip-allegro is not installed: nox -s external-equivariant"
)
SMALL = {
    "num_scalar_features": 8,
    "num_tensor_features": 2,
    "scalar_embed_mlp_hidden_layers_width": 8,
    "allegro_mlp_hidden_layers_width": 8,
    "readout_mlp_hidden_layers_width": 8,
}


@pytest.mark.skipif(INSTALLED, reason="nequip-allegro is installed")
def test_without_the_package_building_says_which_extra_to_install():
    with pytest.raises(MissingExtraError, match=r"sus2bench\[equivariant\]"):
        Allegro(SPECIES)


@needs_allegro
class TestAllegro(AdapterTests):
    def build(self, dtype):
        model = Allegro(SPECIES, 4.0, **SMALL)
        model.set_avg_num_neighbors(12.0)
        return perturb(Potential(model, ENERGIES, energy_scale=0.7).to(dtype))

    def native(self, potential, atoms):
        return calculated(native_model(potential), atoms)

    def native_parameters(self, potential):
        return trainable(native_model(potential))


@needs_allegro
def test_a_trained_potential_read_from_its_file_and_checkpoint_predicts_the_same(tmp_path):
    check_training(Allegro(["Cu", "Au"], 4.0, **SMALL), tmp_path)


@needs_allegro
def test_divisor_of_sums_survives_a_visit_to_float32():
    check_precision_leaves_no_trace(Allegro(SPECIES, 4.0, **SMALL))


@needs_allegro
@pytest.mark.slow
def test_files_of_a_training_run_of_allegro_predict_as_its_own_calculator(tmp_path):
    embedding = {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed"}
    model = {"_target_": "allegro.model.AllegroModel", "l_max": 1, **SMALL}
    for path in train_natively(tmp_path, model | {"radial_chemical_embed": embedding}):
        potential = check_file(path)
        assert potential.atomic_energies.as_dict() == ENERGIES
        # The mean of the elements' scales; without a repulsion it can be taken out.
        assert float(potential.atomic_energies.scale) == 1.5


WRONG = {
    "layers": ({"num_layers": 0}, "num_layers >= 1"),
    "degree": ({"l_max": 0}, "l_max >= 1"),
    "features": ({"num_tensor_features": 0}, "num_tensor_features >= 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_refused_by_name(case):
    arguments, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        Allegro(SPECIES, 4.0, **arguments)
