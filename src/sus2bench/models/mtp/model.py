"""MTP: the moment tensor potential, E_i - E0 = sum_q xi[q] B_q(i)."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import torch

from sus2bench.models.moment_tensor.base import EAGER, MomentTensorModel, parameter_counts
from sus2bench.models.moment_tensor.contraction_table import ContractionTable, plain_table
from sus2bench.models.moment_tensor.mtp_lines import FILE_SUFFIXES
from sus2bench.models.moment_tensor.readout import Readout
from sus2bench.models.mtp.levels import level_table
from sus2bench.models.mtp.mlip_file import table_from_file
from sus2bench.models.mtp.radial import PairRadial
from sus2bench.models.species import SpeciesTensor


class MTP(MomentTensorModel):
    """The moment tensor potential of Shapeev (2016) for several species, as MLIP-2 has it.

    Multiscale Model. Simul. 14, 1153 (2016), doi 10.1137/15M1054183; Novikov et al., Mach. Learn.:
    Sci. Technol. 2, 025002 (2021), doi 10.1088/2632-2153/abc9fe.

    Args:
        species: chemical symbols in type order.
        cutoff: r_c, Å.
        basis: `level` for the contractions of a level, the path of an `.mtp` file, trained or not,
            whose contractions are taken, or a table as plain data.
        level: 2, 4, .. 28; read if `basis` is `level`.
        radial_basis_size: R, Chebyshev polynomials.
        min_dist: where the argument of the polynomials is -1, Å.
        scaling: s, one factor on every radial function.
        seed: of the random initial radial coefficients.
        backend: `eager`, `cpp`, `triton` or `compile`, see `MomentTensorModel`.

    Raises:
        ValueError: an argument is out of range or a file does not fit.
    """

    radial: PairRadial

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float = 6.0,
        *,
        basis: str | PathLike[str] | Mapping[str, Any] = "level",
        level: int = 16,
        radial_basis_size: int = 8,
        min_dist: float = 1.0,
        scaling: float = 0.1,
        seed: int = 0,
        backend: str = EAGER,
    ) -> None:
        table = _table(basis, level)
        super().__init__(species, cutoff, table, backend)
        self.radial = PairRadial(
            len(self.species),
            1 + max(mu for mu, *_ in table.basic),
            radial_basis_size,
            self.cutoff,
            min_dist=min_dist,
            scaling=scaling,
            generator=torch.Generator().manual_seed(seed),
        )
        self.readout = Readout(len(table.mapping))

    def hyperparameters(self) -> dict[str, Any]:
        """Plain data that rebuilds the module; the contraction table is written out in full."""
        return {
            "species": list(self.symbols),
            "cutoff": self.cutoff,
            "basis": plain_table(self.table),
            "radial_basis_size": self.radial.coefficients.shape[3],
            "min_dist": self.radial.min_dist,
            "scaling": self.radial.scaling,
            "backend": self.backend,
        }

    def parameter_blocks(self, pairs: set[tuple[int, int]]) -> dict[str, dict[str, int]]:
        """Counts parameters, apart from E0.

        Args:
            pairs: (centre, neighbour) atomic numbers that meet within the cutoff in the training
                data; both orders of a pair.

        Returns:
            For each block `stored` (numbers in the file), `trainable` (all of them) and
            `effective` (without the radial coefficients of pairs that never meet).
        """
        species, _, functions, size = self.radial.coefficients.shape
        met = len(self.known_pairs(pairs))
        return {
            "radial_coefficients": parameter_counts(
                species**2 * functions * size, effective=met * functions * size
            ),
            "scalar_coefficients": parameter_counts(len(self.readout.coefficients)),
        }

    def block_parameters(self) -> dict[str, tuple[str, ...]]:
        """The parameters of each block of `parameter_blocks`."""
        return {
            "radial_coefficients": ("radial.coefficients",),
            "scalar_coefficients": ("readout.coefficients",),
        }

    def species_tensors(self) -> dict[str, SpeciesTensor]:
        """Which numbers belong to which pair of elements, see `models.species`."""
        return {"radial.coefficients": SpeciesTensor((0, 1))}


def _table(basis: str | PathLike[str] | Mapping[str, Any], level: int) -> ContractionTable:
    if isinstance(basis, Mapping):
        return ContractionTable(**basis)
    if basis == "level":
        return level_table(level)
    if str(basis).endswith(FILE_SUFFIXES):
        return table_from_file(basis)
    raise ValueError(
        f"basis {str(basis)!r} is neither 'level' nor the path of an .mtp or .almtp file"
    )
