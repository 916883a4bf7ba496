"""SevenNet: the NequIP architecture of the package sevenn, as a model among the others.

Y. Park, J. Kim, S. Hwang, S. Han, "Scalable Parallel Algorithm for Graph Neural Network Interatomic
Potentials in Molecular Dynamics Simulations", J. Chem. Theory Comput. 20, 4857 (2024),
doi 10.1021/acs.jctc.4c00190.

sevenn's own builder makes the layers. Left out are its first layer (one-hot elements, which it
always casts to float32) and its last ones (shift, scale, total energy, forces): `Potential` has
these. An edge of sevenn leads from the centre (row 0) to the neighbour (row 1) and its vector is
ours, so that the rows of the edge index change places.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch_geometric.data import Data

from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.external.edges import edges_within, mean_neighbours
from sus2bench.models.external.isolation import import_extra, isolated

EXTRA = "equivariant"
OMITTED = (
    "onehot_idx_to_onehot",
    "rescale_atomic_energy",
    "reduce_total_enegy",  # sevenn's spelling
    "force_output",
)
"""Layers of sevenn that are not used here."""
XPLOR_ON = 0.9
"""Part of the cutoff at which XPLOR begins if `cutoff_on` is not given: SevenNet-0's 4.5 / 5.0."""
MEANS = {"avg_num_neigh": 1.0, "sqrt_avg_num_neigh": 0.5}
"""Powers of the mean number of neighbours that sums may be divided by."""


class SevenNet(SiteEnergyModel):
    """SevenNet; arguments have the names of sevenn's `input.yaml`, and its defaults.

    With `is_parity` false, as in SevenNet-0, the model is invariant under rotations but not under
    reflections: it tells a structure from its mirror image.

    Args:
        species: chemical symbols or atomic numbers, in type order.
        cutoff: Å.
        channel: multiplicity of the features of each degree.
        lmax: largest degree of features and of spherical harmonics.
        lmax_edge: of the spherical harmonics alone; -1 for `lmax`.
        lmax_node: of the features alone; -1 for `lmax`.
        is_parity: features of both parities (group E(3) in place of SE(3)).
        num_convolution_layer: number of interactions.
        irreps_manual: features before and after each interaction, in place of `channel`, `lmax`.
        radial_basis: name and arguments of the radial functions.
        cutoff_function: name and arguments of the envelope: `poly_cut` has two continuous
            derivatives for any `poly_cut_p_value`, `XPLOR` one.
        act_radial: activation of the radial networks.
        act_scalar: activation of scalars, by parity.
        act_gate: activation of gates, by parity.
        weight_nn_hidden_neurons: widths of the radial networks.
        conv_denominator: divisor of sums over neighbours: `avg_num_neigh` or `sqrt_avg_num_neigh`
            of the training data (1 until `scale_to_data`), a number, or one for each interaction.
        train_denominator: whether the divisors are trained.
        self_connection_type: `nequip` or `linear`, or one for each interaction.
        use_bias_in_linear: of the linear layers.
        readout_as_fcn: a network as readout in place of two linear layers.
        readout_fcn_hidden_neurons: its widths.
        readout_fcn_activation: its activation.
        normalize_sph: whether spherical harmonics are those of unit vectors.
        seed: of the initial weights.

    Raises:
        MissingExtraError: sevenn is not installed.
        ValueError: sizes below 1, unknown names, or a bad species list or cutoff.
    """

    species_scale: Tensor

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float = 5.0,
        *,
        channel: int = 32,
        lmax: int = 2,
        lmax_edge: int = -1,
        lmax_node: int = -1,
        is_parity: bool = True,
        num_convolution_layer: int = 3,
        irreps_manual: Sequence[str] | None = None,
        radial_basis: Mapping[str, Any] | None = None,
        cutoff_function: Mapping[str, Any] | None = None,
        act_radial: str = "silu",
        act_scalar: Mapping[str, str] | None = None,
        act_gate: Mapping[str, str] | None = None,
        weight_nn_hidden_neurons: Sequence[int] = (64, 64),
        conv_denominator: str | float | Sequence[float] = "avg_num_neigh",
        train_denominator: bool = False,
        self_connection_type: str | Sequence[str] = "nequip",
        use_bias_in_linear: bool = False,
        readout_as_fcn: bool = False,
        readout_fcn_hidden_neurons: Sequence[int] = (30, 30),
        readout_fcn_activation: str = "relu",
        normalize_sph: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(species, cutoff)
        self._arguments: dict[str, Any] = {
            "channel": channel,
            "lmax": lmax,
            "lmax_edge": lmax_edge,
            "lmax_node": lmax_node,
            "is_parity": is_parity,
            "num_convolution_layer": num_convolution_layer,
            "irreps_manual": None if irreps_manual is None else [str(i) for i in irreps_manual],
            "radial_basis": dict(
                radial_basis or {"radial_basis_name": "bessel", "bessel_basis_num": 8}
            ),
            "cutoff_function": _envelope(cutoff_function, self.cutoff),
            "act_radial": act_radial,
            "act_scalar": dict(act_scalar or {"e": "silu", "o": "tanh"}),
            "act_gate": dict(act_gate or {"e": "silu", "o": "tanh"}),
            "weight_nn_hidden_neurons": list(weight_nn_hidden_neurons),
            "conv_denominator": _plain(conv_denominator),
            "train_denominator": train_denominator,
            "self_connection_type": _plain(self_connection_type),
            "use_bias_in_linear": use_bias_in_linear,
            "readout_as_fcn": readout_as_fcn,
            "readout_fcn_hidden_neurons": list(readout_fcn_hidden_neurons),
            "readout_fcn_activation": readout_fcn_activation,
            "normalize_sph": normalize_sph,
            "seed": seed,
        }
        _check(self._arguments)
        self.network = self._build()
        self.register_buffer("species_scale", torch.ones(len(self.species), dtype=torch.float64))

    def _build(self) -> Any:
        """The layers that sevenn builds, in float64."""
        builder = import_extra("sevenn.model_build", EXTRA)
        with isolated(seed=self._arguments["seed"]), _eager_e3nn():
            network = builder.build_E3_equivariant_model(self.sevenn_config()).double()
        for name in OMITTED:
            network.delete_module_by_key(name)
        network.eval_type_map, network.key_grad = False, None
        for module in network.modules():
            _constants_to_buffers(module)
        return network

    def sevenn_config(self) -> dict[str, Any]:
        """The configuration from which sevenn builds the same model, with shift 0 and scale 1."""
        names = dict(self._arguments)
        names.pop("seed")
        names["_normalize_sph"] = names.pop("normalize_sph")
        names["irreps_manual"] = names["irreps_manual"] or False
        if isinstance(names["conv_denominator"], str):
            names["conv_denominator"] = 1.0
        return names | {
            "cutoff": self.cutoff,
            "chemical_species": list(self.symbols),
            "_number_of_species": len(self.species),
            "_type_map": {number: index for index, number in enumerate(self.species)},
            "interaction_type": "nequip",
            "shift": 0.0,
            "scale": 1.0,
            "train_shift_scale": False,
        }

    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,), without atomic reference energies."""
        vectors, edge_index = edges_within(frame, self.cutoff)
        types = self.types(frame.atomic_numbers)
        elements = one_hot(types, len(self.species)).to(vectors.dtype)
        data = {
            "x": elements,
            "node_attr": elements,
            "edge_index": edge_index.flip(0),
            "edge_vec": vectors,
        }
        site: Tensor = self.network(data)["scaled_atomic_energy"].squeeze(-1)
        return site * self.species_scale[types]

    def scale_to_data(self, batches: Iterable[Data]) -> dict[str, float]:
        """Sets the divisors of sums to the mean number of neighbours, where that is asked for.

        sevenn's own mean leaves out atoms without neighbours; here every atom counts.
        """
        power = MEANS.get(str(self._arguments["conv_denominator"]))
        if power is None:
            return {}
        neighbours = mean_neighbours(batches, self.cutoff) or 1.0
        for module in self.network.modules():
            if hasattr(module, "denominator"):
                module.denominator.data.fill_(neighbours**power)
        return {"neighbours": neighbours}

    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"species": list(self.symbols), "cutoff": self.cutoff, **self._arguments}


@contextmanager
def _eager_e3nn() -> Iterator[None]:
    """Lets e3nn make plain Python: scripted functions cannot be copied, and are slower here."""
    e3nn = import_extra("e3nn", EXTRA)
    before = e3nn.get_optimization_defaults()
    e3nn.set_optimization_defaults(jit_script_fx=False)
    try:
        yield
    finally:
        e3nn.set_optimization_defaults(**before)


def _constants_to_buffers(module: Any) -> None:
    """Makes buffers of what sevenn keeps as parameters that are not trained, or as bare tensors."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        if not parameter.requires_grad:
            delattr(module, name)
            module.register_buffer(name, parameter.detach())
    for name, value in list(vars(module).items()):
        if isinstance(value, Tensor) and value.is_floating_point():
            delattr(module, name)
            module.register_buffer(name, value.double(), persistent=False)


