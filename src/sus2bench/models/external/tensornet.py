"""TensorNet: message passing with Cartesian rank-2 tensors, computed by the package matgl.

G. Simeon, G. De Fabritiis, "TensorNet: Cartesian Tensor Representations for Efficient Learning of
Molecular Potentials", NeurIPS 2023, arXiv 2306.06482. The network is `matgl.models.TensorNet` with
an extensive readout; E0 and scale belong to `Potential`.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from torch_geometric.data import Data

from sus2bench.models.external.matgl_graph import MatGLModel


class TensorNet(MatGLModel):
    """TensorNet; the defaults are those of the package, and the arguments are named as there.

    Args:
        species: chemical symbols or atomic numbers, in type order.
        cutoff: Å.
        units: number of tensors per atom.
        nblocks: number of interaction layers.
        num_rbf: number of Gaussians.
        rbf_type: Gaussian or SphericalBessel.
        width: exponent factor of the Gaussians, 1/Å^2.
        max_n: radial orders of spherical Bessel functions.
        max_l: their angular orders, where they are not smooth.
        use_smooth: whether they are.
        activation_type: swish, tanh, sigmoid, softplus2 or softexp.
        equivariance_invariance_group: O(3), or SO(3), which tells mirror images apart.
        seed: of the initial weights.

    Raises:
        MissingExtraError: matgl is not installed.
        ValueError: unknown names, or a bad species list or cutoff.
    """

    smoothness = 1  # of the cosine cutoff on every message
    package_class = "TensorNet"
    fixed: ClassVar = {
        "is_intensive": False,
        "ntargets": 1,
        "task_type": "regression",
        "use_warp": False,  # kernels of another package, where some parameters have other names
    }
    without_effect = frozenset(
        {
            "use_warp",
            "ntypes_state",
            "dim_state_embedding",
            "dim_state_feats",
            "include_state",
            "dtype",
            "readout_type",
            "field",
        }
    )

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float = 5.0,
        *,
        units: int = 64,
        nblocks: int = 2,
        num_rbf: int = 32,
        rbf_type: str = "Gaussian",
        width: float = 0.5,
        max_n: int = 3,
        max_l: int = 3,
        use_smooth: bool = False,
        activation_type: str = "swish",
        equivariance_invariance_group: str = "O(3)",
        seed: int = 0,
    ) -> None:
        if equivariance_invariance_group not in ("O(3)", "SO(3)"):
            raise ValueError(
                "equivariance_invariance_group is 'O(3)' or 'SO(3)', not "
                f"{equivariance_invariance_group!r}"
            )
        arguments = {
            "units": units,
            "nblocks": nblocks,
            "num_rbf": num_rbf,
            "rbf_type": rbf_type,
            "width": width,
            "max_n": max_n,
            "max_l": max_l,
            "use_smooth": use_smooth,
            "activation_type": activation_type,
            "equivariance_invariance_group": equivariance_invariance_group,
        }
        super().__init__(species, cutoff, arguments, seed)
        _centres_to_buffer(self.network.bond_expansion.rbf)

    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,), without atomic reference energies."""
        return self.site_energies(self.graph(frame, self.edges(frame)))


def _centres_to_buffer(basis: Any) -> None:
    """The package keeps the fixed centres of Gaussians with the trained parameters."""
    if isinstance(getattr(basis, "centers", None), nn.Parameter):
        centres = basis.centers.detach()
        del basis.centers
        basis.register_buffer("centers", centres)
