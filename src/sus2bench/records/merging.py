"""Records of several machines and environments in one folder; nothing is lost or replaced."""

import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sus2bench.benchmark.records import FILE_NAME, Record, find_records
from sus2bench.records.columns import content_id, run_id
from sus2bench.records.differences import circumstances, in_words, numbers

Files = Literal["all", "predictions", "records"]
OnConflict = Literal["refuse", "first", "both"]

_WITH_RECORD = ("*.csv", FILE_NAME)
_WITH_PREDICTIONS = ("predictions_*.npz", *_WITH_RECORD)


class MergeConflictError(ValueError):
    """Records of the same run with different contents; the text names them and the ways on."""


@dataclass(frozen=True)
class Conflict:
    """Two records of the same run that do not say the same."""

    first: Path
    second: Path
    differences: tuple[str, ...]


@dataclass
class Merge:
    """What a merge does."""

    copies: list[tuple[Path, Path]] = field(default_factory=list)
    """Folders of runs, and where they go."""
    duplicates: list[tuple[Path, Path]] = field(default_factory=list)
    """Records that are left out, and the ones that say the same."""
    conflicts: list[Conflict] = field(default_factory=list)
    renamed: list[Path] = field(default_factory=list)
    """Folders among the targets that got another name, because theirs has another run."""


def merge(
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    files: Files = "all",
    on_conflict: OnConflict = "refuse",
) -> Merge:
    """Copy the runs below some folders into one, each to the same place below it.

    Records with the same content are one. Records of the same run (see
    :func:`~sus2bench.records.columns.run_id`) with different contents are a conflict. Different
    runs at the same place both come along, the later one with its hash at the end of its name.
    What is below ``out`` already counts as the first source and is never changed, so that a merge
    can be repeated with what is new; a folder there that has no record but files, as of a run under
    way, counts as one with another run. A merge that was killed leaves hidden folders at most.

    Args:
        sources: folders, searched for records, or single record files.
        out: folder to write to; made if it is missing.
        files: what comes along: ``all`` of the run's folder, checkpoints included; ``predictions``
            with records and learning curves; or ``records`` with learning curves only.
        on_conflict: ``refuse``, ``first`` to leave out all but the first, or ``both`` to keep all.

    Returns:
        What was done.

    Raises:
        FileNotFoundError: a source does not exist or holds no record.
        FileExistsError: both names that a run may get are taken by folders without records.
        MergeConflictError: there are conflicts, which are to be refused; nothing has been copied.
    """
    planned = plan(sources, out, on_conflict=on_conflict)
    if planned.conflicts and on_conflict == "refuse":
        raise MergeConflictError(_text(planned.conflicts))
    for folder, target in planned.copies:
        _copy(folder, target, files)
    return planned


def plan(
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    on_conflict: OnConflict = "refuse",
) -> Merge:
    """What :func:`merge` would do."""
    destination, planned = Path(out), Merge()
    places: set[Path] = set()
    contents: dict[str, Path] = {}
    runs: dict[str, tuple[Path, Record]] = {}
    for file, record in _present(destination):
        places.add(file.parent)
        contents[content_id(record)] = file
        runs[run_id(record)] = (file, record)
    for file, record, place in _found(sources):
        content, run = content_id(record), run_id(record)
        if content in contents:
            planned.duplicates.append((file, contents[content]))
            continue
        if run in runs:
            first, other = runs[run]
            planned.conflicts.append(Conflict(first, file, _differences(other, record)))
            if on_conflict == "first":
                continue
        target = destination / place
        if target in places or _has_other_files(target, places):
            target = target.with_name(f"{target.name}-{content}")
            if _has_other_files(target, places):
                raise FileExistsError(f"{target} has files but no record: remove it or rename it")
            planned.renamed.append(target)
        places.add(target)
        contents[content] = file
        runs.setdefault(run, (file, record))
        planned.copies.append((file.parent, target))
    return planned


def _present(destination: Path) -> list[tuple[Path, Record]]:
    try:
        return find_records([destination])
    except FileNotFoundError:
        return []


def _has_other_files(target: Path, places: set[Path]) -> bool:
    """Whether a folder has files that are not of runs below it."""
    files = (file for file in target.rglob("*") if file.is_file() and not places & {*file.parents})
    return any(file.relative_to(target).parts[0][0] != "." for file in files)


def _found(sources: Sequence[str | os.PathLike[str]]) -> list[tuple[Path, Record, Path]]:
    """Record files, their records, and the place of their folders below the source."""
    found = []
    for source in map(Path, sources):
        for file, record in find_records([source]):
            beside = source.resolve().name if source.is_dir() else file.resolve().parent.name
            place = file.parent.relative_to(source) if source.is_dir() else Path()
            found.append((file, record, place if place.parts else Path(beside)))
    return found


def _differences(first: Record, second: Record) -> tuple[str, ...]:
    """The status, main errors and circumstances in which two records of a run differ."""
    lines = []
    if first["status"] != second["status"]:
        lines.append(f"status: {first['status']} -> {second['status']}")
    table = numbers(first, second)
    changed = table[table["metric"].str.contains("_rmse_") & (table["difference"] != 0)]
    lines += [
        f"{row.split} {row.metric}: {row.first:.6g} -> {row.second:.6g} {row.unit}"
        for row in changed.itertuples()
    ]
    lines += in_words(circumstances(first, second))
    return tuple(lines or [f"created: {first['created']} -> {second['created']}"])


def _text(conflicts: Sequence[Conflict], lines: int = 6) -> str:
    """The conflicts, each with so many lines of what differs."""
    parts = [f"{len(conflicts)} runs are there twice with different contents, nothing was copied:"]
    for conflict in conflicts:
        parts.append(f"{conflict.first}\n{conflict.second}")
        parts += [f"  {line}" for line in conflict.differences[:lines]]
        more = len(conflict.differences) - lines
        parts += [f"  and {more} more"] if more > 0 else []
    parts.append("--on-conflict first keeps the first of each, --on-conflict both keeps all")
    return "\n".join(parts)


def _copy(folder: Path, target: Path, files: Files) -> None:
    """Copy the files of a run, to appear at once or, among other runs, with the record last."""
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    part.mkdir(parents=True)
    try:
        for file in _files_of(folder, files):
            copy = part / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)
        if not target.exists():
            part.rename(target)
            return
        for entry in sorted(part.iterdir(), key=_record_last):
            os.replace(entry, target / entry.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _files_of(folder: Path, files: Files) -> list[Path]:
    """Files of a run, without those of other runs below it; the record last."""
    if files != "all":
        patterns = _WITH_RECORD if files == "records" else _WITH_PREDICTIONS
        return [file for pattern in patterns for file in sorted(folder.glob(pattern))]
    others = {file.parent for file in folder.rglob(FILE_NAME)} - {folder}
    every = sorted((file for file in folder.rglob("*") if file.is_file()), key=_record_last)
    return [file for file in every if not others & set(file.parents)]


def _record_last(file: Path) -> tuple[bool, Path]:
    """Order of files in which a copy that ends early has no record, and so is no run."""
    return file.name == FILE_NAME, file
