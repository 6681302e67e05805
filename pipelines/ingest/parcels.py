"""What travels through Ray Data: the blocks of one lane for a few steps, as one row of an Arrow table.

A block costs Ray the same few milliseconds whatever is in it, so several small ones travel as one. A row of
raw bytes passes through as it is made: Ray Data cuts between rows, and neither converts nor joins arrays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from pipelines.ingest.window import Block

_PARCEL_SAMPLES = 32  # over all lanes: a task holds as many decoded ones
_LAYOUT = "layout"  # the column with dtype and shape of the others, as JSON


def steps_of_parcel(batch_size: int) -> int:
    """How many steps travel together, but at the end of a window."""
    return max(1, _PARCEL_SAMPLES // batch_size)


def parcels(blocks: Iterable[Block], lanes: int, batch_size: int) -> Iterator[pa.Table]:
    """Blocks as `read_window` yields them, packed: of every few steps lane by lane."""
    waiting: list[list[Block]] = [[] for _ in range(lanes)]
    for number, block in enumerate(blocks):
        waiting[number % lanes].append(block)
        if len(waiting[-1]) == steps_of_parcel(batch_size):
            yield from map(pack, waiting)
            waiting = [[] for _ in range(lanes)]
    if waiting[0]:
        yield from map(pack, waiting)


def pack(blocks: list[Block]) -> pa.Table:
    """One row: a column of bytes for each array, the blocks' rows one after the other, and their layout."""
    arrays = {
        name: np.ascontiguousarray(np.concatenate([block[name] for block in blocks])) for name in blocks[0]
    }
    layout = {name: [array.dtype.str, array.shape] for name, array in arrays.items()}
    columns = {name: _one_cell(array) for name, array in arrays.items()}
    return pa.table({_LAYOUT: [json.dumps(layout)], **columns})


def unpack(table: pa.Table) -> Block:
    """What was packed, as views of the table's memory."""
    layout = json.loads(table[_LAYOUT][0].as_py())
    return {
        name: _cell_memory(table[name].chunk(0)).view(np.dtype(dtype)).reshape(shape)
        for name, (dtype, shape) in layout.items()
    }


def _one_cell(array: np.ndarray) -> pa.Array:
    """The array's memory as the only value of an Arrow array, not copied."""
    offsets = pa.py_buffer(np.array([0, array.nbytes], np.int64))
    data = pa.py_buffer(array.reshape(-1).view(np.uint8))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, data])


def _cell_memory(cell: pa.Array) -> np.ndarray:
    """Bytes of the only value of an Arrow array; its scalar's would be a copy."""
    _, offsets, data = cell.buffers()
    start, stop = np.frombuffer(offsets, np.int64, count=2, offset=8 * cell.offset)
    return np.frombuffer(data, np.uint8, count=stop - start, offset=start)
