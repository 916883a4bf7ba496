"""Traces a function of edge vectors, with everything that depends on the graph alone as constants.

Models lay out neighbours by their number around each atom. A plain trace stops there, because the
sizes of tensors would depend on values; but these values are those of the graph, which stays.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing, make_fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

COMPARISONS = {
    torch.ops.aten.lt,
    torch.ops.aten.le,
    torch.ops.aten.gt,
    torch.ops.aten.ge,
    torch.ops.aten.eq,
    torch.ops.aten.ne,
}


def trace(
    function: Callable[[Tensor], Any], vectors: Tensor, *, fixed_comparisons: bool = False
) -> GraphModule:
    """The operations of a function of edge vectors (E, 3), gradients that it takes included.

    Args:
        function: of the vectors; whatever else it uses becomes a constant.
        vectors: an example; the function is good for others of its shape.
        fixed_comparisons: whether comparisons of real numbers come out as for the example: models
            that leave out edges by their length can be traced in no other way.
    """

    def folded(vectors: Tensor) -> Any:
        with _GraphIsConstant(vectors, fixed_comparisons):
            return function(vectors)

    traced: GraphModule = make_fx(folded)(vectors)
    return traced


class _GraphIsConstant(TorchDispatchMode):
    """Keeps out of a trace what is computed from integers and booleans that are no part of it.

    Operations on real numbers are traced, those on parameters too: only the graph may be dealt with
    beforehand, not work that every prediction has to do.

    Args:
        vectors: the input of the trace.
        fixed_comparisons: whether comparisons belong to the graph.
    """

    def __init__(self, vectors: Tensor, fixed_comparisons: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fixed_comparisons = fixed_comparisons
        # By identity, and kept so that none is taken over by another tensor.
        self._traced = {id(vectors): vectors}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = _tensors((args, kwargs))
        if self._fixed_comparisons and func.overloadpacket in COMPARISONS:
            with disable_proxy_modes_tracing():
                return func(*args, **kwargs)
        if not any(id(t) in self._traced or t.is_floating_point() for t in inputs):
            with disable_proxy_modes_tracing():
                result = func(*args, **kwargs)
            # New real numbers may be written to later on, so that they belong to the trace.
            if inputs or not any(t.is_floating_point() for t in _tensors(result)):
                return result
        result = func(*args, **kwargs)
        self._traced |= {id(t): t for t in _tensors(result)}
        return result


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
