"""Alpha and r0 from numbers of elements: the rules, their counts, files, and initial values."""

import json
from itertools import pairwise

import ase
import pytest
import torch
from ase.data import covalent_radii

from sus2bench.atoms.frame import build_frame, collate, edge_vectors
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2, potential_from_mtp, potential_to_mtp
from sus2bench.models.sus2.pair_distances import element_radii, shortest_distances
from sus2bench.models.sus2.pair_scaling import scaling_rule
from sus2bench.testing import perturb
from sus2bench.testing.potentials import predict
from sus2bench.testing.structures import structures
from sus2bench.testing.symmetries import TOLERANCE

SPECIES = ("Cu", "Au", "Al")
RULES = ("pair", "element_ordered", "element_symmetric")
OF_ELEMENTS = RULES[1:]


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def built(parametrization, **settings):
    model = SUS2(SPECIES, 4.0, channels=2, parametrization=parametrization, **settings)
    return perturb(Potential(model).double()).eval()


def test_ordered_pairs_are_sums_of_a_number_of_the_centre_and_one_of_the_neighbour():
    numbers = random(2, 6)
    table = scaling_rule("element_ordered")(numbers)
    for eta, a, b in torch.cartesian_prod(*(torch.arange(n) for n in (2, 3, 3))).tolist():
        assert table[eta, a, b] == numbers[eta, a] + numbers[eta, 3 + b]


def test_symmetric_pairs_are_sums_of_one_number_of_each_element():
    numbers = random(2, 3)
    table = scaling_rule("element_symmetric")(numbers)
    assert torch.equal(table, table.mT)
    for eta, a, b in torch.cartesian_prod(*(torch.arange(n) for n in (2, 3, 3))).tolist():
        assert table[eta, a, b] == numbers[eta, a] + numbers[eta, b]


@pytest.mark.parametrize("name", RULES)
def test_a_table_that_a_rule_can_express_is_kept(name):
    rule = scaling_rule(name)
    table = rule(rule.stored(random(4, 5, 5)))
    torch.testing.assert_close(rule(rule.stored(table)), table, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", OF_ELEMENTS)
def test_what_is_stored_for_any_table_is_its_least_squares_approximation(name):
    rule, table = scaling_rule(name), random(3, 4, 4)
    numbers = rule.stored(table).requires_grad_()
    (slope,) = torch.autograd.grad((rule(numbers) - table).square().sum(), numbers)
    # Zero slope of a convex function; sums of some ten numbers below one.
    assert slope.abs().max() < 1e-13


@pytest.mark.parametrize("name", OF_ELEMENTS)
def test_all_parametrizations_start_from_the_same_potential(name):
    atoms = structures(SPECIES)["crystal"]
    pair, element = (Potential(SUS2(SPECIES, 4.0, parametrization=n)) for n in ("pair", name))
    for expected, value in zip(
        pair.model.radial.pair_scaling(), element.model.radial.pair_scaling(), strict=True
    ):
        torch.testing.assert_close(value, expected, rtol=1e-15, atol=0)
    for potential in (pair, element):
        generator = torch.Generator().manual_seed(1)
        xi = potential.model.readout.coefficients.data
        xi.copy_(torch.rand(xi.shape, generator=generator, dtype=torch.float64))
    expected, value = (predict(p.double().eval(), atoms) for p in (pair, element))
    torch.testing.assert_close(value.forces, expected.forces, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "each_of", "effective_each_of"),
    [("pair", 9, 4), ("element_ordered", 6, 4), ("element_symmetric", 3, 2)],
)
@pytest.mark.parametrize(("scaling_map", "channels"), [("K", 2), ("L", 3), ("LK", 6)])
def test_counts_are_those_of_the_tensors(name, each_of, effective_each_of, scaling_map, channels):
    model = SUS2(SPECIES, 4.0, channels=2, scaling_map=scaling_map, parametrization=name)
    met = {(29, 29), (29, 13), (13, 29), (13, 13)}
    counts = model.parameter_blocks(met)["pair_scaling"]
    stored = 2 * channels * each_of
    assert counts == {
        "stored": stored,
        "trainable": stored,
        "effective": 2 * channels * effective_each_of,
    }
    assert model.radial.alpha.numel() + model.radial.r0.numel() == stored


@pytest.mark.parametrize("name", OF_ELEMENTS)
def test_numbers_of_elements_grow_linearly(name):
    counts = [
        sum(
            block["stored"]
            for block in SUS2(list(range(1, n + 1)), parametrization=name)
            .parameter_blocks(set())
            .values()
        )
        for n in (10, 20, 30, 40)
    ]
    assert len({b - a for a, b in pairwise(counts)}) == 1


@pytest.mark.parametrize("name", OF_ELEMENTS)
def test_files_hold_the_sums_and_are_read_as_pairs(tmp_path, name):
    potential = built(name)
    potential_to_mtp(potential, tmp_path / "model.mtp")
    again = potential_from_mtp(tmp_path / "model.mtp", SPECIES).eval()
    assert again.model.radial.parametrization == "pair"
    tables = zip(
        potential.model.radial.pair_scaling(), again.model.radial.pair_scaling(), strict=True
    )
    assert all(torch.equal(*both) for both in tables)
    atoms = structures(SPECIES)["crystal"]
    expected, value = predict(potential, atoms), predict(again, atoms)
    assert torch.equal(value.energy, expected.energy)
    assert torch.equal(value.forces, expected.forces)


