"""Contract tests of lower precision in training."""

import torch

from sus2bench.testing.base import ContractBase
from sus2bench.testing.potentials import check_close, forces, predict, stress
from sus2bench.testing.structures import structures


class PrecisionTests(ContractBase):
    """What a model that takes mixed precision does with it."""

    def test_mixed_precision_is_as_near_as_its_digits(self) -> None:
        """Forces with products of matrices in bfloat16 and float16; a loss gradient in the former.

        (In float16 a gradient needs a scaled loss to stay in range.) Their 8 and 11 bits leave some
        0.4 % and 0.05 % of each product; a tenth and a fiftieth of the largest force show that
        nothing is wrong, not that it is accurate. A model that says it takes none is left alone.
        """
        for dtype, part in ((torch.bfloat16, 0.1), (torch.float16, 0.02)):
            potential = self.build(torch.float32).train()
            if not potential.model.mixed_precision:
                return
            atoms = structures(potential.species)["skewed cell"]
            expected = forces(predict(potential, atoms)).detach()
            with torch.autocast("cpu", dtype=dtype):
                prediction = predict(potential, atoms)
                loss = prediction.energy.square().sum() + forces(prediction).square().sum()
                loss = loss + stress(prediction).square().sum()
            tolerance = part * float(expected.abs().max())
            check_close(forces(prediction), expected, tolerance, f"forces in {dtype} (eV/Å)")
            if dtype == torch.float16:
                continue
            loss.backward()
            for name, parameter in potential.named_parameters():
                if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
                    raise AssertionError(f"the loss gradient of {name} in {dtype} is not finite")
