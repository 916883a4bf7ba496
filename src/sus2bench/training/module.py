"""The one LightningModule: how every potential is trained, validated and tested."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.optim import Optimizer
from torch_geometric.data import Data

from sus2bench.models.potential import Potential, Prediction
from sus2bench.training.accumulation import add_gradient
from sus2bench.training.checks import FiniteLosses, check_gradient, check_whole_set
from sus2bench.training.exact_readout import ExactReadout
from sus2bench.training.loss import PotentialLoss, count_labels
from sus2bench.training.metrics import ErrorAccumulator
from sus2bench.training.parameter_groups import parameter_groups
from sus2bench.training.precision import clip_gradients
from sus2bench.training.regularization import Regularization
from sus2bench.training.resume import (
    CHECKPOINT_VERSION,
    between_batches,
    frames_of_batch,
    next_position,
    set_position,
)
from sus2bench.training.running_loss import RunningLoss
from sus2bench.training.schedules import Constant, Schedule
from sus2bench.training.whole_set.batches import FrameBlocks
from sus2bench.training.whole_set.linear_solve import solvable_readout
from sus2bench.training.whole_set.objective import Objective
from sus2bench.training.whole_set.optimizer import WholeSetOptimizer


class PotentialModule(pl.LightningModule):
    """Training, validation and test of a potential.

    Logged: `train/loss` and `train/loss_<term>` as averages over the last `log_every` steps,
    `train/regularization`, which is no part of the loss, where there is one, and
    `train/learning_rate`; `valid/loss`, `valid/<metric>` and `<test set>/<metric>`, exact over the
    whole set, with the metric names of `ErrorAccumulator`. An optimizer of the whole training set
    (`WholeSetOptimizer`) reports after each step, as `train/<name>`; a training batch is then a
    token for one outer iteration, and training stops when it has converged.

    Args:
        potential: what is trained.
        loss: weights and functions of its terms.
        optimizer: makes an optimizer from parameter groups, e.g.
            `functools.partial(torch.optim.AdamW, lr=1e-3)`.
        schedule: learning rate as a function of progress; constant if not given.
        log_every: steps between two logged training losses.
        solve_every: steps after which the linear readout is solved exactly, again and again; see
            `exact_readout.py`.
        regularization: what is added to the loss of each batch.

    Raises:
        ValueError: `log_every` is less than 1.
    """

    def __init__(
        self,
        potential: Potential,
        loss: PotentialLoss,
        optimizer: Callable[[Iterable[Any]], Optimizer],
        schedule: Schedule | None = None,
        *,
        log_every: int = 50,
        solve_every: int | None = None,
        regularization: Regularization | None = None,
    ) -> None:
        super().__init__()
        if log_every < 1:
            raise ValueError(f"log_every is a number of steps, at least 1, not {log_every}")
        self.potential = potential
        self.loss = loss
        self.schedule = schedule or Constant()
        self.log_every, self.solve_every = log_every, solve_every
        self.regularization = regularization
        self.progress = 0.0
        """Used part of the budget, in [0, 1]; set by the run's control."""
        self.elapsed = 0.0
        """Time used so far by the budget's clock, s; set by the run's control."""
        self.first_second = 0.0
        """Time that earlier phases of the same run have used, s, for the log."""
        self.first_step = 0
        """Steps of earlier phases of the same run, for the log."""
        self.frames = 0
        """Training frames seen so far over all processes, each as often as it was: by mini-batches,
        by each pass over the whole set (`Objective.passes`)."""
        self.phase: dict[str, Any] = {}
        """What a resumed run has to know of the phase it is in, as plain data."""
        self.ended = False
        """Whether training has ended for another reason than the budget."""
        self.deployed_parameters: Mapping[str, Tensor] = {}
        """Parameters of the potential that replace the trained ones in its deployed form."""
        self.position = {"epoch": 0, "batch": 0}
        """Epoch, and number of its batches that are done."""
        self.test_errors: dict[str, dict[str, float]] = {}
        """Result of the last test: metrics by name of the test set."""
        self._make_optimizer = optimizer
        self._whole_set: WholeSetOptimizer | None = None
        self._objective: Objective | None = None
        self._readout: ExactReadout | None = None
        self._window, self._valid = RunningLoss(), RunningLoss()
        self._errors: list[ErrorAccumulator] = [ErrorAccumulator()]
        self._finite = FiniteLosses()

    def configure_optimizers(self) -> Optimizer:
        """The optimizer, unless it cannot train this model by this loss."""
        groups = parameter_groups(self.potential)
        if not groups:
            raise ValueError("the potential has no parameter that is trained")
        optimizer = self._make_optimizer(groups)
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._whole_set = optimizer if isinstance(optimizer, WholeSetOptimizer) else None
        if self._whole_set is not None:
            self._whole_set.check(self.potential, self.loss)
        if self.solve_every is not None:
            solvable_readout(self.potential, self.loss)
        self.automatic_optimization = self._whole_set is None
        return optimizer

    @property
    def step(self) -> int:
        """Optimizer steps so far, those of earlier phases included."""
        return self.first_step + self.global_step

    # Training

    def forward(self, frame: Data) -> Any:
        """Predicts what the loss needs; see `Potential.forward`."""
        return self.potential(frame, forces=self.loss.needs_forces, stress=self.loss.needs_stress)

    def on_train_start(self) -> None:
        """Puts the sums of losses where the model is, and shows an optimizer the whole set."""
        self._window.to(self.device)
        if self._whole_set is not None or self.solve_every is not None:
            trainer: Any = self.trainer
            frames = FrameBlocks(trainer.datamodule.train, self.device)
            self._objective = Objective(
                self.potential, self.loss, frames, regularization=self.regularization
            )
            if self._whole_set is not None:
                self._whole_set.objective = self._objective
            if self.solve_every is not None:
                self._readout = ExactReadout(self._objective, self.solve_every)

    def on_train_epoch_start(self) -> None:
        """Tells the batch sampler which epoch begins; a resumed epoch has been told before."""
        self.position = {"epoch": self.current_epoch, "batch": 0}
        set_position(self.trainer.train_dataloader, self.position)

    def on_train_batch_start(self, batch: Data, batch_idx: int) -> None:
        """Sets the learning rate."""
        factor = self.schedule.factor(self.progress)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["initial_lr"] * factor

    def training_step(self, batch: Data | list[Data], batch_idx: int) -> Tensor | None:
        """The loss of a batch; FloatingPointError, with the frames named, if it is not finite.

        Of a batch in parts, that of the last one: the gradients of the others are there by then.
        With an optimizer of the whole set: its step.
        """
        if self._whole_set is not None:
            self._step_over_whole_set(self._whole_set)
            return None
        parts = batch if isinstance(batch, list) else [batch]
        frames = torch.cat([part.frame_index for part in parts])
        self.frames += frames_of_batch(self.trainer, self.position, len(frames))
        counts = count_labels(parts)
        self.trainer.optimizers[0].zero_grad()
        before = [add_gradient(self.trainer, self._loss_of(part, counts)) for part in parts[:-1]]
        loss = self._loss_of(parts[-1], counts)
        if self.regularization is not None:
            # In full on each process: their gradients are averaged.
            loss = loss + self.regularization(self.potential)
        self._finite.add(torch.stack([*before, loss.detach()]).sum(), frames, self.step)
        return loss

    def _loss_of(self, part: Data, counts: Tensor) -> Tensor:
        """The loss of a part of a batch with so many labels, which the log counts."""
        loss: Tensor
        loss, sums = self.loss(self(part), part, counts)
        self._window.add(sums)
        return loss

    def optimizer_zero_grad(self, *args: Any) -> None:
        """Nothing: Lightning calls this after `training_step`, which has begun with it."""

    def configure_gradient_clipping(self, optimizer: Optimizer, *args: Any, **limits: Any) -> None:
        """Clips the gradient before a step."""
        clip_gradients(self.trainer, optimizer)

    def _step_over_whole_set(self, optimizer: WholeSetOptimizer) -> None:
        counting: Any = self.optimizers()
        counting.step()
        self._complete_step(self.global_step)
        check_whole_set(optimizer.report["loss"], self.step)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """A step of an optimizer of mini-batches, and what belongs to it, before callbacks look."""
        super().optimizer_step(*args, **kwargs)
        self._complete_step(self.global_step + 1)  # Lightning counts it after this

    def _complete_step(self, step: int) -> None:
        """Solves for the readout if it is time to, and counts the passes over all frames."""
        if self._readout is not None:
            self._readout.after_step(step)
        if self._objective is not None:
            trainer: Any = self.trainer
            self.frames += self._objective.passes * len(trainer.datamodule.train)
            self._objective.passes = 0

    def on_train_batch_end(self, outputs: Any, batch: Data, batch_idx: int) -> None:
        """Counts the batch and logs."""
        self.position["batch"] += 1
        if self._whole_set is not None:
            self._log_whole_set(self._whole_set)
            return
        if self.global_step == 1:
            check_gradient(self.potential, self.loss, self._window.total())
        if self.global_step % self.log_every == 0:
            self._log_training()

    def _log_whole_set(self, optimizer: WholeSetOptimizer) -> None:
        values = {f"train/{name}": value for name, value in optimizer.report.items()}
        self._log(values)
        self.log("train/loss", values["train/loss"], prog_bar=True, logger=False)
        if optimizer.converged:
            self.trainer.should_stop = True

    def _log_training(self) -> None:
        values = {"train/loss": self._window.loss(self.loss)}
        values |= {f"train/loss_{term}": mean for term, mean in self._window.terms().items()}
        if self.regularization is not None:
            with torch.no_grad():
                values["train/regularization"] = float(self.regularization(self.potential))
        values["train/learning_rate"] = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        self._window.clear()
        self._log(values)
        self.log("train/loss", values["train/loss"], prog_bar=True, logger=False)

    # Validation and test

    def on_validation_epoch_start(self) -> None:
        """Empties the sums, and solves for the readout of the weights that are validated."""
        self._valid = RunningLoss(self.device)
        self._errors = [ErrorAccumulator()]
        if self._readout is not None and self.trainer.state.fn == TrainerFn.FITTING:
            self._readout.begin_validation()

    def validation_step(self, batch: Data, batch_idx: int) -> None:
        """Adds the errors of a batch."""
        prediction = self._evaluated(batch)
        self._valid.add(self.loss.sums(prediction, batch))
        self._errors[0].update(prediction, batch)

    def on_validation_epoch_end(self) -> None:
        """Logs loss and errors of the whole set, and tells the schedule."""
        if self._readout is not None:
            self._readout.end_validation()
        loss = self._valid.loss(self.loss)
        values = {"valid/loss": loss}
        values.update({f"valid/{k}": v for k, v in self._errors[0].compute().items()})
        self._errors[0].reset()
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.schedule.observe(loss)
        for name, value in values.items():
            self.log(name, value, logger=False, rank_zero_only=False)
        self._log(values)

    def on_test_epoch_start(self) -> None:
        """Makes one accumulator for each test set."""
        self._errors = [ErrorAccumulator() for _ in self.test_names]

    @property
    def test_names(self) -> list[str]:
        """Names of the test sets, from the data module, else `test`, `test_1`, ..."""
        names = getattr(getattr(self.trainer, "datamodule", None), "test_names", None)
        if names is not None:
            return list(names)
        loaders = self.trainer.test_dataloaders
        count = len(loaders) if isinstance(loaders, list) else 1
        return ["test", *(f"test_{i}" for i in range(1, count))]

    def test_step(self, batch: Data, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Adds the errors of a batch."""
        self._errors[dataloader_idx].update(self._evaluated(batch), batch)

    def on_test_epoch_end(self) -> None:
        """Stores and logs the errors of each test set."""
        self.test_errors = {
            name: errors.compute()
            for name, errors in zip(self.test_names, self._errors, strict=True)
        }
        for name, report in self.test_errors.items():
            self._log({f"{name}/{k}": v for k, v in report.items()})

    def _evaluated(self, batch: Data) -> Prediction:
        """In full precision, whatever that of training steps."""
        with torch.autocast(self.device.type, enabled=False):
            prediction: Prediction = self.potential(batch)
        return prediction

    def _log(self, values: Mapping[str, float]) -> None:
        """Writes to all loggers; Lightning's own way would cost time in every step."""
        if self.trainer.is_global_zero:
            place = {"epoch": float(self.position["epoch"])}
            place["seconds"] = self.first_second + self.elapsed
            for logger in self.loggers:
                logger.log_metrics({**values, **place}, self.step)

    # Checkpoints

    def deployed_payload(self) -> dict[str, Any]:
        """Payload of the potential to use: with averaged weights where they are kept."""
        readout = {} if self._readout is None else self._readout.deployed
        return self.potential.to_payload({**self.deployed_parameters, **readout})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the deployed potential and what a resumed run needs."""
        position = next_position(self.position, self.trainer.num_training_batches)
        between_batches(checkpoint["loops"], position)
        checkpoint["potential"] = self.deployed_payload()
        checkpoint["sus2bench"] = {
            "version": CHECKPOINT_VERSION,
            "position": position,
            "batches_per_epoch": int(self.trainer.num_training_batches),
            "schedule": self.schedule.state_dict(),
            "window": self._window.state(),
            "ended": self.ended,
            "frames": self.frames,
            "phase": self.phase,
            "isolated_atoms": self.potential.atomic_energies.isolated,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes back what `on_save_checkpoint` added."""
        state = checkpoint["sus2bench"]
        self.position = dict(state["position"])
        self.frames = int(state.get("frames", 0))  # older checkpoints do not count them
        self.schedule.load_state_dict(state["schedule"])
        self._window.restore(state["window"])
        # Checkpoints from before energies could be held have no such entry.
        if state.get("isolated_atoms") is not None:
            self.potential.atomic_energies.hold(state["isolated_atoms"])
