"""A few samples of a data set in one picture."""

from __future__ import annotations

import unicodedata

import cv2
import numpy as np
from PIL import Image, ImageDraw

from charmnet.arrays import UInt8Array
from charmnet.codecs import decode_mask, decode_rgb
from charmnet.vocabulary import CaptureCondition
from pipelines.shards.reading import Dataset, selected_counts
from pipelines.shards.rows import Row, row_kind
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import Selection

_TILE_HEIGHT, _SCENE_TILE_HEIGHT = 180, 110
_CAPTION_HEIGHT, _GAP = 18, 6
_PAIRS_ACROSS = 2
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def sample_rows(dataset: Dataset, selection: Selection, count: int) -> list[Row]:
    """Up to `count` selected rows, spread over the data set; always the same ones."""
    groups = [
        (shard, group, selected_counts(dataset.manifest, entry, selection)[0])
        for shard, group, entry in dataset.manifest.groups()
    ]
    chosen = _spread(sum(selected for *_, selected in groups), count)
    rows: list[Row] = []
    first = 0  # of a row group's selected rows, among those of all
    for shard, group, selected in groups:
        here = [index - first for index in chosen if first <= index < first + selected]
        if here:
            table = dataset.read_row_group(shard, group)
            found = dataset.selected_rows(table, selection)
            rows.extend(table.take([found[i] for i in here]).to_pylist())
        first += selected
    return rows


def contact_sheet(rows: list[Row]) -> Image.Image:
    """Pairs as composite, mask and ground truth; scenes as mask and their ten conditions.

    Raises:
        DataError: a picture cannot be decoded.
    """
    strips = [_scene_strip(row) if row_kind(row) is RowKind.SCENE else _pair_strip(row) for row in rows]
    across = _PAIRS_ACROSS if rows and row_kind(rows[0]) is RowKind.PAIR else 1
    lines = [strips[start : start + across] for start in range(0, len(strips), across)]
    columns = [max(line[i].width for line in lines if len(line) > i) for i in range(min(across, len(strips)))]
    heights = [max(strip.height for strip in line) for line in lines]
    size = (sum(columns) + _GAP * (len(columns) + 1), sum(heights) + _GAP * (len(lines) + 1))
    sheet = Image.new("RGB", size, _PAPER)
    top = _GAP
    for line, height in zip(lines, heights, strict=True):
        left = _GAP
        for strip, width in zip(line, columns, strict=False):
            sheet.paste(strip, (left, top))
            left += width + _GAP
        top += height + _GAP
    return sheet


def drawable(text: str) -> str:
    """It in ASCII, all that Pillow's own font has: letters lose their marks, others become question marks."""
    letters = (sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return "".join(letters).encode("ascii", "replace").decode()


def _pair_strip(row: Row) -> Image.Image:
    tiles = {
        "composite": decode_rgb(row["composite"]),
        "mask": _mask_picture(row),
        "ground truth": decode_rgb(row["ground_truth"]),
    }
    style = row["ground_truth_style"]
    condition = "" if style is None else f", {CaptureCondition(style).name.lower()}"
    return _strip(f"{_title(row)}{condition}", tiles, _TILE_HEIGHT)


def _scene_strip(row: Row) -> Image.Image:
    tiles = {"mask": _mask_picture(row)}
    for condition, data in zip(CaptureCondition, row["images"], strict=True):
        tiles[condition.name.lower()] = decode_rgb(data)
    return _strip(_title(row), tiles, _SCENE_TILE_HEIGHT)


def _title(row: Row) -> str:
    facts = [row["category"], *row["splits"], f"foreground {row['foreground_ratio']:.1%}"]
    return f"{row['id']}  ({', '.join(fact for fact in facts if fact)})"


def _mask_picture(row: Row) -> UInt8Array:
    mask = decode_mask(row["foreground_mask"]) * np.uint8(255)
    return np.repeat(mask[..., None], 3, axis=2)


def _strip(title: str, tiles: dict[str, UInt8Array], height: int) -> Image.Image:
    pictures = [Image.fromarray(_scaled(tile, height)) for tile in tiles.values()]
    width = sum(picture.width for picture in pictures) + _GAP * (len(pictures) - 1)
    strip = Image.new("RGB", (width, height + 2 * _CAPTION_HEIGHT), _PAPER)
    draw = ImageDraw.Draw(strip)
    draw.text((0, 2), drawable(title), _INK)
    left = 0
    for name, picture in zip(tiles, pictures, strict=True):
        draw.text((left, _CAPTION_HEIGHT + 2), _fitting(draw, name, picture.width), _INK)
        strip.paste(picture, (left, 2 * _CAPTION_HEIGHT))
        left += picture.width + _GAP
    return strip


def _fitting(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    while draw.textlength(text) > width:
        text = text[:-1]
    return text


def _scaled(image: UInt8Array, height: int) -> UInt8Array:
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _spread(length: int, count: int) -> list[int]:
    """Up to `count` indices below `length`, evenly spread."""
    count = min(length, count)
    return [(2 * i + 1) * length // (2 * count) for i in range(count)]