def _plain(value: Any) -> Any:
    """A name or number as it is, a sequence of them as a list."""
    return value if isinstance(value, str | int | float) else list(value)


def _envelope(given: Mapping[str, Any] | None, cutoff: float) -> dict[str, Any]:
    """Name and arguments of the envelope, with the documented values where they are missing."""
    envelope = dict(given or {"cutoff_function_name": "poly_cut"})
    name = envelope.get("cutoff_function_name")
    if name == "poly_cut":
        envelope.setdefault("poly_cut_p_value", 6)
    elif name == "XPLOR":
        envelope.setdefault("cutoff_on", XPLOR_ON * cutoff)
        if not 0 < envelope["cutoff_on"] < cutoff:
            raise ValueError(
                f"cutoff_function.cutoff_on is {envelope['cutoff_on']} Å, but XPLOR begins below "
                f"the cutoff of {cutoff} Å; without cutoff_on it is {XPLOR_ON} of the cutoff"
            )
    else:
        raise ValueError(
            f"cutoff_function.cutoff_function_name is 'poly_cut' or 'XPLOR', not {name!r}"
        )
    return envelope


def _check(arguments: Mapping[str, Any]) -> None:
    """Raises ValueError for what sevenn would refuse without saying why, or would take as is."""
    for name in ("channel", "num_convolution_layer"):
        if arguments[name] < 1:
            raise ValueError(f"SevenNet needs {name} >= 1, not {arguments[name]}")
    if arguments["lmax"] < 0:
        raise ValueError(f"SevenNet needs lmax >= 0, not {arguments['lmax']}")
    denominator = arguments["conv_denominator"]
    if isinstance(denominator, str) and denominator not in MEANS:
        raise ValueError(f"conv_denominator is one of {list(MEANS)} or numbers, not {denominator}")
    layers, manual = arguments["num_convolution_layer"], arguments["irreps_manual"]
    if manual is not None and len(manual) != layers + 1:
        raise ValueError(
            f"irreps_manual has {len(manual)} entries; {layers} interactions need {layers + 1}"
        )
    for name in ("conv_denominator", "self_connection_type"):
        value = arguments[name]
        if isinstance(value, list) and len(value) != layers:
            raise ValueError(f"{name} has {len(value)} entries for {layers} interactions")
