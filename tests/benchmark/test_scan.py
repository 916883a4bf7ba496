"""Scans: crystals, potentials without training, points, limits, and what the record says."""

import numpy as np
import pytest
import torch
from hydra import initialize_config_dir

from sus2bench.benchmark import records
from sus2bench.benchmark.crystals import Crystal, compact_factors
from sus2bench.benchmark.limits import Cost, Limits
from sus2bench.benchmark.scan import Scan, ScanRun
from sus2bench.benchmark.sources import FORCE, FromFile, Untrained, model_config, source_of
from sus2bench.benchmark.speed import graph_of
from sus2bench.cli import main
from sus2bench.cli.configuration import configuration_folder, group_options
from sus2bench.models.loading import save_potential
from sus2bench.models.potential import Potential
from sus2bench.models.schnet import SchNet

SCHNET = {
    "_target_": "sus2bench.models.schnet.SchNet",
    "cutoff": 4.0,
    "features": 4,
    "interactions": 1,
    "gaussians": 5,
}
QUICK = {"warm_up": 0, "repeats": 2}


@pytest.fixture
def hydra():
    with initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        yield


@pytest.mark.parametrize("atoms", [1, 2, 10, 97, 500])
def test_crystal_has_any_number_of_atoms_at_the_same_density(atoms):
    crystal = Crystal(density=0.05).build(atoms, ["Cu", "Au"])
    assert len(crystal) == atoms
    assert atoms / crystal.get_volume() == pytest.approx(0.05)
    assert crystal.pbc.all()


def test_crystal_has_the_neighbours_that_its_density_says():
    crystal = Crystal()
    graph = graph_of([crystal.build(500, ["Cu"])], 6.0)
    # The shells of fcc lie unevenly about the mean.
    assert graph.edge_index.shape[1] / 500 == pytest.approx(crystal.neighbours(6.0), rel=0.1)


def test_geometry_does_not_depend_on_the_elements_which_all_occur():
    one, many = Crystal().build(100, ["Cu"]), Crystal().build(100, ["H", "Cu", "Au"])
    np.testing.assert_array_equal(one.positions, many.positions)
    assert set(many.symbols) == {"H", "Cu", "Au"}
    assert list(Crystal(seed=1).build(100, ["H", "Cu", "Au"]).symbols) != list(many.symbols)


def test_cell_is_as_compact_as_factors_allow():
    found = {n: compact_factors(n) for n in (1, 7, 10, 500, 10**6)}
    expected = {1: (1, 1, 1), 7: (1, 1, 7), 10: (1, 2, 5), 500: (5, 10, 10)}
    assert found == expected | {10**6: (100, 100, 100)}


@pytest.mark.parametrize("wrong", [{"density": 0.0}, {"density": -1.0}])
def test_crystal_without_density_is_refused(wrong):
    with pytest.raises(ValueError, match="positive density"):
        Crystal(**wrong)


