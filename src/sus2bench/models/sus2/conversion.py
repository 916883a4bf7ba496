"""SUS2 potentials from and to `.mtp` files, number by number."""

from collections.abc import Sequence
from os import PathLike

import numpy as np
import torch
from numpy.typing import NDArray

from sus2bench.models.moment_tensor.contraction_table import plain_table
from sus2bench.models.potential import Potential
from sus2bench.models.sus2.model import SUS2
from sus2bench.models.sus2.mtp_file import MTPFile, read_mtp, write_mtp


def potential_from_mtp(path: str | PathLike[str], species: Sequence[str]) -> Potential:
    """Reads a SUS2 potential in float64; an untrained file gives initial values.

    Args:
        path: the `.mtp` file.
        species: chemical symbols in the file's type order, which the file itself does not hold.

    Raises:
        ValueError: the file is malformed, or has another number of species.
    """
    mtp = read_mtp(path)
    if len(species) != mtp.species_count:
        raise ValueError(
            f"{path}: the file has species_count = {mtp.species_count}, but {len(species)} "
            f"symbols are given ({', '.join(species)}); list the file's elements in type order"
        )
    model = SUS2(
        species,
        mtp.max_dist,
        basis=plain_table(mtp.table),
        max_rank=mtp.L,
        channels=mtp.channels,
        radial_basis_size=mtp.radial_basis_size,
        scaling_map=mtp.scaling_map,
        radial_basis_type=mtp.radial_basis_type,
        min_dist=mtp.min_dist,
        scaling=mtp.scaling,
    ).to(torch.float64)
    potential = Potential(model)
    _copy_coefficients(mtp, potential, model)
    return potential


def _copy_coefficients(mtp: MTPFile, potential: Potential, model: SUS2) -> None:
    """Copies the coefficients of a trained file; an untrained one has none."""
    rows, scalings = mtp.radial_coeffs, mtp.scal_coeffs
    if rows is None or scalings is None:
        return
    radial, size = model.radial, mtp.radial_basis_size
    for parameter, values in (
        (radial.alpha, scalings[:, 0]),
        (radial.r0, scalings[:, 1]),
        (radial.coefficients, rows[:, :size]),
        (radial.species_factor, rows[0, size:]),
        (radial.unused_species_factors, rows[1:, size:]),
        (model.species_weight, mtp.species_coeffs),
        (model.readout.coefficients, mtp.moment_coeffs),
        (potential.atomic_energies.values, mtp.shift_coeffs),
    ):
        parameter.data.copy_(torch.from_numpy(np.array(values)))


def potential_to_mtp(
    potential: Potential,
    path: str | PathLike[str],
    *,
    name: str | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a SUS2 potential so that the authors' programs can read it.

    The file has alpha and r0 of every pair, whatever the parametrization; it is read as `pair`.

    Args:
        potential: its model must be SUS2 without ZBL, which the format cannot hold.
        path: the `.mtp` file to write.
        name: `potential_name`; `MTP_l{L}k{K}` if not given.
        overwrite: whether an existing file may be replaced.

    Raises:
        ValueError: the potential is no SUS2 potential or has ZBL.
        FileExistsError: the file exists.
    """
    model = potential.model
    if not isinstance(model, SUS2):
        raise ValueError(f"only SUS2 can be written as .mtp, not {type(model).__name__}")
    if potential.zbl is not None:
        raise ValueError("an .mtp file cannot hold the ZBL repulsion this potential adds")
    write_mtp(_to_mtp(potential, model, name), path, overwrite=overwrite)


def _to_mtp(potential: Potential, model: SUS2, name: str | None) -> MTPFile:
    radial = model.radial

    def numbers(tensor: torch.Tensor) -> NDArray[np.float64]:
        values: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
        return values

    alpha, r0 = (numbers(table) for table in radial.pair_scaling())
    species_columns = torch.cat([radial.species_factor[None], radial.unused_species_factors])
    return MTPFile(
        potential_name=name or f"MTP_l{model.max_rank}k{radial.channels}",
        scaling=radial.scaling,
        L=model.max_rank,
        scaling_map=radial.scaling_map,
        species_count=len(model.species),
        potential_tag="",
        radial_basis_type=radial.basis_type,
        min_dist=radial.min_dist,
        max_dist=model.cutoff,
        radial_basis_size=radial.coefficients.shape[1],
        radial_funcs_count=len(radial.coefficients),
        table=model.table,
        shift_coeffs=numbers(potential.atomic_energies.values),
        scal_coeffs=np.stack([alpha, r0], axis=1),
        radial_coeffs=np.concatenate(
            [numbers(radial.coefficients), numbers(species_columns)], axis=1
        ),
        # The format knows no scale on the many-body sum; w takes it.
        species_coeffs=numbers(model.species_weight * potential.atomic_energies.scale),
        moment_coeffs=numbers(model.readout.xi),
    )
