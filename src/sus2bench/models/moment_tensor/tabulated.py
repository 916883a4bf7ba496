"""Radial functions as tables: cubic splines for the pairs of elements that meet, for inference."""

import copy
from collections.abc import Sequence
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.moment_tensor.backend import BackendMissingError
from sus2bench.models.moment_tensor.base import EAGER, MomentTensorModel
from sus2bench.models.moment_tensor.radial import RadialFunctions
from sus2bench.models.potential import Potential

_COARSEST, _HALVINGS = 0.1, 10
"""Length of the cells of a table that is tried first, Å, and how often it is halved at most."""

_COMPRESSIONS = (1.0, 0.999, 0.997, 0.99)
"""Factors on all lengths: every distance of the frames comes to lie at several places of a cell."""


def tabulated(
    potential: Potential, frames: Sequence[Data], *, force_error: float = 1e-6
) -> Potential:
    """An equal potential that reads its radial functions from tables.

    The tables are cubic Hermite splines from 0 to the cutoff with the exact slopes at their nodes,
    one for each ordered pair of elements that has an edge in the frames. Their cells are halved
    until no force on an atom of the frames, and of the frames compressed by up to 1 %, differs from
    that of the potential by more than `force_error`, both computed in float64. Distances that are
    far from all of the frames are not checked.

    Args:
        potential: of a moment tensor model (SUS2, MTP); left as it is.
        frames: with their edges, whose pairs and distances are like those to be computed.
        force_error: largest length of the difference of two forces, eV/Å. Rounding, if the
            potential has float32, comes on top.

    Returns:
        A potential for inference, of the same dtype and device, that computes with plain torch
        operations. It raises a ValueError for a pair that is not tabulated.

    Raises:
        ValueError: another model, no edges, or an error that tables cannot keep to.
    """
    if not isinstance(potential.model, MomentTensorModel):
        raise ValueError(f"a {type(potential.model).__name__} has no radial functions to tabulate")
    if not sum(frame.edge_index.shape[1] for frame in frames):
        raise ValueError("the frames have no edges, so that there are no pairs to tabulate")
    exact = copy.deepcopy(potential).double().eval().requires_grad_(False)
    model = cast(MomentTensorModel, exact.model)
    model.backend = EAGER
    samples = [_compressed(frame, factor) for frame in frames for factor in _COMPRESSIONS]
    expected = [exact(frame, stress=False).forces for frame in samples]
    pairs = _pairs(model, frames)
    made, cells = copy.deepcopy(exact), max(1, round(model.cutoff / _COARSEST))
    for halvings in range(_HALVINGS + 1):
        made.model = _TabulatedModel(model, pairs, cells * 2**halvings)
        found = [made(frame, stress=False).forces for frame in samples]
        error = max(_difference(*forces) for forces in zip(found, expected, strict=True))
        if error <= force_error:
            return made.to(potential.dtype)
    raise ValueError(
        f"tables of cells of {_COARSEST / 2**_HALVINGS:.1g} Å change forces by {error:.1g} eV/Å: "
        f"raise force_error above {force_error:g}"
    )


