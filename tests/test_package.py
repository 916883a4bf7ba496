"""The package as a whole: import order, cheap import, versions, and configs that all compose."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import get_object

import sus2bench
from sus2bench.cli.configuration import (
    ConfigurationError,
    check_overrides,
    configuration_folder,
    group_options,
    primary_config,
)

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
PRIMARY = ("train", "evaluate", "speed")


def choices() -> list[tuple[str, str]]:
    """Each option of each group, with a top-level config that has the group."""
    groups = group_options(CONF)
    home = {group: name for name in reversed(PRIMARY) for group in primary_config(CONF, name)[0]}
    return [
        (home[group], f"{group}={option}")
        for group in sorted(home.keys() - {"hydra", "experiment"})
        for option in groups.get(group, ())
    ]


def targets(node) -> set[str]:
    """Every `_target_` in a config file."""
    if isinstance(node, list):
        return set().union(*map(targets, node))
    if not isinstance(node, dict):
        return set()
    own = {node["_target_"]} if isinstance(node.get("_target_"), str) else set()
    return own.union(*map(targets, node.values()))


def test_rooms_import_only_from_rooms_below_them():
    linter = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_the_configs_of_the_repository_are_the_ones_in_use():
    assert configuration_folder() == CONF


@pytest.mark.parametrize(("name", "override"), choices())
def test_every_config_composes(name, override):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(name, [override])
    assert config


def accepts(name: str, override: str) -> bool:
    try:
        check_overrides(name, [override])
    except ConfigurationError:
        return False
    return True


@pytest.mark.parametrize("experiment", group_options(CONF).get("experiment", []))
def test_every_experiment_fits_a_command(experiment, monkeypatch):
    monkeypatch.setenv("SUS2BENCH_SHARED", "shared")  # some name files in it, which are not read
    assert any(accepts(name, f"experiment={experiment}") for name in PRIMARY)


def test_every_group_can_be_chosen_somewhere():
    chosen = {group for name in PRIMARY for group in primary_config(CONF, name)[0]}
    groups = {group for group in group_options(CONF) if "/" not in group and group != "hydra"}
    assert groups <= chosen


def test_every_target_of_the_configs_exists():
    files = sorted(CONF.rglob("*.yaml"))
    named = set().union(*(targets(yaml.safe_load(file.read_text())) for file in files))
    assert named
    for target in sorted(named):
        assert callable(get_object(target)), target


def test_importing_the_package_does_not_load_torch():
    code = "import sus2bench, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_public_names_are_there_and_others_are_not():
    assert callable(sus2bench.load_potential)
    with pytest.raises(AttributeError, match="no attribute 'load_potentials'"):
        _ = sus2bench.load_potentials


def test_version_is_the_same_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert sus2bench.__version__ == version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    ("file", "extras"),
    [
        (
            "constraints.txt",
            {"wandb", "tensorboard", "docs", "test", "dev", "truth", "store", "sweeps", "report"},
        ),
        ("constraints-external-mace.txt", {"mace", "test"}),
        ("constraints-external-equivariant.txt", {"equivariant", "matgl", "test"}),
    ],
)
def test_constraints_pin_every_dependency_without_local_versions(file, extras):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(
        line.lower().replace("_", "-").split("==")
        for line in (ROOT / file).read_text().splitlines()
        if not line.startswith("#")
    )
    optional = project["optional-dependencies"]
    needed = [*project["dependencies"], *sum((optional[extra] for extra in extras), [])]
    for requirement in needed:
        assert re.split(r"[<>=!~ ]", requirement)[0].lower().replace("_", "-") in pins
    assert not [version for version in pins.values() if "+" in version]
