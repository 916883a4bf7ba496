"""Predictions of small systems on a GPU, recorded once and replayed as a CUDA graph.

The kernels of some hundred atoms take less time than it takes to launch them one by one.
"""

import copy
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.interfaces.calculator import FramePredictor

log = logging.getLogger(__name__)

_MOVING = ("pos", "cell", "atomic_numbers")


class Results(NamedTuple):
    """What calculators read, see `FramePrediction`."""

    energy: Tensor
    forces: Tensor | None
    stress: Tensor | None
    site_energies: Tensor


Recording = tuple[Results, Callable[[], None]]
"""What is computed, and what computes it anew in the same place."""


class Replayed:
    """A `Potential` that takes one launch for frames with the neighbour list of the last one.

    For `FrameCalculator` and `TorchSimModel`, in the place of the potential. A list that is used
    for the second time is recorded; the first time it is predicted for as otherwise. So it is where
    nothing can be recorded, without a GPU or because the potential waits for it; a warning says so.

    Args:
        predict: such as a `Potential` in evaluation mode; it is recorded with the parameters that
            it has by then.
        record: makes the recording of a function without arguments.
    """

    def __init__(
        self,
        predict: FramePredictor,
        record: "Callable[[Callable[[], Results]], Recording] | None" = None,
    ) -> None:
        self.predict = predict
        self._record: Callable[[Callable[[], Results]], Recording] | None
        self._record = record or record_cuda_graph
        self._edges: Tensor | None = None
        self._form: tuple[Any, ...] = ()
        self._frame: Data | None = None
        self._recording: Recording | None = None

    def __call__(self, frame: Data, /, *, forces: bool = True, stress: bool = True) -> Results:
        """See `FramePredictor`; nothing can be differentiated."""
        form = forces, stress, *((frame[name].shape, frame[name].dtype) for name in _MOVING)
        if self._record is None or frame.edge_index is not self._edges or form != self._form:
            self._edges, self._form, self._recording = frame.edge_index, form, None
            return self._predict(frame, forces, stress)
        if self._recording is None:
            self._frame = copy.copy(frame)
            for name in _MOVING:
                self._frame[name] = frame[name].clone()
            static = self._frame
            try:
                self._recording = self._record(lambda: self._predict(static, forces, stress))
            except RuntimeError as error:
                log.warning("predictions are not replayed, as they cannot be recorded: %s", error)
                self._record = None
                return self._predict(frame, forces, stress)
        assert self._frame is not None
        for name in _MOVING:
            self._frame[name].copy_(frame[name])
        results, replay = self._recording
        replay()
        energy, forces_, stress_, site = results
        return Results(energy.clone(), _clone(forces_), _clone(stress_), site.clone())

    @torch.no_grad()
    def _predict(self, frame: Data, forces: bool, stress: bool) -> Results:
        found = self.predict(frame, forces=forces, stress=stress)
        return Results(found.energy, found.forces, found.stress, found.site_energies)


def _clone(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.clone()


def record_cuda_graph(function: Callable[[], Results]) -> Recording:
    """Runs the function twice beside the current stream, then captures it.

    Raises:
        RuntimeError: there is no GPU, or the function does what cannot be captured.
    """
    if not torch.cuda.is_available():
        raise RuntimeError("there is no GPU")
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(2):
            function()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = function()
    return results, graph.replay
