"""What lower precision of matrix products does to errors: in a prediction, and in a training.

    sus2bench sweep model=painn_tiny,schnet_tiny,nep_small precision=full,bf16-mixed seed=0,1 \
        data=emt-alloys optimizer=adamw budget.max_time=null budget.max_steps=400 speed=false \
        threads=1 trainer=cpu hydra.sweep.dir=results/precision
    python scripts/precision_of_products.py results/precision

The potentials of all completed runs in float32 with precision=full are evaluated on their
validation frames in float64 and in each lower precision, from the same weights: the differences are
those of precision alone. TF32, which CPUs do not have, is made by rounding the factors of products
to its 10 bits. Beside them stand the errors in validation of the runs by the precision they were
trained in. Writes FOLDER/rounding.json, FOLDER/table.md.
"""

import argparse
import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sus2bench.atoms.frame import collate
from sus2bench.benchmark.records import find_records
from sus2bench.benchmark.stopwatch import threads
from sus2bench.models.loading import load_potential
from sus2bench.models.potential import Prediction

ATEN = torch.ops.aten
PRODUCTS = {
    ATEN.mm.default,
    ATEN.addmm.default,
    ATEN.bmm.default,
    ATEN.baddbmm.default,
    ATEN.mv.default,
    ATEN.addmv.default,
}
TF32_DROPPED = 13
"""Bits of a float32 that TF32 has not."""


def tf32(values: Tensor) -> Tensor:
    """Numbers in float32 rounded to the 10 bits of TF32."""
    half, kept = 1 << (TF32_DROPPED - 1), -(1 << TF32_DROPPED)
    return ((values.view(torch.int32) + half) & kept).view(torch.float32)


class RoundedFactors(TorchDispatchMode):
    """Products of matrices in float32 take their factors as TF32 does, in derivatives, too."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in PRODUCTS and args[-1].dtype == torch.float32:
            args = (*args[:-2], tf32(args[-2]), tf32(args[-1]))
        return func(*args, **(kwargs or {}))


LOWER: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "float32": nullcontext,
    "tf32": RoundedFactors,
    "16-mixed": lambda: torch.autocast("cpu", dtype=torch.float16),
    "bf16-mixed": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


def rounding(checkpoint: Path, data: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Root mean square differences from float64 by precision, on the validation frames."""
    exact, potential = (load_potential(checkpoint, dtype=d) for d in (torch.float64, torch.float32))
    datamodule = instantiate(dict(data), cutoff=exact.cutoff, _convert_="all")
    datamodule.prepare_data()
    datamodule.setup()
    frames = [collate([frame]) for frame in datamodule.valid]
    expected = [exact(frame) for frame in frames]
    found = {}
    for name, context in LOWER.items():
        if name.endswith("mixed") and not potential.model.mixed_precision:
            continue
        with context():
            predicted = [potential(frame) for frame in frames]
        found[name] = differences(predicted, expected)
    return found


def differences(predicted: list[Prediction], expected: list[Prediction]) -> dict[str, float]:
    """Root mean squares over frames of one each (energy per atom) and over force components."""
    pairs = list(zip(predicted, expected, strict=True))
    energies = torch.cat([(p.energy - e.energy) / len(e.site_energies) for p, e in pairs])
    forces = torch.cat([present(p.forces).double() - present(e.forces) for p, e in pairs])
    return {
        "energy_per_atom_rmse_meV": 1e3 * float(energies.square().mean().sqrt()),
        "forces_rmse_meV_A": 1e3 * float(forces.square().mean().sqrt()),
    }


def present(forces: Tensor | None) -> Tensor:
    """Forces, which a potential gives unless told otherwise."""
    assert forces is not None
    return forces


def runs(folder: Path) -> Iterator[tuple[str, str, int, Path, dict[str, Any]]]:
    """Model, precision, seed, folder and record of the completed runs of training."""
    for path, record in find_records([folder]):
        if record["kind"] == "train" and record["status"] == "completed":
            config = record["config"]
            precision = config["dtype"] if config["precision"] == "full" else config["precision"]
            yield record["name"], precision, config["seed"], path.parent, record


def table(
    rounded: Mapping[str, Mapping[str, Mapping[str, float]]],
    trained: Mapping[tuple[str, int], Mapping[str, Mapping[str, float]]],
) -> str:
    """Both kinds of numbers as Markdown, energies (meV/atom) and forces (meV/Å) in each cell."""
    lines = ["Differences from float64 with the same weights:\n"]
    lines += _lines(LOWER, rounded)
    lines.append("\nErrors in validation by the precision of the training:\n")
    named = {f"{model}, seed {seed}": columns for (model, seed), columns in trained.items()}
    lines += _lines(["float64", "float32", "bf16-mixed"], named)
    return "\n".join(lines) + "\n"


def _lines(
    columns: Collection[str], rows: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> Iterator[str]:
    yield "| run | " + " | ".join(f"{name}: E, F" for name in columns) + " |"
    yield "|---|" + "---:|" * len(columns)
    for name, cells in rows.items():
        texts = [
            f"{cells[c]['energy_per_atom_rmse_meV']:.3g}, {cells[c]['forces_rmse_meV_A']:.3g}"
            if c in cells
            else "–"
            for c in columns
        ]
        yield f"| {name} | " + " | ".join(texts) + " |"


def main() -> int:
    """Evaluate and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of the runs")
    folder = parser.parse_args().folder
    rounded: dict[str, dict[str, dict[str, float]]] = {}
    trained: dict[tuple[str, int], dict[str, dict[str, float]]] = {}
    with threads(1):
        for model, precision, seed, run, record in runs(folder):
            trained.setdefault((model, seed), {})[precision] = record["metrics"]["valid"]
            if precision == "float32":
                checkpoint = run / record["model"]["checkpoint"]
                rounded[f"{model}, seed {seed}"] = rounding(checkpoint, record["config"]["data"])
    text = table(rounded, dict(sorted(trained.items())))
    (folder / "rounding.json").write_text(json.dumps(rounded, indent=1) + "\n")
    (folder / "table.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
