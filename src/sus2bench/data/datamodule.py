"""The one data module: named files to frames with graphs, and frames to batches."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule

from sus2bench.atoms.reading import LabelKeys, Units
from sus2bench.data.cache import default_cache_folder, load_dataset
from sus2bench.data.catalogue import Source, locate
from sus2bench.data.census import census, format_census
from sus2bench.data.dataset import FrameDataset
from sus2bench.data.loader import FrameLoader
from sus2bench.data.samplers import FrameBatchSampler
from sus2bench.data.splits import random_subset, split_by_fraction, split_hash

log = logging.getLogger(__name__)

_ROOM = 0.25
"""The part of a GPU's free memory that frames may take."""


class FrameDataModule(LightningDataModule):
    """Training, validation and test frames, from files or as fractions of one.

    After `setup`: ``train``, ``valid`` (`FrameDataset`), ``tests`` (by name), ``species``
    (elements of the training data by atomic number), ``split_hash`` and ``census``. ``cutoff``
    may be set until then.

    Args:
        train_file: training frames.
        valid_file: validation frames; None: ``valid_fraction`` of the training file.
        test_files: file by name of the test set; none: ``test_fraction`` of the training file
            as ``test``, if that is above 0.
        source: finds the files by name; None: they are paths.
        label_keys: fields of `LabelKeys`: under which keys the labels are, None if not there.
        units: fields of `Units`: units of the file.
        species_map: chemical symbols in the order of the types, for `.cfg` files.
        valid_fraction: of the training file, used if there is no ``valid_file``.
        test_fraction: of the training file, used if there are no ``test_files``.
        train_fraction: part of the training frames to train on, for learning curves; a smaller
            part lies within a larger one.
        train_stride: train on the first frame of the file, and every so many-th after it; with a
            ``valid_file`` only, as frames cut from the same file would be of the stride, too.
        split_seed: of all random choices of frames.
        batch_size: frames in a global training batch, unless a budget is given.
        max_atoms: budget of atoms of a global training batch.
        max_edges: budget of edges of a global training batch.
        accumulate: parts of a process' share of a training batch that are computed one after the
            other, for less memory and the same steps.
        eval_batch_size: frames in a batch of evaluation.
        eval_max_edges: budget of edges of a batch of evaluation, in place of its size.
        frames_per_block: frames of a test set that follow each other and belong together, as those
            of a trajectory; read by `sus2bench.statistics` from records, and by nothing here.
        seed: of the order of the training frames.
        cutoff: Å, of the graphs.
        cache_dir: for graphs and downloads; None: `default_cache_folder`.
        num_workers: processes that prepare batches; without them, training on a GPU has its frames
            there if they take no more than a quarter of its free memory.
    """

    train: FrameDataset
    valid: FrameDataset
    tests: dict[str, FrameDataset]
    census: dict[str, Any]
    split_hash: str

    def __init__(
        self,
        train_file: str,
        valid_file: str | None = None,
        test_files: Mapping[str, str] | None = None,
        *,
        source: Source | None = None,
        label_keys: Mapping[str, str | None] | None = None,
        units: Mapping[str, Any] | None = None,
        species_map: Sequence[str] | None = None,
        valid_fraction: float = 0.1,
        test_fraction: float = 0.0,
        train_fraction: float = 1.0,
        train_stride: int = 1,
        split_seed: int = 0,
        batch_size: int = 8,
        max_atoms: int | None = None,
        max_edges: int | None = None,
        accumulate: int = 1,
        eval_batch_size: int = 16,
        eval_max_edges: int | None = None,
        frames_per_block: int | None = None,
        seed: int = 0,
        cutoff: float = 6.0,
        cache_dir: str | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        # A rank may have no frame of a small test set; nothing is reduced before an epoch ends.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.train_file, self.valid_file = train_file, valid_file
        self.test_files = dict(test_files or {})
        self.source = source
        self.label_keys, self.units = LabelKeys(**(label_keys or {})), Units(**(units or {}))
        self.species_map = list(species_map) if species_map is not None else None
        self.valid_fraction, self.test_fraction = valid_fraction, test_fraction
        self.train_fraction, self.split_seed = train_fraction, split_seed
        if train_stride < 1 or (train_stride > 1 and not valid_file):
            raise ValueError(
                f"train_stride is at least 1, and needs a valid_file beyond it; got {train_stride}"
            )
        self.train_stride = train_stride
        self.batch_size, self.max_atoms, self.max_edges = batch_size, max_atoms, max_edges
        by_number = max_atoms is None and max_edges is None
        if accumulate < 1 or (by_number and accumulate > batch_size):
            raise ValueError(
                f"data.accumulate={accumulate} parts of a batch: give at least 1, and at most the "
                f"frames of a batch, data.batch_size={batch_size}"
            )
        self.accumulate = accumulate
        self.eval_batch_size, self.eval_max_edges = eval_batch_size, eval_max_edges
        if frames_per_block is not None and frames_per_block < 1:
            raise ValueError(f"frames_per_block is at least 1, or null; got {frames_per_block}")
        self.seed, self.num_workers = seed, num_workers
        self.cache_dir = Path(cache_dir) if cache_dir else default_cache_folder()
        self._cutoff = float(cutoff)
        self._ready = False
        self._moved: dict[tuple[int, torch.device], FrameDataset] = {}
        if {"train", "valid"} & set(self.test_files):
            raise ValueError("a test set cannot be called train or valid: those are taken")

    @property
    def cutoff(self) -> float:
        """Radius in Å within which atoms are neighbours; free to be set until `setup`."""
        return self._cutoff

    @cutoff.setter
    def cutoff(self, value: float) -> None:
        if self._ready and value != self._cutoff:
            raise ValueError(
                f"the graphs are made with a cutoff of {self._cutoff} Å: set another before setup()"
            )
        self._cutoff = float(value)

    @property
    def test_names(self) -> list[str]:
        """Names of the test sets, in the order of the test loaders."""
        return list(self.tests)

    @property
    def species(self) -> list[str]:
        """Elements of the training data by atomic number."""
        return self.train.species

    @property
    def parts(self) -> dict[str, FrameDataset]:
        """All parts by name: ``train``, ``valid`` and the test sets."""
        return {"train": self.train, "valid": self.valid, **self.tests}

    def prepare_data(self) -> None:
        """Makes or downloads the files; in a distributed run one process of a machine does it."""
        for file in filter(None, (self.train_file, self.valid_file, *self.test_files.values())):
            locate(self.source, file, self.cache_dir)

    def setup(self, stage: str | None = None) -> None:
        """Reads the files or the cache, splits, and takes the census; done once.

        Raises:
            FileNotFoundError, ValueError: what is wrong with the files, by name and frame.
        """
        if self._ready:
            return
        whole = self._load(self.train_file, "train")
        fractions = [
            0.0 if self.valid_file else self.valid_fraction,
            0.0 if self.test_files else self.test_fraction,
        ]
        valid, test, rest = split_by_fraction(len(whole), fractions, self.split_seed)
        rest = rest[:: self.train_stride]
        chosen = rest[random_subset(len(rest), self.train_fraction, self.split_seed)]
        self.train = whole.subset(chosen, "train")
        if self.valid_file:
            self.valid = self._load(self.valid_file, "valid")
        elif len(valid):
            self.valid = whole.subset(valid, "valid")
        else:
            raise ValueError("there are no validation frames: give valid_file or valid_fraction")
        self.tests = {name: self._load(file, name) for name, file in self.test_files.items()}
        if len(test):
            self.tests["test"] = whole.subset(test, "test")
        self.split_hash = split_hash(self.parts)
        self.census = census(self.parts)
        self._ready = True
        log.info("%s\nsplit %s", format_census(self.census), self.split_hash[:16])

    def train_dataloader(self) -> FrameLoader:
        """Batches in an order that depends on seed and epoch alone."""
        rank, world_size = self._ranks()
        sampler = FrameBatchSampler(
            self.train.num_atoms,
            self.train.num_edges,
            batch_size=self.batch_size,
            max_atoms=self.max_atoms,
            max_edges=self.max_edges,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
        )
        return FrameLoader(self._near(self.train), sampler, self.num_workers, self.accumulate)

    def val_dataloader(self) -> FrameLoader:
        """The validation frames in their order."""
        return self._evaluation_loader(self.valid)

    def test_dataloader(self) -> list[FrameLoader]:
        """A loader for each test set, in the order of ``test_names``."""
        return [self._evaluation_loader(dataset) for dataset in self.tests.values()]

    def _load(self, file: str, name: str) -> FrameDataset:
        return load_dataset(
            locate(self.source, file, self.cache_dir, name),
            self.cutoff,
            keys=self.label_keys,
            units=self.units,
            species_map=self.species_map,
            cache_dir=self.cache_dir,
            name=name,
        )

    def _evaluation_loader(self, dataset: FrameDataset) -> FrameLoader:
        rank, world_size = self._ranks()
        sampler = FrameBatchSampler(
            dataset.num_atoms,
            dataset.num_edges,
            batch_size=self.eval_batch_size,
            max_edges=self.eval_max_edges,
            shuffle=False,
            rank=rank,
            world_size=world_size,
        )
        return FrameLoader(self._near(dataset), sampler, self.num_workers)

    def _near(self, dataset: FrameDataset) -> FrameDataset:
        """The frames where the trainer computes, if there is room, so that batches are made there.

        Parts of one file share their tensors there, too.
        """
        device = self.trainer.strategy.root_device if self.trainer else dataset.device
        if device == dataset.device or self.num_workers:
            return dataset
        key = id(dataset.store), device
        if key not in self._moved:
            if dataset.nbytes > _ROOM * free_memory(device):
                return dataset
            self._moved[key] = dataset.to(device)
        moved = self._moved[key]
        return FrameDataset(moved.store, dataset.name, dataset.cutoff, dataset.indices)

    def _ranks(self) -> tuple[int, int]:
        """Rank and number of processes, of the trainer or of the process group."""
        if self.trainer is not None:
            return self.trainer.global_rank, self.trainer.world_size
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a GPU; 0 elsewhere, where nothing is kept."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
