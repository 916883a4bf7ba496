"""A data set: all frames of a file in flat tensors, from which single frames are cut."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from ase.data import chemical_symbols
from torch import Tensor
from torch.utils.data import Dataset
from torch_geometric.data import Batch

from sus2bench.atoms.frame import Frame, join, rows_of
from sus2bench.atoms.reading import LabelledAtoms
from sus2bench.data.graphs import Structure, build_graphs

PER_ATOM = ("pos", "atomic_numbers", "forces")
PER_FRAME = ("cell", "pbc", "energy", "stress", "digest", "fingerprint", "shortest")
PER_EDGE = ("edge_index", "shift")
STARTS = ("atom_start", "edge_start")
FIELDS = (*PER_ATOM, *PER_FRAME, *PER_EDGE, *STARTS)

# Nearer than this, two atoms are one atom given twice.
COINCIDENCE = 0.01

_Take = Callable[[Tensor], Tensor]


class FrameDataset(Dataset[Frame]):
    """Frames by index, cut out of flat tensors without copying what can be shared.

    Args:
        store: the tensors of `build_store`.
        name: of the data set, for messages.
        cutoff: Å, of the graphs in ``store``.
        indices: which frames of the store, in which order; all by default.
    """

    def __init__(
        self, store: dict[str, Tensor], name: str, cutoff: float, indices: Tensor | None = None
    ) -> None:
        self.store, self.name, self.cutoff = store, name, cutoff
        self.indices = torch.arange(len(store["energy"])) if indices is None else indices
        self._index = self.indices.tolist()

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Frame:
        place = self._index[self._within(index)]
        atoms, edges = (slice(*self.store[start][place : place + 2].tolist()) for start in STARTS)
        frame = slice(place, place + 1)
        fields = self._fields(lambda x: x[atoms], lambda x: x[edges], lambda x: x[frame])
        fields |= {"edge_index": fields["edge_index"].long(), "shift": fields["shift"].int()}
        return Frame(**fields, frame_index=torch.tensor([self._within(index)]))

    def batch(self, indices: Sequence[int]) -> Batch:
        """The frames at these positions as `collate` joins them, without a `Frame` for each.

        The batch is where the frames are, which is not waited for.
        """
        device = self.device
        chosen = torch.tensor([self._within(index) for index in indices])
        places = self.indices[chosen]
        first_atom, first_edge = (self.store[start][places] for start in STARTS)
        sizes = self.store["atom_start"][places + 1] - first_atom
        edges = self.store["edge_start"][places + 1] - first_edge
        atom, edge = rows_of(first_atom, sizes, device), rows_of(first_edge, edges, device)
        frame = places.to(device)
        fields = self._fields(
            lambda x: x.index_select(0, atom),
            lambda x: x.index_select(0, edge),
            lambda x: x.index_select(0, frame),
        )
        fields["frame_index"] = chosen.to(device)
        of = dict.fromkeys(PER_ATOM, sizes) | dict.fromkeys(PER_EDGE, edges)
        one = torch.ones_like(places)
        return join(fields, {key: of.get(key, one) for key in fields}, Frame)

    def _within(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name} has {len(self)} frames, there is no frame {index}")
        return index % len(self)

    def _fields(self, atoms: _Take, edges: _Take, frames: _Take) -> dict[str, Tensor]:
        """The fields of frames from rows of the store; those of edges in small integers."""
        store = self.store
        return {
            "pos": atoms(store["pos"]),
            "atomic_numbers": atoms(store["atomic_numbers"]),
            "cell": frames(store["cell"]),
            "pbc": frames(store["pbc"]),
            # One row after the other: from both at once is several times slower.
            "edge_index": torch.stack([edges(row) for row in store["edge_index"]]),
            "shift": edges(store["shift"]),
            "energy": frames(store["energy"]),
            "forces": atoms(store["forces"]),
            "stress": frames(store["stress"]),
        }

    @property
    def device(self) -> torch.device:
        """Where the frames are."""
        return self.store["pos"].device

    @property
    def nbytes(self) -> int:
        """Bytes of all frames of the store."""
        return sum(tensor.nbytes for tensor in self.store.values())

    def to(self, device: torch.device) -> FrameDataset:
        """The same frames elsewhere, for `batch`; where they begin stays known here."""
        store = {
            key: tensor if key in STARTS else tensor.to(device)
            for key, tensor in self.store.items()
        }
        return FrameDataset(store, self.name, self.cutoff, self.indices)

    def subset(self, indices: Sequence[int] | npt.NDArray[np.int64], name: str) -> FrameDataset:
        """The frames at these positions, in this order, on the same tensors."""
        chosen = self.indices[torch.as_tensor(np.asarray(indices, dtype=np.int64))]
        return FrameDataset(self.store, name, self.cutoff, chosen)

    def with_values(self, **values: Tensor) -> FrameDataset:
        """The same frames with other values of some fields, in the order and shape of `values`."""
        store = dict(self.store)
        for field, rows in values.items():
            store[field] = store[field].clone()
            store[field][self._atoms() if field in PER_ATOM else self.indices] = rows
        return FrameDataset(store, self.name, self.cutoff, self.indices)

    def values(self, field: str) -> Tensor:
        """One field of all frames, joined along its first dimension in the order of the frames.

        Of ``pos``, ``atomic_numbers``, ``forces`` there is a row for each atom, of ``cell``,
        ``pbc``, ``energy``, ``stress``, ``digest``, ``fingerprint``, ``shortest`` one for each
        frame.

        Raises:
            KeyError: ``field`` is none of these.
        """
        if field in PER_FRAME:
            return self.store[field][self.indices]
        if field in PER_ATOM:
            return self.store[field][self._atoms()]
        raise KeyError(f"no field {field!r}; there are {', '.join(PER_ATOM + PER_FRAME)}")

    def _atoms(self) -> Tensor:
        """Positions in the flat tensors of all atoms, frame by frame."""
        sizes = torch.from_numpy(self.num_atoms)
        return rows_of(self.store["atom_start"][self.indices], sizes, torch.device("cpu"))

    @property
    def num_atoms(self) -> npt.NDArray[np.int64]:
        """Atoms of each frame, (n,)."""
        sizes: npt.NDArray[np.int64] = self.store["atom_start"].diff()[self.indices].numpy()
        return sizes

    @property
    def num_edges(self) -> npt.NDArray[np.int64]:
        """Directed edges of each frame, (n,)."""
        sizes: npt.NDArray[np.int64] = self.store["edge_start"].diff()[self.indices].numpy()
        return sizes

    @property
    def species(self) -> list[str]:
        """Chemical symbols of the elements that occur, by atomic number."""
        return [chemical_symbols[number] for number in self.values("atomic_numbers").unique()]

    def composition(self) -> npt.NDArray[np.int64]:
        """How many atoms of each atomic number each frame has, (n, 119)."""
        frames = np.repeat(np.arange(len(self)), self.num_atoms)
        counts = np.zeros((len(self), len(chemical_symbols)), dtype=np.int64)
        np.add.at(counts, (frames, self.values("atomic_numbers").numpy()), 1)
        return counts

    def digests(self) -> list[str]:
        """A hash of each frame's atoms and labels, to the bit."""
        return [bytes(row).hex() for row in self.values("digest").numpy()]


