"""What travels through Ray Data: the samples of one lane for a few steps, as one row of an Arrow table.

A block costs Ray the same few milliseconds whatever is in it, so several steps travel as one. A row of raw
bytes passes through as it is made: Ray Data cuts between rows, and neither converts nor joins arrays.
"""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from pipelines.ingest.window import Block

_PARCEL_SAMPLES = 64  # over all lanes: a task holds as many decoded ones
_LAYOUT = "layout"  # the column with dtype and shape of the others, as JSON


def steps_of_parcel(batch_size: int) -> int:
    """How many steps travel together, but at the end of a window."""
    return max(1, _PARCEL_SAMPLES // batch_size)


def pack(block: Block) -> pa.Table:
    """One row: the bytes of each array, not copied, and their layout."""
    layout = {name: [array.dtype.str, array.shape] for name, array in block.items()}
    columns = {name: _one_cell(np.ascontiguousarray(array)) for name, array in block.items()}
    return pa.table({_LAYOUT: [json.dumps(layout)], **columns})


def unpack(table: pa.Table) -> Block:
    """What was packed, as views of the table's memory."""
    layout = json.loads(table[_LAYOUT][0].as_py())
    return {
        name: _cell_memory(table[name].chunk(0)).view(np.dtype(dtype)).reshape(shape)
        for name, (dtype, shape) in layout.items()
    }


def _one_cell(array: np.ndarray) -> pa.Array:
    """The array's memory as the only value of an Arrow array."""
    offsets = pa.py_buffer(np.array([0, array.nbytes], np.int64))
    data = pa.py_buffer(array.reshape(-1).view(np.uint8))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, data])


def _cell_memory(cell: pa.Array) -> np.ndarray:
    """Bytes of the only value of an Arrow array; its scalar's would be a copy."""
    _, offsets, data = cell.buffers()
    start, stop = np.frombuffer(offsets, np.int64, count=2, offset=8 * cell.offset)
    return np.frombuffer(data, np.uint8, count=stop - start, offset=start)
