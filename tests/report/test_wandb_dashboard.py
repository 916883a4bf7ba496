"""The workspace of W&B, built without a login: its panels name what runs log."""

import os
from importlib.util import find_spec
from pathlib import Path

import hydra
import pytest
from made_records import record
from omegaconf import OmegaConf

from sus2bench import cli
from sus2bench.benchmark.tracking import scalars_of
from sus2bench.cli.configuration import configuration_folder
from sus2bench.report import wandb_dashboard
from sus2bench.report.wandb_dashboard import specification, workspace

needs_workspaces = pytest.mark.skipif(
    find_spec("wandb_workspaces") is None, reason="wandb-workspaces is not installed"
)
LOGGED = {
    *("_step", "seconds", "epoch"),
    *("train/loss", "valid/loss", "train/learning_rate"),
    *("valid/forces_mae_meV_A", "valid/energy_per_atom_mae_meV", "valid/stress_mae_GPa"),
}


@pytest.fixture(scope="module")
def made():
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB")]:
            patch.delenv(name)
        return specification(workspace("me", "alloys", sweep="pareto"))


@pytest.fixture(scope="module")
def panels(made):
    sections = made["spec"]["section"]["panelBankConfig"]["sections"]
    return {
        section["name"]: [(panel["viewType"], panel["config"]) for panel in section["panels"]]
        for section in sections
    }


@needs_workspaces
def test_the_panels_of_a_comparison_are_there(panels):
    kinds = {name: [kind for kind, _ in found] for name, found in panels.items()}
    assert kinds["Results by model"] == ["Bar Chart"] * 7
    assert kinds["Error against cost"] == ["Scatter Plot"] * 8
    assert kinds["Validation"] == ["Run History Line Plot"] * 9
    assert kinds["Training"] == ["Run History Line Plot"] * 3
    assert kinds["Parity"] == ["Media Browser"]
    assert kinds["Hyperparameters"] == ["Parallel Coordinates Plot", "Run Comparer"]
    assert kinds["System"] == ["Run History Line Plot"] * 4
    axes = {config["xAxis"] for _, config in panels["Validation"]}
    assert axes == {"_step", "seconds", "epoch"}
    assert {config["xAxis"] for _, config in panels["System"]} == {"_runtime"}


@needs_workspaces
def test_every_panel_shows_what_runs_log(panels):
    stored = record("a", 10.0, time=5.0)
    stored["metrics"]["test"]["stress_mae_GPa"] = 1.0
    results = set(scalars_of(stored))
    for _, config in panels["Results by model"]:
        assert set(config["metrics"]) <= results
        assert config["groupBy"] == "name.value"
    for _, config in panels["Error against cost"]:
        assert {config["xAxis"], config["yAxis"]} <= {f"summary:{name}" for name in results}
    for _, config in panels["Validation"] + panels["Training"]:
        assert {*config["metrics"], config.get("xAxis", "_step")} <= LOGGED
    assert panels["Parity"][0][1]["mediaKeys"] == ["parity/test"]


@needs_workspaces
def test_hyperparameters_are_keys_of_the_configuration(panels):
    with hydra.initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        cfg = hydra.compose("train", ["name=a", "data_name=b", "paths.output=c"])
    (_, config), _ = panels["Hyperparameters"]
    *keys, error = (column["accessor"] for column in config["columns"])
    assert error == "summary:record/test/forces_mae_meV_A"
    chosen = OmegaConf.to_container(cfg, resolve=False)
    for key in keys:
        name = key.removeprefix("config:").replace(".value", "")
        node = chosen
        for part in name.split("."):
            assert part in node or name == "optimizer.algorithm.lr", name
            node = node.get(part)


@needs_workspaces
def test_runs_are_those_of_the_sweep_grouped_by_data_and_model(made):
    (runs,) = made["spec"]["section"]["runSets"]
    assert [key["name"] for key in runs["grouping"]] == ["data_name.value", "name.value"]
    (group,) = runs["filters"]["filters"]
    assert group["key"] == {"section": "run", "name": "group"}
    assert (group["op"], group["value"]) == ("=", "pareto")
    assert (made["entity"], made["project"]) == ("me", "alloys")


@needs_workspaces
def test_the_command_writes_json_without_sending(tmp_path, capsys):
    file = tmp_path / "dashboard.json"
    assert cli.main(["dashboard", "--entity", "me", "--split", "ood_eos", "--out", str(file)]) == 0
    assert "nothing sent" in capsys.readouterr().out
    text = file.read_text("utf-8")
    assert "record/ood_eos/forces_mae_meV_A" in text
    assert "record/test/" not in text


def test_a_write_that_is_cut_short_leaves_the_earlier_workspace(tmp_path, monkeypatch):
    file = tmp_path / "dashboard.json"
    file.write_text("earlier")
    monkeypatch.setattr(wandb_dashboard, "workspace", lambda *arguments, **options: None)
    monkeypatch.setattr(wandb_dashboard, "specification", lambda made: {"panels": []})
    write_text = Path.write_text

    def killed(file, text, encoding=None):
        write_text(file, text[:1], encoding=encoding)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", killed)
    assert cli.main(["dashboard", "--entity", "me", "--out", str(file)]) != 0
    assert file.read_text() == "earlier"


def test_without_the_package_the_remedy_is_named(monkeypatch, capsys):
    monkeypatch.setattr(wandb_dashboard, "find_spec", lambda name: None)
    assert cli.main(["dashboard", "--entity", "me"]) == 2
    assert "pip install 'sus2bench[wandb]'" in capsys.readouterr().err
