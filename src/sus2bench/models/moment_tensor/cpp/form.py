"""`form.h`: everything of a model that its kernel is compiled for, as constants of C++."""

from collections.abc import Iterable

from sus2bench.models.moment_tensor.contraction_table import ContractionTable
from sus2bench.models.moment_tensor.distinct_products import distinct_products
from sus2bench.models.moment_tensor.moments import monomial_exponents
from sus2bench.models.moment_tensor.radial import RadialForm


def form_header(table: ContractionTable, radial: RadialForm, weighted: bool) -> str:
    """The text of `form.h`.

    Args:
        table: the contractions.
        radial: the radial functions.
        weighted: whether site energies are w (1 + sum) rather than the sum.
    """
    exponents = monomial_exponents(max(p + q + s for _, p, q, s in table.basic))
    number = {exponent: i for i, exponent in enumerate(exponents)}
    lower = [[number.get(_less(e, axis), 0) for axis in range(3)] for e in exponents]
    axis = [next((i for i in range(3) if e[i]), 0) for e in exponents]
    products = distinct_products(table)
    # C++ has no arrays without elements; a product with the factor 0 changes nothing.
    times = [(a, b, m, o) for a, b, m, o in products.times] or [(0, 0, 0, 0)]
    lines = [
        "// Made from the contraction table of a model.",
        "#pragma once",
        f'#define RADIAL "radial_{radial.kind}.h"',
        f"#define EMBED {radial.embedding}_of",
        *(
            f"constexpr int {name} = {value};"
            for name, value in {
                "FUNCTIONS": len(radial.scaling_of),
                "SCALINGS": max(radial.scaling_of) + 1,
                "SIZE": radial.size,
                "BASIC": len(table.basic),
                "MONOMIALS": len(exponents),
                "MOMENTS": products.moment_count,
                "PRODUCT_COUNT": len(times),
                "SCALARS": len(products.mapping),
            }.items()
        ),
        f"constexpr bool WEIGHTED = {str(weighted).lower()};",
        _array("int SCALING_OF[FUNCTIONS]", radial.scaling_of),
        _array("int FUNCTION_OF[BASIC]", [moment.mu for moment in table.basic]),
        _array("int MONOMIAL_OF[BASIC]", [number[p, q, s] for _, p, q, s in table.basic]),
        _array("int EXPONENT[MONOMIALS][3]", [_braces(e) for e in exponents]),
        _array("int LOWER[MONOMIALS][3]", [_braces(e) for e in lower]),
        _array("int AXIS[MONOMIALS]", axis),
        "struct Product {\n    int a, b;\n    double factor;\n    int out;\n};",
        _array("Product PRODUCTS[PRODUCT_COUNT]", [_braces(term) for term in times]),
        _array("int SCALAR[SCALARS]", products.mapping),
    ]
    return "\n".join(lines) + "\n"


def _less(exponent: tuple[int, int, int], axis: int) -> tuple[int, int, int]:
    p, q, s = (e - (i == axis) for i, e in enumerate(exponent))
    return p, q, s


def _braces(values: Iterable[int]) -> str:
    return "{" + ", ".join(str(value) for value in values) + "}"


def _array(declaration: str, values: Iterable[object]) -> str:
    return f"constexpr {declaration} = {{{', '.join(str(value) for value in values)}}};"
