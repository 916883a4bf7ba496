"""Radial functions of SUS2: one coordinate part for all pairs, universal scaling per pair.

With a, b the types of centre and neighbour (spec section 2; Hu et al., PNAS 2025):

    x       = alpha[eta(mu), a, b] (r - r0[eta(mu), a, b]) / 2
    R_mu(r) = s beta[a] beta[b] (r - r_c)^2 sum_n c[mu, n] T_n(embed(x))

where embed is tanh for `RBChebyshev_sss` (and its table `_lmp`) and x / sqrt(1 + x^2) for `_ss`.
`pair_scaling.py` says what is trained of alpha and r0.
"""

import functools

import torch
from torch import Tensor, nn

from sus2bench.models.moment_tensor.chebyshev import chebyshev
from sus2bench.models.moment_tensor.radial import RadialForm, RadialFunctions, along
from sus2bench.models.sus2.mtp_file import RADIAL_BASIS_TYPES, SCALING_MAPS
from sus2bench.models.sus2.pair_scaling import scaling_rule


class UniversalRadial(RadialFunctions):
    """All radial functions R_mu of a SUS2 model, mu = k (L + 1) + l.

    Args:
        species_count: C.
        max_rank: L.
        channels: K, radial functions per rank.
        basis_size: R, Chebyshev polynomials T_0 .. T_{R-1}.
        cutoff: r_c, Å.
        scaling_map: which functions share a pair scaling: those of one channel (`K`), of one
            rank (`L`), or none (`LK`).
        basis_type: one of `RADIAL_BASIS_TYPES`.
        scaling: s, one number that multiplies every radial function.
        min_dist: sets the initial alpha and r0 (spec section 6), Å; may be 0 or negative.
        generator: random numbers for the initial c.
        parametrization: what is trained of alpha and r0, see `pair_scaling.py`.

    Attributes:
        alpha: what is trained of the slopes, 1/Å; the table itself for `pair`.
        r0: what is trained of the centres, Å.

    Raises:
        ValueError: an unknown scaling map, basis type or parametrization, or a basis without
            polynomials.
    """

    unused_species_factors: Tensor

    def __init__(
        self,
        species_count: int,
        max_rank: int,
        channels: int,
        basis_size: int,
        cutoff: float,
        *,
        scaling_map: str,
        basis_type: str,
        scaling: float,
        min_dist: float,
        generator: torch.Generator,
        parametrization: str = "pair",
    ) -> None:
        super().__init__()
        if scaling_map not in SCALING_MAPS:
            raise ValueError(f"scaling_map {scaling_map!r} is none of {SCALING_MAPS}")
        if basis_type not in RADIAL_BASIS_TYPES:
            raise ValueError(f"radial_basis_type {basis_type!r} is none of {RADIAL_BASIS_TYPES}")
        if basis_size < 1:
            raise ValueError(f"radial_basis_size must be at least 1, not {basis_size}")
        if not min_dist < cutoff:
            raise ValueError(f"min_dist ({min_dist} Å) must be below the cutoff ({cutoff} Å)")
        self.ranks = max_rank + 1
        self.channels = channels
        self.cutoff = cutoff
        self.min_dist = min_dist
        self.scaling = scaling
        self.scaling_map = scaling_map
        self.basis_type = basis_type
        self.parametrization = parametrization
        self.expand = scaling_rule(parametrization)
        functions = channels * self.ranks
        self.scalings = {"K": channels, "L": self.ranks, "LK": functions}[scaling_map]
        # In float64 until the owner is moved, so that initial values have all their digits.
        precise = torch.float64
        shortest = torch.full((species_count, species_count), min_dist, dtype=precise)
        self.alpha = nn.Parameter(self._stored(self._slope(shortest)))
        self.r0 = nn.Parameter(self._stored(self._middle(shortest)))
        self.coefficients = nn.Parameter(
            torch.rand(functions, basis_size, generator=generator, dtype=precise) - 0.5
        )
        self.species_factor = nn.Parameter(torch.ones(species_count, dtype=precise))
        # Stored in `.mtp` files and never used by any program; kept so that files survive a
        # round trip bit by bit.
        self.register_buffer(
            "unused_species_factors", torch.ones(functions - 1, species_count, dtype=precise)
        )

    def pair_scaling(self) -> tuple[Tensor, Tensor]:
        """The slopes alpha in 1/Å and the centres r0 in Å of ordered pairs, both (H, C, C)."""
        return self.expand(self.alpha), self.expand(self.r0)

    @torch.no_grad()
    def start_from_radii(self, radii: Tensor) -> None:
        """Sets alpha and r0 as spec section 6 does, with a `min_dist` of its own for each pair.

        That is larger for larger elements, by as much as the sum of their radii exceeds the mean
        of all such sums, and at most half way from `min_dist` to the cutoff.

        Args:
            radii: (C,) Å.
        """
        sums = radii.unsqueeze(1) + radii
        shortest = self.min_dist + sums - sums.mean()
        shortest = shortest.clamp(max=(self.min_dist + self.cutoff) / 2)
        self.alpha.copy_(self._stored(self._slope(shortest)))
        self.r0.copy_(self._stored(self._middle(shortest)))

    def _slope(self, shortest: Tensor) -> Tensor:
        """Alpha (C, C), 1/Å, that makes x go from -1.65 at the shortest distance to 1.65 at r_c."""
        return 6.6 / (self.cutoff - shortest)

    def _middle(self, shortest: Tensor) -> Tensor:
        """R0 (C, C), Å, half way between the shortest distance and r_c."""
        return (self.cutoff + shortest) / 2

    def _stored(self, table: Tensor) -> Tensor:
        """What is stored of a table (C, C) that is the same in all channels."""
        return self.expand.stored(table.expand(self.scalings, -1, -1)).clone()

    def forward(self, distance: Tensor, centre_type: Tensor, neighbour_type: Tensor) -> Tensor:
        """Evaluates every R_mu.

        Args:
            distance: (...,) Å; beyond the cutoff every function is zero.
            centre_type: (...,) types of the central atoms.
            neighbour_type: (...,) types of the neighbours.

        Returns:
            (mu, ...) with mu = k (L + 1) + l.
        """
        shape = distance.shape
        distance = distance.reshape(-1)
        centre_type, neighbour_type = centre_type.reshape(-1), neighbour_type.reshape(-1)
        species = len(self.species_factor)
        pair = centre_type * species + neighbour_type
        pair_factor = torch.outer(self.species_factor, self.species_factor).view(-1)
        inside = (distance - self.cutoff).clamp(max=0)
        envelope = self.scaling * pair_factor.index_select(0, pair) * inside.square()
        alpha, r0 = (table.flatten(1) for table in self.pair_scaling())
        slope = (0.5 * alpha).index_select(1, pair)
        x = slope * (distance - r0.index_select(1, pair))
        embedded = x * torch.rsqrt(1 + x * x) if self.basis_type.endswith("_ss") else x.tanh()
        terms = chebyshev(embedded, envelope, self.coefficients.shape[1])
        polynomials = torch.stack(terms, dim=1)
        return self._mix(polynomials).view(len(self.coefficients), *shape)

    def by_parameters(
        self, distance: Tensor, centre_type: Tensor, neighbour_type: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `RadialFunctions`: by c[mu, n] for all n, alpha, r0, and beta of both atoms."""
        form = self.kernel_form()
        alpha, r0, coefficients, factor = (p.detach().double() for p in form.parameters)
        alpha, r0 = (p[:, centre_type, neighbour_type].t() for p in (alpha, r0))
        own, other = factor[centre_type].unsqueeze(1), factor[neighbour_type].unsqueeze(1)
        beyond = (distance.unsqueeze(1) - self.cutoff).clamp(max=0)
        terms, slopes, curvatures = self._polynomials(alpha, r0, distance.unsqueeze(1), form)
        every = torch.tensor(form.scaling_of, device=distance.device)
        shift = (distance.unsqueeze(1) - r0)[:, every]
        half = 0.5 * alpha[:, every]
        # f(x) is the series of a function, b g what multiplies it, b that of the pair.
        f, f1, f2 = ((t[:, every] * coefficients).sum(2) for t in (terms, slopes, curvatures))
        g, g1 = self.scaling * beyond.square(), 2 * self.scaling * beyond
        b, by_r = own * other, g1 * f + g * f1 * half
        scalings = [b * g * f1 * 0.5 * shift, -b * g * f1 * half]
        scaling_slopes = [
            0.5 * b * (g1 * f1 * shift + g * (f2 * half * shift + f1)),
            -b * half * (g1 * f1 + g * f2 * half),
        ]
        series = (b * g).unsqueeze(2) * terms
        series_slope = (b * g1).unsqueeze(2) * terms
        series_slope += (b * g * 0.5 * alpha).unsqueeze(2) * slopes
        value = torch.stack([*scalings, g * other * f, g * own * f], dim=2)
        slope = torch.stack([*scaling_slopes, other * by_r, own * by_r], dim=2)
        return (
            torch.cat([series[:, every], value], dim=2),
            torch.cat([series_slope[:, every], slope], dim=2),
        )

    def _polynomials(
        self, alpha: Tensor, r0: Tensor, distance: Tensor, form: RadialForm
    ) -> tuple[Tensor, Tensor, Tensor]:
        """T_n(embed(x)) and two derivatives by x, each (E, H, R)."""

        def of(x: Tensor) -> Tensor:
            embedded = x * torch.rsqrt(1 + x * x) if self._rational else x.tanh()
            return torch.stack(chebyshev(embedded, torch.ones_like(x), form.size), dim=-1)

        def slope_of(x: Tensor) -> Tensor:
            return along(of, x)[1]

        x = 0.5 * alpha * (distance - r0)
        value, (slope, curvature) = of(x), along(slope_of, x)
        return value, slope, curvature

    @property
    def parameter_numbers(self) -> Tensor:
        """See `RadialFunctions`."""
        return self._numbers.to(self.coefficients.device)

    @functools.cached_property
    def _numbers(self) -> Tensor:
        """Of the shape of the functions alone; each frame of a Jacobian asks for them."""
        scaling_of = torch.tensor(self.kernel_form().scaling_of)
        scalings, species = self.scalings, len(self.species_factor)
        functions, size = self.coefficients.shape
        shape = (species, species, functions, 1)
        pair = torch.arange(species**2).view(species, species, 1, 1)
        alpha = pair + (scaling_of * species**2).view(1, 1, -1, 1)
        begin = 2 * scalings * species**2
        series = begin + torch.arange(functions * size).view(1, 1, functions, size)
        own = begin + functions * size + torch.arange(species).view(-1, 1, 1, 1)
        parts = (
            series.expand(species, species, -1, -1),
            alpha,
            alpha + scalings * species**2,
            own.expand(shape),
            own.transpose(0, 1).expand(shape),
        )
        return torch.cat(parts, dim=3)

    @property
    def _rational(self) -> bool:
        return self.basis_type.endswith("_ss")

    def trained_parameters(self) -> list[tuple[nn.Parameter, Tensor]]:
        """See `RadialFunctions`."""
        summands = self.expand.summands(self.scalings, len(self.species_factor))
        rest = self.coefficients, self.species_factor
        return [
            (self.alpha, summands),
            (self.r0, summands),
            *((parameter, torch.arange(parameter.numel()).unsqueeze(1)) for parameter in rest),
        ]

    def kernel_form(self) -> RadialForm:
        """What kernels have to know of these functions."""
        functions, size = self.coefficients.shape
        scaling_of = {
            "K": [mu // self.ranks for mu in range(functions)],
            "L": [mu % self.ranks for mu in range(functions)],
            "LK": list(range(functions)),
        }[self.scaling_map]
        return RadialForm(
            "sus2",
            tuple(scaling_of),
            size,
            "rational" if self.basis_type.endswith("_ss") else "tanh",
            (*self.pair_scaling(), self.coefficients, self.species_factor),
            self.scaling,
            0.0,
        )

    def _mix(self, polynomials: Tensor) -> Tensor:
        """Sums c[mu, n] T_n over n of (H, R, E) for the functions of each scaling: (mu, E)."""
        scalings, size, edges = polynomials.shape
        functions = len(self.coefficients)
        if self.scaling_map == "L":
            by_channel = self.coefficients.view(self.channels, self.ranks, size)
            mixed = by_channel.transpose(0, 1) @ polynomials
            return mixed.transpose(0, 1).reshape(functions, edges)
        coefficients = self.coefficients.view(scalings, functions // scalings, size)
        return (coefficients @ polynomials).reshape(functions, edges)
