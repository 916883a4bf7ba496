"""The text of a Triton module: the template `kernels.py.txt`, filled in for one form of model.

    basic_moments   edges -> basic moments M (N, basic), summed in registers
    contract        M -> site energies, and dE/dM in the place of M, in float64
    edge_gradient   edges and dE/dM -> dE/dr of each edge, or forces and virials of atoms

Everything that depends on the form is straight-line code, so that moments and slopes of an atom
stay in registers. A program of the first and last kernel goes through the edges of 16 atoms, 8
edges of each at a time: neighbouring lanes read neighbouring edges, and sums over lanes come last.

From positions, each of the two passes reads 20 bytes of every edge from memory (the neighbour's
index and the shift) and 32 of its neighbour from the cache (type and position); the second adds 24
to the neighbour's forces. For SUS2 l2k3, of 3 scalings, 9 functions and 30 moments, the code of an
edge has 360 operations in the first pass and 620 in the second: at 50 neighbours 50 thousand for
each atom, and 2 kB from memory.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from pathlib import Path
from textwrap import indent

from sus2bench.models.moment_tensor.contraction_table import ContractionTable, Product
from sus2bench.models.moment_tensor.distinct_products import DistinctProducts, distinct_products
from sus2bench.models.moment_tensor.moments import monomial_exponents
from sus2bench.models.moment_tensor.radial import RadialForm
from sus2bench.models.moment_tensor.triton.radial import radial_lines

Exponents = tuple[int, int, int]

TEMPLATE = Path(__file__).with_name("kernels.py.txt")


def module_source(table: ContractionTable, radial: RadialForm, cutoff: float) -> str:
    """The text of the module.

    Args:
        table: the contractions.
        radial: the radial functions.
        cutoff: Å.
    """
    products = distinct_products(table)
    count = range(len(table.basic))
    exponents = monomial_exponents(max(p + q + s for _, p, q, s in table.basic))[1:]
    parts: dict[str, Iterable[str]] = {
        "begin_moments": (f"m{i} = zero" for i in count),
        "radial_values": radial_lines(radial, cutoff, slopes=False),
        "monomials": list(_monomials(exponents)),
        "add_moments": (
            f"m{i} += {_times(f'R{mu}', _name(e))}" for i, (mu, *e) in enumerate(table.basic)
        ),
        "sum_moments": (f"m{i} = tl.sum(m{i}, axis=1)" for i in count),
        "join_moments": _joined("m", len(count)),
        "load_moments": (f"m{i} = tl.load(row + {i})" for i in count),
        "products": _products(products, len(count)),
        "join_slopes": _joined("d", len(count)),
        "load_slopes": (
            f"d{i} = tl.load(moments + {len(count)} * atom + {i}, mask=here, other=0.0).to(dtype)"
            for i in count
        ),
        "radial_slopes": radial_lines(radial, cutoff, slopes=True),
        "along": _along(table),
        "across": _across(table, exponents),
    }
    constants = {
        "$BEYOND": repr(float(ceil(cutoff))),
        "$BASIC": str(len(count)),
        "$WIDTH": str(_power_of_two(len(count))),
        "$slope_names": ", ".join(f"d{i}" for i in count),
    }
    text = TEMPLATE.read_text()
    for name, value in constants.items():
        text = text.replace(name, value)
    return re.sub(
        r"^( *)\$(\w+)$",
        lambda found: indent("\n".join(parts[found[2]]), found[1]),
        text,
        flags=re.M,
    )


def _name(exponents: Sequence[int]) -> str:
    """Of the monomial u_x^p u_y^q u_z^s: `uxxz` for (2, 0, 1), nothing for the constant."""
    letters = "".join(axis * e for axis, e in zip("xyz", exponents, strict=True))
    return letters and "u" + letters


def _times(*factors: str | int) -> str:
    return " * ".join(str(factor) for factor in factors if factor not in ("", 1)) or "1"


def _power_of_two(count: int) -> int:
    """The least power of two that is not less."""
    return 1 << (count - 1).bit_length()


def _joined(letter: str, count: int) -> Iterator[str]:
    """One block of rows, `joined`, from blocks of one column each."""
    width = _power_of_two(count)
    names = [f"{letter}{min(i, count - 1)}" for i in range(width)]
    while len(names) > 1:
        half = len(names) // 2
        joined = [f"j{half}_{i}" for i in range(half)]
        for i, name in enumerate(joined):
            yield f"{name} = tl.join({names[i]}, {names[i + half]})"
        names = joined
    yield f"joined = tl.reshape({names[0]}, [A, {width}])"


def _monomials(exponents: Iterable[Exponents]) -> Iterator[str]:
    for e in exponents:
        if sum(e) > 1:
            last = _name(e)[-1]
            yield f"{_name(e)} = {_name(e)[:-1]} * u{last}"


def _along(table: ContractionTable) -> Iterator[str]:
    """Slopes by r of the radial functions, times what multiplies them."""
    terms: dict[int, list[str]] = defaultdict(list)
    for i, (mu, *e) in enumerate(table.basic):
        terms[mu].append(_times(f"d{i}", _name(e)))
    yield "along = zero"
    for mu, of in terms.items():
        yield f"along += D{mu} * ({' + '.join(of)})"


def _across(table: ContractionTable, exponents: Iterable[Exponents]) -> Iterator[str]:
    """Derivatives by u: for each monomial, what multiplies it, times its derivatives."""
    yield "qx, qy, qz = zero, zero, zero"
    for e in exponents:
        factors = [f"R{mu} * d{i}" for i, (mu, *of) in enumerate(table.basic) if tuple(of) == e]
        if factors:
            yield f"factor = {' + '.join(factors)}"
            for axis, letter in enumerate("xyz"):
                if e[axis]:
                    less = [n - (i == axis) for i, n in enumerate(e)]
                    yield f"q{letter} += {_times(e[axis], 'factor', _name(less))}"


def _products(products: DistinctProducts, count: int) -> Iterator[str]:
    """The sum over scalars as `total`, and its slopes d{i} by the basic moments.

    Most products are scalars and nothing else: sums of them are taken with their slopes, a factor
    that they share at a time, so that no scalar is kept.
    """
    inner = {i for a, b, *_ in products.times for i in (a, b)} | set(range(count))
    scalars: dict[int, list[str]] = defaultdict(list)
    for q, moment in enumerate(products.mapping):
        scalars[moment].append(f"tl.load(xi + {q})")
    add = _Sums()
    for a, b, factor, o in products.times:
        if o in inner:
            yield add.to(f"m{o}", _times(factor, f"m{a}", f"m{b}"))
    yield "total = 0 * m0"
    for moment in sorted(inner & set(scalars)):
        yield add.to(f"d{moment}", " + ".join(scalars[moment]))
        yield f"total += d{moment} * m{moment}"
    last: dict[int, list[Product]] = defaultdict(list)
    for product in products.times:
        if product.output not in inner:
            last[product.first].append(product)
    for a, group in last.items():
        for number, (_, b, factor, o) in enumerate(group):
            yield f"x = {_times(factor, '(' + ' + '.join(scalars[o]) + ')')}"
            yield f"slope {'+=' if number else '='} x * m{b}"
            yield add.to(f"d{b}", f"x * m{a}")
        yield f"total += slope * m{a}"
        yield add.to(f"d{a}", "slope")
    for a, b, factor, o in reversed(products.times):
        if o in inner:
            yield f"slope = {_times(factor, f'd{o}')}"
            yield add.to(f"d{a}", f"slope * m{b}")
            yield add.to(f"d{b}", f"slope * m{a}")
    for i in range(count):
        yield f"d{i} = w * d{i}" if f"d{i}" in add.begun else f"d{i} = 0 * m0"


class _Sums:
    """Lines that add to variables, which begin with the first of them."""

    def __init__(self) -> None:
        self.begun: set[str] = set()

    def to(self, variable: str, term: str) -> str:
        operator = "+=" if variable in self.begun else "="
        self.begun.add(variable)
        return f"{variable} {operator} {term}"
