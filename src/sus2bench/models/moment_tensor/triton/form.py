"""The text of a Triton module: two templates, filled in for one form of model.

    kernels.py.txt
        basic_moments   edges -> basic moments M (N, basic), summed in registers
        contract        M -> site energies, and dE/dM in the place of M, in float64
        edge_gradient   edges and dE/dM -> dE/dr of each edge, or forces and virials of atoms
    training.py.txt
        moments_and_changes   edges and their changes -> M and its change
        parameter_gradient    edges and derivatives by both -> those by the radial parameters

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
from collections.abc import Iterable, Iterator
from math import ceil
from pathlib import Path
from textwrap import indent

from sus2bench.models.moment_tensor.contraction_table import ContractionTable, Product
from sus2bench.models.moment_tensor.distinct_products import DistinctProducts, distinct_products
from sus2bench.models.moment_tensor.moments import monomial_exponents
from sus2bench.models.moment_tensor.radial import RadialForm
from sus2bench.models.moment_tensor.triton.monomials import (
    Exponents,
    lower,
    monomials,
    name_of,
    times,
)
from sus2bench.models.moment_tensor.triton.radial import radial_lines
from sus2bench.models.moment_tensor.triton.training_form import training_parts

TEMPLATES = [Path(__file__).with_name(f"{name}.py.txt") for name in ("kernels", "training")]


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
    load = f"tl.load({{}} + {len(count)} * atom + {{}}, mask=here, other=0.0).to(dtype)"
    parts: dict[str, Iterable[str]] = {
        "begin_moments": (f"m{i} = zero" for i in count),
        "radial_values": radial_lines(radial, cutoff, slopes=False),
        "monomials": monomials(exponents),
        "add_moments": (
            f"m{i} += {times(f'R{mu}', name_of(e))}" for i, (mu, *e) in enumerate(table.basic)
        ),
        "sum_moments": (f"m{i} = tl.sum(m{i}, axis=1)" for i in count),
        "join_moments": _joined("m", len(count)),
        "begin_changes": (f"h{i} = zero" for i in count),
        "sum_changes": (f"h{i} = tl.sum(h{i}, axis=1)" for i in count),
        "join_changes": _joined("h", len(count)),
        "load_moments": (f"m{i} = tl.load(row + {i})" for i in count),
        "products": _products(products, len(count)),
        "join_slopes": _joined("d", len(count)),
        "load_slopes": (f"d{i} = {load.format('moments', i)}" for i in count),
        "load_mixed": (f"b{i} = {load.format('mixed', i)}" for i in count),
        "radial_slopes": radial_lines(radial, cutoff, slopes=True),
        "along": _along(table),
        "across": _across(table, exponents),
        **training_parts(table, radial, cutoff, exponents),
    }
    lines = {name: "\n".join(part) for name, part in parts.items()}
    constants = {
        "$BEYOND": repr(float(ceil(cutoff))),
        "$BASIC": str(len(count)),
        "$WIDTH": str(_power_of_two(len(count))),
        "$slope_names": ", ".join(f"d{i}" for i in count),
    }
    text = "".join(template.read_text() for template in TEMPLATES)
    for name, value in constants.items():
        text = text.replace(name, value)
    return re.sub(
        r"^( *)\$(\w+)$",
        lambda found: indent(lines[found[2]], found[1]),
        text,
        flags=re.M,
    )


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


def _along(table: ContractionTable) -> Iterator[str]:
    """Slopes by r of the radial functions, times what multiplies them."""
    terms: dict[int, list[str]] = defaultdict(list)
    for i, (mu, *e) in enumerate(table.basic):
        terms[mu].append(times(f"d{i}", name_of(e)))
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
            for axis, n, less in lower(e):
                yield f"q{axis} += {times(n, 'factor', name_of(less))}"


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
            yield add.to(f"m{o}", times(factor, f"m{a}", f"m{b}"))
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
            yield f"x = {times(factor, '(' + ' + '.join(scalars[o]) + ')')}"
            yield f"slope {'+=' if number else '='} x * m{b}"
            yield add.to(f"d{b}", f"x * m{a}")
        yield f"total += slope * m{a}"
        yield add.to(f"d{a}", "slope")
    for a, b, factor, o in reversed(products.times):
        if o in inner:
            yield f"slope = {times(factor, f'd{o}')}"
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
