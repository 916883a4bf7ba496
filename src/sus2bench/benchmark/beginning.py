"""What a training run begins with: a new potential or that of a file, and its initial values."""

import logging
from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sus2bench.benchmark.parameters import species_pairs
from sus2bench.benchmark.sources import species_list
from sus2bench.data.datamodule import FrameDataModule
from sus2bench.data.dataset import FrameDataset
from sus2bench.models.linear import HasLinearReadout
from sus2bench.models.loading import load_potential
from sus2bench.models.potential import Potential
from sus2bench.models.species import HasSpeciesTensors, extend, nearest_species
from sus2bench.models.zbl import ZBL, PairRepulsion
from sus2bench.training.added_species import fit_added_energies
from sus2bench.training.freezing import freeze, thawed
from sus2bench.training.initialise import initialise, take_units, trains_by_steps
from sus2bench.training.linear_readout import LinearWeights
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.multistart import MultiStart
from sus2bench.training.regularization import Regularization

logger = logging.getLogger(__name__)


def new_potential(cfg: DictConfig, datamodule: FrameDataModule) -> Potential:
    """A potential of the model that is configured, for the elements of the data."""
    species = list(datamodule.species)
    model = instantiate(cfg.model, species=species, _convert_="all")
    potential = Potential(model, zbl=repulsion_of(cfg, species)).to(dtype_of(cfg))
    # Energies of isolated atoms will be held, which the count of parameters is to know.
    held = cfg.potential.atomic_energies == "isolated_atoms"
    potential.atomic_energies.values.requires_grad_(not held)
    if potential.cutoff > datamodule.cutoff:
        raise ValueError(
            f"the repulsion reaches {potential.cutoff:.2f} Å, farther than model.cutoff="
            f"{model.cutoff} Å: raise that, or set potential.zbl=false"
        )
    return potential


def repulsion_of(cfg: DictConfig, species: list[str]) -> PairRepulsion | None:
    """The repulsion that `potential.zbl` asks for: true for `ZBL`, or any other by `_target_`."""
    if OmegaConf.is_config(cfg.potential.zbl):
        repulsion: PairRepulsion = instantiate(cfg.potential.zbl, species=species, _convert_="all")
        return repulsion
    return ZBL(species) if cfg.potential.zbl else None


def potential_of_file(cfg: DictConfig) -> Potential | None:
    """The potential of the file that training starts from, if there is one.

    Raises:
        ValueError: if a repulsion is asked for, which only new models get.
    """
    if cfg.potential.start is None:
        return None
    if cfg.potential.zbl:
        raise ValueError(
            f"potential.zbl adds a repulsion to new models; {cfg.potential.start} keeps what it "
            "has: leave one of potential.zbl and potential.start out"
        )
    species = species_list(cfg.potential.species)
    logger.info("%s keeps its own model, cutoff and repulsion", cfg.potential.start)
    # Lightning leaves a model in the mode it finds it in.
    start, backend = cfg.potential.start, cfg.potential.backend
    return load_potential(start, species, dtype=dtype_of(cfg), backend=backend).train()


def with_elements_of(
    datamodule: FrameDataModule, cfg: DictConfig, potential: Potential
) -> tuple[Potential, dict[str, str]]:
    """The potential of a file, with those elements of the data added that it lacks.

    Returns:
        The potential, and for each new element the one it starts as.

    Raises:
        ValueError: if it lacks elements and `potential.add_species` does not allow to add them.
    """
    new = sorted(set(datamodule.species) - set(potential.species))
    allowed = plain(cfg.potential.add_species)
    if not new:
        return potential, {}
    if not (allowed or isinstance(allowed, Mapping)):
        raise ValueError(
            f"{cfg.potential.start} does not know {new} of the training data; "
            "potential.add_species=true adds them"
        )
    like = nearest_species(new, potential.species)
    if isinstance(allowed, Mapping):
        like |= {symbol: str(other) for symbol, other in allowed.items() if symbol in new}
    logger.info("added elements start as %s", like)
    return extend(potential, like), like


