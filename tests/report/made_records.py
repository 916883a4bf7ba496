"""Made-up records with the files of a run beside them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from sus2bench.benchmark.records import complete_units, new_record, write_record

NASTY = "<script>alert('x')</script> & \"quotes\""
"""A name that would be code, if a page took it for some."""


def errors(forces):
    return {
        "energy_per_atom_rmse_meV": forces / 10,
        "energy_per_atom_mae_meV": forces / 20,
        "forces_rmse_meV_A": forces,
        "forces_mae_meV_A": forces / 2,
        "forces_rmse_meV_A/Al": forces,
        "forces_mae_meV_A/Al": forces / 2,
        "forces_rmse_meV_A/Cu": forces * 2,
        "forces_mae_meV_A/Cu": forces,
    }


def record(
    name, forces=None, *, data="alloys", time=None, trainable=1000, model="m.SUS2", **changes
):
    """A record; `forces` (meV/Å) on the test set, `time` in µs/atom."""
    config = {"name": name, "seed": 0, "model": {"_target_": model, "channels": trainable}}
    new = new_record("train", name, config)
    new["data"] |= {"name": data, "species": ["Al", "Cu"]}
    new["model"] |= {"target": model, "dtype": "float64"}
    new["command"] = f"sus2bench train name={name}"
    new["git"] = {"commit": "0" * 40, "dirty": False}
    if forces is not None:
        new |= {"status": "completed", "traceback": None}
        new["metrics"] = {"valid": errors(forces * 1.1), "test": errors(forces)}
        new["baseline"] = {"valid": errors(500.0), "test": errors(400.0)}
        counts = {"stored": trainable + 7, "trainable": trainable, "effective": None}
        new["parameters"] = counts | {"blocks": {"radial": counts}}
        new["timings"] = {"train_seconds": 60.0 + forces, "steps": 100}
    if time is not None:
        timing = {"median": time, "lower_quartile": time, "upper_quartile": time, "repeats": 3}
        speed = {"frames": 1, "atoms": 256, "edges": 9000, "dtype": "float64", "device": "cpu"}
        speed |= {"threads": 1, "energy_and_forces_us_per_atom": timing}
        new["speed"] = {name: speed | {"peak_memory_MB": {"energy_and_forces": 10 * time}}}
    return new | changes


def write(folder, made, *, beside=False):
    """Write a record, on request with a log, a learning curve and predictions."""
    complete_units(made)
    write_record(made, folder / "record.json")
    if beside:
        (folder / "sus2bench.log").write_text("first line\nlast line\n")
        rows = [f"{step},{step / 10},{100 / step},{300 / step}" for step in range(1, 1001)]
        head = "step,seconds,train/loss,valid/forces_rmse_meV_A"
        (folder / "metrics.csv").write_text("\n".join([head, *rows]) + "\n")
        predictions(folder / "predictions_test.npz")


def predictions(file, frames=50):
    generator = np.random.default_rng(0)
    energy, forces = generator.normal(size=frames), generator.normal(size=(4 * frames, 3))
    np.savez(
        file,
        energy=energy + 0.01,
        energy_reference=energy,
        composition_energy=np.zeros(frames),
        forces=forces + 0.1,
        forces_reference=forces,
        stress=np.zeros((frames, 3, 3)),
        stress_reference=np.full((frames, 3, 3), np.nan),
        atomic_numbers=np.tile([13, 13, 29, 29], frames),
        frame_index=np.arange(frames),
        frame_offsets=np.arange(frames + 1) * 4,
    )


def data_of(site: Path, name: str):
    """What a data file of a site puts."""
    text = (site / "data" / f"{name}.js").read_text("utf-8")
    return json.loads(text.removeprefix(f'report.put("{name}",').removesuffix(");\n"))


def summaries():
    """What the statistics may say: of two models on alloys; nothing but a mean on oxides."""
    rows = [
        ("alloys", "a", 9.0, 8.0, 10.0, 3, 1.0, 1.0, 1.0, True, False, 2.0),
        ("alloys", "b", 19.5, 19.0, 20.0, 1, 2.0, 2.0, 2.0, False, True, np.nan),
        ("oxides", "c", 5.0, np.nan, np.nan, 1, 1.0, np.nan, np.nan, False, False, np.nan),
    ]
    columns = ["data", "model", "mean", "low", "high", "seeds", "rank", "rank_low", "rank_high"]
    table = pd.DataFrame(rows, columns=[*columns, "best", "worse", "instability"])
    same = {"split": "test", "metric": "forces_rmse_meV_A", "method": "seeds", "us_per_atom": 4.0}
    unknown = ("percent_of_floor", "hot_md_ps", "eos_minima", "sane_dimers")
    return table.assign(**same, efficiency=25.0, **dict.fromkeys(unknown, np.nan))
