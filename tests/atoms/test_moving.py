"""Neighbour lists with a skin have every pair, however atoms and cells move, and are kept."""

import ase
import numpy as np
import pytest
from ase.build import bulk
from scipy.spatial.transform import Rotation

from sus2bench.atoms import moving
from sus2bench.atoms.frame import build_frame, edge_vectors
from sus2bench.atoms.moving import MovingFrame

CUTOFF = 4.0


@pytest.fixture
def reaches(monkeypatch):
    """The radii of all lists that are made."""
    made = []

    def noted(atoms, cutoff):
        made.append(cutoff)
        return build_frame(atoms, cutoff)

    monkeypatch.setattr(moving, "build_frame", noted)
    return made


def crystal(pbc=True, seed=0):
    atoms = bulk("Cu", a=3.7, cubic=True) * (2, 1, 1)
    atoms.pbc = pbc
    atoms.positions += np.random.default_rng(seed).normal(scale=0.1, size=atoms.positions.shape)
    return atoms


def pairs(frame):
    """The pairs within the cutoff."""
    near = edge_vectors(frame).norm(dim=1) < CUTOFF
    edges = np.concatenate([frame.edge_index.T[near], frame.shift[near]], axis=1)
    return sorted(map(tuple, edges.tolist()))


def assert_right(frame, atoms):
    assert pairs(frame) == pairs(build_frame(atoms, CUTOFF))
    np.testing.assert_array_equal(frame.pos, atoms.positions)
    np.testing.assert_array_equal(frame.cell[0], atoms.cell.array)


@pytest.mark.parametrize("pbc", [True, False, (True, True, False), (False, False, True)])
def test_every_pair_is_there_while_atoms_and_cell_move(pbc, reaches):
    generator = np.random.default_rng(1)
    atoms, frames = crystal(pbc), MovingFrame(CUTOFF, 1.0)
    for _ in range(60):
        atoms.positions += generator.normal(scale=0.03, size=atoms.positions.shape)
        strain = np.eye(3) + generator.normal(scale=0.003, size=(3, 3))
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        assert_right(frames(atoms), atoms)
    assert 2 < len(reaches) < 30


def test_a_list_lasts_until_an_atom_has_moved_half_the_skin(reaches):
    atoms, frames = crystal(), MovingFrame(CUTOFF, 1.0)
    frames(atoms)
    atoms.positions[3, 1] += 0.1
    frames(atoms)
    assert reaches == [CUTOFF, CUTOFF + 1.0]
    start = atoms.positions.copy()
    for distance, count in ((0.0, 2), (0.49, 2), (0.51, 3)):
        atoms.positions = start
        atoms.positions[0, 2] += distance
        assert_right(frames(atoms), atoms)
        assert len(reaches) == count


def test_a_strained_or_turned_cell_keeps_its_list(reaches):
    atoms, frames = crystal(), MovingFrame(CUTOFF, 1.0)
    frames(atoms)
    atoms.positions[0, 0] += 0.1
    frames(atoms)
    turn = Rotation.random(rng=np.random.default_rng(0)).as_matrix()
    for matrix in (turn, 0.9 * np.eye(3), turn):
        # Shrunk by a tenth, what was 5 Å apart is 4.5 Å apart.
        atoms.set_cell(atoms.cell.array @ matrix, scale_atoms=True)
        assert_right(frames(atoms), atoms)
    assert len(reaches) == 2
    atoms.set_cell(atoms.cell.array * 0.85, scale_atoms=True)
    assert_right(frames(atoms), atoms)
    assert len(reaches) == 3


def test_structures_of_their_own_have_lists_without_a_skin(reaches):
    frames = MovingFrame(CUTOFF, 1.0)
    other = crystal()
    other.numbers[0] = 79
    free = crystal()
    free.pbc = (True, True, False)
    for atoms in (crystal(), crystal(seed=1) * (2, 1, 1), other, free, ase.Atoms("H"), crystal()):
        assert_right(frames(atoms), atoms)
    assert set(reaches) == {CUTOFF}


def test_atoms_that_are_wrapped_or_leave_the_cell_keep_their_neighbours(reaches):
    atoms, frames = crystal(), MovingFrame(CUTOFF, 1.0)
    for _ in range(4):
        for _ in range(3):
            atoms.positions += (0.2, 0.0, 0.0)
            assert_right(frames(atoms), atoms)
        atoms.wrap()
        assert_right(frames(atoms), atoms)


def test_without_a_skin_every_step_has_its_own_list(reaches):
    atoms, frames = crystal(), MovingFrame(CUTOFF, 0.0)
    for _ in range(3):
        atoms.positions[0, 0] += 1e-3
        assert_right(frames(atoms), atoms)
    frames(atoms)
    assert reaches == 3 * [CUTOFF]


@pytest.mark.parametrize("skin", [-0.1, np.inf, np.nan])
def test_a_skin_that_is_no_length_is_refused(skin):
    with pytest.raises(ValueError, match="skin"):
        MovingFrame(CUTOFF, skin)


def test_bad_atoms_are_refused_and_good_ones_taken_again(reaches):
    atoms, frames = crystal(), MovingFrame(CUTOFF, 1.0)
    frames(atoms)
    for name in ("positions", "cell"):
        broken = atoms.copy()
        getattr(broken, name)[0, 0] = np.nan
        with pytest.raises(ValueError, match="not finite"):
            frames(broken)
        assert_right(frames(atoms), atoms)
