"""One training step and a validation of the stand-in, in as many processes as are started."""

import sys
from functools import partial
from pathlib import Path

import hydra
import lightning.pytorch as pl
import torch
from omegaconf import OmegaConf
from standin import DataModule, make_module, make_potential
from torch.utils.data import DataLoader

from sus2bench.atoms.frame import collate
from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.fit import fit
from sus2bench.training.loss import PotentialLoss

CONF = Path(__file__).parents[2] / "conf"


class Divided(DataModule):
    """Divides global batches of 5 unevenly over the processes; some frames lack labels."""

    def loader(self, frames, size):
        rank, world = self.trainer.global_rank, self.trainer.world_size
        batches = [range(len(frames))[i : i + size] for i in range(0, len(frames), size)]
        mine = [share for batch in batches if (share := list(batch[rank::world]))]
        return DataLoader(frames, batch_sampler=mine, collate_fn=collate)

    def train_dataloader(self):
        return self.loader(self.train, 5)

    def val_dataloader(self):
        return self.loader(self.valid, 3)


def trainer_of(processes, clip=None):
    """A trainer of one process, or that of `trainer=ddp`."""
    if processes == 1:
        return partial(pl.Trainer, accelerator="cpu", gradient_clip_val=clip)
    with hydra.initialize_config_dir(str(CONF / "trainer"), version_base="1.3"):
        cfg = hydra.compose("ddp", ["accelerator=cpu", f"devices={processes}"])
    cfg.gradient_clip_val = clip
    return hydra.utils.instantiate(OmegaConf.to_container(cfg))


def train(folder, processes, function):
    delta = dict.fromkeys(("energy", "forces", "stress"), 0.05)
    loss = PotentialLoss(1.0, 0.1, 10.0, function=function, delta=delta)
    module = make_module(loss=loss, potential=make_potential(), log_every=1)
    module._make_optimizer = partial(torch.optim.SGD, lr=1.0)
    data = Divided(train=10, valid=4, unlabelled=True)
    fit(
        module,
        data,
        Budget(max_steps=1),
        folder=folder,
        trainer=trainer_of(processes),
        callbacks=[Checkpoints(folder / "checkpoints")],
    )
    return module


def train_all(folder, processes):
    for function in ("mse", "mae", "huber"):
        start = make_potential().state_dict()
        module = train(folder / f"{function}{processes}", processes, function)
        # One step of gradient descent with rate 1: the difference is the gradient.
        gradient = {k: start[k] - v for k, v in module.potential.state_dict().items()}
        metrics = {k: float(v) for k, v in module.trainer.callback_metrics.items()}
        if module.trainer.is_global_zero:
            torch.save([gradient, metrics], folder / f"{function}{processes}.pt")


if __name__ == "__main__":
    train_all(Path(sys.argv[1]), int(sys.argv[2]))
