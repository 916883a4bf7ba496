"""The data module: files or fractions to named parts, and batches that know their epoch."""

import logging
import shutil
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch

from sus2bench.data import datamodule
from sus2bench.data.datamodule import FrameDataModule


def make(data_file, tmp_path, **settings):
    settings.setdefault("valid_fraction", 0.25)
    return FrameDataModule(str(data_file), cutoff=4.0, cache_dir=str(tmp_path / "c"), **settings)


def indices(loader):
    return [batch.frame_index.tolist() for batch in loader]


def test_parts_are_fractions_of_one_file(data_file, tmp_path, caplog):
    module = make(data_file, tmp_path, test_fraction=0.125, batch_size=4, eval_batch_size=5)
    module.prepare_data()
    with caplog.at_level(logging.INFO):
        module.setup()
        module.setup("fit")
    assert {name: len(part) for name, part in module.parts.items()} == {
        "train": 15, "valid": 6, "test": 3,
    }  # fmt: skip
    digests = [digest for part in module.parts.values() for digest in part.digests()]
    assert len(set(digests)) == 24
    assert module.test_names == ["test"]
    assert module.species == ["H", "O", "Na", "Cl"]
    assert len(module.split_hash) == 64
    assert module.census["parts"]["train"]["frames"] == 15
    assert "train: 15 frames" in caplog.text
    assert sorted(sum(indices(module.train_dataloader()), [])) == list(range(15))
    assert indices(module.val_dataloader()) == [[0, 1, 2], [3, 4, 5]]
    assert [indices(loader) for loader in module.test_dataloader()] == [[[0, 1, 2]]]


def test_parts_are_files_and_tests_keep_their_names_and_order(data_file, tmp_path):
    for name in ("valid", "hot", "cold"):
        shutil.copy(data_file, data_file.with_name(f"{name}.extxyz"))
    files = {name: str(data_file.with_name(f"{name}.extxyz")) for name in ("hot", "cold")}
    module = make(data_file, tmp_path, valid_file=str(data_file.with_name("valid.extxyz")),
                  test_files=files, test_fraction=0.5)  # fmt: skip
    module.setup()
    assert module.test_names == ["hot", "cold"]
    assert [len(part) for part in module.parts.values()] == [24] * 4
    assert len(module.census["copies_of_training_frames"]["cold"]) == 24
    with pytest.raises(ValueError, match="cannot be called train or valid"):
        make(data_file, tmp_path, test_files={"valid": "x"})


def test_smaller_training_parts_lie_within_larger_ones(data_file, tmp_path):
    parts = []
    for fraction in (0.25, 0.5, 1.0):
        module = make(data_file, tmp_path, train_fraction=fraction)
        module.setup()
        parts.append((set(module.train.digests()), set(module.valid.digests())))
    assert [len(train) for train, _ in parts] == [4, 9, 18]
    assert parts[0][0] < parts[1][0] < parts[2][0]
    assert parts[0][1] == parts[2][1]


def test_the_split_depends_on_its_own_seed(data_file, tmp_path):
    hashes = []
    for seeds in ({"split_seed": 0}, {"split_seed": 0, "seed": 5}, {"split_seed": 1}):
        module = make(data_file, tmp_path, **seeds)
        module.setup()
        hashes.append(module.split_hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_cutoff_is_free_until_the_graphs_are_made(data_file, tmp_path):
    module = make(data_file, tmp_path)
    module.cutoff = 3.0
    module.setup()
    assert module.train.cutoff == 3.0
    with pytest.raises(ValueError, match=r"set another before setup"):
        module.cutoff = 5.0


def test_missing_files_are_named(data_file, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"valid|nothing.xyz"):
        make(data_file, tmp_path, valid_file="nothing.xyz").setup()
    with pytest.raises(ValueError, match="no validation frames"):
        make(data_file, tmp_path, valid_fraction=0.0).setup()


class Recorder(pl.LightningModule):
    """Notes which frames it is given, and stops where it is told to."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen, self.validated, self.tested = [], [], []

    def on_train_epoch_start(self):
        self.trainer.train_dataloader.batch_sampler.load_state_dict(
            {"epoch": self.current_epoch, "batch": 0}
        )

    def training_step(self, batch, batch_idx):
        self.seen.append(batch.frame_index.tolist())
        return self.weight**2

    def validation_step(self, batch, batch_idx):
        self.validated += batch.frame_index.tolist()

    def test_step(self, batch, batch_idx, dataloader_idx=0):
        self.tested += batch.frame_index.tolist()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


@pytest.mark.parametrize("workers", [0, 1])
def test_lightning_takes_the_batches_of_each_epoch(data_file, tmp_path, workers):
    module = make(data_file, tmp_path, max_atoms=24, batch_size=1, test_fraction=0.1,
                  num_workers=workers)  # fmt: skip
    recorder = Recorder()
    trainer = pl.Trainer(max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False,
                         enable_progress_bar=False, enable_model_summary=False,
                         num_sanity_val_steps=0, log_every_n_steps=1)  # fmt: skip
    trainer.fit(recorder, datamodule=module)
    sampler = module.train_dataloader().batch_sampler
    expected = sum((sampler.global_batches(epoch) for epoch in range(3)), [])
    assert recorder.seen == expected
    assert recorder.validated == list(range(len(module.valid))) * 3
    trainer.test(recorder, datamodule=module, verbose=False)
    assert recorder.tested == list(range(len(module.tests["test"])))


def on_an_accelerator(module):
    """A trainer that computes where there are no numbers, so that none can be waited for."""
    strategy = SimpleNamespace(root_device=torch.device("meta"))
    module.trainer = SimpleNamespace(strategy=strategy, global_rank=0, world_size=1)
    return module


def test_frames_are_kept_where_the_trainer_computes(data_file, tmp_path, monkeypatch):
    here = make(data_file, tmp_path, batch_size=4)
    here.setup()
    there = on_an_accelerator(make(data_file, tmp_path, batch_size=4))
    there.setup()
    monkeypatch.setattr(datamodule, "free_memory", lambda device: 4 * there.train.nbytes)
    batches = zip(here.train_dataloader(), there.train_dataloader(), strict=True)
    for reference, batch in batches:
        for key, value in reference:
            assert batch[key].device.type == "meta"
            assert batch[key].shape == value.shape
            assert batch[key].dtype == value.dtype
        assert len(batch.to_data_list()) == reference.num_graphs
    valid = next(iter(there.val_dataloader()))
    assert valid.pos.device.type == "meta"
    stores = {loader.collate_fn.__self__.store["pos"].data_ptr() for loader in
              (there.train_dataloader(), there.val_dataloader())}  # fmt: skip
    assert len(there._moved) == len(stores) == 1


def test_frames_stay_in_main_memory_where_there_is_no_room_or_workers_make_batches(
    data_file, tmp_path, monkeypatch
):
    full = on_an_accelerator(make(data_file, tmp_path))
    workers = on_an_accelerator(make(data_file, tmp_path, num_workers=1))
    for module, room in ((full, 4), (workers, 2**10)):
        module.setup()
        free = room * module.train.nbytes - 4
        monkeypatch.setattr(datamodule, "free_memory", lambda device, free=free: free)
        assert next(iter(module.train_dataloader())).pos.device.type == "cpu"
