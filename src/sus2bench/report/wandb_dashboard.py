"""A workspace of W&B with the panels a comparison needs, made from what `WandbLogger` logs.

Built without a login or a network; only saving it needs them. The package `wandb-workspaces` is
imported when a workspace is made.
"""

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Section, Workspace

ERRORS = {
    "forces_mae_meV_A": "force MAE (meV/Å)",
    "energy_per_atom_mae_meV": "energy MAE (meV/atom)",
    "stress_mae_GPa": "stress MAE (GPa)",
}
COSTS = {
    "record/energy_and_forces_us_per_atom": "energy and forces (µs/atom)",
    "record/parameters/trainable": "trained parameters",
    "record/timings/train_seconds": "training (s)",
    "record/energy_and_forces_peak_memory_MB": "memory of energy and forces (MB)",
}
HYPERPARAMETERS = (
    "data_name",
    "name",
    "seed",
    "data.train_fraction",
    "data.batch_size",
    "model.cutoff",
    "optimizer.algorithm.lr",
    "loss.energy",
    "loss.forces",
)
SYSTEM = {
    "system/cpu": "processor (%)",
    "system/proc.memory.rssMB": "memory of the process (MB)",
    "system/gpu.0.gpu": "GPU (%)",
    "system/gpu.0.memoryAllocated": "memory of the GPU (%)",
}


def workspace(
    entity: str, project: str, *, split: str = "test", sweep: str | None = None
) -> "Workspace":
    """A workspace of the runs of a project, grouped by data and model.

    Args:
        entity: user or team of W&B.
        project: of W&B.
        split: part of the data whose errors are compared.
        sweep: of which runs are shown; all if not given.

    Raises:
        ImportError: if wandb-workspaces is not installed.
    """
    if find_spec("wandb_workspaces") is None:
        raise ImportError(
            "wandb-workspaces is not installed: pip install 'sus2bench[wandb]' brings it along"
        )
    from wandb_workspaces import expr
    from wandb_workspaces import workspaces as ws

    # In filters Metric means an attribute of a run.
    of_sweep = "" if sweep is None else expr.And(expr.Metric("Group") == sweep)
    best = expr.Ordering(expr.Summary(f"record/{split}/forces_mae_meV_A"), ascending=True)
    columns = [f"summary:record/{split}/{name}" for name in ERRORS]
    runs = ws.RunsetSettings(
        filters=of_sweep,
        groupby=[expr.Config("data_name"), expr.Config("name")],
        order=[best],
        pinned_columns=["run:displayName", *columns, *(f"summary:{name}" for name in COSTS)],
    )
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"sus2bench: {sweep or 'all runs'}",
        sections=[
            _results(split),
            _error_against_cost(split),
            _validation(),
            _training(),
            _parity(split),
            _hyperparameters(split),
            _system(),
        ],
        settings=ws.WorkspaceSettings(max_runs=100),
        runset_settings=runs,
    )


def specification(made: "Workspace") -> dict[str, Any]:
    """What `Workspace.save` sends, as JSON data; the ids of panels are random."""
    view = made._to_model()
    found: dict[str, Any] = json.loads(view.model_dump_json(by_alias=True, exclude_none=True))
    return found


def _results(split: str) -> "Section":
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports import v2 as wr

    quantities = {f"record/{split}/{name}": title for name, title in ERRORS.items()} | COSTS
    bars = [
        wr.BarPlot(
            title=f"{title}, {split}" if name.startswith(f"record/{split}") else title,
            metrics=[name],
            groupby=wr.Config("name"),
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
        )
        for name, title in quantities.items()
    ]
    return ws.Section(name="Results by model", panels=bars, is_open=True)


def _error_against_cost(split: str) -> "Section":
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports import v2 as wr

    plots = [
        wr.ScatterPlot(
            title=f"{error} against {cost}",
            x=wr.SummaryMetric(cost_name),
            y=wr.SummaryMetric(f"record/{split}/{name}"),
            log_x=True,
            log_y=True,
        )
        for name, error in list(ERRORS.items())[:2]
        for cost_name, cost in COSTS.items()
    ]
    return ws.Section(name="Error against cost", panels=plots, is_open=True)


def _validation() -> "Section":
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports import v2 as wr

    axes = {"Step": "step", "seconds": "training time (s)", "epoch": "epoch"}
    plots = [
        wr.LinePlot(
            title=f"{title}, validation", x=x, y=[f"valid/{name}"], title_x=label, log_y=True
        )
        for name, title in ERRORS.items()
        for x, label in axes.items()
    ]
    return ws.Section(name="Validation", panels=plots, is_open=True)


def _training() -> "Section":
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports import v2 as wr

    shown = {
        "train/loss": "loss, training",
        "valid/loss": "loss, validation",
        "train/learning_rate": "learning rate",
    }
    plots = [wr.LinePlot(title=title, y=[name], log_y=True) for name, title in shown.items()]
    return ws.Section(name="Training", panels=plots)


def _parity(split: str) -> "Section":
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports import v2 as wr

    pictures = wr.MediaBrowser(title=f"parity, {split}", media_keys=[f"parity/{split}"])
    return ws.Section(name="Parity", panels=[pictures])


def _hyperparameters(split: str) -> "Section":
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports import v2 as wr

    axes = [wr.ParallelCoordinatesPlotColumn(wr.Config(name)) for name in HYPERPARAMETERS]
    error = wr.SummaryMetric(f"record/{split}/forces_mae_meV_A")
    axes.append(wr.ParallelCoordinatesPlotColumn(error, ERRORS["forces_mae_meV_A"], log=True))
    panels = [wr.ParallelCoordinatesPlot(columns=axes), wr.RunComparer(diff_only="split")]
    return ws.Section(name="Hyperparameters", panels=panels)


def _system() -> "Section":
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports import v2 as wr

    plots = [
        wr.LinePlot(title=title, x="RelativeTime(Process)", y=[name])
        for name, title in SYSTEM.items()
    ]
    return ws.Section(name="System", panels=plots)
