"""Functions compiled ahead of their first call and kept in the cache, under a key of their form.

They are traced with the numbers of atoms and of neighbours as symbols, and exported with both free
from 2 on, which fails if anything in them depends on a size: no frame can make them compile again.
"""

import hashlib
import inspect
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from sus2bench.atoms.files import write_atomically
from sus2bench.data.cache import default_cache_folder
from sus2bench.models.inductor import inductor_apart
from sus2bench.models.moment_tensor import chebyshev, moments, readout, site_energies
from sus2bench.models.moment_tensor.backend import BackendMissingError
from sus2bench.models.moment_tensor.compiled import functions
from sus2bench.models.moment_tensor.compiler import compiler_for, native_code

if TYPE_CHECKING:
    from sus2bench.models.moment_tensor.base import MomentTensorModel

logger = logging.getLogger(__name__)

ENERGIES, ADJOINT = "energies", "adjoint"

_REMEDY = "choose backend=eager"

Compiled = Callable[[list[Tensor]], list[Tensor]]


class CompilationError(BackendMissingError):
    """The functions cannot be compiled here; the message says why, and what to do."""


class _Form(NamedTuple):
    """Everything that a compiled function depends on."""

    what: str
    header: str
    """The form of the model, as the C++ backend has it."""
    constants: tuple[float, ...]
    shapes: tuple[tuple[int, ...], ...]
    """Of the parameters."""
    dtype: torch.dtype
    device: torch.device


_loaded: dict[_Form, Compiled] = {}


def compiled(model: "MomentTensorModel", what: str) -> Compiled:
    """The function for the form, dtype and device of a model.

    Args:
        model: its parameters are arguments of the function.
        what: `energies` or `adjoint`, of `PureFunctions`.

    Raises:
        CompilerMissingError, CompilationError: it cannot be compiled here.
    """
    form = _form(model, what)
    if form not in _loaded:
        _compiler()
        path = default_cache_folder() / "compiled" / f"{_key(form, model)}.pt2"
        try:
            if not path.is_file():
                logger.info("compiling the %s of this model, once: %s", what, path)
                write_atomically(path, lambda part: _build(model, form, part))
            _loaded[form] = _load(path, form.device)
        except Exception as error:  # compilers raise what they like
            lines = str(error).strip().splitlines() or [""]
            raise CompilationError(
                f"the backend 'compile' cannot compile this model, {_REMEDY}. For a GPU it needs "
                f"the CUDA toolkit. The compiler said: {type(error).__name__}: {lines[0][:300]}"
            ) from error
    return _loaded[form]


def _form(model: "MomentTensorModel", what: str) -> _Form:
    radial = model.radial.kernel_form()
    return _Form(
        what,
        model.kernel_header,
        (model.cutoff, radial.scaling, radial.min_dist),
        tuple(tuple(parameter.shape) for parameter in model.parameters()),
        model.dtype,
        model.readout.coefficients.device,
    )


def _compiler() -> str:
    return compiler_for("compile", "clang++" if sys.platform == "darwin" else "g++")


def _key(form: _Form, model: "MomentTensorModel") -> str:
    """Of the form, the sources, the compiler and the processor or accelerator."""
    described = form._replace(device=torch.device(form.device.type))
    digest = hashlib.sha256(repr((described, torch.__version__)).encode())
    radial: list[Any] = [type(part) for part in model.radial.modules()]
    for part in [functions, site_energies, chebyshev, moments, readout, *radial, _build]:
        digest.update(Path(inspect.getfile(part)).read_bytes())
    digest.update(native_code(_compiler()))
    if form.device.type == "cuda":
        digest.update(repr(torch.cuda.get_device_properties(form.device)).encode())
    return digest.hexdigest()[:32]


def _build(model: "MomentTensorModel", form: _Form, path: Path) -> None:
    pure = functions.PureFunctions(model)
    inputs, sizes = _example(pure, form)
    function = getattr(pure, form.what)
    with inductor_apart():
        from torch import _inductor
        from torch.fx.experimental.proxy_tensor import make_fx

        # Index tables become constants.
        traced = make_fx(function, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*inputs)
        program = torch.export.export(traced, tuple(inputs), dynamic_shapes=sizes)
        settings: dict[str, Any] = {
            "cpp.cxx": (_compiler(),),
            # As many as torch has at a call. Code for one thread only does not compile where sums
            # are made by an index by which something is read, too (pytorch issue 181621).
            "cpp.dynamic_threads": True,
            "cpp.threads": max(2, os.cpu_count() or 1),
            # Types and neighbours are checked before.
            "assert_indirect_indexing": False,
        }
        _inductor.aoti_compile_and_package(
            program, package_path=str(path), inductor_configs=settings
        )


def _example(
    pure: functions.PureFunctions, form: _Form
) -> tuple[list[Tensor], tuple[dict[int, Any] | None, ...]]:
    """Arguments of a function, and which of their sizes are free."""
    parameters = [tensor.detach() for tensor in pure.inputs().values()]
    # Equal sizes would be taken for one and the same by the trace.
    taken = {size for parameter in parameters for size in parameter.shape}
    slots, atoms = (
        next(size for size in range(start, sys.maxsize) if size not in taken) for start in (50, 200)
    )
    device = form.device
    vectors = torch.rand(atoms, slots, 3, dtype=form.dtype, device=device)
    types = torch.zeros(atoms, dtype=torch.long, device=device)
    neighbours = torch.zeros(atoms, slots, dtype=torch.long, device=device)
    along = {0: torch.export.Dim("atoms", min=2), 1: torch.export.Dim("slots", min=2)}
    arguments: list[tuple[Tensor, dict[int, Any]]] = [
        (vectors, along),
        (types, {0: along[0]}),
        (neighbours, along),
    ]
    if form.what == ADJOINT:
        site = torch.ones(atoms, dtype=torch.float64, device=device)
        arguments += [(site, {0: along[0]}), (torch.ones_like(vectors), along)]
    tensors, free = zip(*arguments, strict=True)
    return [*tensors, *parameters], (*free, *(None for _ in parameters))


def _load(path: Path, device: torch.device) -> Compiled:
    index = -1 if device.index is None else device.index
    with inductor_apart():
        # Its import writes to the environment.
        from torch import _inductor

        loader = _inductor.aoti_load_package(str(path), device_index=index).loader

    def call(arguments: Sequence[Tensor]) -> list[Tensor]:
        results: list[Tensor] = loader.run(list(arguments))
        return results

    return call