def test_models_from_before_the_choice_are_of_pairs():
    plain = SUS2(SPECIES, 4.0).hyperparameters()
    old = {k: v for k, v in plain.items() if k not in ("parametrization", "initial_scaling")}
    assert json.loads(json.dumps(SUS2(**old).hyperparameters())) == json.loads(json.dumps(plain))


@pytest.mark.parametrize("key", ["parametrization", "initial_scaling"])
def test_unknown_choices_are_refused(key):
    with pytest.raises(ValueError, match=f"{key} 'other' is none of"):
        SUS2(SPECIES, 4.0, **{key: "other"})


def frames():
    """Cu-Al at 2.5 Å and Cu-Cu at 3.1 Å, in two batches; gold meets nobody within 4 Å."""
    pair = ase.Atoms("CuAl", positions=[(0, 0, 0), (2.5, 0, 0)])
    chain = ase.Atoms("CuCuAu", positions=[(0, 0, 0), (3.1, 0, 0), (20, 0, 0)])
    wider = ase.Atoms("CuAl", positions=[(0, 0, 0), (3.5, 0, 0)])
    far = ase.Atoms("CuAu", positions=[(0, 0, 0), (4.2, 0, 0)])
    for group in ([wider, chain], [pair, far]):
        batch = collate([build_frame(atoms, 4.5) for atoms in group])
        batch.edge_vectors = edge_vectors(batch)
        yield batch


def test_shortest_distances_are_those_within_the_cutoff_over_all_batches():
    model = SUS2(SPECIES, 4.0)
    found = shortest_distances(frames(), model.species_index, 3, 4.0)
    inf = torch.inf
    expected = [[3.1, inf, 2.5], [inf, inf, inf], [2.5, inf, inf]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_radii_are_covalent_ones_scaled_by_what_the_pairs_of_an_element_show():
    cu, au, al = (float(covalent_radii[z]) for z in (29, 79, 13))
    inf = torch.inf
    shortest = torch.tensor([[3.1, inf, 2.5], [inf, inf, inf], [2.5, inf, inf]])
    own, mixed = 3.1 / (2 * cu), 2.5 / (cu + al)
    expected = [cu * (own + mixed) / 2, au * (own + 2 * mixed) / 3, al * mixed]
    radii = element_radii(shortest.double(), (29, 79, 13))
    torch.testing.assert_close(radii, torch.tensor(expected, dtype=torch.float64))


def test_distances_that_are_sums_of_scaled_radii_give_these_radii():
    radii = 1.2 * torch.as_tensor(covalent_radii[[29, 79, 13]])
    found = element_radii(radii.unsqueeze(1) + radii, (29, 79, 13))
    torch.testing.assert_close(found, radii)


def test_without_any_pair_the_radii_are_taken_as_they_are():
    found = element_radii(torch.full((1, 1), torch.inf, dtype=torch.float64), (29,))
    assert found.item() == pytest.approx(covalent_radii[29])


@pytest.mark.parametrize("name", RULES)
def test_radii_shift_the_range_of_each_pair_about_that_of_all(name):
    radial = SUS2(SPECIES, 6.0, min_dist=1.5, parametrization=name).radial.double()
    radii = torch.tensor([1.1, 1.4, 1.3], dtype=torch.float64)
    radial.start_from_radii(radii)
    shortest = 1.5 + radii.unsqueeze(1) + radii - 2 * radii.mean()
    alpha, r0 = radial.pair_scaling()
    # Centres are sums of numbers of elements by themselves; slopes are so approximately.
    torch.testing.assert_close(r0, ((6.0 + shortest) / 2).expand_as(r0))
    slopes = (6.6 / (6.0 - shortest)).expand_as(alpha)
    torch.testing.assert_close(alpha, slopes, rtol=1e-12 if name == "pair" else 1e-2, atol=0)


def test_no_range_is_shorter_than_half_of_that_from_min_dist():
    radial = SUS2(["H", "Cs"], 4.0, min_dist=1.0).radial
    radial.start_from_radii(torch.tensor([0.3, 2.9], dtype=torch.float64))
    alpha, r0 = radial.pair_scaling()
    assert float(alpha.detach().max()) == pytest.approx(6.6 / 1.5)
    assert float(r0.detach().max()) == pytest.approx(3.25)


@pytest.mark.parametrize("name", RULES)
def test_observed_distances_set_alpha_and_r0_and_unseen_pairs_are_reported(name):
    model, other = (
        SUS2(SPECIES, 4.0, initial_scaling="observed", parametrization=name) for _ in range(2)
    )
    report = model.scale_to_data(frames())
    assert report == {"pairs": 6, "unseen_pairs": ["Cu-Au", "Au-Au", "Au-Al", "Al-Al"]}
    shortest = shortest_distances(frames(), model.species_index, 3, 4.0)
    other.radial.start_from_radii(element_radii(shortest, model.species))
    assert torch.equal(model.radial.alpha, other.radial.alpha)
    assert torch.equal(model.radial.r0, other.radial.r0)
    assert len(model.radial.pair_scaling()[1].unique()) > 1


def test_default_values_need_no_data_and_stay():
    model = SUS2(SPECIES, 4.0)
    before = [table.clone() for table in model.radial.pair_scaling()]
    assert model.scale_to_data(iter(())) == {}
    assert all(torch.equal(*both) for both in zip(before, model.radial.pair_scaling(), strict=True))
