"""What `sus2bench prune` and `sus2bench extend` do: potentials of fewer elements, or of more."""

from collections.abc import Sequence
from pathlib import Path

from sus2bench.models.potential import Potential


def prune_file(source: str, file_species: str | None, species: str, out: Path) -> None:
    """Write the potential of a file for some of its elements.

    Args:
        source: file of the potential.
        file_species: its elements in type order, where it does not hold them: symbols with commas,
            or `FILE.json:KEY`.
        species: symbols to keep, with commas, in the new type order.
        out: file to write, which must not exist.

    Raises:
        OSError, ValueError: a file cannot be read or written, or lacks an element.
    """
    from sus2bench.models.species import prune

    potential = _read(source, file_species)
    pruned = prune(potential, _symbols(species))
    _write(pruned, out)
    print(f"{out}: {', '.join(pruned.species)}; {_sizes(potential, pruned)}")


def extend_file(
    source: str,
    file_species: str | None,
    species: str,
    out: Path,
    like: Sequence[str],
    energies: Sequence[str],
) -> None:
    """Write the potential of a file with more elements.

    Args:
        source: file of the potential.
        file_species: as of `prune_file`.
        species: symbols to add, with commas.
        out: file to write, which must not exist.
        like: `NEW=KNOWN`: where a new element starts; else from the one of the nearest radius.
        energies: `NEW=EV`: atomic energies; else those of the elements they start from.

    Raises:
        OSError, ValueError: a file cannot be read or written, an element is known already, or an
            assignment is malformed.
    """
    from sus2bench.models.species import extend, nearest_species

    potential, new = _read(source, file_species), _symbols(species)
    chosen = nearest_species(new, potential.species) | _assignments(like, new)
    extended = extend(potential, chosen)
    given = {symbol: float(value) for symbol, value in _assignments(energies, new).items()}
    extended.atomic_energies.set_values(given)
    _write(extended, out)
    print(f"{out}: {', '.join(extended.species)}; {_sizes(potential, extended)}")
    for symbol, other in chosen.items():
        energy = extended.atomic_energies.as_dict()[symbol]
        print(f"  {symbol} starts as {other}, with an atomic energy of {energy:g} eV")


def _symbols(text: str) -> list[str]:
    return [symbol.strip() for symbol in text.split(",") if symbol.strip()]


def _assignments(items: Sequence[str], new: Sequence[str]) -> dict[str, str]:
    """`NEW=VALUE` pairs of elements that are new."""
    pairs = [item.partition("=")[::2] for text in items for item in _symbols(text)]
    for symbol, value in pairs:
        if symbol not in new or not value:
            raise ValueError(
                f"'{symbol}={value}' must be NEW=VALUE, with NEW one of --species {','.join(new)}"
            )
    return dict(pairs)


def _read(source: str, file_species: str | None) -> Potential:
    from sus2bench.benchmark.sources import species_list
    from sus2bench.models.loading import load_potential
    from sus2bench.models.moment_tensor.mtp_lines import FILE_SUFFIXES

    if file_species is None:
        if source.endswith(FILE_SUFFIXES):
            raise ValueError(
                f"{source} does not hold its elements: give --file-species A,B,..., in type order"
            )
        return load_potential(source)
    file, colon, key = file_species.rpartition(":")
    if colon:
        return load_potential(source, species_list({"file": file, "key": key}))
    return load_potential(source, _symbols(file_species))


def _write(potential: Potential, out: Path) -> None:
    """Write a file of the kind that its name says."""
    from sus2bench.models import mtp, sus2
    from sus2bench.models.loading import save_potential
    from sus2bench.models.moment_tensor.mtp_lines import FILE_SUFFIXES
    from sus2bench.models.nep import potential_to_nep

    if out.exists():
        raise FileExistsError(f"{out} exists: choose another name for --out")
    if out.suffix in FILE_SUFFIXES and isinstance(potential.model, mtp.MTP):
        mtp.potential_to_mtp(potential, out)
    elif out.suffix in FILE_SUFFIXES:
        sus2.potential_to_mtp(potential, out)
    elif out.suffix == ".txt":
        potential_to_nep(potential, out)
    else:
        save_potential(potential, out)


def _sizes(before: Potential, after: Potential) -> str:
    from sus2bench.benchmark.parameters import count

    stored = [count(potential)["stored"] for potential in (before, after)]
    return f"{stored[1]} parameters where {before.model.__class__.__name__} had {stored[0]}"
