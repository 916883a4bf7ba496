"""The ZBL repulsion has the published values and vanishes twice differentiably."""

import ase
import numpy as np
import pytest
import torch
from ase.data import covalent_radii

from sus2bench.atoms.frame import build_frame
from sus2bench.models.painn import PaiNN
from sus2bench.models.potential import Potential
from sus2bench.models.zbl import ZBL, envelope


def pair_energy(symbols, distance, zbl):
    frame = build_frame(ase.Atoms(symbols, positions=[(0, 0, 0), (0, 0, distance)]), 5.0)
    vectors = frame.pos[frame.edge_index[0]] - frame.pos[frame.edge_index[1]]
    frame.edge_vectors = vectors
    return zbl(frame)


def test_unswitched_values_are_those_of_the_formula():
    # Two silicon atoms at 0.5 Å, by hand: a = 0.4685 / (2 * 14^0.23).
    length = 0.46850 / (2 * 14**0.23)
    x = 0.5 / length
    screening = sum(
        c * np.exp(-d * x)
        for c, d in zip(
            (0.18175, 0.50986, 0.28022, 0.02817), (3.1998, 0.94229, 0.4029, 0.20162), strict=True
        )
    )
    bare = 14.399645 * 14 * 14 / 0.5 * screening
    switch = float(envelope(torch.tensor(0.5 / (2 * covalent_radii[14]), dtype=torch.float64)))
    site = pair_energy("Si2", 0.5, ZBL(["Si"]))
    assert site.sum() == pytest.approx(bare * switch, rel=1e-12)
    assert site[0] == site[1]


def test_nuclei_repel_as_bare_charges_at_the_shortest_distances():
    # At 1e-6 Å the screening function is 1 to about 1e-5.
    energy = float(pair_energy("CuAu", 1e-6, ZBL(["Cu", "Au"])).sum())
    assert energy == pytest.approx(14.399645 * 29 * 79 / 1e-6, rel=1e-4)


def test_range_is_the_sum_of_covalent_radii():
    zbl = ZBL(["Cu", "Au"])
    assert zbl.cutoff == pytest.approx(2 * covalent_radii[79])
    reach = covalent_radii[29] + covalent_radii[79]
    assert float(pair_energy("CuAu", reach - 0.05, zbl).sum()) > 0
    assert float(pair_energy("CuAu", reach + 1e-9, zbl).sum()) == 0


def test_envelope_ends_with_zero_value_slope_and_curvature():
    x = torch.tensor(1.0 - 1e-9, dtype=torch.float64, requires_grad=True)
    value = envelope(x)
    (slope,) = torch.autograd.grad(value, x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, x)
    # The third derivative at the end is -336.
    for derivative in (value, slope, curvature):
        assert abs(derivative.item()) < 1e-6
    assert float(envelope(torch.tensor(0.0))) == 1.0


def test_cutoff_of_a_potential_covers_the_longest_pair():
    potential = Potential(PaiNN(["Cs"], 3.0, features=2), zbl=ZBL(["Cs"]))
    assert potential.cutoff == pytest.approx(2 * covalent_radii[55])


@pytest.mark.parametrize("species", [[], ["Xx"], ["Fm"]])
def test_elements_without_a_radius_are_refused(species):
    with pytest.raises(ValueError, match=r"empty|not a chemical element|Fm"):
        ZBL(species)
