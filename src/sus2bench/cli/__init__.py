"""The `sus2bench` command line: its commands, their arguments, and how it reports errors."""

import difflib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from sus2bench import __version__
from sus2bench.cli.help import command_help, program_help
from sus2bench.cli.parsing import Parser as _Parser
from sus2bench.cli.parsing import fail as _fail

INTERRUPTED = 130  # what a shell reports after Ctrl-C
RUN_COMMANDS = ("train", "evaluate", "speed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what follows `sus2bench`; by default the process's own.

    Returns:
        Exit code: 0 done, 2 an error of the user's making (told in a line on standard error),
        130 interrupted, 1 a record that does not hold, or a defect.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    commands: dict[str, Callable[[list[str]], int]] = {
        **{name: partial(_run, name) for name in RUN_COMMANDS},
        "sweep": _sweep,
        "compare": _compare,
        "compare-speed": _compare_speed,
        "report": _report,
        "dashboard": _dashboard,
        "data": _data,
        "prune": _prune,
        "extend": _extend,
        "records": partial(_of_module, "records", "records"),
        "rerun": partial(_of_module, "records", "rerun"),
    }
    command, *rest = arguments or ["--help"]
    if command in ("-h", "--help", "help"):
        print(program_help())
        return 0
    if command == "--version":
        print(f"sus2bench {__version__}")
        return 0
    if command not in commands:
        near = difflib.get_close_matches(command, commands, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(commands)}"
        return _fail(f"unknown command '{command}'; {hint}")
    try:
        if {"-h", "--help"} & set(rest):
            print(command_help(command))
            return 0
        return commands[command](rest)
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "interrupted", code=INTERRUPTED)
    except _user_errors() as error:
        return _fail(error)


def _of_module(module: str, name: str, arguments: list[str]) -> int:
    """Run a command that is a function of a module beside this one."""
    code: int = getattr(import_module(f"sus2bench.cli.{module}"), name)(arguments)
    return code


