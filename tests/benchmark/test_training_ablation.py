"""The ablation of training: every choice is a valid command, and one that differs from the rest."""

import runpy
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from sus2bench.cli.configuration import check_overrides, configuration_folder

SCRIPT = Path(__file__).parents[2] / "scripts" / "training_ablation.py"
NAMES = runpy.run_path(str(SCRIPT))
CHOICES, COMMON = NAMES["CHOICES"], NAMES["COMMON"]


def config(choice):
    with initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        return OmegaConf.to_container(compose("train", [*COMMON, *CHOICES[choice]]))


@pytest.mark.parametrize("choice", CHOICES)
def test_choices_are_valid_commands_that_differ_from_the_one_they_change(choice):
    check_overrides("train", [*COMMON, *CHOICES[choice], f"hydra.run.dir=runs/{choice}"])
    changed = config(choice)
    assert (changed["dtype"], changed["model"]["backend"]) == ("float64", "cpp")
    assert changed["budget"]["clock"] == "processor"
    if choice != "lm":
        assert changed != config("lm")