@pytest.mark.parametrize("name", ["sus2_l2k1", "mtp_small", "nep_small", "schnet_small"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_untrained_potential_has_small_forces_that_are_not_zero(hydra, name, dtype):
    source = source_of({"model": name, "cutoff": 4.0}, dtype=dtype)
    potential = source.build(["Cu", "Au", "Al"])
    assert potential.dtype is dtype
    assert potential.species == ("Cu", "Au", "Al")
    prediction = potential(graph_of([Crystal().build(64, potential.species)], 4.0))
    size = float(prediction.forces.double().square().mean().sqrt())
    assert size == pytest.approx(FORCE, rel=1e-3)
    assert source.build(["Cu", "Au", "Al"]) is potential


def test_config_of_a_model_takes_changes_of_its_keys_only(hydra):
    config = model_config("nep_6_5", {"cutoff": 5.5})
    assert (config["cutoff"], config["angular_cutoff"]) == (5.5, 5.0)
    assert config["seed"] == 0
    with pytest.raises(ValueError, match=r"'nep_6_5' has no key 'cutof'; did you mean cutoff"):
        model_config("nep_6_5", {"cutof": 5.5})


@pytest.mark.parametrize("entry", [{"species": ["Cu"]}, {"file": "a", "cutoff": 4.0}, 3])
def test_entry_that_is_no_potential_is_refused(entry):
    with pytest.raises(ValueError, match="a potential to time is a file"):
        source_of(entry)


def run(scan, sources, **settings):
    found = ScanRun(scan, sources, **{"quantities": ["energy_and_forces"]} | settings)
    found.measure(**QUICK)
    return found.report


@pytest.mark.parametrize("together", [True, False])
def test_scan_over_sizes_keeps_neighbours_and_tells_the_memory_by_atom(together):
    scan = Scan("atoms", [8, 1, 27], fixed={"elements": 2}, together=together)
    report = run(scan, {"a": Untrained(SCHNET), "b": Untrained(SCHNET)})
    assert report["left_out"] == []
    for points in report["points"].values():
        assert [point["value"] for point in points] == [1, 8, 27]
        assert [point["atoms"] for point in points] == [1, 8, 27]
        assert all(8 < point["neighbours_per_atom"] < 24 for point in points)
        assert set(points[0]["peak_memory_bytes_per_atom"]) == {"energy_and_forces"}


def test_scan_over_elements_builds_a_model_for_each_number():
    scan = Scan("elements", [1, 3], fixed={"atoms": 20})
    points = run(scan, {"a": Untrained(SCHNET)})["points"]["a"]
    assert [point["elements"] for point in points] == [1, 3]
    assert [point["elements_of_potential"] for point in points] == [1, 3]
    assert points[0]["edges"] == points[1]["edges"]


def test_scan_over_cutoffs_changes_the_neighbours():
    scan = Scan("cutoff", [3.0, 5.0], fixed={"atoms": 20})
    points = run(scan, {"a": Untrained(SCHNET)})["points"]["a"]
    assert points[0]["neighbours_per_atom"] < points[1]["neighbours_per_atom"] / 2


def test_scans_over_threads_and_frames():
    threads = run(Scan("threads", [1, 2], fixed={"atoms": 8}), {"a": Untrained(SCHNET)})
    assert [point["threads"] for point in threads["points"]["a"]] == [1, 2]
    frames = run(Scan("frames", [1, 3], fixed={"atoms": 8}), {"a": Untrained(SCHNET)})
    assert [point["frames"] for point in frames["points"]["a"]] == [1, 3]
    assert [point["atoms"] for point in frames["points"]["a"]] == [8, 24]
    assert Scan("threads").points()[0].threads == 1


def test_potential_is_followed_as_far_as_the_limits_go(caplog):
    scan = Scan("atoms", [1, 8, 27], limits=Limits(atoms=8))
    report = run(scan, {"a": Untrained(SCHNET)})
    assert [point["value"] for point in report["points"]["a"]] == [1, 8]
    assert report["left_out"] == [
        {"potential": "a", "value": 27, "reason": "27 atoms are more than limits.atoms=8"}
    ]
    assert "a at atoms=27 is left out" in caplog.text
    for limits, reason in ((Limits(seconds=0.0), "a call"), (Limits(gigabytes=1e-9), "GB")):
        with pytest.raises(ValueError, match=f"nothing could be timed: .*{reason}"):
            run(Scan("atoms", [8, 27], limits=limits), {"a": Untrained(SCHNET)})


def test_cost_is_expected_in_proportion_to_edges():
    cost = Cost(atoms=10, edges=500, seconds=2.0, call_gigabytes=1.0).scaled(100, 5000)
    assert (cost.atoms, cost.seconds, cost.call_gigabytes) == (100, 20.0, 10.0)
    reason = Limits(seconds=10, gigabytes=100).refuse(cost, torch.device("cpu"))
    assert reason == "a call would take about 20 s, more than limits.seconds=10"
    assert Limits(seconds=30, gigabytes=100).refuse(cost, torch.device("cpu")) is None


class Choosy(Untrained):
    """Cannot be built for one cutoff."""

    def build(self, elements, cutoff=None):
        if cutoff == 3.0:
            raise ValueError("no cutoff of 3 Å")
        return super().build(elements, cutoff)


def test_model_that_cannot_be_built_at_one_point_is_timed_at_the_others():
    scan = Scan("cutoff", [3.0, 4.0], fixed={"atoms": 8})
    report = run(scan, {"a": Choosy(SCHNET), "b": Untrained(SCHNET)})
    assert [point["value"] for point in report["points"]["a"]] == [4.0]
    assert [point["value"] for point in report["points"]["b"]] == [3.0, 4.0]
    assert report["left_out"][0]["reason"] == "ValueError: no cutoff of 3 Å"


def test_files_keep_their_elements_and_cutoff(tmp_path):
    for name, species in (("a", ["Au", "Cu", "Al"]), ("b", ["Al", "Cu"])):
        model = SchNet(species, 4.0, features=4, interactions=1, gaussians=5)
        save_potential(Potential(model), tmp_path / name)
    files = {name: FromFile(tmp_path / name) for name in "ab"}
    found = ScanRun(Scan("atoms", [4], fixed={"elements": 2, "cutoff": 6.0}), files, quantities=[])
    assert found.elements == ["Cu", "Al"]
    found.measure(**QUICK)
    [point] = found.report["points"]["a"]
    assert (point["elements"], point["elements_of_potential"]) == (2, 3)
    with pytest.raises(ValueError, match=r"3 elements .* share only \['Cu', 'Al'\]"):
        ScanRun(Scan("atoms", [4], fixed={"elements": 3}), files)
    for over in ("elements", "cutoff"):
        with pytest.raises(ValueError, match=f"over {over} builds its models"):
            ScanRun(Scan(over, [1]), files)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"over": "pressure", "values": [1]}, "knows no 'pressure'"),
        ({"over": "atoms", "values": [1], "fixed": {"size": 3}}, "knows no 'size'"),
        ({"over": "atoms"}, "needs values"),
        ({"over": "threads", "values": []}, "needs values"),
    ],
)
def test_scan_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Scan(**settings)


