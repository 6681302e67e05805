"""Contact sheet: one picture that shows a few samples of a data set."""

from __future__ import annotations

import io
import unicodedata
from itertools import islice

import cv2
import numpy as np
from PIL import Image, ImageDraw

from charmnet.arrays import MaskArray, UInt8Array
from charmnet.codecs import decode_mask, decode_rgb
from charmnet.vocabulary import CaptureCondition
from pipelines.runtime.storage import Location
from pipelines.shards.foreground_colors import evaluated_composite, with_colors
from pipelines.shards.reading import Dataset, selected_counts
from pipelines.shards.rows import Row, row_kind
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import Selection

_PAIR_TILE_HEIGHT = 180  # sizes in pixels
_SCENE_TILE_HEIGHT = 110
_CAPTION_HEIGHT = 18
_GAP = 6
_PAIRS_PER_LINE = 2
_MASKS_SHOWN = 2
_BACKGROUND_COLOR = (255, 255, 255)
_TEXT_COLOR = (40, 40, 40)


def sample_rows(dataset: Dataset, selection: Selection, count: int) -> list[Row]:
    """Read up to `count` selected rows, evenly spread over the data set; the choice is deterministic."""
    groups = [
        (shard, group, selected_counts(dataset.manifest, entry, selection)[0])
        for shard, group, entry in dataset.manifest.groups()
    ]
    chosen = _spread(sum(selected for *_, selected in groups), count)
    rows: list[Row] = []
    first = 0  # index of the row group's first selected row among all selected rows
    for shard, group, selected in groups:
        in_group = [index - first for index in chosen if first <= index < first + selected]
        if in_group:
            table = dataset.read_row_group(shard, group)
            indices = dataset.selected_rows(table, selection)
            taken = table.take([indices[i] for i in in_group]).to_pylist()
            rows.extend(with_colors(dataset, row) for row in taken)
        first += selected
    return rows


def contact_sheet(rows: list[Row]) -> Image.Image:
    """Draw pairs as composite, mask and ground truth; scenes as mask and their ten conditions.

    Photographs are drawn with their first masks, each beside a composite.

    Args:
        rows: rows of one kind, as `sample_rows` gives them.

    Raises:
        DataError: a picture cannot be decoded.
    """
    draw = {
        RowKind.PAIR: _pair_strip,
        RowKind.SCENE: _scene_strip,
        RowKind.PHOTOGRAPH: _photograph_strip,
    }
    strips = [draw[row_kind(row)](row) for row in rows]
    strips_per_line = _PAIRS_PER_LINE if rows and row_kind(rows[0]) is RowKind.PAIR else 1
    lines = [strips[start : start + strips_per_line] for start in range(0, len(strips), strips_per_line)]
    num_columns = min(strips_per_line, len(strips))
    columns = [max(line[i].width for line in lines if len(line) > i) for i in range(num_columns)]
    heights = [max(strip.height for strip in line) for line in lines]
    size = (sum(columns) + _GAP * (len(columns) + 1), sum(heights) + _GAP * (len(lines) + 1))
    sheet = Image.new("RGB", size, _BACKGROUND_COLOR)
    top = _GAP
    for line, height in zip(lines, heights, strict=True):
        left = _GAP
        for strip, width in zip(line, columns, strict=False):
            sheet.paste(strip, (left, top))
            left += width + _GAP
        top += height + _GAP
    return sheet


def write_picture(picture: Image.Image, file: Location) -> None:
    """Write a sheet as JPEG where its name ends in .jpg or .jpeg, else as PNG.

    Raises:
        StorageError: the file cannot be written.
    """
    data = io.BytesIO()
    picture.save(data, "JPEG" if file.name.lower().endswith((".jpg", ".jpeg")) else "PNG")
    file.write_bytes(data.getvalue())


def ascii_text(text: str) -> str:
    """Return the text in ASCII, which is all that Pillow's built-in font can draw.

    Letters lose their accents; other characters become question marks.
    """
    decomposed = unicodedata.normalize("NFKD", text)
    letters = (character for character in decomposed if not unicodedata.combining(character))
    return "".join(letters).encode("ascii", "replace").decode()


def _pair_strip(row: Row) -> Image.Image:
    tiles = {
        "composite": decode_rgb(row["composite"]),
        "mask": _mask_picture(decode_mask(row["foreground_mask"])),
        "ground truth": decode_rgb(row["ground_truth"]),
    }
    style = row["ground_truth_style"]
    condition = "" if style is None else f", {CaptureCondition(style).name.lower()}"
    return _strip(f"{_title(row)}{condition}", tiles, _PAIR_TILE_HEIGHT)


def _scene_strip(row: Row) -> Image.Image:
    tiles = {"mask": _mask_picture(decode_mask(row["foreground_mask"]))}
    for condition, data in zip(CaptureCondition, row["images"], strict=True):
        tiles[condition.name.lower()] = decode_rgb(data)
    return _strip(_title(row), tiles, _SCENE_TILE_HEIGHT)


def _photograph_strip(row: Row) -> Image.Image:
    photograph = decode_rgb(row["photograph"])
    tiles = {"photograph": photograph}
    foregrounds = zip(row["foreground_ids"], row["foreground_masks"], strict=True)
    for sample_id, data in islice(foregrounds, _MASKS_SHOWN):
        mask = decode_mask(data)
        name = sample_id.rpartition("_")[2]
        tiles[f"mask {name}"] = _mask_picture(mask)
        tiles[f"composite {name}"] = evaluated_composite(row, sample_id, 1, photograph, mask)
    return _strip(_title(row), tiles, _PAIR_TILE_HEIGHT)


def _title(row: Row) -> str:
    ratios = row["foreground_ratios"] if row_kind(row) is RowKind.PHOTOGRAPH else [row["foreground_ratio"]]
    shares = ", ".join(f"{ratio:.1%}" for ratio in ratios)
    details = [row["category"], *row["splits"], f"foreground {shares}"]
    return f"{row['id']}  ({', '.join(detail for detail in details if detail)})"


def _mask_picture(mask: MaskArray) -> UInt8Array:
    return np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)


def _strip(title: str, tiles: dict[str, UInt8Array], height: int) -> Image.Image:
    pictures = [Image.fromarray(_resized(tile, height)) for tile in tiles.values()]
    width = sum(picture.width for picture in pictures) + _GAP * (len(pictures) - 1)
    strip = Image.new("RGB", (width, height + 2 * _CAPTION_HEIGHT), _BACKGROUND_COLOR)
    draw = ImageDraw.Draw(strip)
    draw.text((0, 2), ascii_text(title), _TEXT_COLOR)
    left = 0
    for name, picture in zip(tiles, pictures, strict=True):
        draw.text((left, _CAPTION_HEIGHT + 2), _shortened(draw, name, picture.width), _TEXT_COLOR)
        strip.paste(picture, (left, 2 * _CAPTION_HEIGHT))
        left += picture.width + _GAP
    return strip


def _shortened(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    while draw.textlength(text) > width:
        text = text[:-1]
    return text


def _resized(image: UInt8Array, height: int) -> UInt8Array:
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _spread(length: int, count: int) -> list[int]:
    """Return up to `count` indices below `length`, evenly spread."""
    count = min(length, count)
    return [(2 * i + 1) * length // (2 * count) for i in range(count)]
