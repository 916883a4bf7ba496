"""Text of Triton that evaluates radial functions of one block of edges, and sums their gradient.

It reads what the kernels of `form.py` have: r, the types `a` and `b` of centre and neighbour, the
number of `species`, and the parameters `p0`, `p1`, ..; it leaves R{mu}, dR/dr as D{mu}, and r less
the cutoff as `inside`, 0 beyond it. Numbers stand where they are used: Triton keeps all digits of
one that is added to a tensor or multiplies one, but makes float32 of one that is given a name, or
compared.

    R = f g S,   g = inside^2,   S = sum_n c_n T_n(t)

f is `factor`, the product of the two betas and of the scaling in SUS2, of t = tanh(s) or another
embedding and s = k (r - r0); and the scaling alone in MTP, whose t is linear in r.
"""

from collections.abc import Iterator

from sus2bench.models.moment_tensor.radial import RadialForm

_EMBEDDED = {
    "tanh": ("t = 1 - 2 / (tl.exp(2 * s) + 1)", "1 - t * t", "-2 * t * t1"),
    "rational": (
        "t = s / tl.sqrt(1 + s * s)",
        "(1 - t * t) / tl.sqrt(1 + s * s)",
        "-3 * t * (1 - t * t) * (1 - t * t)",
    ),
}
"""Of the argument s: the function, and its first and second derivative, t1 and t2."""


def radial_lines(form: RadialForm, cutoff: float, *, slopes: bool) -> Iterator[str]:
    """Lines that give R{mu} of all functions, and D{mu} if slopes are wanted."""
    order = 1 if slopes else 0
    yield from _factor(form, cutoff)
    yield "envelope = factor * inside * inside"
    yield "steepness = 2 * factor * inside"
    for scaling, functions in _scalings(form):
        yield from _argument(form, scaling, cutoff, order)
        yield from _polynomials(form.size, order)
        for mu in functions:
            yield from _coefficients(form, mu)
            yield f"S = {_series('T', form.size)}"
            yield f"R{mu} = envelope * S"
            if slopes:
                yield f"D{mu} = steepness * S + envelope * stretch * ({_series('P', form.size)})"


def parameter_lines(form: RadialForm, cutoff: float) -> Iterator[str]:
    """Lines that add to the gradient of an objective by the parameters, at the address `copy`.

    They read V{mu} and F{mu}, the derivatives of the objective by R{mu} and D{mu}, and leave
    R{mu}, D{mu} and the second derivative E{mu} by r. Those of the coefficients of SUS2, which all
    edges share, are added to C{mu}_{n}; see `shared_coefficients`.
    """
    yield from _factor(form, cutoff)
    yield "g = inside * inside"
    yield "g1 = 2 * inside"
    # Of g = (r - r_c)^2, cut off.
    yield "g2 = tl.where(inside < 0, zero + 2, zero)"
    yield "reached = there & (inside < 0)"
    yield "by_factor = zero"
    for scaling, functions in _scalings(form):
        yield from _argument(form, scaling, cutoff, 2)
        yield from _polynomials(form.size, 2)
        yield "by_s, by_k = zero, zero"
        for mu in functions:
            yield from _coefficients(form, mu)
            yield f"S = {_series('T', form.size)}"
            yield f"s1 = {_series('P', form.size)}"
            yield f"s2 = {_series('Q', form.size)}"
            yield from _derivatives(form)
            yield f"R{mu} = factor * g * S"
            yield f"D{mu} = factor * (g1 * S + g * S1)"
            yield f"E{mu} = factor * (g2 * S + 2 * g1 * S1 + g * S2)"
            yield f"by_S = V{mu} * g + F{mu} * g1"
            yield f"by_S1 = F{mu} * g"
            yield from _add(form, mu)
        if form.kind == "sus2":
            yield f"place = copy + {scaling} * species * species + pair"
            yield "by_k = 0.5 * (by_s * (r - r0) + by_k)"
            yield from _atomic_add("place", "by_k")
            yield f"place += {max(form.scaling_of) + 1} * species * species"
            yield from _atomic_add("place", "-k * by_s")
    if form.kind == "sus2":
        yield f"place = copy + {_first_coefficient(form)}"
        yield f"place += {len(form.scaling_of) * form.size}"
        yield f"by_factor = {form.scaling!r} * by_factor"
        yield from _atomic_add("place + a + zero.to(tl.int64)", "by_factor * beta_b")
        yield from _atomic_add("place + b", "by_factor * beta_a")


def shared_coefficients(form: RadialForm) -> list[tuple[str, str]]:
    """Names of what is summed over all edges, and where it is added to in the gradient."""
    if form.kind != "sus2":
        return []
    numbers = ((mu, n) for mu in range(len(form.scaling_of)) for n in range(form.size))
    return [
        (f"C{mu}_{n}", f"copy + {_first_coefficient(form)} + {mu * form.size + n}")
        for mu, n in numbers
    ]


