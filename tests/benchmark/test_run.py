"""Whole runs on a few tiny frames: train, interrupt and go on, evaluate, time, fail."""

import signal

import numpy as np
import pytest
import torch
import torch._inductor
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from hydra import compose, initialize_config_dir

from sus2bench.atoms.frame import build_frame
from sus2bench.benchmark import records, run
from sus2bench.benchmark.accuracy import load_predictions
from sus2bench.benchmark.reporting import RunInterruptedError
from sus2bench.cli import main
from sus2bench.cli.configuration import configuration_folder
from sus2bench.models import sus2
from sus2bench.models.loading import load_potential, save_potential
from sus2bench.models.potential import Potential

DATA = (
    "data=extxyz",
    "data.train_file=alloys.extxyz",
    "data.test_fraction=0.25",
    "data.valid_fraction=0.25",
    "data.batch_size=4",
    "paths.cache=cache",
)
MODEL = ("model=schnet_small", "model.features=8", "model.interactions=1", "model.cutoff=4.0")
TIMED = (
    "name=timed",
    "data_name=alloys",
    "paths.output=runs/timed",
    "repeats=2",
    "atoms=8",
    "quantities=[md_step]",
)
SUS2 = ("model=sus2_l2k1", "model.cutoff=4.0", "model.radial_basis_size=4")
STEPS = (
    "optimizer=adamw",
    "trainer=cpu",
    "budget.max_time=null",
    "budget.max_steps=6",
    "threads=1",
    "speed=false",
)


