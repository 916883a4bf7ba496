"""Response of energy, forces and virial to the linear coefficients xi of moment tensor models.

E = sum_i w_i sum_q xi_q B_q(i): the columns of xi of the Jacobian, which needs no reverse pass per
scalar (`jacobian.py`).
"""

from typing import TYPE_CHECKING

import torch
from torch_geometric.data import Data

from sus2bench.models.linear import LinearResponse

if TYPE_CHECKING:
    from sus2bench.models.moment_tensor.base import MomentTensorModel


def linear_response(model: "MomentTensorModel", frame: Data) -> LinearResponse:
    """Derivatives by xi for a frame or batch that carries `edge_vectors` (E, 3).

    Returns:
        Energy (B, P) eV, forces (N, 3, P) eV/Å and virial (B, 3, 3, P) eV, float64.
    """
    count = len(model.readout.coefficients)
    energies, forces, virials = [], [], []
    for part in model.jacobian(frame, virial=True, radial=False):
        assert part.virial is not None
        energies.append(part.energy[-count:])
        forces.append(part.forces[..., -count:])
        virials.append(part.virial[..., -count:])
    return LinearResponse(torch.stack(energies), torch.cat(forces), torch.stack(virials))
