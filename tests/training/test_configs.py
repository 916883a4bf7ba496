"""Every file of the training groups in `conf/` builds what it names."""

from pathlib import Path

import hydra
import lightning.pytorch as pl
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from standin import make_potential

from sus2bench.training.parameter_groups import parameter_groups

CONF = Path(__file__).parents[2] / "conf"
NEEDS = {"tensorboard": "tensorboard", "wandb": "wandb"}


def files(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def compose(group, name):
    with hydra.initialize_config_dir(str(CONF / group), version_base="1.3"):
        return hydra.compose(name)


@pytest.mark.parametrize("name", files("loss"))
def test_losses(name):
    loss = instantiate(compose("loss", name), _convert_="all")
    assert set(loss.functions.values()) == {"mse" if name == "default" else name}


@pytest.mark.parametrize("name", files("optimizer"))
def test_optimizers_and_schedules(name):
    cfg = compose("optimizer", name)
    groups = parameter_groups(make_potential(torch.float32))
    optimizer = instantiate(cfg.algorithm, _convert_="all")(groups)
    decay = cfg.algorithm.get("weight_decay", 0.0)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [decay, 0.0]
    schedule = instantiate(cfg.schedule, _convert_="all")
    assert schedule.factor(0.0) == (0.0 if cfg.schedule.warmup else 1.0)
    assert schedule.factor(cfg.schedule.warmup) == pytest.approx(1.0)


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
    cfg = OmegaConf.create({"logger": group, "name": "a", "paths": {"output": str(tmp_path)}})
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
