"""Atomic reference energies E0 and the energy scale, always in float64."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sus2bench.models.float64 import Float64Module


class AtomicEnergies(Float64Module):
    """E0 per species (eV, trainable) and the factor that turns a model's output into eV.

    Where the energies of isolated atoms are held, E0 is what they leave beside the model's own
    energy of such an atom, and is not trained. Always in float64: total energies reach thousands of
    eV, of which float32 keeps only meV.

    Args:
        symbols: chemical symbols in type order.
        values: eV per symbol; zero where not given.

    Attributes:
        isolated: energies of isolated atoms that are held, eV (C,), or None.

    Raises:
        ValueError: `values` names an element that is not among `symbols`, or is not finite.
    """

    scale: Tensor
    isolated: Tensor | None

    def __init__(self, symbols: Sequence[str], values: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.symbols = tuple(symbols)
        self.values = nn.Parameter(torch.zeros(len(self.symbols), dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("isolated", None, persistent=False)
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

    def hold(self, isolated: Tensor) -> None:
        """Holds energies of isolated atoms (C,), eV; E0 is no longer trained."""
        self.isolated = isolated.detach().to(self.values).clone()
        self.values.requires_grad_(False)

    def beside(self, lone: Tensor) -> Tensor:
        """E0 (C,) in eV, given the model's output (C,) for isolated atoms of each type."""
        if self.isolated is None:
            return self.values
        return self.isolated - lone.to(torch.float64) * self.scale

    def forward(self, site_energies: Tensor, types: Tensor, values: Tensor | None = None) -> Tensor:
        """Scales a model's output (N,) and adds E0 of each atom's type; float64, eV.

        Args:
            site_energies: the model's output (N,).
            types: (N,).
            values: E0 (C,) in place of the stored values.
        """
        values = self.values if values is None else values
        return site_energies.to(torch.float64) * self.scale + values[types]
