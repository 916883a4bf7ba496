"""The texts of `--help`, which list what the config files at hand offer."""

import textwrap
from typing import Any

import yaml

from sus2bench.cli.configuration import (
    configuration_folder,
    flatten,
    group_options,
    primary_config,
)
from sus2bench.cli.dashboard import HELP as _DASHBOARD
from sus2bench.cli.records import HELP as _OF_RECORDS
from sus2bench.cli.report import HELP as _REPORT

_WIDTH = 96

_PROGRAM = """\
usage: sus2bench COMMAND [ARGUMENTS]

Train machine-learned interatomic potentials and compare them on the same data.

commands:
  train          fit a potential to a data set, test it, and write its record
  sweep          train over models, data, seeds, ...: only what has no record yet
  evaluate       errors of a trained potential on the test frames of a data set
  speed          time potentials on the same frames, or over sizes, elements, cutoffs, ...
  compare        put records side by side in a table
  compare-speed  say whether the times of two records differ beyond noise
  records        query, merge and verify many records
  rerun          repeat the run of a record, and say what came out differently
  report         write a site of records: leaderboard, plots, a page per run
  dashboard      make a workspace in W&B for the runs of a project
  data           list the data sets, describe one
  prune          a potential of some of the elements of another, with the same predictions
  extend         a potential with more elements, to be trained further

  sus2bench COMMAND --help says more; sus2bench --version prints the version.

examples:
  sus2bench train experiment=demo model=schnet
  sus2bench compare runs/
  sus2bench data list

environment:
  SUS2BENCH_SHARED   folder that holds reference data sets and models
  SUS2BENCH_DEBUG=1  print the traceback of every error"""

_OPTIMIZER_OF_MODEL = """\
model=sus2 and model=mtp bring optimizer=levenberg_marquardt in float64 along: name one optimizer
where models are to be compared by what they are and not by how they are trained."""

_ABOUT = {
    "train": (
        f"Fit a potential to a data set, test it, and write its record.\n\n{_OPTIMIZER_OF_MODEL}",
        [
            "sus2bench train",
            "sus2bench train data=emt-alloys model=painn budget.max_time=300",
            "sus2bench train experiment=demo model=schnet seed=1",
            "sus2bench train --multirun model=sus2,schnet,painn optimizer=adamw seed=0,1",
        ],
    ),
    "evaluate": (
        "Errors of a trained potential (a checkpoint or an .mtp file) on a data set.",
        [
            "sus2bench evaluate potential=runs/emt-alloys/sus2/checkpoints/best.ckpt splits=[test]",
            "sus2bench evaluate data=alloy53 potential=NiCu.mtp 'species=[Ni,Cu]'",
        ],
    ),
    "speed": (
        "Time potentials in turn, on the same frames of a data set or over a scan of made-up ones.",
        [
            "sus2bench speed 'potentials={first: a.ckpt, second: b.ckpt}' dtype=float32",
            "sus2bench speed scan=elements 'potentials={sus2: {model: sus2, backend: cpp}}'",
        ],
    ),
}

_HYDRA_USAGE = """\
usage: sus2bench {command} [GROUP=OPTION ...] [KEY=VALUE ...] [--multirun] [--config-dir DIR]
                 [--cfg job [--resolve]]

{summary}

options:
  -m, --multirun        one run for each combination of comma-separated values
  -cd, --config-dir DIR look for config files in DIR first
  -c, --cfg job         print the composed config and stop (--resolve fills in interpolations)
  -h, --help            this text
"""