@pytest.fixture
def folder(tmp_path, monkeypatch, small_alloys):
    """A working folder with 24 small Al-Cu cells labelled by EMT."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "alloys.extxyz", small_alloys(24))
    return tmp_path


def configuration(command, name, *overrides):
    named = (f"name={name}", "data_name=alloys", f"paths.output=runs/{name}")
    with initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        return compose(command, [*named, *DATA, *overrides])


def test_copies_of_training_frames_in_a_test_set_are_also_left_out(folder):
    frames = read(folder / "alloys.extxyz", ":")
    turned = frames[0].copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    turned.calc = EMT()
    turned.get_forces()
    write(folder / "train.extxyz", frames[:18])
    write(folder / "other.extxyz", [*frames[18:], turned])
    files = ("data.train_file=train.extxyz", "+data.test_files.other=other.extxyz")
    record = run.train(
        configuration("train", "small", *MODEL, *STEPS, *files, "data.test_fraction=0")
    )
    assert list(record["metrics"]) == ["valid", "other", "other_without_copies"]
    remaining = record["data"]["census"]["copies_of_training_frames"]["other"]
    assert len(remaining) == 1
    assert record["metrics"]["other"] != record["metrics"]["other_without_copies"]
    assert not (folder / "runs/small/predictions_other_without_copies.npz").exists()


def test_stability_of_the_best_checkpoint_goes_into_the_record(folder):
    short = "{nve: {steps: 10}, hot: null, eos: {points: 5}, dimers: {points: 10}}"
    checks = (f"stability={short}", "test=false")
    run.train(configuration("train", "small", *MODEL, *STEPS, *checks))
    stored = records.load_record(folder / "runs/small/record.json")
    found = stored["stability"]
    assert (found["split"], found["atoms"], found["hot"]) == ("test", 32, None)
    assert found["nve"]["steps"] == 10
    assert list(found["dimers"]["by_pair"]) == ["Al-Al", "Al-Cu", "Cu-Cu"]
    assert stored["timings"]["stability_seconds"] > 0


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("stability={nve: {step: 10}}", "stability.nve has no 'step'"),
        ("potential.start=nothing.mtp", "nothing.mtp"),
    ],
)
def test_settings_that_are_wrong_from_the_beginning_leave_a_record_too(folder, setting, expected):
    with pytest.raises((ValueError, OSError), match=expected):
        run.train(configuration("train", "wrong", *MODEL, *STEPS, setting))
    stored = records.load_record(folder / "runs/wrong/record.json")
    assert stored["status"] == "failed"
    assert expected in stored["traceback"]


def test_nothing_of_a_replaced_run_is_taken_for_a_part_of_the_new_one(folder, monkeypatch):
    settings = (*MODEL, *STEPS, "seed=1")
    expected = run.train(configuration("train", "alone", *settings))
    run.train(configuration("train", "small", *MODEL, *STEPS))

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run.measure, "prepare_data", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.train(configuration("train", "small", *settings, "overwrite=true"))
    assert {file.name for file in (folder / "runs/small").iterdir()} == {".lock", "record.json"}
    resumed = run.train(configuration("train", "small", *settings, "resume=true"))
    assert resumed["metrics"] == expected["metrics"]
    assert resumed["timings"]["steps"] == 6


def test_a_run_that_starts_from_the_one_it_replaces_is_refused(folder):
    run.train(configuration("train", "small", *MODEL, *STEPS, "test=false"))
    start = "potential.start=runs/small/checkpoints/best.ckpt"
    with pytest.raises(records.RecordError, match="choose another name"):
        run.train(configuration("train", "small", *STEPS, start, "overwrite=true"))
    assert (folder / "runs/small/checkpoints/best.ckpt").is_file()


def test_training_leaves_a_complete_record_that_evaluation_repeats(folder):
    before = torch.get_num_threads(), torch.get_default_dtype()
    trained = run.train(configuration("train", "small", *MODEL, *STEPS))
    assert (torch.get_num_threads(), torch.get_default_dtype()) == before
    stored = records.load_record(folder / "runs/small/record.json")
    assert stored["status"] == "completed"
    assert stored["metrics"] == trained["metrics"]
    assert set(stored["metrics"]) == {"valid", "test"}
    assert stored["timings"]["steps"] == 6
    assert stored["data"]["species"] == ["Al", "Cu"]
    assert stored["data"]["cutoff"] == 4.0
    assert list(stored["data"]["files"]) == ["alloys.extxyz"]
    assert stored["model"]["checkpoint"] == "checkpoints/best.ckpt"
    assert stored["parameters"]["effective"] <= stored["parameters"]["trainable"]
    assert stored["baseline"]["test"]["forces_rmse_meV_A"] > 0
    assert str(folder) not in (folder / "runs/small/record.json").read_text()

    options = ("potential=runs/small/checkpoints/best.ckpt", "dtype=float32", "speed=false")
    again = run.evaluate(configuration("evaluate", "again", *options))
    # The same weights on the same frames; nothing of the training loop is left to differ.
    assert again["metrics"] == trained["metrics"]
    assert again["parameters"] == trained["parameters"]
    predictions = load_predictions(folder / "runs/again/predictions_test.npz")
    assert len(predictions["energy"]) == again["metrics"]["test"]["energy_frames"]

    files = "potentials={one: runs/small/checkpoints/best.ckpt}"
    timed = run.speed(configuration("speed", "timed", files, "repeats=2", "atoms=8"))
    assert timed["speed"]["one"]["atoms"] >= 8
    assert timed["speed"]["one"]["dtype"] == "float64"


@pytest.mark.parametrize("model", [MODEL, SUS2], ids=["schnet", "sus2"])
def test_interrupted_run_resumes_to_the_same_numbers(folder, monkeypatch, model):
    whole = run.train(configuration("train", "whole", *model, *STEPS))
    calls = []
    forward = Potential.forward

    def interrupting(self, *args, **kwargs):
        calls.append(self.training)
        if self.training and sum(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(Potential, "forward", interrupting)
    with pytest.raises(RunInterruptedError, match="resume=true"):
        run.train(configuration("train", "cut", *model, *STEPS))
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    stored = records.load_record(folder / "runs/cut/record.json")
    assert stored["status"] == "interrupted"
    with pytest.raises(records.RecordError, match="resume=true"):
        run.train(configuration("train", "cut", *model, *STEPS))
    resumed = run.train(configuration("train", "cut", *model, *STEPS, "resume=true"))
    assert resumed["metrics"] == whole["metrics"]
    initial = records.load_record(folder / "runs/cut/record.json")["model"]["initialisation"]
    assert initial == stored["model"]["initialisation"]


def test_the_record_says_what_ended_training(folder):
    settings = (*MODEL, "trainer=cpu", "threads=1", "speed=false", "test=false")
    endless = (*settings, "budget.max_time=null")
    record = run.train(configuration("train", "seen", *endless, "budget.max_frames=30"))
    # Twelve frames in batches of four.
    assert (record["ended_by"], record["timings"]["frames"]) == ("max_frames", 32)
    assert record["config"]["budget"]["max_frames"] == 30
    still = ("budget.max_steps=100", "budget.patience=1", "optimizer.algorithm.lr=0.0")
    record = run.train(configuration("train", "still", *endless, *still))
    # A second epoch of three steps, after which validation is no better than before.
    assert (record["ended_by"], record["timings"]["steps"]) == ("convergence", 6)


def test_a_run_that_is_killed_in_training_has_left_a_record(folder, monkeypatch):
    def killed(*arguments, **settings):
        stored = records.load_record(folder / "runs/killed/record.json")
        assert stored["status"] == "interrupted"
        assert stored["model"]["initialisation"]
        raise RuntimeError("as good as killed")

    monkeypatch.setattr(run, "fit_phases", killed)
    with pytest.raises(RuntimeError, match="as good as killed"):
        run.train(configuration("train", "killed", *MODEL, *STEPS))


def test_completed_run_is_not_replaced_unless_asked(folder):
    run.train(configuration("train", "small", *MODEL, *STEPS, "test=false"))
    with pytest.raises(records.RecordError, match="overwrite=true"):
        run.train(configuration("train", "small", *MODEL, *STEPS, "test=false"))
    run.train(configuration("train", "small", *MODEL, *STEPS, "test=false", "overwrite=true"))


def test_failed_run_leaves_its_traceback(folder):
    with pytest.raises(ValueError, match="float16"):
        run.train(configuration("train", "wrong", *MODEL, *STEPS, "dtype=float16"))
    stored = records.load_record(folder / "runs/wrong/record.json")
    assert stored["status"] == "failed"
    assert "float16" in stored["traceback"]


def test_unknown_split_is_named(folder):
    run.train(configuration("train", "small", *MODEL, *STEPS, "test=false"))
    options = ("potential=runs/small/checkpoints/best.ckpt", "splits=[train, tset]", "speed=false")
    with pytest.raises(ValueError, match=r"tset.*'test', 'train', 'valid'"):
        run.evaluate(configuration("evaluate", "typo", *options))


def test_record_tells_the_form_that_was_timed_and_what_the_others_took(folder, monkeypatch):
    # The traced function as it is: what a compiler makes of it has tests of its own.
    monkeypatch.setattr(torch._inductor, "compile", lambda traced, inputs: traced)
    run.train(configuration("train", "small", *SUS2, *STEPS, "test=false"))
    files = "potentials={small: runs/small/checkpoints/best.ckpt}"
    options = (files, "repeats=2", "atoms=8", "mode=fastest")
    run.speed(configuration("speed", "timed", *options))
    entry = records.load_record(folder / "runs/timed/record.json")["speed"]["small"]
    assert {"eager", "compile"} <= set(entry["modes_us_per_atom"]) <= {"eager", "compile", "cpp"}
    assert entry["mode"] in entry["modes_us_per_atom"]
    assert set(entry["peak_memory_MB"]) == {"energy_and_forces", "training_gradient"}


def test_initial_values_are_part_of_the_time_budget(folder):
    budget = ("budget.max_steps=null", "budget.max_time=1e-3 s", "threads=1")
    with pytest.raises(ValueError, match=r"initial values took .* raise it"):
        run.train(configuration("train", "hasty", *SUS2, *budget))


def test_training_from_initial_values_improves_sus2(folder):
    before = run.train(configuration("train", "few", *SUS2, *STEPS, "optimizer.algorithm.lr=1e-9"))
    steps = (*STEPS, "budget.max_steps=120", "optimizer.algorithm.lr=0.01")
    after = run.train(configuration("train", "more", *SUS2, *steps))
    solve = before["model"]["initialisation"]["linear_readout"]
    assert 0 < solve["rank"] <= solve["columns"] == 14 + 2
    error = "forces_rmse_meV_A"
    assert before["metrics"]["valid"][error] < before["baseline"]["valid"][error]
    assert after["metrics"]["valid"][error] < before["metrics"]["valid"][error]


def test_records_are_compared_in_a_report(folder, capsys):
    run.train(configuration("train", "small", *MODEL, *STEPS))
    files = "potentials={small: runs/small/checkpoints/best.ckpt}"
    run.speed(configuration("speed", "timed", files, "repeats=2", "atoms=8"))
    assert main(["compare", "runs", "--out", "report"]) == 0
    assert "report/report.md" in capsys.readouterr().out
    report = (folder / "report/report.md").read_text()
    row = next(line for line in report.splitlines() if line.startswith("| alloys | test | small"))
    assert "completed" in row
    # The speed is that of the joint run: the training run measured none.
    assert "| – |" not in row
    for figure in ("parity_test", "cost_test", "elements_test", "learning_curve"):
        assert f"]({figure}.png)" in report
        assert (folder / f"report/{figure}.svg").is_file()


def test_training_goes_on_from_an_mtp_file(folder):
    run.train(configuration("train", "first", *SUS2, *STEPS, "dtype=float64"))
    trained = load_potential(folder / "runs/first/checkpoints/best.ckpt")
    sus2.potential_to_mtp(trained, folder / "first.mtp")
    start = ("potential.start=first.mtp", "potential.species=[Al, Cu]", "dtype=float64")
    frozen = ("optimizer.algorithm.lr=1e-15", *STEPS)
    second = run.train(configuration("train", "second", *start, *frozen))
    first = records.load_record(folder / "runs/first/record.json")
    assert second["model"]["initialisation"] == {"start": "first.mtp"}
    stored = records.load_record(folder / "runs/second/record.json")
    assert stored["config"]["data"]["cutoff"] == stored["data"]["cutoff"] == 4.0
    # Steps this small change nothing that shows.
    before, after = (r["metrics"]["test"]["forces_rmse_meV_A"] for r in (first, second))
    assert after == pytest.approx(before, rel=1e-9)
    # The file has no units of the readout; training sets them, as for a new model.
    again = load_potential(folder / "runs/second/checkpoints/best.ckpt")
    assert not bool((again.model.linear_units == 1).any())


def test_start_without_an_element_of_the_data_is_refused(folder):
    sus2.potential_to_mtp(Potential(sus2.SUS2(["Cu"], 4.0)), folder / "copper.mtp")
    start = ("potential.start=copper.mtp", "potential.species=[Cu]")
    with pytest.raises(ValueError, match=r"copper.mtp does not know \['Al'\]"):
        run.train(configuration("train", "wrong", *start, *STEPS))


@pytest.mark.parametrize("ignored", ["potential.zbl=true", "potential.atomic_energies={Al: 1}"])
def test_settings_that_a_file_to_start_from_would_ignore_are_refused(folder, ignored):
    model = sus2.SUS2(["Al", "Cu"], 4.0, channels=1)
    model.set_linear_coefficients(torch.ones(14, dtype=torch.float64))
    sus2.potential_to_mtp(Potential(model), folder / "old.mtp")
    start = ("potential.start=old.mtp", "potential.species=[Al, Cu]", ignored)
    with pytest.raises(ValueError, match=r"old.mtp .*keeps"):
        run.train(configuration("train", "wrong", *start, *STEPS))


def test_untrained_start_gets_initial_values(folder):
    sus2.potential_to_mtp(Potential(sus2.SUS2(["Al", "Cu"], 4.0, channels=1)), folder / "new.mtp")
    start = ("potential.start=new.mtp", "potential.species=[Al, Cu]")
    record = run.train(configuration("train", "new", *start, *STEPS))
    assert record["model"]["initialisation"]["linear_readout"]["rank"] > 0


LINEAR = (
    "model=linear_sus2",
    "model.cutoff=4.0",
    "model.model.channels=1",
    "model.model.radial_basis_size=4",
)


def test_linear_baseline_is_solved_without_steps_and_stands_in_the_table(folder, capsys):
    budget = ("trainer=cpu", "budget.max_time=1e-3 s", "threads=1", "speed=false")
    record = run.train(configuration("train", "linear", *LINEAR, *budget))
    assert record["status"] == "completed"
    assert (record["timings"]["steps"], record["timings"]["train_seconds"]) == (0, 0.0)
    solve = record["model"]["initialisation"]["linear_readout"]
    # l2k1 has 14 scalars; E0 of two elements.
    assert record["parameters"]["trainable"] == solve["columns"] == 14 + 2
    assert record["parameters"]["stored"] > record["parameters"]["trainable"]
    error = "forces_rmse_meV_A"
    assert record["metrics"]["test"][error] < record["baseline"]["test"][error]
    assert record["model"]["checkpoint"] == "checkpoints/best.ckpt"
    start = ("potential.start=runs/linear/checkpoints/best.ckpt", *budget)
    again = run.train(configuration("train", "again", *start))
    # The solution of the solution; a float32 model takes E0 and coefficients in float64.
    assert again["metrics"]["test"][error] == pytest.approx(record["metrics"]["test"][error], 1e-5)
    assert main(["compare", "runs/linear", "--format", "markdown"]) == 0
    assert "| alloys | test | linear |" in capsys.readouterr().out


def test_composition_model_is_the_floor_of_every_record(folder):
    record = run.train(configuration("train", "floor", "model=composition", *STEPS, "speed=true"))
    assert record["parameters"]["trainable"] == 2
    for split in ("valid", "test"):
        floor = record["baseline"][split]
        # Two ways to the same least squares.
        assert record["metrics"][split] == pytest.approx(floor, rel=1e-6)
    timings = record["speed"]["floor"]
    assert "energy_and_forces_us_per_atom" in timings
    assert "training_gradient_us_per_atom" not in timings  # there is none


@pytest.mark.parametrize("model", [SUS2, LINEAR], ids=["trained", "frozen"])
def test_given_atomic_energies_are_those_of_isolated_atoms_after_the_solve(folder, model):
    given = {"Al": -1.75, "Cu": -2.5}
    energies = "potential.atomic_energies={Al: -1.75, Cu: -2.5}"
    steps = ("optimizer.algorithm.lr=1e-12", *STEPS)
    record = run.train(configuration("train", "given", *model, *steps, energies))
    solve = record["model"]["initialisation"]["linear_readout"]
    assert solve["columns"] == 14
    potential = load_potential(folder / "runs/given/checkpoints/best.ckpt")
    for symbol, energy in given.items():
        lone = potential(build_frame(Atoms(symbol), potential.cutoff), stress=False)
        # Six steps of a rate this small move it by less.
        assert float(lone.energy) == pytest.approx(energy, abs=1e-9)


def test_energies_of_isolated_atoms_hold_through_a_regularized_run(folder):
    isolated = {"Al": -0.25, "Cu": -0.5}
    frames = read(folder / "alloys.extxyz", ":")
    for symbol, energy in isolated.items():
        for copy in range(6):
            atoms = Atoms(symbol, cell=3 * [20.0 + copy], pbc=True)
            forces = np.zeros((1, 3))
            atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
            frames.append(atoms)
    write(folder / "alloys.extxyz", frames)
    options = ("potential.atomic_energies=isolated_atoms", "regularization.smoothness=1e-3")
    record = run.train(configuration("train", "held", *SUS2, *STEPS, *options))
    counts = record["parameters"]["blocks"]["atomic_energies"]
    assert (counts["stored"], counts["trainable"]) == (2, 0)
    potential = load_potential(folder / "runs/held/checkpoints/best.ckpt")
    for symbol, energy in isolated.items():
        lone = potential(build_frame(Atoms(symbol), potential.cutoff), stress=False)
        # Sums of a few numbers in float64.
        assert float(lone.energy) == pytest.approx(energy, abs=1e-12)


def test_composition_of_given_atomic_energies_keeps_them(folder):
    energies = "potential.atomic_energies={Al: -1.75, Cu: -2.5}"
    record = run.train(configuration("train", "given", "model=composition", *STEPS, energies))
    initial = record["model"]["initialisation"]
    assert initial["atomic_energies"] == {"Al": -1.75, "Cu": -2.5}
    assert "linear_readout" not in initial


def test_perfect_fit_of_isolated_atoms_is_no_error(folder):
    atoms = Atoms("Cu", cell=[20, 20, 20], pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.5, forces=[[0.0, 0.0, 0.0]])
    write(folder / "alloys.extxyz", [atoms] * 12)
    options = (*SUS2, *STEPS, "data.label_keys.stress=null")
    record = run.train(configuration("train", "atoms", *options))
    assert record["metrics"]["test"]["energy_per_atom_rmse_meV"] < 1e-5  # round-off of float32


def test_untrained_model_is_timed_beside_a_file_on_frames_of_data(folder):
    model = sus2.SUS2(["Al", "Cu"], 4.0, channels=1)
    save_potential(Potential(model), folder / "trained.pt")
    potentials = "potentials={file: trained.pt, new: {model: mtp_small, cutoff: 4.5}}"
    with initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        record = run.speed(compose("speed", [*DATA, potentials, *TIMED]))
    stored = records.load_record(folder / "runs/timed/record.json")
    assert stored["speed"] == record["speed"]
    file, new = stored["speed"]["file"], stored["speed"]["new"]
    assert file["atoms"] == new["atoms"]
    # Each has the neighbours of its own cutoff.
    assert file["edges"] < new["edges"]
    assert "md_step_us_per_atom" in new
    assert "training_gradient_us_per_atom" not in new
    assert list(stored["model"]["initialisation"]["untrained"]) == ["new"]
    assert "scan" not in stored


def test_a_polished_run_leaves_a_record_of_its_phases(folder):
    steps = ("trainer=cpu", "budget.max_time=null", "budget.max_steps=12", "speed=false")
    training = ("training=polish", "dtype=float64", "threads=1")
    record = run.train(configuration("train", "polished", *SUS2, *steps, *training))
    stored = records.load_record(folder / "runs/polished/record.json")
    assert [phase["name"] for phase in stored["phases"]] == ["batches", "polish", "linear"]
    assert [phase["steps"] for phase in stored["phases"]] == [3, 8, 1]
    assert stored["timings"]["steps"] == sum(phase["steps"] for phase in stored["phases"])
    losses = [phase["best_valid_loss_after"] for phase in stored["phases"]]
    assert losses == sorted(losses, reverse=True)
    assert record["metrics"]["valid"]["forces_rmse_meV_A"] > 0


def test_another_optimizer_and_fewer_phases_by_overrides(folder):
    chosen = ("optimizer@training.phases.polish=variable_projection", "~training.phases.linear")
    training = ("training=polish", "dtype=float64")
    record = run.train(configuration("train", "projected", *SUS2, *STEPS, *training, *chosen))
    assert [phase["steps"] for phase in record["phases"]] == [1, 5]
