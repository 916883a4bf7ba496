"""Records of runs that never were, and one run that was."""

import shutil

import pytest
from ase.io import write
from hydra import compose, initialize_config_dir

from sus2bench.benchmark import records, run
from sus2bench.cli.configuration import configuration_folder

TIMING = {"lower_quartile": 1.0, "upper_quartile": 2.0, "repeats": 3}


def speed(median):
    return {
        **dict.fromkeys(("frames", "atoms", "edges", "threads"), 1),
        **{"dtype": "float64", "device": "cpu"},
        "energy_and_forces_us_per_atom": TIMING | {"median": median},
        "peak_memory_MB": {"energy_and_forces": 12.0, "training_gradient": None},
    }


def make_record(name="sus2", seed=0, error=50.0, channels=2, kind="train", paths="runs"):
    """A completed record of a run with errors of all atoms and of one element."""
    config = {
        "name": name,
        "seed": seed,
        "budget": {"max_steps": None, "max_time": "2 min", "max_frames": 900},
        "data": {"train_fraction": 0.5, "cache_dir": paths},
        "model": {"_target_": "package.SUS2", "channels": channels},
        "optimizer": {"algorithm": {"_target_": "torch.optim.AdamW", "lr": 1e-3}},
        "paths": {"results": paths},
    }
    record = records.new_record(kind, name, config)
    counts = dict.fromkeys(("stored", "trainable", "effective"), 10 * channels)
    record |= {
        "status": "completed",
        "traceback": None,
        "created": "2026-01-02T03:04:05Z",
        "seeds": {"run": seed},
        "parameters": counts | {"blocks": {}},
        "metrics": {
            "valid": {"forces_rmse_meV_A": error - 1},
            "test": {"forces_rmse_meV_A": error, "forces_rmse_meV_A/Ni": error + 1},
        },
        "baseline": {"test": {"forces_rmse_meV_A": 500.0}},
        "timings": {"train_seconds": 100.0, "initialise_seconds": 20.0, "steps": 7, "frames": 56},
    }
    record["data"] |= {"name": "alloys", "split_hash": "a" * 64, "files": {"t.xyz": "b" * 64}}
    record["model"] |= {"target": "package.SUS2", "dtype": "float64"}
    records.complete_units(record)
    return record


@pytest.fixture
def train_record():
    """Makes records, see `make_record`."""
    return make_record


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with `runs/`: two models, two seeds, one failure, one speed record."""
    monkeypatch.chdir(tmp_path)
    timed = make_record("timed", kind="speed")
    timed |= {"metrics": {}, "baseline": {}, "timings": {}, "units": {}, "parameters": None}
    timed["speed"] = {"sus2": speed(40.0), "painn": speed(400.0)}
    broken = records.new_record("train", "broken", {"budget": {"max_time": "soon"}, "seed": 3})
    broken |= {"traceback": "Traceback\nValueError: 'soon' is not a duration\n"}
    for place, record in {
        "sus2_0": make_record(),
        "sus2_1": make_record(seed=1, error=60.0),
        "large_0": make_record("large", channels=4, error=30.0),
        "timed": timed,
        "broken": broken,
    }.items():
        records.write_record(record, tmp_path / "runs" / place / "record.json")
    return tmp_path


RUN = (
    *("name=small", "data_name=alloys", "paths.output=runs/small", "data=extxyz"),
    *("data.train_file=alloys.extxyz", "data.test_fraction=0.25", "data.valid_fraction=0.25"),
    *("model=schnet_small", "model.features=8", "model.interactions=1", "model.cutoff=4.0"),
    *("trainer=cpu", "budget.max_time=null", "budget.max_steps=3", "threads=1"),
    *("callbacks.average=null", "callbacks.progress=null", "speed=false", "deterministic=true"),
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, small_alloys):
    """A folder with a finished run in `runs/small`, and 16 small Al-Cu cells, labelled by EMT."""
    folder = tmp_path_factory.mktemp("trained")
    write(folder / "alloys.extxyz", small_alloys(16))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SUS2BENCH_CACHE", str(folder / "cache"))
        with initialize_config_dir(str(configuration_folder()), version_base="1.3"):
            config = compose("train", list(RUN))
        run.train(config)
    return folder


@pytest.fixture
def finished(trained, tmp_path, monkeypatch):
    """A copy of that folder as the working folder."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUS2BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path
