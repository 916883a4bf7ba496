"""The runs that the benchmark of reports makes up are such as the statistics take."""

import importlib.util
from pathlib import Path

from sus2bench.benchmark.records import find_records
from sus2bench.statistics import summary

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "report_at_scale.py"


def test_made_up_runs_are_models_of_several_seeds_with_and_without_predictions(tmp_path):
    spec = importlib.util.spec_from_file_location("report_at_scale", SCRIPT)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    places = made.runs(1000)
    assert len(set(places)) == len(places) == 1000
    for number, place in enumerate(places[:10]):
        made.write_run(tmp_path / str(number), number, place, stored=number < 5)
    table = summary(find_records([tmp_path]), samples=100)
    methods = table[table["metric"] == "forces_rmse_meV_A"].set_index("model")["method"]
    assert methods.to_dict() == {"model0-1": "frames and seeds", "model0-2": "seeds"}