@pytest.mark.parametrize("kind", group_options(configuration_folder())["scan"])
def test_every_scan_runs_from_the_command_line_and_is_drawn(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = {
        "size": ["scan.values=[1, 8]"],
        "elements": ["scan.values=[1, 2]"],
        "cutoff": ["scan.values=[3.0, 4.0]"],
        "threads": ["scan.values=[1, 2]"],
        "batch": ["scan.values=[1, 2]"],
    }
    models = "potentials={one: {model: schnet_small, features: 4}, two: {model: sus2_l2k1}}"
    fixed = {"size": [], "cutoff": ["scan.fixed.atoms=8"]}
    fixed = fixed.get(kind, ["scan.fixed.atoms=8", "scan.fixed.cutoff=4.0"])
    assert main(["speed", f"scan={kind}", models, *small[kind], *fixed, "repeats=2"]) == 0
    record = records.load_record(tmp_path / f"runs/speed/crystal/{kind}/record.json")
    assert record["status"] == "completed"
    assert set(record["scan"]["points"]) == {"one", "two"}
    assert all(len(points) == 2 for points in record["scan"]["points"].values())
    assert record["model"]["initialisation"]["untrained"]["one"]["features"] == 4
    capsys.readouterr()
    assert main(["compare", "runs", "--out", "report", "--reference", "one"]) == 0
    assert f"{kind}: energy and forces, µs/atom" in capsys.readouterr().out
    report = (tmp_path / "report/report.md").read_text()
    over = record["scan"]["over"]
    assert f"](speed_{over}.png)" in report
    assert "divided by those of one:" in report
    assert (tmp_path / f"report/speed_{over}.svg").is_file()


def test_misspelt_scan_is_refused_with_the_near_miss(capsys):
    assert main(["speed", "scan=elemnts", "potentials={a: b}"]) == 2
    assert "did you mean elements?" in capsys.readouterr().err
