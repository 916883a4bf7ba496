"""How the slope alpha and the centre r0 of ordered pairs of elements are stored and trained.

The paper has numbers of their own for every pair, `pair`: 2 H C^2 of them for H scaling channels
and C elements. Otherwise each element has its own numbers, and those of a pair are their sums, as a
bond length is close to the sum of two radii:

    `element_ordered`:    alpha[eta,a,b] = sigma[eta,a] + sigma'[eta,b],  r0[eta,a,b] likewise
    `element_symmetric`:  alpha[eta,a,b] = sigma[eta,a] + sigma[eta,b],   r0[eta,a,b] likewise

with a the centre and b the neighbour: 4 H C and 2 H C numbers. Slopes are summed, too, and not
multiplied, because they may be negative: up to 9 % of those of published models are.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class PairScaling(nn.Module, ABC):
    """Tables over ordered pairs (H, C, C), [channel, centre, neighbour], and what is trained."""

    @abstractmethod
    def forward(self, numbers: Tensor) -> Tensor:
        """The table (H, C, C) of what is stored."""

    @abstractmethod
    def stored(self, table: Tensor) -> Tensor:
        """What is to be stored for a table (H, C, C): its closest approximation by squares."""

    @abstractmethod
    def summands(self, channels: int, elements: int) -> Tensor:
        """Which stored numbers, flat, the sum of which is an entry: (channels elements^2, k)."""

    @abstractmethod
    def reached(self, pairs: int, elements: int) -> int:
        """Numbers of one channel that act, if so many ordered pairs of so many elements meet."""


class PerPair(PairScaling):
    """A number for every ordered pair."""

    def forward(self, numbers: Tensor) -> Tensor:
        """The table itself."""
        return numbers

    def stored(self, table: Tensor) -> Tensor:
        """The table itself."""
        return table

    def summands(self, channels: int, elements: int) -> Tensor:
        """Its own."""
        return torch.arange(channels * elements**2).unsqueeze(1)

    def reached(self, pairs: int, elements: int) -> int:
        """One for each pair."""
        return pairs


class SumOfElements(PairScaling):
    """A sum of a number of the centre and one of the neighbour.

    Args:
        ordered: whether an element has two numbers (H, 2 C), those as centre first, or one (H, C).
    """

    def __init__(self, *, ordered: bool) -> None:
        super().__init__()
        self.ordered = ordered

    def forward(self, numbers: Tensor) -> Tensor:
        """The sums (H, C, C)."""
        centre, neighbour = numbers.chunk(2, dim=1) if self.ordered else (numbers, numbers)
        return centre.unsqueeze(2) + neighbour.unsqueeze(1)

    def stored(self, table: Tensor) -> Tensor:
        """Means over partners, less half of the mean of all."""
        half = table.mean((1, 2)).unsqueeze(1) / 2
        centre, neighbour = table.mean(2) - half, table.mean(1) - half
        if self.ordered:
            return torch.cat([centre, neighbour], dim=1)
        return (centre + neighbour) / 2

    def summands(self, channels: int, elements: int) -> Tensor:
        """That of the centre and that of the neighbour."""
        numbers = torch.arange(channels * (2 if self.ordered else 1) * elements)
        centre, neighbour = (
            numbers.view(channels, 2, elements).unbind(1)
            if self.ordered
            else [numbers.view(channels, elements)] * 2
        )
        shape = channels, elements, elements
        both = centre.unsqueeze(2).expand(shape), neighbour.unsqueeze(1).expand(shape)
        return torch.stack([part.flatten() for part in both], dim=1)

    def reached(self, pairs: int, elements: int) -> int:
        """One or two for each element."""
        return 2 * elements if self.ordered else elements


def scaling_rule(parametrization: str) -> PairScaling:
    """The rule of that name; ValueError if there is none."""
    if parametrization == "pair":
        return PerPair()
    if parametrization == "element_ordered":
        return SumOfElements(ordered=True)
    if parametrization == "element_symmetric":
        return SumOfElements(ordered=False)
    raise ValueError(
        f"parametrization {parametrization!r} is none of 'pair', 'element_ordered' or "
        "'element_symmetric'"
    )
