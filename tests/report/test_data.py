"""What pages are made of, without a browser."""

import numpy as np
import pandas as pd
import pytest
from ase.data import atomic_numbers, chemical_symbols
from made_records import NASTY, predictions, record, summaries
from markupsafe import Markup

from sus2bench.benchmark.tables import MISSING
from sus2bench.figures.costs import pareto_front
from sus2bench.report import leaderboard
from sus2bench.report.costs import cost_data
from sus2bench.report.curves import LINES, MOST, curves_of, kept_points
from sus2bench.report.elements import LAST_ELEMENT, PERCENT, by_element, element_data, place
from sus2bench.report.parity import BINS, parity_of
from sus2bench.report.run_page import page_of
from sus2bench.report.runs import Run, runs_of, unique_slugs
from sus2bench.report.summary import models_on, shown
from sus2bench.report.values import short


@pytest.fixture(scope="module")
def runs(found):
    return runs_of(found)


@pytest.fixture(scope="module")
def table(runs):
    return leaderboard.table_of(runs)


def run_of(made):
    return Run(None, made, made["name"], made["name"])


def test_runs_of_one_name_are_told_apart_by_their_folders(runs):
    labels = {run.label for run in runs if run.record["name"] == "fast"}
    assert labels == {"fast (alloys)", "fast (again)"}
    assert len({run.slug for run in runs}) == len(runs) == 6


def test_names_of_files_are_plain_and_differ_without_regard_to_case():
    slugs = unique_slugs(["a/b c", "A-B-C", NASTY, "../..", ""])
    assert slugs == ["a-b-c", "A-B-C-2", "script-alert-x-script-quotes", "run", "run-2"]


def test_leaderboard_has_the_rows_of_the_table_and_the_floor_below(runs, table):
    first, *others = leaderboard.sections(runs, table)
    assert (first.data, first.split) == ("alloys", "test")
    assert [row.run.label for row in first.rows] == [
        "exact",
        "fast (alloys)",
        "fast (again)",
        "slow",
    ]
    titles = [column.title for column in first.columns]
    force, percent = titles.index("F RMSE (meV/Å)"), titles.index("F RMSE (% of floor)")
    assert first.rows[0].cells[force].value == 9.0
    assert first.rows[0].cells[percent].value == pytest.approx(100 * 9 / 400)
    assert first.floor.cells[force].text == "400.00"
    assert "effective" not in titles  # nobody has it
    places = [(section.data, section.split) for section in others]
    assert places == [
        ("alloys", "valid"),
        ("alloys", leaderboard.NO_ERRORS),
        ("oxides", "test"),
        ("oxides", "valid"),
    ]


def test_runs_of_one_name_are_told_apart_by_their_seeds(tmp_path):
    pairs = [
        (tmp_path / str(seed) / "record.json", record("fast", 40.0) | {"seeds": {"run": seed}})
        for seed in (0, 1)
    ]
    assert [run.label for run in runs_of(pairs)] == ["fast, seed 0", "fast, seed 1"]


def test_leaderboard_shows_checks_without_labels_where_no_model_has_an_interval(tmp_path):
    checks = {"nve": {"instability": 0.25}, "hot": None, "eos": {"local_minima": 1}}
    made = [record("a", 9.0, time=5.0) | {"stability": checks}, record("b", 10.0)]
    runs = runs_of((tmp_path / one["name"] / "record.json", one) for one in made)
    section = leaderboard.sections(runs, leaderboard.table_of(runs))[0]
    assert section.models is None
    titles = [column.title for column in section.columns]
    first, second = (
        dict(zip(titles, (cell.text for cell in row.cells), strict=True)) for row in section.rows
    )
    assert (first["instability"], first["minima of E(V)"]) == ("0.250", "1")
    assert first["efficiency"] == "20.0"
    assert second["instability"] == MISSING
    assert "hot MD (ps)" not in titles  # no run has it


def test_run_without_any_number_has_a_row_all_the_same():
    # Times of a speed run are of its potentials and not its own.
    scan = record("scan", model=None, time=5.0) | {"kind": "speed"}
    scan["model"]["dtype"] = None
    runs = [run_of(scan)]
    (section,) = leaderboard.sections(runs, leaderboard.table_of(runs))
    assert [(row.run.label, row.cells) for row in section.rows] == [("scan", ())]


def test_runs_stand_best_first(runs, table):
    ordered = [run.label for run in leaderboard.best_first(runs, table)]
    assert ordered == ["exact", "fast (alloys)", "fast (again)", "slow", "broken", NASTY]


def test_models_stand_as_the_statistics_say_with_what_they_cost(runs, monkeypatch):
    monkeypatch.setattr("sus2bench.report.summary.summary", lambda found, split: summaries())
    models = models_on(runs, "test")
    assert set(models) == {"alloys"}  # nothing is known of oxides but a mean
    table = shown(models["alloys"])
    first, second = (dict(zip(table["columns"], row, strict=True)) for row in table["rows"])
    assert (first["model"], first["seeds"], first["rank by F RMSE"]) == ("a", "3", "1 (1–1)")
    assert first["F RMSE, meV/Å"] == Markup("<strong>9.0 ± 1.0</strong>")
    assert second["F RMSE, meV/Å"] == "19.50 ± 0.50"
    assert (first["efficiency"], first["instability"]) == ("25.0", "2.0")
    assert "hot MD, ps" not in first  # no model has it


