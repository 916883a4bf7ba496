"""The real data sets, where they are: their counts and the errors of doing nothing."""

import numpy as np
import pytest
from ase.data import atomic_numbers
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from sus2bench.data.catalogue import data_folder
from sus2bench.data.statistics import force_rms, least_squares_atomic_energies


def load(name, shared, cache):
    with initialize_config_dir(str(data_folder()), version_base="1.3"):
        config = compose(name)
    paths = {"cache": str(cache), "shared": str(shared)}
    module = instantiate(OmegaConf.create({"data": config, "paths": paths}).data)
    module.cutoff = 4.0
    module.prepare_data()
    module.setup()
    return module


# Counts, elements, and per test set the RMSE of the fit by composition (meV/atom) and of no
# force at all (meV/Å), as data cards give them, to the digits given.
FLOORS = [
    ("alloy53", [1573, 120, 250], 53, {"test": (276, 610)}),
    ("unipero", [1181, 81, 214], 12, {"test": (41, 712)}),
    ("lmnto", [600, 60, 82], 5, {"test": (5.2, 692)}),
    ("lgps", [1000, 100, 300], 4, {"test": (65, 808)}),
    ("acac", [450, 50, 650, 650], 3, {"test_300K": (10, 1041), "test_600K": (38, 1366)}),
]


@pytest.mark.parametrize(("name", "counts", "elements", "floors"), FLOORS)
def test_counts_and_trivial_floors(name, counts, elements, floors, shared, session_cache):
    module = load(name, shared, session_cache)
    assert [len(part) for part in module.parts.values()] == counts
    assert len(module.species) == elements
    energies, _ = least_squares_atomic_energies(module.train, module.species)
    columns = [atomic_numbers[symbol] for symbol in module.species]
    for test, (energy_floor, force_floor) in floors.items():
        dataset = module.tests[test]
        fit = dataset.composition()[:, columns] @ np.array(list(energies.values()))
        error = (dataset.values("energy").numpy() - fit) / dataset.num_atoms
        digits = 1 if energy_floor < 10 else 0
        assert round(1e3 * float(np.sqrt(np.mean(error**2))), digits) == energy_floor
        assert round(1e3 * force_rms(dataset)) == force_floor
    stress = module.census["parts"]["train"]["labels"]["stress"]
    assert stress == (0 if name in ("lmnto", "acac") else counts[0])


def test_copies_in_the_official_tests_are_found(shared, session_cache):
    for element, copies in (("Li", 3), ("Ge", 3)):
        module = load(f"mlearn_{element}", shared, session_cache)
        # Validation is cut from training: a copy may be of a frame of either.
        found = set(module.census["copies_of_training_frames"]["test"])
        assert len(found) <= copies
        assert found
        assert module.census["warnings"]


def test_the_cfg_set_is_read(shared, session_cache):
    module = load("diamond", shared, session_cache)
    assert len(module.train) + len(module.valid) == 200
    assert len(module.tests["test"]) == 114
    assert module.species == ["C"]
    assert module.census["parts"]["test"]["labels"] == {"energy": 114, "forces": 114, "stress": 114}