_SWEEP = f"""\
usage: sus2bench sweep [GROUP=OPTION,OPTION ...] [KEY=VALUE,VALUE ...] [--dry-run]
                       [--config-dir DIR]

One training run for each combination of values, those of the command line and those that an
experiment lists under hydra.sweeper.params. A run that has a completed record is kept, one that was
interrupted goes on, one that failed is repeated, so that the same command finishes a sweep. To a
completed run measurements are added that it was made without (stability=true). The same as
sus2bench train --multirun, with a plan on request.

options:
  -n, --dry-run         say which runs there are and what they would take, and do nothing
  -cd, --config-dir DIR look for config files in DIR first
  -h, --help            this text

ways to run (docs/sweeps.md):
  hydra/launcher=basic           one after another (default)
  hydra/launcher=processes       several processes of this machine (hydra.launcher.n_jobs=2), also
                                 by torchrun
  hydra/launcher=joblib          the same by joblib
  hydra/launcher=submitit_slurm  one job of SLURM each; submitit_local tries it here
  hydra/launcher=ray             a Ray cluster
  hydra/sweeper=grid             all combinations (default)
  hydra/sweeper=tpe              what Optuna's TPE proposes, for one or several errors or times

examples:
  sus2bench sweep experiment=alloy_pareto --dry-run
  sus2bench sweep experiment=alloy_pareto seed=0 hydra/launcher=processes hydra.launcher.n_jobs=2
  sus2bench sweep model=sus2,schnet optimizer=adamw data.train_fraction=0.1,0.3,1 'seed=range(0,3)'

{_OPTIMIZER_OF_MODEL}"""

_COMPARE = """\
usage: sus2bench compare RECORD [RECORD ...] [--format table|markdown|csv|latex] [--out DIR]
                         [--reference NAME] [--statistics] [--blocks N] [--verify]

Put records side by side: errors, parameter counts, speed and training time. A RECORD is a record
file (record.json) or a folder that is searched for them. Where models were trained with several
seeds, a table of models with 95 % intervals follows.

options:
  --format FORMAT   how to print the table: table (default), markdown, csv or latex
  --out DIR         also write the table in every format, and the figures, to DIR
  --reference NAME  potential that times are divided by in the report (the first in each record)
  --statistics      the table of models with intervals in place of that of runs
  --blocks N        frames in a row that belong together, as those of a trajectory, for intervals
  --verify          take the errors once more, from predictions, and from checkpoints and data; the
                    exit code is 1 if a record does not hold (see sus2bench records verify)
  -h, --help        this text

examples:
  sus2bench compare runs/
  sus2bench compare runs/ results/ --format markdown
  sus2bench compare runs/ --statistics --format latex
  sus2bench compare runs/a/record.json runs/b/record.json --out report"""

_COMPARE_SPEED = """\
usage: sus2bench compare-speed FIRST SECOND [--confidence C] [--least R]
                               [--format table|markdown|csv]

Say whether potentials are faster or slower in the second of two speed records, which were made in
the same way on the same machine: ratios of medians with their intervals. A RECORD is a record file
or a folder that holds one.

options:
  --confidence C   of the intervals; 1 - C is the rate of false discoveries (0.95)
  --least R        relative difference that the whole interval must exceed: two runs of the same
                   program differ, too (0.05)
  --format FORMAT  how to print: table (default), markdown or csv
  -h, --help       this text

example:
  sus2bench compare-speed runs/speed/before runs/speed/after"""

_DATA = """\
usage: sus2bench data list
       sus2bench data describe NAME

List the data sets that `data=NAME` offers, or describe one: elements, numbers of frames, labels,
source, licence, and whether it is on this machine.

options:
  -h, --help  this text

examples:
  sus2bench data list
  sus2bench data describe emt-alloys"""

_FILE_SPECIES = """\
  --file-species A,B,...|FILE.json:KEY
                       elements of FILE in type order, which an .mtp file does not hold
  --out FILE           what to write: by its name an .mtp file (SUS2, MTP), a nep.txt (NEP), or
                       else a file of this program
  -h, --help           this text
"""

