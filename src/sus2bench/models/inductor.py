"""TorchInductor without traces: its caches, settings and processes end with a block."""

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from sus2bench.models.external.isolation import isolated


@contextmanager
def inductor_apart() -> Iterator[Path]:
    """A block in which TorchInductor may compile; gives a folder that goes with the block."""
    with (
        isolated(dtype=torch.get_default_dtype()),
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
    ):
        warnings.simplefilter("ignore")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        from torch._inductor import config

        settings = {
            # In this process: workers would outlive the block.
            "compile_threads": 1,
            "force_disable_caches": True,
            # Headers compiled beforehand are kept outside of the folder.
            "cpp_cache_precompile_headers": False,
            "aot_inductor.precompile_headers": False,
        }
        known = config.to_dict()
        with config.patch({name: value for name, value in settings.items() if name in known}):
            yield Path(folder)
