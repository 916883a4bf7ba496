"""Starts a script of these tests in two processes that train together."""

import os
import subprocess
import sys
from contextlib import contextmanager


@contextmanager
def two_processes(script, folder):
    """Runs `script folder 2` beside the block in the `with`; fails if the script does."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        [*launcher, str(script), str(folder), "2"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
