"""The command line: help, near misses, exit codes, and the hand-over to Hydra."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import sus2bench
from sus2bench import benchmark, cli
from sus2bench.cli import configuration

TRAIN = """
defaults:
  - data: alloys
  - model: sus2
  - _self_
  - optional experiment: null
name: a run
seed: 0
budget: {max_steps: 10, max_time: null}
potential: {start: null, zbl: false}
hydra:
  run: {dir: runs/single}
  sweep: {dir: runs/several, subdir: "${hydra.job.num}"}
"""
FILES = {
    "train.yaml": TRAIN,
    "evaluate.yaml": "defaults: [data: alloys, _self_]\npotential: ???\n",
    "speed.yaml": "atoms: 100\n",
    "data/alloys.yaml": "path: alloys.xyz\nbatch_size: 8\n",
    "data/oxides.yaml": "path: oxides.xyz\nbatch_size: 8\n",
    "data/sets/copper.yaml": "path: copper.xyz\n",
    "model/sus2.yaml": "cutoff: 5.0\nK: 2\n",
    "model/schnet.yaml": "cutoff: 5.0\nchannels: 64\n",
    "experiment/short.yaml": "# @package _global_\nbudget: {max_steps: 3}\n",
    "experiment/misspelt.yaml": "# @package _global_\nbudget: {max_step: 3}\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small configuration in place of the real one, and an empty working folder."""
    for name, text in FILES.items():
        file = tmp_path / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for module in (configuration, cli.help):
        monkeypatch.setattr(module, "configuration_folder", lambda: tmp_path / "conf")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.fixture
def jobs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list:
    """The configs that `train` was started with; `seed` 13 fails as a user's error."""
    started: list = []

    def train(config):
        started.append((config, list(sys.argv)))
        if config.seed == 13:
            raise ValueError("frame 7 has no label 'forces'; it has: energy")
        if config.seed == 14:
            raise RuntimeError("a defect")
        if config.seed == 15:
            raise KeyboardInterrupt("stopped; resume=true goes on")
        return {"metrics": {"valid": {"forces_rmse_meV_A": 5.0}}}

    monkeypatch.setattr(benchmark, "run", SimpleNamespace(train=train), raising=False)
    return started


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_of_the_program_lists_every_command(arguments, capsys):
    assert cli.main(arguments) == 0
    text = capsys.readouterr().out
    for command in (
        "train",
        "sweep",
        "evaluate",
        "speed",
        "compare",
        "compare-speed",
        "dashboard",
        "data",
        "prune",
        "extend",
        "records",
        "rerun",
    ):
        assert f"\n  {command} " in text


@pytest.mark.parametrize(
    "command",
    [
        *("train", "sweep", "evaluate", "speed", "compare", "compare-speed"),
        *("dashboard", "data", "records", "rerun"),
    ],
)
def test_help_of_each_command_fits_a_terminal_line(command, capsys):
    assert cli.main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: sus2bench {command}")
    assert max(len(line) for line in text.splitlines()) <= 100


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_examples_that_compare_models_name_their_optimizer(command, capsys):
    cli.main([command, "--help"])
    lines = capsys.readouterr().out.splitlines()
    several = [line for line in lines if "model=sus2," in line]
    assert several
    assert all("optimizer=adamw" in line for line in several)