class TabulatedRadial(RadialFunctions):
    """Cubic Hermite splines in place of radial functions.

    Args:
        radial: the functions, in float64.
        pairs: ordered pairs of types (centre, neighbour) that are tabulated.
        symbols: chemical symbols in type order.
        cutoff: where the functions end, Å.
        cells: number of cells from 0 to the cutoff.
    """

    row_of_pair: Tensor

    def __init__(
        self,
        radial: RadialFunctions,
        pairs: Sequence[tuple[int, int]],
        symbols: Sequence[str],
        cutoff: float,
        cells: int,
    ) -> None:
        super().__init__()
        self.symbols, self.cutoff, self.cells = tuple(symbols), cutoff, cells
        tables = torch.stack([_cubics(radial, pair, cutoff, cells) for pair in pairs])
        # One cell more, of zeros, is that of all distances beyond the cutoff.
        self.table = nn.Parameter(nn.functional.pad(tables, (0, 0, 0, 0, 0, 1)).flatten(0, 1))
        self.table.requires_grad_(False)
        row_of_pair = torch.full((len(symbols), len(symbols)), -1, device=tables.device)
        for row, (centre, neighbour) in enumerate(pairs):
            row_of_pair[centre, neighbour] = row
        self.register_buffer("row_of_pair", row_of_pair, persistent=False)

    def forward(self, distance: Tensor, centre_type: Tensor, neighbour_type: Tensor) -> Tensor:
        """Evaluates every R_mu, see `RadialFunctions`; ValueError if a pair is not tabulated."""
        place = distance.reshape(-1) * (self.cells / self.cutoff)
        cell = place.detach().clamp(max=self.cells).long()
        pair = (centre_type * len(self.symbols) + neighbour_type).reshape(-1)
        row = self.row_of_pair.view(-1).index_select(0, pair)
        missing = (row < 0) & (cell < self.cells)
        if bool(missing.any()):
            self._refuse(int(pair[missing][0]))
        t = place - cell
        powers = torch.stack([torch.ones_like(t), t, t.square(), t * t * t], dim=1)
        place_of_cell = row.clamp(min=0) * (self.cells + 1) + cell
        coefficients = self.table.index_select(0, place_of_cell)
        values = (powers.unsqueeze(1) @ coefficients).squeeze(1)
        return values.t().reshape(-1, *distance.shape)

    def _refuse(self, pair: int) -> NoReturn:
        centre, neighbour = (self.symbols[t] for t in divmod(pair, len(self.symbols)))
        raise ValueError(
            f"the pair of {centre} (centre) and {neighbour} (neighbour) is not tabulated: give "
            "`tabulated` frames in which it occurs"
        )

    def kernel_form(self) -> NoReturn:
        """BackendMissingError: kernels compute polynomials, which is faster."""
        raise BackendMissingError("radial functions in tables have no kernels")


class _TabulatedModel(MomentTensorModel):
    """A moment tensor model with tables in the place of its radial functions."""

    def __init__(
        self, model: MomentTensorModel, pairs: Sequence[tuple[int, int]], cells: int
    ) -> None:
        super().__init__(model.symbols, model.cutoff, model.table)
        self.radial = TabulatedRadial(model.radial, pairs, model.symbols, model.cutoff, cells)
        self.readout = model.readout
        self.to(model.readout.coefficients.device)

    def for_inference(self) -> tuple[SiteEnergyModel, str]:
        """This model."""
        return self, EAGER

    def hyperparameters(self) -> dict[str, Any]:
        """ValueError: the potential that the tables were made of is what can be saved."""
        raise ValueError("tables are not saved: save the potential that they were made of")


def _cubics(radial: RadialFunctions, pair: tuple[int, int], cutoff: float, cells: int) -> Tensor:
    """Coefficients (cells, 4, mu) of the powers 0 .. 3 of the place in a cell, from 0 to 1."""
    device = next(radial.parameters()).device
    nodes = torch.linspace(0, cutoff, cells + 1, dtype=torch.float64, device=device)
    centre, neighbour = (torch.full_like(nodes, t, dtype=torch.long) for t in pair)
    found: tuple[Tensor, Tensor] = torch.func.jvp(  # type: ignore[assignment]
        lambda distance: radial(distance, centre, neighbour), (nodes,), (torch.ones_like(nodes),)
    )
    values, slopes = found[0].t(), found[1].t() * (cutoff / cells)
    rise = values[1:] - values[:-1]
    first, last = slopes[:-1], slopes[1:]
    cubic = [values[:-1], first, 3 * rise - 2 * first - last, first + last - 2 * rise]
    return torch.stack(cubic, dim=1)


def _pairs(model: SiteEnergyModel, frames: Sequence[Data]) -> list[tuple[int, int]]:
    """Ordered pairs of types (centre, neighbour) that have an edge."""
    found: set[tuple[int, int]] = set()
    for frame in frames:
        neighbour, centre = model.types(frame.atomic_numbers)[frame.edge_index]
        found.update(map(tuple, torch.stack([centre, neighbour], 1).unique(dim=0).tolist()))
    return sorted(found)


def _compressed(frame: Data, factor: float) -> Data:
    """The frame with all lengths multiplied by a factor, and the same edges."""
    graph = copy.copy(frame)
    graph.pos, graph.cell = frame.pos * factor, frame.cell * factor
    return graph


def _difference(forces: Tensor, expected: Tensor) -> float:
    """Length of the largest difference of two forces on an atom, eV/Å."""
    return float((forces - expected).square().sum(1).sqrt().max())
