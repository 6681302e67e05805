"""Arrays of samples by column name, and packing them into one Arrow row."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Block = dict[str, NDArray[Any]]
_LAYOUT = "layout"  # column with dtype and shape of the others, as JSON


def pack_block(block: Block) -> pa.Table:
    """Return a table of one row: the bytes of each array, not copied, and their layout."""
    layout = {name: [array.dtype.str, array.shape] for name, array in block.items()}
    columns = {name: _one_cell(np.ascontiguousarray(array)) for name, array in block.items()}
    return pa.table({_LAYOUT: [json.dumps(layout)], **columns})


def unpack_block(table: pa.Table) -> Block:
    """Return the arrays of a packed block, as views of the table's memory."""
    layout = json.loads(table[_LAYOUT][0].as_py())
    return {
        name: _cell_memory(table[name].chunk(0)).view(np.dtype(dtype)).reshape(shape)
        for name, (dtype, shape) in layout.items()
    }


def _one_cell(array: NDArray[Any]) -> pa.Array:
    """Return an Arrow array whose only value is the array's memory."""
    offsets = pa.py_buffer(np.array([0, array.nbytes], np.int64))
    data = pa.py_buffer(array.reshape(-1).view(np.uint8))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, data])


def _cell_memory(cell: pa.Array) -> NDArray[np.uint8]:
    """Return the bytes of an Arrow array's only value, not copied as its scalar would be."""
    _, offsets, data = cell.buffers()
    start, stop = np.frombuffer(offsets, np.int64, count=2, offset=8 * cell.offset)
    return np.frombuffer(data, np.uint8, count=stop - start, offset=start)
