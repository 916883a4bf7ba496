"""Text of Triton for the monomials of a direction, u_x^p u_y^q u_z^s, and for their derivatives."""

from collections.abc import Iterable, Iterator, Sequence

Exponents = tuple[int, int, int]


def name_of(exponents: Sequence[int]) -> str:
    """Of a monomial: `uxxz` for (2, 0, 1), nothing for the constant."""
    letters = "".join(axis * e for axis, e in zip("xyz", exponents, strict=True))
    return letters and "u" + letters


def change_of(exponents: Sequence[int]) -> str:
    """Of its change as the direction changes by v: `vxxz`, nothing for the constant."""
    return name_of(exponents).replace("u", "v")


def times(*factors: str | int) -> str:
    """A product; nothing and 1 are left out."""
    return " * ".join(str(factor) for factor in factors if factor not in ("", 1)) or "1"


def lower(exponents: Exponents) -> Iterator[tuple[str, int, Exponents]]:
    """The derivatives by each axis that are not zero: its letter, a factor and a monomial."""
    for axis, letter in enumerate("xyz"):
        if exponents[axis]:
            p, q, s = (n - (i == axis) for i, n in enumerate(exponents))
            yield letter, exponents[axis], (p, q, s)


def monomials(exponents: Iterable[Exponents]) -> Iterator[str]:
    """Those of rank 2 and more, each from one of lower rank."""
    for e in exponents:
        if sum(e) > 1:
            name = name_of(e)
            yield f"{name} = {name[:-1]} * u{name[-1]}"


def monomial_changes(exponents: Iterable[Exponents]) -> Iterator[str]:
    """Changes of those of rank 2 and more."""
    for e in exponents:
        if sum(e) > 1:
            terms = (times(n, name_of(less), f"v{axis}") for axis, n, less in lower(e))
            yield f"{change_of(e)} = {' + '.join(terms)}"
