"""What the tests of NequIP and Allegro share: the package's calculator, its files, training."""

import functools
import os
import subprocess
import sys

import ase.io
import torch
import yaml
from emt_data import EMTData, emt_structures
from lightning.pytorch import Trainer

from sus2bench.atoms.frame import collate, edge_vectors
from sus2bench.models.external.nequip_graph import nequip_state
from sus2bench.models.loading import load_potential, save_potential
from sus2bench.models.potential import Potential
from sus2bench.testing.adapter import Native
from sus2bench.testing.potentials import check_close, forces, predict
from sus2bench.testing.structures import structures
from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.fit import fit
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.module import PotentialModule

SPECIES = ("Cu", "Au", "Al")
ENERGIES = {"Cu": -3.5, "Au": -3.25, "Al": -3.75}


def native_model(potential):
    """The package's whole model in float64 with weights, E0 and scale of the potential."""
    with nequip_state():
        native = potential.model.native(
            per_type_energy_scales=float(potential.atomic_energies.scale),
            per_type_energy_shifts=potential.atomic_energies.as_dict(),
        )
    own = {f"model.func.{k}": v for k, v in potential.model.network.state_dict().items()}
    kept = {k: v for k, v in native.state_dict().items() if k not in own or "scale_shift" in k}
    assert all("scale_shift" in name or name == "model._empty" for name in kept), kept
    native.load_state_dict(own | kept)
    return native.eval()


def calculated(native, atoms):
    """The package's own calculator on a model."""
    from nequip.integrations.ase import NequIPCalculator
    from nequip.integrations.utils import basic_transforms

    with nequip_state():
        names = native.metadata["type_names"].split(" ")
        transforms = basic_transforms(
            native.metadata, float(native.metadata["r_max"]), names, {n: n for n in names}
        )
        calculator = NequIPCalculator(native, "cpu", transforms=transforms)
        calculator.calculate(atoms)
    return Native(float(calculator.results["energy"]), calculator.results["forces"])


def trainable(native):
    return sum(p.numel() for p in native.parameters() if p.requires_grad)


def check_training(model, folder):
    """Trains a model of cutoff 4 Å; its file and checkpoint must predict to the bit as it does."""
    data = EMTData(4.5)  # longer than the model's cutoff: the edges between must not count
    batch = collate(data.frames)
    batch.edge_vectors = edge_vectors(batch)
    within = int((batch.edge_vectors.norm(dim=-1) < 4.0).sum())
    assert within < len(batch.edge_vectors)
    assert model.scale_to_data([batch]) == {"avg_num_neighbors": within / len(batch.pos)}
    module = PotentialModule(
        Potential(model), PotentialLoss(1.0, 0.1, 0.0), functools.partial(torch.optim.Adam, lr=1e-3)
    )
    before = [p.detach().clone() for p in model.parameters()]
    fit(
        module,
        data,
        Budget(max_steps=6),
        folder=folder,
        trainer=functools.partial(Trainer, accelerator="cpu"),
        callbacks=[Checkpoints(monitor="valid/loss", every_steps=2)],
        loggers=[],
        resume=None,
    )
    potential = module.potential.eval()
    assert all(bool(torch.isfinite(p).all()) for p in potential.parameters())
    assert any(not torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    save_potential(potential, folder / "potential.pt")
    atoms = emt_structures(2)[1]
    expected = predict(potential, atoms)
    for path in (folder / "potential.pt", folder / "checkpoints" / "last.ckpt"):
        loaded = predict(load_potential(path), atoms)
        assert float(loaded.energy) == float(expected.energy)
        assert torch.equal(forces(loaded), forces(expected))


def check_precision_leaves_no_trace(model):
    """The divisor of sums comes back from float32 as it was."""
    model.set_avg_num_neighbors(12.3)
    before = [m.norm_const.clone() for m in model.modules() if "norm_const" in m._buffers]
    model.to(torch.float32).to(torch.float64)
    after = [m.norm_const for m in model.modules() if "norm_const" in m._buffers]
    assert before
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(
        t.dtype == torch.float64 for t in model.state_dict().values() if t.is_floating_point()
    )


ZBL = {"_target_": "nequip.nn.pair_potential.ZBL", "units": "metal", "chemical_species": [*SPECIES]}


def train_natively(folder, model):
    """A training run of nequip itself for one epoch: its checkpoint and its package."""
    frames = emt_structures(8)
    for atoms in frames:
        atoms.numbers[3] = 13
        atoms.get_forces(), atoms.get_stress()
    ase.io.write(folder / "frames.extxyz", frames)
    loader = {"_target_": "torch.utils.data.DataLoader", "batch_size": 4}
    prefix = "nequip.data.transforms."
    metrics = {"_target_": "nequip.train.EnergyForceMetrics"}
    metrics["coeffs"] = {"total_energy_mae": 1.0, "forces_mae": 1.0}
    common = {
        "seed": 1,
        "model_dtype": "float64",
        "type_names": [*SPECIES],
        "r_max": 4.0,
        "avg_num_neighbors": {"Cu": 12.0, "Au": 13.0, "Al": 11.0},
        "per_type_energy_shifts": ENERGIES,
        "per_type_energy_scales": {"Cu": 1.5, "Au": 0.5, "Al": 2.5},
    }
    config = {
        "run": ["train"],
        "data": {
            "_target_": "nequip.data.datamodule.ASEDataModule",
            "seed": 1,
            "split_dataset": {"file_path": "frames.extxyz", "train": 4, "val": 4},
            "transforms": [
                {
                    "_target_": prefix + "ChemicalSpeciesToAtomTypeMapper",
                    "model_type_names": [*SPECIES],
                    "chemical_species_to_atom_type_map": {name: name for name in SPECIES},
                },
                {"_target_": prefix + "NeighborListTransform", "r_max": 4.0},
            ],
            "train_dataloader": loader,
            "val_dataloader": loader,
        },
        "trainer": {
            "_target_": "lightning.Trainer",
            "accelerator": "cpu",
            "max_epochs": 1,
            "logger": False,
            "enable_checkpointing": True,
            "callbacks": [
                {
                    "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
                    "dirpath": str(folder),
                    "save_last": True,
                }
            ],
        },
        "training_module": {
            "_target_": "nequip.train.EMALightningModule",
            "ema_decay": 0.9,
            "loss": {
                "_target_": "nequip.train.EnergyForceLoss",
                "coeffs": {"total_energy": 1.0, "forces": 1.0},
            },
            "val_metrics": metrics,
            "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01},
            "model": common | model,
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    _run(folder, "nequip.scripts.train", "-cp", str(folder), "-cn", "config")
    _run(folder, "nequip.scripts.package", "build", "last.ckpt", "model.nequip.zip")
    return folder / "last.ckpt", folder / "model.nequip.zip"


def _run(folder, script, *arguments):
    run = subprocess.run(
        [sys.executable, "-c", f"from {script} import main; main()", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]


def check_file(path):
    """A file predicts as nequip's own calculator does on it, and leaves the process alone."""
    from nequip.model.saved_models.load_utils import load_saved_model

    potential = load_potential(path)
    assert potential.species == SPECIES
    with nequip_state():
        native = load_saved_model(path).eval()
    for name, atoms in structures(SPECIES).items():
        expected, actual = calculated(native, atoms), predict(potential, atoms)
        energy = torch.tensor([expected.energy], dtype=torch.float64)
        # float64, sums in another order
        check_close(actual.energy, energy, 1e-8, f"energy of the {name} (eV)")
        check_close(
            forces(actual), torch.as_tensor(expected.forces), 1e-8, f"forces of the {name} (eV/Å)"
        )
    return potential
