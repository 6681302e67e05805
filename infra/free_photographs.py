#!/usr/bin/env python3
r"""Collect photographs under free licences out of Debian's packages, for a model that may be published.

  python infra/free_photographs.py ./free
  charmnet compose-real --photos ./free/photos --masks auto --views --layout photographs --per-mask 4 \
                        --dest ./real

Downloads and unpacks some packages (Debian 12, `apt-get download`), and writes views of every photograph as
photos/NAME-0.jpg, NAME-1.jpg, ..., at most 512 pixels long. photographs.tsv has each photograph's package,
version, file, licence and author, out of the package's own copyright file; where that has a paragraph
for all files alone (`Files: *`), licence and author are those of the package as a whole, such as the GPL.
"""

from __future__ import annotations

import argparse
import csv
import fnmatch
import re
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

LONG_SIDE_PIXELS = 512
VIEW_SHARES = ((0.0, 0.0, 0.62), (0.38, 0.38, 0.62))
"""Left and upper edge, and size, of the views beside the whole, as shares of a large photograph."""

LARGE_PIXELS = 900  # a photograph of which parts are large enough to be views
LEAST_SATURATION = 0.08  # mean; below it a picture is grey

_ACTIVITIES = "gcompris/src/activities"
PHOTOGRAPHS = {
    "gcompris-qt-data": (
        f"{_ACTIVITIES}/categorization/resource/images/fishes/*",
        f"{_ACTIVITIES}/categorization/resource/images/monuments/*",
        f"{_ACTIVITIES}/categorization/resource/images/renewable/*",
        f"{_ACTIVITIES}/categorization/resource/images/others/igloo.*",
        f"{_ACTIVITIES}/clickgame/resource/sea*",
        f"{_ACTIVITIES}/details/resource/image/*_background.*",
        f"{_ACTIVITIES}/erase/resource/*.webp",
        f"{_ACTIVITIES}/explore_farm_animals/resource/*.webp",
        f"{_ACTIVITIES}/explore_monuments/resource/*.webp",
        f"{_ACTIVITIES}/explore_world_animals/resource/*.webp",
        f"{_ACTIVITIES}/explore_world_music/resource/*.webp",
    ),
    "gnome-taquin": ("*/themes/cats/*.jpg",),
    "lomiri-wallpapers-16.04": ("*/backgrounds/*.jpg",),
    "lomiri-wallpapers-20.04": ("*/backgrounds/Kleiber*",),
    "lxqt-themes": (
        "*/wallpapers/[Bf]*.*",
        "*/wallpapers/after*",
        "*/wallpapers/Valendas*",
        "*/wallpapers/appleflower*",
        "*/wallpapers/cloud*",
        "*/wallpapers/drop*",
        "*/wallpapers/this*",
        "*/wallpapers/butterfly*",
    ),
    "mate-backgrounds": ("*/mate/nature/*.jpg",),
    "palapeli-data": ("*/collection/*.jpg",),
    "plasma-workspace-wallpapers": tuple(
        f"*/{name}/contents/images/2560x1600.jpg"
        for name in (
            *("BytheWater", "ColorfulCups", "DarkestHour", "EveningGlow", "FallenLeaf", "Kite"),
            *("OneStandsOut", "Path", "summer_1am"),
        )
    ),
    "sddm-theme-maldives": ("*/maldives/background.jpg",),
    "tuxpaint-data": ("*/templates/*.jpg", "*/starters/reef-back.png"),
}
"""Files of each package that are photographs."""

LEFT_OUT = (
    *("*Gogh*", "*Eglise_dAuvers*", "*PereTanguy*", "*1-march*", "*Wood.jpg", "*umang*", "*analog*"),
    *("*/monuments/brandenburgGate*", "*/monuments/colosseum*", "*/monuments/greatPyramid*"),
    "*/kangaroo*",
)
"""Among them paintings, abstract pictures, what is there twice, and one under the GFDL."""