def test_help_of_train_lists_groups_with_their_options_and_keys_with_their_defaults(folder, capsys):
    cli.main(["train", "--help"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["data", "*alloys", "oxides", "sets/copper"] in lines
    assert ["model", "schnet", "*sus2"] in lines
    assert ["budget.max_steps", "10"] in lines


def test_version_is_that_of_the_package(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"sus2bench {sus2bench.__version__}\n"


def test_help_and_import_do_not_load_torch():
    code = (
        "import sys, sus2bench.cli as c; c.main(['train', '--help']); "
        "sys.exit('torch' in sys.modules or 'lightning' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_module_and_command_are_the_same():
    command = [str(Path(sys.executable).parent / "sus2bench")]
    outputs = [
        subprocess.run([*start, "--help"], capture_output=True, check=True, text=True).stdout
        for start in (command, [sys.executable, "-m", "sus2bench"])
    ]
    assert outputs[0] == outputs[1] != ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["trian"], "unknown command 'trian'; did you mean train?"),
        (["train", "model=shnet"], "no option 'shnet'; did you mean schnet?"),
        (["train", "data=sets/coper"], "no option 'sets/coper'; did you mean sets/copper?"),
        (["train", "modle=sus2"], "'modle'; did you mean model"),
        (["train", "budget.max_step=5"], "'budget.max_step'; did you mean budget.max_steps"),
        (["train", "batch_size=5"], "'batch_size'; did you mean data.batch_size"),
        (["train", "model.channels=5"], "unknown key 'model.channels'"),
        (["train", "experiment=misspelt"], "'budget.max_step'; did you mean budget.max_steps"),
        (["train", "model=sus2,schnet"], "add --multirun"),
        (["train", "-m", "model=sus2,shnet"], "no option 'shnet'; did you mean schnet?"),
        (["train", "modell/sus2=x"], "unknown config group 'modell/sus2'"),
        (["train", "seed"], "seed"),
        (["train", "potential.start=a.ckpt", "model=schnet"], "'model=schnet' has no effect"),
        (["train", "potential.start=a.ckpt", "model.K=3"], "'model.K=3' has no effect"),
        (["train", "potential.start=a.ckpt", "potential.zbl=true"], "leave one of the two out"),
        (["train", "--config-dir", "nowhere"], "--config-dir nowhere is not a folder"),
        (["train", "--sweep"], "--sweep (see sus2bench train --help)"),
        (["evaluate"], "'potential' needs a value: give potential=..."),
        (["compare"], "RECORD"),
        (["compare", "nowhere"], "nowhere"),
        (["data"], "list|describe"),
        (["data", "describe", "emt-aloys"], "emt-alloys"),
    ],
)
def test_errors_of_the_user_are_one_clean_line_with_the_near_misses(
    arguments, expected, folder, capsys
):
    try:
        code = cli.main(arguments)
    except SystemExit as stop:  # argparse leaves this way
        code = stop.code
    errors = capsys.readouterr().err
    assert code == 2
    assert expected in errors
    assert errors.startswith("sus2bench: error: ")
    assert "Traceback" not in errors


def test_a_model_of_an_experiment_does_not_hinder_a_file_to_start_from(jobs, folder):
    (folder / "conf/experiment/five.yaml").write_text("# @package _global_\nmodel: {cutoff: 5}\n")
    assert cli.main(["train", "experiment=five", "potential.start=a.ckpt"]) == 0
    assert jobs[0][0].potential.start == "a.ckpt"


def test_several_mistakes_are_reported_together(folder, capsys):
    assert cli.main(["train", "model=shnet", "data=alloy"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_overrides_reach_the_job_and_nothing_else_changes(jobs, folder):
    before = list(sys.argv)
    assert cli.main(["train", "model=schnet", "experiment=short", "+extra=1", "seed=3"]) == 0
    [(config, argv)] = jobs
    assert (config.model.channels, config.budget.max_steps, config.seed) == (64, 3, 3)
    assert config.extra == 1
    # A process that a distributed strategy starts repeats this command line.
    assert argv[1:] == ["train", "model=schnet", "experiment=short", "+extra=1", "seed=3"]
    assert sys.argv == before


def test_multirun_starts_one_job_per_combination(jobs, folder):
    assert cli.main(["train", "--multirun", "model=sus2,schnet", "seed=range(0,2)"]) == 0
    assert [config.seed for config, _ in jobs] == [0, 1, 0, 1]


def test_a_failing_job_of_a_multirun_leaves_the_others_running(jobs, folder, capsys):
    assert cli.main(["train", "-m", "seed=13,1"]) == 2
    assert len(jobs) == 2
    assert "frame 7 has no label 'forces'" in capsys.readouterr().err


def test_options_of_an_extra_folder_are_found(jobs, folder):
    (folder / "mine" / "model").mkdir(parents=True)
    (folder / "mine" / "model" / "new.yaml").write_text("cutoff: 4.0\n")
    assert cli.main(["train", "--config-dir", "../mine", "model=new"]) == 0
    assert jobs[0][0].model.cutoff == 4.0


def test_the_composed_config_can_be_printed_without_running(jobs, folder, capfd):
    assert cli.main(["train", "--cfg", "job", "seed=5"]) == 0
    assert "seed: 5" in capfd.readouterr().out
    assert not jobs


def test_an_error_of_ours_in_a_job_is_one_line_and_exit_code_two(jobs, folder, capsys):
    assert cli.main(["train", "seed=13"]) == 2
    message = "sus2bench: error: frame 7 has no label 'forces'; it has: energy\n"
    assert capsys.readouterr().err == message


def test_debugging_shows_the_traceback(jobs, folder, capsys, monkeypatch):
    monkeypatch.setenv("SUS2BENCH_DEBUG", "1")
    assert cli.main(["train", "seed=13"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_defect_keeps_its_traceback_and_exit_code_one(jobs, folder, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "seed=14"])
    assert stop.value.code == 1
    assert "RuntimeError: a defect" in capsys.readouterr().err


def test_an_interrupted_run_says_so_with_the_exit_code_of_shells(jobs, folder, capsys):
    assert cli.main(["train", "seed=15"]) == 130
    assert capsys.readouterr().err == "sus2bench: error: stopped; resume=true goes on\n"


def test_data_list_names_every_data_set_and_describe_knows_each(capsys):
    names = configuration.group_options(configuration.configuration_folder())["data"]
    assert cli.main(["data", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == names
    for name in names:
        assert cli.main(["data", "describe", name]) == 0
        assert capsys.readouterr().out.startswith(name)
