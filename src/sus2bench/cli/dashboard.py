"""`sus2bench dashboard`: a workspace of W&B for the runs of a project."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from sus2bench.atoms.files import write_atomically

HELP = """\
usage: sus2bench dashboard --entity NAME [--project NAME] [--sweep NAME] [--split NAME] [--out FILE]

Make a workspace in W&B for runs that were logged by logger=wandb and sent by `wandb sync`: errors
and costs by model, errors against costs, validation against steps and time, losses, parity plots,
hyperparameters, system metrics. Runs are grouped by data and model. Needs a login (wandb login)
and pip install 'sus2bench[wandb]'.

options:
  --entity NAME   user or team of W&B
  --project NAME  of W&B (sus2bench)
  --sweep NAME    runs of one sweep (all)
  --split NAME    part of the data whose errors are compared (test)
  --out FILE      write the workspace as JSON to FILE, and send nothing
  -h, --help      this text

examples:
  sus2bench dashboard --entity me
  sus2bench dashboard --entity me --sweep pareto --out dashboard.json"""


def dashboard(arguments: Sequence[str], parser: argparse.ArgumentParser) -> int:
    """Run the command.

    Args:
        arguments: what follows `sus2bench dashboard`.
        parser: a parser without arguments yet, which reports errors as the program does.

    Returns:
        Exit code.

    Raises:
        ValueError: if wandb-workspaces is not installed, or W&B refuses the workspace.
    """
    parser.add_argument("--entity", required=True)
    parser.add_argument("--project", default="sus2bench")
    parser.add_argument("--sweep")
    parser.add_argument("--split", default="test")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)

    from sus2bench.report.wandb_dashboard import specification, workspace

    try:
        made = workspace(options.entity, options.project, split=options.split, sweep=options.sweep)
    except ImportError as error:
        raise ValueError(str(error)) from error
    if options.out is not None:
        text = json.dumps(specification(made), indent=1, ensure_ascii=False) + "\n"
        write_atomically(options.out, lambda part: part.write_text(text, encoding="utf-8"))
        print(f"written to {options.out}, nothing sent")
        return 0
    import wandb

    try:
        made.save()
    except wandb.Error as error:
        raise ValueError(f"W&B did not take the workspace: {error}") from error
    print(made.url)
    return 0