def test_page_of_a_run_says_what_checks_without_labels_found(tmp_path):
    dynamics = {"temperature_K": 300.0, "completed": True, "failure": None}
    drift = {"energy_drift_eV_atom_ps": 2e-4}
    pairs = {"pairs": 3, "by_pair": {"Al Cu": {}}}
    stability = {
        "split": "test",
        "atoms": 32,
        "nve": dynamics | drift,
        "hot": None,
        "dimers": pairs,
    }
    made = record("a") | {"stability": stability}
    run = Run(tmp_path / "record.json", made, "a", "a")
    page = page_of(run, pd.DataFrame({"split": []}))
    assert page["checks"] == {
        "Dynamics at constant energy": [
            ("temperature (K)", "300"),
            ("completed", "yes"),
            ("failure", MISSING),
            ("energy drift (eV/atom/ps)", "0.0002000"),
        ],
        "Pairs of atoms": [("pairs", "3")],
    }


def test_front_holds_what_nothing_beats_in_both():
    costs = [1.0, 2.0, 3.0, 3.0, None, 0.5, 2.0]
    errors = [9.0, 5.0, 6.0, 1.0, 0.1, np.nan, 5.0]
    assert pareto_front(costs, errors) == [0, 1, 3]
    assert pareto_front([], []) == []
    # Counts are integers that may be missing.
    assert pareto_front(pd.array([3, None, 1], dtype="Int64"), [1.0, 0.0, 2.0]) == [2, 0]


def test_front_of_a_group_is_the_brute_force_one(runs, table):
    group = next(g for g in cost_data(runs, table) if (g["data"], g["split"]) == ("alloys", "test"))
    points = group["points"]
    for error, fronts in group["fronts"].items():
        for cost, front in fronts.items():
            known = [p for p in points if p[error] is not None and p[cost] is not None]
            best = [
                p["label"]
                for p in known
                if not any(
                    q[error] <= p[error] and q[cost] <= p[cost] and q is not p for q in known
                )
            ]
            assert {points[place]["label"] for place in front} == set(best)
    assert group["floor"]["F RMSE (meV/Å)"] == 400.0


def test_curves_keep_beginning_and_end_and_are_bounded(results):
    lines = curves_of(results / "alloys" / "fast" / "metrics.csv")
    assert set(lines) == {"valid/forces_rmse_meV_A", "train/loss"} <= set(LINES)
    line = lines["train/loss"]
    assert MOST / 2 < len(line["step"]) <= MOST
    assert (line["step"][:3], line["step"][-1]) == ([1.0, 2.0, 3.0], 1000.0)
    assert line["seconds"][-1] == 100.0
    assert line["value"][-1] == 0.1


@pytest.mark.parametrize("count", [0, 1, MOST, MOST + 1, 100_000])
def test_kept_points_are_among_those_there_are(count):
    kept = kept_points(count)
    assert len(kept) == min(count, len(kept)) <= MOST
    assert len(np.unique(kept)) == len(kept)
    if count:
        assert (kept[0], kept[-1]) == (0, count - 1)


def test_elements_stand_where_chemists_look_for_them():
    expected = {"H": (1, 1), "He": (1, 18), "Al": (3, 13), "Sc": (4, 3), "Zn": (4, 12)}
    expected |= {"La": (9, 3), "Yb": (9, 16), "Lu": (6, 3), "U": (10, 6), "Og": (7, 18)}
    expected |= {"Cs": (6, 1), "Au": (6, 11), "B": (2, 13)}
    assert {symbol: place(atomic_numbers[symbol]) for symbol in expected} == expected
    numbers = range(1, LAST_ELEMENT + 1)
    assert len({place(number) for number in numbers}) == len(chemical_symbols[1:])


def test_errors_by_element_are_parts_of_the_records_own_floor():
    run = run_of(record("a", 10.0))
    assert by_element(run, "test")[PERCENT] == {"Al": 2.5, "Cu": 2.5}
    data = element_data([run])
    assert data["elements"] == ["Al", "Cu"]
    assert data["runs"]["a"]["splits"]["test"]["force RMSE (meV/Å)"] == [10.0, 20.0]
    assert element_data([run_of(record("failed"))]) == {}


@pytest.mark.parametrize("frames", [20, 500], ids=["points", "counts"])
def test_parity_counts_every_labelled_value_once(tmp_path, frames):
    predictions(tmp_path / "p.npz", frames)
    energy, force = parity_of(tmp_path / "p.npz")  # no stress has a label
    assert (force["values"], force["unit"], force["error_unit"]) == (12 * frames, "eV/Å", "meV/Å")
    assert force["rmse"] == force["mae"] == 100.0
    assert energy["rmse"] == 2.5  # 10 meV per frame of four atoms
    if frames == 20:
        assert len(force["reference"]) == force["values"]
    else:
        assert sum(force["counts"]) == force["values"]
        assert max(force["cells"]) < BINS**2
        # Predictions are above the references, and so are most of their cells above the diagonal.
        rows, columns = np.divmod(force["cells"], BINS)
        assert (rows - columns).mean() > 0


def test_numbers_are_short_and_never_nan():
    assert short(123.456789) == 123.46
    assert short(1e-12) == 1e-12
    assert [short(v) for v in (None, float("nan"), float("inf"), pd.NA)] == [None] * 4
