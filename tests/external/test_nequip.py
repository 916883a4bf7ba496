"""NequIP is the package's model: contract, its own calculator and files, training."""

import importlib.util

import pytest
import torch
from nequip_here import (
    ENERGIES,
    SPECIES,
    ZBL,
    calculated,
    check_file,
    check_precision_leaves_no_trace,
    check_training,
    native_model,
    train_natively,
    trainable,
)

from sus2bench.models.external.isolation import MissingExtraError
from sus2bench.models.external.nequip import NequIP
from sus2bench.models.external.nequip_file import recognises
from sus2bench.models.loading import load_potential, save_potential
from sus2bench.models.potential import Potential
from sus2bench.testing import perturb
from sus2bench.testing.adapter import AdapterTests
from sus2bench.testing.state import process_state

INSTALLED = importlib.util.find_spec("nequip") is not None
needs_nequip = pytest.mark.skipif(
    not INSTALLED, reason="nequip is not installed: nox -s external-equivariant"
)
SMALL = {"num_layers": 2, "num_features": 4, "radial_mlp_width": 8}


@pytest.mark.skipif(INSTALLED, reason="nequip is installed")
def test_without_the_package_building_says_which_extra_to_install():
    with pytest.raises(MissingExtraError, match=r"sus2bench\[equivariant\]"):
        NequIP(SPECIES)


@needs_nequip
class TestNequIP(AdapterTests):
    def build(self, dtype):
        model = NequIP(SPECIES, 4.0, **SMALL)
        model.set_avg_num_neighbors(12.0)
        return perturb(Potential(model, ENERGIES, energy_scale=0.7).to(dtype))

    def native(self, potential, atoms):
        return calculated(native_model(potential), atoms)

    def native_parameters(self, potential):
        return trainable(native_model(potential))


@needs_nequip
def test_a_trained_potential_read_from_its_file_and_checkpoint_predicts_the_same(tmp_path):
    check_training(NequIP(["Cu", "Au"], 4.0, **SMALL), tmp_path)


@needs_nequip
def test_divisor_of_sums_survives_a_visit_to_float32():
    check_precision_leaves_no_trace(NequIP(SPECIES, 4.0, **SMALL))


@needs_nequip
def test_building_does_not_declare_nequip_s_state_as_set_up():
    from nequip.utils.global_state import global_state_initialized

    before = process_state(), global_state_initialized()
    NequIP(SPECIES, 4.0, **SMALL)
    assert (process_state(), global_state_initialized()) == before


@needs_nequip
@pytest.mark.slow
def test_files_of_a_training_run_of_nequip_predict_as_its_own_calculator(tmp_path):
    model = {"_target_": "nequip.model.NequIPGNNModel", **SMALL, "pair_potential": ZBL}
    checkpoint, package = train_natively(tmp_path, model)
    for path in (checkpoint, package):
        assert recognises(path)
        potential = check_file(path)
        assert potential.atomic_energies.as_dict() == ENERGIES
    with pytest.raises(ValueError, match="cannot be written to another file"):
        save_potential(potential, tmp_path / "ours.pt")


def test_compiled_model_is_refused_with_the_remedy(tmp_path):
    for name in ("model.nequip.pth", "model.nequip.pt2"):
        path = tmp_path / name
        path.write_bytes(b"anything")
        with pytest.raises(ValueError, match=r"give the package \(.nequip.zip\)"):
            load_potential(path)


@needs_nequip
def test_package_that_is_none_is_refused_with_its_name(tmp_path):
    path = tmp_path / "broken.nequip.zip"
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"broken.nequip.zip cannot be read as a file of nequip"):
        load_potential(path)


def test_other_checkpoints_are_not_recognised(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"potential": {"format": "sus2bench-potential"}}, path)
    assert not recognises(path)
    path.write_text("no archive")
    assert not recognises(path)


WRONG = {
    "layers": ({"num_layers": 0}, "num_layers >= 1"),
    "degree": ({"l_max": -1}, "l_max >= 0"),
    "features of degrees": ({"num_features": [8, 4, 4]}, "num_features"),
    "features": ({"num_features": 0}, "num_features"),
    "envelope": ({"polynomial_cutoff_p": 1}, "polynomial_cutoff_p >= 2"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_refused_by_name(case):
    arguments, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        NequIP(SPECIES, 4.0, **arguments)
