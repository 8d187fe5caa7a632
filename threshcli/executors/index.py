"""What there is to tell of the index of a sharded checkpoint, from headers alone."""

from __future__ import annotations

import json
import time

from threshcli.plan.files import read_header
from threshcli.plan.index import Roll, Shard, read_index
from threshcli.results import FileResult, FileStatus


def index_result(path: str, status: FileStatus) -> FileResult:
    """What an index says, held against the headers of its shards, which are looked at by themselves; InputError where
    they contradict each other."""
    began = time.perf_counter()
    index = read_index(path)
    roll = Roll(index)
    for name, shard in zip(index.listed, index.shards, strict=True):
        roll.call(Shard.of(name, read_header(shard)[0]))
    return FileResult(
        input=path,
        output=None,
        status=status,
        format="index",
        bytes_in=len(index.text),
        seconds=time.perf_counter() - began,
        metadata=tuple((name, _text(value)) for name, value in index.metadata.items()),
        notes=(f"{len(index.document['weight_map']):,} names in {len(index.listed):,} shards", *roll.notes()),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