def _user_errors() -> tuple[type[Exception], ...]:
    """Errors whose text is meant for the user; all others are defects and keep their traceback."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    return (ValueError, KeyError, OSError, HydraException, OmegaConfBaseException)


def _run(command: str, arguments: list[str]) -> int:
    """Check the overrides, then hand them to Hydra, which composes the config and runs the job."""
    parser = _Parser(prog=f"sus2bench {command}", add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-cd", "--config-dir", type=Path)
    parser.add_argument("-c", "--cfg", choices=("job", "hydra", "all"))
    parser.add_argument("-r", "--resolve", action="store_true")
    options = parser.parse_intermixed_args(arguments)

    from sus2bench.cli.configuration import check_overrides, configuration_folder

    if options.config_dir is not None and not options.config_dir.is_dir():
        return _fail(f"--config-dir {options.config_dir} is not a folder")
    check_overrides(command, options.overrides, options.config_dir, sweep=options.multirun)
    return _run_with_hydra(command, arguments, configuration_folder())


def _sweep(arguments: list[str]) -> int:
    """A multirun of `train` with a plan on request."""
    parser = _Parser(prog="sus2bench sweep", add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("-n", "--dry-run", action="store_true")
    parser.add_argument("-cd", "--config-dir", type=Path)
    options = parser.parse_intermixed_args(arguments)
    extra = ["--config-dir", str(options.config_dir)] if options.config_dir else []
    plan = ["hydra.sweeper.dry_run=true"] if options.dry_run else []
    return _run("train", ["--multirun", *extra, *options.overrides, *plan])


def _run_with_hydra(command: str, arguments: list[str], folder: Path) -> int:
    import hydra
    from omegaconf import DictConfig

    from sus2bench.cli.configuration import VERSION_BASE

    codes = [0]
    typed = sys.argv

    def job(config: DictConfig) -> float | tuple[float, ...]:
        # Hydra's own parser must not see the subcommand, but a process that a distributed strategy
        # starts repeats `sys.argv` and needs it.
        hydra_arguments, sys.argv = sys.argv, [typed[0], command, *arguments]
        try:
            from sus2bench.benchmark import run

            record: dict[str, Any] = getattr(run, command)(config)
            return _objective(record, config)
        except _user_errors() as error:
            codes.append(_fail(error))
            return float(
                "nan"
            )  # the other jobs of a sweep go on; sweepers take it as a failed trial
        finally:
            sys.argv = hydra_arguments

    sys.argv = [typed[0], *arguments]
    try:
        hydra.main(version_base=VERSION_BASE, config_path=str(folder), config_name=command)(job)()
    finally:
        sys.argv = typed
    return max(codes)


def _objective(record: dict[str, Any], config: Any) -> float | tuple[float, ...]:
    """What a sweep minimizes: the number or numbers that the config names."""
    from sus2bench.benchmark.sweeps.objectives import objective_names, objectives

    values = objectives(record, objective_names(config.get("optimized_metric")))
    return values[0] if len(values) == 1 else tuple(values)


def _compare(arguments: list[str]) -> int:
    from sus2bench.cli.comparison import FORMATS, compare

    parser = _Parser(prog="sus2bench compare", add_help=False, allow_abbrev=False)
    parser.add_argument("records", nargs="+", metavar="RECORD")
    parser.add_argument("--format", choices=FORMATS, default="table")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--reference", metavar="NAME")
    parser.add_argument("--statistics", action="store_true")
    parser.add_argument("--blocks", type=int, metavar="N")
    parser.add_argument("--verify", action="store_true")
    options = parser.parse_args(arguments)
    compare(
        options.records,
        options.format,
        options.out,
        options.reference,
        statistics=options.statistics,
        blocks=options.blocks,
    )
    if options.verify:
        return _of_module("records", "records", ["verify", *options.records])
    return 0


def _compare_speed(arguments: list[str]) -> int:
    from sus2bench.cli.speed import FORMATS, compare_speed

    parser = _Parser(prog="sus2bench compare-speed", add_help=False, allow_abbrev=False)
    parser.add_argument("records", nargs=2, metavar="RECORD")
    parser.add_argument("--format", choices=FORMATS, default="table")
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--least", type=float, default=0.05)
    options = parser.parse_args(arguments)
    compare_speed(options.records, options.format, options.confidence, options.least)
    return 0


def _report(arguments: list[str]) -> int:
    from sus2bench.cli.report import report

    return report(arguments, _Parser(prog="sus2bench report", add_help=False, allow_abbrev=False))


def _dashboard(arguments: list[str]) -> int:
    from sus2bench.cli.dashboard import dashboard

    parser = _Parser(prog="sus2bench dashboard", add_help=False, allow_abbrev=False)
    return dashboard(arguments, parser)


def _data(arguments: list[str]) -> int:
    parser = _Parser(prog="sus2bench data", add_help=False, allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|describe")
    actions.add_parser("list", add_help=False)
    actions.add_parser("describe", add_help=False).add_argument("name")
    options = parser.parse_args(arguments)

    from sus2bench.data import catalogue

    if options.action == "list":
        print(catalogue.list_data_sets())
    else:
        print(catalogue.describe(options.name))
    return 0


def _prune(arguments: list[str]) -> int:
    from sus2bench.cli.species import prune_file

    options = _species_parser("prune").parse_args(arguments)
    prune_file(options.file, options.file_species, options.species, options.out)
    return 0


def _extend(arguments: list[str]) -> int:
    from sus2bench.cli.species import extend_file

    parser = _species_parser("extend")
    parser.add_argument("--like", action="append", default=[], metavar="NEW=KNOWN")
    parser.add_argument("--energies", action="append", default=[], metavar="NEW=EV")
    options = parser.parse_args(arguments)
    extend_file(
        options.file,
        options.file_species,
        options.species,
        options.out,
        options.like,
        options.energies,
    )
    return 0


def _species_parser(command: str) -> _Parser:
    parser = _Parser(prog=f"sus2bench {command}", add_help=False, allow_abbrev=False)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--species", required=True, metavar="A,B,...")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--file-species", metavar="A,B,...|FILE.json:KEY")
    return parser
