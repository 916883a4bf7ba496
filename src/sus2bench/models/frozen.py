"""The linear baseline: a potential of another kind whose radial functions keep their first values.

What is left is linear, and is solved for exactly. How far a model comes this way shows what its
scalars are worth before anything is learned about them.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, cast

from torch import Tensor
from torch_geometric.data import Data

from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.linear import HasLinearReadout, LinearResponse
from sus2bench.models.potential import model_class
from sus2bench.models.scaling import ScalesToData

_TARGET = "_target_"


class FrozenRadial(SiteEnergyModel):
    """A model with a linear readout, none of whose parameters takes gradient steps.

    Its linear coefficients are set by the exact solve, all others stay as they were made.

    Args:
        species: chemical symbols in type order.
        cutoff: of the model inside too, Å.
        model: the model inside: `_target_`, the dotted path of its class, and its arguments
            without species and cutoff.

    Raises:
        ValueError: `model` names no class, its species or cutoff, or a class without a linear
            readout.
    """

    def __init__(
        self, species: Sequence[str | int], cutoff: float = 6.0, *, model: Mapping[str, Any]
    ) -> None:
        super().__init__(species, cutoff)
        arguments = dict(model)
        target = str(arguments.pop(_TARGET, ""))
        taken = sorted({"species", "cutoff"} & set(arguments))
        if taken:
            raise ValueError(f"model.{taken[0]} is that of the frozen model: leave it out of model")
        inner = model_class(target)(list(self.symbols), cutoff=self.cutoff, **arguments)
        if not isinstance(inner, HasLinearReadout):
            raise ValueError(
                f"{target} has no linear readout, so that nothing could be fitted once it is "
                "frozen; use a model such as sus2bench.models.sus2.SUS2"
            )
        self.model: SiteEnergyModel = inner.requires_grad_(False)
        self.strictly_local = inner.strictly_local

    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,) of the model inside, eV."""
        site: Tensor = self.model(frame)
        return site

    @property
    def _readout(self) -> HasLinearReadout:
        return cast(HasLinearReadout, self.model)

    def linear_response(self, frame: Data) -> LinearResponse:
        """Derivatives by the coefficients of the model inside."""
        return self._readout.linear_response(frame)

    @property
    def linear_coefficients(self) -> Tensor:
        """The P coefficients of the model inside, float64."""
        return self._readout.linear_coefficients

    def set_linear_coefficients(self, values: Tensor, units: Tensor | None = None) -> None:
        """Sets them, and their units if given."""
        self._readout.set_linear_coefficients(values, units)

    def scale_to_data(self, batches: Iterable[Data]) -> dict[str, Any]:
        """Passes the training data on to a model inside that takes constants from them."""
        return self.model.scale_to_data(batches) if isinstance(self.model, ScalesToData) else {}

    def for_inference(self) -> tuple[SiteEnergyModel, str]:
        """The fastest form of the model inside."""
        fast, mode = self.model.for_inference()
        return (self, mode) if fast is self.model else (fast, mode)

    def parameter_blocks(self, pairs: Set[tuple[int, int]]) -> dict[str, dict[str, int]]:
        """Coefficients, which the solve sets, and the frozen rest.

        Args:
            pairs: as the model inside takes them, if it counts its own parameters.
        """
        count_blocks = getattr(self.model, "parameter_blocks", None)
        if count_blocks is not None:
            stored = sum(block["stored"] for block in count_blocks(set(pairs)).values())
        else:
            stored = sum(parameter.numel() for parameter in self.model.parameters())
        solved = self.linear_coefficients.numel()
        return {
            "linear_coefficients": {"stored": solved, "trainable": solved, "effective": solved},
            "frozen": {"stored": stored - solved, "trainable": 0, "effective": 0},
        }

    def block_parameters(self) -> dict[str, tuple[str, ...]]:
        """The blocks of the model inside, if it names them."""
        name_blocks = getattr(self.model, "block_parameters", None)
        named = {} if name_blocks is None else name_blocks()
        return {block: tuple(f"model.{name}" for name in names) for block, names in named.items()}

    def hyperparameters(self) -> dict[str, Any]:
        """Plain data that rebuilds the module."""
        kind = type(self.model)
        arguments = self.model.hyperparameters()
        return {
            "species": list(self.symbols),
            "cutoff": self.cutoff,
            "model": {
                _TARGET: f"{kind.__module__}.{kind.__qualname__}",
                **{k: v for k, v in arguments.items() if k not in ("species", "cutoff")},
            },
        }
