"""Every model of the package keeps the contract."""

import pytest

from sus2bench.models.composition import Composition
from sus2bench.models.frozen import FrozenRadial
from sus2bench.models.moment_tensor.backend import BackendMissingError
from sus2bench.models.moment_tensor.base import BACKENDS
from sus2bench.models.mtp import MTP
from sus2bench.models.nep import NEP, NEPRepulsion
from sus2bench.models.painn import PaiNN
from sus2bench.models.potential import Potential
from sus2bench.models.schnet import SchNet
from sus2bench.models.sus2 import SUS2
from sus2bench.models.zbl import ZBL
from sus2bench.testing import ContractTests, contract_of, perturb
from sus2bench.testing.potentials import predict, same_prediction
from sus2bench.testing.structures import structures

SPECIES = ("Cu", "Au", "Al")
ENERGIES = {"Cu": -3.5, "Au": -3.25, "Al": -3.75}


def with_backend(potential, name):
    """The potential with a backend that is compiled; skips where it cannot be."""
    try:
        BACKENDS[name].prepare(potential.model)
    except BackendMissingError as error:
        pytest.skip(str(error))
    potential.model.backend = name
    return potential


class TestSchNet(ContractTests):
    def build(self, dtype):
        model = SchNet(SPECIES, 4.0, features=8, interactions=2, gaussians=10)
        return perturb(Potential(model, ENERGIES).to(dtype))


class TestPaiNN(ContractTests):
    def build(self, dtype):
        model = PaiNN(SPECIES, 4.0, features=8, interactions=2, bessels=8)
        return perturb(Potential(model, ENERGIES).to(dtype))


class TestPaiNNWithRepulsion(ContractTests):
    def build(self, dtype):
        model = PaiNN(SPECIES, 3.8, features=4, interactions=1, bessels=5)
        potential = Potential(model, ENERGIES, energy_scale=0.5, zbl=ZBL(SPECIES))
        return perturb(potential.to(dtype))


class SUS2Contract(ContractTests):
    scaling_map = "K"
    radial_basis_type = "RBChebyshev_sss"
    ranks_and_channels = (2, 2)
    parametrization = "pair"

    def build(self, dtype):
        model = SUS2(
            SPECIES,
            4.0,
            max_rank=self.ranks_and_channels[0],
            channels=self.ranks_and_channels[1],
            scaling_map=self.scaling_map,
            parametrization=self.parametrization,
            radial_basis_type=self.radial_basis_type,
        )
        return perturb(Potential(model, ENERGIES).to(dtype))


class TestSUS2(SUS2Contract):
    pass


class TestSUS2InCpp(SUS2Contract):
    def build(self, dtype):
        return with_backend(super().build(dtype), "cpp")


@pytest.mark.slow
class TestSUS2Compiled(SUS2Contract):
    ranks_and_channels = (2, 1)

    def build(self, dtype):
        return with_backend(super().build(dtype), "compile")


class TestSUS2ScalingByRankInCpp(TestSUS2InCpp):
    scaling_map = "L"
    radial_basis_type = "RBChebyshev_ss"
    ranks_and_channels = (3, 2)


class TestSUS2ScalingByRank(SUS2Contract):
    scaling_map = "L"
    radial_basis_type = "RBChebyshev_ss"


class TestSUS2ScalingByRankAndChannel(SUS2Contract):
    scaling_map = "LK"
    ranks_and_channels = (3, 1)


class TestSUS2OfOrderedElements(SUS2Contract):
    parametrization = "element_ordered"


class TestSUS2OfElements(SUS2Contract):
    parametrization = "element_symmetric"
    scaling_map = "LK"
    ranks_and_channels = (2, 1)


class TestSUS2OfOrderedElementsInCpp(TestSUS2InCpp):
    parametrization = "element_ordered"
    scaling_map = "L"


class TestSUS2OfElementsInCpp(TestSUS2InCpp):
    parametrization = "element_symmetric"


class TestFrozenSUS2(ContractTests):
    def build(self, dtype):
        inner = {"_target_": "sus2bench.models.sus2.SUS2", "channels": 1, "seed": 3}
        return perturb(Potential(FrozenRadial(SPECIES, 4.0, model=inner), ENERGIES).to(dtype))


class TestFrozenMTP(ContractTests):
    def build(self, dtype):
        inner = {"_target_": "sus2bench.models.mtp.MTP", "level": 8, "seed": 3}
        return perturb(Potential(FrozenRadial(SPECIES, 4.0, model=inner), ENERGIES).to(dtype))


class TestComposition(ContractTests):
    def build(self, dtype):
        return perturb(Potential(Composition(SPECIES, 4.0), ENERGIES).to(dtype))

    def test_training_and_evaluation_mode_agree(self):
        potential = self.potential()
        atoms = structures(SPECIES)["crystal"]
        expected, trained = predict(potential, atoms), predict(potential.train(), atoms)
        same_prediction(
            trained._replace(energy=trained.energy.detach(), site_energies=expected.site_energies),
            expected,
            "in training mode, in which forces of zero have no graph to differentiate",
        )


class TestSUS2WithCompleteBasis(ContractTests):
    def build(self, dtype):
        model = SUS2(SPECIES, 4.0, basis="complete", max_rank=2, channels=1, body_order=4)
        return perturb(Potential(model, ENERGIES).to(dtype))


class MTPContract(ContractTests):
    level = 10

    def build(self, dtype):
        model = MTP(SPECIES, 4.0, level=self.level, min_dist=1.7)
        return perturb(Potential(model, ENERGIES).to(dtype))


class TestMTPOfLevel2(MTPContract):
    level = 2


class TestMTPOfLevel10(MTPContract):
    pass


class TestMTPOfLevel16(MTPContract):
    level = 16


class TestMTPOfLevel16InCpp(TestMTPOfLevel16):
    def build(self, dtype):
        return with_backend(super().build(dtype), "cpp")


class NEPContract(ContractTests):
    l_max = (4, 2, 0)

    def repulsion(self):
        return None

    def build(self, dtype):
        model = NEP(SPECIES, 4.0, angular_cutoff=3.4, l_max=self.l_max, neurons=6)
        # About what `scale_to_data` finds for these structures.
        model.descriptor_scaler.fill_(0.3)
        return perturb(Potential(model, ENERGIES, energy_scale=0.5, zbl=self.repulsion()).to(dtype))


class TestNEP(NEPContract):
    pass


class TestNEPOfThreeBodies(NEPContract):
    l_max = (3, 0, 0)


class TestNEPOfFiveBodies(NEPContract):
    l_max = (4, 2, 1)


class TestNEPWithRepulsion(NEPContract):
    def repulsion(self):
        # No pair of the structures stands at either end, where the curvature has a step.
        return NEPRepulsion(SPECIES, 2.9)


TestBehler = contract_of("sus2bench.models.behler_parrinello.BehlerParrinello", hidden=[8])
