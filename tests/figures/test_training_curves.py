"""Curves of errors against training time: seeds together, with their median."""

import numpy as np
import pandas as pd
import pytest

from sus2bench.figures.training_curves import (
    ENERGY,
    FORCES,
    Reference,
    group_of,
    median_curve,
    training_curves,
    validation_errors,
)


def curve(seconds, energy):
    energy = np.array(energy, dtype=float)
    return pd.DataFrame({"seconds": np.array(seconds, float), ENERGY: energy, FORCES: 10 * energy})


def test_only_the_seed_at_the_end_of_a_name_is_left_out():
    names = ("lm_seed0", "lm_seed12", "lm", "lm_seed0_LK", "seed1")
    assert [group_of(name) for name in names] == ["lm", "lm", "lm", "lm_seed0_LK", "seed1"]


def test_validations_are_read_with_the_time_of_the_initial_values(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text(
        f"step,train/loss,seconds,valid/{ENERGY},valid/{FORCES}\n"
        "1,5.0,1.0,,\n1,,1.5,20.0,200.0\n2,4.0,2.0,,\n2,,2.5,10.0,100.0\n"
    )
    found = validation_errors(file, before=0.5)
    pd.testing.assert_frame_equal(found, curve([2.0, 3.0], [20, 10]))
    file.write_text("step,train/loss\n1,5.0\n")
    with pytest.raises(ValueError, match=r"metrics.csv has no seconds, valid/energy"):
        validation_errors(file)


def test_the_median_is_that_of_interpolated_errors_while_all_runs_go_on():
    curves = [
        curve([1, 2, 3], [30, 20, 10]),
        curve([2, 4], [40, 0]),
        curve([1, 5], [1, 1]),
    ]
    times, median = median_curve(curves, ENERGY)
    np.testing.assert_array_equal(times, [2, 3])
    np.testing.assert_allclose(median, [20, 10])
    # One run is its own median, at all its times.
    times, median = median_curve(curves[:1], FORCES)
    np.testing.assert_array_equal(times, [1, 2, 3])
    np.testing.assert_allclose(median, [300, 200, 100])


def test_figure_has_thin_seeds_a_bold_median_and_references():
    runs = {
        "lm_seed0": curve([1, 2], [30, 20]),
        "lm_seed1": curve([1, 2], [50, 40]),
        "adamw": curve([1, 9], [90, 80]),
        "never validated": curve([], []),
    }
    figure = training_curves(runs, [Reference("published", 1.5, 52.0)])
    energy, forces = figure.axes
    named = {line.get_label(): line for line in energy.lines if line.get_label()[0] != "_"}
    assert list(named) == ["lm", "adamw", "published"]
    np.testing.assert_allclose(named["lm"].get_ydata(), [40, 30])
    thin = [line for line in energy.lines if line.get_linewidth() < 1]
    assert [list(line.get_ydata()) for line in thin] == [[30, 20], [50, 40]]
    assert {line.get_color() for line in thin} == {named["lm"].get_color()}
    assert list(named["published"].get_ydata()) == [1.5, 1.5]
    assert list(forces.lines[-1].get_ydata()) == [52.0, 52.0]
    assert energy.get_xscale() == energy.get_yscale() == "log"
    assert energy.get_xlabel() == "training time (s)"


def test_nothing_validated_is_an_error():
    with pytest.raises(ValueError, match="no run with a validation"):
        training_curves({"a": curve([], [])})
