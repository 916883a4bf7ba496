"""CHGNet of matgl as a model of ours: the contract, matgl's own calculator, a short training."""

import ase
import pytest
import torch
from matgl_native import (
    SPECIES,
    check_native,
    check_training,
    crossing,
    fresh_network,
    generic_potential,
    graph_of,
    native,
    needs_matgl,
    own_potential,
    without_matgl,
)

from sus2bench.models.external.chgnet import CHGNet
from sus2bench.models.external.isolation import MissingExtraError
from sus2bench.testing.adapter import AdapterTests
from sus2bench.testing.potentials import predict
from sus2bench.testing.structures import structures

SIZES = {
    "threebody_cutoff": 3.4,
    "dim_atom_embedding": 6,
    "dim_bond_embedding": 5,
    "dim_angle_embedding": 4,
    "max_n": 3,
    "max_f": 2,
    "num_blocks": 3,
    "atom_conv_hidden_dims": [6],
    "bond_conv_hidden_dims": [5],
    "final_hidden_dims": [6],
}


@without_matgl
def test_without_the_package_the_model_says_what_to_install():
    with pytest.raises(MissingExtraError, match=r"pip install 'sus2bench\[matgl\]'"):
        CHGNet(["Cu"])


@needs_matgl
class TestCHGNet(AdapterTests):
    # With these random weights energies reach 130 eV per atom, of which this is 2e-6.
    float32_energy = 3e-4

    def build(self, dtype):
        return generic_potential(CHGNet(SPECIES, 4.0, **SIZES), dtype, noise=0.6)

    def native(self, potential, atoms):
        return native(own_potential(potential), atoms)

    def native_parameters(self, potential):
        return fresh_network(potential.model).num_parameters

    def test_energy_and_force_are_smooth_as_a_neighbour_crosses_the_cutoff(self):
        """They are not, and the model declares it: `TestSteps` shows why and by how much."""
        with pytest.raises(AssertionError, match="declares smoothness = -1"):
            super().test_energy_and_force_are_smooth_as_a_neighbour_crosses_the_cutoff()


CUTOFFS = pytest.mark.parametrize("cutoff", [4.0, 3.4], ids=["atom graph", "bond graph"])


@needs_matgl
class TestSteps:
    """What matgl's CHGNet does where a neighbour crosses a cutoff, through matgl's calculator."""

    def step(self, cutoff, **settings):
        """Largest changes of energy and force over 2e-9 Å; a slope would give about 1e-7."""
        model = CHGNet(SPECIES, 4.0, **{**SIZES, **settings})
        potential = generic_potential(model, torch.float64, noise=0.6).eval()
        energy, force = crossing(potential, [cutoff - 1e-9, cutoff + 1e-9])
        return float((energy[1] - energy[0]).abs()), float((force[1] - force[0]).abs().max())

    @CUTOFFS
    def test_the_energy_has_a_step_with_trained_frequencies(self, cutoff):
        energy, _ = self.step(cutoff)
        assert energy > 1e-3

    @CUTOFFS
    def test_the_force_has_a_step_with_fixed_frequencies(self, cutoff):
        # The package rounds multiples of pi to float32, which leaves 1e-6 of the energy's step.
        energy, force = self.step(cutoff, learn_basis=False)
        assert energy < 1e-6
        assert force > 1e-3

    def test_the_package_gives_its_envelope_the_radial_functions_in_place_of_distances(self):
        from matgl.utils.cutoff import polynomial_cutoff

        model = CHGNet(SPECIES, 4.0, **SIZES)
        edges = model.edges(graph_of(model, structures(SPECIES)["crystal"]))
        basis = model.network.bond_expansion(edges.lengths)
        model.network(model.graph(*self._graph(model)))
        own = model.network.feature_dict["bond_expansion"]
        torch.testing.assert_close(own, basis * polynomial_cutoff(basis, 4.0, 5))
        envelope = polynomial_cutoff(edges.lengths, 4.0, 5)[:, None]
        assert (own - basis * envelope).abs().max() > 0.1

    def _graph(self, model):
        frame = graph_of(model, structures(SPECIES)["crystal"])
        return frame, model.edges(frame)

    def test_the_energy_has_a_kink_at_straight_angles(self):
        # The sine terms of an angle are no smooth function of positions where it is straight; the
        # package makes angles within 4.5e-4 of it equal. A smooth force would be proportional to
        # the height of the middle atom; this one has a constant part, of either sign.
        model = CHGNet(SPECIES, 4.0, **SIZES)
        potential = generic_potential(model, torch.float64, noise=0.6).eval()
        bent = [
            ase.Atoms("CuAuCu", positions=[(-1.6, 0, 0), (0, height, 0), (1.6, 0, 0)])
            for height in (-0.002, 0.002, 0.004)
        ]
        below, above, twice = predict(potential, *bent).forces.view(3, 3, 3)[:, 1, 1].tolist()
        assert below == pytest.approx(-above, abs=1e-12)
        assert abs(2 * above - twice) > 1e-3


VARIANTS = {
    "no bond graph": {"threebody_cutoff": 0.0},
    "bond updates": {"bond_update_hidden_dims": [4], "shared_bond_weights": "bond"},
    "no angle updates": {"angle_update_hidden_dims": None, "shared_bond_weights": None},
    "normalized": {"normalization": "layer", "normalize_hidden": True},
    "gated": {"final_mlp_type": "gated", "non_linear_bond_embedding": True, "learn_basis": False},
    "one block": {"num_blocks": 1, "activation_type": "softplus2"},
}


@needs_matgl
@pytest.mark.parametrize("variant", VARIANTS)
def test_own_calculator_gives_the_same(variant):
    model = CHGNet(SPECIES, 4.0, **{**SIZES, **VARIANTS[variant]})
    check_native(generic_potential(model, torch.float64, noise=0.6).eval())


@needs_matgl
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("shared_bond_weights", "all", "shared_bond_weights is one of"),
        ("normalization", "batch", "normalization is one of"),
        ("final_mlp_type", "none", "Invalid final_mlp_type"),
        ("threebody_cutoff", 4.1, r"lower model\.threebody_cutoff"),
    ],
)
def test_unknown_settings_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        CHGNet(SPECIES, 4.0, **{**SIZES, name: value})


@needs_matgl
def test_a_trained_checkpoint_predicts_the_same(tmp_path):
    check_training(CHGNet(["Cu", "Au"], 4.0, **SIZES), tmp_path)
