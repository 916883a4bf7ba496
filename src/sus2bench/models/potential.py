"""The potential: site energies of any model to total energy, forces, virial and stress."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import ase
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch_geometric.data import Data

from sus2bench.atoms.frame import build_frame, frame_of_atom
from sus2bench.atoms.moving import SKIN
from sus2bench.models import blocks
from sus2bench.models.atomic_energies import AtomicEnergies
from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.blocks import Extent
from sus2bench.models.derivatives import Derivatives, with_edge_vectors
from sus2bench.models.zbl import ZBL, PairRepulsion

if TYPE_CHECKING:
    from sus2bench.interfaces.calculator import FrameCalculator

PAYLOAD_FORMAT = "sus2bench-potential"
PAYLOAD_VERSION = 1


class Prediction(NamedTuple):
    """What a potential says of a batch of B frames with N atoms."""

    energy: Tensor
    """(B,) float64, eV."""
    forces: Tensor | None
    """(N, 3) eV/Å."""
    stress: Tensor | None
    """(B, 3, 3) eV/Å^3, ASE's sign; NaN where the cell has no volume."""
    virial: Tensor | None
    """(B, 3, 3) eV, sum over edges of dE/dr (x) r = stress times volume."""
    site_energies: Tensor
    """(N,) float64, eV, with E0."""


