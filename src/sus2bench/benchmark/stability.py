"""Does a potential hold where there are no labels? Dynamics, equation of state, pairs of atoms."""

from dataclasses import dataclass, field
from typing import Any

import ase

from sus2bench.atoms.frame import frame_to_atoms
from sus2bench.benchmark.dynamics_checks import Dynamics, hot, nve
from sus2bench.benchmark.energy_curves import Distances, Volumes, dimers, equation_of_state
from sus2bench.benchmark.inference import in_mode
from sus2bench.data.dataset import FrameDataset
from sus2bench.models.potential import Potential


@dataclass(frozen=True)
class Stability:
    """The checks; None leaves one out.

    Attributes:
        nve: dynamics at constant energy.
        hot: dynamics at a raised temperature.
        eos: energies of a cell against its volume.
        dimers: energies of two atoms against their distance.
        atoms: dynamics starts from a frame that is repeated until it has at least so many.
    """

    nve: Dynamics | None = field(default_factory=Dynamics)
    hot: Dynamics | None = field(default_factory=lambda: Dynamics(**HOT))
    eos: Volumes | None = field(default_factory=Volumes)
    dimers: Distances | None = field(default_factory=Distances)
    atoms: int = 32


HOT: dict[str, Any] = {"temperature": 1000.0, "friction": 0.01}
"""What the run at a raised temperature has of its own."""

_PARTS = {"nve": Dynamics, "hot": Dynamics, "eos": Volumes, "dimers": Distances}


def settings_of(given: Any) -> Stability | None:
    """The checks that a configuration asks for.

    Args:
        given: false or None; true, for all as they are; or what differs, such as
            `{nve: {steps: 10000}, hot: null}`.

    Raises:
        ValueError: for anything else, or a name that a check does not have.
    """
    if given is None or given is False:
        return None
    if given is True:
        return Stability()
    if not isinstance(given, dict):
        raise ValueError(
            f"stability is true, false or a group such as {{hot: null}}, not {given!r}"
        )
    made = dict(given)
    for name in _PARTS.keys() & made.keys():
        made[name] = _part(name, made[name])
    checks: Stability = _made(Stability, "stability", made)
    return checks


def _part(name: str, given: Any) -> Any:
    if given is None or given is False:
        return None
    own = HOT if name == "hot" else {}
    return _made(_PARTS[name], f"stability.{name}", own if given is True else own | dict(given))


def _made(kind: type, name: str, arguments: dict[str, Any]) -> Any:
    unknown = sorted(arguments.keys() - kind.__dataclass_fields__.keys())  # type: ignore[attr-defined]
    if unknown:
        known = ", ".join(kind.__dataclass_fields__)  # type: ignore[attr-defined]
        raise ValueError(f"{name} has no {unknown[0]!r}; it has {known}")
    return kind(**arguments)


def check_stability(
    potential: Potential, frames: FrameDataset, settings: Stability
) -> dict[str, Any]:
    """Makes the checks.

    Args:
        potential: stays as it is.
        frames: the first that is periodic in all directions is taken, or the first of all where
            none is.
        settings: which checks, and how large.

    Returns:
        What each check found, as `nve`, `hot`, `eos` and `dimers`, null for one that was not to be
        made; `atoms` in the dynamics, and the `frame` they start from.

    Raises:
        ValueError: there is no frame.
    """
    if len(frames) == 0:
        raise ValueError("the data set has no frame to start from")
    index = next((i for i, frame in enumerate(frames) if bool(frame.pbc.all())), 0)
    atoms = frame_to_atoms(frames[index])
    found: dict[str, Any] = {"frame": index, **dict.fromkeys(_PARTS)}
    with in_mode(potential, training=False):
        calculator = potential.calculator()
        many = repeated(atoms, settings.atoms)
        atoms.calc = many.calc = calculator
        found["atoms"] = len(many)
        if settings.nve is not None:
            found["nve"] = nve(many, settings.nve)
        if settings.hot is not None:
            found["hot"] = hot(many, settings.hot)
        if settings.eos is not None and bool(atoms.pbc.all()):
            found["eos"] = equation_of_state(atoms, settings.eos)
        if settings.dimers is not None:
            found["dimers"] = dimers(potential, settings.dimers)
    return found


def repeated(atoms: ase.Atoms, least: int) -> ase.Atoms:
    """The cell repeated along its shortest periodic vectors until it has so many atoms."""
    grown: ase.Atoms = atoms.copy()
    lengths = atoms.cell.lengths()
    times = [1, 1, 1]
    while len(grown) < least and atoms.pbc.any():
        periodic = [axis for axis in range(3) if atoms.pbc[axis]]
        axis = min(periodic, key=lambda axis: times[axis] * lengths[axis])
        times[axis] += 1
        grown = atoms.repeat(times)
    return grown


def in_short(found: dict[str, Any]) -> str:
    """What the checks found, in a line for a log."""
    texts = []
    for name in ("nve", "hot"):
        if found[name] is not None:
            texts.append(f"{name} {found[name]['failure'] or 'completed'}")
    if found["eos"] is not None:
        texts.append(f"eos {found['eos']['local_minima']} minima")
    if found["dimers"] is not None:
        texts.append(f"dimers {100 * found['dimers']['sane_fraction']:.0f} % sane")
    return ", ".join(texts)
