"""A picture of scenes under all conditions: rows are conditions, columns scenes, masks stand below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from charmnet.arrays import UInt8Array
from charmnet.codecs import decode_mask, decode_rgb
from charmnet.vocabulary import CaptureCondition
from pipelines.runtime.storage import Location
from pipelines.shards.contact_sheet import ascii_text, sample_rows, write_picture
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row
from pipelines.shards.selection import EVERYTHING

MOST_SCENES = 8
TILE_WIDTH = 256
CAPTION_WIDTH, CAPTION_HEIGHT, GAP = 120, 22, 4
PAPER, INK = (255, 255, 255), (40, 40, 40)
FONT_SIZE = 14


def write_sheet(datasets: Mapping[str, Dataset], file: Location, scenes: int = MOST_SCENES) -> None:
    """Write the sheet of up to `scenes` scenes, spread over a data set; see `write_picture`.

    Args:
        datasets: data sets of the same scenes in the same order, which stand beside each other, by what is
            written after the scenes' names.
        file: picture to write.
        scenes: scenes of each data set.

    Raises:
        DataError: a picture cannot be decoded.
        StorageError: the file cannot be written.
    """
    rows = [
        {**row, "id": f"{row['id']} {name}".strip()}
        for name, dataset in datasets.items()
        for row in sample_rows(dataset, EVERYTHING, scenes)
    ]
    write_picture(condition_sheet(sorted(rows, key=lambda row: row["id"])), file)


def condition_sheet(scenes: Sequence[Row]) -> Image.Image:
    """Draw the sheet of at least one scene; all tiles take the first scene's proportions."""
    height = round(TILE_WIDTH * scenes[0]["height"] / scenes[0]["width"])
    columns = [list(_tiles(scene, height)) for scene in scenes]
    captions = [*map(_caption, CaptureCondition), "mask"]
    width = CAPTION_WIDTH + len(columns) * (TILE_WIDTH + GAP)
    sheet = Image.new("RGB", (width, CAPTION_HEIGHT + len(captions) * (height + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_SIZE)
    for line, caption in enumerate(captions):
        middle = CAPTION_HEIGHT + line * (height + GAP) + height // 2
        draw.text((GAP, middle), caption, INK, font, anchor="lm")
    for column, (scene, tiles) in enumerate(zip(scenes, columns, strict=True)):
        left = CAPTION_WIDTH + column * (TILE_WIDTH + GAP)
        middle = left + TILE_WIDTH // 2
        draw.text((middle, CAPTION_HEIGHT // 2), ascii_text(scene["id"]), INK, font, anchor="mm")
        for line, tile in enumerate(tiles):
            sheet.paste(Image.fromarray(tile), (left, CAPTION_HEIGHT + line * (height + GAP)))
    return sheet


def _tiles(scene: Row, height: int) -> Iterator[UInt8Array]:
    """Yield the pictures of the ten conditions, then the mask; [height, TILE_WIDTH, 3] uint8 each."""
    mask = np.repeat(decode_mask(scene["foreground_mask"])[..., None] * np.uint8(255), 3, axis=2)
    for image in (*map(decode_rgb, scene["images"]), mask):
        yield cv2.resize(image, (TILE_WIDTH, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _caption(condition: CaptureCondition) -> str:
    """Return a condition's caption: its time of day, and its weather on a second line."""
    time, _, weather = condition.name.lower().replace("sunrise_sunset", "sunrise/sunset").partition("_")
    if time == "other":  # OTHER_TIMES_CLEAR
        time, weather = "other times", weather.removeprefix("times_")
    return f"{time}\n{weather.replace('_', ' ')}".strip()
