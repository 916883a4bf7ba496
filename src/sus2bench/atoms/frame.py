"""A frame: atoms, their neighbour graph and their labels, alone or batched with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ase
import numpy as np
import numpy.typing as npt
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import voigt_6_to_full_3x3_stress
from torch import Tensor
from torch_geometric.data import Batch, Data

from sus2bench.atoms.neighbours import neighbour_list


class Frame(Data):
    """One set of atoms with its graph and labels (N atoms, E directed edges).

    ``pos`` (N,3) float64 Å; ``atomic_numbers`` (N,) int64; ``cell`` (1,3,3) float64 Å, zero where
    there is none; ``pbc`` (1,3) bool; ``edge_index`` (2,E) int64, row 0 the neighbour j and row 1
    the centre i, sorted by centre; ``shift`` (E,3) int32 whole cells, so that
    r_ij = pos[j] + shift @ cell - pos[i]. Labels, float64, NaN where there is none: ``energy``
    (1,) eV, ``forces`` (N,3) eV/Å, ``stress`` (1,3,3) eV/Å^3 with ASE's sign. ``frame_index``
    (1,) int64 is the position in its data set.
    """

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """PyG would add the number of atoms to every field that is called an index."""
        return 0 if key == "frame_index" else super().__inc__(key, value, *args, **kwargs)

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """The numbers of the frames are joined along their only dimension."""
        return 0 if key == "frame_index" else super().__cat_dim__(key, value, *args, **kwargs)


def full_stress(stress: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """A stress given as (3,3), as nine numbers or as ASE's six (xx yy zz yz xz xy), as (3,3).

    Raises:
        ValueError: for any other shape.
    """
    values = np.asarray(stress, dtype=np.float64)
    if values.shape == (6,):
        return np.asarray(voigt_6_to_full_3x3_stress(values), dtype=np.float64)
    if values.size != 9:
        raise ValueError(f"a stress has 6 numbers (Voigt) or 3 x 3, not the shape {values.shape}")
    return values.reshape(3, 3)


def build_frame(
    atoms: ase.Atoms,
    cutoff: float,
    *,
    energy: float | None = None,
    forces: npt.ArrayLike | None = None,
    stress: npt.ArrayLike | None = None,
    frame_index: int = 0,
) -> Frame:
    """Atoms with their neighbour graph and, where given, their labels.

    Args:
        atoms: positions, cell and periodicity are read; a calculator is not.
        cutoff: Å.
        energy: eV, of all atoms together.
        forces: (N,3) eV/Å.
        stress: (3,3) or ASE's Voigt order (6,), eV/Å^3, ASE's sign.
        frame_index: the position of this frame in its data set.

    Returns:
        The frame; a label that is not given is NaN.

    Raises:
        ValueError: what the neighbour list refuses, or a label of a wrong shape.
    """
    count = len(atoms)
    cell = np.array(atoms.cell.array, dtype=np.float64)
    pbc = np.array(atoms.pbc, dtype=bool)
    pos = np.array(atoms.positions, dtype=np.float64)
    centre, neighbour, shift = neighbour_list(pos, cell, pbc, cutoff)
    force_values = np.full((count, 3), np.nan) if forces is None else np.array(forces, np.float64)
    if force_values.shape != (count, 3):
        raise ValueError(f"forces of {count} atoms have the shape {force_values.shape}")
    stress_values = np.full((3, 3), np.nan) if stress is None else full_stress(stress)
    return Frame(
        pos=torch.from_numpy(pos),
        atomic_numbers=torch.from_numpy(atoms.numbers.astype(np.int64)),
        cell=torch.from_numpy(cell)[None],
        pbc=torch.from_numpy(pbc)[None],
        edge_index=torch.from_numpy(np.stack([neighbour, centre])),
        shift=torch.from_numpy(shift),
        energy=torch.tensor([np.nan if energy is None else energy], dtype=torch.float64),
        forces=torch.from_numpy(force_values),
        stress=torch.from_numpy(np.array(stress_values))[None],
        frame_index=torch.tensor([frame_index], dtype=torch.int64),
    )


def frame_to_atoms(frame: Data) -> ase.Atoms:
    """The atoms of one frame; its labels, if any, stand in a ``SinglePointCalculator``.

    Raises:
        ValueError: ``frame`` is a batch of several frames.
    """
    if frame.cell.shape[0] != 1:
        raise ValueError(
            f"a batch of {frame.cell.shape[0]} frames is not one set of atoms: "
            "take its frames with to_data_list()"
        )
    atoms = ase.Atoms(
        numbers=frame.atomic_numbers.cpu().numpy(),
        positions=frame.pos.detach().cpu().numpy(),
        cell=frame.cell[0].detach().cpu().numpy(),
        pbc=frame.pbc[0].cpu().numpy(),
    )
    labels: dict[str, Any] = {}
    if "energy" in frame and not frame.energy.isnan().any():
        labels["energy"] = float(frame.energy)
    if "forces" in frame and not frame.forces.isnan().any():
        labels["forces"] = frame.forces.cpu().numpy()
    if "stress" in frame and not frame.stress.isnan().any():
        labels["stress"] = frame.stress[0].cpu().numpy().reshape(9)[[0, 4, 8, 5, 2, 1]]
    if labels:
        atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


def edge_vectors(frame: Data) -> Tensor:
    """Vectors r_ij = pos[j] + shift @ cell - pos[i] of all edges, (E,3) Å in the dtype of ``pos``.

    Right for one frame and for a batch, with the same bits for the same frame in either.
    Differentiable with respect to ``pos`` and ``cell``.
    """
    neighbour, centre = frame.edge_index
    cell = frame.cell.to(frame.pos.dtype)
    batch = frame.batch if "batch" in frame else None
    if batch is None or len(cell) == 1:
        lattice = cell
    else:
        lattice = cell.index_select(0, batch.index_select(0, centre))
    shift = frame.shift.to(frame.pos.dtype)
    # Term by term rather than by a matrix product, whose rounding depends on its size.
    offset = shift[:, 0:1] * lattice[:, 0]
    offset = offset + shift[:, 1:2] * lattice[:, 1]
    offset = offset + shift[:, 2:3] * lattice[:, 2]
    # Rows are picked several times as fast by index_select as by indexing.
    ends, begins = (frame.pos.index_select(0, atom) for atom in (neighbour, centre))
    vectors: Tensor = ends - begins + offset
    return vectors


def frame_of_atom(frame: Data) -> tuple[Tensor, int]:
    """Index of each atom's frame (N,) in a frame or batch, and the number of frames."""
    if "batch" in frame:
        return frame.batch, frame.cell.shape[0]
    return torch.zeros_like(frame.atomic_numbers), 1


