"""The contract tests fail for models that break the contract, and say what is wrong."""

import pytest
import torch
from torch import nn

from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.layers import cosine_cutoff
from sus2bench.models.potential import Potential
from sus2bench.testing import ContractTests, perturb


class Pairs(SiteEnergyModel):
    """A correct pair model, from which each broken one differs in one place."""

    def __init__(self, species, cutoff=4.0):
        super().__init__(species, cutoff)
        self.strength = nn.Parameter(torch.ones(len(self.species), dtype=torch.float64))

    def forward(self, frame):
        neighbour, centre = frame.edge_index
        types = self.types(frame.atomic_numbers)
        pair = self.pair_energies(frame.edge_vectors)
        weight = self.strength[types]
        pair = pair * weight[neighbour] * weight[centre]
        return weight + pair.new_zeros(len(types)).index_add(0, centre, pair)

    def pair_energies(self, vectors):
        distance = vectors.norm(dim=-1)
        return torch.exp(-distance) * cosine_cutoff(distance, self.cutoff)

    def hyperparameters(self):
        return {"species": list(self.symbols), "cutoff": self.cutoff}


class PrefersADirection(Pairs):
    def pair_energies(self, vectors):
        return super().pair_energies(vectors) * (1 + 0.1 * vectors[:, 2])


class IsChiral(Pairs):
    def forward(self, frame):
        neighbour, centre = frame.edge_index
        vectors = frame.edge_vectors
        weight = super().pair_energies(vectors)
        # Three weighted sums of neighbours span a signed volume, which a mirror inverts.
        sums = [
            torch.zeros(len(frame.atomic_numbers), 3, dtype=vectors.dtype).index_add(
                0, centre, vectors * (weight ** (n + 1)).unsqueeze(-1)
            )
            for n in range(3)
        ]
        return super().forward(frame) + 100 * torch.linalg.det(torch.stack(sums, dim=1))


class ForgetsPartOfTheForce(Pairs):
    def pair_energies(self, vectors):
        return super().pair_energies(vectors) * vectors.detach().norm(dim=-1)


class StopsAbruptly(Pairs):
    def pair_energies(self, vectors):
        distance = vectors.norm(dim=-1)
        return torch.where(distance < self.cutoff, torch.exp(-distance), 0.0)


class HasAKink(Pairs):
    def pair_energies(self, vectors):
        return (self.cutoff - vectors.norm(dim=-1)).clamp(min=0.0)


class OverstatesItsSmoothness(Pairs):
    smoothness = 2


class SeesBeyondTheCutoff(Pairs):
    def pair_energies(self, vectors):
        return (self.cutoff - vectors.norm(dim=-1)).square()


class DependsOnCompany(Pairs):
    def forward(self, frame):
        return super().forward(frame) * len(frame.atomic_numbers) ** 0.5


class SaysItIsLocal(Pairs):
    strictly_local = True

    def forward(self, frame):
        neighbour, centre = frame.edge_index
        site = super().forward(frame)
        weight = self.pair_energies(frame.edge_vectors)
        return site.index_add(0, centre, weight * site[neighbour])


class DependsOnOrder(Pairs):
    def forward(self, frame):
        site = super().forward(frame)
        return site * torch.linspace(1.0, 2.0, len(site), dtype=site.dtype)


class HasABareNorm(Pairs):
    def forward(self, frame):
        _, centre = frame.edge_index
        vectors = frame.edge_vectors
        weighted = vectors * self.pair_energies(vectors).unsqueeze(-1)
        sums = weighted.new_zeros(len(frame.atomic_numbers), 3).index_add(0, centre, weighted)
        return super().forward(frame) + self.strength.sum() * sums.square().sum(-1).sqrt()


class DetachesAParameter(Pairs):
    def forward(self, frame):
        return super().forward(frame) * self.strength.detach().sum()


