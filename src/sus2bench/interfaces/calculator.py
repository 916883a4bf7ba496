"""An ASE calculator round any callable that predicts energies, forces and stresses of frames."""

from collections.abc import Sequence
from typing import Protocol, cast

import ase
import numpy as np
import numpy.typing as npt
import torch
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.atoms.moving import SKIN, MovingFrame


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


class FramePredictor(Protocol):
    """Predicts frames without labels, such as a `Potential` does."""

    def __call__(self, frame: Data, /, *, forces: bool, stress: bool) -> FramePrediction:
        """Energies, and the other two if they are wanted; pairs beyond the cutoff do nothing."""


class FrameCalculator(Calculator):
    """ASE calculator: energy, free_energy, energies, forces and, where defined, stress.

    The stress is defined where at least one direction is periodic and the cell has a volume;
    elsewhere asking for it raises ASE's `PropertyNotImplementedError`. Forces and stress are
    computed from the first time on that they are asked for: a run that never reads the stress does
    not pay for it, and one that does has everything from one evaluation.

    Args:
        predict: from a frame to its prediction.
        cutoff: radius of the neighbour list that `predict` needs, Å.
        skin: by how much the list reaches farther, Å. It is then kept until atoms, or the cell,
            have moved so much that it could lack a pair; see `MovingFrame`. The results are those
            of a new list.
        device: where `predict` wants its frames.

    Raises:
        ValueError: the skin is negative or not finite.
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
        predict: FramePredictor,
        cutoff: float,
        *,
        skin: float = SKIN,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.predict = predict
        self._frame_of = MovingFrame(cutoff, skin, device)
        self._wanted: set[str] = set()

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
        self._wanted.update(properties)
        prediction = self.predict(
            self._frame_of(structure),
            forces="forces" in self._wanted,
            stress="stress" in self._wanted and periodic,
        )
        energy = float(prediction.energy)
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": _numpy(prediction.site_energies),
        }
        if prediction.forces is not None:
            self.results["forces"] = _numpy(prediction.forces)
        if prediction.stress is not None and periodic:
            self.results["stress"] = full_3x3_to_voigt_6_stress(_numpy(prediction.stress[0]))

    def check_state(self, atoms: ase.Atoms, tol: float | None = None) -> list[str]:
        """What has changed since the last calculation; called by ASE.

        Numbers are compared to the bit. Within a tolerance, as ASE does if left alone, that takes a
        fifth of a step of 500 atoms.
        """
        changes: list[str] = super().check_state(atoms, tol)  # type: ignore[no-untyped-call]
        return changes


def _numpy(tensor: Tensor) -> npt.NDArray[np.float64]:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)
