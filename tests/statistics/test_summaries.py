"""The tables of models and of pairs, from records and the predictions beside them."""

import numpy as np
import pytest
from scipy import stats

from sus2bench.statistics import paired, summary

METRIC = "forces_rmse_meV_A"
FEW = 500  # replicates: none of these tests looks at tails closely


def row(table, model, metric=METRIC):
    (found,) = table[(table["model"] == model) & (table["metric"] == metric)].to_dict("records")
    return found


@pytest.fixture
def three(run, predictions):
    """A good and a bad model, and one like the good one, of two seeds each."""
    sizes = {"good": 0.10, "twin": 0.101, "bad": 0.3}
    return [
        run(f"{name}_seed{seed}", predictions(size, seed=10 * index + seed), seed, kind=name)
        for index, (name, size) in enumerate(sizes.items())
        for seed in range(2)
    ]


def test_rows_hold_the_mean_of_the_records_and_what_the_interval_covers(three):
    table = summary(three, samples=FEW)
    assert len(table) == 3 * 6
    found = row(table, "good")
    values = [record["metrics"]["test"][METRIC] for _, record in three[:2]]
    assert found["mean"] == pytest.approx(np.mean(values), 1e-12)
    assert found["low"] < found["mean"] < found["high"]
    assert (found["seeds"], found["frames"], found["blocks"]) == (2, 60, 60)
    assert found["method"] == "frames and seeds"
    assert found["percent_of_floor"] == pytest.approx(found["mean"] / 10)
    assert found["unit"] == "meV/Å"


def test_what_is_surely_worse_is_not_among_the_best_and_has_a_rank_of_its_own(run, predictions):
    sizes = {"good": 0.10, "twin": 0.1001, "bad": 0.3}
    found = [
        run(name, predictions(size, seed=number), kind=name)
        for number, (name, size) in enumerate(sizes.items())
    ]
    table = summary(found, samples=FEW)
    assert [row(table, name)["best"] for name in sizes] == [True, True, False]
    bad, good = row(table, "bad"), row(table, "good")
    assert (bad["rank"], bad["rank_low"], bad["rank_high"]) == (3, 3, 3)
    assert (good["rank_low"], good["rank_high"]) == (1, 2)
    assert good["method"] == "frames"


def test_without_predictions_the_interval_is_that_of_student_over_seeds(run, predictions):
    found = [run(f"a_seed{s}", predictions(0.1, seed=s), s, keep=False) for s in range(3)]
    values = [record["metrics"]["test"][METRIC] for _, record in found]
    table = summary(found, samples=FEW)
    half = stats.t.ppf(0.975, 2) * stats.sem(values)
    a = row(table, "a")
    assert a["method"] == "seeds"
    assert (a["low"], a["high"]) == pytest.approx((np.mean(values) - half, np.mean(values) + half))
    assert table["frames"].isna().all()


def test_one_run_without_predictions_has_no_interval_and_nobody_is_best(run, predictions):
    found = [run(name, predictions(0.1, seed=1), keep=False, kind=name) for name in "ab"]
    table = summary(found, samples=FEW)
    assert table["method"].eq("none").all()
    assert table[["low", "high", "rank_low", "rank_high"]].isna().all(axis=None)
    assert not table["best"].any()
    assert paired(found, samples=FEW).empty


def test_predictions_of_another_run_are_left_out(run, predictions, caplog):
    found = [run("a", predictions(0.1, seed=1))]
    found[0][1]["metrics"]["test"][METRIC] *= 1.01
    assert row(summary(found, samples=FEW), "a")["method"] == "none"
    assert "does not have the errors of its record" in caplog.text


def test_a_run_whose_error_is_no_number_is_ranked_nowhere(run, predictions):
    arrays = predictions(0.1)
    arrays["forces"][0] = np.nan
    found = [run("broken", arrays, kind="broken"), run("whole", predictions(0.1, seed=3))]
    table = summary(found, samples=FEW)
    broken = row(table, "broken")
    assert np.isnan([broken["mean"], broken["rank"], broken["low"]]).all()
    assert (broken["method"], broken["best"]) == ("none", False)
    assert row(table, "whole")["rank"] == 1
    assert row(table, "broken", "energy_per_atom_mae_meV")["method"] == "frames"


