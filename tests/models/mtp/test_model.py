"""MTP: construction, radial functions, parameter counts, the start of training, files."""

import json

import ase.build
import numpy as np
import pytest
import torch

from sus2bench.atoms.frame import build_frame, collate, edge_vectors
from sus2bench.models.loading import load_potential
from sus2bench.models.mtp import MTP, potential_from_mtp, potential_to_mtp
from sus2bench.models.mtp.radial import PairRadial
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2
from sus2bench.models.sus2 import potential_to_mtp as sus2_to_mtp
from sus2bench.models.zbl import ZBL
from sus2bench.training.linear_readout import LinearWeights, solve_linear_readout
from sus2bench.training.loss import count_labels


def make_potential(seed: int = 0) -> Potential:
    model = MTP(["Al", "Ni"], 5.5, level=8, min_dist=1.6, seed=seed).double()
    potential = Potential(model, {"Al": -3.1, "Ni": -5.7})
    generator = torch.Generator().manual_seed(5)
    for parameter in potential.parameters():
        parameter.data += torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
    return potential.eval()


def alloy(seed: int, copies: int = 1):
    atoms = ase.build.bulk("Al", cubic=True) * (1, 1, copies)
    atoms.symbols[::2] = "Ni"
    atoms.rattle(0.1, seed=seed)
    return atoms


def test_radial_functions_equal_their_formula_below_min_dist_too():
    generator = torch.Generator().manual_seed(0)
    radial = PairRadial(2, 3, 5, 6.0, min_dist=1.5, scaling=0.02, generator=generator)
    distance = torch.tensor([1.2, 1.5, 2.7, 5.9, 6.0, 6.5], dtype=torch.float64)
    centre, neighbour = torch.tensor([0, 1, 1, 0, 1, 0]), torch.tensor([1, 0, 1, 0, 0, 1])
    got = radial(distance, centre, neighbour)
    c = radial.coefficients.detach().numpy()
    for edge, (r, a, b) in enumerate(zip(distance.numpy(), centre, neighbour, strict=True)):
        series = np.polynomial.Chebyshev(np.zeros(5), domain=[1.5, 6.0])
        for mu in range(3):
            series.coef = c[a, b, mu]
            expected = 0.02 * (r - 6.0) ** 2 * series(r) if r < 6.0 else 0.0
            assert got[mu, edge].item() == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_parameters_are_those_of_the_file():
    model = MTP(["H", "C", "O"], level=16)
    met = {(1, 1), (1, 6), (6, 1), (1, 8), (8, 1), (1, 7)}
    blocks = model.parameter_blocks(met)
    assert blocks == {
        "radial_coefficients": {
            "stored": 9 * 4 * 8,
            "trainable": 9 * 4 * 8,
            "effective": 5 * 4 * 8,
        },
        "scalar_coefficients": {"stored": 92, "trainable": 92, "effective": 92},
    }
    assert sum(p.numel() for p in model.parameters()) == 9 * 4 * 8 + 92


