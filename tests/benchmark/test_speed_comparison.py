"""Two records of speed: made-up calls with a known answer, and records that cannot be compared."""

import copy

import numpy as np
import pytest

from sus2bench.benchmark import speed_tables
from sus2bench.benchmark.records import new_record, validate, write_record
from sus2bench.benchmark.speed_comparison import (
    FASTER,
    SAME,
    SLOWER,
    compare_calls,
    compare_records,
)
from sus2bench.benchmark.stopwatch import summary
from sus2bench.cli import main

ATOMS = 100


def calls(median, seed, spread=0.02, repeats=15):
    """Seconds of calls whose logarithms are normal, so that their median is known."""
    return median * np.exp(spread * np.random.default_rng(seed).normal(size=repeats))


def entry(seconds, **changes):
    return {
        "frames": 1,
        "atoms": ATOMS,
        "edges": 5000,
        "dtype": "float64",
        "device": "cpu",
        "threads": 1,
        "energy_and_forces_us_per_atom": summary(list(seconds), ATOMS),
        "peak_memory_MB": {"energy_and_forces": 1.0},
        **changes,
    }


def record(name="speed", **potentials):
    new = new_record("speed", name, {})
    new["data"]["name"] = "alloys"
    new["speed"] = potentials
    return new


def scan(**points):
    new = record("size")
    new["scan"] = {
        "over": "atoms",
        "fixed": {"elements": 2, "cutoff": None, "frames": 1, "threads": 1},
        "crystal": {"density": 0.05, "rattle": 0.1, "seed": 0},
        "points": points,
        "left_out": [],
    }
    return new


def point(value, seconds, **changes):
    memory = {"peak_memory_bytes_per_atom": {"energy_and_forces": 1e4}}
    return entry(seconds, value=value, **memory, **changes)


def test_interval_holds_the_true_ratio_and_the_p_value_tells_noise_from_difference():
    faster = compare_calls(list(calls(2.0, 1)), list(calls(1.0, 2)))
    assert faster.low < 0.5 < faster.high
    assert faster.high - faster.low < 0.05
    assert faster.p_value < 1e-4
    same = compare_calls(list(calls(1.0, 3)), list(calls(1.0, 4)))
    assert same.low < 1 < same.high
    assert same.p_value > 0.05


def test_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(100):
        found = compare_calls(list(calls(1.0, 2 * seed)), list(calls(1.1, 2 * seed + 1)), 0.9)
        covered += found.low <= 1.1 <= found.high
    # Binomial: 90 expected, standard deviation 3; the bootstrap of a median errs by a few percent.
    assert 80 <= covered <= 99


def test_verdict_is_faster_slower_or_nothing_shown():
    first = record(a=entry(calls(1.0, 1)), b=entry(calls(1.0, 2)), c=entry(calls(1.0, 3)))
    second = record(c=entry(calls(1.0, 4)), b=entry(calls(1.5, 5)), a=entry(calls(0.7, 6)))
    table = compare_records(first, second)
    assert dict(zip(table["potential"], table["verdict"], strict=True)) == {
        "a": FASTER,
        "b": SLOWER,
        "c": SAME,
    }
    ratio = table["ratio"][table["potential"] == "b"].item()
    assert ratio == pytest.approx(1.5, rel=0.05)
    assert table["first"][0] == pytest.approx(1e6 / ATOMS, rel=0.05)
    # A difference that is certain but small does not count.
    assert set(compare_records(first, second, least=0.6)["verdict"]) == {SAME}


def test_few_calls_show_no_difference():
    first, second = (record(a=entry(calls(m, 1, repeats=3))) for m in (1.0, 2.0))
    # Of six calls in two groups the likeliest order that differs has one chance in ten.
    assert compare_records(first, second)["verdict"].tolist() == [SAME]


def test_many_equal_times_give_hardly_any_false_alarm():
    names = [f"p{i}" for i in range(60)]
    first = record(**{name: entry(calls(1.0, i)) for i, name in enumerate(names)})
    second = record(**{name: entry(calls(1.0, i + 100)) for i, name in enumerate(names)})
    verdicts = compare_records(first, second, least=0.0)["verdict"].tolist()
    # Without control of the false discovery rate about three of the sixty would be called.
    assert verdicts.count(SAME) >= 59


def test_points_of_scans_are_compared_where_both_have_them():
    first = scan(a=[point(1, calls(1.0, 1)), point(10, calls(1.0, 2)), point(100, calls(1.0, 3))])
    second = scan(a=[point(1, calls(1.0, 4)), point(10, calls(2.0, 5))])
    for made in (first, second):
        validate(made)
    table = compare_records(first, second)
    assert table["value"].tolist() == [1, 10]
    assert table["verdict"].tolist() == [SAME, SLOWER]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["speed"]["a"].update(dtype="float32"), "dtype of a differs"),
        (lambda r: r["speed"]["a"].update(device="cuda"), "device of a differs"),
        (lambda r: r["speed"]["a"].update(threads=2), "threads of a differs"),
        (lambda r: r["speed"]["a"].update(edges=1), "edges of a differs"),
        (lambda r: r["speed"]["a"].update(clock="processor"), "clock of a differs"),
        (lambda r: r["hardware"].update(cpu="another"), r"hardware \(cpu\) differs"),
        (lambda r: r["data"].update(name="oxides"), r"data \(name\) differs"),
        (lambda r: r["speed"].update(b=r["speed"].pop("a")), r"no potential in common.*a.*b"),
        (
            lambda r: r["speed"]["a"]["energy_and_forces_us_per_atom"].pop("seconds"),
            r"no seconds of single calls \(a, energy_and_forces\)",
        ),
    ],
)
def test_records_that_were_made_otherwise_are_refused(change, message):
    first = record(a=entry(calls(1.0, 1)))
    second = copy.deepcopy(first)
    change(second)
    with pytest.raises(ValueError, match=message):
        compare_records(first, second)


