"""What the Hydra configuration offers, and clear answers to overrides that do not fit it."""

import difflib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

VERSION_BASE = "1.3"
PLUGINS = {
    "joblib": "sus2bench[sweeps]",
    "submitit_local": "sus2bench[sweeps]",
    "submitit_slurm": "sus2bench[sweeps]",
    "ray": "hydra-ray-launcher",
}
"""What to install for a launcher of sweeps that Hydra does not have by itself."""


class ConfigurationError(ValueError):
    """An override or a config file that does not fit the configuration."""


def configuration_folder() -> Path:
    """Folder of the configs: inside an installed package, else `conf/` of the repository."""
    package = Path(str(files("sus2bench")))
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no configuration folder beside the package {package}; reinstall it")


def group_options(folder: Path, extra: Path | None = None) -> dict[str, list[str]]:
    """Config groups and the names of their options, those of an extra folder included.

    Files whose name begins with an underscore are parts of others, not options.
    """
    options: dict[str, set[str]] = {}
    for root in filter(None, (folder, extra)):
        for file in root.rglob("[!_]*.yaml"):
            parts = file.relative_to(root).with_suffix("").parts
            for depth in range(1, len(parts)):
                group = options.setdefault("/".join(parts[:depth]), set())
                group.add("/".join(parts[depth:]))
    return {group: sorted(names) for group, names in sorted(options.items())}


def primary_config(folder: Path, name: str) -> tuple[dict[str, str | None], dict[str, Any]]:
    """Default option of each group and the own keys of one top-level config file."""
    body = yaml.safe_load((folder / f"{name}.yaml").read_text()) or {}
    defaults: dict[str, str | None] = {}
    for entry in body.pop("defaults", []):
        if isinstance(entry, dict):
            [(group, option)] = entry.items()
            defaults[group.removeprefix("optional ").removeprefix("override ")] = option
    body.pop("hydra", None)
    return defaults, body


