"""MTP potentials from and to the files of MLIP-2 and MLIP-3, number by number."""

from collections.abc import Sequence
from os import PathLike

import numpy as np
import torch
from numpy.typing import NDArray

from sus2bench.models.base import atomic_number
from sus2bench.models.moment_tensor.contraction_table import plain_table
from sus2bench.models.mtp.mlip_file import DEFAULT_NAME, MLIPFile, read_mlip, write_mlip
from sus2bench.models.mtp.model import MTP
from sus2bench.models.potential import Potential


def potential_from_mtp(path: str | PathLike[str], species: Sequence[str]) -> Potential:
    """Reads an MTP potential in float64; an untrained file gives initial values.

    Args:
        path: the `.mtp` or `.almtp` file.
        species: chemical symbols in the file's type order, which the file itself does not hold.

    Raises:
        ValueError: the file is malformed, or has another number or order of species.
    """
    content = read_mlip(path)
    _check_species(path, content, species)
    model = MTP(
        species,
        content.max_dist,
        basis=plain_table(content.table),
        radial_basis_size=content.radial_basis_size,
        min_dist=content.min_dist,
        scaling=content.scaling,
    ).to(torch.float64)
    potential = Potential(model)
    for parameter, values in (
        (model.radial.coefficients, content.radial_coeffs),
        (model.readout.coefficients, content.moment_coeffs),
        (potential.atomic_energies.values, content.species_coeffs),
    ):
        if values is not None:
            parameter.data.copy_(torch.from_numpy(values))
    return potential


def _check_species(path: str | PathLike[str], content: MLIPFile, species: Sequence[str]) -> None:
    if len(species) != content.species_count:
        raise ValueError(
            f"{path}: the file has species_count = {content.species_count}, but {len(species)} "
            f"symbols are given ({', '.join(species)}); list the file's elements in type order"
        )
    numbers = tuple(atomic_number(symbol) for symbol in species)
    # MLIP-3 keeps the type numbers of its training set, which may be atomic numbers.
    if content.type_numbers != numbers and set(content.type_numbers or ()) == set(numbers):
        raise ValueError(
            f"{path}: the file's types are the atomic numbers {content.type_numbers}, in this "
            f"order, but the symbols given are {', '.join(species)}: put them in the file's order"
        )


def potential_to_mtp(
    potential: Potential,
    path: str | PathLike[str],
    *,
    name: str = DEFAULT_NAME,
    overwrite: bool = False,
) -> None:
    """Writes an MTP potential so that MLIP-2, MLIP-3 and programs that read their files can use it.

    Args:
        potential: its model must be MTP without ZBL, which the format cannot hold.
        path: the `.mtp` file to write.
        name: `potential_name`, one word.
        overwrite: whether an existing file may be replaced.

    Raises:
        ValueError: the potential is no MTP potential or has ZBL.
        FileExistsError: the file exists.
    """
    model = potential.model
    if not isinstance(model, MTP):
        raise ValueError(f"only MTP can be written as .mtp of MLIP, not {type(model).__name__}")
    if potential.zbl is not None:
        raise ValueError("an .mtp file cannot hold the ZBL repulsion this potential adds")
    radial = model.radial
    content = MLIPFile(
        potential_name=name,
        scaling=radial.scaling,
        species_count=len(model.species),
        min_dist=radial.min_dist,
        max_dist=model.cutoff,
        radial_basis_size=radial.coefficients.shape[3],
        radial_funcs_count=radial.coefficients.shape[2],
        table=model.table,
        radial_coeffs=_numbers(radial.coefficients),
        species_coeffs=_numbers(potential.atomic_energies.values),
        # The format knows no scale on the many-body sum; xi takes it.
        moment_coeffs=_numbers(model.readout.xi * potential.atomic_energies.scale),
    )
    write_mlip(content, path, overwrite=overwrite)


def _numbers(tensor: torch.Tensor) -> NDArray[np.float64]:
    values: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return values