def build_store(
    frames: Sequence[LabelledAtoms], cutoff: float, name: str, processes: int | None = None
) -> dict[str, Tensor]:
    """Graphs and labels of frames as the flat tensors that `FrameDataset` cuts from.

    ``edge_index`` (2,E) and ``shift`` (E,3) are kept in small integers; ``atom_start`` and
    ``edge_start`` (n+1,) say where the atoms and edges of each frame begin.

    Raises:
        ValueError: atoms coincide or a cell is impossible; names the file and the frame.
    """
    structures = [_structure(frame) for frame in frames]
    try:
        graphs = build_graphs(structures, cutoff, processes)
    except ValueError:
        _name_the_frame(structures, cutoff, name)
        raise
    for index, graph in enumerate(graphs):
        if graph.shortest < COINCIDENCE:
            raise ValueError(
                f"{name}, frame {index}: two atoms are {graph.shortest:.3g} Å apart: is an atom "
                "given twice, or are the cell or the length unit wrong?"
            )
    forces = [
        np.full((len(s.numbers), 3), np.nan) if f.forces is None else f.forces
        for s, f in zip(structures, frames, strict=True)
    ]
    stress = [np.full((3, 3), np.nan) if f.stress is None else f.stress for f in frames]
    energy = [np.nan if f.energy is None else f.energy for f in frames]
    shift = np.concatenate([graph.shift for graph in graphs])
    small = np.abs(shift).max(initial=0) < 128
    arrays = {
        "pos": np.concatenate([s.positions for s in structures]),
        "atomic_numbers": np.concatenate([s.numbers for s in structures]),
        "forces": np.concatenate(forces),
        "cell": np.stack([s.cell for s in structures]),
        "pbc": np.stack([s.pbc for s in structures]),
        "energy": np.array(energy, dtype=np.float64),
        "stress": np.stack(stress),
        "edge_index": np.concatenate([graph.edge_index for graph in graphs], axis=1),
        "shift": shift.astype(np.int8) if small else shift,
        "atom_start": np.cumsum([0, *(len(s.numbers) for s in structures)]),
        "edge_start": np.cumsum([0, *(graph.edge_index.shape[1] for graph in graphs)]),
        "shortest": np.array([graph.shortest for graph in graphs]),
        "fingerprint": np.stack([graph.fingerprint for graph in graphs]),
        "digest": np.stack(
            [_digest(*parts) for parts in zip(structures, energy, forces, stress, strict=True)]
        ),
    }
    return {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in arrays.items()}


def _structure(frame: LabelledAtoms) -> Structure:
    atoms = frame.atoms
    return Structure(
        atoms.numbers.astype(np.int64), atoms.positions, atoms.cell.array, np.array(atoms.pbc)
    )


def _name_the_frame(structures: Sequence[Structure], cutoff: float, name: str) -> None:
    for index, structure in enumerate(structures):
        try:
            build_graphs([structure], cutoff, 1)
        except ValueError as error:
            raise ValueError(f"{name}, frame {index}: {error}") from error


def _digest(
    structure: Structure,
    energy: float,
    forces: npt.NDArray[np.float64],
    stress: npt.NDArray[np.float64],
) -> npt.NDArray[np.uint8]:
    state = hashlib.blake2b(digest_size=16)
    state.update(structure.numbers.astype("<i8").tobytes())
    state.update(np.asarray(structure.pbc, dtype=np.uint8).tobytes())
    for values in (structure.positions, structure.cell, energy, forces, stress):
        state.update(np.asarray(values, dtype="<f8").tobytes())
    return np.frombuffer(state.digest(), dtype=np.uint8)