def test_blocks_of_frames_that_err_alike_widen_the_interval(run, predictions):
    scales = np.exp(np.repeat(np.random.default_rng(0).normal(size=12), 5))
    found = [run("a", predictions(0.1, scales=scales))]
    single = row(summary(found, samples=FEW), "a")
    blocks = row(summary(found, samples=FEW, blocks=5), "a")
    assert (single["blocks"], blocks["blocks"], blocks["frames"]) == (60, 12, 60)
    # Twelve independent numbers in place of sixty: about sqrt(5) times as wide.
    assert 1.5 < (blocks["high"] - blocks["low"]) / (single["high"] - single["low"]) < 3.5
    assert row(summary(found, samples=FEW, blocks={"other": 5}), "a")["blocks"] == 60


def test_a_configuration_can_declare_blocks(run, predictions):
    path, record = run("a", predictions(0.1))
    record["config"]["data"] = {"frames_per_block": 6}
    assert row(summary([(path, record)], samples=FEW), "a")["blocks"] == 10
    assert row(summary([(path, record)], samples=FEW, blocks=2), "a")["blocks"] == 30


def test_pairs_are_compared_on_the_same_frames_with_corrected_p_values(run, predictions):
    sizes = {"good": 0.10, "twin": 0.1001, "bad": 0.3}
    found = [
        run(name, predictions(size, seed=number), kind=name)
        for number, (name, size) in enumerate(sizes.items())
    ]
    table = paired(found, samples=FEW)
    forces = table[table["metric"] == METRIC].set_index(["model", "other"])
    assert len(forces) == 3
    assert forces.loc[("good", "bad"), ["difference", "low", "high"]].lt(0).all()
    assert forces["significant"].to_dict() == {
        ("good", "twin"): False,
        ("good", "bad"): True,
        ("twin", "bad"): True,
    }
    # The least p of 500 replicates, times three pairs.
    assert forces.loc[("good", "bad"), "p"] == pytest.approx(3 * 2 / 501)
    assert forces.loc[("good", "bad"), "p_wilcoxon"] < 1e-6
    assert forces.loc[("good", "twin"), "p_wilcoxon"] > 0.05
    assert forces["frames"].eq(60).all()


def test_the_difference_of_a_model_to_one_just_worse_on_every_frame_is_significant(
    run, predictions
):
    """Frames that vary fifty-fold hide a tenth in the intervals, and not in the difference."""
    scales = np.exp(np.random.default_rng(1).normal(size=60))
    one, other = (predictions(size, scales=scales) for size in (0.10, 0.11))
    table = summary(found := [run("a", one, kind="a"), run("b", other, kind="b")], samples=FEW)
    assert row(table, "a")["high"] > row(table, "b")["low"]
    assert not row(table, "b")["best"]
    assert paired(found, samples=FEW)["significant"].all()


def test_models_on_other_frames_are_compared_without_a_test_on_frames(run, predictions):
    found = [
        run("a", predictions(0.1), kind="a"),
        run("b", predictions(0.3, frames=50), kind="b"),
    ]
    table = paired(found, samples=FEW)
    assert table["p_wilcoxon"].isna().all()
    assert table["frames"].isna().all()
    assert table["significant"].all()


def test_records_without_the_split_give_empty_tables(run, predictions):
    found = [run("a", predictions(0.1))]
    assert summary(found, "valid").empty
    assert paired(found, "valid").empty


def test_columns_of_cost_are_those_of_the_record(run, predictions):
    path, record = run("a", predictions(0.1))
    timing = {"median": 50.0, "lower_quartile": 1.0, "upper_quartile": 2.0, "repeats": 3}
    record["speed"] = {"a": {"energy_and_forces_us_per_atom": timing}}
    record["stability"] = {"nve": {"instability": 0.5}}
    found = row(summary([(path, record)], samples=FEW), "a")
    assert (found["us_per_atom"], found["efficiency"], found["instability"]) == (50, 2, 0.5)
    assert np.isnan(found["hot_md_ps"])