def main() -> None:
    """Collect the photographs into a folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where photos/ and photographs.tsv are written")
    folder: Path = parser.parse_args().folder
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    with (folder / "photographs.tsv").open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(("name", "package", "version", "file", "licence", "author"))
        members: dict[str, str] = {}
        for package, patterns in PHOTOGRAPHS.items():
            root, version = unpacked(package, folder / "packages")
            stanzas = copyright_stanzas(root / f"usr/share/doc/{package}/copyright")
            for path in sorted(chosen(root, patterns)):
                member = path.relative_to(root).as_posix()
                name = name_of(package, member)
                if name in members:
                    raise ValueError(f"{members[name]} and {member} are both named {name}; leave one out")
                if write_views(path, name, folder / "photos"):
                    members[name] = member
                    table.writerow((name, package, version, member, *licence_of(member, stanzas)))


def unpacked(package: str, folder: Path) -> tuple[Path, str]:
    """Download and unpack a package, with the resources in it; return its root and its version."""
    folder.mkdir(parents=True, exist_ok=True)
    archives = list(folder.glob(f"{package}_*.deb"))
    if not archives:
        subprocess.run(["apt-get", "download", package], cwd=folder, check=True)
        archives = list(folder.glob(f"{package}_*.deb"))
    root = folder / package
    if not root.exists():
        subprocess.run(["dpkg-deb", "-x", archives[0], root], check=True)
        for resources in root.rglob("*.rcc"):
            for name, data in resource_files(resources.read_bytes()):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(data)
    return root, archives[0].name.split("_")[1].replace("%3a", ":")


def resource_files(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield paths and contents of the pictures in a Qt resource file (`.rcc`)."""
    version, tree, contents, names = struct.unpack(">4I", data[4:20])
    node_bytes = 22 if version >= 2 else 14

    def walk(index: int, prefix: str) -> Iterator[tuple[str, bytes]]:
        name_offset, flags, first, second = struct.unpack_from(">IHII", data, tree + index * node_bytes)
        (length,) = struct.unpack_from(">H", data, names + name_offset)
        start = names + name_offset + 6
        path = f"{prefix}/{data[start : start + 2 * length].decode('utf-16-be')}" if index else prefix
        if flags & 2:  # a folder: `first` children from `second` on
            for child in range(second, second + first):
                yield from walk(child, path)
        elif not flags & 4 and path.endswith((".jpg", ".png", ".webp")):  # 4: zstd, which pictures are not
            (size,) = struct.unpack_from(">I", data, contents + second)
            content = data[contents + second + 4 :][:size]
            yield path.lstrip("/"), zlib.decompress(content[4:]) if flags & 1 else content

    yield from walk(0, "")


def chosen(root: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    """Yield the photographs of an unpacked package."""
    for path in root.rglob("*.*"):
        member = path.relative_to(root).as_posix()
        wanted = any(fnmatch.fnmatchcase(member, pattern) for pattern in patterns)
        if wanted and path.is_file() and not any(fnmatch.fnmatchcase(member, no) for no in LEFT_OUT):
            yield path


def name_of(package: str, member: str) -> str:
    """Return the name that a file of a package gets as a photograph."""
    folders = member.split("/")[:-1]
    if package == "plasma-workspace-wallpapers":  # NAME/contents/images/2560x1600.jpg
        return re.sub(r"[^a-z]", "", folders[-3].lower())
    place = folders[3] if package == "gcompris-qt-data" else package[:4]
    return re.sub(r"[^a-z0-9]+", "", f"{place}{Path(member).stem}".lower())


def write_views(path: Path, name: str, folder: Path) -> bool:
    """Write a photograph's views; return whether it is a photograph in colour."""
    image = Image.open(path).convert("RGB")
    if np.asarray(image.resize((64, 64)).convert("HSV"))[..., 1].mean() < 255 * LEAST_SATURATION:
        return False
    width, height = image.size
    views = [(0, 0, width, height)]
    if max(image.size) >= LARGE_PIXELS:
        views += [
            (int(x * width), int(y * height), int((x + s) * width), int((y + s) * height))
            for x, y, s in VIEW_SHARES
        ]
    for number, box in enumerate(views):
        view = image.crop(box)
        view.thumbnail((LONG_SIDE_PIXELS, LONG_SIDE_PIXELS), Image.Resampling.LANCZOS)
        view.save(folder / f"{name}-{number}.jpg", quality=95, subsampling=0)
    return True


def copyright_stanzas(path: Path) -> list[tuple[list[str], str, str]]:
    """Return the patterns of files, the licence and the authors of each paragraph of a copyright file."""
    stanzas = []
    for paragraph in re.split(r"\n\s*\n", path.read_text()):
        fields = dict(
            re.findall(r"^(Files|Copyright|License):[ \t]*((?:.*(?:\n[ \t]+.*)*))", paragraph, re.M)
        )
        if "Files" in fields and "License" in fields:
            names = [
                re.sub(r"\s*<.*?>", "", line.strip()) for line in fields.get("Copyright", "").splitlines()
            ]
            authors = "; ".join(names[:3] + ["and others"] * (len(names) > 3))
            stanzas.append((fields["Files"].split(), fields["License"].splitlines()[0].strip(), authors))
    return stanzas


def licence_of(member: str, stanzas: list[tuple[list[str], str, str]]) -> tuple[str, str]:
    """Return licence and authors of a file by the last paragraph that names it, in whatever format.

    Raises:
        ValueError: no paragraph names it, not even one for all files.
    """
    found = None
    stem = re.sub(r"\.\w+$", "", re.sub(r"^gcompris/", "", member))
    for patterns, licence, authors in stanzas:
        for pattern in patterns:
            plain = re.sub(r"\.\w+$", "", pattern)
            tail = stem.endswith(f"/{plain.rpartition('/')[2]}") and "/" in plain and "*" not in plain
            same_folder = plain.rpartition("/")[0].rpartition("/")[2] in (*stem.split("/"), "16.04", "20.04")
            if pattern == "*" or fnmatch.fnmatchcase(stem, plain) or (tail and same_folder):
                found = (licence, authors)
    if found is None:
        raise ValueError(f"{member}: no paragraph of the copyright file is about it; leave it out")
    return found


if __name__ == "__main__":
    main()