def _scalings(form: RadialForm) -> Iterator[tuple[int, list[int]]]:
    """The arguments, and of each the functions that are made of it."""
    for scaling in range(max(form.scaling_of) + 1):
        yield scaling, [mu for mu, of in enumerate(form.scaling_of) if of == scaling]


def _first_coefficient(form: RadialForm) -> str:
    return f"{2 * (max(form.scaling_of) + 1)} * species * species"


def _factor(form: RadialForm, cutoff: float) -> Iterator[str]:
    yield f"inside = tl.minimum(r - {cutoff!r}, 0.0)"
    yield "pair = a * species + b"
    if form.kind == "sus2":
        yield "beta_a, beta_b = tl.load(p3 + a), tl.load(p3 + b)"
        yield f"factor = {form.scaling!r} * beta_a * beta_b"
    else:
        yield f"factor = zero + {form.scaling!r}"


def _argument(form: RadialForm, scaling: int, cutoff: float, order: int) -> Iterator[str]:
    """The argument t of the polynomials; from order 1 on its slope by r as `stretch`."""
    if form.kind == "sus2":
        value, first, second = _EMBEDDED[form.embedding]
        place = f"{scaling} * species * species + pair"
        yield f"k = 0.5 * tl.load(p0 + {place})"
        yield f"r0 = tl.load(p1 + {place})"
        yield "s = k * (r - r0)"
        yield value
        if order:
            yield f"t1 = {first}"
            yield "stretch = k * t1"
        if order > 1:
            yield f"t2 = {second}"
    else:
        factor = 2 / (cutoff - form.min_dist)
        yield f"t = {factor!r} * (r - {(form.min_dist + cutoff) / 2!r})"
        yield f"stretch = zero + {factor!r}"


def _polynomials(size: int, order: int) -> Iterator[str]:
    """T_n(t) as T{n}, and up to an order their derivatives P{n} and Q{n}."""
    yield "T0, T1 = zero + 1, t"
    yield "P0, P1 = zero, zero + 1"
    yield "Q0, Q1 = zero, zero"
    for n in range(2, size):
        yield f"T{n} = 2 * t * T{n - 1} - T{n - 2}"
        if order:
            yield f"P{n} = 2 * T{n - 1} + 2 * t * P{n - 1} - P{n - 2}"
        if order > 1:
            yield f"Q{n} = 4 * P{n - 1} + 2 * t * Q{n - 1} - Q{n - 2}"


def _coefficients(form: RadialForm, mu: int) -> Iterator[str]:
    for n in range(form.size):
        if form.kind == "sus2":
            yield f"c{n} = tl.load(p2 + {mu * form.size + n})"
        else:
            functions = len(form.scaling_of)
            yield f"c{n} = tl.load(p0 + pair * {functions * form.size} + {mu * form.size + n})"


def _series(polynomials: str, size: int) -> str:
    first = "TPQ".index(polynomials)
    terms = [f"c{n} * {polynomials}{n}" for n in range(first, size)]
    return " + ".join(terms) or "zero"


def _derivatives(form: RadialForm) -> Iterator[str]:
    """S1 and S2 by r from those by t; for SUS2 those by s in between, as s1 and s2."""
    if form.kind == "sus2":
        yield "s2 = s2 * t1 * t1 + s1 * t2"
        yield "s1 = s1 * t1"
        yield "S1, S2 = k * s1, k * k * s2"
    else:
        yield "S1, S2 = stretch * s1, stretch * stretch * s2"


def _add(form: RadialForm, mu: int) -> Iterator[str]:
    """From the derivatives by S and S1 to those by the parameters of a function."""
    if form.kind == "sus2":
        yield "by_factor += by_S * S + by_S1 * S1"
        yield "by_S, by_S1 = factor * by_S, factor * by_S1"
        yield "by_s += by_S * s1 + by_S1 * k * s2"
        yield "by_k += by_S1 * s1"
        for n in range(form.size):
            yield f"C{mu}_{n} += by_S * T{n}" + (f" + by_S1 * stretch * P{n}" if n else "")
        return
    yield "by_S, by_S1 = factor * by_S, factor * by_S1 * stretch"
    place = f"copy + pair * {len(form.scaling_of) * form.size}"
    for n in range(form.size):
        at = f"{place} + {mu * form.size + n}"
        yield from _atomic_add(at, f"by_S * T{n}" + (f" + by_S1 * P{n}" if n else ""))


def _atomic_add(place: str, value: str) -> Iterator[str]:
    yield f'tl.atomic_add({place}, ({value}).to(tl.float64), mask=reached, sem="relaxed")'
