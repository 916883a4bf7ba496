"""Contract tests of lower precision in training."""

import torch

from sus2bench.testing.base import ContractBase
from sus2bench.testing.potentials import check_close, forces, predict, stress
from sus2bench.testing.structures import structures


class PrecisionTests(ContractBase):
    """What a model that takes mixed precision does with it."""

    def test_mixed_precision_is_as_near_as_its_digits(self) -> None:
        """Forces and the gradient of a loss where bfloat16 is used for products of matrices.

        Its 8 bits leave some 0.4 % of each product; a tenth of the largest force shows that
        nothing is wrong, not that it is accurate. A model that says it takes none is left alone.
        """
        potential = self.build(torch.float32).train()
        if not potential.model.mixed_precision:
            return
        atoms = structures(potential.species)["skewed cell"]
        expected = forces(predict(potential, atoms)).detach()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            prediction = predict(potential, atoms)
            loss = prediction.energy.square().sum() + forces(prediction).square().sum()
            loss = loss + stress(prediction).square().sum()
        loss.backward()
        largest = float(expected.abs().max())
        check_close(forces(prediction), expected, 0.1 * largest, "forces in bfloat16 (eV/Å)")
        for name, parameter in potential.named_parameters():
            if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
                raise AssertionError(f"the loss gradient of {name} in bfloat16 is not finite")
