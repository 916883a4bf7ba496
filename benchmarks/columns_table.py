"""Tables of the benchmarks."""

from collections.abc import Mapping


def table(found: Mapping[str, Mapping[str, float]], digits: int) -> str:
    """What was found of each thing beside the others, a column each, as Markdown."""
    lines = ["| | " + " | ".join(found) + " |", "|---|" + "---:|" * len(found)]
    for name in next(iter(found.values())):
        cells = (f"{column[name]:,.{digits}g}" for column in found.values())
        lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
