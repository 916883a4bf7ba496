"""SevenNet is the package's model: contract, its own calculator and files, training."""

import functools
import importlib.util
import os
import subprocess
import sys
import zipfile

import ase.io
import numpy as np
import pytest
import torch
import yaml
from emt_data import EMTData, emt_structures
from lightning.pytorch import Trainer

from sus2bench.atoms.frame import collate, edge_vectors
from sus2bench.models.external.isolation import MissingExtraError, isolated
from sus2bench.models.external.sevennet import SevenNet
from sus2bench.models.external.sevennet_file import recognises
from sus2bench.models.loading import load_potential, save_potential
from sus2bench.models.potential import Potential
from sus2bench.testing import perturb
from sus2bench.testing.adapter import AdapterTests, Native
from sus2bench.testing.potentials import check_close, energies, forces, predict
from sus2bench.testing.structures import structures, transformed
from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.fit import fit
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.module import PotentialModule

INSTALLED = importlib.util.find_spec("sevenn") is not None
needs_sevenn = pytest.mark.skipif(
    not INSTALLED, reason="sevenn is not installed: nox -s external-equivariant"
)
SPECIES = ("Cu", "Au", "Al")
ENERGIES = {"Cu": -3.5, "Au": -3.25, "Al": -3.75}
SMALL = {"channel": 4, "lmax": 1, "num_convolution_layer": 2, "weight_nn_hidden_neurons": [8]}


@pytest.mark.skipif(INSTALLED, reason="sevenn is installed")
def test_without_the_package_building_says_which_extra_to_install():
    with pytest.raises(MissingExtraError, match=r"sus2bench\[equivariant\]"):
        SevenNet(SPECIES)


def native_network(potential):
    """sevenn's whole model, in float64, with weights, E0 and scale of the potential."""
    from sevenn.model_build import build_E3_equivariant_model

    model = potential.model
    scale = float(potential.atomic_energies.scale) * model.species_scale
    config = model.sevenn_config() | {
        "shift": potential.atomic_energies.values.detach().tolist(),
        "scale": scale.tolist(),
    }
    with isolated():
        network = build_E3_equivariant_model(config).double()
    state = network.state_dict() | model.network.state_dict()
    state["rescale_atomic_energy.shift"] = potential.atomic_energies.values.detach()
    state["rescale_atomic_energy.scale"] = scale
    network.load_state_dict(state)
    return network


def native_in_float64(model, atoms, monkeypatch, **kind):
    """SevenNetCalculator computes in float32 by two casts, which are widened here."""
    import sevenn.util
    from sevenn.calculator import SevenNetCalculator

    def widen(module, inputs, data):
        data["x"], data["node_attr"] = data["x"].double(), data["node_attr"].double()
        return data

    with isolated(), monkeypatch.context() as patch:
        wide = functools.partial(sevenn.util.dtype_correct, float_dtype=torch.float64)
        patch.setattr(sevenn.util, "dtype_correct", wide)
        calculator = SevenNetCalculator(model, device="cpu", **kind)
        calculator.model.double()
        calculator.model.onehot_idx_to_onehot.register_forward_hook(widen)
        calculator.calculate(atoms)
    return Native(calculator.results["energy"], calculator.results["forces"])


class SevenNetContract(AdapterTests):
    arguments: dict = {}

    def build(self, dtype):
        model = SevenNet(SPECIES, 4.0, conv_denominator=12.0, **SMALL | self.arguments)
        return perturb(Potential(model, ENERGIES, energy_scale=0.7).to(dtype))

    def native(self, potential, atoms):
        with pytest.MonkeyPatch.context() as patch:
            return native_in_float64(
                native_network(potential), atoms, patch, file_type="model_instance"
            )

    def native_parameters(self, potential):
        network = native_network(potential)
        return sum(p.numel() for p in network.parameters() if p.requires_grad)


@needs_sevenn
class TestSevenNetWithParity(SevenNetContract):
    arguments = {"is_parity": True}


