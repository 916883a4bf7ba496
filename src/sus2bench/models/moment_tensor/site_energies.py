"""Site energies of a moment tensor model by torch operations on padded neighbours."""

import torch
from torch import Tensor

from sus2bench.models.moment_tensor.moments import Moments
from sus2bench.models.moment_tensor.radial import RadialFunctions
from sus2bench.models.moment_tensor.readout import Readout


def site_energies(
    radial: RadialFunctions,
    moments: Moments,
    readout: Readout,
    vectors: Tensor,
    centre_types: Tensor,
    neighbour_types: Tensor,
) -> Tensor:
    """Site energies (N,) in eV without E0, float64 from the products of moments on.

    Args:
        radial: radial functions of the model.
        moments: its moments.
        readout: its readout.
        vectors: (N, n, 3) Å; empty slots hold one as long as the cutoff.
        centre_types: (N,).
        neighbour_types: (N, n).
    """
    distance = vectors.square().sum(-1).sqrt()
    centres = centre_types.unsqueeze(1).expand_as(neighbour_types)
    values = radial(distance, centres, neighbour_types)
    basic = moments.basic(values, vectors / distance.unsqueeze(-1))
    rows = moments.products(basic.to(torch.float64))
    site: Tensor = readout(rows, moments.scalar_rows, centre_types)
    return site
