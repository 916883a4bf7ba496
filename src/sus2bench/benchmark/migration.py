"""Records of earlier versions of the schema, brought to the present one when they are read."""

from collections.abc import Callable, Mapping
from typing import Any

SCHEMA_VERSION = 2


def migrated(record: Mapping[str, Any], source: str = "record") -> dict[str, Any]:
    """The record in the present version of the schema; one that is in it already stays as it is.

    Args:
        record: as it was read; not changed.
        source: what to call it in errors.

    Raises:
        ValueError: the version is missing, or newer than this installation knows.
    """
    version = record.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(
            f"{source} has schema_version {version!r}, which is none: it is a whole number of "
            f"at most {SCHEMA_VERSION}"
        )
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"{source} was written in version {version} of the schema, but this installation "
            f"reads versions up to {SCHEMA_VERSION}: upgrade sus2bench"
        )
    present = dict(record)
    for step in range(version, SCHEMA_VERSION):
        present = _STEPS[step](present) | {"schema_version": step + 1}
    return present


def _with_environment(record: dict[str, Any]) -> dict[str, Any]:
    """From 1 to 2: what was installed. Earlier records name a few packages only."""
    return record | {"environment": None}


_STEPS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _with_environment}
"""What leads from a version to the next."""