def initial_values(
    cfg: DictConfig,
    potential: Potential,
    added: Mapping[str, str],
    datamodule: FrameDataModule,
    loss: PotentialLoss,
    regularization: Regularization,
) -> dict[str, Any]:
    """Sets initial values, unless they are those of a trained file; returns a report.

    A trained file gets no more than the units in which its linear readout is trained. Where an
    exact solve is all the training there is, it is made for any file. What is frozen stays as it is
    in a trained file, and as it is set here in any other potential.

    Args:
        cfg: of the run.
        potential: changed in place.
        added: elements that the file did not have, and those they start as.
        datamodule: whose training frames count.
        loss: whose weights the exact solve takes.
        regularization: of the loss, in the exact solve and where starts are compared.

    Raises:
        ValueError: if atomic energies or several starts are asked for in a way that a file would
            ignore.
    """
    model, energies = potential.model, plain(cfg.potential.atomic_energies)
    untrained = isinstance(model, HasLinearReadout) and not bool(model.linear_coefficients.any())
    arguments = {
        "atomic_energies": energies,
        "weights": LinearWeights(**loss.weights),
        "regularization": regularization,
    }
    if cfg.potential.multistart is not None:
        return _best_of_several(cfg, potential, datamodule, loss, regularization)
    if cfg.potential.start is None or untrained:
        with thawed(potential):
            return initialise(potential, datamodule.train, **arguments)
    if not trains_by_steps(potential):
        return initialise(potential, datamodule.train, **arguments)
    if energies != "least_squares":
        raise ValueError(
            f"{cfg.potential.start} is trained and keeps its atomic energies: leave "
            "potential.atomic_energies out, or start from an untrained file"
        )
    report: dict[str, Any] = {"start": str(cfg.potential.start)}
    take_units(potential, datamodule.train, arguments["weights"])
    if added:
        fitted = fit_added_energies(potential, datamodule.train, list(added))
        report["added_species"] = {
            symbol: {"starts_as": added[symbol], "atomic_energy": energy}
            for symbol, energy in fitted.items()
        }
    return report


def unseen_pairs(potential: Potential, train: FrameDataset) -> dict[str, Any]:
    """A report of pairs of elements (without order) that never meet within the cutoff in training.

    If the model has numbers of pairs, no training changes those. The report has the names of such
    pairs and how many pairs there are; it is empty where all meet, or no number belongs to a pair.
    """
    model = potential.model
    if not isinstance(model, HasSpeciesTensors):
        return {}
    if all(len(tensor.axes) < 2 for tensor in model.species_tensors().values()):
        return {}
    met = species_pairs(train)
    elements = list(zip(model.symbols, model.species, strict=True))
    pairs = list(combinations_with_replacement(elements, 2))
    unseen = [f"{first}-{other}" for (first, a), (other, b) in pairs if (a, b) not in met]
    if not unseen:
        return {}
    logger.warning(
        "%d of %d pairs of elements never meet in the training data (%s%s): no data fit what the "
        "model has for each pair, and predictions where they meet are guesses",
        *(len(unseen), len(pairs), ", ".join(unseen[:10]), ", ..." if len(unseen) > 10 else ""),
    )
    return {"pairs": len(pairs), "unseen_pairs": unseen}


def _best_of_several(
    cfg: DictConfig,
    potential: Potential,
    datamodule: FrameDataModule,
    loss: PotentialLoss,
    regularization: Regularization,
) -> dict[str, Any]:
    """Initial values as `potential.multistart` chooses them."""
    if cfg.potential.start is not None:
        raise ValueError(
            f"potential.multistart draws new initial values, but {cfg.potential.start} brings its "
            "own: leave one of potential.multistart and potential.start out"
        )
    if "seed" not in cfg.model:
        raise ValueError("potential.multistart needs a model with a seed: leave it out")

    def make(seed: int) -> Potential:
        changed = cfg.copy()
        changed.model.seed = seed
        made = new_potential(changed, datamodule)
        freeze(made, plain(cfg.potential.freeze))
        return made

    settings = {"_target_": "sus2bench.training.multistart.MultiStart"}
    chooser: MultiStart = instantiate(
        OmegaConf.merge(settings, cfg.potential.multistart), _convert_="all"
    )
    return chooser.initialise(
        potential,
        make,
        cfg.model.seed,
        datamodule.train,
        loss,
        atomic_energies=plain(cfg.potential.atomic_energies),
        regularization=regularization,
    )


def dtype_of(cfg: DictConfig) -> torch.dtype:
    """The floating-point type that the configuration names.

    Raises:
        ValueError: for any other than float32 and float64.
    """
    if cfg.dtype not in ("float32", "float64"):
        raise ValueError(f"dtype is float32 or float64, not {cfg.dtype!r}")
    return torch.float32 if cfg.dtype == "float32" else torch.float64


def plain(value: Any) -> Any:
    """A part of the configuration as plain data."""
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
