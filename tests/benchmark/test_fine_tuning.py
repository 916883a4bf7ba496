"""Runs that start from a file: with frozen blocks, and with elements that the file lacks."""

import signal

import pytest
import torch
from ase.build import bulk
from ase.io import write
from hydra import compose, initialize_config_dir

from sus2bench.benchmark import run
from sus2bench.benchmark.reporting import RunInterruptedError
from sus2bench.cli.configuration import configuration_folder
from sus2bench.models.loading import load_potential, save_potential
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2
from sus2bench.testing.potentials import perturb, predict
from sus2bench.training.module import PotentialModule
from sus2bench.training.multistart import MultiStart

STEPS = (
    "optimizer=adamw",
    "trainer=cpu",
    "budget.max_time=null",
    "budget.max_steps=6",
    "threads=1",
    "speed=false",
    "dtype=float64",
)
NEW = ("model=sus2_l2k1", "model.cutoff=4.0", "model.radial_basis_size=4", "model.backend=eager")


@pytest.fixture
def folder(tmp_path, monkeypatch, small_alloys):
    """A working folder with Al-Cu cells labelled by EMT, and a trained potential of Cu and Ni."""
    monkeypatch.chdir(tmp_path)
    write("alloys.extxyz", small_alloys(16))
    trained = perturb(Potential(SUS2(["Cu", "Ni"], 4.0, channels=1).double()), scale=0.01)
    trained.atomic_energies.set_values({"Cu": -3.0, "Ni": -4.0})
    save_potential(trained, "trained.pt")
    return tmp_path


def train(name, *overrides):
    named = (f"name={name}", "data_name=alloys", f"paths.output=runs/{name}", "data=extxyz")
    data = ("data.train_file=alloys.extxyz", "data.valid_fraction=0.25", "data.test_fraction=0.25")
    with initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        config = compose(
            "train", [*named, *data, "data.batch_size=4", "paths.cache=cache", *STEPS, *overrides]
        )
    return run.train(config), load_potential(f"runs/{name}/checkpoints/best.ckpt")


def test_elements_that_the_file_lacks_are_an_error_that_names_the_remedy(folder):
    with pytest.raises(ValueError, match=r"know \['Al'\] .* potential.add_species=true adds them"):
        train("wrong", "potential.start=trained.pt")


@pytest.mark.parametrize(("allowed", "other"), [("true", "Ni"), ("{Al: Cu}", "Cu")])
def test_added_elements_get_rows_and_fitted_energies(folder, allowed, other, caplog):
    start = ("potential.start=trained.pt", f"potential.add_species={allowed}")
    record, trained = train("more", *start, "optimizer.algorithm.lr=1e-14")
    before = load_potential("trained.pt")
    assert trained.species == ("Cu", "Ni", "Al")
    added = record["model"]["initialisation"]["added_species"]["Al"]
    # Radii, Å: Al 1.21, Ni 1.24, Cu 1.32.
    assert added["starts_as"] == other
    # The data are of copper and aluminium.
    initial = record["model"]["initialisation"]
    assert (initial["pairs"], initial["unseen_pairs"]) == (6, ["Cu-Ni", "Ni-Ni", "Ni-Al"])
    assert "3 of 6 pairs of elements never meet" in caplog.text
    energy = trained.atomic_energies.as_dict()["Al"]
    # Steps of this rate change nothing that shows.
    assert added["atomic_energy"] == pytest.approx(energy, abs=1e-10)
    assert energy != before.atomic_energies.as_dict()[other]
    atoms = bulk("Cu", cubic=True)
    atoms.symbols[0] = "Ni"
    atoms.rattle(0.1, seed=1)
    torch.testing.assert_close(
        predict(trained, atoms).energy, predict(before, atoms).energy, rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("start", ["trained.pt", None], ids=["of a file", "of a new model"])
def test_frozen_blocks_stay_to_the_bit_and_the_record_names_them(folder, start):
    more = (f"potential.start={start}", "potential.add_species=true") if start else NEW
    freeze = "potential.freeze=[pair_scaling,radial_coefficients,atomic_energies]"
    rate = "optimizer.algorithm.lr={}".format
    record, after = train("frozen", *more, freeze, rate(1e-2))
    _, before = train("same", *more, freeze, rate(1e-14))
    held = {
        "atomic_energies.values",
        "model.radial.alpha",
        "model.radial.coefficients",
        "model.radial.r0",
    }
    assert set(record["model"]["frozen"]) == held
    for name, tensor in after.state_dict().items():
        if name in held:
            assert torch.equal(tensor, before.state_dict()[name]), name
    assert not torch.equal(after.model.linear_coefficients, before.model.linear_coefficients)
    blocks = record["parameters"]["blocks"]
    assert blocks["pair_scaling"]["trainable"] == blocks["atomic_energies"]["trainable"] == 0
    assert blocks["scalar_coefficients"]["trainable"] == 14
    assert record["parameters"]["trainable"] == sum(b["trainable"] for b in blocks.values())


def test_atomic_energies_alone_are_refitted_exactly_without_steps(folder):
    blocks = "pair_scaling,radial_coefficients,species_factor,species_weight,scalar_coefficients"
    start = ("potential.start=trained.pt", "potential.add_species=true")
    record, after = train("energies", *start, f"potential.freeze=[{blocks}]")
    before = load_potential("trained.pt")
    assert record["timings"]["steps"] == 0
    assert torch.equal(after.model.linear_coefficients, before.model.linear_coefficients)
    assert record["model"]["initialisation"]["linear_readout"]["columns"] == 3
    assert after.atomic_energies.as_dict()["Cu"] != -3.0


def test_a_wrong_block_is_named_before_training(folder):
    with pytest.raises(ValueError, match="no block 'xi'; it has pair_scaling"):
        train("wrong", *NEW, "potential.freeze=[xi]")


def test_the_best_of_several_starts_is_recorded_and_not_chosen_again_by_a_resume(
    folder, monkeypatch
):
    several = (*NEW, "potential.multistart={starts: 4, atoms: 16, steps: 1}", "test=false")
    whole, expected = train("whole", *several)
    choice = whole["model"]["initialisation"]["multistart"]
    assert [len(rung["losses"]) for rung in choice["rungs"]] == [4, 2]
    assert str(choice["chosen_seed"]) in choice["rungs"][0]["losses"]
    assert whole["timings"]["initialise_seconds"] > 0
    step, calls = PotentialModule.training_step, []

    def interrupting(self, *arguments):
        calls.append(self)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return step(self, *arguments)

    monkeypatch.setattr(PotentialModule, "training_step", interrupting)
    with pytest.raises(RunInterruptedError, match="resume=true"):
        train("cut", *several)
    monkeypatch.setattr(MultiStart, "initialise", None)
    resumed, same = train("cut", *several, "resume=true")
    assert resumed["model"]["initialisation"] == whole["model"]["initialisation"]
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name]), name


def test_one_start_is_a_run_without_a_choice(folder):
    _, one = train("one", *NEW, "potential.multistart={starts: 1}")
    _, none = train("none", *NEW)
    for name, tensor in none.state_dict().items():
        assert torch.equal(tensor, one.state_dict()[name]), name


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (("potential.start=trained.pt", "potential.add_species=true"), "brings its own"),
        (("model=linear_sus2", "model.cutoff=4.0"), "needs a model with a seed"),
        (("model=schnet_small", "model.cutoff=4.0"), "linear readout"),
    ],
)
def test_starts_that_there_cannot_be_are_refused(folder, overrides, text):
    with pytest.raises(ValueError, match=text):
        train("wrong", *overrides, "potential.multistart={starts: 2}")
