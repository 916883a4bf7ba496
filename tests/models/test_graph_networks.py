"""SchNet and PaiNN: sizes of the papers, seeds, trainability, arguments, configs."""

from pathlib import Path

import hydra
import pytest
import torch
from ase.build import bulk
from omegaconf import OmegaConf

from sus2bench.atoms.frame import build_frame
from sus2bench.models.layers import BesselBasis, GaussianBasis, ShiftedSoftplus, cosine_cutoff
from sus2bench.models.painn import PaiNN
from sus2bench.models.potential import Potential
from sus2bench.models.schnet import SchNet

CONFIGS = Path(__file__).parents[2] / "conf" / "model"
MODELS = (SchNet, PaiNN)


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_schnet_has_the_parameters_of_its_layers():
    F, G, C = 128, 50, 3
    block = (G * F + F) + (F * F + F) + F * F + 2 * (F * F + F)
    readout = F * F // 2 + F // 2 + F // 2 + 1
    assert parameters(SchNet(["H", "C", "O"])) == C * F + 6 * block + readout


def test_painn_has_the_parameters_of_its_layers():
    F, B, C = 128, 20, 3

    def message(parts):
        return (F * F + F) + (F * parts * F + parts * F) + (B * parts * F + parts * F)

    def update(parts):
        return 2 * F * F + (2 * F * F + F) + (F * parts * F + parts * F)

    readout = F * F // 2 + F // 2 + F // 2 + 1
    blocks = message(2) + 2 * message(3) + 2 * update(3) + update(2)
    assert parameters(PaiNN(["H", "C", "O"])) == C * F + blocks + readout


@pytest.mark.parametrize("model_class", MODELS)
def test_every_parameter_has_a_gradient(model_class):
    # DistributedDataParallel refuses parameters that no loss can reach.
    potential = Potential(model_class(["Cu", "Au"], 4.0, features=8)).train()
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.symbols[0] = "Au"
    prediction = potential(build_frame(atoms, 4.0))
    (prediction.energy.sum() + prediction.forces.square().sum()).backward()
    for name, parameter in potential.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("model_class", MODELS)
def test_seed_decides_the_weights(model_class):
    def weights(seed):
        model = model_class(["Cu"], features=4, seed=seed)
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize("model_class", MODELS)
def test_sizes_below_one_are_refused(model_class):
    with pytest.raises(ValueError, match="interactions"):
        model_class(["Cu"], interactions=0)
    with pytest.raises(ValueError, match="features"):
        model_class(["Cu"], features=1)


def test_bases_without_functions_are_refused():
    with pytest.raises(ValueError, match="Gaussian"):
        GaussianBasis(1, 5.0)
    with pytest.raises(ValueError, match="Bessel"):
        BesselBasis(0, 5.0)


def test_cosine_cutoff_ends_with_zero_value_and_slope():
    distance = torch.tensor([0.0, 4.9999999, 5.0, 6.0], dtype=torch.float64, requires_grad=True)
    value = cosine_cutoff(distance, 5.0)
    (slope,) = torch.autograd.grad(value.sum(), distance)
    assert value.tolist() == pytest.approx([1, 0, 0, 0], abs=1e-14)
    assert slope.tolist() == pytest.approx([0, 0, 0, 0], abs=1e-7)


def test_shifted_softplus_is_the_formula_at_all_arguments():
    x = torch.tensor([-800.0, -30.0, 0.0, 19.99, 20.01, 39.9, 40.1, 800.0], dtype=torch.float64)
    exact = torch.logaddexp(x, torch.zeros_like(x)) - torch.log(torch.tensor(2.0).double())
    torch.testing.assert_close(ShiftedSoftplus()(x), exact, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["schnet", "schnet_small", "painn", "painn_small"])
def test_config_builds_the_model(name):
    with hydra.initialize_config_dir(str(CONFIGS.parent), version_base="1.3"):
        config = hydra.compose(overrides=[f"+model={name}", "+seed=3"])
    model = hydra.utils.instantiate(config.model, species=["Cu", "Au"])
    plain = OmegaConf.to_container(config.model, resolve=True)
    target = plain.pop("_target_")
    assert target == f"{type(model).__module__}.{type(model).__qualname__}"
    assert model.hyperparameters() == {"species": ["Cu", "Au"], **plain}
    assert model.features == (64 if name.endswith("small") else 128)
