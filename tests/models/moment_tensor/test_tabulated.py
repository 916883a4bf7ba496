"""Tables of radial functions: as exact as asked for, smooth, and for known pairs only."""

import numpy as np
import pytest
import torch
from ase.build import bulk

from sus2bench.atoms.frame import build_frame
from sus2bench.models.moment_tensor.tabulated import tabulated
from sus2bench.models.mtp import MTP
from sus2bench.models.potential import Potential
from sus2bench.models.schnet import SchNet
from sus2bench.models.sus2 import SUS2
from sus2bench.testing import perturb

SPECIES = ("Cu", "Au", "Al")
MODELS = {
    "SUS2": lambda: SUS2(SPECIES, 5.0, channels=2),
    "SUS2 by rank": lambda: SUS2(
        SPECIES, 5.0, channels=1, scaling_map="L", radial_basis_type="RBChebyshev_ss"
    ),
    "MTP": lambda: MTP(SPECIES, 5.0, level=8, min_dist=1.5),
}


def potential_of(name="SUS2", dtype=torch.float64):
    """With a scale of energies, to which the error of forces is in proportion."""
    return perturb(Potential(MODELS[name](), energy_scale=3.0).to(dtype)).eval()


def crystal(seed, species=SPECIES, scale=0.1):
    generator = np.random.default_rng(seed)
    atoms = bulk("Cu", cubic=True, a=4.0) * (3, 3, 3)
    atoms.positions += generator.normal(scale=scale, size=atoms.positions.shape)
    atoms.symbols = generator.choice(species, len(atoms))
    return build_frame(atoms, 5.5)


@pytest.mark.parametrize("name", MODELS)
def test_forces_on_another_frame_are_as_exact_as_asked_for(name):
    potential, other = potential_of(name), crystal(1)
    expected = potential(other)
    assert expected.forces.abs().max() > 0.01
    for force_error in (1e-4, 1e-6):
        actual = tabulated(potential, [crystal(0)], force_error=force_error)(other)
        # In a random frame the largest error may be a little larger than in that of the tables.
        assert (actual.forces - expected.forces).norm(dim=1).max() < 1.5 * force_error
        assert torch.isfinite(actual.stress).all()


def test_default_error_is_below_a_millionth():
    potential, other = potential_of(), crystal(1)
    difference = tabulated(potential, [crystal(0)])(other).forces - potential(other).forces
    assert 0 < difference.norm(dim=1).max() < 1e-6


def test_in_single_precision_rounding_is_that_of_the_polynomials():
    single, other = potential_of(dtype=torch.float32), crystal(1)
    exact = potential_of().requires_grad_(False)
    exact.load_state_dict(single.state_dict())
    expected = exact(other).forces
    tables = tabulated(single, [crystal(0)])
    assert tables.dtype == tables(other).forces.dtype == torch.float32
    rounding = (single(other).forces - expected).norm(dim=1).max()
    # The place in a cell is rounded as the distance is: about one more rounding of the latter.
    assert (tables(other).forces - expected).norm(dim=1).max() < 1e-6 + 3 * rounding


@pytest.mark.parametrize("name", MODELS)
def test_functions_and_slopes_are_continuous_and_vanish_at_the_cutoff(name):
    radial = tabulated(potential_of(name), [crystal(0)], force_error=1e-3).model.radial
    nodes = torch.linspace(0, 5.0, radial.cells + 1, dtype=torch.float64)[1:]

    def at(distance):
        distance = distance.clone().requires_grad_()
        types = torch.zeros_like(distance, dtype=torch.long)
        values = radial(distance, types, types + 1)
        slopes = [torch.autograd.grad(v.sum(), distance, retain_graph=True)[0] for v in values]
        return values.detach(), torch.stack(slopes)

    # 1e-9 Å, times the slopes and curvatures of functions of the order of 1e2.
    for below, above in zip(at(nodes - 1e-9), at(nodes + 1e-9), strict=True):
        torch.testing.assert_close(below, above, rtol=0, atol=1e-6 * float(below.abs().max()))
        assert below[:, -1].abs().max() < 1e-6
        assert torch.equal(above[:, -1], torch.zeros_like(above[:, -1]))


def test_a_pair_that_is_not_tabulated_is_refused_by_name():
    tables = tabulated(potential_of(), [crystal(0, ("Cu", "Au"))])
    assert tables(crystal(1, ("Cu", "Au"))).energy.isfinite()
    with pytest.raises(ValueError, match=r"Al.*is not tabulated"):
        tables(crystal(1))


def test_pairs_without_the_first_element_need_none_with_it():
    tables = tabulated(potential_of(), [crystal(0, ("Au", "Al"))])
    surface = crystal(1, ("Au", "Al"))
    assert len(surface.edge_index[1].bincount().unique()) > 1, "some slots are empty"
    torch.testing.assert_close(
        tables(surface).forces, potential_of()(surface).forces, rtol=0, atol=1e-6
    )


def test_the_potential_stays_and_kernels_go_on_without(caplog):
    potential = potential_of()
    potential.model.backend = "cpp"
    before = {name: value.clone() for name, value in potential.state_dict().items()}
    tables = tabulated(potential, [crystal(0)])
    assert potential.model.backend == "cpp"
    assert tables.model.for_inference()[1] == "eager"
    assert all(torch.equal(value, before[name]) for name, value in potential.state_dict().items())
    tables.model.backend = "cpp"
    assert tables(crystal(0)).energy.isfinite()
    assert "Going on with backend=eager" in caplog.text
    with pytest.raises(ValueError, match="save the potential"):
        tables.to_payload()


def test_what_cannot_be_tabulated_is_refused():
    with pytest.raises(ValueError, match="SchNet has no radial functions"):
        tabulated(Potential(SchNet(["Cu"])), [])
    with pytest.raises(ValueError, match="no edges"):
        tabulated(potential_of(), [])
    with pytest.raises(ValueError, match="raise force_error"):
        tabulated(potential_of(), [crystal(0)], force_error=0.0)
