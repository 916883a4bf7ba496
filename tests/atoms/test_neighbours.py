"""The neighbour list agrees with ASE's on every kind of cell."""

import ase
import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from sus2bench.atoms.neighbours import neighbour_list


def as_set(centre, neighbour, shift):
    return sorted(map(tuple, np.column_stack([centre, neighbour, shift]).tolist()))


def check(positions, cell, pbc, cutoff):
    atoms = ase.Atoms(["H"] * len(positions), positions, cell=cell, pbc=pbc)
    centre, neighbour, shift = neighbour_list(positions, np.asarray(cell), np.asarray(pbc), cutoff)
    expected = as_set(*neighbor_list("ijS", atoms, cutoff))
    assert as_set(centre, neighbour, shift) == expected
    assert (np.diff(centre) >= 0).all()
    vectors = positions[neighbour] + shift @ np.asarray(cell) - positions[centre]
    assert (np.linalg.norm(vectors, axis=1) < cutoff).all()
    return len(centre)


@pytest.mark.parametrize("kind", ["molecule", "mixed", "skewed", "very skewed", "left-handed"])
def test_pairs_equal_those_of_ase_on_random_cells(kind):
    rng = np.random.default_rng(sum(map(ord, kind)))
    # ASE needs seconds for many very skewed cells.
    for _ in range(5 if kind == "very skewed" else 25):
        cell = np.diag(rng.uniform(2, 6, 3))
        if kind not in ("molecule", "mixed"):
            cell += rng.normal(size=(3, 3))
        if kind == "very skewed":
            cell = cell @ np.array([[1, 0, 0], [3, 1, 0], [-2, 2.5, 1]])
        if kind == "left-handed":
            cell = cell[[1, 0, 2]]
        if abs(np.linalg.det(cell)) < 5:
            continue
        pbc = {"molecule": np.zeros(3, bool), "mixed": rng.random(3) < 0.5}.get(kind, [True] * 3)
        # Fractional coordinates from -1.5 to 2.5: most atoms lie outside the cell.
        positions = rng.uniform(-1.5, 2.5, (int(rng.integers(1, 10)), 3)) @ cell
        check(positions, cell, pbc, 5.0)


@pytest.mark.parametrize(
    ("pbc", "cell"),
    [
        ([False] * 3, np.zeros((3, 3))),
        ([True, True, False], np.diag([3.0, 4.0, 0.0])),
        ([False, True, False], np.diag([0.0, 4.0, 0.0])),
        ([True, False, False], np.array([[1.0, 2.0, 3.0], [0, 0, 0], [0, 0, 0]])),
        ([False, True, False], np.array([[0, 0, 0], [1.0, 2.0, 3.0], [0, 0, 20.0]])),
    ],
)
def test_missing_lattice_vectors_are_allowed_where_not_periodic(pbc, cell):
    positions = np.random.default_rng(1).uniform(-3, 5, (7, 3))
    assert check(positions, cell, np.array(pbc), 5.0) > 0


def test_one_atom_sees_all_its_images():
    centre, neighbour, shift = neighbour_list(np.zeros((1, 3)), 2.0 * np.eye(3), [True] * 3, 4.5)
    # Lattice points of a simple cubic lattice with 0 < |n|^2 < 5.06: 6 + 12 + 8 + 6 + 24.
    assert len(centre) == 56
    assert (centre == 0).all()
    assert (neighbour == 0).all()
    assert len({tuple(row) for row in shift.tolist()}) == 56


def test_pairs_at_exactly_the_cutoff_do_not_count():
    centre, _, _ = neighbour_list(np.zeros((1, 3)), 2.0 * np.eye(3), [True] * 3, 2.0)
    assert len(centre) == 0


def test_no_atoms_and_isolated_atoms_have_no_pairs():
    for count in (0, 1):
        centre, neighbour, shift = neighbour_list(
            np.zeros((count, 3)), np.zeros((3, 3)), [False] * 3, 5.0
        )
        assert centre.shape == neighbour.shape == (0,)
        assert shift.shape == (0, 3)


def test_bad_input_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="periodic along"):
        neighbour_list(np.zeros((1, 3)), np.diag([3.0, 3.0, 0.0]), [True] * 3, 5.0)
    with pytest.raises(ValueError, match="atom 1 is not finite"):
        neighbour_list(np.array([[0, 0, 0], [0, np.nan, 0]]), np.eye(3), [True] * 3, 5.0)
    with pytest.raises(ValueError, match="positive length"):
        neighbour_list(np.zeros((1, 3)), np.eye(3), [True] * 3, 0.0)
