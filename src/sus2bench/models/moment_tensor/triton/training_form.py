"""What is filled into the template `training.py.txt` for one form of model.

Of the basic moment i, d{i} is its slope dE/dM, b{i} its mixed derivative, h{i} its change; R{mu},
D{mu} and E{mu} are a radial function and its derivatives by r, V{mu} and F{mu} the derivatives of
the objective by the first two.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from sus2bench.models.moment_tensor.contraction_table import ContractionTable
from sus2bench.models.moment_tensor.radial import RadialForm
from sus2bench.models.moment_tensor.triton.monomials import (
    Exponents,
    change_of,
    lower,
    monomial_changes,
    name_of,
    times,
)
from sus2bench.models.moment_tensor.triton.radial import parameter_lines, shared_coefficients


def training_parts(
    table: ContractionTable, radial: RadialForm, cutoff: float, exponents: list[Exponents]
) -> dict[str, Iterable[str]]:
    """Lines for each name that stands in the template and not in that of `form.py`, too."""
    shared = shared_coefficients(radial)
    return {
        "monomial_changes": monomial_changes(exponents),
        "add_changes": _add_changes(table),
        "by_functions": _by_functions(table, len(radial.scaling_of)),
        "radial_parameters": parameter_lines(radial, cutoff),
        "second_along": _second_along(table),
        "second_across": _second_across(table, exponents),
        "begin_shared": (f"{name} = zero" for name, _ in shared),
        "add_shared": (
            f'tl.atomic_add({place}, tl.sum({name}.to(tl.float64)), sem="relaxed")'
            for name, place in shared
        ),
    }


def _add_changes(table: ContractionTable) -> Iterator[str]:
    for i, (mu, *e) in enumerate(table.basic):
        yield f"h{i} += {times(f'D{mu}', 'dr', name_of(e))}"
        if sum(e):
            yield f"h{i} += R{mu} * {change_of(e)}"


def _by_functions(table: ContractionTable, functions: int) -> Iterator[str]:
    used = _by_function(table)
    yield from (f"V{mu}, F{mu} = zero, zero" for mu in range(functions) if mu not in used)
    for mu, of in used.items():
        by_value = [times(f"b{i}", name_of(e)) for i, e in of]
        by_value += [f"d{i} * {change_of(e)}" for i, e in of if sum(e)]
        by_slope = [times(f"d{i}", name_of(e)) for i, e in of]
        yield f"V{mu} = zero + {' + '.join(by_value)}"
        yield f"F{mu} = dr * ({' + '.join(by_slope)})"


def _second_along(table: ContractionTable) -> Iterator[str]:
    yield "outward, lengthwise = zero, zero"
    for mu, of in _by_function(table).items():
        yield f"slope = {' + '.join(times(f'd{i}', name_of(e)) for i, e in of)}"
        yield f"mixture = {' + '.join(times(f'b{i}', name_of(e)) for i, e in of)}"
        yield f"outward += E{mu} * dr * slope + D{mu} * mixture"
        yield f"lengthwise += D{mu} * slope"


def _second_across(table: ContractionTable, exponents: Iterable[Exponents]) -> Iterator[str]:
    """Sums over monomials of their derivatives by u: s of those times C0, q of those times X0.

    And their changes: along v by u times C1 in `outward`, of the derivatives times C0 in q.
    """
    yield "sx, sy, sz, qx, qy, qz = zero, zero, zero, zero, zero, zero"
    for e in exponents:
        of = [(mu, i) for i, (mu, *basic) in enumerate(table.basic) if tuple(basic) == e]
        if not of:
            continue
        yield f"C0 = {' + '.join(f'R{mu} * d{i}' for mu, i in of)}"
        yield f"C1 = {' + '.join(f'D{mu} * d{i}' for mu, i in of)}"
        yield f"X0 = C1 * dr + {' + '.join(f'R{mu} * b{i}' for mu, i in of)}"
        for axis, n, less in lower(e):
            yield f"s{axis} += {times(n, 'C0', name_of(less))}"
            yield f"q{axis} += {times(n, 'X0', name_of(less))}"
            yield f"outward += {times(n, 'C1', name_of(less), f'v{axis}')}"
            if sum(less):
                yield f"q{axis} += {times(n, 'C0', change_of(less))}"


def _by_function(table: ContractionTable) -> dict[int, list[tuple[int, Exponents]]]:
    """Of each radial function that is used, the basic moments and their exponents."""
    of: dict[int, list[tuple[int, Exponents]]] = defaultdict(list)
    for i, (mu, p, q, s) in enumerate(table.basic):
        of[mu].append((i, (p, q, s)))
    return of