class DrawsInItsForward(Pairs):
    def forward(self, frame):
        torch.rand(1)
        return super().forward(frame)


class DrawsInItsConstructor(Pairs):
    def __init__(self, species, cutoff=4.0):
        super().__init__(species, cutoff)
        self.noise = nn.Parameter(torch.rand(1, dtype=torch.float64))


class LosesAHyperparameter(Pairs):
    def hyperparameters(self):
        return {"species": list(self.symbols), "cutoff": self.cutoff + 0.5}


class KeepsHiddenState(Pairs):
    def __init__(self, species, cutoff=4.0):
        super().__init__(species, cutoff)
        self.calls = 0

    def forward(self, frame):
        self.calls += 1
        return super().forward(frame) * self.calls


class LosesPrecision(Pairs):
    def pair_energies(self, vectors):
        pair = super().pair_energies(vectors)
        return pair if pair.dtype == torch.float64 else 1.02 * pair


def contract_of(model_class):
    class Contract(ContractTests):
        def build(self, dtype):
            return perturb(Potential(model_class(["Cu", "Au"])).to(dtype))

    return Contract()


ALL_TESTS = sorted(name for name in dir(ContractTests) if name.startswith("test_"))


@pytest.mark.parametrize("test", ALL_TESTS)
def test_a_correct_model_passes(test):
    getattr(contract_of(Pairs), test)()


@pytest.mark.parametrize(
    ("model_class", "test", "message"),
    [
        (PrefersADirection, "test_rotation_turns_forces_and_stress_along", "rotated molecule"),
        (IsChiral, "test_reflection_mirrors_forces_and_stress", "reflected"),
        (ForgetsPartOfTheForce, "test_forces_are_the_negative_gradient_of_the_energy", "forces"),
        (ForgetsPartOfTheForce, "test_stress_is_the_strain_derivative_of_the_energy", "stress"),
        (
            StopsAbruptly,
            "test_energy_and_force_are_smooth_as_a_neighbour_crosses_the_cutoff",
            "energy",
        ),
        (HasAKink, "test_energy_and_force_are_smooth_as_a_neighbour_crosses_the_cutoff", "force"),
        (
            OverstatesItsSmoothness,
            "test_energy_and_force_are_smooth_as_a_neighbour_crosses_the_cutoff",
            "slope of the force",
        ),
        (SeesBeyondTheCutoff, "test_pairs_beyond_the_cutoff_do_not_interact", "beyond the cutoff"),
        (DependsOnCompany, "test_batch_equals_single_frames", "frame 0 of a batch"),
        (DependsOnCompany, "test_supercells_are_extensive", "supercell"),
        (DependsOnCompany, "test_far_fragments_are_additive", "lone atoms"),
        (SaysItIsLocal, "test_blocks_of_atoms_equal_the_whole", "evaluated in blocks"),
        (DependsOnOrder, "test_permutation_of_atoms_permutes_forces", "permuted"),
        (
            HasABareNorm,
            "test_loss_gradient_is_finite_for_isolated_and_symmetric_atoms",
            "not finite",
        ),
        (DetachesAParameter, "test_loss_gradient_of_every_parameter", "strength"),
        (DrawsInItsForward, "test_process_wide_state_is_untouched", "after a prediction"),
        (DrawsInItsConstructor, "test_process_wide_state_is_untouched", "after building"),
        (LosesAHyperparameter, "test_saved_file_round_trip_is_exact", "cutoff"),
        (LosesAHyperparameter, "test_hyperparameters_are_plain_data", "hyperparameters"),
        (KeepsHiddenState, "test_prediction_without_gradients_is_the_same", "no_grad"),
        (KeepsHiddenState, "test_calculator_equals_the_module", "calculator"),
        (LosesPrecision, "test_float32_is_close_to_float64", "float32"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_a_broken_model_is_caught(model_class, test, message):
    with pytest.raises(AssertionError, match=message):
        getattr(contract_of(model_class), test)()