@needs_sevenn
class TestSevenNet0(SevenNetContract):
    """The form of SevenNet-0."""

    arguments = {
        "is_parity": False,
        "self_connection_type": "linear",
        # The second derivative has a step where XPLOR begins too: away from all pairs here, as the
        # finite differences of the contract need it.
        "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 3.3},
        "num_convolution_layer": 3,
        "irreps_manual": ["4x0e", "4x0e+2x1e+2x2e", "4x0e+2x1e+2x2e", "4x0e"],
        "lmax": 2,
    }

    def test_reflection_mirrors_forces_and_stress(self):
        """It does not: without parity, pseudoscalars are scalars."""
        potential = self.potential()
        atoms = structures(potential.species)["crystal"]
        mirrored = transformed(atoms, np.diag([-1.0, 1.0, 1.0]))
        energy = energies(potential, [atoms, mirrored])
        assert abs(float(energy[0] - energy[1])) > 1e-6


@needs_sevenn
def test_a_trained_potential_read_from_its_file_and_checkpoint_predicts_the_same(tmp_path):
    model = SevenNet(["Cu", "Au"], 4.0, **SMALL)
    module = PotentialModule(
        Potential(model), PotentialLoss(1.0, 0.1, 0.0), functools.partial(torch.optim.Adam, lr=1e-3)
    )
    batch = collate(EMTData().frames)
    batch.edge_vectors = edge_vectors(batch)
    scales = model.scale_to_data([batch])
    assert scales == {"neighbours": batch.edge_index.shape[1] / len(batch.pos)}
    fit(
        module,
        EMTData(),
        Budget(max_steps=6),
        folder=tmp_path,
        trainer=functools.partial(Trainer, accelerator="cpu"),
        callbacks=[Checkpoints(monitor="valid/loss", every_steps=2)],
        loggers=[],
        resume=None,
    )
    potential = module.potential.eval()
    assert all(bool(torch.isfinite(p).all()) for p in potential.parameters())
    save_potential(potential, tmp_path / "potential.pt")
    atoms = emt_structures(2)[1]
    expected = predict(potential, atoms)
    for path in (tmp_path / "potential.pt", tmp_path / "checkpoints" / "last.ckpt"):
        loaded = predict(load_potential(path), atoms)
        assert float(loaded.energy) == float(expected.energy)
        assert torch.equal(forces(loaded), forces(expected))


def write_checkpoint(path, **changes):
    """A model of sevenn in the form in which its trainer writes them."""
    import sevenn
    from sevenn.model_build import build_E3_equivariant_model

    # Three interactions of degree 2 have coupling coefficients among their tensors, in float32.
    sizes = SMALL | {"channel": 2, "lmax": 2, "num_convolution_layer": 3, "is_parity": False}
    model = SevenNet(SPECIES, 4.0, conv_denominator=12.0, **sizes)
    config = model.sevenn_config() | {"version": sevenn.__version__} | changes
    with isolated(seed=1, dtype=torch.float32):
        network = build_E3_equivariant_model(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1)
    torch.save({"config": config, "model_state_dict": network.state_dict(), "epoch": 1}, path)
    return path


SHIFTS = {
    "one for all": {"shift": -3.25, "scale": 1.5},
    "one per element": {"shift": [-3.5, -3.25, -3.75], "scale": [1.5, 0.5, 2.5]},
}


@needs_sevenn
@pytest.mark.parametrize("shifts", SHIFTS)
def test_checkpoint_of_sevenn_predicts_as_its_own_calculator(shifts, tmp_path, monkeypatch):
    path = write_checkpoint(tmp_path / "checkpoint_best.pth", **SHIFTS[shifts])
    potential = load_potential(path)
    assert potential.species == SPECIES
    save_potential(potential, tmp_path / "ours.pt")
    for name, atoms in structures(SPECIES).items():
        native = native_in_float64(str(path), atoms, monkeypatch)
        for read in (potential, load_potential(tmp_path / "ours.pt")):
            actual = predict(read, atoms)
            energy = torch.tensor([native.energy], dtype=torch.float64)
            # float64, sums in another order
            check_close(actual.energy, energy, 1e-8, f"energy of the {name} (eV)")
            check_close(
                forces(actual), torch.as_tensor(native.forces), 1e-8, f"forces of the {name} (eV/Å)"
            )


