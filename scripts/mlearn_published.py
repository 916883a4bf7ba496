"""Our errors on mlearn beside the published ones, from the records of our runs.

    python scripts/mlearn_published.py results/rivals --out results/rivals/mlearn-published.md

Published mean absolute errors on the same official test sets: GAP, MTP, SNAP and qSNAP of Zuo et
al., J. Phys. Chem. A 124, 731 (2020), doi 10.1021/acs.jpca.9b08723; "recomputed" are the errors of
the potentials published with that paper, evaluated anew. Each of our numbers is followed by its
ratio to the published MTP (recomputed), the closest relative of SUS2.
"""

import argparse
import sys
from pathlib import Path

from sus2bench.atoms.files import write_atomically
from sus2bench.benchmark.records import find_records

ELEMENTS = ("Ni", "Cu", "Li", "Mo", "Si", "Ge")
# MAE of the energy (meV/atom) and of force components (meV/Å), in the order of ELEMENTS.
PUBLISHED = {
    "GAP": [(0.42, 20), (0.46, 10), (0.49, 10), (2.24, 90), (2.91, 70), (2.06, 50)],
    "MTP": [(0.48, 10), (0.41, 10), (0.49, 10), (2.83, 90), (2.21, 60), (1.79, 50)],
    "MTP, recomputed": [
        (0.48, 14.0),
        (0.41, 6.9),
        (0.49, 10.1),
        (2.94, 90.1),
        (2.31, 56.0),
        (1.79, 46.5),
    ],
    "SNAP, recomputed": [
        (0.78, 37.7),
        (0.53, 37.1),
        (1.03, 27.7),
        (5.48, 206.5),
        (6.44, 132.7),
        (6.59, 188.4),
    ],
    "qSNAP, recomputed": [
        (0.78, 30.8),
        (0.56, 24.1),
        (0.73, 32.8),
        (2.77, 183.8),
        (3.81, 115.7),
        (6.45, 133.0),
    ],
}
REFERENCE = "MTP, recomputed"
Errors = dict[str, tuple[float, float]]


def ours(folder: Path, split: str) -> dict[str, Errors]:
    """Energy and force MAE by model and element, from completed training runs."""
    found: dict[str, Errors] = {}
    for _, record in find_records([folder]):
        set_name, _, element = record["data"].get("name", "").partition("_")
        if record["kind"] != "train" or set_name != "mlearn" or record["status"] != "completed":
            continue
        # A test set without copies of training frames is its own "rest".
        metrics = record["metrics"].get(split) or record["metrics"]["test"]
        errors = metrics["energy_per_atom_mae_meV"], metrics["forces_mae_meV_A"]
        found.setdefault(record["name"], {})[element] = errors
    return found


def mean_force(errors: Errors) -> float:
    """Force MAE averaged over the elements that there are, meV/Å."""
    return sum(force for _, force in errors.values()) / len(errors)


def table(rows: dict[str, Errors], *, ratios: bool) -> list[str]:
    """Lines of a Markdown table; with the ratio to the reference behind each number."""
    lines = ["| | " + " | ".join(ELEMENTS) + " |", "|---|" + "---:|" * len(ELEMENTS)]
    reference = dict(zip(ELEMENTS, PUBLISHED[REFERENCE], strict=True))
    for name, errors in rows.items():
        cells = []
        for element in ELEMENTS:
            if element not in errors:
                cells.append("–")
                continue
            energy, force = errors[element]
            text = f"{energy:.2f} / {force:.1f}"
            if ratios:
                published = reference[element]
                text += f" ({energy / published[0]:.1f}, {force / published[1]:.1f})"
            cells.append(text)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def main() -> int:
    """Print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the records")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file")
    options = parser.parse_args()
    published = {
        name: dict(zip(ELEMENTS, errors, strict=True)) for name, errors in PUBLISHED.items()
    }
    text = ["# mlearn: mean absolute errors, energy (meV/atom) / force components (meV/Å)", ""]
    text += [
        "Published (Zuo et al. 2020), official test sets:",
        "",
        *table(published, ratios=False),
    ]
    for split, title in (
        ("test", "official test sets"),
        ("test_without_copies", "without the test frames that are copies of training frames"),
    ):
        found = ours(options.folder, split)
        rows = {
            name: found[name] for name in sorted(found, key=lambda name: mean_force(found[name]))
        }
        text += ["", f"Ours, {title} (in brackets the ratios to '{REFERENCE}'):", ""]
        text += table(rows, ratios=True)
    content = "\n".join(text) + "\n"
    write_atomically(options.out, lambda part: part.write_text(content, "utf-8"))
    print(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