_PRUNE = f"""\
usage: sus2bench prune FILE --species A,B,... --out FILE [--file-species A,B,...]

Make a potential of some of the elements of another one (SUS2, MTP or NEP). Energies, forces and
stresses of structures of these elements stay the same.

options:
  --species A,B,...    elements to keep, in the new type order
{_FILE_SPECIES}
examples:
  sus2bench prune best.ckpt --species Cu,Ni --out CuNi.ckpt
  sus2bench prune alloy.mtp --file-species species.json:alloy --species Cu,Ni,Al --out CuNiAl.mtp"""

_EXTEND = f"""\
usage: sus2bench extend FILE --species A,B,... --out FILE [--like NEW=KNOWN,...]
                        [--energies NEW=EV,...] [--file-species A,B,...]

Add elements to a potential (SUS2, MTP or NEP) that is to be trained further. Predictions for the
known elements stay the same. A new one starts with the numbers of a known one; the distances r0 of
SUS2 grow by the difference of their covalent radii. `sus2bench train potential.start=FILE
potential.add_species=true` does the same, and fits the atomic energies to the data.

options:
  --species A,B,...    elements to add
  --like NEW=KNOWN     where a new element starts (the known one of the nearest covalent radius)
  --energies NEW=EV    atomic energy of a new element (that of the element where it starts)
{_FILE_SPECIES}
example:
  sus2bench extend CuNi.mtp --file-species Cu,Ni --species Pd --like Pd=Ni --out CuNiPd.mtp"""


_WITHOUT_CONFIG = {
    "sweep": _SWEEP,
    "compare": _COMPARE,
    "compare-speed": _COMPARE_SPEED,
    "report": _REPORT,
    "dashboard": _DASHBOARD,
    "data": _DATA,
    "prune": _PRUNE,
    "extend": _EXTEND,
    **_OF_RECORDS,
}


def program_help() -> str:
    """Help of the program as a whole."""
    return _PROGRAM


def command_help(command: str) -> str:
    """Help of one command; for those that take a config also its groups and keys."""
    if command in _WITHOUT_CONFIG:
        return _WITHOUT_CONFIG[command]
    folder = configuration_folder()
    summary, examples = _ABOUT[command]
    defaults, body = primary_config(folder, command)
    options = {
        group: names
        for group, names in group_options(folder).items()
        if "/" not in group and group != "hydra" and group in defaults
    }
    sections = [_HYDRA_USAGE.format(command=command, summary=summary)]
    if options:
        sections.append("config groups (GROUP=OPTION; * is the default):")
        sections += [_group_line(group, names, defaults[group]) for group, names in options.items()]
        sections.append("")
    sections.append("keys (KEY=VALUE, with their defaults; ??? has to be given):")
    comments = _comments((folder / f"{command}.yaml").read_text())
    for key, value in flatten(body):
        if not (isinstance(value, dict) and value):
            sections.append(_key_line(key, value, comments.get(key, "")))
    sections += ["", "  The keys of a group are written GROUP.KEY; --cfg job shows them all."]
    if examples:
        sections += ["", "examples:", *(f"  {example}" for example in examples)]
    return "\n".join(sections)


def _comments(text: str) -> dict[str, str]:
    """The comment behind each key of a YAML text, by its dotted name."""
    lines = text.splitlines()
    found: dict[str, str] = {}

    def walk(node: yaml.Node | None, prefix: str) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                found[prefix + key.value] = lines[key.start_mark.line].partition(" # ")[2].strip()
                walk(value, f"{prefix}{key.value}.")

    walk(yaml.compose(text), "")
    return found


def _group_line(group: str, names: list[str], default: str | None) -> str:
    marked = " ".join(f"*{name}" if name == default else name for name in names)
    return textwrap.fill(
        marked,
        width=_WIDTH,
        initial_indent=f"  {group:<14} ",
        subsequent_indent=" " * 17,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _key_line(key: str, value: Any, comment: str) -> str:
    plain = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n...\n")
    line = f"  {key:<26} {plain.strip():<18} {comment}".rstrip()
    return textwrap.fill(line, width=_WIDTH, subsequent_indent=" " * 48, drop_whitespace=True)
