"""The objective of SUS2 and L-BFGS on it, in as many processes as are started."""

import sys
from functools import partial
from pathlib import Path

import torch
from ddp_here import Divided, trainer_of
from standin import CUTOFF, make_potential

from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2
from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.distributed import gather_from_ranks
from sus2bench.training.fit import fit
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.module import PotentialModule
from sus2bench.training.regularization import Regularization
from sus2bench.training.whole_set.batches import FrameBlocks
from sus2bench.training.whole_set.gauss_newton import GaussNewton
from sus2bench.training.whole_set.lbfgs import LBFGS
from sus2bench.training.whole_set.levenberg_marquardt import LevenbergMarquardt
from sus2bench.training.whole_set.linear_solve import ReadoutSolver
from sus2bench.training.whole_set.normal_equations import normal_equations
from sus2bench.training.whole_set.objective import Objective
from sus2bench.training.whole_set.products import GaussNewtonProducts

LOSS = (1.0, 0.1, 10.0)
REGULARIZATION = Regularization(readout=0.1, smoothness=0.1, atomic_energies=0.1)
DAMPED = {
    "LevenbergMarquardt": LevenbergMarquardt,
    "GaussNewton": partial(GaussNewton, products=12),
}


def steps(kind, objective):
    """Losses of two steps, which are taken back, and the parameters of each process after each."""
    start, optimizer = objective.get(), kind(objective.parameters)
    optimizer.objective = objective
    losses, found = [objective.value()], []
    for _ in range(2):
        losses.append(optimizer.step())
        found.append(gather_from_ranks(objective.get()))
    objective.set(start)
    return losses, found


class Evaluated(LBFGS):
    """Keeps the value, the gradient and the solved readout at the start."""

    def iterate(self, objective):
        if not hasattr(self, "start"):
            self.start = objective.value_and_gradient()
            model = SUS2(["Ni", "Cu"], CUTOFF, channels=1, radial_basis_size=3).double()
            with torch.no_grad():
                model.readout.coefficients.copy_(torch.linspace(-0.1, 0.1, 14))
            potential = Potential(model, {"Ni": -3.0, "Cu": -3.0})
            sus2 = Objective(
                potential, objective.loss, objective.batches, regularization=REGULARIZATION
            )
            self.steps = {name: steps(kind, sus2) for name, kind in DAMPED.items()}
            before = sus2.value()
            self.equations = normal_equations(sus2)
            self.product = GaussNewtonProducts(sus2)(sus2.get())
            ReadoutSolver(sus2).solve()
            self.solved = (before, sus2.value())
        return super().iterate(objective)


def train(folder, processes):
    regularization = Regularization(atomic_energies=0.1)
    module = PotentialModule(
        make_potential(), PotentialLoss(*LOSS), Evaluated, regularization=regularization
    )
    fit(
        module,
        Divided(train=11, valid=4, unlabelled=True),
        Budget(max_steps=6),
        folder=folder,
        trainer=partial(trainer_of(processes)),
        callbacks=[Checkpoints(folder / "checkpoints")],
    )
    optimizer = module.trainer.optimizers[0]
    value, gradient = optimizer.start
    last = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    iterates = {name: tensor for name, tensor in last.items() if tensor.is_floating_point()}
    loss = optimizer.report["loss"]
    if module.trainer.is_global_zero:
        result = {
            "value": value,
            "gradient": gradient,
            "solved": optimizer.solved,
            "equations": tuple(optimizer.equations)[:3],
            "product": optimizer.product,
            "steps": optimizer.steps,
            "iterates": iterates,
            "loss": loss,
            "frames": sum(
                batch.num_graphs for batch in FrameBlocks([*module.trainer.datamodule.train])()
            ),
        }
        torch.save(result, folder.parent / f"{processes}.pt")


if __name__ == "__main__":
    train(Path(sys.argv[1]) / sys.argv[2], int(sys.argv[2]))