@needs_sevenn
@pytest.mark.slow
def test_checkpoint_of_a_training_run_of_sevenn_is_read(tmp_path, monkeypatch):
    ase.io.write(tmp_path / "train.extxyz", emt_structures(8))
    settings = {
        "model": SMALL | {"chemical_species": "auto", "cutoff": 4.0, "is_parity": False},
        "train": {
            "epoch": 1,
            "per_epoch": 1,
            "is_train_stress": False,
            "scheduler_param": {"gamma": 0.99},
        },
        "data": {
            "batch_size": 4,
            "shift": "elemwise_reference_energies",
            "load_trainset_path": ["train.extxyz"],
        },
    }
    (tmp_path / "input.yaml").write_text(yaml.safe_dump(settings))
    command = "from sevenn.main.sevenn import main; main()"
    run = subprocess.run(
        [sys.executable, "-c", command, "input.yaml", "-s"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    path = tmp_path / "checkpoint_1.pth"
    atoms = emt_structures(3)[2]
    native = native_in_float64(str(path), atoms, monkeypatch)
    potential = load_potential(path)
    assert potential.species == ("Au", "Cu")
    assert float(predict(potential, atoms).energy) == pytest.approx(native.energy, abs=1e-8)


@needs_sevenn
def test_checkpoint_of_several_modalities_is_refused_with_their_names(tmp_path):
    path = write_checkpoint(tmp_path / "checkpoint.pth")
    content = torch.load(path, weights_only=True)
    content["config"] |= {"use_modality": True, "_modal_map": {"pbe": 0, "r2scan": 1}}
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"pbe.*r2scan"):
        load_potential(path)


@needs_sevenn
def test_checkpoint_without_a_tensor_is_refused_with_its_name(tmp_path):
    path = write_checkpoint(tmp_path / "checkpoint.pth")
    content = torch.load(path, weights_only=True)
    del content["model_state_dict"]["onehot_to_feature_x.linear.weight"]
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"lacks the tensors .*onehot_to_feature_x"):
        load_potential(path)


def test_only_checkpoints_of_sevenn_are_recognised(tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save({"config": {"num_convolution_layer": 1}, "model_state_dict": {}}, path)
    assert recognises(path)
    assert not recognises(path.rename(tmp_path / "checkpoint.pt"))
    torch.save({"model_state_dict": {}}, path)
    assert not recognises(path)
    path.write_text("no archive")
    assert not recognises(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "an archive of something else")
    assert not recognises(path)


WRONG = {
    "channel": ({"channel": 0}, "channel >= 1"),
    "lmax": ({"lmax": -1}, "lmax >= 0"),
    "envelope": ({"cutoff_function": {"cutoff_function_name": "cosine"}}, "XPLOR"),
    "onset": (
        {"cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 4.5}},
        "cutoff_on is 4.5",
    ),
    "denominator": ({"conv_denominator": "mean"}, "conv_denominator"),
    "irreps": ({"irreps_manual": ["4x0e"]}, "irreps_manual has 1 entries"),
    "layers": ({"self_connection_type": ["linear"]}, "self_connection_type has 1 entries"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_refused_by_name(case):
    arguments, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        SevenNet(SPECIES, 4.0, **arguments)


@needs_sevenn
def test_fixed_bessel_frequencies_follow_the_dtype():
    basis = {"radial_basis_name": "bessel", "trainable_coeff": False}
    potential = Potential(SevenNet(SPECIES, 4.0, **SMALL, radial_basis=basis))
    atoms = structures(SPECIES)["molecule"]
    expected = predict(potential, atoms)
    assert predict(potential.to(torch.float32), atoms).site_energies.dtype == torch.float64
    restored = predict(potential.to(torch.float64), atoms)
    # float32 keeps about seven digits of the parameters.
    check_close(restored.energy, expected.energy, 1e-4, "energy after float32 and back (eV)")
