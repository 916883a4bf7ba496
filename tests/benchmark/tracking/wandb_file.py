"""Reads what W&B has written of a run: the log of records in `run-ID.wandb`.

The file is a header of 7 bytes and then the log format of LevelDB: blocks of 32 KiB, in each
fragments of checksum, length, kind (whole, first, middle, last) and data; a record is a protobuf.
"""

import json
import struct
import time
from pathlib import Path

from wandb.proto import wandb_internal_pb2 as protobuf

HEADER, BLOCK, FRAGMENT = 7, 32768, struct.Struct("<IHB")
WHOLE, LAST = 1, 4


def records(path):
    """The records of a file in their order, with the names of their kinds."""
    data = Path(path).read_bytes()
    assert data[:4] == b":W&B"
    position, collected = HEADER, b""
    while position + FRAGMENT.size <= len(data):
        left = BLOCK - position % BLOCK
        if left < FRAGMENT.size:
            position += left
            continue
        _, length, kind = FRAGMENT.unpack_from(data, position)
        position += FRAGMENT.size
        if position + length > len(data):
            return  # is being written
        collected += data[position : position + length]
        position += length
        if kind in (WHOLE, LAST):
            record = protobuf.Record.FromString(collected)
            collected = b""
            name = record.WhichOneof("record_type")
            yield name, getattr(record, name)


class LoggedRun:
    """One `offline-run-*` folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        (file,) = self.folder.glob("run-*.wandb")
        self.run, self.config, self.summary, self.rows = None, {}, {}, {}
        self.exit_code, self.artifacts, self.system, self.metrics, self.steps = None, {}, [], {}, []
        for kind, record in records(file):
            getattr(self, f"_{kind}", lambda record: None)(record)

    def _run(self, record):
        self.run = record
        self._config(record.config)

    def _config(self, record):
        for item in record.update:
            self.config[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)

    def _history(self, record):
        row = {"/".join([*i.nested_key] or [i.key]): json.loads(i.value_json) for i in record.item}
        self.steps.append(row.pop("_step"))
        self.rows[self.steps[-1]] = row

    def _summary(self, record):
        for item in record.update:
            self.summary["/".join([*item.nested_key] or [item.key])] = json.loads(item.value_json)

    def _metric(self, record):
        self.metrics[record.glob_name or record.name] = record

    def _stats(self, record):
        self.system.append({item.key: json.loads(item.value_json) for item in record.item})

    def _artifact(self, record):
        entries = {entry.path: entry for entry in record.manifest.contents}
        self.artifacts[record.type] = entries

    def _exit(self, record):
        self.exit_code = record.exit_code


def logged_runs(folder):
    """What W&B has of the run in a folder, in the order in which its parts were begun.

    The process of W&B writes the end of a file some time after it has been told of it.
    """
    paths = sorted((Path(folder) / "wandb").glob("*run-*-*"))
    for _ in range(300):
        found = [LoggedRun(path) for path in paths]
        if all(logged.exit_code is not None for logged in found):
            break
        time.sleep(0.1)
    return found
