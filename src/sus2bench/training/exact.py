"""Training of a potential whose initial values are its solution: no steps, only the file."""

import logging
import os
from pathlib import Path

from sus2bench.models.loading import save_potential
from sus2bench.models.potential import Potential
from sus2bench.training.checkpoints import BEST
from sus2bench.training.fit import FitResult

logger = logging.getLogger(__name__)


def store_exact(potential: Potential, folder: str | os.PathLike[str]) -> FitResult:
    """Writes an exactly solved potential where a training run leaves its best.

    Args:
        potential: what `initialise` has made of it.
        folder: of the run; `checkpoints/best.ckpt` below it is replaced.

    Returns:
        A completed run of no steps.
    """
    best = Path(folder) / "checkpoints" / BEST
    best.parent.mkdir(parents=True, exist_ok=True)
    save_potential(potential, best)
    logger.info("all parameters are set by the exact solve: no training steps")
    return FitResult(
        status="completed",
        best_checkpoint=best,
        last_checkpoint=None,
        steps=0,
        epochs=0.0,
        train_seconds=0.0,
        history=None,
        ended_by="exact_solution",
    )