def test_scans_of_another_crystal_are_refused():
    first = scan(a=[point(1, calls(1.0, 1))])
    second = copy.deepcopy(first)
    second["scan"]["crystal"]["density"] = 0.06
    with pytest.raises(ValueError, match=r"scan \(crystal\) differs"):
        compare_records(first, second)
    with pytest.raises(ValueError, match=r"scan \(over\) differs"):
        compare_records(first, record(a=entry(calls(1.0, 1))))


@pytest.mark.parametrize("shown", ["table", "markdown", "csv"])
def test_command_prints_ratios_and_verdicts(tmp_path, capsys, shown):
    for name, median in (("before", 1.0), ("after", 0.5)):
        timed = record(name, a=entry(calls(median, 1)))
        write_record(timed, tmp_path / name / "record.json")
    folders = [str(tmp_path / name) for name in ("before", "after")]
    assert main(["compare-speed", *folders, "--format", shown, "--confidence", "0.9"]) == 0
    text = capsys.readouterr().out
    assert "faster" in text
    assert "0.5" in text
    assert ("90 % interval" in text) is (shown != "csv")


def test_command_refuses_a_folder_of_several_records(tmp_path, capsys):
    for name in "ab":
        write_record(record(name, a=entry(calls(1.0, 1))), tmp_path / name / "record.json")
    assert main(["compare-speed", str(tmp_path), str(tmp_path / "a")]) == 2
    assert "holds 2 records" in capsys.readouterr().err
    assert main(["compare-speed", *[str(tmp_path / "a")] * 2, "--confidence", "95"]) == 2
    assert "between 0 and 1" in capsys.readouterr().err


def test_report_has_ratios_where_the_reference_was_timed(tmp_path, capsys):
    found = {
        "one": record("one", sus2=entry(calls(1.0, 1)), nep=entry(calls(2.0, 1))),
        "two": record("two", mace=entry(calls(90.0, 1))),
        "three": scan(mace=[point(1, calls(1.0, 1))]),
    }
    for name, made in found.items():
        write_record(made, tmp_path / "runs" / name / "record.json")
    command = ["compare", str(tmp_path / "runs"), "--out", str(tmp_path / "report"), "--reference"]
    assert main([*command, "sus2"]) == 0
    report = (tmp_path / "report" / "report.md").read_text()
    assert "| nep |" in report
    assert "| two | mace |" not in report
    assert "divided by those of" not in report
    assert "](speed_atoms.png)" in report
    capsys.readouterr()
    assert main([*command, "painn"]) == 2
    assert "no speed record has timed 'painn'; there are mace, nep, sus2" in capsys.readouterr().err


def test_ratios_are_to_the_reference_of_the_same_record():
    one = record("one", sus2=entry(calls(1.0, 1, spread=0)), nep=entry(calls(2.0, 1, spread=0)))
    two = record("two", mace=entry(calls(90.0, 1, spread=0)), sus2=entry(calls(3.0, 1, spread=0)))
    table = speed_tables.ratio_table([one, two], "sus2")
    ratios = dict(zip(table["model"] + table["record"], table["E, F (ratio)"], strict=True))
    assert ratios == {"sus2one": "1.00", "nepone": "2.00", "macetwo": "30.0", "sus2two": "1.00"}
    assert table["training gradient (ratio)"].tolist() == ["–"] * 4
    assert set(speed_tables.ratio_table([one, two])["reference"]) == {"sus2", "mace"}
    with pytest.raises(ValueError, match=r"'one' has no potential 'mace' .* sus2, nep"):
        speed_tables.ratio_table([one, two], "mace")


def test_table_of_a_scan_leaves_gaps_where_a_potential_was_not_timed():
    made = scan(
        a=[point(1, calls(1.0, 1, spread=0)), point(10, calls(2.0, 1, spread=0))],
        b=[point(1, calls(4.0, 1, spread=0))],
    )
    times = speed_tables.scan_table(made)
    assert times.columns.tolist() == ["atoms", "1", "10"]
    assert times.to_numpy().tolist() == [["a", "10,000", "20,000"], ["b", "40,000", "–"]]
    ratios = speed_tables.scan_table(made, "a")
    assert ratios.to_numpy().tolist() == [["a", "1.000", "1.000"], ["b", "4.000", "–"]]
