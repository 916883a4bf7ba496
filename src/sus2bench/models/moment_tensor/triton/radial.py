"""Text of Triton that evaluates radial functions of one block of edges.

It reads what the kernels of `form.py` have: r, the types `a` and `b` of centre and neighbour, the
number of `species`, and the parameters `p0`, `p1`, ..; it leaves R{mu}, dR/dr as D{mu}, and r less
the cutoff as `inside`, 0 beyond it. Numbers stand where they are used: Triton keeps all digits of
one that is added to a tensor or multiplies one, but makes float32 of one that is given a name, or
compared.
"""

from collections.abc import Iterator

from sus2bench.models.moment_tensor.radial import RadialForm

_EMBEDDED = {
    "tanh": ("t = 1 - 2 / (tl.exp(2 * s) + 1)", "k * (1 - t * t)"),
    "rational": ("t = s / tl.sqrt(1 + s * s)", "k * (1 - t * t) / tl.sqrt(1 + s * s)"),
}
"""Of the argument s: the function, and its slope by r where ds/dr = k."""


def radial_lines(form: RadialForm, cutoff: float, *, slopes: bool) -> list[str]:
    """Lines that give R{mu} of all functions, and D{mu} if slopes are wanted."""
    lines = [f"inside = tl.minimum(r - {cutoff!r}, 0.0)"]
    if form.kind == "sus2":
        lines += [
            f"factor = {form.scaling!r} * tl.load(p3 + a) * tl.load(p3 + b)",
            "envelope = factor * inside * inside",
            "steepness = 2 * factor * inside",
            "pair = a * species + b",
            *_universal(form, slopes),
        ]
    else:
        lines += [
            f"envelope = {form.scaling!r} * inside * inside",
            f"steepness = {2 * form.scaling!r} * inside",
            *_of_pairs(form, cutoff, slopes),
        ]
    return lines


def _universal(form: RadialForm, slopes: bool) -> Iterator[str]:
    """One series for all pairs, of an argument whose scale and centre are the pair's."""
    embedded, slope = _EMBEDDED[form.embedding]
    for scaling in range(max(form.scaling_of) + 1):
        place = f"{scaling} * species * species + pair"
        yield f"k = 0.5 * tl.load(p0 + {place})"
        yield f"s = k * (r - tl.load(p1 + {place}))"
        yield embedded
        if slopes:
            yield f"stretch = {slope}"
        yield from _polynomials(form.size, slopes)
        for mu in (mu for mu, of in enumerate(form.scaling_of) if of == scaling):
            for n in range(form.size):
                yield f"c{n} = tl.load(p2 + {mu * form.size + n})"
            yield from _function(mu, form.size, "stretch" if slopes else None)


def _of_pairs(form: RadialForm, cutoff: float, slopes: bool) -> Iterator[str]:
    """A series of its own for every pair, of one argument for all."""
    stretch = 2 / (cutoff - form.min_dist)
    functions = len(form.scaling_of)
    yield f"t = {stretch!r} * (r - {(form.min_dist + cutoff) / 2!r})"
    yield f"series = p0 + (a * species + b) * {functions * form.size}"
    yield from _polynomials(form.size, slopes)
    for mu in range(functions):
        for n in range(form.size):
            yield f"c{n} = tl.load(series + {mu * form.size + n})"
        yield from _function(mu, form.size, repr(stretch) if slopes else None)


def _polynomials(size: int, slopes: bool) -> Iterator[str]:
    """T_n(t) as T{n} and their derivatives as P{n}; T_0 = 1, T_1 = t, P_1 = 1 have no names."""
    values, derivatives = ["1", "t"], ["0", "1"]
    for n in range(2, size):
        yield f"T{n} = 2 * t * {values[-1]} - {values[-2]}"
        if slopes:
            yield f"P{n} = 2 * {values[-1]} + 2 * t * {derivatives[-1]} - {derivatives[-2]}"
        values.append(f"T{n}")
        derivatives.append(f"P{n}")


def _function(mu: int, size: int, stretch: str | None) -> Iterator[str]:
    """R{mu}; and D{mu}, if `stretch`, the slope of t by r, is given."""
    value = ["c0", "c1 * t", *(f"c{n} * T{n}" for n in range(2, size))][:size]
    slope = ["c1", *(f"c{n} * P{n}" for n in range(2, size))][: size - 1]
    yield f"S = {' + '.join(value)}"
    yield f"R{mu} = envelope * S"
    if stretch is not None:
        change = f" + envelope * {stretch} * ({' + '.join(slope)})" if slope else ""
        yield f"D{mu} = steepness * S{change}"
