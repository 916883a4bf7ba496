"""What `sus2bench compare` and `compare-speed` say about times."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FORMATS = ("table", "markdown", "csv")

Record = dict[str, Any]


def compare_speed(sources: Sequence[str], shown: str, confidence: float, least: float) -> None:
    """Print whether the times of two records differ.

    Args:
        sources: two record files, or folders with one each.
        shown: one of `FORMATS`.
        confidence: of the intervals, between 0 and 1.
        least: relative difference that the whole interval must exceed.

    Raises:
        FileNotFoundError: a source holds no record.
        ValueError: a source holds several records, or they cannot be compared.
    """
    from sus2bench.benchmark import tables
    from sus2bench.benchmark.records import find_records
    from sus2bench.benchmark.speed_comparison import compare_records
    from sus2bench.benchmark.speed_tables import comparison_table

    if not 0 < confidence < 1:
        raise ValueError(f"the confidence is between 0 and 1, not {confidence:g}")
    records = []
    for source in sources:
        found = find_records([source])
        if len(found) > 1:
            raise ValueError(f"{source} holds {len(found)} records: name one of them")
        records.append(found[0][1])
    first, second = records
    table = compare_records(first, second, confidence=confidence, least=least)
    text = comparison_table(table, confidence)
    if shown == "csv":
        print(tables.csv(table), end="")
    elif shown == "markdown":
        print(tables.markdown(text), end="")
    else:
        print_text(text)


def print_scans(records: Sequence[Record]) -> None:
    """Print µs/atom of every scan among some records."""
    from sus2bench.benchmark.speed_tables import scan_table

    for record in records:
        if "scan" in record:
            print(f"{record['name']}: energy and forces, µs/atom")
            print_text(scan_table(record))


def print_text(table: Any) -> None:
    """Print a table of text, its first columns aligned left, as wide as it is."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in table.columns:
        drawn.add_column(title, no_wrap=True)
    for row in table.itertuples(index=False):
        drawn.add_row(*row)
    Console(width=Console(width=1000).measure(drawn).maximum).print(drawn)


def scan_figures(records: Sequence[Record], folder: Path) -> list[Path]:
    """A figure for each kind of scan; potentials of several records share one where they can.

    They can where what is scanned is the same, the crystal and the numbers that stay, and how it is
    measured, the precision and the clock. Files are called `speed_` and what the scan goes over,
    further ones of the same with a number.
    """
    from sus2bench.figures.speed_scan import speed_scan
    from sus2bench.figures.style import save

    same: dict[str, list[Record]] = {}
    for record in records:
        if "scan" in record:
            scan = record["scan"]
            measured = [record["model"]["dtype"], record["config"].get("clock")]
            circumstances = [scan[key] for key in ("over", "fixed", "crystal")]
            same.setdefault(str([*measured, *circumstances]), []).append(record)
    files: list[Path] = []
    drawn: Counter[str] = Counter()
    for group in same.values():
        over, points = group[0]["scan"]["over"], {}
        for record in group:
            for name, line in record["scan"]["points"].items():
                points[name if name not in points else f"{name} ({record['name']})"] = line
        drawn[over] += 1
        number = f"_{drawn[over]}" if drawn[over] > 1 else ""
        files += save(speed_scan(over, points), folder, f"speed_{over}{number}")
    return files


def speed_sections(records: Sequence[Record], reference: str | None) -> list[str]:
    """Lines of Markdown: ratios to a reference where it was timed, and the times of scans.

    Raises:
        ValueError: no record has timed the reference.
    """
    from sus2bench.benchmark import tables
    from sus2bench.benchmark.speed_tables import ratio_table, scan_table

    timed = [record for record in records if record["kind"] == "speed"]
    if reference and not any(reference in names for names in map(_timed, timed)):
        known = sorted(set().union(*map(_timed, timed)))
        raise ValueError(f"no speed record has timed '{reference}'; there are {', '.join(known)}")
    joint = [r for r in timed if r["speed"] and (not reference or reference in r["speed"])]
    lines: list[str] = []
    if joint:
        lines += ["## Times relative to a reference", ""]
        lines += ["Each divided by that of the reference in the same record.", ""]
        lines += [tables.markdown(ratio_table(joint, reference))]
    for record in timed:
        if "scan" not in record:
            continue
        title = f"## Scan '{record['name']}': energy and forces against {record['scan']['over']}"
        lines += [title, "", "µs/atom:", "", tables.markdown(scan_table(record))]
        if reference in _timed(record):
            lines += [f"divided by those of {reference}:", ""]
            lines += [tables.markdown(scan_table(record, reference))]
        reasons = record["scan"]["left_out"]
        lines += [f"- {r['potential']} at {r['value']:g}: {r['reason']}" for r in reasons]
        lines += [""] if reasons else []
    return lines


def _timed(record: Record) -> set[str]:
    """Names of the potentials that a record has times of."""
    return {*record["speed"], *record.get("scan", {}).get("points", {})}
