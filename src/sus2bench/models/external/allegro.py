"""Allegro of the package nequip-allegro, as a model among the others.

A. Musaelian et al., "Learning local equivariant representations for large-scale atomistic
dynamics", Nat. Commun. 14, 579 (2023), doi 10.1038/s41467-023-36329-y.

The package's own builder (`AllegroModel`) makes the layers; the translation is in `nequip_graph`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sus2bench.models.external.isolation import import_extra
from sus2bench.models.external.nequip_graph import EXTRA, BuiltNetwork, check_sizes

LEAST = {
    "l_max": 1,
    "num_layers": 1,
    "num_scalar_features": 1,
    "num_tensor_features": 1,
    "radial_chemical_embed_dim": 1,
    "scalar_embed_mlp_hidden_layers_depth": 0,
    "scalar_embed_mlp_hidden_layers_width": 1,
    "allegro_mlp_hidden_layers_depth": 0,
    "allegro_mlp_hidden_layers_width": 1,
    "readout_mlp_hidden_layers_depth": 0,
    "readout_mlp_hidden_layers_width": 1,
    "num_bessels": 1,
    "polynomial_cutoff_p": 2,
}
EMBEDDING = ("num_bessels", "bessel_trainable", "polynomial_cutoff_p")
"""Arguments of the two-body embedding, which the package takes as one nested argument."""


class Allegro(BuiltNetwork):
    """Allegro; arguments have the names of the package's `AllegroModel`, and its defaults.

    Pairs are embedded with Bessel functions (`TwoBodyBesselScalarEmbed`), as in the paper.

    Args:
        species: chemical symbols or atomic numbers, in type order.
        cutoff: Å (`r_max` of the package).
        l_max: largest degree of the tensor features.
        parity: features of both parities of each degree.
        num_layers: number of layers.
        num_scalar_features: scalar features of an edge.
        num_tensor_features: multiplicity of the tensor features of an edge.
        radial_chemical_embed_dim: of the embedding of pairs; as the scalar features if None.
        scalar_embed_mlp_hidden_layers_depth: hidden layers of the two-body network.
        scalar_embed_mlp_hidden_layers_width: their width.
        scalar_embed_mlp_nonlinearity: `silu`, `mish`, `gelu` or None.
        allegro_mlp_hidden_layers_depth: hidden layers of the networks of the layers.
        allegro_mlp_hidden_layers_width: their width.
        allegro_mlp_nonlinearity: as above.
        tp_path_channel_coupling: whether each channel has weights of its own for each path.
        readout_mlp_hidden_layers_depth: hidden layers of the readout.
        readout_mlp_hidden_layers_width: their width.
        readout_mlp_nonlinearity: as above.
        num_bessels: number of radial functions.
        bessel_trainable: whether their frequencies are trained.
        polynomial_cutoff_p: exponent of the envelope.
        seed: of the initial weights.

    Raises:
        MissingExtraError: nequip-allegro is not installed.
        ValueError: sizes that are too small, or a bad species list or cutoff.
    """

    mixed_precision = True

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float = 5.0,
        *,
        l_max: int = 1,
        parity: bool = True,
        num_layers: int = 2,
        num_scalar_features: int = 64,
        num_tensor_features: int = 16,
        radial_chemical_embed_dim: int | None = None,
        scalar_embed_mlp_hidden_layers_depth: int = 1,
        scalar_embed_mlp_hidden_layers_width: int = 64,
        scalar_embed_mlp_nonlinearity: str | None = "silu",
        allegro_mlp_hidden_layers_depth: int = 1,
        allegro_mlp_hidden_layers_width: int = 64,
        allegro_mlp_nonlinearity: str | None = "silu",
        tp_path_channel_coupling: bool = True,
        readout_mlp_hidden_layers_depth: int = 1,
        readout_mlp_hidden_layers_width: int = 32,
        readout_mlp_nonlinearity: str | None = "silu",
        num_bessels: int = 8,
        bessel_trainable: bool = False,
        polynomial_cutoff_p: int = 6,
        seed: int = 0,
    ) -> None:
        arguments: dict[str, Any] = {
            "l_max": l_max,
            "parity": parity,
            "num_layers": num_layers,
            "num_scalar_features": num_scalar_features,
            "num_tensor_features": num_tensor_features,
            "radial_chemical_embed_dim": radial_chemical_embed_dim,
            "scalar_embed_mlp_hidden_layers_depth": scalar_embed_mlp_hidden_layers_depth,
            "scalar_embed_mlp_hidden_layers_width": scalar_embed_mlp_hidden_layers_width,
            "scalar_embed_mlp_nonlinearity": scalar_embed_mlp_nonlinearity,
            "allegro_mlp_hidden_layers_depth": allegro_mlp_hidden_layers_depth,
            "allegro_mlp_hidden_layers_width": allegro_mlp_hidden_layers_width,
            "allegro_mlp_nonlinearity": allegro_mlp_nonlinearity,
            "tp_path_channel_coupling": tp_path_channel_coupling,
            "readout_mlp_hidden_layers_depth": readout_mlp_hidden_layers_depth,
            "readout_mlp_hidden_layers_width": readout_mlp_hidden_layers_width,
            "readout_mlp_nonlinearity": readout_mlp_nonlinearity,
            "num_bessels": num_bessels,
            "bessel_trainable": bessel_trainable,
            "polynomial_cutoff_p": polynomial_cutoff_p,
            "seed": seed,
        }
        check_sizes("Allegro", arguments, LEAST)
        super().__init__(species, cutoff, arguments)

    def _builder(self) -> Callable[..., Any]:
        builder: Callable[..., Any] = import_extra("allegro.model", EXTRA).AllegroModel
        return builder

    def _builder_arguments(self) -> dict[str, Any]:
        arguments = super()._builder_arguments()
        embedding = {name: arguments.pop(name) for name in EMBEDDING}
        target = {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed"}
        return arguments | {"radial_chemical_embed": target | embedding}