class Potential(nn.Module):
    """A model with its atomic energies: frames in, energies, forces and stresses out.

    Args:
        model: site energies as a function of edge vectors and elements.
        atomic_energies: E0 in eV by chemical symbol; zero where not given.
        energy_scale: factor on the model's output (eV per unit of output).
        zbl: short-range pair repulsion that is added, or None.

    Attributes:
        held: names of parameters that no fit may change; see `training.freezing`.
    """

    def __init__(
        self,
        model: SiteEnergyModel,
        atomic_energies: Mapping[str, float] | None = None,
        *,
        energy_scale: float = 1.0,
        zbl: PairRepulsion | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.atomic_energies = AtomicEnergies(model.symbols, atomic_energies)
        self.atomic_energies.scale.fill_(energy_scale)
        self.zbl = zbl
        self.held: frozenset[str] = frozenset()

    @property
    def species(self) -> tuple[str, ...]:
        """Chemical symbols in type order."""
        return self.model.symbols

    @property
    def cutoff(self) -> float:
        """Radius of the neighbour list that is needed, Å."""
        return max(self.model.cutoff, self.zbl.cutoff) if self.zbl else self.model.cutoff

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type in which the model computes."""
        dtype: torch.dtype = self.model.dtype
        return dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.atomic_energies.values.device

    def forward(self, frame: Data, *, forces: bool = True, stress: bool = True) -> Prediction:
        """Predicts a frame or a batch of frames.

        Forces can be differentiated again (with respect to parameters) in training mode with
        gradients enabled; otherwise no graph is kept. Works under `torch.no_grad`.

        Raises:
            ValueError: the frame has an element the model does not know.
        """
        types = self._types(frame)
        differentiable = self.training and torch.is_grad_enabled()
        batch, frames = frame_of_atom(frame)
        with torch.set_grad_enabled(differentiable):
            if not (forces or stress):
                site = self._site_energies(frame, types, differentiable)
                return Prediction(_sums(site, batch, frames), None, None, None, site)
            site, force, virial = self._derivatives(frame, types, differentiable, virial=stress)
            return Prediction(
                _sums(site, batch, frames),
                force if forces else None,
                None if virial is None else _stress(virial, frame.cell),
                virial,
                site,
            )

    def _site_energies(self, frame: Data, types: Tensor, differentiable: bool) -> Tensor:
        found = self.model.energies(frame, differentiable=differentiable)
        site = self._with_atomic_energies(found, types, differentiable)
        if self.zbl is None:
            return site
        extent = self._extent_of_repulsion(self.zbl)
        return site + blocks.energies(self.zbl, frame, extent, differentiable=differentiable)

    def _derivatives(
        self, frame: Data, types: Tensor, differentiable: bool, *, virial: bool
    ) -> Derivatives:
        """Everything in one, with E0, the scale and the repulsion."""
        found = self.model.predict(frame, differentiable=differentiable, virial=virial)
        site = self._with_atomic_energies(found.site, types, differentiable)
        forces, total = found.forces, found.virial
        scale = self.atomic_energies.scale.to(forces.dtype)
        forces, total = forces * scale, None if total is None else total * scale
        if self.zbl is not None:
            extent = self._extent_of_repulsion(self.zbl)
            short = blocks.predict(
                self.zbl, frame, extent, differentiable=differentiable, virial=virial
            )
            site, forces = site + short.site, forces + short.forces
            total = None if total is None or short.virial is None else total + short.virial
        return Derivatives(site, forces, total)

    def _with_atomic_energies(self, found: Tensor, types: Tensor, differentiable: bool) -> Tensor:
        values = self.reference_energies(differentiable=differentiable)
        site: Tensor = self.atomic_energies(found, types, values)
        return site

    def reference_energies(self, *, differentiable: bool) -> Tensor:
        """E0 (C,) of the present parameters, eV; see `hold_isolated_atoms` for those held."""
        if self.atomic_energies.isolated is None:
            return self.atomic_energies.values
        lone = self.model.energies(self._isolated_atoms(), differentiable=differentiable)
        return self.atomic_energies.beside(lone)

    def _isolated_atoms(self) -> Data:
        """A frame with one atom of each species, none of which has a neighbour."""
        atoms = ase.Atoms(self.species)
        atoms.positions[:, 0] = 2 * self.cutoff * torch.arange(len(atoms)).numpy()
        return build_frame(atoms, self.cutoff).to(str(self.device))

    def isolated_energies(self) -> Tensor:
        """Energies of isolated atoms (C,) in eV; to be differentiated if gradients are enabled."""
        types = torch.arange(len(self.species), device=self.device)
        return self._site_energies(self._isolated_atoms(), types, torch.is_grad_enabled())

    @torch.no_grad()
    def hold_isolated_atoms(self, energies: Mapping[str, float]) -> None:
        """Gives isolated atoms these energies, which they keep, whatever is trained from now on.

        E0 is not trained any more. In each prediction it is the energy that is held less the
        model's own of such an atom (as w of SUS2), so that gradients by the model's parameters are
        those of the potential that holds. Files have E0 of the parameters they are written with,
        and hold nothing.

        Args:
            energies: eV of each species.
        """
        held = [energies[symbol] for symbol in self.species]
        self.atomic_energies.hold(torch.tensor(held, dtype=torch.float64))
        self.atomic_energies.values.copy_(self._values_beside(self.model.state_dict()))

    @torch.no_grad()
    def _values_beside(self, state: Mapping[str, Tensor]) -> Tensor:
        """E0 (C,) in eV for a state of the model."""
        frame = with_edge_vectors(self._isolated_atoms(), self.dtype)
        return self.atomic_energies.beside(functional_call(self.model, dict(state), (frame,)))

    def _extent_of_repulsion(self, zbl: PairRepulsion) -> Extent:
        return Extent(self.dtype, zbl.cutoff, strictly_local=True)

    def _types(self, frame: Data) -> Tensor:
        types = self.model.types(frame.atomic_numbers)
        if types.is_cuda and torch.cuda.is_current_stream_capturing():
            return types  # what is recorded cannot wait; these atoms have been looked at before
        if bool((types < 0).any()):
            from ase.data import chemical_symbols

            unknown = sorted(set(frame.atomic_numbers[types < 0].tolist()))
            raise ValueError(
                f"the frame contains {[chemical_symbols[z] for z in unknown]}, but this potential "
                f"knows only {list(self.species)}"
            )
        return types

    def calculator(self, *, skin: float = SKIN) -> "FrameCalculator":
        """An ASE calculator with energy, energies, forces and stress.

        Args:
            skin: by how much its neighbour list reaches beyond the cutoff, so that it can be kept
                for a while, Å; 0 for a new list at each step. Results do not depend on it.
        """
        from sus2bench.interfaces.calculator import FrameCalculator

        return FrameCalculator(self.eval(), self.cutoff, skin=skin, device=self.device)

    def to_payload(self, parameters: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
        """Everything needed to rebuild the potential, as tensors and plain data.

        Args:
            parameters: those that stand in for its own, by name.
        """
        kind = type(self.model)
        state = {**self.state_dict(), **(parameters or {})}
        if self.atomic_energies.isolated is not None:
            own = {k.removeprefix("model."): t for k, t in state.items() if k.startswith("model.")}
            state["atomic_energies.values"] = self._values_beside(own)
        return {
            "format": PAYLOAD_FORMAT,
            "version": PAYLOAD_VERSION,
            "model": {
                "target": f"{kind.__module__}.{kind.__qualname__}",
                "hyperparameters": self.model.hyperparameters(),
            },
            "zbl": _plain_repulsion(self.zbl),
            "dtype": str(self.dtype).removeprefix("torch."),
            "state_dict": {name: t.detach().clone() for name, t in state.items()},
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> "Potential":
        """Rebuilds a potential from `to_payload`.

        Raises:
            ValueError: the payload is not one, is of a newer version, or names a class that is no
                `SiteEnergyModel`.
        """
        if payload.get("format") != PAYLOAD_FORMAT:
            raise ValueError("this is not a sus2bench potential: the field 'format' is missing")
        if payload["version"] > PAYLOAD_VERSION:
            raise ValueError(
                f"the potential was written in format version {payload['version']}, this "
                f"installation reads up to {PAYLOAD_VERSION}: upgrade sus2bench"
            )
        model = model_class(payload["model"]["target"])(**payload["model"]["hyperparameters"])
        potential = cls(model, zbl=_repulsion(payload["zbl"]))
        potential.to(getattr(torch, payload["dtype"]))
        potential.load_state_dict(payload["state_dict"])
        return potential


def model_class(target: str) -> type[SiteEnergyModel]:
    """The architecture at a dotted path; ValueError if it is not to be had or is none."""
    found: type[SiteEnergyModel] = _subclass(target, SiteEnergyModel)
    return found


def _subclass(target: str, base: type) -> Any:
    """The class at a dotted path; ValueError if it is not to be had or is no subclass of `base`."""
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"the potential needs {target}, which cannot be imported ({error}); install the "
            "package that has this architecture"
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ValueError(f"{target} is not a {base.__name__}: refusing to call it")
    return found


def _plain_repulsion(zbl: PairRepulsion | None) -> dict[str, Any] | None:
    """Plain data of a repulsion; that of `ZBL`, which has been there first, names no class."""
    if zbl is None or type(zbl) is ZBL:
        return zbl.hyperparameters() if zbl else None
    kind = type(zbl)
    target = f"{kind.__module__}.{kind.__qualname__}"
    return {"target": target, "hyperparameters": zbl.hyperparameters()}


def _repulsion(plain: Mapping[str, Any] | None) -> PairRepulsion | None:
    if plain is None:
        return None
    if "target" not in plain:
        return ZBL(**plain)
    repulsion: PairRepulsion = _subclass(plain["target"], PairRepulsion)(**plain["hyperparameters"])
    return repulsion


def _sums(site: Tensor, batch: Tensor, frames: int) -> Tensor:
    """Energies of frames (B,) from those of their atoms."""
    return site.new_zeros(frames).index_add(0, batch, site)


def _stress(virial: Tensor, cell: Tensor) -> Tensor:
    """W / V (B, 3, 3), eV/Å^3; NaN where V is 0, with gradients that stay finite there."""
    volume = torch.linalg.det(cell).abs().view(-1, 1, 1)
    divisor = torch.where(volume > 0, volume, 1.0).to(virial.dtype)
    return torch.where(volume > 0, virial / divisor, torch.nan)
