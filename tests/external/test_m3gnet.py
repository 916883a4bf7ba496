"""M3GNet of matgl as a model of ours: the contract, matgl's own calculator, a short training."""

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

from sus2bench.models.external.isolation import MissingExtraError
from sus2bench.models.external.m3gnet import M3GNet, M3GNetRough
from sus2bench.testing.adapter import AdapterTests
from sus2bench.testing.structures import structures

SIZES = {
    "threebody_cutoff": 3.4,
    "dim_node_embedding": 6,
    "dim_edge_embedding": 5,
    "units": 7,
    "nblocks": 2,
    "max_n": 2,
    "max_l": 2,
}


@without_matgl
def test_without_the_package_the_model_says_what_to_install():
    with pytest.raises(MissingExtraError, match=r"pip install 'sus2bench\[matgl\]'"):
        M3GNet(["Cu"])


@needs_matgl
class TestM3GNet(AdapterTests):
    def build(self, dtype):
        return generic_potential(M3GNet(SPECIES, 4.0, **SIZES), dtype, noise=0.5)

    def native(self, potential, atoms):
        return native(own_potential(potential), atoms)

    def native_parameters(self, potential):
        return fresh_network(potential.model).num_parameters

    def test_energy_and_force_are_smooth_as_a_bond_crosses_the_threebody_cutoff(self):
        # Linear extrapolation from both sides leaves terms of second order in delta, below 1e-8.
        potential, delta = self.potential(), 1e-5
        cutoff = potential.model.threebody_cutoff
        values = crossing(potential, [cutoff + n * delta for n in (-2, -1, 1, 2)])
        for value in values:
            torch.testing.assert_close(
                2 * value[2] - value[3], 2 * value[1] - value[0], rtol=0, atol=2e-8
            )

    def test_three_body_terms_are_there(self):
        potential = self.potential()
        model = potential.model
        frame = graph_of(model, structures(SPECIES)["crystal"])
        pairs = model._triples(model.edges(frame), 8)["line_edge_index"]
        assert pairs.shape[1] > 100
        energy = crossing(potential, [2.0, 2.2])[0]
        model.threebody_cutoff = model.network.threebody_cutoff = 0.1
        assert (crossing(potential, [2.0, 2.2])[0] - energy).abs().min() > 1e-4


@needs_matgl
def test_triples_are_those_of_the_package():
    from matgl.graph._compute import create_line_graph

    model = M3GNet(SPECIES, 4.0, **SIZES)
    for atoms in structures(SPECIES).values():
        edges = model.edges(graph_of(model, atoms))
        ours = model._triples(edges, len(atoms))
        own = create_line_graph(
            edges.ends, edges.lengths, edges.vectors, None, len(atoms), model.threebody_cutoff
        )
        for name in ours:
            assert torch.equal(ours[name].long(), own[name].long()), name


@needs_matgl
class TestRough:
    def test_forces_have_a_step_at_the_cutoff_with_the_package_s_default_functions(self):
        model = M3GNetRough(SPECIES, 4.0, **SIZES)
        assert model.smoothness == 0
        potential = generic_potential(model, torch.float64, noise=0.5).eval()
        energy, force = crossing(potential, [4.0 - 1e-9, 4.0 + 1e-9])
        # Roots of the Bessel functions are rounded to float32 by the package.
        assert float((energy[1] - energy[0]).abs()) < 1e-6
        assert float((force[1] - force[0]).abs().max()) > 1e-3

    def test_own_calculator_gives_the_same(self):
        model = M3GNetRough(SPECIES, 4.0, **SIZES)
        check_native(generic_potential(model, torch.float64, noise=0.5).eval())


@needs_matgl
def test_a_three_body_cutoff_beyond_the_cutoff_is_refused():
    with pytest.raises(ValueError, match=r"lower model\.threebody_cutoff"):
        M3GNet(SPECIES, 3.0)


@needs_matgl
def test_a_trained_checkpoint_predicts_the_same(tmp_path):
    check_training(M3GNet(["Cu", "Au"], 4.0, **SIZES), tmp_path)
