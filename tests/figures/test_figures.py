"""Figures come from records and the files beside them, with units, and are reproducible."""

import matplotlib as mpl
import numpy as np
import pytest

from sus2bench.benchmark.records import new_record
from sus2bench.figures import style
from sus2bench.figures.errors_by_element import errors_by_element
from sus2bench.figures.learning_curve import learning_curve
from sus2bench.figures.parameters_by_elements import parameters_by_elements
from sus2bench.figures.pareto import pareto
from sus2bench.figures.parity import parity
from sus2bench.figures.speed_scan import speed_scan


def record(name, error):
    new = new_record("train", name, {})
    new["metrics"] = {
        "test": {
            "energy_per_atom_rmse_meV": error / 10,
            "forces_rmse_meV_A": error,
            "forces_rmse_meV_A/Cu": error,
            "forces_rmse_meV_A/Al": error * 2,
        }
    }
    timing = {"median": 100.0, "lower_quartile": 90.0, "upper_quartile": 120.0, "repeats": 5}
    new["speed"] = {name: {"energy_and_forces_us_per_atom": timing}}
    new["parameters"] = {"stored": 900, "trainable": 800, "effective": 700, "blocks": {}}
    return new


def predictions(path, frames, missing=False):
    generator = np.random.default_rng(1)
    energy = generator.normal(size=frames)
    forces = generator.normal(size=(4 * frames, 3))
    np.savez(
        path,
        energy=energy + 0.01,
        energy_reference=np.full(frames, np.nan) if missing else energy,
        composition_energy=np.zeros(frames),
        forces=forces + 0.1,
        forces_reference=forces,
        stress=np.zeros((frames, 3, 3)),
        stress_reference=np.zeros((frames, 3, 3)),
        atomic_numbers=np.full(4 * frames, 29),
        frame_index=np.arange(frames),
        frame_offsets=np.arange(frames + 1) * 4,
    )
    return path


def texts(figure):
    return [text.get_text() for text in figure.findobj(mpl.text.Text)]


@pytest.mark.parametrize("frames", [20, 400], ids=["points", "density"])
def test_parity_shows_the_errors_of_every_column(tmp_path, frames):
    first = predictions(tmp_path / "a.npz", frames)
    second = predictions(tmp_path / "b.npz", frames, missing=True)
    figure = parity({"valid": first, "test": second})
    shown = texts(figure)
    assert {"valid", "test", "no labels", "force\npredicted (eV/Å)"} <= set(shown)
    assert any(text.startswith("RMSE 100 meV/Å\nMAE 100 meV/Å") for text in shown)
    # 10 meV per frame of four atoms
    assert any(text.startswith("RMSE 2.5 meV/atom") for text in shown)


def test_pareto_shows_records_that_have_speed_and_errors():
    without = record("untimed", 3.0) | {"speed": {}}
    shown = texts(pareto([record("a", 10.0), record("b", 20.0), without], "test"))
    assert {"a", "b", "energy and forces (µs/atom)", "test force RMSE (meV/Å)"} <= set(shown)
    assert "untimed" not in shown
    with pytest.raises(ValueError, match="no record has both"):
        pareto([without], "test")


def test_elements_stand_by_atomic_number():
    figure = errors_by_element([record("a", 10.0), record("b", 20.0)], "test")
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["Al", "Cu"]
    with pytest.raises(ValueError, match="'valid'"):
        errors_by_element([record("a", 10.0)], "valid")


def test_learning_curve_skips_lines_without_the_metric(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text("step,train/loss,valid/loss\n1,5.0,\n2,,4.0\n4,,3.0\n")
    figure = learning_curve({"a": file}, "valid/loss", "loss")
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), [2, 4])
    with pytest.raises(ValueError, match="train/loss"):
        learning_curve({"a": file}, "valid/other", "other")


def test_saved_figures_are_the_same_for_the_same_record_and_settings_stay(tmp_path):
    before = dict(mpl.rcParams)
    contents = []
    for folder in ("one", "two"):
        files = style.save(errors_by_element([record("a", 1.0)], "test"), tmp_path / folder, "x")
        assert [file.suffix for file in files] == [".pdf", ".svg", ".png"]
        contents.append([file.read_bytes() for file in files])
    assert contents[0] == contents[1]
    assert dict(mpl.rcParams) == before


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        parity({})


def test_parameters_by_elements_has_a_line_per_model():
    counts = [
        {"name": name, "elements": [1, 2, 10], "trainable": [n, 4 * n, 100 * n]}
        for n, name in enumerate("abcdefghi", start=1)
    ]
    figure = parameters_by_elements(counts)
    lines = figure.axes[0].lines
    assert [line.get_label() for line in lines] == list("abcdefghi")
    # More models than colours differ in their dashes.
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 9
    with pytest.raises(ValueError, match="no counts"):
        parameters_by_elements([])


def scanned(values, time):
    timing = {"median": time, "lower_quartile": 0.9 * time, "upper_quartile": 1.2 * time}
    return [
        {
            "value": value,
            "energy_and_forces_us_per_atom": timing,
            "peak_memory_bytes_per_atom": {"energy_and_forces": None if value == 1 else 1000.0},
        }
        for value in values
    ]


@pytest.mark.parametrize("over", ["atoms", "elements", "cutoff", "frames", "threads"])
def test_scan_has_a_line_with_bars_for_each_potential(over):
    points = {name: scanned([1, 10, 89], 5.0 * n) for n, name in enumerate("abcdefghi", start=1)}
    figure = speed_scan(over, points | {"untimed": []})
    times = figure.axes[0]
    assert [bars.get_label() for bars in times.containers] == list("abcdefghi")
    assert list(times.containers[1].lines[0].get_ydata()) == [10.0] * 3
    # From the lower to the upper quartile.
    segment = times.containers[1].lines[2][0].get_segments()[0]
    np.testing.assert_allclose(np.array(segment, dtype=float), [[1, 9.0], [1, 12.0]])
    assert times.get_ylabel() == "energy and forces (µs/atom)"
    assert "untimed" not in texts(figure)
    if over == "atoms":
        # Where the memory is not known there is no marker.
        np.testing.assert_array_equal(figure.axes[1].lines[0].get_xdata(), [10, 89])
    else:
        assert len(figure.axes) == 1
        assert [label.get_text() for label in times.get_xticklabels()] == ["1", "10", "89"]
    with pytest.raises(ValueError, match="no points"):
        speed_scan(over, {"untimed": []})
