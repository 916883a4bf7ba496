"""Every file of the training groups in `conf/` builds what it names."""

from pathlib import Path

import hydra
import lightning.pytorch as pl
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from standin import make_potential

from sus2bench.training.optional import optional_optimizer
from sus2bench.training.parameter_groups import parameter_groups
from sus2bench.training.phases import Phase
from sus2bench.training.schedules import Schedule
from sus2bench.training.whole_set.optimizer import WholeSetOptimizer

CONF = Path(__file__).parents[2] / "conf"
NEEDS = {
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "all": "wandb",
    "schedule_free": "schedulefree",
    "soap": "pytorch_optimizer",
}


def files(group):
    return sorted(path.stem for path in (CONF / group).glob("[!_]*.yaml"))


def compose(group, name):
    with hydra.initialize_config_dir(str(CONF / group), version_base="1.3"):
        return hydra.compose(name)


@pytest.mark.parametrize("name", files("loss"))
def test_losses(name):
    loss = instantiate(compose("loss", name), _convert_="all")
    assert set(loss.functions.values()) == {"mse" if name == "default" else name}


@pytest.mark.parametrize("name", files("regularization"))
def test_regularizations(name):
    regularization = instantiate(compose("regularization", name), _convert_="all")
    assert regularization.is_zero == (name == "none")


@pytest.mark.parametrize("name", files("optimizer"))
def test_optimizers_and_schedules(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    cfg = compose("optimizer", name)
    groups = parameter_groups(make_potential(torch.float32))
    optimizer = instantiate(cfg.algorithm, _convert_="all")(groups)
    decay = cfg.algorithm.get("weight_decay", 0.0)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [decay, 0.0]
    schedule = instantiate(cfg.schedule, _convert_="all")
    assert schedule.factor(0.0) == (0.0 if cfg.schedule.warmup else 1.0)
    assert schedule.factor(cfg.schedule.warmup) == pytest.approx(1.0)


def test_an_optimizer_of_a_package_that_is_not_there_says_what_to_install():
    with pytest.raises(ImportError, match=r"sus2bench\[optimizers\]"):
        optional_optimizer([], target="no_such_package.Optimizer")


@pytest.mark.parametrize("name", files("training"))
def test_phases_of_training(name):
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", [f"training={name}"])
    phases = {key: instantiate(part, _convert_="all") for key, part in cfg.training.phases.items()}
    assert all(isinstance(phase, Phase) for phase in phases.values())
    assert all(isinstance(phase.schedule, Schedule) for phase in phases.values())
    groups = parameter_groups(make_potential(torch.float64))
    assert all(isinstance(p.algorithm(groups), torch.optim.Optimizer) for p in phases.values())


@pytest.mark.parametrize("name", files("callbacks"))
def test_callbacks(name):
    cfg = compose("callbacks", name)
    callbacks = [instantiate(part, _convert_="all") for part in cfg.values()]
    assert all(isinstance(callback, pl.Callback) for callback in callbacks)


@pytest.mark.parametrize("name", files("logger"))
def test_loggers_keep_the_csv_file(name, tmp_path):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    group = OmegaConf.to_container(compose("logger", name))
    if "wandb" in group:
        group["wandb"]["tags"] = ["model"]  # there are no choices without a command line
    cfg = OmegaConf.create({"logger": group, "paths": {"output": str(tmp_path)}})
    loggers = {key: instantiate(part) for key, part in cfg.logger.items()}
    assert "csv" in loggers
    assert all(isinstance(logger, pl.loggers.Logger) for logger in loggers.values())


@pytest.mark.parametrize("name", files("trainer"))
def test_trainers(name, tmp_path):
    cfg = compose("trainer", name)
    if name != "cpu":
        cfg.accelerator = "cpu"
    if cfg.devices == "auto":
        cfg.devices = 1
    trainer = instantiate(cfg, _convert_="all")(default_root_dir=tmp_path, logger=False)
    assert trainer.gradient_clip_val == 10.0
    assert trainer.accumulate_grad_batches == 1


def composed(*overrides):
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("train", list(overrides))


@pytest.mark.parametrize("model", ["sus2", "sus2_l3k3", "sus2_complete", "sus2_level", "mtp"])
def test_moment_tensor_models_bring_their_optimizer_precision_and_kernels_along(model):
    cfg = composed(f"model={model}", "data=diamond40")
    assert cfg.optimizer.algorithm._target_.endswith(".LevenbergMarquardt")
    assert (cfg.dtype, cfg.model.backend) == ("float64", "cpp")
    groups = parameter_groups(make_potential(torch.float64))
    optimizer = instantiate(cfg.optimizer.algorithm, _convert_="all")(groups)
    assert isinstance(optimizer, WholeSetOptimizer)


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer=adamw"],
        ["model=schnet"],
        ["experiment=rivals"],
        ["experiment=rivals_mlearn", "model=mtp"],
        ["experiment=demo"],
    ],
)
def test_a_named_optimizer_other_models_and_comparisons_have_adamw_in_single_precision(overrides):
    cfg = composed(*overrides)
    assert cfg.optimizer.algorithm._target_ == "torch.optim.AdamW"
    assert cfg.dtype == "float32"
