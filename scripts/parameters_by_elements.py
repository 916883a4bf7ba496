"""Counts the parameters of models with the first n elements of the periodic table, n = 1 .. 89.

    python scripts/parameters_by_elements.py sus2 painn schnet [--out results/parameters]
    python scripts/parameters_by_elements.py --out results/parameters

The first form builds each model (a config of `conf/model/`) for each n and writes MODEL.json, in
whatever environment the model's packages are installed. The second puts all files of the folder
into table.csv and a figure. Atomic energies are counted with every model.
"""

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from sus2bench.atoms.files import write_atomically
from sus2bench.benchmark import parameters, provenance
from sus2bench.cli.configuration import configuration_folder
from sus2bench.figures.parameters_by_elements import parameters_by_elements
from sus2bench.figures.style import save
from sus2bench.models.potential import Potential

FORMAT = "sus2bench-parameters-by-elements"
MOST = 89  # hydrogen to actinium
KINDS = ("stored", "trainable")


def counts(name: str, elements: Iterable[int]) -> dict[str, Any]:
    """Parameters of the model of a config with the first n elements, by building every one.

    Args:
        name: of the config in `conf/model/`.
        elements: the numbers n.

    Returns:
        `elements`, and as many numbers `stored` and `trainable`, with where they come from.
    """
    with initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        config = compose("train", [f"model={name}"])
    start = time.perf_counter()
    built = sorted(set(elements))
    found: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for number in built:
        model = instantiate(config.model, species=chemical_symbols[1 : number + 1], _convert_="all")
        counted = parameters.count(Potential(model))
        for kind in KINDS:
            found[kind].append(counted[kind])
    settings = OmegaConf.to_container(
        OmegaConf.create({"model": config.model, "seed": config.seed}), resolve=True
    )
    return {
        "format": FORMAT,
        "version": 1,
        "name": name,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "git": provenance.git_state(),
        "command": provenance.command_line(),
        "config": settings["model"],
        "packages": provenance.package_versions(),
        "seconds": time.perf_counter() - start,
        "atomic_energies_counted": True,
        "elements": built,
        **found,
    }


def read(folder: Path) -> list[dict[str, Any]]:
    """All counts of a folder, the model with most parameters last.

    Raises:
        FileNotFoundError: there are none.
    """
    found = [json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*.json"))]
    found = [entry for entry in found if entry.get("format") == FORMAT]
    if not found:
        raise FileNotFoundError(f"{folder} has no counts: name the models to count first")
    return sorted(found, key=lambda entry: entry["trainable"][-1])


def render(folder: Path) -> list[Path]:
    """Writes table.csv and the figure from the counts of a folder; returns the files."""
    found = read(folder)
    rows = [
        (entry["name"], *values)
        for entry in found
        for values in zip(entry["elements"], *(entry[kind] for kind in KINDS), strict=True)
    ]
    table = folder / "table.csv"

    def write(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerows(
                [("model", "elements", *KINDS), *rows]
            )

    write_atomically(table, write)
    return [table, *save(parameters_by_elements(found), folder, "parameters_by_elements")]


def main() -> int:
    """Counts the models that are named, or renders what has been counted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="config in conf/model/")
    parser.add_argument("--out", type=Path, default=Path("results/parameters"))
    parser.add_argument("--elements", type=int, nargs="+", default=range(1, MOST + 1), metavar="N")
    options = parser.parse_args()
    wrong = [n for n in options.elements if not 1 <= n < len(chemical_symbols)]
    if wrong:
        print(f"there are 1 to {len(chemical_symbols) - 1} elements, not {wrong}", file=sys.stderr)
        return 2
    for name in options.models:
        entry = provenance.plain(counts(name, options.elements))
        text = json.dumps(entry, indent=1, ensure_ascii=False) + "\n"
        file = options.out / f"{name}.json"
        write_atomically(file, lambda part, text=text: part.write_text(text, encoding="utf-8"))
        last = f"{entry['elements'][-1]} elements: {entry['trainable'][-1]:,} trainable parameters"
        print(f"{file}: {last}, {entry['seconds']:.1f} s")
    if options.models:
        return 0
    try:
        print(*render(options.out), sep="\n")
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