def collate(frames: Sequence[Data]) -> Batch:
    """Joins frames into one batch: the fields of PyG's ``Batch.from_data_list``, only faster.

    ``batch`` (N,) says to which frame an atom belongs, ``ptr`` (B+1,) where its atoms begin;
    ``to_data_list`` gives the frames back. The frames must have the same tensor fields.

    Raises:
        ValueError: there is no frame.
    """
    if len(frames) == 0:
        raise ValueError("a batch needs at least one frame")
    fields, lengths = {}, {}
    known: dict[tuple[int, ...], Tensor] = {}
    for key, _ in frames[0]:
        values, dimension = [frame[key] for frame in frames], _dimension(key)
        fields[key] = torch.cat(values, dim=dimension)
        rows = tuple(value.shape[dimension] for value in values)
        if rows not in known:
            known[rows] = torch.tensor(rows)
        lengths[key] = known[rows]
    return join(fields, lengths, type(frames[0]))


def join(fields: Mapping[str, Tensor], lengths: Mapping[str, Tensor], kind: type[Data]) -> Batch:
    """Makes a batch of the fields of all frames, one after the other; see `collate`.

    Args:
        fields: joined; ``edge_index`` counts the atoms of each frame from 0, and may be, like
            ``shift``, of smaller integers than in a frame. On one device.
        lengths: of each field how many of its rows each frame has, (B,) int64, on the CPU.
        kind: class of the frames.
    """
    batch = Batch(_base_cls=kind)
    device = fields["pos"].device
    sizes, edges = lengths["pos"], lengths["edge_index"]
    pointer = _offsets(sizes)
    # Fields that share their lengths share the positions of their ends.
    ends = {id(sizes): pointer}
    slices: dict[str, Tensor] = {}
    for key, field in fields.items():
        batch[key] = field
        of = lengths[key]
        if id(of) not in ends:
            ends[id(of)] = _offsets(of)
        slices[key] = ends[id(of)]
    first = _repeated(pointer[:-1], edges, device)
    batch.edge_index, batch.shift = batch.edge_index.long() + first, batch.shift.int()
    batch.batch = _repeated(torch.arange(len(sizes)), sizes, device)
    batch.ptr = pointer.to(device)
    batch._num_graphs = len(sizes)
    batch._slice_dict = slices
    no_increment = torch.zeros(len(sizes), dtype=torch.int64)
    batch._inc_dict = {**dict.fromkeys(fields, no_increment), "edge_index": pointer[:-1]}
    return batch


def rows_of(starts: Tensor, lengths: Tensor, device: torch.device) -> Tensor:
    """The numbers from each start on, as many as its length: (sum of lengths,) on a device.

    Args:
        starts: (B,) int64, on the CPU.
        lengths: (B,) int64, on the CPU.
        device: which is not waited for.
    """
    before = _offsets(lengths)
    shift = _repeated(starts - before[:-1], lengths, device)
    return shift + torch.arange(int(before[-1]), device=device)


def _repeated(values: Tensor, times: Tensor, device: torch.device) -> Tensor:
    """Each value so many times, on a device; both are on the CPU."""
    count = int(times.sum())
    return torch.repeat_interleave(values.to(device), times.to(device), output_size=count)


def _dimension(key: str) -> int:
    return 1 if key == "edge_index" else 0


def _offsets(sizes: Tensor) -> Tensor:
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
