"""A torch-sim model round any callable that predicts frames; everything stays on the device.

torch-sim (https://github.com/TorchSim/torch-sim) moves batches of systems at once. Its integrators
wrap positions into the cells; pairs are kept nevertheless, because atoms are followed across.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data
from vesin import NeighborList

from sus2bench.atoms.moving import SKIN, checked_skin
from sus2bench.interfaces.calculator import FramePredictor

try:
    from torch_sim.models.interface import ModelInterface
    from torch_sim.state import SimState
except ImportError as error:
    raise ImportError(
        "molecular dynamics by torch-sim needs a package that is not installed: "
        "pip install 'sus2bench[torch-sim]'"
    ) from error


class TorchSimModel(ModelInterface):
    """Energies, forces and stresses of torch-sim states.

    Args:
        predict: from a batch of frames to its prediction, such as a `Potential`.
        cutoff: radius of the neighbour list that `predict` needs, Å.
        skin: by how much the list reaches farther, Å. It is kept until an atom has moved more than
            half of that, or a cell or anything else has changed.
        device: where `predict` computes.
        dtype: of the results.
        compute_stress: whether stresses are wanted.

    Raises:
        ValueError: the skin is negative or not finite.
    """

    def __init__(
        self,
        predict: FramePredictor,
        cutoff: float,
        *,
        skin: float = SKIN,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float64,
        compute_stress: bool = True,
    ) -> None:
        super().__init__()
        self.predict = predict
        self.cutoff, self.skin = cutoff, checked_skin(skin)
        self._device, self._dtype = torch.device(device), dtype
        self._compute_stress, self._compute_forces = compute_stress, True
        self._memory_scales_with = "n_atoms_x_density"
        self._pairs: _Pairs | None = None

    def forward(self, state: SimState | dict[str, Any], **_: Any) -> dict[str, Tensor]:
        """`energy` (B,) eV, `forces` (N,3) eV/Å and, if wanted, `stress` (B,3,3) eV/Å^3.

        Args:
            state: B systems with N atoms together.
        """
        if isinstance(state, dict):
            state = SimState(**state, masses=torch.ones_like(state["positions"][:, 0]))
        frame = self._frame(state)
        prediction = self.predict(frame, forces=True, stress=self._compute_stress)
        results = {"energy": prediction.energy, "forces": prediction.forces}
        if self._compute_stress:
            results["stress"] = prediction.stress
        return {
            name: value.detach().to(self._dtype)
            for name, value in results.items()
            if value is not None
        }

    def _frame(self, state: SimState) -> Data:
        cells = state.row_vector_cell.to(self._device)
        periodic = torch.as_tensor(state.pbc, device=self._device).expand(3)
        frame = Data(
            pos=state.positions.detach().to(self._device),
            atomic_numbers=state.atomic_numbers.to(self._device, torch.int64),
            cell=cells.detach(),
            pbc=periodic.expand(len(cells), 3),
            batch=state.system_idx.to(self._device, torch.int64),
        )
        followed = None if self._pairs is None else self._pairs.follow(frame, self.skin)
        if self._pairs is None or followed is None:
            self._pairs = _Pairs.of(frame, self.cutoff + self.skin)
        else:
            frame.pos = followed
        frame.edge_index, frame.shift = self._pairs.edge_index, self._pairs.shift
        return frame


class _Pairs(NamedTuple):
    """The pairs of a batch, and where its atoms were."""

    frame: Data
    edge_index: Tensor
    """(2,E), row 0 the neighbour, row 1 the centre, sorted by centre."""
    shift: Tensor
    """(E,3) whole cells."""

    @classmethod
    def of(cls, frame: Data, reach: float) -> "_Pairs":
        """Makes the list of a batch, system by system, where its tensors are."""
        edges, shifts, first = [], [], 0
        sizes = torch.bincount(frame.batch, minlength=len(frame.cell)).tolist()
        for number, size in enumerate(sizes):
            # One thread: the order of the pairs, and so every sum over them, is always the same.
            finder = NeighborList(cutoff=reach, full_list=True, sorted=True, n_threads=1)
            centre, neighbour, shift = finder.compute(
                frame.pos[first : first + size].double().contiguous(),
                frame.cell[number].double().contiguous(),
                frame.pbc[number].contiguous(),
                "ijS",
            )
            pairs = torch.stack([neighbour.view(torch.int64), centre.view(torch.int64)])
            edges.append(pairs + first)
            shifts.append(shift.to(torch.int32))
            first += size
        return cls(frame.clone(), torch.cat(edges, dim=1), torch.cat(shifts))

    def follow(self, frame: Data, skin: float) -> Tensor | None:
        """Positions (N,3) of the images that the atoms have moved to; None if the list is over.

        The device is waited for once.
        """
        old = self.frame
        names = ("atomic_numbers", "batch", "cell", "pbc")
        if any(frame[name].shape != old[name].shape for name in names):
            return None
        moved = frame.pos - old.pos
        # Of a cell that is not periodic everywhere there may be no inverse, and none is needed.
        inverse = torch.linalg.inv_ex(frame.cell).inverse
        cells = torch.einsum("na,nab->nb", moved, inverse[frame.batch]).round()
        jump = torch.einsum("na,nab->nb", cells, frame.cell[frame.batch])
        jump = torch.where(frame.pbc.all(), jump, torch.zeros_like(jump))
        near = (moved - jump).square().sum(1) <= (skin / 2) ** 2
        same = [(frame[name] == old[name]).all() for name in names]
        kept = bool(torch.stack([near.all(), *same]).all())
        return frame.pos - jump if kept else None
