"""Runs made up: records with the errors of their predictions, which lie beside them."""

import numpy as np
import pytest

from sus2bench.benchmark.accuracy import save_predictions
from sus2bench.benchmark.records import load_record, new_record, write_record
from sus2bench.statistics.frame_sums import METRICS, frame_sums

ATOMS = 4


@pytest.fixture
def predictions():
    """A function that makes predictions up."""
    return _predictions


def _predictions(error, frames=60, seed=0, scales=None):
    """Predictions that err by normal numbers of a size (eV/atom, eV/Å, eV/Å^3) on frozen labels."""
    labels, noise = np.random.default_rng(7), np.random.default_rng([seed, 11])
    size = error * (np.ones(frames) if scales is None else scales)
    energy = labels.normal(size=frames)
    forces = labels.normal(size=(frames * ATOMS, 3))
    stress = labels.normal(size=(frames, 3, 3))
    return {
        "energy_reference": energy,
        "forces_reference": forces,
        "stress_reference": stress,
        "energy": energy + ATOMS * size * noise.normal(size=frames),
        "forces": forces + np.repeat(size, ATOMS)[:, None] * noise.normal(size=forces.shape),
        "stress": stress + size[:, None, None] * noise.normal(size=stress.shape),
        "atomic_numbers": np.full(frames * ATOMS, 29),
        "frame_index": np.arange(frames),
        "frame_offsets": np.arange(frames + 1) * ATOMS,
    }


@pytest.fixture
def run(tmp_path):
    """A function that leaves a completed run in a folder and returns it as `find_records` does."""

    def make(name, arrays, seed=0, data="alloys", keep=True, split="test", **config):
        folder = tmp_path / data / name
        settings = {"name": name, "seed": seed, "paths": {"output": name}, "model": {"seed": seed}}
        record = new_record("train", name, {**settings, **config})
        record |= {"status": "completed", "traceback": None, "seeds": {"run": seed, "model": seed}}
        record["parameters"] = {"stored": 1, "trainable": 1, "effective": 1, "blocks": {}}
        record["data"]["name"] = data
        errors = frame_sums(arrays).errors()
        record["metrics"] = {split: dict(zip(METRICS, map(float, errors), strict=True))}
        record["baseline"] = {split: {"forces_rmse_meV_A": 1000.0}}
        folder.mkdir(parents=True)
        if keep:
            save_predictions(arrays, folder / f"predictions_{split}.npz")
        write_record(record, folder / "record.json")
        return folder / "record.json", load_record(folder / "record.json")

    return make
