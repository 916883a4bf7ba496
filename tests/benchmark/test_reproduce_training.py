"""The runs behind results/training: each is a valid command, no model larger than it may be."""

import runpy
from pathlib import Path

import pytest
from ase.data import atomic_numbers
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from sus2bench.cli.configuration import check_overrides, configuration_folder

SCRIPT = Path(__file__).parents[2] / "scripts" / "reproduce_training.py"
RUNS = runpy.run_path(str(SCRIPT))["runs"](Path("results"), (0,))
ALL = [run for figure in RUNS.values() for run in figure]
# Numbers that the published MTPs of Zuo et al. (2020) have.
PUBLISHED = {"Ni": 330, "Cu": 330, "Mo": 330, "Li": 126, "Si": 914, "Ge": 914}


@pytest.mark.parametrize("experiment", sorted({run[0] for run in ALL}))
def test_runs_are_valid_commands_in_folders_of_their_own(experiment):
    places = [run[1:3] for run in ALL if run[0] == experiment]
    assert len(set(places)) == len(places)
    for _, data, name, settings in [run for run in ALL if run[0] == experiment]:
        check_overrides("train", [f"experiment={experiment}", f"name={name}", *settings])
        starts = [setting for setting in settings if setting.startswith("potential.start=")]
        for start in starts:  # from a run of the same data and seed, which comes before it
            part = start.split("/")[2]
            assert part.split("_")[-1] == name.split("_")[-1]
            assert places.index((data, part)) < places.index((data, name))


@pytest.mark.parametrize("element", PUBLISHED)
def test_single_elements_have_no_more_numbers_than_the_published_potentials(element):
    with initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        cfg = compose("train", [f"experiment=mlearn_{element}"])
    model = instantiate(cfg.model, species=[element], backend="eager", _convert_="all")
    blocks = model.parameter_blocks({(atomic_numbers[element],) * 2}).values()
    reference_energy = 1
    assert sum(block["stored"] for block in blocks) + reference_energy <= PUBLISHED[element]
