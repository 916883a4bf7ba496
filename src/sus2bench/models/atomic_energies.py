"""Atomic reference energies E0 and the energy scale, always in float64."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sus2bench.models.float64 import Float64Module


class AtomicEnergies(Float64Module):
    """E0 per species (eV, trainable) and the factor that turns a model's output into eV.

    Always in float64: total energies reach thousands of eV, of which float32 keeps only meV.

    Args:
        symbols: chemical symbols in type order.
        values: eV per symbol; zero where not given.

    Raises:
        ValueError: `values` names an element that is not among `symbols`, or is not finite.
    """

    scale: Tensor

    def __init__(self, symbols: Sequence[str], values: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.symbols = tuple(symbols)
        self.values = nn.Parameter(torch.zeros(len(self.symbols), dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))
        if values is not None:
            self.set_values(values)

    def set_values(self, values: Mapping[str, float]) -> None:
        """Sets E0 (eV) of the named elements."""
        unknown = sorted(set(values) - set(self.symbols))
        if unknown:
            raise ValueError(
                f"atomic energies are given for {unknown}, but the model's species are "
                f"{list(self.symbols)}"
            )
        new = self.values.detach().clone()
        for symbol, value in values.items():
            new[self.symbols.index(symbol)] = float(value)
        if not bool(torch.isfinite(new).all()):
            raise ValueError(f"atomic energies must be finite, got {dict(values)}")
        with torch.no_grad():
            self.values.copy_(new)

    def as_dict(self) -> dict[str, float]:
        """E0 in eV by chemical symbol."""
        return dict(zip(self.symbols, self.values.detach().tolist(), strict=True))

    def forward(self, site_energies: Tensor, types: Tensor) -> Tensor:
        """Scales a model's output (N,) and adds E0 of each atom's type; float64, eV."""
        return site_energies.to(torch.float64) * self.scale + self.values[types]
