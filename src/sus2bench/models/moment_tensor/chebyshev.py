"""Chebyshev polynomials times an envelope, by their recurrence."""

from torch import Tensor


def chebyshev(x: Tensor, envelope: Tensor, size: int) -> list[Tensor]:
    """The envelope times T_n(x), n = 0 .. size - 1; the recurrence is linear in its start.

    Args:
        x: any shape; not confined to [-1, 1].
        envelope: a shape that broadcasts to that of x.
        size: number of polynomials, at least 1.

    Returns:
        One tensor of the shape of x for each polynomial.
    """
    terms = [envelope.expand_as(x), envelope * x]
    twice = 2 * x
    for _ in range(2, size):
        terms.append(twice * terms[-1] - terms[-2])
    return terms[:size]
