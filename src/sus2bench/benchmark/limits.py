"""How far a scan follows a potential: limits of time, memory and atoms."""

from dataclasses import dataclass

import psutil
import torch

GRAPH_BYTES = 120
"""Memory that building a neighbour list takes for each edge: 85 bytes where it was measured."""
_OF_FREE_MEMORY = 0.8


@dataclass(frozen=True)
class Cost:
    """What a batch takes, or is expected to."""

    atoms: int
    edges: float
    seconds: float = 0.0
    """The longest call."""
    call_gigabytes: float = 0.0
    """What a call adds to the memory."""

    @property
    def gigabytes(self) -> float:
        """With the neighbour list."""
        return self.call_gigabytes + GRAPH_BYTES * self.edges / 1e9

    def scaled(self, atoms: int, edges: float) -> "Cost":
        """What another batch is expected to take: in proportion to edges.

        This is too much where overheads dominate, and right where it matters.
        """
        ratio = edges / self.edges
        return Cost(atoms, edges, self.seconds * ratio, self.call_gigabytes * ratio)


@dataclass(frozen=True)
class Limits:
    """Limits of one call.

    Attributes:
        seconds: that it takes.
        atoms: in the batch; None: no limit.
        gigabytes: of memory, with the neighbour list; None: 80 % of what is free.
    """

    seconds: float = 10.0
    atoms: int | None = None
    gigabytes: float | None = None

    def refuse(self, cost: Cost, device: torch.device) -> str | None:
        """Why a call is not made that is expected to cost this; None if it is."""
        if self.atoms is not None and cost.atoms > self.atoms:
            return f"{cost.atoms} atoms are more than limits.atoms={self.atoms}"
        if cost.seconds > self.seconds:
            limit = f"limits.seconds={self.seconds:g}"
            return f"a call would take about {cost.seconds:.3g} s, more than {limit}"
        memory = self.gigabytes or _OF_FREE_MEMORY * _free_gigabytes(device)
        if cost.gigabytes > memory:
            limit = "limits.gigabytes" if self.gigabytes else "80 % of the free memory"
            return f"a call would need about {cost.gigabytes:.3g} GB, {limit} is {memory:.3g} GB"
        return None


def _free_gigabytes(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0]) / 1e9
    return float(psutil.virtual_memory().available) / 1e9
