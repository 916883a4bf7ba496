"""Tables of models, and how `sus2bench compare` shows them."""

import csv
import io

import pytest
from rich.console import Console

from sus2bench.benchmark.records import load_record, write_record
from sus2bench.cli import main
from sus2bench.statistics import summary, tables

SIZES = {"good": 0.10, "twin": 0.1001, "bad": 0.3}


@pytest.fixture
def single(run, predictions):
    """Three models, trained once each."""
    return [
        run(name, predictions(size, seed=number), kind=name)
        for number, (name, size) in enumerate(SIZES.items())
    ]


@pytest.fixture
def long(single):
    return summary(single, samples=500)


def test_half_an_interval_sets_the_decimals():
    assert tables.with_interval(29.8768, 1.4321) == "29.9 ± 1.4"
    assert tables.with_interval(0.123456, 0.00123) == "0.1235 ± 0.0012"
    assert tables.with_interval(1234.5, 96.0) == "1,234 ± 96"
    assert tables.with_interval(3.0, 0.0) == "3.000"


def test_only_the_significant_best_are_bold(long):
    rows = {line.split(" | ")[2]: line for line in tables.markdown(long).splitlines()[2:]}
    forces = 6
    assert rows["good"].split(" | ")[forces].startswith("**")
    assert rows["twin"].split(" | ")[forces].startswith("**")
    assert "**" not in rows["bad"]
    assert rows["bad"].endswith("| 3 (3–3) | frames |")


def test_where_nothing_tells_models_apart_nothing_is_bold(single):
    assert "**" not in tables.markdown(summary(single[:2], samples=500))


def test_beside_models_of_unknown_uncertainty_only_a_comparison_makes_bold(
    single, run, predictions
):
    unknown = run("single", predictions(0.3, seed=9), keep=False, kind="single")
    for models in (single[:1], single[:2]):  # one that is known, and two that nothing tells apart
        long = summary([*models, unknown], samples=500)
        assert long["best"].sum() == 6 * len(models)
        assert "**" not in tables.markdown(long)
    long = summary([*single, unknown], samples=500)
    rows = {line.split(" | ")[2]: line for line in tables.markdown(long).splitlines()[2:]}
    assert ["**" in rows[name] for name in ("good", "bad", "single")] == [True, False, False]


def test_latex_has_bold_plus_minus_and_rules(long):
    text = tables.latex(long)
    assert text.startswith(r"\begin{tabular}{lll")
    assert r"\textbf{" in text
    assert r"$\pm$" in text
    assert "±" not in text
    assert text.count(r"\\") == 1 + 3


def test_costs_that_no_model_has_take_no_column(long):
    assert "instability" not in tables.markdown(long)
    timed = long.assign(us_per_atom=50.0, efficiency=2.0)
    assert "| 50.00 | 2.00 |" in tables.markdown(timed)


def test_console_table_has_a_section_for_each_split(long):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(tables.console_table(long))
    text = console.export_text()
    assert "alloys" in text
    assert " ± " in text
    assert "**" not in text


def test_compare_prints_models_on_request_in_every_format(single, tmp_path, capsys):
    assert main(["compare", str(tmp_path), "--statistics", "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("data,split,model,metric,unit,mean,low,high,seeds,frames,blocks")
    assert len(lines) == 1 + 3 * 6
    assert main(["compare", str(tmp_path), "--statistics", "--blocks", "10"]) == 0
    assert "95 % interval" in capsys.readouterr().out


def test_compare_adds_models_where_there_are_several_seeds_and_only_there(
    single, run, predictions, tmp_path, capsys
):
    assert main(["compare", str(tmp_path)]) == 0
    assert "interval" not in capsys.readouterr().out
    run("good_seed1", predictions(0.1, seed=5), seed=1, kind="good")
    assert main(["compare", str(tmp_path), "--out", str(tmp_path / "report")]) == 0
    assert "95 % interval" in capsys.readouterr().out
    report = (tmp_path / "report/report.md").read_text()
    assert "## Models" in report
    written = {file.name for file in (tmp_path / "report").glob("*.*")}
    assert {"statistics.md", "statistics.csv", "statistics.tex", "pairs.csv"} <= written
    pairs = (tmp_path / "report/pairs.csv").read_text().splitlines()
    assert len(pairs) == 1 + 3 * 6
    assert main(["compare", str(tmp_path), "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("data,split,model,stored")


def test_compare_leaves_damaged_predictions_out_and_says_so(single, tmp_path, caplog):
    file = tmp_path / "alloys/bad/predictions_test.npz"
    file.write_bytes(file.read_bytes()[:1000])
    out = tmp_path / "report"
    assert main(["compare", str(tmp_path), "--statistics", "--out", str(out)]) == 0
    assert "alloys/bad/predictions_test.npz" in caplog.text
    assert "make it anew" in caplog.text
    assert (out / "parity_test.png").is_file()
    methods = {
        (row["model"], row["method"])
        for row in csv.DictReader((out / "statistics.csv").open(encoding="utf-8"))
    }
    assert methods == {("good", "frames"), ("twin", "frames"), ("bad", "none")}


def test_a_table_of_models_without_any_is_an_error(run, predictions, tmp_path, capsys):
    run("a", predictions(0.1), split="train")
    assert main(["compare", str(tmp_path), "--statistics"]) == 2
    assert "no completed record has errors" in capsys.readouterr().err


def test_figures_are_of_one_data_set_each_and_show_one_run_of_each_name(
    single, run, predictions, tmp_path, capsys
):
    file, _ = run("good_again", predictions(0.1, seed=5), seed=1)
    record = load_record(file) | {"name": "good"}
    write_record(record, file, overwrite=True)
    run("other", predictions(0.2), data="oxides")
    out = tmp_path / "report"
    assert main(["compare", str(tmp_path), "--out", str(out)]) == 0
    assert "figures of alloys show the first run of each name, 3 of 4" in capsys.readouterr().out
    assert {file.stem for file in out.glob("parity_*")} == {
        "parity_test_alloys",
        "parity_test_oxides",
    }
