"""A data module whose training batches are tokens: an outer iteration each."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader


class WholeSetData(pl.LightningDataModule):
    """Validates on the frames of another data module and trains on all of its frames at once.

    An epoch is one token: an optimizer of the whole set sees every frame in each step.

    Args:
        data: has `train`, its training frames, once it is set up.
    """

    def __init__(self, data: pl.LightningDataModule) -> None:
        super().__init__()
        self.data = data
        self.allow_zero_length_dataloader_with_multiple_devices = True

    @property
    def train(self) -> Any:
        """The training frames, by number."""
        data: Any = self.data
        return data.train

    def prepare_data(self) -> None:
        """As the other data module does."""
        self.data.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        """As the other data module does, in the same trainer."""
        self.data.trainer = self.trainer
        self.data.setup(stage or "fit")
        if not hasattr(self.data, "train"):
            raise ValueError(
                f"{type(self.data).__name__} has no `train`: optimizers of the whole set need the "
                "training frames themselves"
            )

    def train_dataloader(self) -> DataLoader[int]:
        """One token."""
        # Its own generator: each pass would draw a seed from the global one.
        return DataLoader([0], generator=torch.Generator())  # type: ignore[arg-type]

    def val_dataloader(self) -> Any:
        """The validation frames."""
        return self.data.val_dataloader()
