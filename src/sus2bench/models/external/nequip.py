"""NequIP of the package nequip, as a model among the others.

S. Batzner et al., "E(3)-equivariant graph neural networks for data-efficient and accurate
interatomic potentials", Nat. Commun. 13, 2453 (2022), doi 10.1038/s41467-022-29939-5.

nequip's own builder (`NequIPGNNModel`) makes the layers; the translation is in `nequip_graph`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sus2bench.models.external.isolation import import_extra
from sus2bench.models.external.nequip_graph import EXTRA, BuiltNetwork, check_sizes

LEAST = {
    "num_layers": 1,
    "l_max": 0,
    "type_embed_num_features": 1,
    "radial_mlp_depth": 0,
    "radial_mlp_width": 1,
    "readout_mlp_hidden_layers_depth": 0,
    "num_bessels": 1,
    "polynomial_cutoff_p": 2,
}


class NequIP(BuiltNetwork):
    """NequIP; arguments have the names of nequip's `NequIPGNNModel`, and its defaults.

    Args:
        species: chemical symbols or atomic numbers, in type order.
        cutoff: Å (`r_max` of nequip).
        num_layers: number of interactions.
        l_max: largest degree of features and of spherical harmonics.
        parity: features of both parities of each degree.
        num_features: multiplicity of the features, or one for each degree.
        type_embed_num_features: of the embedding of elements; as the scalar features if None.
        radial_mlp_depth: hidden layers of the radial networks.
        radial_mlp_width: their width.
        readout_mlp_hidden_layers_depth: hidden layers of the readout.
        readout_mlp_hidden_layers_width: their width; as the scalar features if None.
        readout_mlp_nonlinearity: `silu`, `mish`, `gelu` or None.
        num_bessels: number of radial functions.
        bessel_trainable: whether their frequencies are trained.
        polynomial_cutoff_p: exponent of the envelope.
        seed: of the initial weights.

    Raises:
        MissingExtraError: nequip is not installed.
        ValueError: sizes that are too small or too few, or a bad species list or cutoff.
    """

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float = 5.0,
        *,
        num_layers: int = 4,
        l_max: int = 1,
        parity: bool = True,
        num_features: int | Sequence[int] = 32,
        type_embed_num_features: int | None = None,
        radial_mlp_depth: int = 1,
        radial_mlp_width: int = 128,
        readout_mlp_hidden_layers_depth: int = 0,
        readout_mlp_hidden_layers_width: int | None = None,
        readout_mlp_nonlinearity: str | None = "silu",
        num_bessels: int = 8,
        bessel_trainable: bool = False,
        polynomial_cutoff_p: int = 6,
        seed: int = 0,
    ) -> None:
        arguments: dict[str, Any] = {
            "num_layers": num_layers,
            "l_max": l_max,
            "parity": parity,
            "num_features": num_features if isinstance(num_features, int) else list(num_features),
            "type_embed_num_features": type_embed_num_features,
            "radial_mlp_depth": radial_mlp_depth,
            "radial_mlp_width": radial_mlp_width,
            "readout_mlp_hidden_layers_depth": readout_mlp_hidden_layers_depth,
            "readout_mlp_hidden_layers_width": readout_mlp_hidden_layers_width,
            "readout_mlp_nonlinearity": readout_mlp_nonlinearity,
            "num_bessels": num_bessels,
            "bessel_trainable": bessel_trainable,
            "polynomial_cutoff_p": polynomial_cutoff_p,
            "seed": seed,
        }
        check_sizes("NequIP", arguments, LEAST)
        _check_features(arguments["num_features"], l_max)
        super().__init__(species, cutoff, arguments)

    def _builder(self) -> Callable[..., Any]:
        builder: Callable[..., Any] = import_extra("nequip.model", EXTRA).NequIPGNNModel
        return builder


def _check_features(num_features: int | list[int], l_max: int) -> None:
    each = num_features if isinstance(num_features, list) else [num_features] * (l_max + 1)
    if len(each) != l_max + 1 or min(each) < 1:
        raise ValueError(
            f"num_features is a positive number, or one for each degree from 0 to l_max = {l_max}, "
            f"not {num_features}"
        )
