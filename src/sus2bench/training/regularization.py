"""Terms of the loss that depend on the potential alone, as sums of squares.

    readout:          w / P  sum_q c_q^2, c the P trained coefficients, in the units of training, in
                      which a change by one changes the predictions by one, in the norm of the loss
    smoothness:       w / M  sum_mu 1/2 sum_n n^4 c[mu,n]^2 for M radial functions: the mean square
                      over the angle t of their second derivative by it, as T_n(cos t) = cos n t
    atomic_energies:  w / C  sum_t (e_t - prior_t)^2 / eV^2, e the energies of isolated atoms; the
                      prior, where none is given, is their mean, so that this is their variance

Means, so that weights need not change with the size of a model. They are sums of squares of
residuals, which least-squares optimizers ask for.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from sus2bench.models.moment_tensor.base import MomentTensorModel
from sus2bench.models.potential import Potential


class Regularization:
    """Weighted terms, each left out where its weight is 0; the formulas stand at the file's top.

    Args:
        readout: weight of the squared coefficients of the readout, of SUS2 and MTP.
        smoothness: weight of the second derivatives of radial functions, of SUS2 and MTP.
        atomic_energies: weight of energies of isolated atoms, 1/eV^2.
        prior: what isolated atoms should have, eV by chemical symbol; elements that are not named
            are free. Without it, all should have the same: for reference energies that are
            comparable between elements, as cohesive energies are and total ones are not.

    Raises:
        ValueError: a weight is negative or not finite.
    """

    def __init__(
        self,
        readout: float = 0.0,
        smoothness: float = 0.0,
        atomic_energies: float = 0.0,
        prior: Mapping[str, float] | None = None,
    ) -> None:
        self.weights = {
            "readout": float(readout),
            "smoothness": float(smoothness),
            "atomic_energies": float(atomic_energies),
        }
        for name, weight in self.weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(
                    f"regularization.{name} is a weight, finite and not negative, not {weight}"
                )
        self.prior = None if prior is None else dict(prior)

    @property
    def is_zero(self) -> bool:
        """Whether there is no term."""
        return not any(self.weights.values())

    def __call__(self, potential: Potential) -> Tensor:
        """The sum of squares of the residuals, scalar float64."""
        value: Tensor = self.residuals(potential).square().sum()
        return value

    def residuals(self, potential: Potential) -> Tensor:
        """All residuals (K,), float64, to be differentiated by the potential's parameters.

        Raises:
            ValueError: the model has no such parameters, or the prior names other elements.
        """
        terms = {
            "readout": _readout,
            "smoothness": _smoothness,
            "atomic_energies": self._atomic_energies,
        }
        found = [potential.atomic_energies.values.new_zeros(0)]
        for name, weight in self.weights.items():
            if weight:
                values = terms[name](potential).to(torch.float64)
                found.append(values.flatten() * math.sqrt(weight))
        return torch.cat(found)

    def linear_rows(self, potential: Potential, xi: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals that depend on E0 and xi, which are linear in both, as rows of least squares.

        Energies of isolated atoms do not depend on xi: moments over no neighbours vanish.

        Args:
            potential: with C species, whose model may have frozen coefficients, too.
            xi: its P linear coefficients.
            units: xi of trained coefficients of one (P,).

        Returns:
            Derivatives by E0 and xi (K, C + P), and the residuals (K,), float64.

        Raises:
            ValueError: the prior names other elements.
        """
        species, count = len(potential.species), len(xi)
        rows = [xi.new_zeros(0, species + count)]
        residuals = [xi.new_zeros(0)]
        if self.weights["readout"]:
            factor = math.sqrt(self.weights["readout"] / max(1, count)) / units
            rows.append(torch.cat([xi.new_zeros(count, species), torch.diag(factor)], dim=1))
            residuals.append(factor * xi)
        if self.weights["atomic_energies"]:
            root = math.sqrt(self.weights["atomic_energies"])
            with torch.no_grad():
                energies = potential.isolated_energies().to(xi)
            here = self._about_prior(potential, energies)
            changed = [self._about_prior(potential, energies + row) for row in _ones(energies)]
            by_energy = torch.stack([there - here for there in changed], dim=1)
            rows.append(root * torch.cat([by_energy, xi.new_zeros(len(here), count)], dim=1))
            residuals.append(root * here)
        return torch.cat(rows), torch.cat(residuals)

    def _atomic_energies(self, potential: Potential) -> Tensor:
        return self._about_prior(potential, potential.isolated_energies())

    def _about_prior(self, potential: Potential, energies: Tensor) -> Tensor:
        """Of isolated atoms (C,) in eV; linear in them."""
        norm = math.sqrt(len(energies))
        if self.prior is None:
            return (energies - energies.mean()) / norm
        unknown = sorted(set(self.prior) - set(potential.species))
        if unknown:
            raise ValueError(
                f"regularization.prior names {unknown}, but the potential's species are "
                f"{list(potential.species)}"
            )
        given = [s for s in potential.species if s in self.prior]
        index = torch.tensor([potential.species.index(s) for s in given], device=energies.device)
        prior = energies.new_tensor([self.prior[s] for s in given])
        return (energies[index] - prior) / norm


def _ones(values: Tensor) -> Tensor:
    return torch.eye(len(values), dtype=values.dtype, device=values.device)


def _readout(potential: Potential) -> Tensor:
    coefficients = _moment_tensor_model(potential, "readout").readout.coefficients
    return coefficients / math.sqrt(max(1, len(coefficients)))


def _smoothness(potential: Potential) -> Tensor:
    series = _moment_tensor_model(potential, "smoothness").radial.coefficients.flatten(0, -2)
    order = torch.arange(series.shape[1], device=series.device, dtype=torch.float64)
    return series * order.square() / math.sqrt(2 * len(series))


def _moment_tensor_model(potential: Potential, term: str) -> MomentTensorModel:
    model = potential.model
    if not isinstance(model, MomentTensorModel):
        raise ValueError(
            f"regularization.{term} is for SUS2 and MTP, and {type(model).__name__} has no such "
            "parameters: set it to 0"
        )
    return model
