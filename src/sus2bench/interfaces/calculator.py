"""An ASE calculator round any callable that predicts energies, forces and stresses of frames."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import ase
import numpy as np
import torch
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.atoms.frame import build_frame


class FramePrediction(Protocol):
    """What the calculator reads from a prediction of one frame of N atoms."""

    @property
    def energy(self) -> Tensor:
        """(1,) eV."""

    @property
    def forces(self) -> Tensor | None:
        """(N, 3) eV/Å."""

    @property
    def stress(self) -> Tensor | None:
        """(1, 3, 3) eV/Å^3, tension positive."""

    @property
    def site_energies(self) -> Tensor:
        """(N,) eV."""


class FrameCalculator(Calculator):
    """ASE calculator: energy, free_energy, energies, forces and, where defined, stress.

    The stress is defined where at least one direction is periodic and the cell has a volume;
    elsewhere asking for it raises ASE's `PropertyNotImplementedError`.

    Args:
        predict: from a frame (without labels) to its prediction, such as a `Potential`.
        cutoff: radius of the neighbour list that `predict` needs, Å.
        device: where `predict` wants its frames.
    """

    implemented_properties: list[str] = [
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]

    def __init__(
        self,
        predict: Callable[[Data], FramePrediction],
        cutoff: float,
        *,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.predict = predict
        self.cutoff = cutoff
        self.device = torch.device(device)

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Fills `results`; called by ASE.

        Raises:
            PropertyNotImplementedError: stress is asked for without a periodic cell.
        """
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        structure = cast(ase.Atoms, self.atoms)
        periodic = bool(structure.pbc.any()) and structure.cell.rank == 3
        if "stress" in properties and not periodic:
            raise PropertyNotImplementedError(
                "the stress is not defined: the cell has no volume or no direction is periodic"
            )
        prediction = self.predict(build_frame(structure, self.cutoff).to(self.device))
        energy = float(prediction.energy)
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": _numpy(prediction.site_energies),
        }
        if prediction.forces is not None:
            self.results["forces"] = _numpy(prediction.forces)
        if periodic and prediction.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(_numpy(prediction.stress[0]))


def _numpy(tensor: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    return tensor.detach().cpu().numpy().astype(np.float64)
