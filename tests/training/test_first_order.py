"""First-order optimizers, as configured in conf/, reach the known optimum of a linear fit."""

from pathlib import Path

import hydra
import pytest
import torch
from hydra.utils import instantiate

from sus2bench.training.own_average import averages_itself

CONF = Path(__file__).parents[2] / "conf" / "optimizer"
NEEDS = {"schedule_free": "schedulefree", "soap": "pytorch_optimizer"}
STEPS = 1000


@pytest.mark.parametrize("name", ["adamw", "schedule_free", "soap"])
def test_the_minimum_of_a_linear_fit_is_that_of_the_normal_equations(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = instantiate(hydra.compose(name), _convert_="all")
    random = torch.Generator().manual_seed(0)
    inputs = torch.randn(60, 5, generator=random, dtype=torch.float64)
    targets = torch.randn(60, 3, generator=random, dtype=torch.float64)
    exact = torch.linalg.lstsq(inputs, targets).solution
    smallest = float((inputs @ exact - targets).square().mean())

    weights = torch.nn.Parameter(torch.zeros(5, 3, dtype=torch.float64))
    optimizer = cfg["algorithm"]([{"params": [weights]}])
    (group,) = optimizer.param_groups
    rate = group["lr"]
    own = averages_itself(optimizer)
    if own:
        optimizer.train()
    for step in range(STEPS):
        group["lr"] = rate * cfg["schedule"].factor(step / STEPS)
        optimizer.zero_grad()
        loss = (inputs @ weights - targets).square().mean()
        loss.backward()
        optimizer.step()
    if own:
        optimizer.eval()
    # The decay of the weights (1e-6) and the last rate leave less than this.
    assert torch.allclose(weights.detach(), exact, atol=2e-3)
    found = float((inputs @ weights.detach() - targets).square().mean())
    assert found == pytest.approx(smallest, rel=1e-5)