def flatten(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a nested mapping in dotted form with its value, the inner nodes included."""
    if isinstance(config, dict):
        for key, value in config.items():
            yield f"{prefix}{key}", value
            yield from flatten(value, f"{prefix}{key}.")


def check_overrides(
    name: str, overrides: Sequence[str], extra: Path | None = None, *, sweep: bool = False
) -> None:
    """Compose a config as Hydra is going to, before anything runs.

    Args:
        name: top-level config, for example `train`.
        overrides: Hydra overrides as typed; of a sweep every value is checked.
        extra: additional config folder (`--config-dir`).
        sweep: whether overrides may hold several values (`--multirun`).

    Raises:
        ConfigurationError: naming each unknown key, group or option with its near misses, each key
            that still needs a value, or what Hydra has against the composition.
    """
    folder = configuration_folder()
    options = group_options(folder, extra)
    search = [f"hydra.searchpath=[{extra.resolve().as_uri()}]"] if extra else []
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        with initialize_config_dir(str(folder), version_base=VERSION_BASE):
            problems = [] if sweep else [_single_value(i) for i in parsed if i.is_sweep_override()]
            problems += [text for item in parsed for text in _plugin_problems(item, options)]
            problems += [text for item in parsed for text in _option_problems(item, options)]
            if sweep and not problems:
                problems = _sweep_problems(name, search, parsed, options)
            if not problems:
                single = _without_sweeps(parsed)
                chosen = [line for item, line in single if item.key_or_group in options]
                keys = _plain(compose(name, [*search, *chosen]))
                problems = [text for item in parsed for text in _key_problems(item, keys, options)]
            if not problems:
                config = compose(name, [*search, *(line for _, line in single)])
                problems = _content_problems(config, name, folder, parsed)
                problems += _ignored_by_start(config, parsed)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigurationError(_first_lines(error)) from error
    if problems:
        raise ConfigurationError("\n".join(problems))


def _plugin_problems(item: Override, options: dict[str, list[str]]) -> Iterator[str]:
    """Launchers and sweepers that are neither installed nor in a config folder."""
    group = item.key_or_group
    if group not in ("hydra/launcher", "hydra/sweeper"):
        return
    installed = GlobalHydra.instance().config_loader().get_group_options(group)
    known = sorted({*installed, *options.get(group, [])})
    for value in _values(item):
        if value in known:
            continue
        if group == "hydra/launcher" and value in PLUGINS:
            yield f"{group}={value} is not installed: pip install '{PLUGINS[value]}'"
        else:
            yield f"there is no {group}={value}; there are {', '.join(known)}"


def _sweep_problems(
    name: str, search: list[str], parsed: Sequence[Override], options: dict[str, list[str]]
) -> list[str]:
    """Options that a config file wants to sweep over, but that do not exist."""
    single = [line for _, line in _without_sweeps(parsed)]
    config = compose(name, [*search, *single], return_hydra_config=True)
    swept = OmegaConf.select(config, "hydra.sweeper.params") or {}
    lines = [f"{key}={value}" for key, value in swept.items()]
    items = OverridesParser.create().parse_overrides(lines)
    return [text for item in items for text in _option_problems(item, options)]


def _single_value(item: Override) -> str:
    return f"'{item.input_line}' has several values: add --multirun for one run per value"


def _without_sweeps(parsed: Sequence[Override]) -> list[tuple[Override, str]]:
    """Each override as a line that a single run takes: of a sweep its first value."""
    lines = []
    for item in parsed:
        values = _values(item)
        if item.is_sweep_override() and values:
            lines.append((item, f"{item.get_key_element()}={values[0]}"))
        elif not item.is_sweep_override():
            lines.append((item, str(item.input_line)))
    return lines


def _values(item: Override) -> list[str]:
    """The values an override takes; none where they cannot be listed (globs, intervals)."""
    if item.is_sweep_override():
        listed = item.is_discrete_sweep() and item.value_type is not ValueType.GLOB_CHOICE_SWEEP
        return list(item.sweep_string_iterator()) if listed else []
    value = item.value()
    return [str(part) for part in (value if isinstance(value, list) else [value])]


def _option_problems(item: Override, options: dict[str, list[str]]) -> Iterator[str]:
    """Unknown options of known groups, and unknown groups written with a slash."""
    group = item.key_or_group
    if group.startswith("hydra"):
        return
    if group in options and not item.is_delete():
        for value in _values(item):
            if value not in (*options[group], "None", "null"):
                near = difflib.get_close_matches(value, options[group], n=3, cutoff=0.5)
                yield (
                    f"config group '{group}' has no option '{value}'{_did_you_mean(near)}"
                    f" (it has: {', '.join(options[group])})"
                )
    elif "/" in group:
        near = difflib.get_close_matches(group, options, n=3, cutoff=0.5)
        yield f"unknown config group '{group}'{_did_you_mean(near)}"


def _key_problems(
    item: Override, keys: dict[str, Any], options: dict[str, list[str]]
) -> Iterator[str]:
    """Keys that the composed config does not have, unless they are appended with `+`."""
    key = item.key_or_group
    known = key in options or key in keys or key.partition(".")[0] == "hydra"
    if known or item.is_add() or item.is_force_add():
        return
    last = key.rpartition(".")[2]
    same_end = [name for name in keys if name.rpartition(".")[2] == last]
    near = difflib.get_close_matches(key, [*keys, *options], n=3, cutoff=0.6)
    kind = "key" if "." in key else "key or config group"
    yield f"unknown {kind} '{key}'{_did_you_mean(list(dict.fromkeys([*same_end, *near]))[:3])}"


def _content_problems(
    config: DictConfig, name: str, folder: Path, parsed: Sequence[Override]
) -> list[str]:
    """Keys without a value, and keys of config files that nothing would ever read."""
    problems = [
        f"'{key}' needs a value: give {key}=..."
        for key, value in _plain(config).items()
        if isinstance(value, str) and value == "???"
    ]
    defaults, body = primary_config(folder, name)
    added = {item.key_or_group for item in parsed if item.is_add() or item.is_force_add()}
    sections = {"": set(body) | {group.partition("/")[0] for group in defaults}}
    sections |= {key: set(value) for key, value in flatten(body) if isinstance(value, dict)}
    for section, allowed in sections.items():
        node = OmegaConf.select(config, section) if section else config
        for key in map(str, node if isinstance(node, DictConfig) else ()):
            full = f"{section}.{key}".lstrip(".")
            if key not in allowed and not any(line.startswith(full) for line in added):
                near = difflib.get_close_matches(key, allowed, n=3, cutoff=0.6)
                near = [f"{section}.{name}".lstrip(".") for name in near]
                problems.append(f"a config file sets the unknown key '{full}'{_did_you_mean(near)}")
    return problems


def _ignored_by_start(config: DictConfig, parsed: Sequence[Override]) -> Iterator[str]:
    """Overrides that build a new potential, beside a file to start from that makes them void."""
    if OmegaConf.select(config, "potential.start") is None:
        return
    for item in parsed:
        key = item.key_or_group
        if key in ("model", "potential.zbl") or key.startswith("model."):
            yield (
                f"'{item.input_line}' has no effect beside potential.start, whose file brings its "
                "own model: leave one of the two out"
            )


def _plain(config: DictConfig) -> dict[str, Any]:
    return dict(flatten(OmegaConf.to_container(config, resolve=False)))


def _did_you_mean(near: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _first_lines(error: Exception) -> str:
    """Hydra's message without its pointers into the composition."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) if lines else type(error).__name__
