"""Radial functions of MTP: coefficients of their own for every ordered pair of species.

With a, b the types of centre and neighbour (RBChebyshev of MLIP-2; Novikov et al., Mach. Learn.:
Sci. Technol. 2, 025002, 2021, eqs. 3 and 4):

    x       = (2 r - (r_min + r_c)) / (r_c - r_min)
    R_mu(r) = s (r - r_c)^2 sum_n c[a, b, mu, n] T_n(x)      r < r_c

Below r_min nothing special happens, as in MLIP-2: x < -1, and the polynomials grow.
"""

import torch
from torch import Tensor, nn

from sus2bench.models.moment_tensor.chebyshev import chebyshev
from sus2bench.models.moment_tensor.radial import RadialForm, RadialFunctions, along


class PairRadial(RadialFunctions):
    """All radial functions R_mu of an MTP.

    Args:
        species_count: C.
        functions: number of radial functions.
        basis_size: R, Chebyshev polynomials T_0 .. T_{R-1}.
        cutoff: r_c, Å.
        min_dist: r_min, Å, where x = -1.
        scaling: s, one number that multiplies every radial function.
        generator: random numbers for the initial c.

    Raises:
        ValueError: a basis without polynomials, or min_dist not below the cutoff.
    """

    def __init__(
        self,
        species_count: int,
        functions: int,
        basis_size: int,
        cutoff: float,
        *,
        min_dist: float,
        scaling: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if basis_size < 1:
            raise ValueError(f"radial_basis_size must be at least 1, not {basis_size}")
        if not min_dist < cutoff:
            raise ValueError(f"min_dist ({min_dist} Å) must be below the cutoff ({cutoff} Å)")
        self.cutoff = cutoff
        self.min_dist = min_dist
        self.scaling = scaling
        # All pairs start alike, as with MLIP-2's `--init-params=same`. Scalars do not know the
        # species: fitted to unrelated functions of many pairs, their coefficients fit none of
        # them. `scaling` sets the size of moments, and the linear solve that of energies.
        start = torch.rand(functions, basis_size, generator=generator, dtype=torch.float64) - 0.5
        self.coefficients = nn.Parameter(start.repeat(species_count, species_count, 1, 1))

    def forward(self, distance: Tensor, centre_type: Tensor, neighbour_type: Tensor) -> Tensor:
        """Evaluates every R_mu.

        Args:
            distance: (...,) Å; beyond the cutoff every function is zero.
            centre_type: (...,) types of the central atoms.
            neighbour_type: (...,) types of the neighbours.

        Returns:
            (mu, ...).
        """
        species, _, functions, size = self.coefficients.shape
        shape = distance.shape
        distance = distance.reshape(-1)
        x = (2 * distance - (self.min_dist + self.cutoff)) / (self.cutoff - self.min_dist)
        inside = (distance - self.cutoff).clamp(max=0)
        terms = chebyshev(x, self.scaling * inside.square(), size)
        polynomials = torch.stack(terms, dim=1).unsqueeze(-1)
        pair = centre_type.reshape(-1) * species + neighbour_type.reshape(-1)
        coefficients = self.coefficients.flatten(0, 1).index_select(0, pair)
        return (coefficients @ polynomials).squeeze(-1).t().reshape(functions, *shape)

    def by_parameters(
        self, distance: Tensor, centre_type: Tensor, neighbour_type: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `RadialFunctions`: by c[a, b, mu, n] for all n."""
        functions, size = self.coefficients.shape[2:]

        def terms(distance: Tensor) -> Tensor:
            x = (2 * distance - (self.min_dist + self.cutoff)) / (self.cutoff - self.min_dist)
            inside = (distance - self.cutoff).clamp(max=0)
            return torch.stack(chebyshev(x, self.scaling * inside.square(), size), dim=1)

        value, slope = along(terms, distance)
        shape = (-1, functions, -1)
        return value.unsqueeze(1).expand(shape), slope.unsqueeze(1).expand(shape)

    @property
    def parameter_numbers(self) -> Tensor:
        """See `RadialFunctions`."""
        numbers = torch.arange(self.coefficients.numel(), device=self.coefficients.device)
        return numbers.view(self.coefficients.shape)

    def kernel_form(self) -> RadialForm:
        """What kernels have to know of these functions."""
        _, _, functions, size = self.coefficients.shape
        return RadialForm(
            "mtp",
            (0,) * functions,
            size,
            "tanh",
            (self.coefficients,),
            self.scaling,
            self.min_dist,
        )
