"""Where potentials to time come from: files, or configs of `conf/model/` that are not trained.

Times do not depend on what has been learned, so that a model for any elements can be timed without
data: with the parameters it starts from, linear coefficients drawn at random where it has such, and
scaled to small forces, so that atoms stay near their places in molecular dynamics.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from hydra import compose
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sus2bench.atoms.frame import edge_vectors
from sus2bench.benchmark.crystals import Crystal
from sus2bench.benchmark.speed import graph_of
from sus2bench.models.linear import HasLinearReadout
from sus2bench.models.loading import load_potential
from sus2bench.models.potential import Potential
from sus2bench.models.scaling import ScalesToData

FORCE = 0.1
"""Root mean square of the forces of an untrained potential in a crystal, eV/Å."""
_ATOMS = 64
"""Of the crystal in which it is taken, or two of each element."""


class Source(Protocol):
    """Potentials for given elements and cutoffs."""

    elements: tuple[str, ...] | None
    """The only ones that the potentials are for; None: any."""
    cutoff: float | None
    """The only one that they have, Å; None: any."""
    reach: float
    """The cutoff that they have if nobody asks for another, Å."""

    def build(self, elements: Sequence[str], cutoff: float | None = None) -> Potential:
        """A potential that knows these elements; without a cutoff it has its usual one."""


class FromFile:
    """The potential of a file, whose elements and cutoff are what they are.

    Args:
        path: of the file.
        species: of a file that does not hold them, in type order.
        dtype: floating-point type in which the potential computes.
        device: where it computes.
        backend: of SUS2 and MTP; that of the file if not given.

    Raises:
        OSError, ValueError: see `load_potential`.
    """

    def __init__(
        self,
        path: str | Path,
        species: Sequence[str] | None = None,
        *,
        dtype: torch.dtype = torch.float64,
        device: str = "cpu",
        backend: str | None = None,
    ) -> None:
        self._potential = load_potential(path, species, dtype, device, backend)
        self.elements: tuple[str, ...] | None = self._potential.species
        self.cutoff: float | None = self._potential.cutoff
        self.reach: float = self._potential.cutoff

    def build(self, elements: Sequence[str], cutoff: float | None = None) -> Potential:
        """The potential of the file, whatever is asked for."""
        return self._potential


class Untrained:
    """Models of a config, one for each choice of elements and cutoff.

    Args:
        config: what builds the model but for its species, with `cutoff`; see `model_config`.
        fixed_cutoff: whether it has this cutoff only.
        dtype: floating-point type in which the potentials compute.
        device: where they compute.
        seed: of linear coefficients and the crystal.
    """

    elements: tuple[str, ...] | None = None

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        fixed_cutoff: bool = False,
        dtype: torch.dtype = torch.float64,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        self.config = dict(config)
        self.reach: float = config["cutoff"]
        self.cutoff: float | None = self.reach if fixed_cutoff else None
        self._dtype, self._device, self._seed = dtype, device, seed
        self._built: dict[tuple[tuple[str, ...], float], Potential] = {}

    def build(self, elements: Sequence[str], cutoff: float | None = None) -> Potential:
        """A potential for exactly these elements, in evaluation mode; the same for the same.

        Raises:
            ValueError: of the model, if it cannot be built so.
        """
        reach = self.reach if cutoff is None else cutoff
        key = (tuple(elements), float(reach))
        if key not in self._built:
            settings = OmegaConf.create(self.config | {"cutoff": reach})
            model = instantiate(settings, species=list(elements), _convert_="all")
            potential = Potential(model).to(self._dtype)
            _set_initial_values(potential, self._seed)
            self._built[key] = potential.to(self._device).eval()
        return self._built[key]


def source_of(
    entry: Any, *, dtype: torch.dtype = torch.float64, device: str = "cpu", seed: int = 0
) -> Source:
    """The source that an entry of a configuration stands for.

    Args:
        entry: a file; or `file`, and where wanted `species` and `backend`; or `model`, a config of
            `conf/model/`, and where wanted keys of it.
        dtype: floating-point type in which potentials compute.
        device: where they compute.
        seed: of untrained models.

    Raises:
        ValueError: the entry is none of these, or a key or value in it does not fit.
    """
    if isinstance(entry, str):
        return FromFile(entry, dtype=dtype, device=device)
    given = dict(entry) if isinstance(entry, Mapping) else {}
    if "model" in given:
        config = model_config(given.pop("model"), given)
        fixed = "cutoff" in given
        return Untrained(config, fixed_cutoff=fixed, dtype=dtype, device=device, seed=seed)
    if "file" in given and not given.keys() - {"file", "species", "backend"}:
        species, backend = species_list(given.get("species")), given.get("backend")
        return FromFile(given["file"], species, dtype=dtype, device=device, backend=backend)
    raise ValueError(
        "a potential to time is a file, {file: ..., species: ..., backend: ...} or "
        f"{{model: one of conf/model, KEY: VALUE, ...}}, not {entry}"
    )


def model_config(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a model in `conf/model/` as it is used, with changes.

    Hydra must have been initialized, as it is in a job.

    Raises:
        ValueError: a change is of a key that the config does not have.
    """
    composed = compose("train", [f"model={name}"])
    config: DictConfig = composed.model
    for key in changes:
        if key not in config:
            near = difflib.get_close_matches(key, map(str, config), n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"the model '{name}' has no key '{key}'{hint}")
    merged = OmegaConf.merge(config, dict(changes))
    merged._set_parent(composed)  # for `seed: ${seed}`
    plain: dict[str, Any] = OmegaConf.to_container(merged, resolve=True)  # type: ignore[assignment]
    return plain


def species_list(value: Any) -> list[str] | None:
    """Chemical symbols in type order: given as such, or as a JSON file and a key in it.

    Raises:
        ValueError: for anything else, or a key the file does not have.
    """
    if value is None:
        return None
    if isinstance(value, Mapping) and set(value) == {"file", "key"}:
        table = json.loads(Path(value["file"]).read_text("utf-8"))
        if value["key"] not in table:
            raise ValueError(f"{value['file']} has no key {value['key']!r}; it has {sorted(table)}")
        return list(table[value["key"]])
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [str(symbol) for symbol in value]
    raise ValueError(f"species are a list of symbols, or {{file: ..., key: ...}}, not {value!r}")


def _set_initial_values(potential: Potential, seed: int) -> None:
    """What training data would determine before the first step, from a crystal."""
    crystal = Crystal(seed=seed).build(max(_ATOMS, 2 * len(potential.species)), potential.species)
    batch, model = graph_of([crystal], potential.cutoff), potential.model
    batch.edge_vectors = edge_vectors(batch).to(potential.dtype)
    if isinstance(model, ScalesToData):
        model.scale_to_data([batch])
    if isinstance(model, HasLinearReadout):
        generator = torch.Generator().manual_seed(seed)
        values = torch.randn(len(model.linear_coefficients), generator=generator)
        model.set_linear_coefficients(values.to(torch.float64))
    with torch.no_grad():
        forces = potential.eval()(batch, stress=False).forces
    size = float(forces.to(torch.float64).square().mean().sqrt())
    if size > 0:  # zero of a model without interactions
        potential.atomic_energies.scale.mul_(FORCE / size)