def test_all_pairs_start_from_one_form_that_the_seed_decides():
    first, again, other = (MTP(["Al", "Ni"], level=6, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.radial.coefficients, again.radial.coefficients)
    assert not torch.equal(first.radial.coefficients, other.radial.coefficients)
    form = first.radial.coefficients[0, 0]
    assert torch.equal(first.radial.coefficients, form.expand(2, 2, -1, -1))
    assert form.std() > 0.1


def test_predictions_are_the_linear_response_times_the_coefficients():
    potential = make_potential()
    batch = collate([build_frame(alloy(i, 1 + i), potential.cutoff) for i in range(2)])
    batch.edge_vectors = edge_vectors(batch)
    response = potential.model.linear_response(batch)
    energies = potential.atomic_energies.values[potential.model.types(batch.atomic_numbers)]
    constant = energies.new_zeros(2).index_add(0, batch.batch, energies)
    predicted, xi = potential(batch), potential.model.linear_coefficients
    energy = constant + response.energy @ xi
    # Sums over some hundred edges per atom of terms of both signs.
    torch.testing.assert_close(predicted.energy, energy, rtol=1e-12, atol=0)
    torch.testing.assert_close(predicted.forces, response.forces @ xi, rtol=1e-10, atol=1e-9)
    torch.testing.assert_close(predicted.virial, response.virial @ xi, rtol=1e-10, atol=1e-9)


def test_the_linear_solve_recovers_a_potential_of_the_same_radial_functions():
    truth, fitted = make_potential(), make_potential()
    fitted.model.set_linear_coefficients(torch.zeros(9, dtype=torch.float64))
    fitted.atomic_energies.values.data.zero_()
    atoms = [alloy(i, 1 + i % 2) for i in range(6)]
    atoms[0].symbols[1] = "Ni"
    batch = collate([build_frame(structure, truth.cutoff) for structure in atoms])
    labels = truth(batch)
    batch.energy, batch.forces, batch.stress = labels.energy, labels.forces, labels.stress
    solve_linear_readout(fitted, [batch], LinearWeights(), counts=count_labels([batch]))
    got = fitted(batch)
    # The condition number of the scaled problem is of order 1e3.
    torch.testing.assert_close(got.forces, labels.forces, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(got.energy, labels.energy, rtol=1e-10, atol=1e-8)


def test_trained_potential_survives_its_file_bit_for_bit(tmp_path):
    potential = make_potential()
    potential_to_mtp(potential, tmp_path / "model.mtp", name="mine")
    again = potential_from_mtp(tmp_path / "model.mtp", ["Al", "Ni"])
    for name, value in potential.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    frame = build_frame(alloy(0), potential.cutoff)
    assert potential(frame).energy.item() == again.eval()(frame).energy.item()


def test_energy_scale_goes_into_the_linear_coefficients(tmp_path):
    potential = make_potential()
    potential.atomic_energies.scale.fill_(2.5)
    potential_to_mtp(potential, tmp_path / "model.mtp")
    again = potential_from_mtp(tmp_path / "model.mtp", ["Al", "Ni"]).eval()
    frame = build_frame(alloy(0), potential.cutoff)
    assert again(frame).energy.item() == pytest.approx(potential(frame).energy.item(), rel=1e-13)


def test_content_of_the_file_decides_between_mtp_and_sus2(tmp_path):
    potential_to_mtp(make_potential(), tmp_path / "a.mtp")
    potential_to_mtp(make_potential(), tmp_path / "a.almtp")
    sus2_to_mtp(Potential(SUS2(["Al", "Ni"], channels=1)), tmp_path / "b.mtp")
    for name, kind in (("a.mtp", MTP), ("a.almtp", MTP), ("b.mtp", SUS2)):
        assert type(load_potential(tmp_path / name, ["Al", "Ni"]).model) is kind


def test_a_file_with_atomic_numbers_for_types_refuses_another_order(tmp_path):
    potential_to_mtp(make_potential(), tmp_path / "a.mtp")
    text = (tmp_path / "a.mtp").read_text()
    for old, new in (("0-0", "13-13"), ("0-1", "13-28"), ("1-0", "28-13"), ("1-1", "28-28")):
        text = text.replace(f"\t\t{old}\n", f"\t\t{new}\n")
    (tmp_path / "b.mtp").write_text(text)
    potential_from_mtp(tmp_path / "b.mtp", ["Al", "Ni"])
    with pytest.raises(ValueError, match=r"atomic numbers \(13, 28\).*Ni, Al"):
        potential_from_mtp(tmp_path / "b.mtp", ["Ni", "Al"])
    with pytest.raises(ValueError, match="species_count = 2, but 1 symbols"):
        potential_from_mtp(tmp_path / "b.mtp", ["Al"])


def test_what_the_format_cannot_hold_is_refused(tmp_path):
    model = MTP(["Al"], level=2)
    with pytest.raises(ValueError, match="ZBL"):
        potential_to_mtp(Potential(model, zbl=ZBL(["Al"])), tmp_path / "a.mtp")
    with pytest.raises(ValueError, match="only MTP can be written"):
        potential_to_mtp(Potential(SUS2(["Al"], channels=1)), tmp_path / "a.mtp")


def test_contractions_of_a_file_can_be_the_basis(tmp_path):
    potential_to_mtp(make_potential(), tmp_path / "a.mtp")
    model = MTP(["Cu"], basis=tmp_path / "a.mtp", level=28)
    assert model.table == MTP(["Cu"], level=8).table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"basis": "everything"}, "neither 'level' nor the path"),
        ({"level": 5}, "no moment tensor potential of level 5"),
        ({"min_dist": 7.0}, "below the cutoff"),
        ({"radial_basis_size": 0}, "at least 1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MTP(["Al"], 6.0, **({"level": 4} | arguments))


def test_hyperparameters_are_plain_data():
    model = MTP(["Al", "Ni"], level=12)
    rebuilt = MTP(**json.loads(json.dumps(model.hyperparameters())))
    assert rebuilt.table == model.table
    assert {n: p.shape for n, p in rebuilt.named_parameters()} == {
        n: p.shape for n, p in model.named_parameters()
    }
